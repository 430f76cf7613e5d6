/*
 * Connections that carry many streams: how the pool shares them, and how they end.
 */
#include "support/h2_peer.h"

#include <unistd.h>

typedef struct scene {
    rig in;
    mb_cluster_settings settings;
    mb_cluster *cluster;
} scene;

static bool scene_init(scene *self, size_t fail_at) {
    if (!rig_init(&self->in, fail_at)) {
        return false;
    }
    self->settings = rig_settings(&self->in);
    self->settings.protocol = MB_UPSTREAM_HTTP2;
    return true;
}

static void scene_start(scene *self) {
    self->cluster = mb_cluster_new(&self->in.worker, &self->settings);
    MB_CHECK(self->cluster != NULL);
}

static void scene_fini(scene *self) {
    if (self->cluster != NULL) {
        MB_CHECK_EQ_INT(self->cluster->circuit.requests.now, 0);
        MB_CHECK_EQ_INT(self->cluster->circuit.pending.now, 0);
        mb_cluster_unref(self->cluster);
    }
    rig_fini(&self->in);
}

static void ask(scene *self, asker *a, const char *path) {
    asker_init(a, &self->in, path);
    mb_headers_set_pseudo(&a->ask, MB_PSEUDO_SCHEME, MB_SLICE_LIT("http"));
    mb_pool_request(&rig_host(self->cluster)->pool, &a->request);
}

static bool settled(void *context) {
    const asker *a = context;

    return a->ended || a->failed;
}

static void wait_settled(asker *a) {
    rig_turn_until(a->rig, settled, a);
}

static void turns(scene *self) {
    for (int i = 0; i < 4; i++) {
        rig_turn(&self->in);
    }
}

MB_TEST(requests_share_one_connection_and_answers_come_in_any_order) {
    scene self;
    asker a, b, c;

    MB_CHECK(scene_init(&self, 0));
    scene_start(&self);
    ask(&self, &a, "/a");
    ask(&self, &b, "/b");
    int peer = h2_accept(&self.in, -1);
    uint32_t first = h2_expect_request(&self.in, peer), second = h2_expect_request(&self.in, peer);
    ask(&self, &c, "/c"); /* on the one that carries others */
    uint32_t third = h2_expect_request(&self.in, peer);
    MB_CHECK(first == 1 && second == 3 && third == 5);
    CHECK_STAT(&self.in, "cluster.up.upstream_rq_active", 3);
    h2_respond(&self.in, peer, third, false);
    h2_respond(&self.in, peer, first, false);
    h2_body(&self.in, peer, third, "cc", true);
    h2_respond(&self.in, peer, second, true);
    h2_body(&self.in, peer, first, "aa", true);
    asker_wait_end(&a);
    MB_CHECK(a.ended && b.ended && c.ended && a.request.multiplexed);
    MB_CHECK_EQ_LIT(((mb_slice){a.body, a.body_length}), "aa");
    MB_CHECK_EQ_LIT(((mb_slice){c.body, c.body_length}), "cc");
    MB_CHECK_EQ_INT(c.request.bytes_received, 2);
    MB_CHECK(rig_nobody_connects(&self.in));
    CHECK_STAT(&self.in, "cluster.up.upstream_cx_http2_total", 1);
    CHECK_STAT(&self.in, "cluster.up.upstream_cx_http1_total", 0);
    CHECK_STAT(&self.in, "cluster.up.upstream_rq_total", 3);
    CHECK_STAT(&self.in, "cluster.up.upstream_rq_active", 0);
    CHECK_STAT(&self.in, "cluster.up.http2.streams_active", 0);
    asker_fini(&a);
    asker_fini(&b);
    asker_fini(&c);
    scene_fini(&self);
    close(peer);
}

