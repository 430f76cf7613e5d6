/*
 * Stats: the registry. See stats.h; histograms are in histogram.c.
 *
 * A metric's memory is its registry's arena's: the struct, copies of name and labels, and the key
 * under which the map finds it, which is name and labels each behind its length.
 */
#include "base/stats.h"

#include "base/alloc.h"
#include "base/text.h"

void mb_stats_init(mb_stats *stats, const mb_allocator *allocator, uint64_t seed) {
    *stats = (mb_stats){0};
    mb_arena_pool_init(&stats->chunks, allocator, 0);
    mb_arena_init(&stats->arena, &stats->chunks);
    mb_map_init(&stats->by_key, allocator, seed);
}

void mb_stats_fini(mb_stats *stats) {
    mb_map_fini(&stats->by_key);
    mb_arena_clear(&stats->arena);
    mb_arena_pool_fini(&stats->chunks);
    stats->first = stats->last = NULL;
    stats->count = 0;
}

/* Lengths go before the bytes, so that different metrics never have the same key. */
static void key_part(mb_text *key, mb_slice part) {
    mb_text_u64(key, part.len);
    mb_text_byte(key, ':');
    mb_text_append(key, part);
}

static void build_key(mb_text *key, mb_slice name, const mb_header *labels, size_t label_count) {
    key_part(key, name);
    for (size_t i = 0; i < label_count; i++) {
        key_part(key, labels[i].name);
        key_part(key, labels[i].value);
    }
}

int mb_stats_define_rows(mb_stats *stats, const char *tree, mb_slice prefix,
                         const mb_stats_row *rows, size_t count, void *out) {
    mb_text name;
    int rc = MB_OK;

    mb_text_init(&name, stats->chunks.allocator, SIZE_MAX);
    for (size_t i = 0; i < count && rc == MB_OK; i++) {
        mb_text_clear(&name);
        mb_text_format(&name, "%s.%.*s%s%s", tree, MB_TEXT_ARG(prefix), prefix.len > 0 ? "." : "",
                       rows[i].name);
        rc = name.status < 0 ? name.status
                             : mb_stats_define(stats, rows[i].kind, mb_text_view(&name), NULL, 0,
                                               (mb_metric **)((char *)out + rows[i].offset));
    }
    mb_text_fini(&name);
    return rc;
}

mb_metric *mb_stats_find(const mb_stats *stats, mb_slice name, const mb_header *labels,
                         size_t label_count) {
    mb_text key;
    mb_text_init(&key, stats->chunks.allocator, SIZE_MAX);
    build_key(&key, name, labels, label_count);
    mb_metric *metric = key.status == MB_OK ? mb_map_get(&stats->by_key, mb_text_view(&key)) : NULL;
    mb_text_fini(&key);
    return metric;
}

/* A metric with its copies, in no list yet. NULL: out of memory. */
static mb_metric *metric_new(mb_stats *stats, mb_metric_kind kind, mb_slice name,
                             const mb_header *labels, size_t label_count) {
    mb_arena *arena = &stats->arena;
    mb_metric *metric = mb_arena_zalloc(arena, sizeof(*metric));
    mb_header *copies = mb_arena_zalloc(arena, label_count * sizeof(*copies));
    if (metric == NULL || copies == NULL || mb_arena_dup(arena, name, &metric->name) != MB_OK) {
        return NULL;
    }
    for (size_t i = 0; i < label_count; i++) {
        if (mb_arena_dup(arena, labels[i].name, &copies[i].name) != MB_OK ||
            mb_arena_dup(arena, labels[i].value, &copies[i].value) != MB_OK) {
            return NULL;
        }
    }
    if (kind == MB_HISTOGRAM) {
        metric->histogram = mb_arena_zalloc(arena, sizeof(*metric->histogram));
        if (metric->histogram == NULL) {
            return NULL;
        }
    }
    metric->kind = kind;
    metric->labels = copies;
    metric->label_count = (uint32_t)label_count;
    return metric;
}

static void link_metric(mb_stats *stats, mb_metric *metric) {
    /* Released so that a reader that follows the pointer sees the whole metric. */
    if (stats->last == NULL) {
        __atomic_store_n(&stats->first, metric, __ATOMIC_RELEASE);
    } else {
        __atomic_store_n(&stats->last->next, metric, __ATOMIC_RELEASE);
    }
    stats->last = metric;
    stats->count++;
}

static int define_new(mb_stats *stats, mb_metric_kind kind, mb_slice name, const mb_header *labels,
                      size_t label_count, mb_slice key, mb_metric **out) {
    /* What a failure leaves in the arena is freed with it. */
    mb_slice kept;
    mb_metric *metric = metric_new(stats, kind, name, labels, label_count);
    if (metric == NULL || mb_arena_dup(&stats->arena, key, &kept) != MB_OK ||
        mb_map_set(&stats->by_key, kept, metric, NULL) != MB_OK) {
        return MB_ENOMEM;
    }
    link_metric(stats, metric);
    *out = metric;
    return MB_OK;
}

int mb_stats_define(mb_stats *stats, mb_metric_kind kind, mb_slice name, const mb_header *labels,
                    size_t label_count, mb_metric **out) {
    if (name.len == 0 || label_count > UINT32_MAX) {
        return MB_EINVAL;
    }
    mb_text key;
    mb_text_init(&key, stats->chunks.allocator, SIZE_MAX);
    build_key(&key, name, labels, label_count);
    int result = key.status;
    if (result == MB_OK) {
        mb_slice view = mb_text_view(&key);
        mb_metric *metric = mb_map_get(&stats->by_key, view);
        if (metric == NULL) {
            result = define_new(stats, kind, name, labels, label_count, view, out);
        } else if (metric->kind == kind) {
            *out = metric;
        } else {
            result = MB_EINVAL;
        }
    }
    mb_text_fini(&key);
    return result;
}
