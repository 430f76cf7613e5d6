/*
 * Stream: one request and its response, from the first byte to the access log. Everything above
 * the codec works on streams; HTTP/1 and HTTP/2 look the same here.
 *
 * Who does what: the connection manager (server/hcm) makes a stream, hands it the client's
 * message and receives the response; the chain (chain.c) walks both along the filters; the
 * router (upstream/) is the chain's end. All three meet in the functions below and nowhere else.
 *
 * Life: every function that may call hooks runs inside mb_stream_enter/leave. When the stream is
 * over (both sides ended, or reset) `ops->complete` is called once, by the outermost leave, so
 * nobody up the stack sees freed memory. Memory goes back to the worker's stream table.
 *
 * What a filter asks for (respond, resume, finish, reset) is noted in the stream. Inside a hook it
 * is acted on when that hook returns, elsewhere by `action_task` in the next turn of the loop: so
 * no function of the host ever calls a hook.
 */
#ifndef MB_FILTER_STREAM_H
#define MB_FILTER_STREAM_H

#include "filter/chain.h"
#include "http/codec.h"
#include "net/origin.h"

struct mb_route;    /* route/ */
struct mb_snapshot; /* config/ */

/* Envoy's response flags; `mb_response_flags_text` gives the short names. */
enum {
    MB_FLAG_NO_HEALTHY_UPSTREAM = 1 << 0,      /* UH */
    MB_FLAG_UPSTREAM_CONNECT_FAILURE = 1 << 1, /* UF */
    MB_FLAG_UPSTREAM_OVERFLOW = 1 << 2,        /* UO */
    MB_FLAG_NO_ROUTE = 1 << 3,                 /* NR */
    MB_FLAG_NO_CLUSTER = 1 << 4,               /* NC */
    MB_FLAG_DOWNSTREAM_TERMINATION = 1 << 5,   /* DC */
    MB_FLAG_UPSTREAM_TIMEOUT = 1 << 6,         /* UT */
    MB_FLAG_LOCAL_RESET = 1 << 7,              /* LR */
    MB_FLAG_UPSTREAM_REMOTE_RESET = 1 << 8,    /* UR */
    MB_FLAG_UPSTREAM_TERMINATION = 1 << 9,     /* UC */
    MB_FLAG_STREAM_IDLE_TIMEOUT = 1 << 10,     /* SI */
    MB_FLAG_DOWNSTREAM_PROTOCOL = 1 << 11,     /* DPE */
    MB_FLAG_UPSTREAM_PROTOCOL = 1 << 12,       /* UPE */
    MB_FLAG_UPSTREAM_MAX_DURATION = 1 << 13,   /* UMSDR */
    MB_FLAG_RETRY_LIMIT = 1 << 14,             /* URX */
    MB_FLAG_DURATION_TIMEOUT = 1 << 15,        /* DT */
    MB_FLAG_OVERLOAD = 1 << 16,                /* OM */
    MB_FLAG_DNS_FAILURE = 1 << 17              /* DF */
};

typedef struct mb_stream_info {
    uint64_t start_us, start_wall_us;
    uint64_t request_end_us;      /* last byte of the request received; 0 not yet */
    uint64_t upstream_start_us;   /* first byte of the request handed to an upstream */
    uint64_t upstream_headers_us; /* response head received from it */
    uint64_t response_start_us;   /* response head sent downstream */
    uint64_t end_us;
    uint64_t bytes_received, bytes_sent; /* bodies, as on the client's side */
    uint64_t header_bytes_received, header_bytes_sent;
    uint64_t upstream_bytes_sent, upstream_bytes_received;
    uint64_t connection_id;
    uint32_t response_code; /* 0: none was sent */
    uint32_t flags;         /* MB_FLAG_* */
    uint32_t attempts;
    const char *protocol;          /* constant */
    const char *upstream_protocol; /* constant; NULL: there was no upstream */
    const struct mb_tls_info *tls; /* the client's connection's; NULL: clear text */
    mb_slice details;              /* response code details; constant or in the arena */
    mb_slice termination_details;  /* connection termination details */
    mb_slice upstream_failure;     /* transport failure reason; constant or in the arena */
    mb_slice cluster;              /* owned by the snapshot */
    mb_slice listener;
    mb_slice original_path;  /* before rewrites; empty: the path was not rewritten */
    const mb_origin *origin; /* the connection's; NULL: no listener filter found out anything */
    /* NULL: none. The connection's own, where nothing else is said. */
    const mb_address *remote; /* trusted client address (x-forwarded-for rules: in the arena) */
    const mb_address *direct_remote; /* peer of the socket */
    const mb_address *local;
    const mb_address *upstream_remote, *upstream_local; /* in the arena */
} mb_stream_info;

