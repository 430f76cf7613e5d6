/*
 * Host: what network filters may ask of their connection. Each function checks the phase and notes
 * what is asked; network_chain.c acts on it. Results and lifetimes stand in network_filter.h.
 */
#include "filter/network_walk.h"

#include "filter/posted.h"
#include "net/tls.h"
#include <string.h>

/* -- the connection ---------------------------------------------------------------------------- */

static int info_number(mb_connection *connection, mb_connection_info what, uint64_t *out) {
    uint64_t now_us =
        connection->end_us != 0 ? connection->end_us : mb_loop_now_us(connection->worker->loop);
    switch (what) {
    case MB_CONNECTION_ID:
        *out = connection->id;
        return MB_OK;
    case MB_CONNECTION_BYTES_RECEIVED:
        *out = connection->stage.conn->bytes_read;
        return MB_OK;
    case MB_CONNECTION_BYTES_SENT:
        *out = connection->stage.conn->bytes_written;
        return MB_OK;
    case MB_CONNECTION_START_WALL_US:
        *out = connection->start_wall_us;
        return MB_OK;
    case MB_CONNECTION_DURATION_US:
        *out = now_us - connection->start_us;
        return MB_OK;
    case MB_CONNECTION_WORKER:
        *out = connection->worker->index;
        return MB_OK;
    default:
        return MB_ENOTFOUND;
    }
}

static int address_text(mb_connection *connection, const mb_address *address, mb_slice *out) {
    if (address->length == 0) {
        return MB_ENOTFOUND;
    }
    char text[MB_ADDRESS_TEXT_BYTES];
    size_t len = mb_address_text(address, text);
    return mb_arena_dup(&connection->arena, (mb_slice){text, len}, out);
}

static int text_or_none(mb_slice text, mb_slice *out) {
    if (text.len == 0) {
        return MB_ENOTFOUND;
    }
    *out = text;
    return MB_OK;
}

static int tls_text(mb_connection *connection, mb_connection_info what, mb_slice *out) {
    const mb_conn *conn = connection->stage.conn;
    const mb_tls_info *info = conn->transport != NULL ? mb_transport_tls(conn->transport) : NULL;
    if (info == NULL && what == MB_CONNECTION_SNI && connection->origin != NULL) {
        return text_or_none(connection->origin->server_name, out); /* TLS that passes through */
    }
    if (info == NULL) {
        return MB_ENOTFOUND;
    }
    const mb_tls_certificate *peer = NULL;
    if (what == MB_CONNECTION_PEER_SUBJECT || what == MB_CONNECTION_PEER_SHA256) {
        peer = mb_tls_peer(info);
        if (peer == NULL) {
            return MB_ENOTFOUND;
        }
    }
    switch (what) {
    case MB_CONNECTION_SNI:
        return text_or_none(info->sni, out);
    case MB_CONNECTION_ALPN:
        return text_or_none(info->alpn, out);
    case MB_CONNECTION_TLS_VERSION:
        return text_or_none(info->version, out);
    case MB_CONNECTION_TLS_CIPHER:
        return text_or_none(info->cipher, out);
    case MB_CONNECTION_PEER_SUBJECT:
        return text_or_none(peer->subject, out);
    default:
        return text_or_none(peer->sha256, out);
    }
}

static int info_text(mb_connection *connection, mb_connection_info what, mb_slice *out) {
    const mb_conn *conn = connection->stage.conn;
    switch (what) {
    case MB_CONNECTION_REMOTE:
        return address_text(connection, &conn->remote, out);
    case MB_CONNECTION_LOCAL:
        return address_text(connection, &conn->local, out);
    case MB_CONNECTION_DIRECT_REMOTE:
        return address_text(
            connection,
            connection->origin != NULL ? &connection->origin->direct_remote : &conn->remote, out);
    case MB_CONNECTION_UPSTREAM:
        return address_text(connection, &connection->upstream, out);
    case MB_CONNECTION_LISTENER:
        return text_or_none(connection->listener, out);
    case MB_CONNECTION_CLUSTER:
        return text_or_none(connection->cluster, out);
    case MB_CONNECTION_CLOSE_DETAILS:
        return text_or_none(connection->close_details, out);
    case MB_CONNECTION_SNI:
    case MB_CONNECTION_ALPN:
    case MB_CONNECTION_TLS_VERSION:
    case MB_CONNECTION_TLS_CIPHER:
    case MB_CONNECTION_PEER_SUBJECT:
    case MB_CONNECTION_PEER_SHA256:
        return tls_text(connection, what, out);
    default:
        return MB_ENOTFOUND;
    }
}

