/*
 * c-ares on our loop: see dns.h.
 *
 * c-ares tells which sockets it wants watched (on_socket_state); every readiness and timeout goes
 * to ares_process_fd, which calls back with answers. A query can't be taken back from c-ares, so
 * each has a small lookup of its own that outlives the asker and swallows what comes too late.
 */
#include "upstream/dns.h"

#include "base/alloc.h"
#include "event/loop.h"

#include <ares.h>
#include <stdlib.h>

#define DEFAULT_TIMEOUT_MS 5000
#define DEFAULT_TRIES 4

typedef struct dns_socket {
    mb_list_node node;
    mb_io io;
    mb_resolver *resolver;
} dns_socket;

struct mb_dns_lookup {
    mb_resolver *resolver;
    mb_dns_query *query; /* NULL: nobody waits any more */
    mb_dns_family family;
};

struct mb_resolver {
    mb_worker *worker;
    ares_channel channel;
    mb_list sockets;
    mb_timer timer;
    mb_dns_settings settings;
    bool stale;     /* a server did not answer: read the system's list again before asking */
    uint32_t asked; /* lookups under way */
};

static void arm_timer(mb_resolver *resolver) {
    struct timeval wait, *next = ares_timeout(resolver->channel, NULL, &wait);

    if (next == NULL) {
        mb_loop_disarm(&resolver->timer);
    } else {
        mb_loop_arm(resolver->worker->loop, &resolver->timer,
                    (uint64_t)next->tv_sec * 1000000u + (uint64_t)next->tv_usec);
    }
}

static void on_timer(mb_timer *timer) {
    mb_resolver *resolver = MB_LIST_ENTRY(timer, mb_resolver, timer);

    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_timer(resolver);
}

/* -- sockets ---------------------------------------------------------------------------------- */

static void on_socket_ready(mb_io *io, uint32_t events) {
    dns_socket *socket = MB_LIST_ENTRY(io, dns_socket, io);
    mb_resolver *resolver = socket->resolver; /* the socket may go in the call */
    bool readable = (events & (MB_IO_READ | MB_IO_HANGUP | MB_IO_ERROR)) != 0;
    bool writable = (events & (MB_IO_WRITE | MB_IO_ERROR)) != 0;

    ares_process_fd(resolver->channel, readable ? io->fd : ARES_SOCKET_BAD,
                    writable ? io->fd : ARES_SOCKET_BAD);
    arm_timer(resolver);
}

static dns_socket *find_socket(mb_resolver *resolver, int fd) {
    MB_LIST_FOREACH(&resolver->sockets, node) {
        dns_socket *socket = MB_LIST_ENTRY(node, dns_socket, node);

        if (socket->io.fd == fd) {
            return socket;
        }
    }
    return NULL;
}

static void forget_socket(dns_socket *socket) {
    mb_worker *worker = socket->resolver->worker;
    mb_poller *poller = mb_loop_poller(worker->loop);

    poller->vtable->remove(poller, &socket->io);
    mb_list_remove(&socket->node);
    mb_free(worker->allocator, socket, sizeof *socket);
}

/* Without memory to watch it, the query fails by its timeout. */
static void watch_socket(mb_resolver *resolver, int fd, uint32_t events) {
    mb_worker *worker = resolver->worker;
    mb_poller *poller = mb_loop_poller(worker->loop);
    dns_socket *socket = mb_zalloc(worker->allocator, sizeof *socket);

    if (socket == NULL) {
        return;
    }
    socket->resolver = resolver;
    socket->io = (mb_io){.fd = fd, .on_ready = on_socket_ready};
    if (poller->vtable->add_level(poller, &socket->io, events) != MB_OK) {
        mb_free(worker->allocator, socket, sizeof *socket);
        return;
    }
    mb_list_push_back(&resolver->sockets, &socket->node);
}

