/*
 * Buffers: what each operation promises about bytes, references and copies. Random sequences
 * against a flat model are in test_buffer_model.c.
 */
#include "base/buffer.h"

#include "mbtest.h"

#include <stdlib.h>

typedef struct fixture {
    mbtest_alloc *memory;
    mb_slab_pool *pool;
    mb_buffer buffer;
    mb_buffer other;
} fixture;

static void set_up(fixture *f) {
    f->memory = mbtest_failing_alloc(0);
    f->pool = mb_slab_pool_new(&f->memory->allocator);
    mb_buffer_init(&f->buffer, f->pool);
    mb_buffer_init(&f->other, f->pool);
}

static void tear_down(fixture *f) {
    mb_slab_stats stats;
    mb_buffer_fini(&f->buffer);
    mb_buffer_fini(&f->other);
    if (f->pool->current != NULL) {
        MB_CHECK_EQ_INT(f->pool->current->refs, 1);
    }
    mb_slab_pool_stats(f->pool, &stats);
    MB_CHECK_EQ_INT(stats.live_large, 0);
    MB_CHECK_EQ_INT(stats.live_small, f->pool->current != NULL);
    mb_slab_pool_free(f->pool);
    mbtest_alloc_free(f->memory);
}

static void append(mb_buffer *buffer, const char *text) {
    MB_CHECK_EQ_INT(mb_buffer_append(buffer, (mb_slice){text, strlen(text)}), MB_OK);
}

/* Appends as a piece of its own slab, never merged with the one before. */
static void append_piece(fixture *f, mb_buffer *buffer, mb_slice bytes) {
    mb_slab *slab = mb_slab_new(f->pool, bytes.len);
    memcpy(slab->data, bytes.ptr, bytes.len);
    mb_slab_commit(slab, bytes.len);
    MB_CHECK_EQ_INT(mb_buffer_append_slab(buffer, slab, slab->data, bytes.len), MB_OK);
    mb_slab_unref(slab);
}

static void append_pieces(fixture *f, mb_buffer *buffer, const char *const *pieces) {
    for (; *pieces != NULL; pieces++) {
        append_piece(f, buffer, (mb_slice){*pieces, strlen(*pieces)});
    }
}

static void check_bytes(const mb_buffer *buffer, const char *want) {
    char got[4096];
    MB_CHECK(buffer->length <= sizeof(got));
    size_t len = mb_buffer_copy_out(buffer, 0, got, sizeof(got));
    MB_CHECK_EQ_INT(len, buffer->length);
    MB_CHECK_EQ_SLICE(((mb_slice){got, len}), ((mb_slice){want, strlen(want)}));
}

MB_TEST(small_appends_become_one_segment) {
    fixture f;
    set_up(&f);
    for (int i = 0; i < 100; i++) {
        append(&f.buffer, "abc");
    }
    MB_CHECK_EQ_INT(mb_buffer_length(&f.buffer), 300);
    MB_CHECK_EQ_INT(f.buffer.count, 1);
    tear_down(&f);
}

MB_TEST(appends_of_two_buffers_do_not_mix) {
    fixture f;
    set_up(&f);
    for (int i = 0; i < 10; i++) {
        append(&f.buffer, "ab");
        append(&f.other, "xyz");
    }
    check_bytes(&f.buffer, "abababababababababab");
    check_bytes(&f.other, "xyzxyzxyzxyzxyzxyzxyzxyzxyzxyz");
    tear_down(&f);
}

MB_TEST(small_piece_is_not_split_over_two_slabs) {
    fixture f;
    set_up(&f);
    char *at;
    MB_CHECK_EQ_INT(mb_buffer_reserve(&f.buffer, MB_SLAB_SMALL_BYTES - 10, &at), MB_OK);
    memset(at, 'x', MB_SLAB_SMALL_BYTES - 10);
    mb_buffer_commit(&f.buffer, MB_SLAB_SMALL_BYTES - 10);
    append(&f.buffer, "more than ten bytes");
    mb_slice slices[3];
    MB_CHECK_EQ_INT(mb_buffer_slices(&f.buffer, slices, 3), 2);
    MB_CHECK_EQ_LIT(slices[1], "more than ten bytes");
    tear_down(&f);
}

