"""Environments of 10,000 tenants: Manor's sandboxed, data-safe rendering against bare Jinja2 with the same template."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import jinja2
import yaml

from benchmarks.measure import Result, Settings, Spread, Verdict
from manor.control.registry.tenant_info import TenantInfo
from manor.control.templates.template_engine import ENVIRONMENT_TEMPLATE, TenantTemplateEngine

TENANTS = 10_000
TARGET = 0.8
METHOD = """\
The reference's `environment.j2` (two instances per tenant) for 10,000 tenants that differ in id, name and code, in one
process, the ways alternating. *Bare* is a plain `jinja2.Environment` with StrictUndefined and the compiled template, its text
read by PyYAML's C loader: the document that the reference's `generate_environment_config` gives, as long as no name has a
quote in it. *Manor* is `TenantTemplateEngine.environment_config`, compiled templates kept, a new engine each round. Rate:
tenants per second of processor time. The text alone, which is no document yet, is compared below the table."""


def run(settings: Settings) -> Result:
    """Three rounds of each."""
    tenants = _tenants(1_000 if settings.quick else TENANTS)
    bare = _bare()
    manor_rates, bare_rates, manor_texts, bare_texts = [], [], [], []
    for _ in range(settings.rounds_or(3)):
        engine = TenantTemplateEngine()
        bare_rates.append(_rate(lambda tenant: yaml.load(bare(tenant), Loader=yaml.CSafeLoader), tenants))
        manor_rates.append(_rate(engine.environment_config, tenants))
        bare_texts.append(_rate(bare, tenants))
        manor_texts.append(_rate(lambda tenant, engine=engine: engine.render(ENVIRONMENT_TEMPLATE, tenant), tenants))
    found, floor = Spread.of(manor_rates), Spread.of(bare_rates)
    share = found.middle / floor.middle
    texts = Spread.of(manor_texts).middle / Spread.of(bare_texts).middle
    verdict = Verdict(
        what="rendering 10,000 tenants' environments",
        target=f"≥ {TARGET} of bare Jinja2's rate",
        measured=f"{share:.2f}",
        reached=share >= TARGET,
    )
    return Result(
        title="Tenants' environments",
        method=METHOD,
        header=("way", "tenants per second (min / median / max)"),
        rows=[["Manor", found.show(0)], ["bare Jinja2 and PyYAML", floor.show(0)]],
        verdicts=[verdict],
        remarks=[f"text alone, before it is a document: {texts:.2f} of bare Jinja2 (the sandbox, and a mark for each value)"],
    )


def _tenants(count: int) -> Sequence[TenantInfo]:
    return [
        TenantInfo(
            tenant_id=f"t{number:05d}",
            customer_code=f"c{number:05d}",
            customer_name=f"Customer {number}",
            region="jp",
            tier=("basic", "standard", "premium", "enterprise")[number % 4],
            instances=("main", "test"),
        )
        for number in range(count)
    ]


def _bare() -> Callable[[TenantInfo], str]:
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)  # noqa: S701 - YAML
    environment.filters["tenant_prefix"] = lambda tenant: f"{tenant.customer_code}_{tenant.region}"
    text = TenantTemplateEngine().files.get_source(None, ENVIRONMENT_TEMPLATE)[0]
    template = environment.from_string(text)
    return lambda tenant: template.render(tenant=tenant, config={}, instances=tenant.instances)


def _rate(render: Callable[[TenantInfo], object], tenants: Sequence[TenantInfo]) -> float:
    began = time.process_time()
    for tenant in tenants:
        render(tenant)
    return len(tenants) / (time.process_time() - began)