MB_TEST(what_the_upstream_allows_is_filled_before_others_are_made) {
    scene self;
    asker all[5];

    MB_CHECK(scene_init(&self, 0));
    scene_start(&self);
    ask(&self, &all[0], "/");
    int one = h2_accept(&self.in, 2);
    h2_expect_request(&self.in, one);
    turns(&self); /* its SETTINGS are known */
    for (int i = 1; i < 4; i++) {
        ask(&self, &all[i], "/");
    }
    /* One fits; two wait, for one connection, since those were seen to carry two. */
    h2_expect_request(&self.in, one);
    MB_CHECK(h2_no_request(&self.in, one));
    int two = h2_accept(&self.in, 2);
    h2_expect_request(&self.in, two);
    h2_expect_request(&self.in, two);
    MB_CHECK(rig_nobody_connects(&self.in));
    h2_respond(&self.in, one, 1, true);
    asker_wait_end(&all[0]);
    ask(&self, &all[4], "/");
    MB_CHECK_EQ_INT(h2_expect_request(&self.in, one), 5);
    for (int i = 0; i < 5; i++) {
        asker_fini(&all[i]);
    }
    scene_fini(&self);
    close(one);
    close(two);
}

MB_TEST(request_waits_when_no_other_connection_may_be_made) {
    scene self;
    asker a, b;

    MB_CHECK(scene_init(&self, 0));
    self.settings.limits.max_connections = 1;
    scene_start(&self);
    ask(&self, &a, "/a");
    int peer = h2_accept(&self.in, 1);
    h2_expect_request(&self.in, peer);
    turns(&self);
    ask(&self, &b, "/b");
    MB_CHECK(h2_no_request(&self.in, peer));
    CHECK_STAT(&self.in, "cluster.up.upstream_rq_pending_active", 1);
    h2_respond(&self.in, peer, 1, true);
    MB_CHECK_EQ_INT(h2_expect_request(&self.in, peer), 3);
    h2_respond(&self.in, peer, 3, true);
    asker_wait_end(&b);
    asker_fini(&a);
    asker_fini(&b);
    scene_fini(&self);
    close(peer);
}

MB_TEST(upstream_that_allows_no_stream_is_waited_for_with_one_connection) {
    scene self;
    asker a, b, c;

    MB_CHECK(scene_init(&self, 0));
    scene_start(&self);
    ask(&self, &a, "/a");
    int peer = h2_accept(&self.in, 0);
    h2_expect_request(&self.in, peer); /* sent before its SETTINGS were known */
    h2_reset(&self.in, peer, 1, H2_REFUSED_STREAM);
    asker_wait_failed(&a);
    MB_CHECK_EQ_INT(a.why, MB_UPSTREAM_REFUSED);
    ask(&self, &b, "/b");
    ask(&self, &c, "/c");
    MB_CHECK(h2_no_request(&self.in, peer));
    MB_CHECK(rig_nobody_connects(&self.in));
    h2_send_setting(&self.in, peer, H2_MAX_CONCURRENT_STREAMS, 1);
    MB_CHECK_EQ_INT(h2_expect_request(&self.in, peer), 3);
    asker_fini(&a);
    asker_fini(&b);
    asker_fini(&c);
    scene_fini(&self);
    close(peer);
}

MB_TEST(reset_of_one_stream_leaves_the_others_alone) {
    scene self;
    asker a, b, c;

    MB_CHECK(scene_init(&self, 0));
    scene_start(&self);
    ask(&self, &a, "/a");
    ask(&self, &b, "/b");
    ask(&self, &c, "/c");
    int peer = h2_accept(&self.in, -1);
    for (int i = 0; i < 3; i++) {
        h2_expect_request(&self.in, peer);
    }
    h2_reset(&self.in, peer, 1, H2_REFUSED_STREAM);
    h2_respond(&self.in, peer, 3, false);
    turns(&self);
    h2_reset(&self.in, peer, 3, H2_INTERNAL_ERROR);
    h2_respond(&self.in, peer, 5, true);
    asker_wait_end(&c);
    MB_CHECK(a.failed && a.why == MB_UPSTREAM_REFUSED);
    MB_CHECK(b.started && b.failed && b.why == MB_UPSTREAM_RESET);
    CHECK_STAT(&self.in, "cluster.up.upstream_rq_rx_reset", 2);
    CHECK_STAT(&self.in, "cluster.up.upstream_cx_active", 1);
    asker_fini(&a);
    asker_fini(&b);
    asker_fini(&c);
    scene_fini(&self);
    close(peer);
}

