/*
 * Header blocks: from the library's decoded fields to the owner's header map, and what makes a
 * head one that may be believed. RFC 9113 8.2 and 8.3.
 *
 * The library has checked before us: characters of names and values, pseudo-headers (known, once,
 * not empty, in front, the right ones), connection-specific fields, `te`, content-length, one Host.
 * What is left: targets as strictly as HTTP/1's (h1_target.c), Host against :authority, cookie
 * crumbs, and limits on decoded bytes. What is refused here is a stream error.
 *
 * Limits count names and values as Envoy does, without an overhead a field; each crumb counts with
 * its name, so that crumbs can't be free. A block over the limit is counted on: far above it (the
 * guard's bound on encoded bytes, here applied to decoded ones) the connection ends.
 */
#include "base/slice.h"
#include "http/chars.h"
#include "http/h2_codec.h"
#include "http/message.h"

/* Room in the map for what usually comes and what the proxy adds. */
#define FIELDS_RESERVED 24u

static const char messaging[] = "http2.violation.of.messaging.rule";
static const char header_field[] = "http2.invalid.header.field";
static const char too_many[] = "http2.too_many_headers";
static const char underscore[] = "http2.unexpected_underscore";

static mb_slice slice_of(const uint8_t *at, size_t len) {
    return (mb_slice){(const char *)at, len};
}

/* The first fault of a block counts. */
static void refuse(mb_h2_block *block, const char *details) {
    if (block->refused == NULL) {
        block->refused = details;
        block->misread = details == messaging || details == header_field;
    }
}

static mb_headers *map_of(const mb_h2_block *block) {
    mb_codec_stream *stream = block->s->stream;

    return block->kind == MB_H2_BLOCK_TRAILERS ? stream->trailers : stream->headers;
}

/* -- beginning -------------------------------------------------------------------------------- */

