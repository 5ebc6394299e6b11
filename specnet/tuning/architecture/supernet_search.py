"""Search with a supernet: train one set of weights for all shapes, then let evolution judge shapes with it.

A shape costs a fraction of a second instead of a training. What a shape says with shared weights is worse than what it
says when trained alone; only the order of shapes is wanted, and the best one has to be trained anew.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import torch

from specnet.errors import ConfigurationError
from specnet.training.losses import LOSSES, Context
from specnet.tuning.architecture.evolution import Ancestry, Breeding, evolve, random_search
from specnet.tuning.architecture.judging import Cost, Task, build, judge, measure
from specnet.tuning.architecture.searches import COMPLETE, Budget, Candidate, Found, Place, Report, Status
from specnet.tuning.architecture.space import Architecture, SearchSpace
from specnet.tuning.architecture.supernet_ledger import Ledger, Record
from specnet.tuning.architecture.supernet_training import (
    SinglePathNet,
    build_supernet,
    cut_out,
    norm_spectra,
    train_supernet,
)

CHECKPOINT_FILE, LEDGER_FILE = "supernet.safetensors", "supernet.json"
MOST_SHAPES = 2000
TRAINING_SHARE = 0.65
"""Of a limited time, what the supernet's training may take; the rest is for judging shapes."""
FEWEST_EPOCHS = 3
PROBED_STEPS = 12


def search_supernet(
    task: Task,
    space: SearchSpace,
    budget: Budget,
    *,
    place: Place,
    report: Report = lambda status: None,
    breeding: Breeding | None = None,
) -> Found:
    """Train a supernet, then search by evolution with its weights; an interrupted search is continued.

    Parameters
    ----------
    task, space
        What is searched. The seed of the task's recipe decides all draws.
    budget
        `trials` are shapes judged. `epochs` are those of the supernet; 0 plans as many as fit into `TRAINING_SHARE` of
        the time, and where that is not limited, as many as the recipe has.
    place
        Its folder keeps weights and judgements. They serve other limits of the cost as well.
    report
        Called after each epoch and each shape.
    breeding
        How generations follow from each other.

    Raises
    ------
    ConfigurationError
        When no shape is within the limit, or the space does not suit the axis.
    ModelError
        When the folder belongs to another search, or the loss is not finite.
    """
    search = SupernetSearch(task, space, budget, place=place, report=report)
    if not search.train():
        return Found(
            (), 0, search.ledger.seconds, f"{search.stop()} before the supernet was trained: started again, it goes on"
        )
    return search.found(search.evolve(breeding))


class _OutOfTimeError(Exception):
    """Ends a training between two epochs."""


