"""`run_deep` and `run_encode`: the jobs without the command line."""

from __future__ import annotations

import hashlib
import json
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from gpuclust import Autoencoder, KMeans, load_model, save_model
from gpuclust.deep import DeepClustering
from gpuclust.errors import DataError, MissingDependencyError, ModelError, ParameterError
from gpuclust.jobs.architectures import architecture_of
from gpuclust.jobs.deep import DeepJob, run_deep
from gpuclust.jobs.encode import EncodeJob, run_encode
from gpuclust.jobs.predict import run_predict

#: What makes a job small.
QUICK = {"n_clusters": 3, "method": "ae", "latent": 2, "architecture": "4", "neighbors": 0, "epochs": 3}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def job(points, tmp_path):
    """Return a function that makes a small job, without pictures."""

    def make(**fields):
        return DeepJob(**{"input": str(points), "output": str(tmp_path / "out"), "pictures": False, **QUICK, **fields})

    return make


@pytest.fixture
def images(tmp_path):
    """Return a folder of 12 grey images of 4 x 6: two kinds of them, by turns."""
    random = np.random.default_rng(0)
    (tmp_path / "images" / "more").mkdir(parents=True)
    for number in range(12):
        pixels = random.integers(0, 60, (4, 6)) + (np.arange(6) < 3) * 180 * (number % 2)
        place = tmp_path / "images" / ("more" if number > 8 else "") / f"{number:02}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(place)
    return tmp_path / "images"


def test_results(job, rows, tmp_path, log):
    found = run_deep(job(), log)
    expected = DeepClustering(
        3,
        method="ae",
        autoencoder=Autoencoder(2, architecture={"widths": (4,)}, epochs=3, learning_rate=3e-3),
        random_state=0,
    ).fit(rows)
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        "labels.npy",
        "codes.npy",
        "soft.npy",
        "centers.npy",
        "decoded_centers.npy",
        "model.safetensors",
        "manifest.json",
    }
    for name, array in {
        "labels": expected.labels_,
        "codes": expected.transform(rows),
        "soft": expected.predict_proba(rows),
        "centers": expected.cluster_centers_,
        "decoded_centers": expected.decoded_centers_,
    }.items():
        written = np.load(out / f"{name}.npy")
        assert written.dtype == array.dtype
        np.testing.assert_array_equal(written, array)
    np.testing.assert_array_equal(load_model(out).predict(rows), expected.labels_)
    assert (found["n_clusters"], found["epochs"]) == (3, {"pretraining": 3})
    assert found["losses"] == {"pretraining": expected.autoencoder_.history_.losses[-1]}
    assert [event for event, _ in log.events][0 :: len(log.events) - 1] == ["start", "done"]
    epochs = [fields for event, fields in log.events if event == "epoch"]
    assert (epochs[-1]["stage"], epochs[-1]["epoch"], epochs[-1]["epochs"]) == ("pretraining", 3, 3)
    assert epochs[-1]["loss"] == found["losses"]["pretraining"]


def test_manifest(job, points, tmp_path):
    found = run_deep(job(method="dcn", refine_epochs=2, restarts=2, seed=5))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["command"], manifest["estimator"], manifest["results"]) == ("deep", "DeepClustering", found)
    assert (manifest["job"]["seed"], manifest["parameters"]["random_state"]) == (5, 5)
    assert manifest["network"]["widths"] == {"X": 4}
    assert manifest["network"]["modalities"]["X"]["architecture"]["widths"] == [4]
    course = manifest["training"]
    assert {stage: course[stage]["epochs"] for stage in course} == {"pretraining": 3, "refinement": 2}
    assert {name: len(values) for name, values in course["refinement"]["terms"].items()} == {
        "reconstruction": 2,
        "clustering": 2,
    }
    assert [set(restart) for restart in found["restarts"]] == [{"seed", "criterion"}] * 2
    assert manifest["input"]["sha256"] == hashlib.sha256(points.read_bytes()).hexdigest()
    assert (manifest["input"]["n_rows"], manifest["input"]["row_shape"]) == (600, None)
    assert set(found["timings"]) == {"open", "fit", "write", "pictures", "checksum"}
    assert manifest["versions"]["torch"]
    for name, facts in manifest["outputs"].items():
        assert facts["sha256"] == hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest()


