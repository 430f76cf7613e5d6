/* See h1_cases.h. */
#include "h1_cases.h"

#include "base/alloc.h"
#include "mbtest.h"
#include <stdio.h>
#include <stdlib.h>

/* How an input is cut: `first` bytes, then pieces of `rest` bytes. */
typedef struct cut {
    size_t first, rest;
    bool apart, copy_heads, in_place;
} cut;

static h1_record *start(const mb_allocator *allocator, bool is_server,
                        const mb_codec_options *options) {
    h1_record *r = malloc(sizeof *r);

    MB_CHECK(r != NULL);
    if (!h1_record_init(r, allocator, is_server, options)) {
        free(r);
        return NULL;
    }
    return r;
}

static void stop(h1_record *r) {
    h1_record_fini(r);
    free(r);
}

static void feed(h1_record *r, mb_slice input, const cut *how) {
    size_t len = how->first < input.len ? how->first : input.len;

    for (size_t at = 0; at < input.len;) {
        mb_slice piece = {input.ptr + at, len};

        if (how->in_place) {
            h1_record_feed_in_place(r, piece);
        } else {
            h1_record_feed(r, piece, how->apart);
        }
        at += len;
        len = how->rest < input.len - at ? how->rest : input.len - at;
    }
}

static void fail(const h1_case *given, const h1_record *r, const cut *how) {
    char why[2048];
    mb_slice text = h1_record_text(r);

    snprintf(why, sizeof why, "%s (cut at %zu, then %zu%s%s%s):\n  got  %.*s\n  want %s",
             given->name, how->first, how->rest, how->apart ? ", apart" : "",
             how->copy_heads ? ", heads copied" : "", how->in_place ? ", guarded" : "",
             (int)(text.len < 900 ? text.len : 900), text.ptr, given->expected);
    MB_FAIL(why);
}

static void check(const h1_case *given, const h1_record *r, const cut *how) {
    mb_slice text = h1_record_text(r);

    if (given->expected[0] == '!') {
        if (r->failed != 1 || strcmp(r->error->reason, given->expected + 1) != 0) {
            fail(given, r, how);
        }
    } else if (text.len != strlen(given->expected) ||
               memcmp(text.ptr, given->expected, text.len) != 0) {
        fail(given, r, how);
    }
}

static void run(const h1_case *given, bool is_server, const mb_codec_options *options,
                bool then_end, const cut *how) {
    h1_record *r = start(mb_allocator_default(), is_server, options);
    const char *guarded = how->in_place ? mbtest_guard(given->input.ptr, given->input.len) : NULL;
    mb_slice input = {guarded != NULL ? guarded : given->input.ptr, given->input.len};

    MB_CHECK(r != NULL);
    r->copy_heads = how->copy_heads;
    if (!is_server) {
        MB_CHECK_EQ_INT(h1_record_request(r), MB_OK);
    }
    feed(r, input, how);
    if (then_end) {
        h1_record_end(r);
    }
    check(given, r, how);
    stop(r);
    if (guarded != NULL) {
        mbtest_guard_free(guarded, given->input.len);
    }
}

void h1_case_check(const h1_case *given, bool is_server, const mb_codec_options *options,
                   bool then_end) {
    size_t len = given->input.len;
    const cut whole[] = {
        {.first = len, .rest = 1},
        {.first = len, .rest = 1, .in_place = true},
        {.first = len, .rest = 1, .copy_heads = true},
        {.first = 1, .rest = 1},
        {.first = 1, .rest = 1, .apart = true},
        {.first = 1, .rest = 1, .apart = true, .copy_heads = true},
        {.first = 1, .rest = 1, .in_place = true},
        {.first = 2, .rest = 3, .apart = true},
    };

    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        run(given, is_server, options, then_end, &whole[i]);
    }
    for (size_t at = 1; at < len && len < 1000; at++) {
        run(given, is_server, options, then_end, &(cut){.first = at, .rest = len});
        run(given, is_server, options, then_end, &(cut){.first = at, .rest = len, .apart = true});
    }
}

void h1_cases_check(const h1_case *cases, size_t count, bool is_server,
                    const mb_codec_options *options) {
    for (size_t i = 0; i < count; i++) {
        h1_case_check(&cases[i], is_server, options, false);
    }
}

void h1_case_check_memory(mb_slice input, bool is_server) {
    bool failed = true;

    for (size_t n = 1; failed; n++) {
        mbtest_alloc *memory = mbtest_failing_alloc(n);
        h1_record *r = start(&memory->allocator, is_server, NULL);

        if (r != NULL) {
            if (is_server || h1_record_request(r) == MB_OK) {
                feed(r, input, &(cut){.first = 7, .rest = 11, .apart = true});
            }
            stop(r);
        }
        failed = memory->requests >= n;
        mbtest_alloc_free(memory);
    }
}
