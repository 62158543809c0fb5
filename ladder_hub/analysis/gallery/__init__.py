"""`gallery`: the zoo as static pages that open from a disk, a stick or any web server."""
