"""The rules of a profile."""

from typing import Any

from zenskar.errors import Violation
from zenskar.model.fields import CUSTOMER
from zenskar.plugins.profile.record_rules import RecordRules, compile_rules


def rules(**section: Any) -> RecordRules:
    problems: list[Any] = []
    found = compile_rules(section, CUSTOMER, problems)
    assert problems == []
    assert found is not None
    return found


def test_a_rule_of_a_part_is_about_its_value() -> None:
    own = rules(
        fields={
            "/phone": {"schema": {"pattern": "^[+]"}},
            "/metadata/a~1b": {"schema": {"enum": ["x"]}},
            "/address/city": {"schema": {"minLength": 3}},
        }
    )
    broken = {"/phone": "1", "/metadata/a~1b": "y", "/address": {"city": "B"}}
    assert [each.pointer for each in own.violations(broken)] == [
        "/phone",
        "/metadata/a~1b",
        "/address/city",
    ]
    assert own.violations({"/phone": "+1", "/metadata/a~1b": "x"}) == []
    assert own.violations({}) == []


def test_a_rule_of_a_record_sees_fields_with_a_value_only() -> None:
    own = rules(rules={"schema": {"required": ["phone"]}})
    assert own.violations({"/phone": "1"}) == []
    assert own.violations({}) == [Violation("/phone", "is required")]


def test_a_change_answers_for_its_own_violations() -> None:
    own = rules(rules={"schema": {"required": ["phone"]}})
    assert own.new_violations({"/name": "Eve"}, {"/name": "Ada"}) == []
    assert own.new_violations({}, {"/phone": "1"}) != []
    assert own.new_violations({}, None) != []


def test_a_section_without_rules_has_none() -> None:
    assert compile_rules({"fields": {"/name": {}}, "rules": {"refuse": True}}, CUSTOMER, []) is None