class SupernetSearch:
    """One search: a supernet and the shapes judged with it. Parameters and errors as for `search_supernet`."""

    def __init__(
        self,
        task: Task,
        space: SearchSpace,
        budget: Budget,
        *,
        place: Place,
        report: Report = lambda status: None,
    ) -> None:
        self.task, self.space, self.budget, self.place, self.report = task, space, budget, place, report
        identity = {"data_sha256": task.data_sha256, "recipe": task.config.to_dict(), "space": space.to_dict()}
        self.ledger = Ledger(place.folder / LEDGER_FILE, identity)
        self.supernet: SinglePathNet = build_supernet(task, space)
        self._begin = time.monotonic()
        self._norms = norm_spectra(task)

    def train(self) -> bool:
        """Train the supernet, or go on with its training; False when time ended before."""
        planned, wanted = self.ledger.epochs, self.budget.epochs
        if planned and wanted and planned != wanted:
            raise ConfigurationError(
                f"the supernet in {self.place.folder} was begun with {planned} epochs, {wanted} were asked for; "
                "use another folder"
            )
        epochs = self.ledger.epochs = planned or wanted or self._plan()
        self.ledger.write()

        def after(epoch: int, values: dict[str, float]) -> None:
            self.ledger.write()
            loss = values[self.task.config.losses[0]]
            self.report(Status(0, 0, 0, None, f"supernet: epoch {epoch} of {epochs}, loss {loss:.3f}"))
            if epoch < epochs and self.stop():
                raise _OutOfTimeError

        try:
            train_supernet(
                self.supernet,
                self.task,
                epochs,
                checkpoint=self.place.folder / CHECKPOINT_FILE,
                identity={**self.ledger.identity, "epochs": epochs},
                report=after,
            )
        except _OutOfTimeError:
            return False
        return True

    def evolve(self, breeding: Breeding | None = None) -> Ancestry:
        """Search by evolution with the trained weights."""
        return evolve(
            self.space,
            self.nats,
            self.shapes,
            self.task.config.seed,
            feasible=self.feasible,
            breeding=breeding,
            stop=self._stop_before,
            report=self._tell,
        )

    def random_search(self) -> Ancestry:
        """Judge random shapes with the trained weights, for comparison."""
        seed = self.task.config.seed
        return random_search(
            self.space, self.nats, self.shapes, seed, feasible=self.feasible, stop=self._stop_before, report=self._tell
        )

    @property
    def shapes(self) -> int:
        """Shapes that are judged at most."""
        return self.budget.trials or MOST_SHAPES

    def feasible(self, architecture: Architecture) -> bool:
        """Whether a shape is within the limit; microseconds are measured once."""
        limit, record = self.task.limit, self.ledger.records.get(architecture)
        if record is None or (limit.us is not None and record.us is None):
            cost = measure(build(self.task, architecture), self.task)
            record = replace(record or Record(cost.macs), us=cost.us)
            self.ledger.records[architecture] = record
            if record.us is not None:  # no second measurement would say the same
                self.ledger.write()
        return limit.allows(Cost(record.macs, record.us))

    def nats(self, architecture: Architecture) -> float:
        """Judge a shape with its slice of the shared weights, once; infinite where nothing finite comes out."""
        record = self.ledger.records[architecture]
        if not record.judged:
            begin = time.process_time()
            judged = judge(cut_out(self.supernet, architecture, self._norms), self.task)
            nats = judged.nats if math.isfinite(judged.nats) else None
            seconds = time.process_time() - begin
            record = replace(record, nats=nats, accuracy=judged.accuracy, seconds=seconds)
            self.ledger.records[architecture] = record
            self.ledger.write()
        return math.inf if record.nats is None else record.nats

    def stop(self) -> str:
        """Give the reason to end now; empty where there is none."""
        seconds, processor = self.budget.seconds, self.budget.processor_seconds
        if seconds is not None and time.monotonic() - self._begin >= seconds:
            return f"{seconds:g} seconds were over"
        if processor is not None and self.ledger.spend() >= processor:
            return f"{processor:g} processor seconds were used"
        return ""

    def _stop_before(self, architecture: Architecture) -> str:
        """As `stop`; what an earlier run has judged already costs nothing, and is gone through again."""
        record = self.ledger.records.get(architecture)
        return "" if record is not None and record.judged else self.stop()

    def found(self, ancestry: Ancestry) -> Found:
        """Give what was judged in the form that all searches have."""
        candidates = []
        for number, one in enumerate(ancestry.scored):
            record = self.ledger.records[one.architecture]
            cost, judged = (record.macs, record.us), (record.nats, record.accuracy)
            candidates.append(Candidate(number, one.architecture, *cost, COMPLETE, 0, record.seconds, *judged))
        return Found(tuple(candidates), ancestry.infeasible, self.ledger.spend(), ancestry.why)

    def _plan(self) -> int:
        """Epochs that fit into the training's share of the time."""
        wall, processor = self.budget.seconds, self.budget.processor_seconds
        if wall is None and processor is None:
            return self.task.config.epochs
        an_epoch, processed = seconds_per_epoch(self.task, self.space)
        fitting = [] if wall is None else [wall / an_epoch]
        if processor is not None:
            fitting.append((processor - self.ledger.spend()) / processed)
        return max(FEWEST_EPOCHS, int(TRAINING_SHARE * min(fitting)))

    def _tell(self, found: Ancestry) -> None:
        best = found.ranked[0].nats
        text = f"generation {len(found.generations)}"
        self.report(Status(len(found.scored), 0, found.infeasible, best if math.isfinite(best) else None, text))


def seconds_per_epoch(task: Task, space: SearchSpace) -> tuple[float, float]:
    """Seconds of an epoch, of the wall clock and of the processor, from some steps that are thrown away."""
    supernet = build_supernet(task, space).train()
    n = len(task.training)
    batch = min(task.config.batch_size, max(2, n // 4))
    rows = [task.training[row % n] for row in range(batch)]
    spectra, labels = torch.stack([row[0] for row in rows])[:, None], torch.stack([row[1] for row in rows])
    begin, wall = time.process_time(), time.monotonic()
    for _ in range(PROBED_STEPS):
        outputs, context = supernet(spectra), Context(supernet, task.config, 0.0)
        terms = [LOSSES[name](outputs, labels, context) for name in task.config.all_losses]
        torch.stack(terms).sum().backward()  # type: ignore[no-untyped-call]
    epoch = -(-n // batch) / PROBED_STEPS
    return (time.monotonic() - wall) * epoch, (time.process_time() - begin) * epoch
