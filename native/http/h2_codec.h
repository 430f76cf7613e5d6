/*
 * What the two HTTP/2 codecs share: one connection on top of libnghttp2, which has the framing,
 * HPACK, the states of streams and the windows. RFC 9113, RFC 7541, RFC 8441.
 *
 * Theory. The library is driven from three places only, and never from within itself:
 *
 *     receive:  guard -> library (callbacks note what came) -> pump -> tell
 *     send_*:   submit -> pump
 *     flush:    pump -> tell
 *
 * Callbacks put heads into the stream's header map and bodies into its buffer, set `due` bits and
 * link the stream into `ready`. `tell` makes the events from that, outside of the library, so that
 * an event may call anything of the codec. (Two events come from callbacks: on_begin, since the
 * memory for a head is the owner's, and on_informational, since its map is used again at once.
 * What is sent in there is only submitted.)
 *
 * `pump` lets the library write. Frames go to `out` while that has room, else to `queued`; DATA
 * never goes to `queued`, it stays with its stream. So the end of every frame's effect is known at
 * once (the library acts when it writes: RST_STREAM closes, GOAWAY ends), and `guard` counts what
 * waits in `queued` for a peer that does not read.
 *
 * A stream (mb_h2_stream) lives from on_begin or `begin` until both the library has closed it and
 * the owner knows of its end. The owner's part is let go of when both messages have ended for the
 * owner, on a server at the end of the response; bytes that still wait are the codec's from then
 * on.
 *
 * Windows. The connection's window is given back as bytes come, the stream's as the owner gets
 * them: a stream that is paused stops by its own window and nobody else by its bytes, of which
 * there are at most a window's worth.
 *
 * Errors. A fault of a message resets its stream: the library's checks (RFC 9113 8.1.1, 8.2, 8.3)
 * and ours behind them (h2_headers.c). A fault of the connection is noted in `fault` and ends it
 * outside of the library: GOAWAY, on_reset for each stream, on_error.
 */
#ifndef MB_HTTP_H2_CODEC_H
#define MB_HTTP_H2_CODEC_H

#include "base/list.h"
#include "http/h2_guard.h"
#include <nghttp2/nghttp2.h>

typedef struct mb_h2 mb_h2;

/* The fields of trailers that wait behind a body: one block of memory with the names and values. */
typedef struct mb_h2_fields {
    size_t bytes; /* of the block */
    size_t count;
    nghttp2_nv nv[];
} mb_h2_fields;

typedef struct mb_h2_stream {
    mb_list_node node;       /* in `streams` of the codec */
    mb_list_node ready;      /* in `ready` of the codec: something is due */
    mb_codec_stream *stream; /* the owner's; NULL: let go of */
    int32_t id;              /* 0: a client's request that was not sent */
    mb_reset_reason reset_reason;

    /* the peer's message */
    size_t fresh;      /* bytes in `stream->body` that the owner was not told of */
    size_t kept_back;  /* bytes that it got while paused: not given to the window yet */
    bool head_due;     /* a final head is in `stream->headers` */
    bool trailers_due; /* trailers are in `stream->trailers` */
    bool reset_due;
    bool relief_due; /* the end of pressure */
    bool head_seen;  /* the final head has come, even if it is not told */
    bool end_seen;   /* END_STREAM has come */
    bool paused;

    /* our message */
    mb_buffer waiting;  /* body that waits for windows or for the output */
    mb_h2_fields *head; /* client: waits for the peer's SETTINGS */
    mb_h2_fields *trailers;
    uint64_t send_left; /* of a body with a length */
    bool has_length;
    bool bodiless;  /* what is sent of a body is dropped */
    bool head_sent; /* a final head was submitted */
    bool has_body;  /* DATA or trailers follow the head: END_STREAM is the body's to carry */
    bool send_end;  /* the owner has ended its message */
    bool end_sent;  /* END_STREAM was written */
    bool deferred;  /* the library waits for `waiting` */
    bool above;     /* on_pressure was told */

    bool closed;   /* the library has let go */
    bool given_up; /* RST_STREAM was submitted: by the owner, or no more of it is wanted */
    bool left;     /* counted in `unfinished` */
    bool still;    /* ... and nothing was written of it since `expire` looked */
    bool busy;     /* in `tell`: must not be freed */
    uint32_t informational;
} mb_h2_stream;

/* The header block that is read. */
typedef enum mb_h2_block_kind {
    MB_H2_BLOCK_NONE = 0, /* belongs to nobody: decoded and dropped */
    MB_H2_BLOCK_REQUEST,
    MB_H2_BLOCK_RESPONSE, /* perhaps an informational one */
    MB_H2_BLOCK_TRAILERS
} mb_h2_block_kind;

