/*
 * Routes: Envoy's route configuration as an immutable table: host -> virtual host -> first route
 * that matches -> action. Built once by config/, read by every request.
 *
 * Matching keeps first-match order and stays fast with thousands of routes: paths and prefixes
 * are indexed (route_index.c), and only candidates are compared.
 *
 * How config/ builds a table: fill the structs of this header in an arena, with `host` of every
 * route and `table` of every virtual host set; mb_route_table_add_domain for every domain;
 * mb_route_table_finish. Regular expressions are config/'s to free.
 *
 * Source: Envoy's route_components.proto; where it is silent, the answers of Envoy 1.40.
 */
#ifndef MB_ROUTE_ROUTE_H
#define MB_ROUTE_ROUTE_H

#include "base/regex.h"
#include "filter/format.h"
#include "filter/stream.h"

typedef struct mb_route mb_route;
typedef struct mb_virtual_host mb_virtual_host;
typedef struct mb_route_table mb_route_table;

typedef enum mb_path_match {
    MB_PATH_PREFIX,
    MB_PATH_EXACT,
    MB_PATH_SEPARATED,
    MB_PATH_REGEX,
    MB_PATH_CONNECT /* no path: the method is CONNECT (connect_matcher) */
} mb_path_match;

/* What upgrade_configs says of one kind of upgrade. */
typedef struct mb_upgrade {
    mb_slice type; /* "websocket", "CONNECT"; case does not matter */
    bool enabled;
    bool terminate; /* CONNECT: to the cluster as TCP, not as a CONNECT of ours (connect_config) */
} mb_upgrade;

/* A header or query parameter matcher. */
typedef enum mb_value_match {
    MB_MATCH_PRESENT,
    MB_MATCH_EXACT,
    MB_MATCH_PREFIX,
    MB_MATCH_SUFFIX,
    MB_MATCH_CONTAINS,
    MB_MATCH_REGEX,
    MB_MATCH_RANGE
} mb_value_match;

/* Several values of one name are matched one by one, not joined: one that matches is enough, and
 * with `invert` none may (as Envoy since CVE-2026-26308). */
typedef struct mb_matcher {
    mb_slice name; /* lower-case for headers, ":path" for a pseudo-header */
    mb_value_match kind;
    mb_slice text;
    mb_regex *regex;
    int64_t range_start, range_end; /* [start, end) */
    bool present, invert, ignore_case, missing_as_empty;
    uint32_t token;   /* of a known header; set by mb_route_table_finish */
    mb_pseudo pseudo; /* or MB_PSEUDO_COUNT; set by mb_route_table_finish */
} mb_matcher;

typedef enum mb_header_append {
    MB_APPEND_OR_ADD, /* APPEND_IF_EXISTS_OR_ADD */
    MB_ADD_IF_ABSENT,
    MB_OVERWRITE_OR_ADD, /* OVERWRITE_IF_EXISTS_OR_ADD */
    MB_OVERWRITE_IF_EXISTS
} mb_header_append;

typedef struct mb_header_option {
    mb_slice name;
    mb_format *value;
    mb_header_append append;
    bool keep_empty;
} mb_header_option;

/* What one level (weighted cluster, route, virtual host, table) does to headers. */
typedef struct mb_header_rules {
    mb_header_option *add[2]; /* by mb_direction */
    uint32_t add_count[2];
    mb_slice *remove[2];
    uint32_t remove_count[2];
} mb_header_rules;

typedef struct mb_weighted_cluster {
    mb_slice name;
    uint32_t weight;
    mb_header_rules rules;
    mb_slice host_rewrite; /* empty: none */
    const mb_chain_override *overrides;
} mb_weighted_cluster;

/* What the grpc-timeout of a request bounds. */
typedef enum mb_grpc_scope {
    MB_GRPC_SCOPE_NONE = 0, /* nothing here: it is the upstream's to mind */
    MB_GRPC_SCOPE_STREAM,   /* the stream: max_stream_duration.grpc_timeout_header_max */
    MB_GRPC_SCOPE_EXCHANGE  /* the exchange with the upstream: the older max_grpc_timeout */
} mb_grpc_scope;

typedef enum mb_action_kind {
    MB_ACTION_CLUSTER,
    MB_ACTION_REDIRECT,
    MB_ACTION_DIRECT
} mb_action_kind;

