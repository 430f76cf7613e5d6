/*
 * Pool: the connections to one host, and the requests that wait for one.
 *
 * A request takes a connection that carries others already and has room (HTTP/2), else the idle one
 * that was used last (its caches are warm, and the others age out), else it waits in order of
 * arrival while a connection is made for it; whichever becomes free first, the new one or one in
 * use, takes the oldest request. How many requests a new connection will take is known of HTTP/1
 * (1) and guessed of HTTP/2: what the cluster allows, then what the upstream was seen to allow.
 * Circuit breakers of the cluster bound connections, waiting requests and running requests; a pool
 * without any connection may always make one, or its requests would wait for ever.
 *
 * The interface knows streams, not connections: ask for one, then either `on_ready` or
 * `on_failure`.
 *
 * Worker only. Source: Envoy, "Connection pooling".
 */
#ifndef MB_UPSTREAM_POOL_H
#define MB_UPSTREAM_POOL_H

#include "base/list.h"
#include "event/timer.h"
#include "http/codec.h"
#include "upstream/cluster.h"

typedef struct mb_pool mb_pool;
typedef struct mb_client mb_client; /* client.h */
typedef struct mb_client_stream mb_client_stream;
typedef struct mb_upstream_request mb_upstream_request;

/* Why a request ended without the end of a response. */
typedef enum mb_upstream_failure {
    MB_UPSTREAM_OVERFLOW,       /* a circuit breaker is open */
    MB_UPSTREAM_CONNECT_FAILED, /* the host refused, or cannot be reached */
    MB_UPSTREAM_CONNECT_LOCAL,  /* we have no socket or memory for a connection */
    MB_UPSTREAM_CONNECT_TIMEOUT,
    MB_UPSTREAM_TERMINATED, /* closed before the first byte of a response; HTTP/2: or within one */
    MB_UPSTREAM_RESET,      /* the upstream reset the stream; its connection lives on */
    MB_UPSTREAM_REFUSED,  /* the upstream has not processed it: may be sent again, whatever it is */
    MB_UPSTREAM_UNABLE,   /* HTTP/2 that takes no extended CONNECT */
    MB_UPSTREAM_PROTOCOL, /* not HTTP, or HTTP/1 cut within a response */
    MB_UPSTREAM_LOCAL,    /* given up by ourselves: out of memory */
    MB_UPSTREAM_NO_HOST   /* the cluster has none. TCP only: the router asks a host's pool */
} mb_upstream_failure;

/* Callbacks of a request. After `on_failure`, and after the event that ends the response, the pool
 * knows the request no more: its memory may go. They may call every function here. */
typedef struct mb_upstream_events {
    /* A connection is there: send. May come from within mb_pool_request. */
    void (*on_ready)(mb_upstream_request *request);
    /* `transport` says more in the words of the system, or is empty; valid in the call. May come
     * from within mb_pool_request. */
    void (*on_failure)(mb_upstream_request *request, mb_upstream_failure why, mb_slice transport);
    /* The response's head is in `request->headers`. */
    void (*on_headers)(mb_upstream_request *request, bool end_stream);
    void (*on_informational)(mb_upstream_request *request);
    void (*on_body)(mb_upstream_request *request, mb_buffer *data, bool end_stream);
    void (*on_trailers)(mb_upstream_request *request);
    /* What waits to be sent is above (at the low mark again) its high watermark: the connection's
     * output, of HTTP/2 the stream's own. */
    void (*on_pressure)(mb_upstream_request *request, bool above);
    /* Something will come soon: mb_io.prefetch. May be NULL. */
    void (*prefetch)(const mb_upstream_request *request);
} mb_upstream_events;

typedef enum mb_request_state {
    MB_REQUEST_NEW = 0,
    MB_REQUEST_WAITING, /* in the pool's queue */
    MB_REQUEST_EJECTED, /* about to fail with others */
    MB_REQUEST_RUNNING, /* has a connection */
    MB_REQUEST_OVER
} mb_request_state;

