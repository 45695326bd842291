//! How far the opening of a store is, told to Java.
//!
//! The engine tells it on the thread that opens, which is the Java thread inside the native: so no
//! thread of the engine is ever attached to the virtual machine.
#![allow(
    unsafe_code,
    reason = "calling a Java method by its id; the id and the signature are made in one place"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use cairnlog::{RecoveryProgress, StoreOptions};
use jni::ids::JStaticMethodID;
use jni::objects::{JClass, JObject, JValue};
use jni::refs::Global;
use jni::signature::{Primitive, ReturnType};
use jni::{Env, JavaVM, jni_sig, jni_str};

struct Teller {
    class: Global<JClass<'static>>,
    tell: JStaticMethodID,
}

static TELLER: OnceLock<Teller> = OnceLock::new();

/// Looks up what tells listeners; called once, when the natives are registered.
pub(crate) fn prepare(env: &mut Env<'_>) -> jni::errors::Result<()> {
    let class = env.find_class(jni_str!("io/cairnlog/RecoveryProgress"))?;
    let tell = env.get_static_method_id(
        &class,
        jni_str!("tell"),
        jni_sig!("(Lio/cairnlog/RecoveryProgressListener;IJJ)Z"),
    )?;
    let class = env.new_global_ref(class)?;
    // A second class loader cannot load the library again, so the first registration stays.
    let _ = TELLER.set(Teller { class, tell });
    Ok(())
}

/// A listener that is told, until it throws.
struct Listener {
    listener: Global<JObject<'static>>,
    failed: AtomicBool,
}

impl Listener {
    fn listen(&self, progress: RecoveryProgress) {
        if self.failed.load(Ordering::Relaxed) {
            return;
        }
        let told = JavaVM::singleton()
            .and_then(|machine| machine.attach_current_thread(|env| self.tell(env, progress)));
        let goes_on = told.unwrap_or_else(|error| {
            tracing::error!(%error, "a recovery listener cannot be told");
            false
        });
        self.failed.store(!goes_on, Ordering::Relaxed);
    }

    /// Tells by way of the package, which logs what is thrown, and says whether to go on.
    fn tell(&self, env: &mut Env<'_>, progress: RecoveryProgress) -> jni::errors::Result<bool> {
        let Some(teller) = TELLER.get() else {
            return Err(jni::errors::Error::UninitializedJavaVM);
        };
        let arguments = [
            JValue::Object(&self.listener).as_jni(),
            JValue::Int(progress.phase.code()).as_jni(),
            JValue::Long(progress.bytes_done.cast_signed()).as_jni(),
            JValue::Long(progress.bytes_total.cast_signed()).as_jni(),
        ];
        let returned = ReturnType::Primitive(Primitive::Boolean);
        // SAFETY: `prepare` looked the method up in this class with these types; the global
        // reference keeps the class, and so the id, valid.
        let goes_on = unsafe {
            env.call_static_method_unchecked(&teller.class, teller.tell, returned, &arguments)
        };
        goes_on?.z()
    }
}

/// Keeps a listener while a store is opened. The store keeps a copy of its options, but not this.
pub(crate) struct Listening {
    _listener: Option<Arc<Listener>>,
}

/// Has a listener, unless it is null, told how far opening with these options is, while the result
/// is kept.
pub(crate) fn listen(
    env: &mut Env<'_>,
    options: &mut StoreOptions,
    listener: &JObject<'_>,
) -> jni::errors::Result<Listening> {
    if listener.is_null() {
        return Ok(Listening { _listener: None });
    }
    let listener =
        Arc::new(Listener { listener: env.new_global_ref(listener)?, failed: false.into() });
    let told = Arc::downgrade(&listener);
    options.on_recovery_progress(move |progress| {
        if let Some(listener) = told.upgrade() {
            listener.listen(progress);
        }
    });
    Ok(Listening { _listener: Some(listener) })
}
