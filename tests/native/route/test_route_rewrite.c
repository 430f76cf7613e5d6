/* What routes change: paths, hosts, headers of all levels, redirects; the answers of Envoy 1.40. */
#include "base/slice.h"
#include "route/route.h"
#include "support/filter_rig.h"

#include <stdio.h>

typedef struct world {
    filter_rig rig;
    mb_route_table table;
    mb_virtual_host host;
    mb_route route;
} world;

static bool world_init(world *self, const char *path, size_t fail_at) {
    memset(self, 0, sizeof(*self));
    if (!filter_rig_init(&self->rig, fail_at)) {
        return false;
    }
    self->host.table = &self->table;
    self->route = (mb_route){.host = &self->host,
                             .path_kind = MB_PATH_PREFIX,
                             .path = MB_SLICE_LIT("/"),
                             .case_sensitive = true};
    mb_stream *stream = self->rig.stream;
    mb_headers_set_pseudo(&stream->headers[MB_REQUEST], MB_PSEUDO_PATH, mb_slice_from_c(path));
    mb_headers_set_pseudo(&stream->headers[MB_REQUEST], MB_PSEUDO_SCHEME, MB_SLICE_LIT("http"));
    mb_headers_set_pseudo(&stream->headers[MB_REQUEST], MB_PSEUDO_AUTHORITY,
                          MB_SLICE_LIT("host.example"));
    return true;
}

static void world_fini(world *self) {
    mb_regex *const regexes[] = {self->route.regex_rewrite, self->route.host_regex};
    for (int i = 0; i < 2; i++) {
        if (regexes[i] != NULL) {
            mb_regex_free(regexes[i]);
        }
    }
    filter_rig_fini(&self->rig);
}

static mb_regex *regex(const char *pattern) {
    mb_text error;
    mb_regex *made = NULL;
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_text_init(&error, &memory->allocator, 100);
    MB_CHECK_EQ_INT(mb_regex_new(mb_slice_from_c(pattern), &error, &made), MB_OK);
    mb_text_fini(&error);
    mbtest_alloc_free(memory);
    return made;
}

static mb_headers *request(world *self) {
    return &self->rig.stream->headers[MB_REQUEST];
}

static int finalize(world *self) {
    return mb_route_finalize_request(&self->route, NULL, true, self->rig.stream);
}

#define CHECK_VALUES(self, name, want)                                                             \
    MB_CHECK_EQ_LIT(filter_rig_values(request(self), (name)), want)

