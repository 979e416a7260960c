//! Straight lines through points: what each further unit costs, and whether the cost is a line at all.

use anyhow::{Context as _, Result, ensure};

/// How much steeper the last stretch may be than the line through all the rest, for the cost to be called linear:
/// twice the work at twice the unit price is far beyond it, and noise is not.
const STEEPER: f64 = 1.5;

/// The line of least squares, each point weighted by the inverse of its square, so that small work counts as much as
/// large: what is minimised are relative errors, as the noise of a measurement is relative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    /// Where it starts: what no work costs.
    pub(super) start: f64,
    /// What each further unit costs.
    pub(super) slope: f64,
    /// How much of the variation it explains, 1 for all.
    pub(super) r2: f64,
    /// The slope of the last stretch as a multiple of the line's.
    pub(super) last: f64,
}

impl Line {
    /// Through at least three points, in rising order of work.
    pub(super) fn through(points: &[(f64, f64)]) -> Result<Self> {
        ensure!(points.len() >= 3, "a line through {} points says nothing", points.len());
        ensure!(points.is_sorted_by(|one, other| one.0 < other.0), "the points are not in order");
        ensure!(points.iter().all(|(_, cost)| *cost > 0.0), "a cost that is not positive: {points:?}");
        let weighted = |what: &dyn Fn(f64, f64) -> f64| -> f64 {
            points.iter().map(|(work, cost)| what(*work, *cost) / (cost * cost)).sum()
        };
        let weight = weighted(&|_, _| 1.0);
        let (work, cost) = (weighted(&|work, _| work) / weight, weighted(&|_, cost| cost) / weight);
        let spread = weighted(&|one, _| (one - work).powi(2));
        let slope = weighted(&|one, other| (one - work) * (other - cost)) / spread;
        let start = cost - slope * work;
        let total = weighted(&|_, other| (other - cost).powi(2));
        let rest = weighted(&|one, other| (other - start - slope * one).powi(2));
        let [.., (work_before, cost_before), (work_last, cost_last)] = points else {
            return Err(anyhow::anyhow!("no two points"));
        };
        let last = (cost_last - cost_before) / (work_last - work_before) / slope;
        Ok(Self { start, slope, r2: if total == 0.0 { 1.0 } else { 1.0 - rest / total }, last })
    }

    /// Whether the cost grows no faster than the work: the last stretch is not much steeper than the line.
    pub(super) fn is_linear(&self) -> bool {
        self.last <= STEEPER
    }
}

/// The middle one of some values.
pub(super) fn median(values: &[f64]) -> Result<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().context("no value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_again() -> Result<()> {
        let points = [1.0, 10.0, 100.0, 1_000.0].map(|work| (work, 5.0 + 2.0 * work));
        let line = Line::through(&points)?;
        assert!((line.start - 5.0).abs() < 1e-6 && (line.slope - 2.0).abs() < 1e-6, "{line:?}");
        assert!(line.r2 > 0.999_999 && (line.last - 1.0).abs() < 1e-6 && line.is_linear(), "{line:?}");
        Ok(())
    }

    #[test]
    fn a_square_is_not_called_linear() -> Result<()> {
        let points = [1.0, 10.0, 100.0, 1_000.0].map(|work| (work, 5.0 + work * work));
        assert!(!Line::through(&points)?.is_linear());
        Ok(())
    }

    #[test]
    fn what_costs_nothing_more_is_linear_too() -> Result<()> {
        let line = Line::through(&[(1.0, 50.0), (10.0, 51.0), (100.0, 50.0), (1_000.0, 60.0)])?;
        assert!(line.slope.abs() < 0.05 && line.is_linear(), "{line:?}");
        Ok(())
    }

    #[test]
    fn too_few_points_are_refused() {
        assert!(Line::through(&[(1.0, 1.0), (2.0, 2.0)]).is_err());
    }
}
