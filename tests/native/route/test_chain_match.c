/*
 * Filter chains by what is known of a connection: Envoy's order without a way back, what is
 * refused as ambiguous, and random chains compared with a search that follows the definition.
 */
#include "route/chain_match.h"

#include "base/random.h"
#include "base/slice.h"
#include "mbtest.h"

#include <stdio.h>
#include <stdlib.h>

#define LIST_MAX 3

/* One chain with room for what it lists. */
typedef struct chain {
    mb_chain_criteria criteria;
    mb_cidr destinations[LIST_MAX], direct_sources[LIST_MAX], sources[LIST_MAX];
    mb_slice names[LIST_MAX], protocols[LIST_MAX];
    uint16_t ports[LIST_MAX];
} chain;

typedef struct fixture {
    mbtest_alloc *memory;
    mb_chain_match *match;
    mb_address local, remote, direct;
    mb_slice protocols[LIST_MAX];
    mb_chain_facts facts;
} fixture;

static mb_address address_of(const char *host, uint16_t port) {
    mb_address address;
    MB_CHECK_EQ_INT(mb_address_parse(mb_slice_from_c(host), port, &address), MB_OK);
    return address;
}

static void set_up(fixture *f) {
    memset(f, 0, sizeof(*f));
    f->memory = mbtest_failing_alloc(0);
    f->match = mb_chain_match_new(&f->memory->allocator, 7);
    f->local = address_of("10.0.0.1", 443);
    f->remote = f->direct = address_of("192.0.2.7", 5555);
    f->facts = (mb_chain_facts){
        .local = &f->local,
        .remote = &f->remote,
        .direct_remote = &f->direct,
        .transport_protocol = MB_SLICE_LIT("raw_buffer"),
        .application_protocols = f->protocols,
    };
}

static void tear_down(fixture *f) {
    mb_chain_match_free(f->match);
    mbtest_alloc_free(f->memory);
}

static void init_chain(chain *c) {
    memset(c, 0, sizeof(*c));
    c->criteria.destinations = c->destinations;
    c->criteria.direct_sources = c->direct_sources;
    c->criteria.sources = c->sources;
    c->criteria.server_names = c->names;
    c->criteria.application_protocols = c->protocols;
    c->criteria.source_ports = c->ports;
}

static mb_cidr range_of(const char *host, uint32_t bits) {
    mb_cidr range;
    MB_CHECK_EQ_INT(mb_cidr_parse(mb_slice_from_c(host), bits, &range), MB_OK);
    return range;
}

static void add(fixture *f, const chain *c) {
    MB_CHECK_EQ_INT(mb_chain_match_add(f->match, &c->criteria, (void *)c), MB_OK);
}

static void named(chain *c, const char *name) {
    init_chain(c);
    c->names[c->criteria.server_name_count++] = mb_slice_from_c(name);
}

static const chain *by_name(fixture *f, const char *name) {
    f->facts.server_name = mb_slice_from_c(name);
    return mb_chain_match_find(f->match, &f->facts);
}

MB_TEST(without_chains_nothing_matches) {
    fixture f;
    set_up(&f);
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == NULL);
    chain all;
    init_chain(&all);
    add(&f, &all);
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == &all);
    tear_down(&f);
}

MB_TEST(an_exact_name_wins_then_the_longest_wildcard_then_none) {
    fixture f;
    chain exact, near, far, none;
    set_up(&f);
    named(&exact, "www.example.com");
    named(&near, "*.example.com");
    named(&far, "*.com");
    init_chain(&none);
    add(&f, &none);
    add(&f, &far);
    add(&f, &near);
    add(&f, &exact);
    MB_CHECK(by_name(&f, "www.example.com") == &exact);
    MB_CHECK(by_name(&f, "WWW.Example.COM") == &exact);
    MB_CHECK(by_name(&f, "a.example.com") == &near);
    MB_CHECK(by_name(&f, "b.a.example.com") == &near);
    MB_CHECK(by_name(&f, "example.com") == &far); /* the wildcard is for what is below */
    MB_CHECK(by_name(&f, "com") == &none);
    MB_CHECK(by_name(&f, "example.org") == &none);
    MB_CHECK(by_name(&f, "") == &none);
    MB_CHECK(by_name(&f, "a") == &none);
    tear_down(&f);
}

