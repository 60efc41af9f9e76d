"""Word vectors as text: one word and its numbers a line, the format of Chinese-Word-Vectors.

The first line may say how many words and numbers there are ("195202 300"). Fields are separated
by one blank; lines may end in one. A word may hold blanks, for it ends where its numbers begin.

Source: Li et al. 2018, "Analogical Reasoning on Chinese Morphological and Semantic Relations";
the format is that of word2vec's text files.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from emotone.data.reading import DAMAGED, MAX_LINE, Problems, open_binary
from emotone.encoding import advice, kind_of
from emotone.errors import DataError, number_of
from emotone.files import replacing

if TYPE_CHECKING:
    import numpy as np

_HEADER = re.compile(rb"(\d{1,12})[ \t]+(\d{1,6})[ \t]*")
_NUMBER = re.compile(rb"[+-]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf)", re.I)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_DECIMAL = re.compile(rb"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True, eq=False)
class WordVectors:
    """Words and their vectors.

    Args:
        words: The words, each once, in the order of the file.
        matrix: Float32 [N, d]; row i belongs to word i.
    """

    words: tuple[str, ...]
    matrix: np.ndarray

    def __post_init__(self) -> None:
        """Refuse a matrix of another shape, and a word that occurs twice."""
        if self.matrix.ndim != 2 or len(self.matrix) != len(self.words):
            raise DataError(
                f"a matrix of shape {self.matrix.shape} came with {len(self.words)} words; "
                "give one row for each word"
            )
        if len(set(self.words)) != len(self.words):
            raise DataError("a word occurs twice among the word vectors; keep one row of it")

    def coverage(self, vocabulary: Collection[str]) -> float:
        """Share of a vocabulary that has a vector; NaN for an empty vocabulary."""
        wanted = set(vocabulary)
        return len(wanted & set(self.words)) / len(wanted) if wanted else math.nan

    def rows(
        self, vocabulary: Sequence[str], generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Make the embedding matrix of a vocabulary.

        A word without a vector gets numbers from uniform(-sqrt(3/d), +sqrt(3/d)), that is of
        variance 1/d, as in ECM's released code.

        Returns:
            Float32 [V, d] in the order of the vocabulary, and bool [V]: True where the file had
            the word.
        """
        import numpy as np

        width = self.matrix.shape[1]
        bound = math.sqrt(3 / width)
        place = {word: i for i, word in enumerate(self.words)}
        matrix = generator.uniform(-bound, bound, (len(vocabulary), width)).astype(np.float32)
        known = np.array([word in place for word in vocabulary], dtype=bool)
        matrix[known] = self.matrix[[place[word] for word in vocabulary if word in place]]
        return matrix, known


def read_word_vectors(
    path: Path,
    vocabulary: Collection[str] | None = None,
    *,
    problems: Problems | None = None,
) -> WordVectors:
    """Read a file of word vectors (plain, gzip or bzip2), holding only the words asked for.

    Every line is checked for its number of fields; numbers are read, and checked, of the words
    that are kept. Of a word that comes more than once the first line counts, as in gensim; how
    many there were stands in `problems.left_out`.

    Args:
        path: The file.
        vocabulary: Words to keep; None keeps all.
        problems: What to do with bad lines; by default the first one raises.

    Returns:
        The words found and their vectors, in the order of the file.

    Raises:
        DataError: With file and line: fields are missing or too many, a number is not a number or
            not finite, the file ends before the words its header promises; or it is not text.
    """
    import numpy as np

    problems = problems or Problems()
    wanted = None if vocabulary is None else frozenset(vocabulary)
    words: dict[str, int] = {}
    vectors: list[np.ndarray] = []
    width = promised = None
    held, blank = 0, b" "
    for number, line in _lines(path, problems):
        if number == 1 and (header := _HEADER.fullmatch(line)):
            promised, width = int(header[1]), int(header[2])
            if not width:
                raise DataError(f"{path.name}, line 1: vectors of 0 numbers; fetch the file again")
            continue
        held += 1
        if held == 1:
            blank = _blank(line)
        if width is None:
            width = _width(line, blank)
        fields = line.rsplit(blank, width) if width else []
        if width is None or len(fields) != width + 1 or not fields[0]:
            if promised is not None and held == 1:
                _refuse_binary(path, line)
            problems.bad(path, number, _count_message(line, width, blank))
            continue
        # A blank inside the first field is a word of two parts, unless the second is a decimal.
        tail = fields[0].rpartition(blank)
        if tail[1] and _DECIMAL.fullmatch(tail[2]):
            problems.bad(path, number, _count_message(line, width, blank))
            continue
        try:
            word = fields[0].decode()
        except UnicodeDecodeError as error:
            at = error.start
            problems.bad(path, number, f"byte {at + 1} is not UTF-8; {advice(fields[0], at)}")
            continue
        if wanted is not None and word not in wanted:
            continue
        if word in words:
            problems.left_out["word that came before"] += 1
            continue
        vector = _vector(fields[1:], path, number, problems)
        if vector is not None:
            words[word] = number
            vectors.append(vector)
    if promised is not None and held < promised:
        problems.bad(
            path,
            None,
            f"line 1 promises {number_of(promised, 'word')}, but {held} came; fetch it again",
        )
    if width is None:
        raise DataError(f"{path.name}: no word vector is in it; give lines of a word and numbers")
    return WordVectors(
        tuple(words), np.stack(vectors) if vectors else np.zeros((0, width), dtype=np.float32)
    )


