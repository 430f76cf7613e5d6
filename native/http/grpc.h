/*
 * What the proxy knows of gRPC: how to tell it, its status codes, its deadlines, and how
 * grpc-message is written.
 *
 * Pure functions over header maps and text. Used by the connection manager (local replies), the
 * grpc_web filter and formats. Source: gRPC over HTTP/2 (PROTOCOL-HTTP2.md), gRPC's mapping of
 * HTTP statuses (http-grpc-status-mapping.md) and where Envoy differs, Envoy.
 */
#ifndef MB_HTTP_GRPC_H
#define MB_HTTP_GRPC_H

#include "base/text.h"
#include "http/header_map.h"

enum {
    MB_GRPC_OK = 0,
    MB_GRPC_UNKNOWN = 2,
    MB_GRPC_PERMISSION_DENIED = 7,
    MB_GRPC_UNIMPLEMENTED = 12,
    MB_GRPC_INTERNAL = 13,
    MB_GRPC_UNAVAILABLE = 14,
    MB_GRPC_UNAUTHENTICATED = 16
};

/* "application/grpc" or "application/grpc+..."; grpc-web is something else. */
bool mb_grpc_is_content_type(mb_slice value);
bool mb_grpc_is_request(const mb_headers *request);
/* `end_stream`: the head is the whole response ("trailers-only"), then grpc-status decides. */
bool mb_grpc_is_response(const mb_headers *response, bool end_stream);

/* The gRPC status that stands for an HTTP status, as Envoy. */
uint32_t mb_grpc_status_of_http(uint32_t status);
/* grpc-status of headers or trailers. MB_OK, MB_ENOTFOUND (absent or empty), or MB_EINVAL (no
 * number). */
int mb_grpc_status(const mb_headers *headers, uint64_t *out);
/* "NotFound" or, `snake`, "NOT_FOUND"; an empty slice for a number that gRPC does not define.
 * Constant memory. */
mb_slice mb_grpc_status_name(uint64_t status, bool snake);

/* -- grpc_timeout.c --------------------------------------------------------------------------- */

/* The grpc-timeout in microseconds, rounded up to whole milliseconds as Envoy does. MB_OK,
 * MB_ENOTFOUND, MB_EINVAL. */
int mb_grpc_timeout(const mb_headers *request, uint64_t *out_us);
/* Sets it, in the smallest unit that has room for it in eight digits. MB_OK or MB_ENOMEM. */
int mb_grpc_set_timeout(mb_headers *request, uint64_t timeout_us);

/* -- grpc.c ----------------------------------------------------------------------------------- */

/* Percent-encodes text as grpc-message wants it, '~' too, as Envoy. */
void mb_grpc_append_message(mb_text *out, mb_slice message);

#endif
