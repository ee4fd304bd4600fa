"""Everything that validate says about a registry: the place, the cause and the hint of each kind of mistake."""

from __future__ import annotations

import pytest

from manor.errors import NotFoundError

GOOD = """\
registry_version: "2.0"
customer_info:
  customer_code: acme
  customer_name: Acme
database_groups:
  standard:
    type: tenant_group
    template: small
    tenant_count: 3
    tenant_id_format: "{:03d}"
    naming_pattern: "{customer_code}_{tenant_id}"
    variables:
      PREFIX: "{customer_code}-{tenant_id}"
  shared:
    type: fixed_group
    databases:
      - name: acme_common
        template: common
        variables:
          KIND: shared
"""


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def only(resolution):
    assert len(resolution.findings) == 1, [str(finding) for finding in resolution.findings]
    return resolution.findings[0]


def test_a_good_registry_has_no_findings(resolved, templates) -> None:
    resolution = resolved(GOOD, templates("small", "common"))
    assert resolution.findings == ()
    assert [target.database for target in resolution.targets] == ["acme_001", "acme_002", "acme_003", "acme_common"]


SHAPE_MISTAKES = [
    pytest.param(
        "tenant_count: 3", "tenant_countt: 3", "tenant_countt", "unknown key 'tenant_countt'", "tenant_count", id="unknown"
    ),
    pytest.param("tenant_count: 3", 'tenant_count: "3"', '"3"', "a whole number, found text '3'", "without quotes", id="int"),
    pytest.param(
        "tenant_count: 3", "tenant_count: 3.0", "3.0", "must be a whole number, found the number 3.0", "", id="fraction"
    ),
    pytest.param("tenant_count: 3", "tenant_count: true", "true", "must be a whole number, found true", "", id="bool as int"),
    pytest.param("tenant_count: 3", "tenant_count: -1", "-1", "must be at least 0, found the number -1", "", id="negative"),
    pytest.param("tenant_count: 3", "tenant_count: 2000000", "2000000", "must be at most 100000", "", id="too many"),
    pytest.param("tenant_count: 3", "tenant_count: ~", "~", "must be a whole number, found nothing", "", id="empty"),
    pytest.param("tenant_count: 3", "auto_provision: no", "no\n", "true or false, found text 'no'", "true or false", id="no"),
    pytest.param("tenant_count: 3", "server: 7", "7", "must be text, found the number 7", "in quotes", id="text"),
    pytest.param(
        "type: tenant_group",
        "type: tenant_grop",
        "tenant_grop",
        "type must be 'tenant_group' or 'fixed_group'",
        "'tenant_group'",
        id="type",
    ),
    pytest.param(
        "    type: tenant_group\n", "", "standard", "standard lacks the key 'type'", "type: tenant_group or", id="no type"
    ),
    pytest.param("    template: small\n", "", "standard", "the key 'template' is missing", "", id="missing"),
    pytest.param('"2.0"', '"3.0"', '"3.0"', "registry_version must be '2.0', found text '3.0'", "", id="version"),
    pytest.param("KIND: shared", "KIND: 365", "365", "KIND must be text, found the number 365", "in quotes", id="variable"),
    pytest.param("KIND: shared", "KI-ND: x", "KI-ND", "the name 'KI-ND' is not allowed", "must match", id="variable name"),
    pytest.param(
        "        template: common", "        tmplate: common", "tmplate", "unknown key 'tmplate'", "'template'", id="list"
    ),
    pytest.param("customer_name: Acme", "custommer_name: A", "custommer_name", "unknown key", "'customer_name'", id="customer"),
]


