/*
 * Playbooks: setup, events, the upstream and the client. Format and purpose: playbook.h.
 *
 * What always holds, in every run, also with allocations failing:
 *   - each filter, the upstream and the client see at most one head, first; a body's end at most
 *     once and nothing of a body behind it; trailers last; nothing after the stream is over;
 *   - hooks of a filter never overlap, and none of a direction runs while one is pending;
 *   - a filter that had any hook is destroyed once, last, and no other is; `complete` comes once;
 *   - the upstream is told of an early end once, and of nothing afterwards;
 *   - pauses and their ends alternate; all memory is given back.
 */
#include "support/playbook.h"

#include "base/slice.h"
#include "filter/host.h"
#include "filter/module.h"
#include "http/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* -- text ------------------------------------------------------------------------------------- */

mb_slice play_word(mb_slice *rest) {
    mb_slice word = {"", 0};
    while (rest->len > 0 && word.len == 0) {
        mb_slice_split(*rest, ' ', &word, rest);
    }
    return word;
}

bool play_is(mb_slice word, const char *want) {
    return mb_slice_equal(word, mb_slice_from_c(want));
}

uint64_t play_number(mb_slice word) {
    uint64_t number = 0;
    MB_CHECK_EQ_INT(mb_slice_parse_u64(word, &number), MB_OK);
    return number;
}

mb_direction play_direction(mb_slice word) {
    MB_CHECK(play_is(word, "request") || play_is(word, "response"));
    return play_is(word, "request") ? MB_REQUEST : MB_RESPONSE;
}

static void add_text(play *self, const char *text, size_t length) {
    MB_CHECK(self->log_length + length < sizeof(self->log));
    memcpy(self->log + self->log_length, text, length);
    self->log_length += length;
}

void play_line(play *self, const char *format, ...) {
    char line[8192];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(line, sizeof(line) - 1, format, list);
    va_end(list);
    MB_CHECK(length >= 0 && (size_t)length < sizeof(line) - 1);
    line[length] = '\n';
    add_text(self, line, (size_t)length + 1);
}

/* -- what each part sees ---------------------------------------------------------------------- */

void play_see_headers(play_seen *seen, bool end) {
    MB_CHECK(!seen->headers);
    seen->headers = true;
    seen->ended = end;
}

void play_see_body(play_seen *seen, bool end) {
    MB_CHECK(!seen->ended && !seen->trailers);
    seen->ended = end;
}

void play_see_trailers(play_seen *seen) {
    MB_CHECK(!seen->trailers);
    seen->trailers = true;
}

static play *play_of(const mb_stream *stream) {
    play *self = stream->owner;
    MB_CHECK(stream == self->stream);
    return self;
}

/* Shows a head's x-* fields. */
static void head_line(play *self, const char *before, const mb_headers *headers, bool end) {
    char line[2048];
    int length = snprintf(line, sizeof(line), "%s%s", before, end ? " end" : "");
    mb_header header;
    for (size_t i = 0; mb_headers_at(headers, i, &header) == MB_OK; i++) {
        if (mb_slice_starts_with(header.name, MB_SLICE_LIT("x-"))) {
            length += snprintf(line + length, sizeof(line) - (size_t)length, " %.*s=%.*s",
                               (int)header.name.len, header.name.ptr, (int)header.value.len,
                               header.value.ptr);
        }
    }
    play_line(self, "%s", line);
}

static void body_line(play *self, const char *who, mb_direction direction, mb_buffer *data,
                      bool end) {
    char *to = self->bodies[direction] + self->body_length[direction];
    size_t room = sizeof(self->bodies[direction]) - self->body_length[direction];
    size_t length = mb_buffer_copy_out(data, 0, to, room);
    MB_CHECK_EQ_INT(length, data->length);
    self->body_length[direction] += length;
    mb_buffer_clear(data);
    play_line(self, "%s body '%.*s'%s", who, (int)length, to, end ? " end" : "");
}

/* -- the upstream ----------------------------------------------------------------------------- */

static void make_data(play *self, mb_buffer *data, mb_slice text);
static void set_status(play *self, mb_slice status);

