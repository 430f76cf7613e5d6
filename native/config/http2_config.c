/*
 * Options of HTTP/2, which connection managers and clusters share.
 * Source: moebridge.config.http2_model.
 */
#include "config/build.h"

#define WINDOW_BYTES_MIN 65535u /* RFC 9113 6.9.2 */
#define LIMIT_MAX INT32_MAX

typedef struct http2_parts {
    mb_h2_options options;
    mb_doc keepalive;
} http2_parts;

#define OPTION(key, member, ...) MB_DOC_FIELD(key, U32, http2_parts, options.member, __VA_ARGS__)

static const mb_doc_field http2_fields[] = {
    OPTION("max_concurrent_streams", max_concurrent_streams, .min = 1, .max = LIMIT_MAX),
    OPTION("initial_stream_window_bytes", initial_stream_window_bytes, .min = WINDOW_BYTES_MIN,
           .max = LIMIT_MAX),
    OPTION("initial_connection_window_bytes", initial_connection_window_bytes,
           .min = WINDOW_BYTES_MIN, .max = LIMIT_MAX),
    OPTION("header_table_bytes", header_table_bytes, .min = 1),
    OPTION("max_outbound_frames", max_outbound_frames, .min = 1),
    OPTION("max_outbound_control_frames", max_outbound_control_frames, .min = 1),
    OPTION("max_consecutive_empty_frames", max_consecutive_empty_frames, .min = 1),
    OPTION("max_priority_frames_per_stream", max_priority_frames_per_stream, .min = 1),
    OPTION("max_window_updates_per_data_frame", max_window_updates_per_data_frame, .min = 1),
    MB_DOC_FIELD("allow_connect", BOOL, http2_parts, options.allow_connect),
    MB_DOC_FIELD("keepalive", NODE, http2_parts, keepalive),
};

#define INTERVAL(key, member, ...) MB_DOC_FIELD(key, MS, mb_keepalive_settings, member, __VA_ARGS__)

static const mb_doc_field keepalive_fields[] = {
    INTERVAL("interval_ms", interval_us),
    INTERVAL("interval_jitter_ms", jitter_us),
    INTERVAL("timeout_ms", timeout_us, .min = 1),
    INTERVAL("idle_interval_ms", idle_interval_us),
};

void mb__config_http2(const mb_doc *doc, mb_h2_options *options, mb_keepalive_settings *keepalive) {
    http2_parts found = {0};
    MB_DOC_READ(doc, http2_fields, &found);
    *options = found.options;
    if (!mb_doc_is_nil(&found.keepalive)) {
        MB_DOC_READ(&found.keepalive, keepalive_fields, keepalive);
    }
}
