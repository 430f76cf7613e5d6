/*
 * From an accepted socket to the terminal of its filter chain: the listener filters look at it
 * (pending.h), the chain is found, its transport made, its terminal started. Each step takes the
 * socket; where one fails it is closed.
 */
#include "base/alloc.h"
#include "net/socket.h"
#include "server/http_conn.h"
#include "server/pending.h"
#include "server/tcp_proxy.h"
#include <unistd.h>

static void refuse(mb_ingress *ingress, int fd) {
    close(fd);
    mb_listener_release(ingress->listener);
}

/* -- the filter chain ---------------------------------------------------------------------- */

static const mb_filter_chain_config *find_chain(const mb_listener_config *config,
                                                const mb_accepted *accepted) {
    if (config->sole_chain != NULL) {
        return config->sole_chain;
    }
    const mb_origin *origin = accepted->origin;
    mb_chain_facts facts = {
        .local = &accepted->local,
        .remote = &accepted->remote,
        .direct_remote = origin != NULL ? &origin->direct_remote : &accepted->remote,
        .transport_protocol = MB_SLICE_LIT("raw_buffer"),
    };
    if (origin != NULL) {
        facts.server_name = origin->server_name;
        facts.application_protocols = origin->application_protocols;
        facts.application_protocol_count = origin->application_protocol_count;
    }
    if (origin != NULL && origin->transport_protocol.len > 0) {
        facts.transport_protocol = origin->transport_protocol;
    }
    const mb_filter_chain_config *found = mb_chain_match_find(config->match, &facts);
    return found != NULL ? found : config->default_chain;
}

static mb_transport *make_transport(const mb_ingress *ingress, const mb_filter_chain_config *chain,
                                    int fd) {
    const mb_allocator *allocator = ingress->worker->allocator;
    if (chain->tls == NULL) {
        return mb_plain_transport_new(allocator, fd);
    }
    const mb_transport_maker *maker = mb_tls_server_maker(chain->tls);
    return maker->make(maker, allocator, fd);
}

void mb_accept_connection(mb_ingress *ingress, mb_accepted *accepted) {
    const mb_filter_chain_config *chain = find_chain(ingress->config, accepted);
    if (chain == NULL) {
        mb_metric_inc(ingress->metrics.no_filter_chain_match);
        refuse(ingress, accepted->fd);
        return;
    }
    accepted->transport = make_transport(ingress, chain, accepted->fd);
    if (accepted->transport == NULL) {
        mb_listener_release(ingress->listener);
        return;
    }
    int rc = chain->tcp != NULL ? mb_tcp_conn_start(ingress, chain, accepted)
                                : mb_http_conn_start(ingress, chain, accepted);
    if (rc < 0) {
        mb_listener_release(ingress->listener);
    }
}

/* -- the listener filters ------------------------------------------------------------------ */

static void on_free_task(mb_task *task) {
    mb_pending *pending = MB_LIST_ENTRY(task, mb_pending, free_task);
    mb_ingress *ingress = pending->ingress;
    mb_origin_unref(pending->origin);
    mb_snapshot_unref(pending->snapshot);
    mb_free(ingress->worker->allocator, pending, sizeof(*pending));
    mb_ingress_unref(ingress);
}

/* It waits for nothing any more; its socket is the caller's. The memory lasts for this turn. */
static void leave(mb_pending *pending) {
    mb_ingress *ingress = pending->ingress;
    mb_loop *loop = ingress->worker->loop;
    if (pending->watched) {
        mb_poller *poller = mb_loop_poller(loop);
        poller->vtable->remove(poller, &pending->io);
        pending->watched = false;
    }
    mb_loop_disarm(&pending->timer);
    mb_list_remove(&pending->node);
    ingress->pending_count--;
    mb_metric_add(ingress->metrics.pre_cx_active, -1);
    mb_loop_defer(loop, MB_PHASE_FREE, &pending->free_task);
}

void mb_pending_close(mb_pending *pending) {
    leave(pending);
    refuse(pending->ingress, pending->fd);
}

static void accept_further(mb_ingress *ingress, const mb_accepted *accepted, bool handed_over);

/* The listener that the connection was meant for, where that is another one. That the kernel
 * changed the destination is not asked for: with TPROXY the socket itself has the original one. */
static mb_ingress *hand_over_to(const mb_pending *pending) {
    mb_ingress *ingress = pending->ingress;
    if (!pending->config->use_original_dst || pending->handed_over) {
        return NULL;
    }
    mb_ingress *target = mb_ingress_for(ingress->server, &pending->local);
    return target != ingress ? target : NULL;
}

