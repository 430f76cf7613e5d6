/*
 * Pending: an accepted socket at the listener filters of its listener (accept.c). The filters run
 * in order; one that needs bytes peeks at them, so that whoever gets the connection finds all of
 * them in the socket, whatever transport that is. Only a PROXY header is read off.
 *
 * Waiting costs nothing: the socket is watched edge-triggered, so bytes that stay in the kernel's
 * buffer wake nobody, and each further segment does. (SO_RCVLOWAT would need to know how many bytes
 * are missing, which nobody does, and keeping the bytes here would need every transport to take
 * them.) What bounds it: bytes by the filters' own limits, time by listener_filters_timeout, number
 * by the listener's max_connections.
 *
 * The filters that run are those of the configuration that the socket met; the chain is looked for
 * in the newest one.
 */
#ifndef MB_SERVER_PENDING_H
#define MB_SERVER_PENDING_H

#include "net/http_inspect.h"
#include "net/proxy_protocol.h"
#include "server/downstream.h"

/* The longest that a filter looks at. */
#define MB_PENDING_PEEK_BYTES MB_PROXY_V2_MAX_BYTES

typedef struct mb_pending {
    mb_list_node node;     /* in ingress->pending */
    mb_ingress *ingress;   /* one reference */
    mb_snapshot *snapshot; /* one reference, for `config` */
    const mb_listener_config *config;
    uint32_t filter; /* the one that runs */
    int fd;
    mb_io io;         /* while it waits */
    bool watched;     /* `io` is with the poller */
    bool handed_over; /* by the listener that accepted it */
    bool hangup;      /* the client sends no more */
    mb_timer timer;
    mb_task free_task;
    mb_address remote;
    mb_address local;  /* without an address: the socket's */
    mb_origin *origin; /* one reference; NULL: nothing was found out */
    mb_http_inspect http;
} mb_pending;

typedef enum mb_filter_step {
    MB_STEP_NEXT = 0, /* the filter is done */
    MB_STEP_WAIT,     /* it needs more bytes */
    MB_STEP_REFUSE    /* the connection is to be closed; counted */
} mb_filter_step;

/* listener_filters.c: runs one filter with what is there. */
mb_filter_step mb__listener_filter_run(mb_pending *pending,
                                       const mb_listener_filter_config *filter);
/* accept.c: closes the socket and forgets it. */
void mb_pending_close(mb_pending *pending);

#endif
