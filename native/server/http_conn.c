/*
 * One downstream connection: events of its socket go to the codec, events of the codec to streams.
 *
 * Life. The connection is freed in `on_close`, its last event; a stream that ends while the codec
 * is on the stack waits in `dying`, since the codec may still hold it. With one stream at a time
 * (HTTP/1) the next request is parsed only when the present stream has ended both ways and the
 * client has taken the answers before down to the low watermark; meanwhile what it pipelines stays
 * in conn->in, bounded by the connection's buffer limit. With many streams (HTTP/2) all input is
 * parsed at once; what bounds it are the windows of the streams, and the codec's counters of
 * frames that cost us more than the client.
 */
#include "server/http_conn.h"

#include "base/alloc.h"
#include "http/status.h"
#include "server/server_internal.h"
#include <string.h>

static void arm(mb_http_conn *hc, mb_timer *timer, uint64_t after_us) {
    if (after_us > 0) {
        mb_loop_arm(hc->base.ingress->worker->loop, timer, after_us);
    }
}

static bool has_many_streams(const mb_http_conn *hc) {
    return hc->codec->vtable->multiplexed;
}

/* -- closing ----------------------------------------------------------------------------------- */

static void free_dying(mb_http_conn *hc) {
    mb_list_node *node;
    while ((node = mb_list_pop_front(&hc->dying)) != NULL) {
        mb_stream *stream = MB_LIST_ENTRY(node, mb_stream, owner_node);
        mb_snapshot *snapshot = stream->snapshot;
        mb_stream_free(stream);
        mb_snapshot_unref(snapshot);
    }
}

static void account_closed(const mb_http_conn *hc, const mb_conn *conn, mb_close_reason reason) {
    const mb_http_metrics *metrics = mb__http_conn_metrics(hc);
    uint64_t now_us = mb_loop_now_us(hc->base.ingress->worker->loop);
    mb_metric_add(metrics->cx_active, -1);
    mb_metric_inc(metrics->cx_destroy);
    if (reason == MB_CLOSED_BY_PEER || reason == MB_CLOSED_RESET) {
        mb_metric_inc(metrics->cx_destroy_remote);
    }
    mb_metric_add(metrics->cx_rx_bytes, (int64_t)conn->bytes_read);
    mb_metric_add(metrics->cx_tx_bytes, (int64_t)conn->bytes_written);
    mb_metric_record(metrics->cx_length_ms, now_us - hc->base.opened_us);
}

static void on_close(void *owner, mb_conn *conn, mb_close_reason reason) {
    mb_http_conn *hc = owner;
    hc->closing = true;
    mb_list_node *node;
    while ((node = mb_list_front(&hc->streams)) != NULL) {
        mb_stream *stream = MB_LIST_ENTRY(node, mb_stream, owner_node);
        mb_stream_client_gone(stream, MB_FLAG_DOWNSTREAM_TERMINATION,
                              MB_SLICE_LIT("downstream_remote_disconnect"));
    }
    free_dying(hc);
    account_closed(hc, conn, reason);
    mb_downstream_account_close(&hc->base, reason);
    mb_loop_disarm(&hc->idle_timer);
    mb_loop_disarm(&hc->head_timer);
    mb_loop_disarm(&hc->duration_timer);
    mb_loop_disarm(&hc->flush_timer);
    mb_loop_disarm(&hc->drain_timer);
    mb_loop_cancel(&hc->reset_task);
    mb_loop_cancel(&hc->receive_task);
    if (hc->keepalive != NULL) {
        mb_h2_keepalive_stop(hc->keepalive);
    }
    if (hc->codec != NULL) {
        hc->codec->vtable->free(hc->codec);
    }
    mb_conn_free(conn);
    const mb_allocator *allocator = hc->base.ingress->worker->allocator;
    mb_downstream_end(&hc->base);
    mb_free(allocator, hc->keepalive, sizeof(*hc->keepalive));
    mb_free(allocator, hc, sizeof(*hc));
}

