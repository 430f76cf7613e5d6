/*
 * Slabs, their free lists, and leases. See slab.h for what they are.
 *
 * A lease released on another thread is pushed on `pool->returned`, a stack with many writers and
 * one reader who takes all of it at once, so there is no ABA problem. mb_slab_pool_free swaps the
 * mark ORPHANED into that stack: whoever finds it there owns what it releases and counts down
 * `orphans`; the last one frees the pool. The swap orders the worker's plain counts before the
 * atomic ones that follow.
 */
#include "base/slab.h"

#include "base/alloc.h"
#include "base/asan.h"

struct mb_lease {
    mb_slab_pool *pool;
    mb_slab *slab; /* one reference, or NULL */
    char *copy;    /* when not NULL: copy_bytes of the allocator, owned */
    size_t copy_bytes;
    mb_lease *next; /* free list or return stack */
};

static mb_lease *orphaned(mb_slab_pool *pool) {
    /* Never dereferenced as a lease; only its address differs from every lease's. */
    return (mb_lease *)(void *)pool;
}

static uintptr_t this_thread(void) {
    return (uintptr_t)pthread_self();
}

/* -- slabs -------------------------------------------------------------------------------- */

static void slab_destroy(const mb_allocator *allocator, mb_slab *slab) {
    MB_UNPOISON(slab->data, slab->capacity);
    mb_free(allocator, slab, sizeof(*slab) + slab->capacity);
}

static mb_slab *slab_take_free(mb_slab **list, uint32_t *count) {
    mb_slab *slab = *list;
    if (slab != NULL) {
        *list = slab->next;
        (*count)--;
        MB_UNPOISON(slab->data, slab->capacity);
    }
    return slab;
}

mb_slab *mb_slab_new(mb_slab_pool *pool, size_t bytes) {
    mb_slab *slab = NULL;
    size_t capacity = bytes;
    if (bytes <= MB_SLAB_SMALL_BYTES) {
        slab = slab_take_free(&pool->free_small, &pool->free_small_count);
        capacity = MB_SLAB_SMALL_BYTES;
    } else if (bytes <= MB_SLAB_LARGE_BYTES) {
        slab = slab_take_free(&pool->free_large, &pool->free_large_count);
        capacity = MB_SLAB_LARGE_BYTES;
    } else if (bytes > MB_SLAB_HUGE_BYTES_MAX) {
        return NULL;
    }
    if (slab == NULL) {
        slab = mb_alloc(pool->allocator, sizeof(*slab) + capacity);
        if (slab == NULL) {
            return NULL;
        }
    }
    *slab = (mb_slab){.refs = 1, .capacity = (uint32_t)capacity, .pool = pool};
    if (capacity == MB_SLAB_SMALL_BYTES) {
        pool->live_small++;
    } else {
        pool->live_large++;
    }
    return slab;
}

void mb__slab_recycle(mb_slab *slab) {
    mb_slab_pool *pool = slab->pool;
    if (slab->capacity == MB_SLAB_SMALL_BYTES) {
        pool->live_small--;
        if (pool->free_small_count < MB_SLAB_KEEP_SMALL) {
            slab->next = pool->free_small;
            pool->free_small = slab;
            pool->free_small_count++;
            MB_POISON(slab->data, slab->capacity);
            return;
        }
    } else {
        pool->live_large--;
        if (slab->capacity == MB_SLAB_LARGE_BYTES && pool->free_large_count < MB_SLAB_KEEP_LARGE) {
            slab->next = pool->free_large;
            pool->free_large = slab;
            pool->free_large_count++;
            MB_POISON(slab->data, slab->capacity);
            return;
        }
    }
    slab_destroy(pool->allocator, slab);
}

