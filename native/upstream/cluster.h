/*
 * Clusters: named groups of upstream hosts with a load balancer, circuit breakers and a pool of
 * keep-alive connections for each host.
 *
 * A cluster is refcounted and belongs to a worker. A configuration that names a cluster with the
 * same settings as before keeps the object (`settings_hash`), so a reload closes no upstream
 * connection. Hosts are refcounted too: a DNS answer may drop a host that streams still use.
 */
#ifndef MB_UPSTREAM_CLUSTER_H
#define MB_UPSTREAM_CLUSTER_H

#include "base/map.h"
#include "filter/worker.h"
#include "http/codec.h"

typedef struct mb_cluster mb_cluster;
typedef struct mb_upstream_host mb_upstream_host;
struct mb_pool; /* pool.h */

typedef struct mb_endpoint {
    mb_slice host; /* numeric for STATIC, a name for STRICT_DNS */
    uint16_t port;
    uint32_t weight; /* >= 1 */
    mb_slice hostname; /* for auto_host_rewrite; empty: `host` */
} mb_endpoint;

typedef struct mb_circuit_limits {
    uint32_t max_connections, max_pending_requests, max_requests, max_retries;
} mb_circuit_limits;

typedef struct mb_cluster_settings {
    mb_slice name, stat_name;
    bool strict_dns;
    mb_endpoint *endpoints;
    uint32_t endpoint_count;
    uint64_t connect_timeout_us, idle_timeout_us, dns_refresh_us;
    uint32_t dns_family; /* AF_UNSPEC: auto (IPv6 first, as Envoy's AUTO), AF_INET, AF_INET6 */
    bool dns_prefer_v4, respect_dns_ttl;
    size_t buffer_limit_bytes; /* per_connection_buffer_limit_bytes */
    uint32_t max_requests_per_connection; /* 0: no limit */
    mb_circuit_limits limits;
    mb_codec_options codec; /* limits on responses */
    uint64_t settings_hash; /* of the document's bytes for this cluster */
} mb_cluster_settings;

/* Copies the settings. Starts resolving STRICT_DNS at once. NULL: out of memory. One reference. */
mb_cluster *mb_cluster_new(mb_worker *worker, const mb_cluster_settings *settings);
mb_cluster *mb_cluster_ref(mb_cluster *cluster);
/* The last reference lets its pools drain: idle connections close, busy ones after their stream. */
void mb_cluster_unref(mb_cluster *cluster);
mb_slice mb_cluster_name(const mb_cluster *cluster);
uint64_t mb_cluster_settings_hash(const mb_cluster *cluster);
/* False while the first DNS answer of a STRICT_DNS cluster is awaited. */
bool mb_cluster_warm(const mb_cluster *cluster);

#endif
