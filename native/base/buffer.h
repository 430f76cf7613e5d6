/*
 * Buffer: a sequence of slices of slabs, each holding one reference. The only way bytes travel
 * between connection, codec, filters and connection. Drain and replace move the view, never the
 * bytes, so a slice that was lent stays unchanged.
 *
 * Worker only. `init` and `fini` work on the caller's storage, which must not be moved while in
 * use: the first segments are inline, so the common case of one or two pieces never allocates.
 * Functions that return int: MB_OK or MB_ENOMEM with the buffer unchanged. Buffers that move
 * bytes between each other belong to the same pool.
 */
#ifndef MB_BASE_BUFFER_H
#define MB_BASE_BUFFER_H

#include "base/slab.h"
#include <moebridge/filter.h>
#include <sys/uio.h>

#define MB_BUFFER_INLINE_SEGMENTS 4
/* Pieces below this are copied behind what was written before; larger ones go by reference. */
#define MB_BUFFER_COPY_BELOW 2048

typedef struct mb_segment {
    const char *ptr;
    size_t len;    /* never 0 */
    mb_slab *slab; /* one reference; NULL for constant bytes that outlive everything */
} mb_segment;

struct mb_buffer {
    size_t length; /* sum of all segments */
    mb_segment *segments;
    uint32_t first, count, capacity;
    mb_slab_pool *pool;
    mb_slab *reserved; /* between reserve and commit: one reference on where `at` points */
    mb_segment inline_segments[MB_BUFFER_INLINE_SEGMENTS];
};

static inline void mb_buffer_init(mb_buffer *buffer, mb_slab_pool *pool) {
    buffer->length = 0;
    buffer->segments = buffer->inline_segments;
    buffer->first = 0;
    buffer->count = 0;
    buffer->capacity = MB_BUFFER_INLINE_SEGMENTS;
    buffer->pool = pool;
    buffer->reserved = NULL;
}
/* Gives every reference back. The buffer may be used again. */
void mb_buffer_clear(mb_buffer *buffer);
void mb_buffer_fini(mb_buffer *buffer);

/* Appends a slice by reference (takes a new reference on `slab`). Extends the last segment when
 * the bytes follow it directly. */
int mb_buffer_append_slab(mb_buffer *buffer, mb_slab *slab, const char *ptr, size_t len);
/* Appends bytes that outlive everything (string constants). */
int mb_buffer_append_static(mb_buffer *buffer, mb_slice bytes);
/* Copies, behind the last segment when nobody else has written there, else into the pool's
 * current slab; what does not fit there goes into large slabs of its own. */
int mb_buffer_append(mb_buffer *buffer, mb_slice bytes);
int mb_buffer_prepend(mb_buffer *buffer, mb_slice bytes);
/* Room of at least `bytes` contiguous bytes at the end, to be written by the caller, then
 * `mb_buffer_commit(buffer, written)`; 0 written gives the room back. Nothing else may touch
 * buffer or pool in between. Directly behind the last segment when that has the room. */
int mb_buffer_reserve(mb_buffer *buffer, size_t bytes, char **at);
void mb_buffer_commit(mb_buffer *buffer, size_t bytes);
/* Between reserve and commit: how many bytes may be written, at least those asked for. */
static inline size_t mb_buffer_reserved(const mb_buffer *buffer) {
    return mb_slab_room(buffer->reserved);
}

/* Moves all of `from` (or its first `length` bytes) to the end of `to`; no reference changes
 * hands twice. On MB_ENOMEM both are unchanged. */
int mb_buffer_move(mb_buffer *to, mb_buffer *from);
int mb_buffer_move_some(mb_buffer *to, mb_buffer *from, size_t length);
/* As `mb_buffer_move`, but pieces below MB_BUFFER_COPY_BELOW are copied behind the bytes before
 * them, so that they cost no iovec. `*copied` (may be NULL) grows by the bytes copied. On
 * MB_ENOMEM a part may have moved, in order: nothing is lost or doubled. */
int mb_buffer_move_coalesce(mb_buffer *to, mb_buffer *from, size_t *copied);
/* Drops the first `length` bytes, or all. */
void mb_buffer_drain(mb_buffer *buffer, size_t length);

/* Fills `iov`; returns how many entries. Valid until the buffer changes. */
int mb_buffer_iovecs(const mb_buffer *buffer, struct iovec *iov, int max);
/* The first contiguous bytes. Empty slice when the buffer is empty. */
static inline mb_slice mb_buffer_front(const mb_buffer *buffer) {
    const mb_segment *segment = &buffer->segments[buffer->first];
    return buffer->count == 0 ? (mb_slice){NULL, 0} : (mb_slice){segment->ptr, segment->len};
}
/* Makes the first `length` bytes (at most all) one contiguous slice, valid until the buffer
 * changes; copies only when they are not. `*copied` (may be NULL) grows by the bytes copied. The
 * copy of a whole buffer has free room behind it that `mb_buffer_reserve` uses, so a head that
 * comes in many reads and is joined after each costs O(log n) copies. */
int mb_buffer_join(mb_buffer *buffer, size_t length, mb_slice *out, size_t *copied);

static inline size_t mb_buffer_length(const mb_buffer *buffer) {
    return buffer->length;
}
/* Writes up to `max` slices; returns how many the buffer has. */
size_t mb_buffer_slices(const mb_buffer *buffer, mb_slice *out, size_t max);
/* Offset of the first match at or after `from`, or MB_ENOTFOUND. An empty pattern is found at
 * `from` when that is not behind the end. */
int64_t mb_buffer_find(const mb_buffer *buffer, mb_slice pattern, size_t from);
/* Matches that do not overlap. An empty pattern has none. */
size_t mb_buffer_count(const mb_buffer *buffer, mb_slice pattern);
bool mb_buffer_starts_with(const mb_buffer *buffer, mb_slice prefix);
/* Copies up to `length` bytes from `offset` on; returns how many. */
size_t mb_buffer_copy_out(const mb_buffer *buffer, size_t offset, char *out, size_t length);
/* See filter.h. Leases of one pool are capped at `MB_SLAB_LEASED_BYTES_MAX`; past it the slice is
 * copied to the heap and the lease owns the copy. */
int mb_buffer_retain(const mb_buffer *buffer, size_t index, mb_slice *out, mb_lease **lease);
int mb_buffer_retain_all(mb_buffer *buffer, mb_slice *out, mb_lease **lease);

/* Room in `segment->slab` directly behind `segment` that nobody else may write to. 0: none. */
static inline size_t mb__segment_room(const mb_slab_pool *pool, const mb_segment *segment) {
    const mb_slab *slab = segment->slab;
    if (slab == NULL || segment->ptr + segment->len != slab->data + slab->used) {
        return 0;
    }
    return slab == pool->current || slab->refs == 1 ? mb_slab_room(slab) : 0;
}

#endif
