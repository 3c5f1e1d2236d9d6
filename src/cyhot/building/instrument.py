"""What live swapping needs in the generated C: text in, text and what it tells out. Pure.

The C is Cython's own, with three additions. Import calls go through a hook, so that a new body that
runs beside the old one can import the new versions of other modules. Method tables of cdef classes
get spare room, so that methods can be appended. At the end stand tables of what the module is made
of: the addresses of functions, types, C variables and imported pointers, and, as text, the facts by
which two versions of a module are compared. Nothing of it runs until a live session asks for it.

Each pattern counts its hits against another count of the same things. Where they differ, this is
not the C that is understood here: the facts then carry the reason, and the module is not swapped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .ctext import SECTION, at_lines, at_words
from .declarations import layouts, verbatim

VERSION = 3
"""Of the tables' layout: `live` reads none but its own."""
MARK = "cyhot facts:"
"""What the facts start with in an image."""
FOREIGN = "foreign{"
"""In a layout's text, before the types that only headers know; see `Facts.with_headers`."""
HEADERS = "headers"
"""The file beside an image with the digest of what the headers say of such types."""
SPARE = 48
"""So many methods can be appended to a cdef class while the program runs."""

_BODIES = "/* #### Code section: module_declarations ### */"
_HELPERS = "/* #### Code section: utility_code_def ### */"
_IMPORTS = ("PyImport_ImportModule", "PyImport_GetModule")
_STATE = r"__pyx_mstate(?:_global)?->"
_NAME = r"__pyx_mstate_global->(\w+)"

_STRUCT = re.compile(r"^struct (\w+) \{\n(.*?)^\};", re.S | re.M)
_STRUCT_TYPEDEF = re.compile(r"^typedef struct \{\n(.*?)^\} (\w+);", re.S | re.M)
_TYPEDEF = re.compile(r"^typedef (.+?)\b(__pyx_\w+);", re.M)
_READY = re.compile(rf"__Pyx_PyType_Ready\({_STATE}(\w+)\) < ")
_PTYPE = re.compile(rf"^ *{_STATE}__pyx_ptype_(\w+) = &__pyx_type_\1;", re.M)
_VTABLE = re.compile(r"^static struct (__pyx_vtabstruct_\w+) (__pyx_vtable_\w+);$", re.M)
_MAKERS = ("__Pyx_CyFunction_New(&", "__pyx_FusedFunction_New(&")
_MADE = re.compile(rf"\w+\(&(\w+), ([^,]+), {_NAME}, ([^,]+),")
_BUILTIN_MAKER = "PyCFunction_NewEx(&"
_BUILTIN = re.compile(r"\bPyCFunction_NewEx\(&(\w*__pyx_mdef_\w+), ([^,]+),")
_BUILTIN_ALL = re.compile(r"\bPyCFunction_NewEx\(&")
_COUNTER = re.compile(r"_\d+(?=[A-Za-z_])")
_DEFINED = re.compile(r"^static PyMethodDef (\w+) = \{\"", re.M)
_VARIABLE = re.compile(
    r"^static ([^\n;=(]*?[ *>])(__pyx_v_\w+)((?:\[[^\]]*\])*)(?: = [^;]+)?;$", re.M
)
_CLOSURE = re.compile(r"\(struct (\w+) \*\) ?__Pyx_CyFunction_GetClosure\(__pyx_self\)")
_BUILTIN_CLOSURE = re.compile(r"_scope = \(struct (\w+) \*\) ?__pyx_self;")
_DEFAULTS = re.compile(r"__Pyx_CyFunction_Defaults\(struct (\w+), __pyx_self\)")
_BINDERS = ("PyDict_SetItem(__pyx_mstate_global->__pyx_d, ", "PyObject_SetAttr(__pyx_m, ")
_BOUND = re.compile(
    rf"PyDict_SetItem\(__pyx_mstate_global->__pyx_d, {_NAME},|PyObject_SetAttr\(__pyx_m, {_NAME},"
)
_BOUND_LISTS = re.compile(r"__pyx_imported_names\[\] = \{([^}]*)\}")
_CLASS_BINDERS = ("__Pyx_SetNameInClass(", "__Pyx_SetItemOnTypeDict(")
_CLASS_BOUND = re.compile(
    rf"__Pyx_SetNameInClass\(\w+, {_NAME},|__Pyx_SetItemOnTypeDict\({_NAME}, {_NAME},"
)
_IMPORTING = re.compile(
    r"^static (?:CYTHON_SMALL_CODE )?int __Pyx_modinit_(?:variable|function)_import_code"
    r"\([^;{]*\) \{\n(.*?)^\}",
    re.S | re.M | re.I,
)
_IMPORTED = re.compile(r"PyImport_ImportModule\(\"([\w.]+)\"\)|&(\w*__pyx_(?:f|vp)_\w+)")
_C_IMPORT = re.compile(r"= PyImport_ImportModule\(\"([\w.]+)\"\)")
_WORD = re.compile(r"\b(__pyx_\w+)\b")
_NUMBERED = re.compile(r"(__pyx_scope_struct_)\d+_|(__pyx_defaults)\d+")


