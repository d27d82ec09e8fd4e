//! Damaged files: cut anywhere, with bytes changed, lines swapped or numbers blown up. Each is read or refused, never
//! more; what is read must predict.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serve_formats::{Format, ImportedModel, import, sample_golden};

use crate::cases::{model_file, pipeline};

/// Longest time for one damaged file of some kilobytes, in a debug build on a busy machine.
const LONGEST: Duration = Duration::from_secs(5);
const LIGHTGBM_DUMPS: &str = "lightgbm-4.7.0";

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Reads what may be anything. Whatever is taken for a model has to hold up as one.
pub(crate) fn survive(bytes: &[u8]) -> Option<ImportedModel> {
    let start = Instant::now();
    let model = import(bytes, Format::Auto).ok();
    if let Some(model) = &model {
        let pipeline = pipeline(model);
        let row = vec![0.5; model.features.len()];
        let _ = pipeline.predict(&row);
        let golden = sample_golden(model, pipeline.signature(), 2);
        if !golden.rows.is_empty() {
            golden.prove(&pipeline).expect("the engine answers as the naive evaluator");
        }
        let _ = model.summary();
    }
    let took = start.elapsed();
    assert!(took < LONGEST, "{took:?} for {} bytes", bytes.len());
    model
}

fn small_files() -> Vec<(&'static str, Vec<u8>)> {
    [
        ("lightgbm", "binary-categorical"),
        ("lightgbm", "multiclass-rare"),
        ("lightgbm", "binary-pandas"),
        (LIGHTGBM_DUMPS, "categories"),
        (LIGHTGBM_DUMPS, "linear-classes"),
        ("xgboost", "binary-categorical"),
        ("xgboost", "softprob-iris"),
        ("xgboost", "binary-pandas"),
        ("xgboost-3.2.0", "dart-classes"),
        ("xgboost-3.2.0", "gblinear"),
        ("xgboost-3.2.0", "vector-classes"),
    ]
    .map(|(library, case)| {
        (library, if library == LIGHTGBM_DUMPS { dump(case) } else { model_file(library, case) })
    })
    .into()
}

fn dump(case: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(LIGHTGBM_DUMPS);
    fs::read(folder.join(case).join("dump.json")).unwrap()
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    for (library, bytes) in small_files() {
        let end = match library {
            "lightgbm" => bytes.windows(12).position(|window| window == b"end of trees").unwrap() + 11,
            _ => bytes.trim_ascii_end().len() - 1,
        };
        let stride = if end > 8000 { 7 } else { 3 };
        for cut in (0..end).step_by(stride).chain([end]) {
            assert!(survive(&bytes[..cut]).is_none(), "{library} cut at {cut} of {end}");
        }
    }
}

#[test]
fn changed_bytes_are_survived() {
    const BYTES: &[u8] = b"0123456789-+.eE,:;=[]{}\" \n\t\0\x80\xffnaif";
    let mut random = Random(0x5eed_0001);
    for (_, bytes) in small_files() {
        let mut read = 0;
        for _ in 0..600 {
            let mut damaged = bytes.clone();
            for _ in 0..=random.below(3) {
                let place = random.below(damaged.len());
                damaged[place] = BYTES[random.below(BYTES.len())];
            }
            read += usize::from(survive(&damaged).is_some());
        }
        assert!(read > 0, "some changes are harmless");
    }
}

#[test]
fn numbers_blown_up_are_survived() {
    const NUMBERS: [&str; 9] =
        ["-1", "0", "99", "2147483647", "4294967296", "18446744073709551615", "1e308", "-1e-320", "nan"];
    let mut random = Random(0x5eed_0002);
    for (_, bytes) in small_files() {
        let text = String::from_utf8(bytes).unwrap();
        let starts: Vec<usize> = (text.char_indices().zip(text.char_indices().skip(1)))
            .filter(|((_, a), (_, b))| !a.is_ascii_digit() && b.is_ascii_digit())
            .map(|(_, (place, _))| place)
            .collect();
        for _ in 0..600 {
            let start = starts[random.below(starts.len())];
            let length = text[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
            let number = NUMBERS[random.below(NUMBERS.len())];
            survive([&text[..start], number, &text[start + length..]].concat().as_bytes());
        }
    }
}

#[test]
fn parts_left_out_twice_or_exchanged_are_survived() {
    let mut random = Random(0x5eed_0003);
    for (library, bytes) in small_files() {
        let cut = if library == "lightgbm" { b'\n' } else { b',' };
        let parts: Vec<&[u8]> = bytes.split(|&byte| byte == cut).collect();
        for round in 0..300 {
            let mut damaged = parts.clone();
            let (a, b) = (random.below(parts.len()), random.below(parts.len()));
            match round % 3 {
                0 => drop(damaged.remove(a)),
                1 => damaged.insert(a, parts[b]),
                _ => damaged.swap(a, b),
            }
            survive(&damaged.join(&cut));
        }
    }
}

#[test]
fn long_lines_and_many_lines_take_linear_time() {
    let lines =
        |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<Vec<_>>().join("\n");
    let many = lines(200_000, &|number| format!("key{number}=1"));
    assert!(survive(format!("tree\n{many}").as_bytes()).is_none());
    let long = "1 ".repeat(1_000_000);
    assert!(survive(format!("tree\nfeature_names={long}\nend of trees").as_bytes()).is_none());
    let trees = lines(100_000, &|number| format!("Tree={number}\nnum_leaves=1"));
    assert!(survive(format!("tree\n{trees}\nend of trees").as_bytes()).is_none());
    assert!(survive(&b"{\"learner\":".repeat(200_000)).is_none());
    assert!(survive(&b"[".repeat(1_000_000)).is_none());
    let open = [&b"{\"learner\":{\"attributes\":"[..], &b"[".repeat(1_000_000)].concat();
    assert!(survive(&open).is_none());
}
