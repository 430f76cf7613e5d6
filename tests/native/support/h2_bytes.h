/*
 * Writes HTTP/2 frames by hand, as a test or a fuzzer wants them, right or wrong, and reads what a
 * codec wrote as text. HPACK is the plainest there is: literals without indexing, no Huffman.
 *
 *     SETTINGS 3; SETTINGS ack; HEADERS 1 end; DATA 1 5 end; RST_STREAM 3 PROTOCOL_ERROR;
 *     WINDOW_UPDATE 0 32768; GOAWAY 7 NO_ERROR; PING ack
 */
#ifndef H2_BYTES_H
#define H2_BYTES_H

#include <moebridge/common.h>

typedef struct h2_bytes {
    size_t length;
    char data[1 << 20];
} h2_bytes;

enum { H2_END_STREAM = 1, H2_ACK = 1, H2_END_HEADERS = 4, H2_PADDED = 8, H2_PRIORITY = 32 };

enum {
    H2_DATA = 0,
    H2_HEADERS,
    H2_PRIORITY_FRAME,
    H2_RST_STREAM,
    H2_SETTINGS,
    H2_PUSH_PROMISE,
    H2_PING,
    H2_GOAWAY,
    H2_WINDOW_UPDATE,
    H2_CONTINUATION
};

/* On the heap, empty; free() it. */
h2_bytes *h2_bytes_new(void);
mb_slice h2_bytes_slice(const h2_bytes *bytes);
void h2_put(h2_bytes *bytes, mb_slice raw);
/* The preface of a client and empty SETTINGS. */
void h2_put_preface(h2_bytes *bytes);
void h2_put_frame(h2_bytes *bytes, int type, int flags, uint32_t id, mb_slice payload);
/* A frame of four bytes: WINDOW_UPDATE, RST_STREAM. */
void h2_put_u32(h2_bytes *bytes, int type, uint32_t id, uint32_t value);
void h2_put_setting(h2_bytes *bytes, uint16_t which, uint32_t value);
void h2_put_goaway(h2_bytes *bytes, uint32_t last, uint32_t code);
/* One literal field of a header block. */
void h2_put_field(h2_bytes *bytes, mb_slice name, mb_slice value);
/* HEADERS; `fields` are lines "name: value\n". Flags beyond END_HEADERS as given. */
void h2_put_headers(h2_bytes *bytes, uint32_t id, int flags, const char *fields);
/* The head of a GET of `path` at example.com. */
void h2_put_get(h2_bytes *bytes, uint32_t id, int flags, const char *path);
/* Writes the frames in `wire` as text; returns its length. */
size_t h2_describe(mb_slice wire, char *text, size_t room);

#endif
