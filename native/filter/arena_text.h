/*
 * A text that grows in an arena: what it holds needs no free and lives as long as the arena. For
 * header values, paths and metadata that are put together for one stream.
 */
#ifndef MB_FILTER_ARENA_TEXT_H
#define MB_FILTER_ARENA_TEXT_H

#include "base/arena.h"
#include "base/text.h"

typedef struct mb_arena_text {
    mb_text text;
    mb_allocator allocator; /* text.allocator points here: do not move the struct */
} mb_arena_text;

/* Never to be ended with mb_text_fini; `limit` as of mb_text_init. */
void mb_arena_text_init(mb_arena_text *text, mb_arena *arena, size_t limit);

#endif
