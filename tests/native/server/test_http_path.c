/*
 * Paths before routing. Vectors: RFC 3986 5.2.4; Envoy, "normalize_path", "merge_slashes",
 * "path_with_escaped_slashes_action"; spellings by which guards of a path were passed elsewhere.
 */
#define _GNU_SOURCE /* memmem */

#include "server/http_path.h"

#include "base/slice.h"
#include "support/echo_server.h"

#include <stdlib.h>

/* Each step writes into a block of exactly the bytes it may use. */
static void check_normal(const char *path, const char *want) {
    size_t length = strlen(path);
    const char *guarded = mbtest_guard(path, length);
    char *out = malloc(length);
    size_t made;
    int result = mb__path_normalize((mb_slice){guarded, length}, out, &made);
    if (want == NULL) {
        MB_CHECK_EQ_INT(result, MB_EPROTO);
    } else {
        MB_CHECK_EQ_INT(result, MB_OK);
        MB_CHECK_EQ_SLICE(((mb_slice){out, made}), mb_slice_from_c(want));
    }
    free(out);
    mbtest_guard_free(guarded, length);
}

MB_TEST(dot_segments_are_removed) {
    static const char *const vectors[][2] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a/", "/a/"},
        {"/a/b/c/./../../g", "/a/g"},
        {"/mid/content=5/../6", "/mid/6"},
        {"/.", "/"},
        {"/..", "/"},
        {"/./", "/"},
        {"/../", "/"},
        {"/../../..", "/"},
        {"/../a", "/a"},
        {"/a/..", "/"},
        {"/a/.", "/a/"},
        {"/a/b/..", "/a/"},
        {"/a/b/../", "/a/"},
        {"/a/./b", "/a/b"},
        {"/a/../../b", "/b"},
        {"/a//../b", "/a/b"},
        {"//..", "/"},
        {"//a", "//a"},
        {"/...", "/..."},
        {"/.a/..b/c..", "/.a/..b/c.."},
        {"/a/.../b", "/a/.../b"},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        check_normal(vectors[i][0], vectors[i][1]);
    }
}

MB_TEST(escaped_and_turned_spellings_of_a_traversal_are_found) {
    static const char *const vectors[][2] = {
        {"/a/%2e%2e/b", "/b"},
        {"/a/%2E%2e/b", "/b"},
        {"/a/.%2e/b", "/b"},
        {"/a/%2e./b", "/b"},
        {"/a/%2e/b", "/a/b"},
        {"/a\\..\\b", "/b"},
        {"/a/..\\..\\b", "/b"},
        {"/a\\.\\b", "/a/b"},
        {"/%61%62", "/ab"},
        {"/%7Euser", "/~user"},
        {"/a%2fb", "/a%2fb"},
        {"/a%2F..%2fb", "/a%2F..%2fb"},
        {"/a/%5c../b", "/a/%5c../b"},
        {"/%20", "/%20"},
        {"/%25", "/%25"},
        {"/%252e%252e/", "/%252e%252e/"},
        {"/%25%32%65", "/%252e"},
        {"/\xc3\xa9", "/\xc3\xa9"},
        {"/%C3%A9", "/%C3%A9"},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        check_normal(vectors[i][0], vectors[i][1]);
    }
}

MB_TEST(malformed_escapes_and_nul_are_refused) {
    static const char *const bad[] = {"/%",     "/a%",  "/%2",    "/%g0", "/%0g",
                                      "/%%32e", "/%00", "/a%00b", "/% 2", "/%-1/..",
                                      "/%2%35", "a",    "%2f"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        check_normal(bad[i], NULL);
    }
}

static void check_step(size_t (*step)(mb_slice, char *), const char *path, const char *want) {
    size_t length = strlen(path);
    const char *guarded = mbtest_guard(path, length);
    char *out = malloc(length + 1);
    size_t made = step((mb_slice){guarded, length}, out);
    MB_CHECK_EQ_SLICE(((mb_slice){out, made}), mb_slice_from_c(want));
    memcpy(out, path, length);
    made = step((mb_slice){out, length}, out); /* in place, as the caller does */
    MB_CHECK_EQ_SLICE(((mb_slice){out, made}), mb_slice_from_c(want));
    free(out);
    mbtest_guard_free(guarded, length);
}

MB_TEST(slashes_are_merged) {
    static const char *const vectors[][2] = {
        {"/", "/"},       {"//", "/"},     {"///a//b///", "/a/b/"},
        {"/a/b", "/a/b"}, {"a//b", "a/b"}, {"", ""}};
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        check_step(mb__path_merge_slashes, vectors[i][0], vectors[i][1]);
    }
}

MB_TEST(only_escaped_slashes_are_unescaped) {
    static const char *const vectors[][2] = {
        {"/a%2fb", "/a/b"},     {"/a%2Fb", "/a/b"},     {"/a%5cb", "/a\\b"}, {"/a%5Cb", "/a\\b"},
        {"/%2e%20", "/%2e%20"}, {"/%", "/%"},           {"/%2", "/%2"},      {"/%2f", "//"},
        {"/%252f", "/%252f"},   {"/%2f%2f%2f", "////"}, {"/%2%2f", "/%2/"},  {"", ""}};
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        check_step(mb__path_unescape_slashes, vectors[i][0], vectors[i][1]);
    }
}

