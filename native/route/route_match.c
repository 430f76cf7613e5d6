/*
 * Route matching: does one route match a request, and which route of a table does.
 *
 * Paths are compared without query and fragment. A header with several fields is matched field by
 * field: one that matches is enough, with `invert` none may. A missing header fails everything but
 * MB_MATCH_PRESENT, unless it is to be taken as empty. Query parameters are compared as they
 * stand, without decoding, by their first value.
 *
 * Called for every request; nothing here allocates. Source: Envoy's route_components.proto
 * (RouteMatch, HeaderMatcher, QueryParameterMatcher).
 */
#include "route/route_internal.h"

static bool equal(mb_slice a, mb_slice b, bool ignore_case) {
    return ignore_case ? mb_slice_equal_nocase(a, b) : mb_slice_equal(a, b);
}

static bool contains(mb_slice text, mb_slice part, bool ignore_case) {
    for (size_t at = 0; at + part.len <= text.len; at++) {
        if (equal(mb_slice_of(text.ptr + at, part.len), part, ignore_case)) {
            return true;
        }
    }
    return false;
}

/* A decimal int64 with an optional sign; white space around it is allowed. */
static bool in_range(const mb_matcher *matcher, mb_slice text) {
    text = mb_slice_trim_ows(text);
    bool negative = text.len > 0 && text.ptr[0] == '-';
    if (negative || (text.len > 0 && text.ptr[0] == '+')) {
        text = mb_slice_skip(text, 1);
    }
    uint64_t magnitude;
    if (mb_slice_parse_u64(text, &magnitude) != MB_OK ||
        magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return false;
    }
    int64_t value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return value >= matcher->range_start && value < matcher->range_end;
}

static bool value_matches(const mb_matcher *matcher, mb_slice value) {
    bool ignore_case = matcher->ignore_case;
    switch (matcher->kind) {
    case MB_MATCH_PRESENT:
        return matcher->present;
    case MB_MATCH_EXACT:
        return equal(value, matcher->text, ignore_case);
    case MB_MATCH_PREFIX:
        return ignore_case ? mb_slice_starts_with_nocase(value, matcher->text)
                           : mb_slice_starts_with(value, matcher->text);
    case MB_MATCH_SUFFIX:
        return ignore_case ? mb_slice_ends_with_nocase(value, matcher->text)
                           : mb_slice_ends_with(value, matcher->text);
    case MB_MATCH_CONTAINS:
        return contains(value, matcher->text, ignore_case);
    case MB_MATCH_REGEX:
        return mb_regex_match(matcher->regex, value);
    case MB_MATCH_RANGE:
        return in_range(matcher, value);
    }
    return false;
}

/* Whether any value of a header matches; `*present`: there is one. */
static bool any_value_matches(const mb_matcher *matcher, const mb_headers *headers, bool *present) {
    if (matcher->pseudo != MB_PSEUDO_COUNT) {
        mb_slice value = mb_headers_pseudo(headers, matcher->pseudo);
        *present = value.ptr != NULL;
        return *present && value_matches(matcher, value);
    }
    if (matcher->token != MB_TOKEN_NONE) {
        uint32_t at = headers->first[matcher->token];
        *present = at != 0;
        for (; at != 0; at = headers->fields[at - 1].next) {
            if (value_matches(matcher, headers->fields[at - 1].value)) {
                return true;
            }
        }
        return false;
    }
    for (uint32_t i = 0; i < headers->count; i++) {
        const mb_field *field = &headers->fields[i];
        if (field->token == MB_TOKEN_NONE && mb_slice_equal(field->name, matcher->name)) {
            *present = true;
            if (value_matches(matcher, field->value)) {
                return true;
            }
        }
    }
    return false;
}

static bool header_matches(const mb_matcher *matcher, const mb_headers *headers) {
    bool present = false;
    bool matches = any_value_matches(matcher, headers, &present);
    if (!present && matcher->missing_as_empty) {
        present = true;
        matches = value_matches(matcher, mb_slice_of("", 0));
    }
    if (!present) {
        return matcher->kind == MB_MATCH_PRESENT && matcher->present == matcher->invert;
    }
    return matches != matcher->invert;
}

static bool find_parameter(mb_slice query, mb_slice name, mb_slice *value) {
    while (query.len > 0) {
        mb_slice parameter, key;
        mb_slice_split(query, '&', &parameter, &query);
        mb_slice_split(parameter, '=', &key, value);
        if (parameter.len > 0 && mb_slice_equal(key, name)) {
            return true;
        }
    }
    return false;
}

static bool parameter_matches(const mb_matcher *matcher, mb_slice query) {
    mb_slice value;
    bool present = find_parameter(query, matcher->name, &value);
    if (matcher->kind == MB_MATCH_PRESENT) {
        return present == matcher->present;
    }
    return present && value_matches(matcher, value);
}

