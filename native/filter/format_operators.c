/*
 * The operators of formats: what each %OPERATOR% says about a stream.
 *
 * Each appends plain text and answers false for "unset"; format.c cuts, escapes and quotes. The
 * table at the end is the list; moebridge.config.access_log_format has the same names (ENVIRONMENT
 * is a literal by the time it comes here).
 *
 * Source: Envoy's documentation "Access logging", command operators; answers of Envoy 1.40.
 */
#include "base/msgpack.h"
#include "base/slice.h"
#include "filter/format_internal.h"
#include "filter/metadata.h"
#include "filter/tls_text.h"
#include "http/grpc.h"

#include <stddef.h>

#define US_PER_MS 1000

/* -- headers --------------------------------------------------------------------------------- */

enum { OF_REQUEST, OF_RESPONSE, OF_TRAILERS, OF_REQUEST_WITHOUT_QUERY };

static bool append_header(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    uint32_t which = segment->op->which;
    const mb_headers *headers = &stream->headers[MB_REQUEST];
    mb_slice value, query;
    if (which == OF_RESPONSE) {
        headers = &stream->headers[MB_RESPONSE];
    } else if (which == OF_TRAILERS) {
        headers = &stream->trailers[MB_RESPONSE];
    }
    if (mb_headers_get(headers, segment->arg, 0, &value) < 0 &&
        (segment->alt_arg.len == 0 || mb_headers_get(headers, segment->alt_arg, 0, &value) < 0)) {
        return false;
    }
    if (which == OF_REQUEST_WITHOUT_QUERY) {
        mb_slice_split(value, '?', &value, &query);
    }
    mb_text_append(out, value);
    return true;
}

static void append_decoded(mb_slice text, mb_text *out) {
    for (size_t i = 0; i < text.len; i++) {
        int high = text.len - i > 2 ? mb_ascii_hex_value(text.ptr[i + 1]) : -1;
        int low = text.len - i > 2 ? mb_ascii_hex_value(text.ptr[i + 2]) : -1;
        bool escape = text.ptr[i] == '%' && high >= 0 && low >= 0;
        mb_text_byte(out, escape ? (char)(high << 4 | low) : text.ptr[i]);
        i += escape ? 2 : 0;
    }
}

/* The first value of a query parameter, percent-decoded; '+' stays. */
static bool append_query_parameter(const mb_format_segment *segment, mb_stream *stream,
                                   mb_text *out) {
    mb_slice path = mb_headers_pseudo(&stream->headers[MB_REQUEST], MB_PSEUDO_PATH);
    mb_slice rest;
    if (!mb_slice_split(path, '?', &path, &rest)) {
        return false;
    }
    while (rest.len > 0) {
        mb_slice parameter, name, value;
        mb_slice_split(rest, '&', &parameter, &rest);
        mb_slice_split(parameter, '=', &name, &value);
        if (mb_slice_equal(name, segment->arg)) {
            append_decoded(value, out);
            return true;
        }
    }
    return false;
}

enum { GRPC_TEXT, GRPC_NUMBER };

/* Of a request of gRPC: as the trailers say, or the head, or the HTTP status; "-1" for what is no
 * number. */
static bool append_grpc_status(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    uint64_t status;
    if (!mb_grpc_is_request(&stream->headers[MB_REQUEST])) {
        return false;
    }
    int rc = mb_grpc_status(&stream->trailers[MB_RESPONSE], &status);
    if (rc == MB_ENOTFOUND) {
        rc = mb_grpc_status(&stream->headers[MB_RESPONSE], &status);
    }
    if (rc == MB_ENOTFOUND) {
        if (stream->info.response_code == 0) {
            return false;
        }
        status = mb_grpc_status_of_http(stream->info.response_code);
    }
    if (rc == MB_EINVAL) {
        mb_text_c(out, "-1");
        return true;
    }
    bool snake = mb_slice_equal(segment->arg, MB_SLICE_LIT("SNAKE_STRING"));
    mb_slice name = mb_grpc_status_name(status, snake);
    if (segment->op->which == GRPC_NUMBER || name.len == 0) {
        mb_text_u64(out, status);
    } else {
        mb_text_append(out, name);
    }
    return true;
}

