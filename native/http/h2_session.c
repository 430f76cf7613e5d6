/*
 * Making and ending HTTP/2 codecs and their streams; what of the interface is the same on both
 * sides. See h2_codec.h for the theory.
 */
#include "base/alloc.h"
#include "http/h2_codec.h"

#include <stdalign.h>

#define DEFAULT_HEAD_BYTES (60u * 1024u)
#define DEFAULT_FIELD_COUNT 100u
#define DEFAULT_URI_BYTES (16u * 1024u)
#define DEFAULT_TRAILER_BYTES (8u * 1024u)
#define DEFAULT_INFORMATIONAL 16u
#define DEFAULT_SERVER_STREAMS 100u
#define DEFAULT_CLIENT_STREAMS 1024u
#define DEFAULT_STREAM_WINDOW (64u * 1024u)
#define DEFAULT_CONNECTION_WINDOW (1024u * 1024u)
#define DEFAULT_TABLE_BYTES 4096u
#define DEFAULT_FRAME_BYTES 16384u
#define DEFAULT_BUFFER_BYTES (64u * 1024u)
#define SPARE_STREAMS_MAX 8u
/* A PING a second is legal for days, and one for each DATA frame is not counted: both are far from
 * it. A peer that stays just below, each PING in a packet of its own, costs a tenth of a processor
 * (measured), no more than as many requests would. */
#define DEFAULT_QUESTIONS_PER_S 2000u
/* What SETTINGS_MAX_HEADER_LIST_SIZE counts beside name and value. RFC 9113 6.5.2. */
#define LIST_FIELD_BYTES 32u

static void or_default(uint32_t *value, uint32_t otherwise) {
    if (*value == 0) {
        *value = otherwise;
    }
}

/* More than may wait, so that a peer that reads nothing is told apart; a lower bound on what waits
 * is no reason to ask less often. */
static uint32_t default_questions(uint32_t may_wait) {
    if (may_wait <= DEFAULT_QUESTIONS_PER_S / 2) {
        return DEFAULT_QUESTIONS_PER_S;
    }
    return may_wait < UINT32_MAX / 2 ? may_wait * 2 : UINT32_MAX;
}

static void fill_defaults(mb_codec_options *options, bool is_server) {
    mb_h2_options *h2 = &options->h2;

    or_default(&options->max_head_bytes, DEFAULT_HEAD_BYTES);
    or_default(&options->max_header_count, DEFAULT_FIELD_COUNT);
    or_default(&options->max_uri_bytes, DEFAULT_URI_BYTES);
    or_default(&options->max_trailer_bytes, DEFAULT_TRAILER_BYTES);
    or_default(&options->max_informational, DEFAULT_INFORMATIONAL);
    or_default(&h2->max_concurrent_streams,
               is_server ? DEFAULT_SERVER_STREAMS : DEFAULT_CLIENT_STREAMS);
    or_default(&h2->initial_stream_window_bytes, DEFAULT_STREAM_WINDOW);
    or_default(&h2->initial_connection_window_bytes, DEFAULT_CONNECTION_WINDOW);
    or_default(&h2->header_table_bytes, DEFAULT_TABLE_BYTES);
    or_default(&h2->max_frame_bytes, DEFAULT_FRAME_BYTES);
    or_default(&h2->stream_buffer_bytes, DEFAULT_BUFFER_BYTES);
    or_default(&h2->output_bytes, DEFAULT_BUFFER_BYTES);
    or_default(&h2->max_outbound_frames, 10000);
    or_default(&h2->max_outbound_control_frames, 1000);
    or_default(&h2->max_consecutive_empty_frames, 1);
    or_default(&h2->max_priority_frames_per_stream, 100);
    or_default(&h2->max_window_updates_per_data_frame, 10);
    or_default(&h2->max_resets, 500);
    or_default(&h2->max_control_frames_per_s, default_questions(h2->max_outbound_control_frames));
}

/* -- the library's memory: ours wants the size back, so it stands before each block ----------- */

#define BLOCK_HEADER alignof(max_align_t)

static void *mem_malloc(size_t size, void *ctx) {
    const mb_allocator *allocator = ctx;
    char *block = mb_alloc(allocator, size + BLOCK_HEADER);

    if (block == NULL) {
        return NULL;
    }
    memcpy(block, &size, sizeof size);
    return block + BLOCK_HEADER;
}

static size_t mem_size(const void *ptr) {
    size_t size;

    memcpy(&size, (const char *)ptr - BLOCK_HEADER, sizeof size);
    return size;
}

static void mem_free(void *ptr, void *ctx) {
    if (ptr != NULL) {
        mb_free(ctx, (char *)ptr - BLOCK_HEADER, mem_size(ptr) + BLOCK_HEADER);
    }
}

