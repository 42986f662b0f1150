"""The report page: complete, self-contained, safe, and readable in a browser."""

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from resbuilder.architecture import resnet_architecture
from resbuilder.report import read_history, write_report
from resbuilder.report.style import si

FIGURES = {
    "accuracy", "architectures", "flops", "widths", "training", "classes", "removals"
}  # fmt: skip


class Page(HTMLParser):
    """The tags, image sources and visible text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.images, self.text, self.sections = [], [], "", []
        self.references = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        if tag == "section":
            self.sections.append(attributes["id"])
        if tag == "img":
            self.images.append(attributes["src"])
        self.references += [v for k, v in attrs if k in ("src", "href", "srcset", "data")]

    def handle_data(self, data):
        self.text += data


def read_page(path):
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_of_a_finished_run_is_complete(search_run):
    run = search_run()
    (run.folder / "models").mkdir()
    (run.folder / "models" / "best.keras").write_bytes(b"")
    path = write_report(run.folder)
    page, best = read_page(path), read_history(run.folder).best()
    assert path == run.folder / "report.html"
    assert set(page.sections) >= FIGURES
    for expected in (
        f"{100 * best.test:.2f} %", "Wilson, 1,000 images", best.label,
        str(best.record.architecture), best.record.architecture.tree(),
        "Trained equally long, for 3 epochs", "fashion_mnist", "keras.models.load_model",
        "The best network classifies", "of 1,000 test images correctly",
        "resbuilder search --dataset", "Most often confused",
    ):  # fmt: skip
        assert expected in page.text
    for a in run.architectures:
        assert str(a) in page.text
    assert sorted(p.name for p in (run.folder / "figures").iterdir()) == sorted(
        f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")
    )
    first = path.read_bytes()
    assert write_report(run.folder).read_bytes() == first  # The page is reproducible.
    assert not list(run.folder.rglob("*.part"))


def test_every_image_is_embedded_in_the_page(search_run):
    run = search_run()
    path = write_report(run.folder)
    page = read_page(path)
    assert len(page.images) == len(FIGURES)
    for source in page.images:
        data = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
        image = Image.open(io.BytesIO(data))
        image.load()
        # The image is not blank.
        assert np.ptp(np.asarray(image.convert("L"))) > 100
    assert all(reference.startswith("data:") for reference in page.references)
    assert not re.search(r"url\(|@import|<script", path.read_text())


def test_names_from_data_cannot_become_markup(search_run):
    hostile = ["<script>alert(1)</script>", '"><img src=x>', "$\\frac{", "&amp;", "名"]
    run = search_run("<u>run", class_names=hostile, finish=False)
    run.finish(reason="<script>alert(2)</script>")
    config = json.loads((run.folder / "config.json").read_text())
    config |= {"dataset": "<script>alert(3)</script>", "start": "<u>"}
    (run.folder / "config.json").write_text(json.dumps(config))
    environment = {"command": "<script>", "packages": {"<script>": "<s>"}}
    (run.folder / "environment.json").write_text(json.dumps(environment))
    page = read_page(write_report(run.folder))
    assert not {"script", "u", "s"} & set(page.tags)
    assert page.tags.count("img") == len(FIGURES)
    assert "<script>alert(1)</script>" in page.text and "&amp;" in page.text


@pytest.mark.parametrize("keep", [0, 1, 3, 20], ids=lambda n: f"{n} events")
def test_the_report_of_an_unfinished_run_says_so(search_run, keep):
    run = search_run()
    lines = (run.folder / "journal.jsonl").read_text().splitlines(keepends=True)
    (run.folder / "journal.jsonl").write_text("".join(lines[:keep]) + lines[keep][:30])
    page = read_page(write_report(run.folder))
    assert "unfinished" in page.text and "The last line of the journal is incomplete" in page.text
    assert "classes" not in page.sections
    assert ("No network has been trained yet" in page.text) == (keep <= 1)


def test_an_early_end_is_explained(start_run):
    run = start_run()
    run.train(0, 0.8)
    run.judge(run.insert(0, 0, 0), 0)
    widths = {"stem": 16}
    run.event(
        "morphnet", round=0, index=1, alive={"stem": 0}, widths_before=widths, flops_before=1,
        dead="no channel is alive in stem",
    )  # fmt: skip
    reason = "no channel is alive in stem"
    run.event("breakdown", round=0, index=1, reason=reason)
    run.finish(reason)
    page = read_page(write_report(run.folder))
    assert "ended early" in page.text
    assert "The search ended early: no channel is alive in stem." in page.text
    assert "#0" in page.text and "widths" not in page.sections


def test_one_architecture_is_enough(start_run):
    run = start_run()
    run.train(0, 0.8)
    run.finish()
    page = read_page(write_report(run.folder))
    assert {"accuracy", "architectures", "flops", "training", "classes"} <= set(page.sections)
    assert "It is the start network" in page.text


def test_the_page_says_that_no_network_is_within_the_budget(start_run):
    run = start_run(budget=100)
    run.train(0, 0.8)
    assert (
        "No network within the budget has been trained." in read_page(write_report(run.folder)).text
    )


def test_deep_networks_and_many_classes_are_drawn(start_run, tmp_path):
    names = [f"class {i}" for i in range(62)]
    run = start_run(class_names=names, budget=2e9)
    deep = resnet_architecture((96, 96, 3), 62)
    run.add(deep, "morphnet", 1, 0)
    run.train(1, 0.9)
    new = run.insert(1, 2, 1)
    run.train(new, 0.91)
    last = run.judge(new, 1, remove=["s1b0", "i0"])
    run.add(
        deep.with_widths({"s3_proj": 40, "s3b0_conv2": 40, "s3b1_conv2": 40}), "morphnet", 2, last
    )
    run.finish()
    page = read_page(write_report(run.folder))
    assert {"architectures", "classes"} <= set(page.sections)
    assert "512·512" in page.text


def test_large_numbers_are_short():
    assert [si(x) for x in (0, 999, 4_830_000, 999_600, 1e8, 1.5e9, None)] == [
        "0", "999", "4.83 M", "1.00 M", "100 M", "1.50 G", "–"
    ]  # fmt: skip


def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


@pytest.mark.skipif(browser() is None, reason="needs Chromium to open the page")
def test_the_page_fits_a_browser_and_a_phone(search_run, tmp_path):
    long = "/data/a_folder_with_a_long_name/" * 6
    path = write_report(search_run(data_dir=long, start=f"{long}.json").folder)
    # A script in a copy of the page lets the browser itself record what it shows.
    probe = (
        "<script>addEventListener('load', () => { document.body.dataset.seen = "
        "document.title + '|' + [...document.images].map(i => i.complete && i.naturalWidth > 0 "
        "&& i.clientWidth > 500).join() + '|' + (document.body.scrollWidth <= innerWidth); });"
        "</script>"
    )
    copy = tmp_path / "probed.html"
    html = path.read_text(encoding="utf-8")
    assert html.count("</body>") == 1
    copy.write_text(html.replace("</body>", probe + "</body>"), encoding="utf-8")
    for width in (1200, 400):
        done = subprocess.run(
            [
                browser(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}",
                "--enable-logging=stderr", f"--window-size={width},900",
                "--virtual-time-budget=5000", "--dump-dom", copy.as_uri(),
            ],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        seen = re.search(r'data-seen="([^"]*)"', done.stdout)
        assert seen, done.stderr[-2000:]
        title, images, fits = seen[1].split("|")
        assert title == "A network for fashion_mnist: run"
        assert images == ",".join(["true"] * len(FIGURES))
        assert fits == "true", f"something is wider than {width} pixels"
        assert "CONSOLE" not in done.stderr
