/* Pools: reuse, queueing, limits, expiry, and what makes a connection unfit for the next request.
 */
#include "support/upstream_rig.h"
#include "upstream/client.h"

#include <unistd.h>

#define OK_RESPONSE "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
#define CHECK_FAILED(self, reason)                                                                 \
    do {                                                                                           \
        MB_CHECK((self)->failed);                                                                  \
        MB_CHECK_EQ_INT((self)->why, reason);                                                      \
    } while (0)

static void check_ok(asker *self) {
    asker_wait_end(self);
    MB_CHECK(!self->failed);
    MB_CHECK_EQ_LIT(((mb_slice){self->body, self->body_length}), "ok");
    asker_fini(self);
}

/* One whole exchange; returns the upstream's socket, whose connection is idle in the pool then. */
static int exchange(rig *in, mb_upstream_host *host) {
    asker a;
    int peer;

    asker_ask(&a, in, host, "/");
    peer = rig_accept(in);
    rig_expect_end(in, peer, "\r\n\r\n");
    rig_answer(in, peer, OK_RESPONSE);
    check_ok(&a);
    return peer;
}

MB_TEST(connection_is_used_again) {
    rig in;
    asker a;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    int peer = exchange(&in, rig_host(cluster));

    for (int i = 0; i < 5; i++) {
        asker_ask(&a, &in, rig_host(cluster), "/again");
        MB_CHECK(a.ready); /* at once, without a turn */
        MB_CHECK(a.request.reused);
        rig_expect_end(&in, peer, "\r\n\r\n");
        rig_answer(&in, peer, OK_RESPONSE);
        check_ok(&a);
    }
    CHECK_STAT(&in, "cluster.up.upstream_cx_total", 1);
    CHECK_STAT(&in, "cluster.up.upstream_rq_total", 6);
    CHECK_STAT(&in, "cluster.up.upstream_rq_active", 0);
    CHECK_STAT(&in, "cluster.up.upstream_rq_pending_total", 1);
    mb_cluster_unref(cluster);
    rig_expect_close(&in, peer);
    CHECK_STAT(&in, "cluster.up.upstream_cx_active", 0);
    rig_fini(&in);
}

MB_TEST(most_recently_used_connection_comes_first) {
    rig in;
    asker a, b, c;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_ask(&a, &in, rig_host(cluster), "/a");
    asker_ask(&b, &in, rig_host(cluster), "/b");
    int first = rig_accept(&in), second = rig_accept(&in);

    rig_expect_end(&in, first, "\r\n\r\n");
    rig_expect_end(&in, second, "\r\n\r\n");
    rig_answer(&in, second, OK_RESPONSE);
    check_ok(&b);
    rig_answer(&in, first, OK_RESPONSE);
    check_ok(&a);
    asker_ask(&c, &in, rig_host(cluster), "/c");
    rig_expect(&in, first, "GET /c HTTP/1.1\r\n");
    rig_answer(&in, first, OK_RESPONSE);
    check_ok(&c);
    mb_cluster_unref(cluster);
    rig_expect_close(&in, first);
    rig_expect_close(&in, second);
    rig_fini(&in);
}

MB_TEST(request_waits_at_max_connections_and_takes_what_becomes_free) {
    rig in;
    asker a, b;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    settings.limits.max_connections = 1;
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_ask(&a, &in, rig_host(cluster), "/a");
    int peer = rig_accept(&in);

    rig_expect_end(&in, peer, "\r\n\r\n");
    asker_ask(&b, &in, rig_host(cluster), "/b");
    MB_CHECK(!b.ready);
    MB_CHECK(rig_nobody_connects(&in));
    CHECK_STAT(&in, "cluster.up.upstream_cx_overflow", 1);
    CHECK_STAT(&in, "cluster.up.upstream_rq_pending_active", 1);
    CHECK_STAT(&in, "cluster.up.circuit_breakers.default.cx_open", 1);
    rig_answer(&in, peer, OK_RESPONSE);
    check_ok(&a);
    rig_expect(&in, peer, "GET /b HTTP/1.1\r\n");
    rig_answer(&in, peer, OK_RESPONSE);
    check_ok(&b);
    CHECK_STAT(&in, "cluster.up.upstream_rq_pending_active", 0);
    mb_cluster_unref(cluster);
    rig_expect_close(&in, peer);
    CHECK_STAT(&in, "cluster.up.circuit_breakers.default.cx_open", 0);
    rig_fini(&in);
}

