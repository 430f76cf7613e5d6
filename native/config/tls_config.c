/*
 * TLS of filter chains and clusters. Settings are read into the arena of their mb_tls_context,
 * which may outlive the snapshot; then the context loads its files, and what is wrong with them is
 * a fault at the field that names them. Source: moebridge.config.tls_model.
 */
#include "base/slice.h"
#include "config/build.h"

static const char *const source_words[] = {
    [MB_TLS_SOURCE_NONE] = "none",
    [MB_TLS_SOURCE_FILE] = "file",
    [MB_TLS_SOURCE_INLINE] = "inline",
    [MB_TLS_SOURCE_ENVIRONMENT] = "environment",
    NULL,
};
static const char *const version_words[] = {"tls_auto", "tlsv1_0", "tlsv1_1",
                                            "tlsv1_2",  "tlsv1_3", NULL};
static const uint16_t versions[] = {0, 0x0301, 0x0302, 0x0303, 0x0304};
static const char *const san_words[] = {
    [MB_TLS_SAN_ANY] = "any", [MB_TLS_SAN_EMAIL] = "email",   [MB_TLS_SAN_DNS] = "dns",
    [MB_TLS_SAN_URI] = "uri", [MB_TLS_SAN_IP] = "ip_address", NULL,
};
static const char *const match_words[] = {
    [MB_TLS_MATCH_EXACT] = "exact",      [MB_TLS_MATCH_PREFIX] = "prefix",
    [MB_TLS_MATCH_SUFFIX] = "suffix",    [MB_TLS_MATCH_CONTAINS] = "contains",
    [MB_TLS_MATCH_REGEX] = "safe_regex", NULL,
};
static const char *const ocsp_words[] = {
    [MB_TLS_OCSP_LENIENT] = "lenient_stapling",
    [MB_TLS_OCSP_STRICT] = "strict_stapling",
    [MB_TLS_OCSP_MUST] = "must_staple",
    NULL,
};

/* -- sources ---------------------------------------------------------------------------------- */

static const mb_doc_field source_fields[] = {
    MB_DOC_FIELD("kind", ENUM, mb_tls_source, kind, .words = source_words),
    MB_DOC_FIELD("name", CSTRING, mb_tls_source, name),
    MB_DOC_FIELD("data", TEXT, mb_tls_source, bytes),
};

typedef struct certificate_parts {
    mb_doc certificate_chain, private_key, password, ocsp_staple;
} certificate_parts;

static const mb_doc_field certificate_fields[] = {
    MB_DOC_FIELD("certificate_chain", NODE, certificate_parts, certificate_chain),
    MB_DOC_FIELD("private_key", NODE, certificate_parts, private_key),
    MB_DOC_FIELD("password", NODE, certificate_parts, password),
    MB_DOC_FIELD("ocsp_staple", NODE, certificate_parts, ocsp_staple),
};

static void read_certificates(const mb_doc *doc, mb_tls_settings *settings) {
    mb_doc_items items;
    mb_doc item;
    settings->identities = mb_doc_array(doc, &items, sizeof(*settings->identities));
    settings->identity_count = items.count;
    while (mb_doc_next(&items, &item)) {
        certificate_parts found = {0};
        mb_tls_identity *identity = &settings->identities[item.index];
        MB_DOC_READ(&item, certificate_fields, &found);
        MB_DOC_READ(&found.certificate_chain, source_fields, &identity->certificate_chain);
        MB_DOC_READ(&found.private_key, source_fields, &identity->private_key);
        MB_DOC_READ(&found.password, source_fields, &identity->password);
        MB_DOC_READ(&found.ocsp_staple, source_fields, &identity->ocsp_staple);
    }
}

/* -- validation ------------------------------------------------------------------------------- */

typedef struct san_parts {
    mb_tls_san_type type;
    mb_doc matcher;
} san_parts;

static const mb_doc_field san_fields[] = {
    MB_DOC_FIELD("san_type", ENUM, san_parts, type, .words = san_words),
    MB_DOC_FIELD("matcher", NODE, san_parts, matcher),
};

static const mb_doc_field match_fields[] = {
    MB_DOC_FIELD("kind", ENUM, mb_tls_san_match, kind, .words = match_words),
    MB_DOC_FIELD("value", TEXT, mb_tls_san_match, value),
    MB_DOC_FIELD("ignore_case", BOOL, mb_tls_san_match, ignore_case),
};

