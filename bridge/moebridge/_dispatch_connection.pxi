# Connection: what a network filter has of a connection, in both dispatchers. One object for each
# filter and connection, from its first hook to its last.

cdef enum:
    NETWORK_CONNECT = 0   # hooks by the numbers of _network.py
    NETWORK_DATA = 1
    NETWORK_WRITE = 2
    NETWORK_CLOSE = 3


@cython.final
@cython.no_gc_clear
cdef class Connection(Gate):
    def __cinit__(self):
        self.network = True

    cdef mb_network_filter *filter(self) noexcept:
        return <mb_network_filter *>self.c

    cdef mb_connection *connection(self) except NULL:
        return (<mb_network_filter *>self.change()).connection

    cdef int add(self, int direction, object data, str what) except -1:
        cdef mb_buffer *out
        cdef Py_buffer view
        cdef int rc = MB_OK
        self.change()
        open_bytes(data, what, &view)
        if view.len:
            out = self.w.host.network.outgoing(self.filter(), <mb_network_direction>direction)
            rc = MB_ENOMEM if out is NULL else self.w.host.buffer_append(out, slice_of(&view))
        PyBuffer_Release(&view)
        if rc < 0:
            refused(rc, what)
        return 0

    # -- what the runtime and the dispatchers use ------------------------------------------------

    def _where(self, int hook):
        return network.where(hook)

    def _break(self):
        self.close("reset", details="python_filter_exception")

    def _resume(self, int direction):
        self.change()
        return self.w.host.network.resume(self.filter(), <mb_network_direction>direction)

    def _finish(self, int direction, int status):
        self.change()
        cdef int rc = self.w.host.network.finish(self.filter(), <mb_network_direction>direction,
                                                 status)
        self.drop_piece(direction)
        return rc

    def _info_number(self, int which):
        cdef uint64_t result
        self.usable()
        if self.c is NULL:
            return self.frozen.info.get(which)
        if self.w.host.network.info_number(self.filter().connection, <mb_connection_info>which,
                                           &result) < 0:
            return None
        return result

    def _info_text(self, int which):
        cdef mb_slice result
        self.usable()
        if self.c is NULL:
            return self.frozen.info.get(which)
        if self.w.host.network.info_text(self.filter().connection, <mb_connection_info>which,
                                         &result) < 0:
            return None
        return text(self.w, result)

    def _metadata_get(self, bytes space, bytes key):
        cdef mb_slice result
        self.usable()
        if self.c is NULL:
            return None
        if self.w.host.network.metadata_get(self.filter().connection, bytes_slice(space),
                                            bytes_slice(key), &result) < 0:
            return None
        return result.ptr[:result.len]

    def _metadata_set(self, bytes space, bytes key, bytes value):
        cdef int rc = self.w.host.network.metadata_set(self.connection(), bytes_slice(space),
                                                       bytes_slice(key), bytes_slice(value))
        if rc < 0:
            refused(rc, "metadata")

    def _freeze(self, dict info, metadata):
        cdef Frozen copy = Frozen.__new__(Frozen)
        copy.worker = self.place.worker
        copy.info = info
        copy.metadata = metadata
        self.frozen = copy

    def _post(self, uint64_t event):
        """Thread: any."""
        cdef uint64_t id
        if self.c is NULL or self.w.worker is NULL:
            return False
        if self.w.host.network.info_number(self.filter().connection, <mb_connection_info>0,
                                           &id) < 0:
            return False
        if self.w.host.network.post(self.w.worker, id, self.c.name, event) < 0:
            raise MemoryError("post(): the core is out of memory")
        return True

    # -- public ----------------------------------------------------------------------------------

    @property
    def info(self):
        self.usable()
        return ConnectionInfo(self)

    @property
    def ended(self):
        self.usable()
        return self.c is NULL or self.over[0] or self.w.host.network.ended(
            self.filter().connection, MB_NETWORK_READ)

    @property
    def upstream_ended(self):
        self.usable()
        return self.c is NULL or self.over[1] or self.w.host.network.ended(
            self.filter().connection, MB_NETWORK_WRITE)

    @property
    def held(self):
        return self._held(0)

    @property
    def held_write(self):
        return self._held(1)

    def write(self, data):
        self.add(1, data, "write()")

    def feed(self, data):
        self.add(0, data, "feed()")

    def resume(self):
        self.change()
        network.resume(self)

    def close(self, how="flush", *, details=""):
        cdef int kind = network.close_kind(how)
        cdef bytes given = reply.check_details(details)
        cdef int rc = self.w.host.network.close(self.connection(), <mb_network_close>kind,
                                                bytes_slice(given))
        if rc < 0:
            refused(rc, "close()")
        self.acted = True

    def __repr__(self):
        if self.c is NULL:
            return "<Connection, gone>"
        return f"<Connection of filter {self.place.name!r}>"


