/*
 * Route redirect: the location of a redirect, put together from the request and the route.
 *
 * The port of the request's authority goes when the route gives one, and when it was the default
 * port of a scheme that the redirect leaves; "as it came" is told by x-forwarded-proto, which
 * knows TLS that ended before us. A query of `path_redirect` replaces the request's and is never
 * stripped. Called by the router. Source: Envoy's RedirectAction; answers of Envoy 1.40.
 */
#include "filter/arena_text.h"
#include "http/chars.h"
#include "route/route_internal.h"

/* The authority without the port, where that must go. */
static mb_slice kept_host(const mb_route *route, const mb_headers *request, mb_slice scheme) {
    mb_slice host = mb_headers_pseudo(request, MB_PSEUDO_AUTHORITY);
    mb_slice came_by = mb_headers_value(request, MB_TOKEN_X_FORWARDED_PROTO);
    int64_t colon = mb_slice_rindex(host, ':');
    bool is_v6 = host.len > 0 && host.ptr[0] == '[';
    if (colon < 0 || (is_v6 && (colon == 0 || host.ptr[colon - 1] != ']'))) {
        return host;
    }
    mb_slice port = mb_slice_skip(host, (size_t)colon + 1);
    bool leaves = !mb_slice_equal(scheme, came_by);
    bool was_default =
        (mb_slice_equal(came_by, MB_SLICE_LIT("https")) &&
         mb_slice_equal(port, MB_SLICE_LIT("443"))) ||
        (mb_slice_equal(came_by, MB_SLICE_LIT("http")) && mb_slice_equal(port, MB_SLICE_LIT("80")));
    bool remove = route->port_redirect != 0 || (leaves && was_default);
    return remove ? mb_slice_take(host, (size_t)colon) : host;
}

static mb_slice query_of(mb_slice path) {
    int64_t at = mb_slice_index(path, '?');
    return at < 0 ? mb_slice_of("", 0) : mb_slice_skip(path, (size_t)at);
}

static int append_path(const mb_route *route, const mb_headers *request, mb_arena *arena,
                       mb_text *text) {
    mb_slice path = mb_headers_pseudo(request, MB_PSEUDO_PATH);
    mb_slice query = query_of(path);
    if (route->path_redirect.len > 0) {
        mb_text_append(text, route->path_redirect);
        if (query_of(route->path_redirect).len == 0 && !route->strip_query) {
            mb_text_append(text, query);
        }
        return MB_OK;
    }
    mb_slice rewritten;
    int status = mb__route_rewritten_path(route, path, arena, &rewritten);
    if (status != MB_OK) {
        return status;
    }
    /* A substitution that leaves nothing changes nothing, as Envoy's. */
    path = rewritten.len > query.len ? rewritten : path;
    if (route->strip_query) {
        path = mb_slice_take(path, path.len - query_of(path).len);
    }
    mb_text_append(text, path);
    return MB_OK;
}

int mb_route_redirect_location(const mb_route *route, const mb_headers *request, mb_arena *arena,
                               mb_slice *out) {
    mb_arena_text made;
    mb_slice scheme = mb_headers_pseudo(request, MB_PSEUDO_SCHEME);
    if (route->https_redirect) {
        scheme = MB_SLICE_LIT("https");
    } else if (route->scheme_redirect.len > 0) {
        scheme = route->scheme_redirect;
    }
    mb_arena_text_init(&made, arena, MB_ROUTE_PATH_BYTES_MAX);
    mb_text_append(&made.text, scheme);
    mb_text_c(&made.text, "://");
    mb_text_append(&made.text, route->host_redirect.len > 0 ? route->host_redirect
                                                            : kept_host(route, request, scheme));
    if (route->port_redirect != 0) {
        mb_text_byte(&made.text, ':');
        mb_text_u64(&made.text, route->port_redirect);
    }
    int status = append_path(route, request, arena, &made.text);
    if (status == MB_OK) {
        status = made.text.status;
    }
    if (status != MB_OK) {
        return status;
    }
    mb_slice location = mb_text_view(&made.text);
    if (!mb_http_is_value(location)) {
        return MB_EINVAL;
    }
    *out = location;
    return MB_OK;
}
