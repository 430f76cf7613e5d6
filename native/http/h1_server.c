/*
 * The HTTP/1.1 codec towards clients: requests in, responses out. States: h1_codec.h.
 *
 * Requests that are pipelined wait in the input until the response before them has ended. A
 * response whose head is sent before its request has ended closes the connection afterwards, as
 * Envoy does: the rest of that request belongs to nobody. RFC 9112 9.3.
 */
#include "http/h1_codec.h"
#include "http/message.h"

/* RFC 9112 2.2 asks for at least one; some old clients end a body with CRLF. */
#define BLANK_LINES_MAX 2u

static bool begin_stream(mb_h1 *h1) {
    mb_codec_stream *stream = h1->codec.events->on_begin(h1->codec.owner);

    if (stream == NULL) {
        h1->receiving = MB_H1_RECEIVE_DISCARD;
        h1->persistent = false;
        return false;
    }
    mb__h1_begin_stream(h1, stream);
    return true;
}

/* What was read of a head that is refused is not to be believed, not even by a log. */
static void forget(mb_headers *headers) {
    mb_headers_init(headers, headers->arena);
}

/* A request for a tunnel has no body but that. One for an upgrade that brings a body is read as if
 * it did not ask: RFC 9110 7.8 lets a server ignore it, and no byte can be taken for another. */
static mb_h1_fault frame_tunnel(mb_h1 *h1, const mb_h1_message *message, mb_h1_framing *framing) {
    mb_codec_stream *stream = h1->stream;

    if (!stream->connect_request && !stream->upgrade_request) {
        return MB_H1_FINE;
    }
    if (framing->body != MB_H1_BODY_NONE) {
        if (stream->connect_request) { /* with Envoy's answers */
            return message->coding_count != 0 ? MB_H1_CODING : MB_H1_CONNECT_BODY;
        }
        stream->upgrade_request = false;
        mb_headers_remove_token(stream->headers, MB_TOKEN_UPGRADE);
        return MB_H1_FINE;
    }
    mb_headers_remove_token(stream->headers, MB_TOKEN_CONTENT_LENGTH);
    h1->tunnel = true;
    framing->body = MB_H1_BODY_UNTIL_CLOSE;
    return MB_H1_FINE;
}

static mb_h1_fault read_head(mb_h1 *h1, mb_buffer *in, mb_h1_framing *framing) {
    mb_codec_stream *stream = h1->stream;
    mb_h1_message message;
    mb_h1_fault fault;
    char *base;

    if (mb__h1_take_section(h1, in, stream->headers, stream->head, &base) != MB_OK) {
        return MB_H1_NO_MEMORY;
    }
    fault = mb_h1_parse_request(base, &h1->lines, &h1->options, stream->headers, &message);
    h1->head_request = message.method == MB_H1_HEAD;
    stream->head_request = h1->head_request;
    stream->connect_request = message.method == MB_H1_CONNECT_METHOD;
    stream->http_10 = message.minor == 0 && h1->options.accept_http_10;
    stream->upgrade_request = message.minor == 1 && message.connection_upgrade &&
                              message.has_upgrade && !stream->connect_request;
    if (fault == MB_H1_FINE) {
        fault = mb_h1_frame_request(stream->headers, &message, framing);
    }
    if (fault == MB_H1_FINE) {
        fault = frame_tunnel(h1, &message, framing);
    }
    if (fault != MB_H1_FINE) {
        forget(stream->headers);
    }
    return fault;
}

/* Perhaps the first half of an empty line, which is no request. */
static bool is_blank(const mb_buffer *in) {
    return mb_buffer_front(in).ptr[0] == '\r';
}

