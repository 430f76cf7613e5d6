/* Floods: each ends the connection with its own details, and what is just allowed does not. */
#include "../mbtest.h"

#include "../support/h2_rig.h"
#include "base/alloc.h"
#include "http/h2_guard.h"
#include <stdio.h>
#include <stdlib.h>

static h2_rig *server(const mb_codec_options *options) {
    h2_rig *rig = h2_rig_new(mb_allocator_default(), NULL, true, options);
    h2_bytes *bytes = h2_bytes_new();

    MB_CHECK(rig != NULL);
    h2_put_preface(bytes);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    (void)h2_rig_frames(rig);
    free(bytes);
    return rig;
}

/* The connection was ended for that: told once, GOAWAY written, nothing open. Frees. */
static void expect_flood(h2_rig *rig, h2_bytes *bytes, const char *details, uint64_t counter) {
    const char *frames;

    MB_CHECK_EQ_INT(rig->failed, 1);
    MB_CHECK_EQ_SLICE(((mb_slice){rig->error->details, strlen(rig->error->details)}),
                      ((mb_slice){details, strlen(details)}));
    MB_CHECK_EQ_INT(counter, 1);
    (void)h2_rig_flush(rig);
    frames = h2_rig_frames(rig).ptr;
    MB_CHECK(strstr(frames, "GOAWAY") != NULL && strstr(frames, "ENHANCE_YOUR_CALM") != NULL);
    for (size_t i = 0; i < H2_RIG_FLOWS; i++) {
        MB_CHECK(!rig->flows[i].begun || rig->flows[i].stream.state == NULL);
    }
    h2_put_get(bytes, 999, H2_END_STREAM, "/late");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    MB_CHECK_EQ_INT(rig->failed, 1);
    h2_rig_free(rig);
    free(bytes);
}

static void expect_fine(h2_rig *rig, h2_bytes *bytes) {
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_INT(rig->failed, 0);
}

MB_TEST(empty_frames_in_a_row_are_a_flood) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    h2_put_get(bytes, 1, 0, "/");
    for (int i = 0; i < 20; i++) {
        h2_put_frame(bytes, H2_DATA, 0, 1, MB_SLICE_LIT(""));
        h2_put_frame(bytes, H2_DATA, 0, 1, MB_SLICE_LIT("x"));
        h2_put_frame(bytes, H2_DATA, H2_PADDED, 1, MB_SLICE_LIT("\3\0\0\0"));
        h2_put_frame(bytes, H2_DATA, H2_PADDED, 1, MB_SLICE_LIT("\2x\0\0"));
    }
    expect_fine(rig, bytes);
    h2_put_frame(bytes, H2_DATA, 0, 1, MB_SLICE_LIT(""));
    h2_put_frame(bytes, H2_DATA, H2_PADDED, 1, MB_SLICE_LIT("\0"));
    h2_put_frame(bytes, H2_DATA, H2_END_STREAM, 1, MB_SLICE_LIT("never read"));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    MB_CHECK(!h2_rig_flow(rig, 1)->ended);
    expect_flood(rig, bytes, "http2.inbound_empty_frames_flood",
                 rig->counters.inbound_empty_frames_flood);
}

MB_TEST(an_empty_frame_that_ends_its_stream_is_none_of_a_flood) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    for (uint32_t id = 1; id < 100; id += 2) {
        h2_put_get(bytes, id, 0, "/");
        h2_put_frame(bytes, H2_DATA, H2_END_STREAM, id, MB_SLICE_LIT(""));
    }
    expect_fine(rig, bytes);
    MB_CHECK(h2_rig_flow(rig, 99)->ended);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(priority_frames_are_counted_by_streams) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    h2_put_get(bytes, 1, H2_END_STREAM, "/");
    for (int i = 0; i < 200; i++) {
        h2_put_frame(bytes, H2_PRIORITY_FRAME, 0, 7, MB_SLICE_LIT("\0\0\0\1\x10"));
    }
    expect_fine(rig, bytes);
    h2_put_frame(bytes, H2_PRIORITY_FRAME, 0, 7, MB_SLICE_LIT("\0\0\0\1\x10"));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    expect_flood(rig, bytes, "http2.inbound_priority_frames_flood",
                 rig->counters.inbound_priority_frames_flood);
}

