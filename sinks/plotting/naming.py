"""What the name of a metric says about it: which kind of quantity it is, and which curve it validates."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from m.metrics.layers import OVERALL, layer_of

LOSS_WORDS: Final = frozenset({"loss", "losses", "nll", "bce", "elbo", "perplexity", "ppl"})
ERROR_WORDS: Final = frozenset(
    {"error", "errors", "err", "rmse", "mse", "mae", "mape", "wer", "cer", "distance", "deviation", "residual"}
)
SCORE_WORDS: Final = frozenset(
    {
        *("accuracy", "acc", "score", "f1", "auc", "auroc", "precision", "recall", "iou", "dice", "bleu", "rouge"),
        *("map", "ndcg", "mrr", "r2", "specialization", "top1", "top5", "em"),
    }
)
RATE_WORDS: Final = frozenset({"lr", "learningrate"})
MEMORY_UNITS: Final = frozenset({"kb", "mb", "gb", "kib", "mib", "gib", "bytes"})
EXPERT_INDICATORS: Final = (*OVERALL, "routing_loss")

_VALIDATION: Final = ("val", "valid", "validation", "eval", "dev", "test")
_SPLIT = re.compile(r"[^a-zA-Z0-9]+")
_ROLE_WORDS: Final = "|".join((*_VALIDATION, "train", "training"))
_ROLE = re.compile(rf"({_ROLE_WORDS})[_/.\-]+(.+)")
_ROLE_LAST = re.compile(rf"(.+?)[_/.\-]+({_ROLE_WORDS})")


def words(name: str) -> list[str]:
    """The words that a name is made of, in lower case: ``val/F1-score`` is ``val``, ``f1``, ``score``."""
    return [word for word in _SPLIT.split(name.lower()) if word]


def kind_of(name: str) -> str | None:
    """Which quantity a metric is by its name; None when the name does not say.

    One of ``"loss"``, ``"learning rate"``, ``"gradient"``, ``"throughput"``, ``"memory"``, ``"utilization"``,
    ``"perplexity"``, ``"error"``, ``"score"``, ``"experts"``.
    """
    found = words(name)
    if name in EXPERT_INDICATORS or layer_of(name) is not None:
        return "experts"
    if "per" in found and found[-1:] in (["sec"], ["second"], ["s"]):
        return "throughput"
    if RATE_WORDS & set(found) or ("learning" in found and "rate" in found):
        return "learning rate"
    if "norm" in found and {"grad", "gradient", "param", "weight", "update"} & set(found):
        return "gradient"
    if {"perplexity", "ppl"} & set(found):
        return "perplexity"
    for kind, vocabulary in (("loss", LOSS_WORDS), ("error", ERROR_WORDS), ("score", SCORE_WORDS)):
        if vocabulary & set(found):
            return kind
    if "memory" in found or (found[-1:] and found[-1] in MEMORY_UNITS):
        return "memory"
    if {"percent", "utilization", "usage", "util"} & set(found):
        return "utilization"
    return None


def is_task_metric(name: str) -> bool:
    """Whether a metric speaks of the task that is learned: an error, an accuracy or another score, a perplexity."""
    return kind_of(name) in ("error", "score", "perplexity")


def is_validation(name: str) -> bool:
    """Whether the name says that it was measured on held-out data."""
    return _role_and_rest(name)[0] in _VALIDATION


def without_role(name: str) -> str:
    """The name without what it was measured on: ``loss`` for ``train_loss``, ``val/loss`` and ``loss/eval``."""
    return _role_and_rest(name)[1]


def _role_and_rest(name: str) -> tuple[str, str]:
    """What the metric was measured on, which is empty when the name does not say, and the rest of its name."""
    lower = name.lower()
    if (match := _ROLE.fullmatch(lower)) is not None:
        return match[1], match[2]
    if (match := _ROLE_LAST.fullmatch(lower)) is not None:
        return match[2], match[1]
    return "", lower


def trained_beside(name: str, others: Collection[str]) -> str | None:
    """The one among ``others`` that is the training curve of the validation metric ``name``; None if there is none."""
    if not is_validation(name):
        return None
    base = without_role(name)
    return next((other for other in others if not is_validation(other) and without_role(other) == base), None)
