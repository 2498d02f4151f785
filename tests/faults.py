"""Faults that a person could have made in the package: a sign, an off-by-one, a dropped term, a wrong key and the like.

Each is an edit of one expression in the body of a function. What only tells a person something is left alone, and so
is what comes to the same, as far as that shows cheaply.
"""

import ast
import difflib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

SCIENCE = {"augmentation", "buffer", "dataset", "energy", "engine", "evaluator", "guard", "mode", "noise", "objective"}
SCIENCE |= {"optimizer", "regularization", "sampler", "sampling", "schedule", "start", "trainer"}

OTHERS = {"min": "max", "amin": "amax", "argmin": "argmax", "minimum": "maximum", "mean": "sum"}
OTHERS |= {other: name for name, other in OTHERS.items()}
STRICTNESS: dict[type, type] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
# No fault in these matters: calls that tell or wait, arguments in any order, terms that hardly change a sum or have
# either sign, lines about limits, devices and pixels, and modules that draw.
QUIET = re.compile(
    r"print|warn|warning|error|debug|info|alert|tell\w*|hint|sleep|wait|refuse|\w*Error|isinstance|getattr"
)
SYMMETRIC = re.compile(r"(arg)?min|max|minimum|maximum|\w*close|equal|add|mul|hypot|logaddexp|range|replace|generator")
TINY, EITHER_SIGN = re.compile(r"\beps\w*|\btiny\b|\de-"), re.compile(r"noise|omega|\bz\b|rand|normal")
LIMITS = re.compile(
    r"AT_ONCE|CHUNK|BLOCK|KEPT|needed|LARGEST|_MOST\b|_STRIP|WIDTH|HEIGHT|(?i:timeout)|\blimit\b|2\*\*\d|n_bytes"
    r'|sync|"meta"|\.get\([^)]*, \d\.\d\)'  # also: what is given where an old run says nothing
)
DRAWING = {"canvas", "marginals", "plane", "plots", "svg", "heat", "style", "page", "images"}
COUNTED = re.compile(r"\blen\(|\b[ijkn]\b|\bn_|steps?\b|\b(at|epoch|index|count|level)\b|dim\(\)|ndim|numel|shape")
MEASURED = re.compile(r"\d\.\d|\de-|rand|accept|time")  # compared with these, "equal" never happens


class Fault(NamedTuple):
    """One edit: at byte ``start`` of the file, ``new`` takes the place of ``old``."""

    area: str
    file: str
    line: int
    start: int
    kind: str
    old: str
    new: str


def find_faults(root: Path) -> list[Fault]:
    """Find every fault in the package, in the order of files and lines."""
    paths = sorted(path for path in (root / "ebm_exp").rglob("*.py") if path.stem not in DRAWING)
    return [fault for path in paths for fault in find_in(path.read_bytes(), path.relative_to(root).as_posix())]


def find_in(source: bytes, file: str) -> Iterator[Fault]:
    """Find the faults of one module."""
    lines, tree = source.splitlines(keepends=True), ast.parse(source)
    starts = [0, *itertools.accumulate(map(len, lines))]
    keys = sorted({key.value for node in ast.walk(tree) for key in keys_in(node)})
    area = "science" if folder_of(file) in SCIENCE else "framework"
    for node in walk_bodies(tree):
        for kind, place, new in edits(node, area, keys):
            start = starts[place.lineno - 1] + place.col_offset
            old = source[start : starts[place.end_lineno - 1] + place.end_col_offset].decode()
            text = ast.unparse(new)
            if isinstance(place, ast.BinOp | ast.UnaryOp) and isinstance(new, ast.BinOp | ast.IfExp | ast.BoolOp):
                text = f"({text})"
            if not LIMITS.search(lines[place.lineno - 1].decode()):
                yield Fault(area, file, place.lineno, start, kind, old, text)


