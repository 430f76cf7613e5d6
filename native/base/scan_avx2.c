/*
 * The scans with 32-byte vectors of x86-64. See scan.h.
 *
 * As scan_sse42.c, which does what is shorter than a vector; searching looks at 64 places a turn,
 * so that memory, not the loop, is what it waits for.
 */
#include "base/scan.h"
#include "base/scan_inline.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define VECTOR 32u
#define AVX2 __attribute__((target("avx2,bmi,popcnt")))
#define AVX2_INLINE static inline __attribute__((target("avx2,bmi,popcnt"), always_inline))

AVX2_INLINE __m256i load(const void *at) {
    return _mm256_loadu_si256((const __m256i *)at);
}

/* A 16-byte table for byte shuffles, in both halves. */
AVX2_INLINE __m256i load_table(const uint8_t *table) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
}

/* One bit a byte that does not belong to `kind`. */
AVX2_INLINE uint32_t bad_bytes(__m256i v, mb__scan_class kind) {
    if (kind == MB__SCAN_VALUE) {
        __m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
        __m256i tab = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\t'));
        __m256i del = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(0x7f));
        return (uint32_t)_mm256_movemask_epi8(
            _mm256_or_si256(_mm256_andnot_si256(tab, control), del));
    }
    if (kind == MB__SCAN_TARGET) {
        __m256i low = _mm256_sub_epi8(v, _mm256_set1_epi8(0x21));
        __m256i good = _mm256_cmpeq_epi8(_mm256_min_epu8(low, _mm256_set1_epi8(0x7e - 0x21)), low);
        return ~(uint32_t)_mm256_movemask_epi8(good);
    }
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(0x0f));
    __m256i good = _mm256_and_si256(_mm256_shuffle_epi8(load_table(mb__scan_token_rows()), v),
                                    _mm256_shuffle_epi8(load_table(mb__scan_token_bits()), high));
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(good, _mm256_setzero_si256()));
}

/* 0xff in each byte that is A-Z. */
AVX2_INLINE __m256i upper_bytes(__m256i v) {
    __m256i letter = _mm256_sub_epi8(v, _mm256_set1_epi8('A'));
    return _mm256_cmpeq_epi8(_mm256_min_epu8(letter, _mm256_set1_epi8(25)), letter);
}

/* len >= VECTOR */
AVX2_INLINE size_t scan(const char *at, size_t len, mb__scan_class kind) {
    size_t i = 0;
    for (; len - i >= VECTOR; i += VECTOR) {
        uint32_t bad = bad_bytes(load(at + i), kind);
        if (bad != 0) {
            return i + (size_t)__builtin_ctz(bad);
        }
    }
    if (i < len) {
        i = len - VECTOR;
        uint32_t bad = bad_bytes(load(at + i), kind);
        return bad != 0 ? i + (size_t)__builtin_ctz(bad) : len;
    }
    return len;
}

AVX2 static size_t avx2_value(const char *at, size_t len) {
    return len < VECTOR ? mb__scan_sse42.value(at, len) : scan(at, len, MB__SCAN_VALUE);
}

AVX2 static size_t avx2_target(const char *at, size_t len) {
    return len < VECTOR ? mb__scan_sse42.target(at, len) : scan(at, len, MB__SCAN_TARGET);
}

AVX2 static size_t avx2_token(const char *at, size_t len) {
    return len < VECTOR ? mb__scan_sse42.token(at, len) : scan(at, len, MB__SCAN_TOKEN);
}

AVX2 static size_t avx2_token_case(const char *at, size_t len, bool *upper) {
    uint32_t seen = 0;
    size_t i = 0;
    for (; len - i >= VECTOR; i += VECTOR) {
        __m256i v = load(at + i);
        uint32_t bad = bad_bytes(v, MB__SCAN_TOKEN);
        uint32_t caps = (uint32_t)_mm256_movemask_epi8(upper_bytes(v));
        if (bad != 0) {
            *upper = (seen | (caps & ((bad & -bad) - 1))) != 0;
            return i + (size_t)__builtin_ctz(bad);
        }
        seen |= caps;
    }
    bool tail = false;
    i += mb__scan_sse42.token_case(at + i, len - i, &tail);
    *upper = tail || seen != 0;
    return i;
}

AVX2 static void avx2_lower(char *at, size_t len) {
    size_t i = 0;
    for (; len - i >= VECTOR; i += VECTOR) {
        __m256i v = load(at + i);
        __m256i bit = _mm256_and_si256(upper_bytes(v), _mm256_set1_epi8(0x20));
        _mm256_storeu_si256((__m256i *)(void *)(at + i), _mm256_or_si256(v, bit));
    }
    mb__scan_sse42.lower(at + i, len - i);
}

