/*
 * Where a request goes: route, cluster, host; the timeout of the exchange; the terminal's calls.
 * Source: Envoy, "HTTP route configuration" and "router filter".
 */
#include "upstream/router_state.h"

#include "upstream/connecting.h"

#include "base/slice.h"
#include "http/grpc.h"
#include "http/message.h"

/* -- beginning and ending --------------------------------------------------------------------- */

static void on_timeout(mb_timer *timer) {
    mb_stream *stream = MB_LIST_ENTRY(timer, mb_stream, terminal_timer);

    mb_stream_enter(stream);
    mb__router_reply_timeout(stream->terminal_state);
    mb_stream_leave(stream);
}

static mb_router_state *new_state(mb_stream *stream) {
    mb_router_state *state = mb_arena_zalloc(&stream->arena, sizeof *state);

    if (state == NULL) {
        return NULL;
    }
    state->stream = stream;
    state->config = stream->chain->terminal_config;
    stream->terminal_timer.on_expire = on_timeout;
    mb_buffer_init(&state->body, stream->worker->slabs);
    mb_buffer_init(&state->replay, stream->worker->slabs);
    stream->terminal_state = state;
    return state;
}

void mb__router_done(mb_router_state *state) {
    if (state->over) {
        return;
    }
    state->over = true;
    mb_upstream_cancel(&state->request);
    mb_loop_rest(&state->stream->terminal_timer);
    mb_buffer_fini(&state->body);
    mb_buffer_fini(&state->replay);
    if (state->retry_held) {
        mb_breaker_give(&state->cluster->circuit.retries);
    }
    state->stream->info.upstream_bytes_sent += state->request.bytes_sent;
    state->stream->info.upstream_bytes_received += state->request.bytes_received;
}

void mb__router_complete(mb_router_state *state) {
    mb__router_done(state);
    if (state->paused) {
        state->paused = false;
        mb_stream_pause_request(state->stream, false);
    }
}

/* -- timeouts --------------------------------------------------------------------------------- */

static void remove_present(mb_headers *headers, uint32_t token) {
    if (mb_headers_has(headers, token)) {
        mb_headers_remove_token(headers, token);
    }
}

/* What a gRPC client asks for, within the route's bounds; 0: none, as with Envoy. */
static uint64_t grpc_timeout_us(const mb_route *route, const mb_headers *headers) {
    uint64_t asked_us = 0;

    (void)mb_grpc_timeout(headers, &asked_us);
    if (route->grpc_offset_us < asked_us) {
        asked_us -= route->grpc_offset_us;
    }
    if (route->grpc_max_us != 0 && (asked_us == 0 || asked_us > route->grpc_max_us)) {
        return route->grpc_max_us;
    }
    return asked_us;
}

static bool is_bounded_grpc(const mb_router_state *state, const mb_headers *headers) {
    return state->route->grpc_scope == MB_GRPC_SCOPE_EXCHANGE && mb_grpc_is_request(headers);
}

/* The route's timeout, or what an internal caller asks for (the connection manager has taken the
 * header from all others). What only we understand is not sent on. */
static void decide_timeout(mb_router_state *state, mb_headers *headers) {
    uint64_t asked_ms;

    state->timeout_us = state->route->timeout_us;
    if (is_bounded_grpc(state, headers)) {
        state->timeout_us = grpc_timeout_us(state->route, headers);
    }
    if (mb_slice_parse_u64(mb_headers_value(headers, MB_TOKEN_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS),
                           &asked_ms) == MB_OK &&
        asked_ms < UINT64_MAX / 1000) {
        state->timeout_us = asked_ms * 1000;
    }
    remove_present(headers, MB_TOKEN_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS);
    remove_present(headers, MB_TOKEN_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS);
    remove_present(headers, MB_TOKEN_X_ENVOY_RETRY_ON);
    remove_present(headers, MB_TOKEN_X_ENVOY_RETRY_GRPC_ON);
    remove_present(headers, MB_TOKEN_X_ENVOY_MAX_RETRIES);
    remove_present(headers, MB_TOKEN_X_ENVOY_RETRIABLE_STATUS_CODES);
    remove_present(headers, MB_TOKEN_X_ENVOY_RETRIABLE_HEADER_NAMES);
    remove_present(headers, MB_TOKEN_X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT);
    remove_present(headers, MB_TOKEN_X_ENVOY_UPSTREAM_ALT_STAT_NAME);
}

