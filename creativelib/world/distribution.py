"""The exact distribution of the Menagerie's factors.

p(factors | category) = 0.97 * sum_s w_s prod_f [(1 - leak) table_s,f + leak uniform_f] + 0.03 prod_f uniform_f

The last term is "the wild": every combination alike. Both parts are mixtures of products, so probabilities, marginals and
conditionals are exact sums; nothing is estimated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .plan import Category

LEAK = 0.02
WILD = 0.03


@dataclass(frozen=True)
class Given:
    """What a caption says: a species or none, values of factors, a style or none."""

    category: str
    species: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    style: str | None = None


@dataclass(frozen=True)
class Truth:
    """One category's mixture. Its last component is the wild.

    log_weights: (s + 1,) nats. log_tables: (s + 1, f, v) nats, -inf beyond a factor's values.
    allowed: (s, f, v) the values in a species' own table, leak apart.
    """

    category: Category
    log_weights: Float[Tensor, "s1"]
    log_tables: Float[Tensor, "s1 f v"]
    allowed: Bool[Tensor, "s f v"]

    @classmethod
    def of(cls, category: Category) -> "Truth":
        factors = category.factors
        species = list(category.species.values())
        width = max(len(f.values) for f in factors)
        uniform = torch.zeros(len(factors), width, dtype=torch.float64)
        tables = torch.zeros(len(species), len(factors), width, dtype=torch.float64)
        for j, factor in enumerate(factors):
            values = list(factor.values)
            uniform[j, : len(values)] = 1 / len(values)
            for i, table in enumerate(species):
                entry = table[factor.name]
                for value, share in ({entry: 1.0} if isinstance(entry, str) else entry).items():
                    tables[i, j, values.index(value)] = share
        mixed = torch.cat([(1 - LEAK) * tables + LEAK * uniform, uniform[None]])
        weights = torch.full((len(species) + 1,), (1 - WILD) / len(species), dtype=torch.float64)
        weights[-1] = WILD
        return cls(category, weights.log(), mixed.log(), tables > 0)

    def joint(
        self, factors: Int[Tensor, "n f"], visible: Bool[Tensor, "n f"] | None = None
    ) -> Float[Tensor, "n s1"]:
        """log p(component, visible factors) in nats; what is not visible is summed out."""
        index = factors.long().cpu().T[None, :, :].expand(len(self.log_weights), -1, -1)
        each = self.log_tables.gather(2, index)
        if visible is not None:
            each = torch.where(visible.cpu().T[None], each, 0.0)
        return (self.log_weights[:, None] + each.sum(1)).T

    def _where(self, name: str, value: str) -> tuple[int, int]:
        """A factor's place and its value's. Raises ValueError for a name the category does not have."""
        j = [f.name for f in self.category.factors].index(name)
        return j, list(self.category.factors[j].values).index(value)

    def _evidence(self, given: Given, log_weights: Float[Tensor, "s1"]) -> Float[Tensor, "s1"]:
        """log p(component, what the caption says) in nats."""
        evidence = log_weights
        if given.species is not None:
            kept = list(self.category.species).index(given.species)
            evidence = torch.full_like(log_weights, -torch.inf).index_copy(
                0, torch.tensor([kept]), log_weights[[kept]]
            )
        for name, value in given.values.items():
            j, v = self._where(name, value)
            evidence = evidence + self.log_tables[:, j, v]
        return evidence

    def log_prob(
        self,
        factors: Int[Tensor, "n f"],
        given: Given | None = None,
        visible: Bool[Tensor, "n f"] | None = None,
    ) -> Float[Tensor, "n"]:
        """log p(visible factors | category, caption) in nats; -inf where the caption says otherwise. A species in a caption
        leaves that species' component alone; values of factors condition the mixture."""
        joint = self.joint(factors, visible)
        if given is None:
            return joint.logsumexp(1)
        evidence = self._evidence(given, self.log_weights)
        fits = torch.ones(len(factors), dtype=torch.bool)
        for name, value in given.values.items():
            j, v = self._where(name, value)
            fits &= factors[:, j].cpu() == v
        joint = torch.where(evidence > -torch.inf, joint, -torch.inf)
        return torch.where(fits, joint.logsumexp(1) - evidence.logsumexp(0), -torch.inf)

    def posterior(self, factors: Int[Tensor, "n f"]) -> Float[Tensor, "n s1"]:
        """p(component | factors); the last column is the wild."""
        return self.joint(factors).softmax(1)

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        wild: float | None = None,
        given: Given | None = None,
    ) -> tuple[Int[Tensor, "n f"], Int[Tensor, "n"]]:
        """Draw factors and the component each came from (the last is the wild). `wild` replaces its share, before what is
        `given` counts."""
        weights = self.log_weights.exp()
        if wild is not None:
            weights = torch.cat(
                [weights[:-1] * (1 - wild) / weights[:-1].sum(), weights.new_tensor([wild])]
            )
        if given is not None:
            weights = self._evidence(given, weights.log()).softmax(0)
        component = torch.multinomial(weights, n, replacement=True, generator=generator)
        tables = self.log_tables[component].exp().flatten(0, 1)
        factors = torch.multinomial(tables, 1, generator=generator).view(n, -1)
        for name, value in given.values.items() if given is not None else ():
            j, v = self._where(name, value)
            factors[:, j] = v
        return factors, component

    def outside(self, factors: Int[Tensor, "n f"]) -> Bool[Tensor, "n s f"]:
        """Which values lie outside each species' own table."""
        index = factors.long().cpu().T[None].expand(len(self.allowed), -1, -1)
        return ~self.allowed.gather(2, index).permute(2, 0, 1)