MB_TEST(window_updates_are_counted_by_streams_and_data_sent) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    h2_put_get(bytes, 1, H2_END_STREAM, "/");
    expect_fine(rig, bytes);
    MB_CHECK_EQ_INT(h2_rig_respond(h2_rig_flow(rig, 1), 200, false), MB_OK);
    MB_CHECK_EQ_INT(h2_flow_send(h2_rig_flow(rig, 1), MB_SLICE_LIT("x"), false), MB_OK);
    for (int i = 0; i < 5 + 2 * (1 + 10); i++) {
        h2_put_u32(bytes, H2_WINDOW_UPDATE, 0, 1);
    }
    expect_fine(rig, bytes);
    h2_put_u32(bytes, H2_WINDOW_UPDATE, 1, 1);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    expect_flood(rig, bytes, "http2.inbound_window_update_frames_flood",
                 rig->counters.inbound_window_update_frames_flood);
}

MB_TEST(frames_of_unknown_types_are_ignored_until_they_are_a_flood) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    for (int i = 0; i < 100; i++) {
        h2_put_frame(bytes, 0x20 + i, 0xff, (uint32_t)i, MB_SLICE_LIT("whatever"));
    }
    expect_fine(rig, bytes);
    h2_put_frame(bytes, 0xf0, 0, 0, MB_SLICE_LIT(""));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    expect_flood(rig, bytes, "http2.inbound_other_frames_flood",
                 rig->counters.inbound_other_frames_flood);
}

MB_TEST(goaway_again_and_again_is_a_flood) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    for (int i = 0; i < 100; i++) {
        h2_put_goaway(bytes, 0, 0);
    }
    expect_fine(rig, bytes);
    h2_put_goaway(bytes, 0, 0);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    expect_flood(rig, bytes, "http2.inbound_other_frames_flood",
                 rig->counters.inbound_other_frames_flood);
}

/* The peer does not read: `out` stays above `output_bytes`. */
static h2_rig *clogged(void) {
    h2_rig *rig = server(NULL);
    char *much = malloc(100000);

    memset(much, 'x', 100000);
    MB_CHECK_EQ_INT(mb_buffer_append(&rig->out, (mb_slice){much, 100000}), MB_OK);
    free(much);
    return rig;
}

static void unclog(h2_rig *rig) {
    mb_buffer_drain(&rig->out, 100000);
}

MB_TEST(answers_that_a_peer_does_not_read_are_a_flood) {
    for (int kind = 0; kind < 3; kind++) {
        h2_rig *rig = clogged();
        h2_bytes *bytes = h2_bytes_new();

        for (uint32_t i = 0; i < 1001; i++) {
            if (i == 1000) {
                expect_fine(rig, bytes);
            }
            if (kind == 0) {
                h2_put_frame(bytes, H2_PING, 0, 0, MB_SLICE_LIT("12345678"));
            } else if (kind == 1) {
                h2_put_frame(bytes, H2_SETTINGS, 0, 0, MB_SLICE_LIT(""));
            } else { /* RST_STREAM; so that these are not too many resets before */
                rig->answer = true;
                for (uint32_t k = 0; k < 3; k++) {
                    h2_put_get(bytes, (4 * i + k) * 2 + 1, H2_END_STREAM, "/");
                }
                h2_put_headers(bytes, (4 * i + 3) * 2 + 1, H2_END_STREAM, "bad: 1\n");
                MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), i < 1000 ? MB_OK : MB_EPROTO);
                for (size_t k = 0; k < H2_RIG_FLOWS; k++) {
                    if (rig->flows[k].begun) {
                        rig->flows[k].begun = false;
                        mb_buffer_fini(&rig->flows[k].body);
                        mb_arena_clear(&rig->flows[k].arena);
                    }
                }
            }
        }
        MB_CHECK_EQ_INT(kind == 2 ? MB_EPROTO : h2_rig_take(rig, bytes), MB_EPROTO);
        unclog(rig);
        expect_flood(rig, bytes, "http2.outbound_control_flood",
                     rig->counters.outbound_control_flood);
    }
}

