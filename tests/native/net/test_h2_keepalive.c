#include "mbtest.h"
#include "net/h2_keepalive.h"
#include "support/net_world.h"

/* A codec that only pings, on a connection over memory whose other end nobody reads. */
typedef struct fake {
    mb_codec codec; /* first */
    int pings, deaths;
    world world;
    owner owner;
    mb_transport *other;
    mb_random random;
    mb_h2_keepalive keepalive; /* first of what is tested */
} fake;

static int ping(mb_codec *codec, mb_buffer *out) {
    ((fake *)codec)->pings++;
    return mb_buffer_append_static(out, MB_SLICE_LIT("PING"));
}

static const mb_codec_vtable pinging = {.protocol = "HTTP/2", .multiplexed = true, .ping = ping};

static void on_dead(mb_h2_keepalive *keepalive) {
    MB_LIST_ENTRY(keepalive, fake, keepalive)->deaths++;
}

static void fake_init(fake *self, const mb_keepalive_settings *settings) {
    mb_transport *ours;

    memset(self, 0, sizeof *self);
    self->codec.vtable = &pinging;
    mb_random_seed(&self->random, 1);
    MB_CHECK(world_init(&self->world, 0));
    owner_init(&self->owner, &self->world);
    MB_CHECK_EQ_INT(
        mb_memory_transport_pair(&self->world.memory->allocator, 4096, &ours, &self->other), MB_OK);
    self->owner.conn = mb_conn_new(&self->world.net, ours, -1, NULL, &owner_events, &self->owner);
    mb_h2_keepalive_start(&self->keepalive, settings, &self->random, &self->codec, self->owner.conn,
                          on_dead);
}

static void fake_fini(fake *self) {
    mb_h2_keepalive_stop(&self->keepalive);
    owner_fini(&self->owner);
    self->other->vtable->free(self->other);
    world_fini(&self->world);
}

static void pass(fake *self, uint64_t us) {
    world_advance_us(&self->world, us);
    world_turn(&self->world);
}

MB_TEST(answered_pings_go_on_at_the_interval) {
    const mb_keepalive_settings settings = {.interval_us = 10000000, .timeout_us = 2000000};
    fake self;

    fake_init(&self, &settings);
    pass(&self, 9000000);
    MB_CHECK_EQ_INT(self.pings, 0);
    for (int i = 1; i <= 3; i++) {
        pass(&self, 10002000);
        MB_CHECK_EQ_INT(self.pings, i);
        mb_h2_keepalive_on_ack(&self.keepalive);
    }
    MB_CHECK_EQ_INT(self.deaths, 0);
    fake_fini(&self);
}

MB_TEST(unanswered_ping_is_death_after_the_timeout_and_once) {
    const mb_keepalive_settings settings = {.interval_us = 10000000, .timeout_us = 2000000};
    fake self;

    fake_init(&self, &settings);
    pass(&self, 10002000);
    pass(&self, 1000000);
    MB_CHECK_EQ_INT(self.deaths, 0);
    pass(&self, 1002000);
    MB_CHECK_EQ_INT(self.deaths, 1);
    pass(&self, 60000000);
    MB_CHECK(self.deaths == 1 && self.pings == 1);
    fake_fini(&self);
}

MB_TEST(jitter_is_added_to_the_interval_and_bounded) {
    const mb_keepalive_settings settings = {
        .interval_us = 1000000, .jitter_us = 500000, .timeout_us = 1000000};
    fake self;

    fake_init(&self, &settings);
    for (int i = 1; i <= 20; i++) {
        pass(&self, 990000);
        MB_CHECK_EQ_INT(self.pings, i - 1);
        pass(&self, 520000);
        MB_CHECK_EQ_INT(self.pings, i);
        mb_h2_keepalive_on_ack(&self.keepalive);
    }
    fake_fini(&self);
}

MB_TEST(stream_after_a_long_silence_is_led_by_a_ping) {
    const mb_keepalive_settings settings = {.timeout_us = 2000000, .idle_interval_us = 5000000};
    fake self;

    fake_init(&self, &settings);
    pass(&self, 60000000);
    MB_CHECK_EQ_INT(self.pings, 0); /* no interval: never by itself */
    mb_h2_keepalive_wake(&self.keepalive, mb_loop_now_us(self.world.loop) - 5000000);
    MB_CHECK_EQ_INT(self.pings, 0);
    mb_h2_keepalive_wake(&self.keepalive, mb_loop_now_us(self.world.loop) - 5000001);
    mb_h2_keepalive_wake(&self.keepalive, mb_loop_now_us(self.world.loop) - 5000001);
    MB_CHECK_EQ_INT(self.pings, 1);
    mb_h2_keepalive_on_ack(&self.keepalive);
    pass(&self, 60000000);
    MB_CHECK(self.pings == 1 && self.deaths == 0);
    fake_fini(&self);
}

MB_TEST(without_a_timeout_there_is_no_keepalive) {
    const mb_keepalive_settings settings = {.interval_us = 1000};
    fake self;

    fake_init(&self, &settings);
    pass(&self, 60000000);
    mb_h2_keepalive_wake(&self.keepalive, 0);
    mb_h2_keepalive_on_ack(&self.keepalive);
    MB_CHECK_EQ_INT(self.pings, 0);
    fake_fini(&self);
}
