/*
 * The allocator behind an arena text: growing copies, freeing does nothing.
 */
#include "filter/arena_text.h"

static void *take(void *ctx, size_t bytes) {
    return mb_arena_alloc(ctx, bytes);
}

static void *grow(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    char *block = mb_arena_alloc(ctx, new_bytes);
    if (block != NULL && ptr != NULL) {
        memcpy(block, ptr, old_bytes < new_bytes ? old_bytes : new_bytes);
    }
    return block;
}

static void leave(void *ctx, void *ptr, size_t bytes) {
    (void)ctx;
    (void)ptr;
    (void)bytes;
}

void mb_arena_text_init(mb_arena_text *text, mb_arena *arena, size_t limit) {
    text->allocator = (mb_allocator){arena, take, grow, leave};
    mb_text_init(&text->text, &text->allocator, limit);
}