@dataclass
class Facts:
    """What two versions of a module are compared by; kept in the image as JSON.

    Attributes:
        name: The module's full name.
        cython: Cython's version.
        refusal: Why the module cannot be swapped, ``""`` if it can.
        functions: For each Python function: whether it is made anew each time that the one around
            it is called, and the text of what it captures and of its computed defaults.
        builtins: The same of each function that Cython made without binding, with its name.
        types: For each cdef class: its name, the text of its instances' layout, the entries of its
            method table.
        variables: For each C variable: its name and the text of its type.
        pointers: For each pointer to another module's function or variable: that module, and the
            name there.
        cimports: The modules that its C imports from.
        guards: Names that the source itself keeps over a reload.
    """

    name: str
    cython: str = ""
    refusal: str = ""
    functions: list[dict[str, Any]] = field(default_factory=list)
    builtins: list[dict[str, Any]] = field(default_factory=list)
    types: list[dict[str, Any]] = field(default_factory=list)
    variables: list[dict[str, Any]] = field(default_factory=list)
    pointers: list[dict[str, str]] = field(default_factory=list)
    cimports: list[str] = field(default_factory=list)
    guards: list[str] = field(default_factory=list)

    def dump(self) -> str:
        """As one line of ASCII."""
        return json.dumps([VERSION, vars(self)], separators=(",", ":"))

    def with_headers(self, digest: str) -> Facts:
        """The same, with what headers say of the types that the C only names.

        Args:
            digest: `declarations.layouts` of the headers.
        """
        text = self.dump().replace(FOREIGN, f"{FOREIGN}{digest}: ")
        return self.parse(text)

    @classmethod
    def parse(cls, text: str) -> Facts:
        """Read what `dump` gave.

        Raises:
            ValueError: If it is another version's.
        """
        version, values = json.loads(text)
        if version != VERSION:
            raise ValueError("it was built by another version of cyhot")
        return cls(**values)


def facts_of(image: bytes) -> Facts | None:
    """The facts in an image, None if it was built without.

    Raises:
        ValueError: If they are another version's.
    """
    start = image.find(MARK.encode() + b"[")
    if start < 0:
        return None
    start += len(MARK)
    return Facts.parse(image[start : image.index(b"\0", start)].decode("ascii"))


def instrument(text: str, name: str, sources: Iterable[str] = ()) -> str:
    """Add to a module's generated C what live swapping needs.

    Args:
        text: The C, as Cython wrote it.
        name: The module's full name.
        sources: The texts that the module's body was written in.

    Returns:
        The C with the additions.
    """
    module = _Module(text, name, tuple(sources))
    return module.written()


