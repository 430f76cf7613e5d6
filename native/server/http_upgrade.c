/*
 * Upgrades and CONNECT: which of them are let through, and what else there is to one.
 *
 * A request that asks for a tunnel (RFC 9110 7.8 and 9.3.6, RFC 8441) looks the same from every
 * protocol: a GET with `upgrade`, or a CONNECT, that does not end with its head. What the client
 * sends behind the head is the tunnel's. It is let in only when a response has accepted, so that
 * nothing of it can be taken for a request by an upstream that declines; a declined one is an
 * ordinary exchange whose request never ended.
 *
 * The handshake of a WebSocket (RFC 6455 4.2) has a part that belongs to HTTP/1.1 alone: the key
 * and the answer to it. Between a client and an upstream of different protocols it is made here.
 */
#include "server/http_conn.h"

#include "base/base64.h"
#include "base/sha1.h"
#include "base/slice.h"
#include "http/message.h"

#define KEY_BYTES 16u
#define KEY_TEXT_BYTES 24u    /* base64 */
#define ACCEPT_TEXT_BYTES 28u /* base64 of a SHA-1 */

static const mb_slice guid = MB_SLICE_LIT("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
static const mb_slice websocket = MB_SLICE_LIT("websocket");
static const mb_slice key_name = MB_SLICE_LIT("sec-websocket-key");
static const mb_slice accept_name = MB_SLICE_LIT("sec-websocket-accept");

/* The kind of tunnel that is asked for; empty: none. */
static mb_slice kind_of(const mb_stream *stream) {
    if (stream->codec.upgrade_request) {
        return mb_headers_value(&stream->headers[MB_REQUEST], MB_TOKEN_UPGRADE);
    }
    return stream->codec.connect_request ? MB_SLICE_LIT("CONNECT") : (mb_slice){NULL, 0};
}

/* Also when there is no route: that has an answer of its own. */
static bool is_allowed(mb_stream *stream, const mb_hcm_config *config, mb_slice kind) {
    const mb_route *route = mb_stream_route(stream)->route;
    if (route == NULL) {
        return true;
    }
    const mb_upgrade *found = mb_upgrade_find(route->upgrades, route->upgrade_count, kind);
    if (found == NULL) {
        found = mb_upgrade_find(config->upgrades, config->upgrade_count, kind);
    }
    return found != NULL && found->enabled;
}

static bool is_websocket(const mb_stream *stream) {
    const mb_headers *request = &stream->headers[MB_REQUEST];
    return stream->codec.upgrade_request &&
           mb_slice_equal_nocase(mb_headers_value(request, MB_TOKEN_UPGRADE), websocket);
}

/* A client of HTTP/2 sends no key; an upstream of HTTP/1.1 asks for one. MB_OK, MB_ENOMEM. */
static int add_key(mb_stream *stream) {
    uint64_t random[KEY_BYTES / sizeof(uint64_t)];
    char text[KEY_TEXT_BYTES];
    mb_slice present;
    mb_headers *request = &stream->headers[MB_REQUEST];
    if (!is_websocket(stream) || mb_headers_get(request, key_name, 0, &present) >= 0) {
        return MB_OK;
    }
    random[0] = mb_random_u64(&stream->worker->random);
    random[1] = mb_random_u64(&stream->worker->random);
    mb_base64_encode((mb_slice){(const char *)random, sizeof(random)}, text);
    return mb_headers_set(request, key_name, (mb_slice){text, sizeof(text)});
}

/* An upstream of HTTP/2 answers no key; a client of HTTP/1.1 waits for that. MB_OK, MB_ENOMEM. */
static int add_accept(mb_stream *stream) {
    mb_slice key, present;
    mb_headers *response = &stream->headers[MB_RESPONSE];
    if (!is_websocket(stream) || mb_headers_get(response, accept_name, 0, &present) >= 0 ||
        mb_headers_get(&stream->headers[MB_REQUEST], key_name, 0, &key) < 0) {
        return MB_OK;
    }
    uint8_t digest[MB_SHA1_BYTES];
    char text[ACCEPT_TEXT_BYTES];
    char *joined = mb_arena_bytes(&stream->arena, key.len + guid.len);
    if (joined == NULL) {
        return MB_ENOMEM;
    }
    memcpy(joined, key.ptr, key.len);
    memcpy(joined + key.len, guid.ptr, guid.len);
    mb_sha1((mb_slice){joined, key.len + guid.len}, digest);
    mb_base64_encode((mb_slice){(const char *)digest, sizeof(digest)}, text);
    return mb_headers_set(response, accept_name, (mb_slice){text, sizeof(text)});
}

int mb__http_upgrade_request(mb_http_conn *hc, mb_stream *stream, const mb_hcm_config *config) {
    if (!stream->codec.upgrade_request && !stream->codec.connect_request) {
        return MB_OK;
    }
    if (!is_allowed(stream, config, kind_of(stream))) {
        mb_metric_inc(mb__http_conn_metrics(hc)->rq_ws_on_non_ws_route);
        mb__http_refuse(stream, 403, MB_SLICE_LIT("upgrade_failed"));
        return MB_EPROTO;
    }
    if (hc->codec->vtable->multiplexed && add_key(stream) < 0) {
        return MB_ENOMEM;
    }
    stream->tunnel_waits = true;
    hc->codec->vtable->pause(hc->codec, &stream->codec, true);
    return MB_OK;
}

static bool accepts(const mb_stream *stream, uint32_t status) {
    return stream->codec.upgrade_request ? status == 101 : status >= 200 && status < 300;
}

int mb__http_upgrade_response(mb_stream *stream) {
    if (!stream->tunnel_waits || !accepts(stream, mb_http_status(&stream->headers[MB_RESPONSE]))) {
        return MB_OK;
    }
    mb_headers *response = &stream->headers[MB_RESPONSE];
    int rc = add_accept(stream);
    if (rc == MB_OK && stream->codec.upgrade_request &&
        !mb_headers_has(response, MB_TOKEN_UPGRADE)) {
        mb_slice kind = mb_headers_value(&stream->headers[MB_REQUEST], MB_TOKEN_UPGRADE);
        rc = mb_headers_set_token(response, MB_TOKEN_UPGRADE, kind);
    }
    return rc;
}

void mb__http_upgrade_sent(mb_http_conn *hc, mb_stream *stream) {
    if (!stream->tunnel_waits || !stream->codec.tunnel_open) {
        return;
    }
    stream->tunnel_waits = false;
    mb_metric_inc(mb__http_conn_metrics(hc)->cx_upgrades);
    mb_metric_add(mb__http_conn_metrics(hc)->cx_upgrades_open, 1);
    mb_loop_rest(&stream->request_timer); /* a tunnel is no request that could be late */
    mb__http_stream_pause(hc, stream);
}

void mb__http_upgrade_recount(const mb_http_conn *hc, const mb_http_metrics *from,
                              const mb_http_metrics *to) {
    int64_t count = 0;
    MB_LIST_FOREACH(&hc->streams, node) {
        count += mb__http_upgrade_is_open(MB_LIST_ENTRY(node, mb_stream, owner_node));
    }
    mb_metric_add(from->cx_upgrades_open, -count);
    mb_metric_add(to->cx_upgrades_open, count);
}
