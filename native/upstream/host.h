/*
 * Host: one address of a cluster, with its pool of connections and its own counters.
 *
 * Connections are not all alike where the cluster has them speak the client's protocol, or begin
 * with a PROXY header that says for whom they are: then the host has a pool for each kind, made
 * when first asked for and freed when nothing is in it.
 *
 * Refcounted: the cluster's host set holds one reference, each connection one, and each request
 * that waits or runs one. So a host that DNS dropped lives until the last of them is gone.
 */
#ifndef MB_UPSTREAM_HOST_H
#define MB_UPSTREAM_HOST_H

#include "net/address.h"
#include "upstream/cluster.h"
#include "upstream/pool.h"

/* What the administrator sees under /clusters. */
typedef struct mb_host_stats {
    uint64_t cx_total, cx_connect_fail;
    uint64_t rq_total, rq_success, rq_error, rq_timeout;
    uint32_t cx_active, rq_active;
} mb_host_stats;

/* How a host set is described: by STATIC endpoints, or by DNS answers. */
typedef struct mb_host_spec {
    mb_address address;
    uint32_t weight;
    mb_slice hostname; /* lives as long as the cluster */
} mb_host_spec;

struct mb_upstream_host {
    uint32_t refs;
    uint32_t weight;
    mb_cluster *cluster; /* one hold: its memory outlives the host */
    mb_address address;
    mb_slice hostname;
    mb_tls_client_maker tls; /* `context` NULL: clear text */
    mb_pool pool;
    mb_map others; /* pools of other kinds by their key; host.c */
    mb_host_stats stats;
};

/* One reference. NULL: out of memory. */
mb_upstream_host *mb_host_new(mb_cluster *cluster, const mb_host_spec *spec);
static inline mb_upstream_host *mb_host_ref(mb_upstream_host *host) {
    host->refs++;
    return host;
}
void mb_host_unref(mb_upstream_host *host);
/* The pool of connections that speak `protocol` (all but DOWNSTREAM) and begin with `proxy_header`
 * (may be empty), at most MB_HOST_PROXY_BYTES. For a request at once. NULL: out of memory. */
#define MB_HOST_PROXY_BYTES 256
mb_pool *mb_host_pool(mb_upstream_host *host, mb_upstream_protocol protocol, mb_slice proxy_header,
                      const mb_source *source);
/* mb_pool_drain for all of them. */
void mb_host_drain(mb_upstream_host *host);

#endif
