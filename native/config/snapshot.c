/*
 * Snapshot: its life, and what others look up in it. build.c makes it.
 */
#include "config/snapshot.h"

#include "base/alloc.h"
#include "base/slice.h"
#include "config/build.h"

mb_snapshot *mb_snapshot_ref(mb_snapshot *snapshot) {
    snapshot->refs++;
    return snapshot;
}

void mb_snapshot_unref(mb_snapshot *snapshot) {
    if (snapshot == NULL || --snapshot->refs > 0) {
        return;
    }
    /* Newest first: an override goes before the chain entry that it belongs to. */
    for (mb_release *owned = snapshot->releases; owned != NULL; owned = owned->next) {
        owned->release(owned->object);
    }
    mb_map_fini(&snapshot->clusters);
    mb_arena_clear(&snapshot->arena);
    mb_free(snapshot->worker->allocator, snapshot, sizeof(*snapshot));
}

const mb_listener_config *mb_snapshot_listener(const mb_snapshot *snapshot, mb_slice name) {
    for (uint32_t i = 0; i < snapshot->listener_count; i++) {
        if (mb_slice_equal(name, mb_slice_from_c(snapshot->listeners[i].name))) {
            return &snapshot->listeners[i];
        }
    }
    return NULL;
}

mb_cluster *mb_snapshot_cluster(const mb_snapshot *snapshot, mb_slice name) {
    return mb_map_get(&snapshot->clusters, name);
}
