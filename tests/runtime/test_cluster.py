"""Who a process is, by the variables of torchrun and of Slurm."""

import pytest

from ladder_hub.errors import UserError
from ladder_hub.runtime.cluster import Place, find_place, first_host

SLURM = {"SLURM_NTASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "2"}
STEP = {**SLURM, "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NODELIST": "gpu[07-08]"}
TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, None),
        ({"WORLD_SIZE": "1", "RANK": "0"}, None),
        (TORCHRUN, Place(3, 4, 1)),
        # a batch script and an interactive allocation have SLURM_NTASKS, but are no step
        (SLURM, None),
        (STEP, Place(5, 8, 1, "gpu07", 20_000 + (4711 * 7 + 2) % 20_000)),
        ({**STEP, "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "1234"}, Place(5, 8, 1, "10.0.0.1", 1234)),
        # torchrun inside a step: one srun task a node starts it, and its variables count
        ({**STEP, **TORCHRUN}, Place(3, 4, 1)),
        ({**STEP, "SLURM_STEP_NUM_TASKS": "1"}, None),
    ],
)
def test_places(variables: dict[str, str], place: Place | None) -> None:
    assert find_place(variables) == place


@pytest.mark.parametrize(
    ("names", "host"),
    [
        ("node1", "node1"),
        ("gpu[07-09,12],login", "gpu07"),
        ("a,b,c", "a"),
        ("rack[3]n.example.org,x", "rack3n.example.org"),
        ("n-[1,2]", "n-1"),
    ],
)
def test_the_first_host(names: str, host: str) -> None:
    assert first_host(names) == host


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "WORLD_SIZE=2 without MASTER_ADDR: start the processes by torchrun or srun"),
        ({**TORCHRUN, "RANK": "x"}, "RANK='x' is no number; torchrun or srun set it"),
        ({**STEP, "SLURM_STEP_NODELIST": ""}, "SLURM_STEP_NODELIST='' names no host; set MASTER_ADDR"),
        ({"SLURM_STEP_NUM_TASKS": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "SLURM_PROCID is not set"),
    ],
)
def test_refusals(variables: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_place(variables)
