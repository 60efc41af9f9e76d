"""Model folders: weights, config, vocabulary and manifest of a trained recurrent system.

Weights are float32 after training; `pack` stores large matrices as int8 with one scale a row, a
quarter of the size, which is how the zoo holds them. Either is read back to float32.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from emotone import config as configs
from emotone.data.pairs import encode
from emotone.data.vocab import SPECIALS, Vocabulary
from emotone.data.words import Words
from emotone.emotions import TAXONOMIES
from emotone.errors import CheckpointError, EmotoneError, ModelMissing
from emotone.files import replacing, write_json
from emotone.models import devices, zoo
from emotone.recurrent.corpus import Corpus, Vocabularies
from emotone.training.checkpoint import weights
from emotone.types import judge_names

if TYPE_CHECKING:
    from emotone.recurrent.responder import Recurrent

WEIGHTS, CONFIG = "weights.safetensors", "config.toml"
VOCABULARY, MANIFEST, CARD = "vocab.json", "manifest.json", "README.md"
#: Words of posts, where they have a vocabulary of their own.
POSTS = "posts.json"
#: Smallest size of a matrix that is packed, in numbers.
LARGE = 4096
#: Parts of a network that only training needs; they are not packed.
TRAINING_ONLY = ("classifier.",)
#: Tensors with one row a word, of posts and of replies.
BY_POST_WORD = "core.source.weight"
BY_WORD = frozenset({"core.target.weight", "core.output", "core.bias"})
_ROWS = ".int8"
_SCALES = ".scale"


def save_folder(
    out: Path,
    system: str,
    network: torch.nn.Module,
    config: Any,
    corpus: Corpus,
    facts: Mapping[str, Any],
) -> None:
    """Write a model folder; each file is whole or not there, and the manifest comes last.

    Args:
        out: The folder.
        system: Name of the system.
        network: Its weights.
        config: Its resolved config.
        corpus: What it was trained on.
        facts: More lines of the manifest.
    """
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / WEIGHTS) as path:
        save_file(weights(network), path)
    with replacing(out / CONFIG) as path:
        path.write_text(configs.dump(config), encoding="utf-8")
    corpus.vocabulary.save(out / VOCABULARY)
    if corpus.posts is not None:
        corpus.posts.save(out / POSTS)
    pool = _pool(config.data.train)
    judge = str(pool.get("judge") or "")
    manifest = {
        "system": system,
        "model": out.resolve().name,
        "lang": corpus.lang,
        "taxonomy": None if corpus.taxonomy is None else corpus.taxonomy.name,
        "seed": config.training.seed,
        "judges": list(dict.fromkeys([*filter(None, [judge]), *corpus.judges])),
        "data": corpus.hashes,
        "emotion_words": [list(words) for words in corpus.emotion_words],
        **({"zeros": True} if corpus.spelling.zeros else {}),
        **facts,
    }
    _write_manifest(out, manifest)
    with replacing(out / CARD) as path:
        path.write_text(_card(manifest, pool), encoding="utf-8")


def _write_manifest(out: Path, manifest: Mapping[str, Any]) -> None:
    write_json(out / MANIFEST, manifest)


def _card(manifest: Mapping[str, Any], pool: Mapping[str, Any]) -> str:
    """What somebody who finds the folder should know."""
    licences = pool.get("licences")
    terms = licences.items() if isinstance(licences, dict) else ()
    data = "; ".join(f"{name}: {text}" for name, text in terms) or "not known; ask who made it"
    judges = ", ".join(manifest["judges"]) or "nobody that is known"
    training = manifest.get("training", {})
    loss = training.get("dev_loss")
    lines = [
        f"# {manifest['model']}",
        "",
        f"A model of emotone's system `{manifest['system']}`, language {manifest['lang']}, emotions"
        f" {manifest['taxonomy'] or 'none'}; load it with"
        f" `emotone reply TEXT --system {manifest['system']} --model FOLDER`.",
        "",
        f"- Labels of the training data: by {judges}.",
        f"- Licence of the training data: {data}.",
        f"- Training: {manifest.get('pairs')} rows, {training.get('steps')} steps, seed"
        f" {manifest['seed']}; settings in {CONFIG}, checksums of the data in {MANIFEST}.",
    ]
    if loss is not None:
        lines.append(f"- Development data: {loss:.4f} nats a token.")
    return "\n".join(lines) + "\n"


def _pool(train: Path) -> dict[str, Any]:
    """What the pool of the training pairs says of itself, such as who labelled them."""
    try:
        pool = json.loads((train.parent / "pool.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return pool if isinstance(pool, dict) else {}


def pack(tensors: Mapping[str, Tensor], *, small: bool) -> dict[str, Tensor]:
    """Return tensors as they are stored.

    Args:
        tensors: Float32 tensors.
        small: Whether matrices become int8: each row is scaled by its largest number over 127.
    """
    packed: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if not small or value.ndim != 2 or value.numel() < LARGE:
            packed[name] = value.half() if small and value.is_floating_point() else value
            continue
        scale = (value.abs().amax(1, keepdim=True) / 127).clamp_min(1e-12)
        packed[name + _ROWS] = (value / scale).round().clamp(-127, 127).to(torch.int8)
        packed[name + _SCALES] = scale[:, 0].contiguous()
    return packed


def unpack(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return float32 tensors from what `pack` made."""
    tensors: dict[str, Tensor] = {}
    for name, value in stored.items():
        if name.endswith(_ROWS):
            plain = name.removesuffix(_ROWS)
            tensors[plain] = value.float() * stored[plain + _SCALES][:, None]
        elif not name.endswith(_SCALES):
            tensors[name] = value.float() if value.is_floating_point() else value
    return tensors


