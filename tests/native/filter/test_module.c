/*
 * Modules from shared libraries: every refusal has its words, and what is loaded works and goes.
 * The libraries are tests/native/modules and examples/native_filter, built beside this program.
 */
#include "filter/module.h"
#include <moebridge/network_filter.h>

#include "base/alloc.h"
#include "base/slice.h"
#include "filter/metadata.h"
#include "support/filter_rig.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Where this program's flavour keeps its modules. */
static void find_modules(void) {
    static char path[PATH_MAX + 32];
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
    MB_CHECK(length > 0);
    path[length] = '\0';
    for (int i = 0; i < 3; i++) { /* tests/filter/test_module */
        *strrchr(path, '/') = '\0';
    }
    strcat(path, "/modules");
    setenv(MB_MODULE_PATH_VARIABLE, path, 1);
}

static void check_refusal(const char *name, int want, const char *words) {
    filter_rig rig;
    mb_text error;
    mb_module_ref *module = NULL;
    filter_rig_init(&rig, 0);
    find_modules();
    mb_text_init(&error, &rig.memory->allocator, SIZE_MAX);
    MB_CHECK_EQ_INT(mb_module_load(&rig.worker, mb_slice_from_c(name), &error, &module), want);
    MB_CHECK(module == NULL && rig.worker.modules == NULL);
    mb_slice text = mb_text_view(&error);
    if (!mb_slice_starts_with(text, mb_slice_from_c(words))) {
        MB_CHECK_EQ_SLICE(text, mb_slice_from_c(words));
    }
    mb_text_fini(&error);
    filter_rig_fini(&rig);
}

MB_TEST(each_refusal_says_what_is_wrong) {
    check_refusal("no_such_module", MB_ENOTFOUND,
                  "libno_such_module.so: no such file in the folders of MOEBRIDGE_MODULE_PATH, the "
                  "current folder and the system's");
    check_refusal("/no/such/file.so", MB_ENOTFOUND, "/no/such/file.so: no such file");
    check_refusal("", MB_ENOTFOUND, "\"\" is no name of a library");
    check_refusal("no_symbol", MB_EABI, "libno_symbol.so: has no function mb_module_init");
    check_refusal("newer_abi", MB_EABI,
                  "libnewer_abi.so: mb_module is of filter ABI 2.1, this moebridge speaks 1.1");
    check_refusal("small_struct", MB_EABI, "libsmall_struct.so: mb_module has 16 bytes, its ABI");
    check_refusal("old_hooks", MB_EABI, "libold_hooks.so: old is of filter ABI 0.0, this");
    check_refusal("nameless", MB_ECONFIG, "libnameless.so: it has no name");
    check_refusal("refuses", MB_ECONFIG, "librefuses.so: mb_module_init refused: ");
    check_refusal("librefuses.so", MB_ECONFIG, "librefuses.so: mb_module_init refused: ");
    check_refusal("unresolved", MB_ECONFIG, "libunresolved.so: cannot be loaded: ");
}

MB_TEST(name_of_any_length_is_survived) {
    static char name[10000];
    memset(name, 'x', sizeof(name) - 1);
    check_refusal(name, MB_ENOTFOUND, "");
    name[4090] = '\0';
    check_refusal(name, MB_ENOTFOUND, "");
    name[0] = '/';
    check_refusal(name, MB_ENOTFOUND, "");
    setenv(MB_MODULE_PATH_VARIABLE, "::/no/such/folder:", 1);
    check_refusal("refuses", MB_ECONFIG, "");
}

static mb_module_ref *load(filter_rig *rig) {
    mb_text error;
    mb_module_ref *module = NULL;
    find_modules();
    mb_text_init(&error, &rig->memory->allocator, SIZE_MAX);
    MB_CHECK_EQ_INT(mb_module_load(&rig->worker, MB_SLICE_LIT("request_stamp"), &error, &module),
                    MB_OK);
    MB_CHECK_EQ_INT(error.len, 0);
    mb_text_fini(&error);
    return module;
}

MB_TEST(library_is_loaded_once_and_goes_with_its_last_reference) {
    filter_rig rig;
    filter_rig_init(&rig, 0);
    mb_module_ref *first = load(&rig);
    mb_module_ref *second = load(&rig);
    MB_CHECK(first == second);
    MB_CHECK_EQ_INT(first->refs, 2);
    mb_module_release(second);
    MB_CHECK(rig.worker.modules == first);
    mb_module_release(first);
    MB_CHECK(rig.worker.modules == NULL);
    mb_module_release(NULL);
    filter_rig_fini(&rig);
}

MB_TEST(filter_of_the_example_numbers_requests) {
    filter_rig rig;
    filter_rig_init(&rig, 0);
    mb_module_ref *module = load(&rig);
    mb_filter_args args = {.worker = &rig.worker,
                           .filter_name = MB_SLICE_LIT("request_stamp"),
                           .name = MB_SLICE_LIT("stamp"),
                           .config = MB_SLICE_LIT("\x81\xa6header\xa3x-n")};
    filter_rig_put(&rig, module, &args);
    mb_module_release(module);
    for (int i = 1; i <= 3; i++) {
        char want[2] = {(char)('0' + i), '\0'};
        filter_rig_begin(&rig);
        filter_rig_get(&rig, "/");
        mb_stream_request_headers(rig.stream, true);
        MB_CHECK_EQ_SLICE(filter_rig_values(&rig.stream->headers[MB_REQUEST], "x-n"),
                          mb_slice_from_c(want));
    }
    filter_rig_header(&rig, MB_RESPONSE, ":status", "200");
    mb_stream_response_headers(rig.stream, false);
    filter_rig_body(&rig, MB_RESPONSE, MB_SLICE_LIT("abc"), false);
    filter_rig_body(&rig, MB_RESPONSE, MB_SLICE_LIT("de"), true);
    mb_slice value;
    MB_CHECK_EQ_INT(mb_metadata_get(rig.stream, MB_SLICE_LIT("request_stamp"),
                                    MB_SLICE_LIT("body_bytes"), &value),
                    MB_OK);
    MB_CHECK_EQ_LIT(value, "\xcf\0\0\0\0\0\0\0\5");
    filter_rig_fini(&rig);
}

