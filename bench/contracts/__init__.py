"""What a plug-in author reads: the shapes and promises between the core and its plug-ins, all imported from here.

| to add | read |
|---|---|
| a backbone | `_backbones.py` (`BackboneFacts`, `Adapter`; `PromptableText` for prompts), and `Features` in `_views.py` |
| a method | `_methods.py` (`Method`, `Predictor`), and what it is given in `_views.py` |
| a data set | `_datasets.py` |
| a sweep, a table or a plot | `_reports.py` |

Torch is only needed by those who hold tensors, so nothing here imports it at run time.
"""

from bench.contracts._backbones import (
    PROMPTS,
    RECOGNIZER,
    SEGMENT_CENTRE,
    TEXT,
    UNTRAINED,
    Adapter,
    BackboneFacts,
    CausalText,
    LayeredText,
    PromptableAdapter,
    PromptableText,
    RecognizerAdapter,
    TextLayer,
    Tokens,
    layered_text,
    shown_name,
)
from bench.contracts._basics import BenchError, NotApplicable, digest
from bench.contracts._datasets import DataRequest, DatasetFacts
from bench.contracts._methods import FRAMES, KNOWLEDGE, TRAIN, Method, Predictor, config_fields, make_config
from bench.contracts._reports import Artifact, Choice, Renderer, ResultsView, VideoList
from bench.contracts._views import Classes, Features, LabelledFeatures, LabelledVideos, Video, Videos

__all__ = [
    "FRAMES",
    "KNOWLEDGE",
    "PROMPTS",
    "RECOGNIZER",
    "SEGMENT_CENTRE",
    "TEXT",
    "TRAIN",
    "UNTRAINED",
    "Adapter",
    "Artifact",
    "BackboneFacts",
    "BenchError",
    "CausalText",
    "Choice",
    "Classes",
    "DataRequest",
    "DatasetFacts",
    "Features",
    "LabelledFeatures",
    "LabelledVideos",
    "LayeredText",
    "Method",
    "NotApplicable",
    "Predictor",
    "PromptableAdapter",
    "PromptableText",
    "RecognizerAdapter",
    "Renderer",
    "ResultsView",
    "TextLayer",
    "Tokens",
    "Video",
    "VideoList",
    "Videos",
    "config_fields",
    "digest",
    "layered_text",
    "make_config",
    "shown_name",
]
