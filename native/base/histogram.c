/*
 * Histograms: log-linear buckets of two decimal digits. See stats.h.
 *
 * Bucket 0 is the value 0 and 1 to 100 are those values. Above, decade d (100 * 10^d, 1000 * 10^d]
 * has 90 buckets 10^(d+1) wide. Ranges are open below and closed above, as Prometheus' `le` is.
 */
#include "base/stats.h"

#define LINEAR_BUCKETS 101u
#define DECADES 8u
#define BUCKETS_A_DECADE 90u
#define LAST_BUCKET (MB_HISTOGRAM_BUCKETS - 1)

const uint64_t mb_stats_bounds_us[MB_STATS_BOUND_COUNT] = {
    500,      1000,      5000,      10000,      25000,      50000,    100000,
    250000,   500000,    1000000,   2500000,    5000000,    10000000, 30000000,
    60000000, 300000000, 600000000, 1800000000, 3600000000,
};

/* 10^(decade + 1): how wide the buckets of a decade are. */
static const uint64_t widths[DECADES] = {
    10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000,
};

/* floor(2^64 / width) + 1: the high half of a product with it is the quotient, exactly, while
 * value * width < 2^64, and values end at 10^10. */
static const uint64_t reciprocals[DECADES] = {
    UINT64_MAX / 10 + 1,       UINT64_MAX / 100 + 1,       UINT64_MAX / 1000 + 1,
    UINT64_MAX / 10000 + 1,    UINT64_MAX / 100000 + 1,    UINT64_MAX / 1000000 + 1,
    UINT64_MAX / 10000000 + 1, UINT64_MAX / 100000000 + 1,
};

size_t mb_histogram_index(uint64_t value) {
    if (value <= 100) {
        return (size_t)value;
    }
    uint64_t below = value - 1; /* in [100, ...): ranges closed above become closed below */
    if (below >= 100 * widths[DECADES - 1]) {
        return LAST_BUCKET;
    }
    /* log10 from log2 (1233 / 4096 is log10(2)), at most one too high. */
    unsigned log2 = 63u - (unsigned)__builtin_clzll(below);
    unsigned decade = ((log2 + 1) * 1233 >> 12) - 2;
    if (decade == DECADES || below < 10 * widths[decade]) {
        decade--;
    }
    uint64_t place = (uint64_t)((unsigned __int128)below * reciprocals[decade] >> 64);
    return LINEAR_BUCKETS + decade * BUCKETS_A_DECADE + (size_t)(place - 10);
}

uint64_t mb_histogram_high(size_t index) {
    if (index < LINEAR_BUCKETS) {
        return index;
    }
    if (index >= LAST_BUCKET) {
        return UINT64_MAX;
    }
    size_t decade = (index - LINEAR_BUCKETS) / BUCKETS_A_DECADE;
    size_t place = (index - LINEAR_BUCKETS) % BUCKETS_A_DECADE + 10;
    return (place + 1) * widths[decade];
}

void mb_metric_record(mb_metric *metric, uint64_t value) {
    mb_histogram *histogram = metric->histogram;
    if (histogram == NULL) {
        return;
    }
    mb__stat_add(&histogram->buckets[mb_histogram_index(value)], 1);
    mb__stat_add(&histogram->sum, value);
    if (value > histogram->max) {
        __atomic_store_n(&histogram->max, value, __ATOMIC_RELAXED);
    }
    mb__stat_add(&metric->value, 1);
}

void mb_histogram_cumulate(const mb_histogram *histogram, const uint64_t *bounds, size_t count,
                           uint64_t *out) {
    uint64_t sum = 0;
    size_t index = 0;
    for (size_t i = 0; i < count; i++) {
        while (index < MB_HISTOGRAM_BUCKETS && mb_histogram_high(index) <= bounds[i]) {
            sum += mb__stat_load(&histogram->buckets[index++]);
        }
        out[i] = sum;
    }
}

double mb_histogram_quantile(const mb_histogram *histogram, double quantile) {
    uint64_t total = 0;
    for (size_t i = 0; i < MB_HISTOGRAM_BUCKETS; i++) {
        total += mb__stat_load(&histogram->buckets[i]);
    }
    if (total == 0) {
        return 0;
    }
    double wanted = quantile <= 0 ? 0 : quantile >= 1 ? (double)total : quantile * (double)total;
    double highest = (double)mb__stat_load(&histogram->max);
    double passed = 0;
    for (size_t i = 0; i < LAST_BUCKET; i++) {
        double here = (double)mb__stat_load(&histogram->buckets[i]);
        if (here > 0 && passed + here >= wanted) {
            double high = (double)mb_histogram_high(i);
            double low = i == 0 ? 0 : (double)mb_histogram_high(i - 1);
            double at = i < LINEAR_BUCKETS ? high : low + (high - low) * (wanted - passed) / here;
            return at < highest ? at : highest;
        }
        passed += here;
    }
    return highest;
}
