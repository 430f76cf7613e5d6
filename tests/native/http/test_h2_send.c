/* The sending half: framing, windows of the peer, turns, pressure, the output's bound. */
#include "../mbtest.h"

#include "../support/h2_rig.h"
#include "base/alloc.h"
#include "http/message.h"
#include <stdlib.h>

static h2_rig *server_with(const mb_codec_options *options) {
    h2_rig *rig = h2_rig_new(mb_allocator_default(), NULL, true, options);
    h2_bytes *bytes = h2_bytes_new();

    MB_CHECK(rig != NULL);
    h2_put_preface(bytes);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    (void)h2_rig_frames(rig);
    free(bytes);
    return rig;
}

static h2_flow *request(h2_rig *rig, uint32_t id, int flags, const char *fields) {
    h2_bytes *bytes = h2_bytes_new();

    h2_put_headers(bytes, id, flags, fields);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    (void)h2_rig_frames(rig);
    free(bytes);
    return h2_rig_flow(rig, id);
}

#define GET ":method: GET\n:scheme: https\n:path: /\n:authority: a\n"
#define HEAD ":method: HEAD\n:scheme: https\n:path: /\n:authority: a\n"

static void update(h2_rig *rig, uint32_t id, uint32_t by) {
    h2_bytes *bytes = h2_bytes_new();

    h2_put_u32(bytes, H2_WINDOW_UPDATE, id, by);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    free(bytes);
}

/* Sends `len` bytes in slices of a slab of its own. */
static int send_much(h2_flow *flow, size_t len, bool end) {
    char *much = malloc(len);
    int rc;

    memset(much, 'm', len);
    rc = h2_flow_send(flow, (mb_slice){much, len}, end);
    free(much);
    return rc;
}

MB_TEST(a_body_goes_in_frames_of_16_kib_and_is_moved_not_copied) {
    h2_rig *rig = server_with(NULL);
    h2_flow *flow = request(rig, 1, H2_END_STREAM, GET);
    mb_buffer data;
    const char *at;

    mb_buffer_init(&data, rig->pool);
    char *much = calloc(1, 40000);
    MB_CHECK_EQ_INT(mb_buffer_append(&data, (mb_slice){much, 40000}), MB_OK);
    free(much);
    at = mb_buffer_front(&data).ptr;
    MB_CHECK_EQ_INT(h2_rig_respond(flow, 200, false), MB_OK);
    mb_buffer_clear(&rig->out);
    MB_CHECK_EQ_INT(
        rig->codec->vtable->send_body(rig->codec, &flow->stream, &data, true, &rig->out), MB_OK);
    MB_CHECK_EQ_INT(data.length, 0);
    bool found = false;
    for (uint32_t i = 0; i < rig->out.count; i++) {
        found |= rig->out.segments[rig->out.first + i].ptr == at;
    }
    MB_CHECK(found);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "DATA 1 16384; DATA 1 16384; DATA 1 7232 end");
    mb_buffer_fini(&data);
    h2_rig_free(rig);
}

MB_TEST(what_the_peer_has_no_window_for_waits_with_pressure) {
    h2_rig *rig = server_with(NULL);
    h2_flow *flow = request(rig, 1, H2_END_STREAM, GET);

    MB_CHECK_EQ_INT(h2_rig_respond(flow, 200, false), MB_OK);
    MB_CHECK_EQ_INT(send_much(flow, 65535, false), MB_OK);
    MB_CHECK(!flow->above);
    mb_buffer_clear(&rig->out);
    MB_CHECK_EQ_INT(send_much(flow, 65536, false), MB_OK);
    MB_CHECK(!flow->above);
    MB_CHECK_EQ_INT(rig->counters.pending_send_bytes, 65536);
    MB_CHECK_EQ_INT(send_much(flow, 1, false), MB_OK);
    MB_CHECK(flow->above);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "");
    update(rig, 0, 100000);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "");
    update(rig, 1, 10000);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "DATA 1 10000");
    MB_CHECK(flow->above);
    update(rig, 1, 30000);
    MB_CHECK(!flow->above);
    MB_CHECK_EQ_INT(rig->relieved, 1);
    update(rig, 1, 100000);
    MB_CHECK_EQ_INT(rig->relieved, 1);
    MB_CHECK_EQ_INT(rig->counters.pending_send_bytes, 0);
    MB_CHECK_EQ_INT(h2_flow_send(flow, MB_SLICE_LIT(""), true), MB_OK);
    mb_buffer_clear(&rig->out);
    MB_CHECK_EQ_INT(rig->counters.streams_active, 0);
    h2_rig_free(rig);
}

