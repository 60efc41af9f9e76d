"""TOML and overrides to frozen dataclasses, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotone import config
from emotone.errors import ConfigError


@dataclass(frozen=True)
class Optim:
    lr: float = 1e-3
    betas: tuple[float, ...] = (0.9, 0.999)
    schedule: Literal["cosine", "flat"] = "cosine"


@dataclass(frozen=True)
class Inner:
    optim: Optim = field(default_factory=Optim)
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    steps: int = 10
    title: str = "a"
    noisy: bool = False
    ceiling: float | None = None
    folder: Path = Path("out")
    words: Path | None = None
    inner: Inner = field(default_factory=Inner)
    optim: Optim = field(default_factory=Optim)


@dataclass(frozen=True)
class Needs:
    must: int
    may: int = 1


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


# -- reading ----------------------------------------------------------------------------------


def test_without_file_and_overrides_the_defaults_hold():
    assert config.load(Run) == Run()


def test_a_file_holds_only_what_differs(tmp_path: Path):
    path = write(
        tmp_path,
        'steps = 3\nfolder = "there"\n[optim]\nlr = 1\n[inner]\nnames = ["x", "y"]\n'
        '[inner.optim]\nschedule = "flat"\nbetas = [1, 0.5]\n',
    )
    assert config.load(Run, path) == Run(
        steps=3,
        folder=Path("there"),
        optim=Optim(lr=1.0),
        inner=Inner(Optim(betas=(1.0, 0.5), schedule="flat"), ("x", "y")),
    )


def test_overrides_win_over_the_file_and_reach_into_sections(tmp_path: Path):
    path = write(tmp_path, "steps = 3\n[optim]\nlr = 0.5\n")
    made = config.load(Run, path, ["steps=4", "inner.optim.lr=2e-4", " noisy = true ", "steps=5"])
    assert made == Run(steps=5, noisy=True, optim=Optim(lr=0.5), inner=Inner(optim=Optim(lr=2e-4)))


@pytest.mark.parametrize(
    ("item", "title"),
    [
        ("title=plain text", "plain text"),
        ('title="quoted"', "quoted"),
        ("title=", ""),
        ("title=a=b", "a=b"),
        ("title=./some/file.toml", "./some/file.toml"),
        ("title=joy:60 + fear", "joy:60 + fear"),
        ("title=悲伤", "悲伤"),
    ],
)
def test_an_override_that_is_no_toml_is_text(item: str, title: str):
    assert config.load(Run, None, [item]).title == title


def test_an_optional_value_can_be_given():
    assert config.load(Run, None, ["ceiling=2"]).ceiling == 2.0
    assert config.build(Run, {"ceiling": None}).ceiling is None


def test_a_whole_number_is_a_float_but_not_the_other_way_round():
    lr = config.load(Run, None, ["optim.lr=1"]).optim.lr
    assert (lr, type(lr)) == (1.0, float)
    with pytest.raises(ConfigError, match=r"steps is 1\.0; it takes a value of type int"):
        config.load(Run, None, ["steps=1.0"])


# -- refusing ---------------------------------------------------------------------------------


def test_a_path_that_may_be_left_out_is_left_out_by_nothing(tmp_path: Path):
    path = write(tmp_path, 'words = "list.txt"\ntitle = "b"\n')
    assert config.load(Run, path).words == Path("list.txt")
    loaded = config.load(Run, path, ["words=", "title="])
    assert (loaded.words, loaded.title) == (None, "")


def test_an_unknown_key_is_refused_with_file_and_nearest_name(tmp_path: Path):
    path = write(tmp_path, "[optim]\nlrr = 1\n")
    with pytest.raises(ConfigError) as caught:
        config.load(Run, path)
    said = str(caught.value)
    assert said.startswith(f"{path}: optim: unknown key 'lrr'; did you mean 'lr'?")
    assert "Allowed: lr, betas, schedule." in said


def test_an_unknown_override_is_refused_with_the_nearest_name():
    with pytest.raises(
        ConfigError, match="the settings: unknown key 'stesp'; did you mean 'steps'"
    ):
        config.load(Run, None, ["stesp=1"])


@pytest.mark.parametrize(
    ("toml", "key", "value", "kind"),
    [
        ('steps = "many"', "steps", "'many'", "int"),
        ("steps = true", "steps", "True", "int"),
        ("steps = 1.5", "steps", "1.5", "int"),
        ("title = 7", "title", "7", "str"),
        ("noisy = 1", "noisy", "1", "bool"),
        ("folder = 1", "folder", "1", "Path"),
        ("ceiling = 'x'", "ceiling", "'x'", "float"),
        ("[optim]\nlr = true", "optim: lr", "True", "float"),
        ("[optim]\nbetas = 0.5", "optim: betas", "0.5", "list"),
        ("[optim]\nbetas = [0.5, 'x']", "optim: betas[1]", "'x'", "float"),
        ("[optim]\nschedule = 'steep'", "optim: schedule", "'steep'", "'cosine', 'flat'"),
        ("[inner]\nnames = [1]", "inner: names[0]", "1", "str"),
        ("inner = 3", "inner", "3", "section"),
        ("[inner]\noptim = []", "inner: optim", "[]", "section"),
        ("steps = [1]", "steps", "[1]", "int"),
    ],
)
def test_a_wrong_value_names_file_key_value_and_what_is_allowed(
    tmp_path: Path, toml: str, key: str, value: str, kind: str
):
    path = write(tmp_path, toml)
    with pytest.raises(ConfigError) as caught:
        config.load(Run, path)
    assert str(caught.value).startswith(f"{path}: {key} is {value}; ")
    assert kind in str(caught.value)


def test_a_key_without_default_is_asked_for(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"config: set the keys without default among must"):
        config.build(Needs, {"may": 2})
    assert config.load(Needs, write(tmp_path, "must = 3")) == Needs(3)


@pytest.mark.parametrize("item", ["", "steps", "=3", " = 3"])
def test_an_override_without_key_or_value_is_refused(item: str):
    with pytest.raises(ConfigError, match="write it as key=value"):
        config.load(Run, None, [item])


def test_an_override_below_a_value_is_refused():
    with pytest.raises(ConfigError, match="steps is a value, not a section"):
        config.load(Run, None, ["steps=3", "steps.deep=1"])


def test_an_override_in_place_of_a_section_is_refused(tmp_path: Path):
    path = write(tmp_path, "[optim]\nlr = 1.0\n")
    with pytest.raises(ConfigError, match="optim is a section, not a value"):
        config.load(Run, path, ["optim=3"])


@dataclass(frozen=True)
class Grouped:
    RENAMED: ClassVar[Mapping[str, str]] = {"lr": "optim.lr", "optim": "optim.schedule"}

    steps: int = 10
    optim: Optim = field(default_factory=Optim)


def test_an_older_key_sets_what_it_is_called_now(tmp_path: Path):
    path = write(tmp_path, "lr = 0.5\n[optim]\nbetas = [0.1]\n")
    assert config.load(Grouped, path).optim == Optim(0.5, (0.1,))
    # A section may have the name that a value had.
    assert config.load(Grouped, None, ["optim=flat"]).optim == Optim(schedule="flat")
    with pytest.raises(ConfigError, match=r"lr is the older name of optim\.lr; give one"):
        config.load(Grouped, path, ["optim.lr=1.0"])
    with pytest.raises(ConfigError, match="lr is 'much'; it takes a value of type float"):
        config.load(Grouped, None, ["lr=much"])


def test_a_file_that_is_no_toml_or_not_there_is_named(tmp_path: Path):
    bad = write(tmp_path, "steps = \n")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    for path in (bad, binary, tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError) as caught:
            config.load(Run, path)
        assert str(caught.value).startswith(f"cannot read {path}")
        assert "Errno" not in str(caught.value)


def test_a_mark_before_the_toml_is_welcome(tmp_path: Path):
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xef\xbb\xbfsteps = 7\n")
    assert config.load(Run, path).steps == 7


# -- writing ----------------------------------------------------------------------------------

_text = st.text(max_size=20)
_floats = st.floats(allow_nan=False)
_optims = st.builds(
    Optim,
    lr=_floats,
    betas=st.lists(_floats, max_size=4).map(tuple),
    schedule=st.sampled_from(["cosine", "flat"]),
)
_runs = st.builds(
    Run,
    steps=st.integers(-(2**63), 2**63 - 1),
    title=_text,
    noisy=st.booleans(),
    ceiling=st.none() | _floats,
    folder=_text.filter(lambda t: t == t.strip("\0")).map(Path),
    inner=st.builds(Inner, optim=_optims, names=st.lists(_text, max_size=4).map(tuple)),
    optim=_optims,
)


@given(_runs)
def test_what_is_dumped_is_loaded_as_the_same_config(tmp_path_factory, run: Run):
    path = tmp_path_factory.mktemp("dump") / "run.toml"
    path.write_bytes(config.dump(run).encode())
    assert config.load(Run, path) == run


def test_nan_is_dumped_too(tmp_path: Path):
    again = config.load(Run, write(tmp_path, config.dump(Run(ceiling=math.nan))))
    assert again.ceiling is not None
    assert math.isnan(again.ceiling)


def test_every_key_is_dumped_but_none_which_toml_lacks():
    assert config.dump(Run()) == (
        'steps = 10\ntitle = "a"\nnoisy = false\nfolder = "out"\n'
        "[inner]\nnames = []\n"
        '[inner.optim]\nlr = 0.001\nbetas = [0.9, 0.999]\nschedule = "cosine"\n'
        '[optim]\nlr = 0.001\nbetas = [0.9, 0.999]\nschedule = "cosine"\n'
    )
    assert "ceiling = 1.5\n" in config.dump(Run(ceiling=1.5))


@pytest.mark.parametrize("text", ["\x7f", "a\x00b", 'q"\\', "\u2028\r\n\t", "😀 悲伤", "\x85"])
def test_odd_characters_are_dumped_too(tmp_path: Path, text: str):
    path = tmp_path / "odd.toml"
    run = Run(title=text, inner=Inner(names=(text, "")))
    path.write_bytes(config.dump(run).encode())
    assert config.load(Run, path) == run


@given(st.one_of(_text, st.integers(-(2**63), 2**63 - 1), _floats, st.booleans()))
def test_a_literal_given_as_an_override_is_the_value_itself(value: object):
    @dataclass(frozen=True)
    class One:
        it: object = None

    made = config.load(One, None, [f"it={config.literal(value)}"]).it
    assert (made, type(made)) == (value, type(value))
