/*
 * Map: probing, growth, removal. See map.h.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/map.h"

#include "base/alloc.h"
#include "base/slice.h"

#define FIRST_CAPACITY 8u

uint64_t mb_hash(mb_slice bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes.len > 0 ? bytes.ptr : "", bytes.len, seed);
}

void mb_map_init(mb_map *map, const mb_allocator *allocator, uint64_t seed) {
    *map = (mb_map){.allocator = allocator, .seed = seed};
}

void mb_map_fini(mb_map *map) {
    mb_free(map->allocator, map->entries, map->capacity * sizeof(*map->entries));
    mb_map_init(map, map->allocator, map->seed);
}

/* The place of `key`, or the free one where it would go. Needs a free place. */
static mb_map_entry *place_of(const mb_map *map, mb_slice key, uint64_t hash) {
    size_t mask = map->capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        mb_map_entry *entry = &map->entries[i];
        if (entry->value == NULL || (entry->hash == hash && mb_slice_equal(entry->key, key))) {
            return entry;
        }
    }
}

static int resize(mb_map *map, size_t capacity) {
    if (capacity > SIZE_MAX / sizeof(*map->entries)) {
        return MB_ENOMEM;
    }
    mb_map wider = *map;
    wider.capacity = capacity;
    wider.entries = mb_zalloc(map->allocator, capacity * sizeof(*map->entries));
    if (wider.entries == NULL) {
        return MB_ENOMEM;
    }
    for (size_t i = 0; i < map->capacity; i++) {
        const mb_map_entry *entry = &map->entries[i];
        if (entry->value != NULL) {
            *place_of(&wider, entry->key, entry->hash) = *entry;
        }
    }
    mb_free(map->allocator, map->entries, map->capacity * sizeof(*map->entries));
    *map = wider;
    return MB_OK;
}

int mb_map_reserve(mb_map *map, size_t count) {
    size_t capacity = map->capacity > 0 ? map->capacity : FIRST_CAPACITY;
    while (capacity - capacity / 4 < count) {
        if (capacity > SIZE_MAX / 2) {
            return MB_ENOMEM;
        }
        capacity *= 2;
    }
    return capacity > map->capacity ? resize(map, capacity) : MB_OK;
}

void *mb_map_get(const mb_map *map, mb_slice key) {
    return map->count == 0 ? NULL : place_of(map, key, mb_hash(key, map->seed))->value;
}

int mb_map_set(mb_map *map, mb_slice key, void *value, void **old) {
    if (value == NULL) {
        return MB_EINVAL;
    }
    uint64_t hash = mb_hash(key, map->seed);
    mb_map_entry *entry = map->capacity > 0 ? place_of(map, key, hash) : NULL;
    if (entry == NULL || entry->value == NULL) {
        int result = mb_map_reserve(map, map->count + 1);
        if (result != MB_OK) {
            return result;
        }
        entry = place_of(map, key, hash);
        map->count++;
    }
    if (old != NULL) {
        *old = entry->value;
    }
    *entry = (mb_map_entry){.key = key, .value = value, .hash = hash};
    return MB_OK;
}

void *mb_map_remove(mb_map *map, mb_slice key) {
    if (map->count == 0) {
        return NULL;
    }
    mb_map_entry *entry = place_of(map, key, mb_hash(key, map->seed));
    void *value = entry->value;
    if (value == NULL) {
        return NULL;
    }
    /* Entries behind the gap move into it unless that is before the place they hash to. */
    size_t mask = map->capacity - 1;
    size_t gap = (size_t)(entry - map->entries);
    for (size_t i = (gap + 1) & mask; map->entries[i].value != NULL; i = (i + 1) & mask) {
        size_t home = map->entries[i].hash & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            map->entries[gap] = map->entries[i];
            gap = i;
        }
    }
    map->entries[gap].value = NULL;
    map->count--;
    return value;
}

const mb_map_entry *mb_map_next(const mb_map *map, size_t *place) {
    while (*place < map->capacity) {
        const mb_map_entry *entry = &map->entries[(*place)++];
        if (entry->value != NULL) {
            return entry;
        }
    }
    return NULL;
}
