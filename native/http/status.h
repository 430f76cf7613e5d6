/*
 * Reason phrases of the registered status codes, for HTTP/1 status lines and local replies.
 * RFC 9110 15 and the IANA registry.
 */
#ifndef MB_HTTP_STATUS_H
#define MB_HTTP_STATUS_H

#include <moebridge/common.h>

/* "Not Found" for 404; "Unknown" for codes without a name, as Envoy. Constant memory,
 * NUL-terminated. */
mb_slice mb_http_reason(uint32_t status);

/* Writes 100 to 999 as three digits. */
static inline void mb_http_status_digits(char out[3], uint32_t status) {
    out[0] = (char)('0' + status / 100 % 10);
    out[1] = (char)('0' + status / 10 % 10);
    out[2] = (char)('0' + status % 10);
}

#endif
