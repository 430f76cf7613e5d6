/*
 * How long a stream may live: the connection manager's max_stream_duration, the route's, or what a
 * gRPC client asks for within the route's bounds. Called when the route of a stream is decided, as
 * often as that is; the time counts from the stream's beginning.
 *
 * Source: Envoy, RouteAction.MaxStreamDuration.
 */
#include "server/http_conn.h"

#include "http/grpc.h"
#include "server/server_internal.h"

/* 0: no limit. */
static uint64_t configured_us(const mb_stream *stream, const mb_route *route) {
    return route->max_stream_duration_us != UINT64_MAX
               ? route->max_stream_duration_us
               : mb__http_config(stream)->timeouts.max_stream_duration_us;
}

/* What is left of a client's deadline; as with Envoy, an offset that takes all of it ends the
 * stream at once, it does not lift the limit. */
static uint64_t within_bounds_us(const mb_route *route, uint64_t asked_us) {
    uint64_t max_us = route->grpc_max_us, offset_us = route->grpc_offset_us;

    if (max_us != 0 && asked_us > max_us) {
        asked_us = max_us;
    }
    return offset_us < asked_us ? asked_us - offset_us : 0;
}

static void arm_from_start(mb_stream *stream, uint64_t limit_us) {
    mb_loop *loop = stream->worker->loop;
    uint64_t used_us = mb_loop_now_us(loop) - stream->info.start_us;

    mb_loop_arm(loop, &stream->duration_timer, limit_us > used_us ? limit_us - used_us : 0);
}

void mb__http_stream_limit_duration(mb_stream *stream, const mb_route *route) {
    mb_headers *request = &stream->headers[MB_REQUEST];
    uint64_t asked_us, limit_us = configured_us(stream, route);
    bool asked =
        route->grpc_scope == MB_GRPC_SCOPE_STREAM && mb_grpc_timeout(request, &asked_us) == MB_OK;

    if (asked) {
        limit_us = within_bounds_us(route, asked_us);
    } else if (limit_us == 0) {
        mb_loop_rest(&stream->duration_timer);
        return;
    }
    if (route->new_timeouts && mb_grpc_is_request(request)) {
        (void)mb_grpc_set_timeout(request, limit_us); /* else the upstream sees the client's own */
    }
    arm_from_start(stream, limit_us);
}