static bool path_matches(const mb_route *route, const mb_route_request *request) {
    bool ignore_case = !route->case_sensitive;
    mb_slice path = request->path;
    if (route->path_kind == MB_PATH_CONNECT) {
        return mb_slice_equal(mb_headers_pseudo(request->headers, MB_PSEUDO_METHOD),
                              MB_SLICE_LIT("CONNECT"));
    }
    if (route->path_kind == MB_PATH_REGEX) {
        return mb_regex_match(route->path_regex, path);
    }
    if (route->path_kind == MB_PATH_EXACT) {
        return equal(path, route->path, ignore_case);
    }
    if (path.len < route->path.len ||
        !equal(mb_slice_take(path, route->path.len), route->path, ignore_case)) {
        return false;
    }
    return route->path_kind == MB_PATH_PREFIX || path.len == route->path.len ||
           path.ptr[route->path.len] == '/';
}

bool mb__route_matches(const mb_route *route, const mb_route_request *request) {
    if (!path_matches(route, request)) {
        return false;
    }
    for (uint32_t i = 0; i < route->header_count; i++) {
        if (!header_matches(&route->headers[i], request->headers)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < route->query_count; i++) {
        if (!parameter_matches(&route->query[i], request->query)) {
            return false;
        }
    }
    return true;
}

const mb_upgrade *mb_upgrade_find(const mb_upgrade *upgrades, uint32_t count, mb_slice type) {
    for (uint32_t i = 0; i < count; i++) {
        if (mb_slice_equal_nocase(upgrades[i].type, type)) {
            return &upgrades[i];
        }
    }
    return NULL;
}

mb_route_request mb__route_request(const mb_headers *headers) {
    mb_route_request request = {.headers = headers};
    mb_slice fragment;
    mb_slice_split(mb_headers_pseudo(headers, MB_PSEUDO_PATH), '#', &request.path, &fragment);
    mb_slice_split(request.path, '?', &request.path, &request.query);
    return request;
}

void mb__route_prepare(mb_route *route) {
    for (uint32_t i = 0; i < route->header_count; i++) {
        mb_matcher *matcher = &route->headers[i];
        matcher->pseudo = mb_pseudo_find(matcher->name);
        matcher->token = mb_token_find(matcher->name);
    }
    route->weight_total = 0;
    for (uint32_t i = 0; i < route->weighted_count; i++) {
        route->weight_total += route->weighted[i].weight;
    }
}

int mb_route_table_finish(mb_arena *arena, mb_route_table *table) {
    for (uint32_t i = 0; i < table->host_count; i++) {
        mb_virtual_host *host = &table->hosts[i];
        for (uint32_t j = 0; j < host->route_count; j++) {
            mb__route_prepare(&host->routes[j]);
        }
        if (mb__route_index_build(arena, host) != MB_OK) {
            return MB_ENOMEM;
        }
    }
    return MB_OK;
}

/* x-forwarded-proto says how the client came, also where TLS ended in front of us. */
static bool lacks_tls(const mb_virtual_host *host, const mb_headers *request) {
    if (mb_slice_equal_nocase(mb_headers_value(request, MB_TOKEN_X_FORWARDED_PROTO),
                              MB_SLICE_LIT("https"))) {
        return false;
    }
    return host->require_tls == MB_REQUIRE_TLS_ALL ||
           !mb_slice_equal(mb_headers_value(request, MB_TOKEN_X_ENVOY_INTERNAL),
                           MB_SLICE_LIT("true"));
}

const mb_route *mb_route_find(const mb_route_table *table, const mb_headers *request,
                              const mb_virtual_host **host) {
    mb_slice authority = mb_headers_pseudo(request, MB_PSEUDO_AUTHORITY);
    const mb_virtual_host *found = mb_route_host(table, authority);
    if (host != NULL) {
        *host = found;
    }
    if (found == NULL) {
        return NULL;
    }
    if (found->require_tls != MB_REQUIRE_TLS_NONE && lacks_tls(found, request)) {
        return &found->https_route;
    }
    mb_route_request view = mb__route_request(request);
    return mb__route_index_find(found, &view);
}

mb_slice mb_route_cluster(const mb_route *route, const mb_headers *request, uint64_t random,
                          const mb_weighted_cluster **weighted) {
    const mb_weighted_cluster *chosen = NULL;
    mb_slice name = route->cluster;
    if (route->weighted_count > 0 && route->weight_total > 0) {
        uint64_t point = random % route->weight_total;
        chosen = route->weighted;
        while (point >= chosen->weight) {
            point -= chosen->weight;
            chosen++;
        }
        name = chosen->name;
    } else if (route->cluster_header.len > 0) {
        name = mb_slice_of("", 0);
        mb_headers_get(request, route->cluster_header, 0, &name);
    }
    if (weighted != NULL) {
        *weighted = chosen;
    }
    return name;
}
