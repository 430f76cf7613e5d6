#define _GNU_SOURCE /* pipe2 */
/*
 * The epoll poller with real pipes and socket pairs: edges, levels, and what removal promises.
 */
#include "event/poller.h"

#include "mbtest.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define NO_LIMIT UINT64_MAX

typedef struct watched {
    mb_io io;
    mb_poller *poller;
    uint32_t events; /* of the last delivery */
    int calls;
    struct watched *remove_also; /* and put itself in its place, if `reuse` */
    bool reuse;
    int peer;
} watched;

static void on_ready(mb_io *io, uint32_t events) {
    watched *self = (watched *)io;
    self->events = events;
    self->calls++;
    watched *other = self->remove_also;
    if (other == NULL) {
        return;
    }
    self->remove_also = NULL;
    self->poller->vtable->remove(self->poller, &other->io);
    if (other->reuse) { /* the number comes back at once, with nothing to read */
        close(other->io.fd);
        int ends[2];
        MB_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
        MB_CHECK_EQ_INT(ends[0], other->io.fd);
        close(other->peer);
        other->peer = ends[1];
        MB_CHECK_EQ_INT(self->poller->vtable->add_level(self->poller, &other->io, MB_IO_READ), 0);
    }
}

static void pair_open(watched *self, mb_poller *poller) {
    int ends[2];
    MB_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    *self = (watched){.io = {.fd = ends[0], .on_ready = on_ready}, .poller = poller};
    self->peer = ends[1];
}

static void pair_close(watched *self) {
    close(self->io.fd);
    close(self->peer);
}

static mb_poller *poller_new(mbtest_alloc **memory) {
    *memory = mbtest_failing_alloc(0);
    mb_poller *poller = mb_epoll_new(&(*memory)->allocator);
    MB_CHECK(poller != NULL);
    return poller;
}

static void poller_free(mb_poller *poller, mbtest_alloc *memory) {
    poller->vtable->free(poller);
    mbtest_alloc_free(memory);
}

static int wait_now(mb_poller *poller) {
    return poller->vtable->wait(poller, 0);
}

MB_TEST(edge_comes_once_for_bytes_and_again_for_more) {
    mbtest_alloc *memory;
    mb_poller *poller = poller_new(&memory);
    watched one;
    pair_open(&one, poller);
    MB_CHECK_EQ_INT(poller->vtable->add_edge(poller, &one.io), MB_OK);
    MB_CHECK_EQ_INT(wait_now(poller), 1);
    MB_CHECK_EQ_INT(one.events, MB_IO_WRITE);
    MB_CHECK_EQ_INT(write(one.peer, "a", 1), 1);
    MB_CHECK_EQ_INT(poller->vtable->wait(poller, NO_LIMIT), 1);
    MB_CHECK(one.events & MB_IO_READ);
    MB_CHECK(!(one.events & (MB_IO_HANGUP | MB_IO_ERROR)));
    MB_CHECK_EQ_INT(wait_now(poller), 0);
    MB_CHECK_EQ_INT(write(one.peer, "b", 1), 1);
    MB_CHECK_EQ_INT(wait_now(poller), 1);
    pair_close(&one);
    poller_free(poller, memory);
}

MB_TEST(half_close_of_the_peer_is_a_hangup_that_can_be_read) {
    mbtest_alloc *memory;
    mb_poller *poller = poller_new(&memory);
    watched one;
    pair_open(&one, poller);
    MB_CHECK_EQ_INT(poller->vtable->add_edge(poller, &one.io), MB_OK);
    MB_CHECK_EQ_INT(wait_now(poller), 1);
    MB_CHECK(shutdown(one.peer, SHUT_WR) == 0);
    MB_CHECK_EQ_INT(wait_now(poller), 1);
    MB_CHECK((one.events & (MB_IO_HANGUP | MB_IO_READ)) == (MB_IO_HANGUP | MB_IO_READ));
    MB_CHECK(!(one.events & MB_IO_ERROR));
    pair_close(&one);
    poller_free(poller, memory);
}

