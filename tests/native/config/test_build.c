#include "base/alloc.h"
#include "base/msgpack.h"
#include "base/slice.h"
#include "config/documents.h"
#include "support/config_world.h"

static const mb_hcm_config *first_hcm(const mb_snapshot *snapshot) {
    return snapshot->listeners[0].chains[0].hcm;
}

MB_TEST(minimal_document_becomes_a_snapshot) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *snapshot = config_world_load(&world, NULL, config_minimal, NULL);
    const mb_hcm_config *hcm = first_hcm(snapshot);
    MB_CHECK_EQ_INT(snapshot->version, 1);
    MB_CHECK_EQ_INT(snapshot->listener_count, 1);
    MB_CHECK_EQ_INT(hcm->chain.count, 1);
    MB_CHECK_EQ_INT(hcm->chain.state_bytes, 32);
    MB_CHECK(hcm->chain.terminal == &mb_router_terminal);
    MB_CHECK(hcm->chain.terminal_config == &hcm->router_config);
    MB_CHECK(hcm->router_config.clusters == &snapshot->clusters);
    MB_CHECK_EQ_LIT(mb_slice_from_c(hcm->chain.entries[0].name), "probe");
    MB_CHECK_EQ_INT(hcm->chain.entries[0].wants, 1 << MB_HOOK_REQUEST_HEADERS);
    MB_CHECK_EQ_LIT(mb_text_view(&world.made), "probe probe 7\n");
    const mb_route *route = &hcm->routes->hosts[0].routes[0];
    MB_CHECK_EQ_LIT(route->cluster, "backend");
    MB_CHECK_EQ_INT(route->weighted_count, 0);
    MB_CHECK(route->overrides == NULL);
    MB_CHECK(route->host == &hcm->routes->hosts[0]);
    MB_CHECK_EQ_LIT(mb_cluster_name(mb_snapshot_cluster(snapshot, route->cluster)), "backend");
    MB_CHECK(mb_snapshot_listener(snapshot, MB_SLICE_LIT("main")) == &snapshot->listeners[0]);
    MB_CHECK(mb_snapshot_listener(snapshot, MB_SLICE_LIT("mai")) == NULL);
    mb_snapshot_unref(mb_snapshot_ref(snapshot));
    MB_CHECK_EQ_INT(world.live, 1);
    mb_snapshot_unref(snapshot);
    config_world_fini(&world);
}

MB_TEST(every_setting_of_listener_and_connection_manager_arrives) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *snapshot = config_world_load(&world, NULL, config_full, NULL);
    const mb_listener_config *listener = &snapshot->listeners[0];
    const mb_hcm_config *hcm = listener->chains[0].hcm;
    const mb_hcm_timeouts *t = &hcm->timeouts;
    MB_CHECK_EQ_LIT(snapshot->node_id, "node");
    MB_CHECK_EQ_LIT(snapshot->node_cluster, "group");
    MB_CHECK(!listener->options.reuse_port);
    MB_CHECK_EQ_INT(listener->options.backlog, 14);
    MB_CHECK_EQ_INT(listener->buffer_limit_bytes, 15);
    MB_CHECK_EQ_LIT(listener->stat_prefix, "edge");
    MB_CHECK_EQ_INT(listener->options.max_connections, 16);
    MB_CHECK_EQ_INT(t->grpc_request_us, 9000);
    MB_CHECK(t->request_us == 1000 && t->request_headers_us == 2000 && t->stream_idle_us == 3000);
    MB_CHECK(t->idle_us == 4000 && t->max_connection_duration_us == 5000);
    MB_CHECK(t->max_stream_duration_us == 6000 && t->drain_us == 7000);
    MB_CHECK_EQ_INT(t->delayed_close_us, 8000);
    MB_CHECK(hcm->codec.accept_http_10 && hcm->codec.enable_trailers);
    MB_CHECK_EQ_LIT(hcm->codec.default_host, "old.test");
    MB_CHECK_EQ_LIT(hcm->server_name, "mb");
    MB_CHECK_EQ_INT(hcm->server_header, MB_SERVER_APPEND_IF_ABSENT);
    MB_CHECK_EQ_INT(hcm->max_requests_per_connection, 9);
    MB_CHECK(hcm->codec.max_head_bytes == 10 && hcm->codec.max_header_count == 11);
    MB_CHECK_EQ_INT(hcm->codec.max_uri_bytes, 12);
    MB_CHECK(hcm->codec.drop_underscores && !hcm->codec.reject_underscores);
    MB_CHECK(hcm->use_remote_address && hcm->skip_xff_append && hcm->append_x_forwarded_port);
    MB_CHECK_EQ_INT(hcm->xff_num_trusted_hops, 13);
    MB_CHECK_EQ_INT(hcm->internal_range_count, 2);
    MB_CHECK_EQ_INT(hcm->internal_ranges[1].prefix_len, 64);
    MB_CHECK(!hcm->generate_request_id && hcm->preserve_external_request_id);
    MB_CHECK(hcm->always_set_request_id_in_response && hcm->normalize_path && hcm->merge_slashes);
    MB_CHECK_EQ_LIT(hcm->via, "1.1 mb");
    MB_CHECK_EQ_INT(hcm->escaped_slashes, MB_SLASHES_REDIRECT);
    MB_CHECK_EQ_INT(hcm->strip_port, MB_STRIP_MATCHING);
    MB_CHECK(hcm->strip_trailing_host_dot && hcm->proxy_100_continue);
    MB_CHECK(hcm->router_config.suppress_envoy_headers);
    MB_CHECK_EQ_LIT(hcm->router_config.stat_prefix, "ingress");
    MB_CHECK_EQ_INT(hcm->access_log_count, 2);
    MB_CHECK_EQ_INT(hcm->access_logs[0].sink, MB_SINK_STDOUT);
    MB_CHECK_EQ_LIT(mb_slice_from_c(hcm->access_logs[1].path), "access.log");
    MB_CHECK(hcm->access_logs[1].format != NULL);
    mb_snapshot_unref(snapshot);
    config_world_fini(&world);
}

