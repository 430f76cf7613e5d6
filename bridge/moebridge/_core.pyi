"""The cffi binding of the whole C core: `lib` has the functions of core.h, `ffi` their types."""

from typing import Any

ffi: Any
lib: Any
