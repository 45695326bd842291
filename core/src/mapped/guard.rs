//! A page of a mapping that cannot be had is an error, not a signal.
//!
//! When another program shortens a file, or its device fails, the first access to a missing page
//! through a mapping raises SIGBUS, which would end the process. The handler of this module puts a
//! page of zeros where the page was, if it lies in a mapping of ours, and notes that beside the
//! mapping. Who went through the mapping looks at the note afterwards ([`Guard::lost`]) and throws
//! away what it read or wrote. Every other SIGBUS goes to the handler that was there before.
//!
//! The handler runs on any thread between any two instructions: it takes no lock and no memory, and
//! calls nothing but `mmap`. Mappings are found in blocks of slots that are never freed; a slot is
//! changed under a version, as in a sequence lock, so that the handler never sees half of two
//! mappings.
#![allow(unsafe_code, reason = "signal handlers and mapping over a page are C calls")]

use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, compiler_fence};
use std::sync::{Once, OnceLock};

use libc::{c_int, c_void, siginfo_t};
use parking_lot::Mutex;

use super::slot::Slot;
use crate::sys::disk::Access;

/// Slots that are made at a time.
const SLOTS_PER_BLOCK: usize = 64;

/// A slot that stands for no mapping: its default, in a constant.
const fn free_slot() -> Slot {
    Slot {
        version: AtomicUsize::new(0),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        writeable: AtomicBool::new(false),
        lost_from: AtomicUsize::new(0),
        lost_to: AtomicUsize::new(0),
    }
}

#[derive(Debug)]
struct Block {
    slots: [Slot; SLOTS_PER_BLOCK],
    next: AtomicPtr<Block>,
}

impl Block {
    const fn free() -> Self {
        Self {
            slots: [const { free_slot() }; SLOTS_PER_BLOCK],
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn next(&self) -> Option<&'static Block> {
        // SAFETY: null, or a block that is never freed.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }
}

static FIRST_BLOCK: Block = Block::free();
/// Slots that stand for nothing; `None` before the first block's were taken in.
static FREE_SLOTS: Mutex<Option<Vec<&'static Slot>>> = Mutex::new(None);
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(0);
/// Who gets what is not ours.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

fn take_slot() -> &'static Slot {
    let mut free = FREE_SLOTS.lock();
    let free = free.get_or_insert_with(|| FIRST_BLOCK.slots.iter().collect());
    if let Some(slot) = free.pop() {
        return slot;
    }
    let block: &'static Block = Box::leak(Box::new(Block::free()));
    // New blocks go behind the first: the order is of no matter.
    block.next.store(FIRST_BLOCK.next.load(Ordering::Relaxed), Ordering::Relaxed);
    FIRST_BLOCK.next.store(ptr::from_ref(block).cast_mut(), Ordering::Release);
    let [first, others @ ..] = &block.slots;
    free.extend(others);
    first
}

/// Watches over one mapping until it is dropped, which must be before the mapping goes.
#[derive(Debug)]
pub(super) struct Guard {
    slot: &'static Slot,
    start: usize,
}

impl Guard {
    /// Watches over `length` bytes of a mapping.
    pub(super) fn new(base: NonNull<u8>, length: usize, access: Access) -> Self {
        let (slot, start) = (take_slot(), base.addr().get());
        slot.set(start..start.saturating_add(length), access == Access::Write);
        Self { slot, start }
    }

