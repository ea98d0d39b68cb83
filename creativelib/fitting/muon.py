"""Muon (Jordan et al. 2024): momentum whose matrix is made orthogonal.

Every direction of a weight then learns equally fast.

`torch.optim.Muon` computes the same in bfloat16, which takes a hundred times as long on processors
without bfloat16 units. It also takes one matrix at a time, which takes a GPU longer than the rest
of a step.
"""

import torch
from jaxtyping import Float
from torch import Tensor

# The quintic's coefficients in Jordan's post: steep at zero, singular values end near 1.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonal(matrices: Float[Tensor, "*n a b"]) -> Float[Tensor, "*n a b"]:
    """Approximate U V' of each matrix's singular value decomposition U S V'.

    It runs a Newton-Schulz iteration in float32.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    flat = matrices.reshape(-1, *matrices.shape[-2:])
    x = flat.mT if tall else flat
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return (x.mT if tall else x).reshape(matrices.shape)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum of 0.95 with orthogonal steps and decoupled weight decay.

    The steps are as large as AdamW's typically are (Liu et al. 2025). It takes matrices only.
    """

    def __init__(self, params: list[torch.nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": 0.95})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take one step with every matrix that has a gradient, matrices of one shape together."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
            for shape, params in by_shape.items():
                self._move(params, group, 0.2 * group["lr"] * max(shape) ** 0.5)

    def _move(self, params: list[Tensor], group: dict, size: float) -> None:
        """Take one step with matrices of one shape."""
        for p in params:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        gradients = [p.grad for p in params if p.grad is not None]
        buffers = [self.state[p]["momentum_buffer"] for p in params]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        nesterov = torch._foreach_lerp(gradients, buffers, group["momentum"])
        steps = orthogonal(torch.stack(nesterov))
        torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(params, list(steps.unbind()), alpha=-size)
