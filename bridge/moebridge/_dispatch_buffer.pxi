# Bytes of bodies: Lease keeps some alive, Buffer is the view of a body piece or of what is held.
#
# A view exported from a Buffer belongs to its Lease, not to the Buffer: it stays valid and
# unchanged on any thread, whatever becomes of hook and stream.

cdef enum:
    KIND_PIECE = 0    # the piece of a body hook, while it runs
    KIND_PENDING = 1  # the same piece, while an async hook is suspended
    KIND_HELD = 2     # what the stream holds for this filter


cdef const char *EMPTY = ""
cdef const char *UNSIGNED_BYTES = "B"


@cython.final
@cython.freelist(64)
cdef class Lease:
    def __dealloc__(self):
        if self.c is not NULL:
            self.host.lease_release(self.c)

    def __getbuffer__(self, Py_buffer *view, int flags):
        lend(self, view, flags)


cdef int lend(Lease lease, Py_buffer *view, int flags) except -1:
    if flags & PyBUF_WRITABLE:
        raise BufferError("bytes of a body are read-only: use append, prepend, drain or replace")
    view.buf = <void *>lease.ptr
    view.len = lease.length
    view.readonly = 1
    view.itemsize = 1
    view.format = <char *>UNSIGNED_BYTES if flags & PyBUF_FORMAT else NULL
    view.ndim = 1
    view.shape = &view.len if flags & PyBUF_ND else NULL
    view.strides = &view.itemsize if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
    view.suboffsets = NULL
    view.internal = NULL
    view.obj = lease
    return 0


cdef Lease lease_of(mbpy_worker *w, mb_slice bytes_, mb_lease *c):
    cdef Lease lease = Lease.__new__(Lease)
    lease.host = w.host
    lease.c = c
    lease.ptr = bytes_.ptr if bytes_.len else EMPTY
    lease.length = <Py_ssize_t>bytes_.len
    w.counts[MBPY_VIEWS_EXPORTED] += 1
    return lease


cdef int open_bytes(object value, str what, Py_buffer *view) except -1:
    if isinstance(value, str):
        raise TypeError(f"{what} takes bytes, not str: encode it first")
    if not PyObject_CheckBuffer(value):
        raise TypeError(f"{what} takes bytes, not {type(value).__name__}")
    return PyObject_GetBuffer(value, view, PyBUF_SIMPLE)


cdef inline mb_slice slice_of(const Py_buffer *view) noexcept:
    cdef mb_slice result
    result.ptr = <const char *>view.buf
    result.len = <size_t>view.len
    return result


cdef int refused(int rc, str what) except -1:
    """Raises what a host function's error means; `what` names the call."""
    if rc == MB_ENOMEM:
        raise MemoryError(f"{what}: the core is out of memory")
    if rc == MB_EPHASE:
        raise FilterError(f"{what}: not allowed in this phase of the stream")
    if rc == MB_EGONE:
        raise StreamGone(f"{what}: the stream has ended")
    if rc == MB_ELIMIT:
        raise FilterError(f"{what}: a configured limit would be passed")
    raise FilterError(f"{what}: the core refused it ({rc})")


