/*
 * TLS as a transport: handshakes in pieces, the contracts of read and write, both ends, and what
 * an attacker may do to the bytes.
 */
#include "support/tls_rig.h"

#include "net/tls_internal.h"

#include <errno.h>
#include <stdlib.h>

#define KIB 1024u
#define ROOMY (256u * KIB)

MB_TEST(handshake_and_bytes_both_ways) {
    static const uint16_t versions[] = {0x0303, 0x0304};
    for (int i = 0; i < 2; i++) {
        tls_rig rig;
        tls_rig_init(&rig);
        rig.server->min_version = rig.server->max_version = versions[i];
        tls_rig_load(&rig);
        tls_rig_up(&rig, ROOMY);
        const mb_tls_info *info = mb_transport_tls(rig.a);
        MB_CHECK(info != NULL && info->peer_presented && info->peer_verified);
        MB_CHECK_EQ_SLICE(info->version, ((mb_slice){i == 0 ? "TLSv1.2" : "TLSv1.3", 7}));
        MB_CHECK_EQ_LIT(mb_transport_tls(rig.b)->sni, "a.test");
        static const size_t sizes[] = {1, 100, 16383, 16384, 16385, 100000, 1000000};
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
            tls_rig_pass(&rig, rig.a, rig.b, sizes[k]);
            tls_rig_pass(&rig, rig.b, rig.a, sizes[k]);
        }
        MB_CHECK_EQ_INT(tls_rig_count(&rig, "server.ssl.handshake"), 1);
        MB_CHECK_EQ_INT(tls_rig_count(&rig, "server.ssl.no_certificate"), 1);
        MB_CHECK_EQ_INT(tls_rig_count(&rig, i == 0 ? "server.ssl.versions.TLSv1.2"
                                                   : "server.ssl.versions.TLSv1.3"),
                        1);
        tls_rig_fini(&rig);
    }
}

MB_TEST(pipes_of_any_width_carry_it) {
    static const size_t widths[] = {1, 2, 7, 64, 1000, 16384};
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        tls_rig rig;
        tls_rig_init(&rig);
        tls_rig_load(&rig);
        tls_rig_up(&rig, widths[i]);
        tls_rig_pass(&rig, rig.a, rig.b, widths[i] < 64 ? 3000 : 200000);
        tls_rig_pass(&rig, rig.b, rig.a, widths[i] < 64 ? 3000 : 200000);
        tls_rig_fini(&rig);
    }
}

MB_TEST(small_pieces_share_a_record) {
    tls_rig rig;
    tls_rig_init(&rig);
    tls_rig_load(&rig);
    tls_rig_up(&rig, ROOMY);
    char got[64 * KIB];
    MB_CHECK_EQ_INT(rig.a->vtable->read(rig.a, got, sizeof(got)), MB_EAGAIN); /* tickets */
    mb_buffer out;
    mb_buffer_init(&out, rig.world.slabs);
    for (int i = 0; i < 40; i++) { /* static pieces are not joined by the buffer */
        MB_CHECK_EQ_INT(mb_buffer_append_static(&out, i % 2 == 0 ? MB_SLICE_LIT("0123456789")
                                                                 : MB_SLICE_LIT("abc")),
                        MB_OK);
    }
    MB_CHECK_EQ_INT(rig.b->vtable->write(rig.b, &out), 20 * 13);
    /* As the other side finds it: one record. */
    mb_tls_transport *a = (mb_tls_transport *)rig.a;
    unsigned char wire[64 * KIB];
    int64_t length = a->under->vtable->read(a->under, (char *)wire, sizeof(wire));
    MB_CHECK(length > 20 * 13 && length < 20 * 13 + 64);
    MB_CHECK_EQ_INT((wire[3] << 8 | wire[4]) + 5, length);
    mb_buffer_fini(&out);
    tls_rig_fini(&rig);
}

MB_TEST(read_below_the_room_means_that_nothing_is_left) {
    tls_rig rig;
    tls_rig_init(&rig);
    tls_rig_load(&rig);
    tls_rig_up(&rig, ROOMY);
    mb_buffer out;
    char *got = malloc(100 * KIB);
    mb_buffer_init(&out, rig.world.slabs);
    char piece[1000] = {0};
    for (int i = 0; i < 50; i++) { /* many records at once */
        MB_CHECK_EQ_INT(mb_buffer_append(&out, (mb_slice){piece, sizeof(piece)}), MB_OK);
        MB_CHECK_EQ_INT(rig.b->vtable->write(rig.b, &out), sizeof(piece));
    }
    MB_CHECK_EQ_INT(rig.a->vtable->read(rig.a, got, 1500), 1500);
    MB_CHECK_EQ_INT(rig.a->vtable->read(rig.a, got, 100 * KIB), 48500);
    MB_CHECK_EQ_INT(rig.a->vtable->read(rig.a, got, 100 * KIB), MB_EAGAIN);
    free(got);
    mb_buffer_fini(&out);
    tls_rig_fini(&rig);
}

