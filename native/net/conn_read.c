/*
 * Reading: from the transport into slabs, slices of which go into conn->in.
 *
 * A connection starts with small reads out of the slab that all share, so that requests of many
 * connections lie together. One that fills its reads moves to the bulk slab and gets pieces of up
 * to 256 KiB; it moves back by halves when they stay small. Neither slab is held by a connection
 * that has no bytes.
 *
 * Memory. A large read goes past what the owner's buffers may hold, before the owner can say that
 * it has enough, and its last slice keeps all of its slab. Where the bytes are soon sent on, that
 * costs nothing. Where they have to wait (a client that takes nothing), it would cost up to a large
 * slab for each connection that waits. So large slabs are a common good of the worker: once
 * MB_BULK_SLABS_MAX of them are held, by whomever, a large read goes to the small slab that all
 * share, until one of them is given back. A connection that waits then holds its buffer limit and
 * at most a small slab more. That is looked at when a large slab is full, once in some 200 KiB,
 * never in a small read.
 */
#include "net/conn_internal.h"

#include <errno.h>

/* Less room at the end of the bulk slab than this is not worth a system call. */
#define MB_BULK_ROOM_MIN (64u * 1024u)

/* NULL: large reads have to wait, or out of memory. */
static mb_slab *bulk_slab(mb_net *net) {
    mb_slab *slab = net->bulk;
    if (slab != NULL) {
        if (slab->refs == 1) {
            slab->used = 0; /* nobody holds a slice of it any more */
        }
        if (slab->capacity - slab->used >= MB_BULK_ROOM_MIN) {
            return slab;
        }
        mb_slab_unref(slab);
        net->bulk = NULL;
    }
    if (net->slabs->live_large < MB_BULK_SLABS_MAX) {
        net->bulk = mb_slab_new_large(net->slabs);
    }
    return net->bulk;
}

/* Where the next read goes. MB_OK or MB_ENOMEM. */
static int read_room(mb_conn *conn, mb_slab **slab, char **at, size_t *room) {
    mb_slab *bulk;
    if (MB_LIKELY(conn->read_size <= MB_READ_SMALL_BYTES) ||
        (bulk = bulk_slab(conn->net)) == NULL) {
        return mb_slab_reserve(conn->net->slabs, MB_READ_SMALL_BYTES, slab, at, room);
    }
    *slab = bulk;
    *at = bulk->data + bulk->used;
    *room = bulk->capacity - bulk->used;
    return MB_OK;
}

static inline void adapt_read_size(mb_conn *conn, size_t count, bool filled) {
    if (MB_UNLIKELY(filled)) {
        conn->read_size =
            conn->read_size < MB_READ_BULK_BYTES / 4 ? conn->read_size * 4 : MB_READ_BULK_BYTES;
    } else if (MB_UNLIKELY(conn->read_size > MB_READ_SMALL_BYTES) && count < conn->read_size / 4) {
        conn->read_size /= 2;
    }
}

/* One read of the transport into conn->in. Its result; MB_ENOMEM too. */
static int64_t read_once(mb_conn *conn) {
    mb_slab *slab;
    char *at;
    size_t room;
    if (MB_UNLIKELY(read_room(conn, &slab, &at, &room) != MB_OK)) {
        return MB_ENOMEM;
    }
    int64_t count = conn->transport->vtable->read(conn->transport, at, room);
    if (MB_UNLIKELY(count <= 0)) {
        return count;
    }
    mb_slab_commit(slab, (size_t)count);
    mb_buffer *to = MB_LIKELY(conn->stage == NULL) ? &conn->in : &conn->stage->received;
    if (MB_UNLIKELY(mb_buffer_append_slab(to, slab, at, (size_t)count) != MB_OK)) {
        return MB_ENOMEM;
    }
    bool filled = (size_t)count == room;
    /* Before on_data, so that an edge that comes while the owner runs is not lost. */
    conn->readable = filled || conn->hangup || conn->transport->ended;
    adapt_read_size(conn, (size_t)count, filled);
    conn->bytes_read += (uint64_t)count;
    conn->net->bytes_read += (uint64_t)count;
    return count;
}

static void give_end(mb_conn *conn) {
    conn->end_due = false;
    if (conn->events->on_read_end != NULL) {
        conn->events->on_read_end(conn->owner, conn);
    }
}

/* The transport has no more bytes, for now or for ever. */
static void read_stopped(mb_conn *conn, int64_t result) {
    int error = errno;
    conn->readable = false;
    if (result == MB_ENOMEM) {
        mb__conn_fail(conn, MB_CLOSED_ERROR, ENOMEM);
    } else if (conn->write_failed) {
        mb__conn_fail(conn, mb__conn_reason(conn->saved_errno), conn->saved_errno);
    } else if (result == 0) {
        conn->read_ended = true;
        if (conn->stage != NULL) {
            mb__stage_read(conn, true);
        } else if (conn->again) {
            conn->end_due = true; /* the owner has asked to see its input once more before */
        } else {
            give_end(conn);
        }
    } else if (result != MB_EAGAIN) {
        mb__conn_fail(conn, mb__conn_reason(error), error);
    }
}

