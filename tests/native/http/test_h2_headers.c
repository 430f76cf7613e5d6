/* What a head must be to be believed: as many good ones accepted as bad ones refused. */
#include "../mbtest.h"

#include "../support/h2_rig.h"
#include "base/alloc.h"
#include <stdio.h>
#include <stdlib.h>

#define PSEUDO ":method: GET\n:scheme: https\n:path: /\n:authority: a\n"

/* What becomes of a request with that head, on a server with these options. */
static h2_rig *read_with(const mb_codec_options *options, const char *fields, int flags) {
    h2_rig *rig = h2_rig_new(mb_allocator_default(), NULL, true, options);
    h2_bytes *bytes = h2_bytes_new();

    MB_CHECK(rig != NULL);
    h2_put_preface(bytes);
    h2_put_headers(bytes, 1, flags, fields);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    free(bytes);
    return rig;
}

static void expect(const char *fields, const char *text) {
    mb_codec_options options = {.h2.allow_connect = true};
    h2_rig *rig = read_with(&options, fields, H2_END_STREAM);

    MB_CHECK_EQ_SLICE(h2_rig_text(rig), ((mb_slice){text, strlen(text)}));
    h2_rig_free(rig);
}

static void refuse(const char *fields) {
    mb_codec_options options = {.max_head_bytes = 0};
    h2_rig *rig = read_with(&options, fields, H2_END_STREAM);
    h2_flow *flow = h2_rig_flow(rig, 1);
    mb_slice frames;

    MB_CHECK(flow != NULL && flow->reset && flow->events == 0);
    MB_CHECK_EQ_INT(rig->failed, 0);
    MB_CHECK_EQ_INT(rig->counters.rx_messaging_error, 1);
    frames = h2_rig_frames(rig);
    MB_CHECK(strstr(frames.ptr, "RST_STREAM 1 PROTOCOL_ERROR") != NULL);
    h2_rig_free(rig);
}

MB_TEST(good_heads_are_accepted) {
    expect(PSEUDO, "1 GET a / https end\n");
    expect(":path: /x?y#\n:method: GET\n:scheme: http\n:authority: a\n" + 0,
           "1 reset protocol http2.violation.of.messaging.rule\n");
    expect(":path: /x?y\n:method: GET\n:scheme: HTTP\n:authority: [::1]:80\n",
           "1 GET [::1]:80 /x?y http end\n");
    expect(":method: GET\n:scheme: https\n:path: /\nhost: b:1\n", "1 GET b:1 / https end\n");
    expect(PSEUDO "host: A\nx: 1\n", "1 GET a / https|x=1 end\n");
    expect(":method: OPTIONS\n:scheme: https\n:path: *\n:authority: a\n",
           "1 OPTIONS a * https end\n");
    expect(PSEUDO "te: trailers\nx-long: \n", "1 GET a / https|te=trailers|x-long= end\n");
    expect(PSEUDO "te: TRAILERS\n", "1 GET a / https|te=trailers end\n");
    expect(PSEUDO "content-length: 0\n", "1 GET a / https|content-length=0 end\n");
    expect(PSEUDO "x: \xff\xfe\n", "1 GET a / https|x=\xff\xfe end\n");
    expect(PSEUDO "x: a\tb\nx: c\n", "1 GET a / https|x=a\tb|x=c end\n");
    expect(PSEUDO "x_y: 1\n", "1 GET a / https|x_y=1 end\n");
    expect(PSEUDO "http2-settings: abc\nexpect: 100-continue\n",
           "1 GET a / https|expect=100-continue end\n");
    expect(":method: CONNECT\n:authority: a:443\n", "1 CONNECT a:443 end\n");
    expect(":method: CONNECT\n:scheme: https\n:path: /chat\n:authority: a\n:protocol: websocket\n",
           "1 GET a /chat https|upgrade=websocket end\n");
}

