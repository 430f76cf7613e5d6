/*
 * The core alone as a program, for tests that run it under sanitizers: no Python in it.
 *
 * usage: core DOCUMENT. It prints "listening NAME ADDRESS" for each listener and "ready", then
 * obeys lines of standard input: "stats" (answers "bytes N" and N bytes of msgpack), "apply FILE"
 * ("applied", or "refused" and why), "drain MS". It ends when drained (0), or with its input (0).
 */
#include <errno.h>
#include <fcntl.h>
#include <moebridge/core.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DOCUMENT_BYTES_MAX (4u << 20)

static void log_line(void *ctx, mb_log_level level, mb_slice component, mb_slice text) {
    (void)ctx;
    fprintf(stderr, "[%d] %.*s: %.*s\n", (int)level, (int)component.len, component.ptr,
            (int)text.len, text.ptr);
}

/* The line of an answer; false: the configuration was refused. */
static bool apply(mb_server *server, const char *path) {
    char *document = malloc(DOCUMENT_BYTES_MAX);
    FILE *file = fopen(path, "rb");
    char *faults = NULL;
    int rc = -1;
    if (file != NULL && document != NULL) {
        size_t length = fread(document, 1, DOCUMENT_BYTES_MAX, file);
        rc = mb_server_apply(server, document, length, &faults);
        fclose(file);
    }
    free(document);
    if (rc < 0) {
        printf("refused %s: %s\n", mb_strerror(rc), faults != NULL ? faults : "");
        fflush(stdout);
    }
    mb_text_free(faults);
    return rc >= 0;
}

static void print_stats(mb_server *server) {
    char *out;
    size_t length;
    if (mb_server_stats(server, &out, &length) == MB_OK) {
        printf("bytes %zu\n", length);
        fwrite(out, 1, length, stdout);
        fflush(stdout);
        mb_text_free(out);
    }
}

static void obey(mb_server *server, const char *line) {
    if (strcmp(line, "stats") == 0) {
        print_stats(server);
    } else if (strncmp(line, "apply ", 6) == 0) {
        if (apply(server, line + 6)) {
            printf("applied\n");
            fflush(stdout);
        }
    } else if (strncmp(line, "drain ", 6) == 0) {
        mb_server_drain(server, strtoull(line + 6, NULL, 10) * 1000);
        printf("draining\n");
        fflush(stdout);
    }
}

/* Reads lines of standard input as far as there are; false: its end. */
static bool read_commands(mb_server *server) {
    static char line[4096];
    static size_t used;
    for (;;) {
        ssize_t count = read(STDIN_FILENO, line + used, sizeof line - used - 1);
        if (count <= 0) {
            return count < 0 && errno == EAGAIN;
        }
        used += (size_t)count;
        char *end;
        while ((end = memchr(line, '\n', used)) != NULL) {
            *end = '\0';
            obey(server, line);
            used -= (size_t)(end + 1 - line);
            memmove(line, end + 1, used);
        }
    }
}

static int serve(mb_server *server) {
    for (size_t i = 0; i < mb_server_listener_count(server); i++) {
        const char *name, *address;
        mb_server_listener(server, i, &name, &address);
        printf("listening %s %s\n", name, address);
    }
    printf("ready\n");
    fflush(stdout);
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    if (mb_server_watch(server, STDIN_FILENO, MB_READY_READ) != MB_OK) {
        return 4;
    }
    for (;;) {
        int bits = mb_server_run(server, -1);
        mb_ready ready;
        if (bits < 0) {
            return 5;
        }
        if ((bits & MB_RUN_DRAINED) != 0) {
            return 0;
        }
        if (mb_server_ready(server, &ready, 1) > 0 && !read_commands(server)) {
            return 0;
        }
    }
}

int main(int argc, char **argv) {
    mb_server_options options = {.struct_size = sizeof options,
                                 .logger = {.log = log_line, .level = MB_LOG_DEBUG}};
    mb_server *server;
    if (argc != 2 || mb_server_new(&options, &server) != MB_OK) {
        return 2;
    }
    int status = 3;
    if (apply(server, argv[1]) && mb_server_start(server) == MB_OK) {
        status = serve(server);
    }
    mb_server_free(server);
    return status;
}
