/*
 * Base64 with the standard alphabet. RFC 4648 4. For basic auth and for bytes in JSON.
 */
#ifndef MB_BASE_BASE64_H
#define MB_BASE_BASE64_H

#include <moebridge/common.h>

static inline size_t mb_base64_encoded_bytes(size_t bytes) {
    return (bytes + 2) / 3 * 4;
}
/* Writes mb_base64_encoded_bytes(bytes.len) to `out`, padded, without a NUL; returns how many. */
size_t mb_base64_encode(mb_slice bytes, char *out);

/* At most this many bytes come from `chars` characters. */
static inline size_t mb_base64_decoded_bytes_max(size_t chars) {
    return chars / 4 * 3;
}
/* Strict: whole groups of four, padding where it must be, no white space, no stray bits. Returns
 * how many bytes were written, or MB_EINVAL with `out` undefined. `out` has room for
 * mb_base64_decoded_bytes_max(text.len). */
int64_t mb_base64_decode(mb_slice text, char *out);

#endif
