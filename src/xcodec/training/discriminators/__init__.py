"""What tells recordings from reconstructions while a codec is trained; none of it is needed to use one."""

from collections.abc import Iterable

from torch import Tensor, nn

from xcodec.modules.autocast import precise_on_cpu
from xcodec.training.discriminators.feature_maps import FeatureMaps
from xcodec.training.discriminators.multi_frequency import MultiFrequencyDiscriminator
from xcodec.training.discriminators.multi_period import MultiPeriodDiscriminator
from xcodec.training.discriminators.spectral import SpectralDiscriminator
from xcodec.training.sections import AdversarialRecipe

__all__ = [
    "Comparison",
    "Discriminators",
    "FeatureMaps",
    "MultiFrequencyDiscriminator",
    "MultiPeriodDiscriminator",
    "SpectralDiscriminator",
    "build_discriminators",
]


class Discriminators(nn.Module):
    """Several discriminators that judge as one."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, audio: Tensor) -> FeatureMaps:
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


class Comparison(nn.Module):
    """Discriminators that judge recordings and reconstructions apart, so that gradients may be taken of either."""

    def __init__(self, discriminators: Discriminators) -> None:
        super().__init__()
        self.discriminators = discriminators

    def forward(self, real: Tensor, fake: Tensor) -> tuple[FeatureMaps, FeatureMaps]:
        """Judge two of shape (clips, samples)."""
        return self.discriminators(real), self.discriminators(fake)
