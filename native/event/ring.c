/*
 * The ring, by the kernel's interface itself: three system calls and a shared mapping. The use
 * is so narrow that a library would add more than it hides.
 *
 * The submission queue is empty between two calls, so an entry's number is its place in the
 * array. Source: io_uring(7), io_uring_enter(2).
 */
#include "event/ring.h"

#include "base/alloc.h"
#include <errno.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct mb_ring {
    const mb_allocator *allocator;
    int fd;
    char *queues; /* both rings: IORING_FEAT_SINGLE_MMAP */
    size_t queues_bytes;
    struct io_uring_sqe *entries;
    size_t entries_bytes;
    _Atomic uint32_t *submit_tail, *complete_head, *complete_tail;
    uint32_t submit_mask, complete_mask;
    const struct io_uring_cqe *completions;
    struct msghdr messages[MB_RING_SENDS_MAX]; /* of entries with several pieces */
};

static uint32_t *word(const mb_ring *ring, uint32_t offset) {
    return (uint32_t *)(void *)(ring->queues + offset);
}

static void *map(int fd, size_t bytes, uint64_t offset) {
    void *at =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);
    return at == MAP_FAILED ? NULL : at;
}

static bool map_queues(mb_ring *ring, const struct io_uring_params *params) {
    size_t submit = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
    size_t complete = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
    ring->queues_bytes = submit > complete ? submit : complete;
    ring->entries_bytes = params->sq_entries * sizeof(struct io_uring_sqe);
    ring->queues = map(ring->fd, ring->queues_bytes, IORING_OFF_SQ_RING);
    ring->entries = map(ring->fd, ring->entries_bytes, IORING_OFF_SQES);
    if (ring->queues == NULL || ring->entries == NULL) {
        return false;
    }
    ring->submit_tail = (_Atomic uint32_t *)word(ring, params->sq_off.tail);
    ring->submit_mask = *word(ring, params->sq_off.ring_mask);
    ring->complete_head = (_Atomic uint32_t *)word(ring, params->cq_off.head);
    ring->complete_tail = (_Atomic uint32_t *)word(ring, params->cq_off.tail);
    ring->complete_mask = *word(ring, params->cq_off.ring_mask);
    ring->completions = (const struct io_uring_cqe *)(void *)word(ring, params->cq_off.cqes);
    uint32_t *places = word(ring, params->sq_off.array);
    for (uint32_t i = 0; i < params->sq_entries; i++) {
        places[i] = i;
    }
    return true;
}

/* A policy may let the ring be made and still refuse what it is for. */
static bool works(mb_ring *ring) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return false;
    }
    char byte = 0;
    mb_ring_send send = {.fd = pair[0], .piece_count = 1, .pieces = {{&byte, 1}}};
    uint32_t before = *ring->complete_head;
    mb_ring_send_all(ring, &send, 1);
    close(pair[0]);
    close(pair[1]);
    return send.result == 1 && *ring->complete_head == before + 1;
}

mb_ring *mb_ring_new(const mb_allocator *allocator) {
    mb_ring *ring = mb_zalloc(allocator, sizeof(*ring));
    if (ring == NULL) {
        return NULL;
    }
    ring->allocator = allocator;
    /* Not a single issuer: a server may be made on one thread and run on another. */
    struct io_uring_params params = {.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN};
    ring->fd = (int)syscall(__NR_io_uring_setup, MB_RING_SENDS_MAX, &params);
    bool good = ring->fd >= 0 && (params.features & IORING_FEAT_SINGLE_MMAP) != 0 &&
                map_queues(ring, &params) && works(ring);
    if (!good) {
        mb_ring_free(ring);
        return NULL;
    }
    return ring;
}

void mb_ring_free(mb_ring *ring) {
    if (ring == NULL) {
        return;
    }
    if (ring->entries != NULL) {
        munmap(ring->entries, ring->entries_bytes);
    }
    if (ring->queues != NULL) {
        munmap(ring->queues, ring->queues_bytes);
    }
    if (ring->fd >= 0) {
        close(ring->fd);
    }
    mb_free(ring->allocator, ring, sizeof(*ring));
}

static void prepare(mb_ring *ring, struct io_uring_sqe *entry, mb_ring_send *send, uint32_t at) {
    memset(entry, 0, sizeof(*entry));
    entry->fd = send->fd;
    entry->msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    entry->user_data = at;
    if (send->piece_count == 1) {
        entry->opcode = IORING_OP_SEND;
        entry->addr = (uint64_t)(uintptr_t)send->pieces[0].iov_base;
        entry->len = (uint32_t)send->pieces[0].iov_len;
    } else {
        ring->messages[at] =
            (struct msghdr){.msg_iov = send->pieces, .msg_iovlen = (size_t)send->piece_count};
        entry->opcode = IORING_OP_SENDMSG;
        entry->addr = (uint64_t)(uintptr_t)&ring->messages[at];
        entry->len = 1;
    }
}

static void send_alone(mb_ring_send *send) {
    struct msghdr message = {.msg_iov = send->pieces, .msg_iovlen = (size_t)send->piece_count};
    ssize_t sent;
    do {
        sent = sendmsg(send->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    send->result = sent < 0 ? -errno : sent;
}

/* Takes the results that are there. Returns how many. */
static uint32_t take_results(mb_ring *ring, mb_ring_send *sends) {
    uint32_t head = atomic_load_explicit(ring->complete_head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(ring->complete_tail, memory_order_acquire);
    for (uint32_t at = head; at != tail; at++) {
        const struct io_uring_cqe *completion = &ring->completions[at & ring->complete_mask];
        sends[completion->user_data].result = completion->res;
    }
    atomic_store_explicit(ring->complete_head, tail, memory_order_release);
    return tail - head;
}

void mb_ring_send_all(mb_ring *ring, mb_ring_send *sends, uint32_t count) {
    uint32_t tail = atomic_load_explicit(ring->submit_tail, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        prepare(ring, &ring->entries[(tail + i) & ring->submit_mask], &sends[i], i);
        sends[i].result = -EINTR; /* until the ring says better */
    }
    atomic_store_explicit(ring->submit_tail, tail + count, memory_order_release);
    long taken = syscall(__NR_io_uring_enter, ring->fd, count, count, IORING_ENTER_GETEVENTS, NULL,
                         (size_t)0);
    uint32_t submitted = taken < 0 ? 0 : (uint32_t)taken;
    uint32_t done = take_results(ring, sends);
    while (done < submitted) {
        /* A signal ended the wait, or the kernel keeps a result back until it is asked. */
        syscall(__NR_io_uring_enter, ring->fd, 0, submitted - done, IORING_ENTER_GETEVENTS, NULL,
                (size_t)0);
        done += take_results(ring, sends);
    }
    if (submitted < count) { /* what it did not take is not there any more */
        atomic_store_explicit(ring->submit_tail, tail + submitted, memory_order_release);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (sends[i].result == -EINTR) {
            send_alone(&sends[i]);
        }
    }
}
