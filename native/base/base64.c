/*
 * Base64. See base64.h.
 */
#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t mb_base64_encode(mb_slice bytes, char *out) {
    const unsigned char *in = (const unsigned char *)bytes.ptr;
    char *at = out;
    size_t i = 0;
    for (; bytes.len - i >= 3; i += 3) {
        uint32_t group = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];
        *at++ = alphabet[group >> 18];
        *at++ = alphabet[group >> 12 & 63];
        *at++ = alphabet[group >> 6 & 63];
        *at++ = alphabet[group & 63];
    }
    size_t rest = bytes.len - i;
    if (rest > 0) {
        uint32_t group = (uint32_t)in[i] << 16 | (rest == 2 ? (uint32_t)in[i + 1] << 8 : 0);
        *at++ = alphabet[group >> 18];
        *at++ = alphabet[group >> 12 & 63];
        *at++ = rest == 2 ? alphabet[group >> 6 & 63] : '=';
        *at++ = '=';
    }
    return (size_t)(at - out);
}

/* 0 to 63, or -1. Without a table, so that the time does not tell which characters a password
 * has: each range adds its part where it holds. */
static int value_of(char c) {
    int u = (unsigned char)c;
    int value = -1;
    value += ((('A' - 1 - u) & (u - 'Z' - 1)) >> 8) & (u - 'A' + 1);
    value += ((('a' - 1 - u) & (u - 'z' - 1)) >> 8) & (u - 'a' + 27);
    value += ((('0' - 1 - u) & (u - '9' - 1)) >> 8) & (u - '0' + 53);
    value += ((('+' - 1 - u) & (u - '+' - 1)) >> 8) & 63;
    value += ((('/' - 1 - u) & (u - '/' - 1)) >> 8) & 64;
    return value;
}

int64_t mb_base64_decode(mb_slice text, char *out) {
    if (text.len % 4 != 0) {
        return MB_EINVAL;
    }
    if (text.len == 0) {
        return 0;
    }
    size_t padding = text.ptr[text.len - 1] != '=' ? 0 : text.ptr[text.len - 2] != '=' ? 1 : 2;
    size_t chars = text.len - padding;
    char *at = out;
    uint32_t group = 0;
    for (size_t i = 0; i < chars; i++) {
        int value = value_of(text.ptr[i]);
        if (value < 0) {
            return MB_EINVAL;
        }
        group = group << 6 | (uint32_t)value;
        if (i % 4 == 3) {
            *at++ = (char)(group >> 16);
            *at++ = (char)(group >> 8);
            *at++ = (char)group;
            group = 0;
        }
    }
    if (padding == 1) {
        if ((group & 3) != 0) {
            return MB_EINVAL;
        }
        *at++ = (char)(group >> 10);
        *at++ = (char)(group >> 2);
    } else if (padding == 2) {
        if ((group & 15) != 0) {
            return MB_EINVAL;
        }
        *at++ = (char)(group >> 4);
    }
    return at - out;
}
