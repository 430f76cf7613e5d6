/*
 * The scans with 16-byte vectors of AArch64. See scan.h and, for how partial vectors are read,
 * scan_sse42.c.
 *
 * NEON has no move-mask: a comparison is narrowed to four bits a byte, so a 64-bit word stands
 * for 16 bytes and the place of a bit divided by four is a byte's.
 */
#include "base/scan.h"
#include "base/scan_inline.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define VECTOR 16u
#define ONE_BIT_A_BYTE 0x8888888888888888u

static inline uint8x16_t load(const void *at) {
    return vld1q_u8(at);
}

static inline uint64_t mask_of(uint8x16_t lanes) {
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(lanes), 4)), 0);
}

static inline size_t first_of(uint64_t mask) {
    return (size_t)__builtin_ctzll(mask) / 4;
}

/* Four bits a byte that does not belong to `kind`. */
static inline uint64_t bad_bytes(uint8x16_t v, mb__scan_class kind) {
    if (kind == MB__SCAN_VALUE) {
        uint8x16_t control = vcltq_u8(v, vdupq_n_u8(0x20));
        uint8x16_t tab = vceqq_u8(v, vdupq_n_u8('\t'));
        uint8x16_t del = vceqq_u8(v, vdupq_n_u8(0x7f));
        return mask_of(vorrq_u8(vbicq_u8(control, tab), del));
    }
    if (kind == MB__SCAN_TARGET) {
        return mask_of(vcgtq_u8(vsubq_u8(v, vdupq_n_u8(0x21)), vdupq_n_u8(0x7e - 0x21)));
    }
    uint8x16_t row = vqtbl1q_u8(load(mb__scan_token_rows()), vandq_u8(v, vdupq_n_u8(0x0f)));
    uint8x16_t bit = vqtbl1q_u8(load(mb__scan_token_bits()), vshrq_n_u8(v, 4));
    return mask_of(vceqzq_u8(vandq_u8(row, bit)));
}

/* 0xff in each byte that is A-Z. */
static inline uint8x16_t upper_bytes(uint8x16_t v) {
    return vcltq_u8(vsubq_u8(v, vdupq_n_u8('A')), vdupq_n_u8(26));
}

static inline size_t scan(const char *at, size_t len, mb__scan_class kind) {
    size_t i = 0;
    for (; len - i >= VECTOR; i += VECTOR) {
        uint64_t bad = bad_bytes(load(at + i), kind);
        if (bad != 0) {
            return i + first_of(bad);
        }
    }
    if (i > 0 && i < len) {
        i = len - VECTOR;
        uint64_t bad = bad_bytes(load(at + i), kind);
        return bad != 0 ? i + first_of(bad) : len;
    }
    while (i < len && mb__scan_belongs(kind, (unsigned char)at[i])) {
        i++;
    }
    return i;
}

static size_t neon_value(const char *at, size_t len) {
    return scan(at, len, MB__SCAN_VALUE);
}

static size_t neon_target(const char *at, size_t len) {
    return scan(at, len, MB__SCAN_TARGET);
}

static size_t neon_token(const char *at, size_t len) {
    return scan(at, len, MB__SCAN_TOKEN);
}

static size_t neon_token_case(const char *at, size_t len, bool *upper) {
    uint64_t seen = 0;
    size_t i = 0;
    for (; len - i >= VECTOR; i += VECTOR) {
        uint8x16_t v = load(at + i);
        uint64_t bad = bad_bytes(v, MB__SCAN_TOKEN);
        uint64_t caps = mask_of(upper_bytes(v));
        if (bad != 0) {
            *upper = (seen | (caps & ((bad & -bad) - 1))) != 0;
            return i + first_of(bad);
        }
        seen |= caps;
    }
    for (; i < len && mb__scan_is_token((unsigned char)at[i]); i++) {
        seen |= mb__scan_is_upper((unsigned char)at[i]);
    }
    *upper = seen != 0;
    return i;
}

static void neon_lower(char *at, size_t len) {
    size_t i = 0;
    for (; len - i >= VECTOR; i += VECTOR) {
        uint8x16_t v = load(at + i);
        uint8x16_t bit = vandq_u8(upper_bytes(v), vdupq_n_u8(0x20));
        vst1q_u8((uint8_t *)at + i, vorrq_u8(v, bit));
    }
    mb__scan_plain.lower(at + i, len - i);
}

/* One bit in four for each place of the 16 at `at` where the needle's first and last byte fit. */
static inline uint64_t candidates(const char *at, size_t last_offset, uint8x16_t first,
                                  uint8x16_t last) {
    return mask_of(vandq_u8(vceqq_u8(load(at), first), vceqq_u8(load(at + last_offset), last))) &
           ONE_BIT_A_BYTE;
}

static size_t neon_find(const char *at, size_t len, const char *needle, size_t needle_len) {
    if (needle_len > len) {
        return MB_SCAN_NONE;
    }
    size_t places = len - needle_len + 1;
    if (needle_len == 1 || places < VECTOR) {
        return mb__scan_plain.find(at, len, needle, needle_len);
    }
    uint8x16_t first = vdupq_n_u8((uint8_t)needle[0]);
    uint8x16_t last = vdupq_n_u8((uint8_t)needle[needle_len - 1]);
    for (size_t i = 0;;) {
        uint64_t mask = candidates(at + i, needle_len - 1, first, last);
        for (; mask != 0; mask &= mask - 1) {
            size_t match = i + first_of(mask);
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

static size_t count_byte(const char *at, size_t len, char byte) {
    uint8x16_t wanted = vdupq_n_u8((uint8_t)byte);
    size_t found = 0;
    size_t i = 0;
    while (len - i >= VECTOR) {
        uint8x16_t sums = vdupq_n_u8(0); /* each at most 255 */
        for (int turn = 0; turn < 255 && len - i >= VECTOR; turn++, i += VECTOR) {
            sums = vsubq_u8(sums, vceqq_u8(load(at + i), wanted));
        }
        found += vaddlvq_u8(sums);
    }
    for (; i < len; i++) {
        found += at[i] == byte;
    }
    return found;
}

static size_t neon_count(const char *at, size_t len, const char *needle, size_t needle_len,
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
    uint8x16_t first = vdupq_n_u8((uint8_t)needle[0]);
    uint8x16_t last = vdupq_n_u8((uint8_t)needle[needle_len - 1]);
    size_t found = 0;
    size_t next = *from; /* where the next match may begin */
    size_t i = next;
    for (; places - i >= VECTOR; i += VECTOR) {
        uint64_t mask = candidates(at + i, needle_len - 1, first, last);
        for (; mask != 0; mask &= mask - 1) {
            size_t match = i + first_of(mask);
            if (match >= next && mb__scan_same_middle(at + match, needle, needle_len)) {
                found++;
                next = match + needle_len;
            }
        }
    }
    size_t end = i > next ? i : next;
    size_t more = mb__scan_plain.count(at, len, needle, needle_len, &end);
    *from = more > 0 ? end : next;
    return found + more;
}

const mb_scan_ops mb__scan_neon = {
    .name = "neon",
    .value = neon_value,
    .target = neon_target,
    .token = neon_token,
    .token_case = neon_token_case,
    .lower = neon_lower,
    .find = neon_find,
    .count = neon_count,
};
#endif
