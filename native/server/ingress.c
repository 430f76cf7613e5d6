/*
 * Ingress: see ingress.h.
 */
#include "server/ingress.h"

#include "base/alloc.h"
#include "base/slice.h"
#include "server/pending.h"
#include "server/server_internal.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void on_accept(void *owner, mb_listener *listener, int fd, const mb_address *remote) {
    (void)listener;
    mb_accept_socket(owner, fd, remote);
}

/* listener.<address>.ssl.*: all chains count together. */
static int define_tls_metrics(mb_worker *worker, const mb_listener_config *config,
                              mb_slice listener) {
    mb_text prefix;
    mb_text_init(&prefix, worker->allocator, SIZE_MAX);
    mb_text_c(&prefix, "listener.");
    mb_text_append(&prefix, listener);
    mb_text_byte(&prefix, '.');
    int result = prefix.status;
    for (uint32_t i = 0; i < mb_listener_config_chain_count(config) && result == MB_OK; i++) {
        mb_tls_context *tls = mb_listener_config_chain(config, i)->tls;
        if (tls != NULL) {
            result = mb_tls_context_count_as(tls, worker->stats, mb_text_view(&prefix));
        }
    }
    mb_text_fini(&prefix);
    return result;
}

/* Envoy's name of a listener's statistics: the address with '_' for ':'. */
int mb_ingress_metrics(const mb_ingress *ingress, const mb_listener_config *config,
                       mb_listener_metrics *out) {
    char text[MB_ADDRESS_TEXT_BYTES];
    mb_slice listener = config->stat_prefix;
    if (listener.len == 0) {
        size_t len = strlen(ingress->address);
        for (size_t i = 0; i < len; i++) {
            text[i] = ingress->address[i] == ':' ? '_' : ingress->address[i];
        }
        listener = (mb_slice){text, len};
    }
    int result = mb_listener_metrics_define(ingress->worker->stats, listener, out);
    return result < 0 ? result : define_tls_metrics(ingress->worker, config, listener);
}

bool mb_ingress_same_address(const mb_ingress *ingress, const mb_listener_config *config) {
    const mb_listener_config *own = ingress->config;
    bool same =
        own->address_count == config->address_count && own->bind_to_port == config->bind_to_port;
    for (uint32_t i = 0; i < own->address_count && same; i++) {
        same = mb_address_equal(&own->addresses[i].address, &config->addresses[i].address);
    }
    return same;
}

static bool is_wildcard(const mb_address *address) {
    switch (address->sa.sa_family) {
    case AF_INET:
        return address->in.sin_addr.s_addr == INADDR_ANY;
    case AF_INET6:
        return IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr);
    default:
        return false;
    }
}

/* Whether a listener on all addresses that `own` stands for has `destination` among them. */
static bool covers(const mb_address *own, bool v6_only, const mb_address *destination) {
    sa_family_t family = destination->sa.sa_family;
    bool by_v4 = family == AF_INET && own->sa.sa_family == AF_INET6 && !v6_only;
    return is_wildcard(own) && (own->sa.sa_family == family || by_v4) &&
           mb_address_port(own) == mb_address_port(destination);
}

static bool stands_for(const mb_ingress *ingress, const mb_address *destination, bool exact) {
    for (uint32_t i = 0; i < ingress->config->address_count; i++) {
        const mb_listen_address *given = &ingress->config->addresses[i];
        const mb_address *bound = mb_listener_address(ingress->listener, i);
        const mb_address *own = bound != NULL ? bound : &given->address;
        if (exact ? mb_address_equal(own, destination) : covers(own, given->v6_only, destination)) {
            return true;
        }
    }
    return false;
}

mb_ingress *mb_ingress_for(struct mb_server *server, const mb_address *destination) {
    for (int exact = 1; exact >= 0; exact--) {
        MB_LIST_FOREACH(&server->ingresses, node) {
            mb_ingress *ingress = MB_LIST_ENTRY(node, mb_ingress, node);
            if (stands_for(ingress, destination, exact == 1)) {
                return ingress;
            }
        }
    }
    return NULL;
}

