/*
 * Writing of a connection over a transport by script: one write a turn, partial writes,
 * watermarks, half-close, the ways to close, and what follows a failed write.
 */
#include "support/net_world.h"

#include "net/conn_internal.h"

#include <errno.h>

#define MS 1000u
#define KIB 1024u

typedef struct bench {
    world world;
    scripted transport;
    owner owner;
    mb_conn *conn;
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

static void room_again(bench *self) {
    mb_conn_ready(self->conn, MB_IO_WRITE);
}

MB_TEST(what_is_queued_in_a_turn_goes_out_in_one_write) {
    bench b;
    set_up(&b);
    owner_send(&b.owner, "abc", 3);
    owner_send(&b.owner, "def", 3);
    MB_CHECK_EQ_INT(b.transport.write_calls, 0);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.transport.write_calls, 1);
    MB_CHECK_EQ_LIT(((mb_slice){b.transport.written, b.transport.written_length}), "abcdef");
    MB_CHECK_EQ_INT(b.conn->bytes_written, 6);
    MB_CHECK_EQ_INT(b.world.net.bytes_written, 6);
    CHECK_LOG(&b.owner, "");
    tear_down(&b);
}

MB_TEST(flush_can_be_had_before_the_end_of_the_turn) {
    bench b;
    set_up(&b);
    owner_send(&b.owner, "abc", 3);
    mb_loop_flush(b.world.loop);
    MB_CHECK_EQ_INT(b.transport.write_calls, 1);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.transport.write_calls, 1);
    tear_down(&b);
}

MB_TEST(partial_write_of_every_length_goes_on_at_the_edge) {
    for (int64_t length = 1; length < 300; length++) {
        bench b;
        set_up(&b);
        owner_send_pattern(&b.owner, 300);
        SCRIPT_WRITES(&b.transport, length);
        world_turn(&b.world);
        MB_CHECK_EQ_INT(b.transport.written_length, length);
        owner_send(&b.owner, "more", 4); /* does not try while blocked */
        world_turn(&b.world);
        MB_CHECK_EQ_INT(b.transport.write_calls, 1);
        room_again(&b);
        MB_CHECK_EQ_INT(b.transport.write_calls, 2);
        MB_CHECK_EQ_INT(b.transport.written_length, 304);
        check_pattern(b.transport.written, 300);
        tear_down(&b);
    }
}

MB_TEST(blocked_transport_waits_for_the_edge) {
    bench b;
    set_up(&b);
    SCRIPT_WRITES(&b.transport, MB_EAGAIN, MB_EAGAIN);
    owner_send(&b.owner, "abc", 3);
    world_turn(&b.world);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.transport.write_calls, 1);
    room_again(&b);
    room_again(&b);
    MB_CHECK_EQ_INT(b.transport.written_length, 3);
    room_again(&b); /* nothing is queued: no call */
    MB_CHECK_EQ_INT(b.transport.write_calls, 3);
    tear_down(&b);
}

/* -- watermarks ------------------------------------------------------------------------------ */

MB_TEST(watermarks_call_once_above_high_and_once_at_half_of_it) {
    bench b;
    set_up(&b);
    mb_conn_set_watermark(b.conn, 100);
    SCRIPT_WRITES(&b.transport, MB_EAGAIN, 50, 1, MB_EAGAIN);
    owner_send_pattern(&b.owner, 100);
    CHECK_LOG(&b.owner, "");
    owner_send(&b.owner, "x", 1);
    CHECK_LOG(&b.owner, "high ");
    owner_send(&b.owner, "y", 1);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, ""); /* 102 */
    room_again(&b);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, ""); /* 52 */
    room_again(&b);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, ""); /* 51 */
    mb_buffer_drain(&b.conn->out, 1);
    room_again(&b);
    CHECK_LOG(&b.owner, "");
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "low "); /* 50 */
    room_again(&b);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "");
    tear_down(&b);
}

MB_TEST(low_is_not_told_when_more_was_queued_meanwhile) {
    bench b;
    set_up(&b);
    mb_conn_set_watermark(b.conn, 100);
    SCRIPT_WRITES(&b.transport, MB_EAGAIN, 101, MB_EAGAIN);
    owner_send_pattern(&b.owner, 101);
    world_turn(&b.world);
    room_again(&b);
    owner_send_pattern(&b.owner, 80);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "high ");
    room_again(&b);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "low ");
    tear_down(&b);
}

