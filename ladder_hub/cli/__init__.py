"""The verbs of `ladder-hub`: parse, call, print. Nothing is decided here.

Nothing heavy is imported before a verb needs it: `--help`, `recipes` and `list` answer without torch.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import typer

from ladder_hub.cli import data, models, report, training
from ladder_hub.cli.analyse import analyse
from ladder_hub.cli.evaluate import evaluate
from ladder_hub.cli.ledger import ledger
from ladder_hub.cli.sweep import sweep
from ladder_hub.errors import RunError, UserError

app = typer.Typer(
    name="ladder-hub",
    help="Train, judge and load Ladder Siamese backbones. Settings are key=value, dotted for nested keys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(evaluate, name="eval")
app.add_typer(analyse, name="analyse")
_VERBS: dict[str, Callable[..., Any]] = {
    "recipes": training.recipes,
    "check": data.check,
    "plan": training.plan,
    "train": training.train,
    "sweep": sweep,
    "report": report.report,
    "gallery": report.gallery,
    "list": models.list_,
    "ledger": ledger,
    "info": models.info,
    "import": models.import_,
    "export": models.export,
    "push": models.push,
    "pull": models.pull,
    "verify": models.verify,
    "reproduce": models.reproduce,
}
for _name, _verb in _VERBS.items():
    app.command(_name)(_verb)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console command. Errors are one line on standard error: status 2 the user's, 1 the run's."""
    # Read when torch is first imported: idle OpenMP threads that spin take the cores from the loader's processes,
    # and a step on two cores takes several times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        status = app([word for word in words if word != "--debug"], standalone_mode=False)
    except Exception as error:
        if debug:
            raise
        sys.exit(_report(error))
    except KeyboardInterrupt:
        sys.exit(_report(RunError("stopped"), status=130))
    sys.exit(status if isinstance(status, int) else 0)


def _report(error: Exception, *, status: int | None = None) -> int:
    """One line on standard error; the exit status."""
    if isinstance(error, UserError | RunError):
        message, code = str(error), error.exit_status
    elif isinstance(error, OSError):
        message, code = f"{error.filename or 'the system'}: {error.strerror or error}", 1
    elif hasattr(error, "format_message"):  # typer's own: a missing argument, an unknown option
        message, code = error.format_message(), 2
    else:
        kind = type(error).__name__
        message, code = f"{kind}: {error} (an error of ladder-hub's own; --debug shows where)", 1
    if message:  # typer has printed the help itself where a verb is missing
        print("ladder-hub:", " ".join(message.split()), file=sys.stderr)
    return code if status is None else status
