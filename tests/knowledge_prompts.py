"""Knowledge prompts fitted to six videos of three classes, with each part of the method switched on."""

import torch
from fakes import LayeredFake

from baselines import knowledge_prompt
from bench.contracts import Classes, Features, LabelledFeatures

NAMES = ("sit down", "wave", "walk")
STATEMENTS = (
    ("lower the body", "bend both knees deeply again", "sink"),
    ("swing the hand", "raise one arm over the head"),
    ("move the feet", "step on", "swing both arms and go"),
)
CLASSES = Classes(NAMES, statements=STATEMENTS)
NOVEL = Classes(("jump", "clap"), statements=(("leave the floor",), ("hit both hands together", "make a noise")))
SMALL = {"num_context_tokens": 4, "epochs": 6, "learning_rate": 0.05}
START = {**SMALL, "epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0}  # fitted, and not moved
PARTS = {
    "aggregation": {"aggregation": "attention"},
    "transport": {"aggregation": "transport"},
    "attention over frames": {"temporal_pooling": "attention"},
    "transformer": {"temporal_pooling": "transformer", "transformer_layers": 2},
    "continuous": {"continuous": True},
    "numeric": {"numeric": True},
    "class-specific": {"class_specific_context": True},
    "all": {
        **{"class_specific_context": True, "context_place": "middle", "context_init": "knowledge", "continuous": True},
        **{"aggregation": "attention", "temporal_pooling": "transformer", "numeric": True, "class_balancing": True},
        **{"focal_ordinal_weight": 1.0, "consistency_weight": 1.0, "label_smoothing": 0.1},
    },
}


def view(labels=(0, 1, 2, 0, 1, 2), spread=0.1):
    labels = torch.as_tensor(labels)
    centres = torch.randn(3, 16, generator=torch.Generator().manual_seed(9))
    noise = spread * torch.randn(len(labels), 4, 16, generator=torch.Generator().manual_seed(1))
    numbers = {"speed_head": labels + torch.arange(len(labels)) / 10, "frames_dropped": torch.zeros(len(labels))}
    return LabelledFeatures(Features(centres[labels][:, None] + noise), labels, numbers)


def fitted(adapter=None, train=None, classes=CLASSES, seed=1, **config):
    settings = knowledge_prompt.Config(**{**SMALL, **config})
    return knowledge_prompt.fit(settings, adapter or LayeredFake(), train or view(), None, classes, seed)


def numbers(predictor):
    return {name: p.detach().clone() for name, p in predictor.learnt.named_parameters()}
