/*
 * What the router answers itself, with Envoy's status, flags, details and words.
 */
#include "upstream/router_state.h"

#include <stdio.h>

typedef struct failure_row {
    uint32_t status;
    uint32_t flag;
    const char *reason; /* in details */
    const char *text;   /* in the body, behind "reset reason: " */
} failure_row;

static const failure_row failures[] = {
    [MB_UPSTREAM_OVERFLOW] = {503, MB_FLAG_UPSTREAM_OVERFLOW, "overflow", "overflow"},
    [MB_UPSTREAM_CONNECT_FAILED] = {503, MB_FLAG_UPSTREAM_CONNECT_FAILURE,
                                    "remote_connection_failure", "remote connection failure"},
    [MB_UPSTREAM_CONNECT_LOCAL] = {503, MB_FLAG_UPSTREAM_CONNECT_FAILURE,
                                   "local_connection_failure", "local connection failure"},
    [MB_UPSTREAM_CONNECT_TIMEOUT] = {503, MB_FLAG_UPSTREAM_CONNECT_FAILURE, "connection_timeout",
                                     "connection timeout"},
    [MB_UPSTREAM_TERMINATED] = {503, MB_FLAG_UPSTREAM_TERMINATION, "connection_termination",
                                "connection termination"},
    [MB_UPSTREAM_RESET] = {503, MB_FLAG_UPSTREAM_REMOTE_RESET, "remote_reset", "remote reset"},
    [MB_UPSTREAM_REFUSED] = {503, MB_FLAG_UPSTREAM_REMOTE_RESET, "remote_refused_stream_reset",
                             "remote refused stream reset"},
    [MB_UPSTREAM_UNABLE] = {503, MB_FLAG_LOCAL_RESET, "extended_connect_not_enabled",
                            "extended CONNECT is not enabled by the upstream"},
    [MB_UPSTREAM_PROTOCOL] = {502, MB_FLAG_UPSTREAM_PROTOCOL, "protocol_error", "protocol error"},
    [MB_UPSTREAM_LOCAL] = {503, MB_FLAG_LOCAL_RESET, "local_reset", "local reset"},
};

/* The route's response headers go onto our own answers too. */
static void finalize_response(mb_stream *stream, void *ctx) {
    const mb_router_state *state = ctx;

    (void)mb_route_finalize_response(state->route, state->weighted, stream);
}

static void answer(mb_router_state *state, uint32_t flag, const mb_local_reply *reply) {
    mb__router_done(state);
    if (state->cluster != NULL && !state->response_started) {
        mb_cluster_stats_count_status(&state->cluster->stats, reply->status);
    }
    mb_stream_local_reply_with(state->stream, flag, reply, finalize_response, state);
}

/* -- before a cluster ------------------------------------------------------------------------- */

void mb__router_reply_no_route(mb_stream *stream) {
    mb_router_state *state = mb__router_state(stream);

    mb__router_count(state->config->stats.no_route);
    mb__router_done(state);
    mb_stream_local_reply(stream, 404, MB_FLAG_NO_ROUTE, MB_SLICE_LIT("route_not_found"),
                          MB_SLICE_LIT(""));
}

void mb__router_reply_bad_rewrite(mb_router_state *state, int rc) {
    const mb_local_reply reply = {.status = 500,
                                  .body = MB_SLICE_LIT("Internal Server Error"),
                                  .details = MB_SLICE_LIT("route_rewrite_invalid")};

    if (rc == MB_ENOMEM) {
        mb_stream_reset(state->stream, MB_FLAG_OVERLOAD, MB_SLICE_LIT("out_of_memory"));
    } else {
        answer(state, 0, &reply);
    }
}

void mb__router_reply_redirect(mb_router_state *state) {
    mb_stream *stream = state->stream;
    mb_header location = {.name = MB_SLICE_LIT("location")};
    mb_local_reply reply = {.status = state->route->response_code,
                            .headers = &location,
                            .header_count = 1,
                            .details = MB_SLICE_LIT("direct_response")};
    int rc;

    mb__router_count(state->config->stats.rq_redirect);
    rc = mb_route_redirect_location(state->route, &stream->headers[MB_REQUEST], &stream->arena,
                                    &location.value);
    if (rc != MB_OK) {
        mb__router_reply_bad_rewrite(state, rc);
        return;
    }
    answer(state, 0, &reply);
}

void mb__router_reply_direct(mb_router_state *state) {
    const mb_local_reply reply = {.status = state->route->response_code,
                                  .body = state->route->body,
                                  .details = MB_SLICE_LIT("direct_response")};

    mb__router_count(state->config->stats.rq_direct_response);
    answer(state, 0, &reply);
}

