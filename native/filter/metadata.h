/*
 * Dynamic metadata of a stream or a connection: namespace -> key -> one msgpack value. Filters
 * write it, filters and access logs read it. It lives in the arena of its owner.
 */
#ifndef MB_FILTER_METADATA_H
#define MB_FILTER_METADATA_H

#include "filter/stream.h"

/* Most bytes that the metadata of one stream may take, what was overwritten included. */
#define MB_METADATA_BYTES_MAX (256u * 1024u)

typedef struct mb_metadata_store {
    mb_arena *arena;
    struct mb_metadata_space *spaces;
    size_t bytes; /* taken so far */
} mb_metadata_store;

void mb_metadata_store_init(mb_metadata_store *store, mb_arena *arena);
/* As below, of any store. */
int mb_metadata_store_get(mb_metadata_store *store, mb_slice space, mb_slice key, mb_slice *value);
int mb_metadata_store_set(mb_metadata_store *store, mb_slice space, mb_slice key, mb_slice value);

/* The value of a key; with an empty key the whole namespace as a map; with both empty a map of all
 * namespaces, made anew each time. Valid until that namespace
 * is changed. MB_OK, MB_ENOTFOUND, or MB_ENOMEM. */
int mb_metadata_get(mb_stream *stream, mb_slice space, mb_slice key, mb_slice *value);
/* Sets a key, or with an empty key replaces the whole namespace by the pairs of a map with string
 * keys. Everything is copied. MB_OK, MB_EINVAL (not one well-formed msgpack value, no such map, or
 * an empty namespace), MB_ELIMIT (MB_METADATA_BYTES_MAX), MB_ENOMEM. */
int mb_metadata_set(mb_stream *stream, mb_slice space, mb_slice key, mb_slice value);

#endif
