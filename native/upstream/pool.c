/*
 * The pool's queue and its decisions: see pool.h. What happens on a connection is client.c's.
 */
#include "upstream/pool.h"

#include "upstream/client_internal.h"
#include "upstream/cluster_state.h"

static const mb_slice nothing = {"", 0};

static mb_cluster *cluster_of(const mb_pool *pool) {
    return pool->host->cluster;
}

/* -- where connections stand ------------------------------------------------------------------ */

static mb_client *first_of(const mb_pool *pool, mb_client_state state) {
    mb_list_node *node = mb_list_front(&pool->clients[state]);

    return node == NULL ? NULL : MB_LIST_ENTRY(node, mb_client, node);
}

static mb_client *oldest_idle(const mb_pool *pool) {
    mb_list_node *node = mb_list_back(&pool->clients[MB_CLIENT_IDLE]);

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

void mb__pool_place(mb_pool *pool, mb_client *client, mb_client_state state) {
    mb_list_remove(&client->node);
    client->state = state;
    if (state == MB_CLIENT_BUSY) {
        mb_list_push_back(&pool->clients[state], &client->node);
        return;
    }
    mb_list_push_front(&pool->clients[state], &client->node);
    if (state == MB_CLIENT_IDLE) {
        client->idle_since_us = mb_loop_now_us(cluster_of(pool)->worker->loop);
        arm_idle_timer(pool);
    }
}

/* The connection that is to take the next request. NULL: none has room. */
static mb_client *pick(mb_pool *pool) {
    mb_client *client;

    while ((client = first_of(pool, MB_CLIENT_READY)) != NULL ||
           (client = first_of(pool, MB_CLIENT_IDLE)) != NULL) {
        if (mb_client_usable(client)) {
            return client->multiplexed && !mb_client_has_room(client) ? NULL : client;
        }
        mb_client_drain(client);
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
    if (mb__pool_is_unused(pool)) {
        mb__host_pool_unused(pool);
    }
}

bool mb__pool_is_unused(const mb_pool *pool) {
    return pool->client_count == 0 && pool->pending_count == 0;
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
    if (oldest_idle(pool) != NULL) {
        /* Only a request that wants a new connection waits beside idle ones. */
        mb_client_close(oldest_idle(pool), false);
        return true;
    }
    return first_of(pool, MB_CLIENT_BUSY) == NULL && first_of(pool, MB_CLIENT_READY) == NULL &&
           first_of(pool, MB_CLIENT_CONNECTING) == NULL;
}

/* An HTTP/2 connection without any stream beside requests that wait: the upstream allows none at
 * present (SETTINGS_MAX_CONCURRENT_STREAMS 0). More connections would be told the same. */
static bool is_stalled(const mb_pool *pool) {
    const mb_client *client = first_of(pool, MB_CLIENT_IDLE);

    return client != NULL && client->full;
}

/* Connections under way for every request that waits, as far as the limits go. */
static void connect_more(mb_pool *pool) {
    while (pool->pending_count > (uint64_t)pool->connecting_count * pool->streams_guess) {
        if (is_stalled(pool) || !may_connect(pool)) {
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

/* Has the request run on the client. MB_OK: it does, or has failed; MB_EAGAIN, MB_ECLOSED: not
 * here, nothing was changed. */
static int start(mb_pool *pool, mb_client *client, mb_upstream_request *request) {
    mb_cluster *cluster = cluster_of(pool);
    bool overflow = mb_breaker_is_open(&cluster->circuit.requests);
    int rc = overflow ? MB_OK : mb_client_begin(client, request);

    if (rc == MB_EAGAIN || rc == MB_ECLOSED) {
        return rc;
    }
    if (request->state == MB_REQUEST_WAITING) {
        dequeue(pool, request);
    }
    if (overflow) {
        mb_metric_inc(cluster->stats.upstream_rq_active_overflow);
        mb__request_fail(request, MB_UPSTREAM_OVERFLOW, nothing);
    } else if (rc != MB_OK) {
        mb__request_fail(request, MB_UPSTREAM_LOCAL, nothing);
    } else {
        mb_breaker_force(&cluster->circuit.requests);
        mb_client_start(client, request);
    }
    return MB_OK;
}

/* The client had no room after all: so many streams is what the upstream allows. */
static void note_full(mb_pool *pool, mb_client *client) {
    if (client->running_count > 0) {
        pool->streams_guess = client->running_count;
    }
    mb__client_place(client);
}

void mb__pool_offer(mb_pool *pool, mb_client *client) {
    mb_list_node *node;

    while (mb_client_has_room(client) && (node = mb_list_front(&pool->pending)) != NULL) {
        int rc = start(pool, client, MB_LIST_ENTRY(node, mb_upstream_request, node));

        if (rc == MB_ECLOSED) {
            client->draining = true;
        } else if (rc == MB_EAGAIN) {
            note_full(pool, client);
        }
    }
    if (client->state == MB_CLIENT_CLOSED) {
        return;
    }
    if (client->running_count == 0 && (pool->draining || client->draining)) {
        mb__client_close_and_tell(client, false);
        return;
    }
    mb__client_place(client);
    if (client->multiplexed && pool->pending_count > 0) {
        connect_more(pool);
    }
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
        mb_client_cancel(request->client, request);
        return;
    case MB_REQUEST_WAITING:
        dequeue(request->pool, request);
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

void mb_pool_request(mb_pool *pool, mb_upstream_request *request) {
    bool fresh = request->fresh && !pool->many; /* none of those was idle for long, most often */
    mb_client *client;

    request->pool = pool;
    request->host = mb_host_ref(pool->host);
    while (!fresh && (client = pick(pool)) != NULL) {
        int rc = start(pool, client, request);

        if (rc == MB_OK) {
            return;
        }
        if (rc == MB_ECLOSED) {
            mb_client_drain(client);
        } else {
            note_full(pool, client);
        }
    }
    wait_for_connection(pool, request);
}

/* -- life ------------------------------------------------------------------------------------- */

void mb_pool_drain(mb_pool *pool) {
    mb_client *client;

    pool->draining = true;
    while ((client = first_of(pool, MB_CLIENT_IDLE)) != NULL ||
           (client = first_of(pool, MB_CLIENT_READY)) != NULL) {
        mb_client_drain(client);
    }
}

void mb_pool_init(mb_pool *pool, mb_upstream_host *host, mb_upstream_protocol protocol) {
    *pool = (mb_pool){.host = host, .protocol = protocol, .streams_guess = 1};
    for (size_t i = 0; i < MB_CLIENT_CLOSED; i++) {
        mb_list_init(&pool->clients[i]);
    }
    mb_list_init(&pool->pending);
    pool->idle_timer.on_expire = on_idle_timer;
    pool->many = protocol == MB_UPSTREAM_HTTP2;
    if (pool->many) {
        pool->streams_guess = host->cluster->settings.codec.h2.max_concurrent_streams;
    }
}

void mb_pool_fini(mb_pool *pool) {
    mb_loop_disarm(&pool->idle_timer);
}
