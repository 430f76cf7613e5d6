/*
 * What tests of upstream/ share: a worker with a settable clock, an upstream played by the test
 * over real loopback sockets, and an asker that puts one request to a pool and writes down what
 * it hears.
 */
#ifndef MBTEST_UPSTREAM_RIG_H
#define MBTEST_UPSTREAM_RIG_H

#include "filter/worker.h"
#include "mbtest.h"
#include "upstream/cluster_state.h"

typedef struct rig {
    mbtest_alloc *memory;
    mbtest_clock clock;
    mb_worker worker;
    int listener; /* the upstream's */
    uint16_t port;
    mb_endpoint endpoint; /* 127.0.0.1 and that port */
} rig;

/* False when the `fail_at`-th allocation was one of the worker's own; nothing is left then. */
bool rig_init(rig *self, size_t fail_at);
/* Frees all and checks that nothing is left over. Clusters are gone by then. */
void rig_fini(rig *self);
void rig_turn(rig *self); /* waits for events a little */
void rig_advance_us(rig *self, uint64_t by_us);
/* Turns until `done(context)`; a hang fails the case. */
void rig_turn_until(rig *self, bool (*done)(void *context), void *context);
/* One STATIC endpoint, the upstream, and generous limits. */
mb_cluster_settings rig_settings(rig *self);
mb_upstream_host *rig_host(mb_cluster *cluster);
uint64_t rig_stat(rig *self, const char *name); /* 0: there is none */
#define CHECK_STAT(self, name, want) MB_CHECK_EQ_INT(rig_stat(self, name), want)

/* The upstream's side. Each turns the loop until it is done. */
int rig_accept(rig *self);
bool rig_nobody_connects(rig *self);
/* Reads until all of `want` came, and compares. */
void rig_expect(rig *self, int peer, const char *want);
/* Reads until what came ends with `end`. */
void rig_expect_end(rig *self, int peer, const char *end);
void rig_answer(rig *self, int peer, const char *bytes);
/* Waits until our side has closed the connection, then closes it. Returns bytes read before. */
size_t rig_expect_close(rig *self, int peer);
void rig_reset(int peer); /* RST */

typedef struct asker {
    mb_upstream_request request; /* first */
    rig *rig;
    mb_arena arena;
    mb_headers headers, trailers, ask;
    mb_buffer head;
    char body[256];
    size_t body_length;
    bool ready, failed, started, ended;
    bool cancel_when_ready, cancel_when_started;
    mb_upstream_failure why;
    char transport[128];
    void (*on_end)(struct asker *self); /* or NULL */
} asker;

/* GET /`path` as soon as there is a connection. */
void asker_ask(asker *self, rig *in, mb_upstream_host *host, const char *path);
void asker_init(asker *self, rig *in, const char *path);
void asker_fini(asker *self);
void asker_wait_ready(asker *self);
void asker_wait_end(asker *self);
void asker_wait_failed(asker *self);

#endif
