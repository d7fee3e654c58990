"""The part common to learners with a frozen embedding network, which is at most pre-trained."""

from __future__ import annotations

from .embedding import EMBED, EmbeddingLearner

__all__ = ["EMBED", "FrozenNetworkLearner"]


class FrozenNetworkLearner(EmbeddingLearner):
    """A learner whose network is not meta-trained; where there is none, examples are features."""

    frozen_embed = True

    @property
    def trains_network(self) -> bool:
        """No."""
        return False
