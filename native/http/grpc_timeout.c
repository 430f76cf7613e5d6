/*
 * The deadline that a gRPC client asks for; see grpc.h.
 */
#include "base/slice.h"
#include "http/grpc.h"

#include <stdio.h>

#define TIMEOUT_DIGITS_MAX 8
#define TIMEOUT_MAX 99999999u

static uint64_t whole_ms(uint64_t value, uint64_t parts) {
    return (value + parts - 1) / parts * 1000;
}

int mb_grpc_timeout(const mb_headers *headers, uint64_t *out_us) {
    mb_slice text = mb_headers_value(headers, MB_TOKEN_GRPC_TIMEOUT);
    uint64_t value;

    if (text.len == 0) {
        return MB_ENOTFOUND;
    }
    if (text.len > TIMEOUT_DIGITS_MAX + 1 ||
        mb_slice_parse_u64((mb_slice){text.ptr, text.len - 1}, &value) != MB_OK) {
        return MB_EINVAL;
    }
    switch (text.ptr[text.len - 1]) {
    case 'H':
        *out_us = value * 3600 * 1000000;
        return MB_OK;
    case 'M':
        *out_us = value * 60 * 1000000;
        return MB_OK;
    case 'S':
        *out_us = value * 1000000;
        return MB_OK;
    case 'm':
        *out_us = value * 1000;
        return MB_OK;
    case 'u':
        *out_us = whole_ms(value, 1000);
        return MB_OK;
    case 'n':
        *out_us = whole_ms(value, 1000000);
        return MB_OK;
    default:
        return MB_EINVAL;
    }
}

int mb_grpc_set_timeout(mb_headers *headers, uint64_t timeout_us) {
    static const struct {
        char unit;
        uint32_t parts; /* of the next one */
    } units[] = {{'m', 1000}, {'S', 60}, {'M', 60}, {'H', 1}};
    uint64_t value = timeout_us / 1000;
    size_t unit = 0;
    char text[24];
    mb_slice kept;

    while (value > TIMEOUT_MAX && unit + 1 < sizeof units / sizeof *units) {
        value /= units[unit++].parts;
    }
    if (value > TIMEOUT_MAX) {
        value = TIMEOUT_MAX;
    }
    int length = snprintf(text, sizeof text, "%llu%c", (unsigned long long)value, units[unit].unit);
    int rc = mb_arena_dup(headers->arena, (mb_slice){text, (size_t)length}, &kept);

    return rc != MB_OK ? rc : mb_headers_set_token(headers, MB_TOKEN_GRPC_TIMEOUT, kept);
}