@pytest.mark.parametrize(("old", "new", "marker", "message", "hint"), SHAPE_MISTAKES)
def test_a_mistake_in_the_shape_is_found_where_it_stands(resolved, templates, at, old, new, marker, message, hint) -> None:
    text = changed(old, new)
    findings = resolved(text, templates("small", "common")).findings
    found = next(finding for finding in findings if finding.place == at(text, marker))
    assert message in found.message
    assert hint in found.hint


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("operations: {batch_settings: {max_parallel: 0}}", "max_parallel must be at least 1"),
        ("operations: {batch_settings: {max_parallel: 300}}", "max_parallel must be at most 256"),
        ("operations: {batch_settings: {timeout_seconds: 0}}", "timeout_seconds must be at least 1"),
        ("operations: {provisioning: {warm_pool: 5000}}", "warm_pool must be at most 1000"),
        ("operations: {monitoring: {alert_thresholds: {error_rate: 101}}}", "error_rate must be at most 100"),
        ("operations: {monitoring: {alert_thresholds: {error_rate: low}}}", "error_rate must be a number, found text 'low'"),
        ("operations: {batch_setting: {}}", "unknown key 'batch_setting'"),
        ("operations: []", "operations must be a mapping, found a list"),
        (
            "environment_config: {security: {tenant_isolation: databse}}",
            "tenant_isolation must be 'database', 'schema' or 'table'",
        ),
        ("deployment_strategy: {type: yolo}", "type must be 'rolling', 'blue_green', 'canary' or 'atomic', found text 'yolo'"),
        ("deployment_strategy: {canary: {initial_percentage: 0}}", "initial_percentage must be at least 1"),
        ("migration_config: {rollback_enabled: 1}", "rollback_enabled must be true or false, found the number 1"),
        ("hooks: {pre_update: ./x.sh}", "pre_update must be a list, found text './x.sh'"),
        ("hooks: {pre_updat: []}", "unknown key 'pre_updat'"),
    ],
)
def test_every_section_is_checked(resolved, templates, section, message) -> None:
    finding = only(resolved(GOOD + section + "\n", templates("small", "common")))
    assert message in finding.message
    assert finding.place.line == GOOD.count("\n") + 1


def test_fractions_are_numbers_too(resolved, templates) -> None:
    text = GOOD + "operations: {monitoring: {alert_thresholds: {error_rate: 0.5, connection_usage: 80}}}\n"
    assert resolved(text, templates("small", "common")).findings == ()


def test_a_missing_template_is_found_at_its_first_use_and_loaded_once(resolved, templates, at) -> None:
    text = GOOD + "      - {name: acme_logs, template: common}\n"
    source = templates("small")
    finding = only(resolved(text, source))
    assert finding.message == "there is no template 'common'"
    assert finding.place == at(text, "common\n", 2)
    assert [name for name, _ in source.loads] == ["small", "common"]
    assert source.loads[0][1] == at(text, "small")


def test_what_the_templates_source_finds_is_told_and_not_repeated(resolved, templates, at) -> None:
    from manor.errors import Finding

    source = templates("small")

    class Broken(type(source)):  # type: ignore[misc]
        def load(self, name, *, used_at):
            template = super().load(name, used_at=used_at)
            if template is None:
                self.findings.append(Finding(message="the mapping is broken", place=used_at))
            return template

    finding = only(resolved(GOOD, Broken(source.templates)))
    assert finding.message == "the mapping is broken"


def test_an_unknown_variable_is_found_at_the_value_that_uses_it(resolved, templates, at) -> None:
    text = changed('"{customer_code}-{tenant_id}"', '"{custmer_code}-{tenant_id}"')
    finding = only(resolved(text, templates("small", "common")))
    assert finding.message == "variable PREFIX refers to {custmer_code}, which is not defined"
    assert finding.place == at(text, '"{custmer_code}')
    assert finding.hint == "did you mean 'customer_code'?"


def test_an_unknown_variable_of_the_naming_pattern_is_found(resolved, templates, at) -> None:
    text = changed('"{customer_code}_{tenant_id}"', '"{customer_code}_{tenant}"')
    finding = only(resolved(text, templates("small", "common")))
    assert finding.message == "naming_pattern refers to {tenant}, which is not defined"
    assert finding.place == at(text, '"{customer_code}_{tenant}"')
    assert "tenant_id" in finding.hint


def test_each_circle_of_variables_is_shown_at_its_first_variable(resolved, templates, at) -> None:
    text = changed(
        '      PREFIX: "{customer_code}-{tenant_id}"\n',
        '      A: "{B}"\n      B: "x{C}"\n      C: "{A}"\n      FREE: "{A}"\n      D: "{E}"\n      E: "{D}"\n      S: "{S}"\n',
    )
    findings = resolved(text, templates("small", "common")).findings
    assert [finding.message for finding in findings] == [
        "variables refer to each other in a circle: A -> B -> C -> A",
        "variables refer to each other in a circle: D -> E -> D",
        "variables refer to each other in a circle: S -> S",
    ]
    assert [finding.place for finding in findings] == [at(text, '"{B}"'), at(text, '"{E}"'), at(text, '"{S}"')]


def test_a_stray_brace_is_found(resolved, templates, at) -> None:
    text = changed("KIND: shared", 'KIND: "a { b"')
    finding = only(resolved(text, templates("small", "common")))
    assert "neither a variable nor escaped" in finding.message
    assert finding.place == at(text, '"a { b"')


