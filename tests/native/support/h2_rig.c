/* See h2_rig.h. */
#include "h2_rig.h"

#include "http/message.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void note(h2_flow *flow, mb_slice text) {
    size_t room = sizeof flow->text - flow->length;
    size_t len = text.len < room ? text.len : room;

    if (len > 0) {
        memcpy(flow->text + flow->length, text.ptr, len);
    }
    flow->length += len;
}

static void note_c(h2_flow *flow, const char *text) {
    note(flow, (mb_slice){text, strlen(text)});
}

static void note_fields(h2_flow *flow, const mb_headers *headers) {
    for (size_t i = 0; i < mb_headers_count(headers); i++) {
        mb_header field;

        mb_headers_at(headers, i, &field);
        note_c(flow, "|");
        note(flow, field.name);
        note_c(flow, "=");
        note(flow, field.value);
    }
}

static void note_head(h2_flow *flow) {
    const mb_slice *pseudo = flow->headers.pseudo;

    if (!flow->rig->is_server) {
        note_c(flow, " ");
        note(flow, pseudo[MB_PSEUDO_STATUS]);
    } else {
        static const mb_pseudo order[] = {MB_PSEUDO_METHOD, MB_PSEUDO_AUTHORITY, MB_PSEUDO_PATH,
                                          MB_PSEUDO_SCHEME, MB_PSEUDO_PROTOCOL};

        for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
            if (pseudo[order[i]].ptr != NULL) {
                note_c(flow, " ");
                note(flow, pseudo[order[i]]);
            }
        }
    }
    note_fields(flow, &flow->headers);
}

static void note_body(h2_flow *flow) {
    mb_slice slices[8];

    if (flow->hold) {
        return;
    }
    if (flow->body.length != 0 && !flow->in_body) {
        flow->in_body = true;
        note_c(flow, " [");
    }
    while (flow->body.length != 0) {
        size_t count = mb_buffer_slices(&flow->body, slices, 8), len = 0;

        for (size_t i = 0; i < count && i < 8; i++) {
            note(flow, slices[i]);
            for (size_t k = 0; k < slices[i].len; k++) {
                flow->body_sum = flow->body_sum * 1099511628211u + (uint8_t)slices[i].ptr[k] + 1;
            }
            len += slices[i].len;
        }
        flow->body_bytes += len;
        mb_buffer_drain(&flow->body, len);
    }
}

static void note_end(h2_flow *flow) {
    h2_rig *rig = flow->rig;

    if (flow->in_body) {
        note_c(flow, "]");
    }
    flow->in_body = false;
    if (flow->trailers.count != 0) {
        note_c(flow, " trailers");
        note_fields(flow, &flow->trailers);
    }
    note_c(flow, " end");
    flow->ended = true;
    if (rig->answer && rig->is_server) {
        (void)h2_rig_respond(flow, 200, true);
    }
}

/* -- events --------------------------------------------------------------------------------- */

static h2_flow *fresh_flow(h2_rig *rig) {
    for (size_t i = 0; i < H2_RIG_FLOWS; i++) {
        h2_flow *flow = &rig->flows[i];

        if (flow->begun) {
            continue;
        }
        memset(flow, 0, sizeof *flow);
        memset(&flow->stream, 0x5a, sizeof flow->stream);
        flow->stream.tunnel = false;
        flow->begun = true;
        flow->rig = rig;
        flow->pausing = rig->pause_all;
        mb_arena_init(&flow->arena, &rig->arenas);
        mb_headers_init(&flow->headers, &flow->arena);
        mb_headers_init(&flow->trailers, &flow->arena);
        mb_buffer_init(&flow->body, rig->pool);
        flow->stream.headers = &flow->headers;
        flow->stream.trailers = &flow->trailers;
        flow->stream.body = &flow->body;
        flow->stream.head = NULL;
        return flow;
    }
    return NULL;
}

static void drop_flow(h2_flow *flow) {
    if (flow->begun) {
        flow->begun = false;
        mb_buffer_fini(&flow->body);
        mb_arena_clear(&flow->arena);
    }
}

static mb_codec_stream *on_begin(void *owner) {
    h2_rig *rig = owner;
    h2_flow *flow;

    rig->begun++;
    if (rig->refuse_begin) {
        return NULL;
    }
    flow = fresh_flow(rig);
    return flow == NULL ? NULL : &flow->stream;
}

static void on_headers(void *owner, mb_codec_stream *stream, bool end_stream) {
    h2_flow *flow = (h2_flow *)stream;

    (void)owner;
    flow->events++;
    note_head(flow);
    if (flow->pausing) {
        flow->pausing = false;
        h2_flow_pause(flow, true);
    }
    if (end_stream) {
        note_end(flow);
    }
}

static void on_informational(void *owner, mb_codec_stream *stream) {
    h2_rig *rig = owner;

    rig->informational++;
    note_head((h2_flow *)stream);
}

