/*
 * TCP proxy: the terminal of a filter chain that gives each accepted connection one connection of
 * an upstream host, and carries bytes both ways. The theory is the head of tcp_proxy.c.
 *
 * Source: Envoy, "TCP proxy" (envoy.filters.network.tcp_proxy).
 */
#ifndef MB_SERVER_TCP_PROXY_H
#define MB_SERVER_TCP_PROXY_H

#include "server/downstream.h"
#include "upstream/tcp.h"

typedef struct mb_tcp_conn {
    mb_downstream base; /* first: `base.conn` is NULL once the client's side is closed */
    mb_upstream_tcp upstream;
    const mb_tcp_metrics *metrics; /* of the configuration that it began with or got since */
    mb_snapshot *chosen_in;        /* one reference, for `cluster`; or NULL */
    mb_slice cluster;              /* empty: none was chosen */
    mb_address host;               /* the last one that was tried */
    mb_timer idle_timer, duration_timer;
    uint32_t attempts;
    uint32_t flags;                      /* MB_FLAG_* */
    const char *details;                 /* why it ended, constant; NULL: the peers did */
    uint64_t counted_read, counted_sent; /* of the client's bytes, in the metrics already */
    size_t counted_in, counted_out;
    uint64_t upstream_read, upstream_sent; /* once its side is closed */
    bool connecting;                       /* mb_upstream_tcp_connect is on the stack */
    bool failed;                           /* and it failed */
    bool read_stopped;    /* the client is not read: there is no upstream yet, or it is slow */
    bool up_read_stopped; /* the upstream is not read: the client is slow */
    bool ended, up_ended; /* the client (the upstream) sends no more */
    bool flushing;        /* the client is gone, its last bytes are on their way */
    bool closing;         /* both sides are being closed */
} mb_tcp_conn;

/* Called for each accepted socket, which it takes. MB_OK, or MB_ENOMEM: it is closed, and the
 * listener does not know of it. */
int mb_tcp_conn_start(mb_ingress *ingress, const mb_filter_chain_config *chain,
                      const mb_accepted *accepted);

/* tcp_log.c: a line for each access log of a connection that has ended. */
void mb__tcp_log(const mb_tcp_conn *tc, const mb_conn *conn);

#endif
