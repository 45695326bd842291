//! One life of a writer: it is started, followed line by line, and killed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::content::{Name, TOPICS};
use crate::failure::{Failure, Kind, Result};
use crate::plan::{LifePlan, Moment};

/// A writer that says nothing for so long hangs.
const MAX_SILENCE: Duration = Duration::from_secs(60);
/// An appending writer is killed so long after its first acknowledgement, also with fewer than
/// were awaited.
const LONGEST_LIFE: Duration = Duration::from_millis(150);
/// A writer that is killed while it starts has about this time.
const LONGEST_START: Duration = Duration::from_millis(3);
/// The longest pause between the last awaited acknowledgement and the kill.
const LONGEST_PAUSE: Duration = Duration::from_millis(3);
const SIGKILL: i32 = 9;

/// How far a writer says it is. In the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Starting,
    Opening,
    Appending,
    Closing,
    Closed,
}

impl Stage {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Opening => "opening",
            Self::Appending => "appending",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

/// An acknowledgement, as the writer was given it, with the positions right after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ack {
    pub(crate) physical_offset: u64,
    pub(crate) end_offset: u64,
    /// The topic, by its place in [`TOPICS`].
    pub(crate) topic: usize,
    pub(crate) queue_id: i32,
    pub(crate) queue_offset: u64,
    pub(crate) count: u64,
    /// The first message.
    pub(crate) name: Name,
    /// Unknown when the store was being closed.
    pub(crate) committed: Option<u64>,
    pub(crate) durable: Option<u64>,
}

impl Ack {
    fn parse(fields: &[&str]) -> Option<Self> {
        let [physical, end, topic, queue_id, queue_offset, count, name, committed, durable] =
            fields
        else {
            return None;
        };
        Some(Self {
            physical_offset: physical.parse().ok()?,
            end_offset: end.parse().ok()?,
            topic: TOPICS.iter().position(|known| known == topic)?,
            queue_id: queue_id.parse().ok()?,
            queue_offset: queue_offset.parse().ok()?,
            count: count.parse().ok()?,
            name: Name(name.parse().ok()?),
            committed: position(committed)?,
            durable: position(durable)?,
        })
    }
}

/// A position that may be unknown.
fn position(text: &str) -> Option<Option<u64>> {
    if text == "-1" { Some(None) } else { text.parse().ok().map(Some) }
}

/// What a life left behind.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) acks: Vec<Ack>,
    pub(crate) reached: Stage,
}

/// How long stages took lately, for choosing moments inside them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usual {
    opening: Duration,
    closing: Duration,
}

impl Default for Usual {
    fn default() -> Self {
        Self { opening: Duration::from_millis(3), closing: Duration::from_millis(1) }
    }
}

impl Usual {
    /// Notes how long a stage took: between what was usual and the newest.
    fn learn(&mut self, stage: Stage, took: Duration) {
        let known = match stage {
            Stage::Opening => &mut self.opening,
            Stage::Closing => &mut self.closing,
            Stage::Starting | Stage::Appending | Stage::Closed => return,
        };
        *known = (*known + took) / 2;
    }
}

#[derive(Clone, Copy)]
enum Said {
    Stage(Stage, Instant),
    Ack,
}

/// What a reader of a writer's lines returns: the acknowledgements, or the line it did not know.
type Lines = std::result::Result<Vec<Ack>, String>;

/// Reads a writer's lines to their end. A last line that was cut short does not count.
fn read_lines(out: ChildStdout, said: &Sender<Said>) -> Lines {
    let mut lines = BufReader::new(out);
    let mut acks = Vec::new();
    let mut line = String::new();
    while lines.read_line(&mut line).map_err(|e| e.to_string())? > 0 && line.ends_with('\n') {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let stage = match fields[..] {
            ["opening"] => Some(Stage::Opening),
            ["open"] => Some(Stage::Appending),
            ["closing"] => Some(Stage::Closing),
            ["closed"] => Some(Stage::Closed),
            ["ack", ref rest @ ..] => {
                acks.push(Ack::parse(rest).ok_or_else(|| line.clone())?);
                None
            }
            _ => return Err(line),
        };
        // Nobody listens any more once the writer was killed.
        let _ = said.send(stage.map_or(Said::Ack, |stage| Said::Stage(stage, Instant::now())));
        line.clear();
    }
    Ok(acks)
}