MB_TEST(request_beyond_max_pending_is_refused_at_once) {
    rig in;
    asker a, b, c;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    settings.limits.max_connections = 1;
    settings.limits.max_pending_requests = 1;
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_ask(&a, &in, rig_host(cluster), "/a");
    int peer = rig_accept(&in);

    rig_expect_end(&in, peer, "\r\n\r\n");
    asker_ask(&b, &in, rig_host(cluster), "/b");
    asker_ask(&c, &in, rig_host(cluster), "/c");
    CHECK_FAILED(&c, MB_UPSTREAM_OVERFLOW);
    CHECK_STAT(&in, "cluster.up.upstream_rq_pending_overflow", 1);
    asker_fini(&c);
    asker_fini(&b); /* cancelled while it waits */
    CHECK_STAT(&in, "cluster.up.upstream_rq_cancelled", 1);
    rig_answer(&in, peer, OK_RESPONSE);
    check_ok(&a);
    mb_cluster_unref(cluster);
    rig_expect_close(&in, peer);
    rig_fini(&in);
}

MB_TEST(request_beyond_max_requests_is_refused_and_connection_kept) {
    rig in;
    asker a, b, c;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    settings.limits.max_requests = 1;
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    int idle = exchange(&in, rig_host(cluster));

    asker_ask(&a, &in, rig_host(cluster), "/a");
    rig_expect_end(&in, idle, "\r\n\r\n");
    asker_ask(&b, &in, rig_host(cluster), "/b");
    int second = rig_accept(&in);

    asker_wait_failed(&b);
    CHECK_FAILED(&b, MB_UPSTREAM_OVERFLOW);
    CHECK_STAT(&in, "cluster.up.upstream_rq_active_overflow", 1);
    asker_fini(&b);
    asker_ask(&c, &in, rig_host(cluster), "/c"); /* an idle connection, but no room */
    CHECK_FAILED(&c, MB_UPSTREAM_OVERFLOW);
    asker_fini(&c);
    rig_answer(&in, idle, OK_RESPONSE);
    check_ok(&a);
    CHECK_STAT(&in, "cluster.up.upstream_cx_active", 2);
    mb_cluster_unref(cluster);
    rig_expect_close(&in, idle);
    rig_expect_close(&in, second);
    rig_fini(&in);
}

MB_TEST(pool_without_connections_may_make_one_beyond_the_limit) {
    rig in;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    settings.limits.max_connections = 0;
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    int peer = exchange(&in, rig_host(cluster));

    mb_cluster_unref(cluster);
    rig_expect_close(&in, peer);
    rig_fini(&in);
}

MB_TEST(refused_connection_fails_all_that_wait) {
    rig in;
    asker a, b;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    close(in.listener);
    in.listener = -1;
    asker_ask(&a, &in, rig_host(cluster), "/a");
    asker_ask(&b, &in, rig_host(cluster), "/b");
    MB_CHECK(!a.failed && !b.failed);
    asker_wait_failed(&a);
    MB_CHECK(b.failed);
    CHECK_FAILED(&a, MB_UPSTREAM_CONNECT_FAILED);
    CHECK_FAILED(&b, MB_UPSTREAM_CONNECT_FAILED);
    MB_CHECK_EQ_LIT(((mb_slice){a.transport, strlen(a.transport)}),
                    "delayed connect error: Connection refused");
    CHECK_STAT(&in, "cluster.up.upstream_rq_pending_failure_eject", 2);
    MB_CHECK(rig_stat(&in, "cluster.up.upstream_cx_connect_fail") >= 1);
    asker_fini(&a);
    asker_fini(&b);
    mb_cluster_unref(cluster);
    rig_fini(&in);
}