/* What the route table answered for this stream; filled by ops->resolve_route. */
typedef struct mb_route_choice {
    const struct mb_route *route; /* NULL: none matched */
    mb_slice name, virtual_host;
    const mb_chain_override *overrides; /* one an entry of the chain, or NULL */
    uint64_t random; /* decides between weighted clusters, here and in the router */
} mb_route_choice;

/* What the connection manager does for its streams. */
typedef struct mb_stream_ops {
    /* The response as it left the filters. The chain calls them in order; `data` is emptied. */
    void (*send_headers)(mb_stream *stream, bool end_stream);
    void (*send_body)(mb_stream *stream, mb_buffer *data, bool end_stream);
    void (*send_trailers)(mb_stream *stream);
    void (*send_informational)(mb_stream *stream, const mb_headers *headers);
    /* Breaks the response off in a way that the client can tell. */
    void (*send_reset)(mb_stream *stream);
    void (*pause_request)(mb_stream *stream, bool paused);
    void (*resolve_route)(mb_stream *stream, mb_route_choice *out);
    /* Before the response headers go to the client: last look (date, server, via, ...). */
    void (*finish_response_headers)(mb_stream *stream);
    /* What the route adds to an answer of our own that the terminal did not make. NULL: nothing. */
    void (*decorate_local_reply)(mb_stream *stream);
    /* Over: statistics, access log. `mb_stream_free` follows. */
    void (*complete)(mb_stream *stream);
} mb_stream_ops;

/* Where a filter stands in a direction. */
typedef enum mb_filter_position {
    MB_POSITION_OPEN = 0,    /* passes on what its hooks let through */
    MB_POSITION_STOPPED,     /* STOP_ITERATION, STOP_AND_*: its own body hooks still run */
    MB_POSITION_STOPPED_ALL, /* STOP_ALL_*, or a pending hook: no hook until resume or finish */
} mb_filter_position;

/* The hook that answered MB_PENDING, by phase. */
typedef enum mb_pending_hook {
    MB_NOTHING_PENDING = 0,
    MB_HEADERS_PENDING,
    MB_BODY_PENDING,
    MB_TRAILERS_PENDING
} mb_pending_hook;

/* Body at a filter that does not pass it on; made when first needed, in the stream's arena. */
typedef struct mb_hold {
    mb_buffer seen;                       /* the filter's hook had it and stopped it */
    mb_buffer unseen;                     /* came while the filter was STOPPED_ALL */
    mb_buffer piece;                      /* of a body hook that is pending */
    bool seen_end, unseen_end, piece_end; /* the body's end came with it */
} mb_hold;

typedef struct mb_filter_slot {
    mb_filter filter; /* first: a filter is its slot */
    const mb_chain_entry *entry;
    uint32_t wants;
    mb_hold *hold[2];    /* by mb_direction; NULL: nothing was ever held */
    uint8_t position[2]; /* mb_filter_position */
    uint8_t pending[2];  /* mb_pending_hook */
    bool watermark[2];   /* what is held pauses the sender instead of failing at the limit */
    bool resume_asked[2];
    bool finish_asked[2];
    int finish_status[2];
    bool touched; /* a hook ran: destroy is due */
} mb_filter_slot;

/* Why a direction's source is paused; bits. */
enum { MB_PAUSE_HELD = 1, MB_PAUSE_SINK = 2 };

/* The walk of one direction. Positions count in walk order: 0 is the first filter of the chain
 * for requests, the last one for responses; `chain->count` is the end. */
typedef struct mb_side {
    uint32_t headers_at;  /* the position whose headers hook is next; count + 1: delivered */
    uint32_t trailers_at; /* the same for trailers, once they came */
    bool have_headers;    /* the head came into the chain */
    bool headers_only;    /* and it was the whole message */
    bool body_ended;      /* the last piece came into the chain */
    bool have_trailers;   /* trailers came into the chain */
    bool done;            /* the whole message left the chain */
    bool aborted;         /* nothing of this direction is walked any more */
    uint8_t pauses;       /* MB_PAUSE_* */
    bool paused;          /* what the source was told last */
} mb_side;

/* In the order of how it is made anew: what is cleared, what names the memory, what is set or reset
 * by itself. A stream that waits for its next request is in no cache: a line that nobody touches
 * costs nothing. */