MB_TEST(all_frames_that_wait_are_bounded) {
    mb_codec_options options = {.h2.max_outbound_frames = 50};
    h2_rig *rig = server(&options);
    h2_bytes *bytes = h2_bytes_new();
    char *much = malloc(100000);

    memset(much, 'x', 100000);
    MB_CHECK_EQ_INT(mb_buffer_append(&rig->out, (mb_slice){much, 100000}), MB_OK);
    free(much);
    rig->answer = true;
    for (uint32_t id = 1; id < 2 * 52; id += 2) {
        h2_put_get(bytes, id, H2_END_STREAM, "/");
    }
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    unclog(rig);
    expect_flood(rig, bytes, "http2.outbound_flood", rig->counters.outbound_flood);
}

static void forget_flows(h2_rig *rig) {
    for (size_t k = 0; k < H2_RIG_FLOWS; k++) {
        if (rig->flows[k].begun && rig->flows[k].stream.state == NULL) {
            rig->flows[k].begun = false;
            mb_buffer_fini(&rig->flows[k].body);
            mb_arena_clear(&rig->flows[k].arena);
        }
    }
}

MB_TEST(rapid_reset_ends_the_connection_and_no_request_of_it_was_told) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();
    uint32_t id = 1;

    rig->answer = true;
    for (int i = 0; i < 249; i++, id += 2) {
        h2_put_get(bytes, id, H2_END_STREAM, "/");
        h2_put_u32(bytes, H2_RST_STREAM, id, 8);
        expect_fine(rig, bytes);
        MB_CHECK_EQ_INT(h2_rig_flow(rig, id)->events, 0);
        MB_CHECK(h2_rig_flow(rig, id)->reset);
        forget_flows(rig);
        mb_buffer_clear(&rig->out);
    }
    h2_put_get(bytes, id, H2_END_STREAM, "/");
    h2_put_u32(bytes, H2_RST_STREAM, id, 8);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    expect_flood(rig, bytes, "http2.premature_resets_flood", rig->counters.premature_resets_flood);
}

MB_TEST(resets_that_are_fewer_than_half_are_allowed) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();
    uint32_t id = 1;

    rig->answer = true;
    for (int i = 0; i < 4000; i++, id += 2) {
        h2_put_get(bytes, id, H2_END_STREAM, "/");
        if (i % 3 == 0) {
            h2_put_u32(bytes, H2_RST_STREAM, id, 8);
        }
        expect_fine(rig, bytes);
        forget_flows(rig);
        mb_buffer_clear(&rig->out);
    }
    free(bytes);
    h2_rig_free(rig);
}

/* The peer makes us reset its streams: CVE-2025-8671. Several ways, each is counted. */
MB_TEST(made_you_reset_is_a_rapid_reset) {
    for (int kind = 0; kind < 4; kind++) {
        h2_rig *rig = server(NULL);
        h2_bytes *bytes = h2_bytes_new();
        uint32_t id = 1;
        int resets = 0;

        while (rig->failed == 0) {
            h2_put_get(bytes, id, 0, "/");
            switch (kind) {
            case 0: /* more than the window can hold */
                h2_put_u32(bytes, H2_WINDOW_UPDATE, id, 0x7fffffff);
                break;
            case 1: /* trailers without END_STREAM */
                h2_put_headers(bytes, id, 0, "a: 1\n");
                break;
            case 2: /* a pseudo-header in trailers */
                h2_put_headers(bytes, id, H2_END_STREAM, ":path: /\n");
                break;
            default: /* more bytes than it said */
                bytes->length = 0;
                h2_put_headers(bytes, id, 0,
                               ":method: GET\n:scheme: http\n:path: /\n:authority: a\n"
                               "content-length: 1\n");
                h2_put_frame(bytes, H2_DATA, 0, id, MB_SLICE_LIT("ab"));
                break;
            }
            (void)h2_rig_take(rig, bytes);
            resets += h2_rig_flow(rig, id)->reset;
            forget_flows(rig);
            if (rig->failed == 0) {
                mb_buffer_clear(&rig->out);
            }
            id += 2;
            MB_CHECK(id < 2000);
        }
        /* Trailers count as streams, as in Envoy: it may take some more. */
        MB_CHECK(resets >= 250 && resets <= 251);
        expect_flood(rig, bytes, "http2.premature_resets_flood",
                     rig->counters.premature_resets_flood);
    }
}

