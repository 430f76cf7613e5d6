/*
 * Statistics as msgpack and as Prometheus text. Dotted names are Envoy's; for Prometheus the parts
 * that name an instance (stat prefix, cluster, listener, response code) become Envoy's labels.
 * Source: Envoy, "Statistics", tag extraction rules.
 *
 * Thread: any; values are read one by one, so sums over metrics are not of one instant. What the
 * worker counts outside of the registry it publishes there itself, after each turn.
 */
#include "base/alloc.h"
#include "base/msgpack.h"
#include "base/slice.h"
#include "base/text.h"
#include "net/send_batch.h"
#include "server/server_internal.h"
#include <stdlib.h>
#include <string.h>

void mb__server_publish(mb_server *server) {
    const mb_worker *worker = &server->worker;
    mb_slab_stats slabs;
    mb_slab_pool_stats(worker->slabs, &slabs);
    mb_metric_set(server->slab_leases, slabs.leases);
    mb_metric_set(server->loop_iterations, mb_loop_turns(worker->loop));
    mb_metric_set(server->bytes_copied, slabs.bytes_copied);
    if (worker->net.sends != NULL) {
        mb_metric_set(server->send_batches, worker->net.sends->batches);
        mb_metric_set(server->sends_batched, worker->net.sends->batched);
    }
    mb_h2_stats_publish(&server->h2_stats, &server->h2_counters);
}

/* The text of a caller on whichever thread: the server's allocator belongs to the worker. */
static void begin(mb_server *server, mb_text *text) {
    mb_text_init(text, mb_allocator_default(), SIZE_MAX);
    if (pthread_equal(pthread_self(), server->owner)) {
        mb__server_publish(server); /* between two turns */
    }
}

static int give_out(mb_text *text, char **out, size_t *length) {
    int rc = text->status < 0 ? text->status : mb__server_text_out(mb_text_view(text), out);
    *length = text->len;
    mb_text_fini(text);
    return rc;
}

/* -- msgpack ----------------------------------------------------------------------------------- */

static void put_key(mb_text *out, const mb_metric *metric) {
    if (metric->label_count == 0) {
        mb_msgpack_put_str(out, metric->name);
        return;
    }
    mb_text joined;
    mb_text_init(&joined, out->allocator, SIZE_MAX);
    mb_text_append(&joined, metric->name);
    for (uint32_t i = 0; i < metric->label_count; i++) {
        mb_text_byte(&joined, i == 0 ? '{' : ',');
        mb_text_append(&joined, metric->labels[i].name);
        mb_text_byte(&joined, '=');
        mb_text_append(&joined, metric->labels[i].value);
    }
    mb_text_byte(&joined, '}');
    mb_msgpack_put_str(out, mb_text_view(&joined));
    out->status = joined.status < 0 ? joined.status : out->status;
    mb_text_fini(&joined);
}

static void put_histogram(mb_text *out, const mb_metric *metric) {
    uint64_t counts[MB_STATS_BOUND_COUNT];
    mb_histogram_cumulate(metric->histogram, mb_stats_bounds_us, MB_STATS_BOUND_COUNT, counts);
    mb_msgpack_put_map(out, 5);
    mb_msgpack_put_str(out, MB_SLICE_LIT("count"));
    mb_msgpack_put_u64(out, mb_metric_value(metric));
    mb_msgpack_put_str(out, MB_SLICE_LIT("sum"));
    mb_msgpack_put_u64(out, mb__stat_load(&metric->histogram->sum));
    mb_msgpack_put_str(out, MB_SLICE_LIT("p50"));
    mb_msgpack_put_double(out, mb_histogram_quantile(metric->histogram, 0.5));
    mb_msgpack_put_str(out, MB_SLICE_LIT("p99"));
    mb_msgpack_put_double(out, mb_histogram_quantile(metric->histogram, 0.99));
    mb_msgpack_put_str(out, MB_SLICE_LIT("buckets"));
    mb_msgpack_put_array(out, MB_STATS_BOUND_COUNT);
    for (size_t i = 0; i < MB_STATS_BOUND_COUNT; i++) {
        mb_msgpack_put_array(out, 2);
        mb_msgpack_put_u64(out, mb_stats_bounds_us[i]);
        mb_msgpack_put_u64(out, counts[i]);
    }
}

