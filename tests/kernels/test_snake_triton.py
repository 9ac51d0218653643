"""The Triton kernel for GPUs: its definition, in Triton's interpreter; compiled for a GPU; and who is served by it.

The interpreter is asked for before Triton is imported, and changes what it is: so it runs in a process of its own.
"""

import copy
import importlib.util
import logging
import os
import struct
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from kernel_builds import error, in_float64
from xcodec import InputError, kernels
from xcodec.kernels import snake_operator
from xcodec.models.acoustic import AcousticEncoder
from xcodec.modules.snake import AntiAliasedActivation, SnakeBeta
from xcodec.modules.time import Whole

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs pip install triton")
needs_native = pytest.mark.skipif(len(kernels.variants()) == 1, reason="the kernel was not compiled")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
# One lane takes 16 steps, one program 128 lanes: clips shorter than the filters, ends to each side of a lane's border
# and within the filters' reach of it, more lanes than one program's, and a clip longer than one program.
SIZES = [(5, 1), (3, 2), (4, 5), (2, 15), (3, 16), (2, 17), (1, 29), (2, 35), (70, 18), (1, 2051)]
# A filter that is no filter: the upsampled signal has each step twice, and the output is their mean.
PASS = [0.5 if k in (5, 6) else 0.0 for k in range(12)]
PLANAR = "xcodec.snake_planar.default"
HALVES = [torch.bfloat16, torch.float16]

Kernel = Callable[[Tensor, Tensor, Tensor, list[float], Tensor | None], Tensor]


def activation(channels: int) -> AntiAliasedActivation:
    module = AntiAliasedActivation(SnakeBeta(channels)).requires_grad_(False)
    nn.init.normal_(module.act.alpha, std=0.7)
    nn.init.normal_(module.act.beta, std=0.7)
    return module


def parameters(module: AntiAliasedActivation) -> tuple[Tensor, Tensor, list[float]]:
    return *module.act.alpha_and_gain(), module.taps


def clips(channels: int, steps: int) -> Tensor:
    torch.manual_seed(channels * 1000 + steps)
    return 2 * torch.randn(3, channels, steps)


# What runs in the interpreter's process


def run_kernel(x: Tensor, alpha: Tensor, gain: Tensor, taps: list[float], lengths: Tensor | None) -> Tensor:
    from xcodec.kernels.snake_triton import anti_aliased_snake

    return anti_aliased_snake(x, alpha, gain, taps, lengths)


def check_operator(x: Tensor, alpha: Tensor, gain: Tensor, taps: list[float], lengths: Tensor | None) -> None:
    snake_operator.planar_operator.register_kernel("cpu")(run_kernel)
    torch.library.opcheck(torch.ops.xcodec.snake_planar.default, (x, alpha, gain, taps, lengths))