MB_TEST(every_kind_of_route_arrives) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *snapshot = config_world_load(&world, NULL, config_full, NULL);
    const mb_route_table *table = first_hcm(snapshot)->routes;
    const mb_route *weighted = &table->hosts[0].routes[0];
    const mb_route *rewritten = weighted + 1, *redirect = weighted + 2, *direct = weighted + 3;
    MB_CHECK(table->most_specific_wins && table->ignore_port);
    MB_CHECK_EQ_INT(table->rules.add_count[MB_RESPONSE], 1);
    MB_CHECK_EQ_LIT(table->rules.remove[MB_RESPONSE][0], "x-gone");
    MB_CHECK_EQ_INT(table->rules.add[MB_REQUEST][0].append, MB_OVERWRITE_OR_ADD);
    MB_CHECK(table->rules.add[MB_REQUEST][0].keep_empty);
    MB_CHECK(mb_route_host(table, MB_SLICE_LIT("x.api.test:80")) == &table->hosts[0]);
    MB_CHECK(mb_route_host(table, MB_SLICE_LIT("other.test")) == &table->hosts[1]);
    MB_CHECK_EQ_INT(weighted->path_kind, MB_PATH_SEPARATED);
    MB_CHECK(!weighted->case_sensitive);
    MB_CHECK_EQ_INT(weighted->header_count, 3);
    MB_CHECK_EQ_INT(weighted->headers[0].kind, MB_MATCH_EXACT);
    MB_CHECK(weighted->headers[0].ignore_case);
    MB_CHECK(mb_regex_match(weighted->headers[1].regex, MB_SLICE_LIT("aa")));
    MB_CHECK_EQ_INT(weighted->headers[2].range_start, -5);
    MB_CHECK_EQ_INT(weighted->headers[2].range_end, 9);
    MB_CHECK(weighted->headers[2].invert);
    MB_CHECK_EQ_INT(weighted->query_count, 1);
    MB_CHECK_EQ_INT(weighted->weighted_count, 2);
    MB_CHECK_EQ_INT(weighted->weighted[1].weight, 70);
    MB_CHECK_EQ_LIT(weighted->weighted[1].host_rewrite, "w.test");
    MB_CHECK(weighted->new_timeouts && weighted->grpc_scope == MB_GRPC_SCOPE_STREAM);
    MB_CHECK(weighted->grpc_max_us == 2100000 && weighted->grpc_offset_us == 2200000);
    MB_CHECK_EQ_INT(weighted->cluster_not_found_code, 404);
    MB_CHECK_EQ_LIT(weighted->prefix_rewrite, "/b");
    MB_CHECK_EQ_LIT(weighted->host_rewrite, "h.test");
    MB_CHECK(weighted->append_x_forwarded_host);
    MB_CHECK_EQ_INT(weighted->timeout_us, 1500000);
    MB_CHECK_EQ_INT(weighted->idle_timeout_us, 0);
    MB_CHECK_EQ_INT(weighted->max_stream_duration_us, 2000000);
    MB_CHECK_EQ_LIT(rewritten->cluster_header, "x-cluster");
    MB_CHECK(rewritten->path_regex != NULL && rewritten->regex_rewrite != NULL);
    MB_CHECK(rewritten->host_regex != NULL);
    MB_CHECK_EQ_LIT(rewritten->regex_substitution, "/\\1");
    MB_CHECK_EQ_LIT(rewritten->host_substitution, ".");
    MB_CHECK_EQ_INT(redirect->action, MB_ACTION_REDIRECT);
    MB_CHECK_EQ_INT(redirect->response_code, 308);
    MB_CHECK_EQ_LIT(redirect->scheme_redirect, "https");
    MB_CHECK_EQ_LIT(redirect->host_redirect, "n.test");
    MB_CHECK_EQ_INT(redirect->port_redirect, 8443);
    MB_CHECK_EQ_LIT(redirect->path_redirect, "/new");
    MB_CHECK_EQ_INT(direct->action, MB_ACTION_DIRECT);
    MB_CHECK_EQ_INT(direct->response_code, 418);
    MB_CHECK_EQ_LIT(direct->body, "teapot\n");
    mb_snapshot_unref(snapshot);
    config_world_fini(&world);
}

