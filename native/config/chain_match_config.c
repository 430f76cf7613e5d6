/*
 * What filter chains ask for (FilterChainMatch), and the match of a listener that is made of it.
 * Source: moebridge.config.listener_model.
 */
#include "base/slice.h"
#include "config/build.h"

typedef struct cidr_parts {
    mb_slice address;
    uint32_t prefix_len;
} cidr_parts;

static const mb_doc_field cidr_fields[] = {
    MB_DOC_FIELD("address", TEXT, cidr_parts, address, .min = 1),
    MB_DOC_FIELD("prefix_len", U32, cidr_parts, prefix_len),
};

static const mb_cidr *read_ranges(const mb_doc *doc, uint32_t *count) {
    mb_doc_items items;
    mb_doc item;
    mb_cidr *ranges = mb_doc_array(doc, &items, sizeof(*ranges));
    while (mb_doc_next(&items, &item)) {
        cidr_parts found = {0};
        MB_DOC_READ(&item, cidr_fields, &found);
        if (found.address.len > 0 &&
            mb_cidr_parse(found.address, found.prefix_len, &ranges[item.index]) != MB_OK) {
            mb_doc_fault_at(&item, "address", "is no IP address");
        }
        *count = item.index + 1;
    }
    return ranges;
}

static const mb_slice *read_texts(const mb_doc *doc, uint32_t *count) {
    mb_doc_items items;
    mb_doc item;
    mb_slice *texts = mb_doc_array(doc, &items, sizeof(*texts));
    while (mb_doc_next(&items, &item)) {
        texts[item.index] = mb_doc_text(&item);
        if (texts[item.index].len == 0) {
            mb_doc_fault(&item, "must not be empty");
        }
        *count = item.index + 1;
    }
    return texts;
}

static const uint16_t *read_ports(const mb_doc *doc, uint32_t *count) {
    mb_doc_items items;
    mb_doc item;
    uint16_t *ports = mb_doc_array(doc, &items, sizeof(*ports));
    while (mb_doc_next(&items, &item)) {
        mb_msgpack at = mb_msgpack_read(item.value);
        uint64_t port;
        if (mb_msgpack_get_u64(&at, &port) != MB_OK || port == 0 || port > UINT16_MAX) {
            mb_doc_fault(&item, "must be 1 to 65535");
            continue;
        }
        ports[item.index] = (uint16_t)port;
        *count = item.index + 1;
    }
    return ports;
}

typedef struct match_parts {
    uint16_t destination_port;
    mb_slice transport_protocol;
    unsigned source_type;
    mb_doc destinations, names, protocols, direct_sources, sources, ports;
} match_parts;

static const char *const source_types[] = {"any", "same_ip_or_loopback", "external", NULL};

#define PART(key, what, member, ...) MB_DOC_FIELD(key, what, match_parts, member, __VA_ARGS__)

static const mb_doc_field match_fields[] = {
    PART("destination_port", U16, destination_port),
    PART("prefix_ranges", NODE, destinations),
    PART("server_names", NODE, names),
    PART("transport_protocol", TEXT, transport_protocol),
    PART("application_protocols", NODE, protocols),
    PART("direct_source_prefix_ranges", NODE, direct_sources),
    PART("source_type", ENUM, source_type, .words = source_types),
    PART("source_prefix_ranges", NODE, sources),
    PART("source_ports", NODE, ports),
};

static bool asks_for_nothing(const mb_chain_criteria *criteria) {
    return criteria->destination_port == 0 && criteria->transport_protocol.len == 0 &&
           criteria->source_type == MB_SOURCE_ANY && criteria->destination_count == 0 &&
           criteria->server_name_count == 0 && criteria->application_protocol_count == 0 &&
           criteria->direct_source_count == 0 && criteria->source_count == 0 &&
           criteria->source_port_count == 0;
}

bool mb__config_chain_match(mb_builder *builder, const mb_doc *doc, mb_filter_chain_config *chain,
                            mb_chain_match *match) {
    match_parts found = {0};
    mb_chain_criteria criteria = {0};
    MB_DOC_READ(doc, match_fields, &found);
    criteria.destination_port = found.destination_port;
    criteria.transport_protocol = found.transport_protocol;
    criteria.source_type = (mb_source_type)found.source_type;
    criteria.destinations = read_ranges(&found.destinations, &criteria.destination_count);
    criteria.server_names = read_texts(&found.names, &criteria.server_name_count);
    criteria.application_protocols =
        read_texts(&found.protocols, &criteria.application_protocol_count);
    criteria.direct_sources = read_ranges(&found.direct_sources, &criteria.direct_source_count);
    criteria.sources = read_ranges(&found.sources, &criteria.source_count);
    criteria.source_ports = read_ports(&found.ports, &criteria.source_port_count);
    if (match == NULL || builder->reader.status != MB_OK) {
        return false;
    }
    int result = mb_chain_match_add(match, &criteria, chain);
    if (result == MB_ENOMEM) {
        builder->reader.status = MB_ENOMEM;
    } else if (result == MB_ELIMIT) {
        mb_doc_fault(doc, "the chains of the listener list too many combinations");
    } else if (result != MB_OK) {
        mb_doc_fault(doc, "another filter chain has overlapping matching rules");
    }
    return asks_for_nothing(&criteria);
}

static void release(void *match) {
    mb_chain_match_free(match);
}

mb_chain_match *mb__config_chain_match_new(mb_builder *builder) {
    mb_release *owned = mb__release_new(builder);
    if (owned == NULL) {
        return NULL;
    }
    mb_chain_match *match =
        mb_chain_match_new(builder->worker->allocator, mb_random_u64(&builder->worker->random));
    if (match == NULL) {
        builder->reader.status = MB_ENOMEM;
        return NULL;
    }
    mb__release_own(builder, owned, release, match);
    return match;
}
