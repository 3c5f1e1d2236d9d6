"""What the C compiler and the linker print, turned into diagnostics about the user's sources.

Pure: text in, values out; how to read a file is passed in. The tools must have run with
``LC_ALL=C``. gcc, clang, zig, GNU ld, lld and Apple's ld are understood.

Invariant: a failure is never silent. A line that is not recognized joins the excerpt of the
finding before it, and a failed run from which no error could be parsed yields its full output.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from ..errors import Diagnostic, Severity, Stage
from .sourcemap import SourceMap, Spot

Resolve = Callable[[str], str]
Read = Callable[[str], str | None]

_LINE_END = re.compile(r"\r?\n")
_FILE = r"(?P<path>(?:[A-Za-z]:[\\/])?[^\s:<][^:]*)"
_SEVERITY = r"(?P<severity>(?:fatal |internal compiler )?[Ee]rror|[Ww]arning|[Nn]ote|NOTE)"
_LINKER = r"(?P<tool>(?:\S*[/\\-])?(?:collect2|ld(?:64)?(?:\.\w+)?|mold|wild)(?:\.exe)?)"

_POSITION = _FILE + r":(?P<line>\d+):(?:(?P<column>\d+):)?"

_POSITIONED = re.compile(_POSITION + r" " + _SEVERITY + r": (?P<message>.*)")
_LEADING = re.compile(
    r"(?:In file included|\s+)\s*from " + _FILE + r":(?P<line>\d+)(?::(?P<column>\d+))?[,:]$"
)
_INSTANTIATED = re.compile(_POSITION + r"\s+(?P<message>required from here)$")
_UNDEFINED = re.compile(
    r"(?:undefined reference to|undefined symbol:|symbol not found in flat namespace)"
    r"\s*[`'\"‘]?(?P<symbol>.+?)['’\"]?$"
)
_UNDEFINED_ON_MACOS = re.compile(r'\s+"_(?P<symbol>[^"]+)", referenced from:$')
_LINKER_SAYS = re.compile(_LINKER + r": (?:" + _SEVERITY + r": )?(?P<message>.*)")
_TOOL_SAYS = re.compile(r"(?:(?P<tool>[^\s:].*?): )?" + _SEVERITY + r": (?P<message>.*)")

_NOISE = re.compile(
    r"\S.*: (?:In|At) .*:$"
    r"|.*: in function [`'].*':$"
    r"|.*: more undefined references to .* follow$"
    r"|.*:\d+:\d+:\s+(?:recursively )?required (?:from|by) .*"
    r"|compilation terminated\.$"
    r"|(?:\d+ (?:warning|error)s?(?: and )?)+ generated\.$"
    r"|Undefined symbols for architecture .*"
)
_SUMMARY = re.compile(
    r"ld returned \d+ exit status|linker command failed|symbol\(s\) not found for architecture"
    r"|final link failed|(?:all|some) warnings being treated as errors"
    r"|each undeclared identifier is reported only once"
)

_PYTHON_SYMBOL = re.compile(r"_{0,2}Py[A-Z_]")

_HINTS = (
    (r"numpy/\w+\.h\b.*(?:No such file|not found)",
     "NumPy's headers were not found: install NumPy for this interpreter, "
     "or add the folder that numpy.get_include() names to the setting include_dirs"),
    (r"\bPython\.h\b.*(?:No such file|not found)|Python headers needed",
     "Python's own headers are missing: install python3-dev (Debian, Ubuntu), "
     "python3-devel (Fedora) or a Python that comes with them"),
    (r"\bomp\.h\b.*(?:No such file|not found)|(?:-l|librar.*\W)(?:lib)?(?:g?omp|iomp5)\b"
     r"|(?:unsupported|unknown|unrecogni[sz]ed).*-fopenmp",
     "this compiler has no OpenMP: install its runtime (libomp-dev for clang on Debian), "
     "or use gcc"),
    (r"\.(?:h|hh|hpp|hxx|inc)\b.*(?:No such file|not found)",
     "add the header's folder to the setting include_dirs "
     "(a quoted include is also looked for beside the .pyx)"),
    (r"undefined reference to '_{0,2}Py[A-Z_]",
     "Python's own symbols are found when the module is loaded: take -Wl,--no-undefined (or "
     "-z defs) out of LDFLAGS and extra_link_args"),
    (r"undefined reference to '__pyx_",
     "Cython declares it, and has left its code out: it does so with all that comes after a "
     "`raise` at the top level of a module; put that under an `if`"),
    (r"undefined reference to",
     "name the library that defines it in the setting libraries (its folder in library_dirs), "
     "or the C file in sources"),
    (r"cannot find -l|unable to find (?:dynamic system )?library|library (?:'.*' )?not found",
     "install the library's development package, or add its folder to the setting library_dirs"),
    (r"unrecogni[sz]ed command[- ]line option|unknown (?:clang option|argument)|unsupported option",
     "this compiler does not know the option: see extra_compile_args and extra_link_args in the "
     "settings, the `# distutils:` header and the .pyxbld, and CFLAGS and LDFLAGS"),
    (r"[Kk]illed", "the compiler was killed, most often for want of memory: build fewer at once"),
)  # fmt: skip
_HINT_RULES = tuple((re.compile(pattern), hint) for pattern, hint in _HINTS)


@dataclass(slots=True)
class _Finding:
    """What one recognized line of the output says, and the lines that belong to it.

    `leads` marks lines that a compiler prints *before* the error they explain ("included from",
    "required from here").
    """

    message: str
    severity: Severity = "error"
    path: str | None = None
    line: int | None = None
    column: int | None = None
    stage: Stage = "compiler"
    symbol: str | None = None
    leads: bool = False
    lines: list[str] = field(default_factory=list)


def compiler_diagnostics(
    output: str,
    *,
    c_path: str,
    c_text: str,
    resolve: Resolve,
    read: Read,
    failed: bool = True,
) -> list[Diagnostic]:
    """Turn what the C compiler and the linker printed into diagnostics.

    What is said about the generated C file is told about the ``.pyx`` where Cython's markers
    lead there, and with the compiler's own excerpt where they do not.

    Args:
        output: What was printed, standard output and standard error together.
        c_path: The generated C file, as it was given to the compiler.
        c_text: Its text.
        resolve: Makes a file name absolute, as Cython's markers or the compiler print it.
        read: Returns a source's text by absolute path, or None where there is none.
        failed: Whether the run failed: then the result always has an error.

    Returns:
        The diagnostics in the order of the output, each once.
    """
    source_map = SourceMap(c_path, c_text, resolve, read)
    findings = _python_symbols_as_one(_without_summaries(_in_order(_parse(output))))
    diagnostics = [
        diagnostic
        for finding in findings
        if (diagnostic := _diagnostic(finding, source_map, resolve)) is not None
    ]
    if failed and not any(found.severity == "error" for found in diagnostics):
        diagnostics.append(_unparsed(output, source_map))
    return _each_drawn_once(_each_once(diagnostics))


def hint_for(message: str) -> str:
    """Say what to do about a compiler's or linker's message.

    Args:
        message: The message.

    Returns:
        The hint; "" where there is none.
    """
    return next((hint for pattern, hint in _HINT_RULES if pattern.search(message)), "")


def _parse(output: str) -> list[_Finding]:
    findings: list[_Finding] = []
    belonging: list[str] = []
    for line in _LINE_END.split(output):
        finding = _recognize(line)
        if finding is not None:
            findings.append(finding)
            belonging = finding.lines
        elif _NOISE.match(line):
            belonging = []  # the source lines below it are as little wanted
        else:
            belonging.append(line)
    return findings


def _recognize(line: str) -> _Finding | None:
    """Read one line of output; None where it is noise or belongs to the finding before it."""
    for reader in (_leading, _undefined, _positioned, _linker_says, _tool_says):
        if (finding := reader(line)) is not None:
            return finding
    return None


def _leading(line: str) -> _Finding | None:
    if match := _INSTANTIATED.match(line):
        return _at(match, match["message"], "note", leads=True)
    if match := _LEADING.match(line):
        return _at(match, "included from here", "note", leads=True)
    return None


def _positioned(line: str) -> _Finding | None:
    match = _POSITIONED.match(line)
    return _at(match, match["message"], _severity(match["severity"])) if match else None


def _at(match: re.Match[str], message: str, severity: Severity, *, leads: bool = False) -> _Finding:
    return _Finding(
        message,
        severity,
        path=match["path"],
        line=int(match["line"]),
        column=int(match["column"]) if match["column"] else None,
        leads=leads,
    )


def _undefined(line: str) -> _Finding | None:
    match = _UNDEFINED.search(line) or _UNDEFINED_ON_MACOS.match(line)
    if match is None:
        return None
    symbol = match["symbol"]
    return _Finding(f"undefined reference to '{symbol}'", stage="linker", symbol=symbol)


def _linker_says(line: str) -> _Finding | None:
    match = _LINKER_SAYS.match(line)
    if match is None or _NOISE.match(line):
        return None
    says_warning = " warning: " in match["message"]  # "ld: x.c:12: warning: ..."
    severity = _severity(match["severity"] or ("warning" if says_warning else "error"))
    return _Finding(match["message"], severity, stage="linker")


def _tool_says(line: str) -> _Finding | None:
    match = _TOOL_SAYS.match(line)
    return _Finding(match["message"], _severity(match["severity"])) if match else None


def _severity(word: str) -> Severity:
    match word.lower():
        case "warning":
            return "warning"
        case "note":
            return "note"
    return "error"


def _in_order(findings: Iterable[_Finding]) -> Iterator[_Finding]:
    """Put the lines that lead to a finding behind it, as the notes that they are."""
    leading: list[_Finding] = []
    for finding in findings:
        if finding.leads:
            leading.append(finding)
            continue
        yield finding
        yield from leading
        leading.clear()


def _without_summaries(findings: Iterable[_Finding]) -> list[_Finding]:
    """Drop "ld returned 1 exit status" and its like where the reason itself was told."""
    every = list(findings)
    telling = [found for found in every if not _SUMMARY.search(found.message)]
    return telling if any(found.severity == "error" for found in telling) else every


def _python_symbols_as_one(findings: list[_Finding]) -> list[_Finding]:
    """Keep one of the hundred complaints of a linker that was not to leave Python's symbols open.

    They have one cause, and hide a symbol that is really missing.
    """
    symbols = {found.symbol for found in findings if _is_pythons(found)}
    first = next((found for found in findings if _is_pythons(found)), None)
    if first is None:
        return findings
    if len(symbols) > 1:
        first.message += f" and {len(symbols) - 1} more of Python's own symbols"
    return [found for found in findings if found is first or not _is_pythons(found)]


def _is_pythons(finding: _Finding) -> bool:
    return finding.symbol is not None and _PYTHON_SYMBOL.match(finding.symbol) is not None


def _diagnostic(finding: _Finding, source_map: SourceMap, resolve: Resolve) -> Diagnostic | None:
    """Place a finding; None for the steps of an include chain that are not the user's."""
    spot = _spot(finding, source_map)
    if spot is not None:
        return _told(finding, spot)
    if finding.leads:
        return None
    drawn = "\n".join(finding.lines).strip("\n")
    if finding.path is None:
        return _told(finding, Spot(source_map.main_source, None, None, drawn))
    in_c = source_map.is_c_file(finding.path)
    path = source_map.c_path if in_c else resolve(finding.path)
    return _told(finding, Spot(path, finding.line, finding.column, drawn))


