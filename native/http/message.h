/*
 * Small questions about messages that every layer above the codecs asks, whatever the protocol.
 *
 * Pure functions over header maps. Used by the connection manager, the router and filters.
 */
#ifndef MB_HTTP_MESSAGE_H
#define MB_HTTP_MESSAGE_H

#include "http/header_map.h"

/* `:status` as a number; 0 when it is absent or malformed. */
uint32_t mb_http_status(const mb_headers *headers);
/* Sets `:status`, 100 to 999, in the map's arena. MB_OK, MB_EINVAL, MB_ENOMEM. */
int mb_http_set_status(mb_headers *headers, uint32_t status);
/* Sets a field of a known name to a decimal number, as content-length. MB_OK or MB_ENOMEM. */
int mb_http_set_number(mb_headers *headers, uint32_t token, uint64_t number);
/* The one content-length. MB_OK, MB_ENOTFOUND, or MB_EINVAL (repeated or no number). */
int mb_http_content_length(const mb_headers *headers, uint64_t *out);

bool mb_http_is_head(const mb_headers *request);
/* The client waits for 100 before it sends its body (RFC 9110 10.1.1). The owner then sends 100
 * and takes `expect` away, or sends it on. Never for HTTP/1.0: look at `stream->http_10`. */
bool mb_http_expects_continue(const mb_headers *request);
/* A 1xx, 204, 304, or the answer to HEAD. */
bool mb_http_response_has_no_body(uint32_t status, bool head_request);
/* True when the comma-separated list has that element; ASCII case does not matter. */
bool mb_http_list_has(mb_slice list, mb_slice element);
/* False for fields that decide about framing, routing or access: RFC 9110 6.5.1. */
bool mb_http_may_be_trailer(uint32_t token);
/* Removes hop-by-hop fields except `te: trailers`. The codecs do it to what they receive and leave
 * them out of what they send; this is for maps that come from elsewhere. */
void mb_http_strip_hop_by_hop(mb_headers *headers);

#endif
