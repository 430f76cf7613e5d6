/*
 * What a cluster is made of, for the files of upstream/.
 */
#ifndef MB_UPSTREAM_CLUSTER_STATE_H
#define MB_UPSTREAM_CLUSTER_STATE_H

#include "http/h2_stats.h"
#include "upstream/balancer.h"
#include "upstream/circuit.h"
#include "upstream/cluster.h"
#include "upstream/cluster_stats.h"
#include "upstream/host.h"

struct mb_strict_dns; /* strict_dns.h */

struct mb_cluster {
    uint32_t refs;  /* configurations that name it */
    uint32_t holds; /* hosts in existence; memory goes when both are 0 */
    mb_worker *worker;
    mb_arena arena; /* of the settings' text */
    mb_cluster_settings settings;
    mb_upstream_host **hosts; /* one reference each */
    uint32_t host_count, host_capacity;
    mb_balancer *balancer;
    mb_circuit circuit;
    mb_cluster_stats stats;
    mb_h2_counters h2_counters; /* of all its connections */
    mb_h2_stats h2_stats;       /* where they are published, at the end of a turn */
    mb_task h2_task;
    bool h2_defined;
    struct mb_strict_dns *dns; /* NULL: STATIC */
};

static inline void mb__cluster_hold(mb_cluster *cluster) {
    cluster->holds++;
}
void mb__cluster_release(mb_cluster *cluster);

/* A codec of HTTP/2 may have counted something. */
static inline void mb__cluster_h2_changed(mb_cluster *cluster) {
    mb_loop_defer(cluster->worker->loop, MB_PHASE_NOTIFY, &cluster->h2_task);
}

/* Replaces the host set. Hosts of the same address stay the same object; a repeated address counts
 * once. The others drain. MB_OK; 1: nothing changed; MB_ENOMEM: the old set stays. */
int mb__cluster_set_hosts(mb_cluster *cluster, const mb_host_spec *specs, uint32_t count);

/* The next host by the load balancer, or NULL: there is none. Borrowed. */
static inline mb_upstream_host *mb__cluster_pick(mb_cluster *cluster) {
    return mb_balancer_pick(cluster->balancer);
}

#endif
