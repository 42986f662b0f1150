"""The report page of a race, made without training: its winner and the comparison."""

import json
from html import unescape

from resbuilder import SearchConfig, cost, resnet_architecture
from resbuilder.architecture import side_by_side
from resbuilder.cli.tables import print_whole, search_table
from resbuilder.race import candidates, race_plan
from resbuilder.report import read_history, summary_rows, write_report
from resbuilder.report.decisions import decisions
from resbuilder.run import Entry
from resbuilder.run.events import (
    EntrantEvent,
    FinishedEvent,
    Scores,
    SelectionEvent,
    TrainingEvent,
    Winner,
)
from resbuilder.surgery import scale_to_budget

FLOPS = 8e6
SPACE = candidates((28, 28, 1), 10, FLOPS)
PLAN = race_plan(42, len(SPACE))
RESNET = scale_to_budget(
    resnet_architecture((28, 28, 1), 10, (16, 32, 64), (3, 3, 3), "small"), int(FLOPS)
)


def entrant(index, label, architecture, origin="candidate"):
    c = cost(architecture)
    return EntrantEvent(
        index=index, round=0, origin=origin, parent=None, inserted=(), removed=(), position=None,
        architecture=architecture, flops=c.flops, parameters=c.parameters,
        activations=c.activations, depth=architecture.depth, label=label,
    )  # fmt: skip


def training(index, variant, first, last, accuracy=None):
    epochs = 0 if variant == "combined" else PLAN.epochs(variant)
    losses = [first + (last - first) * (e + 1) / epochs for e in range(epochs)]
    return TrainingEvent(
        index=index, variant=variant, epochs=epochs, seconds=9.0 * epochs, finite=True,
        history={"val_loss": tuple(losses), "loss": tuple(losses)} if epochs else {},
        validation=Scores(accuracy or 1 - last / 2, last), test=Scores(accuracy, None),
    )  # fmt: skip


def selection(indices, losses, kept, loss, after):
    return SelectionEvent(indices=indices, losses=losses, kept=kept, loss=loss, after=after)


def race(folder, contender=None, finish=True):
    """Write a race to a folder; ``contender`` is the accuracy of a contender, if there is one."""
    folder.mkdir()
    config = SearchConfig(
        dataset="fashion_mnist", method="race", flops=FLOPS, contenders=contender and "resnet-20"
    )
    kept = (1, 2)
    events = [entrant(i, c.label, c.architecture) for i, c in enumerate(SPACE)]
    if contender:
        events.append(entrant(len(SPACE), "resnet-20", RESNET, "contender"))
    losses = (0.9, 0.7, 0.74, 0.8, 0.95, 1.1)
    events += [training(i, "trial", 2.0, loss) for i, loss in enumerate(losses)]
    events.append(selection(tuple(range(6)), losses, kept, 0.65, "trial"))
    if finish:
        events += [training(i, "cooldown", 0.5, 0.3, 0.86) for i in kept]
        if contender:
            events.append(training(6, "whole", 2.0, 0.35, contender))
        events.append(selection(kept, (0.3, 0.3), kept, 0.25, "cooldown"))
        trunks = [SPACE[1], SPACE[2]]
        pair = side_by_side(c.architecture for c in trunks)
        winner = 7 if contender else 6
        events.append(entrant(winner, " ∥ ".join(c.label for c in trunks), pair, "winner"))
        events.append(training(winner, "combined", 0.3, 0.25, 0.88))
        best = Winner(6, "whole", contender, contender) if (contender or 0) > 0.88 else None
        best = best or Winner(winner, "combined", 0.88, 0.88)
        confusion = tuple(tuple(100 * (i == j) for j in range(10)) for i in range(10))
        events.append(
            FinishedEvent(
                reason="all epochs are spent",
                seconds=378.0,
                best=best,
                best_any_size=best,
                confusion=confusion,
                class_names=tuple("0123456789"),
            )  # fmt: skip
        )
    (folder / "config.json").write_text(
        json.dumps({"format": 2, "kind": "search", **config.to_json()})
    )
    entries = (Entry(n, "2026-01-01T12:00:00+00:00", f"k{n}", e) for n, e in enumerate(events))
    lines = (json.dumps(entry.to_json()) + "\n" for entry in entries)
    (folder / "journal.jsonl").write_text("".join(lines))
    return folder


