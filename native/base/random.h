/*
 * Random numbers of one worker: xoshiro256** (Blackman and Vigna), seeded by the kernel. For load
 * balancing, jitter, hash seeds and request ids; not for secrets.
 */
#ifndef MB_BASE_RANDOM_H
#define MB_BASE_RANDOM_H

#include <moebridge/common.h>

#define MB_UUID_BYTES 36

typedef struct mb_random {
    uint64_t state[4]; /* not all zero */
} mb_random;

/* From getrandom(2). MB_OK or MB_EIO. */
int mb_random_init(mb_random *random);
/* The same numbers for the same seed, for tests. */
void mb_random_seed(mb_random *random, uint64_t seed);

static inline uint64_t mb__rotate_left(uint64_t value, unsigned by) {
    return value << by | value >> (64 - by);
}
static inline uint64_t mb_random_u64(mb_random *random) {
    uint64_t *s = random->state;
    uint64_t result = mb__rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = mb__rotate_left(s[3], 45);
    return result;
}
/* 0 to bound - 1, every value equally likely to within 2^-32 of its share. bound >= 1. */
static inline uint32_t mb_random_below(mb_random *random, uint32_t bound) {
    return (uint32_t)((mb_random_u64(random) >> 32) * bound >> 32);
}
/* A version 4 UUID in lower case, without a NUL: x-request-id. RFC 9562 5.4. */
void mb_random_uuid(mb_random *random, char out[MB_UUID_BYTES]);

#endif
