/*
 * See network_rig.h.
 */
#include "support/network_rig.h"

#include "filter/host.h"
#include "filter/network_walk.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 2, 3))) static void note(rig *self, const char *format, ...) {
    size_t room = sizeof(self->hooks) - self->hooks_length;
    va_list values;
    va_start(values, format);
    int length = vsnprintf(self->hooks + self->hooks_length, room, format, values);
    va_end(values);
    if (length > 0 && (size_t)length < room) {
        self->hooks_length += (size_t)length;
    }
}

/* -- the filters ------------------------------------------------------------------------------- */

static script *script_of(mb_network_filter *filter) {
    script *self = filter->config;
    self->filter = filter;
    return self;
}

static mb_network_status on_open(mb_network_filter *filter) {
    script *self = script_of(filter);
    note(self->rig, "%d:open ", self->index);
    return (mb_network_status)self->open_status;
}

static void add(script *self, int direction, mb_slice bytes) {
    mb_buffer *out = self->rig->host->outgoing(self->filter, (mb_network_direction)direction);
    if (out != NULL) {
        (void)mb_buffer_append(out, bytes);
    }
}

static mb_network_status on_piece(mb_network_filter *filter, int direction, mb_buffer *data,
                                  bool end) {
    script *self = script_of(filter);
    char text[256];
    size_t length = mb_buffer_copy_out(data, 0, text, sizeof(text));
    note(self->rig, "%d:%s(%.*s%s) ", self->index, direction == 0 ? "read" : "write", (int)length,
         text, end ? "|end" : "");
    for (int to = 0; to < 2; to++) {
        const char *bytes = self->adds[direction][to];
        self->adds[direction][to] = NULL;
        if (bytes != NULL) {
            add(self, to, (mb_slice){bytes, strlen(bytes)});
        }
    }
    if (self->answers) {
        add(self, 1 - direction, MB_SLICE_LIT("."));
    }
    if (self->closes > 0) {
        mb_network_close kind = (mb_network_close)(self->closes - 1);
        self->closes = 0;
        (void)self->rig->host->close(filter->connection, kind, MB_SLICE_LIT("script"));
    }
    int step = self->asked[direction]++;
    return (mb_network_status)(step < self->given[direction] ? self->statuses[direction][step] : 0);
}

static mb_network_status on_read(mb_network_filter *filter, mb_buffer *data, bool end) {
    return on_piece(filter, MB_NETWORK_READ, data, end);
}

static mb_network_status on_write(mb_network_filter *filter, mb_buffer *data, bool end) {
    return on_piece(filter, MB_NETWORK_WRITE, data, end);
}

static void on_event(mb_network_filter *filter, mb_network_event event) {
    const script *self = script_of(filter);
    note(self->rig, "%d:%s ", self->index, event == MB_NETWORK_LOCAL_CLOSE ? "local" : "remote");
}

static void on_scheduled(mb_network_filter *filter, uint64_t event) {
    const script *self = script_of(filter);
    note(self->rig, "%d:event%d ", self->index, (int)event);
}

static void on_destroy(mb_network_filter *filter) {
    script *self = script_of(filter);
    note(self->rig, "%d:destroy ", self->index);
    self->filter = NULL;
}

static const mb_network_filter_hooks hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(mb_network_filter_hooks),
    .new_connection = on_open,
    .read = on_read,
    .write = on_write,
    .event = on_event,
    .scheduled = on_scheduled,
    .destroy = on_destroy,
};

void script_status(rig *self, int filter, int direction, int status) {
    script *to = &self->filters[filter];
    MB_CHECK(to->given[direction] < SCRIPT_STEPS);
    to->statuses[direction][to->given[direction]++] = status;
}

void script_add(rig *self, int filter, int hook, int direction, const char *bytes) {
    self->filters[filter].adds[hook][direction] = bytes;
}

/* -- the rig ----------------------------------------------------------------------------------- */

