//! Reading a JSON number to the nearest `f64` in one pass, where `str::parse` needs the number's end to be found first.
//!
//! A number of at most 19 digits is m / 10^k with a whole m below 2^64, that is m / 5^k / 2^k. With a normalised m and a
//! normalised 5^k, one multiplication by a rounded-down reciprocal gives the quotient's first bits, too small by less
//! than one unit. Rounding is monotonic, so where both ends of that interval round to the same `f64`, so does what lies between
//! them. Where they do not (about one in 300), and for exponents and more digits, `str::parse` decides.
//! The idea is Lemire's (Number Parsing at a Gigabyte per Second, 2021); the bound is simpler and looser than his.

/// The most digits behind a point that are read here: 5^27 is the greatest power of 5 below 2^64.
const DEEPEST: usize = 27;
/// The most digits that never pass 2^64.
const DIGITS: usize = 19;

/// 2^127 divided by the normalised power of 5, and by how many bits that was normalised.
const RECIPROCALS: [(u64, i32); DEEPEST + 1] = reciprocals();

/// Whole numbers below this are `f64`s.
const EXACT: u64 = 1 << 53;
/// The powers of 10 that are `f64`s.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

const fn reciprocals() -> [(u64, i32); DEEPEST + 1] {
    let mut table = [(0, 0); DEEPEST + 1];
    let (mut power, mut k) = (1_u64, 0);
    while k <= DEEPEST {
        let shift = power.leading_zeros();
        let reciprocal = (1 << 127) / (power << shift) as u128;
        // That of 1 is 2^64, and is not used.
        table[k] = (if k == 0 { u64::MAX } else { reciprocal as u64 }, shift.cast_signed());
        power = power.wrapping_mul(5);
        k += 1;
    }
    table
}

/// The number at a text's beginning and its length; `None` where there is none in JSON's grammar, which is narrower than that
/// of `f64`, or one out of range.
///
/// ```
/// assert_eq!(serve_core::number::leading("-12.5,3"), Some((-12.5, 5)));
/// assert_eq!(serve_core::number::leading("+1"), None);
/// ```
#[must_use]
pub fn leading(text: &str) -> Option<(f64, usize)> {
    let bytes = text.as_bytes();
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(negative);
    let (mut m, mut at) = (0, start);
    if bytes.get(at) == Some(&b'0') {
        at += 1;
    } else {
        at = digits(bytes, at, &mut m);
    }
    if at == start {
        return None;
    }
    let (mut first, mut behind) = (start, 0);
    if bytes.get(at) == Some(&b'.') {
        let end = digits(bytes, at + 1, &mut m);
        behind = end - at - 1;
        if behind == 0 {
            return None;
        }
        // The point is counted as a digit where the whole part is not 0, which is on the safe side.
        if bytes[start] == b'0' {
            first = at + 1 + bytes[at + 1..end].iter().take_while(|byte| **byte == b'0').count();
        }
        at = end;
    }
    let plain = !matches!(bytes.get(at), Some(b'e' | b'E'));
    if plain
        && at - first <= DIGITS + usize::from(first == start && behind > 0)
        && let Some(x) = quotient(m, behind)
    {
        return Some((if negative { -x } else { x }, at));
    }
    slowly(text, at)
}

