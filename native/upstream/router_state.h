/*
 * The router's state of one stream, and what its files call of each other.
 *
 * router.c decides where a request goes, router_request.c sends it, router_response.c takes the
 * answer, router_reply.c answers itself. The state lives in the stream's arena; `over` ends all:
 * from then on nothing of the stream may be touched by an event, and no event comes.
 */
#ifndef MB_UPSTREAM_ROUTER_STATE_H
#define MB_UPSTREAM_ROUTER_STATE_H

#include "upstream/cluster_state.h"
#include "upstream/router.h"

/* Body that was sent but may have to be sent again; more is not kept for a second attempt. */
#define MB_ROUTER_REPLAY_BYTES_MAX (64u * 1024u)
/* How often a request is sent again that the upstream has refused to process. */
#define MB_ROUTER_REFUSALS_MAX 10

typedef struct mb_router_state {
    mb_upstream_request request; /* first: a request is its state */
    mb_stream *stream;
    const mb_router_config *config;
    const mb_route *route;
    const mb_weighted_cluster *weighted; /* or NULL */
    mb_cluster *cluster;                 /* the snapshot's; NULL: none was found */
    uint64_t timeout_us;                 /* 0: none */
    uint64_t complete_us;                /* when the request's end reached the router; 0: not yet */
    mb_buffer body;                      /* request body that waits for a connection */
    mb_buffer replay;                    /* a second reference to what was sent */
    bool replay_lost;                    /* too much was sent, or it has left */
    bool has_body;                       /* a byte of body came */
    bool ended;                          /* the request is complete */
    bool trailers;                       /* and ended with trailers */
    bool above;                          /* the connection's output is above its high watermark */
    bool paused;                         /* the request's source was told to stop */
    bool again;                          /* not the first attempt */
    bool retried, retry_held; /* the second attempt of a race; it counts in the circuit breaker */
    uint32_t refusals;        /* attempts made again after MB_UPSTREAM_REFUSED */
    bool response_started;
    bool over;
} mb_router_state;

static inline mb_router_state *mb__router_state(const mb_stream *stream) {
    return stream->terminal_state;
}

/* The request asks for a tunnel (an upgrade, CONNECT). */
static inline bool mb__router_is_tunnel(const mb_stream *stream) {
    return stream->codec.upgrade_request || stream->codec.connect_request;
}

/* router.c. Picks a host and asks its pool. */
void mb__router_attempt(mb_router_state *state);
/* Ends the router's part: timer, buffers, circuit breaker. Cancels what still runs. */
void mb__router_done(mb_router_state *state);
/* The same when both messages have ended: the request's source may go on. */
void mb__router_complete(mb_router_state *state);

/* router_request.c */
void mb__router_on_ready(mb_upstream_request *request);
void mb__router_on_pressure(mb_upstream_request *request, bool above);
void mb__router_send_body(mb_router_state *state, mb_buffer *data, bool end_stream);
void mb__router_send_trailers(mb_router_state *state);
void mb__router_update_pause(mb_router_state *state);
/* True when the attempt that just failed may be made again: see there. */
bool mb__router_may_retry(const mb_router_state *state, mb_upstream_failure why);
void mb__router_retry(mb_router_state *state, mb_upstream_failure why);

/* router_response.c */
extern const mb_upstream_events mb__router_events;

/* router_reply.c. Each ends the router's part; the stream may be freed when its caller leaves. */
void mb__router_reply_no_route(mb_stream *stream);
void mb__router_reply_redirect(mb_router_state *state);
void mb__router_reply_direct(mb_router_state *state);
/* The route made something of the request that can't be sent; `rc` says why. */
void mb__router_reply_bad_rewrite(mb_router_state *state, int rc);
void mb__router_reply_no_cluster(mb_router_state *state);
void mb__router_reply_no_host(mb_router_state *state);
void mb__router_reply_timeout(mb_router_state *state);
void mb__router_reply_failure(mb_router_state *state, mb_upstream_failure why, mb_slice transport);
void mb__router_reply_bad_length(mb_router_state *state);

static inline void mb__router_count(mb_metric *metric) {
    if (metric != NULL) {
        mb_metric_inc(metric);
    }
}

#endif
