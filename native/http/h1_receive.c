/*
 * The receiving half of an HTTP/1.1 codec: sections of lines, bodies by their framing, the end of
 * the connection. See h1_codec.h for the states.
 */
#include "http/h1_codec.h"

/* Beside the target in a request line: method, two spaces, version. */
#define REQUEST_LINE_BYTES (MB_H1_METHOD_BYTES_MAX + 10u)

int mb__h1_fail(mb_h1 *h1, mb_h1_fault fault) {
    h1->receiving = MB_H1_RECEIVE_FAILED;
    h1->persistent = false;
    h1->paused = false;
    h1->codec.events->on_error(h1->codec.owner, h1->stream, mb_h1_error(fault));
    return MB_EPROTO;
}

static mb_h1_fault check_size(const mb_h1 *h1) {
    const mb_h1_lines *lines = &h1->lines;
    uint32_t first_line = lines->count == 0 ? lines->scanned : lines->ends[0];

    if (h1->receiving == MB_H1_RECEIVE_TRAILERS) {
        return lines->scanned > h1->options.max_trailer_bytes ? MB_H1_TRAILERS_TOO_LARGE
                                                              : MB_H1_FINE;
    }
    if (h1->is_server && first_line > (uint64_t)h1->options.max_uri_bytes + REQUEST_LINE_BYTES) {
        return MB_H1_URI_TOO_LONG;
    }
    return lines->scanned > h1->options.max_head_bytes ? MB_H1_HEAD_TOO_LARGE : MB_H1_FINE;
}

int mb__h1_find_lines(mb_h1 *h1, const mb_buffer *in, mb_h1_fault *fault) {
    const mb_segment *segment = in->segments + in->first + in->count;
    const mb_segment *end = segment;
    size_t seen = h1->lines.scanned;
    size_t start = in->length;

    if (h1->lines.ends == NULL) {
        size_t bytes = h1->lines.capacity * sizeof *h1->lines.ends;

        h1->lines.ends = mb_arena_alloc(&h1->line_memory, bytes);
        if (h1->lines.ends == NULL) {
            *fault = MB_H1_NO_MEMORY;
            return MB_EPROTO;
        }
    }
    /* From the end, where the new bytes are: a head that comes in many pieces stays linear. */
    while (start > seen) {
        start -= (--segment)->len;
    }
    for (; segment < end && !h1->lines.complete; segment++) {
        size_t skip = seen - start;

        *fault = mb_h1_lines_feed(&h1->lines, segment->ptr + skip, segment->len - skip);
        if (*fault == MB_H1_FINE) {
            *fault = check_size(h1);
        }
        if (*fault != MB_H1_FINE) {
            return MB_EPROTO;
        }
        start += segment->len;
        seen = start;
    }
    return h1->lines.complete ? MB_OK : MB_EAGAIN;
}

int mb__h1_take_section(mb_h1 *h1, mb_buffer *in, mb_headers *headers, mb_buffer *keep,
                        char **base) {
    size_t len = h1->lines.scanned;
    mb_slice bytes;

    if (keep == NULL) {
        char *copy = mb_arena_bytes(headers->arena, len);

        if (copy == NULL) {
            return MB_ENOMEM;
        }
        mb_buffer_copy_out(in, 0, copy, len);
        mb_buffer_drain(in, len);
        *base = copy;
        return MB_OK;
    }
    if (keep->length != 0) {
        mb_buffer_clear(keep);
    }
    if (mb_buffer_move_some(keep, in, len) != MB_OK ||
        mb_buffer_join(keep, len, &bytes, NULL) != MB_OK) {
        return MB_ENOMEM;
    }
    /* Nobody else has seen these bytes: making names lower-case in place is part of reading. */
    *base = (char *)(uintptr_t)bytes.ptr;
    return MB_OK;
}

