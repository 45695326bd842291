//! Where errors and panics leave Rust: the one policy every native ends in.
#![allow(
    unsafe_code,
    reason = "calling a Java method by its id; the id and the signature are made in one place"
)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::OnceLock;

use cairnlog::{AppendResult, Error, Status};
use jni::errors::ErrorPolicy;
use jni::ids::JStaticMethodID;
use jni::objects::{JByteArray, JClass, JObject, JString, JThrowable, JValue};
use jni::refs::Global;
use jni::signature::ReturnType;
use jni::{Env, EnvUnowned, jni_sig, jni_str};

use crate::outcome::write_append_result;
use crate::wire::Writer;

/// Why a native fails.
pub(crate) enum Failure {
    /// The core refused, or the request was malformed; with what was appended nevertheless.
    Core(Error, Vec<AppendResult>),
    /// The virtual machine refused, mostly because an exception is pending.
    Jni(jni::errors::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let appended = error.appended().into_iter().collect();
        Self::Core(error, appended)
    }
}

impl From<jni::errors::Error> for Failure {
    fn from(error: jni::errors::Error) -> Self {
        Self::Jni(error)
    }
}

/// What every native returns.
pub(crate) type Outcome<T> = Result<T, Failure>;

struct ExceptionMaker {
    class: Global<JClass<'static>>,
    make: JStaticMethodID,
}

static EXCEPTION_MAKER: OnceLock<ExceptionMaker> = OnceLock::new();

/// Looks up what makes exceptions; called once, when the natives are registered.
pub(crate) fn prepare(env: &mut Env<'_>) -> jni::errors::Result<()> {
    let class = env.find_class(jni_str!("io/cairnlog/CairnException"))?;
    let make = env.get_static_method_id(
        &class,
        jni_str!("fromNative"),
        jni_sig!("(IILjava/lang/String;Ljava/lang/String;J[B)Ljava/lang/Throwable;"),
    )?;
    let class = env.new_global_ref(class)?;
    // A second class loader cannot load the library again, so the first registration stays.
    let _ = EXCEPTION_MAKER.set(ExceptionMaker { class, make });
    Ok(())
}

/// Writes an error as `CairnException.read` takes it: status, os code, text, path, offset.
pub(crate) fn write_error(writer: &mut Writer, error: &Error) {
    let path = error.path().map(|path| path.display().to_string());
    writer
        .i32(error.status().code())
        .i32(error.os_code().unwrap_or(0))
        .text(&error.to_string())
        .optional_text(path.as_deref())
        .i64(offset_of(error));
}

fn offset_of(error: &Error) -> i64 {
    error.offset().and_then(|offset| i64::try_from(offset).ok()).unwrap_or(-1)
}

fn throw(env: &mut Env<'_>, error: &Error, appended: &[AppendResult]) -> jni::errors::Result<()> {
    let Some(maker) = EXCEPTION_MAKER.get() else {
        return Err(jni::errors::Error::UninitializedJavaVM);
    };
    let mut encoded = Writer::default();
    for result in appended {
        write_append_result(&mut encoded, result);
    }
    let text = env.new_string(error.to_string())?;
    let path = match error.path() {
        Some(path) => env.new_string(path.display().to_string())?,
        None => JString::null(),
    };
    let appended: JByteArray<'_> = env.byte_array_from_slice(encoded.as_slice())?;
    let arguments = [
        JValue::Int(error.status().code()).as_jni(),
        JValue::Int(error.os_code().unwrap_or(0)).as_jni(),
        JValue::Object(&text).as_jni(),
        JValue::Object(&path).as_jni(),
        JValue::Long(offset_of(error)).as_jni(),
        JValue::Object(&appended).as_jni(),
    ];
    // SAFETY: `prepare` looked the method up in this class with these types; the global reference
    // keeps the class, and so the id, valid.
    let made = unsafe {
        env.call_static_method_unchecked(&maker.class, maker.make, ReturnType::Object, &arguments)
    };
    let made: JObject<'_> = made?.l()?;
    let throwable = env.cast_local::<JThrowable<'_>>(made)?;
    match env.throw(throwable) {
        Err(jni::errors::Error::JavaException) => Ok(()),
        other => other,
    }
}

/// Runs a native that needs the virtual machine only to tell that it failed. To make an environment
/// ready for each call costs as much as the crossing itself.
pub(crate) fn without_env(mut env: EnvUnowned<'_>, body: impl FnOnce() -> Outcome<()>) {
    let ended = catch_unwind(AssertUnwindSafe(body));
    if let Ok(Ok(())) = ended {
        return;
    }
    env.with_env(|_| ended.unwrap_or_else(|payload| resume_unwind(payload)))
        .resolve::<CairnErrorPolicy>();
}

/// Turns every failure and panic of a native into a `CairnException`; the native then returns
/// zero or null, which Java never sees. An exception that is pending already stays.
pub(crate) struct CairnErrorPolicy;

impl<T: Default> ErrorPolicy<T, Failure> for CairnErrorPolicy {
    type Captures<'unowned_env_local: 'native_method, 'native_method> = ();

    fn on_error<'unowned_env_local: 'native_method, 'native_method>(
        env: &mut Env<'unowned_env_local>,
        _captures: &mut Self::Captures<'unowned_env_local, 'native_method>,
        failure: Failure,
    ) -> jni::errors::Result<T> {
        if !env.exception_check() {
            let (error, appended) = match failure {
                Failure::Core(error, appended) => (error, appended),
                Failure::Jni(error) => (
                    Error::new(Status::Internal, format!("a JNI call failed: {error}")),
                    Vec::new(),
                ),
            };
            throw(env, &error, &appended)?;
        }
        Ok(T::default())
    }

    fn on_panic<'unowned_env_local: 'native_method, 'native_method>(
        env: &mut Env<'unowned_env_local>,
        _captures: &mut Self::Captures<'unowned_env_local, 'native_method>,
        payload: Box<dyn Any + Send + 'static>,
    ) -> jni::errors::Result<T> {
        let text = match payload.downcast_ref::<&'static str>() {
            Some(text) => (*text).to_owned(),
            None => payload.downcast_ref::<String>().cloned().unwrap_or_default(),
        };
        // Dropping a payload may run foreign code that panics again.
        std::mem::forget(payload);
        if !env.exception_check() {
            let error = Error::new(Status::Internal, format!("cairnlog panicked: {text}"));
            throw(env, &error, &[])?;
        }
        Ok(T::default())
    }
}
