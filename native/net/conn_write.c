/*
 * Writing: what the owner queued in conn->out goes to the transport in one call at the end of the
 * turn, and goes on at the edge that says there is room again.
 *
 * Flushing may happen inside a hook of some other stream (before a wait for the GIL), so it never
 * calls an owner: what it finds (room again, broken, all sent) is told in MB_PHASE_NOTIFY.
 */
#include "net/conn_internal.h"
#include "net/send_batch.h"

#include <errno.h>

static inline bool is_below_low(const mb_conn *conn) {
    return conn->high_bytes == 0 || mb__conn_queued(conn) <= conn->high_bytes / 2;
}

/* All is sent: what was to come behind it. */
static void write_finished(mb_conn *conn) {
    if (!conn->write_ended && (conn->lingering || conn->state == MB_CONN_OPEN)) {
        conn->transport->vtable->shut_write(conn->transport);
        conn->write_ended = true;
    }
    if (conn->state != MB_CONN_CLOSING) {
        return;
    }
    if (conn->lingering && !conn->read_ended) {
        mb_loop_arm(conn->net->loop, &conn->timer, conn->close_delay_us);
    } else {
        mb__conn_notify_later(conn);
    }
}

/* The end passes a stage as the bytes do. */
static bool stage_ended(const mb_conn *conn) {
    return conn->stage == NULL || conn->stage->wire_end;
}

static void write_broke(mb_conn *conn, mb_buffer *out, int error) {
    conn->saved_errno = error;
    conn->write_failed = true;
    mb_buffer_clear(&conn->out);
    mb_buffer_clear(out);
    mb__conn_notify_later(conn);
}

/* The transport has taken `count` bytes off the front of `out`, 0 when it is full. */
static void wrote(mb_conn *conn, const mb_buffer *out, int64_t count) {
    conn->bytes_written += (uint64_t)count;
    conn->net->bytes_written += (uint64_t)count;
    if (MB_UNLIKELY(conn->state == MB_CONN_CLOSING) && count > 0 && conn->close_delay_us > 0) {
        mb_loop_arm(conn->net->loop, &conn->timer, conn->close_delay_us);
    }
    conn->write_blocked = out->length > 0;
}

/* What is to be done once bytes have gone, or none had to. */
static void after_write(mb_conn *conn, const mb_buffer *out) {
    if (MB_UNLIKELY(conn->above_high) && is_below_low(conn)) {
        mb__conn_notify_later(conn);
    }
    if (MB_UNLIKELY(conn->write_ending) && out->length == 0 && stage_ended(conn)) {
        write_finished(conn);
    }
}

void mb__conn_write(mb_conn *conn) {
    mb_buffer *out = MB_LIKELY(conn->stage == NULL) ? &conn->out : &conn->stage->wire;
    if (MB_LIKELY(out->length > 0)) {
        int64_t count = conn->transport->vtable->write(conn->transport, out);
        if (MB_UNLIKELY(count < 0 && count != MB_EAGAIN)) {
            write_broke(conn, out, errno);
            return;
        }
        wrote(conn, out, count > 0 ? count : 0);
    }
    after_write(conn, out);
}

void mb__conn_sent(mb_conn *conn, int64_t result) {
    if (MB_UNLIKELY(result < 0 && result != -EAGAIN)) {
        write_broke(conn, &conn->out, (int)-result);
        return;
    }
    size_t count = result > 0 ? (size_t)result : 0;
    mb_buffer_drain(&conn->out, count);
    wrote(conn, &conn->out, (int64_t)count);
    after_write(conn, &conn->out);
}

void mb__conn_on_flush_task(mb_task *task) {
    mb_conn *conn = MB_LIST_ENTRY(task, mb_conn, flush_task);
    if (!conn->write_blocked && !conn->write_failed && !mb_send_batch_add(conn->net->sends, conn)) {
        mb__conn_write(conn);
    }
}

void mb__conn_tell_below_low(mb_conn *conn) {
    if (conn->above_high && is_below_low(conn)) {
        conn->above_high = false;
        if (conn->events->on_below_low != NULL) {
            conn->events->on_below_low(conn->owner, conn);
        }
    }
}

void mb_conn_set_watermark(mb_conn *conn, size_t high_bytes) {
    conn->high_bytes = high_bytes;
    if (conn->above_high && is_below_low(conn) && conn->state != MB_CONN_CLOSED) {
        mb__conn_notify_later(conn);
    }
}

void mb_conn_flush_later(mb_conn *conn) {
    if (MB_UNLIKELY(conn->state == MB_CONN_CLOSED || conn->write_failed)) {
        mb_buffer_clear(&conn->out);
        return;
    }
    if (MB_UNLIKELY(conn->stage != NULL)) {
        mb__stage_write_later(conn);
    } else if (MB_LIKELY(conn->state >= MB_CONN_OPEN && !conn->write_blocked)) {
        mb_loop_defer(conn->net->loop, MB_PHASE_FLUSH, &conn->flush_task);
    }
    mb__conn_check_high(conn);
}

void mb__conn_check_high(mb_conn *conn) {
    if (MB_UNLIKELY(mb__conn_queued(conn) > conn->high_bytes) && conn->high_bytes > 0 &&
        !conn->above_high && conn->state != MB_CONN_CLOSING) {
        conn->above_high = true;
        if (conn->events->on_above_high != NULL) {
            conn->events->on_above_high(conn->owner, conn);
        }
    }
}

void mb_conn_end_write(mb_conn *conn) {
    if (conn->state != MB_CONN_CLOSED && conn->state != MB_CONN_CLOSING) {
        conn->write_ending = true;
        mb_conn_flush_later(conn);
    }
}
