import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cenet.export.calibrate import Histogram, Observations
from cenet.export.errors import ExportError
from cenet.export.graph import INPUT
from cenet.export.quantize import quantize_model
from cenet.export.session import open_session

CHANNELS = 6


def layer(kind, name, given, weight, bias, **attributes):
    arrays = [numpy_helper.from_array(weight, f"{name}.weight"), numpy_helper.from_array(bias, f"{name}.bias")]
    names = [given, *(array.name for array in arrays)]
    return helper.make_node(kind, names, [f"{name}.out"], name=name, **attributes), arrays


@pytest.fixture(scope="module")
def network():
    """Two convolutions and a linear layer, whose largest weights are for a channel that is always zero."""
    random = np.random.default_rng(0)
    depthwise = random.normal(0, 0.3, (CHANNELS, 1, 3, 3)).astype(np.float32)
    bias = random.normal(0, 1, CHANNELS).astype(np.float32)
    silent = bias.copy()
    silent[0] = -1000
    uneven = random.normal(0, 0.3, (4, CHANNELS)).astype(np.float32)
    uneven[:, 0] = 100
    first, first_arrays = layer(
        "Conv", "first", INPUT, random.normal(0, 0.3, (CHANNELS, 3, 1, 1)).astype(np.float32), bias
    )
    relu = helper.make_node("Relu", ["first.out"], ["relu"], name="relu")
    second, second_arrays = layer("Conv", "depthwise", "relu", depthwise, silent, group=CHANNELS)
    behind = helper.make_node("Relu", ["depthwise.out"], ["behind"], name="relu behind")
    pool = helper.make_node("GlobalAveragePool", ["behind"], ["pooled"], name="pool")
    flat = helper.make_node("Flatten", ["pooled"], ["flat"], name="flat")
    linear, linear_arrays = layer("Gemm", "linear", "flat", uneven, bias[:4], transB=1)
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in ((INPUT, ["batch", 3, 16, 16]), ("linear.out", ["batch", 4]))
    ]
    graph = helper.make_graph(
        [first, relu, second, behind, pool, flat, linear],
        "network",
        tensors[:1],
        tensors[1:],
        [*first_arrays, *second_arrays, *linear_arrays],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="module")
def inputs():
    random = np.random.default_rng(1)
    return [random.normal(1, 1, (1, 3, 16, 16)).astype(np.float32) for _ in range(8)]


def outputs(model, inputs):
    session = open_session(model, as_written=True)
    return np.concatenate([session.run(None, {INPUT: given})[0] for given in inputs])


def squared_error(values, low, high):
    scale = (high - low) / 255
    zero = np.rint(-low / scale)
    return np.square((np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale - values).mean()


def test_few_values_far_out_do_not_widen_the_range():
    values = np.random.default_rng(0).normal(0.5, 1, 1_000_000).astype(np.float32)
    values[0] = 30
    histogram = Histogram()
    histogram.add(values)
    low, high = histogram.best_range()
    assert high < 15
    assert squared_error(values, low, high) < 0.5 * squared_error(values, values.min(), values.max())


def test_values_that_fill_their_range_keep_it():
    values = np.random.default_rng(0).uniform(0, 6, 100_000).astype(np.float32)
    histogram = Histogram()
    for part in np.split(values, 10):
        histogram.add(part)
    assert histogram.best_range() == pytest.approx((0, 6), abs=0.01)


def test_bins_that_widen_keep_their_counts():
    values = np.random.default_rng(0).normal(0, 1, 50_000).astype(np.float32)
    ranges = []
    for order in (values[np.argsort(np.abs(values))], values):
        histogram = Histogram()
        for part in np.split(order, 10):
            histogram.add(part)
        ranges.append(histogram.best_range())
    assert ranges[0] == pytest.approx(ranges[1], abs=0.1)


def test_nothing_but_zeros():
    histogram = Histogram()
    assert histogram.best_range() == (0, 0)
    histogram.add(np.zeros((2, 3), np.float32))
    assert histogram.best_range() == (0, 0)


def test_numbers_that_are_not_finite_are_refused(network, inputs):
    with pytest.raises(ExportError, match="finite"):
        Observations(network, {"relu"}, [np.full_like(inputs[0], np.inf)])


def test_what_is_observed_is_what_the_network_computes(network, inputs):
    seen = Observations(network, {"relu", "flat"}, inputs)
    assert set(seen.ranges) == {INPUT, "relu", "flat"}
    assert seen.ranges["relu"][0] == 0 < seen.ranges["relu"][1]
    np.testing.assert_allclose(
        seen.channel_means(INPUT), np.concatenate(inputs).mean(axis=(0, 2, 3), dtype=float), rtol=1e-6
    )


def test_biases_make_up_for_what_rounding_changes_on_average(network, inputs, monkeypatch):
    corrected = quantize_model(network, inputs)
    monkeypatch.setattr("cenet.export.quantize.correct_biases", lambda *_: None)
    plain = quantize_model(network, inputs)
    expected = outputs(network, inputs)
    means = [np.abs((outputs(model, inputs) - expected).mean(axis=0)).max() for model in (corrected, plain)]
    assert means[0] < 0.5 * means[1]


def test_the_layer_that_loses_the_most_stays_in_floats(network, inputs):
    kept = quantize_model(network, inputs, float_layers=1)
    names = {array.name for array in kept.graph.initializer}
    assert {"first.weight", "depthwise.weight", "linear.weight"} & names == {"linear.weight"}
    expected = outputs(network, inputs)
    losses = [np.square(outputs(model, inputs) - expected).sum() for model in (kept, quantize_model(network, inputs))]
    assert losses[0] < 0.5 * losses[1]


def test_layers_that_share_weights_get_their_own(network, inputs):
    shared = onnx.ModelProto()
    shared.CopyFrom(network)
    again = next(node for node in shared.graph.node if node.name == "depthwise")
    again = helper.make_node(
        "Conv", ["behind", *again.input[1:]], ["again.out"], name="depthwise again", group=CHANNELS
    )
    place = next(place for place, node in enumerate(shared.graph.node) if node.name == "pool")
    shared.graph.node[place].input[0] = "again.out"
    shared.graph.node.insert(place, again)
    quantized = quantize_model(shared, inputs)
    givers = {name: node for node in quantized.graph.node for name in node.output}
    weights = [givers[node.input[1]].input for node in quantized.graph.node if node.op_type == "Conv"]
    for index in (0, 2):
        assert len({names[index] for names in weights}) == 3, "ONNX Runtime 1.32 can't make shared ones unsigned"
    open_session(quantized)
    expected = outputs(shared, inputs)
    assert np.abs(outputs(quantized, inputs) - expected).max() < 0.1 * np.abs(expected).max()


def test_a_layer_in_floats_is_not_rounded_before_its_activation(network, inputs):
    kept = quantize_model(network, inputs, float_layers=99)
    rounded = {node.input[0] for node in kept.graph.node if node.op_type == "QuantizeLinear"}
    assert not {"first.out", "depthwise.out"} & rounded


def test_all_layers_may_stay_in_floats(network, inputs):
    kept = quantize_model(network, inputs, float_layers=99)
    np.testing.assert_allclose(outputs(kept, inputs), outputs(network, inputs), rtol=0.02, atol=0.02)
    onnx.checker.check_model(kept)
