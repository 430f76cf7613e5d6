/*
 * msgpack: writers, and a value as JSON. See msgpack.h.
 */
#include "base/msgpack.h"

#include "base/base64.h"

#include <math.h>

/* A head byte and `bytes` of `number` behind it, big end first. */
static void put(mb_text *out, unsigned char first, uint64_t number, size_t bytes) {
    char head[9];
    head[0] = (char)first;
    for (size_t i = 0; i < bytes; i++) {
        head[1 + i] = (char)(number >> 8 * (bytes - 1 - i));
    }
    mb_text_append(out, (mb_slice){head, 1 + bytes});
}

void mb_msgpack_put_nil(mb_text *out) {
    put(out, 0xc0, 0, 0);
}

void mb_msgpack_put_bool(mb_text *out, bool value) {
    put(out, value ? 0xc3 : 0xc2, 0, 0);
}

void mb_msgpack_put_u64(mb_text *out, uint64_t value) {
    if (value < 0x80) {
        put(out, (unsigned char)value, 0, 0);
    } else if (value <= UINT8_MAX) {
        put(out, 0xcc, value, 1);
    } else if (value <= UINT16_MAX) {
        put(out, 0xcd, value, 2);
    } else if (value <= UINT32_MAX) {
        put(out, 0xce, value, 4);
    } else {
        put(out, 0xcf, value, 8);
    }
}

void mb_msgpack_put_i64(mb_text *out, int64_t value) {
    if (value >= 0) {
        mb_msgpack_put_u64(out, (uint64_t)value);
    } else if (value >= -32) {
        put(out, (unsigned char)value, 0, 0);
    } else if (value >= INT8_MIN) {
        put(out, 0xd0, (uint64_t)value, 1);
    } else if (value >= INT16_MIN) {
        put(out, 0xd1, (uint64_t)value, 2);
    } else if (value >= INT32_MIN) {
        put(out, 0xd2, (uint64_t)value, 4);
    } else {
        put(out, 0xd3, (uint64_t)value, 8);
    }
}

void mb_msgpack_put_double(mb_text *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put(out, 0xcb, bits, 8);
}

/* Heads of 1, 2 and 4 bytes of number follow each other; what is too long can't be written. */
static void put_length(mb_text *out, unsigned char first, uint64_t length) {
    if (length <= UINT8_MAX) {
        put(out, first, length, 1);
    } else if (length <= UINT16_MAX) {
        put(out, (unsigned char)(first + 1), length, 2);
    } else if (length <= UINT32_MAX) {
        put(out, (unsigned char)(first + 2), length, 4);
    } else if (out->status == MB_OK) {
        out->status = MB_ELIMIT;
    }
}

void mb_msgpack_put_str(mb_text *out, mb_slice value) {
    if (value.len < 32) {
        put(out, (unsigned char)(0xa0 | value.len), 0, 0);
    } else {
        put_length(out, 0xd9, value.len);
    }
    mb_text_append(out, value);
}

void mb_msgpack_put_bin(mb_text *out, mb_slice value) {
    put_length(out, 0xc4, value.len);
    mb_text_append(out, value);
}

void mb_msgpack_put_array(mb_text *out, uint32_t count) {
    if (count < 16) {
        put(out, (unsigned char)(0x90 | count), 0, 0);
    } else if (count <= UINT16_MAX) {
        put(out, 0xdc, count, 2);
    } else {
        put(out, 0xdd, count, 4);
    }
}

void mb_msgpack_put_map(mb_text *out, uint32_t pairs) {
    if (pairs < 16) {
        put(out, (unsigned char)(0x80 | pairs), 0, 0);
    } else if (pairs <= UINT16_MAX) {
        put(out, 0xde, pairs, 2);
    } else {
        put(out, 0xdf, pairs, 4);
    }
}

/* -- JSON --------------------------------------------------------------------------------- */

static void json_bytes(mb_text *out, mb_slice bytes) {
    mb_text_byte(out, '"');
    char *at = mb_text_room(out, mb_base64_encoded_bytes(bytes.len));
    if (at != NULL) {
        out->len += mb_base64_encode(bytes, at);
    }
    mb_text_byte(out, '"');
}

static void json_number(mb_text *out, double number) {
    if (isnan(number)) {
        mb_text_c(out, "\"NaN\"");
    } else if (isinf(number)) {
        mb_text_c(out, number > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    } else {
        mb_text_double(out, number);
    }
}

static void json_scalar(mb_text *out, const mb_msgpack_token *token) {
    switch (token->type) {
    case MB_MSGPACK_BOOL:
        mb_text_c(out, token->boolean ? "true" : "false");
        break;
    case MB_MSGPACK_INT:
        mb_text_i64(out, token->integer);
        break;
    case MB_MSGPACK_UINT:
        mb_text_u64(out, token->uinteger);
        break;
    case MB_MSGPACK_DOUBLE:
        json_number(out, token->number);
        break;
    case MB_MSGPACK_STR:
        mb_text_json(out, token->bytes);
        break;
    case MB_MSGPACK_BIN:
    case MB_MSGPACK_EXT:
        json_bytes(out, token->bytes);
        break;
    default:
        mb_text_c(out, "null");
        break;
    }
}

/* A key that is no string: its own JSON, in quotes. */
static int json_key(mb_msgpack *cursor, mb_text *out) {
    mb_msgpack_token token;
    if (mb_msgpack_next(cursor, &token) != MB_OK) {
        return MB_EPROTO;
    }
    switch (token.type) {
    case MB_MSGPACK_ARRAY:
    case MB_MSGPACK_MAP:
        /* Quotes within quotes within quotes would double the text at every level. */
        return MB_EINVAL;
    case MB_MSGPACK_STR:
    case MB_MSGPACK_BIN:
    case MB_MSGPACK_EXT:
        json_scalar(out, &token);
        break;
    case MB_MSGPACK_DOUBLE:
        mb_text_byte(out, '"');
        mb_text_double(out, token.number);
        mb_text_byte(out, '"');
        break;
    default:
        mb_text_byte(out, '"');
        json_scalar(out, &token);
        mb_text_byte(out, '"');
        break;
    }
    return out->status;
}

static int json_value(mb_msgpack *cursor, mb_text *out, unsigned depth) {
    mb_msgpack_token token;
    if (mb_msgpack_next(cursor, &token) != MB_OK) {
        return MB_EPROTO;
    }
    bool map = token.type == MB_MSGPACK_MAP;
    if (!map && token.type != MB_MSGPACK_ARRAY) {
        json_scalar(out, &token);
        return out->status;
    }
    if (depth == 0) {
        return MB_ELIMIT;
    }
    mb_text_byte(out, map ? '{' : '[');
    for (uint32_t i = 0; i < token.count && out->status == MB_OK; i++) {
        if (i > 0) {
            mb_text_byte(out, ',');
        }
        int result = MB_OK;
        if (map) {
            result = json_key(cursor, out);
            mb_text_byte(out, ':');
        }
        if (result == MB_OK) {
            result = json_value(cursor, out, depth - 1);
        }
        if (result != MB_OK) {
            return result;
        }
    }
    mb_text_byte(out, map ? '}' : ']');
    return out->status;
}

int mb_msgpack_to_json(mb_slice value, mb_text *out) {
    mb_msgpack cursor = mb_msgpack_read(value);
    int result = json_value(&cursor, out, MB_MSGPACK_DEPTH_MAX);
    return result == MB_OK && !mb_msgpack_at_end(&cursor) ? MB_EPROTO : result;
}
