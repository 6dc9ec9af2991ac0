import shutil
import tomllib

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from cenet.export import Calibration, ExportError, Preprocess, cli, quantize_directory
from cenet.export.graph import block_nodes
from cenet.export.quantize import quantize_model
from cenet.export.session import quiet_options
from cenet.tools.tiny_model import export_tiny_model, picture


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tiny") / "1"
    export_tiny_model(directory)
    return directory


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "deeper").mkdir()
    for seed in range(12):
        picture(seed).save(folder / ("deeper" if seed % 2 else ".") / f"{seed}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def quantized(tiny, pictures, tmp_path_factory):
    output = tmp_path_factory.mktemp("quantized") / "1"
    report = quantize_directory(tiny, output, Calibration(pictures, count=8))
    return output, report


def nodes(directory):
    return onnx.load(directory / "model.onnx").graph.node


def giver(graph, name):
    return next((node for node in graph if name in node.output), None)


def test_integers_are_around_every_block_and_none_within(tiny, quantized):
    before, after = onnx.load(tiny / "model.onnx"), onnx.load(quantized[0] / "model.onnx")
    blocks = block_nodes(after)
    assert [block.name for block in blocks] == [block.name for block in block_nodes(before)]
    assert [function.name for function in after.functions] == ["ChannelEquilibrium"]
    arrays = [
        {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer} for model in (before, after)
    ]
    for block in blocks:
        assert giver(after.graph.node, block.input[0]).op_type == "DequantizeLinear"
        for name in block.input[1:]:
            np.testing.assert_array_equal(arrays[0][name], arrays[1][name])
    # what leaves a block is rounded after the addition alone
    readers = [node.op_type for node in after.graph.node for block in blocks if block.output[0] in node.input]
    assert sorted(readers) == ["Add", "Add", "Add", "Relu"]


def test_nothing_is_left_that_nobody_reads(quantized):
    graph = onnx.load(quantized[0] / "model.onnx").graph
    assert {tensor.name for tensor in graph.initializer} <= {name for node in graph.node for name in node.input}


def test_the_pool_and_the_outputs(quantized):
    graph = nodes(quantized[0])
    pool = next(node for node in graph if node.op_type == "MaxPool")
    assert giver(graph, pool.input[0]).op_type == "DequantizeLinear", "the pool has integers before it"
    assert giver(graph, "logits").op_type == "Gemm", "scores aren't rounded to 8 bits"


def test_the_runtime_runs_integers_without_any_kernel_of_ours(quantized, tmp_path):
    options = quiet_options()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    session = onnxruntime.InferenceSession(quantized[0] / "model.onnx", options, providers=["CPUExecutionProvider"])
    with np.load(quantized[0] / "golden.npz") as golden:
        np.testing.assert_array_equal(session.run(["logits"], {"input": golden["input"]})[0], golden["logits"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds.count("QLinearConv") >= 12
    assert "Conv" not in kinds
    assert "LayerNormalization" in kinds, "the blocks run by their body"


def test_it_answers_as_before_and_is_smaller(tiny, quantized):
    output, report = quantized
    assert (report.calibrated, report.compared, report.ce_nodes) == (8, 4, 4)
    assert report.agreement == 1
    assert 0 < report.difference < 0.05
    assert (output / "model.onnx").stat().st_size < 0.7 * (tiny / "model.onnx").stat().st_size
    before, after = (tomllib.loads((folder / "model.toml").read_text()) for folder in (tiny, output))
    assert after["golden"].pop("tolerance") > before["golden"].pop("tolerance")
    assert after.pop("description") == before.pop("description").removesuffix(".") + ", in 8-bit integers."
    assert before == after
    for name in ("labels.txt", "golden.png"):
        assert (tiny / name).read_bytes() == (output / name).read_bytes()


def test_it_answers_by_default_only_under_the_same_name(tiny, pictures, tmp_path):
    source = tmp_path / "tiny" / "1"
    shutil.copytree(tiny, source)
    manifest = source / "model.toml"
    manifest.write_text("default = true\n" + manifest.read_text())
    for output, default in ((tmp_path / "tiny" / "2", True), (tmp_path / "tiny_int8" / "1", False)):
        quantize_directory(source, output, Calibration(pictures, count=1))
        assert tomllib.loads((output / "model.toml").read_text()).get("default", False) == default


def test_it_is_repeatable(tiny, pictures, quantized, tmp_path):
    quantize_directory(tiny, tmp_path / "1", Calibration(pictures, count=8))
    assert (tmp_path / "1" / "model.onnx").read_bytes() == (quantized[0] / "model.onnx").read_bytes()
    other = Calibration(pictures, count=8, seed=1)
    assert other.pictures() != Calibration(pictures, count=8).pictures()
    assert sorted(other.pictures()) == sorted(pictures.rglob("*.png"))


def test_seven_bits_stay_seven(tiny, pictures):
    inputs = [Preprocess(size=(64, 64), resize_to=72).load(pictures / "0.png")]
    model = quantize_model(onnx.load(tiny / "model.onnx"), inputs, reduce_range=True)
    weights = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.data_type == 3]
    assert weights
    assert max(int(np.abs(weight.astype(int)).max()) for weight in weights if weight.size > 64) <= 64


def test_command_line(tiny, pictures, tmp_path, capsys):
    arguments = ["--from", str(tiny), "--output", str(tmp_path / "1"), "--quantize", "--calibration", str(pictures)]
    assert cli.main([*arguments, "--calibration-count", "4"]) == 0
    output = capsys.readouterr().out
    assert "4 CE nodes" in output
    assert "calibrated on 4 pictures" in output
    assert "on 8 others" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quantize"], "--calibration"),
        (["--calibration", "."], "--quantize"),
        ([], "--from is for --quantize"),
        (["--quantize", "--calibration", "empty"], "no pictures"),
        (["--quantize", "--calibration", "empty", "--calibration-count", "0"], "at least one"),
    ],
)
def test_errors_are_one_message_and_leave_nothing(tiny, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert cli.main(["--from", str(tiny), "--output", "1", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("cenet-export: ")
    assert message in error
    assert not (tmp_path / "1").exists()


def test_twice_is_refused(quantized, pictures, tmp_path):
    with pytest.raises(ExportError, match="quantised already"):
        quantize_directory(quantized[0], tmp_path / "1", Calibration(pictures))
    assert not (tmp_path / "1").exists()


def test_a_manifest_is_read_as_it_was_written():
    for given in (Preprocess(), Preprocess((64, 32), None, "bicubic", letterbox=True), Preprocess((8, 8), None)):
        assert Preprocess.from_manifest(given.to_manifest("input")) == given
    least = {"input": "input", "size": [8, 8], "resize": {"mode": "stretch"}, "mean": [0, 0, 0], "std": [1, 1, 1]}
    assert Preprocess.from_manifest(least) == Preprocess((8, 8), None, mean=(0, 0, 0), std=(1, 1, 1))
    assert Preprocess.from_manifest(least | {"sixteen_bit": "pillow"}) == Preprocess.from_manifest(least)
    with pytest.raises(ExportError, match="sixteen_bit"):
        Preprocess.from_manifest(least | {"sixteen_bit": "scale"})
    with pytest.raises(ExportError, match="color"):
        Preprocess.from_manifest(Preprocess().to_manifest("input") | {"color": "bgr"})
    with pytest.raises(ExportError, match="resize"):
        Preprocess.from_manifest({"input": "input"})
