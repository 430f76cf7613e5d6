/*
 * Statistics as msgpack and as Prometheus text. Dotted names are Envoy's; for Prometheus the parts
 * that name an instance (stat prefix, cluster, listener, response code) become Envoy's labels.
 * Source: Envoy, "Statistics", tag extraction rules.
 *
 * Thread: any; values are read one by one, so sums over metrics are not of one instant.
 */
#include "base/msgpack.h"
#include "base/slice.h"
#include "base/text.h"
#include "server/server_internal.h"
#include <string.h>

static void refresh(mb_server *server) {
    mb_slab_stats slabs;
    mb_slab_pool_stats(server->worker.slabs, &slabs);
    mb_metric_set(server->slab_leases, slabs.leases);
    mb_metric_set(server->loop_iterations, mb_loop_turns(server->worker.loop));
    mb_metric_set(server->bytes_copied, slabs.bytes_copied);
}

/* -- msgpack ----------------------------------------------------------------------------------- */

static void put_key(mb_text *out, const mb_metric *metric) {
    if (metric->label_count == 0) {
        mb_msgpack_put_str(out, metric->name);
        return;
    }
    char joined[512];
    size_t used = 0;
    mb_slice parts[3] = {metric->name, MB_SLICE_LIT("{"), {NULL, 0}};
    for (int i = 0; i < 2; i++) {
        size_t n = parts[i].len < sizeof(joined) - used ? parts[i].len : sizeof(joined) - used;
        memcpy(joined + used, parts[i].ptr, n);
        used += n;
    }
    for (uint32_t i = 0; i < metric->label_count; i++) {
        mb_slice pieces[4] = {metric->labels[i].name, MB_SLICE_LIT("="), metric->labels[i].value,
                              i + 1 < metric->label_count ? MB_SLICE_LIT(",") : MB_SLICE_LIT("}")};
        for (int j = 0; j < 4; j++) {
            size_t room = sizeof(joined) - used;
            size_t n = pieces[j].len < room ? pieces[j].len : room;
            memcpy(joined + used, pieces[j].ptr, n);
            used += n;
        }
    }
    mb_msgpack_put_str(out, (mb_slice){joined, used});
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

int mb_server_stats(mb_server *server, char **out, size_t *length) {
    mb_text text;
    mb_text_init(&text, server->allocator, SIZE_MAX);
    refresh(server);
    const mb_stats *stats = server->worker.stats;
    uint32_t count = 0;
    for (const mb_metric *it = mb_stats_first(stats); it != NULL; it = mb_stats_next(it)) {
        count++;
    }
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
    int rc = text.status < 0 ? text.status : mb__server_text_out(mb_text_view(&text), out);
    *length = text.len;
    mb_text_fini(&text);
    return rc;
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
                                         ".http.",       ".circuit_",  ".no_route",    ".lb_",
                                         ".rq_",         ".external.", ".internal.",   ".retry"};
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

static bool same_series(const tagged *a, const tagged *b) {
    return mb_slice_equal(a->tree, b->tree) && mb_slice_equal(a->rest, b->rest) &&
           a->code_is_class == b->code_is_class;
}

/* All series of one name stand together behind one TYPE line, as the format asks for. */
static void put_family(mb_text *out, const mb_stats *stats, const mb_metric *head) {
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    tagged family = take_apart(head->name);
    for (const mb_metric *it = mb_stats_first(stats); it != head; it = mb_stats_next(it)) {
        tagged other = take_apart(it->name);
        if (same_series(&family, &other)) {
            return; /* written with that one */
        }
    }
    mb_text_c(out, "# TYPE ");
    put_series_name(out, &family);
    mb_text_byte(out, ' ');
    mb_text_c(out, kinds[head->kind]);
    mb_text_byte(out, '\n');
    for (const mb_metric *it = head; it != NULL; it = mb_stats_next(it)) {
        tagged tag = take_apart(it->name);
        if (it->kind != head->kind || !same_series(&family, &tag)) {
            continue;
        }
        if (it->kind == MB_HISTOGRAM) {
            put_histogram_series(out, &tag, it);
            continue;
        }
        put_series_name(out, &tag);
        put_labels(out, &tag, it, (mb_slice){NULL, 0});
        mb_text_byte(out, ' ');
        mb_text_u64(out, mb_metric_value(it));
        mb_text_byte(out, '\n');
    }
}

int mb_server_prometheus(mb_server *server, char **out, size_t *length) {
    mb_text text;
    mb_text_init(&text, server->allocator, SIZE_MAX);
    refresh(server);
    const mb_stats *stats = server->worker.stats;
    for (const mb_metric *it = mb_stats_first(stats); it != NULL; it = mb_stats_next(it)) {
        put_family(&text, stats, it);
    }
    int rc = text.status < 0 ? text.status : mb__server_text_out(mb_text_view(&text), out);
    *length = text.len;
    mb_text_fini(&text);
    return rc;
}