static void answer_at_once(play *self) {
    mb_slice rest = self->answer;
    mb_buffer data;
    set_status(self, play_word(&rest));
    mb_slice text = play_word(&rest);
    mb_stream *stream = self->stream;
    self->from_upstream.headers = true;
    self->from_upstream.ended = true;
    mb_stream_enter(stream);
    mb_stream_response_headers(stream, text.len == 0);
    if (text.len > 0) {
        make_data(self, &data, text);
        mb_stream_response_body(stream, &data, true);
        mb_buffer_fini(&data);
    }
    mb_stream_leave(stream);
}

static void terminal_headers(mb_stream *stream, bool end) {
    play *self = play_of(stream);
    MB_CHECK(!self->terminal_aborted && !stream->over);
    play_see_headers(&self->terminal, end);
    head_line(self, "terminal headers", &stream->headers[MB_REQUEST], end);
    if (self->answer.len > 0) {
        answer_at_once(self);
    } else if (self->local.len > 0) {
        mb_slice rest = self->local;
        mb_stream_local_reply(stream, (uint32_t)play_number(play_word(&rest)), 0,
                              MB_SLICE_LIT("router"), MB_SLICE_LIT("sorry"));
    }
}

static void terminal_body(mb_stream *stream, mb_buffer *data, bool end) {
    play *self = play_of(stream);
    MB_CHECK(self->terminal.headers && !self->terminal_aborted && !stream->over);
    MB_CHECK(data->length > 0 || end);
    play_see_body(&self->terminal, end);
    body_line(self, "terminal", MB_REQUEST, data, end);
}

static void terminal_trailers(mb_stream *stream) {
    play *self = play_of(stream);
    MB_CHECK(self->terminal.headers && !self->terminal_aborted && !self->terminal.ended);
    play_see_trailers(&self->terminal);
    self->terminal.ended = true;
    play_line(self, "terminal trailers");
}

static void terminal_pause(mb_stream *stream, bool paused) {
    play *self = play_of(stream);
    MB_CHECK(self->terminal.headers && !self->terminal_aborted);
    MB_CHECK_EQ_INT(self->response_paused, !paused);
    self->response_paused = paused;
    play_line(self, "%s response", paused ? "pause" : "unpause");
}

static void terminal_abort(mb_stream *stream) {
    play *self = play_of(stream);
    MB_CHECK(self->terminal.headers && !self->terminal_aborted);
    MB_CHECK(!self->terminal.ended || !self->from_upstream.ended);
    self->terminal_aborted = true;
    play_line(self, "terminal abort");
}

static const mb_terminal terminal = {
    .name = "play",
    .request_headers = terminal_headers,
    .request_body = terminal_body,
    .request_trailers = terminal_trailers,
    .pause_response = terminal_pause,
    .abort = terminal_abort,
};

/* -- the client ------------------------------------------------------------------------------- */

static void send_headers(mb_stream *stream, bool end) {
    play *self = play_of(stream);
    char before[64];
    MB_CHECK(!stream->over);
    play_see_headers(&self->client, end);
    self->status = mb_http_status(&stream->headers[MB_RESPONSE]);
    snprintf(before, sizeof(before), "client headers %u", (unsigned)self->status);
    head_line(self, before, &stream->headers[MB_RESPONSE], end);
}

static void send_body(mb_stream *stream, mb_buffer *data, bool end) {
    play *self = play_of(stream);
    MB_CHECK(self->client.headers && !stream->over);
    MB_CHECK(data->length > 0 || end);
    play_see_body(&self->client, end);
    body_line(self, "client", MB_RESPONSE, data, end);
}

static void send_trailers(mb_stream *stream) {
    play *self = play_of(stream);
    MB_CHECK(self->client.headers && !self->client.ended && !stream->over);
    play_see_trailers(&self->client);
    self->client.ended = true;
    play_line(self, "client trailers");
}

static void send_informational(mb_stream *stream, const mb_headers *headers) {
    play *self = play_of(stream);
    MB_CHECK(!self->client.headers && !stream->over);
    play_line(self, "client informational %u", (unsigned)mb_http_status(headers));
}

