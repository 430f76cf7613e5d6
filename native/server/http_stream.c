/*
 * What the connection manager does for a stream: responses on the wire, back-pressure to the
 * client, the route, timers, and the accounts at the end.
 */
#include "server/http_conn.h"

#include "http/message.h"
#include "server/server_internal.h"

/* -- timers ------------------------------------------------------------------------------------ */

/* 408 while the client still owes bytes, 504 when we owe the answer. Source: Envoy,
 * Http::Utility::maybeRequestTimeoutCode. */
static uint32_t timeout_status(const mb_stream *stream) {
    return stream->info.request_end_us != 0 ? 504 : 408;
}

static uint64_t idle_timeout_us(const mb_stream *stream) {
    const mb_route *route = stream->choice.route;
    if (route != NULL && route->idle_timeout_us != UINT64_MAX) {
        return route->idle_timeout_us;
    }
    return mb__http_config(stream)->timeouts.stream_idle_us;
}

static void on_idle(mb_timer *timer) {
    mb_stream *stream = MB_LIST_ENTRY(timer, mb_stream, idle_timer);
    mb_metric_inc(mb__http_conn_metrics(mb__http_conn_of(stream))->rq_idle_timeout);
    /* Again, in case a filter keeps this answer: the next one passes it by. */
    mb_loop_arm(stream->worker->loop, timer, idle_timeout_us(stream));
    mb_stream_local_reply(stream, timeout_status(stream), MB_FLAG_STREAM_IDLE_TIMEOUT,
                          MB_SLICE_LIT("stream_idle_timeout"), MB_SLICE_LIT("stream timeout"));
}

static void on_request_timeout(mb_timer *timer) {
    mb_stream *stream = MB_LIST_ENTRY(timer, mb_stream, request_timer);
    mb_metric_inc(mb__http_conn_metrics(mb__http_conn_of(stream))->rq_timeout);
    mb_stream_local_reply(stream, 408, 0, MB_SLICE_LIT("request_overall_timeout"),
                          MB_SLICE_LIT("request timeout"));
}

static void on_max_duration(mb_timer *timer) {
    mb_stream *stream = MB_LIST_ENTRY(timer, mb_stream, duration_timer);
    mb_metric_inc(mb__http_conn_metrics(mb__http_conn_of(stream))->rq_max_duration);
    static const mb_header deadline_exceeded = {MB_SLICE_LIT("grpc-status"), MB_SLICE_LIT("4")};
    const mb_local_reply reply = {
        .status = timeout_status(stream),
        .headers = &deadline_exceeded,
        .header_count = stream->grpc_request ? 1 : 0,
        .body = MB_SLICE_LIT("downstream duration timeout"),
        .details = MB_SLICE_LIT("max_duration_timeout"),
    };
    mb_stream_local_reply_with(stream, MB_FLAG_DURATION_TIMEOUT, &reply, NULL, NULL);
}

void mb__http_stream_timers_start(mb_stream *stream) {
    mb_loop *loop = stream->worker->loop;
    const mb_hcm_timeouts *timeouts = &mb__http_config(stream)->timeouts;
    stream->idle_timer.on_expire = on_idle;
    stream->request_timer.on_expire = on_request_timeout;
    stream->duration_timer.on_expire = on_max_duration;
    if (timeouts->stream_idle_us > 0) {
        mb_loop_arm(loop, &stream->idle_timer, timeouts->stream_idle_us);
    }
    if (timeouts->request_us > 0) {
        mb_loop_arm(loop, &stream->request_timer, timeouts->request_us);
    }
    if (timeouts->max_stream_duration_us > 0) {
        mb_loop_arm(loop, &stream->duration_timer, timeouts->max_stream_duration_us);
    }
}

void mb__http_stream_timers_stop(mb_stream *stream) {
    mb_loop_rest(&stream->idle_timer);
    mb_loop_rest(&stream->request_timer);
    mb_loop_rest(&stream->duration_timer);
}

