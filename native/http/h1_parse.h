/*
 * Parser of HTTP/1.1 heads: from complete lines to a header map and the facts that framing needs.
 *
 * Pure functions, second pass behind h1_lines.h. The bytes are contiguous and writable: names are
 * made lower-case where they stand, and the map's slices point into them.
 *
 * Fields that belong to the connection (RFC 9110 7.6.1) never get into the map: they are turned
 * into flags here, and what Connection names is taken out at the end. Host becomes `:authority`.
 * Refuses what RFC 9112 2.2, 3 and 5 call malformed without leniency, since a proxy and its
 * upstream must not read one message differently.
 */
#ifndef MB_HTTP_H1_PARSE_H
#define MB_HTTP_H1_PARSE_H

#include "http/h1_lines.h"

/* Longest method; registered ones have at most 17 letters. */
#define MB_H1_METHOD_BYTES_MAX 32u
/* Names in Connection, as Envoy. */
#define MB_H1_NOMINATED_MAX 10u

typedef enum mb_h1_method {
    MB_H1_OTHER_METHOD,
    MB_H1_GET,
    MB_H1_HEAD,
    MB_H1_CONNECT_METHOD,
    MB_H1_OPTIONS
} mb_h1_method;

/* The facts of a head beside its fields. */
typedef struct mb_h1_message {
    uint8_t minor; /* HTTP/1.minor: 0 or 1 */
    bool is_response;
    bool close;      /* Connection (or Proxy-Connection) says close */
    bool keep_alive; /* ... or keep-alive */
    bool connection_upgrade;
    bool has_upgrade;     /* an Upgrade field other than h2c: `upgrade` */
    bool te_trailers;     /* TE has "trailers" */
    uint8_t coding_count; /* Transfer-Encoding fields, stops at 2 */
    uint8_t host_count;   /* Host fields, stops at 2 */
    uint16_t status;      /* response */
    mb_h1_method method;  /* request */
    mb_slice host;
    mb_slice upgrade;
    mb_slice coding;  /* the first Transfer-Encoding */
    mb_slice trailer; /* the first Trailer field; ptr NULL: none */
    uint32_t nominated_count;
    mb_slice nominated[MB_H1_NOMINATED_MAX]; /* other names in Connection, lower-case */
} mb_h1_message;

/* `lines` is complete and its section starts at `base`. Fill an empty map and `message`; the map
 * is unusable after a fault. */
mb_h1_fault mb_h1_parse_request(char *base, const mb_h1_lines *lines,
                                const mb_codec_options *options, mb_headers *headers,
                                mb_h1_message *message);
mb_h1_fault mb_h1_parse_response(char *base, const mb_h1_lines *lines,
                                 const mb_codec_options *options, mb_headers *headers,
                                 mb_h1_message *message);
/* Fields that decide about framing, routing or access are dropped: RFC 9110 6.5.1. `trailers` NULL:
 * they are only checked. */
mb_h1_fault mb_h1_parse_trailers(char *base, const mb_h1_lines *lines,
                                 const mb_codec_options *options, mb_headers *trailers);

/* The request target and Host: fills path, authority and scheme. In h1_target.c. */
mb_h1_fault mb_h1_parse_target(mb_slice target, const mb_codec_options *options,
                               mb_headers *headers, const mb_h1_message *message);

#endif
