"""The training loop shared by all models: bfloat16 where it pays, averaged weights, atomic checkpoints, resume to the same result."""

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import tqdm

from ..files import atomic_write, cache_folder
from .muon import Muon
from .precision import fast_precision

MEMORY = (
    "step",
    "exp_avg",
    "exp_avg_sq",
    "momentum_buffer",
)  # what AdamW and Muon remember of a parameter


@dataclass(frozen=True)
class Recipe:
    """How long and how fast. The learning rates rise for `warmup` steps, then fall along a cosine to 2 % of their peaks.
    `average` is the decay of the averaged weights, which are what is kept."""

    name: str
    steps: int
    batch: int
    lr: float
    warmup: int = 100
    weight_decay: float = 0.01
    average: float = 0.998
    seed: int = 0
    muon: float = (
        0.0  # learning rate of Muon for the matrices of transformer blocks; 0 leaves them to AdamW
    )
    save_every: float = 60.0  # seconds


@dataclass(frozen=True)
class Run:
    """Where a stage runs, after how many minutes it ends (None: after its recipe's steps), and which stages' weights it
    waits for."""

    device: torch.device
    minutes: float | None = None
    after: tuple[str, ...] = ()

    def part(self, share: float) -> float | None:
        """A share of the minutes."""
        return None if self.minutes is None else share * self.minutes


def rate(recipe: Recipe, step: float) -> float:
    """The learning rate at a step, as a share of its peak."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    t = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * min(1.0, t)))


def inner(name: str, p: nn.Parameter) -> bool:
    """Whether a parameter is a matrix or a filter bank between a network's first and last layers, which is what Muon is for."""
    if p.ndim == 4:
        return not any(part in name for part in ("embedding", "conv_in", "conv_out"))
    return p.ndim == 2 and any(
        part in name
        for part in (".layers.", ".layer.", "resblocks.", "transformer_blocks.", "attentions.")
    )


def as_matrix(bank: Tensor, last: bool) -> Tensor:
    """A filter bank as a matrix, one row a filter. `last`: its channels come last, in the order in which a bank that
    lies in memory that way can be seen as a matrix without a copy."""
    return (bank.permute(0, 2, 3, 1) if last else bank).reshape(len(bank), -1)


