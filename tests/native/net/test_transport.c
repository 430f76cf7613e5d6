/*
 * The two transports by themselves: what plain.c promises over a socket pair and memory.c in
 * memory: partial results of every length, many pieces, the ends.
 */
#include "net/transport.h"

#include "mbtest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct ends {
    mbtest_alloc *memory;
    mb_slab_pool *pool;
    mb_transport *a, *b;
    mb_buffer out;
} ends;

static void set_up_common(ends *self) {
    self->memory = mbtest_failing_alloc(0);
    self->pool = mb_slab_pool_new(&self->memory->allocator);
    mb_buffer_init(&self->out, self->pool);
}

static void set_up_memory(ends *self, size_t capacity) {
    set_up_common(self);
    const mb_allocator *allocator = &self->memory->allocator;
    MB_CHECK_EQ_INT(mb_memory_transport_pair(allocator, capacity, &self->a, &self->b), MB_OK);
}

static void set_up_plain(ends *self) {
    set_up_common(self);
    int fds[2];
    MB_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    self->a = mb_plain_transport_new(&self->memory->allocator, fds[0]);
    self->b = mb_plain_transport_new(&self->memory->allocator, fds[1]);
}

static void tear_down(ends *self) {
    mb_buffer_fini(&self->out);
    self->a->vtable->free(self->a);
    self->b->vtable->free(self->b);
    mb_slab_pool_free(self->pool);
    mbtest_alloc_free(self->memory);
}

static void queue(ends *self, const char *bytes, size_t length) {
    MB_CHECK_EQ_INT(mb_buffer_append(&self->out, (mb_slice){bytes, length}), MB_OK);
}

static int64_t write_a(ends *self) {
    return self->a->vtable->write(self->a, &self->out);
}

static int64_t read_b(ends *self, char *at, size_t room) {
    return self->b->vtable->read(self->b, at, room);
}

static void check_talk(ends *self) {
    char got[64];
    MB_CHECK_EQ_INT(read_b(self, got, sizeof(got)), MB_EAGAIN);
    queue(self, "hello ", 6);
    MB_CHECK_EQ_INT(mb_buffer_append_static(&self->out, MB_SLICE_LIT("world")), MB_OK);
    MB_CHECK_EQ_INT(write_a(self), 11);
    MB_CHECK_EQ_INT(self->out.length, 0);
    MB_CHECK_EQ_INT(read_b(self, got, 4), 4);
    MB_CHECK_EQ_INT(read_b(self, got + 4, sizeof(got) - 4), 7);
    MB_CHECK_EQ_LIT(((mb_slice){got, 11}), "hello world");
    MB_CHECK_EQ_INT(write_a(self), 0); /* nothing is queued */
}

static void check_half_close(ends *self) {
    char got[8];
    queue(self, "bye", 3);
    MB_CHECK_EQ_INT(write_a(self), 3);
    self->a->vtable->shut_write(self->a);
    MB_CHECK_EQ_INT(read_b(self, got, sizeof(got)), 3);
    MB_CHECK_EQ_INT(read_b(self, got, sizeof(got)), 0);
    MB_CHECK_EQ_INT(read_b(self, got, sizeof(got)), 0);
    queue(self, "x", 1);
    MB_CHECK_EQ_INT(write_a(self), MB_EIO);
    MB_CHECK_EQ_INT(errno, EPIPE);
    mb_buffer_clear(&self->out);
    queue(self, "back", 4);
    MB_CHECK_EQ_INT(self->b->vtable->write(self->b, &self->out), 4);
    MB_CHECK_EQ_INT(self->a->vtable->read(self->a, got, sizeof(got)), 4);
}

static void check_write_to_closed(ends *self) {
    self->b->vtable->close(self->b, false);
    self->b->vtable->close(self->b, false);
    queue(self, "x", 1);
    MB_CHECK_EQ_INT(write_a(self), MB_EIO);
    MB_CHECK_EQ_INT(errno, EPIPE);
}

MB_TEST(memory_talks_half_closes_and_closes) {
    ends e;
    set_up_memory(&e, 100);
    check_talk(&e);
    check_half_close(&e);
    check_write_to_closed(&e);
    tear_down(&e);
}