static inline bool may_read(const mb_conn *conn) {
    return conn->state == MB_CONN_OPEN && conn->read_disabled == 0;
}

/* The owner wants input, and so does the stage, if there is one. */
static inline bool may_take(const mb_conn *conn) {
    return may_read(conn) && (MB_LIKELY(conn->stage == NULL) || !conn->stage->read_paused);
}

void mb__conn_read(mb_conn *conn) {
    int64_t left = conn->net->read_budget_bytes;
    conn->reading = true;
    do {
        int64_t count = read_once(conn);
        if (MB_UNLIKELY(count <= 0)) {
            conn->reading = false;
            read_stopped(conn, count);
            return;
        }
        left -= count;
        if (MB_UNLIKELY(conn->stage != NULL)) {
            mb__stage_read(conn, false);
            continue;
        }
        conn->again = false;
        conn->events->on_data(conn->owner, conn);
    } while (conn->readable && left > 0 && may_take(conn));
    conn->reading = false;
    if (conn->readable && may_take(conn)) {
        mb_loop_defer(conn->net->loop, MB_PHASE_READ, &conn->read_task);
    }
}

void mb__conn_drop(mb_conn *conn) {
    int64_t left = conn->net->read_budget_bytes;
    while (conn->readable && left > 0) {
        mb_slab *slab;
        char *at;
        size_t room;
        int64_t count = read_room(conn, &slab, &at, &room);
        if (count == MB_OK) { /* what is not committed is written over by the next read */
            count = conn->transport->vtable->read(conn->transport, at, room);
        }
        if (count == MB_EAGAIN) {
            conn->readable = false;
        } else if (count > 0) {
            left -= count;
            conn->readable = (size_t)count == room || conn->hangup || conn->transport->ended;
        } else {
            conn->readable = false;
            conn->read_ended = true;
            if (count < 0 || conn->write_ended) {
                mb__conn_fail(conn, MB_CLOSED_BY_US, count < 0 ? errno : 0);
            }
            return;
        }
    }
    if (conn->readable) {
        mb_loop_defer(conn->net->loop, MB_PHASE_READ, &conn->read_task);
    }
}

void mb__conn_on_readable(mb_conn *conn, uint32_t events) {
    if (MB_UNLIKELY((events & (MB_IO_HANGUP | MB_IO_ERROR)) != 0)) {
        conn->hangup = true;
        /* After the end a read shows no reset any more, and before a disabled one nobody reads. */
        if ((events & MB_IO_ERROR) &&
            (conn->read_ended || (!may_take(conn) && conn->detect_reset))) {
            mb__conn_fail(conn, MB_CLOSED_RESET, ECONNRESET);
            return;
        }
    }
    if (MB_UNLIKELY(conn->read_ended)) {
        return;
    }
    conn->readable = true;
    if (MB_LIKELY(may_take(conn) && !conn->reading)) {
        mb__conn_read(conn);
    }
}

static void give_again(mb_conn *conn) {
    if (may_read(conn) && conn->again) {
        conn->again = false;
        if (conn->in.length > 0) {
            bool was_reading = conn->reading;
            conn->reading = true;
            conn->events->on_data(conn->owner, conn);
            conn->reading = was_reading;
        }
    }
}

void mb__conn_give_input(mb_conn *conn) {
    give_again(conn);
    if (may_read(conn) && conn->end_due && !conn->again) {
        give_end(conn);
    }
}

void mb__conn_on_read_task(mb_task *task) {
    mb_conn *conn = MB_LIST_ENTRY(task, mb_conn, read_task);
    if (conn->state == MB_CONN_CLOSING && conn->lingering) {
        mb__conn_drop(conn);
        return;
    }
    give_again(conn);
    if (may_take(conn) && conn->readable) {
        mb__conn_read(conn);
    } else if (may_read(conn) && conn->end_due && !conn->again) {
        give_end(conn);
    }
}

void mb_conn_read_disable(mb_conn *conn) {
    conn->read_disabled++;
}

void mb_conn_read_enable(mb_conn *conn) {
    if (conn->read_disabled == 0 || --conn->read_disabled > 0 || conn->state == MB_CONN_CLOSED) {
        return;
    }
    if (conn->in.length > 0) {
        conn->again = true;
    }
    if (conn->readable || conn->again || conn->end_due) {
        mb_loop_defer(conn->net->loop, MB_PHASE_READ, &conn->read_task);
    }
}

void mb_conn_read_again(mb_conn *conn) {
    if (conn->state != MB_CONN_CLOSED) {
        conn->again = true;
        mb_loop_defer(conn->net->loop, MB_PHASE_READ, &conn->read_task);
    }
}