void mb__http_stream_activity(mb_stream *stream) {
    if (mb_timer_armed(&stream->idle_timer)) {
        mb_loop_arm(stream->worker->loop, &stream->idle_timer, idle_timeout_us(stream));
    }
}

/* -- the route --------------------------------------------------------------------------------- */

/* Known as soon as the route is, so that logs name it also when a filter answers. */
static void note_cluster(mb_stream *stream, const mb_route_choice *choice) {
    const mb_router_config *router = stream->chain->terminal_config;
    mb_slice name =
        mb_route_cluster(choice->route, &stream->headers[MB_REQUEST], choice->random, NULL);
    const mb_cluster *cluster = name.len > 0 ? mb_map_get(router->clusters, name) : NULL;
    stream->info.cluster = cluster != NULL ? mb_cluster_name(cluster) : (mb_slice){NULL, 0};
}

static void resolve_route(mb_stream *stream, mb_route_choice *out) {
    const mb_hcm_config *config = mb__http_config(stream);
    const mb_headers *request = &stream->headers[MB_REQUEST];
    const mb_virtual_host *host = NULL;
    const mb_route *route = mb_route_find(config->routes, request, &host);
    uint64_t random = mb_random_u64(&stream->worker->random);
    *out = (mb_route_choice){.route = route, .random = random};
    if (host != NULL) {
        out->virtual_host = host->name;
    }
    if (route == NULL) {
        return;
    }
    out->name = route->name;
    out->overrides = route->overrides;
    if (route->weighted_count > 0) {
        const mb_weighted_cluster *weighted = NULL;
        mb_route_cluster(route, request, random, &weighted);
        if (weighted != NULL && weighted->overrides != NULL) {
            out->overrides = weighted->overrides;
        }
    }
    note_cluster(stream, out);
    mb__http_stream_limit_duration(stream, route);
    uint64_t idle_us = idle_timeout_us(stream);
    if (idle_us == 0) {
        mb_loop_rest(&stream->idle_timer);
    } else if (route->idle_timeout_us != UINT64_MAX) {
        mb_loop_arm(stream->worker->loop, &stream->idle_timer, idle_us);
    }
}

/* -- the response ------------------------------------------------------------------------------ */

/* The response can not be sent as it is: the client must see that it is broken. */
static void send_failed(mb_stream *stream, int rc) {
    mb_worker_log(stream->worker, MB_LOG_WARNING, "http",
                  "response on connection %llu broken off: %s",
                  (unsigned long long)stream->info.connection_id, mb_strerror(rc));
    if (rc == MB_EPROTO) {
        mb_metric_inc(stream->worker->metrics.content_length_mismatch);
    }
    mb_stream_reset(stream, MB_FLAG_LOCAL_RESET, MB_SLICE_LIT("response_framing_error"));
}

static void decorate_local_reply(mb_stream *stream) {
    const mb_route_choice *choice = &stream->choice;
    const mb_weighted_cluster *weighted = NULL;
    if (choice->route != NULL && choice->route->action == MB_ACTION_CLUSTER) {
        mb_route_cluster(choice->route, &stream->headers[MB_REQUEST], choice->random, &weighted);
        (void)mb_route_finalize_response(choice->route, weighted, stream);
    }
}

