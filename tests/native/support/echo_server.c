#include "support/echo_server.h"

#include "base/alloc.h"
#include "base/slice.h"
#include "config/documents.h"
#include "support/json_document.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN_US 1000
#define TURNS_MAX 3000

static const mb_host *host;

/* -- the filter ------------------------------------------------------------------------------- */

static void show(mb_text *out, const char *name, mb_slice value) {
    mb_text_format(out, "seen-%s: %.*s\n", name[0] == ':' ? name + 1 : name, MB_TEXT_ARG(value));
}

static mb_headers_status request_headers(mb_filter *filter, bool end_stream) {
    static const char *const pseudo[] = {":method", ":path", ":authority", ":scheme"};
    mb_headers *headers = host->headers(filter->stream, MB_REQUEST);
    mb_text text;
    mb_header header;
    mb_slice value;
    (void)end_stream;
    mb_text_init(&text, mb_allocator_default(), SIZE_MAX);
    for (size_t i = 0; i < sizeof(pseudo) / sizeof(pseudo[0]); i++) {
        if (host->headers_get(headers, mb_slice_from_c(pseudo[i]), 0, &value) > 0) {
            show(&text, pseudo[i], value);
        }
    }
    for (size_t i = 0; host->headers_at(headers, i, &header) == MB_OK; i++) {
        mb_text_format(&text, "seen-%.*s: %.*s\n", MB_TEXT_ARG(header.name),
                       MB_TEXT_ARG(header.value));
    }
    if (host->info_text(filter->stream, MB_INFO_DOWNSTREAM_REMOTE, &value) == MB_OK) {
        show(&text, "remote", value);
    }
    mb_local_reply reply = {.status = 200, .body = mb_text_view(&text)};
    MB_CHECK_EQ_INT(host->respond(filter, &reply), MB_OK);
    mb_text_fini(&text);
    return MB_HEADERS_STOP_ITERATION;
}

static const mb_filter_hooks hooks = {
    .abi_version = MB_ABI_VERSION,
    .struct_size = sizeof(hooks),
    .request_headers = request_headers,
};
static const mb_filter_kind kinds[] = {{"*", &hooks}};

/* -- the server ------------------------------------------------------------------------------- */

static void apply(echo_server *self, const char *const *edits) {
    mb_text document;
    char *faults;
    json_document(&document, config_minimal, edits[0], edits[1], edits[2], edits[3], edits[4],
                  edits[5], edits[6], edits[7], edits[8], edits[9], NULL);
    int result = mb_server_apply(self->server, document.ptr, document.len, &faults);
    MB_CHECK_EQ_LIT(mb_slice_from_c(faults == NULL ? "" : faults), "");
    MB_CHECK_EQ_INT(result, MB_OK);
    mb_text_fini(&document);
}

void echo_init(echo_server *self, ...) {
    mb_module module = {
        .abi_version = MB_ABI_VERSION,
        .struct_size = sizeof(module),
        .name = "moebridge",
        .filters = kinds,
        .filter_count = 1,
    };
    const char *edits[11] = {NULL};
    const char *name, *address;
    va_list list;
    memset(self, 0, sizeof(*self));
    host = mb_host_table();
    mbtest_clock_init(&self->clock, 1000000, 784111777000000u);
    mb_server_options options = {.struct_size = sizeof(options), .clock = &self->clock.clock};
    MB_CHECK_EQ_INT(mb_server_new(&options, &self->server), MB_OK);
    MB_CHECK_EQ_INT(mb_server_add_module(self->server, &module), MB_OK);
    va_start(list, self);
    for (size_t i = 0; i < 10 && (edits[i] = va_arg(list, const char *)) != NULL; i++) {
    }
    va_end(list);
    apply(self, edits);
    MB_CHECK_EQ_INT(mb_server_start(self->server), MB_OK);
    MB_CHECK_EQ_INT(mb_server_listener(self->server, 0, &name, &address), MB_OK);
    self->port = (uint16_t)atoi(strrchr(address, ':') + 1);
}