static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable) {
    mb_resolver *resolver = data;
    mb_poller *poller = mb_loop_poller(resolver->worker->loop);
    dns_socket *socket = find_socket(resolver, fd);
    uint32_t events = (readable ? MB_IO_READ : 0u) | (writable ? MB_IO_WRITE : 0u);

    if (events == 0) {
        if (socket != NULL) {
            forget_socket(socket);
        }
    } else if (socket == NULL) {
        watch_socket(resolver, fd, events);
    } else {
        (void)poller->vtable->modify_level(poller, &socket->io, events);
    }
}

/* -- answers ---------------------------------------------------------------------------------- */

/* The address family that this answer is used with; AF_UNSPEC: both. */
static int used_family(mb_dns_family family, const struct ares_addrinfo_node *nodes) {
    bool v4 = false, v6 = false;

    for (; nodes != NULL; nodes = nodes->ai_next) {
        v4 |= nodes->ai_family == AF_INET;
        v6 |= nodes->ai_family == AF_INET6;
    }
    switch (family) {
    case MB_DNS_V4_ONLY:
        return AF_INET;
    case MB_DNS_V6_ONLY:
        return AF_INET6;
    case MB_DNS_V4_PREFERRED:
        return v4 ? AF_INET : AF_INET6;
    case MB_DNS_AUTO:
        return v6 ? AF_INET6 : AF_INET;
    case MB_DNS_ALL:
        break;
    }
    return AF_UNSPEC;
}

static uint32_t take_addresses(const struct mb_dns_lookup *lookup,
                               const struct ares_addrinfo_node *nodes, mb_address *out,
                               uint32_t *ttl_s) {
    int family = used_family(lookup->family, nodes);
    uint32_t count = 0;

    *ttl_s = UINT32_MAX;
    for (; nodes != NULL && count < MB_DNS_ADDRESSES_MAX; nodes = nodes->ai_next) {
        uint32_t ttl = nodes->ai_ttl > 0 ? (uint32_t)nodes->ai_ttl : 0;

        if ((nodes->ai_family != AF_INET && nodes->ai_family != AF_INET6) ||
            (family != AF_UNSPEC && nodes->ai_family != family) ||
            (size_t)nodes->ai_addrlen > sizeof out->in6) {
            continue;
        }
        memset(&out[count], 0, sizeof out[count]);
        out[count].length = nodes->ai_addrlen;
        memcpy(&out[count].sa, nodes->ai_addr, nodes->ai_addrlen);
        count++;
        *ttl_s = ttl < *ttl_s ? ttl : *ttl_s;
    }
    return count;
}

static void answer(struct mb_dns_lookup *lookup, mb_dns_query *query, int status,
                   const struct ares_addrinfo *result) {
    const mb_allocator *allocator = lookup->resolver->worker->allocator;
    size_t bytes = MB_DNS_ADDRESSES_MAX * sizeof(mb_address);
    mb_address *addresses;
    uint32_t count, ttl_s;

    if (status == ARES_ENOTFOUND || status == ARES_ENODATA) {
        query->on_answer(query, MB_DNS_EMPTY, NULL, 0, 0);
        return;
    }
    addresses = status == ARES_SUCCESS ? mb_alloc(allocator, bytes) : NULL;
    if (addresses == NULL) {
        query->on_answer(query, MB_DNS_FAILED, NULL, 0, 0);
        return;
    }
    count = take_addresses(lookup, result->nodes, addresses, &ttl_s);
    query->on_answer(query, count > 0 ? MB_DNS_OK : MB_DNS_EMPTY, addresses, count, ttl_s);
    mb_free(allocator, addresses, bytes);
}

static void on_result(void *data, int status, int timeouts, struct ares_addrinfo *result) {
    struct mb_dns_lookup *lookup = data;
    mb_resolver *resolver = lookup->resolver;
    mb_dns_query *query = lookup->query;

    (void)timeouts;
    resolver->asked--;
    resolver->stale |= status == ARES_ECONNREFUSED || status == ARES_ETIMEOUT;
    if (query != NULL) {
        query->lookup = NULL;
        answer(lookup, query, status, result);
    }
    if (result != NULL) {
        ares_freeaddrinfo(result);
    }
    mb_free(resolver->worker->allocator, lookup, sizeof *lookup);
}

