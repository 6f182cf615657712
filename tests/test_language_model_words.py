"""The language model on words: embeddings, cells, vocabularies, files, samples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import NAIVE_RULES, PLAIN, assert_close, eps, wide

import fastrnn
from fastrnn import LanguageModel, Vocabulary, reference
from fastrnn.data import WordVectors, WordVocabulary, join_words, read_glove, read_vectors, tokenize
from fastrnn.files import load_model, save_model
from fastrnn.inference import BLOCK
from fastrnn.optimizers import OPTIMIZERS

K_STEP = 64  # k of k*eps: loss and gradients of one step, the same sums in another order
K_TRAINED = 2**10  # parameters after some steps; the optimisers divide by small numbers
VOCABULARY, WIDTH, HIDDEN = 11, 6, 9
TEXT = 'The cat saw the dog. "Don\'t run," it said (twice); the dog ran: it ran far! ' * 12
STEP: dict[str, Any] = {"sequence_length": 7, "batch_size": 3}
#: Each cell, precision and optimiser compiles its own training step.
KINDS = [("lstm", 2, np.float64, "rmsprop"), ("gru", 1, np.float32, "adagrad")]
KINDS += [("rnn", 2, np.float64, "adam")]


def tokens(size: int = 80, vocabulary: int = VOCABULARY) -> Any:
    return np.random.default_rng(1).integers(vocabulary, size=size)


def embedded(**options: Any) -> LanguageModel:
    """A model with an embedding, of the kind that other tests compile."""
    kind = {"vocabulary": VOCABULARY, "embedding": WIDTH, "dtype": np.float64, "seed": 0}
    return LanguageModel(HIDDEN, **{**kind, **options})


def stepped(model: LanguageModel, data: Any = None, **options: Any) -> Any:
    """Gradients and loss of one step at a rate that moves nothing far, and the state before it."""
    before = model.state_dict()
    data = tokens() if data is None else data
    model.fit(data, steps=1, clip_norm=None, **{**STEP, "optimizer": "adam", **options})
    assert model._trainer is not None
    return model._trainer.gradients, model.history_.loss[0], before


# --- gradients ---


@pytest.mark.parametrize(("cell", "layers", "dtype", "optimizer"), KINDS)
def test_loss_and_gradients_are_those_of_torch(
    cell: str, layers: int, dtype: Any, optimizer: str
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    model = embedded(cell=cell, num_layers=layers, dtype=dtype)
    gradients, loss, before = stepped(model, optimizer=optimizer)
    kind = torch.from_numpy(model.flat).dtype
    table = torch.nn.Embedding(VOCABULARY, WIDTH).to(kind)
    peer = getattr(torch.nn, cell.upper())(WIDTH, HIDDEN, layers).to(kind)
    head = torch.nn.Linear(HIDDEN, VOCABULARY).to(kind)
    both = [*peer.named_parameters(), ("weight_out", head.weight), ("bias_out", head.bias)]
    both.append(("embedding", table.weight))
    assert list(model.params) == [name for name, _ in both]
    with torch.no_grad():
        for name, p in both:
            p.copy_(torch.from_numpy(before[name]))
    assert model._trainer is not None
    block = torch.from_numpy(model._trainer.streams[:, : STEP["sequence_length"] + 1].T.copy())
    logits = head(peer(table(block[:-1]))[0]).flatten(0, 1)
    peer_loss = torch.nn.functional.cross_entropy(logits, block[1:].flatten())
    peer_loss.backward()
    assert_close(loss, peer_loss.item(), K_STEP * eps(dtype), "loss")
    for name, p in both:
        assert_close(gradients[name], p.grad, K_STEP * eps(dtype), name)


@pytest.mark.parametrize("trains", [True, False], ids=["learned", "frozen"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("cell", "dtype", "optimizer"), [(c, d, o) for c, _, d, o in KINDS])
def test_training_is_the_naive_one(
    cell: str, dtype: Any, optimizer: str, layers: int, trains: bool
) -> None:
    """Over an epoch: states and the optimiser's are carried."""
    model = embedded(cell=cell, num_layers=layers, dtype=dtype, train_embedding=trains)
    params: dict[str, Any] = {name: wide(p).copy() for name, p in model.params.items()}
    model.fit(tokens(), epochs=1, clip_norm=None, optimizer=optimizer, **STEP)
    trainer, time = model._trainer, STEP["sequence_length"]
    assert trainer is not None
    rule, state, losses = NAIVE_RULES[optimizer](OPTIMIZERS[optimizer].rate), None, []
    for start in range(0, trainer.streams.shape[1] - time, time):
        block = trainer.streams[:, start : start + time + 1].T
        loss, grads, state = reference.word_language_model_step(
            block[:-1], block[1:], state, params, cell=cell, num_layers=layers,
            train_embedding=trains,
        )  # fmt: skip
        rule.step(params, grads)
        losses.append(loss)
    assert_close(model.history_.loss, losses, K_STEP * eps(dtype), "losses")
    for name, p in model.params.items():
        assert_close(p, params[name], K_TRAINED * eps(dtype), name)
    for name, g in grads.items():
        assert_close(trainer.gradients[name], g, K_STEP * eps(dtype), name)


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_gradients_are_those_of_finite_differences(cell: str) -> None:
    step = eps(np.float64) ** (1 / 3)  # central differences err by about step^2 + eps / step
    model = embedded(cell=cell, num_layers=2)
    text = tokens(BLOCK + 5)  # more than a block of `loss`
    optimizer = "rmsprop" if cell == "lstm" else "adam"
    sizes = {"sequence_length": text.size - 1, "batch_size": 1, "optimizer": optimizer}
    gradients, loss, before = stepped(model, text, **sizes)
    model.load_state_dict(before)
    assert_close(loss, model.loss(text), K_STEP * eps(np.float64))
    for name, p in model.params.items():
        for place in {0, p.size // 2, p.size - 1}:
            index = np.unravel_index(place, p.shape)
            value, losses = p[index], []
            for moved in (value + step, value - step):
                p[index] = moved
                losses.append(model.loss(text))
            p[index] = value
            numeric = (losses[0] - losses[1]) / (2 * step)
            assert_close(gradients[name][index], numeric, 64 * step**2, name)


def test_an_embedding_of_the_identity_is_one_hot_tokens() -> None:
    plain = LanguageModel(HIDDEN, 2, vocabulary=VOCABULARY, dtype=np.float64, seed=0)
    same = LanguageModel(
        HIDDEN, 2, vocabulary=VOCABULARY, dtype=np.float64, embedding=np.eye(VOCABULARY),
        train_embedding=False,
    )  # fmt: skip
    same.load_state_dict({**plain.params, "embedding": np.eye(VOCABULARY)})
    text = tokens()
    assert_close(same.loss(text), plain.loss(text), K_STEP * eps(np.float64))
    for model in (plain, same):
        model.fit(text, steps=12, optimizer="adam", **STEP)
    # Adam divides by the root of small squares.
    assert_close(same.history_.loss, plain.history_.loss, 2**12 * eps(np.float64))
    np.testing.assert_array_equal(same.sample(40, seed=1), plain.sample(40, seed=1))


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_a_frozen_embedding_stays_and_the_rest_is_trained_as_without_its_gradient(
    optimizer: str,
) -> None:
    cell = "lstm" if optimizer == "rmsprop" else "rnn"
    table = np.random.default_rng(0).standard_normal((VOCABULARY, WIDTH))
    frozen, free = (
        embedded(embedding=table, train_embedding=trains, cell=cell, num_layers=2)
        for trains in (False, True)
    )
    assert frozen.flat.tobytes() == free.flat.tobytes()
    gradients, loss, _ = stepped(frozen, optimizer=optimizer)
    others, other_loss, _ = stepped(free, optimizer=optimizer)
    assert loss == other_loss
    for name, gradient in gradients.items():
        np.testing.assert_array_equal(gradient, 0 * table if name == "embedding" else others[name])
    frozen.fit(tokens(), steps=9, optimizer=optimizer, **STEP)
    np.testing.assert_array_equal(frozen.params["embedding"], table)
    assert np.abs(free.params["embedding"] - table).max() > 0
    table[...] = 0  # it was copied
    assert frozen.params["embedding"].any()


def test_resuming_a_saved_training_is_going_on(tmp_path: Path) -> None:
    """With c, the embedding and the optimiser's state; the frozen one has none of its own."""
    for trains in (True, False):
        options = {"cell": "lstm", "train_embedding": trains, "num_layers": 2}
        whole, model = embedded(**options), embedded(**options)
        rest = {"optimizer": "rmsprop", "validation": 0.2, **STEP}
        whole.fit(tokens(120), steps=10, **rest)
        model.fit(tokens(120), steps=4, **rest).save(tmp_path / "model")
        model = LanguageModel.load(tmp_path / "model")
        assert model.train_embedding is trains
        model.fit(tokens(120), steps=10, resume=True, **rest)
        assert model.flat.tobytes() == whole.flat.tobytes()
        assert model.history_.loss == whole.history_.loss
        # Another choice from now on is no longer the same training, but the file is a whole one.
        model.train_embedding = not trains
        model.save(tmp_path / "model")
        model = LanguageModel.load(tmp_path / "model")
        with pytest.raises(ValueError, match="the training's slots must have shape"):
            model.fit(tokens(120), steps=12, resume=True, **rest)
        table = model.params["embedding"].copy()
        model.fit(tokens(120), steps=2, **rest)
        assert np.array_equal(model.params["embedding"], table) is trains


# --- words ---


def test_words_are_learned_measured_and_written() -> None:
    model = LanguageModel(24, unit="word", embedding=8, dtype=np.float64, seed=0)
    model.fit(TEXT, steps=300, optimizer="adam", learning_rate=0.01, **STEP)
    assert model.vocabulary == WordVocabulary.of(TEXT)
    assert model.params["embedding"].shape == (len(set(tokenize(TEXT))), 8)
    assert model.perplexity(TEXT) < 1.5
    assert model.loss(TEXT) == model.loss(model.encode(TEXT))
    drawn = model.sample(21, prime="The cat", temperature=0.0)
    assert drawn == 'saw the dog. "don\'t run," it said (twice); the dog ran: it ran'
    assert model.sample(3) != ""  # after a full stop
    assert model.sample(0) == ""


def test_the_rarest_words_are_the_unknown_one_which_is_never_written() -> None:
    text = TEXT + "once upon a time"
    model = LanguageModel(HIDDEN, unit="word", min_count=2, dtype=np.float64, seed=0)
    model.fit(text, steps=2, optimizer="adam", **STEP)
    vocabulary = model.vocabulary
    assert vocabulary == WordVocabulary.of(text, min_count=2, unknown="<unk>")
    np.testing.assert_array_equal(model.encode("the unicorn"), [vocabulary.words.index("the"), 0])
    assert np.isfinite(model.loss("the unicorn ran"))
    model.params["bias_out"][0] = 50  # nothing but the unknown word is likely
    before = model.flat.tobytes()
    assert "<unk>" not in str(model.sample(40, seed=0))
    assert model.flat.tobytes() == before
    limited = LanguageModel(HIDDEN, unit="word", max_vocabulary=5, dtype=np.float64)
    limited.fit(TEXT, steps=1, optimizer="adam", **STEP)
    assert limited.vocabulary_size == 5
    assert limited.vocabulary.unknown == "<unk>"


@pytest.mark.parametrize("embedding", [None, 5])
def test_a_model_of_words_comes_back_as_it_was(tmp_path: Path, embedding: int | None) -> None:
    model = LanguageModel(
        HIDDEN, unit="word", min_count=3, max_vocabulary=9, embedding=embedding, dtype=np.float64
    )
    model.fit(TEXT, steps=2, optimizer="adam", **STEP).save(tmp_path / "model")
    twin = LanguageModel.load(tmp_path / "model")
    assert repr(twin) == repr(model)
    assert twin.vocabulary == model.vocabulary
    names = ("unit", "min_count", "max_vocabulary", "embedding_size", "train_embedding", "cell")
    assert [getattr(twin, n) for n in names] == [getattr(model, n) for n in names]
    assert twin.flat.tobytes() == model.flat.tobytes()
    assert twin.sample(20, "the cat", seed=1) == model.sample(20, "the cat", seed=1)


def test_a_file_of_before_there_were_words_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model"
    model = LanguageModel(HIDDEN, vocabulary=Vocabulary("ab"), dtype=np.float64, seed=0)
    model.save(path)
    config, tensors = load_model(path, "language_model")
    news = ("cell", "unit", "min_count", "max_vocabulary", "words", "embedding_size")
    for name in (*news, "train_embedding"):
        del config[name]
    save_model(path, "language_model", config, tensors)
    twin = LanguageModel.load(path)
    assert repr(twin) == repr(model)
    assert twin.loss("abba") == model.loss("abba")


def test_damaged_words_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    model = LanguageModel(3, vocabulary=WordVocabulary(["a", "b"]), embedding=2)
    model.save(path)
    config, tensors = load_model(path, "language_model")
    for change, message in (
        ({"words": {"words": ["a"], "unknown": None, "tokenizer": "words"}}, "words must be 2, go"),
        ({"words": {"words": ["a", "a"], "unknown": None, "tokenizer": "words"}}, "distinct"),
        ({"words": {}}, "words"),
        ({"embedding_size": 3}, re.escape("weight_ih_l0 must have shape (H, E) = (3, 3)")),
        ({"embedding_size": -1}, "embedding must be at least 1"),
        ({"cell": "lstm"}, re.escape("must have shape (4*H, E) = (12, 2)")),
        ({"cell": "cow"}, "cell must be one of"),
    ):
        save_model(path, "language_model", {**config, **change}, tensors)
        with pytest.raises(fastrnn.ModelFileError, match=f"is damaged.*{message}"):
            LanguageModel.load(path)


# --- pretrained vectors ---

GLOVE = "the 1 2\ncat 3 4\nunicorn 5 6\n"


@pytest.mark.parametrize("given", ["path", "word2vec", "vectors"])
def test_pretrained_vectors_are_found_by_word(tmp_path: Path, given: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(GLOVE if given != "word2vec" else "3 2\n" + GLOVE)
    embedding: Any = read_glove(path) if given == "vectors" else path
    words = WordVocabulary.of(TEXT)
    model = LanguageModel(HIDDEN, vocabulary=words, embedding=embedding, seed=0)
    table = model.params["embedding"]
    np.testing.assert_array_equal(table[words.encode("cat the")], [[3, 4], [1, 2]])
    assert (model.embedding_size, model.pretrained_words_) == (2, 2)
    assert np.isfinite(table).all()
    other = LanguageModel(HIDDEN, vocabulary=words, embedding=embedding, seed=0)
    np.testing.assert_array_equal(other.params["embedding"], table)


def test_vectors_that_do_not_fit_are_refused() -> None:
    words = WordVocabulary(["a", "b"])
    for vectors, message in (
        (WordVectors(["c"], np.ones((1, 2), np.float32)), "embedding has none of the 2 words"),
        (WordVectors(["a"], np.full((1, 2), np.nan, np.float32)), "embedding must be finite, got"),
    ):
        with pytest.raises(ValueError, match=message):
            LanguageModel(HIDDEN, vocabulary=words, embedding=vectors)


def test_read_vectors_tells_the_files_apart(tmp_path: Path) -> None:
    content = WordVectors(["a", "b"], np.array([[1.5, 2], [3, 4]], np.float32))
    binary = b"2 2\n" + b"".join(
        word.encode() + b" " + row.tobytes()
        for word, row in zip(content.words, content.vectors, strict=True)
    )
    files = {"x.txt": b"a 1.5 2\nb 3 4\n", "y.txt": b"2 2\na 1.5 2\nb 3 4\n", "z.bin": binary}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        found = read_vectors(tmp_path / name)
        assert found.words == content.words
        np.testing.assert_array_equal(found.vectors, content.vectors)
        assert read_vectors(tmp_path / name, vocabulary=["b"]).words == ["b"]


# --- errors ---


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cell": "elman"}, ValueError, "cell must be one of 'rnn', 'lstm', 'gru', got 'elman'"),
        ({"cell": "gru", "nonlinearity": "relu"}, ValueError, "nonlinearity must be 'tanh' for"),
        ({"unit": "byte"}, ValueError, "unit must be one of 'character', 'word', got 'byte'"),
        ({"min_count": 2}, ValueError, "min_count must be given for unit='word' alone, got 2"),
        ({"unit": "word", "min_count": 0}, ValueError, "min_count must be at least 1, got 0"),
        (
            {"unit": "word", "max_vocabulary": 1},
            ValueError,
            "max_vocabulary must be at least 2, got 1",
        ),
        (
            {"unit": "word", "max_vocabulary": 9, "vocabulary": 9},
            ValueError,
            "max_vocabulary must be given for the vocabulary that fit makes alone, got 9",
        ),
        (
            {"unit": "word", "vocabulary": Vocabulary("ab")},
            ValueError,
            "vocabulary must be a WordVocabulary for unit='word', got a Vocabulary",
        ),
        ({"embedding": 0}, ValueError, "embedding must be at least 1, got 0"),
        ({"embedding": 2.5}, TypeError, "embedding must be an integer, got 2.5"),
        ({"embedding": np.ones((3, 2))}, TypeError, "embedding must be float32, got float64"),
        ({"embedding": np.ones(3, np.float32)}, ValueError, "embedding must have shape (V, E)"),
        (
            {"embedding": np.array([[1, 2], [3, np.nan]], np.float32)},
            ValueError,
            "embedding must be finite, got nan at (1, 1)",
        ),
        (
            {"embedding": np.ones((3, 2), np.float32), "vocabulary": 4},
            ValueError,
            "embedding must have shape (V, E) = (4, 2), got (3, 2)",
        ),
        ({"train_embedding": False}, ValueError, "train_embedding must be True without an embed"),
        ({"embedding": 3, "train_embedding": 1}, TypeError, "train_embedding must be True or"),
        ({"embedding": "no/file.txt", "unit": "word"}, FileNotFoundError, "no/file.txt"),
        (
            {"embedding": __file__, "vocabulary": 4},
            TypeError,
            "embedding must be an int or an array (V, E) for a model without words",
        ),
    ],
)
def test_a_bad_model_is_refused(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        LanguageModel(**options)


def test_a_bad_vector_file_is_refused_and_leaves_no_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    for content, message in (
        ("the 1 2\ncat 3\n", "line 2"),
        ("", "is empty"),
        ("unicorn 1 2\n", "glove.txt has none of the 19 words of the vocabulary"),
    ):
        path.write_text(content)
        model = LanguageModel(HIDDEN, unit="word", embedding=path)
        with pytest.raises(ValueError, match=message):
            model.fit(TEXT, steps=1, **STEP)
        assert model.vocabulary is None


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ("", {}, "data must have words, got 0 characters"),
        (" \n ", {}, "data must have words, got 3 characters of white space"),
        ("a few words", {}, "the text must have at least batch_size * sequence_length + 1 = "),
        (TEXT, {"validation": "a unicorn"}, "text has 'a' as word 0, which is not among the"),
        (TEXT, {"validation": 0.001}, "validation must have at least 2 tokens, got 0"),
    ],
)
def test_a_bad_fit_leaves_a_model_without_a_vocabulary(
    data: str, options: Any, message: str
) -> None:
    model = LanguageModel(HIDDEN, unit="word", embedding=4)
    with pytest.raises(ValueError, match=re.escape(message)):
        model.fit(data, steps=1, **STEP, **options)
    assert (model.vocabulary, model.vocabulary_size, model.embedding_size) == (None, 0, 0)