MB_TEST(there_is_no_way_back_to_a_less_specific_chain) {
    fixture f;
    chain tls_named, plain, port;
    set_up(&f);
    named(&tls_named, "www.example.com");
    tls_named.criteria.transport_protocol = MB_SLICE_LIT("tls");
    init_chain(&plain);
    add(&f, &tls_named);
    add(&f, &plain);
    /* The name decides first; its only chain wants TLS. */
    MB_CHECK(by_name(&f, "www.example.com") == NULL);
    MB_CHECK(by_name(&f, "other") == &plain);
    f.facts.transport_protocol = MB_SLICE_LIT("tls");
    MB_CHECK(by_name(&f, "www.example.com") == &tls_named);
    init_chain(&port);
    port.criteria.destination_port = 443;
    port.sources[port.criteria.source_count++] = range_of("203.0.113.0", 24);
    add(&f, &port);
    MB_CHECK(by_name(&f, "www.example.com") == NULL);
    f.local = address_of("10.0.0.1", 444);
    MB_CHECK(by_name(&f, "www.example.com") == &tls_named);
    tear_down(&f);
}

MB_TEST(the_longest_prefix_decides_in_both_families) {
    fixture f;
    chain wide, narrow, six, none;
    set_up(&f);
    init_chain(&wide);
    wide.destinations[wide.criteria.destination_count++] = range_of("10.0.0.0", 8);
    init_chain(&narrow);
    narrow.destinations[narrow.criteria.destination_count++] = range_of("10.1.0.0", 16);
    narrow.destinations[narrow.criteria.destination_count++] = range_of("10.2.0.0", 32);
    init_chain(&six);
    six.destinations[six.criteria.destination_count++] = range_of("2001:db8::", 33);
    six.destinations[six.criteria.destination_count++] = range_of("::1", 128);
    init_chain(&none);
    add(&f, &wide);
    add(&f, &narrow);
    add(&f, &six);
    add(&f, &none);
    const struct {
        const char *local;
        const chain *want;
    } cases[] = {
        {"10.9.0.1", &wide}, {"10.1.2.3", &narrow},      {"10.2.0.0", &narrow},
        {"10.2.0.1", &wide}, {"11.0.0.1", &none},        {"2001:db8:7fff::", &six},
        {"::1", &six},       {"2001:db8:8000::", &none},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        f.local = address_of(cases[i].local, 1);
        MB_CHECK(mb_chain_match_find(f.match, &f.facts) == cases[i].want);
    }
    /* A Unix address is in no range but that of all. */
    MB_CHECK_EQ_INT(mb_address_unix(MB_SLICE_LIT("/run/x"), &f.local), MB_OK);
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == &none);
    tear_down(&f);
}

MB_TEST(the_first_protocol_of_the_client_that_a_chain_names_decides) {
    fixture f;
    chain h2, h1, none;
    set_up(&f);
    init_chain(&h2);
    h2.protocols[h2.criteria.application_protocol_count++] = MB_SLICE_LIT("h2");
    h2.protocols[h2.criteria.application_protocol_count++] = MB_SLICE_LIT("h2c");
    init_chain(&h1);
    h1.protocols[h1.criteria.application_protocol_count++] = MB_SLICE_LIT("http/1.1");
    init_chain(&none);
    add(&f, &h2);
    add(&f, &h1);
    add(&f, &none);
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == &none);
    f.protocols[0] = MB_SLICE_LIT("spdy");
    f.protocols[1] = MB_SLICE_LIT("http/1.1");
    f.protocols[2] = MB_SLICE_LIT("h2");
    f.facts.application_protocol_count = 1;
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == &none);
    f.facts.application_protocol_count = 3;
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == &h1);
    f.protocols[0] = MB_SLICE_LIT("h2c");
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == &h2);
    tear_down(&f);
}

MB_TEST(the_source_may_be_this_machine_or_another) {
    fixture f;
    chain local, external;
    set_up(&f);
    init_chain(&local);
    local.criteria.source_type = MB_SOURCE_SAME_IP_OR_LOOPBACK;
    init_chain(&external);
    external.criteria.source_type = MB_SOURCE_EXTERNAL;
    add(&f, &local);
    add(&f, &external);
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == &external);
    f.remote = address_of("10.0.0.1", 9);
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == &local);
    f.remote = address_of("127.0.0.9", 9);
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == &local);
    MB_CHECK_EQ_INT(mb_address_unix(MB_SLICE_LIT("/run/x"), &f.remote), MB_OK);
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == &local);
    tear_down(&f);
}

