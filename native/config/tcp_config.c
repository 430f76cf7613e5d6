/*
 * A TCP proxy and its statistics. Source: moebridge.config.tcp_model; Envoy, "TCP proxy".
 */
#include "base/slice.h"
#include "config/build.h"

#define AT(field) offsetof(mb_tcp_metrics, field)

static const mb_stats_row rows[] = {
    {"downstream_cx_total", MB_COUNTER, AT(cx_total)},
    {"downstream_cx_no_route", MB_COUNTER, AT(cx_no_route)},
    {"downstream_cx_rx_bytes_total", MB_COUNTER, AT(cx_rx_bytes)},
    {"downstream_cx_rx_bytes_buffered", MB_GAUGE, AT(cx_rx_buffered)},
    {"downstream_cx_tx_bytes_total", MB_COUNTER, AT(cx_tx_bytes)},
    {"downstream_cx_tx_bytes_buffered", MB_GAUGE, AT(cx_tx_buffered)},
    {"downstream_flow_control_paused_reading_total", MB_COUNTER, AT(flow_paused)},
    {"downstream_flow_control_resumed_reading_total", MB_COUNTER, AT(flow_resumed)},
    {"idle_timeout", MB_COUNTER, AT(idle_timeout)},
    {"max_downstream_connection_duration", MB_COUNTER, AT(max_duration)},
    {"upstream_flush_total", MB_COUNTER, AT(flush_total)},
    {"upstream_flush_active", MB_GAUGE, AT(flush_active)},
};

typedef struct tcp_parts {
    mb_tcp_config tcp;
    mb_doc clusters, access_logs;
} tcp_parts;

static const mb_doc_field tcp_fields[] = {
    MB_DOC_FIELD("stat_prefix", TEXT, tcp_parts, tcp.stat_prefix, .min = 1),
    MB_DOC_FIELD("clusters", NODE, tcp_parts, clusters),
    MB_DOC_FIELD("idle_timeout_ms", MS, tcp_parts, tcp.idle_timeout_us),
    MB_DOC_FIELD("max_downstream_connection_duration_ms", MS, tcp_parts, tcp.max_duration_us),
    MB_DOC_FIELD("max_connect_attempts", U32, tcp_parts, tcp.max_connect_attempts, .min = 1),
    MB_DOC_FIELD("access_logs", NODE, tcp_parts, access_logs),
};

static const mb_doc_field cluster_fields[] = {
    MB_DOC_FIELD("name", TEXT, mb_tcp_cluster, name, .min = 1),
    MB_DOC_FIELD("weight", U32, mb_tcp_cluster, weight, .min = 1),
};

static void read_clusters(const mb_doc *doc, mb_tcp_config *out) {
    mb_doc_items items;
    mb_doc item;
    out->clusters = mb_doc_array(doc, &items, sizeof(*out->clusters));
    while (mb_doc_next(&items, &item)) {
        MB_DOC_READ(&item, cluster_fields, &out->clusters[item.index]);
        out->weight_total += out->clusters[item.index].weight;
        out->cluster_count = item.index + 1;
    }
    if (out->cluster_count == 0 && doc->value.ptr != NULL) {
        mb_doc_fault(doc, "must not be empty");
    }
}

void mb__config_tcp(mb_builder *builder, const mb_doc *doc, mb_tcp_config *out) {
    tcp_parts found = {0};
    MB_DOC_READ(doc, tcp_fields, &found);
    mb_tcp_config *tcp = &found.tcp;
    read_clusters(&found.clusters, tcp);
    mb__config_access_logs(builder, &found.access_logs, &tcp->access_logs, &tcp->access_log_count);
    if (tcp->stat_prefix.len > 0) {
        int rc = mb_stats_define_rows(builder->worker->stats, "tcp", tcp->stat_prefix, rows,
                                      sizeof(rows) / sizeof(rows[0]), &tcp->metrics);
        if (rc == MB_ENOMEM) {
            builder->reader.status = MB_ENOMEM;
        } else if (rc < 0) {
            mb_doc_fault_at(doc, "stat_prefix", "its statistics exist as another kind");
        }
    }
    *out = *tcp;
}
