/* Requests that an HTTP/2 upstream has not processed: they are made again, whatever they are. */
#include "base/slice.h"
#include "support/h2_peer.h"
#include "support/upstream_scene.h"
#include "upstream/router_state.h"

#include <unistd.h>

static void begin(router_scene *self) {
    MB_CHECK(scene_init(self, 0));
    self->settings.protocol = MB_UPSTREAM_HTTP2;
    scene_start(self);
}

static void answer_last(router_scene *in, int peer, exchange *a) {
    uint32_t stream = h2_expect_request(&in->in, peer);

    h2_respond(&in->in, peer, stream, true);
    exchange_wait(a);
    MB_CHECK_EQ_INT(a->status, 200);
}

MB_TEST(post_refused_by_goaway_is_sent_elsewhere_with_its_body) {
    router_scene in;
    exchange a;
    h2_frame frame;

    begin(&in);
    exchange_begin(&a, &in, "POST", "/x");
    exchange_send_headers(&a, false);
    exchange_send_body(&a, "first ", false);
    int peer = h2_accept(&in.in, -1);
    h2_expect_request(&in.in, peer);
    exchange_send_body(&a, "second", true);
    h2_expect(&in.in, peer, H2_DATA, &frame);
    h2_goaway(&in.in, peer, 0, H2_NO_ERROR);
    int other = h2_accept(&in.in, -1);
    uint32_t stream = h2_expect_request(&in.in, other);
    char body[16];
    size_t length = 0;
    do {
        h2_expect(&in.in, other, H2_DATA, &frame);
        MB_CHECK(length + frame.length <= sizeof body);
        memcpy(body + length, frame.payload, frame.length);
        length += frame.length;
    } while ((frame.flags & H2_END_STREAM) == 0);
    MB_CHECK_EQ_LIT(((mb_slice){body, length}), "first second");
    h2_respond(&in.in, other, stream, true);
    exchange_wait(&a);
    CHECK_EXCHANGE(&a, 200, 0, "via_upstream", "");
    MB_CHECK_EQ_INT(a.attempts, 2);
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_retry_refused", 1);
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_retry_success", 1);
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_retry_race", 0);
    scene_fini(&in);
    close(peer);
    close(other);
}

MB_TEST(refusals_are_not_bounded_by_the_circuit_breaker_of_retries) {
    router_scene in;
    exchange all[8];

    begin(&in);
    for (int i = 0; i < 8; i++) {
        exchange_get(&all[i], &in, "/x");
    }
    int peer = h2_accept(&in.in, -1);
    for (int i = 0; i < 8; i++) {
        h2_expect_request(&in.in, peer);
    }
    h2_goaway(&in.in, peer, 0, H2_NO_ERROR);
    int other = h2_accept(&in.in, -1);
    for (int i = 0; i < 8; i++) {
        h2_respond(&in.in, other, h2_expect_request(&in.in, other), true);
    }
    for (int i = 0; i < 8; i++) {
        exchange_wait(&all[i]);
        MB_CHECK_EQ_INT(all[i].status, 200);
    }
    CHECK_STAT(&in.in, "cluster.up.upstream_rq_retry_overflow", 0);
    scene_fini(&in);
    close(peer);
    close(other);
}

MB_TEST(upstream_that_always_refuses_gets_it_a_few_times) {
    router_scene in;
    exchange a;

    begin(&in);
    exchange_get(&a, &in, "/x");
    int peer = h2_accept(&in.in, -1);
    for (int i = 0; i < 1 + MB_ROUTER_REFUSALS_MAX; i++) {
        h2_reset(&in.in, peer, h2_expect_request(&in.in, peer), H2_REFUSED_STREAM);
    }
    exchange_wait(&a);
    MB_CHECK(a.status == 503 && a.flags == MB_FLAG_UPSTREAM_REMOTE_RESET);
    MB_CHECK_EQ_LIT(mb_slice_from_c(a.details),
                    "upstream_reset_before_response_started{remote_refused_stream_reset}");
    scene_fini(&in);
    close(peer);
}

MB_TEST(body_beyond_what_is_kept_is_not_sent_again) {
    router_scene in;
    exchange a;
    static char piece[8192];
    h2_frame frame;

    begin(&in);
    memset(piece, 'x', sizeof piece - 1);
    exchange_begin(&a, &in, "POST", "/x");
    exchange_send_headers(&a, false);
    int peer = h2_accept(&in.in, -1);
    uint32_t stream = h2_expect_request(&in.in, peer);
    for (size_t sent = 0; sent <= MB_ROUTER_REPLAY_BYTES_MAX; sent += sizeof piece - 1) {
        exchange_send_body(&a, piece, false);
    }
    h2_expect(&in.in, peer, H2_DATA, &frame);
    h2_reset(&in.in, peer, stream, H2_REFUSED_STREAM);
    exchange_wait(&a);
    MB_CHECK_EQ_INT(a.status, 503);
    MB_CHECK_EQ_INT(a.attempts, 1);
    scene_fini(&in);
    close(peer);
}

MB_TEST(reset_that_is_no_refusal_is_not_made_again) {
    router_scene in;
    exchange a, b;

    begin(&in);
    exchange_get(&a, &in, "/x");
    int peer = h2_accept(&in.in, -1);
    h2_reset(&in.in, peer, h2_expect_request(&in.in, peer), H2_INTERNAL_ERROR);
    exchange_wait(&a);
    MB_CHECK(a.status == 503 && a.flags == MB_FLAG_UPSTREAM_REMOTE_RESET);
    MB_CHECK_EQ_LIT(mb_slice_from_c(a.details),
                    "upstream_reset_before_response_started{remote_reset}");
    exchange_get(&b, &in, "/y");
    answer_last(&in, peer, &b);
    scene_fini(&in);
    close(peer);
}
