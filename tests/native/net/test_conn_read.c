/*
 * Reading of a connection over a transport by script: when a drain ends, what the owner may do in
 * on_data, half-close, errors, and how reads adapt to what comes.
 */
#include "support/net_world.h"

#include "net/conn_internal.h"

#include <errno.h>

#define KIB 1024u

typedef struct bench {
    world world;
    scripted transport;
    owner owner;
    mb_conn *conn; /* not NULLed by a close, for looking at it before the turn ends */
} bench;

static void set_up(bench *self) {
    MB_CHECK(world_init(&self->world, 0));
    scripted_init(&self->transport);
    owner_init(&self->owner, &self->world);
    self->conn = mb_conn_new(&self->world.net, &self->transport.transport, -1, NULL, &owner_events,
                             &self->owner);
    MB_CHECK(self->conn != NULL);
    self->owner.conn = self->conn;
}

static void tear_down(bench *self) {
    owner_fini(&self->owner);
    world_fini(&self->world);
    scripted_fini(&self->transport);
}

static void ready(bench *self) {
    mb_conn_ready(self->conn, MB_IO_READ);
}

MB_TEST(short_read_ends_the_drain_without_asking_again) {
    bench b;
    set_up(&b);
    SCRIPT_READS(&b.transport, 5);
    ready(&b);
    CHECK_LOG(&b.owner, "data:5 ");
    MB_CHECK_EQ_INT(b.transport.read_calls, 1);
    check_pattern(b.owner.bytes, b.owner.length);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.transport.read_calls, 1);
    MB_CHECK_EQ_INT(b.conn->bytes_read, 5);
    MB_CHECK_EQ_INT(b.world.net.bytes_read, 5);
    tear_down(&b);
}

MB_TEST(read_that_is_large_but_short_ends_the_drain_too) {
    bench b;
    set_up(&b);
    SCRIPT_READS(&b.transport, 20000);
    ready(&b);
    CHECK_LOG(&b.owner, "data:20000 ");
    MB_CHECK_EQ_INT(b.transport.read_calls, 1);
    tear_down(&b);
}

MB_TEST(hangup_makes_it_read_on_past_a_short_read_until_the_end) {
    bench b;
    set_up(&b);
    SCRIPT_READS(&b.transport, 5, 7, 0);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP);
    CHECK_LOG(&b.owner, "data:5 data:7 end ");
    MB_CHECK(b.conn->read_ended);
    MB_CHECK_EQ_INT(b.transport.read_calls, 3);
    ready(&b); /* nothing is read behind the end */
    MB_CHECK_EQ_INT(b.transport.read_calls, 3);
    tear_down(&b);
}

MB_TEST(reset_is_told_after_the_bytes_before_it) {
    bench b;
    set_up(&b);
    SCRIPT_READS(&b.transport, 5, MB_EIO);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP | MB_IO_ERROR);
    CHECK_LOG(&b.owner, "data:5 close:2 ");
    MB_CHECK_EQ_INT(b.owner.error, ECONNRESET);
    MB_CHECK_EQ_INT(b.transport.close_calls, 1);
    tear_down(&b);
}

MB_TEST(other_error_is_told_as_error) {
    bench b;
    set_up(&b);
    b.transport.read_errno = ETIMEDOUT;
    SCRIPT_READS(&b.transport, MB_EIO);
    ready(&b);
    CHECK_LOG(&b.owner, "close:6 ");
    MB_CHECK_EQ_INT(b.owner.error, ETIMEDOUT);
    tear_down(&b);
}

MB_TEST(reset_behind_a_half_close_is_told) {
    bench b;
    set_up(&b);
    SCRIPT_READS(&b.transport, 0);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP);
    CHECK_LOG(&b.owner, "end ");
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP | MB_IO_ERROR);
    CHECK_LOG(&b.owner, "close:2 ");
    tear_down(&b);
}