def encode(wave: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Latent vectors of a compiled encoder in which the kernel serves, and of the same without it."""
    snake_operator.planar_operator.register_kernel("cpu")(run_kernel)
    torch.manual_seed(0)
    encoder = AcousticEncoder(4, (2, 4), 8)
    with torch.inference_mode(), kernels.use("torch"):
        expected = encoder(wave, Whole(lengths))
        kernels.serves_planar = lambda *_: True
        graphs = []

        def backend(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable:
            graphs.append(graph)
            return graph.forward

        found = torch.compile(encoder, fullgraph=True, backend=backend)(wave, Whole(lengths))
    assert len(graphs) == 1
    calls = [node for node in graphs[0].graph.nodes if str(node.target) == PLANAR]
    assert len(calls) == sum(isinstance(each, AntiAliasedActivation) for each in encoder.modules())
    return found, expected


def compile_for_hopper(number: str, has_lengths: bool) -> tuple[str, int]:
    """PTX, and the size of the machine code, for rows whose beginnings are aligned."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from xcodec.kernels.snake_triton import OPTIONS, snake_kernel

    names = snake_kernel.arg_names
    tensors = {"x": f"*{number}", "y": f"*{number}", "alpha": "*fp32", "gain": "*fp32", "lengths": "*i64"}
    constants = {"x_step": 1, "y_step": 1} | ({} if has_lengths else {"lengths": None})
    taps = {f"f{k}": "fp32" for k in range(12)}
    types = dict.fromkeys(names, "i32") | tensors | taps | dict.fromkeys(constants, "constexpr")
    aligned = {"time", "x_clip", "x_channel", "y_clip", "y_channel", *tensors} - set(constants)
    attributes = {(names.index(name),): [["tt.divisibility", 16]] for name in aligned}
    source = ASTSource(snake_kernel, {name: types[name] for name in names}, constants, attributes)
    compiled = compile(source, target=GPUTarget("cuda", 90, 32), options=OPTIONS)
    return compiled.asm["ptx"], len(compiled.asm["cubin"])


@pytest.fixture(scope="module")
def interpreter() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            pool.submit(os.getpid).result()  # the process starts with its first task, and keeps the variable
        yield pool


@pytest.fixture
def kernel(interpreter: ProcessPoolExecutor) -> Kernel:
    return lambda *arguments: interpreter.submit(run_kernel, *arguments).result()


# The definition


@needs_triton
@pytest.mark.parametrize(("channels", "steps"), SIZES)
def test_it_is_its_definition(kernel, channels, steps):
    x, module = clips(channels, steps), activation(channels)
    for lengths in (None, torch.tensor([steps, (steps + 1) // 2, max(1, steps - 2)])):
        y = kernel(x, *parameters(module), lengths)
        assert y.shape == x.shape
        assert error(y, in_float64(module, x, lengths)) < 5e-6


@needs_triton
def test_it_is_no_less_exact_than_torch(kernel):
    x, module = clips(16, 1500), activation(16)
    expected = in_float64(module, x)
    with kernels.use("torch"):
        torchs = (module(x).double() - expected).square().mean()
    assert (kernel(x, *parameters(module), None).double() - expected).square().mean() <= 1.05 * torchs


@needs_triton
@pytest.mark.parametrize("largest", [1.0, 1e3, 1e6])
def test_the_wave_is_more_exact_than_a_sine_of_a_rounded_product(kernel, largest):
    torch.manual_seed(0)
    x, alpha, gain = largest * torch.randn(1, 16, 2000), torch.rand(16) + 0.5, torch.rand(16) * 10 * largest
    ours = kernel(x, alpha, gain, PASS, None)
    torchs = x + gain[:, None] * (alpha[:, None] * x).sin().square()
    exact = x.double() + gain[:, None].double() * (alpha[:, None].double() * x.double()).sin().square()
    assert (ours - exact).abs().mean() <= 1.05 * (torchs - exact).abs().mean()
    assert (ours - exact).abs().max() <= 1.2 * (torchs - exact).abs().max()


@needs_triton
def test_the_wave_stays_in_bounds_where_float32_has_no_fractions(kernel):
    x, ones = torch.randn(1, 16, 200) * 1e12, torch.ones(16)
    assert ((kernel(x, ones, 1e12 * ones, PASS, None) - x).abs() <= 1.0001e12).all()


@needs_triton
def test_infinity_and_nan_reach_the_output(kernel):
    for value in (float("inf"), float("nan")):
        x = clips(4, 40)
        x[0, 3, 20] = value
        y = kernel(x, *parameters(activation(4)), None)
        assert not y[0, 3, 18:23].isfinite().any()
        assert y[0, :3].isfinite().all()
        assert y[1:].isfinite().all()


@needs_triton
@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_float32_rounded_once(kernel, dtype):
    x, module = clips(7, 150).to(dtype), activation(7)
    y, wide = kernel(x, *parameters(module), None), kernel(x.float(), *parameters(module), None)
    assert y.dtype == dtype
    if dtype == torch.bfloat16:  # the interpreter cuts to bfloat16, where a GPU rounds: see what it is compiled to
        assert torch.equal(y.view(torch.int16), (wide.view(torch.int32) >> 16).short())
    else:
        assert torch.equal(y, wide.to(dtype))


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
def test_a_clip_ends_where_its_length_says(kernel, dtype):
    lengths = torch.tensor([0, 1, 2, 5, 15, 16, 17, 19, 32, 61])
    module = activation(3)
    x = torch.randn(len(lengths), 3, 61).to(dtype)
    for clip, n in zip(x, lengths, strict=True):
        clip[:, n:] = float("nan")
    together = kernel(x, *parameters(module), lengths)
    for i, n in enumerate(lengths):
        assert together[i, :, n:].eq(0).all()
        if n:
            alone = kernel(x[i : i + 1, :, :n].contiguous(), *parameters(module), None)
            assert torch.equal(together[i, :, :n], alone[0]), f"clip of {n} steps"


@needs_triton
def test_the_output_lies_in_memory_as_the_input_does(kernel):
    x, module = clips(6, 50), activation(6)
    y = kernel(x, *parameters(module), None)
    assert y.is_contiguous()
    channels_last = x.transpose(1, 2).contiguous().transpose(1, 2)
    same = kernel(channels_last, *parameters(module), None)
    assert same.stride() == channels_last.stride()
    assert torch.equal(same, y)


# The operator


@needs_triton
@pytest.mark.parametrize("lengths", [None, torch.tensor([9, 4, 1])], ids=["whole", "lengths"])
def test_it_is_a_well_behaved_torch_operator(interpreter, lengths):
    interpreter.submit(check_operator, clips(6, 9), *parameters(activation(6)), lengths).result()


@needs_triton
def test_the_encoder_compiles_whole_with_the_kernel_inside(interpreter):
    torch.manual_seed(0)
    found, expected = interpreter.submit(encode, torch.randn(2, 1, 160), torch.tensor([160, 80])).result()
    assert error(found[0], expected[0].double()) < 1e-5
    assert error(found[1, :, :10], expected[1, :, :10].double()) < 1e-5


def test_what_the_operator_cannot_take_is_an_error_that_says_why(monkeypatch):
    call = snake_operator.planar_operator._init_fn  # as CUDA calls it
    monkeypatch.setitem(sys.modules, "xcodec.kernels.snake_triton", object())  # nothing gets as far as that
    x, ones, taps = torch.zeros(2, 6, 9), torch.ones(6), [1 / 12] * 12
    with pytest.raises(InputError, match=r"x: expected float32, bfloat16 or float16 .* got torch.float64 \(2, 6, 9\)"):
        call(x.double(), ones, ones, taps, None)
    with pytest.raises(InputError, match=r"gain: expected float32 \(6,\) .* got torch.float32 \(5,\)"):
        call(x, ones, ones[:5], taps, None)
    with pytest.raises(InputError, match=r"lengths: expected integers \(2,\) .* got torch.int64 \(3,\)"):
        call(x, ones, ones, taps, torch.tensor([1, 2, 3]))
    with pytest.raises(InputError, match="taps: expected 12 numbers, got 3"):
        call(x, ones, ones, taps[:3], None)


# Who is served


class Called(TorchDispatchMode):
    """The names of the operators that a block calls."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


@pytest.fixture
def gpu(monkeypatch):
    """Whatever is made in it may be on a GPU, without data; where Triton runs."""
    monkeypatch.setattr(snake_operator, "_triton_runs", lambda: True)
    with FakeTensorMode():
        yield torch.device("cuda:0")


def is_served(gpu: torch.device, dtype: torch.dtype = torch.float32) -> bool:
    parameter = nn.Parameter(torch.empty(4, device=gpu))
    return kernels.serves_planar(torch.empty(2, 4, 50, dtype=dtype, device=gpu), parameter)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
def test_inference_on_a_gpu_is_served(gpu, dtype):
    with torch.utils._python_dispatch._disable_current_modes():
        module = activation(4)
    for name in ("alpha", "beta"):
        setattr(module.act, name, nn.Parameter(torch.empty(4, device=gpu)))
    x = torch.empty(2, 4, 50, dtype=dtype, device=gpu)
    with Called() as called:
        y = module(x, torch.empty(2, dtype=torch.long, device=gpu))
    assert (y.shape, y.dtype, y.device, y.stride()) == (x.shape, x.dtype, x.device, x.stride())
    assert PLANAR in called.names
    assert not any("conv" in name for name in called.names)


def test_torch_serves_where_it_is_asked_for_and_where_triton_does_not_run(gpu, monkeypatch):
    assert is_served(gpu)
    assert not is_served(gpu, torch.float64)
    with kernels.use("torch"):
        assert not is_served(gpu)
    monkeypatch.setattr(snake_operator, "_triton_runs", lambda: False)
    assert not is_served(gpu)


@needs_native
def test_a_variant_for_the_cpu_says_nothing_of_gpus(gpu):
    with kernels.use(kernels.variants()[-1]):
        assert is_served(gpu)


@pytest.mark.gradients
def test_gradients_go_through_torchs_operators(gpu):
    assert not is_served(gpu)
    with torch.no_grad():
        assert is_served(gpu)


def test_a_cpu_is_not_served(monkeypatch):
    monkeypatch.setattr(snake_operator, "_triton_runs", lambda: True)
    assert not kernels.serves_planar(torch.zeros(1, 4, 50))


@needs_triton
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU, where Triton does compile")
def test_where_triton_cannot_compile_torch_serves_and_a_warning_says_why(caplog):
    snake_operator._triton_runs.cache_clear()
    with caplog.at_level(logging.WARNING, logger="xcodec"):
        assert not snake_operator._triton_runs()
    snake_operator._triton_runs.cache_clear()
    assert "Triton cannot compile here, so torch's operators serve: " in caplog.text


# On a GPU, or compiled for one


@needs_triton
def test_it_compiles_for_a_gpu_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    wave = f"0f{struct.pack('>f', -3.2729461193084717).hex().upper()}"  # a number that each wave takes once
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for number, has_lengths in (("fp32", False), ("bf16", True)):
            ptx, size = pool.submit(compile_for_hopper, number, has_lengths).result()
            assert ".target sm_90" in ptx
            assert size > 0
            assert ptx.count(wave) == 42, "waves for 16 outputs"
            assert ("cvt.rn.bf16" in ptx) == (number == "bf16"), "rounded to nearest"
            assert "ld.global.v4" in ptx, "steps are read in rows"
            assert "st.global.v4" in ptx, "steps are written in rows"


@needs_triton
@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
def test_on_a_gpu_it_is_its_definition(dtype):
    x, module = clips(70, 1003).to(dtype), activation(70)
    lengths = torch.tensor([1003, 16, 501])
    with Called() as called:
        found = copy.deepcopy(module).cuda()(x.cuda(), lengths.cuda()).cpu()
    assert PLANAR in called.names
    expected = in_float64(module, x, lengths)
    torch.testing.assert_close(found.double(), expected, rtol=torch.finfo(dtype).eps, atol=1e-5)
