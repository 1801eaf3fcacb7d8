"""Reads the part of the Bicep language that the templates here use.

The Bicep compiler is no Python package, and of the two grammars that are, one does not tell a string from a name and
the other reads nested conditions wrongly. So this parser is strict and small: what it does not know is an error, and
what it accepts, the two other parsers must accept as well.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path


class BicepError(Exception):
    """A fault in a template, with the place where it stands."""


@dataclass
class Node:
    """An expression. `kind` says which fields count."""

    kind: str  # string number bool null array object name call member index unary binary ternary
    line: int
    value: object = None  # string: list of str and Node; number, bool; name, member, call: the name; operators: the sign
    items: list = field(default_factory=list)  # operands; of an object: (key node, value node)


@dataclass
class Declaration:
    kind: str  # param var resource module output
    name: str
    line: int
    type: str = ""  # param, output: the type; resource: type@version; module: its file
    value: Node | None = None
    existing: bool = False
    condition: Node | None = None
    decorators: dict = field(default_factory=dict)
    quieted: dict = field(default_factory=dict)  # line → codes named by #disable-next-line above it


@dataclass
class File:
    path: Path
    declarations: list

    def of(self, *kinds):
        return [one for one in self.declarations if one.kind in kinds]

    def get(self, name):
        return next((one for one in self.declarations if one.name == name and one.kind != "output"), None)


TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|//[^\n]*|/\*.*?\*/)
      |(?P<newline>\n)
      |(?P<directive>\#disable-next-line[^\n]*)
      |(?P<long>'''.*?''')
      |(?P<quote>')
      |(?P<number>\d+)
      |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
      |(?P<sign>==|!=|<=|>=|&&|\|\||\?\?|[-+*/%<>!?:.,=@(){}\[\]])""",
    re.S | re.X,
)
ESCAPES = {"\\": "\\", "'": "'", "n": "\n", "r": "\r", "t": "\t", "$": "$"}
LEVELS = [["??"], ["||"], ["&&"], ["==", "!="], ["<", ">", "<=", ">="], ["+", "-"], ["*", "/", "%"]]


