/*
 * SHA-1 of bytes in memory. FIPS 180-4. Only for what asks for it by name, the {SHA} passwords
 * of htpasswd files; it protects nothing against who can choose the bytes.
 */
#ifndef MB_BASE_SHA1_H
#define MB_BASE_SHA1_H

#include <moebridge/common.h>

#define MB_SHA1_BYTES 20

void mb_sha1(mb_slice bytes, uint8_t out[MB_SHA1_BYTES]);

#endif
