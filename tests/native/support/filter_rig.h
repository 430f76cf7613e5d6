/*
 * What tests of filter/ and route/ share: a worker with a settable clock, one stream in a chain of
 * the test's making, and a client and an upstream that only write down what they get.
 */
#ifndef MBTEST_FILTER_RIG_H
#define MBTEST_FILTER_RIG_H

#include "filter/format.h"
#include "filter/stream.h"
#include "mbtest.h"

typedef struct filter_rig {
    mbtest_alloc *memory;
    mbtest_clock clock;
    mb_worker worker;
    mb_arena arena; /* for what a configuration would own */
    mb_chain_entry entry;
    mb_chain chain; /* no filter, or `entry` */
    mb_stream *stream;
    /* what came out at the client's and the upstream's end */
    uint32_t status; /* of the response head; 0: none */
    bool upstream_asked, upstream_ended, response_ended, reset, completed;
    char body[512], upstream_body[512];
    size_t body_length, upstream_body_length;
} filter_rig;

/* A stream without filters. False when the `fail_at`-th allocation was one of the rig's own;
 * nothing is left then. The clock: 1545177563 s and 123456 us after 1970 (2018-12-18T23:59:23). */
bool filter_rig_init(filter_rig *self, size_t fail_at);
/* Frees all and checks that nothing is left over. */
void filter_rig_fini(filter_rig *self);

/* Puts a built-in filter with a configuration (as json_document) into the chain, as "under_test",
 * and begins a new stream. Returns what mb_chain_entry_configure answered. */
int filter_rig_use(filter_rig *self, const char *filter, const char *json);
/* The same with a filter of any module. */
int filter_rig_put(filter_rig *self, mb_module_ref *module, mb_filter_args *args);
/* What it said when it refused. */
mb_slice filter_rig_error(const filter_rig *self);
/* Ends the stream, if it is not over yet, and begins another. */
void filter_rig_begin(filter_rig *self);

/* Adds a header; a name with ':' sets the pseudo-header. */
void filter_rig_header(filter_rig *self, mb_direction direction, const char *name,
                       const char *value);
/* GET http://host.example`path`. */
void filter_rig_get(filter_rig *self, const char *path);
/* Pieces of a body, through the chain. */
void filter_rig_body(filter_rig *self, mb_direction direction, mb_slice piece, bool end);
/* All fields as "name=value;name=value;". Valid until the next call. */
mb_slice filter_rig_fields(const mb_headers *headers);
/* The values of one name, joined with '|'; "(none)". Valid until the next call. */
mb_slice filter_rig_values(const mb_headers *headers, const char *name);
uint64_t filter_rig_counter(filter_rig *self, const char *name);
/* A format of JSON segments; fails the case when it is refused. */
mb_format *filter_rig_format(filter_rig *self, const char *json);

#endif
