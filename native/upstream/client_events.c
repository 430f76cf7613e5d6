/*
 * What a client hears from its codec and its connection: see client.h.
 */
#include "upstream/client_internal.h"

#include "base/prefetch.h"

#include "base/slice.h"
#include "upstream/connecting.h"

/* -- the codec's events ----------------------------------------------------------------------- */

static mb_client_stream *of(mb_codec_stream *stream) {
    return (mb_client_stream *)stream;
}

/* Before the owner hears of the end; returns the request. */
static mb_upstream_request *finish_if_over(mb_client *client, mb_client_stream *stream,
                                           bool end_stream) {
    return end_stream && !mb__client_half_open(stream) ? mb__client_finish(client, stream)
                                                       : stream->request;
}

static void on_headers(void *owner, mb_codec_stream *codec_stream, bool end_stream) {
    mb_client *client = owner;
    mb_client_stream *stream = of(codec_stream);
    mb_upstream_request *request = stream->request;

    if (request != NULL) {
        stream->answered = true;
        mb__client_enter(stream);
        request = finish_if_over(client, stream, end_stream);
        request->events->on_headers(request, end_stream);
        mb__client_leave(client, stream);
    }
}

static void on_informational(void *owner, mb_codec_stream *codec_stream) {
    mb_client *client = owner;
    mb_client_stream *stream = of(codec_stream);

    if (stream->request != NULL) {
        stream->answered = true;
        mb__client_enter(stream);
        stream->request->events->on_informational(stream->request);
        mb__client_leave(client, stream);
    }
}

static void on_body(void *owner, mb_codec_stream *codec_stream, bool end_stream) {
    mb_client *client = owner;
    mb_client_stream *stream = of(codec_stream);
    mb_upstream_request *request = stream->request;

    if (request != NULL) {
        mb__client_enter(stream);
        request->bytes_received += client->multiplexed ? stream->body.length : 0;
        request = finish_if_over(client, stream, end_stream);
        request->events->on_body(request, &stream->body, end_stream);
        mb__client_leave(client, stream);
    }
    if (stream->body.length > 0) {
        mb_buffer_clear(&stream->body); /* nobody is left to take it */
    }
}

static void on_trailers(void *owner, mb_codec_stream *codec_stream) {
    mb_client *client = owner;
    mb_client_stream *stream = of(codec_stream);

    if (stream->request != NULL) {
        mb__client_enter(stream);
        mb_upstream_request *request = finish_if_over(client, stream, true);

        request->events->on_trailers(request);
        mb__client_leave(client, stream);
    }
}

static mb_upstream_failure failure_of(const mb_client *client, mb_reset_reason reason) {
    switch (reason) {
    case MB_RESET_REMOTE:
        return client->ending ? MB_UPSTREAM_TERMINATED : MB_UPSTREAM_RESET;
    case MB_RESET_REFUSED:
        return MB_UPSTREAM_REFUSED;
    case MB_RESET_UNABLE:
        return MB_UPSTREAM_UNABLE;
    case MB_RESET_PROTOCOL:
        return MB_UPSTREAM_PROTOCOL;
    case MB_RESET_LOCAL:
    case MB_RESET_UNWANTED:
        break;
    }
    return MB_UPSTREAM_LOCAL;
}

static void on_reset(void *owner, mb_codec_stream *codec_stream, mb_reset_reason reason) {
    mb_client *client = owner;
    mb_cluster_stats *stats = &mb__client_cluster(client)->stats;

    if (client->multiplexed) {
        if (reason != MB_RESET_UNABLE) { /* that was never on the wire */
            mb_metric_inc(reason == MB_RESET_LOCAL ? stats->upstream_rq_tx_reset
                                                   : stats->upstream_rq_rx_reset);
        }
        client->cut |= client->ending || reason == MB_RESET_PROTOCOL;
        mb__client_fail(client, of(codec_stream), failure_of(client, reason));
        return;
    }
    client->broken = true;
    if (reason == MB_RESET_PROTOCOL) {
        mb_metric_inc(stats->upstream_cx_protocol_error);
        mb__client_fail(client, &client->only, MB_UPSTREAM_PROTOCOL);
    } else {
        mb__client_fail_cut(client);
    }
}