/* The settings own the expression: they may outlive the snapshot. */
static void compile(mb_builder *builder, const mb_doc *doc, mb_tls_san_match *match) {
    mb_text_clear(&builder->scratch);
    int result = mb_regex_new(match->value, &builder->scratch, &match->regex);
    if (result == MB_EINVAL) {
        mb_slice why = mb_text_view(&builder->scratch);
        mb_doc_fault_at(doc, "value", "%.*s", MB_TEXT_ARG(why));
    } else if (result != MB_OK) {
        builder->reader.status = MB_ENOMEM;
    }
}

static void read_sans(mb_builder *builder, const mb_doc *doc, mb_tls_validation *validation) {
    mb_doc_items items;
    mb_doc item;
    mb_tls_san_match *sans = mb_doc_array(doc, &items, sizeof(*sans));
    validation->sans = sans;
    validation->san_count = items.count;
    while (mb_doc_next(&items, &item)) {
        san_parts found = {0};
        mb_tls_san_match *match = &sans[item.index];
        MB_DOC_READ(&item, san_fields, &found);
        MB_DOC_READ(&found.matcher, match_fields, match);
        match->type = found.type;
        if (match->kind == MB_TLS_MATCH_REGEX) {
            compile(builder, &found.matcher, match);
        }
    }
}

static uint32_t read_hashes(const mb_doc *doc, const uint8_t (**out)[MB_TLS_HASH_BYTES]) {
    mb_doc_items items;
    mb_doc item;
    uint8_t(*hashes)[MB_TLS_HASH_BYTES] = mb_doc_array(doc, &items, MB_TLS_HASH_BYTES);
    *out = (const uint8_t(*)[MB_TLS_HASH_BYTES])hashes;
    uint32_t count = items.count;
    while (mb_doc_next(&items, &item)) {
        mb_slice bytes = mb_doc_text(&item);
        if (bytes.len == MB_TLS_HASH_BYTES) {
            memcpy(hashes[item.index], bytes.ptr, MB_TLS_HASH_BYTES);
        } else {
            mb_doc_fault(&item, "must have 32 bytes");
        }
    }
    return count;
}

typedef struct validation_parts {
    mb_tls_validation validation;
    mb_doc trusted_ca, crl, sans, hashes, spkis;
} validation_parts;

#define CHECK(key, what, member) MB_DOC_FIELD(key, what, validation_parts, member)

static const mb_doc_field validation_fields[] = {
    CHECK("trusted_ca", NODE, trusted_ca),
    CHECK("system_root_certs", BOOL, validation.system_roots),
    CHECK("crl", NODE, crl),
    CHECK("match_typed_subject_alt_names", NODE, sans),
    CHECK("verify_certificate_hash", NODE, hashes),
    CHECK("verify_certificate_spki", NODE, spkis),
    CHECK("allow_expired_certificate", BOOL, validation.allow_expired),
    CHECK("accept_untrusted", BOOL, validation.accept_untrusted),
    CHECK("only_verify_leaf_cert_crl", BOOL, validation.crl_leaf_only),
    MB_DOC_FIELD("max_verify_depth", U32, validation_parts, validation.max_depth, .max = 100),
};

static void read_validation(mb_builder *builder, const mb_doc *doc, mb_tls_validation *out) {
    validation_parts found = {0};
    if (mb_doc_is_nil(doc)) {
        return;
    }
    MB_DOC_READ(doc, validation_fields, &found);
    MB_DOC_READ(&found.trusted_ca, source_fields, &found.validation.trusted_ca);
    MB_DOC_READ(&found.crl, source_fields, &found.validation.crl);
    read_sans(builder, &found.sans, &found.validation);
    found.validation.hash_count = read_hashes(&found.hashes, &found.validation.hashes);
    found.validation.spki_count = read_hashes(&found.spkis, &found.validation.spkis);
    found.validation.present = true;
    *out = found.validation;
}

/* -- what both sides have --------------------------------------------------------------------- */

typedef struct params_parts {
    uint32_t min, max;
    const char *cipher_suites, *curves, *signature_algorithms;
} params_parts;

#define PARAM(key, what, member, ...) MB_DOC_FIELD(key, what, params_parts, member, __VA_ARGS__)

