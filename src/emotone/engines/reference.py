"""What transformers gives for a prompt, with a mood and without: the reference of a proof."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from emotone.engines.mood import MoodOf
from emotone.lm.chat import prompt_ids
from emotone.lm.decode import write
from emotone.models.token_ids import text_ids
from emotone.types import Decoding, Dialogue

if TYPE_CHECKING:
    from emotone.models import CausalLM


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A model in transformers, and a mood to put on it.

    Args:
        lm: The model, with the adapters that its moods need merged in.
        mood: The mood; None, and one without doses, change nothing.
        system: System prompt of the probes; "" for none.
    """

    lm: CausalLM
    mood: MoodOf[Any] | None = None
    system: str = ""

    def prompt(self, post: str) -> list[int]:
        """Return the token ids of a post in the model's chat format."""
        return prompt_ids(self.lm.tokenizer, Dialogue.of(post), self.system)

    def ids(self, text: str) -> list[int]:
        """Return the token ids of a text without marks."""
        return text_ids(self.lm.tokenizer, text)

    def replies(self, posts: Sequence[str], tokens: int, *, moody: bool) -> list[str]:
        """Write the greedy reply to each post, without penalties.

        Args:
            posts: What is answered.
            tokens: Longest reply.
            moody: Whether the mood is on.
        """
        decoding = Decoding(
            "greedy", max_tokens=tokens, repetition_penalty=1.0, no_repeat=0, sentence_end_after=1.0
        )
        prompts = [self.prompt(post) for post in posts]
        with self._on(moody):
            written = write(
                self.lm.model,
                self.lm.tokenizer,
                prompts,
                decoding,
                [0] * len(prompts),
                stop=self.lm.stop,
            )
        return [reply.text for reply in written]

    @torch.inference_mode()
    def logprobs(self, prompt: Sequence[int], reply: Sequence[int], *, moody: bool) -> list[float]:
        """Score a prompt and its reply in one pass.

        Args:
            prompt: Token ids, P of them.
            reply: Token ids, R of them; may be empty.
            moody: Whether the mood is on.

        Returns:
            Log-probability of each token but the first, in nats, P + R - 1 of them.
        """
        model: Any = self.lm.model
        ids = torch.tensor([[*prompt, *reply]], device=next(model.parameters()).device)
        with self._on(moody, len(prompt)):
            logits = model(
                input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False
            ).logits[0, :-1]
        return logits.float().log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0].tolist()

    def _on(self, moody: bool, prompt_length: int | None = None) -> AbstractContextManager[Any]:
        if not moody or self.mood is None:
            return nullcontext()
        return self.mood.moods.steer(
            self.lm.model, raw_scale=self.mood.doses, prompt_length=prompt_length
        )
