/* STRICT_DNS against a name server played by the test: what it says, and what it fails to say. */
#define _GNU_SOURCE

#include "support/upstream_rig.h"
#include "upstream/strict_dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TYPE_A 1
#define TYPE_AAAA 28
#define RCODE_OK 0
#define RCODE_SERVFAIL 2
#define RCODE_NXDOMAIN 3
#define TTL_S 7
#define TURNS_MAX 5000

typedef struct name_server {
    int fd;
    char servers[32]; /* for the settings */
    /* the last question */
    unsigned char question[512];
    size_t question_length;
    struct sockaddr_in asker;
    int type;
} name_server;

static void server_init(name_server *self) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;

    memset(self, 0, sizeof *self);
    self->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    MB_CHECK(bind(self->fd, (struct sockaddr *)&address, sizeof address) == 0);
    MB_CHECK(getsockname(self->fd, (struct sockaddr *)&address, &length) == 0);
    snprintf(self->servers, sizeof self->servers, "127.0.0.1:%u", ntohs(address.sin_port));
}

static bool poll_question(name_server *self) {
    socklen_t length = sizeof self->asker;
    ssize_t got = recvfrom(self->fd, self->question, sizeof self->question, 0,
                           (struct sockaddr *)&self->asker, &length);
    size_t at = 12;

    if (got < 0) {
        return false;
    }
    while (self->question[at] != 0) {
        at += self->question[at] + 1u;
    }
    self->type = self->question[at + 2];
    self->question_length = at + 5; /* the end of the name, type and class */
    return true;
}

static void wait_question(rig *in, name_server *self) {
    for (int turns = 0; !poll_question(self); turns++) {
        MB_CHECK(turns < TURNS_MAX);
        rig_turn(in);
    }
}

static bool nobody_asks(rig *in, name_server *self) {
    rig_turn(in);
    rig_turn(in);
    return !poll_question(self);
}

static void send_answer(name_server *self, const unsigned char *bytes, size_t length) {
    MB_CHECK_EQ_INT(
        sendto(self->fd, bytes, length, 0, (struct sockaddr *)&self->asker, sizeof self->asker),
        (ssize_t)length);
}

/* `addresses`: numeric, by comma, all of the type that was asked for; "" for none. */
static void answer(name_server *self, int rcode, const char *addresses) {
    unsigned char bytes[4096];
    size_t at = self->question_length;
    char copy[256], *rest = copy, *one;
    unsigned count = 0;

    memcpy(bytes, self->question, at);
    bytes[2] = 0x81;
    bytes[3] = (unsigned char)(0x80 | rcode);
    memset(bytes + 6, 0, 6);
    snprintf(copy, sizeof copy, "%s", addresses);
    while ((one = strsep(&rest, ",")) != NULL && *one != '\0') {
        bool v6 = self->type == TYPE_AAAA;
        const unsigned char record[] = {
            0xc0, 12, 0, (unsigned char)self->type, 0, 1, 0, 0, 0, TTL_S, 0, v6 ? 16 : 4};

        memcpy(bytes + at, record, sizeof record);
        at += sizeof record;
        MB_CHECK_EQ_INT(inet_pton(v6 ? AF_INET6 : AF_INET, one, bytes + at), 1);
        at += v6 ? 16 : 4;
        count++;
    }
    bytes[7] = (unsigned char)count;
    send_answer(self, bytes, at);
}

/* -- the case's world ------------------------------------------------------------------------- */

typedef struct scene {
    rig in;
    name_server server;
    mb_cluster_settings settings;
    mb_endpoint endpoints[2];
    mb_cluster *cluster;
} scene;

static void begin(scene *self, mb_dns_family family) {
    MB_CHECK(rig_init(&self->in, 0));
    server_init(&self->server);
    self->settings = rig_settings(&self->in);
    self->endpoints[0] = (mb_endpoint){.host = MB_SLICE_LIT("one.test."), .port = 80, .weight = 1};
    self->endpoints[1] = (mb_endpoint){.host = MB_SLICE_LIT("two.test."), .port = 81, .weight = 1};
    self->settings.strict_dns = true;
    self->settings.endpoints = self->endpoints;
    self->settings.endpoint_count = 1;
    self->settings.dns.family = family;
    self->settings.dns.servers = self->server.servers;
    self->settings.dns.timeout_ms = 5000;
    self->settings.dns.tries = 1;
    self->cluster = NULL;
}

static void start(scene *self) {
    self->cluster = mb_cluster_new(&self->in.worker, &self->settings);
    MB_CHECK(self->cluster != NULL);
}

static void finish(scene *self) {
    mb_cluster_unref(self->cluster);
    close(self->server.fd);
    rig_fini(&self->in);
}

