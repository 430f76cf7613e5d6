/*
 * Client: one upstream connection with its codec, and the requests that it serves.
 *
 * CONNECTING -> IDLE (no request), READY (some, and room for more), BUSY (no room) -> CLOSED. One
 * that carries many streams (HTTP/2) moves between the three; HTTP/1 is never READY.
 * `draining`: takes no further request and closes after the last one (GOAWAY, too old, too many
 * requests, its host or cluster is gone).
 *
 * An HTTP/1 connection is used again only when request and response are both complete, the codec
 * agrees, nothing lies in its input and the upstream has not ended its side. Bytes or an end on an
 * idle one close it: what was not asked for must never be taken for the answer to the next request.
 * HTTP/2 has stream ids for that; its idle connections read SETTINGS, PING and GOAWAY.
 *
 * Streams. Each request that runs has an mb_client_stream: the codec's part of the stream and the
 * buffer that pieces of its body come in. It is the client's, not the request's, since an owner's
 * memory may go with the event that ends the response, while the codec is still in that event. The
 * request leaves its stream before the owner hears of the end; the stream is used again when the
 * event is over. HTTP/1 has the one embedded in the client.
 *
 * Re-entrancy: events of the codec reach the router, which may cancel this request or others,
 * begin new ones, or finish streams. So a client is closed only when the codec is off the stack and
 * freed at the end of the turn; lists are walked by taking from the front.
 */
#ifndef MB_UPSTREAM_CLIENT_H
#define MB_UPSTREAM_CLIENT_H

#include "net/h2_keepalive.h"
#include "upstream/pool.h"

struct mb_client_stream {
    mb_codec_stream codec;        /* first */
    mb_buffer body;               /* pieces of response body */
    mb_upstream_request *request; /* NULL: over for its owner */
    mb_list_node node;            /* in `running` of the client, or in `spare` */
    bool paused;
    bool in_event; /* an event of it is on the stack */
    bool answered; /* something of a response came */
};

struct mb_client {
    mb_list_node node; /* in the pool's list of its state */
    mb_pool *pool;
    mb_upstream_host *host; /* one reference; keeps the pool too */
    mb_conn *conn;
    mb_codec *codec; /* NULL: TLS has to agree on the protocol first */
    mb_list running; /* streams with a request */
    uint32_t running_count;
    mb_client_state state;
    bool multiplexed; /* the codec carries many streams */
    bool raw;         /* the codec knows no HTTP: the end of a tunnel */
    bool in_codec;    /* the codec is on the stack */
    bool complete;    /* HTTP/1: the last request and its response both ended */
    bool broken;      /* the codec takes nothing more */
    bool full;        /* many streams: the codec had no room for one more */
    bool heard;       /* many streams: bytes came, so the peer's SETTINGS did */
    bool draining;
    bool ending;   /* the connection is at its end: what resets a stream now is that */
    bool end_owed; /* the upstream ended, but what it sent is not delivered yet */
    bool flushing; /* closes when what a tunnel has still to say to the upstream has left */
    bool cut;      /* requests ran when the connection ended */
    mb_task free_task;
    mb_task work_task; /* what could not be done within another call */
    uint64_t created_us, idle_since_us;
    uint64_t read_us;                       /* many streams: when bytes came last */
    uint64_t served;                        /* requests begun */
    uint64_t counted_read, counted_written; /* of the connection's bytes, in the statistics */
    mb_client_stream only;                  /* HTTP/1's stream */
    mb_list spare;                          /* many streams: for use again */
    mb_h2_keepalive keepalive;
    mb_timer settings_timer; /* many streams: for those that wait for the peer's SETTINGS */
};

/* Begins to connect; in the pool's connecting list. NULL: out of memory. */
mb_client *mb_client_new(mb_pool *pool);
/* Reserves a stream for a request, without any callback. MB_OK: mb_client_start follows at once;
 * MB_EAGAIN: no room at present; MB_ECLOSED: takes none any more; other errors: fails. */
int mb_client_begin(mb_client *client, mb_upstream_request *request);
/* The request runs: it hears `on_ready`, and may be over when this returns. */
void mb_client_start(mb_client *client, mb_upstream_request *request);
/* The request is over for its owner. */
void mb_client_cancel(mb_client *client, mb_upstream_request *request);
/* Leaves the pool and dies. `remote`: the upstream's doing, for the statistics. Idempotent. */
void mb_client_close(mb_client *client, bool remote);
/* Takes no further request: closed at once when none runs and the codec is off the stack. */
void mb_client_drain(mb_client *client);
/* False: too old, or the upstream has ended its side. */
bool mb_client_usable(const mb_client *client);
/* True when a request may be begun on it now. */
bool mb_client_has_room(const mb_client *client);

#endif