MB_TEST(streams_beyond_the_limit_are_refused_and_count_as_resets) {
    mb_codec_options options = {.h2.max_concurrent_streams = 10};
    h2_rig *rig = server(&options);
    h2_bytes *bytes = h2_bytes_new();
    uint32_t id = 1;
    const char *frames;

    for (; id <= 21; id += 2) {
        h2_put_get(bytes, id, H2_END_STREAM, "/");
    }
    expect_fine(rig, bytes);
    MB_CHECK_EQ_INT(rig->begun, 10);
    frames = h2_rig_frames(rig).ptr;
    MB_CHECK(strstr(frames, "RST_STREAM 21 REFUSED_STREAM") != NULL);
    MB_CHECK_EQ_INT(rig->counters.stream_refused_errors, 1);
    for (int i = 0; i < 260 && rig->failed == 0; i++, id += 2) {
        h2_put_get(bytes, id, H2_END_STREAM, "/");
        (void)h2_rig_take(rig, bytes);
    }
    expect_flood(rig, bytes, "http2.premature_resets_flood", rig->counters.premature_resets_flood);
}

MB_TEST(more_streams_than_were_allowed_and_acknowledged_end_the_connection) {
    mb_codec_options options = {.h2.max_concurrent_streams = 2};
    h2_rig *rig = server(&options);
    h2_bytes *bytes = h2_bytes_new();

    h2_put_frame(bytes, H2_SETTINGS, H2_ACK, 0, MB_SLICE_LIT(""));
    h2_put_get(bytes, 1, H2_END_STREAM, "/");
    h2_put_get(bytes, 3, H2_END_STREAM, "/");
    expect_fine(rig, bytes);
    h2_put_get(bytes, 5, H2_END_STREAM, "/");
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    MB_CHECK_EQ_LIT(((mb_slice){rig->error->details, strlen(rig->error->details)}),
                    "http2.protocol_error");
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(a_block_in_too_many_frames_is_a_flood) {
    for (int bad = 0; bad < 2; bad++) { /* also for a stream that is refused already */
        h2_rig *rig = server(NULL);
        h2_bytes *bytes = h2_bytes_new(), *field = h2_bytes_new();

        h2_put_field(field, MB_SLICE_LIT("x"), MB_SLICE_LIT("1"));
        if (bad) {
            h2_put_field(field, MB_SLICE_LIT(":nonsense"), MB_SLICE_LIT("1"));
        }
        h2_put_frame(bytes, H2_HEADERS, 0, 1, h2_bytes_slice(field));
        for (int i = 0; i < 60 * 1024 / 16384 + 8; i++) {
            h2_put_frame(bytes, H2_CONTINUATION, 0, 1, h2_bytes_slice(field));
        }
        expect_fine(rig, bytes);
        h2_put_frame(bytes, H2_CONTINUATION, 0, 1, h2_bytes_slice(field));
        MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
        free(field);
        expect_flood(rig, bytes, "http2.inbound_continuation_flood",
                     rig->counters.inbound_continuation_flood);
    }
}

MB_TEST(an_hpack_bomb_ends_the_connection_within_its_block) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new(), *block = h2_bytes_new();
    char value[3000];

    memset(value, 'v', sizeof value);
    /* A literal with indexing, 3 kB; then the entry again and again, a byte each. */
    h2_put(block, MB_SLICE_LIT("\x40"));
    h2_put_field(block, MB_SLICE_LIT("x"), (mb_slice){value, sizeof value});
    memmove(block->data + 1, block->data + 2, block->length - 2);
    block->length--;
    for (int i = 0; i < 10000; i++) {
        h2_put(block, MB_SLICE_LIT("\xbe"));
    }
    h2_put_frame(bytes, H2_HEADERS, H2_END_HEADERS, 1, h2_bytes_slice(block));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    MB_CHECK(mb_headers_count(&h2_rig_flow(rig, 1)->headers) <= 100);
    free(block);
    expect_flood(rig, bytes, "http2.header_overflow", rig->counters.header_overflow);
}

