/*
 * Connections over real loopback sockets: connecting and its failures, reset, half-close, and
 * what the kernel's events look like to a connection.
 */
#include "support/net_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS 1000u
#define KIB 1024u

/* A client connection of ours to `peer`, a blocking socket that the test drives. */
typedef struct bench {
    world world;
    owner owner;
    mb_conn *conn;
    int peer;
} bench;

static int listen_on_loopback(mb_address *address) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    MB_CHECK(fd >= 0);
    MB_CHECK_EQ_INT(mb_address_parse(MB_SLICE_LIT("127.0.0.1"), 0, address), MB_OK);
    MB_CHECK(bind(fd, &address->sa, address->length) == 0);
    MB_CHECK(listen(fd, 16) == 0);
    MB_CHECK(getsockname(fd, &address->sa, &address->length) == 0);
    return fd;
}

static mb_conn *connect_to(world *w, const mb_address *remote, const mb_address *local,
                           uint64_t timeout_us, owner *o) {
    const mb_connect_options options = {.remote = remote, .local = local, .timeout_us = timeout_us};
    return mb_conn_connect(&w->net, &options, &owner_events, o);
}

static void set_up(bench *self) {
    MB_CHECK(world_init(&self->world, 0));
    owner_init(&self->owner, &self->world);
    mb_address address;
    int listening = listen_on_loopback(&address);
    self->conn = self->owner.conn =
        connect_to(&self->world, &address, NULL, 5000 * MS, &self->owner);
    MB_CHECK(self->conn != NULL);
    CHECK_LOG(&self->owner, "");
    self->peer = accept(listening, NULL, NULL);
    MB_CHECK(self->peer >= 0);
    close(listening);
    world_turn_until(&self->world, &self->owner.connected);
    CHECK_LOG(&self->owner, "connected ");
}

static void tear_down(bench *self) {
    owner_fini(&self->owner);
    if (self->peer >= 0) {
        close(self->peer);
    }
    world_fini(&self->world);
}

static void peer_send(bench *self, const char *text) {
    MB_CHECK_EQ_INT(send(self->peer, text, strlen(text), 0), strlen(text));
}

static void peer_reset(bench *self) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    MB_CHECK(setsockopt(self->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) == 0);
    close(self->peer);
    self->peer = -1;
}

MB_TEST(bytes_go_both_ways) {
    bench b;
    set_up(&b);
    owner_send(&b.owner, "hello", 5);
    world_turn(&b.world);
    char got[16];
    MB_CHECK_EQ_INT(recv(b.peer, got, 5, MSG_WAITALL), 5);
    MB_CHECK_EQ_LIT(((mb_slice){got, 5}), "hello");
    peer_send(&b, "world");
    world_turn_until(&b.world, &b.owner.data);
    MB_CHECK_EQ_LIT(((mb_slice){b.owner.bytes, b.owner.length}), "world");
    MB_CHECK_EQ_INT(ntohs(b.conn->local.in.sin_port) != 0, true);
    tear_down(&b);
}

MB_TEST(what_is_queued_before_connecting_goes_out_then) {
    bench b;
    MB_CHECK(world_init(&b.world, 0));
    owner_init(&b.owner, &b.world);
    mb_address address;
    int listening = listen_on_loopback(&address);
    b.conn = b.owner.conn = connect_to(&b.world, &address, NULL, 0, &b.owner);
    owner_send(&b.owner, "early", 5);
    b.peer = accept(listening, NULL, NULL);
    close(listening);
    world_turn_until(&b.world, &b.owner.connected);
    world_turn(&b.world);
    char got[16];
    MB_CHECK_EQ_INT(recv(b.peer, got, 5, MSG_WAITALL), 5);
    tear_down(&b);
}

MB_TEST(refused_connect_is_told_with_its_errno) {
    world w;
    owner o;
    MB_CHECK(world_init(&w, 0));
    owner_init(&o, &w);
    mb_address address;
    close(listen_on_loopback(&address)); /* a port that nobody has */
    o.conn = connect_to(&w, &address, NULL, 5000 * MS, &o);
    CHECK_LOG(&o, "");
    world_turn_until(&w, &o.closed);
    CHECK_LOG(&o, "close:3 ");
    MB_CHECK_EQ_INT(o.error, ECONNREFUSED);
    MB_CHECK_EQ_INT(w.net.connects_failed, 1);
    owner_fini(&o);
    world_fini(&w);
}

MB_TEST(connect_that_can_not_start_is_told_later_too) {
    world w;
    owner o;
    MB_CHECK(world_init(&w, 0));
    owner_init(&o, &w);
    mb_address address;
    MB_CHECK_EQ_INT(mb_address_unix(MB_SLICE_LIT("/nonexistent/socket"), &address), MB_OK);
    o.conn = connect_to(&w, &address, NULL, 5000 * MS, &o);
    MB_CHECK(o.conn != NULL);
    owner_send(&o, "abc", 3);
    CHECK_LOG(&o, "");
    world_turn(&w);
    CHECK_LOG(&o, "close:3 ");
    MB_CHECK_EQ_INT(o.error, ENOENT);
    owner_fini(&o);
    world_fini(&w);
}

