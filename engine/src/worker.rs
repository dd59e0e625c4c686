//! A worker: this machine's devices, lent to another Paguro by llama.cpp's RPC server.
//!
//! Deliberately not here: any check of who connects. The server has none, so whoever starts it chooses the network.

use std::net::{SocketAddrV4, TcpListener, TcpStream, ToSocketAddrs as _};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::EngineError;
use crate::error::one_line;
use crate::llama::{ANY, ipv4, llama_backend, physical_cores, tell_memory};

/// How long the server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

/// A device that is lent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LentDevice {
    /// ggml's name: `CPU`, `CUDA0`, …
    pub name: String,
    /// Bytes free now.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// A server on a thread of its own. It cannot be stopped but with the process: [`Worker::end_process`].
#[derive(Debug)]
pub struct Worker {
    /// Where it listens, with the port that it has.
    pub address: SocketAddrV4,
    /// What it lends: the GPUs, or the CPU and the machine's memory where there is none.
    pub devices: Vec<LentDevice>,
    /// Threads on the CPU.
    pub threads: u32,
    ended: oneshot::Receiver<String>,
}

impl Worker {
    /// Starts to listen on `address`, `HOST:PORT` (port 0: one that is free), and returns when it does. `threads`: 1 or more, `None` for
    /// the physical cores. Standard output goes nowhere from then on, because llama.cpp's server writes there. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`EngineError::Listen`]: no such address here, or somebody else has it.
    pub fn start(address: &str, threads: Option<u32>) -> Result<Self, EngineError> {
        let refused = |reason: String| EngineError::Listen { address: address.to_owned(), reason };
        let found = address.to_socket_addrs().map_err(|error| refused(format!("{}; give an address of this machine", one_line(error))))?;
        let wanted = ipv4(found).ok_or_else(|| refused("it is no IPv4 address, and llama.cpp's server knows no other".to_owned()))?;
        // llama.cpp's server tells no reason, so the address is tried here, with the same options, and given back.
        let free = TcpListener::bind(wanted).and_then(|listener| listener.local_addr()).map_err(|error| refused(bound(&error)))?;
        let address = SocketAddrV4::new(*wanted.ip(), free.port());
        llama_backend()?;
        let devices = llama_sys::lent_devices(tell_memory).map_err(|error| refused(one_line(error)))?;
        let devices = devices.into_iter().map(|device| LentDevice { name: device.name, free: device.free, total: device.total });
        let threads = threads.unwrap_or_else(physical_cores).max(1);
        let (sender, ended) = oneshot::channel();
        let serve = move || {
            let ended = match llama_sys::serve_worker(address, threads as usize, tell_memory) {
                Ok(never) => match never {},
                Err(error) => one_line(error),
            };
            // Nobody waits for it any more when the process ends.
            let _ = sender.send(ended);
        };
        let server = thread::Builder::new().name("worker".into()).spawn(serve).map_err(|error| EngineError::Thread(error.to_string()))?;
        match listens(address, &server) {
            true => Ok(Self { address, devices: devices.collect(), threads, ended }),
            false => Err(refused("llama.cpp's server does not start there; choose another port".to_owned())),
        }
    }

    /// Waits until the server has ended by itself, which it does only when something is wrong: what, in words.
    pub async fn ended(&mut self) -> String {
        (&mut self.ended).await.unwrap_or_else(|_| "the worker's thread has ended".to_owned())
    }

    /// Ends the process at once with `status`, in the middle of whatever is computed for others.
    pub fn end_process(self, status: u8) -> ! {
        llama_sys::end_process(status.into())
    }
}

/// Why an address cannot be had, and the way out.
fn bound(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "another program listens there; choose another port".to_owned(),
        std::io::ErrorKind::AddrNotAvailable => "this machine does not have that address; give one that it has".to_owned(),
        _ => format!("{}; choose another address", one_line(error)),
    }
}

/// Waits until somebody can connect. llama.cpp's server has no sign for it.
fn listens(address: SocketAddrV4, server: &JoinHandle<()>) -> bool {
    let here = if *address.ip() == ANY { SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, address.port()) } else { address };
    let start = Instant::now();
    while start.elapsed() < PATIENCE && !server.is_finished() {
        if TcpStream::connect_timeout(&here.into(), PATIENCE).is_ok() {
            return true;
        }
        thread::sleep(Duration::from_millis(2));
    }
    false
}
