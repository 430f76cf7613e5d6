/*
 * See tcp.h.
 */
#include "upstream/tcp.h"

#include "upstream/connecting.h"

static mb_cluster *cluster_of(const mb_upstream_tcp *tcp) {
    return tcp->host->cluster;
}

static void count_end(const mb_upstream_tcp *tcp, bool remote) {
    mb_cluster *cluster = cluster_of(tcp);
    mb_cluster_stats *stats = &cluster->stats;

    mb__upstream_count_closed(tcp->host, tcp->created_us, remote, tcp->ready);
    mb_metric_add(stats->upstream_cx_rx_bytes_total, (int64_t)tcp->conn->bytes_read);
    mb_metric_add(stats->upstream_cx_tx_bytes_total, (int64_t)tcp->conn->bytes_written);
}

void mb_upstream_tcp_close(mb_upstream_tcp *tcp, bool remote) {
    mb_upstream_host *host = tcp->host;

    if (tcp->conn == NULL) {
        return;
    }
    count_end(tcp, remote);
    mb_conn_free(tcp->conn);
    tcp->conn = NULL;
    tcp->host = NULL;
    tcp->ready = false;
    mb_host_unref(host);
}

/* -- while it connects ------------------------------------------------------------------------ */

static void on_connected(void *owner, mb_conn *conn) {
    mb_upstream_tcp *tcp = owner;

    tcp->ready = true;
    mb__upstream_count_connected(tcp->host, conn, tcp->created_us);
    tcp->events->on_ready(tcp, conn);
}

/* The upstream speaks first: its bytes wait in conn->in for the owner. */
static void on_data(void *owner, mb_conn *conn) {
    (void)owner;
    (void)conn;
}

static void on_close(void *owner, mb_conn *conn, mb_close_reason reason) {
    mb_upstream_tcp *tcp = owner;
    mb_upstream_host *host = mb_host_ref(tcp->host);
    char text[MB_CONNECT_FAILURE_BYTES];
    mb_slice transport;
    mb_upstream_failure why = mb__upstream_connect_failure(host, conn, reason, text, &transport);

    mb_upstream_tcp_close(tcp, why != MB_UPSTREAM_CONNECT_LOCAL);
    tcp->events->on_failure(tcp, why, host, transport);
    mb_host_unref(host);
}

static const mb_conn_events connecting_events = {
    .on_connected = on_connected, .on_data = on_data, .on_close = on_close};

/* -- beginning -------------------------------------------------------------------------------- */

static void fail(mb_upstream_tcp *tcp, mb_upstream_host *host, mb_upstream_failure why) {
    tcp->events->on_failure(tcp, why, host, (mb_slice){"", 0});
}

void mb_upstream_tcp_connect(mb_upstream_tcp *tcp, mb_cluster *cluster) {
    mb_upstream_host *host = mb__cluster_pick(cluster);
    char header[MB_HOST_PROXY_BYTES];
    const mb_upstream_way way = {
        .source = mb_origin_source(tcp->origin),
        .alpn = {"", 0},
        .proxy_header = mb__upstream_proxy_header(cluster, tcp->source, tcp->destination, header)};

    if (host == NULL) {
        mb_metric_inc(cluster->stats.upstream_cx_none_healthy);
        fail(tcp, NULL, MB_UPSTREAM_NO_HOST);
        return;
    }
    if (mb_breaker_is_open(&cluster->circuit.connections)) {
        mb_metric_inc(cluster->stats.upstream_cx_overflow);
        fail(tcp, host, MB_UPSTREAM_OVERFLOW);
        return;
    }
    tcp->conn = mb__upstream_connect(host, &way, &connecting_events, tcp);
    if (tcp->conn == NULL) {
        fail(tcp, host, MB_UPSTREAM_CONNECT_LOCAL);
        return;
    }
    tcp->host = mb_host_ref(host);
    tcp->ready = false;
    tcp->created_us = mb_loop_now_us(cluster->worker->loop);
    mb__upstream_count_created(host);
}