MB_TEST(malformed_heads_reset_their_stream) {
    refuse(":method: GET\n:scheme: https\n:path: /\n");                      /* no authority */
    refuse(":method: GET\n:scheme: https\n:authority: a\n");                 /* no path */
    refuse(":method: GET\n:path: /\n:authority: a\n");                       /* no scheme */
    refuse(":scheme: https\n:path: /\n:authority: a\n");                     /* no method */
    refuse(PSEUDO ":method: GET\n");                                         /* twice */
    refuse(PSEUDO ":path: /\n");                                             /* twice */
    refuse(PSEUDO ":scheme: https\n");                                       /* twice */
    refuse(PSEUDO ":authority: a\n");                                        /* twice */
    refuse(PSEUDO ":status: 200\n");                                         /* a response's */
    refuse(PSEUDO ":foo: 1\n");                                              /* unknown */
    refuse(PSEUDO ":protocol: websocket\n");                                 /* not offered */
    refuse(":method: GET\n:scheme: https\nx: 1\n:path: /\n:authority: a\n"); /* out of order */
    refuse(PSEUDO "X: 1\n");
    refuse(PSEUDO "x y: 1\n");
    refuse(PSEUDO "x: a\x01\n");
    refuse(PSEUDO "x: a\x7f\n");
    refuse(PSEUDO "x: a\rb\n");
    refuse(PSEUDO "x:  a\n"); /* leading space */
    refuse(PSEUDO "x: a \n");
    refuse(PSEUDO "connection: close\n");
    refuse(PSEUDO "keep-alive: 1\n");
    refuse(PSEUDO "proxy-connection: close\n");
    refuse(PSEUDO "transfer-encoding: chunked\n");
    refuse(PSEUDO "upgrade: h2c\n");
    refuse(PSEUDO "te: gzip\n");
    refuse(PSEUDO "te: trailers, deflate\n");
    refuse(PSEUDO "host: b\n"); /* another than :authority */
    refuse(PSEUDO "host: a\nhost: a\n");
    refuse(PSEUDO "content-length: 1\ncontent-length: 1\n");
    refuse(PSEUDO "content-length: -1\n");
    refuse(PSEUDO "content-length: 1\n"); /* and END_STREAM */
    refuse(":method: GET\n:scheme: https\n:path: \n:authority: a\n");
    refuse(":method: GET\n:scheme: https\n:path: x\n:authority: a\n");
    refuse(":method: GET\n:scheme: https\n:path: *\n:authority: a\n");
    refuse(":method: GET\n:scheme: https\n:path: /a b\n:authority: a\n");
    refuse(":method: GET\n:scheme: https\n:path: /\xc3\xa4\n:authority: a\n");
    refuse(":method: GET\n:scheme: ftp\n:path: /\n:authority: a\n");
    refuse(":method: G T\n:scheme: https\n:path: /\n:authority: a\n");
    refuse(":method: GET\n:scheme: https\n:path: /\n:authority: u@a\n");
    refuse(":method: GET\n:scheme: https\n:path: /\n:authority: a:b\n");
    refuse(":method: GET\n:scheme: https\n:path: /\nhost: a/b\n");
    refuse(":method: CONNECT\n:authority: a:1\n:path: /\n:scheme: https\n");
    refuse(":method: CONNECT\nhost: a:1\n");
}

MB_TEST(a_refused_head_leaves_the_connection_and_hpack_in_order) {
    h2_rig *rig = h2_rig_new(mb_allocator_default(), NULL, true, NULL);
    h2_bytes *bytes = h2_bytes_new();

    h2_put_preface(bytes);
    h2_put_headers(bytes, 1, H2_END_STREAM, PSEUDO "upgrade: x\nlate: 1\n");
    h2_put_headers(bytes, 3, H2_END_STREAM, PSEUDO "b: 2\n");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_text(rig), "1 reset protocol http2.invalid.header.field\n"
                                      "3 GET a / https|b=2 end\n");
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(crumbs_of_a_cookie_become_one_field) {
    expect(PSEUDO "cookie: a=1\nx: 1\ncookie: b=2\ncookie: c=3\n",
           "1 GET a / https|cookie=a=1; b=2; c=3|x=1 end\n");
    expect(PSEUDO "cookie: \ncookie: b=2\n", "1 GET a / https|cookie=; b=2 end\n");
}

/* A head with `count` fields of `len` bytes each. */
static h2_rig *many(const mb_codec_options *options, const char *name, int count, int len) {
    size_t room = (size_t)count * (strlen(name) + (size_t)len + 16) + 256, at;
    char *fields = malloc(room);
    h2_rig *rig;

    at = (size_t)snprintf(fields, room, "%s", PSEUDO);
    for (int i = 0; i < count; i++) {
        at += (size_t)snprintf(fields + at, room - at, "%s: %0*d\n", name, len, i);
    }
    rig = read_with(options, fields, H2_END_STREAM);
    free(fields);
    return rig;
}

MB_TEST(limits_count_decoded_bytes_and_fields_and_reset_the_stream) {
    mb_codec_options options = {.max_head_bytes = 1000, .max_header_count = 20};
    h2_rig *rig = many(&options, "x", 16, 8);

    MB_CHECK(h2_rig_flow(rig, 1)->ended);
    h2_rig_free(rig);
    rig = many(&options, "x", 17, 8); /* pseudo-headers count: 21 */
    MB_CHECK_EQ_LIT(h2_rig_text(rig), "1 reset protocol http2.too_many_headers\n");
    MB_CHECK_EQ_INT(rig->counters.header_overflow, 1);
    MB_CHECK_EQ_INT(rig->failed, 0);
    MB_CHECK(strstr(h2_rig_frames(rig).ptr, "RST_STREAM 1 INTERNAL_ERROR") != NULL);
    h2_rig_free(rig);
    rig = many(&options, "x", 10, 96);
    MB_CHECK(h2_rig_flow(rig, 1)->ended == false);
    h2_rig_free(rig);
    /* Crumbs count as one field, but each with its bytes: 6 for the name. */
    rig = many(&options, "cookie", 60, 9);
    MB_CHECK(h2_rig_flow(rig, 1)->ended);
    h2_rig_free(rig);
    rig = many(&options, "cookie", 70, 9);
    MB_CHECK(h2_rig_flow(rig, 1)->reset);
    h2_rig_free(rig);
    options.max_uri_bytes = 10;
    rig =
        read_with(&options, ":method: GET\n:scheme: https\n:path: /123456789\n:authority: a\n", 1);
    MB_CHECK(h2_rig_flow(rig, 1)->ended);
    h2_rig_free(rig);
    rig =
        read_with(&options, ":method: GET\n:scheme: https\n:path: /1234567890\n:authority: a\n", 1);
    MB_CHECK(h2_rig_flow(rig, 1)->reset);
    h2_rig_free(rig);
}

