/*
 * STRICT_DNS: the hosts of a cluster are all addresses that its names resolve to. Each name is
 * asked again after a pause; what an answer no longer has is dropped, what fails keeps the last
 * good addresses. Source: Envoy, "Service discovery: strict DNS".
 */
#ifndef MB_UPSTREAM_STRICT_DNS_H
#define MB_UPSTREAM_STRICT_DNS_H

#include "upstream/cluster.h"

typedef struct mb_strict_dns mb_strict_dns;

/* Asks for all names at once. Kept by the cluster. NULL: out of memory, or no resolver. */
mb_strict_dns *mb_strict_dns_new(mb_cluster *cluster);
void mb_strict_dns_free(mb_strict_dns *dns);
/* Every name has been answered once, well or not. */
bool mb_strict_dns_answered(const mb_strict_dns *dns);

#endif