/* -- a newer configuration -----------------------------------------------------------------------
 */

static bool same_terminal(const mb_filter_chain_config *a, const mb_filter_chain_config *b) {
    return (a->hcm == NULL) == (b->hcm == NULL);
}

/* The chain of `config` that stands for one of the configuration before: by its name, or where it
 * has none by its place. NULL: it is gone. */
static const mb_filter_chain_config *successor(const mb_listener_config *config,
                                               const mb_listener_config *before,
                                               const mb_filter_chain_config *chain) {
    const mb_filter_chain_config *found = NULL;
    if (chain == before->default_chain) {
        found = config->default_chain;
    } else if (chain->name.len > 0) {
        for (uint32_t i = 0; i < config->chain_count && found == NULL; i++) {
            bool same = mb_slice_equal(config->chains[i].name, chain->name);
            found = same ? &config->chains[i] : NULL;
        }
    } else {
        size_t place = (size_t)(chain - before->chains);
        bool there = place < config->chain_count && config->chains[place].name.len == 0;
        found = there ? &config->chains[place] : NULL;
    }
    return found != NULL && same_terminal(found, chain) ? found : NULL;
}

static void follow(mb_downstream *downstream, const mb_listener_config *config,
                   const mb_listener_config *before, mb_snapshot *from, mb_snapshot *to) {
    if (downstream->snapshot != from) {
        return; /* its chain was lost in an earlier reload: it drains */
    }
    const mb_filter_chain_config *chain = downstream->chain;
    const mb_filter_chain_config *next = successor(config, before, chain);
    if (next == NULL) {
        downstream->ops->drain(downstream);
        return;
    }
    downstream->snapshot = mb_snapshot_ref(to);
    downstream->chain = next;
    downstream->ops->reconfigured(downstream, chain);
    mb_snapshot_unref(from);
}

void mb_ingress_configure(mb_ingress *ingress, mb_snapshot *snapshot,
                          const mb_listener_config *config, const mb_listener_metrics *metrics) {
    mb_snapshot *before = ingress->snapshot;
    const mb_listener_config *config_before = ingress->config;
    mb_metric_add(ingress->metrics.cx_active, -(int64_t)ingress->conn_count);
    mb_metric_add(metrics->cx_active, ingress->conn_count);
    mb_metric_add(ingress->metrics.pre_cx_active, -(int64_t)ingress->pending_count);
    mb_metric_add(metrics->pre_cx_active, ingress->pending_count);
    ingress->metrics = *metrics;
    ingress->snapshot = mb_snapshot_ref(snapshot);
    ingress->config = config;
    mb_ingress_ref(ingress); /* a connection that ends here may be the last reference */
    MB_LIST_FOREACH(&ingress->downstreams, node) {
        follow(MB_LIST_ENTRY(node, mb_downstream, node), config, config_before, before, snapshot);
    }
    mb_snapshot_unref(before);
    mb_ingress_unref(ingress);
}

/* -- life ----------------------------------------------------------------------------------------
 */

static size_t address_text(const mb_address *address, char *out) {
    bool is_unix = address->sa.sa_family == AF_UNIX;
    /* As a URL: "unix:///run/x", "unix:relative", "unix:@abstract". */
    size_t lead = !is_unix ? 0 : address->un.sun_path[0] == '/' ? 7 : 5;
    memcpy(out, "unix://", lead);
    return lead + mb_address_text(address, out + lead);
}

static int add_address(mb_ingress *ingress, uint32_t index) {
    size_t bytes = sizeof(mb_ingress_address) + strlen(ingress->name) + 16;
    mb_ingress_address *made = mb_zalloc(ingress->worker->allocator, bytes);
    if (made == NULL) {
        return ENOMEM;
    }
    made->bytes = bytes;
    (void)address_text(mb_listener_address(ingress->listener, index), made->text);
    strcpy(made->name, ingress->name);
    if (index > 0) {
        snprintf(made->name + strlen(made->name), 16, "[%u]", index);
    }
    mb_ingress_address **last = &ingress->addresses;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = made;
    return 0;
}

