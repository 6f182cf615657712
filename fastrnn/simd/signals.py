"""What a thread's signal says, and a barrier's counter besides how many have come to it."""

from __future__ import annotations

#: The thread waits for its lock, and must be woken.
ASLEEP = 0
#: It has nothing to do, and looks at its signal, or is about to go to sleep.
IDLE = 1
#: There is something for it to run.
POSTED = 2
#: It has taken what it is to run.
BUSY = 3

#: A barrier at which nobody waits since one has failed, or since all have finished.
BROKEN = -(1 << 62)
FINISHED = -(1 << 61)