/* One attempt to have a request answered; embedded in its owner's state, zeroed at first. */
struct mb_upstream_request {
    const mb_upstream_events *events;
    /* The owner's, for the response; the maps are initialised. */
    mb_headers *headers, *trailers;
    mb_buffer *head; /* keeps the bytes of the head */
    bool head_request;
    bool tunnel; /* CONNECT or an upgrade: see mb_codec_stream */
    bool fresh;  /* not on a pooled connection */
    /* The pool's; to be read by the owner. */
    mb_request_state state;
    mb_upstream_host *host; /* one reference while it waits or runs; valid in the last callback */
    mb_pool *pool;          /* while it waits or runs */
    mb_client *client;      /* while it runs; `stream` too */
    mb_client_stream *stream;
    bool reused;      /* the connection has served others before */
    bool multiplexed; /* it carries others at the same time */
    bool sent;        /* when over: a byte of it was written to the socket */
    bool received;    /* when over: a byte of a response was read */
    /* When over: on the wire, as far as known. On a connection of many streams: of the bodies. */
    uint64_t bytes_sent, bytes_received;
    uint64_t sent_base, received_base;
    mb_list_node node; /* while it waits */
};

typedef enum mb_client_state {
    MB_CLIENT_CONNECTING,
    MB_CLIENT_IDLE,
    MB_CLIENT_READY,
    MB_CLIENT_BUSY,
    MB_CLIENT_CLOSED
} mb_client_state;

struct mb_pool {
    mb_upstream_host *host;            /* that it is a part of */
    mb_upstream_protocol protocol;     /* HTTP1, HTTP2 or AUTO */
    mb_list clients[MB_CLIENT_CLOSED]; /* by state; idle and ready: most recently used first */
    mb_slice proxy_header;             /* that its connections begin with; empty: none */
    const mb_source *source;           /* that its connections come from; NULL: any */
    mb_list pending;                   /* requests, oldest first */
    uint32_t client_count;             /* of those in memory, the closed ones too */
    uint32_t connecting_count, pending_count;
    uint32_t streams_guess; /* that a new connection will carry; >= 1 */
    mb_timer idle_timer;    /* for the oldest idle connection, armed lazily */
    bool many;              /* its connections carry many streams, as far as known */
    bool draining;          /* keeps no connection idle */
};

void mb_pool_init(mb_pool *pool, mb_upstream_host *host, mb_upstream_protocol protocol);
/* Nothing is in it any more. */
void mb_pool_fini(mb_pool *pool);

void mb_pool_request(mb_pool *pool, mb_upstream_request *request);
/* Gives a request up at any time; nothing of it is called back. Without effect when it is over. */
void mb_upstream_cancel(mb_upstream_request *request);
/* Closes what is idle now and the others after their request. Requests that wait are served. */
void mb_pool_drain(mb_pool *pool);

/* Sending, from `on_ready` on. Results as of mb_codec_vtable; on an error, cancel. */
int mb_upstream_send_headers(mb_upstream_request *request, const mb_headers *headers,
                             bool end_stream);
int mb_upstream_send_body(mb_upstream_request *request, mb_buffer *data, bool end_stream);
int mb_upstream_send_trailers(mb_upstream_request *request, const mb_headers *trailers);
/* Stops and restarts the response at its source. Without effect when the request is over. */
void mb_upstream_pause(mb_upstream_request *request, bool paused);
/* True while no byte of the request has been written to the socket. */
bool mb_upstream_unsent(const mb_upstream_request *request);
/* Our end of the connection. NULL when there is none. */
const mb_address *mb_upstream_local(const mb_upstream_request *request);
/* "HTTP/1.1" or "HTTP/2", constant. NULL when there is no connection. */
const char *mb_upstream_protocol_name(const mb_upstream_request *request);

/* -- between pool.c and client.c -------------------------------------------------------------- */

/* A client did not connect and is closed: all that waits fails with it. */
void mb__pool_connect_failed(mb_pool *pool, mb_upstream_failure why, mb_slice transport);
/* The client may have room: requests that wait take it; then it goes where it belongs, or is closed
 * when it is to go and carries nothing. */
void mb__pool_offer(mb_pool *pool, mb_client *client);
/* Moves the client to the list of a state. */
void mb__pool_place(mb_pool *pool, mb_client *client, mb_client_state state);
/* A client is closed: requests that wait may need another connection. */
void mb__pool_client_gone(mb_pool *pool);
/* True when nothing is in it and nothing refers to it. */
bool mb__pool_is_unused(const mb_pool *pool);
/* host.c: the last client or the last request that waits has gone. */
void mb__host_pool_unused(mb_pool *pool);
/* The last callback of a request. Drops its reference on the host. */
void mb__request_fail(mb_upstream_request *request, mb_upstream_failure why, mb_slice transport);

#endif
