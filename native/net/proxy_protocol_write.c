/*
 * Writing PROXY headers. See proxy_protocol.h; called where an upstream connection begins with one.
 */
#include "net/proxy_protocol.h"

#include "base/crc32c.h"
#include "base/slice.h"
#include <stdio.h>

#define CRC_TLV_BYTES 7u

static void put_u16(char *at, size_t value) {
    at[0] = (char)(value >> 8);
    at[1] = (char)value;
}

static void put_u32(char *at, uint32_t value) {
    put_u16(at, value >> 16);
    put_u16(at + 2, value & 0xffff);
}

int mb_proxy_tlv_put(mb_text *tlvs, uint8_t type, mb_slice value) {
    if (value.len > UINT16_MAX || tlvs->len + value.len + 3 > UINT16_MAX) {
        return MB_ELIMIT;
    }
    char head[3] = {(char)type};
    put_u16(head + 1, value.len);
    mb_text_append(tlvs, (mb_slice){head, sizeof(head)});
    mb_text_append(tlvs, value);
    return tlvs->status;
}

static int family_of(const mb_address *address) {
    return address->length == 0 ? AF_UNSPEC : address->sa.sa_family;
}

/* The family that both addresses can be sent as; AF_UNSPEC: none. */
static int common_family(const mb_proxy_header *header) {
    int source = family_of(&header->source), destination = family_of(&header->destination);
    if (source == destination) {
        return source == AF_INET || source == AF_INET6 || source == AF_UNIX ? source : AF_UNSPEC;
    }
    bool mixed = (source == AF_INET && destination == AF_INET6) ||
                 (source == AF_INET6 && destination == AF_INET);
    return mixed ? AF_INET6 : AF_UNSPEC;
}

/* An IPv4 address as IPv6: ::ffff:a.b.c.d. RFC 4291 2.5.5.2 */
static void host_v6(const mb_address *address, uint8_t *out) {
    if (address->sa.sa_family == AF_INET6) {
        memcpy(out, &address->in6.sin6_addr, 16);
        return;
    }
    memset(out, 0, 10);
    memset(out + 10, 0xff, 2);
    memcpy(out + 12, &address->in.sin_addr, 4);
}

/* -- version 1 ----------------------------------------------------------------------------- */

static size_t host_text(const mb_address *address, int family, char *out) {
    mb_address shown = *address;
    if (family == AF_INET6) {
        shown = (mb_address){.length = sizeof(shown.in6), .in6 = {.sin6_family = AF_INET6}};
        host_v6(address, shown.in6.sin6_addr.s6_addr);
    }
    return mb_address_host_text(&shown, out);
}

static int write_v1(const mb_proxy_header *header, mb_buffer *out) {
    int family = header->local ? AF_UNSPEC : common_family(header);
    if (family != AF_INET && family != AF_INET6) {
        return mb_buffer_append(out, MB_SLICE_LIT("PROXY UNKNOWN\r\n"));
    }
    char source[MB_ADDRESS_TEXT_BYTES], destination[MB_ADDRESS_TEXT_BYTES];
    size_t source_len = host_text(&header->source, family, source);
    size_t destination_len = host_text(&header->destination, family, destination);
    char line[MB_PROXY_V1_MAX_BYTES + 1];
    int len = snprintf(line, sizeof(line), "PROXY TCP%c %.*s %.*s %u %u\r\n",
                       family == AF_INET ? '4' : '6', (int)source_len, source, (int)destination_len,
                       destination, mb_address_port(&header->source),
                       mb_address_port(&header->destination));
    return mb_buffer_append(out, (mb_slice){line, (size_t)len});
}

/* -- version 2 ----------------------------------------------------------------------------- */

/* sun_path as it is, filled up with NULs. */
static void put_unix(const mb_address *address, char *at) {
    size_t offset = offsetof(struct sockaddr_un, sun_path);
    size_t len = address->length > offset ? address->length - offset : 0;
    memset(at, 0, MB__PROXY_UNIX_BYTES);
    memcpy(at, address->un.sun_path, len < MB__PROXY_UNIX_BYTES ? len : MB__PROXY_UNIX_BYTES);
}

/* Writes the addresses and the byte of their family. Returns their length. */
static size_t put_addresses(const mb_proxy_header *header, int family, char *at,
                            char *family_byte) {
    const mb_address *source = &header->source, *destination = &header->destination;
    size_t host = family == AF_INET ? 4 : 16;
    switch (family) {
    case AF_INET:
        memcpy(at, &source->in.sin_addr, 4);
        memcpy(at + 4, &destination->in.sin_addr, 4);
        break;
    case AF_INET6:
        host_v6(source, (uint8_t *)at);
        host_v6(destination, (uint8_t *)at + 16);
        break;
    case AF_UNIX:
        put_unix(source, at);
        put_unix(destination, at + MB__PROXY_UNIX_BYTES);
        *family_byte = 0x31;
        return 2 * MB__PROXY_UNIX_BYTES;
    default:
        *family_byte = 0;
        return 0;
    }
    put_u16(at + 2 * host, mb_address_port(source));
    put_u16(at + 2 * host + 2, mb_address_port(destination));
    *family_byte = family == AF_INET ? 0x11 : 0x21;
    return 2 * host + 4;
}

static int write_v2(const mb_proxy_header *header, bool checksum, mb_buffer *out) {
    int family = header->local ? AF_UNSPEC : common_family(header);
    char head[MB__PROXY_V2_HEAD_BYTES + 2 * MB__PROXY_UNIX_BYTES];
    size_t len = MB__PROXY_V2_HEAD_BYTES;
    memcpy(head, MB__PROXY_V2_SIGNATURE, 12);
    head[12] = family == AF_UNSPEC ? 0x20 : 0x21;
    len += put_addresses(header, family, head + len, &head[13]);
    size_t total = len + header->tlvs.len + (checksum ? CRC_TLV_BYTES : 0);
    if (total > MB_PROXY_V2_MAX_BYTES) {
        return MB_ELIMIT;
    }
    put_u16(head + 14, total - MB__PROXY_V2_HEAD_BYTES);
    char *at;
    if (mb_buffer_reserve(out, total, &at) != MB_OK) {
        return MB_ENOMEM;
    }
    memcpy(at, head, len);
    if (header->tlvs.len > 0) {
        memcpy(at + len, header->tlvs.ptr, header->tlvs.len);
    }
    if (checksum) {
        char *tlv = at + total - CRC_TLV_BYTES;
        memcpy(tlv, "\x03\x00\x04\0\0\0\0", CRC_TLV_BYTES);
        put_u32(tlv + 3, mb_crc32c(0, (mb_slice){at, total}));
    }
    mb_buffer_commit(out, total);
    return MB_OK;
}

int mb_proxy_write(const mb_proxy_header *header, bool checksum, mb_buffer *out) {
    return header->version == 1 ? write_v1(header, out) : write_v2(header, checksum, out);
}
