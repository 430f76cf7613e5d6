/*
 * A TLS server and a TLS client of ours, over a pair in memory: for tests that look at bytes and
 * results without a connection. Settings are changed between init and load.
 */
#ifndef MBTEST_TLS_RIG_H
#define MBTEST_TLS_RIG_H

#include "net/tls.h"
#include "support/net_world.h"
#include "support/tls_certs.h"

typedef struct tls_rig {
    world world;
    mb_arena_pool arenas;
    mb_stats stats;
    cert ca, leaf; /* of a.test, *.wild.test, 127.0.0.1; P-256 */
    mb_tls_context *server_context, *client_context;
    mb_tls_settings *server, *client; /* what the contexts are loaded with */
    mb_arena *server_arena, *client_arena;
    mb_tls_identity server_identities[4], client_identity;
    mb_tls_client_maker maker;
    mb_transport *a, *b; /* client, server; NULL before connect */
    int a_result, b_result;
    char logged[2048]; /* lines of the contexts' logger */
    mb_tls_fault fault;
} tls_rig;

mb_tls_source tls_inline(mb_slice bytes);
void tls_identity_of(mb_tls_identity *identity, const cert *from);

/* The server has `leaf`, the client trusts `ca` and asks for a.test. */
void tls_rig_init(tls_rig *self);
void tls_rig_fini(tls_rig *self);
void tls_rig_load(tls_rig *self); /* both; they must load */
void tls_rig_connect(tls_rig *self, size_t capacity_bytes);
void tls_rig_hang_up(tls_rig *self); /* frees both transports */
/* Turns by turns until both are through or one has failed: results in a_result, b_result. */
void tls_rig_shake(tls_rig *self);
void tls_rig_up(tls_rig *self, size_t capacity_bytes); /* connect, shake; both MB_OK */
/* `bytes` into `from`, taken out of `to`, which must give the same. */
void tls_rig_pass(tls_rig *self, mb_transport *from, mb_transport *to, size_t bytes);
/* Of the server (prefix "server.") or client ("client."): 0 when there is none. */
uint64_t tls_rig_count(const tls_rig *self, const char *name);

#endif