/* One bit a place of the 64 at `at` where the needle's first and last byte fit. */
AVX2_INLINE uint64_t candidates(const char *at, size_t last_offset, __m256i first, __m256i last) {
    const char *end = at + last_offset;
    __m256i low =
        _mm256_and_si256(_mm256_cmpeq_epi8(load(at), first), _mm256_cmpeq_epi8(load(end), last));
    __m256i high = _mm256_and_si256(_mm256_cmpeq_epi8(load(at + VECTOR), first),
                                    _mm256_cmpeq_epi8(load(end + VECTOR), last));
    if (_mm256_testz_si256(_mm256_or_si256(low, high), _mm256_or_si256(low, high))) {
        return 0;
    }
    return (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32 |
           (uint32_t)_mm256_movemask_epi8(low);
}

AVX2 static size_t avx2_find(const char *at, size_t len, const char *needle, size_t needle_len) {
    size_t i = 0;
    if (needle_len > 1 && needle_len <= len) {
        size_t places = len - needle_len + 1;
        __m256i first = _mm256_set1_epi8(needle[0]);
        __m256i last = _mm256_set1_epi8(needle[needle_len - 1]);
        for (; places - i >= 2 * VECTOR; i += 2 * VECTOR) {
            uint64_t mask = candidates(at + i, needle_len - 1, first, last);
            for (; mask != 0; mask &= mask - 1) {
                size_t match = i + (size_t)__builtin_ctzll(mask);
                if (mb__scan_same_middle(at + match, needle, needle_len)) {
                    return match;
                }
            }
        }
    }
    size_t match = mb__scan_sse42.find(at + i, len - i, needle, needle_len);
    return match == MB_SCAN_NONE ? MB_SCAN_NONE : i + match;
}

/* Adds up matches byte by byte, and those sums before one of them can pass 255. */
AVX2 static size_t count_byte(const char *at, size_t len, char byte) {
    __m256i wanted = _mm256_set1_epi8(byte);
    __m256i total = _mm256_setzero_si256();
    size_t i = 0;
    while (len - i >= VECTOR) {
        __m256i sums = _mm256_setzero_si256();
        for (int turn = 0; turn < 255 && len - i >= VECTOR; turn++, i += VECTOR) {
            sums = _mm256_sub_epi8(sums, _mm256_cmpeq_epi8(load(at + i), wanted));
        }
        total = _mm256_add_epi64(total, _mm256_sad_epu8(sums, _mm256_setzero_si256()));
    }
    uint64_t lanes[4];
    _mm256_storeu_si256((__m256i *)(void *)lanes, total);
    size_t found = lanes[0] + lanes[1] + lanes[2] + lanes[3];
    for (; i < len; i++) {
        found += at[i] == byte;
    }
    return found;
}

AVX2 static size_t avx2_count(const char *at, size_t len, const char *needle, size_t needle_len,
                              size_t *from) {
    if (*from > len || needle_len > len - *from) {
        return 0;
    }
    if (needle_len == 1) {
        size_t found = count_byte(at + *from, len - *from, needle[0]);
        *from = len;
        return found;
    }
    size_t places = len - needle_len + 1;
    __m256i first = _mm256_set1_epi8(needle[0]);
    __m256i last = _mm256_set1_epi8(needle[needle_len - 1]);
    size_t found = 0;
    size_t next = *from; /* where the next match may begin */
    size_t i = next;
    for (; places - i >= 2 * VECTOR; i += 2 * VECTOR) {
        uint64_t mask = candidates(at + i, needle_len - 1, first, last);
        for (; mask != 0; mask &= mask - 1) {
            size_t match = i + (size_t)__builtin_ctzll(mask);
            if (match >= next && mb__scan_same_middle(at + match, needle, needle_len)) {
                found++;
                next = match + needle_len;
            }
        }
    }
    size_t end = i > next ? i : next;
    size_t more = mb__scan_sse42.count(at, len, needle, needle_len, &end);
    *from = more > 0 ? end : next;
    return found + more;
}

const mb_scan_ops mb__scan_avx2 = {
    .name = "avx2",
    .value = avx2_value,
    .target = avx2_target,
    .token = avx2_token,
    .token_case = avx2_token_case,
    .lower = avx2_lower,
    .find = avx2_find,
    .count = avx2_count,
};
#endif
