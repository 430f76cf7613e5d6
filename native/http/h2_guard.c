/* See h2_guard.h. */
#include "http/h2_guard.h"

#include "base/clock.h"

#include <string.h>

#define PRIORITY_BYTES 5u
/* WINDOW_UPDATE that are always allowed: a connection's first ones. Source: Envoy. */
#define WINDOW_UPDATES_FREE 5u
/* CONTINUATION beyond what a head of the largest size needs. */
#define CONTINUATIONS_SPARE 8u
/* A header block may be so many times larger than the limit before the connection is ended and
 * not just the stream. */
#define BLOCK_FACTOR 4u
#define SECOND_US 1000000u

void mb_h2_guard_init(mb_h2_guard *guard, const mb_codec_options *options, bool is_server) {
    const mb_h2_options *h2 = &options->h2;
    uint32_t head = options->max_head_bytes;

    memset(guard, 0, sizeof *guard);
    guard->is_server = is_server;
    guard->left = is_server ? MB_H2_PREFACE_BYTES : 0;
    guard->max_block_bytes = head < UINT32_MAX / BLOCK_FACTOR ? head * BLOCK_FACTOR : UINT32_MAX;
    guard->max_continuations = head / h2->max_frame_bytes + CONTINUATIONS_SPARE;
    guard->max_empty_frames = h2->max_consecutive_empty_frames;
    guard->max_priority_per_stream = h2->max_priority_frames_per_stream;
    guard->max_window_updates_per_data = h2->max_window_updates_per_data_frame;
    guard->max_outbound = h2->max_outbound_frames;
    guard->max_outbound_control = h2->max_outbound_control_frames;
    guard->max_resets = h2->max_resets;
    guard->max_questions = h2->max_control_frames_per_s;
    guard->clock = h2->clock != NULL ? h2->clock : mb_clock_default();
    guard->questions_since_us = mb_clock_monotonic_us(guard->clock);
}

/* -- streams of the past ---------------------------------------------------------------------- */

static uint32_t *nth(mb_h2_guard *guard, uint32_t n) {
    return &guard->history[n % MB_H2_HISTORY];
}

