/*
 * Refreshing names and merging their addresses: see strict_dns.h.
 *
 * An answer without addresses (NXDOMAIN, no data) is counted and treated as a failure here: Envoy
 * drops all hosts then, we keep the last good ones, since an empty answer is far more often a
 * fault of the name server than the wish to have no upstream.
 */
#include "upstream/strict_dns.h"

#include "base/alloc.h"
#include "upstream/cluster_state.h"
#include "upstream/dns.h"

#define DEFAULT_REFRESH_US (5u * 1000u * 1000u)
/* A TTL of 0 must not make us ask without a pause. */
#define MIN_TTL_US (1000u * 1000u)

typedef struct dns_target {
    mb_dns_query query;
    mb_timer timer;
    mb_strict_dns *dns;
    const mb_endpoint *endpoint;
    char *name;            /* NUL-terminated, in the cluster's arena */
    mb_address *addresses; /* of the last good answer, with the port */
    uint32_t count;
    uint64_t backoff_us; /* of the next failure */
    bool answered;
} dns_target;

struct mb_strict_dns {
    mb_cluster *cluster;
    mb_resolver *resolver;
    dns_target *targets;
    uint32_t count;
    uint32_t unanswered;
};

static uint64_t refresh_us(const mb_dns_settings *settings) {
    return settings->refresh_us > 0 ? settings->refresh_us : DEFAULT_REFRESH_US;
}

static uint64_t jitter(mb_cluster *cluster, uint64_t up_to_us) {
    return up_to_us == 0 ? 0 : mb_random_u64(&cluster->worker->random) % (up_to_us + 1);
}

static void ask_after(dns_target *target, uint64_t after_us) {
    mb_loop_arm(target->dns->cluster->worker->loop, &target->timer, after_us);
}

static void schedule_refresh(dns_target *target, uint32_t ttl_s) {
    mb_cluster *cluster = target->dns->cluster;
    const mb_dns_settings *settings = &cluster->settings.dns;
    uint64_t pause_us = refresh_us(settings);

    if (settings->respect_ttl && ttl_s != UINT32_MAX) {
        pause_us = (uint64_t)ttl_s * 1000000u;
        pause_us = pause_us < MIN_TTL_US ? MIN_TTL_US : pause_us;
    }
    target->backoff_us = 0;
    ask_after(target, pause_us + jitter(cluster, settings->jitter_us));
}

/* Envoy's jittered back-off: a random pause up to a bound that doubles from base to max. */
static void schedule_retry(dns_target *target) {
    mb_cluster *cluster = target->dns->cluster;
    const mb_dns_settings *settings = &cluster->settings.dns;
    uint64_t base_us = settings->failure_base_us, max_us = settings->failure_max_us;

    if (base_us == 0) {
        ask_after(target, refresh_us(settings) + jitter(cluster, settings->jitter_us));
        return;
    }
    max_us = max_us < base_us ? base_us : max_us;
    if (target->backoff_us == 0) {
        target->backoff_us = base_us;
    } else {
        target->backoff_us = target->backoff_us < max_us / 2 ? target->backoff_us * 2 : max_us;
    }
    if (base_us == max_us) {
        ask_after(target, base_us);
    } else {
        ask_after(target, base_us / 2 + jitter(cluster, target->backoff_us - base_us / 2));
    }
}

/* -- merging ---------------------------------------------------------------------------------- */

/* The host set of all targets as they stand. MB_OK, 1: no change, MB_ENOMEM. */
static int merge(mb_strict_dns *dns) {
    const mb_allocator *allocator = dns->cluster->worker->allocator;
    uint32_t total = 0, at = 0;
    mb_host_spec *specs;
    int rc;

    for (uint32_t i = 0; i < dns->count; i++) {
        total += dns->targets[i].count;
    }
    if (total == 0) {
        return mb__cluster_set_hosts(dns->cluster, NULL, 0);
    }
    specs = mb_alloc(allocator, total * sizeof *specs);
    if (specs == NULL) {
        return MB_ENOMEM;
    }
    for (uint32_t i = 0; i < dns->count; i++) {
        const dns_target *target = &dns->targets[i];
        const mb_endpoint *endpoint = target->endpoint;

        for (uint32_t j = 0; j < target->count; j++) {
            specs[at++] = (mb_host_spec){.address = target->addresses[j],
                                         .weight = endpoint->weight > 0 ? endpoint->weight : 1,
                                         .hostname = endpoint->hostname.len > 0 ? endpoint->hostname
                                                                                : endpoint->host};
        }
    }
    rc = mb__cluster_set_hosts(dns->cluster, specs, total);
    mb_free(allocator, specs, total * sizeof *specs);
    return rc;
}

static void set_port(mb_address *address, uint16_t port) {
    if (address->sa.sa_family == AF_INET6) {
        address->in6.sin6_port = htons(port);
    } else {
        address->in.sin_port = htons(port);
    }
}

