/*
 * Calling the hooks of network filters. As hooks.c for streams: the hook slot is true around each
 * call and the batch of the module is open.
 */
#include "filter/network_walk.h"
#include "filter/walk.h"

/* Other threads read the slot: each field is written whole. A plain move. */
#define SLOT_SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

static void hook_begin(mb_connection *connection, mb_network_slot *slot, uint32_t hook,
                       int direction) {
    mb_worker *worker = connection->worker;
    mb_module_ref *module = slot->entry->module;
    if (!module->in_batch && module->module.on_batch_end != NULL) {
        mb__batch_begin(worker, module);
    }
    mb_hook_slot *now = &worker->hook_slot;
    SLOT_SET(now->hook, hook);
    SLOT_SET(now->stream, connection->id);
    SLOT_SET(now->start_us, mb_loop_now_us(worker->loop));
    SLOT_SET(now->sequence, now->sequence + 1);
    SLOT_SET(now->filter, slot->filter.name);
    connection->in_hook = true;
    connection->hook_direction = (uint8_t)direction;
    slot->touched = true;
}

static void hook_end(mb_connection *connection) {
    SLOT_SET(connection->worker->hook_slot.filter, NULL);
    connection->in_hook = false;
    mb_metric_inc(connection->worker->metrics.hooks);
}

int mb__network_hook_open(mb_connection *connection, mb_network_slot *slot) {
    hook_begin(connection, slot, MB_NETWORK_HOOK_NEW_CONNECTION, MB_NETWORK_READ);
    int status = (int)slot->entry->hooks->new_connection(&slot->filter);
    hook_end(connection);
    return status;
}

int mb__network_hook_data(mb_connection *connection, mb_network_slot *slot, int direction,
                          mb_buffer *data, bool end) {
    const mb_network_filter_hooks *hooks = slot->entry->hooks;
    bool read = direction == MB_NETWORK_READ;
    hook_begin(connection, slot, read ? MB_NETWORK_HOOK_READ : MB_NETWORK_HOOK_WRITE, direction);
    int status = (int)(read ? hooks->read : hooks->write)(&slot->filter, data, end);
    hook_end(connection);
    return status;
}

static bool wants(const mb_network_slot *slot, uint32_t hook) {
    return (slot->entry->wants & (1u << hook)) != 0;
}

void mb__network_hook_scheduled(mb_connection *connection, mb_network_slot *slot, uint64_t event) {
    if (wants(slot, MB_NETWORK_HOOK_SCHEDULED)) {
        hook_begin(connection, slot, MB_NETWORK_HOOK_SCHEDULED, -1);
        slot->entry->hooks->scheduled(&slot->filter, event);
        hook_end(connection);
    }
}

void mb__network_hooks_end(mb_connection *connection) {
    mb_network_event event = connection->close_reason == MB_CLOSED_BY_US ? MB_NETWORK_LOCAL_CLOSE
                                                                         : MB_NETWORK_REMOTE_CLOSE;
    for (uint32_t i = 0; i < connection->chain->count; i++) {
        mb_network_slot *slot = &connection->slots[i];
        if (slot->touched && wants(slot, MB_NETWORK_HOOK_EVENT)) {
            hook_begin(connection, slot, MB_NETWORK_HOOK_EVENT, -1);
            slot->entry->hooks->event(&slot->filter, event);
            hook_end(connection);
        }
    }
    for (uint32_t i = 0; i < connection->chain->count; i++) {
        mb_network_slot *slot = &connection->slots[i];
        if (slot->touched && slot->entry->hooks->destroy != NULL) {
            hook_begin(connection, slot, MB_NETWORK_HOOK_DESTROY, -1);
            slot->entry->hooks->destroy(&slot->filter);
            hook_end(connection);
        }
    }
}