static void *mem_calloc(size_t count, size_t size, void *ctx) {
    size_t bytes;
    void *ptr;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    ptr = mem_malloc(bytes, ctx);
    if (ptr != NULL) {
        memset(ptr, 0, bytes);
    }
    return ptr;
}

static void *mem_realloc(void *ptr, size_t size, void *ctx) {
    char *block;

    if (ptr == NULL) {
        return mem_malloc(size, ctx);
    }
    block = mb_resize(ctx, (char *)ptr - BLOCK_HEADER, mem_size(ptr) + BLOCK_HEADER,
                      size + BLOCK_HEADER);
    if (block == NULL) {
        return NULL;
    }
    memcpy(block, &size, sizeof size);
    return block + BLOCK_HEADER;
}

/* -- the session ------------------------------------------------------------------------------ */

static void set_options(nghttp2_option *option, const mb_codec_options *options) {
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(option, options->h2.header_table_bytes);
    /* The guard has the limits on floods, by the frames and not by the calls that they came in. */
    nghttp2_option_set_max_continuations(option, SIZE_MAX);
    nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX, UINT64_MAX);
    nghttp2_option_set_max_outbound_ack(option, (size_t)options->h2.max_outbound_control_frames);
}

static int make_session(mb_h2 *h2) {
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int rc = nghttp2_session_callbacks_new(&callbacks);

    if (rc == 0) {
        rc = nghttp2_option_new(&option);
    }
    if (rc == 0) {
        set_options(option, &h2->options);
        mb__h2_set_receive_callbacks(callbacks);
        mb__h2_set_header_callbacks(callbacks);
        mb__h2_set_send_callbacks(callbacks);
        rc = h2->is_server
                 ? nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &h2->mem)
                 : nghttp2_session_client_new3(&h2->session, callbacks, h2, option, &h2->mem);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return rc;
}

/* What is not the protocol's default anyway. */
static int submit_settings(mb_h2 *h2) {
    const mb_h2_options *o = &h2->options.h2;
    uint64_t list = (uint64_t)h2->options.max_head_bytes +
                    (uint64_t)h2->options.max_header_count * LIST_FIELD_BYTES;
    nghttp2_settings_entry entries[8];
    size_t count = 0;

    if (h2->is_server) {
        entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                                    o->max_concurrent_streams};
        /* Priorities of RFC 7540 are not used: PRIORITY has no effect. RFC 9218 2.1. */
        entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
        if (o->allow_connect) {
            entries[count++] =
                (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
        }
    } else {
        entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    }
    entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                                o->initial_stream_window_bytes};
    entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
                                                list < UINT32_MAX ? (uint32_t)list : UINT32_MAX};
    if (o->header_table_bytes != DEFAULT_TABLE_BYTES) {
        entries[count++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, o->header_table_bytes};
    }
    if (o->max_frame_bytes != DEFAULT_FRAME_BYTES) {
        entries[count++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_FRAME_SIZE, o->max_frame_bytes};
    }
    return nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entries, count);
}

mb_h2 *mb__h2_new(const mb_allocator *allocator, const mb_codec_options *options, bool is_server,
                  const mb_codec_vtable *vtable, const mb_codec_events *events, void *owner) {
    mb_h2 *h2 = mb_zalloc(allocator, sizeof *h2);

    if (h2 == NULL) {
        return NULL;
    }
    h2->codec = (mb_codec){vtable, events, owner};
    h2->allocator = allocator;
    h2->mem =
        (nghttp2_mem){(void *)(uintptr_t)allocator, mem_malloc, mem_free, mem_calloc, mem_realloc};
    h2->options = *options;
    h2->is_server = is_server;
    h2->preface_due = !is_server;
    fill_defaults(&h2->options, is_server);
    h2->counters = options->h2.counters != NULL ? options->h2.counters : &h2->own_counters;
    mb_list_init(&h2->streams);
    mb_list_init(&h2->ready);
    mb_list_init(&h2->spare);
    mb_h2_guard_init(&h2->guard, &h2->options, is_server);
    if (make_session(h2) != 0 || submit_settings(h2) != 0 ||
        nghttp2_session_set_local_window_size(
            h2->session, NGHTTP2_FLAG_NONE, 0,
            (int32_t)h2->options.h2.initial_connection_window_bytes) != 0) {
        mb__h2_free(&h2->codec);
        return NULL;
    }
    return h2;
}

/* -- streams ---------------------------------------------------------------------------------- */

void mb__h2_drop_waiting(mb_h2 *h2, mb_h2_stream *s) {
    if (s->waiting.pool != NULL) {
        h2->counters->pending_send_bytes -= s->waiting.length;
        mb_buffer_clear(&s->waiting);
    }
    if (s->trailers != NULL) {
        mb_free(h2->allocator, s->trailers, s->trailers->bytes);
        s->trailers = NULL;
    }
}

