#include "support/filter_rig.h"

#include "base/slice.h"
#include "filter/builtin.h"
#include "filter/module.h"
#include "http/message.h"
#include "support/json_document.h"

#include <stdlib.h>

#define START_WALL_US 1545177563123456u
#define START_US 1000000000u

static filter_rig *rig_of(const mb_stream *stream) {
    return stream->owner;
}

static void collect(char *to, size_t *length, size_t room, mb_buffer *data) {
    *length += mb_buffer_copy_out(data, 0, to + *length, room - *length);
    mb_buffer_clear(data);
}

/* -- the upstream ---------------------------------------------------------------------------- */

static void upstream_headers(mb_stream *stream, bool end) {
    rig_of(stream)->upstream_asked = true;
    rig_of(stream)->upstream_ended = end;
}

static void upstream_body(mb_stream *stream, mb_buffer *data, bool end) {
    filter_rig *self = rig_of(stream);
    collect(self->upstream_body, &self->upstream_body_length, sizeof(self->upstream_body), data);
    self->upstream_ended = end;
}

static void upstream_trailers(mb_stream *stream) {
    rig_of(stream)->upstream_ended = true;
}

static void upstream_pause(mb_stream *stream, bool paused) {
    (void)stream;
    (void)paused;
}

static void upstream_abort(mb_stream *stream) {
    (void)stream;
}

static const mb_terminal upstream = {
    .name = "test",
    .request_headers = upstream_headers,
    .request_body = upstream_body,
    .request_trailers = upstream_trailers,
    .pause_response = upstream_pause,
    .abort = upstream_abort,
};

/* -- the client ------------------------------------------------------------------------------ */

static void send_headers(mb_stream *stream, bool end) {
    rig_of(stream)->status = mb_http_status(&stream->headers[MB_RESPONSE]);
    rig_of(stream)->response_ended = end;
}

static void send_body(mb_stream *stream, mb_buffer *data, bool end) {
    filter_rig *self = rig_of(stream);
    collect(self->body, &self->body_length, sizeof(self->body), data);
    self->response_ended = end;
}

static void send_trailers(mb_stream *stream) {
    rig_of(stream)->response_ended = true;
}

static void send_informational(mb_stream *stream, const mb_headers *headers) {
    (void)stream;
    (void)headers;
}

static void send_reset(mb_stream *stream) {
    rig_of(stream)->reset = true;
}

static void resolve_route(mb_stream *stream, mb_route_choice *out) {
    (void)stream;
    (void)out;
}

static void finish_response_headers(mb_stream *stream) {
    (void)stream;
}

/* The stream stays until the test has looked at it. */
static void complete(mb_stream *stream) {
    rig_of(stream)->completed = true;
}

static const mb_stream_ops client = {
    .send_headers = send_headers,
    .send_body = send_body,
    .send_trailers = send_trailers,
    .send_informational = send_informational,
    .send_reset = send_reset,
    .pause_request = upstream_pause,
    .resolve_route = resolve_route,
    .finish_response_headers = finish_response_headers,
    .complete = complete,
};

/* -- the rig --------------------------------------------------------------------------------- */

bool filter_rig_init(filter_rig *self, size_t fail_at) {
    static const mb_logger no_log = {.level = MB_LOG_OFF};
    memset(self, 0, sizeof(*self));
    mbtest_clock_init(&self->clock, START_US, START_WALL_US);
    self->memory = mbtest_failing_alloc(fail_at);
    if (mb_worker_init(&self->worker, &self->memory->allocator, &self->clock.clock, &no_log, 0) !=
        MB_OK) {
        mbtest_alloc_free(self->memory);
        return false;
    }
    mb_arena_init(&self->arena, &self->worker.arenas);
    self->chain.terminal = &upstream;
    self->stream = mb_stream_new(&self->worker, &self->chain, &client, self);
    if (self->stream == NULL) {
        mb_worker_fini(&self->worker);
        mbtest_alloc_free(self->memory);
        return false;
    }
    return true;
}

static void end_stream(filter_rig *self) {
    if (self->stream != NULL) {
        mb_stream_client_gone(self->stream, 0, MB_SLICE_LIT(""));
        mb_stream_free(self->stream);
        self->stream = NULL;
    }
}

void filter_rig_fini(filter_rig *self) {
    end_stream(self);
    mb_chain_entry_release(&self->entry);
    mb_arena_clear(&self->arena);
    mb_worker_fini(&self->worker);
    mbtest_alloc_free(self->memory);
}

void filter_rig_begin(filter_rig *self) {
    end_stream(self);
    self->status = 0;
    self->upstream_asked = self->upstream_ended = self->response_ended = false;
    self->reset = self->completed = false;
    self->body_length = self->upstream_body_length = 0;
    self->stream = mb_stream_new(&self->worker, &self->chain, &client, self);
    MB_CHECK(self->stream != NULL);
}

