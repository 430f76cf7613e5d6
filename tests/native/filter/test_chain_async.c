/*
 * Hooks that answer MB_PENDING, as coroutines do, and finish later with each status.
 */
#include "support/playbook.h"

/* -- headers ---------------------------------------------------------------------------------- */

MB_TEST(a_pending_head_that_continues_goes_on_alone) {
    playbook_everywhere("S request headers: pending\n"
                        "S request body:\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> loop\n"
                        "> S finish request continue\n"
                        "> loop\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab end\n"
                        "A request body 'ab' end\n"
                        "S request body 'ab' end\n"
                        "B request body 'ab' end\n"
                        "terminal body 'ab' end\n");
}

MB_TEST(a_pending_head_of_a_message_without_body_goes_on) {
    playbook_everywhere("S request headers: pending\n"
                        "> request headers end\n"
                        "A request headers end\n"
                        "S request headers end\n"
                        "> S finish request continue\n"
                        "> loop\n"
                        "B request headers end\n"
                        "terminal headers end\n");
}

MB_TEST(what_comes_while_a_head_is_pending_is_given_to_the_hooks_afterwards) {
    playbook_everywhere("S request headers: pending\n"
                        "S request body:\n"
                        "S request trailers:\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "> request body cd\n"
                        "A request body 'cd'\n"
                        "> request trailers\n"
                        "A request body '' end\n"
                        "A request trailers\n"
                        "> S finish request continue\n"
                        "> loop\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "S request body 'abcd' end\n"
                        "B request body 'abcd' end\n"
                        "terminal body 'abcd'\n"
                        "S request trailers\n"
                        "B request trailers\n"
                        "terminal trailers\n");
}

MB_TEST(a_pending_head_that_stops_gets_its_body_hooks) {
    playbook_everywhere("S request headers: pending\n"
                        "S request body: buffer | continue\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "> S finish request stop\n"
                        "> loop\n"
                        "S request body 'ab'\n"
                        "> request body cd end\n"
                        "A request body 'cd' end\n"
                        "S request body 'cd' end\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "B request body 'abcd' end\n"
                        "terminal body 'abcd' end\n");
}

MB_TEST(a_pending_head_that_stops_all_waits_for_resume) {
    playbook_everywhere("S request headers: pending\n"
                        "S request body:\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "> S finish request stop_all_buffer\n"
                        "> loop\n"
                        "> request body cd end\n"
                        "A request body 'cd' end\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "S request body 'abcd' end\n"
                        "B request body 'abcd' end\n"
                        "terminal body 'abcd' end\n");
}

MB_TEST(a_pending_head_may_give_a_body) {
    playbook_everywhere("S request headers: pending\n"
                        "> request headers end\n"
                        "A request headers end\n"
                        "S request headers end\n"
                        "> S hold request xy\n"
                        "> S finish request continue\n"
                        "> loop\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "B request body 'xy' end\n"
                        "terminal body 'xy' end\n");
}

MB_TEST(a_finish_with_a_status_that_the_phase_does_not_have_is_answered_500) {
    static const char *const bad[] = {"status 4", "status 256", "status 511", "status -1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[1024];
        strcpy(text, "chain A S\n"
                     "S request headers: pending\n"
                     "> request headers\n"
                     "S request headers\n"
                     "> S finish request ");
        strcat(text, bad[i]);
        strcat(text, "\n"
                     "> loop\n"
                     "client headers 500\n"
                     "client body 'Internal Server Error' end\n"
                     "over filter_bad_status\n");
        playbook(text);
    }
}

/* -- body ------------------------------------------------------------------------------------- */

MB_TEST(a_pending_piece_goes_on_before_what_came_meanwhile) {
    playbook_everywhere("S request body: pending\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> request body cd\n"
                        "A request body 'cd'\n"
                        "> request body ef end\n"
                        "A request body 'ef' end\n"
                        "> S finish request continue\n"
                        "> loop\n"
                        "B request body 'ab'\n"
                        "terminal body 'ab'\n"
                        "S request body 'cdef' end\n"
                        "B request body 'cdef' end\n"
                        "terminal body 'cdef' end\n");
}

