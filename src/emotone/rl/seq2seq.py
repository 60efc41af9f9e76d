"""A policy that is an encoder-decoder model, such as T5: EmpRL's own kind."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from emotone.errors import RunError
from emotone.lm.batch import pad
from emotone.lm.decode import end_tokens
from emotone.lm.forward import Seq2SeqSteps, start_token
from emotone.models.token_ids import marks, rendered_ids
from emotone.rl.logprobs import ValueHead, policy_output
from emotone.rl.policy import PolicyOutput, Prompts, Replies, ReplyCodec
from emotone.rl.rollout import unique_prompts
from emotone.types import Dialogue


class Seq2SeqPolicy(nn.Module):
    """An encoder-decoder model with a value head and a frozen copy for reference.

    All weights of the model learn. The value head reads the decoder's last state.

    Source: EmpRL (arXiv 2408.02976) and trl 0.9.6. Differences: a dialogue that is too long loses
    its beginning, not its end, and dropout is off in the reference.

    Args:
        model: A T5ForConditionalGeneration, or another model of that form. It is trained in place.
        tokenizer: Its tokenizer.
        separator: What is put between the posts of a dialogue.
        max_prompt: Longest prompt in tokens; of a longer dialogue the end is kept.
        max_reply: Longest reply that is learned from, the end token included.
        values: Whether there is a value head; group baselines need none.
        value_dropout: Dropout before the value head.
        detach_values: Whether the value loss leaves the model's own weights alone.
        reference: Whether to copy the model now; without it `freeze_reference` makes the copy
            later, which spares the memory of a copy during a supervised stage.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        separator: str = " ",
        max_prompt: int = 200,
        max_reply: int = 50,
        values: bool = True,
        value_dropout: float = 0.1,
        detach_values: bool = False,
        reference: bool = True,
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.codec = ReplyCodec(
            tokenizer, tuple(dict.fromkeys(end_tokens(model, tokenizer))), max_reply
        )
        self._separator, self._max_prompt = separator, max_prompt
        width = int(self.model.config.hidden_size)
        self.value_head = (
            ValueHead(width, dropout=value_dropout, detach=detach_values).to(self._device)
            if values
            else None
        )
        self._reference: Any = None
        if reference:
            self.freeze_reference()
        self.eval()

    @property
    def module(self) -> nn.Module:
        """This module."""
        return self

    def encode(self, dialogues: Sequence[Dialogue]) -> list[list[int]]:
        """Token ids of each dialogue, its posts joined; what is too long loses its beginning."""
        tokenizer = self.codec.tokenizer
        return [source_ids(tokenizer, d, self._separator, self._max_prompt) for d in dialogues]

    def prompts(self, rows: Sequence[list[int]]) -> Prompts:
        """Pad prompts to a batch."""
        return Prompts(*pad(list(rows), self.codec.pad, left=False))

    @torch.no_grad()
    def generation(self, prompts: Prompts) -> Seq2SeqSteps:
        """Begin to write a batch of replies; equal prompts are read once."""
        prompts, rows = unique_prompts(prompts.to(self._device))
        return Seq2SeqSteps(self.model, prompts.ids, prompts.mask, rows=rows)

    def forward(self, prompts: Prompts, replies: Replies, *, values: bool = True) -> PolicyOutput:
        """Compute log-probabilities, entropy and values of replies, with gradients.

        Args:
            prompts: What is answered, B rows.
            replies: The answers, B rows of T tokens.
            values: Whether to compute values too.
        """
        prompts, replies = prompts.to(self._device), replies.to(self._device)
        return _output(self.model, prompts, replies, self.value_head if values else None)

    @torch.no_grad()
    def reference(self, prompts: Prompts, replies: Replies) -> Tensor:
        """Log-probabilities under the frozen reference, [B, T], without gradients; 0 at padding.

        Raises:
            RunError: If there is no reference yet.
        """
        if self._reference is None:
            raise RunError(
                "the policy has no reference yet; call freeze_reference() before reinforcement"
            )
        prompts, replies = prompts.to(self._device), replies.to(self._device)
        return _output(self._reference, prompts, replies, None, entropy=False).logprobs

    def freeze_reference(self) -> None:
        """Make the policy as it is now the reference from here on."""
        self._reference = None  # freed before the copy is made
        self._reference = copy.deepcopy(self.model).eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Switch dropout, which stays off in the reference."""
        super().train(mode)
        if self._reference is not None:
            self._reference.eval()
        return self

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


def _output(
    model: Any,
    prompts: Prompts,
    replies: Replies,
    value_head: ValueHead | None,
    *,
    entropy: bool = True,
) -> PolicyOutput:
    mask = prompts.mask.long()
    start = replies.tokens.new_full((len(replies), 1), start_token(model))
    inputs = torch.cat([start, replies.tokens[:, :-1]], dim=1)
    support = None if replies.support is None else replies.support[replies.mask]
    rows = embedding_rows(model, prompts.ids, inputs, support)
    encoded = model.get_encoder()(inputs_embeds=rows.prompts, attention_mask=mask)
    # Padding comes last, where no real token looks, so the decoder needs no mask.
    hidden = model.get_decoder()(
        inputs_embeds=rows.replies,
        encoder_hidden_states=encoded.last_hidden_state,
        encoder_attention_mask=mask,
        use_cache=False,
    ).last_hidden_state
    return policy_output(model, hidden, replies, value_head, entropy=entropy, rows=rows.support)


class EmbeddingRows(NamedTuple):
    """Rows of a model's embedding, looked up once a pass.

    Args:
        prompts: What the encoder reads, [B, P, d].
        replies: What the decoder reads, [B, T, d].
        support: The output layer's weights of the support, [N, K, d]; None without a support, or
            where the output layer has weights of its own.
    """

    prompts: Tensor
    replies: Tensor
    support: Tensor | None


def embedding_rows(
    model: Any, prompts: Tensor, replies: Tensor, support: Tensor | None
) -> EmbeddingRows:
    """Look up tokens with gradients, in one lookup where the embedding is shared.

    An encoder-decoder model reads the prompt, reads the reply and scores the support by one
    embedding. Three lookups make three gradients of its full size, most of it zeros, which are
    then added up: at 32,000 words that is a tenth of an update on a CPU. One lookup makes one.

    Args:
        model: An encoder-decoder model of transformers.
        prompts: Token ids, [B, P].
        replies: Token ids that go into the decoder, [B, T].
        support: Token ids to score, [N, K], or None.
    """
    encoder = model.get_encoder().get_input_embeddings()
    decoder = model.get_decoder().get_input_embeddings()
    output = model.get_output_embeddings()
    # An embedding of another type may do more than look up; BART's multiplies.
    if type(encoder) is not nn.Embedding or encoder.weight is not decoder.weight:
        return EmbeddingRows(encoder(prompts), decoder(replies), None)
    wanted = [prompts, replies]
    if support is not None and type(output) is nn.Linear and output.weight is encoder.weight:
        wanted.append(support)
    rows = encoder(torch.cat([ids.flatten() for ids in wanted])).split([x.numel() for x in wanted])
    rows = [x.view(*ids.shape, -1) for ids, x in zip(wanted, rows, strict=True)]
    return EmbeddingRows(rows[0], rows[1], rows[2] if len(rows) == 3 else None)


def source_ids(tokenizer: Any, dialogue: Dialogue, separator: str, longest: int) -> list[int]:
    """Return the token ids of a dialogue as a policy reads it: the end, if it is too long.

    Args:
        tokenizer: Its special tokens stay around what is kept.
        dialogue: The posts.
        separator: What is put between the posts.
        longest: Most tokens, special ones included.
    """
    ids = rendered_ids(tokenizer, [post.text for post in dialogue.posts], separator.join)
    before, after = marks(tokenizer)
    over = max(0, len(before) + len(ids) + len(after) - longest)
    return [*before, *ids[over:], *after]
