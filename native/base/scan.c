/* Which scan tables this processor can run. See scan.h. */
#include "base/scan.h"

const mb_scan_ops *mb_scan_variant(size_t index) {
    const mb_scan_ops *have[4];
    size_t count = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi")) {
        have[count++] = &mb__scan_avx2;
    }
    if (__builtin_cpu_supports("sse4.2")) {
        have[count++] = &mb__scan_sse42;
    }
#elif defined(__aarch64__)
    have[count++] = &mb__scan_neon; /* in every AArch64 processor */
#endif
    have[count++] = &mb__scan_plain;
    return index < count ? have[index] : NULL;
}

const mb_scan_ops *mb_scan_select(void) {
    return mb_scan_variant(0);
}
