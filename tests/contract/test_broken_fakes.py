"""The contract tests can fail: the good fakes are green, and each way of breaking a promise turns its own check red."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from bench import checks
from bench.contracts import TEXT, BackboneFacts, BenchError, Features, NotApplicable
from tests.fakes import FakeAdapter, LayeredFake


def problems(results):
    return {r.name for r in results if r.problem}


def test_the_good_adapter_is_green():
    assert problems(checks.check_adapter(FakeAdapter())) == set()
    assert problems(checks.check_adapter(LayeredFake())) == set()


def test_the_good_adapters_of_other_kinds_are_green():
    assert problems(checks.check_adapter(OneNumber())) == set()
    results = checks.check_adapter(NoText())
    assert problems(results) == set()
    assert {r.name for r in results if not r.applies} >= {"text_depends_on_its_argument", "context_has_its_places"}


class IgnoresText(FakeAdapter):
    def encode_text(self, texts):
        return super().encode_text(["always the same"] * len(texts))


class RemembersText(FakeAdapter):
    """X-CLIP's released code: the first call's class list answers every later one."""

    kept = None

    def encode_text(self, texts):
        if self.kept is None or len(texts) != len(self.kept):
            self.kept = super().encode_text(texts)
        return self.kept


class LooksAtNeighbours(FakeAdapter):
    def encode_video(self, video):
        frames = super().encode_video(video).frames
        return Features(frames - frames.mean(dim=0, keepdim=True))


class DoublePrecision(FakeAdapter):
    def encode_video(self, video):
        return Features(super().encode_video(video).frames.double())


class DoublePrecisionText(FakeAdapter):
    def encode_text(self, texts):
        return super().encode_text(texts).double()


class Transposed(FakeAdapter):
    def similarity(self, features, text):
        return super().similarity(features, text).T


class TransposedWhereSquare(FakeAdapter):
    def similarity(self, features, text):
        logits = super().similarity(features, text)
        return logits.T if logits.shape[0] == logits.shape[1] else logits


class ForgetsPositions(LayeredFake):
    def text_layers(self):
        return dataclasses.replace(super().text_layers(), positions=torch.zeros_like(self.module.positions))


class TrainMode(FakeAdapter):
    def __init__(self):
        super().__init__()
        self.module.train()


class Thawed(FakeAdapter):
    def __init__(self):
        super().__init__()
        self.module.requires_grad_(True)


class Learns(FakeAdapter):
    def encode_video(self, video):
        features = super().encode_video(video)
        self.module.visual.mul_(1.01)
        return features


class FingerprintWithoutTransform(FakeAdapter):
    def __init__(self):
        super().__init__()

        class Facts(BackboneFacts):
            @property
            def fingerprint(self):
                return self.weights_sha256[:16]

        self.facts = Facts(**{f.name: getattr(self.facts, f.name) for f in dataclasses.fields(self.facts)})


class PoolsTooEarly(FakeAdapter):
    """GaVA-CLIP's released code: the end of the text is looked for where it was before the context went in."""

    def tokenize(self, texts, num_context_tokens=0):
        tokens = super().tokenize(texts, num_context_tokens)
        return dataclasses.replace(tokens, pool=tokens.pool - num_context_tokens)


class NoGradient(FakeAdapter):
    def encode_embedded(self, embeddings, tokens, inject=None):
        with torch.no_grad():
            return super().encode_embedded(embeddings, tokens, inject)


class IgnoresInjection(FakeAdapter):
    def encode_embedded(self, embeddings, tokens, inject=None):
        return super().encode_embedded(embeddings, tokens)


class RandomVideo(FakeAdapter):
    def encode_video(self, video):
        frames = super().encode_video(video).frames
        return Features(frames + 0.01 * torch.randn_like(frames))


class DropsFrames(FakeAdapter):
    def encode_video(self, video):
        return super().encode_video(video[:, :4])


class TakesAnyNumber(FakeAdapter):
    """A checkpoint for four frames that does not mind five."""

    def __init__(self):
        super().__init__()
        self.facts = dataclasses.replace(self.facts, fixed_num_frames=True)


class OneNumber(TakesAnyNumber):
    def encode_video(self, video):
        if video.shape[1] != self.facts.num_frames:
            raise BenchError(f"made for {self.facts.num_frames} frames")
        return super().encode_video(video)


class NoText(FakeAdapter):
    """An image-only encoder."""

    def __init__(self):
        super().__init__(capabilities=frozenset())

    def encode_text(self, texts):
        raise NotApplicable("fake has no text side")

    def similarity(self, features, text):
        raise NotApplicable("fake has no text side")


class MakesTextUp(NoText):
    def encode_text(self, texts):
        return torch.zeros(len(texts), self.facts.embed_dim)


class ClaimsAFormat(FakeAdapter):
    def __init__(self, precisions=("float32", "half")):
        super().__init__()
        self.facts = dataclasses.replace(self.facts, precisions=precisions)


class OverflowsInHalf(ClaimsAFormat):
    def __init__(self):
        super().__init__(("float32", "fp16"))

    def encode_video(self, video):
        found = super().encode_video(video)
        return Features(found.frames * torch.inf) if torch.is_autocast_enabled("cpu") else found


class NormalisedPerCall:
    """A transform that cannot travel to a worker."""

    def __init__(self):
        self.call = lambda frames: FakeAdapter().transform(frames)

    def __call__(self, frames):
        return self.call(frames)


