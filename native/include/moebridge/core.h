/*
 * The core as a library: make a server, give it modules and a configuration, run it.
 *
 * One server is one worker: it belongs to the thread that runs it, except for the functions
 * marked "Thread: any". A process may hold several. There is no global state.
 *
 * The order of calls: mb_server_new, mb_server_add_module*, mb_server_apply, mb_server_run in a
 * loop, mb_server_drain, mb_server_run until drained, mb_server_free.
 */
#ifndef MOEBRIDGE_CORE_H
#define MOEBRIDGE_CORE_H

#include <moebridge/filter.h>

/* cffi: begin */

typedef struct mb_server mb_server;

typedef struct mb_server_options {
    uint32_t struct_size;
    uint32_t worker_index;
    const mb_allocator *allocator; /* NULL: malloc */
    const mb_clock *clock;         /* NULL: the system's */
    mb_logger logger;              /* `log` NULL: nothing is logged */
    uint32_t flags;                /* MB_SERVER_* */
} mb_server_options;

enum {
    MB_SERVER_NO_IO_URING = 1 /* each write is a system call, also where io_uring could send many */
};

/* A descriptor of somebody else's (asyncio's) that became ready. */
typedef struct mb_ready {
    int32_t fd;
    uint32_t events; /* MB_READY_* */
} mb_ready;

enum { MB_READY_READ = 1, MB_READY_WRITE = 2 };

/* Why mb_server_run returned; bits. */
enum {
    MB_RUN_TIMEOUT = 1, /* the time is over */
    MB_RUN_READY = 2,   /* watched descriptors are ready: see mb_server_ready */
    MB_RUN_YIELD = 4,   /* a hook or another thread asked for it: mb_server_yield */
    MB_RUN_DRAINED = 8  /* draining, and the last stream and connection are gone */
};

const char *mb_version(void);
const char *mb_strerror(int error); /* for any MB_E*; never NULL */
/* The host table; it lives as long as the process. */
const mb_host *mb_host_table(void);

/* MB_OK, MB_ENOMEM, MB_EIO (no descriptors; errno). */
int mb_server_new(const mb_server_options *options, mb_server **out);
/* Closes everything at once. Leases that are still out stay valid until released. */
void mb_server_free(mb_server *server);
/* The calling thread becomes the owner: needed when another thread made the server. */
void mb_server_adopt_thread(mb_server *server);
mb_worker *mb_server_worker(mb_server *server);
const mb_hook_slot *mb_server_hook_slot(const mb_server *server); /* Thread: any reads */

/* Adds a module that lives in this process; `*module` is copied, what it points to is not. */
int mb_server_add_module(mb_server *server, const mb_module *module);

/* Applies a configuration document (msgpack; its model is moebridge.config.model) as a whole, or
 * nothing of it. On MB_ECONFIG and MB_EABI `*faults` is text, one fault a line as
 * "path: what is wrong", to be freed with mb_text_free. New listeners are bound, but accept
 * only after mb_server_start. Streams finish on the configuration they began with. */
int mb_server_apply(mb_server *server, const char *document, size_t length, char **faults);
/* Checks a document as mb_server_apply would, without binding, opening or keeping anything. */
int mb_server_check(mb_server *server, const char *document, size_t length, char **faults);
/* Starts accepting on all listeners, also those of later configurations. */
int mb_server_start(mb_server *server);
void mb_text_free(char *text);

/* Runs turns of the loop until one of MB_RUN_* holds. `timeout_us` < 0: no limit; 0: one turn
 * without waiting. Returns the bits, or MB_EIO. */
int mb_server_run(mb_server *server, int64_t timeout_us);
/* Makes the running or next mb_server_run return after its turn. Thread: any. */
void mb_server_yield(mb_server *server);

/* Watches a descriptor, level-triggered; `events` 0 stops. MB_OK, MB_ENOMEM, MB_EIO. */
int mb_server_watch(mb_server *server, int fd, uint32_t events);
/* Takes what became ready since the last call. Returns how many were written. */
size_t mb_server_ready(mb_server *server, mb_ready *out, size_t max);

/* Stops accepting, says so to clients (connection: close), lets streams end for up to
 * `timeout_us`, then resets the rest. Returns at once. */
void mb_server_drain(mb_server *server, uint64_t timeout_us);

/* How many addresses all listeners together listen on. */
size_t mb_server_listener_count(const mb_server *server);
/* One of them: the listener's name, "name[1]" for its second address and so on; and "ip:port",
 * "unix:///path" or "unix:@name"; NUL-terminated, valid until the next apply. */
int mb_server_listener(const mb_server *server, size_t index, const char **name,
                       const char **address);

/* All metrics as one msgpack map: name -> integer, or for a histogram {count, sum, buckets:
 * [[upper bound, cumulative count]...]}. To be freed with mb_text_free. Thread: any while the
 * server lives. */
int mb_server_stats(mb_server *server, char **out, size_t *length);
/* The same in Prometheus' text format, with Envoy's names. */
int mb_server_prometheus(mb_server *server, char **out, size_t *length);
/* Opens the files of access logs again (after logrotate moved them). */
int mb_server_reopen_logs(mb_server *server);
/* Lines with a level below this are not made. Thread: any. */
void mb_server_set_log_level(mb_server *server, mb_log_level level);

/* The operations of filter.h on objects of one's own, for tests and benchmarks without sockets.
 * Each pair frees what it made; NULL: out of memory. */
mb_headers *mb_headers_new(void);
void mb_headers_free(mb_headers *headers);
mb_buffer *mb_buffer_new(void);
void mb_buffer_free(mb_buffer *buffer);

/* Messages without sockets, timers, routes and upstreams, for benchmarks and tests of filters: a
 * request (head and body as on the wire) is read, goes through the filters of the first listener
 * and is written; then the response takes its way back. */
typedef struct mb_rehearsal mb_rehearsal;
typedef enum mb_rehearsal_kind {
    MB_REHEARSE_EXCHANGE = 0, /* request and response, a stream each time */
    MB_REHEARSE_HOOK = 1,     /* one exchange, and in it the request headers hook of the first
                               * filter (or group of filters of its module) that often */
    MB_REHEARSE_READ = 2,     /* the request's head is read, no more */
    MB_REHEARSE_WRITE = 3     /* it is written, having been read once */
} mb_rehearsal_kind;

/* Both messages are copied. MB_OK, MB_ENOMEM; MB_EPHASE: no configuration with a listener. */
int mb_rehearsal_new(mb_server *server, mb_slice request, mb_slice response, mb_rehearsal **out);
void mb_rehearsal_free(mb_rehearsal *rehearsal); /* before its server */
/* Has the next mb_server_run do it `times` times in its turn: hooks run in one batch. */
void mb_rehearsal_start(mb_rehearsal *rehearsal, mb_rehearsal_kind kind, uint64_t times);
/* How often it was done since; MB_EAGAIN: not yet; MB_EPROTO: a message was refused, or a filter
 * did not let it through at once. */
int64_t mb_rehearsal_done(const mb_rehearsal *rehearsal);
/* What the last one sent: MB_REQUEST to the upstream, MB_RESPONSE to the client. Valid until the
 * next start. MB_OK, MB_ENOMEM. */
int mb_rehearsal_sent(mb_rehearsal *rehearsal, mb_direction direction, mb_slice *out);

/* cffi: end */

#endif
