/*
 * Life of an upstream connection and the events of its codec: see client.h.
 */
#include "upstream/client.h"

#include "base/alloc.h"
#include "upstream/cluster_state.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>

static const mb_slice nothing = {"", 0};

static mb_cluster *cluster_of(const mb_client *client) {
    return client->host->cluster;
}

static uint64_t now_us(const mb_client *client) {
    return mb_loop_now_us(cluster_of(client)->worker->loop);
}

/* -- the end of a client -------------------------------------------------------------------------
 */

static void run_free(mb_task *task) {
    mb_client *client = MB_LIST_ENTRY(task, mb_client, free_task);
    mb_upstream_host *host = client->host;
    const mb_allocator *allocator = cluster_of(client)->worker->allocator;

    client->codec->vtable->free(client->codec);
    mb_buffer_fini(&client->body);
    mb_free(allocator, client, sizeof *client);
    mb_host_unref(host);
}

static void count_bytes(mb_client *client) {
    mb_cluster_stats *stats = &cluster_of(client)->stats;
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
    mb_cluster *cluster = cluster_of(client);
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
    mb_metric_record(cluster->stats.upstream_cx_length_ms, now_us(client) - client->created_us);
    count_destroyed(&cluster->stats, remote, active);
    count_bytes(client);
    mb_conn_free(client->conn);
    client->conn = NULL;
    mb_loop_defer(cluster->worker->loop, MB_PHASE_FREE, &client->free_task);
}

static void close_and_tell(mb_client *client, bool remote) {
    mb_client_close(client, remote);
    mb__pool_client_gone(client->pool);
}

/* -- requests on it ------------------------------------------------------------------------------
 */

/* The request leaves the client; what is counted of it is settled. */
static mb_upstream_request *detach(mb_client *client) {
    mb_upstream_request *request = client->request;
    mb_cluster *cluster = cluster_of(client);
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

static void fail(mb_client *client, mb_upstream_failure why) {
    mb_upstream_request *request = client->request;

    if (request == NULL) {
        return;
    }
    client->host->stats.rq_error++;
    mb__request_fail(detach(client), why, nothing);
}

/* The upstream went away or reset the stream. Cut within a response it broke the protocol (Envoy's
 * codec says the same); before its first byte it may not have seen the request at all. */
static void fail_cut(mb_client *client) {
    bool received =
        client->request != NULL && client->conn->bytes_read > client->request->received_base;

    if (client->request != NULL && !received) {
        mb_metric_inc(cluster_of(client)->stats.upstream_rq_rx_reset);
    } else if (received) {
        mb_metric_inc(cluster_of(client)->stats.upstream_cx_protocol_error);
    }
    fail(client, received ? MB_UPSTREAM_PROTOCOL : MB_UPSTREAM_TERMINATED);
}

/* The response ended: the request is over before its owner hears of it, since the owner's memory
 * may go with that event. */
static mb_upstream_request *finish(mb_client *client) {
    mb_upstream_request *request = detach(client);

    client->complete = client->stream.local_ended;
    client->host->stats.rq_success++;
    mb_host_unref(request->host); /* the client has its own reference */
    return request;
}

bool mb_client_usable(const mb_client *client) {
    uint64_t limit_us = cluster_of(client)->settings.max_connection_duration_us;

    if (limit_us != 0 && now_us(client) - client->created_us >= limit_us) {
        mb_metric_inc(cluster_of(client)->stats.upstream_cx_max_duration_reached);
        return false;
    }
    return !client->broken && !client->conn->read_ended && !client->conn->write_failed;
}

static bool reusable(mb_client *client) {
    uint32_t limit = cluster_of(client)->settings.max_requests_per_connection;

    if (!client->complete || client->conn->in.length > 0 ||
        !client->codec->vtable->reusable(client->codec)) {
        return false;
    }
    if (limit != 0 && client->served >= limit) {
        mb_metric_inc(cluster_of(client)->stats.upstream_cx_max_requests);
        return false;
    }
    return mb_client_usable(client);
}

/* After the codec ran: what becomes of the connection, now that its request may be over. */
static void settle(mb_client *client) {
    bool remote = client->broken || client->end_owed;

    if (client->state == MB_CLIENT_CLOSED || client->request != NULL) {
        return;
    }
    if (client->state == MB_CLIENT_BUSY && !client->broken && reusable(client)) {
        count_bytes(client);
        mb_list_remove(&client->node);
        mb__pool_client_free(client->pool, client);
    } else {
        close_and_tell(client, remote);
    }
}

void mb_client_attach(mb_client *client, mb_upstream_request *request) {
    mb_cluster *cluster = cluster_of(client);
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
        fail(client, MB_UPSTREAM_LOCAL);
        settle(client);
        return;
    }
    request->events->on_ready(request);
}

