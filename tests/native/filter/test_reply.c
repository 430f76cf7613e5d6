/*
 * Local replies and resets, from each hook of each direction. Source: filter.h; Envoy,
 * "sendLocalReply".
 */
#include "base/slice.h"
#include "support/filter_rig.h"
#include "support/playbook.h"

MB_TEST(a_reply_of_a_request_hook_passes_the_response_hooks_of_all_filters) {
    playbook("chain A B C\n"
             "all A B C\n"
             "B request headers: respond 403 no, stop\n"
             "> request headers\n"
             "A request headers\n"
             "B request headers\n"
             "C response headers\n"
             "B response headers\n"
             "A response headers\n"
             "client headers 403 x-by=B\n"
             "C response body 'no' end\n"
             "B response body 'no' end\n"
             "A response body 'no' end\n"
             "client body 'no' end\n"
             "over direct_response\n"
             "> request body ab end\n");
}

MB_TEST(a_reply_counts_whatever_the_hook_returns) {
    static const char *const statuses[] = {"continue", "stop", "stop_all_buffer", "pending",
                                           "status 99"};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        char text[512];
        strcpy(text, "chain A B\nall A B\nA request headers: respond 403, ");
        strcat(text, statuses[i]);
        strcat(text, "\n"
                     "> request headers end\n"
                     "A request headers end\n"
                     "B response headers end\n"
                     "A response headers end\n"
                     "client headers 403 end x-by=A\n"
                     "over direct_response\n");
        playbook(text);
    }
}

MB_TEST(a_reply_of_a_body_or_trailers_hook_ends_the_request_at_the_upstream) {
    playbook("chain A B\n"
             "all A B\n"
             "A request body: continue | respond 413 big\n"
             "> request headers\n"
             "A request headers\n"
             "B request headers\n"
             "terminal headers\n"
             "> request body ab\n"
             "A request body 'ab'\n"
             "B request body 'ab'\n"
             "terminal body 'ab'\n"
             "> request body cd\n"
             "A request body 'cd'\n"
             "terminal abort\n"
             "B response headers\n"
             "A response headers\n"
             "client headers 413 x-by=A\n"
             "B response body 'big' end\n"
             "A response body 'big' end\n"
             "client body 'big' end\n"
             "over direct_response\n");
    playbook("chain A B\n"
             "all B\n"
             "A request trailers: respond 400\n"
             "> request headers\n"
             "B request headers\n"
             "terminal headers\n"
             "> request trailers\n"
             "B request body '' end\n"
             "A request trailers\n"
             "terminal abort\n"
             "B response headers end\n"
             "client headers 400 end x-by=A\n"
             "over direct_response\n");
}

MB_TEST(the_last_of_two_replies_in_a_hook_counts) {
    playbook("chain A\n"
             "A request headers: respond 403 no, respond 302 away, respond 999 x, stop\n"
             "> request headers end\n"
             "A request headers end\n"
             "A respond: EINVAL\n"
             "client headers 302 x-by=A\n"
             "client body 'away' end\n"
             "over direct_response\n");
}

MB_TEST(response_filters_may_stop_and_change_a_reply) {
    playbook("chain A B\n"
             "B request headers: respond 403 no\n"
             "B response headers: stop\n"
             "B response body: append X, buffer\n"
             "A response headers: set x-a 1, pending\n"
             "> request headers end\n"
             "B request headers end\n"
             "B response headers\n"
             "B response body 'no' end\n"
             "> loop\n"
             "> B resume response\n"
             "> loop\n"
             "A response headers\n"
             "> A finish response continue\n"
             "> loop\n"
             "client headers 403 x-by=B x-a=1\n"
             "client body 'noX' end\n"
             "over direct_response\n");
}

MB_TEST(a_reply_outside_of_hooks_comes_in_the_next_turn) {
    playbook("chain A B\n"
             "all B\n"
             "A request headers: pending\n"
             "> request headers\n"
             "A request headers\n"
             "> request body ab\n"
             "> A respond 429 slow\n"
             "> loop\n"
             "B response headers\n"
             "client headers 429 x-by=A\n"
             "B response body 'slow' end\n"
             "client body 'slow' end\n"
             "over direct_response\n"
             "> A respond 429 slow\n"
             "A: EGONE\n");
}

