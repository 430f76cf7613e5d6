/*
 * Helpers over mb_slice: compare, cut, read numbers. All by value, inline, without memory.
 *
 * Used by every layer. "ASCII case" means A-Z only, as protocols do; never the locale.
 */
#ifndef MB_BASE_SLICE_H
#define MB_BASE_SLICE_H

#include <moebridge/common.h>
#include <string.h>

/* Of configuration and test text only: what comes from a peer has a length. */
static inline mb_slice mb_slice_from_c(const char *text) {
    return (mb_slice){text, strlen(text)};
}

static inline mb_slice mb_slice_of(const char *ptr, size_t len) {
    return (mb_slice){ptr, len};
}

static inline bool mb_slice_equal(mb_slice a, mb_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* For secrets: the time depends on the lengths only. */
static inline bool mb_slice_equal_secret(mb_slice a, mb_slice b) {
    volatile unsigned char difference = 0;
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        difference = (unsigned char)(difference | (a.ptr[i] ^ b.ptr[i]));
    }
    return difference == 0;
}

static inline char mb_ascii_lower(char c) {
    return (unsigned char)(c - 'A') < 26 ? (char)(c | 0x20) : c;
}

static inline bool mb_ascii_is_digit(char c) {
    return (unsigned char)(c - '0') < 10;
}

/* 0 to 15, or -1. */
static inline int mb_ascii_hex_value(char c) {
    if (mb_ascii_is_digit(c)) {
        return c - '0';
    }
    char lower = mb_ascii_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static inline bool mb_slice_equal_nocase(mb_slice a, mb_slice b) {
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (mb_ascii_lower(a.ptr[i]) != mb_ascii_lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

/* < 0, 0, > 0 by unsigned bytes, a prefix before what it begins. */
static inline int mb_slice_compare(mb_slice a, mb_slice b) {
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.ptr, b.ptr, common);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static inline bool mb_slice_starts_with(mb_slice text, mb_slice prefix) {
    return text.len >= prefix.len &&
           (prefix.len == 0 || memcmp(text.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool mb_slice_ends_with(mb_slice text, mb_slice suffix) {
    return text.len >= suffix.len && (suffix.len == 0 || memcmp(text.ptr + (text.len - suffix.len),
                                                                suffix.ptr, suffix.len) == 0);
}

static inline bool mb_slice_starts_with_nocase(mb_slice text, mb_slice prefix) {
    return text.len >= prefix.len &&
           mb_slice_equal_nocase(mb_slice_of(text.ptr, prefix.len), prefix);
}

static inline bool mb_slice_ends_with_nocase(mb_slice text, mb_slice suffix) {
    return suffix.len == 0 ||
           (text.len >= suffix.len &&
            mb_slice_equal_nocase(mb_slice_of(text.ptr + (text.len - suffix.len), suffix.len),
                                  suffix));
}

/* Without its first `count` bytes; empty if it has fewer. */
static inline mb_slice mb_slice_skip(mb_slice text, size_t count) {
    if (count > text.len) {
        count = text.len;
    }
    return count == 0 ? text : (mb_slice){text.ptr + count, text.len - count};
}

/* Its first `count` bytes, or all of it. */
static inline mb_slice mb_slice_take(mb_slice text, size_t count) {
    return (mb_slice){text.ptr, count < text.len ? count : text.len};
}

/* Index of the first `byte`, or MB_ENOTFOUND. */
static inline int64_t mb_slice_index(mb_slice text, char byte) {
    const char *at = text.len == 0 ? NULL : memchr(text.ptr, (unsigned char)byte, text.len);
    return at == NULL ? MB_ENOTFOUND : at - text.ptr;
}

/* Index of the last `byte`, or MB_ENOTFOUND. */
static inline int64_t mb_slice_rindex(mb_slice text, char byte) {
    for (size_t i = text.len; i > 0; i--) {
        if (text.ptr[i - 1] == byte) {
            return (int64_t)(i - 1);
        }
    }
    return MB_ENOTFOUND;
}

/* Without optional white space (SP, HTAB) at either end. RFC 9110 5.6.3. */
static inline mb_slice mb_slice_trim_ows(mb_slice text) {
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

/* Cuts at the first `byte`: what is before it and what is behind it. False: there is none, then
 * `before` is all and `after` is empty. `before` and `after` may be the slice itself. */
static inline bool mb_slice_split(mb_slice text, char byte, mb_slice *before, mb_slice *after) {
    int64_t at = mb_slice_index(text, byte);
    if (at < 0) {
        *before = text;
        *after = mb_slice_of(text.ptr, 0);
        return false;
    }
    *before = mb_slice_take(text, (size_t)at);
    *after = mb_slice_skip(text, (size_t)at + 1);
    return true;
}

/* Takes the next element of a comma-separated list off `rest`, trimmed, skipping empty ones.
 * False: there is none left. RFC 9110 5.6.1. */
static inline bool mb_slice_next_element(mb_slice *rest, mb_slice *element) {
    while (rest->len > 0) {
        mb_slice before, after;
        mb_slice_split(*rest, ',', &before, &after);
        *rest = after;
        before = mb_slice_trim_ows(before);
        if (before.len > 0) {
            *element = before;
            return true;
        }
    }
    return false;
}

/* Decimal digits only: no sign, no space, at least one. Returns MB_OK, MB_EINVAL, or MB_ELIMIT
 * above UINT64_MAX. */
static inline int mb_slice_parse_u64(mb_slice text, uint64_t *out) {
    uint64_t value = 0;
    bool over = false;
    if (text.len == 0) {
        return MB_EINVAL;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!mb_ascii_is_digit(text.ptr[i])) {
            return MB_EINVAL;
        }
        over |= __builtin_mul_overflow(value, (uint64_t)10, &value);
        over |= __builtin_add_overflow(value, (uint64_t)(text.ptr[i] - '0'), &value);
    }
    if (over) {
        return MB_ELIMIT;
    }
    *out = value;
    return MB_OK;
}

/* Hexadecimal digits of either case, no prefix. Results as of `mb_slice_parse_u64`. */
static inline int mb_slice_parse_hex(mb_slice text, uint64_t *out) {
    uint64_t value = 0;
    bool over = false;
    if (text.len == 0) {
        return MB_EINVAL;
    }
    for (size_t i = 0; i < text.len; i++) {
        int digit = mb_ascii_hex_value(text.ptr[i]);
        if (digit < 0) {
            return MB_EINVAL;
        }
        over |= value >> 60 != 0;
        value = value << 4 | (uint64_t)digit;
    }
    if (over) {
        return MB_ELIMIT;
    }
    *out = value;
    return MB_OK;
}

#endif
