/*
 * Round robin. With equal weights an index goes round. With unequal ones each host has a deadline,
 * the earliest is taken and comes again 1/weight later: a heap, O(log n) a pick, and even shares in
 * every stretch of picks, without bursts.
 */
#include "upstream/balancer.h"

#include "base/alloc.h"
#include "upstream/host.h"

typedef struct heap_entry {
    double deadline;
    uint32_t order; /* breaks ties: hosts of one weight keep their order */
    mb_upstream_host *host;
} heap_entry;

typedef struct round_robin {
    mb_balancer balancer;
    const mb_allocator *allocator;
    mb_random *random;
    mb_upstream_host *const *hosts;
    uint32_t count;
    uint32_t next;
    heap_entry *heap; /* `count` entries; NULL: the weights are equal */
} round_robin;

static bool before(const heap_entry *a, const heap_entry *b) {
    return a->deadline < b->deadline || (a->deadline == b->deadline && a->order < b->order);
}

static void sift_down(heap_entry *heap, uint32_t count, uint32_t at) {
    heap_entry moving = heap[at];

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= count) {
            break;
        }
        if (child + 1 < count && before(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!before(&heap[child], &moving)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

static mb_upstream_host *pick(mb_balancer *balancer) {
    round_robin *self = (round_robin *)balancer;
    mb_upstream_host *host;

    if (self->count == 0) {
        return NULL;
    }
    if (self->heap == NULL) {
        host = self->hosts[self->next];
        self->next = self->next + 1 < self->count ? self->next + 1 : 0;
        return host;
    }
    host = self->heap[0].host;
    self->heap[0].deadline += 1.0 / host->weight;
    sift_down(self->heap, self->count, 0);
    return host;
}

static bool equal_weights(mb_upstream_host *const *hosts, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        if (hosts[i]->weight != hosts[0]->weight) {
            return false;
        }
    }
    return true;
}

static int update(mb_balancer *balancer, mb_upstream_host *const *hosts, uint32_t count) {
    round_robin *self = (round_robin *)balancer;
    heap_entry *heap = NULL;

    if (!equal_weights(hosts, count)) {
        heap = mb_alloc(self->allocator, count * sizeof *heap);
        if (heap == NULL) {
            return MB_ENOMEM;
        }
        for (uint32_t i = 0; i < count; i++) {
            /* Each begins at another part of its own interval, or a heavy host would have all its
             * turns before the light ones have their first. */
            heap[i] = (heap_entry){(i + 1.0) / (count + 1.0) / hosts[i]->weight, i, hosts[i]};
        }
        for (uint32_t i = count / 2; i > 0; i--) {
            sift_down(heap, count, i - 1);
        }
    }
    mb_free(self->allocator, self->heap, self->count * sizeof *self->heap);
    self->heap = heap;
    self->hosts = hosts;
    self->count = count;
    self->next = count == 0 ? 0 : mb_random_below(self->random, count);
    for (uint32_t skip = self->next; heap != NULL && skip > 0; skip--) {
        (void)pick(balancer);
    }
    return MB_OK;
}

static void free_round_robin(mb_balancer *balancer) {
    round_robin *self = (round_robin *)balancer;

    mb_free(self->allocator, self->heap, self->count * sizeof *self->heap);
    mb_free(self->allocator, self, sizeof *self);
}

static const mb_balancer_vtable vtable = {
    .name = "round_robin", .update = update, .pick = pick, .free = free_round_robin};

mb_balancer *mb_round_robin_new(const mb_allocator *allocator, mb_random *random) {
    round_robin *self = mb_zalloc(allocator, sizeof *self);

    if (self == NULL) {
        return NULL;
    }
    self->balancer.vtable = &vtable;
    self->allocator = allocator;
    self->random = random;
    return &self->balancer;
}
