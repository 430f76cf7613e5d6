/*
 * Life of an upstream connection, and the requests on it: see client.h. What it hears is in
 * client_events.c.
 */
#include "upstream/client_internal.h"

#include "base/alloc.h"

static const mb_slice nothing = {"", 0};

/* -- the end of a client ---------------------------------------------------------------------- */

static void run_free(mb_task *task) {
    mb_client *client = MB_LIST_ENTRY(task, mb_client, free_task);
    mb_upstream_host *host = client->host;
    const mb_allocator *allocator = mb__client_cluster(client)->worker->allocator;

    client->codec->vtable->free(client->codec);
    mb_buffer_fini(&client->body);
    mb_free(allocator, client, sizeof *client);
    mb_host_unref(host);
}

static void count_bytes(mb_client *client) {
    mb_cluster_stats *stats = &mb__client_cluster(client)->stats;
    mb_conn *conn = client->conn;

    mb_metric_add(stats->upstream_cx_rx_bytes_total,
                  (int64_t)(conn->bytes_read - client->counted_read));
    mb_metric_add(stats->upstream_cx_tx_bytes_total,
                  (int64_t)(conn->bytes_written - client->counted_written));
    client->counted_read = conn->bytes_read;
    client->counted_written = conn->bytes_written;
}

static void count_destroyed(const mb_cluster_stats *stats, bool remote, bool active) {
    mb_metric_inc(stats->upstream_cx_destroy);
    mb_metric_inc(remote ? stats->upstream_cx_destroy_remote : stats->upstream_cx_destroy_local);
    if (active) {
        mb_metric_inc(stats->upstream_cx_destroy_with_active_rq);
        mb_metric_inc(remote ? stats->upstream_cx_destroy_remote_with_active_rq
                             : stats->upstream_cx_destroy_local_with_active_rq);
    }
}

void mb_client_close(mb_client *client, bool remote) {
    mb_cluster *cluster = mb__client_cluster(client);
    bool active = client->state == MB_CLIENT_BUSY && !client->complete;

    if (client->state == MB_CLIENT_CLOSED) {
        return;
    }
    if (client->state == MB_CLIENT_CONNECTING) {
        client->pool->connecting_count--;
    }
    client->state = MB_CLIENT_CLOSED;
    mb_list_remove(&client->node);
    mb_breaker_give(&cluster->circuit.connections);
    client->host->stats.cx_active--;
    mb_metric_add(cluster->stats.upstream_cx_active, -1);
    mb_metric_record(cluster->stats.upstream_cx_length_ms,
                     mb__client_now_us(client) - client->created_us);
    count_destroyed(&cluster->stats, remote, active);
    count_bytes(client);
    mb_conn_free(client->conn);
    client->conn = NULL;
    mb_loop_defer(cluster->worker->loop, MB_PHASE_FREE, &client->free_task);
}

void mb__client_close_and_tell(mb_client *client, bool remote) {
    mb_client_close(client, remote);
    mb__pool_client_gone(client->pool);
}

/* -- requests on it --------------------------------------------------------------------------- */

/* The request leaves the client; what is counted of it is settled. */
static mb_upstream_request *detach(mb_client *client) {
    mb_upstream_request *request = client->request;
    mb_cluster *cluster = mb__client_cluster(client);
    mb_conn *conn = client->conn;

    client->request = NULL;
    if (client->paused) {
        client->paused = false;
        mb_conn_read_enable(conn);
    }
    request->state = MB_REQUEST_OVER;
    request->client = NULL;
    request->sent = conn->bytes_written > request->sent_base;
    request->bytes_sent = request->sent ? conn->bytes_written - request->sent_base : 0;
    request->bytes_received = conn->bytes_read - request->received_base;
    request->received = request->bytes_received > 0;
    mb_breaker_give(&cluster->circuit.requests);
    mb_metric_add(cluster->stats.upstream_rq_active, -1);
    client->host->stats.rq_active--;
    return request;
}

