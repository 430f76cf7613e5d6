/*
 * TCP proxy: one accepted connection and its upstream.
 *
 * Life. ACCEPTED (its transport shakes hands, its network filters may hold it back) -> CONNECTING
 * (up to max_connect_attempts, one after the other; the client is not read) -> PIPING -> CLOSED.
 * While PIPING, what one side has sent is moved to the other's output, by reference. The output of
 * a side above its watermark stops reading from the other side; so both buffers are bounded.
 *
 * Half-close. The end of one side goes to the other behind its bytes (FIN); when both have ended,
 * both are flushed and closed. When the client's connection is gone while bytes of it are still on
 * their way to the upstream, those are flushed first (Envoy: upstream_flush); an upstream that is
 * gone has its last bytes flushed to the client.
 *
 * Ends. The client's connection ends in `on_close`, the upstream's in `up_on_close`; the second of
 * them frees all. The timers close both at once.
 */
#include "server/tcp_proxy.h"

#include "base/alloc.h"
#include "filter/network_chain.h"
#include "server/server_internal.h"
#include "upstream/cluster_state.h"

static const mb_tcp_config *config_of(const mb_tcp_conn *tc) {
    return tc->base.chain->tcp;
}

static mb_loop *loop_of(const mb_tcp_conn *tc) {
    return tc->base.ingress->worker->loop;
}

static bool is_piping(const mb_tcp_conn *tc) {
    return tc->upstream.ready;
}

/* -- what is counted --------------------------------------------------------------------------- */

static void count_bytes(mb_tcp_conn *tc, const mb_conn *conn, size_t in, size_t out) {
    const mb_tcp_metrics *metrics = tc->metrics;
    mb_metric_add(metrics->cx_rx_bytes, (int64_t)(conn->bytes_read - tc->counted_read));
    mb_metric_add(metrics->cx_tx_bytes, (int64_t)(conn->bytes_written - tc->counted_sent));
    mb_metric_add(metrics->cx_rx_buffered, (int64_t)in - (int64_t)tc->counted_in);
    mb_metric_add(metrics->cx_tx_buffered, (int64_t)out - (int64_t)tc->counted_out);
    tc->counted_read = conn->bytes_read;
    tc->counted_sent = conn->bytes_written;
    tc->counted_in = in;
    tc->counted_out = out;
}

/* Something went one way or the other. */
static void activity(mb_tcp_conn *tc) {
    const mb_conn *conn = tc->base.conn;
    if (conn != NULL) {
        count_bytes(tc, conn, conn->in.length, conn->out.length);
    }
    if (config_of(tc)->idle_timeout_us > 0) {
        mb_loop_arm(loop_of(tc), &tc->idle_timer, config_of(tc)->idle_timeout_us);
    }
}

/* -- the end ----------------------------------------------------------------------------------- */

static void free_if_over(mb_tcp_conn *tc) {
    if (tc->base.conn != NULL || tc->upstream.conn != NULL) {
        return;
    }
    if (tc->flushing) {
        mb_metric_add(tc->metrics->flush_active, -1);
    }
    mb_loop_disarm(&tc->idle_timer);
    mb_loop_disarm(&tc->duration_timer);
    mb_snapshot_unref(tc->chosen_in);
    const mb_allocator *allocator = tc->base.ingress->worker->allocator;
    mb_downstream_end(&tc->base);
    mb_free(allocator, tc, sizeof(*tc));
}

static void end_upstream(mb_tcp_conn *tc, bool remote) {
    if (tc->upstream.conn != NULL) {
        tc->upstream_read = tc->upstream.conn->bytes_read;
        tc->upstream_sent = tc->upstream.conn->bytes_written;
        mb_upstream_tcp_close(&tc->upstream, remote);
    }
}

/* The client is gone: what it has sent still goes to the upstream. */
static void flush_upstream(mb_tcp_conn *tc) {
    tc->flushing = true;
    mb_metric_inc(tc->metrics->flush_total);
    mb_metric_add(tc->metrics->flush_active, 1);
    mb_conn_close(tc->upstream.conn, MB_CLOSE_FLUSH, MB_CONN_FINAL_FLUSH_US);
}

static void on_close(void *owner, mb_conn *conn, mb_close_reason reason) {
    mb_tcp_conn *tc = owner;
    count_bytes(tc, conn, 0, 0);
    if (tc->details == NULL && reason == MB_CLOSED_RESET) {
        tc->flags |= MB_FLAG_DOWNSTREAM_TERMINATION;
    }
    bool unsent = is_piping(tc) && tc->upstream.conn->out.length > 0;
    if (!unsent || tc->closing) {
        end_upstream(tc, false);
    }
    mb__tcp_log(tc, conn);
    mb_downstream_account_close(&tc->base, reason);
    tc->base.conn = NULL;
    mb_conn_free(conn);
    if (tc->upstream.conn != NULL) {
        flush_upstream(tc);
    }
    free_if_over(tc);
}

