/*
 * What the files of route/ share and nobody else needs.
 */
#ifndef MB_ROUTE_ROUTE_INTERNAL_H
#define MB_ROUTE_ROUTE_INTERNAL_H

#include "base/slice.h"
#include "route/route.h"

/* Longest path that a rewrite may make. */
#define MB_ROUTE_PATH_BYTES_MAX (256 * 1024)

/* A request as the matchers of one look-up see it. */
typedef struct mb_route_request {
    const mb_headers *headers;
    mb_slice path;  /* without query */
    mb_slice query; /* behind the '?', empty when there is none */
} mb_route_request;

/* route_match.c */
mb_route_request mb__route_request(const mb_headers *headers);
/* Whether all of a route matches: path, headers, query parameters. */
bool mb__route_matches(const mb_route *route, const mb_route_request *request);

/* route_index.c */
int mb__route_index_build(mb_arena *arena, mb_virtual_host *host);
const mb_route *mb__route_index_find(const mb_virtual_host *host, const mb_route_request *request);

/* header_rules.c. Each changes the stream's headers of one direction; MB_OK or MB_ENOMEM. */
int mb__header_rules_apply(const mb_header_rules *rules, mb_direction direction, mb_stream *stream);
/* Route, virtual host and table, in the order that the table asks for. */
int mb__header_rules_apply_levels(const mb_route *route, mb_direction direction, mb_stream *stream);

/* route_rewrite.c */
/* A path with query after prefix_rewrite or regex_rewrite, in `arena`; `path` itself when the
 * route has neither. MB_OK, MB_ENOMEM, MB_ELIMIT. */
int mb__route_rewritten_path(const mb_route *route, mb_slice path, mb_arena *arena, mb_slice *out);

#endif
