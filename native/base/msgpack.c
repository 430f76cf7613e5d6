/*
 * msgpack: the reader. See msgpack.h; writers and JSON are in msgpack_write.c.
 *
 * `next` alone knows the format. Whatever walks whole values counts how many are still to come: an
 * announced count above the bytes that are left can't be true, which bounds every loop by the
 * input.
 */
#include "base/msgpack.h"

#include "base/slice.h"

static uint64_t load_be(const unsigned char *at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

static double double_of(uint64_t bits, size_t bytes) {
    if (bytes == 4) {
        uint32_t low = (uint32_t)bits;
        float number;
        memcpy(&number, &low, sizeof(number));
        return (double)number;
    }
    double number;
    memcpy(&number, &bits, sizeof(number));
    return number;
}

static void set_signed(mb_msgpack_token *token, uint64_t bits, size_t bytes) {
    unsigned unused = 64 - 8 * (unsigned)bytes;
    int64_t value = (int64_t)(bits << unused) >> unused;
    if (value < 0) {
        token->type = MB_MSGPACK_INT;
        token->integer = value;
    } else {
        token->type = MB_MSGPACK_UINT;
        token->uinteger = (uint64_t)value;
    }
}

/* What a head byte from 0xc0 to 0xdf says: the token's type, how many bytes of number follow, and
 * whether that number is the value, a length of bytes or a count. */
typedef enum shape { BAD, VALUE, SIGNED, LENGTH, COUNT, FIXED } shape;
typedef struct head {
    uint8_t type, shape, bytes;
} head;

static const head heads[32] = {
    {MB_MSGPACK_NIL, VALUE, 0},    {0, BAD, 0}, /* 0xc0, 0xc1 */
    {MB_MSGPACK_BOOL, VALUE, 0},   {MB_MSGPACK_BOOL, VALUE, 0},
    {MB_MSGPACK_BIN, LENGTH, 1},   {MB_MSGPACK_BIN, LENGTH, 2},
    {MB_MSGPACK_BIN, LENGTH, 4},   {MB_MSGPACK_EXT, LENGTH, 1},
    {MB_MSGPACK_EXT, LENGTH, 2},   {MB_MSGPACK_EXT, LENGTH, 4},
    {MB_MSGPACK_DOUBLE, VALUE, 4}, {MB_MSGPACK_DOUBLE, VALUE, 8},
    {MB_MSGPACK_UINT, VALUE, 1},   {MB_MSGPACK_UINT, VALUE, 2},
    {MB_MSGPACK_UINT, VALUE, 4},   {MB_MSGPACK_UINT, VALUE, 8},
    {MB_MSGPACK_INT, SIGNED, 1},   {MB_MSGPACK_INT, SIGNED, 2}, /* 0xd0 */
    {MB_MSGPACK_INT, SIGNED, 4},   {MB_MSGPACK_INT, SIGNED, 8},
    {MB_MSGPACK_EXT, FIXED, 1},    {MB_MSGPACK_EXT, FIXED, 2},
    {MB_MSGPACK_EXT, FIXED, 4},    {MB_MSGPACK_EXT, FIXED, 8},
    {MB_MSGPACK_EXT, FIXED, 16},   {MB_MSGPACK_STR, LENGTH, 1},
    {MB_MSGPACK_STR, LENGTH, 2},   {MB_MSGPACK_STR, LENGTH, 4},
    {MB_MSGPACK_ARRAY, COUNT, 2},  {MB_MSGPACK_ARRAY, COUNT, 4},
    {MB_MSGPACK_MAP, COUNT, 2},    {MB_MSGPACK_MAP, COUNT, 4},
};

/* Takes `len` bytes at `at` as the token's, with the type byte of an ext before them. Returns
 * where they end, or NULL when the input is cut. */
static const char *take_bytes(mb_msgpack_token *token, const char *at, const char *end,
                              uint64_t len) {
    if (token->type == MB_MSGPACK_EXT) {
        if (at == end) {
            return NULL;
        }
        token->ext = (int8_t)*at++;
    }
    if (len > (uint64_t)(end - at)) {
        return NULL;
    }
    token->bytes = (mb_slice){at, (size_t)len};
    return at + len;
}

/* Head bytes 0xc0 to 0xdf, `at` behind it. Returns where the token ends, or NULL. */
static const char *read_long(mb_msgpack_token *token, unsigned char first, const char *at,
                             const char *end) {
    const head *what = &heads[first - 0xc0];
    token->type = (mb_msgpack_type)what->type;
    if (what->shape == BAD) {
        return NULL;
    }
    if (what->shape == FIXED) {
        return take_bytes(token, at, end, what->bytes);
    }
    if ((size_t)(end - at) < what->bytes) {
        return NULL;
    }
    uint64_t number = load_be((const unsigned char *)at, what->bytes);
    at += what->bytes;
    switch (what->shape) {
    case LENGTH:
        return take_bytes(token, at, end, number);
    case COUNT:
        token->count = (uint32_t)number;
        return at;
    case SIGNED:
        set_signed(token, number, what->bytes);
        return at;
    default:
        break;
    }
    if (token->type == MB_MSGPACK_BOOL) {
        token->boolean = first == 0xc3;
    } else if (token->type == MB_MSGPACK_DOUBLE) {
        token->number = double_of(number, what->bytes);
    } else {
        token->uinteger = number;
    }
    return at;
}

int mb_msgpack_next(mb_msgpack *cursor, mb_msgpack_token *out) {
    if (cursor->at == cursor->end) {
        return MB_ENOTFOUND;
    }
    mb_msgpack_token token = {0};
    unsigned char first = (unsigned char)*cursor->at;
    const char *at = cursor->at + 1;
    if (first < 0x80) {
        token.type = MB_MSGPACK_UINT;
        token.uinteger = first;
    } else if (first >= 0xe0) {
        token.type = MB_MSGPACK_INT;
        token.integer = (int8_t)first;
    } else if (first < 0x90) {
        token.type = MB_MSGPACK_MAP;
        token.count = first & 0x0f;
    } else if (first < 0xa0) {
        token.type = MB_MSGPACK_ARRAY;
        token.count = first & 0x0f;
    } else if (first < 0xc0) {
        token.type = MB_MSGPACK_STR;
        at = take_bytes(&token, at, cursor->end, first & 0x1f);
    } else {
        at = read_long(&token, first, at, cursor->end);
    }
    if (at == NULL) {
        return MB_EPROTO;
    }
    cursor->at = at;
    *out = token;
    return MB_OK;
}

/* How many values follow the head of a container. */
static uint64_t children(const mb_msgpack_token *token) {
    switch (token->type) {
    case MB_MSGPACK_ARRAY:
        return token->count;
    case MB_MSGPACK_MAP:
        return (uint64_t)token->count * 2;
    default:
        return 0;
    }
}

int mb_msgpack_skip(mb_msgpack *cursor) {
    mb_msgpack at = *cursor;
    if (mb_msgpack_at_end(&at)) {
        return MB_ENOTFOUND;
    }
    for (uint64_t left = 1; left > 0; left--) {
        mb_msgpack_token token;
        if (mb_msgpack_next(&at, &token) != MB_OK) {
            return MB_EPROTO;
        }
        left += children(&token);
        if (left - 1 > (uint64_t)(at.end - at.at)) {
            return MB_EPROTO;
        }
    }
    *cursor = at;
    return MB_OK;
}

int mb_msgpack_value(mb_msgpack *cursor, mb_slice *value) {
    const char *from = cursor->at;
    int result = mb_msgpack_skip(cursor);
    if (result == MB_OK) {
        *value = (mb_slice){from, (size_t)(cursor->at - from)};
    }
    return result;
}

int mb_msgpack_find(mb_slice map, mb_slice key, mb_slice *value) {
    mb_msgpack cursor = mb_msgpack_read(map);
    uint32_t pairs;
    int result = mb_msgpack_get_map(&cursor, &pairs);
    if (result != MB_OK) {
        return result == MB_ENOTFOUND ? MB_EPROTO : result;
    }
    while (pairs-- > 0) {
        mb_slice name;
        mb_slice found;
        result = mb_msgpack_get_str(&cursor, &name);
        bool same = result == MB_OK && mb_slice_equal(name, key);
        if (result == MB_EINVAL) {
            result = mb_msgpack_skip(&cursor);
        }
        if (result != MB_OK || mb_msgpack_value(&cursor, &found) != MB_OK) {
            return MB_EPROTO;
        }
        if (same) {
            *value = found;
            return MB_OK;
        }
    }
    return MB_ENOTFOUND;
}

int mb_msgpack_check(mb_slice bytes, unsigned max_depth, size_t max_items) {
    uint64_t left[MB_MSGPACK_DEPTH_MAX + 1]; /* values still to come, level by level */
    unsigned depth = 0;
    mb_msgpack cursor = mb_msgpack_read(bytes);
    if (max_depth > MB_MSGPACK_DEPTH_MAX) {
        max_depth = MB_MSGPACK_DEPTH_MAX;
    }
    left[0] = 1;
    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0) {
                return mb_msgpack_at_end(&cursor) ? MB_OK : MB_EPROTO;
            }
            depth--;
        }
        left[depth]--;
        mb_msgpack_token token;
        if (mb_msgpack_next(&cursor, &token) != MB_OK) {
            return MB_EPROTO;
        }
        if (max_items-- == 0) {
            return MB_ELIMIT;
        }
        uint64_t more = children(&token);
        if (more > (uint64_t)(cursor.end - cursor.at)) {
            return MB_EPROTO;
        }
        if (token.type == MB_MSGPACK_ARRAY || token.type == MB_MSGPACK_MAP) {
            if (depth == max_depth) {
                return MB_ELIMIT;
            }
            left[++depth] = more;
        }
    }
}
