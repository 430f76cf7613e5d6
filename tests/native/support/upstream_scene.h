/*
 * A router at work: a rig with one cluster, a route table of one route, and streams whose
 * connection manager is the test.
 */
#ifndef MBTEST_UPSTREAM_SCENE_H
#define MBTEST_UPSTREAM_SCENE_H

#include "support/upstream_rig.h"
#include "upstream/router.h"

typedef struct router_scene {
    rig in;
    mb_cluster_settings settings;
    mb_cluster *cluster;
    mb_map clusters;
    mb_route_table table;
    mb_virtual_host host;
    mb_route route;
    bool no_route;
    mb_router_config config;
    mb_chain chain;
} router_scene;

/* What the client of one stream sees. */
typedef struct exchange {
    mb_stream *stream; /* NULL once completed */
    router_scene *scene;
    uint32_t status;
    char headers[2048]; /* "name: value\n" each */
    char body[4096];
    size_t body_length;
    size_t informational;
    bool headers_seen, ended, trailers_seen, reset, completed;
    bool paused; /* the request */
    size_t pauses;
    bool keep_response_paused;
    /* from the completed stream */
    uint32_t flags, attempts;
    char details[256], failure[128], cluster[64], upstream[MB_ADDRESS_TEXT_BYTES + 1];
} exchange;

/* Settings may be changed between the two. */
bool scene_init(router_scene *self, size_t fail_at);
void scene_start(router_scene *self);
void scene_fini(router_scene *self);

/* A stream with :method, :path, :authority. NULL in `stream`: out of memory. */
void exchange_begin(exchange *self, router_scene *in, const char *method, const char *path);
void exchange_header(exchange *self, const char *name, const char *value);
void exchange_send_headers(exchange *self, bool end_stream);
void exchange_send_body(exchange *self, const char *bytes, bool end_stream);
/* The whole of a request without body. */
void exchange_get(exchange *self, router_scene *in, const char *path);
void exchange_wait(exchange *self); /* until it is completed */
void exchange_wait_headers(exchange *self);
bool exchange_has_header(const exchange *self, const char *line);

#define CHECK_EXCHANGE(self, want_status, want_flags, want_details, want_body)                     \
    do {                                                                                           \
        MB_CHECK((self)->completed);                                                               \
        MB_CHECK_EQ_INT((self)->status, want_status);                                              \
        MB_CHECK_EQ_INT((self)->flags, want_flags);                                                \
        MB_CHECK_EQ_LIT(mb_slice_from_c((self)->details), want_details);                           \
        MB_CHECK_EQ_LIT(((mb_slice){(self)->body, (self)->body_length}), want_body);               \
    } while (0)

#endif
