/*
 * Contexts: certificates by name, staples, resumption and its keys, files that change, faults, and
 * memory that is out.
 */
#include "support/tls_rig.h"

#include "base/slice.h"
#include "net/tls_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROOMY (256u * 1024u)
#define HOUR_US (3600ull * 1000000u)

static void check_shown(tls_rig *rig, const cert *expected) {
    const mb_tls_certificate *peer = mb_tls_peer(mb_transport_tls(rig->a));
    mb_tls_transport *a = (mb_tls_transport *)rig->a;
    MB_CHECK(peer != NULL);
    MB_CHECK(X509_cmp(SSL_get0_peer_certificate(a->ssl), expected->x509) == 0);
}

MB_TEST(certificate_follows_the_server_name) {
    static const struct {
        const char *sni;
        int index;
    } cases[] = {{"a.test", 0}, {"B.test", 1}, {"x.wild.test", 0}, {"unknown.test", 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tls_rig rig;
        tls_rig_init(&rig);
        cert second =
            cert_make(&(cert_options){.name = "second", .sans = "DNS:b.test", .issuer = &rig.ca});
        tls_identity_of(&rig.server_identities[1], &second);
        rig.server->identity_count = 2;
        rig.client->sni = cases[i].sni;
        rig.client->validation.accept_untrusted = true;
        tls_rig_load(&rig);
        tls_rig_up(&rig, ROOMY);
        check_shown(&rig, cases[i].index == 0 ? &rig.leaf : &second);
        tls_rig_fini(&rig);
        cert_free(&second);
    }
}

MB_TEST(unknown_server_name_is_refused_where_one_is_required) {
    tls_rig rig;
    tls_rig_init(&rig);
    rig.server->require_sni = true;
    rig.client->sni = "unknown.test";
    tls_rig_load(&rig);
    tls_rig_connect(&rig, ROOMY);
    tls_rig_shake(&rig);
    MB_CHECK_EQ_INT(rig.b_result, MB_EPROTO);
    tls_rig_fini(&rig);
}

MB_TEST(protocol_is_the_servers_first_that_the_client_offers) {
    tls_rig rig;
    tls_rig_init(&rig);
    rig.server->alpn = MB_SLICE_LIT("\x02h2\x08http/1.1");
    rig.client->alpn = MB_SLICE_LIT("\x03x/1\x08http/1.1\x02h2");
    tls_rig_load(&rig);
    tls_rig_up(&rig, ROOMY);
    MB_CHECK_EQ_LIT(mb_transport_tls(rig.a)->alpn, "h2");
    MB_CHECK_EQ_LIT(mb_transport_tls(rig.b)->alpn, "h2");
    tls_rig_fini(&rig);
}

/* A connection that has read what the server sent behind its handshake. */
static bool resumed(tls_rig *rig) {
    char none[1];
    tls_rig_up(rig, ROOMY);
    MB_CHECK_EQ_INT(rig->a->vtable->read(rig->a, none, sizeof(none)), MB_EAGAIN);
    bool reused = mb_transport_tls(rig->b)->session_reused;
    tls_rig_hang_up(rig);
    return reused;
}

MB_TEST(tickets_outlive_one_rotation_and_not_two) {
    static const uint16_t versions[] = {0x0303, 0x0304};
    for (int i = 0; i < 2; i++) {
        tls_rig rig;
        tls_rig_init(&rig);
        rig.server->max_version = versions[i];
        rig.server->session_timeout_s = 100 * 3600;
        rig.server->no_stateful_resumption = true;
        tls_rig_load(&rig);
        MB_CHECK(!resumed(&rig));
        MB_CHECK(resumed(&rig));
        MB_CHECK(resumed(&rig)); /* in TLS 1.3 by a ticket of the resumed one */
        world_advance_us(&rig.world, 101 * HOUR_US);
        MB_CHECK(resumed(&rig)); /* by the key before; TLS 1.3 gives a new ticket */
        mb__tls_sessions_clear(rig.client_context);
        MB_CHECK(!resumed(&rig));
        world_advance_us(&rig.world, 301 * HOUR_US);
        MB_CHECK(!resumed(&rig));
        tls_rig_fini(&rig);
    }
}

MB_TEST(sessions_are_not_resumed_where_that_is_off) {
    tls_rig rig;
    tls_rig_init(&rig);
    rig.server->no_stateful_resumption = rig.server->no_stateless_resumption = true;
    tls_rig_load(&rig);
    MB_CHECK(!resumed(&rig));
    MB_CHECK(!resumed(&rig));
    tls_rig_fini(&rig);
}

MB_TEST(staple_that_has_ended_is_left_out_or_refused) {
    static const struct {
        mb_tls_ocsp_policy policy;
        long until_s;
        bool up;
        const char *counter;
    } cases[] = {
        {MB_TLS_OCSP_MUST, CERT_END_S, true, "server.ssl.ocsp_staple_responses"},
        {MB_TLS_OCSP_LENIENT, CERT_START_S + 1, true, "server.ssl.ocsp_staple_omitted"},
        {MB_TLS_OCSP_STRICT, CERT_START_S + 1, false, "server.ssl.ocsp_staple_failed"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tls_rig rig;
        tls_rig_init(&rig);
        mb_slice staple = cert_ocsp(&rig.ca, &rig.leaf, cases[i].until_s);
        rig.server_identities[0].ocsp_staple = tls_inline(staple);
        rig.server->ocsp_policy = cases[i].policy;
        tls_rig_load(&rig);
        tls_rig_connect(&rig, ROOMY);
        SSL_set_tlsext_status_type(((mb_tls_transport *)rig.a)->ssl, TLSEXT_STATUSTYPE_ocsp);
        tls_rig_shake(&rig);
        MB_CHECK_EQ_INT(rig.b_result == MB_OK, cases[i].up);
        MB_CHECK_EQ_INT(tls_rig_count(&rig, cases[i].counter), 1);
        tls_rig_fini(&rig);
        free((char *)staple.ptr);
    }
}

/* -- files ------------------------------------------------------------------------------------ */

static void write_file(const char *path, mb_slice bytes) {
    FILE *file = fopen(path, "w");
    MB_CHECK(file != NULL);
    MB_CHECK_EQ_INT(fwrite(bytes.ptr, 1, bytes.len, file), bytes.len);
    MB_CHECK(fclose(file) == 0);
}

MB_TEST(changed_files_are_taken_when_they_belong_together) {
    char chain[] = "/tmp/mbtest-chain-XXXXXX", key[] = "/tmp/mbtest-key-XXXXXX";
    tls_rig rig;
    tls_rig_init(&rig);
    close(mkstemp(chain));
    close(mkstemp(key));
    write_file(chain, rig.leaf.pem);
    write_file(key, rig.leaf.key_pem);
    cert second =
        cert_make(&(cert_options){.name = "second", .sans = "DNS:a.test", .issuer = &rig.ca});
    rig.server_identities[0] =
        (mb_tls_identity){.certificate_chain = {.kind = MB_TLS_SOURCE_FILE, .name = chain},
                          .private_key = {.kind = MB_TLS_SOURCE_FILE, .name = key}};
    tls_rig_load(&rig);
    write_file(chain, second.pem);
    world_advance_us(&rig.world, 1000000);
    tls_rig_up(&rig, ROOMY);
    check_shown(&rig, &rig.leaf);
    tls_rig_hang_up(&rig);
    MB_CHECK_EQ_INT(tls_rig_count(&rig, "server.server_ssl_socket_factory.update_rejected"), 1);
    MB_CHECK(strstr(rig.logged, "is not the key of the certificate") != NULL);
    tls_rig_up(&rig, ROOMY); /* a connection that lives through the change */
    write_file(key, second.key_pem);
    world_advance_us(&rig.world, 1000000);
    MB_CHECK_EQ_INT(
        tls_rig_count(&rig, "server.server_ssl_socket_factory.ssl_context_update_by_sds"), 1);
    tls_rig_pass(&rig, rig.a, rig.b, 1000);
    tls_rig_hang_up(&rig);
    mb__tls_sessions_clear(rig.client_context);
    tls_rig_up(&rig, ROOMY);
    check_shown(&rig, &second);
    tls_rig_fini(&rig);
    cert_free(&second);
    unlink(chain);
    unlink(key);
}

/* -- faults ----------------------------------------------------------------------------------- */

static void check_fault(tls_rig *rig, const char *field, const char *words) {
    mb_tls_fault fault = {.index = -1};
    MB_CHECK_EQ_INT(mb_tls_context_load(rig->server_context, &fault), MB_ECONFIG);
    MB_CHECK_EQ_SLICE(mb_slice_from_c(fault.field), mb_slice_from_c(field));
    if (strstr(fault.text, words) == NULL || strstr(fault.text, "PRIVATE") != NULL) {
        MB_FAIL(fault.text);
    }
}

static mb_tls_source copy_of(tls_rig *rig, mb_slice bytes) {
    mb_slice copy;
    MB_CHECK_EQ_INT(mb_arena_dup(rig->server_arena, bytes, &copy), MB_OK);
    return tls_inline(copy);
}

MB_TEST(faults_name_the_field_and_show_no_key) {
    for (int i = 0; i < 6; i++) {
        tls_rig rig;
        tls_rig_init(&rig);
        mb_tls_identity *identity = &rig.server_identities[0];
        cert other = cert_make(&(cert_options){.name = "other"});
        char *locked = cert_encrypted_key(&rig.leaf, "secret");
        identity->private_key = copy_of(&rig, rig.leaf.key_pem);
        if (i == 0) {
            identity->private_key = copy_of(&rig, other.key_pem);
            check_fault(&rig, "private_key", "is not the key of");
        } else if (i == 1) {
            identity->private_key = copy_of(&rig, mb_slice_from_c(locked));
            check_fault(&rig, "private_key", "is encrypted: set password");
        } else if (i == 2) {
            identity->private_key = copy_of(&rig, mb_slice_from_c(locked));
            identity->password = copy_of(&rig, MB_SLICE_LIT("wrong"));
            check_fault(&rig, "private_key", "cannot be decrypted");
        } else if (i == 3) {
            identity->certificate_chain = copy_of(&rig, MB_SLICE_LIT("nothing"));
            check_fault(&rig, "certificate_chain", "has no certificate");
        } else if (i == 4) {
            rig.server->ocsp_policy = MB_TLS_OCSP_MUST;
            check_fault(&rig, "ocsp_staple", "is required");
        } else {
            rig.server->cipher_suites = "AES128-GCM-SHA256:NO-SUCH";
            check_fault(&rig, "cipher_suites", "NO-SUCH");
        }
        tls_rig_fini(&rig);
        cert_free(&other);
        free(locked);
    }
}

MB_TEST(nth_allocation_failing_while_loading_leaks_nothing) {
    for (size_t n = 1, failed = 1; failed; n++) {
        tls_rig rig;
        mb_tls_fault fault = {.index = -1};
        tls_rig_init(&rig);
        rig.server_identities[0].private_key = copy_of(&rig, rig.leaf.key_pem);
        size_t before = rig.world.memory->requests;
        rig.world.memory->fail_at = before + n;
        int result = mb_tls_context_load(rig.server_context, &fault);
        failed = rig.world.memory->requests >= before + n;
        rig.world.memory->fail_at = 0;
        MB_CHECK_EQ_INT(result, failed ? MB_ENOMEM : MB_OK);
        tls_rig_fini(&rig);
    }
}