MB_TEST(watermark_taken_away_tells_low) {
    bench b;
    set_up(&b);
    mb_conn_set_watermark(b.conn, 10);
    SCRIPT_WRITES(&b.transport, MB_EAGAIN);
    owner_send_pattern(&b.owner, 100);
    world_turn(&b.world);
    mb_conn_set_watermark(b.conn, 0);
    world_turn(&b.world);
    owner_send_pattern(&b.owner, 1000);
    CHECK_LOG(&b.owner, "high low ");
    tear_down(&b);
}

static void free_it(owner *self, mb_conn *conn) {
    self->conn = NULL;
    mb_conn_free(conn);
}

static void queue_all_and_free_it(owner *self, mb_conn *conn) {
    mb_conn_read_again(conn);
    owner_send(self, "more", 4);
    mb_conn_end_write(conn);
    free_it(self, conn);
}

MB_TEST(freeing_in_on_above_high_and_in_on_below_low_is_safe) {
    bench b;
    set_up(&b);
    b.owner.on_high = free_it;
    mb_conn_set_watermark(b.conn, 10);
    owner_send_pattern(&b.owner, 11);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "high ");
    MB_CHECK_EQ_INT(b.transport.write_calls, 0);
    tear_down(&b);
    set_up(&b);
    b.owner.on_low = queue_all_and_free_it;
    mb_conn_set_watermark(b.conn, 10);
    owner_send_pattern(&b.owner, 11);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "high low ");
    world_turn(&b.world); /* what was queued went with it */
    MB_CHECK_EQ_INT(b.transport.write_calls, 1);
    tear_down(&b);
}

/* -- failed writes --------------------------------------------------------------------------- */

MB_TEST(failed_write_tells_what_the_peer_had_sent_before_it_closes) {
    bench b;
    set_up(&b);
    SCRIPT_WRITES(&b.transport, MB_EIO);
    SCRIPT_READS(&b.transport, 5, 6, MB_EIO);
    owner_send(&b.owner, "abc", 3);
    mb_loop_flush(b.world.loop);
    CHECK_LOG(&b.owner, ""); /* a flush calls nobody */
    MB_CHECK(b.conn->write_failed);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "data:5 data:6 close:2 ");
    tear_down(&b);
}

MB_TEST(failed_write_followed_by_the_peer_s_end_is_a_reset_and_no_orderly_end) {
    bench b;
    set_up(&b);
    SCRIPT_WRITES(&b.transport, MB_EIO);
    SCRIPT_READS(&b.transport, 0);
    owner_send(&b.owner, "abc", 3);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "close:2 ");
    MB_CHECK_EQ_INT(b.owner.error, EPIPE);
    tear_down(&b);
}

MB_TEST(failed_write_while_reading_is_disabled) {
    for (int detect = 0; detect < 2; detect++) {
        bench b;
        set_up(&b);
        mb_conn_set_detect_reset(b.conn, detect);
        mb_conn_read_disable(b.conn);
        SCRIPT_WRITES(&b.transport, MB_EIO);
        SCRIPT_READS(&b.transport, 5, 0);
        owner_send(&b.owner, "abc", 3);
        world_turn(&b.world);
        if (detect) {
            CHECK_LOG(&b.owner, "close:2 ");
        } else {
            CHECK_LOG(&b.owner, "");
            owner_send(&b.owner, "dropped", 7);
            MB_CHECK_EQ_INT(b.conn->out.length, 0);
            mb_conn_read_enable(b.conn);
            world_turn(&b.world);
            CHECK_LOG(&b.owner, "data:5 close:2 ");
        }
        tear_down(&b);
    }
}

/* -- half-close ------------------------------------------------------------------------------ */

MB_TEST(our_end_goes_out_behind_what_is_queued_and_reading_goes_on) {
    bench b;
    set_up(&b);
    SCRIPT_WRITES(&b.transport, 2);
    owner_send(&b.owner, "abc", 3);
    mb_conn_end_write(b.conn);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.transport.shut_calls, 0);
    room_again(&b);
    MB_CHECK_EQ_INT(b.transport.shut_calls, 1);
    MB_CHECK(b.conn->write_ended);
    SCRIPT_READS(&b.transport, 5);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_WRITE);
    CHECK_LOG(&b.owner, "data:5 ");
    mb_conn_close(b.conn, MB_CLOSE_FLUSH, 0);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "close:0 ");
    MB_CHECK_EQ_INT(b.transport.shut_calls, 1);
    tear_down(&b);
}

MB_TEST(peer_s_half_close_leaves_writing_open) {
    bench b;
    set_up(&b);
    SCRIPT_READS(&b.transport, 5, 0);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP);
    CHECK_LOG(&b.owner, "data:5 end ");
    owner_send(&b.owner, "answer", 6);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.transport.written_length, 6);
    CHECK_LOG(&b.owner, "");
    tear_down(&b);
}

/* -- closing --------------------------------------------------------------------------------- */

