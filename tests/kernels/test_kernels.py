"""The native kernel, in every variant that this processor runs: its definition, its gradients, and life without it."""

import copy
import ctypes
import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from builders import prepare, speech
from kernel_builds import (
    ARM,
    EMULATED,
    NATIVE_HERE,
    error,
    every_variant,
    in_float64,
    native,
    needs_emulator,
    serving,
)
from xcodec import InputError, kernels
from xcodec.built_in import BUILT_IN
from xcodec.kernels.library import library
from xcodec.kernels.signatures import SIGNATURES
from xcodec.models.acoustic import AcousticEncoder
from xcodec.modules.conv import MaskedConv1d, MaskedConvTranspose1d, channels_last, is_channels_last
from xcodec.modules.lengths import zero_past_end
from xcodec.modules.snake import AntiAliasedActivation, Snake, SnakeBeta
from xcodec.modules.time import Whole

ROOT = Path(__file__).parents[2]
needs_native = pytest.mark.skipif(not NATIVE_HERE, reason="the kernel was not compiled")
# Clips shorter than the filters; one step to each side of a tile's border, and beyond the next one by less than the
# filters reach; channels that fill no vector, and more than one task takes.
SIZES = [(5, 1), (16, 2), (17, 3), (48, 5), (3, 127), (48, 128), (33, 129), (20, 131), (1, 258), (300, 400), (531, 30)]
# A filter that is no filter: e and o equal the input, and the output is their mean.
PASS = [0.5 if k in (5, 6) else 0.0 for k in range(12)]
sizes = pytest.mark.parametrize(("channels", "steps"), SIZES)


def activation(channels: int, spread: float = 0.7) -> AntiAliasedActivation:
    module = AntiAliasedActivation(SnakeBeta(channels))
    torch.nn.init.normal_(module.act.alpha, std=spread)
    torch.nn.init.normal_(module.act.beta, std=spread)
    return module


def snake(channels: int, spread: float = 0.5) -> Snake:
    module = Snake(channels)
    torch.nn.init.uniform_(module.alpha, 1 - spread, 1 + spread)
    return module


both = pytest.mark.parametrize("make", [activation, snake], ids=["anti-aliased", "plain"])


def clips(channels: int, steps: int, scale: float = 2.0) -> Tensor:
    torch.manual_seed(channels * 1000 + steps)
    return scale * torch.randn(3, channels, steps)


@every_variant
@both
@sizes
def test_it_is_its_definition(variant, make, channels, steps):
    x, module = clips(channels, steps), make(channels)
    with serving(variant):
        y = module(x)
    assert y.shape == x.shape
    assert error(y, in_float64(module, x)) < 5e-6


@every_variant
def test_it_is_no_less_exact_than_torch(variant):
    x, module = clips(64, 5000), activation(64)
    expected = in_float64(module, x)
    found = {}
    for name in ("torch", variant):
        with serving(name):
            found[name] = float((module(x).double() - expected).square().mean())
    assert found[variant] <= 1.05 * found["torch"]


@every_variant
@pytest.mark.parametrize("largest", [1.0, 1e2, 1e4, 1e6])
def test_the_wave_is_more_exact_than_a_sine_of_a_rounded_product(variant, largest):
    """Filters that pass everything leave x + gain * sin^2(alpha x) alone."""
    torch.manual_seed(0)
    x, alpha, gain = largest * torch.randn(1, 4000, 16), torch.rand(16) + 0.5, torch.rand(16) * 10 * largest
    with serving(variant):
        ours = kernels.anti_aliased_snake(x, alpha, gain, PASS, None)
    torchs = x + gain * (alpha * x).sin().square()
    exact = x.double() + gain.double() * (alpha.double() * x.double()).sin().square()
    assert (ours - exact).abs().mean() <= 1.05 * (torchs - exact).abs().mean()
    assert (ours - exact).abs().max() <= 1.2 * (torchs - exact).abs().max()


@every_variant
def test_the_wave_stays_in_bounds_where_float32_has_no_fractions(variant):
    x, ones = torch.randn(1, 200, 16) * 1e12, torch.ones(16)
    with serving(variant):
        y = kernels.anti_aliased_snake(x, ones, 1e12 * ones, PASS, None)
    assert ((y - x).abs() <= 1.0001e12).all()


