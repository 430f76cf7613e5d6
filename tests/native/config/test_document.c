#include "base/alloc.h"
#include "base/slice.h"
#include "config/document.h"
#include "support/json_document.h"

typedef enum colour { RED, GREEN } colour;

typedef struct sample {
    bool flag;
    uint16_t port;
    uint32_t count;
    uint64_t big, us;
    int64_t offset;
    mb_slice text, header, any_header;
    const char *name;
    colour colour;
    mb_doc node;
} sample;

static const char *const colours[] = {"red", "green", NULL};

static const mb_doc_field fields[] = {
    MB_DOC_FIELD("flag", BOOL, sample, flag),
    MB_DOC_FIELD("port", U16, sample, port, .min = 1),
    MB_DOC_FIELD("count", U32, sample, count, .max = 10),
    MB_DOC_FIELD("big", U64, sample, big),
    MB_DOC_FIELD("ms", MS, sample, us),
    MB_DOC_FIELD("offset", I64, sample, offset),
    MB_DOC_FIELD("text", TEXT, sample, text),
    MB_DOC_FIELD("header", HEADER, sample, header),
    MB_DOC_FIELD("any_header", ANY_HEADER, sample, any_header, .min = 1),
    MB_DOC_FIELD("name", CSTRING, sample, name, .min = 1),
    MB_DOC_FIELD("colour", ENUM, sample, colour, .words = colours),
    MB_DOC_FIELD("node", NODE, sample, node),
    {.name = "ignored", .kind = MB_DOC_IGNORED},
};

static const char good[] =
    "{'flag':true,'port':65535,'count':10,'big':18446744073709551615,'ms':1500,'offset':-3,"
    "'text':{'$bin':'b'},'header':'x-a','any_header':':path','name':'n','colour':'green',"
    "'node':[1,2],'ignored':{}}";

/* Reads the document at a guard page and leaves what it said in `faults`. */
typedef struct reading {
    mb_arena_pool pool;
    mb_arena arena;
    mb_text faults;
    mb_doc_reader reader;
    mb_doc root;
    const char *guarded;
    size_t length;
    sample out;
} reading;

static bool open_bytes(reading *self, mb_slice document) {
    mb_arena_pool_init(&self->pool, mb_allocator_default(), 0);
    mb_arena_init(&self->arena, &self->pool);
    mb_text_init(&self->faults, mb_allocator_default(), SIZE_MAX);
    self->out = (sample){0};
    self->guarded = mbtest_guard(document.ptr, document.len);
    self->length = document.len;
    return mb_doc_open(&self->reader, &self->arena, &self->faults,
                       mb_slice_of(self->guarded, self->length), &self->root);
}

static void read_json(reading *self, const char *json, const char *from, const char *to) {
    mb_text document;
    json_document(&document, json, from, to, NULL);
    MB_CHECK(open_bytes(self, mb_text_view(&document)));
    mb_text_fini(&document);
    MB_DOC_READ(&self->root, fields, &self->out);
}

static void close_reading(reading *self) {
    mbtest_guard_free(self->guarded, self->length);
    mb_text_fini(&self->faults);
    mb_arena_clear(&self->arena);
    mb_arena_pool_fini(&self->pool);
}

MB_TEST(every_kind_of_field_is_read) {
    reading at;
    mb_doc_items items;
    mb_doc item;
    read_json(&at, good, NULL, NULL);
    MB_CHECK_EQ_LIT(mb_text_view(&at.faults), "");
    MB_CHECK_EQ_INT(at.reader.status, MB_OK);
    MB_CHECK(at.out.flag);
    MB_CHECK_EQ_INT(at.out.port, 65535);
    MB_CHECK_EQ_INT(at.out.count, 10);
    MB_CHECK(at.out.big == UINT64_MAX);
    MB_CHECK_EQ_INT(at.out.us, 1500000);
    MB_CHECK_EQ_INT(at.out.offset, -3);
    MB_CHECK_EQ_LIT(at.out.text, "b");
    MB_CHECK_EQ_LIT(at.out.header, "x-a");
    MB_CHECK_EQ_LIT(at.out.any_header, ":path");
    MB_CHECK_EQ_LIT(mb_slice_from_c(at.out.name), "n");
    MB_CHECK_EQ_INT(at.out.colour, GREEN);
    mb_doc_list(&at.out.node, &items);
    MB_CHECK_EQ_INT(items.count, 2);
    MB_CHECK(mb_doc_next(&items, &item) && mb_doc_next(&items, &item));
    MB_CHECK(!mb_doc_next(&items, &item));
    close_reading(&at);
}

