/* See h1_record.h. */
#include "h1_record.h"

#include "http/message.h"
#include <string.h>

static void note(h1_record *r, mb_slice text) {
    size_t room = sizeof r->text - r->length;
    size_t len = text.len < room ? text.len : room;

    if (len > 0) {
        memcpy(r->text + r->length, text.ptr, len);
    }
    r->length += len;
}

static void note_c(h1_record *r, const char *text) {
    note(r, (mb_slice){text, strlen(text)});
}

static void note_fields(h1_record *r, const mb_headers *headers) {
    for (size_t i = 0; i < mb_headers_count(headers); i++) {
        mb_header field;

        mb_headers_at(headers, i, &field);
        note_c(r, "|");
        note(r, field.name);
        note_c(r, "=");
        note(r, field.value);
    }
}

static void note_head(h1_record *r) {
    const mb_headers *headers = &r->headers;

    if (!r->is_server) {
        note(r, headers->pseudo[MB_PSEUDO_STATUS]);
    } else {
        note(r, headers->pseudo[MB_PSEUDO_METHOD]);
        note_c(r, " ");
        note(r, headers->pseudo[MB_PSEUDO_AUTHORITY]);
        note_c(r, " ");
        note(r, headers->pseudo[MB_PSEUDO_PATH]);
        if (headers->pseudo[MB_PSEUDO_SCHEME].ptr != NULL) {
            note_c(r, " ");
            note(r, headers->pseudo[MB_PSEUDO_SCHEME]);
        }
    }
    note_fields(r, headers);
}

static void note_body(h1_record *r) {
    mb_slice slices[8];

    if (r->body.length == 0) {
        return;
    }
    if (!r->in_body) {
        r->in_body = true;
        note_c(r, " [");
    }
    while (r->body.length != 0) {
        size_t count = mb_buffer_slices(&r->body, slices, 8);
        size_t len = 0;

        for (size_t i = 0; i < count && i < 8; i++) {
            note(r, slices[i]);
            len += slices[i].len;
        }
        mb_buffer_drain(&r->body, len);
    }
}

static void close_body(h1_record *r) {
    note_body(r);
    if (r->in_body) {
        note_c(r, "]");
    }
    r->in_body = false;
}

static int answer(h1_record *r) {
    r->answer_due = false;
    mb_headers_init(&r->answer, &r->arena);
    if (mb_http_set_status(&r->answer, 200) != MB_OK) {
        return MB_ENOMEM;
    }
    return r->codec->vtable->send_headers(r->codec, &r->stream, &r->answer, true, &r->out);
}

static void note_end(h1_record *r) {
    close_body(r);
    note_c(r, " end\n");
    r->ended++;
    r->answer_due = !r->by_hand;
    if (r->answer_due && r->answer_inside && r->is_server) {
        answer(r);
    }
}

/* -- events --------------------------------------------------------------------------------- */

static void fresh_stream(h1_record *r) {
    mb_arena_clear(&r->arena);
    mb_headers_init(&r->headers, &r->arena);
    mb_headers_init(&r->trailers, &r->arena);
    memset(&r->stream, 0x5a, sizeof r->stream);
    r->stream.tunnel = r->tunnel;
    r->stream.headers = &r->headers;
    r->stream.trailers = &r->trailers;
    r->stream.body = &r->body;
    r->stream.head = r->copy_heads ? NULL : &r->head;
}

static mb_codec_stream *on_begin(void *owner) {
    h1_record *r = owner;

    if (r->refuse_begin) {
        return NULL;
    }
    r->begun++;
    fresh_stream(r);
    return &r->stream;
}

static void on_headers(void *owner, mb_codec_stream *stream, bool end_stream) {
    h1_record *r = owner;

    (void)stream;
    note_head(r);
    if (end_stream) {
        note_end(r);
    }
}

static void on_informational(void *owner, mb_codec_stream *stream) {
    h1_record *r = owner;

    (void)stream;
    r->informational++;
    note_head(r);
    note_c(r, " informational\n");
}

static void on_body(void *owner, mb_codec_stream *stream, bool end_stream) {
    h1_record *r = owner;

    (void)stream;
    note_body(r);
    if (end_stream) {
        note_end(r);
    }
}

static void on_trailers(void *owner, mb_codec_stream *stream) {
    h1_record *r = owner;

    (void)stream;
    close_body(r);
    note_c(r, " trailers");
    note_fields(r, &r->trailers);
    note_end(r);
}

static void on_reset(void *owner, mb_codec_stream *stream, mb_reset_reason reason) {
    h1_record *r = owner;

    (void)stream;
    (void)reason;
    r->resets++;
    close_body(r);
    note_c(r, " reset\n");
}

