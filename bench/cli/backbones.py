"""The commands about this machine and its backbones: doctor, check-adapter and fetch."""

from __future__ import annotations

from typing import Annotated

import typer

from bench import plugins
from bench.cli._common import out
from bench.contracts import BenchError


def doctor(
    backbone: Annotated[
        str | None,
        typer.Option(help="Its facts, and what bf16, fp16 and torch.compile change in it here."),
    ] = None,
) -> None:
    """Versions, GPU, disk, weights at hand; exit code 1 if something must be mended. Example: python -m bench doctor"""
    from bench.doctor import report

    if backbone is not None:
        from bench.examine import examine
        from bench.planning import load_adapter

        for line in examine(load_adapter(plugins.absolute(backbone))):
            out.print(line)
        return
    checks = report(_weights_at_hand)
    width = max(len(check.name) for check in checks)
    for check in checks:
        out.print(f"{check.status:4}  {check.name:{width}}  {check.text}")
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


def _weights_at_hand(name: str) -> str:
    module = plugins.find("adapters", name)
    return str(module.at_hand(name)) if hasattr(module, "at_hand") else "its adapter does not say"


def check_adapter(name: Annotated[str, typer.Argument(help="As in list --kind adapters, or an open name.")]) -> None:
    """Put a backbone through the contract, with its weights; exit code 1 if it fails. Example: python -m bench check-adapter tiny-clip"""
    from bench import checks
    from bench.contracts import Adapter
    from bench.planning import load_adapter

    adapter = load_adapter(plugins.absolute(name))
    if lacking := [member for member in vars(Adapter) if member[0] != "_" and not hasattr(adapter, member)]:
        raise BenchError(
            f"what load({name!r}) returns is no adapter: it lacks {', '.join(lacking)} (see Adapter in bench/contracts)"
        )
    facts = adapter.facts
    toy = ", toy scale" if facts.toy_scale else ""
    out.print(
        f"{facts.name}: {facts.family}, {facts.architecture}, {facts.num_parameters / 1e6:.1f} M parameters, {facts.num_frames} frames, "
        f"embeddings of {facts.embed_dim}, with {' and '.join(sorted(facts.capabilities, reverse=True)) or 'neither text nor prompts'}{toy}"
    )
    out.print(
        f"weights: {facts.weights}, sha256 {facts.weights_sha256[:16]}; pre-training: {facts.pretraining}; licence: {facts.licence}"
    )
    results = checks.check_adapter(adapter)
    width = max(len(result.name) for result in results)
    out.print(f"{'check':{width}}  result  seen")
    for result in results:
        outcome = "FAILED" if result.problem else "ok" if result.applies else "n/a"
        out.print(f"{result.name.replace('_', ' '):{width}}  {outcome:6}  {result.problem}".rstrip())
    failed = sum(bool(result.problem) for result in results)
    out.print(f"{failed} of {len(results)} checks failed" if failed else "it keeps the contract")
    if failed:
        raise typer.Exit(1)


def fetch(names: Annotated[list[str], typer.Argument(help="Backbones, as in list --kind adapters.")]) -> None:
    """Download weights to $BENCH_HOME/weights, where there is network. Example: python -m bench fetch clip-vit-b-16"""
    for name in names:
        name = plugins.absolute(name)
        module = plugins.find("adapters", name)
        if not hasattr(module, "fetch"):
            raise BenchError(f"{name} cannot be fetched by this command; see its adapter {module.__name__}")
        out.print(f"{name}: {module.fetch(name)}")
