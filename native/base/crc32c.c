/*
 * CRC-32C, four bits a step: a table of 16 words. Called for one header a connection, where the
 * eight tables of the fast form would cost more in cache misses than they save.
 */
#include "base/crc32c.h"

/* The reversed polynomial 0x82f63b78 applied to each value of four bits. */
static const uint32_t steps[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t mb_crc32c(uint32_t crc, mb_slice bytes) {
    crc = ~crc;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (uint8_t)bytes.ptr[i];
        crc = crc >> 4 ^ steps[crc & 15];
        crc = crc >> 4 ^ steps[crc & 15];
    }
    return ~crc;
}
