/*
 * Which certificates will do, on both sides: chains, names, hashes, time, and that only
 * accept_untrusted lets anything through.
 */
#include "support/tls_rig.h"

#include "base/slice.h"
#include "net/tls_internal.h"

#include <stdlib.h>

#define ROOMY (256u * 1024u)

typedef struct verify_case {
    const char *what;
    cert_options options; /* of the server's certificate; its issuer is set by the test */
    bool stranger;        /* by another authority */
    const char *sni;
    const char *counter; /* "": it is accepted */
} verify_case;

static void check_case(const verify_case *given) {
    tls_rig rig;
    tls_rig_init(&rig);
    cert other = cert_make(&(cert_options){.name = "other authority", .ca = true});
    cert_options options = given->options;
    options.issuer = given->stranger ? &other : &rig.ca;
    cert leaf = cert_make(&options);
    tls_identity_of(&rig.server_identities[0], &leaf);
    rig.client->sni = given->sni;
    tls_rig_load(&rig);
    tls_rig_connect(&rig, ROOMY);
    tls_rig_shake(&rig);
    bool good = given->counter[0] == '\0';
    if (good != (rig.a_result == MB_OK)) {
        MB_FAIL(given->what);
    }
    if (!good) {
        MB_CHECK_EQ_INT(rig.a_result, MB_EPROTO);
        MB_CHECK_EQ_INT(tls_rig_count(&rig, given->counter), 1);
        MB_CHECK_EQ_INT(tls_rig_count(&rig, "client.ssl.connection_error"), 0);
        MB_CHECK(mb_slice_starts_with(mb_transport_failure(rig.a), MB_SLICE_LIT("TLS_error:|")));
        MB_CHECK(rig.b_result < 0 && mb_transport_failure(rig.b).len > 0); /* the alert came */
    }
    tls_rig_fini(&rig);
    cert_free(&leaf);
    cert_free(&other);
}

MB_TEST(clients_verify_chain_and_name) {
    static const char error[] = "client.ssl.fail_verify_error",
                      name[] = "client.ssl.fail_verify_san";
    const verify_case cases[] = {
        {"name", {.name = "x", .sans = "DNS:a.test"}, false, "a.test", ""},
        {"any case", {.name = "x", .sans = "DNS:A.Test"}, false, "a.test", ""},
        {"wildcard", {.name = "x", .sans = "DNS:*.b.test"}, false, "a.b.test", ""},
        {"two labels", {.name = "x", .sans = "DNS:*.test"}, false, "a.b.test", name},
        {"part of a label", {.name = "x", .sans = "DNS:a*.test"}, false, "ab.test", name},
        {"other name", {.name = "x", .sans = "DNS:b.test"}, false, "a.test", name},
        {"common name only", {.name = "a.test"}, false, "a.test", name},
        {"address", {.name = "x", .sans = "IP:127.0.0.1"}, false, "", ""},
        {"address as name", {.name = "x", .sans = "DNS:127.0.0.1"}, false, "", name},
        {"stranger", {.name = "x", .sans = "DNS:a.test"}, true, "a.test", error},
        {"expired",
         {.name = "x", .sans = "DNS:a.test", .not_after_s = CERT_START_S + 1},
         false,
         "a.test",
         error},
        {"early",
         {.name = "x", .sans = "DNS:a.test", .not_before_s = CERT_START_S + 5000},
         false,
         "a.test",
         error},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_case(&cases[i]);
    }
}

MB_TEST(only_accept_untrusted_lets_a_stranger_through_and_says_so) {
    tls_rig rig;
    tls_rig_init(&rig);
    cert own = cert_make(&(cert_options){.name = "self", .sans = "DNS:z.test"});
    tls_identity_of(&rig.server_identities[0], &own);
    rig.client->validation.accept_untrusted = true;
    tls_rig_load(&rig);
    tls_rig_up(&rig, ROOMY);
    const mb_tls_info *info = mb_transport_tls(rig.a);
    MB_CHECK(info->peer_presented && !info->peer_verified);
    tls_rig_fini(&rig);
    cert_free(&own);
}

