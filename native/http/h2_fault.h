/*
 * Why an HTTP/2 connection is ended: one number a rule, what the peer is told (the error code of
 * GOAWAY) and what the owner is told. Stream errors are not here: they reset the stream only, with
 * `reset_details`.
 *
 * `details` are Envoy's names, those of a flood its counter's. RFC 9113 7.
 */
#ifndef MB_HTTP_H2_FAULT_H
#define MB_HTTP_H2_FAULT_H

#include "http/codec.h"

/* X(name, error code, details, reason) */
#define MB_H2_FAULT_LIST(X)                                                                        \
    X(NO_MEMORY, 0x2, "http2.out_of_memory", "out of memory")                                      \
    X(PREFACE, 0x1, "http2.invalid_preface", "the first bytes are not the HTTP/2 preface")         \
    X(PROTOCOL, 0x1, "http2.protocol_error", "PROTOCOL_ERROR")                                     \
    X(INTERNAL, 0x2, "http2.internal_error", "INTERNAL_ERROR")                                     \
    X(FLOW_CONTROL, 0x3, "http2.flow_control_error", "FLOW_CONTROL_ERROR")                         \
    X(STREAM_CLOSED, 0x5, "http2.stream_closed", "frame on a stream that has ended")               \
    X(FRAME_SIZE, 0x6, "http2.frame_size_error", "frame of a wrong size")                          \
    X(COMPRESSION, 0x9, "http2.compression_error", "header block that HPACK can't decode")         \
    X(SETTINGS, 0xb, "http2.outbound_control_flood", "SETTINGS with too many entries")             \
    X(OUTBOUND, 0xb, "http2.outbound_flood", "more frames wait for the peer than the limit")       \
    X(OUTBOUND_CONTROL, 0xb, "http2.outbound_control_flood",                                       \
      "more answers to PING, SETTINGS or bad frames wait for the peer than the limit")             \
    X(INBOUND_CONTROL, 0xb, "http2.inbound_control_frames_flood",                                  \
      "more PING and SETTINGS in a second than the limit")                                         \
    X(EMPTY_FRAMES, 0xb, "http2.inbound_empty_frames_flood", "frames without content in a row")    \
    X(PRIORITY, 0xb, "http2.inbound_priority_frames_flood", "more PRIORITY than the limit")        \
    X(WINDOW_UPDATE, 0xb, "http2.inbound_window_update_frames_flood",                              \
      "more WINDOW_UPDATE than the DATA that was sent explains")                                   \
    X(CONTINUATION, 0xb, "http2.inbound_continuation_flood", "header block in too many frames")    \
    X(HEADER_BYTES, 0xb, "http2.header_overflow", "header block far larger than the limit")        \
    X(OTHER_FRAMES, 0xb, "http2.inbound_other_frames_flood", "frames that serve no purpose")       \
    X(RESETS, 0xb, "http2.premature_resets_flood", "most streams were reset before their answer")

typedef enum mb_h2_fault {
    MB_H2_FINE = 0,
#define MB_H2_FAULT_ENUM(name, code, details, reason) MB_H2_##name,
    MB_H2_FAULT_LIST(MB_H2_FAULT_ENUM)
#undef MB_H2_FAULT_ENUM
        MB_H2_FAULT_COUNT
} mb_h2_fault;

/* What the events tell of a fault. Constant. */
const mb_protocol_error *mb_h2_error(mb_h2_fault fault);
/* The error code of GOAWAY. */
uint32_t mb_h2_error_code(mb_h2_fault fault);
/* The fault that stands for an error code which the library chose. */
mb_h2_fault mb_h2_fault_of_code(uint32_t code);
/* Counts it under its name in Envoy's statistics, if it has one. */
void mb_h2_fault_count(mb_h2_fault fault, mb_h2_counters *counters);

#endif
