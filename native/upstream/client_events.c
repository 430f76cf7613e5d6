/*
 * What a client hears from its codec and its connection: see client.h.
 */
#include "upstream/client_internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>

/* -- the codec's events ----------------------------------------------------------------------- */

static void on_headers(void *owner, mb_codec_stream *stream, bool end_stream) {
    mb_client *client = owner;
    mb_upstream_request *request = client->request;

    (void)stream;
    if (request != NULL) {
        request = end_stream ? mb__client_finish(client) : request;
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
        request = end_stream ? mb__client_finish(client) : request;
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
        mb_upstream_request *request = mb__client_finish(client);

        request->events->on_trailers(request);
    }
}

static void on_reset(void *owner, mb_codec_stream *stream, mb_reset_reason reason) {
    mb_client *client = owner;

    (void)stream;
    client->broken = true;
    if (reason == MB_RESET_PROTOCOL) {
        mb_metric_inc(mb__client_cluster(client)->stats.upstream_cx_protocol_error);
        mb__client_fail(client, MB_UPSTREAM_PROTOCOL);
    } else {
        mb__client_fail_cut(client);
    }
}

static void on_error(void *owner, mb_codec_stream *stream, const mb_protocol_error *error) {
    mb_client *client = owner;
    mb_cluster *cluster = mb__client_cluster(client);
    mb_slice name = cluster->settings.name;

    (void)stream;
    client->broken = true;
    mb_metric_inc(cluster->stats.upstream_cx_protocol_error);
    mb_worker_log(cluster->worker, MB_LOG_DEBUG, "upstream", "cluster '%.*s': %s", (int)name.len,
                  name.ptr, error->reason);
    mb__client_fail(client, MB_UPSTREAM_PROTOCOL);
}

const mb_codec_events mb__client_codec_events = {.on_headers = on_headers,
                                                 .on_informational = on_informational,
                                                 .on_body = on_body,
                                                 .on_trailers = on_trailers,
                                                 .on_reset = on_reset,
                                                 .on_error = on_error};

/* -- the connection's events ------------------------------------------------------------------ */

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
    mb_cluster *cluster = mb__client_cluster(client);

    mb_metric_record(cluster->stats.upstream_cx_connect_ms,
                     mb__client_now_us(client) - client->created_us);
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
            mb__client_fail_cut(client); /* unless the codec took the end for the response's */
        }
    }
    client->in_codec = false;
    mb__client_settle(client);
}

/* Bytes that come before a byte of the request has left answer nothing, however well they look:
 * the request goes to another connection. */
static void refuse_unasked(mb_client *client) {
    mb_buffer_clear(&client->conn->in);
    mb_metric_inc(mb__client_cluster(client)->stats.upstream_cx_protocol_error);
    client->broken = true;
    client->in_codec = true;
    mb__client_fail(client, MB_UPSTREAM_TERMINATED);
    client->in_codec = false;
    mb__client_settle(client);
}

static void on_data(void *owner, mb_conn *conn) {
    mb_client *client = owner;

    (void)conn;
    if (client->request != NULL && mb_upstream_unsent(client->request)) {
        refuse_unasked(client);
    } else {
        run_codec(client, client->end_owed);
    }
}

static void on_read_end(void *owner, mb_conn *conn) {
    mb_client *client = owner;

    (void)conn;
    if (client->state == MB_CLIENT_IDLE) {
        mb__client_close_and_tell(client, true);
    } else {
        run_codec(client, true);
    }
}

static void on_above_high(void *owner, mb_conn *conn) {
    mb_client *client = owner;

    (void)conn;
    if (client->request != NULL) {
        mb_metric_inc(mb__client_cluster(client)->stats.upstream_flow_control_backed_up_total);
        client->request->events->on_pressure(client->request, true);
    }
}

static void on_below_low(void *owner, mb_conn *conn) {
    mb_client *client = owner;

    (void)conn;
    if (client->request != NULL) {
        mb_metric_inc(mb__client_cluster(client)->stats.upstream_flow_control_drained_total);
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
    mb_cluster_stats *stats = &mb__client_cluster(client)->stats;
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
    mb__client_fail_cut(client);
    mb__client_close_and_tell(client, true);
}

const mb_conn_events mb__client_conn_events = {.on_connected = on_connected,
                                               .on_data = on_data,
                                               .on_read_end = on_read_end,
                                               .on_above_high = on_above_high,
                                               .on_below_low = on_below_low,
                                               .on_close = on_close};