MB_TEST(level_is_reported_until_it_is_served_and_can_be_modified) {
    mbtest_alloc *memory;
    mb_poller *poller = poller_new(&memory);
    watched one;
    pair_open(&one, poller);
    MB_CHECK_EQ_INT(poller->vtable->add_level(poller, &one.io, MB_IO_READ), MB_OK);
    MB_CHECK_EQ_INT(wait_now(poller), 0);
    MB_CHECK_EQ_INT(write(one.peer, "a", 1), 1);
    MB_CHECK_EQ_INT(wait_now(poller), 1);
    MB_CHECK_EQ_INT(wait_now(poller), 1);
    MB_CHECK_EQ_INT(one.events, MB_IO_READ);
    MB_CHECK_EQ_INT(poller->vtable->modify_level(poller, &one.io, 0), MB_OK);
    MB_CHECK_EQ_INT(wait_now(poller), 0);
    MB_CHECK_EQ_INT(poller->vtable->modify_level(poller, &one.io, MB_IO_READ | MB_IO_WRITE), 0);
    MB_CHECK_EQ_INT(wait_now(poller), 1);
    MB_CHECK_EQ_INT(one.events, MB_IO_READ | MB_IO_WRITE);
    pair_close(&one);
    poller_free(poller, memory);
}

MB_TEST(broken_pipe_wakes_a_writer) {
    mbtest_alloc *memory;
    mb_poller *poller = poller_new(&memory);
    int ends[2];
    MB_CHECK(pipe2(ends, O_NONBLOCK) == 0);
    watched one = {.io = {.fd = ends[1], .on_ready = on_ready}};
    MB_CHECK_EQ_INT(poller->vtable->add_level(poller, &one.io, 0), MB_OK);
    MB_CHECK_EQ_INT(wait_now(poller), 0);
    close(ends[0]);
    MB_CHECK_EQ_INT(wait_now(poller), 1);
    MB_CHECK((one.events & (MB_IO_ERROR | MB_IO_WRITE)) == (MB_IO_ERROR | MB_IO_WRITE));
    close(ends[1]);
    poller_free(poller, memory);
}

/* Both are ready; whichever is delivered first removes the other. */
static void removal_in_the_batch(bool reuse) {
    mbtest_alloc *memory;
    mb_poller *poller = poller_new(&memory);
    watched pair[2];
    for (int i = 0; i < 2; i++) {
        pair_open(&pair[i], poller);
        pair[i].reuse = reuse;
        MB_CHECK_EQ_INT(poller->vtable->add_level(poller, &pair[i].io, MB_IO_READ), MB_OK);
        MB_CHECK_EQ_INT(write(pair[i].peer, "a", 1), 1);
    }
    pair[0].remove_also = &pair[1];
    pair[1].remove_also = &pair[0];
    MB_CHECK_EQ_INT(wait_now(poller), 2);
    MB_CHECK_EQ_INT(pair[0].calls + pair[1].calls, 1);
    MB_CHECK_EQ_INT(wait_now(poller), 1); /* what is left is still reported */
    pair_close(&pair[0]);
    pair_close(&pair[1]);
    poller_free(poller, memory);
}

#define STEPS_WATCHED 6

typedef struct stepped {
    mb_io io;
    int peer;
    unsigned step; /* the last one */
    bool served;
} stepped;

static void take_step(mb_io *io, unsigned step) {
    stepped *self = (stepped *)io;
    MB_CHECK(!self->served);
    MB_CHECK(self->step == 0 || step == self->step + 1);
    self->step = step;
}

static void serve(mb_io *io, uint32_t events) {
    stepped *self = (stepped *)io;
    (void)events;
    self->served = true;
}

