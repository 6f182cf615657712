"""The three-layer network on spirals, which shows how a sigmoid's gradients vanish.

Stanford CS224n, "Vanishing Gradients Demonstration" (notebook ``vanishing_grad_example``), after
A. Karpathy's CS231n notes: two hidden layers, softmax cross-entropy, L2, full-batch descent. The
published series are called averages, but each is the sum of the absolute gradients over the sum
of the two sides of the matrix; here they are means.
"""

from typing import Any

import numpy as np

from fastrnn.reference._types import Array, IntArray


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``."""
    s: Array = 1 / (1 + np.exp(-x))
    return s


def sigmoid_grad(x: Array) -> Array:
    """sigmoid'(a) from x = sigmoid(a)."""
    return x * (1 - x)


def relu(x: Array) -> Array:
    """``max(0, x)``."""
    h: Array = np.maximum(0, x)
    return h


def three_layer_net(
    NONLINEARITY: str,
    X: Array,
    y: IntArray,
    model: dict[str, Any],
    step_size: float,
    reg: float,
    iterations: int = 50_000,
) -> tuple[list[float], list[float], Array, Array, Array, Array, Array, Array]:
    """Train by gradient descent on all examples at once.

    ::

        h1 = f(X W1 + b1)      h2 = f(h1 W2 + b2)      scores = h2 W3 + b3
        loss = -mean log softmax(scores)[y] + reg / 2 (|W1|^2 + |W2|^2 + |W3|^2)

    The loss is printed every 1,000 iterations, and the accuracy at the end.

    Parameters
    ----------
    NONLINEARITY : "RELU" or "SIGM"
    X : (N, D)
    y : (N,), integers in [0, K)
    model : dict
        W1 (D, h), W2 (h, h2), W3 (h2, K), b1 (1, h), b2 (1, h2), b3 (1, K), which are changed in
        place.
    step_size, reg : float
    iterations : int

    Returns
    -------
    plot_array_1, plot_array_2 : list of float
        In each iteration the mean of the absolute gradients of W1 and of W2, without the part of
        the regularisation.
    W1, W2, W3, b1, b2, b3 : (D, h), (h, h2), (h2, K), (1, h), (1, h2), (1, K)
    """
    W1, W2, W3 = model["W1"], model["W2"], model["W3"]
    b1, b2, b3 = model["b1"], model["b2"], model["b3"]
    f = relu if NONLINEARITY == "RELU" else sigmoid
    num_examples = X.shape[0]
    plot_array_1, plot_array_2 = [], []
    for i in range(iterations):
        hidden_layer = f(np.dot(X, W1) + b1)
        hidden_layer2 = f(np.dot(hidden_layer, W2) + b2)
        scores = np.dot(hidden_layer2, W3) + b3
        exp_scores = np.exp(scores)
        probs = exp_scores / np.sum(exp_scores, axis=1, keepdims=True)

        corect_logprobs = -np.log(probs[range(num_examples), y])
        data_loss = np.sum(corect_logprobs) / num_examples
        reg_loss = (
            0.5 * reg * np.sum(W1 * W1) + 0.5 * reg * np.sum(W2 * W2) + 0.5 * reg * np.sum(W3 * W3)
        )
        loss = data_loss + reg_loss
        if i % 1000 == 0:
            print(f"iteration {i}: loss {loss:f}")

        dscores = probs
        dscores[range(num_examples), y] -= 1
        dscores /= num_examples

        dW3 = hidden_layer2.T.dot(dscores)
        db3 = np.sum(dscores, axis=0, keepdims=True)
        dhidden2 = np.dot(dscores, W3.T)
        if NONLINEARITY == "RELU":
            dhidden2[hidden_layer2 <= 0] = 0
        else:
            dhidden2 = dhidden2 * sigmoid_grad(hidden_layer2)
        dW2 = np.dot(hidden_layer.T, dhidden2)
        plot_array_2.append(float(np.sum(np.abs(dW2)) / dW2.size))
        db2 = np.sum(dhidden2, axis=0)
        dhidden = np.dot(dhidden2, W2.T)
        if NONLINEARITY == "RELU":
            dhidden[hidden_layer <= 0] = 0
        else:
            dhidden = dhidden * sigmoid_grad(hidden_layer)
        dW1 = np.dot(X.T, dhidden)
        plot_array_1.append(float(np.sum(np.abs(dW1)) / dW1.size))
        db1 = np.sum(dhidden, axis=0)

        dW3 += reg * W3
        dW2 += reg * W2
        dW1 += reg * W1

        W1 += -step_size * dW1
        b1 += -step_size * db1
        W2 += -step_size * dW2
        b2 += -step_size * db2
        W3 += -step_size * dW3
        b3 += -step_size * db3

    hidden_layer2 = f(np.dot(f(np.dot(X, W1) + b1), W2) + b2)
    scores = np.dot(hidden_layer2, W3) + b3
    predicted_class = np.argmax(scores, axis=1)
    print(f"training accuracy: {np.mean(predicted_class == y):.2f}")
    return plot_array_1, plot_array_2, W1, W2, W3, b1, b2, b3
