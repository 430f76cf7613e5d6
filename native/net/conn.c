/*
 * Life of a connection: made, connected, told about events, closed, freed. Reading is in
 * conn_read.c, writing in conn_write.c.
 *
 * CONNECTING -> HANDSHAKE -> OPEN -> CLOSING -> CLOSED; any state may go to CLOSED at once. After
 * a callback only `state` and what it allows may be looked at: the owner may have closed or freed
 * the connection, whose memory lives until MB_PHASE_FREE.
 */
#include "net/conn_internal.h"
#include "net/send_batch.h"
#include "net/socket.h"

#include "base/alloc.h"
#include "base/prefetch.h"
#include <errno.h>

static void on_notify_task(mb_task *task);
static void on_free_task(mb_task *task);
static void on_timer(mb_timer *timer);
static void on_ready(mb_io *io, uint32_t events);

void mb_net_init(mb_net *net, const mb_allocator *allocator, mb_loop *loop, mb_slab_pool *slabs) {
    *net = (mb_net){
        .allocator = allocator,
        .loop = loop,
        .slabs = slabs,
        .read_budget_bytes = MB_NET_READ_BUDGET_BYTES,
    };
}

void mb_net_batch_sends(mb_net *net) {
    net->sends = mb_send_batch_new(net->allocator, net->loop);
}

void mb_net_fini(mb_net *net) {
    mb_send_batch_free(net->sends);
    net->sends = NULL;
    if (net->bulk != NULL) {
        mb_slab_unref(net->bulk);
        net->bulk = NULL;
    }
}

/* -- the end ------------------------------------------------------------------------------- */

/* No event, timer or task of it comes after this, except its free. */
static void shut(mb_conn *conn, bool reset, mb_close_reason reason) {
    conn->state = MB_CONN_CLOSED;
    conn->closed = true;
    conn->net->connections_active--;
    if (conn->io.fd >= 0) {
        mb_poller *poller = mb_loop_poller(conn->net->loop);
        poller->vtable->remove(poller, &conn->io);
        conn->io.fd = -1;
    }
    if (conn->transport != NULL) {
        conn->transport->vtable->close(conn->transport, reset);
    }
    mb_loop_disarm(&conn->timer);
    mb_loop_cancel(&conn->read_task);
    mb_loop_cancel(&conn->flush_task);
    mb_loop_cancel(&conn->notify_task);
    if (conn->stage != NULL) {
        mb__stage_closed(conn, reason);
    }
    mb_buffer_clear(&conn->out); /* `in` may still be looked at by an owner on the stack */
}

void mb__conn_fail(mb_conn *conn, mb_close_reason reason, int error) {
    if (conn->state == MB_CONN_CLOSED) {
        return;
    }
    conn->saved_errno = error;
    if (conn->outgoing &&
        (reason == MB_CLOSED_CONNECT_FAILED || reason == MB_CLOSED_CONNECT_TIMEOUT)) {
        conn->net->connects_failed++;
    }
    shut(conn, false, reason);
    conn->events->on_close(conn->owner, conn, reason);
}

mb_close_reason mb__conn_reason(int error) {
    return error == ECONNRESET || error == EPIPE ? MB_CLOSED_RESET : MB_CLOSED_ERROR;
}

void mb__conn_notify_later(mb_conn *conn) {
    mb_loop_defer(conn->net->loop, MB_PHASE_NOTIFY, &conn->notify_task);
}

/* Bytes of the peer may wait behind a failed write, such as an early answer: they come first. */
static void after_failed_write(mb_conn *conn) {
    bool lost = conn->state == MB_CONN_CLOSING || conn->read_ended ||
                (conn->read_disabled > 0 && conn->detect_reset);
    if (lost) {
        mb__conn_fail(conn, mb__conn_reason(conn->saved_errno), conn->saved_errno);
        return;
    }
    conn->hangup = conn->readable = true;
    if (conn->read_disabled == 0) {
        mb__conn_read(conn);
    }
}

