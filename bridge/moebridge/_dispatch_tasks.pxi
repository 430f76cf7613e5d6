# Suspended hooks. A hook returned an awaitable: a task on the worker's loop, in the context of the
# stream, awaits it. Its first step runs at once, within the hook: one that does not wait has
# answered then, and costs no turn of asyncio. For one that waits the dispatcher answers
# MB_PENDING: the core calls no further hook of this filter in this direction, keeps the piece of
# body apart for it and holds what follows; the status that the task ends with goes to the core by
# `finish`, as if the hook had returned it. So nothing overlaps, and `data` stays the filter's until
# then. When the stream goes the task is cancelled.
#
# A step is what a hook answers: its status number, or a tuple of what it waits for and the function
# that takes on with what came of that, `then(gate, hook, end, value)`, which returns a step.


cdef object answer(Gate s, int hook, int direction, bint end, object then, object value):
    """Returns the step that follows what an awaitable came to."""
    cdef int status = -1
    if not s.network and s.place.plain[direction] and not s.has_acted(direction):
        status = plain_status(hook % 3, <PyObject *>value)
    return then(s, hook, end, value) if status < 0 else status


async def drive(Gate s, int hook, int direction, bint end, object awaitable, object then):
    """Runs a hook from its first awaitable on; returns its status number.

    Of a hook that has waited it goes to the core, too.
    """
    cdef double late = 0.0
    cdef int status
    try:
        if s.place.timeout_s:
            late = s.place.worker.loop.time() + s.place.timeout_s
        step = awaitable, then
        while type(step) is tuple:
            awaitable, then = step
            value = await (tasks.bounded(awaitable, late) if late else awaitable)
            step = answer(s, hook, direction, end, then, value)
        status = step
    except BaseException as error:
        if s.is_over() and tasks.cancelled(error):
            raise
        status = tasks.failed(s, hook, error)
    if s.is_over():
        return 0
    if s.resumed[direction] and not s.has_acted(direction):
        status = 0
    s.set_task(direction, None)
    if s.hook < 0:
        s._finish(direction, status)
    return status


cdef object context_of(Gate s):
    """Returns the contextvars of the stream, which its filters share."""
    cdef Worker worker = s.place.worker
    s.context_id = s._info_number(INFO_ID)
    context = worker.contexts.get(s.context_id)
    if context is None:
        context = worker.contexts[s.context_id] = PyContext_CopyCurrent()
    return context


cdef int suspend(Gate s, int hook, int direction, bint end, object awaitable,
                 object then) except -1:
    """Runs a hook in a task. Returns its status number, or MB_PENDING if it waits."""
    cdef Worker worker = s.place.worker
    cdef int status
    if worker.loop is None:
        if isinstance(awaitable, Coroutine):   # no object of the filter's own
            awaitable.close()      # a coroutine that nobody will await
        raise FilterError(f"filter {s.place.name!r} is async, but no asyncio loop runs here")
    s.resumed[direction] = False
    context = context_of(s)
    driven = drive(s, hook, direction, end, awaitable, then)
    task, first_step = worker.eager_task(driven, context, s.place.name)
    s.set_task(direction, task)
    context.run(first_step)
    if task.done():
        status = task.result()
        return status
    s.replied[direction] = s.acted
    return MB_PENDING


cdef int end_tasks(Gate s) except -1:
    """The stream has ended: cancels what still waits for it."""
    cdef object waiting
    s.posted = None
    s.place.worker.contexts.pop(s.context_id, None)
    s.context_id = None
    for waiting in (s.task0, s.task1):
        if waiting is not None and not waiting.done() and not waiting.get_loop().is_closed():
            waiting.cancel("the stream has ended")
    s.task0 = s.task1 = None
    return 0
