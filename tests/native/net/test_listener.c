/*
 * Listeners over real sockets: limits, running out of descriptors, what stop and free promise.
 */
#include "support/net_world.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MS 1000u

typedef struct bench {
    world world;
    mb_listener *listener;
    int accepted[256];
    size_t count;
    mb_address last_remote;
    bool stop_in_accept, free_in_accept;
} bench;

static void on_accept(void *context, mb_listener *listener, int fd, const mb_address *remote) {
    bench *self = context;
    self->accepted[self->count++] = fd;
    self->last_remote = *remote;
    if (self->stop_in_accept) {
        self->stop_in_accept = false;
        mb_listener_stop(listener);
    }
    if (self->free_in_accept) {
        self->free_in_accept = false;
        self->listener = NULL;
        mb_listener_free(listener);
        close(fd);
        self->count--;
        mb_listener_release(listener);
    }
}

/* A listener on one address; NULL with the errno of what failed. */
static mb_listener *open_one(bench *self, const mb_address *address,
                             const mb_listener_options *options, int *error) {
    const mb_listen_address wanted = {.address = *address};
    mb_listener *listener = mb_listener_new(&self->world.net, options, on_accept, self);
    *error = listener == NULL ? ENOMEM : mb_listener_add(listener, &wanted);
    if (*error != 0) {
        mb_listener_free(listener);
        return NULL;
    }
    return listener;
}

static void listen_on(bench *self, const char *host, mb_listener_options options) {
    mb_address address;
    int error = 0;
    MB_CHECK_EQ_INT(mb_address_parse((mb_slice){host, strlen(host)}, 0, &address), MB_OK);
    self->listener = open_one(self, &address, &options, &error);
    MB_CHECK_EQ_INT(error, 0);
    MB_CHECK(self->listener != NULL);
}

static void set_up(bench *self, mb_listener_options options) {
    memset(self, 0, sizeof(*self));
    MB_CHECK(world_init(&self->world, 0));
    listen_on(self, "127.0.0.1", options);
}

static void release_one(bench *self) {
    close(self->accepted[--self->count]);
    mb_listener_release(self->listener);
}

static void tear_down(bench *self) {
    while (self->count > 0 && self->listener != NULL) {
        release_one(self);
    }
    mb_listener_free(self->listener);
    world_fini(&self->world);
}

/* Loopback: connected when this returns, in the queue of the listener. */
static int client_to(const mb_address *address) {
    int fd = socket(address->sa.sa_family, SOCK_STREAM, 0);
    MB_CHECK(fd >= 0);
    MB_CHECK(connect(fd, &address->sa, address->length) == 0);
    return fd;
}

static int client(bench *self) {
    return client_to(mb_listener_address(self->listener, 0));
}

static const mb_listener_options plain_options = {0};

MB_TEST(accepts_with_real_port_no_delay_and_close_on_exec) {
    bench b;
    set_up(&b, plain_options);
    MB_CHECK(mb_address_port(mb_listener_address(b.listener, 0)) != 0);
    int fd = client(&b);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.count, 0); /* not before start */
    MB_CHECK_EQ_INT(mb_listener_start(b.listener), MB_OK);
    MB_CHECK_EQ_INT(mb_listener_start(b.listener), MB_OK);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.count, 1);
    int no_delay = 0;
    socklen_t length = sizeof(no_delay);
    getsockopt(b.accepted[0], IPPROTO_TCP, TCP_NODELAY, &no_delay, &length);
    MB_CHECK_EQ_INT(no_delay != 0, true);
    MB_CHECK(fcntl(b.accepted[0], F_GETFD) & FD_CLOEXEC);
    MB_CHECK(fcntl(b.accepted[0], F_GETFL) & O_NONBLOCK);
    char text[MB_ADDRESS_TEXT_BYTES];
    MB_CHECK_EQ_LIT(((mb_slice){text, mb_address_host_text(&b.last_remote, text)}), "127.0.0.1");
    MB_CHECK_EQ_INT(mb_listener_accepted(b.listener), 1);
    close(fd);
    tear_down(&b);
}