MB_TEST(a_reply_in_the_response_phase_goes_straight_to_the_client) {
    playbook("chain A B C\n"
             "all A C\n"
             "B response headers: respond 502 bad\n"
             "> request headers end\n"
             "A request headers end\n"
             "C request headers end\n"
             "terminal headers end\n"
             "> response headers 200\n"
             "C response headers\n"
             "B response headers\n"
             "terminal abort\n"
             "client headers 502 x-by=B\n"
             "client body 'bad' end\n"
             "over direct_response\n");
}

MB_TEST(a_reply_may_replace_a_response_that_is_held) {
    playbook("chain A B\n"
             "all A\n"
             "B response headers: stop\n"
             "B response body: buffer | respond 502\n"
             "> request headers end\n"
             "A request headers end\n"
             "terminal headers end\n"
             "> response headers 200\n"
             "B response headers\n"
             "> response body ab\n"
             "B response body 'ab'\n"
             "> response body cd\n"
             "B response body 'cd'\n"
             "terminal abort\n"
             "client headers 502 end x-by=B\n"
             "over direct_response\n");
}

MB_TEST(a_reply_after_the_head_went_out_is_refused) {
    playbook("chain A\n"
             "A response body: respond 502 bad\n"
             "A response trailers: respond 502 bad\n"
             "> request headers end\n"
             "terminal headers end\n"
             "> response headers 200\n"
             "client headers 200\n"
             "> A respond 500 x\n"
             "A respond: EPHASE\n"
             "> response body ab\n"
             "A response body 'ab'\n"
             "A respond: EPHASE\n"
             "client body 'ab'\n"
             "> response trailers\n"
             "A response body '' end\n"
             "A response trailers\n"
             "A respond: EPHASE\n"
             "client trailers\n"
             "over\n");
}

MB_TEST(a_reply_to_a_local_reply_goes_straight_to_the_client) {
    playbook("chain A B\n"
             "all A\n"
             "B response headers: respond 500 worse\n"
             "B request headers: respond 403 no\n"
             "> request headers end\n"
             "A request headers end\n"
             "B request headers end\n"
             "B response headers\n"
             "client headers 500 x-by=B\n"
             "client body 'worse' end\n"
             "over direct_response\n");
}

MB_TEST(the_routers_own_reply_passes_the_response_hooks) {
    playbook("chain A B\n"
             "all A\n"
             "terminal local 503\n"
             "B response headers: stop\n"
             "> request headers\n"
             "A request headers\n"
             "terminal headers\n"
             "terminal abort\n"
             "B response headers\n"
             "> request body ab\n"
             "> B resume response\n"
             "> loop\n"
             "A response headers\n"
             "client headers 503\n"
             "A response body 'sorry' end\n"
             "client body 'sorry' end\n"
             "over router\n");
}

MB_TEST(an_upstream_may_answer_in_the_call_that_asks_it) {
    playbook("chain A B\n"
             "all A B\n"
             "terminal answer 200 hi\n"
             "> request headers\n"
             "A request headers\n"
             "B request headers\n"
             "terminal headers\n"
             "B response headers\n"
             "A response headers\n"
             "client headers 200\n"
             "B response body 'hi' end\n"
             "A response body 'hi' end\n"
             "client body 'hi' end\n"
             "terminal abort\n"
             "over\n");
    playbook("chain A B\n"
             "terminal answer 204\n"
             "A request headers: hold ab\n"
             "B request headers: stop\n"
             "> request headers end\n"
             "A request headers end\n"
             "B request headers\n"
             "> B resume request\n"
             "> loop\n"
             "terminal headers\n"
             "client headers 204 end\n"
             "terminal abort\n"
             "over\n");
}