MB_TEST(goaway_refuses_what_it_does_not_name_and_the_rest_is_answered) {
    scene self;
    asker a, b, c;

    MB_CHECK(scene_init(&self, 0));
    scene_start(&self);
    ask(&self, &a, "/a");
    ask(&self, &b, "/b");
    int peer = h2_accept(&self.in, -1);
    h2_expect_request(&self.in, peer);
    h2_expect_request(&self.in, peer);
    h2_goaway(&self.in, peer, 1, H2_NO_ERROR);
    asker_wait_failed(&b);
    MB_CHECK_EQ_INT(b.why, MB_UPSTREAM_REFUSED);
    MB_CHECK(!a.failed);
    ask(&self, &c, "/c");
    int other = h2_accept(&self.in, -1);
    MB_CHECK_EQ_INT(h2_expect_request(&self.in, other), 1);
    h2_respond(&self.in, peer, 1, true);
    asker_wait_end(&a);
    rig_expect_close(&self.in, peer);
    CHECK_STAT(&self.in, "cluster.up.upstream_cx_close_notify", 1);
    CHECK_STAT(&self.in, "cluster.up.upstream_cx_destroy_local", 1);
    CHECK_STAT(&self.in, "cluster.up.upstream_cx_destroy_with_active_rq", 0);
    asker_fini(&a);
    asker_fini(&b);
    asker_fini(&c);
    scene_fini(&self);
    close(other);
}

MB_TEST(end_of_the_connection_ends_all_its_requests) {
    scene self;
    asker a, b;

    MB_CHECK(scene_init(&self, 0));
    for (int how = 0; how < 3; how++) {
        scene_start(&self);
        ask(&self, &a, "/a");
        ask(&self, &b, "/b");
        int peer = h2_accept(&self.in, -1);
        h2_expect_request(&self.in, peer);
        h2_expect_request(&self.in, peer);
        h2_respond(&self.in, peer, 3, false);
        h2_body(&self.in, peer, 3, "part", false);
        turns(&self);
        if (how == 0) {
            close(peer);
        } else if (how == 1) {
            rig_reset(peer);
        } else {
            h2_send(&self.in, peer, H2_DATA, 0, 0, "x", 1); /* DATA of no stream */
        }
        wait_settled(&a);
        wait_settled(&b);
        MB_CHECK(a.failed && b.failed && b.started);
        MB_CHECK_EQ_INT(a.why, how == 2 ? MB_UPSTREAM_PROTOCOL : MB_UPSTREAM_TERMINATED);
        MB_CHECK_EQ_INT(b.why, a.why);
        if (how == 2) {
            h2_frame frame;

            h2_expect(&self.in, peer, H2_GOAWAY, &frame);
            MB_CHECK_EQ_INT(frame.payload[7], 1); /* PROTOCOL_ERROR */
            rig_expect_close(&self.in, peer);
        }
        turns(&self);
        CHECK_STAT(&self.in, "cluster.up.upstream_cx_active", 0);
        asker_fini(&a);
        asker_fini(&b);
        mb_cluster_unref(self.cluster);
        rig_turn(&self.in);
    }
    CHECK_STAT(&self.in, "cluster.up.upstream_cx_destroy_with_active_rq", 3);
    CHECK_STAT(&self.in, "cluster.up.http2.streams_active", 0);
    CHECK_STAT(&self.in, "cluster.up.http2.pending_send_bytes", 0);
    CHECK_STAT(&self.in, "cluster.up.upstream_cx_protocol_error", 1);
    self.cluster = NULL;
    scene_fini(&self);
}

