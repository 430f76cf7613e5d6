/*
 * The HTTP connection manager of a listener: its own settings here, chain and routes in their own
 * files. Source: moebridge.config.model.
 */
#include "base/slice.h"
#include "config/build.h"
#include "http/chars.h"

typedef enum underscores { UNDERSCORES_ALLOW, UNDERSCORES_REJECT, UNDERSCORES_DROP } underscores;

typedef struct hcm_parts {
    mb_hcm_config hcm;
    underscores headers_with_underscores;
    mb_doc client_cert_details, route_config, http_filters, access_logs, timeouts, http1, http2,
        upgrades, internal_cidr_ranges;
} hcm_parts;

static const char *const underscore_words[] = {
    [UNDERSCORES_ALLOW] = "allow",
    [UNDERSCORES_REJECT] = "reject_request",
    [UNDERSCORES_DROP] = "drop_header",
    NULL,
};
static const char *const server_words[] = {
    [MB_SERVER_OVERWRITE] = "overwrite",
    [MB_SERVER_APPEND_IF_ABSENT] = "append_if_absent",
    [MB_SERVER_PASS_THROUGH] = "pass_through",
    NULL,
};
static const char *const client_cert_words[] = {
    [MB_CLIENT_CERT_SANITIZE] = "sanitize",
    [MB_CLIENT_CERT_FORWARD_ONLY] = "forward_only",
    [MB_CLIENT_CERT_APPEND_FORWARD] = "append_forward",
    [MB_CLIENT_CERT_SANITIZE_SET] = "sanitize_set",
    [MB_CLIENT_CERT_ALWAYS_FORWARD_ONLY] = "always_forward_only",
    NULL,
};
static const char *const slash_words[] = {
    [MB_SLASHES_KEEP] = "keep_unchanged",
    [MB_SLASHES_REJECT] = "reject_request",
    [MB_SLASHES_REDIRECT] = "unescape_and_redirect",
    [MB_SLASHES_UNESCAPE] = "unescape_and_forward",
    NULL,
};
static const char *const strip_words[] = {
    [MB_STRIP_NONE] = "none",
    [MB_STRIP_MATCHING] = "matching",
    [MB_STRIP_ANY] = "any",
    NULL,
};
static const char *const codec_words[] = {
    [MB_CODEC_AUTO] = "auto",
    [MB_CODEC_HTTP1] = "http1",
    [MB_CODEC_HTTP2] = "http2",
    NULL,
};
static const char *const sink_words[] = {
    [MB_SINK_STDOUT] = "stdout",
    [MB_SINK_STDERR] = "stderr",
    [MB_SINK_FILE] = "file",
    NULL,
};

static const mb_doc_field client_cert_fields[] = {
    MB_DOC_FIELD("subject", BOOL, mb_client_cert_config, subject),
    MB_DOC_FIELD("cert", BOOL, mb_client_cert_config, cert),
    MB_DOC_FIELD("chain", BOOL, mb_client_cert_config, chain),
    MB_DOC_FIELD("dns", BOOL, mb_client_cert_config, dns),
    MB_DOC_FIELD("uri", BOOL, mb_client_cert_config, uri),
};

#define PART(key, what, member, ...) MB_DOC_FIELD(key, what, hcm_parts, member, __VA_ARGS__)

