/*
 * Types that every moebridge header shares: slices, errors, allocator, clock, logging.
 *
 * Source: contract of the native core. Nothing here allocates or keeps state.
 */
#ifndef MOEBRIDGE_COMMON_H
#define MOEBRIDGE_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MB_API __attribute__((visibility("default")))

/* cffi: begin */

/* Version of the filter ABI: the major number in the upper 16 bits, the minor in the lower. A
 * host loads a module of the same major and of a minor not above its own. */
#define MB_ABI_VERSION 0x00010001

/* Bytes that somebody else owns; not NUL-terminated. `len == 0` allows any `ptr`. */
typedef struct mb_slice {
    const char *ptr;
    size_t len;
} mb_slice;

/* Results: >= 0 is success, < 0 one of these. */
enum {
    MB_OK = 0,
    MB_EAGAIN = -1,    /* not yet: more input or a later event is needed */
    MB_ENOMEM = -2,    /* the allocator answered NULL */
    MB_EINVAL = -3,    /* an argument breaks the function's contract */
    MB_ENOTFOUND = -4, /* no such name, index or object */
    MB_EPHASE = -5,    /* not allowed in this phase of the stream */
    MB_EGONE = -6,     /* the stream has ended */
    MB_ELIMIT = -7,    /* a configured bound would be passed */
    MB_EPROTO = -8,    /* the peer's bytes break the protocol */
    MB_EIO = -9,       /* a system call failed; errno is kept where it is documented */
    MB_ECLOSED = -10,  /* the peer closed */
    MB_ECONFIG = -11,  /* the configuration was refused; the errors say why */
    MB_EABI = -12,     /* a module was built for an ABI that this host does not speak */
    MB_ETHREAD = -13   /* called from a thread that does not own the object */
};

/* Severity of a log line, as in Envoy's --log-level. */
typedef enum mb_log_level {
    MB_LOG_TRACE = 0,
    MB_LOG_DEBUG = 1,
    MB_LOG_INFO = 2,
    MB_LOG_WARNING = 3,
    MB_LOG_ERROR = 4,
    MB_LOG_CRITICAL = 5,
    MB_LOG_OFF = 6
} mb_log_level;

/* Memory of the core, injected so that tests can fail the n-th request. `alloc` and `resize`
 * answer NULL when out of memory; sizes are those of the call that made the block. */
typedef struct mb_allocator {
    void *ctx;
    void *(*alloc)(void *ctx, size_t bytes);
    void *(*resize)(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes);
    void (*free)(void *ctx, void *ptr, size_t bytes);
} mb_allocator;

/* Time of the core, injected so that tests can set it. */
typedef struct mb_clock {
    void *ctx;
    uint64_t (*monotonic_us)(void *ctx); /* never goes back; the origin means nothing */
    uint64_t (*wall_us)(void *ctx);      /* microseconds since 1970-01-01 UTC */
} mb_clock;

/* Receives every log line of the core on the thread that made it. `text` is valid in the call. */
typedef struct mb_logger {
    void *ctx;
    void (*log)(void *ctx, mb_log_level level, mb_slice component, mb_slice text);
    mb_log_level level; /* lines below this are not made at all */
} mb_logger;

/* cffi: end */

/* A slice over a string literal. */
#define MB_SLICE_LIT(text) ((mb_slice){(text), sizeof(text) - 1})

#endif
