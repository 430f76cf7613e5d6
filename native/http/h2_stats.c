/*
 * See h2_stats.h.
 */
#include "http/h2_stats.h"

#include "base/text.h"

typedef struct stat_row {
    mb_metric_kind kind;
    const char *name;
    size_t handle; /* in mb_h2_stats */
    size_t count;  /* in mb_h2_counters */
} stat_row;

static const stat_row rows[] = {
#define COUNTER_ROW(name)                                                                          \
    {MB_COUNTER, #name, offsetof(mb_h2_stats, name), offsetof(mb_h2_counters, name)},
#define GAUGE_ROW(name)                                                                            \
    {MB_GAUGE, #name, offsetof(mb_h2_stats, name), offsetof(mb_h2_counters, name)},
    MB_H2_COUNTER_LIST(COUNTER_ROW) MB_H2_GAUGE_LIST(GAUGE_ROW)
#undef COUNTER_ROW
#undef GAUGE_ROW
};

#define ROWS (sizeof rows / sizeof *rows)

int mb_h2_stats_define(mb_stats *registry, mb_slice prefix, mb_h2_stats *out) {
    mb_text text;
    int rc = MB_OK;

    memset(out, 0, sizeof *out);
    mb_text_init(&text, registry->chunks.allocator, SIZE_MAX);
    for (size_t i = 0; i < ROWS && rc == MB_OK; i++) {
        mb_text_clear(&text);
        mb_text_append(&text, prefix);
        mb_text_c(&text, "http2.");
        mb_text_c(&text, rows[i].name);
        rc = text.status != MB_OK
                 ? text.status
                 : mb_stats_define(registry, rows[i].kind, mb_text_view(&text), NULL, 0,
                                   (mb_metric **)(void *)((char *)out + rows[i].handle));
    }
    mb_text_fini(&text);
    return rc;
}

void mb_h2_stats_publish(mb_h2_stats *stats, const mb_h2_counters *counters) {
    for (size_t i = 0; i < ROWS; i++) {
        mb_metric *metric = *(mb_metric **)(void *)((char *)stats + rows[i].handle);
        const uint64_t *now = (const void *)((const char *)counters + rows[i].count);
        uint64_t *before = (void *)((char *)&stats->published + rows[i].count);

        if (*now != *before) {
            mb_metric_add(metric, (int64_t)(*now - *before));
            *before = *now;
        }
    }
}
