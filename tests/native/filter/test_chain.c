/*
 * Every status of every phase, in both directions and every position. What is expected stands in
 * filter.h and in Envoy's documentation of filters; the format in support/playbook.h.
 */
#include "support/playbook.h"

MB_TEST(filters_that_continue_pass_a_message_on_piece_by_piece) {
    playbook_everywhere("S request headers:\n"
                        "S request body:\n"
                        "S request trailers:\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "B request body 'ab'\n"
                        "terminal body 'ab'\n"
                        "> request body c end\n"
                        "A request body 'c' end\n"
                        "S request body 'c' end\n"
                        "B request body 'c' end\n"
                        "terminal body 'c' end\n");
}

MB_TEST(a_message_without_body_ends_with_its_head) {
    playbook_everywhere("S request headers:\n"
                        "S request body:\n"
                        "> request headers end\n"
                        "A request headers end\n"
                        "S request headers end\n"
                        "B request headers end\n"
                        "terminal headers end\n");
}

MB_TEST(an_empty_last_piece_ends_the_body) {
    playbook_everywhere("S request body:\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "B request body 'ab'\n"
                        "terminal body 'ab'\n"
                        "> request body end\n"
                        "A request body '' end\n"
                        "S request body '' end\n"
                        "B request body '' end\n"
                        "terminal body '' end\n");
}

MB_TEST(trailers_follow_one_last_piece_that_is_empty) {
    playbook_everywhere("S request body:\n"
                        "S request trailers:\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "B request body 'ab'\n"
                        "terminal body 'ab'\n"
                        "> request trailers\n"
                        "A request body '' end\n"
                        "S request body '' end\n"
                        "B request body '' end\n"
                        "A request trailers\n"
                        "S request trailers\n"
                        "B request trailers\n"
                        "terminal trailers\n");
}

MB_TEST(trailers_may_follow_a_head_at_once) {
    playbook_everywhere("S request trailers:\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request trailers\n"
                        "A request body '' end\n"
                        "B request body '' end\n"
                        "A request trailers\n"
                        "S request trailers\n"
                        "B request trailers\n"
                        "terminal trailers\n");
}

MB_TEST(a_filter_without_hooks_is_passed_over) {
    playbook_everywhere("> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body a\n"
                        "A request body 'a'\n"
                        "B request body 'a'\n"
                        "terminal body 'a'\n"
                        "> request trailers\n"
                        "A request body '' end\n"
                        "B request body '' end\n"
                        "A request trailers\n"
                        "B request trailers\n"
                        "terminal trailers\n");
}

/* -- headers: STOP_ITERATION ------------------------------------------------------------------ */

MB_TEST(stop_iteration_holds_the_head_until_the_own_body_hook_continues) {
    playbook_everywhere("S request headers: stop\n"
                        "S request body: no_buffer | buffer | continue\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> request body cd\n"
                        "A request body 'cd'\n"
                        "S request body 'cd'\n"
                        "> request body ef\n"
                        "A request body 'ef'\n"
                        "S request body 'ef'\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "B request body 'cdef'\n"
                        "terminal body 'cdef'\n"
                        "> request body g end\n"
                        "A request body 'g' end\n"
                        "S request body 'g' end\n"
                        "B request body 'g' end\n"
                        "terminal body 'g' end\n");
}

MB_TEST(stop_iteration_is_released_by_resume_with_all_that_was_held) {
    playbook_everywhere("S request headers: stop\n"
                        "S request body: buffer | watermark\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> request body cd end\n"
                        "A request body 'cd' end\n"
                        "S request body 'cd' end\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "B request body 'abcd' end\n"
                        "terminal body 'abcd' end\n");
}

MB_TEST(stop_iteration_without_body_hook_holds_until_resume) {
    playbook_everywhere("S request headers: stop\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "> request body end\n"
                        "A request body '' end\n"
                        "> loop\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "B request body 'ab' end\n"
                        "terminal body 'ab' end\n");
}