typedef struct fault_case {
    const char *from, *to, *fault;
} fault_case;

static const fault_case fault_cases[] = {
    {"'version':1", "'version':2", "version: the core reads version 1 only\n"},
    {"'version':1,", "", "version: is missing\n"},
    {"'host':'127.0.0.1'", "'host':'localhost'",
     "listeners[0].addresses[0].host: is no IP address\n"},
    {"'port':0,", "'port':70000,",
     "listeners[0].addresses[0].port: must be from 0 to 65535, got 70000\n"},
    {"'via':''", "'via':'a\\nb'",
     "listeners[0].filter_chains[0].hcm.via: can't be the value of a header\n"},
    {"'default_host_for_http_10':''", "'default_host_for_http_10':'a b'",
     "listeners[0].filter_chains[0].hcm.http1.default_host_for_http_10: is no host\n"},
    {"'internal_cidr_ranges':[]",
     "'internal_cidr_ranges':[{'address':'1.2.3.4','prefix_len':33},"
     "{'address':'x','prefix_len':1}]",
     "listeners[0].filter_chains[0].hcm.internal_cidr_ranges[0].prefix_len: must be from 0 to 32, "
     "got 33\n"
     "listeners[0].filter_chains[0].hcm.internal_cidr_ranges[1].address: is no IP address\n"},
    {"'access_logs':[]", "'access_logs':[{'sink':'file','path':'','format':[]}]",
     "listeners[0].filter_chains[0].hcm.access_logs[0].path: must not be empty for a file\n"},
    {"'domains':['*']", "'domains':['*','a*b','*']",
     "listeners[0].filter_chains[0].hcm.route_config.virtual_hosts[0].domains[1]: is malformed, or "
     "a domain of "
     "another place too\n"
     "listeners[0].filter_chains[0].hcm.route_config.virtual_hosts[0].domains[2]: is malformed, or "
     "a domain of "
     "another place too\n"},
    {"'domains':['*']", "'domains':[]",
     "listeners[0].filter_chains[0].hcm.route_config.virtual_hosts[0].domains: must not be "
     "empty\n"},
    {"'kind':'prefix','value':'/'", "'kind':'safe_regex','value':'/(a'",
     "listeners[0].filter_chains[0].hcm.route_config.virtual_hosts[0].routes[0].match.path.value: "
     "missing ): /(a\n"},
    {"'headers':[],", "'headers':[7],",
     "listeners[0].filter_chains[0].hcm.route_config.virtual_hosts[0].routes[0].match.headers[0]: "
     "expected a map, "
     "got a number\n"},
    {"'kind':'forward'", "'kind':'backward'",
     "listeners[0].filter_chains[0].hcm.route_config.virtual_hosts[0].routes[0].action.kind: "
     "unknown word, the "
     "first known one is \"forward\"\n"},
    {"'weight':1", "'weight':0",
     "listeners[0].filter_chains[0].hcm.route_config.virtual_hosts[0].routes[0].action.targets: "
     "the sum of the "
     "weights must be from 1 to 4294967295, it is 0\n"},
    {"'cluster_header':''", "'cluster_header':'x-c'",
     "listeners[0].filter_chains[0].hcm.route_config.virtual_hosts[0].routes[0].action: needs "
     "either targets or "
     "cluster_header\n"},
    {"'cluster_not_found_status':503", "'cluster_not_found_status':444",
     "listeners[0].filter_chains[0].hcm.route_config.virtual_hosts[0].routes[0].action.cluster_not_"
     "found_status: "
     "must be 503, 500 or 404\n"},
    {"'prefix_rewrite':'','regex_rewrite':null",
     "'prefix_rewrite':'/x','regex_rewrite':{'pattern':'a','substitution':'b'}",
     "listeners[0].filter_chains[0].hcm.route_config.virtual_hosts[0].routes[0].action: has more "
     "than one rewrite "
     "of the path\n"},
    {"'host_rewrite':null", "'host_rewrite':{'kind':'path_regex','value':'','regex':null}",
     "listeners[0].filter_chains[0].hcm.route_config.virtual_hosts[0].routes[0].action.host_"
     "rewrite.regex: is "
     "missing\n"},
    {"'metadata':{}", "'metadata':{'a':1}",
     "listeners[0].filter_chains[0].hcm.route_config.virtual_hosts[0].routes[0].metadata.a: "
     "expected a map, got a "
     "number\n"},
    {"'config':7", "'config':'refuse'",
     "listeners[0].filter_chains[0].hcm.http_filters[0]: probe: refused for a reason\n"},
    {"'filter':'probe'", "'filter':'quiet'",
     "listeners[0].filter_chains[0].hcm.http_filters[0]: quiet: the filter refused its "
     "configuration: over the "
     "limit\n"},
    {"'filter':'router'", "'filter':'probe'",
     "listeners[0].filter_chains[0].hcm.http_filters[1]: probe: module moebridge_native has no "
     "filter \"probe\"; it "
     "has: basic_auth, body_scan, grpc_web, header_mutation\n"
     "listeners[0].filter_chains[0].hcm.http_filters: the last filter must be the router\n"},
    {"'module':'python','filter':'probe'", "'module':'native','filter':'router'",
     "listeners[0].filter_chains[0].hcm.http_filters[0]: the router must be the last filter\n"},
    {"'per_filter':{}",
     "'per_filter':{'prob':{'disabled':true,'config':null,'has_config':false,"
     "'filter':'','options':null}}",
     "listeners[0].filter_chains[0].hcm.route_config.virtual_hosts[0].routes[0].action.targets[0]."
     "per_filter.prob: "
     "no filter of the chain has this name\n"},
    {"'host':'127.0.0.1','port':80", "'host':'a.test','port':80",
     "clusters[0].endpoints[0].host: is no IP address, which a static cluster needs\n"},
    {"'host':'127.0.0.1','port':80,'path':''", "'host':'','port':0,'path':''",
     "clusters[0].endpoints[0]: needs either host and port, or path\n"},
    {"'host':'127.0.0.1','port':80,'path':''", "'host':'127.0.0.1','port':0,'path':''",
     "clusters[0].endpoints[0].port: must be at least 1\n"},
    {"'host':'127.0.0.1','port':80,'path':''", "'host':'','port':0,'path':'@'",
     "clusters[0].endpoints[0].path: is no path of a Unix socket in a static cluster\n"},
    {"'max_concurrent_streams':1024", "'max_concurrent_streams':0",
     "clusters[0].http.http2.max_concurrent_streams: must be from 1 to 2147483647, got 0\n"},
    {"'connect_timeout_ms':5000", "'connect_timeout_ms':0",
     "clusters[0].connect_timeout_ms: must be from 1 to 315576000000000, got 0\n"},
    {"'tcp_keepalive':null", "'tcp_keepalive':1",
     "clusters[0].tcp_keepalive: expected a map, got a number\n"},
};

