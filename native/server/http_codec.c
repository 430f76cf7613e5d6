/*
 * Which codec a downstream connection gets, and how a connection of many streams says goodbye.
 *
 * The codec is the configured one; else what ALPN agreed on; else the first bytes decide: the
 * preface of HTTP/2 (RFC 9113 3.4) or anything else. It is awaited only as long as what came is a
 * part of the preface, and request_headers_timeout bounds that.
 *
 * Goodbye (RFC 9113 6.8): the first GOAWAY says that the end is near. A PING follows, and when its
 * answer comes the client has seen it: the second GOAWAY names the last stream, and the connection
 * closes with the last one. drain_timeout bounds the wait for the answer.
 *
 * Answers that wait for the client's windows after their stream is over for us are looked at every
 * stream_idle_timeout: one that has not moved since the last look is reset (tx_flush_timeout).
 */
#include "server/http_conn.h"

#include "base/alloc.h"
#include "base/prefetch.h"
#include "base/slice.h"
#include "net/tls.h"
#include "server/server_internal.h"

static const mb_slice preface = MB_SLICE_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/* Of a stream's answer that waits for the client's window, unless the limit is lower. */
#define STREAM_BUFFER_BYTES (64u * 1024u)

/* -- the choice -------------------------------------------------------------------------------- */

static mb_codec *make_h2(mb_http_conn *hc) {
    const mb_ingress *ingress = hc->base.ingress;
    mb_codec_options options = mb__http_conn_config(hc)->codec;
    /* The high watermark is crossed when more waits, and the end of that asks for the rest. */
    options.h2.output_bytes = ingress->config->buffer_limit_bytes;
    if (options.h2.output_bytes < STREAM_BUFFER_BYTES) {
        options.h2.stream_buffer_bytes = options.h2.output_bytes; /* 0 is the codec's default */
    }
    options.h2.counters = &ingress->server->h2_counters;
    options.h2.clock = ingress->worker->clock;
    return mb_h2_server_new(ingress->worker->allocator, &options, &mb__http_codec_events, hc);
}

static void on_dead(mb_h2_keepalive *keepalive) {
    mb_http_conn *hc = keepalive->conn->owner;
    hc->base.ingress->server->h2_counters.keepalive_timeout++;
    hc->closing = true;
    mb_conn_close(hc->base.conn, MB_CLOSE_NOW, 0);
}

/* From here on the connection has a codec, or is closing. */
static void choose(mb_http_conn *hc, mb_codec_type type) {
    const mb_http_metrics *metrics = mb__http_conn_metrics(hc);
    mb_worker *worker = hc->base.ingress->worker;
    bool many = type == MB_CODEC_HTTP2;
    mb_loop_disarm(&hc->head_timer);
    hc->codec =
        many ? make_h2(hc)
             : mb_h1_server_new(worker->allocator, &worker->arenas,
                                &mb__http_conn_config(hc)->codec, &mb__http_codec_events, hc);
    if (many && hc->codec != NULL) {
        hc->keepalive = mb_zalloc(worker->allocator, sizeof(*hc->keepalive));
        if (hc->keepalive == NULL) {
            hc->codec->vtable->free(hc->codec);
            hc->codec = NULL;
        }
    }
    if (hc->codec == NULL) {
        hc->closing = true;
        mb_conn_close(hc->base.conn, MB_CLOSE_FLUSH, 0);
        return;
    }
    mb_metric_inc(many ? metrics->cx_http2 : metrics->cx_http1);
    mb_conn_set_owner(hc->base.conn,
                      many ? &mb__http_many_streams_events : &mb__http_one_stream_events, hc);
    mb__http_conn_flush(hc);
    if (many) {
        mb_h2_keepalive_start(hc->keepalive, &mb__http_conn_config(hc)->h2_keepalive,
                              &hc->base.ingress->worker->random, hc->codec, hc->base.conn, on_dead);
    }
    if (hc->draining) {
        mb__http_say_goodbye(hc);
    }
}

/* What was agreed on in the handshake; AUTO: nothing that we know. */
static mb_codec_type alpn_type(const mb_http_conn *hc) {
    const mb_tls_info *tls = mb_transport_tls(hc->base.conn->transport);
    if (tls == NULL) {
        return MB_CODEC_AUTO;
    }
    if (mb_slice_equal(tls->alpn, MB_SLICE_LIT("h2"))) {
        return MB_CODEC_HTTP2;
    }
    bool one = mb_slice_equal(tls->alpn, MB_SLICE_LIT("http/1.1")) ||
               mb_slice_equal(tls->alpn, MB_SLICE_LIT("http/1.0"));
    return one ? MB_CODEC_HTTP1 : MB_CODEC_AUTO;
}

void mb__http_codec_find(mb_http_conn *hc) {
    mb_codec_type type = mb__http_conn_config(hc)->codec_type;
    type = type == MB_CODEC_AUTO ? alpn_type(hc) : type;
    if (type != MB_CODEC_AUTO) {
        choose(hc, type);
    }
}

static void on_connected(void *owner, mb_conn *conn) {
    (void)conn;
    mb__http_codec_find(owner);
}

/* True: the first bytes are, or as far as there are any could be, the preface. */
static bool may_be_preface(const mb_buffer *in) {
    char start[32];
    size_t length = mb_buffer_copy_out(in, 0, start, preface.len);
    return memcmp(start, preface.ptr, length) == 0;
}

