//! Figures over seeds, and statistics within one.

use std::collections::BTreeMap;

use serde::Serialize;

/// In which direction a figure hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worst {
    Largest,
    Smallest,
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The 99th percentile, in the direction that hurts.
    pub p99: f64,
    /// The worst.
    pub worst: f64,
}

impl Figure {
    pub(crate) fn of(mut values: Vec<f64>, worst: Worst) -> Figure {
        if values.is_empty() {
            return Figure { mean: f64::NAN, p50: f64::NAN, p99: f64::NAN, worst: f64::NAN };
        }
        values.sort_by(f64::total_cmp);
        if worst == Worst::Smallest {
            values.reverse();
        }
        let at = |q: f64| values[((values.len() - 1) as f64 * q).ceil() as usize];
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Figure { mean, p50: at(0.5), p99: at(0.99), worst: values[values.len() - 1] }
    }
}

/// What one seed measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// One value a seed.
    pub(crate) values: BTreeMap<&'static str, (f64, Worst)>,
    /// Many values within the seed.
    pub(crate) spreads: BTreeMap<&'static str, Figure>,
}

impl Measured {
    pub(crate) fn value(&mut self, name: &'static str, value: f64, worst: Worst) {
        self.values.insert(name, (value, worst));
    }

    pub(crate) fn spread(&mut self, name: &'static str, values: Vec<f64>) {
        self.spreads.insert(name, Figure::of(values, Worst::Largest));
    }
}

/// The figures of all seeds, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Summary(pub BTreeMap<&'static str, Figure>);

impl Summary {
    pub(crate) fn of(seeds: &[Measured]) -> Summary {
        let mut all: BTreeMap<&'static str, (Vec<f64>, Worst)> = BTreeMap::new();
        let mut spreads: BTreeMap<&'static str, Figure> = BTreeMap::new();
        for m in seeds {
            for (name, (v, w)) in &m.values {
                all.entry(name).or_insert((Vec::new(), *w)).0.push(*v);
            }
            for (name, f) in &m.spreads {
                // The worst seed's.
                let shown = spreads.entry(name).or_insert(*f);
                if shown.worst.is_nan() || f.worst > shown.worst {
                    *shown = *f;
                }
            }
        }
        let mut out: BTreeMap<_, _> = all.into_iter().map(|(n, (v, w))| (n, Figure::of(v, w))).collect();
        out.extend(spreads);
        Summary(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_the_one_that_hurts() {
        let f = Figure::of(vec![1.0, 0.5, 0.9], Worst::Smallest);
        assert_eq!((f.worst, f.p50), (0.5, 0.9));
        let f = Figure::of(vec![1.0, 3.0, 2.0], Worst::Largest);
        assert_eq!((f.worst, f.p50, f.mean), (3.0, 2.0, 2.0));
    }

    #[test]
    fn a_spread_shows_the_worst_seed() {
        let mut seeds = vec![Measured::default(), Measured::default()];
        seeds[0].spread("x", vec![1.0, 2.0]);
        seeds[1].spread("x", vec![1.0, 9.0]);
        assert_eq!(Summary::of(&seeds).0["x"].worst, 9.0);
    }
}