MB_TEST(append_larger_than_any_slab_is_whole) {
    fixture f;
    set_up(&f);
    size_t len = 3 * MB_SLAB_LARGE_BYTES + 12345;
    char *bytes = malloc(len);
    char *back = malloc(len);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (char)(i * 7 >> 3);
    }
    append(&f.buffer, "head");
    MB_CHECK_EQ_INT(mb_buffer_append(&f.buffer, (mb_slice){bytes, len}), MB_OK);
    MB_CHECK_EQ_INT(mb_buffer_length(&f.buffer), len + 4);
    MB_CHECK_EQ_INT(mb_buffer_copy_out(&f.buffer, 4, back, len), len);
    MB_CHECK(memcmp(bytes, back, len) == 0);
    free(bytes);
    free(back);
    tear_down(&f);
}

MB_TEST(reserve_continues_behind_the_last_segment) {
    fixture f;
    set_up(&f);
    char *first;
    char *second;
    MB_CHECK_EQ_INT(mb_buffer_reserve(&f.buffer, 4096, &first), MB_OK);
    MB_CHECK(mb_buffer_reserved(&f.buffer) >= 4096);
    memcpy(first, "hello ", 6);
    mb_buffer_commit(&f.buffer, 6);
    MB_CHECK_EQ_INT(mb_buffer_reserve(&f.buffer, 4096, &second), MB_OK);
    MB_CHECK(second == first + 6);
    memcpy(second, "world", 5);
    mb_buffer_commit(&f.buffer, 5);
    MB_CHECK_EQ_INT(f.buffer.count, 1);
    check_bytes(&f.buffer, "hello world");
    tear_down(&f);
}

MB_TEST(reserve_with_nothing_committed_leaves_no_trace) {
    fixture f;
    set_up(&f);
    char *at;
    MB_CHECK_EQ_INT(mb_buffer_reserve(&f.buffer, 10, &at), MB_OK);
    mb_buffer_commit(&f.buffer, 0);
    MB_CHECK_EQ_INT(mb_buffer_reserve(&f.buffer, MB_SLAB_SMALL_BYTES + 1, &at), MB_OK);
    MB_CHECK(mb_buffer_reserved(&f.buffer) > MB_SLAB_SMALL_BYTES);
    mb_buffer_commit(&f.buffer, 0);
    MB_CHECK_EQ_INT(mb_buffer_reserve(&f.buffer, 10, &at), MB_OK);
    MB_CHECK_EQ_INT(f.buffer.count, 0);
    MB_CHECK_EQ_INT(f.buffer.length, 0);
    tear_down(&f); /* with a reserve that was never committed */
}

MB_TEST(lent_bytes_do_not_change_when_more_is_written_behind_them) {
    fixture f;
    set_up(&f);
    mb_slice lent;
    mb_lease *lease;
    append(&f.buffer, "lent");
    MB_CHECK_EQ_INT(mb_buffer_retain(&f.buffer, 0, &lent, &lease), MB_OK);
    append(&f.buffer, " and more");
    mb_buffer_drain(&f.buffer, 2);
    append(&f.other, "other");
    MB_CHECK_EQ_LIT(lent, "lent");
    check_bytes(&f.buffer, "nt and more");
    mb_buffer_clear(&f.buffer);
    append(&f.buffer, "overwritten?");
    MB_CHECK_EQ_LIT(lent, "lent");
    mb_slab_lease_release(lease);
    tear_down(&f);
}

MB_TEST(constant_bytes_go_by_reference) {
    fixture f;
    set_up(&f);
    static const char text[] = "HTTP/1.1 200 OK\r\n";
    MB_CHECK_EQ_INT(mb_buffer_append_static(&f.buffer, MB_SLICE_LIT("")), MB_OK);
    MB_CHECK_EQ_INT(mb_buffer_append_static(&f.buffer, (mb_slice){text, 17}), MB_OK);
    append(&f.buffer, "x");
    MB_CHECK(mb_buffer_front(&f.buffer).ptr == text);
    check_bytes(&f.buffer, "HTTP/1.1 200 OK\r\nx");
    mb_buffer_drain(&f.buffer, 9);
    MB_CHECK_EQ_INT(mb_buffer_move_some(&f.other, &f.buffer, 3), MB_OK);
    check_bytes(&f.other, "200");
    check_bytes(&f.buffer, " OK\r\nx");
    tear_down(&f);
}