MB_TEST(stop_iteration_of_a_message_without_body_waits_for_resume) {
    playbook_everywhere("S request headers: stop\n"
                        "S request body:\n"
                        "> request headers end\n"
                        "A request headers end\n"
                        "S request headers end\n"
                        "> loop\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request headers end\n"
                        "terminal headers end\n");
}

MB_TEST(resume_before_any_body_passes_the_head_alone) {
    playbook_everywhere("S request headers: stop\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body a end\n"
                        "A request body 'a' end\n"
                        "B request body 'a' end\n"
                        "terminal body 'a' end\n");
}

MB_TEST(a_body_that_was_taken_whole_ends_with_an_empty_piece) {
    playbook_everywhere("S request headers: stop\n"
                        "S request body: no_buffer | no_buffer\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> request body cd end\n"
                        "A request body 'cd' end\n"
                        "S request body 'cd' end\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "B request body '' end\n"
                        "terminal body '' end\n");
}

/* -- headers: STOP_ALL ------------------------------------------------------------------------ */

static void stop_all(const char *how) {
    char text[2048];
    const char *rest = "S request body:\n"
                       "> request headers\n"
                       "A request headers\n"
                       "S request headers\n"
                       "> request body ab\n"
                       "A request body 'ab'\n"
                       "> request body cd\n"
                       "A request body 'cd'\n"
                       "> loop\n"
                       "> S resume request\n"
                       "> loop\n"
                       "B request headers\n"
                       "terminal headers\n"
                       "S request body 'abcd'\n"
                       "B request body 'abcd'\n"
                       "terminal body 'abcd'\n"
                       "> request body e end\n"
                       "A request body 'e' end\n"
                       "S request body 'e' end\n"
                       "B request body 'e' end\n"
                       "terminal body 'e' end\n";
    strcpy(text, "S request headers: ");
    strcat(text, how);
    strcat(text, "\n");
    strcat(text, rest);
    playbook_everywhere(text);
}

MB_TEST(stop_all_and_buffer_calls_no_hook_until_resume_then_the_own_one_first) {
    stop_all("stop_all_buffer");
}

MB_TEST(stop_all_and_watermark_calls_no_hook_until_resume_then_the_own_one_first) {
    stop_all("stop_all_watermark");
}

MB_TEST(trailers_that_came_while_all_stopped_follow_the_body) {
    playbook_everywhere("S request headers: stop_all_buffer\n"
                        "S request body:\n"
                        "S request trailers:\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "> request trailers\n"
                        "A request body '' end\n"
                        "A request trailers\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "S request body 'ab' end\n"
                        "B request body 'ab' end\n"
                        "terminal body 'ab'\n"
                        "S request trailers\n"
                        "B request trailers\n"
                        "terminal trailers\n");
}

MB_TEST(a_filter_may_stop_again_with_what_it_gets_after_resume) {
    playbook_everywhere("S request headers: stop_all_watermark\n"
                        "S request body: buffer\n"
                        "S request trailers: stop\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "> request trailers\n"
                        "A request body '' end\n"
                        "A request trailers\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "S request body 'ab' end\n"
                        "S request trailers\n"
                        "> loop\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request body 'ab' end\n"
                        "terminal body 'ab'\n"
                        "B request trailers\n"
                        "terminal trailers\n");
}

/* -- body ------------------------------------------------------------------------------------- */

static void stop_body(const char *how) {
    char text[2048];
    strcpy(text, "S request headers:\nS request body: ");
    strcat(text, how);
    strcat(text, " | ");
    strcat(text, how);
    strcat(text, " | continue\n"
                 "> request headers\n"
                 "A request headers\n"
                 "S request headers\n"
                 "B request headers\n"
                 "terminal headers\n"
                 "> request body ab\n"
                 "A request body 'ab'\n"
                 "S request body 'ab'\n"
                 "> request body cd\n"
                 "A request body 'cd'\n"
                 "S request body 'cd'\n"
                 "> request body end\n"
                 "A request body '' end\n"
                 "S request body '' end\n"
                 "B request body 'abcd' end\n"
                 "terminal body 'abcd' end\n");
    playbook_everywhere(text);
}