void mb__http_conn_close_later(mb_http_conn *hc, mb_close_kind kind) {
    uint64_t linger_us = mb__http_conn_config(hc)->timeouts.delayed_close_us;
    if (!hc->closing) {
        hc->closing = true;
        if (kind == MB_CLOSE_FLUSH_LINGER && linger_us > 0) {
            mb_conn_close(hc->base.conn, kind, linger_us);
        } else {
            mb_conn_close(hc->base.conn, MB_CLOSE_FLUSH, MB_CONN_FINAL_FLUSH_US);
        }
    }
}

static void reset_now(mb_task *task) {
    mb_http_conn *hc = MB_LIST_ENTRY(task, mb_http_conn, reset_task);
    mb_conn_close(hc->base.conn, MB_CLOSE_RESET, 0);
}

void mb__http_conn_break(mb_http_conn *hc, bool reset) {
    if (!reset) {
        mb__http_conn_close_later(hc, MB_CLOSE_FLUSH);
    } else if (!hc->closing) {
        hc->closing = true;
        mb_loop_defer(hc->base.ingress->worker->loop, MB_PHASE_NOTIFY, &hc->reset_task);
    }
}

static void close_now(mb_downstream *downstream) {
    ((mb_http_conn *)downstream)->closing = true;
    mb_conn_close(downstream->conn, MB_CLOSE_NOW, 0);
}

static void drain(mb_downstream *downstream) {
    mb_http_conn *hc = (mb_http_conn *)downstream;
    if (hc->draining || hc->closing) {
        return;
    }
    hc->draining = true;
    if (hc->codec != NULL) {
        mb__http_say_goodbye(hc);
    }
    if (hc->stream_count == 0) {
        mb_metric_inc(mb__http_conn_metrics(hc)->cx_drain_close);
        mb__http_conn_go_on(hc);
    }
}

/* What is there now is counted under the new names, where its end will be counted too. */
static void reconfigured(mb_downstream *downstream, const mb_filter_chain_config *before) {
    const mb_http_conn *hc = (mb_http_conn *)downstream;
    const mb_http_metrics *from = &before->hcm->metrics;
    const mb_http_metrics *to = mb__http_conn_metrics(hc);
    mb_metric_add(from->cx_active, -1);
    mb_metric_add(to->cx_active, 1);
    mb_metric_add(from->rq_active, -(int64_t)hc->stream_count);
    mb_metric_add(to->rq_active, hc->stream_count);
    mb__http_upgrade_recount(hc, from, to);
}

static const mb_downstream_ops downstream_ops = {
    .drain = drain,
    .close = close_now,
    .reconfigured = reconfigured,
};

/* -- streams ----------------------------------------------------------------------------------- */

static void describe(const mb_http_conn *hc, mb_stream_info *info) {
    const mb_ingress *ingress = hc->base.ingress;
    info->connection_id = hc->base.id;
    info->protocol = hc->codec->vtable->protocol;
    info->listener = (mb_slice){ingress->name, strlen(ingress->name)};
    info->origin = hc->base.origin;
    info->direct_remote =
        info->origin != NULL ? &info->origin->direct_remote : &hc->base.conn->remote;
    info->remote = &hc->base.conn->remote;
    info->local = &hc->base.conn->local;
    info->tls = mb_transport_tls(hc->base.conn->transport);
}

static void count_request(const mb_http_conn *hc) {
    const mb_http_metrics *metrics = mb__http_conn_metrics(hc);
    mb_metric_inc(metrics->rq_total);
    mb_metric_inc(has_many_streams(hc) ? metrics->rq_http2 : metrics->rq_http1);
    mb_metric_add(metrics->rq_active, 1);
}

static mb_codec_stream *on_begin(void *owner) {
    mb_http_conn *hc = owner;
    mb_ingress *ingress = hc->base.ingress;
    const mb_hcm_config *config = mb__http_conn_config(hc);
    mb_stream *stream = mb_stream_new(ingress->worker, &config->chain, &mb__http_stream_ops, hc);
    if (stream == NULL) {
        return NULL;
    }
    stream->codec.codec = hc->codec;
    stream->snapshot = mb_snapshot_ref(hc->base.snapshot);
    stream->buffer_limit = ingress->config->buffer_limit_bytes;
    mb_list_push_back(&hc->streams, &stream->owner_node);
    hc->stream_count++;
    hc->requests++;
    describe(hc, &stream->info);
    mb_loop_rest(&hc->idle_timer);
    arm(hc, &hc->head_timer, config->timeouts.request_headers_us);
    count_request(hc);
    if (config->max_requests_per_connection != 0 &&
        hc->requests >= config->max_requests_per_connection) {
        hc->draining = true;
        mb__http_say_goodbye(hc);
    }
    mb__http_stream_timers_start(stream);
    if (hc->above_high) {
        mb_stream_pause_response(stream, true);
    }
    return &stream->codec;
}

