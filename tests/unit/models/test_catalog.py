from __future__ import annotations

import re
from pathlib import Path

import pytest

from emotone.errors import ConfigError, UnknownName
from emotone.models import catalog
from emotone.models.catalog import RawFile, WheelMember, check_inside


def test_shipped_catalogue_is_sound() -> None:
    entries = catalog.known()
    assert list(entries) == ["smollm2", "gemma3-270m", "minilm"]
    assert catalog.DEFAULT in entries
    for entry in entries.values():
        assert all(re.fullmatch(r"[0-9a-f]{64}", file.sha256) for file in entry.files)
        assert all(file.parts and file.bytes > 0 for file in entry.files)
        assert entry.file(entry.weights).bytes > 50_000_000
        used = {part.wheel for file in entry.files for part in file.parts}
        assert used == {wheel.distribution for wheel in entry.wheels}


def test_shipped_catalogue_states_the_facts_others_rely_on() -> None:
    smollm2, gemma, minilm = catalog.known().values()
    assert (smollm2.kind, smollm2.vectors, smollm2.terms) == ("causal-lm", "smollm2", None)
    assert smollm2.digits_apart
    assert gemma.terms is not None
    assert gemma.terms.name == "Gemma Terms of Use"
    assert len(gemma.file(gemma.weights).parts) == 4
    assert (minilm.kind, minilm.is_gguf) == ("encoder", False)


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UnknownName, match="'smollm3'; did you mean 'smollm2'"):
        catalog.entry("smollm3")


@pytest.mark.parametrize("path", ["", "/etc/x", "../x", "a/../../x", "a\\x", "C:x", "a\0b"])
def test_path_that_leaves_its_folder_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="leaves its folder"):
        check_inside(path)
    with pytest.raises(ConfigError, match="leaves its folder"):
        WheelMember("w", path)
    with pytest.raises(ConfigError, match="leaves its folder"):
        RawFile(path, "0", 1, ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("weights = 'w'", "weights = 'v'"), "lists no file 'v'"),
        (("wheel = 'd'", "wheel = 'e'"), "lists no wheel 'e'"),
        (("[toy]", "['../toy']"), "name '../toy' is not allowed"),
        (("kind = 'encoder'", "kind = 'decoder'"), "'decoder'; use one of"),
        (("licence", "license"), "did you mean 'licence'"),
    ],
)
def test_broken_catalogue_is_refused(
    change: tuple[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = (
        "[toy]\nkind = 'encoder'\ndescription = 'd'\nlanguages = ['en']\nlicence = 'MIT'\n"
        "weights = 'w'\nwheels = [{distribution = 'd', version = '1', bytes = 1}]\n"
        "files = [{name = 'w', sha256 = '0', bytes = 1, parts = [{wheel = 'd', member = 'm'}]}]\n"
    )
    path = tmp_path / "catalog.toml"
    monkeypatch.setattr(catalog, "CATALOG", path)
    path.write_text(sound)
    assert list(catalog.known()) == ["toy"]
    path.write_text(sound.replace(*change))
    with pytest.raises(ConfigError, match=re.escape(message)):
        catalog.known()
