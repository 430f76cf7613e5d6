/*
 * Downstream: see downstream.h.
 */
#include "server/downstream.h"

#include "base/slice.h"
#include "server/server_internal.h"

void mb_downstream_begin(mb_downstream *self, const mb_downstream_ops *ops, mb_ingress *ingress,
                         const mb_filter_chain_config *chain) {
    self->ops = ops;
    self->ingress = mb_ingress_ref(ingress);
    self->snapshot = mb_snapshot_ref(ingress->snapshot);
    self->chain = chain;
    self->id = mb__server_next_conn_id(ingress->server);
    self->opened_us = mb_loop_now_us(ingress->worker->loop);
    ingress->conn_count++;
    mb_list_push_back(&ingress->downstreams, &self->node);
    mb_metric_inc(ingress->metrics.cx_total);
    mb_metric_add(ingress->metrics.cx_active, 1);
}

static void release_snapshot(void *snapshot) {
    mb_snapshot_unref(snapshot);
}

int mb_downstream_filter(mb_downstream *self) {
    const mb_ingress *ingress = self->ingress;
    if (self->chain->network.count == 0) {
        return MB_OK;
    }
    const mb_connection_options options = {
        .chain = &self->chain->network,
        .id = self->id,
        .listener = mb_slice_from_c(ingress->config->name),
        .limit_bytes = ingress->config->buffer_limit_bytes,
        .keeper = mb_snapshot_ref(self->snapshot),
        .release = release_snapshot,
    };
    if (mb_connection_new(ingress->worker, self->conn, &options) == NULL) {
        mb_snapshot_unref(self->snapshot);
        return MB_ENOMEM;
    }
    return MB_OK;
}

void mb_downstream_end(mb_downstream *self) {
    mb_ingress *ingress = self->ingress;
    mb_metric_add(ingress->metrics.cx_active, -1);
    ingress->conn_count--;
    mb_list_remove(&self->node);
    mb_listener_release(ingress->listener);
    mb_snapshot_unref(self->snapshot);
    mb_ingress_unref(ingress);
}