struct mb_route {
    mb_slice name;
    const mb_virtual_host *host;
    mb_path_match path_kind;
    mb_slice path;
    mb_regex *path_regex;
    bool case_sensitive;
    mb_matcher *headers, *query;
    uint32_t header_count, query_count;
    mb_action_kind action;
    /* cluster */
    mb_slice cluster;        /* empty: weighted or by header */
    mb_slice cluster_header; /* empty: none */
    mb_weighted_cluster *weighted;
    uint32_t weighted_count;
    uint32_t weight_total;           /* set by mb_route_table_finish */
    uint32_t cluster_not_found_code; /* 503 (default), 404 or 500 */
    mb_slice host_rewrite, host_rewrite_header;
    mb_slice host_substitution; /* of the path, by host_regex: the host */
    mb_regex *host_regex;
    bool auto_host_rewrite; /* the router's, once it has a host: mb_route_rewrite_host */
    bool append_x_forwarded_host;
    uint64_t timeout_us; /* 0: none */
    mb_grpc_scope grpc_scope;
    uint64_t grpc_max_us;            /* of a gRPC client's timeout; 0: as it asks */
    uint64_t grpc_offset_us;         /* taken off it */
    bool new_timeouts;               /* the route has max_stream_duration, instead of a timeout */
    uint64_t idle_timeout_us;        /* UINT64_MAX: the listener's */
    uint64_t max_stream_duration_us; /* UINT64_MAX: the listener's; 0: none */
    /* cluster and redirect */
    mb_slice prefix_rewrite, regex_substitution;
    mb_regex *regex_rewrite;
    /* redirect */
    bool https_redirect, strip_query;
    mb_slice scheme_redirect, host_redirect, path_redirect;
    uint16_t port_redirect; /* 0: as it came */
    uint32_t response_code; /* redirect and direct response */
    mb_slice body;          /* direct response */
    mb_upgrade *upgrades;   /* over those of the connection manager */
    uint32_t upgrade_count;
    mb_header_rules rules;
    const mb_chain_override *overrides; /* merged: this route over its virtual host; or NULL */
};

/* Who must come by https. */
typedef enum mb_tls_requirement {
    MB_REQUIRE_TLS_NONE,
    MB_REQUIRE_TLS_EXTERNAL_ONLY, /* all but internal requests */
    MB_REQUIRE_TLS_ALL
} mb_tls_requirement;

struct mb_virtual_host {
    mb_slice name;
    mb_route *routes;
    uint32_t route_count;
    mb_header_rules rules;
    mb_tls_requirement require_tls;
    mb_route https_route; /* for who comes in clear text although it is required: 301 to https */
    const mb_route_table *table;
    struct mb_route_index *index; /* route_index.c */
};

struct mb_route_table {
    mb_slice name;
    mb_virtual_host *hosts;
    uint32_t host_count;
    mb_header_rules rules;
    bool most_specific_wins;     /* most_specific_header_mutations_wins */
    bool ignore_port;            /* ignore_port_in_host_matching */
    struct mb_host_index *index; /* host_index.c: exact map, suffix and prefix wildcards, "*" */
};

/* Adds a domain of `host`: exact, "*.suffix" or "*-suffix", "prefix.*", "*". MB_OK, MB_ENOMEM,
 * or MB_EINVAL: taken already or malformed. */
int mb_route_table_add_domain(mb_arena *arena, mb_route_table *table, mb_virtual_host *host,
                              mb_slice domain);
/* Builds the indexes, after all routes are in place. MB_OK or MB_ENOMEM. */
int mb_route_table_finish(mb_arena *arena, mb_route_table *table);

/* The virtual host of an authority, or NULL. */
const mb_virtual_host *mb_route_host(const mb_route_table *table, mb_slice authority);
/* The route for a request, or NULL. `*host` (may be NULL) becomes the virtual host, or NULL.
 * Allocates nothing. */
const mb_route *mb_route_find(const mb_route_table *table, const mb_headers *request,
                              const mb_virtual_host **host);
/* What is said of an upgrade, or NULL. */
const mb_upgrade *mb_upgrade_find(const mb_upgrade *upgrades, uint32_t count, mb_slice type);
/* The cluster a route sends this request to; empty: none. `*weighted` (may be NULL) becomes the
 * choice that 64 bits of `random` make among weighted clusters, or NULL. */
mb_slice mb_route_cluster(const mb_route *route, const mb_headers *request, uint64_t random,
                          const mb_weighted_cluster **weighted);

/* Adds and removes request headers of all levels, then rewrites host and path; sets
 * `info.original_path`. With `envoy_headers` (not suppress_envoy_headers) the old host and path go
 * into x-envoy-original-host and x-envoy-original-path. A host or header value that comes out
 * malformed is left out. MB_OK, MB_ENOMEM, MB_ELIMIT (the path comes out longer than 256 KiB),
 * MB_EINVAL (it comes out malformed). */
int mb_route_finalize_request(const mb_route *route, const mb_weighted_cluster *weighted,
                              bool envoy_headers, mb_stream *stream);
/* Replaces `:authority` by `host`, minding append_x_forwarded_host; nothing when `host` is empty.
 * For auto_host_rewrite. MB_OK, MB_ENOMEM. */
int mb_route_rewrite_host(const mb_route *route, mb_slice host, bool envoy_headers,
                          mb_headers *request);
/* Adds and removes response headers of all levels. MB_OK, MB_ENOMEM. */
int mb_route_finalize_response(const mb_route *route, const mb_weighted_cluster *weighted,
                               mb_stream *stream);
/* The location of a redirect, in `arena`. Results as of mb_route_finalize_request. */
int mb_route_redirect_location(const mb_route *route, const mb_headers *request, mb_arena *arena,
                               mb_slice *out);

#endif
