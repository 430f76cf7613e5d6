/* Matchers: the answers of Envoy 1.40 to the same requests, one line a matcher. */
#include "base/slice.h"
#include "mbtest.h"
#include "route/route_internal.h"

typedef struct world {
    mbtest_alloc *memory;
    mb_arena_pool pool;
    mb_arena arena;
    mb_headers request;
    mb_matcher matcher;
    mb_route route;
} world;

static void world_init(world *self) {
    memset(self, 0, sizeof(*self));
    self->memory = mbtest_failing_alloc(0);
    mb_arena_pool_init(&self->pool, &self->memory->allocator, 0);
    mb_arena_init(&self->arena, &self->pool);
    mb_headers_init(&self->request, &self->arena);
    self->route.path_kind = MB_PATH_PREFIX;
    self->route.case_sensitive = true;
}

static void world_fini(world *self) {
    if (self->matcher.regex != NULL) {
        mb_regex_free(self->matcher.regex);
    }
    mb_arena_clear(&self->arena);
    mb_arena_pool_fini(&self->pool);
    mbtest_alloc_free(self->memory);
}

/* Whether a route with that matcher of x-m (and of the known header `accept`) matches a request
 * with these values, given as "a|b"; NULL: without the header. */
static bool matches(mb_matcher matcher, const char *values) {
    bool answer[2];
    for (int i = 0; i < 2; i++) {
        world self;
        world_init(&self);
        self.matcher = matcher;
        self.matcher.name = i == 0 ? MB_SLICE_LIT("x-m") : MB_SLICE_LIT("accept");
        if (matcher.kind == MB_MATCH_REGEX) {
            mb_text error;
            mb_text_init(&error, &self.memory->allocator, 100);
            MB_CHECK_EQ_INT(mb_regex_new(matcher.text, &error, &self.matcher.regex), MB_OK);
            mb_text_fini(&error);
        }
        self.route.headers = &self.matcher;
        self.route.header_count = 1;
        mb_virtual_host host = {.routes = &self.route, .route_count = 1};
        mb_route_table table = {.hosts = &host, .host_count = 1};
        MB_CHECK_EQ_INT(mb_route_table_finish(&self.arena, &table), MB_OK);
        mb_slice rest = mb_slice_from_c(values == NULL ? "" : values);
        for (bool more = values != NULL; more;) {
            mb_slice value;
            more = mb_slice_split(rest, '|', &value, &rest);
            MB_CHECK_EQ_INT(mb_headers_add(&self.request, self.matcher.name, value), MB_OK);
        }
        mb_route_request request = mb__route_request(&self.request);
        answer[i] = mb__route_matches(&self.route, &request);
        world_fini(&self);
    }
    MB_CHECK_EQ_INT(answer[0], answer[1]);
    return answer[0];
}

/* For each letter: no header, q, z, q|z, z|q, q|q, z|y, 3, 3|9, 9|8, xQx, |q; '+' matches. */
static void check_answers(mb_matcher matcher, const char *want) {
    static const char *const values[] = {NULL,  "q", "z",   "q|z", "z|q", "q|q",
                                         "z|y", "3", "3|9", "9|8", "xQx", "|q"};
    char got[13] = "";
    for (int i = 0; i < 12; i++) {
        got[i] = matches(matcher, values[i]) ? '+' : '-';
    }
    MB_CHECK_EQ_SLICE(mb_slice_from_c(got), mb_slice_from_c(want));
}

#define TEXT(match, literal, ...)                                                                  \
    ((mb_matcher){.kind = (match), .text = MB_SLICE_LIT(literal), __VA_ARGS__})

MB_TEST(headers_are_matched_value_by_value_as_by_envoy) {
    check_answers(TEXT(MB_MATCH_EXACT, "q", .invert = false), "-+-+++-----+");
    check_answers(TEXT(MB_MATCH_EXACT, "q", .invert = true), "--+---+++++-");
    check_answers(TEXT(MB_MATCH_EXACT, "q", .invert = true, .missing_as_empty = true),
                  "+-+---+++++-");
    check_answers(TEXT(MB_MATCH_REGEX, "q.*", .invert = false), "-+-+++-----+");
    check_answers(TEXT(MB_MATCH_CONTAINS, "Q", .ignore_case = true), "-+-+++----++");
    check_answers(
        (mb_matcher){.kind = MB_MATCH_RANGE, .range_start = 1, .range_end = 5, .invert = true},
        "-++++++--+++");
}

