/* Life of a codec: two steps of GOAWAY, giving up, and every allocation that can fail. */
#include "../mbtest.h"

#include "../support/h2_rig.h"
#include "base/alloc.h"
#include <stdlib.h>

static h2_rig *server(void) {
    h2_rig *rig = h2_rig_new(mb_allocator_default(), NULL, true, NULL);
    h2_bytes *bytes = h2_bytes_new();

    MB_CHECK(rig != NULL);
    h2_put_preface(bytes);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    (void)h2_rig_frames(rig);
    free(bytes);
    return rig;
}

MB_TEST(a_server_shuts_down_in_two_steps) {
    h2_rig *rig = server();
    h2_bytes *bytes = h2_bytes_new();

    h2_put_get(bytes, 1, H2_END_STREAM, "/");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    rig->codec->vtable->shut_down(rig->codec, &rig->out);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "GOAWAY 2147483647 NO_ERROR");
    MB_CHECK(rig->codec->vtable->reusable(rig->codec));
    h2_put_get(bytes, 3, H2_END_STREAM, "/on-its-way");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK(h2_rig_flow(rig, 3)->ended);
    rig->codec->vtable->shut_down(rig->codec, &rig->out);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "GOAWAY 3 NO_ERROR");
    MB_CHECK(!rig->codec->vtable->reusable(rig->codec));
    rig->codec->vtable->shut_down(rig->codec, &rig->out);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "");
    h2_put_get(bytes, 5, H2_END_STREAM, "/late");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK(h2_rig_flow(rig, 5) == NULL);
    MB_CHECK_EQ_INT(h2_rig_respond(h2_rig_flow(rig, 1), 200, true), MB_OK);
    MB_CHECK_EQ_INT(h2_rig_respond(h2_rig_flow(rig, 3), 200, true), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "HEADERS 1 end; HEADERS 3 end");
    MB_CHECK_EQ_INT(rig->failed, 0);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(settings_say_what_was_configured) {
    mb_codec_options options = {.h2 = {.max_concurrent_streams = 7,
                                       .initial_stream_window_bytes = 100000,
                                       .initial_connection_window_bytes = 200000,
                                       .header_table_bytes = 8192,
                                       .max_frame_bytes = 32768,
                                       .allow_connect = true}};
    h2_rig *rig = h2_rig_new(mb_allocator_default(), NULL, true, &options);
    static const char want[] = "\0\0\x2a\4\0\0\0\0\0"
                               "\0\3\0\0\0\7"
                               "\0\x9\0\0\0\1"
                               "\0\x8\0\0\0\1"
                               "\0\4\0\1\x86\xa0"
                               "\0\6\0\0\xfc\x80"
                               "\0\1\0\0\x20\0"
                               "\0\5\0\0\x80\0";

    MB_CHECK_EQ_INT(h2_rig_flush(rig), MB_OK);
    MB_CHECK(mb_buffer_starts_with(&rig->out, (mb_slice){want, sizeof want - 1}));
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "SETTINGS 7; WINDOW_UPDATE 0 134465");
    h2_rig_free(rig);
}

