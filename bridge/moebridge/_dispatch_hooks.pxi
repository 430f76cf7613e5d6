# The hooks, as the trampoline calls them: with the GIL held, on the worker's thread. Every one has
# the same shape: find the Stream, call the filter, turn what it returned into a status. None of
# them raises: what the filter raises goes to the barrier (_runtime.failed).

cdef enum:
    LOCAL_REPLY = 7

cdef PyObject *STATUS[8]      # members of Status; the order is that of CODE
cdef int CODE[3][8]           # by phase: number of the status, -1: the phase doesn't have it


cdef int learn_statuses() except -1:
    cdef int index = 0
    for status in Status:
        STATUS[index] = <PyObject *>status
        for phase in range(3):
            CODE[phase][index] = CODES[phase].get(status, -1)
        if status is Status.LOCAL_REPLY:
            CODE[0][index] = CODE[1][index] = CODE[2][index] = -1   # the runtime looks closer
        index += 1
    return 0


learn_statuses()


cdef inline Place place_of(mb_filter *f):
    return <Place>((<mbpy_place *>f.config).object)


cdef inline Stream stream_of(mb_filter *f, Place place):
    cdef PyObject **slot = <PyObject **>f.state
    cdef Stream s
    if slot[0] is not NULL:
        s = <Stream>slot[0]
    else:
        if place.worker.pooled > 0:
            place.worker.pooled -= 1
            slot[0] = place.worker.pool[place.worker.pooled]   # with its reference
            s = <Stream>slot[0]
        else:
            s = Stream.__new__(Stream)
            Py_INCREF(s)
            slot[0] = <PyObject *>s
        s.begin(f, place.c.worker)
    if s.place is not place:
        s.place = place
    return s


cdef inline PyObject *call1(Place place, int hook, Stream s) noexcept:
    cdef PyObject *args[3]
    args[1] = <PyObject *>place.filter
    args[2] = <PyObject *>s
    if place.bare[hook]:
        return PyObject_Vectorcall(place.target[hook], &args[1],
                                   2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)
    return PyObject_Vectorcall(place.target[hook], &args[2],
                               1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)


cdef inline PyObject *call2(Place place, int hook, Stream s, Buffer data) noexcept:
    cdef PyObject *args[4]
    args[1] = <PyObject *>place.filter
    args[2] = <PyObject *>s
    args[3] = <PyObject *>data
    if place.bare[hook]:
        return PyObject_Vectorcall(place.target[hook], &args[1],
                                   3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)
    return PyObject_Vectorcall(place.target[hook], &args[2],
                               2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)


cdef int last_resort(Gate s, int hook) noexcept:
    """The barrier itself failed (out of memory, out of stack): end the stream without Python."""
    cdef mb_local_reply reply_
    cdef mb_slice details = literal("python_filter_exception", 23)
    PyErr_Clear()
    if s.network:
        return network_refused(<mb_network_filter *>s.c, s.place) if s.c is not NULL else 1
    if s.c is not NULL and not s.done:
        memset(&reply_, 0, sizeof(reply_))
        reply_.status = 500
        reply_.details = details
        if s.w.host.respond(s.c, &reply_) < 0:
            s.w.host.reset(s.c.stream, details)
        s.acted = True
    return 3 if hook % 3 == 1 else 1


cdef int failed(Gate s, int hook) noexcept:
    """A hook raised. Returns the status that goes to the core."""
    cdef PyObject *kind = NULL
    cdef PyObject *value = NULL
    cdef PyObject *trace = NULL
    cdef int status
    PyErr_Fetch(&kind, &value, &trace)
    PyErr_NormalizeException(&kind, &value, &trace)
    try:
        error = <object>value
        if trace is not NULL:
            PyException_SetTraceback(error, <object>trace)
        status = runtime.failed(s, hook, error)
    except BaseException:
        status = last_resort(s, hook)
    error = None
    Py_XDECREF(kind)
    Py_XDECREF(value)
    Py_XDECREF(trace)
    return status


cdef inline int plain_status(int phase, PyObject *value) noexcept:
    """Returns the status number of None or a Status, -1 for all else."""
    cdef int index
    if <object>value is None:
        return 0
    for index in range(8):
        if value is STATUS[index]:
            return CODE[phase][index]
    return -1


