/*
 * The HTTP/2 codec towards upstreams: requests out, responses in. See h2_codec.h.
 *
 * A stream has no number before its request is sent; numbers go up in the order of requests. What
 * the peer says it did not process (REFUSED_STREAM, a GOAWAY that names an earlier stream) is reset
 * with MB_RESET_REFUSED, so that it can be sent again elsewhere. RFC 9113 5.1.1, 6.8, 8.7.
 */
#include "base/alloc.h"
#include "base/slice.h"
#include "http/h2_codec.h"
#include "http/message.h"

static uint32_t max_streams(const mb_h2 *h2) {
    uint32_t ours = h2->options.h2.max_concurrent_streams;
    uint32_t theirs =
        nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

    return ours < theirs ? ours : theirs;
}

static int begin(mb_codec *codec, mb_codec_stream *stream) {
    mb_h2 *h2 = mb__h2(codec);

    if (!mb__h2_reusable(codec)) {
        return MB_ECLOSED;
    }
    if (h2->active >= max_streams(h2)) {
        h2->starved = true;
        return MB_EAGAIN;
    }
    return mb__h2_stream_new(h2, stream, 0) == NULL ? MB_ENOMEM : MB_OK;
}

/* RFC 9113 8.3.1, 8.5; an upgrade becomes an extended CONNECT: RFC 8441 4. Fills `pseudo`; 0: the
 * request can't be sent. */
static size_t pseudo_of(const mb_headers *headers, mb_slice upgrade, mb_h2_pseudo *pseudo) {
    const mb_slice *of = headers->pseudo;
    bool extended = upgrade.len != 0;
    bool connect = mb_slice_equal(of[MB_PSEUDO_METHOD], MB_SLICE_LIT("CONNECT"));
    size_t count = 0;

    if (of[MB_PSEUDO_METHOD].len == 0) {
        return 0;
    }
    pseudo[count++] =
        (mb_h2_pseudo){MB_PSEUDO_METHOD, extended ? MB_SLICE_LIT("CONNECT") : of[MB_PSEUDO_METHOD]};
    if (!connect) {
        if (of[MB_PSEUDO_SCHEME].len == 0 || of[MB_PSEUDO_PATH].len == 0) {
            return 0;
        }
        pseudo[count++] = (mb_h2_pseudo){MB_PSEUDO_SCHEME, of[MB_PSEUDO_SCHEME]};
        pseudo[count++] = (mb_h2_pseudo){MB_PSEUDO_PATH, of[MB_PSEUDO_PATH]};
    }
    pseudo[count++] = (mb_h2_pseudo){MB_PSEUDO_AUTHORITY, of[MB_PSEUDO_AUTHORITY]};
    if (extended) {
        pseudo[count++] = (mb_h2_pseudo){MB_PSEUDO_PROTOCOL, upgrade};
    }
    return count;
}

static int submit_request(mb_h2 *h2, mb_h2_stream *s, const nghttp2_nv *nv, size_t count) {
    nghttp2_data_provider body = mb__h2_body_of(s);
    int32_t id =
        nghttp2_submit_request(h2->session, NULL, nv, count, s->has_body ? &body : NULL, s);

    if (id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE) {
        return MB_ECLOSED;
    }
    if (id < 0) {
        return MB_ENOMEM;
    }
    s->id = id;
    s->stream->id = (uint32_t)id;
    h2->guard.opened++;
    return MB_OK;
}

/* -- extended CONNECT -------------------------------------------------------------------------- */

/* What the peer does not know the library has no part in. */
static void give_back(mb_h2 *h2, mb_h2_stream *s, mb_reset_reason reason, const char *details) {
    s->closed = true;
    mb__h2_reset_due(h2, s, reason, details);
}