void mb__router_reply_no_cluster(mb_router_state *state) {
    uint32_t code = state->route->cluster_not_found_code;
    const mb_local_reply reply = {.status = code != 0 ? code : 503,
                                  .details = MB_SLICE_LIT("cluster_not_found")};

    mb__router_count(state->config->stats.no_cluster);
    answer(state, MB_FLAG_NO_CLUSTER, &reply);
}

/* -- instead of an upstream ------------------------------------------------------------------- */

void mb__router_reply_no_host(mb_router_state *state) {
    const mb_local_reply reply = {.status = 503,
                                  .body = MB_SLICE_LIT("no healthy upstream"),
                                  .details = MB_SLICE_LIT("no_healthy_upstream")};

    mb_metric_inc(state->cluster->stats.upstream_cx_none_healthy);
    answer(state, MB_FLAG_NO_HEALTHY_UPSTREAM, &reply);
}

void mb__router_reply_timeout(mb_router_state *state) {
    const mb_local_reply reply = {.status = 504,
                                  .body = MB_SLICE_LIT("upstream request timeout"),
                                  .details = MB_SLICE_LIT("response_timeout")};

    mb_metric_inc(state->cluster->stats.upstream_rq_timeout);
    if (state->request.state == MB_REQUEST_RUNNING) {
        state->request.host->stats.rq_timeout++;
    }
    answer(state, MB_FLAG_UPSTREAM_TIMEOUT, &reply);
}

/* A filter has changed the length of a body and left its content-length: our fault, not the
 * upstream's, and no wrong byte has left. */
void mb__router_reply_bad_length(mb_router_state *state) {
    const mb_local_reply reply = {.status = 500,
                                  .body = MB_SLICE_LIT("Internal Server Error"),
                                  .details = MB_SLICE_LIT("request_content_length_mismatch")};

    mb__router_count(state->stream->worker->metrics.content_length_mismatch);
    answer(state, MB_FLAG_LOCAL_RESET, &reply);
}

/* "prefix{reason|transport}", with '_' for the spaces of the system's words. */
static mb_slice failure_details(mb_stream *stream, bool started, const char *reason,
                                mb_slice transport) {
    const char *when = started ? "after" : "before";
    size_t room = 96 + transport.len;
    char *text = mb_arena_bytes(&stream->arena, room);
    int length;

    if (text == NULL) {
        return MB_SLICE_LIT("upstream_reset");
    }
    length = snprintf(text, room, "upstream_reset_%s_response_started{%s%s%.*s}", when, reason,
                      transport.len > 0 ? "|" : "", (int)transport.len, transport.ptr);
    for (int i = 0; i < length; i++) {
        text[i] = text[i] == ' ' ? '_' : text[i];
    }
    return (mb_slice){text, (size_t)length};
}

/* What the transport said is for logs and details: clients hear no more than Envoy's do. */
static mb_slice failure_text(mb_stream *stream, const char *reason) {
    static const char head[] =
        "upstream connect error or disconnect/reset before headers. reset reason: ";
    size_t room = sizeof head + strlen(reason);
    char *text = mb_arena_bytes(&stream->arena, room);

    if (text == NULL) {
        return (mb_slice){head, sizeof head - 1};
    }
    return (mb_slice){text, (size_t)snprintf(text, room, "%s%s", head, reason)};
}

static void note_failure(mb_router_state *state, mb_upstream_failure why, mb_slice details,
                         mb_slice transport) {
    mb_stream_info *info = &state->stream->info;

    if (why != MB_UPSTREAM_OVERFLOW && state->request.host != NULL) {
        info->upstream_remote =
            mb_stream_keep_address(state->stream, &state->request.host->address);
    }
    if (transport.len > 0 && details.len > transport.len) {
        /* Ends "...transport}". */
        info->upstream_failure =
            (mb_slice){details.ptr + details.len - 1 - transport.len, transport.len};
    }
}

void mb__router_reply_failure(mb_router_state *state, mb_upstream_failure why, mb_slice transport) {
    static const mb_header overloaded = {MB_SLICE_LIT("x-envoy-overloaded"), MB_SLICE_LIT("true")};
    const failure_row *row = &failures[why];
    mb_stream *stream = state->stream;
    bool started = state->response_started;
    bool mark = why == MB_UPSTREAM_OVERFLOW && !state->config->suppress_envoy_headers;
    mb_slice details = failure_details(stream, started, row->reason, transport);
    const mb_local_reply reply = {.status = row->status,
                                  .headers = &overloaded,
                                  .header_count = mark ? 1 : 0,
                                  .body = failure_text(stream, row->text),
                                  .details = details};

    note_failure(state, why, details, transport);
    if (started) {
        mb__router_count(state->config->stats.rq_reset_after_downstream_response_started);
        mb__router_done(state);
        mb_stream_reset(stream, row->flag, details);
        return;
    }
    answer(state, row->flag, &reply);
}
