/*
 * See tls_rig.h.
 */
#include "support/tls_rig.h"

#include "base/slice.h"
#include <stdio.h>
#include <stdlib.h>

static void on_log(void *context, mb_log_level level, mb_slice component, mb_slice text) {
    tls_rig *self = context;
    size_t used = strlen(self->logged);
    (void)level;
    (void)component;
    snprintf(self->logged + used, sizeof(self->logged) - used, "%.*s\n", MB_TEXT_ARG(text));
}

mb_tls_source tls_inline(mb_slice bytes) {
    return (mb_tls_source){.kind = MB_TLS_SOURCE_INLINE, .bytes = bytes};
}

/* The context wipes inline keys when it goes, so it gets a copy. */
static mb_tls_source inline_copy(mb_arena *arena, mb_slice bytes) {
    mb_slice copy;
    MB_CHECK_EQ_INT(mb_arena_dup(arena, bytes, &copy), MB_OK);
    return tls_inline(copy);
}

void tls_identity_of(mb_tls_identity *identity, const cert *from) {
    *identity = (mb_tls_identity){.certificate_chain = tls_inline(from->pem),
                                  .private_key = tls_inline(from->key_pem)};
}

void tls_rig_init(tls_rig *self) {
    *self = (tls_rig){0};
    MB_CHECK(world_init(&self->world, 0));
    self->world.clock.wall_us = (uint64_t)(CERT_START_S + 1000) * 1000000u;
    const mb_allocator *allocator = &self->world.memory->allocator;
    mb_arena_pool_init(&self->arenas, allocator, 0);
    mb_stats_init(&self->stats, allocator, 1);
    self->ca = cert_make(&(cert_options){.name = "test authority", .ca = true});
    self->leaf = cert_make(
        &(cert_options){.name = "leaf",
                        .sans = "DNS:a.test,DNS:*.wild.test,URI:spiffe://test/leaf,IP:127.0.0.1",
                        .issuer = &self->ca});
    const mb_tls_world in = {allocator, &self->arenas, self->world.loop, {self, on_log, 0}};
    self->server_context = mb_tls_context_new(&in);
    self->client_context = mb_tls_context_new(&in);
    MB_CHECK(self->server_context != NULL && self->client_context != NULL);
    self->server = mb_tls_context_settings(self->server_context, &self->server_arena);
    self->client = mb_tls_context_settings(self->client_context, &self->client_arena);
    self->server->server = true;
    tls_identity_of(&self->server_identities[0], &self->leaf);
    self->server->identities = self->server_identities;
    self->server->identity_count = 1;
    self->client->validation.present = true;
    self->client->validation.trusted_ca = tls_inline(self->ca.pem);
    self->client->sni = "a.test";
    self->client->max_version = 0x0304;
    self->client->max_session_keys = 1;
}

static void copy_secrets(mb_tls_settings *settings, mb_arena *arena) {
    for (uint32_t i = 0; i < settings->identity_count; i++) {
        mb_tls_identity *identity = &settings->identities[i];
        if (identity->private_key.kind == MB_TLS_SOURCE_INLINE) {
            identity->private_key = inline_copy(arena, identity->private_key.bytes);
        }
        if (identity->password.kind == MB_TLS_SOURCE_INLINE) {
            identity->password = inline_copy(arena, identity->password.bytes);
        }
    }
}

void tls_rig_load(tls_rig *self) {
    copy_secrets(self->server, self->server_arena);
    copy_secrets(self->client, self->client_arena);
    self->fault.text[0] = '\0';
    int server = mb_tls_context_load(self->server_context, &self->fault);
    int client = server == MB_OK ? mb_tls_context_load(self->client_context, &self->fault) : server;
    if (client != MB_OK) {
        MB_FAIL(self->fault.text);
    }
    MB_CHECK_EQ_INT(
        mb_tls_context_count_as(self->server_context, &self->stats, MB_SLICE_LIT("server.")),
        MB_OK);
    MB_CHECK_EQ_INT(
        mb_tls_context_count_as(self->client_context, &self->stats, MB_SLICE_LIT("client.")),
        MB_OK);
    MB_CHECK_EQ_INT(mb_tls_client_maker_init(&self->maker, self->client_context, MB_SLICE_LIT(""),
                                             MB_SLICE_LIT("127.0.0.1")),
                    MB_OK);
}