void mb__client_fail(mb_client *client, mb_upstream_failure why) {
    mb_upstream_request *request = client->request;

    if (request == NULL) {
        return;
    }
    client->host->stats.rq_error++;
    mb__request_fail(detach(client), why, nothing);
}

void mb__client_fail_cut(mb_client *client) {
    bool received =
        client->request != NULL && client->conn->bytes_read > client->request->received_base;

    if (client->request != NULL && !received) {
        mb_metric_inc(mb__client_cluster(client)->stats.upstream_rq_rx_reset);
    } else if (received) {
        mb_metric_inc(mb__client_cluster(client)->stats.upstream_cx_protocol_error);
    }
    mb__client_fail(client, received ? MB_UPSTREAM_PROTOCOL : MB_UPSTREAM_TERMINATED);
}

mb_upstream_request *mb__client_finish(mb_client *client) {
    mb_upstream_request *request = detach(client);

    client->complete = client->stream.local_ended;
    client->host->stats.rq_success++;
    mb_host_unref(request->host); /* the client has its own reference */
    return request;
}

bool mb_client_usable(const mb_client *client) {
    uint64_t limit_us = mb__client_cluster(client)->settings.max_connection_duration_us;

    if (limit_us != 0 && mb__client_now_us(client) - client->created_us >= limit_us) {
        mb_metric_inc(mb__client_cluster(client)->stats.upstream_cx_max_duration_reached);
        return false;
    }
    return !client->broken && !client->conn->read_ended && !client->conn->write_failed;
}

static bool reusable(mb_client *client) {
    uint32_t limit = mb__client_cluster(client)->settings.max_requests_per_connection;

    /* Above the watermark: what the next request sends would have no back-pressure to hear of. */
    if (!client->complete || client->conn->in.length > 0 || client->conn->above_high ||
        !client->codec->vtable->reusable(client->codec)) {
        return false;
    }
    if (limit != 0 && client->served >= limit) {
        mb_metric_inc(mb__client_cluster(client)->stats.upstream_cx_max_requests);
        return false;
    }
    return mb_client_usable(client);
}

void mb__client_settle(mb_client *client) {
    bool remote = client->broken || client->end_owed;

    if (client->state == MB_CLIENT_CLOSED || client->request != NULL) {
        return;
    }
    if (client->state == MB_CLIENT_BUSY && !client->broken && reusable(client)) {
        count_bytes(client);
        mb_list_remove(&client->node);
        mb__pool_client_free(client->pool, client);
    } else {
        mb__client_close_and_tell(client, remote);
    }
}

void mb_client_attach(mb_client *client, mb_upstream_request *request) {
    mb_cluster *cluster = mb__client_cluster(client);
    mb_conn *conn = client->conn;

    client->state = MB_CLIENT_BUSY;
    mb_list_push_back(&client->pool->busy, &client->node);
    client->request = request;
    client->complete = false;
    client->stream = (mb_codec_stream){.headers = request->headers,
                                       .head = request->head,
                                       .trailers = request->trailers,
                                       .body = &client->body,
                                       .head_request = request->head_request};
    request->state = MB_REQUEST_RUNNING;
    request->client = client;
    request->reused = client->served > 0;
    request->sent_base = conn->bytes_written + conn->out.length;
    request->received_base = conn->bytes_read;
    client->served++;
    client->host->stats.rq_total++;
    client->host->stats.rq_active++;
    mb_metric_inc(cluster->stats.upstream_rq_total);
    mb_metric_inc(cluster->stats.upstream_rq_active);
    if (client->codec->vtable->begin(client->codec, &client->stream) != MB_OK) {
        client->broken = true;
        mb__client_fail(client, MB_UPSTREAM_LOCAL);
        mb__client_settle(client);
        return;
    }
    request->events->on_ready(request);
}

void mb_client_cancel(mb_client *client) {
    mb_upstream_request *request = client->request;

    mb_metric_inc(mb__client_cluster(client)->stats.upstream_rq_tx_reset);
    client->codec->vtable->reset(client->codec, &client->stream, MB_RESET_LOCAL,
                                 &client->conn->out);
    detach(client);
    mb_host_unref(request->host);
    if (!client->in_codec) {
        mb__client_close_and_tell(client, false);
    }
}

