/*
 * HTTP connection manager: one downstream connection, its codec and its streams. It makes a
 * stream for every request, gives it to the chain, and puts what comes back on the wire
 * (http_stream.c). What belongs to requests as such stands in http_request.c, which codec it is
 * and how it says goodbye in http_codec.c.
 */
#ifndef MB_SERVER_HTTP_CONN_H
#define MB_SERVER_HTTP_CONN_H

#include "server/downstream.h"

/* How far a connection of many streams has said goodbye: RFC 9113 6.8. */
typedef enum mb_goodbye {
    MB_GOODBYE_NOT = 0,
    MB_GOODBYE_NEAR, /* said that the end is near: streams that are on the way are still taken */
    MB_GOODBYE_SAID  /* named the last stream */
} mb_goodbye;

typedef struct mb_http_conn {
    mb_downstream base; /* first: a connection is its downstream */
    mb_codec *codec;    /* NULL until it is known what the client speaks */
    mb_list streams;    /* alive, by owner_node */
    mb_list dying;      /* over, to be freed when the codec has returned */
    uint32_t stream_count;
    uint32_t requests;       /* streams begun on this connection */
    mb_task reset_task;      /* mb__http_conn_break */
    mb_task receive_task;    /* what the codec held back for a stream that was paused, and an end */
    mb_timer idle_timer;     /* no stream */
    mb_timer head_timer;     /* request_headers_timeout */
    mb_timer duration_timer; /* max_connection_duration */
    mb_timer flush_timer;    /* answers that are over for us wait for the client's windows */
    mb_timer drain_timer;    /* from MB_GOODBYE_NEAR on, in case the client does not answer */
    mb_h2_keepalive *keepalive; /* NULL with HTTP/1 */
    uint8_t goodbye;            /* mb_goodbye */
    uint8_t acks_awaited;       /* until the client has seen MB_GOODBYE_NEAR */
    bool in_codec;              /* receive is on the stack */
    bool draining;              /* no further request */
    bool read_blocked;          /* much input waits in conn->in: reading is off */
    bool input_waits;           /* whole bytes of later requests are in conn->in */
    bool read_ended;            /* the client sends no more */
    bool above_high;
    bool closing;
} mb_http_conn;

/* The terminal of a chain with an HTTP connection manager takes a connection. MB_OK; MB_ENOMEM:
 * the transport is freed. */
int mb_http_conn_start(mb_ingress *ingress, const mb_filter_chain_config *chain,
                       const mb_accepted *accepted);

/* -- between http_conn.c and http_stream.c --------------------------------------------------- */

extern const mb_stream_ops mb__http_stream_ops;

static inline const mb_hcm_config *mb__http_config(const mb_stream *stream) {
    return (const mb_hcm_config *)((const char *)stream->chain - offsetof(mb_hcm_config, chain));
}
static inline const mb_hcm_config *mb__http_conn_config(const mb_http_conn *hc) {
    return hc->base.chain->hcm;
}
static inline const mb_http_metrics *mb__http_conn_metrics(const mb_http_conn *hc) {
    return &mb__http_conn_config(hc)->metrics;
}
static inline mb_http_conn *mb__http_conn_of(const mb_stream *stream) {
    return stream->owner;
}
void mb__http_stream_timers_start(mb_stream *stream);
void mb__http_stream_timers_stop(mb_stream *stream);
void mb__http_stream_activity(mb_stream *stream);
/* http_duration.c: the stream's route is known. */
void mb__http_stream_limit_duration(mb_stream *stream, const mb_route *route);
/* The codec is told whether the stream's request may come. */
void mb__http_stream_pause(mb_http_conn *hc, mb_stream *stream);
/* Input that waits, in conn->in or in the codec, may be looked at again. */
void mb__http_conn_read_on(mb_http_conn *hc);
/* What waits in a codec of many streams goes to the connection, as far as it takes it. */
void mb__http_conn_flush(mb_http_conn *hc);
/* No request after the present one, where the connection has one at a time. */
void mb__http_conn_last_request(mb_http_conn *hc);
/* Sends what is queued and closes, for good. */
void mb__http_conn_close_later(mb_http_conn *hc, mb_close_kind kind);
/* What the connection does next when no stream runs: closes, or waits for a request. */
void mb__http_conn_go_on(mb_http_conn *hc);
/* Closes a connection whose last response broke off: `reset` with RST, else after what is queued.
 * At the end of the turn: streams may be on the stack. */
