/*
 * Header maps and buffers without a server, for tests and benchmarks of the objects themselves.
 */
#include "base/alloc.h"
#include "base/buffer.h"
#include "http/header_map.h"
#include <moebridge/core.h>

typedef struct standalone_headers {
    mb_headers headers; /* first */
    mb_arena_pool pool;
    mb_arena arena;
} standalone_headers;

mb_headers *mb_headers_new(void) {
    const mb_allocator *allocator = mb_allocator_default();
    standalone_headers *own = mb_zalloc(allocator, sizeof(*own));
    if (own == NULL) {
        return NULL;
    }
    mb_arena_pool_init(&own->pool, allocator, 0);
    mb_arena_init(&own->arena, &own->pool);
    mb_headers_init(&own->headers, &own->arena);
    return &own->headers;
}

void mb_headers_free(mb_headers *headers) {
    standalone_headers *own = (standalone_headers *)headers;
    if (own != NULL) {
        mb_arena_clear(&own->arena);
        mb_arena_pool_fini(&own->pool);
        mb_free(mb_allocator_default(), own, sizeof(*own));
    }
}

mb_buffer *mb_buffer_new(void) {
    const mb_allocator *allocator = mb_allocator_default();
    mb_buffer *buffer = mb_zalloc(allocator, sizeof(*buffer));
    mb_slab_pool *pool = buffer != NULL ? mb_slab_pool_new(allocator) : NULL;
    if (pool == NULL) {
        mb_free(allocator, buffer, sizeof(*buffer));
        return NULL;
    }
    mb_buffer_init(buffer, pool);
    return buffer;
}

void mb_buffer_free(mb_buffer *buffer) {
    if (buffer != NULL) {
        mb_slab_pool *pool = buffer->pool;
        mb_buffer_fini(buffer);
        mb_slab_pool_free(pool); /* leases that are out keep it */
        mb_free(mb_allocator_default(), buffer, sizeof(*buffer));
    }
}
