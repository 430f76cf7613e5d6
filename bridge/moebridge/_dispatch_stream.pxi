# What is asked of the host for a stream. Stream, Request and Response add the header views; they
# are made once and used again from stream to stream (Worker.pool).


@cython.no_gc_clear
cdef class StreamGate(Gate):
    """What both dispatchers have of a stream, without its headers."""

    def _headers_address(self, int direction, bint trailers):
        """Of the core's map, for the cffi dispatcher; 0: there is none now."""
        if self.c is NULL:
            return <size_t>self.frozen.maps[direction * 2 + trailers]
        if trailers:
            return <size_t>self.w.host.trailers(self.c.stream, <mb_direction>direction)
        return <size_t>self.w.host.headers(self.c.stream, <mb_direction>direction)

    def _gather(self, int direction, bint taken):
        """Moves the new piece behind what is held, or drops it when it was `taken`."""
        cdef mb_buffer *piece = (<Buffer>(self.piece1 if direction else self.piece0)).resolve()
        if taken:
            self.w.host.buffer_drain(piece, self.w.host.buffer_length(piece))
            return
        cdef mb_buffer *held = (<Buffer>self._held(direction)).resolve()
        cdef int rc = self.w.host.buffer_move(held, piece)
        if rc < 0:
            refused(rc, "joining the body")

    def _ended(self, int direction):
        self.usable()
        if self.c is NULL or self.over[direction]:
            return True
        if self.place.wants & (<uint32_t>3 << (direction * 3)) == (<uint32_t>3 << (direction * 3)):
            return False   # its own hooks tell it
        return self.w.host.ended(self.c.stream, <mb_direction>direction)

    def _where(self, int hook):
        """Returns name and direction of a hook, and what it answers when it fails."""
        return runtime.where(hook)

    def _break(self):
        """Ends the stream because a hook failed."""
        if self._reply(500, [], b"", b"python_filter_exception") < 0:
            self.reset("python_filter_exception")

    def _reply(self, uint32_t status, list pairs, bytes body, bytes details):
        """Responds with checked values; returns the host's result."""
        cdef mb_local_reply reply
        cdef size_t count = <size_t>len(pairs)
        cdef mb_header *headers = <mb_header *>malloc((count + 1) * sizeof(mb_header))
        cdef int rc
        if headers is NULL:
            raise MemoryError()
        for index in range(count):
            name, value = pairs[index]
            headers[index].name = bytes_slice(name)
            headers[index].value = bytes_slice(value)
        reply.status = status
        reply.headers = headers
        reply.header_count = count
        reply.body = bytes_slice(body)
        reply.details = bytes_slice(details)
        try:
            rc = self.w.host.respond(self.change(), &reply)
        finally:
            free(headers)
        if rc >= 0:
            self.acted = True
        return rc

    def _resume(self, int direction):
        return self.w.host.resume(self.change(), <mb_direction>direction)

    def _finish(self, int direction, int status):
        cdef int rc = self.w.host.finish(self.change(), <mb_direction>direction, status)
        self.drop_piece(direction)
        return rc

    def _info_number(self, int which):
        cdef uint64_t result
        self.usable()
        if self.c is NULL:
            return self.frozen.info.get(which)
        if self.w.host.info_number(self.c.stream, <mb_info>which, &result) < 0:
            return None
        return result

    def _info_text(self, int which):
        cdef mb_slice result
        self.usable()
        if self.c is NULL:
            return self.frozen.info.get(which)
        if self.w.host.info_text(self.c.stream, <mb_info>which, &result) < 0:
            return None
        return text(self.w, result)

    def _metadata_get(self, bytes space, bytes key):
        cdef mb_slice result
        self.usable()
        if self.c is NULL:
            return None
        if self.w.host.metadata_get(self.c.stream, bytes_slice(space), bytes_slice(key),
                                    &result) < 0:
            return None
        return result.ptr[:result.len]

    def _metadata_set(self, bytes space, bytes key, bytes value):
        cdef int rc = self.w.host.metadata_set(self.change().stream, bytes_slice(space),
                                               bytes_slice(key), bytes_slice(value))
        if rc < 0:
            refused(rc, "metadata")

    def _freeze(self, dict info, metadata):
        """Keeps a copy of all that may still be read; the rest goes with the stream."""
        cdef Frozen copy = Frozen.__new__(Frozen)
        cdef mb_filter *c = self.live()
        copy.worker = self.place.worker
        copy.info = info
        copy.metadata = metadata
        for direction in range(2):
            copy.maps[direction * 2] = copy_of(
                copy.worker, self.w.host.headers(c.stream, <mb_direction>direction))
            copy.maps[direction * 2 + 1] = copy_of(
                copy.worker, self.w.host.trailers(c.stream, <mb_direction>direction))
        self.frozen = copy

    def _post(self, uint64_t event):
        """Thread: any."""
        cdef uint64_t id
        if self.c is NULL or self.w.worker is NULL:
            return False
        if self.w.host.info_number(self.c.stream, <mb_info>0, &id) < 0:
            return False
        if self.w.host.post(self.w.worker, id, self.c.name, event) < 0:
            raise MemoryError("post(): the core is out of memory")
        return True

    @property
    def info(self):
        self.usable()
        return Info(self)

    @property
    def route(self):
        return self._info_text(INFO_ROUTE_NAME)

    def clear_route_cache(self):
        cdef int rc = self.w.host.clear_route_cache(self.change().stream)
        self.parted = True
        if rc < 0:
            refused(rc, "clear_route_cache()")

    def resume(self):
        self.change()
        runtime.resume(self)

    def reset(self, details="filter_reset"):
        cdef bytes given = reply.check_details(details)
        cdef int rc = self.w.host.reset(self.change().stream, bytes_slice(given))
        if rc < 0:
            refused(rc, "reset()")
        self.acted = True
        self._replied()

    def respond(self, status, *, headers=None, body=b"", details=""):
        self.change()
        return runtime.respond(self, status, headers, body, details)


