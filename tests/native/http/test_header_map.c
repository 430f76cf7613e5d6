/* The header map against a plain list of pairs, and its rules at the edges. */
#include "http/header_map.h"

#include "base/alloc.h"
#include "mbtest.h"
#include <stdio.h>
#include <stdlib.h>

static mb_arena_pool pool;
static mb_arena arena;
static mb_headers map;

static void open_map(void) {
    mb_arena_pool_init(&pool, mb_allocator_default(), 4);
    mb_arena_init(&arena, &pool);
    mb_headers_init(&map, &arena);
}

static void close_map(void) {
    mb_arena_clear(&arena);
    mb_arena_pool_fini(&pool);
}

static mb_slice c(const char *text) {
    return (mb_slice){text, strlen(text)};
}

static int set(const char *name, const char *value) {
    return mb_headers_set(&map, c(name), c(value));
}

static int add(const char *name, const char *value) {
    return mb_headers_add(&map, c(name), c(value));
}

/* "name=value,name=value" */
static mb_slice text_of(const mb_headers *headers) {
    static char text[4096];
    size_t len = 0;
    mb_header field;

    for (size_t i = 0; mb_headers_at(headers, i, &field) == MB_OK; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%.*s=%.*s", i == 0 ? "" : ",",
                                (int)field.name.len, field.name.ptr, (int)field.value.len,
                                field.value.ptr);
    }
    return (mb_slice){text, len};
}

MB_TEST(fields_keep_their_order) {
    open_map();
    MB_CHECK_EQ_INT(add("accept", "1"), MB_OK);
    MB_CHECK_EQ_INT(add("x-a", "2"), MB_OK);
    MB_CHECK_EQ_INT(add("accept", "3"), MB_OK);
    MB_CHECK_EQ_INT(add("x-a", "4"), MB_OK);
    MB_CHECK_EQ_LIT(text_of(&map), "accept=1,x-a=2,accept=3,x-a=4");
    MB_CHECK_EQ_INT(mb_headers_count(&map), 4);
    close_map();
}

MB_TEST(set_replaces_all_in_the_place_of_the_first) {
    open_map();
    add("x-z", "0");
    add("accept", "1");
    add("x-a", "2");
    add("accept", "3");
    add("x-a", "4");
    MB_CHECK_EQ_INT(set("accept", "5"), MB_OK);
    MB_CHECK_EQ_INT(set("x-a", "6"), MB_OK);
    MB_CHECK_EQ_INT(set("new", "7"), MB_OK);
    MB_CHECK_EQ_LIT(text_of(&map), "x-z=0,accept=5,x-a=6,new=7");
    close_map();
}

MB_TEST(get_answers_the_index_th_value_and_the_number) {
    static const char *const names[] = {"accept", "x-a"};
    mb_slice out = MB_SLICE_LIT("untouched");

    open_map();
    for (int i = 0; i < 2; i++) {
        MB_CHECK_EQ_INT(mb_headers_get(&map, c(names[i]), 0, &out), MB_ENOTFOUND);
        add(names[i], "1");
        add("between", "x");
        add(names[i], "2");
        MB_CHECK_EQ_INT(mb_headers_get(&map, c(names[i]), 2, &out), MB_ENOTFOUND);
        MB_CHECK_EQ_LIT(out, "untouched");
        MB_CHECK_EQ_INT(mb_headers_get(&map, c(names[i]), 1, &out), 2);
        MB_CHECK_EQ_LIT(out, "2");
        MB_CHECK_EQ_INT(mb_headers_get(&map, c(names[i]), 0, &out), 2);
        MB_CHECK_EQ_LIT(out, "1");
        out = MB_SLICE_LIT("untouched");
    }
    close_map();
}

MB_TEST(remove_answers_how_many) {
    open_map();
    add("accept", "1");
    add("x-a", "2");
    add("accept", "3");
    MB_CHECK_EQ_INT(mb_headers_remove(&map, c("none")), 0);
    MB_CHECK_EQ_INT(mb_headers_remove(&map, c("date")), 0);
    MB_CHECK_EQ_INT(mb_headers_remove(&map, c("accept")), 2);
    MB_CHECK(!mb_headers_has(&map, MB_TOKEN_ACCEPT));
    MB_CHECK_EQ_INT(mb_headers_remove(&map, c("x-a")), 1);
    MB_CHECK_EQ_INT(mb_headers_count(&map), 0);
    MB_CHECK_EQ_INT(map.byte_count, 0);
    close_map();
}

