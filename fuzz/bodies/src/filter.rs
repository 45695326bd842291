//! Filters: any expression, asked about any properties.

use cairnlog::fuzzing::{Check, Place, decode_record, encode_record};
use cairnlog::{Filter, Message, RecordView, Status};

use crate::input::Input;

/// Reads an expression, and asks it about a message.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let raw = input.some_bytes();
    let tags = input.flag();
    let Ok(expression) = std::str::from_utf8(input.take_rest()) else {
        return;
    };
    let place = Place {
        physical_offset: 0,
        queue_offset: 0,
        store_timestamp_ms: 0,
        store_host: ([127, 0, 0, 1], 10_911).into(),
        record_crc: false,
    };
    let message = Message::new("", b"body");
    // Properties that end as the CRC of a record does are refused.
    let Ok(bytes) = encode_record(&message, b"t", raw, place) else {
        return;
    };
    let record = decode_record(&bytes, 0, Check::Crc).expect("our own record");
    if tags {
        by_tags(expression, &record);
    } else {
        by_condition(expression, &record);
    }
}

fn checked(made: cairnlog::Result<Filter>, expression: &str) -> Option<Filter> {
    match made {
        Ok(filter) => {
            assert_eq!(filter.to_string(), expression);
            Some(filter)
        }
        Err(error) => {
            assert_eq!(error.status(), Status::FilterIllegal, "{error}");
            let inside = error.offset().is_none_or(|at| at <= expression.len() as u64);
            assert!(inside, "{error} in an expression of {} bytes", expression.len());
            None
        }
    }
}

fn by_tags(expression: &str, record: &RecordView<'_>) {
    if expression.is_empty() || expression == "*" {
        assert!(Filter::tags(expression).is_ok_and(|filter| filter.is_all()));
        return;
    }
    let Some(filter) = checked(Filter::tags(expression), expression) else {
        return;
    };
    // As Java trims.
    let trim = |text: &str| text.trim_matches(|character| character <= ' ').to_owned();
    let wanted = |tag: &str| expression.split("||").any(|name| trim(name) == tag);
    let tag = record.properties().find("TAGS").map(std::str::from_utf8);
    if let Some(Ok(tag)) = tag
        && !tag.is_empty()
        && trim(tag) == tag
    {
        assert_eq!(filter.matches_record(record), wanted(tag), "{expression:?} of {tag:?}");
    }
}

fn by_condition(expression: &str, record: &RecordView<'_>) {
    let Some(filter) = checked(Filter::sql(expression), expression) else {
        return;
    };
    let wants = filter.matches_record(record);
    assert_eq!(wants, filter.matches_record(record));
    // The same in other words; a comment may reach to the end of the line.
    for around in ["(", "TRUE AND (", "FALSE OR ("] {
        let longer = format!("{around}{expression}\n)");
        if let Ok(same) = Filter::sql(&longer) {
            assert_eq!(same.matches_record(record), wants, "{longer:?} is not {expression:?}");
        }
    }
    let both = format!("({expression}\n) AND NOT ({expression}\n)");
    if let Ok(never) = Filter::sql(&both) {
        assert!(!never.matches_record(record), "{both:?} is true");
    }
}
