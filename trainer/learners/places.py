"""Places: closed forms on a backbone's features and on its maps, where things keep their places.

    h        [h₀, h₁, …]: the backbone's pooled features h₀, and maps flattened, a part each
    state    r₀ = ridge regression and class means on h₀;  r_l = ridge regression on h_l  (ridge.py)
             m_l = the mean square by which r_l's ridge misses each example, fitted to all others
             a_l ∝ b_l (m₀ / m_l)^(τ (1 − 1/K)),  Σ a_l fixed,  K = S / N
    predict  Σ_l a_l r_l(h_l)

A mean over places says what is in a picture and not where. A network that was trained on other
pictures names little of what is in these, and where it lies tells classes apart as well: a stroke,
an edge, a tone. Each part has a metric, a centre and a ridge of its own, so that a part of many
numbers weighs no more than one of few. What a part says of examples that it was not fitted to says
how far to trust it, in closed form as well. With one example a class nothing can be left out, and
parts count alike. b_l is 1, of parts beyond the third (1 − 1/K)²: maps from so far in front tell
less of photographs, and with few examples m_l does not say so yet. Nothing moves in steps, and one
example is enough.

Features of earlier layers in one linear classifier are Head2Toe's (Evci et al. 2022,
arXiv:2201.03529), which chooses among them by a penalty trained for each task; here all of a few
are kept, and the classifier is in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.form.learner import Learner, Variant, add_prefix, part
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.settings.errors import SettingError
from handful.trainer.settings.read import check_numbers

from .ridge import MOST, Ridge, RidgeConfig

# where α starts: at 5 the probabilities of three parts together are about as often right as they
# say, on MobileNetV1 and EfficientNet-Lite0 at home
SCALE = 5.0
TRUSTED = 3  # parts, the first, that count from one example a class on
LEAST = 1e-6  # added to m, where a part misses nothing


@dataclass(frozen=True, kw_only=True)
class PlacesConfig:
    """The hyperparameters."""

    parts: tuple[int, ...] = ()  # the sizes of h₀, h₁, …; none: one part, all features
    ridge: float = 0.1  # where λ starts
    class_means: float = 0.5  # μ, of the class means on h₀
    # τ: of 1 to 12, on Caltech-101's validation classes, spectrograms, edges and waste; 6 and 8 are
    # level, and on the first neither is below parts that count alike: benchmarks/parts.py
    sharpness: float = 6.0

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least={"class_means": 0, "sharpness": 0})


class Places(Learner):
    """A closed form on each part of the features."""

    name = "places"
    Config = PlacesConfig
    max_support = MOST

    def __init__(self, config: Any, spec: InputSpec, way: int) -> None:
        """The learner for features [D]."""
        super().__init__(config, spec, way)
        (features,) = spec.shape
        self.parts = tuple(config.parts) or (features,)
        if sum(self.parts) != features:
            raise SettingError(
                "parts", f"are {list(self.parts)}, which are not the {features} features"
            )
        self.forms = {
            f"part{i}.": Ridge(
                RidgeConfig(
                    ridge=config.ridge,
                    metric="power",
                    centre_support=True,
                    class_means=0.0 if i else config.class_means,
                ),
                InputSpec(kind="array", shape=(size,)),
                way,
            )
            for i, size in enumerate(self.parts)
        }

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """In four parts."""
        small = {"log_scale": torch.tensor(0.5)}
        return {"places": Variant(cls.Config(parts=(3, 3, 2, 2)), lambda params: params | small)}

    def init(self, generator: torch.Generator) -> Tensors:
        """log λ, log α and β, the same for all parts."""
        return {
            "log_scale": torch.tensor(math.log(SCALE)),
            "log_ridge": torch.tensor(math.log(self.config.ridge)),
            "intercept": torch.tensor(1.0),
        }

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """One stage without steps."""
        return (Stage(name="solution", init=self.solve),)

    def solve(self, params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
        """What each part's closed form keeps, under its prefix, and the parts' `weights` [L]."""
        solved: Tensors = {}
        squares = []
        for (prefix, form), x in zip(self.forms.items(), self._split(support.x), strict=True):
            found, missed = form.solve_and_leave_out(params, Support(x, support.y))
            solved |= add_prefix(found, prefix)
            squares.append(missed.square().mean() + LEAST)
        return {**solved, "weights": self._weigh(torch.stack(squares), support.y)}

    def _weigh(self, squares: Tensor, y: Tensor) -> Tensor:
        """a [L] of m [L], as much in all as the trusted parts' when they count alike."""
        some = 1 - y.sum(dim=0).clamp(max=1).sum() / y.sum()  # 1 − 1/K, of the classes present
        trusted = min(TRUSTED, len(self.parts))
        power = float(self.config.sharpness) * some * (squares[0].log() - squares.log())
        base = torch.ones_like(squares[:trusted])
        further = (some * some).expand(len(self.parts) - trusted)
        weights = torch.cat([base, further]) * power.exp()
        return trusted * weights / weights.sum()

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """The weighted sum of the parts' scores for h [Q, D]: [Q, N]."""
        scores = [
            form.predict(params, part(state, prefix), x)
            for (prefix, form), x in zip(self.forms.items(), self._split(query_x), strict=True)
        ]
        return (state["weights"][:, None, None] * torch.stack(scores)).sum(dim=0)

    def _split(self, h: Tensor) -> Sequence[Tensor]:
        """h [B, D] in its parts."""
        return torch.split(h, list(self.parts), dim=1)
