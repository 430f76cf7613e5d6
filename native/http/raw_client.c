/*
 * The codec of a CONNECT that ends here: there is no HTTP on the connection, its bytes are the
 * tunnel's. Called by upstream pools like any client codec.
 *
 * One stream a connection. The request's head writes nothing; the connection is up already, so the
 * answer is 200, an event of the next `receive` (the owner calls it, with or without input). Then
 * bytes pass both ways until both ends were said: ours by `end_stream`, which the owner turns into
 * a FIN, the peer's by `receive_end`. RFC 9110 9.3.6.
 */
#include "base/alloc.h"
#include "http/codec.h"

typedef struct raw_client {
    mb_codec codec; /* first */
    const mb_allocator *allocator;
    mb_codec_stream *stream; /* NULL: none yet, or over */
    bool used;               /* has had its stream */
    bool head_sent;
    bool answered;
    bool paused;
} raw_client;

static raw_client *of(mb_codec *codec) {
    return (raw_client *)codec;
}

static void leave_when_over(raw_client *raw) {
    if (raw->stream->local_ended && raw->stream->remote_ended) {
        raw->stream = NULL;
    }
}

static void answer(raw_client *raw) {
    mb_codec_stream *stream = raw->stream;

    if (stream != NULL && raw->head_sent && !raw->answered) {
        raw->answered = true;
        stream->tunnel_open = true;
        mb_headers_set_pseudo(stream->headers, MB_PSEUDO_STATUS, MB_SLICE_LIT("200"));
        raw->codec.events->on_headers(raw->codec.owner, stream, false);
    }
}

static int fail(raw_client *raw) {
    static const mb_protocol_error no_memory = {503, "raw.out_of_memory", "out of memory"};
    mb_codec_stream *stream = raw->stream;

    raw->stream = NULL;
    raw->codec.events->on_error(raw->codec.owner, stream, &no_memory);
    return MB_EPROTO;
}

static int receive(mb_codec *codec, mb_buffer *in) {
    raw_client *raw = of(codec);

    answer(raw);
    if (in->length == 0 || raw->stream == NULL) {
        return MB_OK; /* what an unused connection says is its owner's to judge */
    }
    if (raw->paused || !raw->answered) {
        return MB_EAGAIN;
    }
    if (mb_buffer_move(raw->stream->body, in) != MB_OK) {
        return fail(raw);
    }
    codec->events->on_body(codec->owner, raw->stream, false);
    return MB_OK;
}

static void receive_end(mb_codec *codec) {
    raw_client *raw = of(codec);
    mb_codec_stream *stream = raw->stream;

    raw->used = true;
    if (stream == NULL) {
        return;
    }
    if (!raw->answered) {
        raw->stream = NULL;
        codec->events->on_reset(codec->owner, stream, MB_RESET_REMOTE);
    } else if (!stream->remote_ended) {
        stream->remote_ended = true;
        leave_when_over(raw);
        codec->events->on_body(codec->owner, stream, true);
    }
}

static void end_local(raw_client *raw, bool end_stream) {
    if (end_stream) {
        raw->stream->local_ended = true;
        leave_when_over(raw);
    }
}

static int send_headers(mb_codec *codec, mb_codec_stream *stream, const mb_headers *headers,
                        bool end_stream, mb_buffer *out) {
    raw_client *raw = of(codec);

    (void)headers;
    (void)out;
    if (stream == NULL || stream != raw->stream || raw->head_sent) {
        return MB_EPHASE;
    }
    raw->head_sent = true;
    stream->connect_request = true;
    end_local(raw, end_stream);
    return MB_OK;
}

static int send_informational(mb_codec *codec, mb_codec_stream *stream, const mb_headers *headers,
                              mb_buffer *out) {
    (void)codec;
    (void)stream;
    (void)headers;
    (void)out;
    return MB_EPHASE;
}

static int send_body(mb_codec *codec, mb_codec_stream *stream, mb_buffer *data, bool end_stream,
                     mb_buffer *out) {
    raw_client *raw = of(codec);

    if (stream == NULL || stream != raw->stream || !raw->head_sent || stream->local_ended) {
        return MB_EPHASE;
    }
    if (mb_buffer_move_coalesce(out, data, NULL) != MB_OK) {
        return MB_ENOMEM;
    }
    end_local(raw, end_stream);
    return MB_OK;
}

/* TCP has no place for trailers; they are allowed to be lost. */
static int send_trailers(mb_codec *codec, mb_codec_stream *stream, const mb_headers *trailers,
                         mb_buffer *out) {
    mb_buffer none = {.length = 0};

    (void)trailers;
    return send_body(codec, stream, &none, true, out);
}

static void pause(mb_codec *codec, mb_codec_stream *stream, bool paused) {
    raw_client *raw = of(codec);

    if (stream == raw->stream) {
        raw->paused = paused;
    }
}

static void reset(mb_codec *codec, mb_codec_stream *stream, mb_reset_reason reason,
                  mb_buffer *out) {
    raw_client *raw = of(codec);

    (void)reason;
    (void)out;
    if (stream == raw->stream) {
        raw->stream = NULL;
    }
}

static int begin(mb_codec *codec, mb_codec_stream *stream) {
    raw_client *raw = of(codec);

    if (raw->used) {
        return MB_ECLOSED;
    }
    raw->used = true;
    raw->stream = stream;
    stream->codec = codec;
    stream->id = 1;
    return MB_OK;
}

static void shut_down(mb_codec *codec, mb_buffer *out) {
    (void)out;
    of(codec)->used = true;
}

static bool reusable(const mb_codec *codec) {
    return !((const raw_client *)codec)->used;
}

static void free_raw(mb_codec *codec) {
    mb_free(of(codec)->allocator, codec, sizeof(raw_client));
}

static const mb_codec_vtable raw_vtable = {
    .protocol = "TCP",
    .receive = receive,
    .receive_end = receive_end,
    .send_headers = send_headers,
    .send_informational = send_informational,
    .send_body = send_body,
    .send_trailers = send_trailers,
    .pause = pause,
    .reset = reset,
    .begin = begin,
    .shut_down = shut_down,
    .reusable = reusable,
    .free = free_raw,
};

mb_codec *mb_raw_client_new(const mb_allocator *allocator, const mb_codec_events *events,
                            void *owner) {
    raw_client *raw = mb_zalloc(allocator, sizeof *raw);

    if (raw == NULL) {
        return NULL;
    }
    raw->codec = (mb_codec){&raw_vtable, events, owner};
    raw->allocator = allocator;
    return &raw->codec;
}
