/*
 * PROXY protocol, versions 1 and 2: the header that a proxy puts in front of a connection to say
 * for whom it is. Sans-I/O, both directions. Source: the PROXY protocol specification (HAProxy,
 * doc/proxy-protocol.txt), "spec" below.
 */
#ifndef MB_NET_PROXY_PROTOCOL_H
#define MB_NET_PROXY_PROTOCOL_H

#include "base/buffer.h"
#include "base/text.h"
#include "net/address.h"

#define MB_PROXY_V1_MAX_BYTES 107u           /* spec 2.1, with CRLF */
#define MB_PROXY_V2_MAX_BYTES (16u + 65535u) /* spec 2.2 */

/* Types of TLVs that the spec names (2.2); any other is carried as it is. */
enum {
    MB_PROXY_TLV_ALPN = 0x01,
    MB_PROXY_TLV_AUTHORITY = 0x02,
    MB_PROXY_TLV_CRC32C = 0x03,
    MB_PROXY_TLV_NOOP = 0x04,
    MB_PROXY_TLV_UNIQUE_ID = 0x05,
    MB_PROXY_TLV_SSL = 0x20,
    MB_PROXY_TLV_SSL_VERSION = 0x21, /* and what follows: within MB_PROXY_TLV_SSL */
    MB_PROXY_TLV_SSL_CN = 0x22,
    MB_PROXY_TLV_SSL_CIPHER = 0x23,
    MB_PROXY_TLV_SSL_SIG_ALG = 0x24,
    MB_PROXY_TLV_SSL_KEY_ALG = 0x25,
    MB_PROXY_TLV_NETNS = 0x30
};

typedef struct mb_proxy_header {
    uint8_t version; /* 1 or 2 */
    bool local;      /* LOCAL (version 2) */
    /* Who the connection is for. Both without an address where the header names none (LOCAL,
     * UNKNOWN, UNSPEC): then those of the socket are right. */
    mb_address source, destination;
    mb_slice tlvs; /* version 2; whole TLVs, for mb_proxy_tlv_next */
} mb_proxy_header;

typedef struct mb_proxy_tlv {
    uint8_t type;
    mb_slice value;
} mb_proxy_tlv;

/* What a TLV of type MB_PROXY_TLV_SSL holds. spec 2.2.6 */
typedef struct mb_proxy_ssl {
    uint8_t client;  /* bits: 1 by TLS, 2 certificate of this connection, 4 of this session */
    uint32_t verify; /* 0: the client's certificate was verified */
    mb_slice tlvs;
} mb_proxy_ssl;

/* Reads the header that `bytes` begin with. Slices of `*out` point into `bytes`.
 * `max_bytes`: longest header to wait for, MB_PROXY_V2_MAX_BYTES for no bound of one's own.
 * Returns the header's length; MB_EAGAIN when more bytes are needed; MB_ENOTFOUND when it is no
 * PROXY header of either version (as soon as that is certain); MB_EPROTO when it is one and is
 * malformed, or its checksum is wrong; MB_ELIMIT when it is longer than `max_bytes`. */
int64_t mb_proxy_read(mb_slice bytes, size_t max_bytes, mb_proxy_header *out);

/* Takes the next TLV off `rest`. False: there is none, or what is left is no whole TLV (then
 * `rest` is not empty; does not happen in what mb_proxy_read returned). */
bool mb_proxy_tlv_next(mb_slice *rest, mb_proxy_tlv *out);
/* The first one of a type. False: there is none. */
bool mb_proxy_tlv_find(mb_slice tlvs, uint8_t type, mb_slice *value);
/* MB_OK, or MB_EPROTO: too short, or its inner TLVs are not whole. */
int mb_proxy_tlv_ssl(mb_slice value, mb_proxy_ssl *out);
/* Adds one TLV to a list for mb_proxy_write. MB_OK; MB_ELIMIT above 65535 bytes; MB_ENOMEM. */
int mb_proxy_tlv_put(mb_text *tlvs, uint8_t type, mb_slice value);

/* Appends the header to `out`. Version 1 has no TLVs and no Unix addresses: with those, as without
 * addresses, it says UNKNOWN. Version 2 without addresses is LOCAL. An IPv4 and an IPv6 address
 * together are sent as IPv6. `checksum`: adds a CRC32c TLV (version 2); one that is in `tlvs`
 * must then not be. MB_OK; MB_ELIMIT when the TLVs do not fit; MB_ENOMEM with `out` unchanged. */
int mb_proxy_write(const mb_proxy_header *header, bool checksum, mb_buffer *out);

/* proxy_protocol.c, for both directions: the first 12 bytes of version 2. */
#define MB__PROXY_V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define MB__PROXY_V2_HEAD_BYTES 16u
#define MB__PROXY_UNIX_BYTES 108u

#endif