/* The place of a stream, or NULL: `*known` says whether it would be there if it had begun. */
static uint32_t *find_stream(mb_h2_guard *guard, uint32_t id, bool *known) {
    uint32_t low = guard->begun < MB_H2_HISTORY ? 0 : guard->begun - MB_H2_HISTORY;
    uint32_t high = guard->begun;

    *known = low == 0 || id > *nth(guard, low) / 2;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint32_t *at = nth(guard, middle);

        if (*at / 2 == id) {
            return at;
        }
        if (*at / 2 < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* HEADERS, DATA or RST_STREAM of a client's stream: in the order of the protocol? */
static mb_h2_fault on_stream(mb_h2_guard *guard, const mb_h2_frame *frame) {
    bool reset = frame->type == MB_H2_RST_STREAM_FRAME, known;
    bool end = reset || (frame->flags & MB_H2_FLAG_END_STREAM) != 0;
    uint32_t *stream;

    if (!guard->is_server || frame->stream_id % 2 == 0) {
        return MB_H2_FINE;
    }
    if (frame->stream_id > guard->last_id) {
        if (frame->type == MB_H2_HEADERS_FRAME) {
            guard->last_id = frame->stream_id;
            *nth(guard, guard->begun++) = frame->stream_id * 2 + end;
        }
        return MB_H2_FINE; /* else it is idle: the library's to refuse */
    }
    stream = find_stream(guard, frame->stream_id, &known);
    if (stream == NULL) {
        if (!known || reset) {
            return MB_H2_FINE;
        }
        return frame->type == MB_H2_HEADERS_FRAME ? MB_H2_PROTOCOL : MB_H2_STREAM_CLOSED;
    }
    if ((*stream & 1) != 0 && !reset) {
        return MB_H2_STREAM_CLOSED;
    }
    *stream |= end;
    return MB_H2_FINE;
}

/* -- floods ----------------------------------------------------------------------------------- */

/* The header of a block's next frame. */
static mb_h2_fault on_block(mb_h2_guard *guard, const mb_h2_frame *frame) {
    if (frame->type == MB_H2_CONTINUATION_FRAME) {
        if (++guard->continuations > guard->max_continuations) {
            return MB_H2_CONTINUATION;
        }
    } else {
        guard->continuations = 0;
        guard->block_bytes = 0;
    }
    guard->block_bytes += frame->length;
    if (guard->block_bytes > guard->max_block_bytes) {
        return MB_H2_HEADER_BYTES;
    }
    if ((frame->flags & MB_H2_FLAG_END_HEADERS) != 0) {
        guard->opened++;
    }
    return MB_H2_FINE;
}

static mb_h2_fault on_content(mb_h2_guard *guard, const mb_h2_frame *frame) {
    bool end =
        frame->type != MB_H2_CONTINUATION_FRAME && (frame->flags & MB_H2_FLAG_END_STREAM) != 0;

    if (frame->content != 0 || end) {
        guard->empty_frames = 0;
        return MB_H2_FINE;
    }
    return ++guard->empty_frames > guard->max_empty_frames ? MB_H2_EMPTY_FRAMES : MB_H2_FINE;
}

/* Frames that ask for nothing: unknown types, GOAWAY, and RST_STREAM beyond one a stream. */
static mb_h2_fault on_other(mb_h2_guard *guard) {
    uint64_t limit = (uint64_t)guard->max_priority_per_stream * (1 + guard->opened);

    return ++guard->other_frames > limit ? MB_H2_OTHER_FRAMES : MB_H2_FINE;
}

/* PING or SETTINGS that is to be answered. */
static mb_h2_fault on_question(mb_h2_guard *guard) {
    uint64_t explained = guard->opened + guard->data_sent, now_us;

    if (++guard->questions <= guard->max_questions) {
        return MB_H2_FINE;
    }
    now_us = mb_clock_monotonic_us(guard->clock);
    if (now_us - guard->questions_since_us < SECOND_US) {
        return guard->questions > guard->max_questions + explained - guard->questions_explained
                   ? MB_H2_INBOUND_CONTROL
                   : MB_H2_FINE;
    }
    guard->questions = 1;
    guard->questions_explained = explained;
    guard->questions_since_us = now_us;
    return MB_H2_FINE;
}

/* `dependency`: of PRIORITY. The library looks at neither when priorities are off. */
static mb_h2_fault on_priority(mb_h2_guard *guard, const mb_h2_frame *frame, uint32_t dependency) {
    if (frame->stream_id == 0 || dependency == frame->stream_id) {
        return MB_H2_PROTOCOL;
    }
    return ++guard->priority_frames > (uint64_t)guard->max_priority_per_stream * (1 + guard->opened)
               ? MB_H2_PRIORITY
               : MB_H2_FINE;
}

static mb_h2_fault on_frame(mb_h2_guard *guard, const mb_h2_frame *frame) {
    mb_h2_fault fault = MB_H2_FINE;

    switch (frame->type) {
    case MB_H2_HEADERS_FRAME:
        fault = on_stream(guard, frame);
        if (fault != MB_H2_FINE) {
            return fault;
        }
        /* fall through */
    case MB_H2_CONTINUATION_FRAME:
        fault = on_block(guard, frame);
        return fault == MB_H2_FINE ? on_content(guard, frame) : fault;
    case MB_H2_DATA_FRAME:
        fault = on_stream(guard, frame);
        return fault == MB_H2_FINE ? on_content(guard, frame) : fault;
    case MB_H2_RST_STREAM_FRAME:
        (void)on_stream(guard, frame);
        return on_other(guard);
    case MB_H2_PRIORITY_FRAME:
        return on_priority(guard, frame,
                           mb_h2_load32(guard->header + MB_H2_FRAME_HEADER_BYTES) & 0x7fffffffu);
    case MB_H2_WINDOW_UPDATE_FRAME:
        return ++guard->window_updates >
                       WINDOW_UPDATES_FREE +
                           2 * (guard->opened +
                                guard->max_window_updates_per_data * guard->data_sent)
                   ? MB_H2_WINDOW_UPDATE
                   : MB_H2_FINE;
    case MB_H2_SETTINGS_FRAME:
        /* More acknowledgements than SETTINGS of ours are the library's to refuse. */
        return (frame->flags & MB_H2_FLAG_ACK) != 0 ? MB_H2_FINE : on_question(guard);
    case MB_H2_PING_FRAME:
        return (frame->flags & MB_H2_FLAG_ACK) != 0 ? on_other(guard) : on_question(guard);
    case MB_H2_PUSH_PROMISE_FRAME:
        return MB_H2_FINE;
    default: /* GOAWAY too, of which two are enough */
        return on_other(guard);
    }
}

/* Padding and priority are no content. Padding beyond the frame is the library's to refuse. */
static uint32_t content_of(const mb_h2_frame *frame, uint8_t padding) {
    uint32_t around = 0;

    if (frame->type != MB_H2_DATA_FRAME && frame->type != MB_H2_HEADERS_FRAME) {
        return frame->length;
    }
    if ((frame->flags & MB_H2_FLAG_PADDED) != 0) {
        around = 1u + padding;
    }
    if (frame->type == MB_H2_HEADERS_FRAME && (frame->flags & MB_H2_FLAG_PRIORITY) != 0) {
        around += PRIORITY_BYTES;
    }
    return frame->length > around ? frame->length - around : 0;
}

/* Bytes of the payload that are looked at: the length of the padding, the dependency. */
static uint8_t bytes_ahead(uint8_t type, uint8_t flags, uint32_t length) {
    if (type == MB_H2_PRIORITY_FRAME) {
        return length == PRIORITY_BYTES ? 4 : 0;
    }
    return (type == MB_H2_DATA_FRAME || type == MB_H2_HEADERS_FRAME) && length != 0 &&
                   (flags & MB_H2_FLAG_PADDED) != 0
               ? 1
               : 0;
}

/* Takes header bytes; true when the header is whole, and then `*frame` is filled. */
static bool take_header(mb_h2_guard *guard, const char **at, const char *end, mb_h2_frame *frame) {
    const uint8_t *header = guard->header;
    uint8_t need = MB_H2_FRAME_HEADER_BYTES, ahead = 0;

    for (;;) {
        while (guard->have < need && *at < end) {
            guard->header[guard->have++] = (uint8_t) * (*at)++;
        }
        if (guard->have < need) {
            return false;
        }
        frame->length = (uint32_t)header[0] << 16 | (uint32_t)header[1] << 8 | header[2];
        frame->type = header[3];
        frame->flags = header[4];
        frame->stream_id = mb_h2_load32(header + 5) & 0x7fffffffu;
        if (need == MB_H2_FRAME_HEADER_BYTES) {
            ahead = bytes_ahead(frame->type, frame->flags, frame->length);
        }
        if (need == MB_H2_FRAME_HEADER_BYTES + ahead) {
            break;
        }
        need = (uint8_t)(MB_H2_FRAME_HEADER_BYTES + ahead);
    }
    frame->content = content_of(frame, ahead == 1 ? header[MB_H2_FRAME_HEADER_BYTES] : 0);
    guard->left = frame->length - ahead;
    guard->have = 0;
    if (ahead != 4) {
        memset(guard->header + MB_H2_FRAME_HEADER_BYTES, 0, 4); /* no dependency */
    }
    return true;
}

size_t mb_h2_guard_scan(mb_h2_guard *guard, const char *at, size_t len, mb_h2_fault *fault) {
    const char *start = at, *end = at + len;
    mb_h2_frame frame;

    while (at < end) {
        const char *begin;
        size_t step = guard->left < (size_t)(end - at) ? guard->left : (size_t)(end - at);

        at += step;
        guard->left -= (uint32_t)step;
        begin = at;
        if (at == end || !take_header(guard, &at, end, &frame)) {
            break;
        }
        *fault = on_frame(guard, &frame);
        if (*fault != MB_H2_FINE) {
            return (size_t)(begin - start);
        }
    }
    return len;
}

static bool is_control(const uint8_t *header) {
    switch (header[3]) {
    case MB_H2_RST_STREAM_FRAME:
        return true;
    case MB_H2_PING_FRAME:
    case MB_H2_SETTINGS_FRAME:
        return (header[4] & MB_H2_FLAG_ACK) != 0;
    default:
        return false;
    }
}

void mb_h2_guard_queued(mb_h2_guard *guard, const uint8_t *header) {
    guard->outbound++;
    guard->outbound_control += is_control(header);
}

mb_h2_fault mb_h2_guard_outbound(const mb_h2_guard *guard) {
    if (guard->outbound_control > guard->max_outbound_control) {
        return MB_H2_OUTBOUND_CONTROL;
    }
    return guard->outbound > guard->max_outbound ? MB_H2_OUTBOUND : MB_H2_FINE;
}

/* As Envoy: also before so many streams were opened, once the rest could not make up for it. */
mb_h2_fault mb_h2_guard_reset(mb_h2_guard *guard) {
    uint64_t streams = guard->opened > guard->max_resets ? guard->opened : guard->max_resets;

    return ++guard->resets * 2 >= streams ? MB_H2_RESETS : MB_H2_FINE;
}