def test_a_variable_that_a_template_needs_and_a_group_lacks_is_named_with_the_template(
    resolved, templates, template, at
) -> None:
    source = templates(
        template("small", needs=["PREFX", "customer_code", "tenant_id"]), template("common", needs=["KIND", "LIMIT"])
    )
    findings = resolved(GOOD, source).findings
    assert [finding.message for finding in findings] == [
        "template small needs the variable {PREFX}, which group standard does not define",
        "template common needs the variable {LIMIT}, which database acme_common does not define",
    ]
    assert findings[0].place == at(GOOD, "small")
    assert findings[0].hint == "did you mean 'PREFIX'?"
    assert findings[1].place == at(GOOD, "common\n", 2)


def test_an_illegal_name_is_found_once_for_a_numbered_group(resolved, templates, at) -> None:
    text = changed('"{customer_code}_{tenant_id}"', '"{customer_code}.{tenant_id}"')
    finding = only(resolved(text, templates("small", "common")))
    assert finding.message.startswith("the database name 'acme.001' may hold only letters")
    assert finding.message.endswith("(and 2 more like it)")
    assert finding.place == at(text, '"{customer_code}.{tenant_id}"')


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a" * 64, "has 64 bytes, PostgreSQL allows 63"),
        ("postgres", "is reserved"),
        ("pg_acme", "reserved prefix 'pg_'"),
        ("manor_x", "reserved prefix 'manor_'"),
        ("1acme", "must begin with a letter"),
        ("'x; DROP DATABASE y'", "may hold only letters"),
        ("../acme", "may hold only letters"),
    ],
)
def test_an_illegal_fixed_name_is_found_at_the_name(resolved, templates, at, name, problem) -> None:
    text = changed("acme_common", name)
    finding = only(resolved(text, templates("small", "common")))
    assert problem in finding.message
    assert finding.place == at(text, name)


def test_a_name_of_63_bytes_is_legal(resolved, templates) -> None:
    assert resolved(changed("acme_common", "a" * 63), templates("small", "common")).findings == ()


def test_a_fixed_name_may_use_the_customers_keys(resolved, templates) -> None:
    resolution = resolved(changed("acme_common", '"{customer_code}_common"'), templates("small", "common"))
    assert resolution.targets[-1].database == "acme_common"
    assert str(resolution.targets[-1].tenant) == "acme/shared/acme_common"


@pytest.mark.parametrize("name", ["acme_002", "ACME_002"])
def test_a_collision_between_groups_names_both_places(resolved, templates, at, name) -> None:
    text = changed("acme_common", name)
    finding = only(resolved(text, templates("small", "common")))
    assert f"'{name}' of group shared is taken by acme/standard/002" in finding.message
    assert finding.place == at(text, name)
    assert finding.hint == f"the other one is at {at(text, chr(34) + '{customer_code}_{tenant_id}')}"


def test_names_on_different_servers_do_not_collide(resolved, templates) -> None:
    text = changed("acme_common", "acme_002").replace("type: fixed_group", "type: fixed_group\n    server: b")
    text = text.replace("type: tenant_group", "type: tenant_group\n    server: a")
    assert resolved(text, templates("small", "common"), deployments=("a", "b")).findings == ()


def test_a_database_that_stands_twice_names_both_places(resolved, templates, at) -> None:
    text = GOOD + "      - {name: acme_common, template: common}\n"
    finding = only(resolved(text, templates("small", "common")))
    assert finding.message == "the database 'acme_common' stands twice in shared"
    assert finding.place == at(text, "acme_common", 2)
    assert finding.hint == f"the first one is at {at(text, 'acme_common')}"


def test_a_pattern_without_the_id_is_found_once(resolved, templates, at) -> None:
    text = changed('"{customer_code}_{tenant_id}"', '"{customer_code}_main"')
    finding = only(resolved(text, templates("small", "common")))
    assert "the tenants 001 and 002 get the same database name 'acme_main' (and 1 more like it)" in finding.message
    assert finding.hint == "put {tenant_id} into it"


@pytest.mark.parametrize(
    "written",
    [
        "{0.__class__}",
        "{:03d}{:03d}",
        "{0}",
        "{tenant}",
        "{!r}",
        "{:{}}",
        "001",
        "{",
        "}",
        "{:>5}",
        "{:03d} x",
        "{[0]}",
        "{:b}",
    ],
)
def test_an_id_format_that_is_not_plain_is_found(resolved, templates, at, written) -> None:
    text = changed("{:03d}", written)
    finding = only(resolved(text, templates("small", "common")))
    assert finding.message.startswith(f"tenant_id_format {written!r} ")
    assert finding.place == at(text, f'"{written}"')


