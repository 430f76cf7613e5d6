/*
 * Poller: the one place that asks the kernel for readiness. A small interface, so that another
 * one (io_uring, a scripted one for tests) can stand in for epoll.
 */
#ifndef MB_EVENT_POLLER_H
#define MB_EVENT_POLLER_H

#include <moebridge/common.h>

/* An error or a full hang-up comes with READ and WRITE, so that whoever waits for either sees it.
 */
enum {
    MB_IO_READ = 1,   /* readable, or the peer ended */
    MB_IO_WRITE = 2,  /* writable, or connected */
    MB_IO_HANGUP = 4, /* the peer ended its side: a read will see the end */
    MB_IO_ERROR = 8   /* reset, refused: no byte can be written any more */
};

typedef struct mb_io mb_io;
struct mb_io {
    int fd;
    void (*on_ready)(mb_io *io, uint32_t events);
    /* May be NULL. While others are served, some events before its own: asks for the memory that
     * on_ready will need (base/prefetch.h). Step after step, from 1 to MB_PREFETCH_STEPS, so that
     * what one step has asked for can be read by the next. */
    void (*prefetch)(mb_io *io, unsigned step);
};

#define MB_PREFETCH_STEPS 3u

typedef struct mb_poller mb_poller;
typedef struct mb_poller_vtable {
    const char *name;
    /* Edge-triggered for both directions, registered once for the life of the descriptor. */
    int (*add_edge)(mb_poller *poller, mb_io *io);
    /* Level-triggered for `events` (MB_IO_READ, MB_IO_WRITE); for descriptors of others. */
    int (*add_level)(mb_poller *poller, mb_io *io, uint32_t events);
    int (*modify_level)(mb_poller *poller, mb_io *io, uint32_t events);
    /* No event of `io` is delivered afterwards, also not from the batch being delivered. */
    void (*remove)(mb_poller *poller, mb_io *io);
    /* Waits up to `timeout_us` (0: do not wait; UINT64_MAX: no limit) and calls on_ready for
     * what is ready. Returns the number of events, or MB_EIO. A signal ends the wait: 0. */
    int (*wait)(mb_poller *poller, uint64_t timeout_us);
    void (*free)(mb_poller *poller);
} mb_poller_vtable;

struct mb_poller {
    const mb_poller_vtable *vtable;
};

mb_poller *mb_epoll_new(const mb_allocator *allocator); /* NULL: out of memory or descriptors */

#endif
