/*
 * A connection's network filters over a memory transport: scripted filters, an owner that writes
 * down its callbacks, and the peer's end of the transport in the hands of the test.
 */
#include "support/network_rig.h"

#include "filter/network_walk.h"

MB_TEST(bytes_pass_filters_in_order_and_come_back_in_reverse) {
    rig r;
    network_rig_init(&r, 2);
    rig_peer_sends(&r, "ping");
    owner_send(&r.owner, "pong", 4);
    rig_turns(&r, 2);
    CHECK_HOOKS(&r, "0:open 1:open 0:read(ping) 1:read(ping) 1:write(pong) 0:write(pong) ");
    CHECK_OWNER_GOT(&r, "ping");
    CHECK_PEER_GOT(&r, "pong");
    CHECK_LOG(&r.owner, "connected data:4 ");
    network_rig_fini(&r);
}

MB_TEST(what_a_filter_keeps_is_shown_again_with_what_came_behind_it) {
    rig r;
    network_rig_init(&r, 1);
    script_status(&r, 0, MB_NETWORK_READ, MB_NETWORK_STOP_ITERATION);
    script_status(&r, 0, MB_NETWORK_READ, MB_NETWORK_STOP_ITERATION);
    rig_peer_sends(&r, "ab");
    rig_peer_sends(&r, "cd");
    CHECK_OWNER_GOT(&r, "");
    rig_peer_sends(&r, "ef");
    CHECK_HOOKS(&r, "0:open 0:read(ab) 0:read(abcd) 0:read(abcdef) ");
    CHECK_OWNER_GOT(&r, "abcdef");
    network_rig_fini(&r);
}

MB_TEST(resume_passes_on_what_is_kept_without_a_further_call) {
    rig r;
    network_rig_init(&r, 2);
    script_status(&r, 0, MB_NETWORK_READ, MB_NETWORK_STOP_ITERATION);
    rig_peer_sends(&r, "ab");
    MB_CHECK_EQ_INT(r.host->resume(r.filters[0].filter, MB_NETWORK_READ), MB_OK);
    CHECK_OWNER_GOT(&r, ""); /* no host function calls a hook */
    rig_turns(&r, 1);
    CHECK_HOOKS(&r, "0:open 1:open 0:read(ab) 1:read(ab) ");
    CHECK_OWNER_GOT(&r, "ab");
    MB_CHECK_EQ_INT(r.host->resume(r.filters[0].filter, MB_NETWORK_READ), MB_EPHASE);
    network_rig_fini(&r);
}

MB_TEST(a_pending_hook_keeps_its_piece_apart_from_what_comes_meanwhile) {
    for (int status = MB_NETWORK_CONTINUE; status <= MB_NETWORK_STOP_ITERATION; status++) {
        rig r;
        network_rig_init(&r, 1);
        script_status(&r, 0, MB_NETWORK_READ, MB_PENDING);
        rig_peer_sends(&r, "ab");
        rig_peer_sends(&r, "cd");
        mb_buffer *piece = r.host->held(r.filters[0].filter, MB_NETWORK_READ);
        MB_CHECK_EQ_INT(mb_buffer_length(piece), 2);
        MB_CHECK_EQ_INT(r.host->resume(r.filters[0].filter, MB_NETWORK_READ), MB_EPHASE);
        MB_CHECK_EQ_INT(r.host->finish(r.filters[0].filter, MB_NETWORK_READ, status), MB_OK);
        MB_CHECK_EQ_INT(r.host->finish(r.filters[0].filter, MB_NETWORK_READ, status), MB_EPHASE);
        CHECK_HOOKS(&r, "0:open 0:read(ab) ");
        rig_turns(&r, 1);
        if (status == MB_NETWORK_CONTINUE) {
            CHECK_HOOKS(&r, "0:read(cd) ");
        } else {
            CHECK_HOOKS(&r, "0:read(abcd) ");
        }
        CHECK_OWNER_GOT(&r, "abcd");
        network_rig_fini(&r);
    }
}