/* The stream whose head the timer is for: the one that began last. NULL: none has begun. */
static mb_stream *head_awaited(const mb_http_conn *hc) {
    mb_list_node *node = mb_list_back(&hc->streams);
    return node != NULL ? MB_LIST_ENTRY(node, mb_stream, owner_node) : NULL;
}

static void head_seen(mb_http_conn *hc, const mb_stream *stream) {
    if (stream == head_awaited(hc)) { /* else an earlier one, while the next head comes */
        mb_loop_rest(&hc->head_timer);
    }
}

static void on_headers(void *owner, mb_codec_stream *cs, bool end_stream) {
    mb_http_conn *hc = owner;
    mb_stream *stream = (mb_stream *)cs;
    head_seen(hc, stream);
    mb__http_stream_activity(stream);
    if (end_stream) {
        stream->info.request_end_us = mb_loop_now_us(hc->base.ingress->worker->loop);
        mb_loop_rest(&stream->request_timer);
    }
    mb_stream_enter(stream);
    if (mb__http_request_prepare(hc, stream) == MB_OK) {
        mb_stream_request_headers(stream, end_stream);
    }
    mb_stream_leave(stream);
}

static void on_body(void *owner, mb_codec_stream *cs, bool end_stream) {
    mb_http_conn *hc = owner;
    mb_stream *stream = (mb_stream *)cs;
    stream->info.bytes_received += stream->incoming.length;
    mb__http_stream_activity(stream);
    if (end_stream) {
        stream->info.request_end_us = mb_loop_now_us(hc->base.ingress->worker->loop);
        mb_loop_rest(&stream->request_timer);
    }
    mb_stream_request_body(stream, &stream->incoming, end_stream);
}

static void on_trailers(void *owner, mb_codec_stream *cs) {
    mb_http_conn *hc = owner;
    mb_stream *stream = (mb_stream *)cs;
    stream->info.request_end_us = mb_loop_now_us(hc->base.ingress->worker->loop);
    mb_loop_rest(&stream->request_timer);
    mb_stream_request_trailers(stream);
}

static void on_reset(void *owner, mb_codec_stream *cs, mb_reset_reason reason) {
    const mb_http_conn *hc = owner;
    mb_slice details = MB_SLICE_LIT("downstream_remote_disconnect");
    if (cs->reset_details != NULL) {
        details = (mb_slice){cs->reset_details, strlen(cs->reset_details)};
    }
    mb_metric_inc(mb__http_conn_metrics(hc)->rq_rx_reset);
    mb_stream_client_gone((mb_stream *)cs,
                          reason == MB_RESET_PROTOCOL ? MB_FLAG_DOWNSTREAM_PROTOCOL
                                                      : MB_FLAG_DOWNSTREAM_TERMINATION,
                          details);
}

static void on_error(void *owner, mb_codec_stream *cs, const mb_protocol_error *error) {
    mb_http_conn *hc = owner;
    mb_metric_inc(mb__http_conn_metrics(hc)->cx_protocol_error);
    mb_worker_log(hc->base.ingress->worker, MB_LOG_DEBUG, "http",
                  "connection %llu refused: %s (%s)", (unsigned long long)hc->base.id,
                  error->reason, error->details);
    if (cs == NULL) {
        hc->draining = true;
        mb__http_conn_flush(hc);
        mb__http_conn_close_later(hc, MB_CLOSE_FLUSH_LINGER);
        return;
    }
    mb_stream *stream = (mb_stream *)cs;
    mb_slice text = mb_http_reason(error->status);
    mb__http_conn_last_request(hc);
    mb_stream_local_reply(stream, error->status, MB_FLAG_DOWNSTREAM_PROTOCOL,
                          (mb_slice){error->details, strlen(error->details)}, text);
}

