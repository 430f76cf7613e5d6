/*
 * Configuration of one HTTP connection manager, as server/hcm reads it: the model's `Hcm`
 * (bridge/moebridge/config/model.py) in C types. Made by hcm_config.c, immutable.
 *
 * All memory is the snapshot's. Times are in microseconds, 0 is off. Slices may be empty, never
 * dangling; "" of the model is an empty slice.
 */
#ifndef MB_CONFIG_HCM_CONFIG_H
#define MB_CONFIG_HCM_CONFIG_H

#include "config/http_metrics.h"
#include "filter/chain.h"
#include "filter/format.h"
#include "net/address.h"
#include "net/h2_keepalive.h"
#include "route/route.h"
#include "upstream/router.h"

typedef enum mb_server_header {
    MB_SERVER_OVERWRITE,        /* always our name */
    MB_SERVER_APPEND_IF_ABSENT, /* only when the upstream gave none */
    MB_SERVER_PASS_THROUGH      /* never ours */
} mb_server_header;

/* x-forwarded-client-cert: what comes, and what is said of the client's own certificate. */
typedef enum mb_client_cert_kind {
    MB_CLIENT_CERT_SANITIZE,       /* take it off */
    MB_CLIENT_CERT_FORWARD_ONLY,   /* as it came, from clients with a certificate */
    MB_CLIENT_CERT_APPEND_FORWARD, /* the same, and the client's own behind it */
    MB_CLIENT_CERT_SANITIZE_SET,   /* the client's own instead */
    MB_CLIENT_CERT_ALWAYS_FORWARD_ONLY
} mb_client_cert_kind;

typedef struct mb_client_cert_config {
    mb_client_cert_kind kind;
    bool subject, cert, chain, dns, uri;
} mb_client_cert_config;

typedef enum mb_escaped_slashes {
    MB_SLASHES_KEEP,
    MB_SLASHES_REJECT,   /* 400 */
    MB_SLASHES_REDIRECT, /* 307 to the unescaped path */
    MB_SLASHES_UNESCAPE  /* and forward */
} mb_escaped_slashes;

typedef enum mb_strip_port {
    MB_STRIP_NONE,
    MB_STRIP_MATCHING, /* the listener's own port */
    MB_STRIP_ANY
} mb_strip_port;

typedef enum mb_codec_type {
    MB_CODEC_AUTO, /* by ALPN, else by the first bytes */
    MB_CODEC_HTTP1,
    MB_CODEC_HTTP2
} mb_codec_type;

typedef enum mb_log_sink { MB_SINK_STDOUT, MB_SINK_STDERR, MB_SINK_FILE } mb_log_sink;

/* One line for each finished stream. */
typedef struct mb_access_log_config {
    mb_log_sink sink;
    const char *path; /* MB_SINK_FILE: NUL-terminated, never empty; else "" */
    /* The whole line, newline included. JSON is unrolled already: each segment says how it is
     * encoded. */
    mb_format *format;
} mb_access_log_config;

/* Peers that count as internal; the first `prefix_len` bits of `address` decide. */
typedef struct mb_cidr_range {
    mb_address address;  /* port 0 */
    uint32_t prefix_len; /* 0 to 32 or 128 */
} mb_cidr_range;

typedef struct mb_hcm_timeouts {
    uint64_t request_us;                 /* whole request received */
    uint64_t grpc_request_us;            /* the same for requests of gRPC, which may stream */
    uint64_t request_headers_us;         /* its head, from the first byte */
    uint64_t stream_idle_us;             /* a stream without bytes; a route may say otherwise */
    uint64_t idle_us;                    /* a connection without a stream */
    uint64_t max_connection_duration_us; /* then it is drained */
    uint64_t max_stream_duration_us;     /* a route may say otherwise */
    uint64_t drain_us;                   /* from "connection: close" announced to close */
    uint64_t delayed_close_us;           /* lingering close */
} mb_hcm_timeouts;

typedef struct mb_hcm_config {
    mb_slice stat_prefix; /* never empty */
    mb_http_metrics metrics;
    mb_codec_type codec_type;
    mb_route_table *routes;
    mb_chain chain;                 /* its terminal is the router */
    mb_router_config router_config; /* where chain.terminal_config points */
    mb_access_log_config *access_logs;
    uint32_t access_log_count;
    mb_hcm_timeouts timeouts;
    mb_codec_options codec; /* of the server's side */
    mb_keepalive_settings h2_keepalive;

    mb_upgrade *upgrades; /* where a route says nothing */
    uint32_t upgrade_count;

    /* responses */
    mb_slice server_name;
    mb_server_header server_header;
    mb_client_cert_config client_cert;
    mb_slice via; /* appended to `via`, both ways; empty: none */
    bool proxy_100_continue;

    /* connections and clients */
    uint32_t max_requests_per_connection; /* 0: no bound */
    bool use_remote_address;
    uint32_t xff_num_trusted_hops;
    bool skip_xff_append;
    bool append_x_forwarded_port;
    mb_cidr_range *internal_ranges;
    uint32_t internal_range_count;

    /* request id */
    bool generate_request_id;
    bool preserve_external_request_id;
    bool always_set_request_id_in_response;

    /* path and authority, before routing */
    bool normalize_path;
    bool merge_slashes;
    mb_escaped_slashes escaped_slashes;
    mb_strip_port strip_port;
    bool strip_trailing_host_dot;
} mb_hcm_config;

#endif
