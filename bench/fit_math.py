"""Derive the polynomials of `fastrnn.simd.math`.

Minimax fits (Remez exchange, in 60 digits), the weight being what an error of the polynomial counts
in the relative error of the function:

    Q(r) in  e^r - 1 = r + r^2 Q(r)    on  |r| <= ln(2) / 2
    P(s) in  tanh h = h + h s P(s)     on  0 <= s = h^2,  |h| <= ln(2) / 4 + TANH_LATER

    python bench/fit_math.py
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp

from fastrnn.simd.math import TANH_LATER

mp.mp.dps = 60
Function = Callable[[mp.mpf], mp.mpf]
TINY = mp.mpf("1e-8")
MARGIN = mp.mpf("1.001")


def q(r: mp.mpf) -> mp.mpf:
    """(e^r - 1 - r) / r^2, by its series near zero."""
    if abs(r) < TINY:
        return mp.mpf(1) / 2 + r / 6 + r * r / 24
    return (mp.expm1(r) - r) / r**2


def q_weight(r: mp.mpf) -> mp.mpf:
    """How much an error of Q counts in the relative error of e^r - 1."""
    return abs(r) if abs(r) < TINY else abs(r**2 / mp.expm1(r))


def p(s: mp.mpf) -> mp.mpf:
    """(tanh h - h) / h^3 with h^2 = s, by its series near zero."""
    if s < TINY**2:
        return -mp.mpf(1) / 3 + s * 2 / 15
    h = mp.sqrt(s)
    return (mp.tanh(h) - h) / (h * s)


def p_weight(s: mp.mpf) -> mp.mpf:
    """How much an error of P counts in the relative error of tanh h."""
    return s if s < TINY**2 else s * mp.sqrt(s) / mp.tanh(mp.sqrt(s))


def remez(
    target: Function, weight: Function, low: mp.mpf, high: mp.mpf, degree: int, rounds: int = 12
) -> tuple[list[mp.mpf], mp.mpf]:
    """Coefficients, the constant first, and the largest weighted error."""
    count, width = degree + 2, high - low
    # The weights vanish at zero: the exchange starts from points that avoid it.
    points = [low + width * (1 - mp.cos(mp.pi * i / (count - 1))) / 2 for i in range(count)]
    points = [x if abs(x) > width / 100 else width / 40 for x in points]
    grid = [low + width * mp.mpf(i) / 6000 for i in range(6001)]
    grid = [x for x in grid if x]
    for _ in range(rounds):
        rows = [
            [x**j for j in range(degree + 1)] + [(-1) ** i / weight(x)]
            for i, x in enumerate(points)
        ]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([target(x) for x in points]))
        coefficients = [solution[j] for j in range(degree + 1)]

        errors = [(weight(x) * (mp.polyval(coefficients[::-1], x) - target(x)), x) for x in grid]
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
        points = [x for _, x in extremes]
    return coefficients, max(abs(e) for e, _ in errors)


if __name__ == "__main__":
    edge = mp.log(2) / 2 * MARGIN
    tanh_edge = (mp.log(2) / 4 + mp.mpf(TANH_LATER)) * MARGIN
    for name, digits, q_degree, p_degree in (("float32", 10, 4, 2), ("float64", 18, 9, 6)):
        for label, fit in (
            ("Q", remez(q, q_weight, -edge, edge, q_degree)),
            ("P", remez(p, p_weight, mp.mpf(0), tanh_edge**2, p_degree)),
        ):
            coefficients, error = fit
            print(f"{name}, {label}: largest relative error 2^{float(mp.log(error, 2)):.2f}")
            for c in reversed(coefficients):
                print(f"        {mp.nstr(c, digits)},")
