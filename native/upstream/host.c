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
    mb_pool_init(&host->pool, host,
                 cluster->settings.protocol == MB_UPSTREAM_DOWNSTREAM ? MB_UPSTREAM_HTTP1
                                                                      : cluster->settings.protocol);
    mb_map_init(&host->others, cluster->worker->allocator, mb_random_u64(&cluster->worker->random));
    mb__cluster_hold(cluster);
    return host;
}

/* -- pools of other kinds --------------------------------------------------------------------- */

/* `key`: the protocol as one byte, then the header. */
typedef struct other_pool {
    mb_pool pool; /* first */
    mb_task free_task;
    mb_source source; /* where pool.source points */
    size_t key_bytes;
    char key[];
} other_pool;

static void free_other(other_pool *other) {
    const mb_allocator *allocator = other->pool.host->cluster->worker->allocator;

    mb_loop_cancel(&other->free_task);
    mb_pool_fini(&other->pool);
    mb_free(allocator, other, sizeof *other + other->key_bytes);
}

static void run_free(mb_task *task) {
    other_pool *other = MB_LIST_ENTRY(task, other_pool, free_task);

    if (mb__pool_is_unused(&other->pool)) {
        mb_map_remove(&other->pool.host->others, (mb_slice){other->key, other->key_bytes});
        free_other(other);
    }
}

void mb__host_pool_unused(mb_pool *pool) {
    if (pool != &pool->host->pool) {
        mb_loop_defer(pool->host->cluster->worker->loop, MB_PHASE_FREE,
                      &((other_pool *)pool)->free_task);
    }
}

/* What a pool's connections have in common, as the key of the map. */
typedef struct pool_way {
    mb_upstream_protocol protocol;
    mb_slice proxy_header;
    const mb_source *source;
} pool_way;

#define KEY_BYTES (2 + MB_ADDRESS_TEXT_BYTES + sizeof(uint32_t) + MB_HOST_PROXY_BYTES)

/* Protocol, source and its mark, PROXY header. Returns the length; the header is at the end. */
static size_t write_key(const pool_way *way, char out[KEY_BYTES]) {
    size_t len = 2;
    out[0] = (char)way->protocol;
    out[1] = way->source != NULL;
    if (way->source != NULL) {
        len += mb_address_text(&way->source->address, out + len);
        memcpy(out + len, &way->source->mark, sizeof(way->source->mark));
        len += sizeof(way->source->mark);
    }
    if (way->proxy_header.len > 0) {
        memcpy(out + len, way->proxy_header.ptr, way->proxy_header.len);
    }
    return len + way->proxy_header.len;
}

static mb_pool *make_other(mb_upstream_host *host, const pool_way *way, mb_slice key) {
    const mb_allocator *allocator = host->cluster->worker->allocator;
    other_pool *other = mb_alloc(allocator, sizeof *other + key.len);

    if (other == NULL) {
        return NULL;
    }
    *other = (other_pool){.free_task.run = run_free, .key_bytes = key.len};
    memcpy(other->key, key.ptr, key.len);
    mb_pool_init(&other->pool, host, way->protocol);
    size_t header = way->proxy_header.len;
    other->pool.proxy_header = (mb_slice){other->key + key.len - header, header};
    if (way->source != NULL) {
        other->source = *way->source;
        other->pool.source = &other->source;
    }
    if (mb_map_set(&host->others, (mb_slice){other->key, key.len}, other, NULL) != MB_OK) {
        free_other(other);
        return NULL;
    }
    mb__host_pool_unused(&other->pool); /* should the request not come to it */
    return &other->pool;
}

mb_pool *mb_host_pool(mb_upstream_host *host, mb_upstream_protocol protocol, mb_slice proxy_header,
                      const mb_source *source) {
    const pool_way way = {protocol, proxy_header, source};
    char bytes[KEY_BYTES];

    if (protocol == host->pool.protocol && proxy_header.len == 0 && source == NULL) {
        return &host->pool;
    }
    mb_slice key = {bytes, write_key(&way, bytes)};
    mb_pool *pool = mb_map_get(&host->others, key);
    return pool != NULL ? pool : make_other(host, &way, key);
}

void mb_host_drain(mb_upstream_host *host) {
    const mb_map_entry *entry;
    size_t place = 0;

    mb_pool_drain(&host->pool);
    while ((entry = mb_map_next(&host->others, &place)) != NULL) {
        mb_pool_drain(entry->value);
    }
}

static void free_others(mb_upstream_host *host) {
    const mb_map_entry *entry;
    size_t place = 0;

    while ((entry = mb_map_next(&host->others, &place)) != NULL) {
        free_other(entry->value);
    }
    mb_map_fini(&host->others);
}

/* -- the end ---------------------------------------------------------------------------------- */

void mb_host_unref(mb_upstream_host *host) {
    mb_cluster *cluster = host->cluster;

    if (--host->refs > 0) {
        return;
    }
    free_others(host);
    mb_pool_fini(&host->pool);
    mb_tls_client_maker_fini(&host->tls);
    mb_free(cluster->worker->allocator, host, sizeof *host);
    mb__cluster_release(cluster);
}
