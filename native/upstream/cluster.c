/*
 * Making and ending clusters, and their host sets: see cluster.h and cluster_state.h.
 */
#include "upstream/cluster.h"

#include "base/alloc.h"
#include "upstream/cluster_state.h"
#include "upstream/strict_dns.h"

/* Of HTTP/2: what of a connection's output, and of one stream's body, may wait; streams. */
#define MB_UPSTREAM_H2_BYTES (64u * 1024u)
#define MB_UPSTREAM_H2_STREAMS 1024u

/* -- host sets -------------------------------------------------------------------------------- */

static size_t hosts_bytes(uint32_t count) {
    return count * sizeof(mb_upstream_host *);
}

static mb_upstream_host *find_host(mb_upstream_host *const *hosts, uint32_t count,
                                   const mb_address *address) {
    for (uint32_t i = 0; i < count; i++) {
        if (mb_address_equal(&hosts[i]->address, address)) {
            return hosts[i];
        }
    }
    return NULL;
}

static void drop_hosts(mb_cluster *cluster, mb_upstream_host **hosts, uint32_t count,
                       uint32_t capacity) {
    for (uint32_t i = 0; i < count; i++) {
        mb_host_unref(hosts[i]);
    }
    mb_free(cluster->worker->allocator, hosts, hosts_bytes(capacity));
}

/* Fills `hosts` with a reference on each. Returns how many, or MB_ENOMEM with none left. */
static int64_t make_hosts(mb_cluster *cluster, const mb_host_spec *specs, uint32_t count,
                          mb_upstream_host **hosts) {
    uint32_t made = 0;

    for (uint32_t i = 0; i < count; i++) {
        mb_upstream_host *host = find_host(cluster->hosts, cluster->host_count, &specs[i].address);

        if (find_host(hosts, made, &specs[i].address) != NULL) {
            continue;
        }
        host = host != NULL ? mb_host_ref(host) : mb_host_new(cluster, &specs[i]);
        if (host == NULL) {
            drop_hosts(cluster, hosts, made, count);
            return MB_ENOMEM;
        }
        hosts[made++] = host;
    }
    return made;
}

static bool same_hosts(const mb_cluster *cluster, mb_upstream_host *const *hosts, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (find_host(cluster->hosts, cluster->host_count, &hosts[i]->address) != hosts[i]) {
            return false;
        }
    }
    return count == cluster->host_count;
}

/* Moves the cluster to the new set and lets the hosts that are not in it go. */
static void replace_hosts(mb_cluster *cluster, mb_upstream_host **hosts, uint32_t count,
                          uint32_t capacity) {
    mb_upstream_host **old = cluster->hosts;
    uint32_t old_count = cluster->host_count, old_capacity = cluster->host_capacity;

    cluster->hosts = hosts;
    cluster->host_count = count;
    cluster->host_capacity = capacity;
    for (uint32_t i = 0; i < old_count; i++) {
        if (find_host(hosts, count, &old[i]->address) != old[i]) {
            mb_host_drain(old[i]);
        }
    }
    drop_hosts(cluster, old, old_count, old_capacity);
    mb_metric_set(cluster->stats.membership_total, count);
    mb_metric_set(cluster->stats.membership_healthy, count);
    mb_metric_inc(cluster->stats.membership_change);
}

int mb__cluster_set_hosts(mb_cluster *cluster, const mb_host_spec *specs, uint32_t count) {
    mb_upstream_host **hosts = NULL;
    int64_t made;

    if (count > 0) {
        hosts = mb_alloc(cluster->worker->allocator, hosts_bytes(count));
        if (hosts == NULL) {
            return MB_ENOMEM;
        }
    }
    made = make_hosts(cluster, specs, count, hosts);
    if (made < 0) {
        return MB_ENOMEM;
    }
    if (same_hosts(cluster, hosts, (uint32_t)made)) {
        drop_hosts(cluster, hosts, (uint32_t)made, count);
        return 1;
    }
    if (cluster->balancer->vtable->update(cluster->balancer, hosts, (uint32_t)made) != MB_OK) {
        drop_hosts(cluster, hosts, (uint32_t)made, count);
        return MB_ENOMEM;
    }
    replace_hosts(cluster, hosts, (uint32_t)made, count);
    return MB_OK;
}

static int parse_endpoint(const mb_endpoint *endpoint, mb_address *out) {
    return endpoint->path.len > 0 ? mb_address_unix(endpoint->path, out)
                                  : mb_address_parse(endpoint->host, endpoint->port, out);
}