MB_TEST(close_now_and_reset_drop_the_queue_and_tell_within_the_call) {
    for (int reset = 0; reset < 2; reset++) {
        bench b;
        set_up(&b);
        owner_send(&b.owner, "abc", 3);
        mb_conn_close(b.conn, reset ? MB_CLOSE_RESET : MB_CLOSE_NOW, 0);
        CHECK_LOG(&b.owner, "close:0 ");
        MB_CHECK_EQ_INT(b.transport.close_calls, 1);
        MB_CHECK_EQ_INT(b.transport.was_reset, reset);
        world_turn(&b.world);
        MB_CHECK_EQ_INT(b.transport.write_calls, 0);
        tear_down(&b);
    }
}

MB_TEST(close_flush_sends_first_and_tells_later_even_with_nothing_queued) {
    for (int queued = 0; queued < 2; queued++) {
        bench b;
        set_up(&b);
        if (queued) {
            owner_send(&b.owner, "abc", 3);
        }
        mb_conn_close(b.conn, MB_CLOSE_FLUSH, 0);
        mb_conn_close(b.conn, MB_CLOSE_FLUSH_LINGER, 5);
        mb_loop_flush(b.world.loop);
        CHECK_LOG(&b.owner, "");
        world_turn(&b.world);
        CHECK_LOG(&b.owner, "close:0 ");
        MB_CHECK_EQ_INT(b.transport.written_length, queued ? 3 : 0);
        tear_down(&b);
    }
}

MB_TEST(close_flush_reads_no_more_and_calls_nobody_in_between) {
    bench b;
    set_up(&b);
    mb_conn_set_watermark(b.conn, 10);
    SCRIPT_WRITES(&b.transport, 8, 8);
    SCRIPT_READS(&b.transport, 5);
    owner_send_pattern(&b.owner, 20);
    mb_conn_close(b.conn, MB_CLOSE_FLUSH, 0);
    world_turn(&b.world);
    mb_conn_ready(b.conn, MB_IO_READ);
    room_again(&b);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "high ");
    MB_CHECK_EQ_INT(b.transport.read_calls, 0);
    room_again(&b);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "close:0 ");
    MB_CHECK_EQ_INT(b.transport.written_length, 20);
    tear_down(&b);
}

MB_TEST(close_flush_gives_up_after_standing_still_for_the_delay) {
    bench b;
    set_up(&b);
    SCRIPT_WRITES(&b.transport, 8, 8);
    owner_send_pattern(&b.owner, 20);
    mb_conn_close(b.conn, MB_CLOSE_FLUSH, 100 * MS);
    world_advance_us(&b.world, 90 * MS);
    room_again(&b); /* moves on: the delay starts again */
    world_advance_us(&b.world, 90 * MS);
    CHECK_LOG(&b.owner, "");
    world_advance_us(&b.world, 20 * MS);
    CHECK_LOG(&b.owner, "close:0 ");
    tear_down(&b);
}

MB_TEST(reset_while_flushing_is_told) {
    bench b;
    set_up(&b);
    SCRIPT_WRITES(&b.transport, 8);
    owner_send_pattern(&b.owner, 20);
    mb_conn_close(b.conn, MB_CLOSE_FLUSH, 0);
    world_turn(&b.world);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_WRITE | MB_IO_HANGUP | MB_IO_ERROR);
    CHECK_LOG(&b.owner, "close:2 ");
    tear_down(&b);
}

MB_TEST(linger_sends_ends_and_drops_input_until_the_peer_ends) {
    bench b;
    set_up(&b);
    owner_send(&b.owner, "abc", 3);
    mb_conn_close(b.conn, MB_CLOSE_FLUSH_LINGER, 100 * MS);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.transport.written_length, 3);
    MB_CHECK_EQ_INT(b.transport.shut_calls, 1);
    SCRIPT_READS(&b.transport, 500, 100 * KIB, 7);
    for (int i = 0; i < 3; i++) {
        mb_conn_ready(b.conn, MB_IO_READ);
    }
    CHECK_LOG(&b.owner, "");
    MB_CHECK_EQ_INT(b.transport.given, 500 + 100 * KIB + 7);
    SCRIPT_READS(&b.transport, 9, 0);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP);
    CHECK_LOG(&b.owner, "close:0 ");
    tear_down(&b);
}

