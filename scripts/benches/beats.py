"""Accuracy, lead, lock, honesty and cost of the beat engines on annotated excerpts.

Consumes a folder of excerpts (see `_excerpts.py`), prints one table per set, the mean of the set means, phantom beats, and a
reliability table of the confidences.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import resource
import sys
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from _beat_calibration import calibrate
from _beat_engines import PEERS, run
from _beat_metrics import Run, figures, judged
from _excerpts import DATA, Item, items

from k1edge.beat import network
from k1edge.config.settings import ENGINES

COLUMNS = (
    ("f70", "F70", "{:.3f}"), ("f35", "F35", "{:.3f}"), ("cmlt", "CMLt", "{:.3f}"), ("amlt", "AMLt", "{:.3f}"),
    ("down_f", "downF", "{:.3f}"), ("light_f", "lightF", "{:.3f}"), ("f70_lines", "F70 lines", "{:.3f}"),
    ("lead_p5", "lead P5", "{:.0f}"), ("lead_p50", "P50 ms", "{:.0f}"), ("lock_s", "lock s", "{:.1f}"),
    ("relocks", "re-locks", "{:.2f}"), ("switches", "switches", "{:.2f}"), ("corrections", "corr/beat", "{:.4f}"),
    ("bias_ms", "bias ms", "{:+.0f}"), ("cpu_ms_per_s", "CPU ms/s", "{:.1f}"),
)
MEDIANS = {"lock_s", "bias_ms"}
DECILES = np.linspace(0, 1, 11)


def measure(engine: str, work: list[Item], weights: Path | None = None) -> tuple[list[Run], float]:
    """All items through one engine, in a process of its own; the runs, and its peak RSS in MB."""
    if weights:
        network.WEIGHTS = str(weights.resolve())
    runs = [run(engine, item.path) for item in work]
    return runs, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def averaged(figures_of: Iterable[dict[str, float]]) -> dict[str, float]:
    """Each figure over all that have it: its mean, or its median where MEDIANS says."""
    out, rows = {}, list(figures_of)
    for key, _, _ in COLUMNS:
        values = [each[key] for each in rows if key in each and not np.isnan(each[key])]
        if values:
            out[key] = float(np.median(values) if key in MEDIANS else np.mean(values))
    return out


def row(results: list[dict[str, float]], runs: list[Run]) -> dict[str, float]:
    """The figures of several items as one row; leads are over all announcements, the cost is over all that was heard."""
    out = averaged(results)
    firsts = [line for r in runs for line in {x.number: x for x in reversed(r.lines)}.values()]
    if firsts:
        leads_ms = [1000 * (line.due_s - line.heard_s) for line in firsts]
        out["lead_p5"], out["lead_p50"] = np.percentile(leads_ms, [5, 50])
    out["cpu_ms_per_s"] = 1000 * sum(r.cpu_s for r in runs) / sum(r.duration_s for r in runs)
    return out


def table(title: str, rows: dict[str, dict[str, float]], markdown: bool) -> None:
    """Prints one row per engine."""
    lines = [["engine", *(head for _, head, _ in COLUMNS)]]
    for engine, figs in rows.items():
        lines.append([engine, *(form.format(figs[key]) if key in figs else "-" for key, _, form in COLUMNS)])
    if markdown:
        lines.insert(1, ["---"] * len(lines[0]))
        print(f"\n**{title}**\n", *("| " + " | ".join(line) + " |" for line in lines), sep="\n")
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print(f"\n{title}", *("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in lines), sep="\n")


def reliability(engine: str, work: list[Item], runs: list[Run]) -> None:
    """Prints, per decile of confidence, how often a true beat lay within 70 ms."""
    pairs = [pair for item, one in zip(work, runs, strict=True) for pair in judged(item.truth_s, one)]
    if not pairs:
        return
    confidence, hit = np.array([(beat.confidence, right) for beat, right in pairs], float).T
    print(f"\nreliability of {engine}: mean confidence -> share of beats within 70 ms (n)")
    for low, high in itertools.pairwise(DECILES):
        inside = (confidence >= low) & ((confidence < high) | (high == 1))
        if inside.any():
            print(f"  {low:.1f}-{high:.1f}  {confidence[inside].mean():.2f} -> {hit[inside].mean():.2f}  ({inside.sum()})")


def report(work: list[Item], measured: dict[str, tuple[list[Run], float]], args: argparse.Namespace) -> None:
    """All tables of one invocation."""
    by_engine: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    results = {e: [figures(i.truth_s, i.in_bar, r) for i, r in zip(work, runs, strict=True)]
               for e, (runs, _) in measured.items()}
    for group in sorted({item.group for item in work}):
        chosen = [n for n, item in enumerate(work) if item.group == group and len(item.truth_s)]
        for engine, (runs, _) in measured.items():
            if chosen:
                by_engine[engine][group] = row([results[engine][n] for n in chosen], [runs[n] for n in chosen])
        table(f"{group} ({len(chosen)})", {e: by_engine[e].get(group, {}) for e in measured}, args.md)
    beaten = [n for n, item in enumerate(work) if len(item.truth_s)]
    table(f"all items ({len(beaten)})", {e: row([results[e][n] for n in beaten], [runs[n] for n in beaten])
                                         for e, (runs, _) in measured.items()}, args.md)
    table("mean of set means", {e: averaged(by_engine[e].values()) for e in measured}, args.md)  # each set counts once
    if args.items:
        per_item(work, results)
    for engine, (runs, rss_mb) in measured.items():
        phantoms = {i.name: f["phantom_per_min"] for i, f in zip(work, results[engine], strict=True)
                    if "phantom_per_min" in f}
        said = "  ".join(f"{name} {rate:.1f}" for name, rate in phantoms.items())
        worst = sorted(ms for r in runs for ms in r.worst_hops_ms)
        hops = sum(r.duration_s for r in runs) * 100
        p999 = f", P99.9 hop {worst[-max(round(hops / 1000), 1)]:.2f} ms CPU" if len(worst) > hops / 1000 else ""
        print(f"\n{engine}: RSS {rss_mb:.0f} MB{p999}; phantom beats a minute where there is none: {said or '-'}")
        if engine in ENGINES:
            reliability(engine, work, runs)


def per_item(work: list[Item], results: dict[str, list[dict[str, float]]]) -> None:
    """Prints the main figures of every item."""
    for engine, figs in results.items():
        for item, f in zip(work, figs, strict=True):
            said = "  ".join(f"{k} {f[k]:.3f}" for k in ("f70", "amlt", "down_f", "lock_s", "switches") if k in f)
            print(f"{engine}\t{item.name}\t{said}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench beats", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="default: %(default)s")
    parser.add_argument("--engine", action="append", choices=(*ENGINES, *PEERS),
                        help=f"repeatable; default: {' and '.join(ENGINES)} (madmom needs the extra `bench`)")
    parser.add_argument("--offline", action="store_const", const=["bar_pointer", "offline"], dest="engine",
                        help="the live engine, and maps beside it")
    parser.add_argument("--split", choices=("tune", "report"), help="only this half of scripts/bench_split.tsv")
    parser.add_argument("--set", action="append", default=[], help="only this set; repeatable")
    parser.add_argument("--items", action="store_true", help="also one line per item")
    parser.add_argument("--calibrate", action="store_true", help="also fit the weights of the confidence to these items")
    parser.add_argument("--weights", type=Path, metavar="NPZ", help="instead of the shipped beat network's, for ours")
    parser.add_argument("--md", action="store_true", help="tables as markdown")
    parser.add_argument("--plot", type=Path, metavar="FILE",
                        help="picture (PNG) of the first chosen item: activation, posterior, announced and true beats")
    parser.add_argument("--item", help="only this item, as set/id")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    work = [i for i in items(args.data, args.split, args.set) if not args.item or i.name == args.item]
    if not work:
        print(f"scripts/bench beats: no annotated excerpts below {args.data} fit these choices", file=sys.stderr)
        return 2
    if args.plot:
        from _beat_picture import draw

        draw(work[0].path, work[0].truth_s, args.plot)
        return 0
    measured = {}
    for engine in args.engine or ENGINES:
        # A process per engine, so that RSS is its own.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
            measured[engine] = alone.submit(measure, engine, work, args.weights).result()
    report(work, measured, args)
    if args.calibrate and "bar_pointer" in measured:
        print("\nCALIBRATION =", calibrate([item.truth_s for item in work], measured["bar_pointer"][0]))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ModuleNotFoundError as error:
        sys.exit(f"scripts/bench beats: {error}; pictures and madmom need the extra `bench`")
