"""Makes tenants with django-tenants, one after the other as it does it, and prints the seconds as JSON.

``python -m benchmarks.django_peer HOST USER DATABASE TENANTS [APP …]``; the database exists and is empty.
Making the shared tables is not timed.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.django_peer.project import configure


def main() -> None:
    """Migrate the shared part, then create and fill every tenant."""
    host, user, database, tenants, *apps = sys.argv[1:]
    configure(host=host, user=user, database=database, apps=apps)
    from django.core.management import call_command
    from django_tenants.utils import schema_context

    from benchmarks.django_peer.rows import load_rows
    from benchmarks.django_peer.tenants.models import Customer

    call_command("migrate_schemas", schema_name="public", verbosity=0, interactive=False)
    began, cpu = time.perf_counter(), time.process_time()
    for number in range(1, int(tenants) + 1):
        name = f"customer_a_tenant_{number:03d}"
        Customer(schema_name=name, name=name).save(verbosity=0)
        with schema_context(name):
            load_rows(name)
    print(json.dumps({"seconds": time.perf_counter() - began, "client_cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main()