class Optimizers:
    """AdamW; and Muon (Jordan et al. 2024) for inner weights, with which transformers learned in half the steps here.

    Muon takes matrices only: it gets filter banks as matrices that share their memory, one row a filter.
    """

    def __init__(self, params: dict[str, nn.Parameter], recipe: Recipe) -> None:
        chosen = {k for k, p in params.items() if recipe.muon and inner(k, p)}
        self.params = params
        banks = {k: p for k, p in params.items() if k in chosen and p.ndim == 4}
        self.last = {k: not p.is_contiguous() for k, p in banks.items()}
        self.owned = params | {
            k: nn.Parameter(as_matrix(p.data, self.last[k])) for k, p in banks.items()
        }
        rest = [p for k, p in self.owned.items() if k not in chosen]
        adam = torch.optim.AdamW(
            rest, lr=recipe.lr, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
        )
        self.parts: list[torch.optim.Optimizer] = [adam]
        if chosen:
            self.parts.append(
                Muon(
                    [self.owned[k] for k in chosen],
                    lr=recipe.muon,
                    weight_decay=recipe.weight_decay,
                )
            )
        self.peaks = [part.param_groups[0]["lr"] for part in self.parts]
        self.owner = {k: self.parts[k in chosen] for k in params}

    def step(self, rate: float) -> None:
        """One step with a share of the learning rates' peaks."""
        for part, peak in zip(self.parts, self.peaks, strict=True):
            part.param_groups[0]["lr"] = peak * rate
        for k, p in self.params.items():
            self.owned[k].grad = (
                as_matrix(p.grad, self.last[k]) if k in self.last and p.grad is not None else p.grad
            )
        for part in self.parts:
            part.step()

    def state(self) -> dict[str, Tensor]:
        return {
            f"{name}.{k}": value
            for k, p in self.owned.items()
            for name, value in self.owner[k].state[p].items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        for k, p in self.owned.items():
            # A count of steps stays on the CPU, where AdamW keeps it.
            self.owner[k].state[p] = {
                name: state[f"{name}.{k}"] if name == "step" else state[f"{name}.{k}"].to(p.device)
                for name in MEMORY
                if f"{name}.{k}" in state
            }


def generator(recipe: Recipe, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The randomness of one step depends on the seed and the step alone, so a resumed run repeats an unbroken one."""
    return torch.Generator(device).manual_seed(recipe.seed * 1_000_003 + step)


def save_atomically(tensors: dict[str, Tensor], facts: dict, file: Path) -> None:
    """Write a safetensors file with json facts in its header; a crash leaves the old file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as part:
        save_file(
            {k: v.contiguous() for k, v in tensors.items()}, part, {"facts": json.dumps(facts)}
        )


def read_facts(file: Path) -> dict:
    from safetensors import safe_open

    with safe_open(file, "pt") as f:
        return json.loads(f.metadata()["facts"])


def train(
    model: nn.Module,
    loss: Callable[[int, torch.Generator], dict[str, Tensor]],
    recipe: Recipe,
    carried: Mapping[str, Tensor] | None = None,
    file: Path | None = None,
    minutes: float | None = None,
) -> dict:
    """Minimise `loss(step, generator)["loss"]` over the parameters of `model`, then load the averaged weights into it.

    `carried` are tensors that the loss itself changes from step to step, in place: they are kept with the checkpoint
    and put back. The checkpoint is `file`, by default one in the cache folder. With `minutes` the run ends after that
    time if not after `recipe.steps`, and the learning rate falls with whichever share is larger; called again with
    more minutes, it goes on.
    The generator is the model's device's, and so must be what is drawn from it.

    Returns facts for the model card: steps, seconds, last losses. Raises FloatingPointError on a loss that is not
    finite; the last checkpoint is then still good.
    """
    params = {k: p for k, p in model.named_parameters() if p.requires_grad}
    average = {k: p.detach().clone() for k, p in params.items()}
    optimizers = Optimizers(params, recipe)
    carried = {f"carried.{k}": v for k, v in (carried or {}).items()}
    file = file or cache_folder() / "training" / f"{recipe.name}.safetensors"
    place = next(iter(params.values())).device
    step = 0
    seconds = 0.0
    lost = 0.0  # of the minutes: the first steps compile networks and fill pools, and say nothing about the pace
    smooth: dict[str, Tensor] = {}
    if file.exists():
        state = load_file(file)
        facts = read_facts(file)
        step = facts["step"]
        seconds = facts["seconds"]
        lost = facts["lost"]
        smooth = {k: torch.tensor(v, device=place) for k, v in facts["losses"].items()}
        for k, p in params.items():
            p.data.copy_(state[f"model.{k}"])
            average[k].copy_(state[f"average.{k}"])
        for k, value in carried.items():
            value.copy_(state[k])
        if step:
            optimizers.load(state)

    def losses() -> dict[str, float]:
        return {k: v.item() for k, v in smooth.items()}

    def check() -> None:
        if not torch.isfinite(smooth["loss"]):
            raise FloatingPointError(
                f"{recipe.name}: the loss is {smooth['loss'].item()} at step {step}; "
                f"last good state in {file}"
            )

    def save() -> None:
        check()
        state = {f"model.{k}": p.data for k, p in params.items()} | {
            f"average.{k}": a for k, a in average.items()
        }
        about = {"step": step, "seconds": seconds, "lost": lost, "losses": losses()}
        save_atomically(state | carried | optimizers.state(), about, file)

    def share() -> float:
        """How much of the run is over."""
        return max(step / recipe.steps, seconds / max(1.0, 60 * minutes - lost) if minutes else 0.0)

    bar = tqdm(desc=recipe.name, initial=step, total=recipe.steps, mininterval=10)
    saved = clock = time.monotonic()
    settled = step + 3
    model.train()
    # The plain attention kernel on a CPU: the fused one's gradient is several times slower there.
    kernel = partial(sdpa_kernel, SDPBackend.MATH) if place.type == "cpu" else nullcontext
    while share() < 1:
        with fast_precision(place.type), kernel():
            terms = loss(step, generator(recipe, step, place))
        for p in params.values():
            p.grad = None
        terms["loss"].backward()
        smooth = {
            k: v.detach() if k not in smooth else smooth[k].lerp(v.detach().to(smooth[k]), 0.02)
            for k, v in terms.items()
        }
        # Once not finite, the smoothed loss stays so. A look at it makes a GPU wait, so there it is taken now and then.
        seen = place.type == "cpu" or step % 20 == 0 or step < settled
        if seen:
            check()
        nn.utils.clip_grad_norm_(params.values(), 1.0)
        optimizers.step(rate(recipe, min(recipe.steps - 1.0, share() * recipe.steps)))
        decay = min(recipe.average, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(average.values()), [p.data for p in params.values()], 1 - decay)
        step += 1
        passed = time.monotonic() - clock
        clock += passed
        if minutes and step <= settled:
            lost += passed
        else:
            seconds += passed
        bar.update()
        if seen and step % 20 == 1:
            bar.set_postfix({k: f"{v:.4f}" for k, v in losses().items()}, refresh=False)
        if (seen and clock - saved > recipe.save_every) or share() >= 1:
            save()
            saved = clock
    bar.close()
    for k, p in params.items():
        p.data.copy_(average[k])
    model.eval()
    return {
        "steps": step,
        "batch": recipe.batch,
        "lr": recipe.lr,
        "seed": recipe.seed,
        "seconds": round(seconds),
        "losses": losses(),
    }
