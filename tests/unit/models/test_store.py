from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from emotone import models
from emotone.errors import CheckpointError, ModelMissing, UnknownName, UsageError
from emotone.models import catalog, store
from unit.models import toys as toybox


def test_first_use_fetches_and_later_ones_do_not(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    first = models.locate("toy-encoder")
    assert first == models.Location(
        "toy-encoder",
        home / "models" / "toy-encoder",
        catalog.entry("toy-encoder").revision,
        "catalogue",
    )
    out, err = capfd.readouterr()
    assert out == ""
    assert "fetching toy-toy-encoder==1.0" in err
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    assert models.locate("toy-encoder") == first
    assert capfd.readouterr() == ("", "")

    from transformers import AutoModel

    assert first.path is not None
    assert AutoModel.from_pretrained(first.path, local_files_only=True).config.hidden_size == 16


def _damage_cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def _damage_byte(folder: Path) -> None:
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)


def _damage_template(folder: Path) -> None:
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("role", "Role", 1))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_damage_cut, r"model\.safetensors has \d+ bytes, not \d+"),
        (_damage_byte, r"model\.safetensors was altered since it was made"),
        (_damage_template, r"chat_template\.jinja was altered since it was made"),
        (lambda f: (f / "config.json").unlink(), r"config\.json is missing"),
        (lambda f: (f / "complete.json").write_text("{"), r"complete\.json cannot be read"),
        (lambda f: (f / "complete.json").write_text("[]"), r"complete\.json cannot be read"),
        (lambda f: (f / "complete.json").write_text("{}"), r"complete\.json cannot be read"),
    ],
)
def test_damage_is_named_with_its_cure(ready: Path, damage, says: str) -> None:
    assert models.info("toy").state == "ready"
    damage(ready)
    cure = r"run `emotone models remove toy`, then `emotone models pull toy`"
    with pytest.raises(CheckpointError, match=rf"'toy' is damaged \({says}\); {cure}"):
        models.locate("toy")
    assert models.info("toy").state == "damaged"
    models.remove("toy")
    assert models.pull("toy").path == ready


def test_marker_cannot_point_outside(ready: Path) -> None:
    path = ready / "complete.json"
    values = json.loads(path.read_text())
    values["files"][0]["name"] = "../../../x"
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"complete\.json cannot be read"):
        models.locate("toy")


def test_missing_marker_means_never_finished(ready: Path) -> None:
    (ready / "complete.json").unlink()
    (ready / "half").write_text("half")
    assert models.info("toy").state == "absent"
    assert models.installed() == ()
    models.locate("toy")
    assert models.info("toy").state == "ready"
    assert not (ready / "half").exists()


def test_without_fetching_an_absent_model_is_told(home: Path) -> None:
    with pytest.raises(ModelMissing, match=r"'toy' is not here; .*`emotone models pull toy`"):
        models.locate("toy", fetch=False)
    assert not home.exists()


@pytest.mark.parametrize(
    "name",
    ["smolm", "", "../toy", "a/b/c", "/nope/toy", "~nobody-here/toy", "o/..", "x" * 5000, "a b/c"],
)
def test_unknown_name_never_touches_the_network(
    name: str, home: Path, offline: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("subprocess.Popen", started)
    with pytest.raises(UnknownName, match=r"[Aa]llowed: toy, toy-encoder, toy-gguf"):
        models.locate(name)
    with pytest.raises(UnknownName):
        models.load_causal_lm(name)
    assert offline == []
    assert not home.exists()


def test_unknown_name_offers_the_nearest_and_other_doors(home: Path) -> None:
    with pytest.raises(UnknownName, match=r"'toi'; did you mean 'toy'\?.*folder.*hub id"):
        models.locate("toi")


def test_hub_id_is_passed_on(home: Path, offline: list[str]) -> None:
    assert models.locate("org/name-1.0") == models.Location("org/name-1.0", None, "", "hub")
    assert offline == []


def test_folder_is_used_as_it_is(home: Path, tmp_path: Path) -> None:
    folder = toybox.save_llama(tmp_path / "mine")
    found = models.locate(str(folder))
    assert (found.name, found.path, found.source) == ("mine", folder, "folder")
    copy = shutil.copytree(folder, tmp_path / "other")
    assert models.locate(copy).revision == found.revision


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_revision_of_a_folder_follows_its_content(home: Path, tmp_path: Path, name: str) -> None:
    from safetensors.torch import load_file, save_file

    folder = toybox.save_llama(tmp_path / "mine")
    before = models.locate(folder).revision
    path = folder / name
    if path.suffix == ".json":
        path.write_text(path.read_text().replace("1e-06", "1e-05"))
    else:
        trained = {key: value * 1.01 for key, value in load_file(path).items()}
        save_file(trained, path, metadata={"format": "pt"})
    assert models.locate(folder).revision != before


def test_folder_with_pickles_only_is_refused(home: Path, tmp_path: Path) -> None:
    folder = toybox.save_llama(tmp_path / "mine")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"only pickled weights \(pytorch_model\.bin\).*save"):
        models.locate(folder)


