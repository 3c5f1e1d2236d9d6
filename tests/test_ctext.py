"""Finding things in generated C: fast, and the same as a pattern finds that is tried everywhere."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from cyhot.building import seldom
from cyhot.building.ctext import SECTION, at_lines, at_words

_LINES = st.lists(
    st.sampled_from([
        "static int one_import(void) {",
        "struct a {",
        "  struct b *c;",
        "};",
        "}",
        "static struct a one = two = 3;",
        " two = 1; two = 2;",
        "call(&one, two, three);call(&one, two, four);",
        "xcall(&one, two, five);",
        "",
    ]),
    max_size=12,
).map("\n".join)  # fmt: skip


@given(_LINES)
def test_lines_are_found_that_a_pattern_finds_everywhere(text: str) -> None:
    for pattern, start, within in (
        (r"^struct (\w+) \{\n(.*?)^\};", "struct ", ""),
        (r"^static int (\w+)\([^;{]*\) \{", "static int ", ""),
        (r"^static int (\w+)_import\([^;{]*\) \{\n(.*?)^\}", "", "_import("),
        (r"^ *two = (\d)", "", " two = "),
        (r"^static struct (\w+)(?: = [^;]+)?;$", "", "one"),
    ):
        whole = re.compile(pattern, re.M | re.S)
        found = [m.span() for m in at_lines(whole, text, start, within=within)]
        assert found == [m.span() for m in whole.finditer(text)]


@given(_LINES)
def test_words_are_found_that_a_pattern_finds_everywhere(text: str) -> None:
    whole = re.compile(r"\bcall\(&(\w+), (\w+),")
    found = [m.span() for m in at_words(whole, text, "call(&")]
    assert found == [m.span() for m in whole.finditer(text)]


C = f"""\
static int __Pyx_init_early(void) {{ }}
static int __Pyx_InitConstants(int x);
{SECTION}
static int __Pyx_InitConstants(int x); /*proto*/
static int __Pyx_InitConstants(int x) {{
  return __pyx_f_1m_f(x);
}}
static CYTHON_SMALL_CODE int __Pyx_InitGlobals(void) {{
}}
static void __Pyx_AddTraceback(const char *name,
                               int line) {{
}}
static int __pyx_f_1m_f(int __Pyx_InitConstants) {{
}}
static CYTHON_INLINE int __Pyx_init_inline(void) {{
}}
"""


def test_what_runs_seldom_is_marked_and_nothing_else() -> None:
    marked = seldom.mark(C)
    mark = "static CYHOT_SELDOM "
    assert [line for line in marked.splitlines() if line.startswith(mark)] == [
        "static CYHOT_SELDOM int __Pyx_InitConstants(int x) {",
        "static CYHOT_SELDOM void __Pyx_AddTraceback(const char *name,",
    ]
    head, _, rest = marked.partition("#if defined(__GNUC__)")
    plain = head + rest.partition("#endif\n")[2].replace("CYHOT_SELDOM ", "")
    assert plain == C


def test_c_without_the_known_sections_is_not_marked() -> None:
    assert seldom.mark(C.replace(SECTION, "")) == C.replace(SECTION, "")
