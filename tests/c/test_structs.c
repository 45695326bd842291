// Programs compiled against an older or a newer header: structs that are shorter or longer than the
// library's, alone and in arrays; and numbers that are no member of their enumeration.
#include "check.h"

#define INVALID(call) CHECK_FAILS(CAIRN_STATUS_INVALID_ARGUMENT, call)
#define INVALID_STATUS(call) CHECK_STATUS(CAIRN_STATUS_INVALID_ARGUMENT, call)

// A message of a later version, with fields that this library does not know.
typedef struct newer_message {
    cairn_message known;
    uint64_t unknown;
} newer_message;

typedef struct newer_result {
    cairn_append_result known;
    uint64_t unknown;
} newer_result;

static void older_message(cairn_store *store) {
    cairn_error *error = NULL;
    cairn_message message = message_of("older", "body");
    cairn_batch *batch = NULL;
    // What lies behind the stated size is not looked at: a tag that nobody may read.
    message.struct_size = (uint32_t)offsetof(cairn_message, tag);
    message.tag.data = (const char *)(uintptr_t)8;
    message.tag.length = 100;
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    CHECK_OK(cairn_store_append(store, &message, &result, &error));
    CHECK_OK(cairn_store_read_at(store, result.physical_offset, &batch, &error));
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, 0, &view));
    CHECK(same_bytes(view.body, "body"));
    CHECK(view.tag.data == NULL && view.tag.length == 0);
    cairn_batch_free(batch);
    // Below that nothing makes sense, and zero means that the program forgot.
    for (uint32_t size = 0; size < offsetof(cairn_message, tag); size++) {
        message.struct_size = size;
        INVALID(cairn_store_append(store, &message, &result, &error));
    }
    message.struct_size = UINT32_MAX;
    INVALID(cairn_store_append(store, &message, &result, &error));
}

static void newer_message_alone(cairn_store *store) {
    cairn_error *error = NULL;
    newer_message message = {.known = message_of("newer", "body"), .unknown = 0};
    message.known.struct_size = (uint32_t)sizeof message;
    CHECK_OK(cairn_store_append(store, &message.known, NULL, &error));
    // A wish that the library does not know must not be passed over silently.
    message.unknown = 1;
    INVALID(cairn_store_append(store, &message.known, NULL, &error));
}

static void results(cairn_store *store) {
    cairn_error *error = NULL;
    cairn_message message = message_of("results", "body");
    // Shorter: what lies behind the stated size stays as it is.
    cairn_append_result older;
    memset(&older, 0x5A, sizeof older);
    older.struct_size = (uint32_t)offsetof(cairn_append_result, end_offset);
    CHECK_OK(cairn_store_append(store, &message, &older, &error));
    CHECK(older.size_bytes > 0 && older.physical_offset >= 0);
    CHECK(older.struct_size == offsetof(cairn_append_result, end_offset));
    CHECK(older.end_offset == 0x5A5A5A5A5A5A5A5A);
    // Longer: the unknown tail stays as it is.
    newer_result newer;
    memset(&newer, 0x5A, sizeof newer);
    newer.known.struct_size = (uint32_t)sizeof newer;
    CHECK_OK(cairn_store_append(store, &message, &newer.known, &error));
    CHECK(newer.known.physical_offset == older.physical_offset + older.size_bytes);
    CHECK(newer.known.end_offset == newer.known.physical_offset + newer.known.size_bytes);
    CHECK(newer.unknown == 0x5A5A5A5A5A5A5A5A);
    // A result that cannot be written is refused before anything is appended.
    cairn_positions before = CAIRN_POSITIONS_INIT;
    cairn_positions after = CAIRN_POSITIONS_INIT;
    CHECK_OK(cairn_store_positions(store, &before, &error));
    older.struct_size = 4;
    INVALID(cairn_store_append(store, &message, &older, &error));
    CHECK_OK(cairn_store_positions(store, &after, &error));
    CHECK(before.max_offset == after.max_offset);
}

static void arrays(cairn_store *store) {
    cairn_error *error = NULL;
    newer_message messages[3];
    newer_result placed[3];
    const char *bodies[] = {"zero", "one", "two"};
    size_t appended = 0;
    memset(placed, 0, sizeof placed);
    for (size_t index = 0; index < 3; index++) {
        messages[index].known = message_of("arrays", bodies[index]);
        messages[index].known.struct_size = (uint32_t)sizeof messages[index];
        messages[index].unknown = 0;
        placed[index].known.struct_size = (uint32_t)sizeof placed[index];
    }
    CHECK_OK(cairn_store_append_many(store, &messages[0].known, 3, &placed[0].known, &appended,
                                     &error));
    CHECK(appended == 3);
    for (size_t index = 0; index < 3; index++) {
        cairn_batch *batch = NULL;
        cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
        CHECK(placed[index].known.queue_offset == (int64_t)index);
        CHECK_OK(cairn_store_read_at(store, placed[index].known.physical_offset, &batch, &error));
        CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, 0, &view));
        CHECK(same_bytes(view.body, bodies[index]));
        cairn_batch_free(batch);
    }
    // Elements that disagree, among the messages and among the results.
    messages[1].known.struct_size = (uint32_t)sizeof(cairn_message);
    INVALID(cairn_store_append_many(store, &messages[0].known, 3, &placed[0].known, &appended,
                                    &error));
    CHECK(appended == 0);
    messages[1].known.struct_size = (uint32_t)sizeof messages[1];
    placed[2].known.struct_size = (uint32_t)sizeof(cairn_append_result);
    INVALID(cairn_store_append_many(store, &messages[0].known, 3, &placed[0].known, &appended,
                                    &error));
    // An unknown wish in the third message: the two before it are appended.
    placed[2].known.struct_size = (uint32_t)sizeof placed[2];
    messages[2].unknown = 1;
    CHECK_FAILS(CAIRN_STATUS_INVALID_ARGUMENT,
                cairn_store_append_many(store, &messages[0].known, 3, &placed[0].known, &appended,
                                        &error));
    CHECK(appended == 2);
}

