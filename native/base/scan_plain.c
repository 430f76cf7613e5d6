/*
 * The scans in plain C: what the vector versions are compared with, and what runs where there are
 * none. See scan.h.
 */
#include "base/scan.h"
#include "base/scan_inline.h"

static size_t plain_value(const char *at, size_t len) {
    size_t i = 0;
    while (i < len && mb__scan_is_value((unsigned char)at[i])) {
        i++;
    }
    return i;
}

static size_t plain_target(const char *at, size_t len) {
    size_t i = 0;
    while (i < len && mb__scan_is_target((unsigned char)at[i])) {
        i++;
    }
    return i;
}

static size_t plain_token(const char *at, size_t len) {
    size_t i = 0;
    while (i < len && mb__scan_is_token((unsigned char)at[i])) {
        i++;
    }
    return i;
}

static size_t plain_token_case(const char *at, size_t len, bool *upper) {
    size_t i = 0;
    bool seen = false;
    while (i < len && mb__scan_is_token((unsigned char)at[i])) {
        seen |= mb__scan_is_upper((unsigned char)at[i]);
        i++;
    }
    *upper = seen;
    return i;
}

static void plain_lower(char *at, size_t len) {
    for (size_t i = 0; i < len; i++) {
        at[i] = mb__scan_is_upper((unsigned char)at[i]) ? (char)(at[i] | 0x20) : at[i];
    }
}

static size_t plain_find(const char *at, size_t len, const char *needle, size_t needle_len) {
    if (needle_len > len) {
        return MB_SCAN_NONE;
    }
    size_t stop = len - needle_len + 1;
    for (size_t i = 0; i < stop;) {
        const char *first = memchr(at + i, (unsigned char)needle[0], stop - i);
        if (first == NULL) {
            return MB_SCAN_NONE;
        }
        if (memcmp(first, needle, needle_len) == 0) {
            return (size_t)(first - at);
        }
        i = (size_t)(first - at) + 1;
    }
    return MB_SCAN_NONE;
}

static size_t plain_count(const char *at, size_t len, const char *needle, size_t needle_len,
                          size_t *from) {
    size_t found = 0;
    while (*from < len) {
        size_t match = plain_find(at + *from, len - *from, needle, needle_len);
        if (match == MB_SCAN_NONE) {
            break;
        }
        found++;
        *from += match + needle_len;
    }
    if (needle_len == 1 && *from < len) {
        *from = len;
    }
    return found;
}

const mb_scan_ops mb__scan_plain = {
    .name = "plain",
    .value = plain_value,
    .target = plain_target,
    .token = plain_token,
    .token_case = plain_token_case,
    .lower = plain_lower,
    .find = plain_find,
    .count = plain_count,
};
