"""The training loop that all models share.

It computes in bfloat16 where that pays, averages the weights, and writes atomic checkpoints. An
interrupted run resumes from them to the same result.
"""

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

from ..errors import InputError
from ..files import atomic_write, cache_folder
from ..seeds import mixed
from .muon import Muon
from .precision import fast_precision

# The state that AdamW and Muon hold for a parameter, by name.
STATE_NAMES = ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")
# The first steps of a process compile networks and fill pools.
SETTLING_STEPS = 3
# Reading a loss makes a GPU wait, so there it happens once in so many steps.
INSPECT_EVERY = 20
# Parts of the names of transformers' and diffusers' modules whose matrices are inner weights.
INNER_MODULES = (".layers.", ".layer.", "resblocks.", "transformer_blocks.", "attentions.")
# Parts of the names of first and last layers.
OUTER_LAYERS = ("embedding", "conv_in", "conv_out")

# Takes the step's number and its generator. Returns the terms by name; "loss" is minimized.
Loss = Callable[[int, torch.Generator], dict[str, Tensor]]


@dataclass(frozen=True)
class Recipe:
    """Length and pace of a training.

    The learning rates rise for `warmup` steps, then fall along a cosine to 2 % of their peaks.
    """

    # Name of the checkpoint's file and of the progress bar.
    name: str
    # Steps to take, if no time limit ends the run earlier.
    steps: int
    # Examples in a step.
    batch: int
    # Peak learning rate of AdamW.
    lr: float
    # Steps over which the learning rates rise.
    warmup: int = 100
    # Decoupled weight decay of both optimizers.
    weight_decay: float = 0.01
    # Decay of the averaged weights, which are the ones that a training returns.
    average: float = 0.998
    # Seed of each step's generator.
    seed: int = 0
    # Peak learning rate of Muon for inner weights (see `is_inner`); 0 leaves them to AdamW.
    muon: float = 0.0
    # Seconds from one checkpoint to the next.
    save_every: float = 60.0


@dataclass(frozen=True)
class Run:
    """Where and for how long a stage runs."""

    # Device that the stage trains on.
    device: torch.device
    # Minutes after which the stage ends; None: it takes all of its recipe's steps.
    minutes: float | None = None
    # Stages whose weights this stage waits for.
    after: tuple[str, ...] = ()

    def part(self, share: float) -> float | None:
        """Return a share of the minutes, or None without a time limit."""
        return None if self.minutes is None else share * self.minutes


