/*
 * Build: one document in, one snapshot out, or nothing. Reads the outermost map and hands its
 * parts to the other files; see build.h for how they work together.
 */
#include "config/build.h"

#include "base/alloc.h"
#include "base/slice.h"

/* moebridge.config.model.MODEL_VERSION: the one that these files read. */
#define MODEL_VERSION 1

mb_release *mb__release_new(mb_builder *builder) {
    return mb_doc_alloc(&builder->reader, 1, sizeof(mb_release));
}

void mb__release_own(mb_builder *builder, mb_release *owned, void (*release)(void *object),
                     void *object) {
    owned->release = release;
    owned->object = object;
    owned->next = builder->snapshot->releases;
    builder->snapshot->releases = owned;
}

static mb_snapshot *snapshot_new(mb_worker *worker, const mb_snapshot *previous) {
    mb_snapshot *snapshot = mb_zalloc(worker->allocator, sizeof(*snapshot));
    if (snapshot == NULL) {
        return NULL;
    }
    snapshot->refs = 1;
    snapshot->version = previous == NULL ? 1 : previous->version + 1;
    snapshot->worker = worker;
    mb_arena_init(&snapshot->arena, &worker->arenas);
    mb_map_init(&snapshot->clusters, worker->allocator, mb_random_u64(&worker->random));
    return snapshot;
}

typedef struct parts {
    mb_doc version, listeners, clusters;
    mb_slice node_id, node_cluster;
} parts;

static const mb_doc_field fields[] = {
    MB_DOC_FIELD("version", NODE, parts, version),
    MB_DOC_FIELD("node_id", TEXT, parts, node_id),
    MB_DOC_FIELD("node_cluster", TEXT, parts, node_cluster),
    MB_DOC_FIELD("listeners", NODE, parts, listeners),
    MB_DOC_FIELD("clusters", NODE, parts, clusters),
};

/* A document of another version is not looked into: it would only seem full of faults. */
static bool check_version(const mb_doc *root) {
    mb_slice value;
    uint64_t version;
    if (mb_msgpack_find(root->value, MB_SLICE_LIT("version"), &value) != MB_OK) {
        return true; /* reading the fields says what is wrong */
    }
    mb_msgpack cursor = mb_msgpack_read(value);
    if (mb_msgpack_get_u64(&cursor, &version) == MB_OK && version == MODEL_VERSION) {
        return true;
    }
    mb_doc_fault_at(root, "version", "the core reads version %u only", MODEL_VERSION);
    return false;
}

static void read_document(mb_builder *builder, mb_text *faults, mb_slice document) {
    mb_doc root;
    parts found = {0};
    if (!mb_doc_open(&builder->reader, &builder->snapshot->arena, faults, document, &root) ||
        !check_version(&root)) {
        return;
    }
    MB_DOC_READ(&root, fields, &found);
    builder->snapshot->node_id = found.node_id;
    builder->snapshot->node_cluster = found.node_cluster;
    mb__config_listeners(builder, &found.listeners);
    /* Last: a cluster begins to resolve at once, so it is made only where nothing is wrong. */
    mb__config_clusters(builder, &found.clusters);
}

int mb_config_build(mb_worker *worker, const mb_config_modules *modules,
                    const mb_snapshot *previous, mb_slice document, mb_snapshot **out,
                    mb_text *faults) {
    mb_builder builder = {.worker = worker, .modules = modules, .previous = previous};
    builder.snapshot = snapshot_new(worker, previous);
    if (builder.snapshot == NULL) {
        return MB_ENOMEM;
    }
    mb_text_init(&builder.scratch, worker->allocator, SIZE_MAX);
    read_document(&builder, faults, document);
    mb_text_fini(&builder.scratch);
    if (builder.reader.status != MB_OK) {
        mb_snapshot_unref(builder.snapshot);
        return builder.reader.status;
    }
    *out = builder.snapshot;
    return MB_OK;
}
