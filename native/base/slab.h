/*
 * Slabs: refcounted blocks of bytes that belong to one worker. Everything that comes from or goes
 * to a socket lives in them once; header names, values and body pieces are slices of them.
 *
 * A slab is filled from the front: `mb_slab_reserve` lends the free tail of the pool's current
 * slab, `mb_slab_commit` makes a part of it permanent. Committed bytes never change again (the
 * parser lower-cases header names before anybody else sees them), so a slab can be shared by
 * many connections and a slice can be lent to other threads.
 *
 * Threads: counts are plain and belong to the worker. A lease (filter.h) is one count that may
 * be given back on any thread: it goes to the pool's lock-free return list, which the worker
 * empties. Called by net/ (reading), http/ (writing heads), base/buffer.
 */
#ifndef MB_BASE_SLAB_H
#define MB_BASE_SLAB_H

#include "base/asan.h"
#include "base/scan.h"
#include <moebridge/filter.h>
#include <pthread.h>
#include <stdatomic.h>

/* Sizes without the header. Small slabs are shared by connections; large ones carry bulk. A
 * slab beyond LARGE is made for one joined body and never kept for reuse. */
#define MB_SLAB_SMALL_BYTES (32u * 1024u - 64u)
#define MB_SLAB_LARGE_BYTES (256u * 1024u - 64u)
#define MB_SLAB_HUGE_BYTES_MAX (1u << 31)
/* Free slabs of a pool beyond these go back to the allocator. */
#define MB_SLAB_KEEP_SMALL 128
#define MB_SLAB_KEEP_LARGE 16
#define MB_SLAB_KEEP_LEASES 1024
/* Capacity of slabs that leases may pin in one pool; past it a lease owns a copy of its bytes. */
#define MB_SLAB_LEASED_BYTES_MAX (64u * 1024u * 1024u)

typedef struct mb_slab_pool mb_slab_pool;

typedef struct mb_slab {
    uint32_t refs;     /* plain; worker only */
    uint32_t capacity; /* bytes in data */
    uint32_t used;     /* committed bytes from the front */
    uint32_t leases;   /* counts of `refs` that are leases, for the cap; worker only */
    mb_slab_pool *pool;
    struct mb_slab *next; /* free list */
    char data[];
} mb_slab;

/* Public for the inline functions here; touched by slab.c and buffer.c only. */
struct mb_slab_pool {
    const mb_allocator *allocator;
    const mb_scan_ops *scan; /* for the buffers of this pool */
    mb_slab *current;        /* shared by all who reserve; the pool holds one reference, or NULL */
    mb_slab *free_small, *free_large;
    mb_lease *free_leases;
    uint32_t free_small_count, free_large_count, free_lease_count;
    uint64_t live_small, live_large; /* slabs with references; large counts huge ones too */
    uint64_t leases;                 /* lease objects out, those not collected yet included */
    uint64_t leased_bytes;           /* capacity of the slabs that leases pin */
    uint64_t bytes_copied;           /* statistic: bytes of bodies that filters had copied */
    /* The worker as uintptr_t of its pthread_t; 0 while no thread is. */
    _Atomic uintptr_t owner;
    _Atomic(mb_lease *) returned; /* stack of what other threads gave back */
    _Atomic uint64_t orphans;     /* after mb_slab_pool_free: leases still out */
};

/* The calling thread becomes the worker. The allocator must outlive every lease, and where a
 * lease may outlive the pool, be callable from any thread. NULL: out of memory. */
mb_slab_pool *mb_slab_pool_new(const mb_allocator *allocator);
/* Slabs still referenced by leases are orphaned: the last release, on whichever thread, frees
 * what is left. No other reference may be out. */
void mb_slab_pool_free(mb_slab_pool *pool);
/* The calling thread becomes the worker (a server may be made on one thread and run on another).
 * The former worker must have stopped using the pool. */
void mb_slab_pool_adopt(mb_slab_pool *pool);
/* No thread is the worker until the next adopt: call it at the end of a worker thread, since the
 * system may give its identity to a new one. */
void mb_slab_pool_disown(mb_slab_pool *pool);

/* Lends at least `min_bytes` free bytes at the end of the current shared slab, or of a fresh one.
 * `*room` is what may be written. Commit and take a reference before the next call on the pool:
 * a current slab without other references is filled from its front again, which keeps it in the
 * processor's cache. Returns MB_OK or MB_ENOMEM. min_bytes <= MB_SLAB_LARGE_BYTES. */
int mb_slab_reserve(mb_slab_pool *pool, size_t min_bytes, mb_slab **slab, char **at, size_t *room);
/* A slab of its own with room for at least `bytes` (small, large, or beyond that exact), with one
 * reference for the caller. NULL: out of memory, or more than MB_SLAB_HUGE_BYTES_MAX. */
mb_slab *mb_slab_new(mb_slab_pool *pool, size_t bytes);
static inline mb_slab *mb_slab_new_large(mb_slab_pool *pool) {
    return mb_slab_new(pool, MB_SLAB_LARGE_BYTES);
}
static inline void mb_slab_commit(mb_slab *slab, size_t bytes) {
    slab->used += (uint32_t)bytes;
}
/* Free bytes behind what is committed. */
static inline size_t mb_slab_room(const mb_slab *slab) {
    return slab->capacity - slab->used;
}

void mb__slab_recycle(mb_slab *slab);
static inline mb_slab *mb_slab_ref(mb_slab *slab) {
    slab->refs++;
    return slab;
}
static inline void mb_slab_unref(mb_slab *slab) {
    if (--slab->refs == 0) {
        mb__slab_recycle(slab);
        return;
    }
#ifdef MB_HAS_ASAN
    if (slab->refs == 1 && slab == slab->pool->current) {
        MB_POISON(slab->data, slab->used); /* only the pool is left: nobody has a slice of it */
    }
#endif
}

/* Takes one counted lease on a slab, whatever the cap says. Worker only. A lease object comes
 * from a free list of the pool. NULL: out of memory. */
mb_lease *mb_slab_lease(mb_slab *slab);
/* Takes a lease on `bytes` of `slab` and says in `*out` where they are: there, or in a copy of
 * the lease's own when the pool's cap is reached. `slab` NULL: bytes that outlive everything.
 * Returns MB_OK, or 1 when copied, or MB_ENOMEM. Worker only. */
int mb_slab_lease_bytes(mb_slab_pool *pool, mb_slab *slab, mb_slice bytes, mb_slice *out,
                        mb_lease **lease);
/* Gives it back; NULL is allowed. Thread: any. On the worker's own thread it is immediate. */
void mb_slab_lease_release(mb_lease *lease);
/* Takes back what other threads released. Worker only; once an iteration. */
void mb_slab_pool_collect(mb_slab_pool *pool);

typedef struct mb_slab_stats {
    uint64_t live_small, live_large; /* slabs with references */
    uint64_t free_small, free_large; /* kept for reuse */
    uint64_t leases;                 /* out now */
    uint64_t leased_bytes;           /* capacity they pin */
    uint64_t bytes_copied;           /* since the beginning, for filters */
} mb_slab_stats;
void mb_slab_pool_stats(const mb_slab_pool *pool, mb_slab_stats *out);

#endif
