/*
 * Errors of TLS in words. OpenSSL keeps a queue a thread, so it is emptied before each call whose
 * failure is looked at, and after. The line has Envoy's form, which people search their logs for:
 * "TLS_error:|CODE:LIBRARY:REASON[:DETAIL]:TLS_error_end". Nothing in it comes from a key.
 */
#include "net/tls_internal.h"

#include "base/alloc.h"
#include <openssl/err.h>
#include <stdio.h>

#define LINE_BYTES 400

void mb__tls_errors_clear(void) {
    if (ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}

const char *mb__tls_reason(void) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return reason != NULL ? reason : "unknown reason";
}

/* Which counter a failed handshake or read belongs to. */
static void count(mb_tls_transport *self, unsigned long code) {
    const mb_tls_stats *stats = &self->context->stats;
    if (self->counted || code == 0 || ERR_GET_LIB(code) != ERR_LIB_SSL) {
        return; /* its own counter has it, or it is no error of TLS */
    }
    int reason = ERR_GET_REASON(code);
    if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        mb__tls_count(stats->fail_verify_no_cert);
    } else if (reason != SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        mb__tls_count(stats->connection_error);
    }
}

static void keep(mb_tls_transport *self, const char *line) {
    const mb_allocator *allocator = self->context->world.allocator;
    size_t bytes = strlen(line) + 1;
    char *copy = mb_alloc(allocator, bytes);
    if (copy == NULL) {
        return;
    }
    memcpy(copy, line, bytes);
    mb_free(allocator, self->failure, self->failure_bytes);
    self->failure = copy;
    self->failure_bytes = bytes;
}

void mb__tls_fail(mb_tls_transport *self, const char *detail) {
    char line[LINE_BYTES];
    unsigned long code = ERR_get_error(); /* the first one is the cause */
    count(self, code);
    if (code == 0 || (detail != NULL && ERR_GET_LIB(code) == ERR_LIB_SSL &&
                      ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
        snprintf(line, sizeof(line), "TLS_error:|%s:TLS_error_end",
                 detail != NULL ? detail : "the connection failed");
        keep(self, line);
    } else if (self->failure == NULL) { /* else the verification has said more */
        const char *library = ERR_lib_error_string(code);
        const char *reason = ERR_reason_error_string(code);
        snprintf(line, sizeof(line), "TLS_error:|%lu:%s:%s%s%s:TLS_error_end", code,
                 library != NULL ? library : "?", reason != NULL ? reason : "?",
                 detail != NULL ? ":" : "", detail != NULL ? detail : "");
        keep(self, line);
    }
    ERR_clear_error();
}

void mb__tls_fail_verify(mb_tls_transport *self, const char *detail) {
    char line[LINE_BYTES];
    snprintf(line, sizeof(line),
             "TLS_error:|SSL routines:certificate verify failed:verify cert failed: "
             "%s:TLS_error_end",
             detail);
    self->counted = true;
    keep(self, line);
}
