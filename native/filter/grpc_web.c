/*
 * grpc_web: lets browsers speak gRPC. A request of gRPC-Web becomes one of gRPC, the response
 * goes back as gRPC-Web: its trailers are the last frame of its body.
 *
 * No configuration. Per stream: what of a base64 body does not make a whole group yet
 * (grpc_web_text.h); of a response that is no gRPC, what becomes grpc-message. No more is held.
 *
 * Request: content-type application/grpc-web[-text][+proto] becomes application/grpc,
 * content-length goes, `te: trailers` comes; a text body is decoded group by group, and padding
 * may stand at the end of any group, since clients pad each frame. Base64 that is broken or cut
 * is answered with 400.
 * Response: `accept` decides between binary and text. Text is padded at the end of each frame, so
 * that a client has every message when it was sent. The body's end waits for the trailers hook, so
 * that filters before this one have changed them; then they are appended as a frame of type 0x80.
 * A response that is no gRPC keeps its status and loses its body, the first 16 KiB of which become
 * grpc-message, with the grpc-status that stands for the status.
 *
 * Source: PROTOCOL-WEB.md of gRPC; Envoy's GrpcWeb.
 */
#include "base/slice.h"
#include "filter/arena_text.h"
#include "filter/builtin.h"
#include "filter/grpc_web_text.h"
#include "filter/stream.h"
#include "http/grpc.h"
#include "http/message.h"

/* Of a body that becomes grpc-message, as Envoy. */
#define MESSAGE_BYTES_MAX (16u * 1024)
#define CHUNK_BYTES 4096u
#define FRAME_OF_TRAILERS 0x80u

typedef struct web_state {
    bool active;        /* the request is gRPC-Web */
    bool text_request;  /* its body is base64 */
    bool text_response; /* it asks for a body in base64 */
    bool not_grpc;      /* the response is none; its body is being collected */
    mb_web_decoder decoder;
    mb_web_encoder encoder;
} web_state;

/* -- the request ----------------------------------------------------------------------------- */

/* One of the two media types, with or without "+proto", exactly. */
static bool is_text(mb_slice type) {
    return mb_slice_equal(type, MB_SLICE_LIT("application/grpc-web-text")) ||
           mb_slice_equal(type, MB_SLICE_LIT("application/grpc-web-text+proto"));
}

static bool is_binary(mb_slice type) {
    return mb_slice_equal(type, MB_SLICE_LIT("application/grpc-web")) ||
           mb_slice_equal(type, MB_SLICE_LIT("application/grpc-web+proto"));
}

static mb_headers_status out_of_memory(mb_filter *filter) {
    const mb_host *host = filter->config;
    host->reset(filter->stream, MB_SLICE_LIT("out_of_memory"));
    return MB_HEADERS_STOP_ITERATION;
}

static mb_headers_status on_request_headers(mb_filter *filter, bool end_stream) {
    web_state *state = filter->state;
    mb_headers *request = &filter->stream->headers[MB_REQUEST];
    mb_slice type = mb_headers_value(request, MB_TOKEN_CONTENT_TYPE);
    (void)end_stream;
    state->text_request = is_text(type);
    state->active = (state->text_request || is_binary(type)) &&
                    mb_headers_pseudo(request, MB_PSEUDO_PATH).len > 0;
    if (!state->active) {
        return MB_HEADERS_CONTINUE;
    }
    state->text_response = is_text(mb_headers_value(request, MB_TOKEN_ACCEPT));
    mb_headers_remove_token(request, MB_TOKEN_CONTENT_LENGTH);
    int rc = mb_headers_set_token(request, MB_TOKEN_CONTENT_TYPE, MB_SLICE_LIT("application/grpc"));
    if (rc == MB_OK) {
        rc = mb_headers_set_token(request, MB_TOKEN_TE, MB_SLICE_LIT("trailers"));
    }
    if (rc == MB_OK && !mb_headers_has(request, MB_TOKEN_GRPC_ACCEPT_ENCODING)) {
        rc = mb_headers_set_token(request, MB_TOKEN_GRPC_ACCEPT_ENCODING, MB_SLICE_LIT("identity"));
    }
    return rc == MB_OK ? MB_HEADERS_CONTINUE : out_of_memory(filter);
}

static mb_body_status refuse(mb_filter *filter, mb_slice details) {
    const mb_host *host = filter->config;
    mb_local_reply reply = {
        .status = 400,
        .body = MB_SLICE_LIT("Bad gRPC-web request, invalid base64 data."),
        .details = details,
    };
    if (host->respond(filter, &reply) != MB_OK) {
        host->reset(filter->stream, details);
    }
    return MB_BODY_STOP_NO_BUFFER;
}

