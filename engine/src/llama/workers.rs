//! The workers that a model is split over (`[engine] workers`), and which layers stay here.
//!
//! llama.cpp ends the process where a worker cannot be reached, so each is asked here first.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, ToSocketAddrs as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use llama_sys::llama_cpp_2::model::params::LlamaModelParams;
use llama_sys::{RPC_VERSION, local_gpus, on_lost_worker, worker_devices};

use crate::error::one_line;
use crate::{EngineError, LoadOptions, Machine};

/// How long a worker may take to answer: one round trip, once the connection stands.
const PATIENCE: Duration = Duration::from_secs(3);
/// `RPC_CMD_HELLO`, which by llama.cpp's own assertion keeps its number.
const HELLO: u8 = 14;
/// `RPC_CONN_CAPS_SIZE`: what a peer can do beside TCP. Ours says: nothing.
const CAPABILITIES: usize = 24;

/// The workers that llama.cpp knows, for the rest of the process. It may be connected to them: a worker answers one connection at a time,
/// so a greeting of ours would wait for ourselves.
static KNOWN: Mutex<Vec<SocketAddrV4>> = Mutex::new(Vec::new());

/// `params` with the devices that `options` name, for a model of `layers` repeating layers. All workers are asked whether they answer.
///
/// The layers are shared in proportion to free memory: between the devices by llama.cpp, and between them and this machine's own memory
/// here, by the number of layers that go to devices. With a GPU of our own nothing stays in the machine's memory unless `gpu_layers` says
/// so.
///
/// # Errors
/// [`EngineError::Worker`].
pub(super) fn spread(params: LlamaModelParams, options: &LoadOptions, layers: u64) -> Result<LlamaModelParams, EngineError> {
    if options.workers.is_empty() {
        return Ok(params);
    }
    let (devices, lent) = borrow(&options.workers)?;
    let gpus = local_gpus();
    let params = match options.gpu_layers {
        None if gpus.is_empty() => {
            let own = Machine::read().at_most(options.memory_limit).available;
            params.with_n_gpu_layers(layers_away(layers, lent, own))
        }
        _ => params,
    };
    // The workers first, as llama.cpp has it: the last layers are nearest to the tokens that come out.
    let devices: Vec<usize> = devices.into_iter().chain(gpus).collect();
    let count = devices.len();
    params.with_devices(&devices).map_err(|error| EngineError::Worker {
        address: options.workers.join(", "),
        reason: format!("there are {count} devices in all, and {error}; take some out of `workers` in [engine]"),
    })
}

/// `params` for a model that stays on this machine. By itself llama.cpp would put any model, an embedder too, on the workers that it knows.
pub(super) fn stay(params: LlamaModelParams) -> LlamaModelParams {
    match KNOWN.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
        true => params,
        // These indices are ggml's own, and the limit of 16 devices is its too.
        false => params.with_devices(&local_gpus()).unwrap_or_default(),
    }
}

/// Of `layers` and the output, which counts as one more, those that go to devices with `lent` bytes rather than to our own `own` bytes.
fn layers_away(layers: u64, lent: u64, own: u64) -> u32 {
    let all = u128::from(layers.min(u64::from(u32::MAX))) + 1;
    let (lent, both) = (u128::from(lent), u128::from(lent) + u128::from(own));
    // Rounded to the nearest. One goes away in any case: who names a worker wants it used.
    let away = (2 * all * lent + both) / (2 * both).max(1);
    u32::try_from(away.clamp(1, all)).unwrap_or(u32::MAX)
}

/// Connects to all of them: indices of their devices, and the bytes that are free there.
fn borrow(workers: &[String]) -> Result<(Vec<usize>, u64), EngineError> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let refused = |worker: &String, reason: String| EngineError::Worker { address: worker.clone(), reason };
    let mut addresses = Vec::new();
    for worker in workers {
        let address = resolve(worker).map_err(|reason| refused(worker, reason))?;
        if addresses.contains(&address) {
            return Err(refused(worker, format!("it is in `workers` in [engine] twice, as {address}; take one out")));
        }
        let stream = connect(address).map_err(|error| refused(worker, unreachable(worker, &error)))?;
        if !known.contains(&address) {
            greet(stream).map_err(|reason| refused(worker, reason))?;
        }
        addresses.push(address);
    }
    let words = format!(
        "paguro: a worker is lost, and llama.cpp cannot go on without it: this process ends. Look after {}, then do the same again: what was \
         begun is in the journal and goes on",
        workers.join(" and ")
    );
    on_lost_worker(&words).map_err(|error| EngineError::Thread(one_line(error)))?;
    let (mut devices, mut free) = (Vec::new(), 0_u64);
    for (worker, address) in workers.iter().zip(addresses) {
        let lent = worker_devices(address).map_err(|error| refused(worker, one_line(error)))?;
        known.retain(|known| *known != address);
        known.push(address);
        free = lent.iter().fold(free, |sum, device| sum.saturating_add(device.free));
        devices.extend(lent.iter().map(|device| device.index));
    }
    Ok((devices, free))
}

/// The address of `worker` that llama.cpp can use: it knows IPv4 only.
fn resolve(worker: &str) -> Result<SocketAddrV4, String> {
    let found = worker
        .to_socket_addrs()
        .map_err(|error| format!("its name cannot be looked up ({}); check `workers` in [engine]", one_line(error)))?;
    ipv4(found).ok_or_else(|| "it has no IPv4 address, and llama.cpp's workers know no other; give one in `workers` in [engine]".to_owned())
}

