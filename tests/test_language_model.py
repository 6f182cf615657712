"""The language model's loss, samples, vocabulary and doors."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, assert_close, eps, normal, wide
from hypothesis import given, settings
from hypothesis import strategies as st

import fastrnn
from fastrnn import LanguageModel, Vocabulary, reference
from fastrnn.inference import BLOCK, SLICE
from fastrnn.kernels import primitives

K_LOSS = 64  # k of k*eps: the same sums in another order
TEXT = "the quick brown fox\njumps over the lazy dog: \U0001f98a\n" * 4
CHARACTERS = "".join(sorted(set(TEXT)))


def model_of(
    hidden: int = 9, layers: int = 2, vocabulary: Any = 11, dtype: Any = np.float64, **options: Any
) -> LanguageModel:
    """A model with an uneven distribution, whose states do not run into chaos."""
    model = LanguageModel(hidden, layers, vocabulary=vocabulary, dtype=dtype, **options)
    model.flat[...] = 0.8 * normal(model.flat.shape, dtype, 5)
    for k in range(layers):
        model.params[f"weight_hh_l{k}"][...] /= math.sqrt(hidden)
    return model


def tokens_of(size: int, vocabulary: int = 11, seed: int = 1) -> Any:
    return np.random.default_rng(seed).integers(vocabulary, size=size)


class Naive:
    """The naive model in float64, that reads and remembers."""

    def __init__(self, model: LanguageModel) -> None:
        self.params = {name: wide(p) for name, p in model.params.items()}
        self.layers, self.nonlinearity = model.num_layers, model.nonlinearity
        self.h: Any = None

    def read(self, tokens: Any) -> Any:
        """Logits (T, V) after each of the tokens."""
        x = np.eye(self.params["weight_ih_l0"].shape[1])[np.asarray(tokens)][:, None]
        h, self.h, _ = reference.rnn_forward(
            x, self.h, self.params, num_layers=self.layers, nonlinearity=self.nonlinearity
        )
        return h[:, 0] @ self.params["weight_out"].T + self.params["bias_out"]

    def sample(self, uniforms: Any, given_: Any, temperature: float) -> list[int]:
        """Draw by inversion of the distribution; the likeliest at a temperature of 0."""
        drawn: list[int] = []
        for uniform in uniforms:
            logits = self.read(drawn[-1:] or given_)[-1]
            if temperature:
                mass = np.cumsum(reference.softmax(logits / temperature))
                drawn.append(int(np.searchsorted(mass, uniform, side="right")))
            else:
                drawn.append(int(np.argmax(logits)))
        return drawn


# --- loss ---

SIZES = [2, 3, BLOCK, BLOCK + 1, BLOCK + 2, 2 * BLOCK + 37, SLICE + 1, SLICE + BLOCK + 9]


@pytest.mark.parametrize("size", SIZES)
def test_loss_is_the_naive_one_over_the_whole_text(size: int) -> None:
    model, text = model_of(), tokens_of(size)
    naive, _ = reference.softmax_cross_entropy(Naive(model).read(text[:-1]), text[1:])
    loss = model.loss(text)
    assert_close(loss, naive, K_LOSS * eps(np.float64))
    assert math.isclose(model.perplexity(text), math.exp(loss))
    assert math.isclose(model.bits(text), loss / math.log(2))
    assert math.isclose(2 ** model.bits(text), model.perplexity(text))
    likeliest = Naive(model).read(text[:-1]).argmax(axis=1)
    assert model.accuracy(text) == (likeliest == text[1:]).mean()
    assert model.loss(text) == loss  # nothing is carried from call to call


@DTYPES
@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 3, 2), (33, 1, 8), (17, 2, 70)], ids=str)
def test_loss_of_any_sizes_is_the_naive_one(sizes: Any, dtype: Any) -> None:
    model, text = model_of(*sizes, dtype=dtype), tokens_of(BLOCK + 40, sizes[2])
    naive, _ = reference.softmax_cross_entropy(Naive(model).read(text[:-1]), text[1:])
    assert_close(model.loss(text), naive, K_LOSS * eps(dtype))


def test_a_model_that_knows_nothing_wavers_among_all() -> None:
    model = model_of()
    model.flat[...] = 0
    assert math.isclose(model.perplexity(tokens_of(300)), 11)


@DTYPES
@pytest.mark.parametrize("columns", [1, 2, 7, 8, 9, 31, 65])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_the_fused_loss_is_the_naive_one(columns: int, size: float, dtype: Any) -> None:
    rows, offset, first = 5, 3, 2
    logits = (size * normal((rows, columns), dtype)).astype(dtype)
    targets = tokens_of(first + rows + 1, columns)
    memory = np.full(offset + rows * columns + 9, 7, dtype)
    memory[offset:-9] = logits.ravel()
    total = primitives.softmax_cross_entropy(
        memory, offset, targets, first, rows, columns, 1 / rows
    )
    naive, d_naive = reference.softmax_cross_entropy(wide(logits), targets[first : first + rows])
    assert_close(total / rows, naive, K_LOSS * eps(dtype))
    assert_close(memory[offset:-9].reshape(rows, columns), d_naive, K_LOSS * eps(dtype))
    assert (memory[:offset] == 7).all()
    assert (memory[-9:] == 7).all()


@DTYPES
@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 12])
def test_logits_that_are_not_finite_are_seen(place: int, poison: float, dtype: Any) -> None:
    logits = normal((13,), dtype)
    logits[place] = poison
    targets = np.zeros(1, np.int64)
    with np.errstate(invalid="ignore"):
        total = primitives.softmax_cross_entropy(logits, 0, targets, 0, 1, 13, 1.0)
    assert np.isnan(total)
    assert np.isnan(logits).any()


# --- samples ---


@pytest.mark.parametrize("temperature", [0, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("prime", [1, 2, 40])
@pytest.mark.parametrize("sizes", [(9, 2, 11), (1, 1, 2), (20, 1, 65)], ids=str)
def test_samples_are_the_naive_ones(sizes: Any, prime: int, temperature: float) -> None:
    model, given_ = model_of(*sizes), tokens_of(prime, sizes[2])
    drawn = model.sample(60, given_.tolist(), temperature, seed=4)
    assert isinstance(drawn, np.ndarray)
    assert drawn.dtype == np.int64
    uniforms = np.random.default_rng(4).random(60)
    assert drawn.tolist() == Naive(model).sample(uniforms, given_, temperature)


@pytest.mark.parametrize("prime", [SLICE - 1, SLICE, SLICE + 1, SLICE + 2, 2 * SLICE + 3])
def test_a_prime_of_many_slices_is_read_to_its_end(prime: int) -> None:
    model, given_ = model_of(hidden=4), tokens_of(prime)
    uniforms = np.random.default_rng(4).random(9)
    drawn = model.sample(9, given_.tolist(), seed=4)
    assert list(drawn) == Naive(model).sample(uniforms, given_, 1.0)


def test_a_sample_of_many_slices_is_the_naive_one() -> None:
    n, model = SLICE + 30, model_of(hidden=4, layers=1)
    drawn = model.sample(n, [3], seed=4)
    naive, uniforms = Naive(model), np.random.default_rng(4).random(n)
    logits = naive.read([3, *drawn[:-1]])  # given what was drawn before
    mass = np.cumsum(reference.softmax(logits), axis=1)
    np.testing.assert_array_equal(drawn, (mass <= uniforms[:, None]).sum(axis=1))
    np.testing.assert_array_equal(model.sample(50, [3], seed=4), drawn[:50])


@DTYPES
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_samples_have_their_distribution(temperature: float, dtype: Any) -> None:
    n, model = 40_000, model_of(hidden=3, layers=1, dtype=dtype)
    model.params["weight_out"] = np.zeros((11, 3), dtype)  # every draw is independent
    counts = np.bincount(model.sample(n, [0], temperature, seed=1), minlength=11)
    expected = n * reference.softmax(wide(model.params["bias_out"]) / temperature)
    assert expected.min() > 5
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    freedom = 10
    assert chi_square < freedom + 5 * math.sqrt(2 * freedom)  # about five sigma


def test_the_first_token_over_many_seeds_has_its_distribution() -> None:
    n, model, given_ = 600, model_of(), [3, 1, 4]
    counts = np.bincount([model.sample(1, given_, seed=s)[0] for s in range(n)], minlength=11)
    p = reference.softmax(Naive(model).read(given_)[-1])
    assert (np.abs(counts - n * p) < 5 * np.sqrt(n * p * (1 - p)) + 1).all()


def test_the_same_seed_draws_the_same() -> None:
    model = model_of(vocabulary=Vocabulary(CHARACTERS))
    one, same, other = (model.sample(40, "the ", seed=s) for s in (1, 1, 2))
    assert one == same != other
    assert model.sample(40, "the ") != model.sample(40, "the ")
    greedy = {model.sample(40, "the ", temperature=0, seed=s) for s in range(3)}
    assert len(greedy) == 1
    assert model.sample(20, "the ", temperature=1e-300, seed=3) == next(iter(greedy))[:20]


def test_a_text_model_samples_text() -> None:
    vocabulary = Vocabulary(CHARACTERS)
    model = model_of(vocabulary=vocabulary)
    text = model.sample(30, "fox", seed=2)
    assert isinstance(text, str)
    assert len(text) == 30
    uniforms = np.random.default_rng(2).random(30)
    drawn = Naive(model).sample(uniforms, vocabulary.encode("fox"), 1.0)
    assert text == vocabulary.decode(drawn)
    assert model.sample(0) == ""
    for nothing in (None, "", []):
        assert model.sample(30, nothing, seed=2) == model.sample(30, "\n", seed=2)


@DTYPES
@pytest.mark.parametrize("temperature", [0, 1.0])
@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("bias_out", np.nan, "bias_out has nan"),
        ("weight_hh_l1", np.nan, "weight_hh_l1 has nan"),
        ("weight_ih_l1", 1e38, "they overflow"),
        ("bias_out", -np.inf, "they overflow"),
    ],
)
def test_a_model_without_a_distribution_draws_nothing(
    name: str, value: float, cause: str, temperature: float, dtype: Any
) -> None:
    model = model_of(nonlinearity="relu", dtype=dtype)
    if value == 1e38:
        value = np.finfo(dtype).max
    model.params[name] = np.full_like(model.params[name], value)
    with (
        np.errstate(all="ignore"),
        pytest.raises(ValueError, match=f"must be finite to sample from them: {cause}"),
    ):
        model.sample(9, temperature=temperature)


def test_a_token_may_be_impossible() -> None:
    model = model_of()
    model.params["bias_out"][:9] = -np.inf
    assert set(model.sample(200, seed=0).tolist()) == {9, 10}


def test_without_a_prime_token_0_is_read() -> None:
    model, letters = model_of(), model_of(vocabulary=Vocabulary("cab"))
    for nothing in (None, [], np.zeros(0, int)):
        np.testing.assert_array_equal(
            model.sample(9, nothing, seed=2), model.sample(9, [0], seed=2)
        )
    assert letters.sample(9, "", seed=2) == letters.sample(9, "c", seed=2)
    assert model.sample(0).shape == (0,)


@pytest.mark.parametrize("kind", [list, tuple, np.array, np.uint8, np.int32])
def test_a_prime_may_be_any_integers(kind: Any) -> None:
    model = model_of()
    for prime in ([3], [3, 1, 4]):
        np.testing.assert_array_equal(
            model.sample(9, kind(prime), seed=2), model.sample(9, prime, seed=2)
        )


# --- vocabulary ---


def test_the_first_fit_takes_the_vocabulary_from_its_data() -> None:
    text = LanguageModel(4, dtype=np.float64).fit(TEXT, **STEP)
    assert text.vocabulary == Vocabulary(CHARACTERS)
    assert text.params["weight_ih_l0"].shape == (4, len(CHARACTERS))
    ids = LanguageModel(4, dtype=np.float64).fit(tokens_of(60), **STEP)
    assert ids.vocabulary is None
    assert ids.vocabulary_size == 11


@settings(max_examples=5)
@given(st.text(st.characters(exclude_categories=()), min_size=60, max_size=80))
def test_any_text_can_be_trained_on(text: str) -> None:
    model = LanguageModel(4, dtype=np.float64, seed=0).fit(text, **STEP)
    assert np.isfinite(model.loss(text))
    assert set(model.sample(30, text[:3], seed=0)) <= set(text)


def test_text_and_its_tokens_are_the_same_data() -> None:
    vocabulary = Vocabulary(CHARACTERS)
    text, ids = (
        LanguageModel(4, vocabulary=v, dtype=np.float64, seed=0)
        for v in (vocabulary, len(vocabulary))
    )
    text.fit(TEXT, **STEP)
    ids.fit(vocabulary.encode(TEXT), **STEP)
    assert text.flat.tobytes() == ids.flat.tobytes()
    assert text.loss(TEXT) == text.loss(vocabulary.encode(TEXT))
    assert text.loss(TEXT) == ids.loss(vocabulary.encode(TEXT).astype(np.uint8))


# --- a model as a value ---


@DTYPES
def test_parameters_are_named_views_of_one_buffer(dtype: Any) -> None:
    model = LanguageModel(6, 2, vocabulary=5, dtype=dtype, seed=3)
    shapes = {
        "weight_ih_l0": (6, 5), "weight_hh_l0": (6, 6), "bias_ih_l0": (6,), "bias_hh_l0": (6,),
        "weight_ih_l1": (6, 6), "weight_hh_l1": (6, 6), "bias_ih_l1": (6,), "bias_hh_l1": (6,),
        "weight_out": (5, 6), "bias_out": (5,),
    }  # fmt: skip
    assert {name: p.shape for name, p in model.params.items()} == shapes
    assert sum(p.size for p in model.params.values()) == model.flat.size
    assert all(np.shares_memory(p, model.flat) for p in model.params.values())
    assert model.params["weight_ih_l0"].T.flags.c_contiguous  # token by token
    generator, limit = np.random.default_rng(3), 1 / math.sqrt(6)
    for name, shape in shapes.items():
        drawn = generator.uniform(-limit, limit, shape).astype(dtype)
        np.testing.assert_array_equal(model.params[name], drawn)
    state = model.state_dict()
    model.flat[...] = 0
    model.load_state_dict(state)
    for name, p in model.params.items():
        np.testing.assert_array_equal(p, state[name])


def test_a_model_says_what_it_is() -> None:
    model = LanguageModel(6)
    assert (
        repr(model)
        == "LanguageModel(hidden_size=6, num_layers=1, nonlinearity='tanh', dtype=float32)"
    )
    model = LanguageModel(6, vocabulary=5, nonlinearity="relu", dtype=np.float64)
    assert repr(model).endswith("nonlinearity='relu', dtype=float64, vocabulary of 5)")


# --- doors ---

STEP: dict[str, Any] = {"sequence_length": 5, "batch_size": 2, "optimizer": "adam", "steps": 2}
LETTERS = Vocabulary("\nabc")
DATA = "abcabc\n" * 9


BAD_MODELS = [
    ({"hidden_size": 0}, ValueError, "hidden_size must be at least 1, got 0"),
    ({"hidden_size": 2.5}, TypeError, "hidden_size must be an integer, got 2.5 of type float"),
    ({"num_layers": 0}, ValueError, "num_layers must be at least 1, got 0"),
    (
        {"nonlinearity": "gelu"},
        ValueError,
        "nonlinearity must be one of 'tanh', 'relu', got",
    ),
    ({"dtype": np.float16}, TypeError, "dtype must be float32 or float64"),
    ({"dtype": None}, TypeError, "dtype must be float32 or float64, got None"),
    ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ({"seed": "x"}, TypeError, "seed must be an integer, got 'x'"),
    ({"vocabulary": 0}, ValueError, "vocabulary must be at least 1, got 0"),
    ({"vocabulary": "abc"}, TypeError, "vocabulary must be"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD_MODELS)
def test_a_bad_model_is_refused(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        LanguageModel(**options)


BAD_FITS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"data": "abx" * 20}, ValueError, "text has 'x' at index 2, which is not among the 4"),
    ({"data": ""}, ValueError, "the text must have at least batch_size * sequence_length + 1"),
    ({"data": "abc"}, ValueError, "= 2 * 5 + 1 = 11 tokens, got 3"),
    ({"data": [0, 1, 4] * 9}, ValueError, "data must be in [0, vocabulary size) = [0, 4), got 4"),
    ({"data": [0, -1, 1] * 9}, ValueError, "got -1 at index 1"),
    ({"data": [0.0, 1.0] * 9}, TypeError, "data must be integers, got float64"),
    ({"data": np.zeros((5, 9), int)}, ValueError, "data must have one dimension, got shape (5, 9)"),
    ({"data": None}, TypeError, "data must be integers"),
    ({"data": b"abc" * 20}, TypeError, "data must be integers"),
    ({"steps": -1}, ValueError, "steps must be at least 0, got -1"),
    ({"steps": 1.5}, TypeError, "steps must be an integer, got 1.5"),
    ({"epochs": 1}, ValueError, "steps and epochs must not both be given, got 2 and 1"),
    ({"steps": None, "epochs": -1}, ValueError, "epochs must be at least 0, got -1"),
    (
        {"steps": None, "epochs": math.nan},
        ValueError,
        "epochs must be a number of at least 0",
    ),
    ({"sequence_length": 0}, ValueError, "sequence_length must be at least 1, got 0"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    ({"batch_size": True}, TypeError, "batch_size must be an integer, got True of type bool"),
    ({"optimizer": "lion"}, ValueError, "optimizer must be one of 'sgd', 'momentum'"),
    (
        {"schedule": "step"},
        ValueError,
        "schedule must be one of 'constant', 'linear', 'cosine'",
    ),
    ({"learning_rate": 0}, ValueError, "learning_rate must be above 0, got 0"),
    ({"learning_rate": math.inf}, ValueError, "learning_rate must be finite and above 0, got inf"),
    ({"learning_rate": "1"}, TypeError, "learning_rate must be a number, got '1' of type str"),
    ({"clip_norm": 0}, ValueError, "clip_norm must be above 0, got 0"),
    ({"clip_value": -1}, ValueError, "clip_value must be above 0, got -1"),
    ({"clip_value": math.nan}, ValueError, "clip_value must be a number above 0, got nan"),
    ({"warmup_steps": -1}, ValueError, "warmup_steps must be at least 0, got -1"),
    ({"weight_decay": -0.1}, ValueError, "weight_decay must be at least 0, got -0.1"),
    ({"weight_decay": 0.1}, ValueError, "weight_decay must be None or 0 for 'adam'"),
    (
        {"optimizer": "sgd", "weight_decay": 0.1},
        ValueError,
        "weight_decay must be None or 0 for",
    ),
    ({"patience": 2}, ValueError, "patience must come with validation, got validation=None"),
    ({"patience": 0, "validation": 0.5}, ValueError, "patience must be at least 1, got 0"),
    ({"validate_every": 0}, ValueError, "validate_every must be at least 1, got 0"),
    ({"validate_every": 2}, ValueError, "validate_every must come with validation, got"),
    ({"progress": 5}, TypeError, "progress must be callable, got 5"),
    ({"validation": 0.0}, ValueError, "validation must be above 0 and below 1, got 0"),
    ({"validation": 1}, ValueError, "validation must be above 0 and below 1, got 1"),
    ({"validation": True}, TypeError, "validation must be a number, got True"),
    ({"validation": 0.001}, ValueError, "validation must have at least 2 tokens, got 0"),
    ({"validation": "a"}, ValueError, "validation must have at least 2 tokens, got 1"),
    ({"validation": [0, 9]}, ValueError, "validation must be in [0,"),
    ({"validation": "ax"}, ValueError, "text has 'x' at index 1"),
    ({"validation": 0.95}, ValueError, "the text must have at least"),
    ({"resume": 1}, TypeError, "resume must be True or False, got 1"),
    ({"resume": True, "batch_size": 3}, ValueError, "batch_size must be 2 to resume this training"),
    ({"resume": True, "sequence_length": 4}, ValueError, "sequence_length must be 5 to resume"),
    ({"resume": True, "optimizer": "adamw"}, ValueError, "optimizer must be 'adam' to resume"),
    ({"resume": True, "data": DATA[:12]}, ValueError, "data must be the text that this training"),
    ({"resume": True, "data": DATA[::-1]}, ValueError, "data must be the text that this training"),
    ({"resume": True, "validation": 0.2}, ValueError, "data must be the text that this training"),
    ({"resume": True, "steps": 1}, ValueError, "steps must be at least 2, done already, got 1"),
]


@pytest.fixture(scope="module")
def fitted() -> LanguageModel:
    return LanguageModel(4, vocabulary=LETTERS, dtype=np.float64, seed=0).fit(DATA, **STEP)


@pytest.mark.parametrize(("options", "error", "message"), BAD_FITS)
def test_a_bad_fit_is_refused_before_anything_is_touched(
    fitted: LanguageModel, options: Any, error: type[Exception], message: str
) -> None:
    flat, history, trainer = fitted.flat.tobytes(), fitted.history_, fitted._trainer
    losses = list(history.loss)
    with pytest.raises(error, match=re.escape(message)):
        fitted.fit(**{"data": DATA, **STEP, **options})
    assert fitted.flat.tobytes() == flat
    assert fitted.history_ is history
    assert history.loss == losses
    assert fitted._trainer is trainer


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"data": ""}, ValueError, "data must not be empty"),
        ({"data": []}, ValueError, "data must not be empty"),
        ({"data": [0.5]}, TypeError, "data must be integers"),
        ({"data": "abc"}, ValueError, "the text must have at least"),
        ({"validation": "xyz"}, ValueError, "text has 'x' at index 0"),
        ({"validation": 2.0}, ValueError, "validation must be above 0 and below 1"),
        ({"resume": True}, ValueError, "resume must be False for a model without a training"),
    ],
)
def test_a_bad_first_fit_leaves_a_model_without_a_vocabulary(
    options: Any, error: type[Exception], message: str
) -> None:
    model = LanguageModel(4, dtype=np.float64)
    with pytest.raises(error, match=re.escape(message)):
        model.fit(**{"data": DATA, **STEP, **options})
    assert model.vocabulary is None
    assert model.vocabulary_size == 0
    with pytest.raises(RuntimeError, match="no vocabulary yet"):
        _ = model.params


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": -1}, ValueError, "n must be at least 0, got -1"),
        ({"n": 1.0}, TypeError, "n must be an integer, got 1.0"),
        ({"temperature": -0.1}, ValueError, "temperature must be at least 0, got -0.1"),
        (
            {"temperature": math.nan},
            ValueError,
            "must be a number of at least 0, got nan",
        ),
        (
            {"temperature": math.inf},
            ValueError,
            "must be finite and at least 0, got inf",
        ),
        ({"temperature": "hot"}, TypeError, "temperature must be a number, got 'hot'"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": 1.5}, TypeError, "seed must be an integer, got 1.5"),
        ({"prime": "abx"}, ValueError, "text has 'x' at index 2"),
        ({"prime": [4]}, ValueError, "must be in [0, vocabulary size) = [0, 4), got 4 at index 0"),
        ({"prime": [0.5]}, TypeError, "must be integers, got float64"),
        ({"prime": 3}, ValueError, "must have one dimension, got shape ()"),
    ],
)
def test_a_bad_sample_is_refused(options: Any, error: type[Exception], message: str) -> None:
    model = LanguageModel(4, vocabulary=LETTERS, dtype=np.float64)
    with pytest.raises(error, match=re.escape(message)):
        model.sample(**{"n": 3, **options})


@pytest.mark.parametrize("measure", ["loss", "perplexity", "bits", "accuracy"])
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("", ValueError, "data must have at least 2 tokens, got 0"),
        ("a", ValueError, "data must have at least 2 tokens, got 1"),
        ([], ValueError, "data must have at least 2 tokens, got 0"),
        ("ax", ValueError, "text has 'x' at index 1"),
        ([0, 4], ValueError, "data must be in [0, vocabulary size) = [0, 4), got 4 at index 1"),
        ([[0, 1]], ValueError, "data must have one dimension, got shape (1, 2)"),
        (np.zeros(3), TypeError, "data must be integers, got float64"),
    ],
)
def test_a_bad_text_has_no_loss(
    measure: str, data: Any, error: type[Exception], message: str
) -> None:
    model = LanguageModel(4, vocabulary=LETTERS, dtype=np.float64)
    with pytest.raises(error, match=re.escape(message)):
        getattr(model, measure)(data)


def test_a_model_of_token_ids_takes_no_text() -> None:
    model = LanguageModel(4, vocabulary=4)
    for call in (model.loss, model.fit, model.encode, lambda text: model.sample(3, text)):
        with pytest.raises(TypeError, match="must be token ids, since the model has no characters"):
            call("abc")


def test_a_model_without_a_vocabulary_says_so() -> None:
    model = LanguageModel(4)
    calls = [
        lambda: model.loss("ab"),
        lambda: model.sample(3),
        lambda: model.flat,
        lambda: model.params,
        model.state_dict,
        lambda: model.load_state_dict({}),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="no vocabulary yet: call fit, or give vocabulary="):
            call()


def test_the_package_has_the_model_at_its_top() -> None:
    assert fastrnn.LanguageModel is LanguageModel