MB_TEST(an_answer_before_the_request_ended_ends_the_stream) {
    playbook("chain A\n"
             "all A\n"
             "> request headers\n"
             "A request headers\n"
             "terminal headers\n"
             "> request body ab\n"
             "A request body 'ab'\n"
             "terminal body 'ab'\n"
             "> response headers 200 end\n"
             "A response headers end\n"
             "client headers 200 end\n"
             "terminal abort\n"
             "over\n"
             "> request body cd end\n");
}

MB_TEST(an_upstream_that_has_all_and_gave_all_is_not_aborted) {
    playbook("chain A\n"
             "A response headers: stop\n"
             "> request headers\n"
             "terminal headers\n"
             "> response headers 200 end\n"
             "A response headers end\n"
             "> request body ab end\n"
             "terminal body 'ab' end\n"
             "> A resume response\n"
             "> loop\n"
             "client headers 200 end\n"
             "over\n");
}

MB_TEST(informational_responses_pass_until_the_head_went_out) {
    playbook("chain A\n"
             "all A\n"
             "> request headers end\n"
             "A request headers end\n"
             "terminal headers end\n"
             "> response informational 103\n"
             "client informational 103\n"
             "> response headers 200\n"
             "A response headers\n"
             "client headers 200\n"
             "> response informational 103\n"
             "> response body end\n"
             "A response body '' end\n"
             "client body '' end\n"
             "over\n");
}

/* -- reset ------------------------------------------------------------------------------------ */

MB_TEST(a_reset_in_any_hook_breaks_the_stream_off) {
    playbook("chain A B\n"
             "show ends\n"
             "all A\n"
             "B complete:\n"
             "A request headers: reset why\n"
             "> request headers\n"
             "A request headers\n"
             "client reset\n"
             "B complete\n"
             "A destroy\n"
             "B destroy\n"
             "over why\n"
             "> request body ab\n");
    playbook("chain A\n"
             "A request body: reset, pending\n"
             "> request headers\n"
             "terminal headers\n"
             "> request body ab\n"
             "A request body 'ab'\n"
             "client reset\n"
             "terminal abort\n"
             "over filter_reset\n");
    playbook("chain A B\n"
             "B response body: respond 500, reset\n"
             "> request headers end\n"
             "terminal headers end\n"
             "> response headers 200\n"
             "client headers 200\n"
             "> response body ab\n"
             "B response body 'ab'\n"
             "B respond: EPHASE\n"
             "client reset\n"
             "terminal abort\n"
             "over filter_reset\n");
}

MB_TEST(a_reset_beats_a_reply_of_the_same_hook) {
    playbook("chain A\n"
             "A request headers: respond 403, reset\n"
             "> request headers end\n"
             "A request headers end\n"
             "client reset\n"
             "over filter_reset\n");
}

MB_TEST(a_reset_outside_of_hooks_comes_in_the_next_turn) {
    playbook("chain A\n"
             "A request headers: pending\n"
             "> request headers\n"
             "A request headers\n"
             "> A reset late\n"
             "> request body ab\n"
             "> loop\n"
             "client reset\n"
             "over late\n"
             "> loop\n");
}

/* -- complete and destroy --------------------------------------------------------------------- */

MB_TEST(filters_whose_hooks_ran_are_destroyed_and_no_others) {
    playbook("chain A B C\n"
             "show ends\n"
             "A request headers:\n"
             "B request headers: stop\n"
             "C request headers:\n"
             "A complete:\n"
             "> request headers end\n"
             "A request headers end\n"
             "B request headers end\n"
             "> client gone\n"
             "A complete\n"
             "A destroy\n"
             "B destroy\n"
             "over gone\n");
}

MB_TEST(complete_comes_after_the_last_byte) {
    playbook("chain A B\n"
             "show ends\n"
             "A complete: respond 500, resume request, reset\n"
             "B complete:\n"
             "> request headers end\n"
             "terminal headers end\n"
             "> response headers 200\n"
             "client headers 200\n"
             "> response body ab end\n"
             "client body 'ab' end\n"
             "A complete\n"
             "A respond: EPHASE\n"
             "A resume: EPHASE\n"
             "A reset: EGONE\n"
             "B complete\n"
             "A destroy\n"
             "B destroy\n"
             "over\n");
}

