/*
 * Descriptors of others (asyncio's) in the core's poller, level-triggered. What is ready is listed
 * once until it is taken; the owner then reads or writes and the poller asks again.
 */
#include "base/alloc.h"
#include "server/server_internal.h"
#include <string.h>

struct mb_watch {
    mb_io io; /* first */
    mb_server *server;
};

static int grow(mb_server *server, void **array, uint32_t *capacity, uint32_t wanted, size_t size) {
    uint32_t next = *capacity == 0 ? 16 : *capacity;
    while (next < wanted) {
        next *= 2;
    }
    char *grown = mb_resize(server->allocator, *array, *capacity * size, next * size);
    if (grown == NULL) {
        return MB_ENOMEM;
    }
    memset(grown + *capacity * size, 0, (next - *capacity) * size);
    *array = grown;
    *capacity = next;
    return MB_OK;
}

static void on_ready(mb_io *io, uint32_t events) {
    struct mb_watch *watch = (struct mb_watch *)io;
    mb_watches *watches = &watch->server->watches;
    uint32_t bits = 0;
    if ((events & (MB_IO_READ | MB_IO_HANGUP | MB_IO_ERROR)) != 0) {
        bits |= MB_READY_READ;
    }
    if ((events & (MB_IO_WRITE | MB_IO_ERROR)) != 0) {
        bits |= MB_READY_WRITE;
    }
    for (uint32_t i = 0; i < watches->ready_count; i++) {
        if (watches->ready[i].fd == io->fd) {
            watches->ready[i].events |= bits;
            return;
        }
    }
    if (watches->ready_count < watches->ready_capacity) {
        watches->ready[watches->ready_count++] = (mb_ready){io->fd, bits};
    } /* else it is told again with the next wait: level-triggered */
}

static int unwatch(mb_server *server, int fd) {
    mb_watches *watches = &server->watches;
    if ((uint32_t)fd >= watches->capacity || watches->by_fd[fd] == NULL) {
        return MB_ENOTFOUND;
    }
    mb_poller *poller = mb_loop_poller(server->worker.loop);
    poller->vtable->remove(poller, &watches->by_fd[fd]->io);
    mb_free(server->allocator, watches->by_fd[fd], sizeof(struct mb_watch));
    watches->by_fd[fd] = NULL;
    for (uint32_t i = 0; i < watches->ready_count; i++) {
        if (watches->ready[i].fd == fd) {
            watches->ready[i] = watches->ready[--watches->ready_count];
            break;
        }
    }
    return MB_OK;
}

static int add(mb_server *server, int fd, uint32_t interest) {
    mb_watches *watches = &server->watches;
    mb_poller *poller = mb_loop_poller(server->worker.loop);
    if ((uint32_t)fd >= watches->capacity &&
        grow(server, (void **)&watches->by_fd, &watches->capacity, (uint32_t)fd + 1,
             sizeof(*watches->by_fd)) < 0) {
        return MB_ENOMEM;
    }
    if (watches->ready == NULL && grow(server, (void **)&watches->ready, &watches->ready_capacity,
                                       64, sizeof(*watches->ready)) < 0) {
        return MB_ENOMEM;
    }
    struct mb_watch *watch = mb_zalloc(server->allocator, sizeof(*watch));
    if (watch == NULL) {
        return MB_ENOMEM;
    }
    watch->io.fd = fd;
    watch->io.on_ready = on_ready;
    watch->server = server;
    int rc = poller->vtable->add_level(poller, &watch->io, interest);
    if (rc < 0) {
        mb_free(server->allocator, watch, sizeof(*watch));
        return rc;
    }
    watches->by_fd[fd] = watch;
    return MB_OK;
}

int mb_server_watch(mb_server *server, int fd, uint32_t events) {
    if (fd < 0) {
        return MB_EINVAL;
    }
    if (events == 0) {
        return unwatch(server, fd);
    }
    uint32_t interest = ((events & MB_READY_READ) != 0 ? MB_IO_READ : 0u) |
                        ((events & MB_READY_WRITE) != 0 ? MB_IO_WRITE : 0u);
    mb_watches *watches = &server->watches;
    if ((uint32_t)fd < watches->capacity && watches->by_fd[fd] != NULL) {
        mb_poller *poller = mb_loop_poller(server->worker.loop);
        return poller->vtable->modify_level(poller, &watches->by_fd[fd]->io, interest);
    }
    return add(server, fd, interest);
}

size_t mb_server_ready(mb_server *server, mb_ready *out, size_t max) {
    mb_watches *watches = &server->watches;
    size_t count = watches->ready_count < max ? watches->ready_count : max;
    if (count == 0) {
        return 0;
    }
    memcpy(out, watches->ready, count * sizeof(*out));
    watches->ready_count -= (uint32_t)count;
    memmove(watches->ready, watches->ready + count, watches->ready_count * sizeof(*out));
    return count;
}

void mb__watches_fini(mb_server *server) {
    mb_watches *watches = &server->watches;
    for (uint32_t fd = 0; fd < watches->capacity; fd++) {
        if (watches->by_fd[fd] != NULL) {
            unwatch(server, (int)fd);
        }
    }
    mb_free(server->allocator, watches->by_fd, watches->capacity * sizeof(*watches->by_fd));
    mb_free(server->allocator, watches->ready, watches->ready_capacity * sizeof(*watches->ready));
}
