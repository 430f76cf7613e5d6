/*
 * Log files: whole lines in order, a reader that stops, a full disk, files that were moved.
 */
#define _GNU_SOURCE /* F_SETPIPE_SZ */

#include "server/log_file.h"

#include "mbtest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct scene {
    mbtest_alloc *memory;
    mbtest_clock clock;
    mb_worker worker;
    mb_log_files files;
    char folder[64];
    char path[128];
} scene;

static bool scene_init(scene *self, size_t fail_at) {
    static const mb_logger no_log = {.level = MB_LOG_OFF};
    memset(self, 0, sizeof(*self));
    mbtest_clock_init(&self->clock, 1000000, 1000000);
    strcpy(self->folder, "/tmp/mbtest-log-XXXXXX");
    MB_CHECK(mkdtemp(self->folder) != NULL);
    snprintf(self->path, sizeof(self->path), "%s/access.log", self->folder);
    self->memory = mbtest_failing_alloc(fail_at);
    if (mb_worker_init(&self->worker, &self->memory->allocator, &self->clock.clock, &no_log, 0) !=
        MB_OK) {
        mbtest_alloc_free(self->memory);
        rmdir(self->folder);
        return false;
    }
    if (mb_log_files_init(&self->files, &self->worker) != MB_OK) {
        mb_worker_fini(&self->worker);
        mbtest_alloc_free(self->memory);
        rmdir(self->folder);
        return false;
    }
    return true;
}

static void scene_fini(scene *self) {
    mb_log_files_fini(&self->files);
    mb_worker_fini(&self->worker);
    mbtest_alloc_free(self->memory);
    unlink(self->path);
    MB_CHECK_EQ_INT(rmdir(self->folder), 0);
}

static void turn(scene *self) {
    MB_CHECK_EQ_INT(mb_loop_turn(self->worker.loop, 0), MB_OK);
}

static void line(mb_log_file *file, const char *text) {
    mb_text_c(mb_log_file_begin_line(file), text);
    mb_log_file_end_line(file);
}

static mb_log_file *open_path(scene *self, const char *path) {
    int error = 0;
    mb_log_file *file = mb_log_files_open(&self->files, MB_SINK_FILE, path, &error);
    MB_CHECK(file != NULL || self->memory->fail_at > 0);
    return file;
}

static void check_content(const char *path, const char *want) {
    char text[4096];
    int fd = open(path, O_RDONLY);
    MB_CHECK(fd >= 0);
    ssize_t length = read(fd, text, sizeof(text));
    close(fd);
    MB_CHECK(length >= 0);
    MB_CHECK_EQ_SLICE(((mb_slice){text, (size_t)length}), ((mb_slice){want, strlen(want)}));
}

MB_TEST(lines_of_a_turn_are_written_at_its_end) {
    scene self;
    MB_CHECK(scene_init(&self, 0));
    mb_log_file *file = open_path(&self, self.path);
    line(file, "one\n");
    line(file, "two\n");
    check_content(self.path, "");
    turn(&self);
    check_content(self.path, "one\ntwo\n");
    line(file, "three\n");
    turn(&self);
    check_content(self.path, "one\ntwo\nthree\n");
    MB_CHECK_EQ_INT(mb_metric_value(self.files.written), 3);
    scene_fini(&self);
}

MB_TEST(a_file_is_appended_to_and_opened_once) {
    scene self;
    struct stat status;
    MB_CHECK(scene_init(&self, 0));
    int fd = open(self.path, O_WRONLY | O_CREAT, 0600);
    MB_CHECK_EQ_INT(write(fd, "old\n", 4), 4);
    close(fd);
    mb_log_file *file = open_path(&self, self.path);
    MB_CHECK(open_path(&self, self.path) == file);
    MB_CHECK(mb_log_files_find(&self.files, MB_SINK_FILE, self.path) == file);
    MB_CHECK(mb_log_files_find(&self.files, MB_SINK_STDOUT, self.path) == NULL);
    MB_CHECK(mb_log_files_find(&self.files, MB_SINK_FILE, "/other") == NULL);
    line(file, "new\n");
    turn(&self);
    check_content(self.path, "old\nnew\n");
    MB_CHECK_EQ_INT(stat(self.path, &status), 0);
    scene_fini(&self);
}