/* The request is complete: the upstream's time begins to count. The end of a tunnel's one direction
 * says nothing of how long the other one may last. */
static void mark_complete(mb_router_state *state) {
    mb_loop *loop = state->stream->worker->loop;
    bool in_tunnel = state->response_started && mb__router_is_tunnel(state->stream);

    state->ended = true;
    state->complete_us = mb_loop_now_us(loop);
    if (state->timeout_us > 0 && !in_tunnel) {
        mb_loop_arm(loop, &state->stream->terminal_timer, state->timeout_us);
    }
}

/* -- the way ---------------------------------------------------------------------------------- */

static void give_up(mb_stream *stream) {
    mb_stream_reset(stream, MB_FLAG_OVERLOAD, MB_SLICE_LIT("out_of_memory"));
}

static bool find_cluster(mb_router_state *state, const mb_route_choice *choice) {
    mb_stream *stream = state->stream;
    mb_slice name = mb_route_cluster(state->route, &stream->headers[MB_REQUEST], choice->random,
                                     &state->weighted);

    state->cluster = name.len == 0 ? NULL : mb_map_get(state->config->clusters, name);
    if (state->cluster == NULL) {
        return false;
    }
    stream->info.cluster = mb_cluster_name(state->cluster);
    return true;
}

/* Makes the request what the upstream is to see. Results as of mb_route_finalize_request. */
static int finalize(mb_router_state *state) {
    mb_stream *stream = state->stream;
    mb_headers *headers = &stream->headers[MB_REQUEST];
    bool envoy_headers = !state->config->suppress_envoy_headers;

    decide_timeout(state, headers);
    if (state->timeout_us > 0 && envoy_headers) {
        int rc = mb_http_set_number(headers, MB_TOKEN_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS,
                                    state->timeout_us / 1000);

        if (rc < 0) {
            return rc;
        }
    }
    if (state->timeout_us > 0 && is_bounded_grpc(state, headers) &&
        mb_grpc_set_timeout(headers, state->timeout_us) != MB_OK) {
        return MB_ENOMEM;
    }
    return mb_route_finalize_request(state->route, state->weighted, envoy_headers, stream);
}

/* CONNECT ends here: what is in the tunnel goes to the cluster as TCP (Envoy's connect_config). */
static bool terminates(const mb_router_state *state) {
    const mb_codec_stream *codec = &state->stream->codec;
    const mb_route *route = state->route;
    const mb_upgrade *found;

    if (!codec->connect_request || codec->upgrade_request) {
        return false;
    }
    found = mb_upgrade_find(route->upgrades, route->upgrade_count, MB_SLICE_LIT("CONNECT"));
    return found != NULL && found->terminate;
}

/* Connections of what kind the request may have. NULL: out of memory. */
static mb_pool *pool_of(const mb_router_state *state, mb_upstream_host *host) {
    mb_cluster *cluster = state->cluster;
    const mb_stream_info *info = &state->stream->info;
    mb_upstream_protocol protocol = cluster->settings.protocol;
    char header[MB_HOST_PROXY_BYTES];
    const mb_source *source = mb_origin_source(info->origin);

    if (terminates(state)) {
        protocol = MB_UPSTREAM_RAW;
    } else if (protocol != MB_UPSTREAM_DOWNSTREAM && cluster->settings.proxy_version == 0 &&
               source == NULL) {
        return &host->pool;
    }
    if (protocol == MB_UPSTREAM_DOWNSTREAM) {
        bool h2 = info->protocol != NULL && strcmp(info->protocol, "HTTP/2") == 0;

        protocol = h2 ? MB_UPSTREAM_HTTP2 : MB_UPSTREAM_HTTP1;
    }
    return mb_host_pool(host, protocol,
                        mb__upstream_proxy_header(cluster, info->remote, info->local, header),
                        source);
}