static void on_notify_task(mb_task *task) {
    mb_conn *conn = MB_LIST_ENTRY(task, mb_conn, notify_task);
    if (conn->write_failed) {
        after_failed_write(conn);
    } else if (conn->state == MB_CONN_OPEN) {
        mb__conn_tell_below_low(conn);
    } else if (conn->state == MB_CONN_CONNECTING) {
        mb__conn_fail(conn, MB_CLOSED_CONNECT_FAILED, conn->saved_errno);
    } else if (conn->state == MB_CONN_HANDSHAKE) {
        mb__conn_fail(conn, MB_CLOSED_HANDSHAKE_FAILED, conn->saved_errno);
    } else if (mb__conn_queued(conn) == 0 && (!conn->lingering || conn->read_ended)) {
        mb__conn_fail(conn, MB_CLOSED_BY_US, 0);
    }
}

static void on_timer(mb_timer *timer) {
    mb_conn *conn = MB_LIST_ENTRY(timer, mb_conn, timer);
    bool closing = conn->state == MB_CONN_CLOSING;
    mb__conn_fail(conn, closing ? MB_CLOSED_BY_US : MB_CLOSED_CONNECT_TIMEOUT, ETIMEDOUT);
}

void mb_conn_close(mb_conn *conn, mb_close_kind kind, uint64_t delay_us) {
    if (conn->state == MB_CONN_CLOSED) {
        return;
    }
    if (kind == MB_CLOSE_NOW || kind == MB_CLOSE_RESET) {
        shut(conn, kind == MB_CLOSE_RESET, MB_CLOSED_BY_US);
        conn->events->on_close(conn->owner, conn, MB_CLOSED_BY_US);
        return;
    }
    if (conn->state == MB_CONN_CLOSING) {
        return;
    }
    if (conn->state != MB_CONN_OPEN) {
        mb_buffer_clear(&conn->out);
    }
    conn->lingering = kind == MB_CLOSE_FLUSH_LINGER && delay_us > 0 && conn->state == MB_CONN_OPEN;
    conn->state = MB_CONN_CLOSING;
    conn->write_ending = true;
    conn->close_delay_us = delay_us;
    mb_loop *loop = conn->net->loop;
    mb_loop_disarm(&conn->timer);
    if (delay_us > 0) {
        mb_loop_arm(loop, &conn->timer, delay_us);
    }
    if (conn->lingering && conn->readable) {
        mb_loop_defer(loop, MB_PHASE_READ, &conn->read_task);
    }
    if (conn->write_failed) {
        mb__conn_notify_later(conn);
    } else if (conn->stage != NULL) {
        mb__stage_write_later(conn);
    } else if (!conn->write_blocked) {
        mb_loop_defer(loop, MB_PHASE_FLUSH, &conn->flush_task);
    }
}

static void on_free_task(mb_task *task) {
    mb_conn *conn = MB_LIST_ENTRY(task, mb_conn, notify_task);
    if (conn->transport != NULL) {
        conn->transport->vtable->free(conn->transport);
    }
    mb_buffer_fini(&conn->in);
    mb_buffer_fini(&conn->out);
    mb_free(conn->net->allocator, conn, sizeof(*conn));
}

void mb__conn_free_later(mb_conn *conn) {
    conn->notify_task.run = on_free_task;
    mb_loop_defer(conn->net->loop, MB_PHASE_FREE, &conn->notify_task);
}

void mb_conn_free(mb_conn *conn) {
    if (conn == NULL || conn->freed) {
        return;
    }
    if (conn->state != MB_CONN_CLOSED) {
        shut(conn, false, MB_CLOSED_BY_US);
    }
    conn->freed = true; /* and no function queues a task of a closed one */
    if (conn->stage == NULL) {
        mb__conn_free_later(conn);
    }
}

/* -- the beginning ------------------------------------------------------------------------- */

#define MB_OWNER_PREFETCH_BYTES 192

static void prefetch(mb_io *io, unsigned step) {
    mb_conn *conn = MB_LIST_ENTRY(io, mb_conn, io);
    if (step == 1) {
        mb_prefetch(conn, offsetof(mb_conn, remote));
        mb_prefetch(conn->transport, MB_CACHE_LINE_BYTES);
        mb_prefetch(conn->owner, MB_OWNER_PREFETCH_BYTES);
    } else if (conn->events->prefetch != NULL) {
        conn->events->prefetch(conn->owner, step);
    }
}

