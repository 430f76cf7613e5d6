/*
 * The parser's two inner loops with the 16-byte vectors that every processor of the architecture
 * has: SSE2, NEON, else bytes. Lines and names are short, so that a call through scan.h's table
 * costs more than the bytes it looks at: reading and answering a browser's request (1 KB of head,
 * 20 fields) took 10,700 instructions with the table and takes 7,800 so.
 *
 * Nothing outside [at, at + len) is read or written. Included by http/h1_*.c only.
 */
#ifndef MB_HTTP_H1_SIMD_H
#define MB_HTTP_H1_SIMD_H

#include <moebridge/common.h>

#define MB__BLOCK 16u

#if defined(__SSE2__)
#include <emmintrin.h>

/* True bytes as a mask of one bit a byte. */
#define MB__MASK_BITS 1u
static inline uint64_t mb__block_mask(__m128i block) {
    return (uint32_t)_mm_movemask_epi8(block);
}

static inline __m128i mb__block_below(__m128i block, uint8_t limit) {
    __m128i max = _mm_set1_epi8((char)(limit - 1));

    return _mm_cmpeq_epi8(_mm_min_epu8(block, max), block);
}

/* The bytes that may not stand in text: controls but HTAB, and DEL. */
static inline uint64_t mb__block_stops(const char *at) {
    __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i controls =
        _mm_andnot_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('\t')), mb__block_below(block, 0x20));

    return mb__block_mask(_mm_or_si128(controls, _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f))));
}

/* Makes the leading A-Z, a-z, 0-9, '-' lower-case and returns how many there are. */
static inline size_t mb__block_lower(char *at) {
    const __m128i places = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i bit = _mm_set1_epi8(0x20);
    __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i letters =
        mb__block_below(_mm_sub_epi8(_mm_or_si128(block, bit), _mm_set1_epi8('a')), 26);
    __m128i digits = mb__block_below(_mm_sub_epi8(block, _mm_set1_epi8('0')), 10);
    __m128i hyphens = _mm_cmpeq_epi8(block, _mm_set1_epi8('-'));
    uint64_t good = mb__block_mask(_mm_or_si128(_mm_or_si128(letters, digits), hyphens));
    size_t count = (size_t)__builtin_ctzll(~good);
    __m128i inside = _mm_cmplt_epi8(places, _mm_set1_epi8((char)count));
    __m128i change = _mm_and_si128(_mm_and_si128(letters, inside), bit);

    _mm_storeu_si128((__m128i *)(void *)at, _mm_or_si128(block, change));
    return count;
}

#elif defined(__aarch64__)
#include <arm_neon.h>

/* True bytes as a mask of four bits a byte: there is no instruction for one bit. */
#define MB__MASK_BITS 4u
static inline uint64_t mb__block_mask(uint8x16_t block) {
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(block), 4)), 0);
}

static inline uint64_t mb__block_stops(const char *at) {
    uint8x16_t block = vld1q_u8((const uint8_t *)at);
    uint8x16_t controls =
        vbicq_u8(vcltq_u8(block, vdupq_n_u8(0x20)), vceqq_u8(block, vdupq_n_u8('\t')));

    return mb__block_mask(vorrq_u8(controls, vceqq_u8(block, vdupq_n_u8(0x7f))));
}

static inline size_t mb__block_lower(char *at) {
    static const uint8_t order[MB__BLOCK] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const uint8x16_t bit = vdupq_n_u8(0x20);
    uint8x16_t block = vld1q_u8((const uint8_t *)at);
    uint8x16_t letters = vcltq_u8(vsubq_u8(vorrq_u8(block, bit), vdupq_n_u8('a')), vdupq_n_u8(26));
    uint8x16_t digits = vcltq_u8(vsubq_u8(block, vdupq_n_u8('0')), vdupq_n_u8(10));
    uint8x16_t hyphens = vceqq_u8(block, vdupq_n_u8('-'));
    uint64_t bad = ~mb__block_mask(vorrq_u8(vorrq_u8(letters, digits), hyphens));
    size_t count = bad == 0 ? MB__BLOCK : (size_t)__builtin_ctzll(bad) / MB__MASK_BITS;
    uint8x16_t inside = vcltq_u8(vld1q_u8(order), vdupq_n_u8((uint8_t)count));

    vst1q_u8((uint8_t *)at, vorrq_u8(block, vandq_u8(vandq_u8(letters, inside), bit)));
    return count;
}
#endif

#if defined(MB__MASK_BITS)
/* Place of the first byte of a mask that is not 0. */
static inline size_t mb__mask_first(uint64_t mask) {
    return (size_t)__builtin_ctzll(mask) / MB__MASK_BITS;
}
#endif

/* Index of the first byte that may not stand in a field value, or `len`. RFC 9110 5.5. */
static inline size_t mb__text_length(const char *at, size_t len) {
    size_t i = 0;

#if defined(MB__MASK_BITS)
    for (; i + MB__BLOCK <= len; i += MB__BLOCK) {
        uint64_t stops = mb__block_stops(at + i);

        if (stops != 0) {
            return i + mb__mask_first(stops);
        }
    }
    if (i < len && len >= MB__BLOCK) {
        /* The last block overlaps what was looked at already and found good. */
        uint64_t stops = mb__block_stops(at + len - MB__BLOCK);

        return stops == 0 ? len : len - MB__BLOCK + (size_t)__builtin_ctzll(stops) / MB__MASK_BITS;
    }
#endif
    while (i < len && (((unsigned char)at[i] >= 0x20 && at[i] != 0x7f) || at[i] == '\t')) {
        i++;
    }
    return i;
}

/* Makes the leading letters, digits and '-' lower-case in place and returns how many there are:
 * all of nearly every field name. What other token characters follow is for the caller to see. */
static inline size_t mb__name_lower(char *at, size_t len) {
    size_t i = 0;

#if defined(MB__MASK_BITS)
    for (; i + MB__BLOCK <= len; i += MB__BLOCK) {
        size_t count = mb__block_lower(at + i);

        if (count < MB__BLOCK) {
            return i + count;
        }
    }
#endif
    for (; i < len; i++) {
        unsigned char letter = (unsigned char)((at[i] | 0x20) - 'a');

        if (letter < 26) {
            at[i] = (char)(at[i] | 0x20);
        } else if ((unsigned char)(at[i] - '0') >= 10 && at[i] != '-') {
            break;
        }
    }
    return i;
}

#endif