MB_TEST(burst_is_accepted_in_few_turns) {
    bench b;
    set_up(&b, plain_options);
    mb_listener_start(b.listener);
    int fds[100];
    for (int i = 0; i < 100; i++) {
        fds[i] = client(&b);
    }
    int turns = 0;
    while (b.count < 100) {
        world_turn(&b.world);
        turns++;
    }
    MB_CHECK(turns <= 8);
    MB_CHECK(turns >= 2); /* and not all at once */
    for (int i = 0; i < 100; i++) {
        close(fds[i]);
    }
    tear_down(&b);
}

MB_TEST(limit_holds_back_until_one_is_released) {
    bench b;
    set_up(&b, (mb_listener_options){.max_connections = 2});
    mb_listener_start(b.listener);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = client(&b);
    }
    for (int i = 0; i < 10; i++) {
        world_turn(&b.world);
    }
    MB_CHECK_EQ_INT(b.count, 2);
    MB_CHECK_EQ_INT(mb_listener_active(b.listener), 2);
    MB_CHECK_EQ_INT(mb_listener_overflowed(b.listener), 1); /* told once: it does not spin */
    release_one(&b);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.count, 2);
    MB_CHECK_EQ_INT(mb_listener_accepted(b.listener), 3);
    for (int i = 0; i < 3; i++) {
        close(fds[i]);
    }
    tear_down(&b);
}

MB_TEST(out_of_descriptors_pauses_without_spinning_and_recovers) {
    bench b;
    set_up(&b, plain_options);
    mb_listener_start(b.listener);
    int fd = client(&b);
    struct rlimit before, tight;
    MB_CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    tight = before;
    tight.rlim_cur = (rlim_t)fd; /* nothing above what is open */
    MB_CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0);
    for (int i = 0; i < 5; i++) {
        world_turn(&b.world);
    }
    uint64_t overflowed = mb_listener_overflowed(b.listener);
    world_advance_us(&b.world, 100 * MS);
    world_turn(&b.world);
    uint64_t again = mb_listener_overflowed(b.listener);
    setrlimit(RLIMIT_NOFILE, &before);
    MB_CHECK_EQ_INT(b.count, 0);
    MB_CHECK_EQ_INT(overflowed, 1);
    MB_CHECK_EQ_INT(again, 2);
    world_advance_us(&b.world, 101 * MS);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.count, 1);
    close(fd);
    tear_down(&b);
}

MB_TEST(stop_accepts_first_what_waits_in_the_queue) {
    bench b;
    set_up(&b, (mb_listener_options){.max_connections = 2});
    mb_listener_start(b.listener);
    mb_address address = *mb_listener_address(b.listener, 0);
    int fds[20];
    for (int i = 0; i < 20; i++) {
        fds[i] = client(&b);
    }
    mb_listener_stop(b.listener);
    mb_listener_stop(b.listener);
    MB_CHECK_EQ_INT(b.count, 20);
    for (int i = 0; i < 20; i++) {
        MB_CHECK_EQ_INT(send(fds[i], "x", 1, MSG_NOSIGNAL), 1);
        char got;
        MB_CHECK(recv(fds[i], &got, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN); /* no reset */
        close(fds[i]);
    }
    int late = socket(AF_INET, SOCK_STREAM, 0);
    MB_CHECK(connect(late, &address.sa, address.length) == -1 && errno == ECONNREFUSED);
    close(late);
    world_turn(&b.world);
    tear_down(&b);
}

MB_TEST(stopping_and_freeing_in_on_accept_is_safe) {
    for (int freeing = 0; freeing < 2; freeing++) {
        bench b;
        set_up(&b, plain_options);
        mb_listener_start(b.listener);
        b.stop_in_accept = !freeing;
        b.free_in_accept = freeing;
        int fds[3];
        for (int i = 0; i < 3; i++) {
            fds[i] = client(&b);
        }
        for (int i = 0; i < 3; i++) {
            world_turn(&b.world);
        }
        MB_CHECK_EQ_INT(b.count, freeing ? 0 : 3);
        for (int i = 0; i < 3; i++) {
            close(fds[i]);
        }
        tear_down(&b);
    }
}

MB_TEST(listener_freed_before_its_connections_takes_their_release) {
    bench b;
    set_up(&b, plain_options);
    mb_listener_start(b.listener);
    int fd = client(&b);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.count, 1);
    mb_listener_free(b.listener);
    world_turn(&b.world);
    release_one(&b);
    b.listener = NULL;
    close(fd);
    tear_down(&b);
}

