/*
 * Route configuration: table, virtual hosts, routes and what they match. Actions are in
 * action_config.c. Source: moebridge.config.route_model.
 */
#include "base/slice.h"
#include "config/build.h"

/* What table, virtual host and route have alike. */
typedef struct level_parts {
    mb_doc headers, per_filter, metadata;
} level_parts;

/* Namespaces of metadata are maps. Nobody in the core reads it yet. */
static void check_metadata(const mb_doc *doc) {
    mb_doc_items spaces, entries;
    mb_doc space;
    mb_doc_map(doc, &spaces);
    while (mb_doc_next(&spaces, &space)) {
        mb_doc_map(&space, &entries);
    }
}

static void read_level(mb_builder *builder, const mb_chain_source *source, const level_parts *parts,
                       const mb_config_level *up, mb_config_level *level, mb_header_rules *rules) {
    mb__config_header_rules(builder, &parts->headers, rules);
    mb__config_level(builder, source, &parts->per_filter, up, level);
    check_metadata(&parts->metadata);
}

/* -- routes ---------------------------------------------------------------------------------- */

typedef struct path_parts {
    mb_path_match kind;
    mb_slice value;
    bool case_sensitive;
} path_parts;

static const char *const path_words[] = {
    [MB_PATH_PREFIX] = "prefix",
    [MB_PATH_EXACT] = "path",
    [MB_PATH_SEPARATED] = "path_separated_prefix",
    [MB_PATH_REGEX] = "safe_regex",
    [MB_PATH_CONNECT] = "connect",
    NULL,
};

static const mb_doc_field path_fields[] = {
    MB_DOC_FIELD("kind", ENUM, path_parts, kind, .words = path_words),
    MB_DOC_FIELD("value", TEXT, path_parts, value),
    MB_DOC_FIELD("case_sensitive", BOOL, path_parts, case_sensitive),
};

typedef struct match_parts {
    mb_doc path, headers, query_parameters;
} match_parts;

static const mb_doc_field match_fields[] = {
    MB_DOC_FIELD("path", NODE, match_parts, path),
    MB_DOC_FIELD("headers", NODE, match_parts, headers),
    MB_DOC_FIELD("query_parameters", NODE, match_parts, query_parameters),
};

static void read_match(mb_builder *builder, const mb_doc *doc, mb_route *route) {
    match_parts found = {0};
    path_parts path = {0};
    MB_DOC_READ(doc, match_fields, &found);
    MB_DOC_READ(&found.path, path_fields, &path);
    route->path_kind = path.kind;
    route->path = path.value;
    route->case_sensitive = path.case_sensitive;
    if (path.kind == MB_PATH_REGEX) {
        mb_doc value = {.reader = doc->reader, .up = &found.path, .name = MB_SLICE_LIT("value")};
        route->path_regex = mb__config_regex(builder, &value, path.value);
    }
    route->headers = mb__config_header_matchers(builder, &found.headers, &route->header_count);
    route->query = mb__config_query_matchers(builder, &found.query_parameters, &route->query_count);
}

typedef struct route_parts {
    mb_slice name;
    mb_doc match, action;
    level_parts level;
} route_parts;

static const mb_doc_field route_fields[] = {
    MB_DOC_FIELD("match", NODE, route_parts, match),
    MB_DOC_FIELD("action", NODE, route_parts, action),
    MB_DOC_FIELD("name", TEXT, route_parts, name),
    MB_DOC_FIELD("headers", NODE, route_parts, level.headers),
    MB_DOC_FIELD("per_filter", NODE, route_parts, level.per_filter),
    MB_DOC_FIELD("metadata", NODE, route_parts, level.metadata),
};

static void read_route(mb_builder *builder, const mb_doc *doc, const mb_chain_source *source,
                       const mb_config_level *up, mb_route *route) {
    route_parts found = {0};
    mb_config_level level;
    MB_DOC_READ(doc, route_fields, &found);
    route->name = found.name;
    read_match(builder, &found.match, route);
    read_level(builder, source, &found.level, up, &level, &route->rules);
    route->overrides = level.overrides;
    mb__config_action(builder, &found.action, source, &level, route);
}

/* -- virtual hosts --------------------------------------------------------------------------- */

typedef struct host_parts {
    mb_slice name;
    mb_tls_requirement require_tls;
    mb_doc domains, routes;
    level_parts level;
} host_parts;

static const char *const requirement_words[] = {
    [MB_REQUIRE_TLS_NONE] = "none",
    [MB_REQUIRE_TLS_EXTERNAL_ONLY] = "external_only",
    [MB_REQUIRE_TLS_ALL] = "all",
    NULL,
};

