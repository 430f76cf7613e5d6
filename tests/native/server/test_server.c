/*
 * A server as its owner sees it (core.h), over real sockets: what it answers, what a reload keeps,
 * and that any allocation may fail with an answer or a closed connection, never a hang or a leak.
 */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <moebridge/core.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/documents.h"
#include "filter/worker.h"
#include "support/json_document.h"

#define TURN_US 1000
#define TURNS_MAX 3000
#define LARGE_BYTES (24u << 20) /* more than the kernel takes, less than the limit in `apply` */

#define PROBE                                                                                      \
    "{'name':'probe','module':'python','filter':'probe','config':7,'disabled':false,"              \
    "'options':{'on_error':'fail_closed','hook_timeout_ms':0,'name':''}},"

/* Long, so that what is made of them needs memory of its own. */
#define LONG                                                                                       \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab" \
    "c"
#define LONGER LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG

static const char request[] = "POST /a/%2e%2e/b" LONGER "?c HTTP/1.1\r\nHost: h:1\r\n"
                              "Via: a" LONGER "\r\nVia: b\r\n"
                              "X-Forwarded-For: " LONGER "\r\nX-Forwarded-For: 192.0.2.2\r\n"
                              "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

typedef struct scene {
    mbtest_alloc *memory;
    mbtest_clock clock; /* where the server is given it */
    mb_server *server;  /* NULL: it could not be made */
    int upstream;       /* listens */
    int peer;           /* what it accepted; -1: nothing yet */
    int client;         /* -1: closed */
    bool filtered;      /* the filter "probe" of the test's own module is in the chain */
    char asked[32768], heard[8192];
    size_t asked_length, heard_length;
} scene;

static uint16_t port_of(int fd) {
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    MB_CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    return ntohs(address.sin_port);
}

static int apply(scene *self, const char *edit_from, const char *edit_to) {
    char port[32];
    snprintf(port, sizeof(port), "'port':%u,'path'", port_of(self->upstream));
    mb_text document;
    json_document(&document, config_minimal, PROBE, self->filtered ? PROBE : "", "'port':80,'path'",
                  port, "'normalize_path':false", "'normalize_path':true", "'via':''", "'via':'c'",
                  "'use_remote_address':false", "'use_remote_address':true",
                  "'per_connection_buffer_limit_bytes':1048576",
                  "'per_connection_buffer_limit_bytes':67108864", edit_from, edit_to, NULL);
    char *faults;
    int rc = mb_server_apply(self->server, document.ptr, document.len, &faults);
    mb_text_free(faults);
    mb_text_fini(&document);
    return rc;
}

static void scene_init_at(scene *self, size_t fail_at, bool own_time) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *self = (scene){.peer = -1, .client = -1};
    self->memory = mbtest_failing_alloc(fail_at);
    self->upstream = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    MB_CHECK(bind(self->upstream, (struct sockaddr *)&address, sizeof(address)) == 0);
    MB_CHECK(listen(self->upstream, 8) == 0);
    mb_server_options options = {.struct_size = sizeof(options),
                                 .allocator = &self->memory->allocator,
                                 .clock = own_time ? &self->clock.clock : NULL};
    mbtest_clock_init(&self->clock, 1000000000u, 1700000000000000u);
    (void)mb_server_new(&options, &self->server);
}

static void scene_init(scene *self, size_t fail_at) {
    scene_init_at(self, fail_at, false);
}

static void close_fd(int *fd) {
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void scene_fini(scene *self) {
    close_fd(&self->client);
    close_fd(&self->peer);
    close_fd(&self->upstream);
    if (self->server != NULL) {
        mb_server_free(self->server);
    }
    mbtest_alloc_free(self->memory);
}

static void turn(scene *self) {
    MB_CHECK(mb_server_run(self->server, TURN_US) >= 0);
}

/* Reads what is there. False: the other side has ended. */
static bool read_some(int fd, char *into, size_t *length, size_t room) {
    ssize_t count = recv(fd, into + *length, room - *length, MSG_DONTWAIT);
    *length += count > 0 ? (size_t)count : 0;
    return count > 0 || (count < 0 && errno == EAGAIN);
}

static bool has(const char *text, size_t length, const char *what) {
    return memmem(text, length, what, strlen(what)) != NULL;
}

static void play_upstream(scene *self) {
    if (self->peer < 0) {
        self->peer = accept(self->upstream, NULL, NULL);
        self->asked_length = 0;
    }
    if (self->peer >= 0 &&
        !read_some(self->peer, self->asked, &self->asked_length, sizeof(self->asked))) {
        close_fd(&self->peer);
    }
    if (has(self->asked, self->asked_length, "\r\n\r\nabc")) {
        self->asked_length = 0;
        (void)send(self->peer, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
    }
}

static bool is_answered(const scene *self) {
    return has(self->heard, self->heard_length, "hello") ||
           has(self->heard, self->heard_length, "HTTP/1.1 5");
}

static void connect_client(scene *self) {
    const char *name, *text;
    MB_CHECK_EQ_INT(mb_server_listener(self->server, 0, &name, &text), MB_OK);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)atoi(strrchr(text, ':') + 1));
    self->client = socket(AF_INET, SOCK_STREAM, 0);
    MB_CHECK(connect(self->client, (struct sockaddr *)&address, sizeof(address)) == 0);
}