MB_TEST(source_and_direct_source_are_two_addresses) {
    fixture f;
    chain direct, proxied, port;
    set_up(&f);
    init_chain(&direct);
    direct.direct_sources[direct.criteria.direct_source_count++] = range_of("192.0.2.0", 24);
    init_chain(&proxied);
    proxied.sources[proxied.criteria.source_count++] = range_of("198.51.100.0", 24);
    proxied.direct_sources[proxied.criteria.direct_source_count++] = range_of("192.0.2.0", 24);
    init_chain(&port);
    port.ports[port.criteria.source_port_count++] = 5555;
    add(&f, &direct);
    add(&f, &proxied);
    add(&f, &port);
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == &direct);
    f.remote = address_of("198.51.100.9", 5555);
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == &proxied);
    f.direct = address_of("8.8.8.8", 1);
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == &port);
    f.remote = address_of("198.51.100.9", 5556);
    MB_CHECK(mb_chain_match_find(f.match, &f.facts) == NULL);
    tear_down(&f);
}

MB_TEST(chains_that_match_equally_well_are_refused) {
    fixture f;
    chain one, two;
    set_up(&f);
    named(&one, "a.example.com");
    one.names[one.criteria.server_name_count++] = MB_SLICE_LIT("b.example.com");
    named(&two, "c.example.com");
    two.names[two.criteria.server_name_count++] = MB_SLICE_LIT("b.example.com");
    add(&f, &one);
    MB_CHECK_EQ_INT(mb_chain_match_add(f.match, &two.criteria, &two), MB_EINVAL);
    tear_down(&f);

    set_up(&f);
    init_chain(&one);
    init_chain(&two);
    one.destinations[one.criteria.destination_count++] = range_of("10.0.0.1", 8);
    two.destinations[two.criteria.destination_count++] = range_of("10.0.0.2", 8);
    add(&f, &one);
    MB_CHECK_EQ_INT(mb_chain_match_add(f.match, &two.criteria, &two), MB_EINVAL);
    tear_down(&f);
}

MB_TEST(out_of_memory_is_returned) {
    chain one, two;
    named(&one, "a.example.com");
    one.destinations[one.criteria.destination_count++] = range_of("10.0.0.1", 8);
    init_chain(&two);
    two.ports[two.criteria.source_port_count++] = 5555;
    for (size_t n = 1, failed = 1; failed; n++) {
        mbtest_alloc *memory = mbtest_failing_alloc(n);
        mb_chain_match *match = mb_chain_match_new(&memory->allocator, 1);
        if (match != NULL) {
            int first = mb_chain_match_add(match, &one.criteria, &one);
            int second = mb_chain_match_add(match, &two.criteria, &two);
            MB_CHECK(first == MB_OK || first == MB_ENOMEM);
            MB_CHECK(second == MB_OK || second == MB_ENOMEM);
            MB_CHECK(memory->requests < n || first != MB_OK || second != MB_OK);
        }
        mb_chain_match_free(match);
        failed = memory->requests >= n;
        mbtest_alloc_free(memory);
    }
}

MB_TEST(combinations_are_bounded) {
    enum { COUNT = 1100 };
    static mb_cidr ranges[COUNT];
    static mb_slice names[COUNT];
    static char texts[COUNT][16];
    for (int i = 0; i < COUNT; i++) {
        mb_address address = {.length = sizeof(struct sockaddr_in)};
        address.in.sin_family = AF_INET;
        address.in.sin_addr.s_addr = (uint32_t)i;
        MB_CHECK(mb_cidr_of(&address, 32, &ranges[i]));
        names[i] = mb_slice_of(texts[i], (size_t)snprintf(texts[i], sizeof(texts[i]), "n%d", i));
    }
    mb_chain_criteria criteria = {.destinations = ranges,
                                  .destination_count = COUNT,
                                  .server_names = names,
                                  .server_name_count = COUNT};
    fixture f;
    set_up(&f);
    MB_CHECK_EQ_INT(mb_chain_match_add(f.match, &criteria, &f), MB_ELIMIT);
    tear_down(&f);
}

/* -- compared with the definition ---------------------------------------------------------- */

/* How well a chain fits at one step: 0 it asks for nothing, more the more specific, -1 not. */
typedef int (*fit_fn)(const chain *c, const fixture *f);