static const mb_doc_field params_fields[] = {
    PARAM("tls_minimum_protocol_version", ENUM, min, .words = version_words),
    PARAM("tls_maximum_protocol_version", ENUM, max, .words = version_words),
    PARAM("cipher_suites", CSTRING, cipher_suites),
    PARAM("ecdh_curves", CSTRING, curves),
    PARAM("signature_algorithms", CSTRING, signature_algorithms),
};

static void read_params(const mb_doc *doc, mb_tls_settings *settings) {
    params_parts found = {.cipher_suites = "", .curves = "", .signature_algorithms = ""};
    MB_DOC_READ(doc, params_fields, &found);
    settings->min_version = versions[found.min];
    settings->max_version = versions[found.max];
    settings->cipher_suites = found.cipher_suites;
    settings->curves = found.curves;
    settings->signature_algorithms = found.signature_algorithms;
}

/* Each name behind its length. */
static void read_alpn(const mb_doc *doc, mb_tls_settings *settings) {
    mb_doc_items items;
    mb_doc item;
    mb_slice *names = mb_doc_array(doc, &items, sizeof(*names));
    uint32_t count = items.count;
    size_t bytes = 0;
    while (mb_doc_next(&items, &item)) {
        names[item.index] = mb_doc_text(&item);
        if (names[item.index].len < 1 || names[item.index].len > 255) {
            mb_doc_fault(&item, "must have 1 to 255 bytes");
        }
        bytes += 1 + names[item.index].len;
    }
    char *wire = mb_doc_alloc(doc->reader, 1, bytes + 1);
    if (wire == NULL || doc->reader->status != MB_OK) {
        return;
    }
    settings->alpn = (mb_slice){wire, bytes};
    for (uint32_t i = 0; i < count; i++) {
        *wire++ = (char)names[i].len;
        memcpy(wire, names[i].ptr, names[i].len);
        wire += names[i].len;
    }
}

typedef struct common_parts {
    mb_doc params, certificates, validation, alpn;
} common_parts;

static const mb_doc_field common_fields[] = {
    MB_DOC_FIELD("tls_params", NODE, common_parts, params),
    MB_DOC_FIELD("tls_certificates", NODE, common_parts, certificates),
    MB_DOC_FIELD("validation_context", NODE, common_parts, validation),
    MB_DOC_FIELD("alpn_protocols", NODE, common_parts, alpn),
};

static void read_common(mb_builder *builder, const mb_doc *doc, mb_tls_settings *settings) {
    common_parts found = {0};
    MB_DOC_READ(doc, common_fields, &found);
    read_params(&found.params, settings);
    read_certificates(&found.certificates, settings);
    read_validation(builder, &found.validation, &settings->validation);
    read_alpn(&found.alpn, settings);
}

/* -- server and client ------------------------------------------------------------------------ */

typedef struct server_parts {
    mb_tls_settings settings;
    mb_doc common, ticket_keys;
} server_parts;

#define SERVER(key, what, member, ...) MB_DOC_FIELD(key, what, server_parts, member, __VA_ARGS__)

static const mb_doc_field server_fields[] = {
    SERVER("common_tls_context", NODE, common),
    SERVER("require_client_certificate", BOOL, settings.require_client_certificate),
    SERVER("require_sni", BOOL, settings.require_sni),
    SERVER("session_ticket_keys", NODE, ticket_keys),
    SERVER("disable_stateless_session_resumption", BOOL, settings.no_stateless_resumption),
    SERVER("disable_stateful_session_resumption", BOOL, settings.no_stateful_resumption),
    SERVER("session_timeout_s", U64, settings.session_timeout_s, .max = INT32_MAX),
    SERVER("ocsp_staple_policy", ENUM, settings.ocsp_policy, .words = ocsp_words),
    SERVER("full_scan_certs_on_sni_mismatch", BOOL, settings.full_scan_on_sni_mismatch),
    SERVER("prefer_client_ciphers", BOOL, settings.prefer_client_ciphers),
};

