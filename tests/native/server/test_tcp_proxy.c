/*
 * The TCP proxy over real sockets, with the time in the test's hands: both directions, both ends,
 * timeouts, hosts that do not answer; and that any allocation may fail with a closed connection,
 * never a hang or a leak.
 */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <moebridge/core.h>
#include <moebridge/network_filter.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/documents.h"
#include "support/json_document.h"

#define TURNS_MAX 3000

typedef struct scene {
    mbtest_alloc *memory;
    mbtest_clock clock;
    mb_server *server; /* NULL: it could not be made */
    int upstream;      /* listens */
    int peer;          /* what it accepted; -1: nothing, or closed */
    int client;        /* -1: closed */
    char heard[256], asked[256];
    size_t heard_length, asked_length;
    bool client_ended, peer_ended; /* what they read has come to its end */
} scene;

/* -- a filter that passes all, with state -------------------------------------------------------
 */

static mb_network_status pass(mb_network_filter *filter, mb_buffer *data, bool end_stream) {
    (void)data;
    (void)end_stream;
    ++*(uint64_t *)filter->state;
    return MB_NETWORK_CONTINUE;
}

static const mb_network_filter_hooks pass_hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(pass_hooks),
    .state_bytes = sizeof(uint64_t),
    .read = pass,
    .write = pass,
};
static const mb_network_filter_kind pass_kind = {"probe", &pass_hooks};
static const mb_module pass_module = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(pass_module),
    .name = "moebridge",
    .network_filters = &pass_kind,
    .network_filter_count = 1,
};

/* -- the scene --------------------------------------------------------------------------------- */

static int listen_anywhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    MB_CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    MB_CHECK(listen(fd, 8) == 0);
    return fd;
}

static unsigned port_of(int fd) {
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    MB_CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    return ntohs(address.sin_port);
}

static void close_fd(int *fd) {
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static bool set_up(scene *self, size_t fail_at) {
    *self = (scene){.peer = -1, .client = -1, .memory = mbtest_failing_alloc(0)};
    mbtest_clock_init(&self->clock, 1000000000u, 1700000000000000u);
    self->upstream = listen_anywhere();
    mb_server_options options = {.struct_size = sizeof(options),
                                 .allocator = &self->memory->allocator,
                                 .clock = &self->clock.clock};
    MB_CHECK_EQ_INT(mb_server_new(&options, &self->server), MB_OK);
    MB_CHECK_EQ_INT(mb_server_add_module(self->server, &pass_module), MB_OK);
    char port[32];
    snprintf(port, sizeof(port), "'port':%u,'path'", port_of(self->upstream));
    mb_text document;
    json_document(&document, config_tcp, "'port':80,'path'", port, "'sink':'stdout'",
                  "'sink':'stderr'", NULL);
    char *faults;
    self->memory->fail_at = fail_at > 0 ? self->memory->requests + fail_at : 0;
    int rc = mb_server_apply(self->server, document.ptr, document.len, &faults);
    mb_text_free(faults);
    mb_text_fini(&document);
    MB_CHECK(rc == MB_OK || fail_at > 0);
    return rc == MB_OK && mb_server_start(self->server) == MB_OK;
}

static void tear_down(scene *self) {
    self->memory->fail_at = 0;
    close_fd(&self->client);
    close_fd(&self->peer);
    close_fd(&self->upstream);
    mb_server_free(self->server);
    mbtest_alloc_free(self->memory);
}

static void connect_client(scene *self) {
    const char *name, *text;
    MB_CHECK_EQ_INT(mb_server_listener(self->server, 0, &name, &text), MB_OK);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)atoi(strrchr(text, ':') + 1));
    self->client = socket(AF_INET, SOCK_STREAM, 0);
    MB_CHECK(connect(self->client, (struct sockaddr *)&address, sizeof(address)) == 0);
}

/* Reads what is there. True: the other side has ended. */
static bool read_some(int fd, char *into, size_t *length, size_t room) {
    if (fd < 0) {
        return false;
    }
    ssize_t count = recv(fd, into + *length, room - *length, MSG_DONTWAIT);
    *length += count > 0 ? (size_t)count : 0;
    return count == 0 || (count < 0 && errno != EAGAIN);
}

