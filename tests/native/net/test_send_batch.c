/*
 * Batches of sends over real sockets: the same bytes and the same callbacks as by system calls of
 * their own, in fewer calls where the kernel has a ring.
 */
#include "support/net_world.h"

#include "net/send_batch.h"

#include <sys/socket.h>
#include <unistd.h>

#define COUNT 100
#define KIB 1024u

typedef struct bench {
    world world;
    owner owners[COUNT];
    int peers[COUNT];
} bench;

static void set_up(bench *self, bool batches) {
    MB_CHECK(world_init(&self->world, 0));
    if (batches) {
        mb_net_batch_sends(&self->world.net);
    }
    for (int i = 0; i < COUNT; i++) {
        int ends[2];
        MB_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
        owner *one = &self->owners[i];
        owner_init(one, &self->world);
        mb_transport *transport = mb_plain_transport_new(self->world.net.allocator, ends[0]);
        one->conn = mb_conn_new(&self->world.net, transport, ends[0], NULL, &owner_events, one);
        MB_CHECK(one->conn != NULL);
        self->peers[i] = ends[1];
    }
}

static void tear_down(bench *self) {
    for (int i = 0; i < COUNT; i++) {
        owner_fini(&self->owners[i]);
        close(self->peers[i]);
    }
    world_fini(&self->world);
}

/* Batches made since the start; as many as wanted where there is no ring. */
static uint64_t batches_of(const bench *self, uint64_t wanted) {
    return self->world.net.sends != NULL ? self->world.net.sends->batches : wanted;
}

static size_t take(int peer, char *into, size_t room) {
    ssize_t count = recv(peer, into, room, 0);
    return count > 0 ? (size_t)count : 0;
}

static void answers_of_a_turn(bool batches) {
    bench b;
    set_up(&b, batches);
    for (size_t i = 0; i < COUNT; i++) {
        owner_send_pattern(&b.owners[i], 1 + i * 150); /* the last ones are 15 KiB */
    }
    world_turn(&b.world);
    for (size_t i = 0; i < COUNT; i++) {
        char got[16 * KIB];
        MB_CHECK_EQ_INT(take(b.peers[i], got, sizeof(got)), 1 + i * 150);
        check_pattern(got, 1 + i * 150);
        MB_CHECK_EQ_INT(b.owners[i].conn->bytes_written, 1 + i * 150);
        CHECK_LOG(&b.owners[i], "");
    }
    MB_CHECK_EQ_INT(batches_of(&b, 2), batches || b.world.net.sends == NULL ? 2 : 0);
    tear_down(&b);
}

MB_TEST(answers_of_a_turn_go_out_together) {
    answers_of_a_turn(true);
}

MB_TEST(without_batches_all_is_sent_too) {
    answers_of_a_turn(false);
}

MB_TEST(one_alone_is_no_batch) {
    bench b;
    set_up(&b, true);
    owner_send(&b.owners[0], "abc", 3);
    world_turn(&b.world);
    char got[8];
    MB_CHECK_EQ_INT(take(b.peers[0], got, sizeof(got)), 3);
    MB_CHECK_EQ_INT(batches_of(&b, 0), 0);
    tear_down(&b);
}

MB_TEST(full_socket_waits_for_room_and_loses_nothing) {
    bench b;
    set_up(&b, true);
    size_t sent = 0, seen = 0;
    mb_buffer *out = &b.owners[0].conn->out;
    while (out->length == 0) { /* until the socket takes no more */
        owner_send(&b.owners[1], "abc", 3);
        char bytes[8 * KIB];
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = pattern_byte(sent + i);
        }
        owner_send(&b.owners[0], bytes, sizeof(bytes));
        sent += sizeof(bytes);
        world_turn(&b.world);
    }
    while (seen < sent) {
        char got[4 * KIB];
        size_t count = take(b.peers[0], got, sizeof(got));
        for (size_t i = 0; i < count; i++) {
            MB_CHECK_EQ_INT(got[i], pattern_byte(seen + i));
        }
        seen += count;
        world_turn(&b.world);
    }
    CHECK_LOG(&b.owners[0], "");
    tear_down(&b);
}

MB_TEST(end_and_close_come_behind_what_a_batch_sends) {
    bench b;
    set_up(&b, true);
    owner_send(&b.owners[0], "abc", 3);
    mb_conn_end_write(b.owners[0].conn);
    owner_send(&b.owners[1], "def", 3);
    mb_conn_close(b.owners[1].conn, MB_CLOSE_FLUSH, 0);
    close(b.peers[2]);
    owner_send(&b.owners[2], "ghi", 3); /* EPIPE */
    b.peers[2] = -1;
    world_turn(&b.world);
    char got[8];
    MB_CHECK_EQ_INT(take(b.peers[0], got, sizeof(got)), 3);
    MB_CHECK_EQ_INT(recv(b.peers[0], got, sizeof(got), 0), 0);
    MB_CHECK_EQ_INT(take(b.peers[1], got, sizeof(got)), 3);
    MB_CHECK_EQ_INT(recv(b.peers[1], got, sizeof(got), 0), 0);
    CHECK_LOG(&b.owners[0], "");
    CHECK_LOG(&b.owners[1], "close:0 ");
    world_turn_until(&b.world, &b.owners[2].closed);
    CHECK_LOG(&b.owners[2], "close:2 ");
    MB_CHECK_EQ_INT(batches_of(&b, 1), 1);
    tear_down(&b);
}
