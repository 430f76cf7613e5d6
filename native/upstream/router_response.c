/*
 * The upstream's answer, on its way into the chain.
 *
 * The last event of a response ends the router's part before the chain hears of it, since the
 * stream may be gone when the chain returns. A response that ends before its request makes the
 * rest of the request superfluous: the pool closes that connection. Only a tunnel goes on in the
 * other direction: its request is over when that has ended.
 */
#include "upstream/router_state.h"

#include "base/prefetch.h"

#include "base/slice.h"
#include "http/message.h"

static void finish(mb_router_state *state) {
    if (state->request.state != MB_REQUEST_OVER) {
        return; /* a tunnel: the other direction goes on, mb__router_send_body ends it */
    }
    if (state->complete_us > 0) {
        mb_metric_record(state->cluster->stats.upstream_rq_time,
                         mb_loop_now_us(state->stream->worker->loop) - state->complete_us);
    }
    mb__router_complete(state);
}

/* x-envoy-upstream-service-time and what the route adds. MB_OK, MB_ENOMEM. */
static int decorate(mb_router_state *state) {
    mb_stream *stream = state->stream;

    if (state->complete_us > 0 && !state->config->suppress_envoy_headers) {
        uint64_t took_us = stream->info.upstream_headers_us - state->complete_us;
        int rc = mb_http_set_number(&stream->headers[MB_RESPONSE],
                                    MB_TOKEN_X_ENVOY_UPSTREAM_SERVICE_TIME, took_us / 1000);

        if (rc < 0) {
            return rc;
        }
    }
    return mb_route_finalize_response(state->route, state->weighted, stream);
}

/* The upstream took up another protocol than it was asked for: RFC 9110 7.8. One that names none is
 * forgiven. */
static bool switches_wrongly(const mb_stream *stream) {
    const mb_headers *response = &stream->headers[MB_RESPONSE];
    mb_slice rest = mb_headers_value(&stream->headers[MB_REQUEST], MB_TOKEN_UPGRADE);
    mb_slice chosen = mb_headers_value(response, MB_TOKEN_UPGRADE), asked;

    if (chosen.len == 0 || mb_http_status(response) != 101) {
        return false;
    }
    while (mb_slice_next_element(&rest, &asked)) {
        if (mb_slice_equal_nocase(asked, chosen)) {
            return false;
        }
    }
    return true;
}

static void on_headers(mb_upstream_request *request, bool end_stream) {
    mb_router_state *state = (mb_router_state *)request;
    mb_stream *stream = state->stream;
    mb_cluster_stats *stats = &state->cluster->stats;

    mb_stream_enter(stream);
    if (switches_wrongly(stream)) {
        mb_metric_inc(stats->upstream_cx_protocol_error);
        mb__router_reply_failure(state, MB_UPSTREAM_PROTOCOL, (mb_slice){"", 0});
        mb_stream_leave(stream);
        return;
    }
    state->response_started = true;
    mb_buffer_clear(&state->replay);
    stream->info.upstream_headers_us = mb_loop_now_us(stream->worker->loop);
    stream->info.details = MB_SLICE_LIT("via_upstream");
    stream->info.response_code = mb_http_status(&stream->headers[MB_RESPONSE]);
    mb_cluster_stats_count_status(stats, mb_http_status(&stream->headers[MB_RESPONSE]));
    if (state->again) {
        mb_metric_inc(stats->upstream_rq_retry_success);
    }
    if (decorate(state) != MB_OK) {
        mb_stream_reset(stream, MB_FLAG_OVERLOAD, MB_SLICE_LIT("out_of_memory"));
    } else {
        if (end_stream) {
            finish(state);
        }
        mb_stream_response_headers(stream, end_stream);
    }
    mb_stream_leave(stream);
}

static void on_informational(mb_upstream_request *request) {
    mb_stream *stream = ((mb_router_state *)request)->stream;

    mb_stream_enter(stream);
    mb_stream_response_informational(stream, &stream->headers[MB_RESPONSE]);
    mb_stream_leave(stream);
}

static void on_body(mb_upstream_request *request, mb_buffer *data, bool end_stream) {
    mb_router_state *state = (mb_router_state *)request;
    mb_stream *stream = state->stream;

    mb_stream_enter(stream);
    if (end_stream) {
        finish(state);
    }
    mb_stream_response_body(stream, data, end_stream);
    mb_stream_leave(stream);
}

static void on_trailers(mb_upstream_request *request) {
    mb_router_state *state = (mb_router_state *)request;
    mb_stream *stream = state->stream;

    mb_stream_enter(stream);
    finish(state);
    mb_stream_response_trailers(stream);
    mb_stream_leave(stream);
}

static void on_failure(mb_upstream_request *request, mb_upstream_failure why, mb_slice transport) {
    mb_router_state *state = (mb_router_state *)request;
    mb_stream *stream = state->stream;
    bool retry = mb__router_may_retry(state, why);

    mb_stream_enter(stream);
    if (retry && why != MB_UPSTREAM_REFUSED && !mb_breaker_take(&state->cluster->circuit.retries)) {
        mb_metric_inc(state->cluster->stats.upstream_rq_retry_overflow);
        retry = false;
    }
    if (retry) {
        mb__router_retry(state, why);
    } else {
        mb__router_reply_failure(state, why, transport);
    }
    mb_stream_leave(stream);
}

static void prefetch(const mb_upstream_request *request) {
    const mb_router_state *state = (const mb_router_state *)request;

    mb_prefetch(state->stream, offsetof(mb_stream, headers[MB_RESPONSE]));
    mb_prefetch(&state->stream->headers[MB_RESPONSE], sizeof(mb_headers) + 2 * sizeof(mb_buffer));
}

const mb_upstream_events mb__router_events = {.on_ready = mb__router_on_ready,
                                              .on_failure = on_failure,
                                              .on_headers = on_headers,
                                              .on_informational = on_informational,
                                              .on_body = on_body,
                                              .on_trailers = on_trailers,
                                              .on_pressure = mb__router_on_pressure,
                                              .prefetch = prefetch};
