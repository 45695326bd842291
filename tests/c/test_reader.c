// A store that is only read, beside the process that writes it: it follows, refuses what writes,
// goes on when the writer is killed and comes again, and leaves the directory as it is.
#define _XOPEN_SOURCE 700
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define READ_ONLY(call) CHECK_FAILS(CAIRN_STATUS_READ_ONLY, call)

enum { QUEUES = 2, WAIT_MS = 30000, IDLE_MS = 300 };

static char path[4096];

// Appends to the queues in turn, going on where it was killed before, and tells when it has begun.
static void write_until_killed(int told) {
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    cairn_options *options = small_options();
    CHECK_OK(cairn_store_open(cairn_str_from(path), options, &store, &error));
    for (bool begun = false;; begun = true) {
        for (int32_t queue = 0; queue < QUEUES; queue++) {
            char body[64];
            int64_t index = -1;
            CHECK_OK(cairn_store_next_queue_offset(store, CAIRN_STR("t"), queue, &index, &error));
            snprintf(body, sizeof body, "%d %" PRId64, queue, index);
            cairn_message message = message_of("t", body);
            message.queue_id = queue;
            cairn_str key = cairn_str_from(body + 2);
            message.keys = &key;
            message.key_count = 1;
            CHECK_OK(cairn_store_append(store, &message, NULL, &error));
        }
        if (!begun) {
            CHECK(write(told, "!", 1) == 1);
        }
    }
}

// Starts a writer and returns when it has appended to every queue.
static pid_t start_writer(void) {
    int ends[2];
    char begun;
    CHECK(pipe(ends) == 0);
    pid_t writer = fork();
    CHECK(writer >= 0);
    if (writer == 0) {
        write_until_killed(ends[1]);
    }
    close(ends[1]);
    CHECK(read(ends[0], &begun, 1) == 1);
    close(ends[0]);
    return writer;
}

static void kill_writer(pid_t writer) {
    int ended = 0;
    CHECK(kill(writer, SIGKILL) == 0);
    CHECK(waitpid(writer, &ended, 0) == writer && WIFSIGNALED(ended));
}

// Reads at least `least` messages of a queue, and then until none comes for a while if `to_end`.
static int64_t follow(cairn_tail *tail, int32_t queue, int64_t next, int64_t least, bool to_end) {
    cairn_error *error = NULL;
    for (int64_t seen = 0;;) {
        cairn_batch *batch = NULL;
        bool enough = seen >= least;
        if (enough && !to_end) {
            return next;
        }
        CHECK_OK(cairn_tail_next(tail, 100, enough ? IDLE_MS : WAIT_MS, &batch, &error));
        size_t count = cairn_batch_len(batch);
        CHECK(count > 0 || enough);
        for (size_t at = 0; at < count; at++, next++, seen++) {
            char body[64];
            cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
            CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, at, &view));
            snprintf(body, sizeof body, "%d %" PRId64, queue, next);
            CHECK(view.queue_offset == next && same_bytes(view.body, body));
        }
        cairn_batch_free(batch);
        if (count == 0) {
            return next;
        }
    }
}

// How many messages the index has for a key.
static size_t keyed(cairn_store *reader, const char *key) {
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    CHECK_OK(cairn_store_query_key(reader, CAIRN_STR("t"), cairn_str_from(key), 0, INT64_MAX, 10,
                                   &batch, &error));
    size_t count = cairn_batch_len(batch);
    cairn_batch_free(batch);
    return count;
}

// Returns when the index has the first message of each queue: the units of a batch are written
// before its keys, and a writer may be killed in between.
static void wait_for_first_keys(cairn_store *reader) {
    for (int waited_ms = 0; keyed(reader, "0") < QUEUES; waited_ms++) {
        CHECK(waited_ms < WAIT_MS);
        poll(NULL, 0, 1);
    }
}

static uint64_t listing;

// Adds a file's name, size and times to the listing, in no order.
static int list_file(const char *name, const struct stat *found, int kind, struct FTW *place) {
    uint64_t hash = 14695981039346656037u;
    const int64_t numbers[] = {found->st_size, found->st_mtim.tv_sec, found->st_mtim.tv_nsec,
                               found->st_ctim.tv_sec, found->st_ctim.tv_nsec};
    (void)kind;
    (void)place;
    for (const char *at = name; *at != 0; at++) {
        hash = (hash ^ (uint8_t)*at) * 1099511628211u;
    }
    for (size_t at = 0; at < sizeof numbers / sizeof *numbers; at++) {
        hash = (hash ^ (uint64_t)numbers[at]) * 1099511628211u;
    }
    listing += hash;
    return 0;
}

static uint64_t list_directory(void) {
    listing = 0;
    CHECK(nftw(path, list_file, 16, FTW_PHYS) == 0);
    return listing;
}

static cairn_store *open_reader(void) {
    cairn_error *error = NULL;
    cairn_store *reader = NULL;
    cairn_options *options = small_options();
    CHECK_OK(cairn_store_open_reader(cairn_str_from(path), options, &reader, &error));
    cairn_options_free(options);
    CHECK(cairn_store_is_reader(reader) && !cairn_store_is_closed(reader));
    CHECK(cairn_store_segment_size_bytes(reader) == 64 * 1024);
    CHECK(cairn_store_recovery(reader) == NULL && same_text(cairn_store_path(reader), path));
    return reader;
}

static int32_t unsure(const cairn_transaction_check *check, void *user_data) {
    (void)check;
    (void)user_data;
    return CAIRN_TRANSACTION_ANSWER_UNKNOWN;
}