static void turn(scene *self) {
    MB_CHECK(mb_server_run(self->server, 0) >= 0);
    if (self->peer < 0 && !self->peer_ended) {
        self->peer = accept(self->upstream, NULL, NULL);
    }
    self->client_ended |=
        read_some(self->client, self->heard, &self->heard_length, sizeof(self->heard));
    self->peer_ended |=
        read_some(self->peer, self->asked, &self->asked_length, sizeof(self->asked));
    struct pollfd ends[] = {{.fd = self->client, .events = POLLIN},
                            {.fd = self->peer, .events = POLLIN}};
    (void)poll(ends, 2, 1);
}

/* Until `*done`; false: it does not come. */
static bool turn_until(scene *self, const bool *done) {
    for (int turns = 0; !*done; turns++) {
        if (turns == TURNS_MAX) {
            return false;
        }
        turn(self);
    }
    return true;
}

static bool turn_until_bytes(scene *self, const size_t *length, size_t want) {
    for (int turns = 0; *length < want && !self->client_ended; turns++) {
        if (turns == TURNS_MAX) {
            return false;
        }
        turn(self);
    }
    return *length >= want;
}

static void say(int fd, const char *text) {
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

#define CHECK_TEXT(bytes, length, want) MB_CHECK_EQ_LIT(((mb_slice){(bytes), (length)}), want)

/* A talk with both ends' ends; false: the connection was closed on the way. */
static bool talk(scene *self) {
    connect_client(self);
    say(self->client, "ping");
    if (!turn_until_bytes(self, &self->asked_length, 4)) {
        return false;
    }
    say(self->peer, "pong");
    if (!turn_until_bytes(self, &self->heard_length, 4)) {
        return false;
    }
    shutdown(self->client, SHUT_WR);
    if (!turn_until(self, &self->peer_ended)) {
        return false;
    }
    say(self->peer, "bye");
    close_fd(&self->peer);
    MB_CHECK(turn_until(self, &self->client_ended));
    return true;
}

MB_TEST(both_directions_and_both_ends_pass) {
    scene s;
    MB_CHECK(set_up(&s, 0));
    MB_CHECK(talk(&s));
    CHECK_TEXT(s.asked, s.asked_length, "ping");
    CHECK_TEXT(s.heard, s.heard_length, "pongbye");
    tear_down(&s);
}

MB_TEST(an_idle_connection_ends_on_both_sides) {
    scene s;
    MB_CHECK(set_up(&s, 0));
    connect_client(&s);
    say(s.client, "x");
    MB_CHECK(turn_until_bytes(&s, &s.asked_length, 1));
    mbtest_clock_advance_us(&s.clock, 7100000); /* max_downstream_connection_duration */
    MB_CHECK(turn_until(&s, &s.client_ended));
    MB_CHECK(turn_until(&s, &s.peer_ended));
    tear_down(&s);
}

MB_TEST(a_host_that_does_not_answer_ends_the_client) {
    scene s;
    MB_CHECK(set_up(&s, 0));
    close_fd(&s.upstream);
    connect_client(&s);
    say(s.client, "x");
    MB_CHECK(turn_until(&s, &s.client_ended));
    s.upstream = listen_anywhere();
    tear_down(&s);
}

MB_TEST(a_client_that_goes_ends_the_upstream) {
    scene s;
    MB_CHECK(set_up(&s, 0));
    connect_client(&s);
    say(s.client, "x");
    MB_CHECK(turn_until_bytes(&s, &s.asked_length, 1));
    struct linger now = {.l_onoff = 1};
    setsockopt(s.client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close_fd(&s.client);
    MB_CHECK(turn_until(&s, &s.peer_ended));
    tear_down(&s);
}

MB_TEST(a_server_that_ends_closes_what_is_open) {
    scene s;
    MB_CHECK(set_up(&s, 0));
    connect_client(&s);
    say(s.client, "x");
    MB_CHECK(turn_until_bytes(&s, &s.asked_length, 1));
    tear_down(&s);
}

MB_TEST(any_allocation_may_fail) {
    for (size_t n = 1, failed = 1; failed; n++) {
        scene s;
        if (set_up(&s, n)) {
            (void)talk(&s);
        }
        failed = s.memory->requests >= s.memory->fail_at;
        tear_down(&s);
    }
}
