/*
 * The limit of what filters hold: an answer, or a pause of the sender, and its end.
 */
#include "support/playbook.h"

MB_TEST(a_buffered_request_over_the_limit_is_answered_413) {
    playbook("chain A B\n"
             "limit 4\n"
             "all B\n"
             "A request body: buffer | buffer\n"
             "> request headers\n"
             "B request headers\n"
             "terminal headers\n"
             "> request body abcd\n"
             "A request body 'abcd'\n"
             "> request body e\n"
             "A request body 'e'\n"
             "terminal abort\n"
             "B response headers\n"
             "client headers 413\n"
             "B response body 'Payload Too Large' end\n"
             "client body 'Payload Too Large' end\n"
             "over request_payload_too_large\n"
             "> request body f end\n");
}

MB_TEST(stop_all_and_buffer_over_the_limit_is_answered_413) {
    playbook("chain A B\n"
             "limit 4\n"
             "all B\n"
             "A request headers: stop_all_buffer\n"
             "> request headers\n"
             "A request headers\n"
             "> request body abcd\n"
             "> request body e\n"
             "B response headers\n"
             "client headers 413\n"
             "B response body 'Payload Too Large' end\n"
             "client body 'Payload Too Large' end\n"
             "over request_payload_too_large\n");
}

MB_TEST(a_buffered_response_over_the_limit_is_answered_500_before_its_head_went_out) {
    playbook("chain A B\n"
             "limit 4\n"
             "all A\n"
             "B response headers: stop\n"
             "B response body: buffer | buffer\n"
             "> request headers end\n"
             "A request headers end\n"
             "terminal headers end\n"
             "> response headers 200\n"
             "B response headers\n"
             "> response body abcd\n"
             "B response body 'abcd'\n"
             "> response body e end\n"
             "B response body 'e' end\n"
             "client headers 500\n"
             "client body 'Internal Server Error' end\n"
             "over response_payload_too_large\n");
}

MB_TEST(a_buffered_response_over_the_limit_is_broken_off_after_its_head_went_out) {
    playbook("chain A B\n"
             "limit 4\n"
             "B response body: buffer | buffer\n"
             "> request headers end\n"
             "terminal headers end\n"
             "> response headers 200\n"
             "client headers 200\n"
             "> response body abcd\n"
             "B response body 'abcd'\n"
             "> response body e\n"
             "B response body 'e'\n"
             "client reset\n"
             "terminal abort\n"
             "over response_payload_too_large\n");
}

MB_TEST(a_local_reply_over_the_limit_of_a_response_filter_becomes_500) {
    playbook("chain A\n"
             "limit 4\n"
             "A request headers: respond 403 forbidden\n"
             "A response headers: stop_all_buffer\n"
             "> request headers end\n"
             "A request headers end\n"
             "A response headers\n"
             "client headers 500\n"
             "client body 'Internal Server Error' end\n"
             "over response_payload_too_large\n");
}

MB_TEST(a_watermark_pauses_the_sender_until_half_is_left) {
    playbook_everywhere("limit 4\n"
                        "S request body: watermark | watermark\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body abcd\n"
                        "A request body 'abcd'\n"
                        "S request body 'abcd'\n"
                        "> request body e\n"
                        "A request body 'e'\n"
                        "S request body 'e'\n"
                        "pause request\n"
                        "> loop\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request body 'abcde'\n"
                        "terminal body 'abcde'\n"
                        "unpause request\n"
                        "> request body f end\n"
                        "A request body 'f' end\n"
                        "S request body 'f' end\n"
                        "B request body 'f' end\n"
                        "terminal body 'f' end\n");
}

static void paused_by(const char *how, const char *released) {
    char text[1024];
    strcpy(text, "limit 4\nS request headers: ");
    strcat(text, how);
    strcat(text, "\n"
                 "> request headers\n"
                 "A request headers\n"
                 "S request headers\n"
                 "> request body abc\n"
                 "A request body 'abc'\n"
                 "> request body de\n"
                 "A request body 'de'\n"
                 "pause request\n"
                 "> request body fg\n"
                 "A request body 'fg'\n"
                 "> S ");
    strcat(text, released);
    strcat(text, " request\n"
                 "> loop\n"
                 "B request headers\n"
                 "terminal headers\n"
                 "B request body 'abcdefg'\n"
                 "terminal body 'abcdefg'\n"
                 "unpause request\n"
                 "> request body h end\n"
                 "A request body 'h' end\n"
                 "B request body 'h' end\n"
                 "terminal body 'h' end\n");
    playbook_everywhere(text);
}

MB_TEST(a_filter_that_stops_all_with_a_watermark_pauses_the_sender) {
    paused_by("stop_all_watermark", "resume");
}

MB_TEST(a_filter_that_stops_without_body_hook_pauses_the_sender) {
    paused_by("stop", "resume");
}

MB_TEST(a_pending_hook_pauses_the_sender) {
    playbook_everywhere("limit 4\n"
                        "S request body: pending\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body abc\n"
                        "A request body 'abc'\n"
                        "S request body 'abc'\n"
                        "> request body de\n"
                        "A request body 'de'\n"
                        "pause request\n"
                        "> S finish request continue\n"
                        "> loop\n"
                        "B request body 'abc'\n"
                        "terminal body 'abc'\n"
                        "S request body 'de'\n"
                        "B request body 'de'\n"
                        "terminal body 'de'\n"
                        "unpause request\n"
                        "> request body end\n"
                        "A request body '' end\n"
                        "S request body '' end\n"
                        "B request body '' end\n"
                        "terminal body '' end\n");
}