static int on_head(mb_h1 *h1, mb_buffer *in) {
    mb_codec_stream *stream;
    mb_h1_framing framing;
    mb_h1_fault fault = MB_H1_FINE;
    int rc = mb__h1_find_lines(h1, in, &fault);
    bool end;

    if (rc == MB_EAGAIN) {
        /* A request begins with its first byte, so that its owner can bound how long it takes. */
        if (h1->stream == NULL && !is_blank(in) && !begin_stream(h1)) {
            return MB_OK;
        }
        return rc;
    }
    if (rc == MB_OK && h1->lines.count == 0) {
        mb_buffer_drain(in, h1->lines.scanned);
        mb__h1_lines_over(h1);
        if (++h1->blank_lines <= BLANK_LINES_MAX) {
            return MB_OK;
        }
        fault = MB_H1_BLANK_LINES;
    }
    if (h1->stream == NULL && !begin_stream(h1)) {
        return MB_OK;
    }
    if (fault == MB_H1_FINE) {
        fault = read_head(h1, in, &framing);
    }
    if (fault != MB_H1_FINE) {
        return mb__h1_fail(h1, fault);
    }
    stream = h1->stream;
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

static int send_tunnel_head(mb_h1 *h1, mb_h1_head *head, uint32_t status, bool end_stream,
                            mb_buffer *out) {
    int rc;

    h1->persistent = false;
    head->minor = 1;
    head->no_length = true;
    head->upgrade = status == 101;
    rc = mb_h1_write_response(out, head);
    if (rc == MB_OK) {
        h1->stream->tunnel_open = true;
        mb__h1_head_sent(h1, MB_H1_SEND_UNTIL_CLOSE, end_stream);
    }
    return rc;
}

static int send_headers(mb_codec *codec, mb_codec_stream *stream, const mb_headers *headers,
                        bool end_stream, mb_buffer *out) {
    mb_h1 *h1 = mb__h1(codec);
    uint32_t status = mb_http_status(headers);
    mb_h1_head head = {.headers = headers};
    mb_h1_sending sending;
    int rc;

    if (stream == NULL || stream != h1->stream || h1->sending != MB_H1_SEND_HEAD) {
        return MB_EPHASE;
    }
    if (mb__h1_accepts_tunnel(h1, status)) {
        return send_tunnel_head(h1, &head, status, end_stream, out);
    }
    if (status < 200) {
        return MB_EINVAL;
    }
    rc = mb__h1_frame_sending(h1, &head, mb_http_response_has_no_body(status, h1->head_request),
                              end_stream, &sending);
    if (rc != MB_OK) {
        return rc;
    }
    if (h1->shut_down || !stream->remote_ended) {
        h1->persistent = false;
    }
    head.minor = stream->http_10 ? 0 : 1;
    head.no_length = status == 204;
    head.close = !h1->persistent;
    head.keep_alive = stream->http_10;
    rc = mb_h1_write_response(out, &head);
    if (rc == MB_OK) {
        mb__h1_head_sent(h1, sending, end_stream);
    }
    return rc;
}

static int send_informational(mb_codec *codec, mb_codec_stream *stream, const mb_headers *headers,
                              mb_buffer *out) {
    mb_h1 *h1 = mb__h1(codec);
    uint32_t status = mb_http_status(headers);
    mb_h1_head head = {.headers = headers, .no_length = true, .minor = 1};

    if (stream == NULL || stream != h1->stream || h1->sending != MB_H1_SEND_HEAD) {
        return MB_EPHASE;
    }
    if (status < 100 || status >= 200 || status == 101) {
        return MB_EINVAL;
    }
    /* HTTP/1.0 has no 1xx: RFC 9110 15.2. */
    return stream->http_10 ? MB_OK : mb_h1_write_response(out, &head);
}

/* Streams begin with requests. */
static int begin(mb_codec *codec, mb_codec_stream *stream) {
    (void)codec;
    (void)stream;
    return MB_EINVAL;
}

static const mb_codec_vtable server_vtable = {
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

mb_codec *mb_h1_server_new(const mb_allocator *allocator, mb_arena_pool *arenas,
                           const mb_codec_options *options, const mb_codec_events *events,
                           void *owner) {
    mb_h1 *h1 = mb__h1_new(allocator, arenas, options, &server_vtable, events, owner);

    if (h1 == NULL) {
        return NULL;
    }
    h1->is_server = true;
    h1->receiving = MB_H1_RECEIVE_HEAD;
    return &h1->codec;
}
