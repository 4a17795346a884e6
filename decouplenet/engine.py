"""One training: an epoch, an evaluation, its state out and in. Knows neither who hosts it nor why.

On several workers each holds an `Engine` with its rank, in a torch process group that the host has joined; all
call the same methods in the same order. Everything random follows from `train.seed`, the epoch and the rank, so
a training resumed from its state goes on as if it had never stopped (bit for bit on CPU in fp32).
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from decouplenet.config import Config
from decouplenet.data.augment import make_augment
from decouplenet.data.batches import Batch, Batches
from decouplenet.data.opened import Data
from decouplenet.errors import TrainingFailed
from decouplenet.losses import LOSSES
from decouplenet.metrics import ScoreAccumulator
from decouplenet.model import build_model
from decouplenet.optim import lr_factor, make_optimizer, set_lr
from decouplenet.scoring import Inputs, memory_errors, score
from decouplenet.strategies import make_strategy


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
        self.step = 0
        """Steps of the next epoch that are done, where it was paused."""
        self._loss_so_far = 0.0  # of these, over all workers
        self.batches_done = 0
        """Batches trained or evaluated so far, by which a host sees that it gets on."""
        self.note = ""
        """What the user should know of this training, in a line."""
        torch.backends.cudnn.benchmark = False  # its choice of kernels differs from run to run
        torch.backends.cudnn.deterministic = True
        if self.device.type == "cuda":  # fp32 means tf32 there
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.manual_seed(config.train.seed)  # the same weights on every rank
        with memory_errors(config):
            self._prepare(build_model(config.model, len(data.train.class_names)).to(self.device))
        self._loss, self._augment = LOSSES[config.train.loss](config.train), make_augment(config.data)
        self._inputs = Inputs(self.model, config.train.precision, self.device)
        load = {"rank": rank, "world": world, "threads": config.data.workers}
        self._train = Batches(data.train, data.train_pixels, config.train.batch_size, **load)
        self._val = Batches(data.val, data.val_pixels, config.train.batch_size, **load)

    def train_epoch(self, pause: Callable[[], bool] | None = None) -> dict[str, float]:
        """Train one epoch, or what is left of one that was paused.

        Args:
            pause: asked after each step but the last whether to stop there; the same answer on all workers. The
                next call goes on, also in another engine with this one's state.

        Returns:
            `train_loss` (mean over all workers' images), `lr` at the last step, and of this call: `train_seconds`,
            `images_per_second` over all workers. Nothing when paused.

        Raises:
            TrainingFailed: the loss is not finite, or memory ran out.
        """
        started = time.perf_counter()
        train, steps = self.config.train, self._train.steps
        first, done = self.step, self.step
        self._trained.train()
        total = torch.zeros((), device=self.device)
        with memory_errors(self.config), self._compiled():
            batches = self._train.training(
                train.seed, self.epoch, flip=self.config.data.flip, augment=self._augment, first=first
            )
            for done, batch in enumerate(batches, start=first + 1):
                total += self._train_step(batch, done - 1)
                self._beat()
                if pause and done < steps and pause():
                    break
            self._average_buffers()
            if self.model is not self._trained:
                self._publish()
        if self.world > 1:
            dist.all_reduce(total)
        self.step, self._loss_so_far = done, self._loss_so_far + float(total)
        if not math.isfinite(self._loss_so_far):
            raise TrainingFailed(f"the loss is {self._loss_so_far} in epoch {self.epoch + 1}; lower optim.lr")
        if done < steps:
            return {}
        train_loss = self._loss_so_far / steps
        self.epoch, self.step, self._loss_so_far = self.epoch + 1, 0, 0.0
        seconds = time.perf_counter() - started
        return {
            "train_loss": train_loss,
            "lr": float(self._optimizer.param_groups[-1]["lr"]),
            "train_seconds": seconds,
            "images_per_second": (steps - first) * self._train.batch_size / seconds,
        }

    def evaluate(self) -> dict[str, Any]:
        """Measure the validation images, each once over all workers.

        Returns:
            `multilabel_metrics` under their names with `val_` before (`val_map`, ...), `val_loss` (BCE), and
            `eval_seconds`; the same on every worker. Nothing where there are no such images (`data.holdout` 0).

        Raises:
            TrainingFailed: a score is not finite, or memory ran out.
        """
        if not len(self.data.val):
            return {}
        started = time.perf_counter()
        with self._uncompiled():
            scores, loss = score(self.model, self._val.evaluation(), self.config, self.device, self._beat)
        if self.world > 1:
            dist.all_reduce(loss)
            gathered: list[Any] = [None] * self.world
            dist.all_gather_object(gathered, scores)
            scores = ScoreAccumulator().merge(gathered)
        val_loss = float(loss) / self.data.val.counted
        if not math.isfinite(val_loss):
            raise TrainingFailed(f"the validation loss is {val_loss} after epoch {self.epoch}; lower optim.lr")
        measured = scores.metrics(len(self.data.val), self.data.val.ignored)
        metrics = {f"val_{name}": value for name, value in measured.items()}
        return metrics | {"val_loss": val_loss, "eval_seconds": time.perf_counter() - started}

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on; the same on every worker, who all must call it.

        On a CPU its tensors are the training's own: save it before training on.

        Returns:
            `epoch`, `step` and `loss_so_far`; `model`, the weights that were measured; `trained`, those that are
            trained where they are others (`train.ema_decay`), else None; `optimizer` and `scaler`.
        """
        trained = None
        if self.config.train.ema_decay:
            with self._strategy.weights() as weights:
                names = (name for name, _ in self.model.named_parameters())
                trained = {name: weight.cpu().clone() for name, weight in zip(names, weights, strict=True)}
        model = {name: tensor.cpu() for name, tensor in self.model.state_dict().items()}
        where = {"epoch": self.epoch, "step": self.step, "loss_so_far": self._loss_so_far}
        return {**where, "model": model, "trained": trained, **self._strategy.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from the `state` of an engine with the same network and optimiser, whatever it ran on.

        This config's settings stay, such as the learning rate.
        """
        self.epoch, self.step, self._loss_so_far = state["epoch"], state["step"], state["loss_so_far"]
        with memory_errors(self.config):
            self.close()
            del self.model, self._trained, self._optimizer, self._strategy  # their memory goes before the next's comes
            network = build_model(replace(self.config.model, pretrained=False), len(self.data.train.class_names))
            network.load_state_dict(state["model"])
            averaged = copy.deepcopy(network)
            network.load_state_dict(state["trained"] or {}, strict=False)
            self._prepare(network.to(self.device))
            if self.config.train.ema_decay:
                self.model.load_state_dict(averaged.state_dict())
            self._strategy.load_state(state)

    def close(self) -> None:
        """Let go of what outlives this object; it is of no more use."""
        self._strategy.close()

    def _prepare(self, network: nn.Module) -> None:
        """Make a network ready to be trained on all workers."""
        train = self.config.train
        apart = train.ema_decay > 0 or (train.strategy == "deepspeed" and train.zero_stage == 3)
        self.model = copy.deepcopy(network).requires_grad_(False) if apart else network
        self._trained = network
        self._compiles: bool | None = None  # not tried yet
        self._optimizer = make_optimizer(network, self.config.optim)
        self._strategy = make_strategy(network, self._optimizer, self.config, self.device, self.world)

    def _compiled(self) -> contextlib.AbstractContextManager[Any]:
        """Around training steps: compiled, where that is asked for and was found to be faster."""
        if not self.config.train.compile:
            return contextlib.nullcontext()
        from decouplenet.compiling import try_compiled  # the compiler takes seconds to import

        if self._compiles is None:
            share = -(-self._train.batch_size // (self.world * self.config.train.accumulation))
            size, last = self.config.data.image_size, torch.channels_last
            images = self._inputs.laid_out(torch.randn(share, 3, size, size, device=self.device).to(memory_format=last))
            self._compiles, self.note = try_compiled(self._trained, images, self.config.train.precision, self.world)
            if self._compiles and self.world > 1:
                torch.compiler.reset()  # anew inside DDP, whose buckets the trial's graph knows nothing of
        return _stance(compiled=self._compiles)

    def _uncompiled(self) -> contextlib.AbstractContextManager[Any]:
        """Around an evaluation, whose batches of several sizes would be compiled one by one."""
        return _stance(compiled=False) if self.config.train.compile else contextlib.nullcontext()

    def _train_step(self, batch: Batch, step: int) -> Tensor:
        """Take one step of this epoch; this worker's share of the loss."""
        train, total = self.config.train, torch.zeros((), device=self.device)
        seeds = np.random.SeedSequence([train.seed, self.epoch, step, self.rank])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        done, steps = self.epoch * self._train.steps + step, train.epochs * self._train.steps
        set_lr(self._optimizer, lr_factor(self.config.optim.schedule, done, steps))
        images, targets, ignored = self._inputs(batch)
        count = min(train.accumulation, len(images))
        labels = targets.tensor_split(count)
        left_out = [None] * count if ignored is None else ignored.tensor_split(count)
        for i, part in enumerate(images.tensor_split(count)):
            with self._strategy.part(last=i == count - 1):
                # Mean over the global batch; workers' gradients are averaged, so each takes `world` times its share.
                loss = self._loss(self._strategy.network(part), labels[i], left_out[i])
                loss = loss / (self._train.batch_size * targets.shape[1])
                self._strategy.backward(loss * self.world)
            total += loss.detach()
        self._strategy.step()
        if train.ema_decay:
            self._follow(min(train.ema_decay, (1 + done) / (10 + done)))  # a young average forgets faster
        return total

    def _follow(self, decay: float) -> None:
        """Move the measured weights towards the trained ones."""
        with self._strategy.weights() as weights, torch.no_grad():
            for mine, trained in zip(self.model.parameters(), weights, strict=True):
                mine.lerp_(trained, 1 - decay)

    def _publish(self) -> None:
        """Bring the measured network up to date, where it is another than the trained one."""
        if not self.config.train.ema_decay:
            with self._strategy.weights() as weights, torch.no_grad():
                for mine, trained in zip(self.model.parameters(), weights, strict=True):
                    mine.copy_(trained)
        for buffer, of_trained in zip(self.model.buffers(), self._trained.buffers(), strict=True):
            buffer.copy_(of_trained)

    def _beat(self) -> None:
        self.batches_done += 1

    def _average_buffers(self) -> None:
        """BatchNorm's statistics are each worker's own while training; measure and save their mean."""
        if self.world > 1:
            for buffer in self._trained.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer /= self.world


def _stance(*, compiled: bool) -> contextlib.AbstractContextManager[None]:
    """Whether what was compiled in place runs compiled."""
    stance: contextlib.AbstractContextManager[None] = torch.compiler.set_stance(
        "default" if compiled else "force_eager"
    )
    return stance
