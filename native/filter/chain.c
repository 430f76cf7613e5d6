/*
 * The walk of a message along the chain.
 *
 * Theory. A message is a head, pieces of body of which exactly one is the last, and perhaps
 * trailers; a message without body is a head that ends the stream. Each filter is, for each
 * direction, OPEN (passes on what its hooks let through), STOPPED (its hooks run, what they stop
 * stays in `hold->seen`) or STOPPED_ALL (no hook runs, what comes stays in `hold->unseen`). What
 * comes to a filter is thus: passed on, seen and held, or unseen and held; never lost, never
 * seen twice, never out of order. A filter that stops has everything behind it wait, since
 * nothing can overtake: each filter holds only its own part.
 *
 *   head at `headers_at`, trailers at `trailers_at`: the position whose hook is next.
 *   OPEN --STOP_*--> STOPPED[_ALL] --CONTINUE, resume--> OPEN: `release` passes on head, then
 *   `seen` to the next filter, then gives `unseen` to this filter's own body hook, then trailers.
 *   any --PENDING--> STOPPED_ALL --finish(status)--> as if the hook returned that status now.
 *
 * The limits (`buffer_limit`) hold for the sum of what the filters of a direction hold: with
 * STOP_*_BUFFER more is an error, with STOP_*_WATERMARK the source is paused.
 *
 * Statuses and their meaning: Envoy, "HTTP filters", and dynamic modules' ABI.
 */
#include "filter/walk.h"

static void walk_headers(mb_stream *stream, mb_direction direction);
static void walk_body(mb_stream *stream, mb_direction direction, uint32_t at, mb_buffer *data,
                      bool end);
static void walk_trailers(mb_stream *stream, mb_direction direction);

/* -- leaving the chain ------------------------------------------------------------------------- */

/* The terminal has nothing left to do once it has had the whole request and given the whole
 * response; before that an early end is told to it (chain.h: abort). */
static void terminal_has_all(mb_stream *stream) {
    if (stream->side[MB_REQUEST].done && stream->side[MB_RESPONSE].body_ended) {
        stream->terminal_active = false;
    }
}

/* Between the two directions of a tunnel nothing says that the end of one is that of both. */
static bool is_half_open(const mb_stream *stream) {
    return stream->codec.tunnel_open && stream->terminal_active && !stream->side[MB_REQUEST].done;
}

static void response_delivered(mb_stream *stream) {
    if (!stream->over && !is_half_open(stream)) {
        mb__stream_over(stream);
    }
}

static void request_delivered(mb_stream *stream) {
    terminal_has_all(stream);
    if (stream->side[MB_REQUEST].done && stream->side[MB_RESPONSE].done && !stream->over) {
        mb__stream_over(stream);
    }
}

static void deliver_headers(mb_stream *stream, mb_direction direction, bool end) {
    mb_side *side = &stream->side[direction];
    side->headers_at = stream->chain->count + 1;
    side->done = end;
    if (direction == MB_REQUEST) {
        stream->terminal_active = true;
        stream->chain->terminal->request_headers(stream, end);
        mb__side_tell(stream, MB_RESPONSE); /* the client may be slow since an earlier stream */
        terminal_has_all(stream);
        return;
    }
    stream->ops->finish_response_headers(stream);
    stream->response_started = true;
    stream->ops->send_headers(stream, end);
    if (end) {
        response_delivered(stream);
    }
}

static void deliver_body(mb_stream *stream, mb_direction direction, mb_buffer *data, bool end) {
    mb_side *side = &stream->side[direction];
    bool last = end && !side->have_trailers;
    if (data->length == 0 && !last) {
        return;
    }
    side->done = last;
    if (direction == MB_REQUEST) {
        stream->chain->terminal->request_body(stream, data, last);
        request_delivered(stream);
        return;
    }
    stream->ops->send_body(stream, data, last);
    if (last) {
        response_delivered(stream);
    }
}

static void deliver_trailers(mb_stream *stream, mb_direction direction) {
    stream->side[direction].done = true;
    if (direction == MB_REQUEST) {
        stream->chain->terminal->request_trailers(stream);
        request_delivered(stream);
        return;
    }
    stream->ops->send_trailers(stream);
    response_delivered(stream);
}

/* -- statuses ---------------------------------------------------------------------------------- */

