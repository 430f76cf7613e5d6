/*
 * The harness behind mbtest.h: runner, checks, guarded copies, failing allocator, settable clock.
 *
 * One case at a time, on the main thread; a failed check jumps back into the runner, so a case that
 * fails may leak (and only then).
 */
#include "mbtest.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static mbtest_case *first_case;
static mbtest_case **last_case = &first_case;
static const mbtest_case *running;
static jmp_buf back_to_runner;

void mbtest_register(mbtest_case *test) {
    *last_case = test;
    last_case = &test->next;
}

void mbtest_fail(const char *file, int line, const char *why) {
    printf("FAIL %s %s:%d: %s\n", running != NULL ? running->name : "?", file, line, why);
    fflush(stdout);
    if (running == NULL) {
        exit(1);
    }
    longjmp(back_to_runner, 1);
}

void mbtest_check_eq_int(long long got, long long want, const char *file, int line,
                         const char *text) {
    if (got != want) {
        char why[512];
        snprintf(why, sizeof(why), "%s is %lld, want %lld", text, got, want);
        mbtest_fail(file, line, why);
    }
}

/* Writes `slice` as a C literal into `out`, cut where it ends. */
static void quote(char *out, size_t size, mb_slice slice) {
    size_t used = 0;
    for (size_t i = 0; i < slice.len && used + 8 < size; i++) {
        unsigned char byte = (unsigned char)slice.ptr[i];
        bool plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
        used += (size_t)snprintf(out + used, size - used, plain ? "%c" : "\\x%02x", byte);
    }
    out[used] = '\0';
}

void mbtest_check_eq_slice(mb_slice got, mb_slice want, const char *file, int line,
                           const char *text) {
    if (got.len == want.len && (got.len == 0 || memcmp(got.ptr, want.ptr, got.len) == 0)) {
        return;
    }
    char got_text[512];
    char want_text[512];
    char why[1280];
    quote(got_text, sizeof(got_text), got);
    quote(want_text, sizeof(want_text), want);
    snprintf(why, sizeof(why), "%s is (%zu) \"%s\", want (%zu) \"%s\"", text, got.len, got_text,
             want.len, want_text);
    mbtest_fail(file, line, why);
}

static size_t page_bytes(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Bytes of the readable pages that hold `len` bytes: at least one page. */
static size_t readable_bytes(size_t len) {
    size_t page = page_bytes();
    return len == 0 ? page : (len + page - 1) / page * page;
}

const char *mbtest_guard(const void *data, size_t len) {
    size_t readable = readable_bytes(len);
    char *base = mmap(NULL, readable + page_bytes(), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MB_CHECK(base != MAP_FAILED);
    if (len > 0) {
        memcpy(base + readable - len, data, len);
    }
    MB_CHECK(mprotect(base + readable, page_bytes(), PROT_NONE) == 0);
    return base + readable - len;
}

void mbtest_guard_free(const void *guarded, size_t len) {
    size_t readable = readable_bytes(len);
    char *base = (char *)(uintptr_t)guarded + len - readable;
    MB_CHECK(munmap(base, readable + page_bytes()) == 0);
}

/* Stands before each block of the failing allocator, as large as the strictest alignment. */
typedef struct block_head {
    _Alignas(max_align_t) size_t bytes;
    size_t mark;
} block_head;

#define BLOCK_MARK ((size_t)0x6d62626c6f636b21)

static block_head *head_of(void *ptr, size_t bytes) {
    block_head *head = (block_head *)ptr - 1;
    if (head->mark != BLOCK_MARK) {
        MB_FAIL("resize or free of a block that isn't the allocator's, or written before it");
    }
    MB_CHECK_EQ_INT(bytes, head->bytes);
    return head;
}

static bool request_fails(mbtest_alloc *memory) {
    memory->requests++;
    return memory->requests == memory->fail_at ||
           (memory->keep_failing && memory->fail_at != 0 && memory->requests > memory->fail_at);
}

static void *failing_alloc(void *ctx, size_t bytes) {
    mbtest_alloc *memory = ctx;
    if (request_fails(memory)) {
        return NULL;
    }
    block_head *head = malloc(sizeof(*head) + bytes);
    if (head == NULL) {
        return NULL;
    }
    head->bytes = bytes;
    head->mark = BLOCK_MARK;
    memory->outstanding++;
    memory->outstanding_bytes += bytes;
    memset(head + 1, 0xa5, bytes);
    return head + 1;
}

static void failing_free(void *ctx, void *ptr, size_t bytes) {
    mbtest_alloc *memory = ctx;
    if (ptr == NULL) {
        return;
    }
    block_head *head = head_of(ptr, bytes);
    memory->outstanding--;
    memory->outstanding_bytes -= bytes;
    head->mark = 0;
    memset(ptr, 0x5a, bytes);
    free(head);
}

/* Always moves the block, so that a pointer kept across a resize is found out. */
static void *failing_resize(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    if (ptr != NULL) {
        head_of(ptr, old_bytes);
    }
    void *moved = failing_alloc(ctx, new_bytes);
    if (moved != NULL && ptr != NULL) {
        memcpy(moved, ptr, old_bytes < new_bytes ? old_bytes : new_bytes);
        failing_free(ctx, ptr, old_bytes);
    }
    return moved;
}

mbtest_alloc *mbtest_failing_alloc(size_t fail_at) {
    mbtest_alloc *memory = calloc(1, sizeof(*memory));
    MB_CHECK(memory != NULL);
    memory->allocator = (mb_allocator){memory, failing_alloc, failing_resize, failing_free};
    memory->fail_at = fail_at;
    return memory;
}

void mbtest_alloc_free(mbtest_alloc *memory) {
    size_t outstanding = memory->outstanding;
    free(memory);
    MB_CHECK_EQ_INT(outstanding, 0);
}

static uint64_t clock_monotonic_us(void *ctx) {
    return ((const mbtest_clock *)ctx)->monotonic_us;
}

static uint64_t clock_wall_us(void *ctx) {
    return ((const mbtest_clock *)ctx)->wall_us;
}

void mbtest_clock_init(mbtest_clock *clock, uint64_t monotonic_us, uint64_t wall_us) {
    clock->clock = (mb_clock){clock, clock_monotonic_us, clock_wall_us};
    clock->monotonic_us = monotonic_us;
    clock->wall_us = wall_us;
}

void mbtest_clock_advance_us(mbtest_clock *clock, uint64_t by_us) {
    clock->monotonic_us += by_us;
    clock->wall_us += by_us;
}

static int run_case(const mbtest_case *test) {
    running = test;
    int failed = setjmp(back_to_runner);
    if (failed == 0) {
        test->run();
        printf("ok %s\n", test->name);
        fflush(stdout);
    }
    return failed;
}

static int run_named(const char *name) {
    for (const mbtest_case *test = first_case; test != NULL; test = test->next) {
        if (strcmp(test->name, name) == 0) {
            return run_case(test);
        }
    }
    fprintf(stderr, "no case %s\n", name);
    return 1;
}

int main(int argc, char **argv) {
    int failed = 0;
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (const mbtest_case *test = first_case; test != NULL; test = test->next) {
            puts(test->name);
        }
        return 0;
    }
    for (int i = 1; i < argc; i++) {
        failed += run_named(argv[i]);
    }
    for (const mbtest_case *test = first_case; argc == 1 && test != NULL; test = test->next) {
        failed += run_case(test);
    }
    return failed == 0 ? 0 : 1;
}
