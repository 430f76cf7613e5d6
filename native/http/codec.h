/*
 * Codec: turns the bytes of one connection into streams and back. HTTP/1.1 has one stream at a
 * time, HTTP/2 many; nothing above this interface can tell.
 *
 * Sans-I/O: a codec reads from one buffer and writes to another, both given by its owner (the
 * HTTP connection manager downstream, the connection pool upstream), and never touches a socket.
 *
 * Re-entrancy: event callbacks may call `send_*`, `pause`, `reset` of the same codec. They may
 * not free it; the owner frees it after `receive` returned. `receive` stops after the event
 * that paused or ended the codec and can be called again to go on. A codec of many streams stops
 * for none of them.
 *
 * What a codec of many streams has to say itself (acknowledgements, window updates) and bodies
 * that wait for the peer's windows leave through `flush`. Its owner calls that after `receive` and
 * whenever the output has sunk to its low watermark; so the output never grows far above the high
 * one, and the rest waits in the codec, stream by stream (`on_pressure`). Its events come from
 * `receive`, `receive_end` and `flush` only, but for `on_pressure` above, which is the last act of
 * `send_body`.
 *
 * A client of HTTP/2 keeps an extended CONNECT back until the peer's SETTINGS say whether it takes
 * one; until then the stream's `id` is 0. RFC 8441 3.
 *
 * Errors of a peer are values (mb_protocol_error), never asserts. RFC 9112, RFC 9113.
 */
#ifndef MB_HTTP_CODEC_H
#define MB_HTTP_CODEC_H

#include "base/buffer.h"
#include "http/h2_counters.h"
#include "http/header_map.h"

typedef struct mb_codec mb_codec;

/* Why a message was refused. `details` are Envoy's response code details. */
typedef struct mb_protocol_error {
    uint16_t status;     /* what a server answers: 400, 413, 414, 426, 431, 501, 505 */
    const char *details; /* constant: "http1.invalid_chunk_size", ... */
    const char *reason;  /* constant, for the log: one line for a person */
} mb_protocol_error;

typedef enum mb_reset_reason {
    MB_RESET_LOCAL = 0, /* we gave the stream up */
    MB_RESET_REMOTE,    /* the peer reset the stream or closed within it */
    MB_RESET_PROTOCOL,  /* the peer broke the protocol */
    MB_RESET_REFUSED,   /* not processed by the peer: may be sent again */
    MB_RESET_UNABLE,    /* not sent: the peer does not take such a request (RFC 8441 3) */
    MB_RESET_UNWANTED   /* ours: our message is complete and goes out to its end, but what the peer
                         * still sends of its own is not wanted (RFC 9113 8.1, NO_ERROR) */
} mb_reset_reason;

/* The codec's part of a stream; embedded in the owner's stream object. */
typedef struct mb_codec_stream {
    mb_codec *codec;
    uint32_t id;          /* HTTP/2 stream id, 0: not sent yet; 1, 2, 3... in HTTP/1 */
    bool local_ended;     /* we sent the end of our message */
    bool remote_ended;    /* the peer sent the end of its */
    mb_headers *headers;  /* where the codec puts the peer's head; owner sets it */
    mb_buffer *head;      /* keeps the bytes that `headers` points to; owner sets and empties it,
                           * or leaves NULL: then they are copied to the map's arena */
    mb_headers *trailers; /* where it puts trailers; owner sets it */
    mb_buffer *body;      /* where it puts body pieces before `on_body`; owner sets it */
    bool head_request;    /* the request is HEAD, the response has no body; codec sets it */
    /* CONNECT, an extended one too: codec sets it. It has no path, and a 2xx accepts it. On a
     * server it does not end with its head, and neither does an upgrade: what follows is the
     * tunnel's, which the owner lets in (`pause`) when it has accepted. */
    bool connect_request;
    bool http_10; /* the peer's message came as HTTP/1.0; codec sets it */
    /* Asks for another protocol than h2c; codec sets it. In the map it is a GET with `upgrade`,
     * whatever the wire has (HTTP/2: an extended CONNECT), and 101 accepts it. */
    bool upgrade_request;
    /* A final head has accepted the tunnel; codec sets it with that head. From then on the end of
     * one message says nothing of the other: RFC 9110 9.3.6. */
    bool tunnel_open;
    /* Client: the request asks for a tunnel, by CONNECT or by `upgrade` in its head; owner sets it.
     * Without it neither is sent. The end of its body is said by the end of the connection's
     * sending side, which is the owner's to make (HTTP/1). */
    bool tunnel;
    void *state;               /* a codec of many streams: its own part; NULL once it let go */
    const char *reset_details; /* why, for on_reset: Envoy's response code details, constant; of
                                * many streams only, else NULL */
} mb_codec_stream;