MB_TEST(plain_talks_half_closes_and_closes) {
    ends e;
    set_up_plain(&e);
    check_talk(&e);
    check_half_close(&e);
    check_write_to_closed(&e);
    tear_down(&e);
}

MB_TEST(memory_of_every_capacity_and_read_length_keeps_the_bytes) {
    for (size_t capacity = 1; capacity <= 20; capacity++) {
        for (size_t room = 1; room <= 20; room++) {
            ends e;
            set_up_memory(&e, capacity);
            char sent[101], got[101];
            for (size_t i = 0; i < 101; i++) {
                sent[i] = (char)i;
            }
            queue(&e, sent, 101);
            size_t have = 0;
            while (have < 101) {
                int64_t written = write_a(&e);
                MB_CHECK(written > 0 || written == MB_EAGAIN || e.out.length == 0);
                size_t ask = room < 101 - have ? room : 101 - have;
                have += (size_t)read_b(&e, got + have, ask);
            }
            MB_CHECK(memcmp(sent, got, 101) == 0);
            tear_down(&e);
        }
    }
}

MB_TEST(memory_full_is_eagain_and_reset_is_an_error) {
    ends e;
    set_up_memory(&e, 4);
    char got[8];
    queue(&e, "abcdef", 6);
    MB_CHECK_EQ_INT(write_a(&e), 4);
    MB_CHECK_EQ_INT(write_a(&e), MB_EAGAIN);
    e.a->vtable->close(e.a, true);
    MB_CHECK_EQ_INT(read_b(&e, got, sizeof(got)), MB_EIO);
    MB_CHECK_EQ_INT(errno, ECONNRESET);
    tear_down(&e);
}

MB_TEST(memory_closed_with_unread_bytes_resets_as_a_socket_does) {
    ends e;
    set_up_memory(&e, 4);
    char got[8];
    queue(&e, "abc", 3);
    MB_CHECK_EQ_INT(write_a(&e), 3);
    e.b->vtable->close(e.b, false);
    MB_CHECK_EQ_INT(e.a->vtable->read(e.a, got, sizeof(got)), MB_EIO);
    tear_down(&e);
}

MB_TEST(plain_sends_many_pieces_in_one_write) {
    ends e;
    set_up_plain(&e);
    enum { PIECES = 150 };
    for (int i = 0; i < PIECES; i++) { /* constants do not grow together */
        MB_CHECK_EQ_INT(mb_buffer_append_static(&e.out, MB_SLICE_LIT("piece ")), MB_OK);
    }
    MB_CHECK_EQ_INT(write_a(&e), PIECES * 6);
    char got[PIECES * 6 + 1];
    size_t have = 0;
    int64_t count;
    while ((count = read_b(&e, got + have, sizeof(got) - have)) > 0) {
        have += (size_t)count;
    }
    MB_CHECK_EQ_INT(have, PIECES * 6);
    tear_down(&e);
}

MB_TEST(plain_full_socket_takes_a_part_and_then_eagain) {
    ends e;
    set_up_plain(&e);
    size_t length = 4u << 20;
    char *bytes = calloc(1, length);
    queue(&e, bytes, length);
    int64_t written = write_a(&e);
    MB_CHECK(written > 0 && written < (int64_t)length);
    MB_CHECK_EQ_INT(e.out.length, length - (size_t)written);
    MB_CHECK_EQ_INT(write_a(&e), MB_EAGAIN);
    free(bytes);
    tear_down(&e);
}

MB_TEST(transport_without_memory_is_refused_and_closes_its_descriptor) {
    mbtest_alloc *memory = mbtest_failing_alloc(1);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    MB_CHECK(mb_plain_transport_new(&memory->allocator, fd) == NULL);
    MB_CHECK(fcntl(fd, F_GETFD) == -1 && errno == EBADF);
    mbtest_alloc_free(memory);
    memory = mbtest_failing_alloc(1);
    mb_transport *a = NULL;
    mb_transport *b = NULL;
    MB_CHECK_EQ_INT(mb_memory_transport_pair(&memory->allocator, 1, &a, &b), MB_ENOMEM);
    MB_CHECK(a == NULL && b == NULL);
    mbtest_alloc_free(memory);
}