MB_TEST(each_event_is_looked_ahead_to_step_by_step) {
    mbtest_alloc *memory;
    mb_poller *poller = poller_new(&memory);
    stepped all[STEPS_WATCHED] = {0};
    for (int i = 0; i < STEPS_WATCHED; i++) {
        int ends[2];
        MB_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
        all[i].io = (mb_io){ends[0], serve, i == STEPS_WATCHED - 1 ? NULL : take_step};
        all[i].peer = ends[1];
        MB_CHECK_EQ_INT(poller->vtable->add_level(poller, &all[i].io, MB_IO_WRITE), MB_OK);
    }
    MB_CHECK_EQ_INT(wait_now(poller), STEPS_WATCHED);
    for (int i = 0; i < STEPS_WATCHED; i++) {
        bool early = i < (int)MB_PREFETCH_STEPS; /* there was nobody to be served meanwhile */
        MB_CHECK(all[i].served);
        if (!early && all[i].io.prefetch != NULL) {
            MB_CHECK_EQ_INT(all[i].step, MB_PREFETCH_STEPS);
        }
        close(all[i].io.fd);
        close(all[i].peer);
    }
    poller_free(poller, memory);
}

MB_TEST(removal_suppresses_what_the_batch_still_holds) {
    removal_in_the_batch(false);
}

MB_TEST(descriptor_number_used_again_gets_no_event_of_its_predecessor) {
    removal_in_the_batch(true);
}

MB_TEST(io_may_remove_itself_in_its_callback) {
    mbtest_alloc *memory;
    mb_poller *poller = poller_new(&memory);
    watched one;
    pair_open(&one, poller);
    one.remove_also = &one;
    MB_CHECK_EQ_INT(poller->vtable->add_level(poller, &one.io, MB_IO_READ), MB_OK);
    MB_CHECK_EQ_INT(write(one.peer, "a", 1), 1);
    MB_CHECK_EQ_INT(wait_now(poller), 1);
    MB_CHECK_EQ_INT(wait_now(poller), 0);
    pair_close(&one);
    poller_free(poller, memory);
}

MB_TEST(removed_descriptor_is_silent_while_a_copy_of_it_is_open) {
    mbtest_alloc *memory;
    mb_poller *poller = poller_new(&memory);
    watched one;
    pair_open(&one, poller);
    MB_CHECK_EQ_INT(poller->vtable->add_edge(poller, &one.io), MB_OK);
    int copy = dup(one.io.fd); /* as a forked child has */
    poller->vtable->remove(poller, &one.io);
    close(one.io.fd);
    MB_CHECK_EQ_INT(write(one.peer, "a", 1), 1);
    MB_CHECK_EQ_INT(wait_now(poller), 0);
    close(copy);
    close(one.peer);
    poller_free(poller, memory);
}

MB_TEST(more_ready_than_a_batch_holds_come_in_the_next_waits) {
    enum { COUNT = 300 };
    mbtest_alloc *memory;
    mb_poller *poller = poller_new(&memory);
    static watched many[COUNT];
    for (int i = 0; i < COUNT; i++) {
        pair_open(&many[i], poller);
        MB_CHECK_EQ_INT(poller->vtable->add_edge(poller, &many[i].io), MB_OK);
    }
    int total = 0;
    for (int count; (count = wait_now(poller)) > 0;) {
        total += count;
    }
    MB_CHECK_EQ_INT(total, COUNT);
    for (int i = 0; i < COUNT; i++) {
        MB_CHECK_EQ_INT(many[i].calls, 1);
        pair_close(&many[i]);
    }
    poller_free(poller, memory);
}

MB_TEST(short_wait_ends_without_an_event) {
    mbtest_alloc *memory;
    mb_poller *poller = poller_new(&memory);
    MB_CHECK_EQ_INT(poller->vtable->wait(poller, 1), 0);
    MB_CHECK_EQ_INT(poller->vtable->wait(poller, 1500), 0);
    poller_free(poller, memory);
}

MB_TEST(bad_descriptor_is_refused) {
    mbtest_alloc *memory;
    mb_poller *poller = poller_new(&memory);
    watched one = {.io = {.fd = -1, .on_ready = on_ready}};
    MB_CHECK_EQ_INT(poller->vtable->add_edge(poller, &one.io), MB_EIO);
    poller_free(poller, memory);
}

MB_TEST(poller_without_memory_is_refused) {
    mbtest_alloc *memory = mbtest_failing_alloc(1);
    MB_CHECK(mb_epoll_new(&memory->allocator) == NULL);
    mbtest_alloc_free(memory);
}