@pytest.mark.parametrize(
    ("written", "first"),
    [("{}", "1"), ("{:d}", "1"), ("{:03d}", "001"), ("t-{:04X}_z", "t-0001_z"), ("{:x}", "1"), ("{:05}", "00001")],
)
def test_a_plain_id_format_works(resolved, templates, written, first) -> None:
    resolution = resolved(changed("{:03d}", written), templates("small", "common"))
    assert resolution.findings == ()
    assert resolution.targets[0].tenant.id == first


def test_an_id_format_that_pads_with_blanks_is_found(resolved, templates, at) -> None:
    text = changed("{:03d}", "{:5}")
    finding = only(resolved(text, templates("small", "common")))
    assert "makes the id '    1'" in finding.message
    assert finding.place == at(text, '"{:5}"')
    assert finding.hint == "pad with zeros: {:03d}"


def test_parts_of_tenant_ids_must_be_legal(resolved, templates, at) -> None:
    text = changed("  standard:", "  stan/dard:").replace("customer_code: acme", "customer_code: a/b")
    messages = {
        finding.message.split(" may")[0]: finding.place for finding in resolved(text, templates("small", "common")).findings
    }
    assert messages["customer_code 'a/b'"] == at(text, "a/b")
    assert messages["the group name 'stan/dard'"] == at(text, "stan/dard")


HOOKS = "hooks:\n  pre_update: [HOOK]\n"


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.sh", "scripts/../../x.sh", "~/x.sh", "scripts\\x.sh"])
def test_a_hook_outside_the_project_is_found(resolved, templates, at, path) -> None:
    text = GOOD + HOOKS.replace("HOOK", f"'{path}'")
    finding = only(resolved(text, templates("small", "common")))
    assert finding.message.startswith(f"the hook {path!r} ")
    assert finding.place == at(text, f"'{path}'")


def test_a_hook_that_the_disk_lacks_is_found(resolved, templates, at) -> None:
    text = GOOD + HOOKS.replace("HOOK", "./x.sh")
    finding = only(resolved(text, templates("small", "common"), paths={"./x.sh": "does not exist"}))
    assert finding.message == "the hook './x.sh' does not exist"
    assert finding.place == at(text, "./x.sh")


def test_a_migrations_folder_outside_the_project_is_found(resolved, templates, at) -> None:
    text = GOOD + "migration_config:\n  data_migration_scripts: ../elsewhere\n"
    finding = only(resolved(text, templates("small", "common")))
    assert finding.place == at(text, "../elsewhere")


def test_a_server_that_no_deployment_has_is_found(resolved, templates, at) -> None:
    text = changed("type: tenant_group", "type: tenant_group\n    server: toky")
    finding = only(resolved(text, templates("small", "common"), deployments=("tokyo", "osaka"), deployment="osaka"))
    assert finding.message == "there is no deployment 'toky'"
    assert finding.place == at(text, "toky")
    assert finding.hint == "did you mean 'tokyo'?"


def test_several_deployments_and_none_named_is_found_per_group(resolved, templates, at) -> None:
    findings = resolved(GOOD, templates("small", "common"), deployments=("tokyo", "osaka")).findings
    assert [finding.place for finding in findings] == [at(GOOD, "standard:"), at(GOOD, "shared:")]
    assert all("several deployments (tokyo, osaka)" in finding.message for finding in findings)


def test_a_groups_server_goes_before_the_named_deployment_and_a_databases_before_its_groups(resolved, templates) -> None:
    text = changed("type: fixed_group", "type: fixed_group\n    server: b") + "      - {name: x, template: common, server: c}\n"
    resolution = resolved(text, templates("small", "common"), deployments=("a", "b", "c"), deployment="a")
    assert [target.server for target in resolution.targets] == ["a", "a", "a", "b", "c"]


def test_a_named_deployment_that_is_not_there_is_an_error(resolved) -> None:
    with pytest.raises(NotFoundError, match="there is no deployment 'x'"):
        resolved(GOOD, deployment="x")


def test_a_template_that_names_another_database_is_found_once(resolved, templates, template, at) -> None:
    source = templates(template("small", database_name="{PREFIX}_main"), "common")
    finding = only(resolved(GOOD, source))
    assert finding.message == (
        "template small names the database 'acme-001_main' (database_config.main.database_name), "
        "but the registry names it 'acme_001'"
    )
    assert finding.place == at(GOOD, "standard:")


def test_a_value_that_does_not_fit_its_column_is_found_at_its_entry(resolved, templates, template, at) -> None:
    source = templates("small", template("common", rows=["{KIND}"], limit=5))
    text = GOOD + '      - {name: acme_b, template: common, variables: {KIND: "ok"}}\n'
    finding = only(resolved(text, source))
    assert finding.message == "template common, tenant acme_common: users.name: the text has 6 characters, the column takes 5"
    assert finding.place == at(text, "name: acme_common")


