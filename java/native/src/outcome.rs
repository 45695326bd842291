//! What the core hands out, written for Java.

use std::net::{IpAddr, SocketAddr};

use cairnlog::{AppendResult, MessageView, RecoveryReport, Status, StoreStats};

use crate::wire::Writer;

/// The bytes of one append result.
pub(crate) const APPEND_RESULT_BYTES: usize = 60;

/// The length of an address (4 or 16), and its bytes with zeros behind them.
#[inline]
fn padded(address: IpAddr) -> (i32, [u8; 16]) {
    match address {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            (4, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        }
        IpAddr::V6(ip) => (16, ip.octets()),
    }
}

/// Writes an address: the length of the address bytes, the port, 16 bytes.
fn write_host(writer: &mut Writer, host: SocketAddr) {
    let (length, padded) = padded(host.ip());
    writer.i32(length).i32(i32::from(host.port())).raw(&padded);
}

/// Puts an append result where it belongs.
#[inline]
pub(crate) fn put_append_result(bytes: &mut [u8; APPEND_RESULT_BYTES], result: &AppendResult) {
    let (address_length, address) = padded(result.store_host.ip());
    let port = result.store_host.port();
    let size = i32::try_from(result.size_bytes).unwrap_or(i32::MAX);
    let count = i32::try_from(result.message_count).unwrap_or(i32::MAX);
    bytes[..8].copy_from_slice(&result.physical_offset.to_i64().to_le_bytes());
    bytes[8..16].copy_from_slice(&result.queue_offset.to_i64().to_le_bytes());
    bytes[16..24].copy_from_slice(&result.store_timestamp_ms.to_le_bytes());
    bytes[24..28].copy_from_slice(&size.to_le_bytes());
    bytes[28..32].copy_from_slice(&result.queue_id.to_le_bytes());
    bytes[32..36].copy_from_slice(&count.to_le_bytes());
    bytes[36..40].copy_from_slice(&i32::to_le_bytes(address_length));
    bytes[40..44].copy_from_slice(&i32::from(port).to_le_bytes());
    bytes[44..].copy_from_slice(&address);
}

/// Writes an append result.
pub(crate) fn write_append_result(writer: &mut Writer, result: &AppendResult) {
    let mut bytes = [0; APPEND_RESULT_BYTES];
    put_append_result(&mut bytes, result);
    writer.raw(&bytes);
}

/// Writes the fields of a message, its body left out.
pub(crate) fn write_message(writer: &mut Writer, message: &MessageView) {
    let record = message.record();
    writer
        .i32(i32::try_from(record.size_bytes()).unwrap_or(i32::MAX))
        .i32(record.magic())
        .i32(record.body_crc().cast_signed())
        .i32(record.queue_id())
        .i32(record.flag())
        .i64(record.queue_offset().to_i64())
        .i64(record.physical_offset().to_i64())
        .i32(record.sys_flag())
        .i64(record.born_timestamp_ms())
        .i64(record.store_timestamp_ms())
        .i32(record.reconsume_times())
        .i64(record.prepared_transaction_offset())
        .count(record.body().len());
    write_host(writer, record.born_host());
    write_host(writer, record.store_host());
    writer.text(&record.topic());
    writer.count(record.properties().count());
    for (name, value) in record.properties() {
        writer.text(&String::from_utf8_lossy(name));
        writer.text(&String::from_utf8_lossy(value));
    }
    let keys = record.keys();
    writer.texts(&keys);
    writer.text(&record.offset_message_id());
}

/// Writes a recovery report.
pub(crate) fn write_recovery_report(writer: &mut Writer, report: &RecoveryReport) {
    let set_aside = report.set_aside.as_ref().map(|path| path.display().to_string());
    writer
        .flag(report.created)
        .flag(report.clean_stop)
        .u64(report.files)
        .u64(report.records)
        .i64(report.min_offset.to_i64())
        .i64(report.end_offset.to_i64())
        .optional_text(report.damage.as_deref())
        .u64(report.bytes_set_aside)
        .optional_text(set_aside.as_deref())
        .u64(report.files_removed)
        .u64(u64::try_from(report.duration.as_nanos()).unwrap_or(u64::MAX));
}

/// Writes the statistics of a store.
pub(crate) fn write_stats(writer: &mut Writer, stats: &StoreStats) {
    writer
        .u64(stats.messages)
        .u64(stats.bytes)
        .u64(stats.refused)
        .u64(stats.syncs)
        .u64(stats.append_latency_max_ms)
        .u64(stats.delayed_delivered)
        .u64(stats.delayed_undeliverable)
        .count(stats.append_latency_counts.len());
    for &count in &stats.append_latency_counts {
        writer.u64(count);
    }
    writer.count(stats.topics.len());
    for topic in &stats.topics {
        writer.text(&topic.topic).u64(topic.messages).u64(topic.bytes);
    }
}

/// Writes the table of statuses: number and name of each.
pub(crate) fn write_statuses(writer: &mut Writer) {
    writer.count(Status::ALL.len());
    for status in Status::ALL {
        writer.i32(status.code()).text(status.name());
    }
}

#[cfg(test)]
mod tests {
    use cairnlog::{PhysicalOffset, QueueOffset};

    use super::*;

    #[test]
    fn an_append_result_has_its_fixed_size() {
        for host in ["10.0.0.1:10911", "[2001:db8::1]:1"] {
            let mut writer = Writer::default();
            let result = AppendResult {
                physical_offset: PhysicalOffset::new(1 << 40),
                size_bytes: 100,
                queue_offset: QueueOffset::new(7),
                queue_id: 3,
                message_count: 2,
                store_timestamp_ms: 1,
                store_host: host.parse().unwrap(),
            };
            write_append_result(&mut writer, &result);
            assert_eq!(writer.as_slice().len(), APPEND_RESULT_BYTES);
        }
    }
}