class _Module:
    """One module's generated C, read once."""

    def __init__(self, text: str, name: str, sources: tuple[str, ...]) -> None:
        self.text = text
        self.facts = Facts(name, cython=_cython(text))
        self.facts.guards = sorted({guard for source in sources for guard in guards(source)})
        self._sources = sources
        self._verbatim = layouts([text for source in sources for text in verbatim(source)])
        structs = at_lines(_STRUCT, text, "struct ")
        self._structs = {m[1]: _one_line(m[2]) for m in structs}
        structs = at_lines(_STRUCT_TYPEDEF, text, "typedef struct {")
        self._structs |= {m[2]: _one_line(m[1]) for m in structs}
        self._typedefs = {m[2]: m[1].strip() for m in at_lines(_TYPEDEF, text, "typedef ")}
        self._method_tables = [*at_lines(_VTABLE, text, "static struct __pyx_vtabstruct_")]
        self._tables: list[str] = []
        self._problems: list[str] = []

    def written(self) -> str:
        if any(self.text.count(section) != 1 for section in (SECTION, _BODIES, _HELPERS)):
            self._problems.append("its C has not the sections that cyhot knows")
        self._functions()
        self._types()
        self._variables()
        self._pointers()
        self._names("cyhot_bound", self._bound())
        found = at_words(_CLASS_BOUND, self.text, *_CLASS_BINDERS)
        self._names("cyhot_class_bound", _groups(found, last=True))
        if self._problems:
            unknown = f"Cython {self.facts.cython} generated C that cyhot does not know"
            self.facts.refusal = f"{unknown}: {'; '.join(self._problems)}"
            return f"{self.text}\n{_FACTS_ALONE % (MARK, _c_string(self.facts.dump()))}"
        fused = "1" if "} __pyx_FusedFunctionObject;" in self.text else "0"
        facts = _c_string(self.facts.dump())
        epilogue = _EPILOGUE % ("".join(self._tables), MARK, facts, VERSION, fused)
        return "".join([*self._pieces(), epilogue])

    def _pieces(self) -> Iterator[str]:
        """The text with the hooks at its sections, and spacious method tables."""
        hooks = [
            (self.text.index(SECTION), _PRELUDE),
            (self.text.index(_BODIES) + len(_BODIES), _IMPORT_STATEMENTS),
            (self.text.index(_HELPERS), _IMPORT_STATEMENTS_END),
        ]
        changes = [(at, at, hook) for at, hook in hooks]
        changes += [(m.start(), m.end(), _spacious(m)) for m in self._method_tables]
        done = 0
        for start, end, new in sorted(changes):
            yield self.text[done:start]
            yield new
            done = end
        yield self.text[done:]

    def _row_table(self, kind: str, name: str, rows: Iterable[str]) -> None:
        lines = "".join(f"  {{{row}}},\n" for row in rows)
        self._tables.append(f"static struct {kind} {name}[] = {{\n{lines}  {{0}}\n}};\n")

    def _names(self, name: str, fields: Iterable[str]) -> None:
        lines = "".join(f"  &__pyx_mstate_global_static.{one},\n" for one in sorted(set(fields)))
        self._tables.append(f"static PyObject **{name}[] = {{\n{lines}  0\n}};\n")

    def _functions(self) -> None:
        definitions = at_lines(_DEFINED, self.text, "static PyMethodDef ")
        places = [(m.start(), m[1]) for m in definitions]
        ends = [start for start, _ in places] + [len(self.text)]
        ranges = {name: (at, end) for (at, name), end in zip(places, ends[1:], strict=True)}
        made = sorted(at_words(_MADE, self.text, *_MAKERS), key=lambda one: one.start())
        if len(made) != sum(map(self.text.count, _MAKERS)):
            self._problems.append("functions are created in another way")
        rows = []
        for found in made:
            definition, qualified, closure = found[1], found[3], found[4]
            if definition not in ranges:
                self._problems.append(f"{definition} is defined in another way")
                continue
            start, end = ranges[definition]
            self.facts.functions.append({
                "closure": closure.strip() != "NULL",
                "captured": self._within(_CLOSURE, "__Pyx_CyFunction_GetClosure(", start, end),
                "defaults": self._within(_DEFAULTS, "__Pyx_CyFunction_Defaults(", start, end),
            })  # fmt: skip
            rows.append(f"&{definition}, &__pyx_mstate_global_static.{qualified}")
        self._row_table("__cyhot_function", "cyhot_functions", rows)
        self._builtins(ranges)

    def _builtins(self, ranges: dict[str, tuple[int, int]]) -> None:
        rows = []
        made = [*at_words(_BUILTIN, self.text, _BUILTIN_MAKER)]
        if len(made) != len([*at_words(_BUILTIN_ALL, self.text, _BUILTIN_MAKER)]):
            self._problems.append("functions without binding are created in another way")
        for definition, closure in (found.groups() for found in made):
            if definition not in ranges:
                self._problems.append(f"{definition} is defined in another way")
                continue
            self.facts.builtins.append({
                "name": _COUNTER.sub("_", definition),
                "closure": closure.strip() != "NULL",
                "captured": self._within(_BUILTIN_CLOSURE, "_scope = (", *ranges[definition]),
                "defaults": "",
            })  # fmt: skip
            rows.append(f"&{definition}")
        self._row_table("__cyhot_builtin", "cyhot_builtins", rows)

    def _within(self, pattern: re.Pattern[str], word: str, start: int, end: int) -> str:
        """The layout of the struct that a pattern names; a word that all its hits have is given."""
        is_there = self.text.find(word, start, end) >= 0
        found = pattern.search(self.text, start, end) if is_there else None
        return _NUMBERED.sub(r"\1\2", self._layout(found[1])) if found else ""

    def _layout(self, root: str) -> str:
        """The text of a struct and of all that it mentions, method tables excepted."""
        seen: set[str] = set()
        todo, told = [root], []
        foreign: set[str] = set()
        while todo:
            name = todo.pop(0)
            body = self._structs.get(name) or self._typedefs.get(name)
            if name in seen or body is None:
                continue
            seen.add(name)
            told.append(f"{name}{{{body}}}")
            words = _WORD.findall(body)
            todo += [word for word in words if not word.startswith("__pyx_vtabstruct_")]
            if not name.startswith("__pyx_vtabstruct_"):
                foreign |= {one for field in body.split(";") for one in _foreign(field)}
        return " ".join([*told, *self._told_foreign(foreign)])

    def _told_foreign(self, names: set[str]) -> list[str]:
        return [f"{FOREIGN}{self._verbatim}: {', '.join(sorted(names))}}}"] if names else []

    def _types(self) -> None:
        kept = (m[1] for m in at_lines(_PTYPE, self.text, within=" = &__pyx_type_"))
        user = [c for c in kept if f"__pyx_obj_{c}" in self._structs]
        user = [c for c in user if "__pyx_scope_struct_" not in c and "__pyx_defaults" not in c]
        tables = {m[2] for m in self._method_tables}
        made = at_words(_READY, self.text, "__Pyx_PyType_Ready(")
        ready = [m[1].removeprefix("__pyx_ptype_") for m in made]
        if unknown := [name for name in ready if name not in user and not _is_cythons(name)]:
            self._problems.append(f"classes are made in another way: {', '.join(unknown)}")
        rows = []
        for name in user:
            table = f"__pyx_vtable_{name}"
            has_table = table in tables
            self.facts.types.append({
                "name": name.removeprefix(_mangled(self.facts.name)),
                "layout": self._layout(f"__pyx_obj_{name}") + self._declared_fields(name),
                "table": self._entries(f"__pyx_vtabstruct_{name}") if has_table else [],
            })  # fmt: skip
            rows.append(
                f"&__pyx_type_{name}, &__pyx_mstate_global_static.__pyx_ptype_{name}, "
                + (
                    f"(void **)&__pyx_vtabptr_{name}, (void **)&{table}, "
                    f"sizeof(struct __pyx_vtabstruct_{name}) / sizeof(void *), "
                    f"offsetof(struct __pyx_obj_{name}, {self._path_to_table(name)})"
                    if has_table
                    else "0, 0, 0, 0"
                )
            )
        self._row_table("__cyhot_type", "cyhot_types", rows)

    def _declared_fields(self, name: str) -> str:
        """What the source says of a class's fields: to C a list and a dict are both objects."""
        cls = name.removeprefix(_mangled(self.facts.name))
        found: dict[str, str] = {}
        for source in self._sources:
            found |= fields(source, cls)
        told = (f"{kind} {field};" for field, kind in found.items())
        return f" declared{{{' '.join(told)}}}" if found else ""

    def _path_to_table(self, name: str) -> str:
        """Where in an instance the pointer to the method table is, as C says it."""
        path, struct = [], f"__pyx_obj_{name}"
        while "__pyx_vtab;" not in self._structs.get(struct, "__pyx_vtab;"):
            base = re.match(r"struct (\w+) __pyx_base;", self._structs[struct])
            path.append("__pyx_base")
            struct = base[1] if base else ""
        return ".".join([*path, "__pyx_vtab"])

    def _entries(self, struct: str) -> list[str]:
        """The entries of a method table, those of the base class first."""
        found: list[str] = []
        for declared in filter(None, map(str.strip, self._structs.get(struct, "").split(";"))):
            base = re.fullmatch(r"struct (__pyx_vtabstruct_\w+) __pyx_base", declared)
            found += self._entries(base[1]) if base else [declared]
        return found

    def _variables(self) -> None:
        prefix = "__pyx_v_" + _mangled(self.facts.name)
        found = (m.groups() for m in at_lines(_VARIABLE, self.text, within=prefix))
        rows = []
        for kind, whole, size in (one for one in found if one[1].startswith(prefix)):
            name = whole.removeprefix(prefix)
            words = " ".join(map(self._layout, _WORD.findall(kind)))
            # C knows neither what an object must be nor what a memoryview is of.
            said = next(filter(None, (declared(source, name) for source in self._sources)), "")
            foreign = " ".join(self._told_foreign(_foreign(f"{kind} x")))
            text = f"{said} {kind.strip()}{size} {words} {foreign}".strip()
            holds = "object" if kind.strip() == "PyObject *" or "__pyx_obj_" in kind else "plain"
            if "__Pyx_memviewslice" in kind:
                holds = "slice"
            elif "::" in kind or "<" in kind:
                holds = "c++"
            holds = holds if said or holds == "plain" else "unknown"
            self.facts.variables.append({"name": name, "type": text, "holds": holds})
            rows.append(f"(void *)&{prefix}{name}, sizeof({prefix}{name})")
        self._row_table("__cyhot_variable", "cyhot_variables", rows)

    def _pointers(self) -> None:
        rows = []
        for function in at_lines(_IMPORTING, self.text, within="_import_code("):
            module = ""
            for importing, symbol in _IMPORTED.findall(function[1]):
                if importing:
                    module = importing
                    continue
                self.facts.pointers.append({"module": module, "name": _exported(symbol, module)})
                rows.append(f"(void **)&{symbol}")
        self._row_table("__cyhot_pointer", "cyhot_pointers", rows)
        imports = at_words(_C_IMPORT, self.text, "= PyImport_ImportModule(")
        self.facts.cimports = sorted({found[1] for found in imports})

    def _bound(self) -> Iterator[str]:
        yield from _groups(at_words(_BOUND, self.text, *_BINDERS))
        for names in at_words(_BOUND_LISTS, self.text, "__pyx_imported_names[] = {"):
            yield from re.findall(_NAME, names[1])