MB_TEST(a_stream_that_ends_before_its_head_is_completed_too) {
    playbook("chain A B\n"
             "show ends\n"
             "A complete:\n"
             "B request headers:\n"
             "> client gone\n"
             "A complete\n"
             "A destroy\n"
             "over gone\n");
}

/* -- gRPC ------------------------------------------------------------------------------------ */

static void begin_grpc(filter_rig *rig) {
    filter_rig_init(rig, 0);
    filter_rig_get(rig, "/a.B/C");
    rig->stream->grpc_request = true; /* the connection manager's to say */
    mb_stream_request_headers(rig->stream, false);
}

MB_TEST(a_client_of_grpc_gets_a_status_and_a_message) {
    static const struct {
        uint32_t status;
        const char *text, *fields;
    } rows[] = {
        {503, "no healthy upstream",
         "content-type=application/grpc;grpc-status=14;grpc-message=no healthy upstream;"},
        {401, "50% off\n",
         "content-type=application/grpc;grpc-status=16;grpc-message=50%25 off%0A;"},
        {404, "", "content-type=application/grpc;grpc-status=12;"},
        {204, "", "content-type=application/grpc;grpc-status=2;"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        filter_rig rig;
        begin_grpc(&rig);
        mb_stream_local_reply(rig.stream, rows[i].status, 0, MB_SLICE_LIT("why"),
                              mb_slice_from_c(rows[i].text));
        MB_CHECK_EQ_INT(rig.status, 200);
        MB_CHECK_EQ_SLICE(filter_rig_fields(&rig.stream->headers[MB_RESPONSE]),
                          mb_slice_from_c(rows[i].fields));
        MB_CHECK_EQ_INT(rig.body_length, 0);
        MB_CHECK(rig.response_ended && rig.completed);
        MB_CHECK_EQ_LIT(rig.stream->info.details, "why");
        filter_rig_fini(&rig);
    }
}

MB_TEST(headers_of_a_reply_to_grpc_stay) {
    const mb_header headers[] = {{MB_SLICE_LIT("grpc-status"), MB_SLICE_LIT("8")},
                                 {MB_SLICE_LIT("content-type"), MB_SLICE_LIT("text/html")},
                                 {MB_SLICE_LIT("x-a"), MB_SLICE_LIT("1")}};
    const mb_local_reply reply = {.status = 429, .headers = headers, .header_count = 3};
    filter_rig rig;
    begin_grpc(&rig);
    mb_stream_local_reply_with(rig.stream, 0, &reply, NULL, NULL);
    MB_CHECK_EQ_LIT(filter_rig_fields(&rig.stream->headers[MB_RESPONSE]),
                    "grpc-status=8;content-type=application/grpc;x-a=1;");
    filter_rig_fini(&rig);
}

MB_TEST(a_long_text_for_grpc_is_cut) {
    static char text[5000];
    filter_rig rig;
    memset(text, '%', sizeof(text));
    begin_grpc(&rig);
    mb_stream_local_reply(rig.stream, 500, 0, MB_SLICE_LIT(""), (mb_slice){text, sizeof(text)});
    MB_CHECK_EQ_INT(mb_headers_value(&rig.stream->headers[MB_RESPONSE], MB_TOKEN_GRPC_MESSAGE).len,
                    3 * 2048);
    filter_rig_fini(&rig);
}

MB_TEST(every_failing_allocation_of_a_reply_to_grpc_ends_the_stream) {
    static char text[5000];
    size_t failures = 0;
    for (size_t n = 1, failed = 1; failed; n++) {
        filter_rig rig;
        begin_grpc(&rig);
        rig.memory->fail_at = rig.memory->requests + n;
        mb_stream_local_reply(rig.stream, 500, 0, MB_SLICE_LIT(""), (mb_slice){text, 5000});
        failed = rig.memory->requests >= rig.memory->fail_at;
        rig.memory->fail_at = 0;
        failures += failed;
        MB_CHECK(rig.completed);
        MB_CHECK_EQ_INT(rig.reset, failed);
        filter_rig_fini(&rig);
    }
    MB_CHECK(failures > 0);
}
