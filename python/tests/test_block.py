"""The CE block against the authors' code, and against the definitions of its parts."""

import numpy as np
import pytest
import torch
from torch import Tensor

from cenet.block import CEBlock, fit_group_width, newton_inverse_square_root
from cenet.pixels import DensePixels, GroupedPixels

STATE_SHAPES = {
    "x_weight": (1,),
    "running_mean": (2, 16, 1),
    "running_wm": (2, 16, 16),
    "AR.running_scale": (1,),
    "AR.fc.0.weight": (8, 32),
    "AR.fc.1.weight": (8,),
    "AR.fc.1.bias": (8,),
    "AR.fc.3.weight": (32, 8),
}


def make_block(parameters: dict[str, np.ndarray], group_width: int) -> CEBlock:
    """A block with `running_wm`, `fc1` and so on from the authors' cases; what is missing keeps its start value."""
    channels = parameters["fc2"].shape[0]
    block = CEBlock(channels, group_width)
    names = {
        "running_wm": "running_wm",
        "x_weight": "x_weight",
        "running_scale": "AR.running_scale",
        "fc1": "AR.fc.0.weight",
        "ln_scale": "AR.fc.1.weight",
        "ln_bias": "AR.fc.1.bias",
        "fc2": "AR.fc.3.weight",
    }
    state = block.state_dict()
    for short, name in names.items():
        if short in parameters:
            state[name] = torch.from_numpy(parameters[short])
    block.load_state_dict(state)
    return block


def eval_case(block_cases: dict[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
    prefix = f"case{index}_"
    return {name.removeprefix(prefix): value for name, value in block_cases.items() if name.startswith(prefix)}


def train_case(block_cases: dict[str, np.ndarray]) -> tuple[CEBlock, Tensor]:
    parameters = {name: block_cases[f"train_{name}"] for name in ("fc1", "fc2")}
    return make_block(parameters, 16).train(), torch.from_numpy(block_cases["train_X"])


def layouts(x: Tensor) -> list[Tensor]:
    return [x.contiguous(), x.contiguous(memory_format=torch.channels_last)]


def test_state_has_the_released_names_and_shapes():
    state = CEBlock(32).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == STATE_SHAPES
    assert all(0 not in value.stride() for value in state.values())


@pytest.mark.parametrize("index", range(7))
def test_evaluation_equals_the_authors(block_cases, index):
    case = eval_case(block_cases, index)
    block = make_block(case, case["running_wm"].shape[-1]).eval()
    for x in layouts(torch.from_numpy(case["X"])):
        variances = []
        handle = block.AR.register_forward_hook(lambda _, args, gate, seen=variances: seen.extend((args[0], gate)))
        with torch.no_grad():
            y = block(x)
        handle.remove()
        torch.testing.assert_close(variances[0], torch.from_numpy(case["variance"]), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(variances[1], torch.from_numpy(case["gate"]), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(y, torch.from_numpy(case["Y"]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", [0, 1])
def test_training_equals_the_authors(block_cases, layout):
    block, x = train_case(block_cases)
    y = block(layouts(x)[layout])
    torch.testing.assert_close(y.detach(), torch.from_numpy(block_cases["train_Y"]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        block.running_wm, torch.from_numpy(block_cases["train_running_wm"]), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(block.AR.running_scale, torch.from_numpy(block_cases["train_running_scale"]))


def test_newton_starts_with_its_published_coefficients():
    """One step is 1.5 I - 0.5 A / tr(A); swapped coefficients, as some ports have them, give -0.5 I + 1.5 A / tr(A)."""
    covariance = torch.tensor([[[3.0, 1.0], [1.0, 5.0]]])
    expected = torch.tensor([[[1.5 - 3 / 16, -1 / 16], [-1 / 16, 1.5 - 5 / 16]]])
    torch.testing.assert_close(newton_inverse_square_root(covariance, 1), expected)


def test_newton_converges_to_the_inverse_square_root():
    root = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    covariance = root @ root.transpose(-1, -2) + 8 * torch.eye(8)
    inverse = newton_inverse_square_root(covariance, 12)
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    torch.testing.assert_close(inverse @ inverse @ covariance / trace, torch.eye(8).double().expand(3, 8, 8))


def test_covariance_weighs_eps_and_products_as_published():
    """The covariance is eps I + xc xc^T / m: swapped, the identity would get 1/m and the products eps."""
    x = torch.randn(4, 8, 5, 5, generator=torch.Generator().manual_seed(1)) * torch.arange(1.0, 9).view(1, 8, 1, 1)
    block = CEBlock(8, group_width=4, eps=0.5, momentum=1.0).train()
    block(x)
    centred = x.transpose(0, 1).reshape(2, 4, -1)
    centred = centred - centred.mean(-1, keepdim=True)
    covariance = 0.5 * torch.eye(4) + centred @ centred.transpose(-1, -2) / 100
    torch.testing.assert_close(block.running_wm, newton_inverse_square_root(covariance, 3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", [0, 1])
def test_gradients_are_those_of_the_function(layout):
    torch.manual_seed(2)
    block = CEBlock(8, group_width=4, momentum=0.0).double().train()
    x = layouts(torch.randn(3, 8, 2, 3, dtype=torch.float64))[layout].requires_grad_()
    assert DensePixels.suits(x, block.groups) == bool(layout)
    assert torch.autograd.gradcheck(block, x)


def test_both_layouts_give_the_same_gradients():
    torch.manual_seed(3)
    block, weights = CEBlock(32).double().train(), torch.randn(4, 32, 5, 6, dtype=torch.float64)
    gradients = []
    for x in layouts(torch.randn(4, 32, 5, 6, dtype=torch.float64)):
        leaf = x.detach().requires_grad_()
        loss = (block(leaf) * weights).sum()
        gradients.append(torch.autograd.grad(loss, [leaf, *block.parameters()]))
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


def test_many_groups_are_not_multiplied_densely():
    x = torch.zeros(1, 256, 2, 2).contiguous(memory_format=torch.channels_last)
    assert not DensePixels.suits(x, 16)
    assert GroupedPixels(x, 16).values.shape == (1, 16, 16, 4)


def test_bfloat16_keeps_its_type_and_float32_statistics():
    torch.manual_seed(4)
    block = CEBlock(32).train()
    for x in layouts(torch.randn(8, 32, 7, 7)):
        y = block(x.bfloat16())
        assert y.dtype == torch.bfloat16 and block.running_wm.dtype == torch.float32
        torch.testing.assert_close(y.float(), block(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("training", [True, False])
def test_one_pixel_is_refused(training):
    with pytest.raises(ValueError, match="more than one pixel"):
        CEBlock(16).train(training)(torch.zeros(2, 16, 1, 1))


def test_a_wrong_number_of_channels_is_refused():
    with pytest.raises(ValueError, match=r"\[N, 16, H, W\]"):
        CEBlock(16)(torch.zeros(2, 8, 4, 4))


@pytest.mark.parametrize(("channels", "asked", "width"), [(64, 16, 16), (24, 16, 8), (40, 64, 8), (7, 16, 1)])
def test_group_width_is_halved_until_it_divides(channels, asked, width):
    assert fit_group_width(channels, asked) == width


def test_statistics_are_reported_after_the_first_batch():
    block = CEBlock(16)
    assert not block.has_statistics
    block(torch.randn(2, 16, 4, 4))
    assert block.has_statistics