MB_TEST(host_is_the_authority) {
    mb_slice out;

    open_map();
    MB_CHECK_EQ_INT(mb_headers_get(&map, c("host"), 0, &out), MB_ENOTFOUND);
    MB_CHECK_EQ_INT(set("host", "a:80"), MB_OK);
    MB_CHECK_EQ_INT(mb_headers_count(&map), 0);
    MB_CHECK_EQ_INT(mb_headers_get(&map, c(":authority"), 0, &out), 1);
    MB_CHECK_EQ_LIT(out, "a:80");
    MB_CHECK_EQ_INT(add("host", "b"), MB_EINVAL);
    MB_CHECK_EQ_INT(mb_headers_remove(&map, c("host")), MB_EINVAL);
    close_map();
}

MB_TEST(pseudo_headers_take_only_what_a_start_line_can_hold) {
    static const char *const good[] = {":method", "PATCH", ":path",      "/a?b",
                                       ":path",   "*",     ":authority", "[::1]:1",
                                       ":scheme", "https", ":status",    "299"};
    static const char *const bad[] = {
        ":method",    "",        ":method",    "G T",     ":path",      "",        ":path",
        "a",          ":path",   "/a b",       ":path",   "/\r\n",      ":path",   "/\xff",
        ":authority", "",        ":authority", "a b",     ":authority", "a\r\nb",  ":scheme",
        "",           ":scheme", "HTTP",       ":status", "99",         ":status", "099",
        ":status",    "20x",     ":status",    "2000",    ":what",      "x"};

    open_map();
    for (size_t i = 0; i < sizeof good / sizeof *good; i += 2) {
        MB_CHECK_EQ_INT(set(good[i], good[i + 1]), MB_OK);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i += 2) {
        MB_CHECK_EQ_INT(set(bad[i], bad[i + 1]), MB_EINVAL);
    }
    MB_CHECK_EQ_LIT(map.pseudo[MB_PSEUDO_PATH], "*");
    MB_CHECK_EQ_INT(mb_headers_remove(&map, c(":path")), MB_EINVAL);
    close_map();
}

MB_TEST(names_and_values_that_break_the_wire_are_refused) {
    static const mb_slice names[] = {
        MB_SLICE_LIT(""),      MB_SLICE_LIT("A"),        MB_SLICE_LIT("a b"), MB_SLICE_LIT("a:"),
        MB_SLICE_LIT("a\r\n"), MB_SLICE_LIT("\xc3\xa4"), MB_SLICE_LIT("a\0")};
    static const mb_slice values[] = {MB_SLICE_LIT("\r"), MB_SLICE_LIT("a\nb"), MB_SLICE_LIT("\0"),
                                      MB_SLICE_LIT("\x7f"), MB_SLICE_LIT("\x1f")};
    mb_slice good = MB_SLICE_LIT("\t \xff~");

    open_map();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        MB_CHECK_EQ_INT(mb_headers_set(&map, names[i], c("v")), MB_EINVAL);
        MB_CHECK_EQ_INT(mb_headers_add(&map, names[i], c("v")), MB_EINVAL);
    }
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        MB_CHECK_EQ_INT(mb_headers_set(&map, c("a"), values[i]), MB_EINVAL);
        MB_CHECK_EQ_INT(mb_headers_add(&map, c("a"), values[i]), MB_EINVAL);
    }
    MB_CHECK_EQ_INT(mb_headers_set(&map, c("a"), good), MB_OK);
    MB_CHECK_EQ_INT(mb_headers_add(&map, c("b"), c("")), MB_OK);
    MB_CHECK_EQ_INT(mb_headers_count(&map), 2);
    close_map();
}

MB_TEST(an_immutable_map_can_be_read_only) {
    mb_slice out;

    open_map();
    add("a", "1");
    map.immutable = true;
    MB_CHECK_EQ_INT(set("a", "2"), MB_EPHASE);
    MB_CHECK_EQ_INT(add("a", "2"), MB_EPHASE);
    MB_CHECK_EQ_INT(set(":path", "/"), MB_EPHASE);
    MB_CHECK_EQ_INT(mb_headers_remove(&map, c("a")), MB_EPHASE);
    MB_CHECK_EQ_INT(mb_headers_get(&map, c("a"), 0, &out), 1);
    close_map();
}

