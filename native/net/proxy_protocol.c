/*
 * Reading PROXY headers. See proxy_protocol.h; called by the listener filter and by fuzzers.
 *
 * No state is kept between calls: the caller peeks, a header is read when it is there as a whole,
 * and the part that must be looked at again while waiting is at most 107 bytes. Bytes that are not
 * exactly what the spec says are refused, also where other readers are lenient: what two hops
 * read differently lets a client say who it is.
 */
#include "net/proxy_protocol.h"

#include "base/crc32c.h"
#include "base/slice.h"

static uint32_t read_u16(const char *at) {
    return (uint32_t)(uint8_t)at[0] << 8 | (uint8_t)at[1];
}

static uint32_t read_u32(const char *at) {
    return read_u16(at) << 16 | read_u16(at + 2);
}

/* How far `bytes` are the beginning of `signature`: MB_OK all of it, MB_EAGAIN so far as they go,
 * MB_ENOTFOUND not. */
static int begins_with(mb_slice bytes, mb_slice signature) {
    mb_slice common = mb_slice_take(signature, bytes.len);
    if (!mb_slice_starts_with(bytes, common)) {
        return MB_ENOTFOUND;
    }
    return common.len == signature.len ? MB_OK : MB_EAGAIN;
}

/* -- TLVs ---------------------------------------------------------------------------------- */

bool mb_proxy_tlv_next(mb_slice *rest, mb_proxy_tlv *out) {
    if (rest->len < 3) {
        return false;
    }
    size_t len = read_u16(rest->ptr + 1);
    if (rest->len - 3 < len) {
        return false;
    }
    out->type = (uint8_t)rest->ptr[0];
    out->value = mb_slice_of(rest->ptr + 3, len);
    *rest = mb_slice_skip(*rest, 3 + len);
    return true;
}

bool mb_proxy_tlv_find(mb_slice tlvs, uint8_t type, mb_slice *value) {
    mb_proxy_tlv tlv;
    while (mb_proxy_tlv_next(&tlvs, &tlv)) {
        if (tlv.type == type) {
            *value = tlv.value;
            return true;
        }
    }
    return false;
}

static bool are_whole(mb_slice tlvs) {
    mb_proxy_tlv tlv;
    while (mb_proxy_tlv_next(&tlvs, &tlv)) {
    }
    return tlvs.len == 0;
}

int mb_proxy_tlv_ssl(mb_slice value, mb_proxy_ssl *out) {
    mb_slice tlvs = mb_slice_skip(value, 5);
    if (value.len < 5 || !are_whole(tlvs)) {
        return MB_EPROTO;
    }
    *out = (mb_proxy_ssl){
        .client = (uint8_t)value.ptr[0],
        .verify = read_u32(value.ptr + 1),
        .tlvs = tlvs,
    };
    return MB_OK;
}

/* The checksum is over the whole header with its own four bytes as zeros. spec 2.2.3 */
static bool checksum_is_right(mb_slice header, mb_slice tlvs) {
    mb_slice stored;
    if (!mb_proxy_tlv_find(tlvs, MB_PROXY_TLV_CRC32C, &stored)) {
        return true;
    }
    if (stored.len != 4) {
        return false;
    }
    size_t at = (size_t)(stored.ptr - header.ptr);
    uint32_t crc = mb_crc32c(0, mb_slice_take(header, at));
    crc = mb_crc32c(crc, MB_SLICE_LIT("\0\0\0\0"));
    crc = mb_crc32c(crc, mb_slice_skip(header, at + 4));
    return crc == read_u32(stored.ptr);
}

/* -- version 2 ----------------------------------------------------------------------------- */

static void read_v4(const char *host, const char *port, mb_address *out) {
    *out = (mb_address){.in = {.sin_family = AF_INET}};
    memcpy(&out->in.sin_addr, host, 4);
    memcpy(&out->in.sin_port, port, 2);
    out->length = sizeof(out->in);
}

static void read_v6(const char *host, const char *port, mb_address *out) {
    *out = (mb_address){.in6 = {.sin6_family = AF_INET6}};
    memcpy(&out->in6.sin6_addr, host, 16);
    memcpy(&out->in6.sin6_port, port, 2);
    out->length = sizeof(out->in6);
}

/* The bytes are those of sun_path: a path that ends at a NUL or with the field, or, behind a NUL,
 * an abstract name, which is taken to end where only NULs follow. All zero: a socket without a
 * name, which is what most clients have. */
