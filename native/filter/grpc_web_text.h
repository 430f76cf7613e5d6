/*
 * The text form of gRPC-Web bodies: base64 that comes and goes in pieces of any length.
 *
 * A part of the grpc_web filter. Both ways replace what is in a buffer; what does not make a whole
 * group yet stays in the state, less than four characters or three bytes. A zeroed state is a new
 * one; it owns nothing. Source: PROTOCOL-WEB.md of gRPC.
 */
#ifndef MB_FILTER_GRPC_WEB_TEXT_H
#define MB_FILTER_GRPC_WEB_TEXT_H

#include <moebridge/filter.h>

#define MB_GRPC_FRAME_HEAD_BYTES 5u

typedef struct mb_web_decoder {
    uint8_t count;
    char chars[4]; /* the group that is not whole yet */
} mb_web_decoder;

typedef struct mb_web_encoder {
    uint8_t count, head_bytes;
    char bytes[3]; /* the group that is not whole yet */
    uint8_t head[MB_GRPC_FRAME_HEAD_BYTES];
    uint32_t frame_left; /* bytes of the frame that are still to come */
} mb_web_encoder;

/* Padding may stand at the end of any group, since clients encode frame by frame. `end`: nothing
 * follows. MB_OK, MB_EINVAL (no base64), MB_EAGAIN (the end came in a group) or MB_ENOMEM; after
 * an error the data is not to be used. */
int mb__web_decode(const mb_host *host, mb_web_decoder *state, mb_buffer *data, bool end);

/* Pads at the end of each gRPC frame, so that a client can decode a message when it has come, and
 * at the `end`, also of a frame that was cut. MB_OK or MB_ENOMEM. */
int mb__web_encode(const mb_host *host, mb_web_encoder *state, mb_buffer *data, bool end);

#endif