def _spot(finding: _Finding, source_map: SourceMap) -> Spot | None:
    if finding.symbol is not None and not _is_pythons(finding):
        return source_map.first_use(finding.symbol)
    if finding.path is None or finding.line is None or not source_map.is_c_file(finding.path):
        return None
    return source_map.spot(finding.line, finding.column, finding.message)


def _told(finding: _Finding, spot: Spot) -> Diagnostic:
    return Diagnostic(
        path=spot.path,
        line=spot.line,
        column=spot.column,
        severity=finding.severity,
        message=finding.message,
        stage=finding.stage,
        excerpt=spot.excerpt,
        hint=hint_for(finding.message) if finding.severity == "error" else "",
    )


def _unparsed(output: str, source_map: SourceMap) -> Diagnostic:
    said = output.strip("\n")
    return Diagnostic(
        path=source_map.main_source,
        line=None,
        column=None,
        severity="error",
        message="the C compiler failed" if said else "the C compiler failed and printed nothing",
        stage="compiler",
        excerpt=said,
        hint=hint_for(said),
    )


def _each_once(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    first: dict[tuple[str, int | None, str], Diagnostic] = {}
    for diagnostic in diagnostics:
        first.setdefault((diagnostic.path, diagnostic.line, diagnostic.message), diagnostic)
    return list(first.values())


def _each_drawn_once(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Leave out a note's excerpt where the finding before it has just shown that line."""
    drawn: list[Diagnostic] = []
    for diagnostic in diagnostics:
        before = drawn[-1] if drawn else None
        again = before is not None and _same_line(before, diagnostic)
        drawn.append(replace(diagnostic, excerpt="") if again else diagnostic)
    return drawn


def _same_line(before: Diagnostic, note: Diagnostic) -> bool:
    there = (before.path, before.line, before.column)
    return note.severity == "note" and there == (note.path, note.line, note.column)
