/*
 * Arena: bump allocation that is freed at once. Every stream has one for changed header values,
 * filter state and metadata; every configuration snapshot has one for its whole model.
 *
 * Chunks of MB_ARENA_CHUNK_BYTES come from a free list shared by the arenas of a worker, so that
 * a request usually allocates nothing. Larger requests get a chunk of their own.
 */
#ifndef MB_BASE_ARENA_H
#define MB_BASE_ARENA_H

#include <moebridge/common.h>

#define MB_ARENA_CHUNK_BYTES 2048u

typedef struct mb_arena_chunk mb_arena_chunk;

/* Free chunks of a worker; bounded. */
typedef struct mb_arena_pool {
    const mb_allocator *allocator;
    mb_arena_chunk *free;
    uint32_t free_count, keep;
} mb_arena_pool;

typedef struct mb_arena {
    mb_arena_pool *pool;
    char *at, *end; /* the rest of the newest chunk */
    mb_arena_chunk *chunks;
} mb_arena;

void mb_arena_pool_init(mb_arena_pool *pool, const mb_allocator *allocator, uint32_t keep);
void mb_arena_pool_fini(mb_arena_pool *pool);

void mb_arena_init(mb_arena *arena, mb_arena_pool *pool);
/* Frees all; the arena may be used again. */
void mb_arena_clear(mb_arena *arena);
/* Aligned for any type, not zeroed. NULL: out of memory. Valid until clear. */
void *mb_arena_alloc(mb_arena *arena, size_t bytes);
void *mb_arena_zalloc(mb_arena *arena, size_t bytes);
/* Unaligned bytes, for text. */
char *mb_arena_bytes(mb_arena *arena, size_t bytes);
/* Copies a slice; `out->ptr` is NULL-safe for empty slices. MB_OK or MB_ENOMEM. */
int mb_arena_dup(mb_arena *arena, mb_slice text, mb_slice *out);
/* The same, with a NUL behind it. NULL: out of memory. */
char *mb_arena_dup_z(mb_arena *arena, mb_slice text);

#endif