/* More may be defined meanwhile: they come behind these. */
static uint32_t count_metrics(const mb_stats *stats) {
    uint32_t count = 0;
    for (const mb_metric *it = mb_stats_first(stats); it != NULL; it = mb_stats_next(it)) {
        count++;
    }
    return count;
}

int mb_server_stats(mb_server *server, char **out, size_t *length) {
    mb_text text;
    begin(server, &text);
    const mb_stats *stats = server->worker.stats;
    uint32_t count = count_metrics(stats);
    mb_msgpack_put_map(&text, count);
    for (const mb_metric *it = mb_stats_first(stats); it != NULL && count > 0;
         it = mb_stats_next(it), count--) {
        put_key(&text, it);
        if (it->kind == MB_HISTOGRAM) {
            put_histogram(&text, it);
        } else {
            mb_msgpack_put_u64(&text, mb_metric_value(it));
        }
    }
    return give_out(&text, out, length);
}

/* -- Prometheus -------------------------------------------------------------------------------- */

/* A metric's name taken apart. */
typedef struct tagged {
    mb_slice tree;     /* "http", "cluster", "listener"; empty: none of them */
    mb_slice instance; /* stat prefix, cluster or address */
    mb_slice rest;     /* the name without both and without the response code */
    mb_slice code;     /* "2" of 2xx, or "200"; empty */
    bool code_is_class;
} tagged;

static const struct {
    const char *tree, *label;
} trees[] = {{"http", "envoy_http_conn_manager_prefix"},
             {"cluster", "envoy_cluster_name"},
             {"listener", "envoy_listener_address"}};

/* Where the instance ends: before the first part that begins a metric's own name, since names of
 * clusters and addresses may have dots in them. */
static size_t instance_length(mb_slice text) {
    static const char *const starts[] = {".downstream_", ".upstream_", ".membership_", ".update_",
                                         ".http.",       ".http2.",    ".circuit_",    ".no_route",
                                         ".lb_",         ".rq_",       ".external.",   ".internal.",
                                         ".retry"};
    for (size_t at = 0; at < text.len; at++) {
        mb_slice from = mb_slice_skip(text, at);
        for (size_t i = 0; text.ptr[at] == '.' && i < sizeof(starts) / sizeof(starts[0]); i++) {
            if (mb_slice_starts_with(from, mb_slice_from_c(starts[i]))) {
                return at;
            }
        }
    }
    int64_t dot = mb_slice_rindex(text, '.');
    return dot > 0 ? (size_t)dot : text.len;
}

static void take_code(tagged *tag) {
    mb_slice name = tag->rest;
    if (name.len < 4 || name.ptr[name.len - 4] != '_' ||
        !mb_ascii_is_digit(name.ptr[name.len - 3])) {
        return;
    }
    mb_slice last = mb_slice_skip(name, name.len - 3);
    tag->code_is_class = last.ptr[1] == 'x' && last.ptr[2] == 'x';
    bool number = mb_ascii_is_digit(last.ptr[1]) && mb_ascii_is_digit(last.ptr[2]);
    if (tag->code_is_class || number) {
        tag->code = mb_slice_take(last, number ? 3 : 1);
        tag->rest = mb_slice_take(name, tag->code_is_class ? name.len - 2 : name.len - 4);
        if (tag->code_is_class) {
            tag->rest = mb_slice_take(name, name.len - 4);
        }
    }
}

