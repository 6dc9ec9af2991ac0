//! The elements of a JSON tensor, nested or flat, read without a tree in between.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use crate::oip::MAX_ELEMENTS;

/// Elements in their order. How they were nested is left to the shape.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Flat {
    pub(super) numbers: Vec<f32>,
    pub(super) texts: Vec<Bytes>,
}

impl<'de> Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut flat = Self::default();
        Collect(&mut flat).deserialize(deserializer)?;
        Ok(flat)
    }
}

struct Collect<'a>(&'a mut Flat);

impl<'de> DeserializeSeed<'de> for Collect<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("numbers or texts, nested or not")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Collect(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.0.numbers.push(number as f32);
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.visit_f64(f64::from(u8::from(value)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.0.texts.len() >= MAX_ELEMENTS {
            return Err(E::custom(format_args!("a tensor has more than {MAX_ELEMENTS} texts")));
        }
        self.0.texts.push(Bytes::copy_from_slice(text.as_bytes()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_and_flat_give_the_same() {
        let flat = |text: &str| serde_json::from_str::<Flat>(text).ok();
        let numbers = Flat { numbers: vec![1.0, 2.5, -3.0, 1.0], texts: Vec::new() };
        assert_eq!(flat("[[1, 2.5], [-3, true]]"), Some(numbers));
        assert_eq!(flat("[1, 2.5, -3, true]"), flat("[[[1], [2.5]], [[-3], [true]]]"));
        assert_eq!(flat(r#"["a", ["b"]]"#).map(|flat| flat.texts.len()), Some(2));
        assert_eq!(flat(r#"[{"a": 1}]"#), None);
        assert_eq!(flat(&format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000))), None, "no depth is a risk");
    }
}
