/* Routes by path: first match in order, compared with trying every route. */
#include "base/slice.h"
#include "mbtest.h"
#include "route/route_internal.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct routes {
    mbtest_alloc *memory;
    mb_arena_pool pool;
    mb_arena arena, stream_arena;
    mb_virtual_host host;
    mb_route_table table;
    uint32_t capacity;
    mb_headers request;
} routes;

static void routes_init(routes *self, uint32_t capacity, size_t fail_at) {
    memset(self, 0, sizeof(*self));
    self->memory = mbtest_failing_alloc(fail_at);
    mb_arena_pool_init(&self->pool, &self->memory->allocator, 0);
    mb_arena_init(&self->arena, &self->pool);
    mb_arena_init(&self->stream_arena, &self->pool);
    self->host.routes = calloc(capacity, sizeof(mb_route));
    self->host.table = &self->table;
    self->capacity = capacity;
    self->table.hosts = &self->host;
    self->table.host_count = 1;
    mb_headers_init(&self->request, &self->stream_arena);
}

static void routes_fini(routes *self) {
    for (uint32_t i = 0; i < self->host.route_count; i++) {
        if (self->host.routes[i].path_regex != NULL) {
            mb_regex_free(self->host.routes[i].path_regex);
        }
    }
    free(self->host.routes);
    mb_arena_clear(&self->stream_arena);
    mb_arena_clear(&self->arena);
    mb_arena_pool_fini(&self->pool);
    mbtest_alloc_free(self->memory);
}

/* `path` must live as long as the table, as in a configuration. */
static mb_route *add(routes *self, mb_path_match kind, const char *path) {
    MB_CHECK(self->host.route_count < self->capacity);
    mb_route *route = &self->host.routes[self->host.route_count++];
    route->host = &self->host;
    route->path_kind = kind;
    route->path = mb_slice_from_c(path);
    route->case_sensitive = true;
    if (kind == MB_PATH_REGEX) {
        mb_text error;
        mb_text_init(&error, &self->memory->allocator, 100);
        MB_CHECK_EQ_INT(mb_regex_new(route->path, &error, &route->path_regex), MB_OK);
        mb_text_fini(&error);
    }
    return route;
}

static void finish(routes *self) {
    MB_CHECK_EQ_INT(
        mb_route_table_add_domain(&self->arena, &self->table, &self->host, MB_SLICE_LIT("*")),
        MB_OK);
    MB_CHECK_EQ_INT(mb_route_table_finish(&self->arena, &self->table), MB_OK);
}

/* The number of the route for a path that ends at an unreadable page; -1: none. */
static int number(routes *self, const char *path) {
    size_t length = strlen(path);
    const char *guarded = mbtest_guard(path, length);
    mb_headers_set_pseudo(&self->request, MB_PSEUDO_PATH, (mb_slice){guarded, length});
    const mb_route *route = mb_route_find(&self->table, &self->request, NULL);
    mbtest_guard_free(guarded, length);
    return route == NULL ? -1 : (int)(route - self->host.routes);
}

MB_TEST(first_matching_route_wins_whatever_its_kind) {
    routes self;
    routes_init(&self, 8, 0);
    add(&self, MB_PATH_EXACT, "/a/b");
    add(&self, MB_PATH_SEPARATED, "/a");
    add(&self, MB_PATH_REGEX, "/r.*");
    add(&self, MB_PATH_PREFIX, "/a");
    add(&self, MB_PATH_EXACT, "/ab");
    add(&self, MB_PATH_PREFIX, "/rest");
    add(&self, MB_PATH_PREFIX, "/q");
    finish(&self);
    MB_CHECK_EQ_INT(number(&self, "/a/b"), 0);
    MB_CHECK_EQ_INT(number(&self, "/a/b?c"), 0);
    MB_CHECK_EQ_INT(number(&self, "/a/bc"), 1);
    MB_CHECK_EQ_INT(number(&self, "/a"), 1);
    MB_CHECK_EQ_INT(number(&self, "/a?x=/"), 1);
    MB_CHECK_EQ_INT(number(&self, "/ab"), 3);
    MB_CHECK_EQ_INT(number(&self, "/rest"), 2);
    MB_CHECK_EQ_INT(number(&self, "/"), -1);
    MB_CHECK_EQ_INT(number(&self, "/q"), 6);
    MB_CHECK_EQ_INT(number(&self, "/A"), -1);
    routes_fini(&self);
}