void mb__h1_begin_body(mb_h1 *h1, const mb_h1_framing *framing) {
    static const mb_h1_receiving states[] = {
        [MB_H1_BODY_NONE] = MB_H1_RECEIVE_ENDED,
        [MB_H1_BODY_LENGTH] = MB_H1_RECEIVE_LENGTH,
        [MB_H1_BODY_CHUNKED] = MB_H1_RECEIVE_CHUNKED,
        [MB_H1_BODY_UNTIL_CLOSE] = MB_H1_RECEIVE_UNTIL_CLOSE,
    };

    h1->receiving = states[framing->body];
    h1->receive_left = framing->length;
    h1->persistent = h1->persistent && framing->keep_alive;
    mb_h1_chunked_init(&h1->chunked);
    mb__h1_lines_over(h1);
}

/* -- bodies --------------------------------------------------------------------------------- */

/* Tells the owner of bytes in `stream->body`, and of the message's end. */
static void deliver(mb_h1 *h1, const mb_buffer *in, bool end) {
    mb_codec_stream *stream = h1->stream;

    if (end) {
        mb__h1_message_received(h1, in);
    }
    h1->codec.events->on_body(h1->codec.owner, stream, end);
}

static int receive_length(mb_h1 *h1, mb_buffer *in) {
    size_t take = in->length < h1->receive_left ? in->length : (size_t)h1->receive_left;

    if (mb_buffer_move_some(h1->stream->body, in, take) != MB_OK) {
        return mb__h1_fail(h1, MB_H1_NO_MEMORY);
    }
    h1->receive_left -= take;
    deliver(h1, in, h1->receive_left == 0);
    return MB_OK;
}

static int receive_until_close(mb_h1 *h1, mb_buffer *in) {
    if (mb_buffer_move(h1->stream->body, in) != MB_OK) {
        return mb__h1_fail(h1, MB_H1_NO_MEMORY);
    }
    deliver(h1, in, false);
    return MB_OK;
}

/* The common end of a chunked body, no trailers, so that its last piece and its end are one
 * event. */
static bool take_empty_trailers(mb_buffer *in) {
    char text[2];

    if (mb_buffer_copy_out(in, 0, text, 2) != 2 || text[0] != '\r' || text[1] != '\n') {
        return false;
    }
    mb_buffer_drain(in, 2);
    return true;
}

static mb_h1_fault read_chunks(mb_h1 *h1, mb_buffer *in, bool *moved) {
    mb_h1_chunked *chunked = &h1->chunked;

    while (in->length != 0 && chunked->state != MB_H1_CHUNK_LAST) {
        if (chunked->state == MB_H1_CHUNK_DATA) {
            size_t take = in->length < chunked->left ? in->length : (size_t)chunked->left;

            if (mb_buffer_move_some(h1->stream->body, in, take) != MB_OK) {
                return MB_H1_NO_MEMORY;
            }
            mb_h1_chunked_take(chunked, take);
            *moved = true;
        } else {
            mb_slice front = mb_buffer_front(in);
            size_t used = 0;
            mb_h1_fault fault = mb_h1_chunked_read(chunked, front.ptr, front.len, &used);

            if (fault != MB_H1_FINE) {
                return fault;
            }
            mb_buffer_drain(in, used);
        }
    }
    return MB_H1_FINE;
}

static int receive_chunked(mb_h1 *h1, mb_buffer *in) {
    bool moved = false, end = false;
    mb_h1_fault fault = read_chunks(h1, in, &moved);

    if (fault != MB_H1_FINE) {
        return mb__h1_fail(h1, fault);
    }
    if (h1->chunked.state == MB_H1_CHUNK_LAST) {
        h1->receiving = MB_H1_RECEIVE_TRAILERS;
        mb__h1_lines_over(h1);
        end = take_empty_trailers(in);
    }
    if (moved || end) {
        deliver(h1, in, end);
    }
    return MB_OK;
}

