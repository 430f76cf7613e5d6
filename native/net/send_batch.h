/*
 * Send batch: what MB_PHASE_FLUSH gathers from connections is sent in MB_PHASE_SUBMIT, many of them
 * in one system call (event/ring.h).
 *
 * Gathered are small queues on plain sockets, as heads and short answers are. All else (TLS,
 * memory, stages, bodies in many pieces) writes by itself, for its own calls outweigh what a batch
 * saves. Between gathering and sending no owner runs, so connection, queue and pieces stay as they
 * are.
 */
#ifndef MB_NET_SEND_BATCH_H
#define MB_NET_SEND_BATCH_H

#include "event/loop.h"
#include "event/ring.h"

typedef struct mb_conn mb_conn;

typedef struct mb_send_batch {
    mb_loop *loop;
    const mb_allocator *allocator;
    mb_ring *ring;
    mb_task task; /* MB_PHASE_SUBMIT */
    uint32_t count;
    mb_conn *conns[MB_RING_SENDS_MAX];
    mb_ring_send sends[MB_RING_SENDS_MAX];
    uint64_t batches, batched; /* statistics: calls, and sends in them */
} mb_send_batch;

/* NULL: there is no ring to be had. That is a batch too: one that gathers nothing. */
mb_send_batch *mb_send_batch_new(const mb_allocator *allocator, mb_loop *loop);
void mb_send_batch_free(mb_send_batch *batch);
/* In MB_PHASE_FLUSH only. False: the connection has to write by itself. */
bool mb_send_batch_add(mb_send_batch *batch, mb_conn *conn);

#endif
