/*
 * Material: what a context's settings and files come to, as one SSL_CTX. Immutable once made and
 * counted: a context whose files change gets a new one, handshakes under way keep the old.
 *
 * Defaults are Envoy's: TLS 1.2 to 1.3 for a server, TLS 1.2 for a client, AEAD suites with
 * forward secrecy, X25519 and P-256.
 */
#include "net/tls_internal.h"

#include "base/alloc.h"
#include "base/slice.h"
#include <openssl/x509v3.h>

#define SUITES_DEFAULT                                                                             \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"                                 \
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:"                                     \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define SUITES_TLS13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CURVES_DEFAULT "X25519:P-256"
#define SESSION_TIMEOUT_S 7200
#define VERIFY_DEPTH 100
#define NAME_BYTES 256

/* -- what both sides have --------------------------------------------------------------------- */

static int own_fault(mb_tls_fault *fault, const char *field, const char *value) {
    return mb__tls_fault(fault, "tls_params", -1, field, "OpenSSL does not know \"%s\"", value);
}

static int set_versions(const mb_tls_settings *settings, SSL_CTX *ssl_ctx, mb_tls_fault *fault) {
    int min = settings->min_version != 0 ? settings->min_version : TLS1_2_VERSION;
    int max = settings->max_version != 0 ? settings->max_version
              : settings->server         ? TLS1_3_VERSION
                                         : TLS1_2_VERSION;
    if (settings->max_version == 0 && max < min) {
        max = min;
    }
    if (min > max) {
        return mb__tls_fault(fault, "tls_params", -1, "tls_maximum_protocol_version",
                             "is below the minimum version");
    }
    /* Level 2 asks for 112 bits of security; OpenSSL has TLS 1.0 and 1.1 at level 0 only. */
    SSL_CTX_set_security_level(ssl_ctx, min < TLS1_2_VERSION ? 0 : 2);
    return SSL_CTX_set_min_proto_version(ssl_ctx, min) == 1 &&
                   SSL_CTX_set_max_proto_version(ssl_ctx, max) == 1
               ? MB_OK
               : mb__tls_fault(fault, "tls_params", -1, "tls_minimum_protocol_version", "%s",
                               mb__tls_reason());
}

/* OpenSSL passes over suites that it does not know, so each is tried by itself. */
static int set_suites(const char *list, SSL_CTX *ssl_ctx, mb_tls_fault *fault) {
    mb_slice rest = mb_slice_from_c(list);
    mb_slice suite;
    char name[NAME_BYTES];
    while (rest.len > 0) {
        mb_slice all = rest;
        if (!mb_slice_split(all, ':', &suite, &rest)) {
            suite = all;
            rest = (mb_slice){NULL, 0};
        }
        bool plain = suite.len > 0 && suite.len < sizeof(name) &&
                     (mb_ascii_is_digit(suite.ptr[0]) ||
                      (unsigned char)(mb_ascii_lower(suite.ptr[0]) - 'a') < 26);
        if (plain) {
            memcpy(name, suite.ptr, suite.len);
            name[suite.len] = '\0';
            if (SSL_CTX_set_cipher_list(ssl_ctx, name) != 1) {
                return own_fault(fault, "cipher_suites", name);
            }
        }
    }
    return SSL_CTX_set_cipher_list(ssl_ctx, list) == 1 ? MB_OK
                                                       : own_fault(fault, "cipher_suites", list);
}

static int set_parameters(const mb_tls_settings *settings, SSL_CTX *ssl_ctx, mb_tls_fault *fault) {
    const char *suites =
        settings->cipher_suites[0] != '\0' ? settings->cipher_suites : SUITES_DEFAULT;
    const char *curves = settings->curves[0] != '\0' ? settings->curves : CURVES_DEFAULT;
    int result = set_versions(settings, ssl_ctx, fault);
    if (result == MB_OK) {
        result = set_suites(suites, ssl_ctx, fault);
    }
    if (result == MB_OK && SSL_CTX_set_ciphersuites(ssl_ctx, SUITES_TLS13) != 1) {
        result = own_fault(fault, "cipher_suites", SUITES_TLS13);
    }
    if (result == MB_OK && SSL_CTX_set1_groups_list(ssl_ctx, curves) != 1) {
        result = own_fault(fault, "ecdh_curves", curves);
    }
    if (result == MB_OK && settings->signature_algorithms[0] != '\0' &&
        SSL_CTX_set1_sigalgs_list(ssl_ctx, settings->signature_algorithms) != 1) {
        result = own_fault(fault, "signature_algorithms", settings->signature_algorithms);
    }
    return result;
}

