/*
 * Filter-chain match: see chain_match.h. Called by config/ while it builds and by the server for
 * each connection of a listener that has more than one chain.
 *
 * A tree with one level a step. A node has a branch for each value that some chain names there
 * (a map, or for addresses a map per length of prefix) and one for the chains that name none. The
 * last level's branches are the chains. A look-up takes one branch a level, so its cost does not
 * grow with the number of chains; what a chain lists is multiplied out when it is added.
 */
#include "route/chain_match.h"

#include "base/alloc.h"
#include "base/map.h"
#include "base/slice.h"

typedef enum level {
    LEVEL_PORT,
    LEVEL_DESTINATION,
    LEVEL_SERVER_NAME,
    LEVEL_TRANSPORT,
    LEVEL_APPLICATION,
    LEVEL_DIRECT_SOURCE,
    LEVEL_SOURCE_TYPE,
    LEVEL_SOURCE,
    LEVEL_SOURCE_PORT,
    LEVELS
} level;

typedef struct node {
    struct node *next; /* all of a match, for free */
    void *any;         /* of chains that name nothing here: a node, or the chain at the end */
    mb_map named;      /* value -> node or chain */
    /* Of a level of addresses: which lengths of prefix there are. */
    uint64_t v4_lengths; /* bit n: n bits */
    uint64_t v6_lengths[3];
} node;

struct mb_chain_match {
    const mb_allocator *allocator;
    uint64_t seed;
    uint32_t count;
    node *nodes;
    node *root;
    struct key_block *keys;
};

/* Keys that are not texts of the configuration: numbers and prefixes. */
typedef struct key_block {
    struct key_block *next;
    char bytes[18];
} key_block;

/* One value at a level: empty for none. */
typedef struct value {
    mb_slice key;
    const mb_cidr *cidr; /* or NULL */
    char bytes[18];      /* what `key` points to unless it is a text */
} value;

/* -- values -------------------------------------------------------------------------------- */

static mb_slice cidr_key(const mb_cidr *cidr, char *out) {
    out[0] = (char)cidr->family;
    out[1] = (char)cidr->bits;
    memcpy(out + 2, cidr->host, sizeof(cidr->host));
    return (mb_slice){out, 18};
}

static mb_slice port_key(uint16_t port, char *out) {
    memcpy(out, &port, sizeof(port));
    return (mb_slice){out, port == 0 ? 0 : sizeof(port)};
}

static uint32_t value_count(const mb_chain_criteria *criteria, level at) {
    switch (at) {
    case LEVEL_DESTINATION:
        return criteria->destination_count;
    case LEVEL_SERVER_NAME:
        return criteria->server_name_count;
    case LEVEL_APPLICATION:
        return criteria->application_protocol_count;
    case LEVEL_DIRECT_SOURCE:
        return criteria->direct_source_count;
    case LEVEL_SOURCE:
        return criteria->source_count;
    case LEVEL_SOURCE_PORT:
        return criteria->source_port_count;
    default:
        return 1; /* one value, perhaps empty */
    }
}

static void get_value(const mb_chain_criteria *criteria, level at, uint32_t index, value *out) {
    out->cidr = NULL;
    switch (at) {
    case LEVEL_PORT:
        out->key = port_key(criteria->destination_port, out->bytes);
        return;
    case LEVEL_DESTINATION:
        out->cidr = &criteria->destinations[index];
        break;
    case LEVEL_SERVER_NAME: /* "*.example.com" is kept as ".example.com" */
        out->key = criteria->server_names[index];
        out->key = mb_slice_skip(out->key, mb_slice_starts_with(out->key, MB_SLICE_LIT("*.")));
        return;
    case LEVEL_TRANSPORT:
        out->key = criteria->transport_protocol;
        return;
    case LEVEL_APPLICATION:
        out->key = criteria->application_protocols[index];
        return;
    case LEVEL_DIRECT_SOURCE:
        out->cidr = &criteria->direct_sources[index];
        break;
    case LEVEL_SOURCE_TYPE:
        out->bytes[0] = (char)criteria->source_type;
        out->key = (mb_slice){out->bytes, criteria->source_type == MB_SOURCE_ANY ? 0 : 1};
        return;
    case LEVEL_SOURCE:
        out->cidr = &criteria->sources[index];
        break;
    default:
        out->key = port_key(criteria->source_ports[index], out->bytes);
        return;
    }
    out->key = cidr_key(out->cidr, out->bytes);
}

