"""The contract of `emotone.protocols.Responder`, on every system that is found.

Nothing is listed here: a new file in `emotone/systems` is under the contract at once, and so is a
system of somebody else's, written below into a temporary folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from emotone import config as configs
from emotone import systems
from emotone.cli import main
from emotone.emotions import Emotion, EmotionMix, MixText, Taxonomy
from emotone.errors import ConfigError, DataError, UnknownName, Unsupported
from emotone.protocols import Responder, StreamingResponder
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, Post, Reply, Speaker

OUTSIDE = "outside_emotone.shouting"
OUTSIDE_SOURCE = '''
"""Shouting: a system of classes, outside of emotone."""

from dataclasses import dataclass

from emotone.emotions import NLPCC
from emotone.requests import check_request
from emotone.types import Capabilities, Reply


@dataclass(frozen=True)
class Config:
    marks: int = 1


class Shouting:
    capabilities = Capabilities(NLPCC, decoding={})

    def __init__(self, config):
        self.config = config

    def reply(self, dialogues, emotions, *, decoding, empathy=None):
        check_request("shouting", self.capabilities, dialogues, emotions, empathy, decoding)
        return [
            Reply(
                f"{d.posts[0].text.upper()}{'!' * self.config.marks}{f' ({e})' if e else ''}",
                e, "shouting", "none", decoding.seed + i, 1,
            )
            for i, (d, e) in enumerate(zip(dialogues, emotions, strict=True))
        ]


def load(model=None, *, device="auto", config=None):
    return Shouting(config or Config())


def train(config, out):
    return out


def tiny():
    return Shouting(Config())
'''

SHORT = Decoding(max_tokens=10, seed=100)
LONG = " ".join(f"word{i}" for i in range(60))
TEXTS = ("hi", "My best friend forgot my birthday.", "好的 😀", "<|im_end|>\nuser: hi", "a")
DIALOGUES = [Dialogue.of(text) for text in TEXTS]
TALK = Dialogue((Post("I am back."), Post("From where?", Speaker.ASSISTANT), Post("The sea.")))


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A system in a folder of its own, which emotone knows nothing about."""
    folder = tmp_path_factory.mktemp("somebody")
    package, _, name = OUTSIDE.partition(".")
    (folder / package).mkdir()
    (folder / package / f"{name}.py").write_text(OUTSIDE_SOURCE)
    sys.path.insert(0, str(folder))
    yield OUTSIDE
    sys.path.remove(str(folder))


@pytest.fixture(params=[*systems.names(), OUTSIDE])
def system(request: pytest.FixtureRequest, outside: str) -> ModuleType:
    """The module of each system."""
    return systems.module(request.param)


@pytest.fixture
def responder(system: ModuleType) -> Responder:
    return system.tiny()


@pytest.fixture
def weights(responder: Responder) -> list[torch.nn.Module]:
    """The models inside a system."""
    found = list(modules_in(responder))
    if not found:
        pytest.skip("this system has no weights")
    return found


def modules_in(value: Any, depth: int = 4) -> Iterator[torch.nn.Module]:
    if isinstance(value, torch.nn.Module):
        yield value
    elif depth and type(value).__module__.startswith("emotone"):
        names = [*getattr(value, "__dict__", ()), *getattr(type(value), "__slots__", ())]
        for name in names:
            yield from modules_in(getattr(value, name), depth - 1)


def fingerprint(models: list[torch.nn.Module]) -> list[Any]:
    """Everything that could be left changed: values, names, places, hooks and mode."""
    state: list[Any] = []
    for model in models:
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            blob = tensor.detach().contiguous().view(torch.uint8).numpy().tobytes()
            state.append((name, id(tensor), hashlib.sha256(blob).hexdigest()))
        for name, module in model.named_modules():
            hooks = [len(module._forward_hooks), len(module._forward_pre_hooks)]
            state.append((name, module.training, hooks, "forward" in vars(module)))
    return state


