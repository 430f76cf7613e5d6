/*
 * The listener filters: PROXY protocol, TLS inspector, HTTP inspector, original destination and
 * original source. Each looks at a pending socket and notes what it found out. See pending.h.
 *
 * Source: Envoy, "Listener filters"; names of statistics are Envoy's.
 */
#include "base/alloc.h"
#include "base/slice.h"
#include "net/client_hello.h"
#include "net/socket.h"
#include "server/pending.h"
#include <errno.h>
#include <sys/socket.h>

/* -- what they share ----------------------------------------------------------------------- */

/* The first bytes of the socket, at most `max`: valid until the next call for its ingress.
 * MB_OK; MB_EAGAIN: none yet; MB_ECLOSED, MB_EIO; MB_ENOMEM. */
static int peek(const mb_pending *pending, size_t max, mb_slice *out) {
    mb_ingress *ingress = pending->ingress;
    if (ingress->peeked == NULL) {
        ingress->peeked = mb_alloc(ingress->worker->allocator, MB_PENDING_PEEK_BYTES);
    }
    if (ingress->peeked == NULL) {
        return MB_ENOMEM;
    }
    ssize_t count;
    do {
        count = recv(pending->fd, ingress->peeked, max, MSG_PEEK);
    } while (count < 0 && errno == EINTR);
    if (count > 0) {
        *out = mb_slice_of(ingress->peeked, (size_t)count);
        return MB_OK;
    }
    return count == 0 ? MB_ECLOSED : errno == EAGAIN ? MB_EAGAIN : MB_EIO;
}

/* What to do when there is nothing to look at. */
static mb_filter_step without_bytes(const mb_pending *pending, int result) {
    const mb_listener_metrics *metrics = &pending->ingress->metrics;
    if (result == MB_EAGAIN) {
        return MB_STEP_WAIT;
    }
    mb_metric_inc(result == MB_ECLOSED ? metrics->filter_remote_close : metrics->filter_error);
    return MB_STEP_REFUSE;
}

static mb_filter_step out_of_memory(const mb_pending *pending) {
    mb_metric_inc(pending->ingress->metrics.filter_error);
    return MB_STEP_REFUSE;
}

/* Made when the first filter finds something. NULL: out of memory. */
static mb_origin *origin_of(mb_pending *pending) {
    if (pending->origin == NULL) {
        mb_worker *worker = pending->ingress->worker;
        mb_origin *origin = mb_origin_new(worker->allocator, &worker->arenas);
        if (origin == NULL) {
            return NULL;
        }
        origin->direct_remote = pending->remote;
        mb__socket_local(pending->fd, &origin->direct_local);
        pending->origin = origin;
    }
    return pending->origin;
}

/* -- PROXY protocol ------------------------------------------------------------------------ */

/* Whether a TCP client can have it. */
static bool is_unicast(const mb_address *address) {
    if (address->sa.sa_family == AF_INET) {
        uint32_t host = ntohl(address->in.sin_addr.s_addr);
        return host != INADDR_ANY && host != INADDR_BROADCAST && host >> 28 != 0xe;
    }
    return address->sa.sa_family != AF_INET6 ||
           (!IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr) &&
            !IN6_IS_ADDR_MULTICAST(&address->in6.sin6_addr));
}

static const mb_proxy_rule *find_rule(const mb_proxy_protocol_config *config, uint8_t type) {
    for (uint32_t i = 0; i < config->rule_count; i++) {
        if (config->rules[i].type == type) {
            return &config->rules[i];
        }
    }
    return NULL;
}

static int keep_tlvs(mb_origin *origin, const mb_proxy_protocol_config *config, mb_slice tlvs) {
    mb_proxy_tlv tlv;
    char *kept = mb_arena_bytes(&origin->arena, tlvs.len + 1);
    size_t len = 0;
    int result = kept == NULL ? MB_ENOMEM : MB_OK;
    while (result == MB_OK) {
        const char *whole = tlvs.ptr;
        if (!mb_proxy_tlv_next(&tlvs, &tlv)) {
            break;
        }
        const mb_proxy_rule *rule = find_rule(config, tlv.type);
        if (rule != NULL) {
            result = mb_origin_add_metadata(origin, rule->space, rule->key, tlv.value);
        }
        /* The checksum is that of the header it came in. */
        bool pass = config->pass_all || (config->pass[tlv.type / 64] >> tlv.type % 64 & 1) != 0;
        if (pass && tlv.type != MB_PROXY_TLV_CRC32C) {
            memcpy(kept + len, whole, 3 + tlv.value.len);
            len += 3 + tlv.value.len;
        }
    }
    origin->proxy_tlvs = mb_slice_of(kept, len);
    return result;
}

