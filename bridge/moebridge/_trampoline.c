/*
 * C entry of the Cython dispatcher: the module that the core knows. Every hook takes the GIL if
 * this batch has not yet, and calls its twin in _dispatch.pyx; `on_batch_end` drops the GIL.
 *
 * Called by the core on the worker's thread. See _trampoline.h for the invariant of the GIL.
 */
#include "_trampoline.h"

#include <time.h>

/* Below this a take of the GIL counts as immediate, and no clock is read. */
#define MBPY_IMMEDIATE_TICKS 20000u

static inline uint64_t ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    uint64_t value;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
#endif
}

static uint64_t monotonic_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static uint64_t ticks_to_us(const mbpy_worker *worker, uint64_t spent) {
    uint64_t ticks_since = ticks() - worker->first_ticks;
    uint64_t us_since = monotonic_us() - worker->first_us;
    return ticks_since ? (uint64_t)((double)spent * (double)us_since / (double)ticks_since) : 0;
}

static void take_gil(mbpy_worker *worker) {
    PyThreadState *tstate = worker->tstate;
    uint64_t begin = ticks();
    PyEval_RestoreThread(tstate);
    uint64_t spent = ticks() - begin;
    worker->tstate = NULL;
    worker->released = false;
    worker->taken = true;
    worker->counts[MBPY_GIL_TAKEN]++;
    if (spent > MBPY_IMMEDIATE_TICKS) {
        worker->counts[MBPY_GIL_WAIT_US] += ticks_to_us(worker, spent);
    }
}

/* Returns true when the caller must release `state`: a call into the core that was not made
 * through this file, so nobody else gives the GIL back. */
static inline bool enter(mbpy_worker *worker, PyGILState_STATE *state) {
    worker->counts[MBPY_CROSSINGS]++;
    if (worker->taken) {
        return false;
    }
    if (worker->released) {
        take_gil(worker);
        return false;
    }
    if (PyGILState_Check()) {
        return false;
    }
    *state = PyGILState_Ensure();
    worker->counts[MBPY_GIL_TAKEN]++;
    return true;
}

/* Of an mb_filter or an mb_network_filter: what the dispatcher reads of either is the same. */
#define worker_of(filter) (((const mbpy_place *)(filter)->config)->worker)
_Static_assert(offsetof(mb_filter, config) == offsetof(mb_network_filter, config) &&
                   offsetof(mb_filter, state) == offsetof(mb_network_filter, state) &&
                   offsetof(mb_filter, name) == offsetof(mb_network_filter, name),
               "a Gate holds either");

/* One hook: `call` with the GIL held, its value in `type value`. */
#define MBPY_HOOK(filter, type, call)                                                              \
    PyGILState_STATE state;                                                                        \
    bool ensured = enter(worker_of(filter), &state);                                               \
    type value = (type)(call);                                                                     \
    if (ensured) {                                                                                 \
        PyGILState_Release(state);                                                                 \
    }                                                                                              \
    return value

#define MBPY_HOOK_VOID(filter, call)                                                               \
    PyGILState_STATE state;                                                                        \
    bool ensured = enter(worker_of(filter), &state);                                               \
    call;                                                                                          \
    if (ensured) {                                                                                 \
        PyGILState_Release(state);                                                                 \
    }

/* Configuration may be loaded on any thread that called the core, with the GIL or without. */
static int config_new(void *module, mb_filter_args *args, void **config, uint32_t *wants,
                      int of_network) {
    PyGILState_STATE state = PyGILState_Ensure();
    int result = mbpy_config_new(module, args, config, wants, of_network);
    PyGILState_Release(state);
    return result;
}

static int on_config_new(void *module, mb_filter_args *args, void **config, uint32_t *wants) {
    return config_new(module, args, config, wants, 0);
}

static int on_network_config_new(void *module, mb_filter_args *args, void **config,
                                 uint32_t *wants) {
    return config_new(module, args, config, wants, 1);
}

static void on_config_free(void *module, void *config) {
    mbpy_worker *worker = module;
    if (worker->taken) {
        mbpy_config_free(config);
        return;
    }
    if (worker->released && PyThread_get_thread_ident() == worker->thread) {
        take_gil(worker);
        mbpy_config_free(config);
        return;
    }
    PyGILState_STATE state = PyGILState_Ensure();
    mbpy_config_free(config);
    PyGILState_Release(state);
}

