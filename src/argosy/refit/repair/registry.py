"""All repair rules, in the order in which they are tried."""

from __future__ import annotations

from typing import Final

from argosy.refit.repair.name_resolution import damaged_code, missing_definitions
from argosy.refit.repair.repair_rule import RepairRule, SyntaxRule
from argosy.refit.repair.startup import definition_order, failing_imports, wrong_values
from argosy.refit.repair.startup.duplicate_thread import DUPLICATE_THREAD
from argosy.refit.repair.startup.missing_package import MISSING_PACKAGE
from argosy.refit.repair.startup.none_for_default import NONE_FOR_DEFAULT
from argosy.refit.repair.startup.rejected_sys_path import REJECTED_SYS_PATH
from argosy.refit.repair.startup.str_as_path import STR_AS_PATH
from argosy.refit.repair.syntax import blocks, brackets, misplaced_lines, strings

SYNTAX_RULES: Final[dict[str, SyntaxRule]] = {
    rule.__name__.replace("_", "-"): rule
    for rule in (
        brackets.mangled_call,
        brackets.extra_bracket,
        misplaced_lines.glued_statements,
        misplaced_lines.dedented_lines,
        blocks.except_without_try,
        blocks.moved_header,
        blocks.empty_block,
        brackets.inside_brackets,
        brackets.second_bases,
        strings.split_string,
        strings.fstring_quote,
        strings.doubled_prefix,
        blocks.method_outside_class,
        misplaced_lines.dangling_attribute,
        misplaced_lines.split_statement,
    )
}
NAME_RULES: Final = tuple(
    RepairRule(rule.__name__.replace("_", "-"), rule)
    for rule in (
        damaged_code.invalid_super_call,
        missing_definitions.move_import_up,
        damaged_code.split_prefix,
        damaged_code.typo_name,
        missing_definitions.missing_logger,
        missing_definitions.missing_binding,
        missing_definitions.add_import,
        damaged_code.duplicate_body,
    )
)
STARTUP_RULES: Final = (
    failing_imports.SELF_IMPORT,
    failing_imports.SHADOWED_PACKAGE,
    REJECTED_SYS_PATH,
    definition_order.BASE_ORDER,
    STR_AS_PATH,
    wrong_values.PLACEHOLDER_FALLBACK,
    wrong_values.PORT_IN_SET,
    wrong_values.DOUBLE_DECODE,
    DUPLICATE_THREAD,
    definition_order.MAIN_BLOCK_LAST,
    NONE_FOR_DEFAULT,
    wrong_values.LOG_FOLDER,
    MISSING_PACKAGE,
)