MB_TEST(a_large_head_in_many_frames_is_read) {
    h2_rig *rig = h2_rig_new(mb_allocator_default(), NULL, true, NULL);
    h2_bytes *bytes = h2_bytes_new(), *block = h2_bytes_new();
    char *value = malloc(50000);

    memset(value, 'v', 50000);
    h2_put_preface(bytes);
    h2_put_field(block, MB_SLICE_LIT(":method"), MB_SLICE_LIT("GET"));
    h2_put_field(block, MB_SLICE_LIT(":scheme"), MB_SLICE_LIT("http"));
    h2_put_field(block, MB_SLICE_LIT(":path"), MB_SLICE_LIT("/"));
    h2_put_field(block, MB_SLICE_LIT(":authority"), MB_SLICE_LIT("a"));
    h2_put_field(block, MB_SLICE_LIT("x"), (mb_slice){value, 50000});
    for (size_t at = 0; at < block->length; at += 10000) {
        size_t left = block->length - at, take = left < 10000 ? left : 10000;

        h2_put_frame(bytes, at == 0 ? H2_HEADERS : H2_CONTINUATION,
                     (at == 0 ? H2_END_STREAM : 0) | (take == left ? H2_END_HEADERS : 0), 1,
                     (mb_slice){block->data + at, take});
    }
    MB_CHECK_EQ_INT(h2_rig_feed(rig, h2_bytes_slice(bytes), 1), MB_OK);
    MB_CHECK(h2_rig_flow(rig, 1)->ended);
    MB_CHECK_EQ_INT(h2_rig_flow(rig, 1)->headers.fields[0].value.len, 50000);
    free(value);
    free(block);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(names_with_underscores_are_refused_or_dropped_when_told_so) {
    mb_codec_options options = {.reject_underscores = true};
    h2_rig *rig = read_with(&options, PSEUDO "x_y: 1\n", H2_END_STREAM);

    MB_CHECK_EQ_LIT(h2_rig_text(rig), "1 reset protocol http2.unexpected_underscore\n");
    MB_CHECK_EQ_INT(rig->counters.requests_rejected_with_underscores_in_headers, 1);
    h2_rig_free(rig);
    options = (mb_codec_options){.drop_underscores = true};
    rig = read_with(&options, PSEUDO "x_y: 1\nz: 2\n", H2_END_STREAM);
    MB_CHECK_EQ_LIT(h2_rig_text(rig), "1 GET a / https|z=2 end\n");
    MB_CHECK_EQ_INT(rig->counters.dropped_headers_with_underscores, 1);
    h2_rig_free(rig);
}

static void expect_trailers(const char *fields, int flags, const char *text) {
    mb_codec_options options = {.max_trailer_bytes = 100};
    h2_rig *rig = read_with(&options, PSEUDO, 0);
    h2_bytes *bytes = h2_bytes_new();

    h2_put_frame(bytes, H2_DATA, 0, 1, MB_SLICE_LIT("abc"));
    h2_put_headers(bytes, 1, flags, fields);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_SLICE(h2_rig_text(rig), ((mb_slice){text, strlen(text)}));
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(trailers_end_the_message_and_decide_nothing) {
    expect_trailers("a: 1\n", H2_END_STREAM, "1 GET a / https [abc] trailers|a=1 end\n");
    expect_trailers("authorization: x\nhost: a\nb: 2\n", H2_END_STREAM,
                    "1 GET a / https [abc] trailers|b=2 end\n");
    expect_trailers("authorization: x\n", H2_END_STREAM, "1 GET a / https [abc] end\n");
    expect_trailers(":path: /\n", H2_END_STREAM,
                    "1 GET a / https reset protocol http2.invalid.header.field\n");
    expect_trailers("a: 1\n", 0,
                    "1 GET a / https reset protocol http2.violation.of.messaging.rule\n");
    expect_trailers("a: 0123456789012345678901234567890123456789012345678901234567890123456789"
                    "0123456789012345678901234567890\n",
                    H2_END_STREAM, "1 GET a / https reset protocol http2.too_many_headers\n");
}
