/*
 * The receiving half of an HTTP/2 codec: feeding the library, what its callbacks note, and the
 * events made from that. See h2_codec.h for the theory; header blocks: h2_headers.c.
 */
#include "http/h2_codec.h"

#include <string.h>

/* A body that comes in pieces below this is copied together, so that a piece of a few bytes does
 * not keep a slab of what was around it. */
#define SMALL_PIECE MB_BUFFER_COPY_BELOW
/* ... and joined when it has so many segments of less than SMALL_PIECE on average. */
#define SEGMENTS_MAX 32u
#define GOAWAY_BYTES 17u

/* -- what came -------------------------------------------------------------------------------- */

static mb_h2_stream *stream_of(const mb_h2 *h2, int32_t id) {
    return nghttp2_session_get_stream_user_data(h2->session, id);
}

/* By reference to the slab that is read, or copied behind the piece before. */
static int append_piece(const mb_h2 *h2, mb_buffer *body, mb_slice piece) {
    if (piece.len < SMALL_PIECE && body->length != 0) {
        if (body->count >= SEGMENTS_MAX && body->length / body->count < SMALL_PIECE) {
            mb_slice joined;

            if (mb_buffer_join(body, body->length, &joined, NULL) != MB_OK) {
                return MB_ENOMEM;
            }
        }
        return mb_buffer_append(body, piece);
    }
    return h2->feeding == NULL ? mb_buffer_append_static(body, piece)
                               : mb_buffer_append_slab(body, h2->feeding, piece.ptr, piece.len);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *ctx) {
    mb_h2 *h2 = ctx;
    mb_h2_stream *s = stream_of(h2, id);

    (void)flags;
    if (nghttp2_session_consume_connection(session, len) != 0) {
        mb__h2_note(h2, MB_H2_NO_MEMORY);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (s == NULL || s->stream == NULL) {
        return 0;
    }
    if (append_piece(h2, s->stream->body, (mb_slice){(const char *)data, len}) != MB_OK) {
        mb__h2_note(h2, MB_H2_NO_MEMORY);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    s->fresh += len;
    mb__h2_make_ready(h2, s);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    mb_h2 *h2 = ctx;
    mb_h2_stream *s;

    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        return mb__h2_on_block_end(h2, frame);
    case NGHTTP2_DATA:
        s = stream_of(h2, frame->hd.stream_id);
        if (s != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
            s->end_seen = true;
            mb__h2_make_ready(h2, s);
        }
        return 0;
    case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
            h2->capacity_due |= !h2->is_server;
            if (!h2->settled) {
                h2->settled = true;
                mb__h2_send_held(h2);
            }
        }
        return 0;
    case NGHTTP2_PING:
        h2->ping_due |= (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
        return 0;
    case NGHTTP2_GOAWAY:
        h2->peer_goaway = true;
        h2->capacity_due = !h2->is_server;
        return 0;
    case NGHTTP2_RST_STREAM:
        h2->counters->rx_reset++;
        return 0;
    default:
        return 0;
    }
}

/* The library refuses a frame: the stream's end follows when its RST_STREAM is written. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int rc,
                            void *ctx) {
    mb_h2 *h2 = ctx;
    mb_h2_stream *s = stream_of(h2, frame->hd.stream_id);

    (void)session;
    if (rc == NGHTTP2_ERR_REFUSED_STREAM) {
        h2->counters->stream_refused_errors++;
        return 0;
    }
    if (rc == NGHTTP2_ERR_HTTP_HEADER || rc == NGHTTP2_ERR_HTTP_MESSAGING) {
        h2->counters->rx_messaging_error++;
    }
    if (s != NULL && s->stream != NULL) {
        s->stream->reset_details = rc == NGHTTP2_ERR_HTTP_HEADER
                                       ? "http2.invalid.header.field"
                                       : "http2.violation.of.messaging.rule";
    }
    return 0;
}

/* -- the library lets go of a stream ---------------------------------------------------------- */

/* RST_STREAM was written. Whose wish it was, `given_up` says. */
static void on_reset_sent(mb_h2 *h2, mb_h2_stream *s, uint32_t code) {
    const char *details = s->stream != NULL ? s->stream->reset_details : NULL;

    if (s->given_up) {
        return;
    }
    if (!h2->is_server && code == NGHTTP2_REFUSED_STREAM) {
        /* A request that the library could not send any more: GOAWAY came before. */
        mb__h2_reset_due(h2, s, MB_RESET_REFUSED, "http2.remote_refuse");
        return;
    }
    if (details == NULL) {
        details = "http2.violation.of.messaging.rule";
        h2->counters->rx_messaging_error += code == NGHTTP2_PROTOCOL_ERROR;
    }
    mb__h2_note_reset(h2);
    mb__h2_reset_due(h2, s, MB_RESET_PROTOCOL, details);
}

/* RST_STREAM or GOAWAY has come. After the end of a whole response NO_ERROR says just that the rest
 * of the request is not wanted: RFC 9113 8.1. */
static void on_reset_received(mb_h2 *h2, mb_h2_stream *s, uint32_t code) {
    if (!s->end_sent && !s->head_sent) {
        mb__h2_note_reset(h2);
    }
    if (s->stream == NULL) {
        return;
    }
    if (!h2->is_server && s->end_seen && code == NGHTTP2_NO_ERROR) {
        /* What the owner still sends of it is taken and dropped. */
        mb__h2_drop_waiting(h2, s);
        s->relief_due = s->above;
        s->above = false;
        mb__h2_make_ready(h2, s);
        return;
    }
    if (code == NGHTTP2_REFUSED_STREAM) {
        mb__h2_reset_due(h2, s, MB_RESET_REFUSED, "http2.remote_refuse");
    } else {
        mb__h2_reset_due(h2, s, MB_RESET_REMOTE, "http2.remote_reset");
    }
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx) {
    mb_h2 *h2 = ctx;
    mb_h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

    if (h2->writing) {
        h2->closed_id = id;
    }
    if (s == NULL) {
        return 0;
    }
    s->closed = true;
    mb__h2_set_left(h2, s, false);
    if (h2->block.s == s) {
        h2->block.kind = MB_H2_BLOCK_NONE;
    }
    if (!(s->end_seen && s->end_sent)) {
        if (h2->writing) {
            on_reset_sent(h2, s, code);
        } else {
            on_reset_received(h2, s, code);
        }
    }
    mb__h2_stream_release(h2, s);
    /* What is to be written still is: GOAWAY comes behind it. */
    return h2->writing || h2->fault == MB_H2_FINE ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

void mb__h2_set_receive_callbacks(nghttp2_session_callbacks *callbacks) {
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}

/* -- events ----------------------------------------------------------------------------------- */

static void tell_reset(mb_h2 *h2, mb_h2_stream *s) {
    mb_codec_stream *stream = s->stream;
    mb_reset_reason reason = s->reset_reason;

    mb__h2_let_go(h2, s);
    h2->codec.events->on_reset(h2->codec.owner, stream, reason);
}

/* The peer's message is over for the owner with the next event. */
static void end_remote(mb_h2 *h2, mb_h2_stream *s) {
    s->stream->remote_ended = true;
    if (s->stream->local_ended) {
        mb__h2_let_go(h2, s);
    }
}

static void tell_head(mb_h2 *h2, mb_h2_stream *s) {
    mb_codec_stream *stream = s->stream;
    bool end = s->end_seen && s->fresh == 0 && !s->trailers_due;

    s->head_due = false;
    if (end) {
        end_remote(h2, s);
    }
    h2->codec.events->on_headers(h2->codec.owner, stream, end);
}

static void tell_body(mb_h2 *h2, mb_h2_stream *s) {
    mb_codec_stream *stream = s->stream;
    bool end = s->end_seen && !s->trailers_due;
    size_t len = s->fresh;

    s->fresh = 0;
    if (end) {
        end_remote(h2, s);
    }
    h2->codec.events->on_body(h2->codec.owner, stream, end);
    if (s->closed || s->end_seen || h2->failed) {
        return;
    }
    if (s->paused) {
        s->kept_back += len;
    } else if (len != 0 && nghttp2_session_consume_stream(h2->session, s->id, len) != 0) {
        mb__h2_note(h2, MB_H2_NO_MEMORY);
    }
}

static void tell_trailers(mb_h2 *h2, mb_h2_stream *s) {
    mb_codec_stream *stream = s->stream;

    s->trailers_due = false;
    end_remote(h2, s);
    h2->codec.events->on_trailers(h2->codec.owner, stream);
}

/* Everything that is due of a stream, in order, as far as its owner wants to hear it. */
static void tell_stream(mb_h2 *h2, mb_h2_stream *s) {
    if (s->reset_due) {
        tell_reset(h2, s);
        return;
    }
    if (s->relief_due) {
        s->relief_due = false;
        if (h2->codec.events->on_pressure != NULL) {
            h2->codec.events->on_pressure(h2->codec.owner, s->stream, false);
        }
    }
    if (s->stream != NULL && s->head_due && !s->paused) {
        tell_head(h2, s);
    }
    if (s->stream != NULL && !s->head_due && !s->paused &&
        (s->fresh != 0 || (s->end_seen && !s->trailers_due && !s->stream->remote_ended))) {
        tell_body(h2, s);
    }
    if (s->stream != NULL && s->trailers_due && !s->head_due && s->fresh == 0 && !s->paused) {
        tell_trailers(h2, s);
    }
}

static void tell(mb_h2 *h2) {
    mb_list_node *node;

    h2->telling = true;
    while (!h2->failed && h2->fault == MB_H2_FINE &&
           (node = mb_list_pop_front(&h2->ready)) != NULL) {
        mb_h2_stream *s = MB_LIST_ENTRY(node, mb_h2_stream, ready);

        if (s->stream != NULL) {
            s->busy = true;
            tell_stream(h2, s);
            s->busy = false;
            mb__h2_stream_release(h2, s);
        }
    }
    if (h2->ping_due && !h2->failed) {
        h2->ping_due = false;
        if (h2->codec.events->on_ping_ack != NULL) {
            h2->codec.events->on_ping_ack(h2->codec.owner);
        }
    }
    if (h2->capacity_due) {
        h2->capacity_due = false;
        h2->starved = false;
        if (h2->codec.events->on_capacity != NULL) {
            h2->codec.events->on_capacity(h2->codec.owner);
        }
    }
    h2->telling = false;
}

/* -- the end of the connection ---------------------------------------------------------------- */

/* By hand, since the library's state may be anything now. */
static void write_goaway(mb_h2 *h2, mb_h2_fault fault) {
    uint32_t code = mb_h2_error_code(fault);
    uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(h2->session);
    char frame[GOAWAY_BYTES] = {0, 0, 8, MB_H2_GOAWAY_FRAME};

    if (h2->goaway_out || h2->in_block || h2->preface_due || h2->queued.pool == NULL) {
        return;
    }
    for (int i = 0; i < 4; i++) {
        frame[9 + i] = (char)(last >> (24 - 8 * i));
        frame[13 + i] = (char)(code >> (24 - 8 * i));
    }
    if (mb_buffer_append(&h2->queued, (mb_slice){frame, sizeof frame}) == MB_OK) {
        h2->counters->goaway_sent++;
    }
}

static void fail(mb_h2 *h2) {
    mb_h2_fault fault = h2->fault;

    h2->failed = true;
    mb_h2_fault_count(fault, h2->counters);
    write_goaway(h2, fault);
    MB_LIST_FOREACH(&h2->streams, node) {
        mb_h2_stream *s = MB_LIST_ENTRY(node, mb_h2_stream, node);

        if (s->stream != NULL) {
            if (!s->reset_due) {
                s->reset_reason = MB_RESET_PROTOCOL;
                s->stream->reset_details = mb_h2_error(fault)->details;
            }
            tell_reset(h2, s);
        }
    }
    if (!h2->is_server && h2->codec.events->on_capacity != NULL) {
        h2->codec.events->on_capacity(h2->codec.owner);
    }
    h2->codec.events->on_error(h2->codec.owner, NULL, mb_h2_error(fault));
}

void mb__h2_settle(mb_h2 *h2, mb_buffer *out) {
    if (h2->inside || h2->telling || h2->failed) {
        return;
    }
    for (;;) {
        mb__h2_pump(h2, out);
        if (h2->fault == MB_H2_FINE) {
            h2->fault = mb_h2_guard_outbound(&h2->guard);
        }
        if (h2->fault != MB_H2_FINE) {
            fail(h2);
            return;
        }
        if (mb_list_is_empty(&h2->ready) && !h2->ping_due && !h2->capacity_due) {
            return;
        }
        tell(h2);
    }
}

/* -- the interface ---------------------------------------------------------------------------- */

/* Feeds the first segment of `in`, up to a violation, and takes it off. */
static void feed(mb_h2 *h2, mb_buffer *in) {
    const mb_segment *segment = &in->segments[in->first];
    mb_h2_fault fault = MB_H2_FINE;
    size_t len = segment->len;
    size_t allowed = mb_h2_guard_scan(&h2->guard, segment->ptr, len, &fault);
    ssize_t rc;

    h2->feeding = segment->slab;
    h2->inside = true;
    rc = nghttp2_session_mem_recv(h2->session, (const uint8_t *)segment->ptr, allowed);
    h2->inside = false;
    h2->feeding = NULL;
    mb_buffer_drain(in, len);
    if (rc < 0) {
        mb__h2_note_result(h2, rc);
    } else if (fault != MB_H2_FINE) {
        mb__h2_note(h2, fault);
    }
}

int mb__h2_receive(mb_codec *codec, mb_buffer *in) {
    mb_h2 *h2 = mb__h2(codec);

    if (h2->inside || h2->telling) {
        return MB_OK; /* from within an event: the call on the stack goes on */
    }
    if (h2->queued.pool == NULL) {
        mb_buffer_init(&h2->queued, in->pool);
    }
    while (in->length != 0 && !h2->failed && h2->fault == MB_H2_FINE) {
        feed(h2, in);
    }
    mb__h2_settle(h2, NULL);
    if (h2->failed) {
        mb_buffer_clear(in);
        return MB_EPROTO;
    }
    return MB_OK;
}

/* A server can still answer what has come whole. */
void mb__h2_receive_end(mb_codec *codec) {
    mb_h2 *h2 = mb__h2(codec);

    if (h2->failed || h2->peer_closed) {
        return;
    }
    h2->peer_closed = true;
    h2->capacity_due = !h2->is_server;
    MB_LIST_FOREACH(&h2->streams, node) {
        mb_h2_stream *s = MB_LIST_ENTRY(node, mb_h2_stream, node);

        if (!s->end_seen) {
            mb__h2_reset_due(h2, s, MB_RESET_REMOTE, "http2.remote_reset");
        }
    }
    mb__h2_settle(h2, NULL);
}