MB_TEST(a_filter_that_stops_the_opening_keeps_the_rest_in_the_dark) {
    rig r;
    rig_make(&r, 2);
    r.filters[0].open_status = MB_NETWORK_STOP_ITERATION;
    script_status(&r, 0, MB_NETWORK_READ, MB_NETWORK_STOP_ITERATION);
    rig_start(&r);
    MB_CHECK(!mb_conn_is_open(r.conn));
    rig_peer_sends(&r, "a");
    CHECK_HOOKS(&r, "0:open 0:read(a) ");
    CHECK_LOG(&r.owner, "");
    rig_peer_sends(&r, "b"); /* CONTINUE from its data hook lets it through */
    CHECK_HOOKS(&r, "0:read(ab) 1:open 1:read(ab) ");
    CHECK_LOG(&r.owner, "connected data:2 ");
    network_rig_fini(&r);
}

MB_TEST(an_opening_that_is_pending_sees_no_data_before_it_has_finished) {
    rig r;
    rig_make(&r, 2);
    r.filters[0].open_status = MB_PENDING;
    rig_start(&r);
    rig_peer_sends(&r, "early");
    rig_peer_ends(&r);
    CHECK_HOOKS(&r, "0:open ");
    MB_CHECK_EQ_INT(r.host->finish(r.filters[0].filter, MB_NETWORK_READ, 0), MB_OK);
    rig_turns(&r, 1);
    CHECK_HOOKS(&r, "1:open 0:read(early|end) 1:read(early|end) ");
    CHECK_LOG(&r.owner, "connected data:5 end ");
    network_rig_fini(&r);
}

MB_TEST(what_a_filter_adds_goes_before_what_its_hook_lets_through) {
    rig r;
    network_rig_init(&r, 2);
    script_add(&r, 1, MB_NETWORK_READ, MB_NETWORK_READ, "<");
    script_add(&r, 1, MB_NETWORK_READ, MB_NETWORK_WRITE, ">");
    rig_peer_sends(&r, "x");
    rig_turns(&r, 1);
    CHECK_HOOKS(&r, "0:open 1:open 0:read(x) 1:read(x) 0:write(>) ");
    CHECK_OWNER_GOT(&r, "<x");
    CHECK_PEER_GOT(&r, ">");
    network_rig_fini(&r);
}

MB_TEST(what_is_added_goes_out_though_the_hook_stops) {
    rig r;
    network_rig_init(&r, 1);
    script_status(&r, 0, MB_NETWORK_READ, MB_NETWORK_STOP_ITERATION);
    script_add(&r, 0, MB_NETWORK_READ, MB_NETWORK_READ, "new");
    rig_peer_sends(&r, "kept");
    CHECK_OWNER_GOT(&r, "new");
    rig_peer_sends(&r, "+");
    CHECK_OWNER_GOT(&r, "newkept+");
    network_rig_fini(&r);
}

MB_TEST(bytes_may_be_added_outside_of_hooks) {
    rig r;
    network_rig_init(&r, 2);
    mb_buffer *out = r.host->outgoing(r.filters[1].filter, MB_NETWORK_WRITE);
    MB_CHECK_EQ_INT(mb_buffer_append(out, MB_SLICE_LIT("hello")), MB_OK);
    rig_turns(&r, 2);
    CHECK_HOOKS(&r, "0:open 1:open 0:write(hello) ");
    CHECK_PEER_GOT(&r, "hello");
    network_rig_fini(&r);
}

MB_TEST(two_filters_that_answer_each_other_do_not_keep_the_worker) {
    rig r;
    network_rig_init(&r, 2);
    r.filters[0].answers = r.filters[1].answers = true;
    rig_peer_sends(&r, "x"); /* returns */
    owner_forget_log(&r.owner);
    r.filters[0].answers = r.filters[1].answers = false;
    rig_turns(&r, 40);
    r.hooks_length = 0;
    rig_peer_sends(&r, "y");
    CHECK_HOOKS(&r, "0:read(y) 1:read(y) ");
    network_rig_fini(&r);
}

MB_TEST(half_close_travels_with_the_last_bytes_in_both_directions) {
    rig r;
    network_rig_init(&r, 2);
    rig_peer_sends(&r, "last");
    rig_peer_ends(&r);
    CHECK_HOOKS(&r, "0:open 1:open 0:read(last) 1:read(last) 0:read(|end) 1:read(|end) ");
    CHECK_LOG(&r.owner, "connected data:4 end ");
    owner_send(&r.owner, "bye", 3);
    mb_conn_end_write(r.conn);
    rig_turns(&r, 2);
    CHECK_HOOKS(&r, "1:write(bye|end) 0:write(bye|end) ");
    CHECK_PEER_GOT(&r, "bye");
    MB_CHECK(rig_peer_saw_end(&r));
    network_rig_fini(&r);
}