static void on_first_data(void *owner, mb_conn *conn) {
    mb_http_conn *hc = owner;
    if (hc->closing) {
        return;
    }
    bool h2 = may_be_preface(&conn->in);
    if (h2 && conn->in.length < preface.len) {
        uint64_t timeout_us = mb__http_conn_config(hc)->timeouts.request_headers_us;
        if (timeout_us > 0 && !mb_timer_armed(&hc->head_timer)) {
            mb_loop_arm(hc->base.ingress->worker->loop, &hc->head_timer, timeout_us);
        }
        return;
    }
    choose(hc, h2 ? MB_CODEC_HTTP2 : MB_CODEC_HTTP1);
    if (!hc->closing) {
        conn->events->on_data(hc, conn);
    }
}

/* The end within the preface, or before the first byte. */
static void on_first_end(void *owner, mb_conn *conn) {
    mb_http_conn *hc = owner;
    if (!hc->closing) {
        choose(hc, MB_CODEC_HTTP1);
    }
    if (!hc->closing && conn->in.length > 0) {
        conn->events->on_data(hc, conn);
    }
    if (!hc->closing) {
        conn->events->on_read_end(hc, conn);
    }
}

static void on_early_close(void *owner, mb_conn *conn, mb_close_reason reason) {
    mb__http_one_stream_events.on_close(owner, conn, reason);
}

void mb__http_conn_prefetch(void *owner, unsigned step) {
    mb_http_conn *hc = owner;
    if (step == 2) {
        mb_prefetch(hc, sizeof(*hc));
        mb_prefetch(hc->codec, MB_CODEC_PREFETCH_BYTES);
    }
}

const mb_conn_events mb__http_codec_unknown_events = {
    .on_connected = on_connected,
    .on_data = on_first_data,
    .on_read_end = on_first_end,
    .on_close = on_early_close,
};

/* -- goodbye ----------------------------------------------------------------------------------- */

void mb__http_say_goodbye(mb_http_conn *hc) {
    mb_codec *codec = hc->codec;
    mb_buffer *out = &hc->base.conn->out;
    if (hc->goodbye != MB_GOODBYE_NOT) {
        return;
    }
    hc->goodbye = MB_GOODBYE_NEAR;
    codec->vtable->shut_down(codec, out);
    if (!codec->vtable->multiplexed) {
        return;
    }
    hc->acks_awaited = hc->keepalive->asked ? 2 : 1;
    (void)codec->vtable->ping(codec, out); /* where it fails the timer is left */
    mb__http_conn_flush(hc);
    mb_loop_arm(hc->base.ingress->worker->loop, &hc->drain_timer,
                mb__http_conn_config(hc)->timeouts.drain_us);
}

void mb__http_leave(mb_http_conn *hc) {
    mb_codec *codec = hc->codec;
    if (codec != NULL && codec->vtable->multiplexed && hc->goodbye == MB_GOODBYE_NOT &&
        !hc->read_ended && !mb__http_has_unfinished(hc)) {
        if (codec->vtable->reusable(codec)) {
            hc->draining = true;
            mb__http_say_goodbye(hc);
            return;
        }
        /* The client has said its own, and answers to no PING are to be had: what it may send yet
         * it finds behind the last stream. */
        hc->goodbye = MB_GOODBYE_SAID;
        codec->vtable->shut_down(codec, &hc->base.conn->out);
        codec->vtable->shut_down(codec, &hc->base.conn->out);
        mb__http_conn_flush(hc);
    }
    mb__http_conn_close_later(hc, MB_CLOSE_FLUSH_LINGER);
}

/* The client has seen that the end is near, or had the time to. */
static void goodbye_seen(mb_http_conn *hc) {
    if (hc->goodbye != MB_GOODBYE_NEAR || hc->closing) {
        return;
    }
    hc->goodbye = MB_GOODBYE_SAID;
    mb_loop_disarm(&hc->drain_timer);
    hc->codec->vtable->shut_down(hc->codec, &hc->base.conn->out);
    mb__http_conn_flush(hc);
    if (!hc->in_codec) {
        mb__http_conn_go_on(hc);
    }
}

void mb__http_on_ping_ack(void *owner) {
    mb_http_conn *hc = owner;
    mb_h2_keepalive_on_ack(hc->keepalive);
    if (hc->acks_awaited > 0 && --hc->acks_awaited == 0) {
        goodbye_seen(hc);
    }
}

void mb__http_on_drain_timeout(mb_timer *timer) {
    goodbye_seen(MB_LIST_ENTRY(timer, mb_http_conn, drain_timer));
}

/* -- answers that the client does not let in --------------------------------------------------- */

bool mb__http_has_unfinished(const mb_http_conn *hc) {
    return hc->codec != NULL && hc->codec->vtable->multiplexed && !hc->read_ended &&
           hc->codec->vtable->unfinished(hc->codec) > 0;
}

void mb__http_watch_unfinished(mb_http_conn *hc) {
    uint64_t timeout_us = mb__http_conn_config(hc)->timeouts.stream_idle_us;
    if (timeout_us > 0 && !hc->closing && !mb_timer_armed(&hc->flush_timer) &&
        mb__http_has_unfinished(hc)) {
        mb_loop_arm(hc->base.ingress->worker->loop, &hc->flush_timer, timeout_us);
    }
}

/* Where no other stream runs the idle timer comes first and ends the connection. */
void mb__http_on_flush_timeout(mb_timer *timer) {
    mb_http_conn *hc = MB_LIST_ENTRY(timer, mb_http_conn, flush_timer);
    if (!hc->closing) {
        hc->base.ingress->server->h2_counters.tx_flush_timeout +=
            hc->codec->vtable->expire(hc->codec, &hc->base.conn->out);
        mb__http_conn_flush(hc);
        mb__http_watch_unfinished(hc);
    }
}
