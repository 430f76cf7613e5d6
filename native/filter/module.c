/*
 * Modules: finding, loading, checking and freeing them.
 *
 * Everything that a module says about itself is checked here once, so that the chain can trust
 * its tables: ABI version and size of every struct, names, hooks, size of the state. A module
 * writes its answer into more room than our struct has, since one that was built with newer
 * headers may write further before its version is known.
 *
 * Called by config/ and the server while a configuration loads; worker only.
 */
#include "filter/module.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/slice.h"
#include "filter/host.h"
#include <moebridge/network_filter.h>

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define STATE_BYTES_MAX 4096u
/* Leaves room for "./" and the NUL. */
#define FILE_BYTES_MAX (PATH_MAX - 4)

static unsigned major_of(uint32_t version) {
    return version >> 16;
}

static unsigned minor_of(uint32_t version) {
    return version & 0xffff;
}

/* Begins a reason. What speaks of no error must not allocate. */
static mb_text *blame(mb_text *error, mb_slice name) {
    mb_text_append(error, name);
    mb_text_c(error, ": ");
    return error;
}

/* A version that this host speaks, and a struct that holds what that version promises. */
static int check_abi(mb_slice name, const char *what, uint32_t version, uint32_t size, size_t least,
                     mb_text *error) {
    if (major_of(version) != major_of(MB_ABI_VERSION) ||
        minor_of(version) > minor_of(MB_ABI_VERSION)) {
        mb_text_format(blame(error, name), "%s is of filter ABI %u.%u, this moebridge speaks %u.%u",
                       what, major_of(version), minor_of(version), major_of(MB_ABI_VERSION),
                       minor_of(MB_ABI_VERSION));
        return MB_EABI;
    }
    if (size < least) {
        mb_text_format(blame(error, name), "%s has %u bytes, its ABI version has %zu", what,
                       (unsigned)size, least);
        return MB_EABI;
    }
    return MB_OK;
}

static int check_filter(mb_slice name, const mb_filter_kind *kind, uint32_t index, mb_text *error) {
    if (kind->name == NULL || kind->name[0] == '\0' || kind->hooks == NULL) {
        mb_text_format(blame(error, name), "filter %u has no name or no hooks", (unsigned)index);
        return MB_ECONFIG;
    }
    int status = check_abi(name, kind->name, kind->hooks->abi_version, kind->hooks->struct_size,
                           sizeof(mb_filter_hooks), error);
    if (status == MB_OK && kind->hooks->state_bytes > STATE_BYTES_MAX) {
        mb_text_format(blame(error, name), "filter %s wants %u bytes of state, the most are %u",
                       kind->name, (unsigned)kind->hooks->state_bytes, STATE_BYTES_MAX);
        return MB_ECONFIG;
    }
    return status;
}

/* What the struct has of a module of that version. */
static size_t module_bytes(uint32_t version) {
    return minor_of(version) >= 1 ? sizeof(mb_module) : offsetof(mb_module, network_filters);
}

static int check_network_filter(mb_slice name, const mb_network_filter_kind *kind, uint32_t index,
                                mb_text *error) {
    if (kind->name == NULL || kind->name[0] == '\0' || kind->hooks == NULL) {
        mb_text_format(blame(error, name), "network filter %u has no name or no hooks",
                       (unsigned)index);
        return MB_ECONFIG;
    }
    int status = check_abi(name, kind->name, kind->hooks->abi_version, kind->hooks->struct_size,
                           sizeof(mb_network_filter_hooks), error);
    if (status == MB_OK && kind->hooks->state_bytes > STATE_BYTES_MAX) {
        mb_text_format(blame(error, name),
                       "network filter %s wants %u bytes of state, the most "
                       "are %u",
                       kind->name, (unsigned)kind->hooks->state_bytes, STATE_BYTES_MAX);
        return MB_ECONFIG;
    }
    return status;
}

