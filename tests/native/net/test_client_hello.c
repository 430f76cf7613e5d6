/*
 * ClientHellos: made by OpenSSL with many settings, built by hand for what OpenSSL does not send,
 * cut into records of any size, in pieces, and malformed in every length there is.
 */
#include "net/client_hello.h"

#include "base/alloc.h"
#include "base/slice.h"
#include "mbtest.h"

#include <openssl/ssl.h>
#include <stdlib.h>

#define BYTES_MAX (40u * 1024u)

typedef struct bytes {
    size_t len;
    char at[BYTES_MAX];
} bytes;

static mb_slice view(const bytes *b) {
    return mb_slice_of(b->at, b->len);
}

static void put(bytes *b, mb_slice more) {
    MB_CHECK(b->len + more.len <= sizeof(b->at));
    memcpy(b->at + b->len, more.ptr, more.len);
    b->len += more.len;
}

static void put_number(bytes *b, size_t value, size_t width) {
    for (size_t i = width; i > 0; i--) {
        char c = (char)(value >> 8 * (i - 1));
        put(b, mb_slice_of(&c, 1));
    }
}

static void put_vector(bytes *b, mb_slice body, size_t width) {
    put_number(b, body.len, width);
    put(b, body);
}

/* -- made by OpenSSL ----------------------------------------------------------------------- */

static void by_openssl(int max_version, const char *name, mb_slice alpn, bytes *out) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    MB_CHECK(SSL_CTX_set_max_proto_version(context, max_version) == 1);
    if (alpn.len > 0) {
        const unsigned char *list = (const unsigned char *)alpn.ptr;
        MB_CHECK(SSL_CTX_set_alpn_protos(context, list, (unsigned)alpn.len) == 0);
    }
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *sent = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, sent);
    MB_CHECK(name == NULL || SSL_set_tlsext_host_name(ssl, name) == 1);
    MB_CHECK(SSL_connect(ssl) < 0);
    char *data;
    long len = BIO_get_mem_data(sent, &data);
    out->len = 0;
    put(out, mb_slice_of(data, (size_t)len));
    SSL_free(ssl);
    SSL_CTX_free(context);
}

/* -- built by hand ------------------------------------------------------------------------- */

static void extension(bytes *b, unsigned type, mb_slice body) {
    put_number(b, type, 2);
    put_vector(b, body, 2);
}

static void server_name_extension(bytes *b, mb_slice name) {
    bytes *entry = calloc(1, sizeof(*entry)), *list = calloc(1, sizeof(*list));
    put_number(entry, 0, 1);
    put_vector(entry, name, 2);
    put_vector(list, view(entry), 2);
    extension(b, 0, view(list));
    free(entry);
    free(list);
}

/* A message around these extensions, in one record. */
static void hello(mb_slice extensions, bytes *out) {
    bytes *body = calloc(1, sizeof(*body)), *message = calloc(1, sizeof(*message));
    put(body, MB_SLICE_LIT("\3\3"));
    for (int i = 0; i < 32; i++) {
        put_number(body, (size_t)i, 1);
    }
    put_vector(body, MB_SLICE_LIT("sessionsessionsessionsession0123"), 1);
    put_vector(body, MB_SLICE_LIT("\x3a\x3a\x13\x01\x13\x02"), 2); /* GREASE first */
    put_vector(body, MB_SLICE_LIT("\0"), 1);
    put_vector(body, extensions, 2);
    put_number(message, 1, 1);
    put_vector(message, view(body), 3);
    out->len = 0;
    put(out, MB_SLICE_LIT("\x16\3\1"));
    put_vector(out, view(message), 2);
    free(body);
    free(message);
}

/* What a browser sends around the parts that matter: GREASE extensions and versions. RFC 8701 */
static void like_a_browser(mb_slice name, size_t padding, bytes *out) {
    bytes *extensions = calloc(1, sizeof(*extensions));
    char *zeros = calloc(1, padding + 1);
    extension(extensions, 0x8a8a, MB_SLICE_LIT(""));
    if (name.len > 0) {
        server_name_extension(extensions, name);
    }
    extension(extensions, 43, MB_SLICE_LIT("\6\xfa\xfa\3\4\3\3"));
    extension(extensions, 16, MB_SLICE_LIT("\0\x0c\2h2\x08http/1.1"));
    extension(extensions, 0xdada, MB_SLICE_LIT("\0"));
    extension(extensions, 21, mb_slice_of(zeros, padding));
    hello(view(extensions), out);
    free(zeros);
    free(extensions);
}

