//! What is asked about open transactions, on its way to Java.
//!
//! The engine's thread puts a check where a thread of the Java package takes it, and waits for the
//! answer. So no thread of the engine is ever attached to the virtual machine. The Java thread ends
//! when the engine lets go of its side; if it ends before, nothing is known any more.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use cairnlog::{TransactionAnswer, TransactionCheck, TransactionChecker};
use jni::Env;
use jni::objects::{JByteArray, JClass};
use jni::sys::{jint, jlong};

use crate::boundary::Outcome;
use crate::handle::{CheckerHandle, Handle, StoreHandle};
use crate::reading::Given;

/// How far a check has come.
enum State {
    /// Nothing is asked.
    Idle,
    /// Nobody has taken it yet.
    Asked(Box<TransactionCheck>),
    /// The application thinks about it.
    Taken,
    Answered(TransactionAnswer),
    /// One side has ended.
    Ended,
}

/// What both sides have in common.
struct Exchange {
    state: Mutex<State>,
    changed: Condvar,
}

impl Exchange {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, mut state: MutexGuard<'_, State>, to: State) {
        *state = to;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits while the state is one that is not waited for.
    fn wait_while(&self, not_yet: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.lock(), |state| not_yet(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// The next check, waited for; `None` when there will be none.
    fn take(&self) -> Option<TransactionCheck> {
        let mut state = self.wait_while(|state| !matches!(state, State::Asked(_) | State::Ended));
        match std::mem::replace(&mut *state, State::Taken) {
            State::Asked(check) => Some(*check),
            other => {
                *state = other;
                None
            }
        }
    }

    fn answer(&self, answer: TransactionAnswer) {
        let state = self.lock();
        if matches!(*state, State::Taken) {
            self.set(state, State::Answered(answer));
        }
    }

    fn end(&self) {
        self.set(self.lock(), State::Ended);
    }
}

/// The side that the engine asks.
struct Asking(Arc<Exchange>);

impl TransactionChecker for Asking {
    fn check(&self, check: &TransactionCheck) -> TransactionAnswer {
        let state = self.0.lock();
        if !matches!(*state, State::Idle) {
            return TransactionAnswer::Unknown;
        }
        self.0.set(state, State::Asked(Box::new(check.clone())));
        let mut state =
            self.0.wait_while(|state| !matches!(state, State::Answered(_) | State::Ended));
        let State::Answered(answer) = *state else {
            return TransactionAnswer::Unknown;
        };
        *state = State::Idle;
        answer
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The side of Java's thread.
pub(crate) struct Checker(Arc<Exchange>);

impl Drop for Checker {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn exchange() -> (Asking, Checker) {
    let exchange = Arc::new(Exchange { state: Mutex::new(State::Idle), changed: Condvar::new() });
    (Asking(Arc::clone(&exchange)), Checker(exchange))
}

pub(crate) fn store_set_transaction_checker<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<jlong> {
    let (asking, checker) = exchange();
    store.writer()?.set_transaction_checker(Arc::new(asking))?;
    Ok(Handle::give(checker))
}

/// Waits for the next check; null when there will be none. `TransactionCheck` reads it.
pub(crate) fn checker_next<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    checker: CheckerHandle,
) -> Outcome<JByteArray<'local>> {
    let Some(check) = checker.get()?.0.take() else {
        return Ok(JByteArray::null());
    };
    Given::looked_up(vec![check.message().clone()]).give_with(env, |writer| {
        writer
            .i64(check.half_offset().to_i64())
            .i32(check.times().cast_signed())
            .i32(check.queue_id())
            .text(check.topic())
            .optional_text(check.id().as_deref());
    })
}

/// Answers the check that was taken: the ordinal of a `TransactionAnswer`.
pub(crate) fn checker_answer<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    checker: CheckerHandle,
    answer: jint,
) -> Outcome<()> {
    let answer = match answer {
        1 => TransactionAnswer::Commit,
        2 => TransactionAnswer::Rollback,
        _ => TransactionAnswer::Unknown,
    };
    checker.get()?.0.answer(answer);
    Ok(())
}

pub(crate) fn checker_release<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    checker: CheckerHandle,
) -> Outcome<()> {
    checker.release();
    Ok(())
}