/// A writer that runs.
struct Writer<'a> {
    child: Child,
    said: Receiver<Said>,
    lines: JoinHandle<Lines>,
    stage: Stage,
    since: Instant,
    usual: &'a mut Usual,
}

impl<'a> Writer<'a> {
    fn start(command: &mut Command, errors: &Path, usual: &'a mut Usual) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(errors)?)
            .spawn()?;
        let since = Instant::now();
        let out = child.stdout.take().ok_or_else(|| Failure::driver("there is no pipe"))?;
        let (sender, said) = mpsc::channel();
        let lines = std::thread::spawn(move || read_lines(out, &sender));
        Ok(Self { child, said, lines, stage: Stage::Starting, since, usual })
    }

    fn note(&mut self, said: Said) {
        if let Said::Stage(stage, at) = said {
            self.usual.learn(self.stage, at - self.since);
            (self.stage, self.since) = (stage, at);
        }
    }

    /// Takes what is said next; none if nothing was said in time.
    fn hear(&mut self, until: Instant) -> Result<Option<Said>> {
        match self.said.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(said) => {
                self.note(said);
                Ok(Some(said))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err(Failure::new(Kind::Host, "the writer ended by itself"))
            }
        }
    }

    /// Waits until the writer is that far; returns when it came there.
    fn wait_for(&mut self, stage: Stage) -> Result<Instant> {
        while self.stage < stage {
            if self.hear(Instant::now() + MAX_SILENCE)?.is_none() {
                let text = format!("the writer hangs in the stage {}", self.stage.name());
                return Err(Failure::new(Kind::Hang, text));
            }
        }
        Ok(self.since)
    }

    /// Waits for acknowledgements: not long, but for one at least if any are wanted.
    fn wait_for_acks(&mut self, count: usize) -> Result<()> {
        let mut until = self.wait_for(Stage::Appending)? + MAX_SILENCE;
        let mut seen = 0;
        while seen < count {
            match self.hear(until)? {
                Some(Said::Ack) if seen == 0 => {
                    seen = 1;
                    until = Instant::now() + LONGEST_LIFE;
                }
                Some(Said::Ack) => seen += 1,
                Some(Said::Stage(..)) => {}
                None if seen == 0 => {
                    return Err(Failure::new(Kind::Hang, "nothing is acknowledged"));
                }
                None => break,
            }
        }
        Ok(())
    }

    /// Waits for the moment at which it is to be killed.
    fn wait(&mut self, plan: &LifePlan) -> Result<()> {
        let share = |whole: Duration| whole.mul_f64(plan.delay_permille as f64 / 1000.0);
        let (begun, delay) = match plan.moment {
            Moment::Starting => (self.since, share(LONGEST_START)),
            Moment::Opening => (self.wait_for(Stage::Opening)?, share(self.usual.opening)),
            Moment::Closing => (self.wait_for(Stage::Closing)?, share(self.usual.closing)),
            Moment::Appending => {
                self.wait_for_acks(plan.acknowledgements)?;
                (Instant::now(), share(LONGEST_PAUSE))
            }
        };
        std::thread::sleep((begun + delay).saturating_duration_since(Instant::now()));
        Ok(())
    }

    /// Kills it, and tells how far it was.
    fn kill(mut self) -> Result<Life> {
        self.child.kill()?;
        let status = self.child.wait()?;
        // The lines it wrote before are still in the pipe, and count.
        while let Ok(said) = self.said.recv() {
            self.note(said);
        }
        let acks = self.lines.join().map_err(|_| Failure::driver("a reader panicked"))?;
        if status.signal() != Some(SIGKILL) {
            let text = format!("the writer ended by itself: {status}");
            return Err(Failure::new(Kind::Host, text));
        }
        let acks = acks.map_err(|line| {
            Failure::new(Kind::Host, format!("the writer said something unknown: {line}"))
        })?;
        Ok(Life { acks, reached: self.stage })
    }
}

/// Starts a writer and kills it as planned. What it wrote on its error output is in `errors`.
pub(crate) fn run_and_kill(
    command: &mut Command,
    plan: &LifePlan,
    usual: &mut Usual,
    errors: &Path,
) -> Result<Life> {
    let mut writer = Writer::start(command, errors, usual)?;
    let waited = writer.wait(plan);
    let life = writer.kill();
    waited.and(life).map_err(|failure| {
        let said = std::fs::read_to_string(errors).unwrap_or_default();
        if said.is_empty() { failure } else { failure.and(&format!("it said: {}", said.trim())) }
    })
}
