//! `paguro worker`: lends this machine to another Paguro.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use engine::{Bytes, LentDevice, Worker};

use crate::args::WorkerArgs;
use crate::exit;
use crate::parts;

/// Ends with status 0 on a signal.
pub async fn run(args: &WorkerArgs) -> Result<ExitCode> {
    let interrupt = parts::on_ctrl_c();
    // From here on signals are listened to.
    tokio::task::yield_now().await;
    let (address, threads) = (args.listen.clone(), args.threads);
    let mut worker = tokio::task::spawn_blocking(move || Worker::start(&address, threads)).await??;
    let lent: Vec<String> = worker.devices.iter().map(|device| in_words(device, worker.threads)).collect();
    tell!(
        "paguro: worker on {}, lends {}; whoever reaches this port can use it, and may take this process over",
        worker.address,
        lent.join(" and ")
    );
    if !worker.address.ip().is_loopback() {
        tell!(
            "paguro: {} can be reached from other machines, without password or encryption: use it on a network you trust, behind a \
             firewall that lets in only the machine that needs it",
            worker.address
        );
    }
    tokio::select! {
        () = interrupt.raised() => worker.end_process(exit::ANSWERED),
        reason = worker.ended() => Err(anyhow!("the worker on {} has ended: {reason}", worker.address)),
    }
}

/// Threads matter on a CPU only.
fn in_words(device: &LentDevice, threads: u32) -> String {
    let threads = if device.name == "CPU" { format!(" with {threads} threads") } else { String::new() };
    format!("{}{threads}, {} free of {}", device.name, Bytes(device.free), Bytes(device.total))
}
