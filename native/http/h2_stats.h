/*
 * Statistics of HTTP/2 under Envoy's names, `<prefix>http2.*`: what codecs have counted in an
 * mb_h2_counters, put into the registry from time to time (once a turn is plenty).
 *
 * A metric outlives those who count in it (a reload), so differences are added.
 */
#ifndef MB_HTTP_H2_STATS_H
#define MB_HTTP_H2_STATS_H

#include "base/stats.h"
#include "http/h2_counters.h"

typedef struct mb_h2_stats {
#define MB_H2_STATS_FIELD(name) mb_metric *name;
    MB_H2_COUNTER_LIST(MB_H2_STATS_FIELD)
    MB_H2_GAUGE_LIST(MB_H2_STATS_FIELD)
#undef MB_H2_STATS_FIELD
    mb_h2_counters published;
} mb_h2_stats;

/* `prefix`: "cluster.up."; empty for those of all clients. MB_OK, MB_ENOMEM, MB_EINVAL: a name is
 * of another kind. */
int mb_h2_stats_define(mb_stats *registry, mb_slice prefix, mb_h2_stats *out);
void mb_h2_stats_publish(mb_h2_stats *stats, const mb_h2_counters *counters);

#endif
