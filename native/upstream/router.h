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

/* What the router needs from a configuration: `chain->terminal_config` of its chains. */
typedef struct mb_router_config {
    const mb_map *clusters; /* name -> mb_cluster*; owned by the snapshot */
    bool suppress_envoy_headers;
    mb_slice stat_prefix;
} mb_router_config;

extern const mb_terminal mb_router_terminal;

#endif
