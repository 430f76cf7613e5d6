/*
 * Playbooks: what a chain of filters does, as text. Events go in, a transcript comes out, and a
 * playbook holds both: setup, then lines "> event", each followed by what must come of it.
 *
 *     playbook("chain A B\n"
 *              "A request headers: stop\n"
 *              "A request body: no_buffer | continue\n"
 *              "> request headers\n"
 *              "A request headers\n"
 *              ...
 *
 * Setup:
 *   chain A B ...                  the filters, in order; a name is one word
 *   A request headers: X | Y       A has this hook and answers X, then Y, then "continue"
 *   all A B                        these have the six hooks of a message, and continue
 *   A@1 request headers: ...       another configuration of A, for routes
 *   route /p A=A@1 B=off C=on      what a route (the request's :path) changes
 *   off A                          disabled unless a route says on
 *   limit N                        the stream's buffer limit
 *   terminal answer 200 text       the upstream answers as soon as it has the head, in that call
 *   terminal local 503             the router answers by itself, in the same way
 *   show ends                      complete and destroy hooks are written down (checked always)
 * An answer is a list of actions, then a status ("continue" where it is left out), with commas:
 *   continue, stop, stop_all_buffer, stop_all_watermark, buffer, watermark, no_buffer, pending,
 *   status N; append X, prepend X, drain N (the piece); hold X, drain_held N (what is held);
 *   set NAME VALUE, path P (head of the direction); respond STATUS TEXT, resume DIRECTION, reset,
 *   finish DIRECTION STATUS, clear_route. What a host function refuses is written down.
 * Events:
 *   request headers [end] [/path], request body [X] [end], request trailers; response headers
 *   STATUS [end], response body, response trailers, response informational STATUS; loop (a turn);
 *   client gone; client slow, client fast, upstream slow, upstream fast (watermarks);
 *   B ACTION (outside of hooks): resume, respond, reset, finish, hold, drain_held, post N,
 *   piece append X, piece drain N (of a pending body hook).
 * Transcript: "A request body 'ab' end", "terminal ...", "client ...", "pause request", "over
 * DETAILS"; x-* fields are shown behind a head.
 *
 * Each playbook runs with all filters in one module that runs them in groups, in modules that
 * alternate, and in one without groups; with whole pieces and with a slice a byte: the transcript
 * is the same. Then with the client gone after each event, and with each allocation failing:
 * what always holds is checked (playbook.c, "what always holds").
 */
#ifndef MBTEST_PLAYBOOK_H
#define MBTEST_PLAYBOOK_H

#include "filter/stream.h"
#include "mbtest.h"

#define PLAY_FILTERS 8
#define PLAY_CONFIGS 16
#define PLAY_ROUTES 4

typedef struct play play;

/* What one hook of a configuration answers. */
typedef struct play_answers {
    mb_slice rest; /* those not given yet */
    bool wanted;
} play_answers;

typedef struct play_config {
    play *play;
    mb_slice name;
    play_answers hooks[MB_HOOK_COUNT];
    uint32_t made; /* by config_new, not freed yet */
} play_config;

/* What a filter, the terminal or the client has seen of a direction. */
typedef struct play_seen {
    bool headers, ended, trailers;
    bool pending; /* a filter's hook has not finished */
} play_seen;

typedef struct play_filter {
    mb_slice name;
    bool disabled, running;
    uint32_t hooks, completed, destroyed;
    play_seen seen[2];
} play_filter;

typedef struct play_route {
    mb_slice path, changes;
    mb_chain_override overrides[PLAY_FILTERS];
} play_route;

typedef enum play_modules { PLAY_SINGLE, PLAY_GROUP, PLAY_ALTERNATE, PLAY_MODULES } play_modules;

struct play {
    /* how to run */
    play_modules modules;
    bool shatter;    /* a slice a byte */
    bool free_early; /* the stream's memory, in `complete` */
    bool quiet;      /* refusals of host functions are not written down */
    bool lenient;    /* an allocation fails: no transcript is compared */
    size_t fail_at;
    /* the setup */
    play_filter filters[PLAY_FILTERS];
    play_config configs[PLAY_CONFIGS];
    play_route routes[PLAY_ROUTES];
    uint32_t filter_count, config_count, route_count;
    size_t limit;
    mb_slice answer, local; /* of the terminal */
    bool show_ends;
    /* the run */
    mbtest_alloc *memory;
    mbtest_clock clock;
    mb_worker worker;
    mb_module_ref *module_refs[2];
    mb_chain_entry entries[PLAY_FILTERS];
    mb_chain chain;
    mb_stream *stream; /* NULL: freed */
    mb_stream_id id;
    uint32_t batches;
    bool began, over, terminal_aborted, request_paused, response_paused;
    play_seen terminal, client, from_upstream;
    char bodies[2][4096]; /* what left the chain, by direction */
    size_t body_length[2];
    uint32_t status; /* of the response head that the client got; 0: none */
    char log[16384];
    size_t log_length;
};

void playbook(const char *text);
/* The same for a filter S with A before it and B behind it, in walk order, that have all hooks:
 * written for requests, without the line "chain"; run in both directions, with and without A and
 * B, whose lines are left out then. */
void playbook_everywhere(const char *pattern);

/* For scripts made by tests. `setup` must live as long as the play. False when the `fail_at`-th
 * allocation was one of the worker's or configuration's; nothing is left then. */
bool play_begin(play *self, const char *setup);
void play_event(play *self, mb_slice event);
/* Ends the stream if it is not over, checks what always holds, frees all. */
void play_end(play *self);

/* -- between playbook.c and playbook_filters.c ------------------------------------------------ */

void play_line(play *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
void play_see_headers(play_seen *seen, bool end);
void play_see_body(play_seen *seen, bool end);
void play_see_trailers(play_seen *seen);
mb_slice play_word(mb_slice *rest); /* empty: none is left */
bool play_is(mb_slice word, const char *want);
uint64_t play_number(mb_slice word);
mb_direction play_direction(mb_slice word);
play_filter *play_find_filter(play *self, mb_slice name);
play_config *play_find_config(play *self, mb_slice name);
/* Does `action` for a filter, inside a hook with `data` or outside. Returns true when it ends a
 * group's call. */
bool play_act(play *self, mb_filter *filter, mb_slice action, mb_direction direction,
              mb_buffer *data, int *status);
/* Fills the module that has the scripted filters. */
void play_module_fill(play *self, mb_module *out, bool group);

#endif
