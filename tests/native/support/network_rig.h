/*
 * What tests of network filters share: a worker with a settable clock, a connection over memory
 * with a chain of scripted filters, its owner, and the peer's end.
 */
#ifndef MBTEST_NETWORK_RIG_H
#define MBTEST_NETWORK_RIG_H

#include "filter/network_chain.h"
#include "support/net_world.h"

#define RIG_FILTERS 4
#define SCRIPT_STEPS 16

typedef struct rig rig;

typedef struct script {
    rig *rig;
    int index;
    char name[16];
    mb_network_filter *filter; /* once a hook ran; NULL after destroy */
    int open_status;
    int statuses[2][SCRIPT_STEPS]; /* by direction, in order of the calls; then CONTINUE */
    int given[2], asked[2];
    const char *adds[2][2]; /* by direction of the hook, of the bytes: once */
    bool answers;           /* whatever it sees it answers in the other direction */
    int closes;             /* 1 + mb_network_close: in its next data hook */
} script;

struct rig {
    mbtest_alloc *memory;
    mbtest_clock clock;
    world world; /* `loop`, `slabs`, `net` are the worker's */
    mb_worker worker;
    const mb_network_host *host;
    mb_module_ref module;
    mb_network_entry entries[RIG_FILTERS];
    mb_network_chain chain;
    script filters[RIG_FILTERS];
    size_t limit_bytes;
    mb_transport *peer;
    mb_conn *conn; /* NULL when it could not be made */
    owner owner;
    bool kept, released; /* the keeper */
    char hooks[4096];
    size_t hooks_length;
    char got[4096];
    size_t got_length;
    bool saw_end;
};

void network_rig_init(rig *self, int filters); /* make and start */
void rig_make(rig *self, int filters);
void rig_start(rig *self);
bool rig_try_start(rig *self);    /* false: out of memory */
void network_rig_fini(rig *self); /* ends what is left, checks that nothing is left over */
void rig_turns(rig *self, int count);
void rig_peer_sends(rig *self, const char *bytes); /* and a turn */
void rig_peer_ends(rig *self);
bool rig_peer_saw_end(rig *self);
void rig_owner_frees(owner *self, mb_conn *conn);
void script_status(rig *self, int filter, int direction, int status);
void script_add(rig *self, int filter, int hook, int direction, const char *bytes);
/* What the peer has received so far. */
mb_slice rig_peer_got(rig *self);

/* Compare and, the hooks, forget. */
#define CHECK_HOOKS(self, want)                                                                    \
    do {                                                                                           \
        MB_CHECK_EQ_LIT(((mb_slice){(self)->hooks, (self)->hooks_length}), want);                  \
        (self)->hooks_length = 0;                                                                  \
    } while (0)
#define CHECK_OWNER_GOT(self, want)                                                                \
    MB_CHECK_EQ_LIT(((mb_slice){(self)->owner.bytes, (self)->owner.length}), want)
#define CHECK_PEER_GOT(self, want) MB_CHECK_EQ_LIT(rig_peer_got(self), want)

#endif
