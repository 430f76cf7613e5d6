/* The receiving half: bodies, windows, pauses, faults of the peer. */
#include "../mbtest.h"

#include "../support/h2_rig.h"
#include "base/alloc.h"
#include <stdio.h>
#include <stdlib.h>

static h2_rig *server(const mb_codec_options *options) {
    h2_rig *rig = h2_rig_new(mb_allocator_default(), NULL, true, options);
    h2_bytes *bytes = h2_bytes_new();

    MB_CHECK(rig != NULL);
    h2_put_preface(bytes);
    h2_put_frame(bytes, H2_SETTINGS, H2_ACK, 0, MB_SLICE_LIT(""));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    (void)h2_rig_frames(rig);
    free(bytes);
    return rig;
}

static void put_data(h2_bytes *bytes, uint32_t id, size_t len, int flags) {
    static const char zeros[16384];

    h2_put_frame(bytes, H2_DATA, flags, id, (mb_slice){zeros, len});
}

MB_TEST(a_body_is_given_as_slices_of_what_was_read) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();
    h2_flow *flow;

    rig->pause_all = true;
    h2_put_get(bytes, 1, 0, "/");
    put_data(bytes, 1, 10000, 0);
    put_data(bytes, 1, 10000, H2_END_STREAM);
    MB_CHECK_EQ_INT(mb_buffer_append(&rig->in, h2_bytes_slice(bytes)), MB_OK);
    const char *at = mb_buffer_front(&rig->in).ptr;
    MB_CHECK_EQ_INT(rig->codec->vtable->receive(rig->codec, &rig->in), MB_OK);
    flow = h2_rig_flow(rig, 1);
    MB_CHECK_EQ_INT(flow->body.length, 20000);
    MB_CHECK_EQ_INT(flow->body.count, 2);
    MB_CHECK(flow->body.segments[0].ptr == at + bytes->length - 2 * 10009 + 9);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(small_pieces_that_nobody_takes_do_not_keep_what_was_around_them) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();
    h2_flow *flow;
    mb_slab_stats stats;

    rig->pause_all = true;
    h2_put_get(bytes, 1, 0, "/");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    flow = h2_rig_flow(rig, 1);
    for (int i = 0; i < 60000; i++) {
        h2_put_frame(bytes, H2_DATA, 0, 1, MB_SLICE_LIT("x"));
        MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    }
    MB_CHECK_EQ_INT(flow->body.length, 60000);
    MB_CHECK(flow->body.count <= 40);
    mb_slab_pool_stats(rig->pool, &stats);
    MB_CHECK(stats.live_small * MB_SLAB_SMALL_BYTES + stats.live_large * MB_SLAB_LARGE_BYTES <
             600000);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(windows_are_given_back_as_the_owner_takes_bytes) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();
    h2_flow *flow;

    h2_put_get(bytes, 1, 0, "/");
    put_data(bytes, 1, 16384, 0);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "");
    put_data(bytes, 1, 16384, 0);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "WINDOW_UPDATE 1 32768");
    flow = h2_rig_flow(rig, 1);
    MB_CHECK_EQ_INT(flow->body_bytes, 32768);
    /* Paused: what comes is kept, the window closes, the connection's goes on. */
    h2_flow_pause(flow, true);
    for (int i = 0; i < 4; i++) {
        put_data(bytes, 1, 16384, 0);
    }
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "");
    MB_CHECK_EQ_INT(flow->body.length, 65536);
    MB_CHECK_EQ_INT(flow->events, 3);
    put_data(bytes, 1, 1, 0);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "RST_STREAM 1 FLOW_CONTROL_ERROR");
    MB_CHECK(flow->reset);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(what_was_kept_comes_when_the_stream_goes_on) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();
    h2_flow *flow;

    rig->pause_all = true;
    h2_put_get(bytes, 1, 0, "/");
    for (int i = 0; i < 4; i++) {
        put_data(bytes, 1, 16384, 0);
    }
    h2_put_headers(bytes, 1, H2_END_STREAM, "a: 1\n");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    flow = h2_rig_flow(rig, 1);
    MB_CHECK_EQ_INT(flow->events, 1);
    MB_CHECK(!flow->stream.remote_ended);
    h2_flow_pause(flow, false);
    MB_CHECK_EQ_INT(flow->events, 1); /* not from within pause */
    MB_CHECK_EQ_INT(rig->codec->vtable->receive(rig->codec, &rig->in), MB_OK);
    MB_CHECK_EQ_INT(flow->body_bytes, 65536);
    MB_CHECK(flow->ended && flow->stream.remote_ended);
    MB_CHECK_EQ_INT(flow->trailers.count, 1);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(bytes_taken_while_paused_are_given_back_when_the_stream_goes_on) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    h2_put_get(bytes, 1, 0, "/");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    h2_flow *flow = h2_rig_flow(rig, 1);
    h2_flow_pause(flow, true);
    put_data(bytes, 1, 16384, 0);
    put_data(bytes, 1, 16384, 0);
    put_data(bytes, 1, 16384, 0);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "");
    h2_flow_pause(flow, false);
    MB_CHECK_EQ_INT(h2_rig_flush(rig), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "WINDOW_UPDATE 1 49152");
    MB_CHECK_EQ_INT(flow->body_bytes, 49152);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(bytes_that_made_the_owner_pause_are_given_back_when_the_stream_goes_on) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();
    h2_flow *flow;

    h2_put_get(bytes, 1, 0, "/");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    flow = h2_rig_flow(rig, 1);
    flow->pausing_body = true;
    put_data(bytes, 1, 16384, 0);
    put_data(bytes, 1, 16384, 0);
    put_data(bytes, 1, 16384, 0);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_INT(flow->body_bytes, 49152);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "");
    h2_flow_pause(flow, false);
    MB_CHECK_EQ_INT(h2_rig_flush(rig), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "WINDOW_UPDATE 1 49152");
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(streams_that_read_nothing_do_not_stop_the_others) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();
    uint64_t given = 1024 * 1024;

    for (uint32_t id = 1; id <= 99; id += 2) {
        h2_put_get(bytes, id, 0, "/");
    }
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    for (uint32_t id = 3; id <= 99; id += 2) {
        h2_flow_pause(h2_rig_flow(rig, id), true);
        for (int i = 0; i < 4; i++) {
            put_data(bytes, id, 16384, 0);
        }
        MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
        MB_CHECK_EQ_INT(h2_rig_flow(rig, id)->body.length, 65536);
        given -= 65536;
        for (const char *at = h2_rig_frames(rig).ptr; (at = strstr(at, "WINDOW_UPDATE 0 ")) != NULL;
             at++) {
            given += strtoul(at + 16, NULL, 10);
        }
    }
    MB_CHECK(given >= 512 * 1024); /* 3 MB have come, and the peer may send as before */
    for (int i = 0; i < 100; i++) {
        put_data(bytes, 1, 16384, 0);
        MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    }
    MB_CHECK_EQ_INT(h2_rig_flow(rig, 1)->body_bytes, 100 * 16384);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(bytes_of_streams_that_are_gone_are_given_back_too) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    h2_put_get(bytes, 1, 0, "/");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    rig->codec->vtable->reset(rig->codec, &h2_rig_flow(rig, 1)->stream, MB_RESET_LOCAL, &rig->out);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "RST_STREAM 1 INTERNAL_ERROR");
    for (int i = 0; i < 40; i++) {
        put_data(bytes, 1, 16384, 0);
    }
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK(strstr(h2_rig_frames(rig).ptr, "WINDOW_UPDATE 0 ") != NULL);
    MB_CHECK_EQ_INT(h2_rig_flow(rig, 1)->events, 1);
    free(bytes);
    h2_rig_free(rig);
}

