/* The line finder of HTTP/1.1; see h1_lines.h. */
#include "http/h1_lines.h"

#include "http/h1_simd.h"

void mb_h1_lines_init(mb_h1_lines *lines, uint32_t *ends, uint32_t capacity) {
    lines->scan = mb_scan_select();
    lines->ends = ends;
    lines->capacity = capacity;
    mb_h1_lines_reset(lines);
}

/* A line ends at the CR of offset `end`. */
static inline mb_h1_fault end_line(mb_h1_lines *lines, uint32_t end) {
    uint32_t start = lines->count == 0 ? 0 : lines->ends[lines->count - 1] + 2;

    if (end == start) {
        lines->complete = true;
        return MB_H1_FINE;
    }
    if (lines->count == lines->capacity) {
        return MB_H1_TOO_MANY_FIELDS;
    }
    lines->ends[lines->count++] = end;
    return MB_H1_FINE;
}

/* From at[*i] up to where the next line's CR LF is not whole, or something else is wrong: *i is
 * then that place, or behind the section. */
static mb_h1_fault whole_lines(mb_h1_lines *lines, const char *at, size_t len, size_t *i) {
    uint32_t base = lines->scanned;
    mb_h1_fault fault = MB_H1_FINE;

    while (fault == MB_H1_FINE && !lines->complete) {
        *i += mb__text_length(at + *i, len - *i);
        if (*i + 1 >= len || at[*i] != '\r' || at[*i + 1] != '\n') {
            break;
        }
        fault = end_line(lines, base + (uint32_t)*i);
        *i += 2;
    }
    return fault;
}

mb_h1_fault mb_h1_lines_feed(mb_h1_lines *lines, const char *at, size_t len) {
    size_t i = 0;
    mb_h1_fault fault = MB_H1_FINE;

    if (lines->after_cr && len != 0) {
        lines->after_cr = false;
        i = 1;
        fault = at[0] == '\n' ? end_line(lines, lines->scanned - 1) : MB_H1_BARE_CR;
    }
    if (fault == MB_H1_FINE && !lines->complete) {
        fault = whole_lines(lines, at, len, &i);
    }
    if (fault == MB_H1_FINE && !lines->complete && i < len) {
        lines->after_cr = at[i] == '\r';
        if (!lines->after_cr) {
            fault = at[i] == '\n' ? MB_H1_BARE_LF : MB_H1_CONTROL;
        } else if (i + 1 < len) {
            fault = MB_H1_BARE_CR;
        }
        i++;
    }
    lines->scanned += (uint32_t)i;
    return fault;
}