MB_TEST(configuration_of_the_example_is_checked) {
    static const struct {
        mb_slice config;
        int want;
    } rows[] = {
        {{"", 0}, MB_OK},
        {{"\xc0", 1}, MB_OK},
        {{"\x81\xa6header\xa0", 9}, MB_ECONFIG},
        {{"\x81\xa6header\xa1x", 10}, MB_OK},
        {{"\x81\xa6header\xa2x", 10}, MB_ECONFIG},
        {{"\x81\xa6heade", 7}, MB_ECONFIG},
        {{"\x01", 1}, MB_ECONFIG},
    };
    filter_rig rig;
    filter_rig_init(&rig, 0);
    mb_module_ref *module = load(&rig);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *guarded = mbtest_guard(rows[i].config.ptr, rows[i].config.len);
        mb_chain_entry entry = {0};
        mb_filter_args args = {.worker = &rig.worker,
                               .filter_name = MB_SLICE_LIT("request_stamp"),
                               .name = MB_SLICE_LIT("stamp"),
                               .config = {guarded, rows[i].config.len}};
        MB_CHECK_EQ_INT(mb_chain_entry_configure(module, &args, &entry), rows[i].want);
        mb_chain_entry_release(&entry);
        mbtest_guard_free(guarded, rows[i].config.len);
    }
    mb_module_release(module);
    filter_rig_fini(&rig);
}

MB_TEST(every_failing_allocation_is_reported) {
    for (size_t n = 1, failed = 1; failed; n++) {
        filter_rig rig;
        mb_text error;
        mb_module_ref *module = NULL;
        if (!filter_rig_init(&rig, n)) {
            continue;
        }
        find_modules();
        mb_text_init(&error, &rig.memory->allocator, SIZE_MAX);
        int status = mb_module_load(&rig.worker, MB_SLICE_LIT("request_stamp"), &error, &module);
        failed = rig.memory->requests >= n;
        MB_CHECK_EQ_INT(status, failed ? MB_ENOMEM : MB_OK);
        mb_text_fini(&error);
        mb_module_release(module);
        filter_rig_fini(&rig);
    }
}

/* -- network filters --------------------------------------------------------------------------- */

static int add_module(filter_rig *rig, const mb_module *module, mb_text *error,
                      mb_module_ref **out) {
    mb_text_init(error, mb_allocator_default(), SIZE_MAX);
    return mb_module_add(&rig->worker, module, error, out);
}

MB_TEST(a_module_of_an_earlier_abi_has_no_network_filters) {
    filter_rig rig;
    filter_rig_init(&rig, 0);
    mb_text error;
    mb_module_ref *made = NULL;
    const mb_module old = {
        .abi_version = 0x00010000,
        .struct_size = offsetof(mb_module, network_filters),
        .name = "old",
        /* What lies behind its struct is not looked at. */
        .network_filters = (const mb_network_filter_kind *)(uintptr_t)16,
        .network_filter_count = 3,
    };
    MB_CHECK_EQ_INT(add_module(&rig, &old, &error, &made), MB_OK);
    MB_CHECK_EQ_INT(made->module.network_filter_count, 0);
    MB_CHECK(made->module.network_filters == NULL);
    mb_module_release(made);
    mb_text_fini(&error);
    filter_rig_fini(&rig);
}

MB_TEST(network_filters_of_a_module_are_checked) {
    static const mb_network_filter_hooks good = {.abi_version = MB_ABI_VERSION,
                                                 .struct_size = sizeof(good)};
    static const mb_network_filter_hooks short_hooks = {.abi_version = MB_ABI_VERSION,
                                                        .struct_size = 8};
    static const mb_network_filter_hooks greedy = {
        .abi_version = MB_ABI_VERSION, .struct_size = sizeof(greedy), .state_bytes = 4097};
    static const mb_network_filter_kind nameless = {"", &good}, hookless = {"x", NULL};
    static const mb_network_filter_kind too_short = {"x", &short_hooks}, too_much = {"x", &greedy};
    static const struct {
        const mb_network_filter_kind *kinds;
        int result;
        const char *error;
    } rows[] = {
        {NULL, MB_ECONFIG, "module: its list of network filters is missing"},
        {&nameless, MB_ECONFIG, "module: network filter 0 has no name or no hooks"},
        {&hookless, MB_ECONFIG, "module: network filter 0 has no name or no hooks"},
        {&too_short, MB_EABI, "module: x has 8 bytes, its ABI version has "},
        {&too_much, MB_ECONFIG,
         "module: network filter x wants 4097 bytes of state, the most are "},
    };
    filter_rig rig;
    filter_rig_init(&rig, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mb_text error;
        mb_module_ref *made = NULL;
        const mb_module module = {
            .abi_version = MB_ABI_VERSION,
            .struct_size = sizeof(module),
            .name = "m",
            .network_filters = rows[i].kinds,
            .network_filter_count = 1,
        };
        MB_CHECK_EQ_INT(add_module(&rig, &module, &error, &made), rows[i].result);
        MB_CHECK(mb_slice_starts_with(mb_text_view(&error), mb_slice_from_c(rows[i].error)));
        MB_CHECK(made == NULL);
        mb_text_fini(&error);
    }
    filter_rig_fini(&rig);
}
