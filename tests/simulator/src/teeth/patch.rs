//! Planted bugs that no port can show: each replaces one passage of core, in a copy of the workspace that is built and
//! run beside it. They are the files in `tests/simulator/teeth/`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// A planted bug in a copy of core.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// What it is called: its file's name.
    #[serde(skip)]
    pub name: String,
    /// What the defect is.
    pub bug: String,
    /// Where the passage is, from the root of the workspace.
    pub file: PathBuf,
    /// The passage, which is there exactly once.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All of them, by name.
///
/// # Errors
/// A file that can't be read, or isn't a patch.
pub fn all() -> io::Result<Vec<Patch>> {
    let mut patches = Vec::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("teeth"))? {
        let path = entry?.path();
        if path.extension() != Some(OsStr::new("toml")) {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        let patch: Patch = toml::from_str(&text)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        patches.push(Patch { name, ..patch });
    }
    patches.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(patches)
}

impl Patch {
    /// The file's text with the bug in it.
    ///
    /// # Errors
    /// The passage isn't there, or more than once.
    pub fn plant(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.find).count() {
            1 => Ok(text.replacen(&self.find, &self.replace, 1)),
            found => Err(format!(
                "{}: what it replaces is {found} times in {}",
                self.name,
                self.file.display()
            )),
        }
    }

    /// Builds the simulator over a copy of the workspace with the bug in it, and returns where it is. Patch after patch
    /// has the same copy and the same target folder, so that only what the bug changes is built again; no other program
    /// is built there.
    ///
    /// # Errors
    /// A copy that can't be made, or doesn't build.
    pub fn build(&self, target: &Path) -> io::Result<PathBuf> {
        let copy = target.join("workspace");
        mirror(&root(), &copy, Some(self))?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args([
                "build",
                "--release",
                "--locked",
                "--package",
                "paymux-sim",
                "--no-default-features",
                "--bin",
                "teeth",
            ])
            .args(QUICKLY_BUILT)
            .arg("--target-dir")
            .arg(target)
            // One passage differs from patch to patch, and no more than it is compiled again.
            .env("CARGO_INCREMENTAL", "1")
            .current_dir(&copy)
            .output()?;
        match built.status.success() {
            true => Ok(target.join("release").join("teeth")),
            false => Err(io::Error::other(format!(
                "{} doesn't build: {}",
                self.name,
                String::from_utf8_lossy(&built.stderr)
            ))),
        }
    }
}

/// A copy runs a few hundred worlds: to optimize what is built anew for it as a release is takes longer than they do.
const QUICKLY_BUILT: [&str; 6] = [
    "--config",
    "profile.release.package.paymux-core.opt-level=1",
    "--config",
    "profile.release.package.paymux-memory.opt-level=1",
    "--config",
    "profile.release.package.paymux-sim.opt-level=1",
];

/// Makes `to` what `from` is, with the bug in it. What is the same already isn't written, so that it isn't built again.
fn mirror(from: &Path, to: &Path, patch: Option<&Patch>) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.');
        // What cargo has built is no part of it: in a folder of this name, or in one that cargo has made itself.
        if hidden || name == "target" || entry.path().join("CACHEDIR.TAG").exists() {
            continue;
        }
        let (source, copy) = (entry.path(), to.join(&name));
        if entry.file_type()?.is_dir() {
            let inside = patch.and_then(|patch| {
                let file = patch.file.strip_prefix(&name).ok()?.to_owned();
                Some(Patch {
                    file,
                    ..patch.clone()
                })
            });
            mirror(&source, &copy, inside.as_ref())?;
        } else {
            let mut bytes = std::fs::read(&source)?;
            if let Some(patch) = patch.filter(|patch| patch.file.as_os_str() == name) {
                let text = String::from_utf8(bytes).map_err(io::Error::other)?;
                bytes = patch.plant(&text).map_err(io::Error::other)?.into_bytes();
            }
            if std::fs::read(&copy).ok().as_ref() != Some(&bytes) {
                std::fs::write(&copy, bytes)?;
            }
        }
        names.push(name);
    }
    for entry in std::fs::read_dir(to)? {
        let entry = entry?;
        if !names.contains(&entry.file_name()) {
            match entry.file_type()?.is_dir() {
                true => std::fs::remove_dir_all(entry.path())?,
                false => std::fs::remove_file(entry.path())?,
            }
        }
    }
    Ok(())
}

/// A number that changes with every change of core and of the simulator.
pub fn digest() -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for folder in ["core/src", "tests/simulator/src"] {
        add(&root().join(folder), &mut sum);
    }
    sum
}

/// FNV-1a over all that is in a folder, in the order of names.
fn add(folder: &Path, sum: &mut u64) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        match path.is_dir() {
            true => add(&path, sum),
            false => {
                for byte in std::fs::read(&path).unwrap_or_default() {
                    *sum = (*sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
    }
}
