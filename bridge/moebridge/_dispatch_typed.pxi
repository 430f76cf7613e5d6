# What a filter that was compiled with Cython calls, declared for it in __init__.pxd. The caller's C
# code knows no layout of ours: Cython compares names and signatures when it imports the filter, so
# a compiled filter goes on working with the next version. The object may be the cffi dispatcher's,
# which has the same attributes.

cdef object stream_request(object stream):
    if type(stream) is Stream:
        return (<Stream>stream).req
    return stream.request


cdef object stream_response(object stream):
    if type(stream) is Stream:
        return (<Stream>stream).resp
    return stream.response


cdef object message_headers(object message):
    if type(message) is Request or type(message) is Response:
        return (<Message>message).fields
    return message.headers


cdef object message_trailers(object message):
    if type(message) is Request or type(message) is Response:
        return (<Message>message).end_fields
    return message.trailers
