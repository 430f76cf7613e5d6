/* Virtual hosts by authority: Envoy's order, ports, case; compared with a naive search. */
#include "base/slice.h"
#include "mbtest.h"
#include "route/route.h"

#include <stdio.h>
#include <stdlib.h>

#define HOSTS_MAX 400

typedef struct hosts {
    mbtest_alloc *memory;
    mb_arena_pool pool;
    mb_arena arena;
    mb_route_table table;
    mb_virtual_host all[HOSTS_MAX];
    char domains[HOSTS_MAX][64];
    uint32_t count;
} hosts;

static void hosts_init(hosts *self, size_t fail_at) {
    memset(self, 0, sizeof(*self));
    self->memory = mbtest_failing_alloc(fail_at);
    mb_arena_pool_init(&self->pool, &self->memory->allocator, 0);
    mb_arena_init(&self->arena, &self->pool);
    self->table.hosts = self->all;
}

static void hosts_fini(hosts *self) {
    mb_arena_clear(&self->arena);
    mb_arena_pool_fini(&self->pool);
    mbtest_alloc_free(self->memory);
}

static int hosts_add(hosts *self, const char *domain) {
    mb_virtual_host *host = &self->all[self->count];
    int status =
        mb_route_table_add_domain(&self->arena, &self->table, host, mb_slice_from_c(domain));
    if (status == MB_OK) {
        snprintf(self->domains[self->count], sizeof(self->domains[0]), "%s", domain);
        host->name = mb_slice_from_c(self->domains[self->count]);
        self->count++;
    }
    return status;
}

/* The domain of the virtual host of an authority that ends at an unreadable page; "" for none. */
static const char *found(const hosts *self, const char *authority) {
    size_t length = strlen(authority);
    const char *guarded = mbtest_guard(authority, length);
    const mb_virtual_host *host = mb_route_host(&self->table, (mb_slice){guarded, length});
    mbtest_guard_free(guarded, length);
    return host == NULL ? "" : self->domains[host - self->all];
}

#define CHECK_HOST(self, authority, want)                                                          \
    MB_CHECK_EQ_LIT(mb_slice_from_c(found((self), (authority))), want)

MB_TEST(order_is_exact_then_suffix_then_prefix_then_any) {
    hosts self;
    hosts_init(&self, 0);
    const char *const domains[] = {"*", "*.b.com", "*.com", "a.b.com", "a.*", "a.b.*", "*-x.io"};
    for (size_t i = 0; i < 7; i++) {
        MB_CHECK_EQ_INT(hosts_add(&self, domains[i]), MB_OK);
    }
    CHECK_HOST(&self, "a.b.com", "a.b.com");
    CHECK_HOST(&self, "c.b.com", "*.b.com");
    CHECK_HOST(&self, "b.com", "*.com");
    CHECK_HOST(&self, ".com", "*");
    CHECK_HOST(&self, "a.b.org", "a.b.*");
    CHECK_HOST(&self, "a.c.org", "a.*");
    CHECK_HOST(&self, "a.", "*");
    CHECK_HOST(&self, "q-x.io", "*-x.io");
    CHECK_HOST(&self, "-x.io", "*");
    CHECK_HOST(&self, "", "*");
    hosts_fini(&self);
}

MB_TEST(case_of_authority_and_domain_does_not_matter) {
    hosts self;
    hosts_init(&self, 0);
    MB_CHECK_EQ_INT(hosts_add(&self, "A.example"), MB_OK);
    MB_CHECK_EQ_INT(hosts_add(&self, "*.B.example"), MB_OK);
    CHECK_HOST(&self, "a.EXAMPLE", "A.example");
    CHECK_HOST(&self, "X.b.Example", "*.B.example");
    CHECK_HOST(&self, "x.c.example", "");
    hosts_fini(&self);
}

MB_TEST(port_belongs_to_the_domain_unless_it_is_ignored) {
    hosts self;
    hosts_init(&self, 0);
    MB_CHECK_EQ_INT(hosts_add(&self, "a.example"), MB_OK);
    MB_CHECK_EQ_INT(hosts_add(&self, "b.example:80"), MB_OK);
    MB_CHECK_EQ_INT(hosts_add(&self, "[::1]"), MB_OK);
    CHECK_HOST(&self, "a.example:80", "");
    CHECK_HOST(&self, "b.example:80", "b.example:80");
    self.table.ignore_port = true;
    CHECK_HOST(&self, "a.example:80", "a.example");
    CHECK_HOST(&self, "a.example:", "a.example");
    CHECK_HOST(&self, "[::1]:80", "[::1]");
    CHECK_HOST(&self, "[::1]", "[::1]");
    CHECK_HOST(&self, "[::2]", "");
    hosts_fini(&self);
}

