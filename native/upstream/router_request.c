/*
 * Sending a request, and sending it again where that can do no harm.
 *
 * The race: an upstream closes a connection that it found idle, while our next request is on the
 * way. The request is made again once, on a new connection, if no byte of it was written to the
 * socket, or it has no body and a method that may be repeated (RFC 9110 9.2.2). So a POST that left
 * is never sent twice. It counts against the cluster's retries.
 *
 * The refusal: an HTTP/2 upstream says that it has not processed a stream (REFUSED_STREAM, GOAWAY;
 * RFC 9113 8.7). Such a request may be sent again whatever it is, as long as its body is still at
 * hand. It takes the place of an attempt that did not happen, so it counts against nothing; but an
 * upstream that refuses all the time gets it only a few times.
 */
#include "upstream/router_state.h"

#include "base/slice.h"

void mb__router_update_pause(mb_router_state *state) {
    bool waits = state->request.state != MB_REQUEST_RUNNING;
    bool pause = waits ? state->body.length > state->stream->buffer_limit : state->above;

    if (pause != state->paused) {
        state->paused = pause;
        mb_stream_pause_request(state->stream, pause);
    }
}

void mb__router_on_pressure(mb_upstream_request *request, bool above) {
    mb_router_state *state = (mb_router_state *)request;
    mb_stream *stream = state->stream;

    mb_stream_enter(stream);
    state->above = above;
    mb__router_update_pause(state);
    mb_stream_leave(stream);
}

/* -- what a second attempt needs -------------------------------------------------------------- */

static void lose_replay(mb_router_state *state) {
    state->replay_lost = true;
    mb_buffer_clear(&state->replay);
}

/* References, no copies. MB_OK or MB_ENOMEM. */
static int share(mb_buffer *to, const mb_buffer *from) {
    for (uint32_t i = 0; i < from->count; i++) {
        const mb_segment *segment = &from->segments[from->first + i];
        int rc = segment->slab != NULL
                     ? mb_buffer_append_slab(to, segment->slab, segment->ptr, segment->len)
                     : mb_buffer_append_static(to, (mb_slice){segment->ptr, segment->len});

        if (rc != MB_OK) {
            return rc;
        }
    }
    return MB_OK;
}

static void remember(mb_router_state *state, const mb_buffer *data) {
    const mb_upstream_request *request = &state->request;
    bool race = request->reused && !state->retried;

    if (state->replay_lost || state->response_started || data->length == 0 ||
        !(race || request->multiplexed)) {
        return;
    }
    if ((!request->multiplexed && !mb_upstream_unsent(request)) ||
        state->replay.length + data->length > MB_ROUTER_REPLAY_BYTES_MAX ||
        share(&state->replay, data) != MB_OK) {
        lose_replay(state);
    }
}

static bool may_be_repeated(mb_slice method) {
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (mb_slice_equal(method, mb_slice_from_c(methods[i]))) {
            return true;
        }
    }
    return false;
}

bool mb__router_may_retry(const mb_router_state *state, mb_upstream_failure why) {
    const mb_upstream_request *request = &state->request;

    if (state->response_started) {
        return false;
    }
    if (why == MB_UPSTREAM_REFUSED) {
        return !state->replay_lost && state->refusals < MB_ROUTER_REFUSALS_MAX;
    }
    if (why != MB_UPSTREAM_TERMINATED || !request->reused || state->retried) {
        return false;
    }
    if (!request->sent) {
        return !state->replay_lost;
    }
    /* Of a tunnel nothing has left but the head. */
    return (state->ended || request->tunnel) && !state->has_body && !state->trailers &&
           may_be_repeated(
               mb_headers_pseudo(&state->stream->headers[MB_REQUEST], MB_PSEUDO_METHOD));
}

