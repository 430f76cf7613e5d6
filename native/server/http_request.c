/*
 * A request's head before filters and routes see it: who the client is, the request id, what may
 * be believed of x-forwarded-* and x-envoy-*, the authority without its port.
 *
 * Source: Envoy, "HTTP header manipulation" and "HTTP header sanitizing" (conn_man). The path is
 * http_path.c's.
 */
#include "server/http_conn.h"

#include "base/slice.h"
#include "filter/metadata.h"
#include "http/grpc.h"
#include "http/message.h"
#include "server/http_client_cert.h"
#include "server/http_path.h"
#include <string.h>

/* Headers that only a trusted neighbour may send. */
static const uint32_t internal_headers[] = {
    MB_TOKEN_X_ENVOY_RETRY_ON,
    MB_TOKEN_X_ENVOY_RETRY_GRPC_ON,
    MB_TOKEN_X_ENVOY_MAX_RETRIES,
    MB_TOKEN_X_ENVOY_RETRIABLE_STATUS_CODES,
    MB_TOKEN_X_ENVOY_RETRIABLE_HEADER_NAMES,
    MB_TOKEN_X_ENVOY_UPSTREAM_ALT_STAT_NAME,
    MB_TOKEN_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS,
    MB_TOKEN_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS,
    MB_TOKEN_X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE,
    MB_TOKEN_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS,
    MB_TOKEN_X_ENVOY_FORCE_TRACE,
    MB_TOKEN_X_ENVOY_IP_TAGS,
    MB_TOKEN_X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT,
    MB_TOKEN_X_ENVOY_INTERNAL,
};

/* Headers that only a hop behind the edge may send. */
static const uint32_t inner_headers[] = {
    MB_TOKEN_X_ENVOY_DECORATOR_OPERATION,
    MB_TOKEN_X_ENVOY_DOWNSTREAM_SERVICE_CLUSTER,
    MB_TOKEN_X_ENVOY_DOWNSTREAM_SERVICE_NODE,
    MB_TOKEN_X_ENVOY_ORIGINAL_PATH,
};

/* -- the client's address ---------------------------------------------------------------------- */

static bool in_range(const mb_address *address, const mb_cidr_range *range) {
    if (address->sa.sa_family != range->address.sa.sa_family) {
        return false;
    }
    const uint8_t *a = (const uint8_t *)&address->in.sin_addr;
    const uint8_t *b = (const uint8_t *)&range->address.in.sin_addr;
    if (address->sa.sa_family == AF_INET6) {
        a = address->in6.sin6_addr.s6_addr;
        b = range->address.in6.sin6_addr.s6_addr;
    }
    uint32_t bytes = range->prefix_len / 8;
    uint32_t bits = range->prefix_len % 8;
    if (memcmp(a, b, bytes) != 0) {
        return false;
    }
    return bits == 0 || ((a[bytes] ^ b[bytes]) >> (8 - bits)) == 0;
}

static bool is_internal(const mb_hcm_config *config, const mb_address *address) {
    for (uint32_t i = 0; i < config->internal_range_count; i++) {
        if (in_range(address, &config->internal_ranges[i])) {
            return true;
        }
    }
    return false;
}

/* The address `skip` places from the right of the last x-forwarded-for list. */
static bool forwarded_address(const mb_headers *headers, uint32_t skip, mb_address *out) {
    mb_slice list = mb_headers_value(headers, MB_TOKEN_X_FORWARDED_FOR);
    for (;; skip--) {
        size_t at = list.len;
        while (at > 0 && list.ptr[at - 1] != ',') {
            at--;
        }
        mb_slice one = mb_slice_trim_ows((mb_slice){list.ptr + at, list.len - at});
        if (skip == 0) {
            return one.len > 0 && mb_address_parse(one, 0, out) == MB_OK;
        }
        if (at == 0) {
            return false;
        }
        list.len = at - 1;
    }
}

/* Several lines of a field become one, so that "the last element" is that of all of them. */
static int join_lines(mb_headers *headers, uint32_t token) {
    mb_slice name = mb_token_name(token);
    mb_slice one;
    size_t length = 0;
    size_t lines = 0;
    while (mb_headers_get(headers, name, lines, &one) >= 0) {
        length += one.len + 1;
        lines++;
    }
    if (lines < 2) {
        return MB_OK;
    }
    char *joined = mb_arena_bytes(headers->arena, length);
    if (joined == NULL) {
        return MB_ENOMEM;
    }
    size_t used = 0;
    for (size_t i = 0; i < lines; i++) {
        mb_headers_get(headers, name, i, &one);
        memcpy(joined + used, one.ptr, one.len);
        used += one.len;
        joined[used++] = ',';
    }
    return mb_headers_set_token(headers, token, (mb_slice){joined, used - 1});
}

