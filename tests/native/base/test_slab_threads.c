/*
 * Leases across threads, for ThreadSanitizer: other threads release while the worker hands out
 * and collects, and while the pool is being freed. Nothing may leak or be freed twice.
 */
#include "base/slab.h"

#include "mbtest.h"

#include <pthread.h>
#include <stdlib.h>

enum { RELEASERS = 3, ROUNDS = 60, LEASES = 200 };

/* The harness' allocator counts without atomics; a lease's last release may be anywhere. */
typedef struct counting {
    mb_allocator allocator;
    _Atomic long outstanding;
} counting;

static void *counting_alloc(void *ctx, size_t bytes) {
    counting *self = ctx;
    atomic_fetch_add(&self->outstanding, 1);
    return malloc(bytes);
}

static void counting_free(void *ctx, void *ptr, size_t bytes) {
    counting *self = ctx;
    (void)bytes;
    atomic_fetch_sub(&self->outstanding, 1);
    free(ptr);
}

static void counting_init(counting *self) {
    *self = (counting){.allocator = {.alloc = counting_alloc, .free = counting_free}};
    self->allocator.ctx = self;
}

/* Leases on their way to the releasers: each slot is written once and taken once. */
typedef struct handover {
    _Atomic(mb_lease *) slots[LEASES];
    const char *bytes[LEASES];
    _Atomic int next;
    _Atomic bool wrong;
} handover;

static void *release_them(void *arg) {
    handover *shared = arg;
    for (;;) {
        int index = atomic_fetch_add(&shared->next, 1);
        if (index >= LEASES) {
            return NULL;
        }
        mb_lease *lease;
        while ((lease = atomic_load_explicit(&shared->slots[index], memory_order_acquire)) ==
               NULL) {
            sched_yield();
        }
        if (shared->bytes[index][0] != (char)index) {
            atomic_store(&shared->wrong, true);
        }
        mb_slab_lease_release(lease);
    }
}

static void hand_over(mb_slab_pool *pool, handover *shared, int index) {
    mb_slab *slab;
    char *at;
    size_t room;
    MB_CHECK_EQ_INT(mb_slab_reserve(pool, 700, &slab, &at, &room), MB_OK);
    memset(at, index, 700);
    mb_slab_commit(slab, 700);
    mb_slab_ref(slab);
    mb_lease *lease = mb_slab_lease(slab);
    MB_CHECK(lease != NULL);
    mb_slab_unref(slab);
    shared->bytes[index] = at;
    atomic_store_explicit(&shared->slots[index], lease, memory_order_release);
}

/* One life of a pool; `collect` takes releases back before the end, else they meet the free. */
static void live_once(bool collect) {
    counting memory;
    counting_init(&memory);
    handover *shared = calloc(1, sizeof(*shared));
    mb_slab_pool *pool = mb_slab_pool_new(&memory.allocator);
    pthread_t threads[RELEASERS];
    for (int i = 0; i < RELEASERS; i++) {
        MB_CHECK_EQ_INT(pthread_create(&threads[i], NULL, release_them, shared), 0);
    }
    for (int i = 0; i < LEASES; i++) {
        hand_over(pool, shared, i);
        if (collect && i % 7 == 0) {
            mb_slab_pool_collect(pool);
        }
    }
    mb_slab_pool_free(pool);
    for (int i = 0; i < RELEASERS; i++) {
        pthread_join(threads[i], NULL);
    }
    MB_CHECK(!atomic_load(&shared->wrong));
    MB_CHECK_EQ_INT(atomic_load(&memory.outstanding), 0);
    free(shared);
}

MB_TEST(releases_on_other_threads_come_back_to_the_worker) {
    for (int i = 0; i < ROUNDS; i++) {
        live_once(true);
    }
}

MB_TEST(releases_that_race_with_the_end_of_the_pool_free_it_once) {
    for (int i = 0; i < ROUNDS; i++) {
        live_once(false);
    }
}

typedef struct adopted {
    mb_slab_pool *pool;
    mb_lease *lease;
    uint64_t leases_after;
} adopted;

static void *run_adopted(void *arg) {
    adopted *shared = arg;
    mb_slab_stats stats;
    mb_slab_pool_adopt(shared->pool);
    mb_slab_lease_release(shared->lease);
    mb_slab_pool_stats(shared->pool, &stats);
    shared->leases_after = stats.leases;
    mb_slab *slab = mb_slab_new(shared->pool, 10);
    shared->lease = mb_slab_lease(slab);
    mb_slab_unref(slab);
    mb_slab_pool_disown(shared->pool);
    return NULL;
}

MB_TEST(pool_made_on_one_thread_can_be_run_on_another) {
    counting memory;
    counting_init(&memory);
    adopted shared = {.pool = mb_slab_pool_new(&memory.allocator)};
    mb_slab *slab = mb_slab_new(shared.pool, 10);
    shared.lease = mb_slab_lease(slab);
    mb_slab_unref(slab);
    pthread_t thread;
    MB_CHECK_EQ_INT(pthread_create(&thread, NULL, run_adopted, &shared), 0);
    pthread_join(thread, NULL);
    MB_CHECK_EQ_INT(shared.leases_after, 0);
    /* The thread is gone: its lease, released here, waits for who owns the pool next. */
    mb_slab_lease_release(shared.lease);
    mb_slab_pool_adopt(shared.pool);
    mb_slab_pool_collect(shared.pool);
    mb_slab_stats stats;
    mb_slab_pool_stats(shared.pool, &stats);
    MB_CHECK_EQ_INT(stats.leases, 0);
    mb_slab_pool_free(shared.pool);
    MB_CHECK_EQ_INT(atomic_load(&memory.outstanding), 0);
}
