/*
 * What the files of a connection share: conn.c (life), conn_read.c, conn_write.c.
 */
#ifndef MB_NET_CONN_INTERNAL_H
#define MB_NET_CONN_INTERNAL_H

#include "net/stage.h"

typedef enum mb_conn_state {
    MB_CONN_CONNECTING = 0, /* outgoing; its MB_PHASE_NOTIFY means that it could not even start */
    MB_CONN_HANDSHAKE,
    MB_CONN_OPEN,
    MB_CONN_CLOSING, /* by us: flushing, then perhaps lingering; no callback but on_close */
    MB_CONN_CLOSED
} mb_conn_state;

/* Small reads share slabs of the pool, larger ones the bulk slab of mb_net. */
#define MB_READ_SMALL_BYTES (16u * 1024u)
#define MB_READ_BULK_BYTES MB_SLAB_LARGE_BYTES
/* Large slabs of a worker, 3 MiB: 100 streams that wait, with a buffer limit of 32 KiB, stay below
 * 16 MiB with it, all that they need otherwise included; and 32 connections that transfer 1 MiB
 * each are as fast as without a bound (with one slab they are not). */
#define MB_BULK_SLABS_MAX 12u

#define MB_LIKELY(condition) __builtin_expect((condition) != 0, 1)
#define MB_UNLIKELY(condition) __builtin_expect((condition) != 0, 0)

/* Closes at once and tells the owner. Nothing when closed already. */
void mb__conn_fail(mb_conn *conn, mb_close_reason reason, int error);
/* The reason that an errno of the transport stands for. */
mb_close_reason mb__conn_reason(int error);
/* Frees the memory of a closed connection at the end of the turn. */
void mb__conn_free_later(mb_conn *conn);
/* Has what `flush` found told to the owner: MB_PHASE_NOTIFY. */
void mb__conn_notify_later(mb_conn *conn);

/* What waits to be written: the owner's queue, and what a stage has of it. */
static inline size_t mb__conn_queued(const mb_conn *conn) {
    const mb_stage *stage = conn->stage;
    return conn->out.length +
           (MB_UNLIKELY(stage != NULL) ? stage->wire.length + stage->write_held_bytes : 0);
}
/* Tells the owner that input waits or has ended, as far as it wants to know now. */
void mb__conn_give_input(mb_conn *conn);
/* At most once a crossing of the high watermark. */
void mb__conn_check_high(mb_conn *conn);

/* stage.c. What conn_read.c and conn_write.c do instead where there is a stage. */
void mb__stage_start(mb_conn *conn);
void mb__stage_read(mb_conn *conn, bool end);
void mb__stage_write_later(mb_conn *conn);
void mb__stage_closed(mb_conn *conn, mb_close_reason reason);

/* conn_read.c. An event for reading while open. */
void mb__conn_on_readable(mb_conn *conn, uint32_t events);
/* Reads and delivers until the transport is empty, the owner stops it or the budget is used. */
void mb__conn_read(mb_conn *conn);
/* While lingering: reads and drops. */
void mb__conn_drop(mb_conn *conn);
void mb__conn_on_read_task(mb_task *task);

/* conn_write.c. Writes what is queued, as far as the transport takes it; never calls the owner. */
void mb__conn_write(mb_conn *conn);
/* A batch has sent the front of conn->out: `result` bytes of it, or -errno. */
void mb__conn_sent(mb_conn *conn, int64_t result);
void mb__conn_on_flush_task(mb_task *task);
/* At the end of a flush that brought it to the low watermark or below. */
void mb__conn_tell_below_low(mb_conn *conn);

#endif