static bool is_ip(const mb_address *address) {
    return address->length > 0 && address->sa.sa_family != AF_UNIX;
}

/* A client on a Unix socket has no address to be told. */
static int append_forwarded_for(mb_stream *stream, const mb_address *peer) {
    if (!is_ip(peer)) {
        return MB_OK;
    }
    char text[MB_ADDRESS_TEXT_BYTES];
    size_t len = mb_address_host_text(peer, text);
    mb_headers *headers = &stream->headers[MB_REQUEST];
    mb_slice before = mb_headers_value(headers, MB_TOKEN_X_FORWARDED_FOR);
    size_t lead = before.len > 0 ? before.len + 1 : 0;
    char *joined = mb_arena_bytes(&stream->arena, lead + len);
    if (joined == NULL) {
        return MB_ENOMEM;
    }
    if (before.len > 0) {
        memcpy(joined, before.ptr, before.len);
        joined[before.len] = ',';
    }
    memcpy(joined + lead, text, len);
    return mb_headers_set_token(headers, MB_TOKEN_X_FORWARDED_FOR, (mb_slice){joined, lead + len});
}

static int set_external_address(mb_stream *stream) {
    if (!is_ip(stream->info.remote)) {
        return MB_OK;
    }
    char text[MB_ADDRESS_TEXT_BYTES];
    mb_slice value;
    size_t len = mb_address_host_text(stream->info.remote, text);
    int rc = mb_arena_dup(&stream->arena, (mb_slice){text, len}, &value);
    return rc < 0 ? rc
                  : mb_headers_set_token(&stream->headers[MB_REQUEST],
                                         MB_TOKEN_X_ENVOY_EXTERNAL_ADDRESS, value);
}

static int find_client(mb_stream *stream, const mb_hcm_config *config, bool *internal) {
    mb_headers *headers = &stream->headers[MB_REQUEST];
    mb_stream_info *info = &stream->info;
    mb_address claimed;
    bool forwarded;
    const mb_address *peer = info->remote; /* of the socket, or as a PROXY header says */
    int rc = join_lines(headers, MB_TOKEN_X_FORWARDED_FOR);
    if (rc < 0) {
        return rc;
    }
    mb_slice list = mb_headers_value(headers, MB_TOKEN_X_FORWARDED_FOR);
    /* A chain of hops is never internal, whoever is at its end. */
    bool single = config->use_remote_address ? !mb_headers_has(headers, MB_TOKEN_X_FORWARDED_FOR)
                                             : config->xff_num_trusted_hops == 0 && list.len > 0 &&
                                                   mb_slice_index(list, ',') < 0;
    if (config->use_remote_address) {
        forwarded = config->xff_num_trusted_hops > 0 &&
                    forwarded_address(headers, config->xff_num_trusted_hops - 1, &claimed);
    } else {
        forwarded = forwarded_address(headers, config->xff_num_trusted_hops, &claimed);
    }
    if (forwarded && (info->remote = mb_stream_keep_address(stream, &claimed)) == NULL) {
        return MB_ENOMEM;
    }
    *internal = single && is_internal(config, info->remote);
    return config->use_remote_address && !config->skip_xff_append
               ? append_forwarded_for(stream, peer)
               : MB_OK;
}

static void remove_all(mb_headers *headers, const uint32_t *tokens, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (mb_headers_has(headers, tokens[i])) {
            mb_headers_remove_token(headers, tokens[i]);
        }
    }
}

static int sanitize(mb_stream *stream, const mb_hcm_config *config, bool internal) {
    mb_headers *headers = &stream->headers[MB_REQUEST];
    if (internal) {
        return mb_headers_set_token(headers, MB_TOKEN_X_ENVOY_INTERNAL, MB_SLICE_LIT("true"));
    }
    remove_all(headers, internal_headers, sizeof(internal_headers) / sizeof(internal_headers[0]));
    if (!config->use_remote_address) {
        return MB_OK;
    }
    remove_all(headers, inner_headers, sizeof(inner_headers) / sizeof(inner_headers[0]));
    return set_external_address(stream);
}

/* -- port, scheme and request id --------------------------------------------------------------- */