@every_variant
def test_infinity_and_nan_reach_the_output(variant):
    for value in (float("inf"), float("nan")):
        x = clips(16, 40)
        x[0, 3, 20] = value
        with serving(variant):
            y = activation(16)(x)
        assert not y[0, 3, 18:23].isfinite().any()
        assert y[0, :3].isfinite().all()
        assert y[1:].isfinite().all()


@every_variant
@both
def test_bfloat16_is_float32_rounded_once(variant, make):
    x, module = clips(37, 300).bfloat16(), make(37)
    with serving(variant):
        y, wide = module(x), module(x.float())
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, wide.bfloat16())


@every_variant
@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_clip_ends_where_its_length_says(variant, make, dtype):
    lengths = torch.tensor([0, 1, 2, 5, 127, 128, 129, 131, 256, 300])
    module = make(20)
    x = torch.randn(len(lengths), 20, 300).to(dtype)
    for clip, n in zip(x, lengths, strict=True):
        clip[:, n:] = float("nan")
    with serving(variant):
        together = module(x, lengths)
        for i, n in enumerate(lengths):
            assert together[i, :, n:].eq(0).all()
            if n:
                assert torch.equal(together[i, :, :n], module(x[i : i + 1, :, :n])[0]), f"clip of {n} steps"


@every_variant
@both
@sizes
@pytest.mark.gradients
def test_gradients_are_those_of_the_definition(variant, make, channels, steps):
    x, module = clips(channels, steps), make(channels)
    wide = copy.deepcopy(module).double()
    for lengths in (None, torch.tensor([steps, (steps + 1) // 2, max(1, steps - 2)])):
        grad = zero_past_end(torch.randn(x.shape), lengths)
        source = x.double().requires_grad_()
        with kernels.use("torch"):
            expected = torch.autograd.grad(wide(source, lengths), [source, *wide.parameters()], grad.double())
        source = x.clone().requires_grad_()
        with serving(variant):
            found = torch.autograd.grad(module(source, lengths), [source, *module.parameters()], grad)
        for ours, theirs in zip(found, expected, strict=True):  # of x, and of each parameter
            assert error(ours, theirs) < 1e-4


@every_variant
@both
@pytest.mark.gradients
def test_gradients_in_bfloat16(variant, make):
    x, module = clips(37, 300).bfloat16(), make(37)
    grad = torch.randn(x.shape).bfloat16()

    def gradients(x, grad):
        source = x.clone().requires_grad_()
        return torch.autograd.grad(module(source), [source, *module.parameters()], grad)

    with serving(variant):
        narrow, wide = gradients(x, grad), gradients(x.float(), grad.float())
    assert torch.equal(narrow[0], wide[0].bfloat16())
    assert all(torch.equal(a, b) for a, b in zip(narrow[1:], wide[1:], strict=True))


@needs_native
@pytest.mark.gradients
@pytest.mark.parametrize("lent", [True, False], ids=["torch's threads", "own threads"])
def test_the_number_of_threads_changes_no_bit(monkeypatch, lent):
    if lent and not library.parallel_for:
        pytest.skip("torch before 2.10 lends no threads")
    if not lent:
        monkeypatch.setattr(library, "parallel_for", ctypes.c_void_p())
    x, module = clips(96, 4000), activation(96)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            source = x.clone().requires_grad_()
            y = module(source)
            results.append((y, *torch.autograd.grad(y.square().sum(), [source, *module.parameters()])))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@needs_native
def test_the_output_lies_in_memory_as_the_input_should():
    x, module = clips(16, 200), activation(16)
    y = module(x)
    assert is_channels_last(y)
    assert torch.equal(module(channels_last(x)), y)
    assert is_channels_last(MaskedConv1d(16, 24, 3, padding=1)(y))


@needs_native
@pytest.mark.gradients
@pytest.mark.parametrize("lengths", [None, torch.tensor([9, 4, 1])], ids=["whole", "lengths"])
def test_it_is_a_well_behaved_torch_operator(lengths):
    x = torch.randn(3, 9, 6, requires_grad=True)
    alpha, gain = (torch.rand(6).add(0.5).requires_grad_() for _ in range(2))
    for taps in (AntiAliasedActivation(SnakeBeta(6)).taps, []):
        torch.library.opcheck(torch.ops.xcodec.snake.default, (x, alpha, gain, taps, lengths))
        inputs = (x.detach(), torch.randn(3, 9, 6), alpha.detach(), gain.detach(), taps, lengths)
        torch.library.opcheck(torch.ops.xcodec.snake_backward.default, inputs)


@needs_native
def test_what_the_operator_cannot_take_is_an_error_that_says_why():
    x, ones, taps = torch.zeros(2, 9, 6), torch.ones(6), [1 / 12] * 12
    with pytest.raises(InputError, match=r"x: expected float32 or bfloat16 .* got torch.float64 \(2, 9, 6\)"):
        kernels.anti_aliased_snake(x.double(), ones, ones, taps, None)
    with pytest.raises(InputError, match=r"gain: expected float32 \(6,\) .* got torch.float32 \(5,\)"):
        kernels.anti_aliased_snake(x, ones, ones[:5], taps, None)
    with pytest.raises(InputError, match=r"lengths: expected integers \(2,\) .* got torch.int64 \(3,\)"):
        kernels.anti_aliased_snake(x, ones, ones, taps, torch.tensor([1, 2, 3]))
    with pytest.raises(InputError, match="taps: expected 12 numbers, or none, got 3"):
        kernels.anti_aliased_snake(x, ones, ones, taps[:3], None)
    with kernels.use("torch"), pytest.raises(InputError, match="native kernel was called, but torch was chosen"):
        kernels.anti_aliased_snake(x, ones, ones, taps, None)


@needs_native
@pytest.mark.gradients
@pytest.mark.parametrize("channels", [4, 8])
def test_an_encoder_gives_the_same_with_gradients_and_without(channels):
    torch.manual_seed(0)
    encoder, wave = AcousticEncoder(channels, (2, 4), 8), torch.randn(2, 1, 4000)
    whole = Whole(torch.tensor([4000, 2400]))
    expected = encoder(wave, whole)
    assert expected.requires_grad
    with torch.inference_mode():
        found = encoder(wave, whole)
    for clip, length in enumerate((500, 300)):
        torch.testing.assert_close(found[clip, :, :length], expected[clip, :, :length], rtol=1e-4, atol=1e-5)


@needs_native
@pytest.mark.gradients
def test_the_encoder_compiles_whole_with_the_kernel_inside():
    torch.manual_seed(0)
    encoder = AcousticEncoder(4, (2, 4), 8)
    wave, time = torch.randn(2, 1, 640), Whole(torch.tensor([640, 320]))

    def gradients(function):
        return torch.autograd.grad(function(wave, time)[..., :40].square().sum(), list(encoder.parameters()))

    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        eager, ours = encoder(wave, time), compiled(wave, time)
    assert error(ours[0], eager[0].double()) < 1e-5
    assert error(ours[1, :, :40], eager[1, :, :40].double()) < 1e-5
    for found, expected in zip(gradients(compiled), gradients(encoder), strict=True):
        assert error(found, expected.double()) < 1e-4


def test_a_channels_last_convolution_is_the_convolution():
    torch.manual_seed(0)
    lengths = torch.tensor([50, 31, 1])
    for conv in (
        MaskedConv1d(12, 20, kernel_size=7, dilation=3, padding=9),
        MaskedConv1d(12, 24, kernel_size=8, stride=4, padding=2),
        MaskedConv1d(12, 12, kernel_size=1),
        MaskedConv1d(12, 24, kernel_size=3, bias=False),
        MaskedConvTranspose1d(12, 24, kernel_size=8, stride=4, padding=2),
        MaskedConvTranspose1d(12, 24, kernel_size=10, stride=5, padding=3, output_padding=1),
    ):
        x = torch.randn(3, 12, 50)
        expected = conv(x, lengths)
        found = conv(channels_last(x), lengths)
        assert is_channels_last(found)
        assert not is_channels_last(expected)
        assert error(found, expected.double()) < 1e-6


@native
def test_every_variant_gives_the_same_codes(tiny, variant):
    inputs = prepare(speech(3.0), speech(1.0))
    with kernels.use("torch"):
        expected = tiny.encode(**inputs).audio_codes
    with serving(variant):
        assert torch.equal(tiny.encode(**inputs).audio_codes, expected)


@needs_emulator
def test_a_processor_is_asked_for_nothing_that_it_does_not_have():
    assert ARM.variants == ("neon", "neonbf16")
    older = dataclasses.replace(ARM, emulator=(*EMULATED, "-cpu", "cortex-a72"))
    assert older.variants == ("neon",)


def test_the_fastest_variant_serves_unless_another_is_asked_for():
    asked = os.environ.get("XCODEC_KERNEL")
    assert kernels.variant() == (asked or kernels.variants()[-1])
    with kernels.use("torch"):
        assert kernels.variant() == "torch"
        assert not kernels.serves(torch.zeros(1))
    assert kernels.variant() == (asked or kernels.variants()[-1])
    with pytest.raises(InputError, match=r"kernels\.use: expected one of torch.*got 'avx3'"), kernels.use("avx3"):
        pass
    for unserved in (torch.zeros(1, dtype=torch.float64), torch.zeros(1, device="meta")):
        assert not kernels.serves(unserved)


def shown(code: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **variables})


def test_an_environment_variable_chooses():
    code = "from xcodec import kernels; print(kernels.variant())"
    for name in {"torch", kernels.variants()[-1]}:
        assert shown(code, XCODEC_KERNEL=name).stdout.strip() == name
    assert shown("import xcodec.kernels", XCODEC_KERNEL="fast").returncode == 0
    wrong = shown(code, XCODEC_KERNEL="fast")
    assert wrong.returncode != 0
    assert "environment variable XCODEC_KERNEL: expected one of torch" in wrong.stderr
    assert "got 'fast'" in wrong.stderr


def test_without_a_compiler_the_package_builds_and_torch_serves(tmp_path):
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.so", *BUILT_IN, "*.egg-info"))
    variables = dict.fromkeys(("CC", "CXX", "LDSHARED", "LDCXXSHARED"), str(tmp_path / "no-compiler"))
    build = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"],
        cwd=tmp_path,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stderr
    assert not list(tmp_path.rglob("*.so"))
    code = (
        "import torch, xcodec; from xcodec import kernels; from xcodec.modules.snake import *;"
        "y = AntiAliasedActivation(SnakeBeta(4))(torch.ones(1, 4, 9));"
        "print(xcodec.__file__, kernels.variants(), tuple(y.shape))"
    )
    printed = shown(code, PYTHONPATH=str(tmp_path / "src"), XCODEC_KERNEL="").stdout
    assert printed.strip() == f"{tmp_path / 'src/xcodec/__init__.py'} ('torch',) (1, 4, 9)"


def test_the_functions_in_cpp_take_what_python_passes():
    declared = {}
    for path in (ROOT / "src/xcodec/kernels").glob("*.cpp"):
        for name, arguments in re.findall(r"XCODEC_EXPORT int (\w+)\(([^)]+)\)", path.read_text()):
            words = [argument.replace("*", "* ").split() for argument in arguments.split(",")]
            declared[name] = {argument[-1]: " ".join(argument[:-1]) for argument in words}
    kinds = {ctypes.c_int: {"int"}, ctypes.c_int64: {"int64_t"}}
    assert declared.keys() == SIGNATURES.keys()
    for function, arguments in SIGNATURES.items():
        assert list(declared[function]) == list(arguments)
        for name, kind in arguments.items():
            found = declared[function][name]
            assert found in kinds.get(kind, {found}), f"{function}: {name} is {found} in C++, {kind.__name__} in Python"
            assert ("*" in found or "ParallelFor" in found) == (kind is ctypes.c_void_p)


@pytest.mark.parametrize("interface", ["", "int xcodec_interface(void) { return 1000; }"], ids=["none", "other"])
def test_a_library_of_other_sources_is_reported_and_torch_serves(tmp_path, interface):
    """What a checkout keeps of an older build: its functions take other arguments, and calling them would crash."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("needs apt-get install gcc")
    package = tmp_path / "xcodec"
    shutil.copytree(ROOT / "src" / "xcodec", package, ignore=shutil.ignore_patterns("*.so", *BUILT_IN))
    (package / "mini").symlink_to(BUILT_IN["mini"])
    (tmp_path / "old.c").write_text(interface + "int xcodec_variants(void) { return 7; }")
    command = [compiler, "-shared", "-fPIC", tmp_path / "old.c", "-o", package / "kernels" / "libxcodec.so"]
    subprocess.run(command, check=True)
    code = (
        "import sys; from xcodec import Codec, kernels; from xcodec.cli import main; assert kernels.is_stale();"
        f"print(Codec.from_pretrained().encode({str(ROOT / 'tests/audio/austen-0880.wav')!r}).ids.shape);"
        "sys.argv = ['xcodec', 'info', 'mini']; main()"
    )
    told = shown(code, PYTHONPATH=str(tmp_path), XCODEC_KERNEL="", COLUMNS="200")
    assert told.stdout.startswith("(1, 150)"), told.stderr
    assert "torch; what is compiled is of another version, install xcodec again" in told.stdout
    assert told.stderr.count("libxcodec.so has another interface than this xcodec's kernel and is not used") == 1