static tagged take_apart(mb_slice name) {
    tagged tag = {.rest = name};
    for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
        mb_slice tree = mb_slice_from_c(trees[i].tree);
        if (name.len > tree.len + 1 && mb_slice_starts_with(name, tree) &&
            name.ptr[tree.len] == '.') {
            mb_slice below = mb_slice_skip(name, tree.len + 1);
            size_t length = instance_length(below);
            if (length < below.len) {
                tag.tree = tree;
                tag.instance = mb_slice_take(below, length);
                tag.rest = mb_slice_skip(below, length + 1);
            }
        }
    }
    take_code(&tag);
    return tag;
}

static void put_name(mb_text *out, mb_slice name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool fine = mb_ascii_is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        mb_text_byte(out, fine ? c : '_');
    }
}

static void put_series_name(mb_text *out, const tagged *tag) {
    mb_text_c(out, "envoy_");
    if (tag->tree.len > 0) {
        put_name(out, tag->tree);
        mb_text_byte(out, '_');
    }
    put_name(out, tag->rest);
    if (tag->code_is_class) {
        mb_text_c(out, "_xx");
    }
}

static void put_label(mb_text *out, bool *first, mb_slice name, mb_slice value) {
    mb_text_c(out, *first ? "{" : ",");
    *first = false;
    put_name(out, name);
    mb_text_c(out, "=\"");
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '"' || value.ptr[i] == '\\') {
            mb_text_byte(out, '\\');
        }
        if (value.ptr[i] == '\n') {
            mb_text_c(out, "\\n");
        } else {
            mb_text_byte(out, value.ptr[i]);
        }
    }
    mb_text_byte(out, '"');
}

static void put_labels(mb_text *out, const tagged *tag, const mb_metric *metric, mb_slice le) {
    bool first = true;
    if (tag->code.len > 0) {
        put_label(out, &first,
                  tag->code_is_class ? MB_SLICE_LIT("envoy_response_code_class")
                                     : MB_SLICE_LIT("envoy_response_code"),
                  tag->code);
    }
    for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
        if (mb_slice_equal(tag->tree, mb_slice_from_c(trees[i].tree))) {
            put_label(out, &first, mb_slice_from_c(trees[i].label), tag->instance);
        }
    }
    for (uint32_t i = 0; i < metric->label_count; i++) {
        put_label(out, &first, metric->labels[i].name, metric->labels[i].value);
    }
    if (le.len > 0) {
        put_label(out, &first, MB_SLICE_LIT("le"), le);
    }
    if (!first) {
        mb_text_byte(out, '}');
    }
}

static void put_bucket(mb_text *out, const tagged *tag, const mb_metric *metric, mb_slice le,
                       uint64_t count) {
    put_series_name(out, tag);
    mb_text_c(out, "_bucket");
    put_labels(out, tag, metric, le);
    mb_text_byte(out, ' ');
    mb_text_u64(out, count);
    mb_text_byte(out, '\n');
}

/* Envoy's unit of times is the millisecond; ours are recorded in microseconds. */
static void put_histogram_series(mb_text *out, const tagged *tag, const mb_metric *metric) {
    uint64_t counts[MB_STATS_BOUND_COUNT];
    mb_histogram_cumulate(metric->histogram, mb_stats_bounds_us, MB_STATS_BOUND_COUNT, counts);
    mb_text bound;
    for (size_t i = 0; i < MB_STATS_BOUND_COUNT; i++) {
        mb_text_init(&bound, out->allocator, 32);
        mb_text_double(&bound, (double)mb_stats_bounds_us[i] / 1000.0);
        put_bucket(out, tag, metric, mb_text_view(&bound), counts[i]);
        mb_text_fini(&bound);
    }
    put_bucket(out, tag, metric, MB_SLICE_LIT("+Inf"), mb_metric_value(metric));
    put_series_name(out, tag);
    mb_text_c(out, "_sum");
    put_labels(out, tag, metric, (mb_slice){NULL, 0});
    mb_text_byte(out, ' ');
    mb_text_double(out, (double)mb__stat_load(&metric->histogram->sum) / 1000.0);
    mb_text_byte(out, '\n');
    put_series_name(out, tag);
    mb_text_c(out, "_count");
    put_labels(out, tag, metric, (mb_slice){NULL, 0});
    mb_text_byte(out, ' ');
    mb_text_u64(out, mb_metric_value(metric));
    mb_text_byte(out, '\n');
}

