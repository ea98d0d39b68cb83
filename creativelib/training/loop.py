"""The training loop shared by all models: bfloat16 where it pays, averaged weights, atomic checkpoints, resume to the same result."""

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import tqdm

from ..files import aside
from .data import cache_folder, fast_precision
from .muon import Muon

MEMORY = ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")  # what AdamW and Muon remember of a parameter


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
    muon: float = 0.0  # learning rate of Muon for the matrices of transformer blocks; 0 leaves them to AdamW
    save_every: float = 60.0  # seconds


def rate(recipe: Recipe, step: int) -> float:
    """The learning rate at a step, as a share of its peak."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    t = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * min(1.0, t)))


def inner(name: str, p: nn.Parameter) -> bool:
    """Whether a parameter is a matrix or a filter bank between a network's first and last layers, which is what Muon is for."""
    if p.ndim == 4:
        return not any(part in name for part in ("embedding", "conv_in", "conv_out"))
    return p.ndim == 2 and any(part in name for part in (".layers.", ".layer.", "resblocks.", "transformer_blocks.", "attentions."))


class Optimizers:
    """AdamW; and Muon (Jordan et al. 2024) for inner weights, with which transformers learned in half the steps here.

    Muon takes matrices only: it gets filter banks as matrices that share their memory, one row a filter.
    """

    def __init__(self, params: dict[str, nn.Parameter], recipe: Recipe) -> None:
        chosen = {k for k, p in params.items() if recipe.muon and inner(k, p)}
        self.params = params
        self.owned = {k: nn.Parameter(p.data.view(len(p), -1)) if k in chosen and p.ndim == 4 else p for k, p in params.items()}
        rest = [p for k, p in self.owned.items() if k not in chosen]
        adam = torch.optim.AdamW(rest, lr=recipe.lr, weight_decay=recipe.weight_decay, betas=(0.9, 0.98))
        self.parts: list[torch.optim.Optimizer] = [adam]
        if chosen:
            self.parts.append(Muon([self.owned[k] for k in chosen], lr=recipe.muon, weight_decay=recipe.weight_decay))
        self.peaks = [part.param_groups[0]["lr"] for part in self.parts]
        self.owner = {k: self.parts[k in chosen] for k in params}

    def step(self, rate: float) -> None:
        """One step with a share of the learning rates' peaks."""
        for part, peak in zip(self.parts, self.peaks, strict=True):
            part.param_groups[0]["lr"] = peak * rate
        for k, p in self.params.items():
            self.owned[k].grad = None if p.grad is None else p.grad.view_as(self.owned[k])
        for part in self.parts:
            part.step()

    def state(self) -> dict[str, Tensor]:
        return {f"{name}.{k}": value for k, p in self.owned.items() for name, value in self.owner[k].state[p].items()}

    def load(self, state: dict[str, Tensor]) -> None:
        for k, p in self.owned.items():
            # A count of steps stays on the CPU, where AdamW keeps it.
            self.owner[k].state[p] = {name: state[f"{name}.{k}"] if name == "step" else state[f"{name}.{k}"].to(p.device)
                                      for name in MEMORY if f"{name}.{k}" in state}


def generator(recipe: Recipe, step: int) -> torch.Generator:
    """The randomness of one step depends on the seed and the step alone, so a resumed run repeats an unbroken one."""
    return torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)


def save_atomically(tensors: dict[str, Tensor], facts: dict, file: Path) -> None:
    """Write a safetensors file with json facts in its header; a crash leaves the old file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with aside(file) as part:
        save_file({k: v.contiguous() for k, v in tensors.items()}, part, {"facts": json.dumps(facts)})


def read_facts(file: Path) -> dict:
    from safetensors import safe_open

    with safe_open(file, "pt") as f:
        return json.loads(f.metadata()["facts"])


def train(model: nn.Module, loss: Callable[[int, torch.Generator], dict[str, Tensor]], recipe: Recipe,
          carried: Mapping[str, Tensor] | None = None, file: Path | None = None) -> dict:
    """Minimise `loss(step, generator)["loss"]` over the parameters of `model`, then load the averaged weights into it.

    `carried` are tensors that the loss itself changes from step to step, in place: they are kept with the checkpoint and put back.
    The checkpoint is `file`, by default one in the cache folder.
    Returns facts for the model card: steps, seconds, last losses. Raises FloatingPointError on a loss that is not finite;
    the last checkpoint is then still good.
    """
    params = {k: p for k, p in model.named_parameters() if p.requires_grad}
    average = {k: p.detach().clone() for k, p in params.items()}
    optimizers = Optimizers(params, recipe)
    carried = {f"carried.{k}": v for k, v in (carried or {}).items()}
    file = file or cache_folder() / "training" / f"{recipe.name}.safetensors"
    start, seconds, smooth = 0, 0.0, {}
    if file.exists():
        state, facts = load_file(file), read_facts(file)
        start, seconds, smooth = facts["step"], facts["seconds"], facts["losses"]
        for k, p in params.items():
            p.data.copy_(state[f"model.{k}"])
            average[k].copy_(state[f"average.{k}"])
        for k, value in carried.items():
            value.copy_(state[k])
        if start:
            optimizers.load(state)

    def save(step: int) -> None:
        state = {f"model.{k}": p.data for k, p in params.items()} | {f"average.{k}": a for k, a in average.items()}
        save_atomically(state | carried | optimizers.state(), {"step": step, "seconds": seconds, "losses": smooth}, file)

    bar = tqdm(range(start, recipe.steps), desc=recipe.name, initial=start, total=recipe.steps, mininterval=10)
    saved = clock = time.monotonic()
    model.train()
    device = next(iter(params.values())).device.type
    for step in bar:
        # The plain attention kernel on a CPU: the fused one's gradient is several times slower there.
        kernel = sdpa_kernel(SDPBackend.MATH) if device == "cpu" else nullcontext()
        with fast_precision(device), kernel:
            terms = loss(step, generator(recipe, step))
        if not torch.isfinite(terms["loss"]):
            raise FloatingPointError(f"{recipe.name}: the loss is {terms['loss'].item()} at step {step}; last good state in {file}")
        for p in params.values():
            p.grad = None
        terms["loss"].backward()
        nn.utils.clip_grad_norm_(params.values(), 1.0)
        optimizers.step(rate(recipe, step))
        decay = min(recipe.average, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(average.values()), [p.data for p in params.values()], 1 - decay)
        smooth = {k: v.item() if k not in smooth else 0.98 * smooth[k] + 0.02 * v.item() for k, v in terms.items()}
        seconds, clock = seconds + time.monotonic() - clock, time.monotonic()
        if step % 20 == 0:
            bar.set_postfix({k: f"{v:.4f}" for k, v in smooth.items()}, refresh=False)
        if clock - saved > recipe.save_every or step + 1 == recipe.steps:
            save(step + 1)
            saved = clock
    for k, p in params.items():
        p.data.copy_(average[k])
    model.eval()
    return {"steps": recipe.steps, "batch": recipe.batch, "lr": recipe.lr, "seed": recipe.seed, "seconds": round(seconds), "losses": smooth}