MB_TEST(every_length_of_pieces_gives_the_same_bytes) {
    for (int64_t length = 1; length <= 400; length++) {
        bench b;
        set_up(&b);
        for (int64_t left = 1000; left > 0; left -= length) {
            int64_t step = left < length ? left : length;
            SCRIPT_READS(&b.transport, step);
            ready(&b);
        }
        MB_CHECK_EQ_INT(b.owner.length, 1000);
        check_pattern(b.owner.bytes, b.owner.length);
        tear_down(&b);
    }
}

MB_TEST(input_that_the_owner_leaves_is_kept_and_grows) {
    bench b;
    set_up(&b);
    b.owner.keep_input = true;
    SCRIPT_READS(&b.transport, 3, 4);
    ready(&b);
    ready(&b);
    CHECK_LOG(&b.owner, "data:3 data:7 ");
    mb_slice all;
    MB_CHECK_EQ_INT(mb_buffer_join(&b.conn->in, 7, &all, NULL), MB_OK);
    check_pattern(all.ptr, all.len);
    tear_down(&b);
}

/* -- what the owner does in on_data --------------------------------------------------------- */

static void disable(owner *self, mb_conn *conn) {
    (void)self;
    mb_conn_read_disable(conn);
}

MB_TEST(disabling_in_on_data_stops_the_drain_and_enabling_goes_on_with_what_was_left) {
    bench b;
    set_up(&b);
    b.owner.on_data = disable;
    b.owner.keep_input = true;
    SCRIPT_READS(&b.transport, 5, 6, 0);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP);
    CHECK_LOG(&b.owner, "data:5 ");
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.transport.read_calls, 1);
    b.owner.on_data = NULL;
    mb_conn_read_enable(b.conn);
    CHECK_LOG(&b.owner, "");
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "data:5 data:11 end ");
    tear_down(&b);
}

MB_TEST(disabling_counts) {
    bench b;
    set_up(&b);
    SCRIPT_READS(&b.transport, 5);
    mb_conn_read_disable(b.conn);
    mb_conn_read_disable(b.conn);
    ready(&b);
    mb_conn_read_enable(b.conn);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "");
    mb_conn_read_enable(b.conn);
    mb_conn_read_enable(b.conn); /* one too many does no harm */
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "data:5 ");
    tear_down(&b);
}

MB_TEST(enabling_without_anything_new_calls_nobody) {
    bench b;
    set_up(&b);
    mb_conn_read_disable(b.conn);
    mb_conn_read_enable(b.conn);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "");
    MB_CHECK_EQ_INT(b.transport.read_calls, 0);
    tear_down(&b);
}

static void again(owner *self, mb_conn *conn) {
    self->on_data = NULL;
    mb_conn_read_again(conn);
}

MB_TEST(read_again_calls_on_data_in_the_next_turn_and_holds_the_end_back) {
    bench b;
    set_up(&b);
    b.owner.on_data = again;
    b.owner.keep_input = true;
    SCRIPT_READS(&b.transport, 5, 0);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP);
    CHECK_LOG(&b.owner, "data:5 ");
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "data:5 end ");
    tear_down(&b);
}

static void close_now(owner *self, mb_conn *conn) {
    (void)self;
    mb_conn_close(conn, MB_CLOSE_NOW, 0);
}

MB_TEST(closing_in_on_data_stops_the_drain) {
    bench b;
    set_up(&b);
    b.owner.on_data = close_now;
    SCRIPT_READS(&b.transport, 5, 6);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP);
    CHECK_LOG(&b.owner, "data:5 close:0 ");
    MB_CHECK_EQ_INT(b.transport.read_calls, 1);
    MB_CHECK(!b.transport.was_freed);
    world_turn(&b.world);
    MB_CHECK(b.transport.was_freed);
    tear_down(&b);
}

static void free_it(owner *self, mb_conn *conn) {
    self->conn = NULL;
    mb_conn_free(conn);
    mb_conn_free(conn);
    mb_conn_read_enable(conn);
    mb_conn_read_again(conn);
    mb_conn_set_watermark(conn, 1);
    mb_conn_flush_later(conn);
    mb_conn_end_write(conn);
    mb_conn_close(conn, MB_CLOSE_FLUSH, 0);
}