def walk_bodies(node: ast.AST, inside: bool = False) -> Iterator[Any]:
    """Walk through what functions execute, but for messages, text made for a person, and what needs CUDA."""
    children = ast.iter_child_nodes(node)
    match node:
        case ast.Raise() | ast.Assert() | ast.JoinedStr():
            return
        case ast.Call(func=func) if QUIET.fullmatch(name_of(func)):
            return
        case ast.AnnAssign(value=value):
            children = iter([value] if value else [])
        case ast.FunctionDef(name=name, returns=returns, body=body):
            returned = ast.unparse(returns) if returns else ""
            if re.search(r"\bstr\b(?! *,)|Html|Figure|NoReturn", returned) or re.match(r"__repr|describe|_?tell", name):
                return
            if "cuda" in ast.unparse(node):
                return
            children, inside = iter(body), True
        case _ if inside:
            yield node
    for child in children:
        yield from walk_bodies(child, inside)


def edits(node: Any, area: str, keys: list[str]) -> Iterator[tuple[str, Any, ast.AST]]:
    """Yield kind, the node that is replaced, and what takes its place."""
    match node:
        case ast.BinOp() if is_arithmetic(node, area):
            yield from edits_of_sum(node)
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield "sign", node, operand
        case ast.Compare(left=left, ops=[op], comparators=right) if type(op) in STRICTNESS:
            if COUNTED.search(text := ast.unparse(node)) and not MEASURED.search(text):
                yield "off by one", node, ast.Compare(left, [STRICTNESS[type(op)]()], right)
        case ast.Slice(lower=lower, upper=upper):
            for end in (lower, upper):
                small = isinstance(end, ast.Constant) and type(end.value) is int and end.value < 8
                if small or isinstance(end, ast.Name | ast.Attribute | ast.Call):
                    yield "off by one", end, one_more(end)
        case ast.If(test=test, body=body) if not all(map(is_message, body)):
            yield "condition", test, negated(test)
        case ast.IfExp(test=test, body=ast.Constant(value=str(words))) if " " in words:
            return
        case ast.IfExp(test=test) | ast.comprehension(ifs=[test]):
            yield "condition", test, negated(test)
        case ast.Constant(value=float(value)) if 1e-4 < value < 1e4:
            yield "constant", node, ast.Constant(2 * value)
        case ast.keyword(arg="min" | "max" as name, value=value):
            yield "min/max", node, ast.keyword(OTHERS[name], value)
        case ast.Call(func=func, args=arguments, keywords=keywords):
            name = name_of(func)
            if isinstance(func, ast.Attribute) and name in OTHERS and not re.match(r"stat|[A-Z]", ast.unparse(func)):
                other = ast.Attribute(func.value, OTHERS[name])
                yield "mean/sum" if name in ("mean", "sum") else "min/max", func, other
            elif isinstance(func, ast.Name) and name in ("min", "max"):
                yield "min/max", func, ast.Name(OTHERS[name])
            elif name == "range" and isinstance(arguments[-1], ast.Name | ast.Attribute):
                yield "off by one", arguments[-1], one_more(arguments[-1])
            for i, (first, second) in enumerate(itertools.pairwise(arguments)):
                last_of_where = name == "where" and i == 1
                if (last_of_where or are_alike(first, second)) and not SYMMETRIC.fullmatch(name):
                    swapped = [*arguments[:i], second, first, *arguments[i + 2 :]]
                    yield "swapped", node, ast.Call(func, swapped, keywords)
    for key in keys_in(node):
        others = [each for each in keys if each != key.value] or [key.value + "s"]
        yield "key", key, ast.Constant(difflib.get_close_matches(key.value, others, 1, 0.0)[0])