MB_TEST(stop_and_buffer_holds_pieces_until_continue) {
    stop_body("buffer");
}

MB_TEST(stop_and_watermark_holds_pieces_until_continue) {
    stop_body("watermark");
}

MB_TEST(stop_no_buffer_drops_what_the_filter_took) {
    playbook_everywhere("S request body: no_buffer | continue | no_buffer | continue\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> request body cd\n"
                        "A request body 'cd'\n"
                        "S request body 'cd'\n"
                        "B request body 'cd'\n"
                        "terminal body 'cd'\n"
                        "> request body ef\n"
                        "A request body 'ef'\n"
                        "S request body 'ef'\n"
                        "> request body end\n"
                        "A request body '' end\n"
                        "S request body '' end\n"
                        "B request body '' end\n"
                        "terminal body '' end\n");
}

MB_TEST(stop_no_buffer_leaves_what_was_held_before) {
    playbook_everywhere("S request body: buffer | no_buffer | continue\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> request body cd\n"
                        "A request body 'cd'\n"
                        "S request body 'cd'\n"
                        "> request body ef end\n"
                        "A request body 'ef' end\n"
                        "S request body 'ef' end\n"
                        "B request body 'abef' end\n"
                        "terminal body 'abef' end\n");
}

MB_TEST(a_stopped_body_is_released_by_resume) {
    playbook_everywhere("S request body: buffer | buffer\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request body 'ab'\n"
                        "terminal body 'ab'\n"
                        "> request body cd end\n"
                        "A request body 'cd' end\n"
                        "S request body 'cd' end\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request body 'cd' end\n"
                        "terminal body 'cd' end\n");
}

MB_TEST(pieces_may_be_changed_on_the_way) {
    playbook_everywhere(
        "S request body: append X | prepend Y, drain 2 | drain 9 | drain 1, append Z\n"
        "> request headers\n"
        "A request headers\n"
        "B request headers\n"
        "terminal headers\n"
        "> request body ab\n"
        "A request body 'ab'\n"
        "S request body 'ab'\n"
        "B request body 'abX'\n"
        "terminal body 'abX'\n"
        "> request body cd\n"
        "A request body 'cd'\n"
        "S request body 'cd'\n"
        "B request body 'd'\n"
        "terminal body 'd'\n"
        "> request body e\n"
        "A request body 'e'\n"
        "S request body 'e'\n"
        "B request body ''\n"
        "> request body f end\n"
        "A request body 'f' end\n"
        "S request body 'f' end\n"
        "B request body 'Z' end\n"
        "terminal body 'Z' end\n");
}

/* -- trailers --------------------------------------------------------------------------------- */

MB_TEST(stopped_trailers_wait_for_resume) {
    playbook_everywhere("S request trailers: stop\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "B request body 'ab'\n"
                        "terminal body 'ab'\n"
                        "> request trailers\n"
                        "A request body '' end\n"
                        "B request body '' end\n"
                        "A request trailers\n"
                        "S request trailers\n"
                        "> loop\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request trailers\n"
                        "terminal trailers\n");
}

MB_TEST(trailers_that_continue_release_a_stopped_filter) {
    playbook_everywhere("S request headers: stop\n"
                        "S request body: buffer | buffer\n"
                        "S request trailers: set x-s 1\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> request trailers\n"
                        "A request body '' end\n"
                        "S request body '' end\n"
                        "A request trailers\n"
                        "S request trailers\n"
                        "B request headers\n"
                        "terminal headers x-s=1\n"
                        "B request body 'ab' end\n"
                        "terminal body 'ab'\n"
                        "B request trailers\n"
                        "terminal trailers\n");
}

