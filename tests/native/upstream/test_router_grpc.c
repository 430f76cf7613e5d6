/* gRPC: the client's timeout, where the older fields of a route bound it. Source: Envoy, "gRPC". */
#include "base/slice.h"
#include "support/upstream_scene.h"

#include <stdio.h>
#include <unistd.h>

static void grpc_begin(exchange *self, router_scene *in, const char *timeout) {
    exchange_begin(self, in, "POST", "/svc/Call");
    self->stream->grpc_request = true;
    exchange_header(self, "content-type", "application/grpc");
    exchange_header(self, "te", "trailers");
    if (timeout != NULL) {
        exchange_header(self, "grpc-timeout", timeout);
    }
}

/* The timeout that the upstream sees, and when the exchange ends. */
static void bounded(uint64_t max_us, uint64_t offset_us, const char *asked, const char *seen,
                    uint64_t ends_us) {
    router_scene in;
    exchange a;
    char line[64];

    MB_CHECK(scene_init(&in, 0));
    in.route.grpc_scope = MB_GRPC_SCOPE_EXCHANGE;
    in.route.grpc_max_us = max_us;
    in.route.grpc_offset_us = offset_us;
    in.config.suppress_envoy_headers = true;
    scene_start(&in);
    grpc_begin(&a, &in, asked);
    exchange_send_headers(&a, true);
    int peer = rig_accept(&in.in);
    if (seen != NULL) {
        snprintf(line, sizeof line, "grpc-timeout: %s\r\n", seen);
        rig_expect_end(&in.in, peer, line);
    }
    rig_expect_end(&in.in, peer, "\r\n\r\n");
    if (ends_us == 0) {
        rig_advance_us(&in.in, 3600000000u);
        MB_CHECK(!a.completed);
        mb_stream_client_gone(a.stream, 0, MB_SLICE_LIT(""));
    } else {
        rig_advance_us(&in.in, ends_us - 2000);
        MB_CHECK(!a.completed);
        rig_advance_us(&in.in, 4000);
        MB_CHECK(a.completed && a.status == 200);
        MB_CHECK(exchange_has_header(&a, "grpc-status: 14"));
        MB_CHECK(exchange_has_header(&a, "grpc-message: upstream request timeout"));
        MB_CHECK_EQ_INT(a.flags, MB_FLAG_UPSTREAM_TIMEOUT);
    }
    scene_fini(&in);
    close(peer);
}

MB_TEST(timeout_of_the_client_is_the_exchanges_within_the_routes_bounds) {
    bounded(0, 0, "2S", "2000m", 2000000);
    bounded(1000000, 0, "2S", "1000m", 1000000);
    bounded(1000000, 0, NULL, "1000m", 1000000);
    bounded(0, 0, NULL, NULL, 0);
    bounded(0, 500000, "2S", "1500m", 1500000);
    bounded(0, 3000000, "2S", "2000m", 2000000); /* an offset that leaves nothing is not applied */
}
