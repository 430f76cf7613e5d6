/*
 * How long a message is: the decision of RFC 9112 6.3, in one place for both directions.
 *
 * Whatever leaves two readings is refused: a request that we end at one byte and an upstream at
 * another is a smuggled request.
 */
#ifndef MB_HTTP_H1_FRAMING_H
#define MB_HTTP_H1_FRAMING_H

#include "http/h1_parse.h"

typedef enum mb_h1_body {
    MB_H1_BODY_NONE = 0,    /* the message ends with its head */
    MB_H1_BODY_LENGTH,      /* `length` bytes follow, at least one */
    MB_H1_BODY_CHUNKED,     /* chunks and trailers follow */
    MB_H1_BODY_UNTIL_CLOSE, /* the end of the connection ends it; responses only */
} mb_h1_body;

typedef struct mb_h1_framing {
    mb_h1_body body;
    uint64_t length;
    bool keep_alive; /* the peer lets the connection carry another message after this one */
} mb_h1_framing;

mb_h1_fault mb_h1_frame_request(const mb_headers *headers, const mb_h1_message *message,
                                mb_h1_framing *out);
/* A `content-length: 0` in a 1xx or 204, where none may be, is taken out of the map. */
mb_h1_fault mb_h1_frame_response(mb_headers *headers, const mb_h1_message *message,
                                 bool head_request, mb_h1_framing *out);

#endif
