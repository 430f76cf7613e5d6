/*
 * Host index: authority -> virtual host, in Envoy's order: exact, longest "*suffix", longest
 * "prefix*", "*". A wildcard stands for at least one character.
 *
 * One open-addressed table holds the domains of all three kinds; a look-up hashes the authority
 * once for each kind, from the front (exact, prefix) or the back (suffix), and probes at the
 * lengths that some domain has. So the cost grows with the authority, not with the domains.
 * Case is folded while hashing and comparing: nothing is copied.
 *
 * Called by config/ while it builds and by mb_route_find. Invariant: at most half of the places
 * are taken, and domains are lower-case.
 */
#include "route/route_internal.h"

typedef enum domain_kind { DOMAIN_EXACT, DOMAIN_SUFFIX, DOMAIN_PREFIX, DOMAIN_KINDS } domain_kind;

typedef struct domain_entry {
    mb_slice text;         /* lower-case, without the '*' */
    mb_virtual_host *host; /* NULL: the place is free */
    uint32_t hash;
    domain_kind kind;
} domain_entry;

/* Distinct lengths of the domains of one kind, ascending. */
typedef struct length_set {
    uint32_t *lengths;
    uint32_t count, capacity;
} length_set;

struct mb_host_index {
    domain_entry *entries; /* capacity places, a power of two */
    uint32_t count, capacity;
    mb_virtual_host *any;
    length_set lengths[DOMAIN_KINDS];
};

#define FIRST_CAPACITY 16u
#define HASH_START 2166136261u

/* FNV-1a over lower-case bytes: a byte at a time, so that every prefix has its hash on the way. */
static inline uint32_t hash_byte(uint32_t hash, char byte) {
    return (hash ^ (uint8_t)mb_ascii_lower(byte)) * 16777619u;
}

static uint32_t hash_text(domain_kind kind, mb_slice text) {
    uint32_t hash = HASH_START + kind;
    for (size_t i = 0; i < text.len; i++) {
        hash = hash_byte(hash, text.ptr[kind == DOMAIN_SUFFIX ? text.len - 1 - i : i]);
    }
    return hash;
}

/* The place of a domain, or the free one where it would be. */
static domain_entry *find_place(const struct mb_host_index *index, domain_kind kind, uint32_t hash,
                                mb_slice text) {
    uint32_t mask = index->capacity - 1;
    /* FNV's low bits are its weak ones. */
    for (uint32_t at = (hash ^ hash >> 15) & mask;; at = (at + 1) & mask) {
        domain_entry *entry = &index->entries[at];
        if (entry->host == NULL || (entry->hash == hash && entry->kind == kind &&
                                    mb_slice_equal_nocase(entry->text, text))) {
            return entry;
        }
    }
}

static int grow(mb_arena *arena, struct mb_host_index *index) {
    struct mb_host_index old = *index;
    uint32_t capacity = old.capacity == 0 ? FIRST_CAPACITY : old.capacity * 2;
    domain_entry *entries = mb_arena_zalloc(arena, capacity * sizeof(*entries));
    if (entries == NULL) {
        return MB_ENOMEM;
    }
    index->entries = entries;
    index->capacity = capacity;
    for (uint32_t i = 0; i < old.capacity; i++) {
        const domain_entry *entry = &old.entries[i];
        if (entry->host != NULL) {
            *find_place(index, entry->kind, entry->hash, entry->text) = *entry;
        }
    }
    return MB_OK;
}

static int add_length(mb_arena *arena, length_set *set, uint32_t length) {
    uint32_t at = 0;
    while (at < set->count && set->lengths[at] < length) {
        at++;
    }
    if (at < set->count && set->lengths[at] == length) {
        return MB_OK;
    }
    if (set->count == set->capacity) {
        uint32_t capacity = set->capacity == 0 ? 8 : set->capacity * 2;
        uint32_t *lengths = mb_arena_alloc(arena, capacity * sizeof(*lengths));
        if (lengths == NULL) {
            return MB_ENOMEM;
        }
        if (set->count > 0) {
            memcpy(lengths, set->lengths, set->count * sizeof(*lengths));
        }
        set->lengths = lengths;
        set->capacity = capacity;
    }
    memmove(&set->lengths[at + 1], &set->lengths[at], (set->count - at) * sizeof(*set->lengths));
    set->lengths[at] = length;
    set->count++;
    return MB_OK;
}

