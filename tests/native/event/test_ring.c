/*
 * The ring on real sockets: each send has its result, whatever the others have. Where the kernel
 * has no ring to give, what is tested is that it says so.
 */
#include "mbtest.h"

#include "event/ring.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static char zeros[1 << 20];

/* Whether this kernel gives a ring is asked of it once; a test that needs one ends without. */
static mb_ring *ring_new(mbtest_alloc **memory) {
    *memory = mbtest_failing_alloc(0);
    return mb_ring_new(&(*memory)->allocator);
}

static void ring_free(mb_ring *ring, mbtest_alloc *memory) {
    mb_ring_free(ring);
    mbtest_alloc_free(memory);
}

static void pair_open(int *ends) {
    MB_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
}

MB_TEST(each_send_has_its_result) {
    mbtest_alloc *memory;
    mb_ring *ring = ring_new(&memory);
    for (uint32_t count = 1; ring != NULL && count <= MB_RING_SENDS_MAX; count++) {
        int ends[MB_RING_SENDS_MAX][2];
        mb_ring_send sends[MB_RING_SENDS_MAX];
        for (uint32_t i = 0; i < count; i++) {
            pair_open(ends[i]);
            sends[i] =
                (mb_ring_send){.fd = ends[i][0], .piece_count = 1 + (int)(i % MB_RING_PIECES_MAX)};
            for (int piece = 0; piece < sends[i].piece_count; piece++) {
                sends[i].pieces[piece] = (struct iovec){"abcdefgh" + piece, i % 5 + 1};
            }
        }
        mb_ring_send_all(ring, sends, count);
        for (uint32_t i = 0; i < count; i++) {
            char got[64];
            int64_t length = (int64_t)(i % 5 + 1);
            MB_CHECK_EQ_INT(sends[i].result, length * sends[i].piece_count);
            MB_CHECK_EQ_INT(recv(ends[i][1], got, sizeof(got), 0), sends[i].result);
            for (int piece = 0; piece < sends[i].piece_count; piece++) {
                MB_CHECK(memcmp(got + length * piece, "abcdefgh" + piece, (size_t)length) == 0);
            }
            close(ends[i][0]);
            close(ends[i][1]);
        }
    }
    ring_free(ring, memory);
}

MB_TEST(full_broken_and_bad_sockets_do_not_disturb_their_neighbours) {
    mbtest_alloc *memory;
    mb_ring *ring = ring_new(&memory);
    for (int round = 0; ring != NULL && round < 100; round++) {
        int good[2], full[2], gone[2];
        pair_open(good);
        pair_open(full);
        pair_open(gone);
        while (send(full[0], zeros, sizeof(zeros), 0) > 0) {
        }
        close(gone[1]);
        mb_ring_send sends[] = {
            {.fd = full[0], .piece_count = 1, .pieces = {{zeros, 1}}},
            {.fd = gone[0], .piece_count = 2, .pieces = {{zeros, 1}, {zeros, 1}}},
            {.fd = -1, .piece_count = 1, .pieces = {{zeros, 1}}},
            {.fd = good[0], .piece_count = 1, .pieces = {{zeros, sizeof(zeros)}}},
            {.fd = good[0], .piece_count = 1, .pieces = {{zeros, 1}}},
        };
        mb_ring_send_all(ring, sends, 5);
        MB_CHECK_EQ_INT(sends[0].result, -EAGAIN);
        MB_CHECK_EQ_INT(sends[1].result, -EPIPE);
        MB_CHECK_EQ_INT(sends[2].result, -EBADF);
        MB_CHECK(sends[3].result > 0 && sends[3].result < (int64_t)sizeof(zeros));
        MB_CHECK_EQ_INT(sends[4].result, -EAGAIN);
        close(good[0]);
        close(good[1]);
        close(full[0]);
        close(full[1]);
        close(gone[0]);
    }
    ring_free(ring, memory);
}

MB_TEST(no_descriptor_or_memory_is_no_ring) {
    mbtest_alloc *memory = mbtest_failing_alloc(1);
    MB_CHECK(mb_ring_new(&memory->allocator) == NULL);
    mbtest_alloc_free(memory);
    struct rlimit old;
    MB_CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    for (rlim_t limit = 3; limit < 6; limit++) { /* none for the ring, none for its trial */
        MB_CHECK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){limit, old.rlim_max}) == 0);
        memory = mbtest_failing_alloc(0);
        MB_CHECK(mb_ring_new(&memory->allocator) == NULL);
        mbtest_alloc_free(memory);
    }
    MB_CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
}
