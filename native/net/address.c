/*
 * Socket addresses: text in both directions, comparison, and which ones count as internal.
 *
 * Written by hand where a request needs it (the text of an IPv4 address goes into
 * x-forwarded-for), by the C library elsewhere.
 */
#include "net/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static bool parse_v6(const char *text, uint16_t port, mb_address *out) {
    char host[INET6_ADDRSTRLEN];
    const char *scope = strchr(text, '%');
    size_t len = scope != NULL ? (size_t)(scope - text) : strlen(text);
    if (len >= sizeof(host)) {
        return false;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET6, host, &in6.sin6_addr) != 1) {
        return false;
    }
    if (scope != NULL && (in6.sin6_scope_id = if_nametoindex(scope + 1)) == 0) {
        return false;
    }
    out->in6 = in6;
    out->length = sizeof(in6);
    return true;
}

int mb_address_parse(mb_slice host, uint16_t port, mb_address *out) {
    char text[MB_ADDRESS_TEXT_BYTES];
    bool bracketed = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (bracketed) {
        host = (mb_slice){host.ptr + 1, host.len - 2};
    }
    if (host.len == 0 || host.len >= sizeof(text) || memchr(host.ptr, '\0', host.len) != NULL) {
        return MB_EINVAL;
    }
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    mb_address parsed = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (!bracketed && inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        parsed.in = in;
        parsed.length = sizeof(in);
    } else if (!parse_v6(text, port, &parsed)) {
        return MB_EINVAL;
    }
    *out = parsed;
    return MB_OK;
}

int mb_address_unix(mb_slice path, mb_address *out) {
    mb_address made = {.un.sun_family = AF_UNIX};
    bool abstract = path.len > 0 && path.ptr[0] == '@';
    if (path.len == 0 || path.len >= sizeof(made.un.sun_path) ||
        memchr(path.ptr, '\0', path.len) != NULL || (abstract && path.len == 1)) {
        return MB_EINVAL;
    }
    memcpy(made.un.sun_path, path.ptr, path.len);
    made.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len);
    if (abstract) {
        made.un.sun_path[0] = '\0'; /* unix(7): the length ends the name, not a NUL */
    } else {
        made.length++;
    }
    *out = made;
    return MB_OK;
}

static size_t put_number(char *out, unsigned number) {
    char digits[5];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (size_t i = 0; i < count; i++) {
        out[i] = digits[count - 1 - i];
    }
    return count;
}

static size_t put_v4(char *out, struct in_addr host) {
    const uint8_t *bytes = (const uint8_t *)&host.s_addr;
    size_t len = 0;
    for (int i = 0; i < 4; i++) {
        if (i > 0) {
            out[len++] = '.';
        }
        len += put_number(out + len, bytes[i]);
    }
    return len;
}

static size_t put_v6(char *out, const struct sockaddr_in6 *in6) {
    if (inet_ntop(AF_INET6, &in6->sin6_addr, out, INET6_ADDRSTRLEN) == NULL) {
        return 0;
    }
    size_t len = strlen(out);
    char name[IF_NAMESIZE];
    if (in6->sin6_scope_id != 0 && if_indextoname(in6->sin6_scope_id, name) != NULL) {
        len += (size_t)snprintf(out + len, MB_ADDRESS_TEXT_BYTES - len, "%%%s", name);
    }
    return len;
}

/* Paths need not end in NUL in the kernel's answers; the client's end usually has none at all. A
 * name of the abstract namespace is shown as it is configured, its other NULs too. */
static size_t put_path(char *out, const mb_address *address) {
    size_t offset = offsetof(struct sockaddr_un, sun_path);
    size_t room = address->length > offset ? address->length - offset : 0;
    if (room > 1 && address->un.sun_path[0] == '\0') {
        for (size_t i = 0; i < room; i++) {
            out[i] = address->un.sun_path[i] != '\0' ? address->un.sun_path[i] : '@';
        }
        return room;
    }
    size_t len = strnlen(address->un.sun_path, room);
    memcpy(out, address->un.sun_path, len);
    return len;
}

size_t mb_address_host_text(const mb_address *address, char *out) {
    if (address->length == 0) {
        return 0;
    }
    switch (address->sa.sa_family) {
    case AF_INET:
        return put_v4(out, address->in.sin_addr);
    case AF_INET6:
        return put_v6(out, &address->in6);
    case AF_UNIX:
        return put_path(out, address);
    default:
        return 0;
    }
}

size_t mb_address_text(const mb_address *address, char *out) {
    bool v6 = address->length > 0 && address->sa.sa_family == AF_INET6;
    bool v4 = address->length > 0 && address->sa.sa_family == AF_INET;
    size_t len = 0;
    if (v6) {
        out[len++] = '[';
    }
    len += mb_address_host_text(address, out + len);
    if (v6) {
        out[len++] = ']';
    }
    if (v4 || v6) {
        out[len++] = ':';
        len += put_number(out + len, mb_address_port(address));
    }
    return len;
}

uint16_t mb_address_port(const mb_address *address) {
    if (address->length == 0) {
        return 0;
    }
    switch (address->sa.sa_family) {
    case AF_INET:
        return ntohs(address->in.sin_port);
    case AF_INET6:
        return ntohs(address->in6.sin6_port);
    default:
        return 0;
    }
}

bool mb_address_equal(const mb_address *a, const mb_address *b) {
    if (a->length == 0 || b->length == 0) {
        return a->length == b->length;
    }
    if (a->sa.sa_family != b->sa.sa_family) {
        return false;
    }
    switch (a->sa.sa_family) {
    case AF_INET:
        return a->in.sin_port == b->in.sin_port && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    case AF_INET6:
        return a->in6.sin6_port == b->in6.sin6_port &&
               a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
               memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr)) == 0;
    default: {
        char a_path[MB_ADDRESS_TEXT_BYTES];
        char b_path[MB_ADDRESS_TEXT_BYTES];
        size_t len = mb_address_host_text(a, a_path);
        return len == mb_address_host_text(b, b_path) && memcmp(a_path, b_path, len) == 0;
    }
    }
}

bool mb_address_is_loopback(const mb_address *address) {
    if (address->length == 0) {
        return false;
    }
    switch (address->sa.sa_family) {
    case AF_INET:
        return ntohl(address->in.sin_addr.s_addr) >> 24 == 127; /* RFC 1122 3.2.1.3 */
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr);
    default:
        return false;
    }
}

bool mb_address_is_internal(const mb_address *address) {
    if (address->length == 0) {
        return false;
    }
    if (address->sa.sa_family == AF_INET) {
        uint32_t host = ntohl(address->in.sin_addr.s_addr);
        /* RFC 1918 3; of 127.0.0.0/8 only the one address, as Envoy. */
        return host >> 24 == 10 || host >> 20 == 0xac1 || host >> 16 == 0xc0a8 ||
               host == INADDR_LOOPBACK;
    }
    if (address->sa.sa_family == AF_INET6) {
        /* RFC 4193 3.1: fd00::/8 is the half of fc00::/7 that is in use, and Envoy's choice. */
        return address->in6.sin6_addr.s6_addr[0] == 0xfd || mb_address_is_loopback(address);
    }
    return false;
}