int filter_rig_put(filter_rig *self, mb_module_ref *module, mb_filter_args *args) {
    int status = mb_chain_entry_configure(module, args, &self->entry);
    self->body_length = args->error.len < sizeof(self->body) ? args->error.len : 0;
    memcpy(self->body, args->error.ptr == NULL ? "" : args->error.ptr, self->body_length);
    if (status != MB_OK) {
        return status;
    }
    end_stream(self); /* it knows the chain without the filter */
    self->entry.name = "under_test";
    self->chain.entries = &self->entry;
    self->chain.count = 1;
    self->chain.state_bytes = self->entry.hooks->state_bytes;
    filter_rig_begin(self);
    return MB_OK;
}

int filter_rig_use(filter_rig *self, const char *filter, const char *json) {
    mb_module_ref *module;
    mb_text document, error;
    json_document(&document, json, NULL);
    mb_text_init(&error, &self->memory->allocator, SIZE_MAX);
    int status =
        mb_module_make(&self->worker, MB_SLICE_LIT("native"), mb_builtin_module, &error, &module);
    mb_text_fini(&error);
    if (status == MB_OK) {
        mb_filter_args args = {
            .worker = &self->worker,
            .filter_name = mb_slice_from_c(filter),
            .name = MB_SLICE_LIT("under_test"),
            .config = mb_text_view(&document),
        };
        status = filter_rig_put(self, module, &args);
        mb_module_release(module);
    }
    mb_text_fini(&document);
    return status;
}

mb_slice filter_rig_error(const filter_rig *self) {
    return (mb_slice){self->body, self->body_length};
}

void filter_rig_header(filter_rig *self, mb_direction direction, const char *name,
                       const char *value) {
    mb_headers *headers = &self->stream->headers[direction];
    int (*put)(mb_headers *, mb_slice, mb_slice) = name[0] == ':' ? mb_headers_set : mb_headers_add;
    MB_CHECK_EQ_INT(put(headers, mb_slice_from_c(name), mb_slice_from_c(value)), MB_OK);
}

void filter_rig_get(filter_rig *self, const char *path) {
    filter_rig_header(self, MB_REQUEST, ":method", "GET");
    filter_rig_header(self, MB_REQUEST, ":scheme", "http");
    filter_rig_header(self, MB_REQUEST, ":authority", "host.example");
    filter_rig_header(self, MB_REQUEST, ":path", path);
}

void filter_rig_body(filter_rig *self, mb_direction direction, mb_slice piece, bool end) {
    mb_buffer data;
    mb_buffer_init(&data, self->worker.slabs);
    /* Slabs of their own, so that a piece of several slices can be made of several calls. */
    MB_CHECK_EQ_INT(mb_buffer_append(&data, piece), MB_OK);
    if (direction == MB_REQUEST) {
        mb_stream_request_body(self->stream, &data, end);
    } else {
        mb_stream_response_body(self->stream, &data, end);
    }
    mb_buffer_fini(&data);
}

static char shown[4096];

static size_t show(size_t at, mb_slice text) {
    MB_CHECK(at + text.len < sizeof(shown));
    memcpy(shown + at, text.ptr, text.len);
    return at + text.len;
}

mb_slice filter_rig_fields(const mb_headers *headers) {
    size_t length = 0;
    mb_header header;
    for (size_t i = 0; mb_headers_at(headers, i, &header) == MB_OK; i++) {
        length = show(length, header.name);
        length = show(length, MB_SLICE_LIT("="));
        length = show(length, header.value);
        length = show(length, MB_SLICE_LIT(";"));
    }
    return (mb_slice){shown, length};
}

mb_slice filter_rig_values(const mb_headers *headers, const char *name) {
    size_t length = 0;
    mb_slice value;
    for (size_t i = 0; mb_headers_get(headers, mb_slice_from_c(name), i, &value) > 0; i++) {
        length = show(length, i > 0 ? MB_SLICE_LIT("|") : MB_SLICE_LIT(""));
        length = show(length, value);
    }
    mb_slice found = {shown, length};
    return mb_headers_get(headers, mb_slice_from_c(name), 0, &value) > 0 ? found
                                                                         : MB_SLICE_LIT("(none)");
}

uint64_t filter_rig_counter(filter_rig *self, const char *name) {
    mb_header label = {MB_SLICE_LIT("filter"), MB_SLICE_LIT("under_test")};
    mb_metric *metric = mb_stats_find(self->worker.stats, mb_slice_from_c(name), &label, 1);
    return metric == NULL ? 0 : mb_metric_value(metric);
}

mb_format *filter_rig_format(filter_rig *self, const char *json) {
    mb_text document;
    mb_format *format = NULL;
    const char *error = NULL;
    json_document(&document, json, NULL);
    int status = mb_format_build(&self->arena, mb_text_view(&document), &format, &error);
    mb_text_fini(&document);
    if (status != MB_OK) {
        MB_FAIL(error);
    }
    return format;
}