/* Once the peer has said what it takes: RFC 8441 3. Results as of submit_request. */
static int send_extended(mb_h2 *h2, mb_h2_stream *s, const nghttp2_nv *nv, size_t count) {
    if (nghttp2_session_get_remote_settings(h2->session,
                                            NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 0) {
        give_back(h2, s, MB_RESET_UNABLE, "http2.extended_connect_not_enabled");
        return MB_OK;
    }
    return submit_request(h2, s, nv, count);
}

void mb__h2_send_held(mb_h2 *h2) {
    MB_LIST_FOREACH(&h2->streams, node) {
        mb_h2_stream *s = MB_LIST_ENTRY(node, mb_h2_stream, node);
        int rc = MB_OK;

        if (s->head != NULL && !s->closed) {
            rc = send_extended(h2, s, s->head->nv, s->head->count);
        }
        if (rc == MB_ECLOSED) {
            give_back(h2, s, MB_RESET_REFUSED, "http2.remote_refuse");
        } else if (rc != MB_OK) {
            mb__h2_note(h2, MB_H2_NO_MEMORY);
        }
    }
}

static int send_or_hold(mb_h2 *h2, mb_h2_stream *s, size_t count) {
    if (h2->settled) {
        return send_extended(h2, s, h2->nv, count);
    }
    s->head = mb__h2_keep_fields(h2, count);
    return s->head == NULL ? MB_ENOMEM : MB_OK;
}

/* -- requests ---------------------------------------------------------------------------------- */

static int send_headers(mb_codec *codec, mb_codec_stream *stream, const mb_headers *headers,
                        bool end_stream, mb_buffer *out) {
    mb_h2 *h2 = mb__h2(codec);
    mb_h2_stream *s = mb__h2_state(stream);
    mb_slice upgrade = stream->tunnel && !end_stream ? mb_headers_value(headers, MB_TOKEN_UPGRADE)
                                                     : (mb_slice){NULL, 0};
    mb_h2_pseudo pseudo[5];
    size_t pseudo_count;
    bool connect;
    int rc;

    if (s == NULL || s->head_sent) {
        return MB_EPHASE;
    }
    if (h2->failed) {
        return MB_ECLOSED;
    }
    pseudo_count = pseudo_of(headers, upgrade, pseudo);
    if (pseudo_count == 0) {
        return MB_EINVAL;
    }
    connect = mb_slice_equal(pseudo[0].value, MB_SLICE_LIT("CONNECT"));
    if (connect && !stream->tunnel) {
        return MB_EINVAL;
    }
    rc = mb__h2_frame_sending(s, headers, false, end_stream);
    if (rc != MB_OK) {
        return rc;
    }
    if (connect) {
        s->has_length = false;
    }
    rc = mb__h2_collect(h2, headers, pseudo, pseudo_count, connect);
    if (rc >= 0) {
        rc = upgrade.len != 0 ? send_or_hold(h2, s, (size_t)rc)
                              : submit_request(h2, s, h2->nv, (size_t)rc);
    }
    if (rc != MB_OK) {
        return rc;
    }
    stream->head_request = mb_http_is_head(headers);
    stream->connect_request = connect;
    stream->upgrade_request = upgrade.len != 0;
    mb__h2_head_sent(h2, s, end_stream);
    return mb__h2_submitted(h2, out);
}

/* Only responses are informational. */
static int send_informational(mb_codec *codec, mb_codec_stream *stream, const mb_headers *headers,
                              mb_buffer *out) {
    (void)codec;
    (void)stream;
    (void)headers;
    (void)out;
    return MB_EPHASE;
}

static const mb_codec_vtable client_vtable = {
    .protocol = "HTTP/2",
    .multiplexed = true,
    .receive = mb__h2_receive,
    .receive_end = mb__h2_receive_end,
    .send_headers = send_headers,
    .send_informational = send_informational,
    .send_body = mb__h2_send_body,
    .send_trailers = mb__h2_send_trailers,
    .pause = mb__h2_pause,
    .reset = mb__h2_reset,
    .begin = begin,
    .shut_down = mb__h2_shut_down,
    .flush = mb__h2_flush,
    .ping = mb__h2_ping,
    .unfinished = mb__h2_unfinished,
    .reusable = mb__h2_reusable,
    .free = mb__h2_free,
};

mb_codec *mb_h2_client_new(const mb_allocator *allocator, const mb_codec_options *options,
                           const mb_codec_events *events, void *owner) {
    mb_h2 *h2 = mb__h2_new(allocator, options, false, &client_vtable, events, owner);

    return h2 == NULL ? NULL : &h2->codec;
}