struct mb_stream {
    mb_codec_stream codec; /* first: the codec's stream is ours */
    const mb_stream_ops *ops;
    void *owner;             /* the connection of the connection manager */
    mb_list_node owner_node; /* in its list of streams */
    const mb_chain *chain;
    mb_filter_slot *slots;        /* chain->count, in the arena */
    struct mb_snapshot *snapshot; /* one reference, kept to the end */
    void *terminal_state;         /* the router's, in the arena */
    mb_side side[2];
    mb_stream_info info;
    mb_route_choice choice;
    bool choice_made;
    void *metadata; /* metadata.c; NULL until first set */
    size_t buffer_limit;
    mb_local_reply *reply; /* asked for in a hook, not yet acted on; in the arena */
    mb_slice reset_details;
    bool reset_asked, resume_asked;
    bool in_hook;
    mb_task action_task; /* acts on what was asked for outside a hook */
    bool local_reply_sent;
    bool tunnel_waits; /* asks for a tunnel that no response has accepted yet */
    bool backed_up;    /* much of the response waits in the codec for the client's window */
    bool head_request;
    bool grpc_request;     /* as it came: what the client understands */
    bool response_started; /* the head went to the client */
    bool terminal_active;  /* the terminal has the request and is to be told of an early end */
    bool over;             /* nothing more will be walked; complete is due */
    bool completed;
    uint8_t depth; /* of enter/leave */
    /* -- not cleared */
    mb_timer idle_timer, request_timer, duration_timer; /* the connection manager's */
    mb_timer terminal_timer; /* the terminal's; all at rest when the stream is freed */
    mb_worker *worker;
    uint32_t index, generation; /* the id */
    mb_stream *next_free;
    mb_arena arena;
    mb_headers headers[2];   /* by mb_direction */
    mb_buffer head_bytes[2]; /* keep the bytes that the parsed heads point to */
    mb_buffer incoming;      /* the codec's pieces of request body */
    mb_headers trailers[2];
};

/* A stream out of the table, with empty headers; refs nothing yet. NULL: out of memory. */
mb_stream *mb_stream_new(mb_worker *worker, const mb_chain *chain, const mb_stream_ops *ops,
                         void *owner);
void mb_stream_free(mb_stream *stream);
mb_stream_id mb_stream_id_of(const mb_stream *stream);
mb_stream *mb_stream_find(mb_worker *worker, mb_stream_id id); /* NULL: gone */
/* Frees the memory of all streams of a worker that ends. */
void mb_stream_table_fini(mb_worker *worker);

/* -- from the connection manager ------------------------------------------------------------- */

void mb_stream_request_headers(mb_stream *stream, bool end_stream);
void mb_stream_request_body(mb_stream *stream, mb_buffer *data, bool end_stream);
void mb_stream_request_trailers(mb_stream *stream);
/* The client went away or broke the protocol: no more can be sent. Ends the stream. */
void mb_stream_client_gone(mb_stream *stream, uint32_t flag, mb_slice details);
/* The client's connection is above (below) its high watermark. */
void mb_stream_pause_response(mb_stream *stream, bool paused);

/* -- from the router ------------------------------------------------------------------------- */

void mb_stream_response_informational(mb_stream *stream, const mb_headers *headers);
void mb_stream_response_headers(mb_stream *stream, bool end_stream);
void mb_stream_response_body(mb_stream *stream, mb_buffer *data, bool end_stream);
void mb_stream_response_trailers(mb_stream *stream);
/* The upstream is above (below) its high watermark. */
void mb_stream_pause_request(mb_stream *stream, bool paused);

/* -- from both ------------------------------------------------------------------------------- */

/* Answers by ourselves: through the response hooks when no response was begun, straight to the
 * client when it was begun but not started on the wire, else the stream is reset. `text` is the
 * body (text/plain), may be empty; `flag` is added to the response flags. */
void mb_stream_local_reply(mb_stream *stream, uint32_t status, uint32_t flag, mb_slice details,
                           mb_slice text);
/* The same with headers of its own; `modify` (may be NULL) changes the response headers before
 * any response hook sees them. Slices of `reply` must live as long as the stream. */
typedef void (*mb_reply_modify_fn)(mb_stream *stream, void *ctx);
void mb_stream_local_reply_with(mb_stream *stream, uint32_t flag, const mb_local_reply *reply,
                                mb_reply_modify_fn modify, void *ctx);
/* A copy in the stream's arena, of the bytes that the address has. NULL: out of memory. */
const mb_address *mb_stream_keep_address(mb_stream *stream, const mb_address *address);
/* Breaks the stream off. */
void mb_stream_reset(mb_stream *stream, uint32_t flag, mb_slice details);
/* The route for the headers as they are; decided once until the cache is cleared. */
const mb_route_choice *mb_stream_route(mb_stream *stream);

static inline void mb_stream_enter(mb_stream *stream) {
    stream->depth++;
}
void mb_stream_leave(mb_stream *stream);

/* "UH,UF" or "-"; at most `max` bytes. Returns the length. */
size_t mb_response_flags_text(uint32_t flags, char *out, size_t max);

#endif
