/*
 * What the HTTP/2 codecs count, by Envoy's names (its `http2.` statistics), and a few of our own.
 *
 * Plain numbers that an owner hands in with the options and publishes as it likes; many codecs of
 * one worker may share one struct. Nothing here is touched by another thread.
 */
#ifndef MB_HTTP_H2_COUNTERS_H
#define MB_HTTP_H2_COUNTERS_H

#include <stdint.h>

/* X(name): numbers that only grow. Those from `inbound_continuation_flood` on are ours. */
#define MB_H2_COUNTER_LIST(X)                                                                      \
    X(dropped_headers_with_underscores)                                                            \
    X(goaway_sent)                                                                                 \
    X(header_overflow)                                                                             \
    X(headers_cb_no_stream)                                                                        \
    X(inbound_empty_frames_flood)                                                                  \
    X(inbound_priority_frames_flood)                                                               \
    X(inbound_window_update_frames_flood)                                                          \
    X(keepalive_timeout) /* the owner's to count: it has the clock */                              \
    X(outbound_control_flood)                                                                      \
    X(outbound_flood)                                                                              \
    X(requests_rejected_with_underscores_in_headers)                                               \
    X(rx_messaging_error)                                                                          \
    X(rx_reset)                                                                                    \
    X(stream_refused_errors)                                                                       \
    X(trailers)                                                                                    \
    X(tx_flush_timeout) /* the owner's to count */                                                 \
    X(tx_reset)                                                                                    \
    X(inbound_continuation_flood)                                                                  \
    X(inbound_control_frames_flood)                                                                \
    X(inbound_other_frames_flood)                                                                  \
    X(premature_resets_flood)

/* X(name): numbers of now. */
#define MB_H2_GAUGE_LIST(X)                                                                        \
    X(streams_active)                                                                              \
    X(pending_send_bytes)                                                                          \
    X(outbound_frames_active) /* wait for a peer that does not read */                             \
    X(outbound_control_frames_active)                                                              \
    X(deferred_stream_close) /* over for their owner, bytes of them wait for the peer */

typedef struct mb_h2_counters {
#define MB_H2_COUNTER_FIELD(name) uint64_t name;
    MB_H2_COUNTER_LIST(MB_H2_COUNTER_FIELD) MB_H2_GAUGE_LIST(MB_H2_COUNTER_FIELD)
#undef MB_H2_COUNTER_FIELD
} mb_h2_counters;

#endif
