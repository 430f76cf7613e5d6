/*
 * Load balancer: which host a request goes to. A small interface, so that further policies stand
 * beside round robin without anybody else knowing.
 *
 * A balancer borrows the hosts of its cluster; `update` tells it a new set.
 */
#ifndef MB_UPSTREAM_BALANCER_H
#define MB_UPSTREAM_BALANCER_H

#include "base/random.h"
#include "upstream/cluster.h"

typedef struct mb_balancer mb_balancer;

typedef struct mb_balancer_vtable {
    const char *name; /* Envoy's lb_policy in lower case */
    /* `hosts` stay where they are until the next update. MB_OK, or MB_ENOMEM: as before. */
    int (*update)(mb_balancer *balancer, mb_upstream_host *const *hosts, uint32_t count);
    mb_upstream_host *(*pick)(mb_balancer *balancer); /* NULL: no host */
    void (*free)(mb_balancer *balancer);
} mb_balancer_vtable;

struct mb_balancer {
    const mb_balancer_vtable *vtable;
};

static inline mb_upstream_host *mb_balancer_pick(mb_balancer *balancer) {
    return balancer->vtable->pick(balancer);
}

/* Round robin; hosts of unequal weight by earliest deadline first, as Envoy. Begins at a random
 * place, so that workers do not march in step. NULL: out of memory. */
mb_balancer *mb_round_robin_new(const mb_allocator *allocator, mb_random *random);

#endif
