/*
 * Streams: where their memory comes from, how they begin and how they end. The walk of their
 * messages is chain.c.
 */
#include "filter/walk.h"
#include <string.h>

/* -- the table ------------------------------------------------------------------------------- */

static mb_stream *table_add(mb_worker *worker) {
    mb_stream_table *table = &worker->table;
    if (table->count == table->capacity) {
        uint32_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
        mb_stream **streams = worker->allocator->resize(worker->allocator->ctx, table->streams,
                                                        table->capacity * sizeof(*streams),
                                                        capacity * sizeof(*streams));
        if (streams == NULL) {
            return NULL;
        }
        table->streams = streams;
        table->capacity = capacity;
    }
    mb_stream *stream = worker->allocator->alloc(worker->allocator->ctx, sizeof(*stream));
    if (stream == NULL) {
        return NULL;
    }
    memset(stream, 0, sizeof(*stream));
    stream->index = table->count;
    stream->generation = 1;
    stream->worker = worker;
    mb_arena_init(&stream->arena, &worker->arenas);
    table->streams[table->count++] = stream;
    return stream;
}

mb_stream_id mb_stream_id_of(const mb_stream *stream) {
    return (mb_stream_id)stream->generation << 32 | stream->index;
}

mb_stream *mb_stream_find(mb_worker *worker, mb_stream_id id) {
    uint32_t index = (uint32_t)id;
    if (index >= worker->table.count) {
        return NULL;
    }
    mb_stream *stream = worker->table.streams[index];
    return stream->generation == (uint32_t)(id >> 32) && !stream->over ? stream : NULL;
}

void mb_stream_table_fini(mb_worker *worker) {
    mb_stream_table *table = &worker->table;
    for (uint32_t i = 0; i < table->count; i++) {
        mb_stream *stream = table->streams[i];
        mb_loop_disarm(&stream->idle_timer);
        mb_loop_disarm(&stream->request_timer);
        mb_loop_disarm(&stream->duration_timer);
        mb_loop_disarm(&stream->terminal_timer);
        mb_arena_clear(&stream->arena);
        worker->allocator->free(worker->allocator->ctx, stream, sizeof(*stream));
    }
    if (table->streams != NULL) {
        worker->allocator->free(worker->allocator->ctx, table->streams,
                                table->capacity * sizeof(*table->streams));
    }
    memset(table, 0, sizeof(*table));
}

/* -- beginning --------------------------------------------------------------------------------- */

/* What was asked for outside of a hook is done here. */
static void act(mb_task *task) {
    mb_stream *stream = MB_LIST_ENTRY(task, mb_stream, action_task);
    mb_stream_enter(stream);
    if (stream->reset_asked || stream->reply != NULL) {
        mb__act_on_replies(stream);
    }
    mb_stream_leave(stream);
}

static int make_slots(mb_stream *stream, const mb_chain *chain) {
    stream->slots = mb_arena_zalloc(&stream->arena, chain->count * sizeof(*stream->slots));
    char *state = NULL;
    if (chain->state_bytes > 0) {
        state = mb_arena_zalloc(&stream->arena, chain->state_bytes);
    }
    if (stream->slots == NULL || (chain->state_bytes > 0 && state == NULL)) {
        return MB_ENOMEM;
    }
    for (uint32_t i = 0; i < chain->count; i++) {
        const mb_chain_entry *entry = &chain->entries[i];
        mb_filter_slot *slot = &stream->slots[i];
        slot->entry = entry;
        slot->wants = entry->disabled ? 0 : entry->wants;
        slot->filter.stream = stream;
        slot->filter.config = entry->config;
        slot->filter.state = entry->hooks->state_bytes > 0 ? state + entry->state_offset : NULL;
        slot->filter.name = entry->name;
        slot->filter.slot = &stream->worker->hook_slot;
    }
    return MB_OK;
}

mb_stream *mb_stream_new(mb_worker *worker, const mb_chain *chain, const mb_stream_ops *ops,
                         void *owner) {
    mb_stream *stream = worker->table.free;
    if (stream != NULL) {
        worker->table.free = stream->next_free;
    } else if ((stream = table_add(worker)) == NULL) {
        return NULL;
    }
    stream->chain = chain;
    stream->ops = ops;
    stream->owner = owner;
    stream->action_task.run = act;
    if (make_slots(stream, chain) < 0) {
        mb_arena_clear(&stream->arena);
        stream->next_free = worker->table.free;
        worker->table.free = stream;
        return NULL;
    }
    for (int direction = MB_REQUEST; direction <= MB_RESPONSE; direction++) {
        /* They are empty already: mb_stream_free, table_add. */
        stream->headers[direction].arena = &stream->arena;
        stream->trailers[direction].arena = &stream->arena;
        mb_buffer_init(&stream->head_bytes[direction], worker->slabs);
    }
    mb_buffer_init(&stream->incoming, worker->slabs);
    stream->codec.headers = &stream->headers[MB_REQUEST];
    stream->codec.trailers = &stream->trailers[MB_REQUEST];
    stream->codec.head = &stream->head_bytes[MB_REQUEST];
    stream->codec.body = &stream->incoming;
    stream->info.start_us = mb_loop_now_us(worker->loop);
    stream->info.start_wall_us = mb_loop_wall_us(worker->loop);
    worker->table.active++;
    return stream;
}

