/*
 * Memory transport: two ends, a ring of bytes in each direction. For tests of whatever sits on a
 * transport: no descriptor, no time, every byte where the test wants it.
 *
 * The ends share one block, freed with the second of them.
 */
#include "net/transport.h"

#include "base/alloc.h"
#include <errno.h>

typedef struct mb_memory_pair mb_memory_pair;

typedef struct mb_memory_end {
    mb_transport transport; /* first: an mb_transport is cast to this */
    mb_memory_pair *pair;
    struct mb_memory_end *other;
    char *ring; /* what the other end wrote and this one has not read */
    size_t first, count;
    bool shut;   /* the other end writes no more */
    bool reset;  /* the other end is gone with a reset */
    bool closed; /* this end is */
} mb_memory_end;

struct mb_memory_pair {
    const mb_allocator *allocator;
    size_t capacity, bytes;
    int live; /* ends not freed */
    mb_memory_end ends[2];
    char rings[];
};

static int64_t fail_with(int error) {
    errno = error;
    return MB_EIO;
}

static int64_t memory_read(mb_transport *transport, char *at, size_t room) {
    mb_memory_end *self = (mb_memory_end *)transport;
    if (self->reset) {
        return fail_with(ECONNRESET);
    }
    if (self->count == 0) {
        return self->shut ? 0 : MB_EAGAIN;
    }
    size_t capacity = self->pair->capacity;
    size_t done = 0;
    while (done < room && self->count > 0) {
        at[done++] = self->ring[self->first];
        self->first = (self->first + 1) % capacity;
        self->count--;
    }
    return (int64_t)done;
}

static int64_t memory_write(mb_transport *transport, mb_buffer *buffer) {
    mb_memory_end *self = (mb_memory_end *)transport;
    mb_memory_end *to = self->other;
    if (to->closed || self->reset || to->shut) {
        return fail_with(EPIPE);
    }
    size_t capacity = self->pair->capacity;
    int64_t total = 0;
    while (buffer->length > 0 && to->count < capacity) {
        mb_slice front = mb_buffer_front(buffer);
        size_t done = 0;
        while (done < front.len && to->count < capacity) {
            to->ring[(to->first + to->count++) % capacity] = front.ptr[done++];
        }
        mb_buffer_drain(buffer, done);
        total += (int64_t)done;
    }
    return total > 0 || buffer->length == 0 ? total : MB_EAGAIN;
}

static void memory_shut_write(mb_transport *transport) {
    ((mb_memory_end *)transport)->other->shut = true;
}

static void memory_close(mb_transport *transport, bool reset) {
    mb_memory_end *self = (mb_memory_end *)transport;
    if (self->closed) {
        return;
    }
    self->closed = true;
    self->other->shut = true;
    /* As a socket: closing with unread bytes resets too. */
    self->other->reset = reset || self->count > 0;
}

static void memory_free(mb_transport *transport) {
    mb_memory_end *self = (mb_memory_end *)transport;
    memory_close(transport, false);
    mb_memory_pair *pair = self->pair;
    if (--pair->live == 0) {
        mb_free(pair->allocator, pair, pair->bytes);
    }
}

static const mb_transport_vtable memory_vtable = {
    .name = "memory",
    .read = memory_read,
    .write = memory_write,
    .shut_write = memory_shut_write,
    .close = memory_close,
    .free = memory_free,
};

int mb_memory_transport_pair(const mb_allocator *allocator, size_t capacity_bytes, mb_transport **a,
                             mb_transport **b) {
    size_t bytes = sizeof(mb_memory_pair) + 2 * capacity_bytes;
    mb_memory_pair *pair = mb_zalloc(allocator, bytes);
    if (pair == NULL) {
        return MB_ENOMEM;
    }
    pair->allocator = allocator;
    pair->capacity = capacity_bytes;
    pair->bytes = bytes;
    pair->live = 2;
    for (int i = 0; i < 2; i++) {
        pair->ends[i].transport.vtable = &memory_vtable;
        pair->ends[i].pair = pair;
        pair->ends[i].other = &pair->ends[1 - i];
        pair->ends[i].ring = pair->rings + (size_t)i * capacity_bytes;
    }
    *a = &pair->ends[0].transport;
    *b = &pair->ends[1].transport;
    return MB_OK;
}
