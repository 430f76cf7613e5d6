/*
 * A connection's network chain: its life, and acting on what filters asked for.
 *
 * Whatever calls hooks (`opened`, `read`, `write`, a posted event, `action_task`) ends with
 * `settle`: pending hooks that finished, filters that resumed, bytes that were added, the close.
 * Each may lead to hooks that ask for more; after some rounds the rest waits for the next turn, so
 * that two filters that answer each other cannot keep the worker for themselves.
 */
#include "filter/network_walk.h"

#include "base/alloc.h"
#include <string.h>

#define SETTLE_ROUNDS 16
/* What a filter has written before it closes may take so long, and the peer's end after it. */
#define CLOSE_DELAY_US 1000000u

/* -- acting on what was asked for -------------------------------------------------------------- */

static void close_now(mb_connection *connection) {
    mb_conn *conn = connection->stage.conn;
    switch (connection->close_kind) {
    case MB_NETWORK_CLOSE_RESET:
        mb_conn_close(conn, MB_CLOSE_RESET, 0);
        break;
    case MB_NETWORK_CLOSE_NOW:
        mb_conn_close(conn, MB_CLOSE_NOW, 0);
        break;
    default:
        mb_conn_close(conn, MB_CLOSE_FLUSH_LINGER, CLOSE_DELAY_US);
    }
}

static void settle_way(mb_connection *connection, int direction, uint32_t index) {
    mb_network_way *way = &connection->slots[index].way[direction];
    uint32_t at = mb__network_position(connection, direction, index);
    if (way->finish_asked && !mb__network_over(connection, direction)) {
        way->finish_asked = false;
        mb__network_finish(connection, direction, at, way->finish_status);
    } else if (way->resume_asked && !mb__network_over(connection, direction)) {
        way->resume_asked = false;
        mb__network_release(connection, direction, at);
    }
    mb__network_emit(connection, direction, at);
}

/* A close waits for what is pending on its way to the peer and for nothing else. */
static void end_writing(mb_connection *connection) {
    mb_stage *stage = &connection->stage;
    if (connection->closed || stage->wire_end || !mb_conn_stage_closing(stage) ||
        !connection->ended[MB_NETWORK_WRITE]) {
        return;
    }
    for (uint32_t i = 0; i < connection->chain->count; i++) {
        if (connection->slots[i].way[MB_NETWORK_WRITE].position == MB_NETWORK_PENDING) {
            return;
        }
    }
    for (uint32_t i = 0; i < connection->chain->count; i++) {
        mb_network_hold *hold = connection->slots[i].way[MB_NETWORK_WRITE].hold;
        if (hold != NULL) {
            mb_buffer_clear(&hold->kept);
        }
    }
    mb_buffer nothing;
    mb_buffer_init(&nothing, connection->worker->slabs);
    mb_conn_stage_send(stage, &nothing, true);
}

static size_t held_bytes(const mb_connection *connection, int direction) {
    size_t sum = 0;
    for (uint32_t i = 0; i < connection->chain->count; i++) {
        const mb_network_hold *hold = connection->slots[i].way[direction].hold;
        sum += hold == NULL ? 0 : hold->kept.length + hold->unseen.length + hold->outgoing.length;
    }
    return sum;
}

/* What filters keep is bounded: reading stops, the owner hears of its watermark. */
static void account(mb_connection *connection) {
    mb_stage *stage = &connection->stage;
    if (!connection->any_hold || connection->closed) {
        return;
    }
    size_t limit = connection->limit_bytes;
    size_t held = held_bytes(connection, MB_NETWORK_READ);
    if (limit > 0 && held > limit && !stage->read_paused) {
        mb_conn_stage_pause(stage, true);
    } else if (stage->read_paused && held <= limit / 2) {
        mb_conn_stage_pause(stage, false);
    }
    held = held_bytes(connection, MB_NETWORK_WRITE);
    if (held != stage->write_held_bytes) {
        stage->write_held_bytes = held;
        mb_conn_stage_held(stage);
    }
}

