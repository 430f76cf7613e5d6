/*
 * Host: one address of a cluster, with its pool of connections and its own counters.
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
    mb_host_stats stats;
};

/* One reference. NULL: out of memory. */
mb_upstream_host *mb_host_new(mb_cluster *cluster, const mb_host_spec *spec);
static inline mb_upstream_host *mb_host_ref(mb_upstream_host *host) {
    host->refs++;
    return host;
}
void mb_host_unref(mb_upstream_host *host);

#endif
