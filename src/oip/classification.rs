//! The protocol's `classification` parameter: the best of an output with their labels, instead of its numbers.

use bytes::Bytes;

use super::{DataType, Tensor, TensorData};

/// The `count` largest numbers of each row of `tensor`, best first, each as `value:index:label`; of what has more numbers than there are
/// labels, `value:index`.
pub(super) fn classify(tensor: &Tensor, numbers: &[f32], count: usize, labels: &[String]) -> Tensor {
    let width = tensor.shape.last().copied().unwrap_or(1).max(1);
    let count = count.min(width);
    let rows = numbers.chunks_exact(width).flat_map(|row| best(row, count, labels)).collect();
    let mut shape = tensor.shape.clone();
    match shape.last_mut() {
        Some(last) => *last = count,
        None => shape.push(count),
    }
    Tensor { name: tensor.name.clone(), data_type: DataType::Bytes, shape, data: TensorData::Elements(rows) }
}

fn best(row: &[f32], count: usize, labels: &[String]) -> Vec<Bytes> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    let text = |index: &usize| match labels.get(*index).filter(|_| labels.len() == row.len()) {
        Some(label) => format!("{:.6}:{index}:{label}", row[*index]),
        None => format!("{:.6}:{index}", row[*index]),
    };
    order[..count].iter().map(|index| Bytes::from(text(index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_its_best_with_labels() {
        let labels = ["cat", "dog", "cup"].map(String::from);
        let numbers = [0.5, 2.0, -1.0, 3.0, 0.0, 1.0];
        let tensor = Tensor::from_f32("logits", &[2, 3], &numbers).expect("six numbers");
        let texts = |count, labels: &[String]| {
            let best = classify(&tensor, &numbers, count, labels);
            let TensorData::Elements(elements) = best.data else { panic!("BYTES hold elements") };
            let texts = elements.iter().map(|element| String::from_utf8_lossy(element).into_owned());
            (best.shape, texts.collect::<Vec<_>>())
        };
        let expected = ["2.000000:1:dog", "0.500000:0:cat", "3.000000:0:cat", "1.000000:2:cup"];
        assert_eq!(texts(2, &labels), (vec![2, 2], expected.map(String::from).to_vec()));
        assert_eq!(texts(9, &labels).0, [2, 3], "no more than there are");
        assert_eq!(texts(1, &labels[..2]).1, ["2.000000:1", "3.000000:0"]);
    }
}