/* 0, or an errno and which address it is about. */
static int open_listener(mb_ingress *ingress, uint32_t *failed) {
    const mb_listener_config *config = ingress->config;
    *failed = 0;
    ingress->listener =
        mb_listener_new(&ingress->worker->net, &config->options, on_accept, ingress);
    if (ingress->listener == NULL) {
        return ENOMEM;
    }
    for (uint32_t i = 0; config->bind_to_port && i < config->address_count; i++) {
        int error = mb_listener_add(ingress->listener, &config->addresses[i]);
        if (error == 0) {
            error = add_address(ingress, i);
        }
        if (error != 0) {
            *failed = i;
            return error;
        }
    }
    const mb_address *first = mb_listener_address(ingress->listener, 0);
    first = first != NULL ? first : &config->addresses[0].address;
    ingress->address[mb_address_text(first, ingress->address)] = '\0';
    return 0;
}

mb_ingress *mb_ingress_new(struct mb_server *server, mb_worker *worker, mb_snapshot *snapshot,
                           const mb_listener_config *config, int *error, uint32_t *failed) {
    const mb_allocator *allocator = worker->allocator;
    size_t name_bytes = strlen(config->name) + 1;
    mb_ingress *ingress = mb_zalloc(allocator, sizeof(*ingress));
    char *name = ingress != NULL ? mb_alloc(allocator, name_bytes) : NULL;
    if (name == NULL) {
        mb_free(allocator, ingress, sizeof(*ingress));
        *error = ENOMEM;
        *failed = 0;
        return NULL;
    }
    memcpy(name, config->name, name_bytes);
    ingress->refs = 1;
    ingress->server = server;
    ingress->worker = worker;
    ingress->name = name;
    ingress->snapshot = mb_snapshot_ref(snapshot);
    ingress->config = config;
    mb_list_init(&ingress->downstreams);
    mb_list_init(&ingress->pending);
    *error = open_listener(ingress, failed);
    if (*error == 0 && mb_ingress_metrics(ingress, config, &ingress->metrics) < 0) {
        *error = ENOMEM;
    }
    if (*error != 0) {
        mb_ingress_unref(ingress);
        return NULL;
    }
    return ingress;
}

void mb_ingress_unref(mb_ingress *ingress) {
    if (--ingress->refs > 0) {
        return;
    }
    const mb_allocator *allocator = ingress->worker->allocator;
    mb_listener_free(ingress->listener);
    while (ingress->addresses != NULL) {
        mb_ingress_address *first = ingress->addresses;
        ingress->addresses = first->next;
        mb_free(allocator, first, first->bytes);
    }
    mb_free(allocator, ingress->peeked, MB_PENDING_PEEK_BYTES);
    mb_snapshot_unref(ingress->snapshot);
    allocator->free(allocator->ctx, ingress->name, strlen(ingress->name) + 1);
    allocator->free(allocator->ctx, ingress, sizeof(*ingress));
}

void mb_ingress_drain(mb_ingress *ingress) {
    if (ingress->draining) {
        return;
    }
    ingress->draining = true;
    mb_ingress_ref(ingress); /* a connection that ends here may be the last reference */
    mb_listener_stop(ingress->listener);
    MB_LIST_FOREACH(&ingress->downstreams, node) {
        mb_downstream *downstream = MB_LIST_ENTRY(node, mb_downstream, node);
        downstream->ops->drain(downstream);
    }
    mb_ingress_unref(ingress);
}

void mb_ingress_close(mb_ingress *ingress) {
    mb_ingress_ref(ingress);
    mb_list_node *node;
    while ((node = mb_list_front(&ingress->downstreams)) != NULL) {
        mb_downstream *downstream = MB_LIST_ENTRY(node, mb_downstream, node);
        downstream->ops->close(downstream);
    }
    while ((node = mb_list_front(&ingress->pending)) != NULL) {
        mb_pending_close(MB_LIST_ENTRY(node, mb_pending, node));
    }
    mb_ingress_unref(ingress);
}
