/*
 * Buffers under random operations against two flat arrays, and again with each allocation failing
 * in turn: what returns MB_ENOMEM must have changed nothing.
 */
#include "base/buffer.h"

#include "base/random.h"
#include "mbtest.h"

enum { MODEL_BYTES = 4096, OPERATIONS = 12 };

/* The same bytes as a buffer, in one array. */
typedef struct flat {
    char bytes[MODEL_BYTES];
    size_t len;
} flat;

typedef struct pair {
    mb_slab_pool *pool;
    mb_buffer buffers[2];
    flat flats[2];
    mb_random random;
} pair;

static uint32_t below(pair *p, uint32_t bound) {
    return mb_random_below(&p->random, bound);
}

/* A few letters only, so that patterns are found. */
static mb_slice random_bytes(pair *p, char *out, uint32_t max) {
    uint32_t len = below(p, max + 1);
    for (uint32_t i = 0; i < len; i++) {
        out[i] = (char)('a' + below(p, 3));
    }
    return (mb_slice){out, len};
}

static void flat_insert(flat *to, size_t at, mb_slice bytes) {
    MB_CHECK(to->len + bytes.len <= MODEL_BYTES);
    memmove(to->bytes + at + bytes.len, to->bytes + at, to->len - at);
    memcpy(to->bytes + at, bytes.ptr, bytes.len);
    to->len += bytes.len;
}

static void flat_drain(flat *from, size_t len) {
    len = len < from->len ? len : from->len;
    memmove(from->bytes, from->bytes + len, from->len - len);
    from->len -= len;
}

static size_t flat_count(const flat *in, mb_slice pattern) {
    size_t found = 0;
    for (size_t i = 0; i + pattern.len <= in->len;) {
        bool same = memcmp(in->bytes + i, pattern.ptr, pattern.len) == 0;
        found += same;
        i += same ? pattern.len : 1;
    }
    return found;
}

static int64_t flat_find(const flat *in, mb_slice pattern, size_t from) {
    for (size_t i = from; i + pattern.len <= in->len; i++) {
        if (memcmp(in->bytes + i, pattern.ptr, pattern.len) == 0) {
            return (int64_t)i;
        }
    }
    return MB_ENOTFOUND;
}

static void check_same(pair *p, const mb_buffer *buffer, const flat *want) {
    char scratch[8];
    size_t offset = 0;
    MB_CHECK_EQ_INT(buffer->length, want->len);
    for (uint32_t i = 0; i < buffer->count; i++) {
        const mb_segment *segment = &buffer->segments[buffer->first + i];
        MB_CHECK(segment->len > 0);
        MB_CHECK_EQ_SLICE(((mb_slice){segment->ptr, segment->len}),
                          ((mb_slice){want->bytes + offset, segment->len}));
        offset += segment->len;
    }
    MB_CHECK_EQ_INT(offset, want->len);
    mb_slice pattern = random_bytes(p, scratch, sizeof(scratch) - 1);
    if (pattern.len > 0) {
        size_t from = below(p, (uint32_t)want->len + 2);
        MB_CHECK_EQ_INT(mb_buffer_count(buffer, pattern), flat_count(want, pattern));
        MB_CHECK_EQ_INT(mb_buffer_find(buffer, pattern, from), flat_find(want, pattern, from));
    }
}

static int append_by_reference(pair *p, mb_buffer *buffer, mb_slice bytes) {
    mb_slab *slab;
    char *at;
    size_t room;
    int result = mb_slab_reserve(p->pool, bytes.len, &slab, &at, &room);
    if (result == MB_OK) {
        memcpy(at, bytes.ptr, bytes.len);
        mb_slab_commit(slab, bytes.len);
        mb_slab_ref(slab);
        result = mb_buffer_append_slab(buffer, slab, at, bytes.len);
        mb_slab_unref(slab);
    }
    return result;
}

static int append_by_reserve(mb_buffer *buffer, mb_slice bytes) {
    char *at;
    int result = mb_buffer_reserve(buffer, bytes.len, &at);
    if (result == MB_OK) {
        memcpy(at, bytes.ptr, bytes.len);
        mb_buffer_commit(buffer, bytes.len);
    }
    return result;
}

/* Operations that add bytes. Returns MB_OK or MB_ENOMEM; the model follows on MB_OK. */
static int add(pair *p, mb_buffer *buffer, flat *model, uint32_t what) {
    static const char constant[] = "abcabcaab";
    char scratch[40];
    mb_slice bytes = random_bytes(p, scratch, sizeof(scratch));
    int result;
    size_t at = model->len;
    switch (what) {
    case 0:
        result = mb_buffer_append(buffer, bytes);
        break;
    case 1:
        result = append_by_reference(p, buffer, bytes);
        break;
    case 2:
        result = append_by_reserve(buffer, bytes);
        break;
    case 3:
        bytes = (mb_slice){constant, bytes.len % sizeof(constant)};
        result = mb_buffer_append_static(buffer, bytes);
        break;
    default:
        at = 0;
        result = mb_buffer_prepend(buffer, bytes);
        break;
    }
    if (result == MB_OK) {
        flat_insert(model, at, bytes);
    }
    return result;
}

