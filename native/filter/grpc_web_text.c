/*
 * Base64 of gRPC-Web; see grpc_web_text.h.
 *
 * Both ways take chunks from the front of a buffer and append what becomes of them to its end,
 * until what was there at first is used up: no second buffer, and never more than a chunk on the
 * stack. The encoder reads the heads of gRPC frames (PROTOCOL-HTTP2.md, Length-Prefixed-Message)
 * to know where to pad; it looks at nothing else in them.
 */
#include "filter/grpc_web_text.h"

#include "base/base64.h"
#include "base/slice.h"

/* Bytes that are converted at once; a multiple of 3. */
#define CHUNK_BYTES 3072u
#define CHUNK_CHARS (CHUNK_BYTES / 3 * 4)

/* Takes up to `max` of the first `*left` bytes of `data`. */
static size_t take_chunk(const mb_host *host, mb_buffer *data, size_t *left, char *to, size_t max) {
    size_t length = host->buffer_copy_out(data, 0, to, *left < max ? *left : max);
    host->buffer_drain(data, length);
    *left -= length;
    return length;
}

/* Whole groups of four. Returns the bytes written, or MB_EINVAL. */
static int64_t decode_groups(mb_slice text, char *out) {
    int64_t written = 0;
    while (text.len > 0) {
        const char *padding = memchr(text.ptr, '=', text.len);
        size_t run = padding == NULL ? text.len : ((size_t)(padding - text.ptr) / 4 + 1) * 4;
        int64_t bytes = mb_base64_decode(mb_slice_take(text, run), out + written);
        if (bytes < 0) {
            return bytes;
        }
        written += bytes;
        text = mb_slice_skip(text, run);
    }
    return written;
}

int mb__web_decode(const mb_host *host, mb_web_decoder *state, mb_buffer *data, bool end) {
    char text[CHUNK_CHARS], bytes[CHUNK_BYTES];
    size_t left = host->buffer_length(data);
    while (left > 0) {
        size_t length = state->count;
        memcpy(text, state->chars, length);
        length += take_chunk(host, data, &left, text + length, sizeof(text) - length);
        size_t whole = length / 4 * 4;
        int64_t decoded = decode_groups((mb_slice){text, whole}, bytes);
        if (decoded < 0) {
            return MB_EINVAL;
        }
        state->count = (uint8_t)(length - whole);
        memcpy(state->chars, text + whole, state->count);
        int rc = host->buffer_append(data, (mb_slice){bytes, (size_t)decoded});
        if (rc != MB_OK) {
            return rc;
        }
    }
    return end && state->count > 0 ? MB_EAGAIN : MB_OK;
}

/* Text on its way to the end of a buffer. The first error sticks. */
typedef struct writer {
    const mb_host *host;
    mb_buffer *to;
    int status;
    size_t length;
    char text[CHUNK_CHARS];
} writer;

static void flush(writer *out) {
    if (out->status == MB_OK && out->length > 0) {
        out->status = out->host->buffer_append(out->to, (mb_slice){out->text, out->length});
    }
    out->length = 0;
}

/* CHUNK_BYTES at most. */
static void write_groups(writer *out, mb_slice bytes) {
    if (out->length + mb_base64_encoded_bytes(bytes.len) > sizeof(out->text)) {
        flush(out);
    }
    out->length += mb_base64_encode(bytes, out->text + out->length);
}

static void encode(writer *out, mb_web_encoder *state, mb_slice bytes) {
    while (bytes.len > 0 && (state->count > 0 || bytes.len < 3)) {
        state->bytes[state->count++] = bytes.ptr[0];
        bytes = mb_slice_skip(bytes, 1);
        if (state->count == 3) {
            state->count = 0;
            write_groups(out, (mb_slice){state->bytes, 3});
        }
    }
    size_t whole = bytes.len / 3 * 3;
    if (whole > 0) {
        write_groups(out, mb_slice_take(bytes, whole));
        encode(out, state, mb_slice_skip(bytes, whole)); /* fewer than three */
    }
}

static void end_frame(writer *out, mb_web_encoder *state) {
    mb_slice rest = {state->bytes, state->count};
    if (rest.len > 0) {
        write_groups(out, rest);
    }
    *state = (mb_web_encoder){.count = 0};
}

static void encode_frames(writer *out, mb_web_encoder *state, mb_slice bytes) {
    while (bytes.len > 0) {
        size_t take = bytes.len < state->frame_left ? bytes.len : state->frame_left;
        if (state->head_bytes < MB_GRPC_FRAME_HEAD_BYTES) {
            take = 1;
            state->head[state->head_bytes++] = (uint8_t)bytes.ptr[0];
            if (state->head_bytes == MB_GRPC_FRAME_HEAD_BYTES) {
                state->frame_left = (uint32_t)state->head[1] << 24 |
                                    (uint32_t)state->head[2] << 16 | (uint32_t)state->head[3] << 8 |
                                    state->head[4];
            }
        } else {
            state->frame_left -= (uint32_t)take;
        }
        encode(out, state, mb_slice_take(bytes, take));
        bytes = mb_slice_skip(bytes, take);
        if (state->head_bytes == MB_GRPC_FRAME_HEAD_BYTES && state->frame_left == 0) {
            end_frame(out, state);
        }
    }
}

int mb__web_encode(const mb_host *host, mb_web_encoder *state, mb_buffer *data, bool end) {
    writer out = {.host = host, .to = data, .status = MB_OK, .length = 0};
    char bytes[CHUNK_BYTES];
    size_t left = host->buffer_length(data);
    while (left > 0 && out.status == MB_OK) {
        size_t length = take_chunk(host, data, &left, bytes, sizeof(bytes));
        encode_frames(&out, state, (mb_slice){bytes, length});
    }
    if (end) {
        end_frame(&out, state);
    }
    flush(&out);
    return out.status;
}
