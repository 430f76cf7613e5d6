/*
 * The scans with 16-byte vectors of x86-64. See scan.h.
 *
 * The last, partial vector is read so that it ends at the end of the input: bytes seen twice were
 * found good the first time. Below 16 bytes plain C is used.
 */
#include "base/scan.h"
#include "base/scan_inline.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define VECTOR 16u
#define SSE42 __attribute__((target("sse4.2,popcnt")))
#define SSE42_INLINE static inline __attribute__((target("sse4.2,popcnt"), always_inline))

SSE42_INLINE __m128i load(const void *at) {
    return _mm_loadu_si128((const __m128i *)at);
}

/* One bit a byte that does not belong to `kind`. */
SSE42_INLINE uint32_t bad_bytes(__m128i v, mb__scan_class kind) {
    if (kind == MB__SCAN_VALUE) {
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
        __m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
        __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
        return (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, control), del));
    }
    if (kind == MB__SCAN_TARGET) {
        __m128i low = _mm_sub_epi8(v, _mm_set1_epi8(0x21));
        __m128i good = _mm_cmpeq_epi8(_mm_min_epu8(low, _mm_set1_epi8(0x7e - 0x21)), low);
        return (uint32_t)_mm_movemask_epi8(good) ^ 0xffffu;
    }
    __m128i high = _mm_and_si128(_mm_srli_epi16(v, 4), _mm_set1_epi8(0x0f));
    __m128i good = _mm_and_si128(_mm_shuffle_epi8(load(mb__scan_token_rows()), v),
                                 _mm_shuffle_epi8(load(mb__scan_token_bits()), high));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(good, _mm_setzero_si128()));
}

/* 0xff in each byte that is A-Z. */
SSE42_INLINE __m128i upper_bytes(__m128i v) {
    __m128i letter = _mm_sub_epi8(v, _mm_set1_epi8('A'));
    return _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
}

SSE42_INLINE size_t scan(const char *at, size_t len, mb__scan_class kind) {
    size_t i = 0;
    for (; len - i >= VECTOR; i += VECTOR) {
        uint32_t bad = bad_bytes(load(at + i), kind);
        if (bad != 0) {
            return i + (size_t)__builtin_ctz(bad);
        }
    }
    if (i > 0 && i < len) {
        i = len - VECTOR;
        uint32_t bad = bad_bytes(load(at + i), kind);
        return bad != 0 ? i + (size_t)__builtin_ctz(bad) : len;
    }
    while (i < len && mb__scan_belongs(kind, (unsigned char)at[i])) {
        i++;
    }
    return i;
}

SSE42 static size_t sse42_value(const char *at, size_t len) {
    return scan(at, len, MB__SCAN_VALUE);
}

SSE42 static size_t sse42_target(const char *at, size_t len) {
    return scan(at, len, MB__SCAN_TARGET);
}

SSE42 static size_t sse42_token(const char *at, size_t len) {
    return scan(at, len, MB__SCAN_TOKEN);
}

SSE42 static size_t sse42_token_case(const char *at, size_t len, bool *upper) {
    uint32_t seen = 0;
    size_t i = 0;
    for (; len - i >= VECTOR; i += VECTOR) {
        __m128i v = load(at + i);
        uint32_t bad = bad_bytes(v, MB__SCAN_TOKEN);
        uint32_t caps = (uint32_t)_mm_movemask_epi8(upper_bytes(v));
        if (bad != 0) {
            *upper = (seen | (caps & ((bad & -bad) - 1))) != 0;
            return i + (size_t)__builtin_ctz(bad);
        }
        seen |= caps;
    }
    for (; i < len && mb__scan_is_token((unsigned char)at[i]); i++) {
        seen |= mb__scan_is_upper((unsigned char)at[i]);
    }
    *upper = seen != 0;
    return i;
}

SSE42 static void sse42_lower(char *at, size_t len) {
    size_t i = 0;
    for (; len - i >= VECTOR; i += VECTOR) {
        __m128i v = load(at + i);
        __m128i bit = _mm_and_si128(upper_bytes(v), _mm_set1_epi8(0x20));
        _mm_storeu_si128((__m128i *)(void *)(at + i), _mm_or_si128(v, bit));
    }
    mb__scan_plain.lower(at + i, len - i);
}

/* One bit a place of the 16 at `at` where the needle's first and last byte fit. */
SSE42_INLINE uint32_t candidates(const char *at, size_t last_offset, __m128i first, __m128i last) {
    return (uint32_t)_mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(load(at), first),
                                                     _mm_cmpeq_epi8(load(at + last_offset), last)));
}

SSE42 static size_t sse42_find(const char *at, size_t len, const char *needle, size_t needle_len) {
    if (needle_len > len) {
        return MB_SCAN_NONE;
    }
    size_t places = len - needle_len + 1;
    if (needle_len == 1 || places < VECTOR) {
        return mb__scan_plain.find(at, len, needle, needle_len);
    }
    __m128i first = _mm_set1_epi8(needle[0]);
    __m128i last = _mm_set1_epi8(needle[needle_len - 1]);
    for (size_t i = 0;;) {
        uint32_t mask = candidates(at + i, needle_len - 1, first, last);
        for (; mask != 0; mask &= mask - 1) {
            size_t match = i + (size_t)__builtin_ctz(mask);
            if (mb__scan_same_middle(at + match, needle, needle_len)) {
                return match;
            }
        }
        if (i == places - VECTOR) {
            return MB_SCAN_NONE;
        }
        i = i + VECTOR < places - VECTOR ? i + VECTOR : places - VECTOR;
    }
}

SSE42 static size_t count_byte(const char *at, size_t len, char byte) {
    __m128i wanted = _mm_set1_epi8(byte);
    size_t found = 0;
    size_t i = 0;
    for (; len - i >= VECTOR; i += VECTOR) {
        uint32_t mask = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(load(at + i), wanted));
        found += (size_t)__builtin_popcount(mask);
    }
    for (; i < len; i++) {
        found += at[i] == byte;
    }
    return found;
}

SSE42 static size_t sse42_count(const char *at, size_t len, const char *needle, size_t needle_len,
                                size_t *from) {
    if (*from > len || needle_len > len - *from) {
        return 0;
    }
    size_t places = len - needle_len + 1;
    if (needle_len == 1) {
        size_t found = count_byte(at + *from, len - *from, needle[0]);
        *from = len;
        return found;
    }
    __m128i first = _mm_set1_epi8(needle[0]);
    __m128i last = _mm_set1_epi8(needle[needle_len - 1]);
    size_t found = 0;
    size_t next = *from; /* where the next match may begin */
    size_t i = next;
    for (; places - i >= VECTOR; i += VECTOR) {
        uint32_t mask = candidates(at + i, needle_len - 1, first, last);
        for (; mask != 0; mask &= mask - 1) {
            size_t match = i + (size_t)__builtin_ctz(mask);
            if (match >= next && mb__scan_same_middle(at + match, needle, needle_len)) {
                found++;
                next = match + needle_len;
            }
        }
    }
    size_t rest = i > next ? i : next;
    size_t end = rest;
    size_t more = mb__scan_plain.count(at, len, needle, needle_len, &end);
    *from = more > 0 ? end : next;
    return found + more;
}

const mb_scan_ops mb__scan_sse42 = {
    .name = "sse4.2",
    .value = sse42_value,
    .target = sse42_target,
    .token = sse42_token,
    .token_case = sse42_token_case,
    .lower = sse42_lower,
    .find = sse42_find,
    .count = sse42_count,
};
#endif
