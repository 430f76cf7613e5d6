/*
 * Ingress: see ingress.h.
 */
#include "server/ingress.h"

#include "server/http_conn.h"
#include <errno.h>
#include <string.h>

static void on_accept(void *owner, mb_listener *listener, int fd, const mb_address *remote) {
    (void)listener;
    mb_http_conn_accept(owner, fd, remote);
}

/* Envoy's name of a listener's statistics: the address with '_' for ':'. */
int mb_ingress_metrics(const mb_ingress *ingress, const mb_listener_config *config,
                       mb_http_metrics *out) {
    char text[MB_ADDRESS_TEXT_BYTES];
    mb_slice listener = config->stat_prefix;
    if (listener.len == 0) {
        size_t len = strlen(ingress->address);
        for (size_t i = 0; i < len; i++) {
            text[i] = ingress->address[i] == ':' ? '_' : ingress->address[i];
        }
        listener = (mb_slice){text, len};
    }
    return mb_http_metrics_define(ingress->worker->stats, config->hcm.stat_prefix, listener, out);
}

bool mb_ingress_same_address(const mb_ingress *ingress, const mb_listener_config *config) {
    return mb_address_equal(&ingress->config->address, &config->address);
}

static void move_gauge(mb_metric *from, mb_metric *to, uint32_t amount) {
    mb_metric_add(from, -(int64_t)amount);
    mb_metric_add(to, amount);
}

/* What is there now is counted under the new names, where its end will be counted too. */
static void rename_metrics(mb_ingress *ingress, const mb_http_metrics *to) {
    const mb_http_metrics *from = &ingress->metrics;
    uint32_t streams = 0;
    MB_LIST_FOREACH(&ingress->conns, node) {
        streams += MB_LIST_ENTRY(node, mb_http_conn, node)->stream_count;
    }
    move_gauge(from->cx_active, to->cx_active, ingress->conn_count);
    move_gauge(from->listener_cx_active, to->listener_cx_active, ingress->conn_count);
    move_gauge(from->rq_active, to->rq_active, streams);
    ingress->metrics = *to;
}

void mb_ingress_configure(mb_ingress *ingress, mb_snapshot *snapshot,
                          const mb_listener_config *config, const mb_http_metrics *metrics) {
    mb_snapshot *before = ingress->snapshot;
    ingress->snapshot = mb_snapshot_ref(snapshot);
    ingress->config = config;
    rename_metrics(ingress, metrics);
    mb_snapshot_unref(before);
}

mb_ingress *mb_ingress_new(struct mb_server *server, mb_worker *worker, mb_snapshot *snapshot,
                           const mb_listener_config *config, int *error) {
    const mb_allocator *allocator = worker->allocator;
    size_t name_bytes = strlen(config->name) + 1;
    mb_ingress *ingress = allocator->alloc(allocator->ctx, sizeof(*ingress));
    char *name = allocator->alloc(allocator->ctx, name_bytes);
    if (ingress == NULL || name == NULL) {
        *error = ENOMEM;
        goto failed;
    }
    memset(ingress, 0, sizeof(*ingress));
    memcpy(name, config->name, name_bytes);
    ingress->refs = 1;
    ingress->server = server;
    ingress->worker = worker;
    ingress->name = name;
    ingress->config = config;
    mb_list_init(&ingress->conns);
    ingress->listener = mb_listener_new(&worker->net, &config->address, &config->options, on_accept,
                                        ingress, error);
    if (ingress->listener == NULL) {
        goto failed;
    }
    size_t len = mb_address_text(mb_listener_address(ingress->listener), ingress->address);
    ingress->address[len] = '\0';
    if (mb_ingress_metrics(ingress, config, &ingress->metrics) < 0) {
        *error = ENOMEM;
        mb_listener_free(ingress->listener);
        goto failed;
    }
    ingress->snapshot = mb_snapshot_ref(snapshot);
    return ingress;
failed:
    if (ingress != NULL) {
        allocator->free(allocator->ctx, ingress, sizeof(*ingress));
    }
    if (name != NULL) {
        allocator->free(allocator->ctx, name, name_bytes);
    }
    return NULL;
}

void mb_ingress_unref(mb_ingress *ingress) {
    if (--ingress->refs > 0) {
        return;
    }
    const mb_allocator *allocator = ingress->worker->allocator;
    mb_listener_free(ingress->listener);
    mb_snapshot_unref(ingress->snapshot);
    allocator->free(allocator->ctx, ingress->name, strlen(ingress->name) + 1);
    allocator->free(allocator->ctx, ingress, sizeof(*ingress));
}

void mb_ingress_drain(mb_ingress *ingress) {
    if (ingress->draining) {
        return;
    }
    ingress->draining = true;
    ingress->refs++; /* a connection that ends here may be the last reference */
    mb_listener_stop(ingress->listener);
    MB_LIST_FOREACH(&ingress->conns, node) {
        mb_http_conn_drain(MB_LIST_ENTRY(node, mb_http_conn, node));
    }
    mb_ingress_unref(ingress);
}

void mb_ingress_close(mb_ingress *ingress) {
    ingress->refs++;
    mb_list_node *node;
    while ((node = mb_list_front(&ingress->conns)) != NULL) {
        mb_http_conn_close(MB_LIST_ENTRY(node, mb_http_conn, node));
    }
    mb_ingress_unref(ingress);
}