/* -- texts and numbers of the stream --------------------------------------------------------- */

/* A slice of mb_stream_info at an offset; empty is unset. */
static bool append_info_text(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    mb_slice text;
    memcpy(&text, (const char *)&stream->info + segment->op->which, sizeof(text));
    mb_text_append(out, text);
    return text.len > 0;
}

/* The same with '_' for white space, so that a line splits at spaces. */
static bool append_details(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    size_t start = out->len;
    bool set = append_info_text(segment, stream, out);
    for (size_t i = start; i < out->len; i++) {
        out->ptr[i] = strchr(" \t", out->ptr[i]) != NULL ? '_' : out->ptr[i];
    }
    return set;
}

static bool append_info_u64(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    uint64_t value;
    memcpy(&value, (const char *)&stream->info + segment->op->which, sizeof(value));
    mb_text_u64(out, value);
    return true;
}

static bool append_info_u32(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    uint32_t value;
    memcpy(&value, (const char *)&stream->info + segment->op->which, sizeof(value));
    mb_text_u64(out, value);
    return true;
}

/* A constant, or NULL. */
static bool append_info_c(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    const char *value;
    memcpy(&value, (const char *)&stream->info + segment->op->which, sizeof(value));
    if (value == NULL) {
        return false;
    }
    mb_text_c(out, value);
    return true;
}

static bool append_route_name(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    (void)segment;
    mb_text_append(out, stream->choice.name);
    return stream->choice.name.len > 0;
}

static bool append_stream_id(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    (void)segment;
    mb_slice id = mb_headers_value(&stream->headers[MB_REQUEST], MB_TOKEN_X_REQUEST_ID);
    mb_text_append(out, id);
    return id.len > 0;
}

/* "-" for none is a value, in JSON too. */
static bool append_flags(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    (void)segment;
    char text[128];
    size_t length = mb_response_flags_text(stream->info.flags, text, sizeof(text));
    mb_text_append(out, (mb_slice){text, length});
    return true;
}

static bool append_long_flags(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    static const struct {
        uint32_t flag;
        const char *name;
    } names[] = {
        {MB_FLAG_NO_HEALTHY_UPSTREAM, "NoHealthyUpstream"},
        {MB_FLAG_UPSTREAM_CONNECT_FAILURE, "UpstreamConnectionFailure"},
        {MB_FLAG_UPSTREAM_OVERFLOW, "UpstreamOverflow"},
        {MB_FLAG_NO_ROUTE, "NoRouteFound"},
        {MB_FLAG_NO_CLUSTER, "NoClusterFound"},
        {MB_FLAG_DOWNSTREAM_TERMINATION, "DownstreamConnectionTermination"},
        {MB_FLAG_UPSTREAM_TIMEOUT, "UpstreamRequestTimeout"},
        {MB_FLAG_LOCAL_RESET, "LocalReset"},
        {MB_FLAG_UPSTREAM_REMOTE_RESET, "UpstreamRemoteReset"},
        {MB_FLAG_UPSTREAM_TERMINATION, "UpstreamConnectionTermination"},
        {MB_FLAG_STREAM_IDLE_TIMEOUT, "StreamIdleTimeout"},
        {MB_FLAG_DOWNSTREAM_PROTOCOL, "DownstreamProtocolError"},
        {MB_FLAG_UPSTREAM_PROTOCOL, "UpstreamProtocolError"},
        {MB_FLAG_UPSTREAM_MAX_DURATION, "UpstreamMaxStreamDurationReached"},
        {MB_FLAG_RETRY_LIMIT, "UpstreamRetryLimitExceeded"},
        {MB_FLAG_DURATION_TIMEOUT, "DurationTimeout"},
        {MB_FLAG_OVERLOAD, "OverloadManagerTerminated"},
        {MB_FLAG_DNS_FAILURE, "DnsResolutionFailed"},
    };
    (void)segment;
    bool any = false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((stream->info.flags & names[i].flag) != 0) {
            mb_text_c(out, any ? "," : "");
            mb_text_c(out, names[i].name);
            any = true;
        }
    }
    mb_text_c(out, any ? "" : "-");
    return true;
}

