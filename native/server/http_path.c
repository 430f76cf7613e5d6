/*
 * Paths before routing, so that routes and filters that guard a path cannot be passed by another
 * spelling of it. Only the part before '?' is touched. Source: Envoy, "normalize_path",
 * "merge_slashes", "path_with_escaped_slashes_action"; RFC 3986 5.2.4 and 6.2.2.
 */
#include "server/http_path.h"
#include "server/http_conn.h"

#include "base/slice.h"
#include <string.h>

static int escape_value(mb_slice path, size_t at) {
    if (at + 2 >= path.len) {
        return -1;
    }
    int high = mb_ascii_hex_value(path.ptr[at + 1]);
    int low = mb_ascii_hex_value(path.ptr[at + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool is_unreserved(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

size_t mb__path_unescape_slashes(mb_slice path, char *out) {
    size_t used = 0;
    for (size_t i = 0; i < path.len; i++) {
        int value = path.ptr[i] == '%' ? escape_value(path, i) : -1;
        if (value == '/' || value == '\\') {
            out[used++] = (char)value;
            i += 2;
        } else {
            out[used++] = path.ptr[i];
        }
    }
    return used;
}

/* Decodes what needs no escape; the result is never longer. */
static int decode_unreserved(mb_slice path, char *out, size_t *length) {
    size_t used = 0;
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        if (c == '%') {
            int value = escape_value(path, i);
            if (value <= 0) {
                return MB_EPROTO; /* malformed, or NUL */
            }
            if (is_unreserved(value)) {
                c = (char)value;
                i += 2;
            }
        }
        out[used++] = c == '\\' ? '/' : c;
    }
    *length = used;
    return MB_OK;
}

static size_t remove_dot_segments(char *path, size_t length) {
    size_t used = 0;
    size_t at = 0;
    while (at < length) {
        size_t end = at + 1; /* path[at] is '/' */
        while (end < length && path[end] != '/') {
            end++;
        }
        mb_slice segment = {path + at + 1, end - at - 1};
        bool last = end == length;
        bool one = mb_slice_equal(segment, MB_SLICE_LIT("."));
        bool two = mb_slice_equal(segment, MB_SLICE_LIT(".."));
        if (two) {
            while (used > 0 && path[--used] != '/') {
            }
        }
        if (one || two) {
            if (last) {
                path[used++] = '/';
            }
        } else {
            memmove(path + used, path + at, end - at);
            used += end - at;
        }
        at = end;
    }
    return used > 0 ? used : 1;
}

int mb__path_normalize(mb_slice path, char *out, size_t *length) {
    int rc = decode_unreserved(path, out, length);
    if (rc < 0 || *length == 0 || out[0] != '/') {
        return MB_EPROTO;
    }
    *length = remove_dot_segments(out, *length);
    return MB_OK;
}

size_t mb__path_merge_slashes(mb_slice path, char *out) {
    size_t used = 0;
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] != '/' || used == 0 || out[used - 1] != '/') {
            out[used++] = path.ptr[i];
        }
    }
    return used;
}

static int refuse(mb_stream *stream) {
    mb__http_refuse(stream, 400, MB_SLICE_LIT("path_normalization_failed"));
    return MB_EPROTO;
}

static int redirect(mb_stream *stream, mb_slice path) {
    mb_header location = {MB_SLICE_LIT("location"), path};
    mb_local_reply reply = {.status = 307,
                            .headers = &location,
                            .header_count = 1,
                            .details = MB_SLICE_LIT("path_normalization_failed")};
    mb_stream_local_reply_with(stream, 0, &reply, NULL, NULL);
    return MB_EPROTO;
}

/* The new path with the query of the old one behind it. */
static int rejoin(mb_stream *stream, mb_slice whole, size_t query_at, const char *path,
                  size_t length, mb_slice *out) {
    size_t query = whole.len - query_at;
    char *joined = mb_arena_bytes(&stream->arena, length + query + 1);
    if (joined == NULL) {
        return MB_ENOMEM;
    }
    memcpy(joined, path, length);
    memcpy(joined + length, whole.ptr + query_at, query);
    *out = (mb_slice){joined, length + query};
    return MB_OK;
}

int mb__http_path_prepare(mb_stream *stream, const mb_hcm_config *config) {
    mb_slice *slot = &stream->headers[MB_REQUEST].pseudo[MB_PSEUDO_PATH];
    mb_slice whole = *slot;
    if (whole.len == 0 || whole.ptr[0] != '/' ||
        (!config->normalize_path && !config->merge_slashes &&
         config->escaped_slashes == MB_SLASHES_KEEP)) {
        return MB_OK;
    }
    int64_t found = mb_slice_index(whole, '?');
    size_t query_at = found < 0 ? whole.len : (size_t)found;
    char *one = mb_arena_bytes(&stream->arena, query_at + 1);
    char *two = mb_arena_bytes(&stream->arena, query_at + 1);
    if (one == NULL || two == NULL) {
        return MB_ENOMEM;
    }
    mb_slice path = {whole.ptr, query_at};
    bool unescaped = false;
    int rc;
    if (config->escaped_slashes != MB_SLASHES_KEEP) {
        size_t length = mb__path_unescape_slashes(path, one);
        unescaped = length != path.len;
        path = (mb_slice){one, length};
        if (unescaped && config->escaped_slashes == MB_SLASHES_REJECT) {
            rc = rejoin(stream, whole, query_at, one, length, slot);
            return rc < 0 ? rc : refuse(stream);
        }
    }
    if (config->normalize_path) {
        size_t length;
        if (mb__path_normalize(path, two, &length) < 0) {
            return refuse(stream);
        }
        path = (mb_slice){two, length};
    }
    if (config->merge_slashes) {
        size_t length = mb__path_merge_slashes(path, one); /* in place when path is `one` */
        path = (mb_slice){one, length};
    }
    mb_slice joined;
    if (mb_slice_equal(path, (mb_slice){whole.ptr, query_at})) {
        return MB_OK;
    }
    if (rejoin(stream, whole, query_at, path.ptr, path.len, &joined) < 0) {
        return MB_ENOMEM;
    }
    *slot = joined;
    if (unescaped && config->escaped_slashes == MB_SLASHES_REDIRECT) {
        return redirect(stream, joined);
    }
    return MB_OK;
}
