/*
 * Answers of our own, and the ways in which a stream breaks. Part of the walk (chain.c).
 *
 * A local reply ends the request direction at once: later filters and the terminal see no more
 * of it. If no response was begun, the reply walks the response hooks of all filters like any
 * other; if one was begun but nothing is on the wire, it goes straight to the client; after that
 * the stream can only be reset. Source: Envoy, "sendLocalReply".
 *
 * A client of gRPC gets what it understands: 200, the status as grpc-status, the body as
 * grpc-message, and no body. Headers that whoever answers has set stay, grpc-status too.
 */
#include "base/slice.h"
#include "filter/arena_text.h"
#include "filter/walk.h"
#include "http/grpc.h"
#include "http/message.h"
#include <stdio.h>

/* Of a body that becomes grpc-message; clients of gRPC refuse heads above 8 or 16 KiB. */
#define GRPC_MESSAGE_BYTES_MAX 2048u

static void abort_terminal(mb_stream *stream) {
    if (stream->terminal_active) {
        stream->terminal_active = false;
        stream->chain->terminal->abort(stream);
    }
}

static int fill_reply_headers(mb_stream *stream, const mb_local_reply *reply) {
    mb_headers *headers = &stream->headers[MB_RESPONSE];
    mb_headers_init(headers, &stream->arena);
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%u", reply->status);
    mb_slice text;
    int rc = mb_arena_dup(&stream->arena, (mb_slice){digits, (size_t)n}, &text);
    if (rc < 0) {
        return rc;
    }
    mb_headers_set_pseudo(headers, MB_PSEUDO_STATUS, text);
    for (size_t i = 0; i < reply->header_count && rc >= 0; i++) {
        rc = mb_headers_add(headers, reply->headers[i].name, reply->headers[i].value);
    }
    if (rc < 0) {
        return rc;
    }
    n = snprintf(digits, sizeof(digits), "%zu", reply->body.len);
    rc = mb_arena_dup(&stream->arena, (mb_slice){digits, (size_t)n}, &text);
    if (rc >= 0 && (reply->body.len > 0 || reply->status != 204)) {
        rc = mb_headers_set_token(headers, MB_TOKEN_CONTENT_LENGTH, text);
    }
    if (rc >= 0 && reply->body.len > 0 && !mb_headers_has(headers, MB_TOKEN_CONTENT_TYPE)) {
        rc = mb_headers_set_token(headers, MB_TOKEN_CONTENT_TYPE, MB_SLICE_LIT("text/plain"));
    }
    return rc;
}

/* Makes the reply, as it is, one of gRPC. MB_OK or MB_ENOMEM. */
static int become_grpc(mb_stream *stream, const mb_local_reply *reply) {
    mb_headers *headers = &stream->headers[MB_RESPONSE];
    uint32_t status = mb_http_status(headers);
    int rc = mb_http_set_status(headers, 200);
    mb_headers_remove_token(headers, MB_TOKEN_CONTENT_LENGTH);
    if (rc >= 0) {
        rc = mb_headers_set_token(headers, MB_TOKEN_CONTENT_TYPE, MB_SLICE_LIT("application/grpc"));
    }
    if (rc >= 0 && mb_headers_value(headers, MB_TOKEN_GRPC_STATUS).len == 0) {
        rc = mb_http_set_number(headers, MB_TOKEN_GRPC_STATUS, mb_grpc_status_of_http(status));
    }
    if (rc >= 0 && reply->body.len > 0 && !stream->head_request) {
        mb_arena_text message;
        mb_arena_text_init(&message, &stream->arena, SIZE_MAX);
        mb_grpc_append_message(&message.text, mb_slice_take(reply->body, GRPC_MESSAGE_BYTES_MAX));
        rc = message.text.status;
        if (rc >= 0) {
            rc = mb_headers_set_token(headers, MB_TOKEN_GRPC_MESSAGE, mb_text_view(&message.text));
        }
    }
    return rc;
}

static void send_through_filters(mb_stream *stream, mb_buffer *body) {
    bool end = body->length == 0;
    mb_stream_response_headers(stream, end);
    if (!end) {
        mb_stream_response_body(stream, body, true);
    }
}

