/* The router: what it sends, what it answers itself, and how an exchange ends. */
#include "base/slice.h"
#include "support/upstream_scene.h"

#include <stdio.h>
#include <unistd.h>

#define OK_RESPONSE "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
#define CONNECT_ERROR "upstream connect error or disconnect/reset before headers. reset reason: "

static void begin(router_scene *self) {
    MB_CHECK(scene_init(self, 0));
    scene_start(self);
}

/* The upstream's connection, with the request's head read. */
static int accept_request(router_scene *in) {
    int peer = rig_accept(&in->in);

    rig_expect_end(&in->in, peer, "\r\n\r\n");
    return peer;
}

/* -- passing through -------------------------------------------------------------------------- */

MB_TEST(request_and_response_pass_through) {
    router_scene in;
    exchange a;

    begin(&in);
    exchange_get(&a, &in, "/x?y=1");
    int peer = rig_accept(&in.in);

    rig_expect(&in.in, peer,
               "GET /x?y=1 HTTP/1.1\r\nhost: a\r\nx-envoy-expected-rq-timeout-ms: 15000\r\n\r\n");
    rig_answer(&in.in, peer, "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 2\r\n\r\nok");
    exchange_wait(&a);
    CHECK_EXCHANGE(&a, 200, 0, "via_upstream", "ok");
    MB_CHECK(exchange_has_header(&a, "x-a: b"));
    MB_CHECK(exchange_has_header(&a, "x-envoy-upstream-service-time: 0"));
    MB_CHECK_EQ_LIT(mb_slice_from_c(a.cluster), "up");
    MB_CHECK_EQ_INT(a.attempts, 1);
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_200", 1);
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_2xx", 1);
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_completed", 1);
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_time", 1);
    close(peer);
    scene_fini(&in);
}

