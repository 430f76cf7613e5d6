/*
 * Configuration of a TCP proxy, as server/tcp_proxy.c reads it: the model's `TcpProxy`
 * (bridge/moebridge/config/tcp_model.py) in C types. Made by tcp_config.c, immutable; all memory is
 * the snapshot's. Times are in microseconds, 0 is off.
 */
#ifndef MB_CONFIG_TCP_CONFIG_H
#define MB_CONFIG_TCP_CONFIG_H

#include "config/hcm_config.h"

/* `tcp.<stat_prefix>.*` with Envoy's names. */
typedef struct mb_tcp_metrics {
    mb_metric *cx_total, *cx_no_route, *cx_rx_bytes, *cx_tx_bytes, *cx_rx_buffered, *cx_tx_buffered;
    mb_metric *flow_paused, *flow_resumed, *idle_timeout, *max_duration;
    mb_metric *flush_total, *flush_active;
} mb_tcp_metrics;

typedef struct mb_tcp_cluster {
    mb_slice name;
    uint32_t weight; /* >= 1 */
} mb_tcp_cluster;

typedef struct mb_tcp_config {
    mb_slice stat_prefix;
    mb_tcp_cluster *clusters; /* at least one */
    uint32_t cluster_count;
    uint64_t weight_total;
    uint64_t idle_timeout_us; /* no byte in either direction */
    uint64_t max_duration_us; /* of the downstream connection */
    uint32_t max_connect_attempts;
    mb_access_log_config *access_logs; /* a line for each closed connection */
    uint32_t access_log_count;
    mb_tcp_metrics metrics;
} mb_tcp_config;

#endif
