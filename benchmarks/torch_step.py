"""A real training step: a small transformer in PyTorch."""

from __future__ import annotations

from typing import Final

MS: Final = 10.0
"""About so long a step takes on a core of the machine that the tables of the README come from."""
_TOKENS: Final = 512
_WIDTH: Final = 208


class TorchStep:
    """Forward, backward and AdamW on one thread. It leaves far less in the caches than sums do: weights, gradients,
    moments and activations are some 20 MB, and much more code runs."""

    def __init__(self) -> None:
        import torch
        from torch import nn

        torch.set_num_threads(1)
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(_WIDTH, 4, 2 * _WIDTH, dropout=0.0, batch_first=True)
        inner = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self._model = nn.Sequential(nn.Embedding(_TOKENS, _WIDTH), inner, nn.Linear(_WIDTH, _TOKENS))
        self._optimizer = torch.optim.AdamW(self._model.parameters(), lr=1e-3, foreach=False)
        self._text = torch.randint(0, _TOKENS, (4, 33))
        self._loss_of = nn.functional.cross_entropy

    def __call__(self, ms: float) -> None:
        """Make as many steps as take ``ms`` milliseconds, about; one at least."""
        for _ in range(max(round(ms / MS), 1)):
            guessed = self._model(self._text[:, :-1])
            loss = self._loss_of(guessed.flatten(0, 1), self._text[:, 1:].flatten())
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            loss.item()  # what a loop shows
