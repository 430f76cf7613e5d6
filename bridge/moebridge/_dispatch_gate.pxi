# Gate is what a filter has of a stream or a connection, in both dispatchers: the checks of thread
# and life, views of bytes, state, posts. StreamGate (_dispatch_stream.pxi) and Connection
# (_dispatch_connection.pxi) add what is asked of the host.
#
# Views point back to their Gate without a reference, so nothing here is a cycle; a view that
# somebody kept is orphaned (gate = NULL) when its Gate goes or is used for another stream.


@cython.final
@cython.no_gc_clear
cdef class Frozen:
    def __dealloc__(self):
        for index in range(4):
            if self.maps[index] is not NULL:
                self.worker.c.core.headers_free(self.maps[index])


cdef mb_headers *copy_of(Worker worker, mb_headers *source) except? NULL:
    cdef const mb_host *host = worker.c.host
    cdef mb_headers *result
    cdef mb_header field
    cdef int rc = MB_OK
    if source is NULL:
        return NULL
    result = worker.c.core.headers_new()
    if result is NULL:
        raise MemoryError()
    for name in PSEUDO_NAMES:
        field.name.ptr = PyBytes_AS_STRING(name)
        field.name.len = <size_t>len(name)
        if rc >= 0 and host.headers_get(source, field.name, 0, &field.value) > 0:
            rc = host.headers_set(result, field.name, field.value)
    for index in range(host.headers_count(source)):
        if rc >= 0 and host.headers_at(source, index, &field) == MB_OK:
            rc = host.headers_add(result, field.name, field.value)
    if rc < 0:
        worker.c.core.headers_free(result)
        refused(rc, "copying headers")
    return result


cdef void orphan_buffer(Buffer view) noexcept:
    if view is not None:
        view.gate = NULL
        view.ptr = NULL


cdef inline bint settle(Buffer view) noexcept:
    """A view stays for the next stream, unless somebody keeps it: then returns True."""
    if view is None:
        return False
    view.ptr = NULL
    if Py_REFCNT(view) == 1:
        return False
    view.gate = NULL
    return True


