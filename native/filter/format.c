/*
 * Formats: from the document's segments to text.
 *
 * A value is appended as plain text first; then it is cut to its length and, inside JSON, escaped
 * where it stands, growing from its end to its front. Text formats escape nothing, as Envoy. In
 * JSON, bytes that are not UTF-8 become one character each (Latin-1), so that nothing is lost.
 *
 * Built by config/; used by header rules, header_mutation and access logs. Segments are those of
 * moebridge.config.value_model (LiteralSegment, OperatorSegment).
 */
#include "base/msgpack.h"
#include "base/slice.h"
#include "filter/format_internal.h"

#include <limits.h>
#include <unistd.h>

/* -- JSON ------------------------------------------------------------------------------------ */

static bool is_utf8(mb_slice text) {
    for (size_t i = 0; i < text.len;) {
        uint8_t lead = (uint8_t)text.ptr[i++];
        size_t more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        if ((lead >= 0x80 && lead < 0xc2) || lead > 0xf4 || more > text.len - i) {
            return false;
        }
        for (size_t j = 0; j < more; j++, i++) {
            uint8_t byte = (uint8_t)text.ptr[i];
            /* No overlong forms, no surrogates, nothing above U+10FFFF. RFC 3629 4. */
            bool bad = (byte & 0xc0) != 0x80;
            if (j == 0) {
                bad = bad || (lead == 0xe0 && byte < 0xa0) || (lead == 0xed && byte > 0x9f) ||
                      (lead == 0xf0 && byte < 0x90) || (lead == 0xf4 && byte > 0x8f);
            }
            if (bad) {
                return false;
            }
        }
    }
    return true;
}

static bool is_escaped(uint8_t byte, bool utf8) {
    return byte < 0x20 || byte == '"' || byte == '\\' || byte == 0x7f || (byte >= 0x80 && !utf8);
}

/* Escapes what `out` has from `start` on, as the inside of a JSON string. */
static void escape(mb_text *out, size_t start) {
    bool utf8 = is_utf8((mb_slice){out->ptr + start, out->len - start});
    size_t escaped = 0;
    for (size_t i = start; i < out->len; i++) {
        escaped += is_escaped((uint8_t)out->ptr[i], utf8);
    }
    if (escaped == 0) {
        return;
    }
    if (mb_text_room(out, escaped * 5) == NULL) {
        mb_text_truncate(out, start);
        return;
    }
    static const char digits[] = "0123456789abcdef";
    char *from = out->ptr + out->len;
    char *to = from + escaped * 5;
    out->len += escaped * 5;
    while (to != from) {
        uint8_t byte = (uint8_t) * --from;
        if (is_escaped(byte, utf8)) {
            to -= 6;
            memcpy(to, "\\u00", 4);
            to[4] = digits[byte >> 4];
            to[5] = digits[byte & 15];
        } else {
            *--to = (char)byte;
        }
    }
}

/* -- appending ------------------------------------------------------------------------------- */

/* A metadata value that is no string is JSON as it stands. True: it was appended. */
static bool append_json_metadata(const mb_format_segment *segment, mb_stream *stream,
                                 mb_text *out) {
    mb_slice value, string;
    if (!mb__format_is_metadata(segment->op) || segment->encode != MB_ENCODE_JSON_VALUE ||
        mb__format_metadata(segment, stream, &value) != MB_OK) {
        return false;
    }
    mb_msgpack cursor = mb_msgpack_read(value);
    if (mb_msgpack_get_str(&cursor, &string) == MB_OK) {
        return false;
    }
    mb_msgpack_to_json(value, out);
    return true;
}

static void append_operator(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    bool value = segment->encode == MB_ENCODE_JSON_VALUE;
    bool quoted = value && segment->op->type == MB_FORMAT_TEXT;
    size_t start = out->len;
    if (append_json_metadata(segment, stream, out)) {
        return;
    }
    mb_text_c(out, quoted ? "\"" : "");
    size_t begin = out->len;
    if (!segment->op->append(segment, stream, out)) {
        mb_text_truncate(out, start);
        mb_text_append(out, value ? MB_SLICE_LIT("null") : segment->text);
        return;
    }
    if (out->status != MB_OK) {
        return;
    }
    if (segment->max_bytes > 0 && out->len - begin > segment->max_bytes) {
        mb_text_truncate(out, begin + segment->max_bytes);
    }
    if (segment->encode != MB_ENCODE_TEXT) {
        escape(out, begin);
    }
    mb_text_c(out, quoted ? "\"" : "");
}

void mb_format_append(const mb_format *format, mb_stream *stream, mb_text *out) {
    for (uint32_t i = 0; i < format->count; i++) {
        const mb_format_segment *segment = &format->segments[i];
        if (segment->op == NULL) {
            mb_text_append(out, segment->text);
        } else {
            append_operator(segment, stream, out);
        }
    }
}

bool mb_format_literal(const mb_format *format, mb_slice *text) {
    if (format->count == 0) {
        *text = mb_slice_of("", 0);
        return true;
    }
    *text = format->segments[0].text;
    return format->count == 1 && format->segments[0].op == NULL;
}

/* -- building -------------------------------------------------------------------------------- */