static int fit_port(const chain *c, const fixture *f) {
    uint16_t port = c->criteria.destination_port;
    return port == 0 ? 0 : port == mb_address_port(&f->local) ? 1 : -1;
}

static int fit_ranges(const mb_cidr *ranges, uint32_t count, const mb_address *address) {
    int best = count == 0 ? 0 : -1;
    for (uint32_t i = 0; i < count; i++) {
        if (mb_cidr_contains(&ranges[i], address) && ranges[i].bits + 1 > best) {
            best = ranges[i].bits + 1;
        }
    }
    return best;
}

static int fit_destination(const chain *c, const fixture *f) {
    return fit_ranges(c->destinations, c->criteria.destination_count, &f->local);
}

static int fit_name(const chain *c, const fixture *f) {
    mb_slice want = f->facts.server_name;
    int best = c->criteria.server_name_count == 0 ? 0 : -1;
    for (uint32_t i = 0; i < c->criteria.server_name_count; i++) {
        mb_slice name = c->names[i];
        int fit = mb_slice_equal(name, want) ? 1000 : -1;
        if (name.ptr[0] == '*' && mb_slice_ends_with(want, mb_slice_skip(name, 1)) &&
            want.len >= name.len) {
            fit = (int)name.len;
        }
        best = fit > best ? fit : best;
    }
    return best;
}

static int fit_transport(const chain *c, const fixture *f) {
    mb_slice want = c->criteria.transport_protocol;
    return want.len == 0 ? 0 : mb_slice_equal(want, f->facts.transport_protocol) ? 1 : -1;
}

static int fit_application(const chain *c, const fixture *f) {
    int best = c->criteria.application_protocol_count == 0 ? 0 : -1;
    for (uint32_t i = 0; i < c->criteria.application_protocol_count; i++) {
        for (uint32_t k = 0; k < f->facts.application_protocol_count; k++) {
            if (mb_slice_equal(c->protocols[i], f->protocols[k]) && 10 - (int)k > best) {
                best = 10 - (int)k;
            }
        }
    }
    return best;
}

static int fit_direct_source(const chain *c, const fixture *f) {
    return fit_ranges(c->direct_sources, c->criteria.direct_source_count, &f->direct);
}

static int fit_source_type(const chain *c, const fixture *f) {
    bool local = mb_address_is_loopback(&f->remote);
    mb_source_type is = local ? MB_SOURCE_SAME_IP_OR_LOOPBACK : MB_SOURCE_EXTERNAL;
    mb_source_type want = c->criteria.source_type;
    return want == MB_SOURCE_ANY ? 0 : want == is ? 1 : -1;
}

static int fit_source(const chain *c, const fixture *f) {
    return fit_ranges(c->sources, c->criteria.source_count, &f->remote);
}

static int fit_source_port(const chain *c, const fixture *f) {
    int best = c->criteria.source_port_count == 0 ? 0 : -1;
    for (uint32_t i = 0; i < c->criteria.source_port_count; i++) {
        best = c->ports[i] == mb_address_port(&f->remote) ? 1 : best;
    }
    return best;
}

static const fit_fn steps[] = {fit_port,        fit_destination, fit_name,
                               fit_transport,   fit_application, fit_direct_source,
                               fit_source_type, fit_source,      fit_source_port};

static const chain *by_definition(const chain *chains, const bool *in, size_t count,
                                  const fixture *f) {
    bool left[16];
    memcpy(left, in, count * sizeof(*left));
    for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
        int best = -1;
        for (size_t i = 0; i < count; i++) {
            int fit = left[i] ? steps[s](&chains[i], f) : -1;
            best = fit > best ? fit : best;
        }
        for (size_t i = 0; i < count; i++) {
            left[i] = left[i] && best >= 0 && steps[s](&chains[i], f) == best;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (left[i]) {
            return &chains[i];
        }
    }
    return NULL;
}

static const char *const hosts[] = {"10.0.0.1", "10.0.0.129", "10.1.0.1",  "192.0.2.7",
                                    "::1",      "127.0.0.1",  "2001:db8::"};
static const char *const all_names[] = {"a.b.c", "x.b.c", "b.c", "c", "q.a.b.c"};
static const char *const patterns[] = {"a.b.c", "*.b.c", "*.c", "b.c", "*.a.b.c"};
static const char *const protocols[] = {"h2", "http/1.1", "x"};

#define PICK(random, list) (list)[mb_random_below(random, sizeof(list) / sizeof((list)[0]))]