static void read_server(mb_builder *builder, const mb_doc *doc, mb_tls_settings *settings) {
    server_parts found = {0};
    mb_doc_items items;
    mb_doc item;
    MB_DOC_READ(doc, server_fields, &found);
    found.settings.server = true;
    found.settings.sni = "";
    *settings = found.settings;
    read_common(builder, &found.common, settings);
    settings->ticket_keys =
        mb_doc_array(&found.ticket_keys, &items, sizeof(*settings->ticket_keys));
    settings->ticket_key_count = items.count;
    while (mb_doc_next(&items, &item)) {
        MB_DOC_READ(&item, source_fields, &settings->ticket_keys[item.index]);
    }
}

typedef struct client_parts {
    mb_tls_settings settings;
    mb_doc common;
} client_parts;

#define CLIENT(key, what, member, ...) MB_DOC_FIELD(key, what, client_parts, member, __VA_ARGS__)

static const mb_doc_field client_fields[] = {
    CLIENT("common_tls_context", NODE, common),
    CLIENT("sni", CSTRING, settings.sni),
    CLIENT("auto_host_sni", BOOL, settings.auto_host_sni),
    CLIENT("auto_sni_san_validation", BOOL, settings.auto_sni_san_validation),
    CLIENT("max_session_keys", U32, settings.max_session_keys, .max = 65536),
};

static void read_client(mb_builder *builder, const mb_doc *doc, mb_tls_settings *settings) {
    client_parts found = {.settings.sni = ""};
    MB_DOC_READ(doc, client_fields, &found);
    *settings = found.settings;
    read_common(builder, &found.common, settings);
}

/* -- loading ---------------------------------------------------------------------------------- */

/* At the field that names what is wrong. */
static void note(const mb_doc *doc, const mb_tls_fault *fault) {
    mb_doc common = {.reader = doc->reader, .up = doc, .name = MB_SLICE_LIT("common_tls_context")};
    const mb_doc *at = &common;
    mb_doc parent = {.reader = doc->reader};
    mb_doc item = {.reader = doc->reader};
    if (fault->parent != NULL) {
        parent.name = mb_slice_from_c(fault->parent);
        parent.up = mb_slice_equal(parent.name, MB_SLICE_LIT("session_ticket_keys")) ? doc : at;
        at = &parent;
    }
    if (fault->index >= 0) {
        item.up = at;
        item.index = (uint32_t)fault->index;
        at = &item;
    }
    if (fault->field != NULL) {
        mb_doc_fault_at(at, fault->field, "%s", fault->text);
    } else {
        mb_doc_fault(at, "%s", fault->text);
    }
}

static void release(void *context) {
    mb_tls_context_unref(context);
}

mb_tls_context *mb__config_tls(mb_builder *builder, const mb_doc *doc, bool server) {
    mb_worker *worker = builder->worker;
    mb_release *owned = mb_doc_is_nil(doc) ? NULL : mb__release_new(builder);
    if (owned == NULL || builder->reader.status == MB_ENOMEM) {
        return NULL;
    }
    const mb_tls_world world = {worker->allocator, &worker->arenas, worker->loop, worker->logger};
    mb_tls_context *context = mb_tls_context_new(&world);
    if (context == NULL) {
        builder->reader.status = MB_ENOMEM;
        return NULL;
    }
    mb_arena *arena;
    mb_arena *before = builder->reader.arena;
    mb_tls_settings *settings = mb_tls_context_settings(context, &arena);
    uint32_t faults = builder->reader.fault_count;
    builder->reader.arena = arena;
    (server ? read_server : read_client)(builder, doc, settings);
    builder->reader.arena = before;
    mb_tls_fault fault = {.index = -1};
    int result = MB_OK;
    if (builder->reader.fault_count == faults && builder->reader.status != MB_ENOMEM) {
        result = mb_tls_context_load(context, &fault);
    }
    if (result == MB_ECONFIG) {
        note(doc, &fault);
    } else if (result != MB_OK) {
        builder->reader.status = MB_ENOMEM;
    }
    if (builder->reader.fault_count != faults || builder->reader.status == MB_ENOMEM) {
        mb_tls_context_unref(context);
        return NULL;
    }
    mb__release_own(builder, owned, release, context);
    return context;
}

mb_tls_context *mb__config_tls_share(mb_builder *builder, mb_tls_context *context) {
    mb_release *owned = mb__release_new(builder);
    if (owned == NULL) {
        return NULL;
    }
    mb__release_own(builder, owned, release, mb_tls_context_ref(context));
    mb_tls_context_poll_files(context);
    return context;
}