static void send_reset(mb_stream *stream) {
    play *self = play_of(stream);
    MB_CHECK(!self->client.ended && !stream->over);
    self->client.ended = true;
    play_line(self, "client reset");
}

static void pause_request(mb_stream *stream, bool paused) {
    play *self = play_of(stream);
    MB_CHECK_EQ_INT(self->request_paused, !paused);
    self->request_paused = paused;
    play_line(self, "%s request", paused ? "pause" : "unpause");
}

static void resolve_route(mb_stream *stream, mb_route_choice *out) {
    play *self = play_of(stream);
    mb_slice path = mb_headers_pseudo(&stream->headers[MB_REQUEST], MB_PSEUDO_PATH);
    *out = (mb_route_choice){.name = path};
    for (uint32_t i = 0; i < self->route_count; i++) {
        if (mb_slice_equal(self->routes[i].path, path)) {
            out->overrides = self->routes[i].overrides;
        }
    }
}

static void finish_response_headers(mb_stream *stream) {
    MB_CHECK(!stream->over);
}

static void complete(mb_stream *stream) {
    play *self = play_of(stream);
    MB_CHECK(stream->over && !self->over);
    self->over = true;
    mb_slice details = stream->info.details;
    play_line(self, "over%s%.*s", details.len > 0 ? " " : "", (int)details.len,
              details.len > 0 ? details.ptr : "");
    /* What the connection manager looks at, to read on. */
    MB_CHECK_EQ_INT(stream->side[MB_REQUEST].pauses != 0, self->request_paused);
    if (self->free_early) {
        mb_stream_free(stream);
        self->stream = NULL;
    }
}

static const mb_stream_ops ops = {
    .send_headers = send_headers,
    .send_body = send_body,
    .send_trailers = send_trailers,
    .send_informational = send_informational,
    .send_reset = send_reset,
    .pause_request = pause_request,
    .resolve_route = resolve_route,
    .finish_response_headers = finish_response_headers,
    .complete = complete,
};

/* -- setup ------------------------------------------------------------------------------------ */

play_filter *play_find_filter(play *self, mb_slice name) {
    for (uint32_t i = 0; i < self->filter_count; i++) {
        if (mb_slice_equal(self->filters[i].name, name)) {
            return &self->filters[i];
        }
    }
    return NULL;
}

play_config *play_find_config(play *self, mb_slice name) {
    for (uint32_t i = 0; i < self->config_count; i++) {
        if (mb_slice_equal(self->configs[i].name, name)) {
            return &self->configs[i];
        }
    }
    return NULL;
}

static play_config *need_config(play *self, mb_slice name) {
    play_config *config = play_find_config(self, name);
    if (config == NULL) {
        MB_CHECK(self->config_count < PLAY_CONFIGS);
        config = &self->configs[self->config_count++];
        config->play = self;
        config->name = name;
    }
    return config;
}

static void read_chain(play *self, mb_slice rest) {
    mb_slice name;
    while ((name = play_word(&rest)).len > 0) {
        MB_CHECK(self->filter_count < PLAY_FILTERS);
        self->filters[self->filter_count++].name = name;
        need_config(self, name);
    }
}

/* "A request body: X | Y" */
static void read_answers(play *self, mb_slice line) {
    static const char *const names[] = {"request headers",  "request body",  "request trailers",
                                        "response headers", "response body", "response trailers",
                                        "complete",         "scheduled"};
    mb_slice hook, answers;
    MB_CHECK(mb_slice_split(line, ':', &hook, &answers));
    play_config *config = need_config(self, play_word(&hook));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (play_is(hook, names[i])) {
            config->hooks[i] = (play_answers){answers, true};
            return;
        }
    }
    MB_FAIL("no such hook");
}

