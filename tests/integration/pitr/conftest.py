"""Fleets on embedded servers of their own: tests of moments restart them, damage their archives and kill their commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pitr_site import Site

from manor.wiring import embedded_server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, make_project: Callable[..., Path]) -> Iterator[Site]:
    """A deployed fleet with one base backup; the tests of one file share it."""
    site = Site(project=make_project(tmp_path_factory.mktemp("pitr") / "a project"))
    try:
        site.deploy()
        site.take_base()
        yield site
    finally:
        embedded_server(site.workplace.project, site.workplace.environment).destroy()
