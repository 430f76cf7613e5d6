/*
 * SHA-1. FIPS 180-4 5.1.1, 6.1.2. See sha1.h.
 */
#include "base/sha1.h"

#include <string.h>

#define BLOCK_BYTES 64u

static uint32_t rotate_left(uint32_t value, unsigned by) {
    return value << by | value >> (32 - by);
}

static uint32_t load_be32(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void store_be32(unsigned char *at, uint32_t value) {
    at[0] = (unsigned char)(value >> 24);
    at[1] = (unsigned char)(value >> 16);
    at[2] = (unsigned char)(value >> 8);
    at[3] = (unsigned char)value;
}

static void add_block(uint32_t hash[5], const unsigned char *block) {
    uint32_t w[80];
    for (int t = 0; t < 16; t++) {
        w[t] = load_be32(block + 4 * t);
    }
    for (int t = 16; t < 80; t++) {
        w[t] = rotate_left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    }
    uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4];
    for (int t = 0; t < 80; t++) {
        uint32_t mixed;
        if (t < 20) {
            mixed = ((b & c) | (~b & d)) + 0x5a827999u;
        } else if (t < 40) {
            mixed = (b ^ c ^ d) + 0x6ed9eba1u;
        } else if (t < 60) {
            mixed = ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
        } else {
            mixed = (b ^ c ^ d) + 0xca62c1d6u;
        }
        uint32_t next = rotate_left(a, 5) + mixed + e + w[t];
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    hash[0] += a;
    hash[1] += b;
    hash[2] += c;
    hash[3] += d;
    hash[4] += e;
}

void mb_sha1(mb_slice bytes, uint8_t out[MB_SHA1_BYTES]) {
    uint32_t hash[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    size_t left = bytes.len;
    for (; left >= BLOCK_BYTES; left -= BLOCK_BYTES, at += BLOCK_BYTES) {
        add_block(hash, at);
    }
    /* The rest, one bit 1, zeros and the length in bits make one more block or two. */
    unsigned char tail[2 * BLOCK_BYTES] = {0};
    if (left > 0) {
        memcpy(tail, at, left);
    }
    tail[left] = 0x80;
    size_t tail_bytes = left + 9 <= BLOCK_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;
    uint64_t bits = (uint64_t)bytes.len * 8;
    store_be32(tail + tail_bytes - 8, (uint32_t)(bits >> 32));
    store_be32(tail + tail_bytes - 4, (uint32_t)bits);
    for (size_t done = 0; done < tail_bytes; done += BLOCK_BYTES) {
        add_block(hash, tail + done);
    }
    for (int i = 0; i < 5; i++) {
        store_be32(out + 4 * i, hash[i]);
    }
}
