/*
 * PROXY protocol towards an upstream: a transport that sends a header before anything else, TLS
 * handshakes included, and is plain from then on.
 *
 * Source: the PROXY protocol specification (see proxy_protocol.h); Envoy, "upstream proxy
 * protocol".
 */
#ifndef MB_NET_PROXY_TRANSPORT_H
#define MB_NET_PROXY_TRANSPORT_H

#include "net/transport.h"

/* Over a connected transport, which is taken also on failure. `header` is copied. NULL: out of
 * memory. */
mb_transport *mb_proxy_transport_new(const mb_allocator *allocator, mb_transport *under,
                                     mb_slice header);

#endif