MB_TEST(prepend_puts_bytes_before_all_others) {
    fixture f;
    set_up(&f);
    MB_CHECK_EQ_INT(mb_buffer_prepend(&f.buffer, MB_SLICE_LIT("c")), MB_OK);
    for (int i = 0; i < 6; i++) {
        append_piece(&f, &f.buffer, MB_SLICE_LIT("d"));
    }
    MB_CHECK_EQ_INT(mb_buffer_prepend(&f.buffer, MB_SLICE_LIT("b")), MB_OK);
    mb_buffer_drain(&f.buffer, 1);
    MB_CHECK_EQ_INT(mb_buffer_prepend(&f.buffer, MB_SLICE_LIT("aa")), MB_OK);
    MB_CHECK_EQ_INT(mb_buffer_prepend(&f.buffer, MB_SLICE_LIT("")), MB_OK);
    check_bytes(&f.buffer, "aacdddddd");
    tear_down(&f);
}

MB_TEST(moved_slices_keep_their_bytes_in_place) {
    fixture f;
    set_up(&f);
    append(&f.buffer, "one");
    const char *at = mb_buffer_front(&f.buffer).ptr;
    MB_CHECK_EQ_INT(mb_buffer_move(&f.other, &f.buffer), MB_OK);
    MB_CHECK(mb_buffer_front(&f.other).ptr == at);
    MB_CHECK_EQ_INT(f.buffer.length, 0);
    append(&f.other, "two"); /* directly behind, and so one segment */
    MB_CHECK_EQ_INT(f.other.count, 1);
    MB_CHECK_EQ_INT(mb_buffer_move_some(&f.buffer, &f.other, 2), MB_OK);
    MB_CHECK_EQ_INT(mb_buffer_move_some(&f.buffer, &f.other, 2), MB_OK);
    check_bytes(&f.buffer, "onet");
    MB_CHECK_EQ_INT(f.buffer.count, 1);
    check_bytes(&f.other, "wo");
    tear_down(&f);
}

MB_TEST(coalescing_copies_small_pieces_and_refers_to_large_ones) {
    fixture f;
    set_up(&f);
    char large[MB_BUFFER_COPY_BELOW];
    memset(large, 'L', sizeof(large));
    append(&f.other, "head ");
    append_piece(&f, &f.buffer, MB_SLICE_LIT("small "));
    append_piece(&f, &f.buffer, MB_SLICE_LIT("pieces "));
    append_piece(&f, &f.buffer, (mb_slice){large, sizeof(large)});
    mb_slice pieces[3];
    mb_buffer_slices(&f.buffer, pieces, 3);
    size_t copied = 100;
    MB_CHECK_EQ_INT(mb_buffer_move_coalesce(&f.other, &f.buffer, &copied), MB_OK);
    MB_CHECK_EQ_INT(copied, 113);
    mb_slice slices[3];
    MB_CHECK_EQ_INT(mb_buffer_slices(&f.other, slices, 3), 2);
    MB_CHECK_EQ_LIT(slices[0], "head small pieces ");
    MB_CHECK(slices[1].ptr == pieces[2].ptr);
    MB_CHECK_EQ_INT(f.buffer.count, 0);
    tear_down(&f);
}

MB_TEST(join_of_one_segment_copies_nothing) {
    fixture f;
    set_up(&f);
    mb_slice all;
    size_t copied = 0;
    append(&f.buffer, "together");
    MB_CHECK_EQ_INT(mb_buffer_join(&f.buffer, SIZE_MAX, &all, &copied), MB_OK);
    MB_CHECK_EQ_LIT(all, "together");
    MB_CHECK_EQ_INT(mb_buffer_join(&f.buffer, 2, &all, &copied), MB_OK);
    MB_CHECK_EQ_LIT(all, "to");
    mb_buffer_clear(&f.buffer);
    MB_CHECK_EQ_INT(mb_buffer_join(&f.buffer, 5, &all, &copied), MB_OK);
    MB_CHECK_EQ_INT(all.len, 0);
    MB_CHECK_EQ_INT(copied, 0);
    tear_down(&f);
}

MB_TEST(join_of_a_part_leaves_the_rest_where_it_is) {
    fixture f;
    set_up(&f);
    append_pieces(&f, &f.buffer, (const char *const[]){"ab", "cd", "efgh", "ij", NULL});
    mb_slice part;
    MB_CHECK_EQ_INT(mb_buffer_join(&f.buffer, 5, &part, NULL), MB_OK);
    MB_CHECK_EQ_LIT(part, "abcde");
    mb_slice slices[4];
    MB_CHECK_EQ_INT(mb_buffer_slices(&f.buffer, slices, 4), 3);
    MB_CHECK_EQ_LIT(slices[1], "fgh");
    check_bytes(&f.buffer, "abcdefghij");
    tear_down(&f);
}

