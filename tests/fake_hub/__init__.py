"""A Hub on the loopback interface that the real huggingface_hub client talks to.

The Hub is `127.0.0.1`, its file store `localhost`: another host *name*, as on the real Hub, so that a token that
follows a redirect is seen (clients before 2.0 tell hosts apart by name alone). Xet, which the real Hub prefers, is not
spoken: clients run with HF_HUB_DISABLE_XET=1.
"""

from fake_hub.clients import Clients
from fake_hub.faults import Fault
from fake_hub.server import FakeHub
from fake_hub.store import Repository

__all__ = ["Clients", "FakeHub", "Fault", "Repository"]
