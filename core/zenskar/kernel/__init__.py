"""The rules that make both sides converge: pure functions, standard library only.

`observe` processes an observation of an external object, `plan` decides the next step. Both are
independent of the source of their data; no IO, no clock, no randomness. Rule numbers in the
docstrings are those of docs/kernel.md.
"""

from zenskar.kernel.filtered import Passes, observe_filtered, plan_outside
from zenskar.kernel.links import detached, is_former, linked_again, merged, released
from zenskar.kernel.observe import lost, observe
from zenskar.kernel.outcome import Outcome, Verdict
from zenskar.kernel.plan import Step, StepKind, plan
from zenskar.kernel.policy import Conflict, ConflictPolicy, MergePolicy
from zenskar.kernel.situation import Candidate, Situation

__all__ = [
    "Candidate",
    "Conflict",
    "ConflictPolicy",
    "MergePolicy",
    "Outcome",
    "Passes",
    "Situation",
    "Step",
    "StepKind",
    "Verdict",
    "detached",
    "is_former",
    "linked_again",
    "lost",
    "merged",
    "observe",
    "observe_filtered",
    "plan",
    "plan_outside",
    "released",
]
