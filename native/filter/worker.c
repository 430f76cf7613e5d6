/*
 * Worker: makes and ends what the streams of one thread share.
 */
#include "filter/worker.h"
#include "filter/chain.h"
#include "filter/stream.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Chunks of free arenas that a worker keeps: 4 MiB. */
#define ARENA_CHUNKS_KEPT 2048

static void end_batch(mb_task *task) {
    mb_worker *worker = MB_LIST_ENTRY(task, mb_worker, batch_task);
    worker->batch_open = false;
    for (mb_module_ref *module = worker->modules; module != NULL; module = module->next) {
        if (module->in_batch) {
            module->in_batch = false;
            module->module.on_batch_end(module->module.context);
        }
    }
}

static int define_metrics(mb_worker *worker) {
    mb_worker_metrics *metrics = &worker->metrics;
    const struct {
        const char *name;
        mb_metric **out;
    } counters[] = {
        {"filter.hooks", &metrics->hooks},
        {"filter.local_replies", &metrics->local_replies},
        {"filter.resets", &metrics->resets},
        {"filter.content_length_mismatch", &metrics->content_length_mismatch},
    };
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        mb_slice name = {counters[i].name, strlen(counters[i].name)};
        int rc = mb_stats_define(worker->stats, MB_COUNTER, name, NULL, 0, counters[i].out);
        if (rc < 0) {
            return rc;
        }
    }
    return MB_OK;
}

int mb_worker_init(mb_worker *worker, const mb_allocator *allocator, const mb_clock *clock,
                   const mb_logger *logger, uint32_t index) {
    memset(worker, 0, sizeof(*worker));
    worker->allocator = allocator;
    worker->clock = clock;
    worker->logger = *logger;
    worker->index = index;
    worker->batch_task.run = end_batch;
    mb_arena_pool_init(&worker->arenas, allocator, ARENA_CHUNKS_KEPT);
    if (mb_random_init(&worker->random) < 0) {
        return MB_EIO;
    }
    mb_stats_init(&worker->stats_registry, allocator, mb_random_u64(&worker->random));
    worker->stats = &worker->stats_registry;
    mb_map_init(&worker->connections, allocator, mb_random_u64(&worker->random));
    worker->slabs = mb_slab_pool_new(allocator);
    mb_poller *poller = mb_epoll_new(allocator);
    if (worker->slabs == NULL || poller == NULL) {
        if (poller != NULL) {
            poller->vtable->free(poller);
        }
        mb_worker_fini(worker);
        return worker->slabs == NULL ? MB_ENOMEM : MB_EIO;
    }
    worker->loop = mb_loop_new(allocator, clock, poller);
    if (worker->loop == NULL || define_metrics(worker) < 0) {
        mb_worker_fini(worker);
        return MB_ENOMEM;
    }
    mb_net_init(&worker->net, allocator, worker->loop, worker->slabs);
    return MB_OK;
}

void mb_worker_fini(mb_worker *worker) {
    mb_stream_table_fini(worker);
    mb_map_fini(&worker->connections);
    mb_net_fini(&worker->net);
    if (worker->loop != NULL) {
        mb_loop_free(worker->loop);
        worker->loop = NULL;
    }
    if (worker->slabs != NULL) {
        mb_slab_pool_free(worker->slabs);
        worker->slabs = NULL;
    }
    mb_stats_fini(&worker->stats_registry);
    mb_arena_pool_fini(&worker->arenas);
}

void mb_worker_log(mb_worker *worker, mb_log_level level, const char *component, const char *format,
                   ...) {
    if (worker->logger.log == NULL || level < worker->logger.level) {
        return;
    }
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (n < 0) {
        return;
    }
    size_t len = (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;
    worker->logger.log(worker->logger.ctx, level, (mb_slice){component, strlen(component)},
                       (mb_slice){line, len});
}
