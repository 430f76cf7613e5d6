/*
 * The scripted filters of playbooks: a module like any other, that uses the host through filter.h.
 */
#include "support/playbook.h"

#include "base/slice.h"
#include "filter/host.h"

static const mb_host *const host = &mb_host_functions;

static const char *const hook_names[] = {"request headers",  "request body",  "request trailers",
                                         "response headers", "response body", "response trailers",
                                         "complete",         "scheduled",     "destroy"};

static const char *result_name(int result) {
    static const char *const names[] = {"OK",     "EAGAIN", "ENOMEM", "EINVAL", "ENOTFOUND",
                                        "EPHASE", "EGONE",  "ELIMIT", "EPROTO"};
    MB_CHECK(result <= 0 && result >= MB_EPROTO);
    return names[-result];
}

/* -- actions ---------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int status;
} statuses[] = {
    {"continue", 0},
    {"stop", MB_HEADERS_STOP_ITERATION},
    {"stop_all_buffer", MB_HEADERS_STOP_ALL_AND_BUFFER},
    {"stop_all_watermark", MB_HEADERS_STOP_ALL_AND_WATERMARK},
    {"buffer", MB_BODY_STOP_AND_BUFFER},
    {"watermark", MB_BODY_STOP_AND_WATERMARK},
    {"no_buffer", MB_BODY_STOP_NO_BUFFER},
    {"pending", MB_PENDING},
};

static bool find_status(mb_slice verb, mb_slice *rest, int *out) {
    if (play_is(verb, "status")) {
        bool negative = rest->len > 0 && rest->ptr[0] == '-';
        mb_slice digits = negative ? mb_slice_skip(*rest, 1) : *rest;
        *out = (int)play_number(play_word(&digits)) * (negative ? -1 : 1);
        return true;
    }
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (play_is(verb, statuses[i].name)) {
            *out = statuses[i].status;
            return true;
        }
    }
    return false;
}

static int respond(play *self, mb_filter *filter, mb_slice rest) {
    mb_header header = {MB_SLICE_LIT("x-by"), mb_slice_from_c(filter->name)};
    mb_local_reply reply = {.status = (uint32_t)play_number(play_word(&rest))};
    (void)self;
    reply.headers = &header;
    reply.header_count = 1;
    reply.body = play_word(&rest);
    return host->respond(filter, &reply);
}

static int finish(mb_filter *filter, mb_slice rest) {
    mb_direction direction = play_direction(play_word(&rest));
    mb_slice verb = play_word(&rest);
    play_config *config = filter->config;
    play_filter *known = play_find_filter(config->play, mb_slice_from_c(filter->name));
    int status;
    MB_CHECK(find_status(verb, &rest, &status));
    int result = host->finish(filter, direction, status);
    if (result == MB_OK) {
        known->seen[direction].pending = false;
    }
    return result;
}

static int change(mb_buffer *data, mb_slice verb, mb_slice rest) {
    if (data == NULL) {
        return MB_ENOMEM;
    }
    if (play_is(verb, "drain") || play_is(verb, "drain_held")) {
        host->buffer_drain(data, play_number(play_word(&rest)));
        return MB_OK;
    }
    return play_is(verb, "prepend") ? host->buffer_prepend(data, play_word(&rest))
                                    : host->buffer_append(data, play_word(&rest));
}

static int set_header(mb_filter *filter, mb_direction direction, mb_slice name, mb_slice value) {
    return host->headers_set(host->headers(filter->stream, direction), name, value);
}

static int piece(mb_filter *filter, mb_direction direction, mb_slice rest) {
    mb_buffer *waiting = host->pending_body(filter, direction);
    mb_slice verb = play_word(&rest);
    return waiting == NULL ? MB_ENOTFOUND : change(waiting, verb, rest);
}

bool play_act(play *self, mb_filter *filter, mb_slice action, mb_direction direction,
              mb_buffer *data, int *status) {
    mb_slice rest = action;
    mb_slice verb = play_word(&rest);
    int result = MB_OK;
    bool ends_group = false;
    if (find_status(verb, &rest, status)) {
        return false;
    }
    if (play_is(verb, "append") || play_is(verb, "prepend") || play_is(verb, "drain")) {
        result = change(data, verb, rest);
    } else if (play_is(verb, "hold") || play_is(verb, "drain_held")) {
        result = change(host->held_body(filter, direction), verb, rest);
        ends_group = true;
    } else if (play_is(verb, "piece")) {
        result = piece(filter, direction, rest);
    } else if (play_is(verb, "set")) {
        mb_slice name = play_word(&rest);
        result = set_header(filter, direction, name, play_word(&rest));
    } else if (play_is(verb, "path")) {
        result = set_header(filter, MB_REQUEST, MB_SLICE_LIT(":path"), play_word(&rest));
    } else if (play_is(verb, "clear_route")) {
        result = host->clear_route_cache(filter->stream);
        ends_group = true;
    } else if (play_is(verb, "respond")) {
        result = respond(self, filter, rest);
        ends_group = true;
    } else if (play_is(verb, "resume")) {
        result = host->resume(filter, play_direction(play_word(&rest)));
    } else if (play_is(verb, "reset")) {
        result = host->reset(filter->stream, play_word(&rest));
        ends_group = true;
    } else if (play_is(verb, "finish")) {
        result = finish(filter, rest);
    } else if (play_is(verb, "post")) {
        result = host->post(&self->worker, self->id, filter->name, play_number(play_word(&rest)));
    } else {
        MB_FAIL("no such action");
    }
    if (result < 0 && !self->quiet) {
        play_line(self, "%s %.*s: %s", filter->name, (int)verb.len, verb.ptr, result_name(result));
    }
    return ends_group;
}

/* -- hooks ------------------------------------------------------------------------------------ */