def moods(capabilities: Capabilities) -> list[EmotionMix | None]:
    """Every kind of emotion that a system says it can be asked for."""
    taxonomy = capabilities.taxonomy
    if taxonomy is None:
        return [None]
    one, two = taxonomy.labels[:2]
    texts = [one, two]
    texts += [f"{one}:50", f"{two}:0"] if capabilities.graded else []
    texts += [f"{one}:60 + {two}:20"] if capabilities.mixes else []
    texts += [f"{one}:-50"] if capabilities.graded and capabilities.mixes else []
    return [None, *(EmotionMix.parse(text, taxonomy) for text in texts)]


def rows(responder: Responder) -> tuple[list[Dialogue], list[EmotionMix | None]]:
    """A batch that holds every text and every kind of emotion."""
    kinds = moods(responder.capabilities)
    count = max(len(kinds), len(DIALOGUES))
    dialogues = [DIALOGUES[i % len(DIALOGUES)] for i in range(count)]
    if responder.capabilities.history:
        dialogues[1] = TALK
    return dialogues, [kinds[i % len(kinds)] for i in range(count)]


def alone(
    responder: Responder, dialogue: Dialogue, mood: EmotionMix | None, decoding: Decoding
) -> Reply:
    (reply,) = responder.reply([dialogue], [mood], decoding=decoding)
    return reply


def seeded(decoding: Decoding, offset: int) -> Decoding:
    return dataclasses.replace(decoding, seed=decoding.seed + offset)


def same(left: Reply, right: Reply) -> bool:
    """Equal as a user sees it; sums of float32 may differ in their last digits."""
    close = left.logprob == pytest.approx(right.logprob, abs=5e-3)
    names = ("text", "tokens", "seed", "emotion", "system", "model")
    return close and all(getattr(left, n) == getattr(right, n) for n in names)


# -- the module -------------------------------------------------------------------------------


def test_a_module_offers_config_load_train_and_tiny(system: ModuleType):
    assert dataclasses.is_dataclass(system.Config)
    assert system.Config() == system.Config()
    assert system.Config.__dataclass_params__.frozen
    load = inspect.signature(system.load).parameters
    assert list(load) == ["model", "device", "config"]
    assert (load["model"].default, load["device"].default) == (None, "auto")
    assert list(inspect.signature(system.train).parameters) == ["config", "out"]
    assert not inspect.signature(system.tiny).parameters


