/* The writer of HTTP/1.1 heads; see h1_write.h. RFC 9112 3, 4, 5. */
#include "http/h1_write.h"

#include "base/slice.h"
#include "http/h1_simd.h"
#include "http/message.h"
#include "http/status.h"

/* More than all that a codec adds: version, reason, framing, connection. */
#define FIXED_BYTES 192u

typedef struct writer {
    char *at;
    uint32_t lines; /* written so far */
} writer;

static inline void put(writer *w, mb_slice text) {
    if (text.len != 0) {
        memcpy(w->at, text.ptr, text.len);
        w->at += text.len;
    }
}

static inline void end_line(writer *w) {
    w->at[0] = '\r';
    w->at[1] = '\n';
    w->at += 2;
    w->lines++;
}

static inline void put_field(writer *w, mb_slice name, mb_slice value) {
    put(w, name);
    w->at[0] = ':';
    w->at[1] = ' ';
    w->at += 2;
    put(w, value);
    end_line(w);
}

static inline void put_line(writer *w, mb_slice line) {
    put(w, line);
    end_line(w);
}

/* Whether a field of the connection's part of the table is ours to write after all. */
static bool is_written(const mb_field *field, const mb_h1_head *head) {
    switch (field->token) {
    case MB_TOKEN_UPGRADE:
        return head->upgrade;
    case MB_TOKEN_TE:
        return mb_slice_equal(field->value, MB_SLICE_LIT("trailers"));
    case MB_TOKEN_TRAILER:
        return true;
    case MB_TOKEN_CONTENT_LENGTH:
        return !head->no_length;
    default: /* hop-by-hop, and host, which is :authority */
        return false;
    }
}

static void put_fields(writer *w, const mb_headers *headers, const mb_h1_head *head) {
    for (uint32_t i = 0; i < headers->count; i++) {
        const mb_field *field = &headers->fields[i];

        if (field->token != MB_TOKEN_NONE && field->token <= MB_TOKEN_CONTENT_LENGTH &&
            !is_written(field, head)) {
            continue;
        }
        put_field(w, field->name, field->value);
    }
}

static void put_framing(writer *w, const mb_h1_head *head) {
    if (head->chunked) {
        put_line(w, MB_SLICE_LIT("transfer-encoding: chunked"));
    }
    if (head->empty) {
        put_line(w, MB_SLICE_LIT("content-length: 0"));
    }
    if (head->upgrade) {
        put_line(w, MB_SLICE_LIT("connection: upgrade"));
    } else if (head->close) {
        put_line(w, MB_SLICE_LIT("connection: close"));
    } else if (head->keep_alive) {
        put_line(w, MB_SLICE_LIT("connection: keep-alive"));
    }
}

/* True when the text is exactly `lines` lines that are not empty, and then an empty one. */
static bool has_lines(const char *at, size_t len, uint32_t lines) {
    const char *end = at + len;

    for (;;) {
        size_t line = mb__text_length(at, (size_t)(end - at));

        if ((size_t)(end - at) < line + 2 || at[line] != '\r' || at[line + 1] != '\n') {
            return false;
        }
        at += line + 2;
        if (line == 0) {
            return lines == 0 && at == end;
        }
        if (lines-- == 0) {
            return false;
        }
    }
}

/* Checks what was written since `start` and makes it part of `out`. */
static int finish(mb_buffer *out, const writer *w, const char *start) {
    size_t len = (size_t)(w->at - start);

    /* The empty line counts in `lines`. */
    if (!has_lines(start, len, w->lines - 1)) {
        mb_buffer_commit(out, 0);
        return MB_EINVAL;
    }
    mb_buffer_commit(out, len);
    return MB_OK;
}

int mb_h1_write_request(mb_buffer *out, const mb_scan_ops *scan, const mb_h1_head *head) {
    const mb_headers *headers = head->headers;
    mb_slice method = headers->pseudo[MB_PSEUDO_METHOD];
    mb_slice authority = headers->pseudo[MB_PSEUDO_AUTHORITY];
    mb_slice path = head->connect ? authority : headers->pseudo[MB_PSEUDO_PATH];
    writer w = {NULL, 0};
    char *start;

    if (method.len == 0 || path.len == 0 || scan->token(method.ptr, method.len) != method.len ||
        scan->target(path.ptr, path.len) != path.len) {
        return MB_EINVAL;
    }
    if (mb_buffer_reserve(out,
                          headers->byte_count + method.len + path.len + authority.len + FIXED_BYTES,
                          &start) != MB_OK) {
        return MB_ENOMEM;
    }
    w.at = start;
    put(&w, method);
    *w.at++ = ' ';
    put(&w, path);
    put_line(&w, MB_SLICE_LIT(" HTTP/1.1"));
    put_field(&w, MB_SLICE_LIT("host"), authority);
    put_fields(&w, headers, head);
    put_framing(&w, head);
    end_line(&w);
    return finish(out, &w, start);
}

int mb_h1_write_response(mb_buffer *out, const mb_h1_head *head) {
    const mb_headers *headers = head->headers;
    uint32_t status = mb_http_status(headers);
    writer w = {NULL, 0};
    char *start;

    if (status == 0) {
        return MB_EINVAL;
    }
    if (mb_buffer_reserve(out, headers->byte_count + FIXED_BYTES, &start) != MB_OK) {
        return MB_ENOMEM;
    }
    w.at = start;
    put(&w, head->minor == 0 ? MB_SLICE_LIT("HTTP/1.0 ") : MB_SLICE_LIT("HTTP/1.1 "));
    put(&w, headers->pseudo[MB_PSEUDO_STATUS]);
    *w.at++ = ' ';
    put_line(&w, mb_http_reason(status));
    put_fields(&w, headers, head);
    put_framing(&w, head);
    end_line(&w);
    return finish(out, &w, start);
}

int mb_h1_write_trailers(mb_buffer *out, const mb_headers *trailers) {
    writer w = {NULL, 0};
    char *start;

    if (mb_buffer_reserve(out, trailers->byte_count + FIXED_BYTES, &start) != MB_OK) {
        return MB_ENOMEM;
    }
    w.at = start;
    put_line(&w, MB_SLICE_LIT("0"));
    put_fields(&w, trailers, &(mb_h1_head){.no_length = true});
    end_line(&w);
    return finish(out, &w, start);
}
