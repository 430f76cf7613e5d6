/*
 * Descriptors of others in the core's poller: what an event loop on top (asyncio's) relies on.
 */
#define _GNU_SOURCE /* pipe2 */

#include "mbtest.h"

#include <fcntl.h>
#include <moebridge/core.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct scene {
    mbtest_alloc *memory;
    mb_server *server;
    int near, far; /* a pair of sockets; -1: closed */
} scene;

static bool scene_init(scene *self, size_t fail_at) {
    int pair[2];
    self->memory = mbtest_failing_alloc(fail_at);
    mb_server_options options = {.struct_size = sizeof(options),
                                 .allocator = &self->memory->allocator};
    if (mb_server_new(&options, &self->server) != MB_OK) {
        mbtest_alloc_free(self->memory);
        return false;
    }
    MB_CHECK_EQ_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    self->near = pair[0];
    self->far = pair[1];
    return true;
}

static void scene_fini(scene *self) {
    mb_server_free(self->server);
    mbtest_alloc_free(self->memory);
    close(self->near);
    if (self->far >= 0) {
        close(self->far);
    }
}

/* One turn; the events of `near`, -1 when it isn't ready. */
static int turn(scene *self) {
    mb_ready ready[4];
    int bits = mb_server_run(self->server, 0);
    MB_CHECK(bits >= 0);
    size_t count = mb_server_ready(self->server, ready, 4);
    MB_CHECK(count <= 1);
    MB_CHECK_EQ_INT((bits & MB_RUN_READY) != 0, count > 0);
    if (count == 0) {
        return -1;
    }
    MB_CHECK_EQ_INT(ready[0].fd, self->near);
    return (int)ready[0].events;
}

static void watch(scene *self, uint32_t events) {
    MB_CHECK_EQ_INT(mb_server_watch(self->server, self->near, events), MB_OK);
}

MB_TEST(a_descriptor_is_told_as_long_as_it_is_ready) {
    scene self;
    char byte;
    MB_CHECK(scene_init(&self, 0));
    watch(&self, MB_READY_READ);
    MB_CHECK_EQ_INT(turn(&self), -1);
    MB_CHECK_EQ_INT(write(self.far, "x", 1), 1);
    MB_CHECK_EQ_INT(turn(&self), MB_READY_READ);
    MB_CHECK_EQ_INT(turn(&self), MB_READY_READ);
    MB_CHECK_EQ_INT(read(self.near, &byte, 1), 1);
    MB_CHECK_EQ_INT(turn(&self), -1);
    scene_fini(&self);
}

MB_TEST(a_descriptor_that_was_not_taken_is_told_once) {
    scene self;
    mb_ready ready[4];
    MB_CHECK(scene_init(&self, 0));
    watch(&self, MB_READY_READ | MB_READY_WRITE);
    MB_CHECK_EQ_INT(write(self.far, "x", 1), 1);
    MB_CHECK((mb_server_run(self.server, 0) & MB_RUN_READY) != 0);
    MB_CHECK((mb_server_run(self.server, 0) & MB_RUN_READY) != 0);
    MB_CHECK_EQ_INT(mb_server_ready(self.server, ready, 4), 1);
    MB_CHECK_EQ_INT(ready[0].events, MB_READY_READ | MB_READY_WRITE);
    MB_CHECK_EQ_INT(mb_server_ready(self.server, ready, 4), 0);
    scene_fini(&self);
}

MB_TEST(interest_may_be_changed_and_ended) {
    scene self;
    MB_CHECK(scene_init(&self, 0));
    watch(&self, MB_READY_WRITE);
    MB_CHECK_EQ_INT(turn(&self), MB_READY_WRITE);
    watch(&self, MB_READY_READ);
    MB_CHECK_EQ_INT(turn(&self), -1);
    MB_CHECK_EQ_INT(write(self.far, "x", 1), 1);
    MB_CHECK_EQ_INT(turn(&self), MB_READY_READ);
    watch(&self, 0);
    MB_CHECK_EQ_INT(turn(&self), -1);
    MB_CHECK_EQ_INT(mb_server_watch(self.server, self.near, 0), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_server_watch(self.server, 123456, 0), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_server_watch(self.server, -1, MB_READY_READ), MB_EINVAL);
    scene_fini(&self);
}

