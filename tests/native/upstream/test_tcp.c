#include "support/upstream_rig.h"
#include "upstream/tcp.h"

#include <stdio.h>
#include <unistd.h>

/* An owner of a TCP connection. */
typedef struct tcp_user {
    mb_upstream_tcp tcp; /* first */
    rig *rig;
    bool ready, failed, closed, data;
    bool close_when_ready, again_when_failed;
    mb_cluster *cluster;
    mb_upstream_failure why;
    bool had_host;
    int failures;
    char transport[128];
} tcp_user;

static void own_data(void *owner, mb_conn *conn) {
    (void)conn;
    ((tcp_user *)owner)->data = true;
}

static void own_close(void *owner, mb_conn *conn, mb_close_reason reason) {
    tcp_user *self = owner;

    (void)conn;
    (void)reason;
    self->closed = true;
    mb_upstream_tcp_close(&self->tcp, true);
}

static const mb_conn_events own_events = {.on_data = own_data, .on_close = own_close};

static void on_ready(mb_upstream_tcp *tcp, mb_conn *conn) {
    tcp_user *self = (tcp_user *)tcp;

    self->ready = true;
    if (self->close_when_ready) {
        mb_upstream_tcp_close(tcp, false);
    } else {
        mb_conn_set_owner(conn, &own_events, self);
    }
}

static void on_failure(mb_upstream_tcp *tcp, mb_upstream_failure why, const mb_upstream_host *host,
                       mb_slice transport) {
    tcp_user *self = (tcp_user *)tcp;

    self->failed = true;
    self->failures++;
    self->why = why;
    self->had_host = host != NULL;
    snprintf(self->transport, sizeof self->transport, "%.*s", (int)transport.len, transport.ptr);
    if (self->again_when_failed) {
        self->again_when_failed = false;
        self->failed = false;
        mb_upstream_tcp_connect(tcp, self->cluster);
    }
}

static const mb_upstream_tcp_events events = {.on_ready = on_ready, .on_failure = on_failure};

static void user_connect(tcp_user *self, rig *in, mb_cluster *cluster) {
    *self = (tcp_user){.tcp.events = &events, .rig = in, .cluster = cluster};
    mb_upstream_tcp_connect(&self->tcp, cluster);
}

static bool is_set(void *flag) {
    return *(bool *)flag;
}

MB_TEST(connection_is_the_owners_until_it_closes_it) {
    rig self;
    tcp_user user;

    MB_CHECK(rig_init(&self, 0));
    mb_cluster_settings settings = rig_settings(&self);
    mb_cluster *cluster = mb_cluster_new(&self.worker, &settings);
    user_connect(&user, &self, cluster);
    int peer = rig_accept(&self);
    rig_turn_until(&self, is_set, &user.ready);
    CHECK_STAT(&self, "cluster.up.upstream_cx_total", 1);
    CHECK_STAT(&self, "cluster.up.upstream_cx_active", 1);
    CHECK_STAT(&self, "cluster.up.upstream_cx_http1_total", 0);
    rig_answer(&self, peer, "hello");
    rig_turn_until(&self, is_set, &user.data);
    MB_CHECK_EQ_INT(user.tcp.conn->in.length, 5);
    MB_CHECK_EQ_INT(mb_buffer_append(&user.tcp.conn->out, MB_SLICE_LIT("bye")), MB_OK);
    mb_conn_flush_later(user.tcp.conn);
    rig_expect(&self, peer, "bye");
    mb_upstream_tcp_close(&user.tcp, false);
    mb_upstream_tcp_close(&user.tcp, true); /* changes nothing */
    MB_CHECK_EQ_INT(rig_expect_close(&self, peer), 0);
    CHECK_STAT(&self, "cluster.up.upstream_cx_active", 0);
    CHECK_STAT(&self, "cluster.up.upstream_cx_destroy_local", 1);
    CHECK_STAT(&self, "cluster.up.upstream_cx_rx_bytes_total", 5);
    CHECK_STAT(&self, "cluster.up.upstream_cx_tx_bytes_total", 3);
    MB_CHECK_EQ_INT(cluster->circuit.connections.now, 0);
    mb_cluster_unref(cluster);
    rig_fini(&self);
}