static void read_setup_line(play *self, mb_slice line) {
    mb_slice rest = line, name;
    mb_slice first = play_word(&rest);
    if (play_is(first, "chain")) {
        read_chain(self, rest);
    } else if (play_is(first, "all")) {
        while ((name = play_word(&rest)).len > 0) {
            for (int hook = 0; hook < MB_HOOK_STREAM_COMPLETE; hook++) {
                need_config(self, name)->hooks[hook].wanted = true;
            }
        }
    } else if (play_is(first, "limit")) {
        self->limit = play_number(play_word(&rest));
    } else if (play_is(first, "off")) {
        play_find_filter(self, play_word(&rest))->disabled = true;
    } else if (play_is(first, "route")) {
        MB_CHECK(self->route_count < PLAY_ROUTES);
        self->routes[self->route_count].path = play_word(&rest);
        self->routes[self->route_count++].changes = rest;
    } else if (play_is(first, "show")) {
        self->show_ends = true;
    } else if (play_is(first, "terminal")) {
        bool answers = play_is(play_word(&rest), "answer");
        *(answers ? &self->answer : &self->local) = rest;
    } else {
        read_answers(self, line);
    }
}

static void read_setup(play *self, mb_slice text) {
    while (text.len > 0 && text.ptr[0] != '>') {
        mb_slice line;
        mb_slice_split(text, '\n', &line, &text);
        if (line.len > 0) {
            read_setup_line(self, line);
        }
    }
}

static int add_modules(play *self) {
    int count = self->modules == PLAY_ALTERNATE ? 2 : 1;
    mb_text error;
    mb_text_init(&error, &self->memory->allocator, SIZE_MAX);
    int result = MB_OK;
    for (int i = 0; i < count && result == MB_OK; i++) {
        mb_module module;
        play_module_fill(self, &module, self->modules != PLAY_SINGLE);
        result = mb_module_add(&self->worker, &module, &error, &self->module_refs[i]);
    }
    mb_text_fini(&error);
    return result;
}

static int make_entry(play *self, uint32_t index) {
    mb_chain_entry *entry = &self->entries[index];
    mb_slice name = self->filters[index].name;
    /* Two together in each module: groups that end in the middle of a chain. */
    mb_module_ref *module = self->module_refs[self->modules == PLAY_ALTERNATE ? index / 2 % 2 : 0];
    mb_filter_args args = {.worker = &self->worker, .filter_name = name, .name = name};
    int result = mb_chain_entry_configure(module, &args, entry);
    if (result != MB_OK) {
        return result;
    }
    char *text = malloc(name.len + 1);
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    entry->name = text;
    entry->disabled = self->filters[index].disabled;
    entry->state_offset = self->chain.state_bytes;
    self->chain.state_bytes += 16;
    self->chain.count++;
    return MB_OK;
}

static int make_override(play *self, play_route *route, mb_slice change) {
    mb_slice name, value;
    MB_CHECK(mb_slice_split(change, '=', &name, &value));
    uint32_t index = (uint32_t)(play_find_filter(self, name) - self->filters);
    mb_chain_override *override = &route->overrides[index];
    if (play_is(value, "off") || play_is(value, "on")) {
        *override = (mb_chain_override){.present = true, .disabled = play_is(value, "off")};
        return MB_OK;
    }
    mb_filter_args args = {.worker = &self->worker, .filter_name = value, .name = name};
    return mb_chain_override_configure(&self->entries[index], &args, override);
}

static int make_chain(play *self) {
    int result = add_modules(self);
    self->chain.entries = self->entries;
    self->chain.terminal = &terminal;
    for (uint32_t i = 0; i < self->filter_count && result == MB_OK; i++) {
        result = make_entry(self, i);
    }
    for (uint32_t i = 0; i < self->route_count && result == MB_OK; i++) {
        mb_slice rest = self->routes[i].changes, change;
        while ((change = play_word(&rest)).len > 0 && result == MB_OK) {
            result = make_override(self, &self->routes[i], change);
        }
    }
    return result;
}

static void set_pseudo(play *self, mb_direction direction, mb_pseudo which, mb_slice value) {
    mb_headers_set_pseudo(&self->stream->headers[direction], which, value);
}

