/*
 * Clusters: reads their settings, then makes them. One whose document bytes are those of a cluster
 * of the same name in the previous snapshot is that cluster, with its connections and counters.
 * Source: moebridge.config.cluster_model.
 */
#include "base/slice.h"
#include "config/build.h"

/* Of the hash of settings; any constant will do. */
#define HASH_SEED 0

typedef enum cluster_type { TYPE_STATIC, TYPE_STRICT_DNS } cluster_type;

typedef struct cluster_parts {
    mb_cluster_settings settings;
    cluster_type type;
    uint32_t lb_policy;
    uint32_t buffer_limit_bytes;
    uint32_t proxy_version;
    mb_doc endpoints, circuit_breaker, http, tcp_keepalive, tls;
} cluster_parts;

static const char *const type_words[] = {
    [TYPE_STATIC] = "static",
    [TYPE_STRICT_DNS] = "strict_dns",
    NULL,
};
static const char *const proxy_words[] = {"none", "v1", "v2", NULL};
static const char *const policy_words[] = {"round_robin", NULL};
static const char *const family_words[] = {
    [MB_DNS_AUTO] = "auto",       [MB_DNS_V4_ONLY] = "v4_only",
    [MB_DNS_V6_ONLY] = "v6_only", [MB_DNS_V4_PREFERRED] = "v4_preferred",
    [MB_DNS_ALL] = "all",         NULL,
};

#define PART(key, what, member, ...) MB_DOC_FIELD(key, what, cluster_parts, member, __VA_ARGS__)

static const mb_doc_field cluster_fields[] = {
    PART("name", TEXT, settings.name, .min = 1),
    PART("type", ENUM, type, .words = type_words),
    PART("lb_policy", ENUM, lb_policy, .words = policy_words),
    PART("endpoints", NODE, endpoints),
    PART("connect_timeout_ms", MS, settings.connect_timeout_us, .min = 1),
    PART("per_connection_buffer_limit_bytes", U32, buffer_limit_bytes),
    PART("circuit_breaker", NODE, circuit_breaker),
    PART("http", NODE, http),
    PART("tcp_keepalive", NODE, tcp_keepalive),
    PART("tls", NODE, tls),
    PART("proxy_protocol", ENUM, proxy_version, .words = proxy_words),
    PART("stat_name", TEXT, settings.stat_name),
    PART("dns_refresh_ms", MS, settings.dns.refresh_us, .min = 1),
    PART("dns_jitter_ms", MS, settings.dns.jitter_us),
    PART("dns_failure_refresh_base_ms", MS, settings.dns.failure_base_us, .min = 1),
    PART("dns_failure_refresh_max_ms", MS, settings.dns.failure_max_us, .min = 1),
    PART("respect_dns_ttl", BOOL, settings.dns.respect_ttl),
    PART("dns_lookup_family", ENUM, settings.dns.family, .words = family_words),
};

static const mb_doc_field endpoint_fields[] = {
    MB_DOC_FIELD("host", TEXT, mb_endpoint, host),
    MB_DOC_FIELD("port", U16, mb_endpoint, port),
    MB_DOC_FIELD("path", TEXT, mb_endpoint, path),
    MB_DOC_FIELD("weight", U32, mb_endpoint, weight, .min = 1),
    MB_DOC_FIELD("hostname", TEXT, mb_endpoint, hostname),
};

static const mb_doc_field circuit_fields[] = {
    MB_DOC_FIELD("max_connections", U32, mb_circuit_limits, max_connections),
    MB_DOC_FIELD("max_pending_requests", U32, mb_circuit_limits, max_pending_requests),
    MB_DOC_FIELD("max_requests", U32, mb_circuit_limits, max_requests),
    MB_DOC_FIELD("max_retries", U32, mb_circuit_limits, max_retries),
};

#define SETTING(key, what, member, ...)                                                            \
    MB_DOC_FIELD(key, what, http_parts, settings.member, __VA_ARGS__)

typedef struct http_parts {
    mb_cluster_settings settings;
    mb_doc http2;
} http_parts;

static const char *const protocol_words[] = {
    [MB_UPSTREAM_HTTP1] = "http1",
    [MB_UPSTREAM_HTTP2] = "http2",
    [MB_UPSTREAM_AUTO] = "auto",
    [MB_UPSTREAM_DOWNSTREAM] = "downstream",
    NULL,
};

static const mb_doc_field http_fields[] = {
    SETTING("protocol", ENUM, protocol, .words = protocol_words),
    SETTING("idle_timeout_ms", MS, idle_timeout_us),
    SETTING("max_connection_duration_ms", MS, max_connection_duration_us),
    SETTING("max_requests_per_connection", U32, max_requests_per_connection),
    SETTING("max_response_headers_bytes", U32, codec.max_head_bytes, .min = 1),
    SETTING("max_headers_count", U32, codec.max_header_count, .min = 1),
    SETTING("enable_trailers", BOOL, codec.enable_trailers),
    MB_DOC_FIELD("http2", NODE, http_parts, http2),
};

static const mb_doc_field keepalive_fields[] = {
    MB_DOC_FIELD("probes", U32, mb_tcp_keepalive, probes, .max = INT32_MAX),
    MB_DOC_FIELD("time_s", U32, mb_tcp_keepalive, time_s, .max = INT32_MAX),
    MB_DOC_FIELD("interval_s", U32, mb_tcp_keepalive, interval_s, .max = INT32_MAX),
};

