/*
 * TCP proxies and network filters of a document: what arrives, and what is refused.
 */
#include "base/slice.h"
#include "config/documents.h"
#include "support/config_world.h"

MB_TEST(every_setting_of_a_tcp_proxy_arrives) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *snapshot = config_world_load(&world, NULL, config_tcp, NULL);
    const mb_filter_chain_config *chain = &snapshot->listeners[0].chains[0];
    const mb_tcp_config *tcp = chain->tcp;
    MB_CHECK(chain->hcm == NULL);
    MB_CHECK_EQ_LIT(tcp->stat_prefix, "t");
    MB_CHECK_EQ_INT(tcp->cluster_count, 2);
    MB_CHECK_EQ_LIT(tcp->clusters[0].name, "backend");
    MB_CHECK_EQ_INT(tcp->clusters[0].weight, 3);
    MB_CHECK_EQ_INT(tcp->weight_total, 4);
    MB_CHECK_EQ_INT(tcp->idle_timeout_us, 3600000000);
    MB_CHECK_EQ_INT(tcp->max_duration_us, 7000000);
    MB_CHECK_EQ_INT(tcp->max_connect_attempts, 2);
    MB_CHECK_EQ_INT(tcp->access_log_count, 1);
    MB_CHECK(tcp->metrics.cx_total ==
             mb_stats_find(world.worker.stats, MB_SLICE_LIT("tcp.t.downstream_cx_total"), NULL, 0));
    MB_CHECK_EQ_INT(chain->network.count, 1);
    MB_CHECK_EQ_INT(chain->network.state_bytes, 32);
    MB_CHECK_EQ_LIT(mb_slice_from_c(chain->network.entries[0].name), "probe");
    MB_CHECK_EQ_INT(chain->network.entries[0].wants & (1u << MB_NETWORK_HOOK_WRITE), 0);
    MB_CHECK_EQ_INT(world.live, 1);
    mb_snapshot_unref(snapshot);
    MB_CHECK_EQ_INT(world.live, 0);
    config_world_fini(&world);
}

#define CHAIN "listeners[0].filter_chains[0]"

static const struct {
    const char *from, *to, *fault;
} fault_cases[] = {
    {"'stat_prefix':'t'", "'stat_prefix':''", CHAIN ".tcp_proxy.stat_prefix: must not be empty\n"},
    {"'name':'backend','weight':3", "'name':'','weight':3",
     CHAIN ".tcp_proxy.clusters[0].name: must not be empty\n"},
    {"'name':'backend','weight':3", "'name':'backend','weight':0",
     CHAIN ".tcp_proxy.clusters[0].weight: must be from 1 to 4294967295, got 0\n"},
    {"'max_connect_attempts':2", "'max_connect_attempts':0",
     CHAIN ".tcp_proxy.max_connect_attempts: must be from 1 to 4294967295, got 0\n"},
    {"'hcm':null", "'hcm':{}", CHAIN ": must have one of hcm and tcp_proxy\n"},
    {"'config':7", "'config':'refuse'", CHAIN ".network_filters[0]: probe: refused for a reason\n"},
    {"'module':'python','filter':'probe'", "'module':'native','filter':'body_scan'",
     CHAIN ".network_filters[0]: body_scan: module moebridge_native: \"body_scan\" is an HTTP "
           "filter, not a network filter\n"},
    {"'module':'python','filter':'probe'", "'module':'native','filter':'x'",
     CHAIN ".network_filters[0]: x: module moebridge_native: \"x\" is no network filter of it\n"},
};

MB_TEST(each_fault_of_a_tcp_proxy_says_where_and_what) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    for (size_t i = 0; i < sizeof(fault_cases) / sizeof(fault_cases[0]); i++) {
        mb_snapshot *snapshot = NULL;
        mb_text document;
        json_document(&document, config_tcp, fault_cases[i].from, fault_cases[i].to, NULL);
        int result = config_world_build(&world, NULL, mb_text_view(&document), &snapshot);
        mb_text_fini(&document);
        MB_CHECK_EQ_SLICE(mb_text_view(&world.faults), mb_slice_from_c(fault_cases[i].fault));
        MB_CHECK_EQ_INT(result, MB_ECONFIG);
        MB_CHECK_EQ_INT(world.live, 0);
    }
    config_world_fini(&world);
}

MB_TEST(nth_allocation_failing_leaves_nothing) {
    mb_text document;
    json_document(&document, config_tcp, NULL);
    for (size_t n = 1, failed = 1; failed; n++) {
        config_world world;
        if (config_world_init(&world, 0)) {
            mb_snapshot *snapshot = NULL;
            world.memory->fail_at = world.memory->requests + n;
            int result = config_world_build(&world, NULL, mb_text_view(&document), &snapshot);
            failed = world.memory->requests >= world.memory->fail_at;
            world.memory->fail_at = 0;
            MB_CHECK(result == MB_OK || result == MB_ENOMEM || result == MB_ECONFIG);
            mb_snapshot_unref(snapshot);
        }
        config_world_fini(&world);
    }
    mb_text_fini(&document);
}
