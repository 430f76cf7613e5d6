/*
 * See upstream_scene.h.
 */
#include "support/upstream_scene.h"

#include "base/slice.h"
#include "http/message.h"

#include <stdio.h>

/* -- the connection manager ------------------------------------------------------------------- */

static exchange *of(mb_stream *stream) {
    return stream->owner;
}

static void send_headers(mb_stream *stream, bool end_stream) {
    exchange *self = of(stream);
    const mb_headers *headers = &stream->headers[MB_RESPONSE];

    MB_CHECK(!self->headers_seen && !self->ended && !self->reset);
    self->headers_seen = true;
    self->ended = end_stream;
    self->status = mb_http_status(headers);
    for (size_t i = 0; i < mb_headers_count(headers); i++) {
        mb_header header;
        size_t used = strlen(self->headers);

        MB_CHECK_EQ_INT(mb_headers_at(headers, i, &header), MB_OK);
        snprintf(self->headers + used, sizeof self->headers - used, "%.*s: %.*s\n",
                 (int)header.name.len, header.name.ptr, (int)header.value.len, header.value.ptr);
    }
}

static void send_body(mb_stream *stream, mb_buffer *data, bool end_stream) {
    exchange *self = of(stream);
    size_t room = sizeof self->body - self->body_length;

    MB_CHECK(self->headers_seen && !self->ended && !self->reset);
    self->body_length += mb_buffer_copy_out(data, 0, self->body + self->body_length, room);
    mb_buffer_clear(data);
    self->ended = end_stream;
}

static void send_trailers(mb_stream *stream) {
    MB_CHECK(!of(stream)->ended);
    of(stream)->trailers_seen = of(stream)->ended = true;
}

static void send_informational(mb_stream *stream, const mb_headers *headers) {
    (void)headers;
    of(stream)->informational++;
}

static void send_reset(mb_stream *stream) {
    MB_CHECK(!of(stream)->ended);
    of(stream)->reset = true;
}

static void pause_request(mb_stream *stream, bool paused) {
    MB_CHECK(of(stream)->paused != paused);
    of(stream)->paused = paused;
    of(stream)->pauses += paused;
}

static void resolve_route(mb_stream *stream, mb_route_choice *out) {
    router_scene *scene = of(stream)->scene;

    *out = (mb_route_choice){.route = scene->no_route ? NULL : &scene->route};
}

static void finish_response_headers(mb_stream *stream) {
    (void)stream;
}

static void keep(char *to, size_t room, mb_slice text) {
    snprintf(to, room, "%.*s", (int)text.len, text.len > 0 ? text.ptr : "");
}

static void complete(mb_stream *stream) {
    exchange *self = of(stream);
    const mb_stream_info *info = &stream->info;

    MB_CHECK(!self->completed);
    self->completed = true;
    self->flags = info->flags;
    self->attempts = info->attempts;
    keep(self->details, sizeof self->details, info->details);
    keep(self->failure, sizeof self->failure, info->upstream_failure);
    keep(self->cluster, sizeof self->cluster, info->cluster);
    if (info->upstream_remote != NULL) {
        char text[MB_ADDRESS_TEXT_BYTES];
        size_t length = mb_address_text(info->upstream_remote, text);

        keep(self->upstream, sizeof self->upstream, (mb_slice){text, length});
    }
    self->stream = NULL;
    mb_stream_free(stream);
}

static const mb_stream_ops ops = {.send_headers = send_headers,
                                  .send_body = send_body,
                                  .send_trailers = send_trailers,
                                  .send_informational = send_informational,
                                  .send_reset = send_reset,
                                  .pause_request = pause_request,
                                  .resolve_route = resolve_route,
                                  .finish_response_headers = finish_response_headers,
                                  .complete = complete};

/* -- exchanges -------------------------------------------------------------------------------- */