def test_a_config_is_dumped_and_loaded_as_the_same(system: ModuleType, tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text(configs.dump(system.Config()), encoding="utf-8")
    assert configs.load(system.Config, path) == system.Config()


def test_a_config_refuses_unknown_keys_and_an_empty_batch(system: ModuleType):
    with pytest.raises(ConfigError, match="unknown key 'no_such_key'"):
        configs.load(system.Config, None, ["no_such_key=1"])
    if "batch" in {f.name for f in dataclasses.fields(system.Config)}:
        with pytest.raises(ConfigError, match="batch is 0"):
            configs.load(system.Config, None, ["batch=0"])


def test_it_is_a_responder_and_streams_if_it_says_so(responder: Responder):
    assert isinstance(responder, Responder)
    assert isinstance(responder.capabilities, Capabilities)
    assert isinstance(responder, StreamingResponder) == responder.capabilities.streaming


# -- rows -------------------------------------------------------------------------------------


def test_one_reply_a_dialogue_in_order_that_says_what_was_asked(
    system: ModuleType, responder: Responder
):
    dialogues, mixes = rows(responder)
    replies = responder.reply(dialogues, mixes, decoding=SHORT)
    assert [r.seed for r in replies] == [SHORT.seed + i for i in range(len(dialogues))]
    assert [r.emotion for r in replies] == mixes
    assert {r.system for r in replies} == {system.__name__.rpartition(".")[2]}
    assert all(isinstance(r.text, str) and r.text == r.text.strip() for r in replies)
    assert all(r.tokens >= 1 and (r.logprob is None or r.logprob <= 0) for r in replies)


def test_what_was_applied_can_be_written_as_json(responder: Responder):
    dialogues, mixes = rows(responder)
    for reply in responder.reply(dialogues, mixes, decoding=SHORT):
        assert json.loads(json.dumps(dict(reply.applied), allow_nan=False)) == reply.applied


def test_the_same_seed_gives_the_same_reply_also_from_another_instance(
    system: ModuleType, responder: Responder
):
    dialogues, mixes = rows(responder)
    first = responder.reply(dialogues, mixes, decoding=SHORT)
    assert responder.reply(dialogues, mixes, decoding=SHORT) == first
    assert system.tiny().reply(dialogues, mixes, decoding=SHORT) == first


def test_a_batch_of_n_equals_n_batches_of_one(responder: Responder):
    dialogues, mixes = rows(responder)
    together = responder.reply(dialogues, mixes, decoding=SHORT)
    for i, (dialogue, mood) in enumerate(zip(dialogues, mixes, strict=True)):
        assert same(together[i], alone(responder, dialogue, mood, seeded(SHORT, i)))


def test_the_server_gives_each_row_the_reply_that_it_gets_alone(responder: Responder):
    from emotone.server.jobs import Finished, Job
    from emotone.server.moods import Feeling
    from web.serving import worker_of

    dialogues, mixes = rows(responder)
    events: dict[int, Any] = {}
    worker = worker_of({"it": responder}, rows=3)
    worker.start(["it"])
    try:
        for i, (dialogue, mood) in enumerate(zip(dialogues, mixes, strict=True)):
            job = Job(
                worker.served["it"],
                dialogue,
                Feeling((None if mood is None else MixText.read(str(mood)),)),
                seeded(SHORT, i),
                lambda event, i=i: events.__setitem__(i, event),
                seeded=True,
                fences=False,  # what tiny models write is no code
                guard=False,
            )
            while not worker.ready:
                time.sleep(0.01)
            worker.submit(job)
    finally:
        worker.stop(60)
    assert all(isinstance(event, Finished) for event in events.values()), events
    for i, (dialogue, mood) in enumerate(zip(dialogues, mixes, strict=True)):
        assert same(events[i].reply, alone(responder, dialogue, mood, seeded(SHORT, i)))


def test_a_batch_larger_than_any_pass_equals_batches_of_one_at_its_seams(responder: Responder):
    count, decoding = 70, dataclasses.replace(SHORT, max_tokens=3)
    kinds = moods(responder.capabilities)
    dialogues = [DIALOGUES[i % 5] for i in range(count)]
    mixes = [kinds[(i // 3) % len(kinds)] for i in range(count)]
    together = responder.reply(dialogues, mixes, decoding=decoding)
    assert len(together) == count
    for i in (0, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 69):
        assert same(together[i], alone(responder, dialogues[i], mixes[i], seeded(decoding, i)))


def test_a_long_neighbour_changes_nothing(responder: Responder):
    mood = moods(responder.capabilities)[-1]
    plain = alone(responder, DIALOGUES[0], mood, SHORT)
    long = Dialogue.of(LONG)
    assert same(responder.reply([DIALOGUES[0], long], [mood, None], decoding=SHORT)[0], plain)
    assert same(responder.reply([DIALOGUES[0], long], [mood, mood], decoding=SHORT)[0], plain)


def test_without_chance_the_order_of_rows_changes_no_reply(responder: Responder):
    greedy = dataclasses.replace(SHORT, strategy="greedy")
    dialogues, mixes = rows(responder)
    forth = responder.reply(dialogues, mixes, decoding=greedy)
    back = responder.reply(dialogues[::-1], mixes[::-1], decoding=greedy)
    assert [r.text for r in back[::-1]] == [r.text for r in forth]


def test_an_empty_batch_gives_no_replies(responder: Responder):
    assert responder.reply([], [], decoding=SHORT) == []
    assert responder.reply([], [], decoding=SHORT, empathy=[]) == []


def test_arguments_are_left_as_they_are(responder: Responder):
    dialogues, mixes = rows(responder)
    kept = list(dialogues), list(mixes)
    responder.reply(dialogues, mixes, decoding=SHORT)
    assert (dialogues, mixes) == kept


# -- how it decodes ---------------------------------------------------------------------------

#: What shows the effect of every field: long replies without penalties, from all of the vocabulary,
#: and more beams than words, so that replies of every length come to their end.
WILD = {
    "temperature": 5.0,
    "top_p": 1.0,
    "max_tokens": 40,
    "no_repeat": 0,
    "repetition_penalty": 1.0,
    "beams": 60,
}
#: Field of `Decoding` -> a value that changes such replies.
OTHER = {
    "temperature": 0.01,
    "top_p": 0.01,
    "top_k": 1,
    "max_tokens": 2,
    "min_tokens": 39,
    "repetition_penalty": 5.0,
    "no_repeat": 1,
    "beams": 1,
    "length_penalty": 5.0,
    "sentence_end_after": 0.0,
}
STRATEGIES = ("sample", "greedy", "beam")


def test_every_field_of_decoding_is_tried():
    assert {"strategy", "seed", *OTHER} == {f.name for f in dataclasses.fields(Decoding)}


@pytest.fixture(scope="module")
def plainly_said() -> dict[tuple[str, str], list[Any]]:
    """What each system replies with each strategy: it is the same whichever field is tried."""
    return {}


@pytest.mark.parametrize("field", OTHER)
def test_a_field_of_decoding_changes_the_reply_or_is_refused_or_declared_not_to_matter(
    system: ModuleType, responder: Responder, field: str, plainly_said: dict[Any, Any]
):
    used = responder.capabilities.decoding

    def reply(decoding: Decoding) -> list[Any]:
        replies = responder.reply(DIALOGUES, [None] * 5, decoding=decoding)
        return [(r.text, r.tokens, r.logprob) for r in replies]

    if not used:  # it searches for nothing
        replies = [reply(d) for d in (Decoding(), Decoding("greedy", **{field: OTHER[field]}))]
        assert replies[0] == replies[1], f"{field} matters; list it in capabilities.decoding"
    changes: list[bool] = []
    for strategy, fields in used.items():
        plain = Decoding(strategy, **{k: v for k, v in WILD.items() if k in fields})
        other = dataclasses.replace(plain, **{field: OTHER[field]})
        if field in fields:
            key = system.__name__, strategy
            if key not in plainly_said:
                plainly_said[key] = reply(plain)
            changes.append(reply(other) != plainly_said[key])
            continue
        with pytest.raises(Unsupported, match=f"does not use {field} with .*'{strategy}'"):
            reply(other)
        if isinstance(responder, StreamingResponder):
            with pytest.raises(Unsupported, match=f"does not use {field} with"):
                list(responder.stream(DIALOGUES[0], None, decoding=other))
    # The greedy reply of a tiny model may end before a field can matter, the sampled ones do not.
    assert any(changes) or not changes, f"{field} changes nothing; honour it, or do not list it"


def test_a_strategy_that_it_lacks_is_refused(responder: Responder):
    used = responder.capabilities.decoding
    for strategy in STRATEGIES:
        if used and strategy not in used:
            with pytest.raises(Unsupported, match=f"offers no {strategy} search; use the strategy"):
                alone(responder, DIALOGUES[0], None, Decoding(strategy))


# -- what it lacks ----------------------------------------------------------------------------


def impossible(capabilities: Capabilities) -> Iterator[tuple[type[Exception], dict[str, Any]]]:
    """Requests that a system must refuse, as keyword arguments of `reply`."""
    one = {"dialogues": DIALOGUES[:1], "emotions": [None]}
    taxonomy = capabilities.taxonomy
    stranger = EmotionMix(((Emotion("boredom", "mine"), 100.0),))
    if taxonomy is None:
        for text in ("joy", "joy:0", "joy:40 + fear:20"):
            yield Unsupported, {**one, "emotions": [EmotionMix.parse(text)]}
        yield Unsupported, {**one, "emotions": [stranger]}
    else:
        first, second = taxonomy.labels[:2]
        yield UnknownName, {**one, "emotions": [stranger]}
        if not capabilities.graded:
            for text in (f"{first}:50", f"{first}:0", f"{first}:-100"):
                yield Unsupported, {**one, "emotions": [EmotionMix.parse(text, taxonomy)]}
        if not capabilities.mixes:
            mix = EmotionMix.parse(f"{first} + {second}", taxonomy)
            yield Unsupported, {**one, "emotions": [mix]}
    if not capabilities.empathy:
        yield Unsupported, {**one, "empathy": [EmpathyLevels(1, 1, 1)]}
    if not capabilities.history:
        yield Unsupported, {**one, "dialogues": [TALK]}
    yield DataError, {**one, "emotions": []}
    yield DataError, {**one, "emotions": [None, None]}


def test_asking_for_what_it_lacks_raises_and_is_never_ignored(responder: Responder):
    for error, request in impossible(responder.capabilities):
        with pytest.raises(error):
            responder.reply(
                request.pop("dialogues"), request.pop("emotions"), decoding=SHORT, **request
            )


def test_one_impossible_row_is_not_lost_among_others(responder: Responder):
    stranger = EmotionMix(((Emotion("boredom", "mine"), 100.0),))
    with pytest.raises((UnknownName, Unsupported)):
        responder.reply(DIALOGUES[:3], [None, stranger, None], decoding=SHORT)


def test_streaming_refuses_what_a_reply_refuses(responder: Responder):
    if not isinstance(responder, StreamingResponder):
        pytest.skip("this system does not stream")
    for error, request in impossible(responder.capabilities):
        if "empathy" in request or len(request["emotions"]) != 1:
            continue  # not something that a stream can be asked for
        with pytest.raises(error):
            list(responder.stream(request["dialogues"][0], request["emotions"][0], decoding=SHORT))


def test_intensity_0_is_no_emotion(responder: Responder):
    taxonomy = responder.capabilities.taxonomy
    if taxonomy is None or not responder.capabilities.graded:
        pytest.skip("this system knows no intensities")
    plain = responder.reply(DIALOGUES, [None] * 5, decoding=SHORT)
    zeros = [EmotionMix.of({label: 0}, taxonomy) for label in taxonomy.labels[:5]]
    for mixes in (zeros, [EmotionMix.of(dict.fromkeys(taxonomy.labels[:3], 0.0), taxonomy)] * 5):
        still = responder.reply(DIALOGUES, mixes, decoding=SHORT)
        assert [r.text for r in still] == [r.text for r in plain]
        assert [r.logprob for r in still] == pytest.approx([r.logprob for r in plain], abs=5e-3)


def test_every_emotion_and_intensity_that_it_takes_changes_the_reply(responder: Responder):
    kinds = [m for m in moods(responder.capabilities) if m is None or any(m.intensities().values())]
    if len(kinds) == 1:
        pytest.skip("this system takes no emotion")
    # No emotion and the neutral one may well be the same to a system.
    neutral = getattr(responder.capabilities.taxonomy, "neutral", None)
    kinds = [m for m in kinds if str(m) != f"{neutral}:100"]
    made = [alone(responder, DIALOGUES[1], mood, SHORT) for mood in kinds]
    assert len({(r.text, r.logprob) for r in made}) == len(kinds)


def test_history_is_read_where_it_says_so(responder: Responder):
    if not responder.capabilities.history:
        pytest.skip("this system reads one post only")
    responder.reply([TALK], [None], decoding=SHORT)
    if list(modules_in(responder)):
        last = Dialogue((TALK.posts[-1],))
        assert not same(alone(responder, TALK, None, SHORT), alone(responder, last, None, SHORT))


# -- side effects -----------------------------------------------------------------------------


def random_states() -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), random.getstate(), kind, keys.tolist(), rest  # pyright: ignore


def test_the_global_random_states_are_neither_changed_nor_used(responder: Responder):
    dialogues, mixes = rows(responder)
    before = random_states()
    first = responder.reply(dialogues, mixes, decoding=SHORT)
    if isinstance(responder, StreamingResponder):
        list(responder.stream(dialogues[0], mixes[-1], decoding=SHORT))
    assert random_states() == before
    torch.manual_seed(int(torch.randint(2**31, ())))
    assert responder.reply(dialogues, mixes, decoding=SHORT) == first


def test_making_the_tiny_one_leaves_the_global_random_states_alone(system: ModuleType):
    before = random_states()
    system.tiny()
    assert random_states() == before


def test_weights_are_bit_for_bit_the_same_afterwards(responder: Responder, weights):
    before = fingerprint(weights)
    dialogues, mixes = rows(responder)
    responder.reply(dialogues, mixes, decoding=SHORT)
    assert fingerprint(weights) == before
    if isinstance(responder, StreamingResponder):
        list(responder.stream(dialogues[0], mixes[-1], decoding=SHORT))
        assert fingerprint(weights) == before


def test_a_text_beyond_the_context_leaves_the_weights_and_the_next_reply_alone(
    responder: Responder, weights
):
    before = fingerprint(weights)
    dialogues, mixes = rows(responder)
    first = responder.reply(dialogues, mixes, decoding=SHORT)
    endless = dataclasses.replace(SHORT, max_tokens=4096)
    # A recurrent network has no context to exceed, and answers.
    limited = not any(hasattr(model, "step") for model in weights)
    for asked in (mixes, [mixes[-1]] * len(dialogues)):
        with pytest.raises(DataError, match="exceeds the model's") if limited else nullcontext():
            responder.reply(dialogues, asked, decoding=endless)
        assert fingerprint(weights) == before
        assert responder.reply(dialogues, mixes, decoding=SHORT) == first


class Broken(RuntimeError):
    """The model's forward pass fails."""


def break_at(model: torch.nn.Module, call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a model's own pass raise at one call: a step of a recurrent one, else its forward."""
    name = "step" if hasattr(model, "step") else "forward"
    real, calls = getattr(model, name), []

    def forward(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise Broken(f"pass {call}")
        return real(*args, **kwargs)

    monkeypatch.setattr(model, name, forward)


def test_a_failure_in_the_middle_leaves_the_weights_and_the_next_reply_alone(
    system: ModuleType, responder: Responder, weights
):
    dialogues, mixes = rows(responder)
    first = responder.reply(dialogues, mixes, decoding=SHORT)

    def reply(fresh: Responder, asked: list[EmotionMix | None]) -> None:
        fresh.reply(dialogues, asked, decoding=SHORT)

    def stream(fresh: Responder, asked: list[EmotionMix | None]) -> None:
        if not isinstance(fresh, StreamingResponder):
            raise Broken  # nothing to break
        list(fresh.stream(dialogues[0], asked[-1], decoding=SHORT))

    # An early pass may be a test of the attachment, a late one stands in the reply itself.
    for call in (1, 2, 3, 6):
        for work, asked in (
            (reply, mixes),
            (reply, [mixes[-1]] * len(dialogues)),
            (stream, mixes),
        ):
            fresh = system.tiny()
            models = list(modules_in(fresh))
            before = fingerprint(models)
            with pytest.MonkeyPatch.context() as patch:
                break_at(models[0], call, patch)
                with pytest.raises(Broken):
                    work(fresh, asked)
            assert fingerprint(models) == before
            assert fresh.reply(dialogues, mixes, decoding=SHORT) == first


# -- streaming --------------------------------------------------------------------------------


def test_streamed_pieces_join_to_the_reply_where_there_is_one_candidate(responder: Responder):
    if not isinstance(responder, StreamingResponder):
        pytest.skip("this system does not stream")
    compared = 0
    for i, (dialogue, mood) in enumerate(zip(*rows(responder), strict=True)):
        decoding = seeded(SHORT, i)
        whole = "".join(responder.stream(dialogue, mood, decoding=decoding))
        assert whole
        reply = alone(responder, dialogue, mood, decoding)
        if reply.applied.get("candidates", 1) == 1:
            assert whole == reply.text
            compared += 1
    assert compared


def test_a_stream_that_nobody_reads_to_its_end_leaves_the_weights_alone(
    responder: Responder, weights
):
    if not isinstance(responder, StreamingResponder):
        pytest.skip("this system does not stream")
    before = fingerprint(weights)
    dialogues, mixes = rows(responder)
    first = responder.reply(dialogues, mixes, decoding=SHORT)
    pieces = iter(responder.stream(dialogues[0], mixes[-1], decoding=SHORT))
    with suppress(StopIteration):
        next(pieces)
    del pieces
    assert fingerprint(weights) == before
    assert responder.reply(dialogues, mixes, decoding=SHORT) == first


# -- a new system is one file -----------------------------------------------------------------


def run(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["emotone", *argv])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_names_are_the_files_and_packages_of_the_folder():
    folder = Path(systems.__file__).parent
    found = [*folder.glob("*.py"), *(p.parent for p in folder.glob("*/__init__.py"))]
    files = {p.stem for p in found if not p.stem.startswith("_")}
    assert set(systems.names()) == files
    assert systems.DEFAULT in files


def test_a_dash_and_an_underscore_are_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(systems, "names", lambda: ["two_words"])
    with pytest.raises(ModuleNotFoundError, match=r"emotone\.systems\.two_words"):
        systems.module("two-words")


def test_a_file_outside_is_loaded_by_its_dotted_name_with_its_settings(outside: str):
    made = systems.load(outside, overrides=["marks=3"])
    assert alone(made, Dialogue.of("hi"), None, SHORT).text == "HI!!!"
    with pytest.raises(ConfigError, match="unknown key 'mark'; did you mean 'marks'"):
        systems.load(outside, overrides=["mark=3"])


def test_a_file_outside_answers_on_the_command_line(
    outside: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    code = run(
        ["reply", "hi", "--system", outside, "--emotion", "joy", "--set", "marks=2"], monkeypatch
    )
    said = capsys.readouterr()
    assert (code, said.out) == (0, "HI!! (happiness:100)\n")
    assert said.err == "emotone: 'joy' read as happiness\n"
    assert run(["reply", "hi", "--system", outside, "--emotion", "joy:50"], monkeypatch) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "shouting knows no intensities" in said.err


def test_a_file_outside_answers_files_on_the_command_line(
    outside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"post": "hi", "emotion": "快乐"}\n{"post": "oh", "emotion": "like"}\n')
    code = run(["generate", "-s", outside, "-i", str(source), "-o", str(target)], monkeypatch)
    assert code == 0
    made = [json.loads(line) for line in target.read_text().splitlines()]
    assert [(r["text"], r["emotion"], r["system"]) for r in made] == [
        ("HI! (happiness:100)", "happiness:100", "shouting"),
        ("OH! (like:100)", "like:100", "shouting"),
    ]


@pytest.mark.parametrize("name", ["ecko", "no.such.module", ".relative", "os.path", "", "a..b"])
def test_what_is_no_system_is_refused_with_the_systems(name: str):
    with pytest.raises(UnknownName, match=r"[Aa]llowed: .*echo, ") as caught:
        systems.load(name)
    assert name in str(caught.value)


def test_a_taxonomy_of_its_own_is_a_system_s_good_right():
    own = Capabilities(Taxonomy("weather", ("rain", "sun")))
    assert moods(own)[1:] == [
        EmotionMix(((Emotion("rain", "weather"), 100.0),)),
        EmotionMix(((Emotion("sun", "weather"), 100.0),)),
    ]
