/*
 * Header map: an ordered multimap of lower-case names, with the pseudo-headers beside it.
 *
 * Slices point into slabs (parsed fields), into constant memory (known names) or into the arena
 * (what filters set). Known names are tokens (token.h) with the index of their first field, so
 * finding one takes no comparison of text. The map never frees: its memory is the arena's.
 *
 * Used by codecs (fill, serialise), filters (through filter.h), routes and the access log.
 * Worker only. RFC 9110 5, RFC 9113 8.3.
 */
#ifndef MB_HTTP_HEADER_MAP_H
#define MB_HTTP_HEADER_MAP_H

#include "base/arena.h"
#include "http/token.h"
#include <moebridge/filter.h>

/* Beside name and value a field takes ": " and CRLF on the wire. */
#define MB_FIELD_EXTRA_BYTES 4u

typedef struct mb_field {
    mb_slice name;  /* lower-case; for a known name the token's own constant text */
    mb_slice value; /* without surrounding white space */
    uint32_t token; /* MB_TOKEN_NONE for other names */
    uint32_t next;  /* 1 + index of the next field of the same token; 0 none */
} mb_field;

struct mb_headers {
    mb_arena *arena;
    mb_field *fields;
    uint32_t count, capacity;
    uint32_t byte_count; /* sum of name, value and 4 a field, as the h1 wire would need */
    bool immutable;      /* set after the last byte: setters answer MB_EPHASE */
    mb_slice pseudo[MB_PSEUDO_COUNT]; /* ptr NULL: absent */
    uint16_t first[MB_TOKEN_COUNT];   /* 1 + index of the first field; 0 none */
};

void mb_headers_init(mb_headers *headers, mb_arena *arena);
/* As zeroed memory again, for `arena` to be set; the arena has the fields' memory. */
void mb_headers_reset(mb_headers *headers);

/* Room for that many fields in all, so that a codec which knows the number grows once. */
int mb_headers_reserve(mb_headers *headers, uint32_t fields);

/* For codecs: appends a field that is already valid and lower-case; nothing is copied. `token`
 * as from `mb_token_find`. MB_OK or MB_ENOMEM. */
int mb_headers_append_raw(mb_headers *headers, uint32_t token, mb_slice name, mb_slice value);
void mb__headers_link(mb_headers *headers, uint32_t index, uint32_t token);
/* The same where room is reserved: the parser's way. `byte_count` is the caller's to add to. */
static inline void mb__headers_push(mb_headers *headers, uint32_t token, mb_slice name,
                                    mb_slice value) {
    uint32_t index = headers->count++;

    headers->fields[index] = (mb_field){
        .name = token == MB_TOKEN_NONE ? name : mb__token_names[token],
        .value = value,
        .token = token,
        .next = 0,
    };
    if (token != MB_TOKEN_NONE) {
        if (headers->first[token] == 0) {
            headers->first[token] = (uint16_t)(index + 1);
        } else {
            mb__headers_link(headers, index, token);
        }
    }
}

/* `host` is never a field: it is `:authority`, and the checked operations below treat the name
 * "host" as that pseudo-header. */

/* Known names, without text comparison. NULL or an empty slice with NULL ptr when absent. */
const mb_field *mb_headers_find(const mb_headers *headers, uint32_t token);
mb_slice mb_headers_value(const mb_headers *headers, uint32_t token);
static inline bool mb_headers_has(const mb_headers *headers, uint32_t token) {
    return headers->first[token] != 0;
}
static inline mb_slice mb_headers_pseudo(const mb_headers *headers, mb_pseudo which) {
    return headers->pseudo[which];
}
/* The value is borrowed, not copied: it must outlive the map (arena, slab or constant). */
static inline void mb_headers_set_pseudo(mb_headers *headers, mb_pseudo which, mb_slice value) {
    headers->pseudo[which] = value;
}
/* Replace/append/remove by token; the value is borrowed. MB_OK, MB_ENOMEM. */
int mb_headers_set_token(mb_headers *headers, uint32_t token, mb_slice value);
int mb_headers_add_token(mb_headers *headers, uint32_t token, mb_slice value);
void mb_headers_remove_token(mb_headers *headers, uint32_t token);
/* Removes every field for which `drop` answers true; order of the rest is kept. */
void mb_headers_remove_if(mb_headers *headers, bool (*drop)(void *ctx, const mb_field *field),
                          void *ctx);
/* Copies names and values of `from` into `to`'s own arena (frozen copy for a late reader). */
int mb_headers_copy(mb_headers *to, const mb_headers *from);

/* The checked operations behind filter.h; semantics and results stand there. Every control but
 * HTAB is refused in a value, not just CR, LF and NUL: the writer would refuse it later. All that
 * change answer MB_EPHASE on an immutable map; adding a pseudo-header that is there, MB_EINVAL. */
size_t mb_headers_count(const mb_headers *headers);
int mb_headers_at(const mb_headers *headers, size_t index, mb_header *out);
int mb_headers_get(const mb_headers *headers, mb_slice name, size_t index, mb_slice *out);
int mb_headers_set(mb_headers *headers, mb_slice name, mb_slice value);
int mb_headers_add(mb_headers *headers, mb_slice name, mb_slice value);
int mb_headers_remove(mb_headers *headers, mb_slice name);

#endif
