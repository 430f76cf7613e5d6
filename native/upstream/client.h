/*
 * Client: one upstream connection with its codec, and the request that it serves.
 *
 * CONNECTING -> (request) BUSY <-> IDLE -> CLOSED. A connection is used again only when request
 * and response are both complete, the codec agrees, nothing lies in its input and the upstream has
 * not ended its side. Bytes or an end on an idle connection close it: what was not asked for must
 * never be taken for the answer to the next request.
 *
 * Re-entrancy: events of the codec reach the router, which may cancel the request or finish the
 * stream. So a client is closed only when the codec is off the stack, and freed at the end of the
 * turn.
 */
#ifndef MB_UPSTREAM_CLIENT_H
#define MB_UPSTREAM_CLIENT_H

#include "net/conn.h"
#include "upstream/pool.h"

typedef enum mb_client_state {
    MB_CLIENT_CONNECTING,
    MB_CLIENT_IDLE,
    MB_CLIENT_BUSY,
    MB_CLIENT_CLOSED
} mb_client_state;

struct mb_client {
    mb_list_node node; /* in the pool's list of its state */
    mb_pool *pool;
    mb_upstream_host *host; /* one reference; keeps the pool too */
    mb_conn *conn;
    mb_codec *codec;
    mb_codec_stream stream; /* HTTP/1: one at a time */
    mb_buffer body;         /* pieces of response body, empty outside of events */
    mb_upstream_request *request;
    mb_task free_task;
    mb_client_state state;
    bool in_codec; /* the codec is on the stack */
    bool complete; /* the last request and its response both ended */
    bool broken;   /* the codec takes nothing more */
    bool paused;
    bool end_owed; /* the upstream ended, but what it sent is not parsed yet */
    uint64_t created_us, idle_since_us;
    uint64_t served;                        /* requests begun */
    uint64_t counted_read, counted_written; /* of the connection's bytes, in the statistics */
};

/* Begins to connect; in the pool's connecting list. NULL: out of memory. */
mb_client *mb_client_new(mb_pool *pool);
/* Gives it a request, which hears `on_ready` (or `on_failure`). The client is in no list. */
void mb_client_attach(mb_client *client, mb_upstream_request *request);
/* The request is over for its owner. */
void mb_client_cancel(mb_client *client);
/* Leaves the pool and dies. `remote`: the upstream's doing, for the statistics. Idempotent. */
void mb_client_close(mb_client *client, bool remote);
/* False: too old, or the upstream has ended its side. */
bool mb_client_usable(const mb_client *client);

#endif