static void on_pressure(void *owner, mb_codec_stream *cs, bool above) {
    const mb_http_conn *hc = owner;
    mb_stream *stream = (mb_stream *)cs;
    stream->backed_up = above;
    if (!above) {
        mb__http_stream_activity(stream);
    }
    mb_stream_pause_response(stream, above || hc->above_high);
}

const mb_codec_events mb__http_codec_events = {
    .on_begin = on_begin,
    .on_headers = on_headers,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_reset = on_reset,
    .on_pressure = on_pressure,
    .on_ping_ack = mb__http_on_ping_ack,
    .on_error = on_error,
};

void mb__http_conn_last_request(mb_http_conn *hc) {
    if (!has_many_streams(hc)) {
        hc->draining = true;
        hc->codec->vtable->shut_down(hc->codec, &hc->base.conn->out);
    }
}

/* No request is to be expected any more. */
static bool is_finished(const mb_http_conn *hc) {
    if (hc->codec == NULL) {
        return hc->draining;
    }
    bool reusable = hc->codec->vtable->reusable(hc->codec);
    if (!has_many_streams(hc)) {
        return !reusable || hc->draining || (hc->read_ended && hc->base.conn->in.length == 0);
    }
    if (hc->goodbye == MB_GOODBYE_NEAR && !hc->read_ended) {
        return false; /* streams may be on the way: RFC 9113 6.8 */
    }
    return !reusable || hc->read_ended;
}

void mb__http_conn_go_on(mb_http_conn *hc) {
    if (hc->closing || hc->stream_count > 0) {
        return;
    }
    const mb_hcm_timeouts *timeouts = &mb__http_conn_config(hc)->timeouts;
    if (mb__http_has_unfinished(
            hc)) { /* the client lets nothing of its answers in: that is no idling */
        arm(hc, &hc->idle_timer, timeouts->stream_idle_us);
    } else if (is_finished(hc)) {
        mb__http_leave(hc);
    } else {
        arm(hc, &hc->idle_timer, timeouts->idle_us);
    }
}

void mb__http_conn_flush(mb_http_conn *hc) {
    const mb_codec_vtable *codec = hc->codec->vtable;
    if (codec->flush == NULL || hc->closing) {
        return;
    }
    if (codec->flush(hc->codec, &hc->base.conn->out) == MB_ENOMEM) {
        mb__http_conn_break(hc, true);
    } else if (hc->base.conn->out.length > 0) {
        mb_conn_flush_later(hc->base.conn);
    }
}

void mb__http_conn_read_on(mb_http_conn *hc) {
    if (hc->closing) {
        return;
    }
    if (has_many_streams(hc)) {
        mb_loop_defer(hc->base.ingress->worker->loop, MB_PHASE_READ, &hc->receive_task);
        return;
    }
    if (hc->read_blocked) {
        hc->read_blocked = false;
        mb_conn_read_enable(hc->base.conn);
    }
    if (hc->base.conn->in.length > 0) {
        mb_conn_read_again(hc->base.conn);
    } else if (hc->read_ended) { /* a tunnel's end that waited */
        mb_loop_defer(hc->base.ingress->worker->loop, MB_PHASE_READ, &hc->receive_task);
    }
}

void mb__http_conn_stream_done(mb_http_conn *hc, mb_stream *stream) {
    head_seen(hc, stream);
    mb__http_watch_unfinished(hc);
    mb_list_remove(&stream->owner_node);
    hc->stream_count--;
    mb_list_push_back(&hc->dying, &stream->owner_node);
    if (hc->in_codec) {
        return; /* who called it goes on */
    }
    if (hc->closing) {
        if (!hc->base.conn->closed) {
            free_dying(hc);
        }
        return; /* else on_close is on the stack */
    }
    free_dying(hc);
    mb__http_conn_go_on(hc);
    if (!has_many_streams(hc)) {
        mb__http_conn_read_on(hc);
    }
}

/* -- the socket -------------------------------------------------------------------------------- */

/* The client sends no more, and what it sent is parsed. */
static void end_input(mb_http_conn *hc) {
    hc->in_codec = true;
    hc->codec->vtable->receive_end(hc->codec);
    hc->in_codec = false;
    free_dying(hc);
}