def edits_of_sum(node: ast.BinOp) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """Flip the sign between two terms, drop a term or a factor, change a number, but not where it hardly matters."""
    left, right, text = node.left, node.right, ast.unparse(node)
    is_sum = isinstance(node.op, ast.Add | ast.Sub)
    if is_sum and not TINY.search(text):
        other: ast.operator = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        if isinstance(node.op, ast.Sub) or not EITHER_SIGN.search(text):
            yield "sign", node, ast.BinOp(left, other, right)
    if is_sum or isinstance(node.op, ast.Mult | ast.Div):
        for kept, dropped in [(left, right), (right, left)][: 2 if isinstance(node.op, ast.Add | ast.Mult) else 1]:
            small = len(ast.unparse(dropped)) <= 3 * len(ast.unparse(kept)) and not TINY.search(ast.unparse(dropped))
            if small and not isinstance(kept, ast.Constant):
                yield "dropped", node, kept
    is_product = isinstance(node.op, ast.Mult | ast.Div | ast.FloorDiv | ast.Pow) and not TINY.search(text)
    for side in (left, right) if is_sum or is_product else ():
        if isinstance(side, ast.Constant) and type(side.value) is int and side.value:
            yield ("off by one", side, one_more(side)) if is_sum else ("constant", side, ast.Constant(2 * side.value))


def is_arithmetic(node: ast.BinOp, area: str) -> bool:
    """Tell whether numbers are meant, as far as it shows: no texts, lists or paths are joined."""
    parts: list[ast.expr] = [node.left, node.right]
    for part in parts:
        if isinstance(part, ast.BinOp):
            parts += [part.left, part.right]
    joined = ast.JoinedStr | ast.List | ast.Tuple | ast.ListComp | ast.Dict | ast.Set
    if any(isinstance(p, joined) or (isinstance(p, ast.Constant) and isinstance(p.value, str)) for p in parts):
        return False
    if isinstance(node.op, ast.Div) and re.search(r"path|folder|root|dir|file|cache", ast.unparse(node.left), re.I):
        return False
    return area == "science" or any(isinstance(p, ast.Constant) for p in parts) or "len(" in ast.unparse(node)


def are_alike(first: ast.expr, second: ast.expr) -> bool:
    """Tell whether two arguments are different values of what seems to be one type."""
    match first, second:
        case (ast.Attribute(value=one, attr=a), ast.Attribute(value=other, attr=b)):
            return ast.unparse(one) == ast.unparse(other) != "os" and a != b and not a.isupper()
        case (ast.Name(id=a), ast.Name(id=b)):
            return a != b and (len(a) == len(b) == 1 or bool(set(a.split("_")) & set(b.split("_"))))
        case (ast.Call(func=one), ast.Call(func=other)):
            return name_of(one) == name_of(other) and ast.unparse(first) != ast.unparse(second)
    return False


def keys_in(node: ast.AST) -> list[Any]:
    """List the keys that an expression looks up, asks for, or makes a dictionary of."""
    match node:
        case ast.Subscript(slice=key) | ast.Compare(left=key, ops=[ast.In() | ast.NotIn()]):
            keys = [key]
        case ast.Call(func=ast.Attribute(attr="get" | "pop"), args=[key, *_]):
            keys = [key]
        case ast.Dict(keys=keys):
            pass
        case _:
            keys = []
    return [key for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]


def one_more(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Constant):
        return ast.Constant(node.value + 1)
    return ast.BinOp(node, ast.Add(), ast.Constant(1))


def negated(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    return ast.UnaryOp(ast.Not(), test)


def is_message(statement: ast.stmt) -> bool:
    call = getattr(statement, "value", None)
    told = isinstance(call, ast.Call) and QUIET.fullmatch(name_of(call.func))
    return isinstance(statement, ast.Raise) or bool(told)


def name_of(func: ast.expr) -> str:
    return getattr(func, "attr", getattr(func, "id", ""))


def folder_of(file: str) -> str:
    """Name the folder of the package that a module is in; top-level modules are all in "."."""
    parts = Path(file).parts
    return parts[1] if len(parts) > 2 else "."


def plant(fault: Fault, source: bytes) -> bytes:
    """Edit a source, which must be the one that the fault was found in."""
    old = fault.old.encode()
    if source[fault.start : fault.start + len(old)] != old:
        raise ValueError(f"{fault.file}:{fault.line} is no longer {fault.old!r}: the package has changed")
    return source[: fault.start] + fault.new.encode() + source[fault.start + len(old) :]


def is_real(fault: Fault, source: bytes) -> bool:
    """Tell whether the edited module can be parsed, and means something else."""
    try:
        return ast.dump(ast.parse(plant(fault, source))) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False