typedef struct mb_codec_events {
    /* Server: a request begins, with its first byte. Returns the stream, its pointers set, or NULL:
     * the codec stops (out of memory or shutting down). */
    mb_codec_stream *(*on_begin)(void *owner);
    /* The head is complete and in `stream->headers`. Hop-by-hop fields and those that Connection
     * names are gone by then (message.h), except `te: trailers`, and `trailer` where trailers are
     * passed on. `expect` stays: the owner answers it or sends it on. `:scheme` is set only by a
     * target in absolute-form. A stream may be freed, in an event too, once both sides have ended
     * or it was reset. */
    void (*on_headers)(void *owner, mb_codec_stream *stream, bool end_stream);
    /* Client: a 1xx other than 101; `stream->headers` holds it and is cleared afterwards. */
    void (*on_informational)(void *owner, mb_codec_stream *stream);
    /* New bytes were appended to `stream->body`, which the owner empties. */
    void (*on_body)(void *owner, mb_codec_stream *stream, bool end_stream);
    /* The message ended with trailers, in `stream->trailers`. */
    void (*on_trailers)(void *owner, mb_codec_stream *stream);
    /* The peer ended the stream abruptly (or the connection, within the stream). */
    void (*on_reset)(void *owner, mb_codec_stream *stream, mb_reset_reason reason);
    /* Many streams: what waits of the stream's own body for the peer's window has grown above (has
     * sunk to half of) the options' `stream_buffer_bytes`. NULL allowed. */
    void (*on_pressure)(void *owner, mb_codec_stream *stream, bool above);
    /* Client of many streams: `reusable` may answer otherwise than before, or there may be room
     * again after `begin` had none. NULL allowed. */
    void (*on_capacity)(void *owner);
    /* The answer to `ping`. NULL allowed. */
    void (*on_ping_ack)(void *owner);
    /* The connection can carry nothing more. A server's `stream` is the one it happened in, begun
     * for the purpose if need be, so that it can be answered and logged like others: unless a head
     * was sent before, the codec still takes `send_headers` and `send_body` of it, and the owner
     * closes afterwards. NULL: `on_begin` gave none; on a client also: bytes that belong to no
     * response (what was received before them stays good). Many streams: always NULL, and each
     * stream that was open has been reset before (what the codec says at the end, GOAWAY, comes
     * with the next `flush`). Last event of the codec. */
    void (*on_error)(void *owner, mb_codec_stream *stream, const mb_protocol_error *error);
} mb_codec_events;

