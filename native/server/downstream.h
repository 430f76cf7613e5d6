/*
 * Downstream: what every accepted connection is for its listener, whatever it speaks: a place in
 * the listener's list, the configuration that it follows, an id. The HTTP connection manager's and
 * the TCP proxy's connections begin with one.
 *
 * A connection belongs to one filter chain. A reload that still has that chain (same name, same
 * terminal) gives the connection the new one; otherwise it keeps what it has, which its reference
 * on the snapshot keeps alive, and drains.
 */
#ifndef MB_SERVER_DOWNSTREAM_H
#define MB_SERVER_DOWNSTREAM_H

#include "net/origin.h"
#include "server/ingress.h"

typedef struct mb_downstream mb_downstream;

typedef struct mb_downstream_ops {
    /* Takes no further work: idle ones close now, others after what they do. Idempotent. */
    void (*drain)(mb_downstream *self);
    /* Closes at once. */
    void (*close)(mb_downstream *self);
    /* `self->chain` has become a newer one than `before`. */
    void (*reconfigured)(mb_downstream *self, const mb_filter_chain_config *before);
} mb_downstream_ops;

struct mb_downstream {
    const mb_downstream_ops *ops;
    mb_list_node node;   /* in ingress->downstreams */
    mb_ingress *ingress; /* one reference */
    mb_conn *conn;
    mb_origin *origin;     /* one reference; NULL: no listener filter found out anything */
    mb_snapshot *snapshot; /* one reference, for `chain` */
    const mb_filter_chain_config *chain;
    uint64_t id; /* MB_INFO_CONNECTION_ID */
    uint64_t opened_us;
};

/* A socket as the terminal of its chain gets it. */
typedef struct mb_accepted {
    int fd;
    mb_address remote;       /* the client's, also where a PROXY header says it */
    mb_address local;        /* as the client meant it; without an address: the socket's */
    mb_origin *origin;       /* borrowed, or NULL */
    mb_transport *transport; /* the terminal takes it */
} mb_accepted;

/* Makes `self->conn`, for `owner`, of what was accepted. MB_OK, or MB_ENOMEM: the transport is gone
 * and `self` unchanged. mb_downstream_begin follows. */
int mb_downstream_open(mb_downstream *self, mb_ingress *ingress, const mb_accepted *accepted,
                       const mb_conn_events *events, void *owner);

/* Enters the list; `self->conn` may still be NULL, else its handshake has from now on the time that
 * the chain gives it. */
void mb_downstream_begin(mb_downstream *self, const mb_downstream_ops *ops, mb_ingress *ingress,
                         const mb_filter_chain_config *chain);
/* Puts the chain's network filters into `self->conn`, where it has some. MB_OK or MB_ENOMEM. */
int mb_downstream_filter(mb_downstream *self);
/* Tells of a connection that never got through its handshake: counters and a line in the log. From
 * on_close, whatever the reason. */
void mb_downstream_account_close(mb_downstream *self, mb_close_reason reason);
/* Leaves it; the connection is closed. May free the ingress. */
void mb_downstream_end(mb_downstream *self);

/* accept.c: an accepted socket, which it takes, goes through the listener filters and finds its
 * chain. */
void mb_accept_socket(mb_ingress *ingress, int fd, const mb_address *remote);
/* The same after the listener filters. */
void mb_accept_connection(mb_ingress *ingress, mb_accepted *accepted);

#endif