void exchange_begin(exchange *self, router_scene *in, const char *method, const char *path) {
    mb_stream *stream = mb_stream_new(&in->in.worker, &in->chain, &ops, self);

    memset(self, 0, sizeof *self);
    self->scene = in;
    self->stream = stream;
    if (stream == NULL) {
        return;
    }
    stream->buffer_limit = 1024;
    stream->head_request = strcmp(method, "HEAD") == 0;
    mb_headers_set_pseudo(&stream->headers[MB_REQUEST], MB_PSEUDO_METHOD, mb_slice_from_c(method));
    mb_headers_set_pseudo(&stream->headers[MB_REQUEST], MB_PSEUDO_PATH, mb_slice_from_c(path));
    mb_headers_set_pseudo(&stream->headers[MB_REQUEST], MB_PSEUDO_AUTHORITY, MB_SLICE_LIT("a"));
    mb_headers_set_pseudo(&stream->headers[MB_REQUEST], MB_PSEUDO_SCHEME, MB_SLICE_LIT("http"));
}

void exchange_header(exchange *self, const char *name, const char *value) {
    MB_CHECK_EQ_INT(mb_headers_add(&self->stream->headers[MB_REQUEST], mb_slice_from_c(name),
                                   mb_slice_from_c(value)),
                    MB_OK);
}

void exchange_send_headers(exchange *self, bool end_stream) {
    mb_stream_request_headers(self->stream, end_stream);
}

void exchange_send_body(exchange *self, const char *bytes, bool end_stream) {
    mb_buffer data;

    mb_buffer_init(&data, self->scene->in.worker.slabs);
    MB_CHECK_EQ_INT(mb_buffer_append(&data, mb_slice_from_c(bytes)), MB_OK);
    mb_stream_request_body(self->stream, &data, end_stream);
    MB_CHECK_EQ_INT(data.length, 0);
    mb_buffer_fini(&data);
}

void exchange_get(exchange *self, router_scene *in, const char *path) {
    exchange_begin(self, in, "GET", path);
    exchange_send_headers(self, true);
}

static bool is_set(void *flag) {
    return *(bool *)flag;
}

void exchange_wait(exchange *self) {
    rig_turn_until(&self->scene->in, is_set, &self->completed);
}

void exchange_wait_headers(exchange *self) {
    rig_turn_until(&self->scene->in, is_set, &self->headers_seen);
}

bool exchange_has_header(const exchange *self, const char *line) {
    size_t length = strlen(line);

    for (const char *at = self->headers; *at != '\0'; at = strchr(at, '\n') + 1) {
        if (strncmp(at, line, length) == 0 && at[length] == '\n') {
            return true;
        }
    }
    return false;
}

/* -- the scene -------------------------------------------------------------------------------- */

bool scene_init(router_scene *self, size_t fail_at) {
    memset(self, 0, sizeof *self);
    if (!rig_init(&self->in, fail_at)) {
        return false;
    }
    self->settings = rig_settings(&self->in);
    self->host.table = &self->table;
    self->route.host = &self->host;
    self->route.path_kind = MB_PATH_PREFIX;
    self->route.path = MB_SLICE_LIT("/");
    self->route.action = MB_ACTION_CLUSTER;
    self->route.cluster = MB_SLICE_LIT("up");
    self->route.timeout_us = 15000000;
    self->config.clusters = &self->clusters;
    self->chain.terminal = &mb_router_terminal;
    self->chain.terminal_config = &self->config;
    mb_map_init(&self->clusters, &self->in.memory->allocator, 1);
    return true;
}

void scene_start(router_scene *self) {
    self->cluster = mb_cluster_new(&self->in.worker, &self->settings);
    if (self->cluster != NULL &&
        mb_map_set(&self->clusters, MB_SLICE_LIT("up"), self->cluster, NULL) != MB_OK) {
        mb_cluster_unref(self->cluster);
        self->cluster = NULL;
    }
}

void scene_fini(router_scene *self) {
    MB_CHECK_EQ_INT(self->in.worker.table.active, 0);
    CHECK_STAT(&self->in, "cluster.up.upstream_rq_active", 0);
    CHECK_STAT(&self->in, "cluster.up.upstream_rq_pending_active", 0);
    if (self->cluster != NULL) {
        MB_CHECK_EQ_INT(self->cluster->circuit.retries.now, 0);
        MB_CHECK_EQ_INT(self->cluster->circuit.requests.now, 0);
        MB_CHECK_EQ_INT(self->cluster->circuit.pending.now, 0);
        mb_cluster_unref(self->cluster);
    }
    mb_map_fini(&self->clusters);
    rig_turn(&self->in);
    rig_fini(&self->in);
}