static void views_of_an_older_program(cairn_store *store) {
    cairn_error *error = NULL;
    cairn_batch *batch = NULL;
    cairn_property property = {CAIRN_STR("name"), CAIRN_STR("value")};
    cairn_message message = message_of("views", "body");
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    message.properties = &property;
    message.property_count = 1;
    CHECK_OK(cairn_store_append(store, &message, &result, &error));
    CHECK_OK(cairn_store_read_at(store, result.physical_offset, &batch, &error));
    cairn_message_view view;
    memset(&view, 0, sizeof view);
    INVALID_STATUS(cairn_batch_get(batch, 0, &view));
    view.struct_size = (uint32_t)offsetof(cairn_message_view, record_data);
    CHECK_STATUS(CAIRN_STATUS_OK, cairn_batch_get(batch, 0, &view));
    CHECK(view.body.data == NULL);
    // The shorter view is enough for looking up properties.
    cairn_str value;
    CHECK(cairn_message_view_property(&view, CAIRN_STR("name"), &value));
    CHECK(same_text(value, "value"));
    cairn_batch_free(batch);
}

static void wrong_enumerations(cairn_store *store) {
    cairn_error *error = NULL;
    cairn_options *options = small_options();
    const int32_t wrong[] = {-1, 3, 99, INT32_MIN, INT32_MAX};
    for (size_t index = 0; index < sizeof wrong / sizeof wrong[0]; index++) {
        INVALID_STATUS(cairn_options_set_flush_mode(options, wrong[index]));
        INVALID_STATUS(cairn_options_set_append_lock(options, wrong[index]));
        INVALID_STATUS(cairn_options_set_damage_policy(options, wrong[index]));
        INVALID_STATUS(cairn_options_set_create_if_missing(options, wrong[index]));
        INVALID_STATUS(cairn_options_set_transient_store_pool_enable(options, wrong[index]));
        INVALID_STATUS(cairn_options_set_append_record_crc(options, wrong[index]));
        INVALID_STATUS(cairn_options_set_check_crc_on_recover(options, wrong[index]));
        INVALID_STATUS(cairn_options_set_consume_queue_enable(options, wrong[index]));
        INVALID_STATUS(cairn_options_set_message_index_enable(options, wrong[index]));
        INVALID_STATUS(cairn_options_set_read_uncommitted(options, wrong[index]));
        cairn_message message = message_of("enumerations", "body");
        message.wait_mode = wrong[index];
        INVALID(cairn_store_append(store, &message, NULL, &error));
        message.wait_mode = CAIRN_WAIT_MODE_NONE;
        message.born_host.address_length = (uint32_t)wrong[index];
        INVALID(cairn_store_append(store, &message, NULL, &error));
    }
    INVALID_STATUS(cairn_set_log_callback(NULL, NULL, CAIRN_LOG_LEVEL_TRACE + 1));
    INVALID_STATUS(cairn_set_log_callback(NULL, NULL, -1));
    // Values outside their limits are refused when they are set.
    INVALID_STATUS(cairn_options_set_segment_size_bytes(options, 65535));
    INVALID_STATUS(cairn_options_set_segment_size_bytes(options, 65536 + 1));
    INVALID_STATUS(cairn_options_set_sync_flush_timeout_ms(options, 0));
    INVALID_STATUS(cairn_options_set_flush_interval_ms(options, 0));
    INVALID_STATUS(cairn_options_set_max_message_size_bytes(options, 0));
    INVALID_STATUS(cairn_options_set_reserve_ahead_bytes(options, 1));
    INVALID(cairn_options_set(options, CAIRN_STR("no_such"), CAIRN_STR("1"), &error));
    INVALID(cairn_options_set(options, CAIRN_STR("flush_mode"), CAIRN_STR("never"), &error));
    INVALID(cairn_options_set(options, CAIRN_STR("segment_size_bytes"), CAIRN_STR("1"), &error));
    CHECK_OK(cairn_options_set(options, CAIRN_STR("mappedFileSizeCommitLog"), CAIRN_STR("128K"),
                               &error));
    cairn_options_free(options);
}

int main(int argc, char **argv) {
    cairn_store *store = open_store(directory_argument(argc, argv), "store");
    older_message(store);
    newer_message_alone(store);
    results(store);
    arrays(store);
    views_of_an_older_program(store);
    wrong_enumerations(store);
    close_store(store);
    return 0;
}