@cython.final
cdef class Buffer:
    cdef mb_buffer *resolve(self) except NULL:
        if self.gate is NULL:
            raise StreamGone(DATA_GONE)
        cdef Gate gate = <Gate>self.gate
        gate.usable()
        cdef mb_buffer *result
        if gate.c is NULL:
            raise FilterError("the frozen copy of an async on_complete or on_close has no bytes")
        if gate.network and self.kind != KIND_PIECE:
            result = gate.w.host.network.held(<mb_network_filter *>gate.c,
                                              <mb_network_direction>self.direction)
            if result is NULL:
                raise MemoryError("the core is out of memory")
            return result
        if self.kind == KIND_HELD:
            result = gate.w.host.held_body(gate.c, <mb_direction>self.direction)
            gate.parted = True
            if result is NULL:
                raise MemoryError("the core is out of memory")
            return result
        if self.kind == KIND_PENDING:
            result = gate.w.host.pending_body(gate.c, <mb_direction>self.direction)
        else:
            result = self.ptr
        if result is NULL:
            raise StreamGone(DATA_GONE)
        return result

    cdef mb_buffer *change(self) except NULL:
        cdef mb_buffer *result = self.resolve()
        if (<Gate>self.gate).done:
            (<Gate>self.gate).change()   # says why not
        return result

    def __len__(self):
        cdef mb_buffer *b = self.resolve()
        return (<Gate>self.gate).w.host.buffer_length(b)

    def __bool__(self):
        cdef mb_buffer *b = self.resolve()
        return (<Gate>self.gate).w.host.buffer_length(b) != 0

    def __bytes__(self):
        cdef mb_buffer *b = self.resolve()
        return self._copy(b, 0, (<Gate>self.gate).w.host.buffer_length(b))

    cdef bytes _copy(self, mb_buffer *b, size_t offset, size_t length):
        cdef const mb_host *host = (<Gate>self.gate).w.host
        cdef bytes result = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>length)
        if host.buffer_copy_out(b, offset, PyBytes_AS_STRING(result), length) != length:
            raise SystemError("the buffer changed while it was copied")
        return result

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef mb_buffer *b = self.resolve()
        cdef mbpy_worker *w = (<Gate>self.gate).w
        cdef mb_slice part
        cdef mb_lease *c = NULL
        cdef int rc
        part.ptr = EMPTY
        part.len = 0
        if w.host.buffer_length(b):
            rc = w.host.buffer_retain_all(b, &part, &c)
            if rc < 0:
                refused(rc, "memoryview(buffer)")
        lend(lease_of(w, part, c), view, flags)

    def slices(self):
        cdef mb_buffer *b = self.resolve()
        cdef mbpy_worker *w = (<Gate>self.gate).w
        cdef size_t count = w.host.buffer_slices(b, NULL, 0)
        cdef mb_slice part
        cdef mb_lease *c
        cdef int rc
        cdef list result = []
        for index in range(count):
            c = NULL
            rc = w.host.buffer_retain(b, index, &part, &c)
            if rc < 0:
                refused(rc, "slices()")
            result.append(PyMemoryView_FromObject(lease_of(w, part, c)))
        return result

    def find(self, pattern, Py_ssize_t start=0):
        cdef mb_buffer *b = self.resolve()
        cdef const mb_host *host = (<Gate>self.gate).w.host
        cdef Py_ssize_t length = <Py_ssize_t>host.buffer_length(b)
        cdef Py_buffer view
        cdef int64_t found
        if start < 0:
            start = max(0, length + start)
        open_bytes(pattern, "find()", &view)
        if start > length:
            found = -1
        elif view.len == 0:
            found = start
        else:
            found = host.buffer_find(b, slice_of(&view), <size_t>start)
        PyBuffer_Release(&view)
        return found if found >= 0 else -1

    def __contains__(self, pattern):
        return self.find(pattern) >= 0

    def count(self, pattern):
        cdef mb_buffer *b = self.resolve()
        cdef const mb_host *host = (<Gate>self.gate).w.host
        cdef Py_buffer view
        cdef size_t result
        open_bytes(pattern, "count()", &view)
        if view.len == 0:
            result = host.buffer_length(b) + 1
        else:
            result = host.buffer_count(b, slice_of(&view))
        PyBuffer_Release(&view)
        return result

    def startswith(self, prefix):
        cdef mb_buffer *b = self.resolve()
        cdef bytes wanted = bytes_from(prefix, "startswith()")
        cdef size_t length = <size_t>len(wanted)
        if length > (<Gate>self.gate).w.host.buffer_length(b):
            return False
        return self._copy(b, 0, length) == wanted

    def split(self, separator):
        cdef mb_buffer *b = self.resolve()
        cdef const mb_host *host = (<Gate>self.gate).w.host
        cdef size_t length = host.buffer_length(b), at = 0
        cdef bytes wanted = bytes_from(separator, "split()")
        cdef mb_slice pattern
        cdef int64_t found
        cdef list result = []
        if not wanted:
            raise ValueError("split(): the separator is empty")
        pattern.ptr = PyBytes_AS_STRING(wanted)
        pattern.len = <size_t>len(wanted)
        while True:
            found = host.buffer_find(b, pattern, at)
            if found < 0:
                result.append(self._copy(b, at, length - at))
                return result
            result.append(self._copy(b, at, <size_t>found - at))
            at = <size_t>found + pattern.len

    def append(self, data):
        self._add(data, "append()", False)

    def prepend(self, data):
        self._add(data, "prepend()", True)

    cdef int _add(self, data, str what, bint front) except -1:
        cdef mb_buffer *b = self.change()
        cdef const mb_host *host = (<Gate>self.gate).w.host
        cdef Py_buffer view
        cdef int rc = MB_OK
        open_bytes(data, what, &view)
        if view.len:
            if front:
                rc = host.buffer_prepend(b, slice_of(&view))
            else:
                rc = host.buffer_append(b, slice_of(&view))
        PyBuffer_Release(&view)
        if rc < 0:
            refused(rc, what)
        return 0

    def drain(self, length):
        cdef mb_buffer *b = self.change()
        cdef const mb_host *host = (<Gate>self.gate).w.host
        cdef size_t has = host.buffer_length(b)
        if isinstance(length, bool) or not hasattr(length, "__index__"):
            raise TypeError(f"drain() takes a number of bytes, not {type(length).__name__}")
        wanted = length.__index__()
        if not 0 <= wanted <= has:
            raise ValueError(f"drain({wanted}): the buffer has {has} bytes")
        host.buffer_drain(b, <size_t>wanted)

    def replace(self, data):
        cdef mb_buffer *b = self.change()
        cdef const mb_host *host = (<Gate>self.gate).w.host
        cdef size_t before = host.buffer_length(b)
        self._add(data, "replace()", False)
        host.buffer_drain(b, before)

    def __eq__(self, other):
        if isinstance(other, Buffer):
            return bytes(self) == bytes(other)
        if not PyObject_CheckBuffer(other):
            return NotImplemented
        if len(self) != memoryview(other).nbytes:
            return False
        return bytes(self) == other

    __hash__ = None

    def __repr__(self):
        try:
            return f"<Buffer of {len(self)} bytes>"
        except Exception:
            return "<Buffer, gone>"


cdef bytes bytes_from(object value, str what):
    if type(value) is bytes:
        return <bytes>value
    cdef Py_buffer view
    open_bytes(value, what, &view)
    try:
        return PyBytes_FromStringAndSize(<char *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