static void go_on(mb_pending *pending) {
    mb_ingress *ingress = pending->ingress;
    leave(pending);
    mb_accepted accepted = {
        .fd = pending->fd,
        .remote = pending->remote,
        .local = pending->local,
        .origin = pending->origin,
    };
    mb_ingress *target = hand_over_to(pending);
    if (target == NULL) {
        mb_accept_connection(ingress, &accepted);
        return;
    }
    mb_listener_adopt(target->listener);
    mb_listener_release(ingress->listener);
    accept_further(target, &accepted, true);
}

static void wait_for_bytes(mb_pending *pending) {
    if (pending->watched) {
        return;
    }
    mb_loop *loop = pending->ingress->worker->loop;
    mb_poller *poller = mb_loop_poller(loop);
    if (poller->vtable->add_edge(poller, &pending->io) != MB_OK) {
        mb_metric_inc(pending->ingress->metrics.filter_error);
        mb_pending_close(pending);
        return;
    }
    pending->watched = true;
    if (pending->config->filters_timeout_us > 0) {
        mb_loop_arm(loop, &pending->timer, pending->config->filters_timeout_us);
    }
}

static void run_filters(mb_pending *pending) {
    const mb_listener_config *config = pending->config;
    mb_filter_step step = MB_STEP_NEXT;
    while (step == MB_STEP_NEXT && pending->filter < config->filter_count) {
        step = mb__listener_filter_run(pending, &config->filters[pending->filter]);
        pending->filter += step == MB_STEP_NEXT;
    }
    if (step == MB_STEP_NEXT) {
        go_on(pending);
    } else if (step == MB_STEP_REFUSE) {
        mb_pending_close(pending);
    } else if (pending->hangup) { /* what is missing will not come */
        mb_metric_inc(pending->ingress->metrics.filter_remote_close);
        mb_pending_close(pending);
    } else {
        wait_for_bytes(pending);
    }
}

static void on_ready(mb_io *io, uint32_t events) {
    mb_pending *pending = MB_LIST_ENTRY(io, mb_pending, io);
    if (events & (MB_IO_HANGUP | MB_IO_ERROR)) {
        pending->hangup = true;
    }
    if (events & (MB_IO_READ | MB_IO_HANGUP | MB_IO_ERROR)) {
        run_filters(pending);
    }
}

static void on_timeout(mb_timer *timer) {
    mb_pending *pending = MB_LIST_ENTRY(timer, mb_pending, timer);
    mb_metric_inc(pending->ingress->metrics.pre_cx_timeout);
    if (pending->config->continue_on_filters_timeout) {
        go_on(pending);
    } else {
        mb_pending_close(pending);
    }
}

static mb_pending *pending_new(mb_ingress *ingress, const mb_accepted *accepted) {
    mb_pending *pending = mb_zalloc(ingress->worker->allocator, sizeof(*pending));
    if (pending == NULL) {
        return NULL;
    }
    pending->ingress = mb_ingress_ref(ingress);
    pending->snapshot = mb_snapshot_ref(ingress->snapshot);
    pending->config = ingress->config;
    pending->fd = accepted->fd;
    pending->io = (mb_io){.fd = accepted->fd, .on_ready = on_ready};
    pending->timer.on_expire = on_timeout;
    pending->free_task.run = on_free_task;
    pending->remote = accepted->remote;
    pending->local = accepted->local;
    pending->origin = accepted->origin != NULL ? mb_origin_ref(accepted->origin) : NULL;
    mb_list_push_back(&ingress->pending, &pending->node);
    ingress->pending_count++;
    mb_metric_add(ingress->metrics.pre_cx_active, 1);
    return pending;
}

static void accept_further(mb_ingress *ingress, const mb_accepted *accepted, bool handed_over) {
    if (ingress->config->filter_count == 0) {
        mb_accepted further = *accepted;
        mb_accept_connection(ingress, &further);
        return;
    }
    mb_pending *pending = pending_new(ingress, accepted);
    if (pending == NULL) {
        refuse(ingress, accepted->fd);
        return;
    }
    pending->handed_over = handed_over;
    run_filters(pending);
}

void mb_accept_socket(mb_ingress *ingress, int fd, const mb_address *remote) {
    const mb_listener_config *config = ingress->config;
    mb_accepted accepted = {.fd = fd, .remote = *remote};
    if (config->filter_count > 0 || config->sole_chain == NULL) {
        mb__socket_local(fd, &accepted.local);
    }
    accept_further(ingress, &accepted, false);
}
