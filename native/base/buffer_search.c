/*
 * Buffer: searching across segments. See buffer.h.
 *
 * What lies in one segment is the vector scan's; only a match that begins in the last
 * pattern.len - 1 bytes of a segment is compared piece by piece.
 */
#include "base/buffer.h"

#include <string.h>

/* True when `pattern` is at `offset` of the index-th segment and on into the next ones. */
static bool matches_across(const mb_buffer *buffer, uint32_t index, size_t offset,
                           mb_slice pattern) {
    while (index < buffer->count) {
        const mb_segment *segment = &buffer->segments[buffer->first + index];
        size_t len = segment->len - offset;
        if (len >= pattern.len) {
            return memcmp(segment->ptr + offset, pattern.ptr, pattern.len) == 0;
        }
        if (memcmp(segment->ptr + offset, pattern.ptr, len) != 0) {
            return false;
        }
        pattern.ptr += len;
        pattern.len -= len;
        offset = 0;
        index++;
    }
    return false;
}

/* The first offset at or after `from` of the index-th segment where a match begins that does not
 * end in it, or MB_SCAN_NONE. */
static size_t find_across(const mb_buffer *buffer, uint32_t index, size_t from, mb_slice pattern) {
    const mb_segment *segment = &buffer->segments[buffer->first + index];
    if (segment->len >= pattern.len && from < segment->len - pattern.len + 1) {
        from = segment->len - pattern.len + 1;
    }
    for (size_t at = from; at < segment->len; at++) {
        if (segment->ptr[at] == pattern.ptr[0] && matches_across(buffer, index, at, pattern)) {
            return at;
        }
    }
    return MB_SCAN_NONE;
}

int64_t mb_buffer_find(const mb_buffer *buffer, mb_slice pattern, size_t from) {
    if (from > buffer->length || buffer->length - from < pattern.len) {
        return MB_ENOTFOUND;
    }
    if (pattern.len == 0) {
        return (int64_t)from;
    }
    const mb_scan_ops *scan = buffer->pool->scan;
    size_t base = 0;
    for (uint32_t i = 0; i < buffer->count; i++) {
        const mb_segment *segment = &buffer->segments[buffer->first + i];
        size_t start = from > base ? from - base : 0;
        if (start < segment->len) {
            size_t at =
                scan->find(segment->ptr + start, segment->len - start, pattern.ptr, pattern.len);
            if (at != MB_SCAN_NONE) {
                return (int64_t)(base + start + at);
            }
            at = find_across(buffer, i, start, pattern);
            if (at != MB_SCAN_NONE) {
                return (int64_t)(base + at);
            }
        }
        base += segment->len;
    }
    return MB_ENOTFOUND;
}

size_t mb_buffer_count(const mb_buffer *buffer, mb_slice pattern) {
    if (pattern.len == 0) {
        return 0;
    }
    const mb_scan_ops *scan = buffer->pool->scan;
    size_t found = 0;
    size_t from = 0; /* in this segment: where the next match may begin */
    for (uint32_t i = 0; i < buffer->count; i++) {
        const mb_segment *segment = &buffer->segments[buffer->first + i];
        if (from < segment->len) {
            found += scan->count(segment->ptr, segment->len, pattern.ptr, pattern.len, &from);
            size_t at = find_across(buffer, i, from, pattern);
            if (at != MB_SCAN_NONE) {
                /* It ends behind this segment, so no other begins in it. */
                found++;
                from = at + pattern.len;
            }
        }
        from = from > segment->len ? from - segment->len : 0;
    }
    return found;
}

bool mb_buffer_starts_with(const mb_buffer *buffer, mb_slice prefix) {
    return prefix.len == 0 || matches_across(buffer, 0, 0, prefix);
}
