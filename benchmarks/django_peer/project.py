"""Settings of the Django project, taken from the command line instead of a settings module."""

from __future__ import annotations

from collections.abc import Mapping

import django
from django.conf import settings


def configure(*, host: str, user: str, database: str, apps: list[str], migrations: Mapping[str, str] | None = None) -> None:
    """Make Django ready for one database; ``host`` is the folder of the server's socket, ``apps`` are each tenant's beside the
    shop, ``migrations`` are packages of migrations by app, instead of the apps' own."""
    # django-tenants imports contenttypes' models, so that has to be installed: here in the shared schema, which is not timed.
    shared = ["django_tenants", *dict.fromkeys(["django.contrib.contenttypes", *apps]), "benchmarks.django_peer.tenants"]
    own = [*apps, "benchmarks.django_peer.shop"]
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django_tenants.postgresql_backend",
                "HOST": host,
                "USER": user,
                "NAME": database,
                "CONN_MAX_AGE": None,
            }
        },
        DATABASE_ROUTERS=("django_tenants.routers.TenantSyncRouter",),
        SHARED_APPS=shared,
        TENANT_APPS=own,
        INSTALLED_APPS=[*shared, *(app for app in own if app not in shared)],
        MIGRATION_MODULES=dict(migrations or {}),
        TENANT_MODEL="tenants.Customer",
        TENANT_DOMAIN_MODEL="tenants.Domain",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        SECRET_KEY="measured, never served",
    )
    django.setup()
