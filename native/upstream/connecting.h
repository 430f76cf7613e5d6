/*
 * What every connection to an upstream host has, pooled (client.c) or not (tcp.c): how it is made,
 * what a failure means, and what is counted of it.
 */
#ifndef MB_UPSTREAM_CONNECTING_H
#define MB_UPSTREAM_CONNECTING_H

#include "net/conn.h"
#include "upstream/cluster_state.h"

#define MB_CONNECT_FAILURE_BYTES 256

/* What connections to one host may differ in. Borrowed for the call. */
typedef struct mb_upstream_way {
    mb_slice alpn;         /* offered by TLS where the settings have nothing, in wire form (RFC 7301
                            * 3.1) */
    mb_slice proxy_header; /* sent before anything else; empty: none */
    const mb_source *source; /* from where; NULL: the system's choice */
} mb_upstream_way;

/* By the cluster's settings: timeout, watermark, transport. NULL: out of memory. */
mb_conn *mb__upstream_connect(mb_upstream_host *host, const mb_upstream_way *way,
                              const mb_conn_events *events, void *owner);
/* The PROXY header of the cluster for a client's connection: `source` is the client, `destination`
 * what it meant; NULL or empty: nobody in particular. Empty where the cluster sends none. */
mb_slice mb__upstream_proxy_header(mb_cluster *cluster, const mb_address *source,
                                   const mb_address *destination, char bytes[MB_HOST_PROXY_BYTES]);
/* In `on_close` of one that never connected: why, counted. What is to be said more is written to
 * `text`, or is the transport's and valid as long as it. */
mb_upstream_failure mb__upstream_connect_failure(mb_upstream_host *host, mb_conn *conn,
                                                 mb_close_reason reason,
                                                 char text[MB_CONNECT_FAILURE_BYTES],
                                                 mb_slice *out);

/* Takes its place in the circuit breaker, whatever the limit says; mb__upstream_count_closed gives
 * it back. */
void mb__upstream_count_created(mb_upstream_host *host);
/* It is up; sets the cluster's TCP keep-alive too. */
void mb__upstream_count_connected(mb_upstream_host *host, mb_conn *conn, uint64_t created_us);
/* `active`: somebody still used it. */
void mb__upstream_count_closed(mb_upstream_host *host, uint64_t created_us, bool remote,
                               bool active);

#endif
