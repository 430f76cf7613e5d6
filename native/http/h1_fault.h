/*
 * Why an HTTP/1.1 message is refused: one number a rule, and what the owner is told of it.
 *
 * `details` are Envoy's response code details where Envoy has one for the case, so that access
 * logs read alike; `reason` names the exact rule. Faults from an upstream use the same table, its
 * owner ignores the status.
 */
#ifndef MB_HTTP_H1_FAULT_H
#define MB_HTTP_H1_FAULT_H

#include "http/codec.h"

/* X(name, status, details, reason) */
#define MB_H1_FAULT_LIST(X)                                                                        \
    X(NO_MEMORY, 503, "http1.out_of_memory", "out of memory")                                      \
    X(BARE_CR, 400, "http1.invalid_characters", "CR without LF in a head")                         \
    X(BARE_LF, 400, "http1.invalid_characters", "LF without CR in a head")                         \
    X(CONTROL, 400, "http1.invalid_characters", "control character in a head")                     \
    X(HEAD_TOO_LARGE, 431, "http1.headers_too_large", "head is larger than the limit")             \
    X(TOO_MANY_FIELDS, 431, "http1.too_many_headers", "more header fields than the limit")         \
    X(URI_TOO_LONG, 414, "http1.uri_too_long", "request target is longer than the limit")          \
    X(BLANK_LINES, 400, "http1.codec_error", "too many empty lines before a request")              \
    X(REQUEST_LINE, 400, "http1.codec_error", "malformed request line")                            \
    X(METHOD, 400, "http1.codec_error", "method is not a token")                                   \
    X(METHOD_TOO_LONG, 501, "http1.codec_error", "method is longer than any that exists")          \
    X(VERSION, 400, "http1.codec_error", "malformed HTTP version")                                 \
    X(VERSION_UNSUPPORTED, 505, "http1.codec_error", "HTTP version is not 1.0 or 1.1")             \
    X(LOW_VERSION, 426, "low_version", "HTTP/1.0 is not accepted here")                            \
    X(TARGET, 400, "http1.invalid_url", "character that no request target may have")               \
    X(TARGET_FORM, 400, "http1.invalid_url", "request target does not fit the method")             \
    X(TARGET_AUTHORITY, 400, "http1.invalid_url", "malformed authority in the request target")     \
    X(TARGET_SCHEME, 400, "http1.invalid_scheme", "scheme of the target is not http or https")     \
    X(CONNECT_BODY, 400, "http1.body_disallowed", "CONNECT with a body")                           \
    X(HOST_MISSING, 400, "missing_host_header", "no Host field")                                   \
    X(HOST_REPEATED, 400, "http1.codec_error", "more than one Host field")                         \
    X(HOST, 400, "invalid_host_header", "malformed Host field")                                    \
    X(FIELD_LEADING_SPACE, 400, "http1.codec_error", "line begins with white space (obs-fold)")    \
    X(FIELD_NAME, 400, "http1.invalid_characters", "field name is empty or not a token")           \
    X(FIELD_NAME_SPACE, 400, "http1.codec_error", "white space between field name and colon")      \
    X(FIELD_NO_COLON, 400, "http1.codec_error", "field line without colon")                        \
    X(UNDERSCORE, 400, "http1.unexpected_underscore", "underscore in a field name")                \
    X(CONNECTION, 400, "http1.connection_header_rejected", "Connection names what it may not")     \
    X(LENGTH_REPEATED, 400, "http1.codec_error", "more than one Content-Length")                   \
    X(LENGTH, 400, "http1.codec_error", "Content-Length is not one decimal number")                \
    X(LENGTH_NOT_ALLOWED, 400, "http1.content_length_not_allowed",                                 \
      "Content-Length in a response that can't have a body")                                       \
    X(LENGTH_AND_CHUNKED, 400, "http1.content_length_and_chunked_not_allowed",                     \
      "both Content-Length and Transfer-Encoding")                                                 \
    X(CODING, 501, "http1.invalid_transfer_encoding", "Transfer-Encoding is not just chunked")     \
    X(CODING_REPEATED, 400, "http1.invalid_transfer_encoding", "chunked is not the only coding")   \
    X(CODING_NOT_ALLOWED, 400, "http1.transfer_encoding_not_allowed",                              \
      "Transfer-Encoding in HTTP/1.0 or in a response without body")                               \
    X(CHUNK_SIZE_FAULT, 400, "http1.invalid_chunk_size", "malformed chunk size")                   \
    X(CHUNK_EXTENSION, 400, "http1.invalid_chunk_extension", "malformed or long chunk extension")  \
    X(CHUNK_END, 400, "http1.invalid_chunk_end", "chunk is not followed by CRLF")                  \
    X(CHUNK_OVERHEAD, 400, "http1.chunk_overhead", "chunks far smaller than their framing")        \
    X(TRAILERS_TOO_LARGE, 431, "http1.headers_too_large", "trailers are larger than the limit")    \
    X(STATUS_LINE, 502, "http1.codec_error", "malformed status line")                              \
    X(TOO_MANY_INFORMATIONAL, 502, "http1.codec_error", "too many 1xx responses")                  \
    X(SWITCHING, 502, "http1.codec_error", "101 that nobody asked for")                            \
    X(UNEXPECTED_DATA, 502, "http1.codec_error", "bytes that belong to no response")

typedef enum mb_h1_fault {
    MB_H1_FINE = 0,
#define MB_H1_FAULT_ENUM(name, status, details, reason) MB_H1_##name,
    MB_H1_FAULT_LIST(MB_H1_FAULT_ENUM)
#undef MB_H1_FAULT_ENUM
        MB_H1_FAULT_COUNT
} mb_h1_fault;

/* What the events tell of a fault. Constant. */
const mb_protocol_error *mb_h1_error(mb_h1_fault fault);

#endif