MB_TEST(each_kind_of_fault_says_where_and_what) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    for (size_t i = 0; i < sizeof(fault_cases) / sizeof(fault_cases[0]); i++) {
        mb_snapshot *snapshot = NULL;
        mb_text document;
        json_document(&document, config_minimal, fault_cases[i].from, fault_cases[i].to, NULL);
        int result = config_world_build(&world, NULL, mb_text_view(&document), &snapshot);
        mb_text_fini(&document);
        MB_CHECK_EQ_SLICE(mb_text_view(&world.faults), mb_slice_from_c(fault_cases[i].fault));
        MB_CHECK_EQ_INT(result, MB_ECONFIG);
        MB_CHECK(snapshot == NULL);
        MB_CHECK_EQ_INT(world.live, 0);
    }
    config_world_fini(&world);
}

MB_TEST(unknown_library_is_a_fault_of_the_module_field) {
    config_world world;
    mb_snapshot *snapshot = NULL;
    mb_text document;
    MB_CHECK(config_world_init(&world, 0));
    json_document(&document, config_minimal, "'module':'python'", "'module':'libnone_such.so'",
                  NULL);
    MB_CHECK_EQ_INT(config_world_build(&world, NULL, mb_text_view(&document), &snapshot),
                    MB_ECONFIG);
    MB_CHECK(mb_slice_starts_with(
        mb_text_view(&world.faults),
        MB_SLICE_LIT("listeners[0].filter_chains[0].hcm.http_filters[0].module: ")));
    world.modules.added_count = 0;
    mb_text_fini(&document);
    json_document(&document, config_minimal, NULL);
    MB_CHECK_EQ_INT(config_world_build(&world, NULL, mb_text_view(&document), &snapshot),
                    MB_ECONFIG);
    MB_CHECK_EQ_LIT(mb_text_view(&world.faults),
                    "listeners[0].filter_chains[0].hcm.http_filters[0].module: this "
                    "server runs no Python filters\n");
    mb_text_fini(&document);
    config_world_fini(&world);
}

