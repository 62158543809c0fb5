"""The folder that a run publishes: written whole or not at all, loadable with timm alone."""
