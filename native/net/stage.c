/*
 * Stage: the connection's side of it, see stage.h.
 *
 * Writing. The owner's queue is given to the stage in MB_PHASE_NOTIFY, not in MB_PHASE_FLUSH,
 * since flushing happens inside of hooks of other streams and never calls anybody. What comes out
 * is flushed in the same run of deferred tasks, after the batch of hooks has ended.
 */
#include "net/conn_internal.h"

#include <errno.h>

static void open_stage(mb_stage *stage) {
    stage->is_open = true;
    stage->vtable->opened(stage);
}

static void on_task(mb_task *task) {
    mb_stage *stage = MB_LIST_ENTRY(task, mb_stage, task);
    mb_conn *conn = stage->conn;
    if (!stage->is_open && conn->state == MB_CONN_OPEN) {
        open_stage(stage);
    }
    if (!stage->is_open || conn->state == MB_CONN_CLOSED) {
        return;
    }
    if (conn->write_failed || stage->wire_end) {
        mb_buffer_clear(&conn->out);
    } else if (conn->out.length > 0 || conn->write_ending) {
        stage->vtable->write(stage, conn->write_ending);
    }
}

void mb_conn_set_stage(mb_conn *conn, mb_stage *stage) {
    stage->conn = conn;
    stage->task = (mb_task){.run = on_task};
    stage->write_held_bytes = 0;
    stage->is_open = stage->is_connected = stage->wire_end = stage->read_paused = false;
    mb_buffer_init(&stage->received, conn->net->slabs);
    mb_buffer_init(&stage->wire, conn->net->slabs);
    conn->stage = stage;
    if (conn->state == MB_CONN_OPEN) {
        mb_loop_defer(conn->net->loop, MB_PHASE_NOTIFY, &stage->task);
    }
}

/* -- from the connection ----------------------------------------------------------------------- */

void mb__stage_start(mb_conn *conn) {
    open_stage(conn->stage);
}

void mb__stage_read(mb_conn *conn, bool end) {
    mb_stage *stage = conn->stage;
    if (!stage->is_open) {
        open_stage(stage);
    }
    if (conn->state == MB_CONN_OPEN) {
        stage->vtable->read(stage, end);
    }
}

void mb__stage_write_later(mb_conn *conn) {
    mb_stage *stage = conn->stage;
    if (!stage->is_open && conn->state == MB_CONN_CLOSING) {
        stage->wire_end = true; /* it has seen nothing of this connection, and never will */
        mb_loop_defer(conn->net->loop, MB_PHASE_FLUSH, &conn->flush_task);
    } else if (conn->state >= MB_CONN_OPEN) {
        mb_loop_defer(conn->net->loop, MB_PHASE_NOTIFY, &stage->task);
    }
}

void mb__stage_closed(mb_conn *conn, mb_close_reason reason) {
    mb_stage *stage = conn->stage;
    mb_loop_cancel(&stage->task);
    mb_buffer_clear(&stage->wire);
    stage->write_held_bytes = 0;
    stage->vtable->closed(stage, reason);
}

/* -- from the stage ---------------------------------------------------------------------------- */

void mb_conn_stage_connected(mb_stage *stage) {
    mb_conn *conn = stage->conn;
    stage->is_connected = true;
    if (conn->state == MB_CONN_OPEN && conn->events->on_connected != NULL) {
        conn->events->on_connected(conn->owner, conn);
    }
}

int mb_conn_stage_deliver(mb_stage *stage, mb_buffer *data, bool end) {
    mb_conn *conn = stage->conn;
    if (conn->state != MB_CONN_OPEN) {
        mb_buffer_clear(data);
        return MB_OK;
    }
    if (data->length > 0) {
        if (mb_buffer_move(&conn->in, data) < 0) {
            mb__conn_fail(conn, MB_CLOSED_ERROR, ENOMEM);
            return MB_ENOMEM;
        }
        conn->again = true;
    }
    conn->end_due = conn->end_due || end;
    mb__conn_give_input(conn);
    return MB_OK;
}

int mb_conn_stage_send(mb_stage *stage, mb_buffer *data, bool end) {
    mb_conn *conn = stage->conn;
    if (conn->state == MB_CONN_CLOSED || conn->write_failed || stage->wire_end) {
        mb_buffer_clear(data);
        return MB_OK;
    }
    if (data->length > 0 && mb_buffer_move(&stage->wire, data) < 0) {
        mb__conn_fail(conn, MB_CLOSED_ERROR, ENOMEM);
        return MB_ENOMEM;
    }
    stage->wire_end = end;
    if (!conn->write_blocked) {
        mb_loop_defer(conn->net->loop, MB_PHASE_FLUSH, &conn->flush_task);
    }
    return MB_OK;
}

void mb_conn_stage_pause(mb_stage *stage, bool paused) {
    mb_conn *conn = stage->conn;
    stage->read_paused = paused;
    if (!paused && conn->state == MB_CONN_OPEN && conn->readable) {
        mb_loop_defer(conn->net->loop, MB_PHASE_READ, &conn->read_task);
    }
}

bool mb_conn_stage_closing(const mb_stage *stage) {
    return stage->conn->state == MB_CONN_CLOSING;
}

void mb_conn_stage_held(mb_stage *stage) {
    mb_conn *conn = stage->conn;
    if (conn->state != MB_CONN_OPEN) {
        return;
    }
    mb__conn_check_high(conn);
    if (conn->state == MB_CONN_OPEN && conn->above_high) {
        mb__conn_notify_later(conn); /* it looks whether that is still true */
    }
}

void mb_conn_stage_done(mb_stage *stage) {
    mb_conn *conn = stage->conn;
    mb_buffer_fini(&stage->received);
    mb_buffer_fini(&stage->wire);
    conn->stage = NULL;
    if (conn->freed) {
        mb__conn_free_later(conn);
    }
}
