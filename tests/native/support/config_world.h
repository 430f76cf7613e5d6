/*
 * What tests of config/ share: a worker, the built-in module, and a module that stands for the
 * Python bridge and writes down what it is asked to make.
 */
#ifndef MBTEST_CONFIG_WORLD_H
#define MBTEST_CONFIG_WORLD_H

#include "config/snapshot.h"
#include "mbtest.h"
#include "support/json_document.h"

typedef struct config_world {
    mbtest_alloc *memory;
    mbtest_clock clock;
    mb_worker worker;
    mb_module_ref *native, *python; /* python is the module "moebridge" */
    mb_config_modules modules;
    mb_text faults; /* of the last build; its memory isn't `memory`'s */
    /* A line for each configuration that the python module made: "FILTER NAME JSON\n". It refuses
     * the text "refuse" and answers what a filter named "quiet" gets with no reason. */
    mb_text made;
    int live; /* of them, not freed yet */
} config_world;

/* False when an allocation of the world's own was the `fail_at`-th. */
bool config_world_init(config_world *self, size_t fail_at);
/* Frees all and checks that nothing is left. */
void config_world_fini(config_world *self);
int config_world_build(config_world *self, const mb_snapshot *previous, mb_slice document,
                       mb_snapshot **out);
/* Builds `json` with edits (see json_document.h) and expects it to succeed. */
mb_snapshot *config_world_load(config_world *self, const mb_snapshot *previous, const char *json,
                               ...) __attribute__((sentinel));
/* The JSON text of what an override or entry of the python module was made from, or NULL. */
const char *config_world_text(const void *config);

#endif
