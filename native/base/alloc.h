/*
 * The injected allocator: short names for its calls, and the default one over malloc.
 *
 * Every part of the core that owns memory keeps a `const mb_allocator *` which outlives it, so
 * that a test can fail the n-th request. Sizes given back are those that were asked for.
 */
#ifndef MB_BASE_ALLOC_H
#define MB_BASE_ALLOC_H

#include <moebridge/common.h>
#include <string.h>

/* malloc, realloc, free. Thread: any. Valid for ever. */
const mb_allocator *mb_allocator_default(void);

/* NULL: out of memory. Aligned for any type, not zeroed. */
static inline void *mb_alloc(const mb_allocator *allocator, size_t bytes) {
    return allocator->alloc(allocator->ctx, bytes);
}

static inline void *mb_zalloc(const mb_allocator *allocator, size_t bytes) {
    void *block = mb_alloc(allocator, bytes);
    if (block != NULL) {
        memset(block, 0, bytes);
    }
    return block;
}

/* NULL: out of memory, and the old block is as it was. */
static inline void *mb_resize(const mb_allocator *allocator, void *block, size_t old_bytes,
                              size_t new_bytes) {
    return allocator->resize(allocator->ctx, block, old_bytes, new_bytes);
}

static inline void mb_free(const mb_allocator *allocator, void *block, size_t bytes) {
    if (block != NULL) {
        allocator->free(allocator->ctx, block, bytes);
    }
}

#endif