mb_h2_stream *mb__h2_stream_new(mb_h2 *h2, mb_codec_stream *stream, int32_t id) {
    mb_list_node *node = mb_list_pop_front(&h2->spare);
    mb_h2_stream *s;

    if (node != NULL) {
        h2->spare_count--;
        s = MB_LIST_ENTRY(node, mb_h2_stream, node);
    } else {
        s = mb_alloc(h2->allocator, sizeof *s);
        if (s == NULL) {
            return NULL;
        }
    }
    memset(s, 0, sizeof *s);
    s->stream = stream;
    s->id = id;
    stream->codec = &h2->codec;
    stream->id = (uint32_t)id;
    stream->local_ended = false;
    stream->remote_ended = false;
    stream->head_request = false;
    stream->connect_request = false;
    stream->http_10 = false;
    stream->upgrade_request = false;
    stream->tunnel_open = false;
    stream->state = s;
    stream->reset_details = NULL;
    mb_list_push_back(&h2->streams, &s->node);
    h2->active++;
    h2->counters->streams_active++;
    return s;
}

/* The library or we have no part in it any more. */
static void forget(mb_h2 *h2, mb_h2_stream *s) {
    mb__h2_drop_waiting(h2, s);
    if (s->waiting.pool != NULL) {
        mb_buffer_fini(&s->waiting);
    }
    if (s->head != NULL) {
        mb_free(h2->allocator, s->head, s->head->bytes);
    }
    mb_list_remove(&s->node);
    mb_list_remove(&s->ready);
    h2->active--;
    h2->counters->streams_active--;
    mb__h2_set_left(h2, s, false);
    h2->capacity_due |= h2->starved;
    if (h2->spare_count < SPARE_STREAMS_MAX) {
        mb_list_push_front(&h2->spare, &s->node);
        h2->spare_count++;
    } else {
        mb_free(h2->allocator, s, sizeof *s);
    }
}

void mb__h2_stream_release(mb_h2 *h2, mb_h2_stream *s) {
    if (s->closed && s->stream == NULL && !s->busy) {
        forget(h2, s);
    }
}

void mb__h2_let_go(mb_h2 *h2, mb_h2_stream *s) {
    if (s->stream != NULL) {
        s->stream->state = NULL;
        s->stream = NULL;
        mb_list_remove(&s->ready);
        if (!s->closed && !s->given_up) {
            mb__h2_set_left(h2, s, true);
        }
    }
}

void mb__h2_make_ready(mb_h2 *h2, mb_h2_stream *s) {
    if (s->stream != NULL && !mb_list_is_linked(&s->ready)) {
        mb_list_push_back(&h2->ready, &s->ready);
    }
}

void mb__h2_reset_due(mb_h2 *h2, mb_h2_stream *s, mb_reset_reason reason, const char *details) {
    if (s->stream != NULL && !s->reset_due) {
        s->reset_due = true;
        s->reset_reason = reason;
        s->stream->reset_details = details;
        mb__h2_make_ready(h2, s);
    }
}

void mb__h2_note_result(mb_h2 *h2, int64_t rc) {
    switch (rc) {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        mb__h2_note(h2, MB_H2_PREFACE);
        break;
    case NGHTTP2_ERR_FLOODED:
        mb__h2_note(h2, MB_H2_OUTBOUND_CONTROL);
        break;
    case NGHTTP2_ERR_NOMEM:
        mb__h2_note(h2, MB_H2_NO_MEMORY);
        break;
    default:
        mb__h2_note(h2, MB_H2_INTERNAL);
        break;
    }
}

void mb__h2_note_reset(mb_h2 *h2) {
    if (h2->is_server) {
        mb_h2_fault fault = mb_h2_guard_reset(&h2->guard);

        if (fault != MB_H2_FINE) {
            mb__h2_note(h2, fault);
        }
    }
}

/* -- the interface ---------------------------------------------------------------------------- */

/* The owner's streams may be gone already: they are not touched. */
void mb__h2_free(mb_codec *codec) {
    mb_h2 *h2 = mb__h2(codec);
    mb_list_node *node;

    mb__h2_outbound_released(h2);
    nghttp2_session_del(h2->session);
    while ((node = mb_list_front(&h2->streams)) != NULL) {
        forget(h2, MB_LIST_ENTRY(node, mb_h2_stream, node));
    }
    while ((node = mb_list_pop_front(&h2->spare)) != NULL) {
        mb_free(h2->allocator, MB_LIST_ENTRY(node, mb_h2_stream, node), sizeof(mb_h2_stream));
    }
    if (h2->queued.pool != NULL) {
        mb_buffer_fini(&h2->queued);
    }
    mb_free(h2->allocator, h2->nv, h2->nv_capacity * sizeof *h2->nv);
    mb_free(h2->allocator, h2, sizeof *h2);
}

