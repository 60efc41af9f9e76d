"""The bodies of requests, as OpenAI's clients write them and with what is ours beside it.

Ours are `emotion`, `mood`, `empathy`, `emotion_meter`, `emotion_guard`, `emotion_in_code`; clients
that send only known fields write them by `extra_body`, or the mood into the model's name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

Number = Annotated[float, Field(allow_inf_nan=False)]
Intensity = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Emotion = Annotated[
    StrictStr | dict[str, Intensity] | None,
    Field(
        description='"joy:60 + fear:20", {"joy": 60}, or a way through the reply: '
        '"joy:0 -> joy:80". Intensities run from -100 to 100. A way goes in lines from the first '
        "token to the token after which a reply ends with its sentence (0.6 of max_tokens), its "
        'stations at equal distances; "joy:0 -> joy:80 @ 24" is there at the 24th token.',
        examples=["joy:60 + fear:20"],
    ),
]


class Part(BaseModel):
    """A part of a message; only text is read."""

    model_config = ConfigDict(extra="allow")
    type: StrictStr
    text: StrictStr | None = None


class Message(BaseModel):
    """A turn of a conversation."""

    model_config = ConfigDict(extra="allow")
    role: StrictStr = Field(description="system, developer, user or assistant")
    content: StrictStr | list[Part] | None = None
    emotion: Emotion = None

    def parts(self) -> list[Part]:
        """Return the parts of a content that has some."""
        return self.content if isinstance(self.content, list) else []

    def text(self) -> str:
        """Return the content as one text."""
        if isinstance(self.content, list):
            return "\n".join(part.text or "" for part in self.content)
        return self.content or ""


class Mood(BaseModel):
    """How moods of earlier messages count."""

    model_config = ConfigDict(extra="forbid")
    half_life: Number = Field(gt=0, description="Turns after which half of a mood is left.")


class StreamOptions(BaseModel):
    """What a stream ends with."""

    model_config = ConfigDict(extra="allow")
    include_usage: StrictBool = False


class ResponseFormat(BaseModel):
    """The form of a reply; JSON is written without a mood, unless `emotion_in_code`."""

    model_config = ConfigDict(extra="allow")
    type: Literal["text", "json_object", "json_schema"] = "text"


class Request(BaseModel):
    """What the endpoints that write share."""

    model_config = ConfigDict(extra="allow")
    model: StrictStr = Field(
        "", description='A name of /v1/models, alone or with a mood: "smollm2@joy:60".'
    )
    emotion: Emotion = None
    empathy: StrictStr | None = Field(
        None,
        description="Levels 0 to 2 of empathy, for models that take them (/v1/emotions says so).",
        examples=["reaction:2 interpretation:1 exploration:0"],
    )
    emotion_guard: StrictBool = Field(True, description="Lower the dose where a loop begins.")
    emotion_in_code: StrictBool = Field(
        False, description="Push inside of code fences and JSON too."
    )
    temperature: Number | None = Field(None, ge=0, le=10)
    top_p: Number | None = Field(None, gt=0, le=1)
    top_k: StrictInt | None = Field(None, ge=0)
    n: StrictInt | None = Field(None, ge=1)
    seed: StrictInt | None = Field(None, ge=-(2**63), lt=2**63)
    stop: StrictStr | list[StrictStr] | None = None
    max_tokens: StrictInt | None = Field(None, ge=1)
    min_tokens: StrictInt | None = Field(None, ge=0)
    repetition_penalty: Number | None = Field(None, gt=0)
    no_repeat: StrictInt | None = Field(None, ge=0)
    stream: StrictBool | None = False
    stream_options: StreamOptions | None = None
    user: StrictStr | None = None


class ChatRequest(Request):
    """The body of /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: StrictInt | None = Field(None, ge=1)
    mood: Mood | None = None
    emotion_meter: StrictBool = Field(
        False, description="What the listener hears in each token, before and after the push."
    )
    response_format: ResponseFormat | None = None


class CompletionRequest(Request):
    """The body of /v1/completions; each prompt is a post that is answered."""

    prompt: StrictStr | list[StrictStr]
    echo: StrictBool | None = False


class ResponseRequest(Request):
    """The body of /v1/responses, without tools, streams and stored state."""

    input: StrictStr | list[Message]
    instructions: StrictStr | None = None
    max_output_tokens: StrictInt | None = Field(None, ge=1)
    store: StrictBool | None = None


#: Fields of OpenAI's that would change a reply and that nobody here honours, unless empty.
REFUSED = (
    "tools", "tool_choice", "functions", "function_call", "logit_bias", "logprobs",
    "top_logprobs", "presence_penalty", "frequency_penalty", "best_of", "suffix", "audio",
    "prediction", "web_search_options", "previous_response_id", "conversation", "background",
)  # fmt: skip
#: Fields that do not change a reply; they are taken and forgotten.
FORGOTTEN = frozenset({
    "metadata", "store", "service_tier", "parallel_tool_calls", "safety_identifier",
    "prompt_cache_key", "modalities", "reasoning_effort", "verbosity", "include", "truncation",
    "text", "reasoning", "name",
})  # fmt: skip


def extra_fields(body: BaseModel) -> dict[str, Any]:
    """Return what came with a body beside its own fields."""
    return body.model_extra or {}