typedef struct mb_codec_vtable {
    const char *protocol; /* "HTTP/1.1", "HTTP/2" */
    /* Carries many streams at once: pausing one must not stop the reading of the connection. */
    bool multiplexed;
    /* Parses what it can of `in`, draining it, with events. Returns MB_OK (all consumed or more
     * input needed), MB_EAGAIN (paused or waiting for the owner: call again later), MB_EPROTO. A
     * server of HTTP/1 stops with MB_EAGAIN between two requests too: call again when the next one
     * may begin, which need not be before the answers so far have left. */
    int (*receive)(mb_codec *codec, mb_buffer *in);
    /* The peer will send no more. Ends a response framed by close; resets a cut message. A server
     * can still answer a request that is complete. Call it when nothing is left in `in` that
     * `receive` could take: it ends what it finds open. */
    void (*receive_end)(mb_codec *codec);
    /* Each appends to `out`. MB_OK, MB_ENOMEM, MB_EINVAL (a byte that would break the framing),
     * MB_EPHASE. `data` is emptied. A body that does not match its content-length is refused
     * with MB_EPROTO before a wrong byte is written; the owner then resets the stream. The body of
     * a response that can't have one (HEAD, 204, 304) is taken and dropped, its content-length is
     * kept (204: dropped). After MB_ENOMEM from `send_body` the connection must be closed.
     * HTTP/1: `connection` and framing fields in the map are left out, the codec writes its own; a
     * response whose head goes out before its request has ended closes the connection, and what
     * still comes of that request is dropped without events. */
    int (*send_headers)(mb_codec *codec, mb_codec_stream *stream, const mb_headers *headers,
                        bool end_stream, mb_buffer *out);
    int (*send_informational)(mb_codec *codec, mb_codec_stream *stream, const mb_headers *headers,
                              mb_buffer *out);
    int (*send_body)(mb_codec *codec, mb_codec_stream *stream, mb_buffer *data, bool end_stream,
                     mb_buffer *out);
    int (*send_trailers)(mb_codec *codec, mb_codec_stream *stream, const mb_headers *trailers,
                         mb_buffer *out);
    /* Stops or restarts delivery of the peer's message. HTTP/1 stops parsing; HTTP/2 keeps what
     * comes (at most the stream's window) in `stream->body` without an event and lets the window
     * close. After restarting call `receive`, with or without input: what was kept comes then. */
    void (*pause)(mb_codec *codec, mb_codec_stream *stream, bool paused);
    /* Gives a stream up: no event of it follows. HTTP/1: the connection can not be used again. A
     * server of HTTP/2 whose response has ended says with it that the rest of the request is not
     * wanted (RFC 9113 8.1); it does that by itself too, so the stream is let go of at the end of
     * its response. */
    void (*reset)(mb_codec *codec, mb_codec_stream *stream, mb_reset_reason reason, mb_buffer *out);
    /* Client: begins a stream; it may then be sent on. MB_OK, MB_EAGAIN (no room), MB_ECLOSED,
     * MB_ENOMEM. */
    int (*begin)(mb_codec *codec, mb_codec_stream *stream);
    /* Says that no further stream will be taken: h1 adds `connection: close` to the next
     * response. h2 sends GOAWAY in two steps (RFC 9113 6.8): the first call says that the end is
     * near and still takes streams, the second one, a while later, names the last stream. Further
     * calls do nothing. */
    void (*shut_down)(mb_codec *codec, mb_buffer *out);
    /* Many streams, else NULL. Appends to `out` what waits and may go now, until `out` holds more
     * than `output_bytes` of the options (so that a watermark of that size is crossed). MB_OK, or
     * MB_EAGAIN when it stopped there: call again when `out` has sunk. MB_ENOMEM: close. */
    int (*flush)(mb_codec *codec, mb_buffer *out);
    /* Many streams, else NULL. Asks the peer for a sign of life; `on_ping_ack` follows. */
    int (*ping)(mb_codec *codec, mb_buffer *out);
    /* Many streams, else NULL. How many streams that are over for the owner still have bytes here
     * that wait for the peer's windows or the output. A peer that never takes them is the owner's
     * to notice, by time. */
    uint32_t (*unfinished)(const mb_codec *codec);
    /* Server of many streams, else NULL. Resets those of `unfinished` of which nothing has left
     * since the last call. Returns how many. */
    uint32_t (*expire)(mb_codec *codec, mb_buffer *out);
    /* True while the connection can carry another stream after the present ones. */
    bool (*reusable)(const mb_codec *codec);
    void (*free)(mb_codec *codec);
} mb_codec_vtable;