MB_TEST(names_given_twice_are_faults) {
    config_world world;
    mb_snapshot *snapshot = NULL;
    mb_text minimal, document;
    mb_slice listeners, clusters;
    MB_CHECK(config_world_init(&world, 0));
    json_document(&minimal, config_minimal, NULL);
    MB_CHECK_EQ_INT(mb_msgpack_find(mb_text_view(&minimal), MB_SLICE_LIT("listeners"), &listeners),
                    MB_OK);
    MB_CHECK_EQ_INT(mb_msgpack_find(mb_text_view(&minimal), MB_SLICE_LIT("clusters"), &clusters),
                    MB_OK);
    mb_text_init(&document, mb_allocator_default(), SIZE_MAX);
    mb_msgpack_put_map(&document, 5);
    mb_text_append(&document,
                   mb_slice_of(minimal.ptr + 1, (size_t)(listeners.ptr - minimal.ptr) - 1));
    for (int part = 0; part < 2; part++) {
        mb_slice one = mb_slice_skip(part == 0 ? listeners : clusters, 1);
        mb_msgpack_put_array(&document, 2);
        mb_text_append(&document, one);
        mb_text_append(&document, one);
        if (part == 0) {
            mb_msgpack_put_str(&document, MB_SLICE_LIT("clusters"));
        }
    }
    MB_CHECK_EQ_INT(config_world_build(&world, NULL, mb_text_view(&document), &snapshot),
                    MB_ECONFIG);
    MB_CHECK_EQ_LIT(mb_text_view(&world.faults),
                    "listeners[1].name: is that of another listener too\n"
                    "clusters[1].name: is that of another cluster too\n");
    mb_text_fini(&document);
    mb_text_fini(&minimal);
    config_world_fini(&world);
}

/* Reads `document` at a guard page. */
static int build_guarded(config_world *world, mb_slice document) {
    mb_snapshot *snapshot = NULL;
    const char *guarded = mbtest_guard(document.ptr, document.len);
    int result = config_world_build(world, NULL, mb_slice_of(guarded, document.len), &snapshot);
    mb_snapshot_unref(snapshot);
    mbtest_guard_free(guarded, document.len);
    MB_CHECK_EQ_INT(world->live, 0);
    MB_CHECK((result == MB_OK) == (world->faults.len == 0));
    return result;
}

