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
#include <stdalign.h>

#define MB_ARENA_CHUNK_BYTES 2048u /* with the chunk's own header */
#define MB_ARENA_ALIGN alignof(max_align_t)

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

/* Keeps at most `keep` free chunks. Every arena of the pool must be cleared before `fini`. */
void mb_arena_pool_init(mb_arena_pool *pool, const mb_allocator *allocator, uint32_t keep);
void mb_arena_pool_fini(mb_arena_pool *pool);

void mb_arena_init(mb_arena *arena, mb_arena_pool *pool);
/* Frees all; the arena may be used again. */
void mb_arena_clear(mb_arena *arena);

void *mb__arena_alloc_slow(mb_arena *arena, size_t bytes);
char *mb__arena_bytes_slow(mb_arena *arena, size_t bytes);

/* Aligned for any type, not zeroed; never NULL for 0 bytes. NULL: out of memory. Valid until
 * clear. */
static inline void *mb_arena_alloc(mb_arena *arena, size_t bytes) {
    size_t room = (size_t)(arena->end - arena->at);
    size_t pad = -(uintptr_t)arena->at & (MB_ARENA_ALIGN - 1);
    /* The subtraction sends 0 bytes to the slow path. */
    if (pad <= room && bytes - 1 < room - pad) {
        char *block = arena->at + pad;
        arena->at = block + bytes;
        return block;
    }
    return mb__arena_alloc_slow(arena, bytes);
}
void *mb_arena_zalloc(mb_arena *arena, size_t bytes);
/* Unaligned bytes, for text. */
static inline char *mb_arena_bytes(mb_arena *arena, size_t bytes) {
    if (bytes - 1 < (size_t)(arena->end - arena->at)) {
        char *block = arena->at;
        arena->at += bytes;
        return block;
    }
    return mb__arena_bytes_slow(arena, bytes);
}
/* Copies a slice; `out->ptr` is NULL-safe for empty slices. MB_OK or MB_ENOMEM. */
int mb_arena_dup(mb_arena *arena, mb_slice text, mb_slice *out);
/* The same, with a NUL behind it. NULL: out of memory. */
char *mb_arena_dup_z(mb_arena *arena, mb_slice text);

#endif
