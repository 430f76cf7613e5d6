# cython: language_level=3
"""Declarations of the Cython dispatcher: the core's headers, the trampoline, the types.

The only place where the C interface is declared for Cython; the compiler checks it against the
headers themselves.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "moebridge/network_filter.h" nogil:
    pass


cdef extern from "moebridge/core.h" nogil:
    ctypedef struct mb_slice:
        const char *ptr
        size_t len

    enum:
        MB_ABI_VERSION
        MB_OK
        MB_ENOMEM
        MB_EINVAL
        MB_ENOTFOUND
        MB_EPHASE
        MB_EGONE
        MB_ELIMIT
        MB_ECONFIG
        MB_EIO
        MB_PENDING

    ctypedef struct mb_stream
    ctypedef struct mb_headers
    ctypedef struct mb_buffer
    ctypedef struct mb_lease
    ctypedef struct mb_worker
    ctypedef struct mb_metric
    ctypedef struct mb_server
    ctypedef uint64_t mb_stream_id

    ctypedef enum mb_direction:
        MB_REQUEST
        MB_RESPONSE

    ctypedef enum mb_metric_kind:
        MB_COUNTER
        MB_GAUGE
        MB_HISTOGRAM

    ctypedef enum mb_info:
        MB_INFO_COUNT

    ctypedef struct mb_hook_slot:
        const char *filter
        uint32_t hook
        uint32_t sequence

    ctypedef struct mb_filter:
        mb_stream *stream
        void *config
        void *state
        const char *name
        mb_hook_slot *slot

    ctypedef struct mb_header:
        mb_slice name
        mb_slice value

    ctypedef struct mb_local_reply:
        uint32_t status
        const mb_header *headers
        size_t header_count
        mb_slice body
        mb_slice details

    ctypedef struct mb_filter_args:
        mb_worker *worker
        mb_slice filter_name
        mb_slice name
        mb_slice config
        mb_slice error

    ctypedef struct mb_connection

    ctypedef enum mb_network_direction:
        MB_NETWORK_READ
        MB_NETWORK_WRITE

    ctypedef enum mb_network_close:
        MB_NETWORK_CLOSE_FLUSH
        MB_NETWORK_CLOSE_NOW
        MB_NETWORK_CLOSE_RESET

    ctypedef enum mb_connection_info:
        MB_CONNECTION_ID

    ctypedef struct mb_network_filter:
        mb_connection *connection
        void *config
        void *state
        const char *name
        mb_hook_slot *slot

    ctypedef struct mb_network_host:
        int (*info_number)(mb_connection *, mb_connection_info, uint64_t *)
        int (*info_text)(mb_connection *, mb_connection_info, mb_slice *)
        bint (*ended)(mb_connection *, mb_network_direction)
        int (*metadata_get)(mb_connection *, mb_slice, mb_slice, mb_slice *)
        int (*metadata_set)(mb_connection *, mb_slice, mb_slice, mb_slice)
        int (*close)(mb_connection *, mb_network_close, mb_slice)
        mb_buffer *(*outgoing)(mb_network_filter *, mb_network_direction)
        mb_buffer *(*held)(mb_network_filter *, mb_network_direction)
        int (*resume)(mb_network_filter *, mb_network_direction)
        int (*finish)(mb_network_filter *, mb_network_direction, int)
        int (*post)(mb_worker *, uint64_t, const char *, uint64_t)

    ctypedef struct mb_host:
        uint32_t abi_version
        uint32_t struct_size
        size_t (*headers_count)(const mb_headers *)
        int (*headers_at)(const mb_headers *, size_t, mb_header *)
        int (*headers_get)(const mb_headers *, mb_slice, size_t, mb_slice *)
        int (*headers_set)(mb_headers *, mb_slice, mb_slice)
        int (*headers_add)(mb_headers *, mb_slice, mb_slice)
        int (*headers_remove)(mb_headers *, mb_slice)
        size_t (*buffer_length)(const mb_buffer *)
        size_t (*buffer_slices)(const mb_buffer *, mb_slice *, size_t)
        int64_t (*buffer_find)(const mb_buffer *, mb_slice, size_t)
        size_t (*buffer_count)(const mb_buffer *, mb_slice)
        size_t (*buffer_copy_out)(const mb_buffer *, size_t, char *, size_t)
        int (*buffer_append)(mb_buffer *, mb_slice)
        int (*buffer_prepend)(mb_buffer *, mb_slice)
        void (*buffer_drain)(mb_buffer *, size_t)
        int (*buffer_retain)(const mb_buffer *, size_t, mb_slice *, mb_lease **)
        int (*buffer_retain_all)(mb_buffer *, mb_slice *, mb_lease **)
        void (*lease_release)(mb_lease *)
        mb_headers *(*headers)(mb_stream *, mb_direction)
        mb_headers *(*trailers)(mb_stream *, mb_direction)
        bint (*ended)(mb_stream *, mb_direction)
        int (*info_number)(mb_stream *, mb_info, uint64_t *)
        int (*info_text)(mb_stream *, mb_info, mb_slice *)
        int (*metadata_get)(mb_stream *, mb_slice, mb_slice, mb_slice *)
        int (*metadata_set)(mb_stream *, mb_slice, mb_slice, mb_slice)
        int (*clear_route_cache)(mb_stream *)
        int (*reset)(mb_stream *, mb_slice)
        int (*respond)(mb_filter *, const mb_local_reply *)
        int (*resume)(mb_filter *, mb_direction)
        mb_buffer *(*held_body)(mb_filter *, mb_direction)
        mb_buffer *(*pending_body)(mb_filter *, mb_direction)
        int (*finish)(mb_filter *, mb_direction, int)
        int (*post)(mb_worker *, mb_stream_id, const char *, uint64_t)
        int (*metric)(mb_worker *, mb_metric_kind, mb_slice, const mb_header *, size_t,
                      mb_metric **)
        void (*metric_add)(mb_metric *, int64_t)
        void (*metric_set)(mb_metric *, uint64_t)
        void (*metric_record)(mb_metric *, uint64_t)
        uint64_t (*metric_value)(const mb_metric *)
        int (*buffer_move)(mb_buffer *, mb_buffer *)
        const mb_network_host *network

    ctypedef struct mb_module:
        uint32_t abi_version

    ctypedef struct mb_ready:
        int fd
        uint32_t events


cdef extern from "_trampoline.h" nogil:
    enum:
        MBPY_CROSSINGS
        MBPY_GIL_TAKEN
        MBPY_VIEWS_EXPORTED
        MBPY_STR_MADE
        MBPY_METRIC_COUNT

    ctypedef struct mbpy_core:
        int (*run)(mb_server *, int64_t)
        void (*free)(mb_server *)
        void (*yield_ "yield")(mb_server *)
        int (*apply)(mb_server *, const char *, size_t, char **)
        size_t (*ready)(mb_server *, mb_ready *, size_t)
        void (*text_free)(char *)
        mb_headers *(*headers_new)()
        void (*headers_free)(mb_headers *)

    ctypedef struct mbpy_worker:
        bint released
        bint taken
        bint wake
        unsigned long thread
        const mb_host *host
        PyObject *object
        mb_server *server
        mb_worker *worker
        mbpy_core core
        uint64_t counts[5]
        mb_metric *metrics[5]

    ctypedef struct mbpy_place:
        mbpy_worker *worker
        PyObject *object

    ctypedef struct PyMemberDef:
        const char *name
        int type
        Py_ssize_t offset
        int flags

    int T_OBJECT_EX
    int READONLY

    int mbpy_add_member(object, PyMemberDef *) except -1
    void mbpy_module_fill(mbpy_worker *, mb_module *)
    void mbpy_worker_init(mbpy_worker *)
    void mbpy_worker_flush(mbpy_worker *)
    int mbpy_worker_run(mbpy_worker *, int64_t)
    void mbpy_worker_close(mbpy_worker *)
    int mbpy_worker_apply(mbpy_worker *, const char *, size_t, char **)


cdef enum:
    POOL_MAX = 1024


cdef class Worker:
    cdef mbpy_worker c
    cdef mb_module module_c
    cdef object __weakref__
    cdef public object loop           # the worker's asyncio loop, or None
    cdef object task_type             # asyncio.Task, once there was one
    cdef object step_context          # of a task that is made: its first step goes to `first_step`
    cdef object first_step
    cdef public dict contexts         # stream id -> contextvars.Context, while a task uses it
    cdef public set outstanding       # tasks that outlive their stream; drain waits for them
    cdef readonly list places         # Place by index, None where it is free
    cdef bytes error                  # text of the last refused config_new
    cdef PyObject *pool[POOL_MAX]     # Streams to be used again, one reference each
    cdef int pooled                   # how many
    cdef int check_open(self) except -1
    cdef tuple eager_task(self, object coroutine, object context, str name)


cdef class Place:
    cdef mbpy_place c
    cdef readonly Worker worker
    cdef readonly object filter       # the HttpFilter or NetworkFilter
    cdef readonly bint network        # the latter
    cdef readonly str name            # in logs and metrics
    cdef readonly int index
    cdef readonly bint fail_open
    cdef readonly double timeout_s    # of an async hook; 0: none
    cdef readonly tuple hooks         # callables by hook number, None where not overridden
    cdef readonly tuple whole         # on_request, on_response; None where not overridden
    cdef readonly uint32_t wants      # bits of mb_hook or mb_network_hook
    cdef readonly Metric errors       # py.<name>.errors
    cdef public bint started          # on_worker_start has run, on_worker_stop has not
    cdef readonly int users           # places of the core's configurations that hold it
    cdef PyObject *target[7]          # what to call; NULL: not overridden
    cdef bint bare[7]                 # `target` is the plain function: pass the filter too
    cdef bint plain[2]                # by direction: no whole-message hook


cdef class Metric:
    cdef readonly Worker worker
    cdef mb_metric *c
    cdef readonly int kind
    cdef readonly str name
    cdef mb_metric *use(self) except NULL


cdef class Lease:
    cdef mb_lease *c
    cdef const mb_host *host
    cdef const char *ptr
    cdef Py_ssize_t length


cdef class Buffer:
    cdef PyObject *gate               # Gate, borrowed; NULL once orphaned
    cdef mb_buffer *ptr               # KIND_PIECE: valid inside the hook, else NULL
    cdef int kind, direction
    cdef mb_buffer *resolve(self) except NULL
    cdef mb_buffer *change(self) except NULL
    cdef bytes _copy(self, mb_buffer *b, size_t offset, size_t length)
    cdef int _add(self, data, str what, bint front) except -1


cdef class Frozen:
    cdef Worker worker
    cdef mb_headers *maps[4]          # direction * 2 + trailers; NULL: there were none
    cdef dict info
    cdef object metadata


cdef class Gate:
    cdef mb_filter *c                 # NULL: it is gone, or `frozen` has a copy of it
    cdef bint network                 # a Connection: `c` is an mb_network_filter
    cdef mbpy_worker *w
    cdef Frozen frozen
    cdef readonly Place place         # whose hook runs or ran last
    cdef readonly int hook            # mb_hook that runs now, -1 outside hooks
    cdef readonly bint acted          # respond or reset was called in this hook
    cdef readonly bint parted         # held body or route was asked for: a group ends here
    cdef bint skipped                 # fail_open: no more hooks of this filter here
    cdef bint done                    # the stream is complete: nothing may change
    cdef bint over[2]                 # this filter has seen the end of the direction
    cdef Buffer held0, held1, piece0, piece1
    cdef object own_state
    # Once a hook was suspended or posted; all by direction but the last two.
    cdef object task0, task1          # of the hook that waits
    cdef bint resumed[2]              # resume() was called meanwhile
    cdef bint replied[2]              # it, or somebody meanwhile, has answered or reset
    cdef dict posted                  # functions that are due, by event
    cdef object context_id            # the stream's, whose context a task uses
    cdef bint is_over(self) noexcept
    cdef object task(self, int direction)
    cdef void set_task(self, int direction, object task) noexcept
    cdef bint has_acted(self, int direction) noexcept
    cdef int usable(self) except -1
    cdef mb_filter *live(self) except NULL
    cdef mb_filter *change(self) except NULL
    cdef Buffer piece_of(self, int direction, mb_buffer *data)
    cdef void drop_piece(self, int direction) noexcept
    cdef void orphan(self) noexcept
    cdef int detach(self) except -1
    cdef void begin(self, mb_filter *c, mbpy_worker *w) noexcept


cdef class StreamGate(Gate):
    pass


cdef class Connection(Gate):
    cdef mb_network_filter *filter(self) noexcept
    cdef mb_connection *connection(self) except NULL
    cdef int add(self, int direction, object data, str what) except -1


cdef class Headers:
    cdef PyObject *gate               # Gate, borrowed; NULL once orphaned
    cdef int direction
    cdef bint trailers
    cdef int resolve(self, mb_headers **out) except -1
    cdef mb_headers *change(self) except NULL
    cdef bint of_request(self) noexcept
    cdef int get_slice(self, object name, mb_slice *out, str what) except -1
    cdef int store(self, mb_headers *map_, mb_slice name, mb_slice value, bint add) noexcept
    cdef int put(self, object name, mb_slice value, object shown, str what, bint add) except -1
    cdef list all_of(self, object name, bint raw)
    cdef list listed(self, bint names, bint values, bint raw)


cdef class RawHeaders:
    cdef Headers base
    cdef int put(self, object name, object value, str what, bint add) except -1


cdef class Message:
    cdef PyObject *gate               # Gate, borrowed; NULL once orphaned
    cdef int direction
    cdef Headers fields, end_fields
    cdef StreamGate owner(self)
    cdef str pseudo(self, mb_slice name)
    cdef int set_pseudo(self, mb_slice name, object given, str what) except -1


cdef class Request(Message):
    pass


cdef class Response(Message):
    pass


cdef class Stream(StreamGate):
    cdef Request req
    cdef Response resp


cdef object stream_request(object stream)
cdef object stream_response(object stream)
cdef object message_headers(object message)
cdef object message_trailers(object message)
