"""Ways to find a direction, beside one another on one model.

1. answer  replies by every set at four doses to development posts    FOLDER/<set>-<dose>.jsonl
2. made    replies by what `emotone vectors make` made, at 50 and 100  FOLDER/at-<intensity>.jsonl
3. score   figures by the judges that score                           docs/results/directions.json
4. page    docs/systems/directions.md, from that file

`python -m recipes.directions.make answer smollm2 --made FILE`, then `score`; FILE is what
`emotone vectors make` wrote for the model. A file of replies that is there is left alone. The model
called merged is the English companion, its adapters merged into the weights and saved as a folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emotone.data import everyday
from emotone.data.text import Lang
from emotone.emotions import EVERYDAY, EmotionMix
from emotone.evaluation.records import reply_line
from emotone.evaluation.score import score_files
from emotone.files import replacing, write_json
from emotone.judges import SCORE
from emotone.lm.chat import FRIENDS
from emotone.models import CausalLM, load_causal_lm
from emotone.steering.card import VectorsCard
from emotone.steering.dose import Curve
from emotone.steering.estimate import Estimate
from emotone.steering.extract import (
    ExtractSettings,
    extract,
    shaped,
    text_activations,
    text_differences,
)
from emotone.steering.find import open_vectors
from emotone.steering.fingerprint import fingerprint
from emotone.steering.layers import Site, blocks, hooked
from emotone.steering.make import JUDGED, contrast
from emotone.steering.record import ResponseMeans, hidden
from emotone.steering.vectors import EmotionVectors
from emotone.systems.steered import Config, Steered
from emotone.types import Decoding, Dialogue, Example, Reply
from recipes.compare.files import PAGES, RESULTS, filled, read_results, write_page, write_results
from recipes.compare.table import shown, table

RESULT, PAGE = RESULTS / "directions.json", PAGES / "directions.md"
EMOTIONS = JUDGED[:6]
#: Models by the name of their folder, and the language that they are asked in.
LANGS: Mapping[str, Lang] = {"smollm2": "en", "merged": "en", "gemma3-270m": "zh"}
INTENSITIES = (50, 100)
#: Multiples of each set's own full push.
DOSES = (0.3, 0.6, 1.0, 1.5)
#: Lines of everyday that directions are read off, each with a reply in each emotion, and posts that
#: the model answers itself for the paper's.
_READ, _ANSWERED = 90, 12
METRICS = ("emotion_accuracy", "sense", "repeated_4")


@dataclass(frozen=True, slots=True)
class Found:
    """What one way finds.

    Args:
        vectors: The directions.
        full: The raw dose that counts as a full push.
        level: Emotion -> unit direction [L, d] and how far texts of the emotion lie along it [L],
            where a push goes no further than there.
    """

    vectors: EmotionVectors
    full: float = 1.0
    level: Mapping[str, tuple[Tensor, Tensor]] | None = None


def whole(emotion: str) -> EmotionMix:
    """Return an emotion at 100."""
    return EmotionMix.of({emotion: 100.0}, EVERYDAY)


class Bench:
    """A model, and the texts that directions are read off, read once for each site."""

    def __init__(self, model: str, made: str) -> None:
        self.lm: CausalLM = load_causal_lm(model)
        self.made = made
        self.lang: Lang = LANGS[Path(model).name]
        self.system = FRIENDS[self.lang]
        plain = [
            line for line in contrast(self.lang, moods=False) if line.kind == "plain"
            and {*EMOTIONS, "neutral"} <= set(line.replies)
        ]  # fmt: skip
        self.lines = plain[:: len(plain) // _READ][:_READ]
        self._read: dict[str, dict[str, ResponseMeans]] = {}

    def read(self, site: Site) -> dict[str, ResponseMeans]:
        """Return the states of the replies by label, in the order of the posts."""
        if site not in self._read:
            settings = ExtractSettings(method="reading", system=self.system, site=site)
            examples = [
                Example(f"{line.id}-{label}", line.dialogue, whole(label), text)
                for line in self.lines for label, text in line.replies.items()
                if label in (*EMOTIONS, "neutral")
            ]  # fmt: skip
            self._read[site] = text_activations(
                self.lm.model, self.lm.tokenizer, examples, EMOTIONS, settings
            )
        return self._read[site]

    def reading(self, estimate: Estimate, site: Site = "resid") -> Found:
        """Directions of the method `reading`, shaped as `extract` shapes them."""
        by_label = self.read(site)
        norms = torch.stack([m.norms for m in by_label.values()]).median(0).values
        settings = ExtractSettings(method="reading", estimate=estimate, site=site)
        differences = text_differences(by_label, EMOTIONS, settings.estimate)
        directions = shaped(differences, norms, by_label["neutral"], settings)
        return Found(self._vectors(directions, norms, site))

    def random(self) -> Found:
        """Directions by chance, as long as those of `reading`."""
        vectors = self.reading("mean").vectors
        draw = torch.Generator().manual_seed(0)
        directions = {
            label: nn.functional.normalize(torch.randn(v.shape, generator=draw), dim=-1)
            * v.norm(dim=-1, keepdim=True)
            for label, v in vectors.directions.items()
        }
        return Found(replace(vectors, directions=directions))

    def target(self) -> Found:
        """The mean differences, whose push goes no further than texts of the emotion lie."""
        found = self.reading("mean")
        level: dict[str, tuple[Tensor, Tensor]] = {}
        for label, v in found.vectors.directions.items():
            unit = nn.functional.normalize(v, dim=-1)
            level[label] = unit, (self.read("resid")[label].means.mean(0) * unit).sum(-1)
        nothing = {label: v * 1e-9 for label, v in found.vectors.directions.items()}
        return Found(replace(found.vectors, directions=nothing), level=level)

    def answers(self) -> Found:
        """The paper's, of the model's own answers to some posts; a full push is twice as long."""
        settings = ExtractSettings(
            method="answers", system=self.system, site="attn_out", positions="last", scaled=False
        )
        examples = [
            Example(f"{line.id}-{e}", line.dialogue, whole(e))
            for line in self.lines[:_ANSWERED]
            for e in EMOTIONS
        ]
        return Found(extract(self.lm, examples, settings=settings), full=2.0)

    def file(self, name: str) -> Found:
        """Directions of a file."""
        vectors = open_vectors(name)
        return Found(vectors.only(*EMOTIONS))

    def _vectors(
        self, directions: Mapping[str, Tensor], norms: Tensor, site: Site
    ) -> EmotionVectors:
        card = VectorsCard(
            model=self.lm.name,
            fingerprint=fingerprint(self.lm.model),
            system_prompt=self.system,
            site=site,
            positions="last",
            method="reading",
            norms=tuple(float(n) for n in norms),
        )
        return EmotionVectors(dict(directions), card)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to find directions, and what it is called."""

    title: str
    find: Callable[[Bench], Found]


