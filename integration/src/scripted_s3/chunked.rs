//! The `aws-chunked` encoding: sizes in hex, signatures that we do not check, and trailers.

use std::io;

use bytes::{Bytes, BytesMut};

/// Takes the content out of an encoded body.
pub(super) fn decode(body: &[Bytes]) -> io::Result<Vec<Bytes>> {
    let mut joined = BytesMut::new();
    for chunk in body {
        joined.extend_from_slice(chunk);
    }
    let (mut rest, mut out) = (joined.freeze(), Vec::new());
    loop {
        let line = rest.windows(2).position(|pair| pair == b"\r\n").ok_or_else(broken)?;
        let head = std::str::from_utf8(&rest[..line]).map_err(io::Error::other)?;
        let size = head.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        let start = line + 2;
        if size == 0 {
            return Ok(out);
        }
        if rest.len() < start + size + 2 {
            return Err(broken());
        }
        out.push(rest.slice(start..start + size));
        rest = rest.slice(start + size + 2..);
    }
}

fn broken() -> io::Error {
    io::Error::other("aws-chunked body breaks off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_and_cuts_are_seen() {
        let body = |text: &'static str| [Bytes::from_static(text.as_bytes())];
        let whole =
            decode(&body("3;chunk-signature=00\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n"));
        assert_eq!(whole.unwrap(), ["abc", "de"]);
        for text in ["", "3\r\nab", "zz\r\n", "3\r\nabc\r\n"] {
            decode(&body(text)).unwrap_err();
        }
    }
}
