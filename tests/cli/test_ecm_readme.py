"""Every option of the ECM README and its code, by the setting that our page maps it to.

The page's table is read: a row without a test fails, and a test takes its settings from its row.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from emotone.cli import main
from emotone.data import synthetic
from emotone.emotions import NLPCC

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "systems" / "ecm.md"
TINY = """
[data]
train = "{pool}/train.jsonl"
dev = "{pool}/dev.jsonl"
lang = "en"
limit = 48
[sizes]
embedding = 6
encoder_hidden = 5
hidden = 7
dropout = 0.0
blank = 0.0
[parts]
width = 4
memory = 3
words = "{pool}/ememory.json"
[training]
batch = 16
max_steps = 1
log_every = 1
threads = 1
device = "cpu"
[replies]
candidates = 2
"""


def table() -> dict[str, str]:
    """First and second cell of the rows of the page's table of options."""
    section = PAGE.read_text("utf-8").split("## Options of the ECM README")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| ")]
    return {there.strip(): here.strip() for there, here in rows[1:]}


ROWS = table() if PAGE.is_file() else {}
TESTED: dict[str, Callable[..., None]] = {}


def row(there: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Say which row of the table a test is of."""

    def keep(test: Callable[..., None]) -> Callable[..., None]:
        TESTED[there] = test
        return test

    return keep


@dataclass
class Ecm:
    """A tiny ECM that the tests train again and again."""

    folder: Path
    #: What was made for all tests, by name.
    shared: dict[str, Path]
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: object) -> str:
        """Run a command that must end well; return what it printed."""
        self.monkeypatch.setattr("sys.argv", ["emotone", *map(str, arguments)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = self.capsys.readouterr()
        assert not ended.value.code, said.err
        return said.out

    def train(self, *settings: str, out: Path | None = None, more: tuple[object, ...] = ()) -> Path:
        """Train with some settings; return the model folder."""
        out = out or self.folder / f"run-{len(list(self.folder.iterdir()))}"
        given = [word for setting in settings for word in ("--set", setting)]
        self.run("train", "ecm", "-c", self.folder / "tiny.toml", "-o", out, *given, *more)
        return out

    def once(self, name: str, make: Callable[[], Path]) -> Path:
        """Make something that no test changes, for the first that asks for it."""
        if name not in self.shared:
            self.shared[name] = make()
        return self.shared[name]

    def plain(self) -> Path:
        """The model folder of a training without further settings."""
        return self.once("plain", self.train)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """A folder with a pool and a config, and what is made in it for all tests."""
    folder = tmp_path_factory.mktemp("ecm")
    synthetic.write(folder / "pool", 200, NLPCC)
    (folder / "tiny.toml").write_text(TINY.format(pool=folder / "pool"), "utf-8")
    return folder, {}


@pytest.fixture
def ecm(
    place: tuple[Path, dict[str, Path]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Ecm:
    return Ecm(*place, monkeypatch, capsys)


def settings(there: str) -> list[str]:
    """Settings that a row names."""
    found = re.findall(r"`((?:data|sizes|parts|training)\.\w+)", ROWS[there])
    assert found, there
    return found


def weights(run: Path) -> dict[str, np.ndarray]:
    return load_file(run / "weights.safetensors")


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]


def manifest(run: Path) -> dict[str, Any]:
    return json.loads((run / "manifest.json").read_text("utf-8"))


@pytest.mark.parametrize("there", ROWS)
def test_a_row_of_the_table_is_true(there: str, ecm: Ecm):
    assert there in TESTED, f"write a test of the row {there}"
    TESTED[there](ecm)


def test_the_table_has_every_row_that_is_tested():
    assert set(ROWS) == set(TESTED)
    readme = {"--use_emb", "--use_imemory", "--use_ememory", "--decode", "--size", "--num_layers"}
    readme |= {"--batch_size", "--steps_per_checkpoint", "--train_dir", "--beam_search"}
    assert readme <= set(re.findall(r"--\w+", " ".join(ROWS)))


# -- parts and sizes -------------------------------------------------------------------------------


def part(there: str, tensor: str) -> None:
    @row(there)
    def test(ecm: Ecm) -> None:
        (name,) = settings(there)
        plain = weights(ecm.plain())
        assert tensor in plain
        # A list of words without a memory for it is refused.
        less = ["parts.words="] if name == "parts.external" else []
        without = weights(ecm.train(f"{name}=false", *less))
        assert plain.keys() - without.keys() >= {tensor}


part("`--use_emb`", "embedding.weight")
part("`--use_imemory`", "internal.weight")
part("`--use_ememory`", "external.select.weight")


def width(there: str, values: dict[str, int], tensor: str, shape: tuple[int | None, ...]) -> None:
    @row(there)
    def test(ecm: Ecm) -> None:
        assert set(settings(there)) == set(values)
        found = weights(ecm.train(*(f"{k}={v}" for k, v in values.items())))[tensor].shape
        assert all(want in (None, got) for want, got in zip(shape, found, strict=True)), found


width(
    "`--size`",
    {"sizes.hidden": 9, "sizes.encoder_hidden": 8},
    "core.decoder.bridge.weight",
    (9, 16),
)
width(
    "`--num_layers`",
    {"sizes.layers": 2, "sizes.encoder_layers": 2},
    "core.decoder.from_state.1.weight",
    (None, 7),
)
width("`--embedding_size`", {"sizes.embedding": 8}, "core.source.weight", (None, 8))
width("`--emotion_size`", {"parts.width": 9}, "embedding.weight", (6, 9))
width("`--imemory_size`", {"parts.memory": 9}, "internal.weight", (6, 9))


@row("`--category`")
def category(ecm: Ecm) -> None:
    (name,) = settings("`--category`")
    run = ecm.plain()
    assert (manifest(run)["taxonomy"], len(weights(run)["internal.weight"])) == ("nlpcc", 6)
    pool = ecm.folder / "ekman"
    ecm.run("data", "prepare", "synthetic", "-o", pool)  # Ekman's seven
    files = (f"data.train={pool}/train.jsonl", f"data.dev={pool}/dev.jsonl")
    run = ecm.train(f"{name}=ekman", *files, f"parts.words={pool}/ememory.json")
    assert (manifest(run)["taxonomy"], len(weights(run)["internal.weight"])) == ("ekman", 7)


@row("`--post_vocab_size`, `--response_vocab_size`")
def vocabulary(ecm: Ecm) -> None:
    (name,) = settings("`--post_vocab_size`, `--response_vocab_size`")
    run = ecm.train(f"{name}=40")
    assert len(json.loads((run / "vocab.json").read_text("utf-8"))) == 40
    assert len(weights(run)["core.bias"]) == 40


# -- training --------------------------------------------------------------------------------------


@row("`--batch_size`")
def batch_size(ecm: Ecm) -> None:
    (name,) = settings("`--batch_size`")
    run = ecm.train(f"{name}=8", "training.max_steps=0", "training.epochs=1")
    assert manifest(run)["training"]["steps"] == 48 / 8


@row("`--steps_per_checkpoint`")
def steps_per_checkpoint(ecm: Ecm) -> None:
    evaluate, save = settings("`--steps_per_checkpoint`")
    many = ("training.max_steps=9", "training.epochs=9")
    run = ecm.train(f"{evaluate}=2", f"{save}=4", *many)
    assert [line["step"] for line in log(run) if "dev_loss" in line][:4] == [2, 4, 6, 8]
    assert {p.name for p in (run / "checkpoints").glob("step-*")} >= {"step-00000008"}
    assert not (run / "checkpoints" / "step-00000006").exists()


@row("`--learning_rate`")
def learning_rate(ecm: Ecm) -> None:
    optimiser, rate = settings("`--learning_rate`")
    one, two = (
        ecm.train(f"{optimiser}=sgd", f"{rate}={lr}", "training.clip=0.001") for lr in (0.5, 0.25)
    )
    assert [log(run)[0]["lr"] for run in (one, two)] == [0.5, 0.25]
    # Clipped alike from the same start, a step of SGD is as long as the rate.
    assert moved(one, two) == pytest.approx(0.25 * 0.001, rel=0.02)


@row("`--learning_rate_decay_factor`")
def decay(ecm: Ecm) -> None:
    (name,) = settings("`--learning_rate_decay_factor`")
    many = ("training.max_steps=30", "training.epochs=30", "training.patience=0")
    slow = ("training.optimiser=sgd", "training.lr=1e-6", "training.evaluate_every=1")
    lines = log(ecm.train(f"{name}=0.5", *slow, *many))
    rates = [line["lr"] for line in lines if "dev_loss" in line]
    losses = [line["loss"] for line in lines if "loss" in line]
    wanted, rate = [], 1e-6
    for i, loss in enumerate(losses):
        rate *= 0.5 if i > 2 and loss > max(losses[i - 3 : i]) else 1.0
        wanted.append(rate)
    assert rates == wanted
    assert wanted[-1] < 1e-6


@row("`--max_gradient_norm`")
def gradient_norm(ecm: Ecm) -> None:
    (name,) = settings("`--max_gradient_norm`")
    sgd = ("training.optimiser=sgd", "training.lr=0.5")
    one, two = (ecm.train(f"{name}={norm}", *sgd) for norm in (0.001, 0.003))
    assert moved(one, two) == pytest.approx(0.5 * 0.002, rel=0.02)


def moved(one: Path, two: Path) -> float:
    """Distance between the weights of two runs."""
    first, second = weights(one), weights(two)
    return float(np.sqrt(sum(((first[k] - second[k]) ** 2).sum() for k in first)))


@row("`--max_train_data_size`")
def limit(ecm: Ecm) -> None:
    (name,) = settings("`--max_train_data_size`")
    assert manifest(ecm.train(f"{name}=20"))["pairs"] == 20


@row("`--use_fp16`")
def half(ecm: Ecm) -> None:
    (name,) = settings("`--use_fp16`")
    exact, rough = ecm.plain(), ecm.train(f"{name}=bf16")
    one, two = log(exact)[0]["loss"], log(rough)[0]["loss"]
    assert one != two
    assert one == pytest.approx(two, rel=0.01)


@row("`--train_dir`")
def train_dir(ecm: Ecm) -> None:
    assert "`--out`" in ROWS["`--train_dir`"]
    run = ecm.train(out=ecm.folder / "mine" / "train")
    ecm.train("training.max_steps=2", out=run)  # the same folder goes on
    assert [line["step"] for line in log(run) if "loss" in line] == [1, 2]


@row("`--load_model`")
def load_model(ecm: Ecm) -> None:
    assert "`--resume" in ROWS["`--load_model`"]
    run = ecm.train("training.max_steps=2", "training.save_every=1")
    place = run / "checkpoints" / "step-00000001"
    ecm.train("training.max_steps=3", "training.save_every=1", out=run, more=("--resume", place))
    assert [line["step"] for line in log(run) if "loss" in line] == [1, 2, 3]


# -- data ------------------------------------------------------------------------------------------

#: In the format of ECM's sample, with blanks between words.
ESTC = [
    [["今天 下雨 了 ， 没 带 伞", 2, 0], [["快 找 个 地方 躲 一下 吧", 1, 0], ["真 倒霉", 4, 3]]],
    [["终于 放假 啦 ！", 5, 5], [["玩 得 开心", 5, 1], ["我 好 难过", 2, 0]]],
    [["这 也 太 脏 了", 3, 0], [["真 恶心", 3, 1]]],
]
#: One list an emotion: other, like, sadness, disgust, anger, happiness.
EMEMORY = [[], ["喜欢", "躲"], ["难过"], ["恶心"], ["倒霉", "没有的词"], ["开心"]]


def chinese(ecm: Ecm, *more: str) -> Path:
    """Train on the sample as a person with ECM's files would."""

    def prepared() -> Path:
        folder = ecm.folder
        (folder / "train").write_text(json.dumps(ESTC, ensure_ascii=False), "utf-8")
        (folder / "vocab40000.ememory").write_text(json.dumps(EMEMORY, ensure_ascii=False), "utf-8")
        for side in ("train", "dev"):
            ecm.run(
                "data", "prepare", "ecm", "--from", folder / "train", "-o", folder / f"{side}.jsonl"
            )
        return folder

    folder = ecm.once("prepared", prepared)
    return ecm.train(
        *("data.lang=zh", f"data.train={folder}/train.jsonl", f"data.dev={folder}/dev.jsonl"),
        *(f"parts.words={folder}/vocab40000.ememory", *more),
    )


@row("`--data_dir`")
def data_dir(ecm: Ecm) -> None:
    train, dev = settings("`--data_dir`")
    pool = ecm.folder / "pool"
    run = ecm.train(f"{train}={pool}/test.jsonl", f"{dev}={pool}/train.jsonl", "data.limit=0")
    read = manifest(run)["data"]
    assert read.keys() == {"train", "dev", "words"}
    assert read["train"] == hashlib.sha256((pool / "test.jsonl").read_bytes()).hexdigest()


@row("data file, `data/train`")
def data_file(ecm: Ecm) -> None:
    assert "`emotone data prepare ecm`" in ROWS["data file, `data/train`"]
    run = ecm.once("chinese", lambda: chinese(ecm))
    assert (manifest(run)["pairs"], manifest(run)["lang"]) == (5, "zh")
    first = json.loads((ecm.folder / "train.jsonl").read_text("utf-8").splitlines()[0])
    assert (first["emotion"], first["reply"]) == ("like:100", "快找个地方躲一下吧")


@row("`ememory` file")
def ememory_file(ecm: Ecm) -> None:
    (name,) = settings("`ememory` file")
    assert name == "parts.words"
    run = ecm.once("chinese", lambda: chinese(ecm))
    assert manifest(run)["emotion_words"] == EMEMORY
    said = answer(ecm, run, "终于放假啦！", "喜欢")
    assert said["emotion"] == "like:100"


@row("word vectors")
def word_vectors(ecm: Ecm) -> None:
    (name,) = settings("word vectors")
    path = ecm.folder / "vector.txt"
    path.write_text("开心 1 0 0 0 0 0\n恶心 0 1 0 0 0 0\n没有的词 1 1 1 1 1 1\n", "utf-8")
    run = chinese(ecm, f"{name}={path}", "training.lr=1e-9", "training.optimiser=sgd")
    words = json.loads((run / "vocab.json").read_text("utf-8"))
    assert manifest(run)["vectors_cover"] == pytest.approx(2 / len(words), abs=1e-4)
    table = weights(run)["core.source.weight"]
    for place, word in enumerate(("开心", "恶心")):
        np.testing.assert_allclose(table[words.index(word)], np.eye(6)[place], atol=1e-5)


@row("word splitting, `split()`")
def splitting(ecm: Ecm) -> None:
    run = ecm.once("chinese", lambda: chinese(ecm))
    words = json.loads((run / "vocab.json").read_text("utf-8"))
    assert {"下雨", "放假", "开心"} <= set(words)
    asked = ("终于放假啦！", "终于 放假 啦 ！", "终 于 放 假 啦 ！")
    made = [answer(ecm, run, text, "喜欢") for text in asked]
    assert len({(one["text"], one["logprob"]) for one in made}) == 1
    other = answer(ecm, run, "今天下雨了", "喜欢")
    assert other["logprob"] != made[0]["logprob"]


# -- replies ---------------------------------------------------------------------------------------


def answer(ecm: Ecm, run: Path, text: str, emotion: str, *more: str) -> dict[str, Any]:
    command = ("reply", text, "--system", "ecm", "--model", run, "--emotion", emotion, "--json")
    return json.loads(ecm.run(*command, "--device", "cpu", "--max-tokens", "6", *more))


@row("`--decode`")
def decode(ecm: Ecm) -> None:
    assert "`emotone reply`" in ROWS["`--decode`"]
    run = ecm.plain()
    sad, glad = (answer(ecm, run, "i saw a cat .", e, "--greedy") for e in ("sadness", "joy"))
    assert (sad["emotion"], glad["emotion"]) == ("sadness:100", "happiness:100")
    assert sad["logprob"] != glad["logprob"]


def replies(ecm: Ecm) -> Path:
    run, out = ecm.plain(), ecm.folder / "replies.jsonl"
    command = ("generate", "--system", "ecm", "--model", run, "--device", "cpu")
    ecm.run(*command, "-i", ecm.folder / "pool" / "test.jsonl", "-o", out, "--max-tokens", "4")
    return out


@row("`--decode_file`")
def decode_file(ecm: Ecm) -> None:
    out = ecm.once("replies", lambda: replies(ecm))
    made = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(made) == len((ecm.folder / "pool" / "test.jsonl").read_text("utf-8").splitlines())
    assert {one["system"] for one in made} == {"ecm"}
    assert len({one["emotion"] for one in made}) > 2


@row("`--decode_bleu`")
def decode_bleu(ecm: Ecm) -> None:
    made, out = ecm.once("replies", lambda: replies(ecm)), ecm.folder / "scores.json"
    ecm.run("score", "-i", made, "--metrics", "bleu", "-o", out)
    assert '"bleu"' in out.read_text("utf-8")


@row("`--beam_search`, `--beam_size`")
def beams(ecm: Ecm) -> None:
    there = "`--beam_search`, `--beam_size`"
    assert ROWS[there] == "`--beams 20`"
    run = ecm.plain()
    found = answer(ecm, run, "i saw a cat .", "joy", *ROWS[there].strip("`").split())
    assert found["applied"]["search"] == "beam"
    assert found["applied"]["beams"] == 20
    again = answer(ecm, run, "i saw a cat .", "joy", "--greedy")
    assert found["logprob"] >= again["logprob"]