/* -- times ----------------------------------------------------------------------------------- */

static bool append_start_time(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    mb__format_time(stream->info.start_wall_us, segment->arg, out);
    return true;
}

static bool append_emit_time(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    const mb_clock *clock = stream->worker->clock;
    mb__format_time(clock->wall_us(clock->ctx), segment->arg, out);
    return true;
}

enum { TOTAL, REQUEST, REQUEST_TX, RESPONSE, RESPONSE_TX };

/* Milliseconds between two of the stream's times; unset while one of them is. */
static bool append_duration(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    const mb_stream_info *info = &stream->info;
    uint64_t from = info->start_us;
    uint64_t to = 0;
    switch (segment->op->which) {
    case TOTAL:
        to = info->end_us != 0 ? info->end_us : mb_loop_now_us(stream->worker->loop);
        break;
    case REQUEST:
        to = info->request_end_us;
        break;
    case REQUEST_TX:
        /* The last byte goes on when it has come and the upstream takes it. */
        if (info->upstream_start_us != 0 && info->request_end_us != 0) {
            bool waited = info->upstream_start_us > info->request_end_us;
            to = waited ? info->upstream_start_us : info->request_end_us;
        }
        break;
    case RESPONSE:
        to = info->upstream_headers_us;
        break;
    case RESPONSE_TX:
        from = info->upstream_headers_us;
        to = info->end_us;
        break;
    }
    if (from == 0 || to < from) {
        return false;
    }
    mb_text_u64(out, (to - from) / US_PER_MS);
    return true;
}

/* -- addresses ------------------------------------------------------------------------------- */

static const mb_address *address_of(const mb_format_segment *segment, const mb_stream *stream) {
    const mb_stream_info *info = &stream->info;
    if (segment->op->which == offsetof(mb_stream_info, origin)) { /* which has the socket's own */
        return info->origin != NULL ? &info->origin->direct_local : info->local;
    }
    const char *member = (const char *)info + segment->op->which;
    return *(const mb_address *const *)(const void *)member;
}

static bool append_address(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    const mb_address *address = address_of(segment, stream);
    char text[MB_ADDRESS_TEXT_BYTES];
    if (address == NULL || address->length == 0) {
        return false;
    }
    mb_text_append(out, (mb_slice){text, mb_address_text(address, text)});
    return true;
}

static bool append_host(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    const mb_address *address = address_of(segment, stream);
    char text[MB_ADDRESS_TEXT_BYTES];
    if (address == NULL || address->length == 0) {
        return false;
    }
    mb_text_append(out, (mb_slice){text, mb_address_host_text(address, text)});
    return true;
}

static bool append_port(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    const mb_address *address = address_of(segment, stream);
    if (address == NULL || address->length == 0 || address->sa.sa_family == AF_UNIX) {
        return false;
    }
    mb_text_u64(out, mb_address_port(address));
    return true;
}

/* -- metadata -------------------------------------------------------------------------------- */

int mb__format_metadata(const mb_format_segment *segment, mb_stream *stream, mb_slice *value) {
    mb_slice space, key, rest;
    mb_slice_split(segment->arg, ':', &space, &rest);
    mb_slice_split(rest, ':', &key, &rest);
    int status = mb_metadata_get(stream, space, key, value);
    while (status == MB_OK && rest.len > 0) {
        mb_slice_split(rest, ':', &key, &rest);
        status = mb_msgpack_find(*value, key, value);
    }
    return status == MB_OK ? MB_OK : MB_ENOTFOUND;
}