MB_TEST(the_low_watermark_is_half_of_the_limit) {
    playbook("chain A B C\n"
             "limit 8\n"
             "A request headers: stop\n"
             "B request headers: stop_all_watermark\n"
             "C request headers:\n"
             "> request headers\n"
             "A request headers\n"
             "> request body abcdefghi\n"
             "pause request\n"
             "> A resume request\n"
             "> loop\n"
             "B request headers\n"
             "> B resume request\n"
             "> loop\n"
             "C request headers\n"
             "terminal headers\n"
             "terminal body 'abcdefghi'\n"
             "unpause request\n");
}

MB_TEST(a_filter_that_drains_what_it_holds_lets_the_sender_go_on) {
    playbook_everywhere("limit 4\n"
                        "S request headers: stop\n"
                        "S request body: watermark | drain_held 9, no_buffer\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body abcde\n"
                        "A request body 'abcde'\n"
                        "S request body 'abcde'\n"
                        "pause request\n"
                        "> S drain_held request 2\n"
                        "> loop\n"
                        "> S drain_held request 1\n"
                        "> loop\n"
                        "unpause request\n"
                        "> request body f end\n"
                        "A request body 'f' end\n"
                        "S request body 'f' end\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "B request body '' end\n"
                        "terminal body '' end\n");
}

MB_TEST(bytes_that_a_hook_takes_after_a_pause_let_the_sender_go_on) {
    playbook_everywhere("limit 4\n"
                        "S request headers: pending\n"
                        "S request body: no_buffer\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body abcde\n"
                        "A request body 'abcde'\n"
                        "pause request\n"
                        "> S finish request stop\n"
                        "> loop\n"
                        "S request body 'abcde'\n"
                        "unpause request\n"
                        "> request body f end\n"
                        "A request body 'f' end\n"
                        "S request body 'f' end\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "B request body 'f' end\n"
                        "terminal body 'f' end\n");
}

/* It waits for the rest of the body, which would never come. */
MB_TEST(a_filter_that_buffers_after_a_pause_gets_the_rest) {
    playbook_everywhere("limit 4\n"
                        "S request headers: pending\n"
                        "S request body: drain 2, buffer\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body abcde\n"
                        "A request body 'abcde'\n"
                        "pause request\n"
                        "> S finish request stop\n"
                        "> loop\n"
                        "S request body 'abcde'\n"
                        "unpause request\n"
                        "> request body f end\n"
                        "A request body 'f' end\n"
                        "S request body 'f' end\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "B request body 'cdef' end\n"
                        "terminal body 'cdef' end\n");
}

MB_TEST(a_pending_head_that_then_buffers_more_than_the_limit_is_answered_413) {
    playbook("chain A\n"
             "limit 4\n"
             "A request headers: pending\n"
             "> request headers\n"
             "A request headers\n"
             "> request body abcde\n"
             "pause request\n"
             "> A finish request stop_all_buffer\n"
             "> loop\n"
             "client headers 413\n"
             "client body 'Payload Too Large' end\n"
             "over request_payload_too_large\n");
}

MB_TEST(what_goes_on_at_once_does_not_pause_the_sender) {
    playbook_everywhere("limit 4\n"
                        "S request body: buffer | continue\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body abc\n"
                        "A request body 'abc'\n"
                        "S request body 'abc'\n"
                        "> request body def end\n"
                        "A request body 'def' end\n"
                        "S request body 'def' end\n"
                        "B request body 'abcdef' end\n"
                        "terminal body 'abcdef' end\n");
}

MB_TEST(the_limit_is_of_all_filters_of_a_direction) {
    playbook("chain A B\n"
             "limit 4\n"
             "A request body: continue | watermark\n"
             "B request body: watermark\n"
             "> request headers\n"
             "terminal headers\n"
             "> request body abc\n"
             "A request body 'abc'\n"
             "B request body 'abc'\n"
             "> request body de\n"
             "A request body 'de'\n"
             "pause request\n"
             "> B resume request\n"
             "> loop\n"
             "terminal body 'abc'\n"
             "unpause request\n"
             "> A resume request\n"
             "> loop\n"
             "B request body 'de'\n"
             "terminal body 'de'\n");
}

MB_TEST(without_a_limit_nothing_is_paused) {
    playbook("chain A\n"
             "A request headers: stop_all_buffer\n"
             "> request headers\n"
             "A request headers\n"
             "> request body abcdefghijklmnopqrstuvwxyz\n"
             "> request body end\n"
             "> A resume request\n"
             "> loop\n"
             "terminal headers\n"
             "terminal body 'abcdefghijklmnopqrstuvwxyz' end\n");
}

/* -- the ends of the chain -------------------------------------------------------------------- */

MB_TEST(the_first_reason_pauses_and_the_last_one_to_go_restarts) {
    playbook_everywhere("limit 4\n"
                        "S request body: watermark\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> upstream slow\n"
                        "pause request\n"
                        "> upstream slow\n"
                        "> request body abcde\n"
                        "A request body 'abcde'\n"
                        "S request body 'abcde'\n"
                        "> upstream fast\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request body 'abcde'\n"
                        "terminal body 'abcde'\n"
                        "unpause request\n"
                        "> upstream fast\n");
}

MB_TEST(a_client_that_is_slow_when_the_stream_begins_pauses_the_upstream) {
    playbook("chain A\n"
             "> client slow\n"
             "> request headers end\n"
             "terminal headers end\n"
             "pause response\n"
             "> client fast\n"
             "unpause response\n"
             "> response headers 200 end\n"
             "client headers 200 end\n"
             "over\n");
}

MB_TEST(a_stream_that_ends_while_paused_says_so) {
    playbook("chain A\n"
             "limit 2\n"
             "A request headers: pending\n"
             "> request headers\n"
             "A request headers\n"
             "> request body abc\n"
             "pause request\n"
             "> A reset\n"
             "> loop\n"
             "client reset\n"
             "over filter_reset\n");
}