MB_TEST(join_uses_room_behind_the_first_segment) {
    fixture f;
    set_up(&f);
    append_pieces(&f, &f.buffer, (const char *const[]){"a long first piece", "b", "c", NULL});
    const char *at = mb_buffer_front(&f.buffer).ptr;
    mb_slice all;
    size_t copied = 0;
    MB_CHECK_EQ_INT(mb_buffer_join(&f.buffer, SIZE_MAX, &all, &copied), MB_OK);
    MB_CHECK_EQ_LIT(all, "a long first piecebc");
    MB_CHECK(all.ptr == at);
    MB_CHECK_EQ_INT(copied, 2);
    tear_down(&f);
}

/* A head in `reads` reads of 37 bytes, joined after each, while another connection reads too. */
static size_t bytes_copied_by_trickle(size_t reads) {
    fixture f;
    set_up(&f);
    size_t copied = 0;
    mb_slice all = {0};
    for (size_t i = 0; i < reads; i++) {
        char *at;
        MB_CHECK_EQ_INT(mb_buffer_reserve(&f.buffer, 37, &at), MB_OK);
        memset(at, 'a' + (int)(i % 26), 37);
        mb_buffer_commit(&f.buffer, 37);
        append(&f.other, "x");
        MB_CHECK_EQ_INT(mb_buffer_join(&f.buffer, SIZE_MAX, &all, &copied), MB_OK);
        MB_CHECK_EQ_INT(all.len, (i + 1) * 37);
        mb_buffer_drain(&f.other, 1);
    }
    for (size_t i = 0; i < all.len; i++) {
        MB_CHECK(all.ptr[i] == (char)('a' + i / 37 % 26));
    }
    tear_down(&f);
    return copied;
}

MB_TEST(head_in_many_small_reads_is_copied_a_few_times_only) {
    MB_CHECK(bytes_copied_by_trickle(1600) < 3u * 1600 * 37);
    MB_CHECK(bytes_copied_by_trickle(40000) < 4u * 40000 * 37);
}

MB_TEST(join_keeps_lent_slices) {
    fixture f;
    set_up(&f);
    append_pieces(&f, &f.buffer, (const char *const[]){"ab", "cd", NULL});
    mb_slice lent;
    mb_slice all;
    mb_lease *lease;
    MB_CHECK_EQ_INT(mb_buffer_retain(&f.buffer, 0, &lent, &lease), MB_OK);
    MB_CHECK_EQ_INT(mb_buffer_join(&f.buffer, SIZE_MAX, &all, NULL), MB_OK);
    MB_CHECK(all.ptr != lent.ptr);
    mb_buffer_clear(&f.buffer);
    MB_CHECK_EQ_LIT(lent, "ab");
    mb_slab_lease_release(lease);
    tear_down(&f);
}

MB_TEST(retain_all_tells_whether_it_copied) {
    fixture f;
    set_up(&f);
    mb_slice all;
    mb_lease *leases[3];
    MB_CHECK_EQ_INT(mb_buffer_retain_all(&f.buffer, &all, &leases[0]), 0);
    MB_CHECK_EQ_INT(all.len, 0);
    append_pieces(&f, &f.buffer, (const char *const[]){"ab", "cd", NULL});
    MB_CHECK_EQ_INT(mb_buffer_retain_all(&f.buffer, &all, &leases[1]), 1);
    MB_CHECK_EQ_LIT(all, "abcd");
    MB_CHECK_EQ_INT(mb_buffer_retain_all(&f.buffer, &all, &leases[2]), 0);
    mb_buffer_clear(&f.buffer);
    MB_CHECK_EQ_LIT(all, "abcd");
    MB_CHECK_EQ_INT(mb_buffer_retain(&f.buffer, 0, &all, &leases[0]), MB_ENOTFOUND);
    for (int i = 0; i < 3; i++) {
        mb_slab_lease_release(leases[i]);
    }
    tear_down(&f);
}

MB_TEST(iovecs_and_slices_are_the_segments) {
    fixture f;
    set_up(&f);
    append_pieces(&f, &f.buffer, (const char *const[]){"ab", "cde", "f", NULL});
    mb_buffer_drain(&f.buffer, 1);
    struct iovec iov[4];
    MB_CHECK_EQ_INT(mb_buffer_iovecs(&f.buffer, iov, 2), 2);
    MB_CHECK_EQ_INT(mb_buffer_iovecs(&f.buffer, iov, 4), 3);
    MB_CHECK_EQ_LIT(((mb_slice){iov[0].iov_base, iov[0].iov_len}), "b");
    MB_CHECK_EQ_LIT(((mb_slice){iov[1].iov_base, iov[1].iov_len}), "cde");
    mb_slice slices[1];
    MB_CHECK_EQ_INT(mb_buffer_slices(&f.buffer, slices, 1), 3);
    MB_CHECK_EQ_LIT(slices[0], "b");
    tear_down(&f);
}

