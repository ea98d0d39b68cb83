"""The exact distribution of the Menagerie's factors.

    p(factors | category) = 0.97 sum_s w_s prod_f [(1 - leak) table_s,f + leak uniform_f]
                            + 0.03 prod_f uniform_f

The last term is "the wild", in which every combination is equally likely. Both parts are mixtures
of products, so probabilities, marginals and conditionals are exact sums. Nothing is estimated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..errors import one_of
from .plan import Category

# Share of each factor that a species spreads evenly over all values.
LEAK = 0.02
# Share of pictures that belong to no species.
WILD = 0.03


@dataclass(frozen=True)
class Given:
    """The facts that a caption states."""

    category: str
    # None if the caption names no species.
    species: str | None = None
    # The stated values by the names of their factors.
    values: Mapping[str, str] = field(default_factory=dict)
    # None if the caption names no style.
    style: str | None = None


@dataclass(frozen=True)
class Truth:
    """One category's mixture of its s species and, as the last component, the wild."""

    category: Category
    # (s + 1,) log-weights of the components in nats.
    log_weights: Float[Tensor, "s1"]
    # (s + 1, f, v) log-probabilities of the values in nats, -inf beyond a factor's values.
    log_tables: Float[Tensor, "s1 f v"]
    # (s, f, v) whether a value is in a species' own table, which excludes the leak.
    allowed: Bool[Tensor, "s f v"]

    @classmethod
    def of(cls, category: Category) -> "Truth":
        """Build a category's mixture from the tables of its species."""
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
                shares = {entry: 1.0} if isinstance(entry, str) else entry
                for value, share in shares.items():
                    tables[i, j, values.index(value)] = share
        mixed = torch.cat([(1 - LEAK) * tables + LEAK * uniform, uniform[None]])
        weights = torch.full((len(species) + 1,), (1 - WILD) / len(species), dtype=torch.float64)
        weights[-1] = WILD
        return cls(
            category=category,
            log_weights=weights.log(),
            log_tables=mixed.log(),
            allowed=tables > 0,
        )

    def joint(
        self, factors: Int[Tensor, "n f"], visible: Bool[Tensor, "n f"] | None = None
    ) -> Float[Tensor, "n s1"]:
        """Compute log p(component, visible factors) in nats.

        Factors that are not `visible` are summed out. None means that all are visible.
        """
        index = factors.long().cpu().T[None, :, :].expand(len(self.log_weights), -1, -1)
        each = self.log_tables.gather(2, index)
        if visible is not None:
            each = torch.where(visible.cpu().T[None], each, 0.0)
        return (self.log_weights[:, None] + each.sum(1)).T

    def _index(self, name: str, value: str) -> tuple[int, int]:
        """Return the index of a factor and that of its value.

        Raises InputError if the category lacks the factor or the factor lacks the value.
        """
        names = [f.name for f in self.category.factors]
        one_of("factor", name, names)
        j = names.index(name)
        values = list(self.category.factors[j].values)
        one_of(name, value, values)
        return j, values.index(value)

    def _evidence(self, given: Given, log_weights: Float[Tensor, "s1"]) -> Float[Tensor, "s1"]:
        """Compute log p(component, facts of the caption) in nats."""
        evidence = log_weights
        if given.species is not None:
            one_of("species", given.species, self.category.species)
            species = list(self.category.species).index(given.species)
            evidence = torch.full_like(log_weights, -torch.inf).index_copy(
                0, torch.tensor([species]), log_weights[[species]]
            )
        for name, value in given.values.items():
            j, v = self._index(name, value)
            evidence = evidence + self.log_tables[:, j, v]
        return evidence

    def log_prob(
        self,
        factors: Int[Tensor, "n f"],
        given: Given | None = None,
        visible: Bool[Tensor, "n f"] | None = None,
    ) -> Float[Tensor, "n"]:
        """Compute log p(visible factors | category, caption) in nats.

        A species in the caption removes all components but its own. Values of factors condition the
        mixture. Rows that contradict the caption get -inf.
        """
        joint = self.joint(factors, visible)
        if given is None:
            return joint.logsumexp(1)
        evidence = self._evidence(given, self.log_weights)
        fits = torch.ones(len(factors), dtype=torch.bool)
        for name, value in given.values.items():
            j, v = self._index(name, value)
            fits &= factors[:, j].cpu() == v
        joint = torch.where(evidence > -torch.inf, joint, -torch.inf)
        return torch.where(fits, joint.logsumexp(1) - evidence.logsumexp(0), -torch.inf)

    def posterior(self, factors: Int[Tensor, "n f"]) -> Float[Tensor, "n s1"]:
        """Compute p(component | factors). The last column is the wild."""
        return self.joint(factors).softmax(1)

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        wild: float | None = None,
        given: Given | None = None,
    ) -> tuple[Int[Tensor, "n f"], Int[Tensor, "n"]]:
        """Draw factors, and the component that each row came from (the last is the wild).

        `wild` replaces the share of the wild in the mixture. `given` conditions the mixture after
        that.
        """
        weights = self.log_weights.exp()
        if wild is not None:
            named = weights[:-1] * (1 - wild) / weights[:-1].sum()
            weights = torch.cat([named, weights.new_tensor([wild])])
        if given is not None:
            weights = self._evidence(given, weights.log()).softmax(0)
        component = torch.multinomial(weights, n, replacement=True, generator=generator)
        tables = self.log_tables[component].exp().flatten(0, 1)
        factors = torch.multinomial(tables, 1, generator=generator).view(n, -1)
        for name, value in given.values.items() if given is not None else ():
            j, v = self._index(name, value)
            factors[:, j] = v
        return factors, component

    def outside(self, factors: Int[Tensor, "n f"]) -> Bool[Tensor, "n s f"]:
        """Tell which values lie outside each species' own table."""
        index = factors.long().cpu().T[None].expand(len(self.allowed), -1, -1)
        return ~self.allowed.gather(2, index).permute(2, 0, 1)
