/*
 * Snapshot: one configuration, read whole, immutable and refcounted. The server holds the newest;
 * every stream holds the one it began with (mb_stream.snapshot), so a reload changes nothing under
 * way. The last reference releases what filters made of their configuration, regular expressions,
 * clusters, and then the memory of the whole model.
 *
 * Worker only.
 */
#ifndef MB_CONFIG_SNAPSHOT_H
#define MB_CONFIG_SNAPSHOT_H

#include "base/map.h"
#include "config/listener_filter_config.h"
#include "config/tcp_config.h"
#include "filter/network_chain.h"
#include "net/listener.h"
#include "net/tls.h"
#include "route/chain_match.h"

typedef struct mb_snapshot mb_snapshot;
struct mb_release; /* snapshot.c: what needs more than its memory freed */

/* One of a listener's filter chains: what becomes of the connections that it gets. */
typedef struct mb_filter_chain_config {
    mb_slice name;                         /* may be empty */
    mb_tls_context *tls;                   /* NULL: clear text */
    uint64_t tls_hash;                     /* of the document's bytes for it */
    uint64_t transport_connect_timeout_us; /* until the handshake is over; 0: no limit */
    mb_network_chain network;              /* network filters, in front of the terminal */
    /* The terminal: one of them is not NULL. */
    mb_hcm_config *hcm;
    mb_tcp_config *tcp;
} mb_filter_chain_config;

typedef struct mb_listener_config {
    const char *name;             /* NUL-terminated, unique in the snapshot */
    mb_listen_address *addresses; /* at least one */
    uint32_t address_count;
    mb_listener_options options;
    bool bind_to_port;           /* false: it only gets what another listener hands over */
    bool use_original_dst;       /* hands over to the listener of the original destination */
    uint32_t buffer_limit_bytes; /* watermark of a connection, and the most a filter may hold */
    mb_slice stat_prefix;        /* empty: the address */
    mb_filter_chain_config *chains;
    uint32_t chain_count;
    mb_filter_chain_config *default_chain; /* for what matches none of them; NULL: there is none */
    mb_chain_match *match;                 /* finds one of `chains` */
    mb_filter_chain_config *sole_chain;    /* the one that every connection gets, or NULL */
    mb_listener_filter_config *filters;    /* in the order of the configuration */
    uint32_t filter_count;
    uint64_t filters_timeout_us; /* for all of them together; 0: none */
    bool continue_on_filters_timeout;
} mb_listener_config;

/* All chains in order, the default one last. */
static inline uint32_t mb_listener_config_chain_count(const mb_listener_config *listener) {
    return listener->chain_count + (listener->default_chain != NULL);
}
static inline const mb_filter_chain_config *
mb_listener_config_chain(const mb_listener_config *listener, uint32_t index) {
    return index < listener->chain_count ? &listener->chains[index] : listener->default_chain;
}

struct mb_snapshot {
    uint32_t refs;
    uint64_t version; /* 1 for the first, then one more than the snapshot before */
    mb_worker *worker;
    mb_arena arena; /* the whole model */
    mb_slice node_id, node_cluster;
    mb_listener_config *listeners;
    uint32_t listener_count;
    mb_map clusters;             /* name -> mb_cluster *, one reference each */
    struct mb_release *releases; /* newest first */
};

/* The modules that a document may name. "native" is the built-in one, "python" the added module
 * "moebridge"; any other name is an added module of that name, else a library lib<name>.so. */
typedef struct mb_config_modules {
    mb_module_ref *native;
    mb_module_ref *const *added; /* from mb_server_add_module */
    size_t added_count;
} mb_config_modules;

/* Reads one configuration document (msgpack; the model is moebridge.config.model) as a whole.
 * Clusters that `previous` (or NULL) has with the same settings are taken over. Filters are made
 * on the way. Returns MB_OK with one reference in `*out`; MB_ECONFIG with `*faults` as lines
 * "path: what is wrong"; MB_ENOMEM. On failure nothing is left of it, `*out` is untouched. */
int mb_config_build(mb_worker *worker, const mb_config_modules *modules,
                    const mb_snapshot *previous, mb_slice document, mb_snapshot **out,
                    mb_text *faults);

mb_snapshot *mb_snapshot_ref(mb_snapshot *snapshot);
void mb_snapshot_unref(mb_snapshot *snapshot); /* NULL is allowed */
/* NULL: there is none of that name. Valid as long as the snapshot. */
const mb_listener_config *mb_snapshot_listener(const mb_snapshot *snapshot, mb_slice name);
/* NULL: there is none of that name. Borrowed. */
mb_cluster *mb_snapshot_cluster(const mb_snapshot *snapshot, mb_slice name);

#endif