static const mb_doc_field hcm_fields[] = {
    PART("stat_prefix", TEXT, hcm.stat_prefix, .min = 1),
    PART("codec_type", ENUM, hcm.codec_type, .words = codec_words),
    PART("route_config", NODE, route_config),
    PART("http_filters", NODE, http_filters),
    PART("access_logs", NODE, access_logs),
    PART("timeouts", NODE, timeouts),
    PART("http1", NODE, http1),
    PART("http2", NODE, http2),
    PART("upgrades", NODE, upgrades),
    PART("server_name", TEXT, hcm.server_name),
    PART("forward_client_cert", ENUM, hcm.client_cert.kind, .words = client_cert_words),
    PART("client_cert_details", NODE, client_cert_details),
    PART("server_header_transformation", ENUM, hcm.server_header, .words = server_words),
    PART("max_requests_per_connection", U32, hcm.max_requests_per_connection),
    PART("max_request_headers_bytes", U32, hcm.codec.max_head_bytes, .min = 1),
    PART("max_headers_count", U32, hcm.codec.max_header_count, .min = 1),
    PART("max_uri_bytes", U32, hcm.codec.max_uri_bytes, .min = 1),
    PART("headers_with_underscores_action", ENUM, headers_with_underscores,
         .words = underscore_words),
    PART("use_remote_address", BOOL, hcm.use_remote_address),
    PART("xff_num_trusted_hops", U32, hcm.xff_num_trusted_hops),
    PART("skip_xff_append", BOOL, hcm.skip_xff_append),
    PART("internal_cidr_ranges", NODE, internal_cidr_ranges),
    PART("generate_request_id", BOOL, hcm.generate_request_id),
    PART("preserve_external_request_id", BOOL, hcm.preserve_external_request_id),
    PART("always_set_request_id_in_response", BOOL, hcm.always_set_request_id_in_response),
    PART("via", TEXT, hcm.via),
    PART("normalize_path", BOOL, hcm.normalize_path),
    PART("merge_slashes", BOOL, hcm.merge_slashes),
    PART("path_with_escaped_slashes_action", ENUM, hcm.escaped_slashes, .words = slash_words),
    PART("strip_host_port", ENUM, hcm.strip_port, .words = strip_words),
    PART("strip_trailing_host_dot", BOOL, hcm.strip_trailing_host_dot),
    PART("append_x_forwarded_port", BOOL, hcm.append_x_forwarded_port),
    PART("proxy_100_continue", BOOL, hcm.proxy_100_continue),
    PART("suppress_envoy_headers", BOOL, hcm.router_config.suppress_envoy_headers),
};

#define TIMEOUT(key, member) MB_DOC_FIELD(key, MS, mb_hcm_timeouts, member)

static const mb_doc_field timeout_fields[] = {
    TIMEOUT("request_ms", request_us),
    TIMEOUT("grpc_request_ms", grpc_request_us),
    TIMEOUT("request_headers_ms", request_headers_us),
    TIMEOUT("stream_idle_ms", stream_idle_us),
    TIMEOUT("idle_ms", idle_us),
    TIMEOUT("max_connection_duration_ms", max_connection_duration_us),
    TIMEOUT("max_stream_duration_ms", max_stream_duration_us),
    TIMEOUT("drain_ms", drain_us),
    TIMEOUT("delayed_close_ms", delayed_close_us),
};

#define HTTP1(key, what, member) MB_DOC_FIELD(key, what, mb_hcm_config, member)

static const mb_doc_field http1_fields[] = {
    HTTP1("accept_http_10", BOOL, codec.accept_http_10),
    HTTP1("default_host_for_http_10", TEXT, codec.default_host),
    HTTP1("enable_trailers", BOOL, codec.enable_trailers),
};

/* -- access logs and address ranges ---------------------------------------------------------- */

typedef struct log_parts {
    mb_access_log_config log;
    mb_doc format;
} log_parts;

static const mb_doc_field log_fields[] = {
    MB_DOC_FIELD("sink", ENUM, log_parts, log.sink, .words = sink_words),
    MB_DOC_FIELD("path", CSTRING, log_parts, log.path),
    MB_DOC_FIELD("format", NODE, log_parts, format),
};

void mb__config_access_logs(mb_builder *builder, const mb_doc *doc, mb_access_log_config **out,
                            uint32_t *count) {
    mb_doc_items items;
    mb_doc item;
    mb_access_log_config *logs = mb_doc_array(doc, &items, sizeof(*logs));
    while (mb_doc_next(&items, &item)) {
        log_parts found = {0};
        MB_DOC_READ(&item, log_fields, &found);
        if (found.log.sink == MB_SINK_FILE && found.log.path[0] == '\0') {
            mb_doc_fault_at(&item, "path", "must not be empty for a file");
        }
        found.log.format = mb__config_format(builder, &found.format);
        logs[item.index] = found.log;
    }
    *out = logs;
    *count = items.count;
}

typedef struct range_parts {
    mb_slice address;
    uint32_t prefix_len;
} range_parts;