void mb_client_cancel(mb_client *client) {
    mb_upstream_request *request = client->request;

    mb_metric_inc(cluster_of(client)->stats.upstream_rq_tx_reset);
    client->codec->vtable->reset(client->codec, &client->stream, MB_RESET_LOCAL,
                                 &client->conn->out);
    detach(client);
    mb_host_unref(request->host);
    if (!client->in_codec) {
        close_and_tell(client, false);
    }
}

/* -- the codec's events --------------------------------------------------------------------------
 */

static void on_headers(void *owner, mb_codec_stream *stream, bool end_stream) {
    mb_client *client = owner;
    mb_upstream_request *request = client->request;

    (void)stream;
    if (request != NULL) {
        request = end_stream ? finish(client) : request;
        request->events->on_headers(request, end_stream);
    }
}

static void on_informational(void *owner, mb_codec_stream *stream) {
    mb_client *client = owner;

    (void)stream;
    if (client->request != NULL) {
        client->request->events->on_informational(client->request);
    }
}

static void on_body(void *owner, mb_codec_stream *stream, bool end_stream) {
    mb_client *client = owner;
    mb_upstream_request *request = client->request;

    (void)stream;
    if (request != NULL) {
        request = end_stream ? finish(client) : request;
        request->events->on_body(request, &client->body, end_stream);
    }
    if (client->body.length > 0) {
        mb_buffer_clear(&client->body); /* nobody is left to take it */
    }
}

static void on_trailers(void *owner, mb_codec_stream *stream) {
    mb_client *client = owner;

    (void)stream;
    if (client->request != NULL) {
        mb_upstream_request *request = finish(client);

        request->events->on_trailers(request);
    }
}

static void on_reset(void *owner, mb_codec_stream *stream, mb_reset_reason reason) {
    mb_client *client = owner;

    (void)stream;
    client->broken = true;
    if (reason == MB_RESET_PROTOCOL) {
        mb_metric_inc(cluster_of(client)->stats.upstream_cx_protocol_error);
        fail(client, MB_UPSTREAM_PROTOCOL);
    } else {
        fail_cut(client);
    }
}

static void on_error(void *owner, mb_codec_stream *stream, const mb_protocol_error *error) {
    mb_client *client = owner;
    mb_cluster *cluster = cluster_of(client);
    mb_slice name = cluster->settings.name;

    (void)stream;
    client->broken = true;
    mb_metric_inc(cluster->stats.upstream_cx_protocol_error);
    mb_worker_log(cluster->worker, MB_LOG_DEBUG, "upstream", "cluster '%.*s': %s", (int)name.len,
                  name.ptr, error->reason);
    fail(client, MB_UPSTREAM_PROTOCOL);
}

static const mb_codec_events codec_events = {.on_headers = on_headers,
                                             .on_informational = on_informational,
                                             .on_body = on_body,
                                             .on_trailers = on_trailers,
                                             .on_reset = on_reset,
                                             .on_error = on_error};

/* -- the connection's events ---------------------------------------------------------------------
 */

static void set_keepalive(int fd, const mb_tcp_keepalive *keepalive) {
    const struct {
        int option;
        uint32_t value;
    } options[] = {{TCP_KEEPCNT, keepalive->probes},
                   {TCP_KEEPIDLE, keepalive->time_s},
                   {TCP_KEEPINTVL, keepalive->interval_s}};
    int on = 1;

    /* What the system refuses stays at its own value: no reason to lose the connection. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        int value = (int)options[i].value;

        if (value > 0) {
            (void)setsockopt(fd, IPPROTO_TCP, options[i].option, &value, sizeof value);
        }
    }
}

static void on_connected(void *owner, mb_conn *conn) {
    mb_client *client = owner;
    mb_cluster *cluster = cluster_of(client);

    mb_metric_record(cluster->stats.upstream_cx_connect_ms, now_us(client) - client->created_us);
    if (cluster->settings.keepalive.enabled && conn->io.fd >= 0) {
        set_keepalive(conn->io.fd, &cluster->settings.keepalive);
    }
    mb_list_remove(&client->node);
    client->pool->connecting_count--;
    client->state = MB_CLIENT_BUSY; /* until the pool says what for */
    client->complete = true;
    mb__pool_client_free(client->pool, client);
}