static int check_network_filters(mb_slice name, const mb_module *module, mb_text *error) {
    if (minor_of(module->abi_version) < 1) {
        return MB_OK; /* it knows of none */
    }
    if (module->network_filter_count > 0 && module->network_filters == NULL) {
        mb_text_c(blame(error, name), "its list of network filters is missing");
        return MB_ECONFIG;
    }
    int status = MB_OK;
    for (uint32_t i = 0; i < module->network_filter_count && status == MB_OK; i++) {
        status = check_network_filter(name, &module->network_filters[i], i, error);
    }
    return status;
}

static int check_module(mb_slice name, const mb_module *module, mb_text *error) {
    int status = check_abi(name, "mb_module", module->abi_version, module->struct_size,
                           module_bytes(module->abi_version), error);
    if (status != MB_OK) {
        return status;
    }
    if (module->name == NULL || module->name[0] == '\0') {
        mb_text_c(blame(error, name), "it has no name");
        return MB_ECONFIG;
    }
    if (module->filter_count > 0 && module->filters == NULL) {
        mb_text_c(blame(error, name), "its list of filters is missing");
        return MB_ECONFIG;
    }
    for (uint32_t i = 0; i < module->filter_count && status == MB_OK; i++) {
        status = check_filter(name, &module->filters[i], i, error);
    }
    return status == MB_OK ? check_network_filters(name, module, error) : status;
}

static int add(mb_worker *worker, mb_slice name, const mb_module *module, mb_text *error,
               mb_module_ref **out) {
    int status = check_module(name, module, error);
    if (status != MB_OK) {
        return status;
    }
    mb_module_ref *made = mb_zalloc(worker->allocator, sizeof(*made));
    if (made == NULL) {
        mb_text_c(blame(error, name), mb_strerror(MB_ENOMEM));
        return MB_ENOMEM;
    }
    memcpy(&made->module, module, module_bytes(module->abi_version)); /* the rest is zero */
    made->worker = worker;
    made->refs = 1;
    made->next = worker->modules;
    worker->modules = made;
    *out = made;
    return MB_OK;
}

int mb_module_add(mb_worker *worker, const mb_module *module, mb_text *error, mb_module_ref **out) {
    return add(worker, MB_SLICE_LIT("module"), module, error, out);
}

int mb_module_make(mb_worker *worker, mb_slice name, mb_module_init_fn init, mb_text *error,
                   mb_module_ref **out) {
    union {
        mb_module module;
        char room[1024];
    } answer;
    memset(&answer, 0, sizeof(answer));
    int status = init(&mb_host_functions, &answer.module);
    if (status < 0) {
        mb_text_format(blame(error, name), "%s refused: %s", MB_MODULE_INIT_SYMBOL,
                       mb_strerror(status));
        return status == MB_EABI || status == MB_ENOMEM ? status : MB_ECONFIG;
    }
    status = add(worker, name, &answer.module, error, out);
    /* Where the ABI is another one, `free` need not be where we would look. */
    if (status != MB_OK && status != MB_EABI && answer.module.free != NULL) {
        answer.module.free(answer.module.context);
    }
    return status;
}

void mb_module_release(mb_module_ref *module) {
    if (module == NULL || --module->refs > 0) {
        return;
    }
    mb_module_ref **at = &module->worker->modules;
    while (*at != module) {
        at = &(*at)->next;
    }
    *at = module->next;
    if (module->module.free != NULL) {
        module->module.free(module->module.context);
    }
    if (module->library != NULL) {
        dlclose(module->library);
    }
    mb_free(module->worker->allocator, module, sizeof(*module));
}

/* -- libraries ------------------------------------------------------------------------------- */