void mb_stream_free(mb_stream *stream) {
    mb_worker *worker = stream->worker;
    mb_loop_cancel(&stream->action_task);
    for (int direction = MB_REQUEST; direction <= MB_RESPONSE; direction++) {
        mb__side_abort(stream, direction);
        mb_buffer_fini(&stream->head_bytes[direction]);
        mb_headers_reset(&stream->headers[direction]);
        mb_headers_reset(&stream->trailers[direction]);
    }
    mb_buffer_fini(&stream->incoming);
    mb_arena_clear(&stream->arena);
    memset(stream, 0, offsetof(mb_stream, idle_timer));
    stream->generation++;
    stream->next_free = worker->table.free;
    worker->table.free = stream;
    worker->table.active--;
}

const mb_address *mb_stream_keep_address(mb_stream *stream, const mb_address *address) {
    size_t bytes = offsetof(mb_address, sa) + address->length;
    void *kept = mb_arena_alloc(&stream->arena, bytes);
    return kept == NULL ? NULL : memcpy(kept, address, bytes);
}

/* -- the route --------------------------------------------------------------------------------- */

static void apply_overrides(mb_stream *stream) {
    const mb_chain_override *overrides = stream->choice.overrides;
    for (uint32_t i = 0; i < stream->chain->count; i++) {
        mb_filter_slot *slot = &stream->slots[i];
        const mb_chain_entry *entry = slot->entry;
        slot->filter.config = entry->config;
        slot->wants = entry->disabled ? 0 : entry->wants;
        if (overrides != NULL && overrides[i].present) {
            if (overrides[i].config != NULL) {
                slot->filter.config = overrides[i].config;
                slot->wants = overrides[i].wants;
            } else {
                slot->wants = entry->wants;
            }
            if (overrides[i].disabled) {
                slot->wants = 0;
            }
        }
    }
}

const mb_route_choice *mb_stream_route(mb_stream *stream) {
    if (!stream->choice_made) {
        bool had_overrides = stream->choice.overrides != NULL;
        stream->choice_made = true;
        stream->ops->resolve_route(stream, &stream->choice);
        if (had_overrides || stream->choice.overrides != NULL) {
            apply_overrides(stream);
        }
    }
    return &stream->choice;
}

/* -- ending ------------------------------------------------------------------------------------ */

static void finish(mb_stream *stream) {
    stream->completed = true;
    mb_loop_cancel(&stream->action_task);
    stream->info.end_us = mb_loop_now_us(stream->worker->loop);
    for (int direction = MB_REQUEST; direction <= MB_RESPONSE; direction++) {
        stream->headers[direction].immutable = true;
        stream->trailers[direction].immutable = true;
    }
    mb__hooks_complete(stream);
    mb__hooks_destroy(stream);
    stream->ops->complete(stream);
}

/* What hooks asked for, until nothing is left. */
static void settle(mb_stream *stream) {
    do {
        if (stream->resume_asked) {
            mb__act_on_resumes(stream);
        }
        mb__check_low_watermark(stream, MB_REQUEST);
        mb__check_low_watermark(stream, MB_RESPONSE);
    } while (stream->resume_asked && !stream->over);
}

void mb_stream_leave(mb_stream *stream) {
    if (stream->depth == 1) {
        if (!stream->over) {
            settle(stream);
        }
        if (stream->over && !stream->completed) {
            finish(stream); /* frees the stream, or has it freed later */
            return;
        }
    }
    stream->depth--;
}

size_t mb_response_flags_text(uint32_t flags, char *out, size_t max) {
    static const char *const names[] = {"UH", "UF", "UO",  "NR",  "NC",    "DC",  "UT", "LR", "UR",
                                        "UC", "SI", "DPE", "UPE", "UMSDR", "URX", "DT", "OM", "DF"};
    size_t used = 0;
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t len = strlen(names[i]);
        if ((flags & (1u << i)) != 0 && used + len + 1 <= max) {
            if (used > 0) {
                out[used++] = ',';
            }
            memcpy(out + used, names[i], len);
            used += len;
        }
    }
    if (used == 0 && max > 0) {
        out[used++] = '-';
    }
    return used;
}