/* The end of the input is a tunnel's, which no response has accepted yet. */
static bool end_waits(const mb_http_conn *hc) {
    const mb_list_node *node = mb_list_front(&hc->streams);
    return node != NULL && MB_LIST_ENTRY(node, mb_stream, owner_node)->tunnel_waits;
}

/* Between two requests, and the next one may begin. */
static bool may_begin(const mb_http_conn *hc) {
    return hc->stream_count == 0 && !hc->above_high && !hc->closing &&
           hc->codec->vtable->reusable(hc->codec);
}

static void on_data(void *owner, mb_conn *conn) {
    mb_http_conn *hc = owner;
    int rc = conn->in.length > 0 ? MB_EAGAIN : MB_OK;
    bool begin = hc->stream_count > 0 || !hc->above_high;
    hc->in_codec = true;
    while (rc == MB_EAGAIN && begin && conn->in.length > 0) {
        rc = hc->codec->vtable->receive(hc->codec, &conn->in);
        free_dying(hc);
        begin = may_begin(hc);
    }
    hc->in_codec = false;
    hc->input_waits = rc == MB_EAGAIN && conn->in.length > 0;
    if (rc == MB_EPROTO || hc->closing) {
        mb_buffer_clear(&conn->in);
    } else if (rc == MB_EAGAIN && conn->in.length >= hc->base.ingress->config->buffer_limit_bytes &&
               !hc->read_blocked) {
        hc->read_blocked = true;
        mb_conn_read_disable(conn);
    } else if (rc == MB_OK && hc->read_ended && !end_waits(hc)) {
        end_input(hc);
    }
    mb__http_conn_go_on(hc);
}

static void on_data_of_many(void *owner, mb_conn *conn) {
    mb_http_conn *hc = owner;
    hc->in_codec = true;
    (void)hc->codec->vtable->receive(hc->codec, &conn->in);
    hc->in_codec = false;
    free_dying(hc);
    mb_buffer_clear(&conn->in); /* what is left of it nobody can read */
    mb__http_conn_flush(hc);
    mb__http_conn_go_on(hc);
}

static void receive_held(mb_task *task) {
    mb_http_conn *hc = MB_LIST_ENTRY(task, mb_http_conn, receive_task);
    if (has_many_streams(hc)) {
        on_data_of_many(hc, hc->base.conn);
    } else if (!hc->closing) {
        on_data(hc, hc->base.conn);
    }
}

static void on_read_end(void *owner, mb_conn *conn) {
    mb_http_conn *hc = owner;
    (void)conn;
    hc->read_ended = true;
    if (!hc->input_waits && (has_many_streams(hc) || !end_waits(hc))) {
        end_input(hc);
    } /* else on_data does, once the present stream is over */
    mb__http_conn_go_on(hc);
}

static void on_above_high(void *owner, mb_conn *conn) {
    mb_http_conn *hc = owner;
    (void)conn;
    hc->above_high = true;
    MB_LIST_FOREACH(&hc->streams, node) {
        mb_stream_pause_response(MB_LIST_ENTRY(node, mb_stream, owner_node), true);
    }
}

static void on_below_low(void *owner, mb_conn *conn) {
    mb_http_conn *hc = owner;
    (void)conn;
    hc->above_high = false;
    mb__http_conn_flush(hc); /* may be above at once again */
    MB_LIST_FOREACH(&hc->streams, node) {
        mb_stream *stream = MB_LIST_ENTRY(node, mb_stream, owner_node);
        if (!stream->backed_up) { /* else its own window keeps it, whatever the others do */
            mb__http_stream_activity(stream);
        }
        mb_stream_pause_response(stream, hc->above_high || stream->backed_up);
    }
    if (hc->stream_count == 0 && !has_many_streams(hc)) {
        mb__http_conn_read_on(hc); /* requests may wait for this */
    }
}

const mb_conn_events mb__http_one_stream_events = {
    .on_data = on_data,
    .on_read_end = on_read_end,
    .on_above_high = on_above_high,
    .on_below_low = on_below_low,
    .on_close = on_close,
    .prefetch = mb__http_conn_prefetch,
};