MB_TEST(a_stream_that_is_given_up_says_why_and_is_never_heard_of_again) {
    static const struct {
        mb_reset_reason reason;
        const char *frames;
    } cases[] = {{MB_RESET_LOCAL, "RST_STREAM 1 INTERNAL_ERROR"},
                 {MB_RESET_REMOTE, "RST_STREAM 1 INTERNAL_ERROR"},
                 {MB_RESET_REFUSED, "RST_STREAM 1 REFUSED_STREAM"},
                 {MB_RESET_PROTOCOL, "RST_STREAM 1 PROTOCOL_ERROR"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        h2_rig *rig = server();
        h2_bytes *bytes = h2_bytes_new();
        h2_flow *flow;

        h2_put_get(bytes, 1, 0, "/");
        MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
        flow = h2_rig_flow(rig, 1);
        rig->codec->vtable->reset(rig->codec, &flow->stream, cases[i].reason, &rig->out);
        MB_CHECK(flow->stream.state == NULL);
        MB_CHECK_EQ_SLICE(h2_rig_frames(rig),
                          ((mb_slice){cases[i].frames, strlen(cases[i].frames)}));
        h2_put_frame(bytes, H2_DATA, 0, 1, MB_SLICE_LIT("x"));
        h2_put_headers(bytes, 1, H2_END_STREAM, "a: 1\n");
        h2_put_u32(bytes, H2_RST_STREAM, 1, 8);
        MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
        MB_CHECK_EQ_INT(flow->events, 1);
        MB_CHECK(!flow->reset);
        rig->codec->vtable->reset(rig->codec, &flow->stream, MB_RESET_LOCAL, &rig->out);
        h2_flow_pause(flow, true);
        h2_flow_pause(flow, false);
        MB_CHECK_EQ_INT(rig->counters.streams_active, 0);
        free(bytes);
        h2_rig_free(rig);
    }
}

MB_TEST(nothing_is_kept_of_ten_thousand_requests) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    h2_rig *rig = h2_rig_new(&memory->allocator, NULL, true, NULL);
    h2_bytes *bytes = h2_bytes_new();
    size_t settled = 0;

    rig->answer = true;
    h2_put_preface(bytes);
    for (uint32_t id = 1; id < 20000; id += 2) {
        h2_put_get(bytes, id, id % 3 == 0 ? 0 : H2_END_STREAM, "/");
        if (id % 3 == 0) {
            h2_put_frame(bytes, H2_DATA, H2_END_STREAM, id, MB_SLICE_LIT("body"));
        }
        MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
        h2_flow *flow = h2_rig_flow(rig, id);
        MB_CHECK(flow->ended && flow->stream.state == NULL);
        flow->begun = false;
        mb_buffer_fini(&flow->body);
        mb_arena_clear(&flow->arena);
        mb_buffer_clear(&rig->out);
        if (id == 201) {
            settled = memory->outstanding_bytes;
        }
    }
    MB_CHECK(memory->outstanding_bytes <= settled);
    h2_rig_free(rig);
    mbtest_alloc_free(memory);
    free(bytes);
}

/* Both sides, with bodies, trailers, resets, a pause and a shut-down, while the n-th request for
 * memory fails. Every stream ends, nothing is lost, nothing is touched after its end. */
static void exchange(mbtest_alloc *memory) {
    mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
    h2_rig *client = NULL, *server_rig = NULL;
    char *much = malloc(100000);
    int rc;

    memset(much, 'm', 100000);
    if (pool != NULL) {
        client = h2_rig_new(&memory->allocator, pool, false, NULL);
        server_rig = h2_rig_new(&memory->allocator, pool, true, NULL);
    }
    if (client != NULL && server_rig != NULL) {
        h2_flow *one = h2_rig_request(client, "POST", "/", false, &rc);
        h2_flow *two = h2_rig_request(client, "GET", "/two", true, &rc);

        server_rig->pause_all = true;
        if (one != NULL) {
            (void)h2_flow_send(one, (mb_slice){much, 100000}, false);
            (void)h2_flow_send_trailers(one, MB_SLICE_LIT("a"), MB_SLICE_LIT("b"));
        }
        h2_rig_link(client, server_rig, 1000);
        for (uint32_t id = 1; id <= 3; id += 2) {
            h2_flow *flow = h2_rig_flow(server_rig, id);

            if (flow != NULL && flow->stream.state != NULL) {
                h2_flow_pause(flow, false);
                (void)h2_rig_respond(flow, 200, false);
                (void)h2_flow_send(flow, (mb_slice){much, 70000}, false);
                (void)h2_flow_send_trailers(flow, MB_SLICE_LIT("a"), MB_SLICE_LIT("b"));
            }
        }
        h2_rig_link(client, server_rig, 3000);
        if (two != NULL) {
            client->codec->vtable->reset(client->codec, &two->stream, MB_RESET_LOCAL, &client->out);
        }
        server_rig->codec->vtable->shut_down(server_rig->codec, &server_rig->out);
        h2_rig_link(client, server_rig, 0);
        client->codec->vtable->receive_end(client->codec);
    }
    if (client != NULL) {
        h2_rig_free(client);
    }
    if (server_rig != NULL) {
        h2_rig_free(server_rig);
    }
    if (pool != NULL) {
        mb_slab_pool_free(pool);
    }
    free(much);
}

MB_TEST(any_allocation_may_fail) {
    for (int keep = 0; keep < 2; keep++) {
        for (size_t n = 1, failed = 1; failed; n++) {
            mbtest_alloc *memory = mbtest_failing_alloc(n);

            memory->keep_failing = keep == 1;
            exchange(memory);
            failed = memory->requests >= n;
            MB_CHECK_EQ_INT(memory->outstanding, 0);
            mbtest_alloc_free(memory);
        }
    }
}
