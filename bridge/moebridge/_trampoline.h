/*
 * What the C side of the Cython dispatcher and its Python side (_dispatch.pyx) share: the state of
 * one worker and of one place in a chain, and the functions each gives to the other.
 *
 * Invariant of the GIL on a worker's thread: exactly one of
 *   released  mb_server_run runs without the GIL; `tstate` is the saved thread state
 *   taken     a hook of this batch took it back; `on_batch_end` drops it again
 *   neither   Python runs (asyncio, or a call into the core made with the GIL held)
 */
#ifndef MBPY_TRAMPOLINE_H
#define MBPY_TRAMPOLINE_H

#include <Python.h>
#include <moebridge/core.h>
#include <moebridge/network_filter.h>
#include <structmember.h>

enum {
    MBPY_CROSSINGS,
    MBPY_GIL_TAKEN,
    MBPY_GIL_WAIT_US,
    MBPY_VIEWS_EXPORTED,
    MBPY_STR_MADE,
    MBPY_METRIC_COUNT
};

/* The functions of core.h that run hooks or end a batch, taken from the cffi module. */
typedef struct mbpy_core {
    int (*run)(mb_server *server, int64_t timeout_us);
    void (*free)(mb_server *server);
    void (*yield)(mb_server *server); /* any thread */
    int (*apply)(mb_server *server, const char *document, size_t length, char **faults);
    size_t (*ready)(mb_server *server, mb_ready *out, size_t max);
    void (*text_free)(char *text);
    mb_headers *(*headers_new)(void);
    void (*headers_free)(mb_headers *headers);
} mbpy_core;

/* One worker. Belongs to the Python object `Worker`, which outlives the server. */
typedef struct mbpy_worker {
    PyThreadState *tstate; /* while `released`, else NULL */
    bool released, taken;
    bool wake;            /* asyncio got work during this batch: run must return */
    unsigned long thread; /* identifier of the thread that owns the server */
    const mb_host *host;
    PyObject *object;  /* the Worker that this is part of */
    mb_server *server; /* NULL before open and after close */
    mb_worker *worker;
    mbpy_core core;
    uint64_t counts[MBPY_METRIC_COUNT]; /* since the last flush */
    mb_metric *metrics[MBPY_METRIC_COUNT];
    uint64_t first_ticks, first_us; /* calibrates the cheap clock */
} mbpy_worker;

/* One place in a chain: what `config_new` answers, inside the Python object `Place`. */
typedef struct mbpy_place {
    mbpy_worker *worker;
    PyObject *object; /* the Place that this is part of; the configuration holds a reference */
} mbpy_place;

/* Given by _trampoline.c. */
/* Gives a static type an attribute that is a member of its structure. -1 with an exception. */
int mbpy_add_member(PyObject *type, PyMemberDef *member);
void mbpy_module_fill(mbpy_worker *worker, mb_module *out);
void mbpy_worker_init(mbpy_worker *worker);
/* Adds the counts to the metrics of the host. Needs no GIL. */
void mbpy_worker_flush(mbpy_worker *worker);
/* Calls of core.h that may run hooks; called with the GIL, return with it. */
int mbpy_worker_run(mbpy_worker *worker, int64_t timeout_us);
void mbpy_worker_close(mbpy_worker *worker);
int mbpy_worker_apply(mbpy_worker *worker, const char *document, size_t length, char **faults);

/* Given by _dispatch.pyx; called with the GIL, never fail. `kind` is an mb_hook. */
int mbpy_config_new(mbpy_worker *worker, mb_filter_args *args, void **config, uint32_t *wants,
                    int of_network);
void mbpy_config_free(void *config);
int mbpy_headers(mb_filter *filter, int direction, int end_stream);
int mbpy_body(mb_filter *filter, int direction, mb_buffer *data, int end_stream);
int mbpy_trailers(mb_filter *filter, int direction);
void mbpy_complete(mb_filter *filter);
void mbpy_scheduled(mb_filter *filter, uint64_t event);
void mbpy_destroy(mb_filter *filter);
int mbpy_network_open(mb_network_filter *filter);
int mbpy_network_data(mb_network_filter *filter, int direction, mb_buffer *data, int end);
void mbpy_network_event(mb_network_filter *filter, int event);
void mbpy_network_scheduled(mb_network_filter *filter, uint64_t event);
void mbpy_network_destroy(mb_network_filter *filter);
void mbpy_group_complete(mb_filter **filters, uint32_t count);
void mbpy_group_destroy(mb_filter **filters, uint32_t count);
int mbpy_group_headers(mb_filter **filters, uint32_t count, int direction, int end_stream,
                       uint32_t *ran);
int mbpy_group_body(mb_filter **filters, uint32_t count, int direction, mb_buffer *data,
                    int end_stream, uint32_t *ran);

#endif