def pack_folder(
    source: Path, out: Path, *, model: str | None = None, words: Collection[str] | None = None
) -> None:
    """Copy a model folder with packed weights and without what only training needs.

    Args:
        source: A folder that `save_folder` wrote.
        out: The new folder.
        model: Name of the model in its manifest; None for the folder's name.
        words: Words that stay in the vocabulary, where rare ones may not be given away; None for
            all. Those that go are unknown words from then on.
    """
    out.mkdir(parents=True, exist_ok=True)
    replies, posts = start_vocabularies(source)
    rows_kept = _rows_kept(replies, words)
    post_rows = rows_kept if posts is None else _rows_kept(posts, words)
    rows_of = {**dict.fromkeys(BY_WORD, rows_kept), BY_POST_WORD: post_rows}
    tensors = {
        name: value[rows_of[name]] if name in rows_of else value
        for name, value in _read(source / WEIGHTS).items()
        if not name.startswith(TRAINING_ONLY)
    }
    with replacing(out / WEIGHTS) as path:
        save_file(pack(tensors, small=True), path)
    Vocabulary(tuple(replies.words[i] for i in rows_kept)).save(out / VOCABULARY)
    if posts is not None:
        Vocabulary(tuple(posts.words[i] for i in post_rows)).save(out / POSTS)
    with replacing(out / CONFIG) as path:
        path.write_bytes((source / CONFIG).read_bytes())
    _write_manifest(out, {**_manifest(source), "model": model or out.name})


def _rows_kept(vocabulary: Vocabulary, words: Collection[str] | None) -> list[int]:
    signs = len(SPECIALS)
    return [
        i for i, word in enumerate(vocabulary.words) if i < signs or words is None or word in words
    ]


def load_folder(
    system: str,
    model: str | None,
    kind: type[Any],
    build: Callable[[Any, Corpus], Any],
    *,
    device: str = "auto",
    config: Any = None,
) -> Recurrent:
    """Load a trained model.

    Args:
        system: Name of the system.
        model: Name in the zoo or a folder; None for the system's English model of the zoo.
        kind: The system's config.
        build: Makes the network.
        device: "auto", "cpu", "cuda" or "mps".
        config: Its `replies` say how candidates are chosen; all else is the model's own.

    Raises:
        ModelMissing: If there is no such model.
        CheckpointError: If its files are damaged or of another system.
    """
    from emotone.recurrent.responder import Recurrent

    devices.check_name(device)
    where = _find(system, model)
    manifest = _manifest(where)
    if manifest.get("system") != system:
        raise CheckpointError(
            f"{where.name} is a model of {manifest.get('system')!r}, not of {system}; load it with"
            f" --system {manifest.get('system')}"
        )
    try:
        own = configs.load(kind, where / CONFIG)
        vocabulary, posts = _vocabularies(where)
    except EmotoneError as error:
        raise CheckpointError(f"model folder {where}: {error}") from error
    if config is not None:
        own = replace(own, replies=config.replies)
    taxonomy = manifest.get("taxonomy")
    empty = encode([], vocabulary)
    corpus = Corpus(
        manifest["lang"],
        vocabulary,
        None if taxonomy is None else TAXONOMIES[taxonomy],
        empty,
        empty,
        emotion_words=tuple(tuple(words) for words in manifest.get("emotion_words", [])),
        longest=own.data.longest,
        words=Words(manifest["lang"], own.data.words, zeros=bool(manifest.get("zeros"))),
        posts=posts,
    )
    try:
        network = build(own, corpus)
    except (EmotoneError, ValueError) as error:
        raise CheckpointError(f"model folder {where} does not fit together: {error}") from error
    _put(network, where / WEIGHTS)
    return Recurrent(
        system,
        model or where.name,
        network,
        corpus,
        own.replies,
        device=_place(device),
        judges=judge_names(manifest.get("judges"), f"{where.name}/{MANIFEST}"),
    )