def test_a_text_with_a_word_outside_the_vocabulary_is_refused() -> None:
    model = LanguageModel(HIDDEN, vocabulary=WordVocabulary.of(TEXT), embedding=4)
    for call in (model.loss, model.encode, lambda text: model.sample(3, text)):
        with pytest.raises(ValueError, match="text has 'unicorn' as word 1, which is not among"):
            call("the unicorn ran")
    with pytest.raises(ValueError, match="data must have at least 2 tokens, got 1"):
        model.loss("the")


# --- spacing ---


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a well-known man/woman (of 42) paid $3.50 at 10:30; 20% more, he said!",
        "she said: \"don't 'worry', dear\" \u2014 or did she?",
        "\u201ccurly\u201d quotes, \u2018both\u2019 kinds\u2026 end.",
    ],
)
def test_marks_are_spaced_as_in_print(text: str) -> None:
    joined = join_words(tokenize(text))
    assert joined == text.replace(" \u2014 ", "\u2014")
    assert tokenize(joined) == tokenize(text)


def test_a_vocabulary_joins_by_its_own_tokenizer() -> None:
    for tokenizer, expected in (("words", "a, b"), ("whitespace", "a , b"), ("keras", "a , b")):
        assert WordVocabulary(["a", ",", "b"], tokenizer=tokenizer).join([0, 1, 2]) == expected
    assert WordVocabulary(["a"]).join([]) == ""
    assert WordVocabulary(["two, words", "."]).join([0, 1]) == "two, words."
    assert Vocabulary("ab").join([0, 1]) == "ab"
    with pytest.raises(ValueError, match="tokens must be in"):
        WordVocabulary(["a"]).join([1])