/* -- from within callbacks -------------------------------------------------------------------- */

static asker *victims[2];
static scene *present;

static void cancel_victims(asker *self) {
    (void)self;
    for (int i = 0; i < 2; i++) {
        mb_upstream_cancel(&victims[i]->request);
    }
}

MB_TEST(event_of_one_may_cancel_others) {
    scene self;
    asker a, b, c, d;

    MB_CHECK(scene_init(&self, 0));
    scene_start(&self);
    ask(&self, &a, "/a");
    ask(&self, &b, "/b");
    ask(&self, &c, "/c");
    ask(&self, &d, "/d");
    victims[0] = &a;
    victims[1] = &c;
    b.on_end = cancel_victims;
    int peer = h2_accept(&self.in, -1);
    for (int i = 0; i < 4; i++) {
        h2_expect_request(&self.in, peer);
    }
    /* All in one read: what comes for those that are cancelled meanwhile is dropped. */
    h2_respond(&self.in, peer, 3, true);
    h2_respond(&self.in, peer, 1, true);
    h2_respond(&self.in, peer, 5, true);
    h2_respond(&self.in, peer, 7, true);
    asker_wait_end(&d);
    MB_CHECK(b.ended && a.request.state == MB_REQUEST_OVER);
    MB_CHECK(!a.failed && !c.failed);
    CHECK_STAT(&self.in, "cluster.up.upstream_rq_active", 0);
    asker_fini(&a);
    asker_fini(&b);
    asker_fini(&c);
    asker_fini(&d);
    scene_fini(&self);
    close(peer);
}

MB_TEST(cancelled_request_is_reset_and_its_connection_stays) {
    scene self;
    asker a, b;

    MB_CHECK(scene_init(&self, 0));
    scene_start(&self);
    ask(&self, &a, "/a");
    int peer = h2_accept(&self.in, -1);
    h2_expect_request(&self.in, peer);
    mb_upstream_cancel(&a.request);
    MB_CHECK_EQ_INT(h2_expect_reset(&self.in, peer, 1), H2_CANCEL);
    ask(&self, &b, "/b");
    MB_CHECK_EQ_INT(h2_expect_request(&self.in, peer), 3);
    h2_respond(&self.in, peer, 3, true);
    asker_wait_end(&b);
    CHECK_STAT(&self.in, "cluster.up.upstream_rq_tx_reset", 1);
    CHECK_STAT(&self.in, "cluster.up.upstream_cx_total", 1);
    asker_fini(&a);
    asker_fini(&b);
    scene_fini(&self);
    close(peer);
}

static asker next_one;

static void ask_next(asker *self) {
    (void)self;
    ask(present, &next_one, "/next");
}

MB_TEST(end_of_one_may_begin_another_at_once) {
    scene self;
    asker a;

    MB_CHECK(scene_init(&self, 0));
    scene_start(&self);
    present = &self;
    ask(&self, &a, "/a");
    a.on_end = ask_next;
    int peer = h2_accept(&self.in, -1);
    h2_expect_request(&self.in, peer);
    h2_respond(&self.in, peer, 1, false);
    h2_body(&self.in, peer, 1, "done", true);
    MB_CHECK_EQ_INT(h2_expect_request(&self.in, peer), 3);
    MB_CHECK_EQ_LIT(((mb_slice){a.body, a.body_length}), "done");
    h2_respond(&self.in, peer, 3, true);
    asker_wait_end(&next_one);
    MB_CHECK(rig_nobody_connects(&self.in));
    asker_fini(&a);
    asker_fini(&next_one);
    scene_fini(&self);
    close(peer);
}

