"""Two parsers of other people's accept every template, beside the strict one in bicep.py."""

from pycep import BicepParser
from tree_sitter import Language, Parser
import tree_sitter_bicep

from bicep import BicepError, parse


def files(root):
    return [root / "main.bicep", *sorted((root / "modules").glob("*.bicep"))]


def first_error(node):
    if node.type == "ERROR" or node.is_missing:
        return node
    return next((found for one in node.children for found in [first_error(one)] if found), None)


def check_pycep(root):
    faults, parser = [], BicepParser()
    for path in files(root):
        try:
            parser.parse(text=path.read_text(encoding="utf-8"))
        except Exception as error:  # the grammar's library has no common kind of error
            faults.append(f"{path.relative_to(root)}: {str(error).splitlines()[0]}")
    return faults


def check_tree_sitter(root):
    faults, parser = [], Parser(Language(tree_sitter_bicep.language()))
    for path in files(root):
        bad = first_error(parser.parse(path.read_bytes()).root_node)
        if bad:
            faults.append(f"{path.relative_to(root)}:{bad.start_point[0] + 1}: {bad.text.decode()[:60]!r}")
    return faults


def check_own(root):
    faults = []
    for path in files(root):
        try:
            parse(path)
        except BicepError as error:
            faults.append(str(error))
    return faults