/* The port that the client used; a trusted hop in front may have said it. */
static int set_forwarded_port(mb_stream *stream, const mb_hcm_config *config) {
    mb_headers *headers = &stream->headers[MB_REQUEST];
    bool said =
        config->xff_num_trusted_hops > 0 && mb_headers_has(headers, MB_TOKEN_X_FORWARDED_PORT);
    if (!config->append_x_forwarded_port || !config->use_remote_address || said) {
        return MB_OK;
    }
    return mb_http_set_number(headers, MB_TOKEN_X_FORWARDED_PORT,
                              mb_address_port(stream->info.local));
}

static int set_scheme(mb_stream *stream, const mb_hcm_config *config) {
    mb_headers *headers = &stream->headers[MB_REQUEST];
    mb_slice proto = mb_headers_value(headers, MB_TOKEN_X_FORWARDED_PROTO);
    bool believable =
        mb_slice_equal(proto, MB_SLICE_LIT("http")) || mb_slice_equal(proto, MB_SLICE_LIT("https"));
    bool own = config->use_remote_address && config->xff_num_trusted_hops == 0;
    if (own || !believable) {
        proto = stream->info.tls != NULL ? MB_SLICE_LIT("https") : MB_SLICE_LIT("http");
    }
    /* What a neighbour says is sent on, even where it is no scheme for us. */
    if (own || !mb_headers_has(headers, MB_TOKEN_X_FORWARDED_PROTO)) {
        int rc = mb_headers_set_token(headers, MB_TOKEN_X_FORWARDED_PROTO, proto);
        if (rc < 0) {
            return rc;
        }
    }
    if (headers->pseudo[MB_PSEUDO_SCHEME].ptr == NULL) {
        mb_headers_set_pseudo(headers, MB_PSEUDO_SCHEME, proto);
    }
    return MB_OK;
}

static int set_request_id(mb_stream *stream, const mb_hcm_config *config) {
    mb_headers *headers = &stream->headers[MB_REQUEST];
    bool present = mb_headers_has(headers, MB_TOKEN_X_REQUEST_ID);
    bool edge = config->use_remote_address && !mb_headers_has(headers, MB_TOKEN_X_ENVOY_INTERNAL);
    if (edge && present && !config->preserve_external_request_id) {
        mb_headers_remove_token(headers, MB_TOKEN_X_REQUEST_ID);
        present = false;
    }
    if (present || !config->generate_request_id) {
        return MB_OK;
    }
    char *id = mb_arena_bytes(&stream->arena, MB_UUID_BYTES);
    if (id == NULL) {
        return MB_ENOMEM;
    }
    mb_random_uuid(&stream->worker->random, id);
    return mb_headers_set_token(headers, MB_TOKEN_X_REQUEST_ID, (mb_slice){id, MB_UUID_BYTES});
}

/* -- authority --------------------------------------------------------------------------------- */

static void strip_port(mb_stream *stream, const mb_hcm_config *config) {
    mb_headers *headers = &stream->headers[MB_REQUEST];
    mb_slice host = headers->pseudo[MB_PSEUDO_AUTHORITY];
    size_t at = host.len;
    while (at > 0 && host.ptr[at - 1] >= '0' && host.ptr[at - 1] <= '9') {
        at--;
    }
    uint64_t port;
    if (config->strip_port != MB_STRIP_NONE && at > 1 && host.ptr[at - 1] == ':' &&
        mb_slice_parse_u64(mb_slice_skip(host, at), &port) == MB_OK &&
        (config->strip_port == MB_STRIP_ANY || port == mb_address_port(stream->info.local))) {
        host.len = at - 1;
    }
    if (config->strip_trailing_host_dot && host.len > 1 && host.ptr[host.len - 1] == '.') {
        host.len--;
    }
    headers->pseudo[MB_PSEUDO_AUTHORITY] = host;
}

static int answer_expect(mb_http_conn *hc, mb_stream *stream) {
    mb_headers *headers = &stream->headers[MB_REQUEST];
    mb_headers *interim = mb_arena_alloc(&stream->arena, sizeof(*interim));
    if (interim == NULL) {
        return MB_ENOMEM;
    }
    mb_headers_init(interim, &stream->arena);
    mb_headers_set_pseudo(interim, MB_PSEUDO_STATUS, MB_SLICE_LIT("100"));
    int rc = hc->codec->vtable->send_informational(hc->codec, &stream->codec, interim,
                                                   &hc->base.conn->out);
    if (rc == MB_OK) {
        mb_headers_remove_token(headers, MB_TOKEN_EXPECT);
        mb_conn_flush_later(hc->base.conn);
    }
    return rc;
}

