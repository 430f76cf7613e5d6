/*
 * What the files of a connection's chain share: network_chain.c (life, what was asked for),
 * network_walk.c (the way of the bytes), network_hooks.c (calls), network_host.c.
 */
#ifndef MB_FILTER_NETWORK_WALK_H
#define MB_FILTER_NETWORK_WALK_H

#include "filter/metadata.h"
#include "filter/network_chain.h"

typedef enum mb_network_position {
    MB_NETWORK_OPEN = 0,
    MB_NETWORK_STOPPED,
    MB_NETWORK_PENDING
} mb_network_position;

/* Bytes at a filter; made when first needed, in the connection's arena. */
typedef struct mb_network_hold {
    mb_buffer kept;     /* its hook had them and did not pass them on */
    mb_buffer unseen;   /* came while it was pending, or before it knew of the connection */
    mb_buffer outgoing; /* added by the filter */
} mb_network_hold;

/* One direction of a filter. */
typedef struct mb_network_way {
    mb_network_hold *hold; /* NULL: nothing was ever held */
    uint8_t position;      /* mb_network_position */
    bool kept_end, unseen_end;
    bool ended; /* the end was passed on: no further hook */
    bool resume_asked, finish_asked;
    int finish_status;
} mb_network_way;

typedef struct mb_network_slot {
    mb_network_filter filter; /* first: a filter is its slot */
    const mb_network_entry *entry;
    mb_network_way way[2]; /* by mb_network_direction */
    bool touched;          /* a hook ran: event and destroy are due */
} mb_network_slot;

struct mb_connection {
    mb_stage stage; /* first: a stage is its connection */
    mb_worker *worker;
    const mb_network_chain *chain;
    mb_network_slot *slots; /* chain->count, in the arena */
    mb_arena arena;
    uint64_t id;
    mb_slice listener, cluster;
    mb_origin *origin; /* one reference, or NULL */
    mb_address upstream;
    mb_metadata_store metadata;
    size_t limit_bytes;
    size_t read_held_bytes;
    void *keeper;
    void (*release)(void *keeper);
    uint64_t start_us, start_wall_us, end_us; /* `end_us` 0: open */
    uint32_t opened_count;                    /* filters that know of the connection */
    bool connected;                           /* and the owner too */
    bool in_hook;
    uint8_t hook_direction; /* of the running hook: its `resume` is part of its answer */
    bool asked;             /* something that `settle` acts on */
    bool any_hold;
    bool ended[2]; /* the end came into the chain */
    bool close_asked;
    uint8_t close_kind; /* mb_network_close */
    mb_slice close_details;
    bool closed;
    mb_close_reason close_reason;
    mb_task action_task; /* acts on what was asked for outside of a hook */
    mb_task end_task;    /* the last hooks, and the memory */
};

/* Positions count in walk order: 0 is the first filter for READ, the last one for WRITE. */
static inline mb_network_slot *mb__network_slot(mb_connection *connection, int direction,
                                                uint32_t at) {
    uint32_t index = direction == MB_NETWORK_READ ? at : connection->chain->count - 1 - at;
    return &connection->slots[index];
}
static inline uint32_t mb__network_position(const mb_connection *connection, int direction,
                                            uint32_t index) {
    return direction == MB_NETWORK_READ ? index : connection->chain->count - 1 - index;
}
/* The walk of a direction is over: nobody wants what it has. */
static inline bool mb__network_over(const mb_connection *connection, int direction) {
    return connection->closed || (connection->close_asked && direction == MB_NETWORK_READ);
}

/* network_walk.c. Each may call hooks and the owner; the connection may be closed afterwards. */

/* Gives `data`, which is emptied, and the end to the filter at `at` and those behind it. */
void mb__network_walk(mb_connection *connection, int direction, uint32_t at, mb_buffer *data,
                      bool end);
/* Lets the filters behind those that know of the connection know of it, as far as they allow. */
void mb__network_open(mb_connection *connection);
/* Opens a filter and passes on what it keeps, then shows it what it has not seen. */
void mb__network_release(mb_connection *connection, int direction, uint32_t at);
/* Acts on the status of a hook that was pending. */
void mb__network_finish(mb_connection *connection, int direction, uint32_t at, int status);
/* Passes on what the filter at `at` added outside of a hook of that direction. */
void mb__network_emit(mb_connection *connection, int direction, uint32_t at);
/* The hold of a filter, made when missing. NULL: out of memory. */
mb_network_hold *mb__network_hold(mb_connection *connection, mb_network_way *way);

/* network_chain.c. Ends the connection as if a filter had asked for it. */
void mb__network_close(mb_connection *connection, mb_network_close kind, mb_slice details);
/* What was noted is acted on when the running hook returns, or in the next turn. */
void mb__network_act_soon(mb_connection *connection);
void mb__network_deliver_post(mb_connection *connection, mb_network_slot *slot, uint64_t event);

/* network_hooks.c */
int mb__network_hook_open(mb_connection *connection, mb_network_slot *slot);
int mb__network_hook_data(mb_connection *connection, mb_network_slot *slot, int direction,
                          mb_buffer *data, bool end);
void mb__network_hook_scheduled(mb_connection *connection, mb_network_slot *slot, uint64_t event);
/* `event` and `destroy` of all filters that had any hook. */
void mb__network_hooks_end(mb_connection *connection);

/* network_host.c: `mb_host.network` */
extern const mb_network_host mb_network_host_functions;

#endif
