/*
 * See upstream_rig.h.
 */
#define _GNU_SOURCE

#include "support/upstream_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define TURN_WAIT_US 2000
#define TURNS_MAX 5000

bool rig_init(rig *self, size_t fail_at) {
    static const mb_logger silent = {.level = MB_LOG_OFF};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;

    memset(self, 0, sizeof *self);
    self->memory = mbtest_failing_alloc(fail_at);
    mbtest_clock_init(&self->clock, 1000000000u, 1700000000000000u);
    if (mb_worker_init(&self->worker, &self->memory->allocator, &self->clock.clock, &silent, 0) !=
        MB_OK) {
        mbtest_alloc_free(self->memory);
        return false;
    }
    self->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    MB_CHECK(self->listener >= 0);
    MB_CHECK(bind(self->listener, (struct sockaddr *)&address, sizeof address) == 0);
    MB_CHECK(listen(self->listener, 64) == 0);
    MB_CHECK(getsockname(self->listener, (struct sockaddr *)&address, &length) == 0);
    self->port = ntohs(address.sin_port);
    self->endpoint =
        (mb_endpoint){.host = MB_SLICE_LIT("127.0.0.1"), .port = self->port, .weight = 1};
    return true;
}

void rig_fini(rig *self) {
    rig_turn(self); /* what died is freed at the end of the turn */
    MB_CHECK_EQ_INT(self->worker.net.connections_active, 0);
    if (self->listener >= 0) {
        close(self->listener);
    }
    mb_worker_fini(&self->worker);
    mbtest_alloc_free(self->memory);
}

void rig_turn(rig *self) {
    MB_CHECK(mb_loop_turn(self->worker.loop, TURN_WAIT_US) >= 0);
}

void rig_advance_us(rig *self, uint64_t by_us) {
    mbtest_clock_advance_us(&self->clock, by_us);
    rig_turn(self);
    rig_turn(self);
}

void rig_turn_until(rig *self, bool (*done)(void *context), void *context) {
    for (int turns = 0; !done(context); turns++) {
        if (turns == TURNS_MAX) {
            MB_FAIL("nothing happens");
        }
        rig_turn(self);
    }
}

mb_cluster_settings rig_settings(rig *self) {
    return (mb_cluster_settings){.name = MB_SLICE_LIT("up"),
                                 .endpoints = &self->endpoint,
                                 .endpoint_count = 1,
                                 .connect_timeout_us = 5000000,
                                 .idle_timeout_us = 3600000000u,
                                 .buffer_limit_bytes = 1024 * 1024,
                                 .limits = {.max_connections = 1024,
                                            .max_pending_requests = 1024,
                                            .max_requests = 1024,
                                            .max_retries = 3}};
}

mb_upstream_host *rig_host(mb_cluster *cluster) {
    MB_CHECK(cluster->host_count > 0);
    return cluster->hosts[0];
}

uint64_t rig_stat(rig *self, const char *name) {
    mb_metric *metric = mb_stats_find(self->worker.stats, (mb_slice){name, strlen(name)}, NULL, 0);

    return metric == NULL ? 0 : mb_metric_value(metric);
}

/* -- the upstream ----------------------------------------------------------------------------- */

