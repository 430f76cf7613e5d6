/*
 * Configuration of listener filters, which look at a connection before its filter chain is chosen,
 * as server/listener_filters.c runs them: the model's ListenerFilter in C types
 * (bridge/moebridge/config/listener_filter_model.py). Immutable; all memory is the snapshot's.
 */
#ifndef MB_CONFIG_LISTENER_FILTER_CONFIG_H
#define MB_CONFIG_LISTENER_FILTER_CONFIG_H

#include "base/stats.h"
#include "net/address.h"

typedef enum mb_listener_filter_kind {
    MB_PROXY_PROTOCOL,
    MB_TLS_INSPECTOR,
    MB_HTTP_INSPECTOR,
    MB_ORIGINAL_DST,
    MB_ORIGINAL_SRC
} mb_listener_filter_kind;

/* A TLV that becomes dynamic metadata. */
typedef struct mb_proxy_rule {
    uint8_t type;
    mb_slice space, key;
} mb_proxy_rule;

/* Under `proxy_proto.[<stat_prefix>.]`. */
typedef struct mb_proxy_metrics {
    mb_metric *not_found_disallowed, *not_found_allowed;
    mb_metric *found[2], *disallowed[2], *error[2]; /* of version 1, of version 2 */
} mb_proxy_metrics;

typedef struct mb_proxy_protocol_config {
    bool allow_without; /* connections without a header are let through */
    bool disallowed[2]; /* version 1, version 2 */
    mb_proxy_rule *rules;
    uint32_t rule_count;
    bool pass_all;
    uint64_t pass[4]; /* a bit for each type of TLV that is sent on */
    mb_proxy_metrics metrics;
} mb_proxy_protocol_config;

/* Under `tls_inspector.`. */
typedef struct mb_tls_inspector_metrics {
    mb_metric *client_hello_too_large, *tls_found, *tls_not_found;
    mb_metric *alpn_found, *alpn_not_found, *sni_found, *sni_not_found;
    mb_metric *bytes_processed;
} mb_tls_inspector_metrics;

typedef struct mb_tls_inspector_config {
    uint32_t max_bytes; /* of a ClientHello */
    bool close_on_error;
    mb_tls_inspector_metrics metrics;
} mb_tls_inspector_config;

/* Under `http_inspector.`. */
typedef struct mb_http_inspector_metrics {
    mb_metric *read_error, *http_not_found;
    mb_metric *found[3]; /* by mb_http_kind */
} mb_http_inspector_metrics;

typedef struct mb_original_src_config {
    bool bind_port;
    uint32_t mark; /* 0: none */
} mb_original_src_config;

typedef struct mb_listener_filter_config {
    mb_listener_filter_kind kind;
    union {
        mb_proxy_protocol_config proxy;
        mb_tls_inspector_config tls;
        mb_http_inspector_metrics http;
        mb_original_src_config source;
    };
} mb_listener_filter_config;

#endif
