/*
 * Document: reads fields by table. See document.h; paths and faults are in document_fault.c.
 */
#include "config/document.h"

#include "base/slice.h"
#include "http/chars.h"
#include "http/token.h"

/* More tokens than this are no configuration. */
#define ITEMS_MAX (64u * 1024u * 1024u)
bool mb_doc_open(mb_doc_reader *reader, mb_arena *arena, mb_text *faults, mb_slice document,
                 mb_doc *root) {
    *reader = (mb_doc_reader){.arena = arena, .faults = faults};
    *root = (mb_doc){.reader = reader, .value = document};
    switch (mb_msgpack_check(document, MB_MSGPACK_DEPTH_MAX, ITEMS_MAX)) {
    case MB_OK:
        return true;
    case MB_ELIMIT:
        mb_doc_fault(root, "nests too deeply or has too many values");
        return false;
    default:
        mb_doc_fault(root, "is no well-formed msgpack");
        return false;
    }
}

void *mb_doc_alloc(mb_doc_reader *reader, size_t count, size_t bytes) {
    size_t total;
    void *block = NULL;
    if (!__builtin_mul_overflow(count, bytes, &total)) {
        block = mb_arena_zalloc(reader->arena, total);
    }
    if (block == NULL) {
        reader->status = MB_ENOMEM;
    }
    return block;
}

/* -- one value ------------------------------------------------------------------------------- */

static const char *type_of(const mb_doc *doc) {
    static const char *const words[] = {
        "nil",    "a bool", "a negative number", "a number", "a fraction", "text", "bytes",
        "a list", "a map",  "an extension"};
    mb_msgpack cursor = mb_msgpack_read(doc->value);
    mb_msgpack_token token;
    return mb_msgpack_next(&cursor, &token) == MB_OK ? words[token.type] : "nothing";
}

static void read_bool(const mb_doc *doc, void *out) {
    mb_msgpack cursor = mb_msgpack_read(doc->value);
    bool value;
    if (mb_msgpack_get_bool(&cursor, &value) != MB_OK) {
        mb_doc_fault(doc, "expected a bool, got %s", type_of(doc));
        return;
    }
    memcpy(out, &value, sizeof(value));
}

static uint64_t read_number(const mb_doc *doc, const mb_doc_field *field, uint64_t type_max) {
    mb_msgpack cursor = mb_msgpack_read(doc->value);
    uint64_t max = field->max != 0 ? field->max : type_max;
    uint64_t value;
    if (mb_msgpack_get_u64(&cursor, &value) != MB_OK) {
        mb_doc_fault(doc, "expected a number from %llu to %llu, got %s",
                     (unsigned long long)field->min, (unsigned long long)max, type_of(doc));
        return 0;
    }
    if (value < field->min || value > max) {
        mb_doc_fault(doc, "must be from %llu to %llu, got %llu", (unsigned long long)field->min,
                     (unsigned long long)max, (unsigned long long)value);
        return 0;
    }
    return value;
}

static void read_i64(const mb_doc *doc, void *out) {
    mb_msgpack cursor = mb_msgpack_read(doc->value);
    int64_t value;
    if (mb_msgpack_get_i64(&cursor, &value) != MB_OK) {
        mb_doc_fault(doc, "expected a number of 64 bits, got %s", type_of(doc));
        return;
    }
    memcpy(out, &value, sizeof(value));
}

/* The text in the document, not copied; ptr NULL: none (reported). */
static mb_slice peek_text(const mb_doc *doc, uint64_t min) {
    mb_msgpack cursor = mb_msgpack_read(doc->value);
    mb_slice text;
    if (mb_msgpack_get_str(&cursor, &text) != MB_OK) {
        mb_doc_fault(doc, "expected text, got %s", type_of(doc));
        return (mb_slice){0};
    }
    if (text.len < min) {
        mb_doc_fault(doc, "must not be empty");
        return (mb_slice){0};
    }
    return text;
}

static mb_slice copy_text(const mb_doc *doc, mb_slice text) {
    mb_slice copy = {0};
    if (text.len > 0 && mb_arena_dup(doc->reader->arena, text, &copy) != MB_OK) {
        doc->reader->status = MB_ENOMEM;
    }
    return copy;
}

