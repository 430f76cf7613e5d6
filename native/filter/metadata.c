/*
 * Metadata: lists of namespaces and of their entries, in the stream's arena.
 *
 * A stream has few of both, so they are searched one by one. A new value goes into the room of
 * the old one where it fits, so that a counter that is set with every piece of a body takes no
 * further memory; all that was ever taken is counted against MB_METADATA_BYTES_MAX. The map of a
 * whole namespace is made when asked for and kept until a key of it changes.
 *
 * Called through the host table (metadata_get, metadata_set) and by format_operators.c.
 */
#include "filter/metadata.h"
#include "base/msgpack.h"
#include "base/slice.h"
#include "filter/arena_text.h"

/* Values are rounded up, so that integers and short strings can change in place. */
#define VALUE_ROUND 16u
#define DEPTH_MAX 32u
#define ITEMS_MAX 10000u

typedef struct metadata_entry {
    struct metadata_entry *next;
    mb_slice key;
    mb_slice value;
    size_t room; /* bytes at value.ptr */
} metadata_entry;

typedef struct mb_metadata_space {
    struct mb_metadata_space *next;
    mb_slice name;
    metadata_entry *entries; /* in the order they were first set */
    uint32_t count;
    mb_slice map; /* of all entries; `len` 0: not made since the last change */
} metadata_space;

static metadata_space *find_space(const mb_metadata_store *all, mb_slice name) {
    metadata_space *space = all->spaces;
    while (space != NULL && !mb_slice_equal(space->name, name)) {
        space = space->next;
    }
    return space;
}

/* Where the entry of a key hangs, or where a new one goes. */
static metadata_entry **find_entry(metadata_space *space, mb_slice key) {
    metadata_entry **at = &space->entries;
    while (*at != NULL && !mb_slice_equal((*at)->key, key)) {
        at = &(*at)->next;
    }
    return at;
}

static int charge(mb_metadata_store *all, size_t bytes) {
    if (bytes > MB_METADATA_BYTES_MAX - all->bytes) {
        return MB_ELIMIT;
    }
    all->bytes += bytes;
    return MB_OK;
}

static int make_space(mb_metadata_store *all, mb_slice name, metadata_space **out) {
    int status = charge(all, sizeof(metadata_space) + name.len);
    if (status != MB_OK) {
        return status;
    }
    metadata_space *space = mb_arena_zalloc(all->arena, sizeof(*space));
    if (space == NULL || mb_arena_dup(all->arena, name, &space->name) != MB_OK) {
        return MB_ENOMEM;
    }
    space->next = all->spaces;
    all->spaces = space;
    *out = space;
    return MB_OK;
}

/* Puts a value into an entry, in its old room where it fits. */
static int store(mb_metadata_store *all, metadata_entry *entry, mb_slice value) {
    if (value.len > entry->room) {
        size_t room = (value.len + VALUE_ROUND - 1) / VALUE_ROUND * VALUE_ROUND;
        int status = charge(all, room);
        if (status != MB_OK) {
            return status;
        }
        char *bytes = mb_arena_bytes(all->arena, room);
        if (bytes == NULL) {
            return MB_ENOMEM;
        }
        entry->value.ptr = bytes;
        entry->room = room;
    }
    /* The value may be the entry's own, read before. */
    memmove((char *)entry->value.ptr, value.ptr, value.len);
    entry->value.len = value.len;
    return MB_OK;
}

static int set_key(mb_metadata_store *all, metadata_space *space, mb_slice key, mb_slice value) {
    metadata_entry **at = find_entry(space, key);
    space->map.len = 0;
    if (*at != NULL) {
        return store(all, *at, value);
    }
    int status = charge(all, sizeof(metadata_entry) + key.len);
    if (status != MB_OK) {
        return status;
    }
    metadata_entry *entry = mb_arena_zalloc(all->arena, sizeof(*entry));
    if (entry == NULL || mb_arena_dup(all->arena, key, &entry->key) != MB_OK) {
        return MB_ENOMEM;
    }
    status = store(all, entry, value);
    if (status != MB_OK) {
        return status;
    }
    *at = entry;
    space->count++;
    return MB_OK;
}

/* Whether a value is a map whose keys are strings that are not empty. */
static bool is_space(mb_slice value) {
    mb_msgpack cursor = mb_msgpack_read(value);
    uint32_t count;
    mb_slice key;
    if (mb_msgpack_get_map(&cursor, &count) != MB_OK) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (mb_msgpack_get_str(&cursor, &key) != MB_OK || key.len == 0 ||
            mb_msgpack_skip(&cursor) != MB_OK) {
            return false;
        }
    }
    return true;
}