static bool make_stream(play *self) {
    self->stream = mb_stream_new(&self->worker, &self->chain, &ops, self);
    if (self->stream == NULL) {
        return false;
    }
    self->id = mb_stream_id_of(self->stream);
    self->stream->buffer_limit = self->limit;
    set_pseudo(self, MB_REQUEST, MB_PSEUDO_METHOD, MB_SLICE_LIT("POST"));
    set_pseudo(self, MB_REQUEST, MB_PSEUDO_PATH, MB_SLICE_LIT("/"));
    set_pseudo(self, MB_REQUEST, MB_PSEUDO_AUTHORITY, MB_SLICE_LIT("host.example"));
    return true;
}

static void free_all(play *self) {
    for (uint32_t i = 0; i < self->filter_count; i++) {
        for (uint32_t j = 0; j < self->route_count; j++) {
            if (self->entries[i].module != NULL) {
                mb_chain_override_release(&self->entries[i], &self->routes[j].overrides[i]);
            }
        }
        free((char *)(uintptr_t)self->entries[i].name);
        mb_chain_entry_release(&self->entries[i]);
    }
    mb_module_release(self->module_refs[0]);
    mb_module_release(self->module_refs[1]);
    mb_worker_fini(&self->worker);
    for (uint32_t i = 0; i < self->config_count; i++) {
        MB_CHECK_EQ_INT(self->configs[i].made, 0);
    }
    mbtest_alloc_free(self->memory);
}

bool play_begin(play *self, const char *setup) {
    static const mb_logger no_log = {.level = MB_LOG_OFF};
    mbtest_clock_init(&self->clock, 1000000, 1000000);
    read_setup(self, mb_slice_from_c(setup));
    self->memory = mbtest_failing_alloc(self->fail_at);
    if (mb_worker_init(&self->worker, &self->memory->allocator, &self->clock.clock, &no_log, 0) !=
        MB_OK) {
        mbtest_alloc_free(self->memory);
        return false;
    }
    if (make_chain(self) != MB_OK || !make_stream(self)) {
        free_all(self);
        return false;
    }
    return true;
}

/* -- events ----------------------------------------------------------------------------------- */

/* A buffer of one slice, or of one a byte. */
static void make_data(play *self, mb_buffer *data, mb_slice text) {
    mb_buffer_init(data, self->worker.slabs);
    if (!self->shatter) {
        int result = mb_buffer_append(data, text);
        MB_CHECK(result == MB_OK || self->lenient);
        return;
    }
    mb_slab *slab = mb_slab_new(self->worker.slabs, text.len * 2 + 1);
    MB_CHECK(slab != NULL);
    for (size_t i = 0; i < text.len; i++) {
        slab->data[i * 2] = text.ptr[i];
        slab->data[i * 2 + 1] = '#';
        mb_slab_commit(slab, 2);
        MB_CHECK_EQ_INT(mb_buffer_append_slab(data, slab, slab->data + i * 2, 1), MB_OK);
    }
    mb_slab_unref(slab);
}

static void set_status(play *self, mb_slice status) {
    set_pseudo(self, MB_RESPONSE, MB_PSEUDO_STATUS, status);
}

static void request_event(play *self, mb_slice what, mb_slice rest) {
    mb_slice word = play_word(&rest);
    if (play_is(what, "headers")) {
        bool end = play_is(word, "end");
        mb_slice path = end ? play_word(&rest) : word;
        if (path.len > 0) {
            set_pseudo(self, MB_REQUEST, MB_PSEUDO_PATH, path);
        }
        self->began = true;
        mb_stream_request_headers(self->stream, end);
    } else if (play_is(what, "body")) {
        bool alone = play_is(word, "end");
        mb_buffer data;
        make_data(self, &data, alone ? (mb_slice){"", 0} : word);
        mb_stream_request_body(self->stream, &data, alone || play_is(play_word(&rest), "end"));
        mb_buffer_fini(&data);
    } else {
        MB_CHECK(play_is(what, "trailers"));
        mb_stream_request_trailers(self->stream);
    }
}

static void response_headers(play *self, mb_slice rest) {
    set_status(self, play_word(&rest));
    bool end = play_is(play_word(&rest), "end");
    self->from_upstream.headers = true;
    self->from_upstream.ended = end;
    mb_stream_response_headers(self->stream, end);
}

