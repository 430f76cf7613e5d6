/*
 * msgpack: typed reads for code that knows what it wants. See msgpack.h.
 *
 * Each reads a token on a copy of the cursor and moves the caller's only when the type fits.
 */
#include "base/msgpack.h"

int mb_msgpack_get_bool(mb_msgpack *cursor, bool *out) {
    mb_msgpack at = *cursor;
    mb_msgpack_token token;
    int result = mb_msgpack_next(&at, &token);
    if (result != MB_OK) {
        return result;
    }
    if (token.type != MB_MSGPACK_BOOL) {
        return MB_EINVAL;
    }
    *out = token.boolean;
    *cursor = at;
    return MB_OK;
}

int mb_msgpack_get_u64(mb_msgpack *cursor, uint64_t *out) {
    mb_msgpack at = *cursor;
    mb_msgpack_token token;
    int result = mb_msgpack_next(&at, &token);
    if (result != MB_OK) {
        return result;
    }
    if (token.type != MB_MSGPACK_UINT) {
        return MB_EINVAL;
    }
    *out = token.uinteger;
    *cursor = at;
    return MB_OK;
}

int mb_msgpack_get_i64(mb_msgpack *cursor, int64_t *out) {
    mb_msgpack at = *cursor;
    mb_msgpack_token token;
    int result = mb_msgpack_next(&at, &token);
    if (result != MB_OK) {
        return result;
    }
    if (token.type == MB_MSGPACK_INT) {
        *out = token.integer;
    } else if (token.type == MB_MSGPACK_UINT && token.uinteger <= INT64_MAX) {
        *out = (int64_t)token.uinteger;
    } else {
        return MB_EINVAL;
    }
    *cursor = at;
    return MB_OK;
}

int mb_msgpack_get_double(mb_msgpack *cursor, double *out) {
    mb_msgpack at = *cursor;
    mb_msgpack_token token;
    int result = mb_msgpack_next(&at, &token);
    if (result != MB_OK) {
        return result;
    }
    switch (token.type) {
    case MB_MSGPACK_DOUBLE:
        *out = token.number;
        break;
    case MB_MSGPACK_INT:
        *out = (double)token.integer;
        break;
    case MB_MSGPACK_UINT:
        *out = (double)token.uinteger;
        break;
    default:
        return MB_EINVAL;
    }
    *cursor = at;
    return MB_OK;
}

int mb_msgpack_get_str(mb_msgpack *cursor, mb_slice *out) {
    mb_msgpack at = *cursor;
    mb_msgpack_token token;
    int result = mb_msgpack_next(&at, &token);
    if (result != MB_OK) {
        return result;
    }
    if (token.type != MB_MSGPACK_STR && token.type != MB_MSGPACK_BIN) {
        return MB_EINVAL;
    }
    *out = token.bytes;
    *cursor = at;
    return MB_OK;
}

static int get_count(mb_msgpack *cursor, mb_msgpack_type type, uint32_t *count) {
    mb_msgpack at = *cursor;
    mb_msgpack_token token;
    int result = mb_msgpack_next(&at, &token);
    if (result != MB_OK) {
        return result;
    }
    if (token.type != type) {
        return MB_EINVAL;
    }
    *count = token.count;
    *cursor = at;
    return MB_OK;
}

int mb_msgpack_get_array(mb_msgpack *cursor, uint32_t *count) {
    return get_count(cursor, MB_MSGPACK_ARRAY, count);
}

int mb_msgpack_get_map(mb_msgpack *cursor, uint32_t *count) {
    return get_count(cursor, MB_MSGPACK_MAP, count);
}