@cython.no_gc_clear
cdef class Gate:
    def __dealloc__(self):
        self.orphan()

    cdef void begin(self, mb_filter *c, mbpy_worker *w) noexcept:
        self.c = c
        self.w = w
        self.hook = -1
        self.acted = self.parted = self.skipped = self.done = False
        self.over[0] = self.over[1] = False

    cdef void orphan(self) noexcept:
        orphan_buffer(self.held0)
        orphan_buffer(self.held1)
        orphan_buffer(self.piece0)
        orphan_buffer(self.piece1)
        self.held0 = self.held1 = self.piece0 = self.piece1 = None

    cdef int usable(self) except -1:
        if self.c is NULL and self.frozen is None:
            raise StreamGone(CONNECTION_GONE if self.network else STREAM_GONE)
        if self.w.thread != PyThread_get_thread_ident():
            raise WrongThread("it belongs to its worker's thread; from another one use post(fn)")
        return 0

    cdef mb_filter *live(self) except NULL:
        self.usable()
        if self.c is NULL:
            raise FilterError("not on the frozen copy of an async on_complete or on_close")
        return self.c

    cdef mb_filter *change(self) except NULL:
        cdef mb_filter *result = self.live()
        if self.done:
            raise FilterError("on_close may read the connection, not change it" if self.network
                              else "on_complete may read the stream, not change it")
        return result

    cdef Buffer piece_of(self, int direction, mb_buffer *data):
        cdef Buffer view = self.piece1 if direction else self.piece0
        if view is None:
            view = Buffer.__new__(Buffer)
            view.gate = <PyObject *>self
            view.direction = direction
            if direction:
                self.piece1 = view
            else:
                self.piece0 = view
        view.kind = KIND_PIECE
        view.ptr = data
        return view

    cdef void drop_piece(self, int direction) noexcept:
        """The hook is over: its `data` may not be used any more."""
        cdef PyObject *view = <PyObject *>(self.piece1 if direction else self.piece0)
        if <object>view is None:
            return
        (<Buffer>view).ptr = NULL
        (<Buffer>view).kind = KIND_PIECE
        if Py_REFCNT(<object>view) > 1:
            (<Buffer>view).gate = NULL
            if direction:
                self.piece1 = None
            else:
                self.piece0 = None

    # -- what the runtime (_runtime.py) and the cffi dispatcher use ------------------------------

    def _attach(self, size_t address, Place place):
        """Begins with a filter of a stream (its mb_filter's address)."""
        self.begin(<mb_filter *>address, place.c.worker)
        self.place = place

    def _enter(self, Place place, int hook):
        self.place = place
        self.hook = hook
        self.acted = self.parted = False
        return not self.skipped

    def _leave(self):
        self.hook = -1

    cdef int detach(self) except -1:
        self.c = NULL
        if self.own_state is not None and self.frozen is None:
            self.own_state = None
        if settle(self.held0):
            self.held0 = None
        if settle(self.held1):
            self.held1 = None
        if settle(self.piece0):
            self.piece0 = None
        if settle(self.piece1):
            self.piece1 = None
        if self.context_id is not None or self.posted is not None:
            end_tasks(self)
        return 0

    cdef bint is_over(self) noexcept:
        return self.c is NULL or self.done

    cdef object task(self, int direction):
        return self.task1 if direction else self.task0

    cdef void set_task(self, int direction, object task) noexcept:
        if direction:
            self.task1 = task
        else:
            self.task0 = task

    cdef bint has_acted(self, int direction) noexcept:
        """Whether the hook that answers now has replied or reset: a running one, or one that waits."""
        if self.hook >= 0 or self.task(direction) is None:
            return self.acted
        return self.replied[direction]

    def _detach(self):
        """The stream is gone."""
        self.detach()

    def _end(self, int direction):
        self.over[direction] = True

    def _usable(self):
        self.usable()

    def _complete(self):
        self.done = True

    def _skip(self):
        self.skipped = True

    def _piece(self, int direction, size_t address):
        return self.piece_of(direction, <mb_buffer *>address)

    def _drop_piece(self, int direction, bint pending):
        cdef Buffer view = self.piece1 if direction else self.piece0
        if not pending:
            view = None
            self.drop_piece(direction)
        elif view is not None:
            view.ptr = NULL
            view.kind = KIND_PENDING

    def _held(self, int direction):
        cdef Buffer view = self.held1 if direction else self.held0
        if view is None:
            view = Buffer.__new__(Buffer)
            view.gate = <PyObject *>self
            view.direction = direction
            view.kind = KIND_HELD
            if direction:
                self.held1 = view
            else:
                self.held0 = view
        return view

    def _suspend(self, int hook, int direction, bint end, awaitable, then):
        """Runs a hook that returned an awaitable (_dispatch_tasks.pxi)."""
        return suspend(self, hook, direction, end, awaitable, then)

    def _acted(self, int direction):
        return self.has_acted(direction)

    def _replied(self):
        """Answered or reset: by the hook that runs, else by those that wait."""
        cdef int direction
        if self.hook < 0:
            for direction in range(2):
                self.replied[direction] = self.task(direction) is not None

    def _resume_later(self, int direction):
        """If a hook waits: the direction goes on when it ends. Returns whether one does."""
        if self.task(direction) is None:
            return False
        self.resumed[direction] = True
        return True

    def _keep_posted(self, event, fn):
        """Thread: any."""
        cdef dict made = {}
        if self.posted is None:   # no other thread comes between
            self.posted = made
        self.posted[event] = fn

    def _take_posted(self, event):
        return None if self.posted is None else self.posted.pop(event, None)

    def _gone(self):
        return self.c is NULL

    def _over(self):
        return self.is_over()

    def _metadata_frozen(self):
        return self.frozen.metadata if self.c is NULL and self.frozen is not None else None

    # -- public --------------------------------------------------------------------------------

    @property
    def state(self):
        self.usable()
        if self.own_state is None:
            self.own_state = self.place.filter.State()
        return self.own_state

    @property
    def metadata(self):
        self.usable()
        return Metadata(self)

    def post(self, fn):
        return runtime.post(self, fn)
