// How far opening is: of a store that was killed and has lost its queues, and of what opening would
// do; who is told, and when the user's data is given back.
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { MESSAGES = 200, PHASES = 2 };

typedef struct listener {
    // By phase: how often it was told, how often the phase was complete, and what was told last.
    int told[PHASES];
    int completed[PHASES];
    uint64_t bytes_done[PHASES];
    int32_t phase;
    int released;
    pthread_t opener;
} listener;

static void tell(const cairn_recovery_progress *progress, void *user_data) {
    listener *own = user_data;
    CHECK(progress->struct_size == sizeof *progress);
    CHECK(pthread_equal(pthread_self(), own->opener) && own->released == 0);
    CHECK(progress->phase >= own->phase && progress->phase < PHASES);
    own->phase = progress->phase;
    CHECK(progress->bytes_done >= own->bytes_done[own->phase]);
    CHECK(progress->bytes_done <= progress->bytes_total);
    // Nothing comes behind the end of a phase.
    CHECK(own->completed[own->phase] == 0);
    own->bytes_done[own->phase] = progress->bytes_done;
    own->told[own->phase]++;
    own->completed[own->phase] += progress->bytes_done == progress->bytes_total;
}

static void release(void *user_data) {
    listener *own = user_data;
    own->released++;
}

static cairn_options *options_telling(listener *own) {
    cairn_options *options = small_options();
    own->opener = pthread_self();
    CHECK_STATUS(CAIRN_STATUS_OK,
                 cairn_options_set_recovery_progress(options, tell, release, own));
    return options;
}

static cairn_store *open_with(const char *path, const cairn_options *options) {
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    CHECK_OK(cairn_store_open(cairn_str_from(path), options, &store, &error));
    return store;
}

// Has another process append to a store, and kills that.
static void kill_a_writer(const char *directory, const char *name) {
    int state = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        cairn_error *error = NULL;
        cairn_store *store = open_store(directory, name);
        cairn_message message = message_of("orders", "a message that outlives its process");
        for (int number = 0; number < MESSAGES; number++) {
            CHECK_OK(cairn_store_append(store, &message, NULL, &error));
        }
        CHECK_OK(cairn_store_wait_message(store, message.topic, 0, MESSAGES - 1, 30000, &error));
        kill(getpid(), SIGKILL);
    }
    CHECK(waitpid(child, &state, 0) == child);
    CHECK(WIFSIGNALED(state) && WTERMSIG(state) == SIGKILL);
}

// Removes what opening builds from the log.
static void forget_queues(const char *path) {
    char command[8192];
    snprintf(command, sizeof command, "rm -r '%s/consumequeue' && rm -f '%s/checkpoint'", path,
             path);
    CHECK(system(command) == 0);
}

static uint64_t end_of(cairn_store *store) {
    cairn_error *error = NULL;
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    CHECK_OK(cairn_store_positions(store, &positions, &error));
    return (uint64_t)positions.max_offset;
}

static void a_killed_store(const char *directory) {
    char path[4096];
    cairn_error *error = NULL;
    cairn_recovery *plan = NULL;
    snprintf(path, sizeof path, "%s/killed", directory);
    kill_a_writer(directory, "killed");
    forget_queues(path);

    // What opening would do ends with the log.
    listener looking = {.released = 0};
    cairn_options *options = options_telling(&looking);
    CHECK_OK(cairn_plan_recovery(cairn_str_from(path), options, &plan, &error));
    cairn_recovery_free(plan);
    CHECK(looking.completed[CAIRN_RECOVERY_PHASE_LOG] == 1 && looking.bytes_done[0] > 0);
    CHECK(looking.told[CAIRN_RECOVERY_PHASE_QUEUES] == 0 && looking.released == 0);
    cairn_options_free(options);
    CHECK(looking.released == 1);

    listener own = {.released = 0};
    options = options_telling(&own);
    cairn_store *store = open_with(path, options);
    uint64_t end = end_of(store);
    CHECK(end > MESSAGES && looking.bytes_done[0] == end);
    for (int phase = 0; phase < PHASES; phase++) {
        CHECK(own.completed[phase] == 1 && own.bytes_done[phase] == end);
    }
    // The store lives on without the options, and they without the store.
    CHECK(own.released == 0);
    cairn_options_free(options);
    CHECK(own.released == 1);
    close_store(store);
    CHECK(own.released == 1);
}

static void another_takes_the_place(const char *directory) {
    char path[4096];
    snprintf(path, sizeof path, "%s/replaced", directory);
    listener first = {.released = 0};
    listener second = {.released = 0};
    cairn_options *options = options_telling(&first);
    second.opener = pthread_self();
    CHECK_STATUS(CAIRN_STATUS_OK,
                 cairn_options_set_recovery_progress(options, tell, release, &second));
    CHECK(first.released == 1 && second.released == 0);
    close_store(open_with(path, options));
    CHECK(first.told[0] == 0 && second.told[0] > 0);
    // Other options change nothing about it, and one object opens many stores.
    memset(second.completed, 0, sizeof second.completed);
    memset(second.bytes_done, 0, sizeof second.bytes_done);
    second.phase = 0;
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_options_set_flush_interval_ms(options, 100));
    int before = second.told[0];
    close_store(open_with(path, options));
    CHECK(second.told[0] > before);
    // NULL is nobody: neither of the others belongs to it.
    listener nobody = {.released = 0};
    before = second.told[0];
    CHECK_STATUS(CAIRN_STATUS_OK,
                 cairn_options_set_recovery_progress(options, NULL, release, &nobody));
    CHECK(second.released == 1);
    close_store(open_with(path, options));
    CHECK(second.told[0] == before && second.released == 1 && nobody.released == 0);
    cairn_options_free(options);
    CHECK(first.released == 1 && second.released == 1 && nobody.released == 0);
}

static void what_is_refused_stays_with_the_caller(void) {
    listener own = {.released = 0};
    CHECK_STATUS(CAIRN_STATUS_INVALID_ARGUMENT,
                 cairn_options_set_recovery_progress(NULL, tell, release, &own));
    CHECK(own.released == 0);
    // Whoever needs nothing back.
    cairn_options *options = cairn_options_new();
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_options_set_recovery_progress(options, tell, NULL, &own));
    cairn_options_free(options);
    CHECK(own.released == 0);
}

int main(int argc, char **argv) {
    const char *directory = directory_argument(argc, argv);
    a_killed_store(directory);
    another_takes_the_place(directory);
    what_is_refused_stays_with_the_caller();
    return 0;
}