MB_TEST(what_is_not_sent_yet_stays_in_the_buffer) {
    tls_rig rig;
    tls_rig_init(&rig);
    tls_rig_load(&rig);
    tls_rig_up(&rig, 4000);
    mb_buffer out;
    char got[4000], piece[10000] = {0};
    mb_buffer_init(&out, rig.world.slabs);
    MB_CHECK_EQ_INT(rig.a->vtable->read(rig.a, got, sizeof(got)), MB_EAGAIN);
    MB_CHECK_EQ_INT(mb_buffer_append(&out, (mb_slice){piece, sizeof(piece)}), MB_OK);
    MB_CHECK_EQ_INT(rig.b->vtable->write(rig.b, &out), MB_EAGAIN);
    MB_CHECK_EQ_INT(out.length, sizeof(piece));
    size_t total = 0;
    while (total < sizeof(piece)) {
        int64_t count = rig.a->vtable->read(rig.a, got, sizeof(got));
        MB_CHECK(count > 0 || count == MB_EAGAIN);
        total += count > 0 ? (size_t)count : 0;
        int64_t written = rig.b->vtable->write(rig.b, &out);
        MB_CHECK(written == MB_EAGAIN || written == 0 || written == sizeof(piece));
    }
    MB_CHECK_EQ_INT(out.length, 0);
    mb_buffer_fini(&out);
    tls_rig_fini(&rig);
}

MB_TEST(close_notify_is_an_orderly_end_behind_the_bytes) {
    tls_rig rig;
    tls_rig_init(&rig);
    tls_rig_load(&rig);
    tls_rig_up(&rig, ROOMY);
    mb_buffer out;
    char got[100];
    mb_buffer_init(&out, rig.world.slabs);
    MB_CHECK_EQ_INT(mb_buffer_append(&out, MB_SLICE_LIT("bye")), MB_OK);
    MB_CHECK_EQ_INT(rig.b->vtable->write(rig.b, &out), 3);
    rig.b->vtable->shut_write(rig.b);
    MB_CHECK_EQ_INT(rig.a->vtable->read(rig.a, got, sizeof(got)), 3);
    /* No event tells of an alert that was read already. */
    MB_CHECK(rig.a->ended);
    MB_CHECK_EQ_INT(rig.a->vtable->read(rig.a, got, sizeof(got)), 0);
    MB_CHECK_EQ_INT(rig.a->vtable->read(rig.a, got, sizeof(got)), 0);
    /* The other direction is still open. */
    MB_CHECK_EQ_INT(mb_buffer_append(&out, MB_SLICE_LIT("answer")), MB_OK);
    MB_CHECK_EQ_INT(rig.a->vtable->write(rig.a, &out), 6);
    MB_CHECK_EQ_INT(rig.b->vtable->read(rig.b, got, sizeof(got)), 6);
    mb_buffer_fini(&out);
    tls_rig_fini(&rig);
}

MB_TEST(end_without_close_notify_is_a_broken_connection) {
    tls_rig rig;
    tls_rig_init(&rig);
    tls_rig_load(&rig);
    tls_rig_up(&rig, ROOMY);
    mb_tls_transport *b = (mb_tls_transport *)rig.b;
    char got[100];
    MB_CHECK_EQ_INT(rig.a->vtable->read(rig.a, got, sizeof(got)), MB_EAGAIN); /* tickets */
    b->under->vtable->shut_write(b->under);                                   /* somebody cuts it */
    errno = 0;
    MB_CHECK_EQ_INT(rig.a->vtable->read(rig.a, got, sizeof(got)), MB_EIO);
    MB_CHECK_EQ_INT(errno, ECONNRESET);
    MB_CHECK_EQ_LIT(mb_transport_failure(rig.a),
                    "TLS_error:|the peer ended without close_notify:TLS_error_end");
    MB_CHECK_EQ_INT(rig.a->vtable->read(rig.a, got, sizeof(got)), MB_EIO);
    mb_buffer out;
    mb_buffer_init(&out, rig.world.slabs);
    MB_CHECK_EQ_INT(mb_buffer_append(&out, MB_SLICE_LIT("x")), MB_OK);
    MB_CHECK_EQ_INT(rig.a->vtable->write(rig.a, &out), MB_EIO);
    mb_buffer_fini(&out);
    tls_rig_fini(&rig);
}

