/*
 * Resolver: names to addresses through c-ares, driven by our loop. Its sockets are level-triggered
 * descriptors of the poller and its timeouts a timer, so a server that never answers costs nothing
 * but time. /etc/hosts, localhost and numeric names are answered without a query.
 *
 * Called by strict_dns.c. Worker only. c-ares has its own memory (malloc).
 */
#ifndef MB_UPSTREAM_DNS_H
#define MB_UPSTREAM_DNS_H

#include "net/address.h"
#include "upstream/cluster.h"

#define MB_DNS_SERVERS_VARIABLE "MOEBRIDGE_DNS_SERVERS"
/* More addresses of one name are left out: no answer may fill our memory. */
#define MB_DNS_ADDRESSES_MAX 512

typedef struct mb_resolver mb_resolver;
typedef struct mb_dns_query mb_dns_query;

typedef enum mb_dns_status {
    MB_DNS_OK = 0,
    MB_DNS_EMPTY, /* the name has no address of the family, or does not exist */
    MB_DNS_FAILED /* no server gave a usable answer in time */
} mb_dns_status;

/* The caller's storage; one question at a time. */
struct mb_dns_query {
    /* `addresses` (port 0) are valid in the call; `ttl_s` is the shortest of them. */
    void (*on_answer)(mb_dns_query *query, mb_dns_status status, const mb_address *addresses,
                      uint32_t count, uint32_t ttl_s);
    struct mb_dns_lookup *lookup; /* the resolver's; NULL while nothing is asked */
};

/* Of `settings` only servers, timeout_ms, tries. NULL: out of memory, or the servers of the
 * settings (of the environment) are no list of addresses; that is logged. */
mb_resolver *mb_resolver_new(mb_worker *worker, const mb_dns_settings *settings);
/* Queries under way are dropped without an answer. Not from `on_answer`. */
void mb_resolver_free(mb_resolver *resolver);
/* Asks for `name` (NUL-terminated). `on_answer` is called once, perhaps within this call, unless
 * cancelled. MB_OK or MB_ENOMEM. */
int mb_resolver_ask(mb_resolver *resolver, mb_dns_query *query, const char *name,
                    mb_dns_family family);
void mb_dns_cancel(mb_dns_query *query);

#endif
