/*
 * Hosts: see host.h.
 */
#include "upstream/host.h"

#include "base/alloc.h"
#include "upstream/cluster_state.h"

mb_upstream_host *mb_host_new(mb_cluster *cluster, const mb_host_spec *spec) {
    mb_upstream_host *host = mb_zalloc(cluster->worker->allocator, sizeof *host);

    if (host == NULL) {
        return NULL;
    }
    host->refs = 1;
    host->weight = spec->weight;
    host->cluster = cluster;
    host->address = spec->address;
    host->hostname = spec->hostname;
    mb_pool_init(&host->pool, host, cluster->settings.protocol);
    mb__cluster_hold(cluster);
    return host;
}

void mb_host_unref(mb_upstream_host *host) {
    mb_cluster *cluster = host->cluster;

    if (--host->refs > 0) {
        return;
    }
    mb_pool_fini(&host->pool);
    mb_free(cluster->worker->allocator, host, sizeof *host);
    mb__cluster_release(cluster);
}