MB_TEST(trailers_wait_at_a_stopped_filter_without_hook_for_them) {
    playbook_everywhere("S request body: buffer | buffer\n"
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
                        "> loop\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request body 'ab' end\n"
                        "terminal body 'ab'\n"
                        "B request trailers\n"
                        "terminal trailers\n");
}

/* The release of B must not take along what A holds. */
MB_TEST(trailers_that_a_filter_stopped_are_not_released_by_the_next_one) {
    playbook("chain A B\n"
             "A request body: continue | buffer\n"
             "A request trailers: stop\n"
             "B request headers: stop\n"
             "B request trailers:\n"
             "> request headers\n"
             "B request headers\n"
             "> request body ab\n"
             "A request body 'ab'\n"
             "> request trailers\n"
             "A request body '' end\n"
             "A request trailers\n"
             "> B resume request\n"
             "> loop\n"
             "terminal headers\n"
             "terminal body 'ab'\n"
             "> A resume request\n"
             "> loop\n"
             "B request trailers\n"
             "terminal trailers\n");
}

/* -- resume in the same hook ------------------------------------------------------------------ */

MB_TEST(resume_in_the_hook_that_stops_means_go_on) {
    playbook_everywhere("S request headers: resume request, stop\n"
                        "S request body: resume request, buffer | watermark, resume request\n"
                        "S request trailers: resume request, stop\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "B request body 'ab'\n"
                        "terminal body 'ab'\n"
                        "> request trailers\n"
                        "A request body '' end\n"
                        "S request body '' end\n"
                        "B request body '' end\n"
                        "A request trailers\n"
                        "S request trailers\n"
                        "B request trailers\n"
                        "terminal trailers\n");
}

MB_TEST(resume_in_the_hook_that_takes_bytes_drops_them_and_passes_on_what_is_held) {
    playbook_everywhere("S request body: buffer | hold X, resume request, no_buffer | "
                        "resume request, no_buffer\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "> request body cd\n"
                        "A request body 'cd'\n"
                        "S request body 'cd'\n"
                        "B request body 'abX'\n"
                        "terminal body 'abX'\n"
                        "> request body ef end\n"
                        "A request body 'ef' end\n"
                        "S request body 'ef' end\n"
                        "B request body '' end\n"
                        "terminal body '' end\n");
}

MB_TEST(resume_of_what_is_not_stopped_is_refused) {
    playbook_everywhere("S request headers: | \n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> S resume request\n"
                        "S resume: EPHASE\n"
                        "> loop\n"
                        "> request body a end\n"
                        "A request body 'a' end\n"
                        "B request body 'a' end\n"
                        "terminal body 'a' end\n");
}

MB_TEST(a_hook_may_resume_the_other_direction) {
    playbook("chain A B\n"
             "A request headers: stop\n"
             "A request body: buffer | buffer\n"
             "B response headers: stop\n"
             "A response headers: resume request\n"
             "B request headers:\n"
             "A scheduled: resume request\n"
             "> request headers\n"
             "A request headers\n"
             "> request body ab\n"
             "A request body 'ab'\n"
             "> A post 7\n"
             "> loop\n"
             "A scheduled 7\n"
             "B request headers\n"
             "terminal headers\n"
             "terminal body 'ab'\n"
             "> request body cd\n"
             "A request body 'cd'\n"
             "> response headers 200\n"
             "B response headers\n"
             "> B resume response\n"
             "> loop\n"
             "A response headers\n"
             "client headers 200\n"
             "terminal body 'cd'\n"
             "> response body x end\n"
             "client body 'x' end\n"
             "terminal abort\n"
             "over\n");
}

MB_TEST(a_resume_of_a_direction_that_has_not_begun_does_not_lame_a_later_stop) {
    playbook("chain A\n"
             "terminal answer 200 xyz\n"
             "A request headers: resume response\n"
             "A response headers: stop\n"
             "> request headers end\n"
             "A request headers end\n"
             "A resume: EPHASE\n"
             "terminal headers end\n"
             "A response headers\n"
             "> loop\n"
             "> A resume response\n"
             "> loop\n"
             "client headers 200\n"
             "client body 'xyz' end\n"
             "over\n");
}