void echo_fini(echo_server *self) {
    mb_server_free(self->server);
}

/* -- the client ------------------------------------------------------------------------------- */

static int connect_client(const echo_server *self) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MB_CHECK(fd >= 0);
    MB_CHECK_EQ_INT(
        inet_pton(AF_INET, self->from == NULL ? "127.0.0.1" : self->from, &address.sin_addr), 1);
    MB_CHECK_EQ_INT(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(self->port);
    MB_CHECK_EQ_INT(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* "GET /\nfield: value\n" as a request that ends the connection. */
static void send_head(echo_server *self, int fd, const char *head) {
    char bytes[8192];
    size_t length = 0;
    bool first = true;
    mb_slice rest = mb_slice_from_c(head), line;
    while (rest.len > 0) {
        mb_slice_split(rest, '\n', &line, &rest);
        int n = snprintf(bytes + length, sizeof(bytes) - length, "%.*s%s\r\n", (int)line.len,
                         line.ptr, first ? " HTTP/1.1\r\nConnection: close" : "");
        MB_CHECK(n > 0 && (size_t)n < sizeof(bytes) - length);
        length += (size_t)n;
        first = false;
    }
    MB_CHECK(length + 2 < sizeof(bytes));
    memcpy(bytes + length, "\r\n", 2);
    size_t lead = 0;
    if (self->slow_us > 0) {
        lead = 4;
        MB_CHECK_EQ_INT(send(fd, bytes, lead, MSG_NOSIGNAL), lead);
        for (int turns = 0; turns < 20; turns++) {
            MB_CHECK(mb_server_run(self->server, 0) >= 0);
        }
        mbtest_clock_advance_us(&self->clock, self->slow_us);
    }
    length += 2 - lead;
    MB_CHECK_EQ_INT(send(fd, bytes + lead, length, MSG_NOSIGNAL), length);
}

void echo_ask(echo_server *self, const char *head) {
    int fd = connect_client(self);
    bool open = true;
    send_head(self, fd, head);
    self->heard_length = 0;
    for (int turns = 0; open; turns++) {
        MB_CHECK(turns < TURNS_MAX);
        MB_CHECK(mb_server_run(self->server, 0) >= 0);
        ssize_t count = recv(fd, self->heard + self->heard_length,
                             sizeof(self->heard) - self->heard_length, MSG_DONTWAIT);
        MB_CHECK(count >= 0 || errno == EAGAIN);
        self->heard_length += count > 0 ? (size_t)count : 0;
        open = count != 0;
    }
    close(fd);
    mbtest_clock_advance_us(&self->clock, 2000000); /* past the linger */
    MB_CHECK(mb_server_run(self->server, 0) >= 0);
}

mb_slice echo_status(const echo_server *self) {
    mb_slice line, rest;
    mb_slice_split((mb_slice){self->heard, self->heard_length}, '\r', &line, &rest);
    return line;
}

mb_slice echo_value(const echo_server *self, const char *name) {
    static char joined[4096];
    size_t length = 0;
    bool found = false;
    mb_slice rest = {self->heard, self->heard_length}, line;
    while (rest.len > 0) {
        mb_slice before, value;
        mb_slice_split(rest, '\n', &line, &rest);
        if (mb_slice_split(line, ':', &before, &value) &&
            mb_slice_equal(before, mb_slice_from_c(name))) {
            value = mb_slice_skip(value, 1);
            if (value.len > 0 && value.ptr[value.len - 1] == '\r') {
                value.len--;
            }
            MB_CHECK(length + value.len + 1 < sizeof(joined));
            if (found) {
                joined[length++] = '|';
            }
            memcpy(joined + length, value.ptr, value.len);
            length += value.len;
            found = true;
        }
    }
    return found ? (mb_slice){joined, length} : MB_SLICE_LIT("(none)");
}