MB_TEST(connect_that_hangs_ends_at_its_timeout) {
    rig in;
    asker a;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    /* TEST-NET-1 answers nothing; where there is no route at all it is refused at once. */
    settings.endpoints[0].host = MB_SLICE_LIT("192.0.2.1");
    settings.connect_timeout_us = 250000;
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_ask(&a, &in, rig_host(cluster), "/a");
    rig_turn(&in);
    rig_advance_us(&in, 249000);
    bool early = a.failed;
    rig_advance_us(&in, 2000);
    MB_CHECK(a.failed);
    if (!early) {
        CHECK_FAILED(&a, MB_UPSTREAM_CONNECT_TIMEOUT);
        CHECK_STAT(&in, "cluster.up.upstream_cx_connect_timeout", 1);
    }
    CHECK_STAT(&in, "cluster.up.upstream_cx_connect_fail", 1);
    asker_fini(&a);
    mb_cluster_unref(cluster);
    rig_fini(&in);
}

MB_TEST(idle_connection_expires_and_used_one_stays) {
    rig in;
    asker a, b;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    settings.idle_timeout_us = 1000000;
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_ask(&a, &in, rig_host(cluster), "/a");
    asker_ask(&b, &in, rig_host(cluster), "/b");
    int one = rig_accept(&in), two = rig_accept(&in);

    rig_expect_end(&in, one, "\r\n\r\n");
    rig_expect_end(&in, two, "\r\n\r\n");
    rig_answer(&in, one, OK_RESPONSE);
    check_ok(&a);
    rig_answer(&in, two, OK_RESPONSE);
    check_ok(&b);
    rig_advance_us(&in, 600000);
    asker_ask(&a, &in, rig_host(cluster), "/a"); /* takes `two`, the younger */
    rig_expect_end(&in, two, "\r\n\r\n");
    rig_answer(&in, two, OK_RESPONSE);
    check_ok(&a);
    rig_advance_us(&in, 500000);
    rig_expect_close(&in, one);
    CHECK_STAT(&in, "cluster.up.upstream_cx_idle_timeout", 1);
    CHECK_STAT(&in, "cluster.up.upstream_cx_active", 1);
    rig_advance_us(&in, 600000);
    rig_expect_close(&in, two);
    CHECK_STAT(&in, "cluster.up.upstream_cx_idle_timeout", 2);
    mb_cluster_unref(cluster);
    rig_fini(&in);
}

MB_TEST(idle_timeout_zero_keeps_connections_for_ever) {
    rig in;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    settings.idle_timeout_us = 0;
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    int peer = exchange(&in, rig_host(cluster));

    rig_advance_us(&in, 10000000000u);
    CHECK_STAT(&in, "cluster.up.upstream_cx_active", 1);
    mb_cluster_unref(cluster);
    rig_expect_close(&in, peer);
    rig_fini(&in);
}

static bool is_gone(void *context) {
    return rig_stat(context, "cluster.up.upstream_cx_active") == 0;
}

MB_TEST(idle_connection_that_the_upstream_ends_leaves_the_pool) {
    rig in;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    close(exchange(&in, rig_host(cluster)));
    rig_turn_until(&in, is_gone, &in);
    CHECK_STAT(&in, "cluster.up.upstream_cx_destroy_remote", 1);
    CHECK_STAT(&in, "cluster.up.upstream_cx_destroy_with_active_rq", 0);
    close(exchange(&in, rig_host(cluster)));
    rig_turn_until(&in, is_gone, &in);
    rig_reset(exchange(&in, rig_host(cluster)));
    rig_turn_until(&in, is_gone, &in);
    mb_cluster_unref(cluster);
    rig_fini(&in);
}

