// What is asked about open transactions: its answers, whom it is asked about too often, calls it
// makes itself, being replaced, and a store that is closed while it is asked.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "check.h"

enum { MAX_CHECKS = 3 };

typedef struct application {
    cairn_store *store;
    atomic_int asked;
    atomic_int released;
    // Lets the checker go on.
    atomic_bool may_answer;
} application;

static void released(void *user_data) {
    application *own = user_data;
    atomic_fetch_add(&own->released, 1);
}

static cairn_store *open_checked(const char *directory, const char *name) {
    char path[4096];
    cairn_error *error = NULL;
    cairn_store *store = NULL;
    cairn_options *options = small_options();
    snprintf(path, sizeof path, "%s/%s", directory, name);
    CHECK_OK(cairn_options_set(options, CAIRN_STR("transaction_timeout_ms"), CAIRN_STR("100"),
                               &error));
    CHECK_OK(cairn_options_set(options, CAIRN_STR("transaction_check_interval_ms"),
                               CAIRN_STR("100"), &error));
    CHECK_OK(
        cairn_options_set(options, CAIRN_STR("transaction_check_max"), CAIRN_STR("3"), &error));
    CHECK_OK(cairn_store_open(cairn_str_from(path), options, &store, &error));
    cairn_options_free(options);
    return store;
}

static void begin(cairn_store *store, const char *body) {
    cairn_property id = {CAIRN_STR("UNIQ_KEY"), CAIRN_STR("id-7")};
    cairn_error *error = NULL;
    cairn_message message = message_of("orders", body);
    cairn_append_result half = CAIRN_APPEND_RESULT_INIT;
    message.queue_id = 2;
    message.properties = &id;
    message.property_count = 1;
    CHECK_OK(cairn_store_begin_transaction(store, &message, &half, &error));
}

// Waits until a queue has as many messages, and returns what they are, one letter each.
static const char *letters(cairn_store *store, const char *topic, int32_t queue, int64_t count) {
    static char found[16];
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    cairn_read_request request = CAIRN_READ_REQUEST_INIT;
    request.topic = cairn_str_from(topic);
    request.queue_id = queue;
    request.max_messages = 15;
    if (count > 0) {
        CHECK_OK(cairn_store_wait_message(store, request.topic, queue, count - 1, 30000, &error));
    }
    CHECK_OK(cairn_store_read(store, &request, &batch, &error));
    memset(found, 0, sizeof found);
    for (size_t at = 0; at < cairn_batch_len(batch); at++) {
        cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
        CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, at, &view));
        found[at] = (char)view.body.data[0];
    }
    cairn_batch_free(batch);
    return found;
}

static size_t open_count(cairn_store *store) {
    cairn_error *error = NULL;
    cairn_open_transactions *open = NULL;
    CHECK_OK(cairn_store_open_transactions(store, &open, &error));
    size_t count = cairn_open_transactions_len(open);
    cairn_open_transactions_free(open);
    return count;
}

// Answers by the first letter of the body.
static int32_t by_letter(const cairn_transaction_check *check, void *user_data) {
    application *own = user_data;
    cairn_error *error = NULL;
    cairn_append_result placed = CAIRN_APPEND_RESULT_INIT;
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    CHECK(check->struct_size == sizeof *check && check->reserved == 0);
    CHECK(same_text(check->topic, "orders") && check->queue_id == 2);
    CHECK(same_text(check->id, "id-7"));
    CHECK(check->times >= 1 && check->times <= MAX_CHECKS);
    CHECK(cairn_batch_len(check->batch) == 1);
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(check->batch, 0, &view));
    CHECK(same_text(view.topic, "RMQ_SYS_TRANS_HALF_TOPIC"));
    CHECK_FAILS(CAIRN_STATUS_INVALID_ARGUMENT, cairn_store_close(own->store, &error));
    atomic_fetch_add(&own->asked, 1);
    switch (view.body.data[0]) {
    case 'c':
        return CAIRN_TRANSACTION_ANSWER_COMMIT;
    case 'r':
        return CAIRN_TRANSACTION_ANSWER_ROLLBACK;
    case 'o':
        // It ends the transaction itself; what it answers then changes nothing.
        CHECK_OK(
            cairn_store_commit_transaction(own->store, check->half_offset, &placed, &error));
        return CAIRN_TRANSACTION_ANSWER_ROLLBACK;
    case 'l':
        return check->times == 2 ? CAIRN_TRANSACTION_ANSWER_COMMIT : -7;
    default:
        return CAIRN_TRANSACTION_ANSWER_UNKNOWN;
    }
}

