/*
 * See net_world.h.
 */
#include "support/net_world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* -- the world ----------------------------------------------------------------------------- */

bool world_init(world *self, size_t fail_at) {
    *self = (world){.memory = mbtest_failing_alloc(fail_at)};
    const mb_allocator *allocator = &self->memory->allocator;
    mbtest_clock_init(&self->clock, WORLD_START_US, 0);
    mb_poller *poller = mb_epoll_new(allocator);
    self->loop = poller != NULL ? mb_loop_new(allocator, &self->clock.clock, poller) : NULL;
    self->slabs = self->loop != NULL ? mb_slab_pool_new(allocator) : NULL;
    if (self->slabs == NULL) {
        if (self->loop != NULL) {
            mb_loop_free(self->loop);
        }
        return false;
    }
    mb_net_init(&self->net, allocator, self->loop, self->slabs);
    return true;
}

void world_fini(world *self) {
    if (self->slabs != NULL) {
        world_turn(self);
        MB_CHECK_EQ_INT(self->net.connections_active, 0);
        mb_net_fini(&self->net);
        mb_loop_free(self->loop);
        mb_slab_pool_free(self->slabs);
    }
    mbtest_alloc_free(self->memory);
}

void world_turn(world *self) {
    MB_CHECK_EQ_INT(mb_loop_turn(self->loop, 0), MB_OK);
}

void world_turn_until(world *self, const bool *done) {
    while (!*done) {
        MB_CHECK_EQ_INT(mb_loop_turn(self->loop, UINT64_MAX), MB_OK);
    }
}

void world_advance_us(world *self, uint64_t by_us) {
    mbtest_clock_advance_us(&self->clock, by_us);
    world_turn(self);
}

/* -- owners -------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void note(owner *self, const char *format, ...) {
    size_t room = sizeof(self->log) - self->log_length;
    va_list values;
    va_start(values, format);
    int length = vsnprintf(self->log + self->log_length, room, format, values);
    va_end(values);
    if (length > 0 && (size_t)length < room) {
        self->log_length += (size_t)length;
    }
}

static void call(owner_hook hook, owner *self, mb_conn *conn) {
    if (hook != NULL) {
        hook(self, conn);
    }
}

static void on_connected(void *context, mb_conn *conn) {
    owner *self = context;
    note(self, "connected ");
    self->connected = true;
    call(self->on_connected, self, conn);
}

static void take_all(owner *self, mb_buffer *in) {
    if (self->length + in->length > self->room) {
        self->room = (self->length + in->length) * 2;
        self->bytes = realloc(self->bytes, self->room);
        MB_CHECK(self->bytes != NULL);
    }
    self->length += mb_buffer_copy_out(in, 0, self->bytes + self->length, in->length);
    mb_buffer_drain(in, in->length);
}

static void on_data(void *context, mb_conn *conn) {
    owner *self = context;
    note(self, "data:%zu ", conn->in.length);
    self->data = true;
    if (!self->keep_input) {
        take_all(self, &conn->in);
    }
    call(self->on_data, self, conn);
}

static void on_end(void *context, mb_conn *conn) {
    owner *self = context;
    note(self, "end ");
    self->ended = true;
    call(self->on_end, self, conn);
}

static void on_high(void *context, mb_conn *conn) {
    owner *self = context;
    note(self, "high ");
    call(self->on_high, self, conn);
}

static void on_low(void *context, mb_conn *conn) {
    owner *self = context;
    note(self, "low ");
    call(self->on_low, self, conn);
}

static void on_close(void *context, mb_conn *conn, mb_close_reason reason) {
    owner *self = context;
    note(self, "close:%d ", reason);
    MB_CHECK(!self->closed);
    self->closed = true;
    self->reason = reason;
    self->error = mb_conn_errno(conn);
    call(self->on_close, self, conn);
    mb_conn_free(conn);
    self->conn = NULL;
}

const mb_conn_events owner_events = {
    .on_connected = on_connected,
    .on_data = on_data,
    .on_read_end = on_end,
    .on_above_high = on_high,
    .on_below_low = on_low,
    .on_close = on_close,
};

void owner_init(owner *self, world *in) {
    *self = (owner){.world = in};
}

void owner_fini(owner *self) {
    mb_conn_free(self->conn);
    self->conn = NULL;
    free(self->bytes);
    self->bytes = NULL;
}

void owner_forget_log(owner *self) {
    self->log_length = 0;
}

void owner_send(owner *self, const char *bytes, size_t length) {
    MB_CHECK_EQ_INT(mb_buffer_append(&self->conn->out, (mb_slice){bytes, length}), MB_OK);
    mb_conn_flush_later(self->conn);
}

void owner_send_pattern(owner *self, size_t length) {
    char *bytes = malloc(length);
    for (size_t i = 0; i < length; i++) {
        bytes[i] = pattern_byte(i);
    }
    owner_send(self, bytes, length);
    free(bytes);
}

void check_pattern(const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != pattern_byte(i)) {
            MB_CHECK_EQ_INT(i, length);
        }
    }
}

/* -- transports by script ------------------------------------------------------------------ */

