/* The default allocator: malloc, realloc, free. See alloc.h. */
#include "base/alloc.h"

#include <stdlib.h>

static void *malloc_alloc(void *ctx, size_t bytes) {
    (void)ctx;
    return malloc(bytes);
}

static void *malloc_resize(void *ctx, void *block, size_t old_bytes, size_t new_bytes) {
    (void)ctx;
    (void)old_bytes;
    return realloc(block, new_bytes);
}

static void malloc_free(void *ctx, void *block, size_t bytes) {
    (void)ctx;
    (void)bytes;
    free(block);
}

const mb_allocator *mb_allocator_default(void) {
    static const mb_allocator allocator = {
        .ctx = NULL,
        .alloc = malloc_alloc,
        .resize = malloc_resize,
        .free = malloc_free,
    };
    return &allocator;
}