void tls_rig_connect(tls_rig *self, size_t capacity_bytes) {
    mb_transport *a, *b;
    const mb_allocator *allocator = &self->world.memory->allocator;
    MB_CHECK_EQ_INT(mb_memory_transport_pair(allocator, capacity_bytes, &a, &b), MB_OK);
    self->a = mb_tls_client_new(&self->maker, a);
    self->b = mb_tls_server_new(self->server_context, b);
    MB_CHECK(self->a != NULL && self->b != NULL);
}

void tls_rig_hang_up(tls_rig *self) {
    if (self->a != NULL) {
        self->a->vtable->free(self->a);
    }
    if (self->b != NULL) {
        self->b->vtable->free(self->b);
    }
    self->a = self->b = NULL;
}

void tls_rig_fini(tls_rig *self) {
    tls_rig_hang_up(self);
    mb_tls_client_maker_fini(&self->maker);
    mb_tls_context_unref(self->client_context);
    mb_tls_context_unref(self->server_context);
    mb_stats_fini(&self->stats);
    mb_arena_pool_fini(&self->arenas);
    cert_free(&self->leaf);
    cert_free(&self->ca);
    world_fini(&self->world);
}

void tls_rig_shake(tls_rig *self) {
    self->a_result = self->b_result = MB_EAGAIN;
    for (int i = 0; i < 100000; i++) {
        if (self->a_result == MB_EAGAIN) {
            self->a_result = self->a->vtable->handshake(self->a);
        } else if (self->a_result ==
                   MB_OK) { /* takes the tickets, which the server waits to send */
            char none[1];
            (void)self->a->vtable->read(self->a, none, sizeof(none));
        }
        if (self->b_result == MB_EAGAIN) {
            self->b_result = self->b->vtable->handshake(self->b);
        }
        if (self->a_result != MB_EAGAIN && self->b_result != MB_EAGAIN) {
            return;
        }
        if (self->a_result < 0 && self->a_result != MB_EAGAIN && i > 10) {
            return; /* the other one waits for a client that has given up */
        }
        if (self->b_result < 0 && self->b_result != MB_EAGAIN && i > 10) {
            return;
        }
    }
}

void tls_rig_up(tls_rig *self, size_t capacity_bytes) {
    tls_rig_connect(self, capacity_bytes);
    tls_rig_shake(self);
    if (self->a_result != MB_OK || self->b_result != MB_OK) {
        mb_slice why = mb_transport_failure(self->a_result != MB_OK ? self->a : self->b);
        MB_FAIL(why.len > 0 ? why.ptr : "the handshake hangs");
    }
}

void tls_rig_pass(tls_rig *self, mb_transport *from, mb_transport *to, size_t bytes) {
    mb_buffer out;
    mb_buffer_init(&out, self->world.slabs);
    char *sent = malloc(bytes + 1), *got = malloc(bytes + 1);
    MB_CHECK(sent != NULL && got != NULL);
    for (size_t i = 0; i < bytes; i++) {
        sent[i] = pattern_byte(i);
    }
    MB_CHECK_EQ_INT(mb_buffer_append(&out, (mb_slice){sent, bytes}), MB_OK);
    size_t length = 0;
    while (length < bytes) {
        int64_t written = from->vtable->write(from, &out);
        MB_CHECK(written >= 0 || written == MB_EAGAIN);
        int64_t count = to->vtable->read(to, got + length, bytes - length + 1);
        MB_CHECK(count > 0 || count == MB_EAGAIN);
        length += count > 0 ? (size_t)count : 0;
    }
    MB_CHECK_EQ_INT(length, bytes);
    while (out.length > 0) { /* the last bytes are drained when they are known to be out */
        MB_CHECK(from->vtable->write(from, &out) >= 0);
    }
    check_pattern(got, bytes);
    free(sent);
    free(got);
    mb_buffer_fini(&out);
}

uint64_t tls_rig_count(const tls_rig *self, const char *name) {
    const mb_metric *metric = mb_stats_find(&self->stats, mb_slice_from_c(name), NULL, 0);
    return metric != NULL ? mb_metric_value(metric) : 0;
}