MB_TEST(closing_a_connect_that_can_not_start_is_one_close) {
    for (int kind = MB_CLOSE_NOW; kind <= MB_CLOSE_FLUSH_LINGER; kind++) {
        world w;
        owner o;
        MB_CHECK(world_init(&w, 0));
        owner_init(&o, &w);
        mb_address address;
        MB_CHECK_EQ_INT(mb_address_unix(MB_SLICE_LIT("/nonexistent/socket"), &address), MB_OK);
        o.conn = connect_to(&w, &address, NULL, 5000 * MS, &o);
        mb_conn_close(o.conn, kind, 10);
        world_turn(&w);
        CHECK_LOG(&o, "close:0 ");
        owner_fini(&o);
        world_fini(&w);
    }
}

/* A connect that hangs: the queue of the listener is full, so that the SYN is dropped. */
static int hanging_listener(mb_address *address, int *filler, int count) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    mb_address_parse(MB_SLICE_LIT("127.0.0.1"), 0, address);
    MB_CHECK(bind(fd, &address->sa, address->length) == 0);
    MB_CHECK(listen(fd, 0) == 0);
    MB_CHECK(getsockname(fd, &address->sa, &address->length) == 0);
    for (int i = 0; i < count; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(filler[i], &address->sa, address->length);
    }
    return fd;
}

MB_TEST(connect_that_hangs_times_out) {
    world w;
    owner o;
    MB_CHECK(world_init(&w, 0));
    owner_init(&o, &w);
    mb_address address;
    int filler[8];
    int listening = hanging_listener(&address, filler, 8);
    o.conn = connect_to(&w, &address, NULL, 250 * MS, &o);
    world_advance_us(&w, 249 * MS);
    CHECK_LOG(&o, "");
    world_advance_us(&w, 2 * MS);
    CHECK_LOG(&o, "close:4 ");
    MB_CHECK_EQ_INT(o.error, ETIMEDOUT);
    for (int i = 0; i < 8; i++) {
        close(filler[i]);
    }
    close(listening);
    owner_fini(&o);
    world_fini(&w);
}

MB_TEST(connect_timeout_ends_with_the_connect) {
    bench b;
    set_up(&b);
    world_advance_us(&b.world, 60000 * MS);
    CHECK_LOG(&b.owner, "");
    tear_down(&b);
}

MB_TEST(connecting_binds_to_the_local_address) {
    world w;
    owner o;
    MB_CHECK(world_init(&w, 0));
    owner_init(&o, &w);
    mb_address address, local;
    int listening = listen_on_loopback(&address);
    mb_address_parse(MB_SLICE_LIT("127.0.0.9"), 0, &local);
    o.conn = connect_to(&w, &address, &local, 5000 * MS, &o);
    world_turn_until(&w, &o.connected);
    char text[MB_ADDRESS_TEXT_BYTES];
    MB_CHECK_EQ_LIT(((mb_slice){text, mb_address_host_text(&o.conn->local, text)}), "127.0.0.9");
    owner_fini(&o);
    close(listening);
    world_fini(&w);
}

MB_TEST(reset_of_the_peer_is_told_after_what_it_sent) {
    bench b;
    set_up(&b);
    peer_send(&b, "last words");
    peer_reset(&b);
    world_turn_until(&b.world, &b.owner.closed);
    CHECK_LOG(&b.owner, "data:10 close:2 ");
    tear_down(&b);
}

MB_TEST(reset_closes_a_connection_that_detects_it_while_reading_is_disabled) {
    bench b;
    set_up(&b);
    mb_conn_set_detect_reset(b.conn, true);
    mb_conn_read_disable(b.conn);
    peer_send(&b, "unread");
    peer_reset(&b);
    world_turn_until(&b.world, &b.owner.closed);
    CHECK_LOG(&b.owner, "close:2 ");
    tear_down(&b);
}

MB_TEST(peer_s_half_close_is_an_end_and_the_answer_still_goes_out) {
    bench b;
    set_up(&b);
    peer_send(&b, "request");
    MB_CHECK(shutdown(b.peer, SHUT_WR) == 0);
    world_turn_until(&b.world, &b.owner.ended);
    CHECK_LOG(&b.owner, "data:7 end ");
    owner_send(&b.owner, "answer", 6);
    mb_conn_close(b.conn, MB_CLOSE_FLUSH, 0);
    world_turn_until(&b.world, &b.owner.closed);
    char got[16];
    MB_CHECK_EQ_INT(recv(b.peer, got, sizeof(got), MSG_WAITALL), 6);
    CHECK_LOG(&b.owner, "close:0 ");
    tear_down(&b);
}