MB_TEST(too_many_settings_in_one_frame_end_the_connection) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();
    char payload[33 * 6];

    memset(payload, 0x7f, sizeof payload);
    h2_put_frame(bytes, H2_SETTINGS, 0, 0, (mb_slice){payload, 32 * 6});
    expect_fine(rig, bytes);
    h2_put_frame(bytes, H2_SETTINGS, 0, 0, (mb_slice){payload, sizeof payload});
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    expect_flood(rig, bytes, "http2.outbound_control_flood", rig->counters.outbound_control_flood);
}

MB_TEST(the_guard_reads_frames_the_same_however_they_are_cut) {
    mb_codec_options options = {.max_head_bytes = 1000,
                                .h2 = {.max_frame_bytes = 16384,
                                       .max_consecutive_empty_frames = 1,
                                       .max_priority_frames_per_stream = 2,
                                       .max_window_updates_per_data_frame = 10,
                                       .max_resets = 500,
                                       .max_control_frames_per_s = 10}};
    h2_bytes *bytes = h2_bytes_new();

    h2_put_preface(bytes);
    h2_put_get(bytes, 1, 0, "/");
    h2_put_frame(bytes, H2_DATA, H2_PADDED, 1, MB_SLICE_LIT("\1\0"));
    h2_put_frame(bytes, H2_DATA, H2_PADDED, 1, MB_SLICE_LIT("\1x\0"));
    h2_put_frame(bytes, H2_DATA, 0, 1, MB_SLICE_LIT(""));
    for (int i = 0; i < 5; i++) {
        h2_put_frame(bytes, H2_PRIORITY_FRAME, 0, 1, MB_SLICE_LIT("12345"));
    }
    for (size_t step = 1; step < bytes->length; step++) {
        mb_h2_guard guard;
        mb_h2_fault fault = MB_H2_FINE;
        size_t at = 0, took = 0;

        mb_h2_guard_init(&guard, &options, true);
        for (; at < bytes->length && fault == MB_H2_FINE; at += took) {
            size_t left = bytes->length - at, len = step < left ? step : left;
            const char *piece = mbtest_guard(bytes->data + at, len);

            took = mb_h2_guard_scan(&guard, piece, len, &fault);
            MB_CHECK(took == len || fault != MB_H2_FINE);
            mbtest_guard_free(piece, len);
        }
        MB_CHECK_EQ_INT(fault, MB_H2_PRIORITY);
        MB_CHECK_EQ_INT(guard.opened, 1);
        MB_CHECK_EQ_INT(guard.priority_frames, 5);
        /* The frame that was too much is not fed to its end. */
        MB_CHECK(at >= bytes->length - 14 && at < bytes->length);
    }
    free(bytes);
}

static void expect_fault(void (*put)(h2_bytes *bytes), const char *details) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    rig->answer = true; /* the streams are closed and forgotten by the library */
    h2_put_get(bytes, 1, H2_END_STREAM, "/");
    h2_put_get(bytes, 5, 0, "/");
    expect_fine(rig, bytes);
    put(bytes);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), details == NULL ? MB_OK : MB_EPROTO);
    if (details != NULL) {
        MB_CHECK_EQ_SLICE(((mb_slice){rig->error->details, strlen(rig->error->details)}),
                          ((mb_slice){details, strlen(details)}));
    }
    free(bytes);
    h2_rig_free(rig);
}

static void put_data_after_end(h2_bytes *bytes) {
    h2_put_frame(bytes, H2_DATA, 0, 1, MB_SLICE_LIT("x"));
}

static void put_headers_after_end(h2_bytes *bytes) {
    h2_put_headers(bytes, 1, H2_END_STREAM, "a: 1\n");
}