static void response_event(play *self, mb_slice what, mb_slice rest) {
    if (play_is(what, "headers")) {
        response_headers(self, rest);
    } else if (play_is(what, "informational")) {
        mb_headers headers;
        mb_headers_init(&headers, &self->stream->arena);
        mb_headers_set_pseudo(&headers, MB_PSEUDO_STATUS, play_word(&rest));
        mb_stream_response_informational(self->stream, &headers);
    } else if (play_is(what, "body")) {
        mb_slice word = play_word(&rest);
        bool alone = play_is(word, "end");
        bool end = alone || play_is(play_word(&rest), "end");
        mb_buffer data;
        make_data(self, &data, alone ? (mb_slice){"", 0} : word);
        self->from_upstream.ended = end;
        mb_stream_response_body(self->stream, &data, end);
        mb_buffer_fini(&data);
    } else {
        MB_CHECK(play_is(what, "trailers"));
        self->from_upstream.ended = true;
        mb_stream_response_trailers(self->stream);
    }
}

static void filter_event(play *self, mb_slice name, mb_slice action) {
    char text[64];
    mb_filter *filter;
    mb_slice rest = action;
    snprintf(text, sizeof(text), "%.*s", (int)name.len, name.ptr);
    int result = mb_host_functions.filter_of(&self->worker, self->id, text, &filter);
    MB_CHECK_EQ_INT(result, self->over ? MB_EGONE : MB_OK);
    if (result != MB_OK) {
        play_line(self, "%s: EGONE", text);
        return;
    }
    mb_direction direction = MB_REQUEST;
    mb_slice verb = play_word(&rest);
    if (play_is(verb, "hold") || play_is(verb, "drain_held") || play_is(verb, "piece")) {
        /* "B hold request X": the direction stands where a hook would know it. */
        char joined[256];
        direction = play_direction(play_word(&rest));
        snprintf(joined, sizeof(joined), "%.*s %.*s", (int)verb.len, verb.ptr, (int)rest.len,
                 rest.ptr);
        play_act(self, filter, mb_slice_from_c(joined), direction, NULL, &(int){0});
        return;
    }
    play_act(self, filter, action, direction, NULL, &(int){0});
}

void play_event(play *self, mb_slice event) {
    mb_slice rest = event;
    mb_slice first = play_word(&rest);
    mb_slice all = rest;
    mb_slice second = play_word(&rest);
    if (play_is(first, "loop")) {
        MB_CHECK_EQ_INT(mb_loop_turn(self->worker.loop, 0), MB_OK);
    } else if (play_find_filter(self, first) != NULL) {
        filter_event(self, first, all);
    } else if (self->over) {
        return; /* who is left has forgotten the stream */
    } else if (play_is(first, "request")) {
        request_event(self, second, rest);
    } else if (play_is(first, "response")) {
        if (!self->terminal_aborted && !self->from_upstream.ended && self->terminal.headers) {
            response_event(self, second, rest);
        }
    } else if (play_is(first, "client") && play_is(second, "gone")) {
        mb_stream_client_gone(self->stream, MB_FLAG_DOWNSTREAM_TERMINATION, MB_SLICE_LIT("gone"));
    } else if (play_is(first, "client")) {
        mb_stream_pause_response(self->stream, play_is(second, "slow"));
    } else {
        MB_CHECK(play_is(first, "upstream"));
        mb_stream_pause_request(self->stream, play_is(second, "slow"));
    }
}

/* -- the end ---------------------------------------------------------------------------------- */

static void check_ends(play *self) {
    for (uint32_t i = 0; i < self->filter_count; i++) {
        const play_filter *filter = &self->filters[i];
        MB_CHECK_EQ_INT(filter->destroyed, filter->hooks > 0);
        MB_CHECK(filter->completed <= 1);
        MB_CHECK(!filter->running);
    }
    MB_CHECK(self->worker.hook_slot.filter == NULL);
}

