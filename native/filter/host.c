/*
 * Host: what filters may ask of a stream. Each function checks the phase and notes what is asked;
 * the walk (chain.c, reply.c) acts on it. Headers, buffers and metrics go straight to their own
 * functions. Semantics, results and lifetimes stand in filter.h.
 */
#include "filter/host.h"
#include "filter/arena_text.h"
#include "filter/tls_text.h"

#include "base/buffer.h"
#include "filter/metadata.h"
#include "filter/network_walk.h"
#include "filter/posted.h"
#include "filter/walk.h"
#include <stdio.h>
#include <string.h>

/* -- the stream -------------------------------------------------------------------------------- */

static mb_headers *stream_headers(mb_stream *stream, mb_direction direction) {
    return stream->side[direction].have_headers ? &stream->headers[direction] : NULL;
}

static mb_headers *stream_trailers(mb_stream *stream, mb_direction direction) {
    return stream->side[direction].have_trailers ? &stream->trailers[direction] : NULL;
}

static bool stream_ended(mb_stream *stream, mb_direction direction) {
    return stream->side[direction].body_ended;
}

static int tls_number(const mb_tls_info *tls, mb_info what, uint64_t *out) {
    if (tls != NULL && what == MB_INFO_TLS_SESSION_REUSED) {
        *out = tls->session_reused;
        return MB_OK;
    }
    if (tls == NULL || !tls->peer_presented || what < MB_INFO_TLS_PEER_VERIFIED) {
        return MB_ENOTFOUND;
    }
    if (what == MB_INFO_TLS_PEER_VERIFIED) {
        *out = tls->peer_verified;
        return MB_OK;
    }
    const mb_tls_certificate *peer = mb_tls_peer(tls);
    bool from = what == MB_INFO_TLS_PEER_NOT_BEFORE;
    if (peer == NULL || (!from && what != MB_INFO_TLS_PEER_NOT_AFTER)) {
        return MB_ENOTFOUND;
    }
    int64_t at_s = from ? peer->not_before_s : peer->not_after_s;
    *out = at_s > 0 ? (uint64_t)at_s : 0;
    return MB_OK;
}

static int info_number(mb_stream *stream, mb_info what, uint64_t *out) {
    const mb_stream_info *info = &stream->info;
    uint64_t now = info->end_us != 0 ? info->end_us : mb_loop_now_us(stream->worker->loop);
    switch (what) {
    case MB_INFO_ID:
        *out = mb_stream_id_of(stream);
        return MB_OK;
    case MB_INFO_RESPONSE_CODE:
        *out = info->response_code;
        return MB_OK;
    case MB_INFO_BYTES_RECEIVED:
        *out = info->bytes_received;
        return MB_OK;
    case MB_INFO_BYTES_SENT:
        *out = info->bytes_sent;
        return MB_OK;
    case MB_INFO_START_WALL_US:
        *out = info->start_wall_us;
        return MB_OK;
    case MB_INFO_DURATION_US:
        *out = now - info->start_us;
        return MB_OK;
    case MB_INFO_UPSTREAM_SERVICE_US:
        if (info->upstream_headers_us == 0) {
            return MB_ENOTFOUND;
        }
        *out = info->upstream_headers_us - info->upstream_start_us;
        return MB_OK;
    case MB_INFO_ATTEMPT_COUNT:
        *out = info->attempts;
        return MB_OK;
    case MB_INFO_CONNECTION_ID:
        *out = info->connection_id;
        return MB_OK;
    case MB_INFO_WORKER:
        *out = stream->worker->index;
        return MB_OK;
    default:
        return tls_number(info->tls, what, out);
    }
}

static int address_text(mb_stream *stream, const mb_address *address, mb_slice *out) {
    if (address == NULL || address->length == 0) {
        return MB_ENOTFOUND;
    }
    char text[MB_ADDRESS_TEXT_BYTES];
    size_t len = mb_address_text(address, text);
    return mb_arena_dup(&stream->arena, (mb_slice){text, len}, out);
}

static int text_or_none(mb_slice text, mb_slice *out) {
    if (text.len == 0) {
        return MB_ENOTFOUND;
    }
    *out = text;
    return MB_OK;
}

