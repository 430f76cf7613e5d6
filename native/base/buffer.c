/*
 * Buffer: how bytes come into it, move and leave. See buffer.h; looking at bytes is in
 * buffer_view.c and buffer_search.c.
 *
 * Segments lie in one array, [first, first + count): taking from the front moves `first`, and the
 * array is moved down or grown when its end is reached.
 */
#include "base/buffer.h"

#include "base/alloc.h"

#define MAX_SEGMENTS (1u << 24)

/* -- the array of segments ---------------------------------------------------------------- */

static mb_segment *last_segment(const mb_buffer *buffer) {
    return &buffer->segments[buffer->first + buffer->count - 1];
}

static int grow(mb_buffer *buffer, uint32_t needed) {
    const mb_allocator *allocator = buffer->pool->allocator;
    uint32_t capacity = buffer->capacity * 2;
    while (capacity < needed) {
        capacity *= 2;
    }
    mb_segment *segments = mb_alloc(allocator, capacity * sizeof(*segments));
    if (segments == NULL) {
        return MB_ENOMEM;
    }
    memcpy(segments, buffer->segments + buffer->first, buffer->count * sizeof(*segments));
    if (buffer->segments != buffer->inline_segments) {
        mb_free(allocator, buffer->segments, buffer->capacity * sizeof(*segments));
    }
    buffer->segments = segments;
    buffer->first = 0;
    buffer->capacity = capacity;
    return MB_OK;
}

/* Makes place for `extra` more segments at the end. */
static int make_place(mb_buffer *buffer, uint32_t extra) {
    if (extra <= buffer->capacity - buffer->first - buffer->count) {
        return MB_OK;
    }
    if (extra > MAX_SEGMENTS - buffer->count) {
        return MB_ENOMEM;
    }
    uint32_t needed = buffer->count + extra;
    /* Moving at most 3/4 of the array to gain 1/4 of it keeps an append at O(1). */
    if (needed <= buffer->capacity && buffer->first >= buffer->capacity / 4) {
        memmove(buffer->segments, buffer->segments + buffer->first,
                buffer->count * sizeof(mb_segment));
        buffer->first = 0;
        return MB_OK;
    }
    return grow(buffer, needed);
}

/* Needs place for one. Takes over the caller's reference on `slab`. */
static void push(mb_buffer *buffer, mb_slab *slab, const char *ptr, size_t len) {
    buffer->length += len;
    if (buffer->count > 0 && slab != NULL) {
        mb_segment *last = last_segment(buffer);
        if (last->slab == slab && last->ptr + last->len == ptr) {
            last->len += len;
            mb_slab_unref(slab);
            return;
        }
    }
    buffer->segments[buffer->first + buffer->count++] = (mb_segment){ptr, len, slab};
}

static void segment_release(mb_segment *segment) {
    if (segment->slab != NULL) {
        mb_slab_unref(segment->slab);
    }
}

static void release_all(mb_buffer *buffer) {
    for (uint32_t i = 0; i < buffer->count; i++) {
        segment_release(&buffer->segments[buffer->first + i]);
    }
    buffer->first = 0;
    buffer->count = 0;
    buffer->length = 0;
}

static void drop_reserved(mb_buffer *buffer) {
    if (buffer->reserved != NULL) {
        mb_slab_unref(buffer->reserved);
        buffer->reserved = NULL;
    }
}

void mb_buffer_clear(mb_buffer *buffer) {
    release_all(buffer);
    drop_reserved(buffer);
    if (buffer->segments != buffer->inline_segments) {
        mb_free(buffer->pool->allocator, buffer->segments, buffer->capacity * sizeof(mb_segment));
        buffer->segments = buffer->inline_segments;
        buffer->capacity = MB_BUFFER_INLINE_SEGMENTS;
    }
}

void mb_buffer_fini(mb_buffer *buffer) {
    mb_buffer_clear(buffer);
}

/* -- appending ---------------------------------------------------------------------------- */