static bool was_updated(void *context) {
    scene *self = context;

    return rig_stat(&self->in, "cluster.up.update_success") +
               rig_stat(&self->in, "cluster.up.update_failure") +
               rig_stat(&self->in, "cluster.up.update_empty") ==
           rig_stat(&self->in, "cluster.up.update_attempt");
}

static void reply(scene *self, int rcode, const char *addresses) {
    wait_question(&self->in, &self->server);
    answer(&self->server, rcode, addresses);
    rig_turn_until(&self->in, was_updated, self);
}

/* The hosts in order, by comma. */
static void check_hosts(scene *self, const char *want) {
    char got[1024] = "";

    for (uint32_t i = 0; i < self->cluster->host_count; i++) {
        char text[MB_ADDRESS_TEXT_BYTES + 1];
        size_t length = mb_address_text(&self->cluster->hosts[i]->address, text);

        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.*s", i > 0 ? "," : "",
                 (int)length, text);
    }
    MB_CHECK_EQ_SLICE(((mb_slice){got, strlen(got)}), ((mb_slice){want, strlen(want)}));
    CHECK_STAT(&self->in, "cluster.up.membership_total", self->cluster->host_count);
}

/* -- cases ------------------------------------------------------------------------------------ */

MB_TEST(all_addresses_of_a_name_become_hosts) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    start(&self);
    MB_CHECK(!mb_cluster_warm(self.cluster));
    reply(&self, RCODE_OK, "10.0.0.1,10.0.0.2");
    MB_CHECK(mb_cluster_warm(self.cluster));
    check_hosts(&self, "10.0.0.1:80,10.0.0.2:80");
    CHECK_STAT(&self.in, "cluster.up.update_success", 1);
    finish(&self);
}

MB_TEST(names_are_merged_and_warm_only_together) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    self.settings.endpoint_count = 2;
    start(&self);
    for (int i = 0; i < 2; i++) {
        MB_CHECK(!mb_cluster_warm(self.cluster));
        wait_question(&self.in, &self.server);
        bool first = memcmp(self.server.question + 13, "one", 3) == 0;
        answer(&self.server, RCODE_OK, first ? "10.0.0.1" : "10.0.0.1,10.0.0.3");
        rig_turn(&self.in);
        rig_turn(&self.in);
    }
    rig_turn_until(&self.in, was_updated, &self);
    MB_CHECK(mb_cluster_warm(self.cluster));
    check_hosts(&self, "10.0.0.1:80,10.0.0.1:81,10.0.0.3:81");
    finish(&self);
}

MB_TEST(answer_is_refreshed_and_hosts_that_stay_are_the_same_object) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    start(&self);
    reply(&self, RCODE_OK, "10.0.0.1,10.0.0.2");
    mb_upstream_host *second = self.cluster->hosts[1];

    rig_advance_us(&self.in, 4900000);
    MB_CHECK(nobody_asks(&self.in, &self.server));
    rig_advance_us(&self.in, 200000);
    reply(&self, RCODE_OK, "10.0.0.2,10.0.0.3");
    check_hosts(&self, "10.0.0.2:80,10.0.0.3:80");
    MB_CHECK(self.cluster->hosts[0] == second);
    finish(&self);
}

MB_TEST(order_of_an_answer_does_not_matter) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    start(&self);
    reply(&self, RCODE_OK, "10.0.0.1,10.0.0.2");
    rig_advance_us(&self.in, 5100000);
    reply(&self, RCODE_OK, "10.0.0.2,10.0.0.1,10.0.0.2");
    check_hosts(&self, "10.0.0.1:80,10.0.0.2:80");
    CHECK_STAT(&self.in, "cluster.up.update_no_rebuild", 1);
    CHECK_STAT(&self.in, "cluster.up.membership_change", 1);
    finish(&self);
}

MB_TEST(failures_keep_the_last_good_addresses) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    start(&self);
    reply(&self, RCODE_OK, "10.0.0.1");
    rig_advance_us(&self.in, 5100000);
    reply(&self, RCODE_NXDOMAIN, "");
    check_hosts(&self, "10.0.0.1:80");
    CHECK_STAT(&self.in, "cluster.up.update_empty", 1);
    rig_advance_us(&self.in, 5100000);
    reply(&self, RCODE_OK, ""); /* no data */
    CHECK_STAT(&self.in, "cluster.up.update_empty", 2);
    rig_advance_us(&self.in, 5100000);
    reply(&self, RCODE_SERVFAIL, "");
    CHECK_STAT(&self.in, "cluster.up.update_failure", 1);
    check_hosts(&self, "10.0.0.1:80");
    rig_advance_us(&self.in, 5100000);
    reply(&self, RCODE_OK, "10.0.0.9");
    check_hosts(&self, "10.0.0.9:80");
    finish(&self);
}

