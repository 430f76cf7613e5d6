/*
 * Applying a configuration: built aside, new listeners bound and log files opened, and only when
 * nothing can fail any more put in place of the old one. Streams keep the snapshot they began with.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "server/ingress.h"
#include "server/server_internal.h"
#include <string.h>

#define MAX_FAULT_BYTES (1024u * 1024u)

/* Which ingress serves a listener of the new configuration. */
typedef struct listener_plan {
    mb_ingress *ingress;
    bool is_new;
    mb_listener_metrics metrics; /* where it is not new */
} listener_plan;

void mb_text_free(char *text) {
    if (text != NULL) {
        const mb_allocator *allocator = mb_allocator_default();
        size_t bytes;
        memcpy(&bytes, text - sizeof(bytes), sizeof(bytes));
        mb_free(allocator, text - sizeof(bytes), bytes);
    }
}

int mb__server_text_out(mb_slice text, char **out) {
    size_t bytes = sizeof(bytes) + text.len + 1;
    char *block = mb_alloc(mb_allocator_default(), bytes);
    if (block == NULL) {
        return MB_ENOMEM;
    }
    memcpy(block, &bytes, sizeof(bytes));
    memcpy(block + sizeof(bytes), text.ptr, text.len);
    block[bytes - 1] = '\0';
    *out = block + sizeof(bytes);
    return MB_OK;
}

static mb_ingress *find_ingress(mb_server *server, const mb_listener_config *config) {
    MB_LIST_FOREACH(&server->ingresses, node) {
        mb_ingress *ingress = MB_LIST_ENTRY(node, mb_ingress, node);
        if (mb_ingress_same_address(ingress, config) && strcmp(ingress->name, config->name) == 0) {
            return ingress;
        }
    }
    return NULL;
}

static int open_logs_of(mb_server *server, const mb_filter_chain_config *chain, mb_text *faults) {
    const char *terminal = chain->tcp != NULL ? "tcp_proxy" : "hcm";
    const mb_access_log_config *logs =
        chain->tcp != NULL ? chain->tcp->access_logs : chain->hcm->access_logs;
    uint32_t count =
        chain->tcp != NULL ? chain->tcp->access_log_count : chain->hcm->access_log_count;
    for (uint32_t i = 0; i < count; i++) {
        const mb_access_log_config *log = &logs[i];
        int error;
        if (mb_log_files_open(&server->logs, log->sink, log->path, &error) == NULL) {
            mb_text_format(faults, ".%s.access_logs[%u].path: cannot open %s: %s\n", terminal, i,
                           log->path, strerror(error));
            return MB_ECONFIG;
        }
    }
    return MB_OK;
}

static int open_logs(mb_server *server, const mb_snapshot *snapshot, mb_text *faults) {
    for (uint32_t i = 0; i < snapshot->listener_count; i++) {
        const mb_listener_config *listener = &snapshot->listeners[i];
        for (uint32_t j = 0; j < mb_listener_config_chain_count(listener); j++) {
            mb_text where;
            mb_text_init(&where, server->allocator, MAX_FAULT_BYTES);
            const mb_filter_chain_config *chain = mb_listener_config_chain(listener, j);
            int rc = open_logs_of(server, chain, &where);
            if (rc < 0 && chain == listener->default_chain) {
                mb_text_format(faults, "listeners[%u].default_filter_chain%.*s", i,
                               MB_TEXT_ARG(mb_text_view(&where)));
            } else if (rc < 0) {
                mb_text_format(faults, "listeners[%u].filter_chains[%u]%.*s", i, j,
                               MB_TEXT_ARG(mb_text_view(&where)));
            }
            mb_text_fini(&where);
            if (rc < 0) {
                return rc;
            }
        }
    }
    return MB_OK;
}

static int plan_listener(mb_server *server, mb_snapshot *snapshot, uint32_t i, listener_plan *plan,
                         mb_text *faults) {
    const mb_listener_config *config = &snapshot->listeners[i];
    mb_ingress *ingress = find_ingress(server, config);
    if (ingress != NULL) {
        plan->ingress = ingress;
        return mb_ingress_metrics(ingress, config, &plan->metrics);
    }
    int error = 0;
    uint32_t failed;
    ingress = mb_ingress_new(server, &server->worker, snapshot, config, &error, &failed);
    if (ingress == NULL) {
        char address[MB_ADDRESS_TEXT_BYTES];
        size_t len = mb_address_text(&config->addresses[failed].address, address);
        mb_text_format(faults, "listeners[%u].", i);
        if (failed > 0) { /* the model's addresses are one list, Envoy's are two */
            mb_text_format(faults, "additional_addresses[%u].", failed - 1);
        }
        mb_text_format(faults, "address: cannot listen on %.*s: %s\n", (int)len, address,
                       strerror(error));
        return MB_ECONFIG;
    }
    plan->ingress = ingress;
    plan->is_new = true;
    /* Nobody is accepted before the next turn, so it is not too early. */
    bool starts = server->started && !server->is_draining;
    return starts ? mb_listener_start(ingress->listener) : MB_OK;
}

