"""What a run found, for a reader, for a program (JSON) and for a CI server (JUnit XML)."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from outboard.conformance.check import Check, Result, Severity, Status
from outboard.conformance.known import Known, remark

OK, FAILURES = 0, 1
EXCHANGE_LINES = 20
_FORBIDDEN = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)), "�")
"""What XML 1.0 cannot carry, not even escaped."""


class Report(NamedTuple):
    """A whole run. peer: the command line or the path; known: deviations of well-known peers."""

    peer: str
    results: tuple[Result, ...]
    known: tuple[Known, ...] = ()

    def failed(self, robustness: bool = True) -> list[Result]:
        """Return the checks that failed, without those of robustness if they do not count."""
        failures = [result for result in self.results if result.status == Status.FAIL]
        return [one for one in failures if robustness or one.check.severity != Severity.ROBUSTNESS]


def exit_code(report: Report, robustness: bool = True) -> int:
    """Return 0 when nothing failed that counts, 1 otherwise."""
    return FAILURES if report.failed(robustness) else OK


def source(check: Check) -> str:
    """Return where the requirement stands."""
    return f"{check.document}, {check.section}"


# For a reader


def terminal(report: Report, *, verbose: bool = False, robustness: bool = True) -> str:
    """Return the report as text: failures by severity and area, skipped checks, counts. verbose: passes as well."""
    lines = [f"{report.peer}: {len(report.results)} check{'s' * (len(report.results) != 1)}", ""]
    for severity in Severity:
        for result in _by_area(report.results, severity, Status.FAIL):
            lines += [*_failure(result, report.known), ""]
    for status in (Status.SKIP, *([Status.PASS] if verbose else [])):
        for severity in Severity:
            for result in _by_area(report.results, severity, status):
                lines += _short(result, verbose)
    counts = Counter(result.status for result in report.results)
    failures = Counter(result.check.severity for result in report.failed())
    words = ", ".join(f"{failures[severity]} {severity}" for severity in Severity if failures[severity])
    lines.append(f"{counts[Status.PASS]} passed, {counts[Status.FAIL]} failed{f' ({words})' if words else ''}, ")
    lines[-1] += f"{counts[Status.SKIP]} skipped, in {sum(result.seconds for result in report.results):.1f} s"
    if not robustness and failures[Severity.ROBUSTNESS]:
        lines[-1] += "; robustness does not count"
    return "\n".join(lines) + "\n"


def _by_area(results: Sequence[Result], severity: Severity, status: Status) -> list[Result]:
    chosen = [result for result in results if (result.check.severity, result.status) == (severity, status)]
    areas = list(dict.fromkeys(result.check.area for result in chosen))
    return sorted(chosen, key=lambda result: areas.index(result.check.area))


def _failure(result: Result, known: Sequence[Known]) -> Iterator[str]:
    check = result.check
    yield f"FAIL {check.severity}  {check.id}"
    yield f"  {check.says} ({source(check)})"
    yield f"  expected  {result.expected}"
    yield f"  got       {result.got}"
    if also := remark(known, check.id):
        yield f"  {also}"
    yield from (f"    {line}" for line in result.exchange[-EXCHANGE_LINES:])


def _short(result: Result, verbose: bool) -> Iterator[str]:
    check = result.check
    because = f": {result.got}" if result.got else ""
    yield f"{result.status}  {check.severity}  {check.id}{because}"
    if verbose:
        yield from (f"    {line}" for line in result.exchange[-EXCHANGE_LINES:])


def listing(checks: Sequence[Check]) -> str:
    """Return the table of checks, a line each."""
    width = max(len(check.id) for check in checks)
    return "".join(f"{one.id:{width}}  {one.severity:10}  {one.says} ({source(one)})\n" for one in checks)


# For a program


def to_json(report: Report) -> str:
    """Return the report as one JSON object."""
    return json.dumps({"peer": report.peer, "checks": [_row(one, report.known) for one in report.results]}, indent=2)


def _row(result: Result, known: Sequence[Known]) -> dict[str, object]:
    check = result.check
    return {
        "id": check.id,
        "document": check.document,
        "section": check.section,
        "severity": check.severity,
        "says": check.says,
        "status": result.status,
        "expected": result.expected,
        "got": result.got,
        "known": [row.peer for row in known if row.check == check.id],
        "exchange": list(result.exchange),
        "seconds": round(result.seconds, 3),
    }


# For a CI server


def to_junit(report: Report, robustness: bool = True) -> str:
    """Return the report as JUnit XML: one suite, a test case each check."""
    counts = Counter(result.status for result in report.results)
    counted = report.failed(robustness)
    suite = ElementTree.Element(
        "testsuite",
        name=_clean(f"outboard check: {report.peer}"),
        tests=str(len(report.results)),
        failures=str(len(counted)),
        errors="0",
        skipped=str(counts[Status.SKIP] + counts[Status.FAIL] - len(counted)),
        time=f"{sum(result.seconds for result in report.results):.3f}",
    )
    for result in report.results:
        _case(suite, result, result in counted, report.known)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ElementTree.Element, result: Result, counts: bool, known: Sequence[Known]) -> None:
    check = result.check
    case = ElementTree.SubElement(
        suite, "testcase", classname=f"{check.severity}.{check.area}", name=check.id, time=f"{result.seconds:.3f}"
    )
    message = _clean(f"expected {result.expected}, got {result.got}")
    if result.status == Status.SKIP:
        ElementTree.SubElement(case, "skipped", message=_clean(result.got))
    elif result.status == Status.FAIL and not counts:
        ElementTree.SubElement(case, "skipped", message=f"robustness does not count: {message}")
    elif result.status == Status.FAIL:
        failure = ElementTree.SubElement(case, "failure", message=message, type=str(check.severity))
        failure.text = _clean("\n".join(_failure(result, known)))


def _clean(text: str) -> str:
    return text.translate(_FORBIDDEN)
