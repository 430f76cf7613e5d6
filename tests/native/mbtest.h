/*
 * A test harness for the C core: MB_TEST registers a case, a failed check ends that case only.
 *
 * A program is one test_<file>.c linked with mbtest.c. Without arguments it runs every case, with
 * names those; `--list` prints the names. tests/native/test_native.py runs each case by itself.
 */
#ifndef MBTEST_H
#define MBTEST_H

#include <moebridge/common.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct mbtest_case {
    const char *name;
    void (*run)(void);
    struct mbtest_case *next;
} mbtest_case;

void mbtest_register(mbtest_case *test);

/* MB_TEST(bare_cr_in_a_value_is_refused) { ... } */
#define MB_TEST(name)                                                                              \
    static void name(void);                                                                        \
    static mbtest_case mbtest_case_##name = {#name, name, NULL};                                   \
    __attribute__((constructor)) static void mbtest_register_##name(void) {                        \
        mbtest_register(&mbtest_case_##name);                                                      \
    }                                                                                              \
    static void name(void)

/* Checks end the running case when they fail. They work in helpers too, not on other threads. */
#define MB_CHECK(condition) mbtest_check((condition), __FILE__, __LINE__, #condition)
#define MB_CHECK_EQ_INT(got, want)                                                                 \
    mbtest_check_eq_int((long long)(got), (long long)(want), __FILE__, __LINE__, #got)
#define MB_CHECK_EQ_SLICE(got, want) mbtest_check_eq_slice((got), (want), __FILE__, __LINE__, #got)
/* `want` is a string literal; NUL inside it is a byte like any other. */
#define MB_CHECK_EQ_LIT(got, want) MB_CHECK_EQ_SLICE(got, MB_SLICE_LIT(want))
#define MB_FAIL(why) mbtest_fail(__FILE__, __LINE__, (why))

_Noreturn void mbtest_fail(const char *file, int line, const char *why);
void mbtest_check_eq_int(long long got, long long want, const char *file, int line,
                         const char *text);
void mbtest_check_eq_slice(mb_slice got, mb_slice want, const char *file, int line,
                           const char *text);

static inline void mbtest_check(bool good, const char *file, int line, const char *text) {
    if (!good) {
        mbtest_fail(file, line, text);
    }
}

/* A copy of `len` bytes that ends at an unreadable page: reading one byte too many is a fault, also
 * where no sanitizer looks. `len` 0 gives the address of that page. Release with the same `len`. */
const char *mbtest_guard(const void *data, size_t len);
void mbtest_guard_free(const void *guarded, size_t len);

/* An allocator that answers NULL to its `fail_at`-th request (1 is the first; 0 never) and to all
 * after it when `keep_failing` is set. `alloc` and a growing `resize` are requests. It ends the
 * case when a size given to `resize` or `free` isn't that of the call that made the block.
 *
 *     for (size_t n = 1, failed = 1; failed; n++) {
 *         mbtest_alloc *memory = mbtest_failing_alloc(n);
 *         ... use &memory->allocator, expect MB_ENOMEM or success ...
 *         failed = memory->requests >= n;
 *         MB_CHECK_EQ_INT(memory->outstanding, 0);
 *         mbtest_alloc_free(memory);
 *     }
 */
typedef struct mbtest_alloc {
    mb_allocator allocator; /* hand out its address */
    size_t fail_at;
    size_t requests; /* so far, those that failed included */
    size_t outstanding;
    size_t outstanding_bytes;
    bool keep_failing;
} mbtest_alloc;

mbtest_alloc *mbtest_failing_alloc(size_t fail_at);
void mbtest_alloc_free(mbtest_alloc *memory); /* fails the case when blocks are outstanding */

/* A clock that stands still until the test moves it. */
typedef struct mbtest_clock {
    mb_clock clock; /* hand out its address */
    uint64_t monotonic_us;
    uint64_t wall_us;
} mbtest_clock;

void mbtest_clock_init(mbtest_clock *clock, uint64_t monotonic_us, uint64_t wall_us);
void mbtest_clock_advance_us(mbtest_clock *clock, uint64_t by_us); /* both times */

#endif
