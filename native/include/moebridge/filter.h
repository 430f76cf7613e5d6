/*
 * The HTTP filter ABI: everything a filter, native or Python, may ask of its host.
 *
 * A module is a shared object that exports `mb_module_init`; the Python bridge is a module too
 * and uses nothing but this header on the request path. Hook names and statuses are those of
 * Envoy's dynamic modules, so that the same filters can run behind a shim there.
 *
 * Rules that hold for every function:
 *  - Thread: the stream's own worker, except where a block says "any thread".
 *  - No host function calls a hook. What acts on the stream (`respond`, `resume`, `reset`) is
 *    noted and acts when the running hook returns, or at once when no hook of the stream runs.
 *  - A slice handed out is valid until the hook returns or the object it came from is changed,
 *    whichever is first. Slices handed in are copied before the call returns.
 *  - Tables begin with `abi_version` and `struct_size` and grow only at the end.
 */
#ifndef MOEBRIDGE_FILTER_H
#define MOEBRIDGE_FILTER_H

#include <moebridge/common.h>

/* cffi: begin */

typedef struct mb_stream mb_stream;   /* one request and its response */
typedef struct mb_headers mb_headers; /* ordered multimap with pseudo-headers */
typedef struct mb_buffer mb_buffer;   /* bytes of a body, in slices */
typedef struct mb_lease mb_lease;     /* keeps bytes of a buffer alive after the hook */
typedef struct mb_worker mb_worker;   /* the thread that runs the stream */
typedef struct mb_metric mb_metric;   /* a counter, gauge or histogram */

/* network_filter.h */
typedef struct mb_network_host mb_network_host;
typedef struct mb_network_filter_kind mb_network_filter_kind;

/* Names a stream for its whole life and never another one: index and generation. */
typedef uint64_t mb_stream_id;

typedef enum mb_headers_status {
    MB_HEADERS_CONTINUE = 0,
    MB_HEADERS_STOP_ITERATION = 1,         /* later filters wait; this one still gets its body */
    MB_HEADERS_STOP_ALL_AND_BUFFER = 2,    /* no hook here until resume; body held, 413/500 over */
    MB_HEADERS_STOP_ALL_AND_WATERMARK = 3, /* the same, but the sender is paused instead */
} mb_headers_status;

typedef enum mb_body_status {
    MB_BODY_CONTINUE = 0,
    MB_BODY_STOP_AND_BUFFER = 1,    /* hold; over the limit 413 (request), 500 (response) */
    MB_BODY_STOP_AND_WATERMARK = 2, /* hold; over the limit the sender is paused */
    MB_BODY_STOP_NO_BUFFER = 3,     /* the filter has taken the bytes; nothing is held */
} mb_body_status;

typedef enum mb_trailers_status {
    MB_TRAILERS_CONTINUE = 0,
    MB_TRAILERS_STOP_ITERATION = 1,
} mb_trailers_status;

/* Any hook that returns a status may return this instead: it has not finished. The filter keeps
 * its piece of body (`pending_body`), gets no further hook of that direction, what arrives
 * meanwhile is held and the sender paused at the limit, until `finish` gives the status. This is
 * what a coroutine needs; a shim in Envoy does it with STOP_ALL_AND_WATERMARK. */
enum { MB_PENDING = 255 };

typedef enum mb_direction { MB_REQUEST = 0, MB_RESPONSE = 1 } mb_direction;

/* One bit a hook; a filter's configuration says which ones it wants to be called for. */
typedef enum mb_hook {
    MB_HOOK_REQUEST_HEADERS = 0,
    MB_HOOK_REQUEST_BODY = 1,
    MB_HOOK_REQUEST_TRAILERS = 2,
    MB_HOOK_RESPONSE_HEADERS = 3,
    MB_HOOK_RESPONSE_BODY = 4,
    MB_HOOK_RESPONSE_TRAILERS = 5,
    MB_HOOK_STREAM_COMPLETE = 6,
    MB_HOOK_SCHEDULED = 7,
    MB_HOOK_DESTROY = 8,
    MB_HOOK_COUNT = 9
} mb_hook;

/* What runs in a worker now. Written around every hook; read by watchdog, statistics and crash
 * dump from other threads, field by field, without a lock. `filter` is NULL outside hooks. */