typedef struct mb_h2_block {
    mb_h2_block_kind kind;
    mb_h2_stream *s;
    uint32_t count;      /* fields, pseudo-headers too, all crumbs of a cookie as one */
    uint64_t bytes;      /* names and values, decoded */
    const char *refused; /* details of what is wrong; then fields are counted and dropped */
    bool misread;        /* ... with the message, not with its size */
    mb_slice host;       /* the Host field, ptr NULL: none */
    uint32_t cookie;     /* 1 + index of the Cookie field; 0 none */
    size_t cookie_room;  /* bytes at its value that may be written */
} mb_h2_block;

struct mb_h2 {
    mb_codec codec; /* first: the interface's pointer is ours */
    const mb_allocator *allocator;
    nghttp2_mem mem;
    nghttp2_session *session;
    mb_codec_options options; /* defaults filled in */
    mb_h2_counters *counters; /* the owner's or `own_counters` */
    mb_list streams;          /* all */
    mb_list ready;
    mb_list spare; /* mb_h2_stream to use again; `spare_count` */
    uint32_t spare_count;
    uint32_t active;     /* in `streams` */
    uint32_t unfinished; /* ... of which let go of with bytes waiting */
    mb_h2_guard guard;
    mb_h2_block block;
    mb_slab *feeding;    /* where the bytes are that the library reads; NULL: constant ones */
    mb_buffer queued;    /* written, waits for `out`; its pool is NULL before the first use */
    mb_buffer *data_out; /* where DATA may go in the present pump; NULL: nowhere */
    nghttp2_nv *nv;      /* scratch: `nv_capacity` fields */
    size_t nv_capacity;
    int32_t closed_id; /* the stream that the library closed while it wrote the present frame */
    mb_h2_fault fault; /* noted within the library; `mb__h2_settle` acts on it */
    bool is_server;
    bool inside;      /* the library is on the stack */
    bool telling;     /* `tell` is on the stack */
    bool writing;     /* ... it is writing, not reading */
    bool preface_due; /* client: what is written first is no frame */
    bool in_block;    /* a header block of ours is written in part */
    bool failed;      /* after on_error */
    bool settled;     /* the peer's SETTINGS have come */
    bool goaway_out;  /* the library has written its last GOAWAY */
    bool peer_closed; /* receive_end */
    bool peer_goaway;
    bool ping_due;     /* on_ping_ack */
    bool capacity_due; /* on_capacity */
    bool starved;      /* client: `begin` had no room */
    uint8_t shut_downs;
    mb_h2_counters own_counters;
};

static inline mb_h2 *mb__h2(mb_codec *codec) {
    return (mb_h2 *)codec;
}

static inline mb_h2_stream *mb__h2_state(const mb_codec_stream *stream) {
    return stream == NULL ? NULL : stream->state;
}

/* -- life (h2_session.c) --------------------------------------------------------------------- */

mb_h2 *mb__h2_new(const mb_allocator *allocator, const mb_codec_options *options, bool is_server,
                  const mb_codec_vtable *vtable, const mb_codec_events *events, void *owner);
void mb__h2_free(mb_codec *codec);
/* Connects a stream of the owner's with one of ours; NULL: out of memory. */
mb_h2_stream *mb__h2_stream_new(mb_h2 *h2, mb_codec_stream *stream, int32_t id);
/* Frees it when nobody needs it any more. */
void mb__h2_stream_release(mb_h2 *h2, mb_h2_stream *s);
/* The owner's part is over: it may free it. */
void mb__h2_let_go(mb_h2 *h2, mb_h2_stream *s);
/* The codec alone keeps it now, for the bytes that wait; or not any more. */
static inline void mb__h2_set_left(mb_h2 *h2, mb_h2_stream *s, bool left) {
    if (s->left != left) {
        s->left = left;
        h2->unfinished += left ? 1u : UINT32_MAX;
        h2->counters->deferred_stream_close += left ? 1u : UINT64_MAX;
    }
}
void mb__h2_make_ready(mb_h2 *h2, mb_h2_stream *s);
/* Nothing of our message goes any more. */
void mb__h2_drop_waiting(mb_h2 *h2, mb_h2_stream *s);
/* The owner is to be told that the stream was reset. */
void mb__h2_reset_due(mb_h2 *h2, mb_h2_stream *s, mb_reset_reason reason, const char *details);
/* Notes the first fault. */
static inline void mb__h2_note(mb_h2 *h2, mb_h2_fault fault) {
    if (h2->fault == MB_H2_FINE) {
        h2->fault = fault;
    }
}
/* The library can't be asked anything more: its state may be any. */
static inline bool mb__h2_is_broken(const mb_h2 *h2) {
    return h2->fault == MB_H2_NO_MEMORY || h2->fault == MB_H2_INTERNAL;
}
/* The fault of a result of the library's that is fatal. */
void mb__h2_note_result(mb_h2 *h2, int64_t rc);
/* A stream was reset by a fault of the peer, or by it before it was answered. */
void mb__h2_note_reset(mb_h2 *h2);
void mb__h2_pause(mb_codec *codec, mb_codec_stream *stream, bool paused);
void mb__h2_reset(mb_codec *codec, mb_codec_stream *stream, mb_reset_reason reason, mb_buffer *out);
void mb__h2_shut_down(mb_codec *codec, mb_buffer *out);
int mb__h2_ping(mb_codec *codec, mb_buffer *out);
uint32_t mb__h2_unfinished(const mb_codec *codec);
uint32_t mb__h2_expire(mb_codec *codec, mb_buffer *out);
bool mb__h2_reusable(const mb_codec *codec);