MB_TEST(our_half_close_is_seen_by_the_peer_and_reading_goes_on) {
    bench b;
    set_up(&b);
    owner_send(&b.owner, "request", 7);
    mb_conn_end_write(b.conn);
    world_turn(&b.world);
    char got[16];
    MB_CHECK_EQ_INT(recv(b.peer, got, sizeof(got), MSG_WAITALL), 7); /* ends by our FIN */
    peer_send(&b, "answer");
    world_turn_until(&b.world, &b.owner.data);
    close(b.peer);
    b.peer = -1;
    world_turn_until(&b.world, &b.owner.ended);
    CHECK_LOG(&b.owner, "data:6 end ");
    tear_down(&b);
}

MB_TEST(reset_behind_the_peer_s_half_close_is_told) {
    bench b;
    set_up(&b);
    MB_CHECK(shutdown(b.peer, SHUT_WR) == 0);
    world_turn_until(&b.world, &b.owner.ended);
    peer_reset(&b);
    world_turn_until(&b.world, &b.owner.closed);
    CHECK_LOG(&b.owner, "end close:2 ");
    tear_down(&b);
}

MB_TEST(close_with_reset_is_a_reset_at_the_peer) {
    bench b;
    set_up(&b);
    mb_conn_close(b.conn, MB_CLOSE_RESET, 0);
    char got[16];
    MB_CHECK(recv(b.peer, got, sizeof(got), 0) == -1 && errno == ECONNRESET);
    tear_down(&b);
}

MB_TEST(linger_delivers_the_answer_to_a_peer_that_still_sends) {
    bench b;
    set_up(&b);
    peer_send(&b, "unread bytes would make a plain close a reset");
    owner_send(&b.owner, "413", 3);
    mb_conn_close(b.conn, MB_CLOSE_FLUSH_LINGER, 1000 * MS);
    world_turn(&b.world);
    world_turn(&b.world);
    peer_send(&b, "more");
    char got[16];
    MB_CHECK_EQ_INT(recv(b.peer, got, sizeof(got), MSG_WAITALL), 3);
    CHECK_LOG(&b.owner, "");
    close(b.peer);
    b.peer = -1;
    world_turn_until(&b.world, &b.owner.closed);
    CHECK_LOG(&b.owner, "close:0 ");
    tear_down(&b);
}

MB_TEST(failed_write_leaves_the_early_answer_readable) {
    bench b;
    set_up(&b);
    mb_conn_read_disable(b.conn); /* back-pressure, while the peer answers and goes */
    peer_send(&b, "413 and gone");
    peer_reset(&b);
    for (int i = 0; i < 3; i++) {
        owner_send(&b.owner, "more", 4);
        world_turn(&b.world);
    }
    CHECK_LOG(&b.owner, "");
    mb_conn_read_enable(b.conn);
    world_turn_until(&b.world, &b.owner.closed);
    CHECK_LOG(&b.owner, "data:12 close:2 ");
    tear_down(&b);
}

MB_TEST(closed_connection_that_a_child_still_holds_gets_no_event) {
    bench b;
    set_up(&b);
    int copy = dup(b.conn->io.fd); /* as in a child between fork and exec */
    mb_conn_free(b.conn);
    b.owner.conn = NULL;
    world_turn(&b.world);
    peer_send(&b, "to nobody");
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "");
    close(copy);
    tear_down(&b);
}

static void stop_when_all(owner *self, mb_conn *conn) {
    (void)conn;
    self->data = self->length >= 4096 * KIB;
}

/* The other side of our own connection: 4 MiB through real sockets, blocked again and again. */
MB_TEST(large_transfer_through_blocked_sockets_arrives_whole) {
    bench b;
    set_up(&b);
    owner reader;
    owner_init(&reader, &b.world);
    int fd = dup(b.peer);
    MB_CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    mb_transport *transport = mb_plain_transport_new(&b.world.memory->allocator, fd);
    mb_address none = {0};
    reader.on_data = stop_when_all;
    reader.conn = mb_conn_new(&b.world.net, transport, fd, &none, &owner_events, &reader);
    mb_conn_set_watermark(b.conn, 64 * KIB);
    owner_send_pattern(&b.owner, 4096 * KIB);
    world_turn_until(&b.world, &reader.data);
    MB_CHECK_EQ_INT(reader.length, 4096 * KIB);
    check_pattern(reader.bytes, reader.length);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "high low ");
    owner_fini(&reader);
    tear_down(&b);
}

MB_TEST(nth_allocation_failing_while_connecting_leaks_nothing) {
    mb_address address;
    int listening = listen_on_loopback(&address);
    bool done = false;
    for (size_t n = 1; !done; n++) {
        world w;
        owner o;
        bool made = world_init(&w, n);
        owner_init(&o, &w);
        if (made) {
            o.conn = connect_to(&w, &address, NULL, 0, &o);
            done = o.conn != NULL;
        }
        owner_fini(&o);
        world_fini(&w);
    }
    close(listening);
}