MB_TEST(paused_response_holds_up_nobody_else) {
    scene self;
    asker a, b;

    MB_CHECK(scene_init(&self, 0));
    scene_start(&self);
    ask(&self, &a, "/a");
    ask(&self, &b, "/b");
    int peer = h2_accept(&self.in, -1);
    h2_expect_request(&self.in, peer);
    h2_expect_request(&self.in, peer);
    mb_upstream_pause(&a.request, true);
    h2_respond(&self.in, peer, 1, false);
    h2_body(&self.in, peer, 1, "kept", true);
    h2_respond(&self.in, peer, 3, true);
    asker_wait_end(&b);
    MB_CHECK(!a.ended);
    mb_upstream_pause(&a.request, false);
    asker_wait_end(&a);
    MB_CHECK_EQ_LIT(((mb_slice){a.body, a.body_length}), "kept");
    asker_fini(&a);
    asker_fini(&b);
    scene_fini(&self);
    close(peer);
}

MB_TEST(response_kept_by_a_pause_survives_the_end_of_the_connection) {
    scene self;
    asker a;

    MB_CHECK(scene_init(&self, 0));
    scene_start(&self);
    ask(&self, &a, "/a");
    int peer = h2_accept(&self.in, -1);
    h2_expect_request(&self.in, peer);
    mb_upstream_pause(&a.request, true);
    h2_respond(&self.in, peer, 1, false);
    h2_body(&self.in, peer, 1, "kept", true);
    shutdown(peer, SHUT_WR);
    turns(&self);
    MB_CHECK(!a.ended && !a.failed);
    mb_upstream_pause(&a.request, false);
    wait_settled(&a);
    MB_CHECK_EQ_LIT(((mb_slice){a.body, a.body_length}), "kept");
    rig_expect_close(&self.in, peer);
    asker_fini(&a);
    scene_fini(&self);
}

/* -- how they end ----------------------------------------------------------------------------- */

MB_TEST(last_request_that_the_settings_allow_drains_the_connection) {
    scene self;
    asker a, b, c;

    MB_CHECK(scene_init(&self, 0));
    self.settings.max_requests_per_connection = 2;
    scene_start(&self);
    ask(&self, &a, "/a");
    ask(&self, &b, "/b");
    ask(&self, &c, "/c");
    int one = h2_accept(&self.in, -1);
    h2_expect_request(&self.in, one);
    h2_expect_request(&self.in, one);
    int two = h2_accept(&self.in, -1);
    h2_expect_request(&self.in, two);
    h2_respond(&self.in, one, 1, true);
    h2_respond(&self.in, one, 3, true);
    rig_expect_close(&self.in, one);
    MB_CHECK(a.ended && b.ended);
    CHECK_STAT(&self.in, "cluster.up.upstream_cx_max_requests", 1);
    asker_fini(&a);
    asker_fini(&b);
    asker_fini(&c);
    scene_fini(&self);
    close(two);
}

MB_TEST(idle_connection_reads_settings_and_expires) {
    scene self;
    asker a;

    MB_CHECK(scene_init(&self, 0));
    self.settings.idle_timeout_us = 1000000;
    scene_start(&self);
    ask(&self, &a, "/a");
    int peer = h2_accept(&self.in, -1);
    h2_expect_request(&self.in, peer);
    h2_respond(&self.in, peer, 1, true);
    asker_wait_end(&a);
    h2_send(&self.in, peer, H2_PING, 0, 0, "12345678", 8);
    h2_frame frame;
    h2_expect(&self.in, peer, H2_PING, &frame);
    MB_CHECK_EQ_INT(frame.flags, H2_ACK);
    rig_advance_us(&self.in, 900000);
    CHECK_STAT(&self.in, "cluster.up.upstream_cx_active", 1);
    rig_advance_us(&self.in, 200000);
    rig_expect_close(&self.in, peer);
    CHECK_STAT(&self.in, "cluster.up.upstream_cx_idle_timeout", 1);
    asker_fini(&a);
    scene_fini(&self);
}

