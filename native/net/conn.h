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
 * the low one (half of high) `on_below_low` once.
 * Life: `on_close` is the last callback. The owner calls mb_conn_free there or later; memory is
 * released at the end of the turn, so a free in any callback is safe.
 */
#ifndef MB_NET_CONN_H
#define MB_NET_CONN_H

#include "event/loop.h"
#include "net/address.h"
#include "net/transport.h"

typedef struct mb_conn mb_conn;

typedef enum mb_close_kind {
    MB_CLOSE_NOW = 0,       /* drop what is queued; FIN */
    MB_CLOSE_RESET,         /* drop what is queued; RST */
    MB_CLOSE_FLUSH,         /* send what is queued, then close */
    MB_CLOSE_FLUSH_LINGER   /* send, FIN, then read and drop until the peer ends or the delay */
} mb_close_kind;

typedef enum mb_close_reason {
    MB_CLOSED_BY_US = 0,
    MB_CLOSED_BY_PEER,        /* an orderly end */
    MB_CLOSED_RESET,          /* ECONNRESET, EPIPE */
    MB_CLOSED_CONNECT_FAILED, /* errno in mb_conn_errno */
    MB_CLOSED_CONNECT_TIMEOUT,
    MB_CLOSED_HANDSHAKE_FAILED,
    MB_CLOSED_ERROR           /* other errno, or out of memory */
} mb_close_reason;

typedef struct mb_conn_events {
    void (*on_connected)(void *owner, mb_conn *conn); /* outgoing only */
    void (*on_data)(void *owner, mb_conn *conn);      /* new bytes in conn->in */
    /* The peer sends no more (half-close). The connection stays until the owner closes it. */
    void (*on_read_end)(void *owner, mb_conn *conn);
    void (*on_above_high)(void *owner, mb_conn *conn);
    void (*on_below_low)(void *owner, mb_conn *conn);
    void (*on_close)(void *owner, mb_conn *conn, mb_close_reason reason);
} mb_conn_events;

/* What all connections of a worker share. */
typedef struct mb_net {
    const mb_allocator *allocator;
    mb_loop *loop;
    mb_slab_pool *slabs;
    uint32_t read_budget_bytes;  /* per connection and turn; 1 MiB */
    uint64_t bytes_copied;       /* statistic: moved between buffers by copying */
} mb_net;

struct mb_conn {
    mb_net *net;
    mb_transport *transport;
    const mb_conn_events *events;
    void *owner;
    mb_buffer in, out;
    uint64_t bytes_read, bytes_written; /* on the transport */
    mb_address remote, local;
    /* the rest is conn.c's own */
    mb_io io;
    mb_task read_task, flush_task, free_task;
    mb_timer timer; /* connect, then delayed close */
    size_t high_bytes;
    uint32_t read_disabled;
    uint32_t read_size; /* adapts to what the peer sends */
    int saved_errno;
    mb_close_reason close_reason;
    unsigned state : 4;
    bool readable, read_ended, above_high, write_ended, want_close, closed, freed;
};

/* An accepted or otherwise connected transport; `fd` -1 without one (memory). Takes the
 * transport. NULL: out of memory (the transport is closed). */
mb_conn *mb_conn_new(mb_net *net, mb_transport *transport, int fd, const mb_address *remote,
                     const mb_conn_events *events, void *owner);
/* Starts to connect; `on_connected` or `on_close` follows, never within the call. Binds to
 * `local` unless it is NULL or empty. TCP_NODELAY is set. */
mb_conn *mb_conn_connect(mb_net *net, const mb_address *remote, const mb_address *local,
                         uint64_t timeout_us, const mb_conn_events *events, void *owner);
void mb_conn_set_owner(mb_conn *conn, const mb_conn_events *events, void *owner);
void mb_conn_set_watermark(mb_conn *conn, size_t high_bytes); /* 0: none */

void mb_conn_read_disable(mb_conn *conn);
void mb_conn_read_enable(mb_conn *conn); /* what came meanwhile is delivered in this turn */
/* `on_data` again in the next turn although nothing new came (input was left in conn->in). */
void mb_conn_read_again(mb_conn *conn);
void mb_conn_flush_later(mb_conn *conn);
/* `delay_us`: for MB_CLOSE_FLUSH (give up) and MB_CLOSE_FLUSH_LINGER. `on_close` is called, within
 * the call for NOW and RESET, later otherwise; no other callback comes in between. */
void mb_conn_close(mb_conn *conn, mb_close_kind kind, uint64_t delay_us);
/* Frees at the end of the turn; closes first if need be, without on_close. */
void mb_conn_free(mb_conn *conn);
int mb_conn_errno(const mb_conn *conn);
/* For transports without a descriptor: the other end wrote, read or closed. */
void mb_conn_ready(mb_conn *conn, uint32_t events);

#endif
