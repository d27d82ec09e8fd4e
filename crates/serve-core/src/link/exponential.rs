//! The exponential in `f32` with the bits of glibc's `expf`, which XGBoost's link functions use. `expf` is within 0.502
//! units in the last place, so rounding an `f64` exponential gives other bits for about one argument in two thousand.
//!
//! The method is that of glibc 2.27 and later (from Arm's optimized routines): x = (k + r) · ln 2 / 32 with a whole k, and
//! exp x = 2^(k / 32) · 2^(r / 32), the first from a table, the second a polynomial, all in `f64`.

const STEPS: f64 = 32.0;
/// 2^(i / 32).
const POWERS: [f64; 32] = [
    1.0,
    1.021_897_148_654_116_6,
    1.044_273_782_427_413_8,
    1.067_140_400_676_823_7,
    1.090_507_732_665_257_7,
    1.114_386_742_595_892_4,
    1.138_788_634_756_691_6,
    1.163_724_858_777_577_5,
    1.189_207_115_002_721,
    1.215_247_359_980_469,
    1.241_857_812_073_484,
    1.269_050_957_191_733_2,
    1.296_839_554_651_009_6,
    1.325_236_643_159_741_3,
    1.354_255_546_936_892_7,
    1.383_909_881_963_832,
    std::f64::consts::SQRT_2,
    1.445_180_806_977_046_7,
    1.476_826_145_939_499_3,
    1.509_164_427_593_422_8,
    1.542_210_825_407_940_7,
    1.575_980_845_107_886_5,
    1.610_490_331_949_254_3,
    1.645_755_478_153_965,
    1.681_792_830_507_429,
    1.718_619_298_122_478,
    1.756_252_160_373_299_5,
    1.794_709_075_003_107_2,
    1.834_008_086_409_342_4,
    1.874_167_634_110_3,
    1.915_206_561_397_147_4,
    1.957_144_124_175_400_2,
];
/// 2^(r / 32) by the powers 3, 2 and 1 of r.
const SERIES: [f64; 3] =
    [1.693_835_925_092_021_2e-06, 0.000_234_598_097_895_090_04, 0.021_660_849_396_613_134];
/// Beyond these the result is 0 or infinite.
const LEAST: f32 = -104.0;
const GREATEST: f32 = 88.8;

/// Added and taken away again, it rounds to the nearest whole number: the sum has no bits below 1.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// e to the power of `x`.
pub(super) fn exp(x: f32) -> f32 {
    if x.is_nan() {
        return x;
    }
    let scaled = f64::from(x.clamp(LEAST, GREATEST)) * (std::f64::consts::LOG2_E * STEPS);
    let whole = (scaled + ROUND) - ROUND;
    let r = scaled - whole;
    let steps = whole as i64;
    let exponent = (1023 + steps.div_euclid(32)).cast_unsigned();
    let power = POWERS[steps.rem_euclid(32) as usize] * f64::from_bits(exponent << 52);
    let square = r * r;
    let series = (SERIES[0] * r + SERIES[1]) * square + (SERIES[2] * r + 1.0);
    (series * power) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// glibc 2.36's `expf`, by bits; of the first four the nearest `f32` is another.
    #[test]
    fn bits_are_those_of_glibc() {
        for (x, expected) in [
            (0x3f29_15ca, 0x3ff7_c644),
            (0x3f38_96b1, 0x4003_9f2d),
            (0x3f3e_a1e4, 0x4006_c421),
            (0x3f78_2deb, 0x4028_bc59),
            (0x0000_0000, 0x3f80_0000),
            (0x8000_0000, 0x3f80_0000),
            (0x3f80_0000, 0x402d_f854),
            (0xbf80_0000, 0x3ebc_5ab2),
            (0x42b1_7217, 0x7f7f_ff84),
            (0x42b1_7218, 0x7f80_0000),
            (0xc2ae_ac50, 0x007f_ffe6),
            (0xc2cf_f1b3, 0x0000_0001),
            (0xc2cf_f5c3, 0x0000_0000),
            (0xce6e_6b28, 0x0000_0000),
            (0x7f61_b1e6, 0x7f80_0000),
            (0x7f80_0000, 0x7f80_0000),
            (0xff80_0000, 0x0000_0000),
            (0x0000_0001, 0x3f80_0000),
        ] {
            assert_eq!(exp(f32::from_bits(x)).to_bits(), expected, "{x:#x}");
        }
        assert!(exp(f32::NAN).is_nan());
    }
}