static const char *read_cstring(const mb_doc *doc, uint64_t min) {
    mb_slice text = peek_text(doc, min);
    if (text.ptr == NULL) {
        return "";
    }
    if (mb_slice_index(text, '\0') >= 0) {
        mb_doc_fault(doc, "must not contain a NUL");
        return "";
    }
    char *copy = mb_arena_dup_z(doc->reader->arena, text);
    if (copy == NULL) {
        doc->reader->status = MB_ENOMEM;
        return "";
    }
    return copy;
}

static mb_slice read_header(const mb_doc *doc, uint64_t min, bool pseudo) {
    mb_slice name = peek_text(doc, min);
    if (name.len > 0 && name.ptr[0] == ':') {
        if (!pseudo || mb_pseudo_find(name) == MB_PSEUDO_COUNT) {
            mb_doc_fault(doc, pseudo ? "is no pseudo-header" : "must not be a pseudo-header");
            return (mb_slice){0};
        }
    } else if (!mb_http_is_all(name, MB_CHAR_LOWER_TOKEN)) {
        mb_doc_fault(doc, "is no header name in lower case");
        return (mb_slice){0};
    }
    return copy_text(doc, name);
}

static void read_enum(const mb_doc *doc, const char *const *words, void *out) {
    mb_slice word = peek_text(doc, 1);
    for (unsigned i = 0; words[i] != NULL && word.ptr != NULL; i++) {
        if (mb_slice_equal(word, mb_slice_from_c(words[i]))) {
            memcpy(out, &i, sizeof(i));
            return;
        }
    }
    if (word.ptr != NULL) {
        mb_doc_fault(doc, "unknown word, the first known one is \"%s\"", words[0]);
    }
}

static void read_field(const mb_doc *doc, const mb_doc_field *field, void *out) {
    char *at = (char *)out + field->offset;
    switch (field->kind) {
    case MB_DOC_BOOL:
        read_bool(doc, at);
        break;
    case MB_DOC_U16:
        *(uint16_t *)(void *)at = (uint16_t)read_number(doc, field, UINT16_MAX);
        break;
    case MB_DOC_U32:
        *(uint32_t *)(void *)at = (uint32_t)read_number(doc, field, UINT32_MAX);
        break;
    case MB_DOC_U64:
        *(uint64_t *)(void *)at = read_number(doc, field, UINT64_MAX);
        break;
    case MB_DOC_I64:
        read_i64(doc, at);
        break;
    case MB_DOC_MS:
        *(uint64_t *)(void *)at = read_number(doc, field, MB_DOC_MS_MAX) * 1000;
        break;
    case MB_DOC_TEXT:
        *(mb_slice *)(void *)at = copy_text(doc, peek_text(doc, field->min));
        break;
    case MB_DOC_CSTRING:
        *(const char **)(void *)at = read_cstring(doc, field->min);
        break;
    case MB_DOC_HEADER:
    case MB_DOC_ANY_HEADER:
        *(mb_slice *)(void *)at = read_header(doc, field->min, field->kind == MB_DOC_ANY_HEADER);
        break;
    case MB_DOC_ENUM:
        read_enum(doc, field->words, at);
        break;
    case MB_DOC_NODE:
        /* The copy keeps its place in the document: `up` and `name` are the caller's. */
        *(mb_doc *)(void *)at = *doc;
        break;
    case MB_DOC_IGNORED:
        break;
    }
}

/* -- maps and arrays ------------------------------------------------------------------------- */

/* Documents have their fields in the table's order nearly always, so the search begins behind the
 * field found last. */
static size_t find_field(const mb_doc_field *fields, size_t count, size_t hint, mb_slice key) {
    for (size_t i = 0; i < count; i++) {
        size_t at = (hint + i) % count;
        if (mb_slice_equal(key, mb_slice_from_c(fields[at].name))) {
            return at;
        }
    }
    return count;
}

