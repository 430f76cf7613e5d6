/*
 * PING and SETTINGS of a peer that reads the answers: bounded by their rate, and what is legal is
 * never hit. Those that it leaves unread: test_h2_guard.c.
 */
#include "../mbtest.h"

#include "../support/h2_rig.h"
#include "base/alloc.h"
#include <stdlib.h>

#define QUESTIONS_PER_S 2000

static void expect_fine(h2_rig *rig, h2_bytes *bytes) {
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_OK);
    MB_CHECK_EQ_INT(rig->failed, 0);
}

/* A connection whose time the test says. The peer has sent its SETTINGS: the first question. */
static h2_rig *timed(mbtest_clock *clock, bool is_server, uint32_t may_wait) {
    mb_codec_options options = {.h2 = {.clock = &clock->clock}};
    h2_bytes *bytes = h2_bytes_new();
    h2_rig *rig;

    options.h2.max_outbound_control_frames = may_wait;
    mbtest_clock_init(clock, 7000000000u, 0);
    rig = h2_rig_new(mb_allocator_default(), NULL, is_server, &options);
    MB_CHECK(rig != NULL);
    if (is_server) {
        h2_put_preface(bytes);
    } else {
        h2_put_frame(bytes, H2_SETTINGS, 0, 0, MB_SLICE_LIT(""));
    }
    expect_fine(rig, bytes);
    (void)h2_rig_frames(rig);
    free(bytes);
    return rig;
}

static void put_question(h2_bytes *bytes, bool settings) {
    if (settings) {
        h2_put_frame(bytes, H2_SETTINGS, 0, 0, MB_SLICE_LIT(""));
    } else {
        h2_put_frame(bytes, H2_PING, 0, 0, MB_SLICE_LIT("12345678"));
    }
}

/* The next question is too much. Frees. */
static void expect_flood(h2_rig *rig, h2_bytes *bytes, bool settings) {
    const char *frames;

    put_question(bytes, settings);
    MB_CHECK_EQ_INT(h2_rig_take(rig, bytes), MB_EPROTO);
    MB_CHECK_EQ_INT(rig->failed, 1);
    MB_CHECK(strcmp(rig->error->details, "http2.inbound_control_frames_flood") == 0);
    MB_CHECK_EQ_INT(rig->counters.inbound_control_frames_flood, 1);
    (void)h2_rig_flush(rig);
    frames = h2_rig_frames(rig).ptr;
    MB_CHECK(strstr(frames, "GOAWAY") != NULL && strstr(frames, "ENHANCE_YOUR_CALM") != NULL);
    h2_rig_free(rig);
}

/* Asks `count` times, and reads the answers. */
static void ask(h2_rig *rig, h2_bytes *bytes, bool settings, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        put_question(bytes, settings);
        expect_fine(rig, bytes);
        mb_buffer_clear(&rig->out);
    }
}

MB_TEST(questions_whose_answers_are_read_are_a_flood_by_their_rate) {
    for (int kind = 0; kind < 4; kind++) {
        bool is_server = (kind & 1) == 0, settings = (kind & 2) != 0;
        mbtest_clock clock;
        h2_rig *rig = timed(&clock, is_server, 0);
        h2_bytes *bytes = h2_bytes_new();

        ask(rig, bytes, settings, QUESTIONS_PER_S - 1);
        mbtest_clock_advance_us(&clock, 1000000);
        for (unsigned i = 0; i < QUESTIONS_PER_S; i++) { /* 10,000 a second */
            mbtest_clock_advance_us(&clock, 100);
            ask(rig, bytes, settings, 1);
        }
        expect_flood(rig, bytes, settings);
        free(bytes);
    }
}

MB_TEST(second_that_is_not_over_yet_is_not) {
    mbtest_clock clock;
    h2_rig *rig = timed(&clock, true, 0);
    h2_bytes *bytes = h2_bytes_new();

    ask(rig, bytes, false, QUESTIONS_PER_S - 1);
    mbtest_clock_advance_us(&clock, 999999);
    expect_flood(rig, bytes, false);
    free(bytes);
}

