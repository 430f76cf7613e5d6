/* The table behind h1_fault.h. */
#include "http/h1_fault.h"

static const mb_protocol_error errors[MB_H1_FAULT_COUNT] = {[MB_H1_FINE] = {0, "", ""},
#define MB_H1_FAULT_ERROR(name, status, details, reason) [MB_H1_##name] = {status, details, reason},
                                                            MB_H1_FAULT_LIST(MB_H1_FAULT_ERROR)
#undef MB_H1_FAULT_ERROR
};

const mb_protocol_error *mb_h1_error(mb_h1_fault fault) {
    return &errors[(unsigned)fault < MB_H1_FAULT_COUNT ? fault : MB_H1_FINE];
}
