/*
 * Route index: path -> the routes of a virtual host whose path matcher may match, in their order.
 *
 * Every distinct text of a path, prefix or path-separated prefix is a node; nodes are sorted by
 * their bytes. All prefixes of a request's path are then found with one binary search: the last
 * node that is not behind the path, and its ancestors (the nodes that it begins with), cut to the
 * part that it shares with the path. A node keeps the numbers of its exact and of its prefix
 * routes, ascending. There are two sides: case-sensitive, and folded to lower case.
 *
 * A look-up merges the lists so found by route number and hands each candidate to route_match.c
 * until one matches: the first route in the configuration's order, as Envoy. Regular expressions
 * have no node; they are a list of their own in the same merge, so one of them is tried only when
 * no route before it matched. So are prefixes nested deeper than CHAIN_MAX, to bound the merge.
 *
 * 9,000 routes: 14 comparisons, about 1,000 instructions (tests/native/route/test_route_index.c).
 * Called by mb_route_table_finish and mb_route_find; immutable in between.
 */
#include "route/route_internal.h"

#include <stdlib.h>

#define CHAIN_MAX 32u
#define NO_NODE UINT32_MAX
/* Lists of one look-up: the ancestors and the exact paths of both sides, and the rest. */
#define CURSORS_MAX (2 * (CHAIN_MAX + 1) + 1)

typedef struct index_node {
    mb_slice path;
    uint32_t parent; /* nearest ancestor with prefix routes, or NO_NODE */
    uint32_t depth;  /* prefix nodes from the root to here, this one included if it is one */
    uint32_t exact, exact_count;   /* of `numbers` */
    uint32_t prefix, prefix_count; /* of `numbers` */
} index_node;

typedef struct index_side {
    index_node *nodes;
    uint32_t count;
} index_side;

struct mb_route_index {
    index_side sides[2]; /* case-sensitive, folded */
    uint32_t *numbers;
    uint32_t *rest; /* routes without a node, ascending */
    uint32_t rest_count;
};

/* One route while the index is built. */
typedef struct index_key {
    mb_slice path; /* folded on the folded side */
    uint32_t number;
    bool exact;
} index_key;

/* What the index can find: the others are tried one by one. */
static bool is_text(const mb_route *route) {
    return route->path_kind != MB_PATH_REGEX && route->path_kind != MB_PATH_CONNECT;
}

typedef struct cursor {
    const uint32_t *at, *end;
} cursor;

/* -- building -------------------------------------------------------------------------------- */

static int compare_keys(const void *left, const void *right) {
    const index_key *a = left;
    const index_key *b = right;
    int order = mb_slice_compare(a->path, b->path);
    if (order == 0) {
        order = (int)a->exact - (int)b->exact;
    }
    return order != 0 ? order : (a->number > b->number) - (a->number < b->number);
}

static int make_key(mb_arena *arena, const mb_route *route, uint32_t number, index_key *out) {
    *out = (index_key){route->path, number, route->path_kind == MB_PATH_EXACT};
    if (!route->case_sensitive) {
        if (mb_arena_dup(arena, route->path, &out->path) != MB_OK) {
            return MB_ENOMEM;
        }
        for (size_t i = 0; i < out->path.len; i++) {
            ((char *)out->path.ptr)[i] = mb_ascii_lower(out->path.ptr[i]);
        }
    }
    return MB_OK;
}

/* The nearest ancestor with prefix routes of a node that comes behind `candidate`. */
static uint32_t find_parent(const index_side *side, uint32_t candidate, mb_slice path) {
    while (candidate != NO_NODE) {
        const index_node *node = &side->nodes[candidate];
        if (node->prefix_count > 0 && mb_slice_starts_with(path, node->path)) {
            break;
        }
        candidate = node->parent;
    }
    return candidate;
}

/* Makes nodes of sorted keys. Sets `deep[number]` for routes nested too deeply. */
static void make_nodes(index_side *side, const index_key *keys, uint32_t count, uint32_t *numbers,
                       bool *deep) {
    uint32_t written = 0;
    for (uint32_t i = 0; i < count;) {
        uint32_t before = side->count == 0 ? NO_NODE : side->count - 1;
        index_node *node = &side->nodes[side->count];
        *node = (index_node){.path = keys[i].path};
        node->parent = find_parent(side, before, node->path);
        node->depth = node->parent == NO_NODE ? 0 : side->nodes[node->parent].depth;
        bool too_deep = node->depth == CHAIN_MAX;
        uint32_t first = i;
        node->prefix = written;
        for (; i < count && mb_slice_equal(keys[i].path, node->path) && !keys[i].exact; i++) {
            if (too_deep) {
                deep[keys[i].number] = true;
            } else {
                numbers[written++] = keys[i].number;
            }
        }
        node->prefix_count = written - node->prefix;
        node->depth += node->prefix_count > 0 ? 1 : 0;
        node->exact = written;
        for (; i < count && mb_slice_equal(keys[i].path, keys[first].path); i++) {
            numbers[written++] = keys[i].number;
        }
        node->exact_count = written - node->exact;
        side->count++;
    }
}

