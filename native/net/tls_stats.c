/*
 * Statistics of TLS under Envoy's names: <prefix>ssl.handshake, ssl.ciphers.<name> and so on.
 * Metrics are found again by name, so all contexts of a listener count together.
 */
#include "net/tls_internal.h"

#include "base/slice.h"
#include <stdio.h>

#define NAME_BYTES 512

void mb__tls_count(mb_metric *metric) {
    if (metric != NULL) {
        mb_metric_inc(metric);
    }
}

static int define(mb_stats *stats, mb_slice prefix, const char *group, const char *name,
                  mb_metric **out) {
    char text[NAME_BYTES];
    int length = snprintf(text, sizeof(text), "%.*s%s%s", MB_TEXT_ARG(prefix), group, name);
    if (length < 0 || (size_t)length >= sizeof(text)) {
        return MB_EINVAL;
    }
    return mb_stats_define(stats, MB_COUNTER, mb_slice_of(text, (size_t)length), NULL, 0, out);
}

int mb_tls_context_count_as(mb_tls_context *context, mb_stats *stats, mb_slice prefix) {
    mb_tls_stats found = {.registry = stats};
    const char *factory =
        context->settings.server ? "server_ssl_socket_factory." : "client_ssl_socket_factory.";
    const struct {
        const char *group, *name;
        mb_metric **out;
    } counters[] = {
        {"ssl.", "handshake", &found.handshake},
        {"ssl.", "connection_error", &found.connection_error},
        {"ssl.", "session_reused", &found.session_reused},
        {"ssl.", "no_certificate", &found.no_certificate},
        {"ssl.", "fail_verify_no_cert", &found.fail_verify_no_cert},
        {"ssl.", "fail_verify_error", &found.fail_verify_error},
        {"ssl.", "fail_verify_san", &found.fail_verify_san},
        {"ssl.", "fail_verify_cert_hash", &found.fail_verify_cert_hash},
        {"ssl.", "ocsp_staple_requests", &found.ocsp_staple_requests},
        {"ssl.", "ocsp_staple_responses", &found.ocsp_staple_responses},
        {"ssl.", "ocsp_staple_omitted", &found.ocsp_staple_omitted},
        {"ssl.", "ocsp_staple_failed", &found.ocsp_staple_failed},
        {factory, "ssl_context_update_by_sds", &found.updates},
        {factory, "update_rejected", &found.update_rejected},
    };
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        int result = define(stats, prefix, counters[i].group, counters[i].name, counters[i].out);
        if (result < 0) {
            return result;
        }
    }
    int result = mb_arena_dup(&context->arena, prefix, &found.prefix);
    if (result == MB_OK) {
        context->stats = found;
    }
    return result;
}

/* One of a family: made at its first use. Without memory it goes uncounted. */
static void count_named(const mb_tls_stats *stats, const char *group, const char *name) {
    mb_metric *metric;
    if (name != NULL && define(stats->registry, stats->prefix, group, name, &metric) == MB_OK) {
        mb_metric_inc(metric);
    }
}

void mb__tls_count_handshake(mb_tls_transport *self) {
    const mb_tls_stats *stats = &self->context->stats;
    if (stats->registry == NULL) {
        return;
    }
    mb_metric_inc(stats->handshake);
    if (SSL_session_reused(self->ssl)) {
        mb_metric_inc(stats->session_reused);
    }
    if (SSL_get0_peer_certificate(self->ssl) == NULL) {
        mb_metric_inc(stats->no_certificate);
    }
    count_named(stats, "ssl.ciphers.", SSL_get_cipher_name(self->ssl));
    count_named(stats, "ssl.versions.", SSL_get_version(self->ssl));
    int group = SSL_get_negotiated_group(self->ssl);
    count_named(stats, "ssl.curves.", group != 0 ? SSL_group_to_name(self->ssl, group) : NULL);
}
