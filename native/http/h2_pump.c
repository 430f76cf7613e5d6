/*
 * The pump of an HTTP/2 codec: lets the library write, and gives it the bodies that it asks for.
 * See h2_codec.h for the theory.
 *
 * Bodies are never copied when they are large: the library asks how much may go and writes nine
 * bytes of header, the slices are moved behind them. Streams take turns, a frame each.
 */
#include "base/alloc.h"
#include "http/h2_codec.h"

/* -- bodies: what the library asks ------------------------------------------------------------ */

static int submit_trailers(mb_h2 *h2, mb_h2_stream *s) {
    mb_h2_fields *fields = s->trailers;
    int rc = nghttp2_submit_trailer(h2->session, s->id, fields->nv, fields->count);

    s->trailers = NULL;
    mb_free(h2->allocator, fields, fields->bytes);
    return rc;
}

/* How much may go in the next frame; the bytes follow in `send_data`. */
static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                         uint32_t *data_flags, nghttp2_data_source *source, void *ctx) {
    mb_h2 *h2 = ctx;
    mb_h2_stream *s = source->ptr;
    size_t waiting = s->waiting.length;

    (void)session;
    (void)id;
    (void)buf;
    if (waiting == 0 && !s->send_end) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (h2->data_out == NULL) {
        return NGHTTP2_ERR_PAUSE;
    }
    *data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (waiting > length) {
        return (ssize_t)length;
    }
    if (s->send_end) {
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->trailers != NULL) {
            *data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (submit_trailers(h2, s) != 0) {
                mb__h2_note(h2, MB_H2_NO_MEMORY);
                return NGHTTP2_ERR_CALLBACK_FAILURE;
            }
        }
    }
    return (ssize_t)waiting;
}

/* Moves a frame's payload; small slices are copied together. */
static int move_payload(mb_buffer *out, mb_buffer *waiting, size_t length) {
    mb_buffer piece;
    int rc;

    if (length == waiting->length) {
        return mb_buffer_move_coalesce(out, waiting, NULL);
    }
    mb_buffer_init(&piece, waiting->pool);
    rc = mb_buffer_move_some(&piece, waiting, length);
    if (rc == MB_OK) {
        rc = mb_buffer_move_coalesce(out, &piece, NULL);
    }
    mb_buffer_fini(&piece);
    return rc;
}

/* END_STREAM was written. A response that ends before its request has says that the rest is not
 * wanted. RFC 9113 8.1. */