typedef struct mb_hook_slot {
    const char *volatile filter; /* name of the filter in the chain, NUL-terminated */
    volatile uint32_t hook;      /* an mb_hook */
    volatile uint32_t sequence;  /* grows by one with every hook; stands still while one hangs */
    volatile mb_stream_id stream;
    volatile uint64_t start_us; /* monotonic time of the loop iteration that began it */
} mb_hook_slot;

/* A filter in one stream. Host-owned, valid from the first hook to the end of `destroy`. */
typedef struct mb_filter {
    mb_stream *stream;
    void *config;       /* what `config_new` gave, for the most specific route configuration */
    void *state;        /* `state_bytes` zeroed bytes, or NULL when that is 0 */
    const char *name;   /* the name in the chain, NUL-terminated */
    mb_hook_slot *slot; /* a module that runs several filters in one call keeps it true */
} mb_filter;

typedef struct mb_header {
    mb_slice name;
    mb_slice value;
} mb_header;

/* What is known about a stream. Numbers come from `info_number`, text from `info_text`. */
typedef enum mb_info {
    MB_INFO_ID = 0,                       /* number: mb_stream_id */
    MB_INFO_PROTOCOL = 1,                 /* text: "HTTP/1.1" */
    MB_INFO_DOWNSTREAM_REMOTE = 2,        /* text: "ip:port" of the trusted client address */
    MB_INFO_DOWNSTREAM_LOCAL = 3,         /* text: "ip:port" */
    MB_INFO_DOWNSTREAM_DIRECT_REMOTE = 4, /* text: "ip:port" of the peer of the socket */
    MB_INFO_UPSTREAM_REMOTE = 5,          /* text: "ip:port" of the chosen host */
    MB_INFO_UPSTREAM_LOCAL = 6,           /* text: "ip:port" */
    MB_INFO_UPSTREAM_CLUSTER = 7,         /* text */
    MB_INFO_ROUTE_NAME = 8,               /* text */
    MB_INFO_VIRTUAL_HOST = 9,             /* text */
    MB_INFO_REQUEST_ID = 10,              /* text: x-request-id */
    MB_INFO_RESPONSE_FLAGS = 11,          /* text: Envoy's short names, "-" for none */
    MB_INFO_RESPONSE_DETAILS = 12,        /* text: Envoy's response code details */
    MB_INFO_RESPONSE_CODE = 13,           /* number: 0 before there is one */
    MB_INFO_BYTES_RECEIVED = 14,          /* number: request body bytes */
    MB_INFO_BYTES_SENT = 15,              /* number: response body bytes */
    MB_INFO_START_WALL_US = 16,           /* number: when the first byte came, since 1970 */
    MB_INFO_DURATION_US = 17,             /* number: up to now, or of the whole life at the end */
    MB_INFO_UPSTREAM_SERVICE_US = 18,     /* number: request sent to first response byte */
    MB_INFO_ATTEMPT_COUNT = 19,           /* number: upstream attempts */
    MB_INFO_CONNECTION_ID = 20,           /* number */
    MB_INFO_TLS_VERSION = 21,             /* text: not found in clear text */
    MB_INFO_WORKER = 22,                  /* number: index of the worker */
    MB_INFO_LISTENER = 23,                /* text: name of the listener */
    /* Of the client's TLS connection; none of them is found in clear text. */
    MB_INFO_TLS_CIPHER = 24,         /* text: OpenSSL's name */
    MB_INFO_TLS_ALPN = 25,           /* text: "h2"; not found: nothing was agreed on */
    MB_INFO_TLS_SNI = 26,            /* text: as the client asked */
    MB_INFO_TLS_SESSION_REUSED = 27, /* number: 0, 1 */
    /* Of the certificate that the client has shown; not found: it has shown none. */
    MB_INFO_TLS_PEER_VERIFIED = 28,   /* number: 1: it passed every check */
    MB_INFO_TLS_PEER_SUBJECT = 29,    /* text: RFC 2253 */
    MB_INFO_TLS_PEER_ISSUER = 30,     /* text */
    MB_INFO_TLS_PEER_SERIAL = 31,     /* text: hex */
    MB_INFO_TLS_PEER_SHA256 = 32,     /* text: hex */
    MB_INFO_TLS_PEER_URI_SANS = 33,   /* text: "a,b"; a comma in one is %2C */
    MB_INFO_TLS_PEER_DNS_SANS = 34,   /* text: the same */
    MB_INFO_TLS_PEER_NOT_BEFORE = 35, /* number: seconds since 1970 */
    MB_INFO_TLS_PEER_NOT_AFTER = 36,  /* number: seconds since 1970 */
    MB_INFO_UPSTREAM_PROTOCOL = 37,   /* text: "HTTP/2"; not found: no connection yet */
    MB_INFO_COUNT = 38
} mb_info;

