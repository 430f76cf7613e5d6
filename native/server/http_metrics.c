/*
 * Statistics of an HTTP connection manager and its listener, with Envoy's names. Handles are found
 * once; a reload finds the same ones again. Source: Envoy, "HTTP connection manager statistics".
 */
#include "base/text.h"
#include "server/ingress.h"

typedef struct definition {
    const char *name;
    mb_metric_kind kind;
    size_t offset; /* of the handle in mb_http_metrics */
} definition;

#define AT(field) offsetof(mb_http_metrics, field)

static const definition of_http[] = {
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
    {"downstream_rq_http1_total", MB_COUNTER, AT(rq_http1)},
    {"no_route", MB_COUNTER, AT(no_route)},
};

static const definition of_listener[] = {
    {"downstream_cx_total", MB_COUNTER, AT(listener_cx_total)},
    {"downstream_cx_active", MB_GAUGE, AT(listener_cx_active)},
    {"http.downstream_rq_1xx", MB_COUNTER, AT(listener_rq_class[0])},
    {"http.downstream_rq_2xx", MB_COUNTER, AT(listener_rq_class[1])},
    {"http.downstream_rq_3xx", MB_COUNTER, AT(listener_rq_class[2])},
    {"http.downstream_rq_4xx", MB_COUNTER, AT(listener_rq_class[3])},
    {"http.downstream_rq_5xx", MB_COUNTER, AT(listener_rq_class[4])},
};

static int define(mb_stats *stats, mb_text *name, const char *tree, mb_slice prefix,
                  const definition *definitions, size_t count, mb_http_metrics *out) {
    for (size_t i = 0; i < count; i++) {
        mb_text_clear(name);
        mb_text_c(name, tree);
        mb_text_append(name, prefix);
        mb_text_byte(name, '.');
        mb_text_c(name, definitions[i].name);
        if (name->status < 0) {
            return name->status;
        }
        mb_metric **handle = (mb_metric **)((char *)out + definitions[i].offset);
        int rc = mb_stats_define(stats, definitions[i].kind, mb_text_view(name), NULL, 0, handle);
        if (rc < 0) {
            return rc;
        }
    }
    return MB_OK;
}

int mb_http_metrics_define(mb_stats *stats, mb_slice stat_prefix, mb_slice listener,
                           mb_http_metrics *out) {
    mb_text name;
    mb_text_init(&name, stats->chunks.allocator, SIZE_MAX);
    int rc = define(stats, &name, "http.", stat_prefix, of_http,
                    sizeof(of_http) / sizeof(of_http[0]), out);
    if (rc >= 0) {
        rc = define(stats, &name, "listener.", listener, of_listener,
                    sizeof(of_listener) / sizeof(of_listener[0]), out);
    }
    mb_text_fini(&name);
    return rc;
}
