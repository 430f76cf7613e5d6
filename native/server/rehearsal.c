/*
 * Rehearsal: messages through codecs and filters without sockets, timers, routes or a router, for
 * benchmarks and for tests of filters (core.h). It is to the chain what http_conn.c and the router
 * are: the server's codec reads the caller's request, the chain's end writes it with a client's
 * codec, and that one reads the caller's response, which goes back the same way.
 *
 * All of it runs in one turn of the loop, so that a module's hooks run in one batch.
 */
#include "base/alloc.h"
#include "filter/walk.h"
#include "http/codec.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "server/server_internal.h"

#define LINES_MAX 256u

struct mb_rehearsal {
    mb_server *server;
    mb_snapshot *snapshot;
    mb_chain chain; /* the listener's, with our end */
    mb_codec *downstream, *upstream;
    mb_codec_stream response; /* the client codec's stream of the present exchange */
    mb_buffer body;           /* its pieces */
    mb_buffer in;
    mb_buffer sent[2]; /* by mb_direction: to the upstream, to the client */
    mb_buffer request_bytes, response_bytes;
    mb_task task;
    mb_rehearsal_kind kind;
    uint64_t times;
    int64_t done;      /* or MB_E* */
    mb_stream *stream; /* the present one */
    bool asked;        /* the whole request came out of the chain */
    bool completed;    /* the stream is over, to be freed */
    bool failed;
};

static mb_rehearsal *of(const mb_stream *stream) {
    return stream->owner;
}

static void check(mb_rehearsal *self, int rc) {
    self->failed |= rc < 0;
}

/* -- the end of the chain ---------------------------------------------------------------------- */

static void ask_headers(mb_stream *stream, bool end) {
    mb_rehearsal *self = of(stream);
    self->response = (mb_codec_stream){.headers = &stream->headers[MB_RESPONSE],
                                       .head = &stream->head_bytes[MB_RESPONSE],
                                       .trailers = &stream->trailers[MB_RESPONSE],
                                       .body = &self->body};
    check(self, self->upstream->vtable->begin(self->upstream, &self->response));
    check(self, self->upstream->vtable->send_headers(self->upstream, &self->response,
                                                     &stream->headers[MB_REQUEST], end,
                                                     &self->sent[MB_REQUEST]));
    self->asked = end;
}

static void ask_body(mb_stream *stream, mb_buffer *data, bool end) {
    mb_rehearsal *self = of(stream);
    check(self, self->upstream->vtable->send_body(self->upstream, &self->response, data, end,
                                                  &self->sent[MB_REQUEST]));
    self->asked = end;
}

static void ask_trailers(mb_stream *stream) {
    mb_rehearsal *self = of(stream);
    check(self, self->upstream->vtable->send_trailers(self->upstream, &self->response,
                                                      &stream->trailers[MB_REQUEST],
                                                      &self->sent[MB_REQUEST]));
    self->asked = true;
}

static void on_paused(mb_stream *stream, bool paused) {
    (void)stream;
    (void)paused; /* all there is of a message is given at once */
}

static void on_abort(mb_stream *stream) {
    of(stream)->failed = true;
}

static const mb_terminal terminal = {.name = "rehearsal",
                                     .request_headers = ask_headers,
                                     .request_body = ask_body,
                                     .request_trailers = ask_trailers,
                                     .pause_response = on_paused,
                                     .abort = on_abort};

static void on_response_headers(void *owner, mb_codec_stream *stream, bool end) {
    mb_rehearsal *self = owner;
    (void)stream;
    mb_stream_response_headers(self->stream, end);
}

static void on_response_body(void *owner, mb_codec_stream *stream, bool end) {
    mb_rehearsal *self = owner;
    (void)stream;
    mb_stream_response_body(self->stream, &self->body, end);
    mb_buffer_clear(&self->body);
}

static void on_response_trailers(void *owner, mb_codec_stream *stream) {
    mb_rehearsal *self = owner;
    (void)stream;
    mb_stream_response_trailers(self->stream);
}

static void on_informational(void *owner, mb_codec_stream *stream) {
    (void)owner;
    (void)stream;
}

static void on_codec_reset(void *owner, mb_codec_stream *stream, mb_reset_reason reason) {
    (void)stream;
    (void)reason;
    ((mb_rehearsal *)owner)->failed = true;
}

static void on_codec_error(void *owner, mb_codec_stream *stream, const mb_protocol_error *error) {
    (void)stream;
    (void)error;
    ((mb_rehearsal *)owner)->failed = true;
}

static const mb_codec_events upstream_events = {.on_headers = on_response_headers,
                                                .on_informational = on_informational,
                                                .on_body = on_response_body,
                                                .on_trailers = on_response_trailers,
                                                .on_reset = on_codec_reset,
                                                .on_error = on_codec_error};

/* -- the client -------------------------------------------------------------------------------- */

static void send_headers(mb_stream *stream, bool end) {
    mb_rehearsal *self = of(stream);
    check(self, self->downstream->vtable->send_headers(self->downstream, &stream->codec,
                                                       &stream->headers[MB_RESPONSE], end,
                                                       &self->sent[MB_RESPONSE]));
}

