/* The keep-alive race: who is asked again, who is not, and that nothing is sent twice. */
#include "base/slice.h"
#include "support/upstream_scene.h"

#include <unistd.h>

#define OK_RESPONSE "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

static void begin(router_scene *self) {
    MB_CHECK(scene_init(self, 0));
    self->route.timeout_us = 0; /* requests without x-envoy-expected-rq-timeout-ms */
    scene_start(self);
}

/* Leaves one connection in the pool; returns the upstream's end of it. */
static int warm(router_scene *in) {
    exchange a;

    exchange_get(&a, in, "/warm");
    int peer = rig_accept(&in->in);

    rig_expect_end(&in->in, peer, "\r\n\r\n");
    rig_answer(&in->in, peer, OK_RESPONSE);
    exchange_wait(&a);
    MB_CHECK_EQ_INT(a.status, 200);
    return peer;
}

static void check_retried(router_scene *in, exchange *a, const char *request) {
    int peer = rig_accept(&in->in);

    rig_expect(&in->in, peer, request);
    rig_answer(&in->in, peer, OK_RESPONSE);
    exchange_wait(a);
    CHECK_EXCHANGE(a, 200, 0, "via_upstream", "ok");
    MB_CHECK_EQ_INT(a->attempts, 2);
    CHECK_STAT(&in->in, "cluster.up.upstream_rq_retry", 1);
    CHECK_STAT(&in->in, "cluster.up.upstream_rq_retry_race", 1);
    CHECK_STAT(&in->in, "cluster.up.upstream_rq_retry_success", 1);
    close(peer);
}

static void check_not_retried(router_scene *in, exchange *a) {
    exchange_wait(a);
    MB_CHECK_EQ_INT(a->status, 503);
    MB_CHECK_EQ_INT(a->flags, MB_FLAG_UPSTREAM_TERMINATION);
    MB_CHECK_EQ_INT(a->attempts, 1);
    MB_CHECK(rig_nobody_connects(&in->in));
    CHECK_STAT(&in->in, "cluster.up.upstream_rq_retry", 0);
}

/* The upstream reads the request and closes: what may be repeated is. */
static void race_after_sending(const char *method, const char *body, bool retried) {
    router_scene in;
    exchange a;

    begin(&in);
    int peer = warm(&in);

    exchange_begin(&a, &in, method, "/x");
    if (body == NULL) {
        exchange_send_headers(&a, true);
    } else {
        exchange_header(&a, "content-length", "3");
        exchange_send_headers(&a, false);
        exchange_send_body(&a, body, true);
    }
    rig_expect_end(&in.in, peer, body == NULL ? "\r\n\r\n" : body);
    close(peer);
    if (retried) {
        int second = rig_accept(&in.in);

        rig_expect_end(&in.in, second, "\r\n\r\n");
        rig_answer(&in.in, second, "HTTP/1.1 204 No Content\r\n\r\n");
        exchange_wait(&a);
        MB_CHECK_EQ_INT(a.status, 204);
        MB_CHECK_EQ_INT(a.attempts, 2);
        CHECK_STAT(&in.in, "cluster.up.upstream_rq_retry_race", 1);
        close(second);
    } else {
        check_not_retried(&in, &a);
    }
    scene_fini(&in);
}

MB_TEST(get_that_met_a_closing_connection_is_sent_again) {
    race_after_sending("GET", NULL, true);
}

MB_TEST(every_idempotent_method_without_body_is_sent_again) {
    race_after_sending("HEAD", NULL, true);
    race_after_sending("DELETE", NULL, true);
    race_after_sending("PUT", NULL, true);
    race_after_sending("OPTIONS", NULL, true);
}

MB_TEST(post_that_left_is_never_sent_again) {
    race_after_sending("POST", NULL, false);
    race_after_sending("POST", "abc", false);
    race_after_sending("PATCH", NULL, false);
}

MB_TEST(request_with_body_that_left_is_never_sent_again) {
    race_after_sending("PUT", "abc", false);
    race_after_sending("GET", "abc", false);
}

/* What the sockets say is heard before anything is written, as when the end of a connection and
 * the next client's request come in one turn of the loop. */
static void hear_before_writing(router_scene *in) {
    mb_poller *poller = mb_loop_poller(in->in.worker.loop);

    MB_CHECK(poller->vtable->wait(poller, 1000000) > 0);
}

MB_TEST(post_that_did_not_leave_is_sent_with_its_body) {
    router_scene in;
    exchange a;

    begin(&in);
    int peer = warm(&in);

    exchange_begin(&a, &in, "POST", "/x");
    exchange_header(&a, "content-length", "9");
    close(peer);
    exchange_send_headers(&a, false);
    exchange_send_body(&a, "abc", false);
    exchange_send_body(&a, "def", false);
    hear_before_writing(&in);
    exchange_send_body(&a, "ghi", true); /* comes while the second connection is made */
    check_retried(&in, &a, "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabcdefghi");
    scene_fini(&in);
}