static void bad_status(mb_stream *stream, const mb_filter_slot *slot, int status) {
    mb_worker_log(stream->worker, MB_LOG_ERROR, "filter",
                  "filter '%s' answered %d, which its phase does not have", slot->filter.name,
                  status);
    mb_stream_local_reply(stream, 500, 0, MB_SLICE_LIT("filter_bad_status"),
                          MB_SLICE_LIT("Internal Server Error"));
}

static void stop(mb_filter_slot *slot, mb_direction direction, mb_filter_position position,
                 bool watermark) {
    slot->position[direction] = (uint8_t)position;
    slot->watermark[direction] = watermark;
}

static void pend(mb_filter_slot *slot, mb_direction direction, mb_pending_hook hook) {
    slot->pending[direction] = (uint8_t)hook;
    stop(slot, direction, MB_POSITION_STOPPED_ALL, true);
}

/* A hook that answers STOP and asks for `resume` in the same breath means CONTINUE. `last` is the
 * last status of the phase; one that it does not have stays what it is. */
static int resumed_status(mb_filter_slot *slot, mb_direction direction, int status, int last) {
    if (slot->resume_asked[direction] && status != MB_PENDING) {
        slot->resume_asked[direction] = false;
        return status > 0 && status <= last ? 0 : status;
    }
    return status;
}

/* Passes on what the filter at `at` held, now that it is open. */
static void release(mb_stream *stream, mb_direction direction, uint32_t at) {
    mb_side *side = &stream->side[direction];
    mb_filter_slot *slot = mb__slot_at(stream, direction, at);
    stop(slot, direction, MB_POSITION_OPEN, false);
    mb_hold *hold = slot->hold[direction];
    if (hold != NULL && side->headers_only && hold->seen.length > 0) {
        side->headers_only = false; /* the filter gave a message without body one */
        hold->seen_end = true;
    }
    if (side->headers_at == at + 1) {
        walk_headers(stream, direction);
    }
    mb_buffer data;
    mb_buffer_init(&data, stream->worker->slabs);
    if (hold != NULL && !mb__walk_ended(stream, direction) &&
        (hold->seen.length > 0 || hold->seen_end)) {
        bool end = hold->seen_end;
        hold->seen_end = false;
        if (mb_buffer_move(&data, &hold->seen) < 0) {
            mb__stream_out_of_memory(stream);
        } else {
            walk_body(stream, direction, at + 1, &data, end);
        }
    }
    if (hold != NULL && !mb__walk_ended(stream, direction) &&
        slot->position[direction] == MB_POSITION_OPEN &&
        (hold->unseen.length > 0 || hold->unseen_end)) {
        bool end = hold->unseen_end;
        hold->unseen_end = false;
        if (mb_buffer_move(&data, &hold->unseen) < 0) {
            mb__stream_out_of_memory(stream);
        } else {
            walk_body(stream, direction, at, &data, end);
        }
    }
    mb_buffer_fini(&data);
    if (!mb__walk_ended(stream, direction)) {
        if (side->have_trailers && (side->trailers_at == at || side->trailers_at == at + 1)) {
            walk_trailers(stream, direction);
        }
    }
}

/* Gives what came while the filter was STOPPED_ALL to its body hook, now that it is STOPPED. */
static void take_unseen(mb_stream *stream, mb_direction direction, uint32_t at) {
    mb_filter_slot *slot = mb__slot_at(stream, direction, at);
    mb_hold *hold = slot->hold[direction];
    if (hold != NULL && (hold->unseen.length > 0 || hold->unseen_end)) {
        mb_buffer data;
        mb_buffer_init(&data, stream->worker->slabs);
        bool end = hold->unseen_end;
        hold->unseen_end = false;
        if (mb_buffer_move(&data, &hold->unseen) < 0) {
            mb__stream_out_of_memory(stream);
        } else {
            walk_body(stream, direction, at, &data, end);
        }
        mb_buffer_fini(&data);
    }
    mb_side *side = &stream->side[direction];
    if (!mb__walk_ended(stream, direction) && side->have_trailers && side->trailers_at == at) {
        walk_trailers(stream, direction);
    }
}

