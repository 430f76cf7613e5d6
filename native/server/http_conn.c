/*
 * One downstream connection: events of its socket go to the codec, events of the codec to streams.
 *
 * Life. The connection is freed in `on_close`, its last event; a stream that ends while the codec
 * is on the stack waits in `dying`, since the codec may still hold it. With HTTP/1 the next request
 * is parsed only when the present stream has ended both ways and the client has taken the answers
 * before down to the low watermark; meanwhile what it pipelines stays in conn->in, bounded by the
 * connection's buffer limit.
 */
#include "server/http_conn.h"

#include "http/status.h"
#include "server/server_internal.h"
#include <string.h>
#include <unistd.h>

#define FINAL_FLUSH_US 30000000u /* a close that cannot send for this long is given up */

static void arm(mb_http_conn *hc, mb_timer *timer, uint64_t after_us) {
    if (after_us > 0) {
        mb_loop_arm(hc->ingress->worker->loop, timer, after_us);
    }
}

static const mb_hcm_config *config_of(const mb_http_conn *hc) {
    return &hc->ingress->config->hcm;
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

static void on_close(void *owner, mb_conn *conn, mb_close_reason reason) {
    mb_http_conn *hc = owner;
    mb_ingress *ingress = hc->ingress;
    hc->closing = true;
    mb_list_node *node;
    while ((node = mb_list_front(&hc->streams)) != NULL) {
        mb_stream *stream = MB_LIST_ENTRY(node, mb_stream, owner_node);
        mb_stream_client_gone(stream, MB_FLAG_DOWNSTREAM_TERMINATION,
                              MB_SLICE_LIT("downstream_remote_disconnect"));
    }
    free_dying(hc);
    const mb_http_metrics *metrics = &ingress->metrics;
    mb_metric_add(metrics->cx_active, -1);
    mb_metric_add(metrics->listener_cx_active, -1);
    mb_metric_inc(metrics->cx_destroy);
    if (reason == MB_CLOSED_BY_PEER || reason == MB_CLOSED_RESET) {
        mb_metric_inc(metrics->cx_destroy_remote);
    }
    mb_metric_add(metrics->cx_rx_bytes, (int64_t)conn->bytes_read);
    mb_metric_add(metrics->cx_tx_bytes, (int64_t)conn->bytes_written);
    mb_loop *loop = ingress->worker->loop;
    mb_metric_record(metrics->cx_length_ms, mb_loop_now_us(loop) - hc->opened_us);
    mb_loop_disarm(&hc->idle_timer);
    mb_loop_disarm(&hc->head_timer);
    mb_loop_disarm(&hc->duration_timer);
    mb_loop_cancel(&hc->reset_task);
    mb_list_remove(&hc->node);
    ingress->conn_count--;
    mb_listener_release(ingress->listener);
    hc->codec->vtable->free(hc->codec);
    mb_conn_free(conn);
    ingress->worker->allocator->free(ingress->worker->allocator->ctx, hc, sizeof(*hc));
    mb_ingress_unref(ingress);
}

static void close_later(mb_http_conn *hc, mb_close_kind kind) {
    uint64_t linger_us = config_of(hc)->timeouts.delayed_close_us;
    if (!hc->closing) {
        hc->closing = true;
        if (kind == MB_CLOSE_FLUSH_LINGER && linger_us > 0) {
            mb_conn_close(hc->conn, kind, linger_us);
        } else {
            mb_conn_close(hc->conn, MB_CLOSE_FLUSH, FINAL_FLUSH_US);
        }
    }
}

static void reset_now(mb_task *task) {
    mb_http_conn *hc = MB_LIST_ENTRY(task, mb_http_conn, reset_task);
    mb_conn_close(hc->conn, MB_CLOSE_RESET, 0);
}

void mb__http_conn_break(mb_http_conn *hc, bool reset) {
    if (!reset) {
        close_later(hc, MB_CLOSE_FLUSH);
    } else if (!hc->closing) {
        hc->closing = true;
        mb_loop_defer(hc->ingress->worker->loop, MB_PHASE_NOTIFY, &hc->reset_task);
    }
}

void mb_http_conn_close(mb_http_conn *hc) {
    hc->closing = true;
    mb_conn_close(hc->conn, MB_CLOSE_NOW, 0);
}

void mb_http_conn_drain(mb_http_conn *hc) {
    if (hc->draining || hc->closing) {
        return;
    }
    hc->draining = true;
    hc->codec->vtable->shut_down(hc->codec, &hc->conn->out);
    if (hc->stream_count == 0) {
        mb_metric_inc(hc->ingress->metrics.cx_drain_close);
        close_later(hc, MB_CLOSE_FLUSH_LINGER);
    }
}

/* -- streams ----------------------------------------------------------------------------------- */

static mb_codec_stream *on_begin(void *owner) {
    mb_http_conn *hc = owner;
    mb_ingress *ingress = hc->ingress;
    const mb_hcm_config *config = config_of(hc);
    mb_stream *stream = mb_stream_new(ingress->worker, &config->chain, &mb__http_stream_ops, hc);
    if (stream == NULL) {
        return NULL;
    }
    stream->codec.codec = hc->codec;
    stream->snapshot = mb_snapshot_ref(ingress->snapshot);
    stream->buffer_limit = ingress->config->buffer_limit_bytes;
    mb_list_push_back(&hc->streams, &stream->owner_node);
    hc->stream_count++;
    hc->requests++;
    mb_stream_info *info = &stream->info;
    info->connection_id = hc->id;
    info->protocol = hc->codec->vtable->protocol;
    info->listener = (mb_slice){ingress->name, strlen(ingress->name)};
    info->direct_remote = hc->conn->remote;
    info->remote = hc->conn->remote;
    info->local = hc->conn->local;
    mb_loop_disarm(&hc->idle_timer);
    arm(hc, &hc->head_timer, config->timeouts.request_headers_us);
    mb_metric_inc(ingress->metrics.rq_total);
    mb_metric_inc(ingress->metrics.rq_http1);
    mb_metric_add(ingress->metrics.rq_active, 1);
    if (config->max_requests_per_connection != 0 &&
        hc->requests >= config->max_requests_per_connection) {
        hc->draining = true;
        hc->codec->vtable->shut_down(hc->codec, &hc->conn->out);
    }
    mb__http_stream_timers_start(stream);
    if (hc->above_high) {
        mb_stream_pause_response(stream, true);
    }
    return &stream->codec;
}

static void on_headers(void *owner, mb_codec_stream *cs, bool end_stream) {
    mb_http_conn *hc = owner;
    mb_stream *stream = (mb_stream *)cs;
    mb_loop_disarm(&hc->head_timer);
    mb__http_stream_activity(stream);
    if (end_stream) {
        stream->info.request_end_us = mb_loop_now_us(hc->ingress->worker->loop);
        mb_loop_disarm(&stream->request_timer);
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
        stream->info.request_end_us = mb_loop_now_us(hc->ingress->worker->loop);
        mb_loop_disarm(&stream->request_timer);
    }
    mb_stream_request_body(stream, &stream->incoming, end_stream);
}

static void on_trailers(void *owner, mb_codec_stream *cs) {
    mb_http_conn *hc = owner;
    mb_stream *stream = (mb_stream *)cs;
    stream->info.request_end_us = mb_loop_now_us(hc->ingress->worker->loop);
    mb_loop_disarm(&stream->request_timer);
    mb_stream_request_trailers(stream);
}

static void on_reset(void *owner, mb_codec_stream *cs, mb_reset_reason reason) {
    mb_http_conn *hc = owner;
    (void)reason;
    mb_metric_inc(hc->ingress->metrics.rq_rx_reset);
    mb_stream_client_gone((mb_stream *)cs, MB_FLAG_DOWNSTREAM_TERMINATION,
                          MB_SLICE_LIT("downstream_remote_disconnect"));
}

static void on_error(void *owner, mb_codec_stream *cs, const mb_protocol_error *error) {
    mb_http_conn *hc = owner;
    mb_metric_inc(hc->ingress->metrics.cx_protocol_error);
    mb_worker_log(hc->ingress->worker, MB_LOG_DEBUG, "http", "connection %llu refused: %s (%s)",
                  (unsigned long long)hc->id, error->reason, error->details);
    hc->draining = true;
    if (cs == NULL) {
        close_later(hc, MB_CLOSE_FLUSH_LINGER);
        return;
    }
    mb_stream *stream = (mb_stream *)cs;
    mb_slice text = mb_http_reason(error->status);
    hc->codec->vtable->shut_down(hc->codec, &hc->conn->out);
    mb_stream_local_reply(stream, error->status, MB_FLAG_DOWNSTREAM_PROTOCOL,
                          (mb_slice){error->details, strlen(error->details)}, text);
}

static const mb_codec_events codec_events = {
    .on_begin = on_begin,
    .on_headers = on_headers,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_reset = on_reset,
    .on_error = on_error,
};

/* What the connection does next, when no stream runs: close, wait for the next request, or read
 * the one that is there already. */
static void go_on(mb_http_conn *hc) {
    if (hc->closing || hc->stream_count > 0) {
        return;
    }
    bool input_over = hc->read_ended && hc->conn->in.length == 0;
    if (!hc->codec->vtable->reusable(hc->codec) || hc->draining || input_over) {
        close_later(hc, MB_CLOSE_FLUSH_LINGER);
        return;
    }
    arm(hc, &hc->idle_timer, config_of(hc)->timeouts.idle_us);
}

void mb__http_conn_read_on(mb_http_conn *hc) {
    if (hc->read_blocked) {
        hc->read_blocked = false;
        mb_conn_read_enable(hc->conn);
    }
    if (hc->conn->in.length > 0) {
        mb_conn_read_again(hc->conn);
    }
}

void mb__http_conn_stream_done(mb_http_conn *hc, mb_stream *stream) {
    mb_loop_disarm(&hc->head_timer);
    mb_list_remove(&stream->owner_node);
    hc->stream_count--;
    mb_list_push_back(&hc->dying, &stream->owner_node);
    if (hc->in_codec) {
        return; /* on_data goes on */
    }
    if (hc->closing) {
        if (!hc->conn->closed) {
            free_dying(hc);
        }
        return; /* else on_close is on the stack */
    }
    free_dying(hc);
    go_on(hc);
    if (!hc->closing) {
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

/* Between two requests, and the next one may begin. */
static bool may_begin(const mb_http_conn *hc) {
    return hc->stream_count == 0 && !hc->above_high && !hc->closing &&
           hc->codec->vtable->reusable(hc->codec);
}

static void on_data(void *owner, mb_conn *conn) {
    mb_http_conn *hc = owner;
    int rc = MB_EAGAIN;
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
    } else if (rc == MB_EAGAIN && conn->in.length >= hc->ingress->config->buffer_limit_bytes &&
               !hc->read_blocked) {
        hc->read_blocked = true;
        mb_conn_read_disable(conn);
    } else if (rc == MB_OK && hc->read_ended) {
        end_input(hc);
    }
    go_on(hc);
}

static void on_read_end(void *owner, mb_conn *conn) {
    mb_http_conn *hc = owner;
    (void)conn;
    hc->read_ended = true;
    if (!hc->input_waits) {
        end_input(hc);
    } /* else on_data does, once the present stream is over */
    go_on(hc);
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
    MB_LIST_FOREACH(&hc->streams, node) {
        mb_stream *stream = MB_LIST_ENTRY(node, mb_stream, owner_node);
        mb__http_stream_activity(stream);
        mb_stream_pause_response(stream, false);
    }
    if (hc->stream_count == 0) {
        mb__http_conn_read_on(hc); /* requests may wait for this */
    }
}

static const mb_conn_events conn_events = {
    .on_data = on_data,
    .on_read_end = on_read_end,
    .on_above_high = on_above_high,
    .on_below_low = on_below_low,
    .on_close = on_close,
};

/* -- timers ------------------------------------------------------------------------------------ */

static void on_idle(mb_timer *timer) {
    mb_http_conn *hc = MB_LIST_ENTRY(timer, mb_http_conn, idle_timer);
    mb_metric_inc(hc->ingress->metrics.cx_idle_timeout);
    close_later(hc, MB_CLOSE_FLUSH_LINGER);
}

static void on_head_timeout(mb_timer *timer) {
    mb_http_conn *hc = MB_LIST_ENTRY(timer, mb_http_conn, head_timer);
    mb_list_node *node = mb_list_back(&hc->streams);
    if (node != NULL) {
        mb_metric_inc(hc->ingress->metrics.rq_header_timeout);
        hc->draining = true;
        mb_stream_local_reply(MB_LIST_ENTRY(node, mb_stream, owner_node), 408, 0,
                              MB_SLICE_LIT("request_header_timeout"),
                              MB_SLICE_LIT("request header timeout"));
    }
}

static void on_max_duration(mb_timer *timer) {
    mb_http_conn *hc = MB_LIST_ENTRY(timer, mb_http_conn, duration_timer);
    mb_metric_inc(hc->ingress->metrics.cx_max_duration);
    mb_http_conn_drain(hc);
}

/* -- beginning --------------------------------------------------------------------------------- */

static mb_http_conn *make(mb_ingress *ingress, int fd, const mb_address *remote) {
    mb_worker *worker = ingress->worker;
    mb_http_conn *hc = worker->allocator->alloc(worker->allocator->ctx, sizeof(*hc));
    if (hc == NULL) {
        close(fd);
        return NULL;
    }
    *hc = (mb_http_conn){.ingress = ingress,
                         .id = mb__server_next_conn_id(ingress->server),
                         .opened_us = mb_loop_now_us(worker->loop),
                         .reset_task.run = reset_now,
                         .idle_timer.on_expire = on_idle,
                         .head_timer.on_expire = on_head_timeout,
                         .duration_timer.on_expire = on_max_duration};
    mb_list_init(&hc->streams);
    mb_list_init(&hc->dying);
    hc->codec = mb_h1_server_new(worker->allocator, &config_of(hc)->codec, &codec_events, hc);
    mb_transport *transport = NULL;
    if (hc->codec != NULL) {
        transport = mb_plain_transport_new(worker->allocator, fd);
    } else {
        close(fd);
    }
    if (transport != NULL) {
        hc->conn = mb_conn_new(&worker->net, transport, fd, remote, &conn_events, hc);
    }
    if (hc->conn == NULL) {
        if (hc->codec != NULL) {
            hc->codec->vtable->free(hc->codec);
        }
        worker->allocator->free(worker->allocator->ctx, hc, sizeof(*hc));
        return NULL;
    }
    return hc;
}

void mb_http_conn_accept(mb_ingress *ingress, int fd, const mb_address *remote) {
    mb_http_conn *hc = make(ingress, fd, remote);
    if (hc == NULL) {
        mb_listener_release(ingress->listener);
        return;
    }
    ingress->refs++;
    ingress->conn_count++;
    mb_list_push_back(&ingress->conns, &hc->node);
    const mb_http_metrics *metrics = &ingress->metrics;
    mb_metric_inc(metrics->cx_total);
    mb_metric_inc(metrics->cx_http1);
    mb_metric_add(metrics->cx_active, 1);
    mb_metric_inc(metrics->listener_cx_total);
    mb_metric_add(metrics->listener_cx_active, 1);
    mb_conn_set_watermark(hc->conn, ingress->config->buffer_limit_bytes);
    const mb_hcm_timeouts *timeouts = &config_of(hc)->timeouts;
    arm(hc, &hc->idle_timer, timeouts->idle_us);
    arm(hc, &hc->duration_timer, timeouts->max_connection_duration_us);
    if (ingress->draining) {
        hc->draining = true; /* accepted out of the queue while the listener stops: one answer */
        hc->codec->vtable->shut_down(hc->codec, &hc->conn->out);
    }
}
