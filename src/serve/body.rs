//! The body of a scrape in the making: as it is, or gzipped on the way.
//!
//! A large scrape is seventeen times smaller once it is compressed. Compressed a piece at a time
//! it never takes the memory of the whole text, and a piece is read again while it is still in
//! the processor's cache.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// How much text is compressed at a time.
const PIECE: usize = 64 * 1024;

const WHY: &str = "writing to memory does not fail";

/// Text that grows, and perhaps is compressed meanwhile.
#[derive(Debug, Default)]
pub(super) struct Body {
    text: Vec<u8>,
    gzip: Option<GzEncoder<Vec<u8>>>,
}

impl Body {
    /// An empty body that is compressed on the way.
    pub fn gzipped() -> Self {
        // The fastest level: the text repeats itself so much that more effort gains little.
        let gzip = GzEncoder::new(Vec::new(), Compression::fast());
        Body { text: Vec::with_capacity(2 * PIECE), gzip: Some(gzip) }
    }

    /// Makes room for this many bytes of text, if text is kept.
    pub fn reserve(&mut self, bytes: usize) {
        if self.gzip.is_none() {
            self.text.reserve(bytes);
        }
    }

    /// What is being written; only ever appended to.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Compresses what has been written, if that is worth it by now.
    pub fn line_ended(&mut self) {
        if self.text.len() >= PIECE {
            self.compress();
        }
    }

    /// Appends many bytes, so that no more than a piece of them is kept uncompressed.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            self.text.extend_from_slice(piece);
            self.line_ended();
        }
    }

    fn compress(&mut self) {
        if let Some(gzip) = &mut self.gzip {
            gzip.write_all(&self.text).expect(WHY);
            self.text.clear();
        }
    }

    /// All of it.
    pub fn finish(mut self) -> Vec<u8> {
        self.compress();
        match self.gzip {
            Some(gzip) => gzip.finish().expect(WHY),
            None => self.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn what_is_compressed_on_the_way_is_what_was_written() {
        for n in [0, 1, 10_000, 50_000] {
            let (mut plain, mut zipped) = (Body::default(), Body::gzipped());
            for body in [&mut plain, &mut zipped] {
                for line in 0..n {
                    writeln!(body.text(), "nines_line {line}").expect(WHY);
                    body.line_ended();
                }
            }
            let zipped = zipped.finish();
            let mut read = Vec::new();
            GzDecoder::new(&zipped[..]).read_to_end(&mut read).expect("gzip");
            assert_eq!(read, plain.finish(), "{n} lines");
        }
    }

    #[test]
    fn the_text_of_a_compressed_body_never_grows_beyond_two_pieces() {
        let mut body = Body::gzipped();
        for _ in 0..100_000 {
            body.text().extend_from_slice(b"nines_probes_total{probe=\"a/b\"} 1\n");
            body.line_ended();
        }
        assert!(body.text.capacity() <= 2 * PIECE, "{}", body.text.capacity());
    }

    #[test]
    fn many_bytes_at_once_are_compressed_a_piece_at_a_time() {
        let bytes: Vec<u8> = (0..20 * PIECE).map(|n| (n % 251) as u8).collect();
        let (mut plain, mut zipped) = (Body::default(), Body::gzipped());
        for body in [&mut plain, &mut zipped] {
            body.text().extend_from_slice(b"before ");
            body.push(&bytes);
        }
        assert!(zipped.text.capacity() <= 2 * PIECE, "{}", zipped.text.capacity());
        let mut read = Vec::new();
        GzDecoder::new(&zipped.finish()[..]).read_to_end(&mut read).expect("gzip");
        assert_eq!(read, [&b"before "[..], &bytes].concat());
        assert_eq!(read, plain.finish());
    }
}
