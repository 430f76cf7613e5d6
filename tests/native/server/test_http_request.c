/*
 * A request's head as filters see it: who the client is, the request id, what is believed of
 * x-forwarded-* and x-envoy-*, the authority. Source: Envoy, "HTTP header manipulation" and "HTTP
 * header sanitizing".
 */
#include "support/echo_server.h"

#include "base/slice.h"

#include <stdio.h>

#define REMOTE "'use_remote_address':false", "'use_remote_address':true"
#define HOPS(n) "'xff_num_trusted_hops':0", "'xff_num_trusted_hops':" n
#define INTERNAL(range, bits)                                                                      \
    "'internal_cidr_ranges':[]",                                                                   \
        "'internal_cidr_ranges':[{'address':'" range "','prefix_len':" bits "}]"

static void check_client(const echo_server *self, const char *want) {
    mb_slice address, port;
    mb_slice_split(echo_value(self, "seen-remote"), ':', &address, &port);
    MB_CHECK_EQ_SLICE(address, mb_slice_from_c(want));
}

/* -- the client's address ---------------------------------------------------------------------- */

MB_TEST(the_peer_is_the_client_and_is_appended_where_the_remote_address_is_used) {
    echo_server server;
    echo_init(&server, REMOTE, NULL);
    echo_ask(&server, "GET /\nHost: h\n");
    check_client(&server, "127.0.0.1");
    CHECK_ECHO(&server, "seen-x-forwarded-for", "127.0.0.1");
    CHECK_ECHO(&server, "seen-x-envoy-external-address", "127.0.0.1");
    CHECK_ECHO(&server, "seen-x-envoy-internal", "(none)");
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\n");
    check_client(&server, "127.0.0.1");
    CHECK_ECHO(&server, "seen-x-forwarded-for", "192.0.2.1, 192.0.2.2,127.0.0.1");
    CHECK_ECHO(&server, "seen-x-envoy-external-address", "127.0.0.1");
    echo_fini(&server);
}

MB_TEST(forwarded_for_is_not_appended_where_that_is_off) {
    echo_server server;
    echo_init(&server, REMOTE, "'skip_xff_append':false", "'skip_xff_append':true", NULL);
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-For: 192.0.2.1\n");
    CHECK_ECHO(&server, "seen-x-forwarded-for", "192.0.2.1");
    check_client(&server, "127.0.0.1");
    echo_fini(&server);
}

MB_TEST(the_last_forwarded_address_is_the_client_where_the_remote_address_is_not_used) {
    echo_server server;
    echo_init(&server, NULL);
    echo_ask(&server, "GET /\nHost: h\n");
    check_client(&server, "127.0.0.1");
    CHECK_ECHO(&server, "seen-x-forwarded-for", "(none)");
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-For: 192.0.2.1 , 192.0.2.2\n");
    check_client(&server, "192.0.2.2");
    CHECK_ECHO(&server, "seen-x-envoy-external-address", "(none)");
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-For: 2001:db8::1\n");
    MB_CHECK(
        mb_slice_starts_with(echo_value(&server, "seen-remote"), MB_SLICE_LIT("[2001:db8::1]:")));
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-For: 192.0.2.1, unknown\n");
    check_client(&server, "127.0.0.1");
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-For: 192.0.2.1,\n");
    check_client(&server, "127.0.0.1");
    echo_fini(&server);
}

MB_TEST(several_lines_of_forwarded_for_are_one_list) {
    echo_server server;
    echo_init(&server, NULL);
    echo_ask(&server,
             "GET /\nHost: h\nX-Forwarded-For: 192.0.2.1\nA: b\nX-Forwarded-For: 192.0.2.2\n");
    check_client(&server, "192.0.2.2");
    echo_fini(&server);
    echo_init(&server, REMOTE, HOPS("2"), NULL);
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-For: 192.0.2.1\nX-Forwarded-For: 192.0.2.2\n");
    check_client(&server, "192.0.2.1");
    echo_fini(&server);
}

