/*
 * From an accepted socket to the terminal of its filter chain: the chain is found, its transport
 * made, its terminal started. Each step takes the socket; where one fails it is closed.
 */
#include "server/downstream.h"
#include "server/http_conn.h"
#include "server/tcp_proxy.h"
#include <unistd.h>

static void refuse(mb_ingress *ingress, int fd) {
    close(fd);
    mb_listener_release(ingress->listener);
}

static const mb_filter_chain_config *find_chain(const mb_listener_config *config) {
    return config->chain_count > 0 ? &config->chains[0] : config->default_chain;
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

void mb_accept_socket(mb_ingress *ingress, int fd, const mb_address *remote) {
    const mb_filter_chain_config *chain = find_chain(ingress->config);
    mb_accepted accepted = {.fd = fd, .remote = *remote};
    if (chain == NULL) {
        mb_metric_inc(ingress->metrics.no_filter_chain_match);
        refuse(ingress, fd);
        return;
    }
    accepted.transport = make_transport(ingress, chain, fd);
    if (accepted.transport == NULL) {
        mb_listener_release(ingress->listener);
        return;
    }
    int rc = chain->tcp != NULL ? mb_tcp_conn_start(ingress, chain, &accepted)
                                : mb_http_conn_start(ingress, chain, &accepted);
    if (rc < 0) {
        mb_listener_release(ingress->listener);
    }
}