cdef inline mb_slice bytes_slice(bytes value):
    cdef mb_slice result
    result.ptr = PyBytes_AS_STRING(value)
    result.len = <size_t>PyBytes_GET_SIZE(value)
    return result


@cython.no_gc_clear
cdef class Message:
    cdef StreamGate owner(self):
        if self.gate is NULL:
            raise StreamGone(STREAM_GONE)
        return <StreamGate>self.gate

    cdef str pseudo(self, mb_slice name):
        cdef mb_headers *map_ = NULL
        cdef mb_slice value
        self.fields.resolve(&map_)
        cdef Gate gate = self.owner()
        if map_ is NULL or gate.w.host.headers_get(map_, name, 0, &value) <= 0:
            return ""
        return text(gate.w, value)

    cdef int set_pseudo(self, mb_slice name, object given, str what) except -1:
        cdef mb_slice value
        cdef mb_headers *map_
        cdef int rc
        value_open(given, &value, what)
        map_ = self.fields.change()
        rc = self.owner().w.host.headers_set(map_, name, value)
        if rc == MB_EINVAL:
            raise ValueError(f"{what}: {given!r:.80} is no value for it")
        if rc < 0:
            refused(rc, what)
        return 0

    # headers, trailers: attributes, at the end of this file

    @property
    def body(self):
        return self.owner()._held(self.direction)

    @property
    def ended(self):
        return self.owner()._ended(self.direction)


cdef mb_slice literal(const char *name, size_t length) noexcept:
    cdef mb_slice result
    result.ptr = name
    result.len = length
    return result


@cython.final
@cython.no_gc_clear
cdef class Request(Message):
    @property
    def method(self):
        return self.pseudo(literal(":method", 7))

    @method.setter
    def method(self, value):
        self.set_pseudo(literal(":method", 7), value, "method")

    @property
    def path(self):
        return self.pseudo(literal(":path", 5))

    @path.setter
    def path(self, value):
        self.set_pseudo(literal(":path", 5), value, "path")

    @property
    def authority(self):
        return self.pseudo(AUTHORITY)

    @authority.setter
    def authority(self, value):
        self.set_pseudo(AUTHORITY, value, "authority")

    @property
    def scheme(self):
        return self.pseudo(literal(":scheme", 7))

    @scheme.setter
    def scheme(self, value):
        self.set_pseudo(literal(":scheme", 7), value, "scheme")