def test_the_same_job_leaves_the_same_files(job, tmp_path):
    contents = set()
    for number, options in enumerate([{}, {"chunk_rows": 37}, {"labels_format": "npy"}]):
        run_deep(job(output=str(tmp_path / str(number)), **options))
        files = [path for path in (tmp_path / str(number)).iterdir() if path.name != "manifest.json"]
        # The history of the model holds seconds.
        contents.add(tuple(path.read_bytes() for path in sorted(files) if path.suffix == ".npy"))
    assert len(contents) == 1


def test_as_many_clusters_as_the_codes_suggest(job, rows, tmp_path):
    np.save(tmp_path / "few.npy", rows[::12])
    found = run_deep(job(input=str(tmp_path / "few.npy"), n_clusters="auto"))
    assert found["selection"]["value"] == found["n_clusters"] == len(np.load(tmp_path / "out" / "centers.npy"))
    assert found["selection"]["reason"]


@pytest.mark.parametrize("architecture", ["conv:2", "4"])
def test_a_folder_of_images(job, images, tmp_path, architecture):
    run_deep(job(input=str(images), n_clusters=2, architecture=architecture, epochs=30, rate=1e-2))
    out = tmp_path / "out"
    assert (out / "files.txt").read_text().split() == [
        *(f"{number:02}.png" for number in range(9)),
        *(f"more/{number:02}.png" for number in range(9, 12)),
    ]
    labels = np.load(out / "labels.npy")
    assert len(set(labels[::2])) == len(set(labels[1::2])) == 1
    assert labels[0] != labels[1]
    centers = np.load(out / "decoded_centers.npy")
    assert centers.shape == (2, 4, 6)
    bright = centers[labels[1]]
    assert bright[:, :3].mean() > 100 > bright[:, 3:].mean() + 30
    facts = json.loads((out / "manifest.json").read_text())["input"]
    assert (facts["n_files"], facts["n_rows"], facts["row_shape"]) == (12, 12, [4, 6])
    listed = [
        (out / "files.txt").read_text().splitlines(),
        [path.read_bytes() for path in sorted(images.rglob("*.png"))],
    ]
    lines = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in zip(*listed, strict=True))
    assert facts["sha256"] == hashlib.sha256(lines.encode()).hexdigest()  # of what sha256sum prints
    assert facts["bytes"] == sum(map(len, listed[1]))
    run_predict(str(out), str(images), str(tmp_path / "labels.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), labels)
    run_encode(EncodeJob(model=str(out), input=str(images / "more"), output=str(tmp_path / "codes.npy")))
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), np.load(out / "codes.npy")[9:])


def test_images_of_several_sizes_in_colour(job, images, tmp_path):
    Image.fromarray(np.full((8, 12, 3), 90, np.uint8)).save(images / "large.jpg")
    with pytest.raises(DataError, match=r"large\.jpg 8 x 12|8 x 12 pixels"):
        run_deep(job(input=str(images)))
    run_deep(job(input=str(images), resize=(2, 3), labels_format="parquet"))
    out = tmp_path / "out"
    parquet = pytest.importorskip("pyarrow.parquet")
    assert len(parquet.read_table(out / "labels.parquet")["label"]) == 13
    assert np.load(out / "decoded_centers.npy").shape == (3, 2, 3, 3)
    options = {"resize": (2, 3), "color": True}
    run_encode(EncodeJob(model=str(out), input=str(images / "more"), output=str(tmp_path / "codes.npy"), **options))
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), np.load(out / "codes.npy")[-3:])
    with pytest.raises(DataError, match="X has 24 features"):
        run_predict(str(out), str(images / "more"), str(tmp_path / "labels.npy"))


def test_names_of_files_are_lines(job, images, tmp_path):
    (images / "00.png").rename(images / "0\n.png")
    with pytest.raises(DataError, match="has a line break in its name"):
        run_deep(job(input=str(images)))
    (images / "0\n.png").rename(images / os.fsdecode(b"00\xff.png"))
    run_deep(job(input=str(images), epochs=1))
    assert (tmp_path / "out" / "files.txt").read_bytes().splitlines()[0] == b"00\xff.png"


def test_an_array_of_images(job, tmp_path):
    random = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", random.integers(0, 256, (20, 4, 4, 3)).astype(np.uint8))
    run_deep(job(input=str(tmp_path / "x.npy"), architecture="conv:2", epochs=1))
    assert np.load(tmp_path / "out" / "decoded_centers.npy").shape == (3, 4, 4, 3)
    with pytest.raises(DataError, match=r"shape=\(3, 3\) does not fit rows of 48 features"):
        run_deep(job(input=str(tmp_path / "x.npy"), output=str(tmp_path / "b"), shape=(3, 3)))


