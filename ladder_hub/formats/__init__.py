"""Weights in and out of the files of other tools.

Coming in: `container` reads a file without trusting it, `backbones` finds the networks of timm in it by their shapes
(`timm_index`) below any prefix and in the names of others (`names`), `branches` takes one, `layouts` is the table of
projects, `importing` writes the artifact. Going out: a file a target,
`exporting` checks and writes what they make.
"""

from ladder_hub.errors import UserError


class FormatError(UserError):
    """A foreign file that can't be read, recognised or taken whole; a target that can't hold this network."""
