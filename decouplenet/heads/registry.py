"""The heads of this folder by the name that `model.head` takes."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from decouplenet.heads.cnn_rnn import CnnRnn
from decouplenet.heads.csra import Csra
from decouplenet.heads.gcn import Gcn
from decouplenet.heads.ml_decoder import MlDecoder
from decouplenet.heads.of_rnn import OfRnn
from decouplenet.heads.query2label import Query2Label
from decouplenet.heads.rnn_attention import RnnAttention
from decouplenet.heads.settings import HeadConfig
from decouplenet.heads.srn import Srn
from decouplenet.heads.weldon import Weldon

MODULES: dict[str, Callable[[int, int, HeadConfig], nn.Module]] = {
    "srn": lambda channels, classes, heads: Srn(channels, classes, heads.srn),
    "cnn_rnn": lambda channels, classes, heads: CnnRnn(channels, classes, heads.cnn_rnn),
    "of_rnn": lambda channels, classes, heads: OfRnn(channels, classes, heads.of_rnn),
    "rnn_attention": lambda channels, classes, heads: RnnAttention(channels, classes, heads.rnn_attention),
    "weldon": lambda channels, classes, heads: Weldon(channels, classes, heads.weldon),
    "csra": lambda channels, classes, heads: Csra(channels, classes, heads.csra),
    "query2label": lambda channels, classes, heads: Query2Label(channels, classes, heads.query2label),
    "ml_decoder": lambda channels, classes, heads: MlDecoder(channels, classes, heads.ml_decoder),
    "gcn": lambda channels, classes, heads: Gcn(channels, classes, heads.gcn),
}
"""From D channels, C classes and the section `head`: a module, features B×D×h×w -> logits B×C."""