static void expect_fault(const char *raw, size_t len, const char *details, const char *code) {
    for (size_t step = 0; step < 2; step++) {
        h2_rig *rig = server(NULL);
        h2_bytes *bytes = h2_bytes_new();

        h2_put_get(bytes, 1, 0, "/");
        h2_put(bytes, (mb_slice){raw, len});
        MB_CHECK_EQ_INT(h2_rig_feed(rig, h2_bytes_slice(bytes), step), MB_EPROTO);
        MB_CHECK_EQ_INT(rig->failed, 1);
        MB_CHECK_EQ_SLICE(((mb_slice){rig->error->details, strlen(rig->error->details)}),
                          ((mb_slice){details, strlen(details)}));
        MB_CHECK(h2_rig_flow(rig, 1)->reset);
        MB_CHECK_EQ_INT(h2_rig_flush(rig), MB_OK);
        MB_CHECK(strstr(h2_rig_frames(rig).ptr, code) != NULL);
        MB_CHECK_EQ_INT(rig->counters.goaway_sent, 1);
        free(bytes);
        h2_rig_free(rig);
    }
}

#define FAULT(raw, details, code) expect_fault(raw, sizeof(raw) - 1, details, code)

MB_TEST(faults_of_the_connection_are_values_with_goaway) {
    FAULT("\0\0\1\0\0\0\0\0\0x", "http2.protocol_error", "GOAWAY 1 PROTOCOL_ERROR");
    FAULT("\0\0\1\0\0\0\0\0\7x", "http2.protocol_error", "GOAWAY 1 PROTOCOL_ERROR");
    FAULT("\0\0\1\1\4\0\0\0\2\x82", "http2.protocol_error", "GOAWAY 1 PROTOCOL_ERROR");
    FAULT("\0\0\1\1\4\0\0\0\3\xff", "http2.compression_error", "GOAWAY 3 COMPRESSION_ERROR");
    FAULT("\0\0\1\x9\4\0\0\0\1\x82", "http2.protocol_error", "GOAWAY 1 PROTOCOL_ERROR");
    FAULT("\0\0\4\x8\0\0\0\0\0\0\0\0\0", "http2.protocol_error", "GOAWAY 1 PROTOCOL_ERROR");
    FAULT("\0\0\4\x8\0\0\0\0\0\x7f\xff\xff\xff", "http2.flow_control_error",
          "GOAWAY 1 FLOW_CONTROL_ERROR");
    FAULT("\0\0\3\x8\0\0\0\0\0\0\0\0", "http2.frame_size_error", "GOAWAY 1 FRAME_SIZE_ERROR");
    FAULT("\0\0\5\x4\0\0\0\0\0\0\0\0\0\0", "http2.frame_size_error", "GOAWAY 1 FRAME_SIZE_ERROR");
    FAULT("\0\x40\1\0\0\0\0\0\1", "http2.frame_size_error", "GOAWAY 1 FRAME_SIZE_ERROR");
    FAULT("\0\0\4\3\0\0\0\0\x9\0\0\0\0", "http2.protocol_error", "GOAWAY 1 PROTOCOL_ERROR");
    FAULT("\0\0\6\4\0\0\0\0\0\0\4\xff\xff\xff\xff", "http2.flow_control_error",
          "GOAWAY 1 FLOW_CONTROL_ERROR");
    FAULT("\0\0\x0\4\1\0\0\0\0", "http2.protocol_error", "GOAWAY 1 PROTOCOL_ERROR");
}