@cython.final
@cython.no_gc_clear
cdef class Response(Message):
    @property
    def status(self):
        value = self.pseudo(literal(":status", 7))
        return int(value) if value else 0

    @status.setter
    def status(self, value):
        reply.check_status(value, "status")
        self.set_pseudo(literal(":status", 7), str(int(value)), "status")


cdef Headers headers_view(Gate gate, int direction, bint trailers):
    cdef Headers view = Headers.__new__(Headers)
    view.gate = <PyObject *>gate
    view.direction = direction
    view.trailers = trailers
    return view


cdef void fill_message(Message message, Gate gate, int direction):
    message.gate = <PyObject *>gate
    message.direction = direction
    message.fields = headers_view(gate, direction, False)
    message.end_fields = headers_view(gate, direction, True)


cdef void orphan_message(Message message) noexcept:
    message.gate = NULL
    message.fields.gate = NULL
    message.end_fields.gate = NULL


cdef inline bint kept(PyObject *message) noexcept:
    """Somebody holds the message or one of its views beside its stream.

    Pointers, since Cython holds a reference of its own to an attribute that it passes on.
    """
    return (message.ob_refcnt > 1 or
            (<PyObject *>(<Message>message).fields).ob_refcnt > 1 or
            (<PyObject *>(<Message>message).end_fields).ob_refcnt > 1)


@cython.final
@cython.no_gc_clear
cdef class Stream(StreamGate):
    def __cinit__(self):
        self.req = Request.__new__(Request)
        fill_message(self.req, self, 0)
        self.resp = Response.__new__(Response)
        fill_message(self.resp, self, 1)

    def __dealloc__(self):
        orphan_message(self.req)
        orphan_message(self.resp)

    # request, response: attributes, at the end of this file

    def __repr__(self):
        if self.c is NULL:
            return "<Stream, gone>"
        return f"<Stream of filter {self.place.name!r}>"


cdef void retire(Stream s):
    """The stream is gone: the object is used again, or left to whoever holds it."""
    cdef Worker worker = s.place.worker
    cdef PyObject *o = <PyObject *>s
    s.detach()
    # Held by: the variable of the caller, whose reference was the state slot's.
    if s.frozen is not None or Py_REFCNT(<object>o) > 1 or worker.pooled == POOL_MAX:
        return
    if kept(<PyObject *>s.req):
        orphan_message(s.req)
        s.req = Request.__new__(Request)
        fill_message(s.req, s, 0)
    if kept(<PyObject *>s.resp):
        orphan_message(s.resp)
        s.resp = Response.__new__(Response)
        fill_message(s.resp, s, 1)
    s.place = None
    Py_INCREF(s)
    worker.pool[worker.pooled] = o
    worker.pooled += 1


# Attributes that are read at each access to a header, as members of the C structure: the
# interpreter reads those in place (LOAD_ATTR_SLOT), where a property costs it a call.

cdef PyMemberDef members[4]


cdef int add_member(int index, object owner, object type_, const char *name,
                    object value) except -1:
    """Finds the member in an object by its value: Cython gives no address of one."""
    cdef size_t at = 0
    while (<PyObject **><PyObject *>owner)[at] is not <PyObject *>value:
        at += 1
    members[index].name = name
    members[index].type = T_OBJECT_EX
    members[index].offset = <Py_ssize_t>(at * sizeof(PyObject *))
    members[index].flags = READONLY
    mbpy_add_member(type_, &members[index])
    return 0


cdef int add_members() except -1:
    cdef Stream s = Stream.__new__(Stream)
    add_member(0, s, Stream, "request", s.req)
    add_member(1, s, Stream, "response", s.resp)
    add_member(2, s.req, Message, "headers", s.req.fields)
    add_member(3, s.req, Message, "trailers", s.req.end_fields)
    return 0


add_members()