/* -- two filters that hold -------------------------------------------------------------------- */

MB_TEST(two_filters_hold_each_its_own_part) {
    playbook("chain A B C\n"
             "all C\n"
             "A request body: continue | buffer | buffer | continue\n"
             "B request body: buffer | watermark\n"
             "> request headers\n"
             "C request headers\n"
             "terminal headers\n"
             "> request body a\n"
             "A request body 'a'\n"
             "B request body 'a'\n"
             "> request body b\n"
             "A request body 'b'\n"
             "> request body c\n"
             "A request body 'c'\n"
             "> B resume request\n"
             "> loop\n"
             "C request body 'a'\n"
             "terminal body 'a'\n"
             "> request body d end\n"
             "A request body 'd' end\n"
             "B request body 'bcd' end\n"
             "> B resume request\n"
             "> loop\n"
             "C request body 'bcd' end\n"
             "terminal body 'bcd' end\n");
}

MB_TEST(what_the_first_releases_is_held_by_the_second) {
    playbook("chain A B C\n"
             "A request headers: stop\n"
             "B request headers: stop_all_buffer\n"
             "B request body:\n"
             "C request headers: stop\n"
             "> request headers\n"
             "A request headers\n"
             "> request body ab\n"
             "> A resume request\n"
             "> loop\n"
             "B request headers\n"
             "> request body cd\n"
             "> B resume request\n"
             "> loop\n"
             "C request headers\n"
             "B request body 'abcd'\n"
             "> request trailers\n"
             "B request body '' end\n"
             "> C resume request\n"
             "> loop\n"
             "terminal headers\n"
             "terminal body 'abcd'\n"
             "terminal trailers\n");
}

MB_TEST(resumes_of_several_filters_in_one_turn_keep_the_order) {
    playbook("chain A B C\n"
             "A request body: buffer\n"
             "B request headers: stop_all_watermark\n"
             "B request body: \n"
             "C request headers: stop\n"
             "C request body: buffer\n"
             "> request headers\n"
             "B request headers\n"
             "> request body ab\n"
             "A request body 'ab'\n"
             "> B resume request\n"
             "> A resume request\n"
             "> loop\n"
             "C request headers\n"
             "B request body 'ab'\n"
             "C request body 'ab'\n"
             "> request body cd end\n"
             "A request body 'cd' end\n"
             "B request body 'cd' end\n"
             "C request body 'cd' end\n"
             "terminal headers\n"
             "terminal body 'abcd' end\n");
}

/* -- body given by filters -------------------------------------------------------------------- */

MB_TEST(a_headers_hook_may_give_a_body_to_a_message_without_one) {
    playbook_everywhere("S request headers: hold xy\n"
                        "S request body:\n"
                        "> request headers end\n"
                        "A request headers end\n"
                        "S request headers end\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "B request body 'xy' end\n"
                        "terminal body 'xy' end\n");
}

MB_TEST(a_stopped_filter_may_give_a_body_to_a_message_without_one) {
    playbook_everywhere("S request headers: stop\n"
                        "S request body:\n"
                        "> request headers end\n"
                        "A request headers end\n"
                        "S request headers end\n"
                        "> S hold request xy\n"
                        "> S hold request z\n"
                        "> S resume request\n"
                        "> loop\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "B request body 'xyz' end\n"
                        "terminal body 'xyz' end\n");
}

MB_TEST(what_a_headers_hook_adds_comes_before_the_body) {
    playbook_everywhere("S request headers: hold xy\n"
                        "S request body:\n"
                        "> request headers\n"
                        "A request headers\n"
                        "S request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "B request body 'xy'\n"
                        "terminal body 'xy'\n"
                        "> request body ab end\n"
                        "A request body 'ab' end\n"
                        "S request body 'ab' end\n"
                        "B request body 'ab' end\n"
                        "terminal body 'ab' end\n");
}

