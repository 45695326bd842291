//! Filters over the messages of a store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cairnlog::{Filter, LogEntry, LogReader, Message, PhysicalOffset, Store, StoreOptions};

fn wanted(store: &Store, filter: &Filter) -> String {
    let messages = store.scan(PhysicalOffset::new(0)).unwrap().map(Result::unwrap);
    let bodies = messages.filter(|message| filter.matches(message)).map(|message| {
        assert!(filter.matches_record(&message.record()));
        String::from_utf8(message.body().to_vec()).unwrap()
    });
    bodies.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_filter_picks_messages_by_tag_and_by_property() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 1 << 20;
    let store = Store::open(directory.path(), &options).unwrap();
    let north = [("price", "12"), ("region", "north")];
    let south = [("price", "twelve"), ("region", "south")];
    // The tags Aa and BB have one hash.
    store.append(&Message::new("fruit", b"pears").tag("Aa").properties(&north)).unwrap();
    store.append(&Message::new("fruit", b"plums").tag("BB").properties(&south)).unwrap();
    store.append(&Message::new("fruit", b"figs").keys(&["k1", "k2"])).unwrap();

    for (expression, bodies) in
        [("*", "pears plums figs"), ("Aa", "pears"), ("BB || Aa", "pears plums"), ("none", "")]
    {
        assert_eq!(wanted(&store, &Filter::tags(expression).unwrap()), bodies, "{expression}");
    }
    for (expression, bodies) in [
        ("TRUE", "pears plums figs"),
        ("price > 10", "pears"),
        ("price > 10 OR region = 'south'", "pears"),
        ("region = 'south' OR price > 10", "pears plums"),
        ("region <> 'north'", "plums"),
        ("region IS NULL AND KEYS CONTAINS 'k2'", "figs"),
        ("TAGS IN ('Aa', 'BB') AND NOT (region = 'north')", "plums"),
    ] {
        assert_eq!(wanted(&store, &Filter::sql(expression).unwrap()), bodies, "{expression}");
    }
    store.close().unwrap();

    // The same over the files, without the store.
    let filter = Filter::sql("price BETWEEN 12 AND 13").unwrap();
    let reader = LogReader::open(directory.path()).unwrap();
    let found =
        reader.entries(PhysicalOffset::new(0)).filter(|entry| match entry.as_ref().unwrap() {
            LogEntry::Message(message) => filter.clone().matches(message),
            LogEntry::Blank { .. } => false,
        });
    assert_eq!(found.count(), 1);
}