/* Returns true when the head may go on to the next filter. */
static bool apply_headers_status(mb_stream *stream, mb_direction direction, uint32_t at,
                                 int status) {
    mb_filter_slot *slot = mb__slot_at(stream, direction, at);
    switch (resumed_status(slot, direction, status, MB_HEADERS_STOP_ALL_AND_WATERMARK)) {
    case MB_HEADERS_CONTINUE:
        if (slot->hold[direction] != NULL && slot->hold[direction]->seen.length > 0) {
            release(stream, direction, at); /* the hook added body */
            return false;
        }
        return true;
    case MB_HEADERS_STOP_ITERATION:
        /* With no hook for the body the filter would hold without a limit that it chose. */
        stop(slot, direction, MB_POSITION_STOPPED, true);
        return false;
    case MB_HEADERS_STOP_ALL_AND_BUFFER:
        stop(slot, direction, MB_POSITION_STOPPED_ALL, false);
        mb__hold_limit(stream, direction, slot); /* of what came while the hook was pending */
        return false;
    case MB_HEADERS_STOP_ALL_AND_WATERMARK:
        stop(slot, direction, MB_POSITION_STOPPED_ALL, true);
        return false;
    case MB_PENDING:
        pend(slot, direction, MB_HEADERS_PENDING);
        return false;
    default:
        bad_status(stream, slot, status);
        return false;
    }
}

/* Returns true when `data` may go on to the next filter. */
static bool apply_body_status(mb_stream *stream, mb_direction direction, uint32_t at,
                              mb_buffer *data, bool end, int status) {
    mb_filter_slot *slot = mb__slot_at(stream, direction, at);
    mb_hold *hold = slot->hold[direction];
    if (slot->resume_asked[direction] && status == MB_BODY_STOP_NO_BUFFER) {
        mb_buffer_clear(data); /* the filter has taken them, then lets go on what it holds */
    }
    switch (resumed_status(slot, direction, status, MB_BODY_STOP_NO_BUFFER)) {
    case MB_BODY_CONTINUE:
        if (slot->position[direction] == MB_POSITION_OPEN &&
            (hold == NULL || hold->seen.length == 0)) {
            return true;
        }
        /* All goes on in one piece: the limit is not asked, since nothing stays. */
        hold = mb__hold_of(slot, direction);
        if (hold == NULL || mb_buffer_move(&hold->seen, data) < 0) {
            mb__stream_out_of_memory(stream);
            return false;
        }
        hold->seen_end |= end;
        release(stream, direction, at);
        return false;
    case MB_BODY_STOP_AND_BUFFER:
        stop(slot, direction, MB_POSITION_STOPPED, false);
        mb__hold_seen(stream, direction, slot, data, end);
        return false;
    case MB_BODY_STOP_AND_WATERMARK:
        stop(slot, direction, MB_POSITION_STOPPED, true);
        mb__hold_seen(stream, direction, slot, data, end);
        return false;
    case MB_BODY_STOP_NO_BUFFER:
        stop(slot, direction, MB_POSITION_STOPPED, slot->watermark[direction]);
        mb_buffer_clear(data);
        mb__hold_seen(stream, direction, slot, data, end);
        return false;
    case MB_PENDING:
        pend(slot, direction, MB_BODY_PENDING);
        hold = mb__hold_of(slot, direction);
        if (hold == NULL) {
            mb__stream_out_of_memory(stream);
            return false;
        }
        hold->piece_end = end;
        mb__hold_data(stream, direction, slot, &hold->piece, data);
        return false;
    default:
        bad_status(stream, slot, status);
        return false;
    }
}

static bool apply_trailers_status(mb_stream *stream, mb_direction direction, uint32_t at,
                                  int status) {
    mb_filter_slot *slot = mb__slot_at(stream, direction, at);
    switch (resumed_status(slot, direction, status, MB_TRAILERS_STOP_ITERATION)) {
    case MB_TRAILERS_CONTINUE:
        if (slot->position[direction] == MB_POSITION_OPEN) {
            return true;
        }
        release(stream, direction, at);
        return false;
    case MB_TRAILERS_STOP_ITERATION:
        stop(slot, direction, MB_POSITION_STOPPED, true);
        return false;
    case MB_PENDING:
        pend(slot, direction, MB_TRAILERS_PENDING);
        return false;
    default:
        bad_status(stream, slot, status);
        return false;
    }
}

/* -- the walk ---------------------------------------------------------------------------------- */

