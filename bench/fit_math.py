"""Derive the polynomials of `fastrnn.simd.math`.

Minimax fit (Remez exchange, in 60 digits) of Q in ``e^r - 1 = r + r^2 Q(r)`` on
``|r| <= ln(2) / 2``, with the relative error of ``e^r - 1`` as its weight.

    python bench/fit_math.py
"""

from __future__ import annotations

import mpmath as mp

mp.mp.dps = 60
EDGE = mp.log(2) / 2 * mp.mpf("1.001")


def target(r: mp.mpf) -> mp.mpf:
    """(e^r - 1 - r) / r^2, by its series near zero."""
    if abs(r) < mp.mpf("1e-8"):
        return mp.mpf(1) / 2 + r / 6 + r * r / 24
    return (mp.expm1(r) - r) / r**2


def weight(r: mp.mpf) -> mp.mpf:
    """How much an error of Q counts in the relative error of e^r - 1."""
    return abs(r) if abs(r) < mp.mpf("1e-8") else abs(r**2 / mp.expm1(r))


def remez(degree: int, rounds: int = 12) -> tuple[list[mp.mpf], mp.mpf]:
    """Coefficients, the constant first, and the largest weighted error."""
    count = degree + 2
    # The weight vanishes at zero: the exchange starts from points of both signs that avoid it.
    points = [EDGE * mp.cos(mp.pi * (count - 1 - i) / (count - 1)) for i in range(count)]
    points = [p if abs(p) > EDGE / 50 else EDGE / 20 for p in points]
    grid = [EDGE * mp.mpf(i) / 3000 for i in range(-3000, 3001) if i]
    for _ in range(rounds):
        rows = [
            [r**j for j in range(degree + 1)] + [(-1) ** i / weight(r)]
            for i, r in enumerate(points)
        ]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([target(r) for r in points]))
        coefficients = [solution[j] for j in range(degree + 1)]

        errors = [(weight(r) * (mp.polyval(coefficients[::-1], r) - target(r)), r) for r in grid]
        extremes: list[tuple[mp.mpf, mp.mpf]] = []
        for error in errors:
            if extremes and mp.sign(error[0]) == mp.sign(extremes[-1][0]):
                extremes[-1] = max(extremes[-1], error, key=lambda e: abs(e[0]))
            else:
                extremes.append(error)
        while len(extremes) > count:
            extremes.pop(0 if abs(extremes[0][0]) < abs(extremes[-1][0]) else -1)
        if len(extremes) < count:
            break
        points = [r for _, r in extremes]
    return coefficients, max(abs(e) for e, _ in errors)


if __name__ == "__main__":
    for name, degree, bits in (("float32", 4, 24), ("float64", 9, 53)):
        coefficients, error = remez(degree)
        print(f"{name}: largest relative error 2^{float(mp.log(error, 2)):.2f} ({bits} bits)")
        for c in reversed(coefficients):
            print(f"        {mp.nstr(c, 10 if bits == 24 else 18)},")