/* -- asking ----------------------------------------------------------------------------------- */

static int open_channel(mb_resolver *resolver, ares_channel *out) {
    const mb_dns_settings *settings = &resolver->settings;
    const char *servers =
        settings->servers != NULL ? settings->servers : getenv(MB_DNS_SERVERS_VARIABLE);
    struct ares_options options = {
        .timeout = settings->timeout_ms > 0 ? (int)settings->timeout_ms : DEFAULT_TIMEOUT_MS,
        .tries = settings->tries > 0 ? (int)settings->tries : DEFAULT_TRIES,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = resolver,
    };
    int status = ares_init_options(out, &options,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);

    if (status != ARES_SUCCESS) {
        return MB_ENOMEM;
    }
    if (servers != NULL && *servers != '\0') {
        status = ares_set_servers_ports_csv(*out, servers);
    }
    if (status != ARES_SUCCESS) {
        mb_worker_log(resolver->worker, MB_LOG_ERROR, "upstream",
                      "DNS servers '%s' are no list of ip[:port]", servers);
        ares_destroy(*out);
        return MB_EINVAL;
    }
    return MB_OK;
}

/* The system's servers may have changed while they were silent. */
static void refresh_channel(mb_resolver *resolver) {
    ares_channel fresh;

    resolver->stale = false;
    if (open_channel(resolver, &fresh) == MB_OK) {
        ares_destroy(resolver->channel);
        resolver->channel = fresh;
    }
}

mb_resolver *mb_resolver_new(mb_worker *worker, const mb_dns_settings *settings) {
    mb_resolver *resolver = mb_zalloc(worker->allocator, sizeof *resolver);

    if (resolver == NULL) {
        return NULL;
    }
    resolver->worker = worker;
    resolver->settings = *settings;
    resolver->timer.on_expire = on_timer;
    mb_list_init(&resolver->sockets);
    if (open_channel(resolver, &resolver->channel) != MB_OK) {
        mb_free(worker->allocator, resolver, sizeof *resolver);
        return NULL;
    }
    return resolver;
}

void mb_dns_cancel(mb_dns_query *query) {
    if (query->lookup != NULL) {
        query->lookup->query = NULL;
        query->lookup = NULL;
    }
}

void mb_resolver_free(mb_resolver *resolver) {
    mb_list_node *node;

    mb_loop_disarm(&resolver->timer);
    ares_destroy(resolver->channel); /* calls on_result for what is under way */
    while ((node = mb_list_front(&resolver->sockets)) != NULL) {
        forget_socket(MB_LIST_ENTRY(node, dns_socket, node));
    }
    mb_free(resolver->worker->allocator, resolver, sizeof *resolver);
}

int mb_resolver_ask(mb_resolver *resolver, mb_dns_query *query, const char *name,
                    mb_dns_family family) {
    const struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT, /* sorting would open a socket for each address */
        .ai_family = family == MB_DNS_V4_ONLY   ? AF_INET
                     : family == MB_DNS_V6_ONLY ? AF_INET6
                                                : AF_UNSPEC,
    };
    struct mb_dns_lookup *lookup = mb_alloc(resolver->worker->allocator, sizeof *lookup);

    if (lookup == NULL) {
        return MB_ENOMEM;
    }
    if (resolver->stale && resolver->asked == 0) {
        refresh_channel(resolver);
    }
    *lookup = (struct mb_dns_lookup){resolver, query, family};
    query->lookup = lookup;
    resolver->asked++;
    ares_getaddrinfo(resolver->channel, name, NULL, &hints, on_result, lookup);
    arm_timer(resolver);
    return MB_OK;
}