static void on_body(void *owner, mb_codec_stream *stream, bool end_stream) {
    h2_flow *flow = (h2_flow *)stream;

    (void)owner;
    flow->events++;
    note_body(flow);
    if (flow->pausing_body) {
        flow->pausing_body = false;
        h2_flow_pause(flow, true);
    }
    if (end_stream) {
        note_end(flow);
    }
}

static void on_trailers(void *owner, mb_codec_stream *stream) {
    h2_flow *flow = (h2_flow *)stream;

    (void)owner;
    flow->events++;
    note_end(flow);
}

static void on_reset(void *owner, mb_codec_stream *stream, mb_reset_reason reason) {
    static const char *const names[] = {"local",   "remote", "protocol",
                                        "refused", "unable", "unwanted"};
    h2_flow *flow = (h2_flow *)stream;

    (void)owner;
    if (flow->in_body) {
        note_c(flow, "]");
    }
    flow->reset = true;
    note_c(flow, " reset ");
    note_c(flow, names[reason]);
    note_c(flow, " ");
    note_c(flow, stream->reset_details);
}

static void on_pressure(void *owner, mb_codec_stream *stream, bool above) {
    h2_rig *rig = owner;

    ((h2_flow *)stream)->above = above;
    rig->relieved += !above;
}

static void on_capacity(void *owner) {
    ((h2_rig *)owner)->capacities++;
}

static void on_ping_ack(void *owner) {
    ((h2_rig *)owner)->ping_acks++;
}

static void on_error(void *owner, mb_codec_stream *stream, const mb_protocol_error *error) {
    h2_rig *rig = owner;

    rig->failed += stream == NULL ? 1 : 1000; /* it never has a stream */
    rig->error = error;
}

static const mb_codec_events events = {
    .on_begin = on_begin,
    .on_headers = on_headers,
    .on_informational = on_informational,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_reset = on_reset,
    .on_pressure = on_pressure,
    .on_capacity = on_capacity,
    .on_ping_ack = on_ping_ack,
    .on_error = on_error,
};

/* -- driving -------------------------------------------------------------------------------- */

h2_rig *h2_rig_new(const mb_allocator *allocator, mb_slab_pool *pool, bool is_server,
                   const mb_codec_options *given) {
    mb_codec_options options = {.max_head_bytes = 0};
    h2_rig *rig = calloc(1, sizeof *rig);

    if (rig == NULL) {
        return NULL;
    }
    if (given != NULL) {
        options = *given;
    }
    rig->is_server = is_server;
    rig->own_pool = pool == NULL;
    rig->pool = pool != NULL ? pool : mb_slab_pool_new(allocator);
    options.h2.counters = &rig->counters;
    if (rig->pool != NULL) {
        rig->codec = is_server ? mb_h2_server_new(allocator, &options, &events, rig)
                               : mb_h2_client_new(allocator, &options, &events, rig);
    }
    if (rig->codec == NULL) {
        if (rig->own_pool && rig->pool != NULL) {
            mb_slab_pool_free(rig->pool);
        }
        free(rig);
        return NULL;
    }
    mb_arena_pool_init(&rig->arenas, allocator, 4);
    mb_buffer_init(&rig->in, rig->pool);
    mb_buffer_init(&rig->out, rig->pool);
    return rig;
}

void h2_rig_free(h2_rig *rig) {
    rig->codec->vtable->free(rig->codec);
    for (size_t i = 0; i < H2_RIG_FLOWS; i++) {
        drop_flow(&rig->flows[i]);
    }
    mb_buffer_fini(&rig->in);
    mb_buffer_fini(&rig->out);
    mb_arena_pool_fini(&rig->arenas);
    if (rig->own_pool) {
        mb_slab_pool_free(rig->pool);
    }
    free(rig);
}

int h2_rig_flush(h2_rig *rig) {
    return rig->codec->vtable->flush(rig->codec, &rig->out);
}

int h2_rig_feed(h2_rig *rig, mb_slice bytes, size_t step) {
    int rc = MB_OK;

    for (size_t at = 0; at < bytes.len && rc == MB_OK;) {
        size_t left = bytes.len - at, take = step != 0 && step < left ? step : left;

        if (mb_buffer_append(&rig->in, (mb_slice){bytes.ptr + at, take}) != MB_OK) {
            return MB_ENOMEM;
        }
        rc = rig->codec->vtable->receive(rig->codec, &rig->in);
        if (!rig->no_flush && h2_rig_flush(rig) == MB_ENOMEM && rc == MB_OK) {
            rc = MB_ENOMEM;
        }
        at += take;
    }
    return rc;
}

int h2_rig_take(h2_rig *rig, h2_bytes *bytes) {
    int rc = h2_rig_feed(rig, h2_bytes_slice(bytes), 0);

    bytes->length = 0;
    return rc;
}

h2_flow *h2_rig_flow(h2_rig *rig, uint32_t id) {
    for (size_t i = 0; i < H2_RIG_FLOWS; i++) {
        if (rig->flows[i].begun && rig->flows[i].stream.id == id) {
            return &rig->flows[i];
        }
    }
    return NULL;
}

