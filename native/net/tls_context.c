/*
 * Life of a context, makers, and the watch over its files.
 *
 * Files are looked at once a second (stat: a symlink that is swapped, as Kubernetes does it, shows
 * as another inode). When one has changed all are read again; what cannot be used is refused with
 * a log line and a counter and is tried again when a file changes once more, so certificate and
 * key may be replaced one after the other.
 */
#include "net/tls_internal.h"

#include "base/alloc.h"
#include "base/slice.h"
#include <stdio.h>
#include <sys/stat.h>

#define MB_TLS_WATCH_US 1000000u
#define LINE_BYTES 1024

/* -- watching files --------------------------------------------------------------------------- */

/* True when the file is not what it was. */
static bool look(mb_tls_watch *watch) {
    struct stat status;
    mb_tls_watch now = {.name = watch->name, .changed_ns = -1};
    if (stat(watch->name, &status) == 0) {
        now.device = status.st_dev;
        now.inode = status.st_ino;
        now.size = (uint64_t)status.st_size;
        now.changed_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    }
    bool changed = now.device != watch->device || now.inode != watch->inode ||
                   now.size != watch->size || now.changed_ns != watch->changed_ns;
    *watch = now;
    return changed;
}

static bool look_at_all(mb_tls_context *context) {
    bool changed = false;
    for (uint32_t i = 0; i < context->watch_count; i++) {
        changed = look(&context->watches[i]) || changed;
    }
    return changed;
}

static void watch_source(mb_tls_context *context, const mb_tls_source *source) {
    if (source->kind == MB_TLS_SOURCE_FILE) {
        context->watches[context->watch_count++] = (mb_tls_watch){.name = source->name};
    }
}

static int watch_files(mb_tls_context *context) {
    const mb_tls_settings *settings = &context->settings;
    size_t most = (size_t)settings->identity_count * 4 + settings->ticket_key_count + 2;
    context->watches = mb_arena_zalloc(&context->arena, most * sizeof(mb_tls_watch));
    if (context->watches == NULL) {
        return MB_ENOMEM;
    }
    for (uint32_t i = 0; i < settings->identity_count; i++) {
        watch_source(context, &settings->identities[i].certificate_chain);
        watch_source(context, &settings->identities[i].private_key);
        watch_source(context, &settings->identities[i].password);
        watch_source(context, &settings->identities[i].ocsp_staple);
    }
    for (uint32_t i = 0; i < settings->ticket_key_count; i++) {
        watch_source(context, &settings->ticket_keys[i]);
    }
    watch_source(context, &settings->validation.trusted_ca);
    watch_source(context, &settings->validation.crl);
    (void)look_at_all(context); /* before they are read: a change in between is noticed */
    return MB_OK;
}

static void log_line(const mb_tls_context *context, mb_log_level level, const char *text) {
    const mb_logger *logger = &context->world.logger;
    if (logger->log != NULL && level >= logger->level) {
        logger->log(logger->ctx, level, MB_SLICE_LIT("tls"), mb_slice_from_c(text));
    }
}

static void log_refused(const mb_tls_context *context, int result, const mb_tls_fault *fault) {
    char line[LINE_BYTES];
    mb_slice prefix = context->stats.prefix;
    const char *why = result == MB_ENOMEM ? "out of memory" : fault->text;
    snprintf(line, sizeof(line), "%.*s: changed certificate files are not used: %s",
             MB_TEXT_ARG(prefix), why);
    log_line(context, MB_LOG_WARNING, line);
}

void mb_tls_context_poll_files(mb_tls_context *context) {
    if (!look_at_all(context)) {
        return;
    }
    mb_tls_fault fault = {0};
    mb_tls_material *fresh = NULL;
    int result = mb__tls_material_new(context, &fresh, &fault);
    if (result != MB_OK) {
        mb__tls_count(context->stats.update_rejected);
        log_refused(context, result, &fault);
        return;
    }
    mb__tls_material_unref(context->material);
    context->material = fresh;
    mb__tls_sessions_clear(context);
    mb__tls_count(context->stats.updates);
    char line[LINE_BYTES];
    snprintf(line, sizeof(line), "%.*s: changed certificate files are in use",
             MB_TEXT_ARG(context->stats.prefix));
    log_line(context, MB_LOG_INFO, line);
}

