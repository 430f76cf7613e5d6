/*
 * Ingress: a listener at work: the listening socket, the newest configuration for it, its
 * connections and its statistics. A reload that keeps name and address keeps the ingress and
 * swaps `config`; connections take the new one with their next request.
 *
 * Refcounted: each connection holds it, so a listener that a reload removed lasts as long as they.
 */
#ifndef MB_SERVER_INGRESS_H
#define MB_SERVER_INGRESS_H

#include "base/list.h"
#include "config/snapshot.h"
#include "net/listener.h"

struct mb_server;

/* Handles under `http.<stat_prefix>.` and `listener.<address>.`. */
typedef struct mb_http_metrics {
    mb_metric *cx_total, *cx_active, *cx_destroy, *cx_destroy_remote, *cx_idle_timeout;
    mb_metric *cx_protocol_error, *cx_rx_bytes, *cx_tx_bytes, *cx_max_duration, *cx_http1;
    mb_metric *cx_drain_close, *cx_length_ms;
    mb_metric *rq_total, *rq_active, *rq_completed, *rq_class[5], *rq_time, *rq_timeout;
    mb_metric *rq_header_timeout, *rq_idle_timeout, *rq_max_duration, *rq_rx_reset, *rq_tx_reset;
    mb_metric *rq_http1, *no_route;
    mb_metric *listener_cx_total, *listener_cx_active, *listener_rq_class[5];
} mb_http_metrics;

typedef struct mb_ingress {
    mb_list_node node; /* in the server's list */
    uint32_t refs;
    struct mb_server *server;
    mb_worker *worker;
    char *name;                              /* NUL-terminated, owned */
    char address[MB_ADDRESS_TEXT_BYTES + 1]; /* with the real port, NUL-terminated */
    mb_listener *listener;                   /* stopped once draining */
    mb_snapshot *snapshot;                   /* one reference; `config` points into it */
    const mb_listener_config *config;
    mb_list conns; /* of mb_http_conn */
    uint32_t conn_count;
    mb_http_metrics metrics;
    bool draining;
} mb_ingress;

/* Binds. NULL with `*error` an errno; ENOMEM when out of memory. */
mb_ingress *mb_ingress_new(struct mb_server *server, mb_worker *worker, mb_snapshot *snapshot,
                           const mb_listener_config *config, int *error);
void mb_ingress_unref(mb_ingress *ingress);
/* The statistics under the names that a configuration gives them. MB_OK, MB_ENOMEM, MB_EINVAL. */
int mb_ingress_metrics(const mb_ingress *ingress, const mb_listener_config *config,
                       mb_http_metrics *out);
/* Takes the configuration of a newer snapshot; `metrics` as found for it. */
void mb_ingress_configure(mb_ingress *ingress, mb_snapshot *snapshot,
                          const mb_listener_config *config, const mb_http_metrics *metrics);
/* Stops accepting; connections end after their present stream. */
void mb_ingress_drain(mb_ingress *ingress);
/* Ends all connections at once. */
void mb_ingress_close(mb_ingress *ingress);
/* True when both name the same socket address as configured. */
bool mb_ingress_same_address(const mb_ingress *ingress, const mb_listener_config *config);

/* http_metrics.c */
int mb_http_metrics_define(mb_stats *stats, mb_slice stat_prefix, mb_slice listener,
                           mb_http_metrics *out);

#endif
