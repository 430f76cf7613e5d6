/*
 * Asks for memory that will be needed in some microseconds. With a thousand connections nothing of
 * one is in a cache when its turn comes, and each line of it would be waited for by itself.
 */
#ifndef MB_BASE_PREFETCH_H
#define MB_BASE_PREFETCH_H

#include <stddef.h>

#define MB_CACHE_LINE_BYTES 64

/* Any address will do: nothing is read. */
static inline void mb_prefetch(const void *start, size_t bytes) {
    for (size_t at = 0; at < bytes; at += MB_CACHE_LINE_BYTES) {
        __builtin_prefetch((const char *)start + at);
    }
}

#endif
