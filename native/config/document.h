/*
 * Document: typed, table-driven reading of the configuration's msgpack, with the path of every
 * value, so that a fault says where it is: "listeners[0].hcm.http_filters[2].name: is missing".
 *
 * Reading never stops at a fault: what is wrong is noted in the reader, the field keeps its zero,
 * and the caller goes on to find more. The caller asks once, at the end, for `reader->status`. Only
 * mb_doc_alloc says at once that memory is out, since nothing can be filled in then.
 *
 * Nothing in the document is trusted. mb_doc_open checks the whole of it first, so that all who
 * read later know every value to be well-formed and to nest less than MB_MSGPACK_DEPTH_MAX.
 */
#ifndef MB_CONFIG_DOCUMENT_H
#define MB_CONFIG_DOCUMENT_H

#include "base/arena.h"
#include "base/msgpack.h"

#define MB_DOC_FAULTS_MAX 100
/* Longest duration that a field takes: Envoy's, 10,000 years. */
#define MB_DOC_MS_MAX 315576000000000u

typedef struct mb_doc_reader {
    mb_arena *arena; /* for what is read */
    mb_text *faults; /* one line each */
    uint32_t fault_count;
    int status; /* MB_OK, MB_ECONFIG after a fault, MB_ENOMEM from then on */
} mb_doc_reader;

/* One value. Lives on the stack of who reads it; `up` outlives it. */
typedef struct mb_doc mb_doc;
struct mb_doc {
    mb_doc_reader *reader;
    const mb_doc *up; /* NULL: the document itself */
    mb_slice name;    /* field or key; ptr NULL: an element, then `index` */
    uint32_t index;
    mb_slice value; /* its bytes; ptr NULL: it was missing (reported), it reads as empty */
};

typedef enum mb_doc_kind {
    MB_DOC_BOOL, /* bool */
    MB_DOC_U16,  /* uint16_t, U32 uint32_t, U64 uint64_t: `min` to `max` */
    MB_DOC_U32,
    MB_DOC_U64,
    MB_DOC_I64,        /* int64_t */
    MB_DOC_MS,         /* milliseconds; uint64_t in microseconds */
    MB_DOC_TEXT,       /* mb_slice, copied; at least `min` bytes */
    MB_DOC_CSTRING,    /* const char *, copied; at least `min` bytes, no NUL among them */
    MB_DOC_HEADER,     /* mb_slice: a header name in lower case; "" unless `min` is 1 */
    MB_DOC_ANY_HEADER, /* the same, or a pseudo-header */
    MB_DOC_ENUM,       /* unsigned: index of the word in `words` */
    MB_DOC_NODE,       /* mb_doc: read by the caller */
    MB_DOC_IGNORED     /* of any type; for somebody else */
} mb_doc_kind;

typedef struct mb_doc_field {
    const char *name;
    mb_doc_kind kind;
    size_t offset;            /* in the struct that is filled */
    uint64_t min, max;        /* `max` 0: the type's own */
    const char *const *words; /* NULL-terminated */
} mb_doc_field;

/* MB_DOC_FIELD("port", U16, mb_endpoint, port, .min = 1) */
#define MB_DOC_FIELD(key, what, type, member, ...)                                                 \
    { .name = (key), .kind = MB_DOC_##what, .offset = offsetof(type, member), __VA_ARGS__ }

/* Begins with a document and checks its form. False: a fault was noted. */
bool mb_doc_open(mb_doc_reader *reader, mb_arena *arena, mb_text *faults, mb_slice document,
                 mb_doc *root);

/* Reads a map of exactly these fields into `out`, which the caller has zeroed. Each unknown,
 * repeated or missing key is a fault. Texts are copied to the arena. At most 64 fields. */
void mb_doc_read(const mb_doc *doc, const mb_doc_field *fields, size_t count, void *out);
#define MB_DOC_READ(doc, fields, out)                                                              \
    mb_doc_read((doc), (fields), sizeof(fields) / sizeof((fields)[0]), (out))

/* The `kind` of a union, before its other fields are read: index in `words`, or -1 (reported). */
int mb_doc_union(const mb_doc *doc, const char *const *words);

bool mb_doc_is_nil(const mb_doc *doc);
/* A value that is one text, copied. Faults as of MB_DOC_TEXT, MB_DOC_HEADER with `min` 1. */
mb_slice mb_doc_text(const mb_doc *doc);
mb_slice mb_doc_header(const mb_doc *doc);

/* Walks the elements of an array, or the entries of a map (`item.name` is the key). Ends early
 * when memory is out or too many faults were noted. */
typedef struct mb_doc_items {
    const mb_doc *doc;
    mb_msgpack at;
    uint32_t count; /* of all */
    uint32_t index; /* of the next */
    bool map;
} mb_doc_items;

void mb_doc_list(const mb_doc *doc, mb_doc_items *items);
void mb_doc_map(const mb_doc *doc, mb_doc_items *items);
bool mb_doc_next(mb_doc_items *items, mb_doc *item);
/* As `mb_doc_list`, with zeroed memory for an array of `element_bytes` each. NULL: it is empty, or
 * out of memory; then `items` is empty too. */
void *mb_doc_array(const mb_doc *doc, mb_doc_items *items, size_t element_bytes);

/* Notes what is wrong with a value, or with a field of it. `format` as printf. */
void mb_doc_fault(const mb_doc *doc, const char *format, ...) __attribute__((format(printf, 2, 3)));
void mb_doc_fault_at(const mb_doc *doc, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* False: give up (memory is out, or MB_DOC_FAULTS_MAX faults). */
static inline bool mb_doc_goes_on(const mb_doc_reader *reader) {
    return reader->status != MB_ENOMEM && reader->fault_count < MB_DOC_FAULTS_MAX;
}
/* Zeroed memory of the arena. NULL: out of memory, in `reader->status`. */
void *mb_doc_alloc(mb_doc_reader *reader, size_t count, size_t bytes);

#endif