mb_slice h2_rig_text(h2_rig *rig) {
    size_t length = 0;

    for (size_t i = 0; i < H2_RIG_FLOWS; i++) {
        const h2_flow *flow = &rig->flows[i];

        if (flow->begun) {
            length += (size_t)snprintf(rig->text + length, sizeof rig->text - length, "%u%.*s\n",
                                       flow->stream.id, (int)flow->length, flow->text);
        }
    }
    return (mb_slice){rig->text, length};
}

mb_slice h2_rig_frames(h2_rig *rig) {
    mb_slice wire = {"", 0};
    size_t length;

    if (mb_buffer_join(&rig->out, rig->out.length, &wire, NULL) != MB_OK) {
        return wire;
    }
    length = h2_describe(wire, rig->text, sizeof rig->text);
    mb_buffer_clear(&rig->out);
    return (mb_slice){rig->text, length};
}

static h2_flow *request_of(h2_rig *rig, const char *method, const char *path, bool upgrade,
                           bool end, int *rc) {
    h2_flow *flow = fresh_flow(rig);

    *rc = flow == NULL ? MB_ENOMEM : rig->codec->vtable->begin(rig->codec, &flow->stream);
    if (flow == NULL) {
        return NULL;
    }
    if (*rc == MB_OK) {
        mb_headers_init(&flow->message, &flow->arena);
        flow->message.pseudo[MB_PSEUDO_METHOD] = (mb_slice){method, strlen(method)};
        flow->message.pseudo[MB_PSEUDO_PATH] = (mb_slice){path, strlen(path)};
        flow->message.pseudo[MB_PSEUDO_SCHEME] = MB_SLICE_LIT("http");
        flow->message.pseudo[MB_PSEUDO_AUTHORITY] = MB_SLICE_LIT("up");
        flow->stream.tunnel = upgrade;
        if (upgrade) {
            mb_headers_set_token(&flow->message, MB_TOKEN_UPGRADE, MB_SLICE_LIT("websocket"));
        }
        *rc = rig->codec->vtable->send_headers(rig->codec, &flow->stream, &flow->message, end,
                                               &rig->out);
        if (*rc != MB_OK) {
            rig->codec->vtable->reset(rig->codec, &flow->stream, MB_RESET_LOCAL, &rig->out);
        }
    }
    if (*rc != MB_OK) {
        drop_flow(flow);
        return NULL;
    }
    return flow;
}

h2_flow *h2_rig_request(h2_rig *rig, const char *method, const char *path, bool end, int *rc) {
    return request_of(rig, method, path, false, end, rc);
}

h2_flow *h2_rig_upgrade(h2_rig *rig, int *rc) {
    return request_of(rig, "GET", "/chat", true, false, rc);
}

int h2_rig_respond(h2_flow *flow, uint32_t status, bool end) {
    mb_codec *codec = flow->rig->codec;

    mb_headers_init(&flow->message, &flow->arena);
    if (mb_http_set_status(&flow->message, status) != MB_OK) {
        return MB_ENOMEM;
    }
    return codec->vtable->send_headers(codec, &flow->stream, &flow->message, end, &flow->rig->out);
}

int h2_flow_send(h2_flow *flow, mb_slice bytes, bool end) {
    mb_codec *codec = flow->rig->codec;
    mb_buffer data;
    int rc;

    mb_buffer_init(&data, flow->rig->pool);
    rc = mb_buffer_append(&data, bytes);
    if (rc == MB_OK) {
        rc = codec->vtable->send_body(codec, &flow->stream, &data, end, &flow->rig->out);
    }
    mb_buffer_fini(&data);
    return rc;
}

int h2_flow_send_trailers(h2_flow *flow, mb_slice name, mb_slice value) {
    mb_codec *codec = flow->rig->codec;

    mb_headers_init(&flow->message, &flow->arena);
    if (mb_headers_add(&flow->message, name, value) != MB_OK) {
        return MB_ENOMEM;
    }
    return codec->vtable->send_trailers(codec, &flow->stream, &flow->message, &flow->rig->out);
}

void h2_flow_pause(h2_flow *flow, bool paused) {
    mb_codec *codec = flow->rig->codec;

    codec->vtable->pause(codec, &flow->stream, paused);
}

static bool move(h2_rig *from, h2_rig *to, size_t step) {
    size_t take = step != 0 && step < from->out.length ? step : from->out.length;

    if (take == 0 || to->failed != 0) {
        mb_buffer_clear(&from->out);
        return h2_rig_flush(from) == MB_OK && from->out.length != 0;
    }
    if (mb_buffer_move_some(&to->in, &from->out, take) != MB_OK) {
        return false;
    }
    to->codec->vtable->receive(to->codec, &to->in);
    (void)h2_rig_flush(to);
    (void)h2_rig_flush(from);
    return true;
}

void h2_rig_link(h2_rig *a, h2_rig *b, size_t step) {
    bool moved = true;

    while (moved) {
        moved = move(a, b, step);
        moved |= move(b, a, step);
    }
}
