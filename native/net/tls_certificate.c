/*
 * A certificate in words: subject and issuer (RFC 2253), serial, fingerprint, alternative names,
 * validity, URL-encoded PEM. Called by tls_info.c at the first question about a connection.
 *
 * All text goes into one mb_text; slices are made of offsets when it no longer moves. What a peer
 * put into its certificate is anybody's bytes: names are taken with their length, and who prints
 * them escapes.
 */
#include "net/tls_internal.h"

#include "base/alloc.h"
#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* Of one certificate and its chain: OpenSSL takes at most 100 KiB of them from a peer. */
#define MB_TLS_TEXT_BYTES_MAX (1024u * 1024u)

typedef struct span {
    size_t at, length;
} span;

struct mb_tls_certificate_block {
    const mb_allocator *allocator;
    mb_tls_certificate view;
    mb_text text;
    span *spans;     /* of all alternative names, by kind: where they are in the text */
    mb_slice *names; /* the same, when the text no longer moves */
    size_t name_count;
};

static const char digits[] = "0123456789abcdef";

static void append_hex(mb_text *out, const unsigned char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        mb_text_byte(out, digits[bytes[i] >> 4]);
        mb_text_byte(out, digits[bytes[i] & 15]);
    }
}

static span append_name(mb_text *out, const X509_NAME *name) {
    span found = {out->len, 0};
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes;
    if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
        long length = BIO_get_mem_data(bio, &bytes);
        mb_text_append(out, (mb_slice){bytes, length > 0 ? (size_t)length : 0});
    }
    BIO_free(bio);
    found.length = out->len - found.at;
    return found;
}

static span append_serial(mb_text *out, const X509 *leaf) {
    span found = {out->len, 0};
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), NULL);
    char *hex = number != NULL ? BN_bn2hex(number) : NULL;
    for (const char *at = hex; at != NULL && *at != '\0'; at++) {
        mb_text_byte(out, *at >= 'A' && *at <= 'F' ? (char)(*at - 'A' + 'a') : *at);
    }
    OPENSSL_free(hex);
    BN_free(number);
    found.length = out->len - found.at;
    return found;
}

static span append_fingerprint(mb_text *out, const X509 *leaf) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    span found = {out->len, 0};
    if (X509_digest(leaf, EVP_sha256(), hash, &length) == 1) {
        append_hex(out, hash, length);
    }
    found.length = out->len - found.at;
    return found;
}

/* PEM with all but unreserved characters escaped (RFC 3986 2.3), as Envoy does. */
static void append_pem(mb_text *out, X509 *certificate) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes;
    long length = bio != NULL && PEM_write_bio_X509(bio, certificate) == 1
                      ? BIO_get_mem_data(bio, &bytes)
                      : 0;
    for (long i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            mb_text_byte(out, (char)c);
        } else {
            mb_text_byte(out, '%');
            mb_text_byte(out, "0123456789ABCDEF"[c >> 4]);
            mb_text_byte(out, "0123456789ABCDEF"[c & 15]);
        }
    }
    BIO_free(bio);
}

static span append_chain(mb_text *out, X509 *leaf, const STACK_OF(X509) * chain) {
    span found = {out->len, 0};
    append_pem(out, leaf);
    for (int i = 0; i < sk_X509_num(chain); i++) { /* a server's has no leaf, a client's has */
        X509 *next = sk_X509_value(chain, i);
        if (next != leaf && X509_cmp(next, leaf) != 0) {
            append_pem(out, next);
        }
    }
    found.length = out->len - found.at;
    return found;
}

static bool append_san(mb_text *out, const GENERAL_NAME *name) {
    char text[INET6_ADDRSTRLEN];
    if (name->type == GEN_IPADD) {
        const ASN1_OCTET_STRING *ip = name->d.iPAddress;
        int family = ip->length == 4 ? AF_INET : AF_INET6;
        if ((ip->length != 4 && ip->length != 16) ||
            inet_ntop(family, ip->data, text, sizeof(text)) == NULL) {
            return false;
        }
        mb_text_c(out, text);
        return true;
    }
    const ASN1_STRING *string = name->d.ia5; /* the same member for these three */
    mb_text_append(out, (mb_slice){(const char *)ASN1_STRING_get0_data(string),
                                   (size_t)ASN1_STRING_length(string)});
    return true;
}

