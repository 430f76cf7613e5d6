/*
 * Faults of a document: the path of a value and what is wrong with it, one line each. Names in the
 * document are anybody's bytes, so what could break the line is replaced.
 */
#include "config/document.h"

#include "base/slice.h"
#include <stdarg.h>
#include <stdio.h>

#define MESSAGE_BYTES 1024 /* of one fault, without its path; more is cut */
#define NAME_BYTES 80      /* of one step of a path */

static bool is_plain(mb_slice name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!mb_ascii_is_digit(c) && c != '_' && (unsigned char)(mb_ascii_lower(c) - 'a') >= 26) {
            return false;
        }
    }
    return name.len > 0;
}

static void append_line(mb_text *out, mb_slice text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        mb_text_byte(out, c < 0x20 || c == 0x7f ? ' ' : (char)c);
    }
}

static void append_step(mb_text *out, const mb_doc *doc, bool first) {
    if (doc->name.ptr == NULL) {
        mb_text_format(out, "[%u]", doc->index);
        return;
    }
    mb_slice name = mb_slice_take(doc->name, NAME_BYTES);
    if (is_plain(name)) {
        mb_text_c(out, first ? "" : ".");
        mb_text_append(out, name);
    } else {
        mb_text_c(out, "[\"");
        append_line(out, name);
        mb_text_c(out, "\"]");
    }
}

static void append_path(mb_text *out, const mb_doc *doc) {
    const mb_doc *steps[MB_MSGPACK_DEPTH_MAX];
    size_t count = 0;
    for (; doc->up != NULL && count < MB_MSGPACK_DEPTH_MAX; doc = doc->up) {
        steps[count++] = doc;
    }
    for (size_t i = count; i > 0; i--) {
        append_step(out, steps[i - 1], i == count);
    }
}

static void note(const mb_doc *doc, const char *format, va_list arguments) {
    mb_doc_reader *reader = doc->reader;
    if (!mb_doc_goes_on(reader)) {
        return;
    }
    if (reader->status == MB_OK) {
        reader->status = MB_ECONFIG;
    }
    if (++reader->fault_count == MB_DOC_FAULTS_MAX) {
        mb_text_c(reader->faults, "more faults are not shown\n");
        return;
    }
    char message[MESSAGE_BYTES];
    int length = vsnprintf(message, sizeof(message), format, arguments);
    size_t shown = length < 0 ? 0 : (size_t)length;
    if (shown >= sizeof(message)) {
        shown = sizeof(message) - 1;
    }
    size_t before = reader->faults->len;
    append_path(reader->faults, doc);
    mb_text_c(reader->faults, reader->faults->len == before ? "document: " : ": ");
    append_line(reader->faults, mb_slice_of(message, shown));
    mb_text_byte(reader->faults, '\n');
    if (reader->faults->status == MB_ENOMEM) {
        reader->status = MB_ENOMEM;
    }
}

void mb_doc_fault(const mb_doc *doc, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    note(doc, format, arguments);
    va_end(arguments);
}

void mb_doc_fault_at(const mb_doc *doc, const char *field, const char *format, ...) {
    mb_doc step = {.reader = doc->reader, .up = doc, .name = mb_slice_from_c(field)};
    va_list arguments;
    va_start(arguments, format);
    note(&step, format, arguments);
    va_end(arguments);
}
