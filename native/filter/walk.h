/*
 * What the files of the chain walk share: chain.c walks, hooks.c calls, hold.c keeps,
 * reply.c answers, stream.c begins and ends.
 */
#ifndef MB_FILTER_WALK_H
#define MB_FILTER_WALK_H

#include "filter/stream.h"

static inline uint32_t mb__slot_index(const mb_stream *stream, mb_direction direction,
                                      uint32_t at) {
    return direction == MB_REQUEST ? at : stream->chain->count - 1 - at;
}

static inline mb_filter_slot *mb__slot_at(mb_stream *stream, mb_direction direction, uint32_t at) {
    return &stream->slots[mb__slot_index(stream, direction, at)];
}

static inline bool mb__walk_ended(const mb_stream *stream, mb_direction direction) {
    return stream->over || stream->side[direction].aborted;
}

/* hooks.c. Each calls the hook of the filter at position `*at`; where its module runs groups, also
 * those of the filters behind it that are open, up to the first that does not continue. `*at`
 * comes back as the last position that ran; its status is returned. */
int mb__hook_headers(mb_stream *stream, mb_direction direction, uint32_t *at, bool end_stream);
int mb__hook_body(mb_stream *stream, mb_direction direction, uint32_t *at, mb_buffer *data,
                  bool end_stream);
int mb__hook_trailers(mb_stream *stream, mb_direction direction, uint32_t at);
/* The first hook of a module in a turn, where it has an on_batch_end. */
void mb__batch_begin(mb_worker *worker, mb_module_ref *module);
void mb__hook_scheduled(mb_stream *stream, mb_filter_slot *slot, uint64_t event);
/* stream_complete of all filters, then destroy of those that had any hook. */
void mb__hooks_complete(mb_stream *stream);
void mb__hooks_destroy(mb_stream *stream);

/* reply.c. Acts on what hooks noted: reset, local reply. */
void mb__act_on_replies(mb_stream *stream);
/* The response's end left the chain, or the stream broke: tells the terminal and ends it. */
void mb__stream_over(mb_stream *stream);

/* chain.c. Acts on what was asked for with `resume` and `finish`. */
void mb__act_on_resumes(mb_stream *stream);

/* hold.c. Each moves `data` into the slot's hold and applies the limit. */
void mb__hold_seen(mb_stream *stream, mb_direction direction, mb_filter_slot *slot, mb_buffer *data,
                   bool end);
void mb__hold_unseen(mb_stream *stream, mb_direction direction, mb_filter_slot *slot,
                     mb_buffer *data, bool end);
void mb__hold_data(mb_stream *stream, mb_direction direction, mb_filter_slot *slot, mb_buffer *to,
                   mb_buffer *data);
/* What the slot holds must keep to the limit: else an answer, or the source is paused. */
void mb__hold_limit(mb_stream *stream, mb_direction direction, mb_filter_slot *slot);
/* Restarts the source when the filters hold at most half of the limit again, or when none of them
 * asked for a pause. Called by the outermost mb_stream_leave. */
void mb__check_low_watermark(mb_stream *stream, mb_direction direction);
void mb__stream_out_of_memory(mb_stream *stream);
/* Drops what the filters of a direction hold; nothing of it is walked any more. */
void mb__side_abort(mb_stream *stream, mb_direction direction);
void mb__side_pause(mb_stream *stream, mb_direction direction, uint8_t why, bool paused);
/* Tells the source of a direction what `pauses` say, if it has not been told. */
void mb__side_tell(mb_stream *stream, mb_direction direction);
/* The hold of a slot, made when missing. NULL: out of memory. */
mb_hold *mb__hold_of(mb_filter_slot *slot, mb_direction direction);

#endif