static void walk_headers(mb_stream *stream, mb_direction direction) {
    mb_side *side = &stream->side[direction];
    uint32_t bit =
        1u << (direction == MB_REQUEST ? MB_HOOK_REQUEST_HEADERS : MB_HOOK_RESPONSE_HEADERS);
    while (side->headers_at < stream->chain->count) {
        uint32_t at = side->headers_at;
        if (direction == MB_REQUEST) {
            mb_stream_route(stream); /* the filter before may have cleared it */
        }
        if ((mb__slot_at(stream, direction, at)->wants & bit) == 0) {
            side->headers_at++;
            continue;
        }
        int status = mb__hook_headers(stream, direction, &at, side->headers_only);
        side->headers_at = at + 1;
        if (mb__walk_ended(stream, direction) ||
            !apply_headers_status(stream, direction, at, status)) {
            return;
        }
    }
    if (side->headers_at == stream->chain->count) {
        deliver_headers(stream, direction, side->headers_only);
    }
}

static void walk_body(mb_stream *stream, mb_direction direction, uint32_t at, mb_buffer *data,
                      bool end) {
    uint32_t bit = 1u << (direction == MB_REQUEST ? MB_HOOK_REQUEST_BODY : MB_HOOK_RESPONSE_BODY);
    for (; at < stream->chain->count; at++) {
        mb_filter_slot *slot = mb__slot_at(stream, direction, at);
        uint8_t position = slot->position[direction];
        if (position == MB_POSITION_STOPPED_ALL) {
            mb__hold_unseen(stream, direction, slot, data, end);
            return;
        }
        if ((slot->wants & bit) == 0) {
            if (position == MB_POSITION_OPEN) {
                continue;
            }
            mb__hold_seen(stream, direction, slot, data, end);
            return;
        }
        int status = mb__hook_body(stream, direction, &at, data, end);
        if (mb__walk_ended(stream, direction) ||
            !apply_body_status(stream, direction, at, data, end, status)) {
            mb_buffer_clear(data);
            return;
        }
    }
    deliver_body(stream, direction, data, end);
}

static void walk_trailers(mb_stream *stream, mb_direction direction) {
    mb_side *side = &stream->side[direction];
    uint32_t bit =
        1u << (direction == MB_REQUEST ? MB_HOOK_REQUEST_TRAILERS : MB_HOOK_RESPONSE_TRAILERS);
    if (side->trailers_at > 0 &&
        mb__slot_at(stream, direction, side->trailers_at - 1)->position[direction] !=
            MB_POSITION_OPEN) {
        return; /* the filter before has had them and holds them */
    }
    while (side->trailers_at < stream->chain->count) {
        uint32_t at = side->trailers_at;
        mb_filter_slot *slot = mb__slot_at(stream, direction, at);
        if (slot->position[direction] == MB_POSITION_STOPPED_ALL) {
            return;
        }
        if ((slot->wants & bit) == 0) {
            if (slot->position[direction] == MB_POSITION_STOPPED) {
                return;
            }
            side->trailers_at++;
            continue;
        }
        int status = mb__hook_trailers(stream, direction, at);
        side->trailers_at = at + 1;
        if (mb__walk_ended(stream, direction) ||
            !apply_trailers_status(stream, direction, at, status)) {
            return;
        }
    }
    if (side->trailers_at == stream->chain->count) {
        side->trailers_at++;
        deliver_trailers(stream, direction);
    }
}

/* -- resume and finish ------------------------------------------------------------------------- */

static void finish_pending(mb_stream *stream, mb_direction direction, uint32_t at) {
    mb_filter_slot *slot = mb__slot_at(stream, direction, at);
    int hook = slot->pending[direction];
    int status = slot->finish_status[direction];
    slot->pending[direction] = MB_NOTHING_PENDING;
    slot->finish_asked[direction] = false;
    stop(slot, direction, MB_POSITION_OPEN, true);
    bool go_on = true;
    if (hook == MB_BODY_PENDING) {
        mb_hold *hold = slot->hold[direction];
        mb_buffer piece;
        mb_buffer_init(&piece, stream->worker->slabs);
        /* STOPPED makes CONTINUE release whatever was seen before together with the piece. */
        slot->position[direction] = MB_POSITION_STOPPED;
        if (mb_buffer_move(&piece, &hold->piece) < 0) {
            mb__stream_out_of_memory(stream);
        } else {
            go_on = apply_body_status(stream, direction, at, &piece, hold->piece_end, status);
        }
        mb_buffer_fini(&piece);
    } else if (hook == MB_HEADERS_PENDING) {
        go_on = apply_headers_status(stream, direction, at, status);
    } else {
        go_on = apply_trailers_status(stream, direction, at, status);
    }
    if (mb__walk_ended(stream, direction)) {
        return;
    }
    if (go_on) {
        release(stream, direction, at);
    } else if (slot->position[direction] == MB_POSITION_STOPPED) {
        take_unseen(stream, direction, at);
    }
}