def _blank(line: bytes) -> bytes:
    """Return what stands between the fields: a tab where numbers follow tabs, else a blank."""
    return b"\t" if _NUMBER.fullmatch(line.rpartition(b"\t")[2]) and b"\t" in line else b" "


def _refuse_binary(path: Path, line: bytes) -> None:
    """Say so where no text follows the header, as in word2vec's binary files."""
    if _CONTROL.search(line) or "\ufffd" in line.decode("utf-8", "replace"):
        raise DataError(
            f"{path.name} holds binary word vectors of word2vec; save them as text, as gensim's "
            "KeyedVectors.save_word2vec_format(..., binary=False) does"
        )


def _width(line: bytes, blank: bytes) -> int | None:
    """Numbers at the end of a file's first line, its first field excluded; None without any."""
    count = 0
    for field in reversed(line.split(blank)[1:]):
        if _NUMBER.fullmatch(field) is None:
            break
        count += 1
    return count or None


def _count_message(line: bytes, width: int | None, blank: bytes) -> str:
    expected = number_of(width, "number") if width else "its numbers"
    fields = number_of(line.count(blank), "field")
    between = "tabs" if blank == b"\t" else "blanks"
    return f"{fields} after the first; give a word and {expected}, with {between} between"


def _vector(fields: list[bytes], path: Path, number: int, problems: Problems) -> np.ndarray | None:
    import numpy as np

    try:
        values = [float(field) for field in fields]
    except ValueError:
        bad = next((f for f in fields if _NUMBER.fullmatch(f) is None), fields[0])
        problems.bad(path, number, f"{bad[:40].decode(errors='replace')!r} is not a number; fix it")
        return None
    with np.errstate(over="ignore"):
        vector = np.array(values, dtype=np.float32)
    if not np.isfinite(vector).all():
        place = int(np.argmin(np.isfinite(vector)))
        came = fields[place].decode(errors="replace")
        problems.bad(path, number, f"number {place + 1} is {came}; only finite numbers can be used")
        return None
    return vector


def _lines(path: Path, problems: Problems) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line without its end and trailing blanks)."""
    with open_binary(path) as source:
        number = 0
        while True:
            try:
                raw = source.readline(MAX_LINE + 1)
            except DAMAGED as error:
                problems.bad(path, number + 1, f"the file is damaged ({error}); fetch it again")
                return
            if not raw:
                return
            if not number and (kind := kind_of(raw)):
                raise DataError(f"cannot read {path.name}: it is {kind}")
            number += 1
            if len(raw) > MAX_LINE:
                while raw and not raw.endswith(b"\n"):
                    raw = source.readline(MAX_LINE)
                problems.bad(path, number, f"the line is longer than {MAX_LINE} bytes; split it")
                continue
            if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
                raw = raw[3:]
            yield number, raw.rstrip(b"\r\n").rstrip(b" ")


def write_word_vectors(
    path: Path, words: Sequence[str], matrix: np.ndarray, *, digits: int = 9
) -> None:
    """Write word vectors with a header line; gzip where the name ends in `.gz`. Atomic.

    Args:
        path: The file.
        words: The words, each once.
        matrix: Numbers [N, d], finite.
        digits: Significant digits; 9 give every float32 back exactly, 6 is a third smaller.

    Raises:
        DataError: If the matrix does not fit the words, a number is not finite, or a word cannot
            stand in such a file: it is empty, holds a line end, begins or ends with a blank, or
            its last part after a blank is a number.
    """
    import numpy as np

    if not np.isfinite(matrix).all():
        raise DataError("a word vector holds NaN or infinity; only finite numbers can be written")
    WordVectors(tuple(words), matrix)
    for word in words:
        _check_word(word)
    line = "".join([f" %.{digits}g"] * matrix.shape[1]) + "\n"
    with replacing(path) as temporary, temporary.open("wb") as raw:
        # No name and no time in the gzip header: the same vectors are the same bytes.
        packed = gzip.GzipFile("", "wb", 6, raw, 0) if path.suffix == ".gz" else None
        out = cast("IO[bytes]", packed or raw)
        out.write(f"{len(words)} {matrix.shape[1]}\n".encode())
        for word, row in zip(words, matrix, strict=True):
            out.write((word + line % tuple(row.tolist())).encode())
        if packed:
            packed.close()


def _check_word(word: str) -> None:
    last = word.rpartition(" ")
    if (
        not word
        or word != word.strip(" ")
        or any(c in word for c in "\r\n")
        or (last[1] and _DECIMAL.fullmatch(last[2].encode("utf-8", "replace")))
    ):
        raise DataError(
            f"{word!r} cannot be a word of a vector file; words are not empty, hold no line end, "
            "no blank at an end, and no decimal number after a blank"
        )
    try:
        word.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{word!r} is half a surrogate pair; write it in UTF-8") from error