static void settle(mb_connection *connection) {
    int rounds = 0;
    while (connection->asked && !connection->closed) {
        if (rounds++ == SETTLE_ROUNDS) {
            mb_loop_defer(connection->worker->loop, MB_PHASE_READ, &connection->action_task);
            break;
        }
        connection->asked = false;
        if (connection->close_asked && connection->close_kind != MB_NETWORK_CLOSE_FLUSH) {
            close_now(connection);
            return;
        }
        for (uint32_t i = 0; i < connection->chain->count; i++) {
            settle_way(connection, MB_NETWORK_READ, i);
            settle_way(connection, MB_NETWORK_WRITE, i);
        }
        if (connection->close_asked && !connection->closed) {
            close_now(connection);
        }
    }
    end_writing(connection);
    account(connection);
}

static void on_action(mb_task *task) {
    settle(MB_LIST_ENTRY(task, mb_connection, action_task));
}

void mb__network_act_soon(mb_connection *connection) {
    connection->asked = true;
    if (!connection->in_hook) {
        mb_loop_defer(connection->worker->loop, MB_PHASE_READ, &connection->action_task);
    }
}

void mb__network_close(mb_connection *connection, mb_network_close kind, mb_slice details) {
    if (!connection->close_asked || (int)kind > (int)connection->close_kind) {
        connection->close_asked = true;
        connection->close_kind = (uint8_t)kind;
        connection->close_details = details;
    }
    mb__network_act_soon(connection);
}

void mb__network_deliver_post(mb_connection *connection, mb_network_slot *slot, uint64_t event) {
    mb__network_hook_scheduled(connection, slot, event);
    settle(connection);
}

/* -- the stage --------------------------------------------------------------------------------- */

static void on_opened(mb_stage *stage) {
    mb_connection *connection = (mb_connection *)stage;
    mb__network_open(connection);
    settle(connection);
}

static void on_read(mb_stage *stage, bool end) {
    mb_connection *connection = (mb_connection *)stage;
    connection->ended[MB_NETWORK_READ] |= end;
    if (mb__network_over(connection, MB_NETWORK_READ)) {
        mb_buffer_clear(&stage->received);
        return;
    }
    mb__network_walk(connection, MB_NETWORK_READ, 0, &stage->received, end);
    settle(connection);
}

static void on_write(mb_stage *stage, bool end) {
    mb_connection *connection = (mb_connection *)stage;
    mb_conn *conn = stage->conn;
    bool had_end = connection->ended[MB_NETWORK_WRITE];
    connection->ended[MB_NETWORK_WRITE] |= end;
    if (had_end) {
        mb_buffer_clear(&conn->out); /* an owner that writes after its end */
    } else {
        mb_buffer data; /* the owner may write again while this is under way */
        mb_buffer_init(&data, connection->worker->slabs);
        if (mb_buffer_move(&data, &conn->out) < 0) {
            mb__network_close(connection, MB_NETWORK_CLOSE_RESET, MB_SLICE_LIT("out_of_memory"));
        } else {
            mb__network_walk(connection, MB_NETWORK_WRITE, 0, &data, end);
        }
        mb_buffer_fini(&data);
    }
    settle(connection);
}

static void drop_holds(mb_connection *connection) {
    for (uint32_t i = 0; i < connection->chain->count; i++) {
        for (int direction = 0; direction < 2; direction++) {
            mb_network_hold *hold = connection->slots[i].way[direction].hold;
            if (hold != NULL) {
                mb_buffer_fini(&hold->kept);
                mb_buffer_fini(&hold->unseen);
                mb_buffer_fini(&hold->outgoing);
            }
        }
    }
}

static mb_slice key_of(const mb_connection *connection) {
    return (mb_slice){(const char *)&connection->id, sizeof(connection->id)};
}

static void on_closed(mb_stage *stage, mb_close_reason reason) {
    mb_connection *connection = (mb_connection *)stage;
    mb_loop *loop = connection->worker->loop;
    connection->closed = true;
    connection->close_reason = reason;
    connection->end_us = mb_loop_now_us(loop);
    mb_map_remove(&connection->worker->connections, key_of(connection));
    mb_loop_cancel(&connection->action_task);
    mb_loop_defer(loop, MB_PHASE_NOTIFY, &connection->end_task);
}

