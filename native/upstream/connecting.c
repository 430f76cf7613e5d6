/*
 * See connecting.h.
 */
#include "upstream/connecting.h"

#include "net/proxy_protocol.h"
#include "net/proxy_transport.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>

/* -- making ----------------------------------------------------------------------------------- */

/* Plain, behind it the PROXY header, over both TLS; used in the call only. */
typedef struct layers {
    mb_transport_maker maker; /* first */
    mb_tls_client_maker tls;  /* a copy, so nothing is referenced twice */
    mb_slice proxy_header;
} layers;

static mb_transport *make_layers(const mb_transport_maker *maker, const mb_allocator *allocator,
                                 int fd) {
    const layers *self = (const layers *)maker;
    mb_transport *transport = mb_plain_transport_new(allocator, fd);

    if (transport != NULL && self->proxy_header.len > 0) {
        transport = mb_proxy_transport_new(allocator, transport, self->proxy_header);
    }
    if (transport != NULL && self->tls.context != NULL) {
        transport = mb_tls_client_new(&self->tls, transport);
    }
    return transport;
}

mb_conn *mb__upstream_connect(mb_upstream_host *host, const mb_upstream_way *way,
                              const mb_conn_events *events, void *owner) {
    mb_cluster *cluster = host->cluster;
    layers with = {.maker.make = make_layers, .tls = host->tls, .proxy_header = way->proxy_header};
    const mb_connect_options options = {.remote = &host->address,
                                        .source = way->source,
                                        .maker = &with.maker,
                                        .timeout_us = cluster->settings.connect_timeout_us};

    with.tls.alpn = way->alpn;
    mb_conn *conn = mb_conn_connect(&cluster->worker->net, &options, events, owner);

    if (conn != NULL) {
        mb_conn_set_watermark(conn, cluster->settings.buffer_limit_bytes);
    }
    return conn;
}

mb_slice mb__upstream_proxy_header(mb_cluster *cluster, const mb_address *source,
                                   const mb_address *destination, char bytes[MB_HOST_PROXY_BYTES]) {
    mb_proxy_header header = {.version = cluster->settings.proxy_version};
    mb_slice written = {bytes, 0};
    mb_buffer buffer;

    if (header.version == 0) {
        return written;
    }
    if (source != NULL && destination != NULL) {
        header.source = *source;
        header.destination = *destination;
    }
    mb_buffer_init(&buffer, cluster->worker->slabs);
    if (mb_proxy_write(&header, false, &buffer) == MB_OK) {
        written.len = mb_buffer_copy_out(&buffer, 0, bytes, MB_HOST_PROXY_BYTES);
    }
    mb_buffer_fini(&buffer);
    return written;
}

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

/* -- failures --------------------------------------------------------------------------------- */

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

mb_upstream_failure mb__upstream_connect_failure(mb_upstream_host *host, mb_conn *conn,
                                                 mb_close_reason reason,
                                                 char text[MB_CONNECT_FAILURE_BYTES],
                                                 mb_slice *out) {
    mb_cluster_stats *stats = &host->cluster->stats;
    int error = mb_conn_errno(conn), length = 0;
    char cause[128] = "";

    mb_metric_inc(stats->upstream_cx_connect_fail);
    host->stats.cx_connect_fail++;
    *out = (mb_slice){text, 0};
    if (reason == MB_CLOSED_CONNECT_TIMEOUT) {
        mb_metric_inc(stats->upstream_cx_connect_timeout);
        return MB_UPSTREAM_CONNECT_TIMEOUT;
    }
    if (conn->transport != NULL) {
        *out = mb_transport_failure(conn->transport);
    }
    if (out->len == 0 && error != 0 && strerror_r(error, cause, sizeof cause) == 0) {
        length = snprintf(text, MB_CONNECT_FAILURE_BYTES, "delayed connect error: %s", cause);
        *out = (mb_slice){text, (size_t)length};
    }
    return is_local(error) && reason != MB_CLOSED_HANDSHAKE_FAILED ? MB_UPSTREAM_CONNECT_LOCAL
                                                                   : MB_UPSTREAM_CONNECT_FAILED;
}

/* -- counting --------------------------------------------------------------------------------- */

void mb__upstream_count_created(mb_upstream_host *host) {
    mb_cluster *cluster = host->cluster;

    mb_breaker_force(&cluster->circuit.connections);
    host->stats.cx_total++;
    host->stats.cx_active++;
    mb_metric_inc(cluster->stats.upstream_cx_total);
    mb_metric_inc(cluster->stats.upstream_cx_active);
}

static uint64_t since(const mb_upstream_host *host, uint64_t then_us) {
    return mb_loop_now_us(host->cluster->worker->loop) - then_us;
}

void mb__upstream_count_connected(mb_upstream_host *host, mb_conn *conn, uint64_t created_us) {
    const mb_cluster *cluster = host->cluster;

    mb_metric_record(cluster->stats.upstream_cx_connect_ms, since(host, created_us));
    if (cluster->settings.keepalive.enabled && conn->io.fd >= 0 &&
        conn->remote.sa.sa_family != AF_UNIX) {
        set_keepalive(conn->io.fd, &cluster->settings.keepalive);
    }
}

void mb__upstream_count_closed(mb_upstream_host *host, uint64_t created_us, bool remote,
                               bool active) {
    mb_cluster *cluster = host->cluster;
    const mb_cluster_stats *stats = &cluster->stats;

    mb_breaker_give(&cluster->circuit.connections);
    host->stats.cx_active--;
    mb_metric_add(stats->upstream_cx_active, -1);
    mb_metric_record(stats->upstream_cx_length_ms, since(host, created_us));
    mb_metric_inc(stats->upstream_cx_destroy);
    mb_metric_inc(remote ? stats->upstream_cx_destroy_remote : stats->upstream_cx_destroy_local);
    if (active) {
        mb_metric_inc(stats->upstream_cx_destroy_with_active_rq);
        mb_metric_inc(remote ? stats->upstream_cx_destroy_remote_with_active_rq
                             : stats->upstream_cx_destroy_local_with_active_rq);
    }
}
