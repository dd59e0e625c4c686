//! What a model takes before it is loaded, against what the machine has. The measuring is the backend's (`llama/load/plan.rs`).

use std::fmt;

use serde::Serialize;

use crate::{CacheType, Machine};

/// The memory that a model, a context and what stands beside them take, in bytes. The fields count the machine's own memory;
/// what lies on a GPU or a worker stands in `devices`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The model's name.
    pub model: String,
    /// The context that was planned, in tokens.
    pub context: u32,
    /// The context that the model was trained for, in tokens.
    pub trained_context: u32,
    /// Type of the K cache: what was asked for, or f16 where the model's shape does not allow that. `None`: no model.
    pub cache_type_k: Option<CacheType>,
    /// Type of the V cache, likewise.
    pub cache_type_v: Option<CacheType>,
    /// The model's tensors.
    pub weights: u64,
    /// The file is mapped: the kernel may give weights back and read them again, which is slow, instead of running out of memory.
    pub mapped: bool,
    /// The KV cache, and the state of recurrent layers.
    pub kv: u64,
    /// Checkpoints, for models that cannot drop a tail.
    pub checkpoints: u64,
    /// What a batch needs while it is computed, and its logits.
    pub compute: u64,
    /// The embedding model with its context, as large as it can get.
    pub embedder: u64,
    /// Vocabulary, bookkeeping of the cache, code: an estimate, where llama.cpp has no count.
    pub overhead: u64,
    /// What lies on GPUs and workers; empty without.
    pub devices: Vec<DevicePlan>,
    /// What the cache's types cost in time; `None`: not measured, because layers differ or the device has no such operation.
    pub attention: Option<AttentionTime>,
    /// What there is.
    pub machine: Machine,
    /// The largest context with these cache types that fits, in tokens; `None`: not even a small one.
    pub largest_context: Option<u32>,
    /// What would make it fit, where it does not: the end of a sentence.
    pub way_out: Option<String>,
}

/// Attention of all layers for one new token, in milliseconds, measured on this machine when the plan is made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AttentionTime {
    /// Tokens in the cache.
    pub depth: u32,
    /// With the types of the plan.
    pub planned_ms: f64,
    /// With f16 for both.
    pub f16_ms: f64,
}

impl fmt::Display for AttentionTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { depth, planned_ms, f16_ms } = self;
        write!(f, "{planned_ms:.1} ms a token at a depth of {depth} tokens here, {f16_ms:.1} ms with f16")
    }
}

/// The share of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DevicePlan {
    /// ggml's name: `CUDA0`, `RPC0`, …
    pub name: String,
    /// The address of the worker whose device it is; `None`: it is this machine's.
    pub worker: Option<String>,
    /// Weights on it.
    pub weights: u64,
    /// KV cache on it.
    pub kv: u64,
    /// Compute buffers on it.
    pub compute: u64,
    /// The embedding model's share.
    pub embedder: u64,
    /// Bytes free on it now; `None`: the driver does not say, and anything fits.
    pub free: Option<u64>,
    /// Its memory is the machine's, so that it counts there too.
    pub unified: bool,
}

impl DevicePlan {
    /// What it is called: its name, or the worker's address.
    #[must_use]
    pub fn place(&self) -> String {
        self.worker.as_ref().map_or_else(|| self.name.clone(), |worker| format!("the worker {worker}"))
    }

    /// All that lies on the device.
    #[must_use]
    pub fn needs(&self) -> u64 {
        self.weights + self.kv + self.compute + self.embedder
    }
}

impl Plan {
    /// All that the machine's own memory must hold.
    #[must_use]
    pub fn needs(&self) -> u64 {
        let unified: u64 = self.devices.iter().filter(|device| device.unified).map(DevicePlan::needs).sum();
        self.weights + self.kv + self.checkpoints + self.compute + self.embedder + self.overhead + unified
    }

    /// Whether there is room, here and on each device.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.excess() <= 0
    }

    /// By how many bytes the place that is worst off is over; negative: room left there.
    pub(crate) fn excess(&self) -> i64 {
        let (needs, has, _) = self.tightest();
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        signed(needs).saturating_sub(signed(has))
    }

    /// The place that is worst off: what it needs, what it has, and where that is as the end of "8 GB are …".
    pub(crate) fn tightest(&self) -> (u64, u64, String) {
        let host = (self.needs(), self.machine.available, self.machine.bound.words().to_owned());
        let devices = self.devices.iter().filter_map(|device| Some((device.needs(), device.free?, format!("free on {}", device.place()))));
        let over = |(needs, has, _): &(u64, u64, String)| i128::from(*needs) - i128::from(*has);
        std::iter::once(host).chain(devices).max_by_key(over).unwrap_or_default()
    }
}

/// Bytes in words, decimal: `1.7 MB`, `95.1 GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let mut rest = self.0 as f64;
        if rest < 1000.0 {
            return f.pad(&format!("{} B", self.0));
        }
        for unit in ["kB", "MB", "GB"] {
            rest /= 1000.0;
            if rest < 999.95 {
                return f.pad(&format!("{rest:.1} {unit}"));
            }
        }
        f.pad(&format!("{:.1} TB", rest / 1000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bound;

    #[test]
    fn bytes_in_words() {
        let check = |bytes: u64, expected: &str| assert_eq!(Bytes(bytes).to_string(), expected);
        check(0, "0 B");
        check(999, "999 B");
        check(1_700_000, "1.7 MB");
        check(999_960, "1.0 MB");
        check(95_100_000_000, "95.1 GB");
        check(2_500_000_000_000, "2.5 TB");
        assert_eq!(format!("{:>8}", Bytes(1)), "     1 B");
    }

    fn plan(devices: &[(u64, Option<u64>, bool)]) -> Plan {
        let device = |(number, &(kv, free, unified)): (usize, &(u64, Option<u64>, bool))| DevicePlan {
            name: format!("GPU{number}"),
            worker: None,
            weights: 10,
            kv,
            compute: 1,
            embedder: 0,
            free,
            unified,
        };
        Plan {
            model: "m".into(),
            context: 1,
            trained_context: 1,
            cache_type_k: None,
            cache_type_v: None,
            weights: 32,
            mapped: false,
            kv: 16,
            checkpoints: 8,
            compute: 4,
            embedder: 2,
            overhead: 1,
            devices: devices.iter().enumerate().map(device).collect(),
            attention: None,
            machine: Machine { total: 100, available: 63, bound: Bound::Memory },
            largest_context: None,
            way_out: None,
        }
    }

    #[test]
    fn every_place_must_have_room() {
        let check = |devices: &[(u64, Option<u64>, bool)], needs: u64, excess: i64, place: &str| {
            let plan = plan(devices);
            assert_eq!((plan.needs(), plan.excess(), plan.fits()), (needs, excess, excess <= 0), "{devices:?}");
            assert_eq!(plan.tightest().2, place, "{devices:?}");
        };
        check(&[], 63, 0, "free on this machine");
        check(&[(5, Some(16), false)], 63, 0, "free on GPU0");
        check(&[(5, Some(99), false), (5, Some(14), false)], 63, 2, "free on GPU1");
        // Its memory is the machine's own.
        check(&[(5, Some(99), true)], 79, 16, "free on this machine");
        check(&[(5, None, false)], 63, 0, "free on this machine");
    }
}
