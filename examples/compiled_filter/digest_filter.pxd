# What Cython knows beside digest_filter.py: its types. Python never reads this file.
cimport cython
cimport moebridge as mb  # annotations such as `stream: mb.Stream` are types of the core


@cython.locals(value=cython.uint, byte=cython.uchar)
cpdef unsigned int fnv1a(const unsigned char[:] data)
