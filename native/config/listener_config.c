/*
 * Listeners and their filter chains. Source: moebridge.config.listener_model.
 */
#include "base/slice.h"
#include "config/build.h"

typedef struct chain_parts {
    mb_filter_chain_config chain;
    mb_doc match, tls, network_filters, hcm, tcp_proxy;
} chain_parts;

static const mb_doc_field chain_fields[] = {
    MB_DOC_FIELD("name", TEXT, chain_parts, chain.name),
    MB_DOC_FIELD("tls", NODE, chain_parts, tls),
    MB_DOC_FIELD("transport_connect_timeout_ms", MS, chain_parts,
                 chain.transport_connect_timeout_us),
    MB_DOC_FIELD("network_filters", NODE, chain_parts, network_filters),
    MB_DOC_FIELD("filter_chain_match", NODE, chain_parts, match),
    MB_DOC_FIELD("hcm", NODE, chain_parts, hcm),
    MB_DOC_FIELD("tcp_proxy", NODE, chain_parts, tcp_proxy),
};

/* The TLS context of the previous snapshot that has the same settings, or NULL: taken over, so that
 * a reload keeps the keys of session tickets. Borrowed. */
static mb_tls_context *kept_tls(const mb_snapshot *previous, uint64_t hash) {
    for (uint32_t i = 0; previous != NULL && i < previous->listener_count; i++) {
        const mb_listener_config *listener = &previous->listeners[i];
        for (uint32_t k = 0; k < mb_listener_config_chain_count(listener); k++) {
            const mb_filter_chain_config *chain = mb_listener_config_chain(listener, k);
            if (chain->tls != NULL && chain->tls_hash == hash) {
                return chain->tls;
            }
        }
    }
    return NULL;
}

static void read_tls(mb_builder *builder, const mb_doc *doc, mb_filter_chain_config *chain) {
    if (mb_doc_is_nil(doc) || doc->value.ptr == NULL) {
        return;
    }
    chain->tls_hash = mb_hash(doc->value, 0);
    mb_tls_context *kept = kept_tls(builder->previous, chain->tls_hash);
    chain->tls =
        kept != NULL ? mb__config_tls_share(builder, kept) : mb__config_tls(builder, doc, true);
}

static void read_hcm(mb_builder *builder, const mb_doc *doc, mb_filter_chain_config *chain) {
    mb_hcm_config *hcm = mb_doc_alloc(&builder->reader, 1, sizeof(*hcm));
    if (hcm != NULL) { /* read in place: its chain holds addresses of parts of it */
        chain->hcm = hcm;
        mb__config_hcm(builder, doc, hcm);
    }
}

/* `match`: of the listener; NULL for the default chain, whose own is not looked at. True: it is for
 * every connection. */
static bool read_chain(mb_builder *builder, const mb_doc *doc, mb_filter_chain_config *out,
                       mb_chain_match *match) {
    chain_parts found = {0};
    MB_DOC_READ(doc, chain_fields, &found);
    read_tls(builder, &found.tls, &found.chain);
    mb__config_network_chain(builder, &found.network_filters, &found.chain.network);
    bool has_hcm = !mb_doc_is_nil(&found.hcm);
    if (has_hcm == !mb_doc_is_nil(&found.tcp_proxy)) {
        mb_doc_fault(doc, "must have one of hcm and tcp_proxy");
    } else if (has_hcm) {
        read_hcm(builder, &found.hcm, &found.chain);
    } else {
        found.chain.tcp = mb_doc_alloc(&builder->reader, 1, sizeof(*found.chain.tcp));
        if (found.chain.tcp != NULL) {
            mb__config_tcp(builder, &found.tcp_proxy, found.chain.tcp);
        }
    }
    *out = found.chain;
    return mb__config_chain_match(builder, &found.match, out, match);
}

static void read_chains(mb_builder *builder, const mb_doc *doc, mb_listener_config *listener) {
    mb_doc_items items;
    mb_doc item;
    listener->match = mb__config_chain_match_new(builder);
    mb_filter_chain_config *chains = mb_doc_array(doc, &items, sizeof(*chains));
    bool for_all = false;
    while (mb_doc_next(&items, &item)) {
        for_all = read_chain(builder, &item, &chains[item.index], listener->match);
    }
    listener->sole_chain = items.count == 1 && for_all ? &chains[0] : NULL;
    listener->chains = chains;
    listener->chain_count = items.count;
}

static void read_default_chain(mb_builder *builder, const mb_doc *doc,
                               mb_listener_config *listener) {
    if (mb_doc_is_nil(doc)) {
        return;
    }
    listener->default_chain = mb_doc_alloc(&builder->reader, 1, sizeof(*listener->default_chain));
    if (listener->default_chain != NULL) {
        (void)read_chain(builder, doc, listener->default_chain, NULL);
    }
}

/* -- addresses ----------------------------------------------------------------------------- */

typedef struct address_parts {
    mb_listen_address listen;
    mb_slice host, path;
    uint16_t port;
    bool ipv4_compat;
} address_parts;

static const mb_doc_field address_fields[] = {
    MB_DOC_FIELD("host", TEXT, address_parts, host),
    MB_DOC_FIELD("port", U16, address_parts, port),
    MB_DOC_FIELD("path", TEXT, address_parts, path),
    MB_DOC_FIELD("mode", U32, address_parts, listen.mode, .max = 0777),
    MB_DOC_FIELD("ipv4_compat", BOOL, address_parts, ipv4_compat),
};