MB_TEST(linger_drops_input_of_a_peer_that_does_not_read_before_it_has_written) {
    bench b;
    set_up(&b);
    SCRIPT_WRITES(&b.transport, 8);
    SCRIPT_READS(&b.transport, 3000 * KIB);
    owner_send_pattern(&b.owner, 20);
    mb_conn_read_disable(b.conn);
    mb_conn_ready(b.conn, MB_IO_READ);
    mb_conn_close(b.conn, MB_CLOSE_FLUSH_LINGER, 100 * MS);
    for (int i = 0; i < 5; i++) {
        world_turn(&b.world);
    }
    MB_CHECK_EQ_INT(b.transport.given, 3000 * KIB);
    MB_CHECK_EQ_INT(b.transport.shut_calls, 0);
    room_again(&b);
    MB_CHECK_EQ_INT(b.transport.shut_calls, 1);
    SCRIPT_READS(&b.transport, 0);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP);
    CHECK_LOG(&b.owner, "close:0 ");
    tear_down(&b);
}

MB_TEST(linger_ends_at_the_delay_and_at_once_when_the_peer_has_ended_before) {
    bench b;
    set_up(&b);
    mb_conn_close(b.conn, MB_CLOSE_FLUSH_LINGER, 100 * MS);
    world_advance_us(&b.world, 99 * MS);
    CHECK_LOG(&b.owner, "");
    world_advance_us(&b.world, 2 * MS);
    CHECK_LOG(&b.owner, "close:0 ");
    tear_down(&b);
    set_up(&b);
    SCRIPT_READS(&b.transport, 0);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_HANGUP);
    owner_send(&b.owner, "abc", 3);
    mb_conn_close(b.conn, MB_CLOSE_FLUSH_LINGER, 100 * MS);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "end close:0 ");
    MB_CHECK_EQ_INT(b.transport.written_length, 3);
    tear_down(&b);
}

MB_TEST(close_now_cuts_a_flush_short) {
    bench b;
    set_up(&b);
    SCRIPT_WRITES(&b.transport, 8);
    owner_send_pattern(&b.owner, 20);
    mb_conn_close(b.conn, MB_CLOSE_FLUSH_LINGER, 100 * MS);
    world_turn(&b.world);
    mb_conn_close(b.conn, MB_CLOSE_RESET, 0);
    CHECK_LOG(&b.owner, "close:0 ");
    MB_CHECK(b.transport.was_reset);
    tear_down(&b);
}

MB_TEST(slices_of_the_input_outlive_a_close_until_the_turn_ends) {
    bench b;
    set_up(&b);
    b.owner.keep_input = true;
    SCRIPT_READS(&b.transport, 50);
    mb_conn_ready(b.conn, MB_IO_READ);
    mb_slice front = mb_buffer_front(&b.conn->in);
    mb_conn_close(b.conn, MB_CLOSE_NOW, 0);
    check_pattern(front.ptr, front.len);
    tear_down(&b);
}

/* -- handshakes ------------------------------------------------------------------------------ */

static int next_handshake;

static int scripted_handshake(mb_transport *transport) {
    (void)transport;
    return next_handshake;
}

MB_TEST(nothing_flows_before_the_handshake_is_through) {
    bench b;
    MB_CHECK(world_init(&b.world, 0));
    scripted_init(&b.transport);
    owner_init(&b.owner, &b.world);
    mb_transport_vtable vtable = *b.transport.transport.vtable;
    vtable.handshake = scripted_handshake;
    b.transport.transport.vtable = &vtable;
    next_handshake = MB_EAGAIN;
    b.conn = b.owner.conn =
        mb_conn_new(&b.world.net, &b.transport.transport, -1, NULL, &owner_events, &b.owner);
    SCRIPT_READS(&b.transport, 5);
    owner_send(&b.owner, "abc", 3);
    mb_conn_ready(b.conn, MB_IO_READ | MB_IO_WRITE);
    world_turn(&b.world);
    MB_CHECK_EQ_INT(b.transport.read_calls + b.transport.write_calls, 0);
    next_handshake = MB_OK;
    mb_conn_ready(b.conn, MB_IO_READ);
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "connected data:5 ");
    MB_CHECK_EQ_INT(b.transport.written_length, 3);
    tear_down(&b);
}

MB_TEST(failed_handshake_is_told_later_and_never_within_new) {
    bench b;
    MB_CHECK(world_init(&b.world, 0));
    scripted_init(&b.transport);
    owner_init(&b.owner, &b.world);
    mb_transport_vtable vtable = *b.transport.transport.vtable;
    vtable.handshake = scripted_handshake;
    b.transport.transport.vtable = &vtable;
    next_handshake = MB_EPROTO;
    b.conn = b.owner.conn =
        mb_conn_new(&b.world.net, &b.transport.transport, -1, NULL, &owner_events, &b.owner);
    CHECK_LOG(&b.owner, "");
    world_turn(&b.world);
    CHECK_LOG(&b.owner, "close:5 ");
    tear_down(&b);
}