MB_TEST(trusted_hops_are_counted_from_the_right) {
    echo_server server;
    echo_init(&server, REMOTE, HOPS("1"), NULL);
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\n");
    check_client(&server, "192.0.2.2");
    CHECK_ECHO(&server, "seen-x-envoy-external-address", "192.0.2.2");
    echo_ask(&server, "GET /\nHost: h\n");
    check_client(&server, "127.0.0.1");
    echo_fini(&server);
    echo_init(&server, HOPS("1"), NULL);
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\n");
    check_client(&server, "192.0.2.1");
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-For: 192.0.2.2\n");
    check_client(&server, "127.0.0.1");
    echo_fini(&server);
}

/* -- internal requests ------------------------------------------------------------------------ */

#define ENVOY_HEADERS                                                                              \
    "X-Envoy-Max-Retries: 3\nX-Envoy-Upstream-Rq-Timeout-Ms: 5\nX-Envoy-Internal: true\n"          \
    "X-Envoy-Decorator-Operation: o\nX-Envoy-Other: kept\n"

MB_TEST(what_only_neighbours_may_say_is_removed_from_others) {
    echo_server server;
    echo_init(&server, REMOTE, NULL);
    echo_ask(&server, "GET /\nHost: h\n" ENVOY_HEADERS);
    CHECK_ECHO(&server, "seen-x-envoy-max-retries", "(none)");
    CHECK_ECHO(&server, "seen-x-envoy-upstream-rq-timeout-ms", "(none)");
    CHECK_ECHO(&server, "seen-x-envoy-internal", "(none)");
    CHECK_ECHO(&server, "seen-x-envoy-decorator-operation", "(none)");
    CHECK_ECHO(&server, "seen-x-envoy-other", "kept");
    echo_fini(&server);
}

MB_TEST(a_request_from_an_internal_range_may_say_it) {
    echo_server server;
    echo_init(&server, REMOTE, INTERNAL("127.0.0.2", "32"), NULL);
    server.from = "127.0.0.2";
    echo_ask(&server, "GET /\nHost: h\n" ENVOY_HEADERS);
    CHECK_ECHO(&server, "seen-x-envoy-max-retries", "3");
    CHECK_ECHO(&server, "seen-x-envoy-internal", "true");
    CHECK_ECHO(&server, "seen-x-envoy-external-address", "(none)");
    CHECK_ECHO(&server, "seen-x-forwarded-for", "127.0.0.2");
    server.from = "127.0.0.3";
    echo_ask(&server, "GET /\nHost: h\n" ENVOY_HEADERS);
    CHECK_ECHO(&server, "seen-x-envoy-max-retries", "(none)");
    CHECK_ECHO(&server, "seen-x-envoy-external-address", "127.0.0.3");
    /* Forwarded by somebody: not internal, whoever forwarded it. */
    server.from = "127.0.0.2";
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-For: 127.0.0.2\n" ENVOY_HEADERS);
    CHECK_ECHO(&server, "seen-x-envoy-internal", "(none)");
    echo_fini(&server);
}

MB_TEST(ranges_count_their_bits) {
    echo_server server;
    echo_init(&server, REMOTE, INTERNAL("127.0.0.4", "30"), NULL);
    static const struct {
        const char *from, *internal;
    } rows[] = {{"127.0.0.3", "(none)"},
                {"127.0.0.4", "true"},
                {"127.0.0.7", "true"},
                {"127.0.0.8", "(none)"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        server.from = rows[i].from;
        echo_ask(&server, "GET /\nHost: h\n");
        MB_CHECK_EQ_SLICE(echo_value(&server, "seen-x-envoy-internal"),
                          mb_slice_from_c(rows[i].internal));
    }
    echo_fini(&server);
    echo_init(&server, REMOTE, INTERNAL("0.0.0.0", "0"), NULL);
    echo_ask(&server, "GET /\nHost: h\n");
    CHECK_ECHO(&server, "seen-x-envoy-internal", "true");
    echo_fini(&server);
}

MB_TEST(without_the_remote_address_one_forwarded_address_decides) {
    echo_server server;
    echo_init(&server, INTERNAL("10.0.0.0", "8"), NULL);
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-For: 10.1.2.3\n");
    CHECK_ECHO(&server, "seen-x-envoy-internal", "true");
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-For: 10.1.2.3, 10.1.2.4\n" ENVOY_HEADERS);
    CHECK_ECHO(&server, "seen-x-envoy-internal", "(none)");
    CHECK_ECHO(&server, "seen-x-envoy-max-retries", "(none)");
    echo_ask(&server, "GET /\nHost: h\n");
    CHECK_ECHO(&server, "seen-x-envoy-internal", "(none)");
    echo_fini(&server);
}

/* -- request id ------------------------------------------------------------------------------- */

static bool is_uuid(mb_slice id) {
    for (size_t i = 0; i < id.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? id.ptr[i] != '-' : strchr("0123456789abcdef", id.ptr[i]) == NULL) {
            return false;
        }
    }
    return id.len == 36 && id.ptr[14] == '4' && strchr("89ab", id.ptr[19]) != NULL;
}

