#include "base/slice.h"
#include "http/h2_stats.h"
#include "mbtest.h"

static uint64_t value(mb_stats *registry, const char *name) {
    mb_metric *metric = mb_stats_find(registry, mb_slice_from_c(name), NULL, 0);

    MB_CHECK(metric != NULL);
    return mb_metric_value(metric);
}

MB_TEST(differences_are_added_for_each_who_counts) {
    mbtest_alloc *memory = mbtest_failing_alloc(0);
    mb_h2_counters one = {0}, two = {0};
    mb_h2_stats first, second;
    mb_stats registry;

    mb_stats_init(&registry, &memory->allocator, 1);
    MB_CHECK_EQ_INT(mb_h2_stats_define(&registry, MB_SLICE_LIT("cluster.up."), &first), MB_OK);
    MB_CHECK_EQ_INT(mb_h2_stats_define(&registry, MB_SLICE_LIT("cluster.up."), &second), MB_OK);
    one.rx_reset = 5;
    one.streams_active = 3;
    mb_h2_stats_publish(&first, &one);
    mb_h2_stats_publish(&first, &one);
    two.rx_reset = 2;
    mb_h2_stats_publish(&second, &two);
    MB_CHECK_EQ_INT(value(&registry, "cluster.up.http2.rx_reset"), 7);
    MB_CHECK_EQ_INT(value(&registry, "cluster.up.http2.streams_active"), 3);
    one.streams_active = 1;
    mb_h2_stats_publish(&first, &one);
    MB_CHECK_EQ_INT(value(&registry, "cluster.up.http2.streams_active"), 1);
    mb_stats_fini(&registry);
    mbtest_alloc_free(memory);
}
