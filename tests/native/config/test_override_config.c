#include "base/slice.h"
#include "config/documents.h"
#include "support/config_world.h"
#include <stdio.h>

#define OVERRIDE(config)                                                                           \
    "{'disabled':false,'config':" config ",'has_config':true,'filter':'',"                         \
    "'options':null}"
#define SWITCH(disabled)                                                                           \
    "{'disabled':" disabled ",'config':null,'has_config':false,'filter':'',"                       \
    "'options':null}"

/* In config_minimal the first of each is that level. */
#define AT_TARGET "'per_filter':{},'host_rewrite_literal'"
#define AT_ROUTE "'per_filter':{},'metadata':{}}],'headers':{'request_add'"
#define AT_TABLE "'per_filter':{},'metadata':{},'most"

static const mb_route *only_route(const mb_snapshot *snapshot) {
    return &snapshot->listeners[0].chains[0].hcm->routes->hosts[0].routes[0];
}

static mb_slice text_of(const mb_chain_override *override) {
    return mb_slice_from_c(config_world_text(override->config));
}

MB_TEST(routes_share_the_overrides_of_the_level_above) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *snapshot = config_world_load(
        &world, NULL, config_minimal, AT_TABLE,
        "'per_filter':{'probe':" OVERRIDE("'table'") "},'metadata':{},'most", NULL);
    const mb_route *route = only_route(snapshot);
    MB_CHECK_EQ_LIT(text_of(&route->overrides[0]), "\"table\"");
    MB_CHECK(route->overrides[0].present && !route->overrides[0].disabled);
    MB_CHECK_EQ_LIT(mb_text_view(&world.made), "probe probe 7\nprobe probe \"table\"\n");
    /* A target that changes nothing is a plain cluster also below an override. */
    MB_CHECK_EQ_LIT(route->cluster, "backend");
    mb_snapshot_unref(snapshot);
    config_world_fini(&world);
}

MB_TEST(most_specific_level_wins_and_each_is_made_once) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *snapshot = config_world_load(
        &world, NULL, config_minimal, AT_TABLE,
        "'per_filter':{'probe':" OVERRIDE("'table'") "},'metadata':{},'most", AT_TARGET,
        "'per_filter':{'probe':" OVERRIDE("'target'") "},'host_rewrite_literal'", AT_ROUTE,
        "'per_filter':{'probe':" OVERRIDE("'route'") "},'metadata':{}}],'headers':{'request_add'",
        NULL);
    const mb_route *route = only_route(snapshot);
    MB_CHECK_EQ_LIT(text_of(&route->overrides[0]), "\"route\"");
    MB_CHECK_EQ_INT(route->weighted_count, 1);
    MB_CHECK_EQ_LIT(text_of(&route->weighted[0].overrides[0]), "\"target\"");
    MB_CHECK_EQ_INT(world.live, 4);
    mb_snapshot_unref(snapshot);
    config_world_fini(&world);
}

MB_TEST(more_specific_switch_brings_the_chains_own_configuration_back) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *snapshot = config_world_load(
        &world, NULL, config_minimal, AT_TABLE,
        "'per_filter':{'probe':" OVERRIDE("'table'") "},'metadata':{},'most", AT_ROUTE,
        "'per_filter':{'probe':" SWITCH("false") "},'metadata':{}}],'headers':{'request_add'",
        AT_TARGET, "'per_filter':{'probe':" SWITCH("true") "},'host_rewrite_literal'", NULL);
    const mb_route *route = only_route(snapshot);
    MB_CHECK(route->overrides[0].present && !route->overrides[0].disabled);
    MB_CHECK(route->overrides[0].config == NULL);
    MB_CHECK_EQ_INT(route->overrides[0].wants, 1 << MB_HOOK_REQUEST_HEADERS);
    MB_CHECK(route->weighted[0].overrides[0].disabled);
    mb_snapshot_unref(snapshot);
    config_world_fini(&world);
}

