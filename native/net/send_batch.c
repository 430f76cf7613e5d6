#include "net/send_batch.h"

#include "base/alloc.h"
#include "net/conn_internal.h"
#include <errno.h>

/* Below this many a system call each is not dearer than the ring. */
#define MB_SEND_BATCH_MIN 2
/* Longer queues are bodies: copying them is what costs. */
#define MB_SEND_BATCH_BYTES_MAX (16u * 1024u)

static void submit(mb_send_batch *batch) {
    uint32_t count = batch->count;
    batch->count = 0;
    if (count < MB_SEND_BATCH_MIN) {
        for (uint32_t i = 0; i < count; i++) {
            mb__conn_write(batch->conns[i]);
        }
        return;
    }
    mb_ring_send_all(batch->ring, batch->sends, count);
    batch->batches++;
    batch->batched += count;
    for (uint32_t i = 0; i < count; i++) {
        mb__conn_sent(batch->conns[i], batch->sends[i].result);
    }
}

static void on_submit_task(mb_task *task) {
    submit(MB_LIST_ENTRY(task, mb_send_batch, task));
}

mb_send_batch *mb_send_batch_new(const mb_allocator *allocator, mb_loop *loop) {
    mb_send_batch *batch = mb_alloc(allocator, sizeof(*batch));
    mb_ring *ring = batch != NULL ? mb_ring_new(allocator) : NULL;
    if (ring == NULL) {
        mb_free(allocator, batch, sizeof(*batch));
        return NULL;
    }
    batch->loop = loop;
    batch->allocator = allocator;
    batch->ring = ring;
    batch->task = (mb_task){.run = on_submit_task};
    batch->count = 0;
    batch->batches = batch->batched = 0;
    return batch;
}

void mb_send_batch_free(mb_send_batch *batch) {
    if (batch != NULL) {
        mb_loop_cancel(&batch->task);
        mb_ring_free(batch->ring);
        mb_free(batch->allocator, batch, sizeof(*batch));
    }
}

bool mb_send_batch_add(mb_send_batch *batch, mb_conn *conn) {
    const mb_buffer *out = &conn->out;
    bool small = out->count <= MB_RING_PIECES_MAX && out->length <= MB_SEND_BATCH_BYTES_MAX;
    if (batch == NULL || !small || out->length == 0 || conn->stage != NULL ||
        !conn->transport->vtable->raw) {
        return false;
    }
    if (batch->count == MB_RING_SENDS_MAX) {
        submit(batch);
    }
    mb_ring_send *send = &batch->sends[batch->count];
    send->fd = conn->io.fd;
    send->piece_count = mb_buffer_iovecs(out, send->pieces, MB_RING_PIECES_MAX);
    batch->conns[batch->count++] = conn;
    mb_loop_defer(batch->loop, MB_PHASE_SUBMIT, &batch->task);
    return true;
}
