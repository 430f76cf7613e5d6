/*
 * What the files of a connection share: conn.c (life), conn_read.c, conn_write.c.
 */
#ifndef MB_NET_CONN_INTERNAL_H
#define MB_NET_CONN_INTERNAL_H

#include "net/conn.h"

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

#define MB_LIKELY(condition) __builtin_expect((condition) != 0, 1)
#define MB_UNLIKELY(condition) __builtin_expect((condition) != 0, 0)

/* Closes at once and tells the owner. Nothing when closed already. */
void mb__conn_fail(mb_conn *conn, mb_close_reason reason, int error);
/* The reason that an errno of the transport stands for. */
mb_close_reason mb__conn_reason(int error);
/* Has what `flush` found told to the owner: MB_PHASE_NOTIFY. */
void mb__conn_notify_later(mb_conn *conn);

/* conn_read.c. An event for reading while open. */
void mb__conn_on_readable(mb_conn *conn, uint32_t events);
/* Reads and delivers until the transport is empty, the owner stops it or the budget is used. */
void mb__conn_read(mb_conn *conn);
/* While lingering: reads and drops. */
void mb__conn_drop(mb_conn *conn);
void mb__conn_on_read_task(mb_task *task);

/* conn_write.c. Writes what is queued, as far as the transport takes it; never calls the owner. */
void mb__conn_write(mb_conn *conn);
void mb__conn_on_flush_task(mb_task *task);
/* At the end of a flush that brought it to the low watermark or below. */
void mb__conn_tell_below_low(mb_conn *conn);

#endif
