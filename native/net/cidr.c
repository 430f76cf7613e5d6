/*
 * Ranges of IP addresses. See cidr.h; called by the configuration and by what chooses by address.
 */
#include "net/cidr.h"

#include "base/slice.h"

void mb_cidr_mask(mb_cidr *range) {
    for (unsigned i = 0; i < sizeof(range->host); i++) {
        unsigned kept = range->bits > i * 8 ? range->bits - i * 8 : 0;
        if (kept < 8) {
            range->host[i] &= (uint8_t)(0xff00u >> kept);
        }
    }
}

bool mb_cidr_of(const mb_address *address, uint32_t bits, mb_cidr *out) {
    mb_cidr range = {.family = 0};
    if (address->length > 0 && address->sa.sa_family == AF_INET) {
        range.family = 4;
        memcpy(range.host, &address->in.sin_addr, 4);
    } else if (address->length > 0 && address->sa.sa_family == AF_INET6) {
        range.family = 6;
        memcpy(range.host, &address->in6.sin6_addr, 16);
    } else {
        return false;
    }
    uint32_t most = range.family == 4 ? 32 : 128;
    range.bits = (uint8_t)(bits < most ? bits : most);
    mb_cidr_mask(&range);
    *out = range;
    return true;
}

int mb_cidr_parse(mb_slice host, uint32_t bits, mb_cidr *out) {
    mb_address address;
    if (mb_address_parse(host, 0, &address) != MB_OK) {
        return MB_EINVAL;
    }
    return mb_cidr_of(&address, bits, out) ? MB_OK : MB_EINVAL;
}

bool mb_cidr_contains(const mb_cidr *range, const mb_address *address) {
    mb_cidr around;
    return mb_cidr_of(address, range->bits, &around) && around.family == range->family &&
           memcmp(around.host, range->host, sizeof(around.host)) == 0;
}
