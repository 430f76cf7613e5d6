/* Text for results. See error.h. */
#include "base/error.h"

const char *mb_strerror(int result) {
    if (result >= 0) {
        return "ok";
    }
    switch (result) {
    case MB_EAGAIN:
        return "not yet";
    case MB_ENOMEM:
        return "out of memory";
    case MB_EINVAL:
        return "invalid argument";
    case MB_ENOTFOUND:
        return "not found";
    case MB_EPHASE:
        return "not allowed in this phase of the stream";
    case MB_EGONE:
        return "the stream has ended";
    case MB_ELIMIT:
        return "over the limit";
    case MB_EPROTO:
        return "protocol error";
    case MB_EIO:
        return "system call failed";
    case MB_ECLOSED:
        return "closed by the peer";
    case MB_ECONFIG:
        return "configuration refused";
    case MB_EABI:
        return "filter ABI not supported";
    case MB_ETHREAD:
        return "called from a thread that does not own the object";
    default:
        return "unknown error";
    }
}
