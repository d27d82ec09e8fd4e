//! Where frames begin and end in the bytes of an HTTP/2 connection (RFC 9113, section 4.1), as far as it takes to see a client
//! that begins a head, or another short frame, and does not end it: the protocol's parser waits for it without a limit, and
//! so do all streams of the connection.
//!
//! Nothing is refused here; what is wrong is the parser's to tell.

/// What follows `PRI * HTTP/2.0` and its end of line.
const PREFACE_REST: u8 = 8;

/// Length, kind, flags and stream.
const FRAME_HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// Where in the stream of frames the next byte stands.
#[derive(Debug)]
pub(crate) struct Frames {
    /// What is left of the preface.
    preface: u8,
    head: [u8; FRAME_HEAD],
    /// How much of `head` there is.
    known: usize,
    /// What is left of the frame's content.
    left: usize,
    /// Whether that is a request's body, which has a limit of its own.
    data: bool,
    /// Whether a head goes on in the next frame.
    block: bool,
    /// Whether nothing was waited for at some moment of what was followed last.
    rested: bool,
    /// Frames of what was followed last that want an answer and ask for nothing.
    pings: u32,
}

impl Frames {
    /// After the first line of the preface.
    pub(crate) fn new() -> Self {
        Self {
            preface: PREFACE_REST,
            head: [0; FRAME_HEAD],
            known: 0,
            left: 0,
            data: false,
            block: false,
            rested: false,
            pings: 0,
        }
    }

    /// Whether a frame that is not a body's, or a head, has begun and not ended.
    pub(crate) fn waits(&self) -> bool {
        self.preface > 0 || self.known > 0 || self.block || (self.left > 0 && !self.data)
    }

    /// Whether there was a moment, in what was followed last, at which nothing was waited for.
    pub(crate) fn rested(&self) -> bool {
        self.rested
    }

    /// How many frames, of what was followed last, want an answer and ask for nothing: pings, and settings.
    pub(crate) fn pings(&self) -> u32 {
        self.pings
    }

    /// Follows `bytes`.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) {
        self.pings = 0;
        self.rested = !self.waits();
        let preface = usize::from(self.preface).min(bytes.len());
        self.preface -= u8::try_from(preface).unwrap_or(self.preface);
        bytes = &bytes[preface..];
        self.rested |= !self.waits();
        while !bytes.is_empty() {
            let taken = if self.left > 0 { self.content(bytes.len()) } else { self.frame_head(bytes) };
            bytes = &bytes[taken..];
            self.rested |= !self.waits();
        }
    }

    fn content(&mut self, there: usize) -> usize {
        let taken = self.left.min(there);
        self.left -= taken;
        taken
    }

    fn frame_head(&mut self, bytes: &[u8]) -> usize {
        let taken = (FRAME_HEAD - self.known).min(bytes.len());
        self.head[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
        self.known += taken;
        if self.known == FRAME_HEAD {
            self.known = 0;
            let [high, middle, low, kind, flags, ..] = self.head;
            self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            self.data = kind == DATA;
            match kind {
                HEADERS | CONTINUATION => self.block = flags & END_HEADERS == 0,
                SETTINGS | PING if flags & ACK == 0 => self.pings = self.pings.saturating_add(1),
                _ => {}
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("is short");
        [&[0, 0, length, kind, flags, 0, 0, 0, 1], content].concat()
    }

    /// Whether something is waited for after all of it, the same whole and in pieces.
    fn waits(bytes: &[u8]) -> bool {
        let run = |size: usize| {
            let mut frames = Frames::new();
            for piece in bytes.chunks(size) {
                frames.follow(piece);
            }
            frames.waits()
        };
        let whole = run(bytes.len());
        for size in [1, 2, 5, 9, 10, 64] {
            assert_eq!(run(size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn a_head_is_waited_for_until_its_last_frame_and_a_body_is_not() {
        let after = |frames: &[Vec<u8>]| waits(&[b"\r\nSM\r\n\r\n".to_vec(), frames.concat()].concat());
        assert!(waits(b"\r\nSM\r\n\r"), "half a preface");
        assert!(!after(&[]));
        assert!(!after(&[frame(4, 0, &[]), frame(HEADERS, END_HEADERS, b"abc")]));
        assert!(after(&[frame(HEADERS, 0, b"abc")]));
        assert!(after(&[frame(HEADERS, 0, b"abc"), frame(CONTINUATION, 0, b"d")]));
        assert!(!after(&[frame(HEADERS, 0, b"abc"), frame(CONTINUATION, END_HEADERS, b"d")]));
        assert!(after(&[frame(HEADERS, END_HEADERS, b"abc")[..11].to_vec()]), "half a head");
        assert!(after(&[frame(DATA, 0, b"abc")[..5].to_vec()]), "half of what says that it is a body");
        assert!(!after(&[frame(DATA, 0, b"abc")[..10].to_vec()]), "half a body");
    }

    #[test]
    fn who_sends_many_short_frames_rests_between_them() {
        let mut frames = Frames::new();
        let mut after = |bytes: &[u8]| {
            frames.follow(bytes);
            (frames.rested(), frames.waits())
        };
        assert_eq!(after(b"\r\nSM"), (false, true));
        assert_eq!(after(b"\r\n\r\n"), (true, false));
        let ping = frame(6, 0, &[0; 8]);
        assert_eq!(after(&ping[..12]), (true, true));
        assert_eq!(after(&[&ping[12..], &ping[..3]].concat()), (true, true));
        assert_eq!(after(&ping[3..5]), (false, true));
    }

    #[test]
    fn frames_that_want_an_answer_alone_are_counted() {
        let mut frames = Frames::new();
        let mut after = |bytes: &[u8]| {
            frames.follow(bytes);
            frames.pings()
        };
        let (ping, answer) = (frame(PING, 0, &[0; 8]), frame(PING, ACK, &[0; 8]));
        let first = [b"\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, &[]), frame(SETTINGS, ACK, &[])].concat();
        assert_eq!(after(&first), 1);
        assert_eq!(after(&[ping.clone(), answer.clone(), ping[..5].to_vec()].concat()), 1);
        assert_eq!(after(&[&ping[5..], &answer[..]].concat()), 1);
        assert_eq!(after(&frame(DATA, 0, &[0; 8])), 0);
    }
}
