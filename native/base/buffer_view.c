/*
 * Buffer: looking at its bytes as slices, joined, copied out or lent. See buffer.h.
 */
#include "base/buffer.h"

#include <string.h>

int mb_buffer_iovecs(const mb_buffer *buffer, struct iovec *iov, int max) {
    const mb_segment *segment = &buffer->segments[buffer->first];
    int count = buffer->count < (uint32_t)max ? (int)buffer->count : max;
    for (int i = 0; i < count; i++) {
        /* iovec has no const; writev only reads. */
        iov[i].iov_base = (void *)(uintptr_t)segment[i].ptr;
        iov[i].iov_len = segment[i].len;
    }
    return count;
}

size_t mb_buffer_slices(const mb_buffer *buffer, mb_slice *out, size_t max) {
    const mb_segment *segment = &buffer->segments[buffer->first];
    for (size_t i = 0; i < buffer->count && i < max; i++) {
        out[i] = (mb_slice){segment[i].ptr, segment[i].len};
    }
    return buffer->count;
}

size_t mb_buffer_copy_out(const mb_buffer *buffer, size_t offset, char *out, size_t length) {
    size_t done = 0;
    for (uint32_t i = 0; i < buffer->count && done < length; i++) {
        const mb_segment *segment = &buffer->segments[buffer->first + i];
        if (offset >= segment->len) {
            offset -= segment->len;
            continue;
        }
        size_t len = segment->len - offset;
        if (len > length - done) {
            len = length - done;
        }
        memcpy(out + done, segment->ptr + offset, len);
        done += len;
        offset = 0;
    }
    return done;
}

/* Capacity of the slab for a copy of `length` bytes: with room to grow when more may come. */
static size_t joined_capacity(size_t length, bool whole) {
    if (!whole || length <= MB_SLAB_SMALL_BYTES / 2) {
        return length;
    }
    return length <= MB_SLAB_LARGE_BYTES / 4 * 3 ? MB_SLAB_LARGE_BYTES : length + length / 2;
}

/* Replaces the segments that hold the first `length` bytes by `joined`, which has them. */
static void replace_front(mb_buffer *buffer, size_t length, mb_segment joined) {
    mb_segment *segment = &buffer->segments[buffer->first];
    size_t rest = length;
    uint32_t whole = 0;
    while (whole < buffer->count && rest >= segment->len) {
        rest -= segment->len;
        if (segment->slab != NULL) {
            mb_slab_unref(segment->slab);
        }
        segment++;
        whole++;
    }
    if (rest > 0) {
        segment->ptr += rest;
        segment->len -= rest;
    }
    buffer->first += whole - 1;
    buffer->count -= whole - 1;
    buffer->segments[buffer->first] = joined;
}

int mb_buffer_join(mb_buffer *buffer, size_t length, mb_slice *out, size_t *copied) {
    if (length > buffer->length) {
        length = buffer->length;
    }
    mb_slice front = mb_buffer_front(buffer);
    if (front.len >= length) {
        *out = (mb_slice){front.ptr, length};
        return MB_OK;
    }
    mb_segment *first = &buffer->segments[buffer->first];
    mb_slab *slab = first->slab;
    size_t behind = length - front.len;
    size_t added = length;
    if (mb__segment_room(buffer->pool, first) >= behind) {
        /* Only what is not there yet is copied, directly behind the first segment. */
        mb_buffer_copy_out(buffer, front.len, slab->data + slab->used, behind);
        mb_slab_ref(slab);
        added = behind;
    } else {
        slab = mb_slab_new(buffer->pool, joined_capacity(length, length == buffer->length));
        if (slab == NULL) {
            return MB_ENOMEM;
        }
        mb_buffer_copy_out(buffer, 0, slab->data, length);
        front.ptr = slab->data;
    }
    mb_slab_commit(slab, added);
    replace_front(buffer, length, (mb_segment){front.ptr, length, slab});
    if (copied != NULL) {
        *copied += added;
    }
    *out = (mb_slice){front.ptr, length};
    return MB_OK;
}

int mb_buffer_retain(const mb_buffer *buffer, size_t index, mb_slice *out, mb_lease **lease) {
    if (index >= buffer->count) {
        return MB_ENOTFOUND;
    }
    const mb_segment *segment = &buffer->segments[buffer->first + index];
    mb_slice bytes = {segment->ptr, segment->len};
    int result = mb_slab_lease_bytes(buffer->pool, segment->slab, bytes, out, lease);
    return result < 0 ? result : MB_OK;
}

int mb_buffer_retain_all(mb_buffer *buffer, mb_slice *out, mb_lease **lease) {
    mb_slice all;
    size_t copied = 0;
    int result = mb_buffer_join(buffer, buffer->length, &all, &copied);
    if (result != MB_OK) {
        return result;
    }
    buffer->pool->bytes_copied += copied;
    mb_slab *slab = buffer->count > 0 ? buffer->segments[buffer->first].slab : NULL;
    result = mb_slab_lease_bytes(buffer->pool, slab, all, out, lease);
    return result < 0 ? result : (result > 0 || copied > 0);
}