static const mb_doc_field host_fields[] = {
    MB_DOC_FIELD("name", TEXT, host_parts, name, .min = 1),
    MB_DOC_FIELD("domains", NODE, host_parts, domains),
    MB_DOC_FIELD("require_tls", ENUM, host_parts, require_tls, .words = requirement_words),
    MB_DOC_FIELD("routes", NODE, host_parts, routes),
    MB_DOC_FIELD("headers", NODE, host_parts, level.headers),
    MB_DOC_FIELD("per_filter", NODE, host_parts, level.per_filter),
    MB_DOC_FIELD("metadata", NODE, host_parts, level.metadata),
};

static void read_domains(mb_builder *builder, const mb_doc *doc, mb_route_table *table,
                         mb_virtual_host *host) {
    mb_doc_items items;
    mb_doc item;
    mb_doc_list(doc, &items);
    if (items.count == 0 && doc->value.ptr != NULL) {
        mb_doc_fault(doc, "must not be empty");
    }
    while (mb_doc_next(&items, &item)) {
        mb_slice domain = mb_doc_text(&item);
        if (domain.len == 0) {
            continue;
        }
        int result = mb_route_table_add_domain(builder->reader.arena, table, host, domain);
        if (result == MB_ENOMEM) {
            builder->reader.status = MB_ENOMEM;
        } else if (result != MB_OK) {
            mb_doc_fault(&item, "is malformed, or a domain of another place too");
        }
    }
}

static void read_host(mb_builder *builder, const mb_doc *doc, const mb_chain_source *source,
                      const mb_config_level *up, mb_route_table *table, mb_virtual_host *host) {
    host_parts found = {0};
    mb_config_level level;
    mb_doc_items items;
    mb_doc item;
    MB_DOC_READ(doc, host_fields, &found);
    host->name = found.name;
    host->table = table;
    host->require_tls = found.require_tls;
    host->https_route = (mb_route){.host = host,
                                   .action = MB_ACTION_REDIRECT,
                                   .https_redirect = true,
                                   .response_code = 301,
                                   .idle_timeout_us = UINT64_MAX,
                                   .max_stream_duration_us = UINT64_MAX};
    read_domains(builder, &found.domains, table, host);
    read_level(builder, source, &found.level, up, &level, &host->rules);
    mb_route *routes = mb_doc_array(&found.routes, &items, sizeof(*routes));
    while (mb_doc_next(&items, &item)) {
        routes[item.index].host = host;
        read_route(builder, &item, source, &level, &routes[item.index]);
    }
    host->routes = routes;
    host->route_count = items.count;
}

/* -- the table ------------------------------------------------------------------------------- */

typedef struct table_parts {
    mb_route_table table;
    mb_doc virtual_hosts;
    level_parts level;
} table_parts;

static const mb_doc_field table_fields[] = {
    MB_DOC_FIELD("name", TEXT, table_parts, table.name),
    MB_DOC_FIELD("virtual_hosts", NODE, table_parts, virtual_hosts),
    MB_DOC_FIELD("headers", NODE, table_parts, level.headers),
    MB_DOC_FIELD("per_filter", NODE, table_parts, level.per_filter),
    MB_DOC_FIELD("metadata", NODE, table_parts, level.metadata),
    MB_DOC_FIELD("most_specific_header_mutations_wins", BOOL, table_parts,
                 table.most_specific_wins),
    MB_DOC_FIELD("ignore_port_in_host_matching", BOOL, table_parts, table.ignore_port),
};

mb_route_table *mb__config_routes(mb_builder *builder, const mb_doc *doc,
                                  const mb_chain_source *source) {
    table_parts found = {0};
    mb_config_level level;
    mb_doc_items items;
    mb_doc item;
    mb_route_table *table = mb_doc_alloc(&builder->reader, 1, sizeof(*table));
    if (table == NULL) {
        return NULL;
    }
    MB_DOC_READ(doc, table_fields, &found);
    *table = found.table;
    read_level(builder, source, &found.level, NULL, &level, &table->rules);
    table->hosts = mb_doc_array(&found.virtual_hosts, &items, sizeof(*table->hosts));
    table->host_count = items.count;
    while (mb_doc_next(&items, &item)) {
        read_host(builder, &item, source, &level, table, &table->hosts[item.index]);
    }
    /* Only a table without faults is sound enough for an index. */
    if (builder->reader.status == MB_OK &&
        mb_route_table_finish(builder->reader.arena, table) != MB_OK) {
        builder->reader.status = MB_ENOMEM;
    }
    return table;
}