static void check_endpoint(const mb_doc *doc, const mb_endpoint *endpoint, bool strict_dns) {
    mb_address address;
    if ((endpoint->path.len == 0) == (endpoint->host.len == 0)) {
        mb_doc_fault(doc, "needs either host and port, or path");
    } else if (endpoint->path.len > 0) {
        if (strict_dns || endpoint->port != 0 ||
            mb_address_unix(endpoint->path, &address) != MB_OK) {
            mb_doc_fault_at(doc, "path", "is no path of a Unix socket in a static cluster");
        }
    } else if (endpoint->port == 0) {
        mb_doc_fault_at(doc, "port", "must be at least 1");
    } else if (mb_slice_index(endpoint->host, '\0') >= 0) {
        mb_doc_fault_at(doc, "host", "must not contain a NUL");
    } else if (!strict_dns && mb_address_parse(endpoint->host, endpoint->port, &address) != MB_OK) {
        mb_doc_fault_at(doc, "host", "is no IP address, which a static cluster needs");
    }
}

static void read_endpoints(const mb_doc *doc, mb_cluster_settings *settings) {
    mb_doc_items items;
    mb_doc item;
    settings->endpoints = mb_doc_array(doc, &items, sizeof(*settings->endpoints));
    settings->endpoint_count = items.count;
    while (mb_doc_next(&items, &item)) {
        mb_endpoint *endpoint = &settings->endpoints[item.index];
        MB_DOC_READ(&item, endpoint_fields, endpoint);
        check_endpoint(&item, endpoint, settings->strict_dns);
    }
}

static void read_http(const mb_doc *doc, mb_cluster_settings *settings) {
    http_parts found = {.settings = *settings};
    MB_DOC_READ(doc, http_fields, &found);
    mb__config_http2(&found.http2, &found.settings.codec.h2, &found.settings.h2_keepalive);
    *settings = found.settings;
}

/* The cluster of the previous snapshot that has the same settings, or NULL. Borrowed. */
static mb_cluster *kept(const mb_builder *builder, const mb_cluster_settings *settings) {
    mb_cluster *cluster =
        builder->previous != NULL ? mb_snapshot_cluster(builder->previous, settings->name) : NULL;
    bool same = cluster != NULL && mb_cluster_settings_hash(cluster) == settings->settings_hash;
    return same ? cluster : NULL;
}

static void read_cluster(mb_builder *builder, const mb_doc *doc, mb_cluster_settings *out) {
    cluster_parts found = {0};
    MB_DOC_READ(doc, cluster_fields, &found);
    found.settings.strict_dns = found.type == TYPE_STRICT_DNS;
    found.settings.buffer_limit_bytes = found.buffer_limit_bytes;
    found.settings.proxy_version = (uint8_t)found.proxy_version;
    MB_DOC_READ(&found.circuit_breaker, circuit_fields, &found.settings.limits);
    read_http(&found.http, &found.settings);
    if (!mb_doc_is_nil(&found.tcp_keepalive)) {
        found.settings.keepalive.enabled = true;
        MB_DOC_READ(&found.tcp_keepalive, keepalive_fields, &found.settings.keepalive);
    }
    if (found.settings.dns.failure_max_us < found.settings.dns.failure_base_us) {
        mb_doc_fault_at(doc, "dns_failure_refresh_max_ms",
                        "must not be below dns_failure_refresh_base_ms");
    }
    read_endpoints(&found.endpoints, &found.settings);
    found.settings.settings_hash = mb_hash(doc->value, HASH_SEED);
    if (kept(builder, &found.settings) == NULL) { /* which has it loaded */
        found.settings.tls = mb__config_tls(builder, &found.tls, false);
    }
    *out = found.settings;
}

static void release_cluster(void *cluster) {
    mb_cluster_unref(cluster);
}

static void make_cluster(mb_builder *builder, const mb_cluster_settings *settings) {
    mb_release *owned = mb__release_new(builder);
    if (owned == NULL) {
        return;
    }
    mb_cluster *cluster = kept(builder, settings);
    cluster = cluster != NULL ? mb_cluster_ref(cluster) : mb_cluster_new(builder->worker, settings);
    if (cluster == NULL) {
        builder->reader.status = MB_ENOMEM;
        return;
    }
    mb__release_own(builder, owned, release_cluster, cluster);
    /* The room was reserved; the key lives as long as the cluster. */
    mb_map_set(&builder->snapshot->clusters, mb_cluster_name(cluster), cluster, NULL);
}

static int check_names(const mb_builder *builder, const mb_doc *doc, mb_cluster_settings *settings,
                       uint32_t count) {
    mb_map names;
    void *old;
    mb_map_init(&names, builder->worker->allocator, builder->snapshot->clusters.seed);
    int result = mb_map_reserve(&names, count);
    for (uint32_t i = 0; i < count && result == MB_OK; i++) {
        result = mb_map_set(&names, settings[i].name, &settings[i], &old);
        if (old != NULL && settings[i].name.len > 0) {
            mb_doc item = {.reader = doc->reader, .up = doc, .index = i};
            mb_doc_fault_at(&item, "name", "is that of another cluster too");
        }
    }
    mb_map_fini(&names);
    return result;
}

void mb__config_clusters(mb_builder *builder, const mb_doc *doc) {
    mb_doc_items items;
    mb_doc item;
    mb_cluster_settings *settings = mb_doc_array(doc, &items, sizeof(*settings));
    uint32_t count = items.count;
    while (mb_doc_next(&items, &item)) {
        read_cluster(builder, &item, &settings[item.index]);
    }
    if (mb_doc_goes_on(&builder->reader) &&
        (check_names(builder, doc, settings, count) != MB_OK ||
         mb_map_reserve(&builder->snapshot->clusters, count) != MB_OK)) {
        builder->reader.status = MB_ENOMEM;
    }
    for (uint32_t i = 0; i < count && builder->reader.status == MB_OK; i++) {
        make_cluster(builder, &settings[i]);
    }
}