static void drop_new(const listener_plan *plans, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (plans[i].is_new) {
            mb_ingress_unref(plans[i].ingress);
        }
    }
}

/* From here on nothing fails. */
static void commit(mb_server *server, mb_snapshot *snapshot, const listener_plan *plans) {
    mb_list before;
    mb_list_init(&before);
    mb_list_splice(&before, &server->ingresses);
    for (uint32_t i = 0; i < snapshot->listener_count; i++) {
        mb_ingress *ingress = plans[i].ingress;
        if (!plans[i].is_new) {
            mb_list_remove(&ingress->node);
            mb_ingress_configure(ingress, snapshot, &snapshot->listeners[i], &plans[i].metrics);
        }
        mb_list_push_back(&server->ingresses, &ingress->node);
    }
    mb_list_node *node;
    while ((node = mb_list_pop_front(&before)) != NULL) {
        mb_list_push_back(&server->draining, node);
        mb_ingress_drain(MB_LIST_ENTRY(node, mb_ingress, node));
    }
    mb_snapshot_unref(server->snapshot);
    server->snapshot = snapshot;
    mb_metric_inc(server->reloads);
}

static mb_config_modules modules_of(const mb_server *server) {
    return (mb_config_modules){
        .native = server->native, .added = server->added, .added_count = server->added_count};
}

static int apply(mb_server *server, mb_slice document, mb_text *faults) {
    const mb_config_modules modules = modules_of(server);
    mb_snapshot *snapshot;
    int rc =
        mb_config_build(&server->worker, &modules, server->snapshot, document, &snapshot, faults);
    if (rc < 0) {
        return rc;
    }
    uint32_t count = snapshot->listener_count;
    size_t bytes = count * sizeof(listener_plan) + 1; /* there may be no listener */
    listener_plan *plans = mb_zalloc(server->allocator, bytes);
    if (plans == NULL) {
        mb_snapshot_unref(snapshot);
        return MB_ENOMEM;
    }
    rc = open_logs(server, snapshot, faults);
    for (uint32_t i = 0; i < count && rc >= 0; i++) {
        rc = plan_listener(server, snapshot, i, &plans[i], faults);
    }
    if (rc < 0) {
        drop_new(plans, count);
        mb_snapshot_unref(snapshot);
    } else {
        commit(server, snapshot, plans);
    }
    mb_free(server->allocator, plans, bytes);
    return rc;
}

/* Builds the configuration and drops it: what is wrong with it is found, nothing is bound. */
static int check(mb_server *server, mb_slice document, mb_text *faults) {
    const mb_config_modules modules = modules_of(server);
    mb_snapshot *snapshot;
    int rc = mb_config_build(&server->worker, &modules, NULL, document, &snapshot, faults);
    if (rc >= 0) {
        mb_snapshot_unref(snapshot);
    }
    return rc;
}

typedef int (*apply_fn)(mb_server *server, mb_slice document, mb_text *faults);

static int with_faults(mb_server *server, apply_fn run, mb_slice document, char **faults) {
    mb_text text;
    mb_text_init(&text, server->allocator, MAX_FAULT_BYTES);
    mb_loop_refresh_time(server->worker.loop);
    int rc = run(server, document, &text);
    *faults = NULL;
    if (rc < 0 && text.len > 0) {
        mb__server_text_out(mb_text_view(&text), faults);
    }
    mb_text_fini(&text);
    return rc;
}

int mb_server_check(mb_server *server, const char *document, size_t length, char **faults) {
    return with_faults(server, check, (mb_slice){document, length}, faults);
}

int mb_server_apply(mb_server *server, const char *document, size_t length, char **faults) {
    int rc = with_faults(server, apply, (mb_slice){document, length}, faults);
    if (rc < 0) {
        mb_metric_inc(server->reload_failures);
    }
    return rc;
}

int mb_server_start(mb_server *server) {
    server->started = true;
    mb_metric_set(server->live, 1);
    MB_LIST_FOREACH(&server->ingresses, node) {
        int rc = mb_listener_start(MB_LIST_ENTRY(node, mb_ingress, node)->listener);
        if (rc < 0) {
            return rc;
        }
    }
    return MB_OK;
}
