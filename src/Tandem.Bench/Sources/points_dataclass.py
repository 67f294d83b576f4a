import gc
from dataclasses import dataclass

from lines import serve


@dataclass
class Point:
    x: float
    y: float
    z: float


kept = []


def make(n):
    global kept
    kept = [Point(i + 0.1, i + 0.2, i + 0.3) for i in range(int(n))]
    return len(kept)


def settle():
    gc.collect()
    # Added up by hand: Python's own sum() corrects rounding, and the others do not.
    total = 0.0
    for p in kept:
        total += p.x + p.y + p.z
    return f"{total:.0f}"


serve(make=make, settle=settle)