static void on_error(void *owner, mb_codec_stream *stream, const mb_protocol_error *error) {
    h1_record *r = owner;
    char status[4];

    (void)stream;
    r->failed++;
    r->error = error;
    close_body(r);
    status[0] = (char)('0' + error->status / 100);
    status[1] = (char)('0' + error->status / 10 % 10);
    status[2] = (char)('0' + error->status % 10);
    note_c(r, " error ");
    note(r, (mb_slice){status, 3});
    note_c(r, " ");
    note_c(r, error->reason);
    note_c(r, "\n");
}

static const mb_codec_events events = {
    .on_begin = on_begin,
    .on_headers = on_headers,
    .on_informational = on_informational,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_reset = on_reset,
    .on_error = on_error,
};

/* -- driving -------------------------------------------------------------------------------- */

bool h1_record_init(h1_record *r, const mb_allocator *allocator, bool is_server,
                    const mb_codec_options *options) {
    static const mb_codec_options defaults = {.enable_trailers = true, .accept_http_10 = true};

    memset(r, 0, sizeof *r);
    r->allocator = allocator;
    r->is_server = is_server;
    r->method = MB_SLICE_LIT("GET");
    r->pool = mb_slab_pool_new(allocator);
    if (r->pool == NULL) {
        return false;
    }
    options = options != NULL ? options : &defaults;
    mb_arena_pool_init(&r->arenas, allocator, 4);
    r->codec = is_server ? mb_h1_server_new(allocator, &r->arenas, options, &events, r)
                         : mb_h1_client_new(allocator, &r->arenas, options, &events, r);
    if (r->codec == NULL) {
        mb_slab_pool_free(r->pool);
        return false;
    }
    mb_arena_init(&r->arena, &r->arenas);
    mb_buffer_init(&r->in, r->pool);
    mb_buffer_init(&r->out, r->pool);
    mb_buffer_init(&r->head, r->pool);
    mb_buffer_init(&r->body, r->pool);
    mb_buffer_init(&r->spoiler, r->pool);
    return true;
}

void h1_record_fini(h1_record *r) {
    r->codec->vtable->free(r->codec);
    mb_arena_clear(&r->arena);
    mb_arena_pool_fini(&r->arenas);
    mb_buffer_fini(&r->in);
    mb_buffer_fini(&r->out);
    mb_buffer_fini(&r->head);
    mb_buffer_fini(&r->body);
    mb_buffer_fini(&r->spoiler);
    mb_slab_pool_free(r->pool);
}

int h1_record_request(h1_record *r) {
    int rc;

    r->answer_due = false;
    fresh_stream(r);
    rc = r->codec->vtable->begin(r->codec, &r->stream);
    if (rc != MB_OK) {
        return rc;
    }
    r->begun++;
    mb_headers_init(&r->request, &r->arena);
    r->request.pseudo[MB_PSEUDO_METHOD] = r->method;
    r->request.pseudo[MB_PSEUDO_PATH] = MB_SLICE_LIT("/");
    r->request.pseudo[MB_PSEUDO_AUTHORITY] = MB_SLICE_LIT("up");
    return r->codec->vtable->send_headers(r->codec, &r->stream, &r->request, true, &r->out);
}

/* Receives, and answers what has ended, until nothing moves any more. */
static int receive(h1_record *r) {
    int rc;

    for (;;) {
        rc = r->codec->vtable->receive(r->codec, &r->in);
        if (rc == MB_EAGAIN && r->stream.local_ended && r->stream.remote_ended) {
            continue; /* between two requests */
        }
        if (!r->answer_due || r->failed != 0) {
            return rc;
        }
        if (r->is_server ? answer(r) != MB_OK : h1_record_request(r) != MB_OK) {
            return rc;
        }
        mb_buffer_clear(&r->out);
    }
}

int h1_record_feed(h1_record *r, mb_slice piece, bool apart) {
    if (apart && mb_buffer_append(&r->spoiler, MB_SLICE_LIT("spoiler")) != MB_OK) {
        return MB_ENOMEM;
    }
    if (mb_buffer_append(&r->in, piece) != MB_OK) {
        return MB_ENOMEM;
    }
    return receive(r);
}

int h1_record_feed_in_place(h1_record *r, mb_slice piece) {
    if (mb_buffer_append_static(&r->in, piece) != MB_OK) {
        return MB_ENOMEM;
    }
    return receive(r);
}

void h1_record_end(h1_record *r) {
    r->codec->vtable->receive_end(r->codec);
}

mb_slice h1_record_text(const h1_record *r) {
    return (mb_slice){r->text, r->length};
}

mb_slice h1_record_written(h1_record *r) {
    mb_slice all = {"", 0};

    if (r->out.length != 0) {
        mb_buffer_join(&r->out, r->out.length, &all, NULL);
    }
    return all;
}