static int tls_text(mb_stream *stream, mb_info what, mb_slice *out) {
    static const struct {
        mb_info info;
        mb_tls_text text;
    } names[] = {
        {MB_INFO_TLS_VERSION, MB_TLS_TEXT_VERSION},
        {MB_INFO_TLS_CIPHER, MB_TLS_TEXT_CIPHER},
        {MB_INFO_TLS_ALPN, MB_TLS_TEXT_ALPN},
        {MB_INFO_TLS_SNI, MB_TLS_TEXT_SNI},
        {MB_INFO_TLS_PEER_SUBJECT, MB_TLS_TEXT_PEER_SUBJECT},
        {MB_INFO_TLS_PEER_ISSUER, MB_TLS_TEXT_PEER_ISSUER},
        {MB_INFO_TLS_PEER_SERIAL, MB_TLS_TEXT_PEER_SERIAL},
        {MB_INFO_TLS_PEER_SHA256, MB_TLS_TEXT_PEER_SHA256},
        {MB_INFO_TLS_PEER_URI_SANS, MB_TLS_TEXT_PEER_URI_SAN},
        {MB_INFO_TLS_PEER_DNS_SANS, MB_TLS_TEXT_PEER_DNS_SAN},
    };
    mb_arena_text made;
    mb_arena_text_init(&made, &stream->arena, SIZE_MAX);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].info == what &&
            mb_tls_text_append(stream->info.tls, names[i].text, &made.text)) {
            *out = mb_text_view(&made.text);
            return made.text.status;
        }
    }
    return MB_ENOTFOUND;
}

static int info_text(mb_stream *stream, mb_info what, mb_slice *out) {
    const mb_stream_info *info = &stream->info;
    char flags[96];
    switch (what) {
    case MB_INFO_PROTOCOL:
        return text_or_none((mb_slice){info->protocol, strlen(info->protocol)}, out);
    case MB_INFO_DOWNSTREAM_REMOTE:
        return address_text(stream, info->remote, out);
    case MB_INFO_DOWNSTREAM_LOCAL:
        return address_text(stream, info->local, out);
    case MB_INFO_DOWNSTREAM_DIRECT_REMOTE:
        return address_text(stream, info->direct_remote, out);
    case MB_INFO_UPSTREAM_REMOTE:
        return address_text(stream, info->upstream_remote, out);
    case MB_INFO_UPSTREAM_LOCAL:
        return address_text(stream, info->upstream_local, out);
    case MB_INFO_UPSTREAM_CLUSTER:
        return text_or_none(info->cluster, out);
    case MB_INFO_ROUTE_NAME:
        return text_or_none(mb_stream_route(stream)->name, out);
    case MB_INFO_VIRTUAL_HOST:
        return text_or_none(mb_stream_route(stream)->virtual_host, out);
    case MB_INFO_REQUEST_ID:
        return text_or_none(mb_headers_value(&stream->headers[MB_REQUEST], MB_TOKEN_X_REQUEST_ID),
                            out);
    case MB_INFO_RESPONSE_FLAGS:
        return mb_arena_dup(
            &stream->arena,
            (mb_slice){flags, mb_response_flags_text(info->flags, flags, sizeof(flags))}, out);
    case MB_INFO_RESPONSE_DETAILS:
        return text_or_none(info->details, out);
    case MB_INFO_LISTENER:
        return text_or_none(info->listener, out);
    case MB_INFO_UPSTREAM_PROTOCOL: {
        const char *name = info->upstream_protocol;
        return text_or_none((mb_slice){name, name != NULL ? strlen(name) : 0}, out);
    }
    default:
        return tls_text(stream, what, out);
    }
}

/* A hook of this stream runs: the walk looks when it returns. Otherwise the loop is asked. */
static void act_soon(mb_stream *stream) {
    if (!stream->in_hook) {
        mb_loop_defer(stream->worker->loop, MB_PHASE_READ, &stream->action_task);
    }
}

static int clear_route_cache(mb_stream *stream) {
    if (stream->side[MB_REQUEST].headers_at > stream->chain->count || stream->over) {
        return MB_EPHASE; /* the router has used it */
    }
    stream->choice_made = false;
    return MB_OK;
}

static int stream_reset(mb_stream *stream, mb_slice details) {
    if (stream->over) {
        return MB_EGONE;
    }
    mb_slice text = MB_SLICE_LIT("filter_reset");
    if (details.len > 0) {
        int rc = mb_arena_dup(&stream->arena, details, &text);
        if (rc < 0) {
            return rc;
        }
    }
    stream->reset_asked = true;
    stream->reset_details = text;
    act_soon(stream);
    return MB_OK;
}

/* -- the filter in the stream ------------------------------------------------------------------ */

static mb_filter_slot *slot_of(mb_filter *filter) {
    return (mb_filter_slot *)filter; /* its first member */
}