static int set_static_hosts(mb_cluster *cluster) {
    const mb_cluster_settings *settings = &cluster->settings;
    const mb_allocator *allocator = cluster->worker->allocator;
    uint32_t total = settings->endpoint_count, count = 0;
    mb_host_spec *specs;
    int rc;

    if (total == 0) {
        return MB_OK;
    }
    specs = mb_alloc(allocator, total * sizeof *specs);
    if (specs == NULL) {
        return MB_ENOMEM;
    }
    for (uint32_t i = 0; i < total; i++) {
        const mb_endpoint *endpoint = &settings->endpoints[i];
        mb_host_spec *spec = &specs[count];

        spec->weight = endpoint->weight > 0 ? endpoint->weight : 1;
        spec->hostname = endpoint->hostname;
        if (parse_endpoint(endpoint, &spec->address) == MB_OK) {
            count++;
        } else {
            mb_slice text = endpoint->path.len > 0 ? endpoint->path : endpoint->host;

            mb_worker_log(cluster->worker, MB_LOG_ERROR, "upstream",
                          "cluster '%.*s': '%.*s' is neither a numeric address nor a socket's path",
                          (int)settings->name.len, settings->name.ptr, (int)text.len, text.ptr);
        }
    }
    rc = mb__cluster_set_hosts(cluster, specs, count);
    mb_free(allocator, specs, total * sizeof *specs);
    return rc < 0 ? rc : MB_OK;
}

/* -- settings --------------------------------------------------------------------------------- */

static int copy_endpoints(mb_arena *arena, mb_cluster_settings *settings) {
    mb_endpoint *copies = mb_arena_alloc(arena, settings->endpoint_count * sizeof *copies);
    int rc = copies == NULL ? MB_ENOMEM : MB_OK;

    for (uint32_t i = 0; i < settings->endpoint_count && rc == MB_OK; i++) {
        const mb_endpoint *from = &settings->endpoints[i];

        copies[i] = *from;
        rc = mb_arena_dup(arena, from->host, &copies[i].host);
        if (rc == MB_OK) {
            rc = mb_arena_dup(arena, from->path, &copies[i].path);
        }
        if (rc == MB_OK) {
            rc = mb_arena_dup(arena, from->hostname, &copies[i].hostname);
        }
    }
    settings->endpoints = copies;
    return rc;
}

/* `settings` is a plain copy of the caller's; its pointers become our own. */
static int own_settings(mb_arena *arena, mb_cluster_settings *settings) {
    mb_slice stat_name = settings->stat_name.len > 0 ? settings->stat_name : settings->name;
    int rc = mb_arena_dup(arena, settings->name, &settings->name);

    if (rc == MB_OK) {
        rc = mb_arena_dup(arena, stat_name, &settings->stat_name);
    }
    if (rc == MB_OK) {
        rc = mb_arena_dup(arena, settings->codec.default_host, &settings->codec.default_host);
    }
    if (rc == MB_OK && settings->dns.servers != NULL) {
        settings->dns.servers =
            mb_arena_dup_z(arena, (mb_slice){settings->dns.servers, strlen(settings->dns.servers)});
        rc = settings->dns.servers == NULL ? MB_ENOMEM : MB_OK;
    }
    if (rc == MB_OK && settings->endpoint_count > 0) {
        rc = copy_endpoints(arena, settings);
    }
    return rc;
}

/* "cluster.<name>." with ':' as '_', as Envoy writes it. */
static int define_stats(mb_cluster *cluster) {
    static const char head[] = "cluster.";
    mb_slice name = cluster->settings.stat_name;
    size_t length = sizeof head - 1 + name.len + 1;
    char *text = mb_arena_bytes(&cluster->arena, length);

    if (text == NULL) {
        return MB_ENOMEM;
    }
    memcpy(text, head, sizeof head - 1);
    for (size_t i = 0; i < name.len; i++) {
        text[sizeof head - 1 + i] = name.ptr[i] == ':' ? '_' : name.ptr[i];
    }
    text[length - 1] = '.';
    if (cluster->settings.tls != NULL) {
        int counted = mb_tls_context_count_as(cluster->settings.tls, cluster->worker->stats,
                                              (mb_slice){text, length});
        if (counted < 0) {
            return counted;
        }
    }
    int rc =
        mb_cluster_stats_define(cluster->worker->stats, (mb_slice){text, length}, &cluster->stats);
    if (rc != MB_OK || cluster->settings.protocol == MB_UPSTREAM_HTTP1) {
        return rc;
    }
    rc = mb_h2_stats_define(cluster->worker->stats, (mb_slice){text, length}, &cluster->h2_stats);
    cluster->h2_defined = rc == MB_OK;
    return rc;
}

static void publish_h2(mb_task *task) {
    mb_cluster *cluster = MB_LIST_ENTRY(task, mb_cluster, h2_task);

    mb_h2_stats_publish(&cluster->h2_stats, &cluster->h2_counters);
}

