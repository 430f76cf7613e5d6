/* header_mutation: steps in order, through the whole chain. */
#include "base/slice.h"
#include "support/filter_rig.h"

#define APPEND(name, text, action)                                                                 \
    "{'kind':'append','add':{'name':'" name "','value':[{'kind':'literal','text':'" text           \
    "'}],'append_action':'" action "','keep_empty_value':false}}"
#define REMOVE(name) "{'kind':'remove','name':'" name "'}"
#define MATCH(how, text)                                                                           \
    "{'kind':'remove_on_match','match':{'kind':'" how "','value':'" text "','ignore_case':false}}"

static void ask(filter_rig *rig) {
    filter_rig_get(rig, "/p");
    filter_rig_header(rig, MB_REQUEST, "x-a", "1");
    filter_rig_header(rig, MB_REQUEST, "x-b", "2");
    filter_rig_header(rig, MB_REQUEST, "x-a", "3");
    mb_stream_request_headers(rig->stream, true);
}

static void answer(filter_rig *rig) {
    filter_rig_header(rig, MB_RESPONSE, ":status", "200");
    filter_rig_header(rig, MB_RESPONSE, "server", "up");
    mb_stream_response_headers(rig->stream, true);
}

static void check_request(const char *steps, const char *want) {
    char json[2000] = "{'request':[";
    filter_rig rig;
    filter_rig_init(&rig, 0);
    strcat(json, steps);
    strcat(json, "],'response':[]}");
    MB_CHECK_EQ_INT(filter_rig_use(&rig, "header_mutation", json), MB_OK);
    ask(&rig);
    MB_CHECK_EQ_SLICE(filter_rig_fields(&rig.stream->headers[MB_REQUEST]), mb_slice_from_c(want));
    MB_CHECK(rig.upstream_asked);
    filter_rig_fini(&rig);
}

MB_TEST(each_action_does_what_envoy_says) {
    check_request(APPEND("x-a", "9", "append_if_exists_or_add"), "x-a=1;x-b=2;x-a=3;x-a=9;");
    check_request(APPEND("x-c", "9", "append_if_exists_or_add"), "x-a=1;x-b=2;x-a=3;x-c=9;");
    check_request(APPEND("x-a", "9", "add_if_absent"), "x-a=1;x-b=2;x-a=3;");
    check_request(APPEND("x-c", "9", "add_if_absent"), "x-a=1;x-b=2;x-a=3;x-c=9;");
    check_request(APPEND("x-a", "9", "overwrite_if_exists_or_add"), "x-a=9;x-b=2;");
    check_request(APPEND("x-c", "9", "overwrite_if_exists_or_add"), "x-a=1;x-b=2;x-a=3;x-c=9;");
    check_request(APPEND("x-a", "9", "overwrite_if_exists"), "x-a=9;x-b=2;");
    check_request(APPEND("x-c", "9", "overwrite_if_exists"), "x-a=1;x-b=2;x-a=3;");
    check_request(REMOVE("x-a"), "x-b=2;");
    check_request(REMOVE("x-c"), "x-a=1;x-b=2;x-a=3;");
}

MB_TEST(names_are_matched_in_every_way) {
    check_request(MATCH("exact", "x-a"), "x-b=2;");
    check_request(MATCH("exact", "x-"), "x-a=1;x-b=2;x-a=3;");
    check_request(MATCH("prefix", "x-"), "");
    check_request(MATCH("prefix", "-"), "x-a=1;x-b=2;x-a=3;");
    check_request(MATCH("suffix", "-a"), "x-b=2;");
    check_request(MATCH("suffix", "x"), "x-a=1;x-b=2;x-a=3;");
    check_request(MATCH("contains", "-b"), "x-a=1;x-a=3;");
    check_request(MATCH("safe_regex", "x-[b-z]"), "x-a=1;x-a=3;");
    check_request("{'kind':'remove_on_match','match':{'kind':'exact','value':'X-A',"
                  "'ignore_case':true}}",
                  "x-b=2;");
}

MB_TEST(steps_see_what_the_steps_before_did) {
    check_request(REMOVE("x-a") "," APPEND("x-a", "9", "add_if_absent") "," REMOVE("x-b"),
                  "x-a=9;");
}

MB_TEST(values_can_be_formats) {
    check_request("{'kind':'append','add':{'name':'x-c','append_action':'add_if_absent','value':["
                  "{'kind':'operator','op':'REQ','arg':':path','empty':''},"
                  "{'kind':'operator','op':'REQ','arg':'x-b','empty':''}]}}",
                  "x-a=1;x-b=2;x-a=3;x-c=/p2;");
    check_request("{'kind':'append','add':{'name':'x-c','append_action':'add_if_absent','value':["
                  "{'kind':'operator','op':'REQ','arg':'x-none','empty':''}]}}",
                  "x-a=1;x-b=2;x-a=3;");
}

