/*
 * Any bytes as a configuration document: a snapshot or faults, never a crash, never a leak. What
 * is accepted is accepted again as a reload, with all of its clusters taken over.
 *
 * Seeds: tests/native/config/make_documents.py writes them.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/slice.h"
#include "config/snapshot.h"
#include "filter/builtin.h"
#include "filter/module.h"

#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static mb_worker worker;
static mb_module_ref *native, *python;
static mb_text faults;

static void expect(bool good) {
    if (!good) {
        abort();
    }
}

/* Stands for the Python bridge: takes any configuration. */
static const mb_filter_hooks hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(hooks),
};
static const mb_filter_kind kinds[] = {{"*", &hooks}};
static const mb_module bridge = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(bridge),
    .name = "moebridge",
    .filters = kinds,
    .filter_count = 1,
};

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    mb_logger logger = {.level = MB_LOG_OFF};
    (void)argc;
    (void)argv;
    /* Names in the documents are nobody's: ask where nobody answers. */
    expect(setenv("MOEBRIDGE_DNS_SERVERS", "127.0.0.1:9", 1) == 0);
    mb_text_init(&faults, mb_allocator_default(), SIZE_MAX);
    expect(mb_worker_init(&worker, mb_allocator_default(), mb_clock_default(), &logger, 0) ==
           MB_OK);
    expect(mb_module_make(&worker, MB_SLICE_LIT("moebridge_native"), mb_builtin_module, &faults,
                          &native) == MB_OK);
    expect(mb_module_add(&worker, &bridge, &faults, &python) == MB_OK);
    return 0;
}

static int build(const mb_snapshot *previous, mb_slice document, mb_snapshot **out) {
    mb_config_modules modules = {native, &python, 1};
    mb_text_clear(&faults);
    int result = mb_config_build(&worker, &modules, previous, document, out, &faults);
    expect(result == MB_OK || result == MB_ECONFIG);
    expect((result == MB_OK) == (faults.len == 0));
    expect(faults.len == 0 || faults.ptr[faults.len - 1] == '\n');
    return result;
}

static void expect_same_clusters(const mb_snapshot *a, const mb_snapshot *b) {
    const mb_map_entry *entry;
    for (size_t place = 0; (entry = mb_map_next(&a->clusters, &place)) != NULL;) {
        expect(mb_map_get(&b->clusters, entry->key) == entry->value);
    }
    expect(mb_map_count(&a->clusters) == mb_map_count(&b->clusters));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mb_slice document = {(const char *)data, size};
    mb_snapshot *first = NULL, *second = NULL;
    if (build(NULL, document, &first) == MB_OK) {
        expect(build(first, document, &second) == MB_OK);
        expect_same_clusters(first, second);
    }
    mb_snapshot_unref(first);
    mb_snapshot_unref(second);
    mb_loop_turn(worker.loop, 0);
    return 0;
}