static void answers(const char *directory) {
    cairn_error *error = NULL;
    application own = {.store = open_checked(directory, "answers")};
    begin(own.store, "commit");
    begin(own.store, "rollback");
    begin(own.store, "own");
    begin(own.store, "later");
    begin(own.store, "never");
    CHECK_OK(cairn_store_set_transaction_checker(own.store, by_letter, released, &own, &error));
    // Whom nobody knows about, it is asked as often as it may be, and then it is put aside.
    CHECK(strcmp(letters(own.store, "TRANS_CHECK_MAX_TIME_TOPIC", 0, 1), "n") == 0);
    CHECK(strcmp(letters(own.store, "orders", 2, 3), "col") == 0);
    CHECK(open_count(own.store) == 0);
    CHECK(atomic_load(&own.asked) == 3 + 2 + MAX_CHECKS && atomic_load(&own.released) == 0);
    // What begins later is asked about, too.
    begin(own.store, "commit");
    CHECK(strcmp(letters(own.store, "orders", 2, 4), "colc") == 0);
    close_store(own.store);
    CHECK(atomic_load(&own.released) == 1);
}

static void another_takes_the_place(const char *directory) {
    cairn_error *error = NULL;
    application first = {.store = open_checked(directory, "replaced")};
    application second = {.store = first.store};
    CHECK_OK(cairn_store_set_transaction_checker(first.store, by_letter, released, &first, &error));
    CHECK_OK(
        cairn_store_set_transaction_checker(first.store, by_letter, released, &second, &error));
    CHECK(atomic_load(&first.released) == 1 && atomic_load(&second.released) == 0);
    begin(first.store, "commit");
    CHECK(strcmp(letters(first.store, "orders", 2, 1), "c") == 0);
    CHECK(atomic_load(&first.asked) == 0 && atomic_load(&second.asked) == 1);
    CHECK_OK(cairn_store_close(first.store, &error));
    CHECK(atomic_load(&second.released) == 1);
    // What is refused stays with the caller.
    CHECK_FAILS(CAIRN_STATUS_STORE_CLOSED,
                cairn_store_set_transaction_checker(first.store, by_letter, released, &first,
                                                    &error));
    CHECK(atomic_load(&first.released) == 1);
    cairn_store_free(first.store);
    CHECK(atomic_load(&second.released) == 1);
}

static int32_t slow(const cairn_transaction_check *check, void *user_data) {
    application *own = user_data;
    (void)check;
    atomic_fetch_add(&own->asked, 1);
    while (!atomic_load(&own->may_answer)) {
        sched_yield();
    }
    // Closing has begun: the store takes nothing more, but waits for the answer.
    CHECK(cairn_store_is_closed(own->store) && atomic_load(&own->released) == 0);
    return CAIRN_TRANSACTION_ANSWER_COMMIT;
}

static void *close_other(void *user_data) {
    application *own = user_data;
    cairn_error *error = NULL;
    CHECK_OK(cairn_store_close(own->store, &error));
    return NULL;
}

// Closing waits for the answer, which comes too late: the transaction stays open.
static void closing_waits_for_a_check(const char *directory) {
    cairn_error *error = NULL;
    pthread_t closing;
    application own = {.store = open_checked(directory, "closing")};
    begin(own.store, "commit");
    CHECK_OK(cairn_store_set_transaction_checker(own.store, slow, released, &own, &error));
    while (atomic_load(&own.asked) == 0) {
        sched_yield();
    }
    CHECK(pthread_create(&closing, NULL, close_other, &own) == 0);
    while (!cairn_store_is_closed(own.store)) {
        sched_yield();
    }
    atomic_store(&own.may_answer, true);
    CHECK(pthread_join(closing, NULL) == 0);
    CHECK(atomic_load(&own.asked) == 1 && atomic_load(&own.released) == 1);
    cairn_store_free(own.store);
    cairn_store *store = open_checked(directory, "closing");
    CHECK(open_count(store) == 1 && strcmp(letters(store, "orders", 2, 0), "") == 0);
    close_store(store);
}

int main(int argc, char **argv) {
    const char *directory = directory_argument(argc, argv);
    answers(directory);
    another_takes_the_place(directory);
    closing_waits_for_a_check(directory);
    return 0;
}