/// The first IPv4 address of a name.
pub(crate) fn ipv4(mut found: impl Iterator<Item = SocketAddr>) -> Option<SocketAddrV4> {
    found.find_map(|address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    })
}

fn connect(address: SocketAddrV4) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address.into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn unreachable(worker: &str, error: &io::Error) -> String {
    let error = match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "it does not answer".to_owned(),
        ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        _ => one_line(error),
    };
    format!("{error}; run `paguro worker --listen {worker}` on that machine, or take it out of `workers` in [engine]")
}

/// Does what llama.cpp does first (`negotiate_hello`), where a wrong answer or none would end the process or hang it.
fn greet(mut stream: impl Read + Write) -> Result<(), String> {
    let mut hello = vec![HELLO];
    hello.extend((CAPABILITIES as u64).to_ne_bytes());
    hello.extend([0; CAPABILITIES]);
    let mut size = [0; 8];
    let mut answer = [0; 4 + CAPABILITIES];
    let exchanged = stream.write_all(&hello).and_then(|()| stream.read_exact(&mut size)).and_then(|()| {
        let right = u64::from_ne_bytes(size) == answer.len() as u64;
        if right { stream.read_exact(&mut answer) } else { Err(ErrorKind::InvalidData.into()) }
    });
    match exchanged.map_err(|error| error.kind()) {
        Ok(()) => {}
        Err(ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
            let busy = "a worker serves one at a time, so end the other program that uses it, or wait";
            return Err(format!(
                "it takes the connection and does not answer; {busy}; if no worker listens there, check `workers` in [engine]"
            ));
        }
        Err(_) => return Err("what listens there is no worker; check `workers` in [engine]".to_owned()),
    }
    let (major, minor) = RPC_VERSION;
    match answer {
        [its_major, its_minor, ..] if u32::from(its_major) == major && u32::from(its_minor) <= minor => Ok(()),
        [its_major, its_minor, ..] => Err(format!(
            "it speaks version {its_major}.{its_minor} of llama.cpp's protocol and this program {major}.{minor}; run the same Paguro on both"
        )),
    }
}

/// Whether `address` is `HOST:PORT` as a worker's address must be.
///
/// # Errors
/// What is wrong with it, as the end of a sentence. IPv6 is not possible, since llama.cpp's workers do not know it.
pub fn check_worker_address(address: &str) -> Result<(), String> {
    let example = "give HOST:PORT, such as 192.168.1.20:50052";
    let (host, port) = address.rsplit_once(':').ok_or_else(|| format!("it has no port; {example}"))?;
    if host.contains(':') {
        return Err(format!("it is no name and no IPv4 address, and llama.cpp's workers know no other; {example}"));
    }
    if host.is_empty() || host.contains(|char: char| char.is_whitespace() || char == '/' || char == ',') {
        return Err(format!("`{host}` is no host; {example}"));
    }
    match port.parse::<u16>() {
        Ok(_) if port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err(format!("`{port}` is no port; {example}")),
    }
}

/// This machine, for those who borrow it: bytes available, and bytes in all.
pub(crate) fn tell_memory() -> (u64, u64) {
    let machine = Machine::read();
    (machine.available, machine.total)
}

/// Every address of this machine.
pub(crate) const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn layers_go_where_memory_is() {
        let check = |layers, lent, own, expected| assert_eq!(layers_away(layers, lent, own), expected, "{layers} {lent} {own}");
        check(35, 8, 8, 18);
        check(35, 16, 8, 24);
        check(35, 8, 0, 36);
        check(35, 0, 8, 1);
        check(0, 0, 0, 1);
        check(3, u64::MAX, u64::MAX, 2);
        check(u64::MAX, 1, 1, 1 << 31);
        check(u64::MAX, u64::MAX, 1, u32::MAX);
    }

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:50052", "attic:1", "attic.lan:65535", "0.0.0.0:0"] {
            assert_eq!(check_worker_address(good), Ok(()), "{good}");
        }
        let check = |bad: &str, words: &str| {
            let error = check_worker_address(bad).unwrap_err();
            assert!(error.contains(words) && error.contains("192.168.1.20:50052"), "{bad}: {error}");
        };
        check("attic", "no port");
        check("", "no port");
        check(":50052", "`` is no host");
        check("http://attic:80", "no name and no IPv4 address");
        check("at tic:80", "`at tic` is no host");
        check("attic:", "`` is no port");
        check("attic:+80", "`+80` is no port");
        check("attic:65536", "`65536` is no port");
        check("[::1]:50052", "no IPv4 address");
    }

    /// A peer that takes anything and answers this.
    struct Peer(Cursor<Vec<u8>>);

    impl Read for Peer {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn greetings() {
        let answer = |major: u32, minor: u32| {
            let mut bytes = 28_u64.to_ne_bytes().to_vec();
            bytes.extend([major, minor, 0, 0].map(|number| u8::try_from(number).unwrap()));
            bytes.extend([0; 24]);
            greet(Peer(Cursor::new(bytes)))
        };
        let (major, minor) = RPC_VERSION;
        assert_eq!(answer(major, minor), Ok(()));
        for (major, minor) in [(major + 1, 0), (major - 1, minor), (major, minor + 1)] {
            let error = answer(major, minor).unwrap_err();
            assert!(error.contains(&format!("version {major}.{minor} of")) && error.contains("same Paguro"), "{error}");
        }
        for wrong in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\nand more and more and more", &28_u64.to_ne_bytes()] {
            let error = greet(Peer(Cursor::new(wrong.to_vec()))).unwrap_err();
            assert!(error.contains("no worker"), "{error}");
        }
    }
}
