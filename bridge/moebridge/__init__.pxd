# cython: language_level=3
"""The types of streams and bodies for filters that are compiled with Cython.

A `my_filters.pxd` of one line, `cimport moebridge as mb`, beside `my_filters.py`: the annotations
`stream: mb.Stream` are types then, and the attributes declared here cost a C call. All else is what
it is in Python: an attribute that can be set and a method with defaults cannot be declared so.

Nothing here tells how an object is laid out: the functions at the end come from _dispatch_typed.pxi
by name and signature when the filter is imported.
"""

cdef extern from *:
    ctypedef class moebridge.Buffer [object PyObject, check_size ignore]:
        pass

    ctypedef class moebridge.Connection [object PyObject, check_size ignore]:
        pass

    ctypedef class moebridge.Headers [object PyObject, check_size ignore]:
        pass

    ctypedef class moebridge.Request [object PyObject, check_size ignore]:
        @property
        cdef inline Headers headers(self):
            return message_headers(self)

        @property
        cdef inline Headers trailers(self):
            return message_trailers(self)

    ctypedef class moebridge.Response [object PyObject, check_size ignore]:
        @property
        cdef inline Headers headers(self):
            return message_headers(self)

        @property
        cdef inline Headers trailers(self):
            return message_trailers(self)

    ctypedef class moebridge.Stream [object PyObject, check_size ignore]:
        @property
        cdef inline Request request(self):
            return stream_request(self)

        @property
        cdef inline Response response(self):
            return stream_response(self)


cdef Request stream_request(object stream)
cdef Response stream_response(object stream)
cdef Headers message_headers(object message)
cdef Headers message_trailers(object message)