static void send_body(mb_stream *stream, mb_buffer *data, bool end) {
    mb_rehearsal *self = of(stream);
    check(self, self->downstream->vtable->send_body(self->downstream, &stream->codec, data, end,
                                                    &self->sent[MB_RESPONSE]));
    mb_buffer_clear(data);
}

static void send_trailers(mb_stream *stream) {
    mb_rehearsal *self = of(stream);
    check(self, self->downstream->vtable->send_trailers(self->downstream, &stream->codec,
                                                        &stream->trailers[MB_RESPONSE],
                                                        &self->sent[MB_RESPONSE]));
}

static void send_informational(mb_stream *stream, const mb_headers *headers) {
    (void)stream;
    (void)headers;
}

static void send_reset(mb_stream *stream) {
    of(stream)->failed = true;
}

static void resolve_route(mb_stream *stream, mb_route_choice *out) {
    (void)stream;
    *out = (mb_route_choice){0};
}

static void finish_response_headers(mb_stream *stream) {
    (void)stream;
}

static void complete(mb_stream *stream) {
    of(stream)->completed = true;
}

static const mb_stream_ops stream_ops = {.send_headers = send_headers,
                                         .send_body = send_body,
                                         .send_trailers = send_trailers,
                                         .send_informational = send_informational,
                                         .send_reset = send_reset,
                                         .pause_request = on_paused,
                                         .resolve_route = resolve_route,
                                         .finish_response_headers = finish_response_headers,
                                         .complete = complete};

static mb_codec_stream *on_begin(void *owner) {
    mb_rehearsal *self = owner;
    mb_stream *stream = mb_stream_new(&self->server->worker, &self->chain, &stream_ops, self);
    if (stream == NULL) {
        return NULL;
    }
    stream->codec.codec = self->downstream;
    stream->snapshot = mb_snapshot_ref(self->snapshot);
    stream->buffer_limit = self->snapshot->listeners[0].buffer_limit_bytes;
    self->stream = stream;
    return &stream->codec;
}

static void on_request_headers(void *owner, mb_codec_stream *stream, bool end) {
    (void)owner;
    mb_stream_request_headers((mb_stream *)stream, end);
}

static void on_request_body(void *owner, mb_codec_stream *codec, bool end) {
    mb_stream *stream = (mb_stream *)codec;
    (void)owner;
    mb_stream_request_body(stream, &stream->incoming, end);
}

static void on_request_trailers(void *owner, mb_codec_stream *stream) {
    (void)owner;
    mb_stream_request_trailers((mb_stream *)stream);
}

static const mb_codec_events downstream_events = {.on_begin = on_begin,
                                                  .on_headers = on_request_headers,
                                                  .on_body = on_request_body,
                                                  .on_trailers = on_request_trailers,
                                                  .on_reset = on_codec_reset,
                                                  .on_error = on_codec_error};

/* -- what is rehearsed ------------------------------------------------------------------------- */

/* Bytes of the caller's, as a read would leave them: a copy, since parsing writes to it. */
static void give(mb_rehearsal *self, const mb_buffer *bytes) {
    mb_slice all = mb_buffer_front(bytes);
    check(self, mb_buffer_append(&self->in, all));
}

static void end_exchange(mb_rehearsal *self) {
    mb_stream *stream = self->stream;
    self->stream = NULL;
    if (stream != NULL) {
        if (!self->completed) {
            self->failed = true;
            mb_stream_client_gone(stream, 0, MB_SLICE_LIT("rehearsal_over"));
        }
        mb_stream_free(stream);
        mb_snapshot_unref(self->snapshot);
    }
    mb_buffer_clear(&self->in);
    mb_buffer_clear(&self->body);
}

/* `hooks`: how often the first filter's hook for request headers is called beside. */
static void exchange(mb_rehearsal *self, uint64_t hooks) {
    mb_buffer_clear(&self->sent[MB_REQUEST]);
    mb_buffer_clear(&self->sent[MB_RESPONSE]);
    self->asked = self->completed = false;
    give(self, &self->request_bytes);
    self->downstream->vtable->receive(self->downstream, &self->in);
    for (; hooks > 0 && self->asked; hooks--) {
        uint32_t at = 0;
        check(self, mb__hook_headers(self->stream, MB_REQUEST, &at, true));
    }
    if (self->asked && !self->failed) {
        give(self, &self->response_bytes);
        self->upstream->vtable->receive(self->upstream, &self->in);
    }
    end_exchange(self);
}