static mb_conn *conn_alloc(mb_net *net, const mb_conn_events *events, void *owner) {
    mb_conn *conn = mb_zalloc(net->allocator, sizeof(*conn));
    if (conn == NULL) {
        return NULL;
    }
    conn->net = net;
    conn->events = events;
    conn->owner = owner;
    conn->io = (mb_io){.fd = -1, .on_ready = on_ready, .prefetch = prefetch};
    conn->read_size = MB_READ_SMALL_BYTES;
    mb_buffer_init(&conn->in, net->slabs);
    mb_buffer_init(&conn->out, net->slabs);
    conn->read_task.run = mb__conn_on_read_task;
    conn->flush_task.run = mb__conn_on_flush_task;
    conn->notify_task.run = on_notify_task;
    conn->timer.on_expire = on_timer;
    return conn;
}

static int watch(mb_conn *conn, int fd) {
    mb_poller *poller = mb_loop_poller(conn->net->loop);
    conn->io.fd = fd;
    int result = poller->vtable->add_edge(poller, &conn->io);
    if (result != MB_OK) {
        conn->io.fd = -1;
    }
    return result;
}

static int shake_hands(mb_conn *conn) {
    if (conn->transport->vtable->handshake == NULL) {
        return MB_OK;
    }
    int result = conn->transport->vtable->handshake(conn->transport);
    if (result != MB_OK && result != MB_EAGAIN) {
        conn->saved_errno = result == MB_EIO ? errno : EPROTO;
    }
    return result;
}

mb_conn *mb_conn_new(mb_net *net, mb_transport *transport, int fd, const mb_address *remote,
                     const mb_conn_events *events, void *owner) {
    mb_conn *conn = conn_alloc(net, events, owner);
    if (conn != NULL && fd >= 0 && watch(conn, fd) != MB_OK) {
        mb_free(net->allocator, conn, sizeof(*conn));
        conn = NULL;
    }
    if (conn == NULL) {
        transport->vtable->free(transport);
        return NULL;
    }
    net->connections_opened++;
    net->connections_active++;
    conn->transport = transport;
    conn->detect_reset = true;
    if (remote != NULL) {
        conn->remote = *remote;
    }
    if (fd >= 0) {
        mb__socket_local(fd, &conn->local);
    }
    int result = shake_hands(conn);
    conn->state = result == MB_OK ? MB_CONN_OPEN : MB_CONN_HANDSHAKE;
    if (result != MB_OK && result != MB_EAGAIN) {
        mb__conn_notify_later(conn);
    }
    return conn;
}

bool mb_conn_is_open(const mb_conn *conn) {
    return conn->state == MB_CONN_OPEN && (conn->stage == NULL || conn->stage->is_connected);
}

void mb_conn_set_handshake_timeout(mb_conn *conn, uint64_t timeout_us) {
    if (conn->state == MB_CONN_HANDSHAKE && timeout_us > 0) {
        mb_loop_arm(conn->net->loop, &conn->timer, timeout_us);
    }
}

static mb_transport *make_transport(mb_net *net, const mb_transport_maker *maker, int fd) {
    return maker != NULL ? maker->make(maker, net->allocator, fd)
                         : mb_plain_transport_new(net->allocator, fd);
}

mb_conn *mb_conn_connect(mb_net *net, const mb_connect_options *options,
                         const mb_conn_events *events, void *owner) {
    mb_conn *conn = conn_alloc(net, events, owner);
    if (conn == NULL) {
        return NULL;
    }
    conn->outgoing = true;
    int fd = options->source != NULL
                 ? mb__socket_connect_from(options->remote, &options->source->address,
                                           options->source->mark)
                 : mb__socket_connect(options->remote, options->local);
    conn->saved_errno = fd < 0 ? -fd : 0;
    if (fd >= 0) {
        conn->transport = make_transport(net, options->maker, fd);
        if (conn->transport == NULL) {
            mb_free(net->allocator, conn, sizeof(*conn));
            return NULL;
        }
        conn->saved_errno = watch(conn, fd) == MB_OK ? 0 : ENOMEM;
    }
    net->connections_opened++;
    net->connections_active++;
    conn->remote = *options->remote;
    if (conn->saved_errno != 0) {
        mb__conn_notify_later(conn);
    } else if (options->timeout_us > 0) {
        mb_loop_arm(net->loop, &conn->timer, options->timeout_us);
    }
    return conn;
}