MB_TEST(port_in_use_is_told_with_its_errno) {
    bench b;
    set_up(&b, plain_options);
    int error = 0;
    MB_CHECK(open_one(&b, mb_listener_address(b.listener, 0), &plain_options, &error) == NULL);
    MB_CHECK_EQ_INT(error, EADDRINUSE);
    tear_down(&b);
}

MB_TEST(reuse_port_lets_a_second_listener_in) {
    bench b;
    const mb_listener_options reuse = {.reuse_port = true};
    set_up(&b, reuse);
    int error = 0;
    mb_listener *second = open_one(&b, mb_listener_address(b.listener, 0), &reuse, &error);
    MB_CHECK(second != NULL);
    mb_listener_free(second);
    tear_down(&b);
}

MB_TEST(client_by_ipv4_of_a_dual_stack_listener_has_an_ipv4_address) {
    bench b;
    memset(&b, 0, sizeof(b));
    MB_CHECK(world_init(&b.world, 0));
    listen_on(&b, "::", plain_options);
    mb_listener_start(b.listener);
    mb_address by_v4;
    uint16_t port = mb_address_port(mb_listener_address(b.listener, 0));
    mb_address_parse(MB_SLICE_LIT("127.0.0.1"), port, &by_v4);
    int fd = client_to(&by_v4);
    world_turn(&b.world);
    char text[MB_ADDRESS_TEXT_BYTES];
    MB_CHECK_EQ_LIT(((mb_slice){text, mb_address_host_text(&b.last_remote, text)}), "127.0.0.1");
    close(fd);
    tear_down(&b);
}

typedef struct unix_scene {
    bench b;
    char folder[32], path[64];
    mb_address address;
} unix_scene;

static void unix_set_up(unix_scene *self) {
    set_up(&self->b, plain_options);
    strcpy(self->folder, "/tmp/mbtest-XXXXXX");
    MB_CHECK(mkdtemp(self->folder) != NULL);
    int length = snprintf(self->path, sizeof(self->path), "%s/s", self->folder);
    MB_CHECK_EQ_INT(mb_address_unix((mb_slice){self->path, (size_t)length}, &self->address), MB_OK);
}

static void unix_tear_down(unix_scene *self) {
    MB_CHECK(access(self->path, F_OK) != 0); /* no test leaves it */
    MB_CHECK_EQ_INT(rmdir(self->folder), 0);
    tear_down(&self->b);
}

MB_TEST(stale_unix_socket_is_replaced_and_a_live_one_is_not) {
    unix_scene self;
    unix_set_up(&self);
    int crashed = socket(AF_UNIX, SOCK_STREAM, 0), error;
    MB_CHECK(bind(crashed, &self.address.sa, self.address.length) == 0);
    close(crashed);
    mb_listener *first = open_one(&self.b, &self.address, &plain_options, &error);
    MB_CHECK(first != NULL);
    MB_CHECK(open_one(&self.b, &self.address, &plain_options, &error) == NULL);
    MB_CHECK_EQ_INT(error, EADDRINUSE);
    mb_listener_start(first);
    int fd = client_to(&self.address);
    world_turn(&self.b.world);
    world_turn(&self.b.world);
    MB_CHECK_EQ_INT(self.b.count, 2); /* the look whether it lives is a connection too */
    while (self.b.count > 0) {
        close(self.b.accepted[--self.b.count]);
        mb_listener_release(first);
    }
    mb_listener_free(first);
    close(fd);
    unix_tear_down(&self);
}

MB_TEST(file_of_a_unix_socket_is_removed_unless_it_is_anothers) {
    unix_scene self;
    int error;
    unix_set_up(&self);
    mb_listener *first = open_one(&self.b, &self.address, &plain_options, &error);
    mb_listener_stop(first);
    MB_CHECK(access(self.path, F_OK) != 0);
    mb_listener_free(first);
    first = open_one(&self.b, &self.address, &plain_options, &error);
    unlink(self.path);
    FILE *other = fopen(self.path, "w");
    fclose(other);
    mb_listener_free(first);
    MB_CHECK_EQ_INT(unlink(self.path), 0);
    unix_tear_down(&self);
}

