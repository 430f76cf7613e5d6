# What asyncio does for each step of a task, without a frame of Python: call_soon, and the handles
# that it leaves in the loop's queue. WorkerLoop (_loop.py) has the rest.


@cython.final
cdef class Handle:
    """What call_soon returns: asyncio.Handle, whose slots keep a C type from deriving of it."""

    cdef readonly bint _cancelled
    cdef readonly object _callback, _loop, _context
    cdef readonly tuple _args
    cdef object __weakref__

    def cancel(self):
        self._cancelled = True
        self._callback = self._args = None

    def cancelled(self):
        return self._cancelled

    def get_context(self):
        return self._context

    @property
    def _source_traceback(self):
        return None

    def _run(self):
        """Calls; asyncio's loop does it, for each that is not cancelled."""
        callback, args = self._callback, self._args   # it may cancel its own handle
        try:
            PyContext_Enter(self._context)
            try:
                callback(*args)
            finally:
                PyContext_Exit(self._context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._loop.call_exception_handler({
                "message": f"Exception in callback {callback!r}",
                "exception": error,
                "handle": self,
            })

    def __repr__(self):
        return f"<Handle {'cancelled' if self._cancelled else repr(self._callback)}>"


@cython.binding(True)
def call_soon(self, callback, *args, context=None):
    """WorkerLoop.call_soon: as in asyncio; from a hook it also has the core return."""
    cdef Worker worker = self._worker
    cdef Handle handle
    # Of the task that is made now; a finalizer that runs meanwhile may call, too.
    if worker.step_context is not None and context is worker.step_context and not args:
        worker.first_step = callback
        return None
    worker.c.wake = True
    if self._debug or self._closed:
        return self._call_soon_checked(callback, *args, context=context)
    handle = Handle.__new__(Handle)
    handle._callback = callback
    handle._args = args
    handle._loop = self
    handle._context = PyContext_CopyCurrent() if context is None else context
    self._ready.append(handle)
    return handle
