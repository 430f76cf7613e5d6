#include "base/slice.h"
#include "config/documents.h"
#include "support/config_world.h"
#include "upstream/cluster_state.h"

MB_TEST(every_setting_of_a_cluster_arrives) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *snapshot = config_world_load(&world, NULL, config_full, NULL);
    const mb_cluster *cluster = mb_snapshot_cluster(snapshot, MB_SLICE_LIT("names"));
    const mb_cluster_settings *got = &cluster->settings;
    MB_CHECK_EQ_LIT(got->name, "names");
    MB_CHECK_EQ_LIT(got->stat_name, "stat");
    MB_CHECK(!got->strict_dns);
    MB_CHECK_EQ_INT(got->endpoint_count, 3);
    MB_CHECK_EQ_LIT(got->endpoints[2].path, "@up");
    MB_CHECK_EQ_INT(got->connect_timeout_us, 20000);
    MB_CHECK_EQ_INT(got->buffer_limit_bytes, 21);
    MB_CHECK(got->limits.max_connections == 22 && got->limits.max_pending_requests == 23);
    MB_CHECK(got->limits.max_requests == 24 && got->limits.max_retries == 25);
    MB_CHECK_EQ_INT(got->idle_timeout_us, 26000);
    MB_CHECK_EQ_INT(got->max_connection_duration_us, 27000);
    MB_CHECK_EQ_INT(got->max_requests_per_connection, 28);
    MB_CHECK(got->codec.max_head_bytes == 29 && got->codec.max_header_count == 30);
    MB_CHECK(got->codec.enable_trailers && got->keepalive.enabled);
    MB_CHECK(got->keepalive.probes == 31 && got->keepalive.time_s == 32);
    MB_CHECK_EQ_INT(got->keepalive.interval_s, 33);
    MB_CHECK_EQ_INT(mb_cluster_host_count(cluster), 3);
    mb_snapshot_unref(snapshot);
    config_world_fini(&world);
}

MB_TEST(every_option_of_http2_arrives) {
    config_world world;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *snapshot = config_world_load(&world, NULL, config_full, NULL);
    const mb_cluster *cluster = mb_snapshot_cluster(snapshot, MB_SLICE_LIT("names"));
    const mb_h2_options *got = &cluster->settings.codec.h2;
    const mb_keepalive_settings *keepalive = &cluster->settings.h2_keepalive;
    MB_CHECK_EQ_INT(cluster->settings.protocol, MB_UPSTREAM_HTTP2);
    MB_CHECK_EQ_INT(cluster->settings.proxy_version, 2);
    MB_CHECK_EQ_INT(got->max_concurrent_streams, 34);
    MB_CHECK_EQ_INT(got->initial_stream_window_bytes, 65535);
    MB_CHECK_EQ_INT(got->initial_connection_window_bytes, 65536);
    MB_CHECK_EQ_INT(got->header_table_bytes, 35);
    MB_CHECK(got->max_outbound_frames == 36 && got->max_outbound_control_frames == 37);
    MB_CHECK_EQ_INT(got->max_consecutive_empty_frames, 38);
    MB_CHECK_EQ_INT(got->max_priority_frames_per_stream, 39);
    MB_CHECK_EQ_INT(got->max_window_updates_per_data_frame, 40);
    MB_CHECK(got->allow_connect);
    MB_CHECK(keepalive->interval_us == 41000 && keepalive->jitter_us == 42000);
    MB_CHECK(keepalive->timeout_us == 43000 && keepalive->idle_interval_us == 44000);
    cluster = mb_snapshot_cluster(snapshot, MB_SLICE_LIT("backend"));
    MB_CHECK_EQ_INT(cluster->settings.protocol, MB_UPSTREAM_HTTP1);
    MB_CHECK_EQ_INT(cluster->settings.h2_keepalive.timeout_us, 0);
    mb_snapshot_unref(snapshot);
    config_world_fini(&world);
}

MB_TEST(reload_keeps_the_clusters_whose_settings_are_the_same) {
    config_world world;
    mb_slice backend = MB_SLICE_LIT("backend"), names = MB_SLICE_LIT("names");
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *first = config_world_load(&world, NULL, config_full, NULL);
    mb_snapshot *second =
        config_world_load(&world, first, config_full, "'max_requests':24", "'max_requests':25",
                          "'server_name':'mb'", "'server_name':'mb2'", NULL);
    MB_CHECK_EQ_INT(second->version, 2);
    MB_CHECK(mb_snapshot_cluster(first, backend) == mb_snapshot_cluster(second, backend));
    MB_CHECK(mb_snapshot_cluster(first, names) != mb_snapshot_cluster(second, names));
    mb_snapshot_unref(first);
    MB_CHECK_EQ_LIT(mb_cluster_name(mb_snapshot_cluster(second, backend)), "backend");
    mb_snapshot *third = config_world_load(&world, second, config_minimal, NULL);
    MB_CHECK(mb_snapshot_cluster(third, backend) == mb_snapshot_cluster(second, backend));
    MB_CHECK(mb_snapshot_cluster(third, names) == NULL);
    mb_snapshot_unref(third);
    mb_snapshot_unref(second);
    config_world_fini(&world);
}

MB_TEST(faulty_reload_leaves_the_clusters_alone) {
    config_world world;
    mb_snapshot *second = NULL;
    mb_text document;
    MB_CHECK(config_world_init(&world, 0));
    mb_snapshot *first = config_world_load(&world, NULL, config_full, NULL);
    json_document(&document, config_full, "'max_requests':24", "'max_requests':-1", NULL);
    MB_CHECK_EQ_INT(config_world_build(&world, first, mb_text_view(&document), &second),
                    MB_ECONFIG);
    mb_text_fini(&document);
    MB_CHECK_EQ_INT(mb_snapshot_cluster(first, MB_SLICE_LIT("backend"))->refs, 1);
    MB_CHECK_EQ_INT(first->refs, 1);
    mb_snapshot_unref(first);
    config_world_fini(&world);
}
