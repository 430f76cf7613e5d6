/*
 * Log files: where access log lines go. A line is appended to memory; one write at the end of the
 * loop's turn puts all lines of the turn out. A reader that stops (a full pipe) never blocks the
 * worker: up to LIMIT bytes wait, then whole lines are dropped and counted.
 */
#ifndef MB_SERVER_LOG_FILE_H
#define MB_SERVER_LOG_FILE_H

#include "base/text.h"
#include "config/hcm_config.h"

#define MB_LOG_FILE_LIMIT_BYTES (4u * 1024u * 1024u)

typedef struct mb_log_file mb_log_file;

typedef struct mb_log_files {
    mb_worker *worker;
    mb_log_file *first;
    mb_metric *written, *dropped, *failed, *reopened;
} mb_log_files;

int mb_log_files_init(mb_log_files *files, mb_worker *worker);
void mb_log_files_fini(mb_log_files *files); /* writes what is left */
/* The file of an access log, opened (appending, created 0644) when it is new. NULL: it can not be
 * opened; `*error` is the errno. */
mb_log_file *mb_log_files_open(mb_log_files *files, mb_log_sink sink, const char *path, int *error);
/* The same without opening; NULL: never opened. */
mb_log_file *mb_log_files_find(mb_log_files *files, mb_log_sink sink, const char *path);
/* Opens all by their paths again (logrotate moved them). MB_OK or MB_EIO: the old one is kept. */
int mb_log_files_reopen(mb_log_files *files);

/* Begin a line in the returned text, end it with mb_log_file_end_line. */
mb_text *mb_log_file_begin_line(mb_log_file *file);
void mb_log_file_end_line(mb_log_file *file);

#endif
