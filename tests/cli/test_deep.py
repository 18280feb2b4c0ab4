"""``gpuclust deep`` and ``gpuclust encode``: options, what they leave behind, what they tell, and how they refuse."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from gpuclust.cli.app import app
from gpuclust.cli.deep import Method, Scaling
from gpuclust.deep import Autoencoder, DeepClustering
from gpuclust.deep.clustering.methods import METHODS
from gpuclust.jobs import deep as job
from gpuclust.jobs.model import load_model
from tests.cli.terminal import on_a_terminal

QUICK = ["-k", 3, "--method", "ae", "--latent", 2, "--architecture", "4", "--neighbors", 0, "--epochs", 2]
SILENT = [*QUICK, "--no-pictures"]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def out(tmp_path):
    """Return the path of a folder that does not exist."""
    return tmp_path / "out"


def run(*arguments):
    """Run the command line in this process; it must succeed. Return its events."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def refused(*arguments):
    """Run the command line, which must fail; return exit code and what it says on stderr."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code != 0
    assert "Traceback" not in result.output
    return result.exit_code, result.stderr


def test_choices_are_those_of_the_estimators():
    assert [method.value for method in Method] == list(METHODS)
    allowed = [rule.options for rule in Autoencoder._parameter_constraints["scaling"] if rule is not None]
    assert [{scaling.value for scaling in Scaling}] == allowed


def test_every_option_reaches_the_estimator(points, out, monkeypatch):
    seen = []

    def stop(self, X):
        seen.append((self, X))
        raise KeyboardInterrupt

    monkeypatch.setattr(DeepClustering, "fit", stop)
    options = (
        "--method idec --latent 3 --architecture conv:2,4 --shape 2x2 --neighbors 7 --noise 0.1 --scaling standard"
    )
    options += " --epochs 4 --refine-epochs 6 --batch 32 --rate 0.01 --restarts 2 --seed 9 --checkpoint c --device cpu"
    options += " --max-memory 1GB --chunk-rows 50"
    assert refused("deep", points, "-k", 5, "-o", out, *options.split())[0] == 130
    ((found, source),) = seen
    params = found.get_params(deep=False)
    network = params.pop("autoencoder").get_params()
    assert params.pop("callback") is not None
    expected = DeepClustering(5, method="idec", epochs=6, batch_size=32, n_init=2, random_state=9, checkpoint="c")
    expected.set_params(device="cpu", max_memory="1GB")
    assert params == {name: value for name, value in expected.get_params(deep=False).items() if name in params}
    assert source.chunk_rows == 50
    architecture = network.pop("architecture")
    assert (architecture.kind, architecture.widths, architecture.shape) == ("conv", (2, 4), (2, 2))
    assert {name: network[name] for name in ("n_components", "neighbors", "noise", "scaling", "epochs")} == {
        "n_components": 3,
        "neighbors": 7,
        "noise": 0.1,
        "scaling": "standard",
        "epochs": 4,
    }
    assert (network["batch_size"], network["learning_rate"]) == (32, 0.01)


def test_outputs_and_events(points, rows, out):
    start, *epochs, done = run("deep", points, "-o", out, *SILENT)
    assert (start["event"], start["command"], start["estimator"]) == ("start", "deep", "DeepClustering")
    assert (start["method"], start["n_clusters"], start["n_rows"], start["n_features"]) == ("ae", 3, 600, 4)
    assert {event["event"] for event in epochs} == {"epoch"}
    assert (epochs[-1]["stage"], epochs[-1]["epoch"], epochs[-1]["epochs"]) == ("pretraining", 2, 2)
    assert epochs[-1]["terms"] == {"reconstruction": epochs[-1]["loss"]}
    assert epochs[-1]["rows_per_second"] > 0
    assert epochs[-1]["remaining"] == 0
    assert (done["event"], done["n_clusters"], done["output"]) == ("done", 3, str(out))
    assert done["losses"] == {"pretraining": epochs[-1]["loss"]}
    model = load_model(out)
    np.testing.assert_array_equal(np.load(out / "labels.npy"), model.predict(rows))


def test_predict_and_encode(points, rows, out, tmp_path):
    run("deep", points, "-o", out, *SILENT)
    new = rows[::2] + np.float32(0.3)
    np.save(tmp_path / "new.npy", new)
    model = load_model(out)
    for number, options in enumerate([[], ["--chunk-rows", 7], ["--max-memory", "100KB"]]):
        run("predict", out, tmp_path / "new.npy", "-o", tmp_path / f"{number}.npy", *options)
        np.testing.assert_array_equal(np.load(tmp_path / f"{number}.npy"), model.predict(new))
        run("encode", out, tmp_path / "new.npy", "-o", tmp_path / "codes.npy", "--force", *options)
        np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), model.transform(new))
    start, done = run("encode", out, tmp_path / "codes.npy", "-o", tmp_path / "rows.npy", "--decode")
    assert (start["what"], done["shape"]) == ("rows", [300, 4])
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), model.inverse_transform(model.transform(new)))
    run("encode", out, tmp_path / "new.npy", "-o", tmp_path / "errors.npy", "--reconstruction-error")
    errors = model.autoencoder_.reconstruction_error(new)
    np.testing.assert_array_equal(np.load(tmp_path / "errors.npy"), errors[:, None])


def test_a_folder_of_images(out, tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(6):
        pixels = np.full((8 + number, 9, 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    options = ["--resize", "6x4", "--color", "grey"]
    run("deep", tmp_path / "images", "-o", out, *SILENT, *options, "--architecture", "conv:2")
    assert (out / "files.txt").read_text().splitlines() == [f"{number}.png" for number in range(6)]
    assert np.load(out / "decoded_centers.npy").shape == (3, 6, 4)
    for command in ("predict", "encode"):
        run(command, out, tmp_path / "images", "-o", tmp_path / f"{command}.npy", *options)
    np.testing.assert_array_equal(np.load(tmp_path / "predict.npy"), np.load(out / "labels.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "encode.npy"), np.load(out / "codes.npy"))


def test_quiet_and_existing_results(points, out, tmp_path):
    assert run("deep", points, "-o", out, *SILENT, "--quiet") == []
    assert refused("deep", points, "-o", out, *SILENT)[0] == 2
    run("deep", points, "-o", out, *SILENT, "--force", "-k", 2)
    assert len(np.load(out / "centers.npy")) == 2
    assert run("encode", out, points, "-o", tmp_path / "c.npy", "--quiet") == []
    assert refused("encode", out, points, "-o", tmp_path / "c.npy")[0] == 2


def test_what_is_refused_leaves_nothing_behind(points, rows, out, tmp_path):
    run("deep", points, "-o", tmp_path / "model", *SILENT)
    np.save(tmp_path / "narrow.npy", np.ones((5, 3)))
    np.save(tmp_path / "nan.npy", np.full((5, 4), np.nan))
    np.save(tmp_path / "cube.npy", np.zeros((2, 3, 4, 5, 6)))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    run("kmeans", points, "-k", 2, "-o", tmp_path / "kmeans")
    before = sorted(tmp_path.rglob("*"))
    model, nan = tmp_path / "model", tmp_path / "nan.npy"
    for arguments, code, message in (
        (("deep", points, *SILENT, "-k", 601), 3, "n_samples=600 should be >= n_clusters=601"),
        (("deep", points, *SILENT, "-k", "many"), 2, "neither an integer nor 'auto'"),
        (("deep", points, *SILENT, "--method", "magic"), 2, "magic"),
        (("deep", points, *SILENT, "--architecture", "conv"), 2, "needs the shape of a row"),
        (("deep", points, *SILENT, "--shape", "2x3"), 3, "shape=(2, 3) does not fit rows of 4 features: 2 x 3 = 6"),
        (("deep", points, *SILENT, "--shape", "2by3"), 2, "such as 28x28"),
        (("deep", points, *SILENT, "--resize", "2"), 2, "HEIGHTxWIDTH"),
        (("deep", points, *SILENT, "--resize", "2x2"), 2, "is for a folder of images"),
        (("deep", points, *SILENT, "--rate", "1e30"), 3, "training diverged"),
        (("deep", points, *SILENT, "--device", "cuda:0,1"), 2, "several GPUs"),
        (("deep", points, *SILENT, "--checkpoint", tmp_path / "no" / "c"), 4, "checkpoint="),
        (("deep", nan, *SILENT), 3, "NaN"),
        (("deep", tmp_path / "cube.npy", *SILENT), 3, "images are n x height x width"),
        (("deep", tmp_path / "bad", *SILENT), 3, "a.png is not an image"),
        (("deep", tmp_path / "empty", *SILENT), 3, "is a directory without images"),
        (("encode", model, tmp_path / "narrow.npy"), 3, "X has 3 features, but Autoencoder is expecting 4"),
        (("encode", model, points, "--decode"), 3, "X has 4 features, but codes of Autoencoder have n_components=2"),
        (("encode", model, points, "--decode", "--reconstruction-error"), 2, "choose one"),
        (("encode", model, nan), 3, "NaN"),
        (("encode", tmp_path / "kmeans", points), 2, "holds KMeans, which has no network"),
        (("encode", points, points), 5, "is not a gpuclust file"),
        (("predict", model, tmp_path / "narrow.npy"), 3, "X has 3 features, but DeepClustering is expecting 4"),
    ):
        output = out if arguments[0] == "deep" else tmp_path / "o.npy"
        found = refused(*arguments, "-o", output)
        assert found[0] == code, (arguments, found)
        assert message in " ".join(found[1].split()), (arguments, found)
    assert refused("encode", model, points, "-o", tmp_path / "o.csv")[0] == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_progress_as_a_terminal_has_it(points, out, monkeypatch, capsys):
    """The bar in this process: a description for every epoch, a summary in the end."""
    from rich.progress import Progress

    said = []
    monkeypatch.setattr(Progress, "update", lambda self, task, **fields: said.append(fields))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    from gpuclust.cli.show import shown

    with shown(as_json=False, quiet=False) as report:
        job.run_deep(
            job.DeepJob(
                input=str(points),
                output=str(out),
                n_clusters=3,
                method="ae",
                architecture="4",
                latent=2,
                neighbors=0,
                epochs=2,
                pictures=False,
            ),
            report,
        )
    assert said[-1]["description"].startswith("pretraining, epoch 2/2: loss 0.")
    assert "rows/s, 0 s to go" in said[-1]["description"]
    text = capsys.readouterr().out
    assert "pretraining loss 0." in text
    assert "3 clusters" in text


@pytest.mark.slow
def test_progress_on_a_terminal(points, out):
    text = on_a_terminal("deep", points, "-o", out, *SILENT[:-2], 30, "--no-pictures")
    assert "pretraining, epoch " in text
    assert "rows/s" in text
    assert '"event"' not in text


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_checkpoints_and_the_same_command_goes_on(points, tmp_path, number, code):
    command = [sys.executable, "-m", "gpuclust.cli", "deep", str(points), *map(str, SILENT), "--epochs", "60"]
    (tmp_path / "a").mkdir()
    checkpointed = [*command, "-o", str(tmp_path / "a" / "out"), "--checkpoint", str(tmp_path / "a" / "c")]
    process = subprocess.Popen(checkpointed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if json.loads(line)["event"] == "epoch":
            break
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert json.loads(stdout.splitlines()[-1])["exit_code"] == code
    assert "Traceback" not in stderr
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["c.0.pretraining"]
    done = subprocess.run(checkpointed, capture_output=True, text=True, check=True)
    first = next(event for event in map(json.loads, done.stdout.splitlines()) if event["event"] == "epoch")
    assert first["epoch"] > 1
    subprocess.run([*command, "-o", str(tmp_path / "whole")], capture_output=True, check=True)
    for name in ("labels.npy", "codes.npy", "soft.npy", "decoded_centers.npy"):
        assert (tmp_path / "a" / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
