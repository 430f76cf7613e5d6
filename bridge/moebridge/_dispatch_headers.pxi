# Header maps: views of the core's own, no copy and no cache of values. A map that does not exist
# (trailers, a response that has not come) reads as empty; writing to it is a FilterError.

cdef enum:
    NAME_STACK = 256   # longer names are lower-cased on the heap
    NAME_CACHE = 512   # str objects of names that were listed before

cdef PyObject *name_cache[NAME_CACHE]

cdef mb_slice AUTHORITY
AUTHORITY.ptr = b":authority"
AUTHORITY.len = 10


cdef inline str text(mbpy_worker *w, mb_slice value):
    w.counts[MBPY_STR_MADE] += 1
    return PyUnicode_DecodeLatin1(value.ptr, <Py_ssize_t>value.len, NULL)


cdef str name_text(mbpy_worker *w, mb_slice name):
    """The str of a name; names seen before share one object."""
    cdef const unsigned char *p = <const unsigned char *>name.ptr
    cdef size_t n = name.len
    cdef size_t at
    cdef PyObject *known
    if n == 0:
        return ""
    at = (n * 131 + p[0] * 31 + p[n - 1] * 7 + p[n // 2] * 67) % NAME_CACHE
    known = name_cache[at]
    if known is not NULL and <size_t>PyUnicode_GET_LENGTH(<object>known) == n and \
            memcmp(PyUnicode_1BYTE_DATA(<object>known), p, n) == 0:
        return <str>known
    cdef str made = text(w, name)
    Py_INCREF(made)
    Py_XDECREF(known)
    name_cache[at] = <PyObject *>made
    return made


cdef struct Name:
    mb_slice c
    char *heap          # to be freed, or NULL
    char stack[256]


cdef inline void name_free(Name *name) noexcept:
    if name.heap is not NULL:
        free(name.heap)


cdef inline int name_open(object given, Name *out, bint of_request, str what) except -1:
    """Takes a field's name from the user: lower-case, `host` as :authority.

    Returns 0 for a name that no field can have (not Latin-1, a pseudo-header), else 1.
    """
    out.heap = NULL
    if not PyUnicode_Check(given):
        return wrong_name(given, what)
    if PyUnicode_KIND(given) != PyUnicode_1BYTE_KIND:
        return 0
    return name_lower(<const char *>PyUnicode_1BYTE_DATA(given),
                      <size_t>PyUnicode_GET_LENGTH(given), out, of_request)


cdef inline int name_as_given(object given, mb_slice *out, str what) except -1:
    """As name_open, but not lower-case yet: nearly all names are, and the core tells."""
    if not PyUnicode_Check(given):
        return wrong_name(given, what)
    if PyUnicode_KIND(given) != PyUnicode_1BYTE_KIND:
        return 0
    out.ptr = <const char *>PyUnicode_1BYTE_DATA(given)
    out.len = <size_t>PyUnicode_GET_LENGTH(given)
    return out.len != 0 and out.ptr[0] != b":"


cdef inline bint is_host(mb_slice name) noexcept:
    return name.len == 4 and memcmp(name.ptr, b"host", 4) == 0


cdef bint has_upper(mb_slice name) noexcept:
    for i in range(name.len):
        if b"A" <= name.ptr[i] <= b"Z":
            return True
    return False


cdef int wrong_name(object given, str what) except -1:
    raise TypeError(f"{what}: a header's name is str, not {type(given).__name__}")


cdef inline int name_lower(const char *p, size_t n, Name *out, bint of_request) except -1:
    cdef size_t i = 0
    cdef char *to
    if n == 0 or p[0] == b":":
        return 0
    while i < n and not (b"A" <= p[i] <= b"Z"):
        i += 1
    if i < n:
        to = out.stack
        if n > NAME_STACK:
            to = <char *>malloc(n)
            if to is NULL:
                raise MemoryError()
            out.heap = to
        for i in range(n):
            to[i] = p[i] + 32 if b"A" <= p[i] <= b"Z" else p[i]
        p = to
    out.c.ptr = p
    out.c.len = n
    if of_request and n == 4 and memcmp(p, b"host", 4) == 0:
        out.c = AUTHORITY
    return 1


cdef inline int value_open(object given, mb_slice *out, str what) except -1:
    if not PyUnicode_Check(given):
        raise TypeError(f"{what}: a header's value is str, not {type(given).__name__}")
    if PyUnicode_KIND(given) != PyUnicode_1BYTE_KIND:
        raise ValueError(f"{what}: {given!r:.80} has characters outside Latin-1")
    out.ptr = <const char *>PyUnicode_1BYTE_DATA(given)
    out.len = <size_t>PyUnicode_GET_LENGTH(given)
    return 0


cdef int field_refused(int rc, str what, object name, object value) except -1:
    if rc != MB_EINVAL:
        return refused(rc, what)
    data = value.encode("latin-1") if isinstance(value, str) else bytes(value)
    if any(byte in data for byte in b"\r\n\0"):
        raise ValueError(f"{what}: the value of {name!r:.80} has CR, LF or NUL in it")
    raise ValueError(f"{what}: {name!r:.80} is no header name, or {value!r:.80} no value for it")


cdef int no_such_name(str what, object name) except -1:
    if name and (name[0] == ":" or name[0] == 58):
        raise ValueError(f"{what}: {name!r} is an attribute (.method, .path, .authority, .status)")
    raise ValueError(f"{what}: {name!r:.80} is no header name")


@cython.final
cdef class Headers:
    cdef int resolve(self, mb_headers **out) except -1:
        if self.gate is NULL:
            raise StreamGone(STREAM_GONE)
        cdef Gate gate = <Gate>self.gate
        gate.usable()
        if gate.c is NULL:
            out[0] = gate.frozen.maps[self.direction * 2 + self.trailers]
        elif self.trailers:
            out[0] = gate.w.host.trailers(gate.c.stream, <mb_direction>self.direction)
        else:
            out[0] = gate.w.host.headers(gate.c.stream, <mb_direction>self.direction)
        return 0

    cdef mb_headers *change(self) except NULL:
        cdef mb_headers *result = NULL
        self.resolve(&result)
        cdef Gate gate = <Gate>self.gate
        if gate.done or gate.c is NULL:
            raise FilterError("on_complete may read the stream, not change it")
        if result is NULL:
            side = "response" if self.direction else "request"
            part = "trailers" if self.trailers else "headers"
            raise FilterError(f"the {side} has no {part} now: they can be changed only while "
                              "they pass this filter")
        return result

    cdef inline bint of_request(self) noexcept:
        return self.direction == 0 and not self.trailers

    cdef int get_slice(self, object name, mb_slice *out, str what) except -1:
        """Finds the first value: 1 found, 0 not."""
        cdef mb_headers *map_ = NULL
        cdef mb_slice given
        cdef Name wanted
        cdef int rc
        self.resolve(&map_)
        if not name_as_given(name, &given, what) or map_ is NULL:
            return 0
        if is_host(given) and self.of_request():
            given = AUTHORITY
        rc = (<Gate>self.gate).w.host.headers_get(map_, given, 0, out)
        if rc <= 0 and has_upper(given):
            name_open(name, &wanted, self.of_request(), what)
            rc = (<Gate>self.gate).w.host.headers_get(map_, wanted.c, 0, out)
            name_free(&wanted)
        return 1 if rc > 0 else 0

    cdef int store(self, mb_headers *map_, mb_slice name, mb_slice value, bint add) noexcept:
        if add and name.ptr != AUTHORITY.ptr:
            return (<Gate>self.gate).w.host.headers_add(map_, name, value)
        return (<Gate>self.gate).w.host.headers_set(map_, name, value)

    cdef int put(self, object name, mb_slice value, object shown, str what, bint add) except -1:
        cdef mb_headers *map_ = self.change()
        cdef mb_slice given
        cdef Name wanted
        cdef int rc
        if not name_as_given(name, &given, what):
            no_such_name(what, name)
        if is_host(given) and self.of_request():
            given = AUTHORITY
        rc = self.store(map_, given, value, add)
        if rc == MB_EINVAL and has_upper(given):
            name_open(name, &wanted, self.of_request(), what)
            rc = self.store(map_, wanted.c, value, add)
            name_free(&wanted)
        if rc < 0:
            field_refused(rc, what, name, shown)
        return 0

    def __getitem__(self, name):
        cdef mb_slice value
        if self.get_slice(name, &value, "headers[]"):
            return text((<Gate>self.gate).w, value)
        raise KeyError(name)

    def __setitem__(self, name, value):
        cdef mb_slice data
        value_open(value, &data, "headers[] =")
        self.put(name, data, value, "headers[] =", False)

    def __delitem__(self, name):
        if not self.remove(name):
            raise KeyError(name)

    def __contains__(self, name):
        cdef mb_slice value
        return isinstance(name, str) and self.get_slice(name, &value, "in") == 1

    def get(self, name, default=None):
        cdef mb_slice value
        if self.get_slice(name, &value, "get()"):
            return text((<Gate>self.gate).w, value)
        return default

    cdef list all_of(self, object name, bint raw):
        cdef mb_headers *map_ = NULL
        cdef mb_slice value
        cdef Name wanted
        cdef size_t index = 0
        cdef int rc
        cdef list result = []
        self.resolve(&map_)
        cdef mbpy_worker *w = (<Gate>self.gate).w
        if not name_open(name, &wanted, self.of_request(), "getall()"):
            return result
        if map_ is not NULL:
            while True:
                rc = w.host.headers_get(map_, wanted.c, index, &value)
                if rc < 0:
                    break
                result.append(value.ptr[:value.len] if raw else text(w, value))
                index += 1
        name_free(&wanted)
        return result

    def getall(self, name):
        return self.all_of(name, False)

    def add(self, name, value):
        cdef mb_slice data
        value_open(value, &data, "add()")
        self.put(name, data, value, "add()", True)

    def set(self, name, value):
        cdef mb_slice data
        value_open(value, &data, "set()")
        self.put(name, data, value, "set()", False)

    def remove(self, name):
        cdef mb_headers *map_ = self.change()
        cdef Name wanted
        cdef int rc
        if not name_open(name, &wanted, self.of_request(), "remove()"):
            return 0
        if wanted.c.ptr == AUTHORITY.ptr:
            raise ValueError("remove(): a request keeps its host; set .authority instead")
        rc = (<Gate>self.gate).w.host.headers_remove(map_, wanted.c)
        name_free(&wanted)
        if rc < 0:
            field_refused(rc, "remove()", name, "")
        return rc

    cdef list listed(self, bint names, bint values, bint raw):
        cdef mb_headers *map_ = NULL
        cdef mb_header field
        cdef list result = []
        self.resolve(&map_)
        if map_ is NULL:
            return result
        cdef mbpy_worker *w = (<Gate>self.gate).w
        for index in range(w.host.headers_count(map_)):
            if w.host.headers_at(map_, index, &field) < 0:
                break
            name = value = None
            if names:
                name = field.name.ptr[:field.name.len] if raw else name_text(w, field.name)
            if values:
                value = field.value.ptr[:field.value.len] if raw else text(w, field.value)
            result.append((name, value) if names and values else name if names else value)
        return result

    def __len__(self):
        cdef mb_headers *map_ = NULL
        self.resolve(&map_)
        return 0 if map_ is NULL else (<Gate>self.gate).w.host.headers_count(map_)

    def __iter__(self):
        return iter(self.listed(True, False, False))

    def keys(self):
        return self.listed(True, False, False)

    def values(self):
        return self.listed(False, True, False)

    def items(self):
        return self.listed(True, True, False)

    @property
    def raw(self):
        cdef RawHeaders result = RawHeaders.__new__(RawHeaders)
        result.base = self
        return result

    def __repr__(self):
        try:
            return f"<Headers {self.items()!r}>"
        except Exception:
            return "<Headers, gone>"


cdef object raw_name(object name, str what):
    """A raw name as the Latin-1 str that the str methods take."""
    if isinstance(name, str):
        return name
    if isinstance(name, (bytes, bytearray, memoryview)):
        return bytes(name).decode("latin-1")
    raise TypeError(f"{what}: a raw header name is bytes, not {type(name).__name__}")


@cython.final
cdef class RawHeaders:
    cdef int put(self, object name, object value, str what, bint add) except -1:
        cdef mb_slice data
        cdef bytes held
        if isinstance(value, str):
            raise TypeError(f"{what}: a raw header value is bytes, not str")
        held = bytes_from(value, what)
        data.ptr = PyBytes_AS_STRING(held)
        data.len = <size_t>len(held)
        return self.base.put(raw_name(name, what), data, held, what, add)

    def __getitem__(self, name):
        cdef mb_slice value
        if self.base.get_slice(raw_name(name, "raw[]"), &value, "raw[]"):
            return value.ptr[:value.len]
        raise KeyError(name)

    def __setitem__(self, name, value):
        self.put(name, value, "raw[] =", False)

    def __delitem__(self, name):
        if not self.remove(name):
            raise KeyError(name)

    def __contains__(self, name):
        if not isinstance(name, (str, bytes)):
            return False
        return raw_name(name, "in") in self.base

    def get(self, name, default=None):
        cdef mb_slice value
        if self.base.get_slice(raw_name(name, "raw.get()"), &value, "raw.get()"):
            return value.ptr[:value.len]
        return default

    def getall(self, name):
        return self.base.all_of(raw_name(name, "raw.getall()"), True)

    def add(self, name, value):
        self.put(name, value, "raw.add()", True)

    def set(self, name, value):
        self.put(name, value, "raw.set()", False)

    def remove(self, name):
        return self.base.remove(raw_name(name, "raw.remove()"))

    def __len__(self):
        return len(self.base)

    def __iter__(self):
        return iter(self.base.listed(True, False, True))

    def keys(self):
        return self.base.listed(True, False, True)

    def values(self):
        return self.base.listed(False, True, True)

    def items(self):
        return self.base.listed(True, True, True)

    def __repr__(self):
        return f"<RawHeaders of {self.base!r}>"