/* Reads the request's head, and with `write` writes it `times` times instead. */
static void head_only(mb_rehearsal *self, uint64_t times, bool write) {
    static const mb_codec_options options = {.max_uri_bytes = 61440};
    uint32_t ends[LINES_MAX];
    mb_h1_lines lines;
    mb_headers headers;
    mb_h1_message message;
    mb_slice bytes = {"", 0};
    mb_arena arena;
    mb_arena_init(&arena, &self->server->worker.arenas);
    mb_headers_init(&headers, &arena);
    mb_h1_lines_init(&lines, ends, LINES_MAX);
    give(self, &self->request_bytes);
    check(self, mb_buffer_join(&self->in, SIZE_MAX, &bytes, NULL));
    memset(&message, 0, sizeof(message));
    if (mb_h1_lines_feed(&lines, bytes.ptr, bytes.len) != MB_H1_FINE || !lines.complete ||
        mb_h1_parse_request((char *)bytes.ptr, &lines, &options, &headers, &message) !=
            MB_H1_FINE) {
        self->failed = true;
    }
    mb_h1_head head = {.headers = &headers, .minor = 1};
    while (write && !self->failed && times-- > 0) {
        mb_buffer_clear(&self->sent[MB_REQUEST]);
        check(self, mb_h1_write_request(&self->sent[MB_REQUEST], lines.scan, &head));
    }
    mb_buffer_clear(&self->in);
    mb_arena_clear(&arena);
}

static void rehearse(mb_task *task) {
    mb_rehearsal *self = MB_LIST_ENTRY(task, mb_rehearsal, task);
    uint64_t rounds = self->times;
    if (self->kind == MB_REHEARSE_HOOK) {
        exchange(self, self->times);
    } else if (self->kind == MB_REHEARSE_WRITE) {
        head_only(self, self->times, true);
    } else {
        while (rounds-- > 0 && !self->failed) {
            if (self->kind == MB_REHEARSE_READ) {
                head_only(self, 1, false);
            } else {
                exchange(self, 0);
            }
        }
    }
    self->done = self->failed ? MB_EPROTO : (int64_t)self->times;
}

/* -- the interface ----------------------------------------------------------------------------- */

int mb_rehearsal_new(mb_server *server, mb_slice request, mb_slice response, mb_rehearsal **out) {
    if (server->snapshot == NULL || server->snapshot->listener_count == 0) {
        return MB_EPHASE;
    }
    const mb_hcm_config *hcm = mb_listener_config_chain(&server->snapshot->listeners[0], 0)->hcm;
    if (hcm == NULL) {
        return MB_EPHASE;
    }
    mb_rehearsal *self = mb_zalloc(server->allocator, sizeof(*self));
    if (self == NULL) {
        return MB_ENOMEM;
    }
    mb_slab_pool *slabs = server->worker.slabs;
    self->server = server;
    self->snapshot = mb_snapshot_ref(server->snapshot);
    self->chain = hcm->chain;
    self->chain.terminal = &terminal;
    self->task.run = rehearse;
    mb_buffer *buffers[] = {&self->body,          &self->in,
                            &self->sent[0],       &self->sent[1],
                            &self->request_bytes, &self->response_bytes};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(*buffers); i++) {
        mb_buffer_init(buffers[i], slabs);
    }
    self->downstream = mb_h1_server_new(server->allocator, &server->worker.arenas, &hcm->codec,
                                        &downstream_events, self);
    self->upstream = mb_h1_client_new(server->allocator, &server->worker.arenas,
                                      &(mb_codec_options){0}, &upstream_events, self);
    mb_slice joined;
    if (self->downstream == NULL || self->upstream == NULL ||
        mb_buffer_append(&self->request_bytes, request) < 0 ||
        mb_buffer_append(&self->response_bytes, response) < 0 ||
        mb_buffer_join(&self->request_bytes, request.len, &joined, NULL) < 0 ||
        mb_buffer_join(&self->response_bytes, response.len, &joined, NULL) < 0) {
        mb_rehearsal_free(self);
        return MB_ENOMEM;
    }
    *out = self;
    return MB_OK;
}

void mb_rehearsal_free(mb_rehearsal *self) {
    mb_server *server = self->server;
    mb_loop_cancel(&self->task);
    mb_buffer_fini(&self->body);
    mb_buffer_fini(&self->in);
    mb_buffer_fini(&self->sent[MB_REQUEST]);
    mb_buffer_fini(&self->sent[MB_RESPONSE]);
    mb_buffer_fini(&self->request_bytes);
    mb_buffer_fini(&self->response_bytes);
    if (self->downstream != NULL) {
        self->downstream->vtable->free(self->downstream);
    }
    if (self->upstream != NULL) {
        self->upstream->vtable->free(self->upstream);
    }
    mb_snapshot_unref(self->snapshot);
    mb_free(server->allocator, self, sizeof(*self));
}

void mb_rehearsal_start(mb_rehearsal *self, mb_rehearsal_kind kind, uint64_t times) {
    self->kind = kind;
    self->times = times;
    self->done = MB_EAGAIN;
    mb_loop_defer(self->server->worker.loop, MB_PHASE_READ, &self->task);
}

int64_t mb_rehearsal_done(const mb_rehearsal *self) {
    return self->done;
}

int mb_rehearsal_sent(mb_rehearsal *self, mb_direction direction, mb_slice *out) {
    mb_buffer *sent = &self->sent[direction];
    return mb_buffer_join(sent, sent->length, out, NULL) < 0 ? MB_ENOMEM : MB_OK;
}
