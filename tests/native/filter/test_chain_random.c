/*
 * Random scripts against a model: whatever filters answer, the bytes that go in come out once and
 * in order, with one head, one end and the trailers, as soon as all that stopped is resumed. Runs
 * the same script in groups and one by one and compares the transcripts.
 */
#include "support/playbook.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 1000
#define FILTERS 4

typedef struct dice {
    uint64_t state;
} dice;

static uint32_t roll(dice *self, uint32_t sides) {
    self->state ^= self->state << 13;
    self->state ^= self->state >> 7;
    self->state ^= self->state << 17;
    return (uint32_t)((self->state >> 32) % sides);
}

typedef struct script {
    char setup[4096];
    char events[4096];
    char bytes[512]; /* of the body */
    bool trailers, response;
} script;

static void add(char *text, size_t room, const char *more) {
    MB_CHECK(strlen(text) + strlen(more) < room);
    strcat(text, more);
}

static const char *const names[FILTERS] = {"A", "B", "C", "D"};

/* None that drops bytes, none that answers; `paced`: none that may only hold up to the limit. */
static void add_answers(dice *random, char *setup, const char *name, const char *direction,
                        bool paced) {
    static const char *const phases[] = {"headers", "body", "trailers"};
    static const char *const answers[2][3][7] = {
        {{"continue", "stop", "stop_all_buffer", "stop_all_watermark", "pending", "continue",
          "resume %s, stop"},
         {"continue", "buffer", "watermark", "pending", "continue", "resume %s, buffer",
          "resume %s, watermark"},
         {"continue", "stop", "pending", "continue", "continue", "resume %s, stop", "stop"}},
        {{"continue", "stop", "stop", "stop_all_watermark", "pending", "continue",
          "resume %s, stop"},
         {"continue", "watermark", "watermark", "pending", "continue", "resume %s, buffer",
          "resume %s, watermark"},
         {"continue", "stop", "pending", "continue", "continue", "resume %s, stop", "stop"}},
    };
    for (int phase = 0; phase < 3; phase++) {
        if (roll(random, 3) == 0) {
            continue; /* no such hook */
        }
        char line[512];
        snprintf(line, sizeof(line), "%s %s %s: ", name, direction, phases[phase]);
        add(setup, 4096, line);
        uint32_t count = phase == 1 ? 6 : 1;
        for (uint32_t i = 0; i < count; i++) {
            snprintf(line, sizeof(line), answers[paced][phase][roll(random, 7)], direction);
            add(setup, 4096, i > 0 ? " | " : "");
            add(setup, 4096, line);
        }
        add(setup, 4096, "\n");
    }
}

static void add_nudge(dice *random, char *events, const char *direction, bool paced) {
    static const char *const ways[] = {"resume %s", "finish %s continue", "finish %s status 1",
                                       "finish %s stop"};
    char line[128], action[64];
    snprintf(action, sizeof(action), ways[roll(random, paced ? 2 : 4)], direction);
    snprintf(line, sizeof(line), "> %s %s\n%s", names[roll(random, FILTERS)], action,
             roll(random, 2) == 0 ? "> loop\n" : "");
    add(events, 4096, line);
}

static void add_message(dice *random, script *out, const char *direction, bool paced) {
    char line[64];
    bool headers_only = roll(random, 6) == 0;
    snprintf(line, sizeof(line), "> %s headers%s%s\n", direction, out->response ? " 200" : "",
             headers_only ? " end" : "");
    add(out->events, 4096, line);
    char next = 'a';
    uint32_t pieces = headers_only ? 0 : roll(random, 7);
    for (uint32_t i = 0; i < pieces; i++) {
        char piece[8] = "";
        for (uint32_t n = roll(random, 5) + 1; n > 0; n--) {
            snprintf(piece + strlen(piece), 2, "%c", next);
            next = next == 'z' ? 'a' : (char)(next + 1);
        }
        while (roll(random, 2) == 0) {
            add_nudge(random, out->events, direction, paced);
        }
        add(out->bytes, sizeof(out->bytes), piece);
        snprintf(line, sizeof(line), "> %s body %s\n", direction, piece);
        add(out->events, 4096, line);
    }
    out->trailers = !headers_only && roll(random, 3) == 0;
    if (!headers_only) {
        snprintf(line, sizeof(line), out->trailers ? "> %s trailers\n" : "> %s body end\n",
                 direction);
        add(out->events, 4096, line);
    }
    while (roll(random, 3) != 0) {
        add_nudge(random, out->events, direction, paced);
    }
}

static void write_script(dice *random, script *out, bool paced) {
    memset(out, 0, sizeof(*out));
    out->response = roll(random, 2) == 1;
    const char *direction = out->response ? "response" : "request";
    add(out->setup, 4096, paced ? "chain A B C D\nlimit 3\n" : "chain A B C D\n");
    for (int i = 0; i < FILTERS; i++) {
        add_answers(random, out->setup, names[i], direction, paced);
    }
    if (out->response) {
        add(out->events, 4096, "> request headers end\n");
    }
    add_message(random, out, direction, paced);
}

