/*
 * Statistics of an HTTP connection manager: see http_metrics.h.
 */
#include "config/http_metrics.h"

#define AT(field) offsetof(mb_http_metrics, field)

static const mb_stats_row rows[] = {
    {"downstream_cx_total", MB_COUNTER, AT(cx_total)},
    {"downstream_cx_active", MB_GAUGE, AT(cx_active)},
    {"downstream_cx_destroy", MB_COUNTER, AT(cx_destroy)},
    {"downstream_cx_destroy_remote", MB_COUNTER, AT(cx_destroy_remote)},
    {"downstream_cx_idle_timeout", MB_COUNTER, AT(cx_idle_timeout)},
    {"downstream_cx_protocol_error", MB_COUNTER, AT(cx_protocol_error)},
    {"downstream_cx_rx_bytes_total", MB_COUNTER, AT(cx_rx_bytes)},
    {"downstream_cx_tx_bytes_total", MB_COUNTER, AT(cx_tx_bytes)},
    {"downstream_cx_max_duration_reached", MB_COUNTER, AT(cx_max_duration)},
    {"downstream_cx_http1_total", MB_COUNTER, AT(cx_http1)},
    {"downstream_cx_http2_total", MB_COUNTER, AT(cx_http2)},
    {"downstream_cx_drain_close", MB_COUNTER, AT(cx_drain_close)},
    {"downstream_cx_length_ms", MB_HISTOGRAM, AT(cx_length_ms)},
    {"downstream_rq_total", MB_COUNTER, AT(rq_total)},
    {"downstream_rq_active", MB_GAUGE, AT(rq_active)},
    {"downstream_rq_completed", MB_COUNTER, AT(rq_completed)},
    {"downstream_rq_1xx", MB_COUNTER, AT(rq_class[0])},
    {"downstream_rq_2xx", MB_COUNTER, AT(rq_class[1])},
    {"downstream_rq_3xx", MB_COUNTER, AT(rq_class[2])},
    {"downstream_rq_4xx", MB_COUNTER, AT(rq_class[3])},
    {"downstream_rq_5xx", MB_COUNTER, AT(rq_class[4])},
    {"downstream_rq_time", MB_HISTOGRAM, AT(rq_time)},
    {"downstream_rq_timeout", MB_COUNTER, AT(rq_timeout)},
    {"downstream_rq_header_timeout", MB_COUNTER, AT(rq_header_timeout)},
    {"downstream_rq_idle_timeout", MB_COUNTER, AT(rq_idle_timeout)},
    {"downstream_rq_max_duration_reached", MB_COUNTER, AT(rq_max_duration)},
    {"downstream_rq_rx_reset", MB_COUNTER, AT(rq_rx_reset)},
    {"downstream_rq_tx_reset", MB_COUNTER, AT(rq_tx_reset)},
    {"downstream_rq_ws_on_non_ws_route", MB_COUNTER, AT(rq_ws_on_non_ws_route)},
    {"downstream_cx_upgrades_total", MB_COUNTER, AT(cx_upgrades)},
    {"downstream_cx_upgrades_active", MB_GAUGE, AT(cx_upgrades_open)},
    {"downstream_rq_http1_total", MB_COUNTER, AT(rq_http1)},
    {"downstream_rq_http2_total", MB_COUNTER, AT(rq_http2)},
    {"no_route", MB_COUNTER, AT(no_route)},
};

int mb_http_metrics_define(mb_stats *stats, mb_slice stat_prefix, mb_http_metrics *out) {
    return mb_stats_define_rows(stats, "http", stat_prefix, rows, sizeof(rows) / sizeof(rows[0]),
                                out);
}