/* -- building ------------------------------------------------------------------------------ */

static node *new_node(mb_chain_match *match) {
    node *made = mb_zalloc(match->allocator, sizeof(*made));
    if (made != NULL) {
        mb_map_init(&made->named, match->allocator, match->seed);
        made->next = match->nodes;
        match->nodes = made;
        match->count++;
    }
    return made;
}

/* A key that lives as long as the match. */
static int keep_key(mb_chain_match *match, const value *of, mb_slice *out) {
    if (of->key.ptr != of->bytes) {
        *out = of->key;
        return MB_OK;
    }
    key_block *block = mb_alloc(match->allocator, sizeof(*block));
    if (block == NULL) {
        return MB_ENOMEM;
    }
    block->next = match->keys;
    match->keys = block;
    memcpy(block->bytes, of->bytes, sizeof(block->bytes));
    *out = (mb_slice){block->bytes, of->key.len};
    return MB_OK;
}

static void note_length(node *at, const mb_cidr *cidr) {
    if (cidr == NULL) {
        return;
    }
    if (cidr->family == 4) {
        at->v4_lengths |= UINT64_C(1) << cidr->bits;
    } else {
        at->v6_lengths[cidr->bits / 64] |= UINT64_C(1) << cidr->bits % 64;
    }
}

static int set_branch(mb_chain_match *match, node *at, const value *of, void *to) {
    mb_slice key;
    if (of->key.len == 0) {
        at->any = to;
        return MB_OK;
    }
    int result = keep_key(match, of, &key);
    if (result == MB_OK) {
        result = mb_map_set(&at->named, key, to, NULL);
    }
    note_length(at, of->cidr);
    return result;
}

static int add_below(mb_chain_match *match, node *at, level depth,
                     const mb_chain_criteria *criteria, void *chain);

static int add_value(mb_chain_match *match, node *at, level depth, const value *of,
                     const mb_chain_criteria *criteria, void *chain) {
    void *branch = of->key.len == 0 ? at->any : mb_map_get(&at->named, of->key);
    if (depth == LEVELS - 1) {
        return branch != NULL ? MB_EINVAL : set_branch(match, at, of, chain);
    }
    if (branch == NULL) {
        if (match->count >= MB_CHAIN_MATCH_NODES_MAX) {
            return MB_ELIMIT;
        }
        branch = new_node(match);
        int result = branch == NULL ? MB_ENOMEM : set_branch(match, at, of, branch);
        if (result != MB_OK) {
            return result;
        }
    }
    return add_below(match, branch, depth + 1, criteria, chain);
}

static int add_below(mb_chain_match *match, node *at, level depth,
                     const mb_chain_criteria *criteria, void *chain) {
    uint32_t count = value_count(criteria, depth);
    if (count == 0) {
        value none = {.cidr = NULL};
        return add_value(match, at, depth, &none, criteria, chain);
    }
    int result = MB_OK;
    for (uint32_t i = 0; i < count && result == MB_OK; i++) {
        value found;
        get_value(criteria, depth, i, &found);
        result = add_value(match, at, depth, &found, criteria, chain);
    }
    return result;
}

int mb_chain_match_add(mb_chain_match *match, const mb_chain_criteria *criteria, void *chain) {
    return add_below(match, match->root, LEVEL_PORT, criteria, chain);
}

mb_chain_match *mb_chain_match_new(const mb_allocator *allocator, uint64_t seed) {
    mb_chain_match *match = mb_zalloc(allocator, sizeof(*match));
    if (match == NULL) {
        return NULL;
    }
    match->allocator = allocator;
    match->seed = seed;
    match->root = new_node(match);
    if (match->root == NULL) {
        mb_free(allocator, match, sizeof(*match));
        return NULL;
    }
    return match;
}

void mb_chain_match_free(mb_chain_match *match) {
    if (match == NULL) {
        return;
    }
    while (match->nodes != NULL) {
        node *first = match->nodes;
        match->nodes = first->next;
        mb_map_fini(&first->named);
        mb_free(match->allocator, first, sizeof(*first));
    }
    while (match->keys != NULL) {
        key_block *first = match->keys;
        match->keys = first->next;
        mb_free(match->allocator, first, sizeof(*first));
    }
    mb_free(match->allocator, match, sizeof(*match));
}

/* -- finding ------------------------------------------------------------------------------- */

