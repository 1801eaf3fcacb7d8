//! Whether an executable starts on the host's Linux: what it asks of the machine, read from its ELF headers.

use std::{fmt, str::FromStr};

use anyhow::{Context, Result, bail, ensure};
use object::{
    Endianness,
    elf::{EM_X86_64, FileHeader64},
    read::elf::{FileHeader, ProgramHeader},
};

/// The oldest C library under which the host's images run: Debian 11's. Microsoft names no version.
pub const OLDEST_GLIBC: Glibc = Glibc { major: 2, minor: 31 };

/// glibc's loader. Another one, such as musl's, is not to be found on the host.
const LOADER: &[u8] = b"/lib64/ld-linux-x86-64.so.2";

/// A version of the GNU C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glibc {
    pub major: u32,
    pub minor: u32,
}

impl FromStr for Glibc {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        // The third number is that of a correction and came to an end with 2.3.4.
        let mut numbers = text.split('.').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self { major, minor }),
            _ => bail!("GLIBC_{text} is no version of the C library"),
        }
    }
}

impl fmt::Display for Glibc {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// What an executable needs of the machine it starts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// A kernel.
    Static,
    /// The C library, of this version or a later one.
    Dynamic(Glibc),
}

impl Linkage {
    /// Reads it from an executable for Linux on x86-64; anything else is an error.
    pub fn read(executable: &[u8]) -> Result<Self> {
        let header = FileHeader64::<Endianness>::parse(executable)
            .context("not an executable for Linux on 64 bits")?;
        let endian = header.endian()?;
        ensure!(header.e_machine(endian) == EM_X86_64, "not an executable for x86-64");
        let mut loader = None;
        for segment in header.program_headers(endian, executable)? {
            loader = loader.or(segment.interpreter(endian, executable)?);
        }
        match loader {
            None => return Ok(Self::Static),
            Some(LOADER) => {}
            Some(other) => bail!("it is started by {}", String::from_utf8_lossy(other)),
        }

        let sections = header.sections(endian, executable)?;
        let (mut libraries, strings) = sections
            .gnu_verneed(endian, executable)?
            .context("it does not say which version of the C library it needs")?;
        let strings = sections.strings(endian, executable, strings)?;
        let mut highest: Option<Glibc> = None;
        while let Some((_, mut versions)) = libraries.next()? {
            while let Some(version) = versions.next()? {
                let name = String::from_utf8_lossy(version.name(endian, strings)?);
                // Others are the compiler's own library's, which every image has.
                if let Some(glibc) = name.strip_prefix("GLIBC_") {
                    highest = highest.max(Some(glibc.parse()?));
                }
            }
        }
        highest.map(Self::Dynamic).context("it needs no version of the C library")
    }

    /// An error if it needs a newer C library than `oldest`.
    pub fn check(self, oldest: Glibc) -> Result<()> {
        match self {
            Self::Dynamic(glibc) if glibc > oldest => {
                bail!("it needs glibc {glibc}, and the host may have no newer one than {oldest}")
            }
            Self::Static | Self::Dynamic(_) => Ok(()),
        }
    }
}

impl fmt::Display for Linkage {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Static => formatter.write_str("static"),
            Self::Dynamic(glibc) => write!(formatter, "glibc {glibc} or later"),
        }
    }
}