TITLES: Mapping[Estimate, str] = {
    "mean": "mean difference",
    "pca": "first principal axis of paired differences",
    "logistic": "logistic regression",
    "whitened": "whitened mean difference (Fisher)",
}
WAYS: Mapping[str, Way] = {
    "random": Way("random, as long as the next", Bench.random),
    **{
        name: Way(title, lambda bench, name=name: bench.reading(name))
        for name, title in TITLES.items()
    },
    "attention": Way(
        "mean difference of what attention adds", lambda b: b.reading("mean", "attn_out")
    ),
    "target": Way("mean difference, no further than such texts lie", Bench.target),
    "answers": Way("the paper's: the model's own answers, attention", Bench.answers),
    "fitted": Way("fitted at one dose, per reply (`extract`)", lambda b: b.file("smollm2")),
    "made": Way("fitted at drawn doses, per post (`vectors make`)", lambda b: b.file(b.made)),
}


@contextmanager
def pushed_to(model: nn.Module, level: tuple[Tensor, Tensor] | None, dose: float) -> Iterator[None]:
    """Push the last column of each block's output towards a level, where it is below."""
    if level is None:
        yield
        return
    units, levels = level
    first, last = (round(f * (len(units) - 1)) for f in ExtractSettings().window)

    def hook(index: int):
        def push(_module: nn.Module, _args: Any, output: Any) -> Any:
            if not first <= index <= last:
                return output
            state, unit = hidden(output).clone(), units[index]
            short = (dose * levels[index] - state[:, -1] @ unit).clamp_min(0.0)
            state[:, -1] += short[:, None] * unit
            return (state, *output[1:]) if isinstance(output, tuple) else state

        return push

    with hooked(blocks(model), hook):
        yield