MB_TEST(peer_that_answers_no_ping_is_dead) {
    scene self;
    asker a;

    MB_CHECK(scene_init(&self, 0));
    self.settings.h2_keepalive =
        (mb_keepalive_settings){.interval_us = 1000000, .timeout_us = 500000};
    scene_start(&self);
    ask(&self, &a, "/a");
    int peer = h2_accept(&self.in, -1);
    h2_expect_request(&self.in, peer);
    h2_frame frame;
    rig_advance_us(&self.in, 1002000);
    h2_expect(&self.in, peer, H2_PING, &frame);
    h2_send(&self.in, peer, H2_PING, H2_ACK, 0, frame.payload, 8);
    turns(&self);
    rig_advance_us(&self.in, 600000);
    MB_CHECK(!a.failed);
    rig_advance_us(&self.in, 402000);
    h2_expect(&self.in, peer, H2_PING, &frame);
    rig_advance_us(&self.in, 502000);
    MB_CHECK(a.failed && a.why == MB_UPSTREAM_TERMINATED);
    rig_expect_close(&self.in, peer);
    turns(&self);
    CHECK_STAT(&self.in, "cluster.up.http2.keepalive_timeout", 1);
    asker_fini(&a);
    scene_fini(&self);
}

MB_TEST(cluster_that_goes_lets_its_streams_end) {
    scene self;
    asker a, b;

    MB_CHECK(scene_init(&self, 0));
    scene_start(&self);
    ask(&self, &a, "/a");
    ask(&self, &b, "/b");
    int peer = h2_accept(&self.in, -1);
    h2_expect_request(&self.in, peer);
    h2_expect_request(&self.in, peer);
    mb_cluster_unref(self.cluster);
    self.cluster = NULL;
    h2_respond(&self.in, peer, 3, true);
    asker_wait_end(&b);
    CHECK_STAT(&self.in, "cluster.up.upstream_cx_active", 1);
    h2_respond(&self.in, peer, 1, true);
    asker_wait_end(&a);
    rig_expect_close(&self.in, peer);
    asker_fini(&a);
    asker_fini(&b);
    scene_fini(&self);
}

static void h2_respond_blindly(int peer, uint8_t stream) {
    const uint8_t frame[] = {0, 0, 1, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM,
                             0, 0, 0, stream,     0x88};

    (void)!send(peer, frame, sizeof frame, MSG_NOSIGNAL); /* it may be gone */
}

/* From the n-th allocation on all fail: requests end one way or the other, nothing is left. */
static bool exchange_with_failure(size_t fail_at) {
    scene self;
    asker a, b;

    if (!scene_init(&self, fail_at)) {
        return true;
    }
    mbtest_alloc *memory = self.in.memory;
    self.cluster = mb_cluster_new(&self.in.worker, &self.settings);
    bool failed = memory->requests >= fail_at;
    if (self.cluster != NULL) {
        int peer = -1;

        ask(&self, &a, "/a");
        ask(&self, &b, "/b");
        if (!settled(&a) || !settled(&b)) {
            peer = rig_accept(&self.in);
            h2_send(&self.in, peer, H2_SETTINGS, 0, 0, NULL, 0);
            turns(&self);
            h2_respond_blindly(peer, 1);
            h2_respond_blindly(peer, 3);
            turns(&self);
            close(peer);
        }
        close(self.in.listener); /* also of connections that nobody accepted */
        self.in.listener = -1;
        wait_settled(&a);
        wait_settled(&b);
        failed = memory->requests >= fail_at;
        asker_fini(&a);
        asker_fini(&b);
    }
    scene_fini(&self);
    return failed;
}

MB_TEST(failed_allocation_leaves_nothing) {
    size_t fail_at = 1;

    while (exchange_with_failure(fail_at)) {
        fail_at++;
    }
    MB_CHECK(fail_at > 20);
}