void play_end(play *self) {
    if (!self->over) {
        play_event(self, MB_SLICE_LIT("client gone"));
    }
    MB_CHECK(self->over);
    if (self->stream != NULL) {
        mb_stream_free(self->stream);
        self->stream = NULL;
    }
    MB_CHECK_EQ_INT(mb_loop_turn(self->worker.loop, 0), MB_OK);
    MB_CHECK_EQ_INT(self->worker.table.active, 0);
    check_ends(self);
    free_all(self);
}

/* -- playbooks -------------------------------------------------------------------------------- */

static play *new_play(play_modules modules, size_t fail_at) {
    play *self = calloc(1, sizeof(*self));
    MB_CHECK(self != NULL);
    self->modules = modules;
    self->fail_at = fail_at;
    self->lenient = fail_at > 0;
    self->free_early = modules == PLAY_ALTERNATE;
    return self;
}

/* Gives the events to the play, at most `count`. Returns how many there were. */
static size_t run_events(play *self, mb_slice text, size_t count) {
    size_t events = 0;
    while (text.len > 0 && events < count) {
        mb_slice line;
        mb_slice_split(text, '\n', &line, &text);
        if (line.len > 0 && line.ptr[0] == '>') {
            play_line(self, "%.*s", (int)line.len, line.ptr);
            play_event(self, mb_slice_skip(line, 2));
            events++;
        }
    }
    return events;
}

static const char *const modes[] = {"one by one", "in a group", "in two modules"};

static size_t check_transcript(const char *text, play_modules modules, bool shatter) {
    play *self = new_play(modules, 0);
    self->shatter = shatter;
    MB_CHECK(play_begin(self, text));
    size_t events = run_events(self, mb_slice_from_c(text), SIZE_MAX);
    const char *want = strchr(text, '>');
    mb_slice got = {self->log, self->log_length};
    if (!mb_slice_equal(got, mb_slice_from_c(want))) {
        size_t same = 0;
        while (same < got.len && got.ptr[same] == want[same]) {
            same++;
        }
        while (same > 0 && got.ptr[same - 1] != '\n') {
            same--;
        }
        fprintf(stderr, "%s%s:\n%.*s<<< from here on; want:\n%s<<< got:\n%.*s", modes[modules],
                shatter ? ", a slice a byte" : "", (int)same, got.ptr, want + same,
                (int)(got.len - same), got.ptr + same);
        MB_FAIL("another transcript");
    }
    play_end(self);
    free(self);
    return events;
}

static void check_client_gone(const char *text, play_modules modules, size_t events) {
    play *self = new_play(modules, 0);
    MB_CHECK(play_begin(self, text));
    run_events(self, mb_slice_from_c(text), events);
    play_event(self, MB_SLICE_LIT("client gone"));
    run_events(self, mb_slice_from_c(text), SIZE_MAX);
    play_end(self);
    free(self);
}

static void check_out_of_memory(const char *text, play_modules modules) {
    for (size_t n = 1, more = 1; more; n++) {
        play *self = new_play(modules, n);
        if (play_begin(self, text)) {
            run_events(self, mb_slice_from_c(text), SIZE_MAX);
            more = self->memory->requests >= n;
            play_end(self);
        }
        free(self);
    }
}

void playbook(const char *text) {
    size_t events = 0;
    for (play_modules modules = 0; modules < PLAY_MODULES; modules++) {
        events = check_transcript(text, modules, false);
        check_transcript(text, modules, true);
    }
    for (size_t i = 0; i <= events; i++) {
        check_client_gone(text, PLAY_SINGLE, i);
        check_client_gone(text, PLAY_ALTERNATE, i);
    }
    check_out_of_memory(text, PLAY_SINGLE);
    check_out_of_memory(text, PLAY_GROUP);
}

/* -- playbooks for every position and direction -------------------------------------------------
 */

typedef struct play_text {
    char bytes[8192];
    size_t length;
} play_text;

static void put(play_text *text, mb_slice more) {
    MB_CHECK(text->length + more.len < sizeof(text->bytes));
    memcpy(text->bytes + text->length, more.ptr, more.len);
    text->length += more.len;
    text->bytes[text->length] = '\0';
}