MB_TEST(bytes_on_an_idle_connection_close_it) {
    rig in;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    int peer = exchange(&in, rig_host(cluster));

    rig_answer(&in, peer, OK_RESPONSE);
    rig_expect_close(&in, peer);
    CHECK_STAT(&in, "cluster.up.upstream_cx_protocol_error", 1);
    mb_cluster_unref(cluster);
    rig_fini(&in);
}

MB_TEST(bytes_behind_a_response_never_reach_the_next_request) {
    rig in;
    asker a, b;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    settings.limits.max_connections = 1;
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_ask(&a, &in, rig_host(cluster), "/a");
    int peer = rig_accept(&in);

    rig_expect_end(&in, peer, "\r\n\r\n");
    asker_ask(&b, &in, rig_host(cluster), "/b");
    rig_answer(&in, peer, OK_RESPONSE "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad");
    check_ok(&a);
    MB_CHECK_EQ_INT(rig_expect_close(&in, peer), 0);
    peer = rig_accept(&in);
    rig_expect(&in, peer, "GET /b HTTP/1.1\r\n");
    rig_answer(&in, peer, OK_RESPONSE);
    check_ok(&b);
    mb_cluster_unref(cluster);
    rig_expect_close(&in, peer);
    rig_fini(&in);
}

MB_TEST(connection_close_is_obeyed) {
    rig in;
    asker a;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_ask(&a, &in, rig_host(cluster), "/a");
    int peer = rig_accept(&in);

    rig_expect_end(&in, peer, "\r\n\r\n");
    rig_answer(&in, peer, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    check_ok(&a);
    rig_expect_close(&in, peer);
    CHECK_STAT(&in, "cluster.up.upstream_cx_destroy_local", 1);
    mb_cluster_unref(cluster);
    rig_fini(&in);
}

MB_TEST(response_may_be_framed_by_the_end_of_the_connection) {
    rig in;
    asker a;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_ask(&a, &in, rig_host(cluster), "/a");
    int peer = rig_accept(&in);

    rig_expect_end(&in, peer, "\r\n\r\n");
    rig_answer(&in, peer, "HTTP/1.1 200 OK\r\n\r\nok");
    close(peer);
    check_ok(&a);
    rig_turn_until(&in, is_gone, &in);
    mb_cluster_unref(cluster);
    rig_fini(&in);
}

MB_TEST(connection_retires_after_max_requests) {
    rig in;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    settings.max_requests_per_connection = 1;
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);

    for (int i = 0; i < 3; i++) {
        rig_expect_close(&in, exchange(&in, rig_host(cluster)));
    }
    CHECK_STAT(&in, "cluster.up.upstream_cx_max_requests", 3);
    CHECK_STAT(&in, "cluster.up.upstream_cx_total", 3);
    mb_cluster_unref(cluster);
    rig_fini(&in);
}

MB_TEST(connection_retires_by_age) {
    rig in;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    settings.max_connection_duration_us = 1000000;
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    int old = exchange(&in, rig_host(cluster));

    rig_advance_us(&in, 1000000);
    int young = exchange(&in, rig_host(cluster));

    rig_expect_close(&in, old);
    CHECK_STAT(&in, "cluster.up.upstream_cx_max_duration_reached", 1);
    mb_cluster_unref(cluster);
    rig_expect_close(&in, young);
    rig_fini(&in);
}

