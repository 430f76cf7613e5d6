/*
 * Statistics of a listener, `listener.<address>.*` with Envoy's names. Source: Envoy, "Listener
 * statistics".
 */
#include "server/ingress.h"

#define AT(field) offsetof(mb_listener_metrics, field)

static const mb_stats_row rows[] = {
    {"downstream_cx_total", MB_COUNTER, AT(cx_total)},
    {"downstream_cx_active", MB_GAUGE, AT(cx_active)},
    {"downstream_pre_cx_active", MB_GAUGE, AT(pre_cx_active)},
    {"downstream_pre_cx_timeout", MB_COUNTER, AT(pre_cx_timeout)},
    {"downstream_listener_filter_error", MB_COUNTER, AT(filter_error)},
    {"downstream_listener_filter_remote_close", MB_COUNTER, AT(filter_remote_close)},
    {"downstream_cx_proxy_proto_error", MB_COUNTER, AT(proxy_proto_error)},
    {"no_filter_chain_match", MB_COUNTER, AT(no_filter_chain_match)},
    {"downstream_cx_transport_socket_connect_timeout", MB_COUNTER, AT(transport_connect_timeout)},
    {"http.downstream_rq_1xx", MB_COUNTER, AT(rq_class[0])},
    {"http.downstream_rq_2xx", MB_COUNTER, AT(rq_class[1])},
    {"http.downstream_rq_3xx", MB_COUNTER, AT(rq_class[2])},
    {"http.downstream_rq_4xx", MB_COUNTER, AT(rq_class[3])},
    {"http.downstream_rq_5xx", MB_COUNTER, AT(rq_class[4])},
};

int mb_listener_metrics_define(mb_stats *stats, mb_slice listener, mb_listener_metrics *out) {
    return mb_stats_define_rows(stats, "listener", listener, rows, sizeof(rows) / sizeof(rows[0]),
                                out);
}