MB_TEST(an_end_that_a_filter_keeps_is_not_sent) {
    rig r;
    network_rig_init(&r, 1);
    script_status(&r, 0, MB_NETWORK_WRITE, MB_NETWORK_STOP_ITERATION);
    owner_send(&r.owner, "bye", 3);
    mb_conn_end_write(r.conn);
    rig_turns(&r, 2);
    CHECK_PEER_GOT(&r, "");
    MB_CHECK(!rig_peer_saw_end(&r));
    MB_CHECK_EQ_INT(r.host->resume(r.filters[0].filter, MB_NETWORK_WRITE), MB_OK);
    rig_turns(&r, 2);
    CHECK_PEER_GOT(&r, "bye");
    MB_CHECK(rig_peer_saw_end(&r));
    network_rig_fini(&r);
}

MB_TEST(what_filters_keep_above_the_limit_stops_reading_and_half_of_it_starts_it_again) {
    rig r;
    rig_make(&r, 1);
    r.limit_bytes = 8;
    rig_start(&r);
    for (int i = 0; i < 3; i++) {
        script_status(&r, 0, MB_NETWORK_READ, MB_NETWORK_STOP_ITERATION);
    }
    rig_peer_sends(&r, "12345678");
    rig_peer_sends(&r, "9"); /* above: the next is not read */
    rig_peer_sends(&r, "x");
    CHECK_HOOKS(&r, "0:open 0:read(12345678) 0:read(123456789) ");
    mb_buffer *held = r.host->held(r.filters[0].filter, MB_NETWORK_READ);
    mb_buffer_drain(held, 4);
    rig_turns(&r, 2);
    CHECK_HOOKS(&r, ""); /* five are left: still above the half */
    mb_buffer_drain(r.host->held(r.filters[0].filter, MB_NETWORK_READ), 1);
    rig_turns(&r, 2);
    CHECK_HOOKS(&r, "0:read(6789x) ");
    network_rig_fini(&r);
}

MB_TEST(what_filters_keep_of_the_owners_bytes_counts_against_its_watermark) {
    rig r;
    network_rig_init(&r, 1);
    mb_conn_set_watermark(r.conn, 10);
    script_status(&r, 0, MB_NETWORK_WRITE, MB_PENDING);
    owner_send(&r.owner, "12345678", 8);
    rig_turns(&r, 2);
    owner_forget_log(&r.owner);
    owner_send(&r.owner, "9abc", 4);
    rig_turns(&r, 2);
    CHECK_LOG(&r.owner, "high ");
    MB_CHECK_EQ_INT(r.host->finish(r.filters[0].filter, MB_NETWORK_WRITE, 0), MB_OK);
    rig_turns(&r, 2);
    CHECK_LOG(&r.owner, "low ");
    CHECK_PEER_GOT(&r, "123456789abc");
    network_rig_fini(&r);
}

MB_TEST(a_close_that_flushes_sends_what_filters_let_through) {
    rig r;
    network_rig_init(&r, 2);
    owner_send(&r.owner, "bye", 3);
    mb_conn_close(r.conn, MB_CLOSE_FLUSH, 0);
    rig_turns(&r, 3);
    CHECK_HOOKS(&r, "0:open 1:open 1:write(bye|end) 0:write(bye|end) 0:local 1:local "
                    "0:destroy 1:destroy ");
    CHECK_PEER_GOT(&r, "bye");
    CHECK_LOG(&r.owner, "connected close:0 ");
    network_rig_fini(&r);
}

MB_TEST(a_close_drops_what_filters_keep_and_waits_for_what_pends) {
    rig r;
    network_rig_init(&r, 2);
    script_status(&r, 1, MB_NETWORK_WRITE, MB_NETWORK_STOP_ITERATION);
    owner_send(&r.owner, "kept", 4);
    mb_conn_close(r.conn, MB_CLOSE_FLUSH, 0);
    rig_turns(&r, 3);
    MB_CHECK(r.owner.closed);
    CHECK_PEER_GOT(&r, "");
    network_rig_fini(&r);

    network_rig_init(&r, 2);
    script_status(&r, 1, MB_NETWORK_WRITE, MB_PENDING);
    owner_send(&r.owner, "late", 4);
    mb_conn_close(r.conn, MB_CLOSE_FLUSH, 0);
    rig_turns(&r, 3);
    MB_CHECK(!r.owner.closed);
    MB_CHECK_EQ_INT(r.host->finish(r.filters[1].filter, MB_NETWORK_WRITE, 0), MB_OK);
    rig_turns(&r, 3);
    MB_CHECK(r.owner.closed);
    CHECK_PEER_GOT(&r, "late");
    network_rig_fini(&r);
}

