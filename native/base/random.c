/*
 * Seeding, and UUIDs. See random.h.
 */
#include "base/random.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

void mb_random_seed(mb_random *random, uint64_t seed) {
    /* splitmix64, which the authors of xoshiro name for this; four outputs are never all zero. */
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        random->state[i] = z ^ z >> 31;
    }
}

int mb_random_init(mb_random *random) {
    uint64_t state[4];
    char *at = (char *)state;
    size_t left = sizeof(state);
    while (left > 0) {
        ssize_t got = getrandom(at, left, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return MB_EIO;
        }
        at += got;
        left -= (size_t)got;
    }
    if ((state[0] | state[1] | state[2] | state[3]) == 0) {
        state[0] = 1;
    }
    memcpy(random->state, state, sizeof(state));
    return MB_OK;
}

/* Two digits a byte: one table load and one store each. */
static void write_hex(char *out, uint64_t bits, int bytes) {
    static const char pairs[] = "000102030405060708090a0b0c0d0e0f"
                                "101112131415161718191a1b1c1d1e1f"
                                "202122232425262728292a2b2c2d2e2f"
                                "303132333435363738393a3b3c3d3e3f"
                                "404142434445464748494a4b4c4d4e4f"
                                "505152535455565758595a5b5c5d5e5f"
                                "606162636465666768696a6b6c6d6e6f"
                                "707172737475767778797a7b7c7d7e7f"
                                "808182838485868788898a8b8c8d8e8f"
                                "909192939495969798999a9b9c9d9e9f"
                                "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
                                "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
                                "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
                                "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
                                "e0e1e2e3e4e5e6e7e8e9eaebecedeeef"
                                "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
    for (int i = 0; i < bytes; i++) {
        memcpy(out + 2 * i, pairs + 2 * (bits & 0xff), 2);
        bits >>= 8;
    }
}

void mb_random_uuid(mb_random *random, char out[MB_UUID_BYTES]) {
    uint64_t high = mb_random_u64(random);
    uint64_t low = mb_random_u64(random);
    /* Bytes are written from the low end: byte 6 has the version, byte 8 the variant. */
    high = (high & ~((uint64_t)0xf0 << 48)) | (uint64_t)0x40 << 48;
    low = (low & ~(uint64_t)0xc0) | 0x80;
    write_hex(out, high, 4);
    out[8] = '-';
    write_hex(out + 9, high >> 32, 2);
    out[13] = '-';
    write_hex(out + 14, high >> 48, 2);
    out[18] = '-';
    write_hex(out + 19, low, 2);
    out[23] = '-';
    write_hex(out + 24, low >> 16, 6);
}