static void finish_response_headers(mb_stream *stream) {
    mb_http_conn *hc = mb__http_conn_of(stream);
    const mb_hcm_config *config = mb__http_config(stream);
    mb_headers *headers = &stream->headers[MB_RESPONSE];
    if (config->server_header == MB_SERVER_OVERWRITE ||
        (config->server_header == MB_SERVER_APPEND_IF_ABSENT &&
         !mb_headers_has(headers, MB_TOKEN_SERVER))) {
        mb_headers_set_token(headers, MB_TOKEN_SERVER, config->server_name);
    }
    mb_slice date;
    if (!mb_headers_has(headers, MB_TOKEN_DATE) &&
        mb_arena_dup(&stream->arena, mb__server_http_date(hc->base.ingress->server), &date) ==
            MB_OK) {
        mb_headers_set_token(headers, MB_TOKEN_DATE, date);
    }
    if (config->via.len > 0) {
        (void)mb__http_append_via(headers, config->via);
    }
    if (config->always_set_request_id_in_response) {
        mb_slice id = mb_headers_value(&stream->headers[MB_REQUEST], MB_TOKEN_X_REQUEST_ID);
        if (id.len > 0) {
            mb_headers_set_token(headers, MB_TOKEN_X_REQUEST_ID, id);
        }
    }
    if (!stream->codec.remote_ended && !hc->codec->vtable->multiplexed) {
        /* An answer before the request was complete: the rest of it is not worth reading. */
        hc->codec->vtable->shut_down(hc->codec, &hc->base.conn->out);
    }
}

/* What was written goes out. Where nothing else says the end of a tunnel's one direction, our FIN
 * does; the other one goes on. */
static void flush(mb_http_conn *hc, const mb_stream *stream) {
    if (stream->codec.tunnel_open && stream->codec.local_ended && !hc->closing &&
        !hc->codec->vtable->multiplexed) {
        mb_conn_end_write(hc->base.conn);
    } else {
        mb_conn_flush_later(hc->base.conn);
    }
}

static void send_headers(mb_stream *stream, bool end_stream) {
    mb_http_conn *hc = mb__http_conn_of(stream);
    int ready = mb__http_upgrade_response(stream);
    if (ready < 0) {
        send_failed(stream, ready);
        return;
    }
    stream->info.response_code = mb_http_status(&stream->headers[MB_RESPONSE]);
    stream->info.response_start_us = mb_loop_now_us(stream->worker->loop);
    mb__http_stream_activity(stream);
    size_t before = hc->base.conn->out.length;
    int rc = hc->codec->vtable->send_headers(
        hc->codec, &stream->codec, &stream->headers[MB_RESPONSE], end_stream, &hc->base.conn->out);
    stream->info.header_bytes_sent = hc->base.conn->out.length - before;
    if (rc < 0) {
        send_failed(stream, rc);
        return;
    }
    mb__http_upgrade_sent(hc, stream);
    flush(hc, stream);
}

static void send_body(mb_stream *stream, mb_buffer *data, bool end_stream) {
    mb_http_conn *hc = mb__http_conn_of(stream);
    stream->info.bytes_sent += data->length;
    mb__http_stream_activity(stream);
    int rc = hc->codec->vtable->send_body(hc->codec, &stream->codec, data, end_stream,
                                          &hc->base.conn->out);
    if (rc < 0) {
        send_failed(stream, rc);
        return;
    }
    flush(hc, stream);
}

static void send_trailers(mb_stream *stream) {
    mb_http_conn *hc = mb__http_conn_of(stream);
    int rc = hc->codec->vtable->send_trailers(hc->codec, &stream->codec,
                                              &stream->trailers[MB_RESPONSE], &hc->base.conn->out);
    if (rc < 0) {
        send_failed(stream, rc);
        return;
    }
    flush(hc, stream);
}

static void send_informational(mb_stream *stream, const mb_headers *headers) {
    mb_http_conn *hc = mb__http_conn_of(stream);
    uint32_t status = mb_http_status(headers);
    if (stream->codec.http_10 || (status == 100 && !mb__http_config(stream)->proxy_100_continue)) {
        return; /* 100 was answered by ourselves, if it was asked for */
    }
    if (hc->codec->vtable->send_informational(hc->codec, &stream->codec, headers,
                                              &hc->base.conn->out) == MB_OK) {
        mb_conn_flush_later(hc->base.conn);
    }
}