MB_TEST(fault_says_where_and_what) {
    static const struct {
        const char *from, *to, *fault;
    } cases[] = {
        {"true", "1", "flag: expected a bool, got a number\n"},
        {"65535", "0", "port: must be from 1 to 65535, got 0\n"},
        {"65535", "65536", "port: must be from 1 to 65535, got 65536\n"},
        {"65535", "-1", "port: expected a number from 1 to 65535, got a negative number\n"},
        {"65535", "1.5", "port: expected a number from 1 to 65535, got a fraction\n"},
        {"'count':10", "'count':11", "count: must be from 0 to 10, got 11\n"},
        {"'count':10", "'count':[]", "count: expected a number from 0 to 10, got a list\n"},
        {"1500", "315576000000001", "ms: must be from 0 to 315576000000000, got 315576000000001\n"},
        {"-3", "18446744073709551615", "offset: expected a number of 64 bits, got a number\n"},
        {"{'$bin':'b'}", "null", "text: expected text, got nil\n"},
        {"{'$bin':'b'}", "{'$raw':'d40141'}", "text: expected text, got an extension\n"},
        {"'x-a'", "'X-a'", "header: is no header name in lower case\n"},
        {"'x-a'", "'x a'", "header: is no header name in lower case\n"},
        {"'x-a'", "':path'", "header: must not be a pseudo-header\n"},
        {"':path'", "':pith'", "any_header: is no pseudo-header\n"},
        {"':path'", "''", "any_header: must not be empty\n"},
        {"'n',", "'',", "name: must not be empty\n"},
        {"'n',", "'a\\0b',", "name: must not contain a NUL\n"},
        {"'green'", "'blue'", "colour: unknown word, the first known one is \"red\"\n"},
        {"'flag':true,", "", "flag: is missing\n"},
        {"'flag':true,", "'flag':true,'flag':true,", "flag: is given twice\n"},
        {"'flag':true,", "'flag':true,'flog':1,", "flog: is no field that the core knows\n"},
        {"'flag':true,", "'flag':true,'a\\n.':1,", "[\"a .\"]: is no field that the core knows\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reading at;
        read_json(&at, good, cases[i].from, cases[i].to);
        MB_CHECK_EQ_SLICE(mb_text_view(&at.faults), mb_slice_from_c(cases[i].fault));
        MB_CHECK_EQ_INT(at.reader.status, MB_ECONFIG);
        close_reading(&at);
    }
}

MB_TEST(all_faults_are_found_in_one_reading) {
    reading at;
    read_json(&at, "{'flag':3,'port':0,'odd':1}", NULL, NULL);
    MB_CHECK_EQ_LIT(
        mb_text_view(&at.faults),
        "flag: expected a bool, got a number\n"
        "port: must be from 1 to 65535, got 0\n"
        "odd: is no field that the core knows\n"
        "count: is missing\nbig: is missing\nms: is missing\noffset: is missing\n"
        "text: is missing\nheader: is missing\nany_header: is missing\n"
        "name: is missing\ncolour: is missing\nnode: is missing\nignored: is missing\n");
    close_reading(&at);
}

MB_TEST(what_is_no_map_is_one_fault) {
    reading at;
    read_json(&at, "[1]", NULL, NULL);
    MB_CHECK_EQ_LIT(mb_text_view(&at.faults), "document: expected a map, got a list\n");
    MB_CHECK_EQ_LIT(mb_slice_from_c(at.out.name), "");
    close_reading(&at);
}

MB_TEST(missing_node_reads_as_empty_and_says_nothing_more) {
    reading at;
    mb_doc_items items;
    mb_doc item;
    read_json(&at, good, "'node':[1,2],", "");
    mb_doc_list(&at.out.node, &items);
    MB_CHECK(!mb_doc_next(&items, &item));
    MB_CHECK(mb_doc_is_nil(&at.out.node));
    MB_CHECK_EQ_LIT(mb_text_view(&at.faults), "node: is missing\n");
    close_reading(&at);
}

MB_TEST(path_names_elements_and_keys) {
    reading at;
    mb_doc_items outer, inner;
    mb_doc element, entry;
    read_json(&at, good, "[1,2]", "[{},{'a b':1}]");
    mb_doc_list(&at.out.node, &outer);
    while (mb_doc_next(&outer, &element)) {
        mb_doc_map(&element, &inner);
        while (mb_doc_next(&inner, &entry)) {
            mb_doc_fault_at(&entry, "field", "%s", "is\nwrong");
        }
    }
    MB_CHECK_EQ_LIT(mb_text_view(&at.faults), "node[1][\"a b\"].field: is wrong\n");
    close_reading(&at);
}

MB_TEST(key_that_is_no_text_is_a_fault) {
    static const char map[] = "\x81\x01\x02";
    reading at;
    MB_CHECK(open_bytes(&at, mb_slice_of(map, 3)));
    MB_DOC_READ(&at.root, fields, &at.out);
    MB_CHECK(mb_slice_starts_with(mb_text_view(&at.faults),
                                  MB_SLICE_LIT("document: has a key that is no text\n")));
    close_reading(&at);
}

MB_TEST(malformed_document_is_refused_whole) {
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
        {"", 0}, {"\xc1", 1}, {"\x81\xa1", 2}, {"\xdd\xff\xff\xff\xff", 5}, {"\x80\x80", 2}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reading at;
        MB_CHECK(!open_bytes(&at, mb_slice_of(cases[i].bytes, cases[i].length)));
        MB_CHECK_EQ_LIT(mb_text_view(&at.faults), "document: is no well-formed msgpack\n");
        close_reading(&at);
    }
}

