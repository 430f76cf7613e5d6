/*
 * Writer of HTTP/1.1 heads and trailers: each goes into one reserve of the out buffer.
 *
 * Everything is written anew from the header map; nothing of what came in is echoed. Hop-by-hop
 * fields in the map are left out, and framing is written from `mb_h1_head`, which the codec fills:
 * so what the head says is what the codec then does. As a last line of defence the finished text
 * is scanned: it must have exactly the lines that were meant, whatever is in the values.
 */
#ifndef MB_HTTP_H1_WRITE_H
#define MB_HTTP_H1_WRITE_H

#include "base/scan.h"
#include "http/codec.h"

/* What the codec adds to a head or takes from it. */
typedef struct mb_h1_head {
    const mb_headers *headers;
    bool chunked;    /* writes transfer-encoding: chunked */
    bool empty;      /* writes content-length: 0 */
    bool no_length;  /* leaves the map's content-length out */
    bool close;      /* writes connection: close */
    bool keep_alive; /* writes connection: keep-alive, for HTTP/1.0 */
    bool upgrade;    /* writes the map's upgrade, and connection: upgrade */
    bool connect;    /* the request's target is its authority */
    uint8_t minor;   /* of the version in a status line */
} mb_h1_head;

/* MB_OK, MB_ENOMEM, or MB_EINVAL: no method, path or status, or a byte that would end a line. On
 * failure `out` is as it was. */
int mb_h1_write_request(mb_buffer *out, const mb_scan_ops *scan, const mb_h1_head *head);
int mb_h1_write_response(mb_buffer *out, const mb_h1_head *head);
/* The last chunk, the trailers, and the empty line. */
int mb_h1_write_trailers(mb_buffer *out, const mb_headers *trailers);

#endif
