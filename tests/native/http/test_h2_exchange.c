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

/* A generator of its own, so that a failure can be run again. */
static uint32_t next(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

typedef struct upload {
    h2_flow *flow;
    size_t left, sent;
    uint64_t sum;
} upload;

/* Sends what pressure allows, in pieces of any size. */
static void send_some(upload *u, uint32_t *state) {
    static char piece[40000];

    while (u->left != 0 && !u->flow->above && !u->flow->reset) {
        size_t len = 1 + next(state) % sizeof piece;

        len = len < u->left ? len : u->left;
        for (size_t i = 0; i < len; i++) {
            piece[i] = (char)next(state);
            u->sum = u->sum * 1099511628211u + (uint8_t)piece[i] + 1;
        }
        u->left -= len;
        u->sent += len;
        MB_CHECK_EQ_INT(h2_flow_send(u->flow, (mb_slice){piece, len}, u->left == 0), MB_OK);
        if (next(state) % 4 == 0) {
            return;
        }
    }
}

MB_TEST(many_uploads_with_pauses_arrive_whole_and_memory_is_bounded) {
    for (uint32_t seed = 1; seed <= 6; seed++) {
        mb_codec_options options = {.h2.initial_stream_window_bytes = 20000 * seed,
                                    .h2.output_bytes = 5000 * seed};
        pair p = make_with(&options, &options);
        uint32_t state = seed, turns = 0;
        upload uploads[20];
        size_t done = 0;

        for (size_t i = 0; i < 20; i++) {
            int rc;

            uploads[i] = (upload){.flow = h2_rig_request(p.client, "POST", "/", false, &rc),
                                  .left = 1 + next(&state) % 400000};
            MB_CHECK_EQ_INT(rc, MB_OK);
        }
        while (done < 20) {
            MB_CHECK(turns++ < 5000);
            for (size_t i = 0; i < 20; i++) {
                h2_flow *there = h2_rig_flow(p.server, uploads[i].flow->stream.id);

                send_some(&uploads[i], &state);
                if (there != NULL && next(&state) % 3 == 0) {
                    h2_flow_pause(there, next(&state) % 2 == 0);
                }
                MB_CHECK(uploads[i].left == 0 || uploads[i].flow->above ||
                         p.client->counters.pending_send_bytes <= 20 * (65536 + 40000));
            }
            (void)h2_rig_flush(p.server);
            h2_rig_link(p.client, p.server, 1 + next(&state) % 30000);
            done = 0;
            for (size_t i = 0; i < 20; i++) {
                h2_flow *there = h2_rig_flow(p.server, uploads[i].flow->stream.id);

                done += there->ended;
                MB_CHECK(!there->reset && there->body.length <= 65536 + 20000 * seed);
            }
        }
        for (size_t i = 0; i < 20; i++) {
            h2_flow *there = h2_rig_flow(p.server, uploads[i].flow->stream.id);

            MB_CHECK_EQ_INT(there->body_bytes, uploads[i].sent);
            MB_CHECK(there->body_sum == uploads[i].sum);
            MB_CHECK_EQ_INT(h2_rig_respond(there, 200, true), MB_OK);
        }
        h2_rig_link(p.client, p.server, 0);
        MB_CHECK_EQ_INT(p.client->counters.streams_active, 0);
        MB_CHECK_EQ_INT(p.server->counters.streams_active, 0);
        MB_CHECK_EQ_INT(p.client->counters.pending_send_bytes, 0);
        MB_CHECK_EQ_INT(p.client->failed + p.server->failed, 0);
        drop(&p);
    }
}

MB_TEST(a_server_that_ends_first_stops_the_upload) {
    pair p = make();
    int rc;
    h2_flow *upload_flow = h2_rig_request(p.client, "POST", "/", false, &rc);

    MB_CHECK_EQ_INT(h2_flow_send(upload_flow, MB_SLICE_LIT("part"), false), MB_OK);
    h2_rig_link(p.client, p.server, 0);
    MB_CHECK_EQ_INT(h2_rig_respond(h2_rig_flow(p.server, 1), 413, true), MB_OK);
    h2_rig_link(p.client, p.server, 0);
    MB_CHECK_EQ_LIT(h2_rig_text(p.client), "1 413 end\n");
    MB_CHECK(!upload_flow->stream.local_ended);
    MB_CHECK_EQ_INT(h2_flow_send(upload_flow, MB_SLICE_LIT("rest"), true), MB_OK);
    MB_CHECK_EQ_INT(p.client->counters.streams_active + p.server->counters.streams_active, 0);
    drop(&p);
}

MB_TEST(a_drained_connection_finishes_what_it_has) {
    pair p = make();
    int rc;

    get(&p, "/one");
    h2_rig_link(p.client, p.server, 0);
    p.server->codec->vtable->shut_down(p.server->codec, &p.server->out);
    get(&p, "/crosses");
    h2_rig_link(p.client, p.server, 0);
    MB_CHECK(h2_rig_request(p.client, "GET", "/", true, &rc) == NULL);
    MB_CHECK_EQ_INT(rc, MB_ECLOSED);
    p.server->codec->vtable->shut_down(p.server->codec, &p.server->out);
    h2_rig_link(p.client, p.server, 0);
    MB_CHECK_EQ_INT(h2_rig_respond(h2_rig_flow(p.server, 1), 200, true), MB_OK);
    MB_CHECK_EQ_INT(h2_rig_respond(h2_rig_flow(p.server, 3), 200, true), MB_OK);
    h2_rig_link(p.client, p.server, 0);
    MB_CHECK_EQ_LIT(h2_rig_text(p.client), "1 200 end\n3 200 end\n");
    MB_CHECK_EQ_INT(p.client->failed + p.server->failed, 0);
    drop(&p);
}

MB_TEST(pings_are_answered) {
    pair p = make();

    MB_CHECK_EQ_INT(p.client->codec->vtable->ping(p.client->codec, &p.client->out), MB_OK);
    MB_CHECK_EQ_INT(p.server->codec->vtable->ping(p.server->codec, &p.server->out), MB_OK);
    h2_rig_link(p.client, p.server, 1);
    MB_CHECK_EQ_INT(p.client->ping_acks, 1);
    MB_CHECK_EQ_INT(p.server->ping_acks, 1);
    drop(&p);
}

MB_TEST(websockets_over_http2_are_a_tunnel) {
    mb_codec_options options = {.h2.allow_connect = true};
    pair p = make_with(&options, &options);
    h2_flow *flow, *there;
    int rc;

    h2_rig_link(p.client, p.server, 0); /* the server says that it may */
    flow = get(&p, "/chat");            /* for its memory */
    MB_CHECK_EQ_INT(h2_flow_send(flow, MB_SLICE_LIT("x"), true), MB_EPHASE);
    rc = p.client->codec->vtable->begin(p.client->codec, &flow->stream);
    MB_CHECK_EQ_INT(rc, MB_OK);
    flow->stream.tunnel = true;
    mb_headers_set_token(&flow->message, MB_TOKEN_UPGRADE, MB_SLICE_LIT("websocket"));
    MB_CHECK_EQ_INT(p.client->codec->vtable->send_headers(p.client->codec, &flow->stream,
                                                          &flow->message, false, &p.client->out),
                    MB_OK);
    h2_rig_link(p.client, p.server, 0);
    there = h2_rig_flow(p.server, 3);
    MB_CHECK(there->stream.connect_request && there->stream.upgrade_request);
    MB_CHECK_EQ_LIT(mb_headers_value(&there->headers, MB_TOKEN_UPGRADE), "websocket");
    MB_CHECK_EQ_INT(h2_rig_respond(there, 101, false), MB_OK); /* 200 on the wire, 101 again */
    MB_CHECK_EQ_INT(h2_flow_send(there, MB_SLICE_LIT("hello"), false), MB_OK);
    MB_CHECK_EQ_INT(h2_flow_send(flow, MB_SLICE_LIT("there"), true), MB_OK);
    h2_rig_link(p.client, p.server, 0);
    MB_CHECK_EQ_INT(there->body_bytes, 5);
    MB_CHECK_EQ_INT(flow->body_bytes, 5);
    MB_CHECK_EQ_INT(h2_flow_send(there, MB_SLICE_LIT(""), true), MB_OK);
    h2_rig_link(p.client, p.server, 0);
    MB_CHECK(flow->ended && flow->stream.state == NULL);
    drop(&p);
}

MB_TEST(a_servers_end_of_a_tunnel_is_not_the_clients) {
    mb_codec_options options = {.h2.allow_connect = true};
    pair p = make_with(&options, &options);
    h2_flow *flow, *there;

    h2_rig_link(p.client, p.server, 0);
    flow = get(&p, "/for-its-memory");
    MB_CHECK_EQ_INT(p.client->codec->vtable->begin(p.client->codec, &flow->stream), MB_OK);
    flow->stream.tunnel = true;
    mb_headers_set_token(&flow->message, MB_TOKEN_UPGRADE, MB_SLICE_LIT("websocket"));
    MB_CHECK_EQ_INT(p.client->codec->vtable->send_headers(p.client->codec, &flow->stream,
                                                          &flow->message, false, &p.client->out),
                    MB_OK);
    h2_rig_link(p.client, p.server, 0);
    there = h2_rig_flow(p.server, 3);
    MB_CHECK_EQ_INT(h2_rig_respond(there, 101, false), MB_OK);
    MB_CHECK_EQ_INT(h2_flow_send(there, MB_SLICE_LIT("bye"), true), MB_OK);
    h2_rig_link(p.client, p.server, 0);
    MB_CHECK(flow->ended && flow->stream.tunnel_open && flow->stream.state != NULL);
    MB_CHECK_EQ_INT(h2_flow_send(flow, MB_SLICE_LIT("still here"), true), MB_OK);
    h2_rig_link(p.client, p.server, 0);
    MB_CHECK_EQ_INT(there->body_bytes, 10);
    MB_CHECK(there->ended && there->stream.state == NULL && flow->stream.state == NULL);
    drop(&p);
}
