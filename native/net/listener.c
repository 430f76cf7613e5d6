/*
 * Listener: accepts in batches, waits when it may or can not.
 *
 * Level-triggered, and one accept an event while connections come one by one: asking until EAGAIN
 * would double the calls. When the next turn finds the queue filled again the batch doubles, up
 * to MB_ACCEPT_BATCH_MAX, so that accepting never starves what was accepted.
 */
#include "net/listener.h"
#include "net/socket.h"

#include "base/alloc.h"
#include <errno.h>
#include <unistd.h>

#define MB_ACCEPT_BATCH_MAX 64u
#define MB_ACCEPT_PAUSE_US 100000u

struct mb_listener {
    mb_net *net;
    mb_accept_fn on_accept;
    void *owner;
    mb_io io; /* fd -1 once stopped */
    bool started, paused, freed;
    uint32_t batch;
    uint32_t active, max_connections;
    uint64_t last_turn; /* of the loop, in which it accepted */
    uint64_t accepted, overflowed;
    mb_timer resume_timer;
    mb_task free_task;
    mb_address address;
};

static bool is_full(const mb_listener *listener) {
    return listener->max_connections > 0 && listener->active >= listener->max_connections;
}

static void set_paused(mb_listener *listener, bool paused) {
    if (listener->paused != paused) {
        listener->paused = paused;
        mb_poller *poller = mb_loop_poller(listener->net->loop);
        (void)poller->vtable->modify_level(poller, &listener->io, paused ? 0 : MB_IO_READ);
    }
}

static void on_resume(mb_timer *timer) {
    mb_listener *listener = MB_LIST_ENTRY(timer, mb_listener, resume_timer);
    if (!is_full(listener)) {
        set_paused(listener, false);
    }
}

/* One connection of the queue. 0 or minus an errno; a failure of that one connection is none. */
static int accept_one(mb_listener *listener) {
    mb_address remote;
    int fd = mb__socket_accept(listener->io.fd, &remote);
    if (fd >= 0) {
        listener->accepted++;
        listener->active++;
        listener->on_accept(listener->owner, listener, fd, &remote);
        return 0;
    }
    switch (-fd) {
    case EINTR:
    case ECONNABORTED:
    case EPERM: /* a firewall's rule */
    case EPROTO:
    case ENETDOWN: /* and what follows: errors of the new connection (accept(2)) */
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return 0;
    default:
        return fd;
    }
}

static void on_acceptable(mb_io *io, uint32_t events) {
    (void)events;
    mb_listener *listener = MB_LIST_ENTRY(io, mb_listener, io);
    uint64_t turn = mb_loop_turns(listener->net->loop);
    bool busy = turn == listener->last_turn + 1;
    listener->last_turn = turn;
    listener->batch = !busy ? 1 : listener->batch * 2;
    if (listener->batch > MB_ACCEPT_BATCH_MAX) {
        listener->batch = MB_ACCEPT_BATCH_MAX;
    }
    for (uint32_t i = 0; i < listener->batch && io->fd >= 0; i++) {
        if (is_full(listener)) {
            listener->overflowed++;
            set_paused(listener, true);
            return;
        }
        int result = accept_one(listener);
        if (result == -EAGAIN) {
            listener->batch = i + 1;
            return;
        }
        if (result < 0) { /* EMFILE, ENFILE, ENOBUFS, ENOMEM; anything else must not spin either */
            listener->overflowed++;
            set_paused(listener, true);
            mb_loop_arm(listener->net->loop, &listener->resume_timer, MB_ACCEPT_PAUSE_US);
            return;
        }
    }
}

static void close_socket(mb_listener *listener) {
    mb_loop_disarm(&listener->resume_timer);
    if (listener->io.fd < 0) {
        return;
    }
    if (listener->started) {
        mb_poller *poller = mb_loop_poller(listener->net->loop);
        poller->vtable->remove(poller, &listener->io);
    }
    close(listener->io.fd);
    listener->io.fd = -1;
}

static void on_free_task(mb_task *task) {
    mb_listener *listener = MB_LIST_ENTRY(task, mb_listener, free_task);
    mb_free(listener->net->allocator, listener, sizeof(*listener));
}

mb_listener *mb_listener_new(mb_net *net, const mb_address *address,
                             const mb_listener_options *options, mb_accept_fn on_accept,
                             void *owner, int *error) {
    mb_listener *listener = mb_zalloc(net->allocator, sizeof(*listener));
    if (listener == NULL) {
        *error = ENOMEM;
        return NULL;
    }
    int backlog =
        options->backlog > 0 && options->backlog < SOMAXCONN ? (int)options->backlog : INT32_MAX;
    int fd = mb__socket_bind(address, options->reuse_port, options->v6_only);
    int failed = fd < 0 ? -fd : listen(fd, backlog) != 0 ? errno : 0;
    if (failed != 0) {
        if (fd >= 0) {
            close(fd);
        }
        mb_free(net->allocator, listener, sizeof(*listener));
        *error = failed;
        return NULL;
    }
    listener->net = net;
    listener->on_accept = on_accept;
    listener->owner = owner;
    listener->io = (mb_io){.fd = fd, .on_ready = on_acceptable};
    listener->batch = 1;
    listener->max_connections = options->max_connections;
    listener->resume_timer.on_expire = on_resume;
    listener->free_task.run = on_free_task;
    mb__socket_local(fd, &listener->address);
    return listener;
}

const mb_address *mb_listener_address(const mb_listener *listener) {
    return &listener->address;
}

int mb_listener_start(mb_listener *listener) {
    if (listener->started) {
        return MB_OK;
    }
    mb_poller *poller = mb_loop_poller(listener->net->loop);
    int result = poller->vtable->add_level(poller, &listener->io, MB_IO_READ);
    listener->started = result == MB_OK;
    return result;
}

/* Memory goes with the last connection, whose owner still says that it is gone. */
static void free_when_unused(mb_listener *listener) {
    if (listener->freed && listener->active == 0) {
        mb_loop_defer(listener->net->loop, MB_PHASE_FREE, &listener->free_task);
    }
}

void mb_listener_release(mb_listener *listener) {
    listener->active--;
    free_when_unused(listener);
    bool starved = mb_timer_armed(&listener->resume_timer);
    if (listener->paused && listener->io.fd >= 0 && !starved && !is_full(listener)) {
        set_paused(listener, false);
    }
}

void mb_listener_stop(mb_listener *listener) {
    while (listener->started && listener->io.fd >= 0 && accept_one(listener) == 0) {
    }
    close_socket(listener);
}

void mb_listener_free(mb_listener *listener) {
    if (listener != NULL && !listener->freed) {
        listener->freed = true;
        close_socket(listener);
        free_when_unused(listener);
    }
}

uint32_t mb_listener_active(const mb_listener *listener) {
    return listener->active;
}

uint64_t mb_listener_accepted(const mb_listener *listener) {
    return listener->accepted;
}

uint64_t mb_listener_overflowed(const mb_listener *listener) {
    return listener->overflowed;
}
