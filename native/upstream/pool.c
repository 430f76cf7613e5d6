/*
 * The pool's queue and its decisions: see pool.h. What happens on a connection is client.c's.
 */
#include "upstream/pool.h"

#include "upstream/client.h"
#include "upstream/cluster_state.h"

static const mb_slice nothing = {"", 0};

static mb_cluster *cluster_of(const mb_pool *pool) {
    return pool->host->cluster;
}

/* -- idle connections ------------------------------------------------------------------------- */

static mb_client *oldest_idle(const mb_pool *pool) {
    mb_list_node *node = mb_list_back(&pool->idle);

    return node == NULL ? NULL : MB_LIST_ENTRY(node, mb_client, node);
}

/* One timer for the whole list: it is armed for the oldest and not touched when connections are
 * taken, so the path of a request has no timer in it. */
static void arm_idle_timer(mb_pool *pool) {
    mb_cluster *cluster = cluster_of(pool);
    uint64_t timeout_us = cluster->settings.idle_timeout_us;
    mb_client *oldest = oldest_idle(pool);

    if (timeout_us != 0 && oldest != NULL && !mb_timer_armed(&pool->idle_timer)) {
        uint64_t due_us = oldest->idle_since_us + timeout_us;
        uint64_t now_us = mb_loop_now_us(cluster->worker->loop);

        mb_loop_arm(cluster->worker->loop, &pool->idle_timer,
                    due_us > now_us ? due_us - now_us : 0);
    }
}

static void on_idle_timer(mb_timer *timer) {
    mb_pool *pool = MB_LIST_ENTRY(timer, mb_pool, idle_timer);
    mb_cluster *cluster = cluster_of(pool);
    uint64_t now_us = mb_loop_now_us(cluster->worker->loop);
    mb_client *oldest;

    while ((oldest = oldest_idle(pool)) != NULL &&
           oldest->idle_since_us + cluster->settings.idle_timeout_us <= now_us) {
        mb_metric_inc(cluster->stats.upstream_cx_idle_timeout);
        mb_client_close(oldest, false);
    }
    arm_idle_timer(pool);
}

static mb_client *take_idle(mb_pool *pool) {
    mb_list_node *node;

    while ((node = mb_list_front(&pool->idle)) != NULL) {
        mb_client *client = MB_LIST_ENTRY(node, mb_client, node);

        if (mb_client_usable(client)) {
            mb_list_remove(node);
            return client;
        }
        mb_client_close(client, false);
    }
    return NULL;
}

/* -- requests that wait ----------------------------------------------------------------------- */

static void enqueue(mb_pool *pool, mb_upstream_request *request) {
    mb_cluster *cluster = cluster_of(pool);

    request->state = MB_REQUEST_WAITING;
    mb_list_push_back(&pool->pending, &request->node);
    pool->pending_count++;
    mb_metric_inc(cluster->stats.upstream_rq_pending_total);
    mb_metric_inc(cluster->stats.upstream_rq_pending_active);
}

static void dequeue(mb_pool *pool, mb_upstream_request *request) {
    mb_cluster *cluster = cluster_of(pool);

    mb_list_remove(&request->node);
    pool->pending_count--;
    mb_breaker_give(&cluster->circuit.pending);
    mb_metric_add(cluster->stats.upstream_rq_pending_active, -1);
}

static mb_upstream_request *next_pending(mb_pool *pool) {
    mb_list_node *node = mb_list_front(&pool->pending);
    mb_upstream_request *request;

    if (node == NULL) {
        return NULL;
    }
    request = MB_LIST_ENTRY(node, mb_upstream_request, node);
    dequeue(pool, request);
    return request;
}

/* Fails all that wait now; what callbacks add meanwhile is not among them. */
static void eject_pending(mb_pool *pool, mb_upstream_failure why, mb_slice transport) {
    mb_list ejected;
    mb_list_node *node;
    mb_upstream_request *request;

    mb_list_init(&ejected);
    while ((request = next_pending(pool)) != NULL) {
        request->state = MB_REQUEST_EJECTED;
        mb_list_push_back(&ejected, &request->node);
    }
    while ((node = mb_list_pop_front(&ejected)) != NULL) {
        mb_metric_inc(cluster_of(pool)->stats.upstream_rq_pending_failure_eject);
        mb__request_fail(MB_LIST_ENTRY(node, mb_upstream_request, node), why, transport);
    }
}

/* -- connections ------------------------------------------------------------------------------ */