MB_TEST(a_pending_piece_may_be_changed_until_it_is_finished) {
    playbook_everywhere("S request body: append X, pending | pending\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> S piece request drain 1\n"
                        "> S piece request append Y\n"
                        "> S finish request continue\n"
                        "> loop\n"
                        "B request body 'bXY'\n"
                        "terminal body 'bXY'\n"
                        "> S piece request append Z\n"
                        "S piece: ENOTFOUND\n"
                        "> request body end\n"
                        "A request body '' end\n"
                        "S request body '' end\n"
                        "> S piece request append Z\n"
                        "> S finish request continue\n"
                        "> loop\n"
                        "B request body 'Z' end\n"
                        "terminal body 'Z' end\n");
}

MB_TEST(pending_pieces_finish_with_each_status) {
    playbook_everywhere("S request headers: stop\n"
                        "S request body: pending | pending | pending | pending\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> S finish request buffer\n"
                        "> loop\n"
                        "> request body cd\n"
                        "A request body 'cd'\n"
                        "S request body 'cd'\n"
                        "> S finish request no_buffer\n"
                        "> loop\n"
                        "> request body ef\n"
                        "A request body 'ef'\n"
                        "S request body 'ef'\n"
                        "> S finish request watermark\n"
                        "> loop\n"
                        "> request body gh\n"
                        "A request body 'gh'\n"
                        "S request body 'gh'\n"
                        "> S finish request continue\n"
                        "> loop\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "B request body 'abefgh'\n"
                        "terminal body 'abefgh'\n"
                        "> request body end\n"
                        "A request body '' end\n"
                        "S request body '' end\n"
                        "B request body '' end\n"
                        "terminal body '' end\n");
}

MB_TEST(what_came_while_a_piece_was_pending_is_seen_also_when_it_stops) {
    playbook_everywhere("S request body: pending | pending | no_buffer\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> request body cd\n"
                        "A request body 'cd'\n"
                        "> S finish request buffer\n"
                        "> loop\n"
                        "S request body 'cd'\n"
                        "> request body ef end\n"
                        "A request body 'ef' end\n"
                        "> S finish request buffer\n"
                        "> loop\n"
                        "S request body 'ef' end\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request body 'abcd' end\n"
                        "terminal body 'abcd' end\n");
}

MB_TEST(two_filters_pending_in_one_direction_keep_the_order) {
    playbook("chain A B C\n"
             "A request body: pending | pending\n"
             "B request body: pending | pending\n"
             "all C\n"
             "> request headers\n"
             "C request headers\n"
             "terminal headers\n"
             "> request body ab\n"
             "A request body 'ab'\n"
             "> A finish request continue\n"
             "> loop\n"
             "B request body 'ab'\n"
             "> request body cd end\n"
             "A request body 'cd' end\n"
             "> A finish request continue\n"
             "> B finish request continue\n"
             "> loop\n"
             "C request body 'ab'\n"
             "terminal body 'ab'\n"
             "B request body 'cd' end\n"
             "> B finish request continue\n"
             "> loop\n"
             "C request body 'cd' end\n"
             "terminal body 'cd' end\n");
}

MB_TEST(both_directions_of_a_filter_may_be_pending) {
    playbook("chain A B\n"
             "A request body: pending\n"
             "A response headers: pending\n"
             "all B\n"
             "> request headers\n"
             "B request headers\n"
             "terminal headers\n"
             "> request body ab\n"
             "A request body 'ab'\n"
             "> response headers 200\n"
             "B response headers\n"
             "A response headers\n"
             "> response body xy\n"
             "B response body 'xy'\n"
             "> A finish response continue\n"
             "> loop\n"
             "client headers 200\n"
             "client body 'xy'\n"
             "> A finish request continue\n"
             "> loop\n"
             "B request body 'ab'\n"
             "terminal body 'ab'\n"
             "> request body end\n"
             "A request body '' end\n"
             "B request body '' end\n"
             "terminal body '' end\n"
             "> response body end\n"
             "B response body '' end\n"
             "client body '' end\n"
             "over\n");
}

/* -- trailers --------------------------------------------------------------------------------- */

