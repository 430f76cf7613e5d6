/*
 * Statistics of an HTTP connection manager, `http.<stat_prefix>.*` with Envoy's names. Handles are
 * found once, while a configuration is read; a reload finds the same ones again. Source: Envoy,
 * "HTTP connection manager statistics".
 */
#ifndef MB_CONFIG_HTTP_METRICS_H
#define MB_CONFIG_HTTP_METRICS_H

#include "base/stats.h"

typedef struct mb_http_metrics {
    mb_metric *cx_total, *cx_active, *cx_destroy, *cx_destroy_remote, *cx_idle_timeout;
    mb_metric *cx_protocol_error, *cx_rx_bytes, *cx_tx_bytes, *cx_max_duration;
    mb_metric *cx_http1, *cx_http2;
    mb_metric *cx_drain_close, *cx_length_ms;
    mb_metric *rq_total, *rq_active, *rq_completed, *rq_class[5], *rq_time, *rq_timeout;
    mb_metric *rq_header_timeout, *rq_idle_timeout, *rq_max_duration, *rq_rx_reset, *rq_tx_reset;
    mb_metric *rq_ws_on_non_ws_route;          /* tunnels that were refused */
    mb_metric *cx_upgrades, *cx_upgrades_open; /* accepted, and of those not over yet */
    mb_metric *rq_http1, *rq_http2, *no_route;
} mb_http_metrics;

/* MB_OK, MB_ENOMEM, MB_EINVAL (the name serves for another kind of metric). */
int mb_http_metrics_define(mb_stats *stats, mb_slice stat_prefix, mb_http_metrics *out);

#endif