/* What waits of the stream's own body has grown too long, or has sunk again. */
static void on_pressure(void *owner, mb_codec_stream *codec_stream, bool above) {
    mb_client *client = owner;
    mb_client_stream *stream = of(codec_stream);
    mb_cluster_stats *stats = &mb__client_cluster(client)->stats;

    if (stream->request != NULL) {
        mb_metric_inc(above ? stats->upstream_flow_control_backed_up_total
                            : stats->upstream_flow_control_drained_total);
        stream->request->events->on_pressure(stream->request, above);
    }
}

static void on_capacity(void *owner) {
    ((mb_client *)owner)->full = false; /* what waits is served when the codec is off the stack */
}

static void on_ping_ack(void *owner) {
    mb_h2_keepalive_on_ack(&((mb_client *)owner)->keepalive);
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
    if (!client->multiplexed) { /* HTTP/2 has reset each of its streams */
        mb__client_fail(client, &client->only, MB_UPSTREAM_PROTOCOL);
    }
}

const mb_codec_events mb__client_codec_events = {.on_headers = on_headers,
                                                 .on_informational = on_informational,
                                                 .on_body = on_body,
                                                 .on_trailers = on_trailers,
                                                 .on_reset = on_reset,
                                                 .on_pressure = on_pressure,
                                                 .on_capacity = on_capacity,
                                                 .on_ping_ack = on_ping_ack,
                                                 .on_error = on_error};

/* -- running the codec ------------------------------------------------------------------------ */

static bool is_paused(const mb_client *client) {
    for (mb_list_node *node = mb_list_front(&client->running); node != NULL;
         node = mb_list_next(&client->running, node)) {
        if (MB_LIST_ENTRY(node, mb_client_stream, node)->paused) {
            return true;
        }
    }
    return false;
}

void mb__client_run_many(mb_client *client, bool ended) {
    const mb_codec_vtable *vtable = client->codec->vtable;
    mb_conn *conn = client->conn;

    client->in_codec = true;
    client->cut = false;
    (void)vtable->receive(client->codec, &conn->in);
    if (ended) {
        client->draining = true;
        client->end_owed = is_paused(client); /* the codec may keep the rest of its response */
        if (!client->end_owed) {
            client->ending = true;
            vtable->receive_end(client->codec);
            client->broken = true;
        }
    }
    if (vtable->flush(client->codec, &conn->out) == MB_ENOMEM) {
        client->broken = true;
    }
    mb_conn_flush_later(conn);
    client->in_codec = false;
    mb__client_settle(client);
}

