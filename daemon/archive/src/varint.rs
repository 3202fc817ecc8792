//! Unsigned LEB128 integers and length-prefixed bytes, the alphabet of all binary tables.
//!
//! Reading never panics and never takes memory that the input does not pay for.

/// The input ended early, or a number does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// Appends `value`, seven bits a byte, lowest first.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a signed number, zigzag coded.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A cursor over hostile bytes.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether all has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed("ends early"))?;
        self.rest = rest;
        Ok(*first)
    }

    /// Exactly `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(Malformed("ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// One unsigned number; the shortest coding is the only one.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                return Err(Malformed("number over 64 bits"));
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(Malformed("number with needless bytes"));
                }
                return Ok(value);
            }
        }
        Err(Malformed("number over 64 bits"))
    }

    /// One unsigned number of at most 32 bits.
    pub fn number32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_over| Malformed("number over 32 bits"))
    }

    /// A zigzag coded number.
    pub fn signed(&mut self) -> Result<i64, Malformed> {
        let n = self.number()?;
        Ok((n >> 1).cast_signed() ^ -((n & 1).cast_signed()))
    }

    /// A count of things that take at least `least` bytes each, so it cannot exceed what is left.
    pub fn count(&mut self, least: usize) -> Result<usize, Malformed> {
        let n = usize::try_from(self.number()?).map_err(|_over| Malformed("count too large"))?;
        if n > self.rest.len() / least.max(1) {
            return Err(Malformed("count larger than what follows"));
        }
        Ok(n)
    }

    /// Length-prefixed bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let n = self.count(1)?;
        self.take(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(n: u64, s: i64, b: Vec<u8>) {
            let mut out = Vec::new();
            put(&mut out, n);
            put_signed(&mut out, s);
            put_bytes(&mut out, &b);
            let mut r = Reader::new(&out);
            prop_assert_eq!(r.number(), Ok(n));
            prop_assert_eq!(r.signed(), Ok(s));
            prop_assert_eq!(r.bytes(), Ok(&b[..]));
            prop_assert!(r.is_empty());
        }

        #[test]
        fn noise_never_panics(noise: Vec<u8>) {
            let mut r = Reader::new(&noise);
            while r.number().is_ok() {}
            let mut r = Reader::new(&noise);
            while r.bytes().is_ok() && !r.is_empty() {}
        }
    }

    #[test]
    fn bad_numbers_are_refused() {
        assert!(Reader::new(&[0x80]).number().is_err());
        assert!(Reader::new(&[0x80, 0]).number().is_err());
        assert!(Reader::new(&[0xff; 10]).number().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f]).bytes().is_err());
    }
}
