/*
 * Listener: accepts in batches, waits when it may or can not.
 *
 * Level-triggered, and one accept an event while connections come one by one: asking until EAGAIN
 * would double the calls. When the next turn finds the queue filled again the batch doubles, up
 * to MB_ACCEPT_BATCH_MAX, so that accepting never starves what was accepted. What holds one socket
 * back, the bound or want of descriptors, holds all of them.
 */
#include "net/listener.h"

#include "base/alloc.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define MB_ACCEPT_BATCH_MAX 64u
#define MB_ACCEPT_PAUSE_US 100000u

typedef struct listening {
    struct listening *next;
    mb_listener *listener;
    mb_io io; /* fd -1 once stopped */
    bool watched;
    uint32_t batch;
    uint64_t last_turn; /* of the loop, in which it accepted */
    mb_address address;
    bool has_file; /* of a Unix socket: this one */
    dev_t device;
    ino_t inode;
} listening;

struct mb_listener {
    mb_net *net;
    mb_listener_options options;
    mb_accept_fn on_accept;
    void *owner;
    listening *sockets, **last;
    bool stopped, paused, freed;
    uint32_t active, max_connections;
    uint64_t accepted, overflowed;
    mb_timer resume_timer;
    mb_task free_task;
};

static bool is_full(const mb_listener *listener) {
    return listener->max_connections > 0 && listener->active >= listener->max_connections;
}

static void set_paused(mb_listener *listener, bool paused) {
    if (listener->paused == paused) {
        return;
    }
    listener->paused = paused;
    mb_poller *poller = mb_loop_poller(listener->net->loop);
    for (listening *at = listener->sockets; at != NULL; at = at->next) {
        if (at->watched) {
            (void)poller->vtable->modify_level(poller, &at->io, paused ? 0 : MB_IO_READ);
        }
    }
}

static void on_resume(mb_timer *timer) {
    mb_listener *listener = MB_LIST_ENTRY(timer, mb_listener, resume_timer);
    if (!is_full(listener)) {
        set_paused(listener, false);
    }
}

