/*
 * Socket addresses by value: IPv4, IPv6, Unix; parsed from and printed as text.
 */
#ifndef MB_NET_ADDRESS_H
#define MB_NET_ADDRESS_H

#include <moebridge/common.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MB_ADDRESS_TEXT_BYTES 128 /* enough for "[ipv6%scope]:port" and a Unix path */

typedef struct mb_address {
    socklen_t length; /* 0: none */
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
} mb_address;

/* A numeric IPv4 or IPv6 address (brackets allowed). MB_OK, or MB_EINVAL: not numeric. */
int mb_address_parse(mb_slice host, uint16_t port, mb_address *out);
/* A path, or "@name" of the abstract namespace. MB_OK, or MB_EINVAL: too long or has a NUL. */
int mb_address_unix(mb_slice path, mb_address *out);
/* "1.2.3.4:80", "[::1]:80", a path; into MB_ADDRESS_TEXT_BYTES. Returns the length. */
size_t mb_address_text(const mb_address *address, char *out);
/* Without port and brackets. */
size_t mb_address_host_text(const mb_address *address, char *out);
uint16_t mb_address_port(const mb_address *address);
bool mb_address_equal(const mb_address *a, const mb_address *b);
bool mb_address_is_loopback(const mb_address *address);
/* RFC 1918, RFC 4193 and loopback: what Envoy calls an internal address. */
bool mb_address_is_internal(const mb_address *address);

#endif