MB_TEST(envoy_headers_can_be_suppressed) {
    router_scene in;
    exchange a;

    begin(&in);
    in.config.suppress_envoy_headers = true;
    exchange_get(&a, &in, "/");
    int peer = rig_accept(&in.in);

    rig_expect(&in.in, peer, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_answer(&in.in, peer, OK_RESPONSE);
    exchange_wait(&a);
    MB_CHECK_EQ_LIT(mb_slice_from_c(a.headers), "content-length: 2\n");
    close(peer);
    scene_fini(&in);
}

MB_TEST(body_goes_up_with_and_without_a_length) {
    static const char *const heads[] = {
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\nx-envoy-expected-rq-timeout-ms: "
        "15000\r\n\r\nabcdef",
        "POST / HTTP/1.1\r\nhost: a\r\nx-envoy-expected-rq-timeout-ms: "
        "15000\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"};
    router_scene in;

    begin(&in);
    int peer = -1;
    for (int i = 0; i < 2; i++) {
        exchange a;
        exchange_begin(&a, &in, "POST", "/");
        if (i == 0) {
            exchange_header(&a, "content-length", "6");
        }
        exchange_send_headers(&a, false);
        if (i == 0) { /* waits for the connection with its first piece */
            exchange_send_body(&a, "abc", false);
            peer = rig_accept(&in.in);
            rig_turn(&in.in);
            exchange_send_body(&a, "def", true);
        } else {
            exchange_send_body(&a, "abc", false);
            exchange_send_body(&a, "def", true);
        }
        rig_expect(&in.in, peer, heads[i]);
        rig_answer(&in.in, peer, OK_RESPONSE);
        exchange_wait(&a);
        CHECK_EXCHANGE(&a, 200, 0, "via_upstream", "ok");
    }
    CHECK_STAT(&in.in, "cluster.up.upstream_cx_total", 1);
    close(peer);
    scene_fini(&in);
}

MB_TEST(request_trailers_go_up) {
    router_scene in;
    exchange a;

    MB_CHECK(scene_init(&in, 0));
    in.settings.codec.enable_trailers = true;
    scene_start(&in);
    exchange_begin(&a, &in, "POST", "/");
    exchange_send_headers(&a, false);
    exchange_send_body(&a, "abc", false);
    mb_headers_add(&a.stream->trailers[MB_REQUEST], MB_SLICE_LIT("x-t"), MB_SLICE_LIT("1"));
    mb_stream_request_trailers(a.stream);
    int peer = accept_request(&in);

    rig_expect(&in.in, peer, "3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n");
    rig_answer(&in.in, peer,
               "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-u: "
               "2\r\n\r\n");
    exchange_wait(&a);
    MB_CHECK(a.trailers_seen);
    CHECK_EXCHANGE(&a, 200, 0, "via_upstream", "ok");
    close(peer);
    scene_fini(&in);
}

MB_TEST(head_and_bodyless_responses_keep_the_connection) {
    static const struct {
        const char *method, *response;
        uint32_t status;
    } cases[] = {{"HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", 200},
                 {"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204},
                 {"GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304},
                 {"GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200}};
    router_scene in;
    int peer = -1;

    begin(&in);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        exchange a;
        exchange_begin(&a, &in, cases[i].method, "/");
        exchange_send_headers(&a, true);
        peer = peer < 0 ? rig_accept(&in.in) : peer;
        rig_expect_end(&in.in, peer, "\r\n\r\n");
        rig_answer(&in.in, peer, cases[i].response);
        exchange_wait(&a);
        CHECK_EXCHANGE(&a, cases[i].status, 0, "via_upstream", "");
    }
    CHECK_STAT(&in.in, "cluster.up.upstream_cx_total", 1);
    close(peer);
    scene_fini(&in);
}

MB_TEST(informational_responses_are_passed_on) {
    router_scene in;
    exchange a;

    begin(&in);
    exchange_get(&a, &in, "/");
    int peer = accept_request(&in);

    rig_answer(
        &in.in, peer,
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" OK_RESPONSE);
    exchange_wait(&a);
    MB_CHECK_EQ_INT(a.informational, 2);
    MB_CHECK(!exchange_has_header(&a, "link: x"));
    CHECK_EXCHANGE(&a, 200, 0, "via_upstream", "ok");
    close(peer);
    scene_fini(&in);
}

MB_TEST(early_response_ends_the_exchange_and_the_connection) {
    router_scene in;
    exchange a;

    begin(&in);
    exchange_begin(&a, &in, "POST", "/");
    exchange_header(&a, "content-length", "10");
    exchange_send_headers(&a, false);
    exchange_send_body(&a, "abc", false);
    int peer = accept_request(&in);

    rig_answer(&in.in, peer, "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 2\r\n\r\nno");
    exchange_wait(&a);
    CHECK_EXCHANGE(&a, 413, 0, "via_upstream", "no");
    MB_CHECK(!exchange_has_header(&a, "x-envoy-upstream-service-time: 0"));
    MB_CHECK_EQ_INT(rig_expect_close(&in.in, peer), 3);
    scene_fini(&in);
}

/* -- answers without an upstream -------------------------------------------------------------- */

MB_TEST(no_route_is_404) {
    router_scene in;
    exchange a;

    begin(&in);
    in.no_route = true;
    exchange_get(&a, &in, "/");
    CHECK_EXCHANGE(&a, 404, MB_FLAG_NO_ROUTE, "route_not_found", "");
    MB_CHECK_EQ_INT(a.attempts, 0);
    scene_fini(&in);
}

MB_TEST(unknown_cluster_is_503_or_what_the_route_says) {
    router_scene in;
    exchange a;

    begin(&in);
    in.route.cluster = MB_SLICE_LIT("other");
    exchange_get(&a, &in, "/");
    CHECK_EXCHANGE(&a, 503, MB_FLAG_NO_CLUSTER, "cluster_not_found", "");
    in.route.cluster_not_found_code = 404;
    exchange_get(&a, &in, "/");
    CHECK_EXCHANGE(&a, 404, MB_FLAG_NO_CLUSTER, "cluster_not_found", "");
    scene_fini(&in);
}

MB_TEST(cluster_without_hosts_is_no_healthy_upstream) {
    router_scene in;
    exchange a;

    MB_CHECK(scene_init(&in, 0));
    in.settings.endpoint_count = 0;
    scene_start(&in);
    exchange_get(&a, &in, "/");
    CHECK_EXCHANGE(&a, 503, MB_FLAG_NO_HEALTHY_UPSTREAM, "no_healthy_upstream",
                   "no healthy upstream");
    MB_CHECK_EQ_INT(a.attempts, 1);
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_503", 1);
    scene_fini(&in);
}

MB_TEST(redirect_and_direct_response_need_no_upstream) {
    router_scene in;
    exchange a;

    begin(&in);
    in.route.action = MB_ACTION_REDIRECT;
    in.route.response_code = 301;
    in.route.host_redirect = MB_SLICE_LIT("x.y");
    exchange_get(&a, &in, "/p?q=1");
    CHECK_EXCHANGE(&a, 301, 0, "direct_response", "");
    MB_CHECK(exchange_has_header(&a, "location: http://x.y/p?q=1"));
    in.route.action = MB_ACTION_DIRECT;
    in.route.response_code = 202;
    in.route.body = MB_SLICE_LIT("hi");
    exchange_get(&a, &in, "/");
    CHECK_EXCHANGE(&a, 202, 0, "direct_response", "hi");
    MB_CHECK(exchange_has_header(&a, "content-type: text/plain"));
    scene_fini(&in);
}

/* -- upstream failures ------------------------------------------------------------------------ */

MB_TEST(refused_connection_is_uf) {
    router_scene in;
    exchange a;

    begin(&in);
    close(in.in.listener);
    in.in.listener = -1;
    exchange_get(&a, &in, "/");
    exchange_wait(&a);
    CHECK_EXCHANGE(&a, 503, MB_FLAG_UPSTREAM_CONNECT_FAILURE,
                   "upstream_reset_before_response_started{remote_connection_failure|delayed_"
                   "connect_error:_Connection_refused}",
                   CONNECT_ERROR "remote connection failure");
    MB_CHECK_EQ_LIT(mb_slice_from_c(a.failure), "delayed_connect_error:_Connection_refused");
    MB_CHECK(a.upstream[0] != '\0');
    scene_fini(&in);
}

MB_TEST(open_circuit_breaker_is_uo) {
    router_scene in;
    exchange a;

    MB_CHECK(scene_init(&in, 0));
    in.settings.limits.max_pending_requests = 0;
    scene_start(&in);
    exchange_get(&a, &in, "/");
    CHECK_EXCHANGE(&a, 503, MB_FLAG_UPSTREAM_OVERFLOW,
                   "upstream_reset_before_response_started{overflow}", CONNECT_ERROR "overflow");
    MB_CHECK(exchange_has_header(&a, "x-envoy-overloaded: true"));
    scene_fini(&in);
}

MB_TEST(upstream_that_closes_is_uc_and_one_that_talks_nonsense_upe) {
    static const struct {
        const char *answer;
        uint32_t status, flag;
        const char *details;
    } cases[] = {{"", 503, MB_FLAG_UPSTREAM_TERMINATION,
                  "upstream_reset_before_response_started{connection_termination}"},
                 {"nonsense\r\n\r\n", 502, MB_FLAG_UPSTREAM_PROTOCOL,
                  "upstream_reset_before_response_started{protocol_error}"}};
    router_scene in;

    begin(&in);
    for (size_t i = 0; i < 2; i++) {
        exchange a;
        exchange_get(&a, &in, "/");
        int peer = accept_request(&in);
        rig_answer(&in.in, peer, cases[i].answer);
        close(peer);
        exchange_wait(&a);
        MB_CHECK_EQ_INT(a.status, cases[i].status);
        MB_CHECK_EQ_INT(a.flags, cases[i].flag);
        MB_CHECK_EQ_SLICE(mb_slice_from_c(a.details), mb_slice_from_c(cases[i].details));
        MB_CHECK_EQ_INT(a.attempts, 1);
    }
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_5xx", 2);
    scene_fini(&in);
}

MB_TEST(cut_within_a_response_is_seen_by_the_client) {
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"};
    router_scene in;

    begin(&in);
    for (int i = 0; i < 4; i++) {
        exchange a;
        exchange_get(&a, &in, "/");
        int peer = accept_request(&in);
        rig_answer(&in.in, peer, answers[i / 2]);
        exchange_wait_headers(&a);
        if (i % 2 == 0) {
            close(peer);
        } else {
            rig_reset(peer);
        }
        exchange_wait(&a);
        MB_CHECK(a.reset && !a.ended);
        CHECK_EXCHANGE(&a, 200, MB_FLAG_UPSTREAM_PROTOCOL,
                       "upstream_reset_after_response_started{protocol_error}", "half");
    }
    scene_fini(&in);
}

/* -- time ------------------------------------------------------------------------------------- */

MB_TEST(route_timeout_is_504_and_counts_from_the_end_of_the_request) {
    router_scene in;
    exchange a;

    begin(&in);
    in.route.timeout_us = 300000;
    exchange_begin(&a, &in, "POST", "/");
    exchange_send_headers(&a, false);
    int peer = accept_request(&in);

    rig_advance_us(&in.in, 1000000);
    MB_CHECK(!a.completed);
    exchange_send_body(&a, "x", true);
    rig_advance_us(&in.in, 290000);
    MB_CHECK(!a.completed);
    rig_advance_us(&in.in, 20000);
    CHECK_EXCHANGE(&a, 504, MB_FLAG_UPSTREAM_TIMEOUT, "response_timeout",
                   "upstream request timeout");
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_timeout", 1);
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_504", 1);
    rig_expect_close(&in.in, peer);
    scene_fini(&in);
}

MB_TEST(timeout_within_a_response_breaks_it) {
    router_scene in;
    exchange a;

    begin(&in);
    in.route.timeout_us = 300000;
    exchange_get(&a, &in, "/");
    int peer = accept_request(&in);

    rig_answer(&in.in, peer, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
    exchange_wait_headers(&a);
    rig_turn(&in.in);
    rig_advance_us(&in.in, 310000);
    MB_CHECK(a.reset && !a.ended);
    CHECK_EXCHANGE(&a, 200, MB_FLAG_UPSTREAM_TIMEOUT, "response_timeout", "half");
    rig_expect_close(&in.in, peer);
    scene_fini(&in);
}

MB_TEST(caller_may_set_the_timeout) {
    router_scene in;
    exchange a;

    begin(&in);
    exchange_begin(&a, &in, "GET", "/");
    exchange_header(&a, "x-envoy-upstream-rq-timeout-ms", "100");
    exchange_header(&a, "x-envoy-retry-on", "5xx");
    exchange_send_headers(&a, true);
    int peer = rig_accept(&in.in);

    rig_expect(&in.in, peer,
               "GET / HTTP/1.1\r\nhost: a\r\nx-envoy-expected-rq-timeout-ms: 100\r\n\r\n");
    rig_advance_us(&in.in, 110000);
    MB_CHECK_EQ_INT(a.status, 504);
    rig_expect_close(&in.in, peer);
    scene_fini(&in);
}

MB_TEST(timeout_zero_is_none) {
    router_scene in;
    exchange a;

    begin(&in);
    in.route.timeout_us = 0;
    exchange_get(&a, &in, "/");
    int peer = rig_accept(&in.in);

    rig_expect(&in.in, peer, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_advance_us(&in.in, 100000000000u);
    MB_CHECK(!a.completed);
    rig_answer(&in.in, peer, OK_RESPONSE);
    exchange_wait(&a);
    MB_CHECK(exchange_has_header(&a, "x-envoy-upstream-service-time: 100000000"));
    close(peer);
    scene_fini(&in);
}

/* -- flow and ends ---------------------------------------------------------------------------- */

MB_TEST(body_that_waits_for_a_connection_is_bounded) {
    router_scene in;
    exchange a;
    char piece[1025];

    MB_CHECK(scene_init(&in, 0));
    in.settings.endpoints[0].host = MB_SLICE_LIT("127.0.0.1");
    scene_start(&in);
    memset(piece, 'x', sizeof piece - 1);
    piece[sizeof piece - 1] = '\0';
    exchange_begin(&a, &in, "POST", "/");
    exchange_send_headers(&a, false);
    exchange_send_body(&a, piece, false);
    MB_CHECK(!a.paused);
    exchange_send_body(&a, "y", false);
    MB_CHECK(a.paused); /* over the stream's limit of 1024 */
    int peer = accept_request(&in);

    rig_expect_end(&in.in, peer, "y\r\n");
    MB_CHECK(!a.paused);
    exchange_send_body(&a, "", true);
    rig_answer(&in.in, peer, OK_RESPONSE);
    exchange_wait(&a);
    CHECK_EXCHANGE(&a, 200, 0, "via_upstream", "ok");
    close(peer);
    scene_fini(&in);
}

MB_TEST(upstream_that_does_not_read_pauses_the_request) {
    static char piece[32 * 1024];
    router_scene in;
    exchange a;
    size_t sent = 0;

    MB_CHECK(scene_init(&in, 0));
    in.settings.buffer_limit_bytes = 64 * 1024;
    scene_start(&in);
    memset(piece, 'x', sizeof piece - 1);
    exchange_begin(&a, &in, "POST", "/");
    exchange_send_headers(&a, false);
    int peer = accept_request(&in);

    while (!a.paused) {
        MB_CHECK(sent < 1u << 30);
        exchange_send_body(&a, piece, false);
        sent += sizeof piece - 1;
        rig_turn(&in.in);
    }
    for (size_t got = 0; a.paused;) {
        char bytes[65536];
        ssize_t length = recv(peer, bytes, sizeof bytes, 0);

        got += length > 0 ? (size_t)length : 0;
        MB_CHECK(got < sent + 65536);
        rig_turn(&in.in);
    }
    mb_stream_client_gone(a.stream, MB_FLAG_DOWNSTREAM_TERMINATION, MB_SLICE_LIT("gone"));
    rig_expect_close(&in.in, peer);
    CHECK_STAT(&in.in, "cluster.up.upstream_flow_control_backed_up_total", 1);
    CHECK_STAT(&in.in, "cluster.up.upstream_flow_control_drained_total", 1);
    scene_fini(&in);
}

MB_TEST(client_that_does_not_read_pauses_the_upstream) {
    router_scene in;
    exchange a;

    begin(&in);
    exchange_get(&a, &in, "/");
    int peer = accept_request(&in);

    rig_answer(&in.in, peer, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab");
    exchange_wait_headers(&a);
    rig_turn(&in.in);
    mb_stream_pause_response(a.stream, true);
    rig_answer(&in.in, peer, "cd");
    rig_turn(&in.in);
    rig_turn(&in.in);
    MB_CHECK_EQ_INT(a.body_length, 2);
    mb_stream_pause_response(a.stream, false);
    exchange_wait(&a);
    CHECK_EXCHANGE(&a, 200, 0, "via_upstream", "abcd");
    exchange_get(&a, &in, "/again"); /* the connection reads again */
    rig_expect_end(&in.in, peer, "\r\n\r\n");
    rig_answer(&in.in, peer, OK_RESPONSE);
    exchange_wait(&a);
    close(peer);
    scene_fini(&in);
}

MB_TEST(client_that_goes_away_ends_the_upstream_request) {
    router_scene in;
    exchange a;

    begin(&in);
    exchange_get(&a, &in, "/waits");
    mb_stream_client_gone(a.stream, MB_FLAG_DOWNSTREAM_TERMINATION, MB_SLICE_LIT("gone"));
    MB_CHECK(a.completed);
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_cancelled", 1);
    exchange_get(&a, &in, "/runs");
    int peer = accept_request(&in);

    mb_stream_client_gone(a.stream, MB_FLAG_DOWNSTREAM_TERMINATION, MB_SLICE_LIT("gone"));
    rig_expect_close(&in.in, peer);
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_tx_reset", 1);
    exchange_get(&a, &in, "/answers");
    peer = accept_request(&in);
    rig_answer(&in.in, peer, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
    exchange_wait_headers(&a);
    mb_stream_client_gone(a.stream, MB_FLAG_DOWNSTREAM_TERMINATION, MB_SLICE_LIT("gone"));
    rig_expect_close(&in.in, peer);
    scene_fini(&in);
}

MB_TEST(body_of_another_length_than_declared_is_not_sent) {
    router_scene in;
    exchange a;

    begin(&in);
    exchange_begin(&a, &in, "POST", "/");
    exchange_header(&a, "content-length", "2");
    exchange_send_headers(&a, false);
    exchange_send_body(&a, "abc", true);
    exchange_wait(&a);
    CHECK_EXCHANGE(&a, 500, MB_FLAG_LOCAL_RESET, "request_content_length_mismatch",
                   "Internal Server Error");
    int peer = rig_accept(&in.in);

    MB_CHECK_EQ_INT(rig_expect_close(&in.in, peer), 0);
    scene_fini(&in);
}

MB_TEST(request_in_steady_state_allocates_nothing) {
    router_scene in;
    size_t before = 0;
    int peer = -1;

    begin(&in);
    for (int i = 0; i < 20; i++) {
        exchange a;
        if (i == 10) {
            before = in.in.memory->requests;
        }
        exchange_begin(&a, &in, "POST", "/x");
        exchange_header(&a, "content-length", "3");
        exchange_send_headers(&a, false);
        exchange_send_body(&a, "abc", true);
        peer = peer < 0 ? rig_accept(&in.in) : peer;
        rig_expect_end(&in.in, peer, "abc");
        rig_answer(&in.in, peer, OK_RESPONSE);
        exchange_wait(&a);
        CHECK_EXCHANGE(&a, 200, 0, "via_upstream", "ok");
    }
    MB_CHECK_EQ_INT(in.in.memory->requests, before);
    close(peer);
    scene_fini(&in);
}

/* Whatever allocation fails, the stream completes and nothing leaks. */
MB_TEST(every_failing_allocation_completes_the_stream) {
    bool failed = true;

    for (size_t n = 1; failed; n++) {
        router_scene in;
        exchange a = {0};
        int peer = -1;

        if (!scene_init(&in, n)) {
            continue;
        }
        scene_start(&in);
        exchange_begin(&a, &in, "POST", "/");
        if (a.stream != NULL) {
            exchange_send_headers(&a, false);
        }
        for (int turns = 0; a.stream != NULL && in.cluster != NULL; turns++) {
            MB_CHECK(turns < 1000);
            rig_turn(&in.in);
            if (turns == 1 && a.stream != NULL) {
                mb_stream_request_body(a.stream, &(mb_buffer){.length = 0}, true);
            }
            peer = peer < 0 ? accept(in.in.listener, NULL, NULL) : peer;
            if (turns == 4 && peer >= 0) {
                rig_answer(&in.in, peer, OK_RESPONSE);
            }
        }
        if (a.stream != NULL) {
            mb_stream_client_gone(a.stream, 0, MB_SLICE_LIT("gone"));
        }
        if (peer >= 0) {
            close(peer);
        }
        failed = in.in.memory->requests >= n;
        scene_fini(&in);
    }
}
