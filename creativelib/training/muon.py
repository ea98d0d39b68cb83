"""Muon (Jordan et al. 2024): momentum whose matrix is made orthogonal, so that every direction of a weight learns equally fast.

`torch.optim.Muon` computes the same in bfloat16, for which processors without bfloat16 units need a hundred times as long.
"""

import torch
from jaxtyping import Float
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # the quintic's coefficients in Jordan's post: steep at zero, singular values end near 1
ITERATIONS = 5


def orthogonal(matrix: Float[Tensor, "a b"]) -> Float[Tensor, "a b"]:
    """Roughly U V' of the singular value decomposition U S V', by a Newton-Schulz iteration in float32."""
    a, b, c = NEWTON_SCHULZ
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp_min(1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum of 0.95, orthogonal steps of AdamW's usual size (Liu et al. 2025), decoupled weight decay; for matrices only."""

    def __init__(self, params: list[torch.nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": 0.95})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p.grad)
                buffer = self.state[p]["momentum_buffer"]
                buffer.lerp_(p.grad, 1 - group["momentum"])
                step = orthogonal(p.grad.lerp(buffer, group["momentum"]))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(step, alpha=-0.2 * group["lr"] * max(p.shape) ** 0.5)
