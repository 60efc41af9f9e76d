"""Prompts for chat templates that refuse the system role, demand alternation, or are broken."""

from __future__ import annotations

import pytest
from tests.unit.lm.toy_templates import CHATML, GEMMA, MISTRAL

from emotone.emotions import EKMAN, EmotionMix
from emotone.errors import CheckpointError, DataError, Unsupported
from emotone.lm.chat import prompt_ids
from emotone.models.tiny import byte_tokenizer, tiny_causal_lm
from emotone.rl.causal import chat_prompt
from emotone.steering.extract import ExtractSettings, extract
from emotone.systems.prompted import Config, Prompted
from emotone.types import Decoding, Dialogue, Example, Post, Speaker

ROLES = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
CONVERSATION = Dialogue(
    (Post("one"), Post("two"), Post("three", Speaker.ASSISTANT), Post("four"), Post("five"))
)
BROKEN = {
    "syntax": "{% for m in messages %}{{ m['content'] ",
    "raises": "{{ raise_exception('This model takes no text') }}",
    "type": "{{ messages[0]['content'] + 1 }}",
    "named": "{{ messages[0].images[0].size }}",
}


def shown(template: str, dialogue: Dialogue, system: str | None) -> str:
    """The prompt as text."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    return tokenizer.decode(prompt_ids(tokenizer, dialogue, system))


def test_a_system_prompt_goes_into_the_first_turn_where_its_role_is_refused() -> None:
    text = shown(GEMMA, Dialogue.of("Hello"), "Be kind.")
    assert "user\nBe kind.\n\nHello<end_of_turn>" in text
    assert text.count("Be kind.") == 1


def test_a_system_prompt_that_a_template_drops_goes_into_the_first_turn() -> None:
    silent = ROLES.replace("%}<", "%}{% if m['role'] in ('user', 'assistant') %}<").replace(
        "{% endfor", "{% endif %}{% endfor"
    )
    assert shown(silent, Dialogue.of("Hello"), "Be kind.") == "<user>Be kind.\n\nHello"


def test_a_developer_role_is_tried_where_the_system_role_is_refused() -> None:
    developer = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('use developer') }}{% endif %}"
    )
    text = shown(developer + ROLES, Dialogue.of("Hello"), "Be kind.")
    assert text == "<developer>Be kind.<user>Hello"


@pytest.mark.parametrize("template", [GEMMA, MISTRAL])
def test_turns_of_one_speaker_become_one_where_turns_must_alternate(template: str) -> None:
    text = shown(template, CONVERSATION, "Be kind.")
    assert "Be kind.\n\none\ntwo" in text
    assert "four\nfive" in text
    assert text.index("three") < text.index("four")


@pytest.mark.parametrize("system", ["Be kind.", ""])
def test_a_conversation_that_the_assistant_began_is_written_too(system: str) -> None:
    dialogue = Dialogue((Post("Welcome!", Speaker.ASSISTANT), Post("Hello")))
    text = shown(GEMMA, dialogue, system)
    assert f"user\n{system or '...'}<end_of_turn>\n<start_of_turn>model\nWelcome!" in text


def test_a_template_that_takes_all_gets_the_dialogue_as_it_is() -> None:
    text = shown(ROLES, CONVERSATION, "Be kind.")
    assert text == "<system>Be kind.<user>one<user>two<assistant>three<user>four<user>five"


@pytest.mark.parametrize("template", BROKEN.values(), ids=BROKEN)
def test_a_broken_template_is_one_sentence(template: str) -> None:
    with pytest.raises(CheckpointError, match=r"^the chat template of model .* use another model$"):
        shown(template, CONVERSATION, "Be kind.")


def test_several_templates_without_a_default_are_one_sentence() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = {"rag": CHATML, "tool_use": CHATML}
    with pytest.raises(CheckpointError, match="no default"):
        prompt_ids(tokenizer, CONVERSATION)


def test_no_template_at_all_is_said() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(Unsupported, match="no chat template"):
        prompt_ids(tokenizer, CONVERSATION)


@pytest.mark.parametrize("template", [GEMMA, MISTRAL])
def test_every_user_of_templates_takes_one_without_a_system_role(template: str) -> None:
    lm = tiny_causal_lm()
    lm.tokenizer.chat_template = template
    joy = EmotionMix.parse("joy", EKMAN)
    prompted = Prompted(lm, Config())
    decoding = Decoding(max_tokens=3)
    assert len(prompted.reply([CONVERSATION], [joy], decoding=decoding)) == 1
    assert list(prompted.stream(CONVERSATION, joy, decoding=decoding))
    assert prompted.nats([CONVERSATION], [joy], ["yes"])[0][1] == 4
    assert chat_prompt(lm.tokenizer, CONVERSATION, "Be kind.", 500)
    examples = [
        Example("1", CONVERSATION, joy, "yes"),
        Example("2", CONVERSATION, EmotionMix.parse("anger", EKMAN), "no"),
    ]
    for method in ("answers", "reading"):
        settings = ExtractSettings(method=method, system="Be kind.", tokens=4)
        assert extract(lm, examples, settings=settings).labels == ("anger", "joy")


def test_only_our_own_sentence_says_that_a_text_is_too_long(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    lm = tiny_causal_lm()
    lm.tokenizer.model_max_length = 50
    with pytest.raises(DataError, match=r"the text is \d+ tokens long, .* the model's 2048;"):
        Prompted(lm, Config()).reply([Dialogue.of("word " * 1200)], [None], decoding=Decoding())
    assert not caplog.text
    assert not capfd.readouterr().err
