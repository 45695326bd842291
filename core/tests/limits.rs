//! Limits of the process. A process of its own, since all of it is limited.

use cairnlog::{Message, Status, Store, StoreOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A file that grows beyond `RLIMIT_FSIZE` brings SIGXFSZ besides the error, of which a process
/// dies that did not ask for another treatment: the first file of a log killed its host.
#[test]
fn a_limit_on_file_sizes_is_an_error_and_no_signal() {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions::from_properties(
        "segment_size_bytes=262144\nmax_hash_slot_num=100\nmax_index_num=100\n\
         consume_queue_file_size_bytes=2000\n",
    );
    let (options, _) = options.unwrap();
    let usual = getrlimit(Resource::Fsize);
    let limit_to = |bytes| setrlimit(Resource::Fsize, Rlimit { current: bytes, ..usual }).unwrap();
    for bytes in [0, 3, 4095] {
        limit_to(Some(bytes));
        let error = Store::open(directory.path(), &options).unwrap_err();
        assert_eq!(error.status(), Status::FileTooLarge, "{bytes}: {error}");
        assert_eq!(error.os_code(), Some(libc::EFBIG));
    }
    limit_to(Some(100_000));
    let store = Store::open(directory.path(), &options).unwrap();
    let body = vec![1; 1000];
    for _ in 0..2 {
        let error = store.append(&Message::new("t", &body)).unwrap_err();
        assert_eq!((error.status(), error.appended()), (Status::FileTooLarge, None), "{error}");
    }
    limit_to(usual.current);
    for number in 0..1000 {
        assert_eq!(store.append(&Message::new("t", &body)).unwrap().queue_offset.get(), number);
    }
    // What is made already may be filled, whatever the limit is now.
    limit_to(Some(1000));
    let error = loop {
        if let Err(error) = store.append(&Message::new("t", &body)) {
            break error;
        }
    };
    assert_eq!(error.status(), Status::FileTooLarge);
    limit_to(usual.current);
    store.append(&Message::new("t", &body)).unwrap();
    store.close().unwrap();
}
