/*
 * msgpack: reading configuration and metadata that Python or a module gave, and writing it.
 *
 * The reader is a cursor over borrowed bytes. It never allocates, never recurses and never reads
 * outside them, whatever they hold; strings are slices of the input, str is not checked for
 * UTF-8. Non-negative integers come as UINT in whichever form they were written.
 * Source: the msgpack specification, https://github.com/msgpack/msgpack/blob/master/spec.md
 */
#ifndef MB_BASE_MSGPACK_H
#define MB_BASE_MSGPACK_H

#include "base/text.h"

/* Deepest nesting that `check` and `to_json` accept whatever they are told. */
#define MB_MSGPACK_DEPTH_MAX 64

typedef enum mb_msgpack_type {
    MB_MSGPACK_NIL,
    MB_MSGPACK_BOOL,
    MB_MSGPACK_INT,  /* negative */
    MB_MSGPACK_UINT, /* 0 and more */
    MB_MSGPACK_DOUBLE,
    MB_MSGPACK_STR,
    MB_MSGPACK_BIN,
    MB_MSGPACK_ARRAY,
    MB_MSGPACK_MAP,
    MB_MSGPACK_EXT
} mb_msgpack_type;

typedef struct mb_msgpack_token {
    mb_msgpack_type type;
    union {
        bool boolean;
        int64_t integer;   /* INT */
        uint64_t uinteger; /* UINT */
        double number;
        uint32_t count; /* ARRAY: values that follow; MAP: pairs that follow */
        int8_t ext;     /* EXT: its application type */
    };
    mb_slice bytes; /* STR, BIN, EXT; in the input */
} mb_msgpack_token;

typedef struct mb_msgpack {
    const char *at, *end;
} mb_msgpack;

static inline mb_msgpack mb_msgpack_read(mb_slice bytes) {
    return (mb_msgpack){bytes.ptr, bytes.len == 0 ? bytes.ptr : bytes.ptr + bytes.len};
}
static inline bool mb_msgpack_at_end(const mb_msgpack *cursor) {
    return cursor->at == cursor->end;
}

/* Reads one token; of an array or map only its head, the values follow. MB_OK, MB_ENOTFOUND at
 * the end of the input, or MB_EPROTO (cut or malformed) with the cursor where it was. */
int mb_msgpack_next(mb_msgpack *cursor, mb_msgpack_token *out);
/* Goes past one whole value. Results as of `next`. */
int mb_msgpack_skip(mb_msgpack *cursor);
/* The bytes of one whole value, and goes past it. Results as of `next`. */
int mb_msgpack_value(mb_msgpack *cursor, mb_slice *value);
/* The value of the first entry of a map whose key is that str (or bin). MB_OK, MB_ENOTFOUND,
 * MB_EINVAL when it is no map, MB_EPROTO. */
int mb_msgpack_find(mb_slice map, mb_slice key, mb_slice *value);
/* Exactly one well-formed value and nothing behind it. MB_OK, MB_EPROTO, or MB_ELIMIT when it
 * nests deeper than `max_depth` (a scalar is depth 0) or has more than `max_items` tokens. */
int mb_msgpack_check(mb_slice bytes, unsigned max_depth, size_t max_items);

/* Typed reads of the next token: MB_OK, or MB_EINVAL with the cursor where it was when it has
 * another type or doesn't fit, or as `next`. An integral type accepts no double. */
int mb_msgpack_get_bool(mb_msgpack *cursor, bool *out);
int mb_msgpack_get_u64(mb_msgpack *cursor, uint64_t *out);
int mb_msgpack_get_i64(mb_msgpack *cursor, int64_t *out);
int mb_msgpack_get_double(mb_msgpack *cursor, double *out); /* integers too */
int mb_msgpack_get_str(mb_msgpack *cursor, mb_slice *out);  /* bin too */
int mb_msgpack_get_array(mb_msgpack *cursor, uint32_t *count);
int mb_msgpack_get_map(mb_msgpack *cursor, uint32_t *count);

/* Writers: each appends one token in its shortest form. Errors stick in `out->status`. */
void mb_msgpack_put_nil(mb_text *out);
void mb_msgpack_put_bool(mb_text *out, bool value);
void mb_msgpack_put_u64(mb_text *out, uint64_t value);
void mb_msgpack_put_i64(mb_text *out, int64_t value);
void mb_msgpack_put_double(mb_text *out, double value);
void mb_msgpack_put_str(mb_text *out, mb_slice value);
void mb_msgpack_put_bin(mb_text *out, mb_slice value);
void mb_msgpack_put_array(mb_text *out, uint32_t count);
void mb_msgpack_put_map(mb_text *out, uint32_t pairs);

/* Appends one value as JSON: bin and ext as base64 strings, keys that are no strings as the JSON
 * text of the key in quotes, numbers that JSON hasn't as "NaN", "Infinity" and "-Infinity".
 * MB_OK, MB_EPROTO, MB_EINVAL (an array or a map as a key), MB_ELIMIT (too deep), or the text's
 * status. On error a part of the value may have been appended. */
int mb_msgpack_to_json(mb_slice value, mb_text *out);

#endif
