/* body_scan: every way of cutting a body into pieces gives the count of the whole. */
#include "base/msgpack.h"
#include "base/slice.h"
#include "filter/metadata.h"
#include "support/filter_rig.h"

#include <stdio.h>
#include <stdlib.h>

static void begin(filter_rig *rig, const char *json) {
    filter_rig_init(rig, 0);
    MB_CHECK_EQ_INT(filter_rig_use(rig, "body_scan", json), MB_OK);
    filter_rig_get(rig, "/");
}

/* The count in the metadata; -1: none. */
static int64_t count(filter_rig *rig) {
    mb_slice value;
    uint64_t found = 0;
    if (mb_metadata_get(rig->stream, MB_SLICE_LIT("moebridge.body_scan"), MB_SLICE_LIT("count"),
                        &value) != MB_OK) {
        return -1;
    }
    mb_msgpack cursor = mb_msgpack_read(value);
    MB_CHECK_EQ_INT(mb_msgpack_get_u64(&cursor, &found), MB_OK);
    return (int64_t)found;
}

static int64_t naive(mb_slice body, mb_slice pattern) {
    int64_t found = 0;
    while (body.len >= pattern.len) {
        bool match = mb_slice_starts_with(body, pattern);
        found += match;
        body = mb_slice_skip(body, match ? pattern.len : 1);
    }
    return found;
}

/* Sends a body in pieces whose lengths come from `next`, then an empty last piece. */
static void send_pieces(filter_rig *rig, mb_direction direction, mb_slice body,
                        size_t (*next)(void)) {
    while (body.len > 0) {
        size_t length = next();
        filter_rig_body(rig, direction, mb_slice_take(body, length), false);
        body = mb_slice_skip(body, length);
    }
    filter_rig_body(rig, direction, MB_SLICE_LIT(""), true);
}

static size_t one(void) {
    return 1;
}

static size_t some(void) {
    return (size_t)rand() % 7;
}

static size_t all(void) {
    return 1000;
}

static void check(const char *pattern, const char *text, size_t (*next)(void)) {
    char json[400];
    filter_rig rig;
    mb_slice body = mb_slice_from_c(text);
    snprintf(json, sizeof(json), "{'pattern':'%s'}", pattern);
    begin(&rig, json);
    mb_stream_request_headers(rig.stream, false);
    send_pieces(&rig, MB_REQUEST, body, next);
    int64_t want = naive(body, mb_slice_from_c(pattern));
    MB_CHECK_EQ_INT(count(&rig), want);
    MB_CHECK_EQ_INT(filter_rig_counter(&rig, "body_scan.matches"), want);
    MB_CHECK_EQ_SLICE(((mb_slice){rig.upstream_body, rig.upstream_body_length}), body);
    MB_CHECK(rig.upstream_ended);
    filter_rig_fini(&rig);
}

MB_TEST(matches_across_pieces_are_counted_once) {
    static const char *const rows[][2] = {
        {"needle", "needle in a haystack, needleneedle, need le, needl"},
        {"aa", "aaaaaaa"},
        {"aba", "abababa aba"},
        {"a", "banana"},
        {"abcabd", "abcabcabdabcabd"},
        {"x", ""},
        {"longer than the body", "body"},
    };
    srand(3);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check(rows[i][0], rows[i][1], one);
        check(rows[i][0], rows[i][1], all);
        for (int round = 0; round < 10; round++) {
            check(rows[i][0], rows[i][1], some);
        }
    }
}

MB_TEST(random_bodies_are_counted_as_if_in_one_piece) {
    srand(4);
    for (int round = 0; round < 300; round++) {
        char pattern[6] = "", body[200] = "";
        int length = 1 + rand() % 5;
        for (int i = 0; i < length; i++) {
            pattern[i] = "ab"[rand() % 2];
        }
        length = rand() % 199;
        for (int i = 0; i < length; i++) {
            body[i] = "ab"[rand() % 2];
        }
        check(pattern, body, some);
    }
}

MB_TEST(both_bodies_count_into_one_number) {
    filter_rig rig;
    begin(&rig, "{'pattern':'ab'}");
    mb_stream_request_headers(rig.stream, false);
    MB_CHECK_EQ_INT(count(&rig), -1);
    filter_rig_body(&rig, MB_REQUEST, MB_SLICE_LIT("ab-a"), false);
    filter_rig_header(&rig, MB_RESPONSE, ":status", "200");
    mb_stream_response_headers(rig.stream, false);
    /* Begins what the other direction's end would complete. */
    filter_rig_body(&rig, MB_RESPONSE, MB_SLICE_LIT("b-a"), false);
    filter_rig_body(&rig, MB_REQUEST, MB_SLICE_LIT("b"), true);
    MB_CHECK_EQ_INT(count(&rig), 2);
    filter_rig_body(&rig, MB_RESPONSE, MB_SLICE_LIT("b"), true);
    MB_CHECK(rig.completed);
    MB_CHECK_EQ_INT(count(&rig), 3);
    filter_rig_fini(&rig);
}

MB_TEST(directions_can_be_left_out) {
    filter_rig rig;
    begin(&rig, "{'pattern':{'$bin':'ab'},'response':false}");
    MB_CHECK((rig.entry.wants & 1u << MB_HOOK_REQUEST_BODY) != 0);
    MB_CHECK((rig.entry.wants & 1u << MB_HOOK_RESPONSE_BODY) == 0);
    filter_rig_fini(&rig);
}

MB_TEST(body_that_is_cut_has_a_count) {
    filter_rig rig;
    begin(&rig, "{'pattern':'ab'}");
    mb_stream_request_headers(rig.stream, false);
    filter_rig_body(&rig, MB_REQUEST, MB_SLICE_LIT("ab"), false);
    mb_stream_client_gone(rig.stream, 0, MB_SLICE_LIT(""));
    MB_CHECK(rig.completed);
    MB_CHECK_EQ_INT(count(&rig), 1);
    filter_rig_fini(&rig);
}

MB_TEST(malformed_configurations_are_refused_with_a_reason) {
    static const char *const bad[] = {
        "null",
        "{}",
        "{'pattern':''}",
        "{'pattern':1}",
        "{'pattern':'a','request':1}",
        "{'pattern':'a','response':'yes'}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        filter_rig rig;
        filter_rig_init(&rig, 0);
        MB_CHECK_EQ_INT(filter_rig_use(&rig, "body_scan", bad[i]), MB_ECONFIG);
        MB_CHECK(filter_rig_error(&rig).len > 0);
        filter_rig_fini(&rig);
    }
}

MB_TEST(pattern_may_have_256_bytes_and_no_more) {
    char json[400];
    filter_rig rig;
    for (int length = 256; length <= 257; length++) {
        snprintf(json, sizeof(json), "{'pattern':'%0*d'}", length, 0);
        filter_rig_init(&rig, 0);
        MB_CHECK_EQ_INT(filter_rig_use(&rig, "body_scan", json),
                        length == 256 ? MB_OK : MB_ECONFIG);
        filter_rig_fini(&rig);
    }
    char body[257];
    memset(body, '0', sizeof(body));
    body[256] = '\0';
    snprintf(json, sizeof(json), "%0*d", 256, 0);
    check(json, body, one);
}