static void set_options(const mb_tls_settings *settings, SSL_CTX *ssl_ctx) {
    SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ssl_ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ssl_ctx, 1); /* one read for header and body of a record */
    SSL_CTX_set_max_early_data(ssl_ctx, 0);
    uint64_t timeout_s = settings->session_timeout_s;
    SSL_CTX_set_timeout(ssl_ctx, timeout_s != 0 ? (long)timeout_s : SESSION_TIMEOUT_S);
    const mb_tls_validation *validation = &settings->validation;
    SSL_CTX_set_verify_depth(ssl_ctx, validation->max_depth != 0 ? (int)validation->max_depth
                                                                 : VERIFY_DEPTH);
}

/* -- certificates by name --------------------------------------------------------------------- */

static void offer(mb_tls_choice *choice, const mb_tls_loaded *loaded) {
    if (choice->by_type[loaded->type] == NULL) { /* the first one configured is preferred */
        choice->by_type[loaded->type] = loaded;
    }
}

static int add_name(mb_tls_material *material, const mb_tls_loaded *loaded, mb_slice name) {
    char lower[NAME_BYTES];
    if (name.len == 0 || name.len > sizeof(lower)) {
        return MB_OK; /* no host can have it */
    }
    for (size_t i = 0; i < name.len; i++) {
        lower[i] = mb_ascii_lower(name.ptr[i]);
    }
    mb_slice key = {lower, name.len};
    mb_tls_choice *choice = mb_map_get(&material->names, key);
    if (choice == NULL) {
        choice = mb_arena_zalloc(&material->arena, sizeof(*choice));
        if (choice == NULL || mb_arena_dup(&material->arena, key, &key) != MB_OK ||
            mb_map_set(&material->names, key, choice, NULL) != MB_OK) {
            return MB_ENOMEM;
        }
    }
    offer(choice, loaded);
    return MB_OK;
}

/* Its DNS names; without any the common name, as Envoy does. */
static int add_names(mb_tls_material *material, const mb_tls_loaded *loaded) {
    GENERAL_NAMES *names = X509_get_ext_d2i(loaded->leaf, NID_subject_alt_name, NULL, NULL);
    int result = MB_OK;
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && result == MB_OK; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS) {
            const ASN1_STRING *text = name->d.dNSName;
            mb_slice dns = {(const char *)ASN1_STRING_get0_data(text),
                            (size_t)ASN1_STRING_length(text)};
            result = add_name(material, loaded, dns);
            found = true;
        }
    }
    GENERAL_NAMES_free(names);
    if (!found && result == MB_OK) {
        char text[NAME_BYTES];
        int length = X509_NAME_get_text_by_NID(X509_get_subject_name(loaded->leaf), NID_commonName,
                                               text, sizeof(text));
        result = length > 0 ? add_name(material, loaded, (mb_slice){text, (size_t)length}) : MB_OK;
    }
    return result;
}

/* With several of one name both keys are usable: RSA for old clients, ECDSA for the others. */
static void choose_fallback(mb_tls_material *material) {
    const mb_tls_settings *settings = material->settings;
    const mb_tls_loaded *first = &material->identities[0];
    offer(&material->fallback, first);
    size_t place = 0;
    const mb_map_entry *entry;
    while ((entry = mb_map_next(&material->names, &place)) != NULL) {
        const mb_tls_choice *choice = entry->value;
        for (int i = 0; choice->by_type[first->type] == first && i < MB_TLS_KEY_TYPES; i++) {
            if (choice->by_type[i] != NULL) {
                offer(&material->fallback, choice->by_type[i]);
            }
        }
    }
    for (uint32_t i = 1; settings->full_scan_on_sni_mismatch && i < settings->identity_count; i++) {
        offer(&material->fallback, &material->identities[i]);
    }
}

