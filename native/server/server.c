/*
 * The public interface of the core (core.h): makes a server, runs its loop, drains and ends it.
 * Configurations are applied in server_apply.c, foreign descriptors watched in watch.c, statistics
 * written in stats_dump.c.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "filter/builtin.h"
#include "filter/host.h"
#include "filter/module.h"
#include "server/ingress.h"
#include "server/server_internal.h"
#include <string.h>

const char *mb_version(void) {
    return "0.1.0";
}

const mb_host *mb_host_table(void) {
    return &mb_host_functions;
}

/* -- life -------------------------------------------------------------------------------------- */

static int define_metrics(mb_server *server) {
    const struct {
        mb_slice name;
        mb_metric_kind kind;
        mb_metric **out;
    } metrics[] = {
        {MB_SLICE_LIT("loop.iterations"), MB_COUNTER, &server->loop_iterations},
        {MB_SLICE_LIT("loop.send_batches"), MB_COUNTER, &server->send_batches},
        {MB_SLICE_LIT("loop.sends_batched"), MB_COUNTER, &server->sends_batched},
        {MB_SLICE_LIT("bridge.bytes_copied"), MB_COUNTER, &server->bytes_copied},
        {MB_SLICE_LIT("server.leases"), MB_GAUGE, &server->slab_leases},
        {MB_SLICE_LIT("server.live"), MB_GAUGE, &server->live},
        {MB_SLICE_LIT("listener_manager.lds.update_success"), MB_COUNTER, &server->reloads},
        {MB_SLICE_LIT("listener_manager.lds.update_rejected"), MB_COUNTER,
         &server->reload_failures},
    };
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        int rc = mb_stats_define(server->worker.stats, metrics[i].kind, metrics[i].name, NULL, 0,
                                 metrics[i].out);
        if (rc < 0) {
            return rc;
        }
    }
    /* Envoy's http2.* of downstream connections have no prefix. */
    int rc = mb_h2_stats_define(server->worker.stats, (mb_slice){NULL, 0}, &server->h2_stats);
    return rc < 0 ? rc : mb_log_files_init(&server->logs, &server->worker);
}

static void on_drain_timeout(mb_timer *timer) {
    mb_server *server = MB_LIST_ENTRY(timer, mb_server, drain_timer);
    mb__server_close_all(server);
}

static void yield_nothing(mb_task *task) {
    (void)task; /* that it was queued is enough: the wait returns at once */
}

int mb_server_new(const mb_server_options *options, mb_server **out) {
    const mb_allocator *allocator =
        options->allocator != NULL ? options->allocator : mb_allocator_default();
    mb_server *server = mb_zalloc(allocator, sizeof(*server));
    if (server == NULL) {
        return MB_ENOMEM;
    }
    server->allocator = allocator;
    server->clock = options->clock != NULL ? *options->clock : *mb_clock_default();
    mb_list_init(&server->ingresses);
    mb_list_init(&server->draining);
    server->drain_timer.on_expire = on_drain_timeout;
    server->yield_task.run = yield_nothing;
    server->owner = pthread_self();
    int rc = mb_worker_init(&server->worker, server->allocator, &server->clock, &options->logger,
                            options->worker_index);
    if (rc < 0) {
        mb_free(allocator, server, sizeof(*server));
        return rc;
    }
    if ((options->flags & MB_SERVER_NO_IO_URING) == 0) {
        mb_net_batch_sends(&server->worker.net);
    }
    rc = define_metrics(server);
    if (rc == MB_OK) {
        mb_text error;
        mb_text_init(&error, server->allocator, 1024);
        rc = mb_module_make(&server->worker, MB_SLICE_LIT("moebridge_native"), mb_builtin_module,
                            &error, &server->native);
        mb_text_fini(&error);
    }
    if (rc < 0) {
        mb_server_free(server);
        return rc;
    }
    *out = server;
    return MB_OK;
}

/* Turns without waiting until what died is freed: connections, streams, clusters. */
static void settle(mb_server *server) {
    for (int i = 0; i < 4; i++) {
        mb_loop_turn(server->worker.loop, 0);
        mb_slab_pool_collect(server->worker.slabs);
    }
}

static void release_ingresses(mb_list *list) {
    mb_list_node *node;
    while ((node = mb_list_pop_front(list)) != NULL) {
        mb_ingress_unref(MB_LIST_ENTRY(node, mb_ingress, node));
    }
}

void mb_server_free(mb_server *server) {
    const mb_allocator *allocator = server->allocator;
    mb__server_close_all(server);
    settle(server);
    release_ingresses(&server->ingresses);
    release_ingresses(&server->draining);
    mb_snapshot_unref(server->snapshot);
    settle(server);
    for (uint32_t i = 0; i < server->added_count; i++) {
        mb_module_release(server->added[i]);
    }
    mb_free(allocator, server->added, server->added_count * sizeof(*server->added));
    mb_module_release(server->native);
    mb_loop_disarm(&server->drain_timer);
    mb_loop_cancel(&server->yield_task);
    mb_log_files_fini(&server->logs);
    mb__watches_fini(server);
    mb_worker_fini(&server->worker);
    mb_free(allocator, server, sizeof(*server));
}

void mb_server_adopt_thread(mb_server *server) {
    server->owner = pthread_self();
    mb_slab_pool_adopt(server->worker.slabs);
}

mb_worker *mb_server_worker(mb_server *server) {
    return &server->worker;
}

const mb_hook_slot *mb_server_hook_slot(const mb_server *server) {
    return &server->worker.hook_slot;
}

void mb_server_set_log_level(mb_server *server, mb_log_level level) {
    server->worker.logger.level = level;
}

int mb_server_reopen_logs(mb_server *server) {
    return mb_log_files_reopen(&server->logs);
}

