/*
 * HTTP/1.1 as client.c and upstream.c need it: fields of a head, bodies by length, chunks or end of
 * connection, and the bytes that a request's id stands for. Both sides make the same bytes, so a
 * body that was mixed up with another one is seen without a checksum.
 */
#ifndef LOAD_WIRE_H
#define LOAD_WIRE_H

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* -- bytes of an id ---------------------------------------------------------------------------- */

enum { WIRE_BLOCK = 1 << 16 };

/* The block, twice: a run of WIRE_BLOCK bytes begins at each of the first WIRE_BLOCK offsets. */
static char wire_block[2 * WIRE_BLOCK];

static void wire_init(void) {
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < WIRE_BLOCK; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        wire_block[i] = wire_block[i + WIRE_BLOCK] = (char)(x >> 32);
    }
}

/* Bytes of `id` from `offset` on; `*run` is how many there are in one piece. */
static inline const char *wire_bytes(uint64_t id, uint64_t offset, size_t *run) {
    size_t at = (size_t)((id * 8191 + offset) % WIRE_BLOCK);
    *run = 2 * WIRE_BLOCK - at;
    return wire_block + at;
}

static inline bool wire_same(uint64_t id, uint64_t offset, const char *data, size_t size) {
    while (size) {
        size_t run;
        const char *expected = wire_bytes(id, offset, &run);
        run = run < size ? run : size;
        if (memcmp(expected, data, run) != 0) {
            return false;
        }
        data += run;
        size -= run;
        offset += run;
    }
    return true;
}

/* -- heads ------------------------------------------------------------------------------------- */

/* Copies the value of a field of `head` (NUL-terminated) to `out`; "" if there is none. */
static inline bool wire_field(const char *head, const char *name, char *out, size_t size) {
    size_t length = strlen(name);
    out[0] = '\0';
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, length) != 0 || line[length] != ':') {
            continue;
        }
        const char *value = line + length + 1;
        value += strspn(value, " \t");
        size_t end = strcspn(value, "\r");
        end = end < size - 1 ? end : size - 1;
        memcpy(out, value, end);
        out[end] = '\0';
        return true;
    }
    return false;
}

static inline uint64_t wire_number(const char *head, const char *name) {
    char value[24];
    return wire_field(head, name, value, sizeof(value)) ? strtoull(value, NULL, 10) : 0;
}

/* -- bodies ------------------------------------------------------------------------------------ */

typedef enum { WIRE_LENGTH, WIRE_SIZE, WIRE_DATA, WIRE_DATA_END, WIRE_TRAILER, WIRE_CLOSE } wire_at;

typedef struct wire_body {
    wire_at at;
    bool done;
    uint64_t left;     /* of the length, or of the chunk */
    char line[256];    /* the size or trailer line that has come so far */
    size_t line_bytes; /* 0 .. sizeof(line) - 1; what is longer is malformed */
    char trailer[128]; /* value of the trailer x-trailer */
} wire_body;

static inline void wire_body_begin(wire_body *body, const char *head, bool is_response) {
    char value[32];
    memset(body, 0, sizeof(*body));
    if (wire_field(head, "transfer-encoding", value, sizeof(value))) {
        body->at = WIRE_SIZE;
    } else if (wire_field(head, "content-length", value, sizeof(value)) || !is_response) {
        body->left = strtoull(value, NULL, 10);
        body->done = body->left == 0;
    } else {
        body->at = WIRE_CLOSE;
    }
}

/* A line of a chunked body without its CRLF. Returns false when it is malformed. */
static inline bool wire_line(wire_body *body) {
    char *end;
    body->line[body->line_bytes] = '\0';
    size_t length = body->line_bytes;
    body->line_bytes = 0;
    switch (body->at) {
    case WIRE_DATA_END:
        body->at = WIRE_SIZE;
        return length == 0;
    case WIRE_SIZE:
        body->left = strtoull(body->line, &end, 16);
        body->at = body->left ? WIRE_DATA : WIRE_TRAILER;
        return length != 0 && *end == '\0' && isxdigit((unsigned char)body->line[0]);
    default:
        body->done = length == 0;
        if (strncasecmp(body->line, "x-trailer: ", 11) == 0) {
            snprintf(body->trailer, sizeof(body->trailer), "%s", body->line + 11);
        }
        return true;
    }
}

typedef void wire_sink(void *context, const char *data, size_t size);

/* Returns how many bytes belong to the body, or -1. */
static inline long wire_body_feed(wire_body *body, const char *data, size_t size, wire_sink *sink,
                                  void *context) {
    size_t used = 0;
    while (used < size && !body->done) {
        if (body->at == WIRE_LENGTH || body->at == WIRE_DATA || body->at == WIRE_CLOSE) {
            size_t run = size - used;
            if (body->at != WIRE_CLOSE) {
                run = body->left < run ? (size_t)body->left : run;
                body->left -= run;
            }
            sink(context, data + used, run);
            used += run;
            if (body->at != WIRE_CLOSE && body->left == 0) {
                body->done = body->at == WIRE_LENGTH;
                body->at = body->at == WIRE_DATA ? WIRE_DATA_END : body->at;
            }
            continue;
        }
        char byte = data[used++];
        if (byte == '\n') {
            if (body->line_bytes == 0 || body->line[--body->line_bytes] != '\r' ||
                !wire_line(body)) {
                return -1;
            }
        } else if (body->line_bytes == sizeof(body->line) - 1) {
            return -1;
        } else {
            body->line[body->line_bytes++] = byte;
        }
    }
    return (long)used;
}

#endif