static mb_slice cut(mb_slice *rest, char at) {
    mb_slice before;
    mb_slice_split(*rest, at, &before, rest);
    return before;
}

static int answer(play *self, mb_filter *filter, mb_hook hook, mb_buffer *data, bool *ends_group) {
    play_config *config = filter->config;
    mb_direction direction = hook / 3 == MB_RESPONSE ? MB_RESPONSE : MB_REQUEST;
    mb_slice actions = cut(&config->hooks[hook].rest, '|');
    int status = 0;
    while (actions.len > 0) {
        mb_slice action = mb_slice_trim_ows(cut(&actions, ','));
        if (action.len > 0) {
            *ends_group |= play_act(self, filter, action, direction, data, &status);
        }
    }
    return status;
}

/* A hook begins: no other of this filter runs or is pending, and the stream is what it should be.
 */
static play_filter *begin(mb_filter *filter, mb_hook hook) {
    play_config *config = filter->config;
    play *self = config->play;
    play_filter *known = play_find_filter(self, mb_slice_from_c(filter->name));
    bool last = hook == MB_HOOK_STREAM_COMPLETE || hook == MB_HOOK_DESTROY;
    MB_CHECK(config->hooks[hook].wanted || hook == MB_HOOK_DESTROY);
    MB_CHECK(!known->running);
    MB_CHECK_EQ_INT(known->destroyed, 0);
    MB_CHECK(filter->stream == self->stream);
    MB_CHECK_EQ_INT(self->stream->over, last);
    MB_CHECK(filter->slot->filter == filter->name);
    MB_CHECK_EQ_INT(filter->slot->stream, self->id);
    if (hook < MB_HOOK_STREAM_COMPLETE) {
        MB_CHECK(!known->seen[hook / 3].pending);
    }
    /* The state is this filter's in this stream, zeroed before. */
    uint32_t *counted = filter->state;
    MB_CHECK_EQ_INT(*counted, known->hooks);
    *counted += 1;
    known->hooks++;
    known->running = true;
    return known;
}