MB_TEST(cut_document_is_refused_at_every_length) {
    config_world world;
    mb_text document;
    MB_CHECK(config_world_init(&world, 0));
    json_document(&document, config_minimal, NULL);
    for (size_t length = 0; length < document.len; length++) {
        MB_CHECK_EQ_INT(build_guarded(&world, mb_slice_of(document.ptr, length)), MB_ECONFIG);
    }
    mb_text_fini(&document);
    config_world_fini(&world);
}

MB_TEST(spoiled_document_is_refused_or_read_but_never_believed) {
    static const unsigned char bytes[] = {0x00, 0x7f, 0x80, 0x90, 0xa0,
                                          0xc0, 0xc3, 0xcf, 0xe0, 0xff};
    config_world world;
    mb_text document;
    MB_CHECK(config_world_init(&world, 0));
    json_document(&document, config_full, NULL);
    for (size_t at = 0; at < document.len; at++) {
        char kept = document.ptr[at];
        document.ptr[at] = (char)bytes[at % sizeof(bytes)];
        build_guarded(&world, mb_text_view(&document));
        document.ptr[at] = kept;
    }
    MB_CHECK_EQ_INT(build_guarded(&world, mb_text_view(&document)), MB_OK);
    mb_text_fini(&document);
    config_world_fini(&world);
}

static void put_routes(mb_text *json, unsigned count) {
    const char *route = strstr(config_minimal, "{'match'");
    const char *end = strstr(route, "],'headers':{'request_add':[],'request_remove':[],"
                                    "'response_add':[],'response_remove':[]},'per_filter':{},"
                                    "'metadata':{}}],");
    const char *path = strstr(route, "'value':'/'") + strlen("'value':'/");
    mb_text_append(json, mb_slice_of(config_minimal, (size_t)(route - config_minimal)));
    for (unsigned i = 0; i < count; i++) {
        mb_text_c(json, i > 0 ? "," : "");
        mb_text_append(json, mb_slice_of(route, (size_t)(path - route)));
        mb_text_format(json, "service/%u", i);
        mb_text_append(json, mb_slice_of(path, (size_t)(end - path)));
    }
    mb_text_c(json, end);
    mb_text_byte(json, '\0');
}

MB_TEST(nine_thousand_routes_are_built_and_found) {
    config_world world;
    mb_text json;
    MB_CHECK(config_world_init(&world, 0));
    mb_text_init(&json, mb_allocator_default(), SIZE_MAX);
    put_routes(&json, 9000);
    mb_snapshot *snapshot = config_world_load(&world, NULL, json.ptr, NULL);
    const mb_route_table *table = first_hcm(snapshot)->routes;
    MB_CHECK_EQ_INT(table->hosts[0].route_count, 9000);
    mb_arena arena;
    mb_headers request;
    mb_arena_init(&arena, &world.worker.arenas);
    mb_headers_init(&request, &arena);
    mb_headers_set_pseudo(&request, MB_PSEUDO_PATH, MB_SLICE_LIT("/service/8999"));
    /* The first prefix that fits: /service/8, not /service/8999. */
    MB_CHECK_EQ_LIT(mb_route_find(table, &request, NULL)->path, "/service/8");
    mb_headers_set_pseudo(&request, MB_PSEUDO_PATH, MB_SLICE_LIT("/services"));
    MB_CHECK(mb_route_find(table, &request, NULL) == NULL);
    mb_arena_clear(&arena);
    mb_snapshot_unref(snapshot);
    mb_text_fini(&json);
    config_world_fini(&world);
}

/* Twice, so that a half-built reload is released beside a snapshot that goes on. */
static int build_twice(config_world *world, mb_slice document) {
    mb_snapshot *first = NULL, *second = NULL;
    int result = config_world_build(world, NULL, document, &first);
    if (result == MB_OK) {
        result = config_world_build(world, first, document, &second);
    }
    mb_snapshot_unref(second);
    mb_snapshot_unref(first);
    return result;
}

MB_TEST(failed_allocation_leaves_nothing) {
    mb_text document;
    json_document(&document, config_full, NULL);
    for (size_t n = 1, failed = 1; failed; n++) {
        config_world world;
        bool ready = config_world_init(&world, n);
        int result = ready ? build_twice(&world, mb_text_view(&document)) : MB_ENOMEM;
        failed = world.memory->requests >= n;
        MB_CHECK(result == (failed ? MB_ENOMEM : MB_OK));
        MB_CHECK(!ready || world.faults.len == 0);
        config_world_fini(&world);
    }
    mb_text_fini(&document);
}