MB_TEST(streams_take_turns_and_a_blocked_one_stops_nobody) {
    mb_codec_options options = {.h2.output_bytes = 1 << 20};
    h2_rig *rig = server_with(&options);
    h2_flow *flows[4];
    const char *frames;

    for (uint32_t i = 0; i < 4; i++) {
        flows[i] = request(rig, 2 * i + 1, H2_END_STREAM, GET);
        MB_CHECK_EQ_INT(h2_rig_respond(flows[i], 200, false), MB_OK);
    }
    MB_CHECK_EQ_INT(send_much(flows[0], 65535, false), MB_OK); /* takes the connection's window */
    for (uint32_t i = 0; i < 4; i++) {
        MB_CHECK_EQ_INT(send_much(flows[i], 40000, true), MB_OK);
    }
    (void)h2_rig_frames(rig);
    update(rig, 0, 1000000);
    /* Stream 1 has no window left. */
    frames = h2_rig_frames(rig).ptr;
    MB_CHECK_EQ_SLICE(((mb_slice){frames, strlen(frames)}),
                      MB_SLICE_LIT("DATA 3 16384; DATA 5 16384; DATA 7 16384; DATA 3 16384; "
                                   "DATA 5 16384; DATA 7 16384; DATA 3 7232 end; "
                                   "DATA 5 7232 end; DATA 7 7232 end"));
    MB_CHECK_EQ_INT(rig->codec->vtable->unfinished(rig->codec), 1);
    update(rig, 1, 40000);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "DATA 1 16384; DATA 1 16384; DATA 1 7232 end");
    MB_CHECK_EQ_INT(rig->codec->vtable->unfinished(rig->codec), 0);
    h2_rig_free(rig);
}

MB_TEST(what_stands_still_behind_its_window_is_given_up_by_expire) {
    h2_rig *rig = server_with(NULL);
    h2_flow *flows[3];

    for (uint32_t i = 0; i < 3; i++) {
        flows[i] = request(rig, 2 * i + 1, H2_END_STREAM, GET);
        MB_CHECK_EQ_INT(h2_rig_respond(flows[i], 200, false), MB_OK);
    }
    MB_CHECK_EQ_INT(send_much(flows[0], 65535, false), MB_OK); /* takes the connection's window */
    for (uint32_t i = 0; i < 2; i++) {
        MB_CHECK_EQ_INT(send_much(flows[i], 20000, true), MB_OK);
    }
    (void)h2_rig_frames(rig);
    /* Stream 5 is its owner's still, 3 goes on between two looks, 1 never does. */
    MB_CHECK_EQ_INT(rig->codec->vtable->expire(rig->codec, &rig->out), 0);
    update(rig, 0, 1000);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "DATA 3 1000");
    MB_CHECK_EQ_INT(rig->codec->vtable->expire(rig->codec, &rig->out), 1);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "RST_STREAM 1 INTERNAL_ERROR");
    MB_CHECK_EQ_INT(rig->codec->vtable->unfinished(rig->codec), 1);
    MB_CHECK_EQ_INT(rig->codec->vtable->expire(rig->codec, &rig->out), 1);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "RST_STREAM 3 INTERNAL_ERROR");
    MB_CHECK_EQ_INT(rig->codec->vtable->expire(rig->codec, &rig->out), 0);
    MB_CHECK_EQ_INT(rig->counters.pending_send_bytes, 0);
    MB_CHECK_EQ_INT(rig->counters.deferred_stream_close, 0);
    MB_CHECK_EQ_INT(rig->counters.streams_active, 1);
    h2_rig_free(rig);
}

MB_TEST(flush_stops_when_the_output_is_full_and_goes_on_when_it_has_sunk) {
    mb_codec_options options = {.h2.output_bytes = 30000, .h2.stream_buffer_bytes = 1 << 20};
    h2_rig *rig = server_with(&options);
    h2_flow *flow = request(rig, 1, H2_END_STREAM, GET);

    update(rig, 0, 1000000);
    update(rig, 1, 1000000);
    MB_CHECK_EQ_INT(h2_rig_respond(flow, 200, false), MB_OK);
    MB_CHECK_EQ_INT(send_much(flow, 100000, true), MB_OK);
    MB_CHECK(rig->out.length > 30000 && rig->out.length < 30000 + 16384 + 100);
    MB_CHECK_EQ_INT(h2_rig_flush(rig), MB_EAGAIN);
    size_t got = 0;
    for (int i = 0; i < 10; i++) {
        got += rig->out.length;
        mb_buffer_clear(&rig->out);
        if (h2_rig_flush(rig) == MB_OK) {
            got += rig->out.length;
            break;
        }
    }
    MB_CHECK(got > 100000 + 6 * 9 && got < 100000 + 500);
    MB_CHECK_EQ_INT(rig->counters.streams_active, 0);
    h2_rig_free(rig);
}

