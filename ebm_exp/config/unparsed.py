"""A value that Hydra cannot parse, and how it is typed: for each kind its own cure, which Hydra's parser has tried."""

import re
import shlex
from collections.abc import Iterator

from ebm_exp.config.errors import nearest
from ebm_exp.config.override import Override
from ebm_exp.shell import quoted

_USES = {  # of Hydra's functions, as examples
    "choice": "choice(a,b)",
    "range": "range(1,4), which is 1, 2 and 3",
    "interval": "interval(0.1,1)",
    "glob": "glob(*)",
    "sort": "sort(3,1,2)",
    "shuffle": "shuffle(range(1,4))",
    "tag": "tag(log,interval(0.1,1))",
}
_CLOSES = {"[": "]", "{": "}", "(": ")"}


def explain_unparsed(override: Override, message: str) -> list[str]:
    """What is wrong with a value that cannot be parsed, and what to type instead.

    Args:
        override: as typed.
        message: of Hydra's parser.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if override.text is None:
        return [f"{override}: has no value; {override.key}=… gives it one, ~{override.key} takes it away"]
    text, known = override.text.strip(), OverridesParser.create().functions.functions
    called = re.match(r"(\w+)\(.*\)$", text, re.DOTALL)
    failed = re.search(r"(?:Exception|Error) while evaluating '.*?': (.*)", message)
    if called and failed:
        as_text = f"as a text it is {shown(override, quoted(text))}"
        if called[1] not in known:
            return [f"{override}: Hydra has no function {called[1]}; {nearest(called[1], known)}; {as_text}"]
        use = f"; e.g. {_USES[called[1]]}" if called[1] in _USES else ""
        return [f"{override}: {failed[1]}{use}; {as_text}"]
    said = [f"{override}: cannot be parsed as an override"]
    cure = next((each for each in _mend(text) if _parses(each)), None)
    if cure is not None:
        what = "A text" if cure[:1] in "'\"" else "Text in it"
        said.append(f"{what} is quoted twice, for Hydra and for the shell: {shown(override, cure)}")
    return said


def shown(override: Override, text: str) -> str:
    """An override with another value, as a shell takes it."""
    word = f"{override.sign}{override.key}={text}"
    return shlex.quote(word) if re.search(r'["$`!\\]', word) else f'"{word}"'


def _mend(text: str) -> Iterator[str]:
    """Candidates: with quotes around those pieces alone that need them, around every piece, around the whole."""
    yield _quote(text, every=False)
    yield _quote(text, every=True)
    yield quoted(text)


def _quote(text: str, every: bool) -> str:
    text = text.strip()
    parts = _split(text, ",")
    if len(parts) > 1:
        return ",".join(_quote(part, every) for part in parts)
    called = re.fullmatch(r"((?:choice|sort|shuffle|str)\()(.*)\)", text, re.DOTALL)
    if called:
        return f"{called[1]}{_quote(called[2], every)})"
    if text[:1] in ("[", "{") and text[-1:] == _CLOSES[text[0]]:
        inside = _split(text[1:-1], ",") if text[1:-1].strip() else []
        items = [_pair(each, every) if text[0] == "{" else _quote(each, every) for each in inside]
        return f"{text[0]}{','.join(items)}{text[-1]}"
    is_quoted = len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]
    return text if is_quoted or not (every or not _parses(f"[{text}]")) else quoted(text)


def _pair(text: str, every: bool) -> str:
    key, *value = _split(text, ":")
    return ":".join([_quote(key, every), *([_quote(":".join(value), every)] if value else [])])


def _split(text: str, at: str) -> list[str]:
    """Parts between separators, of which those inside of brackets and quotes are none."""
    parts, depth, quote, escaped = [""], 0, "", False
    for char in text:
        if quote:
            quote = "" if char == quote and not escaped else quote
        elif char in "'\"":
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in "]})":
            depth -= 1
        elif char == at and depth == 0:
            parts.append("")
            continue
        escaped = char == "\\" and not escaped
        parts[-1] += char
    return parts


def _parses(text: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(f"key={text}")
    except HydraException:
        return False
    return True
