/*
 * Vector scans over bytes: the inner loops of the HTTP/1 parser and of body filters.
 *
 * A table of functions is chosen once by what the processor has and then held by its users
 * (parser, slab pool); all tables give the same answers. No function reads outside [at, at+len),
 * so input may end at an unreadable page; a parser passes all it has, not just one field, which
 * lets short fields be scanned with one load.
 *
 * "Stops at" functions return the index of the first byte that does not belong, or `len`.
 */
#ifndef MB_BASE_SCAN_H
#define MB_BASE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MB_SCAN_NONE SIZE_MAX

typedef struct mb_scan_ops {
    const char *name; /* "avx2", "sse4.2", "neon", "plain" */
    /* Field values. Stops at CR, LF, NUL, every other control but HTAB, and DEL; bytes from 0x80
     * on belong. RFC 9110 5.5. */
    size_t (*value)(const char *at, size_t len);
    /* Request targets. Stops outside 0x21..0x7e. */
    size_t (*target)(const char *at, size_t len);
    /* Names and methods. Stops at what is not a tchar. RFC 9110 5.6.2. */
    size_t (*token)(const char *at, size_t len);
    /* The same; `*upper` is set to whether one of the bytes before the stop is A-Z. */
    size_t (*token_case)(const char *at, size_t len, bool *upper);
    /* Makes A-Z lower-case in place. */
    void (*lower)(char *at, size_t len);
    /* Index of the first `needle` of `needle_len` >= 1 bytes, or MB_SCAN_NONE. */
    size_t (*find)(const char *at, size_t len, const char *needle, size_t needle_len);
    /* Matches that do not overlap, from `*from` on and wholly inside `len`. `*from` grows to where
     * one that goes on behind `len` may begin: the end of the last match, unchanged when there is
     * none, and `len` for a needle of one byte. */
    size_t (*count)(const char *at, size_t len, const char *needle, size_t needle_len,
                    size_t *from);
} mb_scan_ops;

/* The best table for this processor. Constant; any thread; valid for ever. */
const mb_scan_ops *mb_scan_select(void);
/* The index-th table that this processor can run, best first, NULL behind the last. For tests. */
const mb_scan_ops *mb_scan_variant(size_t index);

extern const mb_scan_ops mb__scan_plain;
#if defined(__x86_64__)
extern const mb_scan_ops mb__scan_sse42;
extern const mb_scan_ops mb__scan_avx2;
#elif defined(__aarch64__)
extern const mb_scan_ops mb__scan_neon;
#endif

#endif