/* The same message in records of at most `size` bytes. */
static void in_records(const bytes *one, size_t size, bytes *out) {
    out->len = 0;
    for (size_t at = 5; at < one->len; at += size) {
        mb_slice part = mb_slice_take(mb_slice_skip(view(one), at), size);
        put(out, MB_SLICE_LIT("\x16\3\1"));
        put_vector(out, part, 2);
    }
}

/* -- reading ------------------------------------------------------------------------------- */

static int64_t read_once(mb_slice input, mb_text *joined, mb_client_hello *out) {
    const char *guarded = mbtest_guard(input.ptr, input.len);
    int64_t result = mb_client_hello_read(mb_slice_of(guarded, input.len),
                                          MB_CLIENT_HELLO_MAX_BYTES, joined, out);
    mbtest_guard_free(guarded, input.len);
    return result;
}

static mb_slice alpn_text(mb_slice alpn, char *out) {
    size_t len = 0;
    mb_slice name;
    while (mb_alpn_next(&alpn, &name)) {
        memcpy(out + len, name.ptr, name.len);
        len += name.len;
        out[len++] = ' ';
    }
    MB_CHECK_EQ_INT(alpn.len, 0);
    return mb_slice_of(out, len);
}

static void check(mb_slice input, uint16_t version, const char *name, const char *alpn) {
    mb_text joined;
    mb_client_hello got;
    char text[4096];
    mb_text_init(&joined, mb_allocator_default(), SIZE_MAX);
    MB_CHECK_EQ_INT(mb_client_hello_read(input, MB_CLIENT_HELLO_MAX_BYTES, &joined, &got),
                    input.len);
    MB_CHECK_EQ_INT(got.version, version);
    MB_CHECK_EQ_SLICE(got.server_name, mb_slice_from_c(name));
    MB_CHECK_EQ_SLICE(alpn_text(got.alpn, text), mb_slice_from_c(alpn));
    for (size_t len = 0; len < input.len; len++) {
        MB_CHECK_EQ_INT(read_once(mb_slice_take(input, len), &joined, &got), MB_EAGAIN);
    }
    mb_text_fini(&joined);
}

static void check_refused(mb_slice input, int64_t want) {
    mb_text joined;
    mb_client_hello got;
    mb_text_init(&joined, mb_allocator_default(), SIZE_MAX);
    MB_CHECK_EQ_INT(read_once(input, &joined, &got), want);
    for (size_t len = 0; len < input.len; len++) {
        int64_t part = read_once(mb_slice_take(input, len), &joined, &got);
        MB_CHECK(part == MB_EAGAIN || part == want);
    }
    mb_text_fini(&joined);
}

MB_TEST(what_openssl_sends_is_read) {
    bytes *made = calloc(1, sizeof(*made));
    mb_slice none = MB_SLICE_LIT("");
    by_openssl(TLS1_3_VERSION, "www.example.com", MB_SLICE_LIT("\2h2\x08http/1.1"), made);
    check(view(made), 0x0304, "www.example.com", "h2 http/1.1 ");
    by_openssl(TLS1_2_VERSION, "WWW.Example.com", none, made);
    check(view(made), 0x0303, "WWW.Example.com", "");
    by_openssl(TLS1_3_VERSION, NULL, none, made);
    check(view(made), 0x0304, "", "");
    by_openssl(TLS1_3_VERSION, NULL, MB_SLICE_LIT("\1x"), made);
    check(view(made), 0x0304, "", "x ");
    free(made);
}

MB_TEST(what_a_browser_sends_is_read) {
    bytes *made = calloc(1, sizeof(*made));
    like_a_browser(MB_SLICE_LIT("a.example.org"), 200, made);
    check(view(made), 0x0304, "a.example.org", "h2 http/1.1 ");
    like_a_browser(MB_SLICE_LIT(""), 0, made);
    check(view(made), 0x0304, "", "h2 http/1.1 ");
    free(made);
}