/* "x" and "libx.so" are both libx.so; what has a '/' stays. False: too long. */
static bool file_name(mb_slice name, char out[PATH_MAX]) {
    bool whole =
        mb_slice_index(name, '/') >= 0 || (mb_slice_starts_with(name, MB_SLICE_LIT("lib")) &&
                                           mb_slice_ends_with(name, MB_SLICE_LIT(".so")));
    mb_slice before = whole ? mb_slice_of("", 0) : MB_SLICE_LIT("lib");
    mb_slice after = whole ? mb_slice_of("", 0) : MB_SLICE_LIT(".so");
    if (name.len == 0 || before.len + name.len + after.len > FILE_BYTES_MAX ||
        memchr(name.ptr, '\0', name.len) != NULL) {
        return false;
    }
    memcpy(out, before.ptr, before.len);
    memcpy(out + before.len, name.ptr, name.len);
    memcpy(out + before.len + name.len, after.ptr, after.len);
    out[before.len + name.len + after.len] = '\0';
    return true;
}

/* The file in the first folder that has it. False: none has. */
static bool find_file(const char *file, char out[PATH_MAX]) {
    const char *folders = getenv(MB_MODULE_PATH_VARIABLE);
    mb_slice rest = mb_slice_from_c(folders == NULL ? "" : folders);
    while (rest.len > 0) {
        mb_slice folder;
        mb_slice_split(rest, ':', &folder, &rest);
        if (folder.len == 0 || folder.len + strlen(file) + 2 > PATH_MAX) {
            continue;
        }
        memcpy(out, folder.ptr, folder.len);
        out[folder.len] = '/';
        strcpy(out + folder.len + 1, file);
        if (access(out, F_OK) == 0) {
            return true;
        }
    }
    /* With a '/', for dlopen looks for a bare name elsewhere. */
    out[0] = '.';
    out[1] = '/';
    strcpy(out + 2, file);
    return access(out, F_OK) == 0;
}

/* Opens the library; NULL with the reason in `error` and `*status`. */
static void *open_library(const char *file, mb_text *error, int *status) {
    char path[PATH_MAX];
    bool found = true;
    if (strchr(file, '/') != NULL) {
        strcpy(path, file);
        found = access(path, F_OK) == 0;
    } else {
        found = find_file(file, path);
    }
    void *library = dlopen(found ? path : file, RTLD_NOW | RTLD_LOCAL);
    if (library != NULL) {
        return library;
    }
    const char *reason = dlerror();
    /* The dynamic linker's own folders can't be asked otherwise. */
    found = found || reason == NULL || strstr(reason, "cannot open shared object") == NULL;
    if (!found) {
        mb_text_format(error,
                       "%s: no such file in the folders of " MB_MODULE_PATH_VARIABLE
                       ", the current folder and the system's",
                       file);
        *status = MB_ENOTFOUND;
    } else {
        mb_text_format(error, "%s: cannot be loaded: %s", file, reason == NULL ? "?" : reason);
        *status = MB_ECONFIG;
    }
    return NULL;
}

static mb_module_ref *find_loaded(const mb_worker *worker, const void *library) {
    mb_module_ref *module = worker->modules;
    while (module != NULL && module->library != library) {
        module = module->next;
    }
    return module;
}

int mb_module_load(mb_worker *worker, mb_slice name, mb_text *error, mb_module_ref **out) {
    char file[PATH_MAX];
    int status = MB_ENOTFOUND;
    if (!file_name(name, file)) {
        mb_text_format(error, "\"%.*s\" is no name of a library", MB_TEXT_ARG(name));
        return MB_ENOTFOUND;
    }
    void *library = open_library(file, error, &status);
    if (library == NULL) {
        return status;
    }
    mb_module_ref *loaded = find_loaded(worker, library);
    if (loaded != NULL) {
        dlclose(library); /* it counts; one count is held already */
        *out = mb_module_share(loaded);
        return MB_OK;
    }
    mb_module_init_fn init = NULL;
    /* ISO C has no cast from an object pointer to a function; POSIX means this one. */
    *(void **)&init = dlsym(library, MB_MODULE_INIT_SYMBOL);
    if (init == NULL) {
        mb_text_format(error, "%s: has no function " MB_MODULE_INIT_SYMBOL, file);
        status = MB_EABI;
    } else {
        status = mb_module_make(worker, mb_slice_from_c(file), init, error, out);
    }
    if (status != MB_OK) {
        dlclose(library);
        return status;
    }
    (*out)->library = library;
    return MB_OK;
}
