/*
 * What the two HTTP/1.1 codecs share: the state of one connection, how a body is received, how
 * messages are sent. h1_server.c and h1_client.c differ in heads and in what comes after a message.
 *
 * Theory. A connection is two message pipes. One stream uses both: on the server its request is
 * received and its response sent, on the client the other way round. Each pipe has a state:
 *
 *     receiving:  HEAD -> (LENGTH | CHUNKED -> TRAILERS | UNTIL_CLOSE) -> ENDED
 *     sending:    HEAD -> (LENGTH | CHUNKED | UNTIL_CLOSE | SWALLOW) -> ENDED
 *
 * A tunnel (an upgrade, CONNECT) is UNTIL_CLOSE both ways: on a server from the request's head on,
 * where its owner pauses it until a response has accepted; on a client from that response on.
 *
 * When both have ENDED the stream is over: if the connection is persistent both pipes go back to
 * their start (server: receiving HEAD; client: IDLE until `begin`), else receiving becomes DISCARD.
 * A fault leads to FAILED from anywhere; giving up, or ending a response before its request has
 * ended, to DISCARD: what the peer still sends then belongs to nobody and is thrown away, never
 * read as a message.
 *
 * All state is updated before an event, and nothing of a stream is touched after its last event,
 * so that the owner may free the stream in there.
 */
#ifndef MB_HTTP_H1_CODEC_H
#define MB_HTTP_H1_CODEC_H

#include "http/h1_chunked.h"
#include "http/h1_framing.h"
#include "http/h1_write.h"

typedef enum mb_h1_receiving {
    MB_H1_RECEIVE_IDLE = 0, /* client without a stream: no byte may come */
    MB_H1_RECEIVE_HEAD,
    MB_H1_RECEIVE_LENGTH,
    MB_H1_RECEIVE_CHUNKED,
    MB_H1_RECEIVE_TRAILERS,
    MB_H1_RECEIVE_UNTIL_CLOSE,
    MB_H1_RECEIVE_ENDED,   /* waits for our side to end */
    MB_H1_RECEIVE_DISCARD, /* no further message: bytes are dropped */
    MB_H1_RECEIVE_FAILED,  /* after on_error */
} mb_h1_receiving;

typedef enum mb_h1_sending {
    MB_H1_SEND_HEAD = 0, /* no final head sent yet */
    MB_H1_SEND_LENGTH,   /* `send_left` bytes must still come */
    MB_H1_SEND_CHUNKED,
    MB_H1_SEND_UNTIL_CLOSE, /* to an HTTP/1.0 client; a tunnel */
    MB_H1_SEND_SWALLOW,     /* a body that the response may not have: taken and dropped */
    MB_H1_SEND_ENDED,
} mb_h1_sending;

typedef struct mb_h1 {
    mb_codec codec; /* first: the interface's pointer is ours */
    const mb_allocator *allocator;
    mb_codec_options options; /* defaults filled in */
    mb_codec_stream *stream;  /* the present one; NULL: none */
    mb_h1_receiving receiving;
    mb_h1_sending sending;
    uint64_t receive_left, send_left; /* bytes of a body with a length */
    mb_h1_chunked chunked;
    uint32_t next_id;
    uint32_t informational; /* client: 1xx of the present response */
    uint8_t blank_lines;    /* server: before the present request */
    bool is_server;
    bool paused;
    bool persistent;   /* another message may follow the present one */
    bool shut_down;    /* the owner takes no further stream */
    bool closed;       /* the peer sends no more */
    bool head_request; /* the response of the present stream has no body */
    bool tunnel;       /* the present request asks for one */
    mb_h1_lines lines;
    mb_arena line_memory; /* of lines.ends, for as long as a head or trailers are on their way */
} mb_h1;

static inline mb_h1 *mb__h1(mb_codec *codec) {
    return (mb_h1 *)codec;
}