void mb__client_run_one(mb_client *client, bool ended) {
    client->in_codec = true;
    (void)client->codec->vtable->receive(client->codec, &client->conn->in);
    if (ended && client->running_count > 0 && !client->only.codec.remote_ended) {
        if (client->only.paused && client->conn->in.length > 0) {
            client->end_owed = true; /* the rest is parsed when the client reads again */
        } else {
            client->codec->vtable->receive_end(client->codec);
            client->broken = true;
            if (!mb__client_half_open(&client->only)) {
                mb__client_fail_cut(client); /* unless the codec took the end for the response's */
            }
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
    mb__client_fail(client, &client->only, MB_UPSTREAM_TERMINATED);
    client->in_codec = false;
    mb__client_settle(client);
}

/* -- the connection's events ------------------------------------------------------------------ */

static void on_connect_failed(mb_client *client, mb_conn *conn, mb_close_reason reason) {
    char text[MB_CONNECT_FAILURE_BYTES];
    mb_slice transport;
    mb_upstream_failure why =
        mb__upstream_connect_failure(client->host, conn, reason, text, &transport);

    mb_client_close(client, why != MB_UPSTREAM_CONNECT_LOCAL);
    mb__pool_connect_failed(client->pool, why, transport);
}

static bool has_agreed_on_h2(const mb_conn *conn) {
    const mb_tls_info *tls = mb_transport_tls(conn->transport);

    return tls != NULL && mb_slice_equal(tls->alpn, MB_SLICE_LIT("h2"));
}

static void on_connected(void *owner, mb_conn *conn) {
    mb_client *client = owner;
    mb_pool *pool = client->pool;

    if (client->codec == NULL &&
        mb__client_use_codec(client, has_agreed_on_h2(conn) ? MB_UPSTREAM_HTTP2
                                                            : MB_UPSTREAM_HTTP1) != MB_OK) {
        mb_client_close(client, false);
        mb__pool_connect_failed(pool, MB_UPSTREAM_CONNECT_LOCAL, (mb_slice){"", 0});
        return;
    }
    mb__upstream_count_connected(client->host, conn, client->created_us);
    pool->connecting_count--;
    client->complete = true;
    mb__pool_place(pool, client, MB_CLIENT_BUSY); /* until the pool says what for */
    if (client->multiplexed) {
        mb__client_open_many(client);
        mb__client_run_many(client, false);
    } else {
        mb__pool_offer(pool, client);
    }
}

static void on_data(void *owner, mb_conn *conn) {
    mb_client *client = owner;

    (void)conn;
    if (client->multiplexed) {
        client->heard = true;
        client->read_us = mb__client_now_us(client);
        mb__client_run_many(client, client->end_owed);
    } else if (!client->raw && client->running_count > 0 &&
               mb_upstream_unsent(client->only.request)) {
        refuse_unasked(client);
    } else {
        mb__client_run_one(client, client->end_owed);
    }
}

static void on_read_end(void *owner, mb_conn *conn) {
    mb_client *client = owner;

    (void)conn;
    if (client->state == MB_CLIENT_IDLE) {
        mb__client_close_and_tell(client, true);
    } else if (client->multiplexed) {
        mb__client_run_many(client, true);
    } else {
        mb__client_run_one(client, true);
    }
}

static void on_above_high(void *owner, mb_conn *conn) {
    mb_client *client = owner;

    (void)conn;
    if (!client->multiplexed && client->running_count > 0) {
        on_pressure(client, &client->only.codec, true);
    }
}

static void on_below_low(void *owner, mb_conn *conn) {
    mb_client *client = owner;

    (void)conn;
    if (client->multiplexed) {
        mb__client_run_many(client, client->end_owed);
    } else if (client->running_count > 0) {
        on_pressure(client, &client->only.codec, false);
    }
}

static void on_close(void *owner, mb_conn *conn, mb_close_reason reason) {
    mb_client *client = owner;

    if (client->state == MB_CLIENT_CONNECTING) {
        on_connect_failed(client, conn, reason);
        return;
    }
    client->broken = true;
    mb__client_retire(client);
    mb__client_fail_cut(client);
    mb__client_close_and_tell(client, true);
}

static void prefetch(void *owner, unsigned step) {
    mb_client *client = owner;

    const mb_upstream_request *request = client->only.request;

    if (step == 2) {
        mb_prefetch(client, sizeof *client);
        mb_prefetch(client->codec, MB_CODEC_PREFETCH_BYTES);
        mb_prefetch(request, sizeof *request);
    } else if (request != NULL && request->events->prefetch != NULL) {
        request->events->prefetch(request);
    }
}

const mb_conn_events mb__client_conn_events = {.on_connected = on_connected,
                                               .on_data = on_data,
                                               .on_read_end = on_read_end,
                                               .on_above_high = on_above_high,
                                               .on_below_low = on_below_low,
                                               .on_close = on_close,
                                               .prefetch = prefetch};