@pytest.mark.parametrize("method", ["ae", "dcn"])
def test_an_interrupted_job_goes_on(job, tmp_path, monkeypatch, method):
    """Whatever the epoch, of both trainings: nothing is left but checkpoints, and in the end it is the same result."""
    options = {"method": method, "refine_epochs": 2 if method == "dcn" else None, "epochs": 2}
    run_deep(job(**options))
    stages = ["pretraining"] * 2 + ["refinement"] * 2 * (method == "dcn")
    for stop in range(len(stages)):
        told = []

        def interrupt(event, *, told=told, stop=stop, **fields):
            if event == "epoch":
                told.append(fields["stage"])
                if len(told) == stop + 1:
                    raise KeyboardInterrupt

        (tmp_path / str(stop)).mkdir()
        again = job(**options, output=str(tmp_path / str(stop) / "out"), checkpoint=str(tmp_path / str(stop) / "c"))
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr("gpuclust.jobs.deep.epoch_callback", _each_epoch)
            run_deep(again, interrupt)
        assert told == stages[: stop + 1]
        assert {path.name for path in (tmp_path / str(stop)).iterdir()} == {f"c.0.{stage}" for stage in set(told)}
        run_deep(again)
        for name in ("labels.npy", "codes.npy", "soft.npy", "centers.npy", "decoded_centers.npy"):
            assert (tmp_path / str(stop) / "out" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def _each_epoch(report):
    """Every epoch is an event, however quick they are."""
    return lambda epoch: report("epoch", stage=epoch.stage)


def test_pictures(job, tmp_path, monkeypatch, log):
    pytest.importorskip("matplotlib")
    run_deep(job(pictures=True, epochs=1))
    drawn = {path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".png"}
    assert drawn >= {"losses.png", "codes.png", "reconstructions.png", "centers.png", "examples.png"}
    outputs = json.loads((tmp_path / "out" / "manifest.json").read_text())["outputs"]
    assert drawn <= set(outputs)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    run_deep(job(pictures=True, epochs=1, output=str(tmp_path / "b")), log)
    (message,) = (fields["message"] for event, fields in log.events if event == "warning")
    assert message.startswith("no pictures are drawn, or not all: plots need matplotlib: pip install 'gpuclust[viz]'")
    assert json.loads((tmp_path / "b" / "manifest.json").read_text())["warnings"] == [message]


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"n_clusters": 601}, DataError, "n_samples=600 should be >= n_clusters=601"),
        ({"n_clusters": 0}, ParameterError, "n_clusters"),
        ({"method": "magic"}, ParameterError, "method='magic' should be one of ae, manifold, dec, idec, dcn, vade"),
        ({"neighbors": -1}, ParameterError, "neighbors"),
        ({"noise": 2.0}, ParameterError, "noise"),
        ({"architecture": "huge"}, ParameterError, "architecture='huge' should be one of small, large, dense, conv"),
        ({"architecture": "conv"}, ParameterError, "architecture='conv' needs the shape of a row"),
        ({"architecture": "conv", "shape": (3, 2)}, DataError, r"shape=\(3, 2\) does not fit rows of 4 features"),
        ({"shape": (3,)}, DataError, r"shape=\(3,\) does not fit rows of 4 features"),
        ({"resize": (2, 2)}, ParameterError, "resize=.* is for a folder of images"),
        ({"restarts": 0}, ParameterError, "n_init"),
        ({"batch": 0}, ParameterError, "batch_size"),
        ({"input": "missing.npy"}, DataError, "missing.npy does not exist"),
    ],
)
def test_what_is_refused(job, tmp_path, fields, error, message):
    with pytest.raises(error, match=message):
        run_deep(job(**fields))
    assert [path.name for path in tmp_path.iterdir()] == ["points.npy"]


def test_architectures_in_a_word():
    assert architecture_of("large", None).widths == (500, 500, 2000)
    for text, kind, widths in (
        ("dense", "dense", (256, 128)),
        ("7", "dense", (7,)),
        ("500,20", "dense", (500, 20)),
        ("dense:5,4", "dense", (5, 4)),
        ("conv", "conv", (16, 32)),
        ("conv:8", "conv", (8,)),
    ):
        found = architecture_of(text, (4, 6))
        assert (found.kind, found.widths, found.shape) == (kind, widths, (4, 6) if kind == "conv" else None)
    assert architecture_of("gru", (9, 2)).widths == (64,)
    for text in ("", "conv:", "conv:a", "conv:3,", "3,x", "conv2:3", ":3", "gru:3,4", "conv:0", "-3", "small:3"):
        with pytest.raises(ParameterError):
            architecture_of(text, (4, 6))


