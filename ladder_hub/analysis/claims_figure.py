"""The picture of `analyse claims`: a line a figure, its difference with the interval, the paper's beside it."""

import math

from matplotlib.figure import Figure

from ladder_hub.analysis.claims_result import ClaimsAnalysis, Finding
from ladder_hub.plotting import new_figure

_LOOKS = {"held": ("#009E73", "o"), "did not hold": ("#D55E00", "X"), "can't tell": ("#777777", "o")}


def draw_claims(analysis: ClaimsAnalysis) -> Figure:
    """Right of zero: as the paper claims. Marks and colours tell the verdict, diamonds are the paper's differences."""
    findings = analysis.findings
    figure = new_figure(9.5, 1.4 + 0.3 * max(1, len(findings)))
    panel = figure.add_subplot()
    for place, finding in enumerate(findings):
        colour, mark = _LOOKS[finding.verdict]
        filled = "none" if finding.verdict == "can't tell" else colour
        panel.errorbar(
            finding.value, place, xerr=finding.half, fmt=mark, color=colour, markerfacecolor=filled, capsize=3
        )
        if finding.paper is not None:
            panel.plot(finding.paper, place, "D", color="black", markerfacecolor="none", markersize=5)
    for verdict in dict.fromkeys(finding.verdict for finding in findings):
        colour, mark = _LOOKS[verdict]
        filled = "none" if verdict == "can't tell" else colour
        panel.plot([], [], mark, color=colour, markerfacecolor=filled, label=verdict)
    if any(finding.paper is not None for finding in findings):
        panel.plot([], [], "D", color="black", markerfacecolor="none", label="the paper's difference, at its scale")
    panel.axvline(0, color="black", linewidth=0.8)
    labels = [_label(finding, "" if analysis.of_one_length else finding.after) for finding in findings]
    panel.set_yticks(range(len(findings)), labels, fontsize=8)
    panel.set_ylim(max(1, len(findings)) - 0.4, -0.6)
    reach = max((_reach(finding) for finding in findings), default=1.0)
    panel.set_xlim(-1.08 * reach, 1.08 * reach)
    panel.set_xlabel("difference in percentage points, 95 % interval; right of zero is as claimed", fontsize=8)
    panel.tick_params(axis="x", labelsize=8)
    panel.grid(axis="x", alpha=0.3)
    if findings:
        figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure


def _label(finding: Finding, after: str) -> str:
    kind = finding.protocol.partition(":")[0]
    return f"{finding.says}: {kind} {finding.stage} {finding.metric}{after} (n = {finding.n:,})"


def _reach(finding: Finding) -> float:
    drawn = [abs(finding.value) + (finding.half or 0.0), abs(finding.paper or 0.0)]
    return max(drawn) or math.ulp(1.0)
