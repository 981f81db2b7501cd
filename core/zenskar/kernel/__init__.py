"""The rules that make both sides converge: pure functions, standard library only.

`observe` takes news of an external object in, `plan` says what to do next. Neither knows where
its data comes from; no IO, no clock, no randomness. Rule numbers in the docstrings are those of
docs/kernel.md.
"""

from zenskar.kernel.observe import lost, observe
from zenskar.kernel.outcome import Outcome, Verdict
from zenskar.kernel.plan import Step, StepKind, plan
from zenskar.kernel.policy import Conflict, ConflictPolicy, MergePolicy
from zenskar.kernel.situation import Situation

__all__ = [
    "Conflict",
    "ConflictPolicy",
    "MergePolicy",
    "Outcome",
    "Situation",
    "Step",
    "StepKind",
    "Verdict",
    "lost",
    "observe",
    "plan",
]
