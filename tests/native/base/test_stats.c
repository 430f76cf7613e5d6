/*
 * Stats: one metric for a name and labels, values, buckets that agree with Prometheus' bounds.
 */
#include "base/stats.h"

#include "base/random.h"
#include "mbtest.h"

typedef struct fixture {
    mbtest_alloc *memory;
    mb_stats stats;
} fixture;

static void set_up(fixture *f, size_t fail_at) {
    f->memory = mbtest_failing_alloc(fail_at);
    mb_stats_init(&f->stats, &f->memory->allocator, 1);
}

static void tear_down(fixture *f) {
    mb_stats_fini(&f->stats);
    mbtest_alloc_free(f->memory);
}

static mb_metric *define(fixture *f, mb_metric_kind kind, const char *name) {
    mb_metric *metric = NULL;
    MB_CHECK_EQ_INT(
        mb_stats_define(&f->stats, kind, (mb_slice){name, strlen(name)}, NULL, 0, &metric), MB_OK);
    return metric;
}

MB_TEST(defining_again_finds_the_same_metric_with_its_value) {
    fixture f;
    set_up(&f, 0);
    char name[] = "http.rq_total";
    mb_metric *first = define(&f, MB_COUNTER, name);
    mb_metric_inc(first);
    MB_CHECK(define(&f, MB_COUNTER, name) == first);
    MB_CHECK_EQ_INT(mb_metric_value(first), 1);
    name[0] = 'x';
    MB_CHECK_EQ_LIT(first->name, "http.rq_total");
    mb_metric *out = NULL;
    MB_CHECK_EQ_INT(
        mb_stats_define(&f.stats, MB_GAUGE, MB_SLICE_LIT("http.rq_total"), NULL, 0, &out),
        MB_EINVAL);
    MB_CHECK_EQ_INT(mb_stats_define(&f.stats, MB_GAUGE, MB_SLICE_LIT(""), NULL, 0, &out),
                    MB_EINVAL);
    MB_CHECK(out == NULL);
    MB_CHECK(mb_stats_find(&f.stats, MB_SLICE_LIT("http.rq_total"), NULL, 0) == first);
    MB_CHECK(mb_stats_find(&f.stats, MB_SLICE_LIT("http.rq"), NULL, 0) == NULL);
    tear_down(&f);
}

MB_TEST(labels_distinguish_metrics_of_one_name) {
    fixture f;
    set_up(&f, 0);
    static const mb_header labels[][2] = {
        {{MB_SLICE_LIT("a"), MB_SLICE_LIT("1")}, {MB_SLICE_LIT("b"), MB_SLICE_LIT("2")}},
        {{MB_SLICE_LIT("a"), MB_SLICE_LIT("12")}, {MB_SLICE_LIT("b"), MB_SLICE_LIT("")}},
        {{MB_SLICE_LIT("a1"), MB_SLICE_LIT("")}, {MB_SLICE_LIT("b"), MB_SLICE_LIT("2")}},
    };
    mb_metric *metrics[4] = {define(&f, MB_COUNTER, "name")};
    for (int i = 0; i < 3; i++) {
        MB_CHECK_EQ_INT(mb_stats_define(&f.stats, MB_COUNTER, MB_SLICE_LIT("name"), labels[i], 2,
                                        &metrics[i + 1]),
                        MB_OK);
        for (int j = 0; j <= i; j++) {
            MB_CHECK(metrics[j] != metrics[i + 1]);
        }
        MB_CHECK_EQ_INT(metrics[i + 1]->label_count, 2);
        MB_CHECK_EQ_SLICE(metrics[i + 1]->labels[0].value, labels[i][0].value);
        MB_CHECK(mb_stats_find(&f.stats, MB_SLICE_LIT("name"), labels[i], 2) == metrics[i + 1]);
    }
    tear_down(&f);
}

MB_TEST(all_metrics_are_listed_in_order_of_definition) {
    fixture f;
    set_up(&f, 0);
    MB_CHECK(mb_stats_first(&f.stats) == NULL);
    mb_metric *metrics[50];
    for (int i = 0; i < 50; i++) {
        char name[3] = {'m', (char)('0' + i / 10), (char)('0' + i % 10)};
        MB_CHECK_EQ_INT(mb_stats_define(&f.stats, (mb_metric_kind)(i % 3), (mb_slice){name, 3},
                                        NULL, 0, &metrics[i]),
                        MB_OK);
    }
    const mb_metric *at = mb_stats_first(&f.stats);
    for (int i = 0; i < 50; i++, at = mb_stats_next(at)) {
        MB_CHECK(at == metrics[i]);
    }
    MB_CHECK(at == NULL);
    MB_CHECK_EQ_INT(f.stats.count, 50);
    tear_down(&f);
}

MB_TEST(counters_add_and_gauges_stop_at_zero) {
    fixture f;
    set_up(&f, 0);
    mb_metric *counter = define(&f, MB_COUNTER, "c");
    mb_metric *gauge = define(&f, MB_GAUGE, "g");
    mb_metric_add(counter, 5);
    mb_metric_inc(counter);
    MB_CHECK_EQ_INT(mb_metric_value(counter), 6);
    mb_metric_set(gauge, 10);
    mb_metric_add(gauge, -3);
    MB_CHECK_EQ_INT(mb_metric_value(gauge), 7);
    mb_metric_add(gauge, -9);
    MB_CHECK_EQ_INT(mb_metric_value(gauge), 0);
    mb_metric_add(gauge, INT64_MIN);
    mb_metric_add(gauge, 2);
    MB_CHECK_EQ_INT(mb_metric_value(gauge), 2);
    mb_metric_record(counter, 100); /* not a histogram: ignored */
    MB_CHECK_EQ_INT(mb_metric_value(counter), 6);
    tear_down(&f);
}

