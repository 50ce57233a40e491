"""The number format reaches the forward pass, and batches fit into memory: on the CPU, with fakes in place of a GPU's limits."""

from dataclasses import replace

import pytest
import torch
from fakes import DIM, SIDE, FakeAdapter

from bench import forward
from bench.contracts import BenchError
from bench.forward import Encoder, best_batch, channels_last, device_of, joined

NUM = 4


def videos(count, num_frames=NUM):
    return list(torch.randn(count, num_frames, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5)))


# --- the batch size ----------------------------------------------------------------------------------------------


def device(memory, per_call, per_video, asked):
    """A device that holds so many videos; a pass takes a fixed time and some more a video."""

    def measure(size):
        asked.append(size)
        return None if size > memory else per_call + size * per_video

    return measure


@pytest.mark.parametrize(
    ("memory", "per_call", "per_video", "limit", "best", "asked"),
    [
        (999, 1.0, 0.0, 32, 32, [1, 2, 4, 8, 16, 32]),  # the limit
        (5, 1.0, 0.0, 32, 4, [1, 2, 4, 8]),  # the memory
        (999, 0.0, 1.0, 32, 1, [1, 2]),  # twice the videos take twice the time
        (999, 1.0, 1.0, 64, 16, [1, 2, 4, 8, 16, 32]),  # 32 would be 3 % faster, 16 was 6 %
        (999, 1.0, 0.0, 24, 16, [1, 2, 4, 8, 16]),
        (1, 1.0, 0.0, 32, 1, [1, 2]),
    ],
)
def test_the_batch_grows_while_memory_suffices_and_it_pays(memory, per_call, per_video, limit, best, asked):
    seen = []
    assert best_batch(device(memory, per_call, per_video, seen), limit) == best
    assert seen == asked


def test_where_not_one_video_fits_the_error_says_what_to_do():
    with pytest.raises(BenchError, match=r"memory does not hold one video.*BENCH_DEVICE=cpu"):
        best_batch(lambda size: None)


class Small(FakeAdapter):
    """Its device holds `memory` videos; more raise what torch raises."""

    def __init__(self, memory):
        super().__init__()
        self.memory, self.sizes = memory, []

    def encode_video(self, video):
        self.sizes.append(len(video))
        if len(video) > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().encode_video(video)


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost_or_done_twice():
    adapter, of = Small(5), videos(20)
    encoder = Encoder(adapter)
    found = encoder.encode(of)
    assert adapter.sizes == [16, 8, 4, 4, 4, 4, 4]
    assert adapter.num_encoded == 20 and encoder.batch == encoder.record["batch"] == 4
    torch.testing.assert_close(found.frames, FakeAdapter().encode_video(torch.stack(of)).frames)
    adapter.sizes.clear()
    encoder.encode(of[:6])
    assert adapter.sizes == [4, 2], "what was learnt stays"


def test_a_short_batch_that_does_not_fit_is_halved_from_its_own_size():
    adapter = Small(2)
    Encoder(adapter).encode(videos(6))
    assert adapter.sizes == [6, 3, 1, 1, 1, 1, 1, 1]


def test_one_video_that_does_not_fit_is_an_error_and_no_endless_loop():
    adapter = Small(0)
    with pytest.raises(BenchError, match=r"does not hold one video of fake"):
        Encoder(adapter).encode(videos(3))
    assert adapter.sizes == [3, 1]


def test_an_error_that_is_not_memory_s_is_raised_as_it_is():
    class Broken(FakeAdapter):
        def encode_video(self, video):
            raise RuntimeError("shapes do not fit")

    encoder = Encoder(Broken())
    with pytest.raises(RuntimeError, match="^shapes do not fit$"):
        encoder.encode(videos(3))
    with pytest.raises(RuntimeError, match="^shapes do not fit$"):
        encoder._seconds(videos(1)[0], 2)


def test_the_cpu_s_memory_counts_as_well():
    class Full(Small):
        def encode_video(self, video):
            if len(video) > self.memory:
                torch.empty(10**15)
            return super().encode_video(video)

    adapter = Full(2)
    Encoder(adapter).encode(videos(4))
    assert adapter.sizes == [2, 2]