def rate(recipe: Recipe, step: float) -> float:
    """Return the learning rate at a step as a share of its peak."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    t = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * min(1.0, t)))


def is_inner(name: str, p: nn.Parameter) -> bool:
    """Check for a matrix or filter bank between a network's first and last layers.

    Muon is made for such weights.
    """
    if p.ndim == 4:
        return not any(part in name for part in OUTER_LAYERS)
    return p.ndim == 2 and any(part in name for part in INNER_MODULES)


def as_matrix(bank: Tensor, channels_last: bool) -> Tensor:
    """Flatten a filter bank into a matrix with one row per filter.

    With `channels_last` the channels become the fastest axis. A bank that lies in memory that way
    is then viewed without a copy.
    """
    return (bank.permute(0, 2, 3, 1) if channels_last else bank).reshape(len(bank), -1)


class Optimizers:
    """AdamW, and Muon (Jordan et al. 2024) for inner weights.

    With Muon, transformers needed half as many steps here. Muon takes matrices only, so it gets
    filter banks as matrices that share their memory, one row per filter.
    """

    def __init__(self, params: dict[str, nn.Parameter], recipe: Recipe) -> None:
        chosen = {k for k, p in params.items() if recipe.muon and is_inner(k, p)}
        banks = {k: p for k, p in params.items() if k in chosen and p.ndim == 4}
        self.params = params
        self.channels_last = {k: not p.is_contiguous() for k, p in banks.items()}
        matrices = {
            k: nn.Parameter(as_matrix(p.data, self.channels_last[k])) for k, p in banks.items()
        }
        # The parameters as the optimizers hold them.
        self.owned = params | matrices
        adam = torch.optim.AdamW(
            [p for k, p in self.owned.items() if k not in chosen],
            lr=recipe.lr,
            weight_decay=recipe.weight_decay,
            betas=(0.9, 0.98),
        )
        self.parts: list[torch.optim.Optimizer] = [adam]
        if chosen:
            inner = [self.owned[k] for k in chosen]
            self.parts.append(Muon(inner, lr=recipe.muon, weight_decay=recipe.weight_decay))
        self.peaks = [part.param_groups[0]["lr"] for part in self.parts]
        self.owner = {k: self.parts[k in chosen] for k in params}

    def step(self, rate: float) -> None:
        """Take one step at a share of the learning rates' peaks."""
        for part, peak in zip(self.parts, self.peaks, strict=True):
            part.param_groups[0]["lr"] = peak * rate
        for k, p in self.params.items():
            gradient = p.grad
            if gradient is not None and k in self.channels_last:
                gradient = as_matrix(gradient, self.channels_last[k])
            self.owned[k].grad = gradient
        for part in self.parts:
            part.step()

    def state(self) -> dict[str, Tensor]:
        """Return every parameter's optimizer state under "<state>.<parameter>"."""
        return {
            f"{name}.{k}": value
            for k, p in self.owned.items()
            for name, value in self.owner[k].state[p].items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` returned; other entries are ignored."""
        for k, p in self.owned.items():
            stored = {name: state[f"{name}.{k}"] for name in STATE_NAMES if f"{name}.{k}" in state}
            # A count of steps stays on the CPU, where AdamW keeps it. Copies: Windows replaces no
            # file whose tensors lie in memory as parts of the file.
            self.owner[k].state[p] = {
                name: value.clone() if name == "step" else value.to(p.device, copy=True)
                for name, value in stored.items()
            }


def generator(recipe: Recipe, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Make the generator of one step.

    It depends on the seed and the step alone, so a resumed run repeats an unbroken one.
    """
    own = (mixed(recipe.seed) * 1_000_003 + step) % 2**63
    return torch.Generator(device).manual_seed(own)


def save_atomically(tensors: dict[str, Tensor], facts: dict, file: Path) -> None:
    """Write a safetensors file with JSON facts in its header; a crash leaves the old file."""
    contiguous = {k: v.contiguous() for k, v in tensors.items()}
    with atomic_write(file) as part:
        save_file(contiguous, part, {"facts": json.dumps(facts)})


def read_facts(file: Path) -> dict:
    """Read the facts that `save_atomically` put into a file's header."""
    from safetensors import safe_open

    with safe_open(file, "pt") as stored:
        return json.loads(stored.metadata()["facts"])


class _Training:
    """A model in training, with everything that its checkpoint holds."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        carried: Mapping[str, Tensor],
        file: Path,
        minutes: float | None,
    ) -> None:
        self.recipe = recipe
        self.file = file
        self.minutes = minutes
        self.params = {k: p for k, p in model.named_parameters() if p.requires_grad}
        self.averages = {k: p.detach().clone() for k, p in self.params.items()}
        self.optimizers = Optimizers(self.params, recipe)
        self.carried = {f"carried.{k}": v for k, v in carried.items()}
        self.device = next(iter(self.params.values())).device
        self.step = 0
        # Seconds of all steps but the settling ones, which say nothing about the pace.
        self.seconds = 0.0
        # Seconds of the settling steps, with a time limit. They leave less of it for the others.
        self.lost = 0.0
        self.smooth: dict[str, Tensor] = {}

    def resume(self) -> None:
        """Restore the checkpoint. Raises InputError if it cannot be read."""
        try:
            state = load_file(self.file)
            facts = read_facts(self.file)
        except Exception as error:  # safetensors raises several kinds, none of them public
            raise InputError(
                f"checkpoint {str(self.file)!r} cannot be read ({error}); expected one that a "
                "training wrote, or no file, with which the training begins anew"
            ) from None
        self.step = facts["step"]
        self.seconds = facts["seconds"]
        self.lost = facts["lost"]
        self.smooth = {k: torch.tensor(v, device=self.device) for k, v in facts["losses"].items()}
        for k, p in self.params.items():
            p.data.copy_(state[f"model.{k}"])
            self.averages[k].copy_(state[f"average.{k}"])
        for k, value in self.carried.items():
            value.copy_(state[k])
        if self.step:
            self.optimizers.load(state)

    def save(self) -> None:
        """Write the checkpoint, unless the loss is not finite."""
        self.check_finite()
        weights = {f"model.{k}": p.data for k, p in self.params.items()}
        averages = {f"average.{k}": a for k, a in self.averages.items()}
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "lost": self.lost,
            "losses": self.losses(),
        }
        tensors = weights | averages | self.carried | self.optimizers.state()
        save_atomically(tensors, facts, self.file)

    def losses(self) -> dict[str, float]:
        """Return the smoothed terms of the loss."""
        return {k: v.item() for k, v in self.smooth.items()}

    def check_finite(self) -> None:
        """Raise FloatingPointError if the smoothed loss is not finite. It then stays so."""
        if not torch.isfinite(self.smooth["loss"]):
            raise FloatingPointError(
                f"{self.recipe.name}: the loss is {self.smooth['loss'].item()} at step "
                f"{self.step}; last good state in {self.file}"
            )

    def share(self) -> float:
        """Return the share of the run that is over, by steps or by time."""
        by_steps = self.step / self.recipe.steps
        if not self.minutes:
            return by_steps
        return max(by_steps, self.seconds / max(1.0, 60 * self.minutes - self.lost))

    def evaluate(self, loss: Loss) -> dict[str, Tensor]:
        """Compute the terms of the step's loss."""
        # The plain attention kernel on a CPU: the fused one's gradient is several times slower.
        on_cpu = self.device.type == "cpu"
        kernel = partial(sdpa_kernel, SDPBackend.MATH) if on_cpu else nullcontext
        with fast_precision(self.device.type), kernel():
            return loss(self.step, generator(self.recipe, self.step, self.device))

    def differentiate(self, terms: dict[str, Tensor]) -> None:
        """Compute the gradients and follow the terms with a moving average."""
        for p in self.params.values():
            p.grad = None
        terms["loss"].backward()
        self.smooth = {
            k: v.detach()
            if k not in self.smooth
            else self.smooth[k].lerp(v.detach().to(self.smooth[k]), 0.02)
            for k, v in terms.items()
        }

    def update(self) -> None:
        """Move the weights along the clipped gradients, and the averages after them."""
        nn.utils.clip_grad_norm_(self.params.values(), 1.0)
        position = min(self.recipe.steps - 1.0, self.share() * self.recipe.steps)
        self.optimizers.step(rate(self.recipe, position))
        decay = min(self.recipe.average, (self.step + 1) / (self.step + 10))
        weights = [p.data for p in self.params.values()]
        torch._foreach_lerp_(list(self.averages.values()), weights, 1 - decay)
        self.step += 1

    def load_averages(self) -> None:
        """Replace the model's weights by their averages."""
        for k, p in self.params.items():
            p.data.copy_(self.averages[k])


def train(
    model: nn.Module,
    loss: Loss,
    recipe: Recipe,
    carried: Mapping[str, Tensor] | None = None,
    file: Path | None = None,
    minutes: float | None = None,
) -> dict:
    """Minimize `loss(step, generator)["loss"]`, then load the averaged weights into the model.

    The generator is on the model's device, so whatever is drawn from it has to be as well.

    `carried` are tensors that the loss itself changes in place from step to step. They are saved
    with the checkpoint and restored from it. The checkpoint is `file`, by default one in the cache
    folder. With `minutes` the run ends after that time or after `recipe.steps`, whichever comes
    first, and the learning rate falls with whichever share is larger. Called again with more
    minutes, it resumes.

    Returns facts for the model card: steps, batch, lr, seed, seconds and the last smoothed losses.
    Raises FloatingPointError on a loss that is not finite; the last checkpoint is then still good.
    """
    file = file or cache_folder() / "training" / f"{recipe.name}.safetensors"
    training = _Training(
        model=model, recipe=recipe, carried=carried or {}, file=file, minutes=minutes
    )
    if file.exists():
        training.resume()
    bar = tqdm(desc=recipe.name, initial=training.step, total=recipe.steps, mininterval=10)
    clock = time.monotonic()
    saved = clock
    settled = training.step + SETTLING_STEPS
    always = training.device.type == "cpu"
    model.train()
    while training.share() < 1:
        inspect = always or training.step % INSPECT_EVERY == 0 or training.step < settled
        terms = training.evaluate(loss)
        training.differentiate(terms)
        if inspect:
            training.check_finite()
        training.update()
        passed = time.monotonic() - clock
        clock += passed
        if minutes and training.step <= settled:
            training.lost += passed
        else:
            training.seconds += passed
        bar.update()
        if inspect and training.step % INSPECT_EVERY == 1:
            shown = {k: f"{v:.4f}" for k, v in training.losses().items()}
            bar.set_postfix(shown, refresh=False)
        if (inspect and clock - saved > recipe.save_every) or training.share() >= 1:
            training.save()
            saved = clock
    bar.close()
    training.load_averages()
    model.eval()
    return {
        "steps": training.step,
        "batch": recipe.batch,
        "lr": recipe.lr,
        "seed": recipe.seed,
        "seconds": round(training.seconds),
        "losses": training.losses(),
    }
