/*
 * Downstream: see downstream.h.
 */
#include "server/downstream.h"

#include "base/slice.h"
#include "server/server_internal.h"

/* Lines about failed handshakes that a listener writes in such a time. */
#define MB_HANDSHAKE_LOG_US 1000000u
#define MB_HANDSHAKE_LOG_MAX 10u
int mb_downstream_open(mb_downstream *self, mb_ingress *ingress, const mb_accepted *accepted,
                       const mb_conn_events *events, void *owner) {
    mb_conn *conn = mb_conn_new(&ingress->worker->net, accepted->transport, accepted->fd,
                                &accepted->remote, events, owner);
    if (conn == NULL) {
        return MB_ENOMEM;
    }
    if (accepted->local.length > 0) {
        conn->local = accepted->local;
    }
    self->conn = conn;
    self->origin = accepted->origin != NULL ? mb_origin_ref(accepted->origin) : NULL;
    return MB_OK;
}

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
    if (self->conn != NULL) {
        mb_conn_set_handshake_timeout(self->conn, chain->transport_connect_timeout_us);
    }
}

void mb_downstream_account_close(mb_downstream *self, mb_close_reason reason) {
    mb_ingress *ingress = self->ingress;
    if (reason != MB_CLOSED_HANDSHAKE_FAILED && reason != MB_CLOSED_CONNECT_TIMEOUT) {
        return;
    }
    if (reason == MB_CLOSED_CONNECT_TIMEOUT) {
        mb_metric_inc(ingress->metrics.transport_connect_timeout);
    }
    uint64_t now_us = mb_loop_now_us(ingress->worker->loop);
    if (now_us - ingress->handshake_log_us >= MB_HANDSHAKE_LOG_US) {
        ingress->handshake_log_us = now_us;
        ingress->handshake_logged = 0;
    }
    if (ingress->handshake_logged++ >= MB_HANDSHAKE_LOG_MAX) {
        return; /* the counters have it; a flood of them must not be one of lines */
    }
    char remote[MB_ADDRESS_TEXT_BYTES];
    size_t length = mb_address_text(&self->conn->remote, remote);
    mb_slice why = reason == MB_CLOSED_CONNECT_TIMEOUT
                       ? MB_SLICE_LIT("it took too long")
                       : mb_transport_failure(self->conn->transport);
    if (why.len == 0) {
        why = MB_SLICE_LIT("the client went away");
    }
    mb_worker_log(ingress->worker, MB_LOG_INFO, "tls",
                  "listener '%s': handshake with %.*s failed: %.*s", ingress->name, (int)length,
                  remote, (int)why.len, why.ptr);
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
        .origin = self->origin,
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
    mb_origin_unref(self->origin);
    mb_snapshot_unref(self->snapshot);
    mb_ingress_unref(ingress);
}