MB_TEST(file_of_a_unix_socket_has_its_mode_and_an_abstract_one_has_none) {
    unix_scene self;
    struct stat status;
    unix_set_up(&self);
    mb_listen_address wanted = {.address = self.address, .mode = 0600};
    mb_listener *listener = mb_listener_new(&self.b.world.net, &plain_options, on_accept, &self.b);
    MB_CHECK_EQ_INT(mb_listener_add(listener, &wanted), 0);
    MB_CHECK_EQ_INT(stat(self.path, &status), 0);
    MB_CHECK_EQ_INT(status.st_mode & 0777, 0600);
    char name[80];
    int length = snprintf(name, sizeof(name), "@%s", self.path);
    wanted = (mb_listen_address){.mode = 0};
    MB_CHECK_EQ_INT(mb_address_unix((mb_slice){name, (size_t)length}, &wanted.address), MB_OK);
    MB_CHECK_EQ_INT(mb_listener_add(listener, &wanted), 0);
    MB_CHECK_EQ_INT(mb_listener_add(listener, &wanted), EADDRINUSE);
    mb_listener_start(listener);
    int fd = client_to(&wanted.address);
    world_turn(&self.b.world);
    MB_CHECK_EQ_INT(self.b.count, 1);
    close(fd);
    close(self.b.accepted[--self.b.count]);
    mb_listener_release(listener);
    mb_listener_free(listener);
    unix_tear_down(&self);
}

MB_TEST(sockets_of_one_listener_share_its_bound) {
    bench b;
    const mb_listener_options two = {.max_connections = 2};
    memset(&b, 0, sizeof(b));
    MB_CHECK(world_init(&b.world, 0));
    listen_on(&b, "127.0.0.1", two);
    mb_listen_address second = {.address = *mb_listener_address(b.listener, 0)};
    second.address.in.sin_port = 0;
    MB_CHECK(mb_listener_address(b.listener, 1) == NULL);
    MB_CHECK_EQ_INT(mb_listener_add(b.listener, &second), 0);
    mb_listener_start(b.listener);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = client_to(mb_listener_address(b.listener, i % 2 == 0));
        world_turn(&b.world);
    }
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.count, 2);
    MB_CHECK(mb_listener_overflowed(b.listener) > 0);
    release_one(&b);
    world_turn(&b.world);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.count, 2);
    MB_CHECK_EQ_INT(mb_listener_accepted(b.listener), 3);
    for (int i = 0; i < 3; i++) {
        close(fds[i]);
    }
    tear_down(&b);
}

MB_TEST(socket_options_are_set_where_they_fit_and_a_bad_one_is_told) {
    bench b;
    mb_socket_option set[] = {
        {.level = SOL_SOCKET, .name = SO_RCVBUF, .value = 30000, .family = AF_INET},
        {.level = SOL_SOCKET, .name = -1, .family = AF_INET6}, /* for others */
        {.level = SOL_SOCKET, .name = SO_KEEPALIVE, .value = 1, .state = MB_SOCKET_LISTENING},
    };
    const mb_listener_options options = {.socket_options = set, .socket_option_count = 3};
    int error;
    mb_address loopback;
    MB_CHECK_EQ_INT(mb_address_parse(MB_SLICE_LIT("127.0.0.1"), 0, &loopback), MB_OK);
    set_up(&b, options);
    for (int state = MB_SOCKET_PREBIND; state <= MB_SOCKET_LISTENING; state++) {
        set[2] =
            (mb_socket_option){.level = SOL_SOCKET, .name = -1, .state = (mb_socket_state)state};
        MB_CHECK(open_one(&b, &loopback, &options, &error) == NULL);
        MB_CHECK_EQ_INT(error, ENOPROTOOPT);
    }
    tear_down(&b);
}

MB_TEST(listener_without_memory_is_refused) {
    bool done = false;
    for (size_t n = 1; !done; n++) {
        bench b;
        memset(&b, 0, sizeof(b));
        if (world_init(&b.world, n)) {
            mb_address address;
            int error = 0;
            mb_address_parse(MB_SLICE_LIT("127.0.0.1"), 0, &address);
            b.listener = open_one(&b, &address, &plain_options, &error);
            done = b.listener != NULL;
            MB_CHECK(done || error == ENOMEM);
            mb_listener_free(b.listener);
        }
        world_fini(&b.world);
    }
}
