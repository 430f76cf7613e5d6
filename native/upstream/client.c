/*
 * Life of an upstream connection: see client.h. Its requests are in client_request.c, what it hears
 * in client_events.c.
 */
#include "upstream/client_internal.h"

#include "base/alloc.h"
#include "upstream/connecting.h"

/* -- the end of a client ---------------------------------------------------------------------- */

static void free_streams(const mb_allocator *allocator, mb_list *streams) {
    mb_list_node *node;

    while ((node = mb_list_pop_front(streams)) != NULL) {
        mb_client_stream *stream = MB_LIST_ENTRY(node, mb_client_stream, node);

        mb_buffer_fini(&stream->body);
        mb_free(allocator, stream, sizeof *stream);
    }
}

static void run_free(mb_task *task) {
    mb_client *client = MB_LIST_ENTRY(task, mb_client, free_task);
    mb_upstream_host *host = client->host;
    const mb_allocator *allocator = mb__client_cluster(client)->worker->allocator;

    if (client->codec != NULL) {
        client->codec->vtable->free(client->codec);
    }
    if (client->multiplexed) {
        mb__cluster_h2_changed(mb__client_cluster(client)); /* streams that it still had */
    }
    client->pool->client_count--;
    if (mb__pool_is_unused(client->pool)) {
        mb__host_pool_unused(client->pool);
    }
    free_streams(allocator, &client->spare);
    mb_buffer_fini(&client->only.body);
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

void mb_client_close(mb_client *client, bool remote) {
    mb_loop *loop = mb__client_cluster(client)->worker->loop;
    bool active = client->state == MB_CLIENT_BUSY && !client->complete;

    if (client->state == MB_CLIENT_CLOSED) {
        return;
    }
    if (client->multiplexed) {
        active = client->cut;
        mb_h2_keepalive_stop(&client->keepalive);
        mb_loop_disarm(&client->settings_timer);
    }
    if (client->state == MB_CLIENT_CONNECTING) {
        client->pool->connecting_count--;
    }
    mb_loop_cancel(&client->work_task);
    client->state = MB_CLIENT_CLOSED;
    mb_list_remove(&client->node);
    mb__upstream_count_closed(client->host, client->created_us, remote, active);
    count_bytes(client);
    mb_conn_free(client->conn);
    client->conn = NULL;
    mb_loop_defer(loop, MB_PHASE_FREE, &client->free_task);
}

void mb__client_close_and_tell(mb_client *client, bool remote) {
    mb_client_close(client, remote);
    mb__pool_client_gone(client->pool);
}

void mb_client_drain(mb_client *client) {
    client->draining = true;
    if (client->running_count == 0 && !client->in_codec) {
        mb_client_close(client, false);
    } else if (client->state != MB_CLIENT_BUSY) {
        mb__pool_place(client->pool, client, MB_CLIENT_BUSY);
    }
}

void mb__client_retire(mb_client *client) {
    client->draining = client->ending = true;
    if (client->state != MB_CLIENT_BUSY) {
        mb__pool_place(client->pool, client, MB_CLIENT_BUSY);
    }
}

/* -- what it may carry ------------------------------------------------------------------------ */

bool mb_client_usable(const mb_client *client) {
    uint64_t limit_us = mb__client_cluster(client)->settings.max_connection_duration_us;

    if (limit_us != 0 && mb__client_now_us(client) - client->created_us >= limit_us) {
        mb_metric_inc(mb__client_cluster(client)->stats.upstream_cx_max_duration_reached);
        return false;
    }
    return !client->broken && !client->conn->read_ended && !client->conn->write_failed;
}

bool mb_client_has_room(const mb_client *client) {
    if (client->state == MB_CLIENT_CLOSED || client->state == MB_CLIENT_CONNECTING) {
        return false;
    }
    if (!client->multiplexed) {
        return client->running_count == 0;
    }
    /* Before its SETTINGS came, an upstream is not asked for more than others of the host took. */
    if (!client->heard && client->running_count >= client->pool->streams_guess) {
        return false;
    }
    return !client->full && !client->draining && !client->broken &&
           client->codec->vtable->reusable(client->codec);
}

void mb__client_place(mb_client *client) {
    mb_client_state state = MB_CLIENT_BUSY;

    if (client->running_count == 0) {
        state = MB_CLIENT_IDLE;
    } else if (client->multiplexed && mb_client_has_room(client)) {
        state = MB_CLIENT_READY;
    }
    if (state != client->state) {
        mb__pool_place(client->pool, client, state);
    }
}

static bool reusable_after(mb_client *client) {
    mb_cluster *cluster = mb__client_cluster(client);
    uint32_t limit = cluster->settings.max_requests_per_connection;

    /* Above the watermark: what the next request sends would have no back-pressure to hear of. */
    if (!client->complete || client->conn->in.length > 0 || client->conn->above_high) {
        return false;
    }
    if (!client->codec->vtable->reusable(client->codec)) {
        mb_metric_inc(cluster->stats.upstream_cx_close_notify);
        return false;
    }
    if (limit != 0 && client->served >= limit) {
        mb_metric_inc(cluster->stats.upstream_cx_max_requests);
        return false;
    }
    return mb_client_usable(client);
}

/* Both ends of a tunnel were said, but ours waits behind bytes that the upstream takes slowly. */
static bool owes_end(const mb_client *client) {
    const mb_conn *conn = client->conn;

    return conn->write_ending && !conn->write_ended && !conn->write_failed;
}

static void settle_one(mb_client *client) {
    bool remote = client->broken || client->end_owed;

    if (client->running_count > 0 || client->flushing) {
        return;
    }
    if (client->state == MB_CLIENT_BUSY && !client->broken && reusable_after(client)) {
        count_bytes(client);
        mb__pool_offer(client->pool, client);
    } else if (client->complete && owes_end(client)) {
        client->flushing = true;
        mb__client_retire(client);
        mb_conn_close(client->conn, MB_CLOSE_FLUSH, MB_CONN_FINAL_FLUSH_US);
    } else {
        mb__client_close_and_tell(client, remote);
    }
}

static void settle_many(mb_client *client) {
    mb_cluster *cluster = mb__client_cluster(client);

    if (client->broken) {
        mb__client_retire(client);
        mb_loop_flush(cluster->worker->loop); /* GOAWAY says what is wrong */
        mb__client_fail_cut(client);          /* those that the codec did not reset itself */
    } else if (!client->draining && !client->codec->vtable->reusable(client->codec)) {
        client->draining = true; /* GOAWAY */
        mb_metric_inc(cluster->stats.upstream_cx_close_notify);
    }
    if (client->running_count == 0 && (client->draining || !mb_client_usable(client))) {
        mb__client_close_and_tell(client, client->broken || client->conn->read_ended);
        return;
    }
    count_bytes(client);
    mb__cluster_h2_changed(cluster);
    mb__pool_offer(client->pool, client);
}

void mb__client_settle(mb_client *client) {
    if (client->state == MB_CLIENT_CLOSED) {
        return;
    }
    if (client->multiplexed) {
        settle_many(client);
    } else {
        settle_one(client);
    }
}

/* -- beginning -------------------------------------------------------------------------------- */

static mb_codec *make_codec(mb_client *client, mb_upstream_protocol protocol) {
    mb_cluster *cluster = mb__client_cluster(client);
    const mb_allocator *allocator = cluster->worker->allocator;
    const mb_codec_options *options = &cluster->settings.codec;
    const mb_codec_events *events = &mb__client_codec_events;

    switch (protocol) {
    case MB_UPSTREAM_HTTP2:
        return mb_h2_client_new(allocator, options, events, client);
    case MB_UPSTREAM_RAW:
        return mb_raw_client_new(allocator, events, client);
    default:
        return mb_h1_client_new(allocator, &cluster->worker->arenas, options, events, client);
    }
}

int mb__client_use_codec(mb_client *client, mb_upstream_protocol protocol) {
    const mb_cluster_stats *stats = &mb__client_cluster(client)->stats;

    client->codec = make_codec(client, protocol);
    if (client->codec == NULL) {
        return MB_ENOMEM;
    }
    client->multiplexed = client->codec->vtable->multiplexed;
    if (protocol == MB_UPSTREAM_RAW) {
        client->raw = true;
    } else {
        mb_metric_inc(client->multiplexed ? stats->upstream_cx_http2_total
                                          : stats->upstream_cx_http1_total);
    }
    return MB_OK;
}

static void run_work(mb_task *task) {
    mb_client *client = MB_LIST_ENTRY(task, mb_client, work_task);

    if (client->multiplexed) {
        mb__client_run_many(client, client->end_owed);
    } else {
        mb__client_run_one(client, client->end_owed);
    }
}

static void on_dead(mb_h2_keepalive *keepalive) {
    mb_client *client = MB_LIST_ENTRY(keepalive, mb_client, keepalive);
    mb_cluster *cluster = mb__client_cluster(client);

    cluster->h2_counters.keepalive_timeout++;
    mb__client_retire(client);
    mb__client_fail_cut(client);
    mb__client_close_and_tell(client, false);
}

void mb__client_open_many(mb_client *client) {
    mb_cluster *cluster = mb__client_cluster(client);
    mb_pool *pool = client->pool;

    if (!pool->many) { /* TLS has agreed on HTTP/2 for the first time */
        pool->many = true;
        pool->streams_guess = cluster->settings.codec.h2.max_concurrent_streams;
    }
    client->read_us = mb__client_now_us(client);
    /* The codec stops just above this, so the connection says when it has sunk again. */
    mb_conn_set_watermark(client->conn, cluster->settings.codec.h2.output_bytes);
    mb_h2_keepalive_start(&client->keepalive, &cluster->settings.h2_keepalive,
                          &cluster->worker->random, client->codec, client->conn, on_dead);
}

/* One without its connection yet. NULL: out of memory. */
static mb_client *alloc_client(mb_pool *pool) {
    mb_worker *worker = pool->host->cluster->worker;
    mb_client *client = mb_zalloc(worker->allocator, sizeof *client);

    if (client == NULL) {
        return NULL;
    }
    client->pool = pool;
    client->host = pool->host;
    client->free_task.run = run_free;
    client->work_task.run = run_work;
    client->settings_timer.on_expire = mb__client_on_settings_late;
    client->state = MB_CLIENT_CONNECTING;
    client->created_us = mb_loop_now_us(worker->loop);
    mb_list_init(&client->running);
    mb_list_init(&client->spare);
    mb_buffer_init(&client->only.body, worker->slabs);
    return client;
}

/* What a server that chooses by ALPN is offered, as Envoy's pools do. */
static const mb_slice alpn_of[] = {
    [MB_UPSTREAM_HTTP1] = MB_SLICE_LIT("\x08http/1.1"),
    [MB_UPSTREAM_HTTP2] = MB_SLICE_LIT("\x02h2"),
    [MB_UPSTREAM_AUTO] = MB_SLICE_LIT("\x02h2\x08http/1.1"),
    [MB_UPSTREAM_RAW] = {NULL, 0},
};

mb_client *mb_client_new(mb_pool *pool) {
    mb_client *client = alloc_client(pool);
    int rc = MB_OK;

    if (client == NULL) {
        return NULL;
    }
    if (pool->protocol != MB_UPSTREAM_AUTO) {
        rc = mb__client_use_codec(client, pool->protocol);
    }
    if (rc == MB_OK) {
        const mb_upstream_way way = {.alpn = alpn_of[pool->protocol],
                                     .proxy_header = pool->proxy_header,
                                     .source = pool->source};

        client->conn = mb__upstream_connect(pool->host, &way, &mb__client_conn_events, client);
    }
    if (client->conn == NULL) {
        if (client->codec != NULL) {
            client->codec->vtable->free(client->codec);
        }
        mb_free(pool->host->cluster->worker->allocator, client, sizeof *client);
        return NULL;
    }
    mb_host_ref(pool->host);
    pool->client_count++;
    mb_list_push_back(&pool->clients[MB_CLIENT_CONNECTING], &client->node);
    pool->connecting_count++;
    mb__upstream_count_created(client->host);
    return client;
}
