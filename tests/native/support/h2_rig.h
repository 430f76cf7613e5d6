/*
 * Drives one HTTP/2 codec without a socket and writes down what it says, stream by stream, so that
 * a test compares strings and a fuzzer two ways of cutting the same input. Two rigs can be linked.
 *
 * A stream is written as one line, body pieces joined:
 *
 *     1 GET example.com /path https|name=value [body] trailers|name=value end
 *     3 200|name=value [body] end
 *     5 reset refused http2.remote_refuse
 */
#ifndef H2_RIG_H
#define H2_RIG_H

#include "base/arena.h"
#include "h2_bytes.h"
#include "http/codec.h"

#ifndef H2_RIG_FLOWS /* a fuzzer needs few */
#define H2_RIG_FLOWS 160
#endif
#define H2_FLOW_TEXT 2048

typedef struct h2_rig h2_rig;

typedef struct h2_flow {
    mb_codec_stream stream; /* first */
    h2_rig *rig;
    bool begun, in_body, ended, reset;
    bool hold;         /* leaves body pieces in `body` */
    bool pausing;      /* pauses in its first on_headers */
    bool pausing_body; /* pauses in its next on_body */
    bool above;        /* on_pressure */
    mb_arena arena;
    mb_headers headers, trailers, message;
    mb_buffer body;
    size_t body_bytes;
    uint64_t body_sum; /* of every byte and its place */
    uint32_t events;
    size_t length;
    char text[H2_FLOW_TEXT];
} h2_flow;

struct h2_rig {
    mb_slab_pool *pool;
    bool own_pool;
    mb_arena_pool arenas;
    mb_codec *codec;
    bool is_server, answer; /* answers each whole request with 200 */
    bool pause_all;         /* sets `pausing` in each new flow */
    bool refuse_begin;
    bool no_flush; /* feed does not flush */
    mb_buffer in, out;
    mb_h2_counters counters;
    const mb_protocol_error *error;
    unsigned failed, informational, capacities, ping_acks, begun;
    unsigned relieved; /* on_pressure(below) */
    h2_flow flows[H2_RIG_FLOWS];
    char text[1 << 18];
};

/* On the heap; NULL: out of memory. `pool` NULL: one of its own. `options` NULL: defaults with
 * trailers. */
h2_rig *h2_rig_new(const mb_allocator *allocator, mb_slab_pool *pool, bool is_server,
                   const mb_codec_options *options);
void h2_rig_free(h2_rig *rig);
/* Hands bytes to the codec, `step` at a time (0: all), and flushes. What `receive` answers. */
int h2_rig_feed(h2_rig *rig, mb_slice bytes, size_t step);
/* The same with what was written by hand; forgets it. */
int h2_rig_take(h2_rig *rig, h2_bytes *bytes);
int h2_rig_flush(h2_rig *rig);
/* The flow of a stream's number, or NULL. */
h2_flow *h2_rig_flow(h2_rig *rig, uint32_t id);
/* All flows, a line each. */
mb_slice h2_rig_text(h2_rig *rig);
/* What the codec wrote, as text; forgets it. */
mb_slice h2_rig_frames(h2_rig *rig);
/* Client: begins a stream and sends a head. NULL: `begin` or `send_headers` refused, `*rc` why. */
h2_flow *h2_rig_request(h2_rig *rig, const char *method, const char *path, bool end, int *rc);
/* The same of a request that asks for a WebSocket. */
h2_flow *h2_rig_upgrade(h2_rig *rig, int *rc);
/* Server: sends the head of a response. */
int h2_rig_respond(h2_flow *flow, uint32_t status, bool end);
int h2_flow_send(h2_flow *flow, mb_slice bytes, bool end);
int h2_flow_send_trailers(h2_flow *flow, mb_slice name, mb_slice value);
void h2_flow_pause(h2_flow *flow, bool paused);
/* Moves what both wrote to the other, `step` bytes at a time (0: all), until nothing moves. */
void h2_rig_link(h2_rig *a, h2_rig *b, size_t step);

#endif
