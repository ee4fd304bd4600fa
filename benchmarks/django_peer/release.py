"""Brings what is new in a folder of migrations to every schema with ``migrate_schemas``, and prints the seconds as JSON.

``python -m benchmarks.django_peer.release HOST USER DATABASE FOLDER create TENANTS`` makes the tenants, ``… FOLDER release``
migrates them. FOLDER holds the package ``peer_releases``: the shop's migrations and the releases upon them.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.django_peer.project import configure


def main() -> None:
    """Do one of both."""
    host, user, database, folder, what, *rest = sys.argv[1:]
    sys.path.insert(0, folder)
    configure(host=host, user=user, database=database, apps=[], migrations={"shop": "peer_releases"})
    from django.core.management import call_command

    began, cpu = time.perf_counter(), time.process_time()
    if what == "create":
        call_command("migrate_schemas", schema_name="public", verbosity=0, interactive=False)
        _create(int(rest[0]))
    else:
        call_command("migrate_schemas", tenant=True, verbosity=0, interactive=False)
    print(json.dumps({"seconds": time.perf_counter() - began, "client_cpu": time.process_time() - cpu}))


def _create(tenants: int) -> None:
    from django_tenants.utils import schema_context

    from benchmarks.django_peer.rows import load_rows
    from benchmarks.django_peer.tenants.models import Customer

    for number in range(1, tenants + 1):
        name = f"customer_a_tenant_{number:03d}"
        Customer(schema_name=name, name=name).save(verbosity=0)
        with schema_context(name):
            load_rows(name)


if __name__ == "__main__":
    main()
