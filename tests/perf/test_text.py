"""The fast text path over a plain forward, ViT-B/16's text tower at its real size with random weights; printed, never asserted on.

`make perf ARGS="-k text"`. The plain forward takes every text at its full length, in chunks whose gradient is accumulated where they
would not fit; where it takes too long, some of its texts are timed and the time is scaled up, which is said.
"""

import json
import subprocess
import sys
import time

import pytest
import torch
from perf.test_ratios import load, say, vit_b_16

from bench.plugins import ROOT
from bench.prompting import encode, prepare

pytestmark = pytest.mark.perf
WORDS = (
    "person arm leg hand slowly turns lifts holds near chair left right knee elbow floor bends over raises both".split()
)
PLAIN_TEXTS = 100  # of the plain forward at once
WARM_UPS = 2
REPEATS = 3
GPU_REPEATS = 20


def sentences(num, seed):
    """Statements as a bank has them: "The person ..." or "One hand ...", 9 to 16 words."""
    generator = torch.Generator().manual_seed(seed)

    def draw(n):
        return int(torch.randint(n, (1,), generator=generator))

    starts = ("The person", "One hand", "Both arms", "A person")
    return [f"{starts[draw(4)]} {' '.join(WORDS[draw(len(WORDS))] for _ in range(7 + draw(8)))}." for _ in range(num)]


def names(num):
    return [f"{WORDS[i % len(WORDS)]} {WORDS[(i // len(WORDS) + i) % len(WORDS)]}." for i in range(num)]


CASES = {
    "CoOp: 51 classes, 16 shared tokens": (names(51), 16, None, 51),
    "400 classes x 5 statements, 8 shared tokens": (sentences(2000, 1), 8, None, 200),
    "400 classes x 5 statements, 8 tokens a class": (sentences(2000, 1), 8, [i // 5 for i in range(2000)], 200),
}


def plain_step(adapter, texts, context, own):
    """A step's gradient by the plain forward; its loss is a sum over texts, so that chunks add up."""
    for start in range(0, len(texts), PLAIN_TEXTS):
        tokens = adapter.tokenize(texts[start : start + PLAIN_TEXTS], context.shape[-2])
        values = context if own is None else context[torch.tensor(own[start : start + PLAIN_TEXTS])]
        rows = torch.arange(len(tokens.ids))[:, None].to(context.device)
        embeddings = adapter.embed_tokens(tokens)
        put = embeddings.index_put((rows, tokens.context), values.expand(len(tokens.ids), -1, -1))
        adapter.encode_embedded(put, tokens).sum().backward()


def seconds(work, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
@pytest.mark.parametrize("case", CASES)
def test_the_fast_text_path_over_the_plain_forward(case, device, capsys):
    adapter, (texts, num, own, timed) = vit_b_16(device), CASES[case]
    prompts = prepare(adapter, texts, num, own)
    width = adapter.embed_tokens(adapter.tokenize(["a"])).shape[-1]
    groups = () if own is None else (max(own) + 1,)
    context = (0.02 * torch.randn(*groups, num, width, device=device)).requires_grad_()
    some = None if own is None else own[:timed]
    times = {"fast": [], "plain": []}
    for _ in range(WARM_UPS):
        encode(adapter, prompts, context).sum().backward()
    for _ in range(REPEATS if device == "cpu" else GPU_REPEATS):
        times["fast"].append(seconds(lambda: encode(adapter, prompts, context).sum().backward(), 1))
        times["plain"].append(seconds(lambda: plain_step(adapter, texts[:timed], context, some), 1))
    fast, plain = min(times["fast"]), min(times["plain"]) * len(texts) / timed
    limit = prompts.tokens_whole / prompts.tokens_a_step
    scaled = "" if timed == len(texts) else f" (of {timed} texts, scaled up)"
    say(
        capsys,
        f"text, {case}, {device}: {plain / fast:.2f} times as fast as the plain forward; by token counts {limit:.2f} "
        f"({prompts.tokens_whole} over {prompts.tokens_a_step}); {1000 * fast:.1f} ms against {1000 * plain:.1f} ms{scaled}; {load()}",
    )


MEMORY = """
import json, sys
sys.path[:0] = ["tests"]
import torch
from perf.test_text import CASES
from perf.test_ratios import vit_b_16
from bench.cost import Meter
from bench.prompting import encode, prepare
adapter, (texts, num, own, _) = vit_b_16(), CASES[sys.argv[1]]
with Meter(torch.device("cpu")) as meter:
    prompts = prepare(adapter, texts, num, own)
    context = torch.zeros(*(() if own is None else (max(own) + 1,)), num, 512, requires_grad=True)
    encode(adapter, prompts, context).sum().backward()
print(json.dumps([meter.start_mb, meter.peak_mb, len(prompts.chunks)]))
"""


@pytest.mark.parametrize("case", [case for case in CASES if "400" in case])
def test_the_memory_of_the_fast_text_path(case, capsys):
    done = subprocess.run([sys.executable, "-c", MEMORY, case], capture_output=True, text=True, check=True, cwd=ROOT)
    before, peak, chunks = json.loads(done.stdout)
    say(
        capsys,
        f"memory, {case}, cpu: peak {peak / 1000:.2f} GB, of which {before / 1000:.2f} were there before; {chunks} chunks",
    )
