//! SQLite's log, looked at before SQLite does: is there more in it than SQLite will believe?
//!
//! SQLite takes the first frame with a wrong checksum for the end of the log, which is right
//! after a crash and wrong after bit rot. A commit is synced before the next one is written,
//! so a wrong frame with a whole commit and more behind it is rot. Changes nothing.
//! Format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::io::{self, BufReader, Read};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// What SQLite will drop from a log of `len` bytes although it was durable once; none if nothing.
pub(super) fn rot(len: u64, log: impl Read) -> io::Result<Option<String>> {
    let mut log = BufReader::with_capacity(1 << 20, log);
    let mut header = [0; HEADER];
    if len < HEADER as u64 {
        return Ok(None);
    }
    log.read_exact(&mut header)?;
    let Some((mut sum, page)) = Sum::of_header(&header) else {
        let lost = "the header of the log is damaged, so that all of the log is lost";
        return Ok((len > HEADER as u64).then(|| lost.to_owned()));
    };
    let salts = &header[16..24];
    let mut frame = vec![0; FRAME_HEADER + page];
    let n = (len - HEADER as u64) / frame.len() as u64;
    let (mut wrong, mut committed) = (None, false);
    for at in 1..=n {
        log.read_exact(&mut frame)?;
        // Frames of earlier rounds through the same file have other salts.
        let ours = frame[8..16] == *salts;
        let commit = ours && frame[4..8] != [0; 4];
        if wrong.is_none() {
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME_HEADER..]);
            if ours && sum.is(&frame[16..24]) {
                continue;
            }
            wrong = Some(at);
            committed = commit;
        } else if ours {
            if committed && let Some(wrong) = wrong {
                return Ok(Some(format!("the log is lost from frame {wrong} of {n} on")));
            }
            committed |= commit;
        }
    }
    Ok(None)
}

/// The log's running checksum.
struct Sum {
    big_endian: bool,
    a: u32,
    b: u32,
}

impl Sum {
    /// The checksum to go on with, and the size of a page; none if the header is damaged.
    fn of_header(header: &[u8; HEADER]) -> Option<(Sum, usize)> {
        let big_endian = match word(&header[..4], true) {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return None,
        };
        let page = word(&header[8..12], true) as usize;
        let mut sum = Sum { big_endian, a: 0, b: 0 };
        sum.add(&header[..24]);
        let sane = page.is_power_of_two() && (512..=65_536).contains(&page);
        (sane && sum.is(&header[24..32])).then_some((sum, page))
    }

    fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks_exact(8) {
            let (x, y) = (word(&pair[..4], self.big_endian), word(&pair[4..], self.big_endian));
            self.a = self.a.wrapping_add(x).wrapping_add(self.b);
            self.b = self.b.wrapping_add(y).wrapping_add(self.a);
        }
    }

    fn is(&self, stored: &[u8]) -> bool {
        (word(&stored[..4], true), word(&stored[4..8], true)) == (self.a, self.b)
    }
}

fn word(bytes: &[u8], big_endian: bool) -> u32 {
    let four = [bytes[0], bytes[1], bytes[2], bytes[3]];
    if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
}
