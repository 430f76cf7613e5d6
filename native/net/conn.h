/*
 * Connection: a transport with an input buffer, an output queue and watermarks, driven by the
 * loop. Downstream and upstream connections are the same thing with another owner.
 *
 * Reading: edge-triggered; reads until a short read (no extra call for EAGAIN) or until the byte
 * budget of the turn is used, then goes on in the next turn. The owner takes bytes from
 * `conn->in` in `on_data`; what it leaves stays. `mb_conn_read_disable` counts: while > 0 nothing
 * is read, so the kernel pushes back on the peer.
 * Writing: the owner appends to `conn->out` and calls `mb_conn_flush_later`; one writev at the
 * end of the turn sends all. Above the high watermark `on_above_high` is called once, at or below
 * the low one (half of high) `on_below_low` once. When a write fails, what the peer had sent before
 * is still read; `on_close` follows.
 * Life: `on_close` is the last callback. The owner calls mb_conn_free there or later; memory is
 * released at the end of the turn, so a free in any callback is safe.
 *
 * Callbacks come from the loop (events, timers, MB_PHASE_READ, MB_PHASE_NOTIFY), never from
 * within a call of the owner, but for two: `on_above_high` from mb_conn_flush_later, `on_close`
 * from mb_conn_close with NOW or RESET. In any of them the owner may call every function here.
 */
#ifndef MB_NET_CONN_H
#define MB_NET_CONN_H

#include "event/loop.h"
#include "net/address.h"
#include "net/transport.h"

typedef struct mb_conn mb_conn;
typedef struct mb_stage mb_stage;           /* stage.h */
typedef struct mb_send_batch mb_send_batch; /* send_batch.h */

typedef enum mb_close_kind {
    MB_CLOSE_NOW = 0,     /* drop what is queued; FIN */
    MB_CLOSE_RESET,       /* drop what is queued; RST */
    MB_CLOSE_FLUSH,       /* send what is queued, then close */
    MB_CLOSE_FLUSH_LINGER /* send, FIN, and read and drop until the peer ends or the delay */
} mb_close_kind;

typedef enum mb_close_reason {
    MB_CLOSED_BY_US = 0,
    MB_CLOSED_BY_PEER,          /* an orderly end */
    MB_CLOSED_RESET,            /* ECONNRESET, EPIPE */
    MB_CLOSED_CONNECT_FAILED,   /* errno in mb_conn_errno */
    MB_CLOSED_CONNECT_TIMEOUT,  /* of an accepted one: its handshake took too long */
    MB_CLOSED_HANDSHAKE_FAILED, /* mb_transport_failure says why */
    MB_CLOSED_ERROR             /* other errno, or out of memory */
} mb_close_reason;

/* All but `on_data` and `on_close` may be NULL. */
typedef struct mb_conn_events {
    /* Bytes may flow: an outgoing one is connected and shook hands; an accepted one shook hands or
     * has passed its stage, unless it was open from the first moment (mb_conn_is_open). */
    void (*on_connected)(void *owner, mb_conn *conn);
    void (*on_data)(void *owner, mb_conn *conn); /* new bytes in conn->in */
    /* The peer sends no more (half-close). The connection stays until the owner closes it. */
    void (*on_read_end)(void *owner, mb_conn *conn);
    void (*on_above_high)(void *owner, mb_conn *conn);
    void (*on_below_low)(void *owner, mb_conn *conn);
    void (*on_close)(void *owner, mb_conn *conn, mb_close_reason reason);
    /* An event is near: mb_io.prefetch, from step 2 on. The first bytes of `owner` are there. */
    void (*prefetch)(void *owner, unsigned step);
} mb_conn_events;

#define MB_NET_READ_BUDGET_BYTES (1024u * 1024u)
/* A close that sends what is queued, but cannot for this long, is given up. */
#define MB_CONN_FINAL_FLUSH_US 30000000u

/* What all connections of a worker share, and what is counted over them. */
typedef struct mb_net {
    const mb_allocator *allocator;
    mb_loop *loop;
    mb_slab_pool *slabs;
    uint32_t read_budget_bytes;  /* per connection and turn */
    mb_slab *bulk;               /* what connections that fill large reads share; may be NULL */
    mb_send_batch *sends;        /* small writes of a turn in few system calls; may be NULL */
    uint64_t connections_opened; /* accepted and outgoing, those that failed included */
    uint64_t connections_active; /* not closed yet */
    uint64_t connects_failed;    /* outgoing; timeouts included */
    uint64_t bytes_read, bytes_written;
} mb_net;

/* Sets all; `read_budget_bytes` may be changed afterwards. */
void mb_net_init(mb_net *net, const mb_allocator *allocator, mb_loop *loop, mb_slab_pool *slabs);
/* Lets connections send by io_uring where the kernel has it. */
void mb_net_batch_sends(mb_net *net);
/* Gives its slab back, before the pool is freed. Its connections are gone by then. */
void mb_net_fini(mb_net *net);

