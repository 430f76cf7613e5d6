/*
 * Tables of character classes for HTTP. See chars.h.
 */
#include "http/chars.h"

#include "base/scan.h"
#include "base/slice.h"

/* clang-format off */

/* Sums of mb_char_class: 1 token, 2 target, 4 host, 8 lower-case token. Rows of 16 from 0x20; the
 * two rows of controls before them and all above 0x7f are zero. */
const uint8_t mb__char_class[256] = {
    [0x20] =
     0, 15,  2,  9, 15, 15, 15, 15,  6,  6, 15, 15,  6, 15, 15,  2, /* 0x20 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15,  2,  6,  2,  6,  2,  2, /* 0x30 */
     2,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7, /* 0x40 */
     7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  2,  2,  2, 11, 15, /* 0x50 */
    11, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, /* 0x60 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,  2, 11,  2, 15,  0, /* 0x70 */
};

/* clang-format on */

bool mb_http_is_all(mb_slice text, mb_char_class which) {
    uint8_t all = 0xff;

    for (size_t i = 0; i < text.len; i++) {
        all &= mb__char_class[(uint8_t)text.ptr[i]];
    }
    return (all & which) != 0;
}

bool mb_http_is_value(mb_slice text) {
    return text.len == 0 || mb_scan_select()->value(text.ptr, text.len) == text.len;
}

/* The length of the host before the port, or 0. */
static size_t host_length(mb_slice text) {
    size_t at = 0;

    if (text.len > 0 && text.ptr[0] == '[') {
        for (at = 1; at < text.len && text.ptr[at] != ']'; at++) {
            char c = text.ptr[at];

            if (mb_ascii_hex_value(c) < 0 && c != ':' && c != '.') {
                return 0;
            }
        }
        return at < text.len && at > 2 ? at + 1 : 0;
    }
    while (at < text.len && mb_http_is(text.ptr[at], MB_CHAR_HOST)) {
        at++;
    }
    return at;
}

bool mb_http_is_authority(mb_slice text) {
    size_t host = host_length(text);
    mb_slice port = mb_slice_skip(text, host + 1);
    uint64_t number = 0;

    if (host == 0) {
        return false;
    }
    if (host == text.len) {
        return true;
    }
    if (text.ptr[host] != ':') {
        return false;
    }
    return port.len == 0 || (mb_slice_parse_u64(port, &number) == MB_OK && number <= 65535);
}

bool mb_http_is_status(mb_slice text) {
    return text.len == 3 && text.ptr[0] >= '1' && text.ptr[0] <= '9' &&
           mb_ascii_is_digit(text.ptr[1]) && mb_ascii_is_digit(text.ptr[2]);
}
