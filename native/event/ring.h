/*
 * Ring: many sends in one system call, by io_uring.
 *
 * Nothing is asynchronous: the sends are submitted with MSG_DONTWAIT, so the kernel ends each of
 * them, sent or EAGAIN, before the call returns, and no buffer is in its hands afterwards.
 * Readiness stays the poller's business. What a send costs above TCP itself (entering the kernel,
 * looking up the descriptor, leaving) is paid once for all.
 *
 * Thread: one at a time.
 */
#ifndef MB_EVENT_RING_H
#define MB_EVENT_RING_H

#include <moebridge/common.h>
#include <sys/uio.h>

typedef struct mb_ring mb_ring;

#define MB_RING_SENDS_MAX 64
#define MB_RING_PIECES_MAX 4

typedef struct mb_ring_send {
    int fd; /* a connected stream socket */
    int piece_count;
    struct iovec pieces[MB_RING_PIECES_MAX];
    int64_t result; /* out: bytes taken, or -errno */
} mb_ring_send;

/* NULL: this kernel has no io_uring (before 5.19), a policy forbids it (seccomp, sysctl), or there
 * is no memory; all is sent with system calls of its own then. */
mb_ring *mb_ring_new(const mb_allocator *allocator);
void mb_ring_free(mb_ring *ring); /* NULL allowed */
/* Does all of them, at most MB_RING_SENDS_MAX, in their order. Those that the kernel does not take
 * from the ring are sent one by one, so each has its result. */
void mb_ring_send_all(mb_ring *ring, mb_ring_send *sends, uint32_t count);

#endif