static void send_directly(mb_stream *stream, mb_buffer *body) {
    mb__side_abort(stream, MB_RESPONSE);
    stream->ops->finish_response_headers(stream);
    stream->response_started = true;
    stream->ops->send_headers(stream, body->length == 0);
    if (body->length > 0 && !stream->over) {
        stream->ops->send_body(stream, body, true);
    }
    if (!stream->over) {
        mb__stream_over(stream);
    }
}

void mb_stream_local_reply_with(mb_stream *stream, uint32_t flag, const mb_local_reply *reply,
                                mb_reply_modify_fn modify, void *ctx) {
    if (stream->over) {
        return;
    }
    if (stream->response_started) {
        mb_stream_reset(stream, flag, reply->details);
        return;
    }
    mb_stream_enter(stream);
    stream->info.flags |= flag;
    stream->info.details = reply->details;
    stream->local_reply_sent = true;
    mb_metric_inc(stream->worker->metrics.local_replies);
    mb__side_abort(stream, MB_REQUEST);
    abort_terminal(stream);
    /* Filters that never saw the request are not shown an answer to it either. */
    bool begun = stream->side[MB_RESPONSE].have_headers || !stream->side[MB_REQUEST].have_headers;
    mb_buffer body;
    mb_buffer_init(&body, stream->worker->slabs);
    int rc = fill_reply_headers(stream, reply);
    stream->info.response_code = reply->status;
    if (rc >= 0) {
        if (modify != NULL) {
            modify(stream, ctx);
        } else if (stream->ops->decorate_local_reply != NULL) {
            stream->ops->decorate_local_reply(stream);
        }
    }
    if (rc >= 0 && stream->grpc_request) {
        rc = become_grpc(stream, reply);
    } else if (rc >= 0 && !stream->head_request) {
        rc = mb_buffer_append(&body, reply->body);
    }
    if (rc < 0) {
        mb_stream_reset(stream, MB_FLAG_OVERLOAD, MB_SLICE_LIT("out_of_memory"));
    } else if (begun) {
        send_directly(stream, &body);
    } else {
        send_through_filters(stream, &body);
    }
    mb_buffer_fini(&body);
    mb_stream_leave(stream);
}

void mb_stream_local_reply(mb_stream *stream, uint32_t status, uint32_t flag, mb_slice details,
                           mb_slice text) {
    mb_local_reply reply = {.status = status, .body = text, .details = details};
    mb_stream_local_reply_with(stream, flag, &reply, NULL, NULL);
}

void mb__act_on_replies(mb_stream *stream) {
    mb_local_reply *reply = stream->reply;
    stream->reply = NULL;
    if (stream->reset_asked) {
        stream->reset_asked = false;
        mb_stream_reset(stream, MB_FLAG_LOCAL_RESET, stream->reset_details);
    } else if (reply != NULL) {
        mb_stream_local_reply_with(stream, 0, reply, NULL, NULL);
    }
}

void mb__stream_over(mb_stream *stream) {
    stream->over = true;
    abort_terminal(stream);
}

static void end_abruptly(mb_stream *stream, uint32_t flag, mb_slice details) {
    stream->info.flags |= flag;
    if (details.len > 0) {
        stream->info.details = details;
    }
    mb__side_abort(stream, MB_REQUEST);
    mb__side_abort(stream, MB_RESPONSE);
}

void mb_stream_reset(mb_stream *stream, uint32_t flag, mb_slice details) {
    if (stream->over) {
        return;
    }
    mb_stream_enter(stream);
    end_abruptly(stream, flag, details);
    mb_metric_inc(stream->worker->metrics.resets);
    stream->ops->send_reset(stream);
    mb__stream_over(stream);
    mb_stream_leave(stream);
}

void mb_stream_client_gone(mb_stream *stream, uint32_t flag, mb_slice details) {
    if (stream->over) {
        return;
    }
    mb_stream_enter(stream);
    end_abruptly(stream, flag, details);
    mb__stream_over(stream);
    mb_stream_leave(stream);
}