class Parser:
    def __init__(self, text, path):
        self.text, self.path, self.at, self.line = text, path, 0, 1
        self.directives = {}
        self.current = None
        self.advance()

    def fail(self, message, line=None):
        raise BicepError(f"{self.path.name}:{line or self.line}: {message}")

    # Tokens: (kind, text, line). A string is a token of its own, read when it is met.
    def advance(self):
        previous = self.current
        while True:
            if self.at >= len(self.text):
                self.current = ("end", "", self.line)
                return previous
            match = TOKEN.match(self.text, self.at)
            if not match:
                self.fail(f"unexpected {self.text[self.at]!r}")
            kind, text, line = match.lastgroup, match.group(), self.line
            self.at = match.end()
            self.line += text.count("\n")
            if kind == "space":
                continue
            if kind == "directive":
                self.directives[line + 1] = text.split()[1:]
                continue
            if kind == "quote":
                self.current = ("string", self.quoted(), line)
            elif kind == "long":
                body = text[3:-3]
                self.current = ("string", [body.removeprefix("\r").removeprefix("\n")], line)
            else:
                self.current = (kind, text, line)
            return previous

    def quoted(self):
        """The parts of a string whose opening quote was just read."""
        parts, literal = [], ""
        while True:
            if self.at >= len(self.text) or self.text[self.at] == "\n":
                self.fail("a string does not end")
            one = self.text[self.at]
            self.at += 1
            if one == "'":
                return [*parts, literal] if literal or not parts else parts
            if one == "\\":
                escaped = self.text[self.at]
                if escaped not in ESCAPES:
                    self.fail(f"unknown escape \\{escaped}")
                literal += ESCAPES[escaped]
                self.at += 1
            elif one == "$" and self.text[self.at] == "{":
                self.at += 1
                if literal:
                    parts.append(literal)
                    literal = ""
                outer = self.current
                self.advance()
                parts.append(self.expression())
                if self.current[1] != "}":
                    self.fail("an interpolation does not end")
                self.current = outer
            else:
                literal += one

    def sees(self, *texts):
        return self.current[0] in ("sign", "name", "newline") and self.current[1] in texts

    def take(self, *texts):
        return self.advance() if self.sees(*texts) else None

    def need(self, text):
        return self.take(text) or self.fail(f"expected {text!r}, found {self.current[1]!r}", self.current[2])

    def need_name(self):
        if self.current[0] != "name":
            self.fail(f"expected a name, found {self.current[1]!r}", self.current[2])
        return self.advance()[1]

    def newlines(self):
        while self.take("\n"):
            pass

    def expression(self):
        condition = self.binary(0)
        if not self.sees("?"):
            return condition
        line = self.advance()[2]
        self.newlines()
        yes = self.expression()
        self.newlines()
        self.need(":")
        self.newlines()
        return Node("ternary", line, items=[condition, yes, self.expression()])

    def binary(self, level):
        if level == len(LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.sees(*LEVELS[level]):
            _, sign, line = self.advance()
            self.newlines()
            left = Node("binary", line, sign, [left, self.binary(level + 1)])
        return left

    def unary(self):
        if self.sees("!", "-"):
            _, sign, line = self.advance()
            return Node("unary", line, sign, [self.unary()])
        return self.postfix(self.primary())

    def postfix(self, node):
        while True:
            if self.sees("."):
                line = self.advance()[2]
                node = Node("member", line, self.need_name(), [node])
            elif self.sees("["):
                line = self.advance()[2]
                node = Node("index", line, None, [node, self.expression()])
                self.need("]")
            else:
                return node

    def primary(self):
        kind, text, line = self.current
        if kind == "string":
            self.advance()
            return Node("string", line, text)
        if kind == "number":
            self.advance()
            return Node("number", line, int(text))
        if kind == "name":
            self.advance()
            if text in ("true", "false"):
                return Node("bool", line, text == "true")
            if text == "null":
                return Node("null", line)
            if self.sees("("):
                return Node("call", line, text, self.arguments())
            return Node("name", line, text)
        if self.take("("):
            self.newlines()
            inner = self.expression()
            self.newlines()
            self.need(")")
            return inner
        if self.take("["):
            return Node("array", line, None, self.listed("]", self.expression))
        if self.take("{"):
            return Node("object", line, None, self.listed("}", self.property))
        return self.fail(f"expected an expression, found {text!r}", line)

    def arguments(self):
        self.need("(")
        return self.listed(")", self.expression)

    def listed(self, end, read):
        """What stands between brackets: separated by commas, or on lines of its own."""
        items = []
        self.newlines()
        while not self.take(end):
            items.append(read())
            if not self.take(",") and not self.sees("\n", end):
                self.fail(f"expected {end!r} or a new line, found {self.current[1]!r}", self.current[2])
            self.newlines()
        return items

    def property(self):
        kind, text, line = self.current
        if kind == "string":
            self.advance()
            key = Node("string", line, text)
        else:
            key = Node("string", line, [self.need_name()])
        self.need(":")
        return key, self.expression()

    def decorators(self):
        found = {}
        while self.take("@"):
            name = self.need_name()
            found[name] = self.arguments()
            self.newlines()
        return found

    def declaration(self):
        decorators = self.decorators()
        kind, text, line = self.advance()
        if text == "targetScope":
            self.need("=")
            if plain(self.expression()) != "resourceGroup":
                self.fail("only templates of a resource group are read", line)
            return None
        if kind != "name" or text not in ("param", "var", "resource", "module", "output"):
            self.fail(f"expected a declaration, found {text!r}", line)
        one = Declaration(text, self.need_name(), line, decorators=decorators)
        if text in ("param", "output"):
            one.type = self.need_name()
        elif text in ("resource", "module"):
            quoted = self.primary()
            if quoted.kind != "string" or len(quoted.value) != 1:
                self.fail("expected a plain string", line)
            one.type = quoted.value[0]
            one.existing = bool(self.take("existing"))
        if text == "param" and not self.sees("="):
            return one
        self.need("=")
        if text in ("resource", "module") and self.take("if"):
            self.need("(")
            one.condition = self.expression()
            self.need(")")
        one.value = self.expression()
        return one

    def file(self):
        declarations = []
        self.newlines()
        while self.current[0] != "end":
            before = set(self.directives)
            one = self.declaration()
            if one:
                one.quieted = {line: codes for line, codes in self.directives.items() if line not in before}
                declarations.append(one)
            if self.current[0] != "end" and not self.sees("\n"):
                self.fail(f"expected a new line, found {self.current[1]!r}", self.current[2])
            self.newlines()
        names = [one.name for one in declarations if one.kind != "output"]
        for name in names:
            if names.count(name) > 1:
                self.fail(f"{name} is declared twice", 1)
        return File(self.path, declarations)


def parse(path):
    path = Path(path)
    return Parser(path.read_text(encoding="utf-8-sig"), path).file()


def walk(node):
    """A node and all below it."""
    yield node
    for item in node.items:
        for one in item if isinstance(item, tuple) else [item]:
            yield from walk(one)
    if node.kind == "string":
        for part in node.value:
            if isinstance(part, Node):
                yield from walk(part)


def plain(node):
    """A string without interpolation, or None."""
    if node.kind == "string" and all(isinstance(part, str) for part in node.value):
        return "".join(node.value)
    return None


def fields(node):
    """The properties of an object by name."""
    return {plain(key): value for key, value in node.items} if node is not None and node.kind == "object" else {}