static mb_body_status on_request_body(mb_filter *filter, mb_buffer *data, bool end_stream) {
    web_state *state = filter->state;
    if (!state->active || !state->text_request) {
        return MB_BODY_CONTINUE;
    }
    switch (mb__web_decode(filter->config, &state->decoder, data, end_stream)) {
    case MB_OK:
        return MB_BODY_CONTINUE;
    case MB_EINVAL:
        return refuse(filter, MB_SLICE_LIT("grpc_base_64_decode_failed"));
    case MB_EAGAIN:
        return refuse(filter, MB_SLICE_LIT("grpc_base_64_decode_failed_bad_size"));
    default:
        out_of_memory(filter);
        return MB_BODY_STOP_NO_BUFFER;
    }
}

/* -- the response ---------------------------------------------------------------------------- */

/* Whether the upstream speaks gRPC-Web itself; parameters of the type do not matter. */
static bool is_web_response(const mb_headers *response) {
    mb_slice type = mb_headers_value(response, MB_TOKEN_CONTENT_TYPE);
    const char *parameter = type.len > 0 ? memchr(type.ptr, ';', type.len) : NULL;
    type.len = parameter != NULL ? (size_t)(parameter - type.ptr) : type.len;
    while (type.len > 0 && (type.ptr[type.len - 1] == ' ' || type.ptr[type.len - 1] == '\t')) {
        type.len--;
    }
    return mb_http_status(response) == 200 &&
           (mb_slice_equal_nocase(type, MB_SLICE_LIT("application/grpc-web")) ||
            mb_slice_equal_nocase(type, MB_SLICE_LIT("application/grpc-web+proto")));
}

static mb_headers_status on_response_headers(mb_filter *filter, bool end_stream) {
    web_state *state = filter->state;
    mb_headers *response = &filter->stream->headers[MB_RESPONSE];
    if (!state->active) {
        return MB_HEADERS_CONTINUE;
    }
    state->not_grpc =
        !end_stream && !mb_grpc_is_response(response, false) && !is_web_response(response);
    mb_headers_remove_token(response, MB_TOKEN_CONTENT_LENGTH);
    mb_slice type = state->text_response ? MB_SLICE_LIT("application/grpc-web-text+proto")
                                         : MB_SLICE_LIT("application/grpc-web+proto");
    if (mb_headers_set_token(response, MB_TOKEN_CONTENT_TYPE, type) != MB_OK) {
        return out_of_memory(filter);
    }
    return state->not_grpc ? MB_HEADERS_STOP_ITERATION : MB_HEADERS_CONTINUE;
}

/* Adds what fits of a body that is no gRPC to what is held. MB_OK or MB_ENOMEM. */
static int collect(const mb_host *host, mb_buffer *held, const mb_buffer *data) {
    char bytes[CHUNK_BYTES];
    size_t from = 0, take, got;
    do {
        take = MESSAGE_BYTES_MAX - host->buffer_length(held);
        take = take < sizeof(bytes) ? take : sizeof(bytes);
        got = host->buffer_copy_out(data, from, bytes, take);
        from += got;
        int rc = got > 0 ? host->buffer_append(held, (mb_slice){bytes, got}) : MB_OK;
        if (rc != MB_OK) {
            return rc;
        }
    } while (got > 0);
    return MB_OK;
}

/* The body that was collected becomes grpc-message. MB_OK or MB_ENOMEM. */
static int give_status(mb_filter *filter, mb_buffer *held) {
    mb_stream *stream = filter->stream;
    mb_headers *response = &stream->headers[MB_RESPONSE];
    char bytes[CHUNK_BYTES];
    mb_arena_text message;
    mb_arena_text_init(&message, &stream->arena, 3 * MESSAGE_BYTES_MAX);
    while (held->length > 0) {
        size_t got = mb_buffer_copy_out(held, 0, bytes, sizeof(bytes));
        mb_grpc_append_message(&message.text, (mb_slice){bytes, got});
        mb_buffer_drain(held, got);
    }
    int rc = message.text.status;
    if (rc == MB_OK) {
        rc = mb_headers_set_token(response, MB_TOKEN_GRPC_MESSAGE, mb_text_view(&message.text));
    }
    if (rc == MB_OK) {
        rc = mb_http_set_number(response, MB_TOKEN_GRPC_STATUS,
                                mb_grpc_status_of_http(mb_http_status(response)));
    }
    return rc != MB_OK ? rc : mb_http_set_number(response, MB_TOKEN_CONTENT_LENGTH, 0);
}