# -- hooks: the shape of those in _dispatch_hooks.pxi ----------------------------------------------


cdef inline Connection connection_of(mb_network_filter *f, Place place):
    cdef PyObject **slot = <PyObject **>f.state
    cdef Connection s
    if slot[0] is not NULL:
        return <Connection>slot[0]
    s = Connection.__new__(Connection)
    Py_INCREF(s)
    slot[0] = <PyObject *>s
    s.begin(<mb_filter *>f, place.c.worker)
    s.place = place
    return s


cdef inline Place network_place(mb_network_filter *f):
    return <Place>((<mbpy_place *>f.config).object)


cdef int network_refused(mb_network_filter *f, Place place) noexcept:
    """No memory for the object that a filter needs, or for the barrier: without Python."""
    PyErr_Clear()
    place.c.worker.host.network.close(f.connection, MB_NETWORK_CLOSE_RESET,
                                      literal("python_out_of_memory", 20))
    return 1


cdef PyObject *call_network(Place place, int hook, Connection s, Buffer data) noexcept:
    cdef PyObject *args[4]
    cdef size_t count = 1 if data is None else 2
    args[1] = <PyObject *>place.filter
    args[2] = <PyObject *>s
    args[3] = <PyObject *>data
    if place.bare[hook]:
        return PyObject_Vectorcall(place.target[hook], &args[1],
                                   (count + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)
    return PyObject_Vectorcall(place.target[hook], &args[2],
                               count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)


cdef int network_outcome(Connection s, Place place, int hook, PyObject *value) noexcept:
    """Turns what a hook returned (a new reference, or NULL with an exception) into a status."""
    cdef int status = -1
    if value is NULL:
        status = failed(s, hook)
    elif <object>value is None or value is STATUS[0]:
        status = 0
    elif value is STATUS[1]:
        status = 1
    else:
        try:
            status = network.step(s, hook, <object>value)
        except BaseException:
            status = network_refused(s.filter(), place)
    Py_XDECREF(value)
    s.hook = -1
    return status


cdef public int mbpy_network_open(mb_network_filter *f) noexcept:
    cdef Place place = network_place(f)
    cdef Connection s
    try:
        s = connection_of(f, place)
    except BaseException:
        return network_refused(f, place)
    s.acted = False
    if place.target[NETWORK_CONNECT] is NULL:
        return 0
    s.hook = NETWORK_CONNECT
    return network_outcome(s, place, NETWORK_CONNECT,
                           call_network(place, NETWORK_CONNECT, s, None))


cdef public int mbpy_network_data(mb_network_filter *f, int direction, mb_buffer *data,
                                  bint end) noexcept:
    cdef Place place = network_place(f)
    cdef int hook = NETWORK_DATA + direction
    cdef int status
    cdef Connection s
    cdef Buffer piece
    try:
        s = connection_of(f, place)
        piece = s.piece_of(direction, data)
    except BaseException:
        return network_refused(f, place)
    s.acted = False
    if end:
        s.over[direction] = True
    if s.skipped or place.target[hook] is NULL:
        status = 0
    else:
        s.hook = hook
        status = network_outcome(s, place, hook, call_network(place, hook, s, piece))
    if status == MB_PENDING:
        piece.ptr = NULL
        piece.kind = KIND_PENDING
    else:
        piece = None
        s.drop_piece(direction)
    return status


cdef public void mbpy_network_event(mb_network_filter *f, int event) noexcept:
    cdef Place place = network_place(f)
    cdef Connection s
    cdef PyObject *value
    try:
        s = connection_of(f, place)
    except BaseException:
        PyErr_Clear()
        return
    s.done = True
    if s.skipped or place.target[NETWORK_CLOSE] is NULL:
        return
    s.hook = NETWORK_CLOSE
    value = call_network(place, NETWORK_CLOSE, s, None)
    if value is NULL:
        failed(s, NETWORK_CLOSE)
    elif <object>value is not None:
        try:
            network.closed(s, <object>value)
        except BaseException:
            PyErr_Clear()
    Py_XDECREF(value)
    s.hook = -1


cdef public void mbpy_network_scheduled(mb_network_filter *f, uint64_t event) noexcept:
    cdef PyObject *known = (<PyObject **>f.state)[0]
    cdef Connection s
    if known is NULL:
        return
    s = <Connection>known
    s.acted = False
    try:
        runtime.scheduled(s, event)
    except BaseException:
        network_refused(f, s.place)


cdef public void mbpy_network_destroy(mb_network_filter *f) noexcept:
    cdef PyObject **slot = <PyObject **>f.state
    cdef Connection s
    if slot[0] is NULL:
        return
    s = <Connection>slot[0]
    slot[0] = NULL
    Py_DECREF(s)
    try:
        s.detach()
    except BaseException:
        PyErr_Clear()
        s.c = NULL
