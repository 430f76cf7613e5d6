/*
 * Poller over epoll. Connections are registered once, edge-triggered for both directions;
 * descriptors of others (asyncio's) level-triggered. Called by the loop, once a turn.
 *
 * Events carry the address of their mb_io. `remove` takes it out of the kernel's set and out of
 * what is left of the batch being delivered, so neither a freed mb_io nor a descriptor number
 * that is used again sees an event of its predecessor.
 */
#include "event/poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MB_EPOLL_BATCH 256

typedef struct mb_epoll {
    mb_poller poller; /* first: an mb_poller is cast to this */
    const mb_allocator *allocator;
    int fd;
    int next, count; /* of the batch being delivered */
    bool coarse;     /* the kernel has no epoll_pwait2 (before 5.11, or filtered) */
    struct epoll_event batch[MB_EPOLL_BATCH];
} mb_epoll;

_Static_assert((int)EPOLLIN == (int)MB_IO_READ && (int)EPOLLERR == (int)MB_IO_ERROR,
               "events_from_kernel copies these bits");

static inline uint32_t events_from_kernel(uint32_t kernel) {
    uint32_t events = kernel & (EPOLLIN | EPOLLERR);
    if (kernel & EPOLLOUT) {
        events |= MB_IO_WRITE;
    }
    if (__builtin_expect((kernel & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0, 0)) {
        events |= MB_IO_READ;
        if (kernel & (EPOLLRDHUP | EPOLLHUP)) {
            events |= MB_IO_HANGUP;
        }
        if (kernel & (EPOLLHUP | EPOLLERR)) {
            events |= MB_IO_WRITE;
        }
    }
    return events;
}

static int epoll_change(mb_epoll *self, int operation, mb_io *io, uint32_t kernel) {
    struct epoll_event event = {.events = kernel, .data.ptr = io};
    if (epoll_ctl(self->fd, operation, io->fd, &event) == 0) {
        return MB_OK;
    }
    return errno == ENOMEM || errno == ENOSPC ? MB_ENOMEM : MB_EIO;
}

static uint32_t level_to_kernel(uint32_t events) {
    return (events & MB_IO_READ ? (uint32_t)EPOLLIN : 0) |
           (events & MB_IO_WRITE ? (uint32_t)EPOLLOUT : 0);
}

static int epoll_add_edge(mb_poller *poller, mb_io *io) {
    return epoll_change((mb_epoll *)poller, EPOLL_CTL_ADD, io,
                        EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static int epoll_add_level(mb_poller *poller, mb_io *io, uint32_t events) {
    return epoll_change((mb_epoll *)poller, EPOLL_CTL_ADD, io, level_to_kernel(events));
}

static int epoll_modify_level(mb_poller *poller, mb_io *io, uint32_t events) {
    return epoll_change((mb_epoll *)poller, EPOLL_CTL_MOD, io, level_to_kernel(events));
}

static void epoll_remove(mb_poller *poller, mb_io *io) {
    mb_epoll *self = (mb_epoll *)poller;
    /* Also before a close: a forked child may hold the description open and keep it in the set. */
    epoll_change(self, EPOLL_CTL_DEL, io, 0);
    for (int at = self->next; at < self->count; at++) {
        if (self->batch[at].data.ptr == io) {
            self->batch[at].data.ptr = NULL;
        }
    }
}

static int epoll_ask(mb_epoll *self, uint64_t timeout_us) {
    if (timeout_us == 0 || timeout_us == UINT64_MAX) {
        return epoll_wait(self->fd, self->batch, MB_EPOLL_BATCH, timeout_us == 0 ? 0 : -1);
    }
    if (!self->coarse) {
        struct timespec limit = {.tv_sec = (time_t)(timeout_us / 1000000),
                                 .tv_nsec = (long)(timeout_us % 1000000) * 1000};
        int count = epoll_pwait2(self->fd, self->batch, MB_EPOLL_BATCH, &limit, NULL);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM)) {
            return count;
        }
        self->coarse = true;
    }
    /* Rounded up: to wake before a timer is due would mean to spin until it is. */
    uint64_t timeout_ms = timeout_us / 1000 + (timeout_us % 1000 != 0);
    int limit_ms = timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms;
    return epoll_wait(self->fd, self->batch, MB_EPOLL_BATCH, limit_ms);
}

/* What comes after the event that is served now: the farthest is to be prefetched first. */
static inline void look_ahead(const mb_epoll *self) {
    for (unsigned step = 0; step <= MB_PREFETCH_STEPS; step++) {
        int at = self->next + (int)(MB_PREFETCH_STEPS - step);
        mb_io *io = at < self->count ? self->batch[at].data.ptr : NULL;
        if (step == 0) {
            __builtin_prefetch(io);
        } else if (io != NULL && io->prefetch != NULL) {
            io->prefetch(io, step);
        }
    }
}

static int epoll_deliver(mb_poller *poller, uint64_t timeout_us) {
    mb_epoll *self = (mb_epoll *)poller;
    int count = epoll_ask(self, timeout_us);
    if (count < 0) {
        return errno == EINTR ? 0 : MB_EIO;
    }
    self->count = count;
    self->next = 0;
    while (self->next < self->count) {
        struct epoll_event *event = &self->batch[self->next++];
        mb_io *io = event->data.ptr;
        look_ahead(self);
        if (io != NULL) {
            io->on_ready(io, events_from_kernel(event->events));
        }
    }
    self->count = 0;
    return count;
}

static void epoll_free(mb_poller *poller) {
    mb_epoll *self = (mb_epoll *)poller;
    close(self->fd);
    self->allocator->free(self->allocator->ctx, self, sizeof(*self));
}

static const mb_poller_vtable epoll_vtable = {
    .name = "epoll",
    .add_edge = epoll_add_edge,
    .add_level = epoll_add_level,
    .modify_level = epoll_modify_level,
    .remove = epoll_remove,
    .wait = epoll_deliver,
    .free = epoll_free,
};

mb_poller *mb_epoll_new(const mb_allocator *allocator) {
    mb_epoll *self = allocator->alloc(allocator->ctx, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    self->poller.vtable = &epoll_vtable;
    self->allocator = allocator;
    self->next = self->count = 0;
    self->coarse = false;
    self->fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->fd < 0) {
        allocator->free(allocator->ctx, self, sizeof(*self));
        return NULL;
    }
    return &self->poller;
}
