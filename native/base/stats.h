/*
 * Stats: the counters, gauges and histograms of one worker.
 *
 * A metric is defined by name and labels and found again by them, so it survives a reload. It is
 * never removed: pointers stay valid until the registry is freed. Only the worker writes; other
 * threads may read at any time (relaxed: a sum over several metrics is not one instant).
 *
 * A histogram has log-linear buckets of two decimal digits: 1.0, 1.1, ... 9.9 of every power of
 * ten. Every bound of Envoy's Prometheus buckets is a bound of ours, so those counts are exact.
 */
#ifndef MB_BASE_STATS_H
#define MB_BASE_STATS_H

#include "base/arena.h"
#include "base/map.h"
#include <moebridge/filter.h>

/* 0, then 1 to 100 one by one, then 90 buckets a power of ten up to 10^10 (10,000 s in us). */
#define MB_HISTOGRAM_BUCKETS (1 + 100 + 8 * 90 + 1)

typedef struct mb_histogram {
    uint64_t sum;
    uint64_t max;
    uint64_t buckets[MB_HISTOGRAM_BUCKETS]; /* the last one: beyond 10^10 */
} mb_histogram;

struct mb_metric {
    uint64_t value; /* counter, gauge: the value; histogram: records made */
    mb_metric_kind kind;
    uint32_t label_count;
    mb_slice name; /* dotted: "http.ingress.downstream_rq_total" */
    const mb_header *labels;
    mb_histogram *histogram; /* NULL for the other kinds */
    mb_metric *next;         /* in order of definition; read with mb_stats_first, _next */
};

typedef struct mb_stats {
    mb_arena_pool chunks;
    mb_arena arena; /* of all metrics */
    mb_map by_key;
    mb_metric *first, *last;
    size_t count;
} mb_stats;

void mb_stats_init(mb_stats *stats, const mb_allocator *allocator, uint64_t seed);
void mb_stats_fini(mb_stats *stats);

/* Defines a metric, or finds the one of that name and these labels (in this order). Name and
 * labels are copied. MB_OK, MB_EINVAL when it exists with another kind or the name is empty,
 * MB_ENOMEM. Worker only. */
int mb_stats_define(mb_stats *stats, mb_metric_kind kind, mb_slice name, const mb_header *labels,
                    size_t label_count, mb_metric **out);
/* One metric of a tree of them; its handle goes to `offset` in the caller's struct. */
typedef struct mb_stats_row {
    const char *name;
    mb_metric_kind kind;
    size_t offset;
} mb_stats_row;
/* Defines "<tree>.<prefix>.<row's name>" for every row, without an empty prefix. Results as of
 * mb_stats_define; after a failure some handles are set. */
int mb_stats_define_rows(mb_stats *stats, const char *tree, mb_slice prefix,
                         const mb_stats_row *rows, size_t count, void *out);
/* NULL: there is none. */
mb_metric *mb_stats_find(const mb_stats *stats, mb_slice name, const mb_header *labels,
                         size_t label_count);

static inline uint64_t mb__stat_load(const uint64_t *at) {
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}
/* One writer: load and store are plain moves, no locked instruction. */
static inline void mb__stat_add(uint64_t *at, uint64_t amount) {
    __atomic_store_n(at, mb__stat_load(at) + amount, __ATOMIC_RELAXED);
}

/* All metrics in order of definition. Thread: any; one that is being defined may be missed. */
static inline const mb_metric *mb_stats_first(const mb_stats *stats) {
    return __atomic_load_n(&stats->first, __ATOMIC_ACQUIRE);
}
static inline const mb_metric *mb_stats_next(const mb_metric *metric) {
    return __atomic_load_n(&metric->next, __ATOMIC_ACQUIRE);
}

/* Counter, gauge. A gauge goes no lower than 0, as Envoy's: a negative amount stops there. */
static inline void mb_metric_add(mb_metric *metric, int64_t amount) {
    uint64_t value = mb__stat_load(&metric->value);
    uint64_t less = (uint64_t)0 - (uint64_t)amount;
    value = amount >= 0 ? value + (uint64_t)amount : value > less ? value - less : 0;
    __atomic_store_n(&metric->value, value, __ATOMIC_RELAXED);
}
static inline void mb_metric_inc(mb_metric *metric) {
    mb__stat_add(&metric->value, 1);
}
/* Gauge. */
static inline void mb_metric_set(mb_metric *metric, uint64_t value) {
    __atomic_store_n(&metric->value, value, __ATOMIC_RELAXED);
}
/* Counter, gauge: the value. Histogram: how many records. Thread: any. */
static inline uint64_t mb_metric_value(const mb_metric *metric) {
    return mb__stat_load(&metric->value);
}
/* Histogram; other kinds ignore it. */
void mb_metric_record(mb_metric *metric, uint64_t value);

/* Bucket of a value: 0 for 0, else the one whose range (low, high] it lies in. */
size_t mb_histogram_index(uint64_t value);
/* Highest value of a bucket; UINT64_MAX for the last. */
uint64_t mb_histogram_high(size_t index);
/* For each of `count` ascending bounds, how many records were <= it: exact for bounds with two
 * significant digits, else those of the buckets wholly below. Thread: any. */
void mb_histogram_cumulate(const mb_histogram *histogram, const uint64_t *bounds, size_t count,
                           uint64_t *out);
/* The value that a share `quantile` (0 to 1) of the records does not pass, interpolated within
 * its bucket; 0 when there are none. Thread: any. */
double mb_histogram_quantile(const mb_histogram *histogram, double quantile);

/* Envoy's default Prometheus bounds, 0.5 ms to 1 h, in microseconds. */
#define MB_STATS_BOUND_COUNT 19
extern const uint64_t mb_stats_bounds_us[MB_STATS_BOUND_COUNT];

#endif
