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
#include "net/h2_keepalive.h"
#include "net/tls.h"

typedef struct mb_cluster mb_cluster;
typedef struct mb_upstream_host mb_upstream_host;

typedef struct mb_endpoint {
    mb_slice host; /* numeric, without brackets; STRICT_DNS: also a name; empty with a path */
    uint16_t port;
    mb_slice path;     /* Unix socket, "@name" in the abstract namespace; empty: host and port */
    uint32_t weight;   /* >= 1 */
    mb_slice hostname; /* for auto_host_rewrite; empty: none */
} mb_endpoint;

typedef struct mb_circuit_limits {
    uint32_t max_connections, max_pending_requests, max_requests, max_retries;
} mb_circuit_limits;

/* Which addresses of a name are used. */
typedef enum mb_dns_family {
    MB_DNS_AUTO = 0, /* IPv6; IPv4 when there is none */
    MB_DNS_V4_ONLY,
    MB_DNS_V6_ONLY,
    MB_DNS_V4_PREFERRED, /* IPv4; IPv6 when there is none */
    MB_DNS_ALL
} mb_dns_family;

typedef struct mb_dns_settings {
    mb_dns_family family;
    uint64_t refresh_us;                      /* from one answer to the next question; 0: 5 s */
    uint64_t jitter_us;                       /* random extra pause, 0 to this */
    uint64_t failure_base_us, failure_max_us; /* back-off after failures; 0: refresh_us */
    bool respect_ttl;    /* the shortest TTL of an answer instead of refresh_us */
    uint32_t timeout_ms; /* of one query to one server; 0: 5 s, as Envoy */
    uint32_t tries;      /* 0: 4, as Envoy */
    /* NUL-terminated "ip[:port],..." to ask instead of the system's; NULL: what the environment
     * variable MOEBRIDGE_DNS_SERVERS says, else /etc/resolv.conf. */
    const char *servers;
} mb_dns_settings;

typedef struct mb_tcp_keepalive {
    bool enabled;
    uint32_t probes, time_s, interval_s; /* 0: the system's */
} mb_tcp_keepalive;

/* Which protocol its connections speak. */
typedef enum mb_upstream_protocol {
    MB_UPSTREAM_HTTP1 = 0,
    MB_UPSTREAM_HTTP2,
    MB_UPSTREAM_AUTO,       /* what TLS agrees on (ALPN) */
    MB_UPSTREAM_DOWNSTREAM, /* the protocol of the request's own connection */
    MB_UPSTREAM_RAW         /* none: tunnels that end here. Not configured, a pool has it */
} mb_upstream_protocol;

typedef struct mb_cluster_settings {
    mb_slice name, stat_name; /* stat_name empty: name */
    bool strict_dns;
    mb_endpoint *endpoints;
    uint32_t endpoint_count;
    uint64_t connect_timeout_us;         /* 0: the kernel's */
    uint64_t idle_timeout_us;            /* of a pooled connection; 0: none */
    uint64_t max_connection_duration_us; /* then no further request; 0: none */
    mb_dns_settings dns;
    mb_tcp_keepalive keepalive;
    mb_tls_context *tls;       /* the cluster takes a reference of its own; NULL: clear text */
    size_t buffer_limit_bytes; /* per_connection_buffer_limit_bytes; 0: none */
    uint32_t max_requests_per_connection; /* 0: no limit */
    mb_circuit_limits limits;
    mb_upstream_protocol protocol;
    uint8_t proxy_version;  /* of the PROXY header before each connection; 0: none */
    mb_codec_options codec; /* limits on responses; HTTP/2 */
    mb_keepalive_settings h2_keepalive;
    uint64_t settings_hash; /* of the document's bytes for this cluster */
} mb_cluster_settings;

/* Copies the settings. Starts resolving STRICT_DNS at once. NULL: out of memory or descriptors.
 * One reference. An endpoint of a STATIC cluster that is not numeric is logged and left out. */
mb_cluster *mb_cluster_new(mb_worker *worker, const mb_cluster_settings *settings);
mb_cluster *mb_cluster_ref(mb_cluster *cluster);
/* The last reference lets its pools drain: idle connections close, busy ones after their stream.
 * Memory goes with the last connection. */
void mb_cluster_unref(mb_cluster *cluster);
mb_slice mb_cluster_name(const mb_cluster *cluster);
uint64_t mb_cluster_settings_hash(const mb_cluster *cluster);
/* False while the first DNS answer of a STRICT_DNS cluster is awaited. */
bool mb_cluster_warm(const mb_cluster *cluster);
uint32_t mb_cluster_host_count(const mb_cluster *cluster);
/* Borrowed; valid until the host set changes. */
const mb_upstream_host *mb_cluster_host(const mb_cluster *cluster, uint32_t index);

#endif