static void send_reset(mb_stream *stream) {
    mb_http_conn *hc = mb__http_conn_of(stream);
    mb_metric_inc(mb__http_conn_metrics(hc)->rq_tx_reset);
    hc->codec->vtable->reset(hc->codec, &stream->codec, MB_RESET_LOCAL, &hc->base.conn->out);
    if (hc->codec->vtable->multiplexed) {
        mb_conn_flush_later(hc->base.conn);
        return;
    }
    hc->draining = true;
    if (!hc->closing) {
        /* A body that only the close would end must not look complete: reset the connection. */
        bool tunnel = mb__http_upgrade_is_open(stream);
        bool looks_complete = stream->codec.http_10 || !stream->response_started || tunnel;
        mb__http_conn_break(hc, looks_complete);
    }
}

void mb__http_stream_pause(mb_http_conn *hc, mb_stream *stream) {
    bool paused = stream->side[MB_REQUEST].paused || stream->tunnel_waits;
    hc->codec->vtable->pause(hc->codec, &stream->codec, paused);
    if (!paused) {
        mb__http_conn_read_on(hc);
    }
}

static void pause_request(mb_stream *stream, bool paused) {
    mb_http_conn *hc = mb__http_conn_of(stream);
    if (!hc->codec->vtable->multiplexed && !hc->closing) {
        if (paused) {
            mb_conn_read_disable(hc->base.conn);
        } else {
            mb_conn_read_enable(hc->base.conn);
        }
    }
    mb__http_stream_pause(hc, stream);
}

/* -- the end ----------------------------------------------------------------------------------- */

static void account(mb_stream *stream, mb_http_conn *hc) {
    const mb_http_metrics *metrics = mb__http_conn_metrics(hc);
    const mb_stream_info *info = &stream->info;
    mb_metric_add(metrics->rq_active, -1);
    if (mb__http_upgrade_is_open(stream)) {
        mb_metric_add(metrics->cx_upgrades_open, -1);
    }
    mb_metric_record(metrics->rq_time, info->end_us - info->start_us);
    uint32_t class = info->response_code / 100;
    if (class >= 1 && class <= 5) {
        mb_metric_inc(metrics->rq_completed);
        mb_metric_inc(metrics->rq_class[class - 1]);
        mb_metric_inc(hc->base.ingress->metrics.rq_class[class - 1]);
    }
    if ((info->flags & MB_FLAG_NO_ROUTE) != 0) {
        mb_metric_inc(metrics->no_route);
    }
}

/* Of many streams one ends: what of it is queued goes out, what the client still sends is
 * refused. */
static void leave_codec(mb_http_conn *hc, mb_stream *stream) {
    if (!(stream->codec.local_ended && stream->codec.remote_ended) && !hc->closing) {
        hc->codec->vtable->reset(hc->codec, &stream->codec, MB_RESET_UNWANTED, &hc->base.conn->out);
        mb__http_conn_flush(hc);
    }
}

static void complete(mb_stream *stream) {
    mb_http_conn *hc = mb__http_conn_of(stream);
    mb__http_stream_timers_stop(stream);
    account(stream, hc);
    mb__access_log_stream(stream, mb__http_config(stream));
    if (hc->codec->vtable->multiplexed) {
        leave_codec(hc, stream);
    } else if ((stream->side[MB_REQUEST].pauses) != 0 && !hc->closing) {
        hc->codec->vtable->pause(hc->codec, &stream->codec, false);
        mb_conn_read_enable(hc->base.conn); /* the pause ends with the stream */
    }
    mb__http_conn_stream_done(hc, stream);
}

const mb_stream_ops mb__http_stream_ops = {
    .send_headers = send_headers,
    .send_body = send_body,
    .send_trailers = send_trailers,
    .send_informational = send_informational,
    .send_reset = send_reset,
    .pause_request = pause_request,
    .resolve_route = resolve_route,
    .finish_response_headers = finish_response_headers,
    .decorate_local_reply = decorate_local_reply,
    .complete = complete,
};