/* What a filter hands to `respond`. Zeroed fields mean "none". */
typedef struct mb_local_reply {
    uint32_t status; /* 200 to 599 */
    const mb_header *headers;
    size_t header_count;
    mb_slice body;
    mb_slice details; /* response code details; default "direct_response" */
} mb_local_reply;

typedef enum mb_metric_kind { MB_COUNTER = 0, MB_GAUGE = 1, MB_HISTOGRAM = 2 } mb_metric_kind;

/* What a filter is configured with. Valid in the call. */
typedef struct mb_filter_args {
    mb_worker *worker;
    mb_slice filter_name; /* `filter_name` of the configuration: which filter of the module */
    mb_slice name;        /* its name in the chain */
    mb_slice config;      /* one msgpack value; nil where nothing was given */
    mb_slice error;       /* out: on failure, text that stays valid until the next call */
} mb_filter_args;

/* Functions of the host. A pointer beyond `struct_size` must not be read. */
typedef struct mb_host {
    uint32_t abi_version;
    uint32_t struct_size;

    /* -- headers. Names are lower-case; pseudo-headers go by ":method", ":path", ":authority",
     * ":scheme" and ":status" and are neither counted nor iterated. ------------------------- */

    /* Returns the number of fields. */
    size_t (*headers_count)(const mb_headers *headers);
    /* The index-th field in order. Returns MB_OK or MB_ENOTFOUND. */
    int (*headers_at)(const mb_headers *headers, size_t index, mb_header *out);
    /* The index-th value of a name. Returns how many values the name has (> index), or
     * MB_ENOTFOUND with `out` untouched. */
    int (*headers_get)(const mb_headers *headers, mb_slice name, size_t index, mb_slice *out);
    /* Replaces all values of a name by one, in the place of the first. Returns MB_OK, MB_EINVAL
     * (not a token, or CR, LF or NUL in the value) or MB_ENOMEM. */
    int (*headers_set)(mb_headers *headers, mb_slice name, mb_slice value);
    /* Appends a field. Results as of `headers_set`. */
    int (*headers_add)(mb_headers *headers, mb_slice name, mb_slice value);
    /* Returns the number of fields removed; a pseudo-header is MB_EINVAL. */
    int (*headers_remove)(mb_headers *headers, mb_slice name);

    /* -- buffers ---------------------------------------------------------------------------- */

    size_t (*buffer_length)(const mb_buffer *buffer);
    /* Writes up to `max` slices, in order. Returns how many the buffer has. Never copies. */
    size_t (*buffer_slices)(const mb_buffer *buffer, mb_slice *out, size_t max);
    /* Offset of the first match at or after `from`, or MB_ENOTFOUND. Never copies. */
    int64_t (*buffer_find)(const mb_buffer *buffer, mb_slice pattern, size_t from);
    /* Number of matches that do not overlap. Never copies. */
    size_t (*buffer_count)(const mb_buffer *buffer, mb_slice pattern);
    /* Copies up to `length` bytes from `offset` into `out`. Returns how many. */
    size_t (*buffer_copy_out)(const mb_buffer *buffer, size_t offset, char *out, size_t length);
    /* Returns MB_OK or MB_ENOMEM. */
    int (*buffer_append)(mb_buffer *buffer, mb_slice bytes);
    int (*buffer_prepend)(mb_buffer *buffer, mb_slice bytes);
    /* Drops the first `length` bytes of the view (all of them if it holds fewer). */
    void (*buffer_drain)(mb_buffer *buffer, size_t length);
    /* Keeps the index-th slice alive and unchanged until the lease is given back. The host may
     * answer with a copy. Returns MB_OK, MB_ENOTFOUND, MB_ELIMIT or MB_ENOMEM. */
    int (*buffer_retain)(const mb_buffer *buffer, size_t index, mb_slice *out, mb_lease **lease);
    /* As `buffer_retain`, over the whole buffer, joined if it has several slices. Returns 1 if
     * bytes were copied, else 0. */
    int (*buffer_retain_all)(mb_buffer *buffer, mb_slice *out, mb_lease **lease);
    /* Gives a lease back. Thread: any. */
    void (*lease_release)(mb_lease *lease);

    /* -- the stream ------------------------------------------------------------------------- */

    /* NULL while there are none. Trailers of a direction exist from its trailers hook on. */
    mb_headers *(*headers)(mb_stream *stream, mb_direction direction);
    mb_headers *(*trailers)(mb_stream *stream, mb_direction direction);
    /* True when the core has the whole body of that direction (trailers may follow). */
    bool (*ended)(mb_stream *stream, mb_direction direction);
    int (*info_number)(mb_stream *stream, mb_info what, uint64_t *out);
    int (*info_text)(mb_stream *stream, mb_info what, mb_slice *out);
    /* Dynamic metadata: `value` is one msgpack value. An empty key means the whole namespace; to
     * get also an empty `space`: a map of all namespaces. */
    int (*metadata_get)(mb_stream *stream, mb_slice space, mb_slice key, mb_slice *value);
    int (*metadata_set)(mb_stream *stream, mb_slice space, mb_slice key, mb_slice value);
    /* The next use of the route decides again, by the headers as they are then. */
    int (*clear_route_cache)(mb_stream *stream);
    /* Ends the stream abruptly: the client sees a broken response, never a complete one. */
    int (*reset)(mb_stream *stream, mb_slice details);

    /* -- this filter in the stream ---------------------------------------------------------- */

    /* Answers instead of the upstream. The response passes the response hooks of all filters.
     * Called twice in a hook the last reply counts. Returns MB_OK, MB_EPHASE when a response was
     * started, MB_EINVAL, MB_ENOMEM. */
    int (*respond)(mb_filter *filter, const mb_local_reply *reply);
    /* Lets a stopped direction go on. Returns MB_OK, or MB_EPHASE when it is not stopped here. */
    int (*resume)(mb_filter *filter, mb_direction direction);
    /* The body that this filter has stopped so far, before the new piece. Bytes may be added,
     * also while headers are stopped. NULL: out of memory. Valid to the end of the stream. */
    mb_buffer *(*held_body)(mb_filter *filter, mb_direction direction);
    /* The piece that a body hook which answered MB_PENDING was called with; NULL: none. */
    mb_buffer *(*pending_body)(mb_filter *filter, mb_direction direction);
    /* The status of the hook that answered MB_PENDING, as if it returned it now. Returns MB_OK,
     * or MB_EPHASE when none is pending in that direction. */
    int (*finish)(mb_filter *filter, mb_direction direction, int status);
    /* The same filter's `mb_filter` for a later event: MB_EGONE once the stream has ended. */
    int (*filter_of)(mb_worker *worker, mb_stream_id id, const char *name, mb_filter **out);

    /* -- the worker ------------------------------------------------------------------------- */

    /* Has `scheduled` called on the worker with `event`; dropped if the stream is gone then.
     * Thread: any. Returns MB_OK or MB_ENOMEM. */
    int (*post)(mb_worker *worker, mb_stream_id id, const char *name, uint64_t event);
    /* Defines a metric, or finds the one of that name and labels. MB_EPHASE inside a hook. */
    int (*metric)(mb_worker *worker, mb_metric_kind kind, mb_slice name, const mb_header *labels,
                  size_t label_count, mb_metric **out);
    void (*metric_add)(mb_metric *metric, int64_t amount);    /* counter, gauge */
    void (*metric_set)(mb_metric *metric, uint64_t value);    /* gauge */
    void (*metric_record)(mb_metric *metric, uint64_t value); /* histogram */
    uint64_t (*metric_value)(const mb_metric *metric);        /* counter, gauge; records made */
    uint64_t (*now_us)(mb_worker *worker);                    /* monotonic, of this iteration */
    void (*log)(mb_worker *worker, mb_log_level level, mb_slice component, mb_slice text);
    /* Moves all bytes of `from` to the end of `to` without a copy. MB_OK, or MB_ENOMEM: nothing
     * was moved. */
    int (*buffer_move)(mb_buffer *to, mb_buffer *from);
    const mb_network_host *network; /* since 1.1: network_filter.h */
} mb_host;

