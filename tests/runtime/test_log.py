"""The log as people's tools read it."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ladder_hub.runtime.log import RunLog, read_log


def record(step: int) -> dict:
    return {"step": step, "epoch": 0, "samples": 10 * step, "loss": 1 / step, "losses": {"res5.global": 2.0 / step}}


def test_lines_and_events(tmp_path) -> None:
    log = RunLog(tmp_path)
    for step in (1, 2):
        log.write(record(step))
    log.close()
    assert read_log(tmp_path) == [record(1), record(2)]
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["loss", "losses/res5.global"]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 1.0), (20, 0.5)]


def test_a_resumed_log_goes_on_after_its_checkpoint(tmp_path) -> None:
    log = RunLog(tmp_path)
    for step in (1, 2, 3):
        log.write(record(step))
    log.close()
    with log.path.open("a") as file:
        file.write('{"step": 4, "epo')  # cut by a kill
    again = RunLog(tmp_path, after=2)
    again.write(record(3))
    again.close()
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2, 3]