static bool ended(mb_connection *connection, mb_network_direction direction) {
    return connection->ended[direction];
}

static int metadata_get(mb_connection *connection, mb_slice space, mb_slice key, mb_slice *value) {
    return mb_metadata_store_get(&connection->metadata, space, key, value);
}

static int metadata_set(mb_connection *connection, mb_slice space, mb_slice key, mb_slice value) {
    return mb_metadata_store_set(&connection->metadata, space, key, value);
}

static int close_connection(mb_connection *connection, mb_network_close kind, mb_slice details) {
    if (connection->closed) {
        return MB_EGONE;
    }
    mb_slice text = MB_SLICE_LIT("filter_close");
    if (details.len > 0) {
        int rc = mb_arena_dup(&connection->arena, details, &text);
        if (rc < 0) {
            return rc;
        }
    }
    mb__network_close(connection, kind, text);
    return MB_OK;
}

/* -- the filter in the connection -------------------------------------------------------------- */

static mb_network_way *way_of(mb_network_filter *filter, mb_network_direction direction) {
    return &((mb_network_slot *)filter)->way[direction]; /* a filter is its slot's first member */
}

static mb_buffer *outgoing(mb_network_filter *filter, mb_network_direction direction) {
    mb_connection *connection = filter->connection;
    if (connection->closed) {
        return NULL;
    }
    mb_network_hold *hold = mb__network_hold(connection, way_of(filter, direction));
    mb__network_act_soon(connection);
    return hold != NULL ? &hold->outgoing : NULL;
}

static mb_buffer *held(mb_network_filter *filter, mb_network_direction direction) {
    mb_connection *connection = filter->connection;
    mb_network_hold *hold = mb__network_hold(connection, way_of(filter, direction));
    if (!connection->closed) {
        mb__network_act_soon(connection); /* it may be less afterwards */
    }
    return hold != NULL ? &hold->kept : NULL;
}

static int resume(mb_network_filter *filter, mb_network_direction direction) {
    mb_connection *connection = filter->connection;
    mb_network_way *way = way_of(filter, direction);
    bool inside = connection->in_hook && connection->hook_direction == (uint8_t)direction;
    if (connection->closed || way->position == MB_NETWORK_PENDING ||
        (way->position == MB_NETWORK_OPEN && !inside)) {
        return MB_EPHASE;
    }
    way->resume_asked = true;
    mb__network_act_soon(connection);
    return MB_OK;
}

static int finish(mb_network_filter *filter, mb_network_direction direction, int status) {
    mb_network_way *way = way_of(filter, direction);
    if (filter->connection->closed || way->position != MB_NETWORK_PENDING || way->finish_asked ||
        status == MB_PENDING) {
        return MB_EPHASE;
    }
    way->finish_asked = true;
    way->finish_status = status;
    mb__network_act_soon(filter->connection);
    return MB_OK;
}

static mb_network_slot *find_slot(mb_connection *connection, const char *name) {
    for (uint32_t i = 0; i < connection->chain->count; i++) {
        if (strcmp(connection->slots[i].filter.name, name) == 0) {
            return &connection->slots[i];
        }
    }
    return NULL;
}

static int filter_of(mb_worker *worker, mb_connection_id id, const char *name,
                     mb_network_filter **out) {
    mb_connection *connection = mb_connection_find(worker, id);
    if (connection == NULL) {
        return MB_EGONE;
    }
    mb_network_slot *slot = find_slot(connection, name);
    if (slot == NULL) {
        return MB_ENOTFOUND;
    }
    *out = &slot->filter;
    return MB_OK;
}

/* -- from other threads ------------------------------------------------------------------------ */

static void deliver_post(const mb_posted *posted) {
    mb_connection *connection = mb_connection_find(posted->worker, posted->id);
    mb_network_slot *slot = connection != NULL ? find_slot(connection, posted->name) : NULL;
    if (slot != NULL) {
        mb__network_deliver_post(connection, slot, posted->event);
    }
}

static int post(mb_worker *worker, mb_connection_id id, const char *name, uint64_t event) {
    return mb__posted_send(worker, deliver_post, id, name, event);
}

const mb_network_host mb_network_host_functions = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(mb_network_host),
    .info_number = info_number,
    .info_text = info_text,
    .ended = ended,
    .metadata_get = metadata_get,
    .metadata_set = metadata_set,
    .close = close_connection,
    .outgoing = outgoing,
    .held = held,
    .resume = resume,
    .finish = finish,
    .filter_of = filter_of,
    .post = post,
};
