//! Text, bytes and addresses: pointer and length, never a terminator.

use std::ffi::{CStr, c_char};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use engine::{Error, Result, Status};

use crate::boundary::{invalid, refusal};

/// Text: UTF-8, not terminated. With a length of zero the pointer is not looked at.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_str {
    /// The first byte; null in a text that is absent.
    pub data: *const c_char,
    /// The number of bytes.
    pub length: usize,
}

/// Bytes. With a length of zero the pointer is not looked at.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_bytes {
    /// The first byte; null in bytes that are absent.
    pub data: *const u8,
    /// The number of bytes.
    pub length: usize,
}

/// A property: a name and a value, neither of them empty. The value holds no byte 0x02, the name
/// neither 0x01 nor 0x02.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_property {
    /// The name.
    pub name: cairn_str,
    /// The value.
    pub value: cairn_str,
}

/// An address of a producer or a store.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct cairn_host {
    /// The address in network byte order; an IPv4 address takes the first four bytes.
    pub address: [u8; 16],
    /// The length of the address: 4 for IPv4, 16 for IPv6, 0 when there is none.
    pub address_length: u32,
    /// The port, 0 to 65535.
    pub port: u32,
}

impl cairn_str {
    /// A view of text that lives elsewhere.
    pub(crate) fn of(text: &[u8]) -> Self {
        Self { data: text.as_ptr().cast(), length: text.len() }
    }

    /// No text.
    pub(crate) const ABSENT: Self = Self { data: std::ptr::null(), length: 0 };

    /// The bytes of the text.
    ///
    /// # Safety
    ///
    /// - `data` is readable for `length` bytes during `'a`.
    pub(crate) unsafe fn bytes<'a>(self, name: &str) -> Result<&'a [u8]> {
        let bytes = cairn_bytes { data: self.data.cast(), length: self.length };
        // SAFETY: the caller's promise is the same.
        unsafe { bytes.slice(name) }
    }

    /// The text, or an error of the given status if it is no UTF-8.
    ///
    /// # Safety
    ///
    /// - `data` is readable for `length` bytes during `'a`.
    pub(crate) unsafe fn text<'a>(self, name: &str, illegal: Status) -> Result<&'a str> {
        // SAFETY: the caller's promise is the same.
        let bytes = unsafe { self.bytes(name) }?;
        std::str::from_utf8(bytes).map_err(|error| {
            Error::new(illegal, format!("{name} is no UTF-8")).at_offset(error.valid_up_to() as u64)
        })
    }

    /// The text, `None` if it is empty.
    ///
    /// # Safety
    ///
    /// - `data` is readable for `length` bytes during `'a`.
    #[inline]
    pub(crate) unsafe fn optional<'a>(
        self,
        name: &str,
        illegal: Status,
    ) -> Result<Option<&'a str>> {
        if self.length == 0 {
            return Ok(None);
        }
        // SAFETY: the caller's promise is the same.
        let text = unsafe { self.text(name, illegal) }?;
        Ok((!text.is_empty()).then_some(text))
    }
}

impl cairn_bytes {
    /// A view of bytes that live elsewhere.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), length: bytes.len() }
    }

    /// The bytes.
    ///
    /// # Safety
    ///
    /// - `data` is readable for `length` bytes during `'a`.
    #[inline]
    pub(crate) unsafe fn slice<'a>(self, name: &str) -> Result<&'a [u8]> {
        // SAFETY: the caller's promise is the same.
        unsafe { array(self.data, self.length, name) }
    }
}

/// The elements of an array of the caller; empty if `length` is zero.
///
/// # Safety
///
/// - `data` is aligned and readable for `length` elements during `'a`.
#[inline(always)]
pub(crate) unsafe fn array<'a, T>(data: *const T, length: usize, name: &str) -> Result<&'a [T]> {
    if length == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(refusal(move || {
            invalid(format!("{name} is null, but its length is {length}"))
        }));
    }
    let most = isize::MAX as usize / size_of::<T>().max(1);
    if length > most {
        return Err(refusal(move || {
            invalid(format!("the length of {name} exceeds the memory"))
                .expected(format!("at most {most}"), length)
        }));
    }
    // SAFETY: not null, aligned and readable, says the caller; the length was checked.
    Ok(unsafe { std::slice::from_raw_parts(data, length) })
}

impl cairn_host {
    /// The address, `None` if there is none.
    #[inline(always)]
    pub(crate) fn socket_address(&self, name: &str) -> Result<Option<SocketAddr>> {
        let [a, b, c, d, ..] = self.address;
        let address = match self.address_length {
            0 => return Ok(None),
            4 => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            16 => IpAddr::V6(Ipv6Addr::from(self.address)),
            other => {
                return Err(refusal(move || {
                    invalid(format!("address_length of {name} is wrong"))
                        .expected("0, 4 or 16", other)
                }));
            }
        };
        let given = self.port;
        let port = u16::try_from(given).map_err(|_| {
            refusal(move || {
                invalid(format!("the port of {name} is wrong")).expected("0 to 65535", given)
            })
        })?;
        Ok(Some(SocketAddr::new(address, port)))
    }
}

impl From<SocketAddr> for cairn_host {
    fn from(host: SocketAddr) -> Self {
        let mut address = [0; 16];
        let address_length = match host.ip() {
            IpAddr::V4(ip) => {
                let octets = ip.octets();
                address[..4].copy_from_slice(&octets);
                4
            }
            IpAddr::V6(ip) => {
                address = ip.octets();
                16
            }
        };
        Self { address, address_length, port: u32::from(host.port()) }
    }
}

/// Measures a terminated text, as a program has it in `argv`. Null gives an empty text.
///
/// # Safety
/// - `text` is null or points to a terminated text that outlives the result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_str_from(text: *const c_char) -> cairn_str {
    value!(cairn_str::ABSENT, {
        if text.is_null() {
            return None;
        }
        // SAFETY: not null, so terminated, says the caller.
        let text = unsafe { CStr::from_ptr(text) };
        Some(cairn_str::of(text.to_bytes()))
    })
}

/// The room for a message id and its terminator.
const MESSAGE_ID_CAPACITY: usize = 57;

/// Writes a message id and a terminator to a buffer of the caller.
///
/// # Safety
///
/// - `out_text` is null or writable for `capacity` bytes.
pub(crate) unsafe fn write_text(id: &str, out_text: *mut c_char, capacity: usize) -> Result<()> {
    if out_text.is_null() {
        return Err(crate::boundary::null_argument("out_text"));
    }
    if capacity < MESSAGE_ID_CAPACITY || id.len() >= capacity {
        return Err(invalid("the buffer is too small")
            .expected(format!("at least {MESSAGE_ID_CAPACITY} bytes"), capacity));
    }
    let text = out_text.cast::<u8>();
    // SAFETY: the buffer is longer than the text, and is the caller's, so they do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(id.as_ptr(), text, id.len()) };
    let end = text.wrapping_add(id.len());
    // SAFETY: the byte behind the text lies inside the buffer.
    unsafe { end.write(0) };
    Ok(())
}