def test_folder_without_weights_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"holds no \*\.safetensors"):
        models.locate(tmp_path)


def test_folder_without_config_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        models.locate(tmp_path)


def test_file_in_place_of_a_folder_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match="is a file; give the folder"):
        models.locate(tmp_path / "x.gguf")


@pytest.mark.parametrize("keep", [0, 4, 40])
def test_folder_with_weights_cut_in_the_header_is_refused(
    home: Path, tmp_path: Path, keep: int
) -> None:
    folder = toybox.save_llama(tmp_path / "mine")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="cut short or not a safetensors file"):
        models.locate(folder)


def test_terms_must_be_accepted_before_anything_is_fetched(home: Path, offline: list[str]) -> None:
    with pytest.raises(UsageError, match=r"Toy Terms.*`emotone models pull toy-gguf`") as caught:
        models.locate("toy-gguf")
    assert caught.value.exit_code == 2
    assert not home.exists()


def test_terms_are_read_without_the_weights(home: Path) -> None:
    assert models.read_terms("toy-gguf") == "Be kind."
    assert models.read_terms("toy") is None
    assert [p.name for p in (home / "raw" / "toy-gguf").iterdir()] == ["TERMS.html"]


def test_remove_frees_what_an_interrupted_fetch_left(home: Path) -> None:
    models.read_terms("toy-gguf")
    assert models.remove("toy-gguf") > 0
    assert list((home / "raw").iterdir()) == []


def test_remove(ready: Path, home: Path) -> None:
    assert models.installed() == ("toy",)
    size = sum(p.stat().st_size for p in ready.iterdir())
    assert models.remove("toy") == size
    assert list((home / "models").iterdir()) == []
    assert models.installed() == ()
    with pytest.raises(ModelMissing, match=r"'toy' is not in .* nothing to remove"):
        models.remove("toy")


def test_remove_cannot_leave_the_cache(ready: Path, home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(ready, outside)
    for name in ("../../outside", str(outside), "..", "../models/toy"):
        with pytest.raises(UnknownName):
            models.remove(name)
    assert outside.is_dir()
    assert ready.is_dir()


def test_remove_knows_models_of_an_older_catalogue(ready: Path, home: Path) -> None:
    ready.rename(home / "models" / "once-known")
    assert models.remove("once-known") > 0


def test_info_of_a_model_of_another_release(ready: Path) -> None:
    path = ready / "complete.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 0'))
    assert models.info("toy").state == "outdated"


def test_cache_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("EMOTONE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert store.cache_root() == tmp_path / ".cache" / "emotone"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert store.cache_root() == tmp_path / ".cache" / "emotone"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert store.cache_root() == tmp_path / "xdg" / "emotone"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert store.cache_root() == tmp_path / "Library" / "Caches" / "emotone"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert store.cache_root() == tmp_path / "local" / "emotone" / "cache"
    monkeypatch.setenv("EMOTONE_HOME", "~/mine")
    assert store.cache_root() == tmp_path / "mine"
