"""One training on one worker: train an epoch, evaluate, save and load the state. Does not know which program runs it.

With several workers, each has an `Engine` with its rank. The caller has joined them in a torch process group, and all
call the same methods in the same order. All randomness follows from `train.seed`, the epoch, the step and the rank, so
a resumed training continues as if it had never stopped (bit for bit on a CPU in fp32).
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from decouplenet.config import Config, ModelConfig
from decouplenet.data.augment import make_augment
from decouplenet.data.batches import Batch, Batches
from decouplenet.data.opened import Data
from decouplenet.errors import TrainingFailed
from decouplenet.heads.settings import OWN_LOSS
from decouplenet.losses import make_loss
from decouplenet.metrics import ScoreAccumulator
from decouplenet.model import HeadNet, build_model
from decouplenet.optim import lr_factor, make_optimizer, set_lr
from decouplenet.precision import on_device, precision_note
from decouplenet.scoring import Inputs, memory_errors, score
from decouplenet.strategies import make_strategy


class Engine:
    """Trains and evaluates one configuration on one of `world` workers.

    Args:
        config: the training's configuration.
        data: the opened images, the same on all workers, or the feature maps of a frozen backbone (`frozen.py`).
        device: this worker's device.
        rank: this worker's rank.
        world: number of workers, all in one process group if more than one.
        head: the head's weights to start from, by their names in the network; None for new ones.

    Raises:
        InputError: the config's pretrained weights cannot be loaded, or its network cannot be built.
        TrainingFailed: memory ran out.
    """

    def __init__(
        self,
        config: Config,
        data: Data,
        *,
        device: str | torch.device = "cpu",
        rank: int = 0,
        world: int = 1,
        head: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.data, self.device = data, torch.device(device)
        self.config = config = on_device(config, self.device)
        """The configuration, with the precision that this device computes in."""
        self.rank, self.world = rank, world
        self.epoch = 0
        """Number of complete epochs."""
        self.step = 0
        """Completed steps of the next epoch; above 0 only after `train_epoch` was interrupted."""
        self._loss_so_far = 0.0  # sum over these steps and all workers
        self.batches_done = 0
        """Batches trained or evaluated so far. A caller can tell from it that the worker makes progress."""
        self.note = precision_note(config.train.precision, self.device)
        """One line for the user about this training, or empty."""
        torch.backends.cudnn.benchmark = False  # its choice of kernels differs from run to run
        torch.backends.cudnn.deterministic = True
        if self.device.type == "cuda":  # fp32 means tf32 there
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.manual_seed(config.train.seed)  # the same weights on every rank
        with memory_errors(config):
            network = self._network(config.model)
            network.load_state_dict(head or {}, strict=False)
            self._prepare(network.to(self.device))
        self._loss, self._augment = make_loss(config.train), make_augment(config.data)
        self._inputs = Inputs(self.model, config.train.precision, self.device)
        sharing = {"rank": rank, "world": world, "threads": config.data.workers}
        self._train = Batches(data.train, data.train_pixels, config.train.batch_size, **sharing)
        self._val = Batches(data.val, data.val_pixels, config.train.batch_size, **sharing)

    def train_epoch(self, should_save: Callable[[], bool] | None = None) -> dict[str, float]:
        """Train one epoch, or the rest of an epoch that was interrupted.

        Args:
            should_save: called after each step except the last. If it returns True, this call ends so that the caller
                can save the state. It must return the same on all workers. The next call trains the rest of the epoch,
                also in another engine that loaded the state.

        Returns:
            `train_loss` (mean over the images of all workers), `lr` at the last step, and for this call
            `train_seconds` and `images_per_second` over all workers. Empty if interrupted.

        Raises:
            TrainingFailed: the loss is not finite, or memory ran out.
        """
        started = time.perf_counter()
        first, steps = self.step, self._train.steps
        done, total = self._train_steps(first, should_save)
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
        """Measure the validation images. The workers share them; each image is evaluated once.

        Returns:
            The measures of `multilabel_metrics` with the prefix `val_` (`val_map`, ...), `val_loss` (BCE) and
            `eval_seconds`; the same on every worker. Empty if there are no validation images (`data.holdout` 0).

        Raises:
            TrainingFailed: a score is not finite, or memory ran out.
        """
        if not len(self.data.val):
            return {}
        started = time.perf_counter()
        with self._uncompiled():
            scores, loss = score(self.model, self._val.evaluation(), self.config, self.device, self._count_batch)
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
        """Everything that the rest of the training depends on, the same on every worker. All workers must call it.

        On a CPU, its tensors are the ones in use: save it before training on.

        Returns:
            `epoch`, `step` and `loss_so_far`; `model`, the weights that are evaluated; `trained`, the weights that are
            trained if they differ from those (`train.ema_decay`), else None; `optimizer` and `scaler`.
        """
        trained = None
        if self.config.train.ema_decay:
            with self._strategy.weights() as weights:
                names = (name for name, _ in self.model.named_parameters())
                trained = {name: weight.cpu().clone() for name, weight in zip(names, weights, strict=True)}
        model = {name: tensor.cpu() for name, tensor in self.whole_network().state_dict().items()}
        progress = {"epoch": self.epoch, "step": self.step, "loss_so_far": self._loss_so_far}
        return {**progress, "model": model, "trained": trained, **self._strategy.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Resume from the `state` of an engine with the same network and optimiser, whatever hardware that ran on.

        Settings such as the learning rate stay those of this engine's config.
        """
        self.epoch, self.step, self._loss_so_far = state["epoch"], state["step"], state["loss_so_far"]
        with memory_errors(self.config):
            self.close()
            del self.model, self._trained, self._optimizer, self._strategy  # frees memory before the next ones need it
            network = self._network(replace(self.config.model, pretrained=False))
            of_backbone = "backbone." if self.data.backbone else "\0"  # a frozen one is not the network's own
            own = {name: tensor for name, tensor in state["model"].items() if not name.startswith(of_backbone)}
            network.load_state_dict(own)
            evaluated = copy.deepcopy(network)
            network.load_state_dict(state["trained"] or {}, strict=False)
            self._prepare(network.to(self.device))
            if self.config.train.ema_decay:
                self.model.load_state_dict(evaluated.state_dict())
            self._strategy.load_state(state)

    def whole_network(self) -> nn.Module:
        """The evaluated network from images to logits: a copy with its backbone, if that is frozen. Do not train it."""
        if self.data.backbone is None:
            return self.model
        whole = copy.deepcopy(self.model)
        whole.backbone = self.data.backbone[0]
        return whole

    def close(self) -> None:
        """Release resources. The object must not be used afterwards."""
        self._strategy.close()

    def _network(self, model: ModelConfig) -> nn.Module:
        """A new network. One for feature maps has no backbone: the maps pass to its head as they are."""
        frozen, labels = self.data.backbone, self.data.train
        backbone = (nn.Identity(), frozen[1]) if frozen else None
        network = build_model(model, len(labels.class_names), backbone, self.config.head)
        if isinstance(network, HeadNet):
            network.see_labels(torch.from_numpy(labels.targets))
        return network

    def _prepare(self, network: nn.Module) -> None:
        """Set up a network for training on all workers: the evaluated model, optimiser and strategy."""
        train = self.config.train
        separate = train.ema_decay > 0 or (train.strategy == "deepspeed" and train.zero_stage == 3)
        self.model = copy.deepcopy(network).requires_grad_(False) if separate else network
        self._trained = network
        self._compiles: bool | None = None  # None: not tried yet
        self._optimizer = make_optimizer(network, self.config.optim, head_is_trained=train.head_epochs > 0)
        self._strategy = make_strategy(network, self._optimizer, self.config, self.device, self.world)

    def _compiled(self) -> contextlib.AbstractContextManager[Any]:
        """Context for training steps. They run compiled if `train.compile` asks for it and a trial shows it faster."""
        if not self.config.train.compile:
            return contextlib.nullcontext()
        from decouplenet.compiling import try_compiled  # the compiler takes seconds to import

        if self._compiles is None:
            share = -(-self._train.batch_size // (self.world * self.config.train.accumulation))
            size = self.config.data.image_size
            images = torch.randn(share, 3, size, size, device=self.device).to(memory_format=torch.channels_last)
            images = self._inputs.to_memory_format(images)
            self._compiles, self.note = try_compiled(self._trained, images, self.config.train.precision, self.world)
            if self._compiles and self.world > 1:
                torch.compiler.reset()  # compile again inside DDP: the trial's graph does not know DDP's buckets
        return _stance(compiled=self._compiles)

    def _uncompiled(self) -> contextlib.AbstractContextManager[Any]:
        """Context for an evaluation. Its batches have several sizes, and each would be compiled separately."""
        return _stance(compiled=False) if self.config.train.compile else contextlib.nullcontext()

    def _train_steps(self, first: int, should_save: Callable[[], bool] | None) -> tuple[int, Tensor]:
        """Train this epoch from step `first`. Returns the number of completed steps and this worker's summed loss."""
        steps, done = self._train.steps, first
        self._trained.train()
        total = torch.zeros((), device=self.device)
        with memory_errors(self.config), self._compiled():
            batches = self._train.training(
                self.config.train.seed, self.epoch, flip=self.config.data.flip, augment=self._augment, first=first
            )
            for done, batch in enumerate(batches, start=first + 1):
                total += self._train_step(batch, done - 1)
                self._count_batch()
                if should_save and done < steps and should_save():
                    break
            self._average_buffers()
            if self.model is not self._trained:
                self._sync_evaluated_model()
        return done, total

    def _train_step(self, batch: Batch, step: int) -> Tensor:
        """Take one step of this epoch. Returns this worker's share of the loss."""
        train, total = self.config.train, torch.zeros((), device=self.device)
        seeds = np.random.SeedSequence([train.seed, self.epoch, step, self.rank])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        done, steps = self.epoch * self._train.steps + step, train.epochs * self._train.steps
        set_lr(self._optimizer, lr_factor(self.config.optim.schedule, done, steps))
        images, targets, ignored = self._inputs(batch)
        count = min(train.accumulation, len(images))
        labels = targets.tensor_split(count)
        masks = [None] * count if ignored is None else ignored.tensor_split(count)
        for i, micro_batch in enumerate(images.tensor_split(count)):
            with self._strategy.micro_batch(last=i == count - 1):
                # Mean over the global batch. Each share counts `world` times, as gradients are averaged over workers.
                loss = self._loss_of(micro_batch, labels[i], masks[i]) / (self._train.batch_size * targets.shape[1])
                self._strategy.backward(loss * self.world)
            total += loss.detach()
        self._strategy.step()
        if train.ema_decay:
            self._update_ema(min(train.ema_decay, (1 + done) / (10 + done)))  # a lower decay in the first steps
        return total

    def _loss_of(self, images: Tensor, targets: Tensor, ignored: Tensor | None) -> Tensor:
        """The loss of images, summed over images and classes."""
        network = self._strategy.network
        if self.config.model.head in OWN_LOSS:
            loss: Tensor = network(images, targets, ignored)
            return loss
        return self._loss(network(images), targets, ignored)

    def _update_ema(self, decay: float) -> None:
        """Move the evaluated weights, a moving average, towards the trained ones."""
        with self._strategy.weights() as weights, torch.no_grad():
            for average, trained in zip(self.model.parameters(), weights, strict=True):
                average.lerp_(trained, 1 - decay)

    def _sync_evaluated_model(self) -> None:
        """Copy weights and buffers from the trained network to the evaluated one; with an EMA, only the buffers."""
        if not self.config.train.ema_decay:
            with self._strategy.weights() as weights, torch.no_grad():
                for evaluated, trained in zip(self.model.parameters(), weights, strict=True):
                    evaluated.copy_(trained)
        for evaluated_buffer, trained_buffer in zip(self.model.buffers(), self._trained.buffers(), strict=True):
            evaluated_buffer.copy_(trained_buffer)

    def _count_batch(self) -> None:
        self.batches_done += 1

    def _average_buffers(self) -> None:
        """Average BatchNorm's statistics, which differ between workers while training."""
        if self.world > 1:
            for buffer in self._trained.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer /= self.world


def _stance(*, compiled: bool) -> contextlib.AbstractContextManager[None]:
    """Context in which compiled modules run compiled, or as plain Python."""
    stance: contextlib.AbstractContextManager[None] = torch.compiler.set_stance(
        "default" if compiled else "force_eager"
    )
    return stance