def _foreign(field: str) -> set[str]:
    """The types in a field's declaration that only a header can know."""
    if "(" in field:  # a function pointer: one is as large as another
        return set()
    words = re.findall(r"[A-Za-z_]\w*", re.sub(r"\[[^\]]*\]|\bstd::\w+", "", field))
    return {word for word in words[:-1] if word not in _C_WORDS and not _KNOWN.match(word)}


_KNOWN = re.compile(
    r"__pyx_|__Pyx_|Py[A-Z]|CYTHON_|npy_|"
    r"(?:u?int(?:_fast|_least)?\d+|u?intptr|u?intmax|ssize|ptrdiff)_t$"
)
_C_WORDS = frozenset({
    "void", "char", "short", "int", "long", "float", "double", "signed", "unsigned", "_Bool",
    "bool", "const", "volatile", "struct", "union", "enum", "size_t", "std", "complex", "_Complex",
})  # fmt: skip


def _groups(matches: Iterable[re.Match[str]], *, last: bool = False) -> Iterator[str]:
    for found in matches:
        named = [group for group in found.groups() if group]
        yield named[-1 if last else 0]


def _is_cythons(name: str) -> bool:
    """Whether a type is one of those that Cython makes for its own use."""
    return name.startswith("__pyx_") or "__pyx_scope_struct_" in name or "__pyx_defaults" in name


