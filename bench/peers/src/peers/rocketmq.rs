//! rocketmq-store, RocketMQ's store in Rust by its port: the local file store with its defaults, a
//! queue for each thread, appended through its commit log as its own benchmarks do it.

use std::path::Path;
use std::sync::Arc;

use cheetah_string::CheetahString;
use dashmap::DashMap;
use rocketmq_model::common::config::TopicConfig;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_ext_broker_inner::MessageExtBrokerInner;
use rocketmq_model::common::message::message_single::Message;
use rocketmq_runtime::{RuntimeConfig, RuntimeOwner};
use rocketmq_store::{
    BrokerReplicationStore, BrokerStorePort, FlushDiskType, LocalFileMessageStore,
    MessageStoreConfig, PutMessageStatus, StoreRuntimeConfig,
};
use rocketmq_store_local::commit_log::append::micro_batch::MicroBatchPolicy;
use tokio::runtime::Handle;

use super::{Peer, Writer};
use crate::{Mode, Result};

const TOPIC: &str = "bench";
/// As many threads as the machines have this is meant for; the appending ones come on top.
const RUNTIME_THREADS: usize = 2;

struct Store {
    owner: RuntimeOwner,
    store: LocalFileMessageStore,
    runtime: Handle,
}

struct Queue<'a> {
    store: &'a Store,
    id: i32,
    topic: CheetahString,
}

pub(super) fn open(directory: &Path, mode: Mode) -> Result<Box<dyn Peer>> {
    let owner = RuntimeOwner::plan(RuntimeConfig {
        worker_threads: RUNTIME_THREADS,
        thread_name: "rocketmq-store".to_owned(),
        ..RuntimeConfig::default()
    })?
    .build()?;
    let config = MessageStoreConfig {
        store_path_root_dir: directory.to_string_lossy().to_string().into(),
        flush_disk_type: match mode {
            Mode::Async => FlushDiskType::AsyncFlush,
            Mode::Sync => FlushDiskType::SyncFlush,
        },
        ha_listen_port: 0,
        timer_wheel_enable: false,
        ..MessageStoreConfig::default()
    };
    let mut store = LocalFileMessageStore::new(
        Arc::new(config),
        MicroBatchPolicy::disabled(1).ok_or("no policy without micro-batches")?,
        Arc::new(StoreRuntimeConfig::default()),
        Arc::new(DashMap::<CheetahString, Arc<TopicConfig>>::new()),
        None,
        false,
        owner.root_context().component("peer-bench"),
    )?
    .ok_or("rocketmq-store does not take its configuration")?;
    store.wire_owned_root_dependencies()?;
    let runtime = owner.block_on(async {
        store.init().await?;
        if !store.load().await {
            return Err("rocketmq-store did not load an empty directory".into());
        }
        store.start().await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Handle::current())
    })?;
    Ok(Box::new(Store { owner, store, runtime }))
}

impl Peer for Store {
    fn writer(&self, thread: u32) -> Result<Box<dyn Writer + '_>> {
        let topic = CheetahString::from_static_str(TOPIC);
        Ok(Box::new(Queue { store: self, id: i32::try_from(thread)?, topic }))
    }

    fn close(self: Box<Self>) -> Result<()> {
        let Self { owner, mut store, .. } = *self;
        owner.block_on(store.shutdown_gracefully())?;
        drop(store);
        owner.shutdown_runtime_blocking()?;
        Ok(())
    }
}

impl Writer for Queue<'_> {
    fn append(&mut self, _index: u64, body: &[u8]) -> Result<()> {
        let message = Message::builder().topic(self.topic.clone()).body(body.to_vec());
        let mut message = MessageExtBrokerInner {
            message_ext_inner: MessageExt {
                message: message.build_unchecked(),
                ..MessageExt::default()
            },
            ..MessageExtBrokerInner::default()
        };
        message.message_ext_inner.set_queue_id(self.id);
        let log = self.store.store.get_commit_log();
        let result = self.store.runtime.block_on(log.put_message(message));
        match result.put_message_status() {
            PutMessageStatus::PutOk => Ok(()),
            status => Err(format!("rocketmq-store answered {status:?}").into()),
        }
    }
}