static int copy_reply(mb_stream *stream, const mb_local_reply *from, mb_local_reply **out) {
    mb_local_reply *reply = mb_arena_zalloc(&stream->arena, sizeof(*reply));
    mb_header *headers = mb_arena_alloc(&stream->arena, from->header_count * sizeof(*headers) + 1);
    if (reply == NULL || headers == NULL) {
        return MB_ENOMEM;
    }
    *reply = *from;
    reply->headers = headers;
    if (from->details.len == 0) {
        reply->details = MB_SLICE_LIT("direct_response");
    } else if (mb_arena_dup(&stream->arena, from->details, &reply->details) < 0) {
        return MB_ENOMEM;
    }
    for (size_t i = 0; i < from->header_count; i++) {
        if (mb_arena_dup(&stream->arena, from->headers[i].name, &headers[i].name) < 0 ||
            mb_arena_dup(&stream->arena, from->headers[i].value, &headers[i].value) < 0) {
            return MB_ENOMEM;
        }
    }
    if (mb_arena_dup(&stream->arena, from->body, &reply->body) < 0) {
        return MB_ENOMEM;
    }
    *out = reply;
    return MB_OK;
}

/* Tries the fields on a map that is thrown away: what is wrong is said to the caller at once. */
static int check_reply(mb_stream *stream, const mb_local_reply *reply) {
    if (reply->status < 200 || reply->status > 599) {
        return MB_EINVAL;
    }
    mb_headers *probe = mb_arena_alloc(&stream->arena, sizeof(*probe));
    if (probe == NULL) {
        return MB_ENOMEM;
    }
    mb_headers_init(probe, &stream->arena);
    for (size_t i = 0; i < reply->header_count; i++) {
        mb_slice name = reply->headers[i].name;
        if (name.len > 0 && name.ptr[0] == ':') {
            return MB_EINVAL;
        }
        int rc = mb_headers_add(probe, name, reply->headers[i].value);
        if (rc < 0) {
            return rc;
        }
    }
    return MB_OK;
}

static int respond(mb_filter *filter, const mb_local_reply *reply) {
    mb_stream *stream = filter->stream;
    if (stream->over || stream->response_started) {
        return MB_EPHASE;
    }
    int rc = check_reply(stream, reply);
    if (rc < 0) {
        return rc;
    }
    mb_local_reply *copy;
    rc = copy_reply(stream, reply, &copy);
    if (rc < 0) {
        return rc;
    }
    stream->reply = copy;
    act_soon(stream);
    return MB_OK;
}

/* A hook of that direction runs: `resume` belongs to what it will answer. */
static bool hook_runs(const mb_stream *stream, mb_direction direction) {
    return stream->in_hook && stream->worker->hook_slot.hook / 3 == (uint32_t)direction;
}

static int resume(mb_filter *filter, mb_direction direction) {
    mb_filter_slot *slot = slot_of(filter);
    mb_stream *stream = filter->stream;
    bool stopped = slot->position[direction] != MB_POSITION_OPEN;
    if (stream->over || slot->pending[direction] != MB_NOTHING_PENDING ||
        (!stopped && !hook_runs(stream, direction))) {
        return MB_EPHASE;
    }
    slot->resume_asked[direction] = true;
    stream->resume_asked = true;
    act_soon(stream);
    return MB_OK;
}

/* What is held is handed out: it may be less afterwards, and the source may go on. */
static void watch_drain(mb_stream *stream, mb_direction direction) {
    if ((stream->side[direction].pauses & MB_PAUSE_HELD) != 0 && !stream->over) {
        act_soon(stream);
    }
}

static mb_buffer *held_body(mb_filter *filter, mb_direction direction) {
    mb_hold *hold = mb__hold_of(slot_of(filter), direction);
    watch_drain(filter->stream, direction);
    return hold != NULL ? &hold->seen : NULL;
}

static mb_buffer *pending_body(mb_filter *filter, mb_direction direction) {
    mb_filter_slot *slot = slot_of(filter);
    mb_hold *hold = slot->hold[direction];
    if (slot->pending[direction] != MB_BODY_PENDING || hold == NULL) {
        return NULL;
    }
    watch_drain(filter->stream, direction);
    return &hold->piece;
}

static int finish(mb_filter *filter, mb_direction direction, int status) {
    mb_filter_slot *slot = slot_of(filter);
    mb_stream *stream = filter->stream;
    if (stream->over || slot->pending[direction] == MB_NOTHING_PENDING ||
        slot->finish_asked[direction] || status == MB_PENDING) {
        return MB_EPHASE;
    }
    slot->finish_asked[direction] = true;
    slot->finish_status[direction] = status;
    stream->resume_asked = true;
    act_soon(stream);
    return MB_OK;
}

