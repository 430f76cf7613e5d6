/*
 * The server's own state, for the files of server/ only.
 */
#ifndef MB_SERVER_INTERNAL_H
#define MB_SERVER_INTERNAL_H

#include "base/list.h"
#include "config/snapshot.h"
#include "http/h2_stats.h"
#include "server/log_file.h"
#include <moebridge/core.h>
#include <pthread.h>
#include <stdatomic.h>

struct mb_watch; /* watch.c */

typedef struct mb_watches {
    struct mb_watch **by_fd; /* index: descriptor */
    uint32_t capacity;
    mb_ready *ready; /* what became ready, not taken yet */
    uint32_t ready_count, ready_capacity;
} mb_watches;

struct mb_server {
    mb_worker worker;
    const mb_allocator *allocator; /* outlives the server: leases may */
    mb_clock clock;
    mb_module_ref **added; /* by mb_server_add_module; one reference each */
    uint32_t added_count;
    mb_module_ref *native; /* the built-in filters */
    mb_snapshot *snapshot; /* the newest; NULL before the first apply */
    mb_list ingresses;     /* of mb_ingress, in the order of the configuration */
    mb_list draining;      /* removed by a reload, with connections left */
    mb_log_files logs;
    mb_watches watches;
    mb_metric *loop_iterations, *bytes_copied, *reloads, *reload_failures, *live;
    mb_metric *slab_leases, *send_batches, *sends_batched;
    mb_h2_counters h2_counters; /* of all HTTP/2 connections of clients */
    mb_h2_stats h2_stats;       /* ... published */
    uint64_t next_conn_id;
    pthread_t owner; /* the thread that runs it */
    mb_task yield_task;
    atomic_bool yield;
    bool started, is_draining;
    mb_timer drain_timer;
    char date[32]; /* of `date_second`, for the date header */
    uint64_t date_second;
};

/* http_date.c: RFC 9110 5.6.7, made once a second; valid in the turn. */
mb_slice mb__server_http_date(struct mb_server *server);
uint64_t mb__server_next_conn_id(struct mb_server *server);

/* server_apply.c: a copy that mb_text_free frees. MB_OK or MB_ENOMEM. */
int mb__server_text_out(mb_slice text, char **out);

/* watch.c */
void mb__watches_fini(mb_server *server);

void mb__server_close_all(mb_server *server);

/* stats_dump.c: makes readable for other threads what the worker counts elsewhere. Worker only. */
void mb__server_publish(mb_server *server);

#endif
