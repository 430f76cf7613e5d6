/*
 * Text: a growing string of bytes for log lines, access logs, statistics and msgpack.
 *
 * Appending never fails at the call: an error sticks in `status` and what follows is dropped, so a
 * writer checks once, at the end. MB_ENOMEM: the text ends where memory did. MB_ELIMIT: it was cut
 * at `limit`. Reusing one text for many lines (clear) allocates only while it still grows.
 */
#ifndef MB_BASE_TEXT_H
#define MB_BASE_TEXT_H

#include <moebridge/common.h>
#include <string.h>

#ifdef __cplusplus
extern "C" { /* for regex.cc */
#endif

typedef struct mb_text {
    const mb_allocator *allocator;
    char *ptr; /* owned */
    size_t len;
    size_t capacity;
    size_t limit; /* most bytes it may hold */
    int status;   /* MB_OK, MB_ENOMEM or MB_ELIMIT; the first error */
} mb_text;

/* `limit` SIZE_MAX: as much as there is memory. */
static inline void mb_text_init(mb_text *text, const mb_allocator *allocator, size_t limit) {
    memset(text, 0, sizeof(*text)); /* C++ warns of designated initialisers that leave fields out */
    text->allocator = allocator;
    text->limit = limit;
}
void mb_text_fini(mb_text *text);
/* Empty and without error again; keeps the memory. */
static inline void mb_text_clear(mb_text *text) {
    text->len = 0;
    text->status = MB_OK;
}
/* Cuts it back to its first `len` bytes (of those it has). Keeps the status. */
static inline void mb_text_truncate(mb_text *text, size_t len) {
    text->len = len < text->len ? len : text->len;
}
/* Valid until the next change. */
static inline mb_slice mb_text_view(const mb_text *text) {
    return (mb_slice){text->ptr == NULL ? "" : text->ptr, text->len};
}

/* Makes room for `bytes` more and returns where they go, to be followed by adding what was
 * written to `len`. NULL: error, in `status`. */
char *mb_text_room(mb_text *text, size_t bytes);

void mb__text_append_slow(mb_text *text, const char *ptr, size_t len);
static inline void mb_text_append(mb_text *text, mb_slice bytes) {
    if (bytes.len <= text->capacity - text->len && text->status == MB_OK && bytes.len > 0) {
        memcpy(text->ptr + text->len, bytes.ptr, bytes.len);
        text->len += bytes.len;
    } else {
        mb__text_append_slow(text, bytes.ptr, bytes.len);
    }
}
static inline void mb_text_byte(mb_text *text, char byte) {
    mb_text_append(text, (mb_slice){&byte, 1});
}
/* A constant of ours: mb_text_c(text, " ms\n"). */
static inline void mb_text_c(mb_text *text, const char *constant) {
    mb_text_append(text, (mb_slice){constant, strlen(constant)});
}
void mb_text_u64(mb_text *text, uint64_t value);
void mb_text_i64(mb_text *text, int64_t value);
/* Decimal with leading zeros to at least `digits` (at most 20). */
void mb_text_u64_padded(mb_text *text, uint64_t value, unsigned digits);
/* Lower-case, without prefix or leading zeros. */
void mb_text_hex(mb_text *text, uint64_t value);
/* The shortest decimal that reads back as the same number, with a point in every locale; "nan",
 * "inf", "-inf". */
void mb_text_double(mb_text *text, double value);
/* A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. RFC 8259 7. */
void mb_text_json(mb_text *text, mb_slice string);
/* Whether bytes are well-formed UTF-8. RFC 3629 4. */
bool mb_text_is_utf8(mb_slice bytes);
/* printf; slices go as "%.*s" with MB_TEXT_ARG(slice). Not for hot paths. */
void mb_text_format(mb_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define MB_TEXT_ARG(slice) ((int)(slice).len), ((slice).len > 0 ? (slice).ptr : "")

#ifdef __cplusplus
}
#endif

#endif