def test_an_unknown_batch_size_is_found_once_with_copies_of_the_video(monkeypatch):
    monkeypatch.setattr(forward.torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(forward, "RISE", 0.0)  # whatever the clock says
    adapter, of = Small(5), videos(9)
    encoder = Encoder(adapter)
    encoder.batch = 0  # as it is on a GPU
    assert encoder.size(of[0]) == 4
    assert max(adapter.sizes) == 8 and {1, 2, 4, 8} == set(adapter.sizes)
    adapter.sizes.clear()
    found = encoder.encode(of)
    assert adapter.sizes == [4, 4, 1] and encoder.size(of[1]) == 4
    torch.testing.assert_close(found.frames, FakeAdapter().encode_video(torch.stack(of)).frames)


def test_on_the_cpu_the_batch_is_fixed():
    adapter = Small(99)
    encoder = Encoder(adapter)
    assert encoder.size(videos(1)[0]) == forward.CPU_BATCH == 16 and adapter.sizes == []
    encoder.encode(videos(35))
    assert adapter.sizes == [16, 16, 3]


# --- the number format -------------------------------------------------------------------------------------------


class Telling(FakeAdapter):
    """Says in which type a product of float32 matrices comes out: what autocast decides."""

    def encode_video(self, video):
        flat = video.flatten(2) @ self.module.visual
        self.seen = flat.dtype, torch.is_inference_mode_enabled()
        return replace(super().encode_video(video), frames=flat, extra={"map": flat.mean(1)})


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_the_precision_is_that_of_the_forward_pass_and_features_are_float32(precision, dtype):
    adapter, batch = Telling(), torch.stack(videos(3))
    found = Encoder(adapter, precision).forward(batch)
    assert adapter.seen == (dtype, True)
    assert found.frames.dtype == found.extra["map"].dtype == torch.float32
    exact = batch.flatten(2) @ adapter.module.visual
    torch.testing.assert_close(found.frames, exact, rtol=0.05, atol=0.05)
    assert torch.equal(found.frames, exact) == (precision == "float32")


def test_no_format_outlasts_its_pass():
    Encoder(Telling(), "bf16").forward(torch.stack(videos(1)))
    assert not torch.is_autocast_enabled("cpu") and torch.backends.cudnn.allow_tf32


def test_an_unknown_precision_is_an_error():
    with pytest.raises(BenchError, match="unknown precision 'half'; it is one of float32, bf16, fp16"):
        Encoder(FakeAdapter(), "half")


def test_what_is_recorded():
    assert Encoder(FakeAdapter(), "bf16").record == {
        "precision": "bf16",
        "compile": False,
        "device": "cpu",
        "batch": 16,
    }


def test_parts_are_joined_with_their_extra():
    adapter, of = Telling(), torch.stack(videos(5))
    whole = adapter.encode_video(of)
    found = joined([adapter.encode_video(of[:2]), adapter.encode_video(of[2:])])
    assert torch.equal(found.frames, whole.frames) and torch.equal(found.extra["map"], whole.extra["map"])


def test_the_device_of_a_backbone_without_parameters_is_the_cpu():
    adapter = FakeAdapter()
    assert device_of(adapter) == torch.device("cpu")
    adapter.module = torch.nn.Identity()
    assert device_of(adapter) == torch.device("cpu")


def test_channels_last_changes_the_layout_and_no_value():
    batch = torch.stack(videos(3))
    other = channels_last(batch)
    assert torch.equal(batch, other)
    frames = other.flatten(0, 1)
    assert frames.data_ptr() == other.data_ptr(), "the frames of all videos are still a view"
    assert frames.is_contiguous(memory_format=torch.channels_last) and not frames.is_contiguous()


# --- torch.compile -----------------------------------------------------------------------------------------------


def test_where_it_cannot_compile_it_says_so_and_does_not_fall_back(monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no C++ compiler here")

    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda call: compile(call, backend=broken))
    adapter = FakeAdapter()
    with pytest.raises(
        BenchError,
        match=r"torch.compile cannot run fake on this machine \(.*no C\+\+ compiler here.*leave --compile out",
    ):
        Encoder(adapter, compile=True).encode(videos(2))


def test_what_is_compiled_is_what_runs(monkeypatch):
    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda call: compile(call, backend=counting))
    adapter, of = FakeAdapter(), videos(5)
    found = Encoder(adapter, compile=True).encode(of)
    assert graphs and found.frames.shape == (5, NUM, DIM)
    torch.testing.assert_close(found.frames, FakeAdapter().encode_video(torch.stack(of)).frames)


@pytest.mark.gpu
def test_on_a_gpu_the_batch_is_found_and_bf16_is_near():
    adapter = FakeAdapter()
    adapter.module.to("cuda")
    of = videos(40)
    encoder = Encoder(adapter, "bf16")
    found = encoder.encode(of)
    assert 1 <= encoder.batch <= forward.MAX_BATCH and found.frames.device.type == "cuda"
    torch.testing.assert_close(
        found.frames.cpu(), FakeAdapter().encode_video(torch.stack(of)).frames, rtol=0.05, atol=0.05
    )