/* -- life -------------------------------------------------------------------------------------- */

static void free_connection(mb_connection *connection) {
    const mb_allocator *allocator = connection->worker->allocator;
    mb_arena_clear(&connection->arena);
    mb_free(allocator, connection, sizeof(*connection));
}

static void on_end(mb_task *task) {
    mb_connection *connection = MB_LIST_ENTRY(task, mb_connection, end_task);
    mb__network_hooks_end(connection);
    drop_holds(connection);
    mb_origin_unref(connection->origin);
    mb_conn_stage_done(&connection->stage);
    if (connection->release != NULL) {
        connection->release(connection->keeper);
    }
    free_connection(connection);
}

static const mb_stage_vtable stage_vtable = {
    .opened = on_opened, .read = on_read, .write = on_write, .closed = on_closed};

static int make_slots(mb_connection *connection) {
    const mb_network_chain *chain = connection->chain;
    connection->slots =
        mb_arena_zalloc(&connection->arena, chain->count * sizeof(*connection->slots));
    char *states = mb_arena_zalloc(&connection->arena, chain->state_bytes);
    if (connection->slots == NULL || states == NULL) {
        return MB_ENOMEM;
    }
    for (uint32_t i = 0; i < chain->count; i++) {
        const mb_network_entry *entry = &chain->entries[i];
        connection->slots[i].entry = entry;
        connection->slots[i].filter = (mb_network_filter){
            .connection = connection,
            .config = entry->config,
            .state = entry->hooks->state_bytes > 0 ? states + entry->state_offset : NULL,
            .name = entry->name,
            .slot = &connection->worker->hook_slot,
        };
    }
    return MB_OK;
}

/* What listener filters have put into the metadata. */
static int take_metadata(mb_connection *connection, const mb_origin *origin) {
    const mb_origin_metadata *entry = origin != NULL ? origin->metadata : NULL;
    int rc = MB_OK;
    for (; entry != NULL && rc != MB_ENOMEM; entry = entry->next) {
        rc = mb_metadata_store_set(&connection->metadata, entry->space, entry->key, entry->value);
    }
    return rc == MB_ENOMEM ? rc : MB_OK;
}

mb_connection *mb_connection_new(mb_worker *worker, mb_conn *conn,
                                 const mb_connection_options *options) {
    mb_connection *connection = mb_zalloc(worker->allocator, sizeof(*connection));
    if (connection == NULL) {
        return NULL;
    }
    connection->stage.vtable = &stage_vtable;
    connection->worker = worker;
    connection->chain = options->chain;
    connection->id = options->id;
    connection->listener = options->listener;
    connection->limit_bytes = options->limit_bytes;
    connection->start_us = mb_loop_now_us(worker->loop);
    connection->start_wall_us = mb_loop_wall_us(worker->loop);
    connection->action_task.run = on_action;
    connection->end_task.run = on_end;
    mb_arena_init(&connection->arena, &worker->arenas);
    mb_metadata_store_init(&connection->metadata, &connection->arena);
    if (make_slots(connection) < 0 || take_metadata(connection, options->origin) < 0 ||
        mb_map_set(&worker->connections, key_of(connection), connection, NULL) < 0) {
        free_connection(connection);
        return NULL;
    }
    connection->origin = options->origin != NULL ? mb_origin_ref(options->origin) : NULL;
    connection->keeper = options->keeper;
    connection->release = options->release;
    mb_conn_set_stage(conn, &connection->stage);
    return connection;
}

int mb_connection_set_upstream(mb_connection *connection, mb_slice cluster,
                               const mb_address *host) {
    if (host != NULL) {
        connection->upstream = *host;
    }
    return mb_arena_dup(&connection->arena, cluster, &connection->cluster);
}

mb_connection *mb_connection_of(const mb_conn *conn) {
    return conn->stage != NULL && conn->stage->vtable == &stage_vtable
               ? (mb_connection *)conn->stage
               : NULL;
}

mb_connection *mb_connection_find(mb_worker *worker, mb_connection_id id) {
    return mb_map_get(&worker->connections, (mb_slice){(const char *)&id, sizeof(id)});
}