static uint32_t random_ranges(mb_random *random, mb_cidr *out) {
    static const uint8_t lengths[] = {0, 8, 9, 16, 24, 25, 32, 64, 128};
    uint32_t count = mb_random_below(random, 4) == 0 ? 1 + mb_random_below(random, 2) : 0;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = range_of(PICK(random, hosts), PICK(random, lengths));
    }
    return count;
}

static void random_chain(mb_random *random, chain *c) {
    init_chain(c);
    mb_chain_criteria *k = &c->criteria;
    k->destination_port = (uint16_t)(mb_random_below(random, 4) == 0 ? 443 : 0);
    k->destination_count = random_ranges(random, c->destinations);
    k->direct_source_count = random_ranges(random, c->direct_sources);
    k->source_count = random_ranges(random, c->sources);
    k->source_type =
        (mb_source_type)(mb_random_below(random, 3) == 0 ? 1 + (random->state[0] & 1) : 0);
    for (uint32_t i = mb_random_below(random, 3); i > 0; i--) {
        c->names[k->server_name_count++] = mb_slice_from_c(PICK(random, patterns));
    }
    if (mb_random_below(random, 3) == 0) {
        k->transport_protocol = mb_slice_from_c(mb_random_below(random, 2) ? "tls" : "raw_buffer");
    }
    for (uint32_t i = mb_random_below(random, 5); i > 2; i--) {
        c->protocols[k->application_protocol_count++] = mb_slice_from_c(PICK(random, protocols));
    }
    if (mb_random_below(random, 4) == 0) {
        c->ports[k->source_port_count++] = (uint16_t)(1 + mb_random_below(random, 2));
    }
}

static void random_facts(mb_random *random, fixture *f) {
    f->local = address_of(PICK(random, hosts), (uint16_t)(443 + mb_random_below(random, 2)));
    f->remote = address_of(PICK(random, hosts), (uint16_t)(1 + mb_random_below(random, 3)));
    f->direct = address_of(PICK(random, hosts), 9);
    if (mb_address_equal(&f->local, &f->remote)) {
        f->remote = address_of("10.1.0.1", 2);
    }
    f->facts.server_name = mb_slice_from_c(PICK(random, all_names));
    f->facts.transport_protocol =
        mb_slice_from_c(mb_random_below(random, 2) ? "tls" : "raw_buffer");
    f->facts.application_protocol_count = mb_random_below(random, 3);
    for (uint32_t i = 0; i < f->facts.application_protocol_count; i++) {
        f->protocols[i] = mb_slice_from_c(PICK(random, protocols));
    }
}

static bool same_host(const fixture *f) {
    char a[MB_ADDRESS_TEXT_BYTES], b[MB_ADDRESS_TEXT_BYTES];
    size_t len = mb_address_host_text(&f->local, a);
    return mb_slice_equal(mb_slice_of(a, len), mb_slice_of(b, mb_address_host_text(&f->remote, b)));
}

MB_TEST(random_chains_are_found_as_the_definition_says) {
    mb_random random;
    mb_random_seed(&random, 20);
    size_t found = 0, none = 0;
    for (int round = 0; round < 1500; round++) {
        fixture f;
        chain chains[8];
        bool in[8];
        set_up(&f);
        size_t count = 1 + mb_random_below(&random, 8);
        for (size_t i = 0; i < count; i++) {
            random_chain(&random, &chains[i]);
            int result = mb_chain_match_add(f.match, &chains[i].criteria, &chains[i]);
            in[i] = result == MB_OK;
            if (!in[i]) { /* it lists one thing twice, or is as another: begin anew without it */
                MB_CHECK_EQ_INT(result, MB_EINVAL);
                mb_chain_match_free(f.match);
                f.match = mb_chain_match_new(&f.memory->allocator, 7);
                for (size_t k = 0; k < i; k++) {
                    if (in[k]) {
                        add(&f, &chains[k]);
                    }
                }
            }
        }
        for (int i = 0; i < 40; i++) {
            random_facts(&random, &f);
            if (same_host(&f)) {
                continue; /* its type of source has a test of its own */
            }
            const chain *want = by_definition(chains, in, count, &f);
            MB_CHECK(mb_chain_match_find(f.match, &f.facts) == want);
            found += want != NULL;
            none += want == NULL;
        }
        tear_down(&f);
    }
    MB_CHECK(found > 3000 && none > 3000);
}