# --- the command line ---


@pytest.mark.parametrize(
    ("before", "after", "space"),
    [
        ("the cat", "ran", " "),
        ("the cat ", "ran", ""),
        ("the cat", ", too", ""),
        ('"run"', "he", " "),
        ('he said: "', "run", ""),
        ("", "ran", ""),
        ("the", "", ""),
    ],
)
def test_what_is_drawn_follows_its_prime_as_in_print(before: str, after: str, space: str) -> None:
    pytest.importorskip("typer")
    pytest.importorskip("rich")
    from fastrnn.cli.train import gap

    assert gap(WordVocabulary(["a"]), before, after) == space
    assert gap(Vocabulary("a"), before, after) == ""
    if space or after == ", too":
        assert gap(WordVocabulary(["a"], tokenizer="whitespace"), before, after) == " "


def test_the_command_line_trains_on_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("typer")
    pytest.importorskip("rich")
    from fastrnn.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    book, model, glove = tmp_path / "book.txt", tmp_path / "model", tmp_path / "glove.txt"
    book.write_text(TEXT + "once", encoding="utf-8")
    glove.write_text(GLOVE)
    small = ["--hidden", 9, "--sequence-length", 7, "--batch-size", 3, "--dtype", "float64"]
    words = [*small, "--words", "--steps", 3, "--seed", 0]
    code, out, _ = run(
        "train", book, "--out", model, *words, "--min-count", 2, "--embedding", 5, "--json"
    )
    report = json.loads(out)
    assert (code, report["unit"], report["steps"]) == (0, "word", 3)
    assert report["tokens"] == len(tokenize(TEXT)) + 1
    loaded = LanguageModel.load(model)
    assert (loaded.embedding_size, loaded.vocabulary_size) == (5, report["vocabulary"])
    code, out, _ = run("eval", model, book)
    assert code == 0
    assert f"{loaded.perplexity(TEXT + 'once'):.3f}" in out
    assert re.search(r"unknown words +1\n", out)
    assert "nats/word" in out
    code, out, _ = run("sample", model, "--n", 6, "--prime", "the cat")
    assert code == 0
    assert tokenize(out) == tokenize("the cat " + str(loaded.sample(6, "the cat", 0.8, 0)))
    code, out, _ = run("train", book, "--out", model, "--resume", model, "--steps", 5, "--json")
    assert (code, json.loads(out)["steps"]) == (0, 2)

    code, out, _ = run(
        "train", book, "--out", model, *words, "--vocabulary", 8, "--embedding", glove, "--freeze",
        "--json",
    )  # fmt: skip
    assert (code, json.loads(out)["pretrained_words"]) == (0, 1)
    assert LanguageModel.load(model).vocabulary_size == 8
    for arguments, message in (
        (["--min-count", 2], "min_count must be given for unit='word' alone"),
        (["--words", "--cell", "elman"], "cell must be one of"),
        (["--words", "--embedding", tmp_path / "none"], "No such file"),
        (["--words", "--freeze"], "train_embedding must be True without an embedding"),
        (["--resume", model, "--embedding", 7], "embedding must be 2, that of"),
    ):
        code, _, err = run("train", book, "--out", tmp_path / "out", *small, *arguments)
        assert code == 2
        assert err.count("\n") == 1
        assert message in err
    assert run("eval", model, glove)[0] == 0


@pytest.mark.skipif(PLAIN, reason="a second process would train in NumPy")
def test_words_are_not_imported_with_the_package() -> None:
    """Readers of vectors cost time that a model of characters needs not wait for."""
    import subprocess
    import sys

    code = "import sys, fastrnn; sys.exit('fastrnn.data.vectors' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