MB_TEST(any_bytes_normalize_to_a_path_that_stays_the_same) {
    static const char alphabet[] = "/.%2eE5cCfF\\a0?";
    uint64_t state = 88172645463325252u;
    for (int round = 0; round < 200000; round++) {
        char path[24], once[24], twice[24];
        size_t made, again, length = 1;
        path[0] = '/';
        for (size_t n = (state >> 20) % 20; n > 0; n--) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            path[length++] = alphabet[(state >> 33) % (sizeof(alphabet) - 1)];
        }
        state = state * 6364136223846793005u + 1442695040888963407u;
        if (mb__path_normalize((mb_slice){path, length}, once, &made) != MB_OK) {
            continue;
        }
        MB_CHECK(made > 0 && made <= length && once[0] == '/');
        MB_CHECK(memmem(once, made, "/../", 4) == NULL && memmem(once, made, "/./", 3) == NULL);
        MB_CHECK(!mb_slice_ends_with((mb_slice){once, made}, MB_SLICE_LIT("/..")));
        MB_CHECK(!mb_slice_ends_with((mb_slice){once, made}, MB_SLICE_LIT("/.")));
        MB_CHECK(memchr(once, '\\', made) == NULL);
        MB_CHECK_EQ_INT(mb__path_normalize((mb_slice){once, made}, twice, &again), MB_OK);
        MB_CHECK_EQ_SLICE(((mb_slice){twice, again}), ((mb_slice){once, made}));
    }
}

/* -- in a request ----------------------------------------------------------------------------- */

#define NORMALIZE "'normalize_path':false", "'normalize_path':true"
#define MERGE "'merge_slashes':false", "'merge_slashes':true"
#define ESCAPED(action)                                                                            \
    "'path_with_escaped_slashes_action':'keep_unchanged'",                                         \
        "'path_with_escaped_slashes_action':'" action "'"

MB_TEST(a_path_is_left_alone_by_default) {
    echo_server server;
    echo_init(&server, NULL);
    echo_ask(&server, "GET //a/../%2e%2f\\%zz?x=/../\nHost: h\n");
    CHECK_STATUS(&server, "200 OK");
    CHECK_ECHO(&server, "seen-path", "//a/../%2e%2f\\%zz?x=/../");
    echo_fini(&server);
}

MB_TEST(the_query_is_not_touched) {
    echo_server server;
    echo_init(&server, NORMALIZE, MERGE, ESCAPED("unescape_and_forward"), NULL);
    echo_ask(&server, "GET //a/.%2e//b%2f?q=//x/../%2f%00&%zz?/..\nHost: h\n");
    CHECK_STATUS(&server, "200 OK");
    CHECK_ECHO(&server, "seen-path", "/b/?q=//x/../%2f%00&%zz?/..");
    echo_fini(&server);
}

MB_TEST(what_unescaping_shows_is_normalized_too) {
    echo_server server;
    echo_init(&server, NORMALIZE, ESCAPED("unescape_and_forward"), NULL);
    echo_ask(&server, "GET /a/b%2f..%2f..%5c..%2fc\nHost: h\n");
    CHECK_ECHO(&server, "seen-path", "/c");
    echo_fini(&server);
}

MB_TEST(a_path_that_can_not_be_normalized_is_answered_400) {
    echo_server server;
    echo_init(&server, NORMALIZE, NULL);
    echo_ask(&server, "GET /a%00\nHost: h\n");
    CHECK_STATUS(&server, "400 Bad Request");
    echo_ask(&server, "GET /a%2\nHost: h\n");
    CHECK_STATUS(&server, "400 Bad Request");
    echo_ask(&server, "GET /a%20\nHost: h\n");
    CHECK_STATUS(&server, "200 OK");
    echo_fini(&server);
}

MB_TEST(escaped_slashes_are_refused_where_asked) {
    echo_server server;
    echo_init(&server, ESCAPED("reject_request"), NULL);
    echo_ask(&server, "GET /a%2Fb\nHost: h\n");
    CHECK_STATUS(&server, "400 Bad Request");
    echo_ask(&server, "GET /a%5cb\nHost: h\n");
    CHECK_STATUS(&server, "400 Bad Request");
    echo_ask(&server, "GET /a%2eb?%2f\nHost: h\n");
    CHECK_STATUS(&server, "200 OK");
    CHECK_ECHO(&server, "seen-path", "/a%2eb?%2f");
    echo_fini(&server);
}

MB_TEST(escaped_slashes_are_redirected_where_asked) {
    echo_server server;
    echo_init(&server, ESCAPED("unescape_and_redirect"), NORMALIZE, NULL);
    echo_ask(&server, "GET /a%2F../b?c%2fd\nHost: h\n");
    CHECK_STATUS(&server, "307 Temporary Redirect");
    CHECK_ECHO(&server, "location", "/b?c%2fd");
    echo_ask(&server, "GET /a/../b\nHost: h\n");
    CHECK_STATUS(&server, "200 OK");
    CHECK_ECHO(&server, "seen-path", "/b");
    echo_fini(&server);
}

MB_TEST(a_target_that_is_no_path_is_answered_404) {
    echo_server server;
    echo_init(&server, NORMALIZE, NULL);
    echo_ask(&server, "OPTIONS *\nHost: h\n");
    CHECK_STATUS(&server, "404 Not Found");
    echo_ask(&server, "GET http://other/x/../y?z\nHost: h\n");
    CHECK_STATUS(&server, "200 OK");
    CHECK_ECHO(&server, "seen-path", "/y?z");
    CHECK_ECHO(&server, "seen-authority", "other");
    echo_fini(&server);
}
