/*
 * What other threads may do while a server runs: post to filters, give leases back, make the run
 * return, read statistics and the hook slot, change the log level. Under ThreadSanitizer it shows
 * races, under the others lost events.
 */
#include "mbtest.h"

#include "config/documents.h"
#include "support/json_document.h"

#include <arpa/inet.h>
#include <moebridge/core.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 3
#define REQUESTS 150
#define BODY_BYTES 5000

static const mb_host *host;

/* A list between threads. */
typedef struct box {
    pthread_mutex_t lock;
    uint64_t ids[CLIENTS * REQUESTS];
    mb_lease *leases[CLIENTS * REQUESTS * 8];
    mb_slice views[CLIENTS * REQUESTS * 8];
    size_t id_count, lease_count;
} box;

typedef struct scene {
    mb_server *server;
    mb_worker *worker;
    uint16_t port;
    box box;
    atomic_int clients_left, answered;
    atomic_bool adopted, stop;
    uint32_t completed, scheduled; /* the server's thread's */
} scene;

static scene *present;

/* -- the filter: waits for a post of another thread, lends its body to it --------------------- */

static mb_headers_status request_headers(mb_filter *filter, bool end_stream) {
    (void)filter;
    (void)end_stream;
    return MB_HEADERS_STOP_ITERATION;
}

static mb_body_status request_body(mb_filter *filter, mb_buffer *data, bool end_stream) {
    box *out = &present->box;
    mb_slice view;
    mb_lease *lease;
    uint64_t id;
    pthread_mutex_lock(&out->lock);
    for (size_t i = 0; host->buffer_retain(data, i, &view, &lease) == MB_OK; i++) {
        out->views[out->lease_count] = view;
        out->leases[out->lease_count++] = lease;
    }
    if (end_stream) {
        host->info_number(filter->stream, MB_INFO_ID, &id);
        out->ids[out->id_count++] = id;
    }
    pthread_mutex_unlock(&out->lock);
    return MB_BODY_STOP_NO_BUFFER;
}

static void scheduled(mb_filter *filter, uint64_t event) {
    mb_local_reply reply = {.status = 200, .body = MB_SLICE_LIT("posted")};
    present->scheduled++;
    MB_CHECK_EQ_INT(event, 42);
    MB_CHECK_EQ_INT(host->respond(filter, &reply), MB_OK);
}

static void stream_complete(mb_filter *filter) {
    (void)filter;
    present->completed++;
}

static const mb_filter_hooks hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(hooks),
    .request_headers = request_headers,
    .request_body = request_body,
    .scheduled = scheduled,
    .stream_complete = stream_complete,
};
static const mb_filter_kind kinds[] = {{"*", &hooks}};

/* -- the other threads (no checks here: they end the case only on its own thread) ------------- */

static bool exchange(int fd, const char *request, size_t length) {
    char answer[1024];
    size_t got = 0;
    if (send(fd, request, length, MSG_NOSIGNAL) != (ssize_t)length) {
        return false;
    }
    while (got < 6 || memcmp(answer + got - 6, "posted", 6) != 0) {
        ssize_t count = recv(fd, answer + got, sizeof(answer) - got, 0);
        if (count <= 0) {
            return false;
        }
        got += (size_t)count;
    }
    return true;
}