const mb_conn_events mb__http_many_streams_events = {
    .on_data = on_data_of_many,
    .on_read_end = on_read_end,
    .on_above_high = on_above_high,
    .on_below_low = on_below_low,
    .on_close = on_close,
};

/* -- timers ------------------------------------------------------------------------------------ */

static void on_idle(mb_timer *timer) {
    mb_http_conn *hc = MB_LIST_ENTRY(timer, mb_http_conn, idle_timer);
    mb_metric_inc(mb__http_conn_metrics(hc)->cx_idle_timeout);
    if (mb__http_has_unfinished(hc)) {
        hc->base.ingress->server->h2_counters.tx_flush_timeout +=
            hc->codec->vtable->unfinished(hc->codec);
    }
    mb__http_leave(hc);
}

static void on_head_timeout(mb_timer *timer) {
    mb_http_conn *hc = MB_LIST_ENTRY(timer, mb_http_conn, head_timer);
    mb_stream *stream = head_awaited(hc);
    mb_metric_inc(mb__http_conn_metrics(hc)->rq_header_timeout);
    if (stream == NULL) { /* not even enough to tell the codec */
        mb__http_conn_close_later(hc, MB_CLOSE_FLUSH_LINGER);
        return;
    }
    if (has_many_streams(hc)) { /* within a header block nothing else can come: RFC 9113 4.3 */
        drain(&hc->base);
    }
    mb__http_conn_last_request(hc);
    mb_stream_local_reply(stream, 408, 0, MB_SLICE_LIT("request_header_timeout"),
                          MB_SLICE_LIT("request header timeout"));
}

static void on_max_duration(mb_timer *timer) {
    mb_http_conn *hc = MB_LIST_ENTRY(timer, mb_http_conn, duration_timer);
    mb_metric_inc(mb__http_conn_metrics(hc)->cx_max_duration);
    drain(&hc->base);
}

/* -- beginning --------------------------------------------------------------------------------- */

static mb_http_conn *make(mb_ingress *ingress, const mb_accepted *accepted) {
    mb_worker *worker = ingress->worker;
    mb_http_conn *hc = mb_zalloc(worker->allocator, sizeof(*hc));
    if (hc == NULL) {
        accepted->transport->vtable->free(accepted->transport);
        return NULL;
    }
    hc->reset_task.run = reset_now;
    hc->receive_task.run = receive_held;
    hc->idle_timer.on_expire = on_idle;
    hc->head_timer.on_expire = on_head_timeout;
    hc->duration_timer.on_expire = on_max_duration;
    hc->flush_timer.on_expire = mb__http_on_flush_timeout;
    hc->drain_timer.on_expire = mb__http_on_drain_timeout;
    mb_list_init(&hc->streams);
    mb_list_init(&hc->dying);
    if (mb_downstream_open(&hc->base, ingress, accepted, &mb__http_codec_unknown_events, hc) < 0) {
        mb_free(worker->allocator, hc, sizeof(*hc));
        return NULL;
    }
    return hc;
}

int mb_http_conn_start(mb_ingress *ingress, const mb_filter_chain_config *chain,
                       const mb_accepted *accepted) {
    mb_http_conn *hc = make(ingress, accepted);
    if (hc == NULL) {
        return MB_ENOMEM;
    }
    mb_downstream_begin(&hc->base, &downstream_ops, ingress, chain);
    mb_metric_inc(mb__http_conn_metrics(hc)->cx_total);
    mb_metric_add(mb__http_conn_metrics(hc)->cx_active, 1);
    mb_conn_set_watermark(hc->base.conn, ingress->config->buffer_limit_bytes);
    const mb_hcm_timeouts *timeouts = &chain->hcm->timeouts;
    arm(hc, &hc->idle_timer, timeouts->idle_us);
    arm(hc, &hc->duration_timer, timeouts->max_connection_duration_us);
    if (mb_downstream_filter(&hc->base) < 0) {
        close_now(&hc->base);
        return MB_OK;
    }
    if (mb_conn_is_open(hc->base.conn)) {
        mb__http_codec_find(hc);
    }
    if (ingress->draining && !hc->closing) {
        hc->draining = true; /* accepted out of the queue while the listener stops: one answer */
        if (hc->codec != NULL) {
            mb__http_say_goodbye(hc);
        }
    }
    return MB_OK;
}