MB_TEST(control_frames_wait_too_while_the_output_is_full_and_keep_their_order) {
    mb_codec_options options = {.h2.output_bytes = 10};
    h2_rig *rig = server_with(&options);
    h2_bytes *bytes = h2_bytes_new();

    h2_put_frame(bytes, H2_PING, 0, 0, MB_SLICE_LIT("12345678"));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_INT(rig->out.length, 17);
    h2_put_get(bytes, 1, H2_END_STREAM, "/");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_INT(h2_rig_respond(h2_rig_flow(rig, 1), 200, false), MB_OK);
    MB_CHECK_EQ_INT(h2_flow_send(h2_rig_flow(rig, 1), MB_SLICE_LIT("x"), true), MB_OK);
    h2_put_frame(bytes, H2_PING, 0, 0, MB_SLICE_LIT("12345678"));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "PING ack");
    MB_CHECK_EQ_INT(h2_rig_flush(rig), MB_EAGAIN);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "HEADERS 1; PING ack");
    MB_CHECK_EQ_INT(h2_rig_flush(rig), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "DATA 1 1 end");
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(a_body_is_held_to_its_content_length) {
    static const struct {
        const char *first, *second;
        int rc;
    } cases[] = {{"ab", "c", MB_OK},
                 {"abc", "", MB_OK},
                 {"ab", "", MB_EPROTO},
                 {"ab", "cd", MB_EPROTO},
                 {"abcd", "", MB_EPROTO}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        h2_rig *rig = server_with(NULL);
        h2_flow *flow = request(rig, 1, H2_END_STREAM, GET);
        mb_codec *codec = rig->codec;
        int rc;

        mb_headers_init(&flow->message, &flow->arena);
        MB_CHECK_EQ_INT(mb_http_set_status(&flow->message, 200), MB_OK);
        MB_CHECK_EQ_INT(mb_http_set_number(&flow->message, MB_TOKEN_CONTENT_LENGTH, 3), MB_OK);
        MB_CHECK_EQ_INT(
            codec->vtable->send_headers(codec, &flow->stream, &flow->message, true, &rig->out),
            MB_EPROTO);
        MB_CHECK_EQ_INT(
            codec->vtable->send_headers(codec, &flow->stream, &flow->message, false, &rig->out),
            MB_OK);
        rc = h2_flow_send(flow, (mb_slice){cases[i].first, strlen(cases[i].first)}, false);
        if (rc == MB_OK) {
            rc = h2_flow_send(flow, (mb_slice){cases[i].second, strlen(cases[i].second)}, true);
        }
        MB_CHECK_EQ_INT(rc, cases[i].rc);
        if (rc != MB_OK) {
            codec->vtable->reset(codec, &flow->stream, MB_RESET_LOCAL, &rig->out);
            MB_CHECK(strstr(h2_rig_frames(rig).ptr, "RST_STREAM 1 INTERNAL_ERROR") != NULL);
        }
        MB_CHECK_EQ_INT(rig->counters.streams_active, 0);
        MB_CHECK_EQ_INT(rig->counters.pending_send_bytes, 0);
        h2_rig_free(rig);
    }
}

MB_TEST(a_response_without_body_ends_with_its_head_and_its_body_is_dropped) {
    for (int kind = 0; kind < 3; kind++) {
        static const uint32_t statuses[] = {200, 204, 304};
        h2_rig *rig = server_with(NULL);
        h2_flow *flow = request(rig, 1, H2_END_STREAM, kind == 0 ? HEAD : GET);

        MB_CHECK_EQ_INT(flow->stream.head_request, kind == 0);
        mb_headers_init(&flow->message, &flow->arena);
        MB_CHECK_EQ_INT(mb_http_set_status(&flow->message, statuses[kind]), MB_OK);
        MB_CHECK_EQ_INT(mb_http_set_number(&flow->message, MB_TOKEN_CONTENT_LENGTH, 3), MB_OK);
        MB_CHECK_EQ_INT(rig->codec->vtable->send_headers(rig->codec, &flow->stream, &flow->message,
                                                         false, &rig->out),
                        MB_OK);
        MB_CHECK_EQ_INT(h2_flow_send(flow, MB_SLICE_LIT("dropped"), false), MB_OK);
        MB_CHECK_EQ_INT(h2_flow_send(flow, MB_SLICE_LIT(""), true), MB_OK);
        MB_CHECK_EQ_LIT(h2_rig_frames(rig), "HEADERS 1 end");
        MB_CHECK_EQ_INT(rig->counters.streams_active, 0);
        h2_rig_free(rig);
    }
}

