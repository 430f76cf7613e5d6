/*
 * Requests on an upstream connection: see client.h.
 */
#include "upstream/client_internal.h"

#include "base/alloc.h"

static const mb_slice nothing = {"", 0};

/* -- streams ---------------------------------------------------------------------------------- */

/* NULL: out of memory. */
static mb_client_stream *take_stream(mb_client *client) {
    mb_worker *worker = mb__client_cluster(client)->worker;
    mb_client_stream *stream;
    mb_list_node *node;

    if (!client->multiplexed) {
        return &client->only;
    }
    node = mb_list_pop_front(&client->spare);
    if (node != NULL) {
        return MB_LIST_ENTRY(node, mb_client_stream, node);
    }
    stream = mb_zalloc(worker->allocator, sizeof *stream);
    if (stream != NULL) {
        mb_buffer_init(&stream->body, worker->slabs);
    }
    return stream;
}

/* Nobody needs it any more. */
static void give_stream(mb_client *client, mb_client_stream *stream) {
    if (client->multiplexed) {
        mb_buffer_clear(&stream->body);
        mb_list_push_front(&client->spare, &stream->node);
    }
}

void mb__client_leave(mb_client *client, mb_client_stream *stream) {
    stream->in_event = false;
    if (stream->request == NULL) {
        give_stream(client, stream);
    }
}

/* -- the end of a request --------------------------------------------------------------------- */

/* What is known of its bytes. Those of one stream among many are counted where they pass; that it
 * has left is certain only when nothing behind it has either. */
static void settle_bytes(const mb_client *client, const mb_client_stream *stream,
                         mb_upstream_request *request) {
    const mb_conn *conn = client->conn;

    request->sent = conn->bytes_written > request->sent_base;
    if (client->multiplexed) {
        request->received = stream->answered;
        return;
    }
    request->bytes_sent = request->sent ? conn->bytes_written - request->sent_base : 0;
    request->bytes_received = conn->bytes_read - request->received_base;
    request->received = request->bytes_received > 0;
}

/* The request leaves its stream; what is counted of it is settled. */
static mb_upstream_request *detach(mb_client *client, mb_client_stream *stream) {
    mb_upstream_request *request = stream->request;
    mb_cluster *cluster = mb__client_cluster(client);

    stream->request = NULL;
    mb_list_remove(&stream->node);
    client->running_count--;
    client->full = false; /* `begin` will say */
    if (stream->paused) {
        stream->paused = false;
        if (!client->multiplexed) {
            mb_conn_read_enable(client->conn);
        }
    }
    settle_bytes(client, stream, request);
    request->state = MB_REQUEST_OVER;
    request->client = NULL;
    request->stream = NULL;
    mb_breaker_give(&cluster->circuit.requests);
    mb_metric_add(cluster->stats.upstream_rq_active, -1);
    client->host->stats.rq_active--;
    return request;
}

void mb__client_fail(mb_client *client, mb_client_stream *stream, mb_upstream_failure why) {
    if (stream->request == NULL) {
        return;
    }
    client->host->stats.rq_error++;
    mb__client_enter(stream);
    mb__request_fail(detach(client, stream), why, nothing);
    mb__client_leave(client, stream);
}

static void fail_cut(mb_client *client, mb_client_stream *stream) {
    mb_cluster_stats *stats = &mb__client_cluster(client)->stats;
    bool received = client->multiplexed ? stream->answered
                                        : client->conn->bytes_read > stream->request->received_base;

    bool in_tunnel = stream->codec.tunnel && stream->answered;

    if (received && !client->multiplexed && !in_tunnel) {
        mb_metric_inc(stats->upstream_cx_protocol_error);
        mb__client_fail(client, stream, MB_UPSTREAM_PROTOCOL);
    } else {
        mb_metric_inc(stats->upstream_rq_rx_reset);
        mb__client_fail(client, stream, MB_UPSTREAM_TERMINATED);
    }
}

void mb__client_fail_cut(mb_client *client) {
    mb_list_node *node;

    client->cut |= client->running_count > 0;
    while ((node = mb_list_front(&client->running)) != NULL) {
        fail_cut(client, MB_LIST_ENTRY(node, mb_client_stream, node));
    }
}

/* The codec keeps the request back, or gives it back, with the next event. */
static bool is_held(const mb_client *client, const mb_client_stream *stream) {
    return client->multiplexed && stream->codec.upgrade_request && stream->codec.id == 0;
}

static mb_client_stream *first_held(const mb_client *client) {
    MB_LIST_FOREACH(&client->running, node) {
        mb_client_stream *stream = MB_LIST_ENTRY(node, mb_client_stream, node);

        if (is_held(client, stream)) {
            return stream;
        }
    }
    return NULL;
}

