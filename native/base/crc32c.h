/*
 * CRC-32C (Castagnoli), as RFC 4960 appendix B computes it.
 */
#ifndef MB_BASE_CRC32C_H
#define MB_BASE_CRC32C_H

#include <moebridge/common.h>

/* Goes on from `crc`, 0 at the beginning: pieces give what the whole gives. */
uint32_t mb_crc32c(uint32_t crc, mb_slice bytes);

#endif