MB_TEST(a_pending_filter_does_not_keep_a_closing_connection_for_ever) {
    rig r;
    network_rig_init(&r, 1);
    script_status(&r, 0, MB_NETWORK_WRITE, MB_PENDING);
    owner_send(&r.owner, "late", 4);
    mb_conn_close(r.conn, MB_CLOSE_FLUSH, 5000);
    rig_turns(&r, 3);
    MB_CHECK(!r.owner.closed);
    mbtest_clock_advance_us(&r.clock, 10000);
    rig_turns(&r, 2);
    MB_CHECK(r.owner.closed);
    network_rig_fini(&r);
}

MB_TEST(a_filter_answers_and_closes) {
    rig r;
    network_rig_init(&r, 2);
    script_add(&r, 0, MB_NETWORK_READ, MB_NETWORK_WRITE, "-ERR no\r\n");
    r.filters[0].closes = 1 + MB_NETWORK_CLOSE_FLUSH;
    rig_peer_sends(&r, "FLUSHALL\r\n");
    rig_peer_ends(&r);
    rig_turns(&r, 3);
    CHECK_PEER_GOT(&r, "-ERR no\r\n");
    CHECK_OWNER_GOT(&r, ""); /* what it refused goes no further */
    MB_CHECK(r.owner.closed);
    CHECK_HOOKS(&r, "0:open 1:open 0:read(FLUSHALL\r\n) 1:write(|end) 0:write(|end) 0:local "
                    "1:local 0:destroy 1:destroy ");
    network_rig_fini(&r);
}

MB_TEST(a_filter_resets_within_its_hook_and_nothing_runs_behind_it) {
    rig r;
    network_rig_init(&r, 2);
    r.filters[0].closes = 1 + MB_NETWORK_CLOSE_RESET;
    rig_peer_sends(&r, "x");
    rig_turns(&r, 2);
    CHECK_HOOKS(&r, "0:open 1:open 0:read(x) 0:local 1:local 0:destroy 1:destroy ");
    CHECK_LOG(&r.owner, "connected close:0 ");
    network_rig_fini(&r);
}

MB_TEST(the_peer_that_resets_while_a_hook_is_pending_is_told_to_the_filters) {
    rig r;
    network_rig_init(&r, 1);
    script_status(&r, 0, MB_NETWORK_READ, MB_PENDING);
    rig_peer_sends(&r, "ab");
    r.peer->vtable->close(r.peer, true);
    mb_conn_ready(r.conn, MB_IO_READ | MB_IO_ERROR);
    rig_turns(&r, 2);
    CHECK_HOOKS(&r, "0:open 0:read(ab) 0:remote 0:destroy ");
    MB_CHECK(mb_connection_find(&r.worker, 7) == NULL);
    network_rig_fini(&r);
}

MB_TEST(an_owner_that_frees_in_a_callback_is_no_harm) {
    rig r;
    network_rig_init(&r, 2);
    r.owner.on_data = rig_owner_frees;
    rig_peer_sends(&r, "x");
    rig_turns(&r, 2);
    CHECK_HOOKS(&r, "0:open 1:open 0:read(x) 1:read(x) 0:local 1:local 0:destroy 1:destroy ");
    network_rig_fini(&r);
}

MB_TEST(hooks_that_are_not_there_are_not_called_and_a_stop_without_them_waits_for_resume) {
    rig r;
    rig_make(&r, 2);
    r.entries[0].wants = 1u << MB_NETWORK_HOOK_NEW_CONNECTION;
    r.filters[0].open_status = MB_NETWORK_STOP_ITERATION;
    rig_start(&r);
    rig_peer_sends(&r, "ab");
    CHECK_HOOKS(&r, "0:open ");
    MB_CHECK_EQ_INT(r.host->resume(r.filters[0].filter, MB_NETWORK_READ), MB_OK);
    rig_turns(&r, 1);
    CHECK_HOOKS(&r, "1:open 1:read(ab) ");
    CHECK_OWNER_GOT(&r, "ab");
    network_rig_fini(&r);
}