static mb_h2_stream *begin_request(mb_h2 *h2, int32_t id) {
    static const nghttp2_extpri round_robin = {.urgency = 3, .inc = 1};
    mb_codec_stream *stream = NULL;
    mb_h2_stream *s = NULL;

    if (h2->shut_downs < 2) {
        stream = h2->codec.events->on_begin(h2->codec.owner);
    }
    if (stream != NULL) {
        s = mb__h2_stream_new(h2, stream, id);
        if (s == NULL) {
            mb__h2_note(h2, MB_H2_NO_MEMORY); /* its owner waits for an event */
            return NULL;
        }
    }
    if (s == NULL) {
        h2->counters->headers_cb_no_stream++;
        h2->counters->stream_refused_errors++;
        nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
        return NULL;
    }
    nghttp2_session_set_stream_user_data(h2->session, id, s);
    /* What a client wishes of the order is not heard: each stream gets a frame in turn. */
    nghttp2_session_change_extpri_stream_priority(h2->session, id, &round_robin, 1);
    return s;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    mb_h2 *h2 = ctx;
    mb_h2_block *block = &h2->block;
    mb_h2_stream *s = NULL;

    memset(block, 0, sizeof *block);
    if (frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        s = begin_request(h2, frame->hd.stream_id);
        block->kind = MB_H2_BLOCK_REQUEST;
    } else {
        s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
        block->kind = h2->is_server || (s != NULL && s->head_seen) ? MB_H2_BLOCK_TRAILERS
                                                                   : MB_H2_BLOCK_RESPONSE;
    }
    if (h2->fault != MB_H2_FINE) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (s == NULL || s->stream == NULL) {
        block->kind = MB_H2_BLOCK_NONE;
        return 0;
    }
    block->s = s;
    if (block->kind != MB_H2_BLOCK_TRAILERS &&
        mb_headers_reserve(s->stream->headers, FIELDS_RESERVED) != MB_OK) {
        mb__h2_note(h2, MB_H2_NO_MEMORY);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

/* -- fields ----------------------------------------------------------------------------------- */

/* Copies to the map's memory; the result is never NULL, since an empty value is one too. */
static bool keep(mb_headers *headers, mb_slice text, mb_slice *out) {
    if (text.len == 0) {
        *out = MB_SLICE_LIT("");
        return true;
    }
    return mb_arena_dup(headers->arena, text, out) == MB_OK;
}

static bool keep_pseudo(const mb_h2_block *block, mb_slice name, mb_slice value) {
    mb_headers *headers = map_of(block);
    mb_pseudo which = mb_pseudo_find(name);

    return which == MB_PSEUDO_COUNT || keep(headers, value, &headers->pseudo[which]);
}

/* One more piece of the Cookie field, behind the others in the same memory. RFC 9113 8.2.3. */
static bool join_crumb(mb_h2_block *block, mb_headers *headers, mb_slice value) {
    mb_field *field = &headers->fields[block->cookie - 1];
    size_t joined = field->value.len + 2 + value.len;
    char *at = (char *)(uintptr_t)field->value.ptr; /* this codec's own copy */

    if (joined > block->cookie_room) {
        at = mb_arena_bytes(headers->arena, joined * 2);
        if (at == NULL) {
            return false;
        }
        memcpy(at, field->value.ptr, field->value.len);
        block->cookie_room = joined * 2;
    }
    memcpy(at + field->value.len, "; ", 2);
    if (value.len != 0) {
        memcpy(at + field->value.len + 2, value.ptr, value.len);
    }
    field->value = (mb_slice){at, joined};
    headers->byte_count += (uint32_t)(2 + value.len);
    return true;
}

static bool keep_cookie(mb_h2_block *block, mb_headers *headers, mb_slice value) {
    if (block->cookie != 0) {
        return join_crumb(block, headers, value);
    }
    if (!keep(headers, value, &value) ||
        mb_headers_append_raw(headers, MB_TOKEN_COOKIE, mb_token_name(MB_TOKEN_COOKIE), value) !=
            MB_OK) {
        return false;
    }
    block->cookie = headers->count;
    block->cookie_room = 0; /* what is behind it in the arena may be somebody else's */
    return true;
}

static bool keep_field(mb_headers *headers, uint32_t token, mb_slice name, mb_slice value) {
    return (token != MB_TOKEN_NONE || keep(headers, name, &name)) && keep(headers, value, &value) &&
           mb_headers_append_raw(headers, token, name, value) == MB_OK;
}

/* Fields of a head that are not just kept. */
static bool keep_special(mb_h2 *h2, uint32_t token, mb_slice value) {
    mb_h2_block *block = &h2->block;
    mb_headers *headers = map_of(block);

    switch (token) {
    case MB_TOKEN_HOST:
        if (block->kind == MB_H2_BLOCK_REQUEST) {
            return keep(headers, value, &block->host);
        }
        return true;  /* of no meaning in a response */
    case MB_TOKEN_TE: /* the library lets "trailers" through, in any case of letters */
        return block->kind != MB_H2_BLOCK_REQUEST ||
               mb_headers_append_raw(headers, token, mb_token_name(token),
                                     MB_SLICE_LIT("trailers")) == MB_OK;
    case MB_TOKEN_TRAILER:
    case MB_TOKEN_CONTENT_LENGTH:
        return keep_field(headers, token, (mb_slice){NULL, 0}, value);
    default: /* http2-settings */
        return true;
    }
}

/* Whether the field is dropped for its name; a refusal is noted. */
static bool drop_underscores(mb_h2 *h2, mb_slice name) {
    const mb_codec_options *options = &h2->options;

    if ((!options->reject_underscores && !options->drop_underscores) ||
        memchr(name.ptr, '_', name.len) == NULL) {
        return false;
    }
    if (options->reject_underscores) {
        h2->counters->requests_rejected_with_underscores_in_headers++;
        refuse(&h2->block, underscore);
    } else {
        h2->counters->dropped_headers_with_underscores++;
    }
    return true;
}

static bool keep_in_map(mb_h2 *h2, mb_slice name, mb_slice value) {
    mb_h2_block *block = &h2->block;
    uint32_t token;

    if (name.ptr[0] == ':') {
        return keep_pseudo(block, name, value);
    }
    token = mb_token_find(name);
    if (token == MB_TOKEN_NONE && drop_underscores(h2, name)) {
        return true;
    }
    if (block->kind == MB_H2_BLOCK_TRAILERS) {
        return !mb_http_may_be_trailer(token) || keep_field(map_of(block), token, name, value);
    }
    if (token == MB_TOKEN_COOKIE && h2->is_server) {
        return keep_cookie(block, map_of(block), value);
    }
    if (token != MB_TOKEN_NONE && token <= MB_TOKEN_CONTENT_LENGTH) {
        return keep_special(h2, token, value);
    }
    return keep_field(map_of(block), token, name, value);
}

/* Counts the field; the connection's fault is noted, the stream's in the block. */
static void count(mb_h2 *h2, mb_slice name, mb_slice value) {
    mb_h2_block *block = &h2->block;
    bool trailers = block->kind == MB_H2_BLOCK_TRAILERS;
    uint32_t limit = trailers ? h2->options.max_trailer_bytes : h2->options.max_head_bytes;

    block->bytes += name.len + value.len;
    if (block->cookie == 0 || !mb_slice_equal(name, mb_token_name(MB_TOKEN_COOKIE))) {
        block->count++;
    }
    if (block->bytes > limit || block->count > h2->options.max_header_count) {
        refuse(block, too_many);
    }
    if (mb_slice_equal(name, MB_SLICE_LIT(":path")) && value.len > h2->options.max_uri_bytes) {
        refuse(block, too_many);
    }
    if (block->bytes > h2->guard.max_block_bytes) {
        mb__h2_note(h2, MB_H2_HEADER_BYTES);
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx) {
    mb_h2 *h2 = ctx;

    (void)session;
    (void)frame;
    (void)flags;
    if (h2->block.kind == MB_H2_BLOCK_NONE) {
        return 0;
    }
    count(h2, slice_of(name, name_len), slice_of(value, value_len));
    if (h2->block.refused == NULL && h2->block.s->stream != NULL &&
        !keep_in_map(h2, slice_of(name, name_len), slice_of(value, value_len))) {
        mb__h2_note(h2, MB_H2_NO_MEMORY);
    }
    return h2->fault == MB_H2_FINE ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* -- whole heads ------------------------------------------------------------------------------ */

/* The scheme is in lower case from here on, and one of two. */
static bool check_scheme(mb_headers *headers) {
    static const mb_slice known[] = {MB_SLICE_LIT("https"), MB_SLICE_LIT("http")};
    mb_slice *scheme = &headers->pseudo[MB_PSEUDO_SCHEME];

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (mb_slice_equal_nocase(*scheme, known[i])) {
            *scheme = known[i];
            return true;
        }
    }
    return false;
}

static bool check_path(const mb_headers *headers) {
    mb_slice path = headers->pseudo[MB_PSEUDO_PATH];
    mb_slice method = headers->pseudo[MB_PSEUDO_METHOD];

    if (path.len == 0 || !mb_http_is_all(path, MB_CHAR_TARGET)) {
        return false;
    }
    return path.ptr[0] == '/' ||
           (path.len == 1 && path.ptr[0] == '*' && mb_slice_equal(method, MB_SLICE_LIT("OPTIONS")));
}

/* RFC 9113 8.3.1: both name the same, and one of them is there. */
static bool check_authority(mb_headers *headers, mb_slice host) {
    mb_slice *authority = &headers->pseudo[MB_PSEUDO_AUTHORITY];

    if (authority->ptr == NULL) {
        *authority = host;
    } else if (host.ptr != NULL && !mb_slice_equal_nocase(host, *authority)) {
        return false;
    }
    return authority->ptr != NULL && mb_http_is_authority(*authority);
}

/* An extended CONNECT is an upgrade: RFC 8441 4. False: out of memory. */
static bool take_upgrade(mb_codec_stream *stream) {
    mb_headers *headers = stream->headers;
    mb_slice *protocol = &headers->pseudo[MB_PSEUDO_PROTOCOL];

    if (protocol->ptr == NULL) {
        return true;
    }
    stream->upgrade_request = true;
    headers->pseudo[MB_PSEUDO_METHOD] = MB_SLICE_LIT("GET");
    if (mb_headers_add_token(headers, MB_TOKEN_UPGRADE, *protocol) != MB_OK) {
        return false;
    }
    *protocol = (mb_slice){NULL, 0};
    return true;
}

static bool check_request(const mb_h2_block *block, mb_codec_stream *stream) {
    mb_headers *headers = stream->headers;
    mb_slice method = headers->pseudo[MB_PSEUDO_METHOD];

    stream->head_request = mb_http_is_head(headers);
    stream->connect_request = mb_slice_equal(method, MB_SLICE_LIT("CONNECT"));
    if (!check_authority(headers, block->host)) {
        return false;
    }
    if (stream->connect_request && headers->pseudo[MB_PSEUDO_PROTOCOL].ptr == NULL) {
        return true; /* the library has seen that nothing else is there */
    }
    return check_scheme(headers) && check_path(headers) && take_upgrade(stream);
}

static int informational(mb_h2 *h2, mb_h2_stream *s, bool end_stream) {
    mb_codec_stream *stream = s->stream;

    if (end_stream || ++s->informational > h2->options.max_informational) {
        refuse(&h2->block, messaging);
        return 0;
    }
    h2->codec.events->on_informational(h2->codec.owner, stream);
    if (s->stream == stream) {
        mb_headers_init(stream->headers, stream->headers->arena);
    }
    return h2->fault == MB_H2_FINE ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* A whole head or section of trailers that is not refused so far. */
static int take_block(mb_h2 *h2, mb_h2_stream *s, bool end_stream) {
    mb_h2_block *block = &h2->block;

    switch (block->kind) {
    case MB_H2_BLOCK_REQUEST:
        if (!check_request(block, s->stream)) {
            refuse(block, messaging);
            return 0;
        }
        break;
    case MB_H2_BLOCK_RESPONSE:
        if (!mb_http_is_status(s->stream->headers->pseudo[MB_PSEUDO_STATUS])) {
            refuse(block, messaging);
            return 0;
        }
        if (mb_http_status(s->stream->headers) < 200) {
            return informational(h2, s, end_stream);
        }
        s->stream->tunnel_open =
            s->stream->connect_request && mb_http_status(s->stream->headers) < 300;
        if (s->stream->upgrade_request && s->stream->tunnel_open) {
            s->stream->headers->pseudo[MB_PSEUDO_STATUS] = MB_SLICE_LIT("101");
        }
        break;
    case MB_H2_BLOCK_TRAILERS:
        h2->counters->trailers++;
        s->trailers_due = s->stream->trailers->count != 0;
        s->end_seen = true;
        return 0;
    case MB_H2_BLOCK_NONE:
        return 0;
    }
    s->head_seen = true;
    s->head_due = true;
    s->end_seen = end_stream;
    return 0;
}

/* What was read of a head that is refused is not to be believed, not even by a log. */
static int refuse_stream(mb_h2 *h2, mb_h2_stream *s) {
    const mb_h2_block *block = &h2->block;
    mb_headers *headers = map_of(block);

    if (block->misread) {
        h2->counters->rx_messaging_error++;
    } else if (block->refused == too_many) {
        h2->counters->header_overflow++;
    }
    mb_headers_init(headers, headers->arena);
    s->given_up = true;
    mb__h2_reset_due(h2, s, MB_RESET_PROTOCOL, block->refused);
    mb__h2_note_reset(h2);
    /* INTERNAL_ERROR for what is too large: as Envoy. */
    return nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, s->id,
                                     block->misread ? NGHTTP2_PROTOCOL_ERROR
                                                    : NGHTTP2_INTERNAL_ERROR);
}

int mb__h2_on_block_end(mb_h2 *h2, const nghttp2_frame *frame) {
    mb_h2_block *block = &h2->block;
    mb_h2_stream *s = block->s;
    int rc = 0;

    if (block->kind == MB_H2_BLOCK_NONE || s->stream == NULL) {
        return 0;
    }
    if (block->refused == NULL) {
        rc = take_block(h2, s, (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
    }
    if (rc == 0 && block->refused != NULL && s->stream != NULL) {
        rc = refuse_stream(h2, s);
    }
    block->kind = MB_H2_BLOCK_NONE;
    mb__h2_make_ready(h2, s);
    return rc != 0 || h2->fault != MB_H2_FINE ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

void mb__h2_set_header_callbacks(nghttp2_session_callbacks *callbacks) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
}