MB_TEST(cut_before_a_response_is_termination_and_within_it_a_protocol_error) {
    static const struct {
        const char *answer;
        mb_upstream_failure why;
    } cases[] = {
        {"", MB_UPSTREAM_TERMINATED},
        {"HTT", MB_UPSTREAM_PROTOCOL},
        {"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", MB_UPSTREAM_PROTOCOL},
        {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", MB_UPSTREAM_PROTOCOL},
        {"junk\r\n\r\n", MB_UPSTREAM_PROTOCOL},
        {"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok",
         MB_UPSTREAM_PROTOCOL},
        {"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", MB_UPSTREAM_PROTOCOL}};
    rig in;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        asker a;
        asker_ask(&a, &in, rig_host(cluster), "/a");
        int peer = rig_accept(&in);

        rig_expect_end(&in, peer, "\r\n\r\n");
        rig_answer(&in, peer, cases[i / 2].answer);
        rig_turn(&in);
        if (i % 2 == 0) {
            close(peer);
        } else {
            rig_reset(peer);
        }
        asker_wait_failed(&a);
        CHECK_FAILED(&a, cases[i / 2].why);
        asker_fini(&a);
    }
    CHECK_STAT(&in, "cluster.up.upstream_rq_active", 0);
    CHECK_STAT(&in, "cluster.up.upstream_cx_active", 0);
    mb_cluster_unref(cluster);
    rig_fini(&in);
}

MB_TEST(cancelled_request_closes_its_connection) {
    rig in;
    asker a, b;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_init(&a, &in, "/a");
    a.cancel_when_ready = true;
    mb_pool_request(&rig_host(cluster)->pool, &a.request);
    int peer = rig_accept(&in);

    asker_wait_ready(&a);
    rig_expect_close(&in, peer);
    asker_fini(&a);
    asker_init(&b, &in, "/b");
    b.cancel_when_started = true; /* from within the codec's event */
    mb_pool_request(&rig_host(cluster)->pool, &b.request);
    peer = rig_accept(&in);
    rig_expect_end(&in, peer, "\r\n\r\n");
    rig_answer(&in, peer, OK_RESPONSE);
    rig_expect_close(&in, peer);
    MB_CHECK(b.started && !b.ended && !b.failed);
    asker_fini(&b);
    CHECK_STAT(&in, "cluster.up.upstream_rq_tx_reset", 2);
    CHECK_STAT(&in, "cluster.up.upstream_cx_destroy_local_with_active_rq", 2);
    mb_cluster_unref(cluster);
    rig_fini(&in);
}

MB_TEST(cancel_makes_room_for_one_that_waits) {
    rig in;
    asker a, b;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    settings.limits.max_connections = 1;
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_ask(&a, &in, rig_host(cluster), "/a");
    int peer = rig_accept(&in);

    asker_wait_ready(&a);
    asker_ask(&b, &in, rig_host(cluster), "/b");
    asker_fini(&a);
    int second = rig_accept(&in);

    rig_expect_end(&in, second, "\r\n\r\n");
    rig_answer(&in, second, OK_RESPONSE);
    check_ok(&b);
    mb_cluster_unref(cluster);
    rig_expect_close(&in, peer);
    rig_expect_close(&in, second);
    rig_fini(&in);
}

static void ask_again(asker *self) {
    static asker next;

    asker_ask(&next, self->rig, self->request.host, "/next");
    MB_CHECK(!next.failed);
    asker_fini(&next);
}

MB_TEST(request_made_in_the_last_event_of_another_is_fine) {
    rig in;
    asker a;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_init(&a, &in, "/a");
    a.on_end = ask_again;
    mb_pool_request(&rig_host(cluster)->pool, &a.request);
    int peer = rig_accept(&in);

    rig_expect_end(&in, peer, "\r\n\r\n");
    rig_answer(&in, peer, OK_RESPONSE);
    check_ok(&a);
    int second = rig_accept(&in);

    mb_cluster_unref(cluster);
    rig_expect_close(&in, peer);
    rig_expect_close(&in, second);
    rig_fini(&in);
}

