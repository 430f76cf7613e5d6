/*
 * Chunked coding, both ways: the decoder reads framing only, chunk data stays where it is.
 *
 * The caller alternates: `mb_h1_chunked_read` over framing until it stops at data or at the end,
 * then moves up to `left` bytes of data on and says so with `mb_h1_chunked_take`. The trailer
 * section behind the last chunk is the line finder's.
 *
 * Extensions are checked and dropped. Their length is bounded, and so is framing as a share of a
 * body: else a sender could have us work through megabytes for a few bytes. RFC 9112 7.1.
 */
#ifndef MB_HTTP_H1_CHUNKED_H
#define MB_HTTP_H1_CHUNKED_H

#include "http/h1_fault.h"

/* Bytes of one chunk's extensions, its white space included. */
#define MB_H1_EXTENSION_BYTES_MAX 256u
/* Framing may be more than 4/5 of a body up to this many bytes of it. */
#define MB_H1_CHUNK_OVERHEAD_BYTES (100u * 1024u)
/* "7fffffffffffffff" CRLF */
#define MB_H1_CHUNK_SIZE_BYTES 18u

typedef enum mb_h1_chunk_state {
    MB_H1_CHUNK_SIZE = 0,   /* in the digits */
    MB_H1_CHUNK_SPACE,      /* white space that only ";" may end */
    MB_H1_CHUNK_NAME_START, /* behind ";" */
    MB_H1_CHUNK_NAME,
    MB_H1_CHUNK_NAME_SPACE,
    MB_H1_CHUNK_VALUE_START, /* behind "=" */
    MB_H1_CHUNK_VALUE,
    MB_H1_CHUNK_QUOTED,
    MB_H1_CHUNK_ESCAPED,
    MB_H1_CHUNK_QUOTED_END,
    MB_H1_CHUNK_SIZE_LF,
    MB_H1_CHUNK_DATA, /* `left` bytes of data come next */
    MB_H1_CHUNK_DATA_CR,
    MB_H1_CHUNK_DATA_LF,
    MB_H1_CHUNK_LAST, /* the trailer section comes next */
} mb_h1_chunk_state;

typedef struct mb_h1_chunked {
    mb_h1_chunk_state state;
    uint8_t digits;
    uint16_t extension_bytes;
    uint64_t left;                       /* bytes of the present chunk's data still to come */
    uint64_t data_bytes, overhead_bytes; /* of the whole body so far */
} mb_h1_chunked;

static inline void mb_h1_chunked_init(mb_h1_chunked *chunked) {
    *chunked = (mb_h1_chunked){.state = MB_H1_CHUNK_SIZE};
}

/* Reads framing; `*used` is how many bytes of it. Stops at data, at the last chunk's end, at the
 * end of the input, or with a fault. */
mb_h1_fault mb_h1_chunked_read(mb_h1_chunked *chunked, const char *at, size_t len, size_t *used);
/* In MB_H1_CHUNK_DATA: `bytes` <= left were moved on. */
void mb_h1_chunked_take(mb_h1_chunked *chunked, uint64_t bytes);

/* Writes the size and CRLF; returns the number of bytes, at most MB_H1_CHUNK_SIZE_BYTES. */
size_t mb_h1_chunk_size(char *at, uint64_t size);

#endif
