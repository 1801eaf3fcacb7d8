//! Compressed answers (RFC 9110 §8.4), unpacked as far as they may be long.
//!
//! By hand, because the HTTP client knows codings by one spelling each, and services and proxies use all that the
//! standard allows: names without case, and `x-gzip` for `gzip`.

use std::io::{self, Read, Write};

use axum::http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};
use flate2::{
    read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder},
    write,
};

/// What we ask for.
pub const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip");

/// Why a body cannot be unpacked.
#[derive(Debug, PartialEq, Eq)]
pub enum Packed {
    /// It is longer than it may be.
    TooLarge,
    /// It is cut or damaged, or packed in a way we do not know.
    Unreadable(String),
}

/// The body as it was before it was packed, at most `limit` bytes long.
///
/// # Errors
/// See [`Packed`].
pub fn unpacked(headers: &HeaderMap, mut body: Vec<u8>, limit: usize) -> Result<Vec<u8>, Packed> {
    if body.is_empty() {
        return Ok(body);
    }
    for coding in codings(headers).iter().rev() {
        body = match coding.as_str() {
            "" | "identity" => body,
            "gzip" | "x-gzip" => read(MultiGzDecoder::new(&*body), limit)?,
            // Named after one format and sent in the other by so many that everybody reads both.
            "deflate" if is_zlib(&body) => read(ZlibDecoder::new(&*body), limit)?,
            "deflate" => read(DeflateDecoder::new(&*body), limit)?,
            other => return Err(unknown(other)),
        };
    }
    Ok(body)
}

fn unknown(coding: &str) -> Packed {
    Packed::Unreadable(format!("the answer is packed as {coding:?}, which was not asked for"))
}

/// A body that is unpacked as it comes.
pub enum Unpacker {
    Plain,
    Gzip(Box<write::MultiGzDecoder<Vec<u8>>>),
}

impl Unpacker {
    /// # Errors
    /// A packing that was not asked for.
    pub fn of(headers: &HeaderMap) -> Result<Self, Packed> {
        let mut codings = codings(headers);
        codings.retain(|coding| !matches!(coding.as_str(), "" | "identity"));
        match codings.as_slice() {
            [] => Ok(Self::Plain),
            [coding] if coding == "gzip" || coding == "x-gzip" => {
                Ok(Self::Gzip(Box::new(write::MultiGzDecoder::new(Vec::new()))))
            }
            others => Err(unknown(&others.join(", "))),
        }
    }

    /// Calls `take` with what a part of the body unpacks to.
    ///
    /// # Errors
    /// The body is damaged.
    pub fn push(&mut self, part: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), Packed> {
        /// So much of the body is unpacked at once: it may become a thousand times as long.
        const STEP: usize = 4096;
        let Self::Gzip(decoder) = self else {
            take(part);
            return Ok(());
        };
        for step in part.chunks(STEP) {
            decoder.write_all(step).map_err(told)?;
            take(decoder.get_ref());
            decoder.get_mut().clear();
        }
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// The body is cut.
    pub fn finish(&mut self, mut take: impl FnMut(&[u8])) -> Result<(), Packed> {
        let Self::Gzip(decoder) = self else { return Ok(()) };
        decoder.try_finish().map_err(told)?;
        take(decoder.get_ref());
        decoder.get_mut().clear();
        Ok(())
    }
}

fn told(error: io::Error) -> Packed {
    Packed::Unreadable(format!("the packed answer is cut or damaged: {error}"))
}

/// The codings of a body, in the order in which they were applied.
fn codings(headers: &HeaderMap) -> Vec<String> {
    let codings =
        headers.get_all(CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    codings
        .flat_map(|list| list.split(',').map(|coding| coding.trim().to_ascii_lowercase()).collect::<Vec<_>>())
        .collect()
}

/// RFC 1950 §2.2: the method, and a checksum over the two bytes.
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [first, second, ..] if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0)
}

fn read(decoder: impl Read, limit: usize) -> Result<Vec<u8>, Packed> {
    let mut body = Vec::new();
    let longest = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(longest).read_to_end(&mut body).map_err(told)?;
    if body.len() > limit { Err(Packed::TooLarge) } else { Ok(body) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    const TEXT: &[u8] = b"indicator indicator indicator indicator";

    macro_rules! packed {
        ($encoder:ident, $text:expr) => {{
            let mut encoder = $encoder::new(Vec::new(), Compression::default());
            encoder.write_all($text).unwrap();
            encoder.finish().unwrap()
        }};
    }

    fn unpack(coding: &str, body: Vec<u8>) -> Result<Vec<u8>, Packed> {
        unpacked(&HeaderMap::from_iter([(CONTENT_ENCODING, coding.parse().unwrap())]), body, 100)
    }

    #[test]
    fn every_spelling_of_a_coding_is_unpacked() {
        for coding in ["gzip", "GZIP", "x-gzip", "X-GZip", "identity, gzip", "gzip,"] {
            assert_eq!(unpack(coding, packed!(GzEncoder, TEXT)).unwrap(), TEXT, "{coding}");
        }
        for body in [packed!(ZlibEncoder, TEXT), packed!(DeflateEncoder, TEXT)] {
            assert_eq!(unpack("Deflate", body).unwrap(), TEXT);
        }
        let twice = packed!(GzEncoder, &packed!(ZlibEncoder, TEXT));
        assert_eq!(unpack("deflate, gzip", twice).unwrap(), TEXT);
        assert_eq!(unpack("identity", TEXT.to_vec()).unwrap(), TEXT);
        assert_eq!(unpacked(&HeaderMap::new(), TEXT.to_vec(), 1).unwrap(), TEXT);
        assert_eq!(unpack("gzip", Vec::new()).unwrap(), b"");
    }

    #[test]
    fn what_is_cut_damaged_unknown_or_too_long_is_an_error() {
        let whole = packed!(GzEncoder, TEXT);
        for body in [whole[..whole.len() - 9].to_vec(), TEXT.to_vec()] {
            assert!(matches!(unpack("gzip", body), Err(Packed::Unreadable(_))));
        }
        assert!(matches!(unpack("br", TEXT.to_vec()), Err(Packed::Unreadable(told)) if told.contains("br")));
        assert_eq!(unpack("gzip", packed!(GzEncoder, &[b'x'; 101])), Err(Packed::TooLarge));
        assert!(unpack("gzip", packed!(GzEncoder, &[b'x'; 100])).is_ok());
    }
}
