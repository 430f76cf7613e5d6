/*
 * TCP upstream: a connection to a host of a cluster for one owner (the TCP proxy); not pooled, not
 * shared.
 *
 * IDLE -> CONNECTING -> READY -> IDLE. One attempt a call: whether and when another one is made
 * (max_connect_attempts) is the owner's to say, from `on_failure` at the earliest. Limits, connect
 * timeout, TLS and statistics are the cluster's.
 *
 * Source: Envoy, "TCP proxy"; RFC 9293.
 */
#ifndef MB_UPSTREAM_TCP_H
#define MB_UPSTREAM_TCP_H

#include "net/origin.h"
#include "upstream/host.h"

typedef struct mb_upstream_tcp mb_upstream_tcp;

typedef struct mb_upstream_tcp_events {
    /* The connection is up, with the transport's handshake. It stays this object's, but its events
     * are the owner's from now on: set them here with mb_conn_set_owner. */
    void (*on_ready)(mb_upstream_tcp *tcp, mb_conn *conn);
    /* The object is IDLE again; may come from within mb_upstream_tcp_connect. `host`: NULL when the
     * cluster has none. `transport` says more in the words of the system or of TLS, or is empty.
     * Both are valid in the call. */
    void (*on_failure)(mb_upstream_tcp *tcp, mb_upstream_failure why, const mb_upstream_host *host,
                       mb_slice transport);
} mb_upstream_tcp_events;

/* Embedded in its owner, zeroed at first. */
struct mb_upstream_tcp {
    const mb_upstream_tcp_events *events;
    mb_upstream_host *host; /* one reference; NULL: IDLE */
    mb_conn *conn;          /* NULL: IDLE */
    bool ready;
    uint64_t created_us;
    /* The owner's, for the PROXY header where the cluster sends one: the client and what it meant.
     * NULL: nobody in particular. */
    const mb_address *source, *destination;
    const mb_origin *origin; /* of the client's connection, or NULL */
};

/* Picks a host and begins to connect. */
void mb_upstream_tcp_connect(mb_upstream_tcp *tcp, mb_cluster *cluster);
/* The end, at any time: the connection is freed (closed first if need be) and counted. `remote`:
 * the upstream's doing. Nothing is called back. Idempotent. */
void mb_upstream_tcp_close(mb_upstream_tcp *tcp, bool remote);

#endif
