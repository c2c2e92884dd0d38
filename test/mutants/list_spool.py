# SPDX-License-Identifier: MIT
from mutants import Mutant

SPOOL, FORMAT = "spool/check_spool", "spool/check_spool_format"
START, DISK = "spool/check_spool_start", "spool/check_spool_disk"

MUTANTS = [
    Mutant("daemon/spool/spool.c", "        spool_job_write_notes(&s->notes);\n", "", SPOOL,
           "an orderly end forgets what was sent last: it is sent again"),
    Mutant("daemon/spool/spool.c", "    write->record->claims = 1;", "    ;", SPOOL,
           "a file is retired although the rings may still repeat its spans"),
    Mutant("daemon/spool/spool.c", """            s->queue_end = at;
        s->queue_bytes -= write->record->request_bytes;
""", """            s->queue_end = at;
""", SPOOL, "what is taken back uses up the queue's bound for ever"),
    Mutant("daemon/spool/spool.c", """        if (!*at)
            s->queue_end = at;
""", "", SPOOL, "what follows a write that was taken back is never written"),
    Mutant("daemon/spool/spool.c", "file->written_ms >= RETIRE_AFTER_MS", "file->written_ms > RETIRE_AFTER_MS", DISK,
           "the file in use is retired later than said"),
    Mutant("daemon/spool/spool.c", "RETIRE_AFTER_MS = 1000", "RETIRE_AFTER_MS = 100", DISK,
           "the file in use is retired while it takes records"),
    Mutant("daemon/spool/spool.c", "s->removals && uv_now(s->loop) >= s->removal_retry_ms",
           "s->removals && uv_now(s->loop) < s->removal_retry_ms", DISK, "a file that could not be removed stays for ever"),
    Mutant("daemon/spool/spool_job.c", "if (uv_now(s->loop) >= s->removal_retry_ms)", "if (true)", DISK,
           "a file that cannot be removed is tried in every turn"),
    Mutant("daemon/spool/spool_job.c", """    if (s->job.note_err)
        log_cause""", """    if (false)
        log_cause""", DISK, "nobody learns that spans may be sent again"),
    Mutant("daemon/spool/spool_job.c", "if (job->sync && fsync(job->dir_fd) != 0)", "if (false)", DISK,
           "a file whose name a loss of power may take has records"),
    Mutant("daemon/spool/spool_format.c", "(bytes + SPOOL_ALIGN - 1) &", "(bytes + SPOOL_ALIGN) &", FORMAT,
           "records are not where the former version looks for them"),
    Mutant("daemon/spool/spool_format.c", "uint32_t crc = shmring_crc32c(0, head, offsetof(struct spool_head, crc));",
           "uint32_t crc = shmring_crc32c(1, head, offsetof(struct spool_head, crc));", FORMAT,
           "every record of the former version counts as damaged"),
    Mutant("daemon/spool/spool_format.c", "return shmring_crc32c(SPOOL_VERSION,", "return shmring_crc32c(0,", FORMAT,
           "every file of the former version counts as damaged"),
    Mutant("daemon/spool/spool_format.c", "shmring_crc32c(shmring_crc32c(0, place,", "shmring_crc32c(shmring_crc32c(1, place,", FORMAT,
           "every note of the former version counts as torn"),
    Mutant("daemon/spool/spool_format.c", "    memset(whole.reserved, 0, sizeof(whole.reserved));\n", "", FORMAT,
           "reserved bytes of a record are not zeros"),
    Mutant("daemon/spool/spool_format.c", "    memset(note->reserved, 0, sizeof(note->reserved));\n", "", FORMAT,
           "reserved bytes of a note are not zeros"),
    Mutant("daemon/spool/spool_open.c", "max_bytes / FILES, 64 * MIB)", "max_bytes * FILES, 64 * MIB)", START,
           "files of another size than described"),
    Mutant("daemon/spool/spool_open.c", "max_bytes / FILES_MAX, 1024 * MIB)", "max_bytes / FILES_MAX, 1025 * MIB)", START,
           "files of another size than described"),
    Mutant("daemon/spool/spool_open.c", """            return false;
    return true;
""", """            return false;
    return false;
""", START, "a file that was made and not begun is set aside as damaged"),
    Mutant("daemon/spool/spool_open.c", "if (renameat(s->dir_fd, file->name, s->dir_fd, SPOOL_SET_ASIDE) != 0)",
           "if (renameat(s->dir_fd, file->name, s->dir_fd, SPOOL_SET_ASIDE) == 0)", START, "a rename that failed is not told"),
    Mutant("daemon/spool/spool_open.c", "bytes < SPOOL_NAME_BYTES", "bytes <= SPOOL_NAME_BYTES", START,
           "a file of too long a name is taken, and later another removed for it"),
    Mutant("daemon/spool/spool_open.c", "        s->all_bytes += (uint64_t)st.st_size;\n", "        ;\n", START,
           "the spool grows over its bound by what was set aside before"),
    Mutant("daemon/spool/spool_open.c", "s->all_bytes <= s->max_bytes)\n        s->current", "s->all_bytes < s->max_bytes)\n        s->current",
           START, "a spool that is just full takes no more after a restart"),
    Mutant("daemon/spool/spool_open.c", "if (err == -EPROTONOSUPPORT)", "if (false)", START,
           "a file of another version is set aside, and lost with the next"),
    Mutant("daemon/spool/spool_io.c", "if (n <= 0)\n            return n < 0 ? (int)n : -EIO;", "if (n < 0)\n            return (int)n;", DISK,
           "a write of no bytes is tried for ever"),
    Mutant("daemon/spool/spool_io.c", "parts->iov_len == skip", "parts->iov_len <= skip + 1", DISK,
           "bytes are missing after a short write"),
    Mutant("daemon/spool/spool_files.c", "while (id == 0)", "if (id == 0)", DISK, "a file gets the id that stands for none"),
    Mutant("daemon/spool/spool.c", "if (--record->claims == 0)", "if (true)", SPOOL,
           "a file is retired when the first of a record's claims is committed"),
    Mutant("daemon/spool/spool.c", "outcome->rejected < record->spans ? (uint32_t)outcome->rejected : record->spans",
           "(uint32_t)outcome->rejected", SPOOL, "more spans are counted as rejected than there were"),
    Mutant("daemon/spool/spool.c", "if (claim->queue && claim->queue->instance)", "if (claim->queue->instance)", SPOOL,
           "the daemon dies when a segment is given up while its batch waits to be spooled"),
    Mutant("daemon/spool/spool.c", "else if (!s->read.running)", "else", SPOOL, "the spool is freed while a worker reads into it"),
    Mutant("daemon/spool/spool_read.c", "if (s->ending.begun)", "if (false)", SPOOL, "the end waits for ever, and its owner is called"),
    Mutant("daemon/spool/spool_files.c", "if (taken || (lock_fd < 0 && !s->transient))", "if (taken)", SPOOL,
           "two daemons write to one spool"),
    Mutant("daemon/spool/spool_files.c", "    while (*at != file)\n        at = &(*at)->next;\n", "", DISK,
           "the oldest file is forgotten when another is retired"),
    Mutant("daemon/spool/spool_files.c", "file->bytes == s->new_file_bytes && s->all_bytes <= s->max_bytes",
           "file->bytes == s->new_file_bytes", DISK, "a file over a lowered bound is kept"),
    Mutant("daemon/spool/spool_format.c", """    err = input->read_cb(input->user, offset + sizeof(head), claims->data, sizeof(found->note) + bytes);
    if (err)
        return err;
""", """    err = input->read_cb(input->user, offset + sizeof(head), claims->data, sizeof(found->note) + bytes);
    if (err)
        return 0;
""", FORMAT, "records behind one that cannot be read are taken, and nobody is told"),
    Mutant("daemon/spool/spool.c", "    if (file->users > 0 || file->unsettled > 0 || file->claimed > 0)\n        return false;",
           "    if (file->unsettled > 0 || file->claimed > 0)\n        return false;", DISK, "a note is written into a file used anew"),
    Mutant("daemon/spool/spool.c", "file->claimed > 0 ||\n            (has_id_to_note", "false ||\n            (has_id_to_note", DISK,
           "an orderly end removes what answers for spans that the rings still have"),
    Mutant("daemon/spool/spool_job.c", "    if (job->sync)\n        sync_records", "    if (true)\n        sync_records", DISK,
           "a spool in memory waits for a disk"),
]
