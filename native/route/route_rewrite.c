/*
 * Route rewriting: what a route changes in a request before it goes to the upstream, and in the
 * response before it goes to the client.
 *
 * Order: rules and host of the weighted cluster, rules of the other levels (they see the path as
 * it came), host of the route, path. Called by the router once a request, whatever the number of
 * attempts.
 *
 * Source: Envoy's RouteAction; answers of Envoy 1.40.
 */
#include "filter/arena_text.h"
#include "route/route_internal.h"

/* A value that a peer may have made malformed: then the header stays as it was. */
static int set_if_valid(mb_headers *headers, mb_slice name, mb_slice value) {
    return mb_headers_set(headers, name, value) == MB_ENOMEM ? MB_ENOMEM : MB_OK;
}

/* Appends `host` to x-forwarded-host, unless it is its last element. */
static int append_forwarded_host(mb_headers *request, mb_slice host) {
    mb_arena_text made;
    mb_slice value, rest, last = {NULL, 0};
    mb_slice name = mb_token_name(MB_TOKEN_X_FORWARDED_HOST);
    mb_arena_text_init(&made, request->arena, MB_ROUTE_PATH_BYTES_MAX);
    for (size_t i = 0; mb_headers_get(request, name, i, &value) > 0; i++) {
        mb_text_append(&made.text, value);
        mb_text_byte(&made.text, ',');
        for (rest = value; mb_slice_next_element(&rest, &last);) {
        }
    }
    if (mb_slice_equal(last, host)) {
        return MB_OK;
    }
    mb_text_append(&made.text, host);
    return made.text.status != MB_OK ? made.text.status
                                     : set_if_valid(request, name, mb_text_view(&made.text));
}

int mb_route_rewrite_host(const mb_route *route, mb_slice host, bool envoy_headers,
                          mb_headers *request) {
    mb_slice old = mb_headers_pseudo(request, MB_PSEUDO_AUTHORITY);
    if (host.len == 0) {
        return MB_OK;
    }
    int status = mb_headers_set(request, MB_SLICE_LIT(":authority"), host);
    if (status != MB_OK) {
        return status == MB_ENOMEM ? MB_ENOMEM : MB_OK;
    }
    if (envoy_headers && old.ptr != NULL) {
        status = mb_headers_set_token(request, MB_TOKEN_X_ENVOY_ORIGINAL_HOST, old);
    }
    if (status == MB_OK && route->append_x_forwarded_host && old.len > 0) {
        status = append_forwarded_host(request, old);
    }
    return status;
}

static int rewrite_host(const mb_route *route, bool envoy_headers, mb_headers *request) {
    mb_arena_text made;
    mb_slice host = route->host_rewrite;
    mb_arena_text_init(&made, request->arena, MB_ROUTE_PATH_BYTES_MAX);
    if (host.len == 0 && route->host_rewrite_header.len > 0) {
        mb_headers_get(request, route->host_rewrite_header, 0, &host);
    } else if (host.len == 0 && route->host_regex != NULL) {
        mb_slice path = mb__route_request(request).path;
        mb_regex_replace(route->host_regex, path, route->host_substitution, &made.text);
        host = mb_text_view(&made.text);
    }
    return made.text.status != MB_OK ? made.text.status
                                     : mb_route_rewrite_host(route, host, envoy_headers, request);
}

/* How much of the path the route's matcher matched: what prefix_rewrite replaces. */
static size_t matched_length(const mb_route *route, mb_slice path) {
    bool whole = route->path_kind == MB_PATH_EXACT || route->path_kind == MB_PATH_REGEX;
    return whole || route->path.len > path.len ? path.len : route->path.len;
}

int mb__route_rewritten_path(const mb_route *route, mb_slice path, mb_arena *arena, mb_slice *out) {
    mb_arena_text made;
    mb_slice plain, rest;
    size_t end = 0;
    while (end < path.len && path.ptr[end] != '?' && path.ptr[end] != '#') {
        end++;
    }
    plain = mb_slice_take(path, end);
    rest = mb_slice_skip(path, end);
    mb_arena_text_init(&made, arena, MB_ROUTE_PATH_BYTES_MAX);
    if (route->prefix_rewrite.len > 0) {
        mb_text_append(&made.text, route->prefix_rewrite);
        mb_text_append(&made.text, mb_slice_skip(plain, matched_length(route, plain)));
    } else if (route->regex_rewrite != NULL) {
        mb_regex_replace(route->regex_rewrite, plain, route->regex_substitution, &made.text);
    } else {
        *out = path;
        return MB_OK;
    }
    mb_text_append(&made.text, rest);
    if (made.text.status != MB_OK) {
        return made.text.status;
    }
    *out = mb_text_view(&made.text);
    return MB_OK;
}

static int rewrite_path(const mb_route *route, bool envoy_headers, mb_stream *stream) {
    mb_headers *request = &stream->headers[MB_REQUEST];
    mb_slice old = mb_headers_pseudo(request, MB_PSEUDO_PATH);
    mb_slice path;
    if (route->prefix_rewrite.len == 0 && route->regex_rewrite == NULL) {
        return MB_OK;
    }
    int status = mb__route_rewritten_path(route, old, &stream->arena, &path);
    if (status == MB_OK) {
        status = mb_headers_set(request, MB_SLICE_LIT(":path"), path);
    }
    if (status != MB_OK) {
        return status;
    }
    stream->info.original_path = old;
    return envoy_headers ? mb_headers_set_token(request, MB_TOKEN_X_ENVOY_ORIGINAL_PATH, old)
                         : MB_OK;
}

int mb_route_finalize_request(const mb_route *route, const mb_weighted_cluster *weighted,
                              bool envoy_headers, mb_stream *stream) {
    mb_headers *request = &stream->headers[MB_REQUEST];
    int status = MB_OK;
    if (weighted != NULL) {
        status = mb__header_rules_apply(&weighted->rules, MB_REQUEST, stream);
        if (status == MB_OK && weighted->host_rewrite.len > 0) {
            status = set_if_valid(request, MB_SLICE_LIT(":authority"), weighted->host_rewrite);
        }
    }
    if (status == MB_OK) {
        status = mb__header_rules_apply_levels(route, MB_REQUEST, stream);
    }
    if (status == MB_OK) {
        status = rewrite_host(route, envoy_headers, request);
    }
    return status != MB_OK ? status : rewrite_path(route, envoy_headers, stream);
}

int mb_route_finalize_response(const mb_route *route, const mb_weighted_cluster *weighted,
                               mb_stream *stream) {
    if (weighted != NULL) {
        int status = mb__header_rules_apply(&weighted->rules, MB_RESPONSE, stream);
        if (status != MB_OK) {
            return status;
        }
    }
    return mb__header_rules_apply_levels(route, MB_RESPONSE, stream);
}
