/* The line finder of HTTP/1.1; see h1_lines.h. */
#include "http/h1_lines.h"

void mb_h1_lines_init(mb_h1_lines *lines, uint32_t *ends, uint32_t capacity) {
    lines->scan = mb_scan_select();
    lines->ends = ends;
    lines->capacity = capacity;
    mb_h1_lines_reset(lines);
}

static mb_h1_fault fault_of(char c) {
    return c == '\n' ? MB_H1_BARE_LF : MB_H1_CONTROL;
}

/* `offset` is that of the LF. */
static mb_h1_fault end_line(mb_h1_lines *lines, uint32_t offset) {
    uint32_t start = lines->count == 0 ? 0 : lines->ends[lines->count - 1] + 2;

    lines->after_cr = false;
    if (offset - 1 == start) {
        lines->complete = true;
        return MB_H1_FINE;
    }
    if (lines->count == lines->capacity) {
        return MB_H1_TOO_MANY_FIELDS;
    }
    lines->ends[lines->count++] = offset - 1;
    return MB_H1_FINE;
}

mb_h1_fault mb_h1_lines_feed(mb_h1_lines *lines, const char *at, size_t len) {
    uint32_t base = lines->scanned;
    size_t i = 0;
    mb_h1_fault fault = MB_H1_FINE;

    while (i < len && fault == MB_H1_FINE && !lines->complete) {
        if (lines->after_cr) {
            fault = at[i] == '\n' ? end_line(lines, base + (uint32_t)i) : MB_H1_BARE_CR;
            i++;
            continue;
        }
        i += lines->scan->value(at + i, len - i);
        if (i == len) {
            break;
        }
        if (at[i] != '\r') {
            fault = fault_of(at[i]);
        }
        lines->after_cr = true;
        i++;
    }
    lines->scanned = base + (uint32_t)i;
    return fault;
}