int mb_slab_reserve(mb_slab_pool *pool, size_t min_bytes, mb_slab **slab, char **at, size_t *room) {
    mb_slab *current = pool->current;
    if (current != NULL && current->refs == 1) {
        /* Nobody else holds a slice of it. */
        current->used = 0;
    }
    if (current == NULL || mb_slab_room(current) < min_bytes) {
        mb_slab *fresh = mb_slab_new(pool, min_bytes);
        if (fresh == NULL) {
            return MB_ENOMEM;
        }
        pool->current = fresh;
        if (current != NULL) {
            mb_slab_unref(current);
        }
        current = fresh;
    }
    MB_UNPOISON(current->data + current->used, mb_slab_room(current));
    *slab = current;
    *at = current->data + current->used;
    *room = mb_slab_room(current);
    return MB_OK;
}

/* -- leases ------------------------------------------------------------------------------- */

static mb_lease *lease_new(mb_slab_pool *pool) {
    mb_lease *lease = pool->free_leases;
    if (lease != NULL) {
        pool->free_leases = lease->next;
        pool->free_lease_count--;
    } else {
        lease = mb_alloc(pool->allocator, sizeof(*lease));
        if (lease == NULL) {
            return NULL;
        }
    }
    *lease = (mb_lease){.pool = pool};
    pool->leases++;
    return lease;
}

mb_lease *mb_slab_lease(mb_slab *slab) {
    mb_slab_pool *pool = slab->pool;
    mb_lease *lease = lease_new(pool);
    if (lease == NULL) {
        return NULL;
    }
    if (slab->leases++ == 0) {
        pool->leased_bytes += slab->capacity;
    }
    lease->slab = mb_slab_ref(slab);
    return lease;
}

/* Worker only. */
static void lease_take_back(mb_slab_pool *pool, mb_lease *lease) {
    mb_slab *slab = lease->slab;
    if (slab != NULL) {
        if (--slab->leases == 0) {
            pool->leased_bytes -= slab->capacity;
        }
        mb_slab_unref(slab);
    }
    mb_free(pool->allocator, lease->copy, lease->copy_bytes);
    pool->leases--;
    if (pool->free_lease_count < MB_SLAB_KEEP_LEASES) {
        lease->next = pool->free_leases;
        pool->free_leases = lease;
        pool->free_lease_count++;
    } else {
        mb_free(pool->allocator, lease, sizeof(*lease));
    }
}

int mb_slab_lease_bytes(mb_slab_pool *pool, mb_slab *slab, mb_slice bytes, mb_slice *out,
                        mb_lease **lease) {
    mb_lease *fresh = NULL;
    if (slab == NULL || bytes.len == 0) {
        fresh = lease_new(pool);
    } else if (slab->leases > 0 ||
               pool->leased_bytes + slab->capacity <= MB_SLAB_LEASED_BYTES_MAX) {
        fresh = mb_slab_lease(slab);
    } else {
        fresh = lease_new(pool);
        if (fresh != NULL) {
            fresh->copy = mb_alloc(pool->allocator, bytes.len);
            if (fresh->copy == NULL) {
                lease_take_back(pool, fresh);
                return MB_ENOMEM;
            }
            fresh->copy_bytes = bytes.len;
            memcpy(fresh->copy, bytes.ptr, bytes.len);
            pool->bytes_copied += bytes.len;
            bytes.ptr = fresh->copy;
        }
    }
    if (fresh == NULL) {
        return MB_ENOMEM;
    }
    *out = bytes;
    *lease = fresh;
    return fresh->copy != NULL;
}

/* One of `orphans` less; the last one takes the pool with it. Any thread. */
static void orphan_drop(mb_slab_pool *pool) {
    if (atomic_fetch_sub_explicit(&pool->orphans, 1, memory_order_acq_rel) == 1) {
        mb_free(pool->allocator, pool, sizeof(*pool));
    }
}

