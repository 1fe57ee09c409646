//! The median and the ends of a few repeats.

/// Where the values of some repeats lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The value in the middle; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// How many there were.
    pub repeats: usize,
}

impl Spread {
    /// `None` when there are no values.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let repeats = values.len();
        let middle = repeats / 2;
        let median =
            if repeats % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, min, max, repeats })
    }
}

/// The value that `percent` % of the sorted values do not exceed (nearest rank). `None` when there are none.
#[must_use]
pub fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_odd_number_is_one_of_the_values() {
        let spread = Spread::of(vec![9.0, 1.0, 4.0]).unwrap();
        assert_eq!(spread, Spread { median: 4.0, min: 1.0, max: 9.0, repeats: 3 });
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_two_values() {
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 9.0]).unwrap().median, 3.0);
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(Spread::of(Vec::new()), None);
        assert_eq!(percentile::<u8>(&[], 50), None);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<u32> = (1..=1000).collect();
        assert_eq!(percentile(&values, 50), Some(500));
        assert_eq!(percentile(&values, 99), Some(990));
        assert_eq!(percentile(&values, 100), Some(1000));
        assert_eq!(percentile(&[7], 99), Some(7));
    }
}
