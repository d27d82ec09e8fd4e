//! Data of known making, for tests only. Integration tests include this file by its path.

/// splitmix64 (Steele, Lea and Flood 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0…1.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 * 2.0_f64.powi(-53)
    }

    /// About normal: mean 0, deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// `rows` hourly rows of `timestamp,a,b,c,noise,y`. `y` is one of `classes` by where `signal · (2a − b) + noise` falls,
/// each class about equally often; `signal` 0 leaves nothing to learn.
pub(crate) fn csv(rows: usize, classes: &[&str], signal: f64, seed: u64) -> String {
    let mut random = Random(seed);
    let mut csv = String::from("timestamp,a,b,c,noise,y\n");
    for row in 0..rows {
        let [a, b, c, noise] = [(); 4].map(|()| random.normal());
        let z = (signal * (2.0 * a - b) + random.normal()) / (1.0 + 5.0 * signal * signal).sqrt();
        // The normal distribution function, so that the classes' shares are even.
        let share = 1.0 / (1.0 + (-1.702 * z).exp());
        let class = classes[((share * classes.len() as f64) as usize).min(classes.len() - 1)];
        let (day, hour) = (row / 24, row % 24);
        let date = format!("2{:03}-{:02}-{:02}", day / 336, day / 28 % 12 + 1, day % 28 + 1);
        csv += &[&date, " ", &format!("{hour:02}:00:00"), ","].concat();
        csv += &[a, 10.0 * b, c * 1e-3, noise].map(|x| format!("{x},")).concat();
        csv += &[class, "\n"].concat();
    }
    csv
}
