//! Memory over time: samples, and the straight line that fits them best.

/// How much an hour may add, by the line, to what is called flat.
pub(crate) const LIMIT: f64 = 8.0 * 1024.0 * 1024.0;

/// One figure over time: seconds since the beginning, and bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<(f64, f64)>);

/// The line of least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    /// How many samples it is drawn through.
    pub(crate) samples: usize,
    /// Bytes that an hour adds.
    pub(crate) hourly: f64,
    /// The share of the samples' variance that the line explains; 0 where there is none.
    pub r2: f64,
    /// Their mean, in bytes.
    pub(crate) mean: f64,
    /// The smallest and the largest, in bytes.
    pub(crate) range: (f64, f64),
}

impl Series {
    /// Adds a sample, where there is one.
    pub(crate) fn add(&mut self, seconds: f64, bytes: Option<u64>) {
        self.0.extend(bytes.map(|bytes| (seconds, bytes as f64)));
    }

    /// The line through the samples of this time; `None` where there are fewer than three.
    pub(crate) fn line(&self, from: f64, to: f64) -> Option<Line> {
        let samples: Vec<(f64, f64)> =
            self.0.iter().copied().filter(|(at, _)| (from..=to).contains(at)).collect();
        if samples.len() < 3 {
            return None;
        }
        let count = samples.len() as f64;
        let mean_of = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
        let (mean_x, mean_y) = (mean_of(|(x, _)| *x), mean_of(|(_, y)| *y));
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in &samples {
            xx += (x - mean_x) * (x - mean_x);
            xy += (x - mean_x) * (y - mean_y);
            yy += (y - mean_y) * (y - mean_y);
        }
        let smallest = samples.iter().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
        let largest = samples.iter().map(|(_, y)| *y).fold(0.0, f64::max);
        let slope = if xx > 0.0 { xy / xx } else { 0.0 };
        Some(Line {
            samples: samples.len(),
            hourly: slope * 3_600.0,
            r2: if xx > 0.0 && yy > 0.0 { xy * xy / (xx * yy) } else { 0.0 },
            mean: mean_y,
            range: (smallest, largest),
        })
    }

    /// At most `count` of the samples, evenly: for a plot.
    pub(crate) fn thinned(&self, count: usize) -> Vec<(f64, f64)> {
        self.0.iter().copied().step_by(self.0.len().div_ceil(count.max(1)).max(1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_again_and_noise_has_none() {
        let (mut leak, mut flat) = (Series::default(), Series::default());
        for second in 0..1_000 {
            leak.add(f64::from(second), Some(50_000_000 + 3_000 * second as u64));
            flat.add(f64::from(second), Some(50_000_000 + u64::from(second % 2 == 0) * 1_000_000));
        }
        let leak = leak.line(100.0, 900.0).expect("a line");
        assert!((leak.hourly - 3_000.0 * 3_600.0).abs() < 1.0 && leak.r2 > 0.999, "{leak:?}");
        assert_eq!(leak.samples, 801);
        assert!(leak.hourly > LIMIT);
        let flat = flat.line(0.0, 1_000.0).expect("a line");
        assert!(flat.hourly.abs() < LIMIT / 100.0 && flat.r2 < 0.01, "{flat:?}");
        assert_eq!(flat.range, (50_000_000.0, 51_000_000.0));
    }
}
