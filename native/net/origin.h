/*
 * Origin: what was found out about an accepted connection before its filter chain was chosen, by
 * listener filters: where it came from and where it was meant to go, and what its first bytes say
 * that it wants. A connection without listener filters has none.
 *
 * Made by server/accept.c, held by the connection, read by whoever serves it: by the connection
 * manager for its streams, by the upstream side for the addresses that it sends on. Refcounted,
 * immutable once the connection has begun. Worker only.
 */
#ifndef MB_NET_ORIGIN_H
#define MB_NET_ORIGIN_H

#include "base/arena.h"
#include "net/conn.h"

/* A value of dynamic metadata for every stream of the connection. */
typedef struct mb_origin_metadata {
    struct mb_origin_metadata *next;
    mb_slice space, key;
    mb_slice value; /* one msgpack value */
} mb_origin_metadata;

typedef struct mb_origin {
    const mb_allocator *allocator;
    uint32_t refs;
    mb_arena arena; /* of all slices here */
    /* The socket's own addresses; those of the connection may come from a PROXY header. */
    mb_address direct_remote, direct_local;
    mb_slice server_name;            /* lower-case; empty: none */
    mb_slice *application_protocols; /* in the client's order */
    uint32_t application_protocol_count;
    mb_slice transport_protocol; /* "tls", or empty: not known */
    mb_origin_metadata *metadata;
    bool has_proxy_header;
    mb_slice proxy_tlvs; /* those to be sent on; for mb_proxy_tlv_next */
    bool use_source;
    mb_source source; /* the client's address */
} mb_origin;

/* From where connections to upstreams come, where a listener filter wants that; else NULL. Valid as
 * long as `origin`, which may be NULL. */
static inline const mb_source *mb_origin_source(const mb_origin *origin) {
    return origin != NULL && origin->use_source ? &origin->source : NULL;
}
/* NULL: out of memory. */
mb_origin *mb_origin_new(const mb_allocator *allocator, mb_arena_pool *arenas);
static inline mb_origin *mb_origin_ref(mb_origin *origin) {
    origin->refs++;
    return origin;
}
void mb_origin_unref(mb_origin *origin); /* NULL is fine */
/* Adds a text as metadata; one that is no UTF-8 becomes bytes. `space` and `key` must live as long
 * as the origin. MB_OK or MB_ENOMEM. */
int mb_origin_add_metadata(mb_origin *origin, mb_slice space, mb_slice key, mb_slice text);

#endif
