/* Pools of other kinds: connections that begin with a PROXY header, or speak the client's protocol.
 */
#include "support/h2_peer.h"

#include <unistd.h>

static void ask_in(rig *in, mb_pool *pool, asker *a, const char *path) {
    asker_init(a, in, path);
    mb_headers_set_pseudo(&a->ask, MB_PSEUDO_SCHEME, MB_SLICE_LIT("http"));
    MB_CHECK(pool != NULL);
    mb_pool_request(pool, &a->request);
}

#define OK_RESPONSE "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

MB_TEST(connections_with_a_proxy_header_are_shared_only_by_those_it_names) {
    rig in;
    asker a, b, c;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    mb_upstream_host *host = rig_host(cluster);
    mb_slice one = MB_SLICE_LIT("PROXY one\r\n"), two = MB_SLICE_LIT("PROXY two\r\n");

    MB_CHECK(mb_host_pool(host, MB_UPSTREAM_HTTP1, MB_SLICE_LIT(""), NULL) == &host->pool);
    ask_in(&in, mb_host_pool(host, MB_UPSTREAM_HTTP1, one, NULL), &a, "/a");
    int first = rig_accept(&in);
    rig_expect(&in, first, "PROXY one\r\nGET /a HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_answer(&in, first, OK_RESPONSE);
    asker_wait_end(&a);
    ask_in(&in, mb_host_pool(host, MB_UPSTREAM_HTTP1, two, NULL), &b, "/b");
    int second = rig_accept(&in);
    rig_expect(&in, second, "PROXY two\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n");
    rig_answer(&in, second, OK_RESPONSE);
    asker_wait_end(&b);
    ask_in(&in, mb_host_pool(host, MB_UPSTREAM_HTTP1, one, NULL), &c, "/c");
    rig_expect(&in, first, "GET /c HTTP/1.1\r\nhost: a\r\n\r\n"); /* once a connection */
    rig_answer(&in, first, OK_RESPONSE);
    asker_wait_end(&c);
    MB_CHECK_EQ_INT(mb_map_count(&host->others), 2);
    asker_fini(&a);
    asker_fini(&b);
    asker_fini(&c);
    mb_cluster_unref(cluster);
    rig_fini(&in);
    close(first);
    close(second);
}

MB_TEST(pool_of_another_kind_goes_with_its_last_connection) {
    rig in;
    asker a;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    mb_upstream_host *host = rig_host(cluster);
    (void)mb_host_pool(host, MB_UPSTREAM_HTTP2, MB_SLICE_LIT("unused"), NULL);
    rig_turn(&in);
    rig_turn(&in);
    MB_CHECK_EQ_INT(mb_map_count(&host->others), 0);
    ask_in(&in, mb_host_pool(host, MB_UPSTREAM_HTTP1, MB_SLICE_LIT("P\r\n"), NULL), &a, "/a");
    int peer = rig_accept(&in);
    rig_expect_end(&in, peer, "\r\n\r\n");
    rig_answer(&in, peer, OK_RESPONSE);
    asker_wait_end(&a);
    MB_CHECK_EQ_INT(mb_map_count(&host->others), 1);
    close(peer);
    for (int i = 0; i < 5; i++) {
        rig_turn(&in);
    }
    MB_CHECK_EQ_INT(mb_map_count(&host->others), 0);
    asker_fini(&a);
    /* A request that is given up while it waits leaves nothing either. */
    ask_in(&in, mb_host_pool(host, MB_UPSTREAM_HTTP1, MB_SLICE_LIT("Q\r\n"), NULL), &a, "/a");
    mb_upstream_cancel(&a.request);
    asker_fini(&a);
    mb_cluster_unref(cluster);
    rig_fini(&in);
}

MB_TEST(protocol_of_the_client_has_a_pool_of_its_own) {
    rig in;
    asker a, b;

    MB_CHECK(rig_init(&in, 0));
    mb_cluster_settings settings = rig_settings(&in);
    settings.protocol = MB_UPSTREAM_DOWNSTREAM;
    mb_cluster *cluster = mb_cluster_new(&in.worker, &settings);
    mb_upstream_host *host = rig_host(cluster);
    ask_in(&in, mb_host_pool(host, MB_UPSTREAM_HTTP1, MB_SLICE_LIT(""), NULL), &a, "/a");
    int one = rig_accept(&in);
    rig_expect_end(&in, one, "\r\n\r\n");
    ask_in(&in, mb_host_pool(host, MB_UPSTREAM_HTTP2, MB_SLICE_LIT(""), NULL), &b, "/b");
    int two = h2_accept(&in, -1);
    MB_CHECK_EQ_INT(h2_expect_request(&in, two), 1);
    h2_respond(&in, two, 1, true);
    asker_wait_end(&b);
    rig_answer(&in, one, OK_RESPONSE);
    asker_wait_end(&a);
    CHECK_STAT(&in, "cluster.up.upstream_cx_http1_total", 1);
    CHECK_STAT(&in, "cluster.up.upstream_cx_http2_total", 1);
    asker_fini(&a);
    asker_fini(&b);
    mb_cluster_unref(cluster);
    rig_fini(&in);
    close(one);
    close(two);
}