MB_TEST(taken_and_malformed_domains_are_refused) {
    hosts self;
    hosts_init(&self, 0);
    const char *const good[] = {"a", "*a", "a*", "*"};
    const char *const bad[] = {"a", "A", "*a", "a*", "*", "", "**", "a*b", "*a*", "*.*"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        MB_CHECK_EQ_INT(hosts_add(&self, good[i]), MB_OK);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        MB_CHECK_EQ_INT(hosts_add(&self, bad[i]), MB_EINVAL);
    }
    hosts_fini(&self);
}

MB_TEST(table_without_domains_has_no_host) {
    hosts self;
    hosts_init(&self, 0);
    CHECK_HOST(&self, "a.example", "");
    hosts_fini(&self);
}

/* -- against a naive search ------------------------------------------------------------------ */

static const char *naive(const hosts *self, mb_slice authority) {
    size_t best[4] = {0};
    const char *found_at[4] = {NULL, NULL, NULL, NULL};
    for (uint32_t i = 0; i < self->count; i++) {
        mb_slice domain = mb_slice_from_c(self->domains[i]);
        mb_slice text = mb_slice_skip(domain, 1);
        int kind = 3;
        bool fits = true;
        if (domain.len > 1 && domain.ptr[0] == '*') {
            kind = 1;
            fits = authority.len > text.len && mb_slice_ends_with(authority, text);
        } else if (domain.len > 1 && domain.ptr[domain.len - 1] == '*') {
            kind = 2;
            text = mb_slice_take(domain, domain.len - 1);
            fits = authority.len > text.len && mb_slice_starts_with(authority, text);
        } else if (domain.ptr[0] != '*') {
            kind = 0;
            fits = mb_slice_equal(authority, domain);
        }
        if (fits && domain.len > best[kind]) {
            best[kind] = domain.len;
            found_at[kind] = self->domains[i];
        }
    }
    for (int i = 0; i < 4; i++) {
        if (found_at[i] != NULL) {
            return found_at[i];
        }
    }
    return "";
}

static size_t random_name(char *out, size_t most) {
    size_t length = (size_t)rand() % most;
    for (size_t i = 0; i < length; i++) {
        out[i] = "ab."[rand() % 3];
    }
    out[length] = '\0';
    return length;
}

MB_TEST(random_domains_are_found_as_by_a_naive_search) {
    srand(1);
    for (int round = 0; round < 40; round++) {
        hosts self;
        hosts_init(&self, 0);
        for (int i = 0; i < 10 * round && self.count < HOSTS_MAX; i++) {
            char domain[64] = "*";
            int shape = rand() % 3;
            size_t length = random_name(domain + (shape == 1), 8) + (shape == 1);
            strcpy(domain + length, shape == 2 ? "*" : "");
            if (hosts_add(&self, domain) != MB_OK) {
                continue;
            }
        }
        for (int i = 0; i < 300; i++) {
            char authority[16];
            size_t length = 0;
            while (length == 0) {
                length = random_name(authority, 10);
            }
            mb_slice want = mb_slice_from_c(naive(&self, (mb_slice){authority, length}));
            MB_CHECK_EQ_SLICE(mb_slice_from_c(found(&self, authority)), want);
        }
        hosts_fini(&self);
    }
}

MB_TEST(every_failing_allocation_leaves_what_was_there) {
    for (size_t n = 1, failed = 1; failed; n++) {
        hosts self;
        hosts_init(&self, n);
        uint32_t added = 0;
        for (int i = 0; i < 60; i++) {
            char domain[64];
            snprintf(domain, sizeof(domain),
                     i % 2 ? "*.a-long-domain-of-the-test-%d.example" : "%d", i);
            int status = hosts_add(&self, domain);
            MB_CHECK(status == MB_OK || status == MB_ENOMEM);
            added += status == MB_OK;
        }
        MB_CHECK_EQ_INT(self.count, added);
        for (uint32_t i = 0; i < self.count; i++) {
            char authority[80];
            mb_slice domain = mb_slice_from_c(self.domains[i]);
            snprintf(authority, sizeof(authority), "%s%s", domain.ptr[0] == '*' ? "x" : "",
                     domain.ptr + (domain.ptr[0] == '*'));
            MB_CHECK_EQ_SLICE(mb_slice_from_c(found(&self, authority)), domain);
        }
        failed = self.memory->requests >= n;
        hosts_fini(&self);
    }
}
