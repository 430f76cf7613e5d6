/*
 * The sending half of an HTTP/1.1 codec: framing of our message, body, trailers. See h1_codec.h.
 *
 * The head declares a framing once and every later call is held to it: a body that is longer or
 * shorter than its content-length is refused before a byte of it is written.
 */
#include "http/h1_codec.h"
#include "http/message.h"

int mb__h1_frame_sending(mb_h1 *h1, mb_h1_head *head, bool bodiless, bool end_stream,
                         mb_h1_sending *sending) {
    uint64_t length = 0;
    int rc = mb_http_content_length(head->headers, &length);

    if (rc == MB_EINVAL) {
        return rc;
    }
    h1->send_left = length;
    if (bodiless) {
        *sending = MB_H1_SEND_SWALLOW;
    } else if (rc == MB_OK) {
        *sending = MB_H1_SEND_LENGTH;
        return end_stream && length != 0 ? MB_EPROTO : MB_OK;
    } else if (end_stream) {
        *sending = MB_H1_SEND_LENGTH;
        head->empty = true;
    } else if (h1->is_server && h1->stream->http_10) {
        *sending = MB_H1_SEND_UNTIL_CLOSE;
        h1->persistent = false;
    } else {
        *sending = MB_H1_SEND_CHUNKED;
        head->chunked = true;
    }
    return MB_OK;
}

void mb__h1_head_sent(mb_h1 *h1, mb_h1_sending sending, bool end_stream) {
    h1->sending = sending;
    if (end_stream) {
        mb__h1_message_sent(h1);
    }
}

/* After a failure half way the connection can't be used, whatever the owner does. */
static int broken(mb_h1 *h1) {
    h1->persistent = false;
    return MB_ENOMEM;
}

static int send_chunk(mb_h1 *h1, mb_buffer *data, bool end_stream, mb_buffer *out) {
    char size[MB_H1_CHUNK_SIZE_BYTES];
    mb_slice line = {size, 0};

    if (data->length == 0) {
        return !end_stream || mb_buffer_append(out, MB_SLICE_LIT("0\r\n\r\n")) == MB_OK
                   ? MB_OK
                   : broken(h1);
    }
    line.len = mb_h1_chunk_size(size, data->length);
    if (mb_buffer_append(out, line) != MB_OK || mb_buffer_move_coalesce(out, data, NULL) != MB_OK ||
        mb_buffer_append(out, end_stream ? MB_SLICE_LIT("\r\n0\r\n\r\n") : MB_SLICE_LIT("\r\n")) !=
            MB_OK) {
        return broken(h1);
    }
    return MB_OK;
}

static int send_length(mb_h1 *h1, mb_buffer *data, bool end_stream, mb_buffer *out) {
    size_t length = data->length;

    if (length > h1->send_left || (end_stream && length != h1->send_left)) {
        return MB_EPROTO;
    }
    if (mb_buffer_move_coalesce(out, data, NULL) != MB_OK) {
        return broken(h1);
    }
    h1->send_left -= length;
    return MB_OK;
}

int mb__h1_send_body(mb_codec *codec, mb_codec_stream *stream, mb_buffer *data, bool end_stream,
                     mb_buffer *out) {
    mb_h1 *h1 = mb__h1(codec);
    int rc = MB_EPHASE;

    if (stream == NULL || stream != h1->stream) {
        return MB_EPHASE;
    }
    switch (h1->sending) {
    case MB_H1_SEND_LENGTH:
        rc = send_length(h1, data, end_stream, out);
        break;
    case MB_H1_SEND_CHUNKED:
        rc = send_chunk(h1, data, end_stream, out);
        break;
    case MB_H1_SEND_UNTIL_CLOSE:
        rc = mb_buffer_move_coalesce(out, data, NULL) == MB_OK ? MB_OK : broken(h1);
        break;
    case MB_H1_SEND_SWALLOW:
        mb_buffer_clear(data);
        rc = MB_OK;
        break;
    case MB_H1_SEND_HEAD:
    case MB_H1_SEND_ENDED:
        break;
    }
    if (rc == MB_OK && end_stream) {
        mb__h1_message_sent(h1);
    }
    return rc;
}

int mb__h1_send_trailers(mb_codec *codec, mb_codec_stream *stream, const mb_headers *trailers,
                         mb_buffer *out) {
    mb_h1 *h1 = mb__h1(codec);
    int rc = MB_OK;

    if (stream == NULL || stream != h1->stream || h1->sending == MB_H1_SEND_HEAD ||
        h1->sending == MB_H1_SEND_ENDED) {
        return MB_EPHASE;
    }
    /* Other framings have no place for trailers; a field that is lost there is allowed to be. */
    if (h1->sending == MB_H1_SEND_LENGTH && h1->send_left != 0) {
        return MB_EPROTO;
    }
    if (h1->sending == MB_H1_SEND_CHUNKED) {
        rc = h1->options.enable_trailers && trailers->count != 0
                 ? mb_h1_write_trailers(out, trailers)
                 : mb_buffer_append(out, MB_SLICE_LIT("0\r\n\r\n"));
    }
    if (rc == MB_OK) {
        mb__h1_message_sent(h1);
    }
    return rc;
}