MB_TEST(presence_is_matched_as_by_envoy) {
    mb_matcher matcher = {.kind = MB_MATCH_PRESENT, .present = true};
    check_answers(matcher, "-+++++++++++");
    matcher.invert = true;
    check_answers(matcher, "+-----------");
    matcher.missing_as_empty = true;
    check_answers(matcher, "------------");
    matcher = (mb_matcher){.kind = MB_MATCH_PRESENT, .present = false};
    check_answers(matcher, "+-----------");
    matcher.invert = true;
    check_answers(matcher, "-+++++++++++");
    matcher = (mb_matcher){.kind = MB_MATCH_PRESENT, .missing_as_empty = true};
    check_answers(matcher, "------------");
}

MB_TEST(texts_match_at_the_place_their_kind_says) {
    MB_CHECK(matches(TEXT(MB_MATCH_PREFIX, "ab", .invert = false), "abc"));
    MB_CHECK(!matches(TEXT(MB_MATCH_PREFIX, "bc", .invert = false), "abc"));
    MB_CHECK(matches(TEXT(MB_MATCH_SUFFIX, "bc", .invert = false), "abc"));
    MB_CHECK(!matches(TEXT(MB_MATCH_SUFFIX, "BC", .invert = false), "abc"));
    MB_CHECK(matches(TEXT(MB_MATCH_SUFFIX, "BC", .ignore_case = true), "abc"));
    MB_CHECK(matches(TEXT(MB_MATCH_PREFIX, "AB", .ignore_case = true), "abc"));
    MB_CHECK(matches(TEXT(MB_MATCH_EXACT, "ABC", .ignore_case = true), "abc"));
    MB_CHECK(matches(TEXT(MB_MATCH_CONTAINS, "b", .invert = false), "abc"));
    MB_CHECK(!matches(TEXT(MB_MATCH_CONTAINS, "abcd", .invert = false), "abc"));
    MB_CHECK(!matches(TEXT(MB_MATCH_REGEX, "b", .invert = false), "abc"));
    MB_CHECK(matches(TEXT(MB_MATCH_EXACT, "", .missing_as_empty = true), NULL));
    MB_CHECK(!matches(TEXT(MB_MATCH_EXACT, "a,b", .invert = false), "a|b"));
    MB_CHECK(matches(TEXT(MB_MATCH_EXACT, "a,b", .invert = false), "q|a,b"));
}

MB_TEST(range_takes_signed_decimal_numbers_only) {
    mb_matcher range = {.kind = MB_MATCH_RANGE, .range_start = -5, .range_end = 10};
    MB_CHECK(matches(range, "-5"));
    MB_CHECK(matches(range, "+7"));
    MB_CHECK(matches(range, "0007"));
    MB_CHECK(!matches(range, "10"));
    MB_CHECK(!matches(range, "-6"));
    MB_CHECK(!matches(range, "7 7"));
    MB_CHECK(!matches(range, "0x7"));
    MB_CHECK(!matches(range, ""));
    MB_CHECK(!matches(range, "-"));
    MB_CHECK(!matches(range, "99999999999999999999999"));
    range = (mb_matcher){.kind = MB_MATCH_RANGE, .range_start = INT64_MIN, .range_end = INT64_MAX};
    MB_CHECK(matches(range, "-9223372036854775808"));
    MB_CHECK(!matches(range, "-9223372036854775809"));
    MB_CHECK(!matches(range, "9223372036854775807"));
    MB_CHECK(matches(range, "9223372036854775806"));
}

MB_TEST(pseudo_headers_can_be_matched) {
    world self;
    world_init(&self);
    self.matcher = TEXT(MB_MATCH_EXACT, "POST", .invert = false);
    self.matcher.name = MB_SLICE_LIT(":method");
    self.route.headers = &self.matcher;
    self.route.header_count = 1;
    mb_virtual_host host = {.routes = &self.route, .route_count = 1};
    mb_route_table table = {.hosts = &host, .host_count = 1};
    MB_CHECK_EQ_INT(mb_route_table_finish(&self.arena, &table), MB_OK);
    mb_route_request request = mb__route_request(&self.request);
    MB_CHECK(!mb__route_matches(&self.route, &request));
    mb_headers_set_pseudo(&self.request, MB_PSEUDO_METHOD, MB_SLICE_LIT("POST"));
    MB_CHECK(mb__route_matches(&self.route, &request));
    world_fini(&self);
}

