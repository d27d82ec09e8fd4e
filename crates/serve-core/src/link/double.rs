//! The exponential in `f64`, with the bits of `libm::exp`, but without branches that depend on the argument: raw scores
//! lie on either side of them at random, and a wrong guess costs more than the arithmetic.
//!
//! The method is that of FreeBSD's `e_exp.c`, which `libm` ports: x = k · ln 2 + r with a whole k and |r| at most half of
//! ln 2, exp x = 2^k · exp r, and exp r = 1 + r + r · c / (2 - c) with c = r - r² · P(r²).

/// ln 2 in two parts; multiples of the first by whole numbers up to 1024 are exact.
const LN_2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
/// By descending powers of r².
const SERIES: [f64; 5] = [
    4.138_136_797_057_238_5e-8,
    -1.653_390_220_546_525_2e-6,
    6.613_756_321_437_934e-5,
    -2.777_777_777_701_559_3e-3,
    1.666_666_666_666_660_2e-1,
];
/// Upper halves of absolute values: up to 2^-28 the result is 1 + x; up to about ln 2 / 2, k is 0; from about 708 on the
/// result may not be a normal number.
const TINY: u32 = 0x3e30_0000;
const NEAR: u32 = 0x3fd6_2e42;
const FAR: u32 = 0x4086_232b;

/// e to the power of `x`.
#[inline]
pub(super) fn exp(x: f64) -> f64 {
    let size = (x.to_bits() >> 32) as u32 & 0x7fff_ffff;
    if !(TINY + 1..FAR).contains(&size) {
        return libm::exp(x);
    }
    let rounded = (std::f64::consts::LOG2_E * x + 0.5_f64.copysign(x)) as i32;
    let k = rounded * i32::from(size > NEAR);
    let (high, low) = (x - f64::from(k) * LN_2[0], f64::from(k) * LN_2[1]);
    let r = high - low;
    let square = r * r;
    let [highest, lower @ ..] = SERIES;
    let c = r - square * lower.iter().fold(highest, |sum, term| term + square * sum);
    let power = 1.0 + (r * c / (2.0 - c) - low + high);
    // |k| is at most 1022, so this is 2^k.
    power * f64::from_bits(((1023 + k) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(x: f64) {
        assert_eq!(exp(x).to_bits(), libm::exp(x).to_bits(), "{x:e}");
    }

    #[test]
    fn bits_are_those_of_libm() {
        let mut state = 1_u64;
        for _ in 0..1_000_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let part = (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
            [2.0, 20.0, 1500.0, 1e-7].into_iter().for_each(|width| same(part * width));
            same(f64::from_bits(state));
        }
    }

    #[test]
    fn bits_are_those_of_libm_beside_every_limit() {
        let halves = (-2200..2200).map(|n| f64::from(n) * std::f64::consts::LN_2 / 2.0);
        let sizes = [TINY, NEAR, FAR, 0x3ff0_a2b2].map(|size| f64::from_bits(u64::from(size) << 32));
        let special = [0.0, f64::INFINITY, f64::NAN, 709.782_712_893_384, 745.133_219_101_941_2, 5e-324];
        for x in halves.chain(sizes).chain(special) {
            let around = [x.next_down().next_down(), x.next_down(), x, x.next_up(), x.next_up().next_up()];
            around.into_iter().for_each(|x| [x, -x].into_iter().for_each(same));
            let size = (x.to_bits() >> 32) << 32;
            same(f64::from_bits(size));
            same(f64::from_bits(size | 0xffff_ffff));
        }
    }
}