static mb_headers_status on_request_headers(mb_filter *filter, bool end_stream) {
    MBPY_HOOK(filter, mb_headers_status, mbpy_headers(filter, MB_REQUEST, end_stream));
}

static mb_body_status on_request_body(mb_filter *filter, mb_buffer *data, bool end_stream) {
    MBPY_HOOK(filter, mb_body_status, mbpy_body(filter, MB_REQUEST, data, end_stream));
}

static mb_trailers_status on_request_trailers(mb_filter *filter) {
    MBPY_HOOK(filter, mb_trailers_status, mbpy_trailers(filter, MB_REQUEST));
}

static mb_headers_status on_response_headers(mb_filter *filter, bool end_stream) {
    MBPY_HOOK(filter, mb_headers_status, mbpy_headers(filter, MB_RESPONSE, end_stream));
}

static mb_body_status on_response_body(mb_filter *filter, mb_buffer *data, bool end_stream) {
    MBPY_HOOK(filter, mb_body_status, mbpy_body(filter, MB_RESPONSE, data, end_stream));
}

static mb_trailers_status on_response_trailers(mb_filter *filter) {
    MBPY_HOOK(filter, mb_trailers_status, mbpy_trailers(filter, MB_RESPONSE));
}

static void on_stream_complete(mb_filter *filter) {
    MBPY_HOOK_VOID(filter, mbpy_complete(filter));
}

static void on_scheduled(mb_filter *filter, uint64_t event) {
    MBPY_HOOK_VOID(filter, mbpy_scheduled(filter, event));
}

static void on_destroy(mb_filter *filter) {
    MBPY_HOOK_VOID(filter, mbpy_destroy(filter));
}

static int on_group_headers(mb_filter *const *filters, uint32_t count, mb_direction direction,
                            bool end_stream, uint32_t *ran) {
    MBPY_HOOK(filters[0], int,
              mbpy_group_headers((mb_filter **)filters, count, direction, end_stream, ran));
}

static int on_group_body(mb_filter *const *filters, uint32_t count, mb_direction direction,
                         mb_buffer *data, bool end_stream, uint32_t *ran) {
    MBPY_HOOK(filters[0], int,
              mbpy_group_body((mb_filter **)filters, count, direction, data, end_stream, ran));
}

static void on_group_complete(mb_filter *const *filters, uint32_t count) {
    MBPY_HOOK_VOID(filters[0], mbpy_group_complete((mb_filter **)filters, count));
}

static void on_group_destroy(mb_filter *const *filters, uint32_t count) {
    MBPY_HOOK_VOID(filters[0], mbpy_group_destroy((mb_filter **)filters, count));
}

static mb_network_status on_new_connection(mb_network_filter *filter) {
    MBPY_HOOK(filter, mb_network_status, mbpy_network_open(filter));
}

static mb_network_status on_read(mb_network_filter *filter, mb_buffer *data, bool end_stream) {
    MBPY_HOOK(filter, mb_network_status,
              mbpy_network_data(filter, MB_NETWORK_READ, data, end_stream));
}

static mb_network_status on_write(mb_network_filter *filter, mb_buffer *data, bool end_stream) {
    MBPY_HOOK(filter, mb_network_status,
              mbpy_network_data(filter, MB_NETWORK_WRITE, data, end_stream));
}

static void on_event(mb_network_filter *filter, mb_network_event event) {
    MBPY_HOOK_VOID(filter, mbpy_network_event(filter, (int)event));
}

static void on_network_scheduled(mb_network_filter *filter, uint64_t event) {
    MBPY_HOOK_VOID(filter, mbpy_network_scheduled(filter, event));
}

static void on_network_destroy(mb_network_filter *filter) {
    MBPY_HOOK_VOID(filter, mbpy_network_destroy(filter));
}

static void on_batch_end(void *context) {
    mbpy_worker *worker = context;
    mbpy_worker_flush(worker);
    if (worker->taken) {
        worker->taken = false;
        worker->released = true;
        worker->tstate = PyEval_SaveThread();
    }
    if (worker->wake) {
        worker->wake = false;
        worker->core.yield(worker->server);
    }
}

