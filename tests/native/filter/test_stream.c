/*
 * Streams: routes and what they change of filters, ids.
 */
#include "support/playbook.h"

#include <stdlib.h>

MB_TEST(a_route_gives_filters_another_configuration_from_the_first_hook_on) {
    playbook("chain A B\n"
             "route /x A=A@x\n"
             "A request headers: set x-a 1\n"
             "A@x request headers: set x-a 2\n"
             "A@x request body:\n"
             "B request headers:\n"
             "> request headers /x\n"
             "A@x request headers\n"
             "B request headers\n"
             "terminal headers x-a=2\n"
             "> request body ab end\n"
             "A@x request body 'ab' end\n"
             "terminal body 'ab' end\n");
}

MB_TEST(a_route_disables_and_enables_filters) {
    playbook("chain A B\n"
             "off B\n"
             "route /x A=off B=on\n"
             "A request headers:\n"
             "A complete:\n"
             "A response headers:\n"
             "B request headers:\n"
             "B response headers:\n"
             "show ends\n"
             "> request headers end /x\n"
             "B request headers end\n"
             "terminal headers end\n"
             "> response headers 200 end\n"
             "B response headers end\n"
             "client headers 200 end\n"
             "B destroy\n"
             "over\n");
    playbook("chain A B\n"
             "off B\n"
             "route /x A=off B=on\n"
             "A request headers:\n"
             "B request headers:\n"
             "> request headers end /y\n"
             "A request headers end\n"
             "terminal headers end\n");
}

MB_TEST(a_disabled_filter_does_not_see_local_replies) {
    playbook("chain A B\n"
             "off B\n"
             "all B\n"
             "A request headers: respond 403\n"
             "> request headers end\n"
             "A request headers end\n"
             "client headers 403 end x-by=A\n"
             "over direct_response\n");
}

MB_TEST(a_cleared_route_is_decided_again_for_the_filters_behind) {
    playbook("chain A B C\n"
             "route /x B=B@x C=off\n"
             "A request headers: path /x, clear_route\n"
             "B request headers: set x-b 1\n"
             "B@x request headers: set x-b 2\n"
             "C request headers:\n"
             "> request headers end\n"
             "A request headers end\n"
             "B@x request headers end\n"
             "terminal headers end x-b=2\n");
}

MB_TEST(the_headers_count_as_they_are_when_the_hook_returns) {
    playbook("chain A B\n"
             "route /x B=off\n"
             "A request headers: clear_route, path /x\n"
             "B request headers:\n"
             "> request headers end\n"
             "A request headers end\n"
             "terminal headers end\n");
}

MB_TEST(an_old_routes_changes_go_when_the_new_one_has_none) {
    playbook("chain A B C\n"
             "route /x A=A@x B=off\n"
             "A request headers:\n"
             "A@x request headers: path /y, clear_route\n"
             "A response headers:\n"
             "A@x response headers:\n"
             "B request headers:\n"
             "C request headers:\n"
             "> request headers end /x\n"
             "A@x request headers end\n"
             "B request headers end\n"
             "C request headers end\n"
             "terminal headers end\n"
             "> response headers 200 end\n"
             "A response headers end\n"
             "client headers 200 end\n"
             "over\n");
}

MB_TEST(the_route_can_not_be_cleared_once_the_upstream_was_asked) {
    playbook("chain A B\n"
             "A request body: clear_route\n"
             "B request headers: stop\n"
             "> request headers\n"
             "B request headers\n"
             "> A clear_route\n"
             "> B resume request\n"
             "> loop\n"
             "terminal headers\n"
             "> request body ab end\n"
             "A request body 'ab' end\n"
             "A clear_route: EPHASE\n"
             "terminal body 'ab' end\n");
}

MB_TEST(a_filter_that_stopped_and_is_disabled_then_still_resumes_and_is_destroyed) {
    playbook("chain A B\n"
             "show ends\n"
             "route /x A=off\n"
             "A request headers: path /x, clear_route, stop\n"
             "A request body: watermark\n"
             "A complete:\n"
             "B request headers:\n"
             "> request headers\n"
             "A request headers\n"
             "> request body ab\n"
             "A request body 'ab'\n"
             "> A resume request\n"
             "> loop\n"
             "B request headers\n"
             "terminal headers\n"
             "terminal body 'ab'\n"
             "> request body c end\n"
             "terminal body 'c' end\n"
             "> response headers 200 end\n"
             "client headers 200 end\n"
             "A destroy\n"
             "B destroy\n"
             "over\n");
}

MB_TEST(ids_name_one_stream_for_ever) {
    play *self = calloc(1, sizeof(*self));
    MB_CHECK(play_begin(self, "chain A\n"));
    mb_stream_id id = mb_stream_id_of(self->stream);
    const mb_stream_ops *ops = self->stream->ops;
    MB_CHECK(mb_stream_find(&self->worker, id) == self->stream);
    MB_CHECK(mb_stream_find(&self->worker, id + 1) == NULL);
    MB_CHECK(mb_stream_find(&self->worker, 0) == NULL);
    MB_CHECK(mb_stream_find(&self->worker, UINT64_MAX) == NULL);
    play_event(self, MB_SLICE_LIT("client gone"));
    MB_CHECK(mb_stream_find(&self->worker, id) == NULL);
    mb_stream_free(self->stream);
    self->stream = mb_stream_new(&self->worker, &self->chain, ops, self);
    self->id = mb_stream_id_of(self->stream);
    self->over = false;
    MB_CHECK(self->id != id);
    MB_CHECK(mb_stream_find(&self->worker, id) == NULL);
    MB_CHECK(mb_stream_find(&self->worker, self->id) == self->stream);
    play_end(self);
    free(self);
}

MB_TEST(response_flags_have_envoys_names) {
    char text[96];
    MB_CHECK_EQ_LIT(((mb_slice){text, mb_response_flags_text(0, text, sizeof(text))}), "-");
    uint32_t flags =
        MB_FLAG_NO_HEALTHY_UPSTREAM | MB_FLAG_UPSTREAM_MAX_DURATION | MB_FLAG_DNS_FAILURE;
    MB_CHECK_EQ_LIT(((mb_slice){text, mb_response_flags_text(flags, text, sizeof(text))}),
                    "UH,UMSDR,DF");
    MB_CHECK_EQ_LIT(((mb_slice){text, mb_response_flags_text(UINT32_MAX, text, sizeof(text))}),
                    "UH,UF,UO,NR,NC,DC,UT,LR,UR,UC,SI,DPE,UPE,UMSDR,URX,DT,OM,DF");
    MB_CHECK(mb_response_flags_text(UINT32_MAX, text, 5) <= 5);
}
