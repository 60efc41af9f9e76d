"""The last stage: which lines of everyday the systems learn, and that its configs make a step."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from recipes.everyday.check import letters
from recipes.recurrent import parallel
from recipes.recurrent.everyday import posts
from recipes.recurrent.parallel import by_hand as read_lines

from emotone import config as configs
from emotone import systems
from emotone.data import everyday
from emotone.data.examples import write_jsonl
from emotone.data.reading import Problems
from emotone.data.source import read_file
from emotone.data.text import Lang
from emotone.data.vocab import Vocabulary
from emotone.emotions import EKMAN, TAXONOMIES, EmotionMix
from emotone.files import write_json
from emotone.recurrent.config import Sizes
from emotone.types import Dialogue, Example, Post

ROOT = Path(__file__).parents[3]
LANGS: tuple[Lang, ...] = ("en", "zh")
SMALL = Sizes(embedding=12, encoder_hidden=8, hidden=16, dropout=0.4)


@cache
def by_hand(lang: Lang, *, dev: bool) -> tuple[Example, ...]:
    """What the recipe takes of everyday, read once."""
    return tuple(read_lines(lang, dev=dev))


def line_of(example: Example) -> str:
    """Id of the line of everyday that an example is of."""
    return example.id.removeprefix("everyday-").rpartition("-")[0]


@pytest.mark.parametrize("lang", LANGS)
def test_a_post_comes_in_every_emotion_of_its_taxonomy(lang: Lang):
    labels: dict[str, set[str]] = defaultdict(set)
    for example in by_hand(lang, dev=False):
        assert example.emotion is not None
        assert example.emotion.at_full is not None
        labels[line_of(example)].add(example.emotion.at_full.label)
    assert len(labels) > 3000
    assert {frozenset(said) for said in labels.values()} == {
        frozenset(TAXONOMIES[parallel.TAXONOMY[lang]].labels)
    }


@pytest.mark.parametrize("lang", LANGS)
def test_only_lines_for_training_are_learnt_and_none_of_them_chooses_the_step(lang: Lang):
    split = {line.id: line.split for line in everyday.lines(lang)}
    learnt = {line_of(e) for e in by_hand(lang, dev=False)}
    chosen_by = {line_of(e) for e in by_hand(lang, dev=True)}
    assert {split[line] for line in learnt} == {"train-a", "train-c"}
    assert {split[line] for line in chosen_by} <= {"train-c", "dev"}
    assert {line.partition(":")[0] for line in chosen_by} == set(parallel.DEV[lang])
    assert not learnt & chosen_by


@pytest.mark.parametrize("lang", LANGS)
def test_no_post_is_learnt_that_is_like_one_of_the_page_of_replies(lang: Lang):
    page = [letters(post, lang) for post in posts(lang)]
    learnt = {e.dialogue.posts[-1].text for dev in (False, True) for e in by_hand(lang, dev=dev)}
    for post in learnt:
        own = letters(post, lang)
        assert all(len(own & shown) < 0.45 * len(own | shown) for shown in page), post


#: A reply of the pool, with the emotion words of the test below.
REPLY = "why ugh no great oh what"


def pools(root: Path) -> None:
    """An English pool of 12 pairs, clear in 4 of them, as `prepare` and `clear` leave them."""
    labels = [*EKMAN.labels, *EKMAN.labels][:12]
    pairs = [
        Example(f"p{i}", Dialogue.of(f"post {i}"), EmotionMix.parse(label, EKMAN), REPLY, "en")
        for i, label in enumerate(labels)
    ]
    single = Example("t", Dialogue((Post("so glad", emotion=EKMAN.parse("joy")),)), lang="en")
    for name, rows in (("en", pairs), ("en-clear", pairs[:4])):
        folder = root / f"out/pairs/{name}"
        folder.mkdir(parents=True)
        write_jsonl(rows, folder / "train.jsonl")
        write_jsonl(rows, folder / "dev.jsonl")
        write_jsonl([single], folder / "texts.jsonl")
        facts = {"judge": "en-label-2-00000000:ekman", "licences": {"own": "free"}}
        write_json(folder / "pool.json", facts)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `parallel en` has written the English pairs, of a small pool."""
    root = tmp_path_factory.mktemp("english")
    pools(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "ROOT", root)
        patch.setattr(parallel, "by_hand", by_hand)
        patch.setattr(sys, "argv", ["parallel", "en"])
        parallel.main()
    return root


def test_the_last_stage_is_what_is_clear_and_the_lines(prepared: Path):
    assert not (prepared / "out/pairs/en-start").exists()
    folder = prepared / "out/pairs/en-parallel"
    ids = [e.id for e in read_file(folder / "train.jsonl", Problems())]
    lines = [e.id for e in by_hand("en", dev=False)]
    assert ids == [*(f"p{i}" for i in range(4)), *lines]
    assert [e.id for e in read_file(folder / "texts.jsonl", Problems())] == ["t"]
    dev = [e.id for e in read_file(folder / "dev.jsonl", Problems())]
    assert dev == [e.id for e in by_hand("en", dev=True)]
    facts = json.loads((folder / "pool.json").read_text(encoding="utf-8"))
    assert facts["everyday"] == len(lines)
    assert set(facts["licences"]) == {"own", "everyday"}


def small(prepared: Path, system: str, preset: str, start: Path | None) -> tuple[Any, Any]:
    """A system and its config, cut down to 300 rows, one step and a tiny network."""
    module = systems.module(system)
    chosen = configs.load(module.Config, ROOT / f"configs/{system}/{preset}.toml")
    files = {part: prepared / getattr(chosen.data, part) for part in ("train", "dev", "texts")}
    data = replace(chosen.data, **files, vectors=None, limit=300)
    training = replace(chosen.training, max_steps=1, batch=16, device="cpu", threads=1)
    return module, replace(chosen, start=start, data=data, sizes=SMALL, training=training)


@pytest.fixture(scope="module")
def start(prepared: Path) -> Path:
    """The model folder of one step of the first stage."""
    module, config = small(prepared, "a_seq2seq", "en-small", None)
    return module.train(config, prepared / "start")


@pytest.mark.parametrize("system", ["a_seq2seq", "ecm", "emo_seq"])
def test_the_last_stage_goes_on_with_the_words_of_the_first(
    prepared: Path, start: Path, system: str
):
    module, config = small(prepared, system, "en-parallel", start)
    assert config.start == start
    if system == "ecm":
        words = prepared / "ememory.json"
        words.write_text(json.dumps([["why"], ["ugh"], ["no"], ["great"], ["oh"], ["what"], []]))
        config = replace(config, parts=replace(config.parts, width=8, memory=8, words=words))
    out = module.train(config, prepared / system)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["training"]["steps"] == 1
    assert manifest["taxonomy"] == (None if system == "a_seq2seq" else "ekman")
    assert Vocabulary.load(out / "vocab.json") == Vocabulary.load(start / "vocab.json")
