/* The two HTTP/2 codecs against each other, bytes cut in every way. */
#include "../mbtest.h"

#include "../support/h2_rig.h"
#include "base/alloc.h"
#include <stdlib.h>

typedef struct pair {
    mb_slab_pool *pool;
    h2_rig *client, *server;
} pair;

static pair make_with(const mb_codec_options *client, const mb_codec_options *server) {
    pair p;

    p.pool = mb_slab_pool_new(mb_allocator_default());
    p.client = h2_rig_new(mb_allocator_default(), p.pool, false, client);
    p.server = h2_rig_new(mb_allocator_default(), p.pool, true, server);
    MB_CHECK(p.pool != NULL && p.client != NULL && p.server != NULL);
    return p;
}

static pair make(void) {
    return make_with(NULL, NULL);
}

static void drop(pair *p) {
    h2_rig_free(p->client);
    h2_rig_free(p->server);
    mb_slab_pool_free(p->pool);
}

static h2_flow *get(pair *p, const char *path) {
    int rc;
    h2_flow *flow = h2_rig_request(p->client, "GET", path, true, &rc);

    MB_CHECK_EQ_INT(rc, MB_OK);
    return flow;
}

MB_TEST(requests_and_answers_are_the_same_however_the_bytes_are_cut) {
    static const size_t steps[] = {0, 1, 2, 3, 7, 64, 1000};

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        pair p = make();
        h2_flow *upload, *answer;
        int rc;

        p.server->answer = false;
        get(&p, "/first");
        upload = h2_rig_request(p.client, "POST", "/second", false, &rc);
        MB_CHECK_EQ_INT(h2_flow_send(upload, MB_SLICE_LIT("some "), false), MB_OK);
        h2_rig_link(p.client, p.server, steps[i]);
        MB_CHECK_EQ_INT(h2_flow_send(upload, MB_SLICE_LIT("body"), false), MB_OK);
        MB_CHECK_EQ_INT(h2_flow_send_trailers(upload, MB_SLICE_LIT("x-sum"), MB_SLICE_LIT("9")),
                        MB_OK);
        h2_rig_link(p.client, p.server, steps[i]);
        MB_CHECK_EQ_LIT(h2_rig_text(p.server), "1 GET up /first http end\n"
                                               "3 POST up /second http [some body] "
                                               "trailers|x-sum=9 end\n");
        answer = h2_rig_flow(p.server, 3);
        MB_CHECK_EQ_INT(h2_rig_respond(answer, 200, false), MB_OK);
        MB_CHECK_EQ_INT(h2_flow_send(answer, MB_SLICE_LIT("thanks"), false), MB_OK);
        MB_CHECK_EQ_INT(
            h2_flow_send_trailers(answer, MB_SLICE_LIT("grpc-status"), MB_SLICE_LIT("0")), MB_OK);
        MB_CHECK_EQ_INT(h2_rig_respond(h2_rig_flow(p.server, 1), 204, true), MB_OK);
        h2_rig_link(p.client, p.server, steps[i]);
        MB_CHECK_EQ_LIT(h2_rig_text(p.client), "1 204 end\n"
                                               "3 200 [thanks] trailers|grpc-status=0 end\n");
        MB_CHECK(upload->stream.state == NULL && answer->stream.state == NULL);
        MB_CHECK_EQ_INT(p.server->counters.streams_active, 0);
        MB_CHECK_EQ_INT(p.client->counters.streams_active, 0);
        MB_CHECK_EQ_INT(p.client->failed + p.server->failed, 0);
        drop(&p);
    }
}
