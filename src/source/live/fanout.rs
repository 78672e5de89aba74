//! Several handles on one interface, over which Linux spreads whole flows (packet(7), `PACKET_FANOUT`).
//!
//! The one place of `source` with unsafe code, because no maintained crate offers the option: two system calls on a
//! descriptor that its handle owns, each with a pointer to one integer. The need is measured: README, 'Live capture'.
//!
//! The kernel hashes addresses and ports without regard to direction, so that both directions of a flow come to one handle.
//! It puts IPv4 fragments together first, which have no ports; those of IPv6 it hashes by their addresses alone, and a flow
//! of which some packets come in fragments is then cut in two.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A group of handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group(u16);

impl Group {
    /// Founds a group with this handle.
    ///
    /// # Errors
    /// When the system has no such thing.
    #[cfg(target_os = "linux")]
    pub(super) fn found(handle: BorrowedFd<'_>) -> io::Result<Self> {
        set(handle, libc::PACKET_FANOUT_FLAG_UNIQUEID, 0)?;
        get(handle).map(Self)
    }

    /// Adds a handle of the same interface. The kernel numbers them in the order in which they come.
    ///
    /// # Errors
    /// When there are too many, or the group is gone.
    #[cfg(target_os = "linux")]
    pub(super) fn join(self, handle: BorrowedFd<'_>) -> io::Result<()> {
        set(handle, 0, self.0)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn found(_handle: BorrowedFd<'_>) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn join(self, _handle: BorrowedFd<'_>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(target_os = "linux")]
fn set(handle: BorrowedFd<'_>, flag: libc::c_uint, id: u16) -> io::Result<()> {
    let mode = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_DEFRAG | flag;
    let value: libc::c_uint = mode << 16 | libc::c_uint::from(id);
    let len = size_of_val(&value) as libc::socklen_t;
    #[allow(unsafe_code, reason = "see the module")]
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel reads `len` bytes of `value`.
    let failed = unsafe {
        libc::setsockopt(
            handle.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_FANOUT,
            (&raw const value).cast(),
            len,
        )
    };
    if failed == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The id that the kernel chose.
#[cfg(target_os = "linux")]
fn get(handle: BorrowedFd<'_>) -> io::Result<u16> {
    let mut value: libc::c_uint = 0;
    let mut len = size_of_val(&value) as libc::socklen_t;
    #[allow(unsafe_code, reason = "see the module")]
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel writes at most `len` bytes to `value`.
    let failed = unsafe {
        libc::getsockopt(
            handle.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_FANOUT,
            (&raw mut value).cast(),
            &raw mut len,
        )
    };
    if failed == 0 {
        Ok((value & 0xffff) as u16)
    } else {
        Err(io::Error::last_os_error())
    }
}