static bool append_metadata(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    mb_slice value, string;
    if (mb__format_metadata(segment, stream, &value) != MB_OK) {
        return false;
    }
    mb_msgpack cursor = mb_msgpack_read(value);
    if (mb_msgpack_get_str(&cursor, &string) == MB_OK) {
        mb_text_append(out, string);
    } else {
        mb_msgpack_to_json(value, out);
    }
    return true;
}

bool mb__format_is_metadata(const mb_format_operator *op) {
    return op->append == append_metadata;
}

/* -- TLS of the client's connection ------------------------------------------------------------ */

static bool append_tls(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    return mb_tls_text_append(stream->info.tls, (mb_tls_text)segment->op->which, out);
}

enum { VALID_FROM, VALID_TO };

static bool append_validity(const mb_format_segment *segment, mb_stream *stream, mb_text *out) {
    const mb_tls_info *tls = stream->info.tls;
    const mb_tls_certificate *peer = tls != NULL ? mb_tls_peer(tls) : NULL;
    if (peer == NULL) {
        return false;
    }
    int64_t at_s = segment->op->which == VALID_FROM ? peer->not_before_s : peer->not_after_s;
    mb__format_time(at_s > 0 ? (uint64_t)at_s * 1000000u : 0, segment->arg, out);
    return true;
}

/* -- the table ------------------------------------------------------------------------------- */

#define INFO(field) ((uint32_t)offsetof(mb_stream_info, field))
#define ADDRESS(name, field)                                                                       \
    {name "_ADDRESS", append_address, MB_FORMAT_TEXT, INFO(field)},                                \
        {name "_ADDRESS_WITHOUT_PORT", append_host, MB_FORMAT_TEXT, INFO(field)}, {                \
        name "_PORT", append_port, MB_FORMAT_NUMBER, INFO(field)                                   \
    }

