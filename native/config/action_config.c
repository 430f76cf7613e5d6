/*
 * What a route does: forward, redirect, answer. Source: moebridge.config.route_model.
 */
#include "base/slice.h"
#include "config/build.h"
#include "http/chars.h"

/* -- forward: where to ------------------------------------------------------------------------ */

typedef struct target_parts {
    mb_weighted_cluster target;
    mb_doc headers, per_filter;
} target_parts;

static const mb_doc_field target_fields[] = {
    MB_DOC_FIELD("name", TEXT, target_parts, target.name, .min = 1),
    MB_DOC_FIELD("weight", U32, target_parts, target.weight),
    MB_DOC_FIELD("headers", NODE, target_parts, headers),
    MB_DOC_FIELD("per_filter", NODE, target_parts, per_filter),
    MB_DOC_FIELD("host_rewrite_literal", TEXT, target_parts, target.host_rewrite),
};

static bool has_rules(const mb_header_rules *rules) {
    return rules->add_count[MB_REQUEST] + rules->add_count[MB_RESPONSE] +
               rules->remove_count[MB_REQUEST] + rules->remove_count[MB_RESPONSE] >
           0;
}

static void read_targets(mb_builder *builder, const mb_doc *doc, const mb_chain_source *source,
                         const mb_config_level *up, mb_route *route) {
    mb_doc_items items;
    mb_doc item;
    uint64_t total = 0;
    mb_weighted_cluster *targets = mb_doc_array(doc, &items, sizeof(*targets));
    while (mb_doc_next(&items, &item)) {
        target_parts found = {0};
        mb_config_level level;
        MB_DOC_READ(&item, target_fields, &found);
        mb__config_header_rules(builder, &found.headers, &found.target.rules);
        mb__config_level(builder, source, &found.per_filter, up, &level);
        found.target.overrides = level.overrides;
        if (!mb_http_is_value(found.target.host_rewrite)) {
            mb_doc_fault_at(&item, "host_rewrite_literal", "can't be the value of a header");
        }
        targets[item.index] = found.target;
        total += found.target.weight;
    }
    if (items.count > 0 && (total == 0 || total > UINT32_MAX)) {
        mb_doc_fault(doc, "the sum of the weights must be from 1 to %u, it is %llu", UINT32_MAX,
                     (unsigned long long)total);
    }
    route->weighted = targets;
    route->weighted_count = items.count;
    /* One that changes nothing is a plain `cluster`. */
    if (items.count == 1 && targets[0].overrides == up->overrides &&
        targets[0].host_rewrite.len == 0 && !has_rules(&targets[0].rules)) {
        route->cluster = targets[0].name;
        route->weighted = NULL;
        route->weighted_count = 0;
    }
}

/* -- forward: how ---------------------------------------------------------------------------- */

typedef enum host_rewrite { HOST_LITERAL, HOST_HEADER, HOST_AUTO, HOST_REGEX } host_rewrite;

typedef struct host_parts {
    host_rewrite kind;
    mb_slice value;
    mb_doc regex;
} host_parts;

static const char *const host_words[] = {
    [HOST_LITERAL] = "literal",
    [HOST_HEADER] = "header",
    [HOST_AUTO] = "auto",
    [HOST_REGEX] = "path_regex",
    NULL,
};

static const mb_doc_field host_fields[] = {
    MB_DOC_FIELD("kind", ENUM, host_parts, kind, .words = host_words),
    MB_DOC_FIELD("value", TEXT, host_parts, value),
    MB_DOC_FIELD("regex", NODE, host_parts, regex),
};

static void read_host_rewrite(mb_builder *builder, const mb_doc *doc, mb_route *route) {
    host_parts found = {0};
    if (mb_doc_is_nil(doc)) {
        return;
    }
    MB_DOC_READ(doc, host_fields, &found);
    switch (found.kind) {
    case HOST_LITERAL:
        if (found.value.len == 0 || !mb_http_is_value(found.value)) {
            mb_doc_fault_at(doc, "value", "can't be the value of a header");
        }
        route->host_rewrite = found.value;
        break;
    case HOST_HEADER:
        if (found.value.len == 0) {
            mb_doc_fault_at(doc, "value", "must not be empty");
        }
        route->host_rewrite_header = found.value;
        break;
    case HOST_AUTO:
        route->auto_host_rewrite = true;
        break;
    case HOST_REGEX:
        mb__config_regex_rewrite(builder, &found.regex, &route->host_regex,
                                 &route->host_substitution);
        if (mb_doc_is_nil(&found.regex)) {
            mb_doc_fault_at(doc, "regex", "is missing");
        }
        break;
    }
}

typedef struct forward_parts {
    mb_route route;
    mb_doc targets, regex_rewrite, host_rewrite, upgrades;
} forward_parts;

static const char *const grpc_scope_words[] = {
    [MB_GRPC_SCOPE_NONE] = "none",
    [MB_GRPC_SCOPE_STREAM] = "stream",
    [MB_GRPC_SCOPE_EXCHANGE] = "exchange",
    NULL,
};

#define FORWARD(key, what, member, ...) MB_DOC_FIELD(key, what, forward_parts, member, __VA_ARGS__)