def _vocabularies(folder: Path) -> Vocabularies:
    posts = folder / POSTS
    return Vocabularies(
        Vocabulary.load(folder / VOCABULARY), Vocabulary.load(posts) if posts.is_file() else None
    )


def start_vocabularies(folder: Path) -> Vocabularies:
    """Read the words of a model folder that a training begins from.

    Raises:
        ModelMissing: If it is not a model folder.
    """
    if not (folder / WEIGHTS).is_file():
        raise ModelMissing(
            f"{folder} holds no {WEIGHTS}; name the folder that `emotone train` wrote, or leave"
            " start out"
        )
    return _vocabularies(folder)


def start_from(network: torch.nn.Module, folder: Path) -> int:
    """Take a model folder's weights wherever a name and a shape are the same.

    Returns:
        How many tensors were taken.

    Raises:
        CheckpointError: If the file is damaged, or has nothing that fits.
    """
    path = folder / WEIGHTS
    values, own = _read(path), network.state_dict()
    fitting = {n: v for n, v in values.items() if n in own and own[n].shape == v.shape}
    if not fitting:
        raise CheckpointError(f"nothing in {path} fits this network; begin from one of like sizes")
    network.load_state_dict(fitting, strict=False)
    return len(fitting)


def _find(system: str, model: str | None) -> Path:
    name = model or f"{system}-en"
    as_path = Path(name)
    if (as_path / CONFIG).is_file():
        return as_path
    if as_path.is_dir():
        raise ModelMissing(
            f"{name} is a folder without {CONFIG}; name the folder that `emotone train` wrote"
        )
    if len(as_path.parts) > 1 or as_path.is_absolute() or name.startswith("."):
        raise ModelMissing(f"there is no folder {name}; name one that `emotone train` wrote")
    return zoo.folder("systems", name.replace("-", "_").replace("_zh", "-zh").replace("_en", "-en"))


def _manifest(where: Path) -> dict[str, Any]:
    path = where / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or manifest["lang"] not in ("en", "zh"):
            raise ValueError("no language")
        if manifest["taxonomy"] is not None and manifest["taxonomy"] not in TAXONOMIES:
            raise ValueError(f"unknown taxonomy {manifest['taxonomy']!r}")
        lists = manifest.get("emotion_words", [])
        if not isinstance(lists, list) or not all(isinstance(words, list) for words in lists):
            raise ValueError("emotion_words is not a list of lists")
        taxonomy = TAXONOMIES.get(manifest["taxonomy"] or "")
        if lists and (taxonomy is None or len(lists) != len(taxonomy.labels)):
            raise ValueError(f"{len(lists)} lists of emotion words")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); train or install again") from error
    return manifest


def _read(path: Path) -> dict[str, Tensor]:
    """Read weights, packed or not, as float32."""
    try:
        return unpack(load_file(path))
    except (OSError, SafetensorError, KeyError, RuntimeError, IndexError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); train or install again") from error


def _put(network: torch.nn.Module, path: Path) -> None:
    values = _read(path)
    own = network.state_dict(keep_vars=True)
    tied = {id(value) for name, value in own.items() if name in values}
    lacks = [
        name
        for name, value in own.items()
        if id(value) not in tied and not name.startswith(TRAINING_ONLY)
    ]
    wrong = [n for n, v in values.items() if n not in own or own[n].shape != v.shape]
    if lacks or wrong:
        raise CheckpointError(
            f"{path} does not fit its config ({(lacks + wrong)[0]!r} differs); train or install"
            " again"
        )
    network.load_state_dict(values, strict=False)


def _place(asked: str) -> str:
    if asked == "auto" and not torch.cuda.is_available():
        asked = "cpu"  # MPS only when it is asked for, as nothing here was tried on it
    return str(devices.place(asked))