static int join(pair *p, mb_buffer *buffer, const flat *model) {
    mb_slice joined;
    size_t len = below(p, (uint32_t)model->len + 2);
    size_t copied = 0;
    int result = mb_buffer_join(buffer, len, &joined, &copied);
    if (result == MB_OK) {
        MB_CHECK_EQ_SLICE(joined, ((mb_slice){model->bytes, len < model->len ? len : model->len}));
        MB_CHECK(copied <= joined.len);
    }
    return result;
}

static int retain(pair *p, mb_buffer *buffer, const flat *model) {
    mb_slice all;
    mb_lease *lease;
    (void)p;
    int result = mb_buffer_retain_all(buffer, &all, &lease);
    if (result >= 0) {
        MB_CHECK_EQ_SLICE(all, ((mb_slice){model->bytes, model->len}));
        mb_slab_lease_release(lease);
        result = MB_OK;
    }
    return result;
}

/* A move may have done a part when it fails coalescing; the model follows by length. */
static int move(pair *p, mb_buffer *from, flat *from_model, mb_buffer *to, flat *to_model,
                uint32_t what) {
    size_t before = to->length;
    int result;
    if (what == 0) {
        result = mb_buffer_move(to, from);
    } else if (what == 1) {
        result = mb_buffer_move_some(to, from, below(p, (uint32_t)from_model->len + 2));
    } else {
        result = mb_buffer_move_coalesce(to, from, NULL);
    }
    size_t moved = to->length - before;
    MB_CHECK(what == 2 || result == MB_OK || moved == 0);
    flat_insert(to_model, to_model->len, (mb_slice){from_model->bytes, moved});
    flat_drain(from_model, moved);
    return result;
}

static int step(pair *p) {
    uint32_t which = below(p, 2);
    mb_buffer *buffer = &p->buffers[which];
    flat *model = &p->flats[which];
    uint32_t what = below(p, OPERATIONS);
    if (p->flats[0].len + p->flats[1].len > MODEL_BYTES / 2) {
        what = 11;
    }
    if (what < 5) {
        return add(p, buffer, model, what);
    }
    if (what < 8) {
        return move(p, buffer, model, &p->buffers[1 - which], &p->flats[1 - which], what - 5);
    }
    if (what == 8) {
        return join(p, buffer, model);
    }
    if (what == 9) {
        return retain(p, buffer, model);
    }
    size_t len = what == 10 ? below(p, 30) : below(p, (uint32_t)model->len + 2);
    mb_buffer_drain(buffer, len);
    flat_drain(model, len);
    return MB_OK;
}

/* Returns how many operations ran out of memory. */
static int run(mb_allocator *allocator, uint64_t seed, int steps) {
    static pair p;
    int failures = 0;
    memset(&p, 0, sizeof(p));
    mb_random_seed(&p.random, seed);
    p.pool = mb_slab_pool_new(allocator);
    if (p.pool == NULL) {
        return 1;
    }
    mb_buffer_init(&p.buffers[0], p.pool);
    mb_buffer_init(&p.buffers[1], p.pool);
    for (int i = 0; i < steps; i++) {
        int result = step(&p);
        MB_CHECK(result == MB_OK || result == MB_ENOMEM);
        failures += result != MB_OK;
        check_same(&p, &p.buffers[0], &p.flats[0]);
        check_same(&p, &p.buffers[1], &p.flats[1]);
    }
    mb_buffer_fini(&p.buffers[0]);
    mb_buffer_fini(&p.buffers[1]);
    mb_slab_pool_free(p.pool);
    return failures;
}

MB_TEST(random_operations_agree_with_a_flat_model) {
    for (uint64_t seed = 1; seed <= 40; seed++) {
        mbtest_alloc *memory = mbtest_failing_alloc(0);
        MB_CHECK_EQ_INT(run(&memory->allocator, seed, 1500), 0);
        mbtest_alloc_free(memory);
    }
}

MB_TEST(operations_without_memory_change_nothing) {
    for (uint64_t seed = 1; seed <= 10; seed++) {
        for (size_t n = 1, failed = 1; failed; n++) {
            mbtest_alloc *memory = mbtest_failing_alloc(n);
            int failures = run(&memory->allocator, seed, 300);
            failed = memory->requests >= n;
            MB_CHECK_EQ_INT(failures, failed);
            mbtest_alloc_free(memory);
        }
    }
}

MB_TEST(large_append_without_memory_is_taken_back) {
    static char bytes[2 * MB_SLAB_LARGE_BYTES];
    for (size_t n = 1, failed = 1; failed; n++) {
        mbtest_alloc *memory = mbtest_failing_alloc(n);
        mb_slab_pool *pool = mb_slab_pool_new(&memory->allocator);
        if (pool != NULL) {
            mb_buffer buffer;
            mb_buffer_init(&buffer, pool);
            int head = mb_buffer_append(&buffer, MB_SLICE_LIT("head"));
            size_t before = buffer.length;
            int result = mb_buffer_append(&buffer, (mb_slice){bytes, sizeof(bytes)});
            MB_CHECK_EQ_INT(buffer.length, before + (result == MB_OK ? sizeof(bytes) : 0));
            char out[8];
            size_t copied = mb_buffer_copy_out(&buffer, 0, out, 4);
            MB_CHECK(head != MB_OK || (copied == 4 && memcmp(out, "head", 4) == 0));
            mb_buffer_fini(&buffer);
        }
        mb_slab_pool_free(pool);
        failed = memory->requests >= n;
        mbtest_alloc_free(memory);
    }
}