static void *run_client(void *context) {
    scene *self = context;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(self->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    static const char head[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n";
    char request[sizeof(head) - 1 + BODY_BYTES];
    memcpy(request, head, sizeof(head) - 1);
    memset(request + sizeof(head) - 1, 'b', BODY_BYTES);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        for (int i = 0; i < REQUESTS && exchange(fd, request, sizeof(request)); i++) {
            atomic_fetch_add(&self->answered, 1);
        }
    }
    close(fd);
    if (atomic_fetch_sub(&self->clients_left, 1) == 1) {
        atomic_store(&self->stop, true);
    }
    mb_server_yield(self->server);
    return NULL;
}

/* Posts for streams that wait, some of them twice and some to nobody; gives leases back. */
static void *run_poster(void *context) {
    scene *self = context;
    size_t ids = 0, leases = 0;
    uint64_t sum = 0;
    while (!atomic_load(&self->stop)) {
        pthread_mutex_lock(&self->box.lock);
        size_t id_count = self->box.id_count, lease_count = self->box.lease_count;
        pthread_mutex_unlock(&self->box.lock);
        for (; leases < lease_count; leases++) {
            for (size_t i = 0; i < self->box.views[leases].len; i++) {
                sum += (uint8_t)self->box.views[leases].ptr[i];
            }
            host->lease_release(self->box.leases[leases]);
        }
        for (; ids < id_count; ids++) {
            uint64_t id = self->box.ids[ids];
            (void)host->post(self->worker, id + (1ull << 40), "probe", 42);
            (void)host->post(self->worker, id, "nobody", 42);
            (void)host->post(self->worker, id, "probe", 42);
        }
    }
    return (void *)(uintptr_t)sum;
}

static void *run_watcher(void *context) {
    scene *self = context;
    const mb_hook_slot *slot = mb_server_hook_slot(self->server);
    uint64_t sum = 0;
    for (unsigned i = 0; !atomic_load(&self->stop); i++) {
        char *text;
        size_t length;
        sum += __atomic_load_n(&slot->sequence, __ATOMIC_RELAXED);
        if (mb_server_stats(self->server, &text, &length) == MB_OK) {
            mb_text_free(text);
        }
        if (mb_server_prometheus(self->server, &text, &length) == MB_OK) {
            mb_text_free(text);
        }
        mb_server_set_log_level(self->server, i % 2 == 0 ? MB_LOG_DEBUG : MB_LOG_ERROR);
        mb_server_yield(self->server);
    }
    return (void *)(uintptr_t)sum;
}

/* -- the case --------------------------------------------------------------------------------- */

static void take_line(void *context, mb_log_level level, mb_slice component, mb_slice text) {
    (void)context;
    (void)level;
    (void)component;
    (void)text;
}

static void scene_init(scene *self) {
    mb_module module = {
        .abi_version = MB_ABI_VERSION,
        .struct_size = sizeof(module),
        .name = "moebridge",
        .filters = kinds,
        .filter_count = 1,
    };
    mb_server_options options = {.struct_size = sizeof(options),
                                 .logger = {.log = take_line, .level = MB_LOG_ERROR}};
    mb_text document;
    char *faults;
    const char *name, *address;
    memset(self, 0, sizeof(*self));
    present = self;
    host = mb_host_table();
    MB_CHECK_EQ_INT(pthread_mutex_init(&self->box.lock, NULL), 0);
    MB_CHECK_EQ_INT(mb_server_new(&options, &self->server), MB_OK);
    MB_CHECK_EQ_INT(mb_server_add_module(self->server, &module), MB_OK);
    json_document(&document, config_minimal, NULL);
    MB_CHECK_EQ_INT(mb_server_apply(self->server, document.ptr, document.len, &faults), MB_OK);
    mb_text_fini(&document);
    MB_CHECK_EQ_INT(mb_server_start(self->server), MB_OK);
    MB_CHECK_EQ_INT(mb_server_listener(self->server, 0, &name, &address), MB_OK);
    self->port = (uint16_t)atoi(strrchr(address, ':') + 1);
    self->worker = mb_server_worker(self->server);
    atomic_store(&self->clients_left, CLIENTS);
}

static void *serve(void *context) {
    scene *self = context;
    while (!atomic_load(&self->stop)) {
        if (mb_server_run(self->server, -1) < 0) {
            break;
        }
    }
    return NULL;
}

static void *adopt_and_serve(void *context) {
    scene *self = context;
    mb_server_adopt_thread(self->server);
    atomic_store(&self->adopted, true);
    return serve(context);
}

static void check_answers(scene *self) {
    MB_CHECK_EQ_INT(atomic_load(&self->answered), CLIENTS * REQUESTS);
    MB_CHECK_EQ_INT(self->scheduled, CLIENTS * REQUESTS);
    MB_CHECK_EQ_INT(self->completed, CLIENTS * REQUESTS);
}

MB_TEST(other_threads_post_lend_and_look_while_a_server_runs) {
    static scene self;
    pthread_t clients[CLIENTS], poster, watcher;
    scene_init(&self);
    for (int i = 0; i < CLIENTS; i++) {
        MB_CHECK_EQ_INT(pthread_create(&clients[i], NULL, run_client, &self), 0);
    }
    MB_CHECK_EQ_INT(pthread_create(&poster, NULL, run_poster, &self), 0);
    MB_CHECK_EQ_INT(pthread_create(&watcher, NULL, run_watcher, &self), 0);
    serve(&self);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i], NULL);
    }
    pthread_join(poster, NULL);
    pthread_join(watcher, NULL);
    check_answers(&self);
    mb_server_free(self.server);
}

MB_TEST(a_server_may_be_made_on_one_thread_run_on_another_and_freed_on_the_first) {
    static scene self;
    pthread_t clients[CLIENTS], poster, server;
    scene_init(&self);
    MB_CHECK_EQ_INT(pthread_create(&server, NULL, adopt_and_serve, &self), 0);
    while (!atomic_load(&self.adopted)) { /* the others may call it from then on */
    }
    for (int i = 0; i < CLIENTS; i++) {
        MB_CHECK_EQ_INT(pthread_create(&clients[i], NULL, run_client, &self), 0);
    }
    MB_CHECK_EQ_INT(pthread_create(&poster, NULL, run_poster, &self), 0);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i], NULL);
    }
    pthread_join(poster, NULL);
    pthread_join(server, NULL);
    check_answers(&self);
    mb_server_adopt_thread(self.server);
    mb_server_free(self.server);
}