MB_TEST(what_a_body_hook_adds_to_the_held_comes_before_its_piece) {
    playbook_everywhere("S request body: hold xy | hold z, buffer | drain_held 1\n"
                        "> request headers\n"
                        "A request headers\n"
                        "B request headers\n"
                        "terminal headers\n"
                        "> request body ab\n"
                        "A request body 'ab'\n"
                        "S request body 'ab'\n"
                        "B request body 'xyab'\n"
                        "terminal body 'xyab'\n"
                        "> request body cd\n"
                        "A request body 'cd'\n"
                        "S request body 'cd'\n"
                        "> request body ef end\n"
                        "A request body 'ef' end\n"
                        "S request body 'ef' end\n"
                        "B request body 'cdef' end\n"
                        "terminal body 'cdef' end\n");
}

/* -- statuses that a phase does not have ------------------------------------------------------ */

static void bad_status(const char *hook, const char *answer) {
    char text[1024];
    strcpy(text, "chain A S B\nall A B\nS request ");
    strcat(text, hook);
    strcat(text, ": ");
    strcat(text, answer);
    strcat(text, "\n> request headers\nA request headers\n");
    if (strcmp(hook, "headers") != 0) {
        strcat(text, "B request headers\nterminal headers\n> request body ab\n"
                     "A request body 'ab'\n");
    }
    if (strcmp(hook, "trailers") == 0) {
        strcat(text, "B request body 'ab'\nterminal body 'ab'\n> request trailers\n"
                     "A request body '' end\nB request body '' end\nA request trailers\n");
    }
    strcat(text, "S request ");
    strcat(text, hook);
    strcat(text, strcmp(hook, "body") == 0 ? " 'ab'\n" : "\n");
    if (strcmp(hook, "headers") != 0) {
        strcat(text, "terminal abort\n");
    }
    strcat(text, "B response headers\nA response headers\nclient headers 500\n"
                 "B response body 'Internal Server Error' end\n"
                 "A response body 'Internal Server Error' end\n"
                 "client body 'Internal Server Error' end\n"
                 "over filter_bad_status\n");
    playbook(text);
}

MB_TEST(a_status_that_the_phase_does_not_have_is_answered_500) {
    static const char *const everywhere[] = {"status 4",   "status 254",  "status 256",
                                             "status 511", "status -1",   "status -256",
                                             "status 77",  "status 65535"};
    static const char *const hooks[] = {"headers", "body", "trailers"};
    for (size_t i = 0; i < sizeof(everywhere) / sizeof(everywhere[0]); i++) {
        for (size_t j = 0; j < 3; j++) {
            bad_status(hooks[j], everywhere[i]);
        }
    }
    bad_status("trailers", "status 2");
    bad_status("trailers", "status 3");
}

MB_TEST(a_bad_status_is_not_healed_by_resume) {
    bad_status("headers", "resume request, status 9");
    bad_status("body", "resume request, status 9");
    bad_status("trailers", "resume request, status 9");
}

MB_TEST(a_bad_status_of_a_response_hook_is_answered_500_directly) {
    playbook("chain A S\n"
             "all A\n"
             "S response headers: status 9\n"
             "> request headers end\n"
             "A request headers end\n"
             "terminal headers end\n"
             "> response headers 200\n"
             "S response headers\n"
             "terminal abort\n"
             "client headers 500\n"
             "client body 'Internal Server Error' end\n"
             "over filter_bad_status\n");
}

MB_TEST(a_bad_status_after_the_response_began_breaks_it_off) {
    playbook("chain A S\n"
             "all A\n"
             "S response body: status 9\n"
             "> request headers end\n"
             "A request headers end\n"
             "terminal headers end\n"
             "> response headers 200\n"
             "A response headers\n"
             "client headers 200\n"
             "> response body ab\n"
             "S response body 'ab'\n"
             "client reset\n"
             "terminal abort\n"
             "over filter_bad_status\n");
}