static void on_watch_timer(mb_timer *timer) {
    mb_tls_context *context = MB_LIST_ENTRY(timer, mb_tls_context, watch_timer);
    mb_loop_arm(context->world.loop, timer, MB_TLS_WATCH_US);
    mb_tls_context_poll_files(context);
}

/* -- makers ----------------------------------------------------------------------------------- */

static mb_transport *make_server(const mb_transport_maker *maker, const mb_allocator *allocator,
                                 int fd) {
    mb_tls_context *context = MB_LIST_ENTRY(maker, mb_tls_context, server_maker);
    mb_transport *under = mb_plain_transport_new(allocator, fd);
    return under != NULL ? mb_tls_server_new(context, under) : NULL;
}

const mb_transport_maker *mb_tls_server_maker(mb_tls_context *context) {
    return &context->server_maker;
}

/* -- life ------------------------------------------------------------------------------------- */

mb_tls_context *mb_tls_context_new(const mb_tls_world *world) {
    mb_tls_context *context = mb_zalloc(world->allocator, sizeof(*context));
    if (context == NULL) {
        return NULL;
    }
    context->refs = 1;
    context->world = *world;
    context->server_maker.make = make_server;
    context->watch_timer.on_expire = on_watch_timer;
    context->settings.cipher_suites = context->settings.curves = "";
    context->settings.signature_algorithms = context->settings.sni = "";
    mb_arena_init(&context->arena, world->arenas);
    context->plain = mb_alloc(world->allocator, MB_TLS_RECORD_BYTES);
    context->cork = mb_alloc(world->allocator, MB_TLS_CORK_BYTES);
    context->bio_method = mb__tls_bio_method_new();
    if (context->plain == NULL || context->cork == NULL || context->bio_method == NULL) {
        mb_tls_context_unref(context);
        return NULL;
    }
    return context;
}

mb_tls_context *mb_tls_context_ref(mb_tls_context *context) {
    context->refs++;
    return context;
}

static void free_settings(mb_tls_settings *settings) {
    for (uint32_t i = 0; i < settings->validation.san_count; i++) {
        mb_regex_free(settings->validation.sans[i].regex);
    }
    for (uint32_t i = 0; i < settings->identity_count; i++) { /* keys may be inline */
        const mb_tls_identity *identity = &settings->identities[i];
        OPENSSL_cleanse((char *)identity->private_key.bytes.ptr, identity->private_key.bytes.len);
        OPENSSL_cleanse((char *)identity->password.bytes.ptr, identity->password.bytes.len);
    }
    for (uint32_t i = 0; i < settings->ticket_key_count; i++) {
        OPENSSL_cleanse((char *)settings->ticket_keys[i].bytes.ptr,
                        settings->ticket_keys[i].bytes.len);
    }
}

void mb_tls_context_unref(mb_tls_context *context) {
    if (context == NULL || --context->refs > 0) {
        return;
    }
    const mb_allocator *allocator = context->world.allocator;
    mb_loop_disarm(&context->watch_timer);
    mb__tls_sessions_clear(context);
    mb__tls_material_unref(context->material);
    mb__tls_tickets_fini(&context->tickets);
    free_settings(&context->settings);
    BIO_meth_free(context->bio_method);
    mb_free(allocator, context->plain, MB_TLS_RECORD_BYTES);
    mb_free(allocator, context->cork, MB_TLS_CORK_BYTES);
    mb_arena_clear(&context->arena);
    mb_free(allocator, context, sizeof(*context));
}

mb_tls_settings *mb_tls_context_settings(mb_tls_context *context, mb_arena **arena) {
    *arena = &context->arena;
    return &context->settings;
}

int mb_tls_context_load(mb_tls_context *context, mb_tls_fault *fault) {
    int result = watch_files(context);
    if (result == MB_OK) {
        result = mb__tls_material_new(context, &context->material, fault);
    }
    if (result == MB_OK && context->watch_count > 0) {
        mb_loop_arm(context->world.loop, &context->watch_timer, MB_TLS_WATCH_US);
    }
    return result;
}
