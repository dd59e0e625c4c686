//! The inside's network: a loopback that is up, and a port on it that leads to the filtering proxy's socket. The proxy decides; this
//! only carries bytes.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use crate::sandbox::spec::{PROXY_PORT, PROXY_SOCKET};

/// Connections at once; further ones wait in the listener's queue.
const MOST: usize = 32;
/// A thread that copies needs no more.
const STACK: usize = 128 * 1024;

/// Switches the loopback on, which a new network namespace has switched off.
///
/// A `RTM_NEWLINK` message (rtnetlink(7)): interface 1 gets the flag `IFF_UP`.
pub(super) fn loopback_up() -> io::Result<()> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let (length, new_link, request_and_answer, up) = (32_u32, 16_u16, 1_u16 | 4, 1_u32);
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes());
    message.extend(new_link.to_ne_bytes());
    message.extend(request_and_answer.to_ne_bytes());
    message.extend([0; 8]); // sequence, sender
    message.extend([0; 4]); // family, padding, kind
    for number in [1_u32, up, up] {
        message.extend(number.to_ne_bytes()); // interface, flags, which of them
    }
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0_u8; 256];
    let (_, taken) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    // The header has 16 bytes, then comes the error, 0 for none.
    match answer.get(16..20).filter(|_| taken >= 20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Listens, and carries what comes to the proxy, on threads that end with the process.
pub(super) fn start() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT))?;
    let places = Arc::new(());
    thread::Builder::new().stack_size(STACK).spawn(move || {
        for stream in listener.incoming().flatten() {
            // Each connection holds a clone; one too many is closed.
            if Arc::strong_count(&places) <= MOST {
                let place = Arc::clone(&places);
                let _ = carry(stream, &place);
            }
        }
    })?;
    Ok(())
}

fn carry(stream: TcpStream, place: &Arc<()>) -> io::Result<()> {
    let proxy = UnixStream::connect(PROXY_SOCKET)?;
    let (mut from, mut to) = (stream.try_clone()?, proxy.try_clone()?);
    let held = Arc::clone(place);
    thread::Builder::new().stack_size(STACK).spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
        drop(held);
    })?;
    let (mut from, mut to) = (proxy, stream);
    thread::Builder::new().stack_size(STACK).spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    })?;
    Ok(())
}