static int take_proxy_header(mb_pending *pending, const mb_proxy_protocol_config *config,
                             const mb_proxy_header *header) {
    mb_origin *origin = origin_of(pending);
    if (origin == NULL) {
        return MB_ENOMEM;
    }
    origin->has_proxy_header = true;
    int result = keep_tlvs(origin, config, header->tlvs);
    if (header->source.length > 0) {
        pending->remote = header->source;
        pending->local = header->destination;
    }
    return result;
}

/* Reads the header off the socket, where it is known to be as a whole. */
static bool consume(const mb_pending *pending, size_t len) {
    ssize_t count;
    do {
        count = recv(pending->fd, pending->ingress->peeked, len, 0);
    } while (count < 0 && errno == EINTR);
    return count == (ssize_t)len;
}

static mb_filter_step refuse_header(const mb_pending *pending, mb_metric *why) {
    mb_metric_inc(why);
    mb_metric_inc(pending->ingress->metrics.proxy_proto_error);
    return MB_STEP_REFUSE;
}

static mb_filter_step found_header(mb_pending *pending, const mb_proxy_protocol_config *config,
                                   const mb_proxy_header *header, size_t len) {
    const mb_proxy_metrics *metrics = &config->metrics;
    unsigned version = header->version - 1u;
    if (config->disallowed[version]) {
        return refuse_header(pending, metrics->disallowed[version]);
    }
    bool named = header->source.length > 0;
    if (named && !(is_unicast(&header->source) && is_unicast(&header->destination))) {
        return refuse_header(pending, metrics->error[version]);
    }
    /* Before the bytes it points to are read over. */
    if (take_proxy_header(pending, config, header) != MB_OK) {
        return out_of_memory(pending);
    }
    if (!consume(pending, len)) {
        return without_bytes(pending, MB_EIO);
    }
    mb_metric_inc(metrics->found[version]);
    return MB_STEP_NEXT;
}

static mb_filter_step run_proxy(mb_pending *pending, const mb_proxy_protocol_config *config) {
    const mb_proxy_metrics *metrics = &config->metrics;
    mb_slice bytes;
    mb_proxy_header header;
    int result = peek(pending, MB_PROXY_V2_MAX_BYTES, &bytes);
    if (result != MB_OK) {
        return without_bytes(pending, result);
    }
    int64_t len = mb_proxy_read(bytes, MB_PROXY_V2_MAX_BYTES, &header);
    if (len > 0) {
        return found_header(pending, config, &header, (size_t)len);
    }
    if (len == MB_EAGAIN) {
        return MB_STEP_WAIT;
    }
    if (len != MB_ENOTFOUND) {
        return refuse_header(pending, metrics->error[bytes.ptr[0] != 'P']);
    }
    if (config->allow_without) {
        mb_metric_inc(metrics->not_found_allowed);
        return MB_STEP_NEXT;
    }
    return refuse_header(pending, metrics->not_found_disallowed);
}

/* -- TLS inspector ------------------------------------------------------------------------- */

static int note_alpn(mb_origin *origin, mb_slice alpn) {
    mb_slice rest = alpn, name;
    uint32_t count = 0;
    while (mb_alpn_next(&rest, &name)) {
        count++;
    }
    mb_slice *names = mb_arena_alloc(&origin->arena, count * sizeof(*names));
    if (names == NULL) {
        return MB_ENOMEM;
    }
    int result = MB_OK;
    rest = alpn;
    for (uint32_t i = 0; mb_alpn_next(&rest, &name) && result == MB_OK; i++) {
        result = mb_arena_dup(&origin->arena, name, &names[i]);
    }
    origin->application_protocols = names;
    origin->application_protocol_count = result == MB_OK ? count : 0;
    return result;
}

static int note_name(mb_origin *origin, mb_slice name) {
    char *lower = mb_arena_bytes(&origin->arena, name.len);
    if (lower == NULL) {
        return MB_ENOMEM;
    }
    for (size_t i = 0; i < name.len; i++) {
        lower[i] = mb_ascii_lower(name.ptr[i]);
    }
    origin->server_name = mb_slice_of(lower, name.len);
    return MB_OK;
}

static mb_filter_step found_tls(mb_pending *pending, const mb_tls_inspector_metrics *metrics,
                                const mb_client_hello *hello, size_t len) {
    mb_origin *origin = origin_of(pending);
    if (origin == NULL || (hello->alpn.len > 0 && note_alpn(origin, hello->alpn) != MB_OK) ||
        note_name(origin, hello->server_name) != MB_OK) {
        return out_of_memory(pending);
    }
    origin->transport_protocol = MB_SLICE_LIT("tls");
    mb_metric_inc(metrics->tls_found);
    mb_metric_inc(hello->alpn.len > 0 ? metrics->alpn_found : metrics->alpn_not_found);
    mb_metric_inc(hello->server_name.len > 0 ? metrics->sni_found : metrics->sni_not_found);
    mb_metric_record(metrics->bytes_processed, len);
    return MB_STEP_NEXT;
}