MB_TEST(record_that_was_changed_on_the_way_is_an_error) {
    tls_rig rig;
    tls_rig_init(&rig);
    tls_rig_load(&rig);
    tls_rig_up(&rig, ROOMY);
    mb_tls_transport *b = (mb_tls_transport *)rig.b;
    char got[100];
    MB_CHECK_EQ_INT(rig.a->vtable->read(rig.a, got, sizeof(got)), MB_EAGAIN);
    mb_buffer out;
    mb_buffer_init(&out, rig.world.slabs);
    static const char forged[] = "\x17\x03\x03\x00\x20"
                                 "0123456789abcdef0123456789abcdef";
    MB_CHECK_EQ_INT(mb_buffer_append(&out, (mb_slice){forged, sizeof(forged) - 1}), MB_OK);
    MB_CHECK_EQ_INT(b->under->vtable->write(b->under, &out), sizeof(forged) - 1);
    MB_CHECK_EQ_INT(rig.a->vtable->read(rig.a, got, sizeof(got)), MB_EIO);
    MB_CHECK_EQ_INT(tls_rig_count(&rig, "client.ssl.connection_error"), 1);
    mb_buffer_fini(&out);
    tls_rig_fini(&rig);
}

MB_TEST(garbage_instead_of_a_handshake_is_refused_and_counted) {
    static const char *const inputs[] = {
        "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n",
        "\x16\x03\x01\xff\xff\x01\x00\xff\xff",
        "\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
        "\x15\x03\x01\x00\x02\x02\x28",
    };
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
        tls_rig rig;
        tls_rig_init(&rig);
        tls_rig_load(&rig);
        tls_rig_connect(&rig, ROOMY);
        mb_tls_transport *a = (mb_tls_transport *)rig.a;
        mb_buffer out;
        mb_buffer_init(&out, rig.world.slabs);
        size_t length = i == 2 ? 9 : strlen(inputs[i]) + (i == 4 ? 4 : 0);
        if (i == 4) {
            length = 7;
        }
        MB_CHECK_EQ_INT(mb_buffer_append(&out, (mb_slice){inputs[i], length}), MB_OK);
        (void)a->under->vtable->write(a->under, &out);
        int result = rig.b->vtable->handshake(rig.b);
        if (result == MB_EAGAIN) { /* it may wait for the rest of what was announced */
            a->under->vtable->shut_write(a->under);
            result = rig.b->vtable->handshake(rig.b);
        }
        MB_CHECK_EQ_INT(result, MB_EPROTO);
        MB_CHECK(mb_transport_failure(rig.b).len > 0);
        MB_CHECK(mb_transport_tls(rig.b) == NULL);
        MB_CHECK_EQ_INT(rig.b->vtable->handshake(rig.b), MB_EPROTO);
        MB_CHECK_EQ_INT(tls_rig_count(&rig, "server.ssl.handshake"), 0);
        if (i == 0) {
            MB_CHECK_EQ_INT(tls_rig_count(&rig, "server.ssl.connection_error"), 1);
        }
        mb_buffer_fini(&out);
        tls_rig_fini(&rig);
    }
}

MB_TEST(nth_allocation_failing_in_a_handshake_leaks_nothing) {
    for (size_t n = 1, failed = 1; failed; n++) {
        tls_rig rig;
        tls_rig_init(&rig);
        tls_rig_load(&rig);
        mbtest_alloc *memory = rig.world.memory;
        mb_transport *a, *b;
        MB_CHECK_EQ_INT(mb_memory_transport_pair(&memory->allocator, ROOMY, &a, &b), MB_OK);
        size_t before = memory->requests;
        memory->fail_at = before + n;
        rig.a = mb_tls_client_new(&rig.maker, a);
        rig.b = mb_tls_server_new(rig.server_context, b);
        if (rig.a != NULL && rig.b != NULL) {
            tls_rig_shake(&rig);
        }
        failed = memory->requests >= before + n;
        memory->fail_at = 0;
        tls_rig_fini(&rig);
    }
}