/* -- events -------------------------------------------------------------------------------- */

static void on_open_event(mb_conn *conn, uint32_t events) {
    if (MB_LIKELY((events & (MB_IO_READ | MB_IO_HANGUP | MB_IO_ERROR)) != 0)) {
        mb__conn_on_readable(conn, events);
    }
    if (MB_UNLIKELY(conn->write_blocked) && (events & MB_IO_WRITE) &&
        conn->state != MB_CONN_CLOSED) {
        conn->write_blocked = false;
        mb__conn_write(conn);
    }
}

static void on_closing_event(mb_conn *conn, uint32_t events) {
    if (events & MB_IO_ERROR) {
        mb__conn_fail(conn, MB_CLOSED_RESET, ECONNRESET);
        return;
    }
    if (conn->lingering && !conn->read_ended && (events & (MB_IO_READ | MB_IO_HANGUP))) {
        conn->readable = true;
        conn->hangup = conn->hangup || (events & MB_IO_HANGUP);
        mb__conn_drop(conn);
    }
    if (conn->write_blocked && (events & MB_IO_WRITE) && conn->state != MB_CONN_CLOSED) {
        conn->write_blocked = false;
        mb__conn_write(conn);
    }
}

/* Its transport has become usable. */
static void become_open(mb_conn *conn, uint32_t events) {
    conn->state = MB_CONN_OPEN;
    mb_loop_disarm(&conn->timer);
    if (conn->stage != NULL) {
        mb__stage_start(conn);
    } else if (conn->events->on_connected != NULL) {
        conn->events->on_connected(conn->owner, conn);
    }
    if (conn->state != MB_CONN_OPEN) {
        return;
    }
    if (conn->out.length > 0 || conn->write_ending) {
        mb_loop_defer(conn->net->loop, MB_PHASE_FLUSH, &conn->flush_task);
    }
    /* Bytes that came with the end of the handshake lie in the transport: no event tells of them.
     */
    on_open_event(conn, conn->transport->vtable->handshake != NULL ? events | MB_IO_READ : events);
}

static void on_early_event(mb_conn *conn, uint32_t events) {
    if (conn->state == MB_CONN_CONNECTING) {
        if (events & (MB_IO_ERROR | MB_IO_HANGUP)) {
            int error = mb__socket_error(conn->io.fd);
            if (error != 0) {
                mb__conn_fail(conn, MB_CLOSED_CONNECT_FAILED, error);
                return;
            }
        }
        if (!(events & MB_IO_WRITE)) {
            return;
        }
        conn->state = MB_CONN_HANDSHAKE;
        mb__socket_local(conn->io.fd, &conn->local);
    }
    int result = shake_hands(conn);
    if (result == MB_OK) {
        become_open(conn, events);
    } else if (result != MB_EAGAIN) {
        mb__conn_fail(conn, MB_CLOSED_HANDSHAKE_FAILED, conn->saved_errno);
    }
}

static void on_ready(mb_io *io, uint32_t events) {
    mb_conn *conn = MB_LIST_ENTRY(io, mb_conn, io);
    if (MB_LIKELY(conn->state == MB_CONN_OPEN)) {
        on_open_event(conn, events);
    } else if (conn->state == MB_CONN_CLOSING) {
        on_closing_event(conn, events);
    } else if (conn->state != MB_CONN_CLOSED) {
        on_early_event(conn, events);
    }
}

void mb_conn_ready(mb_conn *conn, uint32_t events) {
    on_ready(&conn->io, events);
}

void mb_conn_set_owner(mb_conn *conn, const mb_conn_events *events, void *owner) {
    conn->events = events;
    conn->owner = owner;
}

void mb_conn_set_detect_reset(mb_conn *conn, bool detect) {
    conn->detect_reset = detect;
}

int mb_conn_errno(const mb_conn *conn) {
    return conn->saved_errno;
}