MB_TEST(freeing_in_on_data_ends_it_without_on_close_and_later_calls_do_nothing) {
    bench b;
    set_up(&b);
    b.owner.on_data = free_it;
    SCRIPT_READS(&b.transport, 5, 6);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP);
    CHECK_LOG(&b.owner, "data:5 ");
    MB_CHECK(!b.transport.was_freed);
    world_turn(&b.world);
    MB_CHECK(b.transport.was_freed);
    tear_down(&b);
}

MB_TEST(freeing_in_on_read_end_is_safe) {
    bench b;
    set_up(&b);
    b.owner.on_end = free_it;
    SCRIPT_READS(&b.transport, 0);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP);
    CHECK_LOG(&b.owner, "end ");
    tear_down(&b);
}

static void hand_over(owner *self, mb_conn *conn) {
    mb_conn_set_owner(conn, &owner_events, self->context);
}

MB_TEST(owner_changed_in_on_data_gets_what_comes_next) {
    bench b;
    set_up(&b);
    owner next;
    owner_init(&next, &b.world);
    b.owner.on_data = hand_over;
    b.owner.context = &next;
    SCRIPT_READS(&b.transport, 5, 6, 0);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP);
    CHECK_LOG(&b.owner, "data:5 ");
    CHECK_LOG(&next, "data:6 end ");
    owner_fini(&next);
    tear_down(&b);
}

static void ready_again(owner *self, mb_conn *conn) {
    self->on_data = NULL;
    mb_conn_ready(conn, MB_IO_READ); /* the other end wrote in this very callback */
    MB_CHECK_EQ_INT(self->length, 5);
}

MB_TEST(edge_within_on_data_is_served_after_it) {
    bench b;
    set_up(&b);
    b.owner.on_data = ready_again;
    SCRIPT_READS(&b.transport, 5, 6);
    ready(&b);
    CHECK_LOG(&b.owner, "data:5 data:6 ");
    tear_down(&b);
}

/* -- budget and sizes ----------------------------------------------------------------------- */

MB_TEST(budget_of_a_turn_is_kept_and_the_next_turn_goes_on) {
    bench b;
    set_up(&b);
    b.world.net.read_budget_bytes = 64 * KIB;
    SCRIPT_READS(&b.transport, 600 * KIB);
    ready(&b);
    size_t before = 0;
    unsigned turns = 0;
    while (b.owner.length < 600 * KIB) {
        MB_CHECK(b.owner.length > before);
        MB_CHECK(b.owner.length - before <= 64 * KIB + MB_READ_BULK_BYTES);
        before = b.owner.length;
        world_turn(&b.world);
        turns++;
    }
    MB_CHECK(turns >= 2);
    check_pattern(b.owner.bytes, b.owner.length);
    owner_forget_log(&b.owner);
    tear_down(&b);
}

MB_TEST(bulk_is_read_in_few_large_pieces_and_small_ones_lead_back) {
    bench b;
    set_up(&b);
    MB_CHECK_EQ_INT(b.conn->read_size, 16 * KIB);
    SCRIPT_READS(&b.transport, 8192 * KIB);
    ready(&b);
    while (b.owner.length < 8192 * KIB) {
        world_turn(&b.world);
    }
    MB_CHECK_EQ_INT(b.conn->read_size, MB_READ_BULK_BYTES);
    MB_CHECK(b.transport.read_calls <= 8192 / 256 + 5);
    check_pattern(b.owner.bytes, b.owner.length);
    for (int i = 0; i < 4; i++) {
        SCRIPT_READS(&b.transport, 100);
        ready(&b);
    }
    MB_CHECK(b.conn->read_size <= 16 * KIB);
    tear_down(&b);
}