/* -- beginning -------------------------------------------------------------------------------- */

static void count_created(mb_client *client) {
    mb_cluster *cluster = mb__client_cluster(client);

    mb_breaker_force(&cluster->circuit.connections);
    client->host->stats.cx_total++;
    client->host->stats.cx_active++;
    mb_metric_inc(cluster->stats.upstream_cx_total);
    mb_metric_inc(cluster->stats.upstream_cx_http1_total);
    mb_metric_inc(cluster->stats.upstream_cx_active);
}

mb_client *mb_client_new(mb_pool *pool) {
    mb_cluster *cluster = pool->host->cluster;
    mb_worker *worker = cluster->worker;
    mb_client *client = mb_zalloc(worker->allocator, sizeof *client);

    if (client == NULL) {
        return NULL;
    }
    client->codec = mb_h1_client_new(worker->allocator, &cluster->settings.codec,
                                     &mb__client_codec_events, client);
    if (client->codec != NULL) {
        const mb_connect_options options = {.remote = &pool->host->address,
                                            .timeout_us = cluster->settings.connect_timeout_us};

        client->conn = mb_conn_connect(&worker->net, &options, &mb__client_conn_events, client);
    }
    if (client->conn == NULL) {
        if (client->codec != NULL) {
            client->codec->vtable->free(client->codec);
        }
        mb_free(worker->allocator, client, sizeof *client);
        return NULL;
    }
    mb_conn_set_watermark(client->conn, cluster->settings.buffer_limit_bytes);
    mb_buffer_init(&client->body, worker->slabs);
    client->pool = pool;
    client->host = mb_host_ref(pool->host);
    client->free_task.run = run_free;
    client->state = MB_CLIENT_CONNECTING;
    client->created_us = mb_loop_now_us(worker->loop);
    mb_list_push_back(&pool->connecting, &client->node);
    pool->connecting_count++;
    count_created(client);
    return client;
}

/* -- sending ---------------------------------------------------------------------------------- */

int mb_upstream_send_headers(mb_upstream_request *request, const mb_headers *headers,
                             bool end_stream) {
    mb_client *client = request->client;
    int rc = client->codec->vtable->send_headers(client->codec, &client->stream, headers,
                                                 end_stream, &client->conn->out);

    if (rc >= 0) {
        mb_conn_flush_later(client->conn);
    }
    return rc;
}

int mb_upstream_send_body(mb_upstream_request *request, mb_buffer *data, bool end_stream) {
    mb_client *client = request->client;
    int rc = client->codec->vtable->send_body(client->codec, &client->stream, data, end_stream,
                                              &client->conn->out);

    if (rc >= 0) {
        mb_conn_flush_later(client->conn);
    }
    return rc;
}

int mb_upstream_send_trailers(mb_upstream_request *request, const mb_headers *trailers) {
    mb_client *client = request->client;
    int rc = client->codec->vtable->send_trailers(client->codec, &client->stream, trailers,
                                                  &client->conn->out);

    if (rc >= 0) {
        mb_conn_flush_later(client->conn);
    }
    return rc;
}

void mb_upstream_pause(mb_upstream_request *request, bool paused) {
    mb_client *client = request->client;

    if (client == NULL || client->paused == paused) {
        return;
    }
    client->paused = paused;
    client->codec->vtable->pause(client->codec, &client->stream, paused);
    if (paused) {
        mb_metric_inc(mb__client_cluster(client)->stats.upstream_flow_control_paused_reading_total);
        mb_conn_read_disable(client->conn);
    } else {
        mb_metric_inc(
            mb__client_cluster(client)->stats.upstream_flow_control_resumed_reading_total);
        mb_conn_read_enable(client->conn);
    }
}

bool mb_upstream_unsent(const mb_upstream_request *request) {
    return request->client != NULL && request->client->conn->bytes_written <= request->sent_base;
}

const mb_address *mb_upstream_local(const mb_upstream_request *request) {
    return request->client == NULL ? NULL : &request->client->conn->local;
}