# -- encode ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def network(rows, tmp_path):
    """Return a fitted autoencoder and the file it is saved in."""
    fitted = Autoencoder(2, architecture={"widths": (4,)}, epochs=2, random_state=0).fit(rows)
    save_model(fitted, tmp_path / "network")
    return fitted, tmp_path / "network"


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_codes_rows_and_errors(network, rows, points, tmp_path, suffix, log):
    fitted, file = network
    np.save(tmp_path / "codes.npy", fitted.transform(rows))
    expected = {
        "codes": (points, fitted.transform(rows), ["autoencoder0", "autoencoder1"]),
        "rows": (tmp_path / "codes.npy", fitted.inverse_transform(fitted.transform(rows)), ["x0", "x1", "x2", "x3"]),
        "errors": (points, fitted.reconstruction_error(rows)[:, None], ["reconstruction_error"]),
    }
    for what, (source, matrix, names) in expected.items():
        output = tmp_path / f"{what}-out{suffix}"
        run_encode(EncodeJob(model=str(file), input=str(source), output=str(output), what=what), log)
        if suffix == ".npy":
            found = np.load(output)
        else:
            table = pytest.importorskip("pyarrow.parquet").read_table(output)
            assert table.column_names == names
            found = np.stack([column.to_numpy() for column in table.columns], 1)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, matrix)
        assert (log.events[-1][0], log.events[-1][1]["shape"]) == ("done", list(matrix.shape))
    assert log.events[0][1]["estimator"] == "Autoencoder"


def test_models_of_another_kind(network, points, rows, tmp_path):
    save_model(KMeans(2, random_state=0).fit(rows), tmp_path / "kmeans")
    with pytest.raises(ParameterError, match="holds KMeans, which has no network to encode with: `gpuclust predict`"):
        run_encode(EncodeJob(model=str(tmp_path / "kmeans"), input=str(points), output=str(tmp_path / "o.npy")))
    with pytest.raises(ParameterError, match="holds Autoencoder, which has codes but no clusters: `gpuclust encode`"):
        run_predict(str(network[1]), str(points), str(tmp_path / "o.npy"))
    modal = Autoencoder(1, modalities={"a": {}, "b": {}}, epochs=1, random_state=0).fit({"a": rows, "b": rows})
    save_model(modal, tmp_path / "modal")
    with pytest.raises(DataError, match=r"takes rows of the modalities \['a', 'b'\]"):
        run_encode(EncodeJob(model=str(tmp_path / "modal"), input=str(points), output=str(tmp_path / "o.npy")))
    with pytest.raises(ModelError, match="is not a gpuclust file"):
        run_encode(EncodeJob(model=str(points), input=str(points), output=str(tmp_path / "o.npy")))
    with pytest.raises(ParameterError, match="what='all' should be one of codes, rows, errors"):
        run_encode(EncodeJob(model="m", input="x", output=str(tmp_path / "o.npy"), what="all"))
    assert not (tmp_path / "o.npy").exists()


def test_device_and_memory_are_those_of_the_command(network, points, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        Autoencoder, "transform", lambda self, X: seen.append((self, X)) or np.zeros((600, 2), np.float32)
    )
    options = {"device": "cpu", "max_memory": "32MB", "chunk_rows": 50}
    run_encode(EncodeJob(model=str(network[1]), input=str(points), output=str(tmp_path / "o.npy"), **options))
    ((network, source),) = seen
    assert (network.device, network.max_memory, source.chunk_rows) == ("cpu", "32MB", 50)


def test_without_torch_the_extra_is_named(network, job, points, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("gpuclust.deep") or name == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    for run in (
        lambda: run_deep(job()),
        lambda: run_encode(EncodeJob(model=str(network[1]), input=str(points), output=str(tmp_path / "o.npy"))),
        lambda: run_predict(str(network[1]), str(points), str(tmp_path / "o.npy")),
    ):
        with pytest.raises(MissingDependencyError, match=r"pip install 'gpuclust\[deep\]'") as raised:
            run()
        assert raised.value.exit_code == 4
