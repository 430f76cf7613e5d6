/*
 * What the scan tables share: the byte classes, bit by bit, and the comparison of a candidate.
 * Included by scan*.c only.
 */
#ifndef MB_BASE_SCAN_INLINE_H
#define MB_BASE_SCAN_INLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool mb__scan_is_value(unsigned char c) {
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

static inline bool mb__scan_is_target(unsigned char c) {
    return (unsigned char)(c - 0x21) <= 0x7e - 0x21;
}

static inline bool mb__scan_is_upper(unsigned char c) {
    return (unsigned char)(c - 'A') < 26;
}

/* tchar of RFC 9110 5.6.2: ! # $ % & ' * + - . ^ _ ` | ~ DIGIT ALPHA. */
static inline bool mb__scan_is_token(unsigned char c) {
    static const uint32_t set[8] = {
        0x00000000u,          /* 0x00: no control */
        0x03ff6cfau,          /* 0x20: ! # $ % & ' * + - . 0-9 */
        0xc7fffffeu,          /* 0x40: A-Z ^ _ */
        0x57ffffffu,          /* 0x60: ` a-z | ~ */
        0,           0, 0, 0, /* 0x80: no obs-text */
    };
    return (set[c >> 5] >> (c & 31) & 1) != 0;
}

typedef enum mb__scan_class { MB__SCAN_VALUE, MB__SCAN_TARGET, MB__SCAN_TOKEN } mb__scan_class;

static inline bool mb__scan_belongs(mb__scan_class kind, unsigned char c) {
    switch (kind) {
    case MB__SCAN_VALUE:
        return mb__scan_is_value(c);
    case MB__SCAN_TARGET:
        return mb__scan_is_target(c);
    default:
        return mb__scan_is_token(c);
    }
}

/* The token set for byte shuffles: bit h of rows[l] says whether the byte with high half h (0 to 7)
 * and low half l is a tchar; bits[h] is that bit. Bytes from 0x80 on find no bit. */
static inline const uint8_t *mb__scan_token_rows(void) {
    static const uint8_t rows[16] = {0xe8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc,
                                     0xf8, 0xf8, 0xf4, 0x54, 0xd0, 0x54, 0xf4, 0x70};
    return rows;
}

static inline const uint8_t *mb__scan_token_bits(void) {
    static const uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128};
    return bits;
}

static inline uint64_t mb__scan_load_u64(const char *at) {
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint32_t mb__scan_load_u32(const char *at) {
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

/* True when `len` >= 2 bytes are equal of which the first and the last are known to be. The few
 * bytes between are compared by two loads that may overlap; memcmp costs a call for each. */
static inline bool mb__scan_same_middle(const char *a, const char *b, size_t len) {
    if (len >= 8) {
        return mb__scan_load_u64(a) == mb__scan_load_u64(b) &&
               mb__scan_load_u64(a + len - 8) == mb__scan_load_u64(b + len - 8) &&
               (len <= 16 || memcmp(a + 8, b + 8, len - 16) == 0);
    }
    if (len >= 4) {
        return mb__scan_load_u32(a) == mb__scan_load_u32(b) &&
               mb__scan_load_u32(a + len - 4) == mb__scan_load_u32(b + len - 4);
    }
    return len == 2 || a[1] == b[1];
}

#endif
