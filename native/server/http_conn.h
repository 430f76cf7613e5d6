/*
 * HTTP connection manager: one downstream connection, its codec and its streams. It makes a
 * stream for every request, gives it to the chain, and puts what comes back on the wire
 * (http_stream.c). What belongs to requests as such stands in http_request.c.
 */
#ifndef MB_SERVER_HTTP_CONN_H
#define MB_SERVER_HTTP_CONN_H

#include "server/ingress.h"

typedef struct mb_http_conn {
    mb_list_node node; /* in ingress->conns */
    mb_ingress *ingress;
    mb_conn *conn;
    mb_codec *codec;
    mb_list streams; /* alive, by owner_node */
    mb_list dying;   /* over, to be freed when the codec has returned */
    uint32_t stream_count;
    uint32_t requests; /* streams begun on this connection */
    uint64_t id;
    uint64_t opened_us;
    mb_task reset_task;      /* mb__http_conn_break */
    mb_timer idle_timer;     /* no stream */
    mb_timer head_timer;     /* request_headers_timeout */
    mb_timer duration_timer; /* max_connection_duration */
    bool in_codec;           /* receive is on the stack */
    bool draining;           /* no further request */
    bool read_blocked;       /* much input waits in conn->in: reading is off */
    bool input_waits;        /* whole bytes of later requests are in conn->in */
    bool read_ended;         /* the client sends no more */
    bool above_high;
    bool closing;
} mb_http_conn;

/* Called by the ingress for each accepted socket, which it takes. */
void mb_http_conn_accept(mb_ingress *ingress, int fd, const mb_address *remote);
/* No further request: idle ones close now, others after their streams. */
void mb_http_conn_drain(mb_http_conn *hc);
/* Closes at once; streams see a client that went away. */
void mb_http_conn_close(mb_http_conn *hc);

/* -- between http_conn.c and http_stream.c --------------------------------------------------- */

extern const mb_stream_ops mb__http_stream_ops;

static inline const mb_hcm_config *mb__http_config(const mb_stream *stream) {
    return (const mb_hcm_config *)((const char *)stream->chain - offsetof(mb_hcm_config, chain));
}
static inline mb_http_conn *mb__http_conn_of(const mb_stream *stream) {
    return stream->owner;
}
void mb__http_stream_timers_start(mb_stream *stream);
void mb__http_stream_timers_stop(mb_stream *stream);
void mb__http_stream_activity(mb_stream *stream);
/* Input that waits in conn->in may be looked at again. */
void mb__http_conn_read_on(mb_http_conn *hc);
/* Closes a connection whose last response broke off: `reset` with RST, else after what is queued.
 * At the end of the turn: streams may be on the stack. */
void mb__http_conn_break(mb_http_conn *hc, bool reset);
/* The stream is over and accounted for: frees it and goes on with the connection. */
void mb__http_conn_stream_done(mb_http_conn *hc, mb_stream *stream);

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