void mb__client_on_settings_late(mb_timer *timer) {
    mb_client *client = MB_LIST_ENTRY(timer, mb_client, settings_timer);
    mb_client_stream *stream;

    while ((stream = first_held(client)) != NULL) {
        client->codec->vtable->reset(client->codec, &stream->codec, MB_RESET_LOCAL,
                                     &client->conn->out);
        client->host->stats.rq_error++;
        mb__client_enter(stream);
        mb__request_fail(detach(client, stream), MB_UPSTREAM_CONNECT_TIMEOUT,
                         MB_SLICE_LIT("no HTTP/2 SETTINGS"));
        mb__client_leave(client, stream);
    }
    mb_loop_defer(mb__client_cluster(client)->worker->loop, MB_PHASE_NOTIFY, &client->work_task);
}

mb_upstream_request *mb__client_finish(mb_client *client, mb_client_stream *stream) {
    mb_upstream_request *request = detach(client, stream);

    client->complete = stream->codec.local_ended;
    if (client->multiplexed && !stream->codec.local_ended) {
        /* Answered before it was asked in full: nobody wants the rest. */
        client->codec->vtable->reset(client->codec, &stream->codec, MB_RESET_LOCAL,
                                     &client->conn->out);
        mb_conn_flush_later(client->conn);
    }
    client->host->stats.rq_success++;
    mb_host_unref(request->host); /* the client has its own reference */
    return request;
}

void mb_client_cancel(mb_client *client, mb_upstream_request *request) {
    mb_client_stream *stream = request->stream;

    mb_metric_inc(mb__client_cluster(client)->stats.upstream_rq_tx_reset);
    client->codec->vtable->reset(client->codec, &stream->codec, MB_RESET_LOCAL, &client->conn->out);
    detach(client, stream);
    mb_host_unref(request->host);
    if (!stream->in_event) {
        give_stream(client, stream);
    }
    if (client->multiplexed) {
        mb_conn_flush_later(client->conn);
        mb_loop_defer(mb__client_cluster(client)->worker->loop, MB_PHASE_NOTIFY,
                      &client->work_task);
    } else if (!client->in_codec) {
        mb__client_close_and_tell(client, false);
    }
}

/* -- the beginning of a request --------------------------------------------------------------- */

int mb_client_begin(mb_client *client, mb_upstream_request *request) {
    mb_client_stream *stream = take_stream(client);
    int rc;

    if (stream == NULL) {
        return MB_ENOMEM;
    }
    stream->codec = (mb_codec_stream){.headers = request->headers,
                                      .head = request->head,
                                      .trailers = request->trailers,
                                      .body = &stream->body,
                                      .head_request = request->head_request,
                                      .tunnel = request->tunnel};
    if (client->multiplexed) {
        mb_h2_keepalive_wake(&client->keepalive, client->read_us);
    }
    rc = client->codec->vtable->begin(client->codec, &stream->codec);
    if (rc != MB_OK) {
        client->full = rc == MB_EAGAIN && client->multiplexed;
        give_stream(client, stream);
        return client->full ? MB_EAGAIN : rc == MB_EAGAIN ? MB_ECLOSED : rc;
    }
    stream->answered = false;
    stream->request = request;
    request->stream = stream;
    request->client = client;
    mb_list_push_back(&client->running, &stream->node);
    client->running_count++;
    client->complete = false;
    return MB_OK;
}

/* HTTP/2: the last one that the settings allow has begun. */
static void check_served(mb_client *client) {
    const mb_cluster *cluster = mb__client_cluster(client);
    uint32_t limit = cluster->settings.max_requests_per_connection;

    if (limit != 0 && client->served >= limit && !client->draining) {
        client->draining = true;
        mb_metric_inc(cluster->stats.upstream_cx_max_requests);
    }
}

void mb_client_start(mb_client *client, mb_upstream_request *request) {
    mb_cluster *cluster = mb__client_cluster(client);
    mb_conn *conn = client->conn;

    request->state = MB_REQUEST_RUNNING;
    request->reused = client->served > 0;
    request->multiplexed = client->multiplexed;
    request->sent_base = conn->bytes_written + conn->out.length;
    request->received_base = conn->bytes_read;
    client->served++;
    client->host->stats.rq_total++;
    client->host->stats.rq_active++;
    mb_metric_inc(cluster->stats.upstream_rq_total);
    mb_metric_inc(cluster->stats.upstream_rq_active);
    if (client->multiplexed) {
        check_served(client);
    }
    mb__client_place(client);
    request->events->on_ready(request);
}