int rig_accept(rig *self) {
    for (int turns = 0; turns < TURNS_MAX; turns++) {
        int peer = accept4(self->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (peer >= 0) {
            return peer;
        }
        MB_CHECK_EQ_INT(errno, EAGAIN);
        rig_turn(self);
    }
    MB_FAIL("nobody connects");
}

bool rig_nobody_connects(rig *self) {
    rig_turn(self);
    rig_turn(self);
    return accept4(self->listener, NULL, NULL, SOCK_CLOEXEC) < 0 && errno == EAGAIN;
}

static size_t read_some(rig *self, int peer, char *at, size_t room) {
    for (int turns = 0; turns < TURNS_MAX; turns++) {
        ssize_t got = recv(peer, at, room, 0);

        if (got > 0) {
            return (size_t)got;
        }
        if (got == 0) {
            MB_FAIL("the connection was closed");
        }
        MB_CHECK_EQ_INT(errno, EAGAIN);
        rig_turn(self);
    }
    MB_FAIL("nothing comes");
}

void rig_expect(rig *self, int peer, const char *want) {
    char got[8192];
    size_t length = strlen(want), at = 0;

    MB_CHECK(length < sizeof got);
    while (at < length) {
        at += read_some(self, peer, got + at, length - at);
    }
    MB_CHECK_EQ_SLICE(((mb_slice){got, at}), ((mb_slice){want, length}));
}

void rig_expect_end(rig *self, int peer, const char *end) {
    char got[65536];
    size_t length = strlen(end), at = 0;

    while (at < length || memcmp(got + at - length, end, length) != 0) {
        MB_CHECK(at < sizeof got);
        at += read_some(self, peer, got + at, 1);
    }
}

void rig_answer(rig *self, int peer, const char *bytes) {
    size_t length = strlen(bytes);

    (void)self;
    MB_CHECK_EQ_INT(send(peer, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
}

size_t rig_expect_close(rig *self, int peer) {
    size_t before = 0;

    for (int turns = 0; turns < TURNS_MAX; turns++) {
        char got[65536];
        ssize_t length = recv(peer, got, sizeof got, 0);

        if (length == 0 || (length < 0 && errno == ECONNRESET)) {
            close(peer);
            return before;
        }
        if (length > 0) {
            before += (size_t)length;
        } else {
            MB_CHECK_EQ_INT(errno, EAGAIN);
            rig_turn(self);
        }
    }
    MB_FAIL("the connection stays open");
}

void rig_reset(int peer) {
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    MB_CHECK(setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    close(peer);
}

/* -- the asker -------------------------------------------------------------------------------- */

static void on_ready(mb_upstream_request *request) {
    asker *self = (asker *)request;

    self->ready = true;
    if (self->cancel_when_ready) {
        mb_upstream_cancel(request);
        return;
    }
    if (mb_upstream_send_headers(request, &self->ask, true) != MB_OK) {
        mb_upstream_cancel(request);
        self->failed = true;
        self->why = MB_UPSTREAM_LOCAL;
    }
}

static void on_failure(mb_upstream_request *request, mb_upstream_failure why, mb_slice transport) {
    asker *self = (asker *)request;

    self->failed = true;
    self->why = why;
    snprintf(self->transport, sizeof self->transport, "%.*s", (int)transport.len, transport.ptr);
}

static void end(asker *self) {
    self->ended = true;
    if (self->on_end != NULL) {
        self->on_end(self);
    }
}

static void on_headers(mb_upstream_request *request, bool end_stream) {
    asker *self = (asker *)request;

    self->started = true;
    if (end_stream) {
        end(self);
    } else if (self->cancel_when_started) {
        mb_upstream_cancel(request);
    }
}

static void on_informational(mb_upstream_request *request) {
    (void)request;
}

static void on_body(mb_upstream_request *request, mb_buffer *data, bool end_stream) {
    asker *self = (asker *)request;
    size_t room = sizeof self->body - self->body_length;

    self->body_length += mb_buffer_copy_out(data, 0, self->body + self->body_length, room);
    mb_buffer_clear(data);
    if (end_stream) {
        end(self);
    }
}

static void on_trailers(mb_upstream_request *request) {
    end((asker *)request);
}

static void on_pressure(mb_upstream_request *request, bool above) {
    (void)request;
    (void)above;
}

static const mb_upstream_events events = {.on_ready = on_ready,
                                          .on_failure = on_failure,
                                          .on_headers = on_headers,
                                          .on_informational = on_informational,
                                          .on_body = on_body,
                                          .on_trailers = on_trailers,
                                          .on_pressure = on_pressure};

void asker_init(asker *self, rig *in, const char *path) {
    memset(self, 0, sizeof *self);
    self->rig = in;
    mb_arena_init(&self->arena, &in->worker.arenas);
    mb_headers_init(&self->headers, &self->arena);
    mb_headers_init(&self->trailers, &self->arena);
    mb_headers_init(&self->ask, &self->arena);
    mb_buffer_init(&self->head, in->worker.slabs);
    mb_headers_set_pseudo(&self->ask, MB_PSEUDO_METHOD, MB_SLICE_LIT("GET"));
    mb_headers_set_pseudo(&self->ask, MB_PSEUDO_AUTHORITY, MB_SLICE_LIT("a"));
    mb_headers_set_pseudo(&self->ask, MB_PSEUDO_PATH, (mb_slice){path, strlen(path)});
    self->request.events = &events;
    self->request.headers = &self->headers;
    self->request.trailers = &self->trailers;
    self->request.head = &self->head;
}

void asker_ask(asker *self, rig *in, mb_upstream_host *host, const char *path) {
    asker_init(self, in, path);
    mb_pool_request(&host->pool, &self->request);
}

void asker_fini(asker *self) {
    mb_upstream_cancel(&self->request);
    mb_buffer_fini(&self->head);
    mb_arena_clear(&self->arena);
}

static bool is_set(void *flag) {
    return *(bool *)flag;
}

void asker_wait_ready(asker *self) {
    rig_turn_until(self->rig, is_set, &self->ready);
}

void asker_wait_end(asker *self) {
    rig_turn_until(self->rig, is_set, &self->ended);
}

void asker_wait_failed(asker *self) {
    rig_turn_until(self->rig, is_set, &self->failed);
}
