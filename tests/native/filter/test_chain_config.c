/* Entries and overrides: lookup of kinds, wishes, errors, and that what is made is freed. */
#include "base/slice.h"
#include "filter/host.h"
#include "filter/module.h"
#include "support/filter_rig.h"

/* What the filters of the module did. */
typedef struct record {
    int made, freed, refused, module_freed;
    int answer; /* of config_new */
    const char *error;
    uint32_t wants_before, wants_after;
} record;

static int on_config_new(void *module, mb_filter_args *args, void **config, uint32_t *wants) {
    record *self = module;
    self->wants_before = *wants;
    if (self->answer < 0) {
        self->refused++;
        if (self->error != NULL) {
            args->error = mb_slice_from_c(self->error);
        }
        return self->answer;
    }
    self->made++;
    *config = self;
    *wants = self->wants_after;
    return MB_OK;
}

static void on_config_free(void *module, void *config) {
    MB_CHECK(module == config);
    ((record *)config)->freed++;
}

static mb_headers_status on_headers(mb_filter *filter, bool end_stream) {
    (void)filter;
    (void)end_stream;
    return MB_HEADERS_CONTINUE;
}

static void on_destroy(mb_filter *filter) {
    (void)filter;
}

static void on_module_free(void *context) {
    ((record *)context)->module_freed++;
}

static const mb_filter_hooks named = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(mb_filter_hooks),
    .config_new = on_config_new,
    .config_free = on_config_free,
    .request_headers = on_headers,
    .destroy = on_destroy,
};
static const mb_filter_hooks plain = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(mb_filter_hooks),
    .response_headers = on_headers,
};
static const mb_filter_kind kinds[] = {{"named", &named}, {"*", &plain}};

static mb_module_ref *add(filter_rig *rig, record *self, uint32_t kind_count) {
    mb_text error;
    mb_module_ref *module = NULL;
    const mb_module made = {
        .abi_version = MB_ABI_VERSION,
        .struct_size = sizeof(mb_module),
        .name = "test",
        .context = self,
        .filters = kinds,
        .filter_count = kind_count,
        .free = on_module_free,
    };
    mb_text_init(&error, &rig->memory->allocator, SIZE_MAX);
    MB_CHECK_EQ_INT(mb_module_add(&rig->worker, &made, &error, &module), MB_OK);
    mb_text_fini(&error);
    return module;
}

static mb_filter_args arguments(filter_rig *rig, const char *filter) {
    return (mb_filter_args){.worker = &rig->worker, .filter_name = mb_slice_from_c(filter)};
}

#define BIT(hook) (1u << (hook))

MB_TEST(entry_has_what_the_filter_asked_for_and_no_more) {
    filter_rig rig;
    record self = {.wants_after = BIT(MB_HOOK_REQUEST_HEADERS) | BIT(MB_HOOK_RESPONSE_BODY)};
    mb_chain_entry entry = {.name = "kept", .disabled = true};
    filter_rig_init(&rig, 0);
    mb_module_ref *module = add(&rig, &self, 2);
    mb_filter_args args = arguments(&rig, "named");
    MB_CHECK_EQ_INT(mb_chain_entry_configure(module, &args, &entry), MB_OK);
    MB_CHECK_EQ_INT(self.wants_before, BIT(MB_HOOK_REQUEST_HEADERS) | BIT(MB_HOOK_DESTROY));
    MB_CHECK_EQ_INT(entry.wants, BIT(MB_HOOK_REQUEST_HEADERS));
    MB_CHECK(entry.hooks == &named && entry.config == &self && entry.disabled);
    MB_CHECK_EQ_INT(module->refs, 2);
    mb_module_release(module);
    MB_CHECK_EQ_INT(self.module_freed, 0);
    mb_chain_entry_release(&entry);
    mb_chain_entry_release(&entry);
    MB_CHECK_EQ_INT(self.freed, 1);
    MB_CHECK_EQ_INT(self.module_freed, 1);
    filter_rig_fini(&rig);
}

