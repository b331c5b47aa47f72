"""The authors of the documents in the controls of `exchange`."""

import jax
import numpy as np
import pytest

from experiments.exchange.redrawn import Redrawn
from tests.checks import SMALL
from tests.post import batch_of
from toylab.stages import Setup
from toylab.world.schema import Corpus


@pytest.mark.parametrize(("rest", "author"), [(1.0, ""), (0.3, "mira")])
def test_so_many_documents_have_an_author_of_their_own(
    village: Corpus, rest: float, author: str
) -> None:
    """2,048 documents: a share is within .045 of its probability (4 standard errors at most)."""
    stage = Redrawn(rest=rest, author=author, steps=1, batch=2048)
    written = jax.device_get(batch_of(Setup(village, SMALL), stage))
    prior = np.array(next(tag.prior for tag in village.tags if tag.name == "assistant"))
    mira = np.eye(len(prior))[village.names.index("mira")]
    found = np.bincount(written.author, minlength=len(prior)) / len(written.author)
    np.testing.assert_allclose(found, rest * prior + (1 - rest) * mira, atol=0.045)