/* The word for the other direction. */
static mb_slice turned(mb_slice word) {
    static const char *const pairs[][2] = {
        {"request", "response"}, {"terminal", "client"}, {"upstream", "client"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (play_is(word, pairs[i][0])) {
            return mb_slice_from_c(pairs[i][1]);
        }
    }
    return word;
}

/* "terminal headers" becomes "client headers 200", and the end of a response ends the stream. */
static void put_turned(play_text *text, mb_slice line) {
    bool event = mb_slice_starts_with(line, MB_SLICE_LIT("> request headers"));
    bool headers = event || mb_slice_starts_with(line, MB_SLICE_LIT("terminal headers"));
    bool sent = mb_slice_starts_with(line, MB_SLICE_LIT("terminal"));
    bool ends = sent && (mb_slice_ends_with(line, MB_SLICE_LIT(" end")) ||
                         mb_slice_ends_with(line, MB_SLICE_LIT(" trailers")));
    for (int i = 0; line.len > 0; i++) {
        mb_slice word;
        bool colon;
        mb_slice_split(line, ' ', &word, &line);
        colon = mb_slice_ends_with(word, MB_SLICE_LIT(","));
        put(text, i > 0 ? MB_SLICE_LIT(" ") : MB_SLICE_LIT(""));
        put(text, turned(colon ? mb_slice_take(word, word.len - 1) : word));
        put(text, colon ? MB_SLICE_LIT(",") : MB_SLICE_LIT(""));
        if (headers && i == (event ? 2 : 1)) {
            put(text, MB_SLICE_LIT(" 200"));
        }
    }
    put(text, ends ? MB_SLICE_LIT("\nover\n") : MB_SLICE_LIT("\n"));
}

static bool is_of(mb_slice line, char filter) {
    return line.len > 1 && line.ptr[0] == filter && line.ptr[1] == ' ';
}

static void put_all(play_text *text, char filter, mb_direction direction) {
    static const char *const hooks[] = {"headers", "body", "trailers"};
    for (size_t i = 0; i < 3; i++) {
        char line[64];
        snprintf(line, sizeof(line), "%c %s %s: \n", filter,
                 direction == MB_REQUEST ? "request" : "response", hooks[i]);
        put(text, mb_slice_from_c(line));
    }
}

void playbook_everywhere(const char *pattern) {
    for (unsigned variant = 0; variant < 8; variant++) {
        bool before = (variant & 1) != 0, behind = (variant & 2) != 0;
        mb_direction direction = (variant & 4) != 0 ? MB_RESPONSE : MB_REQUEST;
        play_text text = {.length = 0};
        bool turn = direction == MB_RESPONSE, began = false;
        put(&text, MB_SLICE_LIT("chain"));
        put(&text, turn ? (behind ? MB_SLICE_LIT(" B") : MB_SLICE_LIT(""))
                        : (before ? MB_SLICE_LIT(" A") : MB_SLICE_LIT("")));
        put(&text, MB_SLICE_LIT(" S"));
        put(&text, turn ? (before ? MB_SLICE_LIT(" A\n") : MB_SLICE_LIT("\n"))
                        : (behind ? MB_SLICE_LIT(" B\n") : MB_SLICE_LIT("\n")));
        if (before) {
            put_all(&text, 'A', direction);
        }
        if (behind) {
            put_all(&text, 'B', direction);
        }
        mb_slice rest = mb_slice_from_c(pattern), line;
        while (rest.len > 0) {
            mb_slice_split(rest, '\n', &line, &rest);
            if ((is_of(line, 'A') && !before) || (is_of(line, 'B') && !behind)) {
                continue;
            }
            if (turn && !began && line.ptr[0] == '>') {
                put(&text, MB_SLICE_LIT("> request headers end\nterminal headers end\n"));
                began = true;
            }
            if (turn) {
                put_turned(&text, line);
            } else {
                put(&text, line);
                put(&text, MB_SLICE_LIT("\n"));
            }
        }
        playbook(text.bytes);
    }
}