/* Indexes the routes of one side; `numbers` has room for all of them. */
static int build_side(mb_arena *arena, const mb_virtual_host *host, bool folded, index_side *side,
                      uint32_t *numbers, bool *deep, uint32_t *used) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < host->route_count; i++) {
        const mb_route *route = &host->routes[i];
        count += is_text(route) && route->case_sensitive != folded;
    }
    *used = count;
    if (count == 0) {
        return MB_OK;
    }
    index_key *keys = mb_arena_alloc(arena, count * sizeof(*keys));
    side->nodes = mb_arena_alloc(arena, count * sizeof(*side->nodes));
    if (keys == NULL || side->nodes == NULL) {
        return MB_ENOMEM;
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < host->route_count; i++) {
        const mb_route *route = &host->routes[i];
        if (is_text(route) && route->case_sensitive != folded &&
            make_key(arena, route, i, &keys[at++]) != MB_OK) {
            return MB_ENOMEM;
        }
    }
    qsort(keys, count, sizeof(*keys), compare_keys);
    make_nodes(side, keys, count, numbers, deep);
    return MB_OK;
}

int mb__route_index_build(mb_arena *arena, mb_virtual_host *host) {
    uint32_t count = host->route_count;
    struct mb_route_index *index = mb_arena_zalloc(arena, sizeof(*index));
    uint32_t *numbers = mb_arena_alloc(arena, count * sizeof(*numbers));
    uint32_t *rest = mb_arena_alloc(arena, count * sizeof(*rest));
    bool *deep = mb_arena_zalloc(arena, count * sizeof(*deep));
    if (index == NULL || numbers == NULL || rest == NULL || deep == NULL) {
        return MB_ENOMEM;
    }
    index->numbers = numbers;
    index->rest = rest;
    for (int folded = 0; folded < 2; folded++) {
        uint32_t used;
        index_side *side = &index->sides[folded];
        if (build_side(arena, host, folded != 0, side, numbers, deep, &used) != MB_OK) {
            return MB_ENOMEM;
        }
        /* The numbers of the second side follow; a node counts from `index->numbers`. */
        for (uint32_t i = 0; i < side->count; i++) {
            side->nodes[i].exact += (uint32_t)(numbers - index->numbers);
            side->nodes[i].prefix += (uint32_t)(numbers - index->numbers);
        }
        numbers += used;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!is_text(&host->routes[i]) || deep[i]) {
            rest[index->rest_count++] = i;
        }
    }
    host->index = index;
    return MB_OK;
}

/* -- looking up ------------------------------------------------------------------------------ */

/* How many bytes both begin with; `folded`: `path` is compared in lower case. */
static inline size_t common_length(mb_slice node, mb_slice path, bool folded) {
    size_t shorter = node.len < path.len ? node.len : path.len;
    size_t i = 0;
    if (folded) {
        while (i < shorter && node.ptr[i] == mb_ascii_lower(path.ptr[i])) {
            i++;
        }
        return i;
    }
    for (; i + 8 <= shorter; i += 8) {
        uint64_t a, b;
        memcpy(&a, node.ptr + i, 8);
        memcpy(&b, path.ptr + i, 8);
        if (a != b) {
            break;
        }
    }
    while (i < shorter && node.ptr[i] == path.ptr[i]) {
        i++;
    }
    return i;
}

/* The last node that is not behind `path`, or NO_NODE; `*common` is what it shares with it. */
static uint32_t last_not_behind(const index_side *side, mb_slice path, bool folded,
                                size_t *common) {
    uint32_t low = 0;
    uint32_t high = side->count;
    *common = 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        mb_slice node = side->nodes[middle].path;
        size_t shared = common_length(node, path, folded);
        bool behind = shared < node.len;
        if (behind && shared < path.len) {
            char byte = folded ? mb_ascii_lower(path.ptr[shared]) : path.ptr[shared];
            behind = (uint8_t)node.ptr[shared] > (uint8_t)byte;
        }
        if (behind) {
            high = middle;
        } else {
            low = middle + 1;
            *common = shared;
        }
    }
    return low == 0 ? NO_NODE : low - 1;
}

static uint32_t add_cursor(cursor *cursors, uint32_t count, const uint32_t *numbers,
                           uint32_t length) {
    cursors[count] = (cursor){numbers, numbers + length};
    return length > 0 ? count + 1 : count;
}

/* Adds the lists of one side; returns how many there are then. */
static uint32_t collect(const struct mb_route_index *index, bool folded, mb_slice path,
                        cursor *cursors, uint32_t count) {
    const index_side *side = &index->sides[folded];
    if (side->count == 0) {
        return count;
    }
    size_t common;
    uint32_t at = last_not_behind(side, path, folded, &common);
    if (at != NO_NODE && common == path.len && common == side->nodes[at].path.len) {
        const index_node *node = &side->nodes[at];
        count = add_cursor(cursors, count, index->numbers + node->exact, node->exact_count);
    }
    for (; at != NO_NODE; at = side->nodes[at].parent) {
        const index_node *node = &side->nodes[at];
        if (node->path.len <= common) {
            count = add_cursor(cursors, count, index->numbers + node->prefix, node->prefix_count);
        }
    }
    return count;
}

const mb_route *mb__route_index_find(const mb_virtual_host *host, const mb_route_request *request) {
    const struct mb_route_index *index = host->index;
    cursor cursors[CURSORS_MAX + 1]; /* add_cursor writes before it counts */
    uint32_t count = 0;
    count = collect(index, false, request->path, cursors, count);
    count = collect(index, true, request->path, cursors, count);
    count = add_cursor(cursors, count, index->rest, index->rest_count);
    while (count > 0) {
        uint32_t first = 0;
        for (uint32_t i = 1; i < count; i++) {
            first = *cursors[i].at < *cursors[first].at ? i : first;
        }
        const mb_route *route = &host->routes[*cursors[first].at];
        if (mb__route_matches(route, request)) {
            return route;
        }
        if (++cursors[first].at == cursors[first].end) {
            cursors[first] = cursors[--count];
        }
    }
    return NULL;
}
