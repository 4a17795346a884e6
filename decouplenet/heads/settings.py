"""The section `head` of the config: what each head of this folder is built with. Imports no torch.

A key counts only if `model.head` names its head.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from decouplenet.config_checks import check_k, require
from decouplenet.config_facts import Facts, config_key

OWN_LOSS = ("srn", "cnn_rnn", "of_rnn", "rnn_attention")
"""Heads that are trained with a loss of their own."""


@dataclass(kw_only=True, slots=True)
class WeldonSettings:
    """WELDON: one map per class, its highest and lowest pixels."""

    FACTS: ClassVar[Facts] = Facts(bound=True, heads=("weldon",))

    k: int | float = config_key(0.1, changeable=True)
    """Highest, and as many lowest, pixels that are averaged: an int is a number, a float in (0, 1] a share."""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_k("head.weldon.k", self.k, zero_allowed=False)


@dataclass(kw_only=True, slots=True)
class CsraSettings:
    """CSRA: class-specific residual attention."""

    FACTS: ClassVar[Facts] = Facts(bound=True, heads=("csra",))

    temperatures: int = 1
    """Number of attentions, each with a temperature of its own; their logits are added."""
    weight: float = config_key(0.1, changeable=True)
    """Weight of the attended features beside the mean of all."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(1 <= self.temperatures <= 8, "head.csra.temperatures", self.temperatures, "from 1 to 8")
        require(self.weight >= 0, "head.csra.weight", self.weight, "at least 0")


@dataclass(kw_only=True, slots=True)
class Query2LabelSettings:
    """Query2Label: a transformer decoder with a learned query per class."""

    FACTS: ClassVar[Facts] = Facts(bound=True, heads=("query2label",))

    width: int = 256
    """Width of queries and projected features."""
    encoder_layers: int = 1
    """Layers of self-attention among the pixels."""
    layers: int = 2
    """Layers of the decoder."""
    attention_heads: int = 4
    """Attention heads of each layer; they divide the width."""
    dropout: float = 0.1
    """Dropout in all layers."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _check_transformer("query2label", self.width, self.attention_heads, self.dropout)
        require(self.width % 4 == 0, "head.query2label.width", self.width, "a multiple of 4")
        require(self.encoder_layers >= 0, "head.query2label.encoder_layers", self.encoder_layers, "at least 0")
        require(self.layers >= 1, "head.query2label.layers", self.layers, "at least 1")


@dataclass(kw_only=True, slots=True)
class MlDecoderSettings:
    """ML-Decoder: fixed group queries, each for several classes, and no attention among them."""

    FACTS: ClassVar[Facts] = Facts(bound=True, heads=("ml_decoder",))

    groups: int = 100
    """Queries. With fewer classes there is one per class."""
    width: int = 768
    """Width of queries and projected features."""
    attention_heads: int = 8
    """Attention heads; they divide the width."""
    dropout: float = 0.1
    """Dropout in all layers."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _check_transformer("ml_decoder", self.width, self.attention_heads, self.dropout)
        require(self.groups >= 1, "head.ml_decoder.groups", self.groups, "at least 1")


@dataclass(kw_only=True, slots=True)
class GcnSettings:
    """ML-GCN: classifiers from a graph of the labels that occur together."""

    FACTS: ClassVar[Facts] = Facts(bound=True, heads=("gcn",))

    threshold: float = 0.4
    """A class is joined to those that at least this share of its images have, too."""
    neighbours: float = 0.2
    """Weight of a class's neighbours, beside its own."""
    width: int = 256
    """Width of the graph's inner layer, and of the classes' learned embeddings."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(0 < self.threshold <= 1, "head.gcn.threshold", self.threshold, "above 0 and at most 1")
        require(0 <= self.neighbours < 1, "head.gcn.neighbours", self.neighbours, "in [0, 1)")
        require(self.width >= 1, "head.gcn.width", self.width, "at least 1")


@dataclass(kw_only=True, slots=True)
class SrnSettings:
    """SRN: attention maps of all classes, and what they say of one another."""

    FACTS: ClassVar[Facts] = Facts(bound=True, heads=("srn",))

    width: int = 512
    """Width of the inner layers."""
    share: float = config_key(0.5, changeable=True)
    """Share of the ordinary classifier in the logits, beside that of the attention maps."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self.width >= 1, "head.srn.width", self.width, "at least 1")
        require(0 <= self.share <= 1, "head.srn.share", self.share, "in [0, 1]")


@dataclass(kw_only=True, slots=True)
class CnnRnnSettings:
    """CNN-RNN: an LSTM names the labels, the most frequent first."""

    FACTS: ClassVar[Facts] = Facts(bound=True, heads=("cnn_rnn",))

    embedding: int = 64
    """Width of the space that labels and images share."""
    width: int = 512
    """Width of the LSTM."""
    beam: int = config_key(3, changeable=True)
    """Label sequences that an evaluation follows."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _check_recurrent("cnn_rnn", self.embedding, self.width, self.beam)


@dataclass(kw_only=True, slots=True)
class OfRnnSettings:
    """Order-free RNN: an LSTM looks at regions, and names the label that it is surest of."""

    FACTS: ClassVar[Facts] = Facts(bound=True, heads=("of_rnn",))

    embedding: int = 64
    """Width of the labels' embeddings."""
    width: int = 512
    """Width of the LSTM and of the attention."""
    beam: int = config_key(3, changeable=True)
    """Label sequences that an evaluation follows."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _check_recurrent("of_rnn", self.embedding, self.width, self.beam)


@dataclass(kw_only=True, slots=True)
class RnnAttentionSettings:
    """RNN-Attention: a spatial transformer and an LSTM find regions."""

    FACTS: ClassVar[Facts] = Facts(bound=True, heads=("rnn_attention",))

    regions: int = 5
    """Regions of an image."""
    width: int = 512
    """Width of the LSTM."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self.regions >= 1, "head.rnn_attention.regions", self.regions, "at least 1")
        require(self.width >= 1, "head.rnn_attention.width", self.width, "at least 1")


def _check_recurrent(name: str, embedding: int, width: int, beam: int) -> None:
    require(embedding >= 1, f"head.{name}.embedding", embedding, "at least 1")
    require(width >= 1, f"head.{name}.width", width, "at least 1")
    require(beam >= 1, f"head.{name}.beam", beam, "at least 1")


def _check_transformer(name: str, width: int, attention_heads: int, dropout: float) -> None:
    require(attention_heads >= 1, f"head.{name}.attention_heads", attention_heads, "at least 1")
    divides = width >= 1 and width % attention_heads == 0
    require(divides, f"head.{name}.width", width, f"a multiple of attention_heads ({attention_heads})")
    require(0 <= dropout < 1, f"head.{name}.dropout", dropout, "in [0, 1)")


@dataclass(kw_only=True, slots=True)
class HeadConfig:
    """The settings of every head, by its name in `model.head`."""

    srn: SrnSettings = field(default_factory=SrnSettings)
    cnn_rnn: CnnRnnSettings = field(default_factory=CnnRnnSettings)
    of_rnn: OfRnnSettings = field(default_factory=OfRnnSettings)
    rnn_attention: RnnAttentionSettings = field(default_factory=RnnAttentionSettings)
    weldon: WeldonSettings = field(default_factory=WeldonSettings)
    csra: CsraSettings = field(default_factory=CsraSettings)
    query2label: Query2LabelSettings = field(default_factory=Query2LabelSettings)
    ml_decoder: MlDecoderSettings = field(default_factory=MlDecoderSettings)
    gcn: GcnSettings = field(default_factory=GcnSettings)
