"""A bottleneck of a run that is trained once, judged on calibration spectra and kept beside the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from specnet.calibration.exit_table import ExitTable
from specnet.exits import ExitPolicy
from specnet.training.bottleneck import Report, train_bottleneck
from specnet.training.bottleneck_files import StoredBottleneck, read_bottlenecks, write_bottleneck
from specnet.training.bottleneck_recipe import BottleneckRecipe
from specnet.training.coded import judge_coded
from specnet.training.run import CachedRun, Run


def bottleneck_name(recipe: BottleneckRecipe) -> str:
    """Name of a bottleneck: split point, price, and whether halted patches are skipped."""
    return f"b{recipe.split}-{recipe.price:g}" + ("-halting" if recipe.skips_halted else "")


def bottleneck_once(
    run: Run,
    data: Path | str,
    recipe: BottleneckRecipe,
    held: CachedRun,
    policy: ExitPolicy,
    *,
    report: Report = lambda epoch, values: None,
    there: Callable[[], None] = lambda: None,
) -> StoredBottleneck:
    """Read the bottleneck that this recipe made for a run, or train it and write it.

    Parameters
    ----------
    run, data, recipe
        As for `specnet.training.bottleneck.train_bottleneck`.
    held
        What the run says of its calibration spectra: on these the bottleneck is judged.
    policy
        Temperatures and combiner of the answers that are judged.
    report
        Called after each epoch.
    there
        Called when there is nothing to do.

    Raises
    ------
    SpecnetError
        When run, file and recipe do not fit, or a bottleneck of the run is damaged.
    """
    name = bottleneck_name(recipe)
    kept = next((stored for stored in read_bottlenecks(run) if stored.name == name), None)
    if kept is not None and kept.recipe == recipe.to_dict():
        there()
        return kept
    codec = train_bottleneck(run, data, recipe, report=report)
    return judge_and_write(run, StoredBottleneck(name, codec, recipe.to_dict()), held, policy)


def judge_and_write(run: Run, stored: StoredBottleneck, held: CachedRun, policy: ExitPolicy) -> StoredBottleneck:
    """Say of a bottleneck what it takes and leaves on calibration spectra, and write it beside its run."""
    codec = stored.codec
    coded = judge_coded(run, codec.info.split, codec, held.logits, held.spectra)
    right = [ExitTable.of(logits, policy).correct[-1].mean() for logits in (coded.logits, held.logits)]
    info = msgspec.structs.replace(
        codec.info,
        mean_bytes=float(coded.n_bytes.mean()),
        largest_bytes=int(coded.n_bytes.max()),
        accuracy=float(right[0]),
        whole_accuracy=float(right[1]),
    )
    judged = replace(stored, codec=replace(codec, info=info))
    write_bottleneck(run, judged)
    return judged