int mb_buffer_append_slab(mb_buffer *buffer, mb_slab *slab, const char *ptr, size_t len) {
    if (len == 0) {
        return MB_OK;
    }
    int result = make_place(buffer, 1);
    if (result == MB_OK) {
        push(buffer, mb_slab_ref(slab), ptr, len);
    }
    return result;
}

int mb_buffer_append_static(mb_buffer *buffer, mb_slice bytes) {
    if (bytes.len == 0) {
        return MB_OK;
    }
    int result = make_place(buffer, 1);
    if (result == MB_OK) {
        push(buffer, NULL, bytes.ptr, bytes.len);
    }
    return result;
}

int mb_buffer_reserve(mb_buffer *buffer, size_t bytes, char **at) {
    drop_reserved(buffer);
    if (buffer->count > 0) {
        const mb_segment *last = last_segment(buffer);
        size_t room = mb__segment_room(buffer->pool, last);
        if (room > 0 && bytes <= room) {
            buffer->reserved = mb_slab_ref(last->slab);
            *at = last->slab->data + last->slab->used;
            return MB_OK;
        }
    }
    if (make_place(buffer, 1) != MB_OK) {
        return MB_ENOMEM;
    }
    mb_slab *slab = NULL;
    if (bytes <= MB_SLAB_SMALL_BYTES) {
        size_t room;
        int result = mb_slab_reserve(buffer->pool, bytes > 0 ? bytes : 1, &slab, at, &room);
        if (result != MB_OK) {
            return result;
        }
        buffer->reserved = mb_slab_ref(slab);
        return MB_OK;
    }
    slab = mb_slab_new(buffer->pool, bytes);
    if (slab == NULL) {
        return MB_ENOMEM;
    }
    buffer->reserved = slab;
    *at = slab->data;
    return MB_OK;
}

void mb_buffer_commit(mb_buffer *buffer, size_t bytes) {
    mb_slab *slab = buffer->reserved;
    if (bytes == 0) {
        drop_reserved(buffer);
        return;
    }
    buffer->reserved = NULL;
    const char *at = slab->data + slab->used;
    mb_slab_commit(slab, bytes);
    push(buffer, slab, at, bytes);
}

/* Takes the buffer back to what it was before an append that failed half way. */
static void truncate_to(mb_buffer *buffer, uint32_t count, size_t last_len, size_t length) {
    while (buffer->count > count) {
        segment_release(last_segment(buffer));
        buffer->count--;
    }
    if (count > 0) {
        last_segment(buffer)->len = last_len;
    }
    buffer->length = length;
}

static int append_some(mb_buffer *buffer, const char *ptr, size_t len) {
    char *at;
    int result = mb_buffer_reserve(buffer, len, &at);
    if (result == MB_OK) {
        memcpy(at, ptr, len);
        mb_buffer_commit(buffer, len);
    }
    return result;
}

/* More than the room behind the last segment. */
static int append_across(mb_buffer *buffer, mb_slice bytes, size_t room) {
    uint32_t count = buffer->count;
    size_t last_len = count > 0 ? last_segment(buffer)->len : 0;
    size_t length = buffer->length;
    /* A small piece is not split: one more iovec costs more than the room that is left. */
    size_t len = bytes.len >= MB_BUFFER_COPY_BELOW ? room : 0;
    int result = len > 0 ? append_some(buffer, bytes.ptr, len) : MB_OK;
    for (size_t done = len; result == MB_OK && done < bytes.len; done += len) {
        len = bytes.len - done;
        if (len > MB_SLAB_LARGE_BYTES) {
            len = MB_SLAB_LARGE_BYTES;
        }
        result = append_some(buffer, bytes.ptr + done, len);
    }
    if (result != MB_OK) {
        truncate_to(buffer, count, last_len, length);
    }
    return result;
}