MB_TEST(fresh_request_passes_idle_connections_by) {
    rig in;
    asker a;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    settings.limits.max_connections = 1;
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    int idle = exchange(&in, rig_host(cluster));

    asker_init(&a, &in, "/fresh");
    a.request.fresh = true;
    mb_pool_request(&rig_host(cluster)->pool, &a.request);
    rig_expect_close(&in, idle); /* at the limit the idle one makes room */
    int peer = rig_accept(&in);

    rig_expect_end(&in, peer, "\r\n\r\n");
    MB_CHECK(!a.request.reused);
    rig_answer(&in, peer, OK_RESPONSE);
    check_ok(&a);
    mb_cluster_unref(cluster);
    rig_expect_close(&in, peer);
    rig_fini(&in);
}

MB_TEST(paused_response_is_not_read_and_goes_on_later) {
    rig in;
    asker a;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_ask(&a, &in, rig_host(cluster), "/a");
    int peer = rig_accept(&in);

    rig_expect_end(&in, peer, "\r\n\r\n");
    mb_upstream_pause(&a.request, true);
    rig_answer(&in, peer, "HTTP/1.1 200 OK\r\n\r\nok");
    close(peer);
    rig_turn(&in);
    rig_turn(&in);
    MB_CHECK(!a.started);
    mb_upstream_pause(&a.request, false);
    check_ok(&a);
    CHECK_STAT(&in, "cluster.up.upstream_flow_control_paused_reading_total", 1);
    CHECK_STAT(&in, "cluster.up.upstream_flow_control_resumed_reading_total", 1);
    mb_cluster_unref(cluster);
    rig_fini(&in);
}

MB_TEST(drained_pool_finishes_what_runs) {
    rig in;
    asker a;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_ask(&a, &in, rig_host(cluster), "/a");
    int peer = rig_accept(&in);

    rig_expect_end(&in, peer, "\r\n\r\n");
    mb_cluster_unref(cluster);
    rig_turn(&in);
    rig_answer(&in, peer, OK_RESPONSE);
    check_ok(&a);
    rig_expect_close(&in, peer);
    rig_fini(&in);
}

MB_TEST(drained_pool_serves_what_waits) {
    rig in;
    asker a;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    asker_ask(&a, &in, rig_host(cluster), "/a");
    mb_cluster_unref(cluster);
    int peer = rig_accept(&in);

    rig_expect_end(&in, peer, "\r\n\r\n");
    rig_answer(&in, peer, OK_RESPONSE);
    check_ok(&a);
    rig_expect_close(&in, peer);
    rig_fini(&in);
}

/* Plays the upstream as far as it gets: memory may fail on our side at any time. */
static void serve_what_comes(rig *in, int *peer, size_t *seen) {
    char bytes[256];
    ssize_t got;

    if (*peer < 0) {
        *peer = accept(in->listener, NULL, NULL);
        return;
    }
    got = recv(*peer, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0 && *seen == 0) {
        rig_answer(in, *peer, OK_RESPONSE);
        *seen = (size_t)got;
    }
}

/* Whatever allocation fails, the request ends, nothing leaks, and the cluster goes on. */
MB_TEST(every_failing_allocation_ends_the_request) {
    bool failed = true;
    size_t rounds = 0;

    for (size_t n = 1; failed; n++, rounds++) {
        rig in;
        if (!rig_init(&in, n)) {
            continue;
        }
        mb_cluster_settings settings = rig_settings(&in);
        mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
        int peer = -1;
        size_t seen = 0;
        if (cluster != NULL) {
            asker a;
            asker_ask(&a, &in, rig_host(cluster), "/a");
            for (int turns = 0; !a.failed && !a.ended; turns++) {
                MB_CHECK(turns < 1000);
                rig_turn(&in);
                serve_what_comes(&in, &peer, &seen);
            }
            MB_CHECK(a.failed || seen > 0);
            asker_fini(&a);
            mb_cluster_unref(cluster);
        }
        if (peer >= 0) {
            close(peer);
        }
        rig_turn(&in);
        failed = in.memory->requests >= n;
        rig_fini(&in);
    }
    MB_CHECK(rounds > 50); /* it did reach connection, codec and buffers */
}
