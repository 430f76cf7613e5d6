/* The HTTP/2 codec towards upstreams, against frames written by hand. */
#include "../mbtest.h"

#include "../support/h2_rig.h"
#include "base/alloc.h"
#include <stdlib.h>

static h2_rig *client_with(const mb_codec_options *options) {
    h2_rig *rig = h2_rig_new(mb_allocator_default(), NULL, false, options);
    h2_bytes *bytes = h2_bytes_new();

    MB_CHECK(rig != NULL);
    h2_put_frame(bytes, H2_SETTINGS, 0, 0, MB_SLICE_LIT(""));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig),
                    "preface; SETTINGS 3; SETTINGS ack; WINDOW_UPDATE 0 983041");
    free(bytes);
    return rig;
}

static h2_flow *get(h2_rig *rig) {
    int rc;
    h2_flow *flow = h2_rig_request(rig, "GET", "/", true, &rc);

    MB_CHECK_EQ_INT(rc, MB_OK);
    return flow;
}

static void expect_response(const char *fields, int flags, const char *text) {
    h2_rig *rig = client_with(NULL);
    h2_bytes *bytes = h2_bytes_new();

    get(rig);
    h2_put_headers(bytes, 1, flags, fields);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_SLICE(h2_rig_text(rig), ((mb_slice){text, strlen(text)}));
    MB_CHECK_EQ_INT(rig->failed, 0);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(responses_are_read_and_malformed_ones_reset_their_stream) {
    const char *bad = "1 reset protocol http2.invalid.header.field\n";
    const char *broken = "1 reset protocol http2.violation.of.messaging.rule\n";

    expect_response(":status: 200\na: 1\n", 1, "1 200|a=1 end\n");
    expect_response(":status: 204\ncontent-length: 0\n", 1, "1 204 end\n");
    expect_response(":status: 304\ncontent-length: 10\n", 1, "1 304|content-length=10 end\n");
    expect_response(":status: 200\nset-cookie: a\nset-cookie: b\n", 1,
                    "1 200|set-cookie=a|set-cookie=b end\n");
    expect_response(":status: 999\n", 1, "1 999 end\n");
    expect_response(":status: 101\n", 1, bad);
    expect_response(":status: 20\n", 1, bad);
    expect_response(":status: abc\n", 1, bad);
    expect_response(":status: 012\n", 1, broken);
    expect_response("a: 1\n", 1, broken);
    expect_response(":status: 200\n:status: 200\n", 1, bad);
    expect_response(":status: 200\n:path: /\n", 1, bad);
    expect_response("a: 1\n:status: 200\n", 1, bad);
    expect_response(":status: 200\nconnection: close\n", 1, bad);
    expect_response(":status: 204\ncontent-length: 3\n", 1, bad);
    expect_response(":status: 200\ncontent-length: 3\n", 1, broken);
    expect_response(":status: 103\n", 1, broken);
}

MB_TEST(informational_responses_come_one_by_one_and_are_bounded) {
    mb_codec_options options = {.max_informational = 2};
    h2_rig *rig = client_with(&options);
    h2_bytes *bytes = h2_bytes_new();

    get(rig);
    h2_put_headers(bytes, 1, 0, ":status: 103\nlink: a\n");
    h2_put_headers(bytes, 1, 0, ":status: 103\nlink: b\n");
    h2_put_headers(bytes, 1, 0, ":status: 200\n");
    h2_put_frame(bytes, H2_DATA, H2_END_STREAM, 1, MB_SLICE_LIT("ok"));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_text(rig), "1 103|link=a 103|link=b 200 [ok] end\n");
    MB_CHECK_EQ_INT(rig->informational, 2);
    get(rig);
    for (int i = 0; i < 3; i++) {
        h2_put_headers(bytes, 3, 0, ":status: 103\n");
    }
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK(h2_rig_flow(rig, 3)->reset);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(the_answer_to_head_has_a_length_and_no_body) {
    h2_rig *rig = client_with(NULL);
    h2_bytes *bytes = h2_bytes_new();
    int rc;
    h2_flow *flow = h2_rig_request(rig, "HEAD", "/", true, &rc);

    MB_CHECK(flow->stream.head_request);
    h2_put_headers(bytes, 1, H2_END_STREAM, ":status: 200\ncontent-length: 10\n");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_text(rig), "1 200|content-length=10 end\n");
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(goaway_refuses_the_streams_above_its_number_and_finishes_the_others) {
    h2_rig *rig = client_with(NULL);
    h2_bytes *bytes = h2_bytes_new();
    mb_codec_stream stream;
    unsigned before;

    get(rig);
    get(rig);
    get(rig);
    before = rig->capacities;
    h2_put_goaway(bytes, 0x7fffffff, 0);
    h2_put_goaway(bytes, 3, 0);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_text(rig), "1\n3\n5 reset refused http2.remote_refuse\n");
    MB_CHECK(rig->capacities > before);
    MB_CHECK(!rig->codec->vtable->reusable(rig->codec));
    MB_CHECK_EQ_INT(rig->codec->vtable->begin(rig->codec, &stream), MB_ECLOSED);
    h2_put_headers(bytes, 1, H2_END_STREAM, ":status: 200\n");
    h2_put_headers(bytes, 3, H2_END_STREAM, ":status: 200\n");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK(h2_rig_flow(rig, 1)->ended && h2_rig_flow(rig, 3)->ended);
    MB_CHECK_EQ_INT(rig->failed, 0);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(a_refused_stream_may_be_sent_again_and_others_are_just_reset) {
    h2_rig *rig = client_with(NULL);
    h2_bytes *bytes = h2_bytes_new();

    get(rig);
    get(rig);
    h2_put_u32(bytes, H2_RST_STREAM, 1, 7);
    h2_put_u32(bytes, H2_RST_STREAM, 3, 2);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_text(rig), "1 reset refused http2.remote_refuse\n"
                                      "3 reset remote http2.remote_reset\n");
    MB_CHECK(rig->codec->vtable->reusable(rig->codec));
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(no_error_after_a_whole_response_stops_the_request_only) {
    h2_rig *rig = client_with(NULL);
    h2_bytes *bytes = h2_bytes_new();
    int rc;
    h2_flow *flow = h2_rig_request(rig, "POST", "/", false, &rc);

    h2_put_headers(bytes, 1, H2_END_STREAM, ":status: 413\n");
    h2_put_u32(bytes, H2_RST_STREAM, 1, 0);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_text(rig), "1 413 end\n");
    MB_CHECK(!flow->stream.local_ended && flow->stream.remote_ended && !flow->reset);
    MB_CHECK_EQ_INT(h2_flow_send(flow, MB_SLICE_LIT("the"), false), MB_OK);
    MB_CHECK_EQ_INT(h2_flow_send(flow, MB_SLICE_LIT("rest"), true), MB_OK);
    MB_CHECK(flow->stream.state == NULL);
    MB_CHECK_EQ_INT(rig->counters.streams_active, 0);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(begin_keeps_to_the_limits_of_both_sides) {
    mb_codec_options options = {.h2.max_concurrent_streams = 3};
    h2_rig *rig = client_with(&options);
    h2_bytes *bytes = h2_bytes_new();
    int rc;
    unsigned before;

    get(rig);
    get(rig);
    get(rig);
    MB_CHECK(h2_rig_request(rig, "GET", "/", true, &rc) == NULL);
    MB_CHECK_EQ_INT(rc, MB_EAGAIN);
    before = rig->capacities;
    h2_put_headers(bytes, 1, H2_END_STREAM, ":status: 200\n");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK(rig->capacities > before);
    get(rig);
    h2_put_setting(bytes, 3, 2);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK(h2_rig_request(rig, "GET", "/", true, &rc) == NULL);
    MB_CHECK_EQ_INT(rc, MB_EAGAIN);
    h2_put_headers(bytes, 3, H2_END_STREAM, ":status: 200\n");
    h2_put_headers(bytes, 5, H2_END_STREAM, ":status: 200\n");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    get(rig);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(a_request_that_waits_for_a_lower_limit_can_be_given_up) {
    h2_rig *rig = client_with(NULL);
    h2_bytes *bytes = h2_bytes_new();
    h2_flow *flow;

    get(rig);
    h2_rig_frames(rig);
    flow = get(rig);
    h2_rig_frames(rig);
    h2_put_setting(bytes, 3, 1);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    rig->codec->vtable->reset(rig->codec, &flow->stream, MB_RESET_LOCAL, &rig->out);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "SETTINGS ack; RST_STREAM 3 CANCEL");
    MB_CHECK_EQ_INT(rig->counters.streams_active, 1);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(a_response_may_end_in_trailers_or_be_nothing_else) {
    h2_rig *rig = client_with(NULL);
    h2_bytes *bytes = h2_bytes_new();

    get(rig);
    get(rig);
    h2_put_headers(bytes, 1, 0, ":status: 200\n");
    h2_put_frame(bytes, H2_DATA, 0, 1, MB_SLICE_LIT("x"));
    h2_put_headers(bytes, 1, H2_END_STREAM, "grpc-status: 0\n");
    h2_put_headers(bytes, 3, H2_END_STREAM, ":status: 200\ngrpc-status: 5\n");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_text(rig), "1 200 [x] trailers|grpc-status=0 end\n"
                                      "3 200|grpc-status=5 end\n");
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(pushes_and_pings_of_a_server_are_handled) {
    h2_rig *rig = client_with(NULL);
    h2_bytes *bytes = h2_bytes_new();

    MB_CHECK_EQ_INT(rig->codec->vtable->ping(rig->codec, &rig->out), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "PING");
    h2_put_frame(bytes, H2_PING, H2_ACK, 0, MB_SLICE_LIT("\0\0\0\0\0\0\0\0"));
    h2_put_frame(bytes, H2_PING, 0, 0, MB_SLICE_LIT("12345678"));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_INT(rig->ping_acks, 1);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "PING ack");
    get(rig);
    h2_put_frame(bytes, H2_SETTINGS, H2_ACK, 0, MB_SLICE_LIT(""));
    h2_put_frame(bytes, H2_PUSH_PROMISE, H2_END_HEADERS, 1, MB_SLICE_LIT("\0\0\0\2\x82"));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    free(bytes);
    h2_rig_free(rig);
}

/* RFC 8441 3. What the peer says is known from its first SETTINGS on. */
MB_TEST(extended_connect_waits_for_the_peers_word) {
    for (int allowed = 0; allowed < 2; allowed++) {
        h2_rig *rig = h2_rig_new(mb_allocator_default(), NULL, false, NULL);
        h2_bytes *bytes = h2_bytes_new();
        int rc;

        MB_CHECK(h2_rig_upgrade(rig, &rc) != NULL);
        MB_CHECK_EQ_LIT(h2_rig_frames(rig), "preface; SETTINGS 3; WINDOW_UPDATE 0 983041");
        h2_put_setting(bytes, 8, (uint32_t)allowed);
        MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
        if (allowed) {
            MB_CHECK_EQ_LIT(h2_rig_frames(rig), "SETTINGS ack; HEADERS 1");
        } else {
            MB_CHECK_EQ_LIT(h2_rig_frames(rig), "SETTINGS ack");
            MB_CHECK_EQ_LIT(h2_rig_text(rig),
                            "0 reset unable http2.extended_connect_not_enabled\n");
        }
        free(bytes);
        h2_rig_free(rig);
    }
}

MB_TEST(shut_down_says_so_and_takes_no_stream) {
    h2_rig *rig = client_with(NULL);
    mb_codec_stream stream;

    get(rig);
    h2_rig_frames(rig);
    rig->codec->vtable->shut_down(rig->codec, &rig->out);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "GOAWAY 0 NO_ERROR");
    rig->codec->vtable->shut_down(rig->codec, &rig->out);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "");
    MB_CHECK_EQ_INT(rig->codec->vtable->begin(rig->codec, &stream), MB_ECLOSED);
    h2_rig_free(rig);
}