/* What was queued for the peer has left, or is dropped. */
static inline void mb__h2_outbound_released(mb_h2 *h2) {
    h2->counters->outbound_frames_active -= h2->guard.outbound;
    h2->counters->outbound_control_frames_active -= h2->guard.outbound_control;
    mb_h2_guard_released(&h2->guard);
}

/* -- receiving (h2_receive.c, h2_headers.c) -------------------------------------------------- */

int mb__h2_receive(mb_codec *codec, mb_buffer *in);
void mb__h2_receive_end(mb_codec *codec);
/* Lets the library write, then makes the events that are due, until there are none. */
void mb__h2_settle(mb_h2 *h2, mb_buffer *out);
void mb__h2_set_receive_callbacks(nghttp2_session_callbacks *callbacks);
void mb__h2_set_header_callbacks(nghttp2_session_callbacks *callbacks);
/* The end of a header block. 0 or a result of the library's. */
int mb__h2_on_block_end(mb_h2 *h2, const nghttp2_frame *frame);

/* -- requests (h2_client.c) ------------------------------------------------------------------ */

/* The peer's SETTINGS have come: what waits for them is sent or reset. May be called in a callback.
 */
void mb__h2_send_held(mb_h2 *h2);

/* -- sending (h2_send.c) --------------------------------------------------------------------- */

/* Lets the library write, to `out` while it has room. NULL: only what is no DATA. */
void mb__h2_pump(mb_h2 *h2, mb_buffer *out);
int mb__h2_flush(mb_codec *codec, mb_buffer *out);
/* A pseudo-header as it is sent; ptr NULL: it is not. */
typedef struct mb_h2_pseudo {
    mb_pseudo which;
    mb_slice value;
} mb_h2_pseudo;
/* Makes the fields of a message in `h2->nv`: `pseudo` ones, then the others that may travel. The
 * text is borrowed. Returns how many, or MB_EINVAL, MB_ENOMEM. */
int mb__h2_collect(mb_h2 *h2, const mb_headers *headers, const mb_h2_pseudo *pseudo,
                   size_t pseudo_count, bool no_length);
/* A copy of the first `count` fields of `h2->nv` in one block. NULL: out of memory. */
mb_h2_fields *mb__h2_keep_fields(const mb_h2 *h2, size_t count);
/* What the head says of the body: fills `has_length` and the rest. MB_OK, MB_EINVAL or MB_EPROTO
 * as `send_headers`. */
int mb__h2_frame_sending(mb_h2_stream *s, const mb_headers *headers, bool bodiless,
                         bool end_stream);
/* The head was submitted. */
void mb__h2_head_sent(mb_h2 *h2, mb_h2_stream *s, bool end_stream);
/* Where the library gets the body from. */
nghttp2_data_provider mb__h2_body_of(mb_h2_stream *s);
void mb__h2_set_send_callbacks(nghttp2_session_callbacks *callbacks);
int mb__h2_send_body(mb_codec *codec, mb_codec_stream *stream, mb_buffer *data, bool end_stream,
                     mb_buffer *out);
int mb__h2_send_trailers(mb_codec *codec, mb_codec_stream *stream, const mb_headers *trailers,
                         mb_buffer *out);
/* After submitting: writes, unless the library is on the stack. MB_OK or MB_ENOMEM. */
int mb__h2_submitted(mb_h2 *h2, mb_buffer *out);

#endif