static void put_data_after_reset(h2_bytes *bytes) {
    h2_put_u32(bytes, H2_RST_STREAM, 5, 8);
    h2_put_frame(bytes, H2_DATA, 0, 5, MB_SLICE_LIT("x"));
}

static void put_lower_stream(h2_bytes *bytes) {
    h2_put_get(bytes, 3, H2_END_STREAM, "/");
}

static void put_data_on_lower_stream(h2_bytes *bytes) {
    h2_put_frame(bytes, H2_DATA, 0, 3, MB_SLICE_LIT("x"));
}

static void put_priority_of_itself(h2_bytes *bytes) {
    h2_put_frame(bytes, H2_PRIORITY_FRAME, 0, 7, MB_SLICE_LIT("\x80\0\0\7\1"));
}

static void put_priority_of_nothing(h2_bytes *bytes) {
    h2_put_frame(bytes, H2_PRIORITY_FRAME, 0, 0, MB_SLICE_LIT("\0\0\0\7\1"));
}

static void put_what_is_allowed(h2_bytes *bytes) {
    h2_put_u32(bytes, H2_WINDOW_UPDATE, 1, 10);
    h2_put_u32(bytes, H2_RST_STREAM, 1, 8);
    h2_put_u32(bytes, H2_RST_STREAM, 5, 8);
    h2_put_u32(bytes, H2_RST_STREAM, 5, 8);
    h2_put_frame(bytes, H2_PRIORITY_FRAME, 0, 3, MB_SLICE_LIT("\0\0\0\1\1"));
    h2_put_get(bytes, 7, H2_END_STREAM, "/");
}

MB_TEST(frames_of_a_message_that_has_ended_end_the_connection) {
    expect_fault(put_data_after_end, "http2.stream_closed");
    expect_fault(put_headers_after_end, "http2.stream_closed");
    expect_fault(put_data_after_reset, "http2.stream_closed");
    expect_fault(put_lower_stream, "http2.protocol_error");
    expect_fault(put_data_on_lower_stream, "http2.stream_closed");
    expect_fault(put_priority_of_itself, "http2.protocol_error");
    expect_fault(put_priority_of_nothing, "http2.protocol_error");
    expect_fault(put_what_is_allowed, NULL);
}

MB_TEST(what_crosses_a_reset_of_ours_and_streams_long_gone_are_not_judged) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();
    uint32_t id = 1;

    h2_put_get(bytes, id, 0, "/");
    expect_fine(rig, bytes);
    rig->codec->vtable->reset(rig->codec, &h2_rig_flow(rig, 1)->stream, MB_RESET_LOCAL, &rig->out);
    h2_put_frame(bytes, H2_DATA, 0, 1, MB_SLICE_LIT("x"));
    h2_put_headers(bytes, 1, H2_END_STREAM, "a: 1\n");
    expect_fine(rig, bytes);
    rig->answer = true;
    for (id = 5; id < 5 + 2 * (MB_H2_HISTORY + 2); id += 2) {
        h2_put_get(bytes, id, H2_END_STREAM, "/");
        expect_fine(rig, bytes);
        mb_buffer_clear(&rig->out);
        forget_flows(rig);
    }
    h2_put_headers(bytes, 1, H2_END_STREAM, "a: 1\n");
    h2_put_frame(bytes, H2_DATA, 0, 3, MB_SLICE_LIT("x"));
    expect_fine(rig, bytes);
    h2_put_frame(bytes, H2_DATA, 0, id - 2, MB_SLICE_LIT("x"));
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(a_client_that_says_goodbye_gets_its_answers_and_the_connection_is_over) {
    h2_rig *rig = server(NULL);
    h2_bytes *bytes = h2_bytes_new();

    h2_put_get(bytes, 1, H2_END_STREAM, "/");
    h2_put_goaway(bytes, 0, 0);
    expect_fine(rig, bytes);
    MB_CHECK(!rig->codec->vtable->reusable(rig->codec));
    MB_CHECK_EQ_INT(h2_rig_respond(h2_rig_flow(rig, 1), 200, true), MB_OK);
    MB_CHECK_EQ_LIT(h2_rig_frames(rig), "HEADERS 1 end");
    free(bytes);
    h2_rig_free(rig);
}