bool mb__h2_reusable(const mb_codec *codec) {
    const mb_h2 *h2 = (const mb_h2 *)codec;

    /* After the first of two steps streams are still taken. */
    if (h2->failed || h2->shut_downs == 2 || h2->peer_closed || h2->peer_goaway) {
        return false;
    }
    return h2->is_server || nghttp2_session_check_request_allowed(h2->session);
}

uint32_t mb__h2_unfinished(const mb_codec *codec) {
    return ((const mb_h2 *)codec)->unfinished;
}

/* Envoy's server answers whatever goes wrong with NO_ERROR; a client that is to see that a response
 * is cut is better told so. */
static uint32_t error_code_of(const mb_h2 *h2, const mb_h2_stream *s, mb_reset_reason reason) {
    if (h2->is_server && s->end_sent && !s->stream->tunnel_open) {
        return NGHTTP2_NO_ERROR;
    }
    switch (reason) {
    case MB_RESET_REFUSED:
        return NGHTTP2_REFUSED_STREAM;
    case MB_RESET_PROTOCOL:
        return NGHTTP2_PROTOCOL_ERROR;
    default:
        return h2->is_server ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL;
    }
}

/* Streams are closed when RST_STREAM is written, so the list stays as it is meanwhile. */
uint32_t mb__h2_expire(mb_codec *codec, mb_buffer *out) {
    mb_h2 *h2 = mb__h2(codec);
    uint32_t count = 0;
    int rc = 0;

    if (h2->failed) {
        return 0;
    }
    MB_LIST_FOREACH(&h2->streams, node) {
        mb_h2_stream *s = MB_LIST_ENTRY(node, mb_h2_stream, node);

        if (s->left && s->still && !s->given_up && rc == 0) {
            rc = nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, s->id,
                                           error_code_of(h2, s, MB_RESET_LOCAL));
            s->given_up = true;
            mb__h2_drop_waiting(h2, s);
            count++;
        }
        s->still = s->left;
    }
    if (rc != 0) {
        mb__h2_note_result(h2, rc);
    }
    (void)mb__h2_submitted(h2, out);
    return count;
}

void mb__h2_pause(mb_codec *codec, mb_codec_stream *stream, bool paused) {
    mb_h2 *h2 = mb__h2(codec);
    mb_h2_stream *s = mb__h2_state(stream);

    if (s == NULL) {
        return;
    }
    s->paused = paused;
    if (!paused) {
        if (s->kept_back != 0 && !s->closed && !h2->failed) {
            int rc = nghttp2_session_consume_stream(h2->session, s->id, s->kept_back);

            if (rc != 0) {
                mb__h2_note_result(h2, rc);
            }
        }
        s->kept_back = 0;
        mb__h2_make_ready(h2, s);
    }
}

void mb__h2_reset(mb_codec *codec, mb_codec_stream *stream, mb_reset_reason reason,
                  mb_buffer *out) {
    mb_h2 *h2 = mb__h2(codec);
    mb_h2_stream *s = mb__h2_state(stream);
    int rc = 0;

    if (s == NULL) {
        return;
    }
    if (s->id == 0) {
        s->closed = true; /* the library never knew it */
    } else if (!s->closed && !s->given_up && !h2->failed) {
        rc = nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, s->id,
                                       error_code_of(h2, s, reason));
        s->given_up = true;
    }
    mb__h2_let_go(h2, s);
    mb__h2_drop_waiting(h2, s);
    mb__h2_stream_release(h2, s);
    if (rc != 0) {
        mb__h2_note_result(h2, rc);
    }
    (void)mb__h2_submitted(h2, out);
}

void mb__h2_shut_down(mb_codec *codec, mb_buffer *out) {
    mb_h2 *h2 = mb__h2(codec);
    int32_t last = nghttp2_session_get_last_proc_stream_id(h2->session);
    int rc = 0;

    if (h2->failed || h2->shut_downs == 2) {
        return;
    }
    h2->shut_downs++;
    if (!h2->is_server) {
        /* There is no stream of a server's that could be on its way: one step will do. */
        h2->shut_downs = 2;
        rc = nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
    } else if (h2->shut_downs == 1) {
        rc = nghttp2_submit_shutdown_notice(h2->session);
    } else {
        rc = nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
    }
    if (rc != 0) {
        mb__h2_note_result(h2, rc);
    }
    (void)mb__h2_submitted(h2, out);
}

int mb__h2_ping(mb_codec *codec, mb_buffer *out) {
    mb_h2 *h2 = mb__h2(codec);

    if (h2->failed) {
        return MB_EPHASE;
    }
    if (nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL) != 0) {
        return MB_ENOMEM;
    }
    return mb__h2_submitted(h2, out);
}
