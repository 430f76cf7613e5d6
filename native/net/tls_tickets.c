/*
 * Keys of session tickets (RFC 5077, RFC 8446 4.6.1): AES-256-CBC and HMAC-SHA256.
 *
 * Configured ones, of which the first seals and all open, or our own: made when first needed and
 * changed each MB_TLS_TICKET_ROTATION_US or session timeout, whichever is longer; the one before
 * still opens, so that a ticket lives as long as its session may. Time is the loop's.
 */
#include "net/tls_internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#define MB_TLS_TICKET_ROTATION_US (12ull * 3600u * 1000000u)
#define NAME_BYTES 16
#define MAC_KEY_BYTES 32
#define IV_BYTES 16

/* False: no random bytes. */
static bool rotate(mb_tls_context *context) {
    mb_tls_tickets *own = &context->tickets;
    uint64_t now_us = mb_loop_now_us(context->world.loop);
    if (own->rotate_at_us > now_us) {
        return true;
    }
    uint64_t period_us = context->settings.session_timeout_s * 1000000u;
    if (period_us < MB_TLS_TICKET_ROTATION_US) {
        period_us = MB_TLS_TICKET_ROTATION_US;
    }
    uint8_t fresh[MB_TLS_TICKET_KEY_BYTES];
    if (RAND_bytes(fresh, sizeof(fresh)) != 1) {
        return false;
    }
    /* After a pause of more than a period nobody may hold a ticket of the last key. */
    bool keep = own->rotate_at_us != 0 && now_us - own->rotate_at_us < period_us;
    memcpy(own->keys[1], keep ? own->keys[0] : fresh, sizeof(fresh));
    memcpy(own->keys[0], fresh, sizeof(fresh));
    OPENSSL_cleanse(fresh, sizeof(fresh));
    own->rotate_at_us = now_us + period_us;
    return true;
}

static int set_keys(const uint8_t *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, bool seal) {
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(key + NAME_BYTES),
                                          MAC_KEY_BYTES),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    const uint8_t *aes = key + NAME_BYTES + MAC_KEY_BYTES;
    return EVP_MAC_CTX_set_params(mac, params) == 1 &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, aes, iv, seal) == 1;
}

/* 1 used, 2 used and to be renewed, 0 no ticket (a full handshake follows), -1 failed. Tickets of
 * TLS 1.3 are used once (RFC 8446 C.4), so who shows one gets another. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int seal) {
    const mb_tls_transport *self = mb__tls_transport_of(ssl);
    mb_tls_context *context = self->context;
    uint8_t(*keys)[MB_TLS_TICKET_KEY_BYTES] = self->material->ticket_keys;
    uint32_t count = context->settings.ticket_key_count;
    if (count == 0) {
        if (!rotate(context)) {
            return -1;
        }
        keys = context->tickets.keys;
        count = MB_TLS_TICKET_KEYS_OWN;
    }
    if (seal) {
        memcpy(name, keys[0], NAME_BYTES);
        return RAND_bytes(iv, IV_BYTES) == 1 && set_keys(keys[0], iv, cipher, mac, true) ? 1 : -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (CRYPTO_memcmp(name, keys[i], NAME_BYTES) == 0) {
            bool renew = i > 0 || SSL_version(ssl) >= TLS1_3_VERSION;
            return !set_keys(keys[i], iv, cipher, mac, false) ? -1 : renew ? 2 : 1;
        }
    }
    return 0;
}

void mb__tls_tickets_use(SSL_CTX *ssl_ctx) {
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl_ctx, on_ticket);
}

void mb__tls_tickets_fini(mb_tls_tickets *tickets) {
    OPENSSL_cleanse(tickets, sizeof(*tickets));
}