static mb_filter_slot *find_slot(mb_stream *stream, const char *name) {
    for (uint32_t i = 0; i < stream->chain->count; i++) {
        if (strcmp(stream->slots[i].filter.name, name) == 0) {
            return &stream->slots[i];
        }
    }
    return NULL;
}

static int filter_of(mb_worker *worker, mb_stream_id id, const char *name, mb_filter **out) {
    mb_stream *stream = mb_stream_find(worker, id);
    if (stream == NULL) {
        return MB_EGONE;
    }
    mb_filter_slot *slot = find_slot(stream, name);
    if (slot == NULL) {
        return MB_ENOTFOUND;
    }
    *out = &slot->filter;
    return MB_OK;
}

/* -- the worker -------------------------------------------------------------------------------- */

static void deliver_post(const mb_posted *posted) {
    mb_stream *stream = mb_stream_find(posted->worker, posted->id);
    mb_filter_slot *slot = stream != NULL ? find_slot(stream, posted->name) : NULL;
    if (slot != NULL) {
        mb_stream_enter(stream);
        mb__hook_scheduled(stream, slot, posted->event);
        mb_stream_leave(stream);
    }
}

static int post(mb_worker *worker, mb_stream_id id, const char *name, uint64_t event) {
    return mb__posted_send(worker, deliver_post, id, name, event);
}

static int metric(mb_worker *worker, mb_metric_kind kind, mb_slice name, const mb_header *labels,
                  size_t label_count, mb_metric **out) {
    if (worker->hook_slot.filter != NULL) {
        return MB_EPHASE;
    }
    return mb_stats_define(worker->stats, kind, name, labels, label_count, out);
}

static void metric_add(mb_metric *metric_, int64_t amount) {
    mb_metric_add(metric_, amount);
}

static void metric_set(mb_metric *metric_, uint64_t value) {
    mb_metric_set(metric_, value);
}

static uint64_t metric_value(const mb_metric *metric_) {
    return mb_metric_value(metric_);
}

static uint64_t now_us(mb_worker *worker) {
    return mb_loop_now_us(worker->loop);
}

static void log_line(mb_worker *worker, mb_log_level level, mb_slice component, mb_slice text) {
    if (worker->logger.log != NULL && level >= worker->logger.level) {
        worker->logger.log(worker->logger.ctx, level, component, text);
    }
}

/* -- bodies: what filters have copied is counted ---------------------------------------------- */

static size_t buffer_copy_out(const mb_buffer *buffer, size_t offset, char *out, size_t length) {
    size_t copied = mb_buffer_copy_out(buffer, offset, out, length);
    buffer->pool->bytes_copied += copied;
    return copied;
}

static int buffer_append(mb_buffer *buffer, mb_slice bytes) {
    buffer->pool->bytes_copied += bytes.len;
    return mb_buffer_append(buffer, bytes);
}

static int buffer_prepend(mb_buffer *buffer, mb_slice bytes) {
    buffer->pool->bytes_copied += bytes.len;
    return mb_buffer_prepend(buffer, bytes);
}

const mb_host mb_host_functions = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(mb_host),
    .headers_count = mb_headers_count,
    .headers_at = mb_headers_at,
    .headers_get = mb_headers_get,
    .headers_set = mb_headers_set,
    .headers_add = mb_headers_add,
    .headers_remove = mb_headers_remove,
    .buffer_length = mb_buffer_length,
    .buffer_slices = mb_buffer_slices,
    .buffer_find = mb_buffer_find,
    .buffer_count = mb_buffer_count,
    .buffer_copy_out = buffer_copy_out,
    .buffer_append = buffer_append,
    .buffer_prepend = buffer_prepend,
    .buffer_drain = mb_buffer_drain,
    .buffer_retain = mb_buffer_retain,
    .buffer_retain_all = mb_buffer_retain_all,
    .lease_release = mb_slab_lease_release,
    .headers = stream_headers,
    .trailers = stream_trailers,
    .ended = stream_ended,
    .info_number = info_number,
    .info_text = info_text,
    .metadata_get = mb_metadata_get,
    .metadata_set = mb_metadata_set,
    .clear_route_cache = clear_route_cache,
    .reset = stream_reset,
    .respond = respond,
    .resume = resume,
    .held_body = held_body,
    .pending_body = pending_body,
    .finish = finish,
    .filter_of = filter_of,
    .post = post,
    .metric = metric,
    .metric_add = metric_add,
    .metric_set = metric_set,
    .metric_record = mb_metric_record,
    .metric_value = metric_value,
    .now_us = now_us,
    .log = log_line,
    .buffer_move = mb_buffer_move,
    .network = &mb_network_host_functions,
};
