/*
 * Network chain: the configured network filters of a filter chain, immutable; and a connection's
 * way along them, as the stage (net/stage.h) between its transport and the end of the chain.
 *
 * Theory. Each filter is, for each direction, OPEN (passes on what its hook lets through), STOPPED
 * (its hook runs with all that it has kept and what is new) or PENDING (no hook runs; what comes
 * waits unseen). What comes to a filter is thus passed on, kept or unseen; never lost, never out of
 * order. The end of a direction (half-close) travels as a flag with the last bytes. Bytes that are
 * read meet the filters first to last, bytes that are written last to first; what a filter adds
 * (`outgoing`) starts behind it, in front of what its running hook lets through.
 *
 * The opening is the head of the READ direction: a filter that stops or pends in `new_connection`
 * keeps the filters behind it, and the owner of the connection, from knowing of it, until it lets
 * data through, resumes or finishes.
 *
 *   read:  transport -> [f0] -> [f1] -> conn->in          kept and unseen bytes of READ above the
 *   write: transport <- [f0] <- [f1] <- conn->out         limit stop reading; those of WRITE count
 *                                                         with what waits to be written
 *
 * Closing. A close that flushes gives the end to `write`; what filters keep after it is dropped,
 * what pends is waited for within the close's delay. `event` and `destroy` run in a task after the
 * connection has closed, since closing happens within calls of owners.
 */
#ifndef MB_FILTER_NETWORK_CHAIN_H
#define MB_FILTER_NETWORK_CHAIN_H

#include "filter/chain.h"
#include "net/origin.h"
#include "net/stage.h"
#include <moebridge/network_filter.h>

typedef struct mb_network_entry {
    const char *name; /* NUL-terminated, owned by the snapshot */
    const mb_network_filter_hooks *hooks;
    mb_module_ref *module; /* one reference */
    void *config;
    uint32_t wants;        /* bits of mb_network_hook */
    uint32_t state_offset; /* in the connection's state block */
} mb_network_entry;

typedef struct mb_network_chain {
    mb_network_entry *entries;
    uint32_t count;
    uint32_t state_bytes; /* of all filters of a connection */
} mb_network_chain;

/* As mb_chain_entry_configure, of the module's network filters. */
int mb_network_entry_configure(mb_module_ref *module, mb_filter_args *args, mb_network_entry *out);
/* Idempotent. */
void mb_network_entry_release(mb_network_entry *entry);

typedef struct mb_connection_options {
    const mb_network_chain *chain; /* not empty */
    uint64_t id;                   /* never used before in this worker */
    mb_slice listener;             /* valid as long as `keeper` is held */
    mb_origin *origin;             /* what listener filters found out; NULL: nothing */
    size_t limit_bytes;            /* kept of what was read before reading stops; 0: none */
    void *keeper;                  /* keeps chain and texts alive; one reference, taken */
    void (*release)(void *keeper);
} mb_connection_options;

/* Puts the chain into an accepted connection, before its first turn. The connection owns it. NULL:
 * out of memory; `keeper` is not taken. */
mb_connection *mb_connection_new(mb_worker *worker, mb_conn *conn,
                                 const mb_connection_options *options);
/* What the end of the chain knows of where the bytes go; copied. MB_OK or MB_ENOMEM. */
int mb_connection_set_upstream(mb_connection *connection, mb_slice cluster, const mb_address *host);
/* The one of a connection; NULL: it has no chain. */
mb_connection *mb_connection_of(const mb_conn *conn);
/* NULL: closed. */
mb_connection *mb_connection_find(mb_worker *worker, mb_connection_id id);

#endif