static mb_filter_step run_tls(mb_pending *pending, const mb_tls_inspector_config *config) {
    mb_slice bytes;
    mb_text joined;
    mb_client_hello hello;
    int result = peek(pending, config->max_bytes, &bytes);
    if (result != MB_OK) {
        return without_bytes(pending, result);
    }
    mb_text_init(&joined, pending->ingress->worker->allocator, MB_CLIENT_HELLO_MAX_BYTES);
    int64_t len = mb_client_hello_read(bytes, config->max_bytes, &joined, &hello);
    mb_filter_step step = MB_STEP_NEXT;
    if (len > 0) {
        step = found_tls(pending, &config->metrics, &hello, (size_t)len);
    } else if (len == MB_EAGAIN) {
        step = MB_STEP_WAIT;
    } else if (len == MB_ELIMIT) {
        mb_metric_inc(config->metrics.client_hello_too_large);
        step = MB_STEP_REFUSE;
    } else if (len == MB_ENOMEM) {
        step = out_of_memory(pending);
    } else if (config->close_on_error) {
        step = MB_STEP_REFUSE;
    } else {
        mb_metric_inc(config->metrics.tls_not_found);
    }
    mb_text_fini(&joined);
    return step;
}

/* -- HTTP inspector ------------------------------------------------------------------------ */

static mb_filter_step found_http(mb_pending *pending, mb_http_kind kind) {
    mb_origin *origin = origin_of(pending);
    mb_slice *name = origin != NULL ? mb_arena_alloc(&origin->arena, sizeof(*name)) : NULL;
    if (name == NULL) {
        return out_of_memory(pending);
    }
    *name = mb_http_kind_name(kind);
    origin->application_protocols = name;
    origin->application_protocol_count = 1;
    return MB_STEP_NEXT;
}

static mb_filter_step run_http(mb_pending *pending, const mb_http_inspector_metrics *metrics) {
    if (pending->origin != NULL && pending->origin->transport_protocol.len > 0) {
        return MB_STEP_NEXT; /* TLS: what is inside nobody can see yet */
    }
    mb_slice bytes;
    mb_http_kind kind;
    int result = peek(pending, MB_HTTP_INSPECT_MAX_BYTES, &bytes);
    if (result != MB_OK) {
        return without_bytes(pending, result);
    }
    result = mb_http_inspect_next(&pending->http, bytes, &kind);
    switch (result) {
    case MB_OK:
        mb_metric_inc(metrics->found[kind]);
        return found_http(pending, kind);
    case MB_EAGAIN:
        return MB_STEP_WAIT;
    case MB_ELIMIT:
        mb_metric_inc(metrics->read_error);
        return MB_STEP_REFUSE;
    default:
        mb_metric_inc(metrics->http_not_found);
        return MB_STEP_NEXT;
    }
}

/* -- original destination and source ------------------------------------------------------- */

static mb_filter_step run_original_dst(mb_pending *pending) {
    mb_address found;
    if (mb_socket_original_destination(pending->fd, &found)) {
        if (origin_of(pending) == NULL) {
            return out_of_memory(pending);
        }
        pending->local = found;
    }
    return MB_STEP_NEXT;
}

static mb_filter_step run_original_src(mb_pending *pending, const mb_original_src_config *config) {
    mb_origin *origin = origin_of(pending);
    if (origin == NULL) {
        return out_of_memory(pending);
    }
    origin->use_source = true;
    origin->source = (mb_source){.address = pending->remote, .mark = config->mark};
    mb_address *address = &origin->source.address;
    if (!config->bind_port && address->length > 0 && address->sa.sa_family == AF_INET) {
        address->in.sin_port = 0;
    } else if (!config->bind_port && address->length > 0 && address->sa.sa_family == AF_INET6) {
        address->in6.sin6_port = 0;
    }
    return MB_STEP_NEXT;
}

mb_filter_step mb__listener_filter_run(mb_pending *pending,
                                       const mb_listener_filter_config *filter) {
    switch (filter->kind) {
    case MB_PROXY_PROTOCOL:
        return run_proxy(pending, &filter->proxy);
    case MB_TLS_INSPECTOR:
        return run_tls(pending, &filter->tls);
    case MB_HTTP_INSPECTOR:
        return run_http(pending, &filter->http);
    case MB_ORIGINAL_DST:
        return run_original_dst(pending);
    default:
        return run_original_src(pending, &filter->source);
    }
}
