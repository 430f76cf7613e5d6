/*
 * Buffer: a sequence of slices of slabs, each holding one reference. The only way bytes travel
 * between connection, codec, filters and connection. Drain and replace move the view, never the
 * bytes, so a slice that was lent stays unchanged.
 *
 * Worker only. `init` and `fini` work on the caller's storage; the first segments are inline, so
 * the common case of one or two pieces never allocates. Functions that return int: MB_OK or
 * MB_ENOMEM with the buffer unchanged.
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
    size_t len;
    mb_slab *slab; /* one reference; NULL for constant bytes that outlive everything */
} mb_segment;

struct mb_buffer {
    size_t length; /* sum of all segments */
    mb_segment *segments;
    uint32_t first, count, capacity;
    uint32_t retained; /* leases taken through this view, for the cap */
    mb_slab_pool *pool;
    mb_segment inline_segments[MB_BUFFER_INLINE_SEGMENTS];
};

void mb_buffer_init(mb_buffer *buffer, mb_slab_pool *pool);
/* Gives every reference back. The buffer may be used again. */
void mb_buffer_clear(mb_buffer *buffer);
void mb_buffer_fini(mb_buffer *buffer);

/* Appends a slice by reference (takes a new reference on `slab`). Extends the last segment when
 * the bytes follow it directly. */
int mb_buffer_append_slab(mb_buffer *buffer, mb_slab *slab, const char *ptr, size_t len);
/* Appends bytes that outlive everything (string constants). */
int mb_buffer_append_static(mb_buffer *buffer, mb_slice bytes);
/* Copies into the pool's current slab, behind the last segment when that is its end. */
int mb_buffer_append(mb_buffer *buffer, mb_slice bytes);
int mb_buffer_prepend(mb_buffer *buffer, mb_slice bytes);
/* Room of at least `bytes` contiguous bytes at the end, to be written by the caller, then
 * `mb_buffer_commit(buffer, written)`. Nothing else may touch buffer or pool in between. */
int mb_buffer_reserve(mb_buffer *buffer, size_t bytes, char **at);
void mb_buffer_commit(mb_buffer *buffer, size_t bytes);
/* Moves all of `from` (or its first `length` bytes) to the end of `to`; no reference changes
 * hands twice. Small segments (< MB_BUFFER_COPY_BELOW) are copied when `coalesce`. */
int mb_buffer_move(mb_buffer *to, mb_buffer *from);
int mb_buffer_move_some(mb_buffer *to, mb_buffer *from, size_t length);
void mb_buffer_drain(mb_buffer *buffer, size_t length);

/* Fills `iov`; returns how many entries. Valid until the buffer changes. */
int mb_buffer_iovecs(const mb_buffer *buffer, struct iovec *iov, int max);
/* The first contiguous bytes. Empty slice when the buffer is empty. */
mb_slice mb_buffer_front(const mb_buffer *buffer);
/* Makes the whole buffer (or its first `length` bytes) one contiguous slice; copies only when it
 * is not. `*copied` (may be NULL) counts bytes copied. */
int mb_buffer_join(mb_buffer *buffer, size_t length, mb_slice *out, size_t *copied);

size_t mb_buffer_length(const mb_buffer *buffer);
size_t mb_buffer_slices(const mb_buffer *buffer, mb_slice *out, size_t max);
int64_t mb_buffer_find(const mb_buffer *buffer, mb_slice pattern, size_t from);
size_t mb_buffer_count(const mb_buffer *buffer, mb_slice pattern);
size_t mb_buffer_copy_out(const mb_buffer *buffer, size_t offset, char *out, size_t length);
/* See filter.h. Leases of one pool are capped at `MB_SLAB_LEASED_BYTES_MAX`; past it the slice is
 * copied to the heap and the lease owns the copy. */
int mb_buffer_retain(const mb_buffer *buffer, size_t index, mb_slice *out, mb_lease **lease);
int mb_buffer_retain_all(mb_buffer *buffer, mb_slice *out, mb_lease **lease);

#endif
