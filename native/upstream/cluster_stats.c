/*
 * Definition of a cluster's metrics: see cluster_stats.h.
 */
#include "upstream/cluster_stats.h"

#include "base/text.h"

#include <stdio.h>

typedef struct metric_row {
    mb_metric_kind kind;
    const char *name;
    size_t offset; /* of the handle in mb_cluster_stats */
} metric_row;

static const metric_row rows[] = {
#define MB_CLUSTER_METRIC_ROW(kind, name) {MB_##kind, #name, offsetof(mb_cluster_stats, name)},
    MB_CLUSTER_METRICS(MB_CLUSTER_METRIC_ROW)
#undef MB_CLUSTER_METRIC_ROW
        {MB_GAUGE, "circuit_breakers.default.cx_open", offsetof(mb_cluster_stats, cx_open)},
    {MB_GAUGE, "circuit_breakers.default.rq_pending_open",
     offsetof(mb_cluster_stats, rq_pending_open)},
    {MB_GAUGE, "circuit_breakers.default.rq_open", offsetof(mb_cluster_stats, rq_open)},
    {MB_GAUGE, "circuit_breakers.default.rq_retry_open", offsetof(mb_cluster_stats, rq_retry_open)},
};

/* `name` behind the prefix; `text` is the caller's, to be used for many. */
static int define(mb_stats *registry, mb_slice prefix, mb_text *text, mb_metric_kind kind,
                  const char *name, mb_metric **out) {
    mb_text_clear(text);
    mb_text_append(text, prefix);
    mb_text_c(text, name);
    if (text->status != MB_OK) {
        return text->status;
    }
    return mb_stats_define(registry, kind, mb_text_view(text), NULL, 0, out);
}

int mb_cluster_stats_define(mb_stats *registry, mb_slice prefix, mb_cluster_stats *out) {
    mb_text text;
    int rc = MB_OK;

    memset(out, 0, sizeof *out);
    out->registry = registry;
    out->prefix = prefix;
    mb_text_init(&text, registry->chunks.allocator, SIZE_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof *rows && rc == MB_OK; i++) {
        mb_metric **handle = (mb_metric **)(void *)((char *)out + rows[i].offset);

        rc = define(registry, prefix, &text, rows[i].kind, rows[i].name, handle);
    }
    mb_text_fini(&text);
    return rc;
}

static void define_status(mb_cluster_stats *stats, uint32_t status, mb_metric **handle) {
    mb_text text;
    char name[24];

    snprintf(name, sizeof name, "upstream_rq_%u", (unsigned)status);
    mb_text_init(&text, stats->registry->chunks.allocator, SIZE_MAX);
    (void)define(stats->registry, stats->prefix, &text, MB_COUNTER, name, handle);
    mb_text_fini(&text);
}

static mb_metric *of_class(const mb_cluster_stats *stats, uint32_t status) {
    mb_metric *const classes[] = {stats->upstream_rq_1xx, stats->upstream_rq_2xx,
                                  stats->upstream_rq_3xx, stats->upstream_rq_4xx,
                                  stats->upstream_rq_5xx};

    return classes[status / 100 - 1];
}

void mb_cluster_stats_count_status(mb_cluster_stats *stats, uint32_t status) {
    mb_metric **handle;

    mb_metric_inc(stats->upstream_rq_completed);
    if (status < MB_CLUSTER_STATUS_MIN || status > MB_CLUSTER_STATUS_MAX) {
        return;
    }
    mb_metric_inc(of_class(stats, status));
    handle = &stats->status[status - MB_CLUSTER_STATUS_MIN];
    if (*handle == NULL) {
        define_status(stats, status, handle);
    }
    if (*handle != NULL) { /* without memory for it, the class has counted it */
        mb_metric_inc(*handle);
    }
}