MB_TEST(records_of_any_size_hold_the_same_message) {
    bytes *one = calloc(1, sizeof(*one)), *cut = calloc(1, sizeof(*cut));
    like_a_browser(MB_SLICE_LIT("a.example.org"), 10, one);
    for (size_t size = 1; size < one->len; size += 1 + size / 8) {
        in_records(one, size, cut);
        check(view(cut), 0x0304, "a.example.org", "h2 http/1.1 ");
    }
    free(cut);
    free(one);
}

MB_TEST(bytes_behind_its_record_do_not_count) {
    bytes *made = calloc(1, sizeof(*made));
    mb_client_hello got;
    like_a_browser(MB_SLICE_LIT("a.example.org"), 10, made);
    size_t len = made->len;
    put(made, MB_SLICE_LIT("\x14\3\3\0\1\1"));
    MB_CHECK_EQ_INT(read_once(view(made), NULL, &got), len);
    free(made);
}

MB_TEST(other_protocols_are_refused_at_their_first_wrong_byte) {
    check_refused(MB_SLICE_LIT("G"), MB_EPROTO);
    check_refused(MB_SLICE_LIT("\x15\3\3\0\2\2\x28"), MB_EPROTO);   /* an alert */
    check_refused(MB_SLICE_LIT("\x16\2"), MB_EPROTO);               /* version */
    check_refused(MB_SLICE_LIT("\x16\3\1\0\0"), MB_EPROTO);         /* empty record */
    check_refused(MB_SLICE_LIT("\x16\3\1\x40\1"), MB_EPROTO);       /* above 2^14 */
    check_refused(MB_SLICE_LIT("\x16\3\1\0\4\2\0\0\0"), MB_EPROTO); /* server_hello */
    check_refused(MB_SLICE_LIT("\x80\x2e\1\3\1\0\x15"), MB_EPROTO); /* SSL 2 */
    check_refused(MB_SLICE_LIT("\x16\3\1\0\1\1\x14\3"), MB_EPROTO); /* other content between */
}

MB_TEST(a_message_that_is_too_long_is_refused_when_its_length_is_known) {
    bytes *made = calloc(1, sizeof(*made)), *cut = calloc(1, sizeof(*cut));
    mb_client_hello got;
    check_refused(MB_SLICE_LIT("\x16\3\1\x40\0\1\0\x40\0"), MB_ELIMIT);
    check_refused(MB_SLICE_LIT("\x16\3\1\0\4\1\xff\xff\xff"), MB_ELIMIT);
    like_a_browser(MB_SLICE_LIT("a"), 16000, made);
    MB_CHECK_EQ_INT(read_once(view(made), NULL, &got), made->len);
    /* The heads of its records count too. */
    mb_text joined;
    mb_text_init(&joined, mb_allocator_default(), SIZE_MAX);
    in_records(made, 64, cut);
    MB_CHECK_EQ_INT(read_once(view(cut), &joined, &got), MB_ELIMIT);
    MB_CHECK_EQ_INT(read_once(mb_slice_take(view(cut), 16383), &joined, &got), MB_EAGAIN);
    MB_CHECK_EQ_INT(read_once(mb_slice_take(view(cut), 16384), &joined, &got), MB_ELIMIT);
    mb_text_fini(&joined);
    free(cut);
    free(made);
}

/* Every byte of a good message, changed in each bit: read or refused, never over the end. */
MB_TEST(no_changed_bit_is_read_over_the_end) {
    bytes *made = calloc(1, sizeof(*made));
    mb_client_hello got;
    mb_text joined;
    mb_text_init(&joined, mb_allocator_default(), SIZE_MAX);
    like_a_browser(MB_SLICE_LIT("a.example.org"), 10, made);
    size_t refused = 0;
    for (size_t i = 0; i < made->len * 8; i++) {
        made->at[i / 8] = (char)(made->at[i / 8] ^ 1 << i % 8);
        int64_t result = read_once(view(made), &joined, &got);
        MB_CHECK(result == (int64_t)made->len || result == MB_EAGAIN || result == MB_EPROTO ||
                 result == MB_ELIMIT);
        refused += result == MB_EPROTO;
        made->at[i / 8] = (char)(made->at[i / 8] ^ 1 << i % 8);
    }
    MB_CHECK(refused > 200);
    mb_text_fini(&joined);
    free(made);
}

