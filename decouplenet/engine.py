"""One training: an epoch, an evaluation, its state out and in. Knows neither who hosts it nor why.

On several workers each holds an `Engine` with its rank, in a torch process group that the host has joined; all
call the same methods in the same order. Everything random follows from `train.seed`, the epoch and the rank, so
a training resumed from its state goes on as if it had never stopped (bit for bit on CPU in fp32).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from decouplenet.config import Config, OptimConfig
from decouplenet.data.batches import Batch, Batches
from decouplenet.data.cache import Data
from decouplenet.data.transforms import flip, normalise
from decouplenet.errors import TrainingFailed
from decouplenet.metrics import ScoreAccumulator
from decouplenet.model import build_model

# Loss of logits B×C and targets B×C, summed over both.
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": lambda logits, targets: F.binary_cross_entropy_with_logits(logits, targets, reduction="sum"),
}
AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Engine:
    """Trains and evaluates one configuration on one worker of `world`.

    Args:
        config: what to train.
        data: the opened images, the same on all workers.
        device: this worker's device.
        rank: this worker's number.
        world: number of workers, all in one process group when more than one.

    Raises:
        InputError: the config names weights or a network that cannot be had.
        TrainingFailed: memory ran out.
    """

    def __init__(
        self, config: Config, data: Data, *, device: str | torch.device = "cpu", rank: int = 0, world: int = 1
    ) -> None:
        self.config, self.data, self.device = config, data, torch.device(device)
        self.rank, self.world = rank, world
        self.epoch = 0
        """Epochs trained so far."""
        self.batches_done = 0
        """Batches trained or evaluated so far, by which a host sees that it gets on."""
        torch.backends.cudnn.benchmark = False  # its choice of kernels differs from run to run
        torch.backends.cudnn.deterministic = True
        torch.manual_seed(config.train.seed)  # the same weights on every rank
        with _memory_errors(config):
            self.model = build_model(config.model, len(data.train.class_names)).to(self.device)
            self._network = self._distributed(self.model)
        self._optimizer = make_optimizer(self.model, config.optim)
        self._dtype = AUTOCAST[config.train.precision]
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self._dtype is torch.float16)
        # The cache gives channels last, which all chips prefer but a CPU for depthwise convolutions in fp32.
        depthwise = any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in self.model.backbone.modules())  # type: ignore[union-attr]
        self._channels_last = self.device.type != "cpu" or self._dtype is not None or not depthwise
        load = {"rank": rank, "world": world, "threads": config.data.workers}
        self._train = Batches(data.train, data.train_pixels, config.train.batch_size, **load)
        self._val = Batches(data.val, data.val_pixels, config.train.batch_size, **load)

    def train_epoch(self) -> dict[str, float]:
        """Train one epoch.

        Returns:
            `train_loss` (mean over all workers' images), `lr` at the last step, `train_seconds`,
            `images_per_second` over all workers.

        Raises:
            TrainingFailed: the loss is not finite, or memory ran out.
        """
        started = time.perf_counter()
        train, steps = self.config.train, self._train.steps
        seeds = np.random.SeedSequence([train.seed, self.epoch, self.rank])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        self._network.train()
        loss_of, batch_size = LOSSES[train.loss], self._train.batch_size
        total = torch.zeros((), device=self.device)
        with _memory_errors(self.config):
            for step, batch in enumerate(self._train.training(train.seed, self.epoch, flip=self.config.data.flip)):
                factor = lr_factor(self.config.optim.schedule, self.epoch * steps + step, train.epochs * steps)
                for group in self._optimizer.param_groups:
                    group["lr"] = group["peak_lr"] * factor
                images, targets = self._inputs(batch)
                with self._autocast():
                    logits = self._network(images)
                # Mean over the global batch; workers' gradients are averaged, so each takes `world` times its share.
                loss = loss_of(logits.float(), targets) / (batch_size * targets.shape[1])
                self._scaler.scale(loss * self.world).backward()
                self._scaler.step(self._optimizer)
                self._scaler.update()
                self._optimizer.zero_grad(set_to_none=True)
                total += loss.detach()
                self.batches_done += 1
        self._average_buffers()
        if self.world > 1:
            dist.all_reduce(total)
        train_loss = float(total) / steps
        if not math.isfinite(train_loss):
            raise TrainingFailed(f"the loss is {train_loss} in epoch {self.epoch + 1}; lower optim.lr")
        self.epoch += 1
        seconds = time.perf_counter() - started
        return {
            "train_loss": train_loss,
            "lr": float(self._optimizer.param_groups[-1]["lr"]),
            "train_seconds": seconds,
            "images_per_second": steps * batch_size / seconds,
        }

    def evaluate(self) -> dict[str, Any]:
        """Measure the validation images, each once over all workers.

        Returns:
            `multilabel_metrics` under their names with `val_` before (`val_map`, ...), `val_loss` (BCE), and
            `eval_seconds`; the same on every worker.

        Raises:
            TrainingFailed: a score is not finite, or memory ran out.
        """
        started = time.perf_counter()
        self.model.eval()
        scores = ScoreAccumulator()
        loss = torch.zeros((), device=self.device)
        with torch.inference_mode(), _memory_errors(self.config):
            for batch in self._val.evaluation():
                images, targets = self._inputs(batch)
                with self._autocast():
                    logits = self.model(images).float()
                loss += LOSSES["bce"](logits, targets)
                scores.update(batch.indices, logits.sigmoid(), targets)
                self.batches_done += 1
        if self.world > 1:
            dist.all_reduce(loss)
            gathered: list[Any] = [None] * self.world
            dist.all_gather_object(gathered, scores)
            scores = ScoreAccumulator().merge(gathered)
        val_loss = float(loss) / self.data.val.targets.size
        if not math.isfinite(val_loss):
            raise TrainingFailed(f"the validation loss is {val_loss} after epoch {self.epoch}; lower optim.lr")
        metrics = {f"val_{name}": value for name, value in scores.metrics(len(self.data.val)).items()}
        return metrics | {"val_loss": val_loss, "eval_seconds": time.perf_counter() - started}

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on; the same on every rank."""
        return {
            "epoch": self.epoch,
            "model": {name: tensor.cpu() for name, tensor in self.model.state_dict().items()},
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from another engine's `state`, of the same network and optimiser; this config's settings stay."""
        self.epoch = state["epoch"]
        settings = [{k: v for k, v in group.items() if k != "params"} for group in self._optimizer.param_groups]
        with _memory_errors(self.config):
            self.model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])  # which takes the other's learning rate over too
        for group, own in zip(self._optimizer.param_groups, settings, strict=True):
            group.update(own)
        self._scaler.load_state_dict(state["scaler"])

    def _inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Bytes travel to the device and become floats there: a quarter of the traffic."""
        images = batch.images.to(self.device, non_blocking=True)
        if not self._channels_last:
            images = images.contiguous()
        images = normalise(images)
        if batch.flipped.any():
            images = flip(images, batch.flipped.to(self.device))
        return images, batch.targets.to(self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self._dtype, enabled=self._dtype is not None)

    def _distributed(self, model: nn.Module) -> nn.Module:
        if self.world == 1:
            return model
        return nn.parallel.DistributedDataParallel(
            model, device_ids=[self.device] if self.device.type == "cuda" else None, broadcast_buffers=False
        )

    def _average_buffers(self) -> None:
        """BatchNorm's statistics are each worker's own while training; measure and save their mean."""
        if self.world > 1:
            for buffer in self.model.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer /= self.world


def make_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """SGD or AdamW over two groups, backbone and head, each with its `peak_lr`."""
    in_backbone = {id(p) for p in model.backbone.parameters()}  # type: ignore[union-attr]
    head = [p for p in model.parameters() if id(p) not in in_backbone]
    groups = [
        {"params": list(model.backbone.parameters()), "peak_lr": config.lr * config.backbone_lr_scale},  # type: ignore[union-attr]
        {"params": head, "peak_lr": config.lr},
    ]
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


def lr_factor(schedule: str, step: int, steps: int) -> float:
    """The learning rate at a step as a share of its peak.

    Args:
        schedule: `constant`; `cosine` from 1 to 0; `onecycle`, up from 1/25 over the first 30 % of the steps and
            then down to 1/10,000 of the start, both along a cosine (Smith and Topin, 2018).
        step: from 0.
        steps: of the whole training.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return _cosine(1.0, 0.0, step / steps)
    start, end, top = 1 / 25, 1 / 25 / 1e4, 0.3 * steps
    return _cosine(start, 1.0, step / top) if step < top else _cosine(1.0, end, (step - top) / (steps - top))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@contextlib.contextmanager
def _memory_errors(config: Config) -> Iterator[None]:
    """Out of memory is a property of the configuration, not a fault of the worker."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).partition("\n")[0]
        raise TrainingFailed(
            f"out of GPU memory at train.batch_size {config.train.batch_size}, data.image_size "
            f"{config.data.image_size} ({reason}); lower one of them or add workers"
        ) from error
