/*
 * Ingress: a listener at work: the listening socket, the newest configuration for it, its
 * connections and its statistics. A reload that keeps name and address keeps the ingress and
 * swaps `config`; connections follow as far as their filter chain is still there (downstream.h).
 *
 * Refcounted: each connection holds it, so a listener that a reload removed lasts as long as they.
 */
#ifndef MB_SERVER_INGRESS_H
#define MB_SERVER_INGRESS_H

#include "base/list.h"
#include "config/snapshot.h"
#include "net/listener.h"

struct mb_server;

/* Handles under `listener.<address>.`. */
typedef struct mb_listener_metrics {
    mb_metric *cx_total, *cx_active, *no_filter_chain_match, *transport_connect_timeout;
    mb_metric *rq_class[5];
    mb_metric *pre_cx_active, *pre_cx_timeout, *filter_error, *filter_remote_close;
    mb_metric *proxy_proto_error;
} mb_listener_metrics;

/* An address that it listens on, as others are told of it. */
typedef struct mb_ingress_address {
    struct mb_ingress_address *next;
    size_t bytes;                         /* of this block */
    char text[MB_ADDRESS_TEXT_BYTES + 8]; /* "ip:port", "unix:///path", "unix:@name" */
    char name[];                          /* the listener's; "name[1]" of its second address */
} mb_ingress_address;

typedef struct mb_ingress {
    mb_list_node node; /* in the server's list */
    uint32_t refs;
    struct mb_server *server;
    mb_worker *worker;
    char *name;                              /* NUL-terminated, owned */
    char address[MB_ADDRESS_TEXT_BYTES + 1]; /* the first, with the real port; for statistics */
    struct mb_ingress_address *addresses;    /* those it listens on; owned */
    mb_listener *listener;                   /* stopped once draining */
    mb_snapshot *snapshot;                   /* one reference; `config` points into it */
    const mb_listener_config *config;
    mb_list downstreams; /* of mb_downstream: its connections */
    uint32_t conn_count;
    mb_list pending; /* of mb_pending: at its listener filters */
    uint32_t pending_count;
    char *peeked; /* MB_PENDING_PEEK_BYTES for them, made when first needed */
    mb_listener_metrics metrics;
    uint64_t handshake_log_us; /* failed handshakes since then: how many were logged */
    uint32_t handshake_logged;
    bool draining;
} mb_ingress;

/* Binds. NULL with `*error` an errno, ENOMEM when out of memory, and which of the addresses it is
 * about in `*failed`. */
mb_ingress *mb_ingress_new(struct mb_server *server, mb_worker *worker, mb_snapshot *snapshot,
                           const mb_listener_config *config, int *error, uint32_t *failed);
static inline mb_ingress *mb_ingress_ref(mb_ingress *ingress) {
    ingress->refs++;
    return ingress;
}
void mb_ingress_unref(mb_ingress *ingress);
/* The statistics under the names that a configuration gives them. MB_OK, MB_ENOMEM, MB_EINVAL. */
int mb_ingress_metrics(const mb_ingress *ingress, const mb_listener_config *config,
                       mb_listener_metrics *out);
/* Takes the configuration of a newer snapshot; `metrics` as found for it. */
void mb_ingress_configure(mb_ingress *ingress, mb_snapshot *snapshot,
                          const mb_listener_config *config, const mb_listener_metrics *metrics);
/* Stops accepting; connections end after their present stream. */
void mb_ingress_drain(mb_ingress *ingress);
/* Ends all connections at once. */
void mb_ingress_close(mb_ingress *ingress);
/* True when both name the same socket addresses as configured. */
bool mb_ingress_same_address(const mb_ingress *ingress, const mb_listener_config *config);

/* The one that stands for a destination: by its exact address, else by port on all addresses. NULL:
 * there is none. */
mb_ingress *mb_ingress_for(struct mb_server *server, const mb_address *destination);

/* listener_metrics.c. MB_OK, MB_ENOMEM, MB_EINVAL. */
int mb_listener_metrics_define(mb_stats *stats, mb_slice listener, mb_listener_metrics *out);

#endif