MB_TEST(a_copy_does_not_share_memory) {
    char value[] = "one";
    mb_headers copy;

    open_map();
    set(":path", "/x");
    mb_headers_append_raw(&map, MB_TOKEN_NONE, c("x-a"), (mb_slice){value, 3});
    mb_headers_append_raw(&map, MB_TOKEN_DATE, c("date"), (mb_slice){value, 3});
    mb_headers_init(&copy, &arena);
    MB_CHECK_EQ_INT(mb_headers_copy(&copy, &map), MB_OK);
    memset(value, 'z', 3);
    MB_CHECK_EQ_LIT(text_of(&copy), "x-a=one,date=one");
    MB_CHECK_EQ_LIT(copy.pseudo[MB_PSEUDO_PATH], "/x");
    MB_CHECK_EQ_LIT(mb_headers_value(&copy, MB_TOKEN_DATE), "one");
    MB_CHECK_EQ_INT(copy.byte_count, map.byte_count);
    close_map();
}

/* -- random operations against a list of pairs --------------------------------------------------
 */

#define MODEL_MAX 64

typedef struct pair {
    unsigned name, value;
} pair;

static const char *const model_names[] = {"accept", "cookie", "x-1", "x-2", "x-long-name-3", "te"};

static unsigned model_remove(pair *model, unsigned count, unsigned name, unsigned from) {
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++) {
        if (i < from || model[i].name != name) {
            model[kept++] = model[i];
        }
    }
    return kept;
}

static void compare(const pair *model, unsigned count) {
    size_t bytes = 0;

    MB_CHECK_EQ_INT(mb_headers_count(&map), count);
    for (unsigned i = 0; i < count; i++) {
        const char *name = model_names[model[i].name];
        unsigned index = 0, total = 0;
        char value[8];
        mb_header field;
        mb_slice out;

        snprintf(value, sizeof value, "%u", model[i].value);
        MB_CHECK_EQ_INT(mb_headers_at(&map, i, &field), MB_OK);
        MB_CHECK_EQ_SLICE(field.name, c(name));
        MB_CHECK_EQ_SLICE(field.value, c(value));
        for (unsigned k = 0; k < count; k++) {
            total += model[k].name == model[i].name;
            index += k < i && model[k].name == model[i].name;
        }
        MB_CHECK_EQ_INT(mb_headers_get(&map, c(name), index, &out), total);
        MB_CHECK_EQ_SLICE(out, c(value));
        bytes += strlen(name) + strlen(value) + 4;
    }
    MB_CHECK_EQ_INT(map.byte_count, bytes);
}

MB_TEST(random_operations_do_what_a_list_does) {
    pair model[MODEL_MAX];
    unsigned count = 0, state = 12345;

    open_map();
    for (unsigned step = 0; step < 20000; step++) {
        unsigned name, value, at = 0;
        char text[8];

        state = state * 1103515245u + 12345u;
        name = (state >> 16) % 6;
        value = (state >> 8) % 1000;
        snprintf(text, sizeof text, "%u", value);
        switch ((state >> 24) % 4) {
        case 0: {
            unsigned kept = model_remove(model, count, name, 0);

            MB_CHECK_EQ_INT(mb_headers_remove(&map, c(model_names[name])), count - kept);
            count = kept;
            break;
        }
        case 1:
            MB_CHECK_EQ_INT(set(model_names[name], text), MB_OK);
            while (at < count && model[at].name != name) {
                at++;
            }
            model[at] = (pair){name, value};
            count = at == count ? count + 1 : model_remove(model, count, name, at + 1);
            break;
        default:
            if (count < MODEL_MAX - 1) {
                MB_CHECK_EQ_INT(add(model_names[name], text), MB_OK);
                model[count++] = (pair){name, value};
            }
        }
        compare(model, count);
    }
    close_map();
}

MB_TEST(the_n_th_allocation_failing_leaves_the_map_whole) {
    for (size_t n = 1, failed = 1; failed; n++) {
        mbtest_alloc *memory = mbtest_failing_alloc(n);
        size_t good = 0;

        mb_arena_pool_init(&pool, &memory->allocator, 4);
        mb_arena_init(&arena, &pool);
        mb_headers_init(&map, &arena);
        for (int i = 0; i < 200; i++) {
            int rc = add(i % 2 == 0 ? "cookie" : "x-something", "0123456789012345678901234567");

            MB_CHECK(rc == MB_OK || rc == MB_ENOMEM);
            good += rc == MB_OK;
            MB_CHECK_EQ_INT(mb_headers_count(&map), good);
        }
        failed = memory->requests >= n;
        close_map();
        mbtest_alloc_free(memory);
    }
}
