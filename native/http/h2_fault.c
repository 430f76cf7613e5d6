/* The table behind h2_fault.h. */
#include "http/h2_fault.h"

static const mb_protocol_error errors[MB_H2_FAULT_COUNT] = {[MB_H2_FINE] = {0, "", ""},
#define MB_H2_FAULT_ERROR(name, code, details, reason) [MB_H2_##name] = {400, details, reason},
                                                            MB_H2_FAULT_LIST(MB_H2_FAULT_ERROR)
#undef MB_H2_FAULT_ERROR
};

static const uint8_t codes[MB_H2_FAULT_COUNT] = {
#define MB_H2_FAULT_CODE(name, code, details, reason) [MB_H2_##name] = (code),
    MB_H2_FAULT_LIST(MB_H2_FAULT_CODE)
#undef MB_H2_FAULT_CODE
};

static unsigned known(mb_h2_fault fault) {
    return (unsigned)fault < MB_H2_FAULT_COUNT ? (unsigned)fault : MB_H2_FINE;
}

const mb_protocol_error *mb_h2_error(mb_h2_fault fault) {
    return &errors[known(fault)];
}

uint32_t mb_h2_error_code(mb_h2_fault fault) {
    return codes[known(fault)];
}

mb_h2_fault mb_h2_fault_of_code(uint32_t code) {
    switch (code) {
    case 0x2:
        return MB_H2_INTERNAL;
    case 0x3:
        return MB_H2_FLOW_CONTROL;
    case 0x5:
        return MB_H2_STREAM_CLOSED;
    case 0x6:
        return MB_H2_FRAME_SIZE;
    case 0x9:
        return MB_H2_COMPRESSION;
    case 0xb:
        return MB_H2_SETTINGS;
    default:
        return MB_H2_PROTOCOL;
    }
}

void mb_h2_fault_count(mb_h2_fault fault, mb_h2_counters *counters) {
    switch (fault) {
    case MB_H2_OUTBOUND:
        counters->outbound_flood++;
        break;
    case MB_H2_SETTINGS:
    case MB_H2_OUTBOUND_CONTROL:
        counters->outbound_control_flood++;
        break;
    case MB_H2_INBOUND_CONTROL:
        counters->inbound_control_frames_flood++;
        break;
    case MB_H2_EMPTY_FRAMES:
        counters->inbound_empty_frames_flood++;
        break;
    case MB_H2_PRIORITY:
        counters->inbound_priority_frames_flood++;
        break;
    case MB_H2_WINDOW_UPDATE:
        counters->inbound_window_update_frames_flood++;
        break;
    case MB_H2_CONTINUATION:
        counters->inbound_continuation_flood++;
        break;
    case MB_H2_HEADER_BYTES:
        counters->header_overflow++;
        break;
    case MB_H2_OTHER_FRAMES:
        counters->inbound_other_frames_flood++;
        break;
    case MB_H2_RESETS:
        counters->premature_resets_flood++;
        break;
    default:
        break;
    }
}