void mb__router_attempt(mb_router_state *state) {
    mb_stream *stream = state->stream;
    mb_upstream_host *host = mb__cluster_pick(state->cluster);
    bool fresh = state->retried;
    mb_pool *pool;

    stream->info.attempts++;
    if (host == NULL) {
        mb__router_reply_no_host(state);
        return;
    }
    stream->info.upstream_bytes_sent += state->request.bytes_sent;
    stream->info.upstream_bytes_received += state->request.bytes_received;
    state->request = (mb_upstream_request){.events = &mb__router_events,
                                           .headers = &stream->headers[MB_RESPONSE],
                                           .trailers = &stream->trailers[MB_RESPONSE],
                                           .head = &stream->head_bytes[MB_RESPONSE],
                                           .head_request = stream->head_request,
                                           .tunnel = mb__router_is_tunnel(stream),
                                           .fresh = fresh};
    pool = pool_of(state, host);
    if (pool == NULL) {
        mb__router_reply_failure(state, MB_UPSTREAM_LOCAL, (mb_slice){"", 0});
        return;
    }
    mb_pool_request(pool, &state->request);
}

static void forward(mb_router_state *state, const mb_route_choice *choice, bool end_stream) {
    int rc;

    if (!find_cluster(state, choice)) {
        mb__router_reply_no_cluster(state);
        return;
    }
    rc = finalize(state);
    if (rc != MB_OK) {
        mb__router_reply_bad_rewrite(state, rc);
        return;
    }
    mb__router_count(state->config->stats.rq_total);
    if (end_stream) {
        mark_complete(state);
    }
    mb__router_attempt(state);
}

/* -- the terminal ----------------------------------------------------------------------------- */

static void request_headers(mb_stream *stream, bool end_stream) {
    const mb_route_choice *choice = mb_stream_route(stream);
    mb_router_state *state = new_state(stream);

    if (state == NULL) {
        give_up(stream);
        return;
    }
    state->route = choice->route;
    if (state->route == NULL) {
        mb__router_reply_no_route(stream);
        return;
    }
    switch (state->route->action) {
    case MB_ACTION_CLUSTER:
        forward(state, choice, end_stream);
        return;
    case MB_ACTION_REDIRECT:
        mb__router_reply_redirect(state);
        return;
    case MB_ACTION_DIRECT:
        mb__router_reply_direct(state);
        return;
    }
}

static void request_body(mb_stream *stream, mb_buffer *data, bool end_stream) {
    mb_router_state *state = mb__router_state(stream);

    if (state == NULL || state->over) {
        mb_buffer_clear(data); /* answered already: nobody needs the rest */
        return;
    }
    state->has_body |= data->length > 0;
    if (end_stream) {
        mark_complete(state);
    }
    if (state->request.state == MB_REQUEST_RUNNING) {
        mb__router_send_body(state, data, end_stream);
    } else if (mb_buffer_move(&state->body, data) != MB_OK) {
        mb__router_reply_failure(state, MB_UPSTREAM_LOCAL, (mb_slice){"", 0});
    } else {
        mb__router_update_pause(state);
    }
}

static void request_trailers(mb_stream *stream) {
    mb_router_state *state = mb__router_state(stream);

    if (state == NULL || state->over) {
        return;
    }
    state->trailers = true;
    mark_complete(state);
    if (state->request.state == MB_REQUEST_RUNNING) {
        mb__router_send_trailers(state);
    }
}

static void pause_response(mb_stream *stream, bool paused) {
    mb_router_state *state = mb__router_state(stream);

    if (state != NULL && !state->over) {
        mb_upstream_pause(&state->request, paused);
    }
}

static void abort_request(mb_stream *stream) {
    mb_router_state *state = mb__router_state(stream);

    if (state != NULL) {
        mb__router_done(state);
    }
}

const mb_terminal mb_router_terminal = {.name = "router",
                                        .request_headers = request_headers,
                                        .request_body = request_body,
                                        .request_trailers = request_trailers,
                                        .pause_response = pause_response,
                                        .abort = abort_request};

/* -- statistics ------------------------------------------------------------------------------- */

#define AT(field) offsetof(mb_router_stats, field)

static const mb_stats_row rows[] = {
    {"rq_total", MB_COUNTER, AT(rq_total)},
    {"rq_redirect", MB_COUNTER, AT(rq_redirect)},
    {"rq_direct_response", MB_COUNTER, AT(rq_direct_response)},
    {"no_route", MB_COUNTER, AT(no_route)},
    {"no_cluster", MB_COUNTER, AT(no_cluster)},
    {"rq_reset_after_downstream_response_started", MB_COUNTER,
     AT(rq_reset_after_downstream_response_started)},
};

int mb_router_stats_define(mb_stats *registry, mb_slice stat_prefix, mb_router_stats *out) {
    return mb_stats_define_rows(registry, "http", stat_prefix, rows, sizeof rows / sizeof *rows,
                                out);
}
