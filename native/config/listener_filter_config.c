/*
 * Listener filters. Source: moebridge.config.listener_filter_model.
 */
#include "base/slice.h"
#include "config/build.h"
#include "net/client_hello.h"

/* -- statistics ---------------------------------------------------------------------------- */

#define PROXY(field) offsetof(mb_proxy_metrics, field)
#define TLS(field) offsetof(mb_tls_inspector_metrics, field)
#define HTTP(field) offsetof(mb_http_inspector_metrics, field)
#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const mb_stats_row proxy_rows[] = {
    {"not_found_disallowed", MB_COUNTER, PROXY(not_found_disallowed)},
    {"not_found_allowed", MB_COUNTER, PROXY(not_found_allowed)},
    {"versions.v1.found", MB_COUNTER, PROXY(found[0])},
    {"versions.v1.disallowed", MB_COUNTER, PROXY(disallowed[0])},
    {"versions.v1.error", MB_COUNTER, PROXY(error[0])},
    {"versions.v2.found", MB_COUNTER, PROXY(found[1])},
    {"versions.v2.disallowed", MB_COUNTER, PROXY(disallowed[1])},
    {"versions.v2.error", MB_COUNTER, PROXY(error[1])},
};

static const mb_stats_row tls_rows[] = {
    {"client_hello_too_large", MB_COUNTER, TLS(client_hello_too_large)},
    {"tls_found", MB_COUNTER, TLS(tls_found)},
    {"tls_not_found", MB_COUNTER, TLS(tls_not_found)},
    {"alpn_found", MB_COUNTER, TLS(alpn_found)},
    {"alpn_not_found", MB_COUNTER, TLS(alpn_not_found)},
    {"sni_found", MB_COUNTER, TLS(sni_found)},
    {"sni_not_found", MB_COUNTER, TLS(sni_not_found)},
    {"bytes_processed", MB_HISTOGRAM, TLS(bytes_processed)},
};

static const mb_stats_row http_rows[] = {
    {"read_error", MB_COUNTER, HTTP(read_error)},
    {"http_not_found", MB_COUNTER, HTTP(http_not_found)},
    {"http10_found", MB_COUNTER, HTTP(found[0])},
    {"http11_found", MB_COUNTER, HTTP(found[1])},
    {"http2_found", MB_COUNTER, HTTP(found[2])},
};

static void define(mb_builder *builder, const mb_doc *doc, const char *tree, mb_slice prefix,
                   const mb_stats_row *rows, size_t count, void *out) {
    int result = mb_stats_define_rows(builder->worker->stats, tree, prefix, rows, count, out);
    if (result == MB_ENOMEM) {
        builder->reader.status = MB_ENOMEM;
    } else if (result != MB_OK) {
        mb_doc_fault(doc, "its statistics have the names of other ones");
    }
}

/* -- each kind ----------------------------------------------------------------------------- */

typedef struct rule_parts {
    uint16_t type;
    mb_slice space, key;
} rule_parts;

static const mb_doc_field rule_fields[] = {
    MB_DOC_FIELD("tlv_type", U16, rule_parts, type, .max = 255),
    MB_DOC_FIELD("metadata_namespace", TEXT, rule_parts, space, .min = 1),
    MB_DOC_FIELD("key", TEXT, rule_parts, key, .min = 1),
};

static void read_rules(const mb_doc *doc, mb_proxy_protocol_config *out) {
    mb_doc_items items;
    mb_doc item;
    out->rules = mb_doc_array(doc, &items, sizeof(*out->rules));
    while (mb_doc_next(&items, &item)) {
        rule_parts found = {0};
        MB_DOC_READ(&item, rule_fields, &found);
        out->rules[item.index] =
            (mb_proxy_rule){.type = (uint8_t)found.type, .space = found.space, .key = found.key};
        out->rule_count = item.index + 1;
    }
}

static void read_pass_types(const mb_doc *doc, mb_proxy_protocol_config *out) {
    mb_doc_items items;
    mb_doc item;
    mb_doc_list(doc, &items);
    while (mb_doc_next(&items, &item)) {
        mb_msgpack at = mb_msgpack_read(item.value);
        uint64_t type;
        if (mb_msgpack_get_u64(&at, &type) != MB_OK || type > 255) {
            mb_doc_fault(&item, "must be 0 to 255");
            continue;
        }
        out->pass[type / 64] |= UINT64_C(1) << type % 64;
    }
}

typedef struct proxy_parts {
    bool allow_without, disallow_v1, disallow_v2, pass_all;
    mb_slice stat_prefix;
    mb_doc rules, pass_types;
} proxy_parts;