MB_TEST(override_is_for_all_filters_of_that_name_and_no_other) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *snapshot =
        config_world_load(&world, NULL, config_full, "'name':'off'", "'name':'probe'", NULL);
    const mb_hcm_config *hcm = snapshot->listeners[0].chains[0].hcm;
    const mb_route *route = &hcm->routes->hosts[0].routes[0];
    MB_CHECK_EQ_INT(hcm->chain.count, 3);
    MB_CHECK(hcm->chain.entries[2].disabled);
    MB_CHECK_EQ_LIT(text_of(&route->overrides[0]), "\"route\"");
    MB_CHECK_EQ_LIT(text_of(&route->overrides[2]), "\"route\"");
    MB_CHECK(route->overrides[0].config != route->overrides[2].config);
    MB_CHECK_EQ_LIT(text_of(&route[1].overrides[0]), "\"host\"");
    MB_CHECK(route[1].overrides == route[2].overrides);
    MB_CHECK(!hcm->routes->hosts[1].routes[0].overrides[0].present);
    mb_snapshot_unref(snapshot);
    config_world_fini(&world);
}

MB_TEST(refused_override_is_a_fault_of_its_level) {
    config_world world;
    mb_snapshot *snapshot = NULL;
    mb_text document;
    MB_CHECK(config_world_init(&world, 0));
    json_document(&document, config_minimal, AT_TARGET,
                  "'per_filter':{'probe':" OVERRIDE("'refuse'") "},'host_rewrite_literal'", NULL);
    MB_CHECK_EQ_INT(config_world_build(&world, NULL, mb_text_view(&document), &snapshot),
                    MB_ECONFIG);
    MB_CHECK_EQ_LIT(mb_text_view(&world.faults), "listeners[0].filter_chains[0].hcm.route_config."
                                                 "virtual_hosts[0].routes[0].action.targets[0]."
                                                 "per_filter.probe: probe: refused for a reason\n");
    mb_text_fini(&document);
    config_world_fini(&world);
}

/* -- header_mutation, whose levels add up: seen through a module that stands for it ----------- */

#define MUTATION(name, wins)                                                                       \
    "{'request':[{'kind':'" name "'}],'request_trailers':[],'response':[],'response_trailers':[]," \
    "'most_specific_header_mutations_wins':" wins "}"

static void check_merged(const char *wins, const char *want) {
    config_world world;
    char chain[512];
    MB_CHECK(config_world_init(&world, 0));
    world.modules.native = world.python;
    snprintf(chain, sizeof(chain), "'module':'native','filter':'header_mutation','config':%s%s%s",
             "{'request':[{'kind':'chain'}],'request_trailers':[],'response':[],"
             "'response_trailers':[],'most_specific_header_mutations_wins':",
             wins, "}");
    mb_snapshot *snapshot = config_world_load(
        &world, NULL, config_minimal, AT_TABLE,
        "'per_filter':{'probe':" OVERRIDE(MUTATION("table", "false")) "},'metadata':{},'most",
        AT_ROUTE,
        "'per_filter':{'probe':" OVERRIDE(MUTATION("route", "false")) "},'metadata':{}}],"
                                                                      "'headers':{'request_add'",
        AT_TARGET, "'per_filter':{'probe':" SWITCH("false") "},'host_rewrite_literal'",
        "'module':'python','filter':'probe','config':7", chain, NULL);
    const mb_route *route = only_route(snapshot);
    MB_CHECK_EQ_SLICE(text_of(&route->overrides[0]), mb_slice_from_c(want));
    /* Switching it on takes nothing away from what adds up. */
    MB_CHECK(route->weighted[0].overrides[0].config == route->overrides[0].config);
    MB_CHECK(route->weighted[0].overrides[0].present);
    mb_snapshot_unref(snapshot);
    config_world_fini(&world);
}

MB_TEST(mutations_of_all_levels_add_up_the_most_specific_first) {
    check_merged("false", "{\"request\":[{\"kind\":\"chain\"},{\"kind\":\"route\"},"
                          "{\"kind\":\"table\"}],\"request_trailers\":[],\"response\":[],"
                          "\"response_trailers\":[],"
                          "\"most_specific_header_mutations_wins\":false}");
}

MB_TEST(mutations_of_all_levels_add_up_the_most_specific_last) {
    check_merged("true", "{\"request\":[{\"kind\":\"chain\"},{\"kind\":\"table\"},"
                         "{\"kind\":\"route\"}],\"request_trailers\":[],\"response\":[],"
                         "\"response_trailers\":[],"
                         "\"most_specific_header_mutations_wins\":false}");
}