/* A request and its answer, or the connection's end. */
static void exchange(scene *self) {
    if (self->client < 0) {
        connect_client(self);
    }
    self->heard_length = 0;
    (void)send(self->client, request, sizeof(request) - 1, MSG_NOSIGNAL);
    for (int turns = 0; self->client >= 0 && !is_answered(self); turns++) {
        if (turns == TURNS_MAX) {
            printf("heard: %.*s\n", (int)self->heard_length, self->heard);
            MB_FAIL("no answer, and the connection stays");
        }
        turn(self);
        play_upstream(self);
        if (!read_some(self->client, self->heard, &self->heard_length, sizeof(self->heard))) {
            close_fd(&self->client);
        }
    }
}

static void drain(scene *self) {
    mb_server_drain(self->server, 5000000);
    for (int turns = 0; (mb_server_run(self->server, TURN_US) & MB_RUN_DRAINED) == 0; turns++) {
        MB_CHECK(turns < TURNS_MAX);
        play_upstream(self);
        char rest[256];
        size_t length = 0;
        if (self->client >= 0 && !read_some(self->client, rest, &length, sizeof(rest))) {
            close_fd(&self->client);
        }
    }
}

MB_TEST(any_allocation_may_fail) {
    bool failed = true;
    for (size_t n = 1; failed; n++) {
        scene self;
        scene_init(&self, n);
        if (self.server != NULL && apply(&self, "'node_id':''", "'node_id':'a'") >= 0 &&
            mb_server_start(self.server) == MB_OK) {
            exchange(&self);
            (void)apply(&self, "'stat_prefix':'ingress'", "'stat_prefix':'other'");
            exchange(&self);
            drain(&self);
        }
        failed = self.memory->requests >= n;
        if (!failed) {
            MB_CHECK(has(self.heard, self.heard_length, "hello"));
        }
        scene_fini(&self);
    }
}

MB_TEST(a_listener_that_comes_while_draining_accepts_nobody) {
    scene self;
    scene_init(&self, 0);
    MB_CHECK_EQ_INT(apply(&self, "'node_id':''", "'node_id':'a'"), MB_OK);
    MB_CHECK_EQ_INT(mb_server_start(self.server), MB_OK);
    mb_server_drain(self.server, 5000000);
    MB_CHECK_EQ_INT(apply(&self, "'name':'main'", "'name':'second'"), MB_OK);
    connect_client(&self);
    (void)send(self.client, request, sizeof(request) - 1, MSG_NOSIGNAL);
    for (int turns = 0; turns < 20; turns++) {
        turn(&self);
    }
    MB_CHECK(read_some(self.client, self.heard, &self.heard_length, sizeof(self.heard)));
    MB_CHECK_EQ_INT(self.heard_length, 0); /* not even 100 Continue */
    scene_fini(&self);
}

/* -- an end that does not come ------------------------------------------------------------------
 */

static uint64_t connections(scene *self) {
    mb_metric *active;
    MB_CHECK_EQ_INT(mb_stats_define(mb_server_worker(self->server)->stats, MB_GAUGE,
                                    MB_SLICE_LIT("http.ingress.downstream_cx_active"), NULL, 0,
                                    &active),
                    MB_OK);
    return mb_metric_value(active);
}

/* Answers with a body so large that a client which does not read leaves most of it in our queue. */
static void send_large_answer(scene *self, size_t size) {
    static char zeros[65536];
    char head[128];
    int length =
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
    while (!has(self->asked, self->asked_length, "\r\n\r\n")) {
        mb_server_run(self->server, 0);
        play_upstream(self);
    }
    MB_CHECK(send(self->peer, head, (size_t)length, MSG_NOSIGNAL) == length);
    while (size > 0) {
        size_t most = size < sizeof(zeros) ? size : sizeof(zeros);
        ssize_t sent = send(self->peer, zeros, most, MSG_DONTWAIT | MSG_NOSIGNAL);
        MB_CHECK(sent >= 0 || errno == EAGAIN);
        size -= sent > 0 ? (size_t)sent : 0;
        mb_server_run(self->server, 0);
    }
}

