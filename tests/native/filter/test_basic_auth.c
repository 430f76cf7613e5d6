/* basic_auth: who passes, who doesn't, and the words of Envoy 1.40 for it. */
#include "base/base64.h"
#include "base/slice.h"
#include "support/filter_rig.h"

#include <stdio.h>

static void begin(filter_rig *rig, const char *json) {
    filter_rig_init(rig, 0);
    int status = filter_rig_use(rig, "basic_auth", json);
    if (status != MB_OK) {
        printf("%.*s\n", (int)filter_rig_error(rig).len, filter_rig_error(rig).ptr);
    }
    MB_CHECK_EQ_INT(status, MB_OK);
    filter_rig_get(rig, "/p?q");
}

/* Configuration of ann:secret with further fields. */
static const char *config(const char *more) {
    static char json[600];
    snprintf(json, sizeof(json),
             "{'users':[{'name':'ann','sha1':{'$raw':"
             "'c414e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4'}}]%s}",
             more);
    return json;
}

static void check(const char *credentials, uint32_t status, const char *body, const char *details) {
    filter_rig rig;
    begin(&rig, config(""));
    if (credentials != NULL) {
        filter_rig_header(&rig, MB_REQUEST, "authorization", credentials);
    }
    mb_stream_request_headers(rig.stream, true);
    MB_CHECK_EQ_INT(rig.upstream_asked, status == 0);
    MB_CHECK_EQ_INT(rig.status, status);
    if (status != 0) {
        MB_CHECK_EQ_SLICE(((mb_slice){rig.body, rig.body_length}), mb_slice_from_c(body));
        MB_CHECK_EQ_SLICE(rig.stream->info.details, mb_slice_from_c(details));
        MB_CHECK_EQ_LIT(filter_rig_values(&rig.stream->headers[MB_RESPONSE], "www-authenticate"),
                        "Basic realm=\"http://host.example/p?q\"");
    }
    MB_CHECK_EQ_INT(filter_rig_counter(&rig, "basic_auth.allowed"), status == 0);
    MB_CHECK_EQ_INT(filter_rig_counter(&rig, "basic_auth.denied"), status != 0);
    filter_rig_fini(&rig);
}

MB_TEST(known_user_with_the_right_password_passes) {
    check("Basic YW5uOnNlY3JldA==", 0, "", "");
    check("Basic YW5uOnNlY3JldA", 0, "", "");
}

MB_TEST(refusals_are_worded_as_by_envoy) {
    check(NULL, 401, "User authentication failed. Missing username and password.",
          "no_credential_for_basic_auth");
    check("Bearer x", 401, "User authentication failed. Expected 'Basic' authentication scheme.",
          "invalid_scheme_for_basic_auth");
    check("basic YW5uOnNlY3JldA==", 401,
          "User authentication failed. Expected 'Basic' authentication scheme.",
          "invalid_scheme_for_basic_auth");
    static const char *const malformed[] = {"Basic ", "Basic YW5u", "Basic %%%%", "Basic A",
                                            "Basic ="};
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        check(malformed[i], 401, "User authentication failed. Invalid basic credential format.",
              "invalid_format_for_basic_auth");
    }
    /* ann:secret2, ann:, eve:secret, :secret */
    static const char *const wrong[] = {
        "Basic YW5uOnNlY3JldDI=", "Basic YW5uOg==", "Basic ZXZlOnNlY3JldA==", "Basic OnNlY3JldA=="};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        check(wrong[i], 401, "User authentication failed. Invalid username/password combination.",
              "invalid_credential_for_basic_auth");
    }
}

MB_TEST(credentials_of_any_length_are_judged) {
    static char value[20000];
    for (size_t length = 4090; length < 4110; length++) {
        memset(value, 'A', length);
        memcpy(value, "Basic ", 6);
        value[length] = '\0';
        check(value, 401, "User authentication failed. Invalid basic credential format.",
              "invalid_format_for_basic_auth");
    }
}

MB_TEST(name_can_be_passed_on_and_header_chosen) {
    filter_rig rig;
    begin(&rig, config(",'forward_username_header':'x-user','authentication_header':'x-auth'"));
    filter_rig_header(&rig, MB_REQUEST, "x-user", "somebody else");
    filter_rig_header(&rig, MB_REQUEST, "x-auth", "Basic YW5uOnNlY3JldA==");
    mb_stream_request_headers(rig.stream, true);
    MB_CHECK(rig.upstream_asked);
    MB_CHECK_EQ_LIT(filter_rig_values(&rig.stream->headers[MB_REQUEST], "x-user"), "ann");
    filter_rig_fini(&rig);
}

MB_TEST(realm_is_quoted_and_bounded) {
    static char path[600] = "/\"a\\b";
    memset(path + 5, 'x', 500);
    filter_rig rig;
    begin(&rig, config(""));
    filter_rig_header(&rig, MB_REQUEST, ":path", path);
    mb_stream_request_headers(rig.stream, true);
    mb_slice realm = filter_rig_values(&rig.stream->headers[MB_RESPONSE], "www-authenticate");
    MB_CHECK(mb_slice_starts_with(realm,
                                  MB_SLICE_LIT("Basic realm=\"http://host.example/\\\"a\\\\bxx")));
    MB_CHECK_EQ_INT(realm.len, strlen("Basic realm=\"http://host.example") + 256 + 2 + 1);
    filter_rig_fini(&rig);
}

MB_TEST(any_of_many_users_is_found) {
    static char json[20000];
    size_t length = (size_t)snprintf(json, sizeof(json), "{'users':[");
    for (int i = 0; i < 100; i++) {
        /* SHA-1 of "pw". */
        length += (size_t)snprintf(json + length, sizeof(json) - length,
                                   "%s{'name':'u%d','sha1':{'$raw':'c414"
                                   "1a91d62f7ca67399625a4368a6ab5d4a3baa6073'}}",
                                   i > 0 ? "," : "", i * 7919 % 1000);
    }
    snprintf(json + length, sizeof(json) - length, "]}");
    filter_rig rig;
    begin(&rig, json);
    for (int i = 0; i < 101; i++) {
        char pair[20], header[60] = "Basic ";
        bool known = i < 100;
        int size = snprintf(pair, sizeof(pair), "u%d:pw", known ? i * 7919 % 1000 : 1000);
        header[6 + mb_base64_encode((mb_slice){pair, (size_t)size}, header + 6)] = '\0';
        filter_rig_begin(&rig);
        filter_rig_get(&rig, "/");
        filter_rig_header(&rig, MB_REQUEST, "authorization", header);
        mb_stream_request_headers(rig.stream, true);
        MB_CHECK_EQ_INT(rig.upstream_asked, known);
    }
    filter_rig_fini(&rig);
}

MB_TEST(malformed_configurations_are_refused_with_a_reason) {
    static const char *const bad[] = {
        "null",
        "{}",
        "{'users':1}",
        "{'users':[]}",
        "{'users':[1]}",
        "{'users':[{'name':'a'}]}",
        "{'users':[{'name':'','sha1':{'$raw':'c4141a91d62f7ca67399625a4368a6ab5d4a3baa6073'}}]}",
        "{'users':[{'name':'a','sha1':'short'}]}",
        "{'users':{'$raw':'dd7fffffff'}}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        filter_rig rig;
        filter_rig_init(&rig, 0);
        MB_CHECK_EQ_INT(filter_rig_use(&rig, "basic_auth", bad[i]), MB_ECONFIG);
        MB_CHECK(filter_rig_error(&rig).len > 0);
        filter_rig_fini(&rig);
    }
}
