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

#include <moebridge/common.h>

/* Sizes without the header. Small slabs are shared by connections; large ones carry bulk. */
#define MB_SLAB_SMALL_BYTES (32u * 1024u - 64u)
#define MB_SLAB_LARGE_BYTES (256u * 1024u - 64u)

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

/* Both lists are bounded: beyond `keep` free slabs of a size they go back to the allocator. */
mb_slab_pool *mb_slab_pool_new(const mb_allocator *allocator);
/* Slabs still referenced (by leases) are orphaned: the last release frees slab and pool. */
void mb_slab_pool_free(mb_slab_pool *pool);

/* Lends at least `min_bytes` free bytes at the end of the current shared slab, or of a fresh one.
 * `*room` is what may be written. The slab is borrowed until the next call on the pool; commit
 * or ref to keep. Returns MB_OK or MB_ENOMEM. min_bytes <= MB_SLAB_LARGE_BYTES. */
int mb_slab_reserve(mb_slab_pool *pool, size_t min_bytes, mb_slab **slab, char **at, size_t *room);
/* A slab of its own for bulk reads, with one reference for the caller; NULL: out of memory. */
mb_slab *mb_slab_new_large(mb_slab_pool *pool);
static inline void mb_slab_commit(mb_slab *slab, size_t bytes)
{
    slab->used += (uint32_t)bytes;
}

void mb__slab_recycle(mb_slab *slab);
static inline mb_slab *mb_slab_ref(mb_slab *slab)
{
    slab->refs++;
    return slab;
}
static inline void mb_slab_unref(mb_slab *slab)
{
    if (--slab->refs == 0) {
        mb__slab_recycle(slab);
    }
}

/* Takes one counted lease on a slab. Worker only. A lease object comes from a free list of the
 * pool. NULL: out of memory. */
mb_lease *mb_slab_lease(mb_slab *slab);
/* Gives it back. Thread: any. On the worker's own thread it is immediate. */
void mb_slab_lease_release(mb_lease *lease);
/* Takes back what other threads released. Worker only; once an iteration. */
void mb_slab_pool_collect(mb_slab_pool *pool);

typedef struct mb_slab_stats {
    uint64_t live_small, live_large; /* slabs with references */
    uint64_t free_small, free_large; /* kept for reuse */
    uint64_t leases;                 /* out now */
} mb_slab_stats;
void mb_slab_pool_stats(const mb_slab_pool *pool, mb_slab_stats *out);

#endif