MB_TEST(a_request_gets_an_id_of_its_own) {
    echo_server server;
    char first[36];
    echo_init(&server, REMOTE, NULL);
    echo_ask(&server, "GET /\nHost: h\n");
    MB_CHECK(is_uuid(echo_value(&server, "seen-x-request-id")));
    memcpy(first, echo_value(&server, "seen-x-request-id").ptr, sizeof(first));
    echo_ask(&server, "GET /\nHost: h\nX-Request-Id: mine\n");
    MB_CHECK(is_uuid(echo_value(&server, "seen-x-request-id")));
    MB_CHECK(memcmp(first, echo_value(&server, "seen-x-request-id").ptr, sizeof(first)) != 0);
    CHECK_ECHO(&server, "x-request-id", "(none)");
    echo_fini(&server);
}

MB_TEST(an_id_from_inside_or_one_to_preserve_is_kept) {
    echo_server server;
    echo_init(&server, REMOTE, "'preserve_external_request_id':false",
              "'preserve_external_request_id':true", NULL);
    echo_ask(&server, "GET /\nHost: h\nX-Request-Id: mine\n");
    CHECK_ECHO(&server, "seen-x-request-id", "mine");
    echo_fini(&server);
    echo_init(&server, NULL);
    echo_ask(&server, "GET /\nHost: h\nX-Request-Id: mine\n");
    CHECK_ECHO(&server, "seen-x-request-id", "mine");
    echo_fini(&server);
    echo_init(&server, REMOTE, INTERNAL("127.0.0.0", "8"), NULL);
    echo_ask(&server, "GET /\nHost: h\nX-Request-Id: mine\n");
    CHECK_ECHO(&server, "seen-x-request-id", "mine");
    echo_fini(&server);
}

MB_TEST(ids_may_be_off_or_be_sent_back) {
    echo_server server;
    echo_init(&server, "'generate_request_id':true", "'generate_request_id':false", NULL);
    echo_ask(&server, "GET /\nHost: h\n");
    CHECK_ECHO(&server, "seen-x-request-id", "(none)");
    echo_fini(&server);
    echo_init(&server, "'always_set_request_id_in_response':false",
              "'always_set_request_id_in_response':true", NULL);
    echo_ask(&server, "GET /\nHost: h\nX-Request-Id: mine\n");
    CHECK_ECHO(&server, "x-request-id", "mine");
    echo_fini(&server);
}

/* -- scheme ----------------------------------------------------------------------------------- */

