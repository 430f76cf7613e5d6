/*
 * Which HTTP a client speaks, from the first bytes of a clear-text connection, peeked at. Sans-I/O.
 * Source: RFC 9112 3, RFC 9113 3.4; names are Envoy's (and RFC 7301's for ALPN).
 */
#ifndef MB_NET_HTTP_INSPECT_H
#define MB_NET_HTTP_INSPECT_H

#include <moebridge/common.h>

#define MB_HTTP_INSPECT_MAX_BYTES (64u * 1024u) /* Envoy's bound of a request line */

typedef enum mb_http_kind { MB_HTTP_KIND_10, MB_HTTP_KIND_11, MB_HTTP_KIND_2 } mb_http_kind;

/* Zero it before the first call. */
typedef struct mb_http_inspect {
    size_t seen; /* bytes that were looked at */
    int state;
    char version[8]; /* "HTTP/1.1" so far */
} mb_http_inspect;

/* `bytes` are all from the beginning of the connection on; those of the call before are not looked
 * at again. MB_OK with `*kind`; MB_EAGAIN; MB_EPROTO as soon as it is certain that it is not HTTP;
 * MB_ELIMIT when MB_HTTP_INSPECT_MAX_BYTES do not say. */
int mb_http_inspect_next(mb_http_inspect *inspect, mb_slice bytes, mb_http_kind *kind);

/* "http/1.0", "http/1.1", "h2c" */
mb_slice mb_http_kind_name(mb_http_kind kind);

#endif