/* Ends both sides, the client's in the given way. Where that is at once `tc` is freed. */
static void close_both(mb_tcp_conn *tc, mb_close_kind kind) {
    tc->closing = true;
    if (tc->base.conn == NULL) {
        end_upstream(tc, false);
        free_if_over(tc);
        return;
    }
    if (kind == MB_CLOSE_NOW || kind == MB_CLOSE_RESET) {
        mb_conn_close(tc->base.conn, kind, 0);
        return;
    }
    mb_conn_close(tc->base.conn, kind, MB_CONN_FINAL_FLUSH_US);
}

static void end_with(mb_tcp_conn *tc, uint32_t flag, const char *details) {
    tc->flags |= flag;
    tc->details = details;
    close_both(tc, MB_CLOSE_NOW);
}

static void on_idle(mb_timer *timer) {
    mb_tcp_conn *tc = MB_LIST_ENTRY(timer, mb_tcp_conn, idle_timer);
    mb_metric_inc(tc->metrics->idle_timeout);
    end_with(tc, 0, "tcp_session_idle_timeout");
}

static void on_max_duration(mb_timer *timer) {
    mb_tcp_conn *tc = MB_LIST_ENTRY(timer, mb_tcp_conn, duration_timer);
    mb_metric_inc(tc->metrics->max_duration);
    end_with(tc, MB_FLAG_DURATION_TIMEOUT, "max_connection_duration_reached");
}

/* -- the client's side ------------------------------------------------------------------------- */

static void stop_reading(mb_tcp_conn *tc, bool stop) {
    if (tc->read_stopped != stop && tc->base.conn != NULL) {
        tc->read_stopped = stop;
        if (stop) {
            mb_conn_read_disable(tc->base.conn);
        } else {
            mb_conn_read_enable(tc->base.conn);
        }
    }
}

/* When both have sent their end there is nothing left to wait for. */
static void check_ends(mb_tcp_conn *tc) {
    if (tc->ended && tc->up_ended && !tc->closing && tc->base.conn != NULL) {
        mb_conn_close(tc->base.conn, MB_CLOSE_FLUSH, MB_CONN_FINAL_FLUSH_US);
    }
}

static void forward(mb_tcp_conn *tc, mb_conn *from, mb_conn *to) {
    if (from->in.length > 0 && mb_buffer_move(&to->out, &from->in) < 0) {
        end_with(tc, MB_FLAG_OVERLOAD, "out_of_memory");
        return;
    }
    activity(tc);
    mb_conn_flush_later(to);
}

static void on_data(void *owner, mb_conn *conn) {
    mb_tcp_conn *tc = owner;
    if (is_piping(tc)) {
        forward(tc, conn, tc->upstream.conn);
    }
}

static void on_read_end(void *owner, mb_conn *conn) {
    mb_tcp_conn *tc = owner;
    (void)conn;
    tc->ended = true;
    activity(tc);
    if (is_piping(tc)) {
        mb_conn_end_write(tc->upstream.conn);
    }
    check_ends(tc);
}

static void on_above_high(void *owner, mb_conn *conn) {
    mb_tcp_conn *tc = owner;
    (void)conn;
    if (is_piping(tc) && !tc->up_read_stopped) {
        tc->up_read_stopped = true;
        mb_metric_inc(tc->upstream.host->cluster->stats.upstream_flow_control_paused_reading_total);
        mb_conn_read_disable(tc->upstream.conn);
    }
}

static void on_below_low(void *owner, mb_conn *conn) {
    mb_tcp_conn *tc = owner;
    (void)conn;
    activity(tc);
    if (is_piping(tc) && tc->up_read_stopped) {
        tc->up_read_stopped = false;
        mb_metric_inc(
            tc->upstream.host->cluster->stats.upstream_flow_control_resumed_reading_total);
        mb_conn_read_enable(tc->upstream.conn);
    }
}

/* -- the upstream's side ----------------------------------------------------------------------- */

static void up_on_data(void *owner, mb_conn *conn) {
    mb_tcp_conn *tc = owner;
    if (tc->base.conn == NULL || tc->closing) {
        mb_buffer_clear(&conn->in);
        return;
    }
    forward(tc, conn, tc->base.conn);
}