/* On failure the namespace has its old entries again. */
static int replace_space(mb_metadata_store *all, metadata_space *space, mb_slice value) {
    metadata_space old = *space;
    mb_msgpack cursor = mb_msgpack_read(value);
    uint32_t count;
    int status = mb_msgpack_get_map(&cursor, &count);
    space->entries = NULL;
    space->count = 0;
    for (uint32_t i = 0; i < count && status == MB_OK; i++) {
        mb_slice key, part;
        mb_msgpack_get_str(&cursor, &key);
        mb_msgpack_value(&cursor, &part);
        status = set_key(all, space, key, part);
    }
    if (status != MB_OK) {
        *space = old;
    }
    space->map.len = 0;
    return status;
}

static int make_map(mb_metadata_store *all, metadata_space *space) {
    mb_arena_text made;
    size_t bytes = 5;
    for (const metadata_entry *entry = space->entries; entry != NULL; entry = entry->next) {
        bytes += 5 + entry->key.len + entry->value.len;
    }
    int status = charge(all, bytes);
    if (status != MB_OK) {
        return status;
    }
    mb_arena_text_init(&made, all->arena, SIZE_MAX);
    mb_text_room(&made.text, bytes);
    mb_msgpack_put_map(&made.text, space->count);
    for (const metadata_entry *entry = space->entries; entry != NULL; entry = entry->next) {
        mb_msgpack_put_str(&made.text, entry->key);
        mb_text_append(&made.text, entry->value);
    }
    if (made.text.status == MB_OK) {
        space->map = mb_text_view(&made.text);
    }
    return made.text.status;
}

/* Made anew each time it is asked for: once a all, by who keeps a copy of it. */
static int map_of_all(mb_metadata_store *all, mb_slice *value) {
    mb_arena_text made;
    uint32_t count = 0;
    if (all->spaces == NULL) {
        return MB_ENOTFOUND;
    }
    for (const metadata_space *space = all->spaces; space != NULL; space = space->next) {
        count++;
    }
    mb_arena_text_init(&made, all->arena, 2 * MB_METADATA_BYTES_MAX);
    mb_msgpack_put_map(&made.text, count);
    for (metadata_space *space = all->spaces; space != NULL; space = space->next) {
        mb_slice map;
        int status = mb_metadata_store_get(all, space->name, (mb_slice){NULL, 0}, &map);
        if (status != MB_OK) {
            return status;
        }
        mb_msgpack_put_str(&made.text, space->name);
        mb_text_append(&made.text, map);
    }
    if (made.text.status == MB_OK) {
        *value = mb_text_view(&made.text);
    }
    return made.text.status;
}

int mb_metadata_store_get(mb_metadata_store *all, mb_slice space, mb_slice key, mb_slice *value) {
    if (space.len == 0 && key.len == 0) {
        return map_of_all(all, value);
    }
    metadata_space *found = find_space(all, space);
    if (found == NULL) {
        return MB_ENOTFOUND;
    }
    if (key.len == 0) {
        int status = found->map.len > 0 ? MB_OK : make_map(all, found);
        if (status == MB_OK) {
            *value = found->map;
        }
        return status;
    }
    const metadata_entry *entry = *find_entry(found, key);
    if (entry == NULL) {
        return MB_ENOTFOUND;
    }
    *value = entry->value;
    return MB_OK;
}

int mb_metadata_store_set(mb_metadata_store *all, mb_slice space, mb_slice key, mb_slice value) {
    metadata_space *found = find_space(all, space);
    if (space.len == 0 || mb_msgpack_check(value, DEPTH_MAX, ITEMS_MAX) != MB_OK ||
        (key.len == 0 && !is_space(value))) {
        return MB_EINVAL;
    }
    if (found == NULL) {
        int status = make_space(all, space, &found);
        if (status != MB_OK) {
            return status;
        }
    }
    return key.len == 0 ? replace_space(all, found, value) : set_key(all, found, key, value);
}

void mb_metadata_store_init(mb_metadata_store *store, mb_arena *arena) {
    *store = (mb_metadata_store){.arena = arena};
}

/* -- of a stream: made when first set ---------------------------------------------------------- */

int mb_metadata_get(mb_stream *stream, mb_slice space, mb_slice key, mb_slice *value) {
    return stream->metadata != NULL ? mb_metadata_store_get(stream->metadata, space, key, value)
                                    : MB_ENOTFOUND;
}

int mb_metadata_set(mb_stream *stream, mb_slice space, mb_slice key, mb_slice value) {
    mb_metadata_store *store = stream->metadata;
    if (store == NULL) {
        store = mb_arena_alloc(&stream->arena, sizeof(*store));
        if (store == NULL) {
            return MB_ENOMEM;
        }
        mb_metadata_store_init(store, &stream->arena);
        stream->metadata = store;
    }
    return mb_metadata_store_set(store, space, key, value);
}