/* The server asks; the client shows `shown` (or nothing). Returns the server's result. */
static int ask_client(tls_rig *rig, const cert *shown) {
    rig->server->validation.present = true;
    rig->server->require_client_certificate = true;
    if (shown != NULL) {
        tls_identity_of(&rig->client_identity, shown);
        rig->client->identities = &rig->client_identity;
        rig->client->identity_count = 1;
    }
    tls_rig_load(rig);
    tls_rig_connect(rig, ROOMY);
    tls_rig_shake(rig);
    return rig->b_result;
}

MB_TEST(servers_verify_clients) {
    static const char *const sans[] = {NULL, "URI:spiffe://test/one", "URI:spiffe://test/two"};
    for (size_t i = 0; i < 3; i++) {
        tls_rig rig;
        tls_rig_init(&rig);
        mb_tls_san_match match = {.type = MB_TLS_SAN_URI,
                                  .value = MB_SLICE_LIT("spiffe://test/one")};
        mb_tls_san_match *matches = mb_arena_alloc(rig.server_arena, sizeof(match));
        *matches = match;
        rig.server->validation.trusted_ca = tls_inline(rig.ca.pem);
        rig.server->validation.sans = matches;
        rig.server->validation.san_count = 1;
        cert client =
            cert_make(&(cert_options){.name = "client", .sans = sans[i], .issuer = &rig.ca});
        int result = ask_client(&rig, i == 0 ? NULL : &client);
        MB_CHECK_EQ_INT(result, i == 1 ? MB_OK : MB_EPROTO);
        MB_CHECK_EQ_INT(tls_rig_count(&rig, "server.ssl.fail_verify_no_cert"), i == 0);
        MB_CHECK_EQ_INT(tls_rig_count(&rig, "server.ssl.fail_verify_san"), i == 2);
        if (i == 1) {
            const mb_tls_certificate *peer = mb_tls_peer(mb_transport_tls(rig.b));
            MB_CHECK_EQ_LIT(peer->subject, "CN=client,O=moebridge");
            MB_CHECK_EQ_LIT(peer->issuer, "CN=test authority,O=moebridge");
            MB_CHECK_EQ_INT(peer->uri_san_count, 1);
            MB_CHECK_EQ_LIT(peer->uri_sans[0], "spiffe://test/one");
            MB_CHECK_EQ_INT(peer->sha256.len, 64);
            MB_CHECK_EQ_INT(peer->not_after_s, CERT_END_S);
            MB_CHECK(mb_slice_starts_with(peer->pem, MB_SLICE_LIT("-----BEGIN%20CERTIFICATE")));
        }
        tls_rig_fini(&rig);
        cert_free(&client);
    }
}

MB_TEST(revoked_client_is_refused) {
    tls_rig rig;
    tls_rig_init(&rig);
    cert client = cert_make(&(cert_options){.name = "client", .issuer = &rig.ca});
    char *crl = cert_crl(&rig.ca, &client);
    rig.server->validation.trusted_ca = tls_inline(rig.ca.pem);
    rig.server->validation.crl = tls_inline(mb_slice_from_c(crl));
    MB_CHECK_EQ_INT(ask_client(&rig, &client), MB_EPROTO);
    MB_CHECK_EQ_INT(tls_rig_count(&rig, "server.ssl.fail_verify_error"), 1);
    tls_rig_fini(&rig);
    cert_free(&client);
    free(crl);
}

MB_TEST(names_match_as_they_should) {
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"a.test", "a.test", true},    {"A.test", "a.TEST", true},    {"a.test", "b.test", false},
        {"*.test", "a.test", true},    {"*.test", "test", false},     {"*.test", ".test", false},
        {"*.test", "a.b.test", false}, {"*.a.test", "a.test", false}, {"*", "a", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool found =
            mb__tls_dns_match(mb_slice_from_c(cases[i].pattern), mb_slice_from_c(cases[i].name));
        if (found != cases[i].matches) {
            MB_FAIL(cases[i].pattern);
        }
    }
}
