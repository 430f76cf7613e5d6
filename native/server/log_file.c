/*
 * Log files: see log_file.h.
 */
#include "server/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

struct mb_log_file {
    mb_log_file *next;
    mb_log_files *files;
    mb_log_sink sink;
    char *path; /* owned, NUL-terminated */
    int fd;
    bool regular;      /* writes do not block */
    mb_text lines;     /* not written yet */
    size_t line_start; /* of the line that is being made */
    mb_task flush_task;
    mb_timer retry_timer;
};

#define RETRY_US 50000u

static bool would_block(const mb_log_file *file) {
    struct pollfd ask = {.fd = file->fd, .events = POLLOUT};
    return !file->regular && poll(&ask, 1, 0) == 0;
}

/* At most PIPE_BUF at a time where a write could block: that much fits when poll says so. */
static ssize_t write_some(mb_log_file *file, const char *at, size_t left) {
    size_t most = file->regular || left < 4096 ? left : 4096;
    return write(file->fd, at, most);
}

static void flush(mb_log_file *file) {
    size_t done = 0;
    if (file->lines.len == 0) {
        return;
    }
    while (done < file->lines.len) {
        if (would_block(file)) {
            mb_loop_arm(file->files->worker->loop, &file->retry_timer, RETRY_US);
            break;
        }
        ssize_t n = write_some(file, file->lines.ptr + done, file->lines.len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            mb_loop_arm(file->files->worker->loop, &file->retry_timer, RETRY_US);
            break;
        }
        if (n < 0) { /* a full disk: these lines are lost, the proxy is not */
            mb_metric_inc(file->files->failed);
            done = file->lines.len;
            break;
        }
        done += (size_t)n;
    }
    memmove(file->lines.ptr, file->lines.ptr + done, file->lines.len - done);
    mb_text_truncate(&file->lines, file->lines.len - done);
    file->lines.status = MB_OK;
}

static void on_flush(mb_task *task) {
    flush(MB_LIST_ENTRY(task, mb_log_file, flush_task));
}

static void on_retry(mb_timer *timer) {
    flush(MB_LIST_ENTRY(timer, mb_log_file, retry_timer));
}

mb_text *mb_log_file_begin_line(mb_log_file *file) {
    file->line_start = file->lines.len;
    return &file->lines;
}

void mb_log_file_end_line(mb_log_file *file) {
    if (file->lines.status < 0) {
        mb_text_truncate(&file->lines, file->line_start);
        file->lines.status = MB_OK;
        mb_metric_inc(file->files->dropped);
        return;
    }
    mb_metric_inc(file->files->written);
    mb_loop_defer(file->files->worker->loop, MB_PHASE_FREE, &file->flush_task);
}

static int open_fd(mb_log_sink sink, const char *path) {
    if (sink == MB_SINK_FILE) {
        /* Not to wait for the reader of a FIFO; a file isn't changed by it. */
        return open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
    }
    return fcntl(sink == MB_SINK_STDOUT ? STDOUT_FILENO : STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
}

static bool is_regular(int fd) {
    return lseek(fd, 0, SEEK_CUR) >= 0;
}

mb_log_file *mb_log_files_find(mb_log_files *files, mb_log_sink sink, const char *path) {
    for (mb_log_file *file = files->first; file != NULL; file = file->next) {
        if (file->sink == sink && strcmp(file->path, path) == 0) {
            return file;
        }
    }
    return NULL;
}

mb_log_file *mb_log_files_open(mb_log_files *files, mb_log_sink sink, const char *path,
                               int *error) {
    mb_log_file *file = mb_log_files_find(files, sink, path);
    if (file != NULL) {
        return file;
    }
    const mb_allocator *allocator = files->worker->allocator;
    int fd = open_fd(sink, path);
    if (fd < 0) {
        *error = errno;
        return NULL;
    }
    size_t bytes = strlen(path) + 1;
    file = allocator->alloc(allocator->ctx, sizeof(*file));
    char *copy = allocator->alloc(allocator->ctx, bytes);
    if (file == NULL || copy == NULL) {
        if (file != NULL) {
            allocator->free(allocator->ctx, file, sizeof(*file));
        }
        if (copy != NULL) {
            allocator->free(allocator->ctx, copy, bytes);
        }
        close(fd);
        *error = ENOMEM;
        return NULL;
    }
    memcpy(copy, path, bytes);
    *file = (mb_log_file){.next = files->first,
                          .files = files,
                          .sink = sink,
                          .path = copy,
                          .fd = fd,
                          .regular = is_regular(fd),
                          .flush_task.run = on_flush,
                          .retry_timer.on_expire = on_retry};
    mb_text_init(&file->lines, allocator, MB_LOG_FILE_LIMIT_BYTES);
    files->first = file;
    return file;
}

int mb_log_files_reopen(mb_log_files *files) {
    int rc = MB_OK;
    for (mb_log_file *file = files->first; file != NULL; file = file->next) {
        flush(file);
        int fd = open_fd(file->sink, file->path);
        if (fd < 0) {
            mb_metric_inc(files->failed);
            rc = MB_EIO;
            continue;
        }
        close(file->fd);
        file->fd = fd;
        file->regular = is_regular(fd);
        mb_metric_inc(files->reopened);
    }
    return rc;
}

int mb_log_files_init(mb_log_files *files, mb_worker *worker) {
    *files = (mb_log_files){.worker = worker};
    const struct {
        mb_slice name;
        mb_metric **out;
    } counters[] = {
        {MB_SLICE_LIT("access_log.written"), &files->written},
        {MB_SLICE_LIT("access_log.dropped"), &files->dropped},
        {MB_SLICE_LIT("access_log.write_failed"), &files->failed},
        {MB_SLICE_LIT("access_log.reopened"), &files->reopened},
    };
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        int rc =
            mb_stats_define(worker->stats, MB_COUNTER, counters[i].name, NULL, 0, counters[i].out);
        if (rc < 0) {
            return rc;
        }
    }
    return MB_OK;
}

void mb_log_files_fini(mb_log_files *files) {
    mb_log_file *file;
    while ((file = files->first) != NULL) {
        files->first = file->next;
        flush(file);
        mb_loop_cancel(&file->flush_task);
        mb_loop_disarm(&file->retry_timer);
        close(file->fd);
        mb_text_fini(&file->lines);
        const mb_allocator *allocator = files->worker->allocator;
        allocator->free(allocator->ctx, file->path, strlen(file->path) + 1);
        allocator->free(allocator->ctx, file, sizeof(*file));
    }
}
