/*
 * Making and ending HTTP/1.1 codecs, and what happens when a message ends: see h1_codec.h.
 */
#include "http/h1_codec.h"

#include "base/alloc.h"

#define DEFAULT_HEAD_BYTES (60u * 1024u)
#define DEFAULT_FIELD_COUNT 100u
/* What a header map can number. */
#define FIELD_COUNT_MAX 65000u
#define DEFAULT_URI_BYTES (16u * 1024u)
#define DEFAULT_TRAILER_BYTES (8u * 1024u)
#define DEFAULT_INFORMATIONAL 16u

static void or_default(uint32_t *value, uint32_t otherwise) {
    if (*value == 0) {
        *value = otherwise;
    }
}

mb_h1 *mb__h1_new(const mb_allocator *allocator, mb_arena_pool *arenas,
                  const mb_codec_options *options, const mb_codec_vtable *vtable,
                  const mb_codec_events *events, void *owner) {
    /* The start line is a line too. */
    uint32_t fields =
        options->max_header_count != 0 ? options->max_header_count : DEFAULT_FIELD_COUNT;
    mb_h1 *h1;

    fields = fields < FIELD_COUNT_MAX ? fields : FIELD_COUNT_MAX;
    h1 = mb_zalloc(allocator, sizeof *h1);

    if (h1 == NULL) {
        return NULL;
    }
    h1->codec = (mb_codec){vtable, events, owner};
    h1->allocator = allocator;
    h1->options = *options;
    or_default(&h1->options.max_head_bytes, DEFAULT_HEAD_BYTES);
    or_default(&h1->options.max_header_count, DEFAULT_FIELD_COUNT);
    or_default(&h1->options.max_uri_bytes, DEFAULT_URI_BYTES);
    or_default(&h1->options.max_trailer_bytes, DEFAULT_TRAILER_BYTES);
    or_default(&h1->options.max_informational, DEFAULT_INFORMATIONAL);
    mb_arena_init(&h1->line_memory, arenas);
    mb_h1_lines_init(&h1->lines, NULL, fields + 1);
    h1->persistent = true;
    return h1;
}

void mb__h1_free(mb_codec *codec) {
    mb_h1 *h1 = mb__h1(codec);

    mb_arena_clear(&h1->line_memory);
    mb_free(h1->allocator, h1, sizeof *h1);
}

void mb__h1_lines_over(mb_h1 *h1) {
    mb_h1_lines_reset(&h1->lines);
    if (h1->lines.ends != NULL) {
        h1->lines.ends = NULL;
        mb_arena_clear(&h1->line_memory);
    }
}

bool mb__h1_reusable(const mb_codec *codec) {
    const mb_h1 *h1 = (const mb_h1 *)codec;

    return h1->persistent && !h1->shut_down && !h1->closed &&
           h1->receiving != MB_H1_RECEIVE_DISCARD && h1->receiving != MB_H1_RECEIVE_FAILED;
}

/* Both messages of the stream have ended: the connection is ready for the next, or at its end. */
static void end_stream(mb_h1 *h1) {
    h1->stream = NULL;
    h1->paused = false;
    h1->sending = MB_H1_SEND_HEAD;
    h1->blank_lines = 0;
    h1->persistent = h1->persistent && !h1->shut_down;
    if (!h1->persistent) {
        h1->receiving = MB_H1_RECEIVE_DISCARD;
    } else {
        h1->receiving = h1->is_server ? MB_H1_RECEIVE_HEAD : MB_H1_RECEIVE_IDLE;
        mb__h1_lines_over(h1);
    }
}

void mb__h1_message_received(mb_h1 *h1, const mb_buffer *in) {
    /* A server that has said more than its response is not to be asked again: what follows could
     * be taken for the answer to somebody else's request. */
    if (!h1->is_server && in->length != 0) {
        h1->persistent = false;
    }
    h1->stream->remote_ended = true;
    h1->receiving = MB_H1_RECEIVE_ENDED;
    if (h1->stream->local_ended) {
        bool extra = !h1->is_server && in->length != 0;

        end_stream(h1);
        if (extra) {
            h1->receiving = MB_H1_RECEIVE_IDLE; /* which refuses those bytes */
        }
    }
}

void mb__h1_message_sent(mb_h1 *h1) {
    h1->stream->local_ended = true;
    h1->sending = MB_H1_SEND_ENDED;
    if (h1->stream->remote_ended) {
        end_stream(h1);
    } else if (h1->is_server && !h1->stream->tunnel_open) {
        /* The rest of a request that is answered already must not be read as the next one. */
        h1->stream = NULL;
        h1->paused = false;
        h1->persistent = false;
        h1->receiving = MB_H1_RECEIVE_DISCARD;
    }
}

void mb__h1_pause(mb_codec *codec, mb_codec_stream *stream, bool paused) {
    mb_h1 *h1 = mb__h1(codec);

    if (stream == h1->stream) {
        h1->paused = paused;
    }
}

void mb__h1_reset(mb_codec *codec, mb_codec_stream *stream, mb_reset_reason reason,
                  mb_buffer *out) {
    mb_h1 *h1 = mb__h1(codec);

    (void)reason;
    (void)out;
    if (stream != h1->stream || stream == NULL) {
        return;
    }
    h1->stream = NULL;
    h1->paused = false;
    h1->persistent = false;
    h1->receiving = MB_H1_RECEIVE_DISCARD;
    h1->sending = MB_H1_SEND_ENDED;
}

void mb__h1_shut_down(mb_codec *codec, mb_buffer *out) {
    (void)out;
    mb__h1(codec)->shut_down = true;
}