MB_TEST(calls_out_of_order_are_refused) {
    h2_rig *rig = server_with(NULL);
    h2_flow *flow = request(rig, 1, H2_END_STREAM, GET);

    MB_CHECK_EQ_INT(h2_flow_send(flow, MB_SLICE_LIT("x"), false), MB_EPHASE);
    MB_CHECK_EQ_INT(h2_flow_send_trailers(flow, MB_SLICE_LIT("a"), MB_SLICE_LIT("b")), MB_EPHASE);
    MB_CHECK_EQ_INT(h2_rig_respond(flow, 100, false), MB_EINVAL);
    MB_CHECK_EQ_INT(h2_rig_respond(flow, 200, false), MB_OK);
    MB_CHECK_EQ_INT(h2_rig_respond(flow, 200, false), MB_EPHASE);
    MB_CHECK_EQ_INT(h2_flow_send(flow, MB_SLICE_LIT("x"), true), MB_OK);
    MB_CHECK_EQ_INT(h2_flow_send(flow, MB_SLICE_LIT("x"), true), MB_EPHASE);
    MB_CHECK_EQ_INT(h2_rig_respond(flow, 200, false), MB_EPHASE);
    MB_CHECK_EQ_INT(rig->codec->vtable->begin(rig->codec, &flow->stream), MB_EINVAL);
    h2_rig_free(rig);
}

MB_TEST(trailers_wait_behind_the_body) {
    h2_rig *rig = server_with(NULL);
    h2_flow *flow = request(rig, 1, H2_END_STREAM, GET);

    MB_CHECK_EQ_INT(h2_rig_respond(flow, 200, false), MB_OK);
    MB_CHECK_EQ_INT(send_much(flow, 70000, false), MB_OK);
    MB_CHECK_EQ_INT(h2_flow_send_trailers(flow, MB_SLICE_LIT("grpc-status"), MB_SLICE_LIT("0")),
                    MB_OK);
    MB_CHECK(flow->stream.local_ended && flow->stream.state == NULL);
    (void)h2_rig_frames(rig);
    MB_CHECK_EQ_INT(rig->codec->vtable->unfinished(rig->codec), 1);
    update(rig, 0, 10000);
    update(rig, 1, 10000);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "DATA 1 4465; HEADERS 1 end");
    MB_CHECK_EQ_INT(rig->counters.streams_active, 0);
    h2_rig_free(rig);
}

MB_TEST(a_response_that_ends_before_its_request_says_that_the_rest_is_not_wanted) {
    h2_rig *rig = server_with(NULL);
    h2_flow *flow = request(rig, 1, 0, GET);
    h2_bytes *bytes = h2_bytes_new();

    MB_CHECK_EQ_INT(h2_rig_respond(flow, 413, true), MB_OK);
    MB_CHECK(flow->stream.state == NULL);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "HEADERS 1 end; RST_STREAM 1 NO_ERROR");
    h2_put_frame(bytes, H2_DATA, H2_END_STREAM, 1, MB_SLICE_LIT("late"));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_INT(flow->events, 1);
    MB_CHECK_EQ_INT(rig->counters.premature_resets_flood, 0);
    /* The same with a body that has to wait. */
    flow = request(rig, 3, 0, GET);
    MB_CHECK_EQ_INT(h2_rig_respond(flow, 200, false), MB_OK);
    MB_CHECK_EQ_INT(send_much(flow, 66000, true), MB_OK);
    (void)h2_rig_frames(rig);
    update(rig, 0, 1000);
    update(rig, 3, 1000);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "DATA 3 465 end; RST_STREAM 3 NO_ERROR");
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(informational_heads_come_before_the_final_one) {
    h2_rig *rig = server_with(NULL);
    h2_flow *flow = request(rig, 1, 0, GET);

    mb_headers_init(&flow->message, &flow->arena);
    MB_CHECK_EQ_INT(mb_http_set_status(&flow->message, 103), MB_OK);
    MB_CHECK_EQ_INT(rig->codec->vtable->send_informational(rig->codec, &flow->stream,
                                                           &flow->message, &rig->out),
                    MB_OK);
    MB_CHECK_EQ_INT(h2_rig_respond(flow, 200, false), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "HEADERS 1; HEADERS 1");
    MB_CHECK_EQ_INT(rig->codec->vtable->send_informational(rig->codec, &flow->stream,
                                                           &flow->message, &rig->out),
                    MB_EPHASE);
    h2_rig_free(rig);
}

