/*
 * The HTTP/2 codec towards clients: requests in, responses out. See h2_codec.h.
 *
 * A stream is let go of at the end of its response, whether or not its request has ended: what
 * still comes of that is dropped, and the client is told with RST_STREAM(NO_ERROR). RFC 9113 8.1.
 */
#include "base/slice.h"
#include "http/h2_codec.h"
#include "http/message.h"

static int submit_head(mb_h2 *h2, mb_h2_stream *s, const mb_headers *headers, mb_slice status,
                       bool no_length, bool final) {
    const mb_h2_pseudo pseudo = {MB_PSEUDO_STATUS, status};
    int count = mb__h2_collect(h2, headers, &pseudo, 1, no_length);
    nghttp2_data_provider body = mb__h2_body_of(s);
    int rc;

    if (count < 0) {
        return count;
    }
    if (s->closed || h2->failed) {
        return MB_OK; /* its reset is due: nobody reads it */
    }
    if (final) {
        rc = nghttp2_submit_response(h2->session, s->id, h2->nv, (size_t)count,
                                     s->has_body ? &body : NULL);
    } else {
        rc = nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, s->id, NULL, h2->nv,
                                    (size_t)count, NULL);
    }
    return rc == 0 ? MB_OK : MB_ENOMEM;
}

static int send_headers(mb_codec *codec, mb_codec_stream *stream, const mb_headers *headers,
                        bool end_stream, mb_buffer *out) {
    mb_h2 *h2 = mb__h2(codec);
    mb_h2_stream *s = mb__h2_state(stream);
    mb_slice shown = headers->pseudo[MB_PSEUDO_STATUS];
    uint32_t status = mb_http_status(headers);
    bool accepted =
        stream->upgrade_request ? status == 101 : stream->connect_request && status < 300;
    bool tunnel, bodiless;
    int rc;

    if (s == NULL || s->head_sent) {
        return MB_EPHASE;
    }
    if (status == 101 && stream->upgrade_request) {
        status = 200; /* RFC 8441 5 */
        shown = MB_SLICE_LIT("200");
    }
    if (status < 200) {
        return MB_EINVAL;
    }
    tunnel = stream->connect_request && status < 300;
    bodiless = mb_http_response_has_no_body(status, stream->head_request);
    rc = mb__h2_frame_sending(s, headers, bodiless, end_stream && !tunnel);
    if (rc != MB_OK) {
        return rc;
    }
    if (tunnel) {
        s->has_length = false; /* RFC 9110 9.3.6 */
        s->has_body = !end_stream;
    }
    rc = submit_head(h2, s, headers, shown, tunnel || status == 204, true);
    if (rc != MB_OK) {
        return rc;
    }
    stream->tunnel_open = accepted; /* 200 to an upgrade is an ordinary answer with a body */
    mb__h2_head_sent(h2, s, end_stream);
    return mb__h2_submitted(h2, out);
}

static int send_informational(mb_codec *codec, mb_codec_stream *stream, const mb_headers *headers,
                              mb_buffer *out) {
    mb_h2 *h2 = mb__h2(codec);
    mb_h2_stream *s = mb__h2_state(stream);
    uint32_t status = mb_http_status(headers);
    int rc;

    if (s == NULL || s->head_sent) {
        return MB_EPHASE;
    }
    if (status < 100 || status >= 200 || status == 101) {
        return MB_EINVAL;
    }
    rc = submit_head(h2, s, headers, headers->pseudo[MB_PSEUDO_STATUS], true, false);
    return rc != MB_OK ? rc : mb__h2_submitted(h2, out);
}

/* Streams begin with requests. */
static int begin(mb_codec *codec, mb_codec_stream *stream) {
    (void)codec;
    (void)stream;
    return MB_EINVAL;
}

static const mb_codec_vtable server_vtable = {
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
    .expire = mb__h2_expire,
    .reusable = mb__h2_reusable,
    .free = mb__h2_free,
};

mb_codec *mb_h2_server_new(const mb_allocator *allocator, const mb_codec_options *options,
                           const mb_codec_events *events, void *owner) {
    mb_h2 *h2 = mb__h2_new(allocator, options, true, &server_vtable, events, owner);

    return h2 == NULL ? NULL : &h2->codec;
}