static const mb_doc_field forward_fields[] = {
    {.name = "kind", .kind = MB_DOC_IGNORED},
    FORWARD("targets", NODE, targets),
    FORWARD("upgrades", NODE, upgrades),
    FORWARD("cluster_header", ANY_HEADER, route.cluster_header),
    FORWARD("cluster_not_found_status", U32, route.cluster_not_found_code, .min = 404, .max = 503),
    FORWARD("prefix_rewrite", TEXT, route.prefix_rewrite),
    FORWARD("regex_rewrite", NODE, regex_rewrite),
    FORWARD("host_rewrite", NODE, host_rewrite),
    FORWARD("append_x_forwarded_host", BOOL, route.append_x_forwarded_host),
    FORWARD("timeout_ms", MS, route.timeout_us),
    FORWARD("idle_timeout_ms", MS, route.idle_timeout_us),
    FORWARD("max_stream_duration_ms", MS, route.max_stream_duration_us),
    FORWARD("new_timeouts", BOOL, route.new_timeouts),
    FORWARD("grpc_timeout_scope", ENUM, route.grpc_scope, .words = grpc_scope_words),
    FORWARD("grpc_timeout_max_ms", MS, route.grpc_max_us),
    FORWARD("grpc_timeout_offset_ms", MS, route.grpc_offset_us),
};

/* A rewritten path is a header value, whichever way it goes out. */
static void check_rewrites(const mb_doc *doc, const mb_route *route, mb_slice path) {
    if (!mb_http_is_value(route->prefix_rewrite)) {
        mb_doc_fault_at(doc, "prefix_rewrite", "can't be part of a path");
    }
    if (!mb_http_is_value(path)) {
        mb_doc_fault_at(doc, "path", "can't be a path");
    }
    int given = (route->prefix_rewrite.len > 0) + (route->regex_rewrite != NULL) + (path.len > 0);
    if (given > 1) {
        mb_doc_fault(doc, "has more than one rewrite of the path");
    }
}

static void read_forward(mb_builder *builder, const mb_doc *doc, const mb_chain_source *source,
                         const mb_config_level *level, mb_route *route) {
    forward_parts found = {.route = *route};
    MB_DOC_READ(doc, forward_fields, &found);
    *route = found.route;
    route->action = MB_ACTION_CLUSTER;
    read_targets(builder, &found.targets, source, level, route);
    bool has_target = route->cluster.len > 0 || route->weighted_count > 0;
    if (has_target == (route->cluster_header.len > 0)) {
        mb_doc_fault(doc, "needs either targets or cluster_header");
    }
    if (route->cluster_not_found_code != 503 && route->cluster_not_found_code != 500 &&
        route->cluster_not_found_code != 404 && route->cluster_not_found_code != 0) {
        mb_doc_fault_at(doc, "cluster_not_found_status", "must be 503, 500 or 404");
    }
    mb__config_regex_rewrite(builder, &found.regex_rewrite, &route->regex_rewrite,
                             &route->regex_substitution);
    read_host_rewrite(builder, &found.host_rewrite, route);
    check_rewrites(doc, route, (mb_slice){0});
    route->upgrades = mb__config_upgrades(&found.upgrades, &route->upgrade_count);
}

/* -- redirect, direct response ---------------------------------------------------------------- */

typedef struct redirect_parts {
    mb_route route;
    mb_doc regex_rewrite;
} redirect_parts;

#define REDIRECT(key, what, member, ...)                                                           \
    MB_DOC_FIELD(key, what, redirect_parts, member, __VA_ARGS__)

static const mb_doc_field redirect_fields[] = {
    {.name = "kind", .kind = MB_DOC_IGNORED},
    REDIRECT("status", U32, route.response_code, .min = 301, .max = 308),
    REDIRECT("scheme", TEXT, route.scheme_redirect),
    REDIRECT("host", TEXT, route.host_redirect),
    REDIRECT("port", U16, route.port_redirect),
    REDIRECT("path", TEXT, route.path_redirect),
    REDIRECT("prefix_rewrite", TEXT, route.prefix_rewrite),
    REDIRECT("regex_rewrite", NODE, regex_rewrite),
    REDIRECT("strip_query", BOOL, route.strip_query),
};

static void read_redirect(mb_builder *builder, const mb_doc *doc, mb_route *route) {
    redirect_parts found = {.route = *route};
    MB_DOC_READ(doc, redirect_fields, &found);
    *route = found.route;
    route->action = MB_ACTION_REDIRECT;
    if (route->response_code > 303 && route->response_code < 307) {
        mb_doc_fault_at(doc, "status", "must be 301, 302, 303, 307 or 308");
    }
    if (!mb_http_is_value(route->scheme_redirect)) {
        mb_doc_fault_at(doc, "scheme", "is no scheme");
    }
    if (!mb_http_is_value(route->host_redirect)) {
        mb_doc_fault_at(doc, "host", "is no host");
    }
    mb__config_regex_rewrite(builder, &found.regex_rewrite, &route->regex_rewrite,
                             &route->regex_substitution);
    check_rewrites(doc, route, route->path_redirect);
}

static const mb_doc_field direct_fields[] = {
    {.name = "kind", .kind = MB_DOC_IGNORED},
    MB_DOC_FIELD("status", U32, mb_route, response_code, .min = 200, .max = 599),
    MB_DOC_FIELD("body", TEXT, mb_route, body),
};

/* -- the union ------------------------------------------------------------------------------- */

void mb__config_action(mb_builder *builder, const mb_doc *doc, const mb_chain_source *source,
                       const mb_config_level *level, mb_route *route) {
    static const char *const words[] = {
        [MB_ACTION_CLUSTER] = "forward",
        [MB_ACTION_REDIRECT] = "redirect",
        [MB_ACTION_DIRECT] = "direct_response",
        NULL,
    };
    switch (mb_doc_union(doc, words)) {
    case MB_ACTION_CLUSTER:
        read_forward(builder, doc, source, level, route);
        break;
    case MB_ACTION_REDIRECT:
        read_redirect(builder, doc, route);
        break;
    case MB_ACTION_DIRECT:
        route->action = MB_ACTION_DIRECT;
        MB_DOC_READ(doc, direct_fields, route);
        break;
    default:
        break;
    }
}
