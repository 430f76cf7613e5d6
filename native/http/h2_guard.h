/*
 * Guard of an HTTP/2 connection: reads the headers of the peer's frames before the library does
 * and says where a flood begins. Also the accounts of what waits for a peer that does not read,
 * and of streams that were reset.
 *
 * Theory. The library acts on each frame at once and ignores some without a word (unknown types,
 * frames of closed streams), so it can't be asked how many came. The guard runs over the same bytes
 * first: nine bytes of header a frame (ten when it is padded), the rest is stepped over. What it
 * lets through is fed to the library, what comes after a violation never is.
 *
 * A server's guard also remembers its last MB_H2_HISTORY streams, which the library forgets as soon
 * as they are closed: a frame of a message that the peer has ended, or on a stream that it passed
 * over, is an error of the connection (RFC 9113 5.1, 5.1.1). That depends on the peer's frames
 * only, so nothing that crosses a RST_STREAM of ours is taken for one. Older streams are not
 * judged.
 *
 * The bounds and their formulas are Envoy's ("HTTP/2 protocol constraints"); those on CONTINUATION,
 * on frames without purpose, on resets and on questions are ours. Called by h2_receive.c and
 * h2_send.c. Numbers and a clock: no memory, no events. RFC 9113 4.1, 10.5.
 *
 * Questions are PING and SETTINGS, which we must answer. A peer that leaves the answers unread
 * fills `outbound_control`; one that reads them costs time only, so they are bounded by time: so
 * many take a second at least. Each DATA frame of ours and each stream within it allows one more,
 * since a peer that measures its way (gRPC) pings once for what it got. The clock is read only
 * beyond the number, so a peer that asks seldom pays for none of that.
 */
#ifndef MB_HTTP_H2_GUARD_H
#define MB_HTTP_H2_GUARD_H

#include "http/h2_fault.h"

#define MB_H2_PREFACE_BYTES 24u
#define MB_H2_FRAME_HEADER_BYTES 9u
/* Streams that are remembered; a power of two. */
#define MB_H2_HISTORY 128u

typedef enum mb_h2_frame_type {
    MB_H2_DATA_FRAME = 0,
    MB_H2_HEADERS_FRAME = 1,
    MB_H2_PRIORITY_FRAME = 2,
    MB_H2_RST_STREAM_FRAME = 3,
    MB_H2_SETTINGS_FRAME = 4,
    MB_H2_PUSH_PROMISE_FRAME = 5,
    MB_H2_PING_FRAME = 6,
    MB_H2_GOAWAY_FRAME = 7,
    MB_H2_WINDOW_UPDATE_FRAME = 8,
    MB_H2_CONTINUATION_FRAME = 9
} mb_h2_frame_type;

enum {
    MB_H2_FLAG_END_STREAM = 0x1,
    MB_H2_FLAG_ACK = 0x1,
    MB_H2_FLAG_END_HEADERS = 0x4,
    MB_H2_FLAG_PADDED = 0x8,
    MB_H2_FLAG_PRIORITY = 0x20
};

typedef struct mb_h2_frame {
    uint32_t length;  /* of the payload */
    uint32_t content; /* of the payload, without padding and priority */
    uint8_t type, flags;
    uint32_t stream_id;
} mb_h2_frame;

typedef struct mb_h2_guard {
    /* bounds */
    uint32_t max_block_bytes, max_continuations;
    uint32_t max_empty_frames, max_priority_per_stream, max_window_updates_per_data;
    uint32_t max_outbound, max_outbound_control;
    uint32_t max_resets;
    uint32_t max_questions; /* a second */
    const mb_clock *clock;
    /* the frame that is read */
    uint8_t header[MB_H2_FRAME_HEADER_BYTES + 4];
    uint8_t have;  /* bytes of `header` */
    uint32_t left; /* bytes to step over; the preface at first */
    /* accounts */
    uint32_t block_bytes, continuations; /* of the present header block */
    uint32_t empty_frames;               /* in a row */
    uint64_t opened;                     /* streams */
    uint64_t priority_frames, window_updates, other_frames;
    uint64_t data_sent;           /* frames */
    uint64_t questions;           /* since `questions_since_us` */
    uint64_t questions_explained; /* DATA sent and streams, then */
    uint64_t questions_since_us;
    uint32_t outbound, outbound_control; /* wait for the peer */
    uint64_t resets;                     /* of streams without an answer, or by the peer's fault */
    /* server: the newest streams, oldest first from `begun` on, as number * 2 + "has ended" */
    uint32_t begun; /* streams so far */
    uint32_t last_id;
    bool is_server;
    uint32_t history[MB_H2_HISTORY];
} mb_h2_guard;

/* `options` with their defaults filled in. */
void mb_h2_guard_init(mb_h2_guard *guard, const mb_codec_options *options, bool is_server);
/* Runs over bytes of the peer. Returns how many may be fed; fewer than `len` only with a fault in
 * `*fault`, and then the frame that broke a bound is not among them. */
size_t mb_h2_guard_scan(mb_h2_guard *guard, const char *at, size_t len, mb_h2_fault *fault);
/* A frame was written that waits for the peer; `header` is its nine bytes. */
void mb_h2_guard_queued(mb_h2_guard *guard, const uint8_t *header);
/* What waited is on its way. */
static inline void mb_h2_guard_released(mb_h2_guard *guard) {
    guard->outbound = 0;
    guard->outbound_control = 0;
}
mb_h2_fault mb_h2_guard_outbound(const mb_h2_guard *guard);
/* A stream was reset before its answer, or by a fault of the peer. */
mb_h2_fault mb_h2_guard_reset(mb_h2_guard *guard);

static inline uint32_t mb_h2_load32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

#endif