/* -- sending ---------------------------------------------------------------------------------- */

/* The end of a tunnel's body, where nothing else says it, is our FIN behind it: the other direction
 * goes on. */
static void sent(mb_client *client, const mb_client_stream *stream, int rc) {
    if (rc < 0) {
        return;
    }
    if (!client->multiplexed && stream->codec.local_ended &&
        (stream->codec.connect_request || stream->codec.upgrade_request)) {
        mb_conn_end_write(client->conn);
    } else {
        mb_conn_flush_later(client->conn);
    }
}

/* Our end of a tunnel whose other end came before: nothing is left to happen to the request, and no
 * event tells of that. */
static void finish_tunnel(mb_client *client, const mb_upstream_request *request,
                          mb_client_stream *stream) {
    const mb_codec_stream *codec = &stream->codec;

    if (stream->request != request || !codec->tunnel_open || !codec->remote_ended ||
        !codec->local_ended) {
        return;
    }
    (void)mb__client_finish(client, stream);
    if (!stream->in_event) {
        give_stream(client, stream);
    }
    mb_loop_defer(mb__client_cluster(client)->worker->loop, MB_PHASE_NOTIFY, &client->work_task);
}

int mb_upstream_send_headers(mb_upstream_request *request, const mb_headers *headers,
                             bool end_stream) {
    mb_client *client = request->client;
    mb_client_stream *stream = request->stream;
    mb_loop *loop = mb__client_cluster(client)->worker->loop;
    uint64_t timeout_us = mb__client_cluster(client)->settings.connect_timeout_us;
    int rc = client->codec->vtable->send_headers(client->codec, &stream->codec, headers, end_stream,
                                                 &client->conn->out);

    sent(client, stream, rc);
    if (rc >= 0 && (client->raw || is_held(client, stream))) { /* it may have its answer already */
        mb_loop_defer(loop, MB_PHASE_NOTIFY, &client->work_task);
    }
    if (rc >= 0 && is_held(client, stream) && !client->heard && timeout_us != 0 &&
        !mb_timer_armed(&client->settings_timer)) {
        mb_loop_arm(loop, &client->settings_timer, timeout_us);
    }
    return rc;
}

int mb_upstream_send_body(mb_upstream_request *request, mb_buffer *data, bool end_stream) {
    mb_client *client = request->client;
    mb_client_stream *stream = request->stream;
    size_t length = data->length;
    int rc;

    request->bytes_sent += client->multiplexed ? length : 0;
    /* The owner may be told of back-pressure in here, and give the request up. */
    rc = client->codec->vtable->send_body(client->codec, &stream->codec, data, end_stream,
                                          &client->conn->out);
    sent(client, stream, rc);
    finish_tunnel(client, request, stream);
    return rc;
}

int mb_upstream_send_trailers(mb_upstream_request *request, const mb_headers *trailers) {
    mb_client *client = request->client;
    mb_client_stream *stream = request->stream;
    int rc = client->codec->vtable->send_trailers(client->codec, &stream->codec, trailers,
                                                  &client->conn->out);

    sent(client, stream, rc);
    finish_tunnel(client, request, stream);
    return rc;
}

void mb_upstream_pause(mb_upstream_request *request, bool paused) {
    mb_client *client = request->client;
    mb_cluster_stats *stats;

    if (client == NULL || request->stream->paused == paused) {
        return;
    }
    stats = &mb__client_cluster(client)->stats;
    mb_metric_inc(paused ? stats->upstream_flow_control_paused_reading_total
                         : stats->upstream_flow_control_resumed_reading_total);
    request->stream->paused = paused;
    client->codec->vtable->pause(client->codec, &request->stream->codec, paused);
    if (client->multiplexed) {
        if (!paused) { /* what the codec kept comes with its next `receive` */
            mb_loop_defer(mb__client_cluster(client)->worker->loop, MB_PHASE_NOTIFY,
                          &client->work_task);
        }
    } else if (paused) {
        mb_conn_read_disable(client->conn);
    } else {
        mb_conn_read_enable(client->conn);
    }
}

bool mb_upstream_unsent(const mb_upstream_request *request) {
    return request->client != NULL && request->client->conn->bytes_written <= request->sent_base;
}

const mb_address *mb_upstream_local(const mb_upstream_request *request) {
    return request->client == NULL ? NULL : &request->client->conn->local;
}

const char *mb_upstream_protocol_name(const mb_upstream_request *request) {
    return request->client == NULL ? NULL : request->client->codec->vtable->protocol;
}