MB_TEST(buckets_cover_every_value_once_with_ten_percent_width) {
    uint64_t low = 0;
    for (size_t i = 0; i < MB_HISTOGRAM_BUCKETS; i++) {
        uint64_t high = mb_histogram_high(i);
        MB_CHECK_EQ_INT(mb_histogram_index(low), i);
        MB_CHECK_EQ_INT(mb_histogram_index(high), i);
        MB_CHECK(i < 101 || i == MB_HISTOGRAM_BUCKETS - 1 || (high - low + 1) * 10 <= low + 9);
        low = high + 1;
    }
    MB_CHECK(low == 0); /* the last one ends at UINT64_MAX */
    MB_CHECK(mb_histogram_high(MB_HISTOGRAM_BUCKETS - 2) == UINT64_C(10000000000));
    mb_random random;
    mb_random_seed(&random, 6);
    for (int round = 0; round < 100000; round++) {
        uint64_t value = mb_random_u64(&random) >> mb_random_below(&random, 64);
        size_t index = mb_histogram_index(value);
        MB_CHECK(value <= mb_histogram_high(index));
        MB_CHECK(index == 0 || value > mb_histogram_high(index - 1));
    }
}

MB_TEST(counts_below_the_default_bounds_are_exact) {
    fixture f;
    set_up(&f, 0);
    mb_metric *metric = define(&f, MB_HISTOGRAM, "h");
    uint64_t want[MB_STATS_BOUND_COUNT] = {0};
    uint64_t got[MB_STATS_BOUND_COUNT];
    uint64_t sum = 0;
    mb_random random;
    mb_random_seed(&random, 5);
    for (int round = 0; round < 20000; round++) {
        uint64_t value = mb_random_u64(&random) >> (30 + mb_random_below(&random, 33));
        if (round < 3 * MB_STATS_BOUND_COUNT) {
            value = mb_stats_bounds_us[round / 3] + (uint64_t)(round % 3) - 1; /* just around */
        }
        mb_metric_record(metric, value);
        sum += value;
        for (size_t i = 0; i < MB_STATS_BOUND_COUNT; i++) {
            want[i] += value <= mb_stats_bounds_us[i];
        }
    }
    mb_histogram_cumulate(metric->histogram, mb_stats_bounds_us, MB_STATS_BOUND_COUNT, got);
    for (size_t i = 0; i < MB_STATS_BOUND_COUNT; i++) {
        MB_CHECK_EQ_INT(got[i], want[i]);
    }
    MB_CHECK_EQ_INT(mb_metric_value(metric), 20000);
    MB_CHECK(metric->histogram->sum == sum);
    tear_down(&f);
}

MB_TEST(quantiles_are_within_a_bucket_of_the_truth) {
    fixture f;
    set_up(&f, 0);
    mb_metric *metric = define(&f, MB_HISTOGRAM, "h");
    const mb_histogram *histogram = metric->histogram;
    MB_CHECK(mb_histogram_quantile(histogram, 0.5) == 0);
    for (uint64_t value = 1; value <= 10000; value++) {
        mb_metric_record(metric, value);
    }
    static const double shares[] = {0.005, 0.01, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 1};
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        double got = mb_histogram_quantile(histogram, shares[i]);
        MB_CHECK(got >= shares[i] * 10000 * 0.98 && got <= shares[i] * 10000 * 1.02);
    }
    MB_CHECK(mb_histogram_quantile(histogram, 2) == 10000);
    MB_CHECK(mb_histogram_quantile(histogram, 0) <= 1);
    mb_metric_record(metric, UINT64_C(1) << 50);
    MB_CHECK(mb_histogram_quantile(histogram, 1) == (double)(UINT64_C(1) << 50));
    tear_down(&f);
}

MB_TEST(metric_without_memory_is_not_defined_and_can_be_tried_again) {
    static const mb_header label = {MB_SLICE_LIT("label"), MB_SLICE_LIT("value")};
    for (size_t n = 1, failed = 1; failed; n++) {
        fixture f;
        mb_metric *metric = NULL;
        set_up(&f, n);
        int result = mb_stats_define(&f.stats, MB_HISTOGRAM, MB_SLICE_LIT("h"), &label, 1, &metric);
        failed = f.memory->requests >= n;
        MB_CHECK_EQ_INT(result, failed ? MB_ENOMEM : MB_OK);
        MB_CHECK((metric == NULL) == failed);
        MB_CHECK_EQ_INT(f.stats.count, !failed);
        f.memory->fail_at = 0;
        MB_CHECK_EQ_INT(
            mb_stats_define(&f.stats, MB_HISTOGRAM, MB_SLICE_LIT("h"), &label, 1, &metric), MB_OK);
        MB_CHECK_EQ_INT(f.stats.count, 1);
        tear_down(&f);
    }
}