/* Any thread, after mb_slab_pool_free: only leases are left, each slab dies with its last one. */
static void orphan_release(mb_slab_pool *pool, mb_lease *lease) {
    mb_slab *slab = lease->slab;
    if (slab != NULL && __atomic_sub_fetch(&slab->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        slab_destroy(pool->allocator, slab);
    }
    mb_free(pool->allocator, lease->copy, lease->copy_bytes);
    mb_free(pool->allocator, lease, sizeof(*lease));
    orphan_drop(pool);
}

void mb_slab_lease_release(mb_lease *lease) {
    if (lease == NULL) {
        return;
    }
    mb_slab_pool *pool = lease->pool;
    if (atomic_load_explicit(&pool->owner, memory_order_relaxed) == this_thread()) {
        lease_take_back(pool, lease);
        return;
    }
    mb_lease *head = atomic_load_explicit(&pool->returned, memory_order_acquire);
    do {
        if (head == orphaned(pool)) {
            orphan_release(pool, lease);
            return;
        }
        lease->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&pool->returned, &head, lease,
                                                    memory_order_release, memory_order_acquire));
}

/* -- the pool ----------------------------------------------------------------------------- */

mb_slab_pool *mb_slab_pool_new(const mb_allocator *allocator) {
    mb_slab_pool *pool = mb_zalloc(allocator, sizeof(*pool));
    if (pool == NULL) {
        return NULL;
    }
    pool->allocator = allocator;
    pool->scan = mb_scan_select();
    atomic_init(&pool->owner, this_thread());
    atomic_init(&pool->returned, NULL);
    atomic_init(&pool->orphans, 0);
    return pool;
}

void mb_slab_pool_adopt(mb_slab_pool *pool) {
    atomic_store_explicit(&pool->owner, this_thread(), memory_order_relaxed);
}

void mb_slab_pool_disown(mb_slab_pool *pool) {
    atomic_store_explicit(&pool->owner, 0, memory_order_relaxed);
}

void mb_slab_pool_collect(mb_slab_pool *pool) {
    if (atomic_load_explicit(&pool->returned, memory_order_relaxed) == NULL) {
        return;
    }
    mb_lease *lease = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
    while (lease != NULL) {
        mb_lease *next = lease->next;
        lease_take_back(pool, lease);
        lease = next;
    }
}

static void free_slabs(const mb_allocator *allocator, mb_slab *slab) {
    while (slab != NULL) {
        mb_slab *next = slab->next;
        slab_destroy(allocator, slab);
        slab = next;
    }
}

void mb_slab_pool_free(mb_slab_pool *pool) {
    if (pool == NULL) {
        return;
    }
    mb_slab_pool_collect(pool);
    mb_slab *current = pool->current;
    pool->current = NULL;
    if (current != NULL) {
        mb_slab_unref(current);
    }
    free_slabs(pool->allocator, pool->free_small);
    free_slabs(pool->allocator, pool->free_large);
    while (pool->free_leases != NULL) {
        mb_lease *next = pool->free_leases->next;
        mb_free(pool->allocator, pool->free_leases, sizeof(*next));
        pool->free_leases = next;
    }
    mb_slab_pool_disown(pool);
    /* One more than are out keeps the pool alive until this function is through. */
    atomic_store_explicit(&pool->orphans, pool->leases + 1, memory_order_relaxed);
    mb_lease *lease =
        atomic_exchange_explicit(&pool->returned, orphaned(pool), memory_order_acq_rel);
    while (lease != NULL) {
        mb_lease *next = lease->next;
        orphan_release(pool, lease);
        lease = next;
    }
    orphan_drop(pool);
}

void mb_slab_pool_stats(const mb_slab_pool *pool, mb_slab_stats *out) {
    *out = (mb_slab_stats){
        .live_small = pool->live_small,
        .live_large = pool->live_large,
        .free_small = pool->free_small_count,
        .free_large = pool->free_large_count,
        .leases = pool->leases,
        .leased_bytes = pool->leased_bytes,
        .bytes_copied = pool->bytes_copied,
    };
}