/// Past the digits from `at` on; `m` takes them up, and is wrong where there are too many.
fn digits(bytes: &[u8], mut at: usize, m: &mut u64) -> usize {
    while let Some(eight) = bytes.get(at..at + 8).and_then(eight) {
        *m = m.wrapping_mul(100_000_000).wrapping_add(eight);
        at += 8;
    }
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        *m = m.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

/// Eight digits, all in one word: neighbours are joined to pairs, pairs to fours, and those to the whole.
fn eight(bytes: &[u8]) -> Option<u64> {
    const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    let word = u64::from_le_bytes(bytes.try_into().ok()?);
    // Only of 0 to 9 both the byte and the byte plus 6 begin with 3.
    let above = word.wrapping_add(0x0606_0606_0606_0606);
    if (word & HIGH) | ((above & HIGH) >> 4) != 0x3333_3333_3333_3333 {
        return None;
    }
    let pairs = (word & !HIGH).wrapping_mul(10 << 8 | 1) >> 8 & 0x00FF_00FF_00FF_00FF;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_FFFF_0000_FFFF;
    Some(fours.wrapping_mul(10_000 << 32 | 1) >> 32)
}

/// m / 10^k to the nearest, where that is easily seen.
fn quotient(m: u64, k: usize) -> Option<f64> {
    if m == 0 || k == 0 {
        return Some(m as f64);
    }
    // Both are exact, so the quotient is rounded once (Clinger, How to Read Floating Point Numbers Accurately, 1990).
    if let (0..EXACT, Some(power)) = (m, POWERS.get(k)) {
        return Some(m as f64 / power);
    }
    let (reciprocal, normalised) = *RECIPROCALS.get(k)?;
    let shift = m.leading_zeros();
    let product = u128::from(m << shift) * u128::from(reciprocal);
    // The quotient times 2^62 is this or greater by less than 2.
    let least = (product >> 65) as i64;
    let (low, high) = (least as f64, (least + 2) as f64);
    let exponent = normalised - shift.cast_signed() - 62 - (k as u32).cast_signed();
    let scale = f64::from_bits(((1023 + exponent) as u64) << 52);
    (low.to_bits() == high.to_bits()).then_some(low * scale)
}

/// The same by the standard library; digits end at `at`, an exponent may follow.
fn slowly(text: &str, mut at: usize) -> Option<(f64, usize)> {
    let bytes = text.as_bytes();
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        let end = digits(bytes, at, &mut 0);
        if end == at {
            return None;
        }
        at = end;
    }
    let x: f64 = text.get(..at)?.parse().ok()?;
    x.is_finite().then_some((x, at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the standard library reads it, to the last bit, and all of it.
    fn same(text: &str) {
        let (x, length) = leading(&format!("{text},")).unwrap_or_else(|| panic!("{text} is no number"));
        let known: f64 = text.parse().expect("is a number");
        assert_eq!((x.to_bits(), length), (known.to_bits(), text.len()), "{text}: {x:?}, not {known:?}");
    }

    #[test]
    fn numbers_of_every_form_are_read_to_the_last_bit() {
        for text in [
            "0",
            "-0",
            "0.0",
            "-0.000",
            "1",
            "10",
            "123456789012",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "99999999999999999999.5",
            "0.1",
            "0.30000000000000004",
            "1234.567890123456",
            "0.000000000000000000000000001",
            "0.0000000000000000000000000001",
            "0.00012345678901234567",
            "1e300",
            "-2.5E-7",
            "1e-400",
            "5e-324",
            "9007199254740992.5",
            "9007199254740993.0",
            "4503599627370497.5",
            "0.500000000000000166533453693773481063544750213623046875",
            "1.00000000000000011102230246251565404",
            "123456789.12345678",
            "12345678.123456789",
            "7.0000000000000000000",
            "922337203685477580.7",
        ] {
            same(text);
        }
    }

    #[test]
    fn what_json_refuses_is_no_number() {
        for text in ["", "-", ".5", "+1", "1.", "-.5", "1.e5", "1e", "1e+", "inf", "NaN", "1e999", "x"] {
            assert_eq!(leading(text), None, "{text}");
        }
        // The rest is for who reads on.
        assert_eq!(leading("01"), Some((0.0, 1)));
        assert_eq!(leading("1_0"), Some((1.0, 1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn every_float_comes_back(bits in any::<u64>()) {
            let x = f64::from_bits(bits);
            if x.is_finite() {
                same(&serde_json::to_string(&x).expect("encodes"));
                same(&format!("{x}"));
            }
        }

        #[test]
        fn usual_floats_come_back(x in -1e5..1e5_f64, digits in 0_usize..24) {
            same(&format!("{x}"));
            same(&format!("{x:.digits$}"));
        }

        #[test]
        fn halves_between_two_floats_are_rounded_as_the_library_does(m in 1_u64 << 52..1 << 53, k in 1_usize..8) {
            // m + 1/2 over a power of two has few digits, and lies between two floats.
            let x = format!("{}", u128::from(m * 2 + 1) * 5_u128.pow(k as u32));
            let (whole, behind) = x.split_at(x.len() - k);
            same(&format!("{whole}.{behind}"));
        }
    }
}
