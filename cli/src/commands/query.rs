//! `query`: messages by key or id.

use cairnlog::{MessageView, StoreOptions};

use crate::arguments::Query;
use crate::failure::{Failure, Outcome};
use crate::open;
use crate::output::Output;
use crate::queue_reader::KeyQuery;
use crate::record_json::MessageJson;

/// Runs the command.
pub(crate) fn run(command: &Query, options: &StoreOptions) -> Outcome {
    let reader = open::queues(&command.dir, options)?;
    let topic = command.topic.as_deref();
    let found = match (&command.id, &command.key) {
        (Some(id), _) => {
            let none = || Failure::failed(command.dir.display(), format!("no message has id {id}"));
            vec![reader.find_by_message_id(topic, id)?.ok_or_else(none)?]
        }
        (None, key) => reader.query_key(&KeyQuery {
            topic: topic.unwrap_or_default(),
            key: key.as_deref().unwrap_or_default(),
            times: (command.begin, command.end),
            max: usize::try_from(command.max).unwrap_or(usize::MAX),
        })?,
    };
    let mut output = Output::new();
    for message in &found {
        print(message, command.json, &mut output)?;
    }
    output.flush()
}

fn print(message: &MessageView, json: bool, output: &mut Output) -> Outcome {
    if json {
        return output.json(&MessageJson::new(&message.record()));
    }
    output.bytes_line(message.body())
}
