//! Figures of all rounds, as rows.

use std::io::{self, Write};

use serde::Serialize;

/// What one row measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    /// What is measured.
    pub(crate) name: &'static str,
    /// Of the figure and of its floor; more is better unless it is a time.
    pub(crate) unit: &'static str,
    /// What the machine does at best.
    pub(crate) floor: &'static str,
    /// What is to be reached.
    pub(crate) target: Option<Target>,
}

/// What a figure is to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// So much, in the figure's unit.
    AtLeast(f64),
    /// No more, in the figure's unit.
    AtMost(f64),
    /// So much of the floor.
    RatioAtLeast(f64),
}

impl Target {
    fn met(self, value: f64, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::RatioAtLeast(least) => ratio >= least,
        }
    }
}

/// Figures and floors of every round.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<(Figure, Vec<Sample>)>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    value: f64,
    floor: f64,
}

/// The middle of all rounds, and how far they lie apart.
#[derive(Debug, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    unit: &'static str,
    rounds: usize,
    value: Spread,
    floor_name: &'static str,
    floor: Spread,
    /// Figure over floor, of the same round each.
    ratio: Spread,
    target: Option<Target>,
    met: Option<bool>,
}

impl Report {
    /// Adds what was measured in a round.
    pub(crate) fn add(&mut self, figure: Figure, value: f64, floor: f64) {
        let sample = Sample { value, floor };
        match self.rows.iter_mut().find(|(known, _)| *known == figure) {
            Some((_, samples)) => samples.push(sample),
            None => self.rows.push((figure, vec![sample])),
        }
    }

    /// One JSON object a line, in the order the figures came.
    pub(crate) fn print(&self, output: &mut impl Write) -> io::Result<()> {
        for (figure, samples) in &self.rows {
            let spread = |of: fn(&Sample) -> f64| Spread::of(samples.iter().map(of).collect());
            let (value, ratio) = (spread(|s| s.value), spread(|s| s.value / s.floor));
            let met = figure.target.map(|target| target.met(value.median, ratio.median));
            let row = Row {
                name: figure.name,
                unit: figure.unit,
                rounds: samples.len(),
                floor_name: figure.floor,
                floor: spread(|sample| sample.floor),
                target: figure.target,
                value,
                ratio,
                met,
            };
            writeln!(output, "{}", serde_json::to_string(&row)?)?;
        }
        Ok(())
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        let middle = values.len() / 2;
        let below = if values.len().is_multiple_of(2) { middle.saturating_sub(1) } else { middle };
        let median = f64::midpoint(at(below), at(middle));
        Self { median, min: at(0), max: at(values.len().saturating_sub(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURE: Figure = Figure {
        name: "n",
        unit: "records/s",
        floor: "f",
        target: Some(Target::RatioAtLeast(0.5)),
    };

    #[test]
    fn the_median_is_the_middle_of_all_rounds() {
        assert_eq!(Spread::of(vec![5.0, 1.0, 2.0]).median, 2.0);
        let even = Spread::of(vec![4.0, 1.0, 2.0, 9.0]);
        assert_eq!((even.median, even.min, even.max), (3.0, 1.0, 9.0));
    }

    #[test]
    fn a_ratio_is_that_of_each_round() {
        let mut report = Report::default();
        // In the slow rounds the floor is slow, too.
        for (value, floor) in [(6.0, 10.0), (60.0, 100.0), (3.0, 6.0)] {
            report.add(FIGURE, value, floor);
        }
        let mut output = Vec::new();
        report.print(&mut output).unwrap();
        let row: serde_json::Value = serde_json::from_slice(&output).unwrap();
        assert_eq!(row["ratio"]["median"].as_f64(), Some(0.6));
        assert_eq!(row["ratio"]["min"].as_f64(), Some(0.5));
        assert_eq!(row["rounds"].as_u64(), Some(3));
        assert_eq!(row["target"]["ratio_at_least"].as_f64(), Some(0.5));
        assert_eq!(row["met"].as_bool(), Some(true));
    }

    #[test]
    fn targets_look_at_what_they_name() {
        assert!(!Target::AtLeast(2.0).met(1.0, 9.0));
        assert!(Target::AtMost(2.0).met(1.0, 9.0));
        assert!(!Target::RatioAtLeast(0.9).met(9.0, 0.8));
    }
}