/* Cuts the '*' off. MB_EINVAL: empty, or '*' elsewhere than at one end. */
static int parse_domain(mb_slice domain, domain_kind *kind, mb_slice *text) {
    *kind = DOMAIN_EXACT;
    *text = domain;
    if (domain.len > 0 && domain.ptr[0] == '*') {
        *kind = DOMAIN_SUFFIX;
        *text = mb_slice_skip(domain, 1);
    } else if (domain.len > 0 && domain.ptr[domain.len - 1] == '*') {
        *kind = DOMAIN_PREFIX;
        *text = mb_slice_take(domain, domain.len - 1);
    }
    bool good = text->len > 0 && text->len <= UINT32_MAX && mb_slice_index(*text, '*') < 0;
    return good ? MB_OK : MB_EINVAL;
}

static int add_entry(mb_arena *arena, struct mb_host_index *index, domain_kind kind, mb_slice text,
                     mb_virtual_host *host) {
    if (index->count * 2 >= index->capacity) {
        int status = grow(arena, index);
        if (status != MB_OK) {
            return status;
        }
    }
    uint32_t hash = hash_text(kind, text);
    domain_entry *entry = find_place(index, kind, hash, text);
    if (entry->host != NULL) {
        return MB_EINVAL;
    }
    mb_slice copy;
    if (mb_arena_dup(arena, text, &copy) != MB_OK ||
        add_length(arena, &index->lengths[kind], (uint32_t)text.len) != MB_OK) {
        return MB_ENOMEM;
    }
    for (size_t i = 0; i < copy.len; i++) {
        ((char *)copy.ptr)[i] = mb_ascii_lower(copy.ptr[i]);
    }
    *entry = (domain_entry){copy, host, hash, kind};
    index->count++;
    return MB_OK;
}

int mb_route_table_add_domain(mb_arena *arena, mb_route_table *table, mb_virtual_host *host,
                              mb_slice domain) {
    if (table->index == NULL) {
        table->index = mb_arena_zalloc(arena, sizeof(*table->index));
        if (table->index == NULL) {
            return MB_ENOMEM;
        }
    }
    struct mb_host_index *index = table->index;
    if (domain.len == 1 && domain.ptr[0] == '*') {
        if (index->any != NULL) {
            return MB_EINVAL;
        }
        index->any = host;
        return MB_OK;
    }
    domain_kind kind;
    mb_slice text;
    int status = parse_domain(domain, &kind, &text);
    return status != MB_OK ? status : add_entry(arena, index, kind, text, host);
}

static mb_virtual_host *find_exact(const struct mb_host_index *index, mb_slice authority) {
    const length_set *set = &index->lengths[DOMAIN_EXACT];
    /* Spares hashing what is longer than any domain. */
    if (set->count == 0 || authority.len > set->lengths[set->count - 1]) {
        return NULL;
    }
    uint32_t hash = hash_text(DOMAIN_EXACT, authority);
    return find_place(index, DOMAIN_EXACT, hash, authority)->host;
}

/* Longest wildcard of a kind: lengths come ascending, so the last that is there wins. */
static mb_virtual_host *find_wildcard(const struct mb_host_index *index, domain_kind kind,
                                      mb_slice authority) {
    const length_set *set = &index->lengths[kind];
    mb_virtual_host *best = NULL;
    uint32_t hash = HASH_START + kind;
    uint32_t hashed = 0;
    for (uint32_t i = 0; i < set->count && set->lengths[i] < authority.len; i++) {
        uint32_t length = set->lengths[i];
        size_t skipped = kind == DOMAIN_SUFFIX ? authority.len - length : 0;
        for (; hashed < length; hashed++) {
            size_t at = kind == DOMAIN_SUFFIX ? authority.len - 1 - hashed : hashed;
            hash = hash_byte(hash, authority.ptr[at]);
        }
        mb_slice part = mb_slice_of(authority.ptr + skipped, length);
        mb_virtual_host *found = find_place(index, kind, hash, part)->host;
        best = found != NULL ? found : best;
    }
    return best;
}

/* Without ":port"; an IPv6 address without port ends in ']'. */
static mb_slice without_port(mb_slice authority) {
    int64_t colon = mb_slice_rindex(authority, ':');
    if (colon < 0 || mb_slice_rindex(authority, ']') > colon) {
        return authority;
    }
    return mb_slice_take(authority, (size_t)colon);
}

const mb_virtual_host *mb_route_host(const mb_route_table *table, mb_slice authority) {
    const struct mb_host_index *index = table->index;
    if (index == NULL) {
        return NULL;
    }
    if (index->count == 0 || authority.len == 0) {
        return index->any;
    }
    if (table->ignore_port) {
        authority = without_port(authority);
    }
    const mb_virtual_host *found = find_exact(index, authority);
    found = found != NULL ? found : find_wildcard(index, DOMAIN_SUFFIX, authority);
    found = found != NULL ? found : find_wildcard(index, DOMAIN_PREFIX, authority);
    return found != NULL ? found : index->any;
}