/* Takes the answer over as the target's addresses and merges. On failure all stays as it was. */
static int accept_answer(dns_target *target, const mb_address *addresses, uint32_t count) {
    const mb_allocator *allocator = target->dns->cluster->worker->allocator;
    mb_address *old = target->addresses, *fresh = mb_alloc(allocator, count * sizeof *fresh);
    uint32_t old_count = target->count;
    int rc;

    if (fresh == NULL) {
        return MB_ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        fresh[i] = addresses[i];
        set_port(&fresh[i], target->endpoint->port);
    }
    target->addresses = fresh;
    target->count = count;
    rc = merge(target->dns);
    if (rc < 0) {
        target->addresses = old;
        target->count = old_count;
        mb_free(allocator, fresh, count * sizeof *fresh);
    } else {
        mb_free(allocator, old, old_count * sizeof *old);
    }
    return rc;
}

static void mark_answered(dns_target *target) {
    if (!target->answered) {
        target->answered = true;
        target->dns->unanswered--;
    }
}

static void on_answer(mb_dns_query *query, mb_dns_status status, const mb_address *addresses,
                      uint32_t count, uint32_t ttl_s) {
    dns_target *target = (dns_target *)query;
    mb_cluster *cluster = target->dns->cluster;
    mb_slice name = cluster->settings.name;
    int rc = status == MB_DNS_OK ? accept_answer(target, addresses, count) : MB_EIO;

    mark_answered(target);
    if (rc >= 0) {
        mb_metric_inc(cluster->stats.update_success);
        if (rc > 0) {
            mb_metric_inc(cluster->stats.update_no_rebuild);
        }
        schedule_refresh(target, ttl_s);
        return;
    }
    mb_metric_inc(status == MB_DNS_EMPTY ? cluster->stats.update_empty
                                         : cluster->stats.update_failure);
    mb_worker_log(cluster->worker, MB_LOG_WARNING, "upstream",
                  "cluster '%.*s': '%s' was not resolved (%s); %u addresses are kept",
                  (int)name.len, name.ptr, target->name,
                  status == MB_DNS_EMPTY ? "no address" : "no answer", (unsigned)target->count);
    schedule_retry(target);
}

static void ask(dns_target *target) {
    mb_cluster *cluster = target->dns->cluster;

    mb_metric_inc(cluster->stats.update_attempt);
    if (mb_resolver_ask(target->dns->resolver, &target->query, target->name,
                        cluster->settings.dns.family) != MB_OK) {
        on_answer(&target->query, MB_DNS_FAILED, NULL, 0, 0);
    }
}

static void on_timer(mb_timer *timer) {
    ask(MB_LIST_ENTRY(timer, dns_target, timer));
}

/* -- life ------------------------------------------------------------------------------------- */

bool mb_strict_dns_answered(const mb_strict_dns *dns) {
    return dns->unanswered == 0;
}

void mb_strict_dns_free(mb_strict_dns *dns) {
    const mb_allocator *allocator = dns->cluster->worker->allocator;

    for (uint32_t i = 0; i < dns->count; i++) {
        dns_target *target = &dns->targets[i];

        mb_dns_cancel(&target->query);
        mb_loop_disarm(&target->timer);
        mb_free(allocator, target->addresses, target->count * sizeof *target->addresses);
    }
    if (dns->resolver != NULL) {
        mb_resolver_free(dns->resolver);
    }
    mb_free(allocator, dns->targets, dns->count * sizeof *dns->targets);
    mb_free(allocator, dns, sizeof *dns);
}

static int init_targets(mb_strict_dns *dns) {
    mb_cluster *cluster = dns->cluster;

    for (uint32_t i = 0; i < dns->count; i++) {
        dns_target *target = &dns->targets[i];

        target->query.on_answer = on_answer;
        target->timer.on_expire = on_timer;
        target->dns = dns;
        target->endpoint = &cluster->settings.endpoints[i];
        target->name = mb_arena_dup_z(&cluster->arena, target->endpoint->host);
        if (target->name == NULL) {
            return MB_ENOMEM;
        }
    }
    return MB_OK;
}

mb_strict_dns *mb_strict_dns_new(mb_cluster *cluster) {
    const mb_allocator *allocator = cluster->worker->allocator;
    uint32_t count = cluster->settings.endpoint_count;
    mb_strict_dns *dns = mb_zalloc(allocator, sizeof *dns);

    if (dns == NULL) {
        return NULL;
    }
    dns->cluster = cluster;
    dns->resolver = mb_resolver_new(cluster->worker, &cluster->settings.dns);
    dns->targets = count == 0 ? NULL : mb_zalloc(allocator, count * sizeof *dns->targets);
    if (dns->targets != NULL) {
        dns->count = dns->unanswered = count;
    }
    if (dns->resolver == NULL || (dns->targets == NULL && count > 0) ||
        init_targets(dns) != MB_OK) {
        mb_strict_dns_free(dns);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        ask(&dns->targets[i]);
    }
    return dns;
}
