/*
 * The network filter ABI: filters of a connection's bytes, before any protocol is known (L4).
 *
 * They stand between the transport (behind TLS) and the end of the chain, which is the HTTP
 * connection manager or the TCP proxy. Bytes that are read pass them first to last, bytes that are
 * written last to first. Buffers, leases, metrics, time and log are those of `mb_host`, whose
 * `network` is the table below. A module lists its kinds in `mb_module.network_filters`.
 * Hook names and statuses are those of the network filters of Envoy's dynamic modules.
 *
 * The rules at the head of filter.h hold here too: the connection's own worker, except where a
 * block says "any thread"; no host function calls a hook, what is asked for is acted on when the
 * running hook returns, or in the next turn when none runs; tables grow only at the end.
 */
#ifndef MOEBRIDGE_NETWORK_FILTER_H
#define MOEBRIDGE_NETWORK_FILTER_H

#include <moebridge/filter.h>

/* cffi: begin */

typedef struct mb_connection mb_connection; /* one accepted connection */

/* Names a connection for its whole life and never another one of its worker. */
typedef uint64_t mb_connection_id;

/* MB_PENDING (filter.h) is the third answer: the hook goes on later and ends with `finish`. */
typedef enum mb_network_status {
    MB_NETWORK_CONTINUE = 0,
    /* What is left of the data stays with this filter: its hook is called again with the same
     * bytes and what came behind them. `resume` passes them on without a further call. */
    MB_NETWORK_STOP_ITERATION = 1,
} mb_network_status;

typedef enum mb_network_direction {
    MB_NETWORK_READ = 0, /* from the peer to the end of the chain */
    MB_NETWORK_WRITE = 1 /* from the end of the chain to the peer */
} mb_network_direction;

typedef enum mb_network_event {
    MB_NETWORK_REMOTE_CLOSE = 0, /* the peer closed or reset it, or it failed */
    MB_NETWORK_LOCAL_CLOSE = 1   /* we did */
} mb_network_event;

typedef enum mb_network_close {
    MB_NETWORK_CLOSE_FLUSH = 0, /* send what was written, then close */
    MB_NETWORK_CLOSE_NOW = 1,   /* drop what was written */
    MB_NETWORK_CLOSE_RESET = 2  /* and tell the peer with RST */
} mb_network_close;

/* One bit a hook; in `mb_hook_slot.hook` these numbers stand beside those of mb_hook. */
typedef enum mb_network_hook {
    MB_NETWORK_HOOK_NEW_CONNECTION = 16,
    MB_NETWORK_HOOK_READ = 17,
    MB_NETWORK_HOOK_WRITE = 18,
    MB_NETWORK_HOOK_EVENT = 19,
    MB_NETWORK_HOOK_SCHEDULED = 20,
    MB_NETWORK_HOOK_DESTROY = 21,
} mb_network_hook;

/* A filter of one connection. Host-owned, valid from the first hook to the end of `destroy`. */
typedef struct mb_network_filter {
    mb_connection *connection;
    void *config;       /* what `config_new` gave */
    void *state;        /* `state_bytes` zeroed bytes, or NULL when that is 0 */
    const char *name;   /* the name in the chain, NUL-terminated */
    mb_hook_slot *slot; /* its `stream` is the connection's id while a hook of it runs */
} mb_network_filter;

/* What is known about a connection. */
typedef enum mb_connection_info {
    MB_CONNECTION_ID = 0,              /* number: mb_connection_id */
    MB_CONNECTION_REMOTE = 1,          /* text: "ip:port" of the client */
    MB_CONNECTION_LOCAL = 2,           /* text: "ip:port" */
    MB_CONNECTION_DIRECT_REMOTE = 3,   /* text: "ip:port" of the peer of the socket */
    MB_CONNECTION_LISTENER = 4,        /* text: name of the listener */
    MB_CONNECTION_SNI = 5,             /* text: the server name that the client asked for */
    MB_CONNECTION_ALPN = 6,            /* text: the protocol that was agreed on */
    MB_CONNECTION_TLS_VERSION = 7,     /* text: not found in clear text */
    MB_CONNECTION_TLS_CIPHER = 8,      /* text */
    MB_CONNECTION_PEER_SUBJECT = 9,    /* text: of the client's certificate */
    MB_CONNECTION_PEER_SHA256 = 10,    /* text: its fingerprint, hexadecimal */
    MB_CONNECTION_CLUSTER = 11,        /* text: where the TCP proxy sends it */
    MB_CONNECTION_UPSTREAM = 12,       /* text: "ip:port" of the chosen host */
    MB_CONNECTION_BYTES_RECEIVED = 13, /* number: from the transport */
    MB_CONNECTION_BYTES_SENT = 14,     /* number: to the transport */
    MB_CONNECTION_START_WALL_US = 15,  /* number: when it was accepted, since 1970 */
    MB_CONNECTION_DURATION_US = 16,    /* number: up to now, or of the whole life at the end */
    MB_CONNECTION_WORKER = 17,         /* number: index of the worker */
    MB_CONNECTION_CLOSE_DETAILS = 18,  /* text: why a filter closed it */
    MB_CONNECTION_INFO_COUNT = 19
} mb_connection_info;

