/*
 * Worker: what all streams of one thread share. The server (server/) makes it and runs its loop;
 * the layers between see this struct and no server.
 */
#ifndef MB_FILTER_WORKER_H
#define MB_FILTER_WORKER_H

#include "base/arena.h"
#include "base/random.h"
#include "base/stats.h"
#include "net/conn.h"
#include <moebridge/filter.h>

typedef struct mb_module_ref mb_module_ref;

/* Streams by index, so that an id finds its stream or learns that it has ended. Stream memory
 * stays with the worker until the worker ends; `generation` grows at each reuse. */
typedef struct mb_stream_table {
    mb_stream **streams;
    uint32_t count, capacity;
    mb_stream *free; /* LIFO: the warmest memory first */
    uint32_t active;
} mb_stream_table;

/* Numbers of contract 3 that the core itself counts. */
typedef struct mb_worker_metrics {
    mb_metric *hooks;                   /* filter.hooks: hooks called */
    mb_metric *local_replies;           /* filter.local_replies */
    mb_metric *resets;                  /* filter.resets */
    mb_metric *content_length_mismatch; /* filter.content_length_mismatch */
} mb_worker_metrics;

struct mb_worker {
    const mb_allocator *allocator;
    const mb_clock *clock;
    mb_logger logger;
    uint32_t index;
    mb_loop *loop;
    mb_net net;
    mb_slab_pool *slabs;
    mb_arena_pool arenas;
    mb_stats stats_registry;
    mb_stats *stats; /* &stats_registry */
    mb_random random;
    mb_hook_slot hook_slot;
    mb_stream_table table;
    mb_map connections; /* id -> mb_connection, of those with network filters */
    mb_worker_metrics metrics;
    /* The batch: begun by the first hook of a module that asked for on_batch_end. */
    mb_task batch_task;
    bool batch_open;
    mb_module_ref *modules; /* list; those with on_batch_end are told in batch_task */
};

int mb_worker_init(mb_worker *worker, const mb_allocator *allocator, const mb_clock *clock,
                   const mb_logger *logger, uint32_t index);
void mb_worker_fini(mb_worker *worker);

/* `format` as printf; does nothing below the logger's level. */
void mb_worker_log(mb_worker *worker, mb_log_level level, const char *component, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));

#endif
