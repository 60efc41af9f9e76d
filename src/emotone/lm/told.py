"""A chat model that is told in words which emotion to answer in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from emotone.emotions import EmotionMix
from emotone.lm.batching import Task
from emotone.lm.chat import prompt_ids, system_prompt
from emotone.lm.decode import Written, stream, write
from emotone.lm.likelihood import reply_nats
from emotone.requests import check_request
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, Reply

if TYPE_CHECKING:
    from emotone.models import CausalLM


class Told:
    """What systems share whose model reads the emotion in its system prompt; each has a name.

    Args:
        lm: The chat model.
        capabilities: What it can be asked for.
        system: System prompt before the emotion; "" leaves it to the chat template.
        batch: Rows a forward pass.
    """

    name: ClassVar[str]
    capabilities: Capabilities

    def __init__(
        self, lm: CausalLM, capabilities: Capabilities, *, system: str, batch: int
    ) -> None:
        self.capabilities = capabilities
        self.lm = lm
        self.system = system
        self._batch = batch

    def prompt(self, dialogue: Dialogue, emotion: EmotionMix | None) -> list[int]:
        """Token ids of what the model reads."""
        return prompt_ids(self.lm.tokenizer, dialogue, system_prompt(self.system, emotion))

    def reply(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        *,
        decoding: Decoding,
        empathy: Sequence[EmpathyLevels | None] | None = None,
    ) -> list[Reply]:
        """Answer each dialogue, told its emotion."""
        check_request(self.name, self.capabilities, dialogues, emotions, empathy, decoding)
        prompts = [self.prompt(d, e) for d, e in zip(dialogues, emotions, strict=True)]
        replies: list[Reply] = []
        for start in range(0, len(prompts), self._batch):
            part = prompts[start : start + self._batch]
            seeds = [decoding.seed + start + i for i in range(len(part))]
            written = write(
                self.lm.model, self.lm.tokenizer, part, decoding, seeds, stop=self.lm.stop
            )
            for i, out in enumerate(written, start):
                replies.append(self._reply(out, emotions[i], decoding.seed + i))
        return replies

    def _reply(self, out: Written, emotion: EmotionMix | None, seed: int) -> Reply:
        applied = {"tier": "none", "told": system_prompt("", emotion)}
        return Reply(
            out.text,
            emotion,
            self.name,
            self.lm.name,
            seed,
            out.tokens,
            out.logprob,
            applied,
            out.finish_reason,
        )

    def task(
        self,
        dialogue: Dialogue,
        emotion: EmotionMix | None,
        *,
        decoding: Decoding,
        streaming: bool = False,  # noqa: ARG002 - there is one candidate in any case
        own_words: bool = False,  # noqa: ARG002 - which the model writes
    ) -> Task:
        """Describe a reply that is written in a running batch; the same as `reply` gives."""
        check_request(self.name, self.capabilities, [dialogue], [emotion], decoding=decoding)

        def finish(written: Sequence[Written]) -> Reply:
            return self._reply(written[0], emotion, decoding.seed)

        return Task(self.lm, self.prompt(dialogue, emotion), decoding, [decoding.seed], finish)

    def nats(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        replies: Sequence[str],
    ) -> list[tuple[float, int]]:
        """Return nats and tokens of given replies, told their emotions as in `reply`."""
        check_request(self.name, self.capabilities, dialogues, emotions)
        prompts = [self.prompt(d, e) for d, e in zip(dialogues, emotions, strict=True)]
        return reply_nats(
            self.lm.model,
            self.lm.tokenizer,
            list(zip(prompts, replies, strict=True)),
            batch=self._batch,
        )

    def stream(
        self, dialogue: Dialogue, emotion: EmotionMix | None, *, decoding: Decoding
    ) -> Iterator[str]:
        """Yield one reply while it is written."""
        check_request(self.name, self.capabilities, [dialogue], [emotion], decoding=decoding)
        prompt = self.prompt(dialogue, emotion)
        return stream(
            self.lm.model,
            self.lm.tokenizer,
            prompt,
            decoding,
            decoding.seed,
            stop=self.lm.stop,
        )
