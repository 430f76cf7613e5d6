/*
 * An event that another thread posts to a filter, named by its stream or connection and its name:
 * it is looked up on the worker's thread, since it may be gone by then. For host.c, network_host.c.
 */
#ifndef MB_FILTER_POSTED_H
#define MB_FILTER_POSTED_H

#include "event/loop.h"
#include "filter/worker.h"

typedef struct mb_posted mb_posted;
struct mb_posted {
    mb_post post; /* first */
    mb_worker *worker;
    void (*deliver)(const mb_posted *posted); /* on the worker's thread */
    uint64_t id;                              /* of the stream or connection */
    uint64_t event;
    size_t bytes; /* of this block */
    char name[];  /* the filter's */
};

/* Copies `name`. MB_OK or MB_ENOMEM. Thread: any. */
int mb__posted_send(mb_worker *worker, void (*deliver)(const mb_posted *posted), uint64_t id,
                    const char *name, uint64_t event);

#endif