/* What HTTP/2 is told beyond the settings: bounds are the watermarks' where those are lower. */
static void complete_h2(mb_cluster *cluster) {
    mb_h2_options *h2 = &cluster->settings.codec.h2;
    size_t limit = cluster->settings.buffer_limit_bytes;
    uint32_t bytes =
        limit > 0 && limit < MB_UPSTREAM_H2_BYTES ? (uint32_t)limit : MB_UPSTREAM_H2_BYTES;

    cluster->h2_task.run = publish_h2;
    h2->counters = &cluster->h2_counters;
    h2->clock = cluster->worker->clock;
    h2->output_bytes = h2->stream_buffer_bytes = bytes;
    if (h2->max_concurrent_streams == 0) {
        h2->max_concurrent_streams = MB_UPSTREAM_H2_STREAMS;
    }
}

static void init_circuit(mb_cluster *cluster) {
    const mb_circuit_limits *limits = &cluster->settings.limits;
    mb_circuit *circuit = &cluster->circuit;

    mb_breaker_init(&circuit->connections, limits->max_connections, cluster->stats.cx_open);
    mb_breaker_init(&circuit->pending, limits->max_pending_requests,
                    cluster->stats.rq_pending_open);
    mb_breaker_init(&circuit->requests, limits->max_requests, cluster->stats.rq_open);
    mb_breaker_init(&circuit->retries, limits->max_retries, cluster->stats.rq_retry_open);
}

/* -- life ------------------------------------------------------------------------------------- */

static void destroy(mb_cluster *cluster) {
    const mb_allocator *allocator = cluster->worker->allocator;

    mb_loop_cancel(&cluster->h2_task);
    if (cluster->h2_defined) {
        mb_h2_stats_publish(&cluster->h2_stats, &cluster->h2_counters);
    }
    if (cluster->balancer != NULL) {
        cluster->balancer->vtable->free(cluster->balancer);
    }
    mb_tls_context_unref(cluster->settings.tls);
    mb_arena_clear(&cluster->arena);
    mb_free(allocator, cluster, sizeof *cluster);
}

void mb__cluster_release(mb_cluster *cluster) {
    if (--cluster->holds == 0 && cluster->refs == 0) {
        destroy(cluster);
    }
}

void mb_cluster_unref(mb_cluster *cluster) {
    if (--cluster->refs > 0) {
        return;
    }
    mb__cluster_hold(cluster);
    if (cluster->dns != NULL) {
        mb_strict_dns_free(cluster->dns);
        cluster->dns = NULL;
    }
    for (uint32_t i = 0; i < cluster->host_count; i++) {
        mb_host_drain(cluster->hosts[i]);
    }
    drop_hosts(cluster, cluster->hosts, cluster->host_count, cluster->host_capacity);
    cluster->hosts = NULL;
    cluster->host_count = cluster->host_capacity = 0;
    if (cluster->balancer != NULL) {
        (void)cluster->balancer->vtable->update(cluster->balancer, NULL, 0);
    }
    mb__cluster_release(cluster);
}

static int start(mb_cluster *cluster) {
    int rc = own_settings(&cluster->arena, &cluster->settings);

    if (rc == MB_OK) {
        rc = define_stats(cluster);
    }
    if (rc != MB_OK) {
        return rc;
    }
    init_circuit(cluster);
    complete_h2(cluster);
    cluster->balancer = mb_round_robin_new(cluster->worker->allocator, &cluster->worker->random);
    if (cluster->balancer == NULL) {
        return MB_ENOMEM;
    }
    if (!cluster->settings.strict_dns) {
        return set_static_hosts(cluster);
    }
    cluster->dns = mb_strict_dns_new(cluster);
    return cluster->dns == NULL ? MB_ENOMEM : MB_OK;
}

mb_cluster *mb_cluster_new(mb_worker *worker, const mb_cluster_settings *settings) {
    mb_cluster *cluster = mb_zalloc(worker->allocator, sizeof *cluster);

    if (cluster == NULL) {
        return NULL;
    }
    cluster->refs = 1;
    cluster->worker = worker;
    cluster->settings = *settings;
    if (settings->tls != NULL) {
        mb_tls_context_ref(settings->tls);
    }
    mb_arena_init(&cluster->arena, &worker->arenas);
    if (start(cluster) != MB_OK) {
        mb_cluster_unref(cluster);
        return NULL;
    }
    return cluster;
}

mb_cluster *mb_cluster_ref(mb_cluster *cluster) {
    cluster->refs++;
    return cluster;
}

mb_slice mb_cluster_name(const mb_cluster *cluster) {
    return cluster->settings.name;
}

uint64_t mb_cluster_settings_hash(const mb_cluster *cluster) {
    return cluster->settings.settings_hash;
}

bool mb_cluster_warm(const mb_cluster *cluster) {
    return cluster->dns == NULL || mb_strict_dns_answered(cluster->dns);
}

uint32_t mb_cluster_host_count(const mb_cluster *cluster) {
    return cluster->host_count;
}

const mb_upstream_host *mb_cluster_host(const mb_cluster *cluster, uint32_t index) {
    return cluster->hosts[index];
}
