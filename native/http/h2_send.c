/*
 * The sending half of an HTTP/2 codec: the fields of a head, framing of our message, bodies and
 * trailers up to where they wait for the pump (h2_pump.c). See h2_codec.h.
 *
 * The head declares a length once and every later call is held to it, as in HTTP/1: a body that is
 * longer or shorter is refused before a byte of it is written.
 */
#include "base/alloc.h"
#include "base/slice.h"
#include "http/chars.h"
#include "http/h2_codec.h"
#include "http/message.h"

/* A first scratch of fields: most heads have fewer. */
#define FIRST_FIELDS 64u

/* -- fields ----------------------------------------------------------------------------------- */

static int reserve_fields(mb_h2 *h2, size_t count) {
    size_t capacity = h2->nv_capacity == 0 ? FIRST_FIELDS : h2->nv_capacity;
    nghttp2_nv *grown;

    if (count <= h2->nv_capacity) {
        return MB_OK;
    }
    while (capacity < count) {
        capacity *= 2;
    }
    grown =
        mb_resize(h2->allocator, h2->nv, h2->nv_capacity * sizeof *grown, capacity * sizeof *grown);
    if (grown == NULL) {
        return MB_ENOMEM;
    }
    h2->nv = grown;
    h2->nv_capacity = capacity;
    return MB_OK;
}

/* RFC 9113 8.2.1: no white space around a value. */
static bool set_nv(nghttp2_nv *nv, mb_slice name, mb_slice value, uint8_t flags) {
    value = mb_slice_trim_ows(value);
    *nv = (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len,
                       value.len, flags};
    if (nv->value == NULL) {
        nv->value = (uint8_t *)(uintptr_t) "";
    }
    return mb_http_is_value(value);
}

/* Whether a field of the connection's part of the table may travel after all. */
static bool is_sent(const mb_field *field, bool no_length) {
    switch (field->token) {
    case MB_TOKEN_TE:
        return mb_slice_equal(field->value, MB_SLICE_LIT("trailers"));
    case MB_TOKEN_TRAILER:
        return true;
    case MB_TOKEN_CONTENT_LENGTH:
        return !no_length;
    default: /* hop-by-hop, and host, which is :authority */
        return false;
    }
}

int mb__h2_collect(mb_h2 *h2, const mb_headers *headers, const mb_h2_pseudo *pseudo,
                   size_t pseudo_count, bool no_length) {
    /* A server's head is written by the pump that follows at once; a client's may have to wait. */
    bool borrow = h2->is_server && !h2->inside;
    uint8_t known = NGHTTP2_NV_FLAG_NO_COPY_NAME | (borrow ? NGHTTP2_NV_FLAG_NO_COPY_VALUE : 0);
    uint8_t other = borrow ? known : NGHTTP2_NV_FLAG_NONE;
    size_t at = 0;
    bool good = true;

    if (reserve_fields(h2, pseudo_count + headers->count) != MB_OK) {
        return MB_ENOMEM;
    }
    for (size_t i = 0; i < pseudo_count; i++) {
        if (pseudo[i].value.ptr != NULL) {
            good &= set_nv(&h2->nv[at++], mb_pseudo_name(pseudo[i].which), pseudo[i].value, known);
        }
    }
    for (uint32_t i = 0; i < headers->count; i++) {
        const mb_field *field = &headers->fields[i];

        if (field->token != MB_TOKEN_NONE && field->token <= MB_TOKEN_CONTENT_LENGTH &&
            !is_sent(field, no_length)) {
            continue;
        }
        good &= set_nv(&h2->nv[at++], field->name, field->value,
                       field->token != MB_TOKEN_NONE ? known : other);
    }
    return good ? (int)at : MB_EINVAL;
}

mb_h2_fields *mb__h2_keep_fields(const mb_h2 *h2, size_t count) {
    size_t bytes = sizeof(mb_h2_fields) + count * sizeof(nghttp2_nv);
    mb_h2_fields *fields;
    uint8_t *at;

    for (size_t i = 0; i < count; i++) {
        bytes += h2->nv[i].namelen + h2->nv[i].valuelen;
    }
    fields = mb_alloc(h2->allocator, bytes);
    if (fields == NULL) {
        return NULL;
    }
    fields->bytes = bytes;
    fields->count = count;
    at = (uint8_t *)&fields->nv[count];
    for (size_t i = 0; i < count; i++) {
        nghttp2_nv *nv = &fields->nv[i];

        *nv = h2->nv[i];
        nv->flags = NGHTTP2_NV_FLAG_NONE;
        nv->name = memcpy(at, nv->name, nv->namelen);
        at += nv->namelen;
        nv->value = memcpy(at, nv->value, nv->valuelen);
        at += nv->valuelen;
    }
    return fields;
}

/* -- framing ---------------------------------------------------------------------------------- */

