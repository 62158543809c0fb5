"""The paper's tables as grids of runs: trained, measured, and told beside the paper's figures."""