/* The branch of the longest prefix of `address`. What is not of IP counts as the address
 * 255.255.255.255, as in Envoy: it is in 0.0.0.0/0. */
static void *find_prefix(const node *at, const mb_address *address) {
    mb_cidr around;
    char key[18];
    if (mb_map_count(&at->named) == 0) {
        return at->any;
    }
    if (!mb_cidr_of(address, MB_CIDR_BITS_MAX, &around)) {
        around = (mb_cidr){.family = 4, .bits = 32, .host = {255, 255, 255, 255}};
    }
    mb_cidr host = around;
    for (int bits = around.bits; bits >= 0; bits--) {
        uint64_t lengths = host.family == 4 ? at->v4_lengths : at->v6_lengths[bits / 64];
        if ((lengths >> bits % 64 & 1) == 0) {
            continue;
        }
        around = host;
        around.bits = (uint8_t)bits;
        mb_cidr_mask(&around);
        void *branch = mb_map_get(&at->named, cidr_key(&around, key));
        if (branch != NULL) {
            return branch;
        }
    }
    return at->any;
}

/* The name itself, then the longest "*.suffix". */
static void *find_name(const node *at, mb_slice name) {
    char lower[MB_SERVER_NAME_MAX_BYTES];
    if (name.len > sizeof(lower) || mb_map_count(&at->named) == 0) {
        return at->any;
    }
    for (size_t i = 0; i < name.len; i++) {
        lower[i] = mb_ascii_lower(name.ptr[i]);
    }
    mb_slice rest = {lower, name.len};
    while (rest.len > 0) {
        void *branch = mb_map_get(&at->named, rest);
        if (branch != NULL) {
            return branch;
        }
        int64_t dot = mb_slice_index(mb_slice_skip(rest, 1), '.');
        rest = mb_slice_skip(rest, dot < 0 ? rest.len : (size_t)dot + 1);
    }
    return at->any;
}

static void *find_key(const node *at, mb_slice key) {
    void *branch = key.len == 0 ? NULL : mb_map_get(&at->named, key);
    return branch != NULL ? branch : at->any;
}

static void *find_port(const node *at, uint16_t port) {
    char key[2];
    return find_key(at, port_key(port, key));
}

static void *find_application(const node *at, const mb_chain_facts *facts) {
    for (uint32_t i = 0; i < facts->application_protocol_count; i++) {
        void *branch = mb_map_get(&at->named, facts->application_protocols[i]);
        if (branch != NULL) {
            return branch;
        }
    }
    return at->any;
}

static bool same_host(const mb_address *a, const mb_address *b) {
    mb_cidr around;
    return mb_cidr_of(a, MB_CIDR_BITS_MAX, &around) && mb_cidr_contains(&around, b);
}

static void *find_source_type(const node *at, const mb_chain_facts *facts) {
    const mb_address *remote = facts->remote;
    bool is_pipe = remote->length > 0 && remote->sa.sa_family == AF_UNIX;
    bool local = is_pipe || mb_address_is_loopback(remote) || same_host(remote, facts->local);
    char type = (char)(local ? MB_SOURCE_SAME_IP_OR_LOOPBACK : MB_SOURCE_EXTERNAL);
    return find_key(at, (mb_slice){&type, 1});
}

static void *find_branch(const node *at, level depth, const mb_chain_facts *facts) {
    switch (depth) {
    case LEVEL_PORT:
        return find_port(at, mb_address_port(facts->local));
    case LEVEL_DESTINATION:
        return find_prefix(at, facts->local);
    case LEVEL_SERVER_NAME:
        return find_name(at, facts->server_name);
    case LEVEL_TRANSPORT:
        return find_key(at, facts->transport_protocol);
    case LEVEL_APPLICATION:
        return find_application(at, facts);
    case LEVEL_DIRECT_SOURCE:
        return find_prefix(at, facts->direct_remote);
    case LEVEL_SOURCE_TYPE:
        return find_source_type(at, facts);
    case LEVEL_SOURCE:
        return find_prefix(at, facts->remote);
    default:
        return find_port(at, mb_address_port(facts->remote));
    }
}

void *mb_chain_match_find(const mb_chain_match *match, const mb_chain_facts *facts) {
    void *branch = match->root;
    for (int depth = 0; depth < LEVELS && branch != NULL; depth++) {
        branch = find_branch(branch, (level)depth, facts);
    }
    return branch;
}
