/*
 * Origin: see origin.h.
 */
#include "net/origin.h"

#include "base/alloc.h"
#include "base/msgpack.h"

mb_origin *mb_origin_new(const mb_allocator *allocator, mb_arena_pool *arenas) {
    mb_origin *origin = mb_zalloc(allocator, sizeof(*origin));
    if (origin != NULL) {
        origin->allocator = allocator;
        origin->refs = 1;
        mb_arena_init(&origin->arena, arenas);
    }
    return origin;
}

void mb_origin_unref(mb_origin *origin) {
    if (origin != NULL && --origin->refs == 0) {
        mb_arena_clear(&origin->arena);
        mb_free(origin->allocator, origin, sizeof(*origin));
    }
}

int mb_origin_add_metadata(mb_origin *origin, mb_slice space, mb_slice key, mb_slice text) {
    mb_text packed;
    mb_text_init(&packed, origin->allocator, SIZE_MAX);
    if (mb_text_is_utf8(text)) {
        mb_msgpack_put_str(&packed, text);
    } else {
        mb_msgpack_put_bin(&packed, text);
    }
    mb_origin_metadata *entry = mb_arena_zalloc(&origin->arena, sizeof(*entry));
    int result = entry == NULL ? MB_ENOMEM : packed.status;
    if (result == MB_OK) {
        result = mb_arena_dup(&origin->arena, mb_text_view(&packed), &entry->value);
    }
    mb_text_fini(&packed);
    if (result != MB_OK) {
        return MB_ENOMEM;
    }
    entry->space = space;
    entry->key = key;
    entry->next = origin->metadata;
    origin->metadata = entry;
    return MB_OK;
}