static void read_unix(const char *path, mb_address *out) {
    size_t len = MB__PROXY_UNIX_BYTES;
    *out = (mb_address){.un = {.sun_family = AF_UNIX}};
    while (len > 0 && path[len - 1] == '\0') {
        len--;
    }
    if (len > 0 && path[0] != '\0') {
        len = strnlen(path, len);
    }
    memcpy(out->un.sun_path, path, len);
    out->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* Reads the addresses of a family. Their length, or MB_EPROTO. */
static int64_t read_addresses(unsigned family, mb_slice body, mb_proxy_header *out) {
    static const uint8_t lengths[] = {0, 12, 36, 2 * MB__PROXY_UNIX_BYTES};
    if (family >= sizeof(lengths) || body.len < lengths[family]) {
        return MB_EPROTO;
    }
    const char *at = body.ptr;
    switch (family) {
    case 1:
        read_v4(at, at + 8, &out->source);
        read_v4(at + 4, at + 10, &out->destination);
        break;
    case 2:
        read_v6(at, at + 32, &out->source);
        read_v6(at + 16, at + 34, &out->destination);
        break;
    case 3:
        read_unix(at, &out->source);
        read_unix(at + MB__PROXY_UNIX_BYTES, &out->destination);
        break;
    default:
        break;
    }
    return lengths[family];
}

static int64_t read_v2(mb_slice bytes, size_t max_bytes, mb_proxy_header *out) {
    if (bytes.len < MB__PROXY_V2_HEAD_BYTES) {
        return MB_EAGAIN;
    }
    unsigned command = (uint8_t)bytes.ptr[12], family = (uint8_t)bytes.ptr[13];
    /* Version 2 with LOCAL or PROXY; families 0-3, protocols 0-2. spec 2.2 */
    if ((command != 0x20 && command != 0x21) || family >> 4 > 3 || (family & 15) > 2) {
        return MB_EPROTO;
    }
    size_t len = MB__PROXY_V2_HEAD_BYTES + read_u16(bytes.ptr + 14);
    if (len > max_bytes) {
        return MB_ELIMIT;
    }
    if (bytes.len < len) {
        return MB_EAGAIN;
    }
    mb_proxy_header header = {.version = 2, .local = command == 0x20};
    mb_slice whole = mb_slice_take(bytes, len);
    mb_slice body = mb_slice_skip(whole, MB__PROXY_V2_HEAD_BYTES);
    if (header.local) {
        *out = header; /* "discard the protocol block": no address, no TLV. spec 2.2 */
        return (int64_t)len;
    }
    /* Without a protocol there are no addresses either; what is there can't be told from TLVs. */
    bool unspecified = family >> 4 == 0 || (family & 15) == 0;
    if (!unspecified) {
        int64_t addresses = read_addresses(family >> 4, body, &header);
        if (addresses < 0) {
            return MB_EPROTO;
        }
        header.tlvs = mb_slice_skip(body, (size_t)addresses);
    } else if (family == 0) {
        header.tlvs = body;
    }
    if (!are_whole(header.tlvs) || !checksum_is_right(whole, header.tlvs)) {
        return MB_EPROTO;
    }
    *out = header;
    return (int64_t)len;
}

/* -- version 1 ----------------------------------------------------------------------------- */

/* A decimal number without leading zeros. spec 2.1 */
static bool read_port(mb_slice text, uint16_t *out) {
    uint64_t value;
    if (text.len > 5 || (text.len > 1 && text.ptr[0] == '0') ||
        mb_slice_parse_u64(text, &value) != MB_OK || value > UINT16_MAX) {
        return false;
    }
    *out = (uint16_t)value;
    return true;
}

static bool read_host(mb_slice text, int family, uint16_t port, mb_address *out) {
    bool plain = mb_slice_index(text, '[') < 0 && mb_slice_index(text, '%') < 0;
    return plain && mb_address_parse(text, port, out) == MB_OK && out->sa.sa_family == family;
}

/* "<source> <destination> <source port> <destination port>" */
static bool read_line_addresses(mb_slice text, int family, mb_proxy_header *out) {
    mb_slice fields[4];
    uint16_t ports[2];
    for (int i = 0; i < 4; i++) {
        if (mb_slice_split(text, ' ', &fields[i], &text) != (i < 3)) {
            return false;
        }
    }
    return read_port(fields[2], &ports[0]) && read_port(fields[3], &ports[1]) &&
           read_host(fields[0], family, ports[0], &out->source) &&
           read_host(fields[1], family, ports[1], &out->destination);
}

static int64_t read_v1(mb_slice bytes, size_t max_bytes, mb_proxy_header *out) {
    size_t max = max_bytes < MB_PROXY_V1_MAX_BYTES ? max_bytes : MB_PROXY_V1_MAX_BYTES;
    int64_t end = mb_slice_index(mb_slice_take(bytes, max), '\n');
    if (end < 0) {
        return bytes.len < max ? MB_EAGAIN : max < MB_PROXY_V1_MAX_BYTES ? MB_ELIMIT : MB_EPROTO;
    }
    mb_slice line = mb_slice_take(bytes, (size_t)end);
    if (line.ptr[line.len - 1] != '\r') { /* "PROXY " is before it */
        return MB_EPROTO;
    }
    line.len--;
    if (mb_slice_index(line, '\r') >= 0) {
        return MB_EPROTO;
    }
    mb_proxy_header header = {.version = 1};
    mb_slice protocol, rest;
    mb_slice_split(mb_slice_skip(line, 6), ' ', &protocol, &rest);
    /* Behind UNKNOWN anything may stand, and is ignored. spec 2.1 */
    bool good = mb_slice_equal(protocol, MB_SLICE_LIT("UNKNOWN"));
    if (mb_slice_equal(protocol, MB_SLICE_LIT("TCP4"))) {
        good = read_line_addresses(rest, AF_INET, &header);
    } else if (mb_slice_equal(protocol, MB_SLICE_LIT("TCP6"))) {
        good = read_line_addresses(rest, AF_INET6, &header);
    }
    if (!good) {
        return MB_EPROTO;
    }
    *out = header;
    return end + 1;
}

int64_t mb_proxy_read(mb_slice bytes, size_t max_bytes, mb_proxy_header *out) {
    int v2 = begins_with(bytes, MB_SLICE_LIT(MB__PROXY_V2_SIGNATURE));
    if (v2 != MB_ENOTFOUND) {
        return v2 == MB_OK ? read_v2(bytes, max_bytes, out) : v2;
    }
    int v1 = begins_with(bytes, MB_SLICE_LIT("PROXY "));
    return v1 == MB_OK ? read_v1(bytes, max_bytes, out) : v1;
}