/* A metric on its way into the text. */
typedef struct series {
    tagged tag;
    const mb_metric *metric;
    uint32_t order;  /* of definition */
    uint32_t family; /* order of the first of its name */
} series;

static int compare_slices(mb_slice a, mb_slice b) {
    size_t shared = a.len < b.len ? a.len : b.len;
    int by_bytes = shared == 0 ? 0 : memcmp(a.ptr, b.ptr, shared);
    return by_bytes != 0 ? by_bytes : (a.len > b.len) - (a.len < b.len);
}

static int compare_names(const tagged *a, const tagged *b) {
    int by_tree = compare_slices(a->tree, b->tree);
    int by_rest = compare_slices(a->rest, b->rest);
    return by_tree != 0 ? by_tree : by_rest != 0 ? by_rest : a->code_is_class - b->code_is_class;
}

static int by_name(const void *left, const void *right) {
    const series *a = left, *b = right;
    int by_names = compare_names(&a->tag, &b->tag);
    return by_names != 0 ? by_names : (a->order > b->order) - (a->order < b->order);
}

static int by_family(const void *left, const void *right) {
    const series *a = left, *b = right;
    int by_head = (a->family > b->family) - (a->family < b->family);
    return by_head != 0 ? by_head : (a->order > b->order) - (a->order < b->order);
}

/* All series of one name stand together, as the format asks for, in order of definition. */
static void arrange(const mb_stats *stats, series *all, uint32_t count) {
    const mb_metric *it = mb_stats_first(stats);
    for (uint32_t i = 0; i < count; i++, it = mb_stats_next(it)) {
        all[i] = (series){.tag = take_apart(it->name), .metric = it, .order = i};
    }
    qsort(all, count, sizeof(*all), by_name);
    for (uint32_t i = 0; i < count; i++) {
        bool same = i > 0 && compare_names(&all[i].tag, &all[i - 1].tag) == 0;
        all[i].family = same ? all[i - 1].family : all[i].order;
    }
    qsort(all, count, sizeof(*all), by_family);
}

static void put_type(mb_text *out, const series *head) {
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    mb_text_c(out, "# TYPE ");
    put_series_name(out, &head->tag);
    mb_text_byte(out, ' ');
    mb_text_c(out, kinds[head->metric->kind]);
    mb_text_byte(out, '\n');
}

static void put_series(mb_text *out, const series *one) {
    if (one->metric->kind == MB_HISTOGRAM) {
        put_histogram_series(out, &one->tag, one->metric);
        return;
    }
    put_series_name(out, &one->tag);
    put_labels(out, &one->tag, one->metric, (mb_slice){NULL, 0});
    mb_text_byte(out, ' ');
    mb_text_u64(out, mb_metric_value(one->metric));
    mb_text_byte(out, '\n');
}

int mb_server_prometheus(mb_server *server, char **out, size_t *length) {
    mb_text text;
    begin(server, &text);
    const mb_stats *stats = server->worker.stats;
    uint32_t count = count_metrics(stats);
    series *all = mb_alloc(text.allocator, count * sizeof(*all));
    if (all == NULL) {
        text.status = MB_ENOMEM;
        return give_out(&text, out, length);
    }
    arrange(stats, all, count);
    const series *head = all;
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || all[i].family != head->family) {
            head = &all[i];
            put_type(&text, head);
        }
        if (all[i].metric->kind == head->metric->kind) { /* a family has one TYPE */
            put_series(&text, &all[i]);
        }
    }
    mb_free(text.allocator, all, count * sizeof(*all));
    return give_out(&text, out, length);
}