static const mb_filter_hooks hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(mb_filter_hooks),
    .state_bytes = sizeof(PyObject *), /* the filter's Stream, one reference */
    .config_new = on_config_new,
    .config_free = on_config_free,
    .request_headers = on_request_headers,
    .request_body = on_request_body,
    .request_trailers = on_request_trailers,
    .response_headers = on_response_headers,
    .response_body = on_response_body,
    .response_trailers = on_response_trailers,
    .stream_complete = on_stream_complete,
    .scheduled = on_scheduled,
    .destroy = on_destroy,
};

static const mb_network_filter_hooks network_hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(mb_network_filter_hooks),
    .state_bytes = sizeof(PyObject *), /* the filter's Connection, one reference */
    .config_new = on_network_config_new,
    .config_free = on_config_free,
    .new_connection = on_new_connection,
    .read = on_read,
    .write = on_write,
    .event = on_event,
    .scheduled = on_network_scheduled,
    .destroy = on_network_destroy,
};

static const mb_network_filter_kind network_kinds[] = {{.name = "*", .hooks = &network_hooks}};
static const mb_filter_kind kinds[] = {{.name = "*", .hooks = &hooks}};
static const mb_group_hooks group = {.headers = on_group_headers,
                                     .body = on_group_body,
                                     .complete = on_group_complete,
                                     .destroy = on_group_destroy};

void mbpy_module_fill(mbpy_worker *worker, mb_module *out) {
    *out = (mb_module){
        .abi_version = MB_ABI_VERSION,
        .struct_size = sizeof(mb_module),
        .name = "moebridge",
        .context = worker,
        .filters = kinds,
        .filter_count = 1,
        .group = &group,
        .on_batch_end = on_batch_end,
        .network_filters = network_kinds,
        .network_filter_count = 1,
    };
}

void mbpy_worker_init(mbpy_worker *worker) {
    worker->thread = PyThread_get_thread_ident();
    worker->first_ticks = ticks();
    worker->first_us = monotonic_us();
}

void mbpy_worker_flush(mbpy_worker *worker) {
    for (int i = 0; i < MBPY_METRIC_COUNT; i++) {
        if (worker->counts[i] && worker->metrics[i]) {
            worker->host->metric_add(worker->metrics[i], (int64_t)worker->counts[i]);
            worker->counts[i] = 0;
        }
    }
}

static void release_gil(mbpy_worker *worker) {
    worker->released = true;
    worker->tstate = PyEval_SaveThread();
}

/* After a call into the core: the GIL is held again, whether a hook took it or not. */
static void regain_gil(mbpy_worker *worker) {
    if (worker->released) {
        PyThreadState *tstate = worker->tstate;
        worker->tstate = NULL;
        worker->released = false;
        PyEval_RestoreThread(tstate);
    }
    worker->taken = false;
}

int mbpy_worker_run(mbpy_worker *worker, int64_t timeout_us) {
    mbpy_worker_flush(worker);
    worker->wake = false;
    release_gil(worker);
    int bits = worker->core.run(worker->server, timeout_us);
    regain_gil(worker);
    return bits;
}

void mbpy_worker_close(mbpy_worker *worker) {
    mb_server *server = worker->server;
    release_gil(worker);
    worker->core.free(server);
    regain_gil(worker);
    worker->server = NULL;
    worker->worker = NULL;
    for (int i = 0; i < MBPY_METRIC_COUNT; i++) {
        worker->metrics[i] = NULL;
    }
}

int mbpy_worker_apply(mbpy_worker *worker, const char *document, size_t length, char **faults) {
    release_gil(worker);
    int result = worker->core.apply(worker->server, document, length, faults);
    regain_gil(worker);
    return result;
}

int mbpy_add_member(PyObject *type, PyMemberDef *member) {
    PyTypeObject *to = (PyTypeObject *)type;
    PyObject *made = PyDescr_NewMember(to, member);
    int result = made != NULL ? PyDict_SetItemString(to->tp_dict, member->name, made) : -1;
    Py_XDECREF(made);
    PyType_Modified(to);
    return result;
}
