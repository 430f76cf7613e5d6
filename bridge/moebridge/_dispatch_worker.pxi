# Worker: the bridge's side of one server. Place: one filter object in a chain. Metric: a counter,
# gauge or histogram of a filter. Shared by both dispatchers.

COUNTERS = ("bridge.crossings", "bridge.gil_taken", "bridge.gil_wait_us",
            "bridge.views_exported", "bridge.str_made")


@cython.no_gc_clear
cdef class Worker:
    """The bridge's state of one server; it outlives the server.

    Args:
        core: addresses of the core's functions and of the host table, by name
            (`_core_api.addresses()`).
    """

    def __cinit__(self, dict core):
        cdef const mb_host *host = <const mb_host *><size_t>core["host"]
        if host.abi_version >> 16 != MB_ABI_VERSION >> 16 or host.abi_version < MB_ABI_VERSION:
            raise ImportError(f"moebridge: the core speaks filter ABI {host.abi_version:#x}, the "
                              f"bridge was built for {MB_ABI_VERSION:#x}: build both anew")
        if host.struct_size < sizeof(mb_host):
            raise ImportError("moebridge: the core's host table is shorter than the bridge's: "
                              "build both anew")
        self.c.host = host
        self.c.core.run = <int (*)(mb_server *, int64_t) noexcept nogil><size_t>core["run"]
        self.c.core.free = <void (*)(mb_server *) noexcept nogil><size_t>core["free"]
        self.c.core.yield_ = <void (*)(mb_server *) noexcept nogil><size_t>core["yield"]
        self.c.core.apply = <int (*)(mb_server *, const char *, size_t, char **) noexcept nogil>(
            <size_t>core["apply"])
        self.c.core.ready = <size_t (*)(mb_server *, mb_ready *, size_t) noexcept nogil>(
            <size_t>core["ready"])
        self.c.core.text_free = <void (*)(char *) noexcept nogil><size_t>core["text_free"]
        self.c.core.headers_new = <mb_headers *(*)() noexcept nogil><size_t>core["headers_new"]
        self.c.core.headers_free = <void (*)(mb_headers *) noexcept nogil>(
            <size_t>core["headers_free"])
        self.c.object = <PyObject *>self
        mbpy_worker_init(&self.c)
        self.contexts = {}
        self.outstanding = set()
        self.places = []

    def __dealloc__(self):
        drop_pool(self)

    def trim(self):
        """Frees the streams that wait to be used again, for those who count objects."""
        drop_pool(self)

    def open(self, size_t server, size_t worker):
        """Takes the core's objects (mb_server, mb_worker) and defines the bridge's counters."""
        cdef int index = 0
        self.c.server = <mb_server *>server
        self.c.worker = <mb_worker *>worker
        for name in COUNTERS:
            self.c.metrics[index] = define_metric(self, MB_COUNTER, name, [])
            index += 1

    def module(self):
        """Returns the address of the module that enters Python through Cython."""
        mbpy_module_fill(&self.c, &self.module_c)
        return <size_t>&self.module_c

    def adopt(self):
        """The calling thread becomes the owner."""
        self.c.thread = PyThread_get_thread_ident()

    @property
    def thread(self):
        return self.c.thread

    @property
    def closed(self):
        return self.c.server is NULL

    cdef int check_open(self) except -1:
        if self.c.server is NULL:
            raise RuntimeError("the server is closed")
        if self.c.thread != PyThread_get_thread_ident():
            raise WrongThread("a server is run, applied to and closed on its own thread")
        return 0

    def run(self, int64_t timeout_us):
        """Runs the core without the GIL; returns the MB_RUN_* bits, or an error < 0."""
        self.check_open()
        return mbpy_worker_run(&self.c, timeout_us)

    def apply(self, bytes document):
        """Applies a configuration. Returns (result, text of the faults)."""
        cdef char *faults = NULL
        cdef int rc
        self.check_open()
        rc = mbpy_worker_apply(&self.c, PyBytes_AS_STRING(document),
                               <size_t>PyBytes_GET_SIZE(document), &faults)
        if faults is NULL:
            return rc, ""
        result = (<bytes>faults).decode("utf-8", "replace")
        self.c.core.text_free(faults)
        return rc, result

    def close(self):
        """Frees the server; hooks of open streams run inside."""
        if self.c.server is not NULL:
            self.check_open()
            mbpy_worker_close(&self.c)

    def ready(self):
        """Takes the watched descriptors that became ready: [(fd, events)]."""
        cdef mb_ready found[64]
        cdef size_t count = 64
        cdef list result = []
        self.check_open()
        while count == 64:
            count = self.c.core.ready(self.c.server, found, 64)
            for index in range(count):
                result.append((found[index].fd, <int>found[index].events))
        return result

    def wake(self):
        """asyncio got work: if a batch of hooks runs now, the core shall return after it."""
        self.c.wake = True

    cdef tuple eager_task(self, object coroutine, object context, str name):
        """Makes a task whose first step the caller runs: an eager one, as of Python 3.12.

        Returns the task, and its first step, to be run in `context`.
        """
        if self.task_type is None:
            from asyncio import Task
            self.task_type = Task
        self.step_context = context
        try:
            task = self.task_type(coroutine, loop=self.loop, name=name, context=context)
        finally:
            self.step_context = None
        step, self.first_step = self.first_step, None   # it holds the task
        return task, step

    def yield_now(self):
        """Thread: any."""
        if self.c.server is not NULL:
            self.c.core.yield_(self.c.server)

    def end_batch(self):
        """on_batch_end of the cffi dispatcher."""
        mbpy_worker_flush(&self.c)
        if self.c.wake:
            self.c.wake = False
            self.c.core.yield_(self.c.server)

    def crossed(self):
        """The cffi dispatcher entered Python."""
        self.c.counts[MBPY_CROSSINGS] += 1
        self.c.counts[MBPY_GIL_TAKEN] += 1

    def counted_str(self):
        self.c.counts[MBPY_STR_MADE] += 1

    def place(self, int index):
        """Returns the Place of a registered filter, or None."""
        return self.places[index] if 0 <= index < len(self.places) else None

    def register(self, filter_, str name, *, bint fail_open=False, double timeout_s=0.0):
        """Gives a filter object a place; its index is what the core gets as configuration."""
        cdef Place place
        cdef int index
        for index in range(len(self.places)):
            if self.places[index] is None:
                break
        else:
            index = len(self.places)
            self.places.append(None)
        place = Place.__new__(Place, self, filter_, name, index, fail_open, timeout_s)
        self.places[index] = place
        return place

    def forget(self, Place place):
        """Frees the place of a filter that no configuration uses."""
        if place.users == 0 and self.places[place.index] is place:
            self.places[place.index] = None