static const mb_doc_field range_fields[] = {
    MB_DOC_FIELD("address", TEXT, range_parts, address, .min = 1),
    MB_DOC_FIELD("prefix_len", U32, range_parts, prefix_len, .max = 128),
};

static void read_ranges(const mb_doc *doc, mb_hcm_config *out) {
    mb_doc_items items;
    mb_doc item;
    mb_cidr_range *ranges = mb_doc_array(doc, &items, sizeof(*ranges));
    while (mb_doc_next(&items, &item)) {
        range_parts found = {0};
        mb_cidr_range *range = &ranges[item.index];
        MB_DOC_READ(&item, range_fields, &found);
        range->prefix_len = found.prefix_len;
        if (found.address.len == 0) {
            continue;
        }
        if (mb_address_parse(found.address, 0, &range->address) != MB_OK) {
            mb_doc_fault_at(&item, "address", "is no IP address");
        } else if (range->address.sa.sa_family == AF_INET && found.prefix_len > 32) {
            mb_doc_fault_at(&item, "prefix_len", "must be from 0 to 32, got %u", found.prefix_len);
        }
    }
    out->internal_ranges = ranges;
    out->internal_range_count = items.count;
}

/* -- the whole ------------------------------------------------------------------------------- */

/* What goes into header fields as it stands. */
static void check_texts(const mb_doc *doc, const mb_hcm_config *hcm) {
    if (!mb_http_is_value(hcm->server_name)) {
        mb_doc_fault_at(doc, "server_name", "can't be the value of a header");
    }
    if (!mb_http_is_value(hcm->via)) {
        mb_doc_fault_at(doc, "via", "can't be the value of a header");
    }
}

static void define_metrics(mb_builder *builder, const mb_doc *doc, mb_hcm_config *hcm) {
    mb_stats *stats = builder->worker->stats;
    if (hcm->stat_prefix.len == 0) {
        return; /* reported */
    }
    int rc = mb_router_stats_define(stats, hcm->stat_prefix, &hcm->router_config.stats);
    if (rc == MB_OK) {
        rc = mb_http_metrics_define(stats, hcm->stat_prefix, &hcm->metrics);
    }
    if (rc == MB_ENOMEM) {
        builder->reader.status = MB_ENOMEM;
    } else if (rc < 0) {
        mb_doc_fault_at(doc, "stat_prefix", "has the statistics of another thing");
    }
}

void mb__config_hcm(mb_builder *builder, const mb_doc *doc, mb_hcm_config *out) {
    hcm_parts found = {0};
    mb_chain_source source = {0};
    MB_DOC_READ(doc, hcm_fields, &found);
    mb_hcm_config *hcm = &found.hcm;
    MB_DOC_READ(&found.client_cert_details, client_cert_fields, &hcm->client_cert);
    MB_DOC_READ(&found.timeouts, timeout_fields, &hcm->timeouts);
    MB_DOC_READ(&found.http1, http1_fields, hcm);
    mb__config_http2(&found.http2, &hcm->codec.h2, &hcm->h2_keepalive);
    check_texts(doc, hcm);
    if (hcm->codec.default_host.len > 0 && !mb_http_is_authority(hcm->codec.default_host)) {
        mb_doc_fault_at(&found.http1, "default_host_for_http_10", "is no host");
    }
    hcm->codec.reject_underscores = found.headers_with_underscores == UNDERSCORES_REJECT;
    hcm->codec.drop_underscores = found.headers_with_underscores == UNDERSCORES_DROP;
    hcm->router_config.clusters = &builder->snapshot->clusters;
    hcm->router_config.stat_prefix = hcm->stat_prefix;
    define_metrics(builder, doc, hcm);
    *out = found.hcm;
    mb__config_chain(builder, &found.http_filters, out, &source);
    out->routes = mb__config_routes(builder, &found.route_config, &source);
    out->upgrades = mb__config_upgrades(&found.upgrades, &out->upgrade_count);
    mb__config_access_logs(builder, &found.access_logs, &out->access_logs, &out->access_log_count);
    read_ranges(&found.internal_cidr_ranges, out);
}
