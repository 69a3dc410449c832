"""What a run found, and how it is written down."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Figure:
    """One measurement. ``per_second`` is the median of the rounds; latencies in milliseconds."""

    name: str
    per_second: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    errors: int = 0
    notes: str = ""
    rounds: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Ratio:
    """A figure over another of the same run, or what else a suite was asked for."""

    name: str
    value: float


@dataclass(slots=True)
class Suite:
    """The figures of one question."""

    title: str
    settings: str
    figures: list[Figure] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)

    def add(self, figure: Figure) -> Figure:
        self.figures.append(figure)
        latency = "" if figure.p50_ms is None else f"  p50 {figure.p50_ms:.1f} ms"
        latency += "" if figure.p99_ms is None else f"  p99 {figure.p99_ms:.1f} ms"
        print(f"  {figure.name:<58} {figure.per_second:>9,.0f}/s{latency}", flush=True)
        return figure

    def compare(self, name: str, upper: Figure, lower: Figure) -> None:
        ratio = Ratio(name, upper.per_second / lower.per_second)
        self.ratios.append(ratio)
        print(f"  {'':>4}{name:<54} {ratio.value:>9.2f} ×", flush=True)

    def state(self, name: str, value: float) -> None:
        """A number that is no rate over another one."""
        self.ratios.append(Ratio(name, value))
        print(f"  {'':>4}{name:<54} {value:>9.2f}", flush=True)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def machine() -> str:
    """One line: processor, cores, memory, system."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {os.cpu_count()} cores, {memory_gib:.0f} GiB,"
        f" {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def contention() -> str:
    """How busy the machine was with other things when the run began."""
    one, five, _ = os.getloadavg()
    return f"load average before the run {one:.1f} (1 min), {five:.1f} (5 min)"


def commit() -> str:
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or "unknown"


def markdown(suites: list[Suite]) -> str:
    parts: list[str] = []
    for suite in suites:
        parts += [f"## {suite.title}", "", suite.settings, ""]
        parts += ["| what | per second | p50 ms | p99 ms | errors | |", "|---|--:|--:|--:|--:|---|"]
        for f in suite.figures:
            p50 = "" if f.p50_ms is None else f"{f.p50_ms:.1f}"
            p99 = "" if f.p99_ms is None else f"{f.p99_ms:.1f}"
            parts.append(
                f"| {f.name} | {f.per_second:,.0f} | {p50} | {p99} | {f.errors} | {f.notes} |"
            )
        parts += ["", "| ratio | |", "|---|--:|"]
        parts += [f"| {ratio.name} | **{ratio.value:.2f}** |" for ratio in suite.ratios]
        parts.append("")
    return "\n".join(parts)
