/*
 * The header map: see header_map.h for what it promises.
 *
 * Fields stand in one array in wire order. `first` and `next` chain those of one token; removing
 * closes the gap and builds the chains anew, which is rare, so that finding and appending stay
 * a few instructions. Memory is the arena's: growing copies, removing forgets.
 */
#include "http/header_map.h"

#include "base/slice.h"
#include "http/chars.h"
#include <string.h>

#define FIRST_CAPACITY 16u
/* What `first` can number. */
#define FIELDS_MAX 65535u

void mb_headers_init(mb_headers *headers, mb_arena *arena) {
    memset(headers, 0, sizeof *headers);
    headers->arena = arena;
}

void mb_headers_reset(mb_headers *headers) {
    if (headers->fields != NULL) {
        memset(headers->first, 0, sizeof headers->first);
    }
    memset(headers, 0, offsetof(mb_headers, first));
}

int mb_headers_reserve(mb_headers *headers, uint32_t fields) {
    mb_field *grown;

    if (fields <= headers->capacity) {
        return MB_OK;
    }
    if (fields > FIELDS_MAX) {
        return MB_ENOMEM;
    }
    grown = mb_arena_alloc(headers->arena, fields * sizeof *grown);
    if (grown == NULL) {
        return MB_ENOMEM;
    }
    if (headers->count != 0) {
        memcpy(grown, headers->fields, headers->count * sizeof *grown);
    }
    headers->fields = grown;
    headers->capacity = fields;
    return MB_OK;
}

/* Puts the index-th field at the end of its token's chain, which is not empty. */
void mb__headers_link(mb_headers *headers, uint32_t index, uint32_t token) {
    uint32_t at = headers->first[token];

    while (headers->fields[at - 1].next != 0) {
        at = headers->fields[at - 1].next;
    }
    headers->fields[at - 1].next = index + 1;
}

static void rebuild_index(mb_headers *headers) {
    uint16_t last[MB_TOKEN_COUNT];

    memset(headers->first, 0, sizeof headers->first);
    for (uint32_t i = 0; i < headers->count; i++) {
        uint32_t token = headers->fields[i].token;

        headers->fields[i].next = 0;
        if (token == MB_TOKEN_NONE) {
            continue;
        }
        if (headers->first[token] == 0) {
            headers->first[token] = (uint16_t)(i + 1);
        } else {
            headers->fields[last[token]].next = i + 1;
        }
        last[token] = (uint16_t)i;
    }
}

int mb_headers_append_raw(mb_headers *headers, uint32_t token, mb_slice name, mb_slice value) {
    if (name.len + value.len > UINT32_MAX - MB_FIELD_EXTRA_BYTES - headers->byte_count) {
        return MB_ENOMEM;
    }
    if (headers->count == headers->capacity) {
        uint32_t wanted = headers->capacity == 0 ? FIRST_CAPACITY : headers->capacity * 2;

        if (headers->capacity == FIELDS_MAX) {
            return MB_ENOMEM;
        }
        if (mb_headers_reserve(headers, wanted > FIELDS_MAX ? FIELDS_MAX : wanted) != MB_OK) {
            return MB_ENOMEM;
        }
    }
    mb__headers_push(headers, token, name, value);
    headers->byte_count += (uint32_t)(name.len + value.len + MB_FIELD_EXTRA_BYTES);
    return MB_OK;
}

const mb_field *mb_headers_find(const mb_headers *headers, uint32_t token) {
    uint32_t at = token < MB_TOKEN_COUNT ? headers->first[token] : 0;

    return at == 0 ? NULL : &headers->fields[at - 1];
}

mb_slice mb_headers_value(const mb_headers *headers, uint32_t token) {
    const mb_field *field = mb_headers_find(headers, token);

    return field == NULL ? (mb_slice){NULL, 0} : field->value;
}

void mb_headers_remove_if(mb_headers *headers, bool (*drop)(void *ctx, const mb_field *field),
                          void *ctx) {
    uint32_t kept = 0;

    for (uint32_t i = 0; i < headers->count; i++) {
        const mb_field *field = &headers->fields[i];

        if (drop(ctx, field)) {
            headers->byte_count -=
                (uint32_t)(field->name.len + field->value.len + MB_FIELD_EXTRA_BYTES);
            continue;
        }
        if (kept != i) {
            headers->fields[kept] = *field;
        }
        kept++;
    }
    if (kept != headers->count) {
        headers->count = kept;
        rebuild_index(headers);
    }
}

/* What the removers below look for. `keep` is left alone: the field that stays. */
typedef struct match {
    uint32_t token;
    mb_slice name;
    const mb_field *keep;
} match;

