// The header in C++17, every INIT and the macros in use, linked and run.
#include <cstdio>
#include <cstring>

#include "cairnlog.h"

static_assert(sizeof(cairn_status) == 4, "statuses have 32 bits");
static_assert(CAIRN_STATUS_INTERNAL == 900, "numbers never change");

int main(int argc, char **argv) {
    if (argc != 2) {
        return 2;
    }
    cairn_message message = CAIRN_MESSAGE_INIT;
    cairn_append_result result = CAIRN_APPEND_RESULT_INIT;
    cairn_positions positions = CAIRN_POSITIONS_INIT;
    cairn_read_request request = CAIRN_READ_REQUEST_INIT;
    cairn_message_view view = CAIRN_MESSAGE_VIEW_INIT;
    cairn_recovery_report report = CAIRN_RECOVERY_REPORT_INIT;
    cairn_store_stats totals = CAIRN_STORE_STATS_INIT;
    cairn_topic_stats topic = CAIRN_TOPIC_STATS_INIT;
    cairn_assigned_queue assigned = CAIRN_ASSIGNED_QUEUE_INIT;
    cairn_queue_progress progress = CAIRN_QUEUE_PROGRESS_INIT;
    cairn_recovery_progress recovery = CAIRN_RECOVERY_PROGRESS_INIT;
    if (assigned.struct_size != sizeof assigned || progress.struct_size != sizeof progress ||
        message.struct_size != sizeof message || positions.struct_size != sizeof positions ||
        report.struct_size != sizeof report || totals.struct_size != sizeof totals ||
        topic.struct_size != sizeof topic || request.struct_size != sizeof request ||
        recovery.struct_size != sizeof recovery || view.body.data != nullptr) {
        return 1;
    }
    cairn_store *store = nullptr;
    cairn_batch *batch = nullptr;
    if (cairn_store_open(cairn_str_from(argv[1]), nullptr, &store, nullptr) != CAIRN_STATUS_OK) {
        return 1;
    }
    message.topic = CAIRN_STR("cpp");
    message.body = cairn_bytes{reinterpret_cast<const uint8_t *>("body"), 4};
    bool good =
        cairn_store_append(store, &message, &result, nullptr) == CAIRN_STATUS_OK &&
        cairn_store_read_at(store, result.physical_offset, &batch, nullptr) == CAIRN_STATUS_OK &&
        cairn_batch_get(batch, 0, &view) == CAIRN_STATUS_OK && view.body.length == 4 &&
        std::memcmp(view.body.data, "body", 4) == 0;
    cairn_batch_free(batch);
    batch = nullptr;
    // The same by queue, through a filter and through a tail.
    cairn_filter *filter = nullptr;
    cairn_tail *tail = nullptr;
    request.topic = message.topic;
    good = good &&
           cairn_filter_from_sql(CAIRN_STR("TAGS IS NULL"), &filter, nullptr) == CAIRN_STATUS_OK &&
           cairn_tail_open(store, request.topic, 0, 0, filter, &tail, nullptr) == CAIRN_STATUS_OK &&
           cairn_tail_next(tail, 1, 10000, &batch, nullptr) == CAIRN_STATUS_OK &&
           cairn_batch_outcome(batch) == CAIRN_READ_OUTCOME_FOUND;
    cairn_batch_free(batch);
    batch = nullptr;
    request.filter = filter;
    good =
        good && cairn_store_read(store, &request, &batch, nullptr) == CAIRN_STATUS_OK &&
        cairn_batch_len(batch) == 1 && cairn_batch_get(batch, 0, &view) == CAIRN_STATUS_OK &&
        cairn_filter_matches(filter, &view) &&
        cairn_store_close(store, nullptr) == CAIRN_STATUS_OK;
    cairn_batch_free(batch);
    cairn_tail_free(tail);
    cairn_filter_free(filter);
    cairn_store_free(store);
    return good ? 0 : 1;
}
