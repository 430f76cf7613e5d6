/*
 * Calling hooks. The one place where control goes to a filter: the hook slot is true around each
 * call, the batch of the module is open, and what the hook noted (respond, reset) is acted on
 * before the status is looked at.
 */
#include "filter/walk.h"

static const uint32_t group_hook[3][2] = {
    {MB_HOOK_REQUEST_HEADERS, MB_HOOK_RESPONSE_HEADERS},
    {MB_HOOK_REQUEST_BODY, MB_HOOK_RESPONSE_BODY},
    {MB_HOOK_REQUEST_TRAILERS, MB_HOOK_RESPONSE_TRAILERS},
};

#define GROUP_MAX 64

/* Other threads read the slot: each field is written whole. A plain move. */
#define SLOT_SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

void mb__batch_begin(mb_worker *worker, mb_module_ref *module) {
    module->in_batch = true;
    if (!worker->batch_open) {
        worker->batch_open = true;
        /* A module may have to wait for a lock (the GIL): streams that do not need it should not
         * wait with their answers. */
        mb_loop_flush(worker->loop);
        mb_loop_defer(worker->loop, MB_PHASE_BATCH, &worker->batch_task);
    }
}

static inline void hook_begin(mb_stream *stream, mb_filter_slot *slot, uint32_t hook) {
    mb_worker *worker = stream->worker;
    mb_module_ref *module = slot->entry->module;
    if (!module->in_batch && module->module.on_batch_end != NULL) {
        mb__batch_begin(worker, module);
    }
    mb_hook_slot *now = &worker->hook_slot;
    SLOT_SET(now->hook, hook);
    SLOT_SET(now->stream, mb_stream_id_of(stream));
    SLOT_SET(now->start_us, mb_loop_now_us(worker->loop));
    SLOT_SET(now->sequence, now->sequence + 1);
    SLOT_SET(now->filter, slot->filter.name);
    stream->in_hook = true;
    slot->touched = true;
}

static inline void hook_end(mb_stream *stream, uint32_t ran) {
    SLOT_SET(stream->worker->hook_slot.filter, NULL);
    stream->in_hook = false;
    mb_metric_add(stream->worker->metrics.hooks, ran);
    if (stream->reset_asked || stream->reply != NULL) {
        mb__act_on_replies(stream);
    }
}

/* Collects the filters from `at` on that the same module can run in one call: those that want the
 * hook and are open, up to the first that is neither. `positions` gets where each one stands. */
static uint32_t collect_group(mb_stream *stream, mb_direction direction, uint32_t at, uint32_t bit,
                              mb_filter **filters, uint32_t *positions) {
    const mb_module_ref *module = mb__slot_at(stream, direction, at)->entry->module;
    uint32_t count = 0;
    for (; at < stream->chain->count && count < GROUP_MAX; at++) {
        mb_filter_slot *slot = mb__slot_at(stream, direction, at);
        if (slot->position[direction] != MB_POSITION_OPEN && count > 0) {
            break;
        }
        if ((slot->wants & bit) == 0) {
            continue;
        }
        if (slot->entry->module != module) {
            break;
        }
        const mb_hold *hold = slot->hold[direction];
        bool apart = slot->position[direction] != MB_POSITION_OPEN ||
                     (hold != NULL && hold->seen.length > 0);
        if (apart && count > 0) {
            break;
        }
        positions[count] = at;
        filters[count++] = &slot->filter;
        if (apart) {
            break; /* what it lets through is more than this piece */
        }
    }
    return count;
}

/* Notes the filters that a group's call ran: at least the first, at most all. Returns where the
 * last one stands. */
static uint32_t group_ran(mb_stream *stream, mb_direction direction, const uint32_t *positions,
                          uint32_t count, uint32_t *ran) {
    *ran = *ran == 0 ? 1 : *ran > count ? count : *ran;
    for (uint32_t i = 0; i < *ran; i++) {
        mb__slot_at(stream, direction, positions[i])->touched = true;
    }
    return positions[*ran - 1];
}

int mb__hook_headers(mb_stream *stream, mb_direction direction, uint32_t *at, bool end_stream) {
    uint32_t hook = group_hook[0][direction];
    mb_filter_slot *slot = mb__slot_at(stream, direction, *at);
    const mb_group_hooks *group = slot->entry->module->module.group;
    int status;
    uint32_t ran = 1;
    hook_begin(stream, slot, hook);
    if (group != NULL && group->headers != NULL) {
        mb_filter *filters[GROUP_MAX];
        uint32_t positions[GROUP_MAX];
        ran = 0;
        uint32_t count = collect_group(stream, direction, *at, 1u << hook, filters, positions);
        status = group->headers(filters, count, direction, end_stream, &ran);
        *at = group_ran(stream, direction, positions, count, &ran);
    } else if (direction == MB_REQUEST) {
        status = (int)slot->entry->hooks->request_headers(&slot->filter, end_stream);
    } else {
        status = (int)slot->entry->hooks->response_headers(&slot->filter, end_stream);
    }
    hook_end(stream, ran);
    return status;
}