static void run_codec(mb_client *client, bool ended) {
    client->in_codec = true;
    (void)client->codec->vtable->receive(client->codec, &client->conn->in);
    if (ended && client->request != NULL) {
        if (client->paused && client->conn->in.length > 0) {
            client->end_owed = true; /* the rest is parsed when the client reads again */
        } else {
            client->codec->vtable->receive_end(client->codec);
            client->broken = true;
            fail_cut(client); /* unless the codec took the end for the response's */
        }
    }
    client->in_codec = false;
    settle(client);
}

static void on_data(void *owner, mb_conn *conn) {
    mb_client *client = owner;

    (void)conn;
    run_codec(client, client->end_owed);
}

static void on_read_end(void *owner, mb_conn *conn) {
    mb_client *client = owner;

    (void)conn;
    if (client->state == MB_CLIENT_IDLE) {
        close_and_tell(client, true);
    } else {
        run_codec(client, true);
    }
}

static void on_above_high(void *owner, mb_conn *conn) {
    mb_client *client = owner;

    (void)conn;
    if (client->request != NULL) {
        mb_metric_inc(cluster_of(client)->stats.upstream_flow_control_backed_up_total);
        client->request->events->on_pressure(client->request, true);
    }
}

static void on_below_low(void *owner, mb_conn *conn) {
    mb_client *client = owner;

    (void)conn;
    if (client->request != NULL) {
        mb_metric_inc(cluster_of(client)->stats.upstream_flow_control_drained_total);
        client->request->events->on_pressure(client->request, false);
    }
}

/* Errors of our own machine: the host has not been asked. */
static bool is_local(int error) {
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EADDRNOTAVAIL:
    case EACCES:
    case EPERM:
        return true;
    default:
        return false;
    }
}

static void on_connect_failed(mb_client *client, mb_close_reason reason, int error) {
    mb_cluster_stats *stats = &cluster_of(client)->stats;
    mb_upstream_failure why =
        is_local(error) ? MB_UPSTREAM_CONNECT_LOCAL : MB_UPSTREAM_CONNECT_FAILED;
    char cause[128] = "", text[160];
    int length = 0;

    mb_metric_inc(stats->upstream_cx_connect_fail);
    client->host->stats.cx_connect_fail++;
    if (reason == MB_CLOSED_CONNECT_TIMEOUT) {
        mb_metric_inc(stats->upstream_cx_connect_timeout);
        why = MB_UPSTREAM_CONNECT_TIMEOUT;
    } else if (error != 0 && strerror_r(error, cause, sizeof cause) == 0) {
        length = snprintf(text, sizeof text, "delayed connect error: %s", cause);
    }
    mb_client_close(client, why != MB_UPSTREAM_CONNECT_LOCAL);
    mb__pool_connect_failed(client->pool, why, (mb_slice){text, (size_t)length});
}

static void on_close(void *owner, mb_conn *conn, mb_close_reason reason) {
    mb_client *client = owner;

    if (client->state == MB_CLIENT_CONNECTING) {
        on_connect_failed(client, reason, mb_conn_errno(conn));
        return;
    }
    client->broken = true;
    fail_cut(client);
    close_and_tell(client, true);
}

static const mb_conn_events conn_events = {.on_connected = on_connected,
                                           .on_data = on_data,
                                           .on_read_end = on_read_end,
                                           .on_above_high = on_above_high,
                                           .on_below_low = on_below_low,
                                           .on_close = on_close};

/* -- beginning -----------------------------------------------------------------------------------
 */

static void count_created(mb_client *client) {
    mb_cluster *cluster = cluster_of(client);

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
    client->codec =
        mb_h1_client_new(worker->allocator, &cluster->settings.codec, &codec_events, client);
    if (client->codec != NULL) {
        client->conn = mb_conn_connect(&worker->net, &pool->host->address, NULL,
                                       cluster->settings.connect_timeout_us, &conn_events, client);
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

/* -- sending -------------------------------------------------------------------------------------
 */

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
        mb_metric_inc(cluster_of(client)->stats.upstream_flow_control_paused_reading_total);
        mb_conn_read_disable(client->conn);
    } else {
        mb_metric_inc(cluster_of(client)->stats.upstream_flow_control_resumed_reading_total);
        mb_conn_read_enable(client->conn);
    }
}

bool mb_upstream_unsent(const mb_upstream_request *request) {
    return request->client != NULL && request->client->conn->bytes_written <= request->sent_base;
}

const mb_address *mb_upstream_local(const mb_upstream_request *request) {
    return request->client == NULL ? NULL : &request->client->conn->local;
}