static void check_extensions(mb_slice extensions, int want) {
    bytes *made = calloc(1, sizeof(*made));
    hello(extensions, made);
    mb_client_hello got;
    int64_t result = read_once(view(made), NULL, &got);
    MB_CHECK_EQ_INT(result > 0 ? MB_OK : result, want);
    free(made);
}

MB_TEST(malformed_extensions_are_refused) {
    check_extensions(MB_SLICE_LIT(""), MB_OK);
    check_extensions(MB_SLICE_LIT("\0\x0a\0\0"), MB_OK);
    check_extensions(MB_SLICE_LIT("\0\x0a\0"), MB_EPROTO);
    check_extensions(MB_SLICE_LIT("\0\x0a\0\1"), MB_EPROTO);
    /* server_name */
    check_extensions(MB_SLICE_LIT("\0\0\0\6\0\4\0\0\1a"), MB_OK);
    check_extensions(MB_SLICE_LIT("\0\0\0\0"), MB_EPROTO);
    check_extensions(MB_SLICE_LIT("\0\0\0\5\0\3\0\0\0"), MB_EPROTO);   /* empty name */
    check_extensions(MB_SLICE_LIT("\0\0\0\6\0\4\1\0\1a"), MB_EPROTO);  /* no host_name */
    check_extensions(MB_SLICE_LIT("\0\0\0\6\0\4\0\0\1\0"), MB_EPROTO); /* NUL */
    check_extensions(MB_SLICE_LIT("\0\0\0\6\0\3\0\0\1a"), MB_EPROTO);  /* longer than said */
    check_extensions(MB_SLICE_LIT("\0\0\0\7\0\4\0\0\1aa"), MB_EPROTO);
    check_extensions(MB_SLICE_LIT("\0\0\0\6\0\4\0\0\1a\0\0\0\6\0\4\0\0\1b"), MB_EPROTO); /* twice */
    /* ALPN */
    check_extensions(MB_SLICE_LIT("\0\x10\0\5\0\3\2h2"), MB_OK);
    check_extensions(MB_SLICE_LIT("\0\x10\0\2\0\0"), MB_EPROTO);
    check_extensions(MB_SLICE_LIT("\0\x10\0\3\0\1\0"), MB_EPROTO);
    check_extensions(MB_SLICE_LIT("\0\x10\0\5\0\3\3h2"), MB_EPROTO);
    check_extensions(MB_SLICE_LIT("\0\x10\0\6\0\3\2h2x"), MB_EPROTO);
    /* supported_versions */
    check_extensions(MB_SLICE_LIT("\0\x2b\0\3\2\3\4"), MB_OK);
    check_extensions(MB_SLICE_LIT("\0\x2b\0\2\1\3"), MB_EPROTO);
    check_extensions(MB_SLICE_LIT("\0\x2b\0\4\2\3\4\3"), MB_EPROTO);
}

MB_TEST(names_up_to_255_bytes_are_read) {
    bytes *made = calloc(1, sizeof(*made));
    char name[256];
    memset(name, 'a', sizeof(name));
    mb_client_hello got;
    like_a_browser(mb_slice_of(name, 255), 0, made);
    MB_CHECK_EQ_INT(read_once(view(made), NULL, &got), made->len);
    like_a_browser(mb_slice_of(name, 256), 0, made);
    MB_CHECK_EQ_INT(read_once(view(made), NULL, &got), MB_EPROTO);
    free(made);
}

MB_TEST(out_of_memory_is_returned) {
    bytes *one = calloc(1, sizeof(*one)), *cut = calloc(1, sizeof(*cut));
    mbtest_alloc *memory = mbtest_failing_alloc(1);
    mb_text joined;
    mb_client_hello got;
    mb_text_init(&joined, &memory->allocator, SIZE_MAX);
    like_a_browser(MB_SLICE_LIT("a.example.org"), 10, one);
    in_records(one, 50, cut);
    MB_CHECK_EQ_INT(read_once(view(cut), &joined, &got), MB_ENOMEM);
    MB_CHECK_EQ_INT(read_once(view(cut), &joined, &got), cut->len);
    mb_text_fini(&joined);
    mbtest_alloc_free(memory);
    free(cut);
    free(one);
}