class UnpicklableTransform(FakeAdapter):
    def __init__(self):
        super().__init__()
        self.transform = NormalisedPerCall()


@pytest.mark.parametrize(
    ("broken", "red"),
    [
        (IgnoresText, "text_depends_on_its_argument"),
        (RemembersText, "text_depends_on_its_argument"),
        (LooksAtNeighbours, "video_is_independent"),
        (DoublePrecision, "video_is_independent"),
        (DoublePrecisionText, "text_depends_on_its_argument"),
        (Transposed, "similarity_is_oriented"),
        (TransposedWhereSquare, "similarity_is_oriented"),
        (TrainMode, "is_frozen"),
        (Thawed, "is_frozen"),
        (Learns, "parameters_stay"),
        (FingerprintWithoutTransform, "facts_are_whole"),
        (PoolsTooEarly, "context_has_its_places"),
        (NoGradient, "prompts_equal_text"),
        (IgnoresInjection, "context_has_its_places"),
        (RandomVideo, "video_is_independent"),
        (UnpicklableTransform, "transform_is_own"),
        (DropsFrames, "frame_count_is_kept_or_refused"),
        (TakesAnyNumber, "frame_count_is_kept_or_refused"),
        (MakesTextUp, "text_is_refused"),
        (ClaimsAFormat, "precisions_run"),
        (OverflowsInHalf, "precisions_run"),
        (ForgetsPositions, "layers_are_the_tower"),
    ],
)
def test_a_broken_adapter_turns_red(broken, red):
    assert red in problems(checks.check_adapter(broken()))


# --- methods -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config:
    pass


def means(features, labels, classes):
    return {name: features.pooled[labels == c].mean(0) for c, name in enumerate(classes.names)}


class NearestMean:
    """The good fake: the mean feature of each class, by name."""

    def __init__(self, by_name):
        self.by_name = by_name

    @property
    def num_trainable(self):
        return sum(mean.numel() for mean in self.by_name.values())

    def __call__(self, features, classes):
        return -torch.cdist(features.pooled, torch.stack([self.by_name[name] for name in classes.names]))


class FixedOrder(NearestMean):
    def __call__(self, features, classes):
        return -torch.cdist(features.pooled, torch.stack(list(self.by_name.values())))


class PeeksAtTest(NearestMean):
    def __call__(self, features, classes):
        logits = super().__call__(features, classes)
        return logits - logits.mean(dim=0, keepdim=True)


class CountsNothing(NearestMean):
    num_trainable = 0


class DoubleLogits(NearestMean):
    def __call__(self, features, classes):
        return super().__call__(features, classes).double()


class Transposes(NearestMean):
    def __call__(self, features, classes):
        return super().__call__(features, classes).T


def method(predictor=NearestMean, fit=None, config=Config):
    def plain(config, adapter, train, val, classes, seed):
        return predictor(means(train.features, train.labels, classes))

    return SimpleNamespace(
        Config=config,
        NEEDS=frozenset({TEXT, "train"}),
        TRAINABLE="head",
        VERSION=1,
        fit=fit or plain,
        suggest=lambda trial: {},
        describe=lambda config: "nearest mean",
    )


def changes_a_parameter(config, adapter, train, val, classes, seed):
    adapter.module.visual.data += 1e-3
    return NearestMean(means(train.features, train.labels, classes))


def leaves_train_mode_on(config, adapter, train, val, classes, seed):
    adapter.module.train()
    return NearestMean(means(train.features, train.labels, classes))


def ignores_the_seed(config, adapter, train, val, classes, seed):
    by_name = means(train.features, train.labels, classes)
    return NearestMean({name: mean + 0.01 * torch.randn_like(mean) for name, mean in by_name.items()})


def reads_the_store(path):
    def fit(config, adapter, train, val, classes, seed):
        path.read_bytes()
        return NearestMean(means(train.features, train.labels, classes))

    return fit


def wants_the_test_view(config, adapter, train, val, classes, seed, test=None):
    return NearestMean(means(train.features, train.labels, classes))


@dataclasses.dataclass
class Mutable:
    rate: float = 0.1


def test_the_good_method_is_green():
    assert problems(checks.check_method(method(), FakeAdapter())) == set()


@pytest.mark.parametrize(
    ("broken", "red"),
    [
        (method(FixedOrder), "classes_permute"),
        (method(PeeksAtTest), "videos_are_judged_alone"),
        (method(DoubleLogits), "logits_are_whole"),
        (method(CountsNothing), "learnt_numbers_are_counted"),
        (method(Transposes), "logits_are_whole"),
        (method(fit=changes_a_parameter), "backbone_stays"),
        (method(fit=leaves_train_mode_on), "backbone_stays"),
        (method(fit=ignores_the_seed), "logits_are_whole"),
        (method(fit=wants_the_test_view), "config_is_frozen"),
        (method(config=Mutable), "config_is_frozen"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_method_turns_red(broken, red):
    assert red in problems(checks.check_method(broken, FakeAdapter()))


def test_a_method_that_opens_the_feature_store_turns_red(tmp_path):
    stored = tmp_path / "features" / "shard.safetensors"
    stored.parent.mkdir()
    stored.write_bytes(b"test features")
    assert problems(checks.check_method(method(fit=reads_the_store(stored)), FakeAdapter())) == {"files_stay_closed"}