static void run(play *self, const char *events) {
    mb_slice rest = {events, strlen(events)};
    while (rest.len > 0) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t length = (size_t)(end - rest.ptr);
        play_event(self, (mb_slice){rest.ptr + 2, length - 2});
        rest = (mb_slice){end + 1, rest.len - length - 1};
    }
}

/* Lets everybody go on until nothing changes. */
static void release_all(play *self, const char *direction) {
    self->quiet = true;
    for (int round = 0; round < 40 && !self->over; round++) {
        for (int i = 0; i < FILTERS && !self->over; i++) {
            char event[64];
            snprintf(event, sizeof(event), "%s finish %s continue", names[i], direction);
            play_event(self, (mb_slice){event, strlen(event)});
            play_event(self, MB_SLICE_LIT("loop"));
            snprintf(event, sizeof(event), "%s resume %s", names[i], direction);
            if (!self->over) {
                play_event(self, (mb_slice){event, strlen(event)});
                play_event(self, MB_SLICE_LIT("loop"));
            }
        }
    }
    self->quiet = false;
}

static play *perform(const script *what, play_modules modules, uint32_t seed) {
    play *self = calloc(1, sizeof(*self));
    MB_CHECK(self != NULL);
    self->modules = modules;
    self->shatter = seed % 2 == 0;
    MB_CHECK(play_begin(self, what->setup));
    run(self, what->events);
    release_all(self, what->response ? "response" : "request");
    return self;
}

static void check_message(const play *self, const script *what) {
    mb_direction direction = what->response ? MB_RESPONSE : MB_REQUEST;
    const play_seen *seen = what->response ? &self->client : &self->terminal;
    MB_CHECK(seen->headers);
    MB_CHECK(seen->ended);
    MB_CHECK_EQ_INT(seen->trailers, what->trailers);
    mb_slice got = {self->bodies[direction], self->body_length[direction]};
    mb_slice want = {what->bytes, strlen(what->bytes)};
    MB_CHECK_EQ_SLICE(got, want);
    MB_CHECK_EQ_INT(self->over, what->response);
    MB_CHECK(!self->request_paused && !self->response_paused);
}

MB_TEST(bytes_come_out_once_and_in_order_whatever_filters_answer) {
    static script what;
    dice random = {0x9e3779b97f4a7c15u};
    for (uint32_t seed = 0; seed < ROUNDS; seed++) {
        write_script(&random, &what, false);
        play *single = perform(&what, PLAY_SINGLE, seed);
        check_message(single, &what);
        for (play_modules modules = PLAY_GROUP; modules < PLAY_MODULES; modules++) {
            play *other = perform(&what, modules, seed);
            mb_slice want = {single->log, single->log_length};
            MB_CHECK_EQ_SLICE(((mb_slice){other->log, other->log_length}), want);
            play_end(other);
            free(other);
        }
        play_end(single);
        free(single);
    }
}

/* With a limit and only watermarks, and pieces that come only while the sender is not paused. */
static void run_paced(play *self, const char *events, const char *direction) {
    mb_slice rest = {events, strlen(events)};
    while (rest.len > 0) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t length = (size_t)(end - rest.ptr);
        if (self->request_paused || self->response_paused) {
            release_all(self, direction);
            MB_CHECK(!self->request_paused && !self->response_paused);
        }
        play_event(self, (mb_slice){rest.ptr + 2, length - 2});
        rest = (mb_slice){end + 1, rest.len - length - 1};
    }
}

MB_TEST(a_sender_that_is_paused_is_restarted_once_all_is_released) {
    static script what;
    dice random = {0x2545f4914f6cdd1du};
    for (uint32_t seed = 0; seed < ROUNDS; seed++) {
        write_script(&random, &what, true);
        play *self = calloc(1, sizeof(*self));
        MB_CHECK(self != NULL);
        self->modules = seed % PLAY_MODULES;
        MB_CHECK(play_begin(self, what.setup));
        run_paced(self, what.events, what.response ? "response" : "request");
        release_all(self, what.response ? "response" : "request");
        check_message(self, &what);
        play_end(self);
        free(self);
    }
}

MB_TEST(every_allocation_of_random_scripts_may_fail) {
    static script what;
    dice random = {0xda942042e4dd58b5u};
    for (uint32_t seed = 0; seed < 60; seed++) {
        write_script(&random, &what, false);
        for (size_t n = 1, more = 1; more; n++) {
            play *self = calloc(1, sizeof(*self));
            MB_CHECK(self != NULL);
            self->modules = seed % PLAY_MODULES;
            self->lenient = true;
            self->fail_at = n;
            if (play_begin(self, what.setup)) {
                run(self, what.events);
                release_all(self, what.response ? "response" : "request");
                more = self->memory->requests >= n;
                play_end(self);
            }
            free(self);
        }
    }
}
