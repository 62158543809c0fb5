"""What is said while the run works, in a terminal and in a log."""

import io

from rich.console import Console

from ladder_hub.progress import Display, clock, step_line, step_state

RECORD = {
    "epoch": 0,
    "step": 7,
    "loss": 1.5,
    "losses": {"res4.global": 2.0, "res5.global": 1.0},
    "std": {"res4.global": 0.9, "res5.global": 0.25},
    "samples_per_second": 123.4,
}


def test_a_step_is_one_line() -> None:
    line = step_line(RECORD, epochs=10, steps=1000, seconds_left=3723)
    assert line == (
        "epoch   1/10  step    7/1000  loss 1.500  res4.global 2.000  res5.global 1.000  std 0.25   123.4 img/s"
        "  left 1:02:03"
    )
    assert step_state(RECORD) in line


def test_clock() -> None:
    assert [clock(s) for s in (0, 59.6, 125, 3600)] == ["0:00", "1:00", "2:05", "1:00:00"]


def test_a_terminal_sees_the_bar_the_time_left_and_the_figures() -> None:
    screen = io.StringIO()
    with Display(Console(file=screen, force_terminal=True, width=100)) as display:
        task = display.task("train", 10)
        task.describe("epoch 1/2")
        task.advance(5)
        display.show("loss 1.500")
        display.say("skipped [bad].jpg: cut")
    text = screen.getvalue()
    assert "5/10" in text
    assert "left" in text
    assert "loss 1.500" in text
    assert "skipped [bad].jpg: cut" in text


def test_a_long_task_tells_a_log_how_far_it_is(monkeypatch) -> None:
    monkeypatch.setattr("ladder_hub.progress.SECONDS_A_LINE", 0)
    log = io.StringIO()
    with Display(Console(file=log, width=20)) as display:
        display.task("kNN, trained", 10).advance(5)
        display.task("train", 10, lines=False).advance(5)
    assert log.getvalue() == "kNN, trained  5/10  left 0:00\n"


def test_a_log_gets_whole_lines_without_control_characters() -> None:
    log = io.StringIO()
    with Display(Console(file=log, width=20)) as display:
        display.task("train", 10).advance(5)
        display.say("a line that is longer than twenty columns")
    assert log.getvalue() == "a line that is longer than twenty columns\n"