MB_TEST(keep_alive_of_days_is_no_flood) {
    mbtest_clock clock;
    h2_rig *rig = timed(&clock, true, 0);
    h2_bytes *bytes = h2_bytes_new();

    for (unsigned i = 0; i < 3 * 86400; i++) {
        mbtest_clock_advance_us(&clock, 1000000);
        ask(rig, bytes, false, 1);
    }
    for (unsigned i = 0; i < 20; i++) { /* as many as may be */
        mbtest_clock_advance_us(&clock, 1000000);
        ask(rig, bytes, (i & 1) != 0, QUESTIONS_PER_S);
    }
    free(bytes);
    h2_rig_free(rig);
}

/* gRPC: each DATA frame that comes may be answered by a PING, to measure the way. */
MB_TEST(question_for_each_frame_of_data_is_no_flood_nor_a_credit_for_later) {
    mbtest_clock clock;
    h2_rig *rig = timed(&clock, true, 0);
    h2_bytes *bytes = h2_bytes_new();

    h2_put_u32(bytes, H2_WINDOW_UPDATE, 0, 1 << 20);
    h2_put_get(bytes, 1, H2_END_STREAM, "/");
    expect_fine(rig, bytes);
    MB_CHECK_EQ_INT(h2_rig_respond(h2_rig_flow(rig, 1), 200, false), MB_OK);
    for (unsigned i = 0; i < 5 * QUESTIONS_PER_S; i++) {
        MB_CHECK_EQ_INT(h2_flow_send(h2_rig_flow(rig, 1), MB_SLICE_LIT("x"), false), MB_OK);
        mb_buffer_clear(&rig->out);
        ask(rig, bytes, false, 1);
    }
    ask(rig, bytes, false, QUESTIONS_PER_S - 5); /* the stream, and what is free anyway */
    mbtest_clock_advance_us(&clock, 1000000);
    ask(rig, bytes, false, QUESTIONS_PER_S);
    expect_flood(rig, bytes, false);
    free(bytes);
}

/* What has ended makes room for more. */
static void forget_flows(h2_rig *rig) {
    for (size_t k = 0; k < H2_RIG_FLOWS; k++) {
        if (rig->flows[k].begun && rig->flows[k].stream.state == NULL) {
            rig->flows[k].begun = false;
            mb_buffer_fini(&rig->flows[k].body);
            mb_arena_clear(&rig->flows[k].arena);
        }
    }
}

MB_TEST(question_for_each_stream_is_no_flood) {
    mbtest_clock clock;
    h2_rig *rig = timed(&clock, true, 0);
    h2_bytes *bytes = h2_bytes_new();

    rig->answer = true;
    for (uint32_t id = 1; id < 6 * QUESTIONS_PER_S; id += 2) {
        h2_put_get(bytes, id, H2_END_STREAM, "/");
        ask(rig, bytes, false, 1);
        forget_flows(rig);
    }
    free(bytes);
    h2_rig_free(rig);
}

MB_TEST(questions_follow_the_bound_on_answers_that_wait_upwards_only) {
    mbtest_clock clock;
    h2_bytes *bytes = h2_bytes_new();
    h2_rig *rig = timed(&clock, true, 1);

    ask(rig, bytes, false, QUESTIONS_PER_S - 1);
    expect_flood(rig, bytes, false);
    rig = timed(&clock, true, 2 * QUESTIONS_PER_S);
    ask(rig, bytes, false, 4 * QUESTIONS_PER_S - 1);
    expect_flood(rig, bytes, false);
    rig = timed(&clock, true, UINT32_MAX);
    ask(rig, bytes, false, 10 * QUESTIONS_PER_S);
    h2_rig_free(rig);
    free(bytes);
}
