/*
 * Fuzzes both HTTP/1.1 codecs. The first byte chooses codec and options, the second the cuts; the
 * rest is what the peer sends. It must be read the same whole and in pieces, with heads kept and
 * copied; and a request that is sent on must be read behind us as what it was here.
 */
#include "../native/support/h1_record.c"

#include "base/alloc.h"
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static mb_codec_options options_of(uint8_t choice) {
    return (mb_codec_options){
        .accept_http_10 = (choice & 2) != 0,
        .enable_trailers = (choice & 4) != 0,
        .drop_underscores = (choice & 8) != 0,
        .max_head_bytes = (choice & 16) != 0 ? 256 : 0,
        .max_header_count = (choice & 16) != 0 ? 5 : 0,
        .default_host = (choice & 32) != 0 ? MB_SLICE_LIT("dflt") : MB_SLICE_LIT(""),
    };
}

static h1_record *run(uint8_t choice, mb_slice input, size_t step, bool apart) {
    mb_codec_options options = options_of(choice);
    h1_record *r = malloc(sizeof *r);

    if (r == NULL || !h1_record_init(r, mb_allocator_default(), (choice & 1) != 0, &options)) {
        abort();
    }
    r->copy_heads = apart;
    r->answer_inside = (choice & 64) != 0;
    if (!r->is_server) {
        r->method = (choice & 32) != 0 ? MB_SLICE_LIT("HEAD") : MB_SLICE_LIT("GET");
        h1_record_request(r);
    }
    for (size_t at = 0; at < input.len; at += step) {
        size_t piece = step < input.len - at ? step : input.len - at;

        h1_record_feed(r, (mb_slice){input.ptr + at, piece}, apart);
    }
    if (r->in.length == 0) {
        h1_record_end(r);
    }
    return r;
}

static void drop(h1_record *r) {
    h1_record_fini(r);
    free(r);
}

/* Up to a fault the two say the same; which fault is met first may depend on the pieces, and so
 * may how much of a body was handed over before it. */
static size_t comparable(const h1_record *r) {
    const char *last = r->text + (r->length < sizeof r->text ? r->length : sizeof r->text);

    if (r->failed == 0) {
        return (size_t)(last - r->text);
    }
    for (last--; last > r->text && last[-1] != '\n'; last--) {
    }
    return (size_t)(last - r->text);
}

static void expect_same(const h1_record *a, const h1_record *b) {
    size_t len = comparable(a);

    if (a->failed != b->failed || comparable(b) != len || memcmp(a->text, b->text, len) != 0) {
        fprintf(stderr, "whole:  %.*s\npieces: %.*s\n", (int)(a->length % sizeof a->text), a->text,
                (int)(b->length % sizeof b->text), b->text);
        abort();
    }
}

static void expect_equal(mb_slice a, mb_slice b) {
    if (a.len != b.len || (a.len != 0 && memcmp(a.ptr, b.ptr, a.len) != 0)) {
        fprintf(stderr, "sent on as another: %.*s, was %.*s\n", (int)b.len, b.ptr, (int)a.len,
                a.ptr);
        abort();
    }
}

/* Sends the first request on and reads it again, as an upstream would. */
static void forward(uint8_t choice, mb_slice input) {
    mb_codec_options options = options_of(choice & ~8u);
    h1_record *from = malloc(sizeof *from), *to = malloc(sizeof *to), *next = malloc(sizeof *next);

    if (from == NULL || to == NULL || next == NULL ||
        !h1_record_init(from, mb_allocator_default(), true, &options) ||
        !h1_record_init(to, mb_allocator_default(), false, &options)) {
        abort();
    }
    options = (mb_codec_options){.enable_trailers = true, .max_head_bytes = 1u << 20};
    if (!h1_record_init(next, mb_allocator_default(), true, &options)) {
        abort();
    }
    from->by_hand = true;
    next->by_hand = true;
    h1_record_feed(from, input, false);
    if (from->begun == 1 && from->failed == 0) {
        to->stream.headers = &to->headers;
        to->codec->vtable->begin(to->codec, &to->stream);
        if (to->codec->vtable->send_headers(to->codec, &to->stream, &from->headers, false,
                                            &to->out) != MB_OK) {
            abort();
        }
        h1_record_feed(next, h1_record_written(to), false);
        if (next->failed != 0 || next->headers.count != from->headers.count) {
            abort();
        }
        for (int i = 0; i <= MB_PSEUDO_AUTHORITY; i++) {
            expect_equal(from->headers.pseudo[i], next->headers.pseudo[i]);
        }
        for (uint32_t i = 0; i < from->headers.count; i++) {
            expect_equal(from->headers.fields[i].name, next->headers.fields[i].name);
            expect_equal(from->headers.fields[i].value, next->headers.fields[i].value);
        }
    }
    drop(from);
    drop(to);
    drop(next);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    mb_slice input = {(const char *)bytes + 2, len - 2};
    h1_record *whole, *pieces, *single;

    if (len < 3 || len > 8192) {
        return 0;
    }
    whole = run(bytes[0], input, input.len, false);
    pieces = run(bytes[0], input, 1u + bytes[1] % 37u, true);
    single = run(bytes[0], input, 1, false);
    /* A client refuses bytes that come with a response's end, and takes them for the next response
     * when they come after the next request: then the pieces do matter. */
    if (whole->is_server || whole->ended == 0 || whole->failed == 0) {
        expect_same(whole, pieces);
        expect_same(whole, single);
    }
    if (whole->is_server) {
        forward(bytes[0], input);
    }
    drop(whole);
    drop(pieces);
    drop(single);
    return 0;
}
