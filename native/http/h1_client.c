/*
 * The HTTP/1.1 codec towards upstreams: requests out, responses in. States: h1_codec.h.
 *
 * An upstream is read as strictly as a client, since what it may smuggle is a response to somebody
 * else. One request at a time, never pipelined. RFC 9112 6.3, 9.2.
 */
#include "base/slice.h"
#include "http/h1_codec.h"
#include "http/message.h"

static mb_h1_fault read_head(mb_h1 *h1, mb_buffer *in, mb_h1_message *message,
                             mb_h1_framing *framing) {
    mb_codec_stream *stream = h1->stream;
    mb_h1_fault fault;
    char *base;

    if (h1->lines.count == 0) {
        return MB_H1_STATUS_LINE;
    }
    if (mb__h1_take_section(h1, in, stream->headers, stream->head, &base) != MB_OK) {
        return MB_H1_NO_MEMORY;
    }
    fault = mb_h1_parse_response(base, &h1->lines, &h1->options, stream->headers, message);
    stream->http_10 = message->minor == 0;
    if (fault == MB_H1_FINE && mb__h1_accepts_tunnel(h1, message->status)) {
        *framing = (mb_h1_framing){.body = MB_H1_BODY_UNTIL_CLOSE};
        stream->tunnel_open = true;
        mb_headers_remove_token(stream->headers, MB_TOKEN_CONTENT_LENGTH);
        return MB_H1_FINE;
    }
    return fault == MB_H1_FINE
               ? mb_h1_frame_response(stream->headers, message, h1->head_request, framing)
               : fault;
}

/* A 1xx: the map is used again for what comes next. */
static int informational(mb_h1 *h1, uint16_t status) {
    mb_codec_stream *stream = h1->stream;

    if (status == 101) {
        return mb__h1_fail(h1, MB_H1_SWITCHING);
    }
    if (++h1->informational > h1->options.max_informational) {
        return mb__h1_fail(h1, MB_H1_TOO_MANY_INFORMATIONAL);
    }
    mb__h1_lines_over(h1);
    h1->codec.events->on_informational(h1->codec.owner, stream);
    if (h1->stream == stream) {
        mb_headers_init(stream->headers, stream->headers->arena);
    }
    return MB_OK;
}

static int on_head(mb_h1 *h1, mb_buffer *in) {
    mb_codec_stream *stream = h1->stream;
    mb_h1_message message;
    mb_h1_framing framing;
    mb_h1_fault fault = MB_H1_FINE;
    int rc;
    bool end;

    if (h1->sending == MB_H1_SEND_HEAD) {
        return mb__h1_fail(h1, MB_H1_UNEXPECTED_DATA);
    }
    rc = mb__h1_find_lines(h1, in, &fault);
    if (rc == MB_EAGAIN) {
        return rc;
    }
    if (fault == MB_H1_FINE) {
        fault = read_head(h1, in, &message, &framing);
    }
    if (fault != MB_H1_FINE) {
        return mb__h1_fail(h1, fault);
    }
    if (message.status < 200 && !mb__h1_accepts_tunnel(h1, message.status)) {
        return informational(h1, message.status);
    }
    end = framing.body == MB_H1_BODY_NONE;
    mb__h1_begin_body(h1, &framing);
    if (end) {
        mb__h1_message_received(h1, in);
    }
    h1->codec.events->on_headers(h1->codec.owner, stream, end);
    return MB_OK;
}

static int receive(mb_codec *codec, mb_buffer *in) {
    return mb__h1_receive(mb__h1(codec), in, on_head);
}

static int begin(mb_codec *codec, mb_codec_stream *stream) {
    mb_h1 *h1 = mb__h1(codec);

    if (h1->stream != NULL) {
        return MB_EAGAIN;
    }
    if (h1->receiving != MB_H1_RECEIVE_IDLE || !mb__h1_reusable(codec)) {
        return MB_ECLOSED;
    }
    mb__h1_begin_stream(h1, stream);
    h1->receiving = MB_H1_RECEIVE_HEAD;
    h1->informational = 0;
    mb__h1_lines_over(h1);
    return MB_OK;
}

/* An empty body is said but where none is usual: RFC 9110 8.6, and the same methods as Envoy. */
static bool says_empty(mb_slice method) {
    static const char *const without[] = {"GET", "HEAD", "DELETE", "TRACE"};

    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        if (mb_slice_equal(method, mb_slice_from_c(without[i]))) {
            return false;
        }
    }
    return true;
}

static int send_headers(mb_codec *codec, mb_codec_stream *stream, const mb_headers *headers,
                        bool end_stream, mb_buffer *out) {
    mb_h1 *h1 = mb__h1(codec);
    mb_slice method = headers->pseudo[MB_PSEUDO_METHOD];
    mb_h1_head head = {.headers = headers, .close = h1->shut_down};
    mb_h1_sending sending;
    int rc;

    if (stream == NULL || stream != h1->stream || h1->sending != MB_H1_SEND_HEAD) {
        return MB_EPHASE;
    }
    head.connect = mb_slice_equal(method, MB_SLICE_LIT("CONNECT"));
    head.upgrade = stream->tunnel && !end_stream && mb_headers_has(headers, MB_TOKEN_UPGRADE);
    if (head.connect && !stream->tunnel) {
        return MB_EINVAL;
    }
    if (head.connect || head.upgrade) {
        sending = MB_H1_SEND_UNTIL_CLOSE;
        head.no_length = true;
        h1->persistent = false;
    } else {
        /* A tunnel that a filter has taken the wish for away: nothing follows the head. */
        rc = mb__h1_frame_sending(h1, &head, false, end_stream || stream->tunnel, &sending);
        if (rc != MB_OK) {
            return rc;
        }
    }
    head.empty = head.empty && says_empty(method);
    rc = mb_h1_write_request(out, h1->lines.scan, &head);
    if (rc != MB_OK) {
        return rc;
    }
    h1->tunnel = head.connect || head.upgrade;
    stream->connect_request = head.connect;
    stream->upgrade_request = head.upgrade;
    h1->head_request = mb_http_is_head(headers);
    stream->head_request = h1->head_request;
    mb__h1_head_sent(h1, sending, end_stream);
    return MB_OK;
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
    .protocol = "HTTP/1.1",
    .receive = receive,
    .receive_end = mb__h1_receive_end,
    .send_headers = send_headers,
    .send_informational = send_informational,
    .send_body = mb__h1_send_body,
    .send_trailers = mb__h1_send_trailers,
    .pause = mb__h1_pause,
    .reset = mb__h1_reset,
    .begin = begin,
    .shut_down = mb__h1_shut_down,
    .reusable = mb__h1_reusable,
    .free = mb__h1_free,
};

mb_codec *mb_h1_client_new(const mb_allocator *allocator, mb_arena_pool *arenas,
                           const mb_codec_options *options, const mb_codec_events *events,
                           void *owner) {
    mb_h1 *h1 = mb__h1_new(allocator, arenas, options, &client_vtable, events, owner);

    return h1 == NULL ? NULL : &h1->codec;
}