MB_TEST(what_is_left_is_written_at_the_end) {
    scene self;
    char path[128];
    MB_CHECK(scene_init(&self, 0));
    strcpy(path, self.path);
    line(open_path(&self, self.path), "last\n");
    mb_log_files_fini(&self.files);
    check_content(path, "last\n");
    MB_CHECK_EQ_INT(mb_log_files_init(&self.files, &self.worker), MB_OK);
    scene_fini(&self);
}

MB_TEST(a_file_that_was_moved_is_opened_anew) {
    scene self;
    char moved[160];
    MB_CHECK(scene_init(&self, 0));
    mb_log_file *file = open_path(&self, self.path);
    snprintf(moved, sizeof(moved), "%s.1", self.path);
    line(file, "one\n");
    turn(&self);
    MB_CHECK_EQ_INT(rename(self.path, moved), 0);
    line(file, "two\n");
    MB_CHECK_EQ_INT(mb_log_files_reopen(&self.files), MB_OK);
    line(file, "three\n");
    turn(&self);
    check_content(moved, "one\ntwo\n");
    check_content(self.path, "three\n");
    MB_CHECK_EQ_INT(mb_metric_value(self.files.reopened), 1);
    unlink(moved);
    scene_fini(&self);
}

MB_TEST(a_file_that_can_not_be_opened_again_is_kept) {
    scene self;
    char moved[80];
    MB_CHECK(scene_init(&self, 0));
    mb_log_file *file = open_path(&self, self.path);
    snprintf(moved, sizeof(moved), "%s.moved", self.folder);
    MB_CHECK_EQ_INT(rename(self.folder, moved), 0);
    MB_CHECK_EQ_INT(mb_log_files_reopen(&self.files), MB_EIO);
    MB_CHECK_EQ_INT(mb_metric_value(self.files.failed), 1);
    line(file, "still here\n");
    turn(&self);
    MB_CHECK_EQ_INT(rename(moved, self.folder), 0);
    check_content(self.path, "still here\n");
    scene_fini(&self);
}

MB_TEST(a_path_that_can_not_be_opened_says_why) {
    scene self;
    int error = 0;
    MB_CHECK(scene_init(&self, 0));
    MB_CHECK(mb_log_files_open(&self.files, MB_SINK_FILE, self.folder, &error) == NULL);
    MB_CHECK_EQ_INT(error, EISDIR);
    MB_CHECK(mb_log_files_open(&self.files, MB_SINK_FILE, "/no/such/folder/x", &error) == NULL);
    MB_CHECK_EQ_INT(error, ENOENT);
    scene_fini(&self);
}

/* A FIFO that nobody reads must not stop the worker while a configuration loads. */
MB_TEST(a_pipe_without_reader_is_refused_at_once) {
    scene self;
    int error = 0;
    MB_CHECK(scene_init(&self, 0));
    MB_CHECK_EQ_INT(mkfifo(self.path, 0600), 0);
    MB_CHECK(mb_log_files_open(&self.files, MB_SINK_FILE, self.path, &error) == NULL);
    MB_CHECK_EQ_INT(error, ENXIO);
    scene_fini(&self);
}

static size_t drain(int fd, char *into, size_t length, size_t room) {
    ssize_t count;
    while ((count = read(fd, into + length, room - length)) > 0) {
        length += (size_t)count;
    }
    return length;
}