MB_TEST(what_is_no_longer_watched_is_not_told) {
    scene self;
    mb_ready ready[4];
    MB_CHECK(scene_init(&self, 0));
    watch(&self, MB_READY_READ);
    MB_CHECK_EQ_INT(write(self.far, "x", 1), 1);
    MB_CHECK((mb_server_run(self.server, 0) & MB_RUN_READY) != 0);
    watch(&self, 0);
    MB_CHECK_EQ_INT(mb_server_ready(self.server, ready, 4), 0);
    MB_CHECK_EQ_INT(mb_server_run(self.server, 0), MB_RUN_TIMEOUT);
    scene_fini(&self);
}

MB_TEST(the_end_of_the_other_side_is_readable) {
    scene self;
    MB_CHECK(scene_init(&self, 0));
    watch(&self, MB_READY_READ);
    close(self.far);
    self.far = -1;
    MB_CHECK((turn(&self) & MB_READY_READ) != 0); /* and writable, for who writes finds it out */
    scene_fini(&self);
}

MB_TEST(many_ready_descriptors_come_in_parts) {
    enum { PIPES = 200 };
    scene self;
    int pipes[PIPES][2];
    bool seen[4096] = {false};
    MB_CHECK(scene_init(&self, 0));
    for (int i = 0; i < PIPES; i++) {
        MB_CHECK_EQ_INT(pipe2(pipes[i], O_CLOEXEC | O_NONBLOCK), 0);
        MB_CHECK_EQ_INT(mb_server_watch(self.server, pipes[i][0], MB_READY_READ), MB_OK);
        MB_CHECK_EQ_INT(write(pipes[i][1], "x", 1), 1);
    }
    size_t found = 0;
    for (int turns = 0; found < PIPES; turns++) {
        mb_ready ready[7];
        size_t count;
        MB_CHECK(turns < 100);
        MB_CHECK((mb_server_run(self.server, 0) & MB_RUN_READY) != 0);
        while ((count = mb_server_ready(self.server, ready, 7)) > 0) {
            for (size_t i = 0; i < count; i++) {
                char byte;
                MB_CHECK(!seen[ready[i].fd]);
                seen[ready[i].fd] = true;
                MB_CHECK_EQ_INT(read(ready[i].fd, &byte, 1), 1);
                found++;
            }
        }
    }
    MB_CHECK_EQ_INT(turn(&self), -1);
    for (int i = 0; i < PIPES; i++) {
        MB_CHECK_EQ_INT(mb_server_watch(self.server, pipes[i][0], 0), MB_OK);
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    scene_fini(&self);
}

/* asyncio unregisters, closes, and the kernel gives the number to somebody else. */
MB_TEST(a_number_may_be_used_again) {
    scene self;
    MB_CHECK(scene_init(&self, 0));
    watch(&self, MB_READY_READ);
    watch(&self, 0);
    int number = self.near;
    close(self.near);
    close(self.far);
    int pair[2];
    MB_CHECK_EQ_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    self.near = pair[0] == number ? pair[0] : pair[1];
    self.far = pair[0] == number ? pair[1] : pair[0];
    MB_CHECK_EQ_INT(self.near, number);
    watch(&self, MB_READY_READ);
    MB_CHECK_EQ_INT(write(self.far, "x", 1), 1);
    MB_CHECK_EQ_INT(turn(&self), MB_READY_READ);
    scene_fini(&self);
}

MB_TEST(a_closed_descriptor_is_refused) {
    scene self;
    MB_CHECK(scene_init(&self, 0));
    int number = dup(self.near);
    close(number);
    MB_CHECK_EQ_INT(mb_server_watch(self.server, number, MB_READY_READ), MB_EIO);
    scene_fini(&self);
}

MB_TEST(any_allocation_may_fail) {
    for (size_t n = 1, more = 1; more; n++) {
        scene self;
        if (!scene_init(&self, n)) {
            continue;
        }
        int result = mb_server_watch(self.server, self.near, MB_READY_READ);
        MB_CHECK(result == MB_OK || result == MB_ENOMEM);
        MB_CHECK_EQ_INT(write(self.far, "x", 1), 1);
        MB_CHECK_EQ_INT(turn(&self), result == MB_OK ? MB_READY_READ : -1);
        more = self.memory->requests >= n;
        scene_fini(&self);
    }
}
