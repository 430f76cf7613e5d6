/*
 * What filters of a stream hold back, and its bounds. Part of the walk (chain.c has the theory).
 *
 * The limit is the sum over all filters of a direction: with STOP_*_BUFFER more is an error, with
 * STOP_*_WATERMARK the source is paused until half of it is left.
 */
#include "filter/walk.h"

mb_hold *mb__hold_of(mb_filter_slot *slot, mb_direction direction) {
    if (slot->hold[direction] == NULL) {
        mb_stream *stream = slot->filter.stream;
        mb_hold *hold = mb_arena_zalloc(&stream->arena, sizeof(*hold));
        if (hold == NULL) {
            return NULL;
        }
        mb_buffer_init(&hold->seen, stream->worker->slabs);
        mb_buffer_init(&hold->unseen, stream->worker->slabs);
        mb_buffer_init(&hold->piece, stream->worker->slabs);
        slot->hold[direction] = hold;
    }
    return slot->hold[direction];
}

static size_t slot_bytes(const mb_filter_slot *slot, mb_direction direction) {
    const mb_hold *hold = slot->hold[direction];
    return hold == NULL ? 0 : hold->seen.length + hold->unseen.length + hold->piece.length;
}

static size_t held_bytes(const mb_stream *stream, mb_direction direction) {
    size_t sum = 0;
    for (uint32_t i = 0; i < stream->chain->count; i++) {
        sum += slot_bytes(&stream->slots[i], direction);
    }
    return sum;
}

void mb__side_pause(mb_stream *stream, mb_direction direction, uint8_t why, bool paused) {
    if (stream->over) {
        return; /* `pauses` stays as it was: whoever ends the stream takes the pause back */
    }
    mb_side *side = &stream->side[direction];
    side->pauses = paused ? (uint8_t)(side->pauses | why) : (uint8_t)(side->pauses & ~why);
    mb__side_tell(stream, direction);
}

void mb__side_tell(mb_stream *stream, mb_direction direction) {
    mb_side *side = &stream->side[direction];
    bool paused = side->pauses != 0;
    if (side->paused == paused || stream->over) {
        return;
    }
    if (direction == MB_REQUEST) {
        side->paused = paused;
        stream->ops->pause_request(stream, paused);
    } else if (stream->terminal_active) {
        side->paused = paused;
        stream->chain->terminal->pause_response(stream, paused);
    }
}

/* A filter that holds with a watermark waits for nothing more; one that buffers waits for the rest
 * of the body and must get it. */
static bool holds_with_watermark(const mb_stream *stream, mb_direction direction) {
    for (uint32_t i = 0; i < stream->chain->count; i++) {
        const mb_filter_slot *slot = &stream->slots[i];
        if (slot->watermark[direction] && slot_bytes(slot, direction) > 0) {
            return true;
        }
    }
    return false;
}

void mb__check_low_watermark(mb_stream *stream, mb_direction direction) {
    if ((stream->side[direction].pauses & MB_PAUSE_HELD) != 0 &&
        (held_bytes(stream, direction) <= stream->buffer_limit / 2 ||
         !holds_with_watermark(stream, direction))) {
        mb__side_pause(stream, direction, MB_PAUSE_HELD, false);
    }
}

static void hold_overflow(mb_stream *stream, mb_direction direction) {
    if (direction == MB_REQUEST) {
        mb_stream_local_reply(stream, 413, 0, MB_SLICE_LIT("request_payload_too_large"),
                              MB_SLICE_LIT("Payload Too Large"));
    } else {
        mb_stream_local_reply(stream, 500, 0, MB_SLICE_LIT("response_payload_too_large"),
                              MB_SLICE_LIT("Internal Server Error"));
    }
}

void mb__stream_out_of_memory(mb_stream *stream) {
    mb_stream_local_reply(stream, 500, MB_FLAG_OVERLOAD, MB_SLICE_LIT("out_of_memory"),
                          MB_SLICE_LIT("out of memory"));
}

/* Moves `data` to the end of `to`, one of the slot's hold, and applies the limit. */
void mb__hold_data(mb_stream *stream, mb_direction direction, mb_filter_slot *slot, mb_buffer *to,
                   mb_buffer *data) {
    if (data->length == 0) {
        return;
    }
    if (mb_buffer_move(to, data) < 0) {
        mb__stream_out_of_memory(stream);
        return;
    }
    mb__hold_limit(stream, direction, slot);
}

void mb__hold_limit(mb_stream *stream, mb_direction direction, mb_filter_slot *slot) {
    if (stream->buffer_limit == 0 || slot_bytes(slot, direction) == 0 ||
        held_bytes(stream, direction) <= stream->buffer_limit) {
        return;
    }
    if (slot->watermark[direction]) {
        mb__side_pause(stream, direction, MB_PAUSE_HELD, true);
    } else {
        hold_overflow(stream, direction);
    }
}

void mb__hold_seen(mb_stream *stream, mb_direction direction, mb_filter_slot *slot, mb_buffer *data,
                   bool end) {
    mb_hold *hold = mb__hold_of(slot, direction);
    if (hold == NULL) {
        mb__stream_out_of_memory(stream);
        return;
    }
    hold->seen_end |= end;
    mb__hold_data(stream, direction, slot, &hold->seen, data);
}

void mb__hold_unseen(mb_stream *stream, mb_direction direction, mb_filter_slot *slot,
                     mb_buffer *data, bool end) {
    mb_hold *hold = mb__hold_of(slot, direction);
    if (hold == NULL) {
        mb__stream_out_of_memory(stream);
        return;
    }
    hold->unseen_end |= end;
    mb__hold_data(stream, direction, slot, &hold->unseen, data);
}

void mb__side_abort(mb_stream *stream, mb_direction direction) {
    stream->side[direction].aborted = true;
    for (uint32_t i = 0; i < stream->chain->count; i++) {
        mb_hold *hold = stream->slots[i].hold[direction];
        if (hold != NULL) {
            mb_buffer_clear(&hold->seen);
            mb_buffer_clear(&hold->unseen);
            mb_buffer_clear(&hold->piece);
        }
    }
}