MB_TEST(name_that_never_resolved_is_warm_and_empty) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    start(&self);
    reply(&self, RCODE_NXDOMAIN, "");
    MB_CHECK(mb_cluster_warm(self.cluster));
    check_hosts(&self, "");
    finish(&self);
}

MB_TEST(silent_server_fails_by_time_and_blocks_nothing) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    self.settings.dns.timeout_ms = 20;
    start(&self);
    for (int turns = 0; rig_stat(&self.in, "cluster.up.update_failure") == 0; turns++) {
        MB_CHECK(turns < TURNS_MAX);
        rig_advance_us(&self.in, 1000); /* c-ares looks at the real clock when our timer says */
    }
    MB_CHECK(mb_cluster_warm(self.cluster));
    check_hosts(&self, "");
    finish(&self);
}

MB_TEST(malformed_answers_are_no_answers) {
    scene self;
    unsigned char bytes[64];

    begin(&self, MB_DNS_V4_ONLY);
    self.settings.dns.timeout_ms = 50;
    start(&self);
    wait_question(&self.in, &self.server);
    memcpy(bytes, self.server.question, 12);
    bytes[2] = 0x81;
    bytes[3] = 0x80;
    bytes[7] = 200; /* answers that are not there */
    send_answer(&self.server, bytes, 12);
    send_answer(&self.server, bytes, 5);
    send_answer(&self.server, (const unsigned char *)"", 0);
    for (int turns = 0; !was_updated(&self); turns++) {
        MB_CHECK(turns < TURNS_MAX);
        rig_advance_us(&self.in, 1000);
    }
    CHECK_STAT(&self.in, "cluster.up.update_success", 0);
    check_hosts(&self, "");
    finish(&self);
}

/* What a forger sends without knowing the id of the question. */
MB_TEST(answer_with_another_id_is_not_taken) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    start(&self);
    wait_question(&self.in, &self.server);
    self.server.question[0] ^= 0x55;
    answer(&self.server, RCODE_OK, "6.6.6.6");
    rig_turn(&self.in);
    rig_turn(&self.in);
    check_hosts(&self, "");
    self.server.question[0] ^= 0x55;
    answer(&self.server, RCODE_OK, "10.0.0.1");
    rig_turn_until(&self.in, was_updated, &self);
    check_hosts(&self, "10.0.0.1:80");
    finish(&self);
}

MB_TEST(ttl_is_the_pause_when_asked_for) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    self.settings.dns.respect_ttl = true;
    start(&self);
    reply(&self, RCODE_OK, "10.0.0.1");
    rig_advance_us(&self.in, TTL_S * 1000000 - 100000);
    MB_CHECK(nobody_asks(&self.in, &self.server));
    rig_advance_us(&self.in, 200000);
    reply(&self, RCODE_OK, "10.0.0.1");
    finish(&self);
}

MB_TEST(failures_back_off_within_their_bounds) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    self.settings.dns.failure_base_us = 100000;
    self.settings.dns.failure_max_us = 400000;
    start(&self);
    for (int i = 0; i < 10; i++) {
        reply(&self, RCODE_SERVFAIL, "");
        rig_advance_us(&self.in, 49000);
        MB_CHECK(nobody_asks(&self.in, &self.server));
        rig_advance_us(&self.in, 400000);
    }
    reply(&self, RCODE_OK, "10.0.0.1");
    check_hosts(&self, "10.0.0.1:80");
    finish(&self);
}

static void check_family(mb_dns_family family, const char *v4, const char *v6, const char *want) {
    scene self;

    begin(&self, family);
    start(&self);
    for (int i = 0; i < 2; i++) {
        wait_question(&self.in, &self.server);
        const char *addresses = self.server.type == TYPE_AAAA ? v6 : v4;
        answer(&self.server, RCODE_OK, addresses);
    }
    rig_turn_until(&self.in, was_updated, &self);
    check_hosts(&self, want);
    finish(&self);
}

MB_TEST(auto_takes_ipv6_and_else_ipv4) {
    check_family(MB_DNS_AUTO, "10.0.0.1", "fd00::1", "[fd00::1]:80");
    check_family(MB_DNS_AUTO, "10.0.0.1", "", "10.0.0.1:80");
}

MB_TEST(v4_preferred_takes_ipv4_and_else_ipv6) {
    check_family(MB_DNS_V4_PREFERRED, "10.0.0.1", "fd00::1", "10.0.0.1:80");
    check_family(MB_DNS_V4_PREFERRED, "", "fd00::1", "[fd00::1]:80");
}

