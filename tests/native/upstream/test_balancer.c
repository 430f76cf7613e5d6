/* Round robin: everybody in turn, by weight, whatever the set becomes. */
#include "upstream/balancer.h"

#include "mbtest.h"
#include "upstream/host.h"

#define HOSTS_MAX 1000

typedef struct table {
    mb_upstream_host storage[HOSTS_MAX];
    mb_upstream_host *hosts[HOSTS_MAX];
    uint32_t taken[HOSTS_MAX];
    mb_random random;
    mb_balancer *balancer;
    mbtest_alloc *memory;
} table;

static table *new_table(const uint32_t *weights, uint32_t count) {
    static table self;

    memset(&self, 0, sizeof self);
    mb_random_seed(&self.random, 7);
    self.memory = mbtest_failing_alloc(0);
    for (uint32_t i = 0; i < count; i++) {
        self.storage[i].weight = weights[i];
        self.hosts[i] = &self.storage[i];
    }
    self.balancer = mb_round_robin_new(&self.memory->allocator, &self.random);
    MB_CHECK_EQ_INT(self.balancer->vtable->update(self.balancer, self.hosts, count), MB_OK);
    return &self;
}

static void free_table(table *self) {
    self->balancer->vtable->free(self->balancer);
    mbtest_alloc_free(self->memory);
}

static void pick_many(table *self, uint32_t picks) {
    memset(self->taken, 0, sizeof self->taken);
    for (uint32_t i = 0; i < picks; i++) {
        self->taken[mb_balancer_pick(self->balancer) - self->storage]++;
    }
}

MB_TEST(no_host_gives_none) {
    table *self = new_table(NULL, 0);

    MB_CHECK(mb_balancer_pick(self->balancer) == NULL);
    free_table(self);
}

MB_TEST(equal_weights_go_round_in_order) {
    const uint32_t weights[] = {3, 3, 3};
    table *self = new_table(weights, 3);
    size_t first = (size_t)(mb_balancer_pick(self->balancer) - self->storage);

    for (size_t i = 1; i < 10; i++) {
        MB_CHECK_EQ_INT(mb_balancer_pick(self->balancer) - self->storage, (first + i) % 3);
    }
    free_table(self);
}

MB_TEST(weights_are_shares_of_every_round) {
    const uint32_t weights[] = {5, 1, 2};
    table *self = new_table(weights, 3);

    for (int round = 0; round < 1000; round++) {
        pick_many(self, 8);
        MB_CHECK_EQ_INT(self->taken[0], 5);
        MB_CHECK_EQ_INT(self->taken[1], 1);
        MB_CHECK_EQ_INT(self->taken[2], 2);
    }
    free_table(self);
}

MB_TEST(heavy_host_does_not_come_in_one_burst) {
    const uint32_t weights[] = {4, 1, 1, 1, 1};
    table *self = new_table(weights, 5);
    uint32_t run = 0;

    for (int i = 0; i < 800; i++) {
        run = mb_balancer_pick(self->balancer) == &self->storage[0] ? run + 1 : 0;
        MB_CHECK(run <= 2);
    }
    free_table(self);
}

MB_TEST(thousand_unequal_hosts_get_their_shares) {
    static uint32_t weights[HOSTS_MAX];
    uint32_t total = 0;
    table *self;

    for (uint32_t i = 0; i < HOSTS_MAX; i++) {
        weights[i] = i % 7 + 1;
        total += weights[i];
    }
    self = new_table(weights, HOSTS_MAX);
    pick_many(self, total * 3);
    for (uint32_t i = 0; i < HOSTS_MAX; i++) {
        MB_CHECK(self->taken[i] + 1 >= weights[i] * 3 && self->taken[i] <= weights[i] * 3 + 1);
    }
    free_table(self);
}

MB_TEST(update_replaces_the_set) {
    const uint32_t weights[] = {1, 9, 1};
    table *self = new_table(weights, 3);

    MB_CHECK_EQ_INT(self->balancer->vtable->update(self->balancer, self->hosts + 2, 1), MB_OK);
    for (int i = 0; i < 5; i++) {
        MB_CHECK(mb_balancer_pick(self->balancer) == &self->storage[2]);
    }
    free_table(self);
}

MB_TEST(failed_update_keeps_the_old_set) {
    const uint32_t weights[] = {1, 1, 2};
    table *self = new_table(weights, 3);

    self->storage[2].weight = 1;
    MB_CHECK_EQ_INT(self->balancer->vtable->update(self->balancer, self->hosts, 2), MB_OK);
    self->storage[2].weight = 2;
    self->memory->fail_at = self->memory->requests + 1;
    MB_CHECK_EQ_INT(self->balancer->vtable->update(self->balancer, self->hosts, 3), MB_ENOMEM);
    pick_many(self, 4);
    MB_CHECK_EQ_INT(self->taken[0], 2);
    MB_CHECK_EQ_INT(self->taken[1], 2);
    MB_CHECK_EQ_INT(self->taken[2], 0);
    free_table(self);
}