/* Hooks of one kind of filter. A NULL hook is never called; a filter that stopped and has no hook
 * for what comes next holds it until `resume`.
 *
 * `end_stream` of a headers hook: there is no body and there are no trailers. `end_stream` of a
 * body hook: this is the last piece, which may be empty; trailers may follow. Every body ends
 * with exactly one such call. */
typedef struct mb_filter_hooks {
    uint32_t abi_version;
    uint32_t struct_size;
    uint32_t state_bytes; /* memory a stream, zeroed, aligned for any type; <= 4096 */
    uint32_t reserved;

    /* Once for each place in a chain or per-route configuration, while a configuration is
     * loaded. `wants` comes set to all hooks that are not NULL; clear bits (1u << mb_hook) of
     * those that need not be called. Returns MB_OK, or < 0 with `args->error` set. */
    int (*config_new)(void *module, mb_filter_args *args, void **config, uint32_t *wants);
    /* After the last stream of that configuration. */
    void (*config_free)(void *module, void *config);

    mb_headers_status (*request_headers)(mb_filter *filter, bool end_stream);
    mb_body_status (*request_body)(mb_filter *filter, mb_buffer *data, bool end_stream);
    mb_trailers_status (*request_trailers)(mb_filter *filter);
    mb_headers_status (*response_headers)(mb_filter *filter, bool end_stream);
    mb_body_status (*response_body)(mb_filter *filter, mb_buffer *data, bool end_stream);
    mb_trailers_status (*response_trailers)(mb_filter *filter);
    /* After the last byte, before the access log. Headers may be read, not changed. */
    void (*stream_complete)(mb_filter *filter);
    void (*scheduled)(mb_filter *filter, uint64_t event);
    /* Last call: `state` and `stream` are invalid afterwards. Called for every stream in which
     * any other hook of this filter ran. */
    void (*destroy)(mb_filter *filter);
} mb_filter_hooks;