static const mb_format_operator operators[] = {
    {"REQ", append_header, MB_FORMAT_TEXT, OF_REQUEST},
    {"RESP", append_header, MB_FORMAT_TEXT, OF_RESPONSE},
    {"TRAILER", append_header, MB_FORMAT_TEXT, OF_TRAILERS},
    {"REQ_WITHOUT_QUERY", append_header, MB_FORMAT_TEXT, OF_REQUEST_WITHOUT_QUERY},
    {"QUERY_PARAM", append_query_parameter, MB_FORMAT_TEXT, 0},
    {"GRPC_STATUS", append_grpc_status, MB_FORMAT_TEXT, GRPC_TEXT},
    {"GRPC_STATUS_NUMBER", append_grpc_status, MB_FORMAT_NUMBER, GRPC_NUMBER},
    {"START_TIME", append_start_time, MB_FORMAT_TEXT, 0},
    {"EMIT_TIME", append_emit_time, MB_FORMAT_TEXT, 0},
    {"PROTOCOL", append_info_c, MB_FORMAT_TEXT, INFO(protocol)},
    {"UPSTREAM_PROTOCOL", append_info_c, MB_FORMAT_TEXT, INFO(upstream_protocol)},
    {"RESPONSE_CODE", append_info_u32, MB_FORMAT_NUMBER, INFO(response_code)},
    {"RESPONSE_CODE_DETAILS", append_details, MB_FORMAT_TEXT, INFO(details)},
    {"CONNECTION_TERMINATION_DETAILS", append_info_text, MB_FORMAT_TEXT, INFO(termination_details)},
    {"RESPONSE_FLAGS", append_flags, MB_FORMAT_TEXT, 0},
    {"RESPONSE_FLAGS_LONG", append_long_flags, MB_FORMAT_TEXT, 0},
    {"BYTES_RECEIVED", append_info_u64, MB_FORMAT_NUMBER, INFO(bytes_received)},
    {"BYTES_SENT", append_info_u64, MB_FORMAT_NUMBER, INFO(bytes_sent)},
    {"DURATION", append_duration, MB_FORMAT_NUMBER, TOTAL},
    {"REQUEST_DURATION", append_duration, MB_FORMAT_NUMBER, REQUEST},
    {"REQUEST_TX_DURATION", append_duration, MB_FORMAT_NUMBER, REQUEST_TX},
    {"RESPONSE_DURATION", append_duration, MB_FORMAT_NUMBER, RESPONSE},
    {"RESPONSE_TX_DURATION", append_duration, MB_FORMAT_NUMBER, RESPONSE_TX},
    {"UPSTREAM_HOST", append_address, MB_FORMAT_TEXT, INFO(upstream_remote)},
    {"UPSTREAM_CLUSTER", append_info_text, MB_FORMAT_TEXT, INFO(cluster)},
    {"UPSTREAM_CLUSTER_RAW", append_info_text, MB_FORMAT_TEXT, INFO(cluster)},
    {"UPSTREAM_REQUEST_ATTEMPT_COUNT", append_info_u32, MB_FORMAT_NUMBER, INFO(attempts)},
    {"UPSTREAM_TRANSPORT_FAILURE_REASON", append_details, MB_FORMAT_TEXT, INFO(upstream_failure)},
    {"CONNECTION_ID", append_info_u64, MB_FORMAT_NUMBER, INFO(connection_id)},
    {"STREAM_ID", append_stream_id, MB_FORMAT_TEXT, 0},
    {"ROUTE_NAME", append_route_name, MB_FORMAT_TEXT, 0},
    {"DYNAMIC_METADATA", append_metadata, MB_FORMAT_TEXT, 0},
    {"REQUESTED_SERVER_NAME", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_SNI},
    {"DOWNSTREAM_TLS_VERSION", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_VERSION},
    {"DOWNSTREAM_TLS_CIPHER", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_CIPHER},
    {"DOWNSTREAM_TLS_SESSION_ID", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_SESSION_ID},
    {"DOWNSTREAM_PEER_SUBJECT", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_PEER_SUBJECT},
    {"DOWNSTREAM_PEER_ISSUER", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_PEER_ISSUER},
    {"DOWNSTREAM_PEER_SERIAL", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_PEER_SERIAL},
    {"DOWNSTREAM_PEER_FINGERPRINT_256", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_PEER_SHA256},
    {"DOWNSTREAM_PEER_URI_SAN", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_PEER_URI_SAN},
    {"DOWNSTREAM_PEER_DNS_SAN", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_PEER_DNS_SAN},
    {"DOWNSTREAM_PEER_IP_SAN", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_PEER_IP_SAN},
    {"DOWNSTREAM_PEER_EMAIL_SAN", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_PEER_EMAIL_SAN},
    {"DOWNSTREAM_PEER_CERT", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_PEER_CERT},
    {"DOWNSTREAM_PEER_CERT_V_START", append_validity, MB_FORMAT_TEXT, VALID_FROM},
    {"DOWNSTREAM_PEER_CERT_V_END", append_validity, MB_FORMAT_TEXT, VALID_TO},
    {"DOWNSTREAM_LOCAL_SUBJECT", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_LOCAL_SUBJECT},
    {"DOWNSTREAM_LOCAL_URI_SAN", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_LOCAL_URI_SAN},
    {"DOWNSTREAM_LOCAL_DNS_SAN", append_tls, MB_FORMAT_TEXT, MB_TLS_TEXT_LOCAL_DNS_SAN},
    ADDRESS("DOWNSTREAM_REMOTE", remote),
    ADDRESS("DOWNSTREAM_LOCAL", local),
    ADDRESS("DOWNSTREAM_DIRECT_REMOTE", direct_remote),
    ADDRESS("DOWNSTREAM_DIRECT_LOCAL", origin),
    ADDRESS("UPSTREAM_REMOTE", upstream_remote),
    ADDRESS("UPSTREAM_LOCAL", upstream_local),
};

const mb_format_operator *mb__format_operator(mb_slice name) {
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        if (mb_slice_equal(mb_slice_from_c(operators[i].name), name)) {
            return &operators[i];
        }
    }
    return NULL;
}
