//! The zip file, whose bytes depend on nothing but what is in it.

use std::{
    fs,
    io::{Cursor, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use zip::{CompressionMethod, DateTime, System, ZipWriter, write::SimpleFileOptions};

use crate::EXECUTABLE;

/// A package that was written.
pub struct Package {
    pub path: PathBuf,
    pub size: usize,
    pub sha256: String,
}

/// Writes `<folder>/mati-sync-<version>.zip` with `names` of the checkout under `root` and the executable, and its
/// hash beside it, in the form that `sha256sum --check` reads.
pub fn write(
    folder: &Path,
    version: &str,
    root: &Path,
    names: &[String],
    executable: &[u8],
) -> Result<Package> {
    let mut files = Vec::new();
    for name in names {
        let content = fs::read(root.join(name)).with_context(|| name.clone())?;
        files.push((name.as_str(), 0o644, content));
    }
    // Not every plan's host sets the execute bit by itself.
    files.push((EXECUTABLE, 0o755, executable.to_vec()));
    files.sort();

    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, mode, content) in &files {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            // The earliest that a zip can say: when a file was written here is nobody's business.
            .last_modified_time(DateTime::DEFAULT)
            .system(System::Unix)
            .unix_permissions(*mode);
        writer.start_file(*name, options)?;
        writer.write_all(content)?;
    }
    let bytes = writer.finish()?.into_inner();

    let name = format!("{EXECUTABLE}-{version}.zip");
    let path = folder.join(&name);
    let sha256 = format!("{:x}", Sha256::digest(&bytes));
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    fs::write(&path, &bytes).with_context(|| path.display().to_string())?;
    fs::write(folder.join(format!("{name}.sha256")), format!("{sha256}  {name}\n"))?;
    Ok(Package { path, size: bytes.len(), sha256 })
}
