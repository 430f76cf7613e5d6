/*
 * Stage: what may stand between the transport of a connection and its owner's buffers, such as a
 * chain of network filters (filter/network_chain.c). The owner does not notice: it finds in
 * conn->in what the stage let through, and what it puts into conn->out passes the stage on its way
 * to the transport.
 *
 *   transport --> received --[read]--> conn->in --> owner
 *   transport <-- wire <--[write]-- conn->out <-- owner
 *
 * What the stage keeps for itself in between counts: `write_held_bytes` with what waits to be
 * written, against the owner's watermark; and while it has too much of what was read it stops
 * reading (mb_conn_stage_pause). The end of a direction passes like its bytes.
 *
 * Every function of the vtable is called from the loop, never from within a call of the owner,
 * except `closed`, which therefore only notes it. A connection with a stage tells its owner
 * `on_connected` too when it was accepted: once the stage has let it through.
 *
 * Life: the connection's memory stays until the stage has said mb_conn_stage_done, even when the
 * owner has freed it: the stage may still tell its filters about the end.
 */
#ifndef MB_NET_STAGE_H
#define MB_NET_STAGE_H

#include "net/conn.h"

typedef struct mb_stage_vtable {
    /* The transport is usable, and the owner has not been called back yet. */
    void (*opened)(mb_stage *stage);
    /* Bytes came (`stage->received`, to be emptied), or the peer's end. */
    void (*read)(mb_stage *stage, bool end);
    /* The owner has written (conn->out, to be emptied), or ended its side. While the connection is
     * closing this is called until the stage has passed on the end, or the close gives up. */
    void (*write)(mb_stage *stage, bool end);
    /* Nothing is read or written any more; mb_conn_stage_done follows, in a later phase. */
    void (*closed)(mb_stage *stage, mb_close_reason reason);
} mb_stage_vtable;

struct mb_stage {
    const mb_stage_vtable *vtable;
    mb_conn *conn;
    mb_buffer received; /* read, and not yet looked at */
    mb_buffer wire;     /* on its way to the transport */
    size_t write_held_bytes;
    /* stage.c's own */
    mb_task task;          /* MB_PHASE_NOTIFY: opened, write */
    bool is_open : 1;      /* `opened` was called */
    bool is_connected : 1; /* the owner may know of it */
    bool wire_end : 1;     /* the end goes out behind `wire` */
    bool read_paused : 1;  /* nothing is read for now */
};

/* Puts a stage into a connection that has not been through a turn of the loop. `stage->vtable` is
 * set. The connection does not own it. */
void mb_conn_set_stage(mb_conn *conn, mb_stage *stage);

/* -- called by the stage, never by filters directly ------------------------------------------- */

/* The stage has let the connection through: the owner may know of it. */
void mb_conn_stage_connected(mb_stage *stage);
/* Gives bytes (all of `data`) and the end to the owner. MB_OK, or MB_ENOMEM: the connection is
 * closed. The owner may close or free the connection in it. */
int mb_conn_stage_deliver(mb_stage *stage, mb_buffer *data, bool end);
/* Has bytes (all of `data`) and the end written at the end of the turn. Results as above. */
int mb_conn_stage_send(mb_stage *stage, mb_buffer *data, bool end);
/* Stops reading from the transport, or goes on. What was delivered is not affected. */
void mb_conn_stage_pause(mb_stage *stage, bool paused);
/* The owner or a filter is closing the connection, and what was written still goes out. */
bool mb_conn_stage_closing(const mb_stage *stage);
/* `write_held_bytes` has changed: the owner's watermarks are looked at. */
void mb_conn_stage_held(mb_stage *stage);
/* Last call of a stage that was told `closed`. */
void mb_conn_stage_done(mb_stage *stage);

#endif