MB_TEST(a_reader_that_stops_gets_whole_lines_later) {
    scene self;
    enum { LINES = 3000 };
    char *got = malloc(LINES * 32);
    char text[64], *at = got;
    size_t length = 0;
    MB_CHECK(scene_init(&self, 0));
    MB_CHECK_EQ_INT(mkfifo(self.path, 0600), 0);
    int reader = open(self.path, O_RDONLY | O_NONBLOCK);
    MB_CHECK(fcntl(reader, F_SETPIPE_SZ, 4096) > 0);
    mb_log_file *file = open_path(&self, self.path);
    for (int i = 0; i < LINES; i++) {
        snprintf(text, sizeof(text), "line %06d of some bytes\n", i);
        line(file, text);
        if (i % 10 == 0) {
            turn(&self); /* returns, though the pipe is full */
        }
    }
    for (int i = 0; i < 1000; i++) {
        length = drain(reader, got, length, LINES * 32);
        mbtest_clock_advance_us(&self.clock, 60000);
        turn(&self);
    }
    length = drain(reader, got, length, LINES * 32);
    MB_CHECK_EQ_INT(mb_metric_value(self.files.dropped), 0);
    for (int i = 0; i < LINES; i++) {
        int n = snprintf(text, sizeof(text), "line %06d of some bytes\n", i);
        MB_CHECK(at + n <= got + length && memcmp(at, text, (size_t)n) == 0);
        at += n;
    }
    MB_CHECK(at == got + length);
    close(reader);
    free(got);
    scene_fini(&self);
}

MB_TEST(lines_beyond_the_limit_are_dropped_whole_and_counted) {
    scene self;
    enum { BYTES = 1000 };
    static char text[BYTES + 1];
    size_t kept = MB_LOG_FILE_LIMIT_BYTES / BYTES;
    MB_CHECK(scene_init(&self, 0));
    memset(text, 'x', BYTES);
    text[BYTES - 1] = '\n';
    mb_log_file *file = open_path(&self, self.path);
    for (size_t i = 0; i < kept + 7; i++) {
        line(file, text); /* no turn in between: as if the reader had stopped */
    }
    MB_CHECK_EQ_INT(mb_metric_value(self.files.written), kept);
    MB_CHECK_EQ_INT(mb_metric_value(self.files.dropped), 7);
    turn(&self);
    struct stat status;
    MB_CHECK_EQ_INT(stat(self.path, &status), 0);
    MB_CHECK_EQ_INT(status.st_size, kept * BYTES);
    line(file, text); /* there is room again */
    MB_CHECK_EQ_INT(mb_metric_value(self.files.dropped), 7);
    scene_fini(&self);
}

MB_TEST(a_full_disk_loses_lines_and_nothing_else) {
    scene self;
    MB_CHECK(scene_init(&self, 0));
    mb_log_file *full = open_path(&self, "/dev/full");
    mb_log_file *good = open_path(&self, self.path);
    line(full, "lost\n");
    line(good, "kept\n");
    turn(&self);
    MB_CHECK_EQ_INT(mb_metric_value(self.files.failed), 1);
    check_content(self.path, "kept\n");
    line(full, "lost too\n");
    turn(&self);
    turn(&self);
    MB_CHECK_EQ_INT(mb_metric_value(self.files.failed), 2);
    scene_fini(&self);
}

MB_TEST(a_reader_that_goes_loses_lines_and_nothing_else) {
    scene self;
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    MB_CHECK(scene_init(&self, 0));
    MB_CHECK_EQ_INT(mkfifo(self.path, 0600), 0);
    int reader = open(self.path, O_RDONLY | O_NONBLOCK);
    mb_log_file *file = open_path(&self, self.path);
    close(reader);
    line(file, "lost\n");
    turn(&self);
    MB_CHECK_EQ_INT(mb_metric_value(self.files.failed), 1);
    scene_fini(&self);
    signal(SIGPIPE, before);
}

MB_TEST(any_allocation_may_fail) {
    for (size_t n = 1, more = 1; more; n++) {
        scene self;
        if (!scene_init(&self, n)) {
            continue;
        }
        mb_log_file *file = open_path(&self, self.path);
        for (int i = 0; i < 50 && file != NULL; i++) {
            line(file, "a line of some length, so that the text has to grow\n");
        }
        turn(&self);
        uint64_t written = mb_metric_value(self.files.written);
        struct stat status;
        MB_CHECK(file == NULL || written + mb_metric_value(self.files.dropped) == 50);
        MB_CHECK(file == NULL || stat(self.path, &status) == 0);
        MB_CHECK(file == NULL || (uint64_t)status.st_size == written * 52);
        more = self.memory->requests >= n;
        scene_fini(&self);
    }
}