static void up_on_read_end(void *owner, mb_conn *conn) {
    mb_tcp_conn *tc = owner;
    (void)conn;
    tc->up_ended = true;
    activity(tc);
    if (tc->base.conn != NULL) {
        mb_conn_end_write(tc->base.conn);
    }
    check_ends(tc);
}

static void up_on_above_high(void *owner, mb_conn *conn) {
    mb_tcp_conn *tc = owner;
    (void)conn;
    if (!tc->read_stopped) {
        mb_metric_inc(tc->metrics->flow_paused);
        stop_reading(tc, true);
    }
}

static void up_on_below_low(void *owner, mb_conn *conn) {
    mb_tcp_conn *tc = owner;
    (void)conn;
    activity(tc);
    if (tc->read_stopped) {
        mb_metric_inc(tc->metrics->flow_resumed);
        stop_reading(tc, false);
    }
}

static void up_on_close(void *owner, mb_conn *conn, mb_close_reason reason) {
    mb_tcp_conn *tc = owner;
    (void)conn;
    bool remote = reason != MB_CLOSED_BY_US;
    end_upstream(tc, remote);
    if (tc->base.conn == NULL) {
        free_if_over(tc);
    } else if (!tc->closing) {
        tc->flags |= remote ? MB_FLAG_UPSTREAM_TERMINATION : 0;
        close_both(tc, MB_CLOSE_FLUSH);
    }
}

static const mb_conn_events up_events = {
    .on_data = up_on_data,
    .on_read_end = up_on_read_end,
    .on_above_high = up_on_above_high,
    .on_below_low = up_on_below_low,
    .on_close = up_on_close,
};

/* -- connecting -------------------------------------------------------------------------------- */

static mb_cluster *choose_cluster(mb_tcp_conn *tc) {
    const mb_tcp_config *config = config_of(tc);
    uint64_t point = 0;
    uint32_t at = 0;
    if (config->cluster_count > 1) {
        point = mb_random_u64(&tc->base.ingress->worker->random) % config->weight_total;
    }
    while (point >= config->clusters[at].weight) {
        point -= config->clusters[at++].weight;
    }
    /* The next configuration may be another one, and the name is wanted to the end. */
    mb_snapshot_unref(tc->chosen_in);
    tc->chosen_in = mb_snapshot_ref(tc->base.snapshot);
    tc->cluster = config->clusters[at].name;
    return mb_snapshot_cluster(tc->base.snapshot, tc->cluster);
}

static void tell_filters(mb_tcp_conn *tc) {
    mb_connection *connection = mb_connection_of(tc->base.conn);
    if (connection != NULL) {
        /* Only filters want to know: without memory they do not. */
        (void)mb_connection_set_upstream(connection, tc->cluster, &tc->host);
    }
}

static void on_ready(mb_upstream_tcp *upstream, mb_conn *conn) {
    mb_tcp_conn *tc = MB_LIST_ENTRY(upstream, mb_tcp_conn, upstream);
    tc->host = upstream->host->address;
    mb_conn_set_owner(conn, &up_events, tc);
    tell_filters(tc);
    activity(tc);
    stop_reading(tc, false);
    if (tc->base.conn->in.length > 0) {
        forward(tc, tc->base.conn, conn);
    }
    if (conn->in.length > 0) {
        mb_conn_read_again(conn); /* the upstream has spoken first */
    }
}

static void on_failure(mb_upstream_tcp *upstream, mb_upstream_failure why,
                       const mb_upstream_host *host, mb_slice transport);
static const mb_upstream_tcp_events upstream_events = {.on_ready = on_ready,
                                                       .on_failure = on_failure};

/* May free the connection. */
static void connect_upstream(mb_tcp_conn *tc) {
    tc->upstream.source = &tc->base.conn->remote;
    tc->upstream.origin = tc->base.origin;
    tc->upstream.destination = &tc->base.conn->local;
    mb_cluster *cluster = choose_cluster(tc);
    if (cluster == NULL) {
        mb_metric_inc(tc->metrics->cx_no_route);
        end_with(tc, MB_FLAG_NO_CLUSTER, "cluster_not_found");
        return;
    }
    do {
        if (tc->attempts == config_of(tc)->max_connect_attempts) {
            end_with(tc, MB_FLAG_RETRY_LIMIT, "upstream_connect_attempts_exceeded");
            return;
        }
        tc->attempts++;
        tc->connecting = true;
        tc->failed = false;
        tc->upstream.source = &tc->base.conn->remote;
        tc->upstream.origin = tc->base.origin;
        tc->upstream.destination = &tc->base.conn->local;
        mb_upstream_tcp_connect(&tc->upstream, cluster);
        tc->connecting = false;
    } while (tc->failed && (tc->flags & MB_FLAG_NO_HEALTHY_UPSTREAM) == 0);
    if (tc->failed) {
        end_with(tc, 0, "no_healthy_upstream");
    }
}