MB_TEST(all_takes_both_families) {
    scene self;

    begin(&self, MB_DNS_ALL);
    start(&self);
    for (int i = 0; i < 2; i++) {
        wait_question(&self.in, &self.server);
        answer(&self.server, RCODE_OK, self.server.type == TYPE_AAAA ? "fd00::1" : "10.0.0.1");
    }
    rig_turn_until(&self.in, was_updated, &self);
    MB_CHECK_EQ_INT(self.cluster->host_count, 2);
    finish(&self);
}

MB_TEST(v6_only_asks_for_nothing_else) {
    scene self;

    begin(&self, MB_DNS_V6_ONLY);
    start(&self);
    wait_question(&self.in, &self.server);
    MB_CHECK_EQ_INT(self.server.type, TYPE_AAAA);
    answer(&self.server, RCODE_OK, "fd00::1");
    rig_turn_until(&self.in, was_updated, &self);
    MB_CHECK(nobody_asks(&self.in, &self.server));
    check_hosts(&self, "[fd00::1]:80");
    finish(&self);
}

MB_TEST(numeric_names_and_localhost_need_no_server) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    self.endpoints[0].host = MB_SLICE_LIT("192.0.2.7");
    self.endpoints[1].host = MB_SLICE_LIT("localhost");
    self.settings.endpoint_count = 2;
    start(&self);
    MB_CHECK(mb_cluster_warm(self.cluster));
    check_hosts(&self, "192.0.2.7:80,127.0.0.1:81");
    MB_CHECK(nobody_asks(&self.in, &self.server));
    finish(&self);
}

MB_TEST(servers_come_from_the_environment) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    self.settings.dns.servers = NULL;
    MB_CHECK(setenv("MOEBRIDGE_DNS_SERVERS", self.server.servers, 1) == 0);
    start(&self);
    MB_CHECK(unsetenv("MOEBRIDGE_DNS_SERVERS") == 0);
    reply(&self, RCODE_OK, "10.0.0.1");
    check_hosts(&self, "10.0.0.1:80");
    finish(&self);
}

MB_TEST(servers_that_are_no_addresses_are_refused) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    self.settings.dns.servers = "not an address";
    MB_CHECK(mb_cluster_new(&self.in.worker, &self.settings) == NULL);
    close(self.server.fd);
    rig_fini(&self.in);
}

MB_TEST(cluster_may_go_while_a_question_is_out) {
    scene self;

    begin(&self, MB_DNS_V4_ONLY);
    start(&self);
    wait_question(&self.in, &self.server);
    mb_cluster_unref(self.cluster);
    answer(&self.server, RCODE_OK, "10.0.0.1");
    rig_turn(&self.in);
    close(self.server.fd);
    rig_fini(&self.in);
}

MB_TEST(dropped_host_serves_its_running_request_to_the_end) {
    scene self;
    asker a;

    begin(&self, MB_DNS_V4_ONLY);
    self.endpoints[0].port = self.in.port;
    start(&self);
    reply(&self, RCODE_OK, "127.0.0.1");
    asker_ask(&a, &self.in, rig_host(self.cluster), "/a");
    int peer = rig_accept(&self.in);

    rig_expect_end(&self.in, peer, "\r\n\r\n");
    rig_advance_us(&self.in, 5100000);
    reply(&self, RCODE_OK, "10.0.0.2");
    rig_answer(&self.in, peer, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    asker_wait_end(&a);
    asker_fini(&a);
    rig_expect_close(&self.in, peer);
    finish(&self);
}

MB_TEST(every_failing_allocation_leaves_nothing_behind) {
    bool failed = true;

    for (size_t n = 1; failed; n++) {
        scene self;
        begin(&self, MB_DNS_V4_ONLY);
        self.settings.endpoints[0].host = MB_SLICE_LIT("192.0.2.7");
        self.settings.endpoint_count = 2;
        self.settings.endpoints[1].host = MB_SLICE_LIT("localhost");
        self.in.memory->fail_at = self.in.memory->requests + n;
        self.cluster = mb_cluster_new(&self.in.worker, &self.settings);
        failed = self.in.memory->requests >= self.in.memory->fail_at;
        if (self.cluster != NULL) {
            MB_CHECK(mb_cluster_warm(self.cluster));
            rig_advance_us(&self.in, 5100000); /* the next refresh mends it */
            check_hosts(&self, "192.0.2.7:80,127.0.0.1:81");
            mb_cluster_unref(self.cluster);
        }
        close(self.server.fd);
        rig_fini(&self.in);
    }
}