int mb__hook_body(mb_stream *stream, mb_direction direction, uint32_t *at, mb_buffer *data,
                  bool end_stream) {
    uint32_t hook = group_hook[1][direction];
    mb_filter_slot *slot = mb__slot_at(stream, direction, *at);
    const mb_group_hooks *group = slot->entry->module->module.group;
    int status;
    uint32_t ran = 1;
    hook_begin(stream, slot, hook);
    if (group != NULL && group->body != NULL) {
        mb_filter *filters[GROUP_MAX];
        uint32_t positions[GROUP_MAX];
        ran = 0;
        uint32_t count = collect_group(stream, direction, *at, 1u << hook, filters, positions);
        status = group->body(filters, count, direction, data, end_stream, &ran);
        *at = group_ran(stream, direction, positions, count, &ran);
    } else if (direction == MB_REQUEST) {
        status = (int)slot->entry->hooks->request_body(&slot->filter, data, end_stream);
    } else {
        status = (int)slot->entry->hooks->response_body(&slot->filter, data, end_stream);
    }
    hook_end(stream, ran);
    return status;
}

int mb__hook_trailers(mb_stream *stream, mb_direction direction, uint32_t at) {
    mb_filter_slot *slot = mb__slot_at(stream, direction, at);
    hook_begin(stream, slot, group_hook[2][direction]);
    int status = direction == MB_REQUEST
                     ? (int)slot->entry->hooks->request_trailers(&slot->filter)
                     : (int)slot->entry->hooks->response_trailers(&slot->filter);
    hook_end(stream, 1);
    return status;
}

void mb__hook_scheduled(mb_stream *stream, mb_filter_slot *slot, uint64_t event) {
    if ((slot->wants & (1u << MB_HOOK_SCHEDULED)) != 0) {
        hook_begin(stream, slot, MB_HOOK_SCHEDULED);
        slot->entry->hooks->scheduled(&slot->filter, event);
        hook_end(stream, 1);
    }
}

/* -- the end of a stream ----------------------------------------------------------------------- */

static bool hears_end(const mb_filter_slot *slot, uint32_t hook) {
    if (hook == MB_HOOK_DESTROY) {
        return slot->touched && slot->entry->hooks->destroy != NULL;
    }
    return (slot->wants & (1u << hook)) != 0;
}

typedef void (*end_group_fn)(mb_filter *const *filters, uint32_t count);

/* The module's way to tell several filters at once; NULL: there is none. */
static end_group_fn end_group_of(const mb_filter_slot *slot, uint32_t hook) {
    const mb_group_hooks *group = slot->entry->module->module.group;
    if (group == NULL) {
        return NULL;
    }
    return hook == MB_HOOK_DESTROY ? group->destroy : group->complete;
}

/* Collects the filters from `at` on that the same module tells together. Returns where others
 * begin. */
static uint32_t collect_ends(mb_stream *stream, uint32_t at, uint32_t hook, mb_filter **filters,
                             uint32_t *count) {
    const mb_module_ref *module = stream->slots[at].entry->module;
    for (*count = 0; at < stream->chain->count && *count < GROUP_MAX; at++) {
        mb_filter_slot *slot = &stream->slots[at];
        if (!hears_end(slot, hook)) {
            continue;
        }
        if (slot->entry->module != module) {
            break;
        }
        slot->touched = true;
        filters[(*count)++] = &slot->filter;
    }
    return at;
}

static void tell_end(mb_stream *stream, uint32_t hook) {
    for (uint32_t at = 0; at < stream->chain->count;) {
        mb_filter_slot *slot = &stream->slots[at];
        if (!hears_end(slot, hook)) {
            at++;
            continue;
        }
        uint32_t count = 1;
        end_group_fn group = end_group_of(slot, hook);
        hook_begin(stream, slot, hook);
        if (group != NULL) {
            mb_filter *filters[GROUP_MAX];
            at = collect_ends(stream, at, hook, filters, &count);
            group(filters, count);
        } else if (hook == MB_HOOK_DESTROY) {
            slot->entry->hooks->destroy(&slot->filter);
            at++;
        } else {
            slot->entry->hooks->stream_complete(&slot->filter);
            at++;
        }
        hook_end(stream, count);
    }
}

void mb__hooks_complete(mb_stream *stream) {
    tell_end(stream, MB_HOOK_STREAM_COMPLETE);
}

void mb__hooks_destroy(mb_stream *stream) {
    tell_end(stream, MB_HOOK_DESTROY);
}