static int load_identities(mb_tls_context *context, mb_tls_material *material,
                           mb_tls_fault *fault) {
    uint32_t count = material->settings->identity_count;
    if (count == 0) {
        return MB_OK;
    }
    material->identities = mb_zalloc(material->allocator, count * sizeof(mb_tls_loaded));
    if (material->identities == NULL) {
        return MB_ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        mb_tls_loaded *loaded = &material->identities[i];
        int result = mb__tls_load_identity(&context->world, material->settings, i, loaded, fault);
        if (result == MB_OK) {
            result = add_names(material, loaded);
        }
        if (result != MB_OK) {
            return result;
        }
    }
    choose_fallback(material);
    for (int i = 0; i < MB_TLS_KEY_TYPES; i++) {
        const mb_tls_loaded *loaded = material->fallback.by_type[i];
        if (loaded != NULL && SSL_CTX_use_cert_and_key(material->ssl_ctx, loaded->leaf, loaded->key,
                                                       loaded->chain, 1) != 1) {
            int64_t index = loaded - material->identities;
            return mb__tls_fault(fault, "tls_certificates", index, "certificate_chain",
                                 "cannot be used: %s", mb__tls_reason());
        }
    }
    return MB_OK;
}

static int load_ticket_keys(mb_tls_material *material, mb_tls_fault *fault) {
    uint32_t count = material->settings->ticket_key_count;
    if (count == 0) {
        return MB_OK;
    }
    material->ticket_keys = mb_zalloc(material->allocator, (size_t)count * MB_TLS_TICKET_KEY_BYTES);
    int result = material->ticket_keys != NULL ? MB_OK : MB_ENOMEM;
    for (uint32_t i = 0; i < count && result == MB_OK; i++) {
        result = mb__tls_load_ticket_key(material->allocator, material->settings, i,
                                         material->ticket_keys[i], fault);
    }
    return result;
}

/* -- all of it -------------------------------------------------------------------------------- */

static int build(mb_tls_context *context, mb_tls_material *material, mb_tls_fault *fault) {
    const mb_tls_settings *settings = material->settings;
    SSL_CTX *ssl_ctx = material->ssl_ctx;
    int result = set_parameters(settings, ssl_ctx, fault);
    if (result != MB_OK) {
        return result;
    }
    set_options(settings, ssl_ctx);
    result = load_identities(context, material, fault);
    if (result == MB_OK) {
        result = mb__tls_load_authorities(material->allocator, settings, ssl_ctx, fault);
    }
    if (result == MB_OK) {
        result = load_ticket_keys(material, fault);
    }
    if (result == MB_OK) {
        SSL_CTX_set_cert_verify_callback(ssl_ctx, mb__tls_verify, material);
        result = settings->server ? mb__tls_server_configure(context, material, fault)
                                  : mb__tls_client_configure(context, material, fault);
    }
    return result;
}

int mb__tls_material_new(mb_tls_context *context, mb_tls_material **out, mb_tls_fault *fault) {
    mb_tls_material *material = mb_zalloc(context->world.allocator, sizeof(*material));
    if (material == NULL) {
        return MB_ENOMEM;
    }
    material->refs = 1;
    material->allocator = context->world.allocator;
    material->settings = &context->settings;
    mb_arena_init(&material->arena, context->world.arenas);
    mb_map_init(&material->names, material->allocator, (uint64_t)(uintptr_t)material);
    mb__tls_errors_clear();
    material->ssl_ctx =
        SSL_CTX_new(context->settings.server ? TLS_server_method() : TLS_client_method());
    int result = material->ssl_ctx != NULL ? build(context, material, fault) : MB_ENOMEM;
    mb__tls_errors_clear();
    if (result != MB_OK) {
        mb__tls_material_unref(material);
        return result;
    }
    *out = material;
    return MB_OK;
}

mb_tls_material *mb__tls_material_ref(mb_tls_material *material) {
    material->refs++;
    return material;
}

void mb__tls_material_unref(mb_tls_material *material) {
    if (material == NULL || --material->refs > 0) {
        return;
    }
    uint32_t count = material->identities != NULL ? material->settings->identity_count : 0;
    for (uint32_t i = 0; i < count; i++) {
        mb__tls_unload(&material->identities[i]);
    }
    mb_free(material->allocator, material->identities, count * sizeof(mb_tls_loaded));
    if (material->ticket_keys != NULL) {
        size_t bytes = (size_t)material->settings->ticket_key_count * MB_TLS_TICKET_KEY_BYTES;
        OPENSSL_cleanse(material->ticket_keys, bytes);
        mb_free(material->allocator, material->ticket_keys, bytes);
    }
    SSL_CTX_free(material->ssl_ctx);
    mb_map_fini(&material->names);
    mb_arena_clear(&material->arena);
    mb_free(material->allocator, material, sizeof(*material));
}
