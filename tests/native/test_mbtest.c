/*
 * The harness itself: what a check, a guard, the failing allocator and the clock promise.
 */
#include "mbtest.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

MB_TEST(guarded_copy_has_the_same_bytes) {
    const char *copy = mbtest_guard("a\0b", 3);
    MB_CHECK_EQ_LIT(((mb_slice){copy, 3}), "a\0b");
    mbtest_guard_free(copy, 3);
}

MB_TEST(guarded_copy_may_be_longer_than_a_page) {
    char data[10000];
    memset(data, 'x', sizeof(data));
    const char *copy = mbtest_guard(data, sizeof(data));
    MB_CHECK(memcmp(copy, data, sizeof(data)) == 0);
    mbtest_guard_free(copy, sizeof(data));
}

/* True when reading `*at` ends a child by a signal (or by the sanitizer, which exits non-zero). */
static bool reading_faults(const volatile char *at) {
    pid_t child = fork();
    MB_CHECK(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        close(STDERR_FILENO);
        char byte = *at;
        (void)byte;
        _exit(0);
    }
    int status = 0;
    MB_CHECK(waitpid(child, &status, 0) == child);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

MB_TEST(byte_behind_a_guarded_copy_is_unreadable) {
    const char *copy = mbtest_guard("abc", 3);
    MB_CHECK(!reading_faults(copy + 2));
    MB_CHECK(reading_faults(copy + 3));
    mbtest_guard_free(copy, 3);
    const char *empty = mbtest_guard(NULL, 0);
    MB_CHECK(reading_faults(empty));
    mbtest_guard_free(empty, 0);
}

MB_TEST(nth_request_fails_and_only_that) {
    mbtest_alloc *memory = mbtest_failing_alloc(2);
    mb_allocator *allocator = &memory->allocator;
    void *first = allocator->alloc(allocator->ctx, 8);
    MB_CHECK(first != NULL);
    MB_CHECK(allocator->resize(allocator->ctx, first, 8, 16) == NULL);
    void *third = allocator->resize(allocator->ctx, first, 8, 16);
    MB_CHECK(third != NULL);
    MB_CHECK_EQ_INT(memory->requests, 3);
    MB_CHECK_EQ_INT(memory->outstanding, 1);
    MB_CHECK_EQ_INT(memory->outstanding_bytes, 16);
    allocator->free(allocator->ctx, third, 16);
    mbtest_alloc_free(memory);
}

MB_TEST(all_requests_fail_from_the_nth_on) {
    mbtest_alloc *memory = mbtest_failing_alloc(1);
    memory->keep_failing = true;
    MB_CHECK(memory->allocator.alloc(memory->allocator.ctx, 1) == NULL);
    MB_CHECK(memory->allocator.alloc(memory->allocator.ctx, 1) == NULL);
    mbtest_alloc_free(memory);
}

MB_TEST(clock_stands_still_until_it_is_moved) {
    mbtest_clock clock;
    mbtest_clock_init(&clock, 5, 1000);
    MB_CHECK_EQ_INT(clock.clock.monotonic_us(clock.clock.ctx), 5);
    mbtest_clock_advance_us(&clock, 10);
    MB_CHECK_EQ_INT(clock.clock.monotonic_us(clock.clock.ctx), 15);
    MB_CHECK_EQ_INT(clock.clock.wall_us(clock.clock.ctx), 1010);
}
