"""How well a policy tells spectra of known classes from those of unknown ones."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from specnet.calibration import CachedLogits
from specnet.errors import ModelError
from specnet.exits import REJECT_SCORES, ExitPolicy, route


def evaluate_rejection(policy: ExitPolicy, known: CachedLogits, unknown: CachedLogits) -> dict[str, Any]:
    """Judge the reject rule of a policy, and what every reject score could do at any threshold.

    Parameters
    ----------
    policy
        Decides where spectra leave; its reject rule, when it has one, is measured.
    known
        Test spectra of the classes that the network knows.
    unknown
        Spectra of other classes; their labels play no part.

    Returns
    -------
    dict
        JSON document: ``auroc`` for every name in `specnet.exits.REJECT_SCORES` (1 when every unknown spectrum looks
        stranger than every known one, 0.5 when the score says nothing), ``n_known``, ``n_unknown``; ``false_alarm``,
        the share of known spectra that the rule rejects, and ``detection``, the share of unknown ones, both None
        without a rule.

    Raises
    ------
    ModelError
        When both are not of one network.
    """
    from sklearn.metrics import roc_auc_score  # takes a second to load, and only this function needs it

    if (known.n_exits, known.n_classes) != (unknown.n_exits, unknown.n_classes):
        raise ModelError(
            f"known spectra have {known.n_exits} exits and {known.n_classes} classes, unknown ones {unknown.n_exits} "
            f"and {unknown.n_classes}"
        )
    stranger = np.repeat([False, True], [known.n_spectra, unknown.n_spectra])
    auroc = {}
    for name in REJECT_SCORES:
        judging = msgspec.structs.replace(policy, reject=name)
        scores = [route(judging, split.logits).reject_scores for split in (known, unknown)]
        auroc[name] = float(roc_auc_score(stranger, np.concatenate(scores)))
    rates = [float((~route(policy, split.logits).known).mean()) for split in (known, unknown)]
    return {
        "n_known": known.n_spectra,
        "n_unknown": unknown.n_spectra,
        "reject": policy.reject,
        "auroc": auroc,
        "false_alarm": rates[0] if policy.reject else None,
        "detection": rates[1] if policy.reject else None,
    }