void mb__router_retry(mb_router_state *state, mb_upstream_failure why) {
    mb_cluster_stats *stats = &state->cluster->stats;

    state->again = true;
    state->above = false;
    mb_metric_inc(stats->upstream_rq_retry);
    if (why == MB_UPSTREAM_REFUSED) {
        state->refusals++;
        mb_metric_inc(stats->upstream_rq_retry_refused);
    } else {
        state->retried = state->retry_held = true;
        mb_metric_inc(stats->upstream_rq_retry_race);
    }
    /* A request that waits has its body in `body`; nothing is in there while it runs. */
    if (mb_buffer_move(&state->body, &state->replay) != MB_OK) {
        mb__router_reply_failure(state, MB_UPSTREAM_LOCAL, (mb_slice){"", 0});
        return;
    }
    mb__router_attempt(state);
}

/* -- sending ---------------------------------------------------------------------------------- */

static void on_send_error(mb_router_state *state, int rc) {
    if (rc == MB_EPROTO) {
        mb__router_reply_bad_length(state);
    } else {
        mb__router_reply_failure(state, MB_UPSTREAM_LOCAL, (mb_slice){"", 0});
    }
}

static void sent(mb_router_state *state, int rc) {
    if (rc < 0) {
        on_send_error(state, rc);
    } else if (!state->over && state->request.state == MB_REQUEST_OVER) {
        mb__router_complete(state); /* a tunnel's last end */
    }
}

void mb__router_send_body(mb_router_state *state, mb_buffer *data, bool end_stream) {
    int rc;

    remember(state, data);
    rc = mb_upstream_send_body(&state->request, data, end_stream);
    sent(state, rc);
}

void mb__router_send_trailers(mb_router_state *state) {
    int rc = mb_upstream_send_trailers(&state->request, &state->stream->trailers[MB_REQUEST]);

    sent(state, rc);
}

/* Envoy's auto_host_rewrite: the name of the endpoint that was chosen. MB_OK, MB_ENOMEM. */
static int rewrite_host(mb_router_state *state) {
    mb_stream *stream = state->stream;
    mb_slice hostname;
    int rc;

    if (!state->route->auto_host_rewrite) {
        return MB_OK;
    }
    rc = mb_arena_dup(&stream->arena, state->request.host->hostname, &hostname);
    if (rc != MB_OK) {
        return rc;
    }
    if (state->again) { /* x-forwarded-host is there already */
        if (hostname.len > 0) {
            mb_headers_set_pseudo(&stream->headers[MB_REQUEST], MB_PSEUDO_AUTHORITY, hostname);
        }
        return MB_OK;
    }
    return mb_route_rewrite_host(state->route, hostname, !state->config->suppress_envoy_headers,
                                 &stream->headers[MB_REQUEST]);
}

static void note_upstream(mb_router_state *state) {
    mb_stream_info *info = &state->stream->info;

    info->upstream_start_us = mb_loop_now_us(state->stream->worker->loop);
    info->upstream_remote = mb_stream_keep_address(state->stream, &state->request.host->address);
    info->upstream_local =
        mb_stream_keep_address(state->stream, mb_upstream_local(&state->request));
    info->upstream_protocol = mb_upstream_protocol_name(&state->request);
}

static void send_all(mb_router_state *state) {
    bool only_head = state->ended && state->body.length == 0 && !state->trailers;
    int rc = rewrite_host(state);

    if (rc == MB_OK) {
        rc = mb_upstream_send_headers(&state->request, &state->stream->headers[MB_REQUEST],
                                      only_head);
    }
    if (rc < 0) {
        on_send_error(state, rc);
        return;
    }
    if (state->body.length > 0) {
        mb__router_send_body(state, &state->body, state->ended && !state->trailers);
    }
    if (state->trailers && !state->over) {
        mb__router_send_trailers(state);
    }
    if (!state->over) {
        mb__router_update_pause(state);
    }
}

void mb__router_on_ready(mb_upstream_request *request) {
    mb_router_state *state = (mb_router_state *)request;
    mb_stream *stream = state->stream;

    mb_stream_enter(stream);
    if (stream->side[MB_RESPONSE].paused) {
        mb_upstream_pause(request, true); /* said while there was no connection */
    }
    note_upstream(state);
    send_all(state);
    mb_stream_leave(stream);
}
