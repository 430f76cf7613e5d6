/*
 * Fuzzes the reader of PROXY headers. What is read must be read the same with bytes behind it, wait
 * in every shorter part, and, written again, be read as the same addresses and TLVs.
 */
#include "net/proxy_protocol.h"

#include "base/alloc.h"
#include "base/slice.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void expect(bool good) {
    if (!good) {
        abort();
    }
}

static void write_again(const mb_proxy_header *header, mb_slab_pool *pool) {
    mb_buffer out;
    mb_slice written;
    mb_proxy_header again;
    mb_buffer_init(&out, pool);
    bool with_tlvs = header->source.length > 0;
    mb_proxy_header sent = *header;
    sent.tlvs = with_tlvs ? header->tlvs : MB_SLICE_LIT("");
    mb_slice checksum; /* it is not that of the header that is written */
    if (!mb_proxy_tlv_find(sent.tlvs, MB_PROXY_TLV_CRC32C, &checksum) &&
        mb_proxy_write(&sent, false, &out) == MB_OK) {
        expect(mb_buffer_join(&out, SIZE_MAX, &written, NULL) == MB_OK);
        expect(mb_proxy_read(written, SIZE_MAX, &again) == (int64_t)written.len);
        expect(mb_slice_equal(sent.tlvs, again.tlvs));
        expect(mb_address_equal(&sent.source, &again.source));
        expect(mb_address_equal(&sent.destination, &again.destination));
    }
    mb_buffer_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    mb_slice input = {(const char *)bytes, len};
    mb_proxy_header header, part;
    mb_proxy_tlv tlv;
    mb_proxy_ssl ssl;
    int64_t read = mb_proxy_read(input, SIZE_MAX, &header);
    expect(read <= (int64_t)len && read != 0);
    if (read < 0) {
        return 0;
    }
    expect(mb_proxy_read(mb_slice_take(input, (size_t)read), SIZE_MAX, &part) == read);
    for (size_t i = 0; i < (size_t)read; i += 1 + i / 16) {
        expect(mb_proxy_read(mb_slice_take(input, i), SIZE_MAX, &part) == MB_EAGAIN);
    }
    mb_slice rest = header.tlvs;
    while (mb_proxy_tlv_next(&rest, &tlv)) {
        if (tlv.type == MB_PROXY_TLV_SSL) {
            (void)mb_proxy_tlv_ssl(tlv.value, &ssl);
        }
    }
    expect(rest.len == 0);
    mb_slab_pool *pool = mb_slab_pool_new(mb_allocator_default());
    write_again(&header, pool);
    mb_slab_pool_free(pool);
    return 0;
}