static const mb_doc_field proxy_fields[] = {
    MB_DOC_FIELD("kind", IGNORED, proxy_parts, rules),
    MB_DOC_FIELD("allow_requests_without_proxy_protocol", BOOL, proxy_parts, allow_without),
    MB_DOC_FIELD("disallow_v1", BOOL, proxy_parts, disallow_v1),
    MB_DOC_FIELD("disallow_v2", BOOL, proxy_parts, disallow_v2),
    MB_DOC_FIELD("rules", NODE, proxy_parts, rules),
    MB_DOC_FIELD("pass_through_all", BOOL, proxy_parts, pass_all),
    MB_DOC_FIELD("pass_through_types", NODE, proxy_parts, pass_types),
    MB_DOC_FIELD("stat_prefix", TEXT, proxy_parts, stat_prefix),
};

static void read_proxy(mb_builder *builder, const mb_doc *doc, mb_proxy_protocol_config *out) {
    proxy_parts found = {0};
    MB_DOC_READ(doc, proxy_fields, &found);
    out->allow_without = found.allow_without;
    out->disallowed[0] = found.disallow_v1;
    out->disallowed[1] = found.disallow_v2;
    out->pass_all = found.pass_all;
    read_rules(&found.rules, out);
    read_pass_types(&found.pass_types, out);
    define(builder, doc, "proxy_proto", found.stat_prefix, proxy_rows, COUNT(proxy_rows),
           &out->metrics);
}

typedef struct tls_parts {
    mb_tls_inspector_config tls;
    mb_doc kind;
} tls_parts;

static const mb_doc_field tls_fields[] = {
    MB_DOC_FIELD("kind", IGNORED, tls_parts, kind),
    MB_DOC_FIELD("max_client_hello_bytes", U32, tls_parts, tls.max_bytes, .min = 1,
                 .max = MB_CLIENT_HELLO_MAX_BYTES),
    MB_DOC_FIELD("close_connection_on_client_hello_parsing_errors", BOOL, tls_parts,
                 tls.close_on_error),
};

static void read_tls(mb_builder *builder, const mb_doc *doc, mb_tls_inspector_config *out) {
    tls_parts found = {.tls = *out};
    MB_DOC_READ(doc, tls_fields, &found);
    *out = found.tls;
    define(builder, doc, "tls_inspector", MB_SLICE_LIT(""), tls_rows, COUNT(tls_rows),
           &out->metrics);
}

typedef struct source_parts {
    mb_original_src_config source;
    mb_doc kind;
} source_parts;

static const mb_doc_field source_fields[] = {
    MB_DOC_FIELD("kind", IGNORED, source_parts, kind),
    MB_DOC_FIELD("bind_port", BOOL, source_parts, source.bind_port),
    MB_DOC_FIELD("mark", U32, source_parts, source.mark),
};

static const mb_doc_field no_fields[] = {
    MB_DOC_FIELD("kind", IGNORED, source_parts, kind),
};

static void read_filter(mb_builder *builder, const mb_doc *doc, mb_listener_filter_config *out) {
    static const char *const kinds[] = {"proxy_protocol", "tls_inspector", "http_inspector",
                                        "original_dst",   "original_src",  NULL};
    source_parts found = {0};
    int kind = mb_doc_union(doc, kinds);
    out->kind = (mb_listener_filter_kind)(kind < 0 ? 0 : kind);
    switch (kind) {
    case MB_PROXY_PROTOCOL:
        read_proxy(builder, doc, &out->proxy);
        break;
    case MB_TLS_INSPECTOR:
        read_tls(builder, doc, &out->tls);
        break;
    case MB_HTTP_INSPECTOR:
        MB_DOC_READ(doc, no_fields, &found);
        define(builder, doc, "http_inspector", MB_SLICE_LIT(""), http_rows, COUNT(http_rows),
               &out->http);
        break;
    case MB_ORIGINAL_DST:
        MB_DOC_READ(doc, no_fields, &found);
        break;
    case MB_ORIGINAL_SRC:
        MB_DOC_READ(doc, source_fields, &found);
        out->source = found.source;
        break;
    default:
        break;
    }
}

void mb__config_listener_filters(mb_builder *builder, const mb_doc *doc, mb_listener_config *out) {
    mb_doc_items items;
    mb_doc item;
    out->filters = mb_doc_array(doc, &items, sizeof(*out->filters));
    while (mb_doc_next(&items, &item)) {
        read_filter(builder, &item, &out->filters[item.index]);
        out->filter_count = item.index + 1;
    }
}