MB_TEST(queue_of_segments_does_not_grow_without_end) {
    fixture f;
    set_up(&f);
    for (int i = 0; i < 3; i++) {
        append_piece(&f, &f.buffer, MB_SLICE_LIT("abc"));
    }
    for (int i = 0; i < 10000; i++) {
        append_piece(&f, &f.buffer, MB_SLICE_LIT("abc"));
        mb_buffer_drain(&f.buffer, 3);
    }
    MB_CHECK(f.buffer.capacity <= 8);
    MB_CHECK_EQ_INT(f.buffer.length, 9);
    tear_down(&f);
}

MB_TEST(search_finds_matches_across_segments) {
    fixture f;
    set_up(&f);
    append_pieces(&f, &f.buffer,
                  (const char *const[]){"xxsec", "r", "et", "secretsec", "ret", NULL});
    MB_CHECK_EQ_INT(mb_buffer_find(&f.buffer, MB_SLICE_LIT("secret"), 0), 2);
    MB_CHECK_EQ_INT(mb_buffer_find(&f.buffer, MB_SLICE_LIT("secret"), 3), 8);
    MB_CHECK_EQ_INT(mb_buffer_find(&f.buffer, MB_SLICE_LIT("secret"), 9), 14);
    MB_CHECK_EQ_INT(mb_buffer_find(&f.buffer, MB_SLICE_LIT("secret"), 15), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_buffer_find(&f.buffer, MB_SLICE_LIT("retx"), 0), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_buffer_count(&f.buffer, MB_SLICE_LIT("secret")), 3);
    MB_CHECK(mb_buffer_starts_with(&f.buffer, MB_SLICE_LIT("xxsecretsec")));
    MB_CHECK(!mb_buffer_starts_with(&f.buffer, MB_SLICE_LIT("xxsecretsex")));
    tear_down(&f);
}

MB_TEST(matches_that_overlap_count_once) {
    fixture f;
    set_up(&f);
    append_pieces(&f, &f.buffer, (const char *const[]){"aa", "a", "aaa", "a", NULL});
    MB_CHECK_EQ_INT(mb_buffer_count(&f.buffer, MB_SLICE_LIT("aa")), 3);
    MB_CHECK_EQ_INT(mb_buffer_count(&f.buffer, MB_SLICE_LIT("aaa")), 2);
    MB_CHECK_EQ_INT(mb_buffer_count(&f.buffer, MB_SLICE_LIT("a")), 7);
    tear_down(&f);
}

MB_TEST(empty_patterns_are_found_but_not_counted) {
    fixture f;
    set_up(&f);
    mb_slice empty = {NULL, 0};
    MB_CHECK_EQ_INT(mb_buffer_find(&f.buffer, empty, 0), 0);
    MB_CHECK_EQ_INT(mb_buffer_find(&f.buffer, empty, 1), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_buffer_find(&f.buffer, MB_SLICE_LIT("a"), 0), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(mb_buffer_count(&f.buffer, empty), 0);
    MB_CHECK(mb_buffer_starts_with(&f.buffer, empty));
    MB_CHECK(!mb_buffer_starts_with(&f.buffer, MB_SLICE_LIT("a")));
    append(&f.buffer, "abc");
    MB_CHECK_EQ_INT(mb_buffer_find(&f.buffer, empty, 3), 3);
    MB_CHECK_EQ_INT(mb_buffer_count(&f.buffer, empty), 0);
    tear_down(&f);
}

MB_TEST(copy_out_takes_any_window) {
    fixture f;
    set_up(&f);
    append_pieces(&f, &f.buffer, (const char *const[]){"abc", "def", "ghi", NULL});
    char out[9];
    for (size_t from = 0; from <= 10; from++) {
        for (size_t len = 0; len <= 9; len++) {
            size_t want = from > 9 ? 0 : len < 9 - from ? len : 9 - from;
            MB_CHECK_EQ_INT(mb_buffer_copy_out(&f.buffer, from, out, len), want);
            MB_CHECK(want == 0 || memcmp(out, &"abcdefghi"[from], want) == 0);
        }
    }
    tear_down(&f);
}