static bool matches(void *ctx, const mb_field *field) {
    const match *wanted = ctx;

    if (field->token != wanted->token || field == wanted->keep) {
        return false;
    }
    return wanted->token != MB_TOKEN_NONE || mb_slice_equal(field->name, wanted->name);
}

void mb_headers_remove_token(mb_headers *headers, uint32_t token) {
    if (token != MB_TOKEN_NONE && token < MB_TOKEN_COUNT && headers->first[token] != 0) {
        mb_headers_remove_if(headers, matches, &(match){.token = token});
    }
}

/* The first field of a name, or NULL. */
static mb_field *find_name(const mb_headers *headers, uint32_t token, mb_slice name) {
    if (token != MB_TOKEN_NONE) {
        return headers->first[token] == 0 ? NULL : &headers->fields[headers->first[token] - 1];
    }
    for (uint32_t i = 0; i < headers->count; i++) {
        mb_field *field = &headers->fields[i];

        if (field->token == MB_TOKEN_NONE && mb_slice_equal(field->name, name)) {
            return field;
        }
    }
    return NULL;
}

/* Whether a field that has no token comes again behind. */
static bool is_repeated(const mb_headers *headers, const mb_field *field) {
    for (const mb_field *at = field + 1; at < headers->fields + headers->count; at++) {
        if (at->token == MB_TOKEN_NONE && mb_slice_equal(at->name, field->name)) {
            return true;
        }
    }
    return false;
}

/* One value in the place of the first; the value is borrowed. */
static int replace(mb_headers *headers, uint32_t token, mb_slice name, mb_slice value) {
    mb_field *field = find_name(headers, token, name);

    if (field == NULL) {
        return mb_headers_append_raw(headers, token, name, value);
    }
    if (value.len > UINT32_MAX - headers->byte_count) {
        return MB_ENOMEM;
    }
    headers->byte_count += (uint32_t)value.len - (uint32_t)field->value.len;
    field->value = value;
    if (token == MB_TOKEN_NONE ? is_repeated(headers, field) : field->next != 0) {
        /* Comparing with `keep` works since nothing before the first one moves. */
        mb_headers_remove_if(headers, matches, &(match){token, field->name, field});
    }
    return MB_OK;
}

int mb_headers_set_token(mb_headers *headers, uint32_t token, mb_slice value) {
    return replace(headers, token, mb_token_name(token), value);
}

int mb_headers_add_token(mb_headers *headers, uint32_t token, mb_slice value) {
    return mb_headers_append_raw(headers, token, mb_token_name(token), value);
}

int mb_headers_copy(mb_headers *to, const mb_headers *from) {
    mb_slice name, value;

    if (mb_headers_reserve(to, to->count + from->count) != MB_OK) {
        return MB_ENOMEM;
    }
    for (int i = 0; i < MB_PSEUDO_COUNT; i++) {
        if (from->pseudo[i].ptr != NULL) {
            if (mb_arena_dup(to->arena, from->pseudo[i], &value) != MB_OK) {
                return MB_ENOMEM;
            }
            to->pseudo[i] = value.ptr == NULL ? MB_SLICE_LIT("") : value;
        }
    }
    for (uint32_t i = 0; i < from->count; i++) {
        const mb_field *field = &from->fields[i];

        name = field->name;
        if (field->token == MB_TOKEN_NONE && mb_arena_dup(to->arena, name, &name) != MB_OK) {
            return MB_ENOMEM;
        }
        if (mb_arena_dup(to->arena, field->value, &value) != MB_OK ||
            mb_headers_append_raw(to, field->token, name, value) != MB_OK) {
            return MB_ENOMEM;
        }
    }
    return MB_OK;
}

/* -- the checked operations behind filter.h ------------------------------------------------ */

static bool pseudo_is_valid(mb_pseudo which, mb_slice value) {
    switch (which) {
    case MB_PSEUDO_METHOD:
        return value.len > 0 && mb_http_is_all(value, MB_CHAR_TOKEN);
    case MB_PSEUDO_PATH:
        return value.len > 0 && (value.ptr[0] == '/' || (value.len == 1 && value.ptr[0] == '*')) &&
               mb_http_is_all(value, MB_CHAR_TARGET);
    case MB_PSEUDO_AUTHORITY:
        return mb_http_is_authority(value);
    case MB_PSEUDO_SCHEME:
        return value.len > 0 && mb_http_is_all(value, MB_CHAR_LOWER_TOKEN);
    case MB_PSEUDO_STATUS:
        return mb_http_is_status(value);
    case MB_PSEUDO_PROTOCOL:
        return value.len > 0 && mb_http_is_all(value, MB_CHAR_TOKEN);
    default:
        return false;
    }
}

static int set_pseudo(mb_headers *headers, mb_pseudo which, mb_slice value) {
    mb_slice copy;

    if (!pseudo_is_valid(which, value)) {
        return MB_EINVAL;
    }
    if (mb_arena_dup(headers->arena, value, &copy) != MB_OK) {
        return MB_ENOMEM;
    }
    headers->pseudo[which] = copy;
    return MB_OK;
}

