/*
 * Map: slice -> pointer, open addressing. Keys and values are borrowed: a key's bytes must live
 * as long as the entry, usually inside the value or in a configuration's arena.
 *
 * Used where names come from a configuration or a module (clusters, virtual hosts, metrics,
 * filter names), with a seed per map so that nobody can choose keys that collide. Linear probing
 * with backward shift on removal: no tombstones, at most 3/4 full.
 */
#ifndef MB_BASE_MAP_H
#define MB_BASE_MAP_H

#include <moebridge/common.h>

typedef struct mb_map_entry {
    mb_slice key;
    void *value; /* NULL: the place is free */
    uint64_t hash;
} mb_map_entry;

typedef struct mb_map {
    const mb_allocator *allocator;
    mb_map_entry *entries; /* `capacity` places, a power of two, or NULL */
    size_t count;
    size_t capacity;
    uint64_t seed;
} mb_map;

/* Does not allocate. */
void mb_map_init(mb_map *map, const mb_allocator *allocator, uint64_t seed);
void mb_map_fini(mb_map *map);
/* Makes sure that `count` entries fit without allocating. MB_OK or MB_ENOMEM. */
int mb_map_reserve(mb_map *map, size_t count);
/* NULL: not there. */
void *mb_map_get(const mb_map *map, mb_slice key);
/* Adds an entry or replaces its value (and its key, by the new equal one). `*old` (may be NULL)
 * becomes the former value or NULL. MB_OK, MB_EINVAL for a NULL value, or MB_ENOMEM with the map
 * unchanged. */
int mb_map_set(mb_map *map, mb_slice key, void *value, void **old);
/* Returns the value that was there, or NULL. */
void *mb_map_remove(mb_map *map, mb_slice key);
static inline size_t mb_map_count(const mb_map *map) {
    return map->count;
}
/* Walks all entries in no particular order: start with `*place` 0. NULL behind the last. The map
 * must not change meanwhile. */
const mb_map_entry *mb_map_next(const mb_map *map, size_t *place);

/* The hash that maps use: XXH3, 64 bits. */
uint64_t mb_hash(mb_slice bytes, uint64_t seed);

#endif