int mb__h2_frame_sending(mb_h2_stream *s, const mb_headers *headers, bool bodiless,
                         bool end_stream) {
    uint64_t length = 0;
    int rc = mb_http_content_length(headers, &length);

    if (rc == MB_EINVAL) {
        return rc;
    }
    if (rc == MB_OK && !bodiless && end_stream && length != 0) {
        return MB_EPROTO;
    }
    s->bodiless = bodiless;
    s->has_length = rc == MB_OK && !bodiless;
    s->send_left = length;
    s->has_body = !bodiless && !end_stream;
    return MB_OK;
}

/* Our message is over for the owner. What is left of a request is not wanted then, but of a tunnel
 * it is. */
static void end_local(mb_h2 *h2, mb_h2_stream *s) {
    bool last = h2->is_server && !s->stream->tunnel_open;

    s->send_end = true;
    s->stream->local_ended = true;
    if (last || s->stream->remote_ended) {
        mb__h2_let_go(h2, s);
    }
    if (last && s->end_sent && !s->end_seen && !s->closed && !s->given_up) {
        s->given_up = true;
        if (nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR) !=
            0) {
            mb__h2_note(h2, MB_H2_NO_MEMORY);
        }
    }
    mb__h2_stream_release(h2, s);
}

void mb__h2_head_sent(mb_h2 *h2, mb_h2_stream *s, bool end_stream) {
    s->head_sent = true;
    if (end_stream) {
        end_local(h2, s);
    }
}

int mb__h2_submitted(mb_h2 *h2, mb_buffer *out) {
    if (!h2->inside) {
        mb__h2_pump(h2, out);
    }
    return h2->fault == MB_H2_NO_MEMORY ? MB_ENOMEM : MB_OK;
}

/* -- bodies and trailers ---------------------------------------------------------------------- */

/* The library is to ask for the body again. */
static void resume(mb_h2 *h2, mb_h2_stream *s) {
    if (s->deferred && !s->closed) {
        s->deferred = false;
        if (nghttp2_is_fatal(nghttp2_session_resume_data(h2->session, s->id))) {
            mb__h2_note(h2, MB_H2_NO_MEMORY);
        }
    }
}

static int check_length(mb_h2_stream *s, size_t length, bool end_stream) {
    if (!s->has_length) {
        return MB_OK;
    }
    if (length > s->send_left || (end_stream && length != s->send_left)) {
        return MB_EPROTO;
    }
    s->send_left -= length;
    return MB_OK;
}

static int enqueue(mb_h2 *h2, mb_h2_stream *s, mb_buffer *data) {
    size_t length = data->length;

    if (s->waiting.pool == NULL) {
        mb_buffer_init(&s->waiting, data->pool);
    }
    if (mb_buffer_move(&s->waiting, data) != MB_OK) {
        return MB_ENOMEM;
    }
    h2->counters->pending_send_bytes += length;
    return MB_OK;
}

/* More than it should be still waits after the pump. */
static void tell_pressure(mb_h2 *h2, mb_h2_stream *s) {
    if (!s->above && s->waiting.length > h2->options.h2.stream_buffer_bytes) {
        s->above = true;
        s->relief_due = false;
        if (h2->codec.events->on_pressure != NULL) {
            h2->codec.events->on_pressure(h2->codec.owner, s->stream, true);
        }
    }
}

int mb__h2_send_body(mb_codec *codec, mb_codec_stream *stream, mb_buffer *data, bool end_stream,
                     mb_buffer *out) {
    mb_h2 *h2 = mb__h2(codec);
    mb_h2_stream *s = mb__h2_state(stream);
    int rc;

    if (s == NULL || !s->head_sent || s->send_end) {
        return MB_EPHASE;
    }
    rc = check_length(s, data->length, end_stream);
    if (rc != MB_OK) {
        return rc;
    }
    if (s->bodiless || s->closed || s->reset_due || h2->failed) {
        mb_buffer_clear(data);
    } else if (data->length != 0 && enqueue(h2, s, data) != MB_OK) {
        return MB_ENOMEM;
    }
    resume(h2, s);
    if (end_stream) {
        end_local(h2, s);
        return mb__h2_submitted(h2, out);
    }
    rc = mb__h2_submitted(h2, out);
    tell_pressure(h2, s);
    return rc;
}

int mb__h2_send_trailers(mb_codec *codec, mb_codec_stream *stream, const mb_headers *trailers,
                         mb_buffer *out) {
    mb_h2 *h2 = mb__h2(codec);
    mb_h2_stream *s = mb__h2_state(stream);
    int count;

    if (s == NULL || !s->head_sent || s->send_end) {
        return MB_EPHASE;
    }
    if (check_length(s, 0, true) != MB_OK) {
        return MB_EPROTO;
    }
    if (s->has_body && trailers->count != 0 && !s->closed && !h2->failed) {
        count = mb__h2_collect(h2, trailers, NULL, 0, true);
        if (count < 0) {
            return count;
        }
        if (count > 0) {
            s->trailers = mb__h2_keep_fields(h2, (size_t)count);
            if (s->trailers == NULL) {
                return MB_ENOMEM;
            }
        }
    }
    resume(h2, s);
    end_local(h2, s);
    return mb__h2_submitted(h2, out);
}