def posts_of(lang: Lang, count: int) -> list[Dialogue]:
    """Return development posts that nothing here learned from."""
    lines = [line for line in everyday.lines(lang, splits=["dev"]) if not line.history]
    dev = [line for line in lines if line.kind == "plain"] or lines  # Chinese ones are rich
    return [line.dialogue for line in dev[:: len(dev) // count][:count]]


def write(replies: Mapping[str, Sequence[Reply]], posts: Sequence[Dialogue], lang: Lang, out: Path):
    """Write the replies in each emotion to the same posts."""
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for emotion, of_emotion in replies.items():
            for i, (post, reply) in enumerate(zip(posts, of_emotion, strict=True)):
                example = Example(f"{i}:{emotion}", post, lang=lang)
                file.write(reply_line(example, replace(reply, emotion=whole(emotion))) + "\n")


def answer_made(model: str, made: str, folder: Path, count: int) -> None:
    """Write replies by vectors of a file as they are used: calibrated, the best of four."""
    lm, lang = load_causal_lm(model), LANGS[Path(model).name]
    system = Steered(lm, open_vectors(made), Config(batch=64))
    posts = posts_of(lang, count)
    folder = folder / Path(model).name
    folder.mkdir(parents=True, exist_ok=True)
    for intensity in INTENSITIES:
        replies = {
            e: system.reply(
                posts,
                [EmotionMix.of({e: float(intensity)}, EVERYDAY)] * len(posts),
                decoding=Decoding(seed=1),
            )
            for e in EMOTIONS
        }
        write(replies, posts, lang, folder / f"at-{intensity}.jsonl")


def answer(model: str, made: str, folder: Path, count: int, only: Sequence[str]) -> None:
    """Write the replies of every way at every dose."""
    bench = Bench(model, made)
    posts = posts_of(bench.lang, count)
    folder = folder / Path(model).name
    folder.mkdir(parents=True, exist_ok=True)
    for name in only or WAYS:
        outs = {dose: folder / f"{name}-{dose}.jsonl" for dose in DOSES}
        if all(out.exists() for out in outs.values()) or (name == "fitted" and bench.lang != "en"):
            continue
        began = time.perf_counter()
        found = WAYS[name].find(bench)
        seconds = time.perf_counter() - began
        straight = Curve(((-100.0, -1.0), (0.0, 0.0), (100.0, 1.0)))
        card = replace(found.vectors.card, curves=dict.fromkeys(found.vectors.labels, straight))
        system = Steered(
            bench.lm, replace(found.vectors, card=card),
            Config(candidates=1, batch=64, retrieve=0, system=bench.system),
        )  # fmt: skip
        for dose, out in outs.items():
            replies: dict[str, Sequence[Reply]] = {}
            for emotion in EMOTIONS:
                level = found.level[emotion] if found.level else None
                with pushed_to(bench.lm.model, level, dose):
                    replies[emotion] = system.reply_raw(
                        posts,
                        [{emotion: dose * found.full}] * len(posts),
                        decoding=Decoding(seed=1),
                    )
            write(replies, posts, bench.lang, out)
        write_json(folder / f"{name}.json", {"seconds to find": round(seconds, 1)})
        print(f"{name}: {seconds:.0f} s, {time.perf_counter() - began:.0f} s in all", flush=True)


def score(folder: Path) -> dict[str, Any]:
    """Score every file of replies that is there."""
    models: dict[str, Any] = {}
    for model, lang in LANGS.items():
        manifest: dict[str, Any] = {}

        def scored(path: Path, lang: Lang = lang, manifest: dict[str, Any] = manifest) -> Any:
            (scores,) = score_files(
                path, METRICS, judge=f"{SCORE[lang]}:everyday", labels=folder / ".labels"
            )
            manifest.update({k: scores.manifest[k] for k in ("emotone", "commit", "judges")})
            numbers = {
                k: {"value": n.value, "low": n.low, "high": n.high, "n": n.n}
                for k, n in scores.metrics.items()
            }
            print(path, {k: n["value"] for k, n in numbers.items()}, flush=True)
            return numbers

        paths = {
            name: {
                str(d): path
                for d in DOSES
                if (path := folder / model / f"{name}-{d}.jsonl").exists()
            }
            for name in WAYS
        }
        at = {str(i): folder / model / f"at-{i}.jsonl" for i in INTENSITIES}
        models[model] = {
            "ways": {k: {d: scored(p) for d, p in of.items()} for k, of in paths.items() if of},
            "made": {i: scored(path) for i, path in at.items() if path.exists()},
            "manifest": manifest,
        }
    return models


def page(models: Mapping[str, Any]) -> str:
    """Write the page."""
    parts: list[str] = []
    made: list[list[str]] = []
    for model, result in models.items():
        if result["made"]:
            judges = " and ".join(f"`{name}`" for name in result["manifest"]["judges"])
            cells = [shown(result["made"][str(i)][k], 2) for i in INTENSITIES for k in METRICS[:2]]
            made.append([model, *cells, judges])
        rows = [
            [WAYS[name].title, *(_cell(of.get(str(dose))) for dose in DOSES)]
            for name, of in result["ways"].items()
        ]
        if rows:
            of_first = next(iter(result["ways"].values()))
            n = next(iter(of_first.values()))["emotion_accuracy"]["n"]
            parts += [f"## {model}", "", f"{n} replies a cell, to {n // len(EMOTIONS)} posts.", ""]
            parts += [*table(["heard, sense, repeats at", *map(str, DOSES)], rows), ""]
    head = [
        "model",
        *(f"{what} at {i}" for i in INTENSITIES for what in ("heard", "sense")),
        "judges",
    ]
    return filled(Path(__file__).with_name("page.md"), tables=parts, made=table(head, made))


def _cell(numbers: Mapping[str, Any] | None) -> str:
    if numbers is None:
        return ""
    heard, sense, repeats = (numbers[k]["value"] for k in METRICS)
    return f"{heard:.2f}, {sense:.2f}, {repeats or 0:.2f}"


def main() -> None:
    torch.set_num_threads(2)
    arguments = argparse.ArgumentParser()
    arguments.add_argument("step", choices=["answer", "made", "score", "page"])
    arguments.add_argument("model", nargs="?", default="smollm2")
    arguments.add_argument("--made", default="")
    arguments.add_argument("--posts", type=int, default=8)
    arguments.add_argument("--only", nargs="+", choices=list(WAYS), default=())
    arguments.add_argument("--to", type=Path, default=Path("out/directions"))
    given = arguments.parse_args()
    if given.step == "answer":
        answer(given.model, given.made, given.to, given.posts, given.only)
        return
    if given.step == "made":
        answer_made(given.model, given.made, given.to, given.posts)
        return
    if given.step == "score":
        write_results(RESULT, score(given.to))
    write_page(PAGE, page(read_results(RESULT)))


if __name__ == "__main__":
    main()
