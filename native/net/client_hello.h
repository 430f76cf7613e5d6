/*
 * The first message of a TLS client: what it says of the server that it wants, read from bytes
 * that were only peeked at. Sans-I/O and without OpenSSL: nothing is decided about the handshake
 * here. Source: RFC 8446 4.1.2 and 5.1, RFC 6066 3, RFC 7301 3.1.
 */
#ifndef MB_NET_CLIENT_HELLO_H
#define MB_NET_CLIENT_HELLO_H

#include "base/text.h"
#include "net/address.h"

#define MB_CLIENT_HELLO_MAX_BYTES (16u * 1024u) /* Envoy's bound, record headers included */

typedef struct mb_client_hello {
    uint16_t version;     /* the newest that is offered: 0x0303 TLS 1.2, 0x0304 TLS 1.3 */
    mb_slice server_name; /* as sent; empty: none */
    mb_slice alpn;        /* for mb_alpn_next; empty: none */
} mb_client_hello;

/* Reads a ClientHello. Slices of `*out` point into `bytes`, or into `joined` when the message came
 * in several records; `joined` belongs to the caller and is only then written.
 * Returns how many bytes it takes on the wire; MB_EAGAIN when more are needed; MB_EPROTO as soon
 * as it is certain that this is none (another protocol, or malformed); MB_ELIMIT when it is longer
 * than `max_bytes`; MB_ENOMEM. */
int64_t mb_client_hello_read(mb_slice bytes, size_t max_bytes, mb_text *joined,
                             mb_client_hello *out);

/* Takes the next protocol off a list that mb_client_hello_read gave. */
bool mb_alpn_next(mb_slice *rest, mb_slice *protocol);

#endif