MB_TEST(document_that_nests_too_deeply_is_refused) {
    char deep[MB_MSGPACK_DEPTH_MAX + 2];
    reading at;
    memset(deep, 0x91, sizeof(deep));
    deep[sizeof(deep) - 1] = 1;
    MB_CHECK(!open_bytes(&at, mb_slice_of(deep, sizeof(deep))));
    MB_CHECK_EQ_LIT(mb_text_view(&at.faults),
                    "document: nests too deeply or has too many values\n");
    close_reading(&at);
}

MB_TEST(faults_end_at_a_bound) {
    reading at;
    mb_doc_items items;
    mb_doc item;
    char list[2 + 200] = "\xdc";
    size_t lines = 0, seen = 0;
    list[2] = (char)199;
    MB_CHECK(open_bytes(&at, mb_slice_of(list, sizeof(list))));
    mb_doc_list(&at.root, &items);
    for (; mb_doc_next(&items, &item); seen++) {
        mb_doc_fault(&item, "no");
    }
    for (size_t i = 0; i < at.faults.len; i++) {
        lines += at.faults.ptr[i] == '\n';
    }
    MB_CHECK_EQ_INT(seen, MB_DOC_FAULTS_MAX);
    MB_CHECK_EQ_INT(lines, MB_DOC_FAULTS_MAX);
    MB_CHECK(mb_slice_ends_with(mb_text_view(&at.faults),
                                MB_SLICE_LIT("[98]: no\nmore faults are not shown\n")));
    close_reading(&at);
}
