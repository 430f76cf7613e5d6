#include "mbtest.h"
#include "net/proxy_transport.h"

typedef struct pair {
    mbtest_alloc *memory;
    mb_slab_pool *slabs;
    mb_transport *ours, *other; /* ours sends the header */
    char got[64];
    size_t length;
} pair;

/* False: an allocation failed, and nothing is left. */
static bool pair_init(pair *self, size_t fail_at, size_t capacity) {
    mb_transport *under;

    memset(self, 0, sizeof *self);
    self->memory = mbtest_failing_alloc(fail_at);
    self->slabs = mb_slab_pool_new(&self->memory->allocator);
    if (self->slabs == NULL) {
        mbtest_alloc_free(self->memory);
        return false;
    }
    if (mb_memory_transport_pair(&self->memory->allocator, capacity, &under, &self->other) !=
        MB_OK) {
        mb_slab_pool_free(self->slabs);
        mbtest_alloc_free(self->memory);
        return false;
    }
    self->ours =
        mb_proxy_transport_new(&self->memory->allocator, under, MB_SLICE_LIT("PROXY x\r\n"));
    return true;
}

static void pair_fini(pair *self) {
    if (self->ours != NULL) {
        self->ours->vtable->free(self->ours);
    }
    self->other->vtable->free(self->other);
    mb_slab_pool_free(self->slabs);
    mbtest_alloc_free(self->memory);
}

static void take(pair *self) {
    int64_t got = self->other->vtable->read(self->other, self->got + self->length,
                                            sizeof self->got - self->length);

    self->length += got > 0 ? (size_t)got : 0;
}

#define CHECK_GOT(self, want) MB_CHECK_EQ_LIT(((mb_slice){(self)->got, (self)->length}), want)

MB_TEST(header_goes_out_in_the_handshake_however_little_room_there_is) {
    for (size_t capacity = 1; capacity < 12; capacity++) {
        pair self;
        int rc, calls = 0;

        MB_CHECK(pair_init(&self, 0, capacity));
        while ((rc = self.ours->vtable->handshake(self.ours)) == MB_EAGAIN) {
            MB_CHECK(++calls < 20);
            take(&self);
        }
        MB_CHECK_EQ_INT(rc, MB_OK);
        take(&self);
        CHECK_GOT(&self, "PROXY x\r\n");
        pair_fini(&self);
    }
}

MB_TEST(header_goes_out_before_the_first_bytes_where_there_is_no_handshake) {
    pair self;
    mb_buffer data;

    MB_CHECK(pair_init(&self, 0, 5));
    mb_buffer_init(&data, self.slabs);
    MB_CHECK_EQ_INT(mb_buffer_append(&data, MB_SLICE_LIT("hello")), MB_OK);
    for (int i = 0; data.length > 0; i++) {
        MB_CHECK(i < 20);
        (void)self.ours->vtable->write(self.ours, &data);
        take(&self);
    }
    CHECK_GOT(&self, "PROXY x\r\nhello");
    mb_buffer_fini(&data);
    pair_fini(&self);
}

MB_TEST(bytes_of_the_peer_and_its_end_come_through) {
    pair self;
    mb_buffer data;
    char got[8];

    MB_CHECK(pair_init(&self, 0, 64));
    mb_buffer_init(&data, self.slabs);
    MB_CHECK_EQ_INT(mb_buffer_append(&data, MB_SLICE_LIT("220")), MB_OK);
    MB_CHECK_EQ_INT(self.other->vtable->write(self.other, &data), 3);
    MB_CHECK_EQ_INT(self.ours->vtable->read(self.ours, got, sizeof got), 3);
    self.other->vtable->shut_write(self.other);
    MB_CHECK_EQ_INT(self.ours->vtable->read(self.ours, got, sizeof got), 0);
    mb_buffer_fini(&data);
    pair_fini(&self);
}

MB_TEST(failed_allocation_leaves_nothing) {
    bool failed = true;

    for (size_t n = 1; failed; n++) {
        pair self;

        if (!pair_init(&self, n, 16)) {
            continue;
        }
        failed = self.ours == NULL;
        MB_CHECK(failed == (self.memory->requests >= n));
        pair_fini(&self);
    }
}