void mb__act_on_resumes(mb_stream *stream) {
    stream->resume_asked = false;
    for (int direction = MB_REQUEST; direction <= MB_RESPONSE; direction++) {
        for (uint32_t at = 0; at < stream->chain->count; at++) {
            mb_filter_slot *slot = mb__slot_at(stream, direction, at);
            if (mb__walk_ended(stream, direction)) {
                break;
            }
            if (slot->finish_asked[direction] && slot->pending[direction] != MB_NOTHING_PENDING) {
                finish_pending(stream, direction, at);
            } else if (slot->resume_asked[direction]) {
                slot->resume_asked[direction] = false;
                if (slot->position[direction] != MB_POSITION_OPEN &&
                    slot->pending[direction] == MB_NOTHING_PENDING) {
                    release(stream, direction, at);
                }
            }
        }
    }
}

/* -- the ways in ------------------------------------------------------------------------------- */

static void headers_in(mb_stream *stream, mb_direction direction, bool end) {
    mb_side *side = &stream->side[direction];
    if (mb__walk_ended(stream, direction)) {
        return;
    }
    mb_stream_enter(stream);
    side->have_headers = true;
    side->headers_only = end;
    side->body_ended = end;
    walk_headers(stream, direction);
    mb_stream_leave(stream);
}

static void body_in(mb_stream *stream, mb_direction direction, mb_buffer *data, bool end) {
    mb_side *side = &stream->side[direction];
    if (mb__walk_ended(stream, direction)) {
        mb_buffer_clear(data);
        return;
    }
    mb_stream_enter(stream);
    side->body_ended |= end;
    walk_body(stream, direction, 0, data, end);
    mb_stream_leave(stream);
}

static void trailers_in(mb_stream *stream, mb_direction direction) {
    mb_side *side = &stream->side[direction];
    if (mb__walk_ended(stream, direction)) {
        return;
    }
    mb_stream_enter(stream);
    side->have_trailers = true;
    if (!side->body_ended) {
        mb_buffer nothing;
        mb_buffer_init(&nothing, stream->worker->slabs);
        side->body_ended = true;
        walk_body(stream, direction, 0, &nothing, true);
        mb_buffer_fini(&nothing);
    }
    if (!mb__walk_ended(stream, direction)) {
        walk_trailers(stream, direction);
    }
    mb_stream_leave(stream);
}

void mb_stream_request_headers(mb_stream *stream, bool end_stream) {
    mb_stream_enter(stream);
    mb_stream_route(stream); /* filters are called as the route configures them */
    headers_in(stream, MB_REQUEST, end_stream);
    mb_stream_leave(stream);
}

void mb_stream_request_body(mb_stream *stream, mb_buffer *data, bool end_stream) {
    body_in(stream, MB_REQUEST, data, end_stream);
}

void mb_stream_request_trailers(mb_stream *stream) {
    trailers_in(stream, MB_REQUEST);
}

static void terminal_gave(mb_stream *stream, bool end) {
    if (end && stream->side[MB_REQUEST].done) {
        stream->terminal_active = false;
    }
}

void mb_stream_response_headers(mb_stream *stream, bool end_stream) {
    terminal_gave(stream, end_stream);
    headers_in(stream, MB_RESPONSE, end_stream);
}

void mb_stream_response_body(mb_stream *stream, mb_buffer *data, bool end_stream) {
    terminal_gave(stream, end_stream);
    body_in(stream, MB_RESPONSE, data, end_stream);
}

void mb_stream_response_trailers(mb_stream *stream) {
    terminal_gave(stream, true);
    trailers_in(stream, MB_RESPONSE);
}

void mb_stream_response_informational(mb_stream *stream, const mb_headers *headers) {
    if (!stream->over && !stream->response_started) {
        stream->ops->send_informational(stream, headers);
    }
}

void mb_stream_pause_request(mb_stream *stream, bool paused) {
    mb__side_pause(stream, MB_REQUEST, MB_PAUSE_SINK, paused);
}

void mb_stream_pause_response(mb_stream *stream, bool paused) {
    mb__side_pause(stream, MB_RESPONSE, MB_PAUSE_SINK, paused);
}