static void forget(h2_flow *flow) {
    MB_CHECK(flow->stream.state == NULL);
    flow->begun = false;
    mb_buffer_fini(&flow->body);
    mb_arena_clear(&flow->arena);
}

/* CVE-2023-35945: what an upstream resets and then ends with GOAWAY must not be kept. Within one
 * connection first, then over many. */
MB_TEST(reset_then_goaway_keeps_no_memory) {
    h2_bytes *bytes = h2_bytes_new();
    size_t settled = 0;

    for (int round = 0; round < 100; round++) {
        mbtest_alloc *memory = mbtest_failing_alloc(0);
        h2_rig *rig = h2_rig_new(&memory->allocator, NULL, false, NULL);

        h2_put_frame(bytes, H2_SETTINGS, 0, 0, MB_SLICE_LIT(""));
        for (uint32_t id = 1; id < 2000; id += 2) {
            int rc;
            h2_flow *flow = h2_rig_request(rig, "POST", "/", id % 4 == 1, &rc);

            if (id % 3 == 0) {
                h2_put_headers(bytes, id, 0, ":status: 200\n");
            }
            h2_put_u32(bytes, H2_RST_STREAM, id, 2);
            MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
            forget(flow);
            mb_buffer_clear(&rig->out);
            if (id == 101) {
                settled = memory->outstanding_bytes;
            }
        }
        MB_CHECK(memory->outstanding_bytes <= settled + 1024);
        h2_put_goaway(bytes, 0, 0);
        MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
        h2_rig_free(rig);
        MB_CHECK_EQ_INT(memory->outstanding, 0);
        mbtest_alloc_free(memory);
    }
    for (int round = 0; round < 300; round++) {
        mbtest_alloc *memory = mbtest_failing_alloc(0);
        h2_rig *rig = h2_rig_new(&memory->allocator, NULL, false, NULL);
        int rc;

        for (int i = 0; i < 10; i++) {
            MB_CHECK(h2_rig_request(rig, "POST", "/", i % 2 == 0, &rc) != NULL);
        }
        h2_put_frame(bytes, H2_SETTINGS, 0, 0, MB_SLICE_LIT(""));
        h2_put_u32(bytes, H2_RST_STREAM, 1, 2);
        h2_put_u32(bytes, H2_RST_STREAM, 3, 7);
        h2_put_goaway(bytes, (uint32_t)(round % 5) * 2 + 1, 0);
        MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
        h2_rig_free(rig);
        MB_CHECK_EQ_INT(memory->outstanding, 0);
        mbtest_alloc_free(memory);
    }
    free(bytes);
}