static void end(play_filter *known, mb_hook hook, int status) {
    known->running = false;
    if (hook < MB_HOOK_STREAM_COMPLETE) {
        known->seen[hook / 3].pending = status == MB_PENDING;
    }
}

static int run_headers(mb_filter *filter, mb_direction direction, bool end_stream,
                       bool *ends_group) {
    mb_hook hook = direction * 3;
    play_config *config = filter->config;
    play *self = config->play;
    play_filter *known = begin(filter, hook);
    play_see_headers(&known->seen[direction], end_stream);
    play_line(self, "%.*s %s%s", (int)config->name.len, config->name.ptr, hook_names[hook],
              end_stream ? " end" : "");
    int status = answer(self, filter, hook, NULL, ends_group);
    end(known, hook, status);
    return status;
}

static int run_body(mb_filter *filter, mb_direction direction, mb_buffer *data, bool end_stream,
                    bool *ends_group) {
    mb_hook hook = direction * 3 + 1;
    play_config *config = filter->config;
    play *self = config->play;
    play_filter *known = begin(filter, hook);
    char text[4096];
    size_t length = host->buffer_copy_out(data, 0, text, sizeof(text));
    MB_CHECK_EQ_INT(length, host->buffer_length(data));
    play_see_body(&known->seen[direction], end_stream);
    MB_CHECK(!end_stream || host->ended(filter->stream, direction));
    play_line(self, "%.*s %s '%.*s'%s", (int)config->name.len, config->name.ptr, hook_names[hook],
              (int)length, text, end_stream ? " end" : "");
    int status = answer(self, filter, hook, data, ends_group);
    end(known, hook, status);
    return status;
}

static int run_trailers(mb_filter *filter, mb_direction direction) {
    mb_hook hook = direction * 3 + 2;
    play_config *config = filter->config;
    play *self = config->play;
    play_filter *known = begin(filter, hook);
    bool ignored = false;
    play_see_trailers(&known->seen[direction]);
    MB_CHECK(known->seen[direction].ended || !config->hooks[hook - 1].wanted);
    play_line(self, "%.*s %s", (int)config->name.len, config->name.ptr, hook_names[hook]);
    int status = answer(self, filter, hook, NULL, &ignored);
    end(known, hook, status);
    return status;
}

static mb_headers_status request_headers(mb_filter *filter, bool end_stream) {
    bool ignored = false;
    return (mb_headers_status)run_headers(filter, MB_REQUEST, end_stream, &ignored);
}

static mb_body_status request_body(mb_filter *filter, mb_buffer *data, bool end_stream) {
    bool ignored = false;
    return (mb_body_status)run_body(filter, MB_REQUEST, data, end_stream, &ignored);
}

static mb_trailers_status request_trailers(mb_filter *filter) {
    return (mb_trailers_status)run_trailers(filter, MB_REQUEST);
}

static mb_headers_status response_headers(mb_filter *filter, bool end_stream) {
    bool ignored = false;
    return (mb_headers_status)run_headers(filter, MB_RESPONSE, end_stream, &ignored);
}

static mb_body_status response_body(mb_filter *filter, mb_buffer *data, bool end_stream) {
    bool ignored = false;
    return (mb_body_status)run_body(filter, MB_RESPONSE, data, end_stream, &ignored);
}

static mb_trailers_status response_trailers(mb_filter *filter) {
    return (mb_trailers_status)run_trailers(filter, MB_RESPONSE);
}

static void stream_complete(mb_filter *filter) {
    bool ignored = false;
    play_config *config = filter->config;
    play_filter *known = begin(filter, MB_HOOK_STREAM_COMPLETE);
    known->completed++;
    if (config->play->show_ends) {
        play_line(config->play, "%s complete", filter->name);
    }
    answer(config->play, filter, MB_HOOK_STREAM_COMPLETE, NULL, &ignored);
    end(known, MB_HOOK_STREAM_COMPLETE, 0);
}

