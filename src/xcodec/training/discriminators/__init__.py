"""What tells recordings from reconstructions while a codec is trained; none of it is needed to use one."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from xcodec.training.discriminators.judgement import Judgement
from xcodec.training.discriminators.multi_frequency import MultiFrequencyDiscriminator
from xcodec.training.discriminators.multi_period import MultiPeriodDiscriminator
from xcodec.training.discriminators.spectral import SpectralDiscriminator
from xcodec.training.precision import precise_on_cpu
from xcodec.training.sections import AdversarialRecipe

__all__ = [
    "Discriminators",
    "Judgement",
    "MultiFrequencyDiscriminator",
    "MultiPeriodDiscriminator",
    "SpectralDiscriminator",
    "build_discriminators",
    "judged_unchanged",
    "real_and_fake",
]


class Discriminators(nn.Module):
    """Several discriminators that judge as one."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, audio: Tensor) -> Judgement:
        """Judge `audio` of shape (clips, samples): the judgements of all members, one after the other."""
        # On the CPU, torch 2.13 now and then gives garbage for the bfloat16 gradient of a convolution's weight, over
        # images that are a pixel or two wide.
        with precise_on_cpu(audio):
            return [judgement for member in self.members for judgement in member(audio)]


def build_discriminators(recipe: AdversarialRecipe | None, sampling_rate: int) -> Discriminators | None:
    """Build what a recipe lists, for audio of `sampling_rate` in Hz; None where it lists nothing."""
    if recipe is None:
        return None
    members: list[nn.Module] = []
    if recipe.multi_period is not None:
        members.append(MultiPeriodDiscriminator(**recipe.multi_period.model_dump()))
    if recipe.spectral is not None:
        members.append(SpectralDiscriminator(**recipe.spectral.model_dump()))
    if recipe.multi_frequency is not None:
        members.append(MultiFrequencyDiscriminator(**recipe.multi_frequency.model_dump(), sampling_rate=sampling_rate))
    return Discriminators(members) if members else None


def judged_unchanged(discriminators: Discriminators, audio: Tensor) -> Judgement:
    """Judge with weights that take no gradient, so that a generator learns from it and the discriminators do not."""
    weights = {name: parameter.detach() for name, parameter in discriminators.named_parameters()}
    judgement: Judgement = functional_call(discriminators, weights, (audio,))
    return judgement


def real_and_fake(judgement: Judgement) -> tuple[Judgement, Judgement]:
    """Take the judgement of a batch apart whose first half is real and whose second half is not."""
    halves = [[torch.chunk(features, 2) for features in one] for one in judgement]
    return [[real for real, _ in one] for one in halves], [[fake for _, fake in one] for one in halves]
