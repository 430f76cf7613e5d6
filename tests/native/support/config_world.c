/*
 * The world of config_world.h.
 */
#include "support/config_world.h"
#include <moebridge/network_filter.h>

#include "base/alloc.h"
#include "base/msgpack.h"
#include "base/slice.h"
#include "filter/builtin.h"
#include "filter/module.h"
#include <stdarg.h>

/* What the python module made; its memory is the world's, so that it can fail too. */
typedef struct probe_config {
    char text[256];
} probe_config;

static int probe_new(void *module, mb_filter_args *args, void **config, uint32_t *wants) {
    config_world *world = module;
    mb_text json;
    mb_text_init(&json, mb_allocator_default(), sizeof(((probe_config *)0)->text) - 1);
    int result = mb_msgpack_to_json(args->config, &json);
    if (mb_slice_equal(args->filter_name, MB_SLICE_LIT("quiet"))) {
        result = MB_ELIMIT;
    } else if (result != MB_OK || mb_slice_equal(mb_text_view(&json), MB_SLICE_LIT("\"refuse\""))) {
        args->error = MB_SLICE_LIT("refused\nfor a reason");
        result = MB_ECONFIG;
    }
    probe_config *made = NULL;
    if (result == MB_OK) {
        made = mb_zalloc(args->worker->allocator, sizeof(*made));
        result = made == NULL ? MB_ENOMEM : MB_OK;
    }
    if (result == MB_OK) {
        memcpy(made->text, json.ptr, json.len);
        mb_text_format(&world->made, "%.*s %.*s %s\n", MB_TEXT_ARG(args->filter_name),
                       MB_TEXT_ARG(args->name), made->text);
        world->live++;
        *config = made;
        *wants &= 1u << MB_HOOK_REQUEST_HEADERS;
    }
    mb_text_fini(&json);
    return result;
}

static void probe_free(void *module, void *config) {
    config_world *world = module;
    world->live--;
    mb_free(world->worker.allocator, config, sizeof(probe_config));
}

static mb_headers_status probe_headers(mb_filter *filter, bool end_stream) {
    (void)filter;
    (void)end_stream;
    return MB_HEADERS_CONTINUE;
}

static const mb_filter_hooks probe_hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(probe_hooks),
    .state_bytes = 24,
    .config_new = probe_new,
    .config_free = probe_free,
    .request_headers = probe_headers,
    .response_headers = probe_headers,
};

static const mb_filter_kind probe_kinds[] = {{"*", &probe_hooks}};

static mb_network_status probe_read(mb_network_filter *filter, mb_buffer *data, bool end_stream) {
    (void)filter;
    (void)data;
    (void)end_stream;
    return MB_NETWORK_CONTINUE;
}

static const mb_network_filter_hooks probe_network_hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(probe_network_hooks),
    .state_bytes = 24,
    .config_new = probe_new,
    .config_free = probe_free,
    .read = probe_read,
};

static const mb_network_filter_kind probe_network_kinds[] = {{"*", &probe_network_hooks}};

bool config_world_init(config_world *self, size_t fail_at) {
    memset(self, 0, sizeof(*self));
    self->memory = mbtest_failing_alloc(fail_at);
    mbtest_clock_init(&self->clock, 1000000, 1000000);
    mb_text_init(&self->faults, mb_allocator_default(), SIZE_MAX);
    mb_text_init(&self->made, mb_allocator_default(), SIZE_MAX);
    mb_logger logger = {.level = MB_LOG_OFF};
    mb_module probe = {
        .abi_version = MB_ABI_VERSION,
        .struct_size = sizeof(probe),
        .name = "moebridge",
        .context = self,
        .filters = probe_kinds,
        .filter_count = 1,
        .network_filters = probe_network_kinds,
        .network_filter_count = 1,
    };
    if (mb_worker_init(&self->worker, &self->memory->allocator, &self->clock.clock, &logger, 0) !=
        MB_OK) {
        return false;
    }
    if (mb_module_make(&self->worker, MB_SLICE_LIT("moebridge_native"), mb_builtin_module,
                       &self->faults, &self->native) != MB_OK ||
        mb_module_add(&self->worker, &probe, &self->faults, &self->python) != MB_OK) {
        mb_module_release(self->native);
        mb_worker_fini(&self->worker);
        return false;
    }
    self->modules = (mb_config_modules){self->native, &self->python, 1};
    return true;
}

void config_world_fini(config_world *self) {
    if (self->python != NULL) {
        MB_CHECK_EQ_INT(self->live, 0);
        mb_module_release(self->python);
        mb_module_release(self->native);
        mb_worker_fini(&self->worker);
    }
    mb_text_fini(&self->faults);
    mb_text_fini(&self->made);
    mbtest_alloc_free(self->memory);
}

int config_world_build(config_world *self, const mb_snapshot *previous, mb_slice document,
                       mb_snapshot **out) {
    mb_text_clear(&self->faults);
    return mb_config_build(&self->worker, &self->modules, previous, document, out, &self->faults);
}

mb_snapshot *config_world_load(config_world *self, const mb_snapshot *previous, const char *json,
                               ...) {
    const char *edits[9] = {NULL};
    mb_text document;
    va_list list;
    va_start(list, json);
    for (size_t i = 0; i < 8 && (edits[i] = va_arg(list, const char *)) != NULL; i++) {
    }
    va_end(list);
    json_document(&document, json, edits[0], edits[1], edits[2], edits[3], edits[4], edits[5],
                  edits[6], edits[7], NULL);
    mb_snapshot *snapshot = NULL;
    int result = config_world_build(self, previous, mb_text_view(&document), &snapshot);
    mb_text_fini(&document);
    MB_CHECK_EQ_LIT(mb_text_view(&self->faults), "");
    MB_CHECK_EQ_INT(result, MB_OK);
    return snapshot;
}

const char *config_world_text(const void *config) {
    return config == NULL ? NULL : ((const probe_config *)config)->text;
}