MB_TEST(case_is_ignored_only_where_the_route_says_so) {
    routes self;
    routes_init(&self, 4, 0);
    add(&self, MB_PATH_PREFIX, "/Api")->case_sensitive = false;
    add(&self, MB_PATH_EXACT, "/Exact")->case_sensitive = false;
    add(&self, MB_PATH_PREFIX, "/api");
    add(&self, MB_PATH_SEPARATED, "/Sep")->case_sensitive = false;
    finish(&self);
    MB_CHECK_EQ_INT(number(&self, "/aPI/x"), 0);
    MB_CHECK_EQ_INT(number(&self, "/api/x"), 0);
    MB_CHECK_EQ_INT(number(&self, "/eXACT"), 1);
    MB_CHECK_EQ_INT(number(&self, "/exact/"), -1);
    MB_CHECK_EQ_INT(number(&self, "/sep/"), 3);
    MB_CHECK_EQ_INT(number(&self, "/seps"), -1);
    routes_fini(&self);
}

MB_TEST(empty_prefix_and_missing_path_are_no_trouble) {
    routes self;
    routes_init(&self, 1, 0);
    finish(&self);
    MB_CHECK_EQ_INT(number(&self, "/"), -1);
    routes_fini(&self);
    routes_init(&self, 1, 0);
    add(&self, MB_PATH_PREFIX, "");
    finish(&self);
    MB_CHECK_EQ_INT(number(&self, "/x"), 0);
    MB_CHECK_EQ_INT(number(&self, ""), 0);
    mb_headers_set_pseudo(&self.request, MB_PSEUDO_PATH, (mb_slice){NULL, 0});
    MB_CHECK(mb_route_find(&self.table, &self.request, NULL) == &self.host.routes[0]);
    routes_fini(&self);
}

MB_TEST(prefixes_nested_deeper_than_the_index_goes_are_found) {
    enum { DEEP = 200 };
    static char texts[DEEP][DEEP + 2];
    routes self;
    routes_init(&self, DEEP, 0);
    /* Deepest first, so that every one of them can win. */
    for (int i = 0; i < DEEP; i++) {
        int length = DEEP - i;
        memset(texts[i], 'a', (size_t)length);
        texts[i][0] = '/';
        add(&self, MB_PATH_PREFIX, texts[i]);
    }
    finish(&self);
    for (int i = 0; i < DEEP; i++) {
        MB_CHECK_EQ_INT(number(&self, texts[i]), i);
    }
    routes_fini(&self);
}

/* -- against trying every route -------------------------------------------------------------- */

static int naive(const routes *self) {
    mb_route_request request = mb__route_request(&self->request);
    for (uint32_t i = 0; i < self->host.route_count; i++) {
        if (mb__route_matches(&self->host.routes[i], &request)) {
            return (int)i;
        }
    }
    return -1;
}

static void random_path(char *out, size_t most) {
    size_t length = 1 + (size_t)rand() % most;
    out[0] = '/';
    for (size_t i = 1; i < length; i++) {
        out[i] = "abA/"[rand() % 4];
    }
    out[length] = '\0';
}

