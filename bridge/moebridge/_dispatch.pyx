# cython: language_level=3, binding=False, embedsignature=False
# cython: wraparound=False, boundscheck=False, cdivision=True
"""Entry into Python hooks and access to streams, in Cython: the fast one of the two dispatchers.

The parts, in reading order: _trampoline.c (the module that the core calls), _dispatch_hooks.pxi
(what each hook does), _dispatch_gate.pxi, _dispatch_stream.pxi, _dispatch_headers.pxi,
_dispatch_buffer.pxi (what a filter sees), _dispatch_connection.pxi (network filters: both),
_dispatch_worker.pxi (one server's side), _dispatch_typed.pxi (for filters that are compiled
themselves), _dispatch_tasks.pxi (hooks that wait), _dispatch_loop.pxi (asyncio's call_soon). What
is slow anyway is Python and shared with the cffi dispatcher: _runtime.py.

Nothing here links the core: its functions come as addresses (`Worker`), its host table is checked
for version and size there.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_ND, PyBUF_SIMPLE, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release,
    PyObject_CheckBuffer, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear, PyErr_Fetch, PyErr_NormalizeException
from cpython.memoryview cimport PyMemoryView_FromObject
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT, Py_XDECREF
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memset

from collections.abc import Coroutine

from moebridge import _network as network
from moebridge import _reply as reply
from moebridge import _runtime as runtime
from moebridge import _tasks as tasks
from moebridge.connection_info import ConnectionInfo
from moebridge.errors import FilterError, StreamGone, WrongThread
from moebridge.info import Info
from moebridge.metadata import Metadata
from moebridge.status import CODES, Status


cdef extern from "Python.h":
    int PyUnicode_1BYTE_KIND
    int PyUnicode_KIND(object)
    void *PyUnicode_1BYTE_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    bint PyUnicode_Check(object)
    str PyUnicode_DecodeLatin1(const char *, Py_ssize_t, const char *)
    size_t PY_VECTORCALL_ARGUMENTS_OFFSET
    PyObject *PyObject_Vectorcall(PyObject *, PyObject **, size_t, PyObject *)
    int PyException_SetTraceback(object, object)
    bint PyMethod_Check(object)
    PyObject *PyMethod_GET_SELF(object)
    PyObject *PyMethod_GET_FUNCTION(object)
    unsigned long PyThread_get_thread_ident()
    object PyContext_CopyCurrent()
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1
    bint PyCoro_CheckExact(object)


STREAM_GONE = "the stream has ended: keep what you need from it before its last hook returns"
CONNECTION_GONE = ("the connection is closed: keep what you need from it before on_close "
                   "returns")
DATA_GONE = ("the data of a body hook was used after the hook had returned: keep bytes(data) or "
             "memoryview(data)")
PSEUDO_NAMES = (b":method", b":path", b":authority", b":scheme", b":status", b":protocol")
INFO_ID = 0
INFO_ROUTE_NAME = 8

include "_dispatch_gate.pxi"
include "_dispatch_buffer.pxi"
include "_dispatch_headers.pxi"
include "_dispatch_stream.pxi"
include "_dispatch_connection.pxi"
include "_dispatch_worker.pxi"
include "_dispatch_typed.pxi"
include "_dispatch_loop.pxi"
include "_dispatch_tasks.pxi"
include "_dispatch_hooks.pxi"