def text_of(folder):
    return unescape(write_report(folder).read_text())


def test_the_winner_is_compared_with_the_best_contender_at_equal_total_cost(tmp_path):
    page = text_of(race(tmp_path / "run", contender=0.80))
    assert "#7 s1p+ 0111 ∥ s2p 111</b>, the best 2, side by side, of a race of 6" in page
    assert "resnet-20, was trained for all 42 epochs" in page and "at equal total cost" in page
    assert "on test data, the race's winner reaches 88.00 % and this contender 80.00 %, a" in page
    assert "a difference of +8.00 points" in page
    assert "start network" not in page and "was trained for comparison" not in page
    assert {f.stem for f in (tmp_path / "run" / "figures").iterdir()} == {
        "race", "architectures", "classes"
    }  # fmt: skip


def test_a_better_contender_is_the_result_and_the_page_says_so(tmp_path):
    page = text_of(race(tmp_path / "run", contender=0.91))
    assert "#6 resnet-20</b>, a contender, because its validation accuracy of 91.00 %" in page
    assert "on test data, the race's winner reaches 88.00 % and this contender 91.00 %, a" in page
    assert "a difference of −3.00 points" in page


def test_without_contenders_the_page_says_that_nothing_was_compared(tmp_path):
    page = text_of(race(tmp_path / "run"))
    assert "No hand-made network was trained for comparison at equal total cost" in page


def test_the_best_contender_so_far_is_not_yet_called_the_best(tmp_path):
    folder = race(tmp_path / "run", contender=0.80)
    journal = folder / "journal.jsonl"
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    other = entries[6] | {"index": 7, "label": "other"}
    entries = [*entries[:7], other, *entries[7:-3]]  # Unfinished; the other one is not trained.
    lines = (json.dumps(e | {"n": n, "key": f"k{n}"}) for n, e in enumerate(entries))
    journal.write_text("".join(f"{line}\n" for line in lines))
    page = text_of(folder)
    assert "on validation data among those trained so far (1 of 2), resnet-20, was trained" in page


def test_a_diverged_contender_has_been_trained_to_its_end(tmp_path):
    folder = race(tmp_path / "run", contender=0.80)
    journal = folder / "journal.jsonl"
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    (whole,) = (entry for entry in entries if entry.get("variant") == "whole")
    none = {"accuracy": None, "loss": None}
    whole |= {"finite": False, "validation": whole["validation"] | none}
    whole |= {"test": whole["test"] | none}
    journal.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    page = text_of(folder)
    assert "No comparison is possible, because the training of every contender diverged." in page
    assert "No contender has been trained to its end" not in page


def test_a_running_race_has_not_failed(tmp_path):
    """A contender is trained before the two best candidates are joined."""
    folder = race(tmp_path / "run", contender=0.80)
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("".join(f"{line}\n" for line in lines[:-4]))
    page = text_of(folder)
    assert "at equal total cost; the race has no final network yet." in page
    assert "its validation accuracy of 80.00 % is the highest so far" in page


def test_names_in_brackets_are_printed_whole(tmp_path, capsys):
    folder = race(tmp_path / "run", contender=0.80)
    journal = folder / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"resnet-20"', '"net[v2][/x]"'))
    print_whole(search_table(folder))
    assert "contender net[v2][/x]" in capsys.readouterr().out


def test_decisions_and_rows_describe_the_race(tmp_path):
    history = read_history(race(tmp_path / "run", contender=0.80))
    (selection,) = [d for d in decisions(history) if d.kind == "Trial"]
    assert selection.text.startswith(
        "Kept by validation loss, which is 0.650 together: #1 s1p+ 0111 (0.700), "
        "#2 s2p 111 (0.740); dropped: #0 s1p 111 (0.900), "
    )
    assert history.epochs_behind(history.best()) == PLAN.trial + PLAN.cooldown
    assert summary_rows(history)[6]["origin"] == "contender resnet-20"
    assert search_table(tmp_path / "run").row_count == 8


def test_an_unfinished_race_has_a_page(tmp_path):
    page = text_of(race(tmp_path / "run", contender=0.80, finish=False))
    assert "unfinished" in page and "The race has no final network yet" in page
