/*
 * JSON to msgpack for tests. Numbers are whole, except those with a point.
 */
#define _GNU_SOURCE /* memmem */
#include "support/json_document.h"

#include "base/alloc.h"
#include "base/msgpack.h"
#include "base/slice.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *skip_space(const char *at) {
    while (*at == ' ' || *at == '\n') {
        at++;
    }
    return at;
}

static void fail_at(const char *at) {
    char why[128];
    snprintf(why, sizeof(why), "no JSON: %.80s", at);
    MB_FAIL(why);
}

/* Appends the bytes of a string; returns where it ends. */
static const char *read_string(const char *at, mb_text *out) {
    char quote = *at++;
    if (quote != '"' && quote != '\'') {
        fail_at(at);
    }
    for (; *at != quote; at++) {
        if (*at == '\0') {
            fail_at("string without end");
        }
        if (*at == '\\') {
            at++;
            mb_text_byte(out, *at == 'n' ? '\n' : *at == '0' ? '\0' : *at);
        } else {
            mb_text_byte(out, *at);
        }
    }
    return at + 1;
}

static const char *put_string(const char *at, mb_text *out) {
    mb_text bytes;
    mb_text_init(&bytes, mb_allocator_default(), SIZE_MAX);
    at = read_string(at, &bytes);
    mb_msgpack_put_str(out, mb_text_view(&bytes));
    mb_text_fini(&bytes);
    return at;
}

static const char *put_number(const char *at, mb_text *out) {
    char *end;
    double number = strtod(at, &end);
    mb_slice text = {at, (size_t)(end - at)};
    if (text.len == 0) {
        fail_at(at);
    }
    if (mb_slice_index(text, '.') >= 0) {
        mb_msgpack_put_double(out, number);
    } else if (*at == '-') {
        mb_msgpack_put_i64(out, strtoll(at, &end, 10));
    } else {
        mb_msgpack_put_u64(out, strtoull(at, &end, 10));
    }
    return end;
}

static const char *put_special(const char *at, const char *end, bool hex, mb_text *out) {
    mb_text bytes;
    mb_text_init(&bytes, mb_allocator_default(), SIZE_MAX);
    read_string(skip_space(at), &bytes);
    if (!hex) {
        mb_msgpack_put_bin(out, mb_text_view(&bytes));
    }
    for (size_t i = 0; hex && i + 1 < bytes.len; i += 2) {
        mb_text_byte(out, (char)(mb_ascii_hex_value(bytes.ptr[i]) * 16 +
                                 mb_ascii_hex_value(bytes.ptr[i + 1])));
    }
    mb_text_fini(&bytes);
    return end;
}

static const char *put_value(const char *at, mb_text *out);

/* Elements go to a text of their own first, since msgpack wants their number before them. */
static const char *put_items(const char *at, bool map, mb_text *out) {
    mb_text items;
    uint32_t count = 0;
    char close = map ? '}' : ']';
    mb_text_init(&items, mb_allocator_default(), SIZE_MAX);
    for (at = skip_space(at + 1); *at != close; count++) {
        if (map) {
            at = skip_space(put_string(at, &items));
            if (*at++ != ':') {
                fail_at(at);
            }
        }
        at = skip_space(put_value(skip_space(at), &items));
        if (*at != ',' && *at != close) {
            fail_at(at);
        }
        at = *at == ',' ? skip_space(at + 1) : at;
    }
    if (map) {
        mb_msgpack_put_map(out, count);
    } else {
        mb_msgpack_put_array(out, count);
    }
    mb_text_append(out, mb_text_view(&items));
    mb_text_fini(&items);
    return at + 1;
}

static const char *put_value(const char *at, mb_text *out) {
    /* {'$bin':'...'} or {'$raw':'...'} */
    if (strncmp(at, "{'$", 3) == 0) {
        return put_special(at + 8, strchr(at, '}') + 1, at[3] == 'r', out);
    }
    switch (*at) {
    case '{':
    case '[':
        return put_items(at, *at == '{', out);
    case '"':
    case '\'':
        return put_string(at, out);
    case 't':
        mb_msgpack_put_bool(out, true);
        return at + 4;
    case 'f':
        mb_msgpack_put_bool(out, false);
        return at + 5;
    case 'n':
        mb_msgpack_put_nil(out);
        return at + 4;
    default:
        return put_number(at, out);
    }
}

static void replace(mb_text *text, const char *from, const char *to) {
    mb_slice all = mb_text_view(text);
    const char *found = memmem(all.ptr, all.len, from, strlen(from));
    if (found == NULL) {
        fail_at(from);
    }
    mb_text edited;
    mb_text_init(&edited, mb_allocator_default(), SIZE_MAX);
    size_t before = (size_t)(found - all.ptr);
    mb_text_append(&edited, mb_slice_take(all, before));
    mb_text_c(&edited, to);
    mb_text_append(&edited, mb_slice_skip(all, before + strlen(from)));
    mb_text_fini(text);
    *text = edited;
}

void json_document(mb_text *out, const char *json, ...) {
    mb_text text;
    va_list edits;
    const char *from;
    mb_text_init(&text, mb_allocator_default(), SIZE_MAX);
    mb_text_c(&text, json);
    va_start(edits, json);
    while ((from = va_arg(edits, const char *)) != NULL) {
        replace(&text, from, va_arg(edits, const char *));
    }
    va_end(edits);
    mb_text_byte(&text, '\0');
    mb_text_init(out, mb_allocator_default(), SIZE_MAX);
    const char *end = skip_space(put_value(skip_space(text.ptr), out));
    if (*end != '\0') {
        fail_at(end);
    }
    mb_text_fini(&text);
}