/* HOSTNAME doesn't change: it becomes a literal. */
static int make_hostname(mb_arena *arena, mb_format_segment *segment) {
    char name[HOST_NAME_MAX + 1] = "";
    char text[HOST_NAME_MAX + 3];
    gethostname(name, sizeof(name) - 1);
    mb_slice host = mb_slice_from_c(name);
    size_t length = 0;
    if (segment->encode == MB_ENCODE_JSON_VALUE) {
        text[length++] = '"';
    }
    /* A host name has no character that JSON escapes; one that has is cut there. */
    for (size_t i = 0; i < host.len && !is_escaped((uint8_t)host.ptr[i], false); i++) {
        text[length++] = host.ptr[i];
    }
    if (segment->encode == MB_ENCODE_JSON_VALUE) {
        text[length++] = '"';
    }
    segment->op = NULL;
    return mb_arena_dup(arena, (mb_slice){text, length}, &segment->text);
}

static int read_encode(mb_slice value, uint8_t *out) {
    static const char *const words[] = {"text", "json_value", "json_string"};
    mb_msgpack cursor = mb_msgpack_read(value);
    mb_slice word;
    if (mb_msgpack_get_str(&cursor, &word) != MB_OK) {
        return MB_EINVAL;
    }
    for (uint8_t i = 0; i < 3; i++) {
        if (mb_slice_equal(word, mb_slice_from_c(words[i]))) {
            *out = i;
            return MB_OK;
        }
    }
    return MB_EINVAL;
}

/* The string under a key; empty when the key is missing. False: it is no string. */
static bool read_text(mb_slice map, const char *key, mb_slice *out) {
    mb_slice value;
    *out = mb_slice_of("", 0);
    if (mb_msgpack_find(map, mb_slice_from_c(key), &value) != MB_OK) {
        return true;
    }
    mb_msgpack cursor = mb_msgpack_read(value);
    return mb_msgpack_get_str(&cursor, out) == MB_OK;
}

static int keep(mb_arena *arena, mb_slice *text) {
    return mb_arena_dup(arena, *text, text);
}

static int build_operator(mb_arena *arena, mb_slice map, mb_format_segment *out,
                          const char **error) {
    mb_slice op, value;
    uint64_t max_bytes = 0;
    if (!read_text(map, "op", &op) || !read_text(map, "arg", &out->arg) ||
        !read_text(map, "alt_arg", &out->alt_arg) || !read_text(map, "empty", &out->text)) {
        *error = "a field of a format's operator is no string";
        return MB_ECONFIG;
    }
    if (mb_msgpack_find(map, MB_SLICE_LIT("encode"), &value) == MB_OK &&
        read_encode(value, &out->encode) != MB_OK) {
        *error = "unknown encoding of a format's operator";
        return MB_ECONFIG;
    }
    if (mb_msgpack_find(map, MB_SLICE_LIT("max_bytes"), &value) == MB_OK) {
        mb_msgpack cursor = mb_msgpack_read(value);
        if (mb_msgpack_get_u64(&cursor, &max_bytes) != MB_OK || max_bytes > UINT32_MAX) {
            *error = "max_bytes of a format's operator is no number of bytes";
            return MB_ECONFIG;
        }
    }
    out->max_bytes = (uint32_t)max_bytes;
    if (mb_slice_equal(op, MB_SLICE_LIT("HOSTNAME"))) {
        return make_hostname(arena, out);
    }
    out->op = mb__format_operator(op);
    if (out->op == NULL) {
        *error = "unknown operator in a format";
        return MB_ECONFIG;
    }
    return keep(arena, &out->arg) != MB_OK || keep(arena, &out->alt_arg) != MB_OK ||
                   keep(arena, &out->text) != MB_OK
               ? MB_ENOMEM
               : MB_OK;
}

static int build_segment(mb_arena *arena, mb_slice map, mb_format_segment *out,
                         const char **error) {
    mb_slice kind;
    *out = (mb_format_segment){0};
    if (!read_text(map, "kind", &kind)) {
        kind = mb_slice_of("", 0);
    }
    if (mb_slice_equal(kind, MB_SLICE_LIT("operator"))) {
        return build_operator(arena, map, out, error);
    }
    if (!mb_slice_equal(kind, MB_SLICE_LIT("literal")) || !read_text(map, "text", &out->text)) {
        *error = "a format's segment is neither literal nor operator";
        return MB_ECONFIG;
    }
    return keep(arena, &out->text);
}

int mb_format_build(mb_arena *arena, mb_slice segments_msgpack, mb_format **out,
                    const char **error) {
    mb_msgpack cursor = mb_msgpack_read(segments_msgpack);
    uint32_t count;
    *error = "";
    if (mb_msgpack_get_array(&cursor, &count) != MB_OK ||
        count > segments_msgpack.len) { /* each takes a byte at least */
        *error = "a format is a list of segments";
        return MB_ECONFIG;
    }
    size_t bytes = sizeof(mb_format) + count * sizeof(mb_format_segment);
    mb_format *format = mb_arena_alloc(arena, bytes);
    if (format == NULL) {
        *error = "out of memory";
        return MB_ENOMEM;
    }
    format->count = count;
    for (uint32_t i = 0; i < count; i++) {
        mb_slice map = {NULL, 0};
        int status = mb_msgpack_value(&cursor, &map);
        status =
            status == MB_OK ? build_segment(arena, map, &format->segments[i], error) : MB_ECONFIG;
        if (status != MB_OK) {
            if ((*error)[0] == '\0') {
                *error = status == MB_ENOMEM ? "out of memory" : "a format is cut short";
            }
            return status;
        }
    }
    *out = format;
    return MB_OK;
}