static void refuse(mb_stream *stream, uint32_t status, mb_slice details) {
    mb_stream_local_reply(stream, status, 0, details, (mb_slice){NULL, 0});
}

void mb__http_refuse(mb_stream *stream, uint32_t status, mb_slice details) {
    mb__http_conn_last_request(mb__http_conn_of(stream));
    refuse(stream, status, details);
}

int mb__http_append_via(mb_headers *headers, mb_slice via) {
    if (join_lines(headers, MB_TOKEN_VIA) < 0) {
        return MB_ENOMEM;
    }
    mb_slice before = mb_headers_value(headers, MB_TOKEN_VIA);
    size_t lead = before.len > 0 ? before.len + 2 : 0;
    char *joined = mb_arena_bytes(headers->arena, lead + via.len);
    if (joined == NULL) {
        return MB_ENOMEM;
    }
    if (lead > 0) {
        memcpy(joined, before.ptr, before.len);
        memcpy(joined + before.len, ", ", 2);
    }
    memcpy(joined + lead, via.ptr, via.len);
    return mb_headers_set_token(headers, MB_TOKEN_VIA, (mb_slice){joined, lead + via.len});
}

/* What is refused before a route is looked for. */
static int check_target(mb_stream *stream, const mb_hcm_config *config) {
    if (stream->codec.connect_request && !stream->codec.upgrade_request) {
        return MB_OK; /* it has an authority and nothing else */
    }
    mb_slice path = stream->headers[MB_REQUEST].pseudo[MB_PSEUDO_PATH];
    if (path.len == 0 || path.ptr[0] != '/') {
        refuse(stream, 404, MB_SLICE_LIT("absolute_path_rejected"));
        return MB_EPROTO;
    }
    return mb__http_path_prepare(stream, config);
}

/* What listener filters found out becomes metadata of each stream; what goes over the limit of
 * metadata is left out. */
static int add_origin_metadata(mb_stream *stream) {
    const mb_origin *origin = stream->info.origin;
    const mb_origin_metadata *entry = origin != NULL ? origin->metadata : NULL;
    for (; entry != NULL; entry = entry->next) {
        if (mb_metadata_set(stream, entry->space, entry->key, entry->value) == MB_ENOMEM) {
            return MB_ENOMEM;
        }
    }
    return MB_OK;
}

/* What answered the request is MB_EPROTO; other errors have no answer yet. */
static int prepare(mb_http_conn *hc, mb_stream *stream, const mb_hcm_config *config) {
    mb_headers *headers = &stream->headers[MB_REQUEST];
    bool internal = false;
    int rc;
    if ((rc = add_origin_metadata(stream)) < 0 || (rc = check_target(stream, config)) < 0) {
        return rc;
    }
    strip_port(stream, config);
    if ((rc = find_client(stream, config, &internal)) < 0 ||
        (rc = set_forwarded_port(stream, config)) < 0 || (rc = set_scheme(stream, config)) < 0 ||
        (rc = sanitize(stream, config, internal)) < 0 ||
        (rc = mb__http_client_cert(stream, &config->client_cert)) < 0 ||
        (rc = set_request_id(stream, config)) < 0) {
        return rc;
    }
    if (config->via.len > 0 && (rc = mb__http_append_via(headers, config->via)) < 0) {
        return rc;
    }
    if ((rc = mb__http_upgrade_request(hc, stream, config)) < 0) {
        return rc;
    }
    bool expects =
        !config->proxy_100_continue && !stream->codec.http_10 && mb_http_expects_continue(headers);
    return expects ? answer_expect(hc, stream) : MB_OK;
}

int mb__http_request_prepare(mb_http_conn *hc, mb_stream *stream) {
    stream->head_request = mb_http_is_head(&stream->headers[MB_REQUEST]);
    stream->grpc_request = mb_grpc_is_request(&stream->headers[MB_REQUEST]);
    if (stream->grpc_request && mb__http_config(stream)->timeouts.grpc_request_us == 0) {
        mb_loop_rest(&stream->request_timer); /* armed before the head was known */
    }
    stream->info.protocol = stream->codec.http_10 ? "HTTP/1.0" : stream->info.protocol;
    int rc = prepare(hc, stream, mb__http_config(stream));
    if (rc < 0 && rc != MB_EPROTO) {
        refuse(stream, 500, MB_SLICE_LIT("out_of_memory"));
    }
    return rc;
}