static void add_random(routes *self, char *text, mb_matcher *matcher) {
    static const char *const regexes[] = {"/a.*", ".*b", "/[^/]*", ".*/.*/.*"};
    int kind = rand() % 12;
    random_path(text, 9);
    mb_route *route = kind == 0 ? add(self, MB_PATH_REGEX, regexes[rand() % 4])
                                : add(self,
                                      kind < 5   ? MB_PATH_PREFIX
                                      : kind < 8 ? MB_PATH_EXACT
                                                 : MB_PATH_SEPARATED,
                                      text);
    route->case_sensitive = kind == 0 || rand() % 4 != 0;
    *matcher = (mb_matcher){.name = MB_SLICE_LIT("x-test"),
                            .kind = MB_MATCH_EXACT,
                            .text = rand() % 2 ? MB_SLICE_LIT("1") : MB_SLICE_LIT("2")};
    route->headers = matcher;
    route->header_count = rand() % 3 == 0;
}

MB_TEST(random_tables_answer_as_trying_every_route_does) {
    enum { MOST = 300, ROUNDS = 60 };
    static char texts[MOST][16];
    static mb_matcher matchers[MOST];
    srand(2);
    for (int round = 0; round < ROUNDS; round++) {
        routes self;
        uint32_t count = (uint32_t)rand() % MOST;
        routes_init(&self, MOST, 0);
        for (uint32_t i = 0; i < count; i++) {
            add_random(&self, texts[i], &matchers[i]);
        }
        finish(&self);
        MB_CHECK_EQ_INT(mb_headers_add(&self.request, MB_SLICE_LIT("x-test"), MB_SLICE_LIT("1")),
                        MB_OK);
        for (int i = 0; i < 400; i++) {
            char path[32];
            random_path(path, 12);
            strcat(path, rand() % 4 == 0 ? "?/q" : "");
            int got = number(&self, path);
            mb_headers_set_pseudo(&self.request, MB_PSEUDO_PATH, mb_slice_from_c(path));
            MB_CHECK_EQ_INT(got, naive(&self));
        }
        routes_fini(&self);
    }
}

MB_TEST(every_failing_allocation_is_reported) {
    static char texts[50][24];
    for (size_t n = 1, failed = 1; failed; n++) {
        routes self;
        routes_init(&self, 50, n);
        for (int i = 0; i < 50; i++) {
            snprintf(texts[i], sizeof(texts[i]), "/Path/%d", i);
            add(&self, i % 2 ? MB_PATH_PREFIX : MB_PATH_EXACT, texts[i])->case_sensitive = i % 3;
        }
        int status =
            mb_route_table_add_domain(&self.arena, &self.table, &self.host, MB_SLICE_LIT("*"));
        if (status == MB_OK) {
            status = mb_route_table_finish(&self.arena, &self.table);
        }
        failed = self.memory->requests >= n;
        MB_CHECK_EQ_INT(status, failed ? MB_ENOMEM : MB_OK);
        routes_fini(&self);
    }
}

/* Under callgrind this says what a look-up costs:
 *   valgrind --tool=callgrind --toggle-collect=mb_route_find test_route_index \
 *       nine_thousand_routes_are_told_apart */
MB_TEST(nine_thousand_routes_are_told_apart) {
    enum { COUNT = 9000 };
    static char texts[COUNT][48];
    routes self;
    routes_init(&self, COUNT + 1, 0);
    for (int i = 0; i < COUNT; i++) {
        snprintf(texts[i], sizeof(texts[i]), "/api/v%d/tenant-%d/resource", i % 3, i / 3);
        add(&self, i % 2 ? MB_PATH_PREFIX : MB_PATH_EXACT, texts[i]);
    }
    add(&self, MB_PATH_PREFIX, "/");
    finish(&self);
    for (int i = 0; i < COUNT; i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s%s", texts[i], i % 2 ? "/item?id=1" : "?id=1");
        MB_CHECK_EQ_INT(number(&self, path), i);
    }
    MB_CHECK_EQ_INT(number(&self, "/api/v1/unknown"), COUNT);
    routes_fini(&self);
}