static bool is_pseudo(mb_slice name) {
    return mb_pseudo_find(name) != MB_PSEUDO_COUNT;
}

/* A name that is a token's is a good one. */
static int check_field(const mb_headers *headers, uint32_t token, mb_slice name, mb_slice value) {
    if (headers->immutable) {
        return MB_EPHASE;
    }
    if (token == MB_TOKEN_NONE && (name.len == 0 || !mb_http_is_all(name, MB_CHAR_LOWER_TOKEN))) {
        return MB_EINVAL;
    }
    return mb_http_is_value(value) ? MB_OK : MB_EINVAL;
}

size_t mb_headers_count(const mb_headers *headers) {
    return headers->count;
}

int mb_headers_at(const mb_headers *headers, size_t index, mb_header *out) {
    if (index >= headers->count) {
        return MB_ENOTFOUND;
    }
    out->name = headers->fields[index].name;
    out->value = headers->fields[index].value;
    return MB_OK;
}

static int get_known(const mb_headers *headers, uint32_t token, size_t index, mb_slice *out) {
    const mb_field *found = NULL;
    size_t count = 0;

    for (uint32_t at = headers->first[token]; at != 0; at = headers->fields[at - 1].next) {
        if (count++ == index) {
            found = &headers->fields[at - 1];
        }
    }
    if (found == NULL) {
        return MB_ENOTFOUND;
    }
    *out = found->value;
    return (int)count;
}

int mb_headers_get(const mb_headers *headers, mb_slice name, size_t index, mb_slice *out) {
    uint32_t token = mb_token_find(name);
    const mb_field *found = NULL;
    size_t count = 0;
    mb_pseudo pseudo;

    if (token != MB_TOKEN_NONE && token != MB_TOKEN_HOST) {
        return get_known(headers, token, index, out);
    }
    pseudo = mb_pseudo_find(name);
    if (pseudo != MB_PSEUDO_COUNT) {
        if (headers->pseudo[pseudo].ptr == NULL || index != 0) {
            return MB_ENOTFOUND;
        }
        *out = headers->pseudo[pseudo];
        return 1;
    }
    for (uint32_t i = 0; i < headers->count; i++) {
        const mb_field *field = &headers->fields[i];

        if (field->token == MB_TOKEN_NONE && mb_slice_equal(field->name, name) &&
            count++ == index) {
            found = field;
        }
    }
    if (found == NULL) {
        return MB_ENOTFOUND;
    }
    *out = found->value;
    return (int)count;
}

/* Copies what the map will keep: the value, and a name that is no token's. */
static int keep_copies(mb_headers *headers, uint32_t token, mb_slice *name, mb_slice *value) {
    if (token == MB_TOKEN_NONE && mb_arena_dup(headers->arena, *name, name) != MB_OK) {
        return MB_ENOMEM;
    }
    return mb_arena_dup(headers->arena, *value, value);
}

int mb_headers_set(mb_headers *headers, mb_slice name, mb_slice value) {
    mb_pseudo pseudo = mb_pseudo_find(name);
    uint32_t token = mb_token_find(name);
    int rc;

    if (pseudo != MB_PSEUDO_COUNT) {
        return headers->immutable ? MB_EPHASE : set_pseudo(headers, pseudo, value);
    }
    rc = check_field(headers, token, name, value);
    if (rc != MB_OK) {
        return rc;
    }
    rc = keep_copies(headers, token, &name, &value);
    return rc != MB_OK ? rc : replace(headers, token, name, value);
}

int mb_headers_add(mb_headers *headers, mb_slice name, mb_slice value) {
    mb_pseudo pseudo = mb_pseudo_find(name);
    uint32_t token = mb_token_find(name);
    int rc;

    if (pseudo != MB_PSEUDO_COUNT && !headers->immutable) {
        /* There is one of each. */
        return headers->pseudo[pseudo].ptr != NULL ? MB_EINVAL : set_pseudo(headers, pseudo, value);
    }
    rc = check_field(headers, token, name, value);
    if (rc != MB_OK) {
        return rc;
    }
    rc = keep_copies(headers, token, &name, &value);
    return rc != MB_OK ? rc : mb_headers_append_raw(headers, token, name, value);
}

int mb_headers_remove(mb_headers *headers, mb_slice name) {
    uint32_t before = headers->count;

    if (headers->immutable) {
        return MB_EPHASE;
    }
    if (is_pseudo(name)) {
        return MB_EINVAL;
    }
    mb_headers_remove_if(headers, matches, &(match){.token = mb_token_find(name), .name = name});
    return (int)(before - headers->count);
}