/* What a message touches of a codec, whichever it is: for base/prefetch.h. */
#define MB_CODEC_PREFETCH_BYTES 320

struct mb_codec {
    const mb_codec_vtable *vtable;
    const mb_codec_events *events;
    void *owner;
};

/* Of HTTP/2 only. Zero means: the default in the comment. The bounds on floods are Envoy's;
 * docs/defaults.md. */
typedef struct mb_h2_options {
    uint32_t max_concurrent_streams;      /* of the peer's streams; 100. Client: of our own, under
                                           * the peer's limit; 1024 */
    uint32_t initial_stream_window_bytes; /* 64 KiB (65536) */
    uint32_t initial_connection_window_bytes; /* 1 MiB */
    uint32_t header_table_bytes;              /* HPACK, both ways; 4096 */
    uint32_t max_frame_bytes;                 /* 16384 */
    uint32_t stream_buffer_bytes;             /* of one stream's body that waits; 64 KiB */
    uint32_t output_bytes;                    /* `flush` stops there; 64 KiB */
    uint32_t max_outbound_frames;             /* 10000 */
    uint32_t max_outbound_control_frames;  /* 1000: queued PING and SETTINGS replies, RST_STREAM */
    uint32_t max_consecutive_empty_frames; /* inbound, with no END_STREAM; 1 */
    uint32_t max_priority_frames_per_stream;    /* 100 */
    uint32_t max_window_updates_per_data_frame; /* 10 */
    uint32_t max_resets; /* rapid reset: after this many streams the connection is
                          * closed when half of them were reset before their answer; 500 */
    /* Inbound PING and SETTINGS that ask for an answer, beyond the streams and the DATA that was
     * sent meanwhile; 2000, or twice max_outbound_control_frames. */
    uint32_t max_control_frames_per_s;
    bool allow_connect;       /* extended CONNECT, RFC 8441 */
    const mb_clock *clock;    /* borrowed, outlives the codec; NULL: the system's */
    mb_h2_counters *counters; /* borrowed, outlives the codec; NULL: nobody wants to know */
} mb_h2_options;

/* Limits and choices of a codec. Zero means: the default in the comment. */
typedef struct mb_codec_options {
    uint32_t max_head_bytes;    /* request/status line and headers; 60 KiB -> 431 */
    uint32_t max_header_count;  /* 100 -> 431 */
    uint32_t max_uri_bytes;     /* 16 KiB -> 414 */
    uint32_t max_trailer_bytes; /* 8 KiB */
    uint32_t max_informational; /* 1xx before a final response; 16 */
    bool accept_http_10;        /* server: else 426 */
    bool enable_trailers;       /* HTTP/1: else trailers are read, checked and dropped */
    bool reject_underscores;    /* names with '_': 400; headers_with_underscores_action */
    bool drop_underscores;
    mb_slice default_host; /* HTTP/1.0 without Host; empty: 400 */
    mb_h2_options h2;
} mb_codec_options;

/* `options` are copied; `arenas` outlive it. NULL: out of memory. HTTP/1.1: */
mb_codec *mb_h1_server_new(const mb_allocator *allocator, mb_arena_pool *arenas,
                           const mb_codec_options *options, const mb_codec_events *events,
                           void *owner);
mb_codec *mb_h1_client_new(const mb_allocator *allocator, mb_arena_pool *arenas,
                           const mb_codec_options *options, const mb_codec_events *events,
                           void *owner);
/* HTTP/2. What is to be sent first (SETTINGS) waits for `flush`. */
mb_codec *mb_h2_server_new(const mb_allocator *allocator, const mb_codec_options *options,
                           const mb_codec_events *events, void *owner);
mb_codec *mb_h2_client_new(const mb_allocator *allocator, const mb_codec_options *options,
                           const mb_codec_events *events, void *owner);
/* No HTTP at all: raw_client.c. */
mb_codec *mb_raw_client_new(const mb_allocator *allocator, const mb_codec_events *events,
                            void *owner);

#endif