MB_TEST(the_scheme_is_what_a_trusted_neighbour_says) {
    echo_server server;
    echo_init(&server, REMOTE, NULL);
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-Proto: https\n");
    CHECK_ECHO(&server, "seen-x-forwarded-proto", "http");
    CHECK_ECHO(&server, "seen-scheme", "http");
    echo_fini(&server);
    echo_init(&server, NULL);
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-Proto: https\n");
    CHECK_ECHO(&server, "seen-x-forwarded-proto", "https");
    CHECK_ECHO(&server, "seen-scheme", "https");
    echo_ask(&server, "GET /\nHost: h\n");
    CHECK_ECHO(&server, "seen-x-forwarded-proto", "http");
    CHECK_ECHO(&server, "seen-scheme", "http");
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-Proto: gopher\n");
    CHECK_ECHO(&server, "seen-scheme", "http");
    echo_fini(&server);
    echo_init(&server, REMOTE, HOPS("1"), NULL);
    echo_ask(&server, "GET /\nHost: h\nX-Forwarded-Proto: https\n");
    CHECK_ECHO(&server, "seen-scheme", "https");
    echo_fini(&server);
}

/* -- authority -------------------------------------------------------------------------------- */

static void check_authority(echo_server *server, const char *host, const char *want) {
    char head[256];
    strcpy(head, "GET /\nHost: ");
    strcat(head, host);
    strcat(head, "\n");
    echo_ask(server, head);
    MB_CHECK_EQ_SLICE(echo_value(server, "seen-authority"), mb_slice_from_c(want));
}

MB_TEST(the_port_of_the_authority_stays_by_default) {
    echo_server server;
    echo_init(&server, NULL);
    check_authority(&server, "h:80", "h:80");
    check_authority(&server, "h.:80", "h.:80");
    check_authority(&server, "h.", "h.");
    echo_fini(&server);
}

MB_TEST(any_port_is_stripped_where_asked) {
    echo_server server;
    echo_init(&server, "'strip_host_port':'none'", "'strip_host_port':'any'", NULL);
    check_authority(&server, "h:80", "h");
    check_authority(&server, "h", "h");
    check_authority(&server, "192.0.2.1:8080", "192.0.2.1");
    check_authority(&server, "[2001:db8::1]:8080", "[2001:db8::1]");
    check_authority(&server, "[2001:db8::1]", "[2001:db8::1]");
    check_authority(&server, "[::80]", "[::80]");
    check_authority(&server, "h80", "h80");
    echo_fini(&server);
}

MB_TEST(the_own_port_is_stripped_where_asked) {
    echo_server server;
    char host[32];
    echo_init(&server, "'strip_host_port':'none'", "'strip_host_port':'matching'", NULL);
    check_authority(&server, "h:1", "h:1");
    snprintf(host, sizeof(host), "h:%u", server.port);
    check_authority(&server, host, "h");
    echo_fini(&server);
}

MB_TEST(a_trailing_dot_is_stripped_where_asked) {
    echo_server server;
    echo_init(&server, "'strip_trailing_host_dot':false", "'strip_trailing_host_dot':true", NULL);
    check_authority(&server, "h.example.", "h.example");
    check_authority(&server, "h.example", "h.example");
    check_authority(&server, ".", ".");
    echo_fini(&server);
}

/* -- expect, via ------------------------------------------------------------------------ */

MB_TEST(an_expectation_is_answered_by_ourselves) {
    echo_server server;
    echo_init(&server, NULL);
    echo_ask(&server, "POST /\nHost: h\nContent-Length: 3\nExpect: 100-continue\n");
    CHECK_STATUS(&server, "100 Continue");
    CHECK_ECHO(&server, "seen-expect", "(none)");
    echo_fini(&server);
    echo_init(&server, "'proxy_100_continue':false", "'proxy_100_continue':true", NULL);
    echo_ask(&server, "POST /\nHost: h\nContent-Length: 3\nExpect: 100-continue\n");
    CHECK_STATUS(&server, "200 OK");
    CHECK_ECHO(&server, "seen-expect", "100-continue");
    echo_fini(&server);
}

MB_TEST(via_is_appended_both_ways) {
    echo_server server;
    echo_init(&server, "'via':''", "'via':'1.1 us'", NULL);
    echo_ask(&server, "GET /\nHost: h\nVia: 1.0 a\nVia: 1.1 b\n");
    CHECK_ECHO(&server, "seen-via", "1.0 a,1.1 b, 1.1 us");
    CHECK_ECHO(&server, "via", "1.1 us");
    echo_fini(&server);
}
