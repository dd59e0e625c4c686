//! More than one machine: lending this one's devices by llama.cpp's RPC backend, and borrowing another's.
//!
//! llama.cpp's own code ends the process when a worker cannot be reached or the connection breaks, so whoever connects should look
//! first whether somebody answers.

use std::convert::Infallible;
use std::net::SocketAddrV4;
use std::process;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::Deserialize;

use crate::{ErrorKind, ShimError, ffi};

/// Version of the protocol, major and minor. A worker must have the same major one and no higher minor one.
pub const RPC_VERSION: (u32, u32) = (ffi::RPC_PROTO_MAJOR_VERSION, ffi::RPC_PROTO_MINOR_VERSION);

/// A device that is lent or borrowed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RpcDevice {
    /// ggml's name: `CPU`, `CUDA0`, and `RPC0` of a borrowed one.
    pub name: String,
    /// Which of ggml's devices it is, for `LlamaModelParams::with_devices`.
    pub index: usize,
    /// Bytes free now.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// What is free of the machine's memory and what there is in all, in bytes.
type TellMemory = fn() -> (u64, u64);

static TELL_MEMORY: OnceLock<TellMemory> = OnceLock::new();

/// The shim calls it when somebody asks a worker without a GPU for its memory.
extern "C" fn memory(available: *mut u64, total: *mut u64) {
    // Nothing may unwind into C++.
    let told = std::panic::catch_unwind(|| TELL_MEMORY.get().map(|tell| tell()));
    let (free, all) = told.ok().flatten().unwrap_or_default();
    // SAFETY: the shim passes two places of its own, that nobody else uses meanwhile.
    unsafe {
        available.write(free);
        total.write(all);
    }
}

/// The devices that [`serve_worker`] lends: the GPUs, or without one the CPU, whose memory `tell_memory` tells; the first call's counts.
///
/// # Errors
/// There is no device at all.
pub fn lent_devices(tell_memory: TellMemory) -> Result<Vec<RpcDevice>, ShimError> {
    TELL_MEMORY.get_or_init(|| tell_memory);
    ffi::call_json(|out| {
        // SAFETY: `memory` is a function for the whole life of the process.
        unsafe { ffi::paguro_lent_devices(Some(memory), out) }
    })
}

/// Lends this machine's devices, as [`lent_devices`] lists them, to whoever connects to `address`, one after the other, with `threads`
/// threads on a CPU. It blocks. Standard output goes nowhere from then on, because llama.cpp's server writes there.
///
/// **Who can connect can use the devices, and, since llama.cpp's server trusts what it is sent, may take the process over.**
///
/// # Errors
/// Always, once it ends: the address is taken, no connection can be accepted, memory ran out.
pub fn serve_worker(address: SocketAddrV4, threads: usize, tell_memory: TellMemory) -> Result<Infallible, ShimError> {
    TELL_MEMORY.get_or_init(|| tell_memory);
    let address = address.to_string();
    let ended = ffi::call(|out| {
        // SAFETY: `address` outlives the call, and `memory` is a function for the whole life of the process.
        unsafe { ffi::paguro_worker_serve(ffi::borrow(&address), threads, Some(memory), out) }
    });
    match ended {
        Err(error) => Err(error),
        Ok(_) => Err(ShimError { kind: ErrorKind::Unknown, message: "llama.cpp's server ended".to_owned() }),
    }
}

/// Connects to the worker at `address`, adds its devices to ggml's and gives what they have free now.
///
/// **The process ends where it cannot be reached**, and where it breaks off at any later time; see [`on_lost_worker`].
///
/// # Errors
/// It lends nothing.
pub fn worker_devices(address: SocketAddrV4) -> Result<Vec<RpcDevice>, ShimError> {
    // ggml's list of devices has no lock of its own.
    static ADDING: Mutex<()> = Mutex::new(());
    let _adding = ADDING.lock().unwrap_or_else(PoisonError::into_inner);
    let address = address.to_string();
    ffi::call_json(|out| {
        // SAFETY: `address` outlives the call, and the lock keeps other writers of ggml's list away.
        unsafe { ffi::paguro_worker_devices(ffi::borrow(&address), out) }
    })
}

/// Indices of the GPUs of this machine that llama.cpp uses by itself: the discrete ones, else those that share the machine's memory.
#[must_use]
pub fn local_gpus() -> Vec<usize> {
    let told = ffi::call_json(|out| {
        // SAFETY: the export reads ggml's devices and writes to `out` alone.
        unsafe { ffi::paguro_local_gpus(out) }
    });
    told.unwrap_or_default()
}

/// What the process says on standard error, before llama.cpp's own words, when it must end because a worker is lost. The status is then
/// 1; without this call it is an abort.
///
/// # Errors
/// Memory ran out.
pub fn on_lost_worker(words: &str) -> Result<(), ShimError> {
    // SAFETY: `words` outlives the call, which copies it.
    ffi::call(|out| unsafe { ffi::paguro_on_lost_worker(ffi::borrow(words), out) }).map(drop)
}

/// Ends the process at once: no destructors, nothing flushed. For a worker, whose server knows no end: threads of llama.cpp that still
/// compute would lose their data to an end in order.
pub fn end_process(status: i32) -> ! {
    // SAFETY: it ends the process and touches nothing of it.
    unsafe { ffi::paguro_exit(status) }
    process::abort()
}