int mb_buffer_append(mb_buffer *buffer, mb_slice bytes) {
    if (bytes.len == 0) {
        return MB_OK;
    }
    size_t room = 0;
    if (buffer->count > 0) {
        mb_segment *last = last_segment(buffer);
        room = mb__segment_room(buffer->pool, last);
        if (bytes.len <= room) {
            memcpy(last->slab->data + last->slab->used, bytes.ptr, bytes.len);
            mb_slab_commit(last->slab, bytes.len);
            last->len += bytes.len;
            buffer->length += bytes.len;
            return MB_OK;
        }
    }
    return append_across(buffer, bytes, room);
}

int mb_buffer_prepend(mb_buffer *buffer, mb_slice bytes) {
    mb_buffer head;
    mb_buffer_init(&head, buffer->pool);
    int result = mb_buffer_append(&head, bytes);
    if (result == MB_OK && head.count > buffer->first) {
        result = make_place(buffer, head.count);
        if (result == MB_OK) {
            memmove(buffer->segments + buffer->first + head.count, buffer->segments + buffer->first,
                    buffer->count * sizeof(mb_segment));
            buffer->first += head.count;
        }
    }
    if (result == MB_OK) {
        buffer->first -= head.count;
        buffer->count += head.count;
        buffer->length += head.length;
        memcpy(buffer->segments + buffer->first, head.segments + head.first,
               head.count * sizeof(mb_segment));
        head.count = 0; /* the references have moved */
    }
    mb_buffer_fini(&head);
    return result;
}

/* -- moving ------------------------------------------------------------------------------- */

int mb_buffer_move(mb_buffer *to, mb_buffer *from) {
    if (from->count == 0) {
        return MB_OK;
    }
    int result = make_place(to, from->count);
    if (result != MB_OK) {
        return result;
    }
    for (uint32_t i = 0; i < from->count; i++) {
        const mb_segment *segment = &from->segments[from->first + i];
        push(to, segment->slab, segment->ptr, segment->len);
    }
    from->first = 0;
    from->count = 0;
    from->length = 0;
    return MB_OK;
}

int mb_buffer_move_some(mb_buffer *to, mb_buffer *from, size_t length) {
    if (length >= from->length) {
        return mb_buffer_move(to, from);
    }
    uint32_t whole = 0;
    size_t rest = length;
    while (rest >= from->segments[from->first + whole].len) {
        rest -= from->segments[from->first + whole].len;
        whole++;
    }
    int result = make_place(to, whole + (rest > 0));
    if (result != MB_OK) {
        return result;
    }
    mb_segment *segment = &from->segments[from->first];
    for (uint32_t i = 0; i < whole; i++, segment++) {
        push(to, segment->slab, segment->ptr, segment->len);
    }
    if (rest > 0) {
        if (segment->slab != NULL) {
            mb_slab_ref(segment->slab);
        }
        push(to, segment->slab, segment->ptr, rest);
        segment->ptr += rest;
        segment->len -= rest;
    }
    from->first += whole;
    from->count -= whole;
    from->length -= length;
    return MB_OK;
}

int mb_buffer_move_coalesce(mb_buffer *to, mb_buffer *from, size_t *copied) {
    while (from->count > 0) {
        const mb_segment *segment = &from->segments[from->first];
        size_t len = segment->len;
        int result;
        if (len >= MB_BUFFER_COPY_BELOW) {
            result = mb_buffer_move_some(to, from, len);
        } else {
            result = mb_buffer_append(to, (mb_slice){segment->ptr, len});
            if (result == MB_OK) {
                mb_buffer_drain(from, len);
                if (copied != NULL) {
                    *copied += len;
                }
            }
        }
        if (result != MB_OK) {
            return result;
        }
    }
    return MB_OK;
}

void mb_buffer_drain(mb_buffer *buffer, size_t length) {
    if (length >= buffer->length) {
        release_all(buffer);
        return;
    }
    buffer->length -= length;
    mb_segment *segment = &buffer->segments[buffer->first];
    while (length >= segment->len) {
        length -= segment->len;
        segment_release(segment);
        segment++;
        buffer->first++;
        buffer->count--;
    }
    segment->ptr += length;
    segment->len -= length;
}
