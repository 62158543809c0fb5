"""Which of several processes this one is: told by torchrun's variables, else by those of a Slurm step."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ladder_hub.errors import UserError

_LOWEST_PORT, _PORTS = 20_000, 20_000


@dataclass(frozen=True)
class Place:
    """Rank `rank` of `size`, the `local_rank`-th on its machine; `address` is None where the environment has it."""

    rank: int
    size: int
    local_rank: int
    address: str | None = None
    port: int = 0


def find_place(variables: Mapping[str, str]) -> Place | None:
    """This process's place, None where it is alone.

    torchrun sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. srun sets SLURM_STEP_NUM_TASKS and
    SLURM_PROCID; the step's first host is where all meet, unless MASTER_ADDR names another, and the port follows
    from the job's number, unless MASTER_PORT is set. (SLURM_NTASKS is set in a batch script too, which is no step.)

    Raises:
        UserError: a variable is missing or is no number.
    """
    if "WORLD_SIZE" in variables and "RANK" in variables:
        size = _number(variables, "WORLD_SIZE")
        for name in ("MASTER_ADDR", "MASTER_PORT"):
            if size > 1 and name not in variables:
                raise UserError(f"WORLD_SIZE={size} without {name}: start the processes by torchrun or srun")
        return Place(_number(variables, "RANK"), size, _number(variables, "LOCAL_RANK", "RANK")) if size > 1 else None
    size = _number(variables, "SLURM_STEP_NUM_TASKS") if "SLURM_STEP_NUM_TASKS" in variables else 1
    if size == 1:
        return None
    port = _number(variables, "MASTER_PORT") if "MASTER_PORT" in variables else _port(variables)
    address = variables.get("MASTER_ADDR") or first_host(variables.get("SLURM_STEP_NODELIST", ""))
    return Place(_number(variables, "SLURM_PROCID"), size, _number(variables, "SLURM_LOCALID"), address, port)


def first_host(names: str) -> str:
    """The first host of a Slurm list: `gpu[07-09,12],login` is gpu07.

    Raises:
        UserError: there is none.
    """
    found = re.match(r"([^,\[\s]+)(?:\[([^\],-]+)[^\]]*\]([^,\[\s]*))?", names)
    if not found:
        raise UserError(f"SLURM_STEP_NODELIST={names!r} names no host; set MASTER_ADDR to the first task's")
    return "".join(part or "" for part in found.groups())


def _port(variables: Mapping[str, str]) -> int:
    job, step = (_number(variables, name) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    return _LOWEST_PORT + (job * 7 + step) % _PORTS


def _number(variables: Mapping[str, str], *names: str) -> int:
    for name in names:
        if name in variables:
            if not variables[name].isdecimal():
                raise UserError(f"{name}={variables[name]!r} is no number; torchrun or srun set it")
            return int(variables[name])
    raise UserError(f"{names[0]} is not set: start the processes by torchrun or srun")