static mb_body_status collect_body(mb_filter *filter, mb_buffer *data, bool end_stream) {
    const mb_host *host = filter->config;
    web_state *state = filter->state;
    mb_buffer *held = host->held_body(filter, MB_RESPONSE);
    if (held == NULL || collect(host, held, data) != MB_OK) {
        out_of_memory(filter);
        return MB_BODY_STOP_NO_BUFFER;
    }
    host->buffer_drain(data, host->buffer_length(data));
    if (!end_stream) {
        return MB_BODY_STOP_NO_BUFFER;
    }
    state->active = false; /* trailers, if there are any, are left as they are */
    if (give_status(filter, held) != MB_OK) {
        out_of_memory(filter);
        return MB_BODY_STOP_NO_BUFFER;
    }
    return MB_BODY_CONTINUE;
}

static mb_body_status on_response_body(mb_filter *filter, mb_buffer *data, bool end_stream) {
    const mb_host *host = filter->config;
    web_state *state = filter->state;
    if (!state->active) {
        return MB_BODY_CONTINUE;
    }
    if (state->not_grpc) {
        return collect_body(filter, data, end_stream);
    }
    if (state->text_response && mb__web_encode(host, &state->encoder, data, end_stream) != MB_OK) {
        out_of_memory(filter);
        return MB_BODY_STOP_NO_BUFFER;
    }
    bool more = end_stream && host->trailers(filter->stream, MB_RESPONSE) != NULL;
    return more ? MB_BODY_STOP_AND_WATERMARK : MB_BODY_CONTINUE;
}

/* Writes the trailers as a frame. MB_OK or MB_ENOMEM. */
static int write_trailers(const mb_host *host, const mb_headers *trailers, mb_buffer *out) {
    mb_header field;
    uint32_t length = 0;
    for (size_t i = 0; host->headers_at(trailers, i, &field) == MB_OK; i++) {
        length += (uint32_t)(field.name.len + field.value.len + 3);
    }
    char head[MB_GRPC_FRAME_HEAD_BYTES] = {(char)FRAME_OF_TRAILERS, (char)(length >> 24),
                                           (char)(length >> 16), (char)(length >> 8), (char)length};
    int rc = host->buffer_append(out, (mb_slice){head, sizeof(head)});
    for (size_t i = 0; host->headers_at(trailers, i, &field) == MB_OK; i++) {
        const mb_slice parts[] = {field.name, MB_SLICE_LIT(":"), field.value, MB_SLICE_LIT("\r\n")};
        for (size_t j = 0; j < 4 && rc == MB_OK; j++) {
            rc = host->buffer_append(out, parts[j]);
        }
    }
    return rc;
}

/* Appends the trailers to the body and takes them away. MB_OK or MB_ENOMEM. */
static int give_trailers(mb_filter *filter, mb_headers *trailers, mb_buffer *body) {
    const mb_host *host = filter->config;
    web_state *state = filter->state;
    mb_header field;
    mb_buffer frame;
    mb_buffer_init(&frame, filter->stream->worker->slabs);
    int rc = write_trailers(host, trailers, &frame);
    if (rc == MB_OK && state->text_response) {
        rc = mb__web_encode(host, &state->encoder, &frame, true);
    }
    if (rc == MB_OK) {
        rc = host->buffer_move(body, &frame);
    }
    mb_buffer_fini(&frame);
    while (host->headers_at(trailers, 0, &field) == MB_OK) {
        host->headers_remove(trailers, field.name);
    }
    return rc;
}

static mb_trailers_status on_response_trailers(mb_filter *filter) {
    const mb_host *host = filter->config;
    web_state *state = filter->state;
    if (!state->active) {
        return MB_TRAILERS_CONTINUE;
    }
    mb_buffer *body = host->held_body(filter, MB_RESPONSE);
    if (body == NULL ||
        give_trailers(filter, host->trailers(filter->stream, MB_RESPONSE), body) != MB_OK) {
        out_of_memory(filter);
        return MB_TRAILERS_STOP_ITERATION;
    }
    return MB_TRAILERS_CONTINUE;
}

static int on_config_new(void *module, mb_filter_args *args, void **out, uint32_t *wants) {
    (void)args;
    (void)wants;
    *out = module; /* the host is all that there is to know */
    return MB_OK;
}

static void on_config_free(void *module, void *config) {
    (void)module;
    (void)config;
}

const mb_filter_hooks mb__grpc_web_hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(mb_filter_hooks),
    .state_bytes = sizeof(web_state),
    .config_new = on_config_new,
    .config_free = on_config_free,
    .request_headers = on_request_headers,
    .request_body = on_request_body,
    .response_headers = on_response_headers,
    .response_body = on_response_body,
    .response_trailers = on_response_trailers,
};