MB_TEST(fields_that_may_not_travel_are_left_out_and_bad_values_refused) {
    mb_slab_pool *pool = mb_slab_pool_new(mb_allocator_default());
    h2_rig *rig = h2_rig_new(mb_allocator_default(), pool, true, NULL);
    h2_rig *client = h2_rig_new(mb_allocator_default(), pool, false, NULL);
    int rc;
    h2_flow *asked = h2_rig_request(client, "GET", "/", true, &rc), *flow;

    MB_CHECK(asked != NULL);
    h2_rig_link(client, rig, 0);
    flow = h2_rig_flow(rig, 1);
    mb_headers_init(&flow->message, &flow->arena);
    MB_CHECK_EQ_INT(mb_http_set_status(&flow->message, 200), MB_OK);
    mb_headers_append_raw(&flow->message, MB_TOKEN_NONE, MB_SLICE_LIT("a"), MB_SLICE_LIT("b\r\nc"));
    MB_CHECK_EQ_INT(rig->codec->vtable->send_headers(rig->codec, &flow->stream, &flow->message,
                                                     true, &rig->out),
                    MB_EINVAL);
    mb_headers_init(&flow->message, &flow->arena);
    MB_CHECK_EQ_INT(mb_http_set_status(&flow->message, 200), MB_OK);
    mb_headers_add_token(&flow->message, MB_TOKEN_CONNECTION, MB_SLICE_LIT("close"));
    mb_headers_add_token(&flow->message, MB_TOKEN_TRANSFER_ENCODING, MB_SLICE_LIT("chunked"));
    mb_headers_add_token(&flow->message, MB_TOKEN_UPGRADE, MB_SLICE_LIT("x"));
    mb_headers_add_token(&flow->message, MB_TOKEN_TE, MB_SLICE_LIT("gzip"));
    mb_headers_add_token(&flow->message, MB_TOKEN_HOST, MB_SLICE_LIT("h"));
    mb_headers_add_token(&flow->message, MB_TOKEN_SERVER, MB_SLICE_LIT(" s\t"));
    MB_CHECK_EQ_INT(rig->codec->vtable->send_headers(rig->codec, &flow->stream, &flow->message,
                                                     true, &rig->out),
                    MB_OK);
    h2_rig_link(client, rig, 0);
    MB_CHECK_EQ_LIT(h2_rig_text(client), "1 200|server=s end\n");
    h2_rig_free(client);
    h2_rig_free(rig);
    mb_slab_pool_free(pool);
}

MB_TEST(a_tunnel_carries_bytes_both_ways_whatever_a_length_says) {
    mb_codec_options options = {.h2.allow_connect = true};
    h2_rig *rig = server_with(&options);
    h2_flow *flow = request(rig, 1, 0, ":method: CONNECT\n:authority: a:1\n");
    h2_bytes *bytes = h2_bytes_new();

    MB_CHECK(flow->stream.connect_request);
    mb_headers_init(&flow->message, &flow->arena);
    MB_CHECK_EQ_INT(mb_http_set_status(&flow->message, 200), MB_OK);
    MB_CHECK_EQ_INT(mb_http_set_number(&flow->message, MB_TOKEN_CONTENT_LENGTH, 3), MB_OK);
    MB_CHECK_EQ_INT(rig->codec->vtable->send_headers(rig->codec, &flow->stream, &flow->message,
                                                     false, &rig->out),
                    MB_OK);
    MB_CHECK_EQ_INT(h2_flow_send(flow, MB_SLICE_LIT("hello"), false), MB_OK);
    h2_put_frame(bytes, H2_DATA, 0, 1, MB_SLICE_LIT("there"));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "HEADERS 1; DATA 1 5");
    MB_CHECK_EQ_INT(flow->body_bytes, 5);
    h2_put_frame(bytes, H2_DATA, H2_END_STREAM, 1, MB_SLICE_LIT(""));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK(flow->ended);
    MB_CHECK_EQ_INT(h2_flow_send(flow, MB_SLICE_LIT("bye"), true), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "DATA 1 3 end");
    free(bytes);
    h2_rig_free(rig);
}