    /// Whether some of the bytes of a range were lost: zeros stand for them, and what is written
    /// there goes nowhere. To be asked after an access, not before.
    #[inline(always)]
    pub(super) fn lost(&self, range: Range<usize>) -> bool {
        // Behind the access, whose fault may be this thread's or another's: the handler notes
        // before it maps.
        compiler_fence(Ordering::SeqCst);
        self.slot.lost(self.start, range)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.slot.set(0..0, false);
        if let Some(free) = &mut *FREE_SLOTS.lock() {
            free.push(self.slot);
        }
    }
}

/// Installs the handler if that is wanted, once in a process. Where that fails, the process goes on
/// without it.
pub(crate) fn install_if(wanted: bool) {
    static ONCE: Once = Once::new();
    if !wanted {
        return;
    }
    ONCE.call_once(|| {
        if let Err(error) = try_install() {
            tracing::warn!(%error, "no handler for SIGBUS: shortened files end the process");
        }
    });
}

fn try_install() -> io::Result<()> {
    // Not asked of the kernel's vector of values, which cannot be read under valgrind.
    // SAFETY: the call takes a number and returns one.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let page_bytes = usize::try_from(page_bytes).map_err(|_| io::Error::last_os_error())?;
    PAGE_BYTES.store(page_bytes, Ordering::Relaxed);
    stay_loaded();
    // SAFETY: sigaction is a C struct of integers and pointers, for which zero is a value.
    let mut previous: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null action asks only; `previous` is writable.
    let asked = unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut previous) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    // Known before the handler can run.
    let _ = PREVIOUS.set(previous);
    let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_bus_error;
    let mut action = previous;
    action.sa_sigaction = handler as libc::sighandler_t;
    // Some hosts' threads have small stacks, and another for signals. What was interrupted by a
    // signal for the handler before goes on, or does not, as it asked for.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | previous.sa_flags & libc::SA_RESTART;
    // SAFETY: `action` is whole, and its handler may run at any time.
    let set = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Keeps the library that the handler is in from being unloaded, as a JVM does with those of a
/// class loader that is gone. A program that it is linked into stays anyway.
fn stay_loaded() {
    // SAFETY: Dl_info is a C struct of pointers, for which zero is a value.
    let mut found: libc::Dl_info = unsafe { std::mem::zeroed() };
    let here = ptr::from_ref(&FIRST_BLOCK).cast::<c_void>();
    // SAFETY: any address may be asked for; `found` is writable.
    let known = unsafe { libc::dladdr(here, &raw mut found) };
    if known != 0 && !found.dli_fname.is_null() {
        let flags = libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
        // SAFETY: the name is a string of the loader's. Nothing is loaded that is not.
        let _ = unsafe { libc::dlopen(found.dli_fname, flags) };
    }
}

extern "C" fn on_bus_error(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the system passes what it knows of the signal.
    let known = unsafe { &*info };
    let sent = known.si_code <= 0;
    // SAFETY: for a signal that was not sent the address is of the access; else it is not used.
    let address = unsafe { known.si_addr() }.addr();
    if sent || !replace_page(address) {
        pass_on(signal, sent, info, context);
    }
}

/// Puts a page of zeros where one is missing. False if the address is not in a mapping of ours.
fn replace_page(address: usize) -> bool {
    let mut block = Some(&FIRST_BLOCK);
    while let Some(known) = block {
        for slot in &known.slots {
            if let Some(access) = slot.holds(address) {
                return replace_page_of(slot, access, address);
            }
        }
        block = known.next();
    }
    false
}

fn replace_page_of(slot: &Slot, access: Access, address: usize) -> bool {
    let page_bytes = PAGE_BYTES.load(Ordering::Relaxed);
    let page = address & !page_bytes.wrapping_sub(1);
    slot.lose(page..page.saturating_add(page_bytes));
    let protection = match access {
        Access::Read => libc::PROT_READ,
        Access::Write => libc::PROT_READ | libc::PROT_WRITE,
    };
    let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let target = ptr::without_provenance_mut::<c_void>(page);
    // SAFETY: the page begins in a mapping of ours, which cannot go while somebody uses it, and
    // mappings are of whole pages. The file's page is missing, so nothing is lost that was there.
    let mapped = unsafe { libc::mmap(target, page_bytes, protection, flags, -1, 0) };
    mapped != libc::MAP_FAILED
}

/// Does what would have happened without us.
fn pass_on(signal: c_int, sent: bool, info: *mut siginfo_t, context: *mut c_void) {
    let handler = PREVIOUS.get().map_or(libc::SIG_DFL, |previous| previous.sa_sigaction);
    match (handler, PREVIOUS.get()) {
        // The system does not ignore an access that cannot be made either.
        (libc::SIG_IGN, _) if sent => {}
        (libc::SIG_DFL | libc::SIG_IGN, _) | (_, None) => end_process(signal, sent),
        (handler, Some(previous)) => {
            // SAFETY: a signal set is a C struct of integers, for which zero is a value.
            let mut mask: libc::sigset_t = unsafe { std::mem::zeroed() };
            // SAFETY: both sets are whole.
            unsafe {
                libc::pthread_sigmask(libc::SIG_BLOCK, &raw const previous.sa_mask, &raw mut mask)
            };
            if previous.sa_flags & libc::SA_SIGINFO != 0 {
                type Told = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
                // SAFETY: the flag says that the handler is of this type.
                let handler = unsafe { std::mem::transmute::<libc::sighandler_t, Told>(handler) };
                handler(signal, info, context);
            } else {
                type Untold = extern "C" fn(c_int);
                // SAFETY: without the flag the handler is of this type.
                let handler = unsafe { std::mem::transmute::<libc::sighandler_t, Untold>(handler) };
                handler(signal);
            }
            // SAFETY: the set was filled in above.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut()) };
        }
    }
}

/// Lets the signal end the process: the access is made again when the handler returns, and a signal
/// that was sent comes again.
fn end_process(signal: c_int, sent: bool) {
    // SAFETY: the default action may be set at any time.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    if sent {
        // SAFETY: the signal is blocked here, and comes behind the handler.
        unsafe { libc::raise(signal) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(address: usize) -> NonNull<u8> {
        NonNull::new(ptr::without_provenance_mut(address)).unwrap()
    }

    fn known(address: usize) -> bool {
        let mut block = Some(&FIRST_BLOCK);
        while let Some(blocks) = block {
            if blocks.slots.iter().any(|slot| slot.holds(address).is_some()) {
                return true;
            }
            block = blocks.next();
        }
        false
    }

    #[test]
    fn mappings_are_found_while_they_are_watched() {
        // Addresses that no mapping of another test has.
        let first = usize::MAX / 2 + 1;
        let guards: Vec<_> = (0..3 * SLOTS_PER_BLOCK)
            .map(|number| Guard::new(base(first + number * 100), 50, Access::Read))
            .collect();
        for number in 0..guards.len() {
            assert!(known(first + number * 100) && known(first + number * 100 + 49));
            assert!(!known(first + number * 100 + 50));
        }
        drop(guards);
        assert!(!known(first));
        let again = Guard::new(base(first), 50, Access::Write);
        assert_eq!(again.slot.holds(first + 1), Some(Access::Write));
        assert!(FREE_SLOTS.lock().as_ref().unwrap().len() >= 2 * SLOTS_PER_BLOCK);
    }

    #[test]
    fn what_was_lost_is_told_by_range() {
        let first = usize::MAX / 4 * 3;
        let guard = Guard::new(base(first), 1000, Access::Read);
        assert!(!guard.lost(0..1000));
        guard.slot.lose(first + 400..first + 500);
        assert!(guard.lost(0..1000) && guard.lost(499..600) && guard.lost(0..401));
        assert!(!guard.lost(500..600) && !guard.lost(0..400));
    }
}