cdef int drop_pool(Worker worker) except -1:
    while worker.pooled > 0:
        worker.pooled -= 1
        Py_DECREF(<object>worker.pool[worker.pooled])
    return 0


@cython.final
cdef class Place:
    def __cinit__(self, Worker worker, filter, str name, int index, bint fail_open,
                  double timeout_s):
        cdef int hook = 0
        self.c.worker = &worker.c
        self.c.object = <PyObject *>self
        self.worker = worker
        self.filter = filter
        self.name = name
        self.index = index
        self.fail_open = fail_open
        self.timeout_s = timeout_s
        self.hooks, self.whole, self.wants = runtime.hooks_of(filter)
        self.network = self.wants >> 16 != 0
        for called in self.hooks:
            if called is not None:
                self.target[hook] = <PyObject *>called
                if PyMethod_Check(called) and PyMethod_GET_SELF(called) == <PyObject *>filter:
                    self.target[hook] = PyMethod_GET_FUNCTION(called)
                    self.bare[hook] = True
            hook += 1
        self.plain[0] = self.whole[0] is None
        self.plain[1] = self.whole[1] is None
        self.errors = metric_of(worker, MB_COUNTER, f"py.{name}.errors", [])

    def config_address(self):
        """What config_new answers; with `hold`, for the cffi dispatcher."""
        return <size_t>&self.c

    def hold(self):
        self.users += 1
        Py_INCREF(self)

    def release(self):
        self.users -= 1
        if self.users == 0:
            runtime.place_unused(self)
        Py_DECREF(self)

    def metric(self, int kind, str name, list labels):
        return metric_of(self.worker, kind, name, labels)


cdef mb_metric *define_metric(Worker worker, int kind, str name, list labels) except NULL:
    cdef bytes text_ = name.encode()
    cdef size_t count = <size_t>len(labels)
    cdef mb_metric *result = NULL
    cdef int rc
    cdef mb_header *c = <mb_header *>malloc((count + 1) * sizeof(mb_header))
    if c is NULL:
        raise MemoryError()
    for index in range(count):
        key, value = labels[index]
        c[index].name = bytes_slice(key)
        c[index].value = bytes_slice(value)
    rc = worker.c.host.metric(worker.c.worker, <mb_metric_kind>kind, bytes_slice(text_), c, count,
                              &result)
    free(c)
    if rc == MB_EPHASE:
        raise FilterError(f"metric {name!r}: metrics are defined in on_load, not in a hook")
    if rc < 0 or result is NULL:
        raise FilterError(f"metric {name!r}: the core refused it ({rc}): another kind of metric "
                          "has that name, or there are too many")
    return result


cdef Metric metric_of(Worker worker, int kind, str name, list labels):
    worker.check_open()
    cdef Metric result = Metric.__new__(Metric)
    result.worker = worker
    result.kind = kind
    result.name = name
    result.c = define_metric(worker, kind, name, labels)
    return result


@cython.final
@cython.no_gc_clear
cdef class Metric:
    cdef mb_metric *use(self) except NULL:
        if self.worker.c.thread != PyThread_get_thread_ident():
            raise WrongThread(f"metric {self.name!r} belongs to its worker's thread")
        if self.worker.c.server is NULL:
            raise StreamGone(f"metric {self.name!r}: its server is closed")
        return self.c

    def add(self, int64_t amount):
        self.worker.c.host.metric_add(self.use(), amount)

    def set(self, uint64_t value):
        self.worker.c.host.metric_set(self.use(), value)

    def record(self, uint64_t value):
        self.worker.c.host.metric_record(self.use(), value)

    def value(self):
        return self.worker.c.host.metric_value(self.use())


def module_address(Worker worker):
    """Returns the address of the mb_module that enters Python through Cython."""
    return worker.module()