/* Consecutive filters of one module in one call. Runs `filters[0]`, `filters[1]`, ... until one
 * answers other than CONTINUE or calls `respond`, `reset`, `held_body` or `clear_route_cache` (all
 * change what the next one must see); that one's status is returned. `ran` comes back as the
 * number of filters that ran. NULL: the host calls them one by one. */
typedef struct mb_group_hooks {
    int (*headers)(mb_filter *const *filters, uint32_t count, mb_direction direction,
                   bool end_stream, uint32_t *ran);
    int (*body)(mb_filter *const *filters, uint32_t count, mb_direction direction, mb_buffer *data,
                bool end_stream, uint32_t *ran);
    /* All of them, in order: `stream_complete` and `destroy` have no status that could end it. */
    void (*complete)(mb_filter *const *filters, uint32_t count);
    void (*destroy)(mb_filter *const *filters, uint32_t count);
} mb_group_hooks;

typedef struct mb_filter_kind {
    const char *name; /* `filter_name` of the configuration; "*" takes any other */
    const mb_filter_hooks *hooks;
} mb_filter_kind;

typedef struct mb_module {
    uint32_t abi_version; /* MB_ABI_VERSION the module was compiled with */
    uint32_t struct_size;
    const char *name;
    void *context; /* handed to config_new, config_free and on_batch_end */
    const mb_filter_kind *filters;
    uint32_t filter_count;
    uint32_t reserved;
    const mb_group_hooks *group; /* or NULL */
    /* Before the worker waits for events, once after each iteration in which a hook ran. */
    void (*on_batch_end)(void *context);
    void (*free)(void *context); /* when the last configuration that uses it is gone */
    const mb_network_filter_kind *network_filters; /* since 1.1: network_filter.h */
    uint32_t network_filter_count;
    uint32_t reserved2;
} mb_module;

/* cffi: end */

/* The one symbol of a module. Fills `out`; returns MB_OK, or < 0 to refuse (MB_EABI when the
 * host is too old). */
typedef int (*mb_module_init_fn)(const mb_host *host, mb_module *out);
#define MB_MODULE_INIT_SYMBOL "mb_module_init"

#endif