static void on_failure(mb_upstream_tcp *upstream, mb_upstream_failure why,
                       const mb_upstream_host *host, mb_slice transport) {
    mb_tcp_conn *tc = MB_LIST_ENTRY(upstream, mb_tcp_conn, upstream);
    char address[MB_ADDRESS_TEXT_BYTES];
    size_t length = 0;
    if (host != NULL) {
        tc->host = host->address;
        length = mb_address_text(&tc->host, address);
    }
    tc->flags |= why == MB_UPSTREAM_NO_HOST    ? MB_FLAG_NO_HEALTHY_UPSTREAM
                 : why == MB_UPSTREAM_OVERFLOW ? MB_FLAG_UPSTREAM_OVERFLOW
                                               : MB_FLAG_UPSTREAM_CONNECT_FAILURE;
    mb_worker_log(tc->base.ingress->worker, MB_LOG_DEBUG, "tcp",
                  "connection %llu: cluster %.*s, host %.*s: attempt %u failed: %.*s",
                  (unsigned long long)tc->base.id, MB_TEXT_ARG(tc->cluster), (int)length, address,
                  (unsigned)tc->attempts, MB_TEXT_ARG(transport));
    tc->failed = true;
    if (!tc->connecting) {
        connect_upstream(tc);
    }
}

/* -- beginning --------------------------------------------------------------------------------- */

/* The transport is up and the network filters have let the connection through. */
static void on_connected(void *owner, mb_conn *conn) {
    mb_tcp_conn *tc = owner;
    (void)conn;
    activity(tc);
    stop_reading(tc, true);
    connect_upstream(tc);
}

static const mb_conn_events events = {
    .on_connected = on_connected,
    .on_data = on_data,
    .on_read_end = on_read_end,
    .on_above_high = on_above_high,
    .on_below_low = on_below_low,
    .on_close = on_close,
};

/* A connection lives on until it ends by itself or the drain's time is over. */
static void drain(mb_downstream *downstream) {
    (void)downstream;
}

static void close_now(mb_downstream *downstream) {
    close_both((mb_tcp_conn *)downstream, MB_CLOSE_NOW);
}

static void reconfigured(mb_downstream *downstream, const mb_filter_chain_config *before) {
    mb_tcp_conn *tc = (mb_tcp_conn *)downstream;
    (void)before;
    if (tc->flushing) {
        mb_metric_add(tc->metrics->flush_active, -1);
    }
    tc->metrics = &tc->base.chain->tcp->metrics;
    if (tc->flushing) {
        mb_metric_add(tc->metrics->flush_active, 1);
    }
}

static const mb_downstream_ops downstream_ops = {
    .drain = drain, .close = close_now, .reconfigured = reconfigured};

int mb_tcp_conn_start(mb_ingress *ingress, const mb_filter_chain_config *chain,
                      const mb_accepted *accepted) {
    mb_worker *worker = ingress->worker;
    mb_tcp_conn *tc = mb_zalloc(worker->allocator, sizeof(*tc));
    if (tc == NULL) {
        accepted->transport->vtable->free(accepted->transport);
        return MB_ENOMEM;
    }
    tc->upstream.events = &upstream_events;
    tc->idle_timer.on_expire = on_idle;
    tc->duration_timer.on_expire = on_max_duration;
    if (mb_downstream_open(&tc->base, ingress, accepted, &events, tc) < 0) {
        mb_free(worker->allocator, tc, sizeof(*tc));
        return MB_ENOMEM;
    }
    mb_downstream_begin(&tc->base, &downstream_ops, ingress, chain);
    tc->metrics = &chain->tcp->metrics;
    mb_metric_inc(tc->metrics->cx_total);
    mb_conn_set_watermark(tc->base.conn, ingress->config->buffer_limit_bytes);
    if (chain->tcp->max_duration_us > 0) {
        mb_loop_arm(worker->loop, &tc->duration_timer, chain->tcp->max_duration_us);
    }
    activity(tc);
    if (mb_downstream_filter(&tc->base) < 0) {
        end_with(tc, MB_FLAG_OVERLOAD, "out_of_memory");
    } else if (mb_conn_is_open(tc->base.conn)) {
        on_connected(tc, tc->base.conn);
    }
    return MB_OK;
}