MB_TEST(large_slabs_that_are_held_make_reads_small_until_they_are_given_back) {
    bench b;
    set_up(&b);
    mb_slab *held[MB_BULK_SLABS_MAX];
    mb_slab_stats stats;
    for (size_t i = 0; i < MB_BULK_SLABS_MAX; i++) {
        held[i] = mb_slab_new_large(b.world.slabs);
        MB_CHECK(held[i] != NULL);
    }
    SCRIPT_READS(&b.transport, 1024 * KIB);
    ready(&b);
    while (b.owner.length < 1024 * KIB) {
        world_turn(&b.world);
    }
    mb_slab_pool_stats(b.world.slabs, &stats);
    MB_CHECK_EQ_INT(stats.live_large, MB_BULK_SLABS_MAX);
    MB_CHECK(b.transport.read_calls >= 1024 / 32);
    check_pattern(b.owner.bytes, b.owner.length);
    unsigned calls = b.transport.read_calls;
    mb_slab_unref(held[0]);
    SCRIPT_READS(&b.transport, 4096 * KIB);
    ready(&b);
    while (b.owner.length < 5120 * KIB) {
        world_turn(&b.world);
    }
    MB_CHECK(b.transport.read_calls - calls <= 4096 / 256 + 5);
    for (size_t i = 1; i < MB_BULK_SLABS_MAX; i++) {
        mb_slab_unref(held[i]);
    }
    tear_down(&b);
}

MB_TEST(idle_connection_holds_no_slab) {
    bench b;
    set_up(&b);
    SCRIPT_READS(&b.transport, 3000 * KIB);
    ready(&b);
    while (b.owner.length < 3000 * KIB) {
        world_turn(&b.world);
    }
    MB_CHECK_EQ_INT(b.conn->in.count, 0);
    mb_slab_stats stats;
    mb_slab_pool_stats(b.world.slabs, &stats);
    MB_CHECK(stats.live_small <= 1); /* the pool's current one */
    MB_CHECK(stats.live_large <= 1); /* the one of mb_net */
    MB_CHECK(sizeof(mb_conn) <= 900);
    tear_down(&b);
}

/* -- failures ------------------------------------------------------------------------------- */

MB_TEST(reset_while_disabled_is_told_at_once_if_asked_for) {
    bench b;
    set_up(&b);
    SCRIPT_READS(&b.transport, 5, MB_EIO);
    mb_conn_read_disable(b.conn);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP | MB_IO_ERROR);
    CHECK_LOG(&b.owner, "close:2 ");
    tear_down(&b);
}

MB_TEST(reset_while_disabled_waits_behind_what_was_sent_if_asked_for) {
    bench b;
    set_up(&b);
    mb_conn_set_detect_reset(b.conn, false);
    SCRIPT_READS(&b.transport, 5, MB_EIO);
    mb_conn_read_disable(b.conn);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP | MB_IO_ERROR);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "");
    mb_conn_read_enable(b.conn);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "data:5 close:2 ");
    tear_down(&b);
}

MB_TEST(nth_allocation_failing_is_an_error_close_and_leaks_nothing) {
    bool done = false;
    for (size_t n = 1; !done; n++) {
        bench b;
        scripted_init(&b.transport);
        owner_init(&b.owner, &b.world);
        b.owner.keep_input = true;
        if (world_init(&b.world, n)) {
            b.conn = mb_conn_new(&b.world.net, &b.transport.transport, -1, NULL, &owner_events,
                                 &b.owner);
            b.owner.conn = b.conn;
            MB_CHECK(b.conn != NULL || b.transport.was_freed);
            if (b.conn != NULL) {
                SCRIPT_READS(&b.transport, 900 * KIB);
                ready(&b);
                MB_CHECK(!b.owner.closed || b.owner.reason == MB_CLOSED_ERROR);
                MB_CHECK(!b.owner.closed || b.owner.error == ENOMEM);
                done = !b.owner.closed;
            }
        }
        owner_fini(&b.owner);
        world_fini(&b.world);
    }
}