struct mb_conn {
    mb_net *net;
    mb_transport *transport; /* NULL when there was no socket for a connect */
    const mb_conn_events *events;
    void *owner;
    mb_stage *stage; /* between transport and `in`, `out`; NULL: there is none */
    /* conn.c's own: here to lie on the line that every event touches */
    mb_io io;
    uint32_t read_disabled;
    uint32_t read_size; /* adapts to what the peer sends */
    uint8_t state;      /* conn_internal.h */
    bool readable : 1;  /* an edge came and the transport was not seen empty since */
    bool reading : 1;   /* on_data is on the stack */
    bool again : 1;     /* on_data is owed without new bytes */
    bool hangup : 1;    /* read on past short reads: the end will be seen */
    bool end_due : 1;   /* on_read_end is owed after `again` */
    bool write_blocked : 1;
    bool above_high : 1;
    bool detect_reset : 1;
    bool outgoing : 1;
    /* what others may look at */
    bool read_ended : 1;   /* the peer sends no more */
    bool write_failed : 1; /* nothing can be sent any more; on_close follows */
    bool write_ending : 1; /* our FIN goes out behind what is queued */
    bool write_ended : 1;
    bool lingering : 1;
    bool closed : 1, freed : 1;
    int saved_errno; /* conn.c's own: here it takes no room */
    mb_buffer in, out;
    uint64_t bytes_read, bytes_written; /* on the transport */
    /* conn.c's own */
    mb_task read_task, flush_task, notify_task; /* notify_task frees in the end */
    size_t high_bytes;
    mb_timer timer; /* connect and handshake, then delayed close */
    uint64_t close_delay_us;
    mb_address remote, local; /* for all to read; `local` of an outgoing one once connected */
};

/* An accepted or otherwise connected transport; `fd` -1 without one (memory). Takes the
 * transport. NULL: out of memory (the transport is closed and freed). */
mb_conn *mb_conn_new(mb_net *net, mb_transport *transport, int fd, const mb_address *remote,
                     const mb_conn_events *events, void *owner);
/* False while its transport shakes hands or its stage waits: then `on_connected` or `on_close`
 * follows, and nothing else before. */
bool mb_conn_is_open(const mb_conn *conn);
/* For an accepted one: its handshake is over within that time, or it is closed with
 * MB_CLOSED_CONNECT_TIMEOUT. 0: no limit. */
void mb_conn_set_handshake_timeout(mb_conn *conn, uint64_t timeout_us);
/* From where an outgoing connection comes: an address that need not be of this machine
 * (IP_TRANSPARENT), and a mark for routing. */
typedef struct mb_source {
    mb_address address; /* port 0: any free one */
    uint32_t mark;      /* SO_MARK; 0: none */
} mb_source;

typedef struct mb_connect_options {
    const mb_address *remote;
    const mb_address *local;         /* bound to; NULL or empty: the system's choice */
    const mb_source *source;         /* instead of `local`; NULL: none */
    uint64_t timeout_us;             /* with the transport's handshake; 0: the kernel's */
    const mb_transport_maker *maker; /* used in the call; NULL: plain */
} mb_connect_options;

/* Starts to connect; `on_connected` (the handshake is done) or `on_close` follows, never within
 * the call. TCP_NODELAY is set. What is queued before goes out when connected. NULL: out of
 * memory. */
mb_conn *mb_conn_connect(mb_net *net, const mb_connect_options *options,
                         const mb_conn_events *events, void *owner);
void mb_conn_set_owner(mb_conn *conn, const mb_conn_events *events, void *owner);
void mb_conn_set_watermark(mb_conn *conn, size_t high_bytes); /* 0: none */
/* Whether a reset by the peer closes at once while reading is disabled (what it sent before is
 * dropped). On for accepted connections, so that a client that vanished is noticed while its
 * answer is on the way; off for outgoing ones, so that an answer is read to its end. */
void mb_conn_set_detect_reset(mb_conn *conn, bool detect);

void mb_conn_read_disable(mb_conn *conn);
/* What came meanwhile or was left in conn->in is delivered before the next wait. */
void mb_conn_read_enable(mb_conn *conn);
/* `on_data` again in the next turn although nothing new came (input was left in conn->in). */
void mb_conn_read_again(mb_conn *conn);
/* What is in conn->out goes out at the end of the turn. May call `on_above_high`. */
void mb_conn_flush_later(mb_conn *conn);
/* Half-close: FIN behind what is queued; nothing may be queued afterwards. Reading goes on. */
void mb_conn_end_write(mb_conn *conn);
/* `delay_us`: for MB_CLOSE_FLUSH how long it may stand still before it is given up (0: for ever);
 * the same for MB_CLOSE_FLUSH_LINGER, and then how long to wait for the peer's end (0: not).
 * `on_close` is called, within the call for NOW and RESET, later otherwise; no other callback
 * comes in between. Before the connection is up FLUSH and LINGER drop what is queued. A further
 * call changes something only with NOW or RESET. */
void mb_conn_close(mb_conn *conn, mb_close_kind kind, uint64_t delay_us);
/* Frees at the end of the turn; closes first if need be, without on_close. */
void mb_conn_free(mb_conn *conn);
int mb_conn_errno(const mb_conn *conn);
/* For transports without a descriptor: the other end wrote, read or closed. */
void mb_conn_ready(mb_conn *conn, uint32_t events);

#endif