static int receive_trailers(mb_h1 *h1, mb_buffer *in) {
    mb_codec_stream *stream = h1->stream;
    mb_headers *trailers = h1->options.enable_trailers ? stream->trailers : NULL;
    mb_headers *memory = trailers != NULL ? trailers : stream->headers;
    mb_h1_fault fault = MB_H1_FINE;
    char *base;
    int rc = mb__h1_find_lines(h1, in, &fault);

    if (rc == MB_EAGAIN) {
        return rc;
    }
    if (rc == MB_OK && mb__h1_take_section(h1, in, memory, NULL, &base) != MB_OK) {
        fault = MB_H1_NO_MEMORY;
    }
    if (fault == MB_H1_FINE) {
        fault = mb_h1_parse_trailers(base, &h1->lines, &h1->options, trailers);
    }
    if (fault != MB_H1_FINE) {
        return mb__h1_fail(h1, fault);
    }
    if (trailers == NULL || trailers->count == 0) {
        deliver(h1, in, true);
        return MB_OK;
    }
    mb__h1_message_received(h1, in);
    h1->codec.events->on_trailers(h1->codec.owner, stream);
    return MB_OK;
}

/* -- the whole ------------------------------------------------------------------------------ */

/* One step in the present state, with at least one byte in `in`. */
static int step(mb_h1 *h1, mb_buffer *in, int (*on_head)(mb_h1 *h1, mb_buffer *in)) {
    switch (h1->receiving) {
    case MB_H1_RECEIVE_HEAD:
        return on_head(h1, in);
    case MB_H1_RECEIVE_LENGTH:
        return receive_length(h1, in);
    case MB_H1_RECEIVE_CHUNKED:
        return receive_chunked(h1, in);
    case MB_H1_RECEIVE_TRAILERS:
        return receive_trailers(h1, in);
    case MB_H1_RECEIVE_UNTIL_CLOSE:
        return receive_until_close(h1, in);
    case MB_H1_RECEIVE_DISCARD:
        mb_buffer_clear(in);
        return MB_OK;
    case MB_H1_RECEIVE_FAILED:
        mb_buffer_clear(in);
        return MB_EPROTO;
    case MB_H1_RECEIVE_IDLE:
    case MB_H1_RECEIVE_ENDED:
        break;
    }
    /* A client that speaks ahead has pipelined; a server has nothing to say unasked. */
    if (h1->is_server) {
        return MB_ELIMIT;
    }
    h1->stream = NULL;
    return mb__h1_fail(h1, MB_H1_UNEXPECTED_DATA);
}

int mb__h1_receive(mb_h1 *h1, mb_buffer *in, int (*on_head)(mb_h1 *h1, mb_buffer *in)) {
    while (in->length != 0) {
        int rc;

        if (h1->paused) {
            return MB_EAGAIN;
        }
        rc = step(h1, in, on_head);
        if (rc == MB_EAGAIN) {
            return MB_OK; /* needs more input */
        }
        if (rc == MB_ELIMIT) {
            return MB_EAGAIN; /* needs our response to end */
        }
        if (rc != MB_OK) {
            mb_buffer_clear(in);
            return rc;
        }
        if (h1->is_server && h1->receiving == MB_H1_RECEIVE_HEAD && h1->stream == NULL &&
            h1->blank_lines == 0 && in->length != 0) {
            return MB_EAGAIN; /* a request is over: the owner says when the next begins */
        }
    }
    return h1->receiving == MB_H1_RECEIVE_FAILED ? MB_EPROTO : MB_OK;
}

void mb__h1_receive_end(mb_codec *codec) {
    mb_h1 *h1 = mb__h1(codec);
    mb_codec_stream *stream = h1->stream;

    h1->closed = true;
    h1->persistent = false;
    switch (h1->receiving) {
    case MB_H1_RECEIVE_UNTIL_CLOSE: {
        mb_buffer none = {.length = 0};

        deliver(h1, &none, true);
        return;
    }
    case MB_H1_RECEIVE_ENDED:
    case MB_H1_RECEIVE_FAILED:
    case MB_H1_RECEIVE_DISCARD:
        return;
    default:
        break;
    }
    h1->receiving = MB_H1_RECEIVE_DISCARD;
    if (stream != NULL) {
        h1->stream = NULL;
        h1->sending = MB_H1_SEND_ENDED;
        h1->codec.events->on_reset(h1->codec.owner, stream, MB_RESET_REMOTE);
    }
}
