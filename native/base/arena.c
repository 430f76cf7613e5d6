/*
 * Arena: chunks and their free list. See arena.h.
 */
#include "base/arena.h"

#include "base/alloc.h"
#include "base/asan.h"

struct mb_arena_chunk {
    mb_arena_chunk *next;
    size_t bytes; /* with this header */
    alignas(max_align_t) char data[];
};

#define CHUNK_DATA_BYTES (MB_ARENA_CHUNK_BYTES - sizeof(mb_arena_chunk))
/* Above this a request gets a chunk for itself, so that the rest of the newest is not lost. */
#define OWN_CHUNK_ABOVE (CHUNK_DATA_BYTES / 4)

void mb_arena_pool_init(mb_arena_pool *pool, const mb_allocator *allocator, uint32_t keep) {
    *pool = (mb_arena_pool){.allocator = allocator, .keep = keep};
}

static void chunk_destroy(const mb_allocator *allocator, mb_arena_chunk *chunk) {
    MB_UNPOISON(chunk->data, chunk->bytes - sizeof(*chunk));
    mb_free(allocator, chunk, chunk->bytes);
}

void mb_arena_pool_fini(mb_arena_pool *pool) {
    while (pool->free != NULL) {
        mb_arena_chunk *next = pool->free->next;
        chunk_destroy(pool->allocator, pool->free);
        pool->free = next;
    }
    pool->free_count = 0;
}

void mb_arena_init(mb_arena *arena, mb_arena_pool *pool) {
    *arena = (mb_arena){.pool = pool};
}

void mb_arena_clear(mb_arena *arena) {
    mb_arena_pool *pool = arena->pool;
    mb_arena_chunk *chunk = arena->chunks;
    while (chunk != NULL) {
        mb_arena_chunk *next = chunk->next;
        if (chunk->bytes == MB_ARENA_CHUNK_BYTES && pool->free_count < pool->keep) {
            MB_POISON(chunk->data, chunk->bytes - sizeof(*chunk));
            chunk->next = pool->free;
            pool->free = chunk;
            pool->free_count++;
        } else {
            chunk_destroy(pool->allocator, chunk);
        }
        chunk = next;
    }
    mb_arena_init(arena, pool);
}

/* A chunk with `data_bytes` of data, first in the arena's list. NULL: out of memory. */
static mb_arena_chunk *chunk_new(mb_arena *arena, size_t data_bytes) {
    mb_arena_pool *pool = arena->pool;
    mb_arena_chunk *chunk = pool->free;
    if (data_bytes == CHUNK_DATA_BYTES && chunk != NULL) {
        pool->free = chunk->next;
        pool->free_count--;
        MB_UNPOISON(chunk->data, CHUNK_DATA_BYTES);
    } else {
        if (data_bytes > SIZE_MAX - sizeof(*chunk)) {
            return NULL;
        }
        chunk = mb_alloc(pool->allocator, sizeof(*chunk) + data_bytes);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->bytes = sizeof(*chunk) + data_bytes;
    }
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return chunk;
}

void *mb__arena_alloc_slow(mb_arena *arena, size_t bytes) {
    if (bytes == 0) {
        return mb_arena_alloc(arena, 1); /* NULL would mean out of memory */
    }
    if (bytes > OWN_CHUNK_ABOVE) {
        mb_arena_chunk *own = chunk_new(arena, bytes > CHUNK_DATA_BYTES ? bytes : CHUNK_DATA_BYTES);
        return own == NULL ? NULL : own->data;
    }
    mb_arena_chunk *chunk = chunk_new(arena, CHUNK_DATA_BYTES);
    if (chunk == NULL) {
        return NULL;
    }
    arena->at = chunk->data + bytes;
    arena->end = chunk->data + CHUNK_DATA_BYTES;
    return chunk->data;
}

char *mb__arena_bytes_slow(mb_arena *arena, size_t bytes) {
    return bytes == 0 ? mb_arena_bytes(arena, 1) : mb__arena_alloc_slow(arena, bytes);
}

void *mb_arena_zalloc(mb_arena *arena, size_t bytes) {
    void *block = mb_arena_alloc(arena, bytes);
    if (block != NULL) {
        memset(block, 0, bytes);
    }
    return block;
}

int mb_arena_dup(mb_arena *arena, mb_slice text, mb_slice *out) {
    if (text.len == 0) {
        *out = (mb_slice){"", 0};
        return MB_OK;
    }
    char *copy = mb_arena_bytes(arena, text.len);
    if (copy == NULL) {
        return MB_ENOMEM;
    }
    memcpy(copy, text.ptr, text.len);
    *out = (mb_slice){copy, text.len};
    return MB_OK;
}

char *mb_arena_dup_z(mb_arena *arena, mb_slice text) {
    if (text.len == SIZE_MAX) {
        return NULL;
    }
    char *copy = mb_arena_bytes(arena, text.len + 1);
    if (copy != NULL) {
        if (text.len > 0) {
            memcpy(copy, text.ptr, text.len);
        }
        copy[text.len] = '\0';
    }
    return copy;
}
