/*
 * Line finder: where the lines of a head or of trailers end, over bytes that come in pieces.
 *
 * First pass of the parser. It looks at every byte once, however the input is cut, and refuses
 * bare CR, bare LF and controls at once, so that rubbish is answered before a head is complete.
 * The second pass (h1_parse.h) then works on whole lines and never meets an end of input.
 *
 * Offsets count from the first byte of the section; line i is [end(i - 1) + 2, end(i)).
 * RFC 9112 2.2.
 */
#ifndef MB_HTTP_H1_LINES_H
#define MB_HTTP_H1_LINES_H

#include "base/scan.h"
#include "http/h1_fault.h"

typedef struct mb_h1_lines {
    const mb_scan_ops *scan;
    uint32_t scanned; /* bytes of the section seen so far; all of them when complete */
    uint32_t count;   /* lines that are complete, without the empty one that ends the section */
    uint32_t capacity;
    bool after_cr;  /* the last byte was CR */
    bool complete;  /* the empty line was seen */
    uint32_t *ends; /* offset of the CR of each line; the owner's memory, `capacity` numbers */
} mb_h1_lines;

void mb_h1_lines_init(mb_h1_lines *lines, uint32_t *ends, uint32_t capacity);
/* For the next section. */
static inline void mb_h1_lines_reset(mb_h1_lines *lines) {
    lines->scanned = 0;
    lines->count = 0;
    lines->after_cr = false;
    lines->complete = false;
}
/* Takes the next bytes of the section, until it is complete: `scanned` grows by what was used.
 * MB_H1_FINE or the fault; a section of more than UINT32_MAX bytes must be stopped before. */
mb_h1_fault mb_h1_lines_feed(mb_h1_lines *lines, const char *at, size_t len);

/* The index-th line of the whole section at `base`, without CRLF. */
static inline mb_slice mb_h1_lines_get(const mb_h1_lines *lines, const char *base, uint32_t index) {
    uint32_t start = index == 0 ? 0 : lines->ends[index - 1] + 2;

    return (mb_slice){base + start, lines->ends[index] - start};
}

#endif