static bool query_matches(mb_matcher matcher, const char *name, const char *path) {
    world self;
    world_init(&self);
    self.matcher = matcher;
    self.matcher.name = mb_slice_from_c(name);
    self.route.query = &self.matcher;
    self.route.query_count = 1;
    size_t length = strlen(path);
    const char *guarded = mbtest_guard(path, length);
    mb_headers_set_pseudo(&self.request, MB_PSEUDO_PATH, (mb_slice){guarded, length});
    mb_route_request request = mb__route_request(&self.request);
    bool answer = mb__route_matches(&self.route, &request);
    mbtest_guard_free(guarded, length);
    world_fini(&self);
    return answer;
}

MB_TEST(query_parameters_are_compared_undecoded_by_their_first_value) {
    mb_matcher one = TEXT(MB_MATCH_EXACT, "1", .invert = false);
    MB_CHECK(query_matches(one, "a", "/?a=1"));
    MB_CHECK(query_matches(one, "a", "/?b&a=1"));
    MB_CHECK(query_matches(one, "a", "/?a=1&a=2"));
    MB_CHECK(!query_matches(one, "a", "/?a=2&a=1"));
    MB_CHECK(!query_matches(one, "a", "/?a=%31"));
    MB_CHECK(!query_matches(one, "a", "/?a=1;b=2"));
    MB_CHECK(!query_matches(one, "a", "/?b=3;a=1"));
    MB_CHECK(!query_matches(one, "a", "/a=1"));
    mb_matcher present = {.kind = MB_MATCH_PRESENT, .present = true};
    MB_CHECK(query_matches(present, "key", "/?key"));
    MB_CHECK(query_matches(present, "key", "/?key="));
    MB_CHECK(query_matches(present, "key", "/?&&key=1"));
    MB_CHECK(!query_matches(present, "key", "/?k%65y=1"));
    MB_CHECK(!query_matches(present, "key", "/"));
    MB_CHECK(!query_matches(present, "key", "/?"));
    present.present = false;
    MB_CHECK(query_matches(present, "key", "/?other"));
    MB_CHECK(!query_matches(present, "key", "/?key"));
}

MB_TEST(weighted_clusters_are_picked_by_their_weights) {
    world self;
    world_init(&self);
    mb_weighted_cluster clusters[] = {{.name = MB_SLICE_LIT("a"), .weight = 1},
                                      {.name = MB_SLICE_LIT("none"), .weight = 0},
                                      {.name = MB_SLICE_LIT("b"), .weight = 3}};
    self.route.weighted = clusters;
    self.route.weighted_count = 3;
    mb_virtual_host host = {.routes = &self.route, .route_count = 1};
    mb_route_table table = {.hosts = &host, .host_count = 1};
    MB_CHECK_EQ_INT(mb_route_table_finish(&self.arena, &table), MB_OK);
    unsigned picked[2] = {0, 0};
    for (uint64_t random = 0; random < 400; random++) {
        const mb_weighted_cluster *chosen = NULL;
        mb_slice name = mb_route_cluster(&self.route, &self.request, random, &chosen);
        MB_CHECK_EQ_SLICE(name, chosen->name);
        MB_CHECK(chosen != &clusters[1]);
        picked[chosen == &clusters[2]]++;
    }
    MB_CHECK_EQ_INT(picked[0], 100);
    MB_CHECK_EQ_INT(picked[1], 300);
    world_fini(&self);
}

MB_TEST(cluster_can_come_from_a_header) {
    world self;
    world_init(&self);
    self.route.cluster_header = MB_SLICE_LIT("x-cluster");
    MB_CHECK_EQ_LIT(mb_route_cluster(&self.route, &self.request, 0, NULL), "");
    mb_headers_add(&self.request, MB_SLICE_LIT("x-cluster"), MB_SLICE_LIT("blue"));
    MB_CHECK_EQ_LIT(mb_route_cluster(&self.route, &self.request, 0, NULL), "blue");
    self.route.cluster_header = MB_SLICE_LIT("");
    self.route.cluster = MB_SLICE_LIT("green");
    MB_CHECK_EQ_LIT(mb_route_cluster(&self.route, &self.request, 0, NULL), "green");
    world_fini(&self);
}
