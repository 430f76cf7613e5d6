/*
 * Ranges of IP addresses: "10.0.0.0/8", "2001:db8::/32". By value.
 */
#ifndef MB_NET_CIDR_H
#define MB_NET_CIDR_H

#include "net/address.h"

typedef struct mb_cidr {
    uint8_t family;   /* 4 or 6 */
    uint8_t bits;     /* 0 to 32, 0 to 128 */
    uint8_t host[16]; /* network byte order; bits behind the range are 0 */
} mb_cidr;

#define MB_CIDR_BITS_MAX 128u

/* The range of `bits` bits around a numeric address; more bits than there are count as all of
 * them, as in Envoy. MB_OK, or MB_EINVAL: not numeric. */
int mb_cidr_parse(mb_slice host, uint32_t bits, mb_cidr *out);
/* The same around an address. False: it is not of IP. */
bool mb_cidr_of(const mb_address *address, uint32_t bits, mb_cidr *out);
/* Clears the bits of `host` behind `bits`. */
void mb_cidr_mask(mb_cidr *range);
bool mb_cidr_contains(const mb_cidr *range, const mb_address *address);

#endif