static bool may_connect(mb_pool *pool) {
    mb_cluster *cluster = cluster_of(pool);

    if (!mb_breaker_is_open(&cluster->circuit.connections)) {
        return true;
    }
    mb_metric_inc(cluster->stats.upstream_cx_overflow);
    if (!mb_list_is_empty(&pool->idle)) {
        /* Only a request that wants a new connection waits beside idle ones. */
        mb_client_close(oldest_idle(pool), false);
        return true;
    }
    return mb_list_is_empty(&pool->busy) && mb_list_is_empty(&pool->connecting);
}

/* A connection under way for every request that waits, as far as the limits go. */
static void connect_more(mb_pool *pool) {
    while (pool->pending_count > pool->connecting_count) {
        if (!may_connect(pool)) {
            return;
        }
        if (mb_client_new(pool) == NULL) {
            eject_pending(pool, MB_UPSTREAM_CONNECT_LOCAL, nothing);
            return;
        }
    }
}

void mb__pool_connect_failed(mb_pool *pool, mb_upstream_failure why, mb_slice transport) {
    eject_pending(pool, why, transport);
}

void mb__pool_client_gone(mb_pool *pool) {
    connect_more(pool);
}

/* -- requests --------------------------------------------------------------------------------- */

void mb__request_fail(mb_upstream_request *request, mb_upstream_failure why, mb_slice transport) {
    mb_upstream_host *host = request->host;

    request->state = MB_REQUEST_OVER;
    request->client = NULL;
    request->events->on_failure(request, why, transport);
    mb_host_unref(host);
}

static bool take_running(mb_pool *pool, mb_upstream_request *request) {
    mb_cluster *cluster = cluster_of(pool);

    if (mb_breaker_take(&cluster->circuit.requests)) {
        return true;
    }
    mb_metric_inc(cluster->stats.upstream_rq_active_overflow);
    mb__request_fail(request, MB_UPSTREAM_OVERFLOW, nothing);
    return false;
}

void mb__pool_client_free(mb_pool *pool, mb_client *client) {
    mb_upstream_request *request;

    while ((request = next_pending(pool)) != NULL) {
        if (take_running(pool, request)) {
            mb_client_attach(client, request);
            return;
        }
    }
    if (pool->draining) {
        mb_client_close(client, false);
        return;
    }
    client->state = MB_CLIENT_IDLE;
    client->idle_since_us = mb_loop_now_us(cluster_of(pool)->worker->loop);
    mb_list_push_front(&pool->idle, &client->node);
    arm_idle_timer(pool);
}

static void wait_for_connection(mb_pool *pool, mb_upstream_request *request) {
    mb_cluster *cluster = cluster_of(pool);

    if (!mb_breaker_take(&cluster->circuit.pending)) {
        mb_metric_inc(cluster->stats.upstream_rq_pending_overflow);
        mb__request_fail(request, MB_UPSTREAM_OVERFLOW, nothing);
        return;
    }
    enqueue(pool, request);
    connect_more(pool);
}

void mb_upstream_cancel(mb_upstream_request *request) {
    mb_upstream_host *host = request->host;

    switch (request->state) {
    case MB_REQUEST_RUNNING:
        mb_client_cancel(request->client);
        return;
    case MB_REQUEST_WAITING:
        dequeue(&host->pool, request);
        mb_metric_inc(host->cluster->stats.upstream_rq_cancelled);
        break;
    case MB_REQUEST_EJECTED:
        mb_list_remove(&request->node);
        break;
    case MB_REQUEST_NEW:
    case MB_REQUEST_OVER:
        return;
    }
    request->state = MB_REQUEST_OVER;
    mb_host_unref(host);
}

void mb_pool_drain(mb_pool *pool) {
    mb_client *client;

    pool->draining = true;
    while ((client = oldest_idle(pool)) != NULL) {
        mb_client_close(client, false);
    }
}

void mb_pool_init(mb_pool *pool, mb_upstream_host *host) {
    *pool = (mb_pool){.host = host};
    mb_list_init(&pool->idle);
    mb_list_init(&pool->busy);
    mb_list_init(&pool->connecting);
    mb_list_init(&pool->pending);
    pool->idle_timer.on_expire = on_idle_timer;
}

void mb_pool_fini(mb_pool *pool) {
    mb_loop_disarm(&pool->idle_timer);
}

void mb_pool_request(mb_pool *pool, mb_upstream_request *request) {
    mb_client *client = request->fresh ? NULL : take_idle(pool);

    request->host = mb_host_ref(pool->host);
    if (client == NULL) {
        wait_for_connection(pool, request);
    } else if (mb_breaker_is_open(&cluster_of(pool)->circuit.requests)) {
        mb__pool_client_free(pool, client);
        (void)take_running(pool, request);
    } else {
        (void)take_running(pool, request);
        mb_client_attach(client, request);
    }
}