int mb_server_add_module(mb_server *server, const mb_module *module) {
    mb_module_ref **added =
        mb_resize(server->allocator, server->added, server->added_count * sizeof(*added),
                  (server->added_count + 1) * sizeof(*added));
    if (added == NULL) {
        return MB_ENOMEM;
    }
    server->added = added;
    mb_text error;
    mb_text_init(&error, server->allocator, 1024);
    int rc = mb_module_add(&server->worker, module, &error, &added[server->added_count]);
    if (rc < 0) {
        mb_worker_log(&server->worker, MB_LOG_ERROR, "server", "%.*s",
                      MB_TEXT_ARG(mb_text_view(&error)));
    }
    mb_text_fini(&error);
    added[server->added_count] = rc < 0 ? NULL : added[server->added_count];
    server->added_count++; /* its size, also where a refused module left NULL */
    return rc;
}

/* -- running ----------------------------------------------------------------------------------- */

static uint32_t count_connections(const mb_list *list) {
    uint32_t count = 0;
    MB_LIST_FOREACH(list, node) {
        const mb_ingress *ingress = MB_LIST_ENTRY(node, mb_ingress, node);
        count += ingress->conn_count + ingress->pending_count;
    }
    return count;
}

/* Listeners that a reload removed go when their last connection went. */
static void sweep_draining(mb_server *server) {
    MB_LIST_FOREACH(&server->draining, node) {
        mb_ingress *ingress = MB_LIST_ENTRY(node, mb_ingress, node);
        if (ingress->conn_count + ingress->pending_count == 0) {
            mb_list_remove(node);
            mb_ingress_unref(ingress);
        }
    }
}

static int run_bits(mb_server *server) {
    int bits = 0;
    if (server->watches.ready_count > 0) {
        bits |= MB_RUN_READY;
    }
    if (atomic_load_explicit(&server->yield, memory_order_relaxed) &&
        atomic_exchange(&server->yield, false)) {
        bits |= MB_RUN_YIELD;
    }
    if (server->is_draining && count_connections(&server->ingresses) == 0 &&
        count_connections(&server->draining) == 0) {
        bits |= MB_RUN_DRAINED;
    }
    return bits;
}

int mb_server_run(mb_server *server, int64_t timeout_us) {
    mb_loop *loop = server->worker.loop;
    mb_loop_refresh_time(loop);
    uint64_t deadline_us =
        timeout_us > 0 ? mb_loop_now_us(loop) + (uint64_t)timeout_us : UINT64_MAX;
    int bits;
    do {
        uint64_t wait_us = UINT64_MAX;
        if (timeout_us == 0 || server->is_draining) {
            wait_us = timeout_us == 0 ? 0 : 100000;
        }
        if (timeout_us > 0) {
            uint64_t now_us = mb_loop_now_us(loop);
            uint64_t left_us = deadline_us > now_us ? deadline_us - now_us : 0;
            wait_us = left_us < wait_us ? left_us : wait_us;
        }
        if (mb_loop_turn(loop, wait_us) < 0) {
            return MB_EIO;
        }
        mb_slab_pool_collect(server->worker.slabs);
        mb__server_publish(server);
        if (!mb_list_is_empty(&server->draining)) {
            sweep_draining(server);
        }
        bits = run_bits(server);
        if (timeout_us == 0 || (timeout_us > 0 && mb_loop_now_us(loop) >= deadline_us)) {
            bits |= MB_RUN_TIMEOUT;
        }
    } while (bits == 0);
    return bits;
}

void mb_server_yield(mb_server *server) {
    atomic_store(&server->yield, true);
    if (pthread_equal(pthread_self(), server->owner)) {
        mb_loop_defer(server->worker.loop, MB_PHASE_READ, &server->yield_task);
    } else {
        mb_loop_wake(server->worker.loop);
    }
}

/* -- draining ---------------------------------------------------------------------------------- */

void mb_server_drain(mb_server *server, uint64_t timeout_us) {
    if (server->is_draining) {
        return;
    }
    server->is_draining = true;
    mb_metric_set(server->live, 0);
    MB_LIST_FOREACH(&server->ingresses, node) {
        mb_ingress_drain(MB_LIST_ENTRY(node, mb_ingress, node));
    }
    mb_loop_arm(server->worker.loop, &server->drain_timer, timeout_us);
}

void mb__server_close_all(mb_server *server) {
    MB_LIST_FOREACH(&server->ingresses, node) {
        mb_ingress_close(MB_LIST_ENTRY(node, mb_ingress, node));
    }
    MB_LIST_FOREACH(&server->draining, removed) {
        mb_ingress_close(MB_LIST_ENTRY(removed, mb_ingress, node));
    }
}

uint64_t mb__server_next_conn_id(struct mb_server *server) {
    return ++server->next_conn_id;
}

/* -- listeners --------------------------------------------------------------------------------- */

size_t mb_server_listener_count(const mb_server *server) {
    size_t count = 0;
    MB_LIST_FOREACH(&server->ingresses, node) {
        const mb_ingress_address *at = MB_LIST_ENTRY(node, mb_ingress, node)->addresses;
        for (; at != NULL; at = at->next) {
            count++;
        }
    }
    return count;
}

int mb_server_listener(const mb_server *server, size_t index, const char **name,
                       const char **address) {
    MB_LIST_FOREACH(&server->ingresses, node) {
        const mb_ingress_address *at = MB_LIST_ENTRY(node, mb_ingress, node)->addresses;
        for (; at != NULL; at = at->next) {
            if (index-- == 0) {
                *name = at->name;
                *address = at->text;
                return MB_OK;
            }
        }
    }
    return MB_ENOTFOUND;
}