cdef int step(Stream s, int hook, PyObject *value, bint end) noexcept:
    """A value that is not plain: an awaitable, a wrong one, or one of a whole-message filter."""
    try:
        return runtime.step(s, hook, <object>value if value is not NULL else None, end)
    except BaseException:
        return last_resort(s, hook)


cdef int coroutine(Stream s, int hook, PyObject *value, bint end) noexcept:
    """A value that `step` would find to be an awaitable."""
    try:
        return suspend(s, hook, hook // 3, end, <object>value, runtime.answered)
    except BaseException as error:
        try:
            return runtime.failed(s, hook, error)
        except BaseException:
            return last_resort(s, hook)


cdef inline int outcome(Stream s, Place place, int hook, int direction, int phase,
                        PyObject *value, bint end) noexcept:
    """Turns what a hook returned (a new reference, or NULL with an exception) into a status."""
    cdef int status = -1
    if value is NULL and place.target[hook] is not NULL:
        status = failed(s, hook)
    elif place.plain[direction]:
        if value is STATUS[LOCAL_REPLY] and s.acted:
            status = 3 if phase == 1 else 1
        else:
            status = plain_status(phase, value)
    if status < 0:
        if value is not NULL and PyCoro_CheckExact(<object>value):
            status = coroutine(s, hook, value, end)
        else:
            status = step(s, hook, value, end)
    Py_XDECREF(value)
    s.hook = -1
    return status


cdef int run_headers(mb_filter *f, int direction, bint end_stream, bint *acted) noexcept:
    cdef Place place = place_of(f)
    cdef int hook = direction * 3
    cdef int status = 0
    cdef Stream s
    try:
        s = stream_of(f, place)
    except BaseException:      # no memory for the object that a filter needs
        PyErr_Clear()
        return refuse_stream(f, place, 1)
    s.acted = s.parted = False
    if end_stream:
        s.over[direction] = True
    if not s.skipped:
        s.hook = hook
        status = outcome(s, place, hook, direction, 0,
                         call1(place, hook, s) if place.target[hook] is not NULL else NULL,
                         end_stream)
    acted[0] = s.acted or s.parted
    return status


cdef int refuse_stream(mb_filter *f, Place place, int status) noexcept:
    cdef mb_local_reply reply_
    memset(&reply_, 0, sizeof(reply_))
    reply_.status = 500
    reply_.details = literal("python_out_of_memory", 20)
    if place.c.worker.host.respond(f, &reply_) < 0:
        place.c.worker.host.reset(f.stream, reply_.details)
    return status


cdef int run_body(mb_filter *f, int direction, mb_buffer *data, bint end_stream,
                  bint *acted) noexcept:
    cdef Place place = place_of(f)
    cdef int hook = direction * 3 + 1
    cdef int status = 0
    cdef Stream s
    cdef Buffer piece
    try:
        s = stream_of(f, place)
        piece = s.piece_of(direction, data)
    except BaseException:
        PyErr_Clear()
        return refuse_stream(f, place, 3)
    s.acted = s.parted = False
    if end_stream:
        s.over[direction] = True
    if not s.skipped:
        s.hook = hook
        status = outcome(s, place, hook, direction, 1,
                         call2(place, hook, s, piece) if place.target[hook] is not NULL else NULL,
                         end_stream)
    if status == MB_PENDING:
        piece.ptr = NULL
        piece.kind = KIND_PENDING
    else:
        piece = None
        s.drop_piece(direction)
    acted[0] = s.acted or s.parted
    return status


cdef public int mbpy_headers(mb_filter *f, int direction, bint end_stream) noexcept:
    cdef bint acted = False
    return run_headers(f, direction, end_stream, &acted)


cdef public int mbpy_body(mb_filter *f, int direction, mb_buffer *data,
                          bint end_stream) noexcept:
    cdef bint acted = False
    return run_body(f, direction, data, end_stream, &acted)


cdef public int mbpy_trailers(mb_filter *f, int direction) noexcept:
    cdef Place place = place_of(f)
    cdef int hook = direction * 3 + 2
    cdef Stream s
    try:
        s = stream_of(f, place)
    except BaseException:
        PyErr_Clear()
        return refuse_stream(f, place, 1)
    s.acted = False
    s.over[direction] = True
    if s.skipped:
        return 0
    s.hook = hook
    return outcome(s, place, hook, direction, 2,
                   call1(place, hook, s) if place.target[hook] is not NULL else NULL, True)


cdef inline void next_filter(mb_filter *f) noexcept:
    """Keeps the hook slot true inside a group."""
    f.slot.filter = f.name
    f.slot.sequence = f.slot.sequence + 1


cdef public int mbpy_group_headers(mb_filter **filters, uint32_t count, int direction,
                                   bint end_stream, uint32_t *ran) noexcept:
    cdef uint32_t index = 0
    cdef int status = 0
    cdef bint acted = False
    while index < count:
        if index:
            next_filter(filters[index])
        status = run_headers(filters[index], direction, end_stream, &acted)
        index += 1
        if status != 0 or acted:
            break
    ran[0] = index
    return status


cdef public int mbpy_group_body(mb_filter **filters, uint32_t count, int direction,
                                mb_buffer *data, bint end_stream, uint32_t *ran) noexcept:
    cdef uint32_t index = 0
    cdef int status = 0
    cdef bint acted = False
    while index < count:
        if index:
            next_filter(filters[index])
        status = run_body(filters[index], direction, data, end_stream, &acted)
        index += 1
        if status != 0 or acted:
            break
    ran[0] = index
    return status


cdef public void mbpy_complete(mb_filter *f) noexcept:
    cdef Place place = place_of(f)
    cdef Stream s
    cdef PyObject *value
    try:
        s = stream_of(f, place)
    except BaseException:
        PyErr_Clear()
        return
    s.done = True
    if s.skipped or place.target[6] is NULL:
        return
    s.hook = 6
    value = call1(place, 6, s)
    if value is NULL:
        failed(s, 6)
    elif <object>value is not None:
        try:
            runtime.completed(s, <object>value)
        except BaseException:
            last_resort(s, 6)
    Py_XDECREF(value)
    s.hook = -1


cdef public void mbpy_group_complete(mb_filter **filters, uint32_t count) noexcept:
    cdef uint32_t index
    for index in range(count):
        if index:
            next_filter(filters[index])
        mbpy_complete(filters[index])


cdef public void mbpy_scheduled(mb_filter *f, uint64_t event) noexcept:
    cdef PyObject *known = (<PyObject **>f.state)[0]
    cdef Stream s
    if known is NULL:
        return
    s = <Stream>known
    s.acted = False
    try:
        runtime.scheduled(s, event)
    except BaseException:
        last_resort(s, 0)


cdef public void mbpy_destroy(mb_filter *f) noexcept:
    cdef PyObject **slot = <PyObject **>f.state
    cdef Stream s
    if slot[0] is NULL:
        return
    s = <Stream>slot[0]
    slot[0] = NULL
    Py_DECREF(s)
    try:
        retire(s)
    except BaseException:
        PyErr_Clear()
        s.c = NULL


cdef public void mbpy_group_destroy(mb_filter **filters, uint32_t count) noexcept:
    cdef uint32_t index
    for index in range(count):
        if index:
            next_filter(filters[index])
        mbpy_destroy(filters[index])


cdef public int mbpy_config_new(mbpy_worker *w, mb_filter_args *args, void **config,
                                uint32_t *wants, bint of_network) noexcept:
    cdef Worker worker = None
    cdef Place place
    try:
        worker = <Worker>w.object
        place = runtime.place_for(worker, args.config.ptr[:args.config.len],
                                  args.name.ptr[:args.name.len], of_network)
        place.hold()
        config[0] = &place.c
        wants[0] &= place.wants
        return MB_OK
    except BaseException as error:
        if worker is not None:
            worker.error = str(error).encode()
            args.error = bytes_slice(worker.error)
        return MB_ECONFIG


cdef public void mbpy_config_free(void *config) noexcept:
    try:
        (<Place>((<mbpy_place *>config).object)).release()
    except BaseException:
        PyErr_Clear()