/* The names of one kind, from `spans[count]` on. Returns how many. */
static uint32_t append_sans(mb_text *out, const GENERAL_NAMES *names, int kind, span *spans) {
    uint32_t count = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        size_t before = out->len;
        if (name->type == kind && append_san(out, name)) {
            spans[count++] = (span){before, out->len - before};
        }
    }
    return count;
}

static int64_t seconds(const ASN1_TIME *time) {
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, rest = 0;
    int64_t found = 0;
    if (epoch != NULL && ASN1_TIME_diff(&days, &rest, epoch, time) == 1) {
        found = (int64_t)days * 86400 + rest;
    }
    ASN1_TIME_free(epoch);
    return found;
}

static mb_slice at_span(const mb_text *text, span found) {
    return (mb_slice){text->ptr + found.at, found.length};
}

static const int san_kinds[] = {GEN_URI, GEN_DNS, GEN_IPADD, GEN_EMAIL};
#define SAN_KINDS 4

/* Appends all alternative names; where they are goes to block->spans. False: out of memory. */
static bool append_names(mb_tls_certificate_block *block, X509 *leaf, uint32_t counts[SAN_KINDS]) {
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    size_t total = names != NULL ? (size_t)sk_GENERAL_NAME_num(names) : 0;
    uint32_t used = 0;
    bool good = true;
    if (total > 0) {
        block->spans = mb_alloc(block->allocator, total * sizeof(span));
        block->names = mb_alloc(block->allocator, total * sizeof(mb_slice));
        block->name_count = total;
        good = block->spans != NULL && block->names != NULL;
    }
    for (int i = 0; i < SAN_KINDS; i++) {
        counts[i] = good ? append_sans(&block->text, names, san_kinds[i], &block->spans[used]) : 0;
        used += counts[i];
    }
    GENERAL_NAMES_free(names);
    return good;
}

static void view_names(mb_tls_certificate_block *block, const uint32_t counts[SAN_KINDS]) {
    mb_tls_certificate *view = &block->view;
    uint32_t used = counts[0] + counts[1] + counts[2] + counts[3];
    for (uint32_t i = 0; i < used; i++) {
        block->names[i] = at_span(&block->text, block->spans[i]);
    }
    view->uri_sans = block->names;
    view->uri_san_count = counts[0];
    view->dns_sans = block->names + counts[0];
    view->dns_san_count = counts[1];
    view->ip_sans = block->names + counts[0] + counts[1];
    view->ip_san_count = counts[2];
    view->email_sans = block->names + counts[0] + counts[1] + counts[2];
    view->email_san_count = counts[3];
}

mb_tls_certificate_block *mb__tls_certificate_new(const mb_allocator *allocator, X509 *leaf,
                                                  STACK_OF(X509) * chain) {
    mb_tls_certificate_block *block = mb_zalloc(allocator, sizeof(*block));
    if (block == NULL) {
        return NULL;
    }
    block->allocator = allocator;
    mb_text *text = &block->text;
    mb_text_init(text, allocator, MB_TLS_TEXT_BYTES_MAX);
    uint32_t counts[SAN_KINDS];
    span subject = append_name(text, X509_get_subject_name(leaf));
    span issuer = append_name(text, X509_get_issuer_name(leaf));
    span serial = append_serial(text, leaf);
    span sha256 = append_fingerprint(text, leaf);
    bool good = append_names(block, leaf, counts);
    span pem = append_chain(text, leaf, NULL);
    span all = chain != NULL ? append_chain(text, leaf, chain) : pem;
    if (!good || text->status != MB_OK || text->ptr == NULL) {
        mb__tls_certificate_free(block);
        return NULL;
    }
    block->view = (mb_tls_certificate){
        .subject = at_span(text, subject),
        .issuer = at_span(text, issuer),
        .serial = at_span(text, serial),
        .sha256 = at_span(text, sha256),
        .pem = at_span(text, pem),
        .chain = at_span(text, all),
        .not_before_s = seconds(X509_get0_notBefore(leaf)),
        .not_after_s = seconds(X509_get0_notAfter(leaf)),
    };
    view_names(block, counts);
    return block;
}

void mb__tls_certificate_free(mb_tls_certificate_block *block) {
    if (block == NULL) {
        return;
    }
    mb_free(block->allocator, block->spans, block->name_count * sizeof(span));
    mb_free(block->allocator, block->names, block->name_count * sizeof(mb_slice));
    mb_text_fini(&block->text);
    mb_free(block->allocator, block, sizeof(*block));
}

const mb_tls_certificate *mb__tls_certificate_view(const mb_tls_certificate_block *block) {
    return block != NULL ? &block->view : NULL;
}
