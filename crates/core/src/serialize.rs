//! How values are written by serde: by the words that metrics use, and times in milliseconds.

use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::{Access, Epoch, Health, Lag, Reason, Role};

/// Writes types by their words.
macro_rules! by_word {
    ($($word:ty),*) => {
        $(
            impl Serialize for $word {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(self.as_str())
                }
            }
        )*
    };
}

by_word!(Access, Health, Reason, Role);

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.get())
    }
}

/// `null` where it is not known, and else its `time_ms`, `observed_ago_ms` and `uncertainty_ms`, with a fraction, and its `distance`, or `null` for that alone.
impl Serialize for Lag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unknown => serializer.serialize_none(),
            Self::Known { time, distance, observed_ago, uncertainty } => {
                let mut fields = serializer.serialize_struct("Lag", 4)?;
                let millis = |duration: &Duration| duration.as_secs_f64() * 1e3;
                fields.serialize_field("time_ms", &millis(time))?;
                fields.serialize_field("distance", distance)?;
                fields.serialize_field("observed_ago_ms", &millis(observed_ago))?;
                fields.serialize_field("uncertainty_ms", &millis(uncertainty))?;
                fields.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn what_is_not_known_is_null_and_everything_else_a_word_or_a_number() {
        let lag = Lag::Known {
            time: Duration::from_micros(12_500),
            distance: Some(4096),
            observed_ago: Duration::from_micros(2500),
            uncertainty: Duration::from_millis(9),
        };
        assert_eq!(
            json(&lag),
            r#"{"time_ms":12.5,"distance":4096,"observed_ago_ms":2.5,"uncertainty_ms":9.0}"#
        );
        assert_eq!(json(&Lag::Unknown), "null");
        assert_eq!(json(&[Role::Primary, Role::Replica]), r#"["primary","replica"]"#);
        assert_eq!(json(&[Health::Unknown, Health::Up, Health::Down]), r#"["unknown","up","down"]"#);
        assert_eq!(json(&Reason::NotARead(Access::Unknown)), r#""not_a_read""#);
        assert_eq!(
            (json(&Access::Definition), json(&Epoch::default().next())),
            (r#""definition""#.into(), "1".into())
        );
    }
}