def test_an_isolation_value_that_does_not_fit_is_found(resolved, templates, template) -> None:
    source = templates(template("small", isolation="{PREFIX}", limit=7), "common")
    assert "users.tenant_id: the text has 8 characters, the column takes 7" in only(resolved(GOOD, source)).message


def test_one_pass_tells_mistakes_of_every_layer(resolved, templates) -> None:
    text = GOOD.replace("tenant_count: 3", 'tenant_count: "3"').replace("template: small", "template: smal")
    text = (
        text.replace("KIND: shared", 'KIND: "{nobody}"')
        + "      - {nam: x, template: common}\n      - {name: '!', template: common}\n"
    )
    messages = [finding.message for finding in resolved(text, templates("small", "common")).findings]
    assert [message.partition(": ")[2] or message for message in messages] == [
        "there is no template 'smal'",
        "tenant_count must be a whole number, found text '3'",
        "variable KIND refers to {nobody}, which is not defined",
        "the key 'name' is missing",
        "unknown key 'nam'",
        "the database name '!' may hold only letters, digits, '_' and '-' and must begin with a letter or '_'",
    ]


def test_places_stay_right_behind_an_entry_that_was_left_out(resolved, templates, at) -> None:
    text = GOOD + "      - {template: common}\n      - {name: '!', template: common}\n"
    findings = resolved(text, templates("small", "common")).findings
    assert findings[-1].place == at(text, "'!'")


@pytest.mark.parametrize("text", ["", "[]", "just text", "customer_info: {}", "registry_version: '2.0'\ndatabase_groups: []"])
def test_a_file_with_nothing_to_save_still_says_what_is_wrong(resolved, templates, text) -> None:
    resolution = resolved(text, templates("small"))
    assert resolution.findings
    assert resolution.targets == ()


@pytest.mark.parametrize(
    ("section", "marker", "message"),
    [
        (
            "environment_config: {security: {tenant_isolation: schema}}",
            "schema}",
            "tenant_isolation: schema is not supported yet",
        ),
        ("environment_config: {security: {tenant_isolation: table}}", "table}", "tenant_isolation: table is not supported yet"),
        ("environment_config: {security: {cross_tenant_access: true}}", "true}", "cross_tenant_access: true is not supported"),
        ("environment_config: {security: {audit_logging: false}}", "false}", "audit_logging: false is not supported"),
    ],
)
def test_an_unsafe_setting_is_a_refusal(resolved, templates, at, section, marker, message) -> None:
    text = GOOD + section + "\n"
    resolution = resolved(text, templates("small", "common"))
    assert resolution.findings == ()
    assert [finding.severity for finding in resolution.refusals] == ["refuse"]
    assert resolution.refusals[0].message.startswith(message)
    assert resolution.refusals[0].place == at(text, marker)


def test_hooks_are_acted_on(resolved, templates) -> None:
    hooks = "hooks: {pre_provision: [a.sh], post_provision: [b.sh], pre_update: [c.sh], post_update: []}\n"
    resolution = resolved(GOOD + hooks, templates("small", "common"))
    assert (resolution.refusals, resolution.not_acted_on) == ((), ())


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ("environment_config: {database_defaults: {charset: utf8mb4}}", ()),
        ("environment_config: {database_defaults: {collation: C.UTF-8}}", ("environment_config.database_defaults.collation",)),
        ("operations: {max_change_percent: 50}", ()),
        ("environment_config: {database_defaults: {charset: latin1}}", ("environment_config.database_defaults.charset",)),
        ("operations: {provisioning: {validate_before_create: true}}", ()),
        ("operations: {provisioning: {validate_before_create: false}}", ("operations.provisioning.validate_before_create",)),
        ("operations: {batch_settings: {max_parallel: 4}, provisioning: {warm_pool: 2}}", ()),
    ],
)
def test_only_keys_that_stand_there_and_do_nothing_are_named(resolved, templates, section, named) -> None:
    assert resolved(GOOD + section + "\n", templates("small", "common")).not_acted_on == named


def test_auto_provision_false_anywhere_reaches_the_targets(resolved, templates) -> None:
    of_group = changed("type: fixed_group", "type: fixed_group\n    auto_provision: false")
    of_database = changed("template: common", "template: common\n        auto_provision: false")
    of_all = GOOD + "operations: {provisioning: {auto_create_on_deploy: false}}\n"
    found = [[t.auto_provision for t in resolved(text).targets] for text in (of_group, of_database, of_all)]
    assert found == [[True, True, True, False], [True, True, True, False], [False] * 4]