static void read_addresses(const mb_doc *doc, mb_listener_config *listener) {
    mb_doc_items items;
    mb_doc item;
    listener->addresses = mb_doc_array(doc, &items, sizeof(*listener->addresses));
    while (mb_doc_next(&items, &item)) {
        address_parts found = {0};
        MB_DOC_READ(&item, address_fields, &found);
        found.listen.v6_only = !found.ipv4_compat;
        if (found.path.len > 0) {
            if (mb_address_unix(found.path, &found.listen.address) != MB_OK) {
                mb_doc_fault_at(&item, "path", "is no path of a Unix socket");
            }
        } else if (mb_address_parse(found.host, found.port, &found.listen.address) != MB_OK) {
            mb_doc_fault_at(&item, "host", "is no IP address");
        }
        listener->addresses[item.index] = found.listen;
        listener->address_count = item.index + 1;
    }
    if (listener->address_count == 0) {
        mb_doc_fault(doc, "must not be empty");
    }
}

typedef struct option_parts {
    int64_t level, name, value;
    unsigned family, state;
} option_parts;

static const char *const families[] = {"any", "ipv4", "ipv6", NULL};
static const char *const states[] = {"prebind", "bound", "listening", NULL};

static const mb_doc_field option_fields[] = {
    MB_DOC_FIELD("level", I64, option_parts, level),
    MB_DOC_FIELD("name", I64, option_parts, name),
    MB_DOC_FIELD("value", I64, option_parts, value),
    MB_DOC_FIELD("family", ENUM, option_parts, family, .words = families),
    MB_DOC_FIELD("state", ENUM, option_parts, state, .words = states),
};

static void read_socket_options(const mb_doc *doc, mb_listener_options *out) {
    static const int known[] = {AF_UNSPEC, AF_INET, AF_INET6};
    mb_doc_items items;
    mb_doc item;
    mb_socket_option *options = mb_doc_array(doc, &items, sizeof(*options));
    out->socket_options = options;
    while (mb_doc_next(&items, &item)) {
        option_parts found = {0};
        MB_DOC_READ(&item, option_fields, &found);
        options[item.index] = (mb_socket_option){
            .level = (int)found.level,
            .name = (int)found.name,
            .value = (int)found.value,
            .family = known[found.family],
            .state = (mb_socket_state)found.state,
        };
        out->socket_option_count = item.index + 1;
    }
}

/* -- the listener -------------------------------------------------------------------------- */

typedef struct listener_parts {
    mb_listener_config listener;
    mb_doc addresses, socket_options, filter_chains, default_filter_chain, listener_filters;
} listener_parts;

#define PART(key, what, member, ...) MB_DOC_FIELD(key, what, listener_parts, member, __VA_ARGS__)

static const mb_doc_field listener_fields[] = {
    PART("name", CSTRING, listener.name, .min = 1),
    PART("addresses", NODE, addresses),
    PART("socket_options", NODE, socket_options),
    PART("bind_to_port", BOOL, listener.bind_to_port),
    PART("use_original_dst", BOOL, listener.use_original_dst),
    PART("filter_chains", NODE, filter_chains),
    PART("default_filter_chain", NODE, default_filter_chain),
    PART("listener_filters", NODE, listener_filters),
    PART("listener_filters_timeout_ms", MS, listener.filters_timeout_us),
    PART("continue_on_listener_filters_timeout", BOOL, listener.continue_on_filters_timeout),
    PART("reuse_port", BOOL, listener.options.reuse_port),
    PART("backlog", U32, listener.options.backlog, .min = 1, .max = INT32_MAX),
    PART("per_connection_buffer_limit_bytes", U32, listener.buffer_limit_bytes),
    PART("stat_prefix", TEXT, listener.stat_prefix),
    PART("max_connections", U32, listener.options.max_connections),
};

static void read_listener(mb_builder *builder, const mb_doc *doc, mb_listener_config *out) {
    listener_parts found = {0};
    MB_DOC_READ(doc, listener_fields, &found);
    mb_listener_config *listener = &found.listener;
    read_addresses(&found.addresses, listener);
    read_socket_options(&found.socket_options, &listener->options);
    mb__config_listener_filters(builder, &found.listener_filters, listener);
    read_chains(builder, &found.filter_chains, listener);
    read_default_chain(builder, &found.default_filter_chain, listener);
    if (listener->chain_count == 0 && listener->default_chain == NULL) {
        mb_doc_fault_at(doc, "filter_chains", "must not be empty");
    }
    *out = found.listener;
}

void mb__config_listeners(mb_builder *builder, const mb_doc *doc) {
    mb_doc_items items;
    mb_doc item;
    mb_listener_config *listeners = mb_doc_array(doc, &items, sizeof(*listeners));
    mb_snapshot *snapshot = builder->snapshot;
    snapshot->listeners = listeners;
    while (mb_doc_next(&items, &item)) {
        read_listener(builder, &item, &listeners[item.index]);
        mb_slice name = mb_slice_from_c(listeners[item.index].name);
        if (name.len > 0 && mb_snapshot_listener(snapshot, name) != NULL) {
            mb_doc_fault_at(&item, "name", "is that of another listener too");
        }
        snapshot->listener_count = item.index + 1;
    }
}