MB_TEST(trailers_wait_for_a_pending_piece) {
    playbook_everywhere("S request body: pending\n"
                        "S request trailers:\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> request trailers\n"
                        "A request body '' end\n"
                        "A request trailers\n"
                        "> S finish request continue\n"
                        "> loop\n"
                        "B request body 'ab'\n"
                        "terminal body 'ab'\n"
                        "S request body '' end\n"
                        "B request body '' end\n"
                        "S request trailers\n"
                        "B request trailers\n"
                        "terminal trailers\n");
}

MB_TEST(pending_trailers_go_on_or_wait_for_resume) {
    playbook_everywhere("S request trailers: pending\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request trailers\n"
                        "A request body '' end\n"
                        "B request body '' end\n"
                        "A request trailers\n"
                        "S request trailers\n"
                        "> S finish request continue\n"
                        "> loop\n"
                        "B request trailers\n"
                        "terminal trailers\n");
    playbook_everywhere("S request body: buffer | buffer\n"
                        "S request trailers: pending\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> request trailers\n"
                        "A request body '' end\n"
                        "S request body '' end\n"
                        "A request trailers\n"
                        "S request trailers\n"
                        "> S finish request stop\n"
                        "> loop\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request body 'ab' end\n"
                        "terminal body 'ab'\n"
                        "B request trailers\n"
                        "terminal trailers\n");
}

/* -- what is not allowed ---------------------------------------------------------------------- */

MB_TEST(finish_and_resume_are_refused_in_the_wrong_phase) {
    playbook("chain A\n"
             "A request headers: finish request continue, pending\n"
             "A request body:\n"
             "> request headers\n"
             "A request headers\n"
             "A finish: EPHASE\n"
             "> A resume request\n"
             "A resume: EPHASE\n"
             "> A finish response continue\n"
             "A finish: EPHASE\n"
             "> A finish request pending\n"
             "A finish: EPHASE\n"
             "> A finish request stop\n"
             "> A finish request continue\n"
             "A finish: EPHASE\n"
             "> loop\n"
             "> A finish request continue\n"
             "A finish: EPHASE\n"
             "> request body ab end\n"
             "A request body 'ab' end\n"
             "terminal headers\n"
             "terminal body 'ab' end\n");
}

MB_TEST(a_filter_of_a_stream_that_has_ended_is_gone) {
    playbook("chain A\n"
             "show ends\n"
             "A request headers: pending\n"
             "A complete:\n"
             "> request headers end\n"
             "A request headers end\n"
             "> A finish request continue\n"
             "> client gone\n"
             "A complete\n"
             "A destroy\n"
             "over gone\n"
             "> loop\n"
             "> A finish request continue\n"
             "A: EGONE\n"
             "> A post 3\n"
             "A: EGONE\n"
             "> loop\n");
}

/* -- later events ----------------------------------------------------------------------------- */

MB_TEST(posts_reach_the_filter_in_order_and_may_act) {
    playbook("chain A B\n"
             "A request headers: stop_all_watermark\n"
             "A scheduled: | resume request\n"
             "B request headers:\n"
             "> request headers end\n"
             "A request headers end\n"
             "> A post 1\n"
             "> A post 2\n"
             "> loop\n"
             "A scheduled 1\n"
             "A scheduled 2\n"
             "B request headers end\n"
             "terminal headers end\n");
}

MB_TEST(a_post_may_finish_or_answer) {
    playbook("chain A B\n"
             "A request headers: pending\n"
             "A scheduled: finish request continue\n"
             "B request headers: pending\n"
             "B scheduled: respond 403 no\n"
             "> request headers end\n"
             "A request headers end\n"
             "> A post 1\n"
             "> loop\n"
             "A scheduled 1\n"
             "B request headers end\n"
             "> B post 2\n"
             "> loop\n"
             "B scheduled 2\n"
             "client headers 403 x-by=B\n"
             "client body 'no' end\n"
             "over direct_response\n");
}

MB_TEST(a_post_to_a_filter_without_the_hook_or_a_stream_that_is_gone_is_dropped) {
    playbook("chain A B\n"
             "A request headers: stop\n"
             "B scheduled:\n"
             "> request headers end\n"
             "A request headers end\n"
             "> A post 1\n"
             "> B post 2\n"
             "> loop\n"
             "B scheduled 2\n"
             "> B post 3\n"
             "> client gone\n"
             "over gone\n"
             "> loop\n");
}