static int on_end_sent(mb_h2 *h2, mb_h2_stream *s) {
    s->end_sent = true;
    if (h2->is_server && !s->end_seen && s->stream == NULL && !s->given_up) {
        s->given_up = true;
        return nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
    }
    return 0;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
                     size_t length, nghttp2_data_source *source, void *ctx) {
    mb_h2 *h2 = ctx;
    mb_h2_stream *s = source->ptr;
    mb_buffer *out = h2->data_out;
    int rc = mb_buffer_append(out, (mb_slice){(const char *)header, MB_H2_FRAME_HEADER_BYTES});

    (void)session;
    if (rc == MB_OK && length != 0) {
        rc = move_payload(out, &s->waiting, length);
    }
    if (rc != MB_OK) {
        mb__h2_note(h2, MB_H2_NO_MEMORY);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    h2->guard.data_sent++;
    s->still = false;
    h2->counters->pending_send_bytes -= length;
    if (s->above && s->waiting.length <= h2->options.h2.stream_buffer_bytes / 2) {
        s->above = false;
        s->relief_due = true;
        mb__h2_make_ready(h2, s);
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && on_end_sent(h2, s) != 0) {
        mb__h2_note(h2, MB_H2_NO_MEMORY);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return out->length > h2->options.h2.output_bytes ? NGHTTP2_ERR_PAUSE : 0;
}

/* Before the library acts on what it wrote. DATA has had its turn in `send_data`. */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    mb_h2_stream *s;

    if (frame->hd.type != NGHTTP2_HEADERS || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) {
        return 0;
    }
    s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    return s == NULL || on_end_sent(ctx, s) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

void mb__h2_set_send_callbacks(nghttp2_session_callbacks *callbacks) {
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
}

nghttp2_data_provider mb__h2_body_of(mb_h2_stream *s) {
    return (nghttp2_data_provider){.source.ptr = s, .read_callback = read_body};
}

/* -- the pump --------------------------------------------------------------------------------- */

/* A frame that is no DATA was written: `frame` is all of it. */
static void account(mb_h2 *h2, const uint8_t *frame, bool queued) {
    int32_t id = (int32_t)(mb_h2_load32(frame + 5) & 0x7fffffffu);
    uint32_t code;

    if (queued) {
        uint32_t control = h2->guard.outbound_control;

        mb_h2_guard_queued(&h2->guard, frame);
        h2->counters->outbound_frames_active++;
        h2->counters->outbound_control_frames_active += h2->guard.outbound_control - control;
    }
    switch (frame[3]) {
    case MB_H2_HEADERS_FRAME:
    case MB_H2_CONTINUATION_FRAME:
        h2->in_block = (frame[4] & MB_H2_FLAG_END_HEADERS) == 0;
        break;
    case MB_H2_RST_STREAM_FRAME:
        h2->counters->tx_reset++;
        if (h2->closed_id != id) {
            mb__h2_note_reset(h2); /* a stream that was refused before it was ours */
        }
        break;
    case MB_H2_GOAWAY_FRAME:
        h2->counters->goaway_sent++;
        code = mb_h2_load32(frame + MB_H2_FRAME_HEADER_BYTES + 4);
        if (code != NGHTTP2_NO_ERROR) {
            h2->goaway_out = true;
            mb__h2_note(h2, mb_h2_fault_of_code(code));
        }
        break;
    default:
        break;
    }
}

/* Opens `out` for what waits and for DATA, if it has room. */
static mb_buffer *open_out(mb_h2 *h2, mb_buffer *out) {
    if (out == NULL || out->length > h2->options.h2.output_bytes) {
        return &h2->queued;
    }
    if (h2->queued.length != 0 && mb_buffer_move_coalesce(out, &h2->queued, NULL) != MB_OK) {
        mb__h2_note(h2, MB_H2_NO_MEMORY);
        return &h2->queued;
    }
    mb__h2_outbound_released(h2);
    if (out->length > h2->options.h2.output_bytes) {
        return &h2->queued;
    }
    h2->data_out = out;
    return out;
}

void mb__h2_pump(mb_h2 *h2, mb_buffer *out) {
    mb_buffer *to;

    if (h2->inside || h2->failed) {
        return;
    }
    if (h2->queued.pool == NULL) {
        if (out == NULL) {
            return;
        }
        mb_buffer_init(&h2->queued, out->pool);
    }
    to = open_out(h2, out);
    h2->inside = true;
    h2->writing = true;
    while (!mb__h2_is_broken(h2)) {
        const uint8_t *data;
        ssize_t len;

        h2->closed_id = 0;
        len = nghttp2_session_mem_send(h2->session, &data);
        if (len <= 0) {
            if (len < 0) {
                mb__h2_note_result(h2, len);
            }
            break;
        }
        if (mb_buffer_append(to, (mb_slice){(const char *)data, (size_t)len}) != MB_OK) {
            mb__h2_note(h2, MB_H2_NO_MEMORY);
        } else if (h2->preface_due) {
            h2->preface_due = false;
        } else {
            account(h2, data, to == &h2->queued);
        }
        if (to->length > h2->options.h2.output_bytes) {
            to = &h2->queued;
            h2->data_out = NULL;
        }
    }
    h2->inside = false;
    h2->writing = false;
    h2->data_out = NULL;
}

int mb__h2_flush(mb_codec *codec, mb_buffer *out) {
    mb_h2 *h2 = mb__h2(codec);

    if (h2->inside || h2->telling) {
        return MB_OK; /* the call on the stack goes on */
    }
    mb__h2_settle(h2, out);
    if (h2->failed && h2->queued.length != 0) {
        /* The last words, whatever the output holds. */
        if (mb_buffer_move(out, &h2->queued) != MB_OK) {
            return MB_ENOMEM;
        }
    }
    if (h2->fault == MB_H2_NO_MEMORY) {
        return MB_ENOMEM;
    }
    return out->length > h2->options.h2.output_bytes && !h2->failed ? MB_EAGAIN : MB_OK;
}