void mb__http_conn_break(mb_http_conn *hc, bool reset);
/* The stream is over and accounted for: frees it and goes on with the connection. */
void mb__http_conn_stream_done(mb_http_conn *hc, mb_stream *stream);

/* http_codec.c. mb_conn_events.prefetch. */
void mb__http_conn_prefetch(void *owner, unsigned step);

extern const mb_codec_events mb__http_codec_events;
extern const mb_conn_events mb__http_one_stream_events;
extern const mb_conn_events mb__http_many_streams_events;

/* -- http_codec.c ------------------------------------------------------------------------------ */

/* Until the codec is known. */
extern const mb_conn_events mb__http_codec_unknown_events;
/* The transport is up: the codec is chosen, now or by the first bytes. */
void mb__http_codec_find(mb_http_conn *hc);
/* No further stream, in the codec's way. Idempotent. */
void mb__http_say_goodbye(mb_http_conn *hc);
/* No stream runs and none is to come: closes, where the client may have one on its way after the
 * goodbye. */
void mb__http_leave(mb_http_conn *hc);
void mb__http_on_ping_ack(void *owner);
void mb__http_on_drain_timeout(mb_timer *timer);
/* Answers that are over for us still wait in the codec, and may leave it. */
bool mb__http_has_unfinished(const mb_http_conn *hc);
/* They have as long as a stream without bytes has. */
void mb__http_watch_unfinished(mb_http_conn *hc);
void mb__http_on_flush_timeout(mb_timer *timer);

/* -- http_upgrade.c ---------------------------------------------------------------------------- */

/* Lets a request for a tunnel through or answers it (MB_EPROTO). MB_OK also for all others;
 * MB_ENOMEM. */
int mb__http_upgrade_request(mb_http_conn *hc, mb_stream *stream, const mb_hcm_config *config);
/* Before the response's head leaves: what accepts a tunnel is made complete. MB_OK, MB_ENOMEM. */
int mb__http_upgrade_response(mb_stream *stream);
/* The tunnel has begun, and is counted as one. */
static inline bool mb__http_upgrade_is_open(const mb_stream *stream) {
    return stream->codec.tunnel_open && !stream->tunnel_waits;
}
/* The connection's open ones are counted elsewhere from now on. */
void mb__http_upgrade_recount(const mb_http_conn *hc, const mb_http_metrics *from,
                              const mb_http_metrics *to);
/* It has left: the tunnel begins. */
void mb__http_upgrade_sent(mb_http_conn *hc, mb_stream *stream);

/* -- http_request.c ---------------------------------------------------------------------------- */

/* Makes the request's head ready for filters and routes: addresses, request id, x-forwarded-*,
 * path and authority. MB_OK; else an answer was sent instead. */
int mb__http_request_prepare(mb_http_conn *hc, mb_stream *stream);

/* Puts ours behind what a Via field says already. MB_OK, MB_ENOMEM. */
int mb__http_append_via(mb_headers *headers, mb_slice via);
/* Answers with nothing but a status and closes the connection afterwards, as Envoy does where it
 * refuses a request that is well-formed. */
void mb__http_refuse(mb_stream *stream, uint32_t status, mb_slice details);

/* -- access_log.c ------------------------------------------------------------------------------ */

void mb__access_log_stream(mb_stream *stream, const mb_hcm_config *config);

#endif