static void what_writes_is_refused(cairn_store *reader) {
    cairn_error *error = NULL;
    cairn_message message = message_of("t", "refused");
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    cairn_queue *queue = NULL;
    cairn_groups *groups = NULL;
    cairn_stats *stats = NULL;
    size_t appended = 7;
    int64_t index;
    READ_ONLY(cairn_store_append(reader, &message, &result, &error));
    READ_ONLY(cairn_store_append_many(reader, &message, 1, &result, &appended, &error));
    CHECK(appended == 0);
    READ_ONLY(cairn_store_begin_transaction(reader, &message, &result, &error));
    READ_ONLY(cairn_store_set_transaction_checker(reader, unsure, NULL, NULL, &error));
    READ_ONLY(cairn_store_flush(reader, &error));
    READ_ONLY(cairn_store_wait_durable(reader, 0, 0, &error));
    READ_ONLY(cairn_store_next_queue_offset(reader, CAIRN_STR("t"), 0, &index, &error));
    READ_ONLY(cairn_store_remove_expired(reader, NULL, NULL, &error));
    READ_ONLY(cairn_queue_open(reader, CAIRN_STR("t"), 0, &queue, &error));
    READ_ONLY(cairn_store_groups(reader, &groups, &error));
    READ_ONLY(cairn_store_take_stats(reader, &stats, &error));
    CHECK(queue == NULL && groups == NULL && stats == NULL);
}

// Everything that reads, on what the killed writer left.
static void all_is_read(cairn_store *reader, const int64_t *ends) {
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    cairn_topics *topics = NULL;
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    cairn_read_request request = CAIRN_READ_REQUEST_INIT;
    int64_t first = -1, next = -1, records = 0;
    CHECK_OK(cairn_store_queue_range(reader, CAIRN_STR("t"), 1, &first, &next, &error));
    CHECK(first == 0 && next == ends[1]);
    request.topic = CAIRN_STR("t");
    request.offset = ends[0] - 1;
    CHECK_OK(cairn_store_read(reader, &request, &batch, &error));
    CHECK(cairn_batch_len(batch) == 1 && cairn_batch_max_offset(batch) == ends[0]);
    cairn_batch_free(batch);
    CHECK(keyed(reader, "0") == QUEUES);
    CHECK_OK(cairn_store_topics(reader, &topics, &error));
    CHECK(cairn_topics_len(topics) == 1 && same_text(cairn_topics_get(topics, 0), "t"));
    cairn_topics_free(topics);
    CHECK_OK(cairn_store_positions(reader, &positions, &error));
    CHECK(positions.min_offset == 0 && positions.committed_offset == positions.max_offset);
    CHECK(positions.durable_offset == -1 && positions.dispatched_offset == -1);
    for (int64_t from = 0;; from = next, cairn_batch_free(batch)) {
        CHECK_OK(cairn_store_read_log(reader, from, 1000, 1 << 20, 0, &batch, &error));
        records += (int64_t)cairn_batch_len(batch);
        next = cairn_batch_next_offset(batch);
        if (cairn_batch_outcome(batch) == CAIRN_READ_OUTCOME_END_OF_LOG) {
            break;
        }
    }
    CHECK(next == positions.max_offset && records >= ends[0] + ends[1]);
    cairn_batch_free(batch);
    CHECK_FAILS(CAIRN_STATUS_WAIT_TIMEOUT,
                cairn_store_wait_message(reader, CAIRN_STR("t"), 0, ends[0] + 1, 5, &error));
}

int main(int argc, char **argv) {
    cairn_error *error = NULL;
    cairn_store *reader = NULL;
    cairn_tail *tails[QUEUES];
    cairn_batch *batch = NULL;
    int64_t ends[QUEUES] = {0};
    snprintf(path, sizeof path, "%s/store", directory_argument(argc, argv));
    CHECK_FAILS(CAIRN_STATUS_STORE_NOT_FOUND,
                cairn_store_open_reader(cairn_str_from(path), NULL, &reader, &error));
    CHECK(reader == NULL && access(path, F_OK) != 0);

    pid_t writer = start_writer();
    reader = open_reader();
    what_writes_is_refused(reader);
    for (int32_t queue = 0; queue < QUEUES; queue++) {
        CHECK_OK(
            cairn_tail_open(reader, CAIRN_STR("t"), queue, 0, NULL, &tails[queue], &error));
        ends[queue] = follow(tails[queue], queue, 0, 2000, false);
    }
    wait_for_first_keys(reader);
    kill_writer(writer);
    uint64_t before = list_directory();
    for (int32_t queue = 0; queue < QUEUES; queue++) {
        ends[queue] = follow(tails[queue], queue, ends[queue], 0, true);
    }
    all_is_read(reader, ends);
    close_store(open_reader());
    CHECK(list_directory() == before);

    writer = start_writer();
    for (int32_t queue = 0; queue < QUEUES; queue++) {
        ends[queue] = follow(tails[queue], queue, ends[queue], 500, false);
    }
    kill_writer(writer);
    CHECK(list_directory() != before);

    CHECK_OK(cairn_store_close(reader, &error));
    CHECK(cairn_store_is_closed(reader));
    CHECK_OK(cairn_store_close(reader, &error));
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED, cairn_tail_next(tails[0], 1, 0, &batch, &error));
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED, cairn_store_read_at(reader, 0, &batch, &error));
    cairn_store_free(reader);
    for (int32_t queue = 0; queue < QUEUES; queue++) {
        cairn_tail_free(tails[queue]);
    }
    return 0;
}