MB_TEST(data_after_the_end_of_a_stream_ends_the_connection) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    h2_put_get(bytes, 1, H2_END_STREAM, "/");
    put_data(bytes, 1, 1, 0);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    MB_CHECK_EQ_LIT(((mb_slice){rig->error->details, strlen(rig->error->details)}),
                    "http2.stream_closed");
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(what_is_no_preface_ends_the_connection) {
    static const char *const bad[] = {"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
                                      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x6\0\0\0\0\0"};

    for (size_t i = 0; i < 3; i++) {
        for (size_t step = 0; step < 2; step++) {
            h2_rig *rig = h2_rig_new(mb_allocator_default(), NULL, true, NULL);
            size_t len = i == 2 ? 33 : strlen(bad[i]);

            MB_CHECK_EQ_INT(h2_rig_feed(rig, (mb_slice){bad[i], len}, step), MB_EPROTO);
            MB_CHECK_EQ_INT(rig->failed, 1);
            (void)h2_rig_flush(rig);
            MB_CHECK(strstr(h2_rig_frames(rig).ptr, "GOAWAY 0 PROTOCOL_ERROR") != NULL);
            h2_rig_free(rig);
        }
    }
}

MB_TEST(a_content_length_is_held_against_the_body) {
    static const struct {
        const char *length;
        const char *body;
        bool good;
    } cases[] = {{"3", "abc", true},
                 {"3", "ab", false},
                 {"3", "abcd", false},
                 {"0", "", true},
                 {"0", "a", false}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        h2_rig *rig = server(NULL);
        h2_bytes *bytes = h2_bytes_new();
        char head[128];

        snprintf(head, sizeof head,
                 ":method: PUT\n:scheme: http\n:path: /\n:authority: a\ncontent-length: %s\n",
                 cases[i].length);
        h2_put_headers(bytes, 1, 0, head);
        h2_put_frame(bytes, H2_DATA, H2_END_STREAM, 1,
                     (mb_slice){cases[i].body, strlen(cases[i].body)});
        MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
        MB_CHECK_EQ_INT(h2_rig_flow(rig, 1)->ended, cases[i].good);
        MB_CHECK_EQ_INT(h2_rig_flow(rig, 1)->reset, !cases[i].good);
        MB_CHECK_EQ_INT(rig->counters.rx_messaging_error, !cases[i].good);
        free(bytes);
        h2_rig_free(rig);
    }
}

MB_TEST(a_reset_of_the_peer_ends_the_stream_and_drops_what_was_kept) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    rig->pause_all = true;
    h2_put_get(bytes, 1, 0, "/");
    put_data(bytes, 1, 100, H2_END_STREAM);
    h2_put_u32(bytes, H2_RST_STREAM, 1, 8);
    h2_put_u32(bytes, H2_RST_STREAM, 1, 8);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_text(rig), "1 reset remote http2.remote_reset\n");
    MB_CHECK_EQ_INT(rig->counters.rx_reset, 2);
    MB_CHECK_EQ_INT(rig->counters.streams_active, 0);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(the_end_of_the_input_resets_what_is_not_whole) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    h2_put_get(bytes, 1, 0, "/cut");
    h2_put_get(bytes, 3, H2_END_STREAM, "/whole");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    rig->codec->vtable->receive_end(rig->codec);
    MB_CHECK_EQ_LIT(h2_rig_text(rig),
                    "1 GET example.com /cut https reset remote http2.remote_reset\n"
                    "3 GET example.com /whole https end\n");
    MB_CHECK(!rig->codec->vtable->reusable(rig->codec));
    MB_CHECK_EQ_INT(h2_rig_respond(h2_rig_flow(rig, 3), 200, true), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "HEADERS 3 end");
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(a_stream_that_the_owner_does_not_take_is_refused) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    rig->refuse_begin = true;
    h2_put_get(bytes, 1, 0, "/");
    put_data(bytes, 1, 10, H2_END_STREAM);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "RST_STREAM 1 REFUSED_STREAM");
    MB_CHECK_EQ_INT(rig->counters.headers_cb_no_stream, 1);
    rig->refuse_begin = false;
    h2_put_get(bytes, 3, H2_END_STREAM, "/");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK(h2_rig_flow(rig, 3)->ended);
    free(bytes);
    h2_rig_free(rig);
}