MB_TEST(star_takes_names_that_no_other_kind_has) {
    filter_rig rig;
    record self = {0};
    mb_chain_entry entry = {0};
    filter_rig_init(&rig, 0);
    mb_module_ref *module = add(&rig, &self, 2);
    mb_filter_args args = arguments(&rig, "anything");
    MB_CHECK_EQ_INT(mb_chain_entry_configure(module, &args, &entry), MB_OK);
    MB_CHECK(entry.hooks == &plain && entry.config == NULL);
    MB_CHECK_EQ_INT(entry.wants, BIT(MB_HOOK_RESPONSE_HEADERS));
    mb_chain_entry_release(&entry);
    mb_module_release(module);
    MB_CHECK_EQ_INT(self.made + self.freed, 0);
    filter_rig_fini(&rig);
}

MB_TEST(unknown_filter_is_named_with_those_there_are) {
    filter_rig rig;
    record self = {0};
    mb_chain_entry entry = {0};
    filter_rig_init(&rig, 0);
    mb_module_ref *module = add(&rig, &self, 1);
    mb_filter_args args = arguments(&rig, "nmaed");
    MB_CHECK_EQ_INT(mb_chain_entry_configure(module, &args, &entry), MB_ENOTFOUND);
    MB_CHECK_EQ_LIT(args.error, "module test has no filter \"nmaed\"; it has: named");
    MB_CHECK_EQ_INT(module->refs, 1);
    mb_module_release(module);
    filter_rig_fini(&rig);
}

MB_TEST(refusal_of_a_filter_is_passed_on_or_put_in_words) {
    filter_rig rig;
    record self = {.answer = MB_ECONFIG, .error = "keys: is required"};
    mb_chain_entry entry = {0};
    filter_rig_init(&rig, 0);
    mb_module_ref *module = add(&rig, &self, 1);
    mb_filter_args args = arguments(&rig, "named");
    MB_CHECK_EQ_INT(mb_chain_entry_configure(module, &args, &entry), MB_ECONFIG);
    MB_CHECK_EQ_LIT(args.error, "keys: is required");
    self.error = NULL;
    self.answer = MB_ENOMEM;
    MB_CHECK_EQ_INT(mb_chain_entry_configure(module, &args, &entry), MB_ENOMEM);
    MB_CHECK(
        mb_slice_starts_with(args.error, MB_SLICE_LIT("the filter refused its configuration: ")));
    MB_CHECK(entry.module == NULL);
    MB_CHECK_EQ_INT(self.freed, 0);
    mb_module_release(module);
    filter_rig_fini(&rig);
}

MB_TEST(override_is_the_same_filter_with_its_own_configuration) {
    filter_rig rig;
    record self = {.wants_after = BIT(MB_HOOK_REQUEST_HEADERS)};
    mb_chain_entry entry = {.name = "chain's"};
    mb_chain_override override = {.disabled = true};
    filter_rig_init(&rig, 0);
    mb_module_ref *module = add(&rig, &self, 2);
    mb_filter_args args = arguments(&rig, "named");
    MB_CHECK_EQ_INT(mb_chain_entry_configure(module, &args, &entry), MB_OK);
    mb_module_release(module);
    self.wants_after = 0;
    args = arguments(&rig, "");
    MB_CHECK_EQ_INT(mb_chain_override_configure(&entry, &args, &override), MB_OK);
    MB_CHECK(override.present && !override.disabled && override.config == &self);
    MB_CHECK_EQ_INT(override.wants, 0);
    MB_CHECK_EQ_INT(self.made, 2);
    mb_chain_override_release(&entry, &override);
    mb_chain_override_release(&entry, &override);
    MB_CHECK_EQ_INT(self.freed, 1);
    args = arguments(&rig, "other");
    MB_CHECK_EQ_INT(mb_chain_override_configure(&entry, &args, &override), MB_ECONFIG);
    MB_CHECK_EQ_LIT(args.error, "\"other\" is another filter than the chain's \"chain's\"");
    mb_chain_entry_release(&entry);
    filter_rig_fini(&rig);
}