MB_TEST(prefix_rewrite_replaces_what_matched_and_keeps_the_query) {
    static const struct {
        mb_path_match kind;
        const char *match, *path, *rewrite, *want;
    } rows[] = {
        {MB_PATH_PREFIX, "/", "/any?x=1", "/y", "/yany?x=1"},
        {MB_PATH_PREFIX, "/a/", "/a/b?x", "/", "/b?x"},
        {MB_PATH_EXACT, "/a/b", "/a/b?x=/a", "/c", "/c?x=/a"},
        {MB_PATH_SEPARATED, "/a", "/a/b", "/c", "/c/b"},
        {MB_PATH_SEPARATED, "/a", "/a", "/c", "/c"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        world self;
        world_init(&self, rows[i].path, 0);
        self.route.path_kind = rows[i].kind;
        self.route.path = mb_slice_from_c(rows[i].match);
        self.route.prefix_rewrite = mb_slice_from_c(rows[i].rewrite);
        MB_CHECK_EQ_INT(finalize(&self), MB_OK);
        MB_CHECK_EQ_SLICE(filter_rig_values(request(&self), ":path"),
                          mb_slice_from_c(rows[i].want));
        MB_CHECK_EQ_SLICE(filter_rig_values(request(&self), "x-envoy-original-path"),
                          mb_slice_from_c(rows[i].path));
        MB_CHECK_EQ_SLICE(self.rig.stream->info.original_path, mb_slice_from_c(rows[i].path));
        world_fini(&self);
    }
}

MB_TEST(regex_rewrite_changes_every_match_of_the_path_alone) {
    world self;
    world_init(&self, "/re/bbab?b=b", 0);
    self.route.regex_rewrite = regex("b+");
    self.route.regex_substitution = MB_SLICE_LIT("[\\0]");
    MB_CHECK_EQ_INT(finalize(&self), MB_OK);
    CHECK_VALUES(&self, ":path", "/re/[bb]a[b]?b=b");
    world_fini(&self);
}

MB_TEST(path_that_comes_out_malformed_or_endless_is_an_error) {
    world self;
    world_init(&self, "/a", 0);
    self.route.regex_rewrite = regex("/a");
    self.route.regex_substitution = MB_SLICE_LIT("");
    MB_CHECK_EQ_INT(finalize(&self), MB_EINVAL);
    CHECK_VALUES(&self, ":path", "/a");
    world_fini(&self);

    static char path[60001];
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    world_init(&self, path, 0);
    self.route.regex_rewrite = regex("a");
    self.route.regex_substitution = MB_SLICE_LIT("\\0\\0\\0\\0\\0");
    MB_CHECK_EQ_INT(finalize(&self), MB_ELIMIT);
    world_fini(&self);
}

MB_TEST(path_without_rewrite_stays_and_says_so) {
    world self;
    world_init(&self, "/a", 0);
    MB_CHECK_EQ_INT(finalize(&self), MB_OK);
    CHECK_VALUES(&self, ":path", "/a");
    CHECK_VALUES(&self, "x-envoy-original-path", "(none)");
    MB_CHECK_EQ_INT(self.rig.stream->info.original_path.len, 0);
    world_fini(&self);
}

MB_TEST(envoy_headers_can_be_suppressed) {
    world self;
    world_init(&self, "/a", 0);
    self.route.prefix_rewrite = MB_SLICE_LIT("/b/");
    self.route.host_rewrite = MB_SLICE_LIT("other.example");
    MB_CHECK_EQ_INT(mb_route_finalize_request(&self.route, NULL, false, self.rig.stream), MB_OK);
    CHECK_VALUES(&self, ":path", "/b/a");
    CHECK_VALUES(&self, ":authority", "other.example");
    CHECK_VALUES(&self, "x-envoy-original-path", "(none)");
    CHECK_VALUES(&self, "x-envoy-original-host", "(none)");
    MB_CHECK_EQ_LIT(self.rig.stream->info.original_path, "/a");
    world_fini(&self);
}

MB_TEST(host_comes_from_literal_header_or_path) {
    world self;
    world_init(&self, "/hr/abc/d?x", 0);
    self.route.host_regex = regex("^/hr/(.+)/.+$");
    self.route.host_substitution = MB_SLICE_LIT("\\1.example");
    MB_CHECK_EQ_INT(finalize(&self), MB_OK);
    CHECK_VALUES(&self, ":authority", "abc.example");
    CHECK_VALUES(&self, "x-envoy-original-host", "host.example");
    world_fini(&self);

    world_init(&self, "/", 0);
    self.route.host_rewrite_header = MB_SLICE_LIT("x-h");
    MB_CHECK_EQ_INT(finalize(&self), MB_OK);
    CHECK_VALUES(&self, ":authority", "host.example");
    CHECK_VALUES(&self, "x-envoy-original-host", "(none)");
    filter_rig_header(&self.rig, MB_REQUEST, "x-h", "new.example");
    MB_CHECK_EQ_INT(finalize(&self), MB_OK);
    CHECK_VALUES(&self, ":authority", "new.example");
    world_fini(&self);
}

MB_TEST(malformed_host_of_a_client_is_not_taken) {
    world self;
    world_init(&self, "/", 0);
    self.route.host_rewrite_header = MB_SLICE_LIT("x-h");
    filter_rig_header(&self.rig, MB_REQUEST, "x-h", "a b/c");
    MB_CHECK_EQ_INT(finalize(&self), MB_OK);
    CHECK_VALUES(&self, ":authority", "host.example");
    CHECK_VALUES(&self, "x-envoy-original-host", "(none)");
    world_fini(&self);
}

MB_TEST(forwarded_host_gets_the_old_host_once) {
    world self;
    world_init(&self, "/", 0);
    self.route.append_x_forwarded_host = true;
    filter_rig_header(&self.rig, MB_REQUEST, "x-forwarded-host", "q");
    MB_CHECK_EQ_INT(mb_route_rewrite_host(&self.route, MB_SLICE_LIT("new"), true, request(&self)),
                    MB_OK);
    CHECK_VALUES(&self, "x-forwarded-host", "q,host.example");
    mb_headers_set_pseudo(request(&self), MB_PSEUDO_AUTHORITY, MB_SLICE_LIT("host.example"));
    MB_CHECK_EQ_INT(mb_route_rewrite_host(&self.route, MB_SLICE_LIT("new"), true, request(&self)),
                    MB_OK);
    CHECK_VALUES(&self, "x-forwarded-host", "q,host.example");
    MB_CHECK_EQ_INT(mb_route_rewrite_host(&self.route, MB_SLICE_LIT(""), true, request(&self)),
                    MB_OK);
    CHECK_VALUES(&self, ":authority", "new");
    world_fini(&self);
}

/* -- header rules ---------------------------------------------------------------------------- */

static mb_header_option option(world *self, const char *name, const char *text,
                               mb_header_append append) {
    char json[200];
    snprintf(json, sizeof(json), "[{'kind':'literal','text':'%s'}]", text);
    return (mb_header_option){mb_slice_from_c(name), filter_rig_format(&self->rig, json), append,
                              false};
}

/* `count` options in the arena of the rig. */
static mb_header_option *keep(world *self, const mb_header_option *options, uint32_t count) {
    mb_header_option *kept = mb_arena_alloc(&self->rig.arena, count * sizeof(*kept));
    memcpy(kept, options, count * sizeof(*kept));
    return kept;
}

static mb_header_rules level(world *self, const char *name) {
    const mb_header_option options[] = {
        option(self, "x-order", name, MB_APPEND_OR_ADD),
        option(self, "x-ow", name, MB_OVERWRITE_OR_ADD),
    };
    mb_header_rules rules = {0};
    for (int i = 0; i < 2; i++) {
        rules.add[i] = keep(self, options, 2);
        rules.add_count[i] = 2;
    }
    return rules;
}

static void check_levels(bool wins, const char *order, const char *last) {
    world self;
    world_init(&self, "/", 0);
    mb_weighted_cluster weighted = {.rules = level(&self, "wc"),
                                    .host_rewrite = MB_SLICE_LIT("wchost")};
    self.route.rules = level(&self, "route");
    self.route.host_rewrite = MB_SLICE_LIT("routehost");
    self.route.append_x_forwarded_host = true;
    self.host.rules = level(&self, "vhost");
    self.table.rules = level(&self, "table");
    self.table.most_specific_wins = wins;
    filter_rig_header(&self.rig, MB_REQUEST, "x-order", "client");
    MB_CHECK_EQ_INT(mb_route_finalize_request(&self.route, &weighted, true, self.rig.stream),
                    MB_OK);
    char want[64];
    snprintf(want, sizeof(want), "client|%s", order);
    MB_CHECK_EQ_SLICE(filter_rig_values(request(&self), "x-order"), mb_slice_from_c(want));
    MB_CHECK_EQ_SLICE(filter_rig_values(request(&self), "x-ow"), mb_slice_from_c(last));
    CHECK_VALUES(&self, ":authority", "routehost");
    CHECK_VALUES(&self, "x-forwarded-host", "wchost");
    CHECK_VALUES(&self, "x-envoy-original-host", "wchost");
    MB_CHECK_EQ_INT(mb_route_finalize_response(&self.route, &weighted, self.rig.stream), MB_OK);
    mb_headers *response = &self.rig.stream->headers[MB_RESPONSE];
    MB_CHECK_EQ_SLICE(filter_rig_values(response, "x-order"), mb_slice_from_c(order));
    MB_CHECK_EQ_SLICE(filter_rig_values(response, "x-ow"), mb_slice_from_c(last));
    world_fini(&self);
}

MB_TEST(levels_apply_from_the_cluster_to_the_table) {
    check_levels(false, "wc|route|vhost|table", "table");
}

MB_TEST(most_specific_level_can_have_the_last_word) {
    check_levels(true, "wc|table|vhost|route", "route");
}

MB_TEST(values_of_a_level_are_made_before_it_changes_anything) {
    world self;
    world_init(&self, "/p", 0);
    mb_slice removed = MB_SLICE_LIT("x-gone");
    mb_header_option options[] = {
        option(&self, "x-set", "new", MB_OVERWRITE_OR_ADD),
        option(&self, "x-copy", "", MB_APPEND_OR_ADD),
        option(&self, "x-absent", "1", MB_ADD_IF_ABSENT),
        option(&self, "x-set", "2", MB_ADD_IF_ABSENT),
        option(&self, "x-only", "3", MB_OVERWRITE_IF_EXISTS),
        option(&self, "x-set", "4", MB_APPEND_OR_ADD),
    };
    options[1].value = filter_rig_format(
        &self.rig, "[{'kind':'operator','op':'REQ','arg':'x-set'},{'kind':'literal','text':'|'},"
                   "{'kind':'operator','op':'REQ','arg':'x-gone','empty':''}]");
    self.route.rules.add[MB_REQUEST] = options;
    self.route.rules.add_count[MB_REQUEST] = 6;
    self.route.rules.remove[MB_REQUEST] = &removed;
    self.route.rules.remove_count[MB_REQUEST] = 1;
    filter_rig_header(&self.rig, MB_REQUEST, "x-set", "old");
    filter_rig_header(&self.rig, MB_REQUEST, "x-gone", "x");
    MB_CHECK_EQ_INT(finalize(&self), MB_OK);
    MB_CHECK_EQ_LIT(filter_rig_fields(request(&self)), "x-set=new;x-copy=old|;x-absent=1;x-set=4;");
    world_fini(&self);
}

MB_TEST(empty_and_malformed_values_are_left_out) {
    world self;
    world_init(&self, "/?a=%0d%0aevil:1&b=", 0);
    mb_header_option options[] = {
        option(&self, "x-empty", "", MB_APPEND_OR_ADD),
        option(&self, "x-kept", "", MB_APPEND_OR_ADD),
        option(&self, "x-bad", "", MB_APPEND_OR_ADD),
        option(&self, ":path", "/other", MB_APPEND_OR_ADD),
    };
    options[1].keep_empty = true;
    options[2].value =
        filter_rig_format(&self.rig, "[{'kind':'operator','op':'QUERY_PARAM','arg':'a'}]");
    self.route.rules.add[MB_REQUEST] = options;
    self.route.rules.add_count[MB_REQUEST] = 4;
    MB_CHECK_EQ_INT(finalize(&self), MB_OK);
    MB_CHECK_EQ_LIT(filter_rig_fields(request(&self)), "x-kept=;");
    CHECK_VALUES(&self, ":path", "/?a=%0d%0aevil:1&b=");
    world_fini(&self);
}

MB_TEST(more_rules_than_the_stack_holds_work_too) {
    world self;
    world_init(&self, "/", 0);
    static char names[40][16];
    mb_header_option options[40];
    for (int i = 0; i < 40; i++) {
        snprintf(names[i], sizeof(names[i]), "x-%d", i);
        options[i] = option(&self, names[i], "v", MB_APPEND_OR_ADD);
    }
    self.route.rules.add[MB_REQUEST] = options;
    self.route.rules.add_count[MB_REQUEST] = 40;
    MB_CHECK_EQ_INT(finalize(&self), MB_OK);
    MB_CHECK_EQ_INT(mb_headers_count(request(&self)), 40);
    world_fini(&self);
}

/* -- redirects ------------------------------------------------------------------------------- */

typedef struct redirect_row {
    const char *host, *proto, *path, *want;
    mb_route route;
} redirect_row;

static void check_redirect(const redirect_row *row, const char *pattern) {
    world self;
    mb_slice location = {NULL, 0};
    world_init(&self, row->path, 0);
    mb_path_match kind = self.route.path_kind;
    self.route = row->route;
    self.route.host = &self.host;
    self.route.path_kind = kind;
    self.route.regex_rewrite = pattern != NULL ? regex(pattern) : NULL;
    mb_headers_set_pseudo(request(&self), MB_PSEUDO_AUTHORITY, mb_slice_from_c(row->host));
    filter_rig_header(&self.rig, MB_REQUEST, "x-forwarded-proto", row->proto);
    MB_CHECK_EQ_INT(
        mb_route_redirect_location(&self.route, request(&self), &self.rig.stream->arena, &location),
        MB_OK);
    MB_CHECK_EQ_SLICE(location, mb_slice_from_c(row->want));
    world_fini(&self);
}

#define ROUTE(...)                                                                                 \
    { __VA_ARGS__ }

MB_TEST(redirects_are_those_of_envoy) {
    static const redirect_row rows[] = {
        {"ex.com:80", "http", "/a?b", "https://ex.com/a?b", ROUTE(.https_redirect = true)},
        {"ex.com:81", "http", "/a?b", "https://ex.com:81/a?b", ROUTE(.https_redirect = true)},
        {"[::1]:99", "http", "/a?b", "https://[::1]:99/a?b", ROUTE(.https_redirect = true)},
        {"[::1]:80", "http", "/", "https://[::1]/", ROUTE(.https_redirect = true)},
        {"[::1]", "http", "/", "https://[::1]/", ROUTE(.https_redirect = true)},
        {"ex.com:80", "https", "/", "https://ex.com:80/", ROUTE(.https_redirect = true)},
        {"ex.com:443", "https", "/", "http://ex.com/", ROUTE(.scheme_redirect = {"http", 4})},
        {"ex.com:80", "http", "/red2?q=1", "http://ex.com:8443/new?q=1",
         ROUTE(.port_redirect = 8443, .prefix_rewrite = {"/new", 4}, .path = {"/red2", 5})},
        {"[::1]:99", "http", "/red2", "http://[::1]:8443/new",
         ROUTE(.port_redirect = 8443, .prefix_rewrite = {"/new", 4}, .path = {"/red2", 5})},
        {"ex.com:80", "http", "/x?q=1", "http://ex.com:80/p?z=1",
         ROUTE(.path_redirect = {"/p?z=1", 6}, .strip_query = true)},
        {"ex.com", "http", "/x?q=1", "http://ex.com/p?q=1", ROUTE(.path_redirect = {"/p", 2})},
        {"ex.com", "http", "/x?q=1", "http://ex.com/p",
         ROUTE(.path_redirect = {"/p", 2}, .strip_query = true)},
        {"ex.com:80", "http", "/red5/a?q=1", "ftp://h.example/red5/a",
         ROUTE(.host_redirect = {"h.example", 9}, .strip_query = true,
               .scheme_redirect = {"ftp", 3})},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_redirect(&rows[i], NULL);
    }
    const redirect_row regex_row = {"ex.com:80", "http", "/red6/x?red6",
                                    "http://ex.com:80/ok/x?red6",
                                    ROUTE(.regex_substitution = {"ok", 2})};
    check_redirect(&regex_row, "red6");
    const redirect_row nothing_left = {"ex.com", "http", "/a?b", "http://ex.com/a?b",
                                       ROUTE(.name = {"", 0})};
    check_redirect(&nothing_left, ".*");
}

/* -- out of memory --------------------------------------------------------------------------- */

MB_TEST(every_failing_allocation_is_reported) {
    static char path[3000];
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    for (size_t n = 1, failed = 1; failed; n++) {
        world self;
        if (!world_init(&self, path, n)) {
            continue;
        }
        mb_slice location;
        self.route.prefix_rewrite = MB_SLICE_LIT("/b/");
        self.route.host_rewrite = MB_SLICE_LIT("other.example");
        self.route.append_x_forwarded_host = true;
        int status = finalize(&self);
        int redirect = mb_route_redirect_location(&self.route, request(&self),
                                                  &self.rig.stream->arena, &location);
        failed = self.rig.memory->requests >= n;
        MB_CHECK(status == MB_OK || (status == MB_ENOMEM && failed));
        MB_CHECK(redirect == MB_OK || (redirect == MB_ENOMEM && failed));
        MB_CHECK(!failed || status != MB_OK || redirect != MB_OK);
        world_fini(&self);
    }
}
