/*
 * The way of a connection's bytes along its network filters; the theory is the head of
 * network_chain.h.
 */
#include "filter/network_walk.h"

mb_network_hold *mb__network_hold(mb_connection *connection, mb_network_way *way) {
    if (way->hold == NULL) {
        mb_network_hold *hold = mb_arena_alloc(&connection->arena, sizeof(*hold));
        if (hold == NULL) {
            return NULL;
        }
        mb_buffer_init(&hold->kept, connection->worker->slabs);
        mb_buffer_init(&hold->unseen, connection->worker->slabs);
        mb_buffer_init(&hold->outgoing, connection->worker->slabs);
        way->hold = hold;
        connection->any_hold = true;
    }
    return way->hold;
}

static void out_of_memory(mb_connection *connection) {
    mb__network_close(connection, MB_NETWORK_CLOSE_RESET, MB_SLICE_LIT("out_of_memory"));
}

/* Moves `data` to what the filter keeps, or to what it has not seen. */
static void keep(mb_connection *connection, mb_network_way *way, bool seen, mb_buffer *data,
                 bool end) {
    mb_network_hold *hold = mb__network_hold(connection, way);
    if (seen) {
        way->kept_end = way->kept_end || end;
    } else {
        way->unseen_end = way->unseen_end || end;
    }
    if (hold == NULL || mb_buffer_move(seen ? &hold->kept : &hold->unseen, data) < 0) {
        out_of_memory(connection);
        mb_buffer_clear(data);
    }
}

/* Puts what is in `first` in front of `data`. */
static void put_before(mb_connection *connection, mb_buffer *first, mb_buffer *data) {
    if (first->length > 0 && (mb_buffer_move(first, data) < 0 || mb_buffer_move(data, first) < 0)) {
        out_of_memory(connection);
    }
}

static void bad_status(mb_connection *connection, const mb_network_slot *slot, int status) {
    mb_worker_log(connection->worker, MB_LOG_ERROR, "filter",
                  "network filter '%s' answered %d, which is no status of it", slot->filter.name,
                  status);
    mb__network_close(connection, MB_NETWORK_CLOSE_RESET, MB_SLICE_LIT("filter_bad_status"));
}

/* Takes a hook's status; STOP and `resume` in the same breath mean CONTINUE. */
static mb_network_position position_after(mb_connection *connection, const mb_network_slot *slot,
                                          mb_network_way *way, int status) {
    bool resumed = way->resume_asked;
    way->resume_asked = false;
    switch (status) {
    case MB_NETWORK_CONTINUE:
        return MB_NETWORK_OPEN;
    case MB_NETWORK_STOP_ITERATION:
        return resumed ? MB_NETWORK_OPEN : MB_NETWORK_STOPPED;
    case MB_PENDING:
        return MB_NETWORK_PENDING;
    default:
        bad_status(connection, slot, status);
        return MB_NETWORK_STOPPED;
    }
}

/* -- the opening ------------------------------------------------------------------------------- */

void mb__network_open(mb_connection *connection) {
    const mb_network_chain *chain = connection->chain;
    while (connection->opened_count < chain->count) {
        mb_network_slot *slot = &connection->slots[connection->opened_count++];
        mb_network_way *way = &slot->way[MB_NETWORK_READ];
        if ((slot->entry->wants & (1u << MB_NETWORK_HOOK_NEW_CONNECTION)) != 0) {
            int status = mb__network_hook_open(connection, slot);
            way->position = (uint8_t)position_after(connection, slot, way, status);
        }
        if (way->position != MB_NETWORK_OPEN || mb__network_over(connection, MB_NETWORK_READ)) {
            return;
        }
    }
    connection->connected = true;
    mb_conn_stage_connected(&connection->stage);
}

/* The opening waits for this filter and no other. */
static bool holds_opening(const mb_connection *connection, int direction, uint32_t at) {
    return direction == MB_NETWORK_READ && !connection->connected &&
           connection->opened_count == at + 1;
}

/* -- one filter -------------------------------------------------------------------------------- */

/* Gives `data` and the end to one filter. True: what is in `data` then, and `*end`, go on. */
static bool show(mb_connection *connection, int direction, uint32_t at, mb_buffer *data,
                 bool *end) {
    mb_network_slot *slot = mb__network_slot(connection, direction, at);
    mb_network_way *way = &slot->way[direction];
    uint32_t bit =
        direction == MB_NETWORK_READ ? 1u << MB_NETWORK_HOOK_READ : 1u << MB_NETWORK_HOOK_WRITE;
    if (way->position == MB_NETWORK_PENDING ||
        (direction == MB_NETWORK_READ && at >= connection->opened_count)) {
        keep(connection, way, false, data, *end);
        return false;
    }
    if ((slot->entry->wants & bit) == 0) {
        if (way->position != MB_NETWORK_OPEN) {
            keep(connection, way, true, data, *end);
            return false;
        }
        return true;
    }
    bool last = *end || way->kept_end;
    mb_buffer *shown = data;
    if (way->hold != NULL && way->hold->kept.length > 0) {
        shown = &way->hold->kept;
        if (mb_buffer_move(shown, data) < 0) {
            out_of_memory(connection);
            return false;
        }
    }
    int status = mb__network_hook_data(connection, slot, direction, shown, last);
    way->position = (uint8_t)position_after(connection, slot, way, status);
    if (way->position != MB_NETWORK_OPEN) {
        way->kept_end = last;
        if (shown == data && data->length > 0) {
            keep(connection, way, true, data, last);
        }
        *end = false;
    } else {
        way->kept_end = false;
        way->ended = *end = last;
        if (shown != data && mb_buffer_move(data, shown) < 0) {
            out_of_memory(connection);
        }
    }
    if (way->hold != NULL) {
        put_before(connection, &way->hold->outgoing, data);
    }
    return data->length > 0 || *end;
}