/* Functions of the host for connections: `mb_host.network`. */
struct mb_network_host {
    uint32_t abi_version;
    uint32_t struct_size;

    /* MB_OK or MB_ENOTFOUND. A text is valid as long as the connection. */
    int (*info_number)(mb_connection *connection, mb_connection_info what, uint64_t *out);
    int (*info_text)(mb_connection *connection, mb_connection_info what, mb_slice *out);
    /* READ: the peer sends no more. WRITE: the end of the chain sends no more. */
    bool (*ended)(mb_connection *connection, mb_network_direction direction);
    /* Dynamic metadata of the connection, as `metadata_get` and `metadata_set` of mb_host. */
    int (*metadata_get)(mb_connection *connection, mb_slice space, mb_slice key, mb_slice *value);
    int (*metadata_set)(mb_connection *connection, mb_slice space, mb_slice key, mb_slice value);
    /* Ends the connection; bytes that come afterwards are not seen any more. A later, harder kind
     * replaces a softer one. MB_OK, MB_EGONE when it is closed already, MB_ENOMEM. */
    int (*close)(mb_connection *connection, mb_network_close kind, mb_slice details);

    /* The buffer of bytes that this filter adds to a direction: what the caller puts in goes on
     * to the filters behind it in that direction, in front of what the running hook lets through.
     * This is how a filter writes to the peer (WRITE) or speaks for it (READ). NULL: out of
     * memory, or the connection is closed. Valid until the hook returns or the turn ends. */
    mb_buffer *(*outgoing)(mb_network_filter *filter, mb_network_direction direction);
    /* What this filter's hook was shown and has not passed on; the data of a hook that answered
     * MB_PENDING is here too. It may be changed. NULL: out of memory. Valid as long as the
     * connection, but not while a hook of that direction runs. */
    mb_buffer *(*held)(mb_network_filter *filter, mb_network_direction direction);
    /* Passes on what is held and opens the direction. MB_OK, or MB_EPHASE when it is not stopped
     * here or its hook is pending. */
    int (*resume)(mb_network_filter *filter, mb_network_direction direction);
    /* The status of the hook that answered MB_PENDING, as if it returned it now; that of
     * `new_connection` belongs to READ. MB_OK, or MB_EPHASE when none is pending. */
    int (*finish)(mb_network_filter *filter, mb_network_direction direction, int status);
    /* The same filter for a later event: MB_EGONE once the connection is closed. */
    int (*filter_of)(mb_worker *worker, mb_connection_id id, const char *name,
                     mb_network_filter **out);
    /* Has `scheduled` called on the worker with `event`; dropped if the connection is closed then.
     * Thread: any. MB_OK or MB_ENOMEM. */
    int (*post)(mb_worker *worker, mb_connection_id id, const char *name, uint64_t event);
};

/* Hooks of one kind of network filter. A NULL hook is never called; `read` and `write` are called
 * with bytes, or with none where `end_stream` says that no more follow (half-close). Of a
 * direction no hook is called after the one with `end_stream` was passed on. */
typedef struct mb_network_filter_hooks {
    uint32_t abi_version;
    uint32_t struct_size;
    uint32_t state_bytes; /* memory a connection, zeroed, aligned for any type; <= 4096 */
    uint32_t reserved;

    /* As of mb_filter_hooks; `wants` has bits 1u << mb_network_hook. */
    int (*config_new)(void *module, mb_filter_args *args, void **config, uint32_t *wants);
    void (*config_free)(void *module, void *config);

    /* The connection is up, TLS included. STOP_ITERATION: filters behind this one and the end of
     * the chain do not know of it until this filter lets data through or resumes. */
    mb_network_status (*new_connection)(mb_network_filter *filter);
    mb_network_status (*read)(mb_network_filter *filter, mb_buffer *data, bool end_stream);
    mb_network_status (*write)(mb_network_filter *filter, mb_buffer *data, bool end_stream);
    /* It is closed: once, for every filter in which another hook ran. Facts may still be read. */
    void (*event)(mb_network_filter *filter, mb_network_event event);
    void (*scheduled)(mb_network_filter *filter, uint64_t event);
    /* Last call: `state` and `connection` are invalid afterwards. */
    void (*destroy)(mb_network_filter *filter);
} mb_network_filter_hooks;

struct mb_network_filter_kind {
    const char *name; /* `filter_name` of the configuration; "*" takes any other */
    const mb_network_filter_hooks *hooks;
};

/* cffi: end */

#endif