MB_TEST(a_request_that_could_not_be_sent_before_goaway_is_refused) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    h2_rig *rig = h2_rig_new(&memory->allocator, NULL, false, NULL);
    h2_bytes *bytes = h2_bytes_new();
    h2_flow *first, *second;
    int rc;

    first = h2_rig_request(rig, "GET", "/", true, &rc);
    MB_CHECK_EQ_INT(rig->codec->vtable->begin(rig->codec, &rig->flows[1].stream), MB_OK);
    second = &rig->flows[1];
    h2_put_setting(bytes, 3, 1);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    /* The rig's own request would begin again. */
    second->begun = true;
    second->rig = rig;
    mb_arena_init(&second->arena, &rig->arenas);
    mb_headers_init(&second->headers, &second->arena);
    mb_headers_init(&second->trailers, &second->arena);
    mb_headers_init(&second->message, &second->arena);
    mb_buffer_init(&second->body, rig->pool);
    second->stream.headers = &second->headers;
    second->stream.trailers = &second->trailers;
    second->stream.body = &second->body;
    second->message.pseudo[MB_PSEUDO_METHOD] = MB_SLICE_LIT("GET");
    second->message.pseudo[MB_PSEUDO_PATH] = MB_SLICE_LIT("/waits");
    second->message.pseudo[MB_PSEUDO_SCHEME] = MB_SLICE_LIT("http");
    second->message.pseudo[MB_PSEUDO_AUTHORITY] = MB_SLICE_LIT("up");
    h2_rig_frames(rig);
    MB_CHECK_EQ_INT(rig->codec->vtable->send_headers(rig->codec, &second->stream, &second->message,
                                                     true, &rig->out),
                    MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "");
    h2_put_goaway(bytes, 1, 0);
    h2_put_headers(bytes, 1, H2_END_STREAM, ":status: 200\n");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK(first->ended);
    MB_CHECK(second->reset);
    MB_CHECK_EQ_INT(rig->counters.streams_active, 0);
    h2_rig_free(rig);
    mbtest_alloc_free(memory);
    free(bytes);
}
