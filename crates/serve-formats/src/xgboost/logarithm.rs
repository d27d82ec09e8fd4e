//! The natural logarithm in `f32` with the bits of glibc's `logf`, which XGBoost turns `base_score` into a margin with. It
//! is within 0.82 units in the last place, so near 1, where balanced classes have it, one result in seventeen is not the
//! nearest `f32`, and one unit in a base score is one in every margin.
//!
//! The method is that of glibc 2.27 and later (from Arm's optimized routines): x = 2^k · z, ln x = k · ln 2 + ln c + ln(z/c),
//! where c is near the middle of the one of sixteen intervals that z lies in, and ln(1 + r) is a polynomial, all in `f64`.

/// Per interval 1/c and ln c.
const CENTRES: [(f64, f64); 16] = [
    (1.398_907_162_146_528, -0.335_691_333_328_822_84),
    (1.340_314_189_663_799_8, -0.292_904_056_377_407_4),
    (1.286_432_210_124_115, -0.251_872_658_093_736_9),
    (1.236_715_021_426_989_5, -0.212_458_688_071_172_55),
    (1.190_697_716_671_175_2, -0.174_539_451_837_456_34),
    (1.147_982_102_055_642_9, -0.138_005_707_231_975_8),
    (1.108_225_144_827_215_8, -0.102_759_766_985_451_39),
    (1.071_129_741_305_738_1, -0.068_713_924_470_205_25),
    (1.036_437_278_977_283, -0.035_789_138_739_822_8),
    (1.0, 0.0),
    (0.949_285_979_573_905_7, 0.052_045_177_429_294_96),
    (0.895_104_942_860_900_4, 0.110_814_312_987_879_42),
    (0.847_682_162_035_110_3, 0.165_249_522_369_514_3),
    (0.805_031_485_169_200_1, 0.216_873_890_316_999_77),
    (0.766_467_100_884_310_8, 0.265_963_502_812_139_7),
    (0.731_428_603_316_328, 0.312_755_666_407_355_7),
];
/// ln(1 + r) - r, by the powers 4, 3 and 2 of r.
const SERIES: [f64; 3] = [-0.250_893_422_142_371_54, 0.333_456_765_744_066, -0.499_999_748_580_210_3];
/// The intervals begin here: at about 0.7, so that ln 1 is exact.
const BEGIN: u32 = 0x3f33_0000;
const MANTISSA_BITS: u32 = 23;
const INTERVAL_BITS: u32 = 4;

/// ln `x`; NaN where `x` is negative, minus infinity where it is 0.
pub(super) fn ln(x: f32) -> f32 {
    if x == 0.0 {
        return f32::NEG_INFINITY;
    }
    if !(x > 0.0 && x.is_finite()) {
        return if x > 0.0 { x } else { f32::NAN };
    }
    let (bits, scaled) = if x.is_normal() {
        (x.to_bits(), 0)
    } else {
        ((x * (1_u32 << MANTISSA_BITS) as f32).to_bits(), MANTISSA_BITS.cast_signed())
    };
    let above = bits.wrapping_sub(BEGIN);
    let interval = above >> (MANTISSA_BITS - INTERVAL_BITS) & 15;
    let exponent = above.cast_signed() >> MANTISSA_BITS;
    let mantissa = f32::from_bits(bits.wrapping_sub(exponent.cast_unsigned() << MANTISSA_BITS));
    let (inverse, logarithm) = CENTRES[interval as usize];
    let r = f64::from(mantissa) * inverse - 1.0;
    let start = logarithm + f64::from(exponent - scaled) * std::f64::consts::LN_2;
    let square = r * r;
    let series = SERIES[0] * square + (SERIES[1] * r + SERIES[2]);
    (series * square + (start + r)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// glibc 2.36's `logf`, by bits; of the first four the nearest `f32` is another.
    #[test]
    fn bits_are_those_of_glibc() {
        for (x, expected) in [
            (0x3f79_1ce8, 0xbcdf_67cd),
            (0x3f79_4085, 0xbcda_d4ff),
            (0x3f79_83ca, 0xbcd2_3342),
            (0x3f79_cb04, 0xbcc9_1212),
            (0x3f80_0000, 0),
            (0x3f7f_ffff, 0xb380_0000),
            (0x3f80_0001, 0x33ff_ffff),
            (0x3f00_0000, 0xbf31_7218),
            (0x4049_0fdb, 0x3f92_8683),
            (0x1, 0xc2ce_8ed0),
            (0x007f_ffff, 0xc2ae_ac50),
            (0x7f7f_ffff, 0x42b1_7218),
            (0x3333_3333, 0xc187_f00a),
            (0x0080_0000, 0xc2ae_ac50),
        ] {
            assert_eq!(ln(f32::from_bits(x)).to_bits(), expected, "{x:#x}");
        }
    }
}