MB_TEST(response_and_pseudo_headers_can_change_too) {
    filter_rig rig;
    filter_rig_init(&rig, 0);
    MB_CHECK_EQ_INT(
        filter_rig_use(&rig, "header_mutation",
                       "{'request':[" APPEND(
                           ":path", "/new",
                           "overwrite_if_exists_or_add") "],"
                                                         "'response':[" REMOVE("server") "," APPEND(
                                                             "x-r", "1", "add_if_absent") "]}"),
        MB_OK);
    ask(&rig);
    MB_CHECK_EQ_LIT(filter_rig_values(&rig.stream->headers[MB_REQUEST], ":path"), "/new");
    answer(&rig);
    MB_CHECK_EQ_LIT(filter_rig_fields(&rig.stream->headers[MB_RESPONSE]), "x-r=1;");
    MB_CHECK_EQ_INT(rig.status, 200);
    filter_rig_fini(&rig);
}

MB_TEST(trailers_are_changed_by_their_own_steps) {
    filter_rig rig;
    filter_rig_init(&rig, 0);
    MB_CHECK_EQ_INT(
        filter_rig_use(&rig, "header_mutation",
                       "{'request_trailers':[" REMOVE("x-t") "],"
                                                             "'response_trailers':[" APPEND(
                                                                 "x-r", "1", "add_if_absent") "]}"),
        MB_OK);
    filter_rig_get(&rig, "/");
    mb_stream_request_headers(rig.stream, false);
    filter_rig_body(&rig, MB_REQUEST, MB_SLICE_LIT("body"), false);
    mb_headers_add(&rig.stream->trailers[MB_REQUEST], MB_SLICE_LIT("x-t"), MB_SLICE_LIT("1"));
    mb_headers_add(&rig.stream->trailers[MB_REQUEST], MB_SLICE_LIT("x-u"), MB_SLICE_LIT("1"));
    mb_stream_request_trailers(rig.stream);
    MB_CHECK_EQ_LIT(filter_rig_fields(&rig.stream->trailers[MB_REQUEST]), "x-u=1;");
    filter_rig_header(&rig, MB_RESPONSE, ":status", "200");
    mb_stream_response_headers(rig.stream, false);
    filter_rig_body(&rig, MB_RESPONSE, MB_SLICE_LIT("body"), false);
    mb_headers_add(&rig.stream->trailers[MB_RESPONSE], MB_SLICE_LIT("x-t"), MB_SLICE_LIT("1"));
    mb_stream_response_trailers(rig.stream);
    MB_CHECK_EQ_LIT(filter_rig_fields(&rig.stream->trailers[MB_RESPONSE]), "x-t=1;x-r=1;");
    filter_rig_fini(&rig);
}

MB_TEST(hooks_without_steps_are_not_wanted) {
    filter_rig rig;
    filter_rig_init(&rig, 0);
    MB_CHECK_EQ_INT(filter_rig_use(&rig, "header_mutation", "{}"), MB_OK);
    MB_CHECK_EQ_INT(rig.entry.wants, 0);
    filter_rig_fini(&rig);
    filter_rig_init(&rig, 0);
    MB_CHECK_EQ_INT(filter_rig_use(&rig, "header_mutation", "{'response':[" REMOVE("server") "]}"),
                    MB_OK);
    MB_CHECK_EQ_INT(rig.entry.wants, 1u << MB_HOOK_RESPONSE_HEADERS);
    filter_rig_fini(&rig);
}

MB_TEST(malformed_configurations_are_refused_with_a_reason) {
    static const char *const bad[] = {
        "1",
        "{'request':1}",
        "{'request':[1]}",
        "{'request':[{}]}",
        "{'request':[{'kind':'remove'}]}",
        "{'request':[{'kind':'remove','name':''}]}",
        "{'request':[{'kind':'append'}]}",
        "{'request':[{'kind':'append','add':{'name':'a'}}]}",
        "{'request':[{'kind':'append','add':{'name':'a','value':[1],'append_action':"
        "'add_if_absent'}}]}",
        "{'request':[" APPEND("a", "b", "no_such") "]}",
        "{'request':[" MATCH("no_such", "b") "]}",
        "{'request':[" MATCH("safe_regex", "x") "," MATCH("safe_regex", "(") "]}",
        "{'request':[{'$raw':'c1'}]}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        filter_rig rig;
        filter_rig_init(&rig, 0);
        MB_CHECK_EQ_INT(filter_rig_use(&rig, "header_mutation", bad[i]), MB_ECONFIG);
        MB_CHECK(filter_rig_error(&rig).len > 0);
        filter_rig_fini(&rig);
    }
}

MB_TEST(every_failing_allocation_is_reported) {
    for (size_t n = 1, failed = 1; failed; n++) {
        filter_rig rig;
        if (!filter_rig_init(&rig, n)) {
            continue;
        }
        /* filter_rig_use also begins a stream, which must not fail: count up to there only. */
        rig.memory->keep_failing = false;
        int status = filter_rig_use(
            &rig, "header_mutation",
            "{'request':[" MATCH("safe_regex", "x") "," APPEND("x-c", "9", "add_if_absent") "]}");
        failed = rig.memory->requests >= n;
        MB_CHECK_EQ_INT(status, failed ? MB_ENOMEM : MB_OK);
        filter_rig_fini(&rig);
    }
}
