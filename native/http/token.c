/*
 * Look-up of header names by the generated perfect hash. See token.h; the hash is that of
 * tools/gen_tokens.py, and a test compares the two by looking every name up.
 */
#include "http/token.h"

#include <string.h>

static const uint8_t token_slots[1u << MB_TOKEN_SLOT_BITS] = {MB_TOKEN_SLOTS};

const mb_slice mb__token_names[MB_TOKEN_COUNT] = {[MB_TOKEN_NONE] = {"", 0},
#define MB_TOKEN_NAME(id, text) [MB_TOKEN_##id] = {text, sizeof(text) - 1},
                                                  MB_TOKEN_LIST(MB_TOKEN_NAME)
#undef MB_TOKEN_NAME
};

static const mb_slice pseudo_names[MB_PSEUDO_COUNT] = {
    [MB_PSEUDO_METHOD] = {":method", 7},        [MB_PSEUDO_PATH] = {":path", 5},
    [MB_PSEUDO_AUTHORITY] = {":authority", 10}, [MB_PSEUDO_SCHEME] = {":scheme", 7},
    [MB_PSEUDO_STATUS] = {":status", 7},        [MB_PSEUDO_PROTOCOL] = {":protocol", 9},
};

/* Little endian whatever the machine, so that one table serves all. */
static inline uint32_t load32(const char *at) {
    uint32_t word;

    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

static inline uint64_t load64(const char *at) {
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint32_t hash_name(mb_slice name) {
    uint32_t first = 0, middle = 0, last = 0;

    if (name.len >= 4) {
        first = load32(name.ptr);
        middle = load32(name.ptr + (name.len - 4) / 2);
        last = load32(name.ptr + name.len - 4);
    } else {
        for (size_t i = 0; i < name.len; i++) {
            first |= (uint32_t)(uint8_t)name.ptr[i] << (8 * i);
        }
    }
    first += (uint32_t)name.len;
    return (first * MB_TOKEN_HASH_FIRST + middle * MB_TOKEN_HASH_MIDDLE +
            last * MB_TOKEN_HASH_LAST) >>
           (32 - MB_TOKEN_SLOT_BITS);
}

/* Words instead of memcmp: names are short and the call would cost more than the comparison.
 * Nothing beyond `len` is read; the last word overlaps the one before it. */
static inline bool same_text(const char *a, const char *b, size_t len) {
    size_t at = 0;

    if (len >= 8) {
        for (; at + 8 <= len; at += 8) {
            if (load64(a + at) != load64(b + at)) {
                return false;
            }
        }
        return load64(a + len - 8) == load64(b + len - 8);
    }
    if (len >= 4) {
        return load32(a) == load32(b) && load32(a + len - 4) == load32(b + len - 4);
    }
    for (; at < len; at++) {
        if (a[at] != b[at]) {
            return false;
        }
    }
    return true;
}

uint32_t mb_token_find(mb_slice name) {
    uint32_t token;

    if (name.len > MB_TOKEN_NAME_MAX) {
        return MB_TOKEN_NONE;
    }
    token = token_slots[hash_name(name)];
    if (mb__token_names[token].len != name.len ||
        !same_text(mb__token_names[token].ptr, name.ptr, name.len)) {
        return MB_TOKEN_NONE;
    }
    return token;
}

mb_slice mb_token_name(uint32_t token) {
    return mb__token_names[token < MB_TOKEN_COUNT ? token : MB_TOKEN_NONE];
}

mb_pseudo mb_pseudo_find(mb_slice name) {
    if (name.len == 4 && memcmp(name.ptr, "host", 4) == 0) {
        return MB_PSEUDO_AUTHORITY;
    }
    if (name.len == 0 || name.ptr[0] != ':') {
        return MB_PSEUDO_COUNT;
    }
    for (int which = 0; which < MB_PSEUDO_COUNT; which++) {
        if (pseudo_names[which].len == name.len &&
            memcmp(pseudo_names[which].ptr, name.ptr, name.len) == 0) {
            return (mb_pseudo)which;
        }
    }
    return MB_PSEUDO_COUNT;
}

mb_slice mb_pseudo_name(mb_pseudo which) {
    return (unsigned)which < MB_PSEUDO_COUNT ? pseudo_names[which] : mb__token_names[MB_TOKEN_NONE];
}