static int64_t scripted_read(mb_transport *transport, char *at, size_t room) {
    scripted *self = (scripted *)transport;
    self->read_calls++;
    if (self->read_left == 0) {
        if (self->read_count == 0) {
            return MB_EAGAIN;
        }
        int64_t step = *self->reads++;
        self->read_count--;
        if (step <= 0) {
            errno = self->read_errno;
            return step;
        }
        self->read_left = step;
    }
    size_t count = (size_t)self->read_left < room ? (size_t)self->read_left : room;
    for (size_t i = 0; i < count; i++) {
        at[i] = pattern_byte(self->given + i);
    }
    self->given += count;
    self->read_left -= (int64_t)count;
    return (int64_t)count;
}

static int64_t scripted_write(mb_transport *transport, mb_buffer *buffer) {
    scripted *self = (scripted *)transport;
    self->write_calls++;
    size_t count = buffer->length;
    if (self->write_count > 0) {
        int64_t step = *self->writes++;
        self->write_count--;
        if (step < 0) {
            errno = EPIPE;
            return step;
        }
        count = count < (size_t)step ? count : (size_t)step;
    }
    if (self->written_length + count > self->written_room) {
        self->written_room = (self->written_length + count) * 2;
        self->written = realloc(self->written, self->written_room);
    }
    mb_buffer_copy_out(buffer, 0, self->written + self->written_length, count);
    self->written_length += count;
    mb_buffer_drain(buffer, count);
    return (int64_t)count;
}

static void scripted_shut_write(mb_transport *transport) {
    ((scripted *)transport)->shut_calls++;
}

static void scripted_close(mb_transport *transport, bool reset) {
    scripted *self = (scripted *)transport;
    self->close_calls++;
    self->was_reset = reset;
}

static void scripted_free(mb_transport *transport) {
    ((scripted *)transport)->was_freed = true;
}

static const mb_transport_vtable scripted_vtable = {
    .name = "scripted",
    .read = scripted_read,
    .write = scripted_write,
    .shut_write = scripted_shut_write,
    .close = scripted_close,
    .free = scripted_free,
};

void scripted_init(scripted *self) {
    *self = (scripted){.transport.vtable = &scripted_vtable, .read_errno = ECONNRESET};
}

void scripted_fini(scripted *self) {
    MB_CHECK(self->was_freed);
    free(self->written);
    self->written = NULL;
}

void scripted_reads(scripted *self, const int64_t *steps, size_t count) {
    self->reads = steps;
    self->read_count = count;
}

void scripted_writes(scripted *self, const int64_t *steps, size_t count) {
    self->writes = steps;
    self->write_count = count;
}