def _exported(symbol: str, module: str) -> str:
    """The name under which a module exports what an importer's C calls ``symbol``."""
    fused, _, rest = symbol.rpartition("__pyx_")
    rest = rest.partition("_")[2]
    return fused + rest.removeprefix(_mangled(module))


def _mangled(name: str) -> str:
    return "".join(f"{len(part)}{part}_" for part in name.split("."))


_GENERATED = re.compile(r"/\* Generated by Cython (\S+) \*/")


def _cython(text: str) -> str:
    found = _GENERATED.match(text)
    return found[1] if found else "?"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _spacious(found: re.Match[str]) -> str:
    struct, table = found.groups()
    return (
        f"static struct {{struct {struct} table; void *spare[{SPARE}];}} __cyhot{table};\n"
        f"#define {table} __cyhot{table}.table"
    )


_PIECE = re.compile(r"(?:\\.|[^\\]){1,500}", re.S)


def _c_string(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("?", '?""')
    pieces = _PIECE.findall(quoted)
    return "\n".join(f'  "{piece}"' for piece in pieces)


_GUARD_FORMS = (
    # try: NAME  /  except NameError:
    re.compile(
        r"^try:[ \t]*(?:\#.*)?\n?[ \t]*(\w+)[ \t]*(?:\#.*)?\n(?:[ \t]*(?:\#.*)?\n)*"
        r"except[ \t]+\(?[ \t]*NameError",
        re.M,
    ),
    re.compile(r"""["'](\w+)["'][ \t]+(?:not[ \t]+)?in[ \t]+globals\(\)"""),
    re.compile(r"""globals\(\)[ \t]*\.[ \t]*(?:get|setdefault|pop)\([ \t]*["'](\w+)["']"""),
)


def guards(source: str) -> list[str]:
    """The names that a source asks for before it binds them, to keep what a reload finds.

    Args:
        source: The text of a ``.pyx`` or ``.pxi``.

    Returns:
        The names in ``try: NAME`` / ``except NameError``, ``"NAME" in globals()`` and
        ``globals().get("NAME", ...)``.
    """
    return [name for form in _GUARD_FORMS for name in form.findall(source)]


def fields(source: str, cls: str) -> dict[str, str]:
    """The declared types of a cdef class's fields, where C does not tell them apart.

    Args:
        source: The text of a ``.pyx``, ``.pxd`` or ``.pxi``.
        cls: The class.

    Returns:
        The type of each field that is a Python object or a memoryview, as it is written.
    """
    found: dict[str, str] = {}
    for head in (one for one in _CLASS.finditer(source) if one[2] == cls):
        body = re.match(rf"(?:[ \t]*(?:\#.*)?\n|{head[1]}[ \t]+.*\n?)*", source[head.end() :])
        inside = -1
        for line in (body[0] if body else "").splitlines():
            indent = len(line) - len(line.lstrip())
            if re.match(r"[ \t]*cdef[ \t]*:", line):
                inside = indent
            elif line.strip() and indent <= inside:
                inside = -1
            given = _FIELD.match(line) if inside < 0 else _BLOCK_FIELD.match(line)
            if given and given[1] not in _PLAIN_C:
                names = (one.strip() for one in given[2].split(","))
                found |= dict.fromkeys(filter(str.isidentifier, names), given[1])
    return found


_CLASS = re.compile(r"^([ \t]*)cdef[ \t]+class[ \t]+(\w+).*\n", re.M)
_FIELD_TEXT = (
    r"(?:(?:public|readonly)[ \t]+)?([\w.]+(?:[ \t]*\[[^\]\n]*\])?)"
    r"[ \t]+([\w, \t]+?)[ \t]*(?:\#.*)?$"
)
_FIELD = re.compile(r"[ \t]*cdef[ \t]+" + _FIELD_TEXT)
_BLOCK_FIELD = re.compile(r"[ \t]+" + _FIELD_TEXT)
_PLAIN_C = frozenset({
    "int", "long", "short", "char", "float", "double", "unsigned", "signed", "bint", "Py_ssize_t",
    "size_t", "class", "struct", "enum",
})  # fmt: skip


def declared(source: str, name: str) -> str:
    """The type that a source declares a C variable with, ``""`` if that cannot be told.

    Args:
        source: The text of a ``.pyx``, ``.pxd`` or ``.pxi``.
        name: The variable.
    """
    line = re.compile(
        rf"^(?:cdef[ \t]+|[ \t]+)(?:(?:public|readonly|api)[ \t]+)*"
        rf"([\w.]+(?:[ \t]*\[[^\]\n]*\])?)[ \t][^\n(:]*?\b{name}\b(?=[ \t]*(?:[=,\[#]|$))",
        re.M,
    )
    return next((one for one in line.findall(source) if one not in ("return", "global")), "")


_SUPPORTED = (
    "CYTHON_COMPILING_IN_CPYTHON && !CYTHON_COMPILING_IN_LIMITED_API && !CYTHON_USE_MODULE_STATE "
    "&& !CYTHON_USE_TYPE_SPECS && CYTHON_PEP489_MULTI_PHASE_INIT && !defined(Py_GIL_DISABLED) "
    "&& !defined(_MSC_VER)"
)

_PRELUDE = "".join([
    "/* cyhot: see the end of this file */\n",
    "static PyObject *(*__cyhot_import_hook)(PyObject *) = 0;\n",
    "static CYTHON_INLINE PyObject *__cyhot_imported(PyObject *module) {\n",
    "  return module && __cyhot_import_hook ? __cyhot_import_hook(module) : module;\n}\n",
    *(f"#define {one}(name) __cyhot_imported({one}(name))\n" for one in _IMPORTS),
    "#define PyImport_ImportModuleLevelObject(name, globals, locals, names, level) \\\n",
    "  __cyhot_imported(PyImport_ImportModuleLevelObject(name, globals, locals, names, level))\n",
])  # fmt: skip

# What import statements call is another image's where images share Cython's helpers, and asks a
# package for its submodule. Between the helpers' declarations and their definitions.
_STATEMENTS = ("__Pyx_Import", "__Pyx_ImportFrom")
_IMPORT_STATEMENTS = "".join(
    f"\n#define {one}(...) __cyhot_imported({one}(__VA_ARGS__))" for one in _STATEMENTS
)
_IMPORT_STATEMENTS_END = "".join(f"#undef {one}\n" for one in _STATEMENTS)

_FACTS_ALONE = """
/* cyhot: why this module is not swapped into a running program */
#if defined(__GNUC__)
__attribute__((used))
#endif
static const char cyhot_facts[] = "%s"
%s;
"""

_EPILOGUE = (
    "\n/* cyhot: what live swapping has to know; nothing of it runs by itself */\n"
    f"#if {_SUPPORTED}\n"
    + """#include <stddef.h>
#if defined(__cplusplus)
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
#endif
struct __cyhot_function { PyMethodDef *definition; PyObject **qualified; };
struct __cyhot_builtin { PyMethodDef *definition; };
struct __cyhot_type {
  PyTypeObject *made; PyTypeObject **used; void **table_used; void **table;
  size_t entries; size_t offset;
};
struct __cyhot_variable { void *address; size_t size; };
struct __cyhot_pointer { void **address; };
%sstatic const char cyhot_facts[] = "%s"
%s;
struct __cyhot_image {
  size_t version;
  const char *facts;
  PyObject *(**import_hook)(PyObject *);
  PyObject **module, **dict;
  void **state; size_t state_words;
  struct __cyhot_function *functions;
  struct __cyhot_builtin *builtins;
  struct __cyhot_type *types;
  struct __cyhot_variable *variables;
  struct __cyhot_pointer *pointers;
  PyObject ***bound, ***class_bound;
  size_t function_size, function_dict, name, qualified, doc, globals, code, closure, defaults,
    flags, defaults_tuple, defaults_kwdict, defaults_getter, annotations, signatures;
};
#if defined(__cplusplus)
extern "C"
#endif
__attribute__((visibility("default"))) struct __cyhot_image __cyhot_image = {
  %d, cyhot_facts, &__cyhot_import_hook, &__pyx_m, &__pyx_mstate_global_static.__pyx_d,
  (void **)&__pyx_mstate_global_static, sizeof(__pyx_mstate_global_static) / sizeof(void *),
  cyhot_functions, cyhot_builtins, cyhot_types, cyhot_variables, cyhot_pointers, cyhot_bound,
  cyhot_class_bound,
#ifdef __Pyx_CyFunction_USED
  sizeof(__pyx_CyFunctionObject),
#if PY_VERSION_HEX < 0x030C0000
  offsetof(__pyx_CyFunctionObject, func_dict),
#else
  0,
#endif
  offsetof(__pyx_CyFunctionObject, func_name), offsetof(__pyx_CyFunctionObject, func_qualname),
  offsetof(__pyx_CyFunctionObject, func_doc), offsetof(__pyx_CyFunctionObject, func_globals),
  offsetof(__pyx_CyFunctionObject, func_code), offsetof(__pyx_CyFunctionObject, func_closure),
  offsetof(__pyx_CyFunctionObject, defaults), offsetof(__pyx_CyFunctionObject, flags),
  offsetof(__pyx_CyFunctionObject, defaults_tuple),
  offsetof(__pyx_CyFunctionObject, defaults_kwdict),
  offsetof(__pyx_CyFunctionObject, defaults_getter),
  offsetof(__pyx_CyFunctionObject, func_annotations),
#if %s
  offsetof(__pyx_FusedFunctionObject, __signatures__)
#else
  0
#endif
#else
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#endif
};
#endif
"""
)
