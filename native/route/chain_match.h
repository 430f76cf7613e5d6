/*
 * Filter-chain match: which filter chain of a listener a connection gets, by what is known of it
 * before its first byte is answered. Envoy's FilterChainMatch, in Envoy's order: destination port,
 * destination address, server name, transport protocol, application protocols, direct source
 * address, source type, source address, source port. At each step the most specific value that
 * some chain names decides, and only the chains that name it go on: there is no way back to less
 * specific ones, so a connection may match no chain although one would take it.
 *
 * Source: envoy.config.listener.v3.FilterChainMatch.
 */
#ifndef MB_ROUTE_CHAIN_MATCH_H
#define MB_ROUTE_CHAIN_MATCH_H

#include "net/cidr.h"

/* Envoy's ConnectionSourceType. */
typedef enum mb_source_type {
    MB_SOURCE_ANY = 0,
    MB_SOURCE_SAME_IP_OR_LOOPBACK = 1,
    MB_SOURCE_EXTERNAL = 2
} mb_source_type;

/* What a chain asks for. An empty list, 0 and an empty text ask for nothing. Names are lower-case;
 * "*.example.com" stands for every name below, not for example.com. */
typedef struct mb_chain_criteria {
    uint16_t destination_port;
    uint32_t destination_count, server_name_count, application_protocol_count;
    uint32_t direct_source_count, source_count, source_port_count;
    const mb_cidr *destinations;
    const mb_slice *server_names;
    mb_slice transport_protocol;
    const mb_slice *application_protocols;
    const mb_cidr *direct_sources;
    mb_source_type source_type;
    const mb_cidr *sources;
    const uint16_t *source_ports;
} mb_chain_criteria;

/* What is known of a connection. */
typedef struct mb_chain_facts {
    const mb_address *local;               /* destination, as the client meant it */
    const mb_address *remote;              /* source, as a PROXY header says */
    const mb_address *direct_remote;       /* of the socket */
    mb_slice server_name;                  /* of any case; empty: none */
    mb_slice transport_protocol;           /* "tls", "raw_buffer" */
    const mb_slice *application_protocols; /* in the client's order */
    uint32_t application_protocol_count;
} mb_chain_facts;

typedef struct mb_chain_match mb_chain_match;

/* NULL: out of memory. */
mb_chain_match *mb_chain_match_new(const mb_allocator *allocator, uint64_t seed);
void mb_chain_match_free(mb_chain_match *match); /* NULL is fine */
/* Adds a chain (never NULL, borrowed). Texts of `criteria` must live as long as the match. MB_OK;
 * MB_EINVAL: some connection would match this chain and an earlier one equally well; MB_ELIMIT:
 * more combinations than MB_CHAIN_MATCH_NODES_MAX; MB_ENOMEM. After a failure the match may only
 * be freed. */
int mb_chain_match_add(mb_chain_match *match, const mb_chain_criteria *criteria, void *chain);
/* NULL: none. */
void *mb_chain_match_find(const mb_chain_match *match, const mb_chain_facts *facts);

/* Steps of all chains together; each combination of values that a chain lists takes up to nine. */
#define MB_CHAIN_MATCH_NODES_MAX (1u << 20)
#define MB_SERVER_NAME_MAX_BYTES 255u

#endif