/* One connection of the queue. 0 or minus an errno; a failure of that one connection is none. */
static int accept_one(listening *at) {
    mb_listener *listener = at->listener;
    mb_address remote;
    int fd = mb__socket_accept(at->io.fd, &remote);
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
    listening *at = MB_LIST_ENTRY(io, listening, io);
    mb_listener *listener = at->listener;
    uint64_t turn = mb_loop_turns(listener->net->loop);
    bool busy = turn == at->last_turn + 1;
    at->last_turn = turn;
    at->batch = !busy ? 1 : at->batch * 2;
    if (at->batch > MB_ACCEPT_BATCH_MAX) {
        at->batch = MB_ACCEPT_BATCH_MAX;
    }
    for (uint32_t i = 0; i < at->batch && io->fd >= 0; i++) {
        if (is_full(listener)) {
            listener->overflowed++;
            set_paused(listener, true);
            return;
        }
        int result = accept_one(at);
        if (result == -EAGAIN) {
            at->batch = i + 1;
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

/* -- the file of a Unix socket ------------------------------------------------------------- */

static const char *path_of(const mb_address *address) {
    bool is_unix = address->length > 0 && address->sa.sa_family == AF_UNIX;
    return is_unix && address->un.sun_path[0] != '\0' ? address->un.sun_path : NULL;
}

static int note_file(listening *at, uint32_t mode) {
    const char *path = path_of(&at->address);
    struct stat status;
    if (path == NULL) {
        return 0;
    }
    if (mode != 0 && chmod(path, mode) != 0) {
        return errno;
    }
    if (stat(path, &status) != 0) {
        return errno;
    }
    at->has_file = true;
    at->device = status.st_dev;
    at->inode = status.st_ino;
    return 0;
}

static void remove_file(const listening *at) {
    struct stat status;
    if (at->has_file && stat(at->address.un.sun_path, &status) == 0 &&
        status.st_dev == at->device && status.st_ino == at->inode) {
        unlink(at->address.un.sun_path);
    }
}

/* -- life ---------------------------------------------------------------------------------- */

static void close_sockets(mb_listener *listener) {
    mb_loop_disarm(&listener->resume_timer);
    listener->stopped = true;
    for (listening *at = listener->sockets; at != NULL; at = at->next) {
        if (at->io.fd < 0) {
            continue;
        }
        if (at->watched) {
            mb_poller *poller = mb_loop_poller(listener->net->loop);
            poller->vtable->remove(poller, &at->io);
            at->watched = false;
        }
        remove_file(at);
        close(at->io.fd);
        at->io.fd = -1;
    }
}

static void on_free_task(mb_task *task) {
    mb_listener *listener = MB_LIST_ENTRY(task, mb_listener, free_task);
    const mb_allocator *allocator = listener->net->allocator;
    while (listener->sockets != NULL) {
        listening *first = listener->sockets;
        listener->sockets = first->next;
        mb_free(allocator, first, sizeof(*first));
    }
    mb_free(allocator, listener, sizeof(*listener));
}

mb_listener *mb_listener_new(mb_net *net, const mb_listener_options *options,
                             mb_accept_fn on_accept, void *owner) {
    mb_listener *listener = mb_zalloc(net->allocator, sizeof(*listener));
    if (listener == NULL) {
        return NULL;
    }
    listener->net = net;
    listener->options = *options;
    listener->on_accept = on_accept;
    listener->owner = owner;
    listener->last = &listener->sockets;
    listener->max_connections = options->max_connections;
    listener->resume_timer.on_expire = on_resume;
    listener->free_task.run = on_free_task;
    return listener;
}

/* Makes the socket of `at`. 0 or an errno; what was made then is closed by the caller. */
static int open_socket(listening *at, const mb_listen_address *wanted) {
    const mb_listener_options *options = &at->listener->options;
    const mb_socket_option *settings = options->socket_options;
    uint32_t count = options->socket_option_count;
    int family = wanted->address.sa.sa_family;
    int backlog =
        options->backlog > 0 && options->backlog < SOMAXCONN ? (int)options->backlog : INT32_MAX;
    int fd =
        mb__socket_bind(&wanted->address, options->reuse_port, wanted->v6_only, settings, count);
    if (fd < 0) {
        return -fd;
    }
    at->io.fd = fd;
    at->address = wanted->address;
    if (family != AF_UNIX) {
        mb__socket_local(fd, &at->address);
    }
    int error = note_file(at, wanted->mode);
    if (error == 0) {
        error = mb__socket_set_options(fd, family, MB_SOCKET_BOUND, settings, count);
    }
    if (error == 0 && listen(fd, backlog) != 0) {
        error = errno;
    }
    if (error == 0) {
        error = mb__socket_set_options(fd, family, MB_SOCKET_LISTENING, settings, count);
    }
    return error;
}

int mb_listener_add(mb_listener *listener, const mb_listen_address *address) {
    const mb_allocator *allocator = listener->net->allocator;
    listening *at = mb_zalloc(allocator, sizeof(*at));
    if (at == NULL) {
        return ENOMEM;
    }
    at->listener = listener;
    at->io = (mb_io){.fd = -1, .on_ready = on_acceptable};
    at->batch = 1;
    int error = open_socket(at, address);
    if (error != 0) {
        if (at->io.fd >= 0) {
            remove_file(at);
            close(at->io.fd);
        }
        mb_free(allocator, at, sizeof(*at));
        return error;
    }
    *listener->last = at;
    listener->last = &at->next;
    return 0;
}

const mb_address *mb_listener_address(const mb_listener *listener, uint32_t index) {
    const listening *at = listener->sockets;
    while (at != NULL && index > 0) {
        at = at->next;
        index--;
    }
    return at != NULL ? &at->address : NULL;
}

int mb_listener_start(mb_listener *listener) {
    mb_poller *poller = mb_loop_poller(listener->net->loop);
    for (listening *at = listener->sockets; at != NULL && !listener->stopped; at = at->next) {
        if (at->watched) {
            continue;
        }
        int result = poller->vtable->add_level(poller, &at->io, MB_IO_READ);
        if (result != MB_OK) {
            return result;
        }
        at->watched = true;
    }
    return MB_OK;
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
    if (listener->paused && !listener->stopped && !starved && !is_full(listener)) {
        set_paused(listener, false);
    }
}

void mb_listener_adopt(mb_listener *listener) {
    listener->active++;
}

void mb_listener_stop(mb_listener *listener) {
    for (listening *at = listener->sockets; at != NULL && !listener->stopped; at = at->next) {
        while (at->watched && at->io.fd >= 0 && accept_one(at) == 0) {
        }
    }
    close_sockets(listener);
}

void mb_listener_free(mb_listener *listener) {
    if (listener != NULL && !listener->freed) {
        listener->freed = true;
        close_sockets(listener);
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