MB_TEST(connection_outlives_its_cluster) {
    rig self;
    tcp_user user;

    MB_CHECK(rig_init(&self, 0));
    mb_cluster_settings settings = rig_settings(&self);
    mb_cluster *cluster = mb_cluster_new(&self.worker, &settings);
    user_connect(&user, &self, cluster);
    int peer = rig_accept(&self);
    rig_turn_until(&self, is_set, &user.ready);
    mb_cluster_unref(cluster);
    rig_reset(peer);
    rig_turn_until(&self, is_set, &user.closed);
    CHECK_STAT(&self, "cluster.up.upstream_cx_destroy_remote_with_active_rq", 1);
    rig_fini(&self);
}

MB_TEST(close_within_on_ready_is_allowed) {
    rig self;
    tcp_user user;

    MB_CHECK(rig_init(&self, 0));
    mb_cluster_settings settings = rig_settings(&self);
    mb_cluster *cluster = mb_cluster_new(&self.worker, &settings);
    user_connect(&user, &self, cluster);
    user.close_when_ready = true;
    int peer = rig_accept(&self);
    rig_turn_until(&self, is_set, &user.ready);
    MB_CHECK(user.tcp.conn == NULL && user.tcp.host == NULL);
    MB_CHECK_EQ_INT(rig_expect_close(&self, peer), 0);
    mb_cluster_unref(cluster);
    rig_fini(&self);
}

MB_TEST(refused_connection_says_why_and_may_be_tried_again_at_once) {
    rig self;
    tcp_user user;

    MB_CHECK(rig_init(&self, 0));
    mb_cluster_settings settings = rig_settings(&self);
    mb_cluster *cluster = mb_cluster_new(&self.worker, &settings);
    close(self.listener);
    self.listener = -1;
    user_connect(&user, &self, cluster);
    user.again_when_failed = true;
    rig_turn_until(&self, is_set, &user.failed);
    MB_CHECK_EQ_INT(user.failures, 2);
    MB_CHECK(user.why == MB_UPSTREAM_CONNECT_FAILED && user.had_host);
    MB_CHECK_EQ_LIT(((mb_slice){user.transport, strlen(user.transport)}),
                    "delayed connect error: Connection refused");
    CHECK_STAT(&self, "cluster.up.upstream_cx_connect_fail", 2);
    CHECK_STAT(&self, "cluster.up.upstream_cx_active", 0);
    mb_cluster_unref(cluster);
    rig_fini(&self);
}

MB_TEST(limit_of_connections_and_an_empty_cluster_fail_at_once) {
    rig self;
    tcp_user first, second, third;

    MB_CHECK(rig_init(&self, 0));
    mb_cluster_settings settings = rig_settings(&self);
    settings.limits.max_connections = 1;
    mb_cluster *cluster = mb_cluster_new(&self.worker, &settings);
    user_connect(&first, &self, cluster);
    user_connect(&second, &self, cluster);
    MB_CHECK(second.failed && second.why == MB_UPSTREAM_OVERFLOW && second.had_host);
    CHECK_STAT(&self, "cluster.up.upstream_cx_overflow", 1);
    settings.endpoint_count = 0;
    settings.name = MB_SLICE_LIT("none");
    mb_cluster *empty = mb_cluster_new(&self.worker, &settings);
    user_connect(&third, &self, empty);
    MB_CHECK(third.failed && third.why == MB_UPSTREAM_NO_HOST && !third.had_host);
    mb_upstream_tcp_close(&first.tcp, false); /* while it connects */
    MB_CHECK_EQ_INT(cluster->circuit.connections.now, 0);
    mb_cluster_unref(cluster);
    mb_cluster_unref(empty);
    rig_fini(&self);
}

MB_TEST(connect_that_takes_too_long_fails) {
    rig self;
    tcp_user user;

    MB_CHECK(rig_init(&self, 0));
    mb_cluster_settings settings = rig_settings(&self);
    /* TEST-NET-1 answers nothing; where there is no route at all it is refused at once. */
    settings.endpoints[0].host = MB_SLICE_LIT("192.0.2.1");
    settings.connect_timeout_us = 250000;
    mb_cluster *cluster = mb_cluster_new(&self.worker, &settings);
    user_connect(&user, &self, cluster);
    rig_turn(&self);
    rig_advance_us(&self, 249000);
    bool early = user.failed;
    rig_advance_us(&self, 2000);
    MB_CHECK(user.failed);
    if (!early) {
        MB_CHECK_EQ_INT(user.why, MB_UPSTREAM_CONNECT_TIMEOUT);
        CHECK_STAT(&self, "cluster.up.upstream_cx_connect_timeout", 1);
    }
    CHECK_STAT(&self, "cluster.up.upstream_cx_connect_fail", 1);
    mb_cluster_unref(cluster);
    rig_fini(&self);
}