MB_TEST(an_answer_that_nobody_reads_is_given_up_also_without_a_delayed_close) {
    static const char last[] = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    scene self;
    scene_init_at(&self, 0, true);
    MB_CHECK_EQ_INT(apply(&self, "'delayed_close_ms':1000", "'delayed_close_ms':0"), MB_OK);
    MB_CHECK_EQ_INT(mb_server_start(self.server), MB_OK);
    connect_client(&self);
    MB_CHECK(send(self.client, last, sizeof(last) - 1, 0) > 0);
    send_large_answer(&self, LARGE_BYTES);
    for (int turns = 0; turns < 100; turns++) {
        mb_server_run(self.server, 0);
    }
    MB_CHECK_EQ_INT(connections(&self), 1);
    mbtest_clock_advance_us(&self.clock, 60000000);
    for (int turns = 0; turns < 10; turns++) {
        mb_server_run(self.server, 0);
    }
    MB_CHECK_EQ_INT(connections(&self), 0);
    scene_fini(&self);
}

static mb_headers_status hold_back(mb_filter *filter, bool end_stream) {
    (void)filter;
    (void)end_stream;
    return MB_HEADERS_STOP_ALL_AND_WATERMARK;
}

static const mb_filter_hooks holding_hooks = {.abi_version = MB_ABI_VERSION,
                                              .struct_size = sizeof(holding_hooks),
                                              .response_headers = hold_back};
static const mb_filter_kind holding_kind = {"probe", &holding_hooks};

MB_TEST(an_idle_timeout_ends_a_stream_whose_answer_a_filter_keeps) {
    static const mb_module module = {.abi_version = MB_ABI_VERSION,
                                     .struct_size = sizeof(module),
                                     .name = "moebridge",
                                     .filters = &holding_kind,
                                     .filter_count = 1};
    scene self;
    scene_init_at(&self, 0, true);
    self.filtered = true;
    MB_CHECK_EQ_INT(mb_server_add_module(self.server, &module), MB_OK);
    /* No answer comes, and the one to the timeout is kept like any other: by a second time out. */
    MB_CHECK_EQ_INT(apply(&self, "'timeout_ms':15000", "'timeout_ms':0"), MB_OK);
    MB_CHECK_EQ_INT(mb_server_start(self.server), MB_OK);
    connect_client(&self);
    MB_CHECK(send(self.client, request, sizeof(request) - 1, 0) > 0);
    for (int timeouts = 0; timeouts <= 2; timeouts++) {
        for (int turns = 0; turns < 100; turns++) {
            mb_server_run(self.server, 0);
        }
        (void)read_some(self.client, self.heard, &self.heard_length, sizeof(self.heard));
        MB_CHECK_EQ_INT(is_answered(&self), timeouts == 2);
        mbtest_clock_advance_us(&self.clock, 301000000);
    }
    scene_fini(&self);
}

/* -- statistics -------------------------------------------------------------------------------- */

typedef struct reader {
    mb_server *server;
    atomic_bool stop;
    unsigned rounds;
} reader;

static void *read_statistics(void *context) {
    reader *self = context;
    while (!atomic_load(&self->stop)) {
        char *text;
        size_t length;
        if (mb_server_stats(self->server, &text, &length) == MB_OK) {
            mb_text_free(text);
        }
        if (mb_server_prometheus(self->server, &text, &length) == MB_OK) {
            mb_text_free(text);
        }
        self->rounds++;
    }
    return NULL;
}

/* Under ThreadSanitizer too. */
MB_TEST(another_thread_reads_statistics_meanwhile) {
    scene self;
    scene_init(&self, 0);
    MB_CHECK_EQ_INT(apply(&self, "'node_id':''", "'node_id':'a'"), MB_OK);
    MB_CHECK_EQ_INT(mb_server_start(self.server), MB_OK);
    reader other = {.server = self.server};
    pthread_t thread;
    MB_CHECK(pthread_create(&thread, NULL, read_statistics, &other) == 0);
    for (int i = 0; i < 50; i++) {
        char prefix[40];
        exchange(&self);
        snprintf(prefix, sizeof(prefix), "'stat_prefix':'number%d'", i); /* new statistics */
        MB_CHECK_EQ_INT(apply(&self, "'stat_prefix':'ingress'", prefix), MB_OK);
    }
    atomic_store(&other.stop, true);
    pthread_join(thread, NULL);
    MB_CHECK(other.rounds > 0);
    scene_fini(&self);
}
