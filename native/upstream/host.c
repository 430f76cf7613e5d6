/*
 * Hosts: see host.h.
 */
#include "upstream/host.h"

#include "base/alloc.h"
#include "upstream/cluster_state.h"

static int init_tls(mb_upstream_host *host) {
    char ip[MB_ADDRESS_TEXT_BYTES];
    mb_tls_context *context = host->cluster->settings.tls;
    size_t length =
        host->address.sa.sa_family == AF_UNIX ? 0 : mb_address_host_text(&host->address, ip);

    return context == NULL ? MB_OK
                           : mb_tls_client_maker_init(&host->tls, context, host->hostname,
                                                      (mb_slice){ip, length});
}

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
    if (init_tls(host) != MB_OK) {
        mb_free(cluster->worker->allocator, host, sizeof *host);
        return NULL;
    }
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
    mb_tls_client_maker_fini(&host->tls);
    mb_free(cluster->worker->allocator, host, sizeof *host);
    mb__cluster_release(cluster);
}