/* -- the walk ---------------------------------------------------------------------------------- */

static void leave_chain(mb_connection *connection, int direction, mb_buffer *data, bool end) {
    if (direction == MB_NETWORK_READ) {
        mb_conn_stage_deliver(&connection->stage, data, end);
    } else {
        mb_conn_stage_send(&connection->stage, data, end);
    }
}

/* What came to filters before they knew of the connection. */
static void show_unseen(mb_connection *connection, int direction, uint32_t at) {
    mb_network_way *way = &mb__network_slot(connection, direction, at)->way[direction];
    bool waits = way->hold != NULL && (way->hold->unseen.length > 0 || way->unseen_end);
    if (!waits || way->position == MB_NETWORK_PENDING || mb__network_over(connection, direction)) {
        return;
    }
    mb_buffer data;
    mb_buffer_init(&data, connection->worker->slabs);
    bool end = way->unseen_end;
    way->unseen_end = false;
    if (mb_buffer_move(&data, &way->hold->unseen) < 0) {
        out_of_memory(connection);
    } else {
        mb__network_walk(connection, direction, at, &data, end);
    }
    mb_buffer_fini(&data);
}

static void open_further(mb_connection *connection) {
    uint32_t before = connection->opened_count;
    mb__network_open(connection);
    for (uint32_t at = before; at < connection->opened_count; at++) {
        show_unseen(connection, MB_NETWORK_READ, at);
    }
}

void mb__network_walk(mb_connection *connection, int direction, uint32_t at, mb_buffer *data,
                      bool end) {
    for (; at < connection->chain->count; at++) {
        bool goes_on = show(connection, direction, at, data, &end);
        if (mb__network_over(connection, direction)) {
            mb_buffer_clear(data);
            return;
        }
        bool open =
            mb__network_slot(connection, direction, at)->way[direction].position == MB_NETWORK_OPEN;
        if (open && holds_opening(connection, direction, at)) {
            open_further(connection);
        }
        if (!goes_on || mb__network_over(connection, direction)) {
            mb_buffer_clear(data);
            return;
        }
    }
    leave_chain(connection, direction, data, end);
}

void mb__network_release(mb_connection *connection, int direction, uint32_t at) {
    mb_network_way *way = &mb__network_slot(connection, direction, at)->way[direction];
    way->position = MB_NETWORK_OPEN;
    if (holds_opening(connection, direction, at)) {
        open_further(connection);
    }
    mb_buffer data;
    mb_buffer_init(&data, connection->worker->slabs);
    bool end = way->kept_end;
    way->kept_end = false;
    way->ended = way->ended || end;
    if (way->hold != NULL && !mb__network_over(connection, direction)) {
        if (mb_buffer_move(&data, &way->hold->kept) < 0) {
            out_of_memory(connection);
        }
        put_before(connection, &way->hold->outgoing, &data);
    }
    if ((data.length > 0 || end) && !mb__network_over(connection, direction)) {
        mb__network_walk(connection, direction, at + 1, &data, end);
    }
    mb_buffer_fini(&data);
    show_unseen(connection, direction, at);
}

void mb__network_finish(mb_connection *connection, int direction, uint32_t at, int status) {
    mb_network_slot *slot = mb__network_slot(connection, direction, at);
    mb_network_way *way = &slot->way[direction];
    way->position = (uint8_t)position_after(connection, slot, way, status);
    if (way->position == MB_NETWORK_OPEN) {
        mb__network_release(connection, direction, at);
    } else {
        show_unseen(connection, direction, at);
    }
}

void mb__network_emit(mb_connection *connection, int direction, uint32_t at) {
    mb_network_hold *hold = mb__network_slot(connection, direction, at)->way[direction].hold;
    if (hold == NULL || hold->outgoing.length == 0 || mb__network_over(connection, direction)) {
        return;
    }
    mb_buffer data;
    mb_buffer_init(&data, connection->worker->slabs);
    if (mb_buffer_move(&data, &hold->outgoing) < 0) {
        out_of_memory(connection);
    } else {
        mb__network_walk(connection, direction, at + 1, &data, false);
    }
    mb_buffer_fini(&data);
}
