//! Landlock: what may be opened, once more, by the kernel's own list. With the mounts it is a second wall behind the first; without
//! them it is the only one.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use super::mounts::SYSTEM;
use super::{Broken, Of};
use crate::sandbox::layers::Layer;
use crate::sandbox::spec::Spec;

/// The rules are written for this version; the kernel keeps those that it knows.
const VERSION: ABI = ABI::V6;

pub(super) fn restrict(spec: &Spec) -> Result<(), Broken> {
    let status = ruleset(spec).and_then(RulesetCreated::restrict_self).of(Layer::Landlock, "landlock")?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(Broken { layer: Layer::Landlock, why: "the kernel does not have it".into() });
    }
    Ok(())
}

fn ruleset(spec: &Spec) -> Result<RulesetCreated, RulesetError> {
    let (all, read) = (AccessFs::from_all(VERSION), AccessFs::from_read(VERSION));
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::ReadDir | AccessFs::Truncate | AccessFs::IoctlDev;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::from_all(VERSION))?
        .create()?
        .no_new_privs(spec.has(Layer::NoNewPrivs));
    let mut allow = |path: &Path, access| -> Result<(), RulesetError> {
        // What is not there needs no rule.
        let Ok(place) = PathFd::new(path) else { return Ok(()) };
        (&mut rules).add_rule(PathBeneath::new(place, access))?;
        Ok(())
    };
    allow(&spec.workspace, all)?;
    if spec.has(Layer::Mount) {
        allow(Path::new("/"), read)?;
        allow(Path::new("/dev"), device)?;
        allow(Path::new("/tmp"), all)?;
        allow(Path::new("/dev/shm"), all)?;
        return Ok(rules);
    }
    for name in SYSTEM {
        allow(&Path::new("/").join(name), read)?;
    }
    for path in &spec.readable {
        allow(path, read)?;
    }
    for device_name in super::mounts::DEVICES {
        allow(&Path::new("/dev").join(device_name), device & AccessFs::from_file(VERSION))?;
    }
    Ok(rules)
}