static void scheduled(mb_filter *filter, uint64_t event) {
    bool ignored = false;
    play_config *config = filter->config;
    play_filter *known = begin(filter, MB_HOOK_SCHEDULED);
    play_line(config->play, "%s scheduled %d", filter->name, (int)event);
    answer(config->play, filter, MB_HOOK_SCHEDULED, NULL, &ignored);
    end(known, MB_HOOK_SCHEDULED, 0);
}

static void destroy(mb_filter *filter) {
    play_config *config = filter->config;
    play_filter *known = begin(filter, MB_HOOK_DESTROY);
    known->destroyed++;
    known->running = false;
    if (config->play->show_ends) {
        play_line(config->play, "%s destroy", filter->name);
    }
}

/* -- groups ----------------------------------------------------------------------------------- */

static void next(mb_filter *filter) {
    filter->slot->filter = filter->name;
    filter->slot->sequence++;
}

static int group_headers(mb_filter *const *filters, uint32_t count, mb_direction direction,
                         bool end_stream, uint32_t *ran) {
    bool ends_group = false;
    int status = 0;
    for (*ran = 0; *ran < count && status == 0 && !ends_group; (*ran)++) {
        next(filters[*ran]);
        status = run_headers(filters[*ran], direction, end_stream, &ends_group);
    }
    return status;
}

static int group_body(mb_filter *const *filters, uint32_t count, mb_direction direction,
                      mb_buffer *data, bool end_stream, uint32_t *ran) {
    bool ends_group = false;
    int status = 0;
    for (*ran = 0; *ran < count && status == 0 && !ends_group; (*ran)++) {
        next(filters[*ran]);
        status = run_body(filters[*ran], direction, data, end_stream, &ends_group);
    }
    return status;
}

static void group_complete(mb_filter *const *filters, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        next(filters[i]);
        stream_complete(filters[i]);
    }
}

static void group_destroy(mb_filter *const *filters, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        next(filters[i]);
        destroy(filters[i]);
    }
}

/* -- the module ------------------------------------------------------------------------------- */

static int config_new(void *module, mb_filter_args *args, void **config, uint32_t *wants) {
    play_config *made = play_find_config(module, args->filter_name);
    if (made == NULL) {
        return MB_ENOTFOUND;
    }
    for (int hook = 0; hook < MB_HOOK_DESTROY; hook++) {
        if (!made->hooks[hook].wanted) {
            *wants &= ~(1u << hook);
        }
    }
    made->made++;
    *config = made;
    return MB_OK;
}

static void config_free(void *module, void *config) {
    play_config *made = config;
    MB_CHECK(made->play == module && made->made > 0);
    made->made--;
}

static void on_batch_end(void *context) {
    play *self = context;
    self->batches++;
}

static const mb_filter_hooks hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(hooks),
    .state_bytes = sizeof(uint32_t),
    .config_new = config_new,
    .config_free = config_free,
    .request_headers = request_headers,
    .request_body = request_body,
    .request_trailers = request_trailers,
    .response_headers = response_headers,
    .response_body = response_body,
    .response_trailers = response_trailers,
    .stream_complete = stream_complete,
    .scheduled = scheduled,
    .destroy = destroy,
};
static const mb_filter_kind kinds[] = {{"*", &hooks}};
static const mb_group_hooks groups = {.headers = group_headers,
                                      .body = group_body,
                                      .complete = group_complete,
                                      .destroy = group_destroy};

void play_module_fill(play *self, mb_module *out, bool group) {
    *out = (mb_module){
        .abi_version = MB_ABI_VERSION,
        .struct_size = sizeof(*out),
        .name = "playbook",
        .context = self,
        .filters = kinds,
        .filter_count = 1,
        .group = group ? &groups : NULL,
        .on_batch_end = on_batch_end,
    };
}
