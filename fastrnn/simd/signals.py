"""Words by which threads, and Python and kernels, tell each other how far they are."""

from __future__ import annotations

#: A thread's signal: it looks out for a call, or a call is there.
IDLE = 0
POSTED = 1

#: A barrier's counter, besides how many have come to it: one has failed, or all have finished, and
#: nobody waits there any more.
BROKEN = -(1 << 62)
FINISHED = -(1 << 61)

#: What stands for a seal where the packed weights are known to be those of the call; checksums are
#: odd.
SEALED = 2