void rig_make(rig *self, int filters) {
    *self = (rig){.memory = mbtest_failing_alloc(0)};
    const mb_logger silent = {0};
    mbtest_clock_init(&self->clock, WORLD_START_US, 0);
    MB_CHECK_EQ_INT(
        mb_worker_init(&self->worker, &self->memory->allocator, &self->clock.clock, &silent, 0),
        MB_OK);
    self->world.loop = self->worker.loop;
    self->world.slabs = self->worker.slabs;
    self->host = mb_host_functions.network;
    self->chain = (mb_network_chain){.entries = self->entries, .count = (uint32_t)filters};
    for (int i = 0; i < filters; i++) {
        script *made = &self->filters[i];
        *made = (script){.rig = self, .index = i};
        snprintf(made->name, sizeof(made->name), "f%d", i);
        self->entries[i] = (mb_network_entry){.name = made->name,
                                              .hooks = &hooks,
                                              .module = &self->module,
                                              .config = made,
                                              .wants = UINT32_MAX};
    }
    owner_init(&self->owner, &self->world);
}

static void release(void *keeper) {
    ((rig *)keeper)->released = true;
}

bool rig_try_start(rig *self) {
    mb_transport *ours;
    if (mb_memory_transport_pair(&self->memory->allocator, 2048, &ours, &self->peer) < 0) {
        self->peer = NULL;
        return false;
    }
    self->conn = mb_conn_new(&self->worker.net, ours, -1, NULL, &owner_events, &self->owner);
    if (self->conn == NULL) {
        return false;
    }
    self->owner.conn = self->conn;
    const mb_connection_options options = {
        .chain = &self->chain,
        .id = 7,
        .listener = MB_SLICE_LIT("main"),
        .limit_bytes = self->limit_bytes,
        .keeper = self,
        .release = release,
    };
    self->kept = mb_connection_new(&self->worker, self->conn, &options) != NULL;
    rig_turns(self, 1);
    return self->kept;
}

void rig_start(rig *self) {
    MB_CHECK(rig_try_start(self));
}

void network_rig_init(rig *self, int filters) {
    rig_make(self, filters);
    rig_start(self);
}

void rig_turns(rig *self, int count) {
    for (int i = 0; i < count; i++) {
        MB_CHECK_EQ_INT(mb_loop_turn(self->worker.loop, 0), MB_OK);
    }
}

static void ready(rig *self, uint32_t events) {
    if (!self->owner.closed) {
        mb_conn_ready(self->conn, events);
        rig_turns(self, 1);
    }
}

void rig_peer_sends(rig *self, const char *bytes) {
    mb_buffer data;
    mb_buffer_init(&data, self->worker.slabs);
    if (mb_buffer_append_static(&data, (mb_slice){bytes, strlen(bytes)}) == MB_OK) {
        (void)self->peer->vtable->write(self->peer, &data);
        ready(self, MB_IO_READ);
    }
    mb_buffer_fini(&data);
}

void rig_peer_ends(rig *self) {
    self->peer->vtable->shut_write(self->peer);
    ready(self, MB_IO_READ | MB_IO_HANGUP);
}

static void peer_reads(rig *self) {
    int64_t count;
    do {
        count = self->peer->vtable->read(self->peer, self->got + self->got_length,
                                         sizeof(self->got) - self->got_length);
        self->saw_end = self->saw_end || count == 0;
        self->got_length += count > 0 ? (size_t)count : 0;
    } while (count > 0);
}

mb_slice rig_peer_got(rig *self) {
    peer_reads(self);
    return (mb_slice){self->got, self->got_length};
}

bool rig_peer_saw_end(rig *self) {
    peer_reads(self);
    return self->saw_end;
}

void rig_owner_frees(owner *self, mb_conn *conn) {
    self->conn = NULL;
    self->closed = true;
    mb_conn_free(conn);
}

void network_rig_fini(rig *self) {
    owner_fini(&self->owner);
    rig_turns(self, 3);
    MB_CHECK_EQ_INT(self->released, self->kept);
    MB_CHECK_EQ_INT(mb_map_count(&self->worker.connections), 0);
    if (self->peer != NULL) {
        self->peer->vtable->free(self->peer);
    }
    mb_worker_fini(&self->worker);
    mbtest_alloc_free(self->memory);
}