MB_TEST(chunked_post_that_did_not_leave_is_framed_anew) {
    router_scene in;
    exchange a;

    begin(&in);
    int peer = warm(&in);

    exchange_begin(&a, &in, "POST", "/x");
    close(peer);
    exchange_send_headers(&a, false);
    exchange_send_body(&a, "abc", true);
    hear_before_writing(&in);
    check_retried(&in, &a,
                  "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
                  "0\r\n\r\n");
    scene_fini(&in);
}

MB_TEST(post_with_more_body_than_is_kept_is_not_sent_again) {
    static char piece[48 * 1024];
    router_scene in;
    exchange a;

    begin(&in);
    int peer = warm(&in);

    memset(piece, 'x', sizeof piece - 1);
    exchange_begin(&a, &in, "POST", "/x");
    close(peer);
    exchange_send_headers(&a, false);
    exchange_send_body(&a, piece, false);
    exchange_send_body(&a, piece, true);
    hear_before_writing(&in);
    check_not_retried(&in, &a);
    scene_fini(&in);
}

MB_TEST(second_attempt_that_fails_too_is_the_last) {
    router_scene in;
    exchange a;

    begin(&in);
    int peer = warm(&in);

    exchange_get(&a, &in, "/x");
    close(peer);
    peer = rig_accept(&in.in);
    rig_expect_end(&in.in, peer, "\r\n\r\n");
    close(peer);
    exchange_wait(&a);
    MB_CHECK_EQ_INT(a.status, 503);
    MB_CHECK_EQ_INT(a.flags, MB_FLAG_UPSTREAM_TERMINATION);
    MB_CHECK_EQ_INT(a.attempts, 2);
    MB_CHECK(rig_nobody_connects(&in.in));
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_retry_success", 0);
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_503", 1);
    scene_fini(&in);
}

MB_TEST(request_on_a_new_connection_is_not_sent_again) {
    router_scene in;
    exchange a;

    begin(&in);
    exchange_get(&a, &in, "/x");
    int peer = rig_accept(&in.in);

    rig_expect_end(&in.in, peer, "\r\n\r\n");
    close(peer);
    check_not_retried(&in, &a);
    scene_fini(&in);
}

MB_TEST(request_with_a_begun_response_is_not_sent_again) {
    router_scene in;
    exchange a;

    begin(&in);
    int peer = warm(&in);

    exchange_get(&a, &in, "/x");
    rig_expect_end(&in.in, peer, "\r\n\r\n");
    rig_answer(&in.in, peer, "HTTP/1.1 2");
    rig_turn(&in.in);
    close(peer);
    exchange_wait(&a);
    MB_CHECK_EQ_INT(a.status, 502);
    MB_CHECK_EQ_INT(a.attempts, 1);
    MB_CHECK(rig_nobody_connects(&in.in));
    scene_fini(&in);
}

MB_TEST(retries_are_bounded_by_their_circuit_breaker) {
    router_scene in;
    exchange a;

    MB_CHECK(scene_init(&in, 0));
    in.settings.limits.max_retries = 0;
    scene_start(&in);
    int peer = warm(&in);

    exchange_get(&a, &in, "/x");
    close(peer);
    check_not_retried(&in, &a);
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_retry_overflow", 1);
    scene_fini(&in);
}

MB_TEST(second_attempt_makes_room_at_max_connections) {
    router_scene in;
    exchange a;

    MB_CHECK(scene_init(&in, 0));
    in.route.timeout_us = 0;
    in.settings.limits.max_connections = 1;
    scene_start(&in);
    int peer = warm(&in);

    exchange_get(&a, &in, "/x");
    close(peer);
    check_retried(&in, &a, "GET /x HTTP/1.1\r\nhost: a\r\n\r\n");
    scene_fini(&in);
}

MB_TEST(client_that_goes_away_during_the_second_attempt_ends_it) {
    router_scene in;
    exchange a;

    begin(&in);
    int peer = warm(&in);

    exchange_get(&a, &in, "/x");
    close(peer);
    peer = rig_accept(&in.in);
    rig_expect_end(&in.in, peer, "\r\n\r\n");
    mb_stream_client_gone(a.stream, MB_FLAG_DOWNSTREAM_TERMINATION, MB_SLICE_LIT("gone"));
    rig_expect_close(&in.in, peer);
    scene_fini(&in);
}

/* Every request gets its own answer although the upstream closes after each second one. */
MB_TEST(many_requests_over_a_closing_upstream_all_succeed) {
    router_scene in;
    int peer = -1;

    begin(&in);
    for (int i = 0; i < 2000; i++) {
        exchange a;
        exchange_get(&a, &in, "/x");
        if (i % 2 == 0) {
            peer = rig_accept(&in.in);
        }
        rig_expect_end(&in.in, peer, "\r\n\r\n");
        rig_answer(&in.in, peer, OK_RESPONSE);
        if (i % 2 == 1) {
            close(peer);
        }
        exchange_wait(&a);
        CHECK_EXCHANGE(&a, 200, 0, "via_upstream", "ok");
    }
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_200", 2000);
    scene_fini(&in);
}
