"""Finds workflows: by meaning where an embedding package is installed, else by the words they share."""

from __future__ import annotations

import importlib.util
import logging
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, final

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..workflow import WorkflowInfo

MAX_QUERY = 1_000
"""Characters of a query."""
MAX_LIMIT = 100
"""Workflows that one search returns at most."""
LONGEST_TEXT = 2_000
"""Characters of a workflow's text that are compared."""
# BM25 as Robertson and Zaragoza describe it, with the usual constants: how soon a word that comes again
# stops to count, and how much long texts are discounted.
K1, B = 1.2, 0.75
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_log = logging.getLogger(__name__)


class Embedder(Protocol):
    """Texts as vectors, near to each other where the texts mean something near."""

    def encode(self, sentences: Sequence[str]) -> Any:
        """Return a vector of numbers for each text, as a sequence or an array of two dimensions."""


class Ranker(Protocol):
    """One way to rank texts."""

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """Return how well each text fits; not above zero: not at all."""


@final
class Search:
    """Ranks workflows.

    Parameters
    ----------
    embedder
        What compares meanings; None: that of an installed package, if there is one.
    """

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._ranker: Ranker | None = ByMeaning(embedder) if embedder is not None else None
        self._lock = threading.Lock()

    def best(self, query: str, infos: Sequence[WorkflowInfo], limit: int) -> list[WorkflowInfo]:
        """Return at most `limit` workflows that fit `query`, the best first.

        Raises
        ------
        ConfigurationError
            `query` or `limit` cannot be used.
        """
        if not isinstance(query, str) or len(query) > MAX_QUERY:
            raise ConfigurationError("query", query, f"not text of at most {MAX_QUERY:,} characters.")
        if type(limit) is not int or limit < 1:
            raise ConfigurationError("limit", limit, "not a count above zero.")
        scores = self._scores(query, [_text(info) for info in infos])
        ranked = sorted(zip(scores, infos, strict=True), key=lambda pair: (-pair[0], pair[1].name))
        return [info for score, info in ranked if score > 0][: min(limit, MAX_LIMIT)]

    def _scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        with self._lock:
            if self._ranker is None:
                embedder = installed_embedder()
                self._ranker = ByWords() if embedder is None else ByMeaning(embedder)
            return self._ranker.scores(query, texts)


@final
class ByWords:
    """BM25: texts that share rare words with the query come first."""

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """Return the score of each text."""
        counts = [Counter(words(text)) for text in texts]
        usual = sum(map(Counter.total, counts)) / max(1, len(counts))
        weights = {word: _rarity(word, counts) for word in set(words(query))}
        return [_score(weights, count, usual) for count in counts]


def _rarity(word: str, counts: Sequence[Counter[str]]) -> float:
    having = sum(word in count for count in counts)
    return math.log(1 + (len(counts) - having + 0.5) / (having + 0.5))


def _score(weights: dict[str, float], count: Counter[str], usual: float) -> float:
    length = K1 * (1 - B + B * count.total() / usual) if usual else K1
    return sum(weight * count[word] * (K1 + 1) / (count[word] + length) for word, weight in weights.items())


def words(text: str) -> list[str]:
    """Return the words of a text, those in names like ``load_csvFile`` apart, in their simplest form."""
    return [_stem(word) for word in _WORD.findall(_HUMP.sub(" ", text).casefold())]


def _stem(word: str) -> str:
    # A plural, a report and reporting are to meet; more than that only a model knows.
    for suffix in ("ing", "ies", "es", "ed", "s"):
        if len(word) - len(suffix) >= 3 and word.endswith(suffix):
            word = word.removesuffix(suffix)
            break
    return word[:-1] if len(word) > 3 and word[-1] in "ey" else word


@final
class ByMeaning:
    """The cosine between the vectors of query and text, and a little for words that they share.

    Parameters
    ----------
    embedder
        What makes the vectors.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._words = ByWords()
        self._known: dict[str, list[float]] = {}

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """Return the score of each text."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._known]
        vectors = self._vectors([query, *fresh])
        known = {**self._known, **dict(zip(fresh, vectors[1:], strict=True))}
        self._known = {text: known[text] for text in texts}
        shared = self._words.scores(query, texts)
        most = max(shared, default=0.0) or 1.0
        meant = [_cosine(vectors[0], known[text]) for text in texts]
        return [cosine + 0.1 * same / most for cosine, same in zip(meant, shared, strict=True)]

    def _vectors(self, texts: Sequence[str]) -> list[list[float]]:
        return [_unit(map(float, vector)) for vector in self._embedder.encode(list(texts))]


def _unit(numbers: Iterable[float]) -> list[float]:
    vector = list(numbers)
    length = math.sqrt(sum(number * number for number in vector))
    return [number / length for number in vector] if length else vector


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _text(info: WorkflowInfo) -> str:
    """Return what is compared with a query; the name counts twice."""
    parameters = " ".join(parameter.name for parameter in info.parameters)
    return f"{info.name}\n{info.name}\n{parameters}\n{info.description}"[:LONGEST_TEXT]


# Embedding packages


# A search downloads nothing: a model is used if it is on this machine.
def _model2vec() -> Embedder:
    from huggingface_hub import snapshot_download  # type: ignore[import-not-found]
    from model2vec import StaticModel  # type: ignore[import-not-found]

    folder = snapshot_download("minishlab/potion-base-8M", local_files_only=True)
    model: Embedder = StaticModel.from_pretrained(folder)
    return model


def _sentence_transformers() -> Embedder:
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

    model: Embedder = SentenceTransformer("all-MiniLM-L6-v2", local_files_only=True)
    return model


PACKAGES: dict[str, Callable[[], Embedder]] = {
    "model2vec": _model2vec,
    "sentence_transformers": _sentence_transformers,
}


def installed_embedder() -> Embedder | None:
    """Return the embedder of the first package that is installed and has its model; None if none has."""
    for package, make in PACKAGES.items():
        if importlib.util.find_spec(package) is None:
            continue
        try:
            return make()
        except Exception as error:  # noqa: BLE001 - a foreign package fails as it likes, and words will do
            _log.warning("Workflows are searched by words: %s has no model here: %s", package, error)
    return None
