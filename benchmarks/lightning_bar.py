"""A real Lightning Trainer with its Rich bar, for comparison. Importing this needs the extra ``bench``."""

from __future__ import annotations

import logging
import time
import warnings
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.terminal import on_terminal
from benchmarks.workload import as_dict

STEPS = 200
STEP_S = 0.010


class _Module(LightningModule):
    def __init__(self, logs: bool) -> None:
        super().__init__()
        self._logs = logs
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Any, index: int) -> Any:
        until = time.perf_counter() + STEP_S
        while time.perf_counter() < until:
            sum(range(500))
        if self._logs:
            self.log_dict(as_dict(index), prog_bar=True)
        return (self.weight * batch[0].mean()).sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def _seconds(shown: bool) -> float:
    data = DataLoader(TensorDataset(torch.ones(STEPS, 1)), batch_size=1)
    with warnings.catch_warnings(), on_terminal():
        warnings.simplefilter("ignore")
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        trainer = Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=shown,
            callbacks=[RichProgressBar()] if shown else [],
        )
        module = _Module(shown)
        before = time.perf_counter()
        trainer.fit(module, data)
        return time.perf_counter() - before


def slow_down() -> float:
    """Percent by which bar and logging make the same training slower."""
    bare = _seconds(False)
    return 100 * (_seconds(True) / bare - 1)