/* `silent`: the map itself was missing or wrong, and that was reported. */
static void set_missing(const mb_doc *doc, const mb_doc_field *fields, size_t count, uint64_t seen,
                        bool silent, void *out) {
    for (size_t i = 0; i < count; i++) {
        if ((seen & (UINT64_C(1) << i)) != 0) {
            continue;
        }
        if (!silent) {
            mb_doc_fault_at(doc, fields[i].name, "is missing");
        }
        mb_doc none = {.reader = doc->reader, .up = doc, .name = mb_slice_from_c(fields[i].name)};
        char *at = (char *)out + fields[i].offset;
        if (fields[i].kind == MB_DOC_NODE) {
            *(mb_doc *)(void *)at = none;
        } else if (fields[i].kind == MB_DOC_CSTRING) {
            *(const char **)(void *)at = "";
        }
    }
}

void mb_doc_read(const mb_doc *doc, const mb_doc_field *fields, size_t count, void *out) {
    mb_doc_items items;
    mb_doc item;
    uint64_t seen = 0;
    size_t hint = 0;
    mb_doc_map(doc, &items);
    while (mb_doc_next(&items, &item)) {
        size_t at = find_field(fields, count, hint, item.name);
        if (at == count) {
            mb_doc_fault(&item, "is no field that the core knows");
            continue;
        }
        if ((seen & (UINT64_C(1) << at)) != 0) {
            mb_doc_fault(&item, "is given twice");
            continue;
        }
        seen |= UINT64_C(1) << at;
        hint = at + 1;
        read_field(&item, &fields[at], out);
    }
    set_missing(doc, fields, count, seen, !items.map, out);
}

int mb_doc_union(const mb_doc *doc, const char *const *words) {
    mb_doc kind = {.reader = doc->reader, .up = doc, .name = MB_SLICE_LIT("kind")};
    if (doc->value.ptr == NULL) {
        return -1;
    }
    int found = mb_msgpack_find(doc->value, kind.name, &kind.value);
    if (found != MB_OK) {
        if (found == MB_ENOTFOUND) {
            mb_doc_fault(&kind, "is missing");
        } else {
            mb_doc_fault(doc, "expected a map, got %s", type_of(doc));
        }
        return -1;
    }
    unsigned value = UINT32_MAX;
    read_enum(&kind, words, &value);
    return value == UINT32_MAX ? -1 : (int)value;
}

bool mb_doc_is_nil(const mb_doc *doc) {
    return doc->value.len == 0 || (unsigned char)doc->value.ptr[0] == 0xc0;
}

mb_slice mb_doc_text(const mb_doc *doc) {
    return copy_text(doc, peek_text(doc, 1));
}

mb_slice mb_doc_header(const mb_doc *doc) {
    return read_header(doc, 1, false);
}

static void open_items(const mb_doc *doc, mb_doc_items *items, bool map) {
    *items = (mb_doc_items){.doc = doc, .at = mb_msgpack_read(doc->value)};
    if (doc->value.ptr == NULL) {
        return;
    }
    int result = map ? mb_msgpack_get_map(&items->at, &items->count)
                     : mb_msgpack_get_array(&items->at, &items->count);
    if (result != MB_OK) {
        items->count = 0;
        mb_doc_fault(doc, "expected a %s, got %s", map ? "map" : "list", type_of(doc));
        return;
    }
    items->map = map;
}

void mb_doc_list(const mb_doc *doc, mb_doc_items *items) {
    open_items(doc, items, false);
}

void mb_doc_map(const mb_doc *doc, mb_doc_items *items) {
    open_items(doc, items, true);
}

bool mb_doc_next(mb_doc_items *items, mb_doc *item) {
    const mb_doc *doc = items->doc;
    if (items->index >= items->count || !mb_doc_goes_on(doc->reader)) {
        return false;
    }
    *item = (mb_doc){.reader = doc->reader, .up = doc, .index = items->index++};
    if (items->map && mb_msgpack_get_str(&items->at, &item->name) != MB_OK) {
        mb_doc_fault(doc, "has a key that is no text");
        items->index = items->count;
        return false;
    }
    /* Well-formed as a whole, so this can only succeed. */
    return mb_msgpack_value(&items->at, &item->value) == MB_OK;
}

void *mb_doc_array(const mb_doc *doc, mb_doc_items *items, size_t element_bytes) {
    mb_doc_list(doc, items);
    if (items->count == 0) {
        return NULL;
    }
    void *elements = mb_doc_alloc(doc->reader, items->count, element_bytes);
    if (elements == NULL) {
        items->count = 0;
    }
    return elements;
}