MB_TEST(a_posted_event_finds_its_connection_or_is_dropped) {
    rig r;
    network_rig_init(&r, 1);
    MB_CHECK_EQ_INT(r.host->post(&r.worker, 7, "f0", 5), MB_OK);
    MB_CHECK_EQ_INT(r.host->post(&r.worker, 8, "f0", 6), MB_OK);
    MB_CHECK_EQ_INT(r.host->post(&r.worker, 7, "nobody", 7), MB_OK);
    rig_turns(&r, 1);
    CHECK_HOOKS(&r, "0:open 0:event5 ");
    mb_network_filter *found = NULL;
    MB_CHECK_EQ_INT(r.host->filter_of(&r.worker, 7, "f0", &found), MB_OK);
    MB_CHECK(found == r.filters[0].filter);
    MB_CHECK_EQ_INT(r.host->filter_of(&r.worker, 9, "f0", &found), MB_EGONE);
    network_rig_fini(&r);
}

MB_TEST(an_unknown_status_closes_the_connection) {
    rig r;
    network_rig_init(&r, 1);
    script_status(&r, 0, MB_NETWORK_READ, 77);
    rig_peer_sends(&r, "x");
    rig_turns(&r, 2);
    CHECK_OWNER_GOT(&r, "");
    MB_CHECK(r.owner.closed);
    network_rig_fini(&r);
}

MB_TEST(metadata_and_facts_are_the_connections_own) {
    rig r;
    network_rig_init(&r, 1);
    mb_connection *connection = r.filters[0].filter->connection;
    mb_slice value;
    uint64_t number;
    MB_CHECK_EQ_INT(r.host->metadata_set(connection, MB_SLICE_LIT("a"), MB_SLICE_LIT("k"),
                                         MB_SLICE_LIT("\xa1v")),
                    MB_OK);
    MB_CHECK_EQ_INT(r.host->metadata_get(connection, MB_SLICE_LIT("a"), MB_SLICE_LIT("k"), &value),
                    MB_OK);
    MB_CHECK_EQ_LIT(value, "\xa1v");
    MB_CHECK_EQ_INT(r.host->info_number(connection, MB_CONNECTION_ID, &number), MB_OK);
    MB_CHECK_EQ_INT(number, 7);
    MB_CHECK_EQ_INT(r.host->info_text(connection, MB_CONNECTION_LISTENER, &value), MB_OK);
    MB_CHECK_EQ_LIT(value, "main");
    MB_CHECK_EQ_INT(r.host->info_text(connection, MB_CONNECTION_SNI, &value), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_connection_set_upstream(connection, MB_SLICE_LIT("redis"), NULL), MB_OK);
    MB_CHECK_EQ_INT(r.host->info_text(connection, MB_CONNECTION_CLUSTER, &value), MB_OK);
    MB_CHECK_EQ_LIT(value, "redis");
    network_rig_fini(&r);
}

/* Everything in one life, byte by byte. */
static void life(rig *r) {
    script_status(r, 0, MB_NETWORK_READ, MB_PENDING);
    script_status(r, 1, MB_NETWORK_WRITE, MB_NETWORK_STOP_ITERATION);
    script_add(r, 0, MB_NETWORK_READ, MB_NETWORK_WRITE, "w");
    rig_peer_sends(r, "1");
    rig_peer_sends(r, "2");
    if (!r->owner.closed && r->filters[0].filter != NULL) {
        (void)r->host->finish(r->filters[0].filter, MB_NETWORK_READ, 1);
        rig_turns(r, 1);
    }
    if (!r->owner.closed) {
        rig_peer_sends(r, "3");
    }
    if (!r->owner.closed) {
        owner_send(&r->owner, "4", 1);
        rig_turns(r, 2);
    }
    if (!r->owner.closed) {
        mb_conn_close(r->conn, MB_CLOSE_FLUSH, 1000);
    }
    rig_turns(r, 3);
}

MB_TEST(nth_allocation_failing_leaks_nothing) {
    for (size_t n = 1, failed = 1; failed; n++) {
        rig r;
        rig_make(&r, 2);
        r.memory->fail_at = r.memory->requests + n;
        if (rig_try_start(&r)) {
            life(&r);
        }
        failed = r.memory->requests >= r.memory->fail_at;
        r.memory->fail_at = 0;
        network_rig_fini(&r);
    }
}
