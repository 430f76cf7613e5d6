/*
 * Statistics of a cluster under Envoy's names, `cluster.<name>.*`. Every handle is resolved when
 * the cluster is made, so that counting is one addition; only the counters of single status codes
 * are made when a code is first seen.
 *
 * Histograms are in microseconds. Ours beyond Envoy's: requests sent again because a pooled
 * connection was closed under them (`upstream_rq_retry_race`), or because an HTTP/2 upstream has
 * not processed them (`upstream_rq_retry_refused`).
 */
#ifndef MB_UPSTREAM_CLUSTER_STATS_H
#define MB_UPSTREAM_CLUSTER_STATS_H

#include "base/stats.h"

/* clang-format off */
#define MB_CLUSTER_METRICS(X) \
    X(COUNTER, upstream_cx_total) \
    X(GAUGE, upstream_cx_active) \
    X(COUNTER, upstream_cx_http1_total) \
    X(COUNTER, upstream_cx_http2_total) \
    X(COUNTER, upstream_cx_connect_fail) \
    X(COUNTER, upstream_cx_connect_timeout) \
    X(COUNTER, upstream_cx_idle_timeout) \
    X(COUNTER, upstream_cx_overflow) \
    X(COUNTER, upstream_cx_max_requests) \
    X(COUNTER, upstream_cx_close_notify) \
    X(COUNTER, upstream_cx_max_duration_reached) \
    X(COUNTER, upstream_cx_protocol_error) \
    X(COUNTER, upstream_cx_destroy) \
    X(COUNTER, upstream_cx_destroy_local) \
    X(COUNTER, upstream_cx_destroy_remote) \
    X(COUNTER, upstream_cx_destroy_with_active_rq) \
    X(COUNTER, upstream_cx_destroy_local_with_active_rq) \
    X(COUNTER, upstream_cx_destroy_remote_with_active_rq) \
    X(COUNTER, upstream_cx_rx_bytes_total) \
    X(COUNTER, upstream_cx_tx_bytes_total) \
    X(HISTOGRAM, upstream_cx_connect_ms) \
    X(HISTOGRAM, upstream_cx_length_ms) \
    X(COUNTER, upstream_rq_total) \
    X(GAUGE, upstream_rq_active) \
    X(COUNTER, upstream_rq_active_overflow) \
    X(COUNTER, upstream_rq_pending_total) \
    X(GAUGE, upstream_rq_pending_active) \
    X(COUNTER, upstream_rq_pending_overflow) \
    X(COUNTER, upstream_rq_pending_failure_eject) \
    X(COUNTER, upstream_rq_cancelled) \
    X(COUNTER, upstream_rq_timeout) \
    X(COUNTER, upstream_rq_rx_reset) \
    X(COUNTER, upstream_rq_tx_reset) \
    X(COUNTER, upstream_rq_retry) \
    X(COUNTER, upstream_rq_retry_success) \
    X(COUNTER, upstream_rq_retry_overflow) \
    X(COUNTER, upstream_rq_retry_race) \
    X(COUNTER, upstream_rq_retry_refused) \
    X(COUNTER, upstream_rq_completed) \
    X(COUNTER, upstream_rq_1xx) \
    X(COUNTER, upstream_rq_2xx) \
    X(COUNTER, upstream_rq_3xx) \
    X(COUNTER, upstream_rq_4xx) \
    X(COUNTER, upstream_rq_5xx) \
    X(HISTOGRAM, upstream_rq_time) \
    X(COUNTER, upstream_cx_none_healthy) \
    X(COUNTER, upstream_flow_control_paused_reading_total) \
    X(COUNTER, upstream_flow_control_resumed_reading_total) \
    X(COUNTER, upstream_flow_control_backed_up_total) \
    X(COUNTER, upstream_flow_control_drained_total) \
    X(GAUGE, membership_total) \
    X(GAUGE, membership_healthy) \
    X(COUNTER, membership_change) \
    X(COUNTER, update_attempt) \
    X(COUNTER, update_success) \
    X(COUNTER, update_failure) \
    X(COUNTER, update_empty) \
    X(COUNTER, update_no_rebuild)
/* clang-format on */

#define MB_CLUSTER_STATUS_MIN 100
#define MB_CLUSTER_STATUS_MAX 599

typedef struct mb_cluster_stats {
#define MB_CLUSTER_METRIC_FIELD(kind, name) mb_metric *name;
    MB_CLUSTER_METRICS(MB_CLUSTER_METRIC_FIELD)
#undef MB_CLUSTER_METRIC_FIELD
    /* circuit_breakers.default.* */
    mb_metric *cx_open, *rq_pending_open, *rq_open, *rq_retry_open;
    mb_stats *registry;
    mb_slice prefix; /* "cluster.<name>."; borrowed */
    mb_metric *status[MB_CLUSTER_STATUS_MAX - MB_CLUSTER_STATUS_MIN + 1];
} mb_cluster_stats;

/* `prefix` must live as long as `out`. MB_OK, MB_ENOMEM, or MB_EINVAL: a name is of another kind.
 */
int mb_cluster_stats_define(mb_stats *registry, mb_slice prefix, mb_cluster_stats *out);
/* Counts a final response, the upstream's or our own instead of it, once for each request. */
void mb_cluster_stats_count_status(mb_cluster_stats *stats, uint32_t status);

#endif
