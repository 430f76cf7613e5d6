/*
 * Router: the terminal of a chain. Takes the request as the filters left it, picks cluster and
 * host, gets a connection out of the pool, sends, and hands the response to the chain. Redirects,
 * direct responses and all failures of the upstream become local replies with Envoy's status,
 * flags and details.
 */
#ifndef MB_UPSTREAM_ROUTER_H
#define MB_UPSTREAM_ROUTER_H

#include "route/route.h"
#include "upstream/cluster.h"

/* http.<stat_prefix>.*, Envoy's names. Handles may be NULL: not counted. */
typedef struct mb_router_stats {
    mb_metric *rq_total, *rq_redirect, *rq_direct_response, *no_route, *no_cluster;
    mb_metric *rq_reset_after_downstream_response_started;
} mb_router_stats;

/* What the router needs from a configuration: `chain->terminal_config` of its chains. */
typedef struct mb_router_config {
    const mb_map *clusters; /* name -> mb_cluster*; owned by the snapshot */
    bool suppress_envoy_headers;
    mb_slice stat_prefix;
    mb_router_stats stats; /* of mb_router_stats_define */
} mb_router_config;

/* MB_OK, MB_ENOMEM, MB_EINVAL. */
int mb_router_stats_define(mb_stats *registry, mb_slice stat_prefix, mb_router_stats *out);

extern const mb_terminal mb_router_terminal;

#endif