mb_h1 *mb__h1_new(const mb_allocator *allocator, mb_arena_pool *arenas,
                  const mb_codec_options *options, const mb_codec_vtable *vtable,
                  const mb_codec_events *events, void *owner);
/* The section was read, or there is none yet: its lines are forgotten. */
void mb__h1_lines_over(mb_h1 *h1);

/* The stream becomes the present one. */
static inline void mb__h1_begin_stream(mb_h1 *h1, mb_codec_stream *stream) {
    stream->codec = &h1->codec;
    stream->id = ++h1->next_id;
    stream->local_ended = false;
    stream->remote_ended = false;
    stream->head_request = false;
    stream->connect_request = false;
    stream->http_10 = false;
    stream->upgrade_request = false;
    stream->tunnel_open = false;
    stream->reset_details = NULL;
    h1->stream = stream;
    h1->tunnel = false;
    h1->sending = MB_H1_SEND_HEAD;
    h1->head_request = false;
}

/* Such a response lets the present stream's tunnel begin: RFC 9110 7.8, 9.3.6. */
static inline bool mb__h1_accepts_tunnel(const mb_h1 *h1, uint32_t status) {
    return h1->tunnel &&
           (h1->stream->connect_request ? status >= 200 && status < 300 : status == 101);
}

/* -- receiving (h1_receive.c). All return MB_OK to go on, MB_EAGAIN to stop, MB_EPROTO ----------
 */

/* Reads on until `in` is empty or nothing more may be read; `on_head` makes a head's event. */
int mb__h1_receive(mb_h1 *h1, mb_buffer *in, int (*on_head)(mb_h1 *h1, mb_buffer *in));
/* Feeds the line finder with what `in` has beyond what it has seen. MB_OK when the section is
 * complete; MB_EAGAIN when more is needed; MB_EPROTO with `fault`. */
int mb__h1_find_lines(mb_h1 *h1, const mb_buffer *in, mb_h1_fault *fault);
/* Takes the complete section off `in` to where it lives as long as the stream: `*base`. */
int mb__h1_take_section(mb_h1 *h1, mb_buffer *in, mb_headers *headers, mb_buffer *keep,
                        char **base);
/* What follows the head, by its framing. */
void mb__h1_begin_body(mb_h1 *h1, const mb_h1_framing *framing);
/* The last byte of the message was read, `in` is what is left; call before its last event. */
void mb__h1_message_received(mb_h1 *h1, const mb_buffer *in);
/* Reports a fault as the last event; returns MB_EPROTO. */
int mb__h1_fail(mb_h1 *h1, mb_h1_fault fault);
void mb__h1_receive_end(mb_codec *codec);

/* -- sending (h1_send.c): the vtable's functions ----------------------------------------------- */

/* Our message has ended. */
void mb__h1_message_sent(mb_h1 *h1);
/* Decides how the body is framed: fills `head` and `*sending`, and `send_left`. `bodiless`: the
 * message has no body whatever its fields say. MB_OK, MB_EINVAL or MB_EPROTO (the content-length
 * is wrong). */
int mb__h1_frame_sending(mb_h1 *h1, mb_h1_head *head, bool bodiless, bool end_stream,
                         mb_h1_sending *sending);
/* The head was written. */
void mb__h1_head_sent(mb_h1 *h1, mb_h1_sending sending, bool end_stream);
int mb__h1_send_body(mb_codec *codec, mb_codec_stream *stream, mb_buffer *data, bool end_stream,
                     mb_buffer *out);
int mb__h1_send_trailers(mb_codec *codec, mb_codec_stream *stream, const mb_headers *trailers,
                         mb_buffer *out);
void mb__h1_pause(mb_codec *codec, mb_codec_stream *stream, bool paused);
void mb__h1_reset(mb_codec *codec, mb_codec_stream *stream, mb_reset_reason reason, mb_buffer *out);
bool mb__h1_reusable(const mb_codec *codec);
void mb__h1_shut_down(mb_codec *codec, mb_buffer *out);
void mb__h1_free(mb_codec *codec);

#endif
