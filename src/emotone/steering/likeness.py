"""How like the posts of everyday are to a post, as the model itself reads them.

    e(p) = V (h(p) - m) / |V (h(p) - m)|,    like(p, q) = e(p) . e(q)

h(p) is the mean over the tokens of p of what comes out of one block, where p stands alone behind
the first token of a text; m is its mean over everyday. V is linear. In English it is learned by
ridge regression from h to the vectors of a sentence encoder, of which the directions that vary most
stay; the encoder is not needed to use it. Where no encoder knows the language, V is the directions
that vary most in h itself, each number of h scaled to one length first.

Words alone (`data.everyday.nearest`) miss "I don't know a soul here" for "still know nobody". The
posts of everyday have been read once (recipes/companion/match.py), so that one short pass over the
post is all that it costs.

Source: Reimers and Gurevych 2020, knowledge distillation of sentence embeddings, here into a linear
map of a decoder's states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from emotone.errors import CheckpointError
from emotone.identity import digest
from emotone.steering.record import block_means

if TYPE_CHECKING:
    from emotone.data.everyday.nearest import Posts
    from emotone.models import CausalLM

#: The file, in the folder of a companion.
FILE = "likeness.safetensors"


@dataclass(frozen=True)
class Likeness:
    """A linear reading of posts, and what it reads off those of everyday.

    Args:
        block: Index of the block whose output is read.
        mean: m, [d].
        projection: V, [k, d].
        rows: e of each post of everyday, scaled to whole numbers from -127 to 127, [N, k] int8.
        posts: Hash of these posts, in order.
    """

    block: int
    mean: Tensor
    projection: Tensor
    rows: Tensor
    posts: str

    def all(self, lm: CausalLM, post: str) -> np.ndarray:
        """Return the likeness of each post of everyday to one, [N], -1 to 1.

        Args:
            lm: The model, with its adapters and not steered.
            post: The post.
        """
        own = self.embed(lm, [post])[0]
        return (self._table @ own).numpy()

    def embed(self, lm: CausalLM, posts: Sequence[str]) -> Tensor:
        """Return e of posts, [N, k] float32."""
        return embedded(states(lm, posts, self.block), self.mean, self.projection)

    @cached_property
    def _table(self) -> Tensor:
        return torch.nn.functional.normalize(self.rows.float(), dim=-1)

    def save(self, folder: Path) -> None:
        """Write it into a companion's folder, atomically."""
        from safetensors.torch import save

        from emotone.files import replacing

        tensors = {
            "mean": self.mean.half(), "projection": self.projection.half().contiguous(),
            "rows": self.rows,
        }  # fmt: skip
        blob = save(tensors, {"block": str(self.block), "posts": self.posts})
        with replacing(folder / FILE) as file:
            file.write_bytes(blob)


def states(lm: CausalLM, posts: Sequence[str], block: int) -> Tensor:
    """Return h of posts, [N, d] float32."""
    tokenizer: Any = lm.tokenizer
    first = int(tokenizer.bos_token_id or 0)
    return block_means(lm.model, tokenizer, [([first], post) for post in posts], block)


def embedded(hidden: Tensor, mean: Tensor, projection: Tensor) -> Tensor:
    """Return e of states, [N, k]."""
    return torch.nn.functional.normalize((hidden - mean) @ projection.T, dim=-1)


def whole(embeddings: Tensor) -> Tensor:
    """Scale embeddings so that the greatest number of each row is 127, [N, k] int8."""
    return (embeddings / embeddings.abs().amax(-1, keepdim=True) * 127).round().to(torch.int8)


def hash_of(posts: Posts) -> str:
    """Hash the posts that rows belong to."""
    return digest([line.post for line in posts.lines])


def beside(folder: Path) -> Likeness | None:
    """Read the file of a companion's folder; None where there is none.

    Raises:
        CheckpointError: If the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not (folder / FILE).is_file():
        return None
    try:
        with safe_open(folder / FILE, "pt") as file:  # pyright: ignore[reportUnknownVariableType]
            header = file.metadata()
            mean, projection, rows = map(file.get_tensor, ("mean", "projection", "rows"))
        block, posts = int(header["block"]), header["posts"]
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{folder / FILE} cannot be read ({error}); install emotone anew, or delete the file"
        ) from None
    return Likeness(block, mean.float(), projection.float(), rows, posts)
